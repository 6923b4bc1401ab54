//! One channel's queue: what is due when, and how many attempts may be on the wire. A stuck provider fills only its own;
//! within it flows take turns.

use std::collections::{BTreeSet, HashSet};

use crate::base::clock::Timestamp;
use crate::base::ids::{MessageId, RunId};
use crate::base::turns::Turns;
use crate::model::flow::Flow;

/// Messages of one channel that are remembered in memory. At about 120 bytes each, 12 MB; more than these wait in the
/// outbox and are read again when there is room.
const CAPACITY: usize = 100_000;

/// A message that waits for an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Queued {
    pub message: MessageId,
    pub run: RunId,
    pub flow: Flow,
}

/// The queue of one channel.
pub struct Lane {
    concurrency: usize,
    waiting: BTreeSet<(Timestamp, Queued)>,
    due: Turns<Flow, (Timestamp, Queued)>,
    /// Queued or on the wire: a message that is told twice is sent once.
    known: HashSet<MessageId>,
    in_flight: usize,
    overflowed: bool,
}

impl Lane {
    /// An empty lane that lets `concurrency` attempts onto the wire at once.
    pub fn new(concurrency: usize) -> Self {
        Self {
            concurrency,
            waiting: BTreeSet::new(),
            due: Turns::default(),
            known: HashSet::new(),
            in_flight: 0,
            overflowed: false,
        }
    }

    fn len(&self) -> usize {
        self.waiting.len() + self.due.len()
    }

    /// Queues a message, or remembers that some did not fit.
    pub fn push(&mut self, due: Timestamp, queued: Queued) {
        if self.known.contains(&queued.message) {
            return;
        }
        if self.len() >= CAPACITY {
            self.overflowed = true;
            return;
        }
        self.known.insert(queued.message);
        self.waiting.insert((due, queued));
    }

    /// The next message that is due at `now`, if there is room on the wire. Each must come back by `settle`.
    pub fn take(&mut self, now: Timestamp) -> Option<Queued> {
        while self.waiting.first().is_some_and(|(due, _)| *due <= now)
            && let Some((due, queued)) = self.waiting.pop_first()
        {
            self.due.push(queued.flow, (due, queued));
        }
        if self.in_flight >= self.concurrency {
            return None;
        }
        let (_, (_, queued)) = self.due.pop()?;
        self.in_flight += 1;
        Some(queued)
    }

    /// An attempt is over; it is made again at `retry_at`, if that is given.
    pub fn settle(&mut self, queued: Queued, retry_at: Option<Timestamp>) {
        self.in_flight -= 1;
        self.known.remove(&queued.message);
        if let Some(due) = retry_at {
            self.push(due, queued);
        }
    }

    /// When the message is due that is sent next.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.due.peek().or(self.waiting.first()).map(|(due, _)| *due)
    }

    /// How many messages are queued, and how many are on the wire.
    pub fn depth(&self) -> (usize, usize) {
        (self.len(), self.in_flight)
    }

    /// The queued messages that were due by `by`, those that wait longest first.
    pub fn overdue(&self, by: Timestamp) -> Vec<(MessageId, Timestamp)> {
        let waiting = self.waiting.iter().take_while(|(due, _)| *due <= by);
        let late = waiting.chain(self.due.iter().filter(|(due, _)| *due <= by));
        let mut late: Vec<_> = late.map(|(due, queued)| (queued.message, *due)).collect();
        late.sort_unstable_by_key(|(_, due)| *due);
        late
    }

    /// Whether messages were left in the outbox and there is room for them again; true once per overflow.
    pub fn wants_refill(&mut self) -> bool {
        let wants = self.overflowed && self.len() < CAPACITY / 2;
        self.overflowed &= !wants;
        wants
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queued(number: usize) -> Queued {
        let message = MessageId::from((number as u128).to_be_bytes());
        Queued { message, run: RunId::from([1; 16]), flow: Flow(1) }
    }

    #[test]
    fn a_message_told_twice_is_taken_once() {
        let (mut lane, now) = (Lane::new(2), Timestamp::from_millis(5));
        lane.push(now, queued(1));
        lane.push(Timestamp::from_millis(1), queued(1));
        assert_eq!(lane.take(now), Some(queued(1)));
        lane.push(now, queued(1));
        assert_eq!(lane.take(now), None);
    }

    #[test]
    fn a_flow_with_one_message_does_not_wait_for_all_of_another() {
        let (mut lane, now) = (Lane::new(3), Timestamp::from_millis(5));
        (0..100).for_each(|number| lane.push(Timestamp::from_millis(1), queued(number)));
        let single = Queued { flow: Flow(2), ..queued(100) };
        lane.push(now, single);
        let taken: Vec<Queued> = std::iter::from_fn(|| lane.take(now)).collect();
        assert_eq!(taken, [queued(0), single, queued(1)]);
    }

    #[test]
    fn what_did_not_fit_is_asked_for_again_when_half_is_gone() {
        let (mut lane, now) = (Lane::new(CAPACITY), Timestamp::from_millis(5));
        (0..=CAPACITY).for_each(|number| lane.push(now, queued(number)));
        for _ in 0..=CAPACITY / 2 {
            assert!(!lane.wants_refill());
            let taken = lane.take(now).unwrap();
            lane.settle(taken, None);
        }
        assert!(lane.wants_refill());
        assert!(!lane.wants_refill());
    }

    #[test]
    fn nothing_is_taken_before_it_is_due_or_beyond_the_concurrency() {
        let mut lane = Lane::new(1);
        lane.push(Timestamp::from_millis(10), queued(1));
        lane.push(Timestamp::from_millis(10), queued(2));
        assert_eq!(lane.take(Timestamp::from_millis(9)), None);
        assert!(lane.take(Timestamp::from_millis(10)).is_some());
        assert_eq!(lane.take(Timestamp::from_millis(10)), None);
    }
}
