//! Python predictors that misbehave: the call fails with a reason, the server goes on.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Folder, pid_in, until_gone};
use muster_model_server::Limits;

fn model(body: &str) -> Folder {
    let helpers = "import math, os, sys, time\n";
    let rest = "    return [{'n': len(text)} for text in inputs]\n";
    Folder::python(&format!("{helpers}def predict(inputs):\n{body}{rest}"), "")
}

#[tokio::test]
async fn a_predictor_is_loaded_once() {
    let body = "loads = open('../loads', 'a'); loads.write('x'); loads.close()\n\
                def predict(inputs):\n    return [{'n': 1} for _ in inputs]\n";
    let folder = Folder::python(body, "");
    let server = folder.serve().await;
    for _ in 0..3 {
        server.run(&["a"]).await;
    }
    let loads = std::fs::read_to_string(folder.beside("loads")).expect("a file");
    assert_eq!(loads, "x");
}

#[tokio::test]
async fn a_crash_fails_the_call_with_its_last_words_and_not_the_server() {
    let crash = "    if 'crash' in inputs:\n\
                 \x20       print('out of luck', file=sys.stderr); os._exit(7)\n";
    let server = model(crash).serve().await;
    let (status, detail) = server.fail(&["crash"]).await;
    assert_eq!(status, 500);
    assert!(detail.contains("exit status: 7") && detail.contains("out of luck"), "{detail}");
    assert_eq!(server.run(&["abc"]).await, json!([{"n": 3}]));
    let signal = "    if 'crash' in inputs: os.abort()\n";
    let (_, detail) = model(signal).serve().await.fail(&["crash"]).await;
    assert!(detail.contains("signal: 6"), "{detail}");
}

#[tokio::test]
async fn the_last_words_of_one_call_are_not_told_to_another() {
    let body = "    if 'loud' in inputs: print('secret of loud', file=sys.stderr); os._exit(1)\n\
                \x20   if 'silent' in inputs: os._exit(1)\n";
    let server = model(body).serve().await;
    let (_, loud) = server.fail(&["loud"]).await;
    assert!(loud.contains("secret of loud"), "{loud}");
    let (_, silent) = server.fail(&["silent"]).await;
    assert!(!silent.contains("secret"), "{silent}");
}

#[tokio::test]
async fn what_a_model_prints_and_reads_does_not_touch_the_protocol() {
    let body = "    print('[{\"n\": 99}]'); sys.stdout.flush(); os.write(1, b'raw\\n')\n\
                \x20   os.system('echo from a child')\n\
                \x20   assert sys.stdin.read() == '', 'standard input is empty'\n";
    let server = model(body).serve().await;
    assert_eq!(server.run(&["abc"]).await, json!([{"n": 3}]));
    assert_eq!(server.run(&["ab"]).await, json!([{"n": 2}]));
    let log = server.get("/logs").await.text();
    for line in ["[{\"n\": 99}]", "raw", "from a child"] {
        assert!(log.contains(line), "{line} is not in {log}");
    }
}

#[tokio::test]
async fn a_model_that_hangs_is_ended_at_its_time_limit() {
    let body = "import os, time\n\
                def predict(inputs):\n\
                \x20   open('../pid', 'w').write(str(os.getpid()))\n\
                \x20   if 'hang' in inputs: time.sleep(600)\n\
                \x20   return [{'n': 1} for _ in inputs]\n";
    let folder = Folder::python(body, "[limits]\njob_seconds = 1\n");
    let server = folder.serve().await;
    let begun = Instant::now();
    let (status, detail) = server.fail(&["hang"]).await;
    assert_eq!(status, 504);
    assert!(detail.contains("its time limit of 1 seconds"), "{detail}");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    until_gone(pid_in(&folder.beside("pid")).await).await;
    assert_eq!(server.run(&["abc"]).await, json!([{"n": 1}]));
}

#[tokio::test]
async fn answers_that_are_not_one_dict_an_input_are_refused_with_what_they_are() {
    let cases = [
        ("return inputs", "a list of dicts; it holds a str"),
        ("return 7", "TypeError"),
        ("return None", "TypeError"),
        ("return [{'n': 1}] * (len(inputs) + 1)", "2 rows for 1 inputs"),
        ("return []", "0 rows for 1 inputs"),
        ("raise KeyError('weights')", "KeyError: 'weights'"),
        ("sys.exit(3)", "exit status: 3"),
    ];
    for (line, words) in cases {
        let server = model(&format!("    {line}\n")).serve().await;
        let (status, detail) = server.fail(&["a"]).await;
        assert_eq!(status, 500);
        assert!(detail.contains(words), "{line}: {detail}");
    }
}

#[tokio::test]
async fn numbers_that_json_does_not_know_are_null_and_other_values_become_plain() {
    let body = "    class Scalar:\n\
                \x20       def item(self): return 2.5\n\
                \x20   row = {'nan': math.nan, 'inf': -math.inf, 'none': None, 'yes': True,\n\
                \x20          'big': 2**53 + 1, 'tuple': (1, 'a', math.nan), 'item': Scalar(),\n\
                \x20          'exact': 0.1, 'text': 'a\\u2028\\n', 3: 'three'}\n\
                \x20   return [row for _ in inputs]\n";
    let server = model(body).serve().await;
    let expected = json!({
        "nan": null, "inf": null, "none": null, "yes": true, "big": 9007199254740993_i64,
        "tuple": [1, "a", null], "item": 2.5, "exact": 0.1, "text": "a\u{2028}\n", "3": "three",
    });
    assert_eq!(server.run(&["a"]).await, json!([expected]));
}

#[tokio::test]
async fn an_input_without_a_prediction_has_its_own_error() {
    let body = "    rows = [{'n': 1}, None, ValueError('no ring'), {'error': 'own words'}]\n\
                \x20   return rows[:len(inputs)]\n";
    let server = model(body).serve().await;
    let expected = json!([
        {"n": 1}, {"error": "the model gave no prediction"}, {"error": "no ring"},
        {"error": "own words"},
    ]);
    assert_eq!(server.run(&["a", "b", "c", "d"]).await, expected);
}

#[tokio::test]
async fn the_log_keeps_the_last_of_what_is_said_and_no_more() {
    let body = "    for n in range(20000): print('line', n)\n\
                \x20   sys.stdout.flush()\n";
    let limits = Limits { log_bytes: 10_000, ..Limits::default() };
    let server = model(body).serve_with(limits).await;
    server.run(&["a"]).await;
    let mut log = String::new();
    for _ in 0..200 {
        log = server.get("/logs").await.text();
        if log.ends_with("line 19999\n") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(log.ends_with("line 19999\n") && log.len() <= 10_000, "{} bytes", log.len());
}

#[tokio::test]
async fn a_predictor_that_does_not_load_says_why() {
    let cases = [
        ("import nothing_of_that_name", "ModuleNotFoundError: No module named"),
        ("def other(inputs): return []", "AttributeError"),
        ("def predict(", "SyntaxError"),
        ("raise SystemExit('no licence')", "no licence"),
        ("import os\nos._exit(9)", "exit status: 9"),
    ];
    for (body, words) in cases {
        let folder = Folder::python(body, "");
        let error = folder.try_serve(Limits::default()).await.err().expect("it does not start");
        assert!(error.to_string().contains(words), "{body}: {error}");
    }
}

#[tokio::test]
async fn a_large_batch_and_a_long_input_pass() {
    let server = model("").serve().await;
    let inputs: Vec<String> = (0..50_000).map(|n| format!("input number {n}")).collect();
    let rows = server.post("/run", json!(inputs)).await.json();
    assert_eq!(rows.as_array().map(Vec::len), Some(50_000));
    let long = "x".repeat(10_000_000);
    assert_eq!(server.run(&[&long]).await, json!([{"n": 10_000_000}]));
    assert_eq!(server.run(&["\u{0}\n\r\"\\"]).await[0]["n"], Value::from(5));
}
