//! Cursors of a feed's pages: the sort key of an item, so that they survive its status changes and its deletion.

use crate::base::clock::Timestamp;

/// The cursor of the item that was inserted at `at`.
pub fn encode(at: Timestamp) -> String {
    format!("f{:x}", at.as_micros())
}

/// The instant of a cursor; `None` when it is not one of ours.
pub fn decode(cursor: &str) -> Option<Timestamp> {
    let digits = cursor.strip_prefix('f').filter(|digits| !digits.starts_with(['+', '-']))?;
    i64::from_str_radix(digits, 16).ok().map(Timestamp::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn cursors_come_back_and_nothing_else_is_one(micros in 0i64..i64::MAX, text in ".{0,20}") {
            let at = Timestamp::from_micros(micros);
            prop_assert_eq!(decode(&encode(at)), Some(at));
            if let Some(at) = decode(&text) {
                prop_assert_eq!(decode(&encode(at)), Some(at));
            }
        }
    }
}
