//! Rows of `ended` become part of the stored statistics.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::FutureExt;
use muster_core::Timestamp;
use muster_core::stats::{AuthType, Day, Detail, EndedRequest, Grain, Slot, Tally};
use serde::Serialize;
use uuid::Uuid;

use super::{EndedRow, ended, ended_columns, unreadable};
use crate::batch::{self, Hex};
use crate::db::Ts;
use crate::servers::leads;
use crate::statement::{row, rows, run};
use crate::writer::{Tx, work};
use crate::{Error, Store, dialect};

const TAKE: &str = concat!(
    "DELETE FROM ended WHERE request_id IN \
     (SELECT request_id FROM ended ORDER BY request_id LIMIT $1) RETURNING ",
    ended_columns!()
);

const GRAINS_OF_MODELS: [Grain; 3] = [Grain::Day, Grain::Month, Grain::Year];
const GRAINS_OF_PEOPLE: [Grain; 3] = [Grain::Month, Grain::Year, Grain::Ever];

const ANY: &str = "SELECT EXISTS (SELECT 1 FROM ended)";

/// PostgreSQL passes each row that was folded with every look at `ended`, until it is vacuumed. By
/// itself it does that once a minute, which is late after a burst.
const VACUUM_AFTER: u64 = 20_000;

type Stored<K> = (String, i64, K, Vec<u8>, Vec<u8>, i64, Ts);

/// Stored rows to be, by period and what they are of.
type Cells<K> = HashMap<(Grain, Day, K), Cell>;

struct Cell {
    auth: AuthType,
    total: Tally,
    detail: Detail,
    requests: u64,
    last: Timestamp,
}

/// What one transaction folded.
#[derive(Clone, Copy, Debug, Default)]
pub struct Folded {
    pub requests: u64,
    /// How long everything else that is written waited for it.
    pub held: Duration,
}

/// A row's key, and what is to be put there, as the statements read it.
#[derive(Serialize)]
struct Put<'p> {
    j_grain: &'static str,
    j_period: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    j_model: Option<&'p str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    j_principal: Option<Hex<'p>>,
    #[serde(flatten)]
    figures: Option<Figures<'p>>,
}

#[derive(Serialize)]
struct Figures<'p> {
    j_auth: &'static str,
    j_total: Hex<'p>,
    j_detail: Hex<'p>,
    j_requests: u64,
    j_last: i64,
}

impl Store {
    /// Folds at most so many requests that ended into the statistics, in one transaction; none if
    /// another server plans by now.
    pub async fn fold_ended(&self, most: u32) -> Result<Folded, Error> {
        let mut conn = self.inner.db.read().await?;
        let any: Option<(bool,)> = row!(&mut conn, ANY);
        drop(conn);
        if any == Some((false,)) {
            return Ok(Folded::default());
        }
        let (server, clock) = (self.inner.server, self.inner.clock.clone());
        let (op, answer) = work(move |tx: &mut Tx| {
            let clock = clock.clone();
            async move {
                if !leads(tx, server).await? {
                    return Ok(Folded::default());
                }
                let begun = clock.now();
                let requests = fold(tx, most).await?;
                Ok(Folded { requests, held: clock.now().since(begun) })
            }
            .boxed()
        });
        let folded = self.answer(op, answer).await?;
        self.vacuum_after(folded.requests).await;
        Ok(folded)
    }

    /// Takes rows out of the way that were folded, once they are many.
    async fn vacuum_after(&self, folded: u64) {
        let inner = &self.inner;
        if !inner.db.is_postgres()
            || inner.folded.fetch_add(folded, Ordering::Relaxed) + folded < VACUUM_AFTER
        {
            return;
        }
        inner.folded.store(0, Ordering::Relaxed);
        let vacuumed = async { inner.db.write().await?.command(dialect::VACUUM_POSTGRES).await };
        if let Err(error) = vacuumed.await {
            tracing::debug!(%error, "folded rows are not vacuumed; PostgreSQL does it by itself");
        }
    }
}

async fn fold(tx: &mut Tx, most: u32) -> Result<u64, Error> {
    if tx.conn.is_postgres() {
        run!(&mut tx.conn, dialect::LOCK_FOLDS_POSTGRES);
    }
    let taken: Vec<EndedRow> = rows!(&mut tx.conn, TAKE, i64::from(most));
    let count = taken.len() as u64;
    let (mut models, mut people) = (Cells::<String>::new(), Cells::<Uuid>::new());
    for row in taken {
        let request = ended(row)?;
        for grain in GRAINS_OF_MODELS {
            let key = (grain, request.day().start(grain), request.model.clone());
            add(&mut models, key, &request, Some(slot(&request, "", 0)));
        }
        for grain in GRAINS_OF_PEOPLE {
            let start = request.day().start(grain);
            let day = if grain == Grain::Month { (request.day().0 - start.0) as u16 } else { 0 };
            let slot = (grain != Grain::Ever).then(|| slot(&request, &request.model, day));
            add(&mut people, (grain, start, request.principal.0), &request, slot);
        }
    }
    let statements = dialect::statistics(tx.conn.is_postgres());
    for keys in
        batch::texts(models.keys().map(|(grain, day, model)| of_model(*grain, *day, model)))?
    {
        let found: Vec<Stored<String>> = rows!(&mut tx.conn, statements.models, keys);
        merge(&mut models, found)?;
    }
    for keys in batch::texts(people.keys().map(|(grain, day, id)| of_person(*grain, *day, id)))? {
        let found: Vec<Stored<Uuid>> = rows!(&mut tx.conn, statements.people, keys);
        merge(&mut people, found)?;
    }
    for rows in texts(&models, |grain, day, model| of_model(grain, day, model))? {
        run!(&mut tx.conn, statements.put_models, rows);
    }
    for rows in texts(&people, of_person)? {
        run!(&mut tx.conn, statements.put_people, rows);
    }
    Ok(count)
}

fn slot(request: &EndedRequest, model: &str, day: u16) -> Slot {
    Slot { model: model.to_owned(), day, auth: request.auth, size: request.size() }
}

fn add<K: Hash + Eq>(
    cells: &mut Cells<K>,
    key: (Grain, Day, K),
    request: &EndedRequest,
    slot: Option<Slot>,
) {
    let cell = cells.entry(key).or_insert_with(|| Cell {
        auth: request.auth,
        total: Tally::default(),
        detail: Detail::default(),
        requests: 0,
        last: request.ended_at,
    });
    cell.total.add(request);
    cell.requests += 1;
    cell.last = cell.last.max(request.ended_at);
    if let Some(slot) = slot {
        cell.detail.0.entry(slot).or_default().add(request);
    }
}

fn merge<K: Hash + Eq>(cells: &mut Cells<K>, found: Vec<Stored<K>>) -> Result<(), Error> {
    for (grain, period, key, total, detail, requests, last) in found {
        let grain = [Grain::Day, Grain::Month, Grain::Year, Grain::Ever]
            .into_iter()
            .find(|known| name(*known) == grain)
            .ok_or_else(|| Error::Corrupt("the grain of a statistic".into()))?;
        let Some(cell) = cells.get_mut(&(grain, Day(period as i32), key)) else { continue };
        cell.total.add_encoded(&total).map_err(unreadable)?;
        cell.detail.add_encoded(&detail).map_err(unreadable)?;
        cell.requests += requests as u64;
        cell.last = cell.last.max(last.0);
    }
    Ok(())
}

/// As the database names it.
pub(super) fn name(grain: Grain) -> &'static str {
    match grain {
        Grain::Day => "day",
        Grain::Month => "month",
        Grain::Year => "year",
        Grain::Ever => "ever",
    }
}

fn of_model(grain: Grain, day: Day, model: &str) -> Put<'_> {
    let (j_grain, j_period) = (name(grain), day.0);
    Put { j_grain, j_period, j_model: Some(model), j_principal: None, figures: None }
}

fn of_person(grain: Grain, day: Day, id: &Uuid) -> Put<'_> {
    let (j_grain, j_period, j_principal) = (name(grain), day.0, Some(Hex(id.as_bytes())));
    Put { j_grain, j_period, j_model: None, j_principal, figures: None }
}

/// All cells, as the statements read them.
fn texts<'c, K>(
    cells: &'c Cells<K>,
    key: impl Fn(Grain, Day, &'c K) -> Put<'c>,
) -> Result<Vec<String>, Error> {
    let encoded: Vec<_> = cells
        .iter()
        .map(|(key, cell)| (key, cell, cell.total.encode(), cell.detail.encode()))
        .collect();
    batch::texts(encoded.iter().map(|((grain, day, of), cell, total, detail)| Put {
        figures: Some(Figures {
            j_auth: cell.auth.name(),
            j_total: Hex(total),
            j_detail: Hex(detail),
            j_requests: cell.requests,
            j_last: cell.last.micros(),
        }),
        ..key(*grain, *day, of)
    }))
}
