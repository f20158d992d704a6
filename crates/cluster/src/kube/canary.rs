//! Pods that are made to see what only pods can tell: whether the hub reaches them, and whether they reach each other.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use http::Method;
use k8s_openapi::api::core::v1::Pod;
use muster_core::{Check, CheckState as State};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::client::{Calls, Failed};
use super::merge::merge;
use super::read::pod::{is_true, pod_state};
use super::runner::{CACHE, PREPARES, Runner};
use super::{KubeConfig, secure};

pub(super) const REACHED: &str = "pods";
const APART: &str = "network policy";
const PULL_SECRETS: &str = "pull secrets";
pub(super) const FOLDERS: &str = "folders";

/// How long a node may take to come for it, and its image.
const START: Duration = Duration::from_secs(180);
const LOOK: Duration = Duration::from_millis(500);
const CALL: Duration = Duration::from_secs(10);
/// One that the doctor could not delete ends by itself.
const DEADLINE_SECONDS: u64 = 600;
const PORT: u16 = 8080;
/// The exit code of a canary that came where it should not come.
pub const CAME_THROUGH: u8 = 3;
/// Those of one that looks whether a folder could run where it is.
pub const NO_PYTHON: u8 = 4;
pub const NO_VOLUME: u8 = 5;
pub const NO_HUB: u8 = 6;

/// Sends two, and deletes them whatever becomes of them, also when the doctor is interrupted.
pub(super) async fn send(
    calls: &Calls,
    config: &KubeConfig,
    (image, word): (&str, Uuid),
) -> Vec<Check> {
    let word = word.simple().to_string();
    let names = ["a", "b", "c"].map(|which| format!("muster-doctor-{word}-{which}"));
    let looks = async {
        let mut checks = look(calls, config, image, (&word, &names)).await;
        if let Some(runner) = &config.runner {
            checks.push(folders(calls, config, runner, &names[2]).await);
        }
        checks
    };
    let mut checks = tokio::select! {
        checks = looks => checks,
        _ = tokio::signal::ctrl_c() => vec![Check::new(REACHED, State::Note, "interrupted")],
    };
    for name in &names {
        if let Err(failed) = delete(calls, name).await {
            let what = format!(
                "the pod {name} is left: {failed}; kubectl -n {} delete pod {name}",
                calls.namespace
            );
            checks.push(Check::new(REACHED, State::Broken, what));
        }
    }
    checks
}

async fn look(
    calls: &Calls,
    config: &KubeConfig,
    image: &str,
    (word, names): (&str, &[String; 3]),
) -> Vec<Check> {
    let began = Instant::now();
    let listens = json!(["canary", "listen", "$(POD_IP)", PORT.to_string(), word]);
    let first = run(calls, config, image, (&names[0], listens)).await;
    let mut checks = Vec::from_iter(secrets(calls, config, &names[0]).await);
    let address = match first {
        Ok(Ended::Ready(address)) => SocketAddr::new(address, PORT),
        Ok(Ended::Over(code)) => {
            let what = format!(
                "the program of {image} ended with exit code {code}; kubernetes.hub_image names the hub's own image"
            );
            checks.push(Check::new(REACHED, State::Broken, what));
            return checks;
        }
        Err(why) => {
            checks.push(Check::new(
                REACHED,
                State::Broken,
                format!("a pod of {image} does not run: {why}"),
            ));
            return checks;
        }
    };
    let ready = began.elapsed();
    checks.push(match call(address, word).await {
        Ok(()) => {
            let what = format!("one was ready after {:.1} s and answers the hub at {address}", ready.as_secs_f64());
            Check::new(REACHED, State::Good, what)
        }
        Err(why) => {
            let what = format!(
                "one is ready and does not answer here at {address}: {why}; hubs call pods at their addresses: run the hub \
                 in the cluster, with a network policy that lets it through"
            );
            Check::new(REACHED, State::Broken, what)
        }
    });
    let reaches = json!(["canary", "reach", address.ip().to_string(), PORT.to_string()]);
    let check = |state, what: String| Check::new(APART, state, what);
    checks.push(match run(calls, config, image, (&names[1], reaches)).await {
        Ok(Ended::Over(0)) => check(State::Good, "a pod of a model does not reach another one".to_owned()),
        Ok(Ended::Over(code)) if code == i32::from(CAME_THROUGH) => check(
            State::Note,
            "a pod of a model reaches another one: the namespace has no policy (the chart's networkPolicy.models), or the \
             cluster's network does not enforce any (Calico, Cilium and others do)"
                .to_owned(),
        ),
        Ok(Ended::Over(code)) => check(State::Note, format!("not known: the canary ended with exit code {code}")),
        Ok(Ended::Ready(_)) => check(State::Note, "not known: the canary did not end".to_owned()),
        Err(why) => check(State::Note, format!("not known: a second pod does not run: {why}")),
    });
    checks
}

/// Could a folder that was pushed run?
async fn folders(calls: &Calls, config: &KubeConfig, runner: &Runner, name: &str) -> Check {
    let (image, url) = (&runner.image, &runner.hub_url);
    let check = |state, what: String| Check::new(FOLDERS, state, what);
    let code = match run(calls, config, image, (name, json!(["canary", "folder", CACHE, url])))
        .await
    {
        Ok(Ended::Over(code)) => code,
        Ok(Ended::Ready(_)) => {
            return check(State::Note, "not known: the canary did not end".to_owned());
        }
        Err(why) => {
            let what = format!(
                "a pod of {image} does not run: {why}; see kubernetes.runner_image and kubernetes.folder_cache"
            );
            return check(State::Broken, what);
        }
    };
    let volume = match &runner.cache {
        Some(claim) => format!("what they make is kept in {claim}"),
        None => "each pod makes its environment anew (kubernetes.folder_cache)".to_owned(),
    };
    let broken = |what: &str| check(State::Broken, what.to_owned());
    match u8::try_from(code) {
        Ok(0) => check(State::Good, format!("pushed folders run as pods of {image}; {volume}")),
        Ok(NO_PYTHON) => broken(&format!(
            "{image} has no Python that makes environments: name another kubernetes.runner_image"
        )),
        Ok(NO_VOLUME) => broken(
            "its volume cannot be written: files of the claim have to be of the pod's group (fsGroup in kubernetes.pod_template)",
        ),
        Ok(NO_HUB) => broken(&format!(
            "a pod does not reach the hub at {url}: see kubernetes.hub_url, and network policies for pods with the label {PREPARES}"
        )),
        _ => broken(&format!(
            "the program of {image} ended with exit code {code}; it is to be muster"
        )),
    }
}

enum Ended {
    Ready(IpAddr),
    /// With this exit code.
    Over(i32),
}

/// Until it is ready or over.
async fn run(
    calls: &Calls,
    config: &KubeConfig,
    image: &str,
    (name, args): (&str, Value),
) -> Result<Ended, String> {
    let listens = args[1] == "listen";
    let made = pod(config, image, (name, args))?;
    calls.create_pod(&made, false).await.map_err(|failed| failed.to_string())?;
    let began = Instant::now();
    loop {
        sleep(LOOK).await;
        let seen = calls.get_pod(name).await;
        let words = match &seen {
            Ok(pod) => {
                if let Some(ended) = ended(pod, listens) {
                    return Ok(ended);
                }
                let words = pod_state(pod).for_admin();
                // It would be told the same later: whoever looks does not wait for a claim.
                if words.contains("persistentvolumeclaim") {
                    return Err(words);
                }
                words
            }
            Err(failed) if failed.passes() => failed.to_string(),
            Err(failed) => return Err(failed.to_string()),
        };
        if began.elapsed() > START {
            return Err(format!("after {} s it is still {words}", START.as_secs()));
        }
    }
}

/// One that listens is ready once, one that does not is over once.
fn ended(pod: &Pod, listens: bool) -> Option<Ended> {
    let status = pod.status.as_ref()?;
    let containers = status.container_statuses.iter().flatten();
    let mut over = containers.filter_map(|it| it.state.as_ref()?.terminated.as_ref());
    if let Some(over) = over.next() {
        return Some(Ended::Over(over.exit_code));
    }
    let address = status.pod_ip.as_ref()?.parse().ok()?;
    (listens && is_true(pod, "Ready")).then_some(Ended::Ready(address))
}

fn pod(config: &KubeConfig, image: &str, (name, args): (&str, Value)) -> Result<Value, String> {
    let (listens, is_of_folder) = (args[1] == "listen", args[1] == "folder");
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "labels": {"app.kubernetes.io/managed-by": "muster", "app.kubernetes.io/component": "canary"},
        },
        "spec": {
            "containers": [{
                "name": "model", "args": args,
                "env": [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
                "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
                "securityContext": {"readOnlyRootFilesystem": true},
            }],
            "enableServiceLinks": false,
            "terminationGracePeriodSeconds": 1,
        },
    });
    if listens {
        let container = &mut pod["spec"]["containers"][0];
        container["ports"] = json!([{"containerPort": PORT, "protocol": "TCP"}]);
        container["readinessProbe"] = json!({"tcpSocket": {"port": PORT}, "periodSeconds": 1});
    }
    if let Some(runner) = config.runner.as_ref().filter(|_| is_of_folder) {
        runner.try_with(&mut pod)?;
    }
    if !config.template.is_null() {
        merge(&mut pod, &config.template)?;
    }
    secure::restrict(&mut pod)?;
    pod["metadata"]["name"] = json!(name);
    pod["metadata"]["namespace"] = json!(config.namespace);
    pod["spec"]["restartPolicy"] = json!("Never");
    pod["spec"]["automountServiceAccountToken"] = json!(false);
    pod["spec"]["activeDeadlineSeconds"] = json!(DEADLINE_SECONDS);
    pod["spec"]["containers"][0]["image"] = json!(image);
    Ok(pod)
}

/// Is it this canary that answers there?
async fn call(address: SocketAddr, word: &str) -> Result<(), String> {
    let asked = timeout(CALL, async {
        let mut stream = TcpStream::connect(address).await?;
        let mut said = String::new();
        stream.read_to_string(&mut said).await?;
        Ok::<String, std::io::Error>(said)
    });
    match asked.await {
        Err(_) => Err(format!("no answer within {} s", CALL.as_secs())),
        Ok(Err(error)) => Err(error.to_string()),
        Ok(Ok(said)) if said.trim() == word => Ok(()),
        Ok(Ok(_)) => Err("somebody else answers there".to_owned()),
    }
}

/// What the kubelet says of the secrets with which it pulls.
async fn secrets(calls: &Calls, config: &KubeConfig, name: &str) -> Option<Check> {
    let named = config.template["spec"]["imagePullSecrets"].as_array()?;
    let named: Vec<&str> = named.iter().filter_map(|it| it["name"].as_str()).collect();
    let check = |state, what: String| Some(Check::new(PULL_SECRETS, state, what));
    let path = format!(
        "/api/v1/namespaces/{}/events?fieldSelector=involvedObject.name%3D{name}%2Creason%3DFailedToRetrieveImagePullSecret",
        calls.namespace
    );
    let told: Result<Value, Failed> = calls.call(Method::GET, &path, None).await;
    match told {
        Ok(events) => match events["items"].as_array().and_then(|all| all.first()) {
            Some(event) => {
                let words = event["message"].as_str().unwrap_or_default();
                let what = format!(
                    "{words} Make it in the namespace {}, or leave it out of spec.imagePullSecrets of \
                     kubernetes.pod_template",
                    calls.namespace
                );
                check(State::Broken, what)
            }
            None => check(State::Good, named.join(", ")),
        },
        Err(failed) => check(
            State::Note,
            format!("{}: not known whether they are there: {failed}", named.join(", ")),
        ),
    }
}

async fn delete(calls: &Calls, name: &str) -> Result<(), Failed> {
    let gone = |done: Result<(), Failed>| match done {
        Err(failed) if failed.is(404) => Ok(()),
        done => done,
    };
    let pod = match calls.get_pod(name).await {
        Ok(pod) => pod,
        Err(failed) => return gone(Err(failed)),
    };
    let uid = pod.metadata.uid.unwrap_or_default();
    gone(calls.delete_pod(name, &uid, None).await)
}
