//! A script that was written for the predecessor runs as it is.

use std::process::Command;

use crate::support::{Hub, LENGTHS, Output, PASSWORD, World};

const ID: &str = "3f0b4c1e-8a52-4f1d-9d0e-0a1b2c3d4e5f";

fn world() -> World {
    World::new(&[("lengths", "input = {name = 'smiles', description = 'A molecule'}", LENGTHS)])
}

fn script(hub: &Hub, who: &[&str]) -> Output {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/all/existing_client.py");
    let mut command = Command::new("python3");
    command.args([script, &hub.url(), "lengths"]).args(who);
    hub.world.at_home(&mut command);
    let output = Output::of(command);
    assert_eq!(output.code, 0, "{output:?}\n{}", hub.world.read("log"));
    output
}

#[test]
fn without_an_account() {
    let world = world();
    let hub = world.hub();
    world.write("entries.csv", "smiles\nCCO\nc1ccccc1\n\"a\",b\n");
    let result = "input,length\nCCO,3\nc1ccccc1,8\n\"\"\"a\"\",b\",5\n3 used\n";
    let ends = "{'status': 'ok'}\n401\n";
    let said = script(&hub, &["anonymous", ID]);
    assert_eq!(said.text, format!("anonymous []\n{result}1 True\n{ends}"));
    let again = script(&hub, &["anonymous", ID]);
    assert_eq!(again.text, format!("anonymous []\n{result}2 True\n{ends}"), "the same person");
}

#[test]
fn with_an_account_and_a_file_without_a_header() {
    let world = world();
    let made = world.create_admin("ada");
    assert_eq!(made.code, 0, "{made:?}");
    let hub = world.hub();
    world.write("entries.csv", "CCO\nC\n");
    let said = script(&hub, &["user", "ada", PASSWORD]);
    let want = "ada ['ADMIN']\ninput,length\nCCO,3\nC,1\n2 absent\n1 True\n{'status': 'ok'}\n401\n";
    assert_eq!(said.text, want);
}
