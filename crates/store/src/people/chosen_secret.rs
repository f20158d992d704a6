//! Anonymous people who come back with a secret that they chose themselves.

use futures::FutureExt;
use muster_core::PrincipalId;
use uuid::Uuid;

use crate::db::Ts;
use crate::db::statement::{row, run};
use crate::people::accounts::DROP_PRINCIPAL;
use crate::people::sessions::ADD_ANONYMOUS;
use crate::writer::{Tx, work};
use crate::{Error, Store};

const OF: &str = "SELECT principal_id FROM chosen_secret WHERE hash = $1";

const ADD: &str =
    "INSERT INTO chosen_secret (hash, principal_id) VALUES ($1, $2) ON CONFLICT (hash) DO NOTHING";

/// What was claimed belongs to an account: whoever comes with the secret then is somebody new.
pub(crate) const FORGET: &str = "DELETE FROM chosen_secret WHERE principal_id = $1";

impl Store {
    /// The anonymous principal of a chosen secret, of which only the hash is stored; a new one if
    /// nobody came with it before.
    pub async fn anonymous_of(&self, hash: [u8; 32]) -> Result<PrincipalId, Error> {
        let new = self.inner.clock.id();
        let (op, answer) = work(move |tx: &mut Tx| {
            async move {
                let known: Option<(Uuid,)> = row!(&mut tx.conn, OF, hash.to_vec());
                if let Some((id,)) = known {
                    return Ok(PrincipalId(id));
                }
                run!(&mut tx.conn, ADD_ANONYMOUS, new, Ts(tx.now));
                if run!(&mut tx.conn, ADD, hash.to_vec(), new) > 0 {
                    return Ok(PrincipalId(new));
                }
                // Another server was faster.
                run!(&mut tx.conn, DROP_PRINCIPAL, new);
                let known: Option<(Uuid,)> = row!(&mut tx.conn, OF, hash.to_vec());
                let known = known.ok_or_else(|| Error::Corrupt("a chosen secret".into()))?;
                Ok(PrincipalId(known.0))
            }
            .boxed()
        });
        self.answer(op, answer).await
    }
}
