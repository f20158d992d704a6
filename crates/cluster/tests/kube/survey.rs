//! What an administrator is told of a cluster that is asked.

use std::collections::BTreeMap;
use std::time::Duration;

use fake_kube::{Config, FakeKube, Fault, Kind, Resource, Tls, User, What};
use muster_cluster::kube::{Survey, client, sights};
use muster_cluster::{Cluster, Sight, Watched};
use muster_core::room::Scaler;
use muster_core::{Check, CheckState, Timestamp};
use serde_json::{Value, json};

use crate::world::{NAMESPACE, until, world};

const STATUS: &str = "\
time: 2026-11-28 14:00:00
autoscalerStatus: Running
nodeGroups:
- name: gpu-a
  health:
    status: Healthy
    cloudProviderTarget: 1
    minSize: 0
    maxSize: 4
  scaleUp:
    status: Backoff
    backoffInfo:
      errorCode: QUOTA_EXCEEDED
      errorMessage: no more GPUs of this kind
";

async fn served(config: Config) -> FakeKube {
    drop(rustls::crypto::ring::default_provider().install_default());
    let fake = FakeKube::start(config).await.expect("a cluster");
    let namespace =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
    fake.objects().create(&Resource::namespaces(), namespace).expect("a namespace");
    fake
}

async fn survey_with(kubeconfig: &str) -> Survey {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("kubeconfig");
    std::fs::write(&path, kubeconfig).expect("a file");
    Survey::new(client(Some(&path), None).await.expect("a client"), Some(NAMESPACE), true)
}

async fn survey(fake: &FakeKube) -> Survey {
    survey_with(&fake.kubeconfig()).await
}

async fn scalers(fake: &FakeKube) -> Vec<Scaler> {
    survey(fake).await.scalers().await.expect("it answers")
}

fn is_there(all: &[Scaler]) -> Vec<(&str, Option<bool>)> {
    all.iter().map(|it| (&*it.name, it.is_there)).collect()
}

fn says<'a>(all: &'a [Scaler], name: &str) -> &'a [String] {
    &all.iter().find(|it| it.name == name).unwrap_or_else(|| panic!("{name}: {all:?}")).says
}

fn karpenter() -> Config {
    let kind = |plural, kind| Kind::custom("karpenter.sh", &["v1"], plural, kind).of_the_cluster();
    let kinds = vec![kind("nodepools", "NodePool"), kind("nodeclaims", "NodeClaim")];
    Config { kinds, ..Config::default() }
}

fn status_map() -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
        "name": "cluster-autoscaler-status", "namespace": "kube-system",
        "annotations": {"cluster-autoscaler.kubernetes.io/last-updated": "2026-11-28 14:00:00.1 +0000 UTC"},
    }, "data": {"status": STATUS}})
}

fn event(name: &str, by: &str, (reason, message): (&str, &str)) -> Value {
    json!({"apiVersion": "v1", "kind": "Event",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "involvedObject": {"kind": "Pod", "name": "a", "namespace": NAMESPACE},
        "reason": reason, "message": message, "type": "Normal", "count": 1,
        "source": {"component": by}, "reportingComponent": by,
        "lastTimestamp": "2026-11-28T14:00:00Z"})
}

#[tokio::test]
async fn a_cluster_without_autoscalers_says_so() {
    let fake = served(Config::default()).await;
    let all = scalers(&fake).await;
    let none = [("Cluster Autoscaler", Some(false)), ("Karpenter", Some(false))];
    assert_eq!(is_there(&all), none);
    assert!(all.iter().all(|it| it.says.is_empty()), "{all:?}");
}

#[tokio::test]
async fn what_the_cluster_autoscaler_wrote_down_is_told() {
    let fake = served(Config::default()).await;
    fake.objects().create(&Resource::config_maps(), status_map()).expect("a map");
    let words = "pod triggered scale-up: [{gpu-a 0->1 (max: 4)}]";
    let said = event("e", "cluster-autoscaler", ("TriggeredScaleUp", words));
    fake.objects().create(&Resource::events(), said).expect("an event");
    let all = scalers(&fake).await;
    assert_eq!(is_there(&all)[0], ("Cluster Autoscaler", Some(true)));
    assert_eq!(
        says(&all, "Cluster Autoscaler"),
        [
            "it wrote down how it is at 2026-11-28 14:00:00.1 +0000 UTC",
            "gpu-a is healthy, its target is 1 of 0 to 4; it is left alone for a while: QUOTA_EXCEEDED: no more GPUs of this kind",
            "the last that was heard of it: it makes nodes for it: gpu-a from 0 to 1 nodes",
        ]
    );
}

#[tokio::test]
async fn karpenters_claims_are_told_with_what_they_say() {
    let fake = served(karpenter()).await;
    let condition = |kind: &str, status: &str, reason: &str, message: &str| {
        json!({"type": kind, "status": status, "reason": reason, "message": message,
            "lastTransitionTime": "2026-11-28T14:00:00Z"})
    };
    let make = |kind: &str, plural: &str, name: &str, conditions: Value| {
        let object = json!({"apiVersion": "karpenter.sh/v1", "kind": kind,
            "metadata": {"name": name}, "status": {"conditions": conditions}});
        fake.objects()
            .create(&Resource::new("karpenter.sh", "v1", plural), object)
            .expect("it is made");
    };
    make("NodePool", "nodepools", "gpu", json!([condition("Ready", "True", "Ready", "")]));
    let short = "no instance of that type can be had";
    let lacks = condition("Launched", "False", "InsufficientCapacityError", short);
    let waits = condition("Registered", "Unknown", "AwaitingReconciliation", "object is awaiting");
    let not_ready = condition("Ready", "Unknown", "ReconcilingDependents", "");
    make("NodeClaim", "nodeclaims", "gpu-x1", json!([not_ready, lacks, waits]));
    let good = [condition("Launched", "True", "", ""), condition("Drifted", "False", "", "")];
    make("NodeClaim", "nodeclaims", "gpu-x2", json!(good));
    let all = scalers(&fake).await;
    assert_eq!(is_there(&all)[1], ("Karpenter", Some(true)));
    assert_eq!(
        says(&all, "Karpenter"),
        [
            "it has 1 pool: gpu".to_owned(),
            "it has 2 claims".to_owned(),
            format!("claim gpu-x1: Launched is False: InsufficientCapacityError: {short}"),
        ]
    );
}

#[tokio::test]
async fn one_that_nobody_knows_is_named_as_it_names_itself() {
    let fake = served(Config::default()).await;
    let words = "pod didn't trigger scale-up: 1 max node group size reached";
    let said = event("e", "managed-scaler", ("NotTriggerScaleUp", words));
    fake.objects().create(&Resource::events(), said).expect("an event");
    // That is the scheduler, of which nobody says that it makes nodes.
    let scheduler =
        event("f", "default-scheduler", ("FailedScheduling", "0/3 nodes are available"));
    fake.objects().create(&Resource::events(), scheduler).expect("an event");
    let all = scalers(&fake).await;
    assert_eq!(is_there(&all)[2..], [("managed-scaler", Some(true))]);
    assert!(says(&all, "managed-scaler")[0].contains("max node group size reached"), "{all:?}");
}

#[tokio::test]
async fn what_the_hub_may_not_see_is_said() {
    let user = User::service_account(NAMESPACE, "hub");
    let tokens = BTreeMap::from([("t".to_owned(), user)]);
    let fake = served(Config { tokens, ..karpenter() }).await;
    fake.objects().create(&Resource::config_maps(), status_map()).expect("a map");
    let survey = survey_with(&fake.kubeconfig_with(Some("t"))).await;
    let all = survey.scalers().await.expect("it answers");
    let expected = [("Cluster Autoscaler", None), ("Karpenter", Some(true)), ("others", None)];
    assert_eq!(is_there(&all), expected);
    for name in ["Cluster Autoscaler", "Karpenter", "others"] {
        assert!(says(&all, name)[0].contains("the hub may not see"), "{name}: {all:?}");
    }
    let checks = survey.examine().await;
    let found = |name: &str| checks.iter().find(|it| it.name == name).expect("it is checked");
    assert_eq!(found("kubernetes").state, CheckState::Broken);
    assert!(found("kubernetes").what.contains("it may not create pods"), "{checks:?}");
    assert_eq!(found("autoscalers").state, CheckState::Note);
}

#[tokio::test]
async fn a_cluster_that_is_as_it_has_to_be_is_good() {
    let fake = served(Config::default()).await;
    let checks = survey(&fake).await.examine().await;
    assert!(checks.iter().all(|it| it.state == CheckState::Good), "{checks:?}");
    let autoscalers = checks.iter().find(|it| it.name == "autoscalers").expect("it is checked");
    assert_eq!(autoscalers.what, "Cluster Autoscaler is not there, Karpenter is not there");
}

fn the_only(checks: &[Check]) -> &Check {
    assert_eq!(checks.len(), 1, "{checks:?}");
    &checks[0]
}

#[tokio::test]
async fn a_token_that_ran_out_an_authority_that_is_another_and_an_api_that_is_away_are_named() {
    let tls =
        || Config { tls: Some(Tls::throwaway().expect("a certificate")), ..Config::default() };
    let fake = served(tls()).await;
    let survey = survey(&fake).await;
    fake.faults().set(Fault::new(What::Unauthorized));
    let checks = survey.examine().await;
    assert_eq!(the_only(&checks).state, CheckState::Broken);
    assert!(the_only(&checks).what.contains("its token ran out"), "{checks:?}");
    let why = survey.scalers().await.expect_err("nothing can be asked");
    assert!(why.contains("its token ran out"), "{why}");
    fake.faults().clear();
    let other = served(tls()).await;
    let mut kubeconfig: Value = serde_json::from_str(&fake.kubeconfig()).expect("JSON");
    let theirs: Value = serde_json::from_str(&other.kubeconfig()).expect("JSON");
    kubeconfig["clusters"][0]["cluster"]["certificate-authority-data"] =
        theirs["clusters"][0]["cluster"]["certificate-authority-data"].clone();
    let checks = survey_with(&kubeconfig.to_string()).await.examine().await;
    assert!(the_only(&checks).what.contains("is not of the authority"), "{checks:?}");
    drop(other);
    let gone = survey_with(&fake.kubeconfig()).await;
    drop(fake);
    let checks = gone.examine().await;
    assert_eq!(the_only(&checks).state, CheckState::Broken);
    assert!(the_only(&checks).what.starts_with("the API does not answer"), "{checks:?}");
}

#[tokio::test]
async fn what_a_hub_does_not_see_any_more_is_told_with_the_reason() {
    let world = world().await;
    world.settled().await;
    assert_eq!(sights(&world.kube.around().watches).state, CheckState::Good);
    let faults = world.fake.faults();
    faults.set(Fault::new(What::Unauthorized));
    faults.set(Fault::new(What::Drop).verb("watch"));
    until("it is told", || {
        let check = sights(&world.kube.around().watches);
        check.state == CheckState::Broken && check.what.contains("its token ran out")
    })
    .await;
    faults.clear();
    until("all is seen again", || sights(&world.kube.around().watches).state == CheckState::Good)
        .await;
    let forbidden = Sight::Forbidden { why: "no right".into() };
    let watched = |sight| Watched { what: "nodes", sight };
    let note = sights(&[watched(forbidden), watched(Sight::Fresh { heard: Timestamp(1) })]);
    assert_eq!((note.state, &*note.what), (CheckState::Note, "not seen: nodes: no right"));
}

/// The library reads the file again after 50 seconds at the latest; nothing else is waited for here.
#[tokio::test]
async fn a_new_token_in_the_file_is_used_while_the_hub_runs() {
    let user = User::admin();
    let tokens = BTreeMap::from([("old".to_owned(), user.clone()), ("new".to_owned(), user)]);
    let fake = served(Config { tokens, ..Config::default() }).await;
    let dir = tempfile::tempdir().expect("a folder");
    let (token, path) = (dir.path().join("token"), dir.path().join("kubeconfig"));
    std::fs::write(&token, "old").expect("a file");
    let mut kubeconfig: Value = serde_json::from_str(&fake.kubeconfig_with(None)).expect("JSON");
    kubeconfig["users"][0]["user"] = json!({"tokenFile": token});
    std::fs::write(&path, kubeconfig.to_string()).expect("a file");
    let client = client(Some(&path), None).await.expect("a client");
    let survey = Survey::new(client, Some(NAMESPACE), true);
    let state = async || survey.examine().await[0].state;
    assert_eq!(state().await, CheckState::Good);
    std::fs::write(&token, "new").expect("a file");
    fake.revoke("old");
    assert_eq!(state().await, CheckState::Broken, "the old one is refused");
    let begun = tokio::time::Instant::now();
    while state().await != CheckState::Good {
        assert!(begun.elapsed() < Duration::from_secs(70), "it is never read again");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
