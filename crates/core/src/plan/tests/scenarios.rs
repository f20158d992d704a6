//! Worlds and what is planned for them, as files that a person can read: `tests/scenarios/*.json`.
//!
//! Each has `what` it shows, the `world`, the `policy` and `now`, and the `plan` that comes of it. What a
//! file does not say of a model is as in [`complete`]. With `MUSTER_UPDATE=1` the plans are written anew.

use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::Timestamp;
use crate::plan::planned::complete;
use crate::plan::{Plan, Policy, World, plan};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    #[expect(dead_code, reason = "for who reads the file")]
    what: String,
    world: World,
    #[serde(default)]
    policy: Policy,
    now: Timestamp,
    #[serde(default)]
    plan: Value,
}

#[test]
fn plans_are_those_of_the_files() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut files: Vec<_> =
        fs::read_dir(&folder).expect("the folder").map(|e| e.expect("it").path()).collect();
    files.sort();
    assert!(!files.is_empty());
    let mut wrong = Vec::new();
    for file in files {
        let name = file.file_name().expect("a name").to_string_lossy().into_owned();
        let text = fs::read_to_string(&file).expect("a file");
        let written: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
        let mut whole = written.clone();
        complete(&mut whole);
        let scenario: Scenario =
            serde_json::from_value(whole).unwrap_or_else(|e| panic!("{name}: {e}"));
        let made = plan(&scenario.world, &scenario.policy, scenario.now);
        // What is written down and read again is the same: a bug report is such a file.
        let again = serde_json::to_value(&scenario.world).expect("a world");
        assert_eq!(
            serde_json::from_value::<World>(again).expect("it is read"),
            scenario.world,
            "{name}"
        );
        let made_value = serde_json::to_value(&made).expect("a plan");
        assert_eq!(
            serde_json::from_value::<Plan>(made_value.clone()).expect("it is read"),
            made,
            "{name}"
        );
        if std::env::var_os("MUSTER_UPDATE").is_some() {
            let mut updated = written.clone();
            updated["plan"] = made_value;
            if updated != written {
                let text = serde_json::to_string_pretty(&updated).expect("json");
                fs::write(&file, text + "\n").expect("it is written");
            }
        } else if made_value != scenario.plan {
            let made = serde_json::to_string_pretty(&made_value).expect("json");
            wrong.push(format!("{name}: planned was\n{made}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
