//! What administrators see of everybody's requests, and do to them. Nothing that is read here is, or can
//! quote, an input, a result, the name of a file or column, or a person's own words.

mod acts;
mod list;

pub use acts::{Moved, Requeued};
pub use list::{OversightFilter, OversightPage};

use std::collections::HashMap;

use muster_core::request::Progress;
use muster_core::stats::AuthType;
use muster_core::{Cause, InstanceId, ModelId, PhaseName, PrincipalId, RequestId, Timestamp};
use uuid::Uuid;

use crate::db::Ts;
use crate::db::batch::{self, Hex};
use crate::db::conn::Conn;
use crate::db::dialect;
use crate::db::statement::{named_row, rows};
use crate::people::auth;
use crate::requests::{NOBODY, phase};
use crate::{Error, Store};

/// Of so many tasks of each request, the first, a list names the instances.
const TASKS_IN_LIST: i64 = 32;

const STEPS: &str = "SELECT phase, at FROM transition WHERE request_id = $1 ORDER BY version";

/// Everybody's request.
#[derive(Clone, Debug, PartialEq)]
pub struct Overseen {
    pub id: RequestId,
    pub model: ModelId,
    pub model_version: String,
    pub principal: PrincipalId,
    pub auth: AuthType,
    /// The account's user name.
    pub name: Option<String>,
    pub phase: PhaseName,
    pub submitted_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    pub progress: Progress,
    /// Why it did not complete.
    pub cause: Option<Cause>,
    /// The same in words that quote nobody: see [`Cause::harmless`].
    pub error: Option<String>,
    /// How often the task that was tried most was sent to an instance.
    pub attempts: u32,
    /// Which instances its tasks were sent to last; in a list those of its first tasks.
    pub instances: Vec<InstanceId>,
    /// The failed request that this one tries again.
    pub requeued_from: Option<RequestId>,
    /// The request that tries this one again.
    pub requeued_as: Option<RequestId>,
}

/// Everything there is to see of one.
#[derive(Clone, Debug, PartialEq)]
pub struct OverseenWhole {
    pub request: Overseen,
    /// The phases it was in, in order.
    pub steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub phase: PhaseName,
    pub at: Timestamp,
}

named_row! {
    struct OverseenRow {
        id: Uuid,
        model: String,
        model_version: String,
        principal: Uuid,
        kind: String,
        user: Option<String>,
        phase: String,
        submitted_at: Ts,
        started_at: Option<Ts>,
        ended_at: Option<Ts>,
        counts: String,
        cause: Option<String>,
        reason: Option<String>,
        retried: Option<i64>,
        requeued_from: Option<Uuid>,
        requeued_as: Option<Uuid>,
    }
}

impl Store {
    /// Anybody's request, with all its instances.
    pub async fn find_overseen(&self, id: RequestId) -> Result<Option<OverseenWhole>, Error> {
        let mut conn = self.inner.db.read().await?;
        let found = read(&mut conn, &[id.0], i64::MAX).await?.pop();
        let Some(request) = found else { return Ok(None) };
        let noted: Vec<(String, Ts)> = rows!(&mut conn, STEPS, id.0);
        let step = |(name, at): (String, Ts)| Ok(Step { phase: phase(&name)?, at: at.0 });
        let mut steps = noted.into_iter().map(step).collect::<Result<Vec<_>, Error>>()?;
        // The start is noted in the request only: it would be a row more for each.
        if let Some(at) = request.started_at {
            steps.insert(steps.len().min(1), Step { phase: PhaseName::Running, at });
        }
        Ok(Some(OverseenWhole { request, steps }))
    }
}

/// The requests with these ids that there are, in this order.
async fn overseen(conn: &mut Conn, ids: &[Uuid]) -> Result<Vec<Overseen>, Error> {
    read(conn, ids, TASKS_IN_LIST).await
}

async fn read(conn: &mut Conn, ids: &[Uuid], tasks: i64) -> Result<Vec<Overseen>, Error> {
    let statements = dialect::oversight(conn.is_postgres());
    let mut all: HashMap<Uuid, Overseen> = HashMap::new();
    for list in batch::texts(ids.iter().map(|id| Hex(id.as_bytes())))? {
        let found: Vec<OverseenRow> = rows!(conn, statements.read, &list, NOBODY);
        for row in found {
            let request = request(row)?;
            all.insert(request.id.0, request);
        }
        let found: Vec<(Uuid, Uuid)> = rows!(conn, statements.instances, &list, tasks);
        for (id, instance) in found {
            if let Some(request) = all.get_mut(&id) {
                request.instances.push(InstanceId(instance));
            }
        }
    }
    Ok(ids.iter().filter_map(|id| all.remove(id)).collect())
}

fn request(row: OverseenRow) -> Result<Overseen, Error> {
    let counts: [u64; 4] = serde_json::from_str(&row.counts)
        .map_err(|_| Error::Corrupt("the counts of a request".into()))?;
    let [inputs, done, failed, cached] = counts;
    // Without a cause an older server ended it: nobody knows whose words they are.
    let cause: Option<Cause> = row.cause.and_then(|cause| cause.parse().ok());
    Ok(Overseen {
        id: RequestId(row.id),
        model: row.model.parse().map_err(|_| Error::Corrupt("a model id".into()))?,
        model_version: row.model_version,
        principal: PrincipalId(row.principal),
        auth: auth(&row.kind)?,
        name: row.user,
        phase: phase(&row.phase)?,
        submitted_at: row.submitted_at.0,
        started_at: row.started_at.map(|at| at.0),
        ended_at: row.ended_at.map(|at| at.0),
        progress: Progress { inputs, done, failed, cached },
        cause,
        error: cause.zip(row.reason).map(|(cause, reason)| cause.harmless(&reason)),
        attempts: row.retried.map_or(u32::from(row.started_at.is_some()), |most| most as u32),
        instances: Vec::new(),
        requeued_from: row.requeued_from.map(RequestId),
        requeued_as: row.requeued_as.map(RequestId),
    })
}
