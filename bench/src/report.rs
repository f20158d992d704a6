//! One table for people, and everything that was measured as JSON.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::Result;
use crate::machine::Machine;

/// One row of the table.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    pub case: String,
    pub figure: String,
    pub target: String,
    /// Absent where there is no target.
    pub reached: Option<bool>,
    pub raw: serde_json::Value,
}

/// A row and what the host left for its case.
#[derive(Serialize)]
pub struct Measured {
    #[serde(flatten)]
    pub line: Line,
    pub stolen_percent: f64,
}

#[derive(Serialize)]
struct Report<'r> {
    machine: &'r Machine,
    quick: bool,
    lines: &'r [Measured],
}

/// In Markdown.
pub fn table(lines: &[Measured]) -> String {
    let mut table = "| case | measured | to reach | | stolen |\n|---|---|---|---|---|".to_owned();
    for Measured { line, stolen_percent } in lines {
        let Line { case, figure, target, reached, .. } = line;
        let reached = match reached {
            Some(true) => "reached",
            Some(false) => "missed",
            None => "",
        };
        // Writing to a string cannot fail.
        write!(table, "\n| {case} | {figure} | {target} | {reached} | {stolen_percent:.0} % |")
            .unwrap_or_default();
    }
    table
}

/// Writes the raw results; gives the file's name.
pub fn save(folder: &Path, machine: &Machine, quick: bool, lines: &[Measured]) -> Result<String> {
    fs::create_dir_all(folder)?;
    let second = jiff::Timestamp::from_second((crate::clock::micros() / 1_000_000) as i64)?;
    let name = format!("{}-{}.json", second.to_string().replace(':', ""), machine.commit);
    let text = serde_json::to_string_pretty(&Report { machine, quick, lines })?;
    let file = folder.join(name);
    fs::write(&file, text)?;
    Ok(file.display().to_string())
}
