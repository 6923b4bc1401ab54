//! Getting messages to their providers: when, how many at once, how often. It may name the floors from `base` to
//! `engine`, and does not know how a message came to be or who triggered it.

pub mod courier;
pub mod dkim;
pub mod email;
pub mod fetcher;
mod header;
pub mod lane;
pub mod mailbox;
mod public_address;
pub mod retry;
pub mod smtp;

use std::future::Future;
use std::pin::Pin;

use crate::base::clock::Timestamp;
use crate::base::ids::MessageId;
use crate::model::attachment::Attachment;
use crate::model::message::{AttemptResult, Captured, EmailContent};

/// A rendered email and where it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    pub message: MessageId,
    pub to: String,
    pub content: EmailContent,
    pub attachments: Vec<Attachment>,
    pub workflow: String,
    pub step_ref: String,
    /// When the message was made: its `Date`, so that every attempt sends the same bytes.
    pub at: Timestamp,
}

/// What came of handing a mail over.
#[derive(Clone, Debug, PartialEq)]
pub struct Sent {
    pub result: AttemptResult,
    /// The server's own words; cleaned by the courier.
    pub reply: String,
    /// What else is to be known, such as that the mail is not signed.
    pub notes: Vec<String>,
    /// Whom of those that get a copy the server refused for good, while it went on with the others.
    pub refused: Vec<RefusedCopy>,
    /// Set by the provider that captures instead of sending.
    pub captured: Option<Captured>,
}

impl Sent {
    /// A result with what was said.
    pub fn new(result: AttemptResult, reply: impl Into<String>) -> Self {
        Self { result, reply: reply.into(), notes: Vec::new(), refused: Vec::new(), captured: None }
    }
}

/// An address beside the recipient's that the server does not take the mail for.
#[derive(Clone, Debug, PartialEq)]
pub struct RefusedCopy {
    pub address: String,
    /// The server's own words; cleaned by the courier.
    pub said: String,
    /// There is no such address: no other mail will be taken for it either.
    pub is_gone: bool,
}

/// Something that takes emails: an SMTP server, the captured mailbox, the simulation's.
pub trait EmailProvider: Send + Sync {
    /// Makes one attempt. It must end by itself: the provider keeps its own timeouts.
    fn send<'a>(&'a self, mail: &'a Mail) -> Pin<Box<dyn Future<Output = Sent> + Send + 'a>>;
}
