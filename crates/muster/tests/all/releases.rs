//! What `make release` refuses, and that what it packs is the same twice.

use std::process::Command;

use crate::support::MUSTER;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

#[test]
fn a_release_is_refused_for_what_is_wrong_and_is_the_same_twice() {
    let ready = Command::new(format!("{ROOT}/scripts/need-release"))
        .args(["archive", "signature"])
        .status();
    assert!(ready.expect("bash").success());
    let said = Command::new("python3")
        .args(["-B", "-m", "unittest", "deploy.release.tests"])
        .current_dir(ROOT)
        .env("MUSTER", MUSTER)
        .output()
        .expect("python3");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
}
