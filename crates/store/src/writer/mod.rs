//! Group commit: the one writer of this process.
//!
//! Whatever arrives while a transaction is under way goes into the next one together. Claims that
//! wait for work are served at the end of a group, in the same transaction, so that a submission
//! and its claim, or a completion and the next claim, are one commit.

mod op;
pub mod pace;
mod parked;
mod tx;
pub mod waiters;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_core::{ModelId, Timestamp};
use tokio::sync::mpsc;

use crate::db::conn::Conn;
use crate::{Error, Inner, crash_point};

pub(crate) use op::{Claimed, Op, Subjects, WaitingClaim, Work, work};
pub(crate) use parked::Parked;
use parked::Version;
use tx::{After, begin};
pub(crate) use tx::{Tx, beside};

/// Most operations in one transaction.
const GROUP: usize = 256;
/// How often PostgreSQL is asked for work of other servers while claims wait, and whether a pod works for
/// another one still.
const POLL: Duration = Duration::from_secs(1);
/// How often an operation is tried when another server is in its way.
const TRIES: u32 = 3;

/// How often a transaction tries to get SQLite's lock while another process has it, and for how long. By
/// itself SQLite sleeps longer each time, up to 0.1 s, and misses that the lock was free.
const LOCK_EACH: &str = "PRAGMA busy_timeout = 1";
const LOCK_WITHIN: Duration = Duration::from_secs(5);

pub(crate) struct Writer<S: Subjects> {
    inner: Arc<Inner>,
    ops: mpsc::Receiver<Op<S>>,
    /// In the order in which they came.
    claims: Vec<WaitingClaim>,
    /// Kept between transactions, never inside one: what the pool does before it lends a
    /// connection and when it gets it back would be two trips more for each.
    conn: Option<Conn>,
    /// When a version of a model may have something to claim, if it has something; absent: not known.
    hints: HashMap<Version, Option<Timestamp>>,
    /// When other servers' work was looked for.
    looked: Instant,
}

/// Why a transaction did not happen.
enum Failed {
    /// The database is away, or locked for too long; if it went during the commit nobody knows what came
    /// of it.
    Away(Error),
    /// An operation is at fault, or another server was in the way. Nothing is written.
    RolledBack(Error),
}

/// What came in for the next transaction.
struct Arrived<S: Subjects> {
    works: Vec<Box<dyn Work>>,
    submissions: Vec<S::Submission>,
}

impl<S: Subjects> Arrived<S> {
    fn len(&self) -> usize {
        self.works.len() + self.submissions.len()
    }

    fn into_works(mut self) -> Vec<Box<dyn Work>> {
        if !self.submissions.is_empty() {
            self.works.push(S::submissions(self.submissions));
        }
        self.works
    }
}

impl<S: Subjects> Writer<S> {
    pub(crate) fn new(inner: Arc<Inner>, ops: mpsc::Receiver<Op<S>>) -> Self {
        Self {
            inner,
            ops,
            claims: Vec::new(),
            conn: None,
            hints: HashMap::new(),
            looked: Instant::now(),
        }
    }

    /// Runs until the store is closed.
    pub(crate) async fn run(mut self) {
        loop {
            let mut arrived = Arrived { works: Vec::new(), submissions: Vec::new() };
            let due = self.next_due();
            self.inner.parked.sleeps(self.nothing());
            let came = tokio::select! {
                op = self.ops.recv() => match op {
                    Some(op) => Some(op),
                    None => return,
                },
                () = due => None,
            };
            self.claims.extend(self.inner.parked.wakes());
            if let Some(op) = came {
                self.take(op, &mut arrived);
            }
            while arrived.len() < GROUP
                && let Ok(op) = self.ops.try_recv()
            {
                self.take(op, &mut arrived);
            }
            let works = arrived.into_works();
            self.claims.retain(|claim| !claim.reply.is_closed());
            if self.polls() && self.looked.elapsed() >= POLL {
                self.look_everywhere();
            }
            if works.is_empty() && !self.has_claimable() {
                continue;
            }
            self.group(works).await;
        }
    }

    fn take(&mut self, op: Op<S>, arrived: &mut Arrived<S>) {
        match op {
            Op::Work(work) => arrived.works.push(work),
            Op::Submit(submission) => arrived.submissions.push(submission),
            Op::Claim(claim) => {
                self.hints.entry(of(&claim)).or_insert(Some(Timestamp(0)));
                self.claims.push(claim);
            }
            Op::Look => self.look_everywhere(),
        }
    }

    /// May other servers queue work that claims wait for? Also those that come while it sleeps.
    fn polls(&self) -> bool {
        self.inner.db.is_postgres()
    }

    /// Versions that have nothing to claim, now or later.
    fn nothing(&self) -> HashSet<Version> {
        let none = self.hints.iter().filter(|(_, due)| due.is_none());
        none.map(|(version, _)| version.clone()).collect()
    }

    fn look_everywhere(&mut self) {
        self.looked = Instant::now();
        self.hints = self.claims.iter().map(|claim| (of(claim), Some(Timestamp(0)))).collect();
    }

    fn has_claimable(&self) -> bool {
        let now = self.inner.now();
        self.claims.iter().any(|claim| self.is_due(claim, now))
    }

    fn due(&self, claim: &WaitingClaim) -> Option<Timestamp> {
        let due = self.hints.get(&of(claim)).copied().flatten();
        due.map(|due| due.max(claim.rests_until))
    }

    fn is_due(&self, claim: &WaitingClaim, now: Timestamp) -> bool {
        self.due(claim).is_some_and(|due| due <= now)
    }

    /// Models that have nothing to claim, now or later.
    fn quiet(&self) -> HashSet<ModelId> {
        let mut quiet: HashSet<ModelId> =
            self.hints.keys().map(|(model, _)| model.clone()).collect();
        for ((model, _), due) in &self.hints {
            if due.is_some() {
                quiet.remove(model);
            }
        }
        quiet
    }

    /// Ends when a waiting claim should be looked at although nothing arrived.
    fn next_due(&self) -> impl Future<Output = ()> + Send + use<S> {
        let now = self.inner.now();
        let dues = self.claims.iter().filter_map(|claim| self.due(claim));
        let mut wait = dues.min().map(|due| due.since(now).max(Duration::from_millis(1)));
        if self.polls() {
            let poll = POLL.saturating_sub(self.looked.elapsed());
            wait = Some(wait.unwrap_or(poll).min(poll));
        }
        async move {
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => std::future::pending().await,
            }
        }
    }

    async fn group(&mut self, mut works: Vec<Box<dyn Work>>) {
        let mut away = None;
        if works.iter().map(|work| work.parts()).sum::<usize>() != 1 {
            match self.transaction(&mut works).await {
                Ok(()) => return works.into_iter().for_each(|work| work.finish(Ok(()))),
                Err(Failed::Away(error)) => away = Some(error),
                Err(Failed::RolledBack(_)) => {}
            }
        }
        // Each gets a transaction of its own, unless the database is away for all of them.
        for work in works.into_iter().flat_map(|work| work.split()) {
            if let Some(error) = &away {
                work.finish(Err(error.clone()));
                continue;
            }
            let mut alone = [work];
            let outcome = self.alone(&mut alone).await;
            if let Err(Failed::Away(error)) = &outcome {
                away = Some(error.clone());
            }
            let [work] = alone;
            work.finish(outcome.map_err(|(Failed::Away(error) | Failed::RolledBack(error))| error));
        }
    }

    async fn alone(&mut self, work: &mut [Box<dyn Work>; 1]) -> Result<(), Failed> {
        let mut tries = 1;
        loop {
            match self.transaction(work).await {
                Err(Failed::RolledBack(Error::Unavailable { .. })) if tries < TRIES => tries += 1,
                outcome => return outcome,
            }
        }
    }

    /// On the connection of the last transaction, unless that was lost in the meantime.
    async fn begin(&mut self) -> Result<Tx, Error> {
        if let Some(conn) = self.conn.take() {
            match begin(conn, &self.inner).await {
                Ok(tx) => return Ok(tx),
                Err(error) => tracing::debug!(%error, "the writer takes another connection"),
            }
        }
        let mut conn = self.inner.db.write().await?;
        if !conn.is_postgres() {
            conn.command(LOCK_EACH).await?;
        }
        begin(conn, &self.inner).await
    }

    async fn transaction(&mut self, works: &mut [Box<dyn Work>]) -> Result<(), Failed> {
        let begun = Instant::now();
        let failed = loop {
            match self.try_once(works).await {
                Ok(()) => return Ok(()),
                Err(Failed::Away(error)) if error.is_locked() && begun.elapsed() < LOCK_WITHIN => {}
                Err(failed) => break failed,
            }
        };
        if works.is_empty() {
            let (Failed::Away(error) | Failed::RolledBack(error)) = &failed;
            tracing::warn!(%error, "nothing can be claimed");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Err(failed)
    }

    async fn try_once(&mut self, works: &mut [Box<dyn Work>]) -> Result<(), Failed> {
        let mut tx = self.begin().await.map_err(Failed::Away)?;
        tx.quiet = self.quiet();
        let mut served = Vec::new();
        let done = self.fill(&mut tx, works, &mut served).await;
        let inner = Arc::clone(&self.inner);
        let _telling = inner.telling.lock().await;
        let done = match done {
            Ok(()) => tx.conn.commit().await,
            Err(error) => Err(error),
        };
        if let Err(error) = done {
            let rolled_back = tx.conn.roll_back().await.is_ok();
            self.claims.extend(served.into_iter().rev().map(|(claim, _)| claim));
            if !rolled_back && error.is_locked() {
                // It has not begun.
                self.conn = Some(tx.conn);
                return Err(Failed::Away(error));
            }
            let failed = if rolled_back {
                self.conn = Some(tx.conn);
                Failed::RolledBack(error)
            } else {
                tx.conn.abandon();
                Failed::Away(error)
            };
            self.look_everywhere();
            return Err(failed);
        }
        self.conn = Some(tx.conn);
        self.inner.counters.transactions.add(1);
        self.inner.committed.notify_one();
        for (claim, tasks) in served {
            claim.answer(tasks, &self.inner);
        }
        self.after(tx.after);
        Ok(())
    }

    async fn fill(
        &mut self,
        tx: &mut Tx,
        works: &mut [Box<dyn Work>],
        served: &mut Vec<(WaitingClaim, Vec<crate::ClaimedTask>)>,
    ) -> Result<(), Error> {
        let works_only = !self.claims.iter().any(|claim| self.is_due(claim, tx.now));
        let last = works.len().saturating_sub(1);
        for (i, work) in works.iter_mut().enumerate() {
            tx.is_last = works_only && i == last;
            work.apply(tx).await?;
        }
        self.note_queued(&std::mem::take(&mut tx.after.queued), tx);
        let (mut left, mut failed) = (Vec::new(), None);
        let mut due = self.claims.iter().filter(|claim| self.is_due(claim, tx.now)).count();
        // Who has nothing to do goes first, and of those the newest: of more instances than are needed some
        // have nothing to do for so long that they go.
        let mut claims = std::mem::take(&mut self.claims);
        claims.sort_by_key(|claim| !claim.claim.ahead);
        while let Some(mut claim) = claims.pop() {
            // Another claim of the same model may have taken all there was; and once the transaction
            // is committed, whoever waits is served in the next one.
            if !self.is_due(&claim, tx.now) || tx.conn.is_over() {
                left.push(claim);
                continue;
            }
            due -= 1;
            tx.is_last = due == 0;
            let claimed = match S::claim(tx, &claim.claim, &self.inner).await {
                Ok(claimed) => claimed,
                Err(error) => {
                    left.push(claim);
                    failed = Some(error);
                    break;
                }
            };
            if claimed.is_over {
                // What there may be is for others.
                served.push((claim, claimed.tasks));
                continue;
            }
            if claimed.is_taken && claimed.tasks.is_empty() {
                // What is queued may be for other instances.
                claim.rests_until = tx.now + POLL;
                left.push(claim);
                continue;
            }
            self.hints.insert(of(&claim), claimed.more_at);
            if claimed.tasks.is_empty() {
                left.push(claim);
            } else {
                served.push((claim, claimed.tasks));
            }
        }
        // Whoever was not served waits on, also when this comes to nothing.
        self.claims = claims;
        self.claims.extend(left.into_iter().rev());
        failed.map_or(Ok(()), Err)
    }

    /// Remembers which models have something to claim; wakes the planner after the commit.
    fn note_queued(&mut self, queued: &[(ModelId, Timestamp)], tx: &mut Tx) {
        let mut dues: HashMap<&ModelId, Timestamp> = HashMap::new();
        for (model, due) in queued {
            let first = dues.entry(model).or_insert(*due);
            *first = (*first).min(*due);
        }
        for ((model, _), hint) in &mut self.hints {
            *hint = dues.get(model).copied().into_iter().chain(*hint).min();
        }
        if !queued.is_empty() {
            tx.after.queued = queued.to_vec();
        }
    }

    fn after(&mut self, after: After) {
        let inner = &self.inner;
        inner.counters.stale_writes_refused.add(after.stale);
        let told = after.elsewhere || !after.changes.is_empty() || !after.ended.is_empty();
        if !after.ended.is_empty() {
            crash_point("after-completion-before-telling");
        }
        for finished in &after.ended {
            inner.waiters.tell(finished);
        }
        for change in after.changes {
            // Nobody may be listening.
            drop(inner.changes.send(change));
        }
        if !after.queued.is_empty() {
            inner.queue_changed.send_modify(|n| *n += 1);
            inner.unseen.queued(after.queued.iter().map(|(model, _)| model));
        }
        if told || !after.queued.is_empty() {
            inner.notify.notify_one();
        }
    }
}

impl<S: Subjects> Drop for Writer<S> {
    fn drop(&mut self) {
        // Whoever claims learns that nobody will answer.
        drop(self.inner.parked.wakes());
    }
}

fn of(claim: &WaitingClaim) -> Version {
    (claim.claim.model.clone(), claim.claim.version.clone())
}
