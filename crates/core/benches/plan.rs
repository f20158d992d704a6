//! How long a plan takes: `cargo bench -p muster-core`. The budgets stand in `bench/README.md`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use muster_core::Timestamp;
use muster_core::plan::{Action, NodesMode, NodesPolicy, Plan, Policy, World, plan};
use muster_core::room::NodeId;
use serde_json::{Value, json};

/// As the hub has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const GIB: u64 = 1 << 30;
const NODES: usize = 1_000;
const GROUPS: usize = 10;
const PODS: usize = 50;
const SHAPES: usize = 50;
const EACH: usize = 100;

fn main() {
    let own = NodesPolicy { mode: NodesMode::Own, ..NodesPolicy::default() };
    let policy = Policy { max_instances: 100_000, nodes: own };
    let (busy, rest) = (cluster(true), cluster(false));
    let first = plan(&busy, &policy, now());
    let launches = count(&first, |action| matches!(action, Action::Launch { .. }));
    let orders = count(&first, |action| matches!(action, Action::AddNodes { .. }));
    println!("{NODES} nodes, {} pods: {launches} launches, {orders} orders", NODES * PODS);
    let idle = plan(&rest, &policy, now());
    assert!(idle.actions.is_empty() && idle.held.is_empty(), "{:?}", idle.actions);
    let node = NodeId("n500".into());
    tell("5,000 asks of 50 shapes wait", 1_000_000, 10, || plan(&busy, &policy, now()));
    tell("nothing to do", 20_000, 50, || plan(&rest, &policy, now()));
    tell("what if one node went", 20_000, 50, || plan(&rest.without(&node), &policy, now()));
    let none = burst();
    let first = plan(&none, &policy, now());
    let ordered = first.actions.iter().map(|action| match action {
        Action::AddNodes { count, .. } => *count,
        _ => 0,
    });
    println!("1,000 pods wait for nodes: {} ordered", ordered.sum::<u32>());
    tell("1,000 pods wait and no node is there", 50_000, 20, || plan(&none, &policy, now()));
    let one = machine();
    tell("16 instances on one machine", 200, 2_000, || plan(&one, &Policy::default(), now()));
}

fn count(plan: &Plan, is_so: impl Fn(&Action) -> bool) -> usize {
    plan.actions.iter().filter(|action| is_so(action)).count()
}

/// The median of so many, the shortest and the longest.
fn tell(what: &str, budget: u128, times: usize, run: impl Fn() -> Plan) {
    // `cargo bench` gives `--bench`, and a part of a name if one was asked for.
    if std::env::args().skip(1).any(|part| !part.starts_with("--") && !what.contains(&part)) {
        return;
    }
    let before = on_processor();
    let mut took: Vec<Duration> = (0..times)
        .map(|_| {
            let begun = Instant::now();
            black_box(run());
            begun.elapsed()
        })
        .collect();
    let processor = (on_processor() - before) / times as u128 / 1000;
    took.sort_unstable();
    let [least, half, most] = [0, times / 2, times - 1].map(|n| took[n].as_micros());
    let verdict = if half <= budget { "reached" } else { "missed" };
    println!(
        "{what}: {half} us, {least} to {most}, of a processor {processor} ({times} runs; {budget}: {verdict})"
    );
}

/// Nanoseconds of a processor that this program had: what others take of it does not count.
fn on_processor() -> u128 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    text.split_whitespace().next().and_then(|had| had.parse().ok()).unwrap_or(0)
}

fn now() -> Timestamp {
    Timestamp::from_micros(1_000_000_000_000)
}

fn ago(seconds: i64) -> Value {
    json!(Timestamp::from_micros(1_000_000_000_000 - seconds * 1_000_000))
}

fn read(value: Value) -> World {
    serde_json::from_value(value).expect("a world")
}

fn model(id: &str, ask: &Value, limits: Value, inputs: Option<u64>) -> Value {
    let queue = inputs.map(|n| json!({"inputs": n, "oldest": ago(60), "due": ago(60)}));
    json!({
        "model": {
            "id": id, "version": "1", "source": {"from": "folder", "path": "models/it"}, "card": {},
            "input": {"name": "input", "description": ""}, "outputs": [], "example": [],
            "limits": limits, "cache": true,
        },
        "ask": ask, "queue": queue,
    })
}

fn instance(n: usize, model: &str, slot: usize, ask: &Value, node: &str) -> Value {
    json!({
        "id": format!("00000000-0000-0000-0000-{n:012}"), "model": model, "version": "1", "slot": slot,
        "stage": {"is": "ready", "launched_at": ago(600), "ready_at": ago(590), "idle_since": null},
        "ask": ask, "place": {"node": node},
    })
}

/// Ten groups in three zones, a tenth of the nodes with GPUs; on each what others run, from a fifth of it to nearly all.
/// A part of the pods stay apart from their like or are spread over zones.
fn cluster(waits: bool) -> World {
    let has_gpus = |group: usize| group == 9;
    let amounts = |group: usize| {
        let gpus = if has_gpus(group) { 8 } else { 0 };
        json!({"cpu": 64_000, "memory": 256 * GIB, "pods": 110, "named": {"nvidia.com/gpu": gpus}})
    };
    let zone = |group: usize| format!("z{}", group % 3);
    let groups = (0..GROUPS).map(|g| {
        json!({
            "id": format!("g{g}"), "min": 10, "max": 200, "target": NODES / GROUPS, "price": 100 + g % 4,
            "template": {"allocatable": amounts(g), "labels": {"topology.kubernetes.io/zone": zone(g)}},
        })
    });
    let nodes = (0..NODES).map(|n| {
        let g = n % GROUPS;
        json!({
            "id": format!("n{n}"), "group": format!("g{g}"), "stage": {"is": "ready"}, "allocatable": amounts(g),
            "labels": {"topology.kubernetes.io/zone": zone(g), "kubernetes.io/hostname": format!("n{n}"), "kind": "worker"},
        })
    });
    let pods = (0..NODES * PODS).map(|p| {
        let (n, app) = (p % NODES, format!("app{}", (p * 7 + p / NODES) % 400));
        let who = json!([{"key": "app", "operator": "in", "values": [app]}]);
        let apart = json!([{"topology": "kubernetes.io/hostname", "who": who}]);
        let spread =
            json!([{"topology": "topology.kubernetes.io/zone", "most_skew": 5, "counts": who}]);
        let used = 1 + n % 5;
        json!({
            "id": format!("default/{app}-{p}"), "node": format!("n{n}"),
            "owner": if p < 3 * NODES { "daemon" } else { "replicated" },
            "ask": {
                "namespace": "default", "labels": {"app": app, "tier": "web"}, "priority": 0,
                "amounts": {"cpu": used * 230, "memory": used as u64 * GIB, "pods": 1},
                "apart": if p % 20 == 0 { apart } else { json!([]) },
                "spread": if p % 20 == 1 { spread } else { json!([]) },
            },
        })
    });
    let shape = |s: usize| {
        let gpus = u64::from(s.is_multiple_of(10));
        json!({
            "namespace": "muster", "labels": {"model": format!("m{s}")}, "priority": 0,
            "amounts": {"cpu": 1000 + s * 331, "memory": (2 + s as u64) * GIB, "pods": 1, "named": {"nvidia.com/gpu": gpus}},
        })
    };
    let limits = json!({"batch_size": 1, "max_instances": EACH});
    let inputs = waits.then_some(EACH as u64);
    let models: Vec<Value> =
        (0..SHAPES).map(|s| model(&format!("m{s}"), &shape(s), limits.clone(), inputs)).collect();
    // What runs already has work; it does not count for what waits.
    let instances = (0..if waits { 0 } else { 500 }).map(|n| {
        instance(
            n,
            &format!("m{}", n % SHAPES),
            n / SHAPES,
            &shape(n % SHAPES),
            &format!("n{}", n * 2),
        )
    });
    read(json!({
        "models": models, "instances": instances.collect::<Vec<_>>(), "nodes": nodes.collect::<Vec<_>>(),
        "tenants": pods.collect::<Vec<_>>(), "groups": groups.collect::<Vec<_>>(),
    }))
}

/// A model that was at zero has 1,000 requests, and all its pods wait for a first node.
fn burst() -> World {
    let ask = json!({"amounts": {"cpu": 1000, "memory": GIB, "pods": 1}, "priority": 0});
    let limits = json!({"batch_size": 1, "max_instances": 1_000});
    let instances = (0..1_000).map(|n| {
        json!({
            "id": format!("00000000-0000-0000-0000-{n:012}"), "model": "m", "version": "1", "slot": n,
            "stage": {"is": "starting", "launched_at": ago(1), "progressed_at": ago(1), "doing": ""}, "ask": ask,
        })
    });
    let groups = (0..GROUPS).map(|g| {
        json!({
            "id": format!("g{g}"), "min": 0, "max": 30, "target": 0, "price": 100 + g,
            "template": {"allocatable": {"cpu": 4_000 * (1 + g), "memory": 64 * GIB, "pods": 110}},
        })
    });
    read(json!({
        "models": [model("m", &ask, limits, Some(1_000))], "instances": instances.collect::<Vec<_>>(),
        "groups": groups.collect::<Vec<_>>(),
    }))
}

/// As a workstation is: some models have work, some are idle, two wait for room.
fn machine() -> World {
    let ask = |n: u64| json!({"amounts": {"cpu": 500 + n * 100, "memory": GIB, "pods": 1}, "priority": 0});
    let limits = || json!({"max_instances": 2});
    let mut models: Vec<Value> = (0..16)
        .map(|n| model(&format!("m{n}"), &ask(n), limits(), (n % 3 == 0).then_some(500)))
        .collect();
    models.extend((16..18).map(|n| model(&format!("m{n}"), &ask(n), limits(), Some(10))));
    let instances: Vec<Value> =
        (0..16).map(|n| instance(n, &format!("m{n}"), 0, &ask(n as u64), "lab")).collect();
    let node = json!({
        "id": "lab", "stage": {"is": "ready"}, "allocatable": {"cpu": 32_000, "memory": 64 * GIB, "pods": 1000},
    });
    read(json!({"models": models, "instances": instances, "nodes": [node]}))
}
