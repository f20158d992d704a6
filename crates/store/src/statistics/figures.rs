//! What the lists of users and of models say of each.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_core::stats::{Day, Dimension, Query, Value};
use muster_core::{ModelId, PrincipalId, Timestamp};
use uuid::Uuid;

use crate::db::Ts;
use crate::db::dialect;
use crate::db::statement::rows;
use crate::db::text::one_of;
use crate::{Error, Store, Week};

const WEEKS_FRESH: Duration = Duration::from_secs(60);

/// Of the models that have some.
pub(crate) type Weeks = Arc<HashMap<ModelId, Week>>;

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

    pub(crate) async fn weeks(&self) -> Result<Weeks, Error> {
        let mut cache = self.inner.weeks.lock().await;
        if let Some((at, weeks)) = &*cache
            && at.elapsed() < WEEKS_FRESH
        {
            return Ok(Arc::clone(weeks));
        }
        let today = Day::of(self.inner.now());
        let first = Day(today.0 - 6);
        let mut query = Query::default();
        query.days = first..today.tomorrow();
        query.group_by.push(Dimension::Day);
        let found = self.statistics(query).await?;
        let mut weeks: HashMap<ModelId, Week> = HashMap::new();
        for (of, group) in found.rows {
            let [Value::Model(model), Value::Day(day)] = &of[..] else { continue };
            let Ok(model) = model.parse() else { continue };
            weeks.entry(model).or_default()[(day.0 - first.0) as usize] = group.total();
        }
        let weeks = Arc::new(weeks);
        *cache = Some((Instant::now(), Arc::clone(&weeks)));
        Ok(weeks)
    }
}
