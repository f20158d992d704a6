//! What was planned last, and what would be planned if something were otherwise.

use muster_core::plan::{Action, Held, Kept, Plan, Planned, Policy, WhatIf, World};
use muster_core::room::NodeId;
use muster_core::{InstanceId, ModelId, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::view::KeptView;

/// A world, and what is planned for it. With `world`, `policy` and `now` of it `muster plan --world` plans again.
#[derive(Serialize, ToSchema)]
#[schema(as = Planned)]
pub struct PlanDocument<'p> {
    /// When it was looked; what is planned holds for that moment.
    #[schema(value_type = String, format = DateTime)]
    pub now: Timestamp,
    /// What the operator allows.
    #[schema(value_type = Object)]
    pub policy: &'p Policy,
    /// What the hub saw: models, instances, nodes, groups and who else runs there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub world: Option<&'p World>,
    /// The plan as the hub carries it out.
    #[schema(value_type = Object)]
    pub plan: &'p Plan,
    /// The same for people.
    pub words: PlanWords,
}

/// A plan in words.
#[derive(Serialize, ToSchema)]
pub struct PlanWords {
    /// Who makes nodes and takes them away: `delegate` (somebody else), `advise` (somebody else; the hub says
    /// what it would do) or `own` (the hub)
    #[schema(example = "delegate")]
    pub mode: &'static str,
    pub actions: Vec<ActionView>,
    /// What would be done with nodes, if it were the hub's to do.
    pub advice: Vec<ActionView>,
    /// Why models with waiting work get nothing more now.
    pub held: Vec<HeldView>,
    /// Why nodes of groups stay.
    pub kept: Vec<NodeKeptView>,
    /// Nodes that nobody needs.
    #[schema(value_type = Vec<String>)]
    pub unneeded: Vec<NodeId>,
    /// Why nodes cannot be seen, so that none is ordered or taken away.
    pub unseen: Option<String>,
    /// Nothing changes by the passing of time before this.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_look: Option<Timestamp>,
}

/// Something that a plan does.
#[derive(Clone, Serialize, ToSchema)]
#[schema(as = PlannedAction)]
pub struct ActionView {
    /// `launch`, `retire`, `fail_waiting`, `move_stranded`, `add_nodes`, `cordon`, `uncordon`, `evict`,
    /// `remove_node`, `drop_machines` or `lower_target`
    #[schema(example = "launch")]
    pub r#do: &'static str,
    #[schema(example = "Launch an instance of rdkit-descriptors on lab1: 3 inputs wait.")]
    pub message: String,
    /// The node that it is about.
    #[schema(value_type = Option<String>, example = "lab1")]
    pub node: Option<NodeId>,
    #[schema(value_type = Option<String>)]
    pub group: Option<String>,
    #[schema(value_type = Option<String>, example = "rdkit-descriptors")]
    pub model: Option<ModelId>,
    #[schema(value_type = Option<String>, format = Uuid)]
    pub instance: Option<InstanceId>,
    /// Of a question with `without` or `with`: is it not planned as things are?
    pub new: bool,
}

/// A model whose waiting work gets nothing more now.
#[derive(Serialize, ToSchema)]
#[schema(as = PlannedHeld)]
pub struct HeldView {
    #[schema(value_type = String, example = "rdkit-descriptors")]
    pub model: ModelId,
    /// `reading`, `preparing`, `booting`, `busy`, `at_model_maximum`, `at_hub_maximum`, `no_room`,
    /// `fits_nowhere`, `node_starting`, `no_node`, `unseen`, `gone` or `backoff`
    #[schema(example = "busy")]
    pub because: &'static str,
    #[schema(example = "The model is busy with other requests.")]
    pub message: String,
    /// Of a question with `without` or `with`: is it not so as things are?
    pub new: bool,
}

#[derive(Serialize, ToSchema)]
#[schema(as = PlannedKept)]
pub struct NodeKeptView {
    #[schema(value_type = String, example = "lab1")]
    pub node: NodeId,
    #[serde(flatten)]
    pub kept: KeptView,
}

impl<'p> PlanDocument<'p> {
    /// `today`: the plan as things are, if this is another one.
    pub fn new(planned: &'p Planned, today: Option<&Plan>, with_world: bool) -> Self {
        Self {
            now: planned.now,
            policy: &planned.policy,
            world: Some(&planned.world).filter(|_| with_world),
            plan: &planned.plan,
            words: PlanWords::new(planned, today),
        }
    }
}

impl PlanWords {
    fn new(planned: &Planned, today: Option<&Plan>) -> Self {
        let Planned { world, policy, plan, .. } = planned;
        let held = plan.held.iter().map(|held| HeldView::new(held, today));
        let kept = plan.kept.iter().map(|Kept { node, why }| NodeKeptView {
            node: node.clone(),
            kept: KeptView::new(why),
        });
        Self {
            mode: policy.nodes.mode.name(),
            actions: ActionView::all(&plan.actions, world, today.map(|plan| &plan.actions[..])),
            advice: ActionView::all(&plan.advice, world, today.map(|plan| &plan.advice[..])),
            held: held.collect(),
            kept: kept.collect(),
            unneeded: plan.unneeded.clone(),
            unseen: world.unseen.as_ref().map(|unseen| unseen.why.clone()),
            next_look: plan.next_look,
        }
    }
}

impl ActionView {
    pub fn all(actions: &[Action], world: &World, today: Option<&[Action]>) -> Vec<Self> {
        let view = |action: &Action| {
            let model = match action {
                Action::Launch { model, .. }
                | Action::FailWaiting { model, .. }
                | Action::MoveStranded { model } => Some(model),
                Action::Retire { instance, .. } => world.instance(*instance).map(|it| &it.model),
                _ => None,
            };
            let instance = match action {
                Action::Retire { instance, .. } => Some(*instance),
                _ => None,
            };
            Self {
                r#do: action.name(),
                message: action.in_words(world),
                node: action.node(world).cloned(),
                group: action.group(world).map(ToString::to_string),
                model: model.cloned(),
                instance,
                new: today.is_some_and(|today| !today.contains(action)),
            }
        };
        actions.iter().map(view).collect()
    }
}

impl HeldView {
    fn new(held: &Held, today: Option<&Plan>) -> Self {
        Self {
            model: held.model.clone(),
            because: held.why.name(),
            message: held.why.to_string(),
            new: today.is_some_and(|today| !today.held.contains(held)),
        }
    }
}

/// A plan for a world of a file, as `GET /api/v1/plan` answers.
///
/// # Errors
///
/// What is wrong with the file or the question, in words.
pub fn plan_of_file(text: &str, question: &WhatIf) -> Result<String, String> {
    let today = muster_core::plan::read_planned(text)?;
    let asked = *question != WhatIf::default();
    let then = today.what_if(question).map_err(|not_there| not_there.to_string())?;
    plan_document(&then, Some(&today.plan).filter(|_| asked))
}

/// What is planned, as `GET /api/v1/plan` answers; `today` is the plan as things are, if this is another one.
///
/// # Errors
///
/// If it cannot be written down.
pub fn plan_document(planned: &Planned, today: Option<&Plan>) -> Result<String, String> {
    let document = PlanDocument::new(planned, today, true);
    serde_json::to_string(&document).map_err(|error| error.to_string())
}
