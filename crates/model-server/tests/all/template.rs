//! Folders in the eos-template layout, as they are in the wild: much of it may be missing.

use serde_json::json;

use crate::support::{Folder, until_gone};
use muster_core::Direction;
use muster_core::model::InputKind;
use muster_model_server::{Limits, folder};

const RUN: &str = "python $1/code/main.py $2 $3\n";
const MAIN: &str = "\
import csv, sys
with open(sys.argv[1]) as f:
    rows = list(csv.reader(f))
with open(sys.argv[2], 'w', newline='') as f:
    writer = csv.writer(f)
    writer.writerow(['header', 'n', 'half', 'nan', 'none'])
    for row in rows[1:]:
        writer.writerow([rows[0][0], len(row[0]), len(row[0]) / 2, 'nan', ''])
";

#[tokio::test]
async fn a_folder_of_nothing_but_a_command_is_served() {
    let folder =
        Folder::new(&[("model/framework/run.sh", RUN), ("model/framework/code/main.py", MAIN)]);
    let server = folder.serve().await;
    let row = json!({"header": "input", "n": 3, "half": 1.5, "nan": null, "none": null});
    assert_eq!(server.run(&["CCO"]).await, json!([row]));
    assert_eq!(server.get("/card/Identifier").await.json(), json!({"Identifier": "a-model"}));
}

#[tokio::test]
async fn inputs_reach_the_command_under_the_examples_header_and_unharmed() {
    let main = "import csv, json, sys\n\
                rows = list(csv.reader(open(sys.argv[1], newline='')))\n\
                out = csv.writer(open(sys.argv[2], 'w', newline=''))\n\
                out.writerow(['header', 'seen'])\n\
                for row in rows[1:]: out.writerow([rows[0][0], json.dumps(row)])\n";
    let server = Folder::template(RUN, main).serve().await;
    let inputs = ["a,b", "say \"x\"", "two\nlines", "", "\u{e4}", " space "];
    let rows = server.run(&inputs).await;
    for (n, input) in inputs.iter().enumerate() {
        assert_eq!(rows[n]["header"], "smiles");
        assert_eq!(rows[n]["seen"], json!(json!([input]).to_string().replace('\u{e4}', "\\u00e4")));
    }
}

#[tokio::test]
async fn the_framework_folder_is_found_from_anywhere() {
    let runs = [
        "python $1/code/main.py $2 $3\n",
        "cd /\npython $1/code/main.py $2 $3\n",
        "cd \"$(dirname \"$0\")\"/code\npython main.py \"$2\" \"$3\"\n",
        "cd $1/code && python main.py $2 $3\n",
        "set -e\nHERE=$(cd $1 && pwd)\npushd / > /dev/null\npython $HERE/code/main.py $2 $3\npopd\n",
        "case $1 in /*) python code/main.py $2 $3;; *) exit 9;; esac\n",
    ];
    for run in runs {
        let server = Folder::template(run, MAIN).serve().await;
        assert_eq!(server.run(&["CCO"]).await[0]["n"], 3, "{run}");
    }
}

#[tokio::test]
async fn columns_have_the_kinds_that_the_folder_declares() {
    let columns = "name,type,direction,description,unit\n\
                   id,string,,An id\nn,integer,High,\nx,float,low,\"A number, of sorts\",mg/L\n\
                   y,float,up,,\n";
    let main = "import sys\n\
                rows = open(sys.argv[1]).read().split()[1:]\n\
                out = open(sys.argv[2], 'w')\n\
                out.write('id,n,x\\n')\n\
                for row in rows: out.write('007,%d,%d\\n' % (len(row), len(row)))\n";
    let folder = Folder::template(RUN, main);
    folder.write("model/framework/columns/run_columns.csv", columns);
    let server = folder.serve().await;
    assert_eq!(server.run(&["CCO"]).await, json!([{"id": "007", "n": 3, "x": 3}]));
    assert_eq!(server.get("/run/columns/output").await.json(), json!(["id", "n", "x", "y"]));
    let read = folder::read(&folder.dir()).expect("it is right");
    let outputs = read.model.outputs;
    assert_eq!(outputs[2].description, "A number, of sorts");
    let said = outputs.iter().map(|column| (&*column.unit, column.direction));
    let (high, low) = (Some(Direction::High), Some(Direction::Low));
    assert_eq!(said.collect::<Vec<_>>(), [("", None), ("", high), ("mg/L", low), ("", None)]);
    let notes: Vec<String> = read.notes.iter().map(ToString::to_string).collect();
    let file = "model/framework/columns/run_columns.csv";
    assert_eq!(notes, [format!("{file}: y: its direction is \"up\", and not high or low")]);
}

#[tokio::test]
async fn cards_are_read_from_yaml_and_from_json() {
    let yaml = "Identifier: eos4e40\nSlug: a-slug\nTitle: A title\nTag:\n  - One\n  - Two\n\
                Input: Compound\nTask: Toxicity\nLicense: MIT\nVersion: 1.0.0\nPublication Year: 2020\n";
    let json = r#"{"Identifier": "eos4e40", "Title": "A title", "Tag": ["One", "Two"],
        "Task": ["Toxicity"], "Input": ["Protein", "Compound"], "License": "MIT", "Publication": null, "Version": 2}"#;
    let comma = json.replace('}', ",\n}");
    for (name, text) in
        [("metadata.yml", yaml), ("metadata.json", json), ("metadata.json", comma.as_str())]
    {
        let folder = Folder::template(RUN, MAIN);
        folder.write(name, text);
        let model = folder::read(&folder.dir()).expect("it is right").model;
        assert_eq!(model.id.to_string(), "eos4e40", "{name}");
        assert_eq!((model.card.title.as_str(), model.card.licence.as_str()), ("A title", "MIT"));
        assert_eq!(model.card.tags, ["One", "Two"]);
        assert_eq!(model.card.task, "Toxicity");
        let kind = if name.ends_with("yml") { InputKind::Smiles } else { InputKind::Protein };
        assert_eq!(model.input.kind(), kind);
        assert_eq!((model.input.name.as_str(), model.example.len()), ("smiles", 2));
    }
}

#[tokio::test]
async fn an_output_that_does_not_fit_is_refused_with_what_is_wrong() {
    let cases = [
        ("true\n", "wrote no output"),
        ("echo n > $3\n", "0 rows for 1 inputs"),
        ("printf 'n\\n1\\n2\\n' > $3\n", "2 rows for 1 inputs"),
        ("printf 'n\\n1,2\\n' > $3\n", "more cells than the header"),
        ("printf 'n,n\\n1,2\\n' > $3\n", "two columns named n"),
        ("head -c 100000 /dev/urandom > $3\n", "its output"),
        ("echo 'Traceback: no weights' >&2; exit 1\n", "no weights"),
        ("kill -9 $$\n", "signal: 9"),
        ("no-such-program\n", "no-such-program"),
    ];
    for (run, words) in cases {
        let server = Folder::template(run, "").serve().await;
        let (status, detail) = server.fail(&["CCO"]).await;
        assert_eq!(status, 500);
        assert!(detail.contains(words), "{run}: {detail}");
    }
}

#[tokio::test]
async fn a_command_that_hangs_is_ended_with_all_that_it_started() {
    let folder = Folder::new(&[
        (
            "model.toml",
            "kind = 'command'\ncommand = ['bash', 'run.sh', '{input}', '{output}']\n\
             [limits]\njob_seconds = 1\n",
        ),
        ("run.sh", "sleep 600 & echo $! > child; echo $$ > self; wait\n"),
    ]);
    let server = folder.serve().await;
    assert_eq!(server.fail(&["a"]).await.0, 504);
    for file in ["child", "self"] {
        until_gone(crate::support::pid_in(&folder.dir().join(file)).await).await;
    }
}

#[tokio::test]
async fn what_a_command_prints_is_in_the_log_and_not_in_the_answer() {
    let run = "echo out of the model; echo err of the model >&2; python $1/code/main.py $2 $3\n";
    let server = Folder::template(run, MAIN).serve_with(Limits::default()).await;
    assert_eq!(server.run(&["CCO"]).await[0]["n"], 3);
    let log = server.get("/logs").await.text();
    assert!(log.contains("out of the model") && log.contains("err of the model"), "{log}");
}
