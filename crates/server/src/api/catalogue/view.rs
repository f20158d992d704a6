//! What administrators see of models. The hub's own paths are not shown.

use muster_core::ModelId;
use muster_core::model::ModelLimits;
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
    /// Who describes it: a folder on the hub's machine, or the API.
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
    pub max_attempts: u32,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ClearedCache)]
pub struct ClearedView {
    /// How many were forgotten.
    pub predictions: u64,
}

impl<'m> CatalogueView<'m> {
    pub fn new(entry: &'m Entry) -> Self {
        let model = &entry.model;
        Self {
            id: &model.id,
            version: &model.version,
            owner: owner(entry.owner),
            offered: entry.offered,
            disabled: entry.disabled.as_deref(),
            etag: etag(entry),
            address: url(entry),
            card: CardView::new(model),
            input: InputView::new(model),
            outputs: model.outputs.iter().map(OutputView::new).collect(),
            example: &model.example,
            limits: FullLimitsView::new(&model.limits),
            resources: ResourcesView::new(&model.resources),
            cache: model.cache,
            network: (entry.owner == Owner::Folder).then(|| model.network.as_str()),
            edits: &entry.edits,
        }
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
            max_attempts: limits.max_attempts,
        }
    }
}
