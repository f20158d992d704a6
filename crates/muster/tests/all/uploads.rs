//! Files that cannot be used: exit 2, words that say what to do, nothing stored.

use crate::support::{LENGTHS, Output, World};

#[test]
fn a_file_that_cannot_be_used_is_refused_with_what_to_do() {
    let world = World::new(&[("lengths", "[input]\nname = 'text'\n", LENGTHS)]);
    let hub = world.hub();
    let long = "x".repeat(10_000_000);
    let cases: &[(&str, &[u8], &[&str])] = &[
        ("nothing", b"", &["no input"]),
        ("only a header", b"text,name\n", &["no input"]),
        ("only blank lines", b"\n\r\n\n", &["no input"]),
        ("a wrong column", b"a,b\n1,2\n", &["input column", "--column", "a, b"]),
        ("a column twice", b"text,text\n1,2\n", &["same name", "text"]),
        ("a NUL", b"text\nab\0c\n", &["line 2", "NUL"]),
        ("a NUL in another column", b"text,n\nab,\0\n", &["line 2", "NUL"]),
        ("an image", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0", &["not text", "CSV"]),
        ("a zip file", b"PK\x03\x04\x14\0\x06\0\x08\0", &["not text", "CSV"]),
        ("UTF-16", b"\xff\xfet\0e\0x\0t\0\n\0", &["UTF-8"]),
        ("Latin-1", b"text\nabc\ncaf\xe9\n", &["UTF-8", "line 3"]),
        ("an open quote", b"text\n\"abc\n", &["not well-formed", "line 2"]),
        ("too many cells", b"text,n\na,1\nb,2,3\n", &["line 3"]),
        ("only empty inputs", b"text,n\n,1\n,2\n", &["no input"]),
        ("a page of a login", b"<!DOCTYPE html>\n<html></html>\n", &["another kind", "HTML"]),
        ("a long cell", long.as_bytes(), &["too long", "line 1", "65536 bytes"]),
    ];
    for (what, bytes, words) in cases {
        let file = world.write("in.csv", bytes);
        let output = hub.muster(&["run", "lengths", &file]);
        assert_eq!(output.code, 2, "{what}: {output:?}");
        for word in *words {
            assert!(output.error.contains(word), "{what}: {word:?} is not said: {}", output.error);
        }
        assert!(output.text.is_empty(), "{what}");
        let json = hub.muster(&["run", "lengths", &file, "--json"]);
        let problem: serde_json::Value = serde_json::from_str(&json.error).expect("a problem");
        assert_eq!((json.code, problem["status"].as_u64()), (2, Some(422)), "{what}");
    }
    assert_eq!(hub.good(&["requests"]).text, "no requests\n");
    hub.muster(&["run", "unknown", "in.csv"]).fails(2, &["no model \"unknown\"", "lengths"]);
    hub.muster(&["run", "Not An Id", "in.csv"]).fails(2, &["Not An Id"]);
}

#[test]
fn lines_that_cannot_be_used_are_refused_too() {
    let world = World::new(&[("lengths", "", LENGTHS)]);
    let hub = world.hub();
    world.write("in.txt", b"caf\xe9\n");
    hub.muster(&["run", "lengths", "in.txt"]).fails(2, &["UTF-8"]);
    world.write("in.txt", "");
    hub.muster(&["run", "lengths", "in.txt"]).fails(2, &["no input"]);
    hub.muster(&["run", "lengths", "--input", ""]).fails(2, &["input", "empty"]);
    world.write("in.txt", "a\0b\n");
    hub.muster(&["run", "lengths", "in.txt"]).fails(2, &["NUL"]);
}

#[test]
fn limits_are_named_and_can_be_changed() {
    let world = World::new(&[("lengths", "", LENGTHS)]);
    let limits =
        ["--limits-inputs", "3", "--limits-body-bytes", "1KiB", "--limits-input-bytes", "8"];
    let hub = world.hub_with(&limits, |_| {});
    world.write("in.txt", "1\n2\n3\n4\n");
    hub.muster(&["run", "lengths", "in.txt"]).fails(2, &["too many inputs", "3"]);
    hub.muster(&["run", "lengths", "--input", "123456789"]).fails(2, &["too long", "8"]);
    world.write("in.csv", format!("input,n\n1,{}\n", "x".repeat(2000)));
    hub.muster(&["run", "lengths", "in.csv"]).fails(2, &["in.csv", "1024 bytes", "Split it"]);
    hub.good(&["run", "lengths", "--input", "1", "--input", "2", "--input", "3"]);
}

#[test]
fn strange_but_well_formed_files_are_read() {
    let world = World::new(&[("lengths", "[input]\nname = 'text'\n", LENGTHS)]);
    let hub = world.hub();
    let cases: &[(&str, &str, &str)] = &[
        ("a BOM and CRLF", "\u{feff}text,n\r\nabc,1\r\n", "text,n,length\nabc,1,3\n"),
        ("no line end at the end", "text\nabc", "text,length\nabc,3\n"),
        ("a header in capitals", "TEXT\nabc\n", "TEXT,length\nabc,3\n"),
        ("quoted line ends", "text\n\"a\r\nb\"\n", "text,length\n\"a\r\nb\",4\n"),
        ("blank lines", "text\n\nabc\n\n", "text,length\nabc,3\n"),
        (
            "a column called as the model's",
            "text,length\nabc,x\n",
            "text,length,length_2\nabc,x,3\n",
        ),
    ];
    for (what, file, expected) in cases {
        world.write("in.csv", file);
        let output = hub.muster(&["run", "lengths", "in.csv", "-q"]);
        assert_eq!((output.code, output.text.as_str()), (0, *expected), "{what}: {output:?}");
    }
    let mut command = hub.command(&["run", "lengths", "in.csv"]);
    command.arg("--column").arg("nothing");
    Output::of(command).fails(2, &["column", "text, length"]);
}
