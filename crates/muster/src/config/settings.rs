//! Settings by name: from a flag, else a `MUSTER_` variable, else the file, else the default.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::Environment;

/// One setting of `muster serve`.
pub struct Setting {
    /// Its name in the file, with dots for tables.
    pub key: &'static str,
    pub default: Option<&'static str>,
    pub about: &'static str,
}

impl Setting {
    pub fn variable(&self) -> String {
        variable(self.key)
    }

    /// `data_dir` is `--data-dir`.
    pub fn flag(&self) -> String {
        format!("--{}", self.key.replace(['.', '_'], "-"))
    }
}

/// Settings that releases had and that are gone, and what to use instead; `make release` refuses to lose one
/// that is not here. None yet.
const RETIRED: &[(&str, &str)] = &[];

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Flag(String),
    Variable(String),
    File(String),
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) | Self::Variable(name) | Self::File(name) => f.write_str(name),
            Self::Default => f.write_str("default"),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    pub text: String,
    pub origin: Origin,
}

/// What is set, by key. Keys without a value are absent.
#[derive(Debug, Default)]
pub struct Settings {
    values: BTreeMap<&'static str, Value>,
    /// Where they were read from, if it was a file.
    pub file: Option<PathBuf>,
    /// Options whose names are not ours, `objects.options.NAME` in the file.
    pub options: BTreeMap<String, Value>,
    /// What is said of groups of nodes, `nodes.group.NAME.KEY` in the file, by `NAME.KEY`.
    pub groups: BTreeMap<String, Value>,
}

/// The tables of the file whose names are not ours.
pub const OPTIONS: &str = "objects.options.";
pub const GROUPS: &str = "nodes.group.";

impl Settings {
    /// `flags` by key. The error says what is wrong and where.
    pub fn resolve(
        known: &[Setting],
        flags: &[(&str, Option<String>)],
        environment: &Environment,
        file: Option<&Path>,
    ) -> Result<Self, String> {
        let mut found = Self { file: file.map(Path::to_owned), ..Self::default() };
        let (name, mut in_file) = match file {
            Some(path) => (path.display().to_string(), read(path)?),
            None => (String::new(), BTreeMap::new()),
        };
        for setting in known {
            let flag = flags.iter().find(|(key, _)| *key == setting.key);
            let from_file = in_file.remove(setting.key);
            let variable = setting.variable();
            let value = if let Some(text) = flag.and_then(|(_, text)| text.clone()) {
                Some(Value { text, origin: Origin::Flag(setting.flag()) })
            } else if let Some(text) = environment.get(&variable) {
                Some(Value { text: text.to_owned(), origin: Origin::Variable(variable) })
            } else if let Some(text) = from_file {
                Some(Value { text, origin: Origin::File(name.clone()) })
            } else {
                let default = setting.default.map(str::to_owned);
                default.map(|text| Value { text, origin: Origin::Default })
            };
            if let Some(value) = value {
                found.values.insert(setting.key, value);
            }
        }
        refuse_retired(RETIRED, environment, (&name, &in_file))?;
        for (key, text) in in_file {
            let value = Value { text, origin: Origin::File(name.clone()) };
            if let Some(option) = key.strip_prefix(OPTIONS) {
                found.options.insert(option.to_owned(), value);
            } else if let Some(group) = key.strip_prefix(GROUPS) {
                found.groups.insert(group.to_owned(), value);
            } else {
                let keys: Vec<&str> = known.iter().map(|setting| setting.key).collect();
                return Err(format!(
                    "{name}: there is no setting {key:?}; there are {}",
                    keys.join(", ")
                ));
            }
        }
        Ok(found)
    }

    pub fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }

    pub fn text(&self, key: &str) -> Option<&str> {
        self.get(key).map(|value| value.text.as_str())
    }

    /// The value as read by `read`; the error names where it was set and what it must be.
    pub fn read<T>(
        &self,
        key: &str,
        must_be: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, String> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let wrong =
            || format!("{key} = {:?} (from {}) must be {must_be}", value.text, value.origin);
        read(&value.text).map(Some).ok_or_else(wrong)
    }
}

/// Who still sets one of them is told, also in the environment, where other names are nobody's business.
fn refuse_retired(
    retired: &[(&str, &str)],
    environment: &Environment,
    (name, in_file): (&str, &BTreeMap<String, String>),
) -> Result<(), String> {
    for &(key, instead) in retired {
        let variable = variable(key);
        let in_file = in_file.contains_key(key).then_some(name);
        if let Some(from) = in_file.or(environment.get(&variable).map(|_| &*variable)) {
            return Err(format!("{from}: {key} is no setting any more: {instead}"));
        }
    }
    Ok(())
}

/// `database.url` is `MUSTER_DATABASE_URL`.
fn variable(key: &str) -> String {
    format!("MUSTER_{}", key.to_ascii_uppercase().replace('.', "_"))
}

/// The values of a TOML file as texts, by dotted key; lists of texts are joined with commas.
fn read(path: &Path) -> Result<BTreeMap<String, String>, String> {
    let name = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("{name}: {error}"))?;
    let table: toml::Table = toml::from_str(&text).map_err(|error| format!("{name}: {error}"))?;
    let mut values = BTreeMap::new();
    let mut left: Vec<(String, toml::Value)> = table.into_iter().collect();
    while let Some((key, value)) = left.pop() {
        let one = |value: toml::Value| match value {
            toml::Value::String(text) => Some(text),
            toml::Value::Integer(number) => Some(number.to_string()),
            toml::Value::Boolean(truth) => Some(truth.to_string()),
            _ => None,
        };
        let text = match value {
            toml::Value::Table(table) => {
                left.extend(
                    table.into_iter().map(|(name, value)| (format!("{key}.{name}"), value)),
                );
                continue;
            }
            toml::Value::Array(list) => {
                let texts: Option<Vec<String>> = list.into_iter().map(one).collect();
                texts.map(|texts| texts.join(","))
            }
            value => one(value),
        };
        let wrong = || format!("{name}: {key} must be a text, a number or a list of texts");
        values.insert(key.clone(), text.ok_or_else(wrong)?);
    }
    Ok(values)
}

/// The value as it may be shown: without passwords and keys.
pub fn masked(key: &str, text: &str) -> String {
    let key = key.to_ascii_lowercase();
    if ["secret", "token", "password", "key"].iter().any(|word| key.contains(word)) {
        return "***".to_owned();
    }
    if !matches!(key.as_str(), "database.url" | "mail.url") {
        return text.to_owned();
    }
    let Ok(mut url) = reqwest::Url::parse(text) else { return "***".to_owned() };
    if url.password().is_some() && url.set_password(Some("***")).is_err() {
        return "***".to_owned();
    }
    let hide = |name: &str| name.contains("password") || name.contains("sslkey");
    let query: Vec<(String, String)> = url
        .query_pairs()
        .map(|(name, value)| {
            let value = if hide(&name) { "***".into() } else { value };
            (name.into_owned(), value.into_owned())
        })
        .collect();
    if !query.is_empty() {
        url.query_pairs_mut().clear().extend_pairs(query);
    }
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::environment;

    const KNOWN: [Setting; 3] = [
        Setting { key: "listen", default: Some("here"), about: "" },
        Setting { key: "database.url", default: None, about: "" },
        Setting { key: "allowed_hosts", default: None, about: "" },
    ];

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("it is written");
        file
    }

    #[test]
    fn a_flag_goes_before_a_variable_before_the_file_before_the_default() {
        let text = "listen = 'file'\nallowed_hosts = ['a', 'b']\n[database]\nurl = 'file'";
        let file = file(text);
        let variables =
            environment(&[("MUSTER_LISTEN", "variable"), ("MUSTER_DATABASE_URL", "variable")]);
        let flags = [("listen", Some("flag".to_owned())), ("database.url", None)];
        let all =
            Settings::resolve(&KNOWN, &flags, &variables, Some(file.path())).expect("it fits");
        let origin = |key| all.get(key).expect("it is set").origin.to_string();
        assert_eq!((all.text("listen"), origin("listen")), (Some("flag"), "--listen".into()));
        assert_eq!(all.text("database.url"), Some("variable"));
        assert_eq!(origin("database.url"), "MUSTER_DATABASE_URL");
        assert_eq!(all.text("allowed_hosts"), Some("a,b"));
        assert_eq!(origin("allowed_hosts"), file.path().display().to_string());

        let none = Settings::resolve(&KNOWN, &[], &environment(&[]), None).expect("it fits");
        assert_eq!(none.text("listen"), Some("here"));
        assert_eq!(none.get("database.url"), None);
    }

    #[test]
    fn an_unknown_setting_in_the_file_is_refused_by_name() {
        let file = file("lisen = 'x'");
        let wrong = Settings::resolve(&KNOWN, &[], &environment(&[]), Some(file.path()));
        assert!(wrong.is_err_and(|text| text.contains("no setting \"lisen\"")));
    }

    #[test]
    fn a_setting_that_is_gone_is_named_with_what_replaces_it() {
        let retired = [("web.port", "listen has the port too")];
        let from = |variables: &[(&str, &str)], keys: &[&str]| {
            let in_file = keys.iter().map(|&key| (key.to_owned(), "80".to_owned())).collect();
            refuse_retired(&retired, &environment(variables), ("hub.toml", &in_file))
        };
        let words = |from: &str| {
            Err(format!("{from}: web.port is no setting any more: listen has the port too"))
        };
        assert_eq!(from(&[], &["web.port"]), words("hub.toml"));
        assert_eq!(from(&[("MUSTER_WEB_PORT", "80")], &[]), words("MUSTER_WEB_PORT"));
        assert_eq!(from(&[], &["listen"]), Ok(()));
    }

    #[test]
    fn options_of_the_object_store_are_taken_as_they_are() {
        let file = file("[objects.options]\nendpoint = 'http://s3'");
        let all = Settings::resolve(&KNOWN, &[], &environment(&[]), Some(file.path()));
        assert_eq!(all.expect("it fits").options["endpoint"].text, "http://s3");
    }

    #[test]
    fn secrets_are_masked() {
        let url = "postgres://hub:canary@db/muster?password=canary&sslmode=require";
        let shown = masked("database.url", url);
        assert!(!shown.contains("canary"), "{shown}");
        assert!(shown.starts_with("postgres://hub:***@db/muster?") && shown.contains("require"));
        let mail = masked("mail.url", "smtps://hub:canary@mail.example.org:465");
        assert_eq!(mail, "smtps://hub:***@mail.example.org:465");
        assert_eq!(masked("aws_secret_access_key", "canary"), "***");
        assert_eq!(masked("aws_region", "eu"), "eu");
    }
}
