//! The routes of the model-server contract: what published images serve (A), and ours (B).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use axum::http::{HeaderName, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;
use tower_http::compression::CompressionLayer;

use crate::Folder;
use crate::body::{Limits, NDJSON, Params, detail, inputs, unpack};
use crate::jobs::{Job, JobState, Jobs};
use crate::logs::Logs;
use crate::orient::{lines, orient};
use crate::worker::{Outcome, Worker, changed, timed_out};

/// Longest `?wait=`.
const LONGEST_WAIT: u64 = 60;

pub(crate) struct Served {
    folder: Folder,
    limits: Limits,
    instance: Option<HeaderValue>,
    logs: Logs,
    worker: watch::Receiver<Option<Arc<Worker>>>,
    jobs: Jobs,
    calls: AtomicU64,
    inputs: AtomicU64,
    failed: AtomicU64,
}

type Model = State<Arc<Served>>;

impl Served {
    pub(crate) fn new(
        folder: Folder,
        (limits, instance): (Limits, Option<&str>),
        logs: Logs,
        worker: watch::Receiver<Option<Arc<Worker>>>,
    ) -> Self {
        let instance = instance.and_then(|id| id.parse().ok());
        Self {
            folder,
            limits,
            instance,
            logs,
            worker,
            jobs: Jobs::default(),
            calls: AtomicU64::new(0),
            inputs: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }

    fn worker(&self) -> Result<Arc<Worker>, Box<Response>> {
        self.worker.borrow().clone().ok_or_else(|| {
            let busy = detail(StatusCode::SERVICE_UNAVAILABLE, "the model is starting");
            Box::new(([(RETRY_AFTER, "1")], busy).into_response())
        })
    }

    fn count(&self, inputs: usize, outcome: &Outcome) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.inputs.fetch_add(inputs as u64, Ordering::Relaxed);
        if !matches!(outcome, Outcome::Rows(_)) {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

pub(crate) fn router(served: Arc<Served>) -> Router {
    Router::new()
        .route("/", get(root))
        .route("/healthz", get(healthz))
        .route("/livez", get(async || "ok"))
        .route("/metrics", get(metrics))
        .route("/logs", get(logs))
        .route("/models/status", get(status))
        .route("/card", get(card))
        .route("/card/{field}", get(card_field))
        .route("/run/columns/input", get(input_columns))
        .route("/run/columns/output", get(output_columns))
        .route("/run/example/input", get(example_input))
        .route("/run/example/output", get(example_output))
        .route("/run", post(run))
        .route("/job/submit", post(submit))
        .route("/job/status/{id}", get(job_status))
        .route("/job/result/{id}", get(job_result))
        .route("/job/{id}/cancel", post(job_cancel))
        .fallback(async || detail(StatusCode::NOT_FOUND, "there is nothing at this path"))
        .method_not_allowed_fallback(async || {
            detail(StatusCode::METHOD_NOT_ALLOWED, "this path does not know the method")
        })
        .layer(DefaultBodyLimit::max(served.limits.body_bytes))
        .layer(middleware::from_fn(unpack))
        .layer(CompressionLayer::new())
        .layer(middleware::from_fn_with_state(Arc::clone(&served), prove))
        .with_state(served)
}

/// Every answer says which instance gave it.
async fn prove(State(served): Model, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if let Some(instance) = &served.instance {
        response.headers_mut().insert(HeaderName::from_static("muster-instance"), instance.clone());
    }
    response
}

/// As published images say who they are.
async fn root(State(served): Model) -> Json<Value> {
    let Folder { model, slug, .. } = &served.folder;
    let mut said = serde_json::Map::new();
    said.insert(model.id.to_string(), Value::from(slug.as_str()));
    Json(Value::Object(said))
}

async fn healthz(State(served): Model) -> Response {
    match served.worker() {
        Ok(_) => "ok".into_response(),
        Err(starting) => *starting,
    }
}

async fn metrics(State(served): Model) -> String {
    let (calls, inputs) = (&served.calls, &served.inputs);
    format!(
        "# TYPE model_calls counter\nmodel_calls_total {}\n# TYPE model_inputs counter\n\
         model_inputs_total {}\n# TYPE model_failed_calls counter\nmodel_failed_calls_total {}\n\
         # TYPE model_jobs gauge\nmodel_jobs {}\n# EOF\n",
        calls.load(Ordering::Relaxed),
        inputs.load(Ordering::Relaxed),
        served.failed.load(Ordering::Relaxed),
        served.jobs.len(),
    )
}

async fn logs(State(served): Model) -> String {
    served.logs.text()
}

async fn status(State(served): Model) -> Json<Value> {
    let model = &served.folder.model;
    Json(json!([{ "modelName": model.id, "modelVersion": model.version }]))
}

/// The card under the names that published images use.
fn fields(served: &Served) -> Value {
    let model = &served.folder.model;
    let card = &model.card;
    json!({
        "Identifier": model.id,
        "Slug": model.id,
        "Title": card.title,
        "Description": card.description,
        "Input": model.input.name,
        "Output": model.outputs.iter().map(|column| &column.name).collect::<Vec<_>>(),
        "Interpretation": card.interpretation,
        "Publication": card.publication,
        "Source Code": card.source_code,
        "License": card.licence,
        "Tag": card.tags,
        "Task": card.task,
        "Version": model.version,
    })
}

async fn card(State(served): Model) -> Json<Value> {
    Json(fields(&served))
}

async fn card_field(State(served): Model, Path(field): Path<String>) -> Response {
    let empty = |value: &Value| *value == json!("") || *value == json!([]);
    match fields(&served).get(&field).filter(|value| !empty(value)) {
        Some(value) => Json(json!({ field: value })).into_response(),
        None => detail(StatusCode::NOT_FOUND, format!("the card has no field {field}")),
    }
}

async fn input_columns(State(served): Model) -> Json<Value> {
    Json(json!([served.folder.model.input.name]))
}

async fn output_columns(State(served): Model) -> Json<Value> {
    let declared: Vec<&str> =
        served.folder.model.outputs.iter().map(|column| column.name.as_str()).collect();
    if declared.is_empty() {
        return Json(json!(served.folder.example_output));
    }
    Json(json!(declared))
}

async fn example_input(State(served): Model) -> Json<Value> {
    Json(json!(served.folder.model.example))
}

async fn example_output(State(served): Model) -> Response {
    let example = served.folder.model.example.clone();
    predict(&served, &example, "records", false).await
}

#[derive(Deserialize)]
struct RunQuery {
    orient: Option<String>,
}

async fn run(
    State(served): Model,
    Params(query): Params<RunQuery>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let inputs = match inputs(&served.limits, &headers, body) {
        Ok(inputs) => inputs,
        Err(refused) => return *refused,
    };
    let accepts = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let orient = query.orient.unwrap_or_else(|| "records".to_owned());
    predict(&served, &inputs, &orient, accepts.contains(NDJSON)).await
}

async fn predict(served: &Served, inputs: &[String], shape: &str, ndjson: bool) -> Response {
    let worker = match served.worker() {
        Ok(worker) => worker,
        Err(starting) => return *starting,
    };
    let outcome = worker.run(inputs, |_| {}).await;
    served.count(inputs.len(), &outcome);
    match outcome {
        Outcome::Rows(rows) if ndjson => {
            ([(CONTENT_TYPE, NDJSON)], Body::from(lines(&rows))).into_response()
        }
        Outcome::Rows(rows) => {
            let rows = orient(rows, shape, inputs.len(), &served.folder.model.outputs);
            ([(CONTENT_TYPE, "application/json")], Body::from(rows)).into_response()
        }
        Outcome::Failed(error) => detail(StatusCode::INTERNAL_SERVER_ERROR, error),
        Outcome::TimedOut { seconds } => detail(StatusCode::GATEWAY_TIMEOUT, timed_out(seconds)),
        Outcome::Busy => {
            let busy = detail(StatusCode::TOO_MANY_REQUESTS, "too many calls wait for the model");
            ([(RETRY_AFTER, "1")], busy).into_response()
        }
        Outcome::Changed { file } => {
            let changed = detail(StatusCode::SERVICE_UNAVAILABLE, changed(&file));
            ([(RETRY_AFTER, "1")], changed).into_response()
        }
    }
}

async fn submit(
    State(served): Model,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let inputs = match inputs(&served.limits, &headers, body) {
        Ok(inputs) => inputs,
        Err(refused) => return *refused,
    };
    let worker = match served.worker() {
        Ok(worker) => worker,
        Err(starting) => return *starting,
    };
    let mut random = [0; 16];
    if getrandom::fill(&mut random).is_err() {
        return detail(StatusCode::INTERNAL_SERVER_ERROR, "no random number for the job's id");
    }
    let id = uuid::Builder::from_random_bytes(random).into_uuid().to_string();
    let job = served.jobs.add(id.clone(), inputs.len());
    let counted = Arc::clone(&served);
    tokio::spawn(async move {
        let state = job.state.clone();
        let progress = |done| drop(state.send_replace(JobState::Pending { done }));
        let outcome = tokio::select! {
            outcome = worker.run(&inputs, progress) => outcome,
            () = job.cancel.cancelled() => {
                job.state.send_replace(JobState::Cancelled);
                return;
            }
        };
        counted.count(inputs.len(), &outcome);
        job.state.send_replace(match outcome {
            Outcome::Rows(rows) => JobState::Completed(rows),
            Outcome::Failed(error) => JobState::Failed(error),
            Outcome::TimedOut { seconds } => JobState::Failed(timed_out(seconds)),
            Outcome::Changed { file } => JobState::Failed(changed(&file)),
            Outcome::Busy => JobState::Failed("too many calls wait for the model".to_owned()),
        });
    });
    Json(json!({ "job_id": id, "message": "Job submitted" })).into_response()
}

#[derive(Deserialize)]
struct StatusQuery {
    wait: Option<u64>,
}

fn unknown_job() -> Response {
    detail(StatusCode::NOT_FOUND, "Job not found")
}

async fn job_status(
    State(served): Model,
    Path(id): Path<String>,
    Params(query): Params<StatusQuery>,
) -> Response {
    let Some(job) = served.jobs.find(&id) else { return unknown_job() };
    let wait = Duration::from_secs(query.wait.unwrap_or(0).min(LONGEST_WAIT));
    let mut state = job.state.subscribe();
    let ended = state.wait_for(|state| !matches!(state, JobState::Pending { .. }));
    // The wait is over or the job ended: either way it is told how it is now.
    drop(tokio::time::timeout(wait, ended).await.map(|_| ()));
    Json(status_of(&id, &job)).into_response()
}

fn status_of(id: &str, job: &Job) -> Value {
    let total = job.total;
    match &*job.state.borrow() {
        JobState::Pending { done } => {
            json!({ "job_id": id, "status": "pending", "progress": { "done": done, "total": total } })
        }
        JobState::Completed(_) => {
            json!({ "job_id": id, "status": "completed", "progress": { "done": total, "total": total } })
        }
        JobState::Failed(error) => json!({ "job_id": id, "status": "failed", "error": error }),
        JobState::Cancelled => json!({ "job_id": id, "status": "failed", "error": "cancelled" }),
    }
}

async fn job_result(
    State(served): Model,
    Path(id): Path<String>,
    Params(query): Params<RunQuery>,
) -> Response {
    let Some(job) = served.jobs.find(&id) else { return unknown_job() };
    let rows = match &*job.state.borrow() {
        JobState::Completed(rows) => rows.clone(),
        _ => {
            let mut status = status_of(&id, &job);
            status["result"] = Value::Null;
            return Json(status).into_response();
        }
    };
    let shape = query.orient.unwrap_or_else(|| "records".to_owned());
    let rows = orient(rows, &shape, job.total, &served.folder.model.outputs);
    ([(CONTENT_TYPE, "application/json")], Body::from(rows)).into_response()
}

async fn job_cancel(State(served): Model, Path(id): Path<String>) -> Response {
    let Some(job) = served.jobs.find(&id) else { return unknown_job() };
    job.cancel.cancel();
    Json(json!({ "job_id": id, "message": "Job cancelled" })).into_response()
}
