//! What a hub on a cluster stands on, each with what to do: `muster doctor --cluster`.

use std::collections::BTreeSet;

use http::Method;
use muster_core::{Check, CheckState as State};
use serde_json::{Value, json};
use uuid::Uuid;

use super::canary;
use super::client::{Calls, Failed};
use super::rights::{BUFFERS, MACHINES, OWNS, Place, RIGHTS, Right};
use super::start::{Tried, is_of_a_policy, try_pod};
use super::survey::{Survey, autoscalers};
use super::{KubeConfig, make};

/// Minor versions of Kubernetes 1 that this Muster is tested with.
const KNOWN: std::ops::RangeInclusive<u32> = 33..=37;

/// Looks at the cluster. Nothing is left there: pods are made only with the `image` of canaries, and deleted.
pub async fn examine(client: kube::Client, config: &KubeConfig, image: Canary<'_>) -> Vec<Check> {
    let calls = Calls { client, namespace: config.namespace.clone() };
    let mut checks = vec![version(&calls).await];
    if checks[0].state == State::Broken {
        return checks;
    }
    // Everybody may ask for the version.
    if let Err(failed) = calls.may(("get", "", "pods"), Some(&config.namespace)).await
        && failed.advice().is_some()
    {
        let what = format!("its API cannot be used: {}", failed.in_full());
        return vec![Check::new("kubernetes", State::Broken, what)];
    }
    let tried = match make::any_model() {
        Ok(any) => try_pod(&calls, config, &any).await,
        Err(error) => Err(Tried::Template(error.to_string())),
    };
    let is_there = !matches!(&tried, Err(Tried::Cluster(failed)) if failed.is(404));
    checks.push(namespace(&calls, &tried).await);
    checks.extend(rights(&calls, config).await);
    if is_there {
        checks.extend(template(config, &tried));
        checks.push(metrics(&calls).await);
        let survey =
            Survey::new(calls.client.clone(), Some(&calls.namespace), config.observe_cluster);
        checks.push(autoscalers(survey.scalers().await));
        let runs = tried.is_ok() || matches!(&tried, Err(Tried::Cluster(it)) if is_of_a_policy(it));
        checks.extend(match image {
            Canary::Image { image, word } if runs => {
                canary::send(&calls, config, (image, word)).await
            }
            Canary::Image { .. } => {
                let what = "not looked at, since no pod can be made";
                vec![Check::new(canary::REACHED, State::Note, what)]
            }
            Canary::Unknown => {
                let what = "not looked at: kubernetes.hub_image does not name the hub's image";
                vec![Check::new(canary::REACHED, State::Note, what)]
            }
            Canary::Unwanted => Vec::new(),
        });
    }
    if config.runner.is_none() {
        let what = "kubernetes.runner_image is not set: folders that are pushed wait until somebody makes images of them";
        checks.push(Check::new(canary::FOLDERS, State::Note, what));
    }
    checks
}

/// Whether pods are made to see what only pods can tell.
#[derive(Clone, Copy, Debug)]
pub enum Canary<'i> {
    /// From this image, whose program is `muster`.
    Image {
        image: &'i str,
        /// One that no other doctor has: the pods' names have it.
        word: Uuid,
    },
    Unknown,
    Unwanted,
}

async fn version(calls: &Calls) -> Check {
    let check = |state, what: String| Check::new("kubernetes", state, what);
    let told: Result<Value, Failed> = calls.call(Method::GET, "/version", None).await;
    let told = match told {
        Ok(told) => told,
        Err(failed) => {
            let what = match failed.advice() {
                Some(_) => format!("its API cannot be used: {}", failed.in_full()),
                None => format!(
                    "its API does not answer: {failed}; look at kubernetes.kubeconfig, or at the service account of \
                     the hub's pod, and whether this machine reaches the API"
                ),
            };
            return check(State::Broken, what);
        }
    };
    let text = |name: &str| told[name].as_str().unwrap_or_default();
    // Some say `33+`.
    let minor: Option<u32> =
        text("minor").trim_end_matches(|c: char| !c.is_ascii_digit()).parse().ok();
    let named = if text("gitVersion").is_empty() {
        "a version that it does not tell"
    } else {
        text("gitVersion")
    };
    let (first, last) = (KNOWN.start(), KNOWN.end());
    match minor {
        Some(minor) if KNOWN.contains(&minor) => check(State::Good, named.to_owned()),
        Some(minor) if minor < *first => check(
            State::Note,
            format!(
                "{named} is older than what Muster is tested with (1.{first} to 1.{last}): upgrade the cluster"
            ),
        ),
        _ => check(
            State::Note,
            format!(
                "{named}: Muster is tested with 1.{first} to 1.{last}; what goes wrong there is worth a report"
            ),
        ),
    }
}

/// Is it there, and which level of pod security does it enforce? No right to read namespaces is needed for it.
async fn namespace(calls: &Calls, tried: &Result<(), Tried>) -> Check {
    let name = &calls.namespace;
    let check = |state, what: String| Check::new("namespace", state, what);
    match tried {
        Err(Tried::Cluster(failed)) if failed.is(404) => {
            let what = format!(
                "{name} is not there: kubectl create namespace {name}, or name another one in kubernetes.namespace"
            );
            return check(State::Broken, what);
        }
        Err(Tried::Cluster(failed))
            if failed.is(403) && failed.to_string().contains("cannot create") =>
        {
            return check(
                State::Note,
                format!(
                    "{name}: the hub may not make pods there, so it cannot see whether it is there, and its level of pod \
                     security: kubectl get namespace {name}"
                ),
            );
        }
        _ => {}
    }
    // A pod that no level but `privileged` takes.
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "muster-doctor-level", "namespace": name},
        "spec": {
            "hostNetwork": true, "hostPID": true, "automountServiceAccountToken": false,
            "containers": [{"name": "model", "image": "registry.invalid/any:1",
                "resources": {"requests": {"cpu": "1m", "memory": "1Mi"}, "limits": {"memory": "1Mi"}}}],
        },
    });
    match calls.create_pod(&pod, true).await {
        Ok(_) => check(
            State::Note,
            format!(
                "{name} enforces no level of pod security: kubectl label namespace {name} \
                 pod-security.kubernetes.io/enforce=restricted (baseline if images of models need root)"
            ),
        ),
        Err(failed) => match level(&failed.to_string()) {
            Some(level) => check(State::Good, format!("{name} enforces the level {level}")),
            None => check(
                State::Note,
                format!("{name}: its level of pod security is not known: {failed}"),
            ),
        },
    }
}

/// `restricted` of what admission says: `violates PodSecurity "restricted:latest": ..`.
fn level(words: &str) -> Option<&str> {
    let (_, rest) = words.split_once("violates PodSecurity \"")?;
    rest.split([':', '"']).next()
}

/// One line if all are there, else one for each right that is not.
async fn rights(calls: &Calls, config: &KubeConfig) -> Vec<Check> {
    let own = [(config.owns_nodes, &OWNS[..]), (config.buffers, &BUFFERS[..])];
    let own = own.into_iter().filter(|(is_used, _)| *is_used).flat_map(|(_, rights)| rights);
    let seen = RIGHTS.iter().filter(|it| config.observe_cluster || it.place == Place::Models);
    let all: Vec<&Right> = seen.chain(own).collect();
    let count: usize = all.iter().map(|right| right.verbs.len()).sum();
    let missing = missing(calls, &config.namespace, all.into_iter().map(|it| (it, it.verbs))).await;
    if !missing.is_empty() {
        return missing;
    }
    let seen =
        if config.observe_cluster { "" } else { "; of the namespace alone (kubernetes.sees)" };
    vec![Check::new("rights", State::Good, format!("all {count} that the hub uses{seen}"))]
}

/// Rights that are missing where machines are, of the cluster that has their deployments. `orders`: nodes are made, and
/// not only advised.
pub async fn rights_of_machines(
    client: kube::Client,
    namespaces: &BTreeSet<&str>,
    orders: bool,
) -> Vec<Check> {
    let calls = Calls { client, namespace: String::new() };
    let mut all = Vec::new();
    for namespace in namespaces {
        // The last verb of each is that of a change.
        let verbs = |it: &'static Right| if orders { it.verbs } else { &it.verbs[..1] };
        let rights = MACHINES.iter().map(|it| (it, verbs(it)));
        all.extend(missing(&calls, namespace, rights).await);
    }
    all
}

async fn missing(
    calls: &Calls,
    own: &str,
    rights: impl Iterator<Item = (&Right, &[&'static str])>,
) -> Vec<Check> {
    let name = "rights";
    let mut missing = Vec::new();
    for (right, verbs) in rights {
        let namespace = right.place.namespace(own);
        let place = match namespace {
            Some(namespace) => format!("in the namespace {namespace}"),
            None => "in the cluster".to_owned(),
        };
        for verb in verbs {
            match calls.may((verb, right.group, right.resource), namespace).await {
                Ok(true) => {}
                Ok(false) => {
                    let state = if right.is_needed() { State::Broken } else { State::Note };
                    let on = right.named();
                    let what = format!(
                        "{verb} {on} {place} is missing: without it {}; give it to the hub's account, as the chart's \
                         roles do ({})",
                        right.without,
                        right.value()
                    );
                    missing.push(Check::new(name, state, what));
                }
                Err(failed) => {
                    let what = format!("the cluster does not say what the hub may do: {failed}");
                    return vec![Check::new(name, State::Note, what)];
                }
            }
        }
    }
    missing
}

/// The template of pods, and what it names.
fn template(config: &KubeConfig, tried: &Result<(), Tried>) -> Vec<Check> {
    let class = config.template["spec"]["priorityClassName"].as_str();
    let of_class = |words: &str| class.is_some() && words.contains("PriorityClass");
    let check = |name, state, what: String| Check::new(name, state, what);
    let (template, priority) = match tried {
        Ok(()) => {
            let what = match config.template.is_null() {
                true => "none, and the cluster takes a pod of a model".to_owned(),
                false => "the cluster takes a pod that has it".to_owned(),
            };
            (check("pod template", State::Good, what), None)
        }
        Err(Tried::Template(why)) => {
            let what = format!("{why}; see kubernetes.pod_template");
            (check("pod template", State::Broken, what), None)
        }
        Err(Tried::Cluster(failed)) => {
            let words = failed.to_string();
            let note = is_of_a_policy(failed);
            let state = if note { State::Note } else { State::Broken };
            let what = match note {
                true => format!(
                    "a policy of the cluster refuses a pod without a model's image: {words}"
                ),
                false => format!(
                    "the cluster refuses a pod that has it: {words}; see kubernetes.pod_template"
                ),
            };
            (check("pod template", state, what), of_class(&words).then_some(words))
        }
    };
    let class = match (class, priority) {
        (None, _) => "none is named: pods of models have the cluster's default priority".to_owned(),
        (Some(class), Some(_)) => {
            let what = format!(
                "{class} is not there: make it (the chart's models.priorityClass.create), or name another one in \
                 spec.priorityClassName of kubernetes.pod_template"
            );
            return vec![template, check("priority class", State::Broken, what)];
        }
        (Some(class), None) => class.to_owned(),
    };
    let state = if template.state == State::Broken { State::Note } else { State::Good };
    vec![template, check("priority class", state, class)]
}

async fn metrics(calls: &Calls) -> Check {
    let check = |state, what: String| Check::new("metrics", state, what);
    let path = format!("/apis/metrics.k8s.io/v1beta1/namespaces/{}/pods", calls.namespace);
    let told: Result<Value, Failed> = calls.call(Method::GET, &path, None).await;
    match told {
        Ok(_) => check(State::Good, "metrics.k8s.io answers: what pods use is shown".to_owned()),
        Err(failed) if failed.is(404) => {
            let what = "metrics.k8s.io is not served: what pods use is not shown until the cluster has a metrics-server";
            check(State::Note, what.to_owned())
        }
        Err(failed) if failed.is(403) => check(
            State::Note,
            "the hub may not read metrics.k8s.io: what pods use is not shown".to_owned(),
        ),
        Err(failed) => {
            check(State::Note, format!("metrics.k8s.io: {failed}; what pods use is not shown"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::level;

    #[test]
    fn the_level_is_read_of_what_admission_says() {
        let words = "pods \"x\" is forbidden: violates PodSecurity \"restricted:latest\": host namespaces (hostNetwork=true)";
        assert_eq!(level(words), Some("restricted"));
        assert_eq!(level("violates PodSecurity \"baseline:v1.33\": x"), Some("baseline"));
        assert_eq!(level("exceeded quota: q"), None);
    }
}
