//! `muster model check` and `model prepare`: a model folder without a hub.

use serde_json::json;

use crate::support::{LENGTHS, World};

#[test]
fn a_check_runs_the_example_or_says_everything_that_is_wrong() {
    let world = World::new(&[("lengths", "example = ['abc', 'de']", LENGTHS)]);
    let good = world.muster(&["model", "check", "models/lengths"]);
    assert_eq!(good.code, 0, "{good:?}");
    for word in ["lengths", "length", "abc", "3", "The model works."] {
        assert!(good.text.contains(word), "{word}: {}", good.text);
    }
    let read = world.muster(&["model", "check", "--read-only", "models/raises"]);
    assert_eq!(read.code, 2, "there is none yet: {read:?}");
    let json = world.muster(&["model", "check", "models/lengths", "--json"]).json();
    assert_eq!((&json["good"], &json["faults"]), (&json!(true), &json!([])));

    assert!(!good.text.contains("needs"), "{good:?}");
    let needs = "[resources]\ncpu = 0.5\nmemory_mib = 1536\ngpus = 1\nnode = { zone = 'a' }\n";
    world.model("needy", needs, LENGTHS);
    let needy = world.muster(&["model", "check", "--read-only", "models/needy"]);
    let line =
        "an instance needs: 0.5 cores, 1.5 GiB of memory, 1 nvidia.com/gpu, a node with zone=a\n";
    assert!(needy.code == 0 && needy.text.contains(line), "{needy:?}");

    world.write("models/bad/model.toml", "id = 'A B'\nkind = 'java'\n[limits]\nbatch_size = 0\n");
    let bad = world.muster(&["model", "check", "models/bad"]);
    assert_eq!(bad.code, 2, "{bad:?}");
    for word in ["fault: model.toml", "A B", "java", "batch_size", "does not work yet"] {
        assert!(bad.text.contains(word), "{word}: {}", bad.text);
    }
    world.model(
        "raises",
        "example = ['a']",
        "def predict(inputs): raise ValueError('no weights')\n",
    );
    let raises = world.muster(&["model", "check", "models/raises", "--json"]);
    assert_eq!((raises.code, &raises.json()["good"]), (1, &json!(false)));
    let read = world.muster(&["model", "check", "--read-only", "models/raises"]);
    assert!(read.code == 0 && read.text.contains("Nothing was built or run."), "{read:?}");
    assert!(raises.json()["faults"][0].as_str().is_some_and(|fault| fault.contains("no weights")));
    assert_eq!(world.muster(&["model", "check", "nowhere"]).code, 2);
}

#[test]
fn a_program_that_a_model_lacks_is_named() {
    let world = World::new(&[]);
    let toml = "kind = 'command'\ncommand = ['no-such-program', '{input}', '{output}']\n\
                example = ['a']\n";
    world.write("models/lacking/model.toml", toml);
    let check = world.muster(&["model", "check", "models/lacking"]);
    assert!(check.code == 1 && check.text.contains("no-such-program"), "{check:?}");
}

#[test]
fn a_prepare_says_where_the_environment_is_or_why_there_is_none() {
    let world = World::new(&[("lengths", "", LENGTHS), ("needy", "", LENGTHS)]);
    let ready = world.muster(&["model", "prepare", "models/lengths"]);
    assert!(ready.code == 0 && ready.text.starts_with("lengths is ready: /"), "{ready:?}");
    world.write("models/needy/requirements.txt", "--no-index\nno-such-package\n");
    let arguments = ["model", "prepare", "models/needy", "--environments", "environments"];
    let needy = world.muster(&arguments);
    needy.fails(1, &["[1/2]", "cannot be built", "no-such-package"]);
    let check = ["model", "check", "models/needy", "--environments", "environments"];
    let check = world.muster(&check);
    // The same things in the same words.
    let fault = "fault: dependencies: its Python environment cannot be built (exit status: 1)";
    assert!(check.code == 1 && check.text.contains(fault), "{check:?}");
    needy.fails(1, &[fault]);
    assert!(world.path("environments").is_dir());
}
