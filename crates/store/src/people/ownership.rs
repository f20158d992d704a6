//! Requests change their owner: an anonymous session's, when the person logs in; and they go with
//! an account.

use futures::FutureExt;
use muster_core::PrincipalId;
use muster_core::session::EndReason;
use uuid::Uuid;

use crate::db::Ts;
use crate::db::statement::{rows, run};
use crate::people::accounts::is_last_admin;
use crate::people::changes::end_all;
use crate::people::chosen_secret;
use crate::requests::NOBODY;
use crate::writer::{Tx, work};
use crate::{Error, Store};

/// Only once, and only what is anonymous.
const CLAIM: &str = "UPDATE principal SET claimed_by = $2, changed_at = $3 \
     WHERE id = $1 AND kind = 'anonymous' AND claimed_by IS NULL";

/// Tasks before their requests, as everywhere.
const MOVE_TASKS: &str = "UPDATE task SET principal_id = $2 \
     WHERE request_id IN (SELECT id FROM request WHERE principal_id = $1)";

/// A key that both used stays with the account's own request.
const MOVE_REQUESTS: &str = "UPDATE request SET principal_id = $2, \
     idempotency_key = CASE WHEN EXISTS (SELECT 1 FROM request o WHERE o.principal_id = $2 \
     AND o.idempotency_key = request.idempotency_key) THEN NULL ELSE idempotency_key END \
     WHERE principal_id = $1";

const LATE: &str = "SELECT p.id, p.claimed_by FROM principal p \
     WHERE p.changed_at > $1 AND p.claimed_by IS NOT NULL AND p.claimed_by <> $2 \
     AND EXISTS (SELECT 1 FROM request r WHERE r.principal_id = p.id)";

/// What is nobody's is cleared.
const LEAVE: &str = "UPDATE principal SET claimed_by = $2 WHERE id = $1";

/// The principal stays, as a name of nobody: servers that remember it look it up once more.
const DELETE: [&str; 4] = [
    "DELETE FROM token WHERE session_id IN (SELECT id FROM session WHERE principal_id = $1)",
    "DELETE FROM session WHERE principal_id = $1",
    "DELETE FROM link WHERE principal_id = $1",
    "DELETE FROM account WHERE principal_id = $1",
];

impl Store {
    /// Gives an anonymous principal's requests to an account and ends its sessions, once. How many
    /// requests it were; nothing if somebody claimed them before.
    pub async fn claim_requests(
        &self,
        anonymous: PrincipalId,
        account: PrincipalId,
    ) -> Result<Option<u64>, Error> {
        let (op, answer) = work(move |tx: &mut Tx| {
            async move {
                if run!(&mut tx.conn, CLAIM, anonymous.0, account.0, Ts(tx.now)) == 0 {
                    return Ok(None);
                }
                end_all(tx, anonymous, None, EndReason::SignedOut).await?;
                run!(&mut tx.conn, chosen_secret::FORGET, anonymous.0);
                move_requests(tx, anonymous.0, account.0).await.map(Some)
            }
            .boxed()
        });
        self.answer(op, answer).await
    }

    /// Moves requests that were submitted while their session was being claimed.
    pub async fn claim_late(&self, within: std::time::Duration) -> Result<(), Error> {
        let since = Ts(self.inner.now() - within);
        let mut conn = self.inner.db.read().await?;
        let late: Vec<(Uuid, Uuid)> = rows!(&mut conn, LATE, since, NOBODY);
        drop(conn);
        for (anonymous, account) in late {
            let (op, answer) = work(move |tx: &mut Tx| {
                async move { move_requests(tx, anonymous, account).await }.boxed()
            });
            self.answer(op, answer).await?;
        }
        Ok(())
    }

    /// Deletes an account and its sessions, and after that its requests and results, some at a time. What
    /// runs is cancelled. False if it is the last admin's.
    pub async fn delete_account(&self, id: PrincipalId) -> Result<bool, Error> {
        let (op, answer) = work(move |tx: &mut Tx| {
            async move {
                if is_last_admin(tx, id).await? {
                    return Ok(false);
                }
                delete(tx, id).await.map(|()| true)
            }
            .boxed()
        });
        let deleted = self.answer(op, answer).await?;
        if deleted {
            self.clear_left_soon().await;
        }
        Ok(deleted)
    }
}

async fn move_requests(tx: &mut Tx, from: Uuid, to: Uuid) -> Result<u64, Error> {
    run!(&mut tx.conn, MOVE_TASKS, from, to);
    let moved = run!(&mut tx.conn, MOVE_REQUESTS, from, to);
    tx.backlogs.clear();
    Ok(moved)
}

/// Its requests are left to [`Store::clear_left_soon`].
pub(crate) async fn delete(tx: &mut Tx, id: PrincipalId) -> Result<(), Error> {
    end_all(tx, id, None, EndReason::Revoked).await?;
    run!(&mut tx.conn, LEAVE, id.0, NOBODY);
    for statement in DELETE {
        run!(&mut tx.conn, statement, id.0);
    }
    Ok(())
}
