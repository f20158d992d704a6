//! Tables on a terminal.

use comfy_table::{
    CellAlignment, ColumnConstraint, ContentArrangement, LineStyle, Table, TableStyle,
};

use crate::failure::{Failure, io_failure};

/// Narrowest column of a result that is still worth showing.
const NARROWEST: usize = 12;
const WIDTH_OF_NO_TERMINAL: u16 = 100;
/// Only a line under the header.
const STYLE: TableStyle =
    TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// Rows under a header, as wide as the terminal at most. `right` are columns of numbers; the first
/// column is what one copies to the next command: it is not broken.
pub fn table(header: &[&str], rows: Vec<Vec<String>>, right: &[usize]) -> String {
    let mut table = arranged(header, rows, right);
    if let Some(column) = table.column_mut(0) {
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
    table.trim_fmt()
}

/// How wide a table may be.
pub fn width() -> u16 {
    Table::new().width().unwrap_or(WIDTH_OF_NO_TERMINAL)
}

fn arranged(header: &[&str], rows: Vec<Vec<String>>, right: &[usize]) -> Table {
    let mut table = Table::new();
    table.load_style(STYLE);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    if table.width().is_none() {
        table.set_width(WIDTH_OF_NO_TERMINAL);
    }
    table.set_header(header.to_vec());
    table.add_rows(rows);
    for (number, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 1));
        if right.contains(&number) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// Names and what stands for them, one a line; without those that are empty.
pub fn facts(width: usize, facts: Vec<(&str, String)>) -> String {
    let facts = facts.into_iter().filter(|(_, fact)| !fact.is_empty());
    facts.map(|(name, fact)| format!("{name:<width$} {fact}\n")).collect()
}

/// The start of a result: as many columns as fit, with a note of what is missing.
pub fn preview(header: &[String], rows: &[Vec<String>], all_rows: u64) -> String {
    let fit = (usize::from(width()) / NARROWEST).max(2).min(header.len());
    // Errors are what one looks for first.
    let error = header.iter().rposition(|name| name == "error").filter(|at| *at >= fit);
    let columns: Vec<usize> = match error {
        Some(error) => (0..fit - 1).chain([error]).collect(),
        None => (0..fit).collect(),
    };
    let names: Vec<&str> = columns.iter().map(|at| header[*at].as_str()).collect();
    let pick = |row: &Vec<String>| {
        columns.iter().map(|at| row.get(*at).cloned().unwrap_or_default()).collect()
    };
    let is_number = |at: &usize| {
        let cells = rows.iter().filter_map(|row| row.get(*at)).filter(|cell| !cell.is_empty());
        let mut cells = cells.peekable();
        cells.peek().is_some() && cells.all(|cell| cell.parse::<f64>().is_ok())
    };
    let right: Vec<usize> = (0..columns.len()).filter(|at| is_number(&columns[*at])).collect();
    let mut text = arranged(&names, rows.iter().map(pick).collect(), &right).trim_fmt();
    let (more_rows, more_columns) =
        (all_rows.saturating_sub(rows.len() as u64), header.len() - columns.len());
    let mut missing = Vec::new();
    if more_rows > 0 {
        missing.push(crate::human::counted(more_rows, "more row"));
    }
    if more_columns > 0 {
        missing.push(crate::human::counted(more_columns as u64, "more column"));
    }
    if !missing.is_empty() {
        text = format!("{text}\n{}", missing.join(", "));
    }
    text
}

/// Writes a text to standard output.
pub fn put(text: &str) -> Result<(), Failure> {
    put_bytes(text.as_bytes())
}

/// The same for a piece of a text.
pub fn put_bytes(bytes: &[u8]) -> Result<(), Failure> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    let written = out.write_all(bytes).and_then(|()| out.flush());
    written.map_err(io_failure("standard output"))
}

/// Writes a text and a line end to standard output.
pub fn print(text: &str) -> Result<(), Failure> {
    put(&format!("{text}\n"))
}

/// The same for an answer of the hub, as it came.
pub fn print_json(body: &[u8]) -> Result<(), Failure> {
    print(String::from_utf8_lossy(body).trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wide_result_shows_the_first_columns_and_its_errors() {
        let mut header: Vec<String> = (0..50).map(|number| format!("column_{number}")).collect();
        header.push("error".into());
        let row: Vec<String> = (0..50).map(|number| number.to_string()).collect();
        let failed = [vec![String::new(); 50], vec!["not a molecule".into()]].concat();
        let text = preview(&header, &[row, failed], 1000);
        assert!(text.contains("column_0") && text.contains("not a molecule"), "{text}");
        assert!(!text.contains("column_49"), "{text}");
        assert!(text.contains("998 more rows, 43 more columns"), "{text}");
    }
}
