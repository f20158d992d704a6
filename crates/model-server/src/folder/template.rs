//! The eos-template layout: `metadata.yml` or `metadata.json`, `model/framework/run.sh`, columns and
//! examples. Folders in the wild leave much of it out; only the command is needed.

use std::path::Path;

use muster_core::model::{Card, InputColumn, InputKind, ModelLimits, Network};
use muster_core::{Column, ColumnKind, Direction, Model, Resources, Source};

use super::yaml::{self, Yaml};
use super::{Fault, Folder, Form, Kind, Note, Source as Text, file_text, first_column, header};
use crate::dependencies::Dependencies;

const FRAMEWORK: &str = "model/framework";
const COLUMNS: &str = "columns/run_columns.csv";

pub(super) fn read(dir: &Path) -> Result<Folder, Vec<Fault>> {
    let mut faults = Vec::new();
    let metadata = metadata(dir).map_err(|fault| faults.push(fault));
    let framework = dir.join(FRAMEWORK);
    if !framework.join("run.sh").is_file() {
        faults.push(Fault::new(format!("{FRAMEWORK}/run.sh"), "this file is missing"));
    }
    let dependencies = Dependencies::find(dir, None, None).map_err(|fault| faults.push(fault));
    let (Ok((metadata, mut notes)), Ok(dependencies)) = (metadata, dependencies) else {
        return Err(faults);
    };
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
        task: text(&["Task"]),
    };
    let example = ["run_input.csv", "input.csv"]
        .iter()
        .find_map(|name| file_text(&framework.join("examples"), name).ok())
        .map(|example| example.text);
    let output = ["run_output.csv", "output.csv"]
        .iter()
        .find_map(|name| file_text(&framework.join("examples"), name).ok())
        .map(|example| example.text);
    let input_name = example.as_deref().map(header).and_then(|names| names.into_iter().next());
    let model = Model {
        id,
        version: declared_version(&metadata).unwrap_or_else(|| "0".to_owned()),
        source: Source::Folder { path: dir.to_string_lossy().into_owned() },
        card,
        input: InputColumn {
            name: input_name.unwrap_or_else(|| "input".to_owned()),
            description: list(&metadata, "Input").join(", "),
            also: vec!["smiles".into(), "canonical_smiles".into(), "key".into()],
            kind: input_kind(&list(&metadata, "Input")),
        },
        outputs: columns(&framework, &mut notes),
        example: example.as_deref().map(first_column).unwrap_or_default(),
        limits: ModelLimits { batch_size: 1000, job_seconds: 3600, ..ModelLimits::default() },
        resources: Resources::default(),
        cache: is_consistent(&metadata),
        network: match field(&metadata, &["Network"]) {
            Some(network) if network.eq_ignore_ascii_case("all") => Network::All,
            _ => Network::None,
        },
        pod: None,
    };
    // The whole path: scripts in the wild change the directory before they use it.
    let here = framework.to_string_lossy();
    let command = ["bash", "run.sh", &here, "{input}", "{output}"].map(str::to_owned).to_vec();
    let example_output = output.as_deref().map(header).unwrap_or_default();
    let kind = Kind::Command { command, dir: framework };
    Ok(Folder {
        dir: dir.to_path_buf(),
        slug: field(&metadata, &["Slug"]).unwrap_or_else(|| model.id.to_string()),
        model,
        kind,
        form: Form::Template,
        dependencies,
        example_output,
        notes,
        snapshot: super::Snapshot::default(),
    })
}

/// `Version`, or what the last release is called.
fn declared_version(metadata: &Yaml) -> Option<String> {
    let version = field(metadata, &["Version", "Release"])?;
    let version: String = version.chars().filter(char::is_ascii_graphic).take(40).collect();
    Some(version).filter(|version| !version.is_empty())
}

/// May a prediction be used again? Not if the model says that the next one may be another.
fn is_consistent(metadata: &Yaml) -> bool {
    let said = field(metadata, &["Output Consistency", "Consistency"]).unwrap_or_default();
    let same = ["", "fixed", "consistent", "deterministic", "constant", "stable"];
    let no = |name: &str, word: &str| {
        field(metadata, &[name]).is_some_and(|said| said.eq_ignore_ascii_case(word))
    };
    same.contains(&said.to_lowercase().as_str())
        && !no("Deterministic", "false")
        && !no("Stochastic", "true")
}

/// What a folder says of its inputs, as far as it is one of the kinds there are.
fn input_kind(said: &[String]) -> Option<InputKind> {
    let known = |said: &String| match said.to_lowercase().as_str() {
        "compound" | "molecule" | "smiles" => Some(InputKind::Smiles),
        "dna" => Some(InputKind::Dna),
        "protein" => Some(InputKind::Protein),
        "text" => Some(InputKind::Text),
        _ => None,
    };
    said.iter().find_map(known)
}

fn metadata(dir: &Path) -> Result<(Yaml, Vec<Note>), Fault> {
    // JSON is YAML, and folders in the wild have a comma before the last brace.
    for name in ["metadata.yml", "metadata.yaml", "metadata.json"] {
        if !dir.join(name).is_file() {
            continue;
        }
        let Text { text, mut notes } = file_text(dir, name)?;
        let kind = if name.ends_with("json") { "JSON" } else { "YAML" };
        let read = yaml::read(&text)
            .map_err(|error| Fault::new(name, format!("it is not {kind}: {error}")))?;
        notes.extend(read.twice.iter().map(|key| Note::twice(name, key)));
        return Ok((read.value, notes));
    }
    // A folder without a card can be run all the same.
    Ok((Yaml::Null, vec![]))
}

/// A field by any of its names, as text; lists are joined.
fn field(metadata: &Yaml, names: &[&str]) -> Option<String> {
    names.iter().map(|name| list(metadata, name).join(", ")).find(|text| !text.is_empty())
}

/// A field as a list of texts, by its name without regard to case.
fn list(metadata: &Yaml, name: &str) -> Vec<String> {
    let texts = |value: &Yaml| value.text().map(|text| text.trim().to_owned());
    let all: Vec<String> = match metadata.get_any_case(name) {
        Some(Yaml::List(items)) => items.iter().filter_map(texts).collect(),
        Some(value) => texts(value).into_iter().collect(),
        None => vec![],
    };
    all.into_iter().filter(|text| !text.is_empty()).collect()
}

/// `columns/run_columns.csv`: name, type, direction, description, unit.
fn columns(framework: &Path, notes: &mut Vec<Note>) -> Vec<Column> {
    let Ok(Text { text, .. }) = file_text(framework, COLUMNS) else {
        return vec![];
    };
    let names = header(&text);
    let at = |name: &str| names.iter().position(|n| n.trim().eq_ignore_ascii_case(name));
    let (name, kind, description) = (at("name"), at("type"), at("description"));
    let (unit, direction) = (at("unit"), at("direction"));
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
    let cell = |row: &csv::StringRecord, at: Option<usize>| {
        at.and_then(|at| row.get(at)).map(str::trim).unwrap_or_default().to_owned()
    };
    let rows = reader.records().filter_map(Result::ok).filter(|row| !cell(row, name).is_empty());
    let columns = rows.map(|row| Column {
        name: cell(&row, name),
        kind: match cell(&row, kind).to_lowercase().as_str() {
            "integer" | "int" => ColumnKind::Integer,
            "string" | "str" | "text" => ColumnKind::String,
            _ => ColumnKind::Float,
        },
        description: cell(&row, description),
        unit: cell(&row, unit),
        direction: match cell(&row, direction).to_lowercase().as_str() {
            "high" => Some(Direction::High),
            "low" => Some(Direction::Low),
            "" => None,
            other => {
                let (name, file) = (cell(&row, name), format!("{FRAMEWORK}/{COLUMNS}"));
                let what = format!("{name}: its direction is {other:?}, and not high or low");
                notes.push(Note::told(file, what));
                None
            }
        },
    });
    columns.collect()
}
