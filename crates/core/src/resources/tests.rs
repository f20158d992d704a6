use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const GIB: u64 = 1 << 30;

fn read(json: Value) -> Result<Resources, String> {
    serde_json::from_value(json).map_err(|error| error.to_string())
}

fn faults(json: Value) -> Vec<String> {
    let faults = read(json).unwrap().faults(4096);
    faults.into_iter().map(|(field, what)| format!("{field} {what}")).collect()
}

fn gpus(name: &str, amount: u64) -> Amounts {
    Amounts { named: [(name.to_owned(), amount)].into(), ..Amounts::default() }
}

#[test]
fn cores_are_read_exactly_and_written_as_they_were() {
    for (cores, thousandths) in [
        (json!(0), 0),
        (json!(0.001), 1),
        (json!(0.1), 100),
        (json!(0.29), 290),
        (json!(1.0), 1000),
        (json!(2.5), 2500),
        (json!(4.035), 4035),
        (json!(9999.999), 9_999_999),
        (json!(10_000), 10_000_000),
    ] {
        let read: Millicores = serde_json::from_value(cores.clone()).unwrap();
        assert_eq!(read, Millicores(thousandths), "{cores}");
        assert_eq!(serde_json::to_value(read).unwrap().as_f64(), cores.as_f64());
        assert_eq!(read.to_string().parse::<f64>().unwrap(), cores.as_f64().unwrap());
    }
    assert_eq!(serde_json::to_string(&Millicores(2000)).unwrap(), "2");
}

#[test]
fn numbers_that_are_no_amounts_are_refused_with_what_would_do() {
    let cores = "expected a number of cores, 0 to 10000, with at most three decimals";
    for cpu in
        ["-1", "-0.5", "0.0001", "1.2345", "10000.001", "10001", "1e300", "18446744073709551615"]
    {
        let error =
            read(serde_json::from_str(&format!("{{\"cpu\": {cpu}}}")).unwrap()).unwrap_err();
        assert!(error.contains(cores), "{cpu}: {error}");
    }
    for cpu in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let error = Cores.visit_f64::<serde::de::value::Error>(cpu).unwrap_err();
        assert!(error.to_string().contains(cores), "{cpu}: {error}");
    }
    let whole = "expected a whole number of GPUs, 0 to 1000";
    for gpus in [json!(-1), json!(0.5), json!(1.5), json!(1001), json!("1"), json!(null)] {
        let error = read(json!({ "gpus": gpus })).unwrap_err();
        assert!(error.contains(whole), "{gpus}: {error}");
    }
    for other in [
        json!({"memory_mib": -1}),
        json!({"memory_mib": 1.5}),
        json!({"memory_mib": 1u64 << 32}),
        json!({"storage_mib": -1}),
        json!({"node": {"zone": 1}}),
        json!({"disk": 1}),
    ] {
        read(other.clone()).expect_err(&other.to_string());
    }
    assert_eq!(faults(json!({"memory_mib": 0})), ["memory_mib is at least 1"]);
    let above = faults(json!({"memory_mib": 4097}));
    assert_eq!(above, ["memory_mib is at most the memory_mib of limits, 4096"]);
    assert_eq!(faults(json!({"memory_mib": 4096, "storage_mib": 0})), Vec::<String>::new());
}

#[test]
fn names_are_those_that_kubernetes_takes() {
    let long = |bytes: usize| "a".repeat(bytes);
    let domain = format!("{}.{}.{}.{}", long(63), long(63), long(63), long(61));
    assert_eq!(domain.len(), 253);
    for (key, value) in [
        ("zone", "a"),
        ("zone", ""),
        ("Zone_2.b-c", "A.b_C-9"),
        ("topology.kubernetes.io/zone", "eu-1"),
        (&*format!("{domain}/{}", long(63)), &*long(63)),
    ] {
        assert_eq!(faults(json!({"node": {key: value}})), Vec::<String>::new(), "{key}={value}");
    }
    for key in [
        "",
        "-a",
        "a-",
        "_a",
        ".",
        "a b",
        "ä",
        "/a",
        "a/",
        "a/b/c",
        "A.org/b",
        "a..b/c",
        "a_b/c",
        "-a.b/c",
        "a\n",
        &long(64),
        &format!("{domain}x/a"),
    ] {
        let [fault] = &faults(json!({"node": {key: "a"}}))[..] else { panic!("{key:?} is taken") };
        assert!(fault.starts_with("node key \""), "{fault}");
    }
    for value in ["-a", "a-", "a b", "a/b", "ä", "\0", &long(64)] {
        let [fault] = &faults(json!({"node": {"zone": value}}))[..] else {
            panic!("{value:?} is taken")
        };
        assert!(fault.contains("the value of \"zone\", is no label value"), "{fault}");
    }
    for gpu in ["nvidia.com/gpu", "nvidia.com/mig-1g.5gb", "amd.com/gpu", "example.org/Fpga_2"] {
        assert_eq!(faults(json!({ "gpu": gpu })), Vec::<String>::new());
    }
    for gpu in [
        "",
        "gpu",
        "cpu",
        "memory",
        "/gpu",
        "nvidia.com/",
        "nvidia.com/gpu/2",
        "kubernetes.io/gpu",
        "a.kubernetes.io/gpu",
        "requests.nvidia.com/gpu",
        "Nvidia.com/gpu",
        &format!("{domain}/gpu"),
    ] {
        let [fault] = &faults(json!({ "gpu": gpu }))[..] else { panic!("{gpu:?} is taken") };
        assert!(fault.starts_with("gpu \""), "{fault}");
    }
    let many: BTreeMap<String, String> =
        (0..65).map(|n| (format!("a{n}"), String::new())).collect();
    assert_eq!(faults(json!({ "node": many })), ["node has at most 64 labels"]);
}

#[test]
fn an_instance_asks_for_what_is_declared_else_for_what_was_measured() {
    let nothing = Resources::default();
    let memory = |limit, peak, node| nothing.amounts(limit, peak, node).memory;
    let asked = nothing.amounts(Some(4096), None, None);
    assert_eq!(asked, Amounts { cpu: 100, memory: GIB, pods: 1, ..Amounts::default() });
    assert_eq!(memory(Some(4096), Some(GIB), None), GIB + GIB / 4);
    assert_eq!(memory(Some(4096), Some(5), None), 7);
    assert_eq!(memory(Some(4096), Some(4 * GIB), None), 4 * GIB, "no more than it may have");
    assert_eq!(memory(Some(4096), None, Some(GIB / 2)), GIB / 2, "no more than there is");
    assert_eq!(memory(Some(4096), Some(2 * GIB), Some(GIB)), GIB);
    assert_eq!(memory(None, None, None), 0);
    assert_eq!(memory(None, Some(u64::MAX), None), u64::MAX);

    let declared = json!({"cpu": 2.5, "memory_mib": 2048, "storage_mib": 10, "gpus": 2,
        "gpu": "amd.com/gpu", "node": {"zone": "a"}});
    let asked = read(declared).unwrap().amounts(Some(4096), Some(GIB), Some(GIB));
    let there = Amounts {
        cpu: 2500,
        memory: 2 * GIB,
        storage: 10 << 20,
        pods: 1,
        ..gpus("amd.com/gpu", 2)
    };
    assert_eq!(asked, there, "what is declared is asked for, wherever it can be had");
}

#[test]
fn what_is_not_there_is_told_with_both_figures() {
    let asked = Amounts { cpu: 2000, memory: 5, ..gpus(GPU, 3) };
    let room = Amounts { cpu: 2000, memory: 4, ..gpus(GPU, 2) };
    let lack = |name: &str, asked, there| Lack { name: name.to_owned(), asked, there };
    assert_eq!(asked.lacks(&room), [lack("memory", 5, 4), lack(GPU, 3, 2)]);
    assert_eq!(gpus("a.b/c", 1).lacks(&Amounts::default()), [lack("a.b/c", 1, 0)]);
    assert_eq!(gpus("a.b/c", 0).lacks(&Amounts::default()), []);
}

#[test]
fn amounts_of_nothing_mean_nothing() {
    let zero = gpus(GPU, 0);
    assert_eq!(zero, Amounts::default());
    assert_eq!(Amounts::default().checked_sub(&zero), Some(Amounts::default()));
    assert_ne!(gpus(GPU, 1), Amounts::default());
    let json = serde_json::to_value(gpus(GPU, 1)).unwrap();
    assert_eq!(json, json!({"cpu": 0, "memory": 0, "storage": 0, "pods": 0, "named": {GPU: 1}}));
    assert_eq!(serde_json::from_value::<Amounts>(json!({})).unwrap(), Amounts::default());
}

fn some_amounts() -> impl Strategy<Value = Amounts> {
    let amount = || prop_oneof![0u64..5, Just(u64::MAX), any::<u64>()];
    let named = prop::collection::btree_map("[abc]", amount(), 0..3);
    (amount(), amount(), amount(), amount(), named).prop_map(
        |(cpu, memory, storage, pods, named)| Amounts { cpu, memory, storage, pods, named },
    )
}

proptest! {
    #[test]
    fn what_fits_lacks_nothing_and_leaves_the_rest(a in some_amounts(), room in some_amounts()) {
        prop_assert_eq!(a.fits_in(&room), a.lacks(&room).is_empty());
        let left = room.checked_sub(&a);
        prop_assert_eq!(left.is_some(), a.fits_in(&room));
        if let Some(mut sum) = left {
            sum.add(&a);
            prop_assert_eq!(sum, room);
        }
    }

    #[test]
    fn the_order_of_adding_does_not_matter(a in some_amounts(), b in some_amounts()) {
        let (mut ab, mut ba) = (a.clone(), b.clone());
        ab.add(&b);
        ba.add(&a);
        prop_assert_eq!(&ab, &ba);
        prop_assert!(a.fits_in(&ab) && b.fits_in(&ab));
        let json = serde_json::to_string(&ab).unwrap();
        prop_assert_eq!(serde_json::from_str::<Amounts>(&json).unwrap(), ab);
    }

    #[test]
    fn every_thousandth_of_a_core_is_read_as_it_was_written(thousandths in 0u32..=10_000_000) {
        let cpu = Millicores(thousandths);
        let json = serde_json::to_string(&cpu).unwrap();
        prop_assert_eq!(serde_json::from_str::<Millicores>(&json).unwrap(), cpu);
        let decimals = json.split_once('.').map_or(0, |(_, decimals)| decimals.len());
        prop_assert!(decimals <= 3, "{json}");
    }

    #[test]
    fn no_text_makes_a_name_check_panic(key in ".{0,80}", value in ".{0,80}") {
        let node = [(key.clone(), value)].into();
        let faults = Resources { gpu: key, node, ..Resources::default() }.faults(16);
        prop_assert!(faults.iter().all(|(_, what)| what.len() < 2_000));
    }
}
