//! Pages of the administrators' list of requests, with all kinds of filters, over the requests that the
//! case of the statistics wrote.

use muster_core::Timestamp;
use muster_core::stats::Day;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Bench;
use super::ask::ask;
use super::fill::PEOPLE;
use crate::Result;
use crate::load::client::Client;
use crate::load::millis;
use crate::report::Line;

/// Longest time of one page, milliseconds.
const MOST: f64 = 30.0;

pub async fn measure(
    bench: &Bench,
    client: &mut Client,
    token: &str,
    what: &str,
    now: i64,
) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    for (case, query) in pages(now) {
        let path = format!("/api/v1/admin/requests?{query}");
        let took = ask(client, token, &path, bench.pick(100, 30)).await?;
        let (p50, p99) = (millis(&took, 0.5), millis(&took, 0.99));
        let page: Value = client.get(&path, token).await?;
        let rows = page["items"].as_array().map_or(0, Vec::len);
        let cut = if page["cut"] == true { ", cut" } else { "" };
        lines.push(Line {
            case: format!("administrators' page of {what}: {case}"),
            figure: format!("p99 {p99:.1} ms, p50 {p50:.1} ms; {rows} rows{cut}"),
            target: format!("p99 <= {MOST} ms"),
            reached: Some(p99 <= MOST),
            raw: json!({ "p50_ms": p50, "p99_ms": p99, "rows": rows, "cut": page["cut"] }),
        });
    }
    Ok(lines)
}

/// Name and query of pages of the administrators' list: filters that find much, little and nothing,
/// through each index and through several.
fn pages(now: i64) -> Vec<(&'static str, String)> {
    let today = Day::of(Timestamp(now));
    let month = format!("from={}&to={}", Day(today.0 - 400), Day(today.0 - 370));
    let person = |n: u64| Uuid::from_u128(u128::from(n));
    let users = |most: u64| {
        let each =
            (1..=most).map(|n| format!("user={}", person(n * 131 % PEOPLE * 2 % PEOPLE + 2)));
        each.collect::<Vec<_>>().join("&")
    };
    let middle = ((now - 31_536_000_000_000) / 1000) as u128;
    let after = format!("after={}", Uuid::from_u128(middle << 80));
    vec![
        ("no filter", String::new()),
        ("200 rows", "limit=200".into()),
        ("from the middle", after.clone()),
        ("oldest first", "sort=oldest".into()),
        ("one month", month.clone()),
        ("one person", users(1)),
        ("100 people", users(100)),
        ("one model", "model=model-7".into()),
        ("a model that is hardly used", "model=rare".into()),
        ("20 models", (0..20).map(|n| format!("model=model-{n}&")).collect()),
        ("failed", "phase=failed".into()),
        ("failed and cancelled, from the middle", format!("phase=failed&phase=cancelled&{after}")),
        ("failed of one model", "phase=failed&model=model-7".into()),
        ("failed of the rare model", "phase=failed&model=rare".into()),
        ("waiting, oldest first", "phase=waiting&sort=oldest".into()),
        ("running or failed", "phase=running&phase=failed".into()),
        ("anonymous", "auth_type=anonymous".into()),
        ("anonymous, of people with accounts", format!("auth_type=anonymous&{}", users(100))),
        ("one person, one model", format!("{}&model=model-7", users(1))),
        ("100 people, rare model, one month", format!("{}&model=rare&{month}", users(100))),
        (
            "everything at once",
            format!(
                "{}&model=model-7&model=rare&phase=failed&auth_type=account&{month}&sort=oldest",
                users(20)
            ),
        ),
    ]
}
