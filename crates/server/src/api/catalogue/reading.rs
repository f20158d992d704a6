//! Descriptions of models as they are sent.

use std::collections::BTreeMap;

use axum::extract::Request;
use muster_core::model::{Card, InputColumn, ModelLimits, Network, merge};
use muster_core::{Column, Model, ModelId, Resources, Source};
use muster_store::{Entry, Owner};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::url;
use crate::app::App;
use crate::http::problem::{At, Kind, Problem};
use crate::origin;
use crate::reading::json::escape;
use crate::reading::open_json;

const MOST_BYTES: u64 = 256 << 10;

/// What can be edited of a folder's model.
const LAYER: [&str; 5] = ["card", "limits", "resources", "cache", "network"];
const ALL: [&str; 9] =
    ["address", "version", "card", "input", "outputs", "example", "limits", "resources", "cache"];

/// A model that runs elsewhere.
#[derive(ToSchema)]
#[schema(as = NewModel, example = json!({"id": "solubility", "address": "https://models.example.org/solubility",
    "version": "1.2.0", "input": {"name": "smiles", "description": "A molecule"},
    "card": {"title": "Solubility"}, "outputs": [{"name": "log_s", "kind": "float"}]}))]
#[expect(dead_code, reason = "it only describes what `NewModel` reads")]
pub struct NewModelSchema {
    #[schema(pattern = "^[a-z0-9][a-z0-9._-]{0,63}$")]
    id: String,
    /// Where its model server is: begins with one of the operator's `model_addresses`.
    address: String,
    /// Another version means other predictions. The hub adds what stands for the address.
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
}

/// What is to change; members that are not given stay as they are.
#[derive(ToSchema)]
#[schema(as = ModelChange, example = json!({"card": {"licence": "MIT"}, "limits": {"batch_size": 50}}))]
#[expect(dead_code, reason = "it only describes what `read_change` reads")]
pub struct ModelChangeSchema {
    address: Option<String>,
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewModel {
    id: ModelId,
    address: String,
    version: String,
    #[serde(default)]
    card: Card,
    input: InputColumn,
    #[serde(default)]
    outputs: Vec<Column>,
    #[serde(default)]
    example: Vec<String>,
    #[serde(default)]
    limits: ModelLimits,
    #[serde(default)]
    resources: Resources,
    #[serde(default)]
    cache: bool,
}

/// A model of the API, with everything that is wrong with it.
pub async fn read_new(app: &App, request: Request) -> Result<Model, Problem> {
    let body = read_object(app, request).await?;
    let new: NewModel = serde_json::from_value(Value::Object(body.clone())).map_err(|error| {
        let good = json!({"id": "x", "address": "", "version": "",
                "input": {"name": "", "description": ""}});
        let fits = |part: &Value| {
            let mut whole = good.clone();
            merge(&mut whole, part);
            serde_json::from_value::<NewModel>(whole).is_ok()
        };
        bad(error.to_string()).at(place(&body, fits))
    })?;
    let address = allowed(app, &new.address)?;
    let model = Model {
        version: full_version(&new.version, &address),
        id: new.id,
        source: Source::Server { url: address },
        card: new.card,
        input: new.input,
        outputs: new.outputs,
        example: new.example,
        limits: new.limits,
        resources: new.resources,
        cache: new.cache,
        network: Network::None,
        pod: None,
    };
    check(app, &model)?;
    Ok(model)
}

/// A merge patch over the description of the model that was seen.
pub async fn read_change(app: &App, request: Request, seen: &Entry) -> Result<Value, Problem> {
    let mut patch = read_object(app, request).await?;
    let known = if seen.owner == Owner::Folder { &LAYER[..] } else { &ALL[..] };
    if let Some(other) = patch.keys().find(|name| !known.contains(&name.as_str())) {
        let shown: String = other.chars().take(64).collect();
        let detail = format!("{shown:?} cannot be edited here; there are: {}.", known.join(", "));
        return Err(bad(detail));
    }
    if seen.owner == Owner::Api && (patch.contains_key("address") || patch.contains_key("version"))
    {
        let text = |value: Value| match value {
            Value::String(text) => Ok(text),
            _ => Err(bad("address and version are strings")),
        };
        let address = match patch.remove("address") {
            Some(address) => allowed(app, &text(address)?)?,
            None => url(seen).unwrap_or_default().to_owned(),
        };
        let old = &seen.model.version;
        let declared = match patch.remove("version") {
            Some(version) => text(version)?,
            None => old.rsplit_once('+').map_or(old.as_str(), |(declared, _)| declared).to_owned(),
        };
        patch.insert("version".into(), full_version(&declared, &address).into());
        patch.insert("source".into(), json!({"from": "server", "url": address}));
    }
    let whole = Value::Object(patch.clone());
    let fits = |part: &Value| seen.patched(part).is_ok();
    check(app, &seen.patched(&whole).map_err(|what| bad(what).at(place(&patch, fits)))?)?;
    Ok(whole)
}

/// The member that does not fit, or the member of that one.
fn place(body: &Map<String, Value>, fits: impl Fn(&Value) -> bool) -> At {
    let Some((name, value)) = body.iter().find(|(name, value)| !fits(&json!({ *name: value })))
    else {
        return At::Nowhere;
    };
    let mut inner = value.as_object().into_iter().flatten();
    let inner = inner.find(|(inner, value)| !fits(&json!({ name: { *inner: value } })));
    let inner = inner.map(|(inner, _)| format!("/{}", escape(inner))).unwrap_or_default();
    At::Pointer(format!("/{}{inner}", escape(name)))
}

/// What runs at another address is another version.
fn full_version(declared: &str, address: &str) -> String {
    let hash = Sha256::digest(address.as_bytes());
    format!("{declared}+{:02x}{:02x}{:02x}{:02x}", hash[0], hash[1], hash[2], hash[3])
}

fn allowed(app: &App, text: &str) -> Result<String, Problem> {
    origin::check(text, &app.config.model_addresses).map_err(|why| {
        Problem::new(Kind::ModelAddress, format!("The address cannot be used: {why}."))
            .at(At::Pointer("/address".into()))
    })
}

fn check(app: &App, model: &Model) -> Result<(), Problem> {
    let faults = model.faults();
    if !faults.is_empty() {
        let resources = model.resources.faults(model.limits.memory_mib);
        let at = match resources.first() {
            Some((field, _)) if resources.len() == faults.len() => {
                At::Pointer(format!("/resources/{field}"))
            }
            _ => At::Nowhere,
        };
        return Err(bad(faults.join("; ")).at(at));
    }
    let (most, models) = (app.config.max_instances, app.store.models());
    let others = models.iter().filter(|other| other.id != model.id);
    let others: u32 = others.map(|other| other.limits.min_instances).sum();
    let minimum = model.limits.min_instances;
    if minimum == 0 || others.saturating_add(minimum) <= most {
        return Ok(());
    }
    let what = format!(
        "limits: min_instances is {minimum}, other models keep {others}, and this hub runs at most \
         {most} instances of all models together; the setting is max_instances"
    );
    Err(bad(what).at(At::Pointer("/limits/min_instances".into())))
}

fn bad(what: impl AsRef<str>) -> Problem {
    let detail = format!("The description cannot be used: {}", what.as_ref());
    Problem::new(Kind::BadModel, detail)
}

async fn read_object(app: &App, request: Request) -> Result<Map<String, Value>, Problem> {
    let mut upload = open_json(&app.reader, request, MOST_BYTES).await?;
    let mut body = Vec::new();
    while let Some(piece) = upload.next().await? {
        body.extend_from_slice(&piece);
    }
    let text = std::str::from_utf8(&body)
        .map_err(|_| Problem::new(Kind::NotUtf8, "The body must be JSON in UTF-8."))?;
    serde_json::from_str(text).map_err(|error| {
        let detail = format!("The body must be a JSON object: {error}.");
        Problem::new(Kind::BadJson, detail)
    })
}
