//! Every format of a result, by name and by the file's name.

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, RecordBatch};
use arrow_ipc::reader::StreamReader;
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;

use crate::support::{World, cells};

const BODY: &str = "\
def predict(inputs):
    return [{'error': 'no'} if t == 'bad' else {'length': len(t), 'third': len(t) / 3, 'text': t}
            for t in inputs]
";

fn check(batches: &[RecordBatch]) {
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    assert_eq!(rows, 3);
    let batch = &batches[0];
    let schema = batch.schema();
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["id", "input", "length", "third", "text", "error"]);
    let lengths = batch.column(2).as_primitive::<Int64Type>();
    assert_eq!((lengths.value(0), lengths.is_null(1), lengths.value(2)), (1, true, 3));
    assert_eq!(batch.column(5).as_string::<i32>().value(1), "no");
}

#[test]
fn a_result_comes_in_every_format() {
    let world = World::new(&[("three", "", BODY)]);
    let hub = world.hub();
    world.write("in.csv", "id,input\n1,a\n2,bad\n3,ccc\n");
    let run = hub.muster(&["run", "three", "in.csv", "--json"]);
    assert_eq!(run.code, 3, "{run:?}");
    let request = run.json();
    let id = request["id"].as_str().expect("an id");

    let csv = hub.good(&["result", id, "--format", "csv"]).text;
    assert_eq!(hub.good(&["result", id]).text, csv, "it is CSV if nothing is said");
    assert_eq!(cells(&csv)[0], ["id", "input", "length", "third", "text", "error"]);
    assert_eq!(cells(&csv)[1], ["1", "a", "1", "0.3333333333333333", "a", ""]);
    let json = hub.good(&["result", id, "--format", "json"]);
    assert_eq!(json.json(), request["result"]);
    assert_eq!(json.json()[0]["third"].as_f64(), Some(1.0 / 3.0));
    assert_eq!(hub.good(&["result", id, "--json"]).text, json.text);
    let ndjson = hub.good(&["result", id, "--format", "ndjson"]).text;
    let lines: Vec<serde_json::Value> =
        ndjson.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(serde_json::Value::Array(lines), json.json());

    let arrow = hub.good(&["result", id, "--format", "arrow"]).out;
    let reader = StreamReader::try_new(&arrow[..], None).expect("an arrow stream");
    check(&reader.collect::<Result<Vec<_>, _>>().expect("batches"));
    let parquet = hub.good(&["result", id, "--format", "parquet"]).out;
    let reader = ParquetRecordBatchReader::try_new(bytes::Bytes::from(parquet.clone()), 1000);
    check(&reader.expect("a file").collect::<Result<Vec<_>, _>>().expect("batches"));

    for (name, expected) in [
        ("out.csv", csv.as_bytes()),
        ("out.json", json.text.as_bytes()),
        ("out.jsonl", ndjson.as_bytes()),
        ("out.parquet", &parquet),
        ("out.arrow", &arrow),
    ] {
        hub.good(&["result", id, "-o", name]);
        let written = std::fs::read(world.path(name)).expect("a file");
        assert!(written == expected, "{name}: {}", String::from_utf8_lossy(&written));
    }
}

#[test]
fn a_file_that_cannot_be_written_is_said_and_nothing_is_left_there() {
    let world = World::new(&[("three", "", BODY)]);
    let hub = world.hub();
    let run = hub.muster(&["run", "three", "--input", "a", "-o", "no/such/folder/out.csv"]);
    run.fails(1, &["no/such/folder/out.csv"]);
}
