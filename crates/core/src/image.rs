//! Names of container images, as <https://github.com/distribution/reference> and the OCI's specifications
//! of images and distribution have them, and which of them an operator allows.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// Longest name with tag and digest, and without, bytes.
const LONGEST: usize = 512;
const LONGEST_NAME: usize = 255;
const LONGEST_TAG: usize = 128;

/// Is it `[HOST[:PORT]/]PATH[:TAG][@DIGEST]`?
///
/// # Errors
///
/// What is wrong with it, in words.
pub fn check(image: &str) -> Result<(), &'static str> {
    if image.len() > LONGEST {
        return Err("an image's name has at most 512 bytes");
    }
    let (rest, digest) = match image.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (image, None),
    };
    if !digest.is_none_or(is_digest) {
        return Err("a digest is sha256: and 64, or sha512: and 128 of 0-9 and a-f");
    }
    // A colon with a slash behind it is that of a port.
    let (name, tag) = match rest.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (rest, None),
    };
    if !tag.is_none_or(is_tag) {
        return Err(
            "a tag has 1 to 128 letters, digits, '_', '.' and '-', and begins with none of '.' and '-'",
        );
    }
    if name.len() > LONGEST_NAME {
        return Err("an image's name has at most 255 bytes without tag and digest");
    }
    let path = match name.split_once('/') {
        Some((first, path)) if is_registry(first) => path,
        _ => name,
    };
    if path.split('/').all(is_component) {
        return Ok(());
    }
    Err(
        "an image's name is like registry.example.org/lab/model:1.0: a host, and a path of a-z, 0-9, '.', '_' and '-'",
    )
}

/// A first part that is no host is the first of the path, of whichever registry is the cluster's default.
fn is_registry(text: &str) -> bool {
    let upper = text.bytes().any(|byte| byte.is_ascii_uppercase());
    if !(upper || text == "localhost" || text.contains(['.', ':', '['])) {
        return false;
    }
    let port =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok();
    if let Some((address, rest)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let port = rest.is_empty() || rest.strip_prefix(':').is_some_and(port);
        return port && address.parse::<Ipv6Addr>().is_ok();
    }
    let (host, given) = match text.split_once(':') {
        Some((host, given)) => (host, Some(given)),
        None => (text, None),
    };
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    given.is_none_or(port) && host.split('.').all(is_label)
}

/// Small letters and digits, with `.`, `_`, `__` or dashes between.
fn is_component(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let between = text.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    let between = between.filter(|gap| !gap.is_empty());
    let ends = [text.bytes().next(), text.bytes().next_back()];
    ends.iter().all(|end| end.is_some_and(plain))
        && between
            .into_iter()
            .all(|gap| matches!(gap, "." | "_" | "__") || gap.bytes().all(|byte| byte == b'-'))
}

fn is_tag(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    (1..=LONGEST_TAG).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with(['.', '-'])
}

fn is_digest(text: &str) -> bool {
    let hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    match text.split_once(':') {
        Some(("sha256", digits)) if hex(digits) => digits.len() == 64,
        Some(("sha512", digits)) if hex(digits) => digits.len() == 128,
        _ => false,
    }
}

/// How names begin that an operator allows: with a registry, a path in one, an image, or one tag of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImagePrefix(String);

impl ImagePrefix {
    /// The prefix ends where a part of the name ends.
    pub fn allows(&self, image: &str) -> bool {
        const ENDS: [char; 3] = ['/', ':', '@'];
        let Some(rest) = image.strip_prefix(&self.0) else { return false };
        // `registry:5000/model` is another registry than `registry`.
        let is_port = (self.0.ends_with(':') || rest.starts_with(':')) && rest.contains('/');
        let whole = rest.is_empty() || rest.starts_with(ENDS) || self.0.ends_with(ENDS);
        whole && !is_port
    }
}

impl FromStr for ImagePrefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bare = text.strip_suffix(['/', ':', '@']).unwrap_or(text);
        let model = format!("{bare}/model");
        if check(bare).is_ok() || check(&model).is_ok() {
            return Ok(Self(text.to_owned()));
        }
        Err(format!(
            "{text:?} is no beginning of an image's name such as registry.example.org/lab/"
        ))
    }
}

impl fmt::Display for ImagePrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sha256() -> String {
        "0123456789abcdef".repeat(4)
    }

    #[test]
    fn names_are_those_that_registries_take() {
        let digest = format!("@sha256:{}", sha256());
        for good in [
            "model",
            "lab/model",
            "lab/model:1.0",
            "model:5000",
            "registry.example.org/lab/model",
            "registry.example.org:5000/lab/model:V1_a-b.c",
            "Registry/model",
            "localhost/model",
            "localhost:5000/model",
            "127.0.0.1:5000/model",
            "[fd00::1]:5000/model",
            "a/b-c/d__e/f.g/h---i",
            &format!("lab/model{digest}"),
            &format!("lab/model:1{digest}"),
            &format!("lab/model@sha512:{0}{0}", sha256()),
            &format!("lab/model:{}", "x".repeat(128)),
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "/model",
            "lab//model",
            "lab/model/",
            "Model",
            "lab/Model",
            "lab/.model",
            "lab/model-",
            "lab/../model",
            "lab/a___b",
            "lab/a._b",
            "lab model",
            "lab/model\n",
            "lab/mödel",
            "lab/model:",
            "lab/model:.1",
            "lab/model:-1",
            "lab/model:1:2",
            "lab/model:1/x",
            &format!("lab/model:{}", "x".repeat(129)),
            "lab/model@",
            "lab/model@sha256:0123",
            &format!("lab/model@sha1:{}", sha256()),
            &format!("lab/model@sha256:{}", sha256().to_uppercase()),
            &format!("lab/model{digest}{digest}"),
            &format!("lab/model{digest}:1"),
            "registry.example.org:/model",
            "registry.example.org:70000/model",
            "registry.example.org:5000x/model",
            "-registry.example.org/model",
            "registry..example.org/model",
            "https://registry.example.org/model",
            "user@registry.example.org/model",
            "[fd00::1/model",
            "[fd00::x]/model",
            &format!("lab/{}", "x".repeat(252)),
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
        let long = format!("lab/model:{}{digest}", "x".repeat(128));
        assert!(check(&long).is_ok() && long.len() < LONGEST);
        assert!(check(&format!("lab/model:{}", "x".repeat(600))).is_err());
    }

    #[test]
    fn a_prefix_ends_where_a_part_ends() {
        let digest = format!("@sha256:{}", sha256());
        let with_digest = format!("registry.example.org/lab/model{digest}");
        for (prefix, image) in [
            ("registry.example.org", "registry.example.org/lab/model"),
            ("registry.example.org/", "registry.example.org/lab/model"),
            ("registry.example.org:5000", "registry.example.org:5000/lab/model"),
            ("registry.example.org/lab", "registry.example.org/lab/model:1"),
            ("registry.example.org/lab/model", "registry.example.org/lab/model:1"),
            ("registry.example.org/lab/model", "registry.example.org/lab/model"),
            ("registry.example.org/lab/model:", "registry.example.org/lab/model:1"),
            ("registry.example.org/lab/model:1", "registry.example.org/lab/model:1"),
            ("registry.example.org/lab/model", &with_digest),
            ("registry.example.org/lab/model@", &with_digest),
            (&with_digest, &with_digest),
            ("lab", "lab/model"),
        ] {
            let allowed: ImagePrefix = prefix.parse().expect("a prefix");
            assert!(allowed.allows(image), "{prefix} {image}");
        }
        for (prefix, image) in [
            ("registry.example.org", "registry.example.org.evil.example/model"),
            ("registry.example.org", "registry.example.org:5000/model"),
            ("registry.example.org:500", "registry.example.org:5000/model"),
            ("registry.example.org/lab", "registry.example.org/laboratory/model"),
            ("registry.example.org/lab/model:1", "registry.example.org/lab/model:1.1"),
            ("registry.example.org/lab/model:", "registry.example.org/lab/model"),
            ("registry.example.org/lab/model@", "registry.example.org/lab/model:1"),
            ("registry.example.org/lab/model", "registry.example.org/lab"),
            ("lab", "lab:5000/model"),
            ("lab:", "lab:5000/model"),
            ("lab", "evil.example/lab/model"),
        ] {
            let allowed: ImagePrefix = prefix.parse().expect("a prefix");
            assert!(!allowed.allows(image), "{prefix} {image}");
        }
        for bad in ["", "/", "https://registry.example.org", "lab//", "Lab/Model", "lab *"] {
            assert!(bad.parse::<ImagePrefix>().is_err(), "{bad}");
        }
    }
}
