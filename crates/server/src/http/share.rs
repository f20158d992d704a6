//! What all clients share, and how much of it one of them may hold: connections, event streams, the
//! memory of uploads and of downloads.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use muster_core::PrincipalId;
use tokio::sync::Notify;

/// Who holds something.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Holder {
    Person(PrincipalId),
    /// /24 or /64. Anonymous sessions hold for their network, which makes as many as it likes.
    Network(Arc<str>),
}

/// Whose share is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    All,
    Yours,
}

/// An amount that is there for all.
#[derive(Debug)]
pub struct Share {
    all: u64,
    each: u64,
    held: Mutex<Held>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct Held {
    all: u64,
    each: HashMap<Holder, u64>,
}

impl Share {
    /// `each`: most that one holder has of it.
    pub fn new(all: u64, each: u64) -> Arc<Self> {
        Arc::new(Self { all, each, held: Mutex::default(), freed: Notify::new() })
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing yet, for this holder. Without one only what all have counts.
    pub fn part(self: &Arc<Self>, holder: Option<Holder>) -> Hold {
        Hold { share: self.clone(), holder, amount: 0 }
    }

    pub fn hold(self: &Arc<Self>, holder: Option<Holder>, amount: u64) -> Result<Hold, Full> {
        let mut hold = self.part(holder);
        hold.grow(amount).map(|()| hold)
    }
}

/// A part of it, given back when this goes.
#[derive(Debug)]
pub struct Hold {
    share: Arc<Share>,
    holder: Option<Holder>,
    amount: u64,
}

impl Hold {
    /// Holds at least this amount, if there is as much.
    pub fn grow(&mut self, amount: u64) -> Result<(), Full> {
        let Some(more) = amount.checked_sub(self.amount).filter(|more| *more > 0) else {
            return Ok(());
        };
        let mut held = self.share.lock();
        if let Some(holder) = &self.holder {
            let own = held.each.get(holder).copied().unwrap_or(0);
            if own.saturating_add(more) > self.share.each {
                return Err(Full::Yours);
            }
        }
        if held.all.saturating_add(more) > self.share.all {
            return Err(Full::All);
        }
        held.all += more;
        if let Some(holder) = &self.holder {
            *held.each.entry(holder.clone()).or_default() += more;
        }
        self.amount = amount;
        Ok(())
    }

    /// Holds this amount, whatever the limits say: it is in memory already.
    pub fn set(&mut self, amount: u64) {
        let mut held = self.share.lock();
        held.all = held.all - self.amount + amount;
        if let Some(holder) = &self.holder {
            let own = held.each.entry(holder.clone()).or_default();
            *own = *own - self.amount + amount;
            if *own == 0 {
                held.each.remove(holder);
            }
        }
        let less = amount < self.amount;
        self.amount = amount;
        drop(held);
        if less {
            self.share.freed.notify_waiters();
        }
    }

    /// Does what others hold leave something?
    fn has_room(&self) -> bool {
        let held = self.share.lock();
        let own = self.holder.as_ref().and_then(|holder| held.each.get(holder)).copied();
        let yours = own.is_none_or(|own| own - self.amount < self.share.each);
        yours && held.all - self.amount < self.share.all
    }

    /// Ends when what others hold leaves something.
    async fn room(&self) {
        loop {
            let freed = self.share.freed.notified();
            if self.has_room() {
                return;
            }
            freed.await;
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// Pieces that are made one at a time, and each only while there is room for what clients have not
/// read yet. What the hold has now is held to the end beside the piece.
pub fn metered<E: Send + 'static>(
    pieces: BoxStream<'static, Result<Bytes, E>>,
    hold: Hold,
) -> BoxStream<'static, Result<Bytes, E>> {
    let always = hold.amount;
    stream::unfold((pieces, hold), move |(mut pieces, mut hold)| async move {
        // The piece before was handed on, or this would not be asked for the next one.
        hold.set(always);
        hold.room().await;
        let piece = pieces.next().await?;
        if let Ok(bytes) = &piece {
            hold.set(always + bytes.len() as u64);
        }
        Some((piece, (pieces, hold)))
    })
    .fuse()
    .boxed()
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn network(name: &str) -> Option<Holder> {
        Some(Holder::Network(name.into()))
    }

    #[test]
    fn one_holder_leaves_something_to_others() {
        let share = Share::new(10, 6);
        let mut one = share.hold(network("a"), 4).expect("there is as much");
        assert_eq!(share.hold(network("a"), 3).err(), Some(Full::Yours));
        assert_eq!(one.grow(7), Err(Full::Yours));
        assert_eq!(one.grow(6), Ok(()));
        assert_eq!(one.grow(2), Ok(()), "it has that");
        let other = share.hold(network("b"), 4).expect("there is as much");
        assert_eq!(share.hold(network("c"), 1).err(), Some(Full::All));
        assert_eq!(share.hold(None, 1).err(), Some(Full::All));
        drop(other);
        assert!(share.hold(None, 4).is_ok());
        drop(one);
        let held = share.lock();
        assert_eq!((held.all, held.each.len()), (0, 0));
    }

    #[tokio::test]
    async fn pieces_are_made_while_there_is_room() {
        let share = Share::new(100, 60);
        let piece = || Ok::<_, ()>(Bytes::from(vec![0; 50]));
        let stream = |name| {
            let hold = share.hold(network(name), 10).expect("there is as much");
            metered(stream::iter([piece(), piece()]).boxed(), hold)
        };
        let (mut one, mut two, mut other) = (stream("a"), stream("a"), stream("b"));
        assert!(one.next().await.is_some());
        assert!(two.next().now_or_never().is_none(), "its own network holds all it may");
        assert!(other.next().await.is_some(), "another one does not");
        // The next piece of the first is asked for: it has handed on the one before.
        assert!(one.next().await.is_some());
        assert!(one.next().await.is_none());
        drop(one);
        assert!(two.next().await.is_some());
        drop((two, other));
        assert_eq!(share.lock().all, 0);
    }
}
