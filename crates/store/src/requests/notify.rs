//! Telling the other servers on one PostgreSQL that something changed (trap T12: after the commit, by
//! one task, many changes together). It is a hint; whoever hears it reads again.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sqlx::postgres::{PgListener, PgNotification};
use sqlx::{PgPool, Postgres};
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::{ENDED_POSTGRES, RequestRow, request};
use crate::{Change, Error, Finished, Inner, Op, Store};

/// At most one notification in this time.
const COALESCE: Duration = Duration::from_millis(20);
const RECONNECT: Duration = Duration::from_secs(1);
pub(crate) const CHANNEL: &str = "muster";
/// Payloads that are not the name of a server: somebody wants to know what is planned, is told, and is
/// told that something else is planned by now.
pub(crate) const PLANNED_ASKED: &str = "planned?";
pub(crate) const PLANNED_TOLD: &str = "planned";
pub(crate) const PLANNED_NEWS: &str = "planned!";

/// Behind the name of a server: it has work of a model of which it knew none.
const UNSEEN: &str = " unseen";

/// How often it is looked whether what somebody waits for here has ended elsewhere, if nobody says
/// anything: a notification may be lost. And while none can come.
const LOOK: Duration = Duration::from_secs(1);
const LOOK_DEAF: Duration = Duration::from_millis(250);
/// Why requests wait is read again so often at most.
const HELD: Duration = Duration::from_millis(200);

/// A hint may be lost with the database: its transaction does not wait for the disk, where it would
/// stand in the way of those that have to.
const TELL: &str = "SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, $2)";

pub(crate) async fn tell(inner: Arc<Inner>, pool: PgPool) {
    loop {
        inner.notify.notified().await;
        let unseen = if inner.unseen.take_untold() { UNSEEN } else { "" };
        let told = sqlx::query(TELL).bind(CHANNEL).bind(format!("{}{unseen}", inner.server));
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
                    inner.listens.store(true, Ordering::Relaxed);
                    heard(&inner);
                    inner.planned.asked.notify_one();
                    // Nothing means that the connection was lost, and perhaps a notification.
                    while let Ok(note) = listener.try_recv().await {
                        match note.as_ref().map(PgNotification::payload) {
                            Some(PLANNED_ASKED) => inner.planned.asked.notify_one(),
                            Some(PLANNED_TOLD) => inner.planned.told.notify_waiters(),
                            // Whoever plans has told its own.
                            Some(PLANNED_NEWS) => {
                                if inner.planned.is_elsewhere() {
                                    inner.planned.news.send_modify(|n| *n += 1);
                                }
                            }
                            Some(server) => {
                                let unseen = server.strip_suffix(UNSEEN);
                                if unseen.unwrap_or(server) == me {
                                    continue;
                                }
                                heard(&inner);
                                if unseen.is_some() {
                                    inner.unseen.hear();
                                }
                            }
                            None => heard(&inner),
                        }
                    }
                }
            }
            Err(error) => tracing::debug!(%error, "not listening to the other servers"),
        }
        inner.listens.store(false, Ordering::Relaxed);
        // Whatever was missed meanwhile.
        heard(&inner);
        tokio::time::sleep(RECONNECT).await;
    }
}

/// Tells those who wait here what other servers ended, and learns why requests wait.
pub(crate) async fn follow(inner: Arc<Inner>) {
    let mut held = Instant::now();
    let mut is_new = false;
    loop {
        let awaited = !inner.waiters.awaited().is_empty();
        let rest = if inner.listens.load(Ordering::Relaxed) { LOOK } else { LOOK_DEAF };
        let rest = Instant::now() + rest;
        let is_hint = tokio::select! {
            () = inner.elsewhere.notified() => true,
            () = sleep_until(rest), if awaited => false,
            () = inner.waiters.came(), if !awaited => continue,
            () = sleep_until(held + HELD), if is_new => false,
        };
        is_new |= is_hint || !inner.listens.load(Ordering::Relaxed);
        if let Err(error) = tell_ended(&inner).await {
            tracing::debug!(%error, "it is not known what other servers ended");
        }
        if is_new && held.elapsed() >= HELD {
            (held, is_new) = (Instant::now(), false);
            if let Err(error) = (Store { inner: Arc::clone(&inner) }).read_held().await {
                tracing::debug!(%error, "it is not known why requests wait");
            }
        }
    }
}

async fn tell_ended(inner: &Inner) -> Result<(), Error> {
    let awaited: Vec<Uuid> = inner.waiters.awaited().into_iter().map(|id| id.0).collect();
    let Some(pool) = inner.db.postgres_readers().filter(|_| !awaited.is_empty()) else {
        return Ok(());
    };
    let ended = sqlx::query_as::<Postgres, RequestRow>(ENDED_POSTGRES).bind(awaited);
    let ended = ended.fetch_all(pool).await?;
    // What this server ended its writer tells, with more than can be read here.
    drop(inner.telling.lock().await);
    for row in ended {
        inner.waiters.tell(&Finished { request: Arc::new(request(row)?), part: None });
    }
    Ok(())
}

fn heard(inner: &Inner) {
    inner.elsewhere.notify_one();
    // A full or closed channel has a writer that looks anyway.
    drop(inner.ops.try_send(Op::Look));
    drop(inner.changes.send(Change::Elsewhere));
    inner.queue_changed.send_modify(|n| *n += 1);
}
