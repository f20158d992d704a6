//! From the entries of a work request to inputs. Entries are lines of a file.

use axum::extract::Request;
use muster_core::input::{InputLimits, InputTable, Texts, find_column};
use muster_core::model::InputColumn;
use muster_core::request::Reading;
use muster_store::aside_if;
use serde::de::MapAccess;

use crate::api::requests::rows::split;
use crate::app::App;
use crate::http::problem::Problem;
use crate::reading::json::{EachText, Fault, Object, OneObject, read as read_json};
use crate::reading::rules::{Dialect, HeaderRule, Rules};
use crate::reading::table::{File, too_many};
use crate::reading::{Submission, find_model, missing, open};

const EXAMPLE: &str = r#"{"model_id": "ID", "request_payload": {"entries": ["..", ".."]}}"#;

/// Reads what somebody wants predicted.
pub async fn read(app: &App, request: Request) -> Result<Submission, Problem> {
    let limits = app.config.limits;
    let mut upload = open(&app.reader, request, None).await?;
    let body = read_json(&mut upload, Body { model_id: None, payload: Payload::new(limits) });
    let Body { model_id, payload } = body.await?;
    let id = model_id.ok_or_else(|| missing("model_id", EXAMPLE))?;
    let model = find_model(&app.reader, &id)?;
    let (input, use_cache) = (model.input.clone(), payload.cache);
    let bytes = payload.entries.as_ref().map_or(0, Texts::bytes);
    let (inputs, reading) = aside_if(bytes, move || payload.read(input)).await?;
    let (body_hash, reserved) = upload.end();
    let (inputs_of, label) = (None, None);
    Ok(Submission { model, inputs, inputs_of, reading, use_cache, body_hash, reserved, label })
}

struct Body {
    model_id: Option<String>,
    payload: Payload,
}

impl Object for Body {
    const MEMBERS: &'static [(&'static str, &'static str)] =
        &[("model_id", "a string: the model's id"), ("request_payload", "an object")];
    const EXAMPLE: &'static str = EXAMPLE;
    const LENIENT: bool = true;

    fn member<'de, A: MapAccess<'de>>(
        &mut self,
        n: usize,
        map: &mut A,
        fault: &mut Fault,
    ) -> Result<(), A::Error> {
        if n == 0 {
            self.model_id = Some(map.next_value()?);
            return Ok(());
        }
        self.payload = map.next_value_seed(OneObject(fault, Payload::new(self.payload.limits)))?;
        Ok(())
    }
}

/// The entries, and what is said of them.
struct Payload {
    limits: InputLimits,
    entries: Option<Texts>,
    cache: bool,
    has_header: bool,
}

impl Object for Payload {
    const MEMBERS: &'static [(&'static str, &'static str)] = &[
        ("entries", "an array of strings"),
        ("cache_opt_in", "true or false"),
        ("has_header", "true or false"),
    ];
    const EXAMPLE: &'static str = EXAMPLE;
    const LENIENT: bool = true;

    fn member<'de, A: MapAccess<'de>>(
        &mut self,
        n: usize,
        map: &mut A,
        fault: &mut Fault,
    ) -> Result<(), A::Error> {
        match n {
            0 => {
                let (limit, mut entries) = (self.limits.inputs, Texts::default());
                // A header and blank entries are no inputs; this only bounds the memory.
                let most = limit.saturating_mul(2).saturating_add(1);
                map.next_value_seed(EachText(fault, |n, text: &str| {
                    if n as u64 >= most {
                        return Err(too_many(limit));
                    }
                    entries.push(text);
                    Ok(())
                }))?;
                self.entries = Some(entries);
            }
            1 => self.cache = map.next_value::<Option<bool>>()?.unwrap_or(false),
            _ => self.has_header = map.next_value::<Option<bool>>()?.unwrap_or(true),
        }
        Ok(())
    }
}

impl Payload {
    fn new(limits: InputLimits) -> Self {
        Self { limits, entries: None, cache: false, has_header: true }
    }

    fn read(self, input: InputColumn) -> Result<(InputTable, Reading), Problem> {
        let entries = self.entries.ok_or_else(|| missing("request_payload/entries", EXAMPLE))?;
        let first = entries.iter().next().map(strip).unwrap_or_default();
        let first = first.strip_prefix('\u{feff}').unwrap_or(first);
        let is_table = self.has_header && is_header_of_a_table(first, &input);
        let declared = input.name != "input" || !input.also.is_empty();
        let header = match () {
            () if !self.has_header => HeaderRule::Absent,
            // Only the client can know whether this is a header.
            () if !declared && entries.len() > 1 => HeaderRule::Used,
            () => HeaderRule::Auto,
        };
        let dialect = if is_table { Dialect::Csv } else { Dialect::Lines };
        let (column, separator, limits) = (None, is_table.then_some(b','), self.limits);
        let mut file = File::new(Rules { dialect, header, column, separator, input, limits });
        for entry in entries.iter() {
            file.feed(strip(entry).as_bytes())?;
            file.feed(b"\n")?;
        }
        file.end()
    }
}

/// An entry may carry its line end.
fn strip(entry: &str) -> &str {
    entry.trim_end_matches(['\r', '\n'])
}

/// Does this line name several columns, one of them the model's input?
fn is_header_of_a_table(line: &str, input: &InputColumn) -> bool {
    let names = split(line);
    names.len() > 1 && find_column(&names, input).is_some()
}

#[cfg(test)]
mod tests {
    use muster_core::request::Header;

    use super::*;
    use crate::http::problem::Kind;

    fn smiles() -> InputColumn {
        InputColumn { name: "smiles".into(), ..InputColumn::default() }
    }

    fn undeclared() -> InputColumn {
        InputColumn { name: "input".into(), ..smiles() }
    }

    fn payload(entries: &[&str], has_header: bool) -> Payload {
        let mut texts = Texts::default();
        entries.iter().for_each(|entry| texts.push(entry));
        Payload { entries: Some(texts), has_header, ..Payload::new(InputLimits::default()) }
    }

    fn read(entries: &[&str], has_header: bool, input: InputColumn) -> (Vec<String>, Reading) {
        let (table, reading) = payload(entries, has_header).read(input).expect("inputs");
        (table.inputs.iter().map(str::to_owned).collect(), reading)
    }

    #[test]
    fn a_first_line_that_names_the_input_is_the_header() {
        for first in ["smiles\n", "SMILES\r\n", "\u{feff}smiles", "input"] {
            let (inputs, reading) = read(&[first, "CCO\n", "C\r\n"], true, smiles());
            assert_eq!(inputs, ["CCO", "C"], "{first:?}");
            assert_eq!(reading.header, Header::Used);
        }
    }

    #[test]
    fn a_first_line_that_is_an_input_is_kept() {
        let (inputs, reading) = read(&["CCO\n", "C\n", "\n"], true, smiles());
        assert_eq!(inputs, ["CCO", "C"]);
        assert_eq!((reading.header, reading.blank_lines_skipped), (Header::Absent, 1));
        let (inputs, _) = read(&["smiles", "CCO"], false, smiles());
        assert_eq!(inputs, ["smiles", "CCO"], "the client says that there is no header");
    }

    #[test]
    fn without_a_declared_input_the_client_is_believed() {
        let (inputs, reading) = read(&["x", "CCO"], true, undeclared());
        assert_eq!(inputs, ["CCO"]);
        assert_eq!((reading.header, reading.column.as_deref()), (Header::Used, Some("x")));
        assert_eq!(read(&["x", "CCO"], false, undeclared()).0, ["x", "CCO"]);
        assert_eq!(read(&["CCO"], true, undeclared()).0, ["CCO"], "one line is no header");
    }

    #[test]
    fn entries_are_cut_into_cells_only_below_a_header_of_several_columns() {
        let (inputs, reading) = read(&["name,smiles", "\"a, b\",CCO", "x,C"], true, smiles());
        assert_eq!(inputs, ["CCO", "C"]);
        assert_eq!(reading.columns, ["name", "smiles"]);
        let (inputs, _) = read(&["a,b", "\"c", "d\""], true, smiles());
        assert_eq!(inputs, ["a,b", "\"c", "d\""]);
    }

    #[test]
    fn nothing_is_not_a_request() {
        for none in [&[][..], &["smiles"], &["", "\n"]] {
            let problem = payload(none, true).read(smiles()).expect_err("no input");
            assert_eq!(problem.kind, Kind::EmptyInput, "{none:?}");
        }
        let none = Payload::new(InputLimits::default()).read(smiles());
        assert_eq!(none.expect_err("no entries").kind, Kind::BadJson);
    }
}
