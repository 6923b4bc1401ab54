//! A notice about something a person wrote that is kept, but has no effect.

use std::fmt;

use super::fault::Fault;

/// What a notice says and where, in the same form as a fault; unlike one it does not keep the workflow from running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice(pub Fault);

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
