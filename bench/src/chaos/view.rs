//! The hub's database while it runs, seen from outside with SQL of our own.

use std::path::PathBuf;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};
use uuid::Uuid;

use crate::Result;

const PHASES: &str = "SELECT phase, COUNT(*) FROM request GROUP BY phase";

const LEASED: &str = "SELECT request_id, position, attempt, instance_id, remote_job FROM task \
     WHERE state = 'leased'";

const INSTANCES: &str = "SELECT id, model_id FROM instance WHERE state <> 'ended'";

const LEADER: &str = "SELECT server_id, epoch FROM leader WHERE duty = 'plan'";

const ACTIVITY: &str = "SELECT concat_ws(' ', state, 'since', state_change::text, wait_event_type, \
     wait_event, 'behind', pg_blocking_pids(pid)::text, left(query, 120)) \
     FROM pg_stat_activity WHERE application_name = 'muster'";

const OPEN: &str = "SELECT r.id, r.model_id, t.position, t.state, t.attempt, t.failures, \
     t.instance_id, t.remote_job, CAST(t.lease_until AS TEXT), CAST(t.not_before AS TEXT) \
     FROM request r JOIN task t ON t.request_id = r.id \
     WHERE r.phase IN ('waiting', 'running') AND t.state IN ('queued', 'leased') \
     ORDER BY r.id, t.position LIMIT 20";

const REASONS: &str = "SELECT COALESCE(reason, ''), COUNT(*) FROM request WHERE phase = 'failed' \
     GROUP BY reason ORDER BY 2 DESC LIMIT 10";

pub type Leased = (Uuid, i64, i64, Option<Uuid>, Option<String>);

pub enum View {
    /// Opened anew each time: a hub that was killed must find the file without company.
    Sqlite(PathBuf),
    Postgres(Box<PgConnectOptions>),
}

macro_rules! all {
    ($view:expr, $sql:expr) => {
        match $view {
            View::Sqlite(file) => {
                let options = SqliteConnectOptions::new().filename(file).read_only(true);
                let mut conn: SqliteConnection =
                    options.disable_statement_logging().connect().await?;
                let found = sqlx::query_as($sql).fetch_all(&mut conn).await;
                conn.close().await?;
                found?
            }
            View::Postgres(options) => {
                let mut conn: PgConnection = options.connect().await?;
                let found = sqlx::query_as($sql).fetch_all(&mut conn).await;
                conn.close().await?;
                found?
            }
        }
    };
}

impl View {
    /// `sqlite:FILE`, or the URL of a PostgreSQL database.
    pub fn new(url: &str) -> Result<Self> {
        Ok(match url.strip_prefix("sqlite:") {
            Some(file) => Self::Sqlite(file.into()),
            None => {
                let options: PgConnectOptions = url.parse()?;
                Self::Postgres(Box::new(options.disable_statement_logging()))
            }
        })
    }

    /// How many requests ended, and how many did not.
    pub async fn counts(&self) -> Result<(u64, u64)> {
        let phases: Vec<(String, i64)> = all!(self, PHASES);
        let of = |open: bool| {
            let some = phases.iter().filter(|(p, _)| matches!(&**p, "waiting" | "running") == open);
            some.map(|(_, count)| *count as u64).sum()
        };
        Ok((of(false), of(true)))
    }

    pub async fn leased(&self) -> Result<Vec<Leased>> {
        Ok(all!(self, LEASED))
    }

    /// Instances that did not end, and their models.
    pub async fn instances(&self) -> Result<Vec<(Uuid, String)>> {
        Ok(all!(self, INSTANCES))
    }

    /// Which server plans, and how often that changed. Only PostgreSQL has several.
    pub async fn leader(&self) -> Result<(String, i64)> {
        let rows: Vec<(Uuid, i64)> = all!(self, LEADER);
        let (server, epoch) = rows.first().ok_or("nobody plans")?;
        Ok((server.to_string(), *epoch))
    }

    /// Who waits for whom in PostgreSQL, for people.
    pub async fn activity(&self) -> Result<String> {
        let rows: Vec<(String,)> = all!(self, ACTIVITY);
        Ok(rows.into_iter().map(|(row,)| row).collect::<Vec<String>>().join("; "))
    }

    /// Does a job of this request run at a server elsewhere?
    pub async fn has_remote_job(&self, request: &str) -> Result<bool> {
        let request: Uuid = request.parse()?;
        Ok(self.leased().await?.iter().any(|(id, .., job)| *id == request && job.is_some()))
    }

    /// What hangs, for people.
    pub async fn open_requests(&self) -> Result<Vec<String>> {
        type Row = (
            Uuid,
            String,
            i64,
            String,
            i64,
            i64,
            Option<Uuid>,
            Option<String>,
            Option<String>,
            Option<String>,
        );
        let rows: Vec<Row> = all!(self, OPEN);
        let words = |row: Row| {
            let (id, model, position, state, attempt, failures, instance, job, until, due) = row;
            format!(
                "request {id} of {model}: task {position} is {state}, attempt {attempt}, failures \
                 {failures}, instance {instance:?}, remote job {job:?}, lease until {until:?}, not \
                 before {due:?}"
            )
        };
        Ok(rows.into_iter().map(words).collect())
    }

    /// Why requests failed, and how many.
    pub async fn failures(&self) -> Result<Vec<(String, i64)>> {
        Ok(all!(self, REASONS))
    }
}
