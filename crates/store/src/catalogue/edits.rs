//! What administrators do with models. Each act and its line in the audit are one transaction.

use futures::FutureExt;
use muster_core::model::merge;
use muster_core::{Model, ModelId, PrincipalId, Source};
use serde_json::Value;

use crate::catalogue::restart;
use crate::catalogue::versions::forget;
use crate::db::Ts;
use crate::db::statement::{named_row, row, rows, run};
use crate::db::text;
use crate::people::audit::{AuditAction, Note, note};
use crate::writer::{Tx, work};
use crate::{Change, Error, Store};

macro_rules! entry_columns {
    () => {
        "spec, edits, owner, disabled, revision, enabled"
    };
}
pub(crate) use entry_columns;

named_row! {
    pub(crate) struct EntryRow {
        spec: String,
        edits: String,
        owner: String,
        disabled: Option<String>,
        revision: i64,
        enabled: bool,
    }
}

const ALL: &str = concat!(
    "SELECT ",
    entry_columns!(),
    " FROM model WHERE ($1 IS NULL OR id > $1) AND NOT trial ORDER BY id LIMIT $2"
);

pub(super) const ONE: &str = concat!("SELECT ", entry_columns!(), " FROM model WHERE id = $1");

const CREATE: &str = "INSERT INTO model (id, version, spec, enabled, updated_at, owner, revision) \
     VALUES ($1, $2, $3, TRUE, $4, 'api', $5) ON CONFLICT (id) DO NOTHING";

/// For all that changes a model: only as it was seen.
const WRITE: &str = "UPDATE model SET version = $1, spec = $2, edits = $3, disabled = $4, \
     updated_at = $5, revision = CASE WHEN revision < $6 THEN $6 ELSE revision + 1 END \
     WHERE id = $7 AND revision = $8";

const REMOVE: &str = "DELETE FROM model WHERE id = $1 AND revision = $2";

const FORGET_IMAGES: &str = "DELETE FROM model_image WHERE model_id = $1";

const OPEN: &str = "SELECT COUNT(*) FROM request WHERE model_id = $1 AND ended_at IS NULL";

/// So many at once, that others can write in between.
const FORGET: &str = "DELETE FROM prediction WHERE model_id = $1 AND (model_version, input_hash) IN \
     (SELECT model_version, input_hash FROM prediction WHERE model_id = $1 LIMIT 10000)";

/// Longest detail in the audit, characters.
const DETAIL: usize = 1_000;

/// Who describes a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A folder on the hub's machine; edits are a layer over it.
    Folder,
    /// Whoever uses the API.
    Api,
    /// A folder that was pushed; edits are a layer over it too.
    Push,
}

/// A model as administrators see it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// With the edits.
    pub model: Model,
    pub owner: Owner,
    /// What was edited of a folder's model: a JSON merge patch (RFC 7396).
    pub edits: Value,
    /// Why it takes no new requests, if it takes none.
    pub disabled: Option<String>,
    pub revision: i64,
    /// False: its folder is gone.
    pub offered: bool,
    spec: Value,
}

/// What an administrator does to a model.
#[derive(Clone, Debug)]
pub enum ModelAct {
    /// A merge patch; a model of a folder keeps it as a layer.
    Edit(Value),
    Enable,
    Disable {
        reason: String,
    },
    /// Only one that is disabled, and of which nothing waits or runs.
    Delete,
}

/// What came of it.
#[derive(Clone, Debug)]
pub enum ModelDone {
    /// The model as it is now, or as it was before it was deleted.
    Done(Box<Entry>),
    Unknown,
    /// Somebody changed it since it was seen.
    Changed,
    /// It is not disabled, or so many requests are open.
    InUse(u64),
    /// Its folder has to go first.
    OfFolder,
}

impl Entry {
    /// The model as it would be with a merge patch on top, if that is a model.
    ///
    /// # Errors
    ///
    /// What is wrong, for the person who sent the patch.
    pub fn patched(&self, patch: &Value) -> Result<Model, String> {
        let (spec, edits) = self.with(patch);
        read(&spec, &edits)
    }

    /// The description and the layer over it after a patch.
    fn with(&self, patch: &Value) -> (Value, Value) {
        let (mut spec, mut edits) = (self.spec.clone(), self.edits.clone());
        match self.owner {
            Owner::Folder | Owner::Push => layer(&mut edits, patch),
            Owner::Api => merge(&mut spec, patch),
        }
        (spec, edits)
    }
}

/// Patches become one; what is null in the newer one is as the folder says again.
fn layer(edits: &mut Value, patch: &Value) {
    merge(edits, patch);
    prune(edits);
}

/// Takes out objects that nothing is left of.
fn prune(edits: &mut Value) {
    let Value::Object(members) = edits else { return };
    members.retain(|_, value| {
        prune(value);
        value.as_object().is_none_or(|inner| !inner.is_empty())
    });
}

pub(super) fn read(spec: &Value, edits: &Value) -> Result<Model, String> {
    let mut whole = spec.clone();
    merge(&mut whole, edits);
    serde_json::from_value(whole).map_err(|error| error.to_string())
}

pub(crate) fn entry(row: EntryRow) -> Result<Entry, Error> {
    let EntryRow { spec, edits, owner, disabled, revision, enabled: offered } = row;
    let value = |text: &str| {
        serde_json::from_str::<Value>(text).map_err(|_| Error::Corrupt("a model".into()))
    };
    let (spec, edits) = (value(&spec)?, value(&edits)?);
    // A folder that changed may not fit its edits any more.
    let model = read(&spec, &edits).or_else(|_| read(&spec, &Value::Null));
    let model = model.map_err(|_| Error::Corrupt("a model".into()))?;
    let owner = match (&model.source, owner.as_str()) {
        (Source::Pushed { .. }, _) => Owner::Push,
        (_, "api") => Owner::Api,
        _ => Owner::Folder,
    };
    Ok(Entry { model, owner, edits, disabled, revision, offered, spec })
}

impl Store {
    /// All models in the order of their ids, also those that are not offered; at most `limit` after
    /// `after`.
    pub async fn list_entries(
        &self,
        after: Option<ModelId>,
        limit: u32,
    ) -> Result<Vec<Entry>, Error> {
        let after = after.as_ref().map(ModelId::as_str);
        let mut conn = self.inner.db.read().await?;
        let found: Vec<EntryRow> = rows!(&mut conn, ALL, after, i64::from(limit));
        found.into_iter().map(|found| self.placed(found)).collect()
    }

    pub async fn find_entry(&self, id: &ModelId) -> Result<Option<Entry>, Error> {
        let mut conn = self.inner.db.read().await?;
        let found: Option<EntryRow> = row!(&mut conn, ONE, id.as_str());
        found.map(|found| self.placed(found)).transpose()
    }

    fn placed(&self, row: EntryRow) -> Result<Entry, Error> {
        let mut entry = entry(row)?;
        self.place(&mut entry.model);
        Ok(entry)
    }

    /// Adds a model of the API; nothing if there is one with its id.
    pub async fn create_model(
        &self,
        actor: PrincipalId,
        model: Model,
    ) -> Result<Option<Entry>, Error> {
        let (id, entry_id) = (model.id.clone(), self.inner.clock.id());
        text::exact(&model.version)?;
        let spec = serde_json::to_string(&model).map_err(|e| Error::Refused(e.to_string()))?;
        let (op, answer) = work(move |tx: &mut Tx| {
            let (model, spec) = (model.clone(), spec.clone());
            async move {
                let (id, now) = (model.id.as_str(), tx.now);
                let version = model.version.as_str();
                if run!(&mut tx.conn, CREATE, id, version, &spec, Ts(now), now.micros()) == 0 {
                    return Ok(false);
                }
                tx.after.changes.push(Change::Models);
                let whole = serde_json::to_value(&model);
                let said = whole.map_or_else(|_| String::new(), |whole| told(&whole));
                write_down(tx, entry_id, Some(actor), (AuditAction::CreateModel, said)).await?;
                Ok(true)
            }
            .boxed()
        });
        if !self.answer(op, answer).await? {
            return Ok(None);
        }
        self.load_models().await?;
        self.find_entry(&id).await
    }

    /// Does it to the model as it was seen: with that `revision`.
    pub async fn change_model(
        &self,
        actor: PrincipalId,
        (id, revision): (ModelId, i64),
        act: ModelAct,
    ) -> Result<ModelDone, Error> {
        let entry_id = self.inner.clock.id();
        let removed = matches!(act, ModelAct::Delete).then(|| id.clone());
        let (op, answer) = work(move |tx: &mut Tx| {
            let (id, act) = (id.clone(), act.clone());
            async move { change(tx, (entry_id, Some(actor)), (&id, revision), act).await }.boxed()
        });
        let done = self.answer(op, answer).await?;
        if matches!(done, ModelDone::Done(_)) {
            self.load_models().await?;
            if let Some(id) = removed {
                self.forget_predictions(&id, None).await?;
            }
        }
        Ok(done)
    }

    /// Forgets what the model predicted; how many predictions it were.
    pub async fn clear_cache(&self, actor: PrincipalId, id: &ModelId) -> Result<u64, Error> {
        self.forget_predictions(id, Some(actor)).await
    }

    pub(super) async fn forget_predictions(
        &self,
        id: &ModelId,
        mut actor: Option<PrincipalId>,
    ) -> Result<u64, Error> {
        let mut forgotten = 0;
        loop {
            let (id, by, entry_id) = (id.clone(), actor.take(), self.inner.clock.id());
            let (op, answer) = work(move |tx: &mut Tx| {
                let id = id.clone();
                async move {
                    if by.is_some() {
                        let said = (AuditAction::ClearCache, id.to_string());
                        write_down(tx, entry_id, by, said).await?;
                    }
                    Ok(run!(&mut tx.conn, FORGET, id.as_str()))
                }
                .boxed()
            });
            let some = self.answer(op, answer).await?;
            forgotten += some;
            if some == 0 {
                return Ok(forgotten);
            }
        }
    }
}

pub(super) async fn change(
    tx: &mut Tx,
    (entry_id, actor): (uuid::Uuid, Option<PrincipalId>),
    (id, revision): (&ModelId, i64),
    act: ModelAct,
) -> Result<ModelDone, Error> {
    let found: Option<EntryRow> = row!(&mut tx.conn, ONE, id.as_str());
    let Some(before) = found.map(entry).transpose()? else { return Ok(ModelDone::Unknown) };
    if before.revision != revision {
        return Ok(ModelDone::Changed);
    }
    let (mut spec, mut edits) = (before.spec.clone(), before.edits.clone());
    let (mut disabled, mut version) = (before.disabled.clone(), before.model.version.clone());
    let (action, said) = match act {
        ModelAct::Edit(patch) => {
            (spec, edits) = before.with(&patch);
            version = read(&spec, &edits).map_err(Error::Refused)?.version;
            (AuditAction::EditModel, told(&patch))
        }
        ModelAct::Enable => {
            disabled = None;
            (AuditAction::EnableModel, String::new())
        }
        ModelAct::Disable { reason } => {
            disabled = Some(text::words(&reason));
            (AuditAction::DisableModel, reason)
        }
        ModelAct::Delete => {
            if before.owner == Owner::Folder && before.offered {
                return Ok(ModelDone::OfFolder);
            }
            let open: Option<(i64,)> = row!(&mut tx.conn, OPEN, id.as_str());
            let open = open.map_or(0, |(open,)| open as u64);
            if open > 0 || (before.offered && before.disabled.is_none()) {
                return Ok(ModelDone::InUse(open));
            }
            (AuditAction::DeleteModel, String::new())
        }
    };
    let written = if action == AuditAction::DeleteModel {
        run!(&mut tx.conn, FORGET_IMAGES, id.as_str());
        if before.owner == Owner::Push {
            forget(tx, id).await?;
        }
        run!(&mut tx.conn, REMOVE, id.as_str(), revision)
    } else {
        let (now, spec, edits) = (tx.now, spec.to_string(), edits.to_string());
        run!(
            &mut tx.conn,
            WRITE,
            &version,
            spec,
            edits,
            &disabled,
            Ts(now),
            now.micros(),
            id.as_str(),
            revision,
        )
    };
    // Another server was faster.
    if written == 0 {
        return Ok(ModelDone::Changed);
    }
    if version != before.model.version {
        restart(tx, id, &version).await?;
    }
    tx.after.changes.push(Change::Models);
    write_down(tx, entry_id, actor, (action, format!("{id} {said}"))).await?;
    if action == AuditAction::DeleteModel {
        return Ok(ModelDone::Done(Box::new(before)));
    }
    let after: Option<EntryRow> = row!(&mut tx.conn, ONE, id.as_str());
    let after = after.map(entry).transpose()?;
    Ok(after.map_or(ModelDone::Unknown, |after| ModelDone::Done(Box::new(after))))
}

/// Of pods the audit says that they were changed, and no values: templates name what is in the cluster. First, for
/// long details are cut.
fn told(description: &Value) -> String {
    let mut told = description.clone();
    match told.as_object_mut().and_then(|members| members.remove("pod")) {
        Some(_) => format!("pod changed {told}"),
        None => told.to_string(),
    }
}

pub(super) async fn write_down(
    tx: &mut Tx,
    id: uuid::Uuid,
    actor: Option<PrincipalId>,
    (action, said): (AuditAction, String),
) -> Result<(), Error> {
    let detail = text::words(&said.trim().chars().take(DETAIL).collect::<String>());
    note(tx, Note { id, actor, action, subject: None, detail }).await
}
