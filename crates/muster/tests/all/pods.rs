//! A hub whose instances are pods, on a served Kubernetes API whose kubelets run real model servers.
//! brief: IN-1, IN-3, NS-2, NS-3

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;

use std::time::Duration;

use fake_kube::actors::kubelet::{self, Image, ImageFault};
use fake_kube::actors::{Actors, Order, node};
use fake_kube::{Config, FakeKube, Fault, Resource, What};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::cluster;
use crate::support::{Hub, LENGTHS, MUSTER, Output, PASSWORD, PATIENCE, World, until};

pub const NAMESPACE: &str = "models";
/// An image as the field publishes them, ours, and one that takes two seconds a job.
pub const PUBLISHED: &str = "registry.example.org/lab/published:1";
const OURS: &str = "registry.example.org/lab/ours:1";
pub const SLOW: &str = "registry.example.org/lab/slow:1";
/// The hub's program and Python.
pub const RUNNER: &str = "registry.example.org/lab/muster-one:1";

/// A cluster and its place.
pub struct Kube {
    pub fake: FakeKube,
    images: BTreeMap<String, Image>,
    _runtime: Runtime,
}

impl Kube {
    /// With nodes of so many cores.
    pub fn start(world: &World, nodes: &[(&str, &str)]) -> Self {
        Self::start_with(world, nodes, Config::default())
    }

    pub fn start_with(world: &World, nodes: &[(&str, &str)], config: Config) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/all/contract_a.py");
        let server = |more: &[&str]| {
            let run = [&["python3", script, "{ip}", "{port}"], more].concat();
            Image { run: run.into_iter().map(str::to_owned).collect(), ..Image::default() }
        };
        world.write("image/model.toml", "kind = 'python'\n");
        world.write("image/predict.py", LENGTHS);
        let folder = world.path("image").display().to_string();
        let ours = [MUSTER, "model-server", &folder, "--listen", "{ip}:{port}"];
        let ours = Image {
            run: ours.map(str::to_owned).to_vec(),
            env: BTreeMap::from([("HOME".into(), world.path("home").display().to_string())]),
            ..Image::default()
        };
        let images = BTreeMap::from([
            (PUBLISHED.to_owned(), server(&[])),
            (SLOW.to_owned(), server(&["2"])),
            (OURS.to_owned(), ours),
            (RUNNER.to_owned(), Image { run: vec![MUSTER.to_owned()], ..Image::default() }),
        ]);
        let known = images.clone();
        let kubelet = kubelet::Settings { images, ..kubelet::Settings::default() };
        let actors = config.actors.clone().unwrap_or_default();
        let actors = Some(Actors { kubelet, ..actors });
        let runtime = Runtime::new().expect("a runtime");
        let started = runtime.block_on(FakeKube::start(Config { actors, ..config }));
        let fake = started.expect("a cluster");
        let kube = Self { fake, images: known, _runtime: runtime };
        let namespace = json!({"metadata": {"name": NAMESPACE}, "status": {"phase": "Active"}});
        kube.create(&Resource::namespaces(), namespace);
        for (name, cores) in nodes {
            kube.add_node(name, cores);
        }
        world.write("kubeconfig", kube.fake.kubeconfig());
        kube
    }

    pub fn create(&self, of: &Resource, object: Value) {
        self.fake.objects().create(of, object).expect("it is created");
    }

    pub fn add_node(&self, name: &str, cores: &str) {
        self.create(&Resource::nodes(), node(name, cores, "8Gi", &[], &[]));
    }

    pub fn pods(&self) -> Vec<Arc<Value>> {
        self.fake.objects().list(&Resource::pods()).1
    }

    fn image(&self, name: &str) -> Image {
        self.images[name].clone()
    }

    pub fn order(&self, order: Order) {
        self.fake.controls().expect("actors").order(order).expect("it is done");
    }

    /// The name of the pod that runs, once one does.
    pub fn running(&self) -> String {
        let mut name = String::new();
        until("a pod runs", || {
            let pods = self.pods();
            let running = pods.iter().find(|pod| pod["status"]["phase"] == "Running");
            name = running
                .map_or(String::new(), |pod| pod["metadata"]["name"].as_str().unwrap_or("").into());
            !name.is_empty()
        });
        name
    }

    pub fn until_pods(&self, count: usize) {
        until(&format!("there are {count} pods"), || self.pods().len() == count);
    }

    /// A hub whose pods are here, with this as its only model.
    pub fn hub<'w>(&self, world: &'w World, model: &Value) -> Hub<'w> {
        self.hub_with(world, model, |_| {})
    }

    pub fn hub_with<'w>(
        &self,
        world: &'w World,
        model: &Value,
        more: impl Fn(&mut Command),
    ) -> Hub<'w> {
        assert_eq!(world.create_admin("root").code, 0);
        let hub = world.hub_with(&["--cluster", "kubernetes"], |command| {
            fill(world, command);
            more(command);
        });
        hub.good(&["login", "root", "--password-file", "password"]);
        add(&hub, model);
        hub
    }
}

pub fn fill(world: &World, command: &mut Command) {
    command.env("MUSTER_KUBERNETES_KUBECONFIG", world.path("kubeconfig"));
    command.env("MUSTER_KUBERNETES_NAMESPACE", NAMESPACE);
    command.env("MUSTER_MODEL_IMAGES", "registry.example.org/lab/");
}

pub fn add(hub: &Hub, model: &Value) {
    hub.world.write("model.json", model.to_string());
    hub.good(&["models", "add", "model.json"]);
}

pub fn model(image: &str, limits: Value) -> Value {
    json!({
        "id": "lengths", "image": image, "version": "1",
        "input": {"name": "input", "description": "A text"},
        "outputs": [{"name": "length", "kind": "integer"}],
        "limits": limits,
        "resources": {"cpu": 1, "memory_mib": 200},
        "cache": true,
        "pod": {"unrestricted": "Published images run as root."},
    })
}

pub fn world() -> World {
    World::new(&[])
}

fn run(hub: &Hub) -> String {
    hub.good(&["run", "lengths", "--input", "abc", "--quiet"]).text
}

pub fn instances(hub: &Hub) -> Vec<Value> {
    let all = hub.good(&["instances", "--json"]).json();
    all["items"].as_array().expect("items").clone()
}

#[test]
fn a_published_image_runs_unchanged_as_a_pod_and_is_seen_to_do_so() {
    let world = world();
    let kube = Kube::start(&world, &[("n1", "4")]);
    let hub = kube.hub(&world, &model(PUBLISHED, json!({"idle_seconds": 3})));
    assert_eq!(run(&hub), "input,length\nabc,3\n");
    let it = instances(&hub).remove(0);
    assert_eq!(it["runs"], "pod", "{it}");
    let id = it["id"].as_str().expect("an id").to_owned();
    let show = || hub.good(&["instance", "show", &id, "--json"]).json();
    until("its pod is seen", || show()["pod_status"] == "Running");
    let events = || hub.good(&["instance", "events", &id, "--json"]).text;
    until("events of Kubernetes are kept", || events().contains("\"Scheduled\""));
    let shown = show();
    assert_eq!(shown["node"], "n1", "{shown}");
    let nodes = hub.good(&["nodes", "--json"]).json();
    assert_eq!(nodes["items"][0]["id"], "n1", "{nodes}");
    assert_eq!(nodes["items"][0]["instances"][0]["id"].as_str(), Some(&*id), "{nodes}");
    let pod = kube.pods().remove(0);
    let labels = pod["metadata"]["labels"].to_string();
    assert!(labels.contains("muster.dev/hub") && labels.contains(&id), "{labels}");
    until("nobody needs it", || kube.pods().is_empty());
    until("its end is written down", || show()["end"]["cause"] == "idle");
    let log = hub.good(&["instance", "logs", &id]).text;
    assert!(log.contains("runs 1"), "{log}");
}

#[test]
fn a_model_server_of_ours_runs_as_a_pod() {
    let world = world();
    let kube = Kube::start(&world, &[("n1", "4")]);
    let hub = kube.hub(&world, &model(OURS, json!({"start_seconds": 60})));
    assert_eq!(run(&hub), "input,length\nabc,3\n");
    kube.until_pods(1);
}

#[test]
fn a_burst_makes_all_its_pods_at_once_and_says_why_they_wait() {
    let world = world();
    let kube = Kube::start(&world, &[("n1", "1500m")]);
    let limits = json!({"batch_size": 1, "max_instances": 3, "idle_seconds": 300});
    let hub = kube.hub(&world, &model(SLOW, limits));
    world.write("three.csv", "input\na\nbb\nccc\nd\nee\nfff\n");
    let begun = hub.begin(&["run", "lengths", "three.csv", "--no-cache", "--quiet"]);
    kube.until_pods(3);
    let words = |it: &Value| it.to_string();
    until("the scheduler's words are shown", || {
        instances(&hub).iter().any(|it| it["pod_status"] == "Pending")
            && instances(&hub).iter().any(|it| {
                let id = it["id"].as_str().expect("an id");
                let one = hub.good(&["instance", "show", id, "--json"]).json();
                words(&one).contains("Insufficient cpu")
            })
    });
    assert_eq!(kube.pods().len(), 3, "no more than its maximum");
    kube.add_node("n2", "4");
    let output = Output::from(begun.wait_with_output().expect("it ends"));
    assert_eq!(output.text, "input,length\na,1\nbb,2\nccc,3\nd,1\nee,2\nfff,3\n", "{output:?}");
    let nodes: std::collections::BTreeSet<String> =
        kube.pods().iter().map(|pod| pod["spec"]["nodeName"].to_string()).collect();
    assert_eq!(nodes.len(), 2, "{nodes:?}");
}

#[test]
fn a_killed_hub_finds_its_pod_again() {
    let world = world();
    let kube = Kube::start(&world, &[("n1", "4")]);
    let mut hub = kube.hub(&world, &model(SLOW, json!({"idle_seconds": 300})));
    let begun = hub.begin(&["run", "lengths", "--input", "abc", "--quiet"]);
    until("it works", || world.read("log").contains("an instance is ready"));
    hub.kill();
    let before = kube.pods();
    let pods = ["--cluster", "kubernetes"];
    let _next = world.hub_after_with(&hub, &pods, |command| fill(&world, command));
    let output = Output::from(begun.wait_with_output().expect("it ends"));
    assert_eq!(output.text, "input,length\nabc,3\n", "{output:?}");
    let uid = |pods: &[Arc<Value>]| pods[0]["metadata"]["uid"].clone();
    let after = kube.pods();
    assert_eq!((after.len(), uid(&after)), (1, uid(&before)), "the same pod goes on");
}

#[test]
fn of_two_hubs_on_one_cluster_the_second_goes_on_when_the_first_is_killed() {
    let url = cluster::shared().url("postgres");
    let schema = format!("t{}", muster_store::Clock::system().id().simple());
    let (one, two) = (world(), world());
    let kube = Kube::start(&one, &[("n1", "4"), ("n2", "4")]);
    two.write("kubeconfig", kube.fake.kubeconfig());
    let with = |world: &World, command: &mut Command| {
        fill(world, command);
        command.env("MUSTER_DATABASE_URL", &url).env("MUSTER_DATABASE_SCHEMA", &schema);
    };
    assert_eq!(one.create_admin_with("root", |command| with(&one, command)).code, 0);
    two.write("password", PASSWORD);
    let pods = ["--cluster", "kubernetes"];
    let mut first = one.hub_with(&pods, |command| with(&one, command));
    let second = two.hub_with(&pods, |command| with(&two, command));
    for hub in [&first, &second] {
        hub.good(&["login", "root", "--password-file", "password"]);
    }
    let limits = json!({"batch_size": 1, "max_instances": 2, "idle_seconds": 300});
    add(&first, &model(SLOW, limits));
    let rows: Vec<String> = (0..10).map(|n| format!("x{n}")).collect();
    two.write("ten.csv", format!("input\n{}\n", rows.join("\n")));
    until("the second knows the model", || {
        second.muster(&["models", "show", "lengths", "--json"]).code == 0
    });
    let begun = second.begin(&["run", "lengths", "ten.csv", "--no-cache", "--json", "--quiet"]);
    kube.until_pods(2);
    let running = || second.good(&["requests", "--json"]).json()["items"][0]["done"].as_u64();
    until("some are done", || running().is_some_and(|done| done >= 2));
    first.kill();
    let output = Output::from(begun.wait_with_output().expect("it ends"));
    let said = output.json();
    let expected: Vec<Value> =
        rows.iter().map(|row| json!({"input": row, "length": row.len()})).collect();
    assert_eq!(said["result"], json!(expected), "{output:?}");
    assert!(kube.pods().len() <= 2, "never more than the maximum");
}

/// What is around a job breaks it off, again and again; none of that is counted: the model may be tried once.
#[test]
fn what_the_cluster_does_to_pods_costs_no_request_anything() {
    let world = world();
    let kube = Kube::start(&world, &[("n1", "4"), ("n2", "4")]);
    let limits =
        json!({"batch_size": 1, "max_instances": 1, "max_attempts": 1, "idle_seconds": 300});
    let hub = kube.hub(&world, &model(SLOW, limits));
    let rows: Vec<String> = (0..6).map(|n| format!("x{n}")).collect();
    world.write("six.csv", format!("input\n{}\n", rows.join("\n")));
    let begun = hub.begin(&["run", "lengths", "six.csv", "--no-cache", "--json", "--quiet"]);
    let done = |least: u64| {
        let begun = std::time::Instant::now();
        while hub.good(&["requests", "--json"]).json()["items"][0]["done"].as_u64() < Some(least) {
            assert!(begun.elapsed() < PATIENCE, "{least} are not done: {}", world.read("log"));
        }
    };
    // By hand, for memory, with its node; and then nobody answers for a while.
    let pod = kube.running();
    let (pods, namespace) = (Resource::pods(), NAMESPACE.to_owned());
    kube.fake.objects().remove(&pods, Some(NAMESPACE), &pod).expect("it is there");
    done(1);
    kube.order(Order::Evict { namespace, pod: kube.running() });
    done(2);
    let at = kube
        .pods()
        .iter()
        .find(|pod| pod["status"]["phase"] == "Running")
        .map(|pod| pod["spec"]["nodeName"].clone());
    let node = at.expect("it runs").as_str().expect("a name").to_owned();
    kube.order(Order::NodeRemove { node });
    done(3);
    kube.fake.faults().set(Fault::new(What::Away).lasting(Duration::from_secs(5)));
    let output = Output::from(begun.wait_with_output().expect("it ends"));
    let said = output.json();
    let expected: Vec<Value> =
        rows.iter().map(|row| json!({"input": row, "length": row.len()})).collect();
    assert_eq!(said["result"], json!(expected), "{output:?}\n{}", world.read("log"));
    let ended = hub.good(&["instances", "--ended", "--json"]).json();
    let causes: Vec<&str> = ended["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|it| it["end"]["cause"].as_str().expect("a cause"))
        .collect();
    assert!(causes.contains(&"evicted") && causes.contains(&"node_gone"), "{causes:?}");
}

#[test]
fn a_pod_that_runs_out_of_memory_is_followed_by_one_with_more_of_it() {
    let world = world();
    let kube = Kube::start(&world, &[("n1", "4")]);
    let limits = json!({"memory_mib": 300, "memory_most_mib": 400, "idle_seconds": 300});
    let hub = kube.hub(&world, &model(SLOW, limits));
    let begun = hub.begin(&["run", "lengths", "--input", "abc", "--quiet"]);
    let pod = kube.running();
    let limit = || {
        let pods = kube.pods();
        let running = pods.iter().find(|pod| pod["status"]["phase"] == "Running")?;
        Some(running["spec"]["containers"][0]["resources"]["limits"]["memory"].clone())
    };
    let first = limit().expect("it runs");
    kube.order(Order::OutOfMemory { namespace: NAMESPACE.into(), pod, container: "model".into() });
    until("the next one runs", || limit().is_some_and(|limit| limit != first));
    let output = Output::from(begun.wait_with_output().expect("it ends"));
    assert_eq!(output.text, "input,length\nabc,3\n", "{output:?}");
    let bytes = |limit: &Value| -> u64 { limit.as_str().expect("text").parse().expect("bytes") };
    let second = limit().expect("it runs");
    assert!(bytes(&first) < bytes(&second), "{first} {second}");
}

#[test]
fn an_image_that_is_not_there_fails_what_waits_and_one_that_changes_is_told() {
    let world = world();
    let kube = Kube::start(&world, &[("n1", "4")]);
    let image = |fault| Order::ImageFault { name: PUBLISHED.into(), fault };
    kube.order(image(Some(ImageFault::Missing)));
    let hub = kube.hub(&world, &model(PUBLISHED, json!({"idle_seconds": 1})));
    hub.muster(&["run", "lengths", "--input", "abc", "--quiet"])
        .fails(1, &["its image is not there"]);
    kube.order(image(None));
    // It is tried again after a minute, or with another version of the model.
    hub.world.write("port.json", json!({"version": "2"}).to_string());
    hub.good(&["models", "edit", "lengths", "port.json"]);
    assert_eq!(run(&hub), "input,length\nabc,3\n");
    until("nobody needs it", || kube.pods().is_empty());
    let known =
        Image { digest: Some(format!("sha256:{}", "b".repeat(64))), ..kube.image(PUBLISHED) };
    kube.order(Order::Image { name: PUBLISHED.into(), image: known });
    let other = hub.good(&["run", "lengths", "--input", "abcd", "--quiet"]).text;
    assert_eq!(other, "input,length\nabcd,4\n");
    until("its predictions are not kept any more", || {
        hub.good(&["models", "show", "lengths", "--json"]).json()["cache"] == false
    });
    let newest = instances(&hub).first().cloned().unwrap_or_else(|| {
        hub.good(&["instances", "--ended", "--json"]).json()["items"][0].clone()
    });
    let id = newest["id"].as_str().expect("an id").to_owned();
    until("it is told at the instance", || {
        let events = hub.good(&["instance", "events", &id, "--json"]).text;
        events.contains("image_changed") && events.contains("digest")
    });
}
