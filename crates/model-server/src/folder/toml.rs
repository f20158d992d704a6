//! `model.toml`, our own description of a model.

use std::path::Path;

use muster_core::instance::host_never_called;
use muster_core::model::{Card, InputColumn, InputKind, ModelLimits, Network};
use muster_core::{Column, Model, Resources, Source};
use serde::Deserialize;

use super::{Fault, Folder, Form, Kind, Source as Text, file_text};
use crate::dependencies::Dependencies;

const FILE: &str = "model.toml";
const PREDICT: &str = "predict.py";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    id: Option<String>,
    version: Option<String>,
    kind: String,
    #[serde(default = "yes")]
    cache: bool,
    #[serde(default)]
    network: Network,
    python: Option<String>,
    requirements: Option<String>,
    function: Option<String>,
    command: Option<Vec<String>>,
    url: Option<String>,
    #[serde(default)]
    example: Vec<String>,
    #[serde(default)]
    card: Card,
    input: Option<Input>,
    #[serde(default)]
    outputs: Vec<Column>,
    #[serde(default)]
    limits: ModelLimits,
    #[serde(default)]
    resources: Resources,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    name: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    also: Vec<String>,
    kind: Option<InputKind>,
}

fn yes() -> bool {
    true
}

pub(super) fn read(dir: &Path) -> Result<Folder, Vec<Fault>> {
    let fault = |what: String| vec![Fault::new(FILE, what)];
    let Text { text, notes } = file_text(dir, FILE).map_err(|fault| vec![fault])?;
    let description: Description =
        ::toml::from_str(&text).map_err(|e| fault(e.to_string().trim().replace('\n', " ")))?;
    let mut folder = described(dir, description)?;
    folder.notes.extend(notes);
    Ok(folder)
}

/// A folder with a `predict.py` and nothing that describes it.
pub(super) fn read_predict(dir: &Path) -> Result<Folder, Vec<Fault>> {
    let Text { text, .. } = file_text(dir, PREDICT).map_err(|fault| vec![fault])?;
    let names = |line: &str| {
        let word = |word: &str| {
            line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|it| it == word)
        };
        word("predict") && (word("def") || word("import") || line.starts_with("predict"))
    };
    if !text.lines().any(names) {
        let what = "it has no function `predict`; a model is `predict(inputs: list[str]) -> \
                    list[dict]`, or has a model.toml that says how it is run";
        return Err(vec![Fault::new(PREDICT, what)]);
    }
    let description: Description = ::toml::from_str("kind = \"python\"")
        .map_err(|error| vec![Fault::new(PREDICT, error.to_string())])?;
    Ok(Folder { form: Form::Predict, ..described(dir, description)? })
}

fn described(dir: &Path, description: Description) -> Result<Folder, Vec<Fault>> {
    let mut faults = Vec::new();
    let name = dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let id = description.id.clone().unwrap_or(name);
    let parsed = id.parse::<muster_core::ModelId>().map_err(|e| {
        faults.push(Fault::new(FILE, format!("id {id:?}: {e}")));
    });
    let kind = kind(dir, &description).map_err(|what| faults.push(Fault::new(FILE, what)));
    let dependencies =
        Dependencies::find(dir, description.requirements.as_deref(), description.python.clone());
    let dependencies = dependencies.map_err(|fault| faults.push(fault));
    super::check_limits(&description.limits, &mut faults);
    for (field, what) in description.resources.faults(description.limits.memory_mib) {
        faults.push(Fault::new(FILE, format!("resources: {field} {what}")));
    }
    let (Ok(id), Ok(kind), Ok(dependencies), true) =
        (parsed, kind, dependencies, faults.is_empty())
    else {
        return Err(faults);
    };
    let source = match &kind {
        Kind::Http { url } => Source::Server { url: url.clone() },
        _ => Source::Folder { path: dir.to_string_lossy().into_owned() },
    };
    let input = description.input.map_or_else(
        || InputColumn { name: "input".into(), ..InputColumn::default() },
        |Input { name, description, also, kind }| InputColumn { name, description, also, kind },
    );
    let mut card = description.card;
    if card.title.is_empty() {
        card.title = id.to_string();
    }
    let model = Model {
        id,
        version: description.version.unwrap_or_else(|| "0".to_owned()),
        source,
        card,
        input,
        outputs: description.outputs,
        example: description.example,
        limits: description.limits,
        resources: description.resources,
        cache: description.cache,
        network: description.network,
        pod: None,
    };
    Ok(Folder {
        dir: dir.to_path_buf(),
        slug: model.id.to_string(),
        model,
        kind,
        form: Form::ModelToml,
        dependencies,
        example_output: vec![],
        notes: vec![],
        snapshot: super::Snapshot::default(),
    })
}

fn kind(dir: &Path, description: &Description) -> Result<Kind, String> {
    match description.kind.as_str() {
        "python" => {
            let function = description.function.as_deref().unwrap_or("predict.py:predict");
            let (file, function) = function
                .split_once(':')
                .ok_or("function is FILE:NAME, for example predict.py:predict")?;
            let path = dir.join(file);
            if !path.is_file() {
                return Err(format!("function: there is no file {file}"));
            }
            Ok(Kind::Python { file: path, function: function.to_owned() })
        }
        "command" => {
            let command = description.command.clone().filter(|command| !command.is_empty()).ok_or(
                "kind \"command\" needs command = [PROGRAM, .., \"{input}\", \"{output}\"]",
            )?;
            let names = |word: &str| command.iter().any(|part| part.contains(word));
            if !names("{input}") || !names("{output}") {
                return Err("command has to name {input} and {output}".to_owned());
            }
            Ok(Kind::Command { command, dir: dir.to_path_buf() })
        }
        "http" => {
            let url = description.url.clone().ok_or("kind \"http\" needs url = \"http://..\"")?;
            if !url.starts_with("http://") && !url.starts_with("https://") {
                return Err("url has to start with http:// or https://".to_owned());
            }
            // Parsed as it is when it is called: 0xa9fea9fe is an address as well.
            let parsed = reqwest::Url::parse(&url).map_err(|error| format!("url: {error}"))?;
            let host = parsed.host_str().unwrap_or_default();
            if host_never_called(host) {
                return Err(format!(
                    "url: the hub never calls {host}; give the address of a model server"
                ));
            }
            Ok(Kind::Http { url })
        }
        other => Err(format!("kind is \"python\", \"command\" or \"http\", not {other:?}")),
    }
}
