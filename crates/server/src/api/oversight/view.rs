//! What administrators see of a request. No field can carry an input, a result, the name of a file or
//! column, or words of its owner.

use muster_core::stats::{AuthType, class_name, size_class};
use muster_core::{InstanceId, ModelId, PhaseName, PrincipalId, RequestId, Timestamp};
use muster_store::{Overseen, OverseenWhole, Step};
use serde::Serialize;
use utoipa::ToSchema;

/// Somebody's request, without what is in it.
#[derive(Serialize, ToSchema)]
#[schema(as = AdminRequest)]
pub struct OverseenView {
    #[schema(value_type = String, format = Uuid)]
    pub id: RequestId,
    #[schema(value_type = String, example = "rdkit-descriptors")]
    pub model: ModelId,
    #[schema(example = "1.0.0+3fa9c1d2")]
    pub model_version: String,
    /// `account` or `anonymous`
    #[schema(example = "account")]
    pub auth_type: &'static str,
    /// The account; null for anonymous sessions.
    #[schema(value_type = Option<String>, format = Uuid)]
    pub user: Option<PrincipalId>,
    /// Of an account that is still there.
    #[schema(example = "ada")]
    pub user_name: Option<String>,
    /// The anonymous session; null for accounts.
    #[schema(value_type = Option<String>, format = Uuid)]
    pub session: Option<PrincipalId>,
    #[schema(value_type = crate::api::requests::view::PhaseName)]
    pub phase: &'static str,
    /// `none`: it has no result, or none yet; `complete`: a prediction for every input; `partial`: some
    /// inputs have an error instead; `errors`: all have.
    #[schema(example = "complete")]
    pub result_status: &'static str,
    #[schema(value_type = String, format = DateTime)]
    pub submitted_at: Timestamp,
    /// When the first inputs were sent to the model.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
    pub inputs: u64,
    /// Inputs with a prediction or an error.
    pub done: u64,
    /// Inputs of `done` with an error.
    pub failed: u64,
    /// Inputs of `done` answered by a prediction that was known.
    pub cached: u64,
    /// The class of the number of inputs, as in statistics.
    #[schema(example = "11-100")]
    pub input_size: String,
    /// Why it waits, while it waits.
    pub waiting_reason: Option<String>,
    /// Why it did not complete: not_started, instance_ended, disconnected, timed_out, bad_answer,
    /// model_error, refused, storage, cancelled_by_owner, cancelled_by_admin or stopped_by_admin.
    #[schema(example = json!(null))]
    pub error_class: Option<&'static str>,
    /// The same in words, without those of the model or of its owner.
    pub error: Option<String>,
    /// How often the task that was tried most was sent to an instance.
    pub attempts: u32,
    /// The instances its tasks were sent to; in a list those of its first 32 tasks.
    #[schema(value_type = Vec<String>, format = Uuid)]
    pub instances: Vec<InstanceId>,
    /// The failed request that it tries again.
    #[schema(value_type = Option<String>, format = Uuid)]
    pub requeued_from: Option<RequestId>,
    /// The request that tries it again.
    #[schema(value_type = Option<String>, format = Uuid)]
    pub requeued_as: Option<RequestId>,
}

/// The same, and when it was in which phase.
#[derive(Serialize, ToSchema)]
#[schema(as = AdminRequestWithTimeline)]
pub struct WholeView {
    #[serde(flatten)]
    pub request: OverseenView,
    pub timeline: Vec<StepView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = PhaseEntered)]
pub struct StepView {
    #[schema(value_type = crate::api::requests::view::PhaseName)]
    pub phase: &'static str,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

/// A page of everybody's requests.
#[derive(Serialize, ToSchema)]
#[schema(as = AdminRequests)]
pub struct OversightPageView {
    pub items: Vec<OverseenView>,
    /// Give this as `after` to get the next page; null on the last.
    #[schema(value_type = Option<String>, format = Uuid)]
    pub next: Option<RequestId>,
    /// The hub looked at as many requests as it may for one page before the page was full: there may be
    /// more, and `next` goes on from there.
    pub cut: bool,
}

/// The columns of the CSV: the fields, in their order.
pub const COLUMNS: [&str; 24] = [
    "id",
    "model",
    "model_version",
    "auth_type",
    "user",
    "user_name",
    "session",
    "phase",
    "result_status",
    "submitted_at",
    "started_at",
    "ended_at",
    "inputs",
    "done",
    "failed",
    "cached",
    "input_size",
    "waiting_reason",
    "error_class",
    "error",
    "attempts",
    "instances",
    "requeued_from",
    "requeued_as",
];

impl OverseenView {
    /// `held`: why requests of its model wait.
    pub fn new(request: Overseen, held: Option<String>) -> Self {
        let (user, session) = match request.auth {
            AuthType::Account => (Some(request.principal), None),
            AuthType::Anonymous => (None, Some(request.principal)),
        };
        let progress = request.progress;
        let result_status = match (request.phase, progress.failed) {
            (PhaseName::Completed, 0) => "complete",
            (PhaseName::Completed, failed) if failed < progress.inputs => "partial",
            (PhaseName::Completed, _) => "errors",
            _ => "none",
        };
        Self {
            id: request.id,
            model: request.model,
            model_version: request.model_version,
            auth_type: request.auth.name(),
            user,
            user_name: request.name,
            session,
            waiting_reason: held.filter(|_| request.phase == PhaseName::Waiting),
            phase: request.phase.name(),
            result_status,
            submitted_at: request.submitted_at,
            started_at: request.started_at,
            ended_at: request.ended_at,
            inputs: progress.inputs,
            done: progress.done,
            failed: progress.failed,
            cached: progress.cached,
            input_size: class_name(size_class(progress.inputs)),
            error_class: request.cause.map(|cause| cause.name()),
            error: request.error,
            attempts: request.attempts,
            instances: request.instances,
            requeued_from: request.requeued_from,
            requeued_as: request.requeued_as,
        }
    }

    /// As they stand in the CSV; instances with a space between them.
    pub fn cells(&self) -> [String; COLUMNS.len()] {
        let instances: Vec<String> = self.instances.iter().map(ToString::to_string).collect();
        [
            self.id.to_string(),
            self.model.to_string(),
            self.model_version.clone(),
            self.auth_type.to_owned(),
            text(self.user),
            text(self.user_name.as_ref()),
            text(self.session),
            self.phase.to_owned(),
            self.result_status.to_owned(),
            self.submitted_at.to_string(),
            text(self.started_at),
            text(self.ended_at),
            self.inputs.to_string(),
            self.done.to_string(),
            self.failed.to_string(),
            self.cached.to_string(),
            self.input_size.clone(),
            text(self.waiting_reason.as_ref()),
            text(self.error_class),
            text(self.error.as_ref()),
            self.attempts.to_string(),
            instances.join(" "),
            text(self.requeued_from),
            text(self.requeued_as),
        ]
    }
}

fn text<T: ToString>(value: Option<T>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

impl WholeView {
    pub fn new(whole: OverseenWhole, held: Option<String>) -> Self {
        let step = |Step { phase, at }: Step| StepView { phase: phase.name(), at };
        Self {
            request: OverseenView::new(whole.request, held),
            timeline: whole.steps.into_iter().map(step).collect(),
        }
    }
}
