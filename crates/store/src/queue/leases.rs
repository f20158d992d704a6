//! Leases: extending them, taking over running jobs, and returning what a dead server held.

use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use muster_core::{InstanceId, RequestId, TaskKey};
use uuid::Uuid;

use crate::db::Ts;
use crate::db::conn::on;
use crate::db::statement::named_row;
use crate::db::text;
use crate::requests::end::{requeued, rest};
use crate::writer::{Tx, work};
use crate::{ClaimedTask, Error, RemoteJob, Store, crash_point};

/// How much longer than its lease a running job of an external server may wait to be picked up.
const ADOPTABLE: Duration = Duration::from_secs(60);

const EXTEND: &str = "UPDATE task SET lease_until = $1 WHERE request_id = $2 AND position = $3 \
     AND attempt = $4 AND state = 'leased' AND instance_id = $5";

const SET_REMOTE_JOB: &str = "UPDATE task SET remote_job = $1 \
     WHERE request_id = $2 AND position = $3 AND attempt = $4 AND state = 'leased'";

const REMOTE_JOBS: &str = "SELECT remote_job, instance_id, model_id, model_version, request_id, position, attempt FROM task \
     WHERE state = 'leased' AND remote_job IS NOT NULL AND instance_id IS NOT NULL AND server_id <> $1 \
     AND NOT EXISTS (SELECT 1 FROM server WHERE server.id = task.server_id AND seen_at > $2) \
     ORDER BY remote_job, instance_id, request_id, position";

const ADOPT: &str = "UPDATE task SET server_id = $1, instance_id = $2, lease_until = $3 \
     WHERE request_id = $4 AND position = $5 AND attempt = $6 AND state = 'leased' \
     AND server_id <> $1 \
     RETURNING inputs, failures, use_cache, input, input_at, input_len, remote_job";

const EXPIRED: &str = "UPDATE task SET state = 'queued', lease_until = NULL, remote_job = NULL, \
     not_before = $1 WHERE state = 'leased' AND (lease_until < $1 AND remote_job IS NULL \
     OR lease_until < $2) RETURNING model_id, instance_id";

/// No retry is put off for so long: the clock was ahead when this was written.
const FAR: Duration = Duration::from_secs(300);

const PUT_OFF: &str = "UPDATE task SET not_before = $1 \
     WHERE state = 'queued' AND not_before > $2 RETURNING model_id";

named_row! {
    struct JobRow {
        job: String,
        instance: Uuid,
        model: String,
        version: String,
        request: Uuid,
        position: i64,
        attempt: i64,
    }
}

named_row! {
    struct AdoptedRow {
        count: i64,
        failures: i64,
        use_cache: bool,
        input: Option<Vec<u8>>,
        input_at: Option<i64>,
        input_len: Option<i64>,
        remote_job: Option<String>,
    }
}

impl Store {
    /// Extends the lease of tasks; returns those that are no longer the instance's.
    pub async fn extend(
        &self,
        instance: InstanceId,
        tasks: &[(TaskKey, u32)],
        lease: Duration,
    ) -> Result<Vec<TaskKey>, Error> {
        let tasks = tasks.to_vec();
        let (op, answer) = work(move |tx: &mut Tx| {
            let tasks = tasks.clone();
            async move {
                let until = tx.now + lease;
                let mut lost = Vec::new();
                for (key, attempt) in tasks {
                    let extended = on!(&mut tx.conn, c => {
                        sqlx::query(EXTEND)
                            .bind(Ts(until))
                            .bind(key.request.0)
                            .bind(i64::from(key.position))
                            .bind(i64::from(attempt))
                            .bind(instance.0)
                            .execute(c)
                            .await?
                            .rows_affected()
                    });
                    if extended == 0 {
                        lost.push(key);
                    }
                }
                Ok(lost)
            }
            .boxed()
        });
        self.answer(op, answer).await
    }

    /// Remembers the id under which an external server works on tasks.
    pub async fn set_remote_job(&self, tasks: &[(TaskKey, u32)], job: &str) -> Result<(), Error> {
        let (tasks, job) = (tasks.to_vec(), text::exact(job)?.to_owned());
        let (op, answer) = work(move |tx: &mut Tx| {
            let (tasks, job) = (tasks.clone(), job.clone());
            async move {
                for (key, attempt) in tasks {
                    on!(&mut tx.conn, c => {
                        sqlx::query(SET_REMOTE_JOB)
                            .bind(&job)
                            .bind(key.request.0)
                            .bind(i64::from(key.position))
                            .bind(i64::from(attempt))
                            .execute(c)
                            .await
                            .map(|_| ())?
                    });
                }
                Ok(())
            }
            .boxed()
        });
        self.answer(op, answer).await
    }

    /// Jobs that servers which are gone left running on external model servers.
    pub async fn running_remote_jobs(&self) -> Result<Vec<RemoteJob>, Error> {
        let alive = self.inner.now() - crate::instances::servers::DEAD_AFTER;
        let mut conn = self.inner.db.read().await?;
        let rows: Vec<JobRow> = on!(&mut conn, c => {
            sqlx::query_as(REMOTE_JOBS)
                .bind(self.inner.server.0)
                .bind(Ts(alive))
                .fetch_all(c)
                .await?
        });
        let mut jobs: Vec<RemoteJob> = Vec::new();
        for JobRow { job, instance, model, version, request, position, attempt } in rows {
            let instance = InstanceId(instance);
            let key = TaskKey { request: RequestId(request), position: position as u32 };
            let task = (key, attempt as u32);
            match jobs.last_mut().filter(|last| (&last.job, last.instance) == (&job, instance)) {
                Some(last) => last.tasks.push(task),
                None => {
                    let model = model.parse().map_err(|_| Error::Corrupt("a model id".into()))?;
                    jobs.push(RemoteJob { job, instance, model, version, tasks: vec![task] });
                }
            }
        }
        Ok(jobs)
    }

    /// Makes this server the owner of a running job; the attempt stays. Tasks that somebody else
    /// took in the meantime are left out.
    pub async fn adopt_remote_job(
        &self,
        instance: InstanceId,
        tasks: &[(TaskKey, u32)],
        lease: Duration,
    ) -> Result<Vec<ClaimedTask>, Error> {
        let (tasks, server) = (tasks.to_vec(), self.inner.server);
        let (op, answer) = work(move |tx: &mut Tx| {
            let tasks = tasks.clone();
            async move {
                let until = tx.now + lease;
                let mut adopted = Vec::new();
                for (key, attempt) in tasks {
                    let row: Option<AdoptedRow> = on!(&mut tx.conn, c => {
                        sqlx::query_as(ADOPT)
                            .bind(server.0)
                            .bind(instance.0)
                            .bind(Ts(until))
                            .bind(key.request.0)
                            .bind(i64::from(key.position))
                            .bind(i64::from(attempt))
                            .fetch_optional(c)
                            .await?
                    });
                    let Some(row) = row else { continue };
                    adopted.push(ClaimedTask {
                        key,
                        attempt,
                        failures: row.failures as u32,
                        count: row.count as u32,
                        inputs: row.input.map(Bytes::from),
                        use_cache: row.use_cache,
                        remote_job: row.remote_job,
                        range: row
                            .input_at
                            .zip(row.input_len)
                            .map(|(at, len)| (at as u64, len as u64)),
                    });
                }
                Ok(adopted)
            }
            .boxed()
        });
        self.answer(op, answer).await
    }

    /// Returns tasks whose lease is over to the queue; says how many. Queued ones that a clock put off
    /// into the future, which then went back, are due now.
    pub async fn release_expired(&self) -> Result<u64, Error> {
        let (op, answer) = work(move |tx: &mut Tx| {
            async move {
                let now = tx.now;
                let lost: Vec<(String, Option<Uuid>)> = on!(&mut tx.conn, c => {
                    sqlx::query_as(EXPIRED)
                        .bind(Ts(now))
                        .bind(Ts(now - ADOPTABLE))
                        .fetch_all(c)
                        .await?
                });
                crash_point("during-lease-release");
                rest(tx, lost.iter().filter_map(|(_, instance)| *instance).collect()).await?;
                let put_off: Vec<String> = on!(&mut tx.conn, c => {
                    sqlx::query_scalar(PUT_OFF).bind(Ts(now)).bind(Ts(now + FAR)).fetch_all(c).await?
                });
                requeued(tx, put_off)?;
                requeued(tx, lost.into_iter().map(|(model, _)| model).collect())
            }
            .boxed()
        });
        self.answer(op, answer).await
    }
}
