//! The Helm chart, with Helm 3 and Helm 4: `scripts/check-chart` says what is asked of it.
//! brief: NS-4

use std::path::Path;
use std::process::Command;

use crate::support::MUSTER;

#[test]
fn the_chart_renders_to_what_kubernetes_takes_and_gives_no_right_but_those_that_are_told() {
    let made = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let ran = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/check-chart"))
        .arg(MUSTER)
        .args([made.join("helm"), made.join("kubectl")])
        .output()
        .expect("the script");
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{said}{}", String::from_utf8_lossy(&ran.stderr));
    assert!(said.contains("objects held against schemas"), "{said}");
}
