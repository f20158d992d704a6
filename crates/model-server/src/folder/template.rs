//! The eos-template layout: `metadata.yml` or `metadata.json`, `model/framework/run.sh`, columns and
//! examples. Folders in the wild leave much of it out; only the command is needed.

use std::path::Path;

use muster_core::model::{Card, InputColumn, ModelLimits, Network};
use muster_core::{Column, ColumnKind, Model, Source};
use serde_json::Value;

use super::{Fault, Folder, Kind, first_column, header};
use crate::dependencies::Dependencies;

const FRAMEWORK: &str = "model/framework";

pub(super) fn read(dir: &Path) -> Result<Folder, Vec<Fault>> {
    let mut faults = Vec::new();
    let metadata = metadata(dir).map_err(|fault| faults.push(fault));
    let framework = dir.join(FRAMEWORK);
    if !framework.join("run.sh").is_file() {
        faults.push(Fault::new(format!("{FRAMEWORK}/run.sh"), "this file is missing"));
    }
    let dependencies = Dependencies::find(dir, None, None).map_err(|fault| faults.push(fault));
    let (Ok(metadata), Ok(dependencies)) = (metadata, dependencies) else { return Err(faults) };
    let folder_name =
        dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let identifier = field(&metadata, &["Identifier"]).unwrap_or_else(|| folder_name.clone());
    let id = identifier.to_lowercase().parse().or_else(|_| folder_name.parse());
    let id = id.map_err(|error| {
        faults.push(Fault::new("metadata", format!("Identifier {identifier:?}: {error}")));
    });
    let Ok(id) = id.and_then(|id| if faults.is_empty() { Ok(id) } else { Err(()) }) else {
        return Err(faults);
    };
    let text = |names: &[&str]| field(&metadata, names).unwrap_or_default();
    let card = Card {
        title: field(&metadata, &["Title", "Slug"]).unwrap_or(identifier),
        description: text(&["Description"]),
        interpretation: text(&["Interpretation"]),
        licence: text(&["License", "Licence"]),
        publication: text(&["Publication"]),
        source_code: text(&["Source Code", "Source"]),
        tags: list(&metadata, "Tag").into_iter().chain(list(&metadata, "Tags")).collect(),
    };
    let example = ["run_input.csv", "input.csv"]
        .iter()
        .find_map(|name| std::fs::read_to_string(framework.join("examples").join(name)).ok());
    let output = ["run_output.csv", "output.csv"]
        .iter()
        .find_map(|name| std::fs::read_to_string(framework.join("examples").join(name)).ok());
    let input_name = example.as_deref().map(header).and_then(|names| names.into_iter().next());
    let model = Model {
        id,
        version: field(&metadata, &["Version"]).unwrap_or_else(|| "0".to_owned()),
        source: Source::Folder { path: dir.to_string_lossy().into_owned() },
        card,
        input: InputColumn {
            name: input_name.unwrap_or_else(|| "input".to_owned()),
            description: list(&metadata, "Input").join(", "),
            also: vec!["smiles".into(), "canonical_smiles".into(), "key".into()],
        },
        outputs: columns(&framework),
        example: example.as_deref().map(first_column).unwrap_or_default(),
        limits: ModelLimits { batch_size: 1000, job_seconds: 3600, ..ModelLimits::default() },
        cache: true,
        network: if text(&["Network"]).eq_ignore_ascii_case("all") {
            Network::All
        } else {
            Network::None
        },
    };
    // The whole path: scripts in the wild change the directory before they use it.
    let here = framework.to_string_lossy();
    let command = ["bash", "run.sh", &here, "{input}", "{output}"].map(str::to_owned).to_vec();
    let example_output = output.as_deref().map(header).unwrap_or_default();
    let kind = Kind::Command { command, dir: framework };
    Ok(Folder { dir: dir.to_path_buf(), model, kind, dependencies, example_output })
}

fn metadata(dir: &Path) -> Result<Value, Fault> {
    for name in ["metadata.yml", "metadata.yaml"] {
        if let Ok(text) = std::fs::read_to_string(dir.join(name)) {
            return serde_saphyr::from_str(&text)
                .map_err(|error| Fault::new(name, format!("it is not YAML: {error}")));
        }
    }
    match std::fs::read_to_string(dir.join("metadata.json")) {
        // Read as YAML too, which holds JSON: folders in the wild have a comma before the last
        // brace.
        Ok(text) => serde_json::from_str(&text).or_else(|error| {
            let fault = Fault::new("metadata.json", format!("it is not JSON: {error}"));
            serde_saphyr::from_str(&text).map_err(|_| fault)
        }),
        // A folder without a card can be run all the same.
        Err(_) => Ok(Value::Null),
    }
}

/// A field by any of its names, as text; lists are joined.
fn field(metadata: &Value, names: &[&str]) -> Option<String> {
    names.iter().map(|name| list(metadata, name).join(", ")).find(|text| !text.is_empty())
}

/// A field as a list of texts, by its name without regard to case.
fn list(metadata: &Value, name: &str) -> Vec<String> {
    let Some(fields) = metadata.as_object() else { return vec![] };
    let value = fields.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
    let text = |value: &Value| match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    match value.map(|(_, value)| value) {
        Some(Value::Array(items)) => items.iter().map(text).filter(|t| !t.is_empty()).collect(),
        Some(value) => Some(text(value)).into_iter().filter(|t| !t.is_empty()).collect(),
        None => vec![],
    }
}

/// `columns/run_columns.csv`: name, type, direction, description.
fn columns(framework: &Path) -> Vec<Column> {
    let path = framework.join("columns/run_columns.csv");
    let Ok(text) = std::fs::read_to_string(path) else { return vec![] };
    let names = header(&text);
    let at = |name: &str| names.iter().position(|n| n.trim().eq_ignore_ascii_case(name));
    let (name, kind, description) = (at("name"), at("type"), at("description"));
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
    let cell = |row: &csv::StringRecord, at: Option<usize>| {
        at.and_then(|at| row.get(at)).map(str::trim).unwrap_or_default().to_owned()
    };
    let rows = reader.records().filter_map(Result::ok);
    let columns = rows.map(|row| Column {
        name: cell(&row, name),
        kind: match cell(&row, kind).to_lowercase().as_str() {
            "integer" | "int" => ColumnKind::Integer,
            "string" | "str" | "text" => ColumnKind::String,
            _ => ColumnKind::Float,
        },
        description: cell(&row, description),
    });
    columns.filter(|column| !column.name.is_empty()).collect()
}
