//! Telling the other servers on one PostgreSQL that something changed (trap T12: after the commit, by
//! one task, many changes together). It is a hint; whoever hears it reads again.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgListener;

use crate::writer::Op;
use crate::{Change, Inner};

/// At most one notification in this time.
const COALESCE: Duration = Duration::from_millis(20);
const RECONNECT: Duration = Duration::from_secs(1);
const CHANNEL: &str = "muster";

/// A hint may be lost with the database: its transaction does not wait for the disk, where it would
/// stand in the way of those that have to.
const TELL: &str = "SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, $2)";

pub(crate) async fn tell(inner: Arc<Inner>, pool: PgPool) {
    loop {
        inner.notify.notified().await;
        let server = inner.server.to_string();
        let told = sqlx::query(TELL).bind(CHANNEL).bind(server);
        if let Err(error) = told.execute(&pool).await {
            tracing::debug!(%error, "the other servers are not told; they look by themselves");
        }
        tokio::time::sleep(COALESCE).await;
    }
}

pub(crate) async fn listen(inner: Arc<Inner>, pool: PgPool) {
    let me = inner.server.to_string();
    loop {
        match PgListener::connect_with(&pool).await {
            Ok(mut listener) => {
                if listener.listen(CHANNEL).await.is_ok() {
                    // Nothing means that the connection was lost, and perhaps a notification.
                    while let Ok(note) = listener.try_recv().await {
                        if note.is_none_or(|note| note.payload() != me) {
                            heard(&inner);
                        }
                    }
                }
            }
            Err(error) => tracing::debug!(%error, "not listening to the other servers"),
        }
        // Whatever was missed meanwhile.
        heard(&inner);
        tokio::time::sleep(RECONNECT).await;
    }
}

fn heard(inner: &Inner) {
    // A full or closed channel has a writer that looks anyway.
    drop(inner.ops.try_send(Op::Look));
    drop(inner.changes.send(Change::Elsewhere));
    inner.queue_changed.send_modify(|n| *n += 1);
}
