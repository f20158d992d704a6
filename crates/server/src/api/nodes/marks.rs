//! Nodes that get nothing new, because an administrator says so.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use muster_core::PrincipalId;
use muster_core::plan::Planned;
use muster_core::room::{MarkKind, NodeId, Who};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::{App, to_the_end};
use crate::http::answer::json;
use crate::http::extract::NodePath;
use crate::http::problem::Problem;
use crate::identity::Admin;
use crate::reading::small::{MaybeJson, reason};

/// Why a node shall get nothing new.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NodeMarking, example = json!({"reason": "It gets a new disk."}))]
pub struct Marking {
    /// At most 500 characters.
    #[schema(max_length = 500)]
    reason: Option<String>,
}

/// What became of it.
#[derive(Serialize, ToSchema)]
#[schema(as = NodeMarked)]
pub struct MarkedView {
    #[schema(value_type = String, example = "lab1")]
    node: NodeId,
    /// `cordoned` or `drained`; null if it takes instances again
    #[schema(example = "drained")]
    mark: Option<&'static str>,
    /// Was it not so before?
    changed: bool,
    /// What follows.
    #[schema(
        example = "It gets nothing new. What runs there, 2 instances, ends when it has done what it works on."
    )]
    message: String,
}

/// Cordon a node
///
/// It gets nothing new; what runs there stays. It is the administrator's: no plan undoes it, and none takes the
/// node away. Asking again changes nothing.
#[utoipa::path(
    post, path = "/api/v1/nodes/{id}/cordon", operation_id = "cordon_node", tag = "nodes",
    params(("id" = String, Path, description = "The node's name")),
    request_body(content((Marking = "application/json")), description = "May be left out"),
    responses((status = 200, description = "What became of it", body = MarkedView)),
    security(("session" = [])),
)]
pub async fn cordon_node(
    State(app): State<Arc<App>>,
    Admin(actor): Admin,
    NodePath(id): NodePath,
    MaybeJson(marking): MaybeJson<Marking>,
) -> Result<Response, Problem> {
    mark(&app, actor, id, Some(MarkKind::Cordoned), marking.reason).await
}

/// Drain a node
///
/// It gets nothing new, and the instances there end as soon as they have done what they work on. The node
/// stays. Asking again changes nothing.
#[utoipa::path(
    post, path = "/api/v1/nodes/{id}/drain", operation_id = "drain_node", tag = "nodes",
    params(("id" = String, Path, description = "The node's name")),
    request_body(content((Marking = "application/json")), description = "May be left out"),
    responses((status = 200, description = "What became of it", body = MarkedView)),
    security(("session" = [])),
)]
pub async fn drain_node(
    State(app): State<Arc<App>>,
    Admin(actor): Admin,
    NodePath(id): NodePath,
    MaybeJson(marking): MaybeJson<Marking>,
) -> Result<Response, Problem> {
    mark(&app, actor, id, Some(MarkKind::Drained), marking.reason).await
}

/// Let a node take instances again
///
/// Whoever cordoned or drained it. Asking again changes nothing.
#[utoipa::path(
    post, path = "/api/v1/nodes/{id}/uncordon", operation_id = "uncordon_node", tag = "nodes",
    params(("id" = String, Path, description = "The node's name")),
    responses((status = 200, description = "What became of it", body = MarkedView)),
    security(("session" = [])),
)]
pub async fn uncordon_node(
    State(app): State<Arc<App>>,
    Admin(actor): Admin,
    NodePath(id): NodePath,
) -> Result<Response, Problem> {
    mark(&app, actor, id, None, None).await
}

async fn mark(
    app: &App,
    actor: PrincipalId,
    node: NodeId,
    kind: Option<MarkKind>,
    why: Option<String>,
) -> Result<Response, Problem> {
    let why = reason(why)?.unwrap_or_default();
    let planned = super::planned(app).await?;
    let found = super::find(&planned, &node).map(|node| node.id.clone());
    // What was said of a node that is away can be taken back: it gets nothing when it returns otherwise.
    let (found, away) = match (found, kind) {
        (Ok(id), _) => (id, None),
        (Err(unknown), None) => (node.clone(), Some(unknown)),
        (Err(unknown), Some(_)) => return Err(unknown),
    };
    let message = message(&planned, found, kind);
    let (store, id) = (app.store.clone(), node.clone());
    let marked = async move { Ok(store.mark_node(actor, &id, kind, &why).await?) };
    let changed = to_the_end(marked).await?.is_done();
    if let Some(unknown) = away.filter(|_| !changed) {
        return Err(unknown);
    }
    let mark = kind.map(MarkKind::name);
    json(StatusCode::OK, &MarkedView { node, mark, changed, message })
}

/// What follows for those who are there.
fn message(planned: &Planned, node: NodeId, kind: Option<MarkKind>) -> String {
    let Some(kind) = kind else { return "It takes instances again.".to_owned() };
    let rooms = planned.world.rooms();
    let there = rooms.find(&node).map(|index| rooms.get(index).holders()).unwrap_or_default();
    let instances = there.iter().filter(|it| matches!(it.who, Who::Instance(_))).count();
    let runs = match instances {
        0 => return "It gets nothing new, and no instance is there.".to_owned(),
        1 => "1 instance".to_owned(),
        more => format!("{more} instances"),
    };
    match kind {
        MarkKind::Cordoned => format!("It gets nothing new. What runs there, {runs}, stays."),
        MarkKind::Drained => format!(
            "It gets nothing new. What runs there, {runs}, ends when it has done what it works on."
        ),
    }
}
