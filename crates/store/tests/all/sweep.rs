//! Objects that no row points to go; the others stay. I-10.

use std::path::PathBuf;
use std::time::Duration;

use muster_core::EndCause;
use muster_store::{ClaimedTask, Error, Format, InstanceNotes};

use crate::instance_notes::{note, notes};
use crate::instances::ready;
use crate::lab::{Lab, again, done};

on_both!(
    the_object_of_a_refused_write_goes_and_the_one_that_counts_stays,
    an_object_that_may_still_get_its_row_stays,
    a_sweep_goes_on_where_the_last_one_ended,
    what_is_young_or_not_ours_stays,
    a_row_whose_object_is_not_there_is_found,
    a_log_whose_object_is_not_there_is_found,
);

const NOW: Duration = Duration::ZERO;
const DAY: Duration = Duration::from_secs(24 * 3600);

fn path(lab: &Lab, name: &str) -> PathBuf {
    lab.folder.path().join("objects").join(name)
}

async fn complete(lab: &Lab, task: &ClaimedTask) -> Result<Vec<bool>, Error> {
    let record = r#"{"t": "a text that is long enough to be an object of its own"}"#;
    let records = vec![record; task.count as usize].join(",");
    lab.store.complete(vec![done(task, &format!("[{records}]"))]).await
}

async fn sweep(lab: &Lab, older_than: Duration, most: usize) -> u64 {
    lab.store.sweep_objects(older_than, most).await.expect("an answer")
}

async fn the_object_of_a_refused_write_goes_and_the_one_that_counts_stays(mut lab: Lab) {
    lab.restart(16).await;
    let id = lab.submit(&["an input for object storage"; 5]).await.id;
    let first = lab.claim(10).await.remove(0);
    lab.give_back(&first, again(false)).await;
    let second = lab.claim(10).await.remove(0);
    assert_eq!(complete(&lab, &second).await.expect("an answer"), [true]);
    assert_eq!(complete(&lab, &first).await.expect("an answer"), [false]);
    let refused = path(&lab, &format!("results/{id}/0-1.parquet"));
    assert!(refused.exists());
    let before = lab.download(id, Format::Csv).await.expect("a result");
    assert_eq!(sweep(&lab, DAY, 1000).await, 0);
    assert_eq!(sweep(&lab, NOW, 1000).await, 1);
    assert!(!refused.exists());
    assert_eq!(sweep(&lab, NOW, 1000).await, 0);
    assert_eq!(lab.download(id, Format::Csv).await.expect("a result"), before);
}

async fn an_object_that_may_still_get_its_row_stays(mut lab: Lab) {
    lab.restart(16).await;
    let id = lab.submit(&["an input for object storage"; 5]).await.id;
    let task = lab.claim(10).await.remove(0);
    let object = path(&lab, &format!("results/{id}/0-1.parquet"));
    std::fs::create_dir_all(object.parent().expect("a folder")).expect("a folder");
    std::fs::write(&object, "stored, and its row is on its way").expect("a file");
    assert_eq!(sweep(&lab, NOW, 1000).await, 0);
    lab.give_back(&task, again(false)).await;
    assert_eq!(sweep(&lab, NOW, 1000).await, 1, "nobody writes for this attempt any more");
    assert!(!object.exists());
}

async fn a_sweep_goes_on_where_the_last_one_ended(mut lab: Lab) {
    lab.restart(16).await;
    for _ in 0..3 {
        lab.submit(&["an input for object storage"; 5]).await;
    }
    for _ in 0..5 {
        let orphan = path(&lab, &format!("inputs/{}", lab.store.clock().id()));
        std::fs::write(orphan, "of a request that was never written").expect("a file");
    }
    let mut removed = Vec::new();
    for _ in 0..5 {
        removed.push(sweep(&lab, NOW, 2).await);
    }
    assert!(removed.iter().all(|removed| *removed <= 2), "{removed:?}");
    assert_eq!(removed.iter().sum::<u64>(), 5);
    assert_eq!(std::fs::read_dir(path(&lab, "inputs")).expect("a folder").count(), 3);
    assert_eq!(sweep(&lab, NOW, 1000).await, 0);
}

async fn what_is_young_or_not_ours_stays(lab: Lab) {
    let orphan = path(&lab, &format!("inputs/{}", lab.store.clock().id()));
    let notes = path(&lab, "inputs/notes.txt");
    let backup = path(&lab, &format!("backup/inputs/{}", lab.store.clock().id()));
    for file in [&orphan, &notes, &backup] {
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        std::fs::write(file, "something").expect("a file");
    }
    assert_eq!(sweep(&lab, DAY, 1000).await, 0);
    let long_ago = std::time::SystemTime::UNIX_EPOCH;
    let file = std::fs::File::options().write(true).open(&orphan).expect("the file");
    file.set_modified(long_ago).expect("an old file");
    assert_eq!(sweep(&lab, DAY, 1000).await, 1);
    assert!(!orphan.exists() && notes.exists() && backup.exists());
}

/// The other way: somebody removed what a row points to.
async fn a_row_whose_object_is_not_there_is_found(mut lab: Lab) {
    lab.restart(16).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(lab.submit(&["an input for object storage"; 5]).await.id);
        let task = lab.claim(10).await.remove(0);
        assert_eq!(complete(&lab, &task).await.expect("an answer"), [true]);
    }
    let missing = async |most| lab.store.find_missing_objects(most).await.expect("an answer");
    assert_eq!(missing(1000).await, Vec::<String>::new());
    let lost = [format!("inputs/{}", ids[0]), format!("results/{}/0-1.parquet", ids[2])];
    for name in &lost {
        std::fs::remove_file(path(&lab, name)).expect("it is gone");
    }
    let mut found = Vec::new();
    for _ in 0..4 {
        found.extend(missing(1).await);
    }
    assert_eq!(found, lost, "one request after the other");
    assert_eq!(missing(1000).await, lost, "and from the first again");
    assert_eq!(lab.store.counters().objects_missing.get(), 4);
}

async fn a_log_whose_object_is_not_there_is_found(mut lab: Lab) {
    let first = ready(&lab).await;
    let written = InstanceNotes { log: Some((0, "last words".into())), ..notes(first) };
    note(&lab, written).await;
    lab.store.instance_ended(first, &EndCause::Idle).await.expect("an answer");
    lab.store.keep_log(first).await.expect("it is kept");
    lab.restart(16).await;
    let request = lab.submit(&["an input for object storage"; 5]).await.id;
    let missing = async |most| lab.store.find_missing_objects(most).await.expect("an answer");
    assert_eq!(missing(1000).await, Vec::<String>::new());
    let lost = [format!("logs/{first}"), format!("inputs/{request}")];
    for name in &lost {
        std::fs::remove_file(path(&lab, name)).expect("it is gone");
    }
    assert_eq!(
        (missing(1).await, missing(1).await),
        (vec![lost[0].clone()], vec![lost[1].clone()])
    );
    assert_eq!(missing(1000).await, Vec::<String>::new(), "that was all");
    for table in ["task", "request"] {
        lab.raw.run(&format!("DELETE FROM {table}")).await;
    }
    assert_eq!(missing(1000).await, lost[..1], "also if there are no requests");
}
