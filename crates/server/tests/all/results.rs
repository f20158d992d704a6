//! Results in all formats.

use serde_json::{Value, json};

use crate::hub::{Hub, Person, gzip};

const FILE: &str = "name,smiles,length\n\"a, \"\"b\"\"\",CCO,x\n=1+1,bad,\u{e9}\n,c1ccccc1,z\n";

/// A completed request of [`FILE`], as its path.
async fn completed(hub: &Hub, person: &Person) -> String {
    let answer = person.upload("model=lengths", FILE).send().await.expect("an answer");
    let request: Value = answer.json().await.expect("JSON");
    let tasks = hub.claim().await;
    hub.complete(tasks).await;
    format!("/api/v1/requests/{}", request["id"].as_str().expect("an id"))
}

fn rows() -> Value {
    json!([
        {"name": "a, \"b\"", "smiles": "CCO", "length": "x", "length_2": 3, "half": 1.5,
            "error": null},
        {"name": "=1+1", "smiles": "bad", "length": "\u{e9}", "length_2": null, "half": null,
            "error": "=cannot read it"},
        {"name": "", "smiles": "c1ccccc1", "length": "z", "length_2": 8, "half": 4.0,
            "error": null},
    ])
}

#[tokio::test]
async fn own_columns_come_back_beside_the_models() {
    let hub = Hub::start().await;
    let person = hub.person().await;
    let path = completed(&hub, &person).await;
    let answer = person.get(&format!("{path}/result")).send().await.expect("an answer");
    assert_eq!(answer.headers()["content-type"], "text/csv; charset=utf-8");
    let named = answer.headers()["content-disposition"].to_str().expect("text").to_owned();
    let end = &path[path.len() - 8..];
    assert_eq!(named, format!("attachment; filename=\"lengths-{end}.csv\""));
    let want = "name,smiles,length,length_2,half,error\n\"a, \"\"b\"\"\",CCO,x,3,1.5,\n\
                =1+1,bad,\u{e9},,,'=cannot read it\n,c1ccccc1,z,8,4.0,\n";
    assert_eq!(answer.text().await.expect("text"), want);
    assert_eq!(person.find(&format!("{path}/result?format=json")).await, rows());
}

#[tokio::test]
async fn the_rows_in_an_answer_are_those_of_the_download() {
    let hub = Hub::start().await;
    let person = hub.person().await;
    let upload = person.upload("model=lengths&wait=60", FILE);
    let (answer, ()) = tokio::join!(async { upload.send().await.expect("an answer") }, async {
        let tasks = hub.claim().await;
        hub.complete(tasks).await;
    });
    let request: Value = answer.json().await.expect("JSON");
    assert_eq!(request["result"], rows());
    let path = format!("/api/v1/requests/{}", request["id"].as_str().expect("an id"));
    assert_eq!(person.find(&format!("{path}?wait=1")).await["result"], rows());
    let one = person.upload("model=lengths&wait=60&header=used", "mine\nCCO\n");
    let (answer, ()) = tokio::join!(async { one.send().await.expect("an answer") }, async {
        let tasks = hub.claim().await;
        hub.complete(tasks).await;
    });
    let request: Value = answer.json().await.expect("JSON");
    assert_eq!(request["result"], json!([{"mine": "CCO", "length": 3, "half": 1.5}]));
    let path = format!("/api/v1/requests/{}", request["id"].as_str().expect("an id"));
    assert_eq!(person.find(&format!("{path}?wait=1")).await["result"], request["result"]);
}

#[tokio::test]
async fn results_of_more_than_a_hundred_rows_are_only_downloaded() {
    let hub = Hub::start().await;
    let person = hub.person().await;
    let upload = person.upload("model=lengths&wait=60", "CCO\n".repeat(101));
    let (answer, ()) = tokio::join!(async { upload.send().await.expect("an answer") }, async {
        let tasks = hub.claim().await;
        hub.complete(tasks).await;
    });
    let request: Value = answer.json().await.expect("JSON");
    assert_eq!((&request["phase"], request.get("result")), (&json!("completed"), None));
    let path = format!("/api/v1/requests/{}/result", request["id"].as_str().expect("an id"));
    let lines = person.get(&path).send().await.expect("an answer").text().await.expect("text");
    assert_eq!(lines.lines().count(), 102);
}

#[tokio::test]
async fn each_format_is_had_by_name_or_by_accept() {
    let hub = Hub::start().await;
    let person = hub.person().await;
    let path = format!("{}/result", completed(&hub, &person).await);
    let formats: [(&str, &str, &[u8]); 5] = [
        ("csv", "text/csv", b"name,"),
        ("json", "application/json", b"["),
        ("ndjson", "application/x-ndjson", b"{"),
        ("parquet", "application/vnd.apache.parquet", b"PAR1"),
        ("arrow", "application/vnd.apache.arrow.stream", b"\xff\xff\xff\xff"),
    ];
    for (name, media, start) in formats {
        let named = person.get(&format!("{path}?format={name}")).send().await.expect("an answer");
        assert!(named.headers()["content-type"].to_str().expect("text").starts_with(media));
        let named = named.bytes().await.expect("bytes");
        assert!(named.starts_with(start), "{name}: {named:?}");
        let accepted = person.get(&path).header("accept", media).send().await.expect("an answer");
        assert_eq!(accepted.bytes().await.expect("bytes"), named, "{name}");
    }
    let json = person.find(&format!("{path}?format=json")).await;
    let lines = person.get(&format!("{path}?format=ndjson")).send().await.expect("an answer");
    let lines = lines.text().await.expect("text");
    let lines: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(Value::Array(lines), json);
    let refused = crate::hub::problem(person.get(&format!("{path}?format=xlsx"))).await;
    assert_eq!(crate::hub::slug(&refused), "bad-parameter");
}

#[tokio::test]
async fn texts_are_packed_for_those_who_accept_it() {
    let hub = Hub::start().await;
    let person = hub.person().await;
    let answer = person.upload("model=lengths", "CCO\n".repeat(900)).send().await.expect("answer");
    let request: Value = answer.json().await.expect("JSON");
    let tasks = hub.claim().await;
    hub.complete(tasks).await;
    let path = format!("/api/v1/requests/{}/result", request["id"].as_str().expect("an id"));
    let plain = person.get(&path).send().await.expect("an answer").bytes().await.expect("bytes");
    let get = |encoding: &str, format: &str| {
        person.get(&format!("{path}?format={format}")).header("accept-encoding", encoding).send()
    };
    for encoding in ["gzip", "zstd"] {
        let packed = get(encoding, "csv").await.expect("an answer");
        assert_eq!(packed.headers()["content-encoding"], encoding);
        let packed = packed.bytes().await.expect("bytes");
        assert!(packed.len() < plain.len() / 2, "{encoding}");
        if encoding == "gzip" {
            assert_eq!(gzip(&["-d"], &packed), plain);
        }
        // What a result is packed with, an upload may be packed with.
        let upload = person.upload("model=lengths", packed).header("content-encoding", encoding);
        let read: Value = upload.send().await.expect("an answer").json().await.expect("JSON");
        assert_eq!((&read["inputs"], &read["reading"]["column"]), (&json!(900), &json!("input")));
    }
    let parquet = get("gzip", "parquet").await.expect("an answer");
    assert_eq!(parquet.headers().get("content-encoding"), None);
}
