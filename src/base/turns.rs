//! A queue in which flows take turns: first in, first out within a flow, and one of each flow in a round.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// The queue. A flow that has nothing queued costs nothing.
pub struct Turns<F, T> {
    queues: HashMap<F, VecDeque<T>>,
    /// Every flow with something queued, the next one first.
    round: VecDeque<F>,
    len: usize,
}

impl<F, T> Default for Turns<F, T> {
    fn default() -> Self {
        Self { queues: HashMap::new(), round: VecDeque::new(), len: 0 }
    }
}

impl<F: Copy + Eq + Hash, T> Turns<F, T> {
    /// Queues `item` at the end of its flow. A flow that was empty has its turn at the end of the round.
    pub fn push(&mut self, flow: F, item: T) {
        let queue = self.queues.entry(flow).or_default();
        if queue.is_empty() {
            self.round.push_back(flow);
        }
        queue.push_back(item);
        self.len += 1;
    }

    /// The next item, and the flow whose turn it was.
    pub fn pop(&mut self) -> Option<(F, T)> {
        self.pop_of(|_| true)
    }

    /// The next item of a flow that `may` have its turn. The others' turns come after it.
    pub fn pop_of(&mut self, may: impl Fn(F) -> bool) -> Option<(F, T)> {
        let passed = self.round.iter().position(|flow| may(*flow))?;
        self.round.rotate_left(passed);
        let flow = self.round.pop_front()?;
        let queue = self.queues.get_mut(&flow)?;
        let item = queue.pop_front()?;
        if queue.is_empty() {
            self.queues.remove(&flow);
        } else {
            self.round.push_back(flow);
        }
        self.len -= 1;
        Some((flow, item))
    }

    /// What `pop` takes next.
    pub fn peek(&self) -> Option<&T> {
        self.queues.get(self.round.front()?)?.front()
    }

    /// All that is queued, in no order but that of each flow.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.queues.values().flatten()
    }

    /// How many items are queued.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is queued.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever was queued before it, an item waits for at most one item of each other flow for every item that is
        /// ahead of it in its own.
        #[test]
        fn nobody_waits_for_more_than_one_round_each(pushes in prop::collection::vec(0u8..6, 1..200)) {
            let mut turns = Turns::default();
            pushes.iter().enumerate().for_each(|(number, flow)| turns.push(*flow, number));
            let flows = pushes.iter().collect::<std::collections::HashSet<_>>().len();
            let taken: Vec<usize> = std::iter::from_fn(|| turns.pop()).map(|(_, number)| number).collect();
            prop_assert!(turns.is_empty() && turns.pop().is_none());
            prop_assert_eq!(taken.len(), pushes.len());
            for (place, number) in taken.iter().enumerate() {
                let ahead = pushes[..*number].iter().filter(|flow| **flow == pushes[*number]).count();
                prop_assert!(place < (ahead + 1) * flows);
            }
            for flow in 0..6 {
                pushes.iter().enumerate().for_each(|(number, flow)| turns.push(*flow, number));
                let others: Vec<usize> =
                    std::iter::from_fn(|| turns.pop_of(|other| other != flow)).map(|(_, number)| number).collect();
                let left: Vec<usize> = std::iter::from_fn(|| turns.pop()).map(|(_, number)| number).collect();
                prop_assert!(others.iter().all(|number| pushes[*number] != flow));
                prop_assert!(left.iter().all(|number| pushes[*number] == flow) && left.is_sorted());
                prop_assert_eq!(others.len() + left.len(), pushes.len());
                let own: Vec<usize> = taken.iter().copied().filter(|number| pushes[*number] == flow).collect();
                prop_assert!(own.is_sorted());
            }
        }
    }
}
