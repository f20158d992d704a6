//! `/api/v1/nodes`, `/api/v1/node-groups` and `/api/v1/plan`: where instances run and what the hub makes of
//! it, for administrators. All three are of one look: what the hub that plans saw and decided last.

mod group_view;
mod marks;
pub mod plan;
mod scalers;
mod view;

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use muster_core::plan::{MOST_MORE, NotThere, Planned, WhatIf};
use muster_core::room::{GroupId, NodeId, NodeStage, NodeView};

use crate::api::requests::view::PageView;
use crate::app::App;
use crate::http::answer::json;
use crate::http::extract::{NodePath, Pairs, Parameters, Query};
use crate::http::problem::{Kind, Problem};
use crate::identity::Admin;
use group_view::GroupDocument;
pub use marks::{
    __path_cordon_node, __path_drain_node, __path_uncordon_node, cordon_node, drain_node,
    uncordon_node,
};
use plan::PlanDocument;
pub use scalers::{__path_list_autoscalers, list_autoscalers};
use view::{NodeDetails, NodeDocument, Shown};

/// Most parts of a question.
const MOST_PARTS: usize = 20;

pub struct ListNodes {
    groups: Vec<String>,
    stages: Vec<String>,
    after: Option<String>,
    limit: u32,
}

impl Parameters for ListNodes {
    const NAMES: &'static [&'static str] = &["group", "stage", "after", "limit"];
    const REPEATABLE: &'static [&'static str] = &["group", "stage"];

    fn read(pairs: &mut Pairs) -> Result<Self, Problem> {
        let stages = pairs.texts("stage");
        if stages.iter().any(|stage| !NodeStage::NAMES.contains(&&**stage)) {
            let all = NodeStage::NAMES.join(", ");
            return Err(Problem::parameter("stage", format!("This must be one of {all}.")));
        }
        let after = pairs.text("after").filter(|text| !text.is_empty());
        Ok(Self { groups: pairs.texts("group"), stages, after, limit: pairs.limit()? })
    }
}

/// List nodes
///
/// The machines on which instances run: those that run hubs. As the hub that plans saw them last, which is
/// some seconds ago if nothing happens.
#[utoipa::path(
    get, path = "/api/v1/nodes", operation_id = "list_nodes", tag = "nodes",
    params(
        ("group" = Option<Vec<String>>, Query, description = "Only of these groups; may be repeated"),
        ("stage" = Option<Vec<String>>, Query, description = "Only in these stages; may be repeated"),
        ("after" = Option<String>, Query, description = "`next` of the page before"),
        ("limit" = Option<u32>, Query, description = "1 to 200; 50 if not given"),
    ),
    responses((status = 200, description = "A page of nodes, in the order of their names",
        body = PageView<NodeDocument>)),
    security(("session" = [])),
)]
pub async fn list_nodes(
    State(app): State<Arc<App>>,
    _: Admin,
    Query(asked): Query<ListNodes>,
) -> Result<Response, Problem> {
    let planned = planned(&app).await?;
    aside(move || {
        let mut nodes: Vec<_> = planned.world.nodes.iter().collect();
        nodes.retain(|node| {
            let of = node.group.as_ref().map(|group| &group.0);
            (asked.groups.is_empty() || of.is_some_and(|group| asked.groups.contains(group)))
                && (asked.stages.is_empty()
                    || asked.stages.iter().any(|it| it == node.stage.name()))
                && asked.after.as_ref().is_none_or(|after| node.id.0 > *after)
        });
        nodes.sort_by_key(|node| &node.id);
        nodes.truncate(asked.limit as usize + 1);
        let shown = Shown::of(&planned);
        let page = PageView::cut(nodes, asked.limit, |it| it.id.0.clone(), |it| shown.node(it));
        json(StatusCode::OK, &page)
    })
    .await
}

/// Find a node
///
/// With all that is on it.
#[utoipa::path(
    get, path = "/api/v1/nodes/{id}", operation_id = "find_node", tag = "nodes",
    params(("id" = String, Path, description = "The node's name")),
    responses((status = 200, description = "The node", body = NodeDetails)),
    security(("session" = [])),
)]
pub async fn find_node(
    State(app): State<Arc<App>>,
    _: Admin,
    NodePath(id): NodePath,
) -> Result<Response, Problem> {
    let planned = planned(&app).await?;
    aside(move || json(StatusCode::OK, &Shown::of(&planned).details(find(&planned, &id)?))).await
}

/// List groups of nodes
///
/// With their sizes, orders and failures.
#[utoipa::path(
    get, path = "/api/v1/node-groups", operation_id = "list_node_groups", tag = "nodes",
    responses((status = 200, description = "All groups, in the order of their names",
        body = PageView<GroupDocument>)),
    security(("session" = [])),
)]
pub async fn list_node_groups(State(app): State<Arc<App>>, _: Admin) -> Result<Response, Problem> {
    let planned = planned(&app).await?;
    aside(move || {
        let mut groups: Vec<_> = planned.world.groups.iter().collect();
        groups.sort_by_key(|group| &group.id);
        let shown = Shown::of(&planned);
        json(StatusCode::OK, &PageView::all(groups.into_iter().map(|it| shown.group(it))))
    })
    .await
}

pub struct FindPlan {
    question: WhatIf,
    with_world: bool,
}

impl Parameters for FindPlan {
    const NAMES: &'static [&'static str] = &["without", "with", "world"];
    const REPEATABLE: &'static [&'static str] = &["without", "with"];

    fn read(pairs: &mut Pairs) -> Result<Self, Problem> {
        let without = pairs.texts("without").into_iter().map(NodeId).collect();
        let with = pairs.texts("with");
        let with = with.iter().map(|text| more(text)).collect::<Result<_, _>>()?;
        let question = WhatIf { without, with };
        if question.without.len() + question.with.len() > MOST_PARTS {
            let detail = format!("A question has at most {MOST_PARTS} parts.");
            return Err(Problem::parameter("without", detail));
        }
        let with_world = pairs.value("world", "true or false")?.unwrap_or(true);
        Ok(Self { question, with_world })
    }
}

/// `GROUP=N`
fn more(text: &str) -> Result<(GroupId, u32), Problem> {
    let parts = text.rsplit_once('=').filter(|(group, _)| !group.is_empty());
    let count = parts.and_then(|(group, count)| Some((group, count.parse::<u32>().ok()?)));
    let count = count.filter(|(_, count)| (1..=MOST_MORE).contains(count));
    let (group, count) = count.ok_or_else(|| {
        let what = format!("This must be a group and how many nodes, 1 to {MOST_MORE}: GROUP=N.");
        Problem::parameter("with", what)
    })?;
    Ok((group.into(), count))
}

/// Find the plan
///
/// What the hub that plans saw last, what it does about it, and why it does no more. With `without` or `with`:
/// what it would do if a node were not there, or a group had more nodes that are ready and empty; nothing
/// is changed by that. A file with the answer is read by `muster plan --world`.
#[utoipa::path(
    get, path = "/api/v1/plan", operation_id = "find_plan", tag = "nodes",
    params(
        ("without" = Option<Vec<String>>, Query,
            description = "As if this node were not there; may be repeated"),
        ("with" = Option<Vec<String>>, Query,
            description = "`GROUP=N`: as if the group had so many more nodes; may be repeated"),
        ("world" = Option<bool>, Query,
            description = "With all that was seen, which may be long; true if not given"),
    ),
    responses((status = 200, description = "The plan", body = PlanDocument<'static>)),
    security(("session" = [])),
)]
pub async fn find_plan(
    State(app): State<Arc<App>>,
    _: Admin,
    Query(FindPlan { question, with_world }): Query<FindPlan>,
) -> Result<Response, Problem> {
    let today = planned(&app).await?;
    aside(move || {
        if question == WhatIf::default() {
            return json(StatusCode::OK, &PlanDocument::new(&today, None, with_world));
        }
        let then = today.what_if(&question).map_err(|not_there| {
            let name = if let NotThere::Node { .. } = not_there { "without" } else { "with" };
            Problem::parameter(name, not_there.to_string())
        })?;
        json(StatusCode::OK, &PlanDocument::new(&then, Some(&today.plan), with_world))
    })
    .await
}

fn find<'p>(planned: &'p Planned, id: &NodeId) -> Result<&'p NodeView, Problem> {
    let found = planned.world.nodes.iter().find(|node| node.id == *id);
    found.ok_or_else(|| Problem::new(Kind::NotFound, planned.no_node(id).to_string()))
}

async fn planned(app: &App) -> Result<Arc<Planned>, Problem> {
    app.store.planned().await?.ok_or_else(|| {
        let detail =
            "No hub plans at the moment: it has just started, or does not answer. Try again.";
        Problem::new(Kind::NobodyPlans, detail).retry_after(2)
    })
}

/// A world may be large: nobody else waits while it is looked through.
async fn aside(
    look: impl FnOnce() -> Result<Response, Problem> + Send + 'static,
) -> Result<Response, Problem> {
    tokio::task::spawn_blocking(look).await.map_err(|_| Problem::internal())?
}
