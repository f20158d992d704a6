//! What these clients are shown.

use muster_core::input::find_column;
use muster_core::model::InputColumn;
use muster_core::request::{Header, Reading};
use muster_core::{
    Ended, Model, ModelId, Phase, PhaseName, PrincipalId, Request, RequestId, Timestamp,
};
use muster_store::Session;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::requests::view::ReadingView;
use crate::app::App;
use crate::identity::secret::Secret;
use crate::reading::table::shorten;

/// A session. Send all of it back: `Authorization: ErsiliaUser BASE64(JSON)`.
#[derive(Serialize, ToSchema)]
#[schema(as = LegacySession)]
pub struct SessionView {
    #[schema(value_type = String)]
    pub userid: PrincipalId,
    /// Of an anonymous session the id that the client chose.
    pub session_id: String,
    pub session_token: String,
    /// `ErsiliaAnonymous` or `ErsiliaUser`
    #[schema(example = "ErsiliaUser")]
    pub auth_type: &'static str,
    /// How long after `session_start_time` it ends if it is not used.
    pub session_max_age_seconds: u64,
    /// When this token was made.
    #[schema(value_type = String, format = DateTime)]
    pub session_start_time: Timestamp,
}

impl SessionView {
    /// `id`: what the client calls it, if it calls it something.
    pub fn new(app: &App, session: &Session, secret: &Secret, id: Option<String>) -> Self {
        let now = app.store.now();
        // It may have ended this moment; whoever uses it is told.
        let left = session.left(&app.config.sessions.policy, now).unwrap_or_default();
        Self {
            userid: session.principal,
            session_id: id.unwrap_or_else(|| session.id.to_string()),
            session_token: secret.text().to_owned(),
            auth_type: if session.account.is_some() { "ErsiliaUser" } else { "ErsiliaAnonymous" },
            session_max_age_seconds: left.as_secs(),
            session_start_time: now,
        }
    }
}

/// Who somebody is.
#[derive(Serialize, ToSchema)]
#[schema(as = LegacyUser)]
pub struct UserView {
    #[schema(value_type = String)]
    pub id: PrincipalId,
    /// `anonymous` without an account.
    pub username: String,
    pub first_name: String,
    pub last_name: String,
    pub email: Option<String>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub sign_up_date: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_updated: Option<Timestamp>,
}

impl UserView {
    pub fn new(session: &Session) -> Self {
        let account = session.account.as_ref();
        Self {
            id: session.principal,
            username: account.map_or_else(|| "anonymous".into(), |account| account.name.clone()),
            first_name: account.map(|account| account.first_name.clone()).unwrap_or_default(),
            last_name: account.map(|account| account.last_name.clone()).unwrap_or_default(),
            email: account.map(|account| account.email.clone()),
            sign_up_date: account.map(|account| account.created_at),
            last_updated: None,
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = LegacyLoggedIn)]
pub struct LoginView {
    pub session: SessionView,
    pub user: UserView,
    pub permissions: Vec<&'static str>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = LegacyLoggedOut)]
pub struct LogoutView {
    #[schema(example = "ok")]
    pub status: &'static str,
}

/// A list.
#[derive(Serialize, ToSchema)]
pub struct ItemsView<T> {
    pub items: Vec<T>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = LegacyModel)]
pub struct ModelView<'m> {
    #[schema(value_type = String)]
    pub id: &'m ModelId,
    pub enabled: bool,
    pub details: ModelDetails<'m>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_updated: Option<Timestamp>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = LegacyModelDetails)]
pub struct ModelDetails<'m> {
    pub title: &'m str,
    pub description: &'m str,
    /// The model's version.
    pub template_version: &'m str,
    /// Not known here.
    pub size_megabytes: Option<u64>,
    pub disable_memory_limit: bool,
    pub max_instances: u32,
    #[schema(example = "ASYNC")]
    pub execution_mode: &'static str,
}

impl<'m> ModelView<'m> {
    pub fn new(model: &'m Model) -> Self {
        let details = ModelDetails {
            title: &model.card.title,
            description: &model.card.description,
            template_version: &model.version,
            size_megabytes: None,
            disable_memory_limit: false,
            max_instances: model.limits.max_instances,
            execution_mode: "ASYNC",
        };
        Self { id: &model.id, enabled: true, details, last_updated: None }
    }
}

/// A request.
#[derive(Serialize, ToSchema)]
#[schema(as = WorkRequest)]
pub struct WorkRequestView<'r> {
    #[schema(value_type = String)]
    pub id: RequestId,
    #[schema(value_type = String)]
    pub model_id: &'r ModelId,
    #[schema(value_type = String)]
    pub user_id: PrincipalId,
    /// In lists, and if there are more than 1,000 inputs, null.
    pub request_payload: Option<PayloadView>,
    #[schema(value_type = String, format = DateTime)]
    pub request_date: Timestamp,
    pub metadata: MetadataView<'r>,
    /// QUEUED, PROCESSING, COMPLETED or FAILED
    #[schema(example = "COMPLETED")]
    pub request_status: &'static str,
    /// Why it failed or waits; else what was decided when its entries were read, if that may
    /// surprise.
    pub request_status_reason: Option<String>,
    /// Always null.
    pub model_job_id: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    pub last_updated: Timestamp,
    /// When an instance took its first inputs.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub pod_ready_timestamp: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub job_submission_timestamp: Option<Timestamp>,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub processed_timestamp: Option<Timestamp>,
    /// How many inputs it has.
    pub input_size: u64,
    /// Always null.
    pub server_id: Option<String>,
    /// CSV lines, a header first; or objects. If it is completed and the result was asked for.
    #[schema(value_type = Option<Vec<ResultRow>>)]
    pub result: Option<()>,
}

/// A line of CSV, or the columns by their names.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = WorkRequestResultRow)]
#[expect(dead_code, reason = "the result is streamed; this describes it")]
pub enum ResultRow {
    Line(String),
    Columns(serde_json::Map<String, serde_json::Value>),
}

/// What was submitted, without a header and blank lines.
#[derive(Serialize, ToSchema)]
#[schema(as = WorkRequestPayload)]
pub struct PayloadView {
    pub entries: Vec<String>,
}

/// How the entries were read.
#[derive(Serialize, ToSchema)]
#[schema(as = WorkRequestMetadata)]
pub struct MetadataView<'r> {
    #[serde(flatten)]
    pub reading: ReadingView<'r>,
    /// The same in words.
    pub note: Option<String>,
}

impl<'r> WorkRequestView<'r> {
    /// `held`: why requests of its model wait. `input`: what its model reads.
    pub fn new(request: &'r Request, held: Option<String>, input: Option<&InputColumn>) -> Self {
        let note = note(&request.reading);
        let reason = match &request.phase {
            Phase::Waiting => held,
            Phase::Ended {
                how: Ended::Failed { reason } | Ended::Cancelled { reason }, ..
            } => Some(reason.clone()),
            _ => None,
        };
        let surprise = note.clone().filter(|_| surprises(&request.reading, input));
        let (started, ended) = (request.phase.started_at(), request.phase.ended_at());
        Self {
            id: request.id,
            model_id: &request.model,
            user_id: request.principal,
            request_payload: None,
            request_date: request.submitted_at,
            metadata: MetadataView { reading: ReadingView::new(&request.reading), note },
            request_status: status(&request.phase),
            request_status_reason: reason.or(surprise),
            model_job_id: None,
            last_updated: ended.or(started).unwrap_or(request.submitted_at),
            pod_ready_timestamp: started,
            job_submission_timestamp: started,
            processed_timestamp: ended,
            input_size: request.progress.inputs,
            server_id: None,
            result: None,
        }
    }
}

pub const STATUSES: [&str; 4] = ["QUEUED", "PROCESSING", "COMPLETED", "FAILED"];

fn status(phase: &Phase) -> &'static str {
    match phase {
        Phase::Waiting => "QUEUED",
        Phase::Running { .. } => "PROCESSING",
        Phase::Ended { how: Ended::Completed, .. } => "COMPLETED",
        Phase::Ended { .. } => "FAILED",
    }
}

/// The phases of a status. Nothing is ever SCHEDULING here.
pub fn phases(status: &str) -> &'static [PhaseName] {
    match status {
        "QUEUED" => &[PhaseName::Waiting],
        "PROCESSING" => &[PhaseName::Running],
        "COMPLETED" => &[PhaseName::Completed],
        "FAILED" => &[PhaseName::Failed, PhaseName::Cancelled],
        _ => &[],
    }
}

/// What became of the first entry and of blank ones, in words.
fn note(reading: &Reading) -> Option<String> {
    let rows = reading.rows;
    let first = match (&reading.header, &reading.column) {
        (Header::NotAFile, _) => return None,
        (Header::Used, Some(column)) => {
            let column = shorten(column);
            format!(
                "The first entry is the header and `{column}` the input's column: {rows} inputs."
            )
        }
        _ => format!("No entry was taken as a header: all of them are inputs, {rows} in all."),
    };
    let blank = match reading.blank_lines_skipped {
        0 => String::new(),
        blank => format!(" Blank entries passed over: {blank}."),
    };
    let short = match reading.short_rows {
        0 => String::new(),
        short => format!(" Entries with missing cells, which are empty: {short}."),
    };
    Some(format!("{first}{blank}{short}"))
}

/// Is this something else than what a client that sends a header expects?
fn surprises(reading: &Reading, input: Option<&InputColumn>) -> bool {
    let named =
        reading.column.as_ref().zip(input).is_some_and(|(column, input)| {
            find_column(std::slice::from_ref(column), input).is_some()
        });
    let gaps = reading.blank_lines_skipped + reading.short_rows;
    reading.header == Header::Absent || gaps > 0 || !named
}
