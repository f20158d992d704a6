//! All routes.

use std::sync::Arc;

use axum::routing::get;
use axum::{Extension, Router};
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::catalogue::folders::{__path_fetch_folder, fetch_folder};
use crate::api::catalogue::versions::{
    __path_list_model_versions, __path_push_model_version, __path_roll_back_model,
    list_model_versions, push_model_version, roll_back_model,
};
use crate::api::catalogue::{
    __path_clear_model_cache, __path_create_model, __path_delete_model, __path_disable_model,
    __path_edit_model, __path_enable_model, __path_find_in_catalogue, __path_list_catalogue,
    clear_model_cache, create_model, delete_model, disable_model, edit_model, enable_model,
    find_in_catalogue, list_catalogue,
};
use crate::api::events::{__path_follow_events, follow_events};
use crate::api::health::{__path_livez, __path_readyz, livez, readyz};
use crate::api::hub::{
    __path_find_hub, __path_find_hub_state, __path_find_version, find_hub, find_hub_state,
    find_version,
};
use crate::api::instances::{
    __path_find_instance, __path_find_instance_log, __path_find_instance_usage,
    __path_list_instance_events, __path_list_instance_requests, __path_list_instances,
    __path_stop_instance, find_instance, find_instance_log, find_instance_usage,
    list_instance_events, list_instance_requests, list_instances, stop_instance,
};
use crate::api::metrics::metrics;
use crate::api::models::{__path_find_model, __path_list_models, find_model, list_models};
use crate::api::nodes::{
    __path_cordon_node, __path_drain_node, __path_find_node, __path_find_plan,
    __path_list_autoscalers, __path_list_node_groups, __path_list_nodes, __path_uncordon_node,
    cordon_node, drain_node, find_node, find_plan, list_autoscalers, list_node_groups, list_nodes,
    uncordon_node,
};
use crate::api::oversight::{
    __path_cancel_any_request, __path_find_any_request, __path_list_all_requests,
    __path_move_request_to_front, __path_requeue_request, cancel_any_request, find_any_request,
    list_all_requests, move_request_to_front, requeue_request,
};
use crate::api::people::accounts::{__path_sign_up, sign_up};
use crate::api::people::limits::{__path_find_my_limits, find_my_limits};
use crate::api::people::links::{
    __path_ask_email_verification, __path_ask_password_reset, __path_reset_password,
    __path_verify_email, ask_email_verification, ask_password_reset, reset_password, verify_email,
};
use crate::api::people::me::{
    __path_change_me, __path_change_password, __path_delete_me, __path_end_my_session,
    __path_find_me, __path_list_my_sessions, change_me, change_password, delete_me, end_my_session,
    find_me, list_my_sessions,
};
use crate::api::people::session::{
    __path_create_session, __path_find_session, __path_log_in, __path_log_out,
    __path_renew_session, create_session, find_session, log_in, log_out, renew_session,
};
use crate::api::people::tokens::{
    __path_create_token, __path_list_tokens, __path_revoke_token, create_token, list_tokens,
    revoke_token,
};
use crate::api::people::users::{
    __path_delete_user, __path_disable, __path_enable, __path_end_sessions, __path_find_user,
    __path_grant, __path_list_audit, __path_list_user_sessions, __path_list_users,
    __path_reset_link, __path_revoke, delete_user, disable, enable, end_sessions, find_user, grant,
    list_audit, list_user_sessions, list_users, reset_link, revoke,
};
use crate::api::requests::again::{__path_find_inputs, find_inputs};
use crate::api::requests::result::{__path_find_result, compression, find_result, weaken_tag};
use crate::api::requests::{
    __path_cancel_request, __path_change_request, __path_delete_request, __path_find_request,
    __path_list_requests, __path_submit_request, cancel_request, change_request, delete_request,
    find_request, list_requests, submit_request,
};
use crate::api::statistics::choices::{__path_list_statistics_filters, list_statistics_filters};
use crate::api::statistics::routes::{
    __path_find_my_statistics, __path_find_statistics, find_my_statistics, find_statistics,
};
use crate::app::App;
use crate::docs::{
    __path_openapi_json, Described, add_problems, add_words, description, docs_file, docs_index,
    docs_root, openapi_json, refer_to_items,
};
use crate::http::counts::Counts;
use crate::http::door::{no_method, no_route};
use crate::web::{front, page_or_file};
use crate::{docs, legacy};

/// The routes of the API and their description. `below`: where browsers reach the hub, if not at the root
/// of its host.
pub fn api(below: Option<&str>) -> (Router<Arc<App>>, OpenApi) {
    let described = Described::default();
    let large = OpenApiRouter::new()
        .routes(routes!(openapi_json))
        .layer(Extension(described.clone()))
        .routes(routes!(find_result))
        .routes(routes!(find_inputs))
        .merge(legacy::large_routes())
        .routes(routes!(find_statistics))
        .routes(routes!(find_my_statistics))
        .routes(routes!(list_statistics_filters))
        .routes(routes!(list_all_requests))
        .routes(routes!(list_nodes))
        .routes(routes!(find_node))
        .routes(routes!(list_node_groups))
        .routes(routes!(list_autoscalers))
        .routes(routes!(find_plan))
        .layer(compression())
        .layer(axum::middleware::map_response(weaken_tag));
    let (router, mut description) = OpenApiRouter::with_openapi(description())
        .merge(people())
        .merge(legacy::routes())
        .merge(catalogue())
        .merge(administration())
        .merge(instances())
        .routes(routes!(list_models))
        .routes(routes!(find_model))
        .routes(routes!(submit_request, list_requests))
        .routes(routes!(find_request, change_request, delete_request))
        .routes(routes!(cancel_request))
        .routes(routes!(follow_events))
        .routes(routes!(find_hub))
        .routes(routes!(find_version))
        .routes(routes!(find_hub_state))
        .routes(routes!(livez))
        .routes(routes!(readyz))
        .merge(large)
        .split_for_parts();
    add_problems(&mut description);
    refer_to_items(&mut description);
    add_words(&mut description);
    described.set(&description, below);
    (router, description)
}

/// The API's description as it is checked in as `openapi.json`.
pub fn openapi() -> String {
    docs::pretty(&api(None).1)
}

fn catalogue() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list_catalogue, create_model))
        .routes(routes!(find_in_catalogue, edit_model, delete_model))
        .routes(routes!(enable_model))
        .routes(routes!(disable_model))
        .routes(routes!(clear_model_cache))
        .routes(routes!(list_model_versions, push_model_version))
        .routes(routes!(roll_back_model))
        .routes(routes!(fetch_folder))
}

fn administration() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(find_any_request))
        .routes(routes!(cancel_any_request))
        .routes(routes!(move_request_to_front))
        .routes(routes!(requeue_request))
}

fn instances() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list_instances))
        .routes(routes!(find_instance))
        .routes(routes!(list_instance_events))
        .routes(routes!(list_instance_requests))
        .routes(routes!(find_instance_log))
        .routes(routes!(find_instance_usage))
        .routes(routes!(stop_instance))
        .routes(routes!(cordon_node))
        .routes(routes!(uncordon_node))
        .routes(routes!(drain_node))
}

fn people() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(create_session))
        .routes(routes!(find_session, log_in, log_out))
        .routes(routes!(renew_session))
        .routes(routes!(sign_up))
        .routes(routes!(ask_password_reset))
        .routes(routes!(reset_password))
        .routes(routes!(ask_email_verification))
        .routes(routes!(verify_email))
        .routes(routes!(find_me, change_me, delete_me))
        .routes(routes!(find_my_limits))
        .routes(routes!(change_password))
        .routes(routes!(list_my_sessions))
        .routes(routes!(end_my_session))
        .routes(routes!(list_tokens, create_token))
        .routes(routes!(revoke_token))
        .routes(routes!(list_users))
        .routes(routes!(find_user))
        .routes(routes!(list_user_sessions))
        .routes(routes!(grant))
        .routes(routes!(revoke))
        .routes(routes!(disable))
        .routes(routes!(enable))
        .routes(routes!(end_sessions))
        .routes(routes!(reset_link))
        .routes(routes!(delete_user))
        .routes(routes!(list_audit))
}

/// Paths of pages that are not part of the API.
const PAGES: [&str; 4] = ["/", "/api/docs", "/api/docs/", "/api/docs/{file}"];

/// The router, and the paths that it has.
pub fn router(app: Arc<App>) -> (Router, Vec<String>) {
    let pages = Router::new()
        .route(PAGES[0], get(front))
        .route(PAGES[1], get(docs_root))
        .route(PAGES[2], get(docs_index))
        .route(PAGES[3], get(docs_file))
        .layer(compression());
    let below = app.config.public_url.as_deref().filter(|_| !app.config.base_path().is_empty());
    let (api, description) = api(below);
    let paths = description.paths.paths.into_keys().chain(PAGES.map(str::to_owned)).collect();
    let all = api.merge(pages).fallback(page_or_file).method_not_allowed_fallback(no_method);
    (all.with_state(app), paths)
}

pub fn metrics_router(app: Arc<App>, counts: Arc<Counts>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .with_state((app.clone(), counts))
        .merge(
            Router::new().route("/livez", get(livez)).route("/readyz", get(readyz)).with_state(app),
        )
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
}
