//! What is taken in: whole, unchanged, and in order.

use muster_core::input::{InputTable, Texts};
use muster_core::request::{Header, Reading};
use muster_core::{Phase, Row};
use muster_store::{ClaimedTask, Error, Format, NewRequest};
use sha2::{Digest, Sha256};

use crate::lab::{Lab, claim, complete, done, model};

on_both!(
    the_model_gets_the_bytes_that_were_submitted,
    big_inputs_come_back_unchanged_from_object_storage,
    a_batch_is_cut_into_tasks_in_order_and_without_gaps,
    a_batch_that_cannot_be_stored_leaves_nothing_behind,
    a_request_that_cannot_be_taken_takes_no_other_with_it,
    known_predictions_answer_at_once,
    a_person_may_refuse_known_predictions,
);

/// Numbers, escapes, duplicate keys, key order, line ends, unusual characters: all just text.
const ODD: [&str; 8] = [
    "123456789012345678901234567890",
    r#"{"b":1,"a":2,"b":3}"#,
    "1.0",
    " spaces ",
    "line\r\nend\tand \\ \"quotes\"",
    "ä é 漢字 🧪 \u{202e}",
    "\u{1}\u{7f}\u{feff}",
    "nul \0 inside",
];

async fn inputs(lab: &Lab, task: &ClaimedTask) -> Vec<String> {
    let bytes = lab.store.load_inputs(task).await.expect("the inputs");
    serde_json::from_slice(&bytes).expect("a JSON array of texts")
}

async fn the_model_gets_the_bytes_that_were_submitted(lab: Lab) {
    lab.submit(&ODD).await;
    let task = lab.claim(10).await.remove(0);
    assert!(task.inputs.is_some());
    assert_eq!(inputs(&lab, &task).await, ODD);
    let stored = lab.raw.bytes("SELECT input FROM task").await;
    assert_eq!(stored, lab.store.load_inputs(&task).await.expect("the inputs"));
}

async fn big_inputs_come_back_unchanged_from_object_storage(mut lab: Lab) {
    lab.restart(16).await;
    let many: Vec<&str> = ODD.iter().copied().cycle().take(35).collect();
    let id = lab.submit(&many).await.id;
    let object = std::fs::read(lab.folder.path().join(format!("objects/inputs/{id}")));
    let object = object.expect("the object");
    assert_eq!(lab.raw.bytes("SELECT input_sha FROM request").await, Sha256::digest(&object)[..]);
    assert_eq!(lab.raw.number("SELECT COUNT(*) FROM task WHERE input IS NOT NULL").await, 0);
    let mut seen = Vec::new();
    let mut tasks = lab.claim(100).await;
    tasks.sort_by_key(|task| task.key);
    for task in &tasks {
        assert!(task.inputs.is_none());
        seen.extend(inputs(&lab, task).await);
        assert!(complete(&lab.store, task).await);
    }
    assert_eq!(seen, many);
    let json = lab.download(id, Format::Json).await.expect("a result");
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&json).expect("JSON");
    let own: Vec<&str> = rows.iter().filter_map(|row| row["input"].as_str()).collect();
    assert_eq!(own, many);
}

async fn a_batch_is_cut_into_tasks_in_order_and_without_gaps(lab: Lab) {
    let texts: Vec<String> = (0..95).map(|n| n.to_string()).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    lab.submit(&texts).await;
    let tasks = lab.claim(1000).await;
    let mut seen = Vec::new();
    for (n, task) in tasks.iter().enumerate() {
        assert_eq!(task.key.position as usize, n);
        let inputs = inputs(&lab, task).await;
        assert_eq!(inputs.len(), task.count as usize);
        assert!(inputs.len() <= 10, "a task fits a batch");
        seen.extend(inputs);
    }
    assert_eq!(seen, texts);
}

/// Refuses what comes eleventh, so that a batch fails in its middle.
async fn refuse_eleventh_task(lab: &Lab) {
    if lab.is_postgres() {
        let sql = "ALTER TABLE task ADD CONSTRAINT broken CHECK (position < 10)";
        lab.raw.run(sql).await;
    } else {
        let sql = "CREATE TRIGGER broken BEFORE INSERT ON task WHEN new.position = 10 \
             BEGIN SELECT RAISE(ABORT, 'broken'); END";
        lab.raw.run(sql).await;
    }
}

async fn a_batch_that_cannot_be_stored_leaves_nothing_behind(lab: Lab) {
    refuse_eleventh_task(&lab).await;
    let taken = lab.store.submit(lab.new_request(&["x"; 200])).await;
    assert!(matches!(taken, Err(Error::Refused(_))));
    for table in ["request", "task", "transition"] {
        assert_eq!(lab.raw.number(&format!("SELECT COUNT(*) FROM {table}")).await, 0, "{table}");
    }
    assert_eq!(lab.store.counters().submitted.get(), 0);
}

async fn a_request_that_cannot_be_taken_takes_no_other_with_it(lab: Lab) {
    refuse_eleventh_task(&lab).await;
    let submissions = (0..30).map(|n| {
        let inputs = if n % 10 == 3 { 200 } else { 1 };
        lab.store.submit(lab.new_request(&vec!["x"; inputs]))
    });
    let all = futures::future::join_all(submissions).await;
    for (n, taken) in all.iter().enumerate() {
        assert_eq!(taken.is_err(), n % 10 == 3, "submission {n}");
    }
    assert_eq!(lab.raw.number("SELECT COUNT(*) FROM request").await, 27);
    assert_eq!(lab.raw.number("SELECT COUNT(*) FROM task").await, 27);
}

/// Has the model answer `{"n": 7}` to "a", and keeps that.
async fn learn(lab: &Lab) {
    lab.submit(&["a"]).await;
    let task = lab.claim(1).await.remove(0);
    let mut done = done(&task, r#"[{"n": 7, "t": "x"}]"#);
    done.predictions = vec![(Sha256::digest(b"a").into(), 0)];
    assert_eq!(lab.store.complete(vec![done]).await.expect("an answer"), [true]);
}

async fn known_predictions_answer_at_once(lab: Lab) {
    learn(&lab).await;
    let reading = Reading {
        header: Header::Used,
        column: Some("smiles".into()),
        columns: vec!["name".into(), "smiles".into()],
        rows: 2,
        ..Reading::default()
    };
    let records: Texts = ["one,a", "two,a"].into_iter().collect();
    let inputs = InputTable { inputs: ["a", "a"].into_iter().collect(), records: Some(records) };
    let new = NewRequest { reading, inputs, ..lab.new_request(&[]) };
    let id = new.id;
    let submitted = lab.store.submit(new).await.expect("it is taken");
    assert_eq!(submitted.request.phase.name(), "completed");
    let finished = submitted.ended.wait(crate::lab::LONG).await.expect("it ended");
    let rows = &finished.part.expect("the result").rows;
    assert!(matches!(rows[0], Row::Values(_)));
    let found = lab.find(id).await;
    assert_eq!((found.progress.done, found.progress.cached), (2, 2));
    assert!(matches!(found.phase, Phase::Ended { started_at: None, .. }));
    let csv = lab.download(id, Format::Csv).await.expect("a result");
    assert_eq!(String::from_utf8_lossy(&csv), "name,smiles,n,t\none,a,7,x\ntwo,a,7,x\n");
    assert_eq!(lab.store.counters().cache_hits.get(), 2);
    // One input that is not known, and everything is asked of the model.
    assert_eq!(lab.submit(&["a", "b"]).await.phase, Phase::Waiting);
}

async fn a_person_may_refuse_known_predictions(lab: Lab) {
    learn(&lab).await;
    let fresh = NewRequest { use_cache: false, ..lab.new_request(&["a"]) };
    let submitted = lab.store.submit(fresh).await.expect("it is taken");
    assert_eq!(submitted.request.phase, Phase::Waiting);
    assert!(!claim(&lab.store, lab.wish(1)).await[0].use_cache);
    lab.store.sync_models(vec![model("echo", "2")]).await.expect("a catalogue");
    let model = lab.store.find_model(&lab.model.id).expect("the model");
    let newer = NewRequest { model, ..lab.new_request(&["a"]) };
    let submitted = lab.store.submit(newer).await.expect("it is taken");
    assert_eq!(submitted.request.phase, Phase::Waiting, "another version was never asked");
}
