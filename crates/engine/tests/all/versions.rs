//! A model that changes while requests wait for it and instances of it start.

use std::sync::atomic::Ordering;
use std::time::Duration;

use muster_core::instance::EndCause;
use muster_store::Database;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};

use crate::hub::{Hub, Setup, echo, limits};

const LONG: Duration = Duration::from_secs(20);

/// Waits until an instance is launched; it stays at loading.
async fn launched(hub: &Hub) -> muster_core::InstanceId {
    let mut happened = hub.cluster.happened();
    let launched = async {
        while hub.cluster.live().is_empty() {
            happened.changed().await.expect("the cluster is there");
        }
    };
    tokio::time::timeout(LONG, launched).await.expect("it is launched");
    hub.cluster.live()[0]
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_serves_only_the_version_that_it_was_launched_for() {
    let hub = Hub::with(limits(), true, None, echo).await;
    hub.cluster.never_ready.store(true, Ordering::SeqCst);
    let submitted = hub.submit(&["a"]).await;
    let old = launched(&hub).await;
    hub.cluster.never_ready.store(false, Ordering::SeqCst);
    // Ready before anybody could tell it to go.
    hub.edit("2").await;
    hub.cluster.get_ready(old);
    let ended = submitted.ended.wait(LONG).await.expect("it ends").request;
    assert_eq!((ended.phase.name(), ended.model_version.as_str()), ("completed", "2"));
    let calls = hub.cluster.calls.lock().expect("no panic").clone();
    assert!(calls.iter().all(|(by, _)| *by != old), "the old one answered for the new version");
    assert_eq!(calls.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_is_stranded_at_another_version_is_moved_and_done() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("muster.db");
    let database = Database::Sqlite { file: file.clone() };
    let hub = Hub::on(Setup { database, ..Setup::default() }, echo).await;
    hub.cluster.never_ready.store(true, Ordering::SeqCst);
    let submitted = hub.submit(&["a"]).await;
    let instance = launched(&hub).await;
    let raw = SqlitePool::connect_with(SqliteConnectOptions::new().filename(&file)).await;
    let raw = raw.expect("the database");
    // At once: what is seen between the two would be moved already.
    let strand = "BEGIN IMMEDIATE; UPDATE task SET model_version = '0'; \
                  UPDATE request SET model_version = '0'; COMMIT";
    sqlx::raw_sql(strand).execute(&raw).await.expect("it is stranded");
    hub.cluster.get_ready(instance);
    let ended = submitted.ended.wait(LONG).await.expect("it ends").request;
    assert_eq!((ended.phase.name(), ended.model_version.as_str()), ("completed", "1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mended_model_does_not_wait_for_what_its_old_version_failed_at() {
    let cause = EndCause::not_started("there is no such package");
    let hub = Hub::with(limits(), false, Some(cause), echo).await;
    hub.cluster.failing.store(1, Ordering::SeqCst);
    assert_eq!(hub.run(&["a"]).await.phase.name(), "failed");
    hub.edit("2").await;
    assert_eq!(hub.run(&["b"]).await.phase.name(), "completed");
}
