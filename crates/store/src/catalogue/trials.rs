//! Versions that are tried: their examples are submitted, and what came of these decides.

use futures::FutureExt;
use muster_core::input::{InputTable, Texts};
use muster_core::request::Reading;
use muster_core::{ModelId, PrincipalId, RequestId};
use uuid::Uuid;

use super::edits::{EntryRow, ONE, Owner, entry, write_down};
use super::versions::{END_TRIAL, VersionState, find, serve, trial_id};
use crate::db::Ts;
use crate::db::statement::{named_row, row, rows, run};
use crate::db::text;
use crate::people::audit::AuditAction;
use crate::writer::{Tx, work};
use crate::{Change, Error, NewRequest, Store};

const TRIALS: &str = "SELECT v.model_id, v.version, v.pushed_by, v.try_id, v.request_id, r.phase, r.reason, \
     r.inputs, r.failed FROM model_version v LEFT JOIN request r ON r.id = v.request_id \
     WHERE v.state = 'trying' ORDER BY v.pushed_at";

const SUBMITTED: &str = "UPDATE model_version SET request_id = $1 \
     WHERE model_id = $2 AND version = $3 AND try_id = $4 AND request_id IS NULL";

const END: &str = "UPDATE model_version SET state = $1, reason = $2, ended_at = $3 \
     WHERE model_id = $4 AND version = $5 AND try_id = $6 AND state = 'trying'";

named_row! {
    struct TrialRow {
        model: String,
        version: String,
        by: Uuid,
        try_id: Uuid,
        request: Option<Uuid>,
        phase: Option<String>,
        reason: Option<String>,
        inputs: Option<i64>,
        failed: Option<i64>,
    }
}

/// How far that is which is tried.
#[derive(Debug, Default)]
pub struct Trials {
    /// Something of it goes on.
    pub left: bool,
    /// What could not be gone on with this time, and why.
    pub troubles: Vec<(ModelId, Error)>,
}

/// What a trial needs next.
enum Next {
    /// Its example is not submitted yet.
    Submit,
    /// Its example runs.
    Wait,
    /// An error says why the version is not served.
    End(Result<(), String>),
}

impl TrialRow {
    fn next(&self) -> Next {
        let failed = |why: &str| Next::End(Err(why.to_owned()));
        if self.request.is_none() {
            return Next::Submit;
        }
        match self.phase.as_deref() {
            None => failed("The request with its example was deleted."),
            Some("completed") if self.failed < self.inputs => Next::End(Ok(())),
            Some("completed") => {
                failed("No input of its example has a prediction; the request's result says why.")
            }
            Some("failed") => {
                let why = self.reason.as_deref().unwrap_or("no reason is known");
                failed(&format!("Its example failed: {why}"))
            }
            Some("cancelled") => failed("The request with its example was cancelled."),
            Some(_) => Next::Wait,
        }
    }
}

impl Store {
    /// Goes on with what is being tried: submits examples, and ends trials whose example has ended. All servers
    /// may do so at once. What cannot be gone on with keeps nothing else from it.
    pub async fn settle_trials(&self) -> Result<Trials, Error> {
        let mut conn = self.inner.db.read().await?;
        let rows: Vec<TrialRow> = rows!(&mut conn, TRIALS);
        drop(conn);
        let (mut trials, mut changed) = (Trials::default(), false);
        for row in rows {
            let Ok(id) = row.model.parse::<ModelId>() else { continue };
            match self.go_on(&id, row).await {
                Ok(Some(ended)) => changed |= ended,
                Ok(None) => trials.left = true,
                Err(error) => trials.troubles.push((id, error)),
            }
        }
        if changed {
            self.load_models().await?;
        }
        Ok(trials)
    }

    /// None: it goes on; false: another server ended it.
    async fn go_on(&self, id: &ModelId, trial: TrialRow) -> Result<Option<bool>, Error> {
        let outcome = match trial.next() {
            Next::Wait => return Ok(None),
            Next::End(outcome) => outcome,
            Next::Submit => match self.submit_example(id, &trial).await? {
                None => return Ok(None),
                Some(why) => Err(why),
            },
        };
        let ids = (self.inner.clock.id(), trial.try_id);
        let (by, id, version) = (PrincipalId(trial.by), id.clone(), trial.version);
        let (op, answer) = work(move |tx: &mut Tx| {
            let (id, version, outcome) = (id.clone(), version.clone(), outcome.clone());
            async move { end_trial(tx, (by, ids), (&id, &version), outcome).await }.boxed()
        });
        self.answer(op, answer).await.map(Some)
    }

    /// Why it cannot be submitted, if it never can.
    async fn submit_example(
        &self,
        id: &ModelId,
        trial: &TrialRow,
    ) -> Result<Option<String>, Error> {
        let Some(trial_id) = trial_id(id) else {
            return Ok(Some("Its name is too long.".to_owned()));
        };
        let find = || self.find_model(&trial_id).filter(|model| model.version == trial.version);
        if find().is_none() {
            // Another server took it in.
            self.load_models().await?;
        }
        let Some(model) = find() else {
            return Ok(Some("It was taken away before it was tried.".to_owned()));
        };
        let inputs: Texts = model.example.iter().map(String::as_str).collect();
        let reading = Reading { rows: model.example.len() as u64, ..Reading::default() };
        let new = NewRequest {
            id: RequestId(self.inner.clock.id()),
            principal: PrincipalId(trial.by),
            model,
            key: Some(format!("trial-{}", trial.try_id)),
            body_hash: [0; 32],
            reading,
            label: Some(format!("Example of {id} {}", trial.version).chars().take(100).collect()),
            inputs: InputTable { inputs, records: None },
            use_cache: false,
        };
        let request = match self.submit(new).await {
            Ok(submitted) => submitted.request.id,
            Err(Error::NotOffered { .. }) => {
                return Ok(Some("It was taken away before it was tried.".to_owned()));
            }
            Err(error) => return Err(error),
        };
        let (id, version, try_id) = (id.clone(), trial.version.clone(), trial.try_id);
        let (op, answer) = work(move |tx: &mut Tx| {
            let (id, version) = (id.clone(), version.clone());
            async move { Ok(run!(&mut tx.conn, SUBMITTED, request.0, id.as_str(), &version, try_id)) }.boxed()
        });
        self.answer(op, answer).await?;
        Ok(None)
    }
}

async fn end_trial(
    tx: &mut Tx,
    (by, (entry_id, try_id)): (PrincipalId, (Uuid, Uuid)),
    (id, version): (&ModelId, &str),
    outcome: Result<(), String>,
) -> Result<bool, Error> {
    let mut outcome = outcome;
    let Some(tried) = find(tx, id, version).await? else { return Ok(false) };
    let found: Option<EntryRow> = row!(&mut tx.conn, ONE, id.as_str());
    let before = found.map(entry).transpose()?;
    if outcome.is_ok() && before.as_ref().is_some_and(|before| before.owner != Owner::Push) {
        outcome = Err("Meanwhile there is another model with this name.".to_owned());
    }
    let state = if outcome.is_ok() { VersionState::Good } else { VersionState::Failed };
    let reason = outcome.as_ref().err().map(|why| text::words(why));
    let ended =
        run!(&mut tx.conn, END, state.name(), reason, Ts(tx.now), id.as_str(), version, try_id);
    if ended == 0 {
        return Ok(false);
    }
    if let Some(trial) = trial_id(id) {
        run!(&mut tx.conn, END_TRIAL, trial.as_str());
    }
    tx.after.changes.push(Change::Models);
    if outcome.is_ok() {
        serve(tx, id, &tried, before.is_none()).await?;
        let said = format!("{id} {version}: its example has predictions");
        write_down(tx, entry_id, Some(by), (AuditAction::PublishModel, said)).await?;
    }
    Ok(true)
}
