//! `/api/models`

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use super::auth::Anybody;
use super::view::{ItemsView, ModelView};
use super::{Detail, Segment, TAG};
use crate::app::App;
use crate::http::answer::json;
use crate::reading::find_model;

/// List the models
#[utoipa::path(
    get, path = "/api/models", operation_id = "legacy_list_models", tag = TAG,
    responses((status = 200, description = "All models", body = ItemsView<ModelView>)),
    security((), ("legacy" = [])),
)]
pub async fn legacy_list_models(
    State(app): State<Arc<App>>,
    _: Anybody,
) -> Result<Response, Detail> {
    let models = app.store.models();
    let items = models.iter().filter(|model| !model.is_trial());
    let items = items.map(|model| ModelView::new(model)).collect();
    Ok(json(StatusCode::OK, &ItemsView { items })?)
}

/// Find a model
#[utoipa::path(
    get, path = "/api/models/{id}", operation_id = "legacy_find_model", tag = TAG,
    params(("id" = String, Path, description = "The model's id")),
    responses((status = 200, description = "The model", body = ModelView)),
    security((), ("legacy" = [])),
)]
pub async fn legacy_find_model(
    State(app): State<Arc<App>>,
    _: Anybody,
    Segment(id): Segment,
) -> Result<Response, Detail> {
    Ok(json(StatusCode::OK, &ModelView::new(&*find_model(&app.reader, &id)?))?)
}
