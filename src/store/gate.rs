//! Gates that a run passes only if not too many did before. They are judged in the transaction that moves the run on,
//! so that two runs never both take the last place.

use serde::{Deserialize, Serialize};

use super::StoreError;
use super::op::Gate;
use super::tables::{TableId, Tables, instant_key, owned};
use crate::base::clock::Timestamp;
use crate::model::recipient::RecipientRef;
use crate::model::run::{Halt, RunEvent, RunEventKind};

/// How many windows that have ended an opened one clears: more than one, so that the table shrinks under any load.
const TRIMMED_PER_WINDOW: usize = 4;

/// A throttle's window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    until: Timestamp,
    /// How many runs passed; those that did not are not counted.
    passed: u32,
}

/// What a throttle does with a run, and its window then.
#[derive(Clone, Copy)]
pub struct Throttling {
    pub passes: bool,
    /// The window opens with it.
    opens: bool,
    window: Window,
}

impl Throttling {
    /// Of a run that comes at `at`; a window that opens ends at `until`.
    pub fn of(stored: Option<Window>, until: Timestamp, limit: u32, at: Timestamp) -> Self {
        let open = stored.filter(|window| window.until > at);
        let passes = open.is_none_or(|window| window.passed < limit);
        let window = match open {
            Some(window) => Window { passed: window.passed.saturating_add(u32::from(passes)), ..window },
            None => Window { until, passed: 1 },
        };
        Self { passes, opens: open.is_none(), window }
    }

    /// What is to be known of it.
    pub fn told(&self, limit: u32) -> RunEventKind {
        let Window { until, passed } = self.window;
        RunEventKind::Throttled { passes: self.passes, passed, limit, until }
    }
}

/// Lets a run of `recipient` pass, or answers what ends it; `told` gets what is to be known of it.
pub fn pass(
    tables: &mut Tables<'_>,
    gate: &Gate,
    recipient: &RecipientRef,
    at: Timestamp,
    told: &mut Vec<RunEvent>,
) -> Result<Option<Halt>, StoreError> {
    match gate {
        // Those of batches and waits are theirs to judge.
        Gate::Batch(_) | Gate::Close(_) | Gate::Wait(_) => Ok(None),
        Gate::Once { key } => {
            let key = owned(recipient, key);
            if tables.get::<()>(TableId::Begun, &key)?.is_some() {
                return Ok(Some(Halt::Frequency));
            }
            tables.put(TableId::Begun, &key, &())?;
            Ok(None)
        }
        Gate::Throttle { key, until, limit, step_ref } => {
            let window: Option<Window> = tables.get(TableId::Throttles, key)?;
            let throttling = Throttling::of(window, *until, *limit, at);
            let Throttling { passes, opens, window } = throttling;
            if passes {
                tables.put(TableId::Throttles, key, &window)?;
            }
            if opens {
                tables.put(TableId::ThrottleEnds, &end_key(window.until, key), &())?;
                trim(tables, at)?;
            }
            told.push(RunEvent::of_step(throttling.told(*limit), step_ref.clone(), at));
            Ok((!passes).then_some(Halt::Throttle))
        }
    }
}

fn end_key(until: Timestamp, key: &[u8; 16]) -> Vec<u8> {
    [instant_key(until).as_slice(), key].concat()
}

fn trim(tables: &mut Tables<'_>, now: Timestamp) -> Result<(), StoreError> {
    for _ in 0..TRIMMED_PER_WINDOW {
        let Some(oldest) = tables.first_key(TableId::ThrottleEnds)? else { return Ok(()) };
        let (until, key) = oldest.split_at(8);
        if until > instant_key(now).as_slice() {
            return Ok(());
        }
        // The key may have a younger window since: that one stays.
        let window: Option<Window> = tables.get(TableId::Throttles, key)?;
        if window.is_some_and(|window| window.until <= now) {
            tables.remove(TableId::Throttles, key)?;
        }
        tables.remove(TableId::ThrottleEnds, &oldest)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use proptest::prelude::*;
    use redb::Database;
    use redb::backends::InMemoryBackend;

    use super::*;

    const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    struct Bench(Database);

    impl Bench {
        fn new() -> Self {
            Self(Database::builder().create_with_backend(InMemoryBackend::new()).unwrap())
        }

        fn write<T>(&self, work: impl FnOnce(&mut Tables<'_>) -> Result<T, StoreError>) -> T {
            let txn = self.0.begin_write().unwrap();
            let mut tables = Tables::new(&txn);
            let done = work(&mut tables).unwrap();
            drop(tables);
            txn.commit().unwrap();
            done
        }

        fn passes(&self, gate: &Gate, user: &str, at: Timestamp) -> bool {
            let mut told = Vec::new();
            self.write(|tables| pass(tables, gate, &RecipientRef::user(user), at, &mut told)).is_none()
        }

        /// A throttle of an hour.
        fn hourly(&self, key: u8, limit: u32, at: Timestamp) -> bool {
            let until = at.plus(Duration::from_secs(3_600));
            self.passes(&Gate::Throttle { key: [key; 16], until, limit, step_ref: "t".into() }, "u", at)
        }
    }

    fn minutes(count: u64) -> Timestamp {
        START.plus(Duration::from_secs(60 * count))
    }

    #[test]
    fn one_run_an_hour_passes_and_what_is_held_back_does_not_lengthen_the_hour() {
        let bench = Bench::new();
        let passed = [0, 10, 59, 61].map(|minute| bench.hourly(1, 1, minutes(minute)));
        assert_eq!(passed, [true, false, false, true]);
    }

    #[test]
    fn what_happens_once_happens_once_for_each_recipient_and_key() {
        let bench = Bench::new();
        let once = |key: u8| Gate::Once { key: [key; 16] };
        assert!(bench.passes(&once(1), "a", START) && !bench.passes(&once(1), "a", minutes(1_000_000)));
        assert!(bench.passes(&once(2), "a", START) && bench.passes(&once(1), "b", START));
    }

    proptest! {
        /// Runs come in any order of keys. Not while the clock is set back: what has ended by a later one may be cleared.
        #[test]
        fn a_window_lets_as_many_pass_as_its_limit_says(
            limit in 1u32..4, mut hits in prop::collection::vec((0u8..3, 0u64..200), 1..60),
        ) {
            let bench = Bench::new();
            let mut windows: BTreeMap<u8, (Timestamp, u32)> = BTreeMap::new();
            hits.sort_unstable_by_key(|(_, minute)| *minute);
            for (key, minute) in hits {
                let at = minutes(minute);
                let window = windows.entry(key).or_insert((at, 0));
                if window.0 <= at {
                    *window = (at.plus(Duration::from_secs(3_600)), 0);
                }
                let expected = window.1 < limit;
                window.1 += u32::from(expected);
                prop_assert_eq!(bench.hourly(key, limit, at), expected);
            }
        }
    }

    #[test]
    fn windows_that_have_ended_are_cleared() {
        let bench = Bench::new();
        (0..100).for_each(|key| assert!(bench.hourly(key, 1, minutes(0))));
        (100..140).for_each(|key| assert!(bench.hourly(key, 1, minutes(90))));
        let left = bench.write(|tables| Ok((tables.len(TableId::Throttles)?, tables.len(TableId::ThrottleEnds)?)));
        assert_eq!(left, (40, 40));
    }
}
