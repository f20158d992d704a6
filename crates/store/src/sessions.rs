//! Principals and their sessions. Only the hash of a token is stored.

use std::time::Duration;

use futures::FutureExt;
use muster_core::PrincipalId;
use uuid::Uuid;

use crate::db::{Ts, on};
use crate::writer::{Tx, work};
use crate::{Error, PrincipalKind, Session, Store};

const ADD_PRINCIPAL: &str =
    "INSERT INTO principal (id, kind, created_at) VALUES ($1, 'anonymous', $2)";

const ADD_SESSION: &str = "INSERT INTO session (token_hash, principal_id, created_at, expires_at) \
     VALUES ($1, $2, $3, $4)";

const FIND: &str = "SELECT s.principal_id, p.kind, s.expires_at FROM session s \
     JOIN principal p ON p.id = s.principal_id WHERE s.token_hash = $1 AND s.expires_at > $2";

impl Store {
    /// A new anonymous principal with one session.
    pub async fn create_session(
        &self,
        token_hash: [u8; 32],
        lifetime: Duration,
    ) -> Result<Session, Error> {
        let principal = PrincipalId(self.inner.clock.id());
        let (op, answer) = work(move |tx: &mut Tx| {
            async move {
                let (now, expires_at) = (tx.now, tx.now + lifetime);
                on!(&mut tx.conn, c => {
                    sqlx::query(ADD_PRINCIPAL)
                        .bind(principal.0)
                        .bind(Ts(now))
                        .execute(&mut *c)
                        .await?;
                    sqlx::query(ADD_SESSION)
                        .bind(token_hash.to_vec())
                        .bind(principal.0)
                        .bind(Ts(now))
                        .bind(Ts(expires_at))
                        .execute(c)
                        .await
                        .map(|_| ())?
                });
                Ok(Session { principal, kind: PrincipalKind::Anonymous, expires_at })
            }
            .boxed()
        });
        self.answer(op, answer).await
    }

    /// The session of a token, unless it is over.
    pub async fn find_session(&self, token_hash: &[u8; 32]) -> Result<Option<Session>, Error> {
        let now = self.inner.now();
        let mut conn = self.inner.db.read().await?;
        let row: Option<(Uuid, String, Ts)> = on!(&mut conn, c => {
            sqlx::query_as(FIND)
                .bind(token_hash.to_vec())
                .bind(Ts(now))
                .fetch_optional(c)
                .await?
        });
        Ok(row.map(|(principal, kind, expires_at)| Session {
            principal: PrincipalId(principal),
            kind: match kind.as_str() {
                "account" => PrincipalKind::Account,
                _ => PrincipalKind::Anonymous,
            },
            expires_at: expires_at.0,
        }))
    }
}
