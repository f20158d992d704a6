//! What the operator says of the cluster whose pods are instances.

use std::path::{Path, PathBuf};

use muster_cluster::kube::{self, Client, KubeError, Survey};
use muster_core::image;
use serde_json::Value;

use super::server::{size, web_address};
use super::settings::Settings;

/// Instances are pods.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kubernetes {
    /// That of the kubeconfig, or of the hub's own pod, if none is said.
    pub namespace: Option<String>,
    pub kubeconfig: Option<PathBuf>,
    pub context: Option<String>,
    /// What all pods have beyond what the hub gives them.
    pub template: Value,
    /// Nodes and pods of others are looked at.
    pub sees_cluster: bool,
    /// An autoscaler is asked to keep room free.
    pub buffers: bool,
    /// The hub's own image.
    pub hub_image: Option<String>,
    /// How folders that were pushed run, if they do.
    pub runner: Option<Runner>,
}

/// Folders that were pushed are pods of this image.
#[derive(Clone, Debug, PartialEq)]
pub struct Runner {
    pub image: String,
    /// A claim that they share.
    pub cache: Option<String>,
    /// Of a volume that one has for itself.
    pub cache_bytes: u64,
    /// Where they reach the hub, if somebody says it.
    pub hub_url: Option<String>,
}

impl Kubernetes {
    pub async fn client(&self) -> Result<Client, KubeError> {
        kube::client(self.kubeconfig.as_deref(), self.context.as_deref()).await
    }

    /// Asks the cluster how it is.
    pub async fn survey(&self) -> Result<Survey, KubeError> {
        Ok(Survey::new(self.client().await?, self.namespace.as_deref(), self.sees_cluster))
    }
}

/// Nothing if instances are processes.
pub fn read(settings: &Settings) -> Result<Option<Kubernetes>, String> {
    let kind = settings.read("cluster", "processes or kubernetes", |text| match text {
        "processes" => Some(false),
        "kubernetes" => Some(true),
        _ => None,
    })?;
    if !kind.unwrap_or(false) {
        return Ok(None);
    }
    let namespace = settings.read(
        "kubernetes.namespace",
        "1 to 63 of a-z, 0-9 and '-', which begins and ends with no '-'",
        namespace,
    )?;
    let sees = settings.read("kubernetes.sees", "cluster or namespace", |text| match text {
        "cluster" => Some(true),
        "namespace" => Some(false),
        _ => None,
    })?;
    let kubeconfig = settings.text("kubernetes.kubeconfig").map(PathBuf::from);
    if let Some(file) = &kubeconfig
        && !file.is_file()
    {
        return Err(format!("kubernetes.kubeconfig: there is no file {}", file.display()));
    }
    let template = match settings.text("kubernetes.pod_template") {
        Some(file) => template(Path::new(file))?,
        None => Value::Null,
    };
    Ok(Some(Kubernetes {
        namespace,
        kubeconfig,
        context: settings.text("kubernetes.context").map(str::to_owned),
        template,
        sees_cluster: sees.unwrap_or(true),
        buffers: settings
            .read("kubernetes.capacity_buffers", "true or false", |text| text.parse().ok())?
            .unwrap_or(false),
        hub_image: settings.text("kubernetes.hub_image").map(str::to_owned),
        runner: runner(settings)?,
    }))
}

fn runner(settings: &Settings) -> Result<Option<Runner>, String> {
    let image = settings.read("kubernetes.runner_image", "the name of an image", |text| {
        image::check(text).ok().map(|()| text.to_owned())
    })?;
    let cache = settings.read(
        "kubernetes.folder_cache",
        "the name of a claim: 1 to 63 of a-z, 0-9 and '-', which begins and ends with no '-'",
        namespace,
    )?;
    let cache_bytes =
        settings.read("kubernetes.folder_cache_bytes", "a size such as 10GiB", size)?;
    let hub_url = settings.read("kubernetes.hub_url", "like http://muster.muster.svc", |text| {
        web_address(text).map(|_| text.trim_end_matches('/').to_owned())
    })?;
    let hub_url = hub_url.or_else(|| settings.text("public_url").map(str::to_owned));
    let cache_bytes = cache_bytes.unwrap_or(1);
    Ok(image.map(|image| Runner { image, cache, cache_bytes, hub_url }))
}

fn namespace(text: &str) -> Option<String> {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let good = (1..=63).contains(&text.len()) && text.bytes().all(fits);
    (good && !text.starts_with('-') && !text.ends_with('-')).then(|| text.to_owned())
}

/// `metadata` and `spec` of a pod, in YAML or JSON.
fn template(file: &Path) -> Result<Value, String> {
    let wrong = |what: &str| format!("kubernetes.pod_template: {}: {what}", file.display());
    let text = std::fs::read_to_string(file).map_err(|error| wrong(&error.to_string()))?;
    let template: Value =
        serde_saphyr::from_str(&text).map_err(|error| wrong(&error.to_string()))?;
    let Value::Object(members) = &template else {
        return Err(wrong("it is not a template: it has metadata, spec or both"));
    };
    match members.keys().find(|key| !matches!(key.as_str(), "metadata" | "spec")) {
        Some(other) => Err(wrong(&format!("it has {other:?}, and may have metadata and spec"))),
        None => Ok(template),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::environment;
    use crate::config::known::SETTINGS;

    fn of(values: &[(&str, &str)]) -> Result<Option<Kubernetes>, String> {
        let environment = environment(values);
        let settings = Settings::resolve(SETTINGS, &[], &environment, None)?;
        read(&settings)
    }

    #[test]
    fn instances_are_processes_unless_somebody_says_otherwise() {
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&[("MUSTER_CLUSTER", "processes")]), Ok(None));
        let found = of(&[("MUSTER_CLUSTER", "kubernetes")]).expect("it is read").expect("pods");
        assert!(found.sees_cluster && found.namespace.is_none());
        let wrong = of(&[("MUSTER_CLUSTER", "docker")]).expect_err("it is not known");
        assert!(wrong.contains("must be processes or kubernetes"), "{wrong}");
    }

    #[test]
    fn a_template_is_metadata_and_spec_of_a_pod() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("pod.yaml");
        let name = file.to_str().expect("a name").to_owned();
        let with = |text: &str| {
            std::fs::write(&file, text).expect("a file");
            of(&[("MUSTER_CLUSTER", "kubernetes"), ("MUSTER_KUBERNETES_POD_TEMPLATE", &name)])
        };
        let good = with("metadata:\n  labels:\n    kueue.x-k8s.io/queue-name: models\nspec: {}\n");
        let good = good.expect("it is read").expect("pods").template;
        assert_eq!(good["metadata"]["labels"]["kueue.x-k8s.io/queue-name"], "models");
        for (text, what) in [
            ("kind: Pod\nspec: {}\n", "it has \"kind\""),
            ("- 1\n", "it is not a template"),
            ("spec: [\n", "pod.yaml"),
        ] {
            let wrong = with(text).expect_err("it is no template");
            assert!(wrong.contains(what), "{wrong}");
        }
    }

    #[test]
    fn folders_run_where_an_image_is_named() {
        let cluster = ("MUSTER_CLUSTER", "kubernetes");
        let image = ("MUSTER_KUBERNETES_RUNNER_IMAGE", "registry.example.org/lab/muster-one:1");
        let runner = |more: &[(&str, &str)]| {
            of(&[&[cluster], more].concat()).expect("it is read").expect("pods").runner
        };
        assert_eq!(runner(&[("MUSTER_KUBERNETES_FOLDER_CACHE", "folders")]), None);
        let found = runner(&[image]).expect("an image");
        assert_eq!((found.cache, found.cache_bytes, found.hub_url), (None, 10 << 30, None));
        let found = runner(&[image, ("MUSTER_PUBLIC_URL", "https://hub.example.org")]);
        assert_eq!(found.expect("an image").hub_url.as_deref(), Some("https://hub.example.org"));
    }

    #[test]
    fn what_is_not_there_is_named() {
        let cluster = ("MUSTER_CLUSTER", "kubernetes");
        for (variable, text, what) in [
            ("MUSTER_KUBERNETES_NAMESPACE", "Models", "kubernetes.namespace"),
            ("MUSTER_KUBERNETES_SEES", "all", "cluster or namespace"),
            ("MUSTER_KUBERNETES_CAPACITY_BUFFERS", "2", "true or false"),
            ("MUSTER_KUBERNETES_RUNNER_IMAGE", "A B", "the name of an image"),
            ("MUSTER_KUBERNETES_FOLDER_CACHE", "Cache", "the name of a claim"),
            ("MUSTER_KUBERNETES_FOLDER_CACHE_BYTES", "much", "a size such as"),
            ("MUSTER_KUBERNETES_HUB_URL", "hub", "http://muster"),
            ("MUSTER_KUBERNETES_KUBECONFIG", "/nowhere", "there is no file /nowhere"),
            ("MUSTER_KUBERNETES_POD_TEMPLATE", "/nowhere", "/nowhere"),
        ] {
            let wrong = of(&[cluster, (variable, text)]).expect_err("it is wrong");
            assert!(wrong.contains(what), "{wrong}");
        }
    }
}
