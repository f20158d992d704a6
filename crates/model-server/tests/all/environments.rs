//! A model's own Python environment. Packages come from a folder: nothing is fetched.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::support::{Folder, machine};
use muster_model_server::prepare::{Environment, PrepareError, Progress, prepare};
use muster_model_server::{Limits, State, folder};

const BODY: &str =
    "import tiny\ndef predict(inputs): return [{'n': tiny.NUMBER} for _ in inputs]\n";

/// A wheel is a zip file with a few texts.
fn write_wheel(dir: &Path, version: &str) {
    let script = "import sys, zipfile\n\
        version = sys.argv[1]\n\
        info = f'tiny-{version}.dist-info/'\n\
        files = {'tiny.py': f'NUMBER = {version}\\n',\n\
            info + 'METADATA': f'Metadata-Version: 2.1\\nName: tiny\\nVersion: {version}\\n',\n\
            info + 'WHEEL': 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n'}\n\
        record = ''.join(f'{name},,\\n' for name in [*files, info + 'RECORD'])\n\
        with zipfile.ZipFile(f'tiny-{version}-py3-none-any.whl', 'w') as wheel:\n\
        \x20   for name, text in {**files, info + 'RECORD': record}.items():\n\
        \x20       wheel.writestr(name, text)\n";
    fs::create_dir_all(dir).expect("a folder");
    let written = Command::new("python3").args(["-c", script, version]).current_dir(dir).status();
    assert!(written.expect("python").success());
}

async fn made(folder: &Folder) -> (Result<Environment, PrepareError>, Vec<Progress>) {
    let read = folder::read(&folder.dir()).expect("it is right");
    let mut steps = Vec::new();
    let (environments, machine) = (folder.beside("environments"), machine());
    let made = prepare(&read, &environments, &machine, |step| steps.push(step)).await;
    (made, steps)
}

/// Two servers that start together, then another start, then another version of the code: what is
/// built is built once.
#[tokio::test]
async fn a_folder_gets_the_environment_it_asks_for_once() {
    let folder = Folder::python(BODY, "");
    let needs = "python: \"3.99\"\ncommands:\n\
                 \x20 - [conda, ./wheels/tiny-1.0-py3-none-any.whl]\n\
                 \x20 - [pip, tiny, 1.5, --no-index, --find-links, wheels]\n";
    folder.write("install.yml", needs);
    write_wheel(&folder.dir().join("wheels"), "1.0");
    write_wheel(&folder.dir().join("wheels"), "1.5");
    let ((one, one_said), (other, other_said)) = tokio::join!(made(&folder), made(&folder));
    assert_eq!(one.expect("it is built"), other.expect("it is built"));
    let said = if one_said.is_empty() { &other_said } else { &one_said };
    assert_eq!(one_said.len().min(other_said.len()), 0, "one of them waited");
    let told = |words: &str| said.iter().any(|progress| progress.doing.contains(words));
    assert!(told("Python 3.99 is not here"), "{said:?}");
    assert!(told("a conda package, tried with pip"), "{said:?}");
    assert!(told("installing tiny==1.5"), "{said:?}");

    folder.write("predict.py", &format!("{BODY}# changed\n"));
    let server = folder.serve().await;
    assert_eq!(server.run(&["a"]).await, json!([{"n": 1.5}]));
    let said = server.said();
    let loading = State::Starting("loading the model".into());
    assert_eq!(said[..1], [loading], "nothing was built again");
}

#[tokio::test]
async fn an_environment_that_cannot_be_built_says_the_builders_last_lines() {
    let folder = Folder::python(BODY, "");
    folder.write("requirements.txt", "--no-index\n# nothing is there\nno-such-package==1.0\n");
    let error = folder.try_serve(Limits::default()).await.err().expect("it does not start");
    let error = error.to_string();
    assert!(error.contains("cannot be built") && error.contains("no-such-package"), "{error}");

    // Half an environment is not taken for a whole one.
    write_wheel(&folder.dir().join("wheels"), "2.5");
    std::fs::remove_file(folder.dir().join("requirements.txt")).expect("it is there");
    let dockerfile = "FROM bentoml/model-server:0.11.0-py310\nMAINTAINER nobody\n\n\
        RUN pip install --no-index \\\n  --find-links wheels tiny==2.5\nWORKDIR /repo\n";
    folder.write("Dockerfile", dockerfile);
    assert_eq!(folder.serve().await.run(&["a"]).await, json!([{"n": 2.5}]));
}

#[tokio::test]
async fn a_failing_line_of_the_shell_is_a_reason_too() {
    let folder = Folder::python(BODY, "");
    folder.write("install.yml", "commands:\n  - echo first\n  - echo no compiler >&2; exit 5\n");
    let error = made(&folder).await.0.expect_err("it fails").to_string();
    assert!(error.contains("no compiler") && error.contains("exit status: 5"), "{error}");
}
