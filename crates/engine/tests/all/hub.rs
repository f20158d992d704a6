//! A hub in a test: store in memory, engine, and instances that are small HTTP servers in this
//! process, whose answers the test decides.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use muster_cluster::{Cluster, ExternalServers, Launch, Now, Written};
use muster_core::input::InputTable;
use muster_core::instance::{EndCause, Observed, ObservedState};
use muster_core::model::{Card, InputColumn, ModelLimits, Network};
use muster_core::news::{News, Usage};
use muster_core::plan::{NodesPolicy, Policy};
use muster_core::room::NodeView;
use muster_core::{Address, InstanceId, Model, PrincipalId, Request, RequestId, Resources, Source};
use muster_engine::{Clusters, Engine, EngineConfig, GroupsConfig, ThisNode};
use muster_store::{Clock, Database, NewRequest, Objects, Store, StoreConfig, Submitted};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What a model does with the inputs of one call.
pub type Behaviour = Arc<dyn Fn(&[String]) -> Reply + Send + Sync>;

pub enum Reply {
    /// One JSON record for each input.
    Rows(Vec<serde_json::Value>),
    Raw(String),
    Status(u16, &'static str),
    Busy {
        after_seconds: u32,
    },
    Hang,
    /// Answers these rows once it is let.
    Held(watch::Receiver<bool>, Vec<serde_json::Value>),
    /// The process ends before it answers.
    Die,
}

/// The length of each input, under the name of the input, so that a mixed-up row shows.
pub fn echo(inputs: &[String]) -> Reply {
    Reply::Rows(echoes(inputs))
}

/// The rows of [`echo`].
pub fn echoes(inputs: &[String]) -> Vec<serde_json::Value> {
    let row = |input: &String| serde_json::json!({"echo": input, "length": input.len()});
    inputs.iter().map(row).collect()
}

/// What is seen of an instance, and its server while it runs.
type Served = (ObservedState, Option<JoinHandle<()>>);

/// Instances as servers in this process.
pub struct TestCluster {
    behaviour: Behaviour,
    folder: tempfile::TempDir,
    instances: Mutex<HashMap<InstanceId, Served>>,
    changed: watch::Sender<u64>,
    /// Something happened that a test may wait for.
    happened: watch::Sender<()>,
    pub launched: AtomicU32,
    /// The most that lived when one was launched, that one included.
    pub most_at_once: AtomicU32,
    /// The inputs of every call, in the order they came.
    pub calls: Mutex<Vec<(InstanceId, Vec<String>)>>,
    /// What a launch comes to instead of a ready instance, as often as `failing` says.
    pub start_fails: Option<EndCause>,
    pub failing: AtomicU32,
    /// Instances that are launched from now on stay at loading.
    pub never_ready: AtomicBool,
    /// Those that are stopped go on.
    pub stubborn: AtomicBool,
    now: OnceLock<Now>,
    /// Instances that answer nothing any more.
    pub deaf: Mutex<Vec<InstanceId>>,
}

#[derive(Clone)]
struct Server {
    cluster: Arc<TestCluster>,
    id: InstanceId,
}

impl TestCluster {
    fn new(behaviour: Behaviour, start_fails: Option<EndCause>) -> Arc<Self> {
        Arc::new(Self {
            behaviour,
            folder: tempfile::tempdir().expect("a folder"),
            instances: Mutex::default(),
            changed: watch::channel(0).0,
            happened: watch::channel(()).0,
            launched: AtomicU32::new(0),
            most_at_once: AtomicU32::new(0),
            calls: Mutex::default(),
            start_fails,
            failing: AtomicU32::new(u32::MAX),
            never_ready: AtomicBool::new(false),
            stubborn: AtomicBool::new(false),
            now: OnceLock::new(),
            deaf: Mutex::default(),
        })
    }

    /// It listens, and says so.
    pub fn get_ready(self: &Arc<Self>, id: InstanceId) {
        let path = self.folder.path().join(format!("{id}.sock"));
        let listener = tokio::net::UnixListener::bind(&path).expect("a socket");
        let router = Router::new()
            .route("/run", post(run))
            .route("/healthz", get(health))
            .with_state(Server { cluster: Arc::clone(self), id });
        let server = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("a server");
        });
        if let Some(instance) = self.instances.lock().expect("no panic").get_mut(&id) {
            instance.1 = Some(server);
        }
        let address = Address::Socket(path.to_string_lossy().into_owned());
        self.set(id, ObservedState::Ready { address });
    }

    pub fn set(&self, id: InstanceId, state: ObservedState) {
        if let Some((old, server)) = self.instances.lock().expect("no panic").get_mut(&id) {
            if let (ObservedState::Ended { .. }, Some(server)) = (&state, server.take()) {
                server.abort();
            }
            *old = state;
        }
        self.changed.send_modify(|n| *n += 1);
        self.happened.send_replace(());
    }

    pub fn kill(&self, id: InstanceId) {
        let cause = EndCause::Exited { code: None, signal: Some(9), last_lines: String::new() };
        self.set(id, ObservedState::Ended { cause });
    }

    pub fn live(&self) -> Vec<InstanceId> {
        let instances = self.instances.lock().expect("no panic");
        let live = |state: &ObservedState| !matches!(state, ObservedState::Ended { .. });
        instances.iter().filter(|(_, (state, _))| live(state)).map(|(id, _)| *id).collect()
    }

    /// Tells of launches, calls, and states of instances.
    pub fn happened(&self) -> watch::Receiver<()> {
        self.happened.subscribe()
    }

    pub fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub fn calls(&self) -> Vec<Vec<String>> {
        self.calls.lock().expect("no panic").iter().map(|(_, inputs)| inputs.clone()).collect()
    }
}

/// A cluster over an `Arc`, so that its servers can reach it.
pub struct Handle(pub Arc<TestCluster>);

impl Cluster for Handle {
    fn launch(&self, launch: Launch) {
        let (cluster, id) = (Arc::clone(&self.0), launch.instance);
        cluster.launched.fetch_add(1, Ordering::SeqCst);
        // Whoever hears of the launch may change it for the next one.
        let never_ready = cluster.never_ready.load(Ordering::SeqCst);
        let starting = ObservedState::starting("loading");
        cluster.instances.lock().expect("no panic").insert(id, (starting, None));
        cluster.most_at_once.fetch_max(cluster.live().len() as u32, Ordering::SeqCst);
        cluster.happened.send_replace(());
        if never_ready {
            return;
        }
        if let Some(cause) = cluster.start_fails.clone()
            && cluster.failing.load(Ordering::SeqCst) > 0
        {
            cluster.failing.fetch_sub(1, Ordering::SeqCst);
            cluster.set(id, ObservedState::Ended { cause });
            return;
        }
        cluster.get_ready(id);
    }

    fn stop(&self, id: InstanceId, _grace: Duration) {
        if self.0.stubborn.load(Ordering::SeqCst) {
            return;
        }
        let cause = EndCause::Exited { code: Some(0), signal: None, last_lines: String::new() };
        self.0.set(id, ObservedState::Ended { cause });
    }

    fn observe(&self) -> Vec<Observed> {
        let instances = self.0.instances.lock().expect("no panic");
        let observed = |(id, (state, _)): (&InstanceId, &(ObservedState, _))| Observed {
            node: None,
            instance: *id,
            at: (self.0.now.get().expect("a clock"))(),
            state: state.clone(),
        };
        instances.iter().map(observed).collect()
    }

    fn forget(&self, id: InstanceId) {
        self.0.instances.lock().expect("no panic").remove(&id);
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.0.changed()
    }

    fn log(&self, id: InstanceId, from: u64) -> Written {
        let all = format!("log of {id}\n").into_bytes();
        let skip = usize::try_from(from).expect("short").min(all.len());
        Written { position: from, bytes: all[skip..].to_vec() }
    }

    fn news(&self, _id: InstanceId) -> News {
        News { node: Some("here".into()), usage: Usage::of(500, 1000), ..News::default() }
    }
}

/// Answers nothing if the instance is deaf.
async fn listen(server: &Server) {
    if server.cluster.deaf.lock().expect("no panic").contains(&server.id) {
        std::future::pending().await
    }
}

async fn health(State(server): State<Server>) -> &'static str {
    listen(&server).await;
    "ok"
}

async fn run(State(server): State<Server>, body: Bytes) -> Response {
    listen(&server).await;
    let inputs: Vec<String> = serde_json::from_slice(&body).expect("an array of texts");
    let Server { cluster, id } = server;
    // Before anybody hears of the call: what the test changes then is for later ones.
    let reply = (cluster.behaviour)(&inputs);
    cluster.calls.lock().expect("no panic").push((id, inputs));
    cluster.happened.send_replace(());
    let mut headers = HeaderMap::new();
    headers.insert("muster-instance", id.to_string().parse().expect("a header"));
    let rows = |headers: HeaderMap, rows: Vec<serde_json::Value>| {
        (headers, serde_json::to_string(&rows).expect("JSON")).into_response()
    };
    match reply {
        Reply::Rows(made) => rows(headers, made),
        Reply::Held(mut gate, made) => {
            gate.wait_for(|open| *open).await.expect("the test lets it");
            rows(headers, made)
        }
        Reply::Raw(text) => (headers, text).into_response(),
        Reply::Status(status, text) => {
            let body = serde_json::json!({ "detail": text }).to_string();
            (StatusCode::from_u16(status).expect("a status"), headers, body).into_response()
        }
        Reply::Busy { after_seconds } => {
            headers.insert("retry-after", after_seconds.into());
            (StatusCode::SERVICE_UNAVAILABLE, headers, "busy").into_response()
        }
        Reply::Hang => std::future::pending().await,
        Reply::Die => {
            cluster.kill(id);
            std::future::pending().await
        }
    }
}

pub struct Hub {
    pub store: Store,
    pub engine: Engine,
    pub cluster: Arc<TestCluster>,
    pub model: Arc<Model>,
    pub principal: PrincipalId,
}

pub fn limits() -> ModelLimits {
    ModelLimits { batch_size: 10, job_seconds: 30, start_seconds: 10, ..ModelLimits::default() }
}

/// What a hub is made of.
pub struct Setup {
    pub limits: ModelLimits,
    pub cache: bool,
    pub start_fails: Option<EndCause>,
    pub database: Database,
    /// Larger inputs and results than so many bytes are objects, in this storage.
    pub objects: (Objects, usize),
    pub clock: Clock,
    /// Models that run elsewhere, at these addresses.
    pub elsewhere: Vec<String>,
    /// What the machine of the hub is, if room counts.
    pub node: Option<NodeView>,
    /// What the models need.
    pub resources: Resources,
    /// Further models that are served like the first one, by these names.
    pub further: Vec<&'static str>,
    /// Who makes nodes, and what is wanted of them.
    pub groups: Option<GroupsConfig>,
    pub nodes: NodesPolicy,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            limits: limits(),
            cache: false,
            start_fails: None,
            database: Database::Memory,
            objects: (Objects::Memory, 64 << 10),
            clock: Clock::system(),
            elsewhere: vec![],
            node: None,
            resources: Resources::default(),
            further: vec![],
            groups: None,
            nodes: NodesPolicy::default(),
        }
    }
}

pub fn echo_model(version: &str, limits: ModelLimits, cache: bool) -> Model {
    Model {
        id: "echo".parse().expect("an id"),
        version: version.into(),
        source: Source::Folder { path: "models/echo".into() },
        card: Card::default(),
        input: InputColumn { name: "input".into(), ..InputColumn::default() },
        outputs: vec![],
        example: vec![],
        limits,
        resources: Resources::default(),
        cache,
        network: Network::None,
        pod: None,
    }
}

impl Hub {
    pub async fn start(behaviour: impl Fn(&[String]) -> Reply + Send + Sync + 'static) -> Self {
        Self::with(limits(), false, None, behaviour).await
    }

    pub async fn with(
        limits: ModelLimits,
        cache: bool,
        start_fails: Option<EndCause>,
        behaviour: impl Fn(&[String]) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::on(Setup { limits, cache, start_fails, ..Setup::default() }, behaviour).await
    }

    pub async fn on(
        setup: Setup,
        behaviour: impl Fn(&[String]) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let Setup { limits, cache, start_fails, database, objects, clock, elsewhere, .. } = setup;
        let (objects, inline_bytes) = objects;
        // Another test of this process may have done it.
        drop(rustls::crypto::ring::default_provider().install_default());
        let config = StoreConfig { database, objects, inline_bytes };
        let store = Store::open(config, clock).await.expect("a store");
        let first = Model { resources: setup.resources, ..echo_model("1", limits.clone(), cache) };
        let named = |name: &&str| Model { id: name.parse().expect("an id"), ..first.clone() };
        let mut models: Vec<Model> = setup.further.iter().map(named).collect();
        models.insert(0, first);
        for (n, url) in elsewhere.into_iter().enumerate() {
            let limits = ModelLimits { min_instances: 1, ..limits.clone() };
            let id = format!("far{n}").parse().expect("an id");
            models.push(Model {
                id,
                source: Source::Server { url },
                ..echo_model("1", limits, cache)
            });
        }
        store.sync_models(models).await.expect("a catalogue");
        let model = store.find_model(&"echo".parse().expect("an id")).expect("the model");
        // Hubs may share a database.
        let token = *store.clock().id().as_bytes();
        let token = std::array::from_fn(|n| token[n % 16]);
        let session = store.create_session(token, Duration::from_secs(3600)).await;
        let cluster = TestCluster::new(Arc::new(behaviour), start_fails);
        let timed = store.clone();
        let now: Now = Arc::new(move || timed.now());
        assert!(cluster.now.set(Arc::clone(&now)).is_ok());
        let engine = Engine::start(EngineConfig {
            store: store.clone(),
            clusters: Clusters {
                local: Some(Arc::new(Handle(Arc::clone(&cluster)))),
                external: ExternalServers::new(now).expect("a client"),
                pods: None,
            },
            policy: Policy { nodes: setup.nodes, ..Policy::default() },
            groups: setup.groups,
            node: setup.node.map(|node| -> ThisNode { Arc::new(move || node.clone()) }),
            clearing: muster_core::Clearing::NEVER,
        });
        Self { store, engine, cluster, model, principal: session.expect("a session").principal }
    }

    /// Why the model's requests wait, once that is so.
    pub async fn until_held(&self, is_so: impl Fn(&str) -> bool) -> String {
        let mut held = self.store.held_changed();
        let told = held.wait_for(|held| held.get(&self.model.id).is_some_and(|why| is_so(why)));
        let told = tokio::time::timeout(Duration::from_secs(20), told).await;
        let held = told.expect("it is told in time").expect("the store is open");
        held[&self.model.id].clone()
    }

    /// From now on the catalogue has this version of the model.
    pub async fn edit(&self, version: &str) {
        let model = echo_model(version, self.model.limits.clone(), self.model.cache);
        self.store.sync_models(vec![model]).await.expect("a catalogue");
    }

    pub async fn submit(&self, inputs: &[&str]) -> Submitted {
        self.submit_to(&self.model, inputs).await
    }

    pub async fn submit_to(&self, model: &Arc<Model>, inputs: &[&str]) -> Submitted {
        let new = NewRequest {
            id: RequestId(self.store.clock().id()),
            principal: self.principal,
            model: Arc::clone(model),
            key: None,
            body_hash: [0; 32],
            reading: muster_core::request::Reading::default(),
            label: None,
            inputs: InputTable { inputs: inputs.iter().copied().collect(), records: None },
            use_cache: true,
        };
        self.store.submit(new).await.expect("it is accepted")
    }

    /// Submits and waits for the end.
    pub async fn run(&self, inputs: &[&str]) -> Arc<Request> {
        let submitted = self.submit(inputs).await;
        let ended = submitted.ended.wait(Duration::from_secs(20)).await;
        ended.expect("it ends in time").request
    }

    pub async fn cancel(&self, id: RequestId) -> Arc<Request> {
        let cancelled = self.store.cancel_request(self.principal, id, "not needed").await;
        cancelled.expect("a store").expect("a request")
    }

    pub async fn find(&self, id: RequestId) -> Arc<Request> {
        let found = self.store.find_request(self.principal, id).await;
        found.expect("a store").expect("a request")
    }

    /// The rows of a result as JSON objects.
    pub async fn rows(&self, id: RequestId) -> Vec<serde_json::Value> {
        use futures::TryStreamExt;
        let format = muster_store::Format::Json;
        let download = self.store.download(self.principal, id, format).await;
        let stream = download.expect("a result").expect("a request").stream;
        let chunks: Vec<bytes::Bytes> = stream.try_collect().await.expect("a whole result");
        serde_json::from_slice(&chunks.concat()).expect("JSON")
    }
}
