//! Models that are pushed: each folder is a version, tried with its example before it takes the place of the last
//! good one. Versions stay, to roll back to.

use futures::FutureExt;
use futures::stream::{BoxStream, TryStreamExt};
use muster_core::{Model, ModelId, PrincipalId, RequestId, Source, Timestamp};
use serde_json::{Value, json};
use std::path::Path;
use uuid::Uuid;

use super::edits::{Entry, EntryRow, ONE, Owner, entry, read, write_down};
use super::restart;
use crate::db::Ts;
use crate::db::statement::{named_row, row, rows, run};
use crate::db::text;
use crate::people::audit::AuditAction;
use crate::writer::{Tx, work};
use crate::{Change, Error, Store};

/// So many versions of a model are kept, beside the one that is served.
const KEPT: i64 = 10;
/// How long a failed version is kept of a model that never had a good one.
const FAILED_KEPT: std::time::Duration = std::time::Duration::from_secs(30 * 86_400);

/// First: who comes second waits for the first, and sees what it did.
const TRY: &str = "INSERT INTO model (id, version, spec, enabled, updated_at, owner, revision, trial) \
     VALUES ($1, $2, $3, TRUE, $4, 'api', $5, TRUE) ON CONFLICT (id) DO NOTHING";

const IS_TRIAL: &str = "SELECT trial FROM model WHERE id = $1";

pub(super) const END_TRIAL: &str = "DELETE FROM model WHERE id = $1 AND trial";

/// The trial has the id of the archive's copy.
const PUT: &str = "INSERT INTO model_version (model_id, version, content, bytes, files, spec, notes, state, \
     pushed_at, pushed_by, try_id) VALUES ($1, $2, $3, $4, $5, $6, $7, 'trying', $8, $9, $10) \
     ON CONFLICT (model_id, version) DO UPDATE SET content = $3, bytes = $4, files = $5, spec = $6, notes = $7, \
     state = 'trying', reason = NULL, pushed_at = $8, pushed_by = $9, try_id = $10, request_id = NULL, \
     ended_at = NULL";

/// What nobody rolls back to any more. Its object goes when it is swept.
const PRUNE: &str = "DELETE FROM model_version WHERE model_id = $1 AND state <> 'trying' AND version <> $2 \
     AND pushed_at < (SELECT MIN(pushed_at) FROM (SELECT pushed_at FROM model_version WHERE model_id = $1 \
     ORDER BY pushed_at DESC LIMIT $3) AS last_ones)";

const PRUNE_FAILED: &str = "DELETE FROM model_version WHERE state = 'failed' AND ended_at < $1 \
     AND NOT EXISTS (SELECT 1 FROM model WHERE model.id = model_version.model_id)";

macro_rules! version_columns {
    () => {
        "SELECT v.version, v.content, v.bytes, v.files, v.notes, v.state, v.reason, v.pushed_at, v.pushed_by, \
         v.request_id, v.ended_at, v.spec, \
         (SELECT name FROM account WHERE principal_id = v.pushed_by), \
         EXISTS (SELECT 1 FROM model m WHERE m.id = v.model_id AND m.version = v.version) \
         FROM model_version v WHERE v.model_id = $1"
    };
}

const LIST: &str = concat!(version_columns!(), " ORDER BY v.pushed_at DESC, v.version");

const FIND: &str = concat!(version_columns!(), " AND v.version = $2");

const TRYING: &str = concat!(version_columns!(), " AND v.state = 'trying'");

const COPY: &str =
    "SELECT try_id FROM model_version WHERE content = $1 ORDER BY pushed_at DESC LIMIT 1";

const FIRST: &str = "INSERT INTO model (id, version, spec, enabled, updated_at, owner, revision) \
     VALUES ($1, $2, $3, TRUE, $4, 'api', $5) ON CONFLICT (id) DO NOTHING";

const SERVE: &str = "UPDATE model SET version = $1, spec = $2, updated_at = $3, \
     revision = CASE WHEN revision < $4 THEN $4 ELSE revision + 1 END WHERE id = $5";

const FORGET: &str = "DELETE FROM model_version WHERE model_id = $1";

named_row! {
    struct VersionRow {
        version: String,
        content: String,
        bytes: i64,
        files: i64,
        notes: String,
        state: String,
        reason: Option<String>,
        pushed_at: Ts,
        pushed_by: Uuid,
        request: Option<Uuid>,
        ended_at: Option<Ts>,
        spec: String,
        by_name: Option<String>,
        served: bool,
    }
}

/// A folder that was read and checked, and whose archive is stored.
#[derive(Clone, Debug)]
pub struct NewVersion {
    /// As its folder says; its source is [`Source::Pushed`].
    pub model: Model,
    /// The SHA-256 of its archive, in hex digits.
    pub content: String,
    /// Which copy of it is stored, as [`Store::put_folder`] said.
    pub copy: Uuid,
    /// Of the archive.
    pub bytes: u64,
    pub files: u64,
    /// What is no fault, but should be known.
    pub notes: Vec<String>,
}

/// How far a version is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionState {
    /// Its example runs.
    Trying,
    /// It was served, or is.
    Good,
    Failed,
}

impl VersionState {
    pub const ALL: [Self; 3] = [Self::Trying, Self::Good, Self::Failed];

    pub fn name(self) -> &'static str {
        match self {
            Self::Trying => "trying",
            Self::Good => "good",
            Self::Failed => "failed",
        }
    }
}

/// A version of a model, as those see it who administer models.
#[derive(Clone, Debug)]
pub struct ModelVersion {
    pub version: String,
    pub content: String,
    pub bytes: u64,
    pub files: u64,
    pub notes: Vec<String>,
    pub state: VersionState,
    /// Is it what people's requests go to?
    pub served: bool,
    /// Why it failed.
    pub reason: Option<String>,
    pub pushed_at: Timestamp,
    pub pushed_by: PrincipalId,
    pub by_name: Option<String>,
    /// Its example's request, which is of whoever pushed it.
    pub request: Option<RequestId>,
    pub ended_at: Option<Timestamp>,
    /// As its folder says.
    pub model: Box<Model>,
    spec: String,
}

/// What became of a push.
#[derive(Clone, Debug)]
pub enum Pushed {
    /// It is tried now.
    New(Box<ModelVersion>),
    /// The same is tried or served already.
    Known(Box<ModelVersion>),
    /// Another version is being tried.
    Trying(Box<ModelVersion>),
    /// A model with this name, or that of its trial, is not one that is pushed.
    Taken,
}

/// What became of a wish to serve an earlier version.
#[derive(Clone, Debug)]
pub enum RolledBack {
    Done(Box<Entry>),
    /// There is no such model, or no such version of it.
    Unknown,
    /// Its example never had predictions.
    NotGood(Box<ModelVersion>),
}

/// Where a version is tried.
pub fn trial_id(id: &ModelId) -> Option<ModelId> {
    format!("{id}.trial").parse().ok()
}

fn version(row: VersionRow) -> Result<ModelVersion, Error> {
    let corrupt = || Error::Corrupt("a version of a model".to_owned());
    let state = VersionState::ALL.into_iter().find(|state| state.name() == row.state);
    Ok(ModelVersion {
        version: row.version,
        content: row.content,
        bytes: row.bytes as u64,
        files: row.files as u64,
        notes: serde_json::from_str(&row.notes).unwrap_or_default(),
        state: state.ok_or_else(corrupt)?,
        served: row.served,
        reason: row.reason,
        pushed_at: row.pushed_at.0,
        pushed_by: PrincipalId(row.pushed_by),
        by_name: row.by_name,
        request: row.request.map(RequestId),
        ended_at: row.ended_at.map(|at| at.0),
        model: serde_json::from_str(&row.spec).map_err(|_| corrupt())?,
        spec: row.spec,
    })
}

impl Store {
    /// Stores an archive as an object of its own: nobody who removes an earlier copy of the same content removes this
    /// one. When this returns it is there, whole. Which copy it is.
    pub async fn put_folder(&self, content: &str, archive: &Path) -> Result<Uuid, Error> {
        let copy = self.inner.clock.id();
        self.inner.objects.put_file(&object(content, copy), archive).await?;
        Ok(copy)
    }

    /// The archive that was stored under this hash.
    pub async fn get_folder(
        &self,
        content: &str,
    ) -> Result<BoxStream<'static, Result<bytes::Bytes, Error>>, Error> {
        let object = self.folder_object(content).await?;
        let stream = self.inner.objects.stream(&object).await?;
        Ok(Box::pin(stream.map_err(Error::from)))
    }

    /// Where the archive with this hash is in object storage.
    async fn folder_object(&self, content: &str) -> Result<String, Error> {
        let mut conn = self.inner.db.read().await?;
        let copy: Option<(Uuid,)> = row!(&mut conn, COPY, content);
        let (copy,) =
            copy.ok_or_else(|| Error::Corrupt(format!("no version is of the archive {content}")))?;
        Ok(object(content, copy))
    }

    /// Has a version tried. Its archive is stored before.
    pub async fn push_version(&self, actor: PrincipalId, new: NewVersion) -> Result<Pushed, Error> {
        text::exact(&new.model.version)?;
        let (entry_id, copy) = (self.inner.clock.id(), object(&new.content, new.copy));
        let (op, answer) = work(move |tx: &mut Tx| {
            let new = new.clone();
            async move { push(tx, actor, entry_id, &new).await }.boxed()
        });
        let pushed = self.answer(op, answer).await?;
        if matches!(pushed, Pushed::New(_)) {
            self.load_models().await?;
        } else if let Err(error) = self.inner.objects.remove(&copy.into()).await {
            tracing::debug!(%error, "a copy that no version needs is swept later");
        }
        Ok(pushed)
    }

    /// All versions of a model that are kept, the newest first.
    pub async fn list_versions(&self, id: &ModelId) -> Result<Vec<ModelVersion>, Error> {
        let mut conn = self.inner.db.read().await?;
        let found: Vec<VersionRow> = rows!(&mut conn, LIST, id.as_str());
        found.into_iter().map(version).collect()
    }

    /// Serves a version that was good from now on.
    pub async fn roll_back(
        &self,
        actor: PrincipalId,
        id: ModelId,
        to: String,
    ) -> Result<RolledBack, Error> {
        text::exact(&to)?;
        let entry_id = self.inner.clock.id();
        let (op, answer) = work(move |tx: &mut Tx| {
            let (id, to) = (id.clone(), to.clone());
            async move { roll_back(tx, (actor, entry_id), &id, &to).await }.boxed()
        });
        let done = self.answer(op, answer).await?;
        self.load_models().await?;
        Ok(done)
    }
}

/// Where a copy of an archive is in object storage.
fn object(content: &str, copy: Uuid) -> String {
    format!("folders/{content}/{copy}.tar.gz")
}

pub(super) async fn find(
    tx: &mut Tx,
    id: &ModelId,
    wanted: &str,
) -> Result<Option<ModelVersion>, Error> {
    let found: Option<VersionRow> = row!(&mut tx.conn, FIND, id.as_str(), wanted);
    found.map(version).transpose()
}

async fn push(
    tx: &mut Tx,
    actor: PrincipalId,
    entry_id: Uuid,
    new: &NewVersion,
) -> Result<Pushed, Error> {
    let (id, now) = (&new.model.id, tx.now);
    let Some(trial) = trial_id(id) else { return Ok(Pushed::Taken) };
    let served: Option<EntryRow> = row!(&mut tx.conn, ONE, id.as_str());
    let served = served.map(entry).transpose()?;
    if served.as_ref().is_some_and(|served| served.owner != Owner::Push) {
        return Ok(Pushed::Taken);
    }
    let spec = serde_json::to_value(&new.model).map_err(|e| Error::Refused(e.to_string()))?;
    let tried =
        on_trial(&spec, served.as_ref().map_or(&Value::Null, |served| &served.edits), &trial, id)?;
    let version_text = new.model.version.as_str();
    let begun = run!(
        &mut tx.conn,
        TRY,
        trial.as_str(),
        version_text,
        tried.to_string(),
        Ts(now),
        now.micros()
    );
    if begun == 0 {
        let trying: Option<VersionRow> = row!(&mut tx.conn, TRYING, id.as_str());
        let is_trial: Option<(bool,)> = row!(&mut tx.conn, IS_TRIAL, trial.as_str());
        return Ok(match (trying.map(version).transpose()?, is_trial) {
            (Some(trying), Some((true,))) if trying.version == version_text => {
                Pushed::Known(Box::new(trying))
            }
            (Some(trying), Some((true,))) => Pushed::Trying(Box::new(trying)),
            // It ended between the two statements.
            (None, Some((true,)) | None) => return Err(Error::unavailable("a trial just ended")),
            (_, Some((false,)) | None) => Pushed::Taken,
        });
    }
    if let Some(known) = find(tx, id, version_text).await?.filter(|known| known.served) {
        run!(&mut tx.conn, END_TRIAL, trial.as_str());
        return Ok(Pushed::Known(Box::new(known)));
    }
    let notes = json!(new.notes).to_string();
    run!(
        &mut tx.conn,
        PUT,
        id.as_str(),
        version_text,
        &new.content,
        new.bytes as i64,
        new.files as i64,
        text::words(&spec.to_string()),
        text::words(&notes),
        Ts(now),
        actor.0,
        new.copy,
    );
    let serves = served.map(|served| served.model.version).unwrap_or_default();
    run!(&mut tx.conn, PRUNE, id.as_str(), &serves, KEPT);
    run!(&mut tx.conn, PRUNE_FAILED, Ts(now - FAILED_KEPT));
    tx.after.changes.push(Change::Models);
    let said = format!("{id} {version_text}, {} files, {} bytes", new.files, new.bytes);
    write_down(tx, entry_id, Some(actor), (AuditAction::PushModel, said)).await?;
    let pushed = find(tx, id, version_text).await?;
    let pushed =
        pushed.ok_or_else(|| Error::Corrupt("a version that was just written".to_owned()))?;
    Ok(Pushed::New(Box::new(pushed)))
}

/// The model as it is tried: with the edits of the one that is served, as one instance, and without known predictions.
fn on_trial(spec: &Value, edits: &Value, trial: &ModelId, id: &ModelId) -> Result<Value, Error> {
    let mut model =
        read(spec, edits).or_else(|_| read(spec, &Value::Null)).map_err(Error::Refused)?;
    model.id = trial.clone();
    model.cache = false;
    model.limits.max_instances = 1;
    (model.limits.min_instances, model.limits.spare_instances) = (0, 0);
    if let Source::Pushed { trial_of, .. } = &mut model.source {
        *trial_of = Some(id.clone());
    }
    serde_json::to_value(&model).map_err(|error| Error::Refused(error.to_string()))
}

pub(super) async fn serve(
    tx: &mut Tx,
    id: &ModelId,
    version: &ModelVersion,
    first: bool,
) -> Result<(), Error> {
    let (now, version, spec) = (tx.now, version.version.as_str(), version.spec.as_str());
    if first {
        run!(&mut tx.conn, FIRST, id.as_str(), version, spec, Ts(now), now.micros());
    } else {
        run!(&mut tx.conn, SERVE, version, spec, Ts(now), now.micros(), id.as_str());
        restart(tx, id, version).await?;
    }
    tx.after.changes.push(Change::Models);
    Ok(())
}

async fn roll_back(
    tx: &mut Tx,
    (actor, entry_id): (PrincipalId, Uuid),
    id: &ModelId,
    to: &str,
) -> Result<RolledBack, Error> {
    let one = |found: Option<EntryRow>| found.map(entry).transpose();
    let before = one(row!(&mut tx.conn, ONE, id.as_str()))?;
    let before = before.filter(|before| before.owner == Owner::Push);
    let (Some(before), Some(wanted)) = (before, find(tx, id, to).await?) else {
        return Ok(RolledBack::Unknown);
    };
    if wanted.state != VersionState::Good {
        return Ok(RolledBack::NotGood(Box::new(wanted)));
    }
    if !wanted.served {
        serve(tx, id, &wanted, false).await?;
        let said = format!("{id} {to}, instead of {}", before.model.version);
        write_down(tx, entry_id, Some(actor), (AuditAction::RollBackModel, said)).await?;
    }
    let now = one(row!(&mut tx.conn, ONE, id.as_str()))?;
    Ok(now.map_or(RolledBack::Unknown, |now| RolledBack::Done(Box::new(now))))
}

/// With the model go its versions, and what is being tried of it.
pub(super) async fn forget(tx: &mut Tx, id: &ModelId) -> Result<(), Error> {
    run!(&mut tx.conn, FORGET, id.as_str());
    if let Some(trial) = trial_id(id) {
        run!(&mut tx.conn, END_TRIAL, trial.as_str());
    }
    Ok(())
}
