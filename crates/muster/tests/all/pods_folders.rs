//! Folders that are pushed to a hub whose instances are pods: each pod fetches its folder, makes its environment, and
//! serves it.
//! brief: NS-3, NS-4

use std::fs;
use std::path::PathBuf;

use fake_kube::Resource;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::pods::{Kube, NAMESPACE, RUNNER, fill, world};
use crate::support::{Hub, LENGTHS, Output, World, until};

/// Says how often its environment was made, and takes a while.
const MARKED: &str = "import sys, time\n\
    def predict(inputs):\n\
    \x20   time.sleep(2)\n\
    \x20   made = open(sys.prefix + '/made').read()\n\
    \x20   return [{'length': len(text), 'made': made} for text in inputs]\n";

/// A hub of this cluster, as an administrator.
fn hub<'w>(kube: &Kube, world: &'w World, settings: &[(&str, &str)]) -> Hub<'w> {
    assert!(kube.pods().is_empty());
    assert_eq!(world.create_admin("root").code, 0);
    let hub = world.hub_with(&["--cluster", "kubernetes"], |command| {
        fill(world, command);
        command.envs(settings.iter().copied());
    });
    hub.good(&["login", "root", "--password-file", "password"]);
    hub
}

fn folder(world: &World, version: &str, limits: &str, body: &str) {
    let about =
        format!("version = '{version}'\nkind = 'python'\nexample = ['abc']\n[limits]\n{limits}\n");
    world.write("work/far/model.toml", about);
    world.write("work/far/predict.py", body);
}

fn version(hub: &Hub) -> Value {
    hub.good(&["model", "versions", "far", "--json"]).json()["items"][0].clone()
}

fn until_tried(hub: &Hub) -> Value {
    until("it is tried", || version(hub)["state"] != "trying");
    version(hub)
}

/// The link by which the first pod that is there fetches its folder.
fn link(kube: &Kube) -> Option<String> {
    let pods = kube.pods();
    let env = pods.first()?["spec"]["containers"][0]["env"].as_array()?.clone();
    let link = env.iter().find(|one| one["name"] == "MUSTER_FOLDER_LINK")?;
    link["value"].as_str().map(str::to_owned)
}

/// The status of an answer, and its body.
fn fetch(world: &World, link: &str) -> (String, Vec<u8>) {
    let status = Output::of(world.curl(&["-s", "-o", "fetched", "-w", "%{http_code}", link]));
    (status.text, fs::read(world.path("fetched")).unwrap_or_default())
}

/// Where the hub keeps the archive of the newest version.
fn stored(world: &World, hub: &Hub) -> PathBuf {
    let content = version(hub)["content"].as_str().expect("a hash").to_owned();
    let mut folders = vec![world.path("data/objects")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            match entry.path() {
                path if path.is_dir() => folders.push(path),
                path if path.to_string_lossy().contains(&content) => return path,
                _ => {}
            }
        }
    }
    panic!("its archive is not stored");
}

#[test]
fn a_pushed_folder_becomes_pods_that_share_what_the_first_one_made() {
    let world = world();
    let kube = Kube::start(&world, &[("n1", "4"), ("n2", "4")]);
    let hub = hub(
        &kube,
        &world,
        &[
            ("MUSTER_KUBERNETES_RUNNER_IMAGE", RUNNER),
            ("MUSTER_KUBERNETES_FOLDER_CACHE", "folders"),
        ],
    );
    folder(&world, "1.0", "batch_size = 1\nmax_instances = 2\nidle_seconds = 300", MARKED);
    let claim = json!({"metadata": {"name": "folders", "namespace": NAMESPACE}});
    kube.create(&Resource::claims(), claim);
    let line = "python -c \"import sys; open(sys.prefix + '/made', 'a').write('x')\"";
    world.write("work/far/install.yml", format!("commands:\n  - sleep 8\n  - {line:?}\n"));
    hub.good(&["model", "push", "work/far", "--no-wait"]);
    // While its environment is made, whoever waits reads it, and its link holds.
    until("it says what it does", || {
        let said = version(&hub)["waiting_reason"].as_str().unwrap_or_default().to_owned();
        said.starts_with("The model's environment is being made: step") && said.contains("sleep 8")
    });
    let link = link(&kube).expect("a link");
    let content = version(&hub)["content"].as_str().expect("a hash").to_owned();
    let (status, bytes) = fetch(&world, &link);
    let hash: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!((&*status, hash), ("200", content.clone()), "{link}");
    let other = link.replace(&content, &"0".repeat(64));
    assert_eq!(fetch(&world, &other).0, "422", "a link is for one archive");
    let unsigned = link.split("&signature").next().expect("its beginning");
    assert_eq!(fetch(&world, unsigned).0, "422");
    let label = || kube.pods()[0]["metadata"]["labels"]["muster.dev/prepares"].clone();
    assert_eq!(label(), "true", "it may reach what it needs");
    let tried = until_tried(&hub);
    assert_eq!((&tried["state"], &tried["served"]), (&json!("good"), &json!(true)), "{tried}");
    assert_eq!(fetch(&world, &link).0, "422", "it started, or is gone");

    // Its first predictions, by two pods that did not make the environment again.
    world.write("four.csv", "input\na\nbb\nccc\ndddd\n");
    let ran = hub.good(&["run", "far", "four.csv", "--quiet", "--no-cache"]).text;
    assert_eq!(ran, "input,length,made\na,1,x\nbb,2,x\nccc,3,x\ndddd,4,x\n");
    until("the pods are there", || kube.pods().len() == 2);
    for pod in kube.pods() {
        assert_eq!(pod["metadata"]["labels"]["muster.dev/prepares"], Value::Null, "{pod}");
        let spec = &pod["spec"];
        assert_eq!(spec["securityContext"]["runAsNonRoot"], true);
        assert_eq!(spec["volumes"][1]["persistentVolumeClaim"]["claimName"], "folders");
        assert_eq!(spec["containers"][0]["volumeMounts"][1]["subPath"], *content);
        assert_eq!(spec["containers"][0]["securityContext"]["readOnlyRootFilesystem"], true);
    }
    let shown = hub.good(&["models", "show", "far", "--json"]).json();
    assert_eq!(shown["runs"], "pod", "{shown}");
}

#[test]
fn an_archive_that_is_damaged_or_gone_and_an_environment_that_cannot_be_made_are_told() {
    let world = world();
    let kube = Kube::start(&world, &[("n1", "4")]);
    let hub = hub(&kube, &world, &[("MUSTER_KUBERNETES_RUNNER_IMAGE", RUNNER)]);
    let limits = "idle_seconds = 1\nstart_seconds = 3\nmax_attempts = 1";
    folder(&world, "1.0", limits, LENGTHS);
    hub.good(&["model", "push", "work/far", "--quiet"]);
    let run = || hub.muster(&["run", "far", "--input", "abc", "--quiet", "--no-cache"]);
    assert_eq!(run().text, "input,length\nabc,3\n");
    until("nobody needs it", || kube.pods().is_empty());
    // What comes is not what was pushed: that may pass, and is tried again before it is told.
    let archive = stored(&world, &hub);
    let whole = fs::read(&archive).expect("an archive");
    fs::write(&archive, [&whole[..], b"x"].concat()).expect("it is written");
    run().fails(1, &["The model could not be started", "came damaged"]);
    fs::write(&archive, whole).expect("it is written");
    assert_eq!(run().text, "input,length\nabc,3\n");
    // The model's own fault: the last good version stays.
    folder(&world, "2.0", limits, LENGTHS);
    world.write("work/far/install.yml", "commands:\n  - echo no compiler >&2; exit 5\n");
    let failed = hub.muster(&["model", "push", "work/far"]);
    failed.fails(1, &["not served", "no compiler"]);
    assert_eq!(run().text, "input,length\nabc,3\n");
    until("nobody needs it", || kube.pods().is_empty());
    fs::remove_file(&archive).expect("it goes");
    run().fails(1, &["not in object storage any more"]);
}

#[test]
fn without_an_image_that_runs_folders_they_wait_and_say_what_to_do() {
    let world = world();
    let kube = Kube::start(&world, &[("n1", "4")]);
    let hub = hub(&kube, &world, &[]);
    folder(&world, "1.0", "", LENGTHS);
    hub.good(&["model", "push", "work/far", "--no-wait"]);
    until("it says why it waits", || {
        let said = version(&hub)["waiting_reason"].as_str().unwrap_or_default().to_owned();
        said.contains("kubernetes.runner_image") && said.contains("muster model image")
    });
    assert!(kube.pods().is_empty());
}
