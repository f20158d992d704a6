//! The catalogue: the models that may be asked for, held in memory and in the database.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use futures::FutureExt;
use muster_core::{Model, ModelId};

use crate::db::{Ts, on};
use crate::writer::{Tx, work};
use crate::{Change, Error, Store, text};

const PUT: &str = "INSERT INTO model (id, version, spec, enabled, updated_at) \
     VALUES ($1, $2, $3, TRUE, $4) ON CONFLICT (id) DO UPDATE SET version = $2, spec = $3, \
     enabled = TRUE, updated_at = $4 WHERE model.spec <> $3 OR NOT model.enabled";

const DISABLE: &str = "UPDATE model SET enabled = FALSE, updated_at = $1 WHERE id = $2 AND enabled";

const LOAD: &str = "SELECT spec FROM model WHERE enabled ORDER BY id";

/// A result never mixes versions: requests that did not end start over with the new one.
const RESTART_TASKS: &str = "UPDATE task SET model_version = $1, state = 'queued', lease_until = NULL, \
     remote_job = NULL, not_before = $2, result = NULL, result_object = NULL, result_sha = NULL, \
     result_columns = NULL WHERE model_id = $3 AND model_version <> $1 AND request_id IN \
     (SELECT id FROM request WHERE model_id = $3 AND ended_at IS NULL)";

const RESTART_REQUESTS: &str = "UPDATE request SET model_version = $1, done = 0, failed = 0, cached = 0, \
     result_bytes = 0, \
     open_tasks = (SELECT COUNT(*) FROM task WHERE task.request_id = request.id), \
     version = version + 1 \
     WHERE model_id = $2 AND model_version <> $1 AND ended_at IS NULL";

impl Store {
    /// Makes `models` the catalogue. Absent ones are disabled, their history stays.
    pub async fn sync_models(&self, mut models: Vec<Model>) -> Result<(), Error> {
        models.sort_by(|a, b| a.id.cmp(&b.id));
        let mut specs = Vec::with_capacity(models.len());
        for model in &models {
            text::exact(&model.version)?;
            let spec = serde_json::to_string(model).map_err(|e| Error::Refused(e.to_string()))?;
            specs.push((model.id.clone(), model.version.clone(), spec));
        }
        let gone: Vec<ModelId> = {
            let old = self.models();
            let kept = |id: &ModelId| models.iter().any(|model| model.id == *id);
            old.iter().filter(|old| !kept(&old.id)).map(|old| old.id.clone()).collect()
        };
        let (op, answer) = work(move |tx: &mut Tx| {
            let (specs, gone) = (specs.clone(), gone.clone());
            async move {
                for (id, version, spec) in specs {
                    put(tx, &id, &version, &spec).await?;
                }
                let now = tx.now;
                for id in gone {
                    on!(&mut tx.conn, c => {
                        sqlx::query(DISABLE)
                            .bind(Ts(now))
                            .bind(id.as_str())
                            .execute(c)
                            .await
                            .map(|_| ())?
                    });
                }
                tx.after.changes.push(Change::Models);
                Ok(())
            }
            .boxed()
        });
        self.answer(op, answer).await?;
        self.set_models(models);
        Ok(())
    }

    /// The models that may be asked for, sorted by id.
    pub fn models(&self) -> Arc<Vec<Arc<Model>>> {
        Arc::clone(&self.inner.models.read().unwrap_or_else(PoisonError::into_inner).0)
    }

    pub fn find_model(&self, id: &ModelId) -> Option<Arc<Model>> {
        self.inner.models.read().unwrap_or_else(PoisonError::into_inner).1.get(id).cloned()
    }

    pub(crate) async fn load_models(&self) -> Result<(), Error> {
        let mut conn = self.inner.db.read().await?;
        let specs: Vec<String> = on!(&mut conn, c => sqlx::query_scalar(LOAD).fetch_all(c).await?);
        let read = |spec: &String| serde_json::from_str(spec).ok();
        self.set_models(specs.iter().filter_map(read).collect());
        Ok(())
    }

    fn set_models(&self, models: Vec<Model>) {
        let list: Vec<Arc<Model>> = models.into_iter().map(Arc::new).collect();
        let by_id: HashMap<ModelId, Arc<Model>> =
            list.iter().map(|model| (model.id.clone(), Arc::clone(model))).collect();
        *self.inner.models.write().unwrap_or_else(PoisonError::into_inner) =
            (Arc::new(list), by_id);
    }
}

async fn put(tx: &mut Tx, id: &ModelId, version: &str, spec: &str) -> Result<(), Error> {
    let now = tx.now;
    let restarted = on!(&mut tx.conn, c => {
        sqlx::query(PUT)
            .bind(id.as_str())
            .bind(version)
            .bind(spec)
            .bind(Ts(now))
            .execute(&mut *c)
            .await?;
        let restarted = sqlx::query(RESTART_TASKS)
            .bind(version)
            .bind(Ts(now))
            .bind(id.as_str())
            .execute(&mut *c)
            .await?
            .rows_affected();
        sqlx::query(RESTART_REQUESTS).bind(version).bind(id.as_str()).execute(c).await?;
        restarted
    });
    if restarted > 0 {
        tracing::info!(model.id = %id, tasks = restarted, "unfinished requests start over with the new version");
        tx.after.queued.push((id.clone(), now));
    }
    Ok(())
}
