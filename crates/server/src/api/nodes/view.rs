//! What administrators see of nodes and their groups.

use std::collections::{BTreeMap, HashMap};

use muster_core::plan::{InstanceView, Kept, KeptWhy, Planned, Stage};
use muster_core::resources::NOT_COUNTED;
use muster_core::room::{
    Device, GroupView, Labels, NodeId, NodeRoom, NodeStage, NodeView, Order, Rooms, Tenant, Who,
};
use muster_core::{Amounts, InstanceId, ModelId, ServerId, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::group_view::{FailuresView, GroupDocument, MachineView, OrderView, TemplateView};
use super::plan::ActionView;

/// A node: a machine on which instances get their places.
#[derive(Serialize, ToSchema)]
#[schema(as = Node)]
pub struct NodeDocument {
    #[schema(value_type = String, example = "lab1")]
    pub id: NodeId,
    /// The group whose provider makes such nodes and takes them away; null if nobody does.
    #[schema(value_type = Option<String>, example = "gpu-large")]
    pub group: Option<String>,
    pub stage: StageView,
    #[schema(value_type = Object, example = json!({"zone": "a"}))]
    pub labels: Labels,
    /// `KEY=VALUE:EFFECT`, as Kubernetes writes them.
    #[schema(example = json!(["dedicated=gpu:NoSchedule"]))]
    pub taints: Vec<String>,
    /// What it has for all that run on it.
    pub allocatable: RoomView,
    /// What is left of that.
    pub free: RoomView,
    /// What instances of this hub hold.
    pub held_by_instances: RoomView,
    /// What others hold.
    pub held_by_others: RoomView,
    /// The instances that are on it.
    pub instances: Vec<OnNodeView>,
    /// How many others are on it.
    pub others: u64,
    pub devices: Vec<DeviceView>,
    /// The hubs that launch instances there.
    #[schema(value_type = Vec<String>)]
    pub servers: Vec<ServerId>,
    /// Of an hour, in whatever the operator counts in; 0 if nobody said.
    pub price: u64,
    /// Why the plan does not take it away; null where nobody takes nodes away.
    pub kept: Option<KeptView>,
    /// Since when every plan said that nobody needs it.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub unneeded_since: Option<Timestamp>,
    /// What the last plan does with it and what is on it.
    pub actions: Vec<ActionView>,
    /// What it would do, if it were the hub's to do.
    pub advice: Vec<ActionView>,
}

/// A node and all that is on it.
#[derive(Serialize, ToSchema)]
#[schema(as = NodeDetails)]
pub struct NodeDetails {
    #[serde(flatten)]
    pub node: NodeDocument,
    /// Others that are on it, in the order of their names.
    pub tenants: Vec<TenantView>,
    /// The versions of models whose folders are there; null if it reads no folders of its own.
    #[schema(value_type = Option<Object>, example = json!({"rdkit-descriptors": "1.0.0+3fa9c1d2"}))]
    pub folders: Option<BTreeMap<ModelId, String>>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = NodeStage)]
pub struct StageView {
    /// `booting` (it is there and not yet what it will be), `ready`, `unready` (it is not heard of any more),
    /// `cordoned` (it gets nothing new), `drained` (nothing new, and what runs there ends as soon as it can) or
    /// `leaving` (its owner takes it away)
    #[schema(example = "ready")]
    pub name: &'static str,
    /// Null while it is ready.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub since: Option<Timestamp>,
    /// Did the plan of this hub cordon it? Null if it is not cordoned.
    pub ours: Option<bool>,
    /// What it still lacks while it boots.
    #[schema(example = json!(["nvidia.com/gpu"]))]
    pub lacks: Vec<String>,
    /// The same in a sentence.
    #[schema(example = "It takes instances.")]
    pub message: String,
}

/// Room of a node.
#[derive(Serialize, ToSchema)]
#[schema(as = NodeRoom)]
pub struct RoomView {
    /// Cores.
    #[schema(example = 7.9)]
    pub cpu: f64,
    /// Bytes.
    pub memory: u64,
    /// Bytes; null if that is not counted.
    pub storage: Option<u64>,
    /// How many may run there; null if that is not counted.
    pub pods: Option<u64>,
    /// GPUs and the like, by their resource names.
    #[schema(example = json!({"nvidia.com/gpu": 1}))]
    pub named: BTreeMap<String, u64>,
}

/// An instance on a node.
#[derive(Serialize, ToSchema)]
#[schema(as = InstanceOnNode)]
pub struct OnNodeView {
    #[schema(value_type = String, format = Uuid)]
    pub id: InstanceId,
    #[schema(value_type = String, example = "rdkit-descriptors")]
    pub model: ModelId,
    /// `preparing`, `starting`, `ready` or `draining`
    #[schema(example = "ready")]
    pub state: &'static str,
    /// Since when it has nothing to do; null while it works, and before it was ready.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub idle_since: Option<Timestamp>,
    pub asked: RoomView,
    /// Devices that it has for itself.
    #[schema(example = json!(["GPU-8f2b1c3d-0000-4000-8000-000000000000"]))]
    pub devices: Vec<String>,
}

/// Somebody else on a node: a pod that is not of this hub.
#[derive(Serialize, ToSchema)]
#[schema(as = Tenant)]
pub struct TenantView {
    /// Its namespace and name.
    #[schema(example = "default/database-0")]
    pub id: String,
    /// Who makes it again when it goes: `none`, `replicated` (anywhere), `daemon` (every node has its own) or
    /// `node`
    #[schema(example = "replicated")]
    pub owner: &'static str,
    /// Why it may not be moved, or what came of asking it to go elsewhere; null if it may be moved and nobody asked.
    pub stays_because: Option<String>,
    pub asked: RoomView,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Device)]
pub struct DeviceView {
    /// As its driver names it.
    #[schema(example = "GPU-8f2b1c3d-0000-4000-8000-000000000000")]
    pub id: String,
    /// What it is one of.
    #[schema(example = "nvidia.com/gpu")]
    pub resource: String,
    #[schema(example = "NVIDIA A100")]
    pub name: String,
    /// Bytes.
    pub memory: u64,
    /// The instance that has it.
    #[schema(value_type = Option<String>, format = Uuid)]
    pub instance: Option<InstanceId>,
    /// Programs that are not the hub's use it: it is the last to be given.
    pub used_by_others: bool,
}

/// Why a node stays.
#[derive(Serialize, ToSchema)]
#[schema(as = NodeKept)]
pub struct KeptView {
    /// `asked`, `used`, `needed`, `at_minimum`, `unneeded`, `blocked`, `no_room_elsewhere`, `in_turn`,
    /// `unhealthy`, `unseen`, `not_ready`, `removal_refused` or `cordoned_by_others`
    #[schema(example = "used")]
    pub because: &'static str,
    #[schema(example = "More than half of it is used.")]
    pub message: String,
    /// `unneeded`: when it goes if that stays so.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub until: Option<Timestamp>,
}

/// What is looked up for nodes, once for all of them.
pub struct Shown<'p> {
    planned: &'p Planned,
    rooms: Rooms<'p>,
    instances: HashMap<InstanceId, &'p InstanceView>,
    kept: HashMap<&'p NodeId, &'p Kept>,
    actions: Vec<ActionView>,
    advice: Vec<ActionView>,
}

impl<'p> Shown<'p> {
    pub fn of(planned: &'p Planned) -> Self {
        let (world, plan) = (&planned.world, &planned.plan);
        Self {
            rooms: world.rooms(),
            instances: world.instances.iter().map(|it| (it.id, it)).collect(),
            kept: plan.kept.iter().map(|kept| (&kept.node, kept)).collect(),
            actions: ActionView::all(&plan.actions, world, None),
            advice: ActionView::all(&plan.advice, world, None),
            planned,
        }
    }

    fn room(&self, node: &NodeId) -> Option<&NodeRoom<'p>> {
        self.rooms.find(node).map(|index| self.rooms.get(index))
    }

    pub fn node(&self, node: &NodeView) -> NodeDocument {
        let (mut ours, mut others) = (Amounts::default(), Amounts::default());
        let (mut instances, mut tenants) = (Vec::new(), 0);
        for holder in self.room(&node.id).map(NodeRoom::holders).unwrap_or_default() {
            match holder.who {
                Who::Instance(id) => {
                    ours.add(&holder.ask.amounts);
                    let known = self.instances.get(&id);
                    instances.extend(known.map(|it| OnNodeView::new(it, &holder.ask.amounts)));
                }
                Who::Tenant(_) | Who::Planned => {
                    others.add(&holder.ask.amounts);
                    tenants += 1;
                }
            }
        }
        instances.sort_by_key(|it| it.id);
        let held = ours.clone().plus(&others);
        let room = |amounts| RoomView::new(amounts, &node.allocatable);
        let servers = self.planned.servers.iter().filter(|(at, _)| *at == node.id);
        let about = |all: &[ActionView]| {
            let its = all.iter().filter(|action| action.node.as_ref() == Some(&node.id));
            its.cloned().collect::<Vec<_>>()
        };
        NodeDocument {
            id: node.id.clone(),
            group: node.group.as_ref().map(ToString::to_string),
            stage: StageView::new(&node.stage),
            labels: node.labels.clone(),
            taints: node.taints.iter().map(ToString::to_string).collect(),
            allocatable: room(&node.allocatable),
            free: room(&node.allocatable.less(&held)),
            held_by_instances: room(&ours),
            held_by_others: room(&others),
            devices: node.devices.iter().map(|it| DeviceView::new(it, &instances)).collect(),
            instances,
            others: tenants,
            servers: servers.map(|(_, server)| *server).collect(),
            price: node.price,
            kept: self.kept.get(&node.id).map(|kept| KeptView::new(&kept.why)),
            unneeded_since: node.unneeded_since,
            actions: about(&self.actions),
            advice: about(&self.advice),
        }
    }

    pub fn details(&self, node: &NodeView) -> NodeDetails {
        let holders = self.room(&node.id).map(NodeRoom::holders).unwrap_or_default();
        let mut tenants: Vec<TenantView> = holders
            .iter()
            .filter_map(|holder| match holder.who {
                Who::Tenant(tenant) => Some(tenant),
                Who::Instance(_) | Who::Planned => None,
            })
            .map(|tenant| TenantView::new(tenant, &node.allocatable))
            .collect();
        tenants.sort_by(|a, b| a.id.cmp(&b.id));
        NodeDetails { node: self.node(node), tenants, folders: node.folders.clone() }
    }

    pub fn group(&self, group: &GroupView) -> GroupDocument {
        let Planned { world, policy, now, .. } = self.planned;
        let limit = policy.nodes.boot_limit();
        let about = |all: &[ActionView]| {
            let its = all.iter().filter(|action| action.group.as_deref() == Some(&group.id.0));
            its.cloned().collect::<Vec<_>>()
        };
        GroupDocument {
            id: group.id.0.clone(),
            min: group.min,
            max: group.max,
            target: group.target,
            nodes: group.registered(&world.nodes).count() as u32,
            upcoming: group.upcoming(&world.nodes, limit, *now),
            healthy: group.is_healthy(&world.nodes),
            machines: group.machines.iter().map(MachineView::new).collect(),
            order: group.order.as_ref().map(|&Order { id, to, at }| OrderView { id, to, at }),
            failures: group.failures.as_ref().map(FailuresView::new),
            template: group.template.as_ref().map(TemplateView::new),
            boot_seconds: group.boot_seconds,
            price: group.price,
            priority: group.priority,
            spare: group.spare.as_ref().map(|ask| RoomView::new(&ask.amounts, &ask.amounts)),
            only_advised: group.only_advised.clone(),
            unseen: group.unseen.clone(),
            actions: about(&self.actions),
            advice: about(&self.advice),
        }
    }
}

impl StageView {
    fn new(stage: &NodeStage) -> Self {
        let (ours, lacks) = match stage {
            NodeStage::Cordoned { ours, .. } => (Some(*ours), Vec::new()),
            NodeStage::Booting { lacks, .. } => (None, lacks.clone()),
            _ => (None, Vec::new()),
        };
        Self { name: stage.name(), since: stage.since(), ours, lacks, message: stage.to_string() }
    }
}

impl RoomView {
    /// `of`: what the node has in all, whose named resources are all shown.
    pub fn new(amounts: &Amounts, of: &Amounts) -> Self {
        let counted = |amount: u64, of: u64| Some(amount).filter(|_| of < NOT_COUNTED);
        let mut named = amounts.named.clone();
        for name in of.named.keys() {
            named.entry(name.clone()).or_default();
        }
        Self {
            cpu: amounts.cpu as f64 / 1000.0,
            memory: amounts.memory,
            storage: counted(amounts.storage, of.storage),
            pods: counted(amounts.pods, of.pods),
            named,
        }
    }
}

impl OnNodeView {
    fn new(it: &InstanceView, asked: &Amounts) -> Self {
        let idle_since = match it.stage {
            Stage::Ready { idle_since, .. } => idle_since,
            Stage::Preparing { .. } | Stage::Starting { .. } | Stage::Draining => None,
        };
        let devices = it.place.iter().flat_map(|place| &place.devices);
        Self {
            id: it.id,
            model: it.model.clone(),
            state: it.stage.name(),
            idle_since,
            asked: RoomView::new(asked, asked),
            devices: devices.map(|device| device.0.clone()).collect(),
        }
    }
}

impl TenantView {
    fn new(tenant: &Tenant, of: &Amounts) -> Self {
        Self {
            id: tenant.id.0.clone(),
            owner: tenant.owner.name(),
            stays_because: tenant.stays_because.clone().or_else(|| tenant.refused.clone()),
            asked: RoomView::new(&tenant.ask.amounts, of),
        }
    }
}

impl DeviceView {
    fn new(device: &Device, instances: &[OnNodeView]) -> Self {
        let has = instances.iter().find(|it| it.devices.contains(&device.id.0));
        Self {
            id: device.id.0.clone(),
            resource: device.resource.clone(),
            name: device.name.clone(),
            memory: device.memory,
            instance: has.map(|it| it.id),
            used_by_others: device.used_by_others,
        }
    }
}

impl KeptView {
    pub fn new(why: &KeptWhy) -> Self {
        let until = match why {
            KeptWhy::Unneeded { until } | KeptWhy::RemovalRefused { until } => Some(*until),
            _ => None,
        };
        Self { because: why.name(), message: why.to_string(), until }
    }
}
