use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::Amounts;

const GIB: u64 = 1 << 30;

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("it is read")
}

fn node(name: &str, more: Value) -> NodeView {
    let mut whole = json!({
        "id": name, "stage": {"is": "ready"},
        "allocatable": {"cpu": 4000, "memory": 8 * GIB, "pods": 110},
    });
    let more = more.as_object().expect("an object").clone();
    whole.as_object_mut().expect("an object").extend(more);
    read(whole)
}

fn zoned(name: &str, zone: &str) -> NodeView {
    node(name, json!({"labels": {"zone": zone}}))
}

fn ask(more: Value) -> Ask {
    let mut whole = json!({"amounts": {"cpu": 1000, "memory": GIB, "pods": 1}, "priority": 0});
    whole.as_object_mut().expect("an object").extend(more.as_object().expect("one").clone());
    read(whole)
}

fn lack(ask: &Ask, node: &NodeView) -> Option<String> {
    Rooms::new([node]).fits(0, ask).err().map(|lack| lack.to_string())
}

#[test]
fn labels_taints_and_folders_decide_what_suits() {
    let gpu = node(
        "a",
        json!({
            "labels": {"zone": "z1", "cores": "64"},
            "taints": [{"key": "gpu", "value": "yes", "effect": "no_schedule"}],
            "folders": {"m": "1"},
        }),
    );
    let tolerant = json!([{"key": "gpu"}]);
    let with = |needs: Value| ask(json!({"tolerates": tolerant, "needs": needs}));
    assert_eq!(
        lack(&ask(json!({})), &gpu).as_deref(),
        Some("it does not tolerate the taint gpu=yes:NoSchedule")
    );
    assert_eq!(
        lack(&ask(json!({"tolerates": [{"key": "gpu", "value": "no"}]})), &gpu).as_deref(),
        Some("it does not tolerate the taint gpu=yes:NoSchedule")
    );
    for fits in [
        json!([]),
        json!([{"key": "zone", "operator": "in", "values": ["z1", "z2"]}]),
        json!([{"key": "arch", "operator": "not_in", "values": ["arm"]}]),
        json!([{"key": "cores", "operator": "greater_than", "values": 32}]),
        json!([{"key": "zone", "operator": "exists"}, {"key": "x", "operator": "does_not_exist"}]),
        json!([{"key": "metadata.name", "operator": "in", "values": ["a"]}]),
    ] {
        assert_eq!(lack(&with(fits.clone()), &gpu), None, "{fits}");
    }
    for (not, why) in [
        (
            json!([{"key": "zone", "operator": "in", "values": ["z2"]}]),
            "it needs a node where zone is z2",
        ),
        (
            json!([{"key": "cores", "operator": "less_than", "values": 64}]),
            "it needs a node where cores is less than 64",
        ),
        (
            json!([{"key": "zone", "operator": "greater_than", "values": 1}]),
            "it needs a node where zone is greater than 1",
        ),
        (
            json!([{"key": "metadata.name", "operator": "in", "values": ["b"]}]),
            "it needs a node where metadata.name is b",
        ),
    ] {
        assert_eq!(lack(&with(not.clone()), &gpu).as_deref(), Some(why), "{not}");
    }
    let one_of = |zones: [&str; 2]| {
        let term = |zone: &str| json!([{"key": "zone", "operator": "in", "values": [zone]}]);
        ask(json!({"tolerates": tolerant, "needs_one_of": zones.map(term)}))
    };
    assert_eq!(lack(&one_of(["z1", "z9"]), &gpu), None);
    assert_eq!(
        lack(&one_of(["z8", "z9"]), &gpu).as_deref(),
        Some("it needs a node with other labels")
    );
    let folder = |version: &str| {
        ask(json!({"tolerates": tolerant, "folder": {"model": "m", "version": version}}))
    };
    assert_eq!(lack(&folder("1"), &gpu), None);
    assert_eq!(
        lack(&folder("2"), &gpu).as_deref(),
        Some("the model's folder is not there in this version")
    );
}

#[test]
fn what_is_not_understood_never_fits() {
    let claim = ask(json!({"not_understood": ["a resource claim"]}));
    let free = node("a", json!({}));
    let mut rooms = Rooms::new([&free]);
    let none = rooms.place(&claim, Who::Planned).expect_err("it is not judged");
    assert!(none.lack.is_lasting() && matches!(none.lack, Lack::NotUnderstood { .. }));
    assert!(fits_when_empty(&claim, &free, &Amounts::default()).is_err());
}

#[test]
fn amounts_are_taken_and_short_ones_are_named() {
    let small = node("a", json!({"allocatable": {"cpu": 1500, "memory": 8 * GIB, "pods": 2}}));
    let one = ask(json!({}));
    let mut rooms = Rooms::new([&small]);
    rooms.place(&one, Who::Planned).expect("room");
    let none = rooms.place(&one, Who::Planned).expect_err("none is left");
    assert!(!none.lack.is_lasting());
    assert_eq!(none.lack.to_string(), "others hold it: it needs 1 core (0.5 there)");
    let huge = ask(
        json!({"amounts": {"cpu": 100, "memory": 20 * GIB, "pods": 1, "named": {"nvidia.com/gpu": 2}}}),
    );
    let none = rooms.place(&huge, Who::Planned).expect_err("never");
    assert!(none.lack.is_lasting());
    assert_eq!(
        none.lack.to_string(),
        "it needs 20 GiB of memory (8.0 GiB there), 2 GPUs (0 there)"
    );
    // What every node runs counts.
    let daemons = read::<Amounts>(json!({"cpu": 600}));
    assert!(fits_when_empty(&one, &small, &Amounts::default()).is_ok());
    assert!(fits_when_empty(&one, &small, &daemons).is_err());
}

#[test]
fn the_fullest_node_is_taken_and_those_with_gpus_are_left() {
    let gpu = json!({"allocatable": {"cpu": 4000, "memory": 8 * GIB, "pods": 110, "named": {"nvidia.com/gpu": 2}},
        "devices": [{"id": "GPU-1", "resource": "nvidia.com/gpu", "used_by_others": true}, {"id": "GPU-2", "resource": "nvidia.com/gpu"}]});
    let nodes = [node("a", gpu), node("b", json!({})), node("c", json!({}))];
    let mut rooms = Rooms::new(&nodes);
    let one = ask(json!({}));
    let index = rooms.find(&"c".into()).expect("a node");
    rooms.put(index, Holder { who: Who::Planned, ask: &one, devices: (&[]).into() });
    let mut at = |ask| rooms.place(ask, Who::Planned).expect("room");
    assert_eq!(
        ["c", "c", "c", "b", "b", "b", "b", "a"].map(NodeId::from),
        std::array::from_fn(|_| at(&one).node)
    );
    let trains = ask(
        json!({"amounts": {"cpu": 100, "memory": 1, "pods": 1, "named": {"nvidia.com/gpu": 1}}}),
    );
    let (first, second) = (at(&trains), at(&trains));
    assert_eq!((first.devices[0].0.as_str(), second.devices[0].0.as_str()), ("GPU-2", "GPU-1"));
    assert!(rooms.place(&trains, Who::Planned).is_err(), "each belongs to one");
}

#[test]
fn nodes_that_are_not_ready_take_nothing() {
    let since = "2026-01-01T00:00:00Z";
    for stage in [
        json!({"is": "booting", "since": since, "lacks": ["nvidia.com/gpu"]}),
        json!({"is": "unready", "since": since}),
        json!({"is": "cordoned", "ours": true, "since": since}),
        json!({"is": "drained", "since": since}),
        json!({"is": "leaving", "since": since, "why": "spot notice"}),
    ] {
        let node = node("a", json!({"stage": stage}));
        let mut rooms = Rooms::new([&node]);
        let ask = ask(json!({}));
        let none = rooms.place(&ask, Who::Planned).expect_err("it is closed");
        assert!(!none.lack.is_lasting() && matches!(none.lack, Lack::Closed { .. }), "{none:?}");
    }
}

#[test]
fn some_stay_apart_both_ways_and_some_together() {
    let nodes = [zoned("a", "z1"), zoned("b", "z1"), zoned("c", "z2")];
    let who = |app: &str| json!([{"key": "app", "operator": "in", "values": [app]}]);
    let shy =
        ask(json!({"labels": {"app": "shy"}, "apart": [{"topology": "zone", "who": who("loud")}]}));
    let loud = ask(json!({"labels": {"app": "loud"}}));
    let mut rooms = Rooms::new(&nodes);
    rooms.put(0, Holder { who: Who::Planned, ask: &shy, devices: (&[]).into() });
    assert_eq!(
        rooms.fits(1, &loud),
        Err(Lack::Apart { topology: "zone".into() }),
        "it was there first"
    );
    assert_eq!(rooms.fits(2, &loud), Ok(()));
    rooms.put(2, Holder { who: Who::Planned, ask: &loud, devices: (&[]).into() });
    assert_eq!(rooms.fits(2, &shy), Err(Lack::Apart { topology: "zone".into() }));
    let follows = |app: &str| {
        ask(
            json!({"labels": {"app": "follower"}, "beside": [{"topology": "zone", "who": who(app)}]}),
        )
    };
    assert_eq!(rooms.fits(0, &follows("loud")), Err(Lack::Beside { topology: "zone".into() }));
    assert_eq!(rooms.fits(2, &follows("loud")), Ok(()));
    assert_eq!(
        rooms.fits(1, &follows("follower")),
        Ok(()),
        "the first of those that want to be together"
    );
    assert_eq!(rooms.fits(1, &follows("nobody")), Err(Lack::Beside { topology: "zone".into() }));
    let elsewhere = Ask { namespace: "other".into(), ..loud.clone() };
    assert_eq!(rooms.fits(1, &elsewhere), Ok(()), "of another namespace");
}

#[test]
fn some_are_spread() {
    let nodes = [zoned("a", "z1"), zoned("b", "z1"), zoned("c", "z2"), node("d", json!({}))];
    let counts = json!([{"key": "app", "operator": "exists"}]);
    let one = ask(
        json!({"labels": {"app": "x"}, "spread": [{"topology": "zone", "most_skew": 1, "counts": counts}]}),
    );
    let mut rooms = Rooms::new(&nodes);
    let at: Vec<String> =
        (0..6).map(|_| rooms.place(&one, Who::Planned).expect("room").node.0).collect();
    let zones = at.iter().filter(|name| *name == "c").count();
    assert_eq!(zones, 3, "{at:?}");
    assert_eq!(
        rooms.fits(3, &one),
        Err(Lack::Spread { topology: "zone".into() }),
        "it has no zone"
    );
    let three =
        Ask { spread: vec![Spread { least_domains: 3, ..one.spread[0].clone() }], ..one.clone() };
    let mut rooms = Rooms::new(&nodes);
    rooms.place(&three, Who::Planned).expect("the first");
    rooms.place(&three, Who::Planned).expect("the second, in the other zone");
    assert!(rooms.place(&three, Who::Planned).is_err(), "there is no third zone");
}

#[test]
fn ports_of_a_node_are_given_once() {
    let one = node("a", json!({}));
    let port = |address: Value| {
        ask(json!({"ports": [{"protocol": "TCP", "port": 80, "address": address}]}))
    };
    let (any, local, other) =
        (port(json!(null)), port(json!("127.0.0.1")), port(json!("10.0.0.1")));
    let mut rooms = Rooms::new([&one]);
    rooms.put(0, Holder { who: Who::Planned, ask: &local, devices: (&[]).into() });
    assert_eq!(rooms.fits(0, &any), Err(Lack::Port { port: 80 }));
    assert_eq!(rooms.fits(0, &local), Err(Lack::Port { port: 80 }));
    assert_eq!(rooms.fits(0, &other), Ok(()));
}

/// Numbers of the Kubernetes documentation on sidecars and init containers.
#[test]
fn a_pod_asks_for_what_the_scheduler_counts() {
    let cpu = |cpu: u64| Amounts { cpu, ..Amounts::default() };
    let plain = |cpu_asked| Container { requests: cpu(cpu_asked), ..Container::default() };
    let sidecar = |cpu_asked| Container { is_sidecar: true, ..plain(cpu_asked) };
    let of = |init: Vec<Container>, containers: Vec<Container>| {
        PodAsk { init, containers, ..PodAsk::default() }.amounts().cpu
    };
    assert_eq!(of(vec![], vec![plain(1), plain(2)]), 3);
    assert_eq!(of(vec![plain(10), plain(4)], vec![plain(1), plain(2)]), 10);
    assert_eq!(of(vec![sidecar(2), plain(10)], vec![plain(3)]), 12, "it runs beside the later one");
    assert_eq!(of(vec![plain(4), sidecar(2)], vec![plain(3)]), 5, "and not beside the earlier one");
    let whole = PodAsk {
        containers: vec![plain(1)],
        overhead: cpu(7),
        whole: BTreeMap::from([("cpu".into(), 5), ("memory".into(), 9)]),
        ..PodAsk::default()
    };
    assert_eq!((whole.amounts().cpu, whole.amounts().memory, whole.amounts().pods), (12, 9, 1));
    let resized = |asked, has, resize_is_infeasible| {
        let one = Container { allocated: Some(cpu(has)), actual: Some(cpu(has)), ..plain(asked) };
        PodAsk { containers: vec![one], resize_is_infeasible, ..PodAsk::default() }.amounts().cpu
    };
    assert_eq!((resized(5, 2, false), resized(1, 2, false), resized(5, 2, true)), (5, 2, 2));
}

#[test]
fn the_fewest_go_so_that_it_fits() {
    let gpus = json!({"cpu": 4000, "memory": 8 * GIB, "pods": 110, "named": {"nvidia.com/gpu": 1}});
    let one = node("a", json!({"allocatable": gpus}));
    let id = |n| crate::InstanceId(uuid::Uuid::from_u128(n));
    let (plain, gpu) =
        (ask(json!({})), ask(json!({"amounts": {"pods": 1, "named": {"nvidia.com/gpu": 1}}})));
    let mut rooms = Rooms::new([&one]);
    for (n, ask) in [(1, &plain), (2, &gpu), (3, &plain)] {
        rooms.put(0, Holder { who: Who::Instance(id(n)), ask, devices: (&[]).into() });
    }
    assert_eq!(
        rooms.fits_without(0, &gpu, &[id(1), id(2), id(3)]),
        Some(vec![id(2)]),
        "only that one helps"
    );
    assert_eq!(rooms.fits_without(0, &gpu, &[id(1), id(3)]), None);
}

fn any_amounts() -> impl Strategy<Value = Amounts> {
    (0u64..3000, 0u64..4, 0u64..2).prop_map(|(cpu, memory, gpus)| {
        let named = BTreeMap::from([("nvidia.com/gpu".to_owned(), gpus)]);
        Amounts { cpu, memory: memory * GIB, pods: 1, named, ..Amounts::default() }
    })
}

proptest! {
    /// Nothing is given twice, and the order of the nodes does not matter.
    #[test]
    fn nobody_gets_what_is_not_there(asks in prop::collection::vec(any_amounts(), 0..20), gpus in 0u64..3) {
        let asks: Vec<Ask> = asks.into_iter().map(|amounts| Ask { amounts, ..Ask::default() }).collect();
        let named = json!({"cpu": 4000, "memory": 8 * GIB, "pods": 5, "named": {"nvidia.com/gpu": gpus}});
        let mut nodes = vec![node("a", json!({"allocatable": named})), node("b", json!({})), node("c", json!({}))];
        let places = |nodes: &[NodeView]| {
            let mut rooms = Rooms::new(nodes);
            let places: Vec<_> = asks.iter().map(|ask| rooms.place(ask, Who::Planned).ok()).collect();
            for index in 0..rooms.len() {
                let room = rooms.get(index);
                assert!(room.held().fits_in(&room.node().allocatable), "{:?}", room.held());
            }
            places
        };
        let one_way = places(&nodes);
        nodes.reverse();
        prop_assert_eq!(one_way, places(&nodes));
    }

    /// One more node never makes less fit at once.
    #[test]
    fn a_further_node_takes_nothing_away(asks in prop::collection::vec(any_amounts(), 1..12)) {
        let asks: Vec<Ask> = asks.into_iter().map(|amounts| Ask { amounts, ..Ask::default() }).collect();
        let (few, more) = ([node("a", json!({}))], [node("a", json!({})), node("b", json!({}))]);
        let first = &asks[0];
        let fits = |nodes: &[NodeView]| Rooms::new(nodes).place(first, Who::Planned).is_ok();
        prop_assert!(!fits(&few) || fits(&more));
    }
}
