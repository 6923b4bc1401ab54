//! Everything on disk. Writes go in as ops through one writer that commits them in groups; reads come out typed. It may
//! name `base` and `model`, and does not know what a run does next, who sends what, or HTTP. That it is redb stays
//! inside this folder.

pub mod activities;
pub mod apply;
mod audiences;
pub mod backup;
mod batches;
mod bundle;
pub mod check;
pub mod codec;
mod cohort;
mod dry_gate;
pub mod file;
mod from_1;
mod from_2;
mod gate;
mod marks;
pub mod newest;
pub mod op;
mod profiles;
pub mod read;
pub mod recipients;
pub mod removal;
pub mod retention;
pub mod schedules;
mod subscriptions;
mod suppressions;
pub mod tables;
#[cfg(test)]
mod tests;
mod trim;
mod upgrade;
mod waits;
pub mod writer;

use crate::model::recipient::MAX_PROPERTIES_BYTES;
pub use cohort::Waiting;

pub use file::OpenError;
pub use read::Reader;
use tables::TableId;
pub use writer::{Settings, Store};

/// Why a write or read did not happen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The op was refused by the state that it met; nothing of it was written.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The writer's queue is full. Nothing was written; try again shortly.
    #[error("the server has more writes queued than it can take; try again shortly")]
    Overloaded,
    /// The disk failed. The process is about to end, and the fate of the op is told by the next start.
    #[error("storage failed: {0}")]
    Failed(String),
    /// The disk does not hold what was written. Where: a table and a key, as far as that is known.
    #[error("{}{why}", place.as_ref().map(|place| format!("{place}: ")).unwrap_or_default())]
    Damaged { place: Option<String>, why: String },
    /// The store has been closed.
    #[error("the server is shutting down")]
    Closed,
}

impl StoreError {
    /// What was read is not what was written.
    pub fn damaged(why: impl Into<String>) -> Self {
        Self::Damaged { place: None, why: why.into() }
    }

    /// Names the record that was read, if it is the one that is damaged.
    fn at(self, table: TableId, key: &[u8]) -> Self {
        match self {
            Self::Damaged { place: None, why } => {
                let key: String = key.iter().take(64).map(|byte| format!("{byte:02x}")).collect();
                Self::Damaged { place: Some(format!("table {}, key {key}", table.name())), why }
            }
            error => error,
        }
    }
}

/// Why the state refused an op.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The run was written since it was read, or has ended.
    #[error("the run has moved on")]
    Stale,
    /// The attempt is not on the wire any more.
    #[error("the attempt was already settled")]
    Gone,
    /// The idempotency key was used within a day for another request.
    #[error("the idempotency key was already used for a different request")]
    IdempotencyMismatch,
    /// With what is stored already, a recipient's properties or one of its preference sets would take this many bytes.
    #[error(
        "with what is stored already, the properties or a preference set of a recipient would take {0} bytes as JSON; at \
         most {MAX_PROPERTIES_BYTES} are allowed"
    )]
    TooLarge(usize),
    /// What the op is about is not stored.
    #[error("the recipient is not known")]
    Unknown,
}
