//! How the process ends, in the codes of `sysexits.h`: a supervisor learns whether to start it again.

use crate::store::{OpenError, StoreError};

/// The disk failed, or is full, or somebody else has the data folder: start again later. `EX_TEMPFAIL`.
pub const DISK_FAILED: u8 = 75;
/// A fault of Belfry's own: start again. `EX_SOFTWARE`.
pub const PANICKED: u8 = 70;
/// The data file is damaged, or a newer version's: another start will not help. `EX_DATAERR`.
pub const UNREADABLE: u8 = 65;

/// The code for an error that ended it.
pub fn of(error: &anyhow::Error) -> u8 {
    match (error.downcast_ref(), error.downcast_ref()) {
        (Some(OpenError::Unreadable(..) | OpenError::Newer(..)), _) | (_, Some(StoreError::Damaged { .. })) => {
            UNREADABLE
        }
        (Some(OpenError::NotWritable(..) | OpenError::InUse(_)), _) | (_, Some(StoreError::Failed(_))) => DISK_FAILED,
        _ => 1,
    }
}
