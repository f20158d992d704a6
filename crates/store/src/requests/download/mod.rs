//! A result on its way out: the person's own columns, the model's columns, and `error` where inputs
//! failed; part by part, in the format that was asked for.

mod arrow;
mod csv;
mod inputs;
mod json;
mod size;
mod tasks;
mod xlsx;

use std::collections::HashMap;
use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, StreamExt};
use muster_core::request::{MAY_BE_A_HEADER, Progress, Reading, Request, may_have_a_header};
use muster_core::table::ResultNames;
use muster_core::{Cell, ColumnKind, Ended, Part, Phase, PrincipalId, RequestId, Row};

use crate::db::conn::on;
use crate::requests::parts;
use crate::{Download, Error, INLINE, Store, aside, aside_if};
use size::Size;
use tasks::{PartRow, Tasks};

/// What inputs are called that came without a name.
const INPUT: &str = "input";

const COLUMNS: &str = "SELECT result_columns, MIN(position) FROM task WHERE request_id = $1 \
     AND result_columns IS NOT NULL GROUP BY result_columns ORDER BY MIN(position)";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Csv,
    Json,
    Ndjson,
    Parquet,
    Arrow,
    /// An Excel workbook.
    Xlsx,
}

impl Format {
    pub const ALL: [Self; 6] =
        [Self::Csv, Self::Json, Self::Ndjson, Self::Parquet, Self::Arrow, Self::Xlsx];

    pub fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Ndjson => "ndjson",
            Self::Parquet => "parquet",
            Self::Arrow => "arrow",
            Self::Xlsx => "xlsx",
        }
    }

    /// What files of the format are called.
    pub fn extension(self) -> &'static str {
        self.name()
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8",
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Parquet => "application/vnd.apache.parquet",
            Self::Arrow => "application/vnd.apache.arrow.stream",
            Self::Xlsx => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        }
    }
}

impl FromStr for Format {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|format| format.name() == text).ok_or(())
    }
}

/// What the result table looks like.
pub(crate) struct Header {
    /// The person's columns; `input` alone if there was no file.
    pub own: Vec<String>,
    /// The file had more columns than the input: they come as lines.
    pub lines: bool,
    /// The model's columns as they are called in the result.
    pub model: Vec<(String, ColumnKind)>,
    /// How the parts call them.
    names: Vec<String>,
    /// What says why, if some inputs failed.
    pub error: Option<String>,
    /// May the first row be the file's header, if it failed?
    hint: bool,
}

/// Which rows of a result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// So many of the first are left out.
    pub offset: u64,
    /// Most of the rest; `None`: all of it.
    pub limit: Option<u64>,
}

impl Window {
    /// How many of so many rows are in it.
    fn of(self, rows: u64) -> u64 {
        let rest = rows.saturating_sub(self.offset);
        self.limit.map_or(rest, |limit| rest.min(limit))
    }
}

/// One task's rows.
pub(crate) struct Batch {
    pub inputs: Vec<String>,
    pub lines: Option<Vec<u8>>,
    pub rows: Vec<ResultRow>,
}

/// The model's cells in the header's order, or why there are none.
pub(crate) enum ResultRow {
    Values(Vec<Cell>),
    Error(String),
}

/// Writes batches as bytes.
pub(crate) trait Writer: Send {
    fn start(&mut self) -> Result<Vec<u8>, Error>;
    fn batch(&mut self, batch: Batch) -> Result<Vec<u8>, Error>;
    fn end(&mut self) -> Result<Vec<u8>, Error>;

    /// Is there more after the end, which is read piece by piece?
    fn has_rest(&self) -> bool {
        false
    }

    fn rest(&mut self) -> Result<Vec<u8>, Error> {
        Ok(Vec::new())
    }
}

struct Reader {
    tasks: Tasks,
    header: Arc<Header>,
    writer: Box<dyn Writer>,
    state: State,
    size: Size,
    /// Rows that are passed over, and rows that are to be written after that.
    skip: u64,
    left: u64,
}

enum State {
    Start,
    Rows,
    End,
}

impl Store {
    /// Streams the result of a completed request; `None` for foreign and unknown ids.
    pub async fn download(
        &self,
        principal: PrincipalId,
        id: RequestId,
        format: Format,
    ) -> Result<Option<Download>, Error> {
        self.download_rows(principal, id, format, Window::default()).await
    }

    /// Some of its rows.
    pub async fn download_rows(
        &self,
        principal: PrincipalId,
        id: RequestId,
        format: Format,
        window: Window,
    ) -> Result<Option<Download>, Error> {
        let Some(request) = self.find_request(principal, id).await? else { return Ok(None) };
        self.stream(&request, own(&request.reading), (format, window)).await.map(Some)
    }

    /// The same for those who want of their own columns only the inputs, under the name `input`.
    pub async fn download_bare(
        &self,
        principal: PrincipalId,
        id: RequestId,
        format: Format,
    ) -> Result<Option<Download>, Error> {
        let Some(request) = self.find_request(principal, id).await? else { return Ok(None) };
        let window = Window::default();
        self.stream(&request, vec![INPUT.to_owned()], (format, window)).await.map(Some)
    }

    async fn stream(
        &self,
        request: &Request,
        own: Vec<String>,
        (format, window): (Format, Window),
    ) -> Result<Download, Error> {
        match &request.phase {
            Phase::Ended { how: Ended::Completed, .. } => {}
            Phase::Ended { .. } => return Err(Error::NoResult),
            _ => return Err(Error::NotEnded),
        }
        let header = Arc::new(self.header(request, own).await?);
        let rows = window.of(request.progress.inputs);
        let writer: Box<dyn Writer> = match format {
            Format::Csv => Box::new(csv::CsvWriter::new(Arc::clone(&header))),
            Format::Json => Box::new(json::JsonWriter::array(Arc::clone(&header))),
            Format::Ndjson => Box::new(json::JsonWriter::lines(Arc::clone(&header))),
            Format::Parquet => Box::new(arrow::ParquetWriter::new(Arc::clone(&header))?),
            Format::Arrow => Box::new(arrow::ArrowWriter::new(Arc::clone(&header))?),
            Format::Xlsx => {
                let made_at = request.phase.ended_at().unwrap_or(request.submitted_at);
                Box::new(xlsx::XlsxWriter::new(Arc::clone(&header), rows, made_at)?)
            }
        };
        let tasks = Tasks::of(self, request.id, request.progress.inputs).await?;
        let size = Size::new(request.id, (format, window), &header, tasks.sizes.as_deref());
        let (tag, known) = (size.tag.clone(), size.known);
        let (state, skip) = (State::Start, window.offset);
        let reader = Reader { tasks, header, writer, state, size, skip, left: rows };
        let chunks = stream::try_unfold(reader, Reader::chunk);
        let stream = chunks.filter(|chunk| {
            let keep = chunk.as_ref().map_or(true, |bytes| !bytes.is_empty());
            std::future::ready(keep)
        });
        Ok(Download { rows, tag, size: known, stream: stream.boxed() })
    }

    /// All inputs of a request, in their order.
    pub async fn find_inputs(&self, request: &Request) -> Result<Vec<String>, Error> {
        let mut tasks = Tasks::of(self, request.id, request.progress.inputs).await?;
        let mut all = Vec::new();
        while let Some(row) = tasks.next_row().await? {
            let PartRow { input, input_at: at, input_len: len, .. } = row;
            all.extend(parts::read_inputs(&tasks.bytes(input, at, len).await?)?);
        }
        Ok(all)
    }

    /// Hands on the slices of a request's inputs as they are stored: how many inputs, the JSON array
    /// of them, and the person's own lines.
    pub(crate) async fn each_slice(
        &self,
        request: RequestId,
        inputs: u64,
        mut take: impl FnMut(u64, Vec<u8>, Option<Vec<u8>>),
    ) -> Result<(), Error> {
        let mut tasks = Tasks::of(self, request, inputs).await?;
        while let Some(row) = tasks.next_row().await? {
            let count = row.count as u64;
            let (input, lines) = tasks.slice(row).await?;
            take(count, input, lines);
        }
        Ok(())
    }

    async fn header(&self, request: &Request, own: Vec<String>) -> Result<Header, Error> {
        let mut conn = self.inner.db.read().await?;
        let texts: Vec<(String, i64)> = on!(&mut conn, c => {
            sqlx::query_as(COLUMNS).bind(request.id.0).fetch_all(c).await?
        });
        let mut columns: Vec<(String, ColumnKind)> = Vec::new();
        for (text, _) in texts {
            let part: Vec<(String, ColumnKind)> =
                serde_json::from_str(&text).map_err(|_| Error::Corrupt("columns".into()))?;
            for (name, kind) in part {
                match columns.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, known)) => *known = known.join(kind),
                    None => columns.push((name, kind)),
                }
            }
        }
        if let Some(model) = self.find_model(&request.model) {
            let place = |name: &str| model.outputs.iter().position(|column| column.name == name);
            columns.sort_by_key(|(name, _)| place(name).unwrap_or(usize::MAX));
        }
        let lines = own.len() > 1;
        let names: Vec<String> = columns.iter().map(|(name, _)| name.clone()).collect();
        let failed = request.progress.failed > 0;
        let ResultNames { model, error } =
            ResultNames::new(&own, names.iter().map(String::as_str), failed);
        let model = model.into_iter().zip(columns.into_iter().map(|(_, kind)| kind)).collect();
        let Progress { failed, inputs, .. } = request.progress;
        let hint = may_have_a_header(request.reading.header, failed, inputs);
        Ok(Header { own, lines, model, names, error, hint })
    }
}

impl Reader {
    async fn chunk(mut self) -> Result<Option<(Bytes, Self)>, Error> {
        let bytes = match self.state {
            State::End if !self.writer.has_rest() => return Ok(None),
            State::End => self.writer.rest()?,
            State::Start => {
                self.state = State::Rows;
                self.writer.start()?
            }
            State::Rows => match self.next_row().await? {
                Some(row) => {
                    let from = self.skip;
                    let to = (row.count as u64).min(from + self.left);
                    (self.skip, self.left) = (0, self.left - (to - from));
                    let wanted = from as usize..to as usize;
                    let loaded = self.load(row).await?;
                    let (header, mut writer) = (Arc::clone(&self.header), self.writer);
                    let weight = loaded.weight();
                    let writing = move || {
                        let written =
                            loaded.read(&header).and_then(|batch| writer.batch(batch.cut(wanted)));
                        (written, writer)
                    };
                    let (written, writer) = aside_if(weight, writing).await;
                    self.writer = writer;
                    written?
                }
                None => {
                    self.state = State::End;
                    // It may have all rows to pack.
                    let mut writer = self.writer;
                    let (written, writer) = aside(move || (writer.end(), writer)).await;
                    self.writer = writer;
                    written?
                }
            },
        };
        let is_end = matches!(self.state, State::End) && !self.writer.has_rest();
        self.size.add(&self.tasks.store, bytes.len(), is_end).await?;
        Ok(Some((bytes.into(), self)))
    }

    /// The next task that has rows of the window.
    async fn next_row(&mut self) -> Result<Option<PartRow>, Error> {
        while self.left > 0 {
            let Some(row) = self.tasks.next_row().await? else { return Ok(None) };
            let count = row.count as u64;
            if count > self.skip {
                return Ok(Some(row));
            }
            self.skip -= count;
        }
        Ok(None)
    }

    async fn load(&mut self, row: PartRow) -> Result<Loaded, Error> {
        let PartRow { position, count, input, input_at: at, input_len: len, records, .. } = row;
        let PartRow { records_at, records_len, result, object, sha, .. } = row;
        let part = match (result, object) {
            (Some(bytes), _) => Stored::Inline(bytes),
            (None, Some(path)) => {
                let bytes = self.tasks.store.inner.objects.get(&path).await?;
                Stored::Object { path, bytes, sha }
            }
            (None, None) => return Err(Error::Corrupt("a part of a result is missing".into())),
        };
        let own = if self.header.lines {
            self.tasks.bytes(records, records_at, records_len).await?
        } else {
            self.tasks.bytes(input, at, len).await?
        };
        Ok(Loaded { position, count, part, own })
    }
}

impl Batch {
    /// Only some of its rows.
    fn cut(mut self, wanted: Range<usize>) -> Self {
        if wanted == (0..self.rows.len()) {
            return self;
        }
        let lines = self.lines.map(|lines| {
            let all = csv::split_lines(&lines);
            let some = all.get(wanted.clone()).unwrap_or_default();
            some.iter().flat_map(|line| line.iter().copied().chain([b'\n'])).collect()
        });
        self.rows.truncate(wanted.end);
        self.inputs.truncate(wanted.end);
        self.rows.drain(..wanted.start);
        self.inputs.drain(..wanted.start.min(self.inputs.len()));
        Self { lines, ..self }
    }
}

/// A part as it is stored.
enum Stored {
    Inline(Vec<u8>),
    Object { path: String, bytes: Bytes, sha: Option<Vec<u8>> },
}

/// What is stored of one task's rows.
struct Loaded {
    position: i64,
    count: i64,
    part: Stored,
    /// The person's lines, or the inputs.
    own: Vec<u8>,
}

impl Loaded {
    /// About how many bytes there are to read. Only what is large is an object.
    fn weight(&self) -> usize {
        match &self.part {
            Stored::Inline(bytes) => bytes.len().max(self.own.len()),
            Stored::Object { .. } => INLINE + 1,
        }
    }

    fn read(self, header: &Header) -> Result<Batch, Error> {
        let part = match self.part {
            Stored::Inline(bytes) => parts::decode(&bytes)?,
            Stored::Object { path, bytes, sha } => {
                if sha.as_deref() != Some(&parts::sha(&bytes)) {
                    return Err(Error::Corrupt(format!("object {path} is not what was stored")));
                }
                parts::from_parquet(bytes)?
            }
        };
        if part.rows.len() as i64 != self.count {
            return Err(Error::Corrupt("a part of a result has missing rows".into()));
        }
        let (inputs, lines) = if header.lines {
            (Vec::new(), Some(self.own))
        } else {
            (parts::read_inputs(&self.own)?, None)
        };
        let mut rows = header.arrange(part);
        if self.position == 0
            && header.hint
            && let Some(ResultRow::Error(error)) = rows.first_mut()
        {
            error.push_str(MAY_BE_A_HEADER);
        }
        Ok(Batch { inputs, lines, rows })
    }
}

impl Header {
    /// A part's cells in the order of the result's columns.
    fn arrange(&self, part: Part) -> Vec<ResultRow> {
        let place: HashMap<&str, usize> =
            part.columns.iter().enumerate().map(|(n, (name, _))| (name.as_str(), n)).collect();
        let places: Vec<Option<usize>> =
            self.names.iter().map(|name| place.get(name.as_str()).copied()).collect();
        let as_is = places.iter().enumerate().all(|(n, place)| *place == Some(n));
        let arrange = |row: Row| match row {
            Row::Error(error) => ResultRow::Error(error),
            Row::Values(cells) if as_is => ResultRow::Values(cells),
            Row::Values(cells) => {
                let cell = |place: &Option<usize>| {
                    place.and_then(|n| cells.get(n)).cloned().unwrap_or(Cell::Null)
                };
                ResultRow::Values(places.iter().map(cell).collect())
            }
        };
        part.rows.into_iter().map(arrange).collect()
    }
}

/// The person's columns.
fn own(reading: &Reading) -> Vec<String> {
    match reading {
        reading if reading.columns.len() > 1 => reading.columns.clone(),
        reading => vec![reading.column.clone().unwrap_or_else(|| INPUT.to_owned())],
    }
}

/// The person's own cells of each row of a batch, when they come as lines.
pub(crate) fn own_cells(lines: &[u8]) -> Result<Vec<Vec<String>>, Error> {
    let reader = ::csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(lines);
    let mut rows = Vec::new();
    for record in reader.into_records() {
        let record = record.map_err(|_| Error::Corrupt("a line of a file".into()))?;
        rows.push(record.iter().map(str::to_owned).collect());
    }
    Ok(rows)
}
