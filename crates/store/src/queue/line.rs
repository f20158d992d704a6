//! Where requests stand in their model's queue, and how fast it moves.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_core::expect::{Expected, Pace, Served, Work, expect};
use muster_core::rank::ranks;
use muster_core::{Model, ModelId, Phase, Request, RequestId, Timestamp};
use uuid::Uuid;

use super::LAST_STARTS;
use crate::db::Ts;
use crate::db::conn::Conn;
use crate::db::statement::{row, rows};
use crate::{Error, Store};

/// The tasks that are looked at. Who stands behind them waits for long, and is not told for how long.
const MOST: usize = 20_000;

const LINE: &str = "SELECT request_id, inputs, rank FROM task WHERE model_id = $1 AND state = 'queued' \
     AND model_version = $2 ORDER BY rank, request_id, position LIMIT $3";

const AT_WORK: &str = "SELECT CAST(SUM(inputs) AS BIGINT) FROM task WHERE state = 'leased' \
     AND instance_id IN (SELECT id FROM instance WHERE model_id = $1 AND state <> 'ended')";

const ALIVE: &str = "SELECT state, is_preparing, COALESCE(prepared_at, launched_at) FROM instance \
     WHERE model_id = $1 AND model_version = $2 AND state IN ('starting', 'ready')";

/// A job that is not over counts as none; its inputs do not count either.
const LAST_SERVED: &str = "SELECT i.jobs - CASE WHEN i.state <> 'ended' AND i.idle_since IS NULL \
     THEN 1 ELSE 0 END, s.inputs, s.busy FROM instance i \
     JOIN instance_seen s ON s.instance_id = i.id WHERE i.model_id = $1 AND s.inputs > 0 \
     ORDER BY i.id DESC LIMIT 11";

/// A line is looked at once in this time, or in the shorter one for somebody who is not in it yet.
const FRESH: Duration = Duration::from_secs(1);
const FRESHER: Duration = Duration::from_millis(100);
/// Looking takes at most this part of the time, however long a line is.
const SHARE: u32 = 20;

/// How a request that waits stands.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Standing {
    /// Inputs of others that go before its first one; `None`: not known.
    pub ahead_inputs: Option<u64>,
    /// Until it has ended; `None`: not known.
    pub expected: Option<Expected>,
}

/// A model's queue at one moment.
pub(crate) struct Line {
    places: HashMap<RequestId, Place>,
    /// The rank of each task, and the inputs up to and with it.
    ranks: Vec<(Timestamp, u64)>,
    at_work: u64,
    pace: Pace,
    /// How long looking took.
    took: Duration,
}

/// Inputs that are queued before a request's first one, up to and with its last one, and its own.
#[derive(Clone, Copy)]
struct Place {
    before: u64,
    until: u64,
    own: u64,
}

pub(crate) type Lines = HashMap<(ModelId, String), (Instant, Arc<Line>)>;

impl Store {
    /// How far a request that waits is from its end; up to a second old.
    pub async fn standing(&self, request: &Request) -> Result<Standing, Error> {
        if request.phase != Phase::Waiting {
            return Ok(Standing::default());
        }
        let key = (request.model.clone(), request.model_version.clone());
        let line = self.line(key, Some(request.id)).await?;
        let Some(place) = line.places.get(&request.id) else { return Ok(Standing::default()) };
        let ahead_inputs = Some(line.at_work + place.before);
        if place.own + request.progress.done < request.progress.inputs {
            // Some of it stands behind those that were looked at.
            return Ok(Standing { ahead_inputs, expected: None });
        }
        let ahead = place.until - place.own;
        let work = Work { at_work: line.at_work, ahead, own: place.own };
        let waited = self.inner.now().since(request.submitted_at).as_secs_f64();
        Ok(Standing { ahead_inputs, expected: expect(work, &line.pace, waited) })
    }

    /// How long a request of so many inputs would take that somebody without others submits now. Nothing if that is not known.
    pub async fn expected(&self, model: &Model, inputs: u64) -> Result<Option<Expected>, Error> {
        if !model.is_read() {
            return Ok(None);
        }
        let line = self.line((model.id.clone(), model.version.clone()), None).await?;
        let batch = u64::from(model.limits.batch_size.max(1));
        // As it is cut into tasks: the last one says who goes before the end.
        let last = inputs.saturating_sub(1) % batch + 1;
        let sizes = [inputs.saturating_sub(last), last];
        let Some(last) = ranks(self.inner.now(), None, sizes).last() else { return Ok(None) };
        let before = line.ranks.partition_point(|(rank, _)| *rank <= last.start);
        if before == MOST {
            return Ok(None);
        }
        let ahead = before.checked_sub(1).map_or(0, |at| line.ranks[at].1);
        let work = Work { at_work: line.at_work, ahead, own: inputs };
        // Who is held now has waited in vain before.
        let waited = if self.held(&model.id).is_some() { f64::INFINITY } else { 0.0 };
        Ok(expect(work, &line.pace, waited))
    }

    /// `of`: who may be in it.
    async fn line(
        &self,
        key: (ModelId, String),
        of: Option<RequestId>,
    ) -> Result<Arc<Line>, Error> {
        let mut lines = self.inner.lines.lock().await;
        if let Some((at, line)) = lines.get(&key) {
            let is_in_it = of.is_some_and(|id| line.places.contains_key(&id));
            let fresh = if is_in_it { FRESH } else { FRESHER };
            if at.elapsed() < fresh.max(line.took * SHARE) {
                return Ok(Arc::clone(line));
            }
        }
        lines.retain(|_, (at, line)| at.elapsed() < FRESH.max(line.took * SHARE));
        let line = Arc::new(self.read_line(&key).await?);
        lines.insert(key, (Instant::now(), Arc::clone(&line)));
        Ok(line)
    }

    async fn read_line(&self, (model, version): &(ModelId, String)) -> Result<Line, Error> {
        let (id, now, begun) = (model.as_str(), self.inner.now(), Instant::now());
        let mut conn = self.inner.db.read().await?;
        let queued: Vec<(Uuid, i64, Ts)> = rows!(&mut conn, LINE, id, version, MOST as i64);
        let (mut places, mut until) = (HashMap::new(), 0);
        let mut ranks = Vec::with_capacity(queued.len());
        for (request, inputs, rank) in queued {
            let (before, inputs) = (until, inputs as u64);
            until += inputs;
            ranks.push((rank.0, until));
            let new = Place { before, until, own: 0 };
            let place: &mut Place = places.entry(RequestId(request)).or_insert(new);
            place.until = until;
            place.own += inputs;
        }
        let at_work: Option<(Option<i64>,)> = row!(&mut conn, AT_WORK, id);
        let at_work = at_work.and_then(|(inputs,)| inputs).unwrap_or(0) as u64;
        let alive: Vec<(String, bool, Ts)> = rows!(&mut conn, ALIVE, id, version);
        let ready = alive.iter().filter(|(state, ..)| state == "ready").count() as u32;
        let (preparing, starting): (Vec<_>, Vec<_>) =
            alive.iter().filter(|(state, ..)| state == "starting").partition(|(_, it, _)| *it);
        let since = |at: Timestamp| now.since(at).as_secs_f64();
        let starts: Vec<(Ts, Ts)> = rows!(&mut conn, LAST_STARTS, id);
        let limits = self.find_model(model).map(|model| model.limits.clone()).unwrap_or_default();
        let pace = Pace {
            served: last_served(&mut conn, model).await?,
            starts: starts.iter().map(|(from, to)| to.0.since(from.0).as_secs_f64()).collect(),
            ready,
            starting: starting.iter().map(|(.., at)| since(at.0)).collect(),
            preparing: !preparing.is_empty(),
            batch_size: limits.batch_size,
            max_instances: limits.max_instances,
        };
        Ok(Line { places, ranks, at_work, pace, took: begun.elapsed() })
    }
}

/// What the model's last instances did.
pub(super) async fn last_served(conn: &mut Conn, model: &ModelId) -> Result<Vec<Served>, Error> {
    let found: Vec<(i64, i64, i64)> = rows!(conn, LAST_SERVED, model.as_str());
    let served = |(calls, inputs, busy): (i64, i64, i64)| Served {
        calls: calls as u64,
        inputs: inputs as u64,
        busy: Duration::from_micros(busy as u64).as_secs_f64(),
    };
    Ok(found.into_iter().map(served).collect())
}
