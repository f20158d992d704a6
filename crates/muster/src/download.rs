//! A request's result, to a file, to standard output, or as a table.

use std::fs::{self, File};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use reqwest::Response;

use crate::failure::{Failure, Kind, io_failure};
use crate::hub::Hub;
use crate::table;

/// Rows of a result that are shown on a terminal.
const SHOWN: usize = 20;
/// How often a download that breaks off is started again.
const TRIES: u32 = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Csv,
    Json,
    Ndjson,
    Parquet,
    Arrow,
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
        }
    }

    fn of_file(file: &Path) -> Option<Self> {
        let extension = file.extension()?.to_str()?.to_ascii_lowercase();
        Some(match extension.as_str() {
            "json" => Self::Json,
            "ndjson" | "jsonl" => Self::Ndjson,
            "parquet" => Self::Parquet,
            "arrow" | "feather" => Self::Arrow,
            _ => return None,
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
                let of_name = Format::of_file(file).unwrap_or(Format::Csv);
                Ok(Self::File(file.to_owned(), format.unwrap_or(of_name)))
            }
            None if format.is_none() && std::io::stdout().is_terminal() => Ok(Self::Terminal),
            _ => {
                let format = format.unwrap_or(Format::Csv);
                let binary = matches!(format, Format::Parquet | Format::Arrow);
                if binary && std::io::stdout().is_terminal() {
                    let what = format!("{} cannot be shown on a terminal", format.name());
                    return Err(Failure::usage(what).advice("Give a file with -o."));
                }
                Ok(Self::Output(format))
            }
        }
    }

    /// Fetches the result. A file is there when it is whole, and not before.
    pub async fn fetch(&self, hub: &Hub, id: &str, rows: u64) -> Result<(), Failure> {
        match self {
            Self::File(file, format) => {
                let mut tries = 1;
                while let Err(failure) = to_file(hub, id, file, *format).await {
                    if failure.kind != Kind::Unreachable || tries == TRIES {
                        return Err(failure);
                    }
                    tries += 1;
                }
                Ok(())
            }
            Self::Output(format) => {
                let mut out = std::io::stdout().lock();
                let response = open(hub, id, *format).await?;
                copy(response, &mut out, "standard output").await?;
                out.flush().map_err(io_failure("standard output"))
            }
            Self::Terminal => {
                let response = open(hub, id, Format::Csv).await?;
                table::print(&first_rows(response, rows).await?)
            }
        }
    }
}

async fn open(hub: &Hub, id: &str, format: Format) -> Result<Response, Failure> {
    hub.stream(&format!("/api/v1/requests/{id}/result?format={}", format.name())).await
}

async fn to_file(hub: &Hub, id: &str, file: &Path, format: Format) -> Result<(), Failure> {
    let name = file.display().to_string();
    let mut part = file.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let response = open(hub, id, format).await?;
    let written = async {
        let mut out = File::create(&part).map_err(io_failure(&name))?;
        copy(response, &mut out, &name).await?;
        out.sync_all().map_err(io_failure(&name))?;
        fs::rename(&part, file).map_err(io_failure(&name))
    };
    let written = written.await;
    if written.is_err() && part.exists() {
        fs::remove_file(&part).map_err(io_failure(&name))?;
    }
    written
}

async fn copy(mut response: Response, out: &mut impl Write, name: &str) -> Result<(), Failure> {
    while let Some(chunk) = response.chunk().await.map_err(|error| broken_off(&error))? {
        out.write_all(&chunk).map_err(io_failure(name))?;
    }
    Ok(())
}

/// The start of a CSV download as a table; the rest is not fetched.
async fn first_rows(mut response: Response, rows: u64) -> Result<String, Failure> {
    let mut start = Vec::new();
    let mut whole = false;
    // A row may have line ends within quotes: the reader knows.
    while !whole && records(&start, false).len() <= SHOWN {
        match response.chunk().await.map_err(|error| broken_off(&error))? {
            Some(chunk) => start.extend_from_slice(&chunk),
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
    let what = format!("the download broke off: {error}");
    Failure::new(Kind::Unreachable, what).advice("Fetch it again with `muster result ID`.")
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
    fn a_file_is_written_in_the_format_of_its_name() {
        let format = |name: &str| match Target::new(Some(Path::new(name)), None) {
            Ok(Target::File(_, format)) => Some(format),
            _ => None,
        };
        assert_eq!(format("out.PARQUET"), Some(Format::Parquet));
        assert_eq!(format("out.csv"), Some(Format::Csv));
        assert_eq!(format("out"), Some(Format::Csv));
        assert_eq!(format("-"), None);
    }
}
