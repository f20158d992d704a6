//! A store on a database of its own, a catalogue of one model, one person, and the database as
//! somebody else sees it.

use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use muster_core::answer::read_records;
use muster_core::input::InputTable;
use muster_core::model::{Card, InputColumn, ModelLimits, Network};
use muster_core::request::Reading;
use muster_core::retry::Retry;
use muster_core::{InstanceId, Model, PrincipalId, Request, RequestId, Resources, Source};
use muster_store::{
    AuditEntry, AuditFilter, Claim, ClaimedTask, Clock, Database, Download, Error, Format,
    NewRequest, Objects, Store, StoreConfig, TaskBack, TaskDone,
};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, PgPool};
use tempfile::TempDir;

use crate::cluster::{self, Cluster};
use crate::raw::Raw;

/// Longer than anything here takes.
pub const LONG: Duration = Duration::from_secs(20);

/// A lease that does not end during a test.
pub const LEASE: Duration = Duration::from_secs(600);

pub struct Lab {
    pub store: Store,
    pub raw: Raw,
    pub model: Arc<Model>,
    pub me: PrincipalId,
    /// An instance that has no row: the store does not mind.
    pub instance: InstanceId,
    pub folder: TempDir,
    place: Place,
}

#[derive(Clone)]
enum Place {
    Sqlite,
    Postgres { url: String, schema: String },
}

impl Lab {
    pub async fn sqlite() -> Self {
        Self::start(Place::Sqlite).await
    }

    /// In a schema of its own.
    pub async fn postgres() -> Self {
        let schema = format!("t{}", Clock::system().id().simple());
        Self::start(Place::Postgres { url: cluster::shared().url("postgres"), schema }).await
    }

    /// In a database of its own, for tests that look at or break all connections.
    pub async fn postgres_alone(cluster: &Cluster) -> Self {
        Self::start(new_database(cluster).await).await
    }

    async fn start(place: Place) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(config(&place, &folder, 64 << 10), Clock::system());
        let store = store.await.expect("a store");
        store.sync_models(vec![model("echo", "1")]).await.expect("a catalogue");
        let model = store.find_model(&"echo".parse().expect("an id")).expect("the model");
        let session = store.create_session(token(), LEASE).await.expect("a session");
        assert!(store.lead(LEASE).await.expect("an answer"), "it plans");
        let raw = raw(&place, &folder).await;
        let instance = InstanceId(store.clock().id());
        Self { store, raw, model, me: session.principal, instance, folder, place }
    }

    pub async fn audit(&self) -> Vec<AuditEntry> {
        audit(&self.store).await
    }

    pub fn is_postgres(&self) -> bool {
        matches!(self.place, Place::Postgres { .. })
    }

    pub fn config(&self) -> StoreConfig {
        config(&self.place, &self.folder, 64 << 10)
    }

    /// Another server on the same PostgreSQL.
    pub async fn other_server(&self) -> Store {
        Store::open(self.config(), Clock::system()).await.expect("a second server")
    }

    /// The server stops and a new one starts; texts over `inline_bytes` go into object storage.
    pub async fn restart(&mut self, inline_bytes: usize) {
        self.store.close().await;
        let config = config(&self.place, &self.folder, inline_bytes);
        self.store = Store::open(config, Clock::system()).await.expect("the store opens again");
    }

    /// The server stops and a new one starts with other object storage, for texts over 64 bytes.
    pub async fn move_to(&mut self, objects: Objects) {
        self.store.close().await;
        let config = StoreConfig { objects, ..config(&self.place, &self.folder, 64) };
        self.store = Store::open(config, Clock::system()).await.expect("the store opens again");
    }

    pub async fn another_person(&self) -> PrincipalId {
        let session = self.store.create_session(token(), LEASE).await;
        session.expect("a session").principal
    }

    pub fn new_request(&self, inputs: &[&str]) -> NewRequest {
        NewRequest {
            id: RequestId(self.store.clock().id()),
            principal: self.me,
            model: Arc::clone(&self.model),
            key: None,
            body_hash: [0; 32],
            reading: Reading::default(),
            label: None,
            inputs: InputTable { inputs: inputs.iter().copied().collect(), records: None },
            use_cache: true,
        }
    }

    pub async fn submit(&self, inputs: &[&str]) -> Arc<Request> {
        self.store.submit(self.new_request(inputs)).await.expect("it is taken").request
    }

    pub async fn find(&self, id: RequestId) -> Arc<Request> {
        self.store.find_request(self.me, id).await.expect("an answer").expect("the request")
    }

    pub async fn cancel(&self, id: RequestId) -> Arc<Request> {
        let cancelled = self.store.cancel_request(self.me, id, "not needed").await;
        cancelled.expect("an answer").expect("the request")
    }

    pub fn wish(&self, max_inputs: u32) -> Claim {
        Claim {
            instance: self.instance,
            model: self.model.id.clone(),
            version: self.model.version.clone(),
            max_inputs,
            lease: LEASE,
            ahead: false,
        }
    }

    pub async fn claim(&self, max_inputs: u32) -> Vec<ClaimedTask> {
        claim(&self.store, self.wish(max_inputs)).await
    }

    /// Claims one task and says that its model answered `{"n": 1}` for each of its inputs.
    pub async fn work(&self) -> bool {
        let task = self.claim(1).await.remove(0);
        complete(&self.store, &task).await
    }

    pub async fn give_back(&self, task: &ClaimedTask, retry: Retry) {
        let back = TaskBack { key: task.key, attempt: task.attempt, retry };
        self.store.give_back(vec![back]).await.expect("an answer");
    }

    pub async fn download(&self, id: RequestId, format: Format) -> Result<Vec<u8>, Error> {
        collect(self.store.download(self.me, id, format).await?).await
    }

    /// Of their own columns only the inputs.
    pub async fn download_bare(&self, id: RequestId, format: Format) -> Result<Vec<u8>, Error> {
        collect(self.store.download_bare(self.me, id, format).await?).await
    }
}

/// What administrators did, the newest first.
pub async fn audit(store: &Store) -> Vec<AuditEntry> {
    let filter = AuditFilter { limit: 100, ..AuditFilter::default() };
    let lines = store.list_audit(&filter).await.expect("an audit");
    lines.into_iter().map(|line| line.entry).collect()
}

async fn collect(download: Option<Download>) -> Result<Vec<u8>, Error> {
    let chunks: Vec<bytes::Bytes> = download.expect("the request").stream.try_collect().await?;
    Ok(chunks.concat())
}

async fn new_database(cluster: &Cluster) -> Place {
    let name = format!("d{}", Clock::system().id().simple());
    let pool = PgPool::connect(&cluster.url("postgres")).await.expect("PostgreSQL");
    let create = AssertSqlSafe(format!("CREATE DATABASE {name} TEMPLATE template0"));
    sqlx::query(create).execute(&pool).await.expect("a database");
    Place::Postgres { url: cluster.url(&name), schema: "public".into() }
}

fn config(place: &Place, folder: &TempDir, inline_bytes: usize) -> StoreConfig {
    let database = match place.clone() {
        Place::Sqlite => Database::Sqlite { file: folder.path().join("data/muster.db") },
        Place::Postgres { url, schema } => {
            Database::Postgres { url, schema: Some(schema), max_connections: 5 }
        }
    };
    StoreConfig { database, objects: Objects::Folder(folder.path().join("objects")), inline_bytes }
}

async fn raw(place: &Place, folder: &TempDir) -> Raw {
    match place {
        Place::Sqlite => {
            let file = SqliteConnectOptions::new().filename(folder.path().join("data/muster.db"));
            let pool = SqlitePoolOptions::new().max_connections(2).connect_with(file);
            Raw::Sqlite(pool.await.expect("the database"))
        }
        Place::Postgres { url, schema } => {
            let options = url.parse::<sqlx::postgres::PgConnectOptions>().expect("a URL");
            let options = options.options([("search_path", schema.as_str())]);
            let pool = sqlx::postgres::PgPoolOptions::new().max_connections(3);
            Raw::Postgres(pool.connect_with(options).await.expect("the database"))
        }
    }
}

pub fn model(id: &str, version: &str) -> Model {
    Model {
        id: id.parse().expect("an id"),
        version: version.into(),
        source: Source::Folder { path: format!("models/{id}") },
        card: Card::default(),
        input: InputColumn { name: "input".into(), ..InputColumn::default() },
        outputs: vec![],
        example: vec![],
        limits: ModelLimits { batch_size: 10, ..ModelLimits::default() },
        resources: Resources::default(),
        cache: true,
        network: Network::None,
        pod: None,
    }
}

pub fn token() -> [u8; 32] {
    let id = Clock::system().id().into_bytes();
    std::array::from_fn(|n| id[n % 16])
}

pub async fn claim(store: &Store, claim: Claim) -> Vec<ClaimedTask> {
    let claimed = tokio::time::timeout(LONG, store.claim(claim)).await;
    claimed.expect("there is work").expect("an answer")
}

/// Is there nothing for this claim? A claim is looked at before a later operation is answered.
pub async fn nothing_for(store: &Store, claim: Claim) -> bool {
    let mut claimed = std::pin::pin!(store.claim(claim));
    if futures::poll!(&mut claimed).is_ready() {
        return false;
    }
    store.heartbeat().await.expect("an answer");
    futures::poll!(&mut claimed).is_pending()
}

/// The task's rows as its model answered them: JSON records.
pub fn done(task: &ClaimedTask, records: &str) -> TaskDone {
    let part = read_records(records.as_bytes(), task.count as usize, &[]).expect("records");
    TaskDone {
        key: task.key,
        attempt: task.attempt,
        part: Arc::new(part),
        cached: 0,
        predictions: vec![],
    }
}

/// Every input gets `{"n": 1}`.
pub fn ones(task: &ClaimedTask) -> TaskDone {
    let records = vec![r#"{"n": 1}"#; task.count as usize];
    done(task, &format!("[{}]", records.join(",")))
}

/// Every input gets `{"n": 1}`; false if the task is no longer the claim's.
pub async fn complete(store: &Store, task: &ClaimedTask) -> bool {
    store.complete(vec![ones(task)]).await.expect("an answer") == [true]
}

pub fn again(counts: bool) -> Retry {
    Retry::Again { after: Duration::ZERO, counts }
}

/// Looks until it is so.
pub async fn until<F: Future<Output = bool>>(what: &str, mut look: impl FnMut() -> F) {
    let deadline = tokio::time::Instant::now() + LONG;
    while !look().await {
        assert!(tokio::time::Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
