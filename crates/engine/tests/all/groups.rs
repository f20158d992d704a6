//! Nodes come when work waits for them, and go when nobody needs them; whatever their provider does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use muster_cluster::provider::{Mood, SimProvider};
use muster_core::model::ModelLimits;
use muster_core::plan::{NodesMode, NodesPolicy};
use muster_core::resources::GPU;
use muster_core::room::{
    FailureClass, GroupId, GroupSettings, MachineState, OrderStage, Refusal, Template, Told,
    ToldMachine,
};
use muster_core::{Amounts, Resources};
use muster_engine::GroupsConfig;
use muster_store::{Clock, Database, GroupRow, Marking, Store};

use crate::cluster;
use crate::hub::{Hub, Setup, echo, limits};
use crate::room::machine;

fn pool() -> GroupId {
    "pool".into()
}

/// A group of machines with a GPU each; none is there.
fn provider() -> Arc<SimProvider> {
    let named = BTreeMap::from([(GPU.to_owned(), 1)]);
    let allocatable = Amounts { cpu: 4000, memory: 8 << 30, storage: 0, pods: 100, named };
    let template = Some(Template { allocatable, ..Template::default() });
    let told =
        Told { target: 0, min: None, max: Some(2), template, price: 0, machines: Vec::new() };
    Arc::new(SimProvider::new([(pool(), told)]))
}

fn database() -> Database {
    Database::Postgres {
        url: cluster::shared().url("postgres"),
        schema: Some(format!("t{}", Clock::system().id().simple())),
        max_connections: 4,
    }
}

fn again(database: &Database) -> Database {
    match database {
        Database::Postgres { url, schema, max_connections } => Database::Postgres {
            url: url.clone(),
            schema: schema.clone(),
            max_connections: *max_connections,
        },
        _ => unreachable!("they share a PostgreSQL"),
    }
}

/// A hub on a machine without GPUs that makes nodes by this provider.
fn setup(provider: &Arc<SimProvider>, database: Database) -> Setup {
    let nodes = NodesPolicy {
        mode: NodesMode::Own,
        empty_seconds: 1,
        unneeded_seconds: 1,
        ..NodesPolicy::default()
    };
    Setup {
        database,
        node: Some(machine("desk", 0)),
        resources: Resources { gpus: 1, ..Resources::default() },
        limits: ModelLimits { idle_seconds: 1, ..limits() },
        groups: Some(GroupsConfig {
            provider: Arc::clone(provider) as _,
            groups: BTreeMap::from([(pool(), GroupSettings::default())]),
        }),
        nodes,
        ..Setup::default()
    }
}

/// The machine of a provider as a hub of its own.
fn node(name: &str, database: Database) -> Setup {
    let groups = None;
    Setup { node: Some(machine(name, 1)), groups, ..setup(&provider(), database) }
}

/// Looks each time when the hub's books change, or the provider gets an order.
async fn until(what: &str, (hub, provider): (&Hub, &SimProvider), is_so: impl AsyncFn() -> bool) {
    let (mut changes, mut called) = (hub.store.changes(), provider.called());
    let so = async {
        while !is_so().await {
            tokio::select! {
                _ = changes.recv() => {}
                _ = called.changed() => {}
            }
        }
    };
    let late = tokio::time::timeout(Duration::from_secs(30), so).await;
    late.unwrap_or_else(|_| panic!("{what} does not happen"));
}

/// The hub looks at its world so many times more, each time with something new to see.
async fn looks(hub: &Hub, count: usize) {
    let mut planned = hub.store.planned_here();
    for _ in 0..count {
        planned.mark_unchanged();
        drop(hub.submit(&["another"]).await);
        planned.changed().await.expect("the hub plans");
    }
}

async fn end(hub: Hub) {
    hub.engine.stop(Duration::from_secs(1)).await;
    hub.store.close().await;
}

async fn row(store: &Store) -> Option<GroupRow> {
    store.groups().await.expect("groups").into_iter().next()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_ordered_runs_what_waits_and_goes() {
    let (provider, database) = (provider(), database());
    let hub = Hub::on(setup(&provider, again(&database)), echo).await;
    let waits = hub.submit(&["a"]).await;
    let why = hub.until_held(|why| why.contains("machine is starting")).await;
    assert_eq!(why, "A machine is starting for the model.");
    until("the order", (&hub, &provider), async || provider.calls() == ["pool to 1"]).await;
    let machine = Hub::on(node("pool-1", again(&database)), echo).await;
    provider.change("pool", |told| told.machines[0].state = MachineState::Running);
    let ended = waits.ended.wait(Duration::from_secs(30)).await.expect("it ends").request;
    assert_eq!(ended.phase.name(), "completed");
    until("the removal", (&hub, &provider), async || {
        provider.calls() == ["pool to 1", "pool without pool-1"]
    })
    .await;
    end(machine).await;
    let done = async || {
        let books = row(&hub.store).await.expect("a row").books;
        books.order.is_some_and(|order| order.to == 0 && order.stage == OrderStage::Done)
    };
    until("it is done", (&hub, &provider), done).await;
    let told = provider.told("pool").expect("the group");
    assert_eq!((told.target, told.machines.len()), (0, 0));
    let marks = async || hub.store.heartbeat_of(None).await.expect("an answer").marks.is_empty();
    until("its mark goes with it", (&hub, &provider), marks).await;
    assert_eq!(provider.calls().len(), 2, "nothing more is ordered");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_refuses_is_left_alone_and_the_reason_is_told() {
    let provider = provider();
    let message = "no more of these in this zone".to_owned();
    provider.next(Mood::Refuses(Refusal { class: FailureClass::Capacity, message }));
    let hub = Hub::on(setup(&provider, database()), echo).await;
    let waits = hub.submit(&["a"]).await;
    let why = hub.until_held(|why| why.contains("no more of these")).await;
    assert!(why.contains("there is no capacity for it at the moment"), "{why}");
    looks(&hub, 3).await;
    assert_eq!(provider.calls(), ["pool to 1"], "it is left alone");
    let failures = row(&hub.store).await.expect("a row").books.failures.expect("a failure");
    assert_eq!((failures.in_a_row, failures.class), (1, FailureClass::Capacity));
    drop(waits);
}

/// A removal that is refused: the node is used again, and neither that order nor another one is held up or repeated.
#[tokio::test(flavor = "multi_thread")]
async fn a_removal_that_is_refused_is_not_repeated_at_once() {
    let (provider, database) = (provider(), database());
    let hub = Hub::on(setup(&provider, again(&database)), echo).await;
    let waits = hub.submit(&["a"]).await;
    until("the order", (&hub, &provider), async || provider.calls() == ["pool to 1"]).await;
    let machine = Hub::on(node("pool-1", again(&database)), echo).await;
    provider.change("pool", |told| told.machines[0].state = MachineState::Running);
    let message = "it is protected".to_owned();
    provider.next(Mood::Refuses(Refusal { class: FailureClass::Other, message }));
    waits.ended.wait(Duration::from_secs(30)).await.expect("it ends");
    let refused =
        async || row(&hub.store).await.is_some_and(|row| row.books.removal_failures.is_some());
    until("the refusal", (&hub, &provider), refused).await;
    let marks = async || hub.store.heartbeat_of(None).await.expect("an answer").marks.is_empty();
    until("the node is used again", (&hub, &provider), marks).await;
    let waits = hub.submit(&["b"]).await;
    let ended = waits.ended.wait(Duration::from_secs(30)).await.expect("it ends").request;
    assert_eq!(ended.phase.name(), "completed");
    assert_eq!(provider.calls(), ["pool to 1", "pool without pool-1"]);
    let books = row(&hub.store).await.expect("a row").books;
    assert_eq!(books.failures, None, "orders for more are not held up");
    drop(machine);
}

/// It made the machine, and answered that it did not.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_in_spite_of_a_no_counts() {
    let provider = provider();
    provider.next(Mood::DoesAndRefuses);
    let hub = Hub::on(setup(&provider, database()), echo).await;
    let waits = hub.submit(&["a"]).await;
    let done = async || {
        row(&hub.store).await.is_some_and(|row| {
            row.books.failures.is_none()
                && row.books.order.is_some_and(|order| order.stage == OrderStage::Done)
        })
    };
    until("it is seen", (&hub, &provider), done).await;
    hub.until_held(|why| why.contains("machine is starting")).await;
    assert_eq!(provider.calls(), ["pool to 1"], "no second one for the same need");
    drop(waits);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_yes_that_nothing_follows_is_no_reason_for_a_second_order() {
    let provider = provider();
    provider.next(Mood::OnlySaysYes);
    let hub = Hub::on(setup(&provider, database()), echo).await;
    let waits = hub.submit(&["a"]).await;
    let answered = async || {
        row(&hub.store).await.is_some_and(|row| {
            row.books.order.is_some_and(|order| order.stage == OrderStage::Answered)
        })
    };
    until("the answer", (&hub, &provider), answered).await;
    looks(&hub, 3).await;
    assert_eq!(provider.calls(), ["pool to 1"]);
    drop(waits);
}

/// The hub that ordered dies between its row and the answer: the next one makes the call with the same id, and
/// one machine comes.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_outlives_the_hub_that_placed_it() {
    let (provider, database) = (provider(), database());
    provider.next(Mood::Hangs);
    let first = Hub::on(setup(&provider, again(&database)), echo).await;
    let waits = first.submit(&["a"]).await;
    until("the order", (&first, &provider), async || provider.calls() == ["pool to 1"]).await;
    let order = row(&first.store).await.expect("a row").books.order.expect("an order");
    assert_eq!(order.stage, OrderStage::Placed);
    let second = Hub::on(setup(&provider, again(&database)), echo).await;
    end(first).await;
    let done = async || {
        let order = row(&second.store).await.expect("a row").books.order.expect("an order");
        order.stage == OrderStage::Done
    };
    until("it is done", (&second, &provider), done).await;
    let now = row(&second.store).await.expect("a row").books.order.expect("an order");
    assert_eq!((now.id, provider.told("pool").expect("it").machines.len()), (order.id, 1));
    drop(waits);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_somebody_else_resizes_is_only_advised_for() {
    let provider = provider();
    // While something moves it is asked often.
    let leaving = ToldMachine { id: "old".into(), node: None, state: MachineState::Leaving };
    provider.change("pool", |told| told.machines.push(leaving));
    let hub = Hub::on(setup(&provider, database()), echo).await;
    let told = async |target| {
        let books = row(&hub.store).await.map(|row| row.books);
        books.is_some_and(|books| books.told.is_some_and(|told| told.target == target))
    };
    until("it is asked", (&hub, &provider), async || told(0).await).await;
    provider.change("pool", |told| told.target = 1);
    until("it is asked again", (&hub, &provider), async || told(1).await).await;
    assert!(row(&hub.store).await.expect("a row").books.resized_by_others.is_some());
    let waits = hub.submit(&["a"]).await;
    let why = hub.until_held(|_| true).await;
    assert!(why.starts_with("No node can run the model: it needs 1"), "{why}");
    looks(&hub, 3).await;
    assert!(provider.calls().is_empty(), "the hub only advises");
    drop(waits);
}

/// A node that an administrator drains: what runs there finishes and nothing new comes.
#[tokio::test(flavor = "multi_thread")]
async fn a_drained_node_gets_nothing_until_it_is_uncordoned() {
    use muster_core::room::{MarkKind, NodeId};
    let setup = Setup { node: Some(machine("lab", 0)), ..Setup::default() };
    let hub = Hub::on(setup, echo).await;
    assert_eq!(hub.run(&["a"]).await.phase.name(), "completed");
    let lab = NodeId("lab".into());
    let mark = async |kind| hub.store.mark_node(hub.principal, &lab, kind, "").await.expect("it");
    assert_eq!(mark(Some(MarkKind::Drained)).await, Marking::Done);
    let empty = async || hub.store.instances().await.expect("an answer").is_empty();
    until("it is empty", (&hub, &provider()), empty).await;
    let waits = hub.submit(&["b"]).await;
    hub.until_held(|_| true).await;
    assert!(empty().await);
    assert_eq!(mark(None).await, Marking::Done);
    let ended = waits.ended.wait(Duration::from_secs(30)).await.expect("it ends").request;
    assert_eq!(ended.phase.name(), "completed");
}
