//! What administrators see of models. The hub's own paths are not shown.

use muster_core::model::{ModelLimits, PodSettings};
use muster_core::{ModelId, Source};
use muster_store::{Entry, Owner};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{etag, owner, url};
use crate::api::requests::view::{CardView, InputView, OutputView, ResourcesView};

/// A model as administrators see it.
#[derive(Serialize, ToSchema)]
#[schema(as = CatalogueModel)]
pub struct CatalogueView<'m> {
    #[schema(value_type = String, example = "rdkit-descriptors")]
    pub id: &'m ModelId,
    #[schema(example = "1.0.0+3fa9c1d2")]
    pub version: &'m str,
    /// Who describes it: a folder on the hub's machine, one that was pushed, or the API.
    #[schema(example = "folder")]
    pub owner: &'static str,
    /// False: its folder is gone.
    pub offered: bool,
    /// Why it takes no new requests, if it takes none.
    pub disabled: Option<&'m str>,
    /// For If-Match.
    #[schema(example = "\"1760000000000000\"")]
    pub etag: String,
    /// Where its server is, if it runs elsewhere.
    pub address: Option<&'m str>,
    /// The image that serves it, if it is one.
    #[schema(example = "registry.example.org/lab/solubility:1.2.0")]
    pub image: Option<&'m str>,
    /// Where it listens in its pod, if it is an image.
    pub port: Option<u16>,
    /// What an instance of it is: a process of a hub, a server elsewhere, or a pod.
    #[schema(example = "process")]
    pub runs: &'static str,
    /// What its pods have beyond what the hub gives them. Null if nothing was said, and for those who lack the
    /// permission ADMIN.
    pub pod: Option<PodView<'m>>,
    pub card: CardView<'m>,
    pub input: InputView<'m>,
    pub outputs: Vec<OutputView<'m>>,
    pub example: &'m [String],
    pub limits: FullLimitsView,
    pub resources: ResourcesView<'m>,
    pub cache: bool,
    /// What the code of a folder's model may reach.
    #[schema(example = "none")]
    pub network: Option<&'static str>,
    /// What was edited here of a folder's model.
    #[schema(value_type = Object)]
    pub edits: &'m Value,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ModelPod)]
pub struct PodView<'m> {
    #[schema(value_type = Option<Object>)]
    pub template: &'m Value,
    /// Why they may do more than Kubernetes' level `restricted` lets them.
    pub unrestricted: Option<&'m str>,
    /// Their processors are limited to what they ask for.
    pub limit_cpu: bool,
}

#[derive(Serialize, ToSchema)]
#[schema(as = FullModelLimits)]
pub struct FullLimitsView {
    pub batch_size: u32,
    pub min_instances: u32,
    pub max_instances: u32,
    pub spare_instances: u32,
    pub prepare_seconds: u32,
    pub start_seconds: u32,
    pub job_seconds: u32,
    pub idle_seconds: u32,
    pub memory_mib: u32,
    pub memory_most_mib: u32,
    pub max_attempts: u32,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ClearedCache)]
pub struct ClearedView {
    /// How many were forgotten.
    pub predictions: u64,
}

impl<'m> CatalogueView<'m> {
    /// What only administrators may set of pods only they see.
    pub fn new(entry: &'m Entry, is_admin: bool) -> Self {
        let model = &entry.model;
        let (image, port) = match &model.source {
            Source::Image { image, port } => (Some(&**image), Some(*port)),
            Source::Server { .. } | Source::Folder { .. } | Source::Pushed { .. } => (None, None),
        };
        Self {
            id: &model.id,
            version: &model.version,
            owner: owner(entry.owner),
            offered: entry.offered,
            disabled: entry.disabled.as_deref(),
            etag: etag(entry),
            address: url(entry),
            image,
            port,
            runs: model.source.runs().name(),
            pod: model.pod.as_ref().filter(|_| is_admin).map(PodView::from),
            card: CardView::new(model),
            input: InputView::new(model),
            outputs: model.outputs.iter().map(OutputView::new).collect(),
            example: &model.example,
            limits: FullLimitsView::new(&model.limits),
            resources: ResourcesView::new(&model.resources),
            cache: model.cache,
            network: (entry.owner != Owner::Api).then(|| model.network.as_str()),
            edits: &entry.edits,
        }
    }
}

impl<'m> From<&'m PodSettings> for PodView<'m> {
    fn from(pod: &'m PodSettings) -> Self {
        let PodSettings { template, unrestricted, limit_cpu } = pod;
        Self { template, unrestricted: unrestricted.as_deref(), limit_cpu: *limit_cpu }
    }
}

impl FullLimitsView {
    fn new(limits: &ModelLimits) -> Self {
        Self {
            batch_size: limits.batch_size,
            min_instances: limits.min_instances,
            max_instances: limits.max_instances,
            spare_instances: limits.spare_instances,
            prepare_seconds: limits.prepare_seconds,
            start_seconds: limits.start_seconds,
            job_seconds: limits.job_seconds,
            idle_seconds: limits.idle_seconds,
            memory_mib: limits.memory_mib,
            memory_most_mib: limits.memory_most_mib,
            max_attempts: limits.max_attempts,
        }
    }
}
