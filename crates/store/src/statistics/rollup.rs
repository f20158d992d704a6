//! Rows of `ended` become part of the stored statistics.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::FutureExt;
use muster_core::stats::{AuthType, Day, Detail, EndedRequest, Grain, Slot, Tally};
use muster_core::{ServerId, Timestamp};
use serde::Serialize;
use uuid::Uuid;

use super::{EndedRow, ended, unreadable};
use crate::db::batch::{self, Hex};
use crate::db::dialect;
use crate::db::statement::{row, rows, run};
use crate::instances::servers::leads;
use crate::writer::{Tx, beside, work};
use crate::{Error, Store};

/// The rows that a request counts in: their grains, and which of them are broken down.
const ROWS_OF_MODELS: [(Grain, bool); 5] = [
    (Grain::Day, false),
    (Grain::Month, false),
    (Grain::Year, false),
    (Grain::Day, true),
    (Grain::Month, true),
];
const ROWS_OF_PEOPLE: [(Grain, bool); 4] =
    [(Grain::Month, false), (Grain::Year, false), (Grain::Ever, false), (Grain::Month, true)];

const ANY: &str = "SELECT EXISTS (SELECT 1 FROM ended)";

/// PostgreSQL passes each row that was rolled up with every look at `ended`, until it is vacuumed. By
/// itself it does that once a minute, which is late after a burst.
const VACUUM_AFTER: u64 = 20_000;

/// Grain, period, of what, figures.
type Stored<K> = (String, i64, K, Vec<u8>);

/// What requests add to the stored rows, of models or of people.
struct Cells<K> {
    /// By grain, whether it is broken down, period and what it is of.
    figures: HashMap<(Grain, bool, Day, K), Cell>,
    seen: HashMap<K, Gain>,
}

struct Cell {
    came: Figures,
    /// What is there already; nothing: empty.
    stored: Vec<u8>,
}

enum Figures {
    Total(Box<Tally>),
    Detail(Detail),
}

/// How many more requests of somebody or something ended, and when the last one did.
struct Gain {
    auth: AuthType,
    requests: u64,
    last: Timestamp,
}

/// What one transaction rolled up.
#[derive(Clone, Copy, Debug, Default)]
pub struct RolledUp {
    pub requests: u64,
    /// How long everything else that is written waited for it: on PostgreSQL nothing does.
    pub held: Duration,
}

/// A row's key, as the statements read it.
#[derive(Serialize)]
struct Key<'k> {
    j_of: Cow<'k, str>,
    j_grain: &'static str,
    j_period: i32,
}

/// A whole row.
#[derive(Serialize)]
struct Put<'k> {
    j_of: Cow<'k, str>,
    j_grain: &'static str,
    j_period: i32,
    j_auth: &'static str,
    j_figures: Hex<'k>,
}

/// What came to the requests of a model or person.
#[derive(Serialize)]
struct More<'k> {
    j_of: Cow<'k, str>,
    j_auth: &'static str,
    j_requests: u64,
    j_last: i64,
}

/// What a row is of.
trait Subject: Clone + Eq + Hash {
    fn text(&self) -> Cow<'_, str>;
}

impl Subject for String {
    fn text(&self) -> Cow<'_, str> {
        Cow::Borrowed(self)
    }
}

impl Subject for Uuid {
    fn text(&self) -> Cow<'_, str> {
        Cow::Owned(self.simple().to_string())
    }
}

impl Store {
    /// Rolls at most so many requests that ended up into the statistics, in one transaction; none if
    /// another server plans by now.
    pub async fn roll_up(&self, most: u32) -> Result<RolledUp, Error> {
        let mut conn = self.inner.db.read().await?;
        let any: Option<(bool,)> = row!(&mut conn, ANY);
        drop(conn);
        if any == Some((false,)) {
            return Ok(RolledUp::default());
        }
        let (server, clock) = (self.inner.server, self.inner.clock.clone());
        if self.inner.db.is_postgres() {
            let requests = beside(&self.inner, async |tx| roll_up(tx, server, most).await).await?;
            self.vacuum_after(requests).await;
            return Ok(RolledUp { requests, held: Duration::ZERO });
        }
        let (op, answer) = work(move |tx: &mut Tx| {
            let clock = clock.clone();
            async move {
                let begun = clock.now();
                let requests = roll_up(tx, server, most).await?;
                Ok(RolledUp { requests, held: clock.now().since(begun) })
            }
            .boxed()
        });
        self.answer(op, answer).await
    }

    /// Takes rows out of the way that were rolled up, once they are many.
    async fn vacuum_after(&self, rolled_up: u64) {
        let inner = &self.inner;
        if inner.rolled_up.fetch_add(rolled_up, Ordering::Relaxed) + rolled_up < VACUUM_AFTER {
            return;
        }
        inner.rolled_up.store(0, Ordering::Relaxed);
        let vacuumed = async { inner.db.write().await?.command(dialect::VACUUM_POSTGRES).await };
        if let Err(error) = vacuumed.await {
            tracing::debug!(%error, "rolled up rows are not vacuumed; PostgreSQL does it by itself");
        }
    }
}

async fn roll_up(tx: &mut Tx, server: ServerId, most: u32) -> Result<u64, Error> {
    if !leads(tx, server).await? {
        return Ok(0);
    }
    if tx.conn.is_postgres() {
        run!(&mut tx.conn, dialect::LOCK_FOLDS_POSTGRES);
    }
    let statements = dialect::statistics(tx.conn.is_postgres());
    let taken: Vec<EndedRow> = rows!(&mut tx.conn, statements.take, i64::from(most));
    let count = taken.len() as u64;
    let (mut models, mut people) = (Cells::<String>::default(), Cells::<Uuid>::default());
    for row in taken {
        let request = ended(row)?;
        models.add(&request.model, &ROWS_OF_MODELS, &request, |_| ("", 0));
        people.add(&request.principal.0, &ROWS_OF_PEOPLE, &request, |month| {
            (&request.model, (request.day().0 - month.0) as u16)
        });
    }
    for keys in models.keys()? {
        let found: Vec<Stored<String>> = rows!(&mut tx.conn, statements.models, keys);
        models.found(found)?;
    }
    for keys in people.keys()? {
        let found: Vec<Stored<Uuid>> = rows!(&mut tx.conn, statements.people, keys);
        people.found(found)?;
    }
    for (texts, put) in [
        (models.seen()?, statements.seen_models),
        (people.seen()?, statements.seen_people),
        (models.rows()?, statements.put_models),
        (people.rows()?, statements.put_people),
    ] {
        for rows in texts {
            run!(&mut tx.conn, put, rows);
        }
    }
    Ok(count)
}

impl<K> Default for Cells<K> {
    fn default() -> Self {
        Self { figures: HashMap::new(), seen: HashMap::new() }
    }
}

impl<K: Subject> Cells<K> {
    /// Counts a request in `rows`; `told_apart` says by which model and day of its period it is broken
    /// down.
    fn add<'r>(
        &mut self,
        of: &K,
        rows: &[(Grain, bool)],
        request: &'r EndedRequest,
        told_apart: impl Fn(Day) -> (&'r str, u16),
    ) {
        for (grain, detail) in rows {
            let start = request.day().start(*grain);
            let key = (*grain, *detail, start, of.clone());
            let none = || {
                let came = match detail {
                    true => Figures::Detail(Detail::default()),
                    false => Figures::Total(Box::default()),
                };
                Cell { came, stored: Vec::new() }
            };
            match &mut self.figures.entry(key).or_insert_with(none).came {
                Figures::Total(tally) => tally.add(request),
                Figures::Detail(detail) => {
                    let (model, day) = told_apart(start);
                    let (model, auth) = (model.to_owned(), request.auth);
                    let slot = Slot { model, day, auth, size: request.size() };
                    detail.0.entry(slot).or_default().add(request);
                }
            }
        }
        let (auth, last) = (request.auth, request.ended_at);
        let seen = self.seen.entry(of.clone()).or_insert(Gain { auth, requests: 0, last });
        seen.requests += 1;
        seen.last = seen.last.max(last);
    }

    fn keys(&self) -> Result<Vec<String>, Error> {
        batch::texts(self.figures.keys().map(|(grain, detail, period, of)| Key {
            j_of: of.text(),
            j_grain: name(*grain, *detail),
            j_period: period.0,
        }))
    }

    fn found(&mut self, found: Vec<Stored<K>>) -> Result<(), Error> {
        for (grain, period, of, stored) in found {
            let mut all = ROWS_OF_MODELS.iter().chain(&ROWS_OF_PEOPLE);
            let known = all.find(|(known, detail)| name(*known, *detail) == grain);
            let (grain, detail) =
                *known.ok_or_else(|| Error::Corrupt("the grain of a statistic".into()))?;
            if let Some(cell) = self.figures.get_mut(&(grain, detail, Day(period as i32), of)) {
                cell.stored = stored;
            }
        }
        Ok(())
    }

    /// What is stored, and what came to it.
    fn rows(self) -> Result<Vec<String>, Error> {
        let mut rows = Vec::with_capacity(self.figures.len());
        for (key, Cell { came, stored }) in self.figures {
            let bytes = match came {
                Figures::Total(tally) => tally.encode_with(&stored),
                Figures::Detail(detail) => detail.encode_with(&stored),
            };
            rows.push((key, bytes.map_err(unreadable)?));
        }
        batch::texts(rows.iter().map(|((grain, detail, period, of), bytes)| Put {
            j_of: of.text(),
            j_grain: name(*grain, *detail),
            j_period: period.0,
            j_auth: self.seen[of].auth.name(),
            j_figures: Hex(bytes),
        }))
    }

    fn seen(&self) -> Result<Vec<String>, Error> {
        batch::texts(self.seen.iter().map(|(of, seen)| More {
            j_of: of.text(),
            j_auth: seen.auth.name(),
            j_requests: seen.requests,
            j_last: seen.last.micros(),
        }))
    }
}

/// As the database names rows of this grain: the totals, or what they are broken down to. Longer periods
/// than months are not broken down.
pub(super) fn name(grain: Grain, detail: bool) -> &'static str {
    match (grain, detail) {
        (Grain::Day, false) => "day",
        (Grain::Day, true) => "day detail",
        (Grain::Month, false) => "month",
        (Grain::Month, true) => "month detail",
        (Grain::Year, _) => "year",
        (Grain::Ever, _) => "ever",
    }
}
