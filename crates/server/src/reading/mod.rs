//! From a body to the inputs of a request.

pub mod body;
pub mod json;
mod multipart;
pub mod records;
pub mod rules;
pub mod small;
pub mod table;
mod text;
#[cfg(test)]
mod vectors;

use std::sync::Arc;

use axum::extract::Request;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use muster_core::input::{BadInput, InputLimits, InputTable, Texts};
use muster_core::request::{Header, Reading, label};
use muster_core::{Model, ModelId, RequestId};
use muster_store::Store;
use serde::de::MapAccess;

use crate::http::extract::{Pairs, Parameters, request_id};
use crate::http::pace::Times;
use crate::http::problem::{At, Kind, Problem};
use crate::http::share::Share;
use body::{Reserved, Upload};
use json::{EachText, Fault};
use rules::{Dialect, HeaderRule, Rules};
use small::wrong;
use table::File;

/// What reads bodies: where their models are, and how much and how slowly may come.
pub struct Reader {
    pub store: Store,
    /// Memory that uploads share.
    pub space: Arc<Share>,
    pub times: Times,
    pub limits: InputLimits,
}

/// A router's state has it.
pub trait HasReader: Send + Sync {
    fn reader(&self) -> &Reader;
}

/// What a person wants predicted.
pub struct Submission {
    pub model: Arc<Model>,
    /// Empty if they are those of an earlier request.
    pub inputs: InputTable,
    pub inputs_of: Option<RequestId>,
    pub reading: Reading,
    pub use_cache: bool,
    /// Of the body and what was said beside it; zeros if nobody asked.
    pub body_hash: [u8; 32],
    pub reserved: Reserved,
    /// What its owner calls it.
    pub label: Option<String>,
}

/// The query of a submission. All but `wait` is for files; JSON says it in the body.
#[derive(Debug, Default)]
pub struct SubmitQuery {
    pub wait: Option<u32>,
    pub model: Option<ModelId>,
    pub column: Option<String>,
    pub header: Option<HeaderRule>,
    pub separator: Option<u8>,
    pub cache: Option<bool>,
    pub label: Option<String>,
}

/// Most that may be said for how long an answer is held back for the end of a request, seconds.
pub const LONGEST_WAIT: u32 = 60;
/// How long it is held back at most, whatever is said: nginx and most balancers give up after 60 seconds
/// of silence (decision 11).
pub const HELD_BACK: u32 = 50;

impl Parameters for SubmitQuery {
    const NAMES: &'static [&'static str] =
        &["wait", "model", "column", "header", "separator", "cache", "label"];

    fn read(pairs: &mut Pairs) -> Result<Self, Problem> {
        Ok(Self {
            wait: pairs.number("wait", LONGEST_WAIT)?,
            model: pairs.model("model")?,
            column: pairs.text("column"),
            header: pairs.value("header", "auto, used or absent")?,
            separator: pairs.text("separator").map(|text| separator(&text)).transpose()?,
            cache: pairs.value("cache", "true or false")?,
            label: pairs.text("label").map(|text| named(&text)).transpose()?.flatten(),
        })
    }
}

/// Whose inputs are taken; what is no id is of nobody.
fn earlier(text: &str) -> Result<RequestId, Problem> {
    request_id(text).ok_or_else(|| wrong("inputs_of", "`inputs_of` must be the id of a request."))
}

fn named(text: &str) -> Result<Option<String>, Problem> {
    label(text).map_err(|why| Problem::parameter("label", format!("A label {why}.")))
}

/// What is said to separate cells.
fn separator(text: &str) -> Result<u8, Problem> {
    muster_core::file::separator(text).ok_or_else(|| {
        let what = "This must be one character, or comma, semicolon, tab, pipe or space.";
        Problem::parameter("separator", what)
    })
}

/// Reads the body of a submission, as its Content-Type says. `keyed`: its hash is needed.
pub async fn read(
    reader: &Reader,
    request: Request,
    query: SubmitQuery,
    keyed: bool,
) -> Result<Submission, Problem> {
    let media = media_type(request.headers())?;
    match (media.as_str(), dialect(&media)) {
        ("application/json", _) => read_json(reader, request, query, keyed).await,
        ("multipart/form-data", _) => multipart::read(reader, request, query, keyed).await,
        (_, Some(dialect)) => read_file(reader, request, query, keyed, dialect).await,
        (_, None) => Err(unsupported(&media)),
    }
}

/// How files of a media type are read: its registered name, and others that browsers and programs
/// have for it.
fn dialect(media: &str) -> Option<Dialect> {
    match media {
        "text/csv"
        | "application/csv"
        | "text/x-csv"
        | "application/x-csv"
        | "text/comma-separated-values"
        | "text/x-comma-separated-values"
        | "application/vnd.ms-excel" => Some(Dialect::Csv),
        "text/tab-separated-values" | "text/tsv" | "text/x-tsv" => Some(Dialect::Tsv),
        "text/plain" => Some(Dialect::Lines),
        _ => None,
    }
}

/// A file whose reading has begun.
struct Begun {
    model: Arc<Model>,
    file: File,
    use_cache: bool,
    label: Option<String>,
    /// What the hash of the file begins with: all that was said beside it.
    salt: String,
}

impl Begun {
    fn new(reader: &Reader, query: SubmitQuery, dialect: Dialect) -> Result<Self, Problem> {
        let Some(id) = &query.model else {
            let detail = "Say which model the file is for: `?model=ID`.";
            return Err(Problem::parameter("model", detail));
        };
        let model = reader.store.find_model(id).ok_or_else(Problem::unknown_model)?;
        let use_cache = query.cache.unwrap_or(true);
        let said = (&query.model, &query.column, query.header, query.separator, use_cache);
        let mut salt = format!("{dialect:?} {said:?}");
        if let Some(label) = &query.label {
            // Quoted: where it ends the file begins.
            salt.push_str(&format!("{label:?}"));
        }
        let file = File::new(Rules {
            dialect,
            header: query.header.unwrap_or_default(),
            column: query.column,
            separator: query.separator,
            input: model.input.clone(),
            limits: reader.limits,
        });
        Ok(Self { model, file, use_cache, label: query.label, salt })
    }

    fn end(self, (body_hash, reserved): ([u8; 32], Reserved)) -> Result<Submission, Problem> {
        let Self { model, file, use_cache, label, .. } = self;
        let (inputs, reading) = file.end()?;
        let inputs_of = None;
        Ok(Submission { model, inputs, inputs_of, reading, use_cache, body_hash, reserved, label })
    }
}

async fn read_file(
    reader: &Reader,
    request: Request,
    query: SubmitQuery,
    keyed: bool,
    dialect: Dialect,
) -> Result<Submission, Problem> {
    let mut begun = Begun::new(reader, query, dialect)?;
    let mut upload = open(reader, request, keyed.then(|| begun.salt.clone())).await?;
    while let Some(piece) = upload.next().await? {
        begun.file.feed(&piece)?;
    }
    begun.end(upload.end())
}

async fn read_json(
    reader: &Reader,
    request: Request,
    query: SubmitQuery,
    keyed: bool,
) -> Result<Submission, Problem> {
    let of_file = query.column.is_some() || query.header.is_some() || query.separator.is_some();
    if query.model.is_some() || of_file || query.label.is_some() {
        let detail = "With JSON the model stands in the body: {\"model\": ID, \"inputs\": [..]}.";
        return Err(Problem::parameter("model", detail));
    }
    let mut upload = open(reader, request, keyed.then(|| "json".into())).await?;
    let body = json::read(&mut upload, SubmitBody::new(reader.limits)).await?;
    let id = body.model.ok_or_else(|| missing("model", SUBMIT_EXAMPLE))?;
    let model =
        find_model(reader, &id).map_err(|problem| problem.at(At::Pointer("/model".into())))?;
    let inputs_of = body.inputs_of.as_deref().map(earlier).transpose()?;
    let inputs = match (body.inputs, inputs_of) {
        (Some(_), Some(_)) => {
            return Err(wrong("inputs_of", "Send either `inputs` or `inputs_of`, not both."));
        }
        (None, None) => return Err(missing("inputs", SUBMIT_EXAMPLE)),
        (inputs, _) => inputs.unwrap_or_default(),
    };
    if inputs.is_empty() && inputs_of.is_none() {
        let detail = "There is no input. Send at least one: {\"inputs\": [\"..\"]}.";
        return Err(Problem::new(Kind::EmptyInput, detail).at(At::Pointer("/inputs".into())));
    }
    let reading =
        Reading { header: Header::NotAFile, rows: inputs.len() as u64, ..Reading::default() };
    let (inputs, use_cache) = (InputTable { inputs, records: None }, body.cache.unwrap_or(true));
    let (body_hash, reserved) = upload.end();
    let label = body.label;
    Ok(Submission { model, inputs, inputs_of, reading, use_cache, body_hash, reserved, label })
}

/// Begins to read a body. `salt`: its hash is needed, after this.
pub async fn open(
    reader: &Reader,
    request: Request,
    salt: Option<String>,
) -> Result<Upload, Problem> {
    let (limit, times) = (reader.limits.body_bytes, reader.times);
    let mut upload = Upload::new(request, &reader.space, times, limit).await?;
    if let Some(salt) = salt {
        upload.hash_with(salt.as_bytes());
    }
    Ok(upload)
}

/// Begins to read a small body that has to be JSON.
pub async fn open_json(
    reader: &Reader,
    request: Request,
    most_bytes: u64,
) -> Result<Upload, Problem> {
    if media_type(request.headers())? != "application/json" {
        let detail = "Send JSON with `Content-Type: application/json`.";
        return Err(Problem::new(Kind::UnsupportedMediaType, detail));
    }
    Upload::new(request, &reader.space, reader.times, most_bytes).await
}

/// The Content-Type without its parameters, lower case; only UTF-8 is read.
pub fn media_type(headers: &HeaderMap) -> Result<String, Problem> {
    let mut given = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (given.next(), given.next()) else { return Err(unsupported("")) };
    let text = value.to_str().map_err(|_| unsupported(""))?.to_ascii_lowercase();
    let mut parts = text.split(';').map(str::trim);
    let media = parts.next().unwrap_or_default().to_owned();
    let charset = parts.find_map(|part| part.strip_prefix("charset=")).unwrap_or("utf-8");
    if !matches!(charset.trim_matches('"'), "utf-8" | "utf8" | "us-ascii") {
        let detail = "Only UTF-8 is read. Save the file with the encoding UTF-8.";
        return Err(Problem::new(Kind::UnsupportedMediaType, detail));
    }
    Ok(media)
}

fn unsupported(media: &str) -> Problem {
    let sent = match media {
        "" => "The body came without one Content-Type.",
        "application/x-www-form-urlencoded" => {
            "The body came as a form, which is what `curl` says of what is sent without a \
             Content-Type."
        }
        _ => "The body's Content-Type is not one that is read.",
    };
    let detail = format!(
        "{sent} Send JSON with `Content-Type: application/json`, a file with `Content-Type: \
         text/csv` (text/tab-separated-values, text/plain with one input a line), or a form with a \
         file (multipart/form-data)."
    );
    Problem::new(Kind::UnsupportedMediaType, detail)
}

/// The model of an id as somebody wrote it.
pub fn find_model(reader: &Reader, id: &str) -> Result<Arc<Model>, Problem> {
    let found = id.parse().ok().and_then(|id| reader.store.find_model(&id));
    found.ok_or_else(Problem::unknown_model)
}

/// A member that must be there. `name`: its path in the body.
pub fn missing(name: &str, example: &str) -> Problem {
    let detail = format!("`{name}` is missing. The body is like {example}.");
    Problem::new(Kind::BadJson, detail).at(At::Pointer(format!("/{name}")))
}

const SUBMIT_EXAMPLE: &str = r#"{"model": "ID", "inputs": ["..", ".."]}"#;

/// The JSON body of a submission.
struct SubmitBody {
    limits: InputLimits,
    model: Option<String>,
    inputs: Option<Texts>,
    inputs_of: Option<String>,
    cache: Option<bool>,
    label: Option<String>,
}

impl SubmitBody {
    fn new(limits: InputLimits) -> Self {
        Self { limits, model: None, inputs: None, inputs_of: None, cache: None, label: None }
    }
}

impl json::Object for SubmitBody {
    const MEMBERS: &'static [(&'static str, &'static str)] = &[
        ("model", "a string: the model's id"),
        ("inputs", "an array of strings"),
        ("cache", "true or false"),
        ("label", "a string: what you call it"),
        ("inputs_of", "a string: the id of one of your requests"),
    ];
    const EXAMPLE: &'static str = SUBMIT_EXAMPLE;

    fn member<'de, A: MapAccess<'de>>(
        &mut self,
        n: usize,
        map: &mut A,
        fault: &mut Fault,
    ) -> Result<(), A::Error> {
        match n {
            0 => self.model = Some(map.next_value()?),
            1 => {
                let (limits, mut inputs) = (self.limits, Texts::default());
                map.next_value_seed(EachText(fault, |n, text: &str| {
                    limits.check(text).map_err(|bad| bad_input(n, &bad))?;
                    if n as u64 >= limits.inputs {
                        return Err(
                            table::too_many(limits.inputs).at(At::Pointer("/inputs".into()))
                        );
                    }
                    inputs.push(text);
                    Ok(())
                }))?;
                self.inputs = Some(inputs);
            }
            2 => self.cache = Some(map.next_value()?),
            4 => self.inputs_of = Some(map.next_value()?),
            _ => {
                let text: Option<String> = map.next_value()?;
                self.label = label(&text.unwrap_or_default())
                    .map_err(|why| fault.is(wrong("label", format!("A label {why}."))))?;
            }
        }
        Ok(())
    }
}

fn bad_input(n: usize, bad: &BadInput) -> Problem {
    let kind = match bad {
        BadInput::TooLong { .. } => Kind::InputTooLong,
        BadInput::Empty | BadInput::Nul => Kind::BadInput,
    };
    let detail = format!("This input cannot be used: {bad}.");
    Problem::new(kind, detail).at(At::Pointer(format!("/inputs/{n}")))
}
