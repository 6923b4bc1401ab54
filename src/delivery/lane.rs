//! One channel's queue: what is due when, and how many attempts may be on the wire. A stuck provider fills only its own.

use std::collections::{BTreeSet, HashSet};

use crate::base::clock::Timestamp;
use crate::base::ids::{MessageId, RunId};

/// Messages of one channel that are remembered in memory. At about 120 bytes each, 12 MB; more than these wait in the
/// outbox and are read again when there is room.
const CAPACITY: usize = 100_000;

/// The queue of one channel.
pub struct Lane {
    concurrency: usize,
    queue: BTreeSet<(Timestamp, MessageId, RunId)>,
    /// Queued or on the wire: a message that is told twice is sent once.
    known: HashSet<MessageId>,
    in_flight: usize,
    overflowed: bool,
}

impl Lane {
    /// An empty lane that lets `concurrency` attempts onto the wire at once.
    pub fn new(concurrency: usize) -> Self {
        Self { concurrency, queue: BTreeSet::new(), known: HashSet::new(), in_flight: 0, overflowed: false }
    }

    /// Queues a message, or remembers that some did not fit.
    pub fn push(&mut self, due: Timestamp, message: MessageId, run: RunId) {
        if self.known.contains(&message) {
            return;
        }
        if self.queue.len() >= CAPACITY {
            self.overflowed = true;
            return;
        }
        self.known.insert(message);
        self.queue.insert((due, message, run));
    }

    /// The next message that is due at `now`, if there is room on the wire. Each must come back by `settle`.
    pub fn take(&mut self, now: Timestamp) -> Option<(RunId, MessageId)> {
        if self.in_flight >= self.concurrency {
            return None;
        }
        let first = self.queue.first().filter(|(due, ..)| *due <= now).copied()?;
        self.queue.remove(&first);
        self.in_flight += 1;
        Some((first.2, first.1))
    }

    /// An attempt is over; it is made again at `retry_at`, if that is given.
    pub fn settle(&mut self, run: RunId, message: MessageId, retry_at: Option<Timestamp>) {
        self.in_flight -= 1;
        self.known.remove(&message);
        if let Some(due) = retry_at {
            self.push(due, message, run);
        }
    }

    /// When the next queued message is due.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.queue.first().map(|(due, ..)| *due)
    }

    /// Whether messages were left in the outbox and there is room for them again; true once per overflow.
    pub fn wants_refill(&mut self) -> bool {
        let wants = self.overflowed && self.queue.len() < CAPACITY / 2;
        self.overflowed &= !wants;
        wants
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> MessageId {
        MessageId::from((number as u128).to_be_bytes())
    }

    #[test]
    fn a_message_told_twice_is_taken_once() {
        let (mut lane, run, now) = (Lane::new(2), RunId::from([1; 16]), Timestamp::from_millis(5));
        lane.push(now, id(1), run);
        lane.push(Timestamp::from_millis(1), id(1), run);
        assert_eq!(lane.take(now), Some((run, id(1))));
        lane.push(now, id(1), run);
        assert_eq!(lane.take(now), None);
    }

    #[test]
    fn what_did_not_fit_is_asked_for_again_when_half_is_gone() {
        let (mut lane, run, now) = (Lane::new(CAPACITY), RunId::from([1; 16]), Timestamp::from_millis(5));
        (0..=CAPACITY).for_each(|number| lane.push(now, id(number), run));
        for _ in 0..=CAPACITY / 2 {
            assert!(!lane.wants_refill());
            let (run, message) = lane.take(now).unwrap();
            lane.settle(run, message, None);
        }
        assert!(lane.wants_refill());
        assert!(!lane.wants_refill());
    }

    #[test]
    fn nothing_is_taken_before_it_is_due_or_beyond_the_concurrency() {
        let (mut lane, run) = (Lane::new(1), RunId::from([1; 16]));
        lane.push(Timestamp::from_millis(10), id(1), run);
        lane.push(Timestamp::from_millis(10), id(2), run);
        assert_eq!(lane.take(Timestamp::from_millis(9)), None);
        assert!(lane.take(Timestamp::from_millis(10)).is_some());
        assert_eq!(lane.take(Timestamp::from_millis(10)), None);
    }
}
