//! What the hub stored, read from its database and its objects without its code.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use muster_core::{Cell, Part, Row};
use sha2::{Digest, Sha256};
use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{PgPool, SqlitePool};
use uuid::Uuid;

use crate::Result;

/// A request and all that belongs to it.
#[derive(Clone, Debug)]
pub struct Request {
    pub id: String,
    pub key: Option<String>,
    pub phase: String,
    pub inputs: u64,
    /// How often it ended, as its transitions tell.
    pub ends: u64,
    pub tasks: Vec<Task>,
    /// What is wrong with its objects.
    pub damage: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct Task {
    pub state: String,
    pub attempt: u64,
    pub inputs: Vec<String>,
    /// The column `echo` of each row, as far as the rows are in the database.
    pub echoes: Option<Vec<Option<String>>>,
    /// How many inputs it says it has.
    pub count: u64,
}

/// Bytes of the seal that ends each task's inputs in an object.
const SEAL: usize = 32;

pub enum Database {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

macro_rules! all {
    ($database:expr, $sql:expr) => {
        match $database {
            Database::Sqlite(pool) => sqlx::query_as($sql).fetch_all(pool).await?,
            Database::Postgres(pool) => sqlx::query_as($sql).fetch_all(pool).await?,
        }
    };
}

const REQUESTS: &str = "SELECT id, phase, inputs, idempotency_key, input_object, input_sha \
     FROM request ORDER BY id";

const ENDS: &str = "SELECT request_id, COUNT(*) FROM transition \
     WHERE phase IN ('completed', 'failed', 'cancelled') GROUP BY request_id";

const TASKS: &str = "SELECT request_id, state, inputs, attempt, input, input_at, input_len, result, \
     result_object, result_sha FROM task ORDER BY request_id, position";

type RequestRow = (Uuid, String, i64, Option<String>, Option<String>, Option<Vec<u8>>);
type Bytes = Option<Vec<u8>>;
type TaskRow =
    (Uuid, String, i64, i64, Bytes, Option<i64>, Option<i64>, Bytes, Option<String>, Bytes);

impl Database {
    /// `sqlite:FILE`, or the URL of a PostgreSQL database.
    pub async fn open(url: &str, schema: &str) -> Result<Self> {
        if let Some(file) = url.strip_prefix("sqlite:") {
            let options = SqliteConnectOptions::new().filename(file).pragma("query_only", "on");
            let pool = SqlitePoolOptions::new().max_connections(1);
            return Ok(Self::Sqlite(pool.connect_with(options).await?));
        }
        if !schema.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err("that is not the name of a schema".into());
        }
        let pool = PgPoolOptions::new().max_connections(1).connect(url).await?;
        let path = format!("SET search_path TO \"{schema}\"");
        sqlx::query(sqlx::AssertSqlSafe(path)).execute(&pool).await?;
        Ok(Self::Postgres(pool))
    }

    pub async fn requests(&self, objects: &Path) -> Result<Vec<Request>> {
        let found: Vec<RequestRow> = all!(self, REQUESTS);
        let ends: Vec<(Uuid, i64)> = all!(self, ENDS);
        let ends: HashMap<Uuid, i64> = ends.into_iter().collect();
        let tasks: Vec<TaskRow> = all!(self, TASKS);
        let mut tasks = tasks.into_iter().peekable();
        let mut requests = Vec::with_capacity(found.len());
        for (id, phase, inputs, key, object, sha) in found {
            let mut damage = Vec::new();
            let input = object.map(|path| Object::read(objects, &path, sha.as_deref()));
            let input = input.transpose().unwrap_or_else(|error| {
                damage.push(error);
                None
            });
            let mut own = Vec::new();
            while let Some(row) = tasks.next_if(|row| row.0 == id) {
                own.push(task(row, input.as_ref(), objects, &mut damage));
            }
            let ends = ends.get(&id).copied().unwrap_or(0) as u64;
            let id = id.to_string();
            requests.push(Request {
                id,
                key,
                phase,
                inputs: inputs as u64,
                ends,
                tasks: own,
                damage,
            });
        }
        Ok(requests)
    }

    pub async fn close(self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

struct Object(Vec<u8>);

impl Object {
    fn read(folder: &Path, path: &str, sha: Option<&[u8]>) -> std::result::Result<Self, String> {
        let file: PathBuf = folder.join(path);
        let bytes = std::fs::read(file).map_err(|error| format!("object {path}: {error}"))?;
        let found: [u8; 32] = Sha256::digest(&bytes).into();
        if sha != Some(&found[..]) {
            return Err(format!("object {path} is not what was written"));
        }
        Ok(Self(bytes))
    }

    /// A range without the seal behind it: the checksum of the whole object is looked at.
    fn slice(&self, at: i64, len: i64) -> Option<&[u8]> {
        let (at, len) = (usize::try_from(at).ok()?, usize::try_from(len).ok()?.checked_sub(SEAL)?);
        self.0.get(at..at.checked_add(len)?)
    }
}

fn task(row: TaskRow, input: Option<&Object>, objects: &Path, damage: &mut Vec<String>) -> Task {
    let (_, state, count, attempt, inline, at, len, result, object, sha) = row;
    let from_object = || input?.slice(at?, len?);
    let array = inline.as_deref().or_else(from_object);
    let inputs = array.and_then(|array| serde_json::from_slice(array).ok());
    if inputs.is_none() {
        damage.push("the inputs of a task cannot be read".to_owned());
    }
    if let Some(path) = object
        && let Err(error) = Object::read(objects, &path, sha.as_deref())
    {
        damage.push(error);
    }
    let echoes = result.map(|bytes| {
        let part = serde_json::from_slice::<Part>(&bytes);
        part.map(|part| echoes(&part)).unwrap_or_else(|error| {
            damage.push(format!("a result cannot be read: {error}"));
            Vec::new()
        })
    });
    let inputs = inputs.unwrap_or_default();
    Task { state, attempt: attempt as u64, inputs, echoes, count: count as u64 }
}

fn echoes(part: &Part) -> Vec<Option<String>> {
    let place = part.columns.iter().position(|(name, _)| name == "echo");
    let echo = |row: &Row| match row {
        Row::Values(cells) => match cells.get(place?)? {
            Cell::Text(text) => Some(text.clone()),
            _ => None,
        },
        Row::Error(_) => None,
    };
    part.rows.iter().map(echo).collect()
}
