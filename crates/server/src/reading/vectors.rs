//! What this reader makes of files that people send, as JSON: the browser's reader is tested with
//! the same (`web/src/app/home/reading.golden.json`).

use std::fs;

use serde_json::{Value, json};

use super::*;
use crate::reading::rules::Dialect;

const GOLDEN: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../web/src/app/home/reading.golden.json");

fn rules(
    dialect: Dialect,
    header: HeaderRule,
    column: Option<&str>,
    separator: Option<u8>,
) -> Rules {
    let input = muster_core::model::InputColumn {
        name: "smiles".into(),
        also: vec!["structure".into()],
        ..Default::default()
    };
    let (column, limits) = (column.map(str::to_owned), InputLimits::default());
    Rules { dialect, header, column, separator, input, limits }
}

fn read(rules: Rules, text: &str) -> Result<(InputTable, Reading), Problem> {
    let mut file = File::new(rules);
    file.feed(text.as_bytes())?;
    file.end()
}

fn seen(
    dialect: Dialect,
    header: HeaderRule,
    column: Option<&str>,
    separator: Option<u8>,
    text: &str,
) -> Value {
    let kind = match dialect {
        Dialect::Csv => "csv",
        Dialect::Tsv => "tsv",
        Dialect::Lines => "plain",
    };
    let said = match header {
        HeaderRule::Auto => "auto",
        HeaderRule::Used => "used",
        HeaderRule::Absent => "absent",
    };
    let read = match read(rules(dialect, header, column, separator), text) {
        Ok((table, reading)) => json!({
            "header": reading.header == Header::Used,
            "column": reading.column,
            "columns": reading.columns,
            "separator": reading.separator,
            "blank": reading.blank_lines_skipped,
            "inputs": table.inputs.iter().collect::<Vec<_>>(),
        }),
        Err(problem) => json!({ "problem": problem.kind.slug() }),
    };
    let asked = separator.map(char::from);
    json!({ "type": kind, "header": said, "column": column, "asked": asked, "text": text, "read": read })
}

#[test]
fn the_browsers_reader_is_tested_with_what_this_one_reads() {
    use Dialect::{Csv, Lines, Tsv};
    use HeaderRule::{Absent, Auto, Used};
    let auto = [
        (Lines, "CCO\nCC\n"),
        (Lines, "CCO\r\n\r\nCC"),
        (Lines, "CCO\rCC\r"),
        (Lines, "\u{feff}smiles\nCCO\n"),
        (Lines, "SMILES\nCCO\n"),
        (Lines, "\"CCO\"\nC,C\n"),
        (Lines, "name,smiles\nethanol,CCO\n"),
        (Lines, "smiles\tname\nCCO\tethanol, pure\n"),
        (Lines, "  \nCCO  \n"),
        (Csv, "smiles\nCCO\n"),
        (Csv, "\u{200b}Structure\nCCO\n"),
        (Csv, "input\nCCO\n"),
        (Csv, "input,smiles\na,CCO\n"),
        (Csv, "CCO\nCC\n"),
        (Csv, "name,SMILES\n\"a, b\",CCO\nx,\"C\"\n"),
        (Csv, "name;smiles;mass\na, b;CCO;46,07\n"),
        (Csv, "sep=;\r\nname;smiles\r\na;CCO"),
        (Csv, "\"sep=|\"\nsmiles|name\nCCO|a"),
        (Csv, "a|smiles\n1|CCO\n"),
        (Csv, "id\tsmiles\n1\tCCO\n"),
        (Csv, "smiles\n\"C\"\"C\"\n"),
        (Csv, "smiles,note\nCCO,\"two\nlines\"\nCC,x\n"),
        (Csv, "name,smiles,,\na,CCO,,\n,,,\nb,,,\nc\n"),
        (Csv, ",smiles,,note\n1,CCO,x,y\n"),
        (Csv, ",smiles\n1,CCO\n"),
        (Csv, "smiles\n\"\"\nCCO\n"),
        (Csv, "smiles,name\nC\"C,x\n"),
        (Csv, "a,b\n1,2\n"),
        (Csv, "1;2\n3;4\n"),
        (Csv, "smiles,a,a\n1,2,3\n"),
        (Csv, "smiles,a\n1,2,3\n"),
        (Csv, "smiles,a\n1,2,\n"),
        (Csv, "smiles\n\"CCO\" x\n"),
        (Csv, "smiles\n\"CCO\n"),
        (Csv, "smiles\n"),
        (Csv, "\n\n"),
        (Csv, ""),
        (Csv, "<!doctype html><html>\n"),
        (Csv, "{\"smiles\": \"CCO\"}\n"),
        (Csv, "[\"CCO\"]\n"),
        (Lines, "mol\n  x\n\n  1  0  0  0  0  0  0  0  0  0999 V2000\nM  END\n"),
        (Lines, ">one\nMKT\n"),
        (Tsv, "name\tsmiles\na, b\tCCO\n"),
        (Tsv, "name,smiles\na,CCO\n"),
    ];
    let mut all: Vec<Value> =
        auto.into_iter().map(|(dialect, text)| seen(dialect, Auto, None, None, text)).collect();
    for (dialect, header, column, text) in [
        (Csv, Absent, None, "smiles\nCCO\n"),
        (Csv, Used, None, "x\nCCO\n"),
        (Csv, Absent, Some("1"), "CCO,ethanol\nC,methane\n"),
        (Csv, Absent, Some("2"), "1;CCO\n2;C\n"),
        (Csv, Absent, None, "CCO,ethanol\nC,methane\n"),
        (Csv, Absent, Some("3"), "CCO,ethanol\nC,methane\n"),
        (Csv, Auto, Some("b"), "smiles,b\nCCO,CC\n"),
        (Csv, Auto, Some("B"), "smiles,b,B\nCCO,CC,C\n"),
        (Csv, Auto, Some("nope"), "smiles,b\nCCO,CC\n"),
        (Csv, Auto, Some("b"), "a;b\n1;CC\n"),
        (Lines, Auto, Some("b"), "a,b\n1,CC\n"),
        (Lines, Absent, None, "smiles\nCCO\n"),
        (Lines, Used, None, "CCO\nCC\n"),
    ] {
        all.push(seen(dialect, header, column, None, text));
    }
    // Whoever names the separator is believed, whatever the file looks like.
    for (dialect, header, separator, text) in [
        (Csv, Auto, b' ', "smiles note\nCCO a,b\n"),
        (Csv, Auto, b';', "smiles,x;y\nCCO,1;2\n"),
        (Csv, Auto, b',', "a;smiles,b\n1;CCO,2\n"),
        (Csv, Auto, b';', "sep=|\nsmiles;b\nCCO;a|c\n"),
        (Csv, Absent, b'|', "CCO|a\nC|b\n"),
        (Csv, Auto, b'|', "smiles,b\nCCO,1\n"),
        (Tsv, Auto, b',', "name,smiles\na\tb,CCO\n"),
        (Lines, Auto, b' ', "smiles name\nCCO ethanol\n"),
        (Lines, Auto, b' ', "CCO ethanol\nC methane\n"),
        (Lines, Auto, b',', "CCO\nCC\n"),
        (Lines, Used, b';', "\"a;b\";smiles\nx;CCO\n"),
    ] {
        all.push(seen(dialect, header, None, Some(separator), text));
    }
    let now = serde_json::to_string_pretty(&all).expect("JSON") + "\n";
    let before = fs::read_to_string(GOLDEN).unwrap_or_default();
    if before != now {
        fs::write(GOLDEN, now).expect("the golden file");
        panic!("{GOLDEN} was written anew: look at what changed, and run the web app's units");
    }
}
