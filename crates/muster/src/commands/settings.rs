//! `muster config`: what `muster serve` would work with, and where each value comes from.

use crate::arguments::{ServeFlags, ShowConfig};
use crate::config::Environment;
use crate::config::known::SETTINGS;
use crate::config::server::{self, Serve};
use crate::config::settings::{Settings, masked};
use crate::failure::Failure;
use crate::table;

pub fn read(flags: &ServeFlags, environment: &Environment) -> Result<Settings, Failure> {
    let file = flags.config.clone().or_else(|| environment.get("MUSTER_CONFIG").map(Into::into));
    Settings::resolve(SETTINGS, &flags.by_key(), environment, file.as_deref())
        .map_err(Failure::usage)
}

pub fn show(arguments: &ShowConfig, environment: &Environment) -> Result<(), Failure> {
    let settings = read(&arguments.flags, environment)?;
    let mut rows: Vec<(String, String, String)> = Vec::new();
    for setting in SETTINGS {
        let value = settings.get(setting.key);
        let text = value.map(|value| masked(setting.key, &value.text));
        let origin = value.map(|value| value.origin.to_string());
        rows.push((setting.key.to_owned(), text.unwrap_or_default(), origin.unwrap_or_default()));
    }
    for (name, value) in server::object_options(&settings, environment) {
        let text = masked(&name, &value.text);
        let key = format!("{}{name}", crate::config::settings::OPTIONS);
        rows.push((key, text, value.origin.to_string()));
    }
    for (name, value) in &settings.groups {
        let key = format!("{}{name}", crate::config::settings::GROUPS);
        rows.push((key, value.text.clone(), value.origin.to_string()));
    }
    if arguments.json {
        let entry = |(key, text, origin): (String, String, String)| {
            let origin = Some(origin).filter(|origin| !origin.is_empty());
            let text = origin.as_ref().map(|_| text);
            (key, serde_json::json!({ "value": text, "from": origin }))
        };
        let all: serde_json::Map<String, serde_json::Value> = rows.into_iter().map(entry).collect();
        table::print(&serde_json::Value::Object(all).to_string())?;
    } else {
        let about = |key: &str| SETTINGS.iter().find(|setting| setting.key == key);
        let rows = rows.into_iter().map(|(key, text, origin)| {
            let about = about(&key).map_or("", |setting| setting.about).to_owned();
            let dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
            vec![key, dash(text), dash(origin), about]
        });
        let header = ["setting", "value", "from", "what it is"];
        table::print(&table::table(&header, rows.collect(), &[]))?;
    }
    // A value that cannot be used is an error here as it is for `muster serve`.
    Serve::read(&settings, environment).map(drop).map_err(Failure::usage)
}
