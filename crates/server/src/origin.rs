//! Which servers the API may make the hub call: the operator's list of schemes, hosts and ports.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use muster_core::instance::never_called;

/// A scheme, a host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    scheme: &'static str,
    /// Lower case; an IPv6 address in brackets.
    host: String,
    port: u16,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.scheme, self.host, self.port)
    }
}

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match split(text)? {
            (origin, "") => Ok(origin),
            _ => Err(format!("{text} has a path; give scheme, host and port only")),
        }
    }
}

/// An origin and the path behind it. Only plain characters, so that nobody reads it otherwise.
fn split(text: &str) -> Result<(Origin, &str), String> {
    let wrong = || format!("{text} is not an address such as https://models.example.org:8443");
    let (scheme, port, rest) = if let Some(rest) = text.strip_prefix("http://") {
        ("http", 80, rest)
    } else if let Some(rest) = text.strip_prefix("https://") {
        ("https", 443, rest)
    } else {
        return Err(wrong());
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let colon = authority.rfind(':').filter(|at| !authority[*at..].contains(']'));
    let (host, port) = match colon {
        Some(at) => {
            let digits = &authority[at + 1..];
            let plain = digits.bytes().all(|b| b.is_ascii_digit());
            let port = digits.parse::<u16>().ok().filter(|port| plain && *port > 0);
            (&authority[..at], port.ok_or_else(wrong)?)
        }
        None => (authority, port),
    };
    let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let address = literal.unwrap_or(host).parse::<IpAddr>().ok();
    let name = |b: u8| b.is_ascii_alphanumeric() || b"-.".contains(&b);
    // What ends in a number is an address in one of its spellings: 0xa9fea9fe, 0251.0376.43518.
    let last = host.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    let number = last.starts_with(|c: char| c.is_ascii_digit());
    let named = !last.is_empty() && host.bytes().all(name) && (!number || address.is_some());
    let good = if literal.is_some() { address.is_some_and(|ip| ip.is_ipv6()) } else { named };
    if !good {
        return Err(wrong());
    }
    if address.is_some_and(never_called) {
        return Err(format!("{host} is an address that the hub never calls"));
    }
    let in_path = |b: u8| b.is_ascii_alphanumeric() || b"-._~/".contains(&b);
    if !path.bytes().all(in_path) || path.contains("/.") {
        return Err(format!("{text}: the path has characters other than a-z, 0-9, '-', '_', '~'"));
    }
    let origin = Origin { scheme, host: host.to_ascii_lowercase(), port };
    Ok((origin, path.trim_end_matches('/')))
}

/// The address as it is called, if the operator allows it.
pub fn check(text: &str, allowed: &[Origin]) -> Result<String, String> {
    let (origin, path) = split(text)?;
    if allowed.contains(&origin) {
        return Ok(format!("{origin}{path}"));
    }
    Err(format!("the operator does not allow {origin}; the setting is model_addresses"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed() -> Vec<Origin> {
        ["https://models.example.org", "http://10.0.0.5:9000", "http://[fd00::1]:80"]
            .map(|text| text.parse().expect("an origin"))
            .into()
    }

    #[test]
    fn what_the_operator_allows_may_be_called() {
        for (text, called) in [
            ("https://models.example.org", "https://models.example.org:443"),
            ("https://Models.Example.org:443/v1/", "https://models.example.org:443/v1"),
            ("http://10.0.0.5:9000/a/b", "http://10.0.0.5:9000/a/b"),
            ("http://[fd00::1]", "http://[fd00::1]:80"),
        ] {
            assert_eq!(check(text, &allowed()).as_deref(), Ok(called), "{text}");
        }
    }

    #[test]
    fn nothing_else_may_be_called_however_it_is_written() {
        for text in [
            "http://models.example.org",
            "https://models.example.org:444",
            "https://models.example.org.evil.example",
            "https://models.example.org@evil.example",
            "https://evil.example#models.example.org",
            "https://evil.example\\@models.example.org",
            "https://models.example.org:443@evil.example/",
            "https://models.example.org/../x",
            "https://models.example.org/?to=x",
            "https://models.example.org/%2e%2e",
            "ftp://models.example.org",
            "//models.example.org",
            "https:models.example.org",
            " https://models.example.org",
            "https://mod\tels.example.org",
            "https://mödels.example.org",
            "http://10.0.0.5",
            "http://10.0.0.5:09000x",
            "http://167772165:9000",
            "http://0x0a000005:9000",
            "http://010.0.0.5:9000",
            "http://[::ffff:10.0.0.5]:9000",
            "http://[10.0.0.5]:9000",
            "http://127.0.0.1:9000",
            "http://localhost:9000",
            "http://169.254.169.254",
            "http://",
            "",
        ] {
            assert!(check(text, &allowed()).is_err(), "{text}");
        }
    }

    #[test]
    fn the_operator_cannot_allow_what_is_never_called() {
        for text in [
            "http://169.254.169.254",
            "http://169.254.169.254.",
            "http://0xa9fea9fe",
            "http://0251.0376.0251.0376",
            "http://models.0xfe",
            "http://[fd00:ec2::254]",
            "http://[64:ff9b::a9fe:a9fe]",
            "http://0.0.0.0:80",
            "http://[fe80::1]:80",
            "http://[::ffff:169.254.169.254]:80",
            "http://224.0.0.1",
            "https://a.example/path",
        ] {
            assert!(text.parse::<Origin>().is_err(), "{text}");
        }
    }
}
