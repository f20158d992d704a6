//! Results in every format, small ones from the database and large ones from object storage.

use std::io::Cursor;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use muster_core::RequestId;
use muster_core::input::Texts;
use muster_store::{Error, Format};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::lab::{Lab, done};

on_both!(
    a_small_result_comes_in_every_format,
    a_large_result_comes_in_every_format,
    a_file_comes_back_with_its_own_columns,
    a_long_result_is_whole_and_in_order,
    a_request_that_has_not_ended_has_no_result,
    a_damaged_object_is_not_handed_out,
    a_result_that_cannot_be_stored_ends_nothing,
    an_input_that_cannot_be_stored_is_not_taken,
);

/// Two tasks with different columns, numbers of two kinds, a text and an error.
async fn run(lab: &Lab) -> RequestId {
    let inputs: Vec<String> = (0..20).map(|n| format!("in,{n}")).collect();
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    let id = lab.submit(&inputs).await.id;
    let mut tasks = lab.claim(100).await;
    tasks.sort_by_key(|task| task.key);
    assert_eq!(tasks.len(), 2);
    let rows = |row: &dyn Fn(u32) -> String| {
        format!("[{}]", (0..10).map(row).collect::<Vec<_>>().join(","))
    };
    let first = rows(&|n| format!(r#"{{"n": {n}, "t": "=x\"{n}"}}"#));
    let second = rows(&|n| match n {
        0 => r#"{"error": "it is too big"}"#.to_owned(),
        n => format!(r#"{{"n": {n}.5, "extra": {n}}}"#),
    });
    // The last part may be done first.
    let answers = vec![done(&tasks[1], &second), done(&tasks[0], &first)];
    assert_eq!(lab.store.complete(answers).await.expect("an answer"), [true, true]);
    id
}

fn check_batches(batches: &[RecordBatch]) {
    let schema = batches[0].schema();
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["input", "n", "t", "extra", "error"]);
    let batch = lines_of(batches);
    assert_eq!(batch.len(), 20);
    assert_eq!(batch[3], ("in,3".to_owned(), Some(3.0), Some("=x\"3".to_owned()), None, None));
    let error = Some("it is too big".to_owned());
    assert_eq!(batch[10], ("in,10".to_owned(), None, None, None, error));
    assert_eq!(batch[12], ("in,12".to_owned(), Some(2.5), None, Some(2), None));
}

type Line = (String, Option<f64>, Option<String>, Option<i64>, Option<String>);

fn lines_of(batches: &[RecordBatch]) -> Vec<Line> {
    let mut lines = Vec::new();
    for batch in batches {
        let text = |n: usize| batch.column(n).as_string::<i32>().iter();
        let floats = batch.column(1).as_primitive::<Float64Type>().iter();
        let integers = batch.column(3).as_primitive::<Int64Type>().iter();
        let all = text(0).zip(floats).zip(text(2)).zip(integers).zip(text(4));
        lines.extend(all.map(|((((input, n), t), extra), error)| {
            let own = |text: Option<&str>| text.map(str::to_owned);
            (input.unwrap_or_default().to_owned(), n, own(t), extra, own(error))
        }));
    }
    lines
}

async fn check_every_format(lab: &Lab, id: RequestId) {
    for format in Format::ALL {
        let bytes = lab.download(id, format).await.expect("a result");
        match format {
            Format::Csv => {
                let text = String::from_utf8(bytes).expect("text");
                let lines: Vec<&str> = text.lines().collect();
                assert_eq!((lines.len(), lines[0]), (21, "input,n,t,extra,error"));
                assert_eq!(lines[4], "\"in,3\",3,\"'=x\"\"3\",,");
                assert_eq!(lines[11], "\"in,10\",,,,it is too big");
                assert_eq!(lines[13], "\"in,12\",2.5,,2,");
            }
            Format::Json => {
                let rows: Vec<serde_json::Value> = serde_json::from_slice(&bytes).expect("JSON");
                check_rows(&rows);
            }
            Format::Ndjson => {
                let text = String::from_utf8(bytes).expect("text");
                let row = |line| serde_json::from_str(line).expect("JSON");
                check_rows(&text.lines().map(row).collect::<Vec<_>>());
            }
            Format::Parquet => {
                let reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes));
                let reader = reader.and_then(|reader| reader.build()).expect("Parquet");
                check_batches(&reader.map(|batch| batch.expect("rows")).collect::<Vec<_>>());
            }
            Format::Arrow => {
                let reader = arrow_ipc::reader::StreamReader::try_new(Cursor::new(bytes), None);
                let reader = reader.expect("Arrow");
                check_batches(&reader.map(|batch| batch.expect("rows")).collect::<Vec<_>>());
            }
            // Read in `muster/tests/all/cases.py`.
            Format::Xlsx => {
                assert!(bytes.starts_with(b"PK\x03\x04"));
                assert_eq!(lab.download(id, format).await.expect("a result"), bytes);
            }
        }
    }
}

fn check_rows(rows: &[serde_json::Value]) {
    assert_eq!(rows.len(), 20);
    let of = |text| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
    let third = r#"{"input": "in,3", "n": 3, "t": "=x\"3", "extra": null, "error": null}"#;
    assert_eq!(rows[3], of(third));
    let tenth = r#"{"input": "in,10", "n": null, "t": null, "extra": null,
        "error": "it is too big"}"#;
    assert_eq!(rows[10], of(tenth));
    assert_eq!(rows[12]["n"], of("2.5"));
}

async fn a_small_result_comes_in_every_format(lab: Lab) {
    let id = run(&lab).await;
    assert_eq!(lab.raw.number("SELECT COUNT(*) FROM task WHERE result IS NOT NULL").await, 2);
    check_every_format(&lab, id).await;
}

async fn a_large_result_comes_in_every_format(mut lab: Lab) {
    lab.restart(64).await;
    let id = run(&lab).await;
    let objects = "SELECT result_object FROM task WHERE result IS NULL ORDER BY position";
    let paths = lab.raw.texts(objects).await;
    let named = |n: u32| format!("results/{id}/{n}-1.parquet");
    assert_eq!(paths, [named(0), named(1)], "the name says the attempt");
    let rows = parquet_rows(&lab, id).await;
    assert_eq!(rows, 20);
    let bytes = lab.download(id, Format::Ndjson).await.expect("a result");
    assert_eq!(String::from_utf8(bytes).expect("text").lines().count(), 20);
    check_every_format(&lab, id).await;
}

async fn parquet_rows(lab: &Lab, id: RequestId) -> u64 {
    let download = lab.store.download(lab.me, id, Format::Parquet).await;
    download.expect("an answer").expect("the request").rows
}

async fn a_file_comes_back_with_its_own_columns(mut lab: Lab) {
    for inline_bytes in [64 << 10, 8] {
        lab.restart(inline_bytes).await;
        let mut new = lab.new_request(&["a", "b"]);
        new.reading.columns = vec!["name".into(), "smiles".into(), "n".into()];
        new.reading.column = Some("smiles".into());
        let records: Texts = ["\"one\nline\",a,=1+1", "two,b"].into_iter().collect();
        new.inputs.records = Some(records);
        let id = new.id;
        lab.store.submit(new).await.expect("it is taken");
        assert!(lab.work().await);
        let csv = lab.download(id, Format::Csv).await.expect("a result");
        let want = "name,smiles,n,n_2\n\"one\nline\",a,=1+1,1\ntwo,b,1\n";
        assert_eq!(String::from_utf8_lossy(&csv), want, "lines come back as they were");
        let json = lab.download(id, Format::Json).await.expect("a result");
        let rows: Vec<serde_json::Value> = serde_json::from_slice(&json).expect("JSON");
        assert_eq!(rows[0]["name"], "one\nline");
        assert_eq!((&rows[0]["n"], &rows[0]["n_2"]), (&"=1+1".into(), &1.into()));
        let bare = lab.download_bare(id, Format::Csv).await.expect("a result");
        assert_eq!(String::from_utf8_lossy(&bare), "input,n\na,1\nb,1\n");
        let request = lab.find(id).await;
        assert_eq!(lab.store.find_inputs(&request).await.expect("inputs"), ["a", "b"]);
    }
}

async fn a_long_result_is_whole_and_in_order(lab: Lab) {
    let inputs: Vec<String> = (0..405).map(|n| n.to_string()).collect();
    let id = lab.submit(&inputs.iter().map(String::as_str).collect::<Vec<_>>()).await.id;
    let tasks = lab.claim(1000).await;
    let answers = tasks.iter().rev().map(crate::lab::ones).collect();
    assert!(lab.store.complete(answers).await.expect("an answer").iter().all(|taken| *taken));
    let csv = lab.download(id, Format::Csv).await.expect("a result");
    let text = String::from_utf8(csv).expect("text");
    let own: Vec<&str> = text.lines().skip(1).filter_map(|line| line.split(',').next()).collect();
    assert_eq!(own, inputs);
}

async fn a_request_that_has_not_ended_has_no_result(lab: Lab) {
    let id = lab.submit(&["x"; 20]).await.id;
    assert!(matches!(lab.download(id, Format::Csv).await, Err(Error::NotEnded)));
    assert!(matches!(lab.download_bare(id, Format::Csv).await, Err(Error::NotEnded)));
    assert!(lab.work().await);
    assert!(matches!(lab.download(id, Format::Csv).await, Err(Error::NotEnded)), "half is done");
}

async fn a_damaged_object_is_not_handed_out(mut lab: Lab) {
    lab.restart(64).await;
    let id = run(&lab).await;
    let results = lab.folder.path().join(format!("objects/results/{id}"));
    let object = results.join("1-1.parquet");
    std::fs::copy(results.join("0-1.parquet"), &object).expect("other rows");
    assert!(matches!(lab.download(id, Format::Csv).await, Err(Error::Corrupt(_))));
    std::fs::remove_file(&object).expect("the object is gone");
    assert!(matches!(lab.download(id, Format::Csv).await, Err(Error::Corrupt(_))));
}

/// Trap T4: first the object, then the row that points to it.
async fn a_result_that_cannot_be_stored_ends_nothing(mut lab: Lab) {
    lab.restart(64).await;
    let id = lab.submit(&["x"; 5]).await.id;
    let task = lab.claim(10).await.remove(0);
    let answer = format!(r#"[{}]"#, [r#"{"t": "long enough for an object"}"#; 5].join(","));
    let blocked = lab.folder.path().join("objects/results");
    std::fs::write(&blocked, "not a folder").expect("a file in the way");
    let stored = lab.store.complete(vec![done(&task, &answer)]).await;
    assert!(matches!(stored, Err(Error::Unavailable { .. })), "{stored:?}");
    assert_eq!(lab.find(id).await.phase.name(), "running");
    std::fs::remove_file(&blocked).expect("the file goes");
    assert_eq!(lab.store.complete(vec![done(&task, &answer)]).await.expect("an answer"), [true]);
    let lines = lab.download(id, Format::Ndjson).await.expect("a result");
    assert_eq!(String::from_utf8_lossy(&lines).lines().count(), 5);
}

async fn an_input_that_cannot_be_stored_is_not_taken(mut lab: Lab) {
    lab.restart(16).await;
    std::fs::write(lab.folder.path().join("objects/inputs"), "").expect("a file in the way");
    let new = lab.new_request(&["an input for object storage"; 5]);
    let id = new.id;
    assert!(matches!(lab.store.submit(new).await, Err(Error::Unavailable { .. })));
    assert!(lab.store.find_request(lab.me, id).await.expect("an answer").is_none());
}
