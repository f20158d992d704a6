//! What the list of users says of each.

use std::collections::HashMap;

use muster_core::{PrincipalId, Timestamp};
use uuid::Uuid;

use crate::db::Ts;
use crate::db::dialect;
use crate::db::statement::rows;
use crate::db::text::one_of;
use crate::{Error, Store};

/// How much somebody with an account uses the hub.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UserFigures {
    /// When a session or API token of theirs that is not forgotten yet was used last.
    pub last_used_at: Option<Timestamp>,
    /// All requests that they ever submitted.
    pub requests: u64,
}

impl Store {
    /// Of each of these accounts that there is.
    pub async fn user_figures(
        &self,
        users: &[PrincipalId],
    ) -> Result<HashMap<PrincipalId, UserFigures>, Error> {
        let ids: Vec<String> = users.iter().map(|id| id.0.simple().to_string()).collect();
        let Some(ids) = one_of(&ids) else { return Ok(HashMap::new()) };
        let mut conn = self.inner.db.read().await?;
        let statement = dialect::user_figures(conn.is_postgres());
        let found: Vec<(Uuid, Option<Ts>, i64)> = rows!(&mut conn, statement, ids);
        let figures = |(id, last, requests): (Uuid, Option<Ts>, i64)| {
            let last_used_at = last.map(|at| at.0);
            (PrincipalId(id), UserFigures { last_used_at, requests: requests as u64 })
        };
        Ok(found.into_iter().map(figures).collect())
    }
}
