//! A dump is a world.

use std::path::Path;

use muster_cluster::kube::read::autoscaler::Autoscaler;
use muster_cluster::kube::read::dump::{Dump, NoDump, read, settled};
use muster_core::plan::{NodesPolicy, Planned, Policy};
use muster_core::room::{NodeId, Owner, Tenant};
use serde_json::{Value, json};

fn small() -> Dump {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dumps/small.json");
    read(&std::fs::read_to_string(path).expect("a dump")).expect("a world")
}

fn tenant<'d>(dump: &'d Dump, id: &str) -> &'d Tenant {
    dump.world.tenants.iter().find(|it| it.id.0 == id).unwrap_or_else(|| panic!("no {id}"))
}

#[test]
fn every_node_has_its_stage_and_its_group() {
    let dump = small();
    let nodes = dump.world.nodes.iter();
    let is: Vec<(&str, &str, &str)> = nodes
        .map(|it| (&*it.id.0, it.stage.name(), it.group.as_ref().map_or("-", |group| &*group.0)))
        .collect();
    assert_eq!(
        is,
        [
            ("control-1", "ready", "-"),
            ("worker-1", "ready", "general"),
            ("worker-2", "ready", "general"),
            ("worker-3", "cordoned", "general"),
            ("worker-4", "leaving", "general"),
            ("worker-5", "unready", "general"),
            ("gpu-1", "ready", "gpu"),
            ("gpu-2", "booting", "gpu"),
        ]
    );
    let gpu = dump.world.groups.iter().find(|it| it.id.0 == "gpu").expect("a group");
    // As the Cluster Autoscaler says.
    assert_eq!((gpu.min, gpu.max, gpu.target), (0, 2, 2));
    let template = gpu.template.as_ref().expect("a template");
    assert_eq!(template.allocatable.of("nvidia.com/gpu"), 2);
    assert_eq!(dump.at.expect("a time").to_string(), "2026-11-20T10:29:40Z");
}

#[test]
fn owners_are_refined_by_what_else_is_there() {
    let dump = small();
    assert_eq!(tenant(&dump, "default/web-1").owner, Owner::Replicated);
    assert_eq!(tenant(&dump, "default/old-1").owner, Owner::None);
    assert_eq!(tenant(&dump, "kube-system/kube-proxy-1").owner, Owner::Daemon);
    let instance = tenant(&dump, "models/descriptors-1");
    assert_eq!(instance.stays_because.as_deref(), Some("it is an instance of a hub"));
    assert!(dump.world.tenants.iter().all(|it| it.id.0 != "default/done"), "it is over");
    let allowed: Vec<u32> = dump.world.budgets.iter().map(|it| it.allowed).collect();
    assert_eq!(allowed, [1, 0]);
}

#[test]
fn what_could_not_be_read_is_named_with_its_field() {
    let dump = small();
    let not_read: Vec<String> = dump.not_read.iter().map(ToString::to_string).collect();
    assert_eq!(not_read.len(), 2, "{not_read:?}");
    assert!(not_read[0].starts_with("Pod default/broken: spec.containers[0]"), "{not_read:?}");
    assert_eq!(not_read[1], "1 of kind \"Service\": they are not needed");
}

#[test]
fn who_waits_is_told_why_and_what_others_say() {
    let dump = small();
    let (world, waits) = settled(&dump.world);
    assert_eq!(world, dump.world, "nobody who waits has room");
    let [train] = &waits[..] else { panic!("{waits:?}") };
    assert_eq!(train.tenant.0, "default/train-2");
    let lack = train.lack.as_ref().expect("a lack").to_string();
    assert_eq!(lack, "others hold it: it needs 2 GPUs (1 there)");
    assert_eq!(train.nearest, Some(NodeId::from("gpu-1")));
    let said = &dump.said[&train.tenant];
    assert!(said.contains("7 Insufficient nvidia.com/gpu"), "{said}");
    assert!(said.contains("Cluster Autoscaler makes no node for it; 1 group"), "{said}");
    assert_eq!(Vec::from_iter(dump.autoscalers.clone()), [Autoscaler::ClusterAutoscaler]);
    assert_eq!(dump.groups[1].failed.as_deref(), Some("QUOTA_EXCEEDED: no more of them in zone a"));
}

#[test]
fn without_a_node_what_was_there_looks_for_a_place() {
    let dump = small();
    let then = dump.world.without(&"worker-1".into());
    let (then, waits) = settled(&then);
    let of = |id: &str| waits.iter().find(|it| it.tenant.0 == id);
    let web = of("default/web-1").expect("it waits");
    assert_eq!((web.fits.clone(), web.displaced), (Some(NodeId::from("worker-2")), true));
    assert!(of("kube-system/kube-proxy-1").is_none(), "it goes with its node");
    let web = then.tenants.iter().find(|it| it.id.0 == "default/web-1").expect("it is there");
    assert_eq!(web.node, Some(NodeId::from("worker-2")), "so that worker-2 is needed");
}

#[test]
fn a_plan_of_a_dump_says_what_could_go_and_why_others_stay() {
    let dump = small();
    let policy = Policy { nodes: NodesPolicy::of_a_moment(), ..Policy::default() };
    let planned = Planned::new(dump.world.clone(), policy, dump.at.expect("a time"));
    let kept: Vec<String> =
        planned.plan.kept.iter().map(|it| format!("{}: {}", it.node, it.why)).collect();
    for line in [
        "gpu-1: Train",
        "worker-3: Somebody else cordoned or drained it.",
        "worker-4: It comes, goes, or is not heard of.",
        "worker-5: It comes, goes, or is not heard of.",
        "gpu-2: It comes, goes, or is not heard of.",
    ] {
        let node = line.split(':').next().expect("a node");
        let said = kept.iter().find(|it| it.starts_with(node));
        assert!(said.is_some_and(|said| node == "gpu-1" || said == line), "{line}: {kept:?}");
    }
    assert!(!planned.plan.actions.iter().any(muster_core::plan::Action::is_of_nodes));
}

#[test]
fn what_is_no_dump_is_told_from_one() {
    let no = |text: &str| read(text).expect_err("no dump");
    assert_eq!(no(" \n"), NoDump::Empty);
    assert_eq!(no("apiVersion: v1\nitems:\n"), NoDump::Yaml);
    assert_eq!(no("---\nkind: List\n"), NoDump::Yaml);
    assert!(matches!(no("{\"kind\": \"List\", \"items\": [{"), NoDump::NotJson { .. }));
    assert!(matches!(no("NAME READY STATUS\n"), NoDump::NotJson { .. }));
    assert!(matches!(no("[1, 2]"), NoDump::NotJson { .. }));
    assert_eq!(no("{\"kind\": \"Pod\"}"), NoDump::OneObject { kind: "Pod".into() });
    let services = json!({"kind": "List", "items": [{"kind": "Service"}]}).to_string();
    let told = no(&services);
    assert_eq!(told, NoDump::NoNodes { kinds: vec!["Service".into()] });
    assert_eq!(told.to_string(), "there are no nodes in it, only what is of kind Service");
    assert_eq!(no("{\"items\": []}").to_string(), "it is a list of nothing");
}

#[test]
fn lists_that_follow_one_another_are_one_dump() {
    let nodes = json!({"kind": "NodeList", "items": [{"metadata": {"name": "n"}}]});
    let pods = json!({"kind": "PodList", "items": [
        {"metadata": {"name": "p", "namespace": "a"}, "spec": {"nodeName": "n", "containers": []}}, 7]});
    let dump = read(&format!("{nodes}\n{pods}\n")).expect("a world");
    assert_eq!((dump.world.nodes.len(), dump.world.tenants.len()), (1, 1));
    assert!(dump.not_read[0].object.contains("Pod"), "{:?}", dump.not_read);
}

#[test]
fn a_dump_that_is_cut_or_changed_is_answered() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dumps/small.json");
    let text = std::fs::read_to_string(path).expect("a dump");
    for end in (0..text.len()).step_by(text.len() / 40) {
        assert!(read(&text[..end]).is_err(), "cut at {end}");
    }
    let whole: Value = serde_json::from_str(&text).expect("JSON");
    let items = whole["items"].as_array().expect("items");
    for at in 0..items.len() {
        for with in
            [Value::Null, json!("x"), json!({"kind": "Pod"}), json!({"kind": "Node"}), json!([])]
        {
            let mut changed = whole.clone();
            changed["items"][at] = with;
            let dump = read(&changed.to_string()).expect("the others");
            let _ = settled(&dump.world);
        }
    }
}
