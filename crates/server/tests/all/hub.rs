//! A hub to talk to, people who talk to it, and an engine that does what a test says.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use muster_core::instance::Runs;
use muster_core::model::{Card, InputColumn, ModelLimits, Network};
use muster_core::room::Place;
use muster_core::{
    Address, Amounts, Cell, Column, ColumnKind, Direction, InstanceId, Model, ModelId, Part,
    Permission, PrincipalId, Resources, Row, SessionId, Source,
};
use muster_server::{Secret, Server, ServerConfig};
use muster_store::{
    AuditEntry, AuditFilter, Claim, ClaimedTask, Clock, Database, NewAccount, NewInstance,
    NewSession, Objects, SessionKind, Store, StoreConfig, TaskDone,
};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::balancer::{balance, two_hubs};
use crate::replicas;

pub struct Hub {
    pub address: SocketAddr,
    pub metrics: SocketAddr,
    pub store: Store,
    pub http: Client,
    pub instance: InstanceId,
    stop: Option<oneshot::Sender<()>>,
    running: Option<JoinHandle<std::io::Result<()>>>,
    /// The second hub behind the balancer.
    other: Option<Box<Hub>>,
    /// Where both keep large inputs and results.
    _objects: Option<TempDir>,
}

/// Larger inputs and results are objects.
const INLINE_BYTES: usize = 64 << 10;
/// How far the clock of the second hub is ahead.
const SKEW: Duration = Duration::from_secs(60);

/// The password of everybody in the tests.
pub const PASSWORD: &str = "tangible orchard 42 sings";

/// Somebody with a session.
pub struct Person {
    pub id: PrincipalId,
    pub token: String,
    url: String,
    http: Client,
}

pub fn model() -> Model {
    let column = |name: &str, kind| Column { description: "a".into(), ..Column::new(name, kind) };
    Model {
        id: "lengths".parse().expect("an id"),
        version: "1.0.0+00000000".into(),
        source: Source::Folder { path: "/srv/secret/models/lengths".into() },
        card: Card { title: "Lengths".into(), ..Card::default() },
        input: InputColumn {
            name: "smiles".into(),
            description: "A molecule".into(),
            also: vec!["structure".into()],
            kind: None,
        },
        outputs: vec![
            column("length", ColumnKind::Integer),
            Column {
                unit: "cm".into(),
                direction: Some(Direction::Low),
                ..column("half", ColumnKind::Float)
            },
        ],
        example: vec!["CCO".into()],
        limits: ModelLimits { batch_size: 1000, ..ModelLimits::default() },
        resources: Resources::default(),
        cache: true,
        network: Network::None,
        pod: None,
    }
}

/// What the model says of texts: their length, and an error for texts that begin with `bad`.
pub fn lengths<'t>(texts: impl IntoIterator<Item = &'t str>) -> Part {
    let row = |text: &str| {
        if text.starts_with("bad") {
            return Row::Error("=cannot read it".into());
        }
        let length = i64::try_from(text.len()).expect("short");
        Row::Values(vec![Cell::Integer(length), Cell::Float(length as f64 / 2.0)])
    };
    let columns = vec![("length".into(), ColumnKind::Integer), ("half".into(), ColumnKind::Float)];
    Part { columns, rows: texts.into_iter().map(row).collect() }
}

impl Hub {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut ServerConfig)) -> Self {
        if !two_hubs() {
            return Self::alone(change).await;
        }
        let schema = replicas::schema();
        let mut config = Self::config();
        change(&mut config);
        let folder = tempfile::tempdir().expect("a folder");
        let stored = || StoreConfig {
            database: replicas::postgres(&schema),
            objects: Objects::Folder(folder.path().to_owned()),
            inline_bytes: INLINE_BYTES,
        };
        let ahead = Clock::system();
        ahead.advance(SKEW);
        let one = Self::run(stored(), config.clone(), Clock::system()).await;
        let two = Self::run(stored(), config, ahead).await;
        let address = balance([one.address, two.address]).await;
        let http = Self::client(true);
        Self { address, http, other: Some(Box::new(two)), _objects: Some(folder), ..one }
    }

    /// One hub, also where the tests run against two: for what is promised of a process, as its limits,
    /// its end, and what holds at the very next request (on others within two seconds: `replicas`).
    pub async fn alone(change: impl FnOnce(&mut ServerConfig)) -> Self {
        Self::on(Database::Memory, change).await
    }

    /// One hub on this database.
    pub async fn on(database: Database, change: impl FnOnce(&mut ServerConfig)) -> Self {
        let mut config = Self::config();
        change(&mut config);
        let stored = StoreConfig { database, objects: Objects::Memory, inline_bytes: INLINE_BYTES };
        Self::run(stored, config, Clock::system()).await
    }

    fn config() -> ServerConfig {
        ServerConfig {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            metrics: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
            ..ServerConfig::default()
        }
    }

    /// Before a balancer each request takes a connection of its own.
    fn client(balanced: bool) -> Client {
        let idle = if balanced { 0 } else { usize::MAX };
        Client::builder().no_proxy().pool_max_idle_per_host(idle).build().expect("a client")
    }

    async fn run(stored: StoreConfig, config: ServerConfig, clock: Clock) -> Self {
        // A second test of this process finds one installed.
        drop(rustls::crypto::ring::default_provider().install_default());
        let store = Store::open(stored, clock).await.expect("a store");
        store.sync_models(vec![model()]).await.expect("a catalogue");
        let server = Server::bind(config, store.clone()).expect("an address");
        let address = server.address().expect("an address");
        let metrics = server.metrics_address().expect("an address");
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(server.run(async { drop(stopped.await) }));
        let instance = InstanceId(store.clock().id());
        let http = Self::client(false);
        let (stop, running) = (Some(stop), Some(running));
        Self { address, metrics, store, http, instance, stop, running, other: None, _objects: None }
    }

    /// What administrators did, the newest first.
    pub async fn audit(&self) -> Vec<AuditEntry> {
        let filter = AuditFilter { limit: 100, ..AuditFilter::default() };
        let lines = self.store.list_audit(&filter).await.expect("an audit");
        lines.into_iter().map(|line| line.entry).collect()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub async fn person(&self) -> Person {
        let made = self.http.post(self.url("/api/v1/sessions")).send().await.expect("an answer");
        assert_eq!(made.status(), StatusCode::CREATED);
        let session: Value = made.json().await.expect("JSON");
        let token = session["token"].as_str().expect("a token").to_owned();
        let id = session["principal"]["id"].as_str().expect("an id").parse().expect("an id");
        self.person_with(id, token)
    }

    fn person_with(&self, id: PrincipalId, token: String) -> Person {
        Person { id, token, url: format!("http://{}", self.address), http: self.http.clone() }
    }

    /// Somebody with an account, who is logged in.
    pub async fn user(&self, name: &str) -> Person {
        self.account(name, vec![]).await
    }

    pub async fn admin(&self, name: &str) -> Person {
        self.account(name, vec![Permission::Admin]).await
    }

    pub async fn account(&self, name: &str, permissions: Vec<Permission>) -> Person {
        static HASH: LazyLock<String> =
            LazyLock::new(|| muster_server::hash_password(PASSWORD).expect("a hash"));
        let new = NewAccount {
            name: name.into(),
            first_name: "Ada".into(),
            last_name: "Lovelace".into(),
            email: format!("{name}@example.org"),
            password: HASH.clone(),
            permissions,
        };
        let account = self.store.add_account(new).await.expect("an answer").expect("a free name");
        let token = self.session_of(account.id, SessionKind::Bearer, "").await.0;
        self.person_with(account.id, token)
    }

    /// Another session or API token of somebody: its secret and its id.
    pub async fn session_of(
        &self,
        principal: PrincipalId,
        kind: SessionKind,
        scopes: &str,
    ) -> (String, SessionId) {
        let secret = Secret::new().expect("randomness");
        let new = NewSession {
            principal: Some(principal),
            token_hash: secret.hash(),
            kind,
            name: "a test".into(),
            scopes: scopes.into(),
            lifetime: Duration::from_secs(3600),
        };
        let session = self.store.add_session(new).await.expect("a session");
        (secret.text().to_owned(), session.id)
    }

    /// The same person with another token.
    pub fn with_token(&self, person: &Person, token: &str) -> Person {
        self.person_with(person.id, token.to_owned())
    }

    /// Sends JSON as nobody.
    pub async fn send(&self, method: Method, path: &str, body: Value) -> Response {
        let request = self.http.request(method, self.url(path)).json(&body);
        request.send().await.expect("an answer")
    }

    /// An instance of the model that starts.
    pub async fn launch(&self, slot: u32) -> InstanceId {
        let id = InstanceId(self.store.clock().id());
        assert!(self.add(id, slot).await);
        id
    }

    async fn add(&self, id: InstanceId, slot: u32) -> bool {
        let new = NewInstance {
            id,
            model: model().id,
            version: model().version,
            slot,
            server: None,
            runs: Runs::Process,
            why: "a test".into(),
            asked: Some(Amounts { cpu: 500, memory: 1 << 30, pods: 1, ..Amounts::default() }),
            place: Some(Place {
                node: "compute-1".into(),
                devices: vec![format!("GPU-{slot}").as_str().into()],
            }),
        };
        assert!(self.store.lead(Duration::from_secs(60)).await.expect("an answer"), "it plans");
        self.store.add_instance(new).await.expect("a row")
    }

    /// An instance of the model becomes ready, if there is none.
    pub async fn boot(&self) {
        if self.add(self.instance, 0).await {
            let address = Address::Socket("/run/secret.sock".into());
            self.store.instance_ready(self.instance, &address).await.expect("a row");
        }
    }

    /// Waits for tasks and takes them.
    pub async fn claim(&self) -> Vec<ClaimedTask> {
        self.boot().await;
        let claim = Claim {
            instance: self.instance,
            model: model().id,
            version: model().version,
            max_inputs: 1000,
            lease: Duration::from_secs(60),
            ahead: false,
        };
        self.store.claim(claim).await.expect("tasks")
    }

    pub async fn complete(&self, tasks: Vec<ClaimedTask>) {
        let mut done = Vec::new();
        for task in tasks {
            let inputs = self.store.load_inputs(&task).await.expect("inputs");
            let texts: Vec<String> = serde_json::from_slice(&inputs).expect("an array");
            let part = Arc::new(lengths(texts.iter().map(String::as_str)));
            let (key, attempt) = (task.key, task.attempt);
            done.push(TaskDone { key, attempt, part, cached: 0, predictions: vec![] });
        }
        self.store.complete(done).await.expect("taken");
    }

    /// Answers everything from now on, until the hub is dropped.
    pub async fn work(self: &Arc<Self>) {
        self.boot().await;
        let hub = Arc::downgrade(self);
        tokio::spawn(async move {
            while let Some(hub) = hub.upgrade() {
                let tasks = tokio::time::timeout(Duration::from_millis(500), hub.claim()).await;
                if let Ok(tasks) = tasks {
                    hub.complete(tasks).await;
                }
            }
        });
    }

    /// Begins to stop; the handle ends when the server did.
    pub fn stop(&mut self) -> JoinHandle<std::io::Result<()>> {
        assert!(self.other.is_none(), "a test that stops a hub asks for one");
        drop(self.stop.take());
        self.running.take().expect("a running server")
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("a connection")
    }

    /// Sends bytes and reads until the server closes or says no more for a while.
    pub async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        stream.write_all(bytes).await.expect("sent");
        read_answer(&mut stream).await
    }
}

/// One answer: the head and as much body as it announces; all there is if the server closes.
pub async fn read_answer(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let mut piece = [0; 4096];
    let whole = |all: &[u8]| {
        let text = String::from_utf8_lossy(all).to_lowercase();
        let (head, body) = text.split_once("\r\n\r\n")?;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?;
        let length: usize = length.trim().parse().ok()?;
        (body.len() >= length).then_some(())
    };
    while whole(&all).is_none() {
        let read = tokio::time::timeout(Duration::from_secs(10), stream.read(&mut piece)).await;
        match read.expect("an answer in time") {
            Ok(0) | Err(_) => break,
            Ok(n) => all.extend_from_slice(&piece[..n]),
        }
    }
    String::from_utf8(all).expect("text")
}

impl Person {
    pub fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(format!("{}{path}", self.url)).bearer_auth(&self.token)
    }

    pub fn post(&self, path: &str) -> RequestBuilder {
        self.http.post(format!("{}{path}", self.url)).bearer_auth(&self.token)
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url)).bearer_auth(&self.token)
    }

    /// Sends JSON that is taken; the answer.
    pub async fn send(&self, method: Method, path: &str, body: Value) -> Value {
        let answer = self.request(method, path).json(&body).send().await.expect("an answer");
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        answer.json().await.expect("JSON")
    }

    pub async fn status(&self, path: &str) -> u16 {
        self.get(path).send().await.expect("an answer").status().as_u16()
    }

    /// Submits texts as JSON.
    pub async fn submit(&self, inputs: &[&str]) -> Value {
        let body = json!({"model": "lengths", "inputs": inputs});
        let answer = self.post("/api/v1/requests").json(&body).send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::CREATED);
        answer.json().await.expect("JSON")
    }

    /// Submits a file.
    pub fn upload(&self, query: &str, file: impl Into<reqwest::Body>) -> RequestBuilder {
        let path = format!("/api/v1/requests?{query}");
        self.post(&path).header("content-type", "text/csv").body(file)
    }

    pub async fn find(&self, path: &str) -> Value {
        let answer = self.get(path).send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.json().await.expect("JSON")
    }

    pub async fn list(&self) -> Vec<Value> {
        let page = self.find("/api/v1/requests?limit=200").await;
        page["items"].as_array().expect("items").clone()
    }
}

/// Sends a request that is refused; gives the problem after checks that all problems pass.
pub async fn problem(request: RequestBuilder) -> Value {
    let answer = request.send().await.expect("an answer");
    let status = answer.status();
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    assert!(answer.headers().contains_key("x-request-id"));
    let text = answer.text().await.expect("text");
    for inner in ["serde", "sqlx", "muster_", "SELECT", "/srv", "/run", "/root", ".rs", "panic"] {
        assert!(!text.contains(inner), "{inner} in {text}");
    }
    let problem: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(problem["status"], status.as_u16());
    assert!(problem["detail"].as_str().is_some_and(|d| d.len() > 10), "{problem}");
    problem
}

/// Looks until it is so.
pub async fn until<F: Future<Output = bool>>(what: &str, mut look: impl FnMut() -> F) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while !look().await {
        assert!(tokio::time::Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The slug of a problem.
pub fn slug(problem: &Value) -> &str {
    problem["type"].as_str().and_then(|t| t.strip_prefix("/problems/")).expect("a slug")
}

pub fn model_id() -> ModelId {
    model().id
}

/// As the system's base64 writes it.
pub fn base64(text: &str) -> String {
    let packed = filter("base64", &["-w0"], text.as_bytes());
    String::from_utf8(packed).expect("ASCII")
}

/// How clients of the predecessor send a token.
pub fn legacy(token: &str) -> String {
    format!("ErsiliaUser {}", base64(&json!({"session_token": token}).to_string()))
}

/// What the system's gzip makes of bytes.
pub fn gzip(arguments: &[&str], bytes: &[u8]) -> Vec<u8> {
    filter("gzip", arguments, bytes)
}

fn filter(program: &str, arguments: &[&str], bytes: &[u8]) -> Vec<u8> {
    let mut child = std::process::Command::new(program)
        .args(arguments)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("the program");
    let (mut input, bytes) = (child.stdin.take().expect("a pipe"), bytes.to_owned());
    let writer = std::thread::spawn(move || std::io::Write::write_all(&mut input, &bytes));
    let packed = child.wait_with_output().expect("an output").stdout;
    writer.join().expect("a thread").expect("written");
    packed
}
