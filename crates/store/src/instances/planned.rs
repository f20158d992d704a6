//! What the server that plans saw and decided, for those who ask. It is kept in memory; only a server that
//! does not plan asks for it over the database, so that there is no statement while nobody wants to know.

use std::sync::{Arc, Weak};
use std::time::Duration;

use muster_core::plan::Planned;
use sqlx::{PgPool, Postgres};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until};

use crate::db::Db;
use crate::requests::notify::{CHANNEL, PLANNED_ASKED, PLANNED_NEWS, PLANNED_TOLD};
use crate::{Error, Inner, Store};

/// How long another server may take to say what it planned.
const PATIENCE: Duration = Duration::from_secs(2);
/// It is looked this often: a notification may be lost.
const LOOK: Duration = Duration::from_millis(250);
/// That something else is planned is told at most so often.
const NEWS_EVERY: Duration = Duration::from_secs(1);
/// For how long another server is told of that after it asked.
const WANTS_NEWS: Duration = Duration::from_secs(60);

const ASK_POSTGRES: &str = "WITH ask AS (INSERT INTO planned (id, asked, told) VALUES (1, 1, 0) \
     ON CONFLICT (id) DO UPDATE SET asked = planned.asked + 1 RETURNING asked) \
     SELECT asked FROM ask, pg_notify($1, $2)";

const TELL_POSTGRES: &str = "WITH told AS (UPDATE planned SET told = asked, planned = $1 \
     WHERE told < asked RETURNING 1) SELECT pg_notify($2, $3) FROM told";

const NEWS_POSTGRES: &str = "SELECT pg_notify($1, $2)";

const READ_POSTGRES: &str = "SELECT planned FROM planned WHERE told >= $1";

#[derive(Default)]
pub(crate) struct PlannedHere {
    /// Of this server's last look, while it is the one that plans.
    own: watch::Sender<Option<Arc<Planned>>>,
    /// What another server told last, and when that was asked for. One question at a time.
    elsewhere: tokio::sync::Mutex<(Option<Instant>, Weak<Planned>)>,
    /// Counts how often something else was planned, here or elsewhere.
    pub news: watch::Sender<u64>,
    pub asked: Notify,
    pub told: Notify,
}

impl PlannedHere {
    /// Does this server not plan?
    pub fn is_elsewhere(&self) -> bool {
        self.own.borrow().is_none()
    }
}

impl Store {
    /// This server looked and planned, or does not plan any more.
    pub fn set_planned(&self, planned: Option<Planned>) {
        let own = &self.inner.planned.own;
        if planned.is_some() || own.borrow().is_some() {
            own.send_replace(planned.map(Arc::new));
        }
    }

    /// What this server planned last, if it is the one that plans.
    pub fn planned_here(&self) -> watch::Receiver<Option<Arc<Planned>>> {
        self.inner.planned.own.subscribe()
    }

    /// Changes when something else is planned, by whichever server plans: a hint. Of another server it is
    /// told for a while after it was asked.
    pub fn planned_news(&self) -> watch::Receiver<u64> {
        self.inner.planned.news.subscribe()
    }

    /// What was planned last, by whichever server plans. Nothing if nobody does, or does not answer.
    ///
    /// # Errors
    ///
    /// If the database cannot be asked.
    pub async fn planned(&self) -> Result<Option<Arc<Planned>>, Error> {
        let here = &self.inner.planned;
        if let Some(own) = &*here.own.borrow() {
            return Ok(Some(Arc::clone(own)));
        }
        let Db::Postgres { write, read, .. } = &self.inner.db else { return Ok(None) };
        let begun = Instant::now();
        let mut last = here.elsewhere.lock().await;
        // Whoever waited here gets the answer of whoever asked meanwhile.
        if last.0.is_some_and(|asked| asked >= begun)
            && let Some(planned) = last.1.upgrade()
        {
            return Ok(Some(planned));
        }
        let asked_at = Instant::now();
        let ask = sqlx::query_scalar::<Postgres, i64>(ASK_POSTGRES);
        let number = ask.bind(CHANNEL).bind(PLANNED_ASKED).fetch_one(write).await?;
        while asked_at.elapsed() < PATIENCE {
            let told = here.told.notified();
            let found = sqlx::query_scalar::<Postgres, Option<String>>(READ_POSTGRES);
            if let Some(text) = found.bind(number).fetch_optional(read).await?.flatten() {
                let planned = Arc::new(parse(text).await?);
                *last = (Some(asked_at), Arc::downgrade(&planned));
                return Ok(Some(planned));
            }
            tokio::select! {
                () = told => {}
                () = sleep(LOOK) => {}
            }
        }
        Ok(None)
    }
}

/// Many nodes and who is on them are a long text.
async fn parse(text: String) -> Result<Planned, Error> {
    let parsed = tokio::task::spawn_blocking(move || serde_json::from_str(&text)).await;
    parsed.map_err(Error::unavailable)?.map_err(|error| {
        Error::unavailable(format!("the server that plans is of another version: {error}"))
    })
}

/// Answers the other servers, and says what is new to those who want to know.
pub(crate) async fn follow(inner: Arc<Inner>) {
    let here = &inner.planned;
    let mut own = here.own.subscribe();
    let pool = match &inner.db {
        Db::Postgres { write, .. } => Some(write.clone()),
        Db::Sqlite { .. } => None,
    };
    let (mut last, mut is_new) = (None, false);
    let (mut next, mut asked_at) = (Instant::now(), None::<Instant>);
    loop {
        tokio::select! {
            () = here.asked.notified() => {
                let planned = own.borrow().clone();
                if let (Some(pool), Some(planned)) = (&pool, planned) {
                    asked_at = Some(Instant::now());
                    hinted(tell(pool, planned).await);
                }
            }
            _ = own.changed(), if !is_new => is_new = true,
            () = sleep_until(next), if is_new => {
                (is_new, next) = (false, Instant::now() + NEWS_EVERY);
                let planned = own.borrow_and_update().clone();
                let afar = pool.as_ref().filter(|_| asked_at.is_some_and(|at| at.elapsed() < WANTS_NEWS));
                // It is looked through only if somebody wants to know.
                let wanted = here.news.receiver_count() > 0 || afar.is_some();
                if wanted && !shows_the_same(&last, &planned) {
                    here.news.send_modify(|n| *n += 1);
                    if let Some(pool) = afar {
                        let news = sqlx::query(NEWS_POSTGRES).bind(CHANNEL).bind(PLANNED_NEWS);
                        hinted(news.execute(pool).await.map(|_| ()).map_err(Error::from));
                    }
                }
                last = planned;
            }
        }
    }
}

fn shows_the_same(one: &Option<Arc<Planned>>, other: &Option<Arc<Planned>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.shows_what(other),
        (None, None) => true,
        _ => false,
    }
}

fn hinted(told: Result<(), Error>) {
    if let Err(error) = told {
        tracing::debug!(%error, "another server is not told what is planned; it asks again");
    }
}

async fn tell(pool: &PgPool, own: Arc<Planned>) -> Result<(), Error> {
    let written = tokio::task::spawn_blocking(move || serde_json::to_string(&*own)).await;
    let text = written.map_err(Error::unavailable)?.map_err(|e| Error::Refused(e.to_string()))?;
    let tell = sqlx::query(TELL_POSTGRES).bind(text).bind(CHANNEL).bind(PLANNED_TOLD);
    tell.execute(pool).await?;
    Ok(())
}
