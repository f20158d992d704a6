//! Folders as people really publish them: each has one fault, or is of a form that is not ours.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use muster_model_server::check::{Report, check, read_only};
use muster_model_server::folder::Kind;
use muster_model_server::{Form, Limits, Machine, folder};
use serde_json::json;

use crate::support::{Folder, machine};

const MAIN: &str = "\
import csv, sys
rows = list(csv.reader(open(sys.argv[1])))[1:]
with open(sys.argv[2], 'w', newline='') as out:
    w = csv.writer(out)
    w.writerow(['length', 'carbons'])
    for r in rows: w.writerow([len(r[0]), r[0].upper().count('C')])
";
const RUN: &str = "python $1/code/main.py $2 $3\n";
const COLUMNS: &str = "name,type,direction,description\nlength,integer,high,Length\n\
                       carbons,integer,high,Number of C\n";
const PREDICT: &str = "def predict(inputs): return [{'n': len(text)} for text in inputs]\n";

/// A folder in the eos-template layout that works.
fn good() -> Folder {
    let folder = Folder::template(RUN, MAIN);
    folder.write("metadata.yml", "Identifier: mf\nSlug: a-slug\nStatus: Ready\nRelease: v1.2.3\n");
    folder.write("model/framework/columns/run_columns.csv", COLUMNS);
    folder
}

async fn checked(folder: &Folder, machine: &Machine) -> Report {
    check(&folder.dir(), &folder.beside("environments"), machine, |_| {}).await
}

fn notes(report: &Report) -> String {
    report.notes.iter().map(|note| format!("{note}\n")).collect()
}

fn faults(report: &Report) -> String {
    report.faults.iter().map(|fault| format!("{fault}\n")).collect()
}

#[tokio::test]
async fn the_release_is_the_version_and_the_root_page_says_who_it_is() {
    let folder = good();
    let model = folder::read(&folder.dir()).expect("it is right").model;
    assert!(model.version.starts_with("v1.2.3+"), "{}", model.version);
    assert!(model.cache);
    let server = folder.serve().await;
    assert_eq!(server.get("/").await.json(), json!({"mf": "a-slug"}));
    assert_eq!(server.run(&["CCO"]).await, json!([{"length": 3, "carbons": 2}]));
}

#[test]
fn a_model_that_may_answer_otherwise_next_time_is_not_remembered() {
    for (line, cache) in [
        ("Output Consistency: Variable", false),
        ("Output Consistency: fixed", true),
        ("output consistency: Stochastic", false),
        ("Deterministic: false", false),
        ("Title: x", true),
    ] {
        let folder = good();
        folder.write("metadata.yml", &format!("Identifier: mf\n{line}\n"));
        let model = folder::read(&folder.dir()).expect("it is right").model;
        assert_eq!(model.cache, cache, "{line}");
    }
}

#[tokio::test]
async fn a_key_that_stands_twice_counts_as_it_stands_last_with_a_word() {
    let folder = good();
    folder.write("metadata.yml", "Identifier: mf\nTitle: a\nRelease: v2.0.1\nTitle: b\n");
    let report = checked(&folder, &machine()).await;
    assert!(report.is_good(), "{report:?}");
    assert_eq!(report.folder.as_ref().expect("a folder").model.card.title, "b");
    assert!(notes(&report).contains("metadata.yml: Title stands twice"), "{}", notes(&report));
    folder.write("metadata.json", r#"{"Identifier": "mf", "Title": "a", "Title": "b"}"#);
    fs::remove_file(folder.dir().join("metadata.yml")).expect("it is there");
    let json = read_only(&folder.dir());
    assert!(notes(&json).contains("metadata.json: Title stands twice"), "{}", notes(&json));
}

#[tokio::test]
async fn windows_line_ends_and_marks_of_editors_do_no_harm() {
    let crlf = |text: &str| format!("\u{feff}{}", text.replace('\n', "\r\n"));
    let folder = good();
    let run = "set -e\ncd \"$(dirname \"${BASH_SOURCE[0]}\")\"\npython $1/code/main.py $2 $3\n";
    folder.write("model/framework/run.sh", &crlf(run));
    folder.write("model/framework/code/main.py", &crlf(MAIN));
    folder.write("model/framework/columns/run_columns.csv", &crlf(COLUMNS));
    folder.write("model/framework/examples/run_input.csv", &crlf("smiles\nCCO\nC\n"));
    folder.write("metadata.yml", &crlf("Identifier: mf\nTitle: A title\n"));
    let report = checked(&folder, &machine()).await;
    assert!(report.is_good(), "{}", faults(&report));
    let model = &report.folder.as_ref().expect("a folder").model;
    assert_eq!((model.outputs.len(), model.input.name.as_str()), (2, "smiles"));
    assert_eq!(
        (model.card.title.as_str(), &model.example[..]),
        ("A title", &["CCO".to_owned(), "C".to_owned()][..])
    );
    assert!(
        notes(&report).contains("model/framework/run.sh: it has Windows"),
        "{}",
        notes(&report)
    );

    let command = Folder::new(&[
        (
            "model.toml",
            &crlf("kind = 'command'\ncommand = ['sh', 'x.sh', '{input}', '{output}']\n"),
        ),
        ("x.sh", &crlf("if true; then\nsed '1s/.*/seen/' $1 > $2\nfi\n")),
    ]);
    assert_eq!(command.serve().await.run(&["abc"]).await, json!([{"seen": "abc"}]));
    let marked = Folder::template("printf '\\xef\\xbb\\xbfn\\r\\n1\\r\\n' > $3\n", "");
    assert_eq!(marked.serve().await.run(&["a"]).await, json!([{"n": 1}]), "of its output too");
}

#[tokio::test]
async fn a_git_lfs_pointer_is_named_where_it_lies_and_where_the_model_fails() {
    let folder = good();
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 12345678\n";
    folder.write("model/checkpoints/model.pkl", pointer);
    let main =
        format!("import pickle\npickle.load(open('../checkpoints/model.pkl', 'rb'))\n{MAIN}");
    folder.write("model/framework/code/main.py", &main);
    let report = checked(&folder, &machine()).await;
    let words = ["model/checkpoints/model.pkl: it is a Git LFS pointer", "git lfs pull"];
    for word in words {
        assert!(notes(&report).contains(word), "{word}: {}", notes(&report));
        assert!(faults(&report).contains(word), "{word}: {}", faults(&report));
    }
    assert_eq!(report.faults.len(), 1, "nothing that follows from it: {}", faults(&report));
    let (_, detail) = folder.serve().await.fail(&["a", "b"]).await;
    assert!(detail.contains("UnpicklingError") && detail.contains(words[0]), "{detail}");
}

#[tokio::test]
async fn the_last_words_of_an_error_reach_the_reason_whatever_the_exit_code() {
    let cases = [
        ("python $1/code/main.py $2 $3\necho done\n", "wrote no output"),
        ("python $1/code/main.py $2 $3\nexit 3\n", "exit status: 3"),
        ("python $1/code/main.py $2 $3\necho n > $3; echo done\n", "0 rows for 1 inputs"),
    ];
    for (run, words) in cases {
        let server =
            Folder::template(run, "raise RuntimeError('checkpoint not found')").serve().await;
        let (_, detail) = server.fail(&["CCO"]).await;
        for word in [words, "RuntimeError: checkpoint not found"] {
            assert!(detail.contains(word), "{run}: {word}: {detail}");
        }
    }
}

#[tokio::test]
async fn a_model_that_fails_all_inputs_for_one_reason_has_failed_for_one_as_for_many() {
    let main = "import os\nos.environ['MY_MODEL_KEY']\n";
    let server = Folder::template(RUN, main).serve().await;
    for inputs in [&["a"][..], &["a", "b"], &["a", "b", "c", "d", "e"]] {
        let (status, detail) = server.fail(inputs).await;
        assert!(status == 500 && detail.contains("KeyError: 'MY_MODEL_KEY'"), "{detail}");
    }
}

/// Each start of the command is counted.
#[tokio::test]
async fn three_bad_inputs_of_two_hundred_take_less_than_thirty_two_starts() {
    let run = "echo x >> $1/../../../starts\n! grep -q bad $2 || { echo 'bad input' >&2; exit 1; }\n\
               sed '1s/.*/n/;2,$s/.*/4/' $2 > $3\n";
    let folder = Folder::template(run, "");
    let server = folder.serve().await;
    let bad = [31, 97, 150];
    let inputs: Vec<&str> = (0..200).map(|n| if bad.contains(&n) { "bad" } else { "ok" }).collect();
    let rows = server.run(&inputs).await;
    for (n, row) in rows.as_array().expect("rows").iter().enumerate() {
        assert_eq!(row["error"].is_string(), bad.contains(&n), "{n}: {row}");
    }
    let starts = fs::read_to_string(folder.beside("starts")).expect("starts");
    assert!(starts.lines().count() < 32, "{} starts", starts.lines().count());
}

#[tokio::test]
async fn declared_columns_that_are_not_answered_are_named_with_what_came_instead() {
    let folder = good();
    let main = MAIN.replace("['length', 'carbons']", "['length', 'c_count']");
    folder.write("model/framework/code/main.py", &main);
    let report = checked(&folder, &machine()).await;
    let said = faults(&report);
    assert!(said.contains("declares the column carbons") && said.contains("c_count"), "{said}");
    let (_, part) = report.example.expect("it ran");
    let names: Vec<&str> = part.columns.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["length", "c_count", "carbons"], "and it is there, empty");
}

#[tokio::test]
async fn half_of_a_surrogate_pair_costs_its_row() {
    let body = "def predict(inputs):\n\
                \x20   return [{'value': '\\udce4' if text == 'bad' else text} for text in inputs]\n";
    let server = Folder::python(body, "").serve().await;
    let rows = server.run(&["a", "bad", "\u{e4}b"]).await;
    assert_eq!((&rows[0], &rows[2]), (&json!({"value": "a"}), &json!({"value": "\u{e4}b"})));
    assert!(rows[1]["error"].as_str().is_some_and(|it| it.contains("surrogate")), "{rows}");
}

#[tokio::test]
async fn rows_come_out_the_same_by_column_and_one_by_one() {
    let rows = "[{'a': 1, 'b': 0.1 + 0.2, 'c': 'x\\n\"', 'd': None, 'e': True, 'f': 2 ** 70, \
                'g': 1e-320} for _ in inputs]";
    let body = format!(
        "def predict(inputs):\n    rows = {rows}\n    rows[-1].update({{EXTRA}})\n    return rows\n"
    );
    let plain = Folder::python(&body.replace("{EXTRA}", "{}"), "").serve().await;
    let other = Folder::python(&body.replace("{EXTRA}", "{'h': 1}"), "").serve().await;
    let (plain, other) =
        (plain.post("/run", json!(["a", "b"])).await, other.post("/run", json!(["a", "b"])).await);
    let (plain, other) = (plain.text(), other.text());
    let first = |text: &str| text.split_inclusive('}').next().expect("a row").to_owned();
    assert_eq!(first(&plain), first(&other));
    assert_eq!(
        first(&plain),
        r#"[{"a":1,"b":0.30000000000000004,"c":"x\n\"","d":null,"e":true,"f":1180591620717411303424,"g":1e-320}"#
    );
}

#[test]
fn what_is_wanted_is_read_as_it_is_spelled_and_what_is_not_done_is_told() {
    let folder = good();
    folder.write("install.yml", "python: 3.10\ncommands:\n    - [pip, six, 1.10]\n");
    let read = folder::read(&folder.dir()).expect("it is right");
    assert_eq!(read.dependencies.python.as_deref(), Some("3.10"));
    folder.write("Dockerfile", "FROM python:3.8\nRUN apt-get install -y gcc\n");
    let unread = notes(&read_only(&folder.dir()));
    assert!(
        unread.contains("Dockerfile: it is not read, because there is install.yml"),
        "{unread}"
    );
    fs::remove_file(folder.dir().join("install.yml")).expect("it is there");
    let undone = read_only(&folder.dir());
    assert!(notes(&undone).contains("Dockerfile: not done: RUN apt-get install -y gcc"));
    assert!(undone.is_good() && undone.example.is_none(), "nothing is run");
}

#[tokio::test]
async fn a_predict_py_alone_is_a_model_and_one_without_predict_is_told() {
    let folder = Folder::new(&[("predict.py", PREDICT)]);
    let report = checked(&folder, &machine()).await;
    assert!(report.is_good(), "{report:?}");
    assert_eq!(report.folder.as_ref().expect("a folder").form, Form::Predict);
    assert!(notes(&report).contains("example: there is no example"), "{}", notes(&report));
    assert_eq!(folder.serve().await.run(&["abc"]).await, json!([{"n": 3}]));
    let script = Folder::new(&[("predict.py", "import sys\nprint(sys.argv)\n")]);
    let said = faults(&read_only(&script.dir()));
    assert!(said.contains("predict.py: it has no function `predict`"), "{said}");
}

/// The description is as MLflow 2 writes it.
#[tokio::test]
async fn an_mlflow_folder_is_read_with_its_flavour_and_signature() {
    let description = "artifact_path: model\nflavors:\n  python_function:\n    env:\n      \
        conda: conda.yaml\n    loader_module: mlflow.sklearn\n    model_path: model.pkl\n    \
        python_version: 3.11.7\nmlflow_version: 2.9.2\nsaved_input_example_info:\n  \
        artifact_path: input_example.json\n  type: dataframe\nsignature:\n  \
        inputs: '[{\"type\": \"string\", \"name\": \"smiles\", \"required\": true}]'\n  \
        outputs: '[{\"type\": \"double\", \"name\": \"logp\", \"required\": true}]'\n";
    let folder = Folder::new(&[
        ("MLmodel", description),
        ("requirements.txt", "mlflow==2.9.2\nscikit-learn==1.3.2\n"),
        ("conda.yaml", "dependencies: [python=3.11, {pip: [mlflow]}]\n"),
        ("input_example.json", "{\"columns\": [\"smiles\"], \"data\": [[\"CCO\"], [\"C\"]]}"),
    ]);
    let read = folder::read(&folder.dir()).expect("it is right");
    assert_eq!((read.form, read.model.input.name.as_str()), (Form::Mlflow, "smiles"));
    assert_eq!(
        (read.model.outputs[0].name.as_str(), &read.model.example[..]),
        ("logp", &["CCO".to_owned(), "C".to_owned()][..])
    );
    assert_eq!(read.dependencies.python.as_deref(), Some("3.11.7"));
    assert!(format!("{:?}", read.dependencies.steps).contains("requirements.txt"));
    assert!(read.notes.is_empty(), "{:?}", read.notes);
    assert!(!format!("{:?}", read.dependencies.steps).contains("mlflow"), "it is in the file");
    folder.write("requirements.txt", "scikit-learn==1.3.2\n");
    let read = folder::read(&folder.dir()).expect("it is right");
    let steps = format!("{:?}", read.dependencies.steps);
    assert!(steps.contains(r#""mlflow-skinny==2.9.2", "pandas""#), "{steps}");

    let two = description.replace(
        "[{\"type\": \"string\"",
        "[{\"type\": \"double\", \"name\": \"x\"}, {\"type\": \"string\"",
    );
    folder.write("MLmodel", &two);
    let said = faults(&read_only(&folder.dir()));
    assert!(said.contains("MLmodel: its signature has 2 input columns (x, smiles)"), "{said}");
    folder.write("MLmodel", "flavors:\n  sklearn: {}\n");
    assert!(faults(&read_only(&folder.dir())).contains("no python_function flavour"));
}

/// As MLflow 3.17 writes it where it cannot tell the types (there is no scipy), and from type hints.
#[test]
fn an_mlflow_signature_without_names_and_types_is_read() {
    let description = |signature: &str, kind: &str| {
        format!(
            "flavors:\n  python_function:\n    cloudpickle_version: 3.1.3\n    code: null\n    env:\n      \
             conda: conda.yaml\n      virtualenv: python_env.yaml\n    loader_module: \
             mlflow.pyfunc.model\n    python_model: python_model.pkl\n    python_version: 3.11.7\n    \
             streamable: false\nmlflow_version: 3.17.2\nmodel_id: null\nsaved_input_example_info:\n  \
             artifact_path: input_example.json\n  serving_input_path: \
             serving_input_example.json\n  type: {kind}\n{signature}prompts: null\n"
        )
    };
    let signature = |inputs: &str| {
        format!(
            "signature:\n  inputs: '[{{{inputs}\"required\": true}}]'\n  outputs: \
             '[{{\"type\": \"any\", \"required\": true}}]'\n  params: null\n"
        )
    };
    let table = r#"{"columns": ["smiles"], "data": [["CCO"], ["C"]]}"#;
    let numbers = r#"{"columns": ["x"], "data": [[1], [2]]}"#;
    let folder = Folder::new(&[("requirements.txt", "mlflow==3.17.2\ncloudpickle==3.1.3\n")]);
    let read = |signature: &str, example: &str| {
        let kind = if example.starts_with('{') { "dataframe" } else { "json_object" };
        folder.write("MLmodel", &description(signature, kind));
        folder.write("input_example.json", example);
        let read = folder::read(&folder.dir()).map_err(|faults| format!("{faults:?}"))?;
        let Kind::Mlflow(mlflow) = &read.kind else { panic!("{:?}", read.kind) };
        Ok::<_, String>((
            read.model.input.name,
            mlflow.column.clone(),
            mlflow.numbers,
            read.model.example,
        ))
    };
    let (any, text) = (signature("\"type\": \"any\", "), signature("\"type\": \"string\", "));
    let inputs = || vec!["CCO".to_owned(), "C".to_owned()];
    // The example knows the name.
    let smiles = Ok(("smiles".into(), Some("smiles".into()), None, inputs()));
    assert_eq!(read(&any, table), smiles);
    assert_eq!(read("", table), smiles);
    assert_eq!(read(&text, r#"["CCO", "C"]"#), Ok(("input".into(), None, None, inputs())));
    // MLflow takes no numbers but those that the signature names.
    for (kind, word) in
        [("double", "float64"), ("float", "float32"), ("long", "int64"), ("integer", "int32")]
    {
        let signature = signature(&format!("\"type\": \"{kind}\", \"name\": \"x\", "));
        let whole = vec!["1".to_owned(), "2".to_owned()];
        assert_eq!(
            read(&signature, numbers),
            Ok(("x".into(), Some("x".into()), Some(word), whole))
        );
    }
    let two = r#"{"columns": ["smiles", "dose"], "data": [["CCO", 1.5]]}"#;
    for signature in ["", &any] {
        let refused = read(signature, two).expect_err("it has two");
        assert!(refused.contains("its example has 2 columns (smiles, dose)"), "{refused}");
    }
    let refused = read(&signature("\"type\": \"binary\", "), table).expect_err("no bytes");
    assert!(refused.contains("of the type binary"), "{refused}");
}

/// A program that writes down how it is called; it makes the environment as conda would.
fn recorder(dir: &Path, name: &str) {
    let script = "#!/bin/sh\necho \"$0 $@\" >> \"$(dirname \"$0\")/calls\"\n\
                  while [ \"$1\" != --prefix ]; do shift; done\nexec python3 -m venv \"$2\"\n";
    fs::create_dir_all(dir).expect("a folder");
    fs::write(dir.join(name), script).expect("a file");
    fs::set_permissions(dir.join(name), fs::Permissions::from_mode(0o755)).expect("a mode");
}

#[tokio::test]
async fn conda_makes_the_environment_where_it_is_by_each_of_its_names() {
    for name in ["conda", "mamba", "micromamba"] {
        let folder = Folder::new(&[("predict.py", PREDICT)]);
        let text = "channels: [dglteam]\ndependencies:\n  - python=3.11\n  - rdkit=2023.09\n  \
                    - conda-forge::xtb\n";
        folder.write("environment.yml", text);
        let programs = folder.beside("programs");
        recorder(&programs, name);
        let mut machine = machine();
        let paths = std::env::split_paths(&machine.path);
        let paths = std::iter::once(programs.clone()).chain(paths);
        machine.path = std::env::join_paths(paths).expect("a path");
        let report = checked(&folder, &machine).await;
        assert!(report.is_good(), "{}", faults(&report));
        let calls = fs::read_to_string(programs.join("calls")).expect("it was called");
        assert_eq!(calls.lines().count(), 1, "{calls}");
        assert!(calls.contains(&format!("/{name} create --yes --prefix ")), "{calls}");
        assert!(
            calls
                .trim_end()
                .ends_with("--channel dglteam python=3.11 pip rdkit=2023.09 conda-forge::xtb"),
            "{calls}"
        );
    }
}

#[tokio::test]
async fn a_folder_that_is_in_nobodys_form_says_which_there_are() {
    let folder = Folder::new(&[("README.md", "a model")]);
    let said = faults(&read_only(&folder.dir()));
    for word in ["model.toml", "model/framework", "MLmodel", "predict.py"] {
        assert!(said.contains(word), "{said}");
    }
    assert!(folder.try_serve(Limits::default()).await.is_err());
}
