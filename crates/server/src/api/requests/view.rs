//! What the API shows of things: types of their own, so that nothing is shown by accident.

use std::borrow::Cow;
use std::collections::BTreeMap;

use muster_core::expect::Expected;
use muster_core::model::InputColumn;
use muster_core::request::{Header, Reading};
use muster_core::resources::{Millicores, Resources};
use muster_core::stats::AuthType;
use muster_core::{Column, ColumnKind, Direction, Ended, Model, ModelId, Phase, Request};
use muster_core::{RequestId, Timestamp};
use muster_store::Week;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::app::App;
use crate::state::overview::ModelState;

/// A page of a list.
#[derive(Serialize, ToSchema)]
pub struct PageView<T> {
    pub items: Vec<T>,
    /// Give this as `after` to get the next page; null on the last.
    #[schema(value_type = Option<String>)]
    pub next: Option<String>,
}

impl<V> PageView<V> {
    /// One more than `limit` was asked for: if it is there, there is a next page.
    pub fn cut<T>(
        mut found: Vec<T>,
        limit: u32,
        id: impl Fn(&T) -> String,
        view: impl Fn(T) -> V,
    ) -> Self {
        let more = found.len() > limit as usize;
        found.truncate(limit as usize);
        let next = found.last().filter(|_| more).map(id);
        Self { items: found.into_iter().map(view).collect(), next }
    }

    /// All there is.
    pub fn all(items: impl IntoIterator<Item = V>) -> Self {
        Self { items: items.into_iter().collect(), next: None }
    }
}

/// A request as its owner sees it, who is of this kind.
pub fn view<'r>(app: &App, request: &'r Request, auth: AuthType) -> RequestView<'r> {
    let expires_at = app.config.clearing.retention.expires_at(auth, &request.phase);
    RequestView::new(request, app.store.held(&request.model), expires_at)
}

/// A request: one model, N inputs. It ends exactly once.
#[derive(Serialize, ToSchema)]
#[schema(as = Request)]
pub struct RequestView<'r> {
    #[schema(value_type = String, format = Uuid)]
    pub id: RequestId,
    #[schema(value_type = String, example = "rdkit-descriptors")]
    pub model: &'r ModelId,
    #[schema(example = "1.0.0+3fa9c1d2")]
    pub model_version: &'r str,
    #[schema(value_type = PhaseName)]
    pub phase: &'static str,
    #[schema(value_type = String, format = DateTime)]
    pub submitted_at: Timestamp,
    /// When the first inputs were sent to the model.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
    /// From then on it is cleared, with its inputs and its result; null while it has not ended, and if
    /// requests are kept for ever.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    pub inputs: u64,
    /// Inputs with a prediction or an error.
    pub done: u64,
    /// Inputs of `done` with an error.
    pub failed: u64,
    /// Inputs of `done` answered by a prediction that was known.
    pub cached: u64,
    pub reading: ReadingView<'r>,
    /// What you call it.
    #[schema(example = "Plate 7")]
    pub label: Option<&'r str>,
    /// Why it waits, while it waits.
    pub waiting_reason: Option<String>,
    /// While it waits: inputs of others that go before its first one. Null if that is not known, in lists
    /// and in the answer to a submission without `wait`.
    pub ahead_inputs: Option<u64>,
    /// While it waits: how long it takes from now to its end, likely; null where `ahead_inputs` is, and if
    /// the model did not run lately or the hub cannot start it now.
    pub expected_seconds: Option<ExpectedView>,
    /// Why it failed or was cancelled.
    pub reason: Option<&'r str>,
    /// The result's rows as in the JSON download: when `wait` was given, the request completed in
    /// that time, and has at most 100 inputs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Object>>)]
    pub result: Option<Box<RawValue>>,
}

/// A range of seconds.
#[derive(Serialize, ToSchema)]
#[schema(as = Expected)]
pub struct ExpectedView {
    pub low: f64,
    pub high: f64,
}

impl From<Expected> for ExpectedView {
    /// To the millisecond: more would be noise.
    fn from(Expected { low, high }: Expected) -> Self {
        let [low, high] = [low, high].map(|seconds| (seconds * 1000.0).round() / 1000.0);
        Self { low, high }
    }
}

/// Describes the texts of `phase`.
pub struct PhaseName;

impl PartialSchema for PhaseName {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("Where a request is in its life."))
            .enum_values(Some(muster_core::PhaseName::ALL.map(muster_core::PhaseName::name)))
            .into()
    }
}

impl ToSchema for PhaseName {
    fn name() -> Cow<'static, str> {
        "PhaseName".into()
    }
}

/// How the input was read.
#[derive(Serialize, ToSchema)]
#[schema(as = Reading)]
pub struct ReadingView<'r> {
    /// Was the first line a header?
    #[schema(example = "used")]
    pub header: &'static str,
    /// The column the inputs were taken from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<&'r str>,
    /// The file's columns, if it has several. They come back in the result.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub columns: &'r [String],
    /// What separates the cells, if there are several columns.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = ",")]
    pub separator: Option<char>,
    pub rows: u64,
    /// Lines without anything, and rows whose cells are all empty.
    pub blank_lines_skipped: u64,
    /// Rows with fewer cells than the header; the missing ones are empty.
    pub short_rows: u64,
}

impl<'r> RequestView<'r> {
    /// `held`: why requests of its model wait.
    pub fn new(request: &'r Request, held: Option<String>, expires_at: Option<Timestamp>) -> Self {
        let reason = match &request.phase {
            Phase::Ended {
                how: Ended::Failed { reason } | Ended::Cancelled { reason }, ..
            } => Some(reason.as_str()),
            _ => None,
        };
        Self {
            id: request.id,
            model: &request.model,
            model_version: &request.model_version,
            phase: request.phase.name(),
            submitted_at: request.submitted_at,
            started_at: request.phase.started_at(),
            ended_at: request.phase.ended_at(),
            expires_at,
            inputs: request.progress.inputs,
            done: request.progress.done,
            failed: request.progress.failed,
            cached: request.progress.cached,
            reading: ReadingView::new(&request.reading),
            label: request.label.as_deref(),
            ahead_inputs: None,
            expected_seconds: None,
            waiting_reason: held.filter(|_| request.phase == Phase::Waiting),
            reason,
            result: None,
        }
    }
}

impl<'r> ReadingView<'r> {
    pub fn new(reading: &'r Reading) -> Self {
        let header = match reading.header {
            Header::Used => "used",
            Header::Absent => "absent",
            Header::NotAFile => "not_a_file",
        };
        Self {
            header,
            column: reading.column.as_deref(),
            columns: &reading.columns,
            separator: reading.separator,
            rows: reading.rows,
            blank_lines_skipped: reading.blank_lines_skipped,
            short_rows: reading.short_rows,
        }
    }
}

/// What lists show of a model.
#[derive(Serialize, ToSchema)]
#[schema(as = ModelSummary)]
pub struct ModelSummaryView<'m> {
    #[schema(value_type = String, example = "rdkit-descriptors")]
    pub id: ModelId,
    pub title: String,
    /// The first sentence of its description.
    pub sentence: &'m str,
    pub tags: &'m [String],
    /// What it is for, in a word or two; empty if nobody said it.
    #[schema(example = "Toxicity")]
    pub task: &'m str,
    pub input: InputView<'m>,
    pub version: String,
    pub state: ModelState,
    /// Requests that wait.
    pub waiting: u64,
    /// Requests that run.
    pub running: u64,
    /// Median time from submission to end of recent completed requests, seconds.
    pub p50_seconds: Option<f64>,
    /// How long an instance usually takes to start, if one started lately.
    pub usual_start_seconds: Option<f64>,
    /// What one instance answers while it works, if one did lately.
    pub inputs_per_second: Option<f64>,
    /// Requests that were submitted on each of the last 7 days (UTC), today's last; up to a minute old.
    #[schema(value_type = Vec<u64>, min_items = 7, max_items = 7)]
    pub week: Week,
    /// Why its requests wait, if they do.
    pub held: Option<String>,
}

/// All that a newcomer needs to use a model.
#[derive(Serialize, ToSchema)]
#[schema(as = Model)]
pub struct ModelView<'m> {
    #[serde(flatten)]
    pub summary: ModelSummaryView<'m>,
    pub card: CardView<'m>,
    /// The columns it declares; it may answer more.
    pub outputs: Vec<OutputView<'m>>,
    pub limits: LimitsView,
    pub resources: ResourcesView<'m>,
    /// Inputs to try.
    pub example: &'m [String],
    /// Are predictions kept and used again?
    pub cache: bool,
    pub queue: QueueView,
    /// How long `inputs` would take from now to their end, likely, if you have nothing else waiting; null if
    /// the model did not run lately, the hub cannot start it now, or it takes no requests.
    pub expected_seconds: Option<ExpectedView>,
    /// Why it takes no new requests, if it takes none.
    pub disabled: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Card)]
pub struct CardView<'m> {
    pub title: &'m str,
    pub description: &'m str,
    pub interpretation: &'m str,
    pub licence: &'m str,
    pub publication: &'m str,
    pub source_code: &'m str,
    pub tags: &'m [String],
    /// What it is for, in a word or two.
    #[schema(example = "Toxicity")]
    pub task: &'m str,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ModelInput)]
pub struct InputView<'m> {
    #[schema(example = "smiles")]
    pub name: &'m str,
    pub description: &'m str,
    /// Other header names that mean this column.
    pub also: &'m [String],
    /// What its cells are; from the names and the description if nobody said it.
    #[schema(example = "smiles")]
    pub kind: &'static str,
}

impl<'m> InputView<'m> {
    pub fn new(model: &'m Model) -> Self {
        let InputColumn { name, description, also, .. } = &model.input;
        Self { name, description, also, kind: model.input.kind().name() }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = ModelOutput)]
pub struct OutputView<'m> {
    pub name: &'m str,
    #[schema(example = "float")]
    pub kind: &'static str,
    pub description: &'m str,
    /// Empty if it has none.
    #[schema(example = "mg/L")]
    pub unit: &'m str,
    /// At which end of its values what it stands for is strong; null if nobody said it.
    #[schema(value_type = Option<String>, example = "low")]
    pub direction: Option<&'static str>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ModelLimits)]
pub struct LimitsView {
    /// Most inputs in one call of an instance.
    pub batch_size: u32,
    pub max_instances: u32,
    /// Longest time of one call.
    pub job_seconds: u32,
    /// Longest time for an instance to start.
    pub start_seconds: u32,
    /// Most inputs in a request.
    pub inputs: u64,
    /// Most bytes of one input.
    pub input_bytes: usize,
    /// Most bytes of a request's body.
    pub body_bytes: u64,
}

/// What an instance of the model needs, as far as that is declared.
#[derive(Serialize, ToSchema)]
#[schema(as = ModelResources)]
pub struct ResourcesView<'m> {
    /// Cores.
    #[schema(value_type = Option<f64>, example = 0.5)]
    pub cpu: Option<Millicores>,
    pub memory_mib: Option<u32>,
    pub storage_mib: Option<u32>,
    pub gpus: u32,
    /// The resource name of its GPUs.
    #[schema(example = "nvidia.com/gpu")]
    pub gpu: &'m str,
    /// Labels that a node must have.
    pub node: &'m BTreeMap<String, String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ModelQueue)]
pub struct QueueView {
    /// Requests that wait.
    pub waiting: u64,
    /// Requests that run.
    pub running: u64,
}

impl<'m> ResourcesView<'m> {
    pub fn new(resources: &'m Resources) -> Self {
        let Resources { cpu, memory_mib, storage_mib, gpus, gpu, node } = resources;
        Self {
            cpu: *cpu,
            memory_mib: *memory_mib,
            storage_mib: *storage_mib,
            gpus: *gpus,
            gpu,
            node,
        }
    }
}

impl<'m> CardView<'m> {
    pub fn new(model: &'m Model) -> Self {
        let card = &model.card;
        Self {
            title: &card.title,
            description: &card.description,
            interpretation: &card.interpretation,
            licence: &card.licence,
            publication: &card.publication,
            source_code: &card.source_code,
            tags: &card.tags,
            task: &card.task,
        }
    }
}

impl<'m> OutputView<'m> {
    pub fn new(column: &'m Column) -> Self {
        let kind = match column.kind {
            ColumnKind::Integer => "integer",
            ColumnKind::Float => "float",
            ColumnKind::String => "string",
        };
        Self {
            name: &column.name,
            kind,
            description: &column.description,
            unit: &column.unit,
            direction: column.direction.map(Direction::name),
        }
    }
}
