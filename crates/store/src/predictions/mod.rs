//! Known predictions, by model, version and hash of the input.

pub mod last_used;

use muster_core::ModelId;

use crate::db::conn::{Conn, on};
use crate::db::statement::row;
use crate::db::text;
use crate::requests::parts;
use crate::{Error, Known, Store};

const FIND: &str = "SELECT part, used_on FROM prediction \
     WHERE model_id = $1 AND model_version = $2 AND input_hash = $3";

const ANY: &str =
    "SELECT EXISTS (SELECT 1 FROM prediction WHERE model_id = $1 AND model_version = $2)";

impl Store {
    /// What is known of each input.
    pub async fn predictions(
        &self,
        model: &ModelId,
        version: &str,
        hashes: &[[u8; 32]],
    ) -> Result<Vec<Option<Known>>, Error> {
        let version = text::exact(version)?;
        let mut conn = self.inner.db.read().await?;
        let mut known = Vec::with_capacity(hashes.len());
        // A model that was never asked needs one statement, not one for each input.
        let any: bool = on!(&mut conn, c => {
            sqlx::query_scalar(ANY).bind(model.as_str()).bind(version).fetch_one(c).await?
        });
        if !any {
            known.resize(hashes.len(), None);
            return Ok(known);
        }
        for hash in hashes {
            known.push(self.prediction(&mut conn, (model, version, hash)).await?);
        }
        let hits = known.iter().flatten().count() as u64;
        self.inner.counters.cache_hits.add(hits);
        Ok(known)
    }

    /// All of them, or none: stops at the first input that is not known.
    pub(crate) async fn predictions_or_none(
        &self,
        model: &ModelId,
        version: &str,
        hashes: &[[u8; 32]],
    ) -> Result<Option<Vec<Known>>, Error> {
        let mut conn = self.inner.db.read().await?;
        let mut known = Vec::with_capacity(hashes.len());
        for hash in hashes {
            let found = self.prediction(&mut conn, (model, version, hash)).await?;
            let Some(found) = found else { return Ok(None) };
            known.push(found);
        }
        self.inner.counters.cache_hits.add(known.len() as u64);
        Ok(Some(known))
    }

    async fn prediction(
        &self,
        conn: &mut Conn,
        (model, version, hash): (&ModelId, &str, &[u8; 32]),
    ) -> Result<Option<Known>, Error> {
        let found: Option<(Vec<u8>, i64)> =
            row!(conn, FIND, model.as_str(), version, hash.as_slice());
        Ok(found.and_then(|(part, used_on)| {
            self.inner.note_used(model, version, hash, used_on);
            one_row(&part)
        }))
    }
}

fn one_row(bytes: &[u8]) -> Option<Known> {
    let part = parts::decode(bytes).ok()?;
    let row = part.rows.into_iter().next()?;
    Some((part.columns.into(), row))
}
