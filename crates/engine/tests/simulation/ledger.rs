//! The clients: what they sent and what they were told. Their notes outlive every hub.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::TryStreamExt;
use muster_core::input::InputTable;
use muster_core::request::{Ended, Phase};
use muster_core::{PrincipalId, Request, RequestId};
use muster_store::{Error, Format, NewRequest, Store};

use crate::models::Calls;
use crate::scenario::{Bad, Submit};

/// One request as its client knows it.
pub struct Sent {
    pub principal: PrincipalId,
    pub model: String,
    pub key: Option<String>,
    pub inputs: Vec<String>,
    /// Under which ids it was sent; without a key each may be a request of its own.
    pub ids: Vec<RequestId>,
    /// The id it was given.
    pub acknowledged: Option<RequestId>,
    /// The end that a client was told or read.
    pub end: Option<Arc<Request>>,
    /// The result that a client read.
    pub result: Option<Vec<serde_json::Value>>,
}

#[derive(Default)]
pub struct Ledger {
    pub sent: Vec<Sent>,
    /// What must not be.
    pub faults: Vec<String>,
    /// The object storage is broken.
    pub objects_away: bool,
}

/// Shared with the clients' tasks, which outlive a step.
pub type Notes = Arc<Mutex<Ledger>>;

impl Sent {
    pub fn new(number: usize, submit: &Submit, principal: PrincipalId, cached: bool) -> Self {
        // Predictions are only used again if inputs come again.
        let text = |row| match row {
            row if cached && row % 2 == 0 => format!("known {}", (number + row) % 9),
            row => format!("{number}/{row}"),
        };
        let mut inputs: Vec<String> = (0..submit.inputs).map(text).collect();
        let bad = match submit.with {
            Some(Bad::Refused) => " refused",
            Some(Bad::Poison) => " poison",
            None => "",
        };
        if !bad.is_empty() {
            inputs[number % submit.inputs] = format!("{number}{bad}");
        }
        Self {
            principal,
            model: format!("m{}", submit.model),
            key: submit.key.then(|| format!("key {number}")),
            inputs,
            ids: vec![],
            acknowledged: None,
            end: None,
            result: None,
        }
    }

    fn request(&self, id: RequestId, number: usize, store: &Store) -> NewRequest {
        let inputs = self.inputs.iter().map(String::as_str).collect();
        NewRequest {
            id,
            principal: self.principal,
            model: store.find_model(&self.model.parse().expect("an id")).expect("the model"),
            key: self.key.clone(),
            body_hash: [number as u8; 32],
            reading: muster_core::request::Reading::default(),
            label: None,
            inputs: InputTable { inputs, records: None },
            use_cache: true,
        }
    }
}

/// Submits a request, perhaps again, and notes what it was told (I-05).
pub async fn submit(notes: Notes, number: usize, store: Store) {
    let new = {
        let mut ledger = notes.lock().expect("no panic");
        let id = RequestId(store.clock().id());
        ledger.sent[number].ids.push(id);
        ledger.sent[number].request(id, number, &store)
    };
    let Ok(submitted) = store.submit(new).await else { return };
    let mut ledger = notes.lock().expect("no panic");
    let id = submitted.request.id;
    let known = ledger.sent[number].acknowledged.replace(id);
    if known.is_some_and(|known| known != id) {
        ledger.faults.push(format!("request {number} was doubled"));
    }
    drop(ledger);
    if submitted.request.phase.is_ended() {
        note_end(&notes, number, &submitted.request);
    }
}

/// Something else under the same key is refused, unless the key was not taken (I-05).
pub async fn misuse(notes: Notes, number: usize, store: Store) {
    let new = {
        let ledger = notes.lock().expect("no panic");
        let sent = &ledger.sent[number];
        if sent.acknowledged.is_none() || sent.key.is_none() {
            return;
        }
        let id = RequestId(store.clock().id());
        NewRequest { body_hash: [255; 32], ..sent.request(id, number, &store) }
    };
    if store.submit(new).await.is_ok() {
        fault(&notes, format!("the key of request {number} was taken for something else"));
    }
}

/// Cancels a request and notes how it ended (I-14).
pub async fn cancel(notes: Notes, number: usize, store: Store) {
    let Some((principal, id)) = known(&notes, number) else { return };
    match store.cancel_request(principal, id, "not needed").await {
        Ok(Some(request)) if request.phase.is_ended() => note_end(&notes, number, &request),
        Ok(Some(_)) => fault(&notes, format!("request {number} goes on after it was cancelled")),
        Ok(None) => fault(&notes, format!("request {number} was lost")),
        Err(_) => {}
    }
}

/// Reads a request and its result (I-01, I-09).
pub async fn read(notes: Notes, number: usize, store: Store) {
    let Some((principal, id)) = known(&notes, number) else { return };
    let request = match store.find_request(principal, id).await {
        Ok(Some(request)) => request,
        Ok(None) => return fault(&notes, format!("request {number} was lost")),
        Err(_) => return,
    };
    let ended = request.phase.is_ended();
    if ended {
        note_end(&notes, number, &request);
    }
    let rows = match download(&store, principal, id).await {
        Ok(rows) => rows,
        Err(Error::NotEnded) if !ended => return,
        Err(Error::NoResult) if request.phase.name() != "completed" => return,
        Err(Error::Unavailable { .. }) => return,
        Err(Error::Corrupt(_)) if notes.lock().expect("no panic").objects_away => return,
        Err(error) => return fault(&notes, format!("the result of request {number}: {error}")),
    };
    let mut ledger = notes.lock().expect("no panic");
    let before = ledger.sent[number].result.get_or_insert_with(|| rows.clone());
    if *before != rows {
        ledger.faults.push(format!("the result of request {number} changed"));
    }
}

async fn download(
    store: &Store,
    principal: PrincipalId,
    id: RequestId,
) -> Result<Vec<serde_json::Value>, Error> {
    let download = store.download(principal, id, Format::Json).await?;
    let stream = download.expect("a request").stream;
    let chunks: Vec<Bytes> = stream.try_collect().await?;
    Ok(serde_json::from_slice(&chunks.concat()).expect("JSON"))
}

fn known(notes: &Notes, number: usize) -> Option<(PrincipalId, RequestId)> {
    let ledger = notes.lock().expect("no panic");
    let sent = ledger.sent.get(number)?;
    Some((sent.principal, sent.acknowledged?))
}

/// An end is final (I-02).
fn note_end(notes: &Notes, number: usize, request: &Arc<Request>) {
    let mut ledger = notes.lock().expect("no panic");
    let before = ledger.sent[number].end.get_or_insert_with(|| Arc::clone(request)).clone();
    if before != *request {
        let (old, new) = (before.phase.name(), request.phase.name());
        ledger.faults.push(format!("request {number} changed after its end: {old}, {new}"));
    }
}

fn fault(notes: &Notes, what: String) {
    notes.lock().expect("no panic").faults.push(what);
}

/// The rows of a completed request are those of its inputs, in their order, and were answered by a call
/// that had the input (I-08). A failed one says why (I-30).
pub fn check_result(number: usize, sent: &Sent, calls: &Calls, wrong: &mut Vec<String>) {
    let Some(end) = &sent.end else {
        if sent.key.is_some() || sent.acknowledged.is_some() {
            wrong.push(format!("I-03: request {number} did not end"));
        }
        return;
    };
    if let Phase::Ended { how: Ended::Failed { reason }, .. } = &end.phase
        && reason.is_empty()
    {
        wrong.push(format!("I-30: request {number} failed without a reason"));
    }
    if end.phase.name() != "completed" {
        return;
    }
    let rows = sent.result.as_deref().unwrap_or_default();
    if rows.len() != sent.inputs.len() {
        wrong.push(format!("I-09: request {number} has {} rows", rows.len()));
    }
    for (row, input) in rows.iter().zip(&sent.inputs) {
        let failed = row.get("error").is_some_and(|error| !error.is_null());
        let call = row["call"].as_u64().and_then(|call| calls.all.get(call as usize));
        let called = row.get("ghost").is_some_and(|ghost| !ghost.is_null())
            || call.is_some_and(|call| call.contains(input));
        let own = row["input"] == **input && (failed || (row["echo"] == **input && called));
        if !own {
            wrong.push(format!("I-08: request {number} has {row} for {input}"));
        }
    }
}
