//! What must hold after every step, looked up in the database beside the store.

use std::collections::{BTreeMap, HashMap, HashSet};

use muster_core::{InstanceId, Timestamp};
use muster_store::Store;
use sqlx::SqlitePool;
use sqlx::sqlite::SqliteConnectOptions;
use uuid::Uuid;

use crate::ledger::{Notes, Sent};
use crate::models::{CallLog, Models};
use crate::scenario::Scenario;

/// Each invariant as a query for the exceptions; `$1` is now, `$2` since when nothing is broken, in
/// microseconds.
const EXCEPTIONS: &[(&str, &str)] = &[
    (
        "I-02: a request has more than one end, or another than its phase",
        "SELECT 1 FROM request r WHERE (SELECT COUNT(*) FROM transition t WHERE t.request_id = r.id \
         AND t.phase IN ('completed', 'failed', 'cancelled')) <> (r.ended_at IS NOT NULL) \
         OR (r.ended_at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM transition t \
         WHERE t.request_id = r.id AND t.phase = r.phase))",
    ),
    (
        "I-06: a request is not whole",
        "SELECT 1 FROM request r WHERE inputs <> (SELECT COALESCE(SUM(inputs), 0) FROM task \
         WHERE request_id = r.id) OR (SELECT COUNT(*) FROM task WHERE request_id = r.id) <> \
         1 + (SELECT MAX(position) FROM task WHERE request_id = r.id)",
    ),
    (
        "I-09: a completed request lacks results",
        "SELECT 1 FROM request r WHERE phase = 'completed' AND (done <> inputs OR open_tasks <> 0 \
         OR EXISTS (SELECT 1 FROM task WHERE request_id = r.id \
         AND (state <> 'done' OR (result IS NULL) = (result_object IS NULL))))",
    ),
    (
        "I-02: an ended request has tasks that are not over",
        "SELECT 1 FROM request r JOIN task ON request_id = r.id WHERE r.ended_at IS NOT NULL \
         AND state IN ('queued', 'leased')",
    ),
    (
        "I-18: the open tasks of a request are not counted right",
        "SELECT 1 FROM request r WHERE ended_at IS NULL AND open_tasks <> \
         (SELECT COUNT(*) FROM task WHERE request_id = r.id AND state <> 'done')",
    ),
    (
        "I-16: a lease is over and its task is not back",
        "SELECT 1 FROM task WHERE state = 'leased' AND max(lease_until, $2) < $1 - 12000000",
    ),
    (
        "I-17: times run backwards",
        "SELECT 1 FROM request WHERE started_at < submitted_at \
         OR ended_at < COALESCE(started_at, submitted_at) OR ended_at > $1",
    ),
    (
        "I-22: an instance that ended has work",
        "SELECT 1 FROM task JOIN instance ON instance.id = instance_id \
         WHERE task.state = 'leased' AND instance.state = 'ended'",
    ),
    (
        "I-26: idleness is not what the work says",
        "SELECT 1 FROM instance i WHERE state = 'ready' AND idle_since IS NOT NULL \
         AND EXISTS (SELECT 1 FROM task WHERE instance_id = i.id AND state = 'leased')",
    ),
    (
        "an idle instance is not seen as idle",
        "SELECT 1 FROM instance i WHERE state = 'ready' AND idle_since IS NULL \
         AND NOT EXISTS (SELECT 1 FROM task WHERE instance_id = i.id AND state = 'leased')",
    ),
];

/// Looks at the world from outside.
pub struct Watch {
    pool: SqlitePool,
    exceptions: String,
    /// Draining instances and how many jobs they had got.
    draining: HashMap<Uuid, i64>,
}

impl Watch {
    pub async fn open(file: &std::path::Path) -> Self {
        let options = SqliteConnectOptions::new().filename(file);
        let pool = sqlx::sqlite::SqlitePoolOptions::new().max_connections(1);
        let pool = pool.test_before_acquire(false).connect_with(options).await;
        let exists = |(number, (_, query)): (usize, &(&str, &str))| {
            format!("SELECT {number} WHERE EXISTS ({query})")
        };
        let exceptions: Vec<String> = EXCEPTIONS.iter().enumerate().map(exists).collect();
        let exceptions = exceptions.join(" UNION ALL ");
        Self { pool: pool.expect("the database"), exceptions, draining: HashMap::new() }
    }

    pub async fn close(self) {
        self.pool.close().await;
    }

    pub async fn execute(&self, statement: &'static str) {
        sqlx::raw_sql(statement).execute(&self.pool).await.expect("it is done");
    }

    /// The attempt of a task, if it is leased.
    pub async fn attempt(&self, request: Uuid, position: u32) -> Option<u32> {
        let query = "SELECT attempt FROM task WHERE request_id = $1 AND position = $2 \
             AND state = 'leased'";
        let attempt = sqlx::query_scalar(query).bind(request).bind(position);
        attempt.fetch_optional(&self.pool).await.expect("an answer")
    }

    /// Everything that must hold now and does not.
    pub async fn exceptions(
        &mut self,
        (now, whole_since): (Timestamp, Option<Timestamp>),
        notes: &Notes,
        scenario: &Scenario,
    ) -> Vec<String> {
        let mut wrong = Vec::new();
        // One statement: each takes a trip to SQLite's thread.
        let found = sqlx::query_scalar(sqlx::AssertSqlSafe(self.exceptions.clone()));
        // While something is broken it will be whole after every lease.
        let whole_since = whole_since.map_or(i64::MAX, Timestamp::micros);
        let found: Vec<i64> = found
            .bind(now.micros())
            .bind(whole_since)
            .fetch_all(&self.pool)
            .await
            .expect("an answer");
        wrong.extend(found.into_iter().map(|number| EXCEPTIONS[number as usize].0.to_owned()));
        let most = scenario.models.iter().map(|model| model.attempts).max().unwrap_or(0);
        let failures: Option<i64> = self.one("SELECT MAX(failures) FROM task").await;
        if failures.unwrap_or(0) > i64::from(most) {
            wrong.push(format!("I-13: {failures:?} attempts"));
        }
        self.requests(notes, &mut wrong).await;
        self.instances(scenario, &mut wrong).await;
        wrong
    }

    /// What the planner sees of the heads of the queues, and what is there (I-21).
    pub async fn queued(&self, store: &Store, wrong: &mut Vec<String>) {
        let query = "SELECT model_id, inputs FROM task WHERE state = 'queued' \
             ORDER BY model_id, rank, request_id, position";
        let all: Vec<(String, i64)> =
            sqlx::query_as(query).fetch_all(&self.pool).await.expect("an answer");
        let mut there: BTreeMap<String, (i64, i64)> = BTreeMap::new();
        for (model, inputs) in all {
            let id = model.parse().expect("an id");
            let most = store.find_model(&id).map_or(1, |model| model.limits.most_at_once());
            let (tasks, sum) = there.entry(model).or_default();
            if *tasks < most as i64 {
                (*tasks, *sum) = (*tasks + 1, *sum + inputs);
            }
        }
        let mut seen: BTreeMap<String, (i64, i64)> = BTreeMap::new();
        for queue in store.queues().await.expect("an answer") {
            let (tasks, sum) = seen.entry(queue.model.to_string()).or_default();
            (*tasks, *sum) = (*tasks + queue.tasks as i64, *sum + queue.inputs as i64);
        }
        if seen != there {
            wrong.push(format!("I-21: {seen:?} is seen of the queues {there:?}"));
        }
    }

    pub async fn open_requests(&self) -> i64 {
        self.one("SELECT COUNT(*) FROM request WHERE ended_at IS NULL").await
    }

    async fn one<T>(&self, query: &'static str) -> T
    where
        T: for<'r> sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite> + Send + Unpin,
    {
        sqlx::query_scalar(query).fetch_one(&self.pool).await.expect("an answer")
    }

    /// What was acknowledged is there, once, and nothing else (I-01, I-04); ends are final.
    async fn requests(&self, notes: &Notes, wrong: &mut Vec<String>) {
        type Row = (Uuid, String, i64, Option<i64>);
        let rows: Vec<Row> = sqlx::query_as("SELECT id, phase, inputs, ended_at FROM request")
            .fetch_all(&self.pool)
            .await
            .expect("requests");
        let mut rows: HashMap<Uuid, Row> = rows.into_iter().map(|row| (row.0, row)).collect();
        let ledger = notes.lock().expect("no panic");
        for (number, sent) in ledger.sent.iter().enumerate() {
            let of_it: Vec<Row> = sent.ids.iter().filter_map(|id| rows.remove(&id.0)).collect();
            let right = |row: &Row| row.2 == sent.inputs.len() as i64;
            if of_it.len() > 1 || !of_it.iter().all(right) {
                wrong.push(format!("I-04: request {number} is there as {of_it:?}"));
            }
            let Some(id) = sent.acknowledged else { continue };
            match of_it.first() {
                Some(row) if row.0 == id.0 => check_end(number, sent, row, wrong),
                _ => wrong.push(format!("I-01: request {number} was acknowledged and is lost")),
            }
        }
        wrong.extend(rows.keys().map(|id| format!("I-04: nobody sent {id}")));
    }

    /// Never more than the maximum (I-25); a draining one gets nothing new (I-27).
    async fn instances(&mut self, scenario: &Scenario, wrong: &mut Vec<String>) {
        let query = "SELECT id, model_id, state, jobs FROM instance WHERE state <> 'ended'";
        let rows: Vec<(Uuid, String, String, i64)> =
            sqlx::query_as(query).fetch_all(&self.pool).await.expect("instances");
        let models: Vec<&String> = rows.iter().map(|(_, model, ..)| model).collect();
        check_maximum(&models, scenario, wrong);
        let mut draining = HashMap::new();
        for (id, _, state, jobs) in rows {
            if state == "draining" {
                let before = self.draining.get(&id).copied().unwrap_or(jobs);
                if jobs != before {
                    wrong.push("I-27: a draining instance got work".to_owned());
                }
                draining.insert(id, before);
            }
        }
        self.draining = draining;
    }
}

fn check_end(
    number: usize,
    sent: &Sent,
    row: &(Uuid, String, i64, Option<i64>),
    wrong: &mut Vec<String>,
) {
    let Some(end) = &sent.end else { return };
    if end.phase.name() != row.1 {
        let told = end.phase.name();
        wrong.push(format!("I-02: request {number} was {told} and is {}", row.1));
    }
}

fn check_maximum(models: &[&String], scenario: &Scenario, wrong: &mut Vec<String>) {
    if models.len() > scenario.hub_maximum as usize {
        wrong.push(format!("I-25: {} instances", models.len()));
    }
    for (number, spec) in scenario.models.iter().enumerate() {
        let name = format!("m{number}");
        let live = models.iter().filter(|model| ***model == name).count();
        if live > spec.instances as usize {
            wrong.push(format!("I-25: {live} instances of {name}"));
        }
    }
}

/// What must hold of the processes and their calls.
pub fn check_calls(models: &Models, calls: &CallLog, scenario: &Scenario) -> Vec<String> {
    let mut wrong = Vec::new();
    let live = models.live();
    check_maximum(&live.iter().map(|(_, model)| model).collect::<Vec<_>>(), scenario, &mut wrong);
    let calls = calls.lock().expect("no panic");
    let mut busy: HashSet<InstanceId> = HashSet::new();
    let mut inputs: HashSet<&String> = HashSet::new();
    for (number, instance) in &calls.under_way {
        if !busy.insert(*instance) {
            wrong.push("I-26: an instance has two calls at once".to_owned());
        }
        let own = calls.all[*number].iter().filter(|input| !input.starts_with("known"));
        for input in own {
            if !inputs.insert(input) {
                wrong.push(format!("I-12: {input} is worked on twice"));
            }
        }
    }
    wrong
}
