//! What is wrong with an image, by the words of whoever fetches it.

use muster_core::waits::ImageFault;

/// Words that container runtimes and registries use, those that say most first. They are not fixed by anything: what
/// says none of them may pass by itself.
const WORDS: [(ImageFault, &[&str]); 6] = [
    // Registries that count calls answer 429, some of them in a page that says denied.
    (
        ImageFault::RateLimited,
        &["toomanyrequests", "too many requests", "rate limit", "status: 429", " 429 "],
    ),
    (ImageFault::NoSpace, &["no space left", "disk quota exceeded", "not enough space"]),
    (
        ImageFault::WrongPlatform,
        &[
            "no match for platform",
            "no matching manifest",
            "no image found in manifest list",
            "no image found in image index",
            "does not match the specified platform",
            "exec format error",
        ],
    ),
    (
        ImageFault::Unreachable,
        &[
            "no such host",
            "timeout",
            "timed out",
            "deadline exceeded",
            "connection refused",
            "connection reset",
            "server misbehaving",
            "tls handshake",
            "x509",
            "unexpected eof",
            "502 bad gateway",
            "503 service unavailable",
            "500 internal server error",
        ],
    ),
    (
        ImageFault::Forbidden,
        &[
            "unauthorized",
            "authentication required",
            "authorization failed",
            "access denied",
            "access forbidden",
            "access to the resource is denied",
            "permission denied",
            "denied:",
            "forbidden",
            "no basic auth credentials",
            "invalid username/password",
            "failed to fetch oauth token",
        ],
    ),
    (
        ImageFault::NotFound,
        &[
            "not found",
            "manifest unknown",
            "name unknown",
            "does not exist",
            "is not present with pull policy",
        ],
    ),
];

/// What is meant by the reason of a container that waits, if it is one about its image. What the image is called
/// says nothing.
pub fn fault(reason: &str, message: &str, image: &str) -> Option<ImageFault> {
    match reason {
        "InvalidImageName" => Some(ImageFault::BadName),
        "ErrImageNeverPull" => Some(ImageFault::NotFound),
        "ErrImagePull" | "ImagePullBackOff" | "ImageInspectError" | "RegistryUnavailable" => {
            Some(by_words(&without_name(message, image)))
        }
        // The image's signature is not one that the node trusts.
        "SignatureValidationFailed" => Some(ImageFault::Forbidden),
        _ => None,
    }
}

fn without_name(message: &str, image: &str) -> String {
    let (tagged, _) = image.split_once('@').unwrap_or((image, ""));
    let (repository, _) = tagged.rsplit_once(':').unwrap_or((tagged, ""));
    let (_, path) = repository.split_once('/').unwrap_or(("", repository));
    let mut message = message.to_owned();
    for name in [image, repository, path].into_iter().filter(|name| name.len() > 3) {
        message = message.replace(name, "");
    }
    message
}

fn by_words(message: &str) -> ImageFault {
    let message = message.to_lowercase();
    let said = |words: &[&str]| words.iter().any(|word| message.contains(word));
    let found = WORDS.iter().find(|(_, words)| said(words));
    found.map_or(ImageFault::Unreachable, |(fault, _)| *fault)
}

/// Is it a program for other processors?
pub fn is_of_other_platform(message: &str) -> bool {
    message.to_lowercase().contains("exec format error")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_an_image_says_nothing_of_what_is_wrong() {
        let image = "registry.example.org/timeout/denied-forbidden:1.0";
        for (image, words) in [
            (
                image,
                "failed to pull and unpack image \"IMAGE\": failed to resolve image: IMAGE: not found",
            ),
            ("docker.io/library/x509:1", "failed to do request for library/x509: manifest unknown"),
            ("timeout@sha256:11", "timeout: not found"),
        ] {
            let message = words.replace("IMAGE", image);
            assert_eq!(
                fault("ErrImagePull", &message, image),
                Some(ImageFault::NotFound),
                "{message}"
            );
        }
        assert_eq!(fault("ErrImagePull", "i/o timeout", "a:1"), Some(ImageFault::Unreachable));
        assert_eq!(fault("ErrImagePull", "", ""), Some(ImageFault::Unreachable));
        assert_eq!(fault("ContainerCreating", "not found", image), None);
    }
}
