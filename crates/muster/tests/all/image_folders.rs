//! `muster model image`: what is written, and how it is built.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::support::{LENGTHS, World, exists};

const BASE: &str = "registry.example.org/python:3.12";

#[test]
fn a_folder_becomes_the_context_of_an_image_and_a_description() {
    let toml = "version = '1.0'\nexample = ['abc']\n[limits]\nbatch_size = 7\n";
    let world = World::new(&[("other", "", LENGTHS)]);
    world.write("work/lengths/model.toml", format!("kind = 'python'\n{toml}"));
    world.write("work/lengths/predict.py", LENGTHS);
    world.write("work/lengths/.git/config", "no part of it");
    let image = |more: &[&str]| {
        world.muster(&[&["model", "image", "work/lengths", "--base", BASE], more].concat())
    };
    image(&["--build"]).fails(2, &["--build needs --tag"]);
    image(&["--tag", "UPPER case"]).fails(2, &["--tag is no name of an image"]);
    let tag = "registry.example.org/lab/lengths:1.0";
    let written = image(&["--tag", tag]);
    assert_eq!(written.code, 0, "{written:?}");
    assert!(written.text.contains("buildah build --tag registry.example.org/lab/lengths:1.0"));
    let file = world.read("lengths-image/Containerfile");
    for line in [
        "FROM registry.example.org/python:3.12\n",
        "RUN [\"/usr/local/bin/muster\",\"model\",\"prepare\",\"/models/lengths\",",
        "USER 65532:65532\n",
        "EXPOSE 8080\n",
        "\"--listen\",\"0.0.0.0:8080\"",
    ] {
        assert!(file.contains(line), "{line}: {file}");
    }
    assert!(exists(&world.path("lengths-image/model/predict.py")));
    assert!(!exists(&world.path("lengths-image/model/.git")));
    let program = fs::metadata(world.path("lengths-image/muster")).expect("the program");
    assert_eq!(program.permissions().mode() & 0o111, 0o111);
    let described: Value =
        serde_json::from_str(&world.read("lengths-image/model.json")).expect("JSON");
    assert_eq!((&described["image"], &described["port"]), (&json!(tag), &json!(8080)));
    assert_eq!(described["limits"]["batch_size"], 7);
    image(&[]).fails(2, &["is there already, and is not empty"]);

    // The API takes the description as it is.
    assert_eq!(world.create_admin("root").code, 0);
    let hub = world.hub_with(&[], |command| {
        command.env("MUSTER_MODEL_IMAGES", "registry.example.org/lab/");
    });
    hub.good(&["login", "root", "--password-file", "password"]);
    let added = hub.good(&["models", "add", "lengths-image/model.json"]).text;
    assert!(added.starts_with("lengths 1.0+"), "{added}");
}

/// The program that builds is anything that takes these arguments, as buildah, podman and docker do.
#[test]
fn the_builder_that_is_there_builds_it_or_it_is_said_why_not() {
    let world = World::new(&[("lengths", "version = '1.0'\nexample = ['abc']\n", LENGTHS)]);
    let builder = world
        .write("bin/podman", "#!/bin/sh\necho \"$@\" > built\n[ -f \"$5\" ] && ! [ -e fail ]\n");
    fs::set_permissions(&builder, fs::Permissions::from_mode(0o755)).expect("its mode");
    let path = format!("{}:/usr/bin:/bin", world.path("bin").display());
    let image = |output: &str, more: &[&str]| {
        let words =
            ["model", "image", "models/lengths", "--base", BASE, "--tag", "lab/x:1", "--build"];
        let mut command = world.command(&[&words[..], &["--output", output], more].concat());
        command.env("PATH", &path);
        crate::support::Output::of(command)
    };
    let built = image("one", &["--builder", "podman"]);
    assert_eq!(built.code, 0, "{built:?}");
    assert!(built.text.contains("lab/x:1 is built"), "{built:?}");
    assert_eq!(world.read("built"), "build --tag lab/x:1 --file one/Containerfile one\n");
    world.write("fail", "");
    image("two", &["--builder", &builder])
        .fails(1, &["podman did not build it (exit status: 1)", "stays in two"]);
    image("three", &["--builder", "no-such"]).fails(2, &["there is no no-such on the PATH"]);
}
