//! Storing what was read of a submission, if the person's limits and the model allow it.

use std::sync::Arc;

use muster_core::quota::Amounts;
use muster_core::{Model, PrincipalId, RequestId};
use muster_store::{NewRequest, Submitted};

use crate::app::{App, to_the_end};
use crate::http::problem::{Kind, Problem};
use crate::reading::Submission;
use crate::state::uses::Admitted;

/// Stores a request, if the person's limits and the model allow it. To its end: a client that
/// leaves does not stop it half-way.
pub async fn submit(
    app: &App,
    principal: PrincipalId,
    key: Option<String>,
    submission: Submission,
) -> Result<Submitted, Problem> {
    let Submission { mut model, inputs, reading, use_cache, body_hash, reserved, label, .. } =
        submission;
    let records = inputs.records.as_ref().map_or(0, |records| records.bytes());
    let more = Amounts {
        waiting_requests: 1,
        waiting_inputs: inputs.inputs.len() as u64,
        day_inputs: inputs.inputs.len() as u64,
        bytes: (inputs.inputs.bytes() + records) as u64,
    };
    let admitted = match (admit(app, principal, &mut model, more).await, &key) {
        (Ok(admitted), _) => Some(admitted),
        // What was submitted before under the same key is answered again, whatever the limits.
        (Err(_), Some(key)) if app.store.has_key(principal, key).await? => None,
        (Err(problem), _) => return Err(problem),
    };
    let id = RequestId(app.store.clock().id());
    let new =
        NewRequest { id, principal, model, key, body_hash, reading, label, inputs, use_cache };
    let store = app.store.clone();
    to_the_end(async move {
        let submitted = store.submit(new).await;
        drop(reserved);
        if let (Some(admitted), Ok(Submitted { created: true, .. })) = (admitted, &submitted) {
            admitted.stored();
        }
        Ok(submitted?)
    })
    .await
}

/// May the person submit `more` to the model? It was looked up before the inputs came, so it is looked up
/// again; the store has the last word.
async fn admit(
    app: &App,
    principal: PrincipalId,
    model: &mut Arc<Model>,
    more: Amounts,
) -> Result<Admitted, Problem> {
    let now = app.store.find_model(&model.id).filter(|now| !now.is_trial());
    let now = now.ok_or_else(Problem::unknown_model)?;
    if let Some(reason) = app.store.disabled(&model.id) {
        return Err(Problem::model_disabled(&reason));
    }
    if now.input != model.input {
        let detail = "What the model takes was changed while the inputs came. Send them again.";
        return Err(Problem::new(Kind::Busy, detail));
    }
    *model = now;
    app.uses.admit(&app.store, principal, more).await
}
