//! The few rows of a small result, written into the answer itself.

use std::borrow::Cow;

use futures::TryStreamExt;
use muster_core::input::Texts;
use muster_core::request::{Header, MAY_BE_A_HEADER, may_have_a_header};
use muster_core::table::ResultNames;
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
    header: Header,
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
        let (declared, header) = (submission.model.outputs.clone(), submission.reading.header);
        Some(Self { names, cells, declared, header })
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
    /// What says why, if some inputs failed.
    error: Option<String>,
}

impl<'k> Rows<'k> {
    fn new(kept: &'k Kept, part: &'k Part) -> Self {
        let declared = |name: &str| kept.declared.iter().position(|column| column.name == name);
        let names = part.columns.iter().map(|(name, _)| name.as_str());
        let mut columns: Vec<(&str, usize)> = names.zip(0..).collect();
        columns.sort_by_key(|(name, _)| declared(name).unwrap_or(usize::MAX));
        let shown = columns.iter().map(|(name, _)| *name);
        let ResultNames { model, error } = ResultNames::new(&kept.names, shown, part.failed() > 0);
        let columns = model.into_iter().zip(columns.iter().map(|(_, place)| *place)).collect();
        Self { kept, part, columns, error }
    }
}

impl Serialize for Rows<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut rows = to.serialize_seq(Some(self.part.rows.len()))?;
        let (failed, inputs) = (self.part.failed(), self.part.rows.len() as u64);
        let mut hint = may_have_a_header(self.kept.header, failed, inputs);
        for (own, row) in self.kept.cells.iter().zip(&self.part.rows) {
            rows.serialize_element(&OneRow { rows: self, own, row, hint })?;
            hint = false;
        }
        rows.end()
    }
}

struct OneRow<'k> {
    rows: &'k Rows<'k>,
    own: &'k [String],
    row: &'k Row,
    /// May it be the header?
    hint: bool,
}

impl Serialize for OneRow<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        for (name, cell) in self.rows.kept.names.iter().zip(self.own) {
            map.serialize_entry(name, cell)?;
        }
        let (values, error): (&[Cell], _) = match self.row {
            Row::Values(values) => (values, None),
            Row::Error(error) if self.hint => {
                (&[], Some(Cow::Owned(format!("{error}{MAY_BE_A_HEADER}"))))
            }
            Row::Error(error) => (&[], Some(Cow::Borrowed(error.as_str()))),
        };
        for (name, place) in &self.rows.columns {
            map.serialize_entry(name, values.get(*place).unwrap_or(&Cell::Null))?;
        }
        if let Some(name) = &self.rows.error {
            map.serialize_entry(name, &error)?;
        }
        map.end()
    }
}
