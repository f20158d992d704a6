//! Instances as administrators see them: those that run and those that ever ran.

use std::collections::HashMap;

use muster_core::instance::{EndCause, Runs, StateName, StopWork};
use muster_core::news::{Gauge, Usage};
use muster_core::room::DeviceId;
use muster_core::{Amounts, InstanceId, ModelId, PrincipalId, RequestId, ServerId, Timestamp};
use serde_json::Value;
use uuid::Uuid;

use super::room::{asked, devices};
use super::{Served, state};
use crate::db::Ts;
use crate::db::batch;
use crate::db::clock::LATEST;
use crate::db::dialect::{self, record};
use crate::db::statement::{named_row, row, rows};
use crate::db::text::{self, one_of};
use crate::{Error, Store};

const ONE: &str = concat!(record!(), "WHERE i.id = $1");

const SERVED: &str = "SELECT request_id, jobs, inputs, first_at, last_at FROM instance_request \
     WHERE instance_id = $1 AND ($2 IS NULL OR request_id < $2) ORDER BY request_id DESC LIMIT $3";

/// Requests at work that are shown of one instance.
const AT_WORK: usize = 100;
/// Earlier times are in no database.
const EARLIEST: Timestamp = Timestamp::from_micros(0);

/// Which instances to list.
#[derive(Clone, Debug, Default)]
pub struct InstanceFilter {
    /// Those that have ended, not those that run.
    pub ended: bool,
    /// Of one of these; empty: of all.
    pub models: Vec<ModelId>,
    /// In one of these states, or with a pod in one of them, in words of its cluster; empty: in all.
    pub statuses: Vec<String>,
    /// Ended for one of these causes ([`EndCause::NAMES`]); empty: for any, or not at all.
    pub causes: Vec<&'static str>,
    /// Launched then or later.
    pub from: Option<Timestamp>,
    /// Launched then or before.
    pub to: Option<Timestamp>,
    /// Only instances older than this one.
    pub after: Option<(Timestamp, InstanceId)>,
    pub limit: u32,
}

/// An instance, from its launch to its end.
#[derive(Clone, Debug)]
pub struct InstanceRecord {
    pub id: InstanceId,
    pub model: ModelId,
    pub version: String,
    pub slot: u32,
    pub runs: Runs,
    pub server: ServerId,
    pub state: StateName,
    /// Why it was launched.
    pub why: String,
    pub launched_at: Timestamp,
    pub ready_at: Option<Timestamp>,
    /// `None` while it has work.
    pub idle_since: Option<Timestamp>,
    pub end: Option<(Timestamp, EndCause)>,
    pub jobs: u64,
    pub stop: Option<Stop>,
    /// What it asks of its node.
    pub asked: Option<Amounts>,
    /// What of its node is its alone.
    pub devices: Vec<DeviceId>,
    pub seen: Seen,
    /// What it works on now, the first hundred.
    pub requests: Vec<RequestId>,
}

/// An administrator's wish that an instance stops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    pub work: StopWork,
    pub reason: String,
    pub actor: PrincipalId,
    /// The administrator's user name, if the account is still there.
    pub actor_name: Option<String>,
    pub asked_at: Timestamp,
    pub until: Timestamp,
}

/// What was seen of an instance beside its state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    pub node: Option<String>,
    pub pod_status: Option<String>,
    /// What the cluster says of its pod.
    pub pod_message: Option<String>,
    pub pod: Option<Value>,
    /// Microseconds that it worked.
    pub busy: u64,
    pub usage: Usage,
    pub has_log_object: bool,
}

named_row! {
    /// A row of `record!`.
    pub(crate) struct RecordRow {
        id: Uuid,
        model: String,
        version: String,
        slot: i64,
        runs: String,
        server: Uuid,
        state: String,
        why: String,
        launched_at: Ts,
        ready_at: Option<Ts>,
        idle_since: Option<Ts>,
        ended_at: Option<Ts>,
        end_cause: Option<String>,
        jobs: i64,
        stop_work: Option<String>,
        stop_reason: Option<String>,
        stop_actor: Option<Uuid>,
        stop_asked_at: Option<Ts>,
        stop_until: Option<Ts>,
        node: Option<String>,
        asked: Option<String>,
        devices: Option<String>,
        pod_status: Option<String>,
        pod_message: Option<String>,
        pod: Option<String>,
        busy: Option<i64>,
        samples: Option<i64>,
        cpu_now: Option<i64>,
        cpu_peak: Option<i64>,
        cpu_sum: Option<i64>,
        memory_now: Option<i64>,
        memory_peak: Option<i64>,
        memory_sum: Option<i64>,
        has_log_object: bool,
        stop_actor_name: Option<String>,
    }
}

named_row! {
    struct ServedRow {
        request: Uuid,
        jobs: i64,
        inputs: i64,
        first_at: Ts,
        last_at: Ts,
    }
}

impl Store {
    /// The newest first.
    pub async fn list_instances(
        &self,
        filter: &InstanceFilter,
    ) -> Result<Vec<InstanceRecord>, Error> {
        let models: Vec<&str> = filter.models.iter().map(ModelId::as_str).collect();
        let statuses: Vec<&str> =
            filter.statuses.iter().map(|status| text::exact(status)).collect::<Result<_, _>>()?;
        let from = filter.from.unwrap_or(EARLIEST).clamp(EARLIEST, LATEST);
        let to = filter.to.map_or(LATEST, |to| to + std::time::Duration::from_micros(1));
        let before = (to.clamp(EARLIEST, LATEST), InstanceId(Uuid::nil()));
        let before = filter.after.map_or(before, |after| after.min(before));
        let mut conn = self.inner.db.read().await?;
        let list = dialect::list_instances(conn.is_postgres(), filter.ended);
        let found: Vec<RecordRow> = rows!(
            &mut conn,
            list,
            one_of(&models),
            one_of(&statuses),
            one_of(&filter.causes),
            Ts(from),
            Ts(before.0),
            before.1.0,
            i64::from(filter.limit),
        );
        let mut records = found.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
        drop(conn);
        self.add_requests(&mut records).await?;
        Ok(records)
    }

    pub async fn find_instance(&self, id: InstanceId) -> Result<Option<InstanceRecord>, Error> {
        let mut conn = self.inner.db.read().await?;
        let found: Option<RecordRow> = row!(&mut conn, ONE, id.0);
        drop(conn);
        let Some(found) = found else { return Ok(None) };
        let mut records = [read(found)?];
        self.add_requests(&mut records).await?;
        let [record] = records;
        Ok(Some(record))
    }

    /// The newest thousand requests that an instance worked on, the newest first.
    pub async fn instance_requests(
        &self,
        id: InstanceId,
        after: Option<RequestId>,
        limit: u32,
    ) -> Result<Vec<Served>, Error> {
        let mut conn = self.inner.db.read().await?;
        let after = after.map(|after| after.0);
        let found: Vec<ServedRow> = rows!(&mut conn, SERVED, id.0, after, i64::from(limit));
        let served = |row: ServedRow| Served {
            request: RequestId(row.request),
            jobs: row.jobs as u64,
            inputs: row.inputs as u64,
            first_at: row.first_at.0,
            last_at: row.last_at.0,
        };
        Ok(found.into_iter().map(served).collect())
    }

    /// What they work on at the moment.
    async fn add_requests(&self, records: &mut [InstanceRecord]) -> Result<(), Error> {
        let busy = records.iter().filter(|record| record.end.is_none());
        let ids: Vec<String> = busy.map(|record| record.id.0.simple().to_string()).collect();
        let mut at_work: HashMap<Uuid, Vec<RequestId>> = HashMap::new();
        let at_work_of = dialect::at_work(self.inner.db.is_postgres());
        let mut conn = self.inner.db.read().await?;
        for ids in batch::texts(ids)? {
            let some: Vec<(Uuid, Uuid)> = rows!(&mut conn, at_work_of, ids);
            for (instance, request) in some {
                at_work.entry(instance).or_default().push(RequestId(request));
            }
        }
        for record in records {
            record.requests = at_work.remove(&record.id.0).unwrap_or_default();
            record.requests.sort();
            record.requests.truncate(AT_WORK);
        }
        Ok(())
    }
}

fn read(row: RecordRow) -> Result<InstanceRecord, Error> {
    let corrupt = |what: &str| Error::Corrupt(what.into());
    let end = match (row.ended_at, row.end_cause) {
        (Some(at), Some(cause)) => {
            let cause: EndCause =
                serde_json::from_str(&cause).map_err(|_| corrupt("why an instance ended"))?;
            // Written before the log had a place of its own.
            Some((at.0, cause.without_words()))
        }
        _ => None,
    };
    let stop = (row.stop_work, row.stop_reason, row.stop_actor, row.stop_asked_at, row.stop_until);
    let stop = match stop {
        (Some(work), Some(reason), Some(actor), Some(asked), Some(until)) => Some(Stop {
            work: work.parse().map_err(|_| corrupt("a stop"))?,
            reason,
            actor: PrincipalId(actor),
            actor_name: row.stop_actor_name,
            asked_at: asked.0,
            until: until.0,
        }),
        _ => None,
    };
    let pod = row.pod.map(|pod| serde_json::from_str(&pod)).transpose();
    // Nothing was seen of it yet.
    let number = |number: Option<i64>| number.unwrap_or(0) as u64;
    let gauge = |now, peak, sum| Gauge { now: number(now), peak: number(peak), sum: number(sum) };
    let usage = Usage {
        samples: number(row.samples),
        cpu: gauge(row.cpu_now, row.cpu_peak, row.cpu_sum),
        memory: gauge(row.memory_now, row.memory_peak, row.memory_sum),
    };
    Ok(InstanceRecord {
        id: InstanceId(row.id),
        model: row.model.parse().map_err(|_| corrupt("a model id"))?,
        version: row.version,
        slot: row.slot as u32,
        runs: super::runs(&row.runs)?,
        server: ServerId(row.server),
        state: state(&row.state)?,
        why: row.why,
        launched_at: row.launched_at.0,
        ready_at: row.ready_at.map(|at| at.0),
        idle_since: row.idle_since.map(|at| at.0),
        end,
        jobs: row.jobs as u64,
        stop,
        asked: asked(row.asked.as_deref())?,
        devices: devices(row.devices.as_deref())?,
        seen: Seen {
            node: row.node,
            pod_status: row.pod_status,
            pod_message: row.pod_message.filter(|message| !message.is_empty()),
            pod: pod.map_err(|_| corrupt("a pod"))?,
            busy: number(row.busy),
            usage,
            has_log_object: row.has_log_object,
        },
        requests: Vec::new(),
    })
}
