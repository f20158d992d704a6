//! The catalogue: the models that may be asked for, held in memory and in the database.

pub mod edits;
pub mod images;
pub mod trials;
pub mod versions;

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use futures::FutureExt;
use muster_core::{Model, ModelId, Source};

use crate::catalogue::edits::{Entry, EntryRow, entry, entry_columns};
use crate::db::Ts;
use crate::db::statement::{row, rows, run};
use crate::db::text;
use crate::instances::servers::leads;
use crate::writer::{Tx, work};
use crate::{Change, Error, Store};

/// A model that was made with the API stays what it is.
const PUT: &str = "INSERT INTO model (id, version, spec, enabled, updated_at, revision) \
     VALUES ($1, $2, $3, TRUE, $4, $5) ON CONFLICT (id) DO UPDATE SET version = $2, spec = $3, \
     enabled = TRUE, updated_at = $4, \
     revision = CASE WHEN model.revision < $5 THEN $5 ELSE model.revision + 1 END \
     WHERE model.owner = 'folder' AND (model.spec <> $3 OR NOT model.enabled)";

const OWNER: &str = "SELECT owner FROM model WHERE id = $1";

const VERSION: &str = "SELECT version FROM model WHERE id = $1 AND enabled";

const OF_FOLDERS: &str = "SELECT id FROM model WHERE owner = 'folder' AND enabled";

const GONE: &str = "UPDATE model SET enabled = FALSE, updated_at = $1, \
     revision = CASE WHEN revision < $3 THEN $3 ELSE revision + 1 END WHERE id = $2";

const LOAD: &str = concat!("SELECT ", entry_columns!(), " FROM model WHERE enabled ORDER BY id");

/// Differs after every change: revisions are moments, and grow.
const MARK: &str = "SELECT COUNT(*), CAST(COALESCE(SUM(revision), 0) AS BIGINT) FROM model";

/// A result never mixes versions: requests that did not end start over with the new one. A request that
/// another server stored between the two statements stays whole as it is, and is moved by the plan.
const RESTART_TASKS: &str = "UPDATE task SET model_version = $1, state = 'queued', lease_until = NULL, \
     remote_job = NULL, not_before = $2, result = NULL, result_object = NULL, result_sha = NULL, \
     result_columns = NULL WHERE model_id = $3 AND model_version <> $1 AND request_id IN \
     (SELECT id FROM request WHERE model_id = $3 AND ended_at IS NULL)";

const RESTART_REQUESTS: &str = "UPDATE request SET model_version = $1, done = 0, failed = 0, cached = 0, \
     result_bytes = 0, \
     open_tasks = (SELECT COUNT(*) FROM task WHERE task.request_id = request.id), \
     version = version + 1 \
     WHERE model_id = $2 AND model_version <> $1 AND ended_at IS NULL \
     AND NOT EXISTS (SELECT 1 FROM task \
     WHERE task.request_id = request.id AND task.model_version <> $1)";

/// The models that there are, as they were read last.
#[derive(Default)]
pub(crate) struct Catalogue {
    list: Arc<Vec<Arc<Model>>>,
    by_id: HashMap<ModelId, Arc<Model>>,
    /// Why these take no new requests.
    disabled: HashMap<ModelId, Arc<str>>,
    mark: (i64, i64),
}

impl Store {
    /// Makes `models` the folder's part of the catalogue. Absent ones are not offered any more,
    /// their history stays. An id that a model of the API has stays that one's: those are answered.
    pub async fn sync_models(&self, models: Vec<Model>) -> Result<Vec<ModelId>, Error> {
        let mut specs = Vec::with_capacity(models.len());
        for model in &models {
            text::exact(&model.version)?;
            let spec = serde_json::to_string(model).map_err(|e| Error::Refused(e.to_string()))?;
            specs.push((model.id.clone(), model.version.clone(), spec));
        }
        let (op, answer) = work(move |tx: &mut Tx| {
            let specs = specs.clone();
            async move {
                let mut taken = Vec::new();
                for (id, version, spec) in &specs {
                    if !put(tx, id, version, spec).await? {
                        taken.push(id.clone());
                    }
                }
                let (now, offered): (_, Vec<(String,)>) = (tx.now, rows!(&mut tx.conn, OF_FOLDERS));
                for (id,) in offered {
                    if !specs.iter().any(|(kept, ..)| kept.as_str() == id) {
                        run!(&mut tx.conn, GONE, Ts(now), id, now.micros());
                    }
                }
                tx.after.changes.push(Change::Models);
                Ok(taken)
            }
            .boxed()
        });
        let taken = self.answer(op, answer).await?;
        self.load_models().await?;
        Ok(taken)
    }

    /// The models that there are, sorted by id; also disabled ones, which finish what they have.
    pub fn models(&self) -> Arc<Vec<Arc<Model>>> {
        Arc::clone(&self.inner.models.read().unwrap_or_else(PoisonError::into_inner).list)
    }

    /// Ready once [`Store::models`] is another list than when this was called.
    pub fn models_changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.inner.models_changed.notified()
    }

    /// From now on folders that were pushed run as pods.
    pub async fn run_folders_in_pods(&self) -> Result<(), Error> {
        self.inner.folders_in_pods.store(true, Ordering::Relaxed);
        self.load_models().await
    }

    /// Where a folder that was pushed runs is what this hub says.
    pub(super) fn place(&self, model: &mut Model) {
        if let Source::Pushed { in_pods, .. } = &mut model.source {
            *in_pods = self.inner.folders_in_pods.load(Ordering::Relaxed);
        }
    }

    pub fn find_model(&self, id: &ModelId) -> Option<Arc<Model>> {
        self.inner.models.read().unwrap_or_else(PoisonError::into_inner).by_id.get(id).cloned()
    }

    /// Why the model takes no new requests, if it takes none.
    pub fn disabled(&self, id: &ModelId) -> Option<Arc<str>> {
        self.inner.models.read().unwrap_or_else(PoisonError::into_inner).disabled.get(id).cloned()
    }

    /// What waits for a version of the model that the catalogue does not have starts over with the one
    /// that it has; nothing if another server plans by now. Says how many tasks.
    pub async fn move_stranded(&self, id: &ModelId) -> Result<u64, Error> {
        let (id, server) = (id.clone(), self.inner.server);
        let (op, answer) = work(move |tx: &mut Tx| {
            let id = id.clone();
            async move {
                if !leads(tx, server).await? {
                    return Ok(0);
                }
                let version: Option<(String,)> = row!(&mut tx.conn, VERSION, id.as_str());
                match version {
                    Some((version,)) => restart(tx, &id, &version).await,
                    None => Ok(0),
                }
            }
            .boxed()
        });
        let moved = self.answer(op, answer).await?;
        // It may be this server that does not know the version yet.
        self.refresh_models().await?;
        Ok(moved)
    }

    /// Reads the catalogue if somebody changed it: another server, or a command.
    pub async fn refresh_models(&self) -> Result<(), Error> {
        let known = self.inner.models.read().unwrap_or_else(PoisonError::into_inner).mark;
        let mut conn = self.inner.db.read().await?;
        let mark: Option<(i64, i64)> = row!(&mut conn, MARK);
        drop(conn);
        if mark == Some(known) {
            return Ok(());
        }
        self.load_models().await?;
        // Nobody may be listening.
        drop(self.inner.changes.send(Change::Models));
        Ok(())
    }

    /// Tells this server's listeners that its node can run other models than before.
    pub fn tell_node(&self) {
        // Nobody may be listening.
        drop(self.inner.changes.send(Change::Nodes));
    }

    pub(crate) async fn load_models(&self) -> Result<(), Error> {
        let mut conn = self.inner.db.read().await?;
        // The mark first: what changes in between is read again.
        let mark: Option<(i64, i64)> = row!(&mut conn, MARK);
        let found: Vec<EntryRow> = rows!(&mut conn, LOAD);
        let entries = found.into_iter().filter_map(|found| entry(found).ok());
        let mut new = Catalogue { mark: mark.unwrap_or_default(), ..Catalogue::default() };
        let mut list = Vec::new();
        for Entry { mut model, disabled, .. } in entries {
            self.place(&mut model);
            if let Some(reason) = disabled {
                // It runs only for what was submitted before.
                model.limits.min_instances = 0;
                model.limits.spare_instances = 0;
                new.disabled.insert(model.id.clone(), reason.into());
            }
            let model = Arc::new(model);
            new.by_id.insert(model.id.clone(), Arc::clone(&model));
            list.push(model);
        }
        new.list = Arc::new(list);
        *self.inner.models.write().unwrap_or_else(PoisonError::into_inner) = new;
        self.inner.models_changed.notify_waiters();
        Ok(())
    }
}

/// False if it is the API's.
async fn put(tx: &mut Tx, id: &ModelId, version: &str, spec: &str) -> Result<bool, Error> {
    let now = tx.now;
    run!(&mut tx.conn, PUT, id.as_str(), version, spec, Ts(now), now.micros());
    let owner: Option<(String,)> = row!(&mut tx.conn, OWNER, id.as_str());
    if owner.is_none_or(|(owner,)| owner != "folder") {
        return Ok(false);
    }
    restart(tx, id, version).await.map(|_| true)
}

/// What did not end starts over with this version; how many tasks.
pub(crate) async fn restart(tx: &mut Tx, id: &ModelId, version: &str) -> Result<u64, Error> {
    let now = tx.now;
    let restarted = run!(&mut tx.conn, RESTART_TASKS, version, Ts(now), id.as_str());
    run!(&mut tx.conn, RESTART_REQUESTS, version, id.as_str());
    if restarted > 0 {
        tracing::info!(model.id = %id, tasks = restarted, "unfinished requests start over with the new version");
        tx.after.queued.push((id.clone(), now));
    }
    Ok(restarted)
}
