//! When a failed attempt is made again: 8 attempts within about 30 minutes (`knock-engine.md` section 7.5).

use std::time::Duration;

use crate::base::clock::Timestamp;
use crate::base::ids::MessageId;

/// Attempts in all.
pub const MAX_ATTEMPTS: u32 = 8;

/// The pause after the first attempt; it doubles each time: 14, 28, 56, 112, 224, 448, 896 s, 29.6 minutes in all.
const FIRST_PAUSE_MILLIS: u64 = 14_000;

/// When to try again after attempt `number` (from 1) failed at `at`; `None`: it was the last.
///
/// The pause varies by up to a fifth either way, by a hash of message and attempt: many messages that failed together
/// do not come back together, and the same message always comes back at the same time.
pub fn next_attempt(message: MessageId, number: u32, at: Timestamp) -> Option<Timestamp> {
    if number >= MAX_ATTEMPTS {
        return None;
    }
    let pause = FIRST_PAUSE_MILLIS << number.saturating_sub(1);
    let mut hasher = blake3::Hasher::new_derive_key("belfry retry jitter v1");
    hasher.update(message.as_bytes());
    hasher.update(&number.to_le_bytes());
    let spread = u64::from(u16::from_le_bytes([hasher.finalize().as_bytes()[0], hasher.finalize().as_bytes()[1]]));
    // 0.8 to 1.2 of the pause.
    let varied = pause * 4 / 5 + pause * 2 / 5 * spread / u64::from(u16::MAX);
    Some(at.plus(Duration::from_millis(varied)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pauses_double_within_a_fifth_and_end_after_eight_attempts(id: [u8; 16], at in 0i64..4_000_000_000_000) {
            let (message, at) = (MessageId::from(id), Timestamp::from_millis(at));
            for number in 1..MAX_ATTEMPTS {
                let pause = next_attempt(message, number, at).unwrap().since(at).as_millis() as u64;
                let nominal = FIRST_PAUSE_MILLIS << (number - 1);
                prop_assert!((nominal * 8 / 10 - 1..=nominal * 12 / 10 + 1).contains(&pause), "{number}: {pause}");
            }
            prop_assert_eq!(next_attempt(message, MAX_ATTEMPTS, at), None);
        }
    }
}
