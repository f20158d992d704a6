//! What a cluster refuses, loses and says, as a whole hub lives through it.
//! brief: IN-1, IN-3, NS-2, NS-3

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fake_kube::actors::Order;
use fake_kube::{Asked, Config, Fault, Kind, Resource, What};
use serde_json::{Value, json};

use crate::pods::{Kube, NAMESPACE, PUBLISHED, SLOW, instances, model, world};
use crate::support::{Hub, Output, PASSWORD, until};

/// What administrators are told of it, once it waits.
fn until_it_says(hub: &Hub, words: &str) {
    until(&format!("an instance says {words:?}"), || {
        instances(hub).iter().any(|it| {
            let id = it["id"].as_str().expect("an id");
            hub.good(&["instance", "show", id, "--json"]).text.contains(words)
        })
    });
}

fn waiting_reason(hub: &Hub) -> String {
    let all = hub.good(&["requests", "--json"]).json();
    all["items"][0]["waiting_reason"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_quota_a_policy_and_a_namespace_that_goes_are_told_and_nothing_is_lost() {
    let world = world();
    let refuses = Arc::new(AtomicBool::new(false));
    let said = Arc::clone(&refuses);
    let admission = Arc::new(move |asked: &Asked<'_>| match asked.verb {
        "create" if *asked.of == Resource::pods() && said.load(Ordering::Relaxed) => {
            Err("admission webhook \"lab.example.org\" denied the request: not today".to_owned())
        }
        _ => Ok(()),
    });
    let config = Config { admission: Some(admission), ..Config::default() };
    let kube = Kube::start_with(&world, &[("n1", "4")], config);
    let hub = kube.hub(&world, &model(PUBLISHED, json!({"idle_seconds": 1})));
    // A policy refuses what is asked for: that is the model's to change, and who waits is told.
    refuses.store(true, Ordering::Relaxed);
    hub.muster(&["run", "lengths", "--input", "abc", "--quiet"]).fails(1, &["not today"]);
    refuses.store(false, Ordering::Relaxed);
    hub.world.write("again.json", json!({"version": "2"}).to_string());
    hub.good(&["models", "edit", "lengths", "again.json"]);
    // A quota has no room now.
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota",
        "metadata": {"name": "few", "namespace": NAMESPACE}, "spec": {"hard": {"pods": "0"}}});
    kube.create(&Resource::resource_quotas(), quota);
    let begun = hub.begin(&["run", "lengths", "--input", "abcd", "--quiet"]);
    until_it_says(&hub, "quota has no room");
    until("who waits reads it plainly", || {
        waiting_reason(&hub) == "The model is starting: it waits for its turn in the cluster."
    });
    let objects = kube.fake.objects();
    let more = |quota: &mut Value| {
        quota["spec"]["hard"]["pods"] = json!("5");
        quota["status"] = json!({"hard": {"pods": "5"}, "used": {"pods": "0"}});
    };
    objects.change(&Resource::resource_quotas(), Some(NAMESPACE), "few", more).expect("a quota");
    let output = Output::from(begun.wait_with_output().expect("it ends"));
    assert_eq!(output.text, "input,length\nabcd,4\n", "{output:?}");
    until("nobody needs it", || kube.pods().is_empty());
    // The namespace is being deleted, and is there again: nobody's request fails for that.
    let phase = |ends: bool| {
        move |namespace: &mut Value| {
            let metadata = namespace["metadata"].as_object_mut().expect("metadata");
            if ends {
                metadata.insert("deletionTimestamp".into(), json!("2026-11-28T14:00:00Z"));
                metadata.insert("finalizers".into(), json!(["example.org/test"]));
            } else {
                metadata.remove("deletionTimestamp");
            }
            namespace["status"]["phase"] = json!(if ends { "Terminating" } else { "Active" });
        }
    };
    objects.change(&Resource::namespaces(), None, NAMESPACE, phase(true)).expect("a namespace");
    let begun = hub.begin(&["run", "lengths", "--input", "abcde", "--quiet"]);
    until("it is refused", || {
        let ended = hub.good(&["instances", "--ended", "--json"]).text;
        ended.contains("because it is being terminated")
    });
    objects.change(&Resource::namespaces(), None, NAMESPACE, phase(false)).expect("a namespace");
    let output = Output::from(begun.wait_with_output().expect("it ends"));
    assert_eq!(output.text, "input,length\nabcde,5\n", "{output:?}");
}

#[test]
fn a_node_is_drained_by_kubectl_and_clocks_differ() {
    let world = world();
    let kube = Kube::start(&world, &[("n1", "4"), ("n2", "4")]);
    kube.order(Order::Skew { seconds: 3600 });
    let limits =
        json!({"batch_size": 1, "max_instances": 1, "max_attempts": 1, "idle_seconds": 300});
    let hub = kube.hub(&world, &model(SLOW, limits));
    world.write("four.csv", "input\na\nbb\nccc\ndddd\n");
    let begun = hub.begin(&["run", "lengths", "four.csv", "--no-cache", "--quiet"]);
    kube.running();
    let done = || hub.good(&["requests", "--json"]).json()["items"][0]["done"].as_u64();
    until("it works", || done() >= Some(1));
    let pods = kube.pods();
    let at = pods[0]["spec"]["nodeName"].as_str().expect("a node").to_owned();
    let programs = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kubectl");
    let need = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/need-kubectl");
    let there = Command::new(need).arg(&programs).output().expect("it runs");
    assert!(there.status.success(), "{}", String::from_utf8_lossy(&there.stderr));
    let drained = Command::new(programs.join("kubectl-1.33"))
        .args(["drain", &at, "--force", "--ignore-daemonsets", "--delete-emptydir-data"])
        .env("KUBECONFIG", world.path("kubeconfig"))
        .output()
        .expect("kubectl");
    assert!(drained.status.success(), "{}", String::from_utf8_lossy(&drained.stderr));
    let output = Output::from(begun.wait_with_output().expect("it ends"));
    assert_eq!(output.text, "input,length\na,1\nbb,2\nccc,3\ndddd,4\n", "{output:?}");
    let ended = hub.good(&["instances", "--ended", "--json"]).json();
    assert_eq!(ended["items"][0]["end"]["cause"], "evicted", "{ended}");
    let now = instances(&hub).remove(0);
    assert_ne!(now["node"].as_str(), Some(&*at), "{now}");
    // Times are the hub's own, whatever the cluster's clock says.
    let started = now["start_seconds"].as_f64().expect("it is ready");
    assert!((0.0..60.0).contains(&started), "{now}");
}

#[test]
fn administrators_are_told_of_the_cluster_and_of_who_makes_its_nodes() {
    let world = world();
    let kind = |plural, kind| Kind::custom("karpenter.sh", &["v1"], plural, kind).of_the_cluster();
    let kinds = vec![kind("nodepools", "NodePool"), kind("nodeclaims", "NodeClaim")];
    let kube = Kube::start_with(&world, &[("n1", "4")], Config { kinds, ..Config::default() });
    let claim = json!({"apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "metadata": {"name": "gpu-1"},
        "status": {"conditions": [{"type": "Launched", "status": "False", "reason": "NoCapacity",
            "message": "none left", "lastTransitionTime": "2026-11-28T14:00:00Z"}]}});
    kube.create(&Resource::new("karpenter.sh", "v1", "nodeclaims"), claim);
    let hub = kube.hub(&world, &model(PUBLISHED, json!({})));
    let said = hub.good(&["nodes", "autoscalers"]).text;
    for part in [
        "Cluster Autoscaler: is not there",
        "Karpenter: is there",
        "  claim gpu-1: Launched is False: NoCapacity: none left",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let told = hub.good(&["nodes", "autoscalers", "--json"]).json();
    assert_eq!((&told["items"][1]["present"], &told["unseen"]), (&json!(true), &Value::Null));
    let doctor = |state: &str, words: &str| {
        let mut doctor =
            world.command(&["doctor", "--json", "--cluster", "kubernetes", "--data-dir", "data"]);
        crate::pods::fill(&world, &mut doctor);
        let said = Output::of(doctor).json();
        let checks = said["checks"].as_array().expect("checks").clone();
        let is_so = |it: &Value| {
            it["state"] == state && it["what"].as_str().is_some_and(|what| what.contains(words))
        };
        assert!(checks.iter().any(is_so), "{state} {words}: {said}");
    };
    doctor("good", "all 23 that the hub uses");
    doctor("good", "claim gpu-1");
    kube.fake.faults().set(Fault::new(What::Unauthorized));
    doctor("broken", "its token ran out");
    let token = admins_token(&hub);
    let state = || {
        let auth = format!("Authorization: Bearer {token}");
        let url = format!("{}/api/v1/hub/state", hub.url());
        Output::of(world.curl(&["-s", "-H", &auth, &url])).json()
    };
    until("the page of health says it too", || {
        let state = state();
        let checks = state["checks"].as_array().expect("checks").clone();
        let of = |it: &&Value| it["name"] == "kubernetes";
        let found = checks.iter().find(of).expect("it is checked").clone();
        state["good"] == false
            && found["what"].as_str().is_some_and(|it| it.contains("token ran out"))
    });
    kube.fake.faults().clear();
    until("all is well again", || state()["good"] == true);
}

fn admins_token(hub: &Hub) -> String {
    let body = json!({"name": "root", "password": PASSWORD}).to_string();
    let url = format!("{}/api/v1/session", hub.url());
    let kind = "Content-Type: application/json";
    let made = hub.world.curl(&["-s", "-X", "POST", "-H", kind, "-d", &body, &url]);
    Output::of(made).json()["token"].as_str().expect("a token").to_owned()
}
