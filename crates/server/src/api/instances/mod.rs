//! `/api/v1/instances`: what runs and what ever ran, for administrators.

mod logs;
mod view;

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use muster_core::instance::StopWork;
use muster_core::{EndCause, InstanceId, RequestId, Timestamp};
use muster_store::{InstanceFilter, InstanceRecord, StopWish, Stopped, WhichEvents};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::api::requests::view::PageView;
use crate::app::{App, seconds, to_the_end};
use crate::http::answer::json;
use crate::http::extract::{InstancePath, Pairs, Parameters, Query};
use crate::http::problem::Problem;
use crate::identity::Admin;
use crate::reading::small::{Json, reason, wrong};
pub use logs::{__path_find_instance_log, find_instance_log};
use view::{CourseView, DetailsView, EventView, InstanceView, ServedView};

/// Longest grace, seconds.
const GRACE: u32 = 86_400;
/// How long a process may take to end if nobody says.
const PROCESS_GRACE: u32 = 5;

/// How an instance shall stop.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = InstanceStopping, example = json!({"work": "drain", "grace_seconds": 600, "reason": "It leaks memory."}))]
pub struct Stopping {
    /// What becomes of its work: `requeue` (another instance does it), `fail` (its requests fail with the
    /// reason) or `drain` (it is finished first).
    work: String,
    /// `drain`: how long that may take, then it goes back to the queue; the model's longest job if not
    /// given. Else: how long its process may take to end before it is killed; 5 if not given. At most
    /// 86,400.
    #[schema(value_type = Option<u32>)]
    grace_seconds: Option<u64>,
    /// At most 500 characters. People whose requests fail read it.
    #[schema(max_length = 500)]
    reason: Option<String>,
}

pub struct ListInstances(InstanceFilter);

impl Parameters for ListInstances {
    const NAMES: &'static [&'static str] =
        &["ended", "model", "status", "cause", "from", "to", "after", "limit"];
    const REPEATABLE: &'static [&'static str] = &["model", "status", "cause"];

    fn read(pairs: &mut Pairs) -> Result<Self, Problem> {
        let (from, to) = pairs.span()?;
        let after = pairs.text("after").filter(|text| !text.is_empty());
        Ok(Self(InstanceFilter {
            ended: pairs.value("ended", "true or false")?.unwrap_or(false),
            models: pairs.models()?,
            statuses: pairs.texts("status"),
            causes: pairs
                .texts("cause")
                .iter()
                .map(|text| cause(text))
                .collect::<Result<_, _>>()?,
            from,
            to,
            after: after.map(|text| instance_mark(&text).ok_or_else(bad_mark)).transpose()?,
            limit: pairs.limit()?,
        }))
    }
}

fn cause(text: &str) -> Result<&'static str, Problem> {
    EndCause::NAMES.into_iter().find(|name| *name == text).ok_or_else(|| {
        let all = EndCause::NAMES.join(", ");
        Problem::parameter("cause", format!("This must be one of {all}."))
    })
}

/// Where a page begins: not what is asked for, but what `next` of the page before said.
fn bad_mark() -> Problem {
    Problem::parameter("after", "This is `next` of the page before.")
}

fn instance_mark(text: &str) -> Option<(Timestamp, InstanceId)> {
    let (at, id) = text.split_once('.')?;
    Some((Timestamp(at.parse().ok()?), id.parse().ok()?))
}

/// List instances
///
/// Those that run or, with `ended=true`, those that ended: the history.
#[utoipa::path(
    get, path = "/api/v1/instances", operation_id = "list_instances", tag = "instances",
    params(
        ("ended" = Option<bool>, Query, description = "Those that have ended; false if not given"),
        ("model" = Option<Vec<String>>, Query, description = "Only of these models; may be repeated"),
        ("status" = Option<Vec<String>>, Query,
            description = "Only in these states, or with a pod in one of them; may be repeated"),
        ("cause" = Option<Vec<String>>, Query, description = "Only those that ended for one of \
            these causes (`end.cause`); may be repeated. What runs has none"),
        ("from" = Option<String>, Query, description = "Launched then or later: a day (UTC) or a time"),
        ("to" = Option<String>, Query, description = "Launched then or before: a day (UTC) or a time"),
        ("after" = Option<String>, Query, description = "`next` of the page before"),
        ("limit" = Option<u32>, Query, description = "1 to 200; 50 if not given"),
    ),
    responses((status = 200, description = "A page of instances, the newest first",
        body = PageView<InstanceView>)),
    security(("session" = [])),
)]
pub async fn list_instances(
    State(app): State<Arc<App>>,
    _: Admin,
    Query(ListInstances(mut filter)): Query<ListInstances>,
) -> Result<Response, Problem> {
    let (limit, now) = (filter.limit, app.store.now());
    filter.limit += 1;
    let found = app.store.list_instances(&filter).await?;
    let mark = |it: &InstanceRecord| format!("{}.{}", it.launched_at.micros(), it.id);
    let page = PageView::cut(found, limit, mark, |record| InstanceView::new(record, now));
    json(StatusCode::OK, &page)
}

/// Find an instance
///
/// With the phases of its life.
#[utoipa::path(
    get, path = "/api/v1/instances/{id}", operation_id = "find_instance", tag = "instances",
    params(("id" = String, Path, description = "The instance's id")),
    responses((status = 200, description = "The instance", body = DetailsView)),
    security(("session" = [])),
)]
pub async fn find_instance(
    State(app): State<Arc<App>>,
    _: Admin,
    InstancePath(id): InstancePath,
) -> Result<Response, Problem> {
    show(&app, id).await
}

async fn show(app: &App, id: InstanceId) -> Result<Response, Problem> {
    let record = find(app, id).await?;
    let phases = app.store.instance_phases(id).await?;
    json(StatusCode::OK, &DetailsView::new(record, phases, app.store.now()))
}

async fn find(app: &App, id: InstanceId) -> Result<InstanceRecord, Problem> {
    app.store.find_instance(id).await?.ok_or_else(Problem::no_such_thing)
}

pub struct ListEvents {
    after: Option<(Timestamp, u64, String, String)>,
    limit: u32,
}

impl Parameters for ListEvents {
    const NAMES: &'static [&'static str] = &["after", "limit"];

    fn read(pairs: &mut Pairs) -> Result<Self, Problem> {
        let after = pairs.text("after").filter(|text| !text.is_empty());
        let after = after.map(|text| serde_json::from_str::<(i64, u64, String, String)>(&text));
        let after = after.transpose().map_err(|_| bad_mark())?;
        let after = after.map(|(at, seq, source, uid)| (Timestamp(at), seq, source, uid));
        Ok(Self { after, limit: pairs.limit()? })
    }
}

/// What happened to an instance
///
/// What happened several times is one event with a count.
#[utoipa::path(
    get, path = "/api/v1/instances/{id}/events", operation_id = "list_instance_events",
    tag = "instances",
    params(
        ("id" = String, Path, description = "The instance's id"),
        ("after" = Option<String>, Query, description = "`next` of the page before"),
        ("limit" = Option<u32>, Query, description = "1 to 200; 50 if not given"),
    ),
    responses((status = 200, description = "A page of events, those that happened last first",
        body = PageView<EventView>)),
    security(("session" = [])),
)]
pub async fn list_instance_events(
    State(app): State<Arc<App>>,
    _: Admin,
    InstancePath(id): InstancePath,
    Query(ListEvents { after, limit }): Query<ListEvents>,
) -> Result<Response, Problem> {
    find(&app, id).await?;
    let which = WhichEvents { instance: id, after, limit: limit + 1 };
    let found = app.store.instance_events(&which).await?;
    let mark = |event: &muster_core::news::Event| {
        let mark = (event.last_at.micros(), event.seq, &event.source, &event.uid);
        serde_json::to_string(&mark).unwrap_or_default()
    };
    json(StatusCode::OK, &PageView::cut(found, limit, mark, EventView::from))
}

pub struct ListServed {
    after: Option<RequestId>,
    limit: u32,
}

impl Parameters for ListServed {
    const NAMES: &'static [&'static str] = &["after", "limit"];

    fn read(pairs: &mut Pairs) -> Result<Self, Problem> {
        Ok(Self { after: pairs.request_id("after")?, limit: pairs.limit()? })
    }
}

/// The requests that an instance worked on
///
/// The newest 1,000 of them.
#[utoipa::path(
    get, path = "/api/v1/instances/{id}/requests", operation_id = "list_instance_requests",
    tag = "instances",
    params(
        ("id" = String, Path, description = "The instance's id"),
        ("after" = Option<String>, Query, description = "`next` of the page before"),
        ("limit" = Option<u32>, Query, description = "1 to 200; 50 if not given"),
    ),
    responses((status = 200, description = "A page of requests, the newest first",
        body = PageView<ServedView>)),
    security(("session" = [])),
)]
pub async fn list_instance_requests(
    State(app): State<Arc<App>>,
    _: Admin,
    InstancePath(id): InstancePath,
    Query(ListServed { after, limit }): Query<ListServed>,
) -> Result<Response, Problem> {
    find(&app, id).await?;
    let found = app.store.instance_requests(id, after, limit + 1).await?;
    let page = PageView::cut(found, limit, |it| it.request.to_string(), ServedView::from);
    json(StatusCode::OK, &page)
}

/// What an instance used over time
///
/// Span after span since it was launched: of 30 seconds in its first hour, 5 minutes on its first day, half
/// an hour in its first week, 6 hours from then on. Where nobody looked there is no span.
#[utoipa::path(
    get, path = "/api/v1/instances/{id}/usage", operation_id = "find_instance_usage", tag = "instances",
    params(("id" = String, Path, description = "The instance's id")),
    responses((status = 200, description = "Its course, the oldest span first; the newest 2,000",
        body = CourseView)),
    security(("session" = [])),
)]
pub async fn find_instance_usage(
    State(app): State<Arc<App>>,
    _: Admin,
    InstancePath(id): InstancePath,
) -> Result<Response, Problem> {
    let record = find(&app, id).await?;
    let spans = app.store.instance_usage(id).await?;
    json(StatusCode::OK, &CourseView::new(record.launched_at, spans))
}

/// Stop an instance
///
/// From now on it gets nothing more. Its requests have failed when this answers, if that is asked for;
/// else its work is finished or handed back, once, before it has ended. Asking again changes nothing,
/// except for something harder: `drain`, then `requeue`, then `fail`. If its model is needed, another
/// instance starts: disable the model to keep it from coming back.
#[utoipa::path(
    post, path = "/api/v1/instances/{id}/stop", operation_id = "stop_instance", tag = "instances",
    params(("id" = String, Path, description = "The instance's id")),
    request_body(content((Stopping = "application/json"))),
    responses((status = 200, description = "The instance, which is about to stop or has ended",
        body = DetailsView)),
    security(("session" = [])),
)]
pub async fn stop_instance(
    State(app): State<Arc<App>>,
    Admin(actor): Admin,
    InstancePath(id): InstancePath,
    Json(stopping): Json<Stopping>,
) -> Result<Response, Problem> {
    let record = find(&app, id).await?;
    let wish = wish(&app, stopping, &record)?;
    let store = app.store.clone();
    let stopped =
        to_the_end(async move { Ok(store.stop_instance(actor, id, wish).await?) }).await?;
    if stopped == Stopped::Unknown {
        return Err(Problem::no_such_thing());
    }
    show(&app, id).await
}

fn wish(app: &App, stopping: Stopping, record: &InstanceRecord) -> Result<StopWish, Problem> {
    let unknown = |_| wrong("work", "`work` is requeue, fail or drain.");
    let work: StopWork = stopping.work.parse().map_err(unknown)?;
    let reason = reason(stopping.reason)?.unwrap_or_else(|| "no reason was given".to_owned());
    let grace = match (stopping.grace_seconds, work) {
        (Some(given), _) => match u32::try_from(given).ok().filter(|given| *given <= GRACE) {
            Some(given) => given,
            None => {
                let detail = format!("`grace_seconds` is from 0 to {GRACE}.");
                return Err(wrong("grace_seconds", detail));
            }
        },
        (None, StopWork::Drain) => {
            let model = app.store.find_model(&record.model);
            model.map_or(GRACE, |model| model.limits.job_seconds).min(GRACE)
        }
        (None, _) => PROCESS_GRACE,
    };
    Ok(StopWish { work, reason, grace: seconds(grace) })
}
