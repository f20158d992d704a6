//! When predictions were used last. That is kept by the day: an input that is answered reads it with the
//! prediction, and notes in memory what was not used yet on this day. It is written down later, once a day
//! for each prediction; what a server that is killed did not write down yet is noted when it is used next.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use futures::FutureExt;
use muster_core::ModelId;
use muster_core::stats::Day;
use serde::Serialize;

use crate::db::batch::{self, Hex};
use crate::db::dialect;
use crate::db::statement::run;
use crate::writer::pace::{Took, pause};
use crate::writer::{Tx, work};
use crate::{Error, Inner, Store};

/// Most predictions in memory; further ones are noted when they are used again.
const MOST: usize = 50_000;
/// Written down in one transaction.
const AT_ONCE: usize = 100;

type Key = (ModelId, String, [u8; 32]);

#[derive(Default)]
pub(crate) struct Used(Mutex<HashSet<Key>>);

/// A prediction, as `Clearing::used` reads it.
#[derive(Serialize)]
struct UsedRow<'u> {
    j_model: &'u str,
    j_version: &'u str,
    j_hash: Hex<'u>,
}

impl Inner {
    /// A prediction answered an input; it is known to have done so on the day `used_on`.
    pub(crate) fn note_used(&self, model: &ModelId, version: &str, hash: &[u8; 32], used_on: i64) {
        if used_on >= i64::from(Day::of(self.now()).0) {
            return;
        }
        let mut used = self.used.0.lock().unwrap_or_else(PoisonError::into_inner);
        if used.len() < MOST {
            used.insert((model.clone(), version.to_owned(), *hash));
        }
    }
}

impl Store {
    /// Writes down which predictions were used today.
    pub async fn write_used(&self) -> Result<(), Error> {
        let used = &self.inner.used.0;
        let used = std::mem::take(&mut *used.lock().unwrap_or_else(PoisonError::into_inner));
        let used: Vec<Key> = used.into_iter().collect();
        for some in used.chunks(AT_ONCE) {
            let rows = some.iter().map(|(model, version, hash)| UsedRow {
                j_model: model.as_str(),
                j_version: version,
                j_hash: Hex(hash),
            });
            for rows in batch::texts(rows)? {
                let (op, answer) = work(move |tx: &mut Tx| {
                    let rows = rows.clone();
                    async move {
                        let begun = Instant::now();
                        let today = i64::from(Day::of(tx.now).0);
                        let statements = dialect::clearing(tx.conn.is_postgres());
                        run!(&mut tx.conn, statements.used, rows, today);
                        Ok(Took::since(begun))
                    }
                    .boxed()
                });
                let took = self.answer(op, answer).await?;
                pause(took).await;
            }
        }
        Ok(())
    }
}
