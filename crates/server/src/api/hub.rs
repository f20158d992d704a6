//! `/api/v1/hub`: what this hub is, and for administrators how it does.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use muster_core::{Check, CheckState, ServerId, Timestamp};
use muster_store::HubServer;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::http::answer::json;
use crate::http::problem::Problem;
use crate::identity::Admin;
use crate::made::{MADE, Made};

/// What this hub is.
#[derive(Serialize, ToSchema)]
#[schema(as = Hub)]
pub struct HubView {
    #[schema(example = "0.1.0")]
    pub version: &'static str,
    /// Changes with the web app in the binary; null if there is none. A page that was loaded with another
    /// one is an old one.
    #[schema(example = "3fa9c1d25b60")]
    pub web_build: Option<String>,
    /// The hub's clock.
    #[schema(value_type = String, format = DateTime)]
    pub time: Timestamp,
    /// Confirms addresses, and lets people set forgotten passwords. Else an administrator makes links.
    pub sends_mail: bool,
    pub kept: KeptView,
}

/// How long requests are kept after their end, with their inputs and results; null: for ever.
#[derive(Serialize, ToSchema)]
#[schema(as = Kept)]
pub struct KeptView {
    #[schema(example = 604_800)]
    pub anonymous_seconds: Option<u64>,
    #[schema(example = 604_800)]
    pub account_seconds: Option<u64>,
}

/// How this hub does.
#[derive(Serialize, ToSchema)]
#[schema(as = HubState)]
pub struct HubStateView {
    /// Nothing is broken.
    pub good: bool,
    /// What it stands on, as `muster doctor` says it too.
    pub checks: Vec<CheckView>,
    /// When that was looked at: at most ten seconds ago.
    #[schema(value_type = String, format = DateTime)]
    pub checked_at: Timestamp,
    /// The servers of this hub; null while the database does not answer.
    pub servers: Option<Vec<HubServerView>>,
    pub instances: UseView,
    /// Open event streams of this server.
    pub event_streams: UseView,
    pub clearing: ClearingView,
}

#[derive(Clone, Serialize, ToSchema)]
#[schema(as = Check)]
pub struct CheckView {
    /// `database`, `clock`, `objects`, `mail`, `data folder`, `disk`, `walls` or `wall: ...`
    #[schema(example = "database")]
    pub name: String,
    /// `good`, `note` (it works, and could be better) or `broken`
    #[schema(example = "good")]
    pub state: &'static str,
    #[schema(example = "SQLite 3.50.2")]
    pub what: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = HubServer)]
pub struct HubServerView {
    #[schema(value_type = String, format = Uuid)]
    pub id: ServerId,
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    /// When it last said that it lives: every second or so, and 30 seconds later it is dead.
    #[schema(value_type = String, format = DateTime)]
    pub seen_at: Timestamp,
    /// It decides which instances there are, and clears.
    pub plans: bool,
    /// It is the one that answers this.
    pub answers: bool,
}

/// How many of the most there may be.
#[derive(Serialize, ToSchema)]
#[schema(as = Use)]
pub struct UseView {
    /// Null while the database does not answer.
    pub now: Option<u64>,
    pub most: u64,
}

/// How long things are kept, and when they are cleared.
#[derive(Serialize, ToSchema)]
#[schema(as = ClearingState)]
pub struct ClearingView {
    /// From the beginning of a clearing to the next; null: only by `muster clean`.
    #[schema(example = 86_400)]
    pub every_seconds: Option<u64>,
    /// Null, here and below: for ever.
    pub anonymous_seconds: Option<u64>,
    pub account_seconds: Option<u64>,
    /// Known predictions, since the day they were used last.
    pub predictions_seconds: Option<u64>,
    /// Instances of the past, since they ended.
    pub instances_seconds: Option<u64>,
    /// The last one by the schedule; null if there was none, and while the database does not answer.
    pub last: Option<LastClearingView>,
    /// When the next one begins, at the earliest; null if never.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_at: Option<Timestamp>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = LastClearing)]
pub struct LastClearingView {
    #[schema(value_type = String, format = DateTime)]
    pub began_at: Timestamp,
    /// Null while it is under way, and if its server died meanwhile.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
}

impl From<&Check> for CheckView {
    fn from(check: &Check) -> Self {
        let (name, what) = (check.name.clone(), check.what.clone());
        Self { name, state: check.state.name(), what }
    }
}

fn whole_seconds(of: Option<Duration>) -> Option<u64> {
    of.map(|length| length.as_secs())
}

/// What this hub is
#[utoipa::path(
    get, path = "/api/v1/hub", operation_id = "find_hub", tag = "health",
    responses((status = 200, description = "The hub", body = HubView)),
)]
pub async fn find_hub(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let kept = app.config.clearing.retention;
    json(
        StatusCode::OK,
        &HubView {
            version: MADE.version,
            web_build: app.web_build().map(str::to_owned),
            time: app.store.now(),
            sends_mail: app.config.mail.is_some(),
            kept: KeptView {
                anonymous_seconds: whole_seconds(kept.anonymous),
                account_seconds: whole_seconds(kept.account),
            },
        },
    )
}

/// Which program this is
#[utoipa::path(
    get, path = "/api/v1/version", operation_id = "find_version", tag = "health",
    responses((status = 200, description = "The program", body = Made)),
)]
pub async fn find_version() -> Result<Response, Problem> {
    json(StatusCode::OK, &MADE)
}

/// How this hub does
///
/// Also answered while its database is away, to whoever's session is still in memory.
#[utoipa::path(
    get, path = "/api/v1/hub/state", operation_id = "find_hub_state", tag = "administration",
    responses((status = 200, description = "Its state", body = HubStateView)),
    security(("session" = [])),
)]
pub async fn find_hub_state(State(app): State<Arc<App>>, _: Admin) -> Result<Response, Problem> {
    let (checked_at, checks) = app.examined.look(&app.store, &app.config).await;
    let now = app.store.now();
    let is_away =
        checks.iter().any(|it| it.name == Check::DATABASE && it.state == CheckState::Broken);
    let (servers, running, last) = if is_away {
        (None, None, None)
    } else {
        let servers = app.store.list_servers().await?;
        let running = app.store.instances().await?.len() as u64;
        (Some(servers), Some(running), app.store.last_clearing().await?)
    };
    let (clearing, kept) = (app.config.clearing, app.config.clearing.retention);
    let server = |it: HubServer| HubServerView {
        answers: it.id == app.store.server(),
        id: it.id,
        started_at: it.started_at,
        seen_at: it.seen_at,
        plans: it.plans,
    };
    json(
        StatusCode::OK,
        &HubStateView {
            good: !checks.iter().any(|check| check.state == CheckState::Broken),
            checks: checks.iter().map(CheckView::from).collect(),
            checked_at,
            servers: servers.map(|all| all.into_iter().map(server).collect()),
            instances: UseView { now: running, most: app.config.max_instances.into() },
            event_streams: UseView {
                now: Some(app.streams.count().into()),
                most: app.config.event_streams.into(),
            },
            clearing: ClearingView {
                every_seconds: whole_seconds(clearing.every),
                anonymous_seconds: whole_seconds(kept.anonymous),
                account_seconds: whole_seconds(kept.account),
                predictions_seconds: whole_seconds(kept.predictions),
                instances_seconds: whole_seconds(kept.instances),
                last: last
                    .map(|it| LastClearingView { began_at: it.began_at, ended_at: it.ended_at }),
                next_at: clearing.next(last, now).filter(|_| !is_away),
            },
        },
    )
}
