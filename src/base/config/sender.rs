//! The `from` of an email channel.

use std::fmt;

use serde::{Serialize, Serializer};

use super::fault::Wrong;
use super::setting::Setting;
use super::tree::Value;

/// Who an email is from: exactly one address, and the name shown for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// The name, if there is one; free of control characters, quotes and angle brackets.
    pub name: Option<String>,
    /// The address: one `@` with text on both sides, no white space. That it is valid is the mail library's to say.
    pub address: String,
}

impl Sender {
    /// Reads `address`, `<address>`, `Name <address>` or `"Name" <address>`.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        split(text).ok_or_else(|| {
            Wrong::new("not one email address", "Write `no-reply@acme.test` or `Acme <no-reply@acme.test>`.")
        })
    }
}

impl Sender {
    /// What comes behind the `@`.
    pub fn domain(&self) -> &str {
        self.address.split_once('@').map_or("", |(_, domain)| domain)
    }
}

fn split(text: &str) -> Option<Sender> {
    if text.chars().any(char::is_control) {
        return None;
    }
    let text = text.trim();
    let (name, address) = match text.strip_suffix('>') {
        Some(rest) => rest.split_once('<')?,
        None => ("", text),
    };
    let name = name.trim();
    // An `@` outside quotes is a second address: `a@x.test, Acme <b@x.test>`.
    let name = match name.strip_prefix('"').and_then(|name| name.strip_suffix('"')) {
        Some(quoted) => quoted,
        None if name.contains('@') => return None,
        None => name,
    };
    let (local, domain) = address.split_once('@')?;
    let strange = |c: char| c.is_whitespace() || "<>@,;:\"()[]\\".contains(c);
    let plausible = !local.is_empty() && !domain.is_empty() && !local.contains(strange) && !domain.contains(strange);
    let clean = !name.contains(['<', '>', '"', '\\']);
    (plausible && clean)
        .then(|| Sender { name: (!name.is_empty()).then(|| name.to_owned()), address: address.to_owned() })
}

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) if name.contains('@') => write!(f, "\"{name}\" <{}>", self.address),
            Some(name) => write!(f, "{name} <{}>", self.address),
            None => f.write_str(&self.address),
        }
    }
}

impl Serialize for Sender {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Setting for Sender {
    fn read(value: &Value) -> Result<Self, Wrong> {
        Self::parse(value.text("a string")?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_with_or_without_a_name_is_a_sender() {
        for (text, name, address) in [
            ("no-reply@acme.test", None, "no-reply@acme.test"),
            ("<no-reply@acme.test>", None, "no-reply@acme.test"),
            ("Acme, Inc. <no-reply@acme.test>", Some("Acme, Inc."), "no-reply@acme.test"),
            ("\"Acme @ Home\" <no-reply@acme.test>", Some("Acme @ Home"), "no-reply@acme.test"),
        ] {
            let sender = Sender::parse(text).unwrap();
            assert_eq!((sender.name.as_deref(), sender.address.as_str()), (name, address));
            assert_eq!(Sender::parse(&sender.to_string()).unwrap(), sender);
        }
    }

    #[test]
    fn no_address_two_addresses_and_control_characters_are_refused() {
        for text in [
            "",
            "Acme",
            "Acme <>",
            "@acme.test",
            "a@",
            "a@x.test, b@x.test",
            "a@x.test, Acme <b@x.test>",
            "Acme <a@x.test> <b@x.test>",
            "Acme <a@x.test",
            "Acme\r\nBcc: b@x.test <a@x.test>",
            "a b@x.test",
        ] {
            assert!(Sender::parse(text).is_err(), "{text:?}");
        }
    }
}
