//! A batch that fails is split until the bad input is found.

use serde_json::{Value, json};

use crate::support::Folder;

async fn rows(folder: &Folder, inputs: &[&str]) -> Vec<Value> {
    folder.serve().await.run(inputs).await.as_array().expect("rows").clone()
}

fn inputs_with(bad: &[usize], count: usize) -> Vec<&'static str> {
    (0..count).map(|n| if bad.contains(&n) { "bad" } else { "good" }).collect()
}

fn check(rows: &[Value], bad: &[usize], words: &str) {
    for (n, row) in rows.iter().enumerate() {
        if bad.contains(&n) {
            let error = row["error"].as_str().unwrap_or_else(|| panic!("{n}: {row}"));
            assert!(error.contains(words), "{error}");
        } else {
            assert_eq!(row["n"], json!(4), "{n}: {row}");
        }
    }
}

#[tokio::test]
async fn the_one_input_that_raises_has_the_error_and_the_others_their_rows() {
    let body = "def predict(inputs):\n\
                \x20   if 'bad' in inputs: raise ValueError('no such atom')\n\
                \x20   return [{'n': len(text)} for text in inputs]\n";
    let bad = [0, 20, 63];
    let rows = rows(&Folder::python(body, ""), &inputs_with(&bad, 64)).await;
    assert_eq!(rows.len(), 64);
    check(&rows, &bad, "ValueError: no such atom");
}

#[tokio::test]
async fn the_one_input_that_crashes_python_has_the_error_and_the_others_their_rows() {
    let body = "import os\n\
                def predict(inputs):\n\
                \x20   if 'bad' in inputs: os._exit(4)\n\
                \x20   return [{'n': len(text)} for text in inputs]\n";
    let rows = rows(&Folder::python(body, ""), &inputs_with(&[5], 8)).await;
    check(&rows, &[5], "exit status: 4");
}

#[tokio::test]
async fn the_one_input_that_fails_a_command_has_the_error_and_the_others_their_rows() {
    let run = "! grep -q bad \"$2\" || { echo 'cannot read bad' >&2; exit 3; }\n\
               sed '1s/.*/n/;2,$s/.*/4/' \"$2\" > \"$3\"\n";
    let rows = rows(&Folder::template(run, ""), &inputs_with(&[2], 8)).await;
    check(&rows, &[2], "cannot read bad");
}

#[tokio::test]
async fn a_single_input_that_fails_fails_the_call() {
    let server = Folder::python("def predict(inputs): raise ValueError('no')\n", "").serve().await;
    assert_eq!(server.fail(&["a"]).await, (500, "ValueError: no".to_owned()));
}

#[tokio::test]
async fn a_model_that_fails_on_everything_is_given_up_soon() {
    let body = "def predict(inputs):\n\
                \x20   with open('../calls', 'a') as calls: calls.write('x')\n\
                \x20   raise ValueError('no weights')\n";
    let folder = Folder::python(body, "");
    let server = folder.serve().await;
    let (status, detail) = server.fail(&["a"; 1000]).await;
    assert_eq!((status, detail.as_str()), (500, "ValueError: no weights"));
    let calls = std::fs::read_to_string(folder.beside("calls")).expect("a file").len();
    assert!(calls < 60, "{calls} calls");
}
