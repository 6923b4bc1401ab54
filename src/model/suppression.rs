//! The suppression list: addresses that get no mail, and why.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::base::clock::Timestamp;

/// The longest address: SMTP's own limits, a local part of 64 and a domain of 255.
const MAX_ADDRESS: usize = 320;
/// The longest note, in characters.
const MAX_NOTE: usize = 1_000;

/// An address that gets no mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suppression {
    /// As `address_key` writes it.
    pub address: String,
    pub reason: Reason,
    /// What the mail server or whoever listed it said.
    #[serde(default)]
    pub note: Option<String>,
    pub at: Timestamp,
}

/// Why an address is on the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Somebody put it there.
    Manual,
    /// A mail server said that there is no such address.
    Bounced,
}

impl Suppression {
    /// One that somebody asks for. The error is for people.
    pub fn manual(address: &str, note: Option<String>, at: Timestamp) -> Result<Self, String> {
        let address = address_key(address);
        let whole = address.split_once('@').is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty());
        if !whole || address.len() > MAX_ADDRESS || address.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err("must be an email address".into());
        }
        let length = note.as_ref().map_or(0, |note| note.chars().count());
        if length > MAX_NOTE || note.as_ref().is_some_and(|note| note.contains(char::is_control)) {
            return Err(format!("has a note of {length} characters; at most {MAX_NOTE} are allowed, on one line"));
        }
        Ok(Self { address, reason: Reason::Manual, note, at })
    }

    /// One whose mail server said `reply`.
    pub fn bounced(address: &str, reply: &str, at: Timestamp) -> Self {
        Self { address: address_key(address), reason: Reason::Bounced, note: Some(reply.to_owned()), at }
    }
}

impl fmt::Display for Suppression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, at, .. } = self;
        match self.reason {
            Reason::Manual => write!(f, "{address} is on the suppression list since {at}")?,
            Reason::Bounced => write!(f, "{address} is on the suppression list since a mail to it bounced at {at}")?,
        }
        self.note.iter().try_for_each(|note| write!(f, ": {note}"))
    }
}

/// One spelling of all that name the same mailbox: without a name, in lower case, the domain in ASCII. That a server tells
/// `Ann` from `ann` is allowed and unheard of.
pub fn address_key(text: &str) -> String {
    let text = text.trim();
    let address = text.strip_suffix('>').and_then(|text| text.rsplit_once('<')).map_or(text, |(_, address)| address);
    let address = address.trim().to_lowercase();
    let Some((local, domain)) = address.rsplit_once('@').filter(|(_, domain)| !domain.is_ascii()) else {
        return address;
    };
    idna::domain_to_ascii(domain).map_or_else(|_| address.clone(), |domain| format!("{local}@{domain}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_the_same_however_it_is_written() {
        for written in ["Ann@Bücher.test", " ann@xn--bcher-kva.test ", "Ann Bee <ANN@bücher.TEST>"] {
            assert_eq!(address_key(written), "ann@xn--bcher-kva.test");
        }
        assert_ne!(address_key("ann@a.test"), address_key("anna@a.test"));
    }

    #[test]
    fn what_is_no_address_cannot_be_listed() {
        for text in ["", "ann", "@a.test", "ann@", "a b@c.test", "a@b.test\r\nx"] {
            assert!(Suppression::manual(text, None, Timestamp::default()).is_err(), "{text:?}");
        }
        assert!(Suppression::manual("a@b.test", Some("asked\nus".into()), Timestamp::default()).is_err());
    }
}
