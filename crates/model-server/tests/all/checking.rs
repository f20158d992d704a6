//! Checking folders: everything that is wrong is said at once, in words that help.

use crate::support::{Folder, machine};
use muster_core::{Cell, Row};
use muster_model_server::check::{Report, check};

async fn report(folder: &Folder) -> Report {
    check(&folder.dir(), &folder.beside("environments"), &machine(), |_| {}).await
}

/// The faults, as they are shown.
async fn faults(files: &[(&str, &str)]) -> String {
    let report = report(&Folder::new(files)).await;
    assert!(!report.is_good(), "{report:?}");
    report.faults.iter().map(|fault| format!("{fault}\n")).collect()
}

fn says(faults: &str, words: &[&str]) {
    for word in words {
        assert!(faults.contains(word), "{word:?} is not in:\n{faults}");
    }
}

#[tokio::test]
async fn a_good_folder_runs_its_example() {
    let body = "def predict(inputs): return [{'n': len(text)} for text in inputs]\n";
    let report = report(&Folder::python(body, "")).await;
    assert!(report.is_good(), "{report:?}");
    let (inputs, part) = report.example.expect("an example");
    assert_eq!(inputs, ["a", "bb"]);
    assert_eq!(part.rows[1], Row::Values(vec![Cell::Integer(2)]));
}

#[tokio::test]
async fn a_folder_of_nothing_says_what_a_model_needs() {
    says(&faults(&[]).await, &["model.toml", "model/framework"]);
    let folder = Folder::new(&[]);
    let gone = check(&folder.beside("gone"), &folder.beside("e"), &machine(), |_| {}).await;
    assert!(gone.folder.is_none() && gone.faults[0].to_string().contains("gone"));
}

#[tokio::test]
async fn every_fault_of_a_description_is_said_at_once() {
    let text = "id = 'Not An Id'\nkind = 'python'\nrequirements = 'needs.txt'\n\
                [limits]\nbatch_size = 0\nmemory_mib = 1\n";
    let faults = faults(&[("model.toml", text)]).await;
    says(&faults, &["Not An Id", "predict.py", "needs.txt", "batch_size", "memory_mib"]);
}

#[tokio::test]
async fn what_a_model_needs_is_read_and_every_fault_of_it_said() {
    let folder = |needs: &str| {
        let text = format!("kind = 'http'\nurl = 'http://x'\n[resources]\n{needs}");
        Folder::new(&[("model.toml", &text)])
    };
    let good = folder("cpu = 0.25\nmemory_mib = 512\ngpus = 1\nnode = { zone = 'a' }");
    let read = muster_model_server::folder::read(&good.dir()).expect("a folder").model.resources;
    assert_eq!(read.amounts(Some(4096), None, None).cpu, 250);
    assert_eq!((read.memory_mib, read.gpus, &*read.node["zone"]), (Some(512), 1, "a"));
    for (needs, words) in [
        ("cpu = -1", ["-1", "a number of cores, 0 to 10000"]),
        ("cpu = nan", ["NaN", "a number of cores, 0 to 10000"]),
        ("cpu = inf", ["inf", "a number of cores, 0 to 10000"]),
        ("cpu = 0.1234", ["0.1234", "at most three decimals"]),
        ("gpus = 0.5", ["0.5", "a whole number of GPUs"]),
        ("memory_mib = -1", ["-1", "line 4"]),
        ("disk = 1", ["disk", "line 4"]),
        ("memory_mib = 5000\ngpu = 'x'", ["memory_mib is at most", "gpu \"x\" is no resource"]),
        ("[resources.node]\n'a b' = ''\nc = '-'", ["key \"a b\"", "the value of \"c\""]),
    ] {
        let report = report(&folder(needs)).await;
        let faults: String = report.faults.iter().map(|fault| format!("{fault}\n")).collect();
        says(&faults, &words);
        says(&faults, &["model.toml"]);
    }
}

#[tokio::test]
async fn a_description_that_cannot_be_read_says_where() {
    let unknown = "kind = 'python'\nfunktion = 'x.py:predict'\n";
    says(&faults(&[("model.toml", unknown)]).await, &["model.toml", "funktion"]);
    says(&faults(&[("model.toml", "kind = ")]).await, &["model.toml", "line 1"]);
    says(&faults(&[("model.toml", "kind = 'java'")]).await, &["python", "command", "http", "java"]);
    says(&faults(&[("model.toml", "kind = 'http'\nurl = 'ftp://x'")]).await, &["http://"]);
    for host in ["169.254.169.254", "0251.0376.43518", "[fd00:ec2::254]", "[::ffff:a9fe:a9fe]"] {
        let text = format!("kind = 'http'\nurl = 'http://{host}/v1'");
        says(&faults(&[("model.toml", &text)]).await, &["url: the hub never calls"]);
    }
    says(&faults(&[("model.toml", "kind = 'command'")]).await, &["{input}", "{output}"]);
    let half = "kind = 'command'\ncommand = ['sh', '{input}']";
    says(&faults(&[("model.toml", half)]).await, &["{output}"]);
}

#[tokio::test]
async fn every_fault_of_a_template_folder_is_said_at_once() {
    let faults = faults(&[
        ("metadata.yml", "Identifier: [\n"),
        ("install.yml", "commands:\n  - [cargo, install, x]\n"),
        ("model/framework/code/main.py", ""),
    ])
    .await;
    says(&faults, &["metadata.yml", "not YAML", "run.sh", "missing", "install.yml", "cargo"]);
    let json = self::faults(&[("metadata.json", "{"), ("model/framework/run.sh", "")]).await;
    says(&json, &["metadata.json", "not JSON"]);
}

#[tokio::test]
async fn an_example_that_fails_or_is_missing_is_a_fault() {
    let broken = "import nothing_of_that_name\n";
    let toml = ("model.toml", "kind = 'python'\nexample = ['a']\n");
    says(&faults(&[toml, ("predict.py", broken)]).await, &["nothing_of_that_name"]);
    let raises = "def predict(inputs): raise ValueError('no weights')\n";
    says(&faults(&[toml, ("predict.py", raises)]).await, &["example", "no weights"]);
    let without = ("model.toml", "kind = 'python'\n");
    let good = "def predict(inputs): return [{'n': 1} for _ in inputs]\n";
    says(&faults(&[without, ("predict.py", good)]).await, &["no example"]);
    let each = "def predict(inputs): return [{'error': 'no'} for _ in inputs]\n";
    says(
        &faults(&[toml, ("predict.py", each)]).await,
        &["no input of the example has a prediction: no"],
    );
}

#[tokio::test]
async fn a_declared_column_that_is_not_answered_is_a_fault() {
    let toml = "kind = 'python'\nexample = ['a']\n[[outputs]]\nname = 'mw'\nkind = 'float'\n";
    let body = "def predict(inputs): return [{'weight': 1} for _ in inputs]\n";
    says(&faults(&[("model.toml", toml), ("predict.py", body)]).await, &["mw", "does not answer"]);
}
