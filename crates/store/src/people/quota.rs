//! How much one person has, for the limits.

use muster_core::PrincipalId;
use muster_core::quota::{Amounts, day_start};

use crate::db::Ts;
use crate::db::clock::first_id;
use crate::db::statement::row;
use crate::{Error, Store};

const WAITING: &str = "SELECT COUNT(DISTINCT request_id), CAST(COALESCE(SUM(inputs), 0) AS BIGINT) \
     FROM task WHERE principal_id = $1 AND state = 'queued'";

/// Ids grow with time: those before the first one of the day are not looked at.
const KEPT: &str = "SELECT p.kind, (SELECT CAST(COALESCE(SUM(inputs), 0) AS BIGINT) FROM request \
     WHERE principal_id = p.id AND id >= $2 AND submitted_at >= $3), \
     (SELECT CAST(COALESCE(SUM(input_bytes + result_bytes), 0) AS BIGINT) FROM request \
     WHERE principal_id = p.id) FROM principal p WHERE p.id = $1";

const KEPT_ANONYMOUS: &str = "SELECT CAST(COALESCE(SUM(r.input_bytes + r.result_bytes), 0) AS BIGINT) \
     FROM request r JOIN principal p ON p.id = r.principal_id WHERE p.kind = 'anonymous'";

const HAS_KEY: &str = "SELECT 1 FROM request WHERE principal_id = $1 AND idempotency_key = $2";

/// What somebody has; the waiting amounts are counted by [`Store::waiting_of`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    pub anonymous: bool,
    pub day_inputs: u64,
    pub bytes: u64,
}

impl Store {
    /// Requests and inputs of a person that wait. One indexed statement, as long as their queue.
    pub async fn waiting_of(&self, principal: PrincipalId) -> Result<Amounts, Error> {
        self.inner.counters.quota_lookups.add(1);
        let mut conn = self.inner.db.read().await?;
        let found: Option<(i64, i64)> = row!(&mut conn, WAITING, principal.0);
        let (requests, inputs) = found.unwrap_or_default();
        Ok(Amounts {
            waiting_requests: requests as u64,
            waiting_inputs: inputs as u64,
            ..Amounts::default()
        })
    }

    /// What a person submitted today (UTC, by the database's clock) and what is stored of theirs.
    /// One statement over all their requests.
    pub async fn kept_of(&self, principal: PrincipalId) -> Result<Option<Kept>, Error> {
        self.inner.counters.quota_lookups.add(1);
        let day = day_start(self.inner.now());
        let mut conn = self.inner.db.read().await?;
        let found: Option<(String, i64, i64)> =
            row!(&mut conn, KEPT, principal.0, first_id(day), Ts(day));
        Ok(found.map(|(kind, day_inputs, bytes)| Kept {
            anonymous: kind == "anonymous",
            day_inputs: day_inputs as u64,
            bytes: bytes as u64,
        }))
    }

    /// Bytes that are stored of all anonymous sessions together. One statement over all requests.
    pub async fn kept_of_anonymous(&self) -> Result<u64, Error> {
        self.inner.counters.quota_lookups.add(1);
        let mut conn = self.inner.db.read().await?;
        let found: Option<(i64,)> = row!(&mut conn, KEPT_ANONYMOUS);
        Ok(found.map_or(0, |(bytes,)| bytes as u64))
    }

    /// Was a request submitted under this idempotency key before?
    pub async fn has_key(&self, principal: PrincipalId, key: &str) -> Result<bool, Error> {
        self.inner.counters.quota_lookups.add(1);
        let key = crate::db::text::exact(key)?;
        let mut conn = self.inner.db.read().await?;
        let found: Option<(i32,)> = row!(&mut conn, HAS_KEY, principal.0, key);
        Ok(found.is_some())
    }
}
