//! What the writer is asked for.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use muster_core::Timestamp;
use muster_core::retry::Retry;
use tokio::sync::oneshot;

use super::Tx;
use crate::{Claim, ClaimedTask, Error, Inner, Store, TaskBack};

/// What the subjects above do for the writer, which knows none of them.
pub(crate) trait Subjects: Send + 'static {
    type Submission: Send;

    /// Submissions that arrived together, as one work.
    fn submissions(all: Vec<Self::Submission>) -> Box<dyn Work>;

    /// Takes tasks for a claim that waits.
    fn claim<'a>(
        tx: &'a mut Tx,
        claim: &'a Claim,
        inner: &'a Inner,
    ) -> impl Future<Output = Result<Claimed, Error>> + Send + 'a;
}

pub(crate) enum Op<S: Subjects> {
    Work(Box<dyn Work>),
    Submit(S::Submission),
    Claim(WaitingClaim),
    /// Another server may have queued something.
    Look,
}

/// A claim in the writer.
pub(crate) struct WaitingClaim {
    pub claim: Claim,
    /// Its instance worked for another server: it is not looked at before this.
    pub rests_until: Timestamp,
    pub reply: oneshot::Sender<Result<Vec<ClaimedTask>, Error>>,
}

/// What a claim got, and when the model may have more.
pub(crate) struct Claimed {
    pub tasks: Vec<ClaimedTask>,
    pub more_at: Option<Timestamp>,
    /// The instance is being stopped, or has ended.
    pub is_over: bool,
    /// It works for another server.
    pub is_taken: bool,
}

impl WaitingClaim {
    pub(crate) fn new(
        claim: Claim,
        reply: oneshot::Sender<Result<Vec<ClaimedTask>, Error>>,
    ) -> Self {
        Self { claim, rests_until: Timestamp(0), reply }
    }

    /// Hands the tasks over; if nobody is there any more they go back to the queue.
    pub(crate) fn answer(self, tasks: Vec<ClaimedTask>, inner: &Arc<Inner>) {
        if let Err(Ok(tasks)) = self.reply.send(Ok(tasks)) {
            let store = Store { inner: Arc::clone(inner) };
            tokio::spawn(async move {
                let again = Retry::Again { after: Duration::ZERO, counts: false };
                let back = |task: ClaimedTask| TaskBack {
                    key: task.key,
                    attempt: task.attempt,
                    retry: again.clone(),
                };
                if let Err(error) = store.give_back(tasks.into_iter().map(back).collect()).await {
                    tracing::warn!(%error, "tasks nobody took wait for their lease to end");
                }
            });
        }
    }
}

/// Something to do in a transaction; it may be done again if the first one fails.
pub(crate) trait Work: Send {
    fn apply<'a>(&'a mut self, tx: &'a mut Tx) -> BoxFuture<'a, Result<(), Error>>;
    fn finish(self: Box<Self>, outcome: Result<(), Error>);
    /// How many parts it has that can be done without the others.
    fn parts(&self) -> usize;
    fn split(self: Box<Self>) -> Vec<Box<dyn Work>>;
}

struct Typed<F, T> {
    body: F,
    out: Option<T>,
    reply: oneshot::Sender<Result<T, Error>>,
}

impl<F, T> Work for Typed<F, T>
where
    F: for<'t> FnMut(&'t mut Tx) -> BoxFuture<'t, Result<T, Error>> + Send + 'static,
    T: Send + 'static,
{
    fn apply<'a>(&'a mut self, tx: &'a mut Tx) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            self.out = Some((self.body)(tx).await?);
            Ok(())
        })
    }

    fn finish(self: Box<Self>, outcome: Result<(), Error>) {
        let out = self.out.ok_or_else(|| Error::unavailable("the transaction did not run"));
        // Whoever asked may have left; the work is done all the same.
        drop(self.reply.send(outcome.and(out)));
    }

    fn parts(&self) -> usize {
        1
    }

    fn split(self: Box<Self>) -> Vec<Box<dyn Work>> {
        vec![self]
    }
}

pub(crate) fn work<S, F, T>(body: F) -> (Op<S>, oneshot::Receiver<Result<T, Error>>)
where
    S: Subjects,
    F: for<'t> FnMut(&'t mut Tx) -> BoxFuture<'t, Result<T, Error>> + Send + 'static,
    T: Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    (Op::Work(Box::new(Typed { body, out: None, reply })), answer)
}
