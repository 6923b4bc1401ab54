//! What is told of something a person wrote that is kept, and keeps nothing from running.

use std::fmt;

use super::fault::Fault;

/// Something that is hardly meant: it says what and where, in the form of a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice(pub Fault);

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is told of what was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remark {
    /// It is hardly meant.
    Noticed(Notice),
    /// It is meant, and this version does nothing with it.
    Unsupported(Fault),
}

impl Remark {
    /// What it says and where.
    pub fn said(&self) -> &Fault {
        match self {
            Self::Noticed(Notice(said)) | Self::Unsupported(said) => said,
        }
    }
}

impl From<Notice> for Remark {
    fn from(notice: Notice) -> Self {
        Self::Noticed(notice)
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.said().fmt(f)
    }
}
