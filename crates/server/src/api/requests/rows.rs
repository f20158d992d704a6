//! The few rows of a small result, written into the answer itself.

use futures::TryStreamExt;
use muster_core::input::Texts;
use muster_core::{Cell, Column, Ended, Part, Phase, Request, Row};
use muster_store::Format;
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::value::RawValue;

use crate::app::App;
use crate::http::problem::Problem;
use crate::reading::Submission;

/// Results of more rows are only downloaded.
const MOST: usize = 100;
/// Also what a submission may hold on to while it waits.
const MOST_BYTES: usize = 256 << 10;

/// What the rows need of a submission.
pub struct Kept {
    /// The person's columns.
    names: Vec<String>,
    /// Their cells, row after row.
    cells: Vec<Vec<String>>,
    declared: Vec<Column>,
}

impl Kept {
    /// Nothing if the result will not be shown.
    pub fn of(submission: &Submission) -> Option<Self> {
        let (inputs, records) = (&submission.inputs.inputs, &submission.inputs.records);
        let bytes = records.as_ref().map_or(inputs.bytes(), Texts::bytes);
        if inputs.len() > MOST || bytes > MOST_BYTES {
            return None;
        }
        let names = match records {
            Some(_) => submission.reading.columns.clone(),
            None => vec![submission.reading.column.clone().unwrap_or_else(|| "input".into())],
        };
        let cells = match records {
            Some(records) => records.iter().map(split).collect(),
            None => inputs.iter().map(|input| vec![input.to_owned()]).collect(),
        };
        Some(Self { names, cells, declared: submission.model.outputs.clone() })
    }
}

/// The cells of one CSV record.
pub fn split(record: &str) -> Vec<String> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(record.as_bytes());
    let first = reader.records().next();
    first.and_then(Result::ok).map_or_else(Vec::new, |r| r.iter().map(str::to_owned).collect())
}

/// The rows of a completed request of one task: the same as in its JSON download.
pub fn write(kept: &Kept, part: &Part) -> String {
    serde_json::to_string(&Rows::new(kept, part)).unwrap_or_default()
}

/// The rows of `request` if it completed and they are few. `known` is used if it is there.
pub async fn of(
    app: &App,
    request: &Request,
    known: Option<String>,
) -> Result<Option<Box<RawValue>>, Problem> {
    let completed = matches!(&request.phase, Phase::Ended { how: Ended::Completed, .. });
    if !completed || request.progress.inputs > MOST as u64 {
        return Ok(None);
    }
    let rows = match known {
        Some(rows) => rows,
        None => {
            let (principal, id) = (request.principal, request.id);
            let Some(download) = app.store.download(principal, id, Format::Json).await? else {
                return Ok(None);
            };
            let pieces = download.stream.try_fold(Vec::new(), |mut all, piece| async move {
                all.extend_from_slice(&piece);
                Ok(all)
            });
            String::from_utf8(pieces.await?).map_err(|_| Problem::internal())?
        }
    };
    RawValue::from_string(rows).map(Some).map_err(|_| Problem::internal())
}

struct Rows<'k> {
    kept: &'k Kept,
    part: &'k Part,
    /// The model's columns as they are shown: name and place in the part.
    columns: Vec<(String, usize)>,
    errors: bool,
}

impl<'k> Rows<'k> {
    fn new(kept: &'k Kept, part: &'k Part) -> Self {
        let errors = part.failed() > 0;
        let mut taken: Vec<String> = kept.names.clone();
        taken.extend(errors.then(|| "error".to_owned()));
        let declared = |name: &str| kept.declared.iter().position(|column| column.name == name);
        let names = part.columns.iter().map(|(name, _)| name.as_str());
        let mut columns: Vec<(&str, usize)> = names.zip(0..).collect();
        columns.sort_by_key(|(name, _)| declared(name).unwrap_or(usize::MAX));
        let mut free = |name: &str| {
            let numbered = (2..).map(|n| format!("{name}_{n}"));
            let mut all = std::iter::once(name.to_owned()).chain(numbered);
            let name = all.find(|name| !taken.contains(name)).unwrap_or_default();
            taken.push(name.clone());
            name
        };
        let columns = columns.into_iter().map(|(name, place)| (free(name), place)).collect();
        Self { kept, part, columns, errors }
    }
}

impl Serialize for Rows<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut rows = to.serialize_seq(Some(self.part.rows.len()))?;
        for (own, row) in self.kept.cells.iter().zip(&self.part.rows) {
            rows.serialize_element(&OneRow { rows: self, own, row })?;
        }
        rows.end()
    }
}

struct OneRow<'k> {
    rows: &'k Rows<'k>,
    own: &'k [String],
    row: &'k Row,
}

impl Serialize for OneRow<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        for (name, cell) in self.rows.kept.names.iter().zip(self.own) {
            map.serialize_entry(name, cell)?;
        }
        let (values, error): (&[Cell], _) = match self.row {
            Row::Values(values) => (values, None),
            Row::Error(error) => (&[], Some(error)),
        };
        for (name, place) in &self.rows.columns {
            map.serialize_entry(name, values.get(*place).unwrap_or(&Cell::Null))?;
        }
        if self.rows.errors {
            map.serialize_entry("error", &error)?;
        }
        map.end()
    }
}
