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

const WORKBOOK: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";

#[tokio::test]
async fn each_format_is_had_by_name_or_by_accept() {
    let hub = Hub::start().await;
    let person = hub.person().await;
    let path = format!("{}/result", completed(&hub, &person).await);
    let formats: [(&str, &str, &[u8]); 6] = [
        ("csv", "text/csv", b"name,"),
        ("json", "application/json", b"["),
        ("ndjson", "application/x-ndjson", b"{"),
        ("parquet", "application/vnd.apache.parquet", b"PAR1"),
        ("arrow", "application/vnd.apache.arrow.stream", b"\xff\xff\xff\xff"),
        ("xlsx", WORKBOOK, b"PK\x03\x04"),
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
    let refused = crate::hub::problem(person.get(&format!("{path}?format=xls"))).await;
    assert_eq!(crate::hub::slug(&refused), "bad-parameter");
}

#[tokio::test]
async fn some_rows_of_a_result_are_had_alone() {
    let hub = Hub::start().await;
    let person = hub.person().await;
    let rows: String = (0..2_500).map(|n| format!("\"row\n{n}\",C{n}\n")).collect();
    let upload = person.upload("model=lengths", format!("name,smiles\n{rows}"));
    let request: Value = upload.send().await.expect("an answer").json().await.expect("JSON");
    let path = format!("/api/v1/requests/{}/result", request["id"].as_str().expect("an id"));
    while request_phase(&person, &request).await != "completed" {
        hub.complete(hub.claim().await).await;
    }
    let get = async |query: &str| {
        let answer = person.get(&format!("{path}?{query}")).send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "{query}");
        let tag = answer.headers()["etag"].to_str().expect("text").to_owned();
        (tag, answer.text().await.expect("text"))
    };
    let (whole_tag, whole) = get("format=json").await;
    let all: Vec<Value> = serde_json::from_str(&whole).expect("JSON");
    assert_eq!(all.len(), 2_500);
    for (offset, limit) in [(0, 1), (999, 3), (1_000, 1_000), (2_499, 10), (2_500, 5), (0, 9_999)] {
        let window = format!("offset={offset}&limit={limit}");
        let wanted = &all[offset..(offset + limit).min(all.len())];
        let (tag, json) = get(&format!("format=json&{window}")).await;
        assert_eq!(serde_json::from_str::<Vec<Value>>(&json).expect("JSON"), wanted, "{window}");
        assert_ne!(tag, whole_tag, "{window}");
        assert_eq!(get(&format!("format=json&{window}")).await.0, tag);
        let (_, csv) = get(&window).await;
        let mut reader = csv::Reader::from_reader(csv.as_bytes());
        let records: Vec<csv::StringRecord> =
            reader.records().map(|record| record.expect("a record")).collect();
        assert_eq!(records.len(), wanted.len(), "{window}");
        for (record, row) in records.iter().zip(wanted) {
            assert_eq!((&record[0], &record[1]), (text(row, "name"), text(row, "smiles")));
        }
    }
    let (_, rest) = get("format=ndjson&offset=2490").await;
    assert_eq!(rest.lines().count(), 10);
    let part =
        person.get(&format!("{path}?format=ndjson&offset=2490")).header("range", "bytes=10-");
    let part = part.send().await.expect("an answer");
    assert_eq!(part.status(), 206);
    assert_eq!(part.text().await.expect("text"), rest[10..]);
    for (query, name) in [("limit=0", "limit"), ("offset=-1", "offset"), ("limit=x", "limit")] {
        let refused = crate::hub::problem(person.get(&format!("{path}?{query}"))).await;
        assert_eq!(refused["parameter"], name, "{query}");
    }
}

/// What a sheet has no place for is refused before anything is sent, and the rest of it can be had.
#[tokio::test]
async fn a_cell_too_long_for_a_workbook_is_refused_with_another_format() {
    let hub = Hub::start().await;
    let person = hub.person().await;
    let (fits, long) = ("C".repeat(32_767), "C".repeat(32_768));
    let request = person.submit(&[&fits, &long]).await;
    hub.complete(hub.claim().await).await;
    let path = format!("/api/v1/requests/{}/result", request["id"].as_str().expect("an id"));
    let refused = crate::hub::problem(person.get(&format!("{path}?format=xlsx"))).await;
    assert_eq!(
        (crate::hub::slug(&refused), &refused["parameter"]),
        ("bad-parameter", &json!("format"))
    );
    let detail = refused["detail"].as_str().expect("text");
    assert!(detail.contains("row 3") && detail.contains("csv"), "{detail}");
    let first = person.get(&format!("{path}?format=xlsx&limit=1")).send().await.expect("an answer");
    assert_eq!(first.status(), 200);
    let length: usize =
        first.headers()["content-length"].to_str().expect("text").parse().expect("a number");
    let tag = first.headers()["etag"].clone();
    let bytes = first.bytes().await.expect("bytes");
    assert_eq!(bytes.len(), length);
    // The same bytes each time, or nobody could go on where a download broke off.
    let again = person.get(&format!("{path}?format=xlsx&limit=1")).header("range", "bytes=100-");
    let again = again.header("if-range", tag).send().await.expect("an answer");
    assert_eq!(
        (again.status().as_u16(), again.bytes().await.expect("bytes")),
        (206, bytes.slice(100..))
    );
}

fn text<'v>(row: &'v Value, name: &str) -> &'v str {
    row[name].as_str().expect("text")
}

async fn request_phase(person: &Person, request: &Value) -> String {
    let path = format!("/api/v1/requests/{}", request["id"].as_str().expect("an id"));
    person.find(&path).await["phase"].as_str().expect("a phase").to_owned()
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

/// A file with a column `error` of its own, and one that was a result: mended and submitted again.
#[tokio::test]
async fn each_name_is_there_once_in_every_format() {
    let hub = Hub::start().await;
    let person = hub.person().await;
    let file = "smiles,error,error_2,length\nCCO,mine,a,x\nbad,also mine,b,y\n";
    let upload = person.upload("model=lengths&wait=60", file);
    let (answer, ()) = tokio::join!(async { upload.send().await.expect("an answer") }, async {
        let tasks = hub.claim().await;
        hub.complete(tasks).await;
    });
    let request: Value = answer.json().await.expect("JSON");
    let path = format!("/api/v1/requests/{}/result", request["id"].as_str().expect("an id"));
    let names = ["smiles", "error", "error_2", "length", "length_2", "half", "error_3"];
    let get = |format: &str| person.get(&format!("{path}?format={format}")).send();
    let csv = get("csv").await.expect("an answer").text().await.expect("text");
    assert_eq!(
        csv,
        format!("{}\nCCO,mine,a,x,3,1.5,\nbad,also mine,b,y,,,'=cannot read it\n", names.join(","))
    );
    let json = get("json").await.expect("an answer").text().await.expect("text");
    for name in names {
        let member = format!("\"{name}\":");
        assert_eq!(json.matches(&member).count(), 2, "{name} in {json}");
        assert_eq!(request["result"].to_string().matches(&member).count(), 2, "{name}");
    }
    let bytes = get("parquet").await.expect("an answer").bytes().await.expect("bytes");
    for name in names {
        assert!(bytes.windows(name.len()).any(|window| window == name.as_bytes()), "{name}");
    }
}

/// More than is held to learn its length.
fn many() -> String {
    (0..1000).map(|n| format!("{}{n}\n", "C".repeat(600))).collect()
}

#[tokio::test]
async fn a_download_that_broke_off_goes_on_where_it_was() {
    let hub = Hub::start().await;
    let person = hub.person().await;
    for (file, is_small) in [("CCO\nbad\n".to_owned(), true), (many(), false)] {
        let answer = person.upload("model=lengths", file).send().await.expect("an answer");
        let request: Value = answer.json().await.expect("JSON");
        let tasks = hub.claim().await;
        hub.complete(tasks).await;
        let path = format!("/api/v1/requests/{}/result", request["id"].as_str().expect("an id"));
        for format in ["csv", "json", "ndjson", "parquet", "arrow"] {
            let path = format!("{path}?format={format}");
            let get = || person.get(&path);
            // Asked for a part before it was ever written to its end.
            let part = get().header("range", "bytes=10-19").send().await.expect("an answer");
            assert_eq!(part.status(), 206, "{format}");
            let tag = part.headers()["etag"].to_str().expect("text").to_owned();
            let range = part.headers()["content-range"].to_str().expect("text").to_owned();
            let part = part.bytes().await.expect("bytes");
            let whole = get().send().await.expect("an answer");
            assert_eq!(whole.status(), 200);
            assert_eq!(whole.headers()["etag"], tag.as_str());
            assert_eq!(whole.headers()["accept-ranges"], "bytes");
            let length = whole.headers()["content-length"].to_str().expect("text").to_owned();
            let whole = whole.bytes().await.expect("bytes");
            assert_eq!(whole.len() > 256 << 10, !is_small && format != "parquet", "{format}");
            assert_eq!(length, whole.len().to_string());
            assert_eq!(range, format!("bytes 10-19/{length}"));
            assert_eq!(part, whole[10..20]);
            let rest = get().header("range", "bytes=30-").header("if-range", &tag).send();
            let rest = rest.await.expect("an answer");
            assert_eq!(rest.status(), 206, "{format}");
            assert_eq!(rest.bytes().await.expect("bytes"), whole[30..]);
            let other = get().header("range", "bytes=30-").header("if-range", "\"other\"").send();
            let other = other.await.expect("an answer");
            assert_eq!(other.status(), 200);
            assert_eq!(other.bytes().await.expect("bytes"), whole);
            let head = person.request(reqwest::Method::HEAD, &path).send().await.expect("answer");
            assert_eq!(head.headers()["content-length"], length.as_str());
            let beyond = get().header("range", format!("bytes={length}-"));
            let beyond = beyond.send().await.expect("an answer");
            assert_eq!(beyond.status(), 416);
            assert_eq!(beyond.headers()["content-range"], format!("bytes */{length}"));
        }
        let packed = person.get(&path).header("accept-encoding", "gzip").send().await.expect("it");
        assert!(packed.headers()["etag"].to_str().expect("text").starts_with("W/\"") || is_small);
    }
}

#[tokio::test]
async fn the_length_of_a_large_result_is_known_after_its_first_download() {
    let hub = Hub::start().await;
    let person = hub.person().await;
    let answer = person.upload("model=lengths", many()).send().await.expect("an answer");
    let request: Value = answer.json().await.expect("JSON");
    let tasks = hub.claim().await;
    hub.complete(tasks).await;
    let path = format!("/api/v1/requests/{}/result", request["id"].as_str().expect("an id"));
    let first = person.get(&path).send().await.expect("an answer");
    assert_eq!(first.headers().get("content-length"), None, "it ends with the last chunk");
    let first = first.bytes().await.expect("bytes");
    let second = person.get(&path).send().await.expect("an answer");
    assert_eq!(second.headers()["content-length"], first.len().to_string());
    assert_eq!(second.bytes().await.expect("bytes"), first);
}

/// What does not say its length ends with the connection there: a broken one would look whole.
#[tokio::test]
async fn every_answer_to_http_1_0_says_its_length() {
    let hub = Hub::start().await;
    let person = hub.person().await;
    let answer = person.upload("model=lengths", many()).send().await.expect("an answer");
    let request: Value = answer.json().await.expect("JSON");
    let tasks = hub.claim().await;
    hub.complete(tasks).await;
    let id = request["id"].as_str().expect("an id");
    let result = format!("/api/v1/requests/{id}/result");
    let paths =
        ["csv", "json", "ndjson", "parquet", "arrow"].map(|f| format!("{result}?format={f}"));
    for path in paths.iter().map(String::as_str).chain(["/api/v1/requests?format=csv"]) {
        let head = format!(
            "GET {path} HTTP/1.0\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
             Accept-Encoding: gzip\r\n\r\n",
            person.token
        );
        let mut stream = hub.connect().await;
        tokio::io::AsyncWriteExt::write_all(&mut stream, head.as_bytes()).await.expect("sent");
        let mut all = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut all).await.expect("an answer");
        let end = all.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
        let head = String::from_utf8_lossy(&all[..end]).to_lowercase();
        assert!(head.starts_with("http/1.0 200"), "{path}: {head}");
        assert!(!head.contains("content-encoding"), "{path}: {head}");
        let length = format!("content-length: {}\r\n", all.len() - end);
        assert!(head.contains(&length), "{path}: {head} {}", all.len() - end);
        let asked = person.get(path).send().await.expect("an answer").bytes().await.expect("bytes");
        assert_eq!(asked, all[end..], "{path}");
    }
}
