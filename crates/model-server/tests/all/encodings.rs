//! Shapes and encodings of bodies.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::Folder;
use muster_model_server::Limits;

const LENGTHS: &str = "\
def predict(inputs):
    return [{'n': len(t), 't': t} if t != 'bad' else {'error': 'bad is bad'} for t in inputs]
";

#[tokio::test]
async fn answers_take_every_shape() {
    let server = Folder::python(LENGTHS, "").serve().await;
    let shapes = [
        ("records", json!([{"n": 1, "t": "a"}, {"n": 2, "t": "bb"}])),
        ("values", json!([[1, "a"], [2, "bb"]])),
        ("split", json!({"columns": ["n", "t"], "index": [0, 1], "data": [[1, "a"], [2, "bb"]]})),
        ("columns", json!({"n": {"0": 1, "1": 2}, "t": {"0": "a", "1": "bb"}})),
        ("index", json!({"0": {"n": 1, "t": "a"}, "1": {"n": 2, "t": "bb"}})),
    ];
    for (shape, expected) in shapes {
        let answer = server.post(&format!("/run?orient={shape}"), json!(["a", "bb"])).await;
        assert_eq!((answer.status, answer.json()), (200, expected), "{shape}");
    }
}

#[tokio::test]
async fn ndjson_goes_in_and_out() {
    let server = Folder::python(LENGTHS, "").serve().await;
    let body = "\"a\"\n{\"key\": 1, \"input\": \"bb\"}\r\n\n\"bad\"\n";
    let answer = server
        .send("/run", |post| {
            let post = post.header("content-type", "application/x-ndjson");
            post.header("accept", "application/x-ndjson").body(body)
        })
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.headers["content-type"], "application/x-ndjson");
    let lines: Vec<Value> =
        answer.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let expected =
        [json!({"n": 1, "t": "a"}), json!({"n": 2, "t": "bb"}), json!({"error": "bad is bad"})];
    assert_eq!(lines, expected);
    let broken = server
        .send("/run", |post| post.header("content-type", "application/x-ndjson").body("\"a\"\n{"))
        .await;
    assert_eq!(broken.status, 422);
}

#[tokio::test]
async fn bodies_may_be_compressed_both_ways() {
    let server = Folder::python(LENGTHS, "").serve().await;
    let inputs: Vec<String> = (0..200).map(|n| format!("input {n}")).collect();
    let plain = json!(inputs).to_string().into_bytes();
    for (encoding, program) in [("gzip", "gzip"), ("zstd", "zstd")] {
        let answer = server
            .send("/run", |post| {
                let post = post.header("content-encoding", encoding);
                post.header("accept-encoding", encoding).body(pipe(program, &[], &plain))
            })
            .await;
        assert_eq!(answer.status, 200, "{encoding}: {}", answer.text());
        assert_eq!(answer.headers["content-encoding"], encoding);
        let unpacked = pipe(program, &["-d"], &answer.body);
        let rows: Vec<Value> = serde_json::from_slice(&unpacked).expect("JSON");
        assert_eq!(rows.len(), 200);
        assert_eq!(rows[199]["t"], "input 199");
    }
}

/// As bgzip and `cat a.gz b.gz` write files.
#[tokio::test]
async fn all_members_of_a_packed_body_are_read() {
    let server = Folder::python(LENGTHS, "").serve().await;
    let inputs: Vec<String> = (0..200).map(|n| format!("input {n}")).collect();
    let plain = json!(inputs).to_string().into_bytes();
    let (first, last) = plain.split_at(plain.len() / 2);
    for (encoding, program) in [("gzip", "gzip"), ("zstd", "zstd")] {
        let whole = [pipe(program, &[], first), pipe(program, &[], last)].concat();
        let send = async |body: Vec<u8>| {
            let fill = |post: reqwest::RequestBuilder| {
                post.header("content-encoding", encoding).body(body.clone())
            };
            server.send("/run", fill).await
        };
        let answer = send(whole.clone()).await;
        assert_eq!(answer.status, 200, "{encoding}: {}", answer.text());
        let rows: Vec<Value> = serde_json::from_slice(&answer.body).expect("JSON");
        assert_eq!(rows.len(), 200);
        let cut = send(whole[..whole.len() - 9].to_vec()).await;
        assert_eq!(cut.status, 422, "{encoding}: {}", cut.text());
        let rest = send([&whole[..], b"and more"].concat()).await;
        assert_eq!(rest.status, 422, "{encoding}: {}", rest.text());
    }
}

#[tokio::test]
async fn a_compressed_body_that_is_damaged_or_unpacks_too_far_is_refused() {
    let limits = Limits { body_bytes: 1 << 20, ..Limits::default() };
    let server = Folder::python(LENGTHS, "").serve_with(limits).await;
    let send = |body: Vec<u8>| {
        server.send("/run", move |post| post.header("content-encoding", "gzip").body(body.clone()))
    };
    let damaged = send(b"this is not gzip".to_vec()).await;
    assert_eq!(damaged.status, 422, "{}", damaged.text());
    assert!(damaged.detail().contains("unpacked"), "{}", damaged.text());
    let bomb = json!(["x".repeat(20 << 20)]).to_string().into_bytes();
    let bomb = send(pipe("gzip", &[], &bomb)).await;
    assert_eq!((bomb.status, bomb.detail().contains("1 MiB")), (413, true), "{}", bomb.text());
    let unknown = server.send("/run", |post| post.header("content-encoding", "x").body("[]")).await;
    assert_eq!(unknown.status, 415);
}

/// `bytes` through a program that reads standard input.
fn pipe(program: &str, arguments: &[&str], bytes: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .args(arguments)
        .arg("-c")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let (mut to, bytes) = (child.stdin.take().expect("a pipe"), bytes.to_vec());
    let writer = std::thread::spawn(move || to.write_all(&bytes));
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("no panic").expect("it reads");
    assert!(output.status.success());
    output.stdout
}
