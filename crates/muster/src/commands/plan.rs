//! `muster plan`: what the hub plans, and what it would plan.

use std::path::Path;

use muster_core::Timestamp;
use muster_core::plan::WhatIf;
use muster_store::Clock;

use super::dump;
use crate::answer::{PlanWords, Planned, PlannedAction};
use crate::arguments::Plan;
use crate::failure::Failure;
use crate::hub::{Hub, parse};
use crate::path::parameter;
use crate::{human, table};

pub async fn plan(hub: impl FnOnce() -> Result<Hub, Failure>, asked: &Plan) -> Result<(), Failure> {
    if let Some(file) = &asked.dump {
        return dump::plan(file, asked);
    }
    let body = match &asked.world {
        Some(file) => of_file(file, asked)?.into_bytes(),
        None => hub()?.get(&path(asked)).await?.to_vec(),
    };
    if asked.json {
        return table::print_json(&body);
    }
    let planned: Planned = parse(&body)?;
    table::put(&in_words(&planned, asked, Clock::system().now()))
}

fn path(asked: &Plan) -> String {
    let mut path = format!("/api/v1/plan?world={}", asked.json);
    parameter(&mut path, "without", &asked.without);
    parameter(
        &mut path,
        "with",
        asked.with.iter().map(|(group, count)| format!("{group}={count}")),
    );
    path
}

fn of_file(file: &Path, asked: &Plan) -> Result<String, Failure> {
    let shown = file.display();
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::usage(format!("{shown} cannot be read: {error}")))?;
    muster_server::plan_of_file(&text, &what_if(asked)).map_err(|error| {
        let advice = "It is a file of `muster plan --json`, or one with a world, a policy and now.";
        Failure::usage(format!("{shown}: {error}")).advice(advice)
    })
}

pub(super) fn what_if(asked: &Plan) -> WhatIf {
    let without = asked.without.iter().map(|node| node.as_str().into()).collect();
    WhatIf { without, with: asked.with.clone() }
}

fn in_words(planned: &Planned, asked: &Plan, now: Timestamp) -> String {
    let Planned { now: at, words } = planned;
    let seen = match asked.world {
        None => human::ago(*at, now),
        Some(_) => at.to_string(),
    };
    let mut text = format!("{}Seen {seen}; nodes are {}.\n", question(asked), mode(&words.mode));
    match lines(words) {
        none if none.is_empty() => {
            text.push_str("\nThere is nothing to do, and nothing waits.\n");
        }
        lines => text.push_str(&lines),
    }
    if let Some(next) = words.next_look {
        text.push_str(&format!("\nNothing changes by the passing of time before {next}.\n"));
    }
    text
}

/// `If lab1 were not there and gpus had 2 nodes more:`
pub(super) fn question(asked: &Plan) -> String {
    let without = asked.without.iter().map(|node| format!("{node} were not there"));
    let with = asked.with.iter().map(|(group, count)| {
        format!("{group} had {} more", human::counted(u64::from(*count), "node"))
    });
    let parts: Vec<String> = without.chain(with).collect();
    if parts.is_empty() { String::new() } else { format!("If {}:\n", parts.join(" and ")) }
}

fn mode(mode: &str) -> &'static str {
    match mode {
        "own" => "ordered and taken away by the hub",
        "advise" => "left to somebody else, whom the hub advises",
        _ => "left to somebody else",
    }
}

/// What is done, and why no more is.
pub(super) fn lines(words: &PlanWords) -> String {
    let action = |it: &PlannedAction| (it.new, it.message.clone());
    let held = words.held.iter().map(|it| (it.new, format!("{}: {}", it.model, it.message)));
    let kept = words.kept.iter().map(|it| (false, format!("{}: {}", it.node, it.kept.message)));
    let parts = [
        ("Does", words.actions.iter().map(action).collect::<Vec<_>>()),
        ("Would do", words.advice.iter().map(action).collect()),
        ("Waits", held.collect()),
        ("Stays", kept.collect()),
        ("Not seen", words.unseen.iter().map(|why| (false, why.clone())).collect()),
    ];
    let mut text = String::new();
    for (title, lines) in parts.into_iter().filter(|(_, lines)| !lines.is_empty()) {
        text.push_str(&format!("\n{title}\n"));
        for (is_new, line) in lines {
            let mark = if is_new { '+' } else { ' ' };
            text.push_str(&format!("{mark} {line}\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(without: &[&str], with: &[(&str, u32)]) -> Plan {
        let without = without.iter().map(|node| (*node).to_owned()).collect();
        let with = with.iter().map(|(group, count)| ((*group).into(), *count)).collect();
        Plan { without, with, world: None, dump: None, json: false }
    }

    #[test]
    fn a_question_is_repeated() {
        let both = asked(&["lab1"], &[("gpu s", 2)]);
        assert_eq!(question(&both), "If lab1 were not there and gpu s had 2 nodes more:\n");
        assert_eq!(path(&both), "/api/v1/plan?world=false&without=lab1&with=gpu%20s%3D2");
        assert_eq!(question(&asked(&[], &[])), "");
    }

    #[test]
    fn what_is_new_is_marked() {
        let words: PlanWords = serde_json::from_str(
            r#"{"mode": "own", "actions": [{"message": "Launch it.", "new": true}], "advice": [],
            "held": [{"model": "fold", "message": "It is busy."}], "kept": [], "unseen": null,
            "next_look": null}"#,
        )
        .expect("words");
        assert_eq!(lines(&words), "\nDoes\n+ Launch it.\n\nWaits\n  fold: It is busy.\n");
    }
}
