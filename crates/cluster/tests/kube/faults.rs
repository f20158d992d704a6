use std::sync::Arc;
use std::time::Duration;

use fake_kube::{Config, Fault, Resource, What};
use muster_cluster::Cluster;
use muster_core::instance::{StartFault, Whose};
use muster_core::waits::{Scheduler, Waits};
use muster_core::{EndCause, ObservedState};
use serde_json::json;
use tokio::time::Instant;

use crate::world::{NAMESPACE, name, until, world, world_of};

#[tokio::test]
async fn a_lost_answer_makes_one_pod() {
    let world = world().await;
    world.settled().await;
    world.fake.faults().set(Fault::new(What::LoseAnswer).verb("create").resource("pods").times(1));
    let id = world.launch();
    world.made(id).await;
    world.run(id);
    until("it is ready", || world.is_ready(id)).await;
    assert_eq!(world.pods(), 1);
}

#[tokio::test]
async fn a_pod_is_made_as_soon_as_the_api_takes_it() {
    let world = world().await;
    world.settled().await;
    let faults = world.fake.faults();
    faults.set(Fault::new(What::TooMany { after: 2 }).verb("create").resource("pods").times(1));
    let began = Instant::now();
    let id = world.launch();
    world.made(id).await;
    assert!(began.elapsed() >= Duration::from_secs(2), "it waits for as long as it is asked to");
    for what in [What::Fail, What::Drop, What::Unauthorized] {
        faults.set(Fault::new(what).verb("create").resource("pods").times(1));
        let id = world.launch();
        world.made(id).await;
    }
    assert_eq!(world.pods(), 4);
}

#[tokio::test]
async fn a_quota_that_is_used_up_is_waited_for() {
    let world = world().await;
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few", "namespace": NAMESPACE},
        "spec": {"hard": {"pods": "0"}},
    });
    world.fake.objects().create(&Resource::resource_quotas(), quota).expect("a quota");
    let id = world.launch();
    let gated = Waits::Scheduler(Scheduler::Gated(vec!["quota: few".into()]));
    let waits =
        || matches!(world.state(id), Some(ObservedState::Starting { waits, .. }) if waits == gated);
    until("it waits for the quota", waits).await;
    let more = |quota: &mut serde_json::Value| {
        quota["spec"]["hard"]["pods"] = json!("5");
        quota["status"] = json!({"hard": {"pods": "5"}, "used": {"pods": "0"}});
    };
    world
        .fake
        .objects()
        .change(&Resource::resource_quotas(), Some(NAMESPACE), "few", more)
        .expect("a quota");
    world.made(id).await;
}

#[tokio::test]
async fn what_the_cluster_will_not_have_is_told_with_its_words() {
    let world = world().await;
    let words = "admission webhook \"images.example.org\" denied the request: no such registry";
    let refuse = What::Refuse { message: words.into() };
    world.fake.faults().set(Fault::new(refuse).verb("create").resource("pods").times(1));
    let id = world.launch();
    let cause = world.over(id).await;
    let EndCause::Refused { why, fault: StartFault::Lasting } = &cause else { panic!("{cause:?}") };
    assert!(why.contains("no such registry"), "{why}");
    assert_eq!(cause.whose(), Whose::Model);
}

#[tokio::test]
async fn a_namespace_that_goes_is_nobodys_fault() {
    let world = world().await;
    let ends = |namespace: &mut serde_json::Value| {
        namespace["metadata"]["deletionTimestamp"] = json!("2026-11-28T14:00:00Z");
        namespace["metadata"]["finalizers"] = json!(["kubernetes"]);
        namespace["status"]["phase"] = json!("Terminating");
    };
    world
        .fake
        .objects()
        .change(&Resource::namespaces(), None, NAMESPACE, ends)
        .expect("a namespace");
    let cause = world.over(world.launch()).await;
    assert!(matches!(&cause, EndCause::Refused { fault: StartFault::Passing, .. }), "{cause:?}");
    assert_eq!(cause.whose(), Whose::Surroundings);
}

#[tokio::test]
async fn while_the_api_is_away_nothing_is_lost_and_it_is_said() {
    let world = world().await;
    let (stays, goes, runs) = (world.ready().await, world.ready().await, world.launch());
    world.made(runs).await;
    world.settled().await;
    world.fake.faults().set(Fault::new(What::Away).lasting(Duration::from_secs(3)));
    until("nothing is seen", || !world.sees_pods()).await;
    assert!(world.kube.around().unseen().is_some());
    assert!(world.is_ready(stays), "what was seen last is what is known");
    let late = world.launch();
    world.remove(goes);
    world.run(runs);
    until("it is seen again", || world.sees_pods()).await;
    until("what became ready is", || world.is_ready(runs)).await;
    let cause = world.over(goes).await;
    assert_ne!(cause.whose(), Whose::Model, "{cause:?}");
    world.made(late).await;
    assert!(world.is_ready(stays));
    assert_eq!(world.pods(), 3);
}

#[tokio::test]
async fn a_watch_that_broke_goes_on_and_one_that_is_too_old_begins_anew() {
    let world = world().await;
    let (stays, goes) = (world.ready().await, world.ready().await);
    world.settled().await;
    for compacts in [false, true] {
        let id = world.launch();
        world.made(id).await;
        world
            .fake
            .faults()
            .set(Fault::new(What::Drop).verb("watch").lasting(Duration::from_millis(1500)));
        world.run(id);
        if compacts {
            world.remove(goes);
            world.fake.objects().compact();
        }
        until("it is ready", || world.is_ready(id)).await;
    }
    world.over(goes).await;
    assert!(world.is_ready(stays));
}

#[tokio::test]
async fn a_watch_that_says_nothing_is_opened_anew() {
    let silence = Duration::from_millis(1500);
    let config = Config { bookmarks: Duration::from_millis(300), ..Config::default() };
    let world =
        world_of(config, None, |config| muster_cluster::kube::KubeConfig { silence, ..config });
    let world = world.await.expect("a hub");
    let id = world.launch();
    world.made(id).await;
    // Of the hub's pods, and of pods of others.
    until("both watch", || world.calls("watch", "pods") >= 2).await;
    let opened = world.calls("watch", "pods");
    world.fake.faults().set(Fault::new(What::Freeze).verb("watch").resource("pods").times(2));
    world.run(id);
    until("it is ready", || world.is_ready(id)).await;
    assert!(world.calls("watch", "pods") > opened, "another watch says it");
}

#[tokio::test]
async fn a_token_that_ran_out_is_told_and_a_new_one_works() {
    let world = world().await;
    let id = world.ready().await;
    let faults = world.fake.faults();
    for fault in [Fault::new(What::Unauthorized), Fault::new(What::Drop).verb("watch").times(10)] {
        faults.set(fault.lasting(Duration::from_secs(2)));
    }
    until("nothing is seen", || !world.sees_pods()).await;
    until("it is seen again", || world.sees_pods()).await;
    assert!(world.is_ready(id));
}

#[tokio::test]
async fn an_older_state_and_words_said_twice_change_nothing() {
    let world = world().await;
    let id = world.ready().await;
    world.settled().await;
    let (before, lists) = (world.kube.find(id), world.calls("list", "pods"));
    let faults = world.fake.faults();
    // Two watches: of the hub's pods, and of all. One version ago the pod did not run.
    faults.set(Fault::new(What::Stale { behind: 1 }).verb("list").resource("pods").times(2));
    faults.set(Fault::new(What::Expired).verb("watch").resource("pods").times(2));
    faults.set(Fault::new(What::Drop).verb("watch").resource("pods").times(2));
    until("both listed what was", || world.calls("list", "pods") >= lists + 2).await;
    faults.set(Fault::new(What::Twice).verb("watch").resource("pods").times(20));
    // It becomes ready by the hub's watch only, after all that.
    let next = world.ready().await;
    until("it is as it was", || world.is_ready(id)).await;
    assert_eq!(world.kube.find(id).map(|it| it.state), before.map(|it| it.state));
    assert!(world.is_ready(next));
}

#[tokio::test]
async fn a_node_that_is_lost_is_nobodys_fault() {
    let world = world().await;
    let id = world.ready().await;
    world.write(id, |pod| {
        pod["metadata"]["deletionTimestamp"] = json!("2026-11-28T14:00:00Z");
        pod["metadata"]["deletionGracePeriodSeconds"] = json!(30);
        pod["status"]["conditions"] = json!([
            {"type": "Ready", "status": "False"},
            {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager",
             "message": "Taint manager: deleting due to NoExecute taint",
             "lastTransitionTime": "2026-11-28T14:00:00Z"},
        ]);
    });
    until("it gets nothing new", || !world.is_ready(id)).await;
    world.fake.objects().remove(&Resource::pods(), Some(NAMESPACE), &name(id)).expect("a pod");
    let cause = world.over(id).await;
    assert!(matches!(cause, EndCause::NodeGone { .. }), "{cause:?}");
    assert_eq!(cause.whose(), Whose::Surroundings);
}

#[tokio::test]
async fn a_burst_of_starts_is_made_in_a_moment() {
    let world = world().await;
    world.settled().await;
    let began = Instant::now();
    let ids: Vec<_> = (0..200).map(|_| world.launch()).collect();
    let world = Arc::new(world);
    until("all are made", || world.pods() == ids.len()).await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(world.kube.observe().len(), ids.len());
}
