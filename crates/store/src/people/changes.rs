//! What every change of a person's sessions or rights comes to: sessions end, and all servers hear of it.

use muster_core::session::EndReason;
use muster_core::{PrincipalId, SessionId};

use crate::Error;
use crate::db::Ts;
use crate::db::statement::run;
use crate::writer::Tx;

const END_ALL: &str = "UPDATE session SET ended_at = $2, end_reason = $3 \
     WHERE principal_id = $1 AND ended_at IS NULL AND ($4 IS NULL OR id <> $4)";

const CHANGED: &str = "UPDATE principal SET changed_at = $2 WHERE id = $1";

/// Ends all sessions and API tokens of a principal, but one.
pub(crate) async fn end_all(
    tx: &mut Tx,
    principal: PrincipalId,
    but: Option<SessionId>,
    reason: EndReason,
) -> Result<u64, Error> {
    let (at, but) = (Ts(tx.now), but.map(|id| id.0));
    let ended = run!(&mut tx.conn, END_ALL, principal.0, at, reason.name(), but);
    note_changed(tx, principal).await?;
    Ok(ended)
}

/// Tells all servers to forget what they remember of a principal.
pub(crate) async fn note_changed(tx: &mut Tx, principal: PrincipalId) -> Result<(), Error> {
    run!(&mut tx.conn, CHANGED, principal.0, Ts(tx.now));
    Ok(())
}
