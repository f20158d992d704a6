//! What a person wants predictions for, as the body of a submission.

use std::io::Read;
use std::path::Path;

use bytes::Bytes;

use crate::answer::Model;
use crate::arguments::Run;
use crate::failure::Failure;

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
            None => Self::of_inputs(run)?,
        };
        if upload.content_type == "text/csv" {
            upload.query.push(("model", run.model.clone()));
            if run.no_cache {
                upload.query.push(("cache", "false".to_owned()));
            }
        }
        Ok(upload)
    }

    fn of_inputs(run: &Run) -> Result<Self, Failure> {
        let mut body = serde_json::json!({ "model": run.model, "inputs": run.input });
        if run.no_cache {
            body["cache"] = false.into();
        }
        let body = body.to_string().into();
        Ok(Self { content_type: "application/json", query: Vec::new(), body })
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
            read_all(opened, &name, most)?
        };
        let extension = file.extension().and_then(|extension| extension.to_str());
        let lines = match extension {
            Some("smi" | "smiles") => Some(true),
            Some("txt") => Some(false),
            _ => None,
        };
        let header = |used| ("header", (if used { "used" } else { "absent" }).to_owned());
        let (body, query) = match lines {
            Some(names) => {
                let csv = lines_to_csv(&body, names)?;
                (csv.into(), vec![("column", "input".to_owned()), header(true)])
            }
            None => {
                let mut query = Vec::new();
                query.extend(run.column.clone().map(|column| ("column", column)));
                query.extend(run.no_header.then(|| header(false)));
                (Bytes::from(body), query)
            }
        };
        Ok(Self { content_type: "text/csv", query, body })
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

/// One input a line; with `names`, what stands after the first space is the input's name.
fn lines_to_csv(body: &[u8], names: bool) -> Result<Vec<u8>, Failure> {
    let text = std::str::from_utf8(body)
        .map_err(|_| Failure::usage("the file is not UTF-8 text"))?
        .trim_start_matches('\u{feff}');
    let cut = |line: &str| match line.trim().split_once(char::is_whitespace) {
        Some((input, name)) if names => (input.to_owned(), name.trim().to_owned()),
        _ => (line.trim().to_owned(), String::new()),
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
        let csv = |body: &str, names| {
            String::from_utf8(lines_to_csv(body.as_bytes(), names).expect("it fits"))
        };
        assert_eq!(csv("ACGT \r\n\nA,C", false).expect("text"), "input\nACGT\n\"A,C\"\n");
        let smiles = "\u{feff}CCO ethanol, pure\nc1ccccc1\tbenzene\nC\n";
        let expected = "input,name\nCCO,\"ethanol, pure\"\nc1ccccc1,benzene\nC,\n";
        assert_eq!(csv(smiles, true).expect("text"), expected);
        assert_eq!(csv("CCO\n", true).expect("text"), "input\nCCO\n");
    }

    #[test]
    fn a_file_that_is_too_large_is_not_sent() {
        let failure = read_all(&b"12345"[..], "x.csv", 4).expect_err("too large");
        assert!(failure.what.starts_with("x.csv has more than the 4 bytes"));
        assert_eq!(read_all(&b"1234"[..], "x.csv", 4).expect("it fits"), b"1234");
    }
}
