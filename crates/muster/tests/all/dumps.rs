//! `muster plan --dump`: a cluster that kubectl wrote down, without a hub. brief: NS-3, NS-5

use std::io::Write;
use std::process::Stdio;

use serde_json::json;

use crate::support::{Output, World};

const SMALL: &str = include_str!("../../../cluster/tests/dumps/small.json");

fn world() -> World {
    let world = World::new(&[]);
    world.write("cluster.json", SMALL);
    world
}

#[test]
fn a_dump_is_answered_without_a_hub() {
    let world = world();
    let text = world.muster(&["plan", "--dump", "cluster.json"]).text;
    for words in [
        "Seen 2026-11-20T10:29:40Z: 8 nodes and 12 pods.\n",
        "Pods that wait\n  default/train-2: It fits nowhere: others hold it: it needs 2 GPUs (1 there)",
        "gpu-1 is nearest to it.",
        "no node has room for it: 1 node(s) had untolerated taint(s), 7 Insufficient nvidia.com/gpu",
        "Cluster Autoscaler makes no node for it; 1 group: Insufficient nvidia.com/gpu",
        "worker-3: Somebody else cordoned or drained it.",
        "worker-3: Somebody cordoned it: it gets nothing new.",
        "gpu-2: It is starting, and still lacks nvidia.com/gpu.",
        "worker-4: Its owner takes it away: the Cluster Autoscaler takes it away.",
        "worker-5: It is not heard of any more.",
        "Cluster Autoscaler is there.",
        "gpu is healthy, its target is 2 of 0 to 2; it is left alone for a while: QUOTA_EXCEEDED",
        "Pod default/broken: spec.containers[0]",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(!text.contains("nothing waits"), "{text}");

    let both = world.muster(&["plan", "--dump", "cluster.json", "--json"]).json();
    assert_eq!(both["words"]["mode"], "advise");
    assert_eq!(both["world"]["nodes"].as_array().map(Vec::len), Some(8));
    let dump = &both["words"]["dump"];
    assert_eq!(dump["autoscalers"], json!(["Cluster Autoscaler"]));
    assert_eq!(dump["waiting"][0]["tenant"], "default/train-2");
    assert_eq!(dump["nodes"][2]["node"], "gpu-2");
    assert_eq!(dump["nodes"][2]["stage"], "booting");
    // What was printed is a world.
    world.write("world.json", both.to_string());
    let again = world.muster(&["plan", "--world", "world.json", "--json"]).json();
    assert_eq!(again["plan"], both["plan"]);
}

#[test]
fn a_question_about_a_dump_shows_what_would_change() {
    let world = world();
    let without = ["plan", "--dump", "cluster.json", "--without", "worker-1"];
    let text = world.muster(&without).text;
    assert!(text.starts_with("If worker-1 were not there:\n"), "{text}");
    assert!(text.contains("+ default/web-1: There is room for it on worker-2.\n"), "{text}");
    assert!(text.contains("  default/train-2: It fits nowhere"), "{text}");
    let text = world.muster(&["plan", "--dump", "cluster.json", "--with", "gpu=1"]).text;
    assert!(
        text.contains("+ default/train-2: There is room for it on gpu (with 0) now."),
        "{text}"
    );
    world
        .muster(&["plan", "--dump", "cluster.json", "--without", "worker-9"])
        .fails(2, &["There is no node worker-9. The nodes are control-1, worker-1"]);
    world
        .muster(&["plan", "--dump", "cluster.json", "--with", "tpus=1"])
        .fails(2, &["There is no group tpus. The groups are general, gpu."]);
}

#[test]
fn a_dump_comes_in_through_a_pipe() {
    let world = world();
    let mut command = world.command(&["plan", "--dump", "-", "--json"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut muster = command.spawn().expect("muster");
    muster.stdin.take().expect("its input").write_all(SMALL.as_bytes()).expect("written");
    let output = Output::from(muster.wait_with_output().expect("an end"));
    assert_eq!(output.json()["words"]["dump"]["waiting"].as_array().map(Vec::len), Some(1));
}

#[test]
fn what_is_no_dump_is_refused_with_what_it_is() {
    let world = world();
    for (text, words) in [
        (&b""[..], "it is empty"),
        (b"apiVersion: v1\nitems: []\n", "it is YAML, not JSON"),
        (b"{\"kind\": \"List\", \"items\": [", "it is no JSON: EOF"),
        (b"{\"kind\": \"Node\", \"metadata\": {}}", "it is one Node, not a list"),
        (
            b"{\"kind\": \"List\", \"items\": [{\"kind\": \"Service\"}]}",
            "only what is of kind Service",
        ),
        (b"\xff\xfe{\x00", "it is no text in UTF-8"),
    ] {
        world.write("bad.json", text);
        let bad = world.muster(&["plan", "--dump", "bad.json"]);
        bad.fails(2, &["bad.json is no dump: ", words, "kubectl get nodes,pods,pdb,ds,rs,jobs -A"]);
    }
    world.muster(&["plan", "--dump", "no.json"]).fails(2, &["no.json cannot be read"]);
    world.muster(&["plan", "--dump", "a", "--world", "b"]).fails(2, &["cannot be used with"]);
}
