//! Bounded channels with a name, a depth and a policy.
//!
//! A full channel is never silent: [`Policy::Block`] waits, and says so when it has waited for
//! seconds; [`Policy::DropAndMark`] hands the item back at once, so that live capture can turn
//! it into a gap. Dropping the sender is the end of the stream. [`Depths`] lets others see how full
//! channels are.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, SendTimeoutError, Sender, TrySendError, bounded};

/// What a sender does when the channel is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Wait until there is room: nothing is lost, the sender slows down.
    Block,
    /// Hand the item back: the sender keeps its pace and must account for the loss.
    DropAndMark,
}

/// The sending end.
pub struct Tx<T> {
    name: &'static str,
    policy: Policy,
    inner: Sender<T>,
    /// Where it leaves word of how full it is.
    seen: Option<Arc<AtomicUsize>>,
}

/// How many items lay in channels when the last one came into each, by name. Clones see the same.
#[derive(Clone, Debug, Default)]
pub struct Depths(Arc<Mutex<BTreeMap<String, Arc<AtomicUsize>>>>);

impl Depths {
    /// Shows `tx` under `name`; one of the same name before it is forgotten.
    pub fn show<T>(&self, name: String, tx: &mut Tx<T>) {
        let seen = Arc::clone(tx.seen.get_or_insert_default());
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(name, seen);
    }

    /// All that are shown, by name.
    pub fn all(&self) -> Vec<(String, usize)> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let depth = |(name, seen): (&String, &Arc<AtomicUsize>)| {
            (name.clone(), seen.load(Ordering::Relaxed))
        };
        known.iter().map(depth).collect()
    }
}

/// Why an item was not taken.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused<T> {
    /// The channel is full and its policy is [`Policy::DropAndMark`].
    Full(T),
    /// Nobody receives any more; the other side reports its own reason.
    Gone(T),
}

/// How long a blocked send stays quiet.
const PATIENCE: Duration = Duration::from_secs(5);

/// A channel that holds at most `depth` items.
pub fn channel<T>(name: &'static str, depth: usize, policy: Policy) -> (Tx<T>, Receiver<T>) {
    let (inner, receiver) = bounded(depth);
    (
        Tx {
            name,
            policy,
            inner,
            seen: None,
        },
        receiver,
    )
}

impl<T> Clone for Tx<T> {
    fn clone(&self) -> Self {
        Self {
            name: self.name,
            policy: self.policy,
            inner: self.inner.clone(),
            seen: self.seen.clone(),
        }
    }
}

impl<T> Tx<T> {
    /// Sends by the channel's policy.
    ///
    /// # Errors
    /// The item, when it was not taken.
    pub fn send(&self, item: T) -> Result<(), Refused<T>> {
        match self.policy {
            Policy::Block => self.send_waiting(item),
            Policy::DropAndMark => {
                let sent = self.inner.try_send(item);
                self.note();
                sent.map_err(|error| match error {
                    TrySendError::Full(item) => Refused::Full(item),
                    TrySendError::Disconnected(item) => Refused::Gone(item),
                })
            }
        }
    }

    fn note(&self) {
        if let Some(seen) = &self.seen {
            seen.store(self.depth(), Ordering::Relaxed);
        }
    }

    /// Items that wait in the channel.
    pub fn depth(&self) -> usize {
        self.inner.len()
    }

    /// Sends whatever the policy: for what must not be lost.
    ///
    /// # Errors
    /// [`Refused::Gone`] with the item.
    pub fn send_waiting(&self, mut item: T) -> Result<(), Refused<T>> {
        let since = Instant::now();
        loop {
            match self.inner.send_timeout(item, PATIENCE) {
                Ok(()) => {
                    self.note();
                    return Ok(());
                }
                Err(SendTimeoutError::Disconnected(item)) => return Err(Refused::Gone(item)),
                Err(SendTimeoutError::Timeout(back)) => {
                    tracing::warn!(
                        channel = self.name,
                        depth = self.depth(),
                        waited_s = since.elapsed().as_secs(),
                        "the next stage does not keep up"
                    );
                    item = back;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_channel_hands_the_item_back_when_it_must_not_wait() {
        let (tx, _rx) = channel("frames", 1, Policy::DropAndMark);
        assert_eq!(tx.send(1), Ok(()));
        assert_eq!(tx.send(2), Err(Refused::Full(2)));
        assert_eq!(tx.depth(), 1);
    }

    #[test]
    fn whoever_looks_sees_how_full_a_channel_is() {
        let depths = Depths::default();
        let (mut tx, rx) = channel("frames", 2, Policy::Block);
        depths.show("frames 1".to_owned(), &mut tx);
        let clone = tx.clone();
        tx.send(1).unwrap();
        clone.send(2).unwrap();
        assert_eq!(depths.all(), [("frames 1".to_owned(), 2)]);
        rx.recv().unwrap();
        rx.recv().unwrap();
        clone.send(3).unwrap();
        assert_eq!(depths.all(), [("frames 1".to_owned(), 1)]);
    }

    #[test]
    fn a_sender_learns_that_nobody_receives() {
        let (tx, rx) = channel("frames", 1, Policy::Block);
        drop(rx);
        assert_eq!(tx.send(1), Err(Refused::Gone(1)));
    }

    #[test]
    fn the_stream_ends_with_its_last_sender() {
        let (tx, rx) = channel("frames", 2, Policy::Block);
        let clone = tx.clone();
        clone.send(1).unwrap();
        drop((tx, clone));
        assert_eq!(rx.iter().collect::<Vec<_>>(), [1]);
    }
}
