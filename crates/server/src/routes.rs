//! All routes.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::docs::{
    __path_openapi_json, add_problems, description, docs_file, docs_index, docs_root, openapi_json,
};
use crate::door::{no_method, no_route, redirect};
use crate::events::{__path_follow_events, follow_events};
use crate::health::{__path_livez, __path_readyz, livez, readyz};
use crate::metrics::{Metrics, metrics};
use crate::models::{__path_find_model, __path_list_models, find_model, list_models};
use crate::requests::{
    __path_cancel_request, __path_find_request, __path_list_requests, __path_submit_request,
    cancel_request, find_request, list_requests, submit_request,
};
use crate::result::{__path_find_result, compression, find_result};
use crate::sessions::{__path_create_session, create_session};

/// The routes of the API and their description.
pub fn api() -> (Router<Arc<App>>, OpenApi) {
    let large = OpenApiRouter::new()
        .routes(routes!(find_result))
        .routes(routes!(openapi_json))
        .layer(compression());
    let (router, mut description) = OpenApiRouter::with_openapi(description())
        .routes(routes!(create_session))
        .routes(routes!(list_models))
        .routes(routes!(find_model))
        .routes(routes!(submit_request, list_requests))
        .routes(routes!(find_request))
        .routes(routes!(cancel_request))
        .routes(routes!(follow_events))
        .routes(routes!(livez))
        .routes(routes!(readyz))
        .merge(large)
        .split_for_parts();
    add_problems(&mut description);
    (router, description)
}

/// Paths of pages that are not part of the API.
pub const PAGES: [&str; 4] = ["/", "/api/docs", "/api/docs/", "/api/docs/{file}"];

pub fn router(app: Arc<App>) -> Router {
    let pages = Router::new()
        .route(PAGES[0], get(async || redirect("/api/docs/")))
        .route(PAGES[1], get(docs_root))
        .route(PAGES[2], get(docs_index))
        .route(PAGES[3], get(docs_file))
        .layer(compression());
    let (api, _) = api();
    api.merge(pages).fallback(no_route).method_not_allowed_fallback(no_method).with_state(app)
}

pub fn metrics_router(app: Arc<App>, counts: Arc<Metrics>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .with_state((app, counts))
}
