//! What waits: for the planner, and for people who want to know.

pub mod claim;
pub mod complete;
pub mod leases;
pub(crate) mod line;
pub(crate) mod unseen;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures::FutureExt;
use muster_core::expect::inputs_per_second;
use muster_core::{Cause, Ended, ModelId, PhaseName, RequestId};
use tokio::sync::watch;
use uuid::Uuid;

use crate::db::Ts;
use crate::db::conn::on;
use crate::db::statement::{named_row, row, rows};
use crate::db::text;
use crate::instances::servers::leads;
use crate::requests::end::end;
use crate::requests::phase;
use crate::writer::pace::{Pace, Took};
use crate::writer::{Tx, work};
use crate::{Error, Figures, Queue, Store};

type Times = Vec<(Ts, Ts)>;

const FIGURES_FRESH: Duration = Duration::from_secs(1);

/// Models of which something is queued: each is one step in an index, however much waits.
const QUEUED: &str = "WITH RECURSIVE queued(id) AS \
     (SELECT MIN(model_id) FROM task WHERE state = 'queued' UNION ALL \
     SELECT (SELECT MIN(model_id) FROM task WHERE state = 'queued' AND model_id > queued.id) \
     FROM queued WHERE id IS NOT NULL) SELECT id FROM queued WHERE id IS NOT NULL";

/// The first tasks of a model, by version.
const HEAD: &str = "SELECT model_version, COUNT(*), CAST(SUM(inputs) AS BIGINT), MIN(submitted_at), \
     MIN(not_before) FROM (SELECT model_version, inputs, not_before, \
     (SELECT submitted_at FROM request WHERE id = task.request_id) AS submitted_at FROM task \
     WHERE model_id = $1 AND state = 'queued' ORDER BY rank, request_id, position LIMIT $2) AS head \
     GROUP BY model_version";

const DUE: &str = "SELECT MIN(not_before) FROM task WHERE model_id = $1 AND state = 'queued' \
     AND model_version = $2";

/// Some of the requests that nothing runs of. One that is open and of which nothing is leased waits.
const WAITING: &str = "SELECT id FROM request WHERE model_id = $1 AND model_version = $2 \
     AND id > $3 AND ended_at IS NULL AND submitted_at <= $4 AND NOT EXISTS (SELECT 1 FROM task \
     WHERE task.request_id = request.id AND task.state = 'leased') ORDER BY id LIMIT $5";

const HELD: &str = "UPDATE model SET held = $1 WHERE id = $2";

const READ_HELD: &str = "SELECT id, held FROM model WHERE held IS NOT NULL";

const OPEN: &str = "SELECT model_id, phase, COUNT(*) FROM request \
     WHERE ended_at IS NULL GROUP BY model_id, phase";

const LAST_COMPLETED: &str = "SELECT submitted_at, ended_at FROM request \
     WHERE model_id = $1 AND phase = 'completed' AND ended_at IS NOT NULL \
     ORDER BY ended_at DESC LIMIT 101";

const LAST_STARTS: &str = "SELECT COALESCE(prepared_at, launched_at), ready_at FROM instance \
     WHERE model_id = $1 AND ready_at IS NOT NULL ORDER BY id DESC LIMIT 21";

named_row! {
    struct HeadRow {
        version: String,
        tasks: i64,
        inputs: i64,
        oldest: Ts,
        due: Ts,
    }
}

impl Store {
    /// The waiting tasks of each version of a model that has some: of each model the first ones, as many
    /// as its instances can be given together. More would change nothing that is planned.
    pub async fn queues(&self) -> Result<Vec<Queue>, Error> {
        let mut conn = self.inner.db.read().await?;
        let queued: Vec<(String,)> = rows!(&mut conn, QUEUED);
        let mut queues = Vec::new();
        for (id,) in queued {
            let model: ModelId = id.parse().map_err(|_| Error::Corrupt("a model id".into()))?;
            let most = self.find_model(&model).map_or(1, |model| model.limits.most_at_once());
            let most = i64::try_from(most).unwrap_or(i64::MAX);
            let head: Vec<HeadRow> = rows!(&mut conn, HEAD, &id, most);
            let counted: i64 = head.iter().map(|row| row.tasks).sum();
            for HeadRow { version, tasks, inputs, oldest, due } in head {
                let mut due = due.0;
                if due > self.inner.now() && counted == most {
                    // Those behind them may have to wait less.
                    let first: Option<(Option<Ts>,)> = row!(&mut conn, DUE, &id, &version);
                    due = first.and_then(|(first,)| first).map_or(due, |first| first.0);
                }
                let (tasks, inputs, oldest) = (tasks as u64, inputs as u64, oldest.0);
                queues.push(Queue { model: model.clone(), version, tasks, inputs, oldest, due });
            }
        }
        Ok(queues)
    }

    /// Requests of this version of the model that wait now, and of which nothing runs, fail with the
    /// reason, some at a time; no more of them once another server plans.
    pub async fn fail_waiting(
        &self,
        model: &ModelId,
        version: &str,
        reason: &str,
    ) -> Result<u64, Error> {
        let (model, version, reason) =
            (model.clone(), text::exact(version)?.to_owned(), reason.to_owned());
        let (server, until) = (self.inner.server, self.inner.now());
        let (mut pace, mut after, mut failed) = (Pace::default(), Uuid::nil(), 0);
        loop {
            let most = pace.rows() as i64;
            let (model, version, reason) = (model.clone(), version.clone(), reason.clone());
            let (op, answer) = work(move |tx: &mut Tx| {
                let (model, version, reason) = (model.clone(), version.clone(), reason.clone());
                async move {
                    let begun = Instant::now();
                    if !leads(tx, server).await? {
                        return Ok(None);
                    }
                    let (id, until) = (model.as_str(), Ts(until));
                    let waiting: Vec<(Uuid,)> =
                        rows!(&mut tx.conn, WAITING, id, &version, after, until, most);
                    let mut failed = 0;
                    for (id,) in &waiting {
                        let how = Ended::Failed { reason: reason.clone() };
                        failed += u64::from(end(tx, RequestId(*id), how, Cause::NotStarted).await?);
                    }
                    let last = waiting.last().map(|(id,)| (*id, Took::since(begun)));
                    Ok(last.map(|(last, took)| (last, failed, took)))
                }
                .boxed()
            });
            let Some((last, some, took)) = self.answer(op, answer).await? else { break };
            after = last;
            failed += some;
            self.inner.counters.failed.add(some);
            pace.rest(took).await;
        }
        Ok(failed)
    }

    /// Why the models' requests wait; the others are not held. Writes only what changed, and tells the
    /// other servers.
    pub async fn set_held(&self, held: Vec<(ModelId, String)>) -> Result<(), Error> {
        let held: HashMap<ModelId, String> =
            held.into_iter().map(|(model, why)| (model, text::words(&why))).collect();
        let changed: Vec<(ModelId, Option<String>)> = {
            let old = self.inner.held.borrow();
            let new = held.iter().filter(|(model, why)| old.get(*model) != Some(*why));
            let gone = old.keys().filter(|model| !held.contains_key(*model));
            let new = new.map(|(model, why)| (model.clone(), Some(why.clone())));
            new.chain(gone.map(|model| (model.clone(), None))).collect()
        };
        if changed.is_empty() {
            return Ok(());
        }
        let (op, answer) = work(move |tx: &mut Tx| {
            let changed = changed.clone();
            async move {
                for (model, why) in changed {
                    on!(&mut tx.conn, c => {
                        sqlx::query(HELD)
                            .bind(why.as_deref())
                            .bind(model.as_str())
                            .execute(c)
                            .await
                            .map(|_| ())?
                    });
                }
                tx.after.elsewhere = true;
                Ok(())
            }
            .boxed()
        });
        self.answer(op, answer).await?;
        self.inner.held.send_replace(held);
        Ok(())
    }

    /// Reads why the models' requests wait: whichever server plans wrote it down.
    pub(crate) async fn read_held(&self) -> Result<(), Error> {
        let mut conn = self.inner.db.read().await?;
        let found: Vec<(String, String)> = rows!(&mut conn, READ_HELD);
        let held = found.into_iter().filter_map(|(id, why)| Some((id.parse().ok()?, why)));
        let held: HashMap<ModelId, String> = held.collect();
        self.inner.held.send_replace(held);
        Ok(())
    }

    /// Why the model's requests wait, in words for a user.
    pub fn held(&self, model: &ModelId) -> Option<String> {
        self.inner.held.borrow().get(model).cloned()
    }

    /// Changes whenever it is known anew why requests wait.
    pub fn held_changed(&self) -> watch::Receiver<HashMap<ModelId, String>> {
        self.inner.held.subscribe()
    }

    /// What newcomers want to know of each model; up to a second old.
    pub async fn model_figures(&self) -> Result<HashMap<ModelId, Figures>, Error> {
        let mut cache = self.inner.figures.lock().await;
        if let Some((at, figures)) = &*cache
            && at.elapsed() < FIGURES_FRESH
        {
            return Ok(figures.clone());
        }
        let figures = self.read_figures().await?;
        *cache = Some((Instant::now(), figures.clone()));
        Ok(figures)
    }

    async fn read_figures(&self) -> Result<HashMap<ModelId, Figures>, Error> {
        let weeks = self.weeks().await?;
        let mut figures: HashMap<ModelId, Figures> = HashMap::new();
        let mut conn = self.inner.db.read().await?;
        let open: Vec<(String, String, i64)> =
            on!(&mut conn, c => sqlx::query_as(OPEN).fetch_all(c).await?);
        for (model, name, count) in open {
            let Ok(model) = model.parse() else { continue };
            let figure = figures.entry(model).or_default();
            match phase(&name)? {
                PhaseName::Waiting => figure.waiting = count as u64,
                _ => figure.running = count as u64,
            }
        }
        for model in self.models().iter() {
            let (ended, started): (Times, Times) = on!(&mut conn, c => {
                let id = model.id.as_str();
                let ended = sqlx::query_as(LAST_COMPLETED).bind(id).fetch_all(&mut *c).await?;
                (ended, sqlx::query_as(LAST_STARTS).bind(id).fetch_all(c).await?)
            });
            let figure = figures.entry(model.id.clone()).or_default();
            figure.p50_seconds = median(&ended);
            figure.start_seconds = median(&started);
            let served = line::last_served(&mut conn, &model.id).await?;
            figure.inputs_per_second = inputs_per_second(&served);
            figure.week = weeks.get(&model.id).copied().unwrap_or_default();
        }
        Ok(figures)
    }
}

/// Median of the times between two moments, seconds.
fn median(times: &[(Ts, Ts)]) -> Option<f64> {
    let mut seconds: Vec<f64> = times.iter().map(|(a, b)| b.0.since(a.0).as_secs_f64()).collect();
    seconds.sort_by(f64::total_cmp);
    seconds.get(seconds.len() / 2).copied()
}
