//! `/api/v1/stats` and `/api/v1/me/stats`

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use serde::ser::{SerializeSeq, Serializer};
use utoipa::{IntoParams, ToSchema};

use crate::api::statistics::csv;
use crate::api::statistics::query::{AskAll, AskOwn, Wanted};
use crate::api::statistics::table::{Row, Table};
use crate::app::App;
use crate::http::answer::json;
use crate::http::extract::Query;
use crate::http::problem::Problem;
use crate::identity::{Admin, Person};

/// A group of requests: what it is of, and its figures. Times are in seconds, null if nothing was
/// measured.
#[derive(ToSchema)]
#[schema(as = StatisticsRow)]
#[expect(dead_code, reason = "it only describes what `table::Row` writes")]
pub struct RowDocument {
    /// This and those up to `input_size` are there if they are grouped by.
    #[schema(example = "rdkit-descriptors")]
    model: Option<String>,
    day: Option<String>,
    week: Option<String>,
    month: Option<String>,
    /// Null for requests of anonymous sessions.
    #[schema(format = Uuid)]
    user: Option<String>,
    user_name: Option<String>,
    /// Null for requests of accounts.
    #[schema(format = Uuid)]
    session: Option<String>,
    auth_type: Option<String>,
    input_size: Option<String>,
    #[schema(example = 120)]
    total: u64,
    #[schema(example = 110)]
    succeeded: u64,
    #[schema(example = 4)]
    failed: u64,
    #[schema(example = 1)]
    cancelled: u64,
    /// Not ended.
    #[schema(example = 5)]
    active: u64,
    #[schema(example = 4800)]
    inputs: u64,
    #[schema(example = 12)]
    failed_inputs: u64,
    #[schema(example = 900)]
    cache_hits: u64,
    /// From the first job submitted to the last result.
    job_seconds_total: Option<f64>,
    job_seconds_max: Option<f64>,
    job_seconds_min: Option<f64>,
    job_seconds_avg: Option<f64>,
    job_seconds_p50: Option<f64>,
    job_seconds_p95: Option<f64>,
    job_seconds_p99: Option<f64>,
    /// From the request submitted to its end.
    total_seconds_total: Option<f64>,
    total_seconds_max: Option<f64>,
    total_seconds_min: Option<f64>,
    total_seconds_avg: Option<f64>,
    total_seconds_p50: Option<f64>,
    total_seconds_p95: Option<f64>,
    total_seconds_p99: Option<f64>,
    /// From the request submitted to its first job submitted.
    waiting_seconds_total: Option<f64>,
    waiting_seconds_max: Option<f64>,
    waiting_seconds_min: Option<f64>,
    waiting_seconds_avg: Option<f64>,
    waiting_seconds_p50: Option<f64>,
    waiting_seconds_p95: Option<f64>,
    waiting_seconds_p99: Option<f64>,
}

/// Which requests, for both kinds of questions.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it only describes what `query::read` reads")]
struct OfRequests {
    /// Submitted on this day or later, UTC: 2026-11-24
    #[param(required = false)]
    from: String,
    /// Submitted on this day or before, UTC
    #[param(required = false)]
    to: String,
    /// waiting, running, completed, failed or cancelled; repeatable
    #[param(required = false)]
    phase: Vec<String>,
    /// 1, 2, 11, 101, ..: where a class begins
    #[param(required = false)]
    input_size_min: u64,
    /// 1, 10, 100, ..: where a class ends
    #[param(required = false)]
    input_size_max: u64,
}

/// How the answer is shown.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it only describes what `query::read` reads")]
struct Shown {
    /// Whose times: successes (if nothing is given), failures or all that ended
    #[param(required = false)]
    by: String,
    /// A column, with `-` before it for the most first; repeatable, or with commas
    #[param(required = false)]
    sort: Vec<String>,
    /// `next` of the page before
    #[param(required = false)]
    after: String,
    /// 1 to 1000; 100 if not given
    #[param(required = false)]
    limit: u32,
    /// json, or csv: all rows, and one of all groups together, `(all)`
    #[param(required = false)]
    format: String,
}

/// A page of groups, and all groups together.
#[derive(ToSchema)]
#[schema(as = Statistics)]
#[expect(dead_code, reason = "it only describes what `PageOfTable` writes")]
pub struct StatisticsDocument {
    items: Vec<RowDocument>,
    /// Of all groups, also of those on other pages.
    totals: RowDocument,
    /// Give this as `after` to get the next page; null on the last.
    next: Option<String>,
}

#[derive(Serialize)]
struct PageOfTable<'t> {
    #[serde(serialize_with = "items")]
    items: &'t Table,
    totals: Row<'t>,
    next: Option<String>,
}

fn items<S: Serializer>(table: &&Table, to: S) -> Result<S::Ok, S::Error> {
    let mut items = to.serialize_seq(Some(table.len()))?;
    for at in 0..table.len() {
        items.serialize_element(&table.row(at))?;
    }
    items.end()
}

/// Statistics of all requests
///
/// Of all requests that ever were, also of those that were cleared since. `sum of the parts` is always
/// the whole: each request is in one group. Times are those of the requests that `by` names.
#[utoipa::path(
    get, path = "/api/v1/stats", operation_id = "find_statistics", tag = "statistics",
    params(
        ("model" = Option<Vec<String>>, Query, description = "Only of these models; repeatable"),
        ("auth_type" = Option<String>, Query, description = "account or anonymous"),
        ("user" = Option<Vec<String>>, Query, description = "Only of these accounts; repeatable"),
        ("session" = Option<Vec<String>>, Query,
            description = "Only of these anonymous sessions; repeatable. With `user`: of either"),
        OfRequests,
        ("group_by" = Option<Vec<String>>, Query,
            description = "model (if nothing is given), day, week, month, user, session, auth_type, input_size; repeatable, \
                           or with commas. The order of the columns"),
        Shown,
    ),
    responses((status = 200, description = "The groups",
        content(
            (StatisticsDocument = "application/json"),
            (String = "text/csv", example = "model,total,succeeded\r\nrdkit-descriptors,120,110\r\n"),
        ))),
    security(("session" = [])),
)]
pub async fn find_statistics(
    State(app): State<Arc<App>>,
    _: Admin,
    Query(AskAll(wanted)): Query<AskAll>,
) -> Result<Response, Problem> {
    answer(&app, wanted).await
}

/// Statistics of your requests
///
/// Also of those of anonymous sessions that you took over when you logged in.
#[utoipa::path(
    get, path = "/api/v1/me/stats", operation_id = "find_my_statistics", tag = "statistics",
    params(
        ("model" = Option<Vec<String>>, Query, description = "Only of these models; repeatable"),
        OfRequests,
        ("group_by" = Option<Vec<String>>, Query,
            description = "model (if nothing is given), day, week, month, input_size; repeatable, or with commas"),
        Shown,
    ),
    responses((status = 200, description = "The groups",
        content((StatisticsDocument = "application/json"), (String = "text/csv")))),
    security(("session" = [])),
)]
pub async fn find_my_statistics(
    State(app): State<Arc<App>>,
    person: Person,
    Query(AskOwn(mut wanted)): Query<AskOwn>,
) -> Result<Response, Problem> {
    let id = person.account.id;
    wanted.query.users = vec![id];
    wanted.query.sessions = app.store.claimed_sessions(id).await?;
    answer(&app, wanted).await
}

async fn answer(app: &App, wanted: Wanted) -> Result<Response, Problem> {
    let found = app.store.statistics(wanted.query.clone()).await?;
    let mut table = Table::new(found, &wanted);
    let next = if wanted.csv { None } else { table.page(&wanted)? };
    table.names = app.store.account_names(&table.users()).await?;
    if wanted.csv {
        return csv::answer(table);
    }
    json(StatusCode::OK, &PageOfTable { items: &table, totals: table.totals(), next })
}
