//! `muster doctor --cluster`, on a served Kubernetes API whose kubelets run the canaries.
//! brief: NS-4

use std::collections::BTreeMap;
use std::sync::Arc;

use fake_kube::actors::kubelet::{self, Image};
use fake_kube::actors::{Actors, node};
use fake_kube::{Asked, Config, FakeKube, Fault, Resource, User, What};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::support::{MUSTER, Output, World, until};

const NAMESPACE: &str = "models";
const IMAGE: &str = "registry.example.org/lab/muster:1";
/// The same on a network that lets no canary through to another.
const APART: &str = "registry.example.org/lab/apart:1";
const ROLE: &str = "hub";
/// Where deployments of machines are.
const MACHINES: &str = "machines";

struct Cluster {
    fake: FakeKube,
    runtime: Runtime,
}

/// The level of pod security that the namespace enforces.
fn restricted(asked: &Asked<'_>) -> Result<(), String> {
    let hosts = asked.object["spec"]["hostNetwork"] == true;
    let words = "violates PodSecurity \"restricted:latest\": host namespaces (hostNetwork=true)";
    if hosts { Err(words.to_owned()) } else { Ok(()) }
}

impl Cluster {
    fn start(world: &World, change: impl FnOnce(&mut Config)) -> Self {
        let run = |line: &[&str]| Image {
            run: line.iter().map(|&word| word.to_owned()).collect(),
            ..Image::default()
        };
        // There it reaches nobody but an address at which nobody is.
        let apart = format!(
            "if [ \"$2\" = reach ]; then exec {MUSTER} canary reach 127.0.0.1 1; fi; exec {MUSTER} \"$@\""
        );
        let images = BTreeMap::from([
            (IMAGE.to_owned(), run(&[MUSTER])),
            (APART.to_owned(), run(&["sh", "-c", &apart, "sh"])),
        ]);
        let kubelet = kubelet::Settings { images, ..kubelet::Settings::default() };
        let account = User::service_account("hubs", "muster");
        let mut config = Config {
            actors: Some(Actors { kubelet, ..Actors::default() }),
            tokens: BTreeMap::from([("hub".to_owned(), account)]),
            admission: Some(Arc::new(restricted)),
            ..Config::default()
        };
        change(&mut config);
        let runtime = Runtime::new().expect("a runtime");
        let fake = runtime.block_on(FakeKube::start(config)).expect("a cluster");
        let cluster = Self { fake, runtime };
        cluster.create(&Resource::namespaces(), json!({"metadata": {"name": NAMESPACE}}));
        cluster.create(&Resource::nodes(), node("n1", "4", "8Gi", &[], &[]));
        world.write("kubeconfig", cluster.fake.kubeconfig_with(Some("hub")));
        cluster
    }

    fn create(&self, of: &Resource, object: Value) {
        self.fake.objects().create(of, object).expect("it is created");
    }

    /// What the chart gives, but for one verb.
    fn give(&self, rights: &[Right], without: Option<&Right>) {
        for place in ["models", "cluster", "default", "kube-system", MACHINES] {
            let its = rights.iter().filter(|right| right.0 == place && Some(*right) != without);
            let rules: Vec<Value> = its
                .map(|(_, group, on, verb)| {
                    let (on, name) = on.split_once('=').unwrap_or((on, ""));
                    let names: Vec<&str> = Some(name).filter(|name| !name.is_empty()).into_iter().collect();
                    json!({"apiGroups": [group], "resources": [on], "verbs": [verb], "resourceNames": names})
                })
                .collect();
            let kind = if place == "cluster" { "ClusterRole" } else { "Role" };
            let meta = match place {
                "cluster" => json!({"name": ROLE}),
                place => json!({"name": ROLE, "namespace": place}),
            };
            let binding = json!({
                "metadata": meta,
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": ROLE},
                "subjects": [{"kind": "ServiceAccount", "name": "muster", "namespace": "hubs"}],
            });
            let (roles, bindings) = match place {
                "cluster" => (Resource::cluster_roles(), Resource::cluster_role_bindings()),
                _ => (Resource::roles(), Resource::role_bindings()),
            };
            let namespace = (place != "cluster").then_some(place);
            if self.fake.objects().get(&roles, namespace, ROLE).is_none() {
                self.create(&roles, json!({"metadata": meta, "rules": rules}));
                self.create(&bindings, binding);
            } else {
                let changed = self
                    .fake
                    .objects()
                    .change(&roles, namespace, ROLE, |role| role["rules"] = json!(rules));
                changed.expect("a role");
            }
        }
    }

    fn pods(&self) -> Vec<Arc<Value>> {
        self.fake.objects().list(&Resource::pods()).1
    }
}

/// Where, the group, the resource, the verb.
type Right = (String, String, String, String);

/// All that docs/kubernetes.md tells of, which the chart is compared with.
fn documented() -> Vec<Right> {
    let text = include_str!("../../../../docs/kubernetes.md");
    let table = text.split("<!-- The table of rights. -->").nth(1).expect("the table");
    let table = table.split("<!-- End").next().expect("its end");
    let mut rights = Vec::new();
    for row in table.trim().lines().skip(2) {
        let cells: Vec<&str> = row.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        let group = if cells[2] == "core" { "" } else { cells[2] };
        for verb in cells[4].split(", ") {
            rights.push((
                cells[1].to_owned(),
                group.to_owned(),
                cells[3].to_owned(),
                verb.to_owned(),
            ));
        }
    }
    assert!(rights.len() > 15, "{rights:?}");
    rights
}

/// The rules beside it: of who owns nodes, where machines are, and of who keeps room free.
fn of_nodes() -> Vec<Right> {
    let text = include_str!("../../../../docs/kubernetes.md");
    let text = text.split("### Rights to own nodes").nth(1).expect("the rules");
    let mut rights = Vec::new();
    for (place, block) in ["cluster", MACHINES, "models"].iter().zip(text.split("```yaml").skip(1))
    {
        let block = block.split("```").next().expect("its end");
        let of = |rule: &str, name: &str| -> Vec<String> {
            let (_, after) = rule.split_once(&format!("{name}: [")).expect("a member");
            let (list, _) = after.split_once(']').expect("a list");
            list.split(", ").map(|word| word.trim_matches('"').to_owned()).collect()
        };
        for rule in block.split("- ").skip(1) {
            let (group, on) = (of(rule, "apiGroups").remove(0), of(rule, "resources").remove(0));
            for verb in of(rule, "verbs") {
                rights.push(((*place).to_owned(), group.clone(), on.clone(), verb));
            }
        }
    }
    // Kinds of templates are the operator's.
    rights.retain(|right| !right.1.starts_with("infrastructure."));
    assert_eq!(rights.len(), 17, "{rights:?}");
    rights
}

fn doctor(world: &World, more: &[&str], settings: &[(&str, &str)]) -> Output {
    let mut command =
        world.command(&[&["doctor", "--cluster", "--data-dir", "data"], more].concat());
    command.env("MUSTER_KUBERNETES_KUBECONFIG", world.path("kubeconfig"));
    command.env("MUSTER_KUBERNETES_NAMESPACE", NAMESPACE);
    command.envs(settings.iter().copied());
    Output::of(command)
}

/// State and words of the lines with this name.
fn lines(output: &Output, name: &str) -> Vec<(String, String)> {
    let said = output.json();
    let checks = said["checks"].as_array().expect("checks").clone();
    let its = checks.iter().filter(|check| check["name"] == name);
    its.map(|it| {
        (
            it["state"].as_str().unwrap_or("").to_owned(),
            it["what"].as_str().unwrap_or("").to_owned(),
        )
    })
    .collect()
}

fn line(output: &Output, name: &str) -> (String, String) {
    let mut all = lines(output, name);
    assert_eq!(all.len(), 1, "{name}: {output:?}");
    all.remove(0)
}

#[test]
fn of_a_cluster_that_is_as_it_should_be_nothing_is_broken_and_nothing_is_left() {
    let world = World::new(&[]);
    let cluster = Cluster::start(&world, |_| {});
    cluster.give(&documented(), None);
    let said = doctor(&world, &["--json"], &[("MUSTER_KUBERNETES_HUB_IMAGE", APART)]);
    assert_eq!(said.code, 0, "{said:?}");
    let good = |name: &str, word: &str| {
        let (state, what) = line(&said, name);
        assert!(state == "good" && what.contains(word), "{name}: {state} {what}");
    };
    good("kubernetes", "1.33");
    good("namespace", "models enforces the level restricted");
    good("rights", "all 23");
    good("pod template", "");
    good("priority class", "none is named");
    good("pods", "answers the hub at 127.");
    good("network policy", "does not reach");
    good("autoscalers", "Karpenter is not there");
    until("the canaries are gone", || cluster.pods().is_empty());
    // Where policies are not enforced that is told.
    let image = [("MUSTER_KUBERNETES_HUB_IMAGE", IMAGE)];
    let said = doctor(&world, &["--json"], &image);
    let (state, what) = line(&said, "network policy");
    assert!(state == "note" && what.contains("networkPolicy.models"), "{what}");
    until("the canaries are gone", || cluster.pods().is_empty());
    let table = doctor(&world, &[], &image);
    assert!(table.text.lines().all(|line| line.chars().count() <= 100), "{}", table.text);
    // Without canaries no pod is made.
    let before =
        cluster.runtime.block_on(async { cluster.fake.objects().list(&Resource::pods()).0 });
    let said = doctor(&world, &["--json", "--no-canary"], &image);
    assert!(said.code == 0 && lines(&said, "pods").is_empty(), "{said:?}");
    assert!(cluster.pods().is_empty(), "{before}");
}

#[test]
fn each_right_that_is_missing_is_named_with_what_does_not_work() {
    let world = World::new(&[]);
    let cluster = Cluster::start(&world, |_| {});
    let all = documented();
    let own: Vec<Right> = all.iter().filter(|right| right.0 == "models").cloned().collect();
    for taken in &all {
        let (place, group, on, verb) = taken;
        // What it may do in the cluster it may do in its namespace as well.
        let alone = place == "models";
        cluster.give(if alone { &own } else { &all }, Some(taken));
        let sees = ("MUSTER_KUBERNETES_SEES", if alone { "namespace" } else { "cluster" });
        let said = doctor(&world, &["--json", "--no-canary"], &[sees]);
        let (state, what) = line(&said, "rights");
        let needed = alone && on == "pods" && group.is_empty();
        assert_eq!((state == "broken", said.code == 1), (needed, needed), "{taken:?}: {what}");
        let on = if group.is_empty() { on.clone() } else { format!("{on}.{group}") };
        let named = what.starts_with(&format!("{verb} {on} in"));
        assert!(named && what.contains("without it"), "{taken:?}: {what}");
    }
    // With rights in its namespace alone, as it is set up then.
    cluster.give(&own, None);
    let said =
        doctor(&world, &["--json", "--no-canary"], &[("MUSTER_KUBERNETES_SEES", "namespace")]);
    let (state, what) = line(&said, "rights");
    assert!(state == "good" && what.contains("of the namespace alone"), "{what}");
    cluster.give(&[], None);
    let said = doctor(&world, &["--json"], &[("MUSTER_KUBERNETES_HUB_IMAGE", IMAGE)]);
    assert_eq!((said.code, lines(&said, "rights").len()), (1, all.len()), "{said:?}");
    assert_eq!(line(&said, "pods").1, "not looked at, since no pod can be made");
}

#[test]
fn rights_to_own_nodes_are_asked_for_where_nodes_are_owned() {
    let world = World::new(&[]);
    let cluster = Cluster::start(&world, |_| {});
    let settings = |mode: &'static str| {
        [
            ("MUSTER_NODES_MODE", mode),
            ("MUSTER_NODES_PROVIDER", "cluster-api"),
            ("MUSTER_NODES_GROUPS", "workers"),
            ("MUSTER_NODES_NAMESPACE", MACHINES),
            ("MUSTER_KUBERNETES_CAPACITY_BUFFERS", "true"),
        ]
    };
    let all = [documented(), of_nodes()].concat();
    for taken in of_nodes() {
        cluster.give(&all, Some(&taken));
        let said = doctor(&world, &["--json", "--no-canary"], &settings("own"));
        let missing: Vec<_> =
            lines(&said, "rights").into_iter().filter(|(state, _)| state != "good").collect();
        let [(state, what)] = &missing[..] else { panic!("{taken:?}: {said:?}") };
        let (place, group, on, verb) = &taken;
        let on = if group.is_empty() { on.clone() } else { format!("{on}.{group}") };
        let (expected, value) = match place.as_str() {
            "cluster" => ("broken", "rbac.ownNodes"),
            MACHINES => ("broken", "rbac.clusterApi"),
            _ => ("note", "rbac.capacityBuffers"),
        };
        assert_eq!(state, expected, "{taken:?}: {what}");
        let named = what.starts_with(&format!("{verb} {on} in"));
        assert!(named && what.contains(value), "{taken:?}: {what}");
    }
    // Who only advises changes nothing.
    let reads = |it: &Right| match it.0.as_str() {
        "cluster" => false,
        MACHINES => it.3 != "patch",
        _ => true,
    };
    let reads = of_nodes().into_iter().filter(reads).collect();
    cluster.give(&[documented(), reads].concat(), None);
    let said = doctor(&world, &["--json", "--no-canary"], &settings("advise"));
    assert!(lines(&said, "rights").iter().all(|(state, _)| state == "good"), "{said:?}");
}

#[test]
fn what_is_wrong_with_a_cluster_is_told_with_what_to_do() {
    let world = World::new(&[]);
    let cluster = Cluster::start(&world, |config| {
        config.minor = 38;
        config.admission = None;
    });
    cluster.give(&documented(), None);
    let template = "spec:\n  priorityClassName: lab\n  imagePullSecrets: [{name: registry}]\n";
    world.write("pod.yaml", template);
    let file = world.path("pod.yaml").display().to_string();
    let image = ("MUSTER_KUBERNETES_HUB_IMAGE", IMAGE);
    let template = ("MUSTER_KUBERNETES_POD_TEMPLATE", &*file);
    let said = doctor(&world, &["--json"], &[image, template]);
    let told = |said: &Output, name: &str, state: &str, words: &[&str]| {
        let (found, what) = line(said, name);
        assert!(
            found == state && words.iter().all(|word| what.contains(word)),
            "{name}: {found} {what}"
        );
    };
    assert_eq!(said.code, 1);
    told(&said, "kubernetes", "note", &["1.38", "tested with 1.33 to 1.37"]);
    told(
        &said,
        "namespace",
        "note",
        &["kubectl label namespace models pod-security.kubernetes.io/enforce=restricted"],
    );
    told(&said, "pod template", "broken", &["lab", "kubernetes.pod_template"]);
    told(&said, "priority class", "broken", &["lab is not there", "models.priorityClass.create"]);
    told(&said, "pods", "note", &["no pod can be made"]);
    let class = json!({"metadata": {"name": "lab"}, "value": -10});
    cluster.create(&Resource::priority_classes(), class);
    let said = doctor(&world, &["--json"], &[image, template]);
    told(&said, "priority class", "good", &["lab"]);
    told(&said, "pull secrets", "broken", &["registry", "in the namespace models"]);
    told(&said, "pods", "good", &["answers"]);
    cluster.create(
        &Resource::secrets(),
        json!({"metadata": {"name": "registry", "namespace": NAMESPACE}, "type": "x"}),
    );
    told(&doctor(&world, &["--json"], &[image, template]), "pull secrets", "good", &["registry"]);
    // An image that is not there, a namespace that is not, no image, nobody who answers.
    let other = ("MUSTER_KUBERNETES_HUB_IMAGE", "registry.example.org/lab/other:1");
    let missing = fake_kube::actors::Order::Image {
        name: other.1.into(),
        image: Image { run: vec!["false".into()], ..Image::default() },
    };
    cluster.fake.controls().expect("actors").order(missing).expect("it is done");
    told(&doctor(&world, &["--json"], &[other]), "pods", "broken", &["exit code 1", "hub_image"]);
    until("the canaries are gone", || cluster.pods().is_empty());
    told(&doctor(&world, &["--json"], &[]), "pods", "note", &["kubernetes.hub_image"]);
    let nowhere = ("MUSTER_KUBERNETES_NAMESPACE", "nowhere");
    let said = doctor(&world, &["--json"], &[image, nowhere]);
    told(&said, "namespace", "note", &["kubectl get namespace nowhere"]);
    assert_eq!((said.code, lines(&said, "rights").len() > 6), (1, true), "{said:?}");
    world.write("kubeconfig", cluster.fake.kubeconfig());
    let said = doctor(&world, &["--json"], &[image, nowhere]);
    told(&said, "namespace", "broken", &["kubectl create namespace nowhere"]);
    assert_eq!(said.code, 1);
    cluster.fake.faults().set(
        Fault::new(What::Refuse { message: "away for good".into() })
            .verb("create")
            .resource("pods"),
    );
    told(&doctor(&world, &["--json"], &[image]), "pod template", "broken", &["away for good"]);
    drop(cluster);
    let said = doctor(&world, &["--json"], &[image]);
    told(&said, "kubernetes", "broken", &["does not answer", "kubernetes.kubeconfig"]);
    assert!(said.code == 1 && lines(&said, "namespace").is_empty(), "{said:?}");
}

#[test]
fn what_pushed_folders_need_is_tried_by_a_pod() {
    let world = World::new(&[]);
    let cluster = Cluster::start(&world, |_| {});
    cluster.give(&documented(), None);
    let hub = ("MUSTER_KUBERNETES_HUB_IMAGE", IMAGE);
    let runner = ("MUSTER_KUBERNETES_RUNNER_IMAGE", IMAGE);
    let told = |settings: &[(&str, &str)], state: &str, words: &[&str]| {
        let said = doctor(&world, &["--json"], &[&[hub], settings].concat());
        let (found, what) = line(&said, "folders");
        let tells = words.iter().all(|word| what.contains(word));
        assert!(found == state && tells, "{found} {what}");
        until("the canaries are gone", || cluster.pods().is_empty());
    };
    told(&[], "note", &["kubernetes.runner_image is not set"]);
    told(&[runner], "good", &["as pods of", IMAGE, "makes its environment anew"]);
    let nobody = ("MUSTER_KUBERNETES_HUB_URL", "http://127.0.0.1:9");
    told(&[runner, nobody], "broken", &["does not reach the hub", "muster.dev/prepares"]);
    let claim = ("MUSTER_KUBERNETES_FOLDER_CACHE", "folders");
    told(&[runner, claim], "broken", &["persistentvolumeclaim \"folders\" not found"]);
    let made = json!({"metadata": {"name": "folders", "namespace": NAMESPACE}});
    cluster.create(&Resource::claims(), made);
    told(&[runner, claim], "good", &["is kept in folders"]);
    world
        .write("pod.yaml", "spec: {containers: [{name: model, env: [{name: PATH, value: /x}]}]}\n");
    let file = world.path("pod.yaml").display().to_string();
    let template = ("MUSTER_KUBERNETES_POD_TEMPLATE", &*file);
    told(&[runner, template], "broken", &["has no Python"]);
}
