//! Large inputs and results in S3, and what becomes of them when the storage or the network fails.

use std::time::{Duration, Instant};

use muster_core::RequestId;
use muster_store::{Error, Format, Submitted};
use object_store::ObjectStoreExt;

use crate::lab::{Lab, done};
use crate::proxy::{Fault, Proxy};
use crate::s3_server::{S3Server, hasty_objects, objects};

on_both!(a_large_input_and_a_large_result_go_through_s3_and_come_back);

const LONG_TEXT: &str = "a text that is long enough to be stored in an object of its own";

/// A store on an S3 server behind a proxy.
async fn behind_a_proxy() -> (Lab, S3Server, Proxy) {
    let mut lab = Lab::sqlite().await;
    let server = S3Server::start().await;
    let proxy = Proxy::before(server.address).await;
    lab.move_to(objects(proxy.address)).await;
    (lab, server, proxy)
}

async fn submit_large(lab: &Lab) -> Result<Submitted, Error> {
    lab.store.submit(lab.new_request(&[LONG_TEXT; 5])).await
}

async fn complete_large(lab: &Lab, task: &muster_store::ClaimedTask) -> Result<bool, Error> {
    let record = format!(r#"{{"t": "{LONG_TEXT}"}}"#);
    let records = vec![record; task.count as usize].join(",");
    let stored = lab.store.complete(vec![done(task, &format!("[{records}]"))]).await?;
    Ok(stored == [true])
}

/// A completed request; its objects' names.
async fn ended(lab: &Lab) -> (RequestId, String, String) {
    let id = submit_large(lab).await.expect("it is taken").request.id;
    let task = lab.claim(10).await.remove(0);
    assert!(complete_large(lab, &task).await.expect("an answer"));
    (id, format!("hub/inputs/{id}"), format!("hub/results/{id}/0-1.parquet"))
}

/// Whatever a row points to is there.
async fn every_row_has_its_object(lab: &Lab, server: &S3Server) {
    let pointed = "SELECT input_object FROM request WHERE input_object IS NOT NULL UNION ALL \
         SELECT result_object FROM task WHERE result_object IS NOT NULL";
    let names = server.names().await;
    for path in lab.raw.texts(pointed).await {
        assert!(names.contains(&format!("hub/{path}")), "{path} is missing: {names:?}");
    }
}

fn is_away<T>(answer: &Result<T, Error>) -> bool {
    matches!(answer, Err(Error::Unavailable { .. }))
}

fn is_damaged<T>(answer: &Result<T, Error>) -> bool {
    matches!(answer, Err(Error::Corrupt(_)))
}

async fn a_large_input_and_a_large_result_go_through_s3_and_come_back(mut lab: Lab) {
    let server = S3Server::start().await;
    lab.move_to(objects(server.address)).await;
    let (id, input, result) = ended(&lab).await;
    assert_eq!(server.names().await, [input, result], "under the prefix of the URL");
    let csv = lab.download(id, Format::Csv).await.expect("a result");
    let line = format!("{LONG_TEXT},{LONG_TEXT}\n");
    assert_eq!(String::from_utf8_lossy(&csv), format!("input,t\n{}", line.repeat(5)));
}

#[tokio::test]
async fn a_wrong_byte_in_an_object_is_noticed() {
    let mut lab = Lab::sqlite().await;
    let server = S3Server::start().await;
    lab.move_to(objects(server.address)).await;
    let (id, input, result) = ended(&lab).await;
    for object in [&input, &result] {
        for at in [2, 40] {
            server.change(object, |bytes| bytes[at] ^= 1).await;
            let damaged = lab.download(id, Format::Csv).await;
            assert!(is_damaged(&damaged), "{object} {at}: {damaged:?}");
            server.change(object, |bytes| bytes[at] ^= 1).await;
        }
        let mut cut = 0;
        server.change(object, |bytes| cut = bytes.pop().expect("a byte")).await;
        let damaged = lab.download(id, Format::Csv).await;
        assert!(is_damaged(&damaged), "{object} is cut: {damaged:?}");
        server.change(object, |bytes| bytes.push(cut)).await;
        lab.download(id, Format::Csv).await.expect("it is whole again");
    }
    server.bucket.delete(&input.as_str().into()).await.expect("it is gone");
    assert!(is_damaged(&lab.download(id, Format::Csv).await));
}

#[tokio::test]
async fn a_model_never_gets_damaged_inputs() {
    let mut lab = Lab::sqlite().await;
    let server = S3Server::start().await;
    lab.move_to(objects(server.address)).await;
    let id = submit_large(&lab).await.expect("it is taken").request.id;
    let task = lab.claim(10).await.remove(0);
    lab.store.load_inputs(&task).await.expect("the inputs");
    server.change(&format!("hub/inputs/{id}"), |bytes| bytes[5] = b'A').await;
    assert!(is_damaged(&lab.store.load_inputs(&task).await));
}

/// Inputs of ten megabytes: in parts, which are tried again one by one.
#[tokio::test]
async fn a_very_large_object_goes_up_in_parts() {
    let (lab, server, proxy) = behind_a_proxy().await;
    proxy.plan("partNumber=2", Fault::AnswerLost, 1);
    let text = "x".repeat(512 << 10);
    let inputs: Vec<&str> = vec![&text; 20];
    let id = lab.submit(&inputs).await.id;
    assert_eq!(
        (proxy.seen("?uploads"), proxy.seen("partNumber=1"), proxy.seen("partNumber=2")),
        (1, 1, 2)
    );
    for task in lab.claim(100).await {
        let array = lab.store.load_inputs(&task).await.expect("the inputs");
        let texts: Vec<String> = serde_json::from_slice(&array).expect("texts");
        assert!(texts.len() == 10 && texts.iter().all(|one| *one == text));
    }
    assert_eq!(server.names().await, [format!("hub/inputs/{id}")]);
}

#[tokio::test]
async fn an_object_whose_parts_do_not_all_arrive_is_not_there_and_leaves_no_parts() {
    let (lab, server, proxy) = behind_a_proxy().await;
    let text = "x".repeat(512 << 10);
    let inputs: Vec<&str> = vec![&text; 20];
    for (step, fault) in [("partNumber=2", Fault::Busy), ("POST", Fault::Busy)] {
        proxy.plan(step, fault, u32::MAX);
        let taken = lab.store.submit(lab.new_request(&inputs)).await;
        assert!(is_away(&taken), "{step}: {:?}", taken.err());
        proxy.heal();
        assert_eq!(server.names().await, Vec::<String>::new());
        let open = server.ask("GET /muster?uploads").await;
        assert!(
            open.contains("ListMultipartUploadsResult") && !open.contains("<UploadId>"),
            "{open}"
        );
    }
    assert_eq!(lab.raw.number("SELECT COUNT(*) FROM request").await, 0);
}

#[tokio::test]
async fn a_put_whose_answer_was_lost_is_done_again_and_counts_once() {
    let (lab, server, proxy) = behind_a_proxy().await;
    proxy.plan("PUT", Fault::AnswerLost, 1);
    let id = submit_large(&lab).await.expect("it is taken").request.id;
    assert_eq!(proxy.seen("PUT"), 2);
    proxy.plan("PUT", Fault::AnswerLost, 1);
    let task = lab.claim(10).await.remove(0);
    assert!(complete_large(&lab, &task).await.expect("an answer"));
    assert_eq!(proxy.seen("PUT"), 4);
    assert_eq!(server.names().await.len(), 2);
    every_row_has_its_object(&lab, &server).await;
    lab.download(id, Format::Csv).await.expect("a result");
}

#[tokio::test]
async fn a_storage_that_is_busy_for_a_moment_is_waited_for() {
    let (lab, server, proxy) = behind_a_proxy().await;
    for what in ["PUT", "GET"] {
        proxy.plan(what, Fault::Busy, 2);
        let (id, ..) = ended(&lab).await;
        lab.download(id, Format::Csv).await.expect("a result");
    }
    every_row_has_its_object(&lab, &server).await;
}

/// Busy, silent, or one that does everything and never says so.
#[tokio::test]
async fn a_storage_that_does_not_answer_takes_nothing_and_is_reported_in_time() {
    let (mut lab, server, proxy) = behind_a_proxy().await;
    lab.move_to(hasty_objects(proxy.address)).await;
    let id = submit_large(&lab).await.expect("it is taken").request.id;
    let task = lab.claim(10).await.remove(0);
    for fault in [Fault::Busy, Fault::Stall, Fault::AnswerLost] {
        proxy.plan(" ", fault, u32::MAX);
        let started = Instant::now();
        let (taken, stored, read) = tokio::join!(
            submit_large(&lab),
            complete_large(&lab, &task),
            lab.store.load_inputs(&task)
        );
        assert!(started.elapsed() < Duration::from_secs(30), "{fault:?}: {:?}", started.elapsed());
        assert!(is_away(&taken) && is_away(&stored) && is_away(&read), "{fault:?}");
        proxy.heal();
        assert_eq!(lab.raw.number("SELECT COUNT(*) FROM request").await, 1, "{fault:?}");
        assert_eq!(lab.find(id).await.phase.name(), "running");
        every_row_has_its_object(&lab, &server).await;
    }
    assert!(complete_large(&lab, &task).await.expect("it is back"));
    lab.download(id, Format::Csv).await.expect("a result");
    // What was stored and never came to be goes; what rows point to stays.
    let before = server.names().await.len() as u64;
    let removed = lab.store.sweep_objects(Duration::ZERO, 1000).await.expect("an answer");
    assert_eq!(server.names().await.len() as u64, before - removed);
    assert_eq!((removed, server.names().await.len()), (1, 2));
    every_row_has_its_object(&lab, &server).await;
}

#[tokio::test]
async fn a_bucket_that_is_not_there_takes_nothing() {
    let mut lab = Lab::sqlite().await;
    let server = S3Server::start().await;
    lab.move_to(objects(server.address)).await;
    server.ask("DELETE /muster").await;
    assert!(is_away(&submit_large(&lab).await));
    assert_eq!(lab.raw.number("SELECT COUNT(*) FROM request").await, 0);
}
