//! A request's result, to a file, to standard output, or as a table.

use std::fs::{self, File};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use clap::ValueEnum;
use reqwest::header::{CONTENT_RANGE, ETAG};
use reqwest::{Response, StatusCode};

use crate::count::Count;
use crate::failure::{Failure, io_failure};
use crate::hub::Hub;
use crate::table;

/// Rows of a result that are shown on a terminal.
const SHOWN: usize = 20;
/// How often a download is tried that breaks off.
const TRIES: u32 = 5;
/// How long a hub that went away in the middle of a download is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
const AGAIN: &str = "Nothing was kept. Fetch it again with `muster result ID`.";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Csv,
    Json,
    Ndjson,
    Parquet,
    Arrow,
    Xlsx,
}

/// Where a result goes.
pub enum Target {
    File(PathBuf, Format),
    Output(Format),
    /// The first rows as a table.
    Terminal,
}

impl Format {
    fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Ndjson => "ndjson",
            Self::Parquet => "parquet",
            Self::Arrow => "arrow",
            Self::Xlsx => "xlsx",
        }
    }

    /// What the file's name says; CSV if it has no ending.
    fn of_file(file: &Path) -> Result<Self, Failure> {
        let Some(ending) = file.extension() else { return Ok(Self::Csv) };
        Ok(match ending.to_string_lossy().to_ascii_lowercase().as_str() {
            "csv" => Self::Csv,
            "json" => Self::Json,
            "ndjson" | "jsonl" => Self::Ndjson,
            "parquet" => Self::Parquet,
            "arrow" | "arrows" => Self::Arrow,
            "xlsx" => Self::Xlsx,
            ending => {
                let what = format!("a result cannot be written as .{ending}");
                let advice = "There are .csv, .json, .ndjson (.jsonl), .parquet, .arrow and .xlsx. With \
                              --format another name can be given to one of these.";
                return Err(Failure::usage(what).advice(advice));
            }
        })
    }
}

impl Target {
    /// `-o -` is standard output. A file's format is that of its name, CSV if it says nothing.
    pub fn new(output: Option<&Path>, format: Option<Format>) -> Result<Self, Failure> {
        match output {
            Some(file) if file != Path::new("-") => {
                if file.is_dir() {
                    return Err(Failure::usage(format!("{} is a folder", file.display())));
                }
                let format = format.map_or_else(|| Format::of_file(file), Ok)?;
                Ok(Self::File(file.to_owned(), format))
            }
            None if format.is_none() && std::io::stdout().is_terminal() => Ok(Self::Terminal),
            _ => {
                let format = format.unwrap_or(Format::Csv);
                let binary = matches!(format, Format::Parquet | Format::Arrow | Format::Xlsx);
                if binary && std::io::stdout().is_terminal() {
                    let what = format!("{} cannot be shown on a terminal", format.name());
                    return Err(Failure::usage(what).advice("Give a file with -o."));
                }
                Ok(Self::Output(format))
            }
        }
    }

    /// Fetches the result, which has so many rows. A file is there when it is whole, and not before.
    pub async fn fetch(&self, hub: &Hub, id: &str, rows: u64) -> Result<(), Failure> {
        match self {
            Self::File(file, format) => to_file(hub, id, file, (*format, rows)).await,
            Self::Output(format) => {
                let mut out = std::io::stdout().lock();
                let pieces = Pieces::open(hub, id, *format).await?;
                copy(pieces, &mut out, "standard output", (*format, rows)).await?;
                out.flush().map_err(io_failure("standard output"))
            }
            Self::Terminal => {
                let pieces = Pieces::open(hub, id, Format::Csv).await?;
                table::print(&first_rows(pieces, rows).await?)
            }
        }
    }
}

/// A download that goes on where it broke off.
struct Pieces<'h> {
    hub: &'h Hub,
    path: String,
    /// Which bytes they are; absent if the hub does not say so.
    tag: Option<String>,
    have: u64,
    response: Response,
    tries: u32,
}

impl<'h> Pieces<'h> {
    async fn open(hub: &'h Hub, id: &str, format: Format) -> Result<Self, Failure> {
        let path = format!("/api/v1/requests/{id}/result?format={}", format.name());
        let response = hub.stream(&path).await?;
        let tag = response.headers().get(ETAG).and_then(|tag| tag.to_str().ok());
        let tag = tag.filter(|tag| tag.starts_with('"')).map(str::to_owned);
        Ok(Self { hub, path, tag, have: 0, response, tries: 1 })
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            match self.response.chunk().await {
                Ok(piece) => {
                    self.have += piece.as_ref().map_or(0, |piece| piece.len() as u64);
                    return Ok(piece);
                }
                Err(error) => self.go_on(&broken_off(&error)).await?,
            }
        }
    }

    async fn go_on(&mut self, broken: &Failure) -> Result<(), Failure> {
        let Some(tag) = self.tag.as_ref().filter(|_| self.tries < TRIES) else {
            return Err(Failure::failed(&broken.what).advice(AGAIN));
        };
        self.tries += 1;
        // What was there a moment ago is waited for.
        self.hub.be_patient_at_least(PATIENCE);
        let rest = self.hub.stream_from(&self.path, self.have, tag).await;
        let rest = rest.map_err(|failure| {
            let what = format!("{}, and cannot go on: {}", broken.what, failure.what);
            Failure::failed(what).advice(failure.advice.unwrap_or_else(|| AGAIN.to_owned()))
        })?;
        let begins = rest.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
        let expected = format!("bytes {}-", self.have);
        if rest.status() != StatusCode::PARTIAL_CONTENT
            || !begins.is_some_and(|begins| begins.starts_with(&expected))
        {
            let what = format!("{}, and the hub does not send the rest alone", broken.what);
            return Err(Failure::failed(what).advice(AGAIN));
        }
        self.response = rest;
        Ok(())
    }
}

async fn to_file(hub: &Hub, id: &str, file: &Path, expected: (Format, u64)) -> Result<(), Failure> {
    let name = file.display().to_string();
    let mut part = file.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let pieces = Pieces::open(hub, id, expected.0).await?;
    let written = async {
        let mut out = File::create(&part).map_err(io_failure(&name))?;
        copy(pieces, &mut out, &name, expected).await?;
        out.sync_all().map_err(io_failure(&name))?;
        fs::rename(&part, file).map_err(io_failure(&name))
    };
    let written = written.await;
    if written.is_err() && part.exists() {
        fs::remove_file(&part).map_err(io_failure(&name))?;
    }
    written
}

/// Fails if there are not as many rows as there must be: a proxy may have cut the result.
async fn copy(
    mut pieces: Pieces<'_>,
    out: &mut impl Write,
    name: &str,
    (format, rows): (Format, u64),
) -> Result<(), Failure> {
    let mut count = Count::new(format);
    while let Some(piece) = pieces.next().await? {
        count.add(&piece);
        out.write_all(&piece).map_err(io_failure(name))?;
    }
    match count.missing(rows) {
        None => Ok(()),
        Some(missing) => {
            let what = format!("the download broke off without an error: {missing}");
            Err(Failure::failed(what).advice(AGAIN))
        }
    }
}

/// The start of a CSV download as a table; the rest is not fetched.
async fn first_rows(mut pieces: Pieces<'_>, rows: u64) -> Result<String, Failure> {
    let mut start = Vec::new();
    let mut whole = false;
    // A row may have line ends within quotes: the reader knows.
    while !whole && records(&start, false).len() <= SHOWN {
        match pieces.next().await? {
            Some(piece) => start.extend_from_slice(&piece),
            None => whole = true,
        }
    }
    let mut records = records(&start, whole).into_iter();
    let header = records.next().unwrap_or_default();
    let shown: Vec<Vec<String>> = records.take(SHOWN).collect();
    Ok(table::preview(&header, &shown, rows))
}

/// Complete records at the start of a CSV text; the last one may be cut unless it is the `whole`.
fn records(text: &[u8], whole: bool) -> Vec<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text);
    let mut records: Vec<Vec<String>> = reader
        .byte_records()
        .take(SHOWN + 2)
        .map_while(Result::ok)
        .map(|record| {
            record.iter().map(|cell| String::from_utf8_lossy(cell).into_owned()).collect()
        })
        .collect();
    if !whole && records.len() < SHOWN + 2 {
        records.pop();
    }
    records
}

fn broken_off(error: &reqwest::Error) -> Failure {
    Failure::failed(format!("the download broke off: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_record_is_not_shown() {
        let text = b"a,b\n1,\"x\ny\"\n2,\"cu";
        assert_eq!(records(text, false), [["a", "b"], ["1", "x\ny"]]);
        assert_eq!(records(b"a\n1\n", true), [["a"], ["1"]]);
    }

    #[test]
    fn a_file_is_written_in_the_format_of_its_name_or_not_at_all() {
        let format = |name: &str| match Target::new(Some(Path::new(name)), None) {
            Ok(Target::File(_, format)) => Some(format),
            _ => None,
        };
        for other in ["out.xls", "out.tsv", "out.csv.gz", "out.feather", "out.", ".csv.zip"] {
            assert_eq!(format(other), None, "{other}");
            let named = Target::new(Some(Path::new(other)), Some(Format::Csv));
            assert!(matches!(named, Ok(Target::File(_, Format::Csv))), "{other}");
        }
        assert_eq!(format("out.PARQUET"), Some(Format::Parquet));
        assert_eq!(format("out.xlsx"), Some(Format::Xlsx));
        assert_eq!(format("out.csv"), Some(Format::Csv));
        assert_eq!(format("out"), Some(Format::Csv));
        assert_eq!(format("-"), None);
    }
}
