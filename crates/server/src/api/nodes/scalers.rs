//! `/api/v1/autoscalers`: who makes nodes of a cluster that are not the hub's.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use muster_core::room::Scaler;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::http::answer::json;
use crate::http::problem::Problem;
use crate::identity::Admin;

/// Who makes nodes and takes them away, beside the hub.
#[derive(Serialize, ToSchema)]
#[schema(as = Autoscalers)]
pub struct ScalersDocument {
    /// Empty if instances are no pods.
    pub items: Vec<ScalerView>,
    /// Why nothing can be asked now; null if it can.
    pub unseen: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Autoscaler)]
pub struct ScalerView {
    #[schema(example = "Cluster Autoscaler")]
    pub name: String,
    /// Null: the hub may not see what would tell.
    pub present: Option<bool>,
    /// What it says, line by line, and what of it the hub may not see.
    #[schema(example = json!(["gpu-a is healthy, its target is 1 of 0 to 4"]))]
    pub says: Vec<String>,
}

impl From<Scaler> for ScalerView {
    fn from(Scaler { name, is_there, says }: Scaler) -> Self {
        Self { name, present: is_there, says }
    }
}

/// List autoscalers
///
/// Who makes nodes of the cluster in which instances are pods, and what they say. Asked of the cluster at most
/// every ten seconds.
#[utoipa::path(
    get, path = "/api/v1/autoscalers", operation_id = "list_autoscalers", tag = "nodes",
    responses((status = 200, description = "Those that are there, are not, or cannot be seen",
        body = ScalersDocument)),
    security(("session" = [])),
)]
pub async fn list_autoscalers(State(app): State<Arc<App>>, _: Admin) -> Result<Response, Problem> {
    let (items, unseen) = match app.config.scalers.ask().await {
        Ok(all) => (all.into_iter().map(ScalerView::from).collect(), None),
        Err(why) => (Vec::new(), Some(why)),
    };
    json(StatusCode::OK, &ScalersDocument { items, unseen })
}
