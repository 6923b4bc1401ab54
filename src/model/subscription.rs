//! Subscriptions: who is told when an object is (`knock-engine.md` section 2.2).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::recipient::RecipientRef;
use super::trigger::CancelHash;
use crate::base::clock::Timestamp;
use crate::base::ids::TriggerId;

/// The most recipients that one call subscribes or unsubscribes.
pub const MAX_SUBSCRIBERS: usize = 100;

/// That `recipient` is told when `object` is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Subscription {
    pub object: RecipientRef,
    pub recipient: RecipientRef,
    pub properties: Option<Map<String, Value>>,
    pub inserted_at: Timestamp,
    pub updated_at: Timestamp,
}

/// The spreading of a trigger to all who subscribe to its objects, as far as it has come. What is written of it is one
/// commit with the runs that it made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FanOut {
    pub trigger: TriggerId,
    pub cancel: Option<CancelHash>,
    /// Objects whose subscribers are still to be told; the first one is at work.
    pub objects: Vec<RecipientRef>,
    pub place: Place,
    /// Counts the writes.
    pub revision: u32,
    /// Who gets no run any more, since a cancel came.
    pub cancelled: Spared,
}

/// Where a fan-out stands in its first object. A key is a subscriber's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// Its own subscribers, behind this one.
    Subscribers { after: Option<Vec<u8>> },
    /// The subscribers of those of its subscribers that are objects: behind this one of `child`; `None`: `child` is done
    /// with, and the next one comes.
    Nested { child: Vec<u8>, after: Option<Vec<u8>> },
}

impl Place {
    /// Where an object begins.
    pub const START: Self = Self::Subscribers { after: None };
}

/// Whom a cancel spares.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Spared {
    #[default]
    Nobody,
    These(Vec<RecipientRef>),
    Everybody,
}

impl Spared {
    /// Adds whom one more cancel names; `None`: all.
    pub fn add(&mut self, named: Option<&[RecipientRef]>) {
        match (&mut *self, named) {
            (_, None) | (Self::Everybody, _) => *self = Self::Everybody,
            (Self::These(spared), Some(named)) => spared.extend_from_slice(named),
            (Self::Nobody, Some(named)) => *self = Self::These(named.to_vec()),
        }
    }

    /// Whether `recipient` gets no run.
    pub fn covers(&self, recipient: &RecipientRef) -> bool {
        match self {
            Self::Nobody => false,
            Self::These(spared) => spared.contains(recipient),
            Self::Everybody => true,
        }
    }
}
