//! `muster stats`: how much was asked of the hub, and how long it took.

use muster_store::Difference;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::arguments::{Stats, VerifyStats};
use crate::config::Environment;
use crate::failure::Failure;
use crate::hub::{Hub, parse};
use crate::list::there_are_more;
use crate::path::parameter;
use crate::store::{open_beside, store_failure};
use crate::{human, table};

/// Columns after those that are grouped by: their headers, and their names in the API.
const COUNTS: [(&str, &str); 5] = [
    ("total", "total"),
    ("ok", "succeeded"),
    ("failed", "failed"),
    ("active", "active"),
    ("inputs", "inputs"),
];
const TIMES: [(&str, &str); 4] = [
    ("job avg", "job_seconds_avg"),
    ("avg", "total_seconds_avg"),
    ("p95", "total_seconds_p95"),
    ("wait p95", "waiting_seconds_p95"),
];

#[derive(Deserialize)]
struct Page {
    items: Vec<Map<String, Value>>,
    totals: Map<String, Value>,
    next: Option<String>,
}

pub async fn stats(hub: &Hub, arguments: &Stats) -> Result<(), Failure> {
    let mut path = path(arguments);
    if arguments.csv {
        parameter(&mut path, "format", ["csv"]);
        return hub.print(&path).await;
    }
    parameter(&mut path, "limit", [arguments.limit.to_string()]);
    let body = hub.get(&path).await?;
    if arguments.json {
        return table::print_json(&body);
    }
    let page: Page = parse(&body)?;
    let mut text = show(&page, &arguments.group_by);
    if page.next.is_some() {
        text.push_str(&there_are_more("--limit and --csv"));
    }
    table::print(&text)
}

fn path(arguments: &Stats) -> String {
    let route = if arguments.mine { "/api/v1/me/stats" } else { "/api/v1/stats" };
    let mut path = route.to_owned();
    parameter(&mut path, "by", [&arguments.by]);
    parameter(&mut path, "from", &arguments.from);
    parameter(&mut path, "to", &arguments.to);
    parameter(&mut path, "sort", &arguments.sort);
    parameter(&mut path, "group_by", &arguments.group_by);
    parameter(&mut path, "model", &arguments.model);
    path
}

fn show(page: &Page, groups: &[String]) -> String {
    // A user is known by name, if there is one.
    let names = |row: &Map<String, Value>, group: &String| {
        let name = if group == "user" { row.get("user_name") } else { None };
        let name = name.filter(|name| !name.is_null()).or_else(|| row.get(group));
        name.and_then(Value::as_str).unwrap_or("-").to_owned()
    };
    let figures = |row: &Map<String, Value>| -> Vec<String> {
        let counts = COUNTS.iter().map(|(_, name)| {
            row.get(*name).and_then(Value::as_u64).map_or_else(|| "-".into(), human::count)
        });
        let times = TIMES.iter().map(|(_, name)| {
            let time = row.get(*name).and_then(Value::as_f64).and_then(human::seconds);
            time.unwrap_or_else(|| "-".into())
        });
        counts.chain(times).collect()
    };
    let mut rows: Vec<Vec<String>> = Vec::new();
    for row in &page.items {
        rows.push(groups.iter().map(|group| names(row, group)).chain(figures(row)).collect());
    }
    let all = groups.iter().enumerate().map(|(n, _)| if n == 0 { "all" } else { "" }.to_owned());
    rows.push(all.chain(figures(&page.totals)).collect());
    let figures = COUNTS.iter().chain(&TIMES).map(|(header, _)| *header);
    let header: Vec<&str> = groups.iter().map(String::as_str).chain(figures).collect();
    let right: Vec<usize> = (groups.len()..header.len()).collect();
    table::table(&header, rows, &right)
}

pub async fn verify(arguments: &VerifyStats, environment: &Environment) -> Result<(), Failure> {
    let (_, store) = open_beside(&arguments.store, environment).await?;
    let found = store.verify_statistics().await;
    store.close().await;
    let found = found.map_err(|error| store_failure(&error))?;
    let (cleared, wrong): (Vec<_>, Vec<_>) = found.iter().partition(|found| found.is_harmless());
    if !cleared.is_empty() {
        let days = human::counted(cleared.len() as u64, "day");
        table::print(&format!(
            "some requests of {days} of a model were cleared; they still count"
        ))?;
    }
    if wrong.is_empty() {
        return table::print("the statistics agree with the requests");
    }
    let lines: Vec<String> = wrong.into_iter().map(words).collect();
    Err(Failure::failed("the statistics differ from the requests").advice(lines.join("\n")))
}

fn words(difference: &Difference) -> String {
    match difference {
        Difference::Cleared { model, day, counted, present }
        | Difference::Wrong { model, day, counted, present } => {
            format!("{model}, {day}: {counted} counted, {present} there")
        }
        Difference::Sums { of, one, other } => {
            format!("{of} add up to {other}, models by year to {one}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_shows_names_figures_and_all_together() {
        let page: Page = serde_json::from_str(
            r#"{"items": [{"user": "1f", "user_name": "ada", "total": 1200, "succeeded": 1100,
            "failed": 3, "active": 0, "inputs": 5, "job_seconds_avg": 1.5, "total_seconds_avg": 2,
            "total_seconds_p95": 60, "waiting_seconds_p95": null}], "totals": {"user": null,
            "total": 1200}, "next": null}"#,
        )
        .expect("a page");
        let text = show(&page, &["user".into()]);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[2].starts_with("ada") && lines[2].trim_end().ends_with('-'), "{text}");
        assert!(lines[3].starts_with("all"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    }
}
