//! An MLflow model: `MLmodel`, its python_function flavour and its signature.

use std::path::Path;

use muster_core::model::{Card, InputColumn, ModelLimits, Network};
use muster_core::{Column, ColumnKind, Model, Resources, Source};
use serde::Deserialize;
use serde_json::Value;

use super::yaml::{self, Yaml};
use super::{Fault, Folder, Form, Kind, Mlflow, Note, file_text};
use crate::dependencies::{Dependencies, Step};

const FILE: &str = "MLmodel";

/// A column of a signature.
#[derive(Deserialize)]
struct Field {
    #[serde(rename = "type")]
    kind: Value,
    name: Option<String>,
    #[serde(default = "yes")]
    required: bool,
}

fn yes() -> bool {
    true
}

pub(super) fn read(dir: &Path) -> Result<Folder, Vec<Fault>> {
    let fault = |what: String| vec![Fault::new(FILE, what)];
    let source = file_text(dir, FILE).map_err(|fault| vec![fault])?;
    let read =
        yaml::read(&source.text).map_err(|error| fault(format!("it is not YAML: {error}")))?;
    let mut notes = source.notes;
    notes.extend(read.twice.iter().map(|key| Note::twice(FILE, key)));
    let Some(flavour) = read.value.get("flavors").and_then(|it| it.get("python_function")) else {
        return Err(fault(
            "it has no python_function flavour, so it cannot be called as it is".into(),
        ));
    };
    let signature = read.value.get("signature");
    let inputs = fields(signature, "inputs").map_err(fault)?;
    let outputs = fields(signature, "outputs").unwrap_or_default();
    let mut needed = inputs.iter().filter(|field| field.required);
    let column = needed.next().or(inputs.first());
    if needed.next().is_some() {
        let names: Vec<&str> = inputs.iter().filter_map(|field| field.name.as_deref()).collect();
        return Err(fault(format!(
            "its signature has {} input columns ({}); a model here has one",
            inputs.len(),
            names.join(", ")
        )));
    }
    let example = example(dir, &read.value);
    let shown = example.as_ref().map_or(&[][..], |example| &example.columns);
    if column.is_none_or(|field| field.name.is_none()) && shown.len() > 1 {
        return Err(fault(format!(
            "its example has {} columns ({}); a model here has one",
            shown.len(),
            shown.join(", ")
        )));
    }
    let numbers = match column.map(|field| field.kind.as_str().ok_or(&field.kind)) {
        // Where MLflow could not tell what a model takes (scipy is not there, or types are mixed) it writes
        // `any`, without a name.
        None | Some(Ok("string" | "any")) => None,
        Some(Ok("double")) => Some("float64"),
        Some(Ok("float")) => Some("float32"),
        Some(Ok("long")) => Some("int64"),
        Some(Ok("integer")) => Some("int32"),
        Some(kind) => {
            let kind = kind.map_or_else(ToString::to_string, str::to_owned);
            return Err(fault(format!(
                "its input is of the type {kind}; a model here takes texts or numbers"
            )));
        }
    };
    let name = dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let id = name.to_lowercase().parse().map_err(|error| {
        vec![Fault::new(name.clone(), format!("the folder's name is the model's id: {error}"))]
    })?;
    let columns: Vec<Column> = outputs
        .iter()
        .filter_map(|field| {
            let kind = match field.kind.as_str()? {
                "long" | "integer" | "boolean" => ColumnKind::Integer,
                "string" => ColumnKind::String,
                _ => ColumnKind::Float,
            };
            Some(Column::new(field.name.clone()?, kind))
        })
        .collect();
    let column = column.and_then(|field| field.name.clone());
    let column = column.or_else(|| shown.first().cloned());
    let model = Model {
        id,
        version: "0".to_owned(),
        source: Source::Folder { path: dir.to_string_lossy().into_owned() },
        card: Card { title: name.clone(), ..Card::default() },
        input: InputColumn {
            name: column.clone().unwrap_or_else(|| "input".to_owned()),
            ..InputColumn::default()
        },
        outputs: columns,
        example: example.map(|example| example.inputs).unwrap_or_default(),
        limits: ModelLimits::default(),
        resources: Resources::default(),
        cache: true,
        network: Network::None,
        pod: None,
    };
    let outputs = model.outputs.iter().map(|column| column.name.clone()).collect();
    let kind = Kind::Mlflow(Mlflow { column, numbers, outputs });
    let dependencies = dependencies(dir, flavour, &read.value).map_err(|fault| vec![fault])?;
    Ok(Folder {
        dir: dir.to_path_buf(),
        slug: name,
        model,
        kind,
        form: Form::Mlflow,
        dependencies,
        example_output: vec![],
        notes,
        snapshot: super::Snapshot::default(),
    })
}

/// A part of the signature, which is JSON in a text.
fn fields(signature: Option<&Yaml>, part: &str) -> Result<Vec<Field>, String> {
    let Some(text) = signature.and_then(|it| it.get(part)).and_then(Yaml::text) else {
        return Ok(vec![]);
    };
    serde_json::from_str(text).map_err(|error| format!("its signature cannot be read: {error}"))
}

/// MLflow writes what is needed more than once; requirements.txt has it all.
fn dependencies(dir: &Path, flavour: &Yaml, description: &Yaml) -> Result<Dependencies, Fault> {
    let python = flavour.get("python_version").and_then(Yaml::text).map(str::to_owned);
    let mut found = Dependencies::find(dir, None, python)?;
    found.notes.retain(|note| !note.about.file.starts_with("conda."));
    let named = file_text(dir, "requirements.txt").map(|file| file.text).unwrap_or_default();
    if !named.contains("mlflow") && !format!("{:?}", found.steps).contains("mlflow") {
        // That loads every flavour; all of MLflow is a server with a web page, and hundreds of megabytes.
        let version = description.get("mlflow_version").and_then(Yaml::text).unwrap_or_default();
        let is_released =
            !version.is_empty() && version.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let pin = if is_released { format!("=={version}") } else { String::new() };
        found.steps.push(Step::Pip(vec![format!("mlflow-skinny{pin}"), "pandas".to_owned()]));
    }
    Ok(found)
}

/// The example that was saved with the model.
struct Example {
    /// Their names, if it is a table.
    columns: Vec<String>,
    /// The first column.
    inputs: Vec<String>,
}

fn example(dir: &Path, description: &Yaml) -> Option<Example> {
    let file = description.get("saved_input_example_info")?.get("artifact_path")?.text()?;
    let table: Value = serde_json::from_str(&file_text(dir, file).ok()?.text).ok()?;
    let rows = table.get("data").unwrap_or(&table).as_array()?;
    let text = |row: &Value| {
        let cell = row.as_array().map_or(Some(row), |cells| cells.first())?;
        Some(cell.as_str().map_or_else(|| cell.to_string(), str::to_owned))
    };
    let columns = table.get("columns").and_then(Value::as_array).into_iter().flatten();
    let columns = columns.filter_map(|name| name.as_str().map(str::to_owned)).collect();
    Some(Example { columns, inputs: rows.iter().map(text).collect::<Option<_>>()? })
}
