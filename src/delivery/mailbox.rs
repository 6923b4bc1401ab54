//! The captured mailbox: mail goes through the same composing, then onto the developer's screen instead of the wire.

use std::future::{Future, ready};
use std::pin::Pin;

use super::dkim::Signers;
use super::email::compose;
use super::{EmailProvider, Mail, Sent};
use crate::base::config::Sender;
use crate::model::message::{AttemptResult, Captured};

/// A provider that keeps what it is given.
pub struct Mailbox {
    pub from: Sender,
    pub signers: Signers,
}

impl EmailProvider for Mailbox {
    fn send<'a>(&'a self, mail: &'a Mail) -> Pin<Box<dyn Future<Output = Sent> + Send + 'a>> {
        let composed = compose(&self.from, mail).and_then(|mail| mail.signed(&self.signers));
        Box::pin(ready(match composed {
            Err(error) => Sent::new(AttemptResult::Permanent, error.to_string()),
            Ok(composed) => Sent {
                notes: composed.notes,
                captured: Some(Captured {
                    message: mail.message,
                    from: self.from.to_string(),
                    to: mail.to.clone(),
                    subject: mail.content.subject.clone(),
                    text: mail.content.text.clone(),
                    html: mail.content.html.clone(),
                    raw: String::from_utf8_lossy(&composed.bytes).into_owned(),
                    workflow: mail.workflow.clone(),
                    step_ref: mail.step_ref.clone(),
                    at: mail.at,
                }),
                ..Sent::new(AttemptResult::Accepted, "captured")
            },
        }))
    }
}
