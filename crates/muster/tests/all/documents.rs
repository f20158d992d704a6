//! The commands in the documents do what the documents show.
//!
//! A `console` block has commands (`$ `, continued by `> `) and below each what it prints; all of a
//! document run in one shell. A `python` or `r` block is a program and the `output` block after it
//! what it prints. The hub's address in the document stands for that of the hub that runs here.
//! What is different each time is compared by its kind: UUIDs, tokens of 64 hex digits, RFC 3339
//! times, the number after `"seconds_left":`, and the eight hex digits after a `+`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use muster_core::Timestamp;

use crate::support::{Hub, Output, World};

const ADDRESS: &str = "http://127.0.0.1:8080";
const MARK: &str = "-- the end of a command --";

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the repository")
}

/// The fenced blocks: language and lines.
fn blocks(text: &str) -> Vec<(&str, Vec<&str>)> {
    let (mut all, mut open) = (Vec::new(), None);
    for line in text.lines() {
        match (line.strip_prefix("```"), open.take()) {
            (Some(language), None) => open = Some((language, Vec::new())),
            (Some(_), Some(block)) => all.push(block),
            (None, Some((language, mut lines))) => {
                lines.push(line);
                open = Some((language, lines));
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block is never closed");
    all
}

/// Commands, and what each prints.
fn commands(lines: &[&str]) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = Vec::new();
    for line in lines {
        match (line.strip_prefix("$ "), line.strip_prefix("> "), all.last_mut()) {
            (Some(command), _, _) => all.push((command.to_owned(), String::new())),
            (None, Some(more), Some((command, _))) => {
                command.push('\n');
                command.push_str(more);
            }
            (None, _, Some((_, output))) => {
                output.push_str(line);
                output.push('\n');
            }
            (None, _, None) => panic!("output before a command: {line}"),
        }
    }
    all
}

/// What is different each time becomes its kind.
fn steady(text: &str) -> String {
    let word = |c: char| c.is_ascii_alphanumeric() || "-:.+".contains(c);
    let (mut out, mut rest) = (String::new(), text);
    while let Some(start) = rest.find(word) {
        let end = rest[start..].find(|c| !word(c)).map_or(rest.len(), |n| start + n);
        out.push_str(&rest[..start]);
        out.push_str(&kind(&rest[start..end], &out));
        rest = &rest[end..];
    }
    out + rest
}

fn kind(word: &str, before: &str) -> String {
    let hex = |text: &str, n: usize| text.len() == n && text.bytes().all(|b| b.is_ascii_hexdigit());
    let is_uuid = word.len() == 36 && hex(&word.replace('-', ""), 32);
    match word.rsplit_once('+') {
        _ if is_uuid => "ID".to_owned(),
        _ if hex(word, 64) => "TOKEN".to_owned(),
        _ if word.parse::<Timestamp>().is_ok() => "TIME".to_owned(),
        Some((version, hash)) if hex(hash, 8) => format!("{version}+HASH"),
        _ if before.ends_with("\"seconds_left\"") => ":SECONDS".to_owned(),
        _ => word.to_owned(),
    }
}

fn is_there(program: &str, arguments: &[&str]) -> bool {
    let tried = Command::new(program).args(arguments).output();
    tried.is_ok_and(|output| output.status.success())
}

fn run(hub: &Hub, program: &str, arguments: &[&str], text: &str) -> Output {
    let file = hub.world.write("program", text.replace(ADDRESS, &hub.url()));
    let mut command = Command::new(program);
    hub.world.at_home(&mut command);
    Output::of({
        command.args(arguments).arg(file);
        command
    })
}

/// Where documents are written: the sample model.
fn world_with(model: &str) -> World {
    let world = World::new(&[]);
    let from: PathBuf = repository().join("models").join(model);
    for file in fs::read_dir(from).expect("a model").map(|file| file.expect("a file").path()) {
        let name = file.file_name().expect("a name").to_string_lossy().into_owned();
        if file.is_file() {
            world.write(&format!("models/{model}/{name}"), fs::read(&file).expect("bytes"));
        }
    }
    world
}

#[test]
fn requests_without_an_account() {
    let text = fs::read_to_string(repository().join("docs/anonymous-requests.md")).expect("it");
    let blocks = blocks(&text);
    let world = world_with("primer-tm");
    let hub = world.hub();

    let all = blocks.iter().filter(|(language, _)| *language == "console");
    let all: Vec<(String, String)> = all.flat_map(|(_, lines)| commands(lines)).collect();
    let script = all.iter().map(|(command, _)| format!("{command}\nprintf '\\n{MARK}\\n'\n"));
    let said = run(&hub, "bash", &[], &script.collect::<String>());
    assert_eq!((said.code, said.error.as_str()), (0, ""), "{said:?}");
    let printed: Vec<&str> = said.text.split(MARK).map(str::trim).collect();
    assert_eq!(printed.len(), all.len() + 1);
    assert!(all.len() > 15, "the document has its commands");
    for ((command, want), got) in all.iter().zip(printed) {
        assert_eq!(steady(got), steady(want.trim()), "$ {command}");
    }

    let mut programs = 0;
    for pair in blocks.windows(2) {
        let [(language, lines), (next, output)] = pair else { continue };
        let (program, arguments, needs) = match *language {
            "python" => ("python3", &[][..], ["-c", "import requests"]),
            "r" => ("Rscript", &["--vanilla"][..], ["-e", "library(httr2)"]),
            _ => continue,
        };
        assert_eq!(*next, "output", "after a program stands what it prints");
        programs += 1;
        if !is_there(program, &needs) {
            eprintln!(
                "skipped: the {language} program, because `{program} {}` fails",
                needs.join(" ")
            );
            continue;
        }
        let said = run(&hub, program, arguments, &lines.join("\n"));
        assert_eq!(said.code, 0, "{said:?}");
        assert_eq!(steady(said.text.trim()), steady(output.join("\n").trim()), "{language}");
    }
    assert_eq!(programs, 2);
}

#[test]
fn what_differs_each_time_is_told_from_what_must_not() {
    let id = "01a20d43-48d9-74c0-80f5-76cba46668c5";
    let text =
        format!(r#"{{"id":"{id}","at":"2026-11-24T11:13:50.764001Z","seconds_left":12,"n":12}}"#);
    assert_eq!(steady(&text), r#"{"id":"ID","at":"TIME","seconds_left":SECONDS,"n":12}"#);
    assert_eq!(steady("1.0.0+cf5cd685 57.3,2026-11-24"), "1.0.0+HASH 57.3,2026-11-24");
    assert_eq!(steady(&"ab".repeat(32)), "TOKEN");
}
