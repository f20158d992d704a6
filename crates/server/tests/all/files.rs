//! Submitting files: what is read, and what is refused.

use muster_core::Model;
use muster_store::ModelAct;
use reqwest::Body;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::hub::{Hub, Person, gzip, model, model_id, problem, read_answer, slug};

#[tokio::test]
async fn the_answer_says_how_a_file_was_read() {
    let hub = Hub::start().await;
    let person = hub.person().await;
    let table: [(&str, &str, Value); 7] = [
        (
            "model=lengths",
            "\u{feff}name,Smiles\r\nethanol,CCO\r\n\r\n\"a, b\",\"C\r\nC\"\r\n",
            json!({"header": "used", "column": "Smiles", "columns": ["name", "Smiles"],
                "separator": ",", "rows": 2, "blank_lines_skipped": 1, "short_rows": 0}),
        ),
        (
            "model=lengths",
            "structure\nCCO\n",
            json!({"header": "used", "column": "structure", "rows": 1, "blank_lines_skipped": 0,
                "short_rows": 0}),
        ),
        (
            "model=lengths",
            "CCO\nCC",
            json!({"header": "absent", "rows": 2, "blank_lines_skipped": 0, "short_rows": 0}),
        ),
        (
            "model=lengths&header=used",
            "mine\nCCO\n",
            json!({"header": "used", "column": "mine", "rows": 1, "blank_lines_skipped": 0,
                "short_rows": 0}),
        ),
        (
            "model=lengths&column=b",
            "smiles,b\nCCO,C\n",
            json!({"header": "used", "column": "b", "columns": ["smiles", "b"], "separator": ",",
                "rows": 1, "blank_lines_skipped": 0, "short_rows": 0}),
        ),
        (
            "model=lengths&header=absent&column=2",
            "sep=;\nethanol;CCO\nmethane\n\n;;\n",
            json!({"header": "absent", "column": "column_2", "columns": ["column_1", "column_2"],
                "separator": ";", "rows": 2, "blank_lines_skipped": 2, "short_rows": 1}),
        ),
        (
            "model=lengths&separator=pipe",
            "smiles|name\nCCO|a;b\n",
            json!({"header": "used", "column": "smiles", "columns": ["smiles", "name"],
                "separator": "|", "rows": 1, "blank_lines_skipped": 0, "short_rows": 0}),
        ),
    ];
    for (query, file, reading) in table {
        let answer = person.upload(query, file).send().await.expect("an answer");
        assert_eq!(answer.status(), 201, "{file}");
        assert_eq!(answer.json::<Value>().await.expect("JSON")["reading"], reading, "{file}");
    }
    for kind in [
        "text/tab-separated-values",
        "text/tsv",
        "text/plain; charset=UTF-8",
        "application/vnd.ms-excel",
        "application/csv",
        "text/x-csv",
    ] {
        let file = if kind.contains("plain") { "C,C\n" } else { "a\tsmiles\n1\tC,C\n" };
        let sent = person.post("/api/v1/requests?model=lengths").header("content-type", kind);
        let answer = sent.body(file).send().await.expect("an answer");
        assert_eq!(answer.status(), 201, "{kind}");
    }
}

#[tokio::test]
async fn files_that_cannot_be_meant_are_refused_and_not_stored() {
    let hub = Hub::with(|config| config.limits.inputs = 5).await;
    let person = hub.person().await;
    let long = format!("smiles\nCCO\n{}", "C".repeat(10_000_000));
    let table: [(&str, &[u8], &str, Value); 22] = [
        ("model=nope", b"CCO", "unknown-model", Value::Null),
        ("model=lengths", b"", "empty-input", Value::Null),
        ("model=lengths", b"smiles\n\n", "empty-input", Value::Null),
        ("model=lengths", b"PK\x03\x04rest", "binary-file", Value::Null),
        ("model=lengths", b"\x7fELF\0\0\0\x01\x02", "binary-file", Value::Null),
        ("model=lengths", b"\xff\xfeC\0C\0", "binary-file", Value::Null),
        ("model=lengths&column=nope", b"smiles,b\nC,1\n", "no-such-column", Value::Null),
        ("model=lengths", b"a,b\nC,1\n", "no-such-column", Value::Null),
        ("model=lengths", b"smiles,b,b\nC,1,2\n", "duplicate-header", json!(1)),
        ("model=lengths", b"smiles,b\nC,1\nC,1,2\n", "bad-csv", json!(3)),
        ("model=lengths", b"<!DOCTYPE html>\n<html>", "other-file", Value::Null),
        ("model=lengths", b"x\n\n\n  3  2  0  0  0  0  0 V2000\n", "other-file", Value::Null),
        ("model=lengths", b"C;CC\nC;CC\n", "no-such-column", Value::Null),
        ("model=lengths&header=absent", b"C,1\nC,2\n", "bad-parameter", Value::Null),
        ("model=lengths&separator=xy", b"C,1\nC,2\n", "bad-parameter", Value::Null),
        ("model=lengths", b"smiles,b\nC,\"1\n", "bad-csv", json!(2)),
        ("model=lengths", b"smiles,b\nC,\"1\"x\n", "bad-csv", json!(2)),
        ("model=lengths", b"smiles\nCCO\nC\0C\nCCCCCCCCCCC\n", "bad-input", json!(3)),
        ("model=lengths", b"smiles\nCCO\n\xe9\n", "not-utf8", json!(3)),
        ("model=lengths", b"smiles\nCCO\n\xe2\x82", "not-utf8", json!(3)),
        ("model=lengths", b"C\nC\nC\nC\nC\nC\n", "too-many-inputs", json!(6)),
        ("model=lengths", long.as_bytes(), "input-too-long", json!(3)),
    ];
    for (query, file, kind, line) in table {
        let refused = problem(person.upload(query, file.to_vec())).await;
        let shown = String::from_utf8_lossy(&file[..file.len().min(40)]);
        assert_eq!((slug(&refused), &refused["line"]), (kind, &line), "{shown}");
    }
    let refused = problem(person.upload("model=lengths&column=nope", "smiles,b\nC,1\n")).await;
    assert_eq!(refused["columns"], json!(["smiles", "b"]));
    assert_eq!(person.list().await.len(), 0);
}

#[tokio::test]
async fn a_cell_without_end_is_refused_while_it_comes() {
    let hub = Hub::start().await;
    let person = hub.person().await;
    let piece = || Ok::<_, std::io::Error>(bytes::Bytes::from(vec![b'C'; 10_000]));
    // The stream has no end: only a refusal while it comes can be an answer.
    let endless = futures::stream::repeat_with(piece);
    let refused = problem(person.upload("model=lengths", Body::wrap_stream(endless))).await;
    assert_eq!((slug(&refused), &refused["line"]), ("input-too-long", &json!(1)));
}

#[tokio::test]
async fn packed_bodies_are_unpacked_within_the_limits() {
    let hub = Hub::with(|config| config.limits.body_bytes = 1 << 20).await;
    let person = hub.person().await;
    let send = |encoding: &str, body: Vec<u8>| {
        person.upload("model=lengths", body).header("content-encoding", encoding)
    };
    let file = b"smiles\nCCO\nCC\n".as_slice();
    let answer = send("gzip", gzip(&[], file)).send().await.expect("an answer");
    assert_eq!(answer.status(), 201);
    assert_eq!(answer.json::<Value>().await.expect("JSON")["inputs"], 2);
    let bomb = gzip(&[], format!("{}\n", "C".repeat(63)).repeat(1 << 15).as_bytes());
    assert!(bomb.len() < 10_000);
    assert_eq!(slug(&problem(send("gzip", bomb)).await), "body-too-large");
    let mut broken = gzip(&[], file);
    broken.truncate(broken.len() - 5);
    assert_eq!(slug(&problem(send("gzip", broken)).await), "bad-request");
}

/// A hub that has looked up the model of a file and waits for the file's bytes.
async fn begun(body: &str) -> (Hub, Person, TcpStream) {
    let hub = Hub::alone(|_| {}).await;
    let person = hub.person().await;
    let mut stream = hub.connect().await;
    let head = format!(
        "POST /api/v1/requests?model=lengths HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n\
         content-type: text/csv\r\ncontent-length: {}\r\nexpect: 100-continue\r\n\r\n",
        hub.address,
        person.token,
        body.len()
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut asked = [0; 25];
    stream.read_exact(&mut asked).await.expect("an answer");
    assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
    (hub, person, stream)
}

async fn sent(mut stream: TcpStream, body: &str) -> (u16, Value) {
    stream.write_all(body.as_bytes()).await.expect("sent");
    let answer = read_answer(&mut stream).await;
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).expect("a status").parse().expect("a number");
    (status, serde_json::from_str(body).expect("JSON"))
}

#[tokio::test]
async fn a_model_that_changes_while_its_file_comes_is_what_it_is_at_the_end() {
    let body = "smiles\nCCO\n";
    let (hub, person, stream) = begun(body).await;
    let newer = Model { version: "2.0.0+00000000".into(), ..model() };
    hub.store.sync_models(vec![newer.clone()]).await.expect("a catalogue");
    let (status, request) = sent(stream, body).await;
    assert_eq!((status, &request["model_version"]), (201, &json!(newer.version)));
    let queues = hub.store.queues().await.expect("an answer");
    assert_eq!((queues.len(), &queues[0].version), (1, &newer.version), "it is claimed");
    assert_eq!(person.list().await.len(), 1);

    let (hub, person, stream) = begun(body).await;
    let seen = hub.store.find_entry(&model_id()).await.expect("an answer").expect("it").revision;
    let act = ModelAct::Disable { reason: "it is wrong".into() };
    hub.store.change_model(person.id, (model_id(), seen), act).await.expect("an answer");
    let (status, refused) = sent(stream, body).await;
    assert_eq!((status, slug(&refused)), (409, "model-disabled"));
    assert_eq!(person.list().await.len(), 0);

    let (hub, person, stream) = begun(body).await;
    hub.store.sync_models(vec![]).await.expect("a catalogue");
    let (status, refused) = sent(stream, body).await;
    assert_eq!((status, slug(&refused)), (404, "unknown-model"));
    assert_eq!(person.list().await.len(), 0);

    // It was read as the model was: which column that is nobody knows any more.
    let (hub, person, stream) = begun(body).await;
    let mut other = model();
    other.input.name = "peptide".into();
    hub.store.sync_models(vec![other]).await.expect("a catalogue");
    let (status, refused) = sent(stream, body).await;
    assert_eq!((status, slug(&refused)), (503, "busy"));
    assert_eq!(person.list().await.len(), 0);
}

/// Two gzip members, or zstd frames, one after the other are one file (RFC 1952, 2.2).
#[tokio::test]
async fn a_file_that_is_packed_in_several_members_is_read_to_its_end() {
    let hub = Hub::start().await;
    let person = hub.person().await;
    // What a result is packed with, an upload may be packed with.
    let answer = person.upload("model=lengths", "CCO\n".repeat(90)).send().await.expect("answer");
    let request: Value = answer.json().await.expect("JSON");
    let tasks = hub.claim().await;
    hub.complete(tasks).await;
    let path = format!("/api/v1/requests/{}/result", request["id"].as_str().expect("an id"));
    let frame = person.get(&path).header("accept-encoding", "zstd").send().await.expect("it");
    let first = frame.bytes().await.expect("bytes").to_vec();
    let (one, two) = (gzip(&[], b"smiles\nCCO\nC\n"), gzip(&[], b"CC\nCCC\n"));
    let members = [one.clone(), two.clone(), gzip(&[], b"")].concat();
    let blocks = include_bytes!("../../../muster/tests/cases/blocks_6000_rows.csv.gz").to_vec();
    for (packed, rows) in [(members.clone(), 4), (blocks, 6000)] {
        for coding in ["gzip", "GZIP", "x-gzip"] {
            let upload = person.upload("model=lengths", packed.clone());
            let answer = upload.header("content-encoding", coding).send().await.expect("answer");
            assert_eq!(answer.status(), 201, "{coding}");
            assert_eq!(answer.json::<Value>().await.expect("JSON")["inputs"], rows);
        }
    }
    let upload = person.upload("model=lengths", [first.clone(), first.clone()].concat());
    let answer = upload.header("content-encoding", "ZSTD").send().await.expect("an answer");
    let twice = answer.json::<Value>().await.expect("JSON");
    assert_eq!(twice["inputs"], 90 + 1 + 90, "the second header is a row");
    let garbage = b"not gzip at all".to_vec();
    for (packed, coding) in [
        ([one.clone(), garbage.clone()].concat(), "gzip"),
        (members[..members.len() - 30].to_vec(), "gzip"),
        (one[..one.len() - 1].to_vec(), "gzip"),
        ([first.clone(), garbage].concat(), "zstd"),
        (first[..first.len() - 1].to_vec(), "zstd"),
    ] {
        let upload = person.upload("model=lengths", packed).header("content-encoding", coding);
        assert_eq!(slug(&problem(upload).await), "bad-request", "{coding}");
    }
    let unknown = person.upload("model=lengths", "CCO").header("content-encoding", "br");
    assert_eq!(slug(&problem(unknown).await), "unsupported-media-type");
}

#[tokio::test]
async fn a_form_with_a_file_is_read() {
    let hub = Hub::start().await;
    let person = hub.person().await;
    let part = |name: &str, more: &str, text: &str| {
        format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"{more}\r\n\r\n{text}\r\n")
    };
    let send = |query: &str, body: String, key: &str| {
        let post = person.post(&format!("/api/v1/requests{query}"));
        let post = post.header("content-type", "multipart/form-data; boundary=x");
        post.header("idempotency-key", key).body(format!("{body}--x--\r\n"))
    };
    let file = part("file", "; filename=\"a.csv\"", "name;smiles\nethanol;CCO\nx;C\n");
    let model = part("model", "", "lengths");
    let answer = send("?model=lengths", file.clone(), "1").send().await.expect("an answer");
    assert_eq!(answer.status(), 201);
    let request: Value = answer.json().await.expect("JSON");
    assert_eq!((&request["inputs"], &request["reading"]["separator"]), (&json!(2), &json!(";")));
    let fields = [&model, &part("column", "", "name"), &part("header", "", ""), &file];
    let answer = send("", fields.map(String::as_str).concat(), "2").send().await.expect("it");
    let named: Value = answer.json().await.expect("JSON");
    assert_eq!(named["reading"]["column"], "name");
    // The same file under the same key, whatever stands between its parts.
    let again = person.post("/api/v1/requests?model=lengths").header("idempotency-key", "1");
    let again = again.header("content-type", "multipart/form-data; boundary=\"yy\"");
    let again = again.body(file.replace("--x\r\n", "--yy\r\n") + "--yy--\r\n");
    let again = again.send().await.expect("an answer");
    assert_eq!(again.status(), 200);
    assert_eq!(again.json::<Value>().await.expect("JSON")["id"], request["id"]);
    for (n, (body, kind)) in [
        (model.clone(), "empty-input"),
        ([&file, &model].map(String::as_str).concat(), "bad-parameter"),
        ([&model, &part("colum", "", "a"), &file].map(String::as_str).concat(), "bad-parameter"),
        (
            [&model, &part("file", "; filename=\"a.csv\"", "")].map(String::as_str).concat(),
            "empty-input",
        ),
        (
            [&model, &part("file", "; filename=\"a\"\r\nContent-Type: image/png", "x")]
                .map(String::as_str)
                .concat(),
            "unsupported-media-type",
        ),
        (file.clone(), "bad-parameter"),
    ]
    .into_iter()
    .enumerate()
    {
        let refused = problem(send("", body.clone(), &format!("bad-{n}"))).await;
        assert_eq!(slug(&refused), kind, "{body}: {refused}");
    }
    let cut = send("?model=lengths", file[..file.len() - 4].to_owned(), "cut");
    let cut = cut.body(file[..file.len() - 4].to_owned());
    assert_eq!(slug(&problem(cut).await), "bad-request");
    let form = person.post("/api/v1/requests?model=lengths").body("file=x");
    let form = form.header("content-type", "application/x-www-form-urlencoded");
    let refused = problem(form).await;
    assert!(refused["detail"].as_str().is_some_and(|d| d.contains("text/csv")), "{refused}");
}

#[tokio::test]
async fn a_line_that_may_be_the_header_is_asked_about() {
    let hub = Hub::start().await;
    let person = hub.person().await;
    for (file, asked) in [("bad\nCCO\nC\n", true), ("bad\nbad2\nC\n", false), ("bad\n", false)] {
        let upload = person.upload("model=lengths&wait=60&cache=false", file);
        let (answer, ()) = tokio::join!(async { upload.send().await.expect("an answer") }, async {
            let tasks = hub.claim().await;
            hub.complete(tasks).await;
        });
        let request: Value = answer.json().await.expect("JSON");
        let error = request["result"][0]["error"].as_str().expect("an error");
        assert_eq!(error.contains("header=used"), asked, "{error}");
        let path = format!("/api/v1/requests/{}/result", request["id"].as_str().expect("an id"));
        let rows = person.find(&format!("{path}?format=json")).await;
        assert_eq!(rows, request["result"]);
    }
}
