//! Descriptions of models, as openapi.json shows them; `reading` reads them.

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::ToSchema;

/// A model that runs elsewhere, or one that is an image: it has an address or an image.
#[derive(ToSchema)]
#[schema(as = NewModel, example = json!({"id": "solubility", "address": "https://models.example.org/solubility",
    "version": "1.2.0", "input": {"name": "smiles", "description": "A molecule"},
    "card": {"title": "Solubility"}, "outputs": [{"name": "log_s", "kind": "float"}]}))]
#[expect(dead_code, reason = "it only describes what `NewModel` reads")]
pub struct NewModelSchema {
    #[schema(pattern = "^[a-z0-9][a-z0-9._-]{0,63}$")]
    id: String,
    /// Where its model server is: begins with one of the operator's `model_addresses`.
    address: Option<String>,
    /// The image that serves it, as registries name it: begins with one of the operator's `model_images`. Each
    /// instance is a pod.
    #[schema(max_length = 512, example = "registry.example.org/lab/solubility:1.2.0")]
    image: Option<String>,
    /// Where its model server listens in the pod; 80 if not given.
    #[schema(minimum = 1, maximum = 65_535)]
    port: Option<u16>,
    /// Another version means other predictions. The hub adds what stands for the address, or for image and
    /// port.
    #[schema(min_length = 1, max_length = 55)]
    version: String,
    card: Option<CardSchema>,
    input: InputSchema,
    outputs: Option<Vec<OutputSchema>>,
    example: Option<Vec<String>>,
    limits: Option<ModelLimitsSchema>,
    resources: Option<ResourcesSchema>,
    /// May predictions be kept and used again? False if not given.
    cache: Option<bool>,
    pod: Option<PodSchema>,
}

/// What is to change; members that are not given stay as they are.
#[derive(ToSchema)]
#[schema(as = ModelChange, example = json!({"card": {"licence": "MIT"}, "limits": {"batch_size": 50}}))]
#[expect(dead_code, reason = "it only describes what `read_change` reads")]
pub struct ModelChangeSchema {
    /// Of a model that runs elsewhere.
    address: Option<String>,
    /// Of a model that is an image.
    #[schema(max_length = 512)]
    image: Option<String>,
    /// Of a model that is an image.
    #[schema(minimum = 1, maximum = 65_535)]
    port: Option<u16>,
    #[schema(min_length = 1, max_length = 55)]
    version: Option<String>,
    card: Option<CardSchema>,
    input: Option<InputSchema>,
    outputs: Option<Vec<OutputSchema>>,
    example: Option<Vec<String>>,
    limits: Option<ModelLimitsSchema>,
    resources: Option<ResourcesSchema>,
    cache: Option<bool>,
    /// Of a folder's model: what its code may reach.
    network: Option<String>,
    pod: Option<PodSchema>,
}

/// What the pods of a model that is an image have beyond what the hub gives them. For the permission ADMIN.
#[derive(ToSchema)]
#[schema(as = ModelPodChange)]
#[expect(dead_code, reason = "it only describes what `PodSettings` reads")]
pub struct PodSchema {
    /// `metadata` (labels, annotations) and `spec` of a pod, as a strategic merge patch; at most 32 KiB.
    #[schema(value_type = Option<Object>, example = json!({"spec": {"priorityClassName": "low"}}))]
    template: Option<Value>,
    /// Why they may do more than Kubernetes' level `restricted` lets them; without a reason they may not.
    #[schema(max_length = 500, example = "Its image runs as root.")]
    unrestricted: Option<String>,
    /// Their processors are limited to what they ask for; false if not given.
    limit_cpu: Option<bool>,
}

#[derive(ToSchema)]
#[schema(as = CardChange)]
#[expect(dead_code, reason = "it only describes what `Card` reads")]
pub struct CardSchema {
    title: Option<String>,
    description: Option<String>,
    interpretation: Option<String>,
    licence: Option<String>,
    publication: Option<String>,
    source_code: Option<String>,
    tags: Option<Vec<String>>,
    /// What it is for, in a word or two.
    #[schema(max_length = 100)]
    task: Option<String>,
}

#[derive(ToSchema)]
#[schema(as = NewModelInput)]
#[expect(dead_code, reason = "it only describes what `InputColumn` reads")]
pub struct InputSchema {
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    description: String,
    /// Other header names that mean this column.
    also: Option<Vec<String>>,
    /// What its cells are; the hub goes by the names and the description if it is not given.
    kind: Option<String>,
}

#[derive(ToSchema)]
#[schema(as = NewModelOutput)]
#[expect(dead_code, reason = "it only describes what `Column` reads")]
pub struct OutputSchema {
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    kind: String,
    description: Option<String>,
    #[schema(max_length = 100)]
    unit: Option<String>,
    /// At which end of its values what it stands for is strong.
    direction: Option<String>,
}

/// How a model is run.
#[derive(ToSchema)]
#[schema(as = ModelLimitsChange)]
#[expect(dead_code, reason = "it only describes what `ModelLimits` reads")]
pub struct ModelLimitsSchema {
    /// Most inputs in one call of an instance.
    #[schema(minimum = 1, maximum = 100_000)]
    batch_size: Option<u32>,
    min_instances: Option<u32>,
    #[schema(minimum = 1)]
    max_instances: Option<u32>,
    /// Nodes of groups have room for so many more than run; at most `max_instances`.
    spare_instances: Option<u32>,
    /// Longest time that making its environment takes.
    #[schema(minimum = 1)]
    prepare_seconds: Option<u32>,
    /// Longest time from launch to ready, without that.
    #[schema(minimum = 1)]
    start_seconds: Option<u32>,
    /// Longest time of one call.
    #[schema(minimum = 1)]
    job_seconds: Option<u32>,
    /// How long an instance may be idle.
    idle_seconds: Option<u32>,
    /// Most resident memory of an instance.
    #[schema(minimum = 16)]
    memory_mib: Option<u32>,
    /// The same of a pod that follows one which ran out of it: at least `memory_mib`; 0: no more than that.
    memory_most_mib: Option<u32>,
    /// How often a task is tried before its request fails.
    #[schema(minimum = 1)]
    max_attempts: Option<u32>,
}

/// What an instance of a model needs. Null: as if it was not declared.
#[derive(ToSchema)]
#[schema(as = ModelResourcesChange)]
#[expect(dead_code, reason = "it only describes what `Resources` reads")]
pub struct ResourcesSchema {
    /// Cores, with at most three decimals.
    #[schema(minimum = 0, maximum = 10_000)]
    cpu: Option<f64>,
    /// At most the `memory_mib` of `limits`.
    #[schema(minimum = 1)]
    memory_mib: Option<u32>,
    storage_mib: Option<u32>,
    /// Whole ones.
    #[schema(maximum = 1_000)]
    gpus: Option<u32>,
    /// The resource name of its GPUs.
    #[schema(example = "nvidia.com/gpu")]
    gpu: Option<String>,
    /// Labels that a node must have.
    node: Option<BTreeMap<String, String>>,
}
