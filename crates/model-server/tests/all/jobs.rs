//! Asynchronous jobs: submitted, waited for, cancelled.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Folder, Server, pid_in, until_gone};

/// Waits for a file beside it for the input `wait`, fails on `bad`.
const GATED: &str = "
import os, time
def predict(inputs):
    open('../pid', 'w').write(str(os.getpid()))
    while 'wait' in inputs and not os.path.exists('../go'): time.sleep(0.01)
    if 'bad' in inputs: raise ValueError('bad is not an input')
    return [{'n': len(text)} for text in inputs]
";

async fn submit(server: &Server, inputs: &[&str]) -> String {
    let answer = server.post("/job/submit", json!(inputs)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["job_id"].as_str().expect("an id").to_owned()
}

async fn status(server: &Server, job: &str, wait: u32) -> Value {
    server.get(&format!("/job/status/{job}?wait={wait}")).await.json()
}

#[tokio::test]
async fn a_job_is_waited_for_and_its_result_fetched() {
    let folder = Folder::python(GATED, "");
    let server = folder.serve().await;
    let job = submit(&server, &["wait", "a"]).await;
    let progress = json!({"done": 0, "total": 2});
    let pending = json!({"job_id": job, "status": "pending", "progress": progress});
    assert_eq!(status(&server, &job, 0).await, pending);
    let early = server.get(&format!("/job/result/{job}")).await;
    assert_eq!(early.status, 200);
    assert_eq!(early.json()["status"], "pending");
    assert_eq!(early.json()["result"], Value::Null);

    folder.write("../go", "");
    let begun = Instant::now();
    let ended = status(&server, &job, 20).await;
    assert_eq!(ended["status"], "completed");
    assert_eq!(ended["progress"], json!({"done": 2, "total": 2}));
    assert!(begun.elapsed() < Duration::from_secs(10), "it answers when the job ends");
    let result = server.get(&format!("/job/result/{job}?orient=records")).await.json();
    assert_eq!(result, json!([{"n": 4}, {"n": 1}]));
    let shaped = server.get(&format!("/job/result/{job}?orient=values")).await.json();
    assert_eq!(shaped, json!([[4], [1]]));
}

#[tokio::test]
async fn a_wait_that_is_over_tells_how_the_job_is() {
    let folder = Folder::python(GATED, "");
    let server = folder.serve().await;
    let job = submit(&server, &["wait"]).await;
    let begun = Instant::now();
    assert_eq!(status(&server, &job, 1).await["status"], "pending");
    assert!(begun.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_failed_job_says_why() {
    let server = Folder::python(GATED, "").serve().await;
    let job = submit(&server, &["bad"]).await;
    let ended = status(&server, &job, 20).await;
    assert_eq!(ended["status"], "failed");
    assert_eq!(ended["error"], "ValueError: bad is not an input");
    let result = server.get(&format!("/job/result/{job}")).await;
    assert_eq!((result.status, result.json()["result"].clone()), (200, Value::Null));
}

#[tokio::test]
async fn a_cancelled_job_ends_its_process_and_the_next_one_works() {
    let folder = Folder::python(GATED, "");
    let server = folder.serve().await;
    let job = submit(&server, &["wait"]).await;
    let pid = pid_in(&folder.beside("pid")).await;
    let cancelled = server.post(&format!("/job/{job}/cancel"), json!(null)).await;
    assert_eq!(cancelled.status, 200);
    let ended = status(&server, &job, 20).await;
    assert_eq!(
        (ended["status"].as_str(), ended["error"].as_str()),
        (Some("failed"), Some("cancelled"))
    );
    until_gone(pid).await;
    assert_eq!(server.run(&["abc"]).await, json!([{"n": 3}]));
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_work() {
    let folder = Folder::python(GATED, "");
    let server = folder.serve().await;
    let (run, file) = (server.post("/run", json!(["wait"])), folder.beside("pid"));
    let pid = tokio::select! {
        answer = run => panic!("{}", answer.text()),
        pid = pid_in(&file) => pid,
    };
    until_gone(pid).await;
    assert_eq!(server.run(&["abc"]).await, json!([{"n": 3}]));
}

#[tokio::test]
async fn jobs_go_one_after_the_other() {
    let folder = Folder::python(GATED, "");
    let server = folder.serve().await;
    let first = submit(&server, &["wait"]).await;
    let second = submit(&server, &["abc"]).await;
    assert_eq!(status(&server, &second, 1).await["status"], "pending");
    folder.write("../go", "");
    assert_eq!(status(&server, &second, 20).await["status"], "completed");
    assert_eq!(status(&server, &first, 20).await["status"], "completed");
    assert!(server.get("/metrics").await.text().contains("model_jobs 2\n"));
}
