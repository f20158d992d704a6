//! Where settings come from. The environment is read here and nowhere else.

pub mod age;
pub mod client;
pub mod known;
pub mod kubernetes;
mod machine;
pub mod nodes;
pub mod server;
pub mod settings;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

/// Variables of the hub that its models get too: where programs are and how to check certificates
/// when packages are fetched. Nothing of it is secret (I-47); `model_variables` adds to it.
const FOR_MODELS: [&str; 14] = [
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "PIP_CERT",
    "PIP_FIND_LINKS",
    "PIP_CACHE_DIR",
    "UV_CACHE_DIR",
    "PYENV_ROOT",
];

/// Those of them that name files, which models may read then.
pub const FILES_OF_MODELS: [&str; 7] = [
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "PIP_CERT",
    "PIP_FIND_LINKS",
    "PYENV_ROOT",
];

/// The environment of this process, or a made-up one in tests. Variables that are not UTF-8 are
/// as if they were not set, and so are empty ones.
#[derive(Clone, Debug, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    pub fn of_this_process() -> Self {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Variables whose names start with `prefix`.
    pub fn starting_with(&self, prefix: &str) -> impl Iterator<Item = (&str, &str)> {
        let all = self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        all.filter(move |(name, value)| name.starts_with(prefix) && !value.is_empty())
    }

    /// The environment of models: what they need, and what the operator adds by name.
    pub fn for_models(&self, added: &[String]) -> Vec<(OsString, OsString)> {
        let names = FOR_MODELS.iter().copied().chain(added.iter().map(String::as_str));
        let known = names.filter_map(|name| Some((name.into(), self.get(name)?.into())));
        known.collect()
    }

    /// The environment of the operator's own program that makes nodes: all but what the hub is told, whose
    /// passwords are none of its business.
    pub fn for_provider(&self) -> Vec<(OsString, OsString)> {
        let all = self.0.iter().filter(|(name, _)| !name.starts_with("MUSTER_"));
        all.map(|(name, value)| (name.into(), value.into())).collect()
    }

    /// The folder for a person's settings of Muster.
    pub fn config_dir(&self) -> Option<PathBuf> {
        let xdg = self.get("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let home = || self.get("HOME").map(|home| PathBuf::from(home).join(".config"));
        Some(xdg.or_else(home)?.join("muster"))
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        Self(variables.into_iter().collect())
    }
}

#[cfg(test)]
pub(crate) fn environment(variables: &[(&str, &str)]) -> Environment {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_get_no_variable_that_they_do_not_need() {
        let hub = environment(&[
            ("PATH", "/bin"),
            ("MUSTER_DATABASE_URL", "postgres://hub:secret@db/muster"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("PIP_INDEX_URL", "https://packages"),
        ]);
        assert_eq!(hub.for_models(&[]), [("PATH".into(), "/bin".into())]);
        let with_index = hub.for_models(&["PIP_INDEX_URL".to_owned()]);
        assert_eq!(with_index[1], ("PIP_INDEX_URL".into(), "https://packages".into()));
    }

    #[test]
    fn settings_of_a_person_are_in_the_xdg_folder() {
        let xdg = environment(&[("XDG_CONFIG_HOME", "/c"), ("HOME", "/home/a")]);
        assert_eq!(xdg.config_dir(), Some("/c/muster".into()));
        let home = environment(&[("XDG_CONFIG_HOME", ""), ("HOME", "/home/a")]);
        assert_eq!(home.config_dir(), Some("/home/a/.config/muster".into()));
        assert_eq!(environment(&[]).config_dir(), None);
    }
}
