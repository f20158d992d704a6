//! Names as Kubernetes takes them: <https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/>
//! and, for resources, <https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/>.

const LONGEST_PART: usize = 63;
const LONGEST_PREFIX: usize = 253;

/// An error says what such a name is.
type Named = Result<(), &'static str>;

/// `NAME` or `example.org/NAME`.
pub(crate) fn label_key(key: &str) -> Named {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    if prefix.is_none_or(is_domain) && is_part(name) {
        return Ok(());
    }
    Err(
        "is no label key: one has 1 to 63 letters, digits, '-', '_' and '.', begins and ends with a letter \
         or digit, and may have a domain and '/' before it",
    )
}

pub(crate) fn label_value(value: &str) -> Named {
    if value.is_empty() || is_part(value) {
        return Ok(());
    }
    Err(
        "is no label value: one has at most 63 letters, digits, '-', '_' and '.', and begins and ends \
         with a letter or digit",
    )
}

/// The name of a resource that is not among those that every node has.
pub(crate) fn extended_resource(name: &str) -> Named {
    // A quota names it with this before it, and that has to be a name as well.
    const IN_A_QUOTA: &str = "requests.";
    let parts = name.split_once('/');
    let good = parts.is_some_and(|(domain, part)| {
        is_domain(domain)
            && is_part(part)
            && domain != "kubernetes.io"
            && !domain.ends_with(".kubernetes.io")
            && !domain.starts_with(IN_A_QUOTA)
            && domain.len() + IN_A_QUOTA.len() <= LONGEST_PREFIX
    });
    if good {
        return Ok(());
    }
    Err(
        "is no resource name: one is a domain, '/', and 1 to 63 letters, digits, '-', '_' and '.', as in \
         nvidia.com/gpu; those of kubernetes.io are no GPUs",
    )
}

fn is_part(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let ends = [text.bytes().next(), text.bytes().next_back()];
    text.len() <= LONGEST_PART
        && text.bytes().all(inner)
        && ends.iter().all(|end| end.is_some_and(|byte| byte.is_ascii_alphanumeric()))
}

fn is_domain(text: &str) -> bool {
    let small = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_label = |label: &str| {
        let ends = [label.bytes().next(), label.bytes().next_back()];
        label.bytes().all(|byte| small(byte) || byte == b'-')
            && ends.iter().all(|end| end.is_some_and(small))
    };
    text.len() <= LONGEST_PREFIX && text.split('.').all(is_label)
}
