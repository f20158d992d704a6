//! `/api/v1/catalogue`: models, for those who administer them. See `docs/models.md` for who owns
//! a model.

pub mod folders;
mod reading;
mod schema;
pub mod versions;
mod view;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{ETAG, IF_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};
use muster_core::{ModelId, Source};
use muster_store::{Entry, ModelAct, ModelDone, Owner};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::api::models::ListModels;
use crate::api::people::view::DoneView;
use crate::api::requests::view::PageView;
use crate::app::{App, to_the_end};
use crate::http::answer::{json, located};
use crate::http::extract::{ModelPath, Query};
use crate::http::problem::{At, Kind, Problem};
use crate::identity::ModelEditor;
use crate::reading::small::{MaybeJson, reason};
pub use schema::{ModelChangeSchema, NewModelSchema};
use view::{CatalogueView, ClearedView};

/// Why the model takes no new requests.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ModelDisabling, example = json!({"reason": "It is replaced by molecular-weight-2."}))]
pub struct Disabling {
    /// For those who would use it; at most 500 characters.
    #[schema(max_length = 500)]
    reason: Option<String>,
}

/// All models, also disabled ones and those whose folder is gone
#[utoipa::path(
    get, path = "/api/v1/catalogue", operation_id = "list_catalogue", tag = "catalogue",
    params(
        ("after" = Option<String>, Query, description = "`next` of the page before"),
        ("limit" = Option<u32>, Query, description = "1 to 200; 50 if not given"),
    ),
    responses((status = 200, description = "A page of models in the order of their ids",
        body = PageView<CatalogueView>)),
    security(("session" = [])),
)]
pub async fn list_catalogue(
    State(app): State<Arc<App>>,
    editor: ModelEditor,
    Query(query): Query<ListModels>,
) -> Result<Response, Problem> {
    let found = app.store.list_entries(query.after, query.limit + 1).await?;
    let (found, id) = (found.iter().collect(), |entry: &&Entry| entry.model.id.to_string());
    json(
        StatusCode::OK,
        &PageView::cut(found, query.limit, id, |entry| CatalogueView::new(entry, editor.is_admin)),
    )
}

/// A model as administrators see it
#[utoipa::path(
    get, path = "/api/v1/catalogue/{id}", operation_id = "find_in_catalogue", tag = "catalogue",
    params(("id" = String, Path, description = "The model's id")),
    responses((status = 200, description = "The model; its ETag is for If-Match",
        body = CatalogueView, headers(("ETag" = String)))),
    security(("session" = [])),
)]
pub async fn find_in_catalogue(
    State(app): State<Arc<App>>,
    editor: ModelEditor,
    ModelPath(id): ModelPath,
) -> Result<Response, Problem> {
    show(StatusCode::OK, &editor, &find(&app, &id).await?)
}

/// Add a model
///
/// One that runs elsewhere, at an address that begins with one of the operator's `model_addresses`; or one that is
/// an image, with a name that begins with one of the operator's `model_images`.
#[utoipa::path(
    post, path = "/api/v1/catalogue", operation_id = "create_model", tag = "catalogue",
    request_body(content((NewModelSchema = "application/json"))),
    responses((status = 201, description = "The model; Location is where it is",
        body = CatalogueView, headers(("ETag" = String)))),
    security(("session" = [])),
)]
pub async fn create_model(
    State(app): State<Arc<App>>,
    editor: ModelEditor,
    request: Request,
) -> Result<Response, Problem> {
    let model = reading::read_new(&app, &editor, request).await?;
    let (id, actor) = (model.id.clone(), editor.id);
    let store = app.store.clone();
    let created = to_the_end(async move { Ok(store.create_model(actor, model).await?) }).await?;
    let taken = || {
        let detail = "There is a model with this id already; see GET /api/v1/catalogue.";
        Problem::new(Kind::ModelTaken, detail).at(At::Pointer("/id".into()))
    };
    let answer = show(StatusCode::CREATED, &editor, &created.ok_or_else(taken)?)?;
    Ok(located(answer, &format!("{}/api/v1/catalogue/{id}", app.config.base_path())))
}

/// Edit a model
///
/// A JSON merge patch: what is not named stays. Of a folder's model card, limits, cache and
/// network (for the permission ADMIN) can be edited, as a layer over what the folder says; null takes
/// an edit back. `pod`, of a model that is an image, is for the permission ADMIN too.
#[utoipa::path(
    patch, path = "/api/v1/catalogue/{id}", operation_id = "edit_model", tag = "catalogue",
    params(
        ("id" = String, Path, description = "The model's id"),
        ("If-Match" = Option<String>, Header,
            description = "The ETag of the model that you saw; needed"),
    ),
    request_body(content((ModelChangeSchema = "application/json"))),
    responses((status = 200, description = "The model", body = CatalogueView,
        headers(("ETag" = String)))),
    security(("session" = [])),
)]
pub async fn edit_model(
    State(app): State<Arc<App>>,
    editor: ModelEditor,
    ModelPath(id): ModelPath,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    let seen = find(&app, &id).await?;
    matches(&headers, &seen)?;
    let patch = reading::read_change(&app, &editor, request, &seen).await?;
    if patch.get("network").is_some() && !editor.is_admin {
        let detail = "What a model's code may reach is for the permission ADMIN.";
        return Err(Problem::new(Kind::Forbidden, detail));
    }
    change(app, editor, seen, ModelAct::Edit(patch)).await
}

/// Delete a model that is disabled and has no open requests
///
/// The requests that it answered stay. The model of a folder goes with its folder.
#[utoipa::path(
    delete, path = "/api/v1/catalogue/{id}", operation_id = "delete_model", tag = "catalogue",
    params(
        ("id" = String, Path, description = "The model's id"),
        ("If-Match" = Option<String>, Header,
            description = "The ETag of the model that you saw; needed"),
    ),
    responses((status = 200, description = "It is gone", body = DoneView)),
    security(("session" = [])),
)]
pub async fn delete_model(
    State(app): State<Arc<App>>,
    editor: ModelEditor,
    ModelPath(id): ModelPath,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let seen = find(&app, &id).await?;
    matches(&headers, &seen)?;
    change(app, editor, seen, ModelAct::Delete).await?;
    json(StatusCode::OK, &DoneView { detail: "The model is deleted." })
}

/// Let a model take requests again
#[utoipa::path(
    post, path = "/api/v1/catalogue/{id}/enable", operation_id = "enable_model", tag = "catalogue",
    params(("id" = String, Path, description = "The model's id")),
    responses((status = 200, description = "The model", body = CatalogueView,
        headers(("ETag" = String)))),
    security(("session" = [])),
)]
pub async fn enable_model(
    State(app): State<Arc<App>>,
    editor: ModelEditor,
    ModelPath(id): ModelPath,
) -> Result<Response, Problem> {
    let seen = find(&app, &id).await?;
    change(app, editor, seen, ModelAct::Enable).await
}

/// Let a model take no new requests
///
/// Those that were submitted go on to their end.
#[utoipa::path(
    post, path = "/api/v1/catalogue/{id}/disable", operation_id = "disable_model",
    tag = "catalogue",
    params(("id" = String, Path, description = "The model's id")),
    request_body(content((Disabling = "application/json")),
        description = "May be left out"),
    responses((status = 200, description = "The model", body = CatalogueView,
        headers(("ETag" = String)))),
    security(("session" = [])),
)]
pub async fn disable_model(
    State(app): State<Arc<App>>,
    editor: ModelEditor,
    ModelPath(id): ModelPath,
    MaybeJson(disabling): MaybeJson<Disabling>,
) -> Result<Response, Problem> {
    let reason = reason(disabling.reason)?;
    let reason = reason.unwrap_or_else(|| "An administrator disabled it.".to_owned());
    let seen = find(&app, &id).await?;
    change(app, editor, seen, ModelAct::Disable { reason }).await
}

/// Forget what a model predicted
///
/// Inputs that it has seen are computed again.
#[utoipa::path(
    post, path = "/api/v1/catalogue/{id}/clear-cache", operation_id = "clear_model_cache",
    tag = "catalogue",
    params(("id" = String, Path, description = "The model's id")),
    responses((status = 200, description = "How many predictions it were", body = ClearedView)),
    security(("session" = [])),
)]
pub async fn clear_model_cache(
    State(app): State<Arc<App>>,
    ModelEditor { id: actor, .. }: ModelEditor,
    ModelPath(id): ModelPath,
) -> Result<Response, Problem> {
    find(&app, &id).await?;
    let cleared = to_the_end(async move { Ok(app.store.clear_cache(actor, &id).await?) }).await?;
    json(StatusCode::OK, &ClearedView { predictions: cleared })
}

async fn find(app: &App, id: &ModelId) -> Result<Entry, Problem> {
    let found = app.store.find_entry(id).await?.filter(|entry| !entry.model.is_trial());
    found.ok_or_else(Problem::unknown_model)
}

fn etag(entry: &Entry) -> String {
    format!("\"{}\"", entry.revision)
}

fn show(status: StatusCode, editor: &ModelEditor, entry: &Entry) -> Result<Response, Problem> {
    let etag = HeaderValue::from_str(&etag(entry)).map_err(|_| Problem::internal())?;
    Ok(([(ETAG, etag)], json(status, &CatalogueView::new(entry, editor.is_admin))?).into_response())
}

/// Is it the model that the client saw?
fn matches(headers: &HeaderMap, seen: &Entry) -> Result<(), Problem> {
    let mut given = headers.get_all(IF_MATCH).iter().peekable();
    if given.peek().is_none() {
        let detail = "Send `If-Match` with the ETag of the model that you saw, so that nobody's \
                      change is lost. GET /api/v1/catalogue/{id} gives it.";
        let problem = Problem::new(Kind::IfMatchNeeded, detail);
        return Err(problem.at(At::Parameter("If-Match".into())));
    }
    let tag = etag(seen);
    let tags = given.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    if tags.map(str::trim).any(|given| given == "*" || given == tag) {
        return Ok(());
    }
    Err(changed())
}

fn changed() -> Problem {
    let detail = "The model was changed since you saw it. Look at it again: GET \
                  /api/v1/catalogue/{id}.";
    Problem::new(Kind::ChangedMeanwhile, detail).at(At::Parameter("If-Match".into()))
}

async fn change(
    app: Arc<App>,
    editor: ModelEditor,
    seen: Entry,
    act: ModelAct,
) -> Result<Response, Problem> {
    let (place, actor) = ((seen.model.id, seen.revision), editor.id);
    let done =
        to_the_end(async move { Ok(app.store.change_model(actor, place, act).await?) }).await?;
    match done {
        ModelDone::Done(entry) => show(StatusCode::OK, &editor, &entry),
        ModelDone::Unknown => Err(Problem::unknown_model()),
        ModelDone::Changed => Err(changed()),
        ModelDone::InUse(0) => {
            let detail = "Disable it first, so that nobody submits to it meanwhile.";
            Err(Problem::new(Kind::ModelInUse, detail))
        }
        ModelDone::InUse(open) => {
            let detail = format!(
                "{open} requests have not ended. Disable the model and wait for their end, or \
                 let their owners cancel them."
            );
            Err(Problem::new(Kind::ModelInUse, detail))
        }
        ModelDone::OfFolder => {
            let detail = "It comes from a folder on the hub's machine. Disable it here, or remove \
                          the folder and restart the hub.";
            Err(Problem::new(Kind::ModelOfFolder, detail))
        }
    }
}

/// The address of a model that runs elsewhere.
fn url(entry: &Entry) -> Option<&str> {
    match &entry.model.source {
        Source::Server { url } => Some(url),
        Source::Folder { .. } | Source::Pushed { .. } | Source::Image { .. } => None,
    }
}

pub fn owner(owner: Owner) -> &'static str {
    match owner {
        Owner::Folder => "folder",
        Owner::Api => "api",
        Owner::Push => "push",
    }
}
