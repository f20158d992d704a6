//! Nodes, their groups and the plan, as administrators see them.

use std::time::{Duration, Instant};

use muster_core::ServerId;
use muster_core::plan::{Planned, read_planned};
use reqwest::Method;
use serde_json::{Value, json};

use crate::events::{Stream, follow};
use crate::hub::{Hub, Person, problem};
use crate::replicas::{postgres, schema};

const FILE: &str = include_str!("nodes.json");

/// What an engine saw and planned.
pub fn some() -> Planned {
    let mut planned = read_planned(FILE).expect("a world");
    planned.servers = vec![("n1".into(), ServerId(uuid(7)))];
    planned
}

fn uuid(n: u128) -> uuid::Uuid {
    uuid::Uuid::from_u128(n)
}

async fn hub() -> (Hub, Person) {
    let hub = Hub::start().await;
    hub.store.set_planned(Some(some()));
    let root = hub.admin("root").await;
    (hub, root)
}

fn names(page: &Value) -> Vec<&str> {
    let items = page["items"].as_array().expect("items");
    items.iter().map(|item| item["id"].as_str().expect("a name")).collect()
}

/// brief: NS-1
#[tokio::test]
async fn a_node_shows_who_holds_what_of_it() {
    let (_hub, root) = hub().await;
    let n1 = root.find("/api/v1/nodes/n1").await;
    let room = |cpu: f64, memory: u64, gpus: u64| json!({"cpu": cpu, "memory": memory, "storage": null, "pods": null, "named": {"nvidia.com/gpu": gpus}});
    let gib = 1 << 30;
    assert_eq!(n1["allocatable"], room(4.0, 16 * gib, 2));
    assert_eq!(n1["held_by_instances"], room(1.0, 2 * gib, 1));
    assert_eq!(n1["held_by_others"], room(2.6, 4 * gib + (1 << 20), 0));
    assert_eq!(n1["free"], room(0.4, 10 * gib - (1 << 20), 1));
    let instance = &n1["instances"][0];
    assert_eq!(
        (&instance["model"], &instance["state"], &instance["devices"]),
        (&json!("fold"), &json!("ready"), &json!(["GPU-n1-0"]))
    );
    assert_eq!(n1["devices"][0]["instance"], instance["id"]);
    assert_eq!(
        (&n1["devices"][1]["instance"], &n1["devices"][1]["used_by_others"]),
        (&Value::Null, &json!(true))
    );
    let tenants: Vec<_> = n1["tenants"]
        .as_array()
        .expect("them")
        .iter()
        .map(|it| (&it["id"], &it["owner"]))
        .collect();
    assert_eq!(
        tenants,
        [
            (&json!("default/agent"), &json!("daemon")),
            (&json!("default/database-0"), &json!("replicated"))
        ]
    );
    assert_eq!(n1["tenants"][1]["stays_because"], "it has a disk of its node");
    assert_eq!(
        (&n1["others"], &n1["taints"]),
        (&json!(2), &json!(["dedicated=models:PreferNoSchedule"]))
    );
    assert_eq!((&n1["servers"], &n1["folders"]), (&json!([uuid(7)]), &json!({"fold": "1"})));
    let stage = json!({"name": "ready", "since": null, "ours": null, "lacks": [], "message": "It takes instances."});
    assert_eq!((&n1["stage"], &n1["kept"]), (&stage, &Value::Null));

    let n2 = root.find("/api/v1/nodes/n2").await;
    assert_eq!(n2["stage"]["lacks"], json!(["nvidia.com/gpu"]));
    assert_eq!(n2["kept"]["because"], "not_ready");
    let n3 = root.find("/api/v1/nodes/n3").await;
    assert_eq!(
        (&n3["kept"]["because"], &n3["kept"]["until"], &n3["unneeded_since"]),
        (&json!("unneeded"), &json!("2026-01-01T01:04:00Z"), &json!("2026-01-01T00:59:00Z"))
    );
}

#[tokio::test]
async fn nodes_are_listed_by_their_names_stages_and_groups() {
    let (_hub, root) = hub().await;
    for (query, want) in [
        ("", vec!["n1", "n2", "n3"]),
        ("?stage=ready", vec!["n1", "n3"]),
        ("?stage=booting&stage=cordoned", vec!["n2"]),
        ("?group=gpus&group=plain", vec!["n2", "n3"]),
        ("?group=other", vec![]),
        ("?after=n1", vec!["n2", "n3"]),
    ] {
        assert_eq!(names(&root.find(&format!("/api/v1/nodes{query}")).await), want, "{query}");
    }
    let page = root.find("/api/v1/nodes?limit=2").await;
    assert_eq!((names(&page), &page["next"]), (vec!["n1", "n2"], &json!("n2")));
    let last = root.find("/api/v1/nodes?limit=2&after=n2").await;
    assert_eq!((names(&last), &last["next"]), (vec!["n3"], &Value::Null));
    assert_eq!(root.status("/api/v1/nodes?stage=broken").await, 400);
    assert_eq!(root.status("/api/v1/nodes?limit=0").await, 400);
}

#[tokio::test]
async fn a_group_shows_what_was_ordered_and_what_failed() {
    let (_hub, root) = hub().await;
    let groups = root.find("/api/v1/node-groups").await;
    assert_eq!(names(&groups), ["gpus", "plain"]);
    let gpus = &groups["items"][0];
    assert_eq!(
        (&gpus["min"], &gpus["max"], &gpus["target"], &gpus["nodes"], &gpus["upcoming"]),
        (&json!(0), &json!(2), &json!(2), &json!(1), &json!(1))
    );
    assert_eq!(
        gpus["failures"],
        json!({"in_a_row": 2, "last_at": "2026-01-01T00:57:00Z", "class": "quota",
            "message": "the quota is reached: no more cards", "next_try": "2026-01-01T01:07:00Z"})
    );
    assert_eq!(gpus["order"]["to"], 2);
    assert_eq!(gpus["machines"][1]["message"], "there is no capacity for it at the moment");
    assert_eq!(gpus["template"]["taints"], json!(["nvidia.com/gpu:NoSchedule"]));
    let dropped = &gpus["actions"][0];
    assert_eq!(
        (&dropped["do"], &dropped["message"]),
        (&json!("drop_machines"), &json!("Give back machines of gpus that are no nodes: m-2."))
    );
    assert_eq!(groups["items"][1]["boot_seconds"], 90);
}

/// brief: NS-5
#[tokio::test]
async fn the_plan_is_shown_with_the_world_it_is_for() {
    let (_hub, root) = hub().await;
    let plan = root.find("/api/v1/plan").await;
    let want = some();
    assert_eq!(plan["plan"], serde_json::to_value(&want.plan).expect("JSON"));
    // It is a file that plans again.
    let again = read_planned(&plan.to_string()).expect("a world");
    assert_eq!((again.world, again.plan, again.now), (want.world, want.plan, want.now));
    let words = &plan["words"];
    assert_eq!(words["mode"], "own");
    assert!(
        words["held"].as_array().expect("held").iter().any(|held| held["model"] == "fold"),
        "{words}"
    );
    let small = root.find("/api/v1/plan?world=false").await;
    assert_eq!((&small["world"], &small["words"]), (&Value::Null, words));
}

#[tokio::test]
async fn the_plan_says_what_it_would_do() {
    let (_hub, root) = hub().await;
    let then = root.find("/api/v1/plan?with=gpus%3D1&world=false").await;
    let actions = then["words"]["actions"].as_array().expect("actions");
    let launch = actions.iter().find(|it| it["do"] == "launch").expect("a launch");
    assert_eq!((&launch["model"], &launch["new"]), (&json!("fold"), &json!(true)));
    let then = root.find("/api/v1/plan?without=n1").await;
    let nodes = then["world"]["nodes"].as_array().expect("nodes");
    assert!(nodes.iter().all(|node| node["id"] != "n1"));
    // Nothing was changed.
    let plan = root.find("/api/v1/plan?world=false").await;
    assert!(!plan["words"].to_string().contains(r#""new":true"#), "{plan}");
    assert_eq!(root.find("/api/v1/nodes").await["items"].as_array().expect("them").len(), 3);
}

#[tokio::test]
async fn what_is_not_there_is_named_with_what_is() {
    let (hub, root) = hub().await;
    let ask =
        async |path: &str| problem(hub.http.get(hub.url(path)).bearer_auth(&root.token)).await;
    let node = ask("/api/v1/nodes/n9").await;
    assert_eq!(
        (&node["type"], &node["detail"]),
        (&json!("/problems/not-found"), &json!("There is no node n9. The nodes are n2, n1, n3."))
    );
    let without = ask("/api/v1/plan?without=n9").await;
    assert_eq!((&without["parameter"], &without["detail"]), (&json!("without"), &node["detail"]));
    let with = ask("/api/v1/plan?with=cpus%3D1").await;
    assert_eq!(with["detail"], "There is no group cpus. The groups are plain, gpus.");
    for bad in ["gpus", "gpus%3D0", "gpus%3D-1", "gpus%3D1001", "%3D3", "gpus%3D99999999999"] {
        let with = ask(&format!("/api/v1/plan?with={bad}")).await;
        assert_eq!((&with["status"], &with["parameter"]), (&json!(400), &json!("with")), "{bad}");
    }
    let many = "&without=n1".repeat(21);
    assert_eq!(root.status(&format!("/api/v1/plan?{}", &many[1..])).await, 400);
}

#[tokio::test]
async fn where_nobody_plans_that_is_said() {
    let hub = Hub::start().await;
    let root = hub.admin("root").await;
    for path in ["nodes", "nodes/n1", "node-groups", "plan"] {
        let sent = hub.http.get(hub.url(&format!("/api/v1/{path}"))).bearer_auth(&root.token);
        let none = problem(sent).await;
        assert_eq!(
            (&none["type"], &none["status"]),
            (&json!("/problems/nobody-plans"), &json!(503)),
            "{path}"
        );
    }
}

#[tokio::test]
async fn every_server_shows_what_the_one_that_plans_saw() {
    let schema = schema();
    let (one, two) =
        (Hub::on(postgres(&schema), |_| {}).await, Hub::on(postgres(&schema), |_| {}).await);
    one.store.set_planned(Some(some()));
    let root = one.admin("root").await;
    let there = two.with_token(&root, &root.token);
    for path in ["/api/v1/nodes", "/api/v1/nodes/n1", "/api/v1/node-groups", "/api/v1/plan"] {
        assert_eq!(there.find(path).await, root.find(path).await, "{path}");
    }
}

fn kept(mut planned: Planned) -> Planned {
    planned.world.nodes[0].keep = Some("it is for a demonstration".into());
    planned
}

async fn until_nodes(stream: &mut Stream) {
    while stream.next().await.expect("an event") != "event: nodes\ndata: {}" {}
}

#[tokio::test]
async fn administrators_are_told_when_something_else_is_planned() {
    let hub = Hub::alone(|config| config.times.event_comment = Duration::from_millis(300)).await;
    let (root, person) = (hub.admin("root").await, hub.person().await);
    let (mut stream, mut theirs) = (follow(&root).await, follow(&person).await);
    hub.store.set_planned(Some(some()));
    until_nodes(&mut stream).await;
    // The same again is no news.
    let mut later = some();
    later.now = later.now + Duration::from_secs(5);
    hub.store.set_planned(Some(later));
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(1500) {
        assert_ne!(stream.next().await.as_deref(), Some("event: nodes\ndata: {}"));
    }
    hub.store.set_planned(Some(kept(some())));
    until_nodes(&mut stream).await;
    // Many changes at once are told together.
    for n in 0..50 {
        let mut planned = some();
        planned.world.nodes[0].price = n;
        hub.store.set_planned(Some(planned));
    }
    let begun = Instant::now();
    until_nodes(&mut stream).await;
    let mut told = 1;
    while begun.elapsed() < Duration::from_millis(2500) {
        told += u32::from(stream.next().await.as_deref() == Some("event: nodes\ndata: {}"));
    }
    assert!(told <= 2, "told {told} times");
    for _ in 0..3 {
        assert_eq!(theirs.next().await.as_deref(), Some(": still here"));
    }
}

#[tokio::test]
async fn another_server_tells_what_is_planned_once_it_was_asked_there() {
    let schema = schema();
    let (one, two) =
        (Hub::on(postgres(&schema), |_| {}).await, Hub::on(postgres(&schema), |_| {}).await);
    one.store.set_planned(Some(some()));
    let root = one.admin("root").await;
    let there = two.with_token(&root, &root.token);
    let mut stream = follow(&there).await;
    there.find("/api/v1/nodes").await;
    one.store.set_planned(Some(kept(some())));
    until_nodes(&mut stream).await;
    let node = there.find("/api/v1/nodes/n2").await;
    assert_eq!(node["id"], "n2");
}

#[tokio::test]
async fn the_server_that_plans_has_figures_of_nodes() {
    let hub = Hub::alone(|_| {}).await;
    let read = async || {
        let url = format!("http://{}/metrics", hub.metrics);
        hub.http.get(url).send().await.expect("an answer").text().await.expect("text")
    };
    assert!(!read().await.contains("muster_nodes"));
    hub.store.set_planned(Some(some()));
    let text = read().await;
    for line in [
        "muster_nodes{stage=\"ready\"} 2",
        "muster_nodes{stage=\"booting\"} 1",
        "muster_nodes{stage=\"leaving\"} 0",
        "muster_node_resources{resource=\"cpu\",is=\"allocatable\"} 12.0",
        "muster_node_resources{resource=\"cpu\",is=\"instances\"} 1.0",
        "muster_node_resources{resource=\"cpu\",is=\"others\"} 2.6",
        "muster_node_resources{resource=\"nvidia.com/gpu\",is=\"allocatable\"} 3.0",
        "muster_node_group{group=\"gpus\",is=\"target\"} 2",
        "muster_node_group{group=\"gpus\",is=\"failures\"} 2",
        "muster_node_group{group=\"plain\",is=\"max\"} 3",
        "muster_plan_actions{action=\"drop_machines\",is=\"done\"} 1",
        "muster_plan_actions{action=\"cordon\",is=\"advised\"} 0",
        "muster_plan_held{because=\"node_starting\"} 1",
    ] {
        assert!(text.lines().any(|it| it == line), "{line}:\n{text}");
    }
    // Names of people's models and pods are no labels, and what is not counted is no figure.
    assert!(!text.contains("database-0") && !text.contains("resource=\"pods\""), "{text}");
}

/// What an administrator says of a node.
#[tokio::test]
async fn an_administrator_cordons_and_drains_nodes() {
    let (hub, root) = hub().await;
    let mark = async |verb: &str, body: Value| {
        root.send(Method::POST, &format!("/api/v1/nodes/n1/{verb}"), body).await
    };
    let cordoned = mark("cordon", json!({"reason": "a new disk"})).await;
    let message = "It gets nothing new. What runs there, 1 instance, stays.";
    assert_eq!(
        cordoned,
        json!({"node": "n1", "mark": "cordoned", "changed": true, "message": message})
    );
    assert_eq!(mark("cordon", json!({"reason": "a new disk"})).await["changed"], false);
    let drained = mark("drain", json!({})).await;
    assert_eq!((&drained["mark"], &drained["changed"]), (&json!("drained"), &json!(true)));
    let marks = hub.store.heartbeat_of(None).await.expect("an answer").marks;
    assert_eq!((marks[0].node.0.as_str(), marks[0].ours), ("n1", false));
    let taken_back = mark("uncordon", json!({})).await;
    assert_eq!(
        taken_back,
        json!({"node": "n1", "mark": null, "changed": true, "message": "It takes instances again."})
    );
    assert_eq!(mark("uncordon", json!({})).await["changed"], false);
    assert_eq!(hub.store.heartbeat_of(None).await.expect("an answer").marks, []);
    let acts = hub.audit().await;
    let acts: Vec<_> = acts.iter().map(|it| (it.action.as_str(), it.detail.as_str())).collect();
    for act in [("cordon-node", "n1: a new disk"), ("drain-node", "n1"), ("uncordon-node", "n1")] {
        assert_eq!(acts.iter().filter(|it| **it == act).count(), 1, "{acts:?}");
    }
}

#[tokio::test]
async fn a_node_that_is_not_there_is_not_marked() {
    let (hub, root) = hub().await;
    for verb in ["cordon", "drain", "uncordon"] {
        let sent =
            hub.http.post(hub.url(&format!("/api/v1/nodes/n9/{verb}"))).bearer_auth(&root.token);
        let none = problem(sent).await;
        assert_eq!(
            (&none["status"], &none["detail"]),
            (&json!(404), &json!("There is no node n9. The nodes are n2, n1, n3."))
        );
    }
    let long = json!({"reason": "x".repeat(501)});
    let sent =
        hub.http.post(hub.url("/api/v1/nodes/n1/cordon")).bearer_auth(&root.token).json(&long);
    assert_eq!(problem(sent).await["pointer"], "/reason");
    let other = json!({"why": "because"});
    let sent =
        hub.http.post(hub.url("/api/v1/nodes/n1/drain")).bearer_auth(&root.token).json(&other);
    assert_eq!(problem(sent).await["pointer"], "/why");
    assert_eq!(hub.store.heartbeat_of(None).await.expect("an answer").marks, []);
}
