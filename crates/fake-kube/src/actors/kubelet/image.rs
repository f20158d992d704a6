//! Names of images, and how pulls go wrong, in the words of containerd and the kubelet.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// What is known of an image.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Image {
    /// The command line, with `{ip}`, `{port}`, `{pod}` and `{namespace}`. Without one the
    /// container does nothing until it is ended. A `command` of the pod replaces it.
    pub run: Vec<String>,
    pub env: BTreeMap<String, String>,
    /// The port that it listens on where the pod names none.
    pub port: Option<u16>,
    #[serde(rename = "pullMillis", with = "crate::actors::millis")]
    pub pull: Duration,
    /// In bytes.
    pub size: u64,
    /// `sha256:..`; made from the name where it is not given.
    pub digest: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ImageFault {
    Missing,
    Forbidden,
    RateLimited,
    WrongPlatform,
    NoSpace,
    Unreachable,
    /// Never ends.
    Hangs,
    /// The container is not made, with this reason (`CreateContainerError`, `RunContainerError`)
    /// and these words.
    NotMade {
        reason: String,
        message: String,
    },
}

pub struct Reference {
    /// `docker.io/library/x:latest`.
    pub full: String,
    registry: String,
    path: String,
    tag: String,
    digest: Option<String>,
}

impl Reference {
    /// [`None`] of what is no name of an image.
    pub fn parse(image: &str) -> Option<Self> {
        let (rest, digest) = match image.split_once('@') {
            Some((rest, digest)) => {
                let hex = digest.strip_prefix("sha256:")?;
                if hex.len() != 64 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                    return None;
                }
                (rest, Some(digest.to_owned()))
            }
            None => (image, None),
        };
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, tag),
            _ => (rest, "latest"),
        };
        let is_tag = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-/".contains(c);
        let (registry, path) = match name.split_once('/') {
            Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => (host, path),
            _ => ("docker.io", name),
        };
        let parts = path.split('/');
        let ends =
            |part: &str| part.starts_with(['.', '-', '_']) || part.ends_with(['.', '-', '_']);
        if tag.is_empty()
            || !tag.chars().all(is_tag)
            || !path.chars().all(is_name)
            || parts.clone().any(|part| part.is_empty() || ends(part))
        {
            return None;
        }
        let path = match (registry, path.contains('/')) {
            ("docker.io", false) => format!("library/{path}"),
            _ => path.to_owned(),
        };
        let full = match &digest {
            Some(digest) => format!("{registry}/{path}@{digest}"),
            None => format!("{registry}/{path}:{tag}"),
        };
        Some(Self { full, registry: registry.into(), path, tag: tag.into(), digest })
    }

    /// `docker.io/library/x@sha256:..`, as container statuses have it.
    pub fn id(&self, image: &Image) -> String {
        let digest = self.digest.clone().or_else(|| image.digest.clone());
        let digest = digest.unwrap_or_else(|| format!("sha256:{}", hex(&self.full)));
        format!("{}/{}@{digest}", self.registry, self.path)
    }

    /// Pulled each time unless the pod says otherwise.
    pub fn is_latest(&self) -> bool {
        self.tag == "latest" && self.digest.is_none()
    }
}

/// 64 hexadecimal digits, always the same for a text.
pub fn hex(text: &str) -> String {
    let part = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, text).hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    };
    (0..4).map(part).collect()
}

/// What containerd says of a pull that fails.
pub fn failure(fault: &ImageFault, reference: &Reference) -> Option<String> {
    let Reference { full, registry, path, tag, .. } = reference;
    let unpack = format!("failed to pull and unpack image {full:?}");
    let resolve = format!("{unpack}: failed to resolve image: ");
    let host = if registry == "docker.io" { "registry-1.docker.io" } else { registry };
    let url = format!("https://{host}/v2/{path}/manifests/{tag}");
    let (code, said) = match fault {
        ImageFault::Missing => ("NotFound", format!("{resolve}{full}: not found")),
        ImageFault::Forbidden => (
            "Unknown",
            format!(
                "{resolve}pull access denied, repository does not exist or may require \
                 authorization: unexpected status from HEAD request to {url}: 403 Forbidden"
            ),
        ),
        ImageFault::RateLimited => (
            "Unknown",
            format!(
                "{unpack}: failed to copy: httpReadSeeker: failed open: unexpected status code \
                 {url}: 429 Too Many Requests - Server message: toomanyrequests: You have reached \
                 your unauthenticated pull rate limit. https://www.docker.com/increase-rate-limit"
            ),
        ),
        ImageFault::WrongPlatform => {
            ("NotFound", format!("{unpack}: no match for platform in manifest: not found"))
        }
        ImageFault::NoSpace => (
            "Unknown",
            format!(
                "{unpack}: failed to extract layer sha256:{}: write \
                 /var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots/42/fs/model: \
                 no space left on device",
                hex(full)
            ),
        ),
        ImageFault::Unreachable => (
            "Unknown",
            format!(
                "{resolve}failed to do request: Head {url:?}: dial tcp: lookup {host}: no such host"
            ),
        ),
        ImageFault::Hangs | ImageFault::NotMade { .. } => return None,
    };
    Some(format!("rpc error: code = {code} desc = {said}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_images_are_read_as_docker_writes_them() {
        let full = |text: &str| Reference::parse(text).map(|it| it.full);
        assert_eq!(full("busybox").as_deref(), Some("docker.io/library/busybox:latest"));
        assert_eq!(full("a/b:1.0").as_deref(), Some("docker.io/a/b:1.0"));
        assert_eq!(full("r.test:5000/a/b").as_deref(), Some("r.test:5000/a/b:latest"));
        let digest = format!("sha256:{}", "a".repeat(64));
        let named = Reference::parse(&format!("r.test/a:1@{digest}")).unwrap();
        assert_eq!(named.full, format!("r.test/a@{digest}"));
        assert_eq!(named.id(&Image::default()), format!("r.test/a@{digest}"));
        for bad in ["", "UPPER", "a:", "a//b", "a b", "a@sha256:12", "-a", "a:b!c"] {
            assert!(full(bad).is_none(), "{bad}");
        }
    }
}
