//! What a person wants predictions for, as the body of a submission.

use std::io::Read;
use std::path::Path;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;

use crate::answer::Model;
use crate::arguments::Run;
use crate::failure::Failure;

const JSON: &str = "application/json";
const CSV: &str = "text/csv";
const TABS: &str = "text/tab-separated-values";
const LINES: &str = "text/plain";

/// The body of `POST /api/v1/requests`, and how it is to be read.
pub struct Upload {
    pub content_type: &'static str,
    pub query: Vec<(&'static str, String)>,
    pub body: Bytes,
}

impl Upload {
    /// Reads the inputs of the command. `model` tells how much the hub takes.
    pub fn read(run: &Run, model: &Model) -> Result<Self, Failure> {
        let mut upload = match &run.file {
            Some(file) => Self::of_file(run, file, model)?,
            None => Self::of_json(run),
        };
        if upload.content_type != JSON {
            upload.query.push(("model", run.model.clone()));
            if run.no_cache {
                upload.query.push(("cache", "false".to_owned()));
            }
            upload.query.extend(run.label.clone().map(|label| ("label", label)));
        }
        Ok(upload)
    }

    fn of_json(run: &Run) -> Self {
        let mut body = serde_json::json!({ "model": run.model });
        match &run.inputs_of {
            Some(id) => body["inputs_of"] = id.as_str().into(),
            None => body["inputs"] = run.input.as_slice().into(),
        }
        if let Some(label) = &run.label {
            body["label"] = label.as_str().into();
        }
        if run.no_cache {
            body["cache"] = false.into();
        }
        Self { content_type: JSON, query: Vec::new(), body: body.to_string().into() }
    }

    fn of_file(run: &Run, file: &Path, model: &Model) -> Result<Self, Failure> {
        let most = model.limits.body_bytes;
        let body = if file == Path::new("-") {
            read_all(std::io::stdin().lock(), "standard input", most)?
        } else {
            let name = file.display().to_string();
            let unreadable =
                |error: std::io::Error| Failure::usage(format!("{name} cannot be read: {error}"));
            let opened = std::fs::File::open(file).map_err(unreadable)?;
            if opened.metadata().map_err(unreadable)?.is_dir() {
                return Err(Failure::usage(format!("{name} is a folder, not a file")));
            }
            match file.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gz")) {
                true => read_all(MultiGzDecoder::new(opened), &name, most)?,
                false => read_all(opened, &name, most)?,
            }
        };
        let header = |used| ("header", (if used { "used" } else { "absent" }).to_owned());
        let of_table = run.column.is_some() || run.separator.is_some();
        let mut query = Vec::new();
        let content_type = match ending(file).as_str() {
            "smi" | "smiles" if !of_table => {
                let csv = lines_to_csv(&body)?.into();
                let comma = ("separator", "comma".to_owned());
                let query = vec![("column", "input".to_owned()), header(true), comma];
                return Ok(Self { content_type: CSV, query, body: csv });
            }
            "txt" if !of_table => LINES,
            "tsv" | "tab" => TABS,
            _ => CSV,
        };
        query.extend(run.column.clone().map(|column| ("column", column)));
        query.extend(run.separator.clone().map(|separator| ("separator", separator)));
        query.extend(run.no_header.then(|| header(false)));
        query.extend(run.has_header.then(|| header(true)));
        Ok(Self { content_type, query, body: body.into() })
    }
}

/// What the file's name ends with, lower case; of a packed one what stands before.
fn ending(file: &Path) -> String {
    let of = |file: &Path| {
        let ending = file.extension().and_then(|ending| ending.to_str());
        ending.unwrap_or_default().to_ascii_lowercase()
    };
    match of(file).as_str() {
        "gz" => of(&file.with_extension("")),
        ending => ending.to_owned(),
    }
}

fn read_all(from: impl Read, name: &str, most: u64) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    let read = from.take(most + 1).read_to_end(&mut body);
    read.map_err(|error| Failure::usage(format!("{name} cannot be read: {error}")))?;
    if body.len() as u64 > most {
        let what = format!("{name} has more than the {most} bytes that this hub takes at once");
        return Err(Failure::usage(what).advice("Split it and submit the parts one by one."));
    }
    Ok(body)
}

/// One input a line; what stands after the first space is its name.
fn lines_to_csv(body: &[u8]) -> Result<Vec<u8>, Failure> {
    let text = std::str::from_utf8(body)
        .map_err(|_| Failure::usage("the file is not UTF-8 text"))?
        .trim_start_matches('\u{feff}');
    let cut = |line: &str| match line.trim().split_once(char::is_whitespace) {
        Some((input, name)) => (input.to_owned(), name.trim().to_owned()),
        None => (line.trim().to_owned(), String::new()),
    };
    let rows: Vec<(String, String)> =
        text.lines().filter(|line| !line.trim().is_empty()).map(cut).collect();
    let named = rows.iter().any(|(_, name)| !name.is_empty());
    let mut csv = csv::Writer::from_writer(Vec::with_capacity(body.len() + 16));
    let mut write = |input: &str, name: &str| {
        let fields = [input, name];
        csv.write_record(&fields[..if named { 2 } else { 1 }])
    };
    let written = write("input", "name")
        .and_then(|()| rows.iter().try_for_each(|(input, name)| write(input, name)));
    written
        .map_err(|error| Failure::failed(format!("the file cannot be turned to CSV: {error}")))?;
    csv.into_inner()
        .map_err(|error| Failure::failed(format!("the file cannot be turned to CSV: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_lines_becomes_a_column_and_names_stay_beside() {
        let csv = |body: &str| String::from_utf8(lines_to_csv(body.as_bytes()).expect("it fits"));
        let smiles = "\u{feff}CCO ethanol, pure\nc1ccccc1\tbenzene\nC\n";
        let expected = "input,name\nCCO,\"ethanol, pure\"\nc1ccccc1,benzene\nC,\n";
        assert_eq!(csv(smiles).expect("text"), expected);
        assert_eq!(csv("CCO\n").expect("text"), "input\nCCO\n");
    }

    #[test]
    fn a_file_that_is_too_large_is_not_sent() {
        let failure = read_all(&b"12345"[..], "x.csv", 4).expect_err("too large");
        assert!(failure.what.starts_with("x.csv has more than the 4 bytes"));
        assert_eq!(read_all(&b"1234"[..], "x.csv", 4).expect("it fits"), b"1234");
    }
}
