use std::time::Duration;

use muster_cluster::{Cluster, Work};
use muster_core::{InstanceId, RequestId};
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use crate::world::{World, until, world};

const SAFE: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict";

fn work(ids: std::ops::Range<u128>) -> Work {
    Work { requests: ids.map(|id| RequestId(Uuid::from_u128(id))).collect() }
}

fn annotation(world: &World, id: InstanceId, name: &str) -> Value {
    world.pod(id).map_or(Value::Null, |pod| pod["metadata"]["annotations"][name].clone())
}

#[tokio::test]
async fn a_busy_pod_says_so_at_once_and_an_idle_one_soon() {
    let world = world().await;
    let id = world.ready().await;
    assert_eq!(annotation(&world, id, SAFE), "true", "it was made idle");
    let began = Instant::now();
    world.kube.work(id, work(1..2));
    until("it is busy", || annotation(&world, id, SAFE) == "false").await;
    assert!(began.elapsed() < Duration::from_millis(800), "{:?}", began.elapsed());
    assert_eq!(annotation(&world, id, "karpenter.sh/do-not-disrupt"), "true");
    assert_eq!(
        annotation(&world, id, "muster.dev/request-ids"),
        "00000000-0000-0000-0000-000000000001"
    );
    for n in 2..30 {
        world.kube.work(id, work(n..n + 1));
        world.kube.work(id, Work::default());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let took = began.elapsed().as_secs() + 1;
    assert!(world.calls("patch", "pods") <= took + 1, "at most one a second");
    until("it is idle", || annotation(&world, id, SAFE) == "true").await;
    assert_eq!(annotation(&world, id, "karpenter.sh/do-not-disrupt"), Value::Null);
    assert_eq!(annotation(&world, id, "muster.dev/request-ids"), Value::Null);
}

#[tokio::test]
async fn marks_that_somebody_changed_are_put_right() {
    let world = world().await;
    let id = world.ready().await;
    world.kube.work(id, work(1..2));
    until("it is busy", || annotation(&world, id, SAFE) == "false").await;
    world.write(id, |pod| pod["metadata"]["annotations"][SAFE] = json!("true"));
    until("it is busy again", || annotation(&world, id, SAFE) == "false").await;
}

#[tokio::test]
async fn a_mark_that_could_not_be_written_is_written_later() {
    let world = world().await;
    let id = world.ready().await;
    world.fake.faults().set(fake_kube::Fault::new(fake_kube::What::Fail).verb("patch").times(2));
    world.kube.work(id, work(1..2));
    until("it is busy", || annotation(&world, id, SAFE) == "false").await;
}

#[tokio::test]
async fn marks_that_somebody_writes_otherwise_each_time_are_given_up() {
    let world = world().await;
    let id = world.ready().await;
    let before = world.calls("patch", "pods");
    world.kube.work(id, work(1..2));
    let began = Instant::now();
    // At most one a second is written, and five of the same.
    while began.elapsed() < Duration::from_secs(8) {
        if annotation(&world, id, SAFE) == "false" {
            world.write(id, |pod| pod["metadata"]["annotations"][SAFE] = json!("true"));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(world.calls("patch", "pods") - before, 5);
    assert!(world.is_ready(id));
    world.kube.work(id, work(2..3));
    until("what is new is written once", || world.calls("patch", "pods") - before == 6).await;
}
