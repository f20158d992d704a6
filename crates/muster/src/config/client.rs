//! Which hub the client commands talk to.

use serde::Deserialize;

use super::Environment;

pub const DEFAULT_HUB: &str = "http://127.0.0.1:8080";

/// `config.toml` in the person's folder.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    hub: Option<String>,
}

/// The hub's base URL without a slash at the end: from the flag, else `MUSTER_HUB`, else
/// `config.toml`, else this machine. The error says what is wrong and where.
pub fn hub(flag: Option<&str>, environment: &Environment) -> Result<String, String> {
    if let Some(url) = flag {
        return checked(url, "--hub");
    }
    if let Some(url) = environment.get("MUSTER_HUB") {
        return checked(url, "MUSTER_HUB");
    }
    let Some(path) = environment.config_dir().map(|dir| dir.join("config.toml")) else {
        return Ok(DEFAULT_HUB.to_owned());
    };
    let name = path.display().to_string();
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(format!("{name} cannot be read: {error}")),
    };
    let file: File = toml::from_str(&text).map_err(|error| format!("{name}: {error}"))?;
    file.hub.map_or_else(|| Ok(DEFAULT_HUB.to_owned()), |url| checked(&url, &name))
}

fn checked(url: &str, origin: &str) -> Result<String, String> {
    let with_scheme = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    let fits = |url: &reqwest::Url| matches!(url.scheme(), "http" | "https") && url.has_host();
    match reqwest::Url::parse(&with_scheme) {
        Ok(parsed) if fits(&parsed) => Ok(with_scheme.trim_end_matches('/').to_owned()),
        _ => Err(format!("{origin}: {url:?} is not the URL of a hub, such as {DEFAULT_HUB}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::environment;

    #[test]
    fn the_flag_goes_before_the_variable_before_the_file_before_the_default() {
        let root = tempfile::tempdir().expect("a folder");
        let config = root.path().join("muster");
        std::fs::create_dir(&config).expect("a folder");
        let xdg = root.path().to_str().expect("a path");
        let without = environment(&[("XDG_CONFIG_HOME", xdg)]);
        assert_eq!(hub(None, &without), Ok(DEFAULT_HUB.to_owned()));

        std::fs::write(config.join("config.toml"), "hub = \"https://file\"").expect("a file");
        assert_eq!(hub(None, &without), Ok("https://file".to_owned()));
        let with = environment(&[("XDG_CONFIG_HOME", xdg), ("MUSTER_HUB", "variable:80/")]);
        assert_eq!(hub(None, &with), Ok("http://variable:80".to_owned()));
        assert_eq!(hub(Some("http://flag/x/"), &with), Ok("http://flag/x".to_owned()));
    }

    #[test]
    fn a_bad_address_is_refused_by_where_it_came_from() {
        let bad = environment(&[("MUSTER_HUB", "ftp://hub")]);
        assert!(hub(None, &bad).is_err_and(|text| text.starts_with("MUSTER_HUB: ")));
    }
}
