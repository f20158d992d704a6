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

/// What is meant by the reason of a container that waits, if it is one about its image.
pub fn fault(reason: &str, message: &str) -> Option<ImageFault> {
    match reason {
        "InvalidImageName" => Some(ImageFault::BadName),
        "ErrImageNeverPull" => Some(ImageFault::NotFound),
        "ErrImagePull" | "ImagePullBackOff" | "ImageInspectError" | "RegistryUnavailable" => {
            Some(by_words(message))
        }
        // The image's signature is not one that the node trusts.
        "SignatureValidationFailed" => Some(ImageFault::Forbidden),
        _ => None,
    }
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
