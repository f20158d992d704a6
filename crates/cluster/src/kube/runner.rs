//! Pods of folders that were pushed: of one image, with the program of the hub and Python. Each fetches its folder from
//! the hub, makes its environment, and serves it; what it made is found again by who has the same volume.

use std::fmt;
use std::sync::Arc;

use muster_core::model::Network;
use muster_core::{InstanceId, Model};
use serde_json::{Value, json};

use super::merge::merge;

/// What the hub tells its pods: where the archive is, and where their last words are read.
pub const LINK: &str = "MUSTER_FOLDER_LINK";
pub const LAST_WORDS: &str = "MUSTER_LAST_WORDS";
/// Where it listens; who is not root may.
pub(super) const PORT: u16 = 8080;
/// Reaches the hub and indexes of packages, as long as its pod has this label.
pub(crate) const PREPARES: &str = "muster.dev/prepares";
/// Reaches others for as long as it is there.
const NETWORK: &str = "muster.dev/network";
/// Where the volume is.
pub(super) const CACHE: &str = "/cache";
/// Files in a claim are of this group, whoever the image runs as.
const GROUP: u32 = 65_532;

/// How folders that were pushed run.
#[derive(Clone)]
pub struct Runner {
    /// Its program is `muster`, and it has Python.
    pub image: String,
    /// A claim of a volume that all such pods share; else each has a volume of its own, of so many bytes.
    pub cache: Option<String>,
    pub cache_bytes: u64,
    /// Models run inside walls.
    pub walls: bool,
    /// Where its pods reach the hub.
    pub hub_url: String,
    /// A link by which the pod of an instance fetches an archive, below that.
    pub link: Link,
}

/// By the hash of an archive and the instance that fetches it.
pub type Link = Arc<dyn Fn(&str, InstanceId) -> String + Send + Sync>;

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner").field("image", &self.image).finish_non_exhaustive()
    }
}

impl Runner {
    /// Bytes of the node's disk that a pod has for its volume.
    pub(super) fn own_bytes(&self) -> u64 {
        if self.cache.is_some() { 0 } else { self.cache_bytes }
    }

    /// What a reader of pods does not understand of the shared volume, in its words.
    pub(super) fn understood(&self) -> Option<String> {
        self.cache.as_ref().map(|claim| format!("volume claim {claim}"))
    }

    /// Completes the pod of a model whose archive this is.
    pub(super) fn complete(
        &self,
        pod: &mut Value,
        model: &Model,
        (content, instance): (&str, InstanceId),
    ) -> Result<(), String> {
        let folder = format!("{CACHE}/folders/{content}");
        let (listen, environments) = (format!("$(POD_IP):{PORT}"), format!("{CACHE}/environments"));
        let mut args = vec![
            "model-server",
            &folder,
            "--fetch",
            "--listen",
            &listen,
            "--environments",
            &environments,
            "--of-version",
            &model.version,
            "--network",
            model.network.as_str(),
        ];
        if !self.walls {
            args.push("--no-walls");
        }
        let mut labels = json!({PREPARES: "true"});
        if model.network == Network::All {
            labels[NETWORK] = json!("all");
        }
        let more = json!({
            "metadata": {"labels": labels},
            "spec": {
                "containers": [{
                    "name": super::read::MODEL_CONTAINER,
                    "args": args,
                    "env": [
                        {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                        {"name": "HOME", "value": "/tmp"},
                        {"name": LINK, "value": format!("{}{}", self.hub_url, (self.link)(content, instance))},
                        {"name": LAST_WORDS, "value": "/dev/termination-log"},
                    ],
                    "volumeMounts": [self.mount(content)],
                }],
                "volumes": [self.volume()],
            },
        });
        merge(pod, &more)?;
        self.own_files(pod);
        Ok(())
    }

    fn volume(&self) -> Value {
        match &self.cache {
            Some(claim) => json!({"name": "cache", "persistentVolumeClaim": {"claimName": claim}}),
            None => {
                json!({"name": "cache", "emptyDir": {"sizeLimit": self.cache_bytes.to_string()}})
            }
        }
    }

    /// What the doctor's pod has of it.
    pub(super) fn try_with(&self, pod: &mut Value) -> Result<(), String> {
        let container = json!({
            "name": super::read::MODEL_CONTAINER,
            "env": [{"name": "HOME", "value": "/tmp"}],
            "volumeMounts": [{"name": "cache", "mountPath": CACHE}, {"name": "tmp", "mountPath": "/tmp"}],
        });
        let more = json!({
            "metadata": {"labels": {PREPARES: "true"}},
            "spec": {
                "containers": [container],
                "volumes": [self.volume(), {"name": "tmp", "emptyDir": {}}],
            },
        });
        merge(pod, &more)?;
        self.own_files(pod);
        Ok(())
    }

    /// Files of a claim are of a group in which the pod's program is.
    fn own_files(&self, pod: &mut Value) {
        if self.cache.is_some() {
            let group = json!({"fsGroup": GROUP, "fsGroupChangePolicy": "OnRootMismatch"});
            pod["spec"]["securityContext"] = group;
        }
    }

    /// Each archive has a folder of its own in a volume that is shared: models do not write into each other's.
    fn mount(&self, content: &str) -> Value {
        let mut mount = json!({"name": "cache", "mountPath": CACHE});
        if self.cache.is_some() {
            mount["subPath"] = json!(content);
        }
        mount
    }
}
