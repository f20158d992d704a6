//! Plays what stands before pods: a service gets an address of this machine's loopback, and whoever connects there is
//! connected with a pod that is ready. As on real nodes, what a pod has become is known there a moment later.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::kubelet::Shared;
use super::shapes::{Labels, Pod, read};
use super::text;
use crate::{Objects, Resource};

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Settings {
    /// Until every node knows of a pod that came, or goes.
    #[serde(rename = "lagMillis", with = "super::millis")]
    pub lag: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { lag: Duration::from_millis(500) }
    }
}

/// Addresses of pods that are ready, by service and name of a port; whom the next one gets.
#[derive(Default)]
struct Ends {
    pods: Mutex<HashMap<(String, String), Vec<String>>>,
    next: AtomicUsize,
}

/// Until it is dropped.
pub async fn run(shared: Arc<Shared>, settings: Settings) {
    let mut changes = shared.objects.changes();
    let ends: Arc<Ends> = Arc::default();
    let mut listening: HashMap<(String, String), JoinSet<()>> = HashMap::new();
    let mut looks = JoinSet::new();
    loop {
        let services: Vec<_> = shared.objects.list(&Resource::services()).1;
        listening.retain(|uid, _| services.iter().any(|it| text(it, "/metadata/uid") == uid.0));
        for service in &services {
            listen(&shared, service, &ends, &mut listening).await;
        }
        let found = find(&shared.objects, &services);
        let (ends, lag) = (ends.clone(), settings.lag);
        looks.spawn(async move {
            sleep(lag).await;
            *ends.pods.lock().unwrap_or_else(PoisonError::into_inner) = found;
        });
        while looks.try_join_next().is_some() {}
        loop {
            match changes.recv().await {
                Ok(change)
                    if change.of == Resource::services() || change.of == Resource::pods() =>
                {
                    break;
                }
                Err(RecvError::Closed) => return,
                Err(RecvError::Lagged(_)) => break,
                Ok(_) => {}
            }
        }
    }
}

/// A service without an address gets one; its ports are listened to.
async fn listen(
    shared: &Arc<Shared>,
    service: &Value,
    ends: &Arc<Ends>,
    listening: &mut HashMap<(String, String), JoinSet<()>>,
) {
    let (namespace, name) = (text(service, "/metadata/namespace"), text(service, "/metadata/name"));
    let mut address = text(service, "/spec/clusterIP").to_owned();
    if address.is_empty() && service["spec"]["selector"].is_object() {
        address = shared.next_address();
        let given =
            shared.objects.change(&Resource::services(), Some(namespace), name, |service| {
                service["spec"]["clusterIP"] = json!(address);
                service["spec"]["clusterIPs"] = json!([address]);
            });
        // It may be gone already.
        drop(given);
    }
    if address.is_empty() || address == "None" {
        return;
    }
    let uid = text(service, "/metadata/uid").to_owned();
    for port in service["spec"]["ports"].as_array().into_iter().flatten() {
        let number =
            port["port"].as_u64().and_then(|number| u16::try_from(number).ok()).unwrap_or(0);
        let at = (uid.clone(), format!("{address}:{number}"));
        if listening.contains_key(&at) {
            continue;
        }
        let listener = match TcpListener::bind((&*address, number)).await {
            Ok(listener) => listener,
            Err(error) => {
                eprintln!("fake-kube: service {namespace}/{name}: {address}:{number}: {error}");
                continue;
            }
        };
        let (ends, to) = (ends.clone(), (uid.clone(), number.to_string()));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut from, _)) = listener.accept().await {
                while connections.try_join_next().is_some() {}
                let Some(pod) = ends.one(&to) else { continue };
                connections.spawn(async move {
                    // A pod that is not there any more: the connection ends, as it does on a node.
                    if let Ok(mut to) = TcpStream::connect(pod).await {
                        drop(copy_bidirectional(&mut from, &mut to).await);
                    }
                });
            }
        });
        listening.insert(at, tasks);
    }
}

impl Ends {
    fn one(&self, to: &(String, String)) -> Option<String> {
        let pods = self.pods.lock().unwrap_or_else(PoisonError::into_inner);
        let ready = pods.get(to).filter(|all| !all.is_empty())?;
        Some(ready[self.next.fetch_add(1, Ordering::Relaxed) % ready.len()].clone())
    }
}

/// The pods that are ready, of each port of each service.
fn find(objects: &Objects, services: &[Arc<Value>]) -> HashMap<(String, String), Vec<String>> {
    let pods: Vec<Pod> =
        objects.list(&Resource::pods()).1.iter().filter_map(|pod| read(pod).ok()).collect();
    let mut found = HashMap::new();
    for service in services {
        let Ok(selector) = serde_json::from_value::<Labels>(service["spec"]["selector"].clone())
        else {
            continue;
        };
        let fits = |pod: &&Pod| {
            pod.metadata.namespace == text(service, "/metadata/namespace")
                && !pod.is_going()
                && selector.iter().all(|(key, value)| pod.metadata.labels.get(key) == Some(value))
                && pod
                    .status
                    .conditions
                    .iter()
                    .any(|it| it.r#type == "Ready" && it.status == "True")
        };
        for port in service["spec"]["ports"].as_array().into_iter().flatten() {
            let target = match &port["targetPort"] {
                Value::Null => &port["port"],
                target => target,
            };
            let of = |pod: &Pod| {
                let number = target.as_u64().map(|number| number.to_string());
                let ports = pod.spec.containers.iter().flat_map(|container| &container.ports);
                let named = || {
                    let mut named = ports.filter(|it| it.name.as_deref() == target.as_str());
                    named.next().map(|it| it.container_port.to_string())
                };
                Some(format!("{}:{}", pod.status.pod_ip.as_ref()?, number.or_else(named)?))
            };
            let ready: Vec<String> = pods.iter().filter(fits).filter_map(of).collect();
            found.insert(
                (text(service, "/metadata/uid").to_owned(), port["port"].to_string()),
                ready,
            );
        }
    }
    found
}
