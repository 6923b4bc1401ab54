//! Ids. Each kind is its own type, so that a message id can never be passed for a run id.

use std::fmt;
use std::str::FromStr;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::clock::Timestamp;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// The 16 bytes of the id, which sort by time of creation.
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0.hyphenated())
            }
        }

        impl From<[u8; 16]> for $name {
            fn from(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::try_parse(text).map(Self)
            }
        }
    };
}

uuid_id!(
    /// One trigger call; on the wire `workflow_run_id`.
    TriggerId
);
uuid_id!(
    /// One workflow run for one recipient; on the wire `workflow_recipient_run_id`.
    RunId
);
uuid_id!(
    /// One message: one notification for one recipient on one channel.
    MessageId
);
uuid_id!(
    /// A configured channel.
    ChannelId
);
uuid_id!(
    /// The content of a workflow: equal content, equal id.
    VersionId
);
uuid_id!(
    /// A call that changed many things at once.
    BulkOperationId
);
uuid_id!(
    /// When a workflow is triggered for one recipient.
    ScheduleId
);
uuid_id!(
    /// One HTTP request.
    RequestId
);
uuid_id!(
    /// One browser's socket: the id of the request that opened it.
    SessionId
);

macro_rules! time_ordered {
    ($($name:ident),+) => {$(
        impl $name {
            /// When it was made, to the millisecond.
            pub fn made_at(&self) -> Timestamp {
                Timestamp::from_millis((self.0.as_u128() >> 80) as i64)
            }

            /// The least of all ids that are made at `at` or later.
            pub fn least(at: Timestamp) -> Self {
                Self(Uuid::from_u128(u128::from(u64::try_from(at.as_millis()).unwrap_or(0)) << 80))
            }
        }
    )+};
}

time_ordered!(TriggerId, RunId, MessageId, BulkOperationId);

impl MessageId {
    /// The id of the message that `run` sends at step `step_ref`: the same run and step always give the same random
    /// part, so that a step that is executed again cannot create a second message with another identity.
    pub fn derive(now: Timestamp, run: RunId, step_ref: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("belfry message id v1");
        hasher.update(run.as_bytes());
        hasher.update(step_ref.as_bytes());
        Self(v7(now, hasher.finalize().as_bytes()))
    }
}

impl ChannelId {
    /// The id of a channel that nobody configured: the same for the same key (RFC 9562 version 8).
    pub fn of_key(key: &str) -> Self {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&blake3::derive_key("belfry unconfigured channel v1", key.as_bytes())[..16]);
        Self(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }
}

impl RunId {
    /// The most runs that one block of ids has room for.
    pub const BLOCK: u16 = 1 << 10;

    /// The id number `number` of a block: the runs of one trigger differ in their last ten bits.
    pub fn in_block(block: Uuid, number: u16) -> Self {
        Self(Uuid::from_u128(block.as_u128() | u128::from(number % Self::BLOCK)))
    }
}

impl VersionId {
    /// The id of a workflow's content (RFC 9562 version 8: a hash of our own).
    pub fn of(content: &[u8]) -> Self {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&blake3::derive_key("belfry workflow version v1", content)[..16]);
        Self(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }
}

/// Makes UUIDv7 ids that never go backwards, whatever the clock does (RFC 9562, section 6.2, method 2).
pub struct IdSource {
    entropy: Entropy,
    made: Mutex<Made>,
}

struct Made {
    last: u128,
    drawn: Drawn,
}

/// Random bits from the operating system, drawn for many ids at once: a call into it costs more than the rest of an id.
struct Drawn {
    bits: [Random; Self::IDS],
    used: usize,
}

/// What one id uses, and some to spare.
type Random = [u8; 32];

impl Drawn {
    const IDS: usize = 32;

    fn next(&mut self) -> Random {
        if self.used == Self::IDS {
            // Without entropy ids still ascend: only their unguessability would be lost, and key creation fails aloud.
            let _ = getrandom::fill(self.bits.as_flattened_mut());
            self.used = 0;
        }
        self.used += 1;
        self.bits[self.used - 1]
    }
}

/// Where random bits come from.
pub enum Entropy {
    /// The operating system.
    Os,
    /// A seed, for the simulation: the same seed gives the same ids.
    Seeded(u64),
}

impl IdSource {
    /// A source over `entropy`.
    pub fn new(entropy: Entropy) -> Self {
        let drawn = Drawn { bits: [[0; 32]; Drawn::IDS], used: Drawn::IDS };
        Self { entropy, made: Mutex::new(Made { last: 0, drawn }) }
    }

    /// The first of `RunId::BLOCK` ids at `now`, which differ in their last bits; greater than every id made before.
    pub fn next_block(&self, now: Timestamp) -> Uuid {
        self.make(now, u128::from(RunId::BLOCK - 1))
    }

    /// The next id at `now`: greater than every id made before.
    pub fn next(&self, now: Timestamp) -> Uuid {
        self.make(now, 0)
    }

    /// The next id whose bits of `block` are zero. All that differ from it in those alone are taken too.
    fn make(&self, now: Timestamp, block: u128) -> Uuid {
        let mut made = self.made.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let Made { last, drawn } = &mut *made;
        let random = match self.entropy {
            Entropy::Os => drawn.next(),
            Entropy::Seeded(seed) => {
                let mut hasher = blake3::Hasher::new();
                hasher.update(&seed.to_le_bytes());
                hasher.update(&last.to_le_bytes());
                *hasher.finalize().as_bytes()
            }
        };
        let mut id = v7(now, &random).as_u128() & !block;
        if id <= *last {
            // Step the low 62 random bits by a small random amount; version and variant bits stay where they are.
            let step = u128::from(u32::from_le_bytes([random[16], random[17], random[18], 0])) + 1;
            id = (*last + step + block) & !block;
            if id & VARIANT_MASK != VARIANT {
                // The low field overflowed: move on to the next millisecond.
                id = v7(Timestamp::from_millis((*last >> 80) as i64 + 1), &random).as_u128() & !block;
            }
        }
        *last = id | block;
        Uuid::from_u128(id)
    }
}

const VARIANT_MASK: u128 = 0b11 << 62;
const VARIANT: u128 = 0b10 << 62;

fn v7(now: Timestamp, random: &Random) -> Uuid {
    let mut bytes = [0; 10];
    bytes.copy_from_slice(&random[..10]);
    let millis = u64::try_from(now.as_millis()).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ids_ascend_whatever_the_clock_does(clock in prop::collection::vec(0i64..4_000_000_000_000, 1..200), seed: u64) {
            let source = IdSource::new(Entropy::Seeded(seed));
            let ids: Vec<Uuid> = clock.iter().map(|ms| source.next(Timestamp::from_millis(*ms))).collect();
            prop_assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(ids.iter().all(|id| id.get_version_num() == 7));
        }

        #[test]
        fn no_id_lies_in_the_block_of_another(
            clock in prop::collection::vec((0i64..4_000_000_000_000, any::<bool>()), 1..200),
            seed: u64,
        ) {
            let source = IdSource::new(Entropy::Seeded(seed));
            let mut last = None;
            for (ms, block) in clock {
                let at = Timestamp::from_millis(ms);
                let (first, number) = if block { (source.next_block(at), RunId::BLOCK - 1) } else { (source.next(at), 0) };
                let (first, end) = (RunId(first), RunId::in_block(first, number));
                prop_assert!(last < Some(first) && first <= end);
                prop_assert!(end.0.get_version_num() == 7 && end.0.get_variant() == uuid::Variant::RFC4122);
                last = Some(end);
            }
        }
    }

    proptest! {
        #[test]
        fn an_id_knows_when_it_was_made(millis in 1i64..4_000_000_000_000) {
            let at = Timestamp::from_millis(millis);
            let id = RunId(IdSource::new(Entropy::Os).next(at));
            prop_assert_eq!(id.made_at(), at);
            prop_assert!(RunId::least(at) <= id && id < RunId::least(Timestamp::from_millis(millis + 1)));
        }
    }

    #[test]
    fn a_step_that_runs_again_keeps_the_identity_of_its_message() {
        let run = RunId::from([7; 16]);
        let at = Timestamp::from_millis(1_700_000_000_000);
        assert_eq!(MessageId::derive(at, run, "email_1"), MessageId::derive(at, run, "email_1"));
        assert_ne!(MessageId::derive(at, run, "email_1"), MessageId::derive(at, run, "email_2"));
    }
}
