//! A model's own Python environment. Packages come from a folder: nothing is fetched.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;
use sha2::Digest;

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
    let waited = |said: &[Progress]| said.iter().all(|it| it.doing.starts_with("another start"));
    let (builder, waiter) =
        if waited(&one_said) { (&other_said, &one_said) } else { (&one_said, &other_said) };
    assert!(waited(waiter) && !waited(builder), "one build serves both: {builder:?} {waiter:?}");
    let said = builder;
    let told = |words: &str| said.iter().any(|progress| progress.doing.contains(words));
    assert!(told("Python 3.99 is not here"), "{said:?}");
    assert!(told("a conda package, tried with pip"), "{said:?}");
    assert!(told("installing tiny==1.5"), "{said:?}");

    folder.write("predict.py", &format!("{BODY}# changed\n"));
    let server = folder.serve().await;
    assert_eq!(server.run(&["a"]).await, json!([{"n": 1.5}]));
    let said = server.said();
    let starting = ["reading its files", "loading the model"];
    let starting = starting.map(|doing| State::Starting(doing.into()));
    assert_eq!(said[..2], starting, "nothing was built again");
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
async fn requirement_files_are_given_to_pip_with_all_that_they_name() {
    let folder = Folder::python(BODY, "");
    write_wheel(&folder.dir().join("wheels"), "1.0");
    write_wheel(&folder.dir().join("wheels"), "2.0");
    let wheel = fs::read(folder.dir().join("wheels/tiny-1.0-py3-none-any.whl")).expect("a wheel");
    let hash: String =
        sha2::Sha256::digest(&wheel).iter().map(|byte| format!("{byte:02x}")).collect();
    folder.write("requirements.txt", "# what it needs\n-r base.txt\n");
    let base = format!("--no-index\n--find-links wheels\ntiny==1.0 \\\n    --hash=sha256:{hash}\n");
    folder.write("base.txt", &base);
    let first = made(&folder).await.0.expect("it is built");
    assert_eq!(folder.serve().await.run(&["a"]).await, json!([{"n": 1.0}]));
    // What a named file names is part of what is needed.
    folder.write("base.txt", "--no-index\n--find-links wheels\ntiny==2.0\n");
    assert_ne!(made(&folder).await.0.expect("it is built"), first);
    assert_eq!(folder.serve().await.run(&["a"]).await, json!([{"n": 2.0}]));
}

#[tokio::test]
async fn equal_environments_are_one_whoever_needs_them() {
    let one = Folder::python(BODY, "");
    let needs = format!("--no-index\n--find-links {}\ntiny==1.0\n", one.beside("wheels").display());
    write_wheel(&one.beside("wheels"), "1.0");
    one.write("requirements.txt", &needs);
    let other = Folder::python(&format!("{BODY}# another model\n"), "version = '2'");
    other.write("requirements.txt", &needs);
    let environments = one.beside("environments");
    let read = |folder: &Folder| folder::read(&folder.dir()).expect("it is right");
    let (first, second) = (read(&one), read(&other));
    let first = prepare(&first, &environments, &machine(), |_| {}).await.expect("it is built");
    let mut steps = Vec::new();
    let second = prepare(&second, &environments, &machine(), |step| steps.push(step)).await;
    assert_eq!(second.expect("it is there"), first);
    assert!(steps.is_empty(), "{steps:?}");
}

/// A package that is to be had and one that is not: the model runs, and says what it lacks when it fails.
#[tokio::test]
async fn without_conda_its_packages_are_tried_with_pip_and_what_is_not_done_is_told() {
    let body = "import tiny\ndef predict(inputs):\n    import absent\n";
    let folder = Folder::python(body, "");
    write_wheel(&folder.dir().join("wheels"), "1.0");
    folder.write(
        "environment.yml",
        "dependencies:\n  - ./wheels/tiny-1.0-py3-none-any.whl\n  - ./wheels/absent-1.0.whl\n  \
         - libgcc-ng=9.3\n",
    );
    let (made, said) = made(&folder).await;
    let notes = made.expect("it is built").notes.join("\n");
    for word in ["not installed: libgcc-ng=9.3", "not installed: ./wheels/absent-1.0.whl"] {
        assert!(notes.contains(word), "{word}: {notes}");
    }
    assert!(said.iter().any(|step| step.doing.contains("tried with pip")), "{said:?}");
    let (_, detail) = folder.serve().await.fail(&["a"]).await;
    assert!(detail.contains("absent") && detail.contains("not installed: libgcc-ng"), "{detail}");

    folder.write("environment.yml", "dependencies:\n  - ./wheels/absent-1.0.whl\n");
    let error = self::made(&folder).await.0.expect_err("nothing can be had");
    assert!(error.to_string().contains("cannot be built"), "{error}");
}

/// The second step waits for a file. Whoever is killed there has done the first.
#[tokio::test]
async fn a_build_that_was_interrupted_goes_on_where_it_was() {
    let folder = Folder::python(BODY, "");
    write_wheel(&folder.dir().join("wheels"), "1.0");
    let gate = "echo once >> first; echo at the gate";
    let wait = "test -e go || { echo waiting; sleep 600; }";
    folder.write(
        "install.yml",
        &format!(
            "commands:\n  - {gate}\n  - {wait}\n  - [pip, tiny, 1.0, --no-index, --find-links, wheels]\n"
        ),
    );
    let (first, mut states) = folder.begin(Limits::default());
    let at_the_gate = |state: &State| format!("{state:?}").contains("waiting");
    tokio::time::timeout(crate::support::PATIENCE, states.wait_for(at_the_gate))
        .await
        .expect("it gets there")
        .expect("it lives");
    first.shutdown.cancel();
    drop(first);
    folder.write("go", "");
    let (made, said) = made(&folder).await;
    made.expect("it is built");
    assert_eq!(fs::read_to_string(folder.dir().join("first")).expect("a file"), "once\n");
    let said: Vec<usize> = said.iter().map(|it| it.step).filter(|step| *step > 0).collect();
    assert!(said.iter().all(|step| *step >= 3), "{said:?}");
    assert_eq!(folder.serve().await.run(&["a"]).await, json!([{"n": 1.0}]));
}

#[tokio::test]
async fn a_failing_line_of_the_shell_is_a_reason_too() {
    let folder = Folder::python(BODY, "");
    folder.write("install.yml", "commands:\n  - echo first\n  - echo no compiler >&2; exit 5\n");
    let error = made(&folder).await.0.expect_err("it fails").to_string();
    assert!(error.contains("no compiler") && error.contains("exit status: 5"), "{error}");
}
