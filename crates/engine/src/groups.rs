//! Groups of nodes: what their provider tells, and orders, which are rows before they are calls.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use muster_cluster::provider::{Groups as Told, Provider};
use muster_cluster::{Cluster, Cordon};
use muster_core::Timestamp;
use muster_core::plan::{Action, NewOrder, NodesMode, NodesPolicy, Plan, World, orders};
use muster_core::room::{
    GroupBooks, GroupId, GroupSettings, GroupView, Mark, MarkKind, NodeId, NodeStage, NodeView,
    OrderStage, Refusal, Wanted,
};
use muster_store::{Error, GroupRow, Store, crash_point};
use tokio::sync::mpsc;
use tokio::time::Instant;
use uuid::Uuid;

/// How often the provider is asked while something happens, if it is not asked more often anyway.
const ASK_SOON: Duration = Duration::from_secs(2);
/// A provider that could not be asked is asked again after this.
const ASK_AGAIN: Duration = Duration::from_secs(10);

/// Groups that are the hub's: only those that the configuration names.
pub struct GroupsConfig {
    pub provider: Arc<dyn Provider>,
    pub groups: BTreeMap<GroupId, GroupSettings>,
}

/// What became of a call.
pub(crate) enum Heard {
    Groups(Result<Told, Refusal>),
    Order { group: GroupId, id: Uuid, answer: Result<(), Refusal> },
}

/// What of a world orders need.
pub(crate) struct Nodes {
    groups: Vec<GroupView>,
    names: BTreeSet<NodeId>,
}

impl Nodes {
    pub fn of(world: &World) -> Self {
        let names = world.nodes.iter().map(|node| node.id.clone()).collect();
        Self { groups: world.groups.clone(), names }
    }
}

#[derive(Default)]
pub(crate) struct Groups {
    config: Option<GroupsConfig>,
    boot_limit: Duration,
    /// How often the provider is asked while nothing happens.
    asks: Duration,
    /// Nodes are the hub's to order and give back.
    owns: bool,
    /// It cordons its nodes itself, if they are not machines that run hubs.
    cluster: Option<Arc<dyn Cluster>>,
    /// Why it is not known which nodes there are.
    blind: Option<String>,
    /// Nothing before this server plans, and once it does not any more.
    rows: Option<BTreeMap<GroupId, GroupRow>>,
    /// Why the provider, or one group of it, cannot be asked.
    unseen: Option<String>,
    missing: BTreeMap<GroupId, String>,
    asked: Option<Instant>,
    asking: bool,
    calling: BTreeMap<GroupId, Uuid>,
    pub calls: Calls,
    /// Since when every plan said that nobody needs the node.
    unneeded: HashMap<NodeId, Timestamp>,
    pub marks: Vec<Mark>,
}

/// Calls run beside the loop, and say here what became of them.
pub(crate) struct Calls {
    ended: mpsc::UnboundedSender<Heard>,
    heard: mpsc::UnboundedReceiver<Heard>,
    pub waiting: Vec<Heard>,
}

impl Default for Calls {
    fn default() -> Self {
        let (ended, heard) = mpsc::unbounded_channel();
        Self { ended, heard, waiting: Vec::new() }
    }
}

impl Calls {
    pub async fn hear(&mut self) {
        if let Some(heard) = self.heard.recv().await {
            self.waiting.push(heard);
        }
    }
}

impl Groups {
    pub fn new(
        config: Option<GroupsConfig>,
        policy: &NodesPolicy,
        cluster: Option<Arc<dyn Cluster>>,
    ) -> Self {
        let owns = policy.mode == NodesMode::Own && config.is_some();
        Self {
            config,
            boot_limit: policy.boot_limit(),
            asks: policy.asks(),
            owns,
            cluster,
            ..Self::default()
        }
    }

    /// Is there anything to carry out of what a plan says of nodes?
    pub fn is_concerned(&self) -> bool {
        self.config.is_some() || !self.marks.is_empty()
    }

    /// This server does not plan: what it knows of groups is old when it plans again.
    pub fn rest(&mut self) {
        (self.rows, self.asked, self.asking) = (None, None, false);
        self.calling.clear();
        self.calls.waiting.clear();
        self.unneeded.clear();
        if let Some(cluster) = &self.cluster {
            cluster.cordon(None);
        }
    }

    /// Tells the cluster which of its nodes get nothing new.
    pub fn tell(&self) {
        let Some(cluster) = &self.cluster else { return };
        let marks = self.marks.iter().filter(|_| self.owns);
        let cordon = |mark: &Mark| Cordon { node: mark.node.clone(), why: mark.why.clone() };
        cluster.cordon(Some(marks.map(cordon).collect()));
    }

    /// Takes in what was heard, asks again when it is time, and makes the calls of orders that stand in the
    /// books. `nodes` are those that are there; `blind`: why that is not known.
    pub async fn go_on(
        &mut self,
        store: &Store,
        nodes: &[NodeView],
        blind: Option<&str>,
    ) -> Result<(), Error> {
        if self.config.is_none() {
            return Ok(());
        }
        self.blind = blind.map(str::to_owned);
        self.read(store).await?;
        for heard in std::mem::take(&mut self.calls.waiting) {
            match heard {
                Heard::Groups(told) => self.hear(store, told, nodes).await?,
                Heard::Order { group, id, answer } => {
                    // One of an earlier time in which this server planned is not awaited.
                    if self.calling.get(&group) != Some(&id) {
                        continue;
                    }
                    self.calling.remove(&group);
                    if let Err(Refusal { class, message }) = &answer {
                        tracing::warn!(group = %group, %class, message, "an order for nodes failed");
                    }
                    self.asked = None;
                    let now = store.now();
                    self.change(store, &group, &[], |books| {
                        books.answered(id, answer, now);
                        true
                    })
                    .await?;
                }
            }
        }
        self.read(store).await?;
        self.call_orders(store);
        self.ask();
        Ok(())
    }

    /// Reads the books, if they are not known or somebody else changed them.
    async fn read(&mut self, store: &Store) -> Result<(), Error> {
        if self.rows.is_none() {
            let rows = store.groups().await?;
            self.rows = Some(rows.into_iter().map(|row| (row.id.clone(), row)).collect());
        }
        Ok(())
    }

    /// When there is something to do here without anything being heard.
    pub fn next(&self) -> Option<Duration> {
        // What was asked will be heard.
        self.config.as_ref().filter(|_| !self.asking && self.blind.is_none())?;
        Some(self.asked.map_or(Duration::ZERO, |at| self.pause().saturating_sub(at.elapsed())))
    }

    fn pause(&self) -> Duration {
        let moving = self.rows.iter().flat_map(BTreeMap::values).any(|row| row.books.is_moving());
        match (&self.unseen, moving) {
            (Some(_), _) => ASK_AGAIN,
            (None, true) => ASK_SOON.min(self.asks),
            (None, false) => self.asks,
        }
    }

    fn ask(&mut self) {
        let due = self.asked.is_none_or(|at| at.elapsed() >= self.pause());
        let may = due && !self.asking && self.blind.is_none();
        let Some(config) = self.config.as_ref().filter(|_| may) else { return };
        (self.asked, self.asking) = (Some(Instant::now()), true);
        let (provider, ended) = (Arc::clone(&config.provider), self.calls.ended.clone());
        tokio::spawn(async move {
            let told = provider.groups().await;
            drop(ended.send(Heard::Groups(told)));
        });
    }

    async fn hear(
        &mut self,
        store: &Store,
        told: Result<Told, Refusal>,
        nodes: &[NodeView],
    ) -> Result<(), Error> {
        self.asking = false;
        let told = match told {
            Ok(told) => told,
            Err(Refusal { class, message }) => {
                tracing::warn!(%class, message, "who makes nodes cannot be asked");
                self.unseen = Some(if message.is_empty() { class.to_string() } else { message });
                return Ok(());
            }
        };
        self.unseen = None;
        if self.blind.is_some() {
            // All machines would look as if they had no nodes.
            return Ok(());
        }
        let (now, limit) = (store.now(), self.boot_limit);
        let names: Vec<GroupId> =
            self.config.iter().flat_map(|config| config.groups.keys().cloned()).collect();
        for name in names {
            match told.iter().find(|(id, _)| *id == name) {
                Some((_, Err(why))) => {
                    if self.missing.insert(name.clone(), why.clone()).as_ref() != Some(why) {
                        tracing::warn!(group = %name, why, "a group cannot be seen");
                    }
                }
                Some((_, Ok(told))) => {
                    self.missing.remove(&name);
                    let told = told.clone();
                    let changed = |books: &mut GroupBooks| {
                        let before = books.clone();
                        books.hear(told, nodes, limit, now);
                        if books.resized_by_others != before.resized_by_others {
                            tracing::warn!(group = %name, "somebody else resized the group: the hub only advises");
                        }
                        *books != before
                    };
                    self.change(store, &name, &[], changed).await?;
                }
                None => {
                    let why = "its provider does not name it".to_owned();
                    self.missing.insert(name, why);
                }
            }
        }
        Ok(())
    }

    /// Changes the books of a group if there is a change; false if it is somebody else's to do.
    async fn change(
        &mut self,
        store: &Store,
        id: &GroupId,
        empty: &[NodeId],
        change: impl FnOnce(&mut GroupBooks) -> bool,
    ) -> Result<bool, Error> {
        let Some(rows) = &mut self.rows else { return Ok(false) };
        let known = rows.get(id).cloned();
        let mut row = known.unwrap_or_else(|| GroupRow {
            id: id.clone(),
            version: 0,
            books: GroupBooks::default(),
        });
        if !change(&mut row.books) {
            return Ok(true);
        }
        match store.change_group(&row, empty).await? {
            Some(version) => {
                rows.insert(id.clone(), GroupRow { version, ..row });
                Ok(true)
            }
            None => {
                // Another server was first, or something came to a node: it is read and looked at again.
                self.rows = None;
                Ok(false)
            }
        }
    }

    /// Calls for orders that stand in the books, those of the server that planned before as well.
    fn call_orders(&mut self, store: &Store) {
        let (Some(config), Some(rows)) = (&self.config, &self.rows) else { return };
        for (group, row) in rows {
            let Some(order) = &row.books.order else { continue };
            let late = order.at + self.boot_limit <= store.now();
            if order.stage != OrderStage::Placed || late || self.calling.contains_key(group) {
                continue;
            }
            self.calling.insert(group.clone(), order.id);
            let (provider, ended) = (Arc::clone(&config.provider), self.calls.ended.clone());
            let (group, order) = (group.clone(), order.clone());
            tokio::spawn(async move {
                crash_point("after-order-row-before-call");
                let answer = match &order.wanted {
                    Wanted::Size => provider.resize(&group, order.to, order.id).await,
                    Wanted::Without { machines } => {
                        provider.remove(&group, machines, order.id).await
                    }
                };
                crash_point("after-order-call-before-answer");
                drop(ended.send(Heard::Order { group, id: order.id, answer }));
            });
        }
    }

    /// The groups for a plan; the nodes get their groups, their stages and since when nobody needs them.
    pub fn see(&self, nodes: &mut Vec<NodeView>, now: Timestamp) -> Vec<GroupView> {
        let mut views = Vec::new();
        let groups = self.config.iter().flat_map(|config| &config.groups);
        for (id, settings) in groups.filter(|_| self.rows.is_some()) {
            let nobody = GroupBooks::default();
            let books = self.rows.as_ref().and_then(|rows| rows.get(id));
            let books = books.map_or(&nobody, |row| &row.books);
            let unseen = self.unseen.as_deref().or(self.blind.as_deref());
            let unseen = unseen.or(self.missing.get(id).map(String::as_str));
            let view = books.view(id, settings, unseen, now);
            books.mark_nodes(&view, nodes, self.boot_limit, now);
            views.push(view);
        }
        for node in nodes {
            node.unneeded_since = self.unneeded.get(&node.id).copied();
            let mark = self.marks.iter().find(|mark| mark.node == node.id);
            match (mark, &node.stage) {
                // Until the cluster shows it, something may still come.
                (Some(mark), NodeStage::Ready) if self.owns && self.cluster.is_some() => {
                    node.stage = marked(mark, if mark.ours { now } else { mark.since });
                }
                (Some(mark), NodeStage::Ready) => node.stage = marked(mark, mark.since),
                (Some(mark), NodeStage::Cordoned { ours: true, since }) => {
                    node.stage = marked(mark, mark.since.max(*since));
                }
                // Its mark in the cluster is on its way out.
                (None, NodeStage::Cordoned { ours: true, .. }) => node.stage = NodeStage::Ready,
                _ => {}
            }
        }
        views
    }

    /// Keeps since when nodes are not needed.
    pub fn remember(&mut self, plan: &Plan, now: Timestamp) {
        self.unneeded.retain(|node, _| plan.unneeded.contains(node));
        for node in &plan.unneeded {
            self.unneeded.entry(node.clone()).or_insert(now);
        }
    }

    /// Carries out what the plan says of nodes; true if anything was done.
    pub async fn apply(
        &mut self,
        store: &Store,
        actions: Vec<Action>,
        around: &Nodes,
    ) -> Result<bool, Error> {
        let mut acted = self.forget_gone(store, &around.names).await?;
        for order in orders(&actions, &around.groups) {
            acted |= self.place(store, order).await?;
        }
        for action in actions {
            match action {
                Action::Cordon { node, why } => {
                    tracing::info!(node = %node, why, "a node gets nothing new");
                    acted |= store.cordon(&node, &why).await?.is_done();
                }
                Action::Uncordon { node } => {
                    tracing::info!(node = %node, "a node is used again");
                    acted |= store.uncordon(&node).await?.is_done();
                }
                Action::Evict { tenant, why } => {
                    match self.cluster.as_ref().filter(|_| self.owns) {
                        Some(cluster) => cluster.evict(&tenant),
                        None => {
                            tracing::error!(%tenant, why, "nobody here moves what others run");
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(acted)
    }

    /// Marks of the plan's on nodes that are gone go too: one of the same name that comes later is another one.
    async fn forget_gone(&self, store: &Store, there: &BTreeSet<NodeId>) -> Result<bool, Error> {
        // Where the hub does not own nodes, nobody goes on with what was begun.
        let alone = !self.owns;
        let knows = self.blind.is_none();
        let gone = |mark: &&Mark| mark.ours && (alone || (knows && !there.contains(&mark.node)));
        let mut acted = false;
        for mark in self.marks.iter().filter(gone) {
            acted |= store.uncordon(&mark.node).await?.is_done();
        }
        Ok(acted)
    }

    /// Writes an order into the books, and calls for it; false if it is not to be placed now.
    async fn place(&mut self, store: &Store, new: NewOrder) -> Result<bool, Error> {
        let (now, id) = (store.now(), store.clock().id());
        let mut placed = false;
        let place = |books: &mut GroupBooks| {
            placed = books.place(new.placed(id, now));
            if let (true, Some(failure)) = (placed, new.failure.clone()) {
                books.failed(failure, now);
            }
            placed
        };
        let kept = self.change(store, &new.group, &new.empty, place).await?;
        if placed && kept {
            let NewOrder { group, wanted, from, to, why, .. } = &new;
            tracing::info!(%group, ?wanted, from, to, why, order = %id, "nodes are ordered");
            self.call_orders(store);
        }
        Ok(placed && kept)
    }
}

fn marked(mark: &Mark, since: Timestamp) -> NodeStage {
    match mark.kind {
        MarkKind::Cordoned => NodeStage::Cordoned { ours: mark.ours, since },
        MarkKind::Drained => NodeStage::Drained { since },
    }
}
