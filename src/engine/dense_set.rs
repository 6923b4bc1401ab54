//! An ordered set for what is kept of each of a million waiting runs: a B-tree of two floors, whose leaves grow by a few
//! places at a time. `BTreeSet` leaves a third of its places empty under random keys, and half of them under ascending
//! ones.

/// Values in a leaf. At 32 bytes each an insert moves 4 KiB on average, 100 ns; a million values are 4,000 leaves.
const LEAF: usize = 256;
/// Places that a leaf grows by: an eighth of it, which is how far apart an allocator's sizes are.
const STEP: usize = LEAF / 8;

/// The set.
#[derive(Debug)]
pub struct DenseSet<T> {
    /// Ascending; none is empty.
    leaves: Vec<Vec<T>>,
    len: usize,
}

impl<T> Default for DenseSet<T> {
    fn default() -> Self {
        Self { leaves: Vec::new(), len: 0 }
    }
}

impl<T: Copy + Ord> DenseSet<T> {
    /// How many values there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The least value.
    pub fn first(&self) -> Option<&T> {
        self.leaves.first()?.first()
    }

    /// All values, ascending.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.leaves.iter().flatten()
    }

    /// The values from `low` on, ascending.
    pub fn from(&self, low: T) -> impl Iterator<Item = &T> {
        let leaf = self.leaf_of(&low);
        let (whole, within) = match self.leaves.get(leaf) {
            Some(values) => (&self.leaves[leaf + 1..], &values[values.partition_point(|value| *value < low)..]),
            None => (&[][..], &[][..]),
        };
        within.iter().chain(whole.iter().flatten())
    }

    /// Adds `value`, unless it is there.
    pub fn insert(&mut self, value: T) {
        let mut leaf = self.leaf_of(&value);
        if leaf == self.leaves.len() {
            // Above all others: full leaves stay full.
            match self.leaves.last() {
                Some(last) if last.len() < LEAF => leaf -= 1,
                _ => self.leaves.push(Vec::new()),
            }
        }
        let Err(mut place) = self.leaves[leaf].binary_search(&value) else { return };
        if self.leaves[leaf].len() == LEAF {
            let upper = self.leaves[leaf].split_off(LEAF / 2);
            self.leaves[leaf].shrink_to(LEAF / 2 + STEP);
            self.leaves.insert(leaf + 1, upper);
            if place > LEAF / 2 {
                (leaf, place) = (leaf + 1, place - LEAF / 2);
            }
        }
        let values = &mut self.leaves[leaf];
        if values.len() == values.capacity() {
            values.reserve_exact(STEP);
        }
        values.insert(place, value);
        self.len += 1;
    }

    /// Takes `value` out; false if it was not there.
    pub fn remove(&mut self, value: &T) -> bool {
        let leaf = self.leaf_of(value);
        let Some(Ok(place)) = self.leaves.get(leaf).map(|values| values.binary_search(value)) else { return false };
        self.remove_at(leaf, place);
        true
    }

    /// Takes the least value out, if it is below `end`.
    pub fn pop_below(&mut self, end: &T) -> Option<T> {
        let first = *self.first().filter(|first| *first < end)?;
        self.remove_at(0, 0);
        Some(first)
    }

    /// The first leaf whose last value is not below `value`.
    fn leaf_of(&self, value: &T) -> usize {
        self.leaves.partition_point(|values| values.last() < Some(value))
    }

    fn remove_at(&mut self, leaf: usize, place: usize) {
        let is_small = |values: &Vec<T>| values.len() < LEAF / 4;
        let is_before_small = self.leaves.get(leaf + 1).is_some_and(is_small);
        let values = &mut self.leaves[leaf];
        values.remove(place);
        self.len -= 1;
        if values.is_empty() {
            self.leaves.remove(leaf);
        } else if is_small(values) && is_before_small {
            let next = self.leaves.remove(leaf + 1);
            self.leaves[leaf].extend(next);
        } else if values.capacity() - values.len() > 2 * STEP {
            values.shrink_to(values.len() + STEP);
        }
    }
}

impl<T: Copy + Ord> FromIterator<T> for DenseSet<T> {
    /// Sorts once: much faster than one insert after the other, and every leaf is full.
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        let mut sorted: Vec<T> = values.into_iter().collect();
        sorted.sort_unstable();
        sorted.dedup();
        Self { len: sorted.len(), leaves: sorted.chunks(LEAF).map(<[T]>::to_vec).collect() }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Act {
        Insert(u16),
        Remove(u16),
        Pop(u16),
        /// Ascending, as runs are parked.
        Append(u16),
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            4 => any::<u16>().prop_map(Act::Insert),
            2 => any::<u16>().prop_map(Act::Remove),
            1 => any::<u16>().prop_map(Act::Pop),
            2 => (0u16..600).prop_map(Act::Append),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn it_holds_what_a_set_of_the_standard_library_holds(
            start in prop::collection::vec(any::<u16>(), 0..2_000),
            acts in prop::collection::vec(act(), 0..1_500),
            low: u16,
        ) {
            let mut dense: DenseSet<u32> = start.iter().map(|value| u32::from(*value)).collect();
            let mut model: BTreeSet<u32> = start.iter().map(|value| u32::from(*value)).collect();
            for act in acts {
                match act {
                    Act::Insert(value) => {
                        dense.insert(value.into());
                        model.insert(value.into());
                    }
                    Act::Remove(value) => prop_assert_eq!(dense.remove(&value.into()), model.remove(&value.into())),
                    Act::Pop(end) => {
                        let least = model.first().copied().filter(|first| *first < end.into());
                        prop_assert_eq!(dense.pop_below(&end.into()), least);
                        least.map(|least| model.remove(&least));
                    }
                    Act::Append(count) => {
                        let from = model.last().map_or(0, |last| last + 1);
                        for value in from..from + u32::from(count) {
                            dense.insert(value);
                            model.insert(value);
                        }
                    }
                }
                prop_assert_eq!((dense.len(), dense.first()), (model.len(), model.first()));
                prop_assert!(dense.leaves.iter().all(|leaf| !leaf.is_empty() && leaf.len() <= LEAF));
            }
            prop_assert!(dense.iter().eq(model.iter()));
            prop_assert!(dense.from(low.into()).eq(model.range(u32::from(low)..)));
        }
    }

    /// What it is for: places that nobody uses are few, in whatever order values come.
    #[test]
    fn of_its_places_nine_in_ten_are_taken() {
        for random in [false, true] {
            let mut dense = DenseSet::default();
            for n in 0..200_000_u64 {
                dense.insert(if random { n.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17) } else { n });
            }
            let places: usize = dense.leaves.iter().map(Vec::capacity).sum();
            assert!(places * 9 < dense.len() * 10, "{places} places for {} values", dense.len());
        }
    }
}
