//! What the writer is asked for.

use futures::future::BoxFuture;
use tokio::sync::oneshot;

use super::Tx;
use crate::Error;
use crate::queue::claim::WaitingClaim;
use crate::requests::submit::Submission;

pub(crate) enum Op {
    Work(Box<dyn Work>),
    Submit(Submission),
    Claim(WaitingClaim),
    /// Another server may have queued something.
    Look,
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

pub(crate) fn work<F, T>(body: F) -> (Op, oneshot::Receiver<Result<T, Error>>)
where
    F: for<'t> FnMut(&'t mut Tx) -> BoxFuture<'t, Result<T, Error>> + Send + 'static,
    T: Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    (Op::Work(Box::new(Typed { body, out: None, reply })), answer)
}
