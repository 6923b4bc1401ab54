//! The suppression list. Whether an address is on it is looked at in the transaction that would begin an attempt: whoever
//! was answered that it is listed sees nothing sent after that.

use super::op::EndAttempt;
use super::tables::{TableId, Tables};
use super::{Reader, StoreError};
use crate::model::message::{Addressing, Content, Message};
use crate::model::page::{Page, PageRequest};
use crate::model::suppression::{Suppression, address_key};

/// Puts an address on the list; one that is there stays as it was.
pub fn add(tables: &mut Tables<'_>, suppression: &Suppression) -> Result<(), StoreError> {
    let key = suppression.address.as_bytes();
    match tables.get::<Suppression>(TableId::Suppressions, key)? {
        Some(_) => Ok(()),
        None => tables.put(TableId::Suppressions, key, suppression),
    }
}

/// Takes an address off the list.
pub fn remove(tables: &mut Tables<'_>, address: &str) -> Result<(), StoreError> {
    tables.remove(TableId::Suppressions, address_key(address).as_bytes())
}

/// Why `message` is not to be sent, if it is not.
pub fn of_message(tables: &mut Tables<'_>, message: &Message) -> Result<Option<Suppression>, StoreError> {
    let Content::Email { to, .. } = &message.content else { return Ok(None) };
    tables.get(TableId::Suppressions, address_key(to).as_bytes())
}

/// Takes the addresses that are on the list out of those that `message` goes to beside its recipient.
pub fn leave_out(tables: &mut Tables<'_>, message: &mut Message) -> Result<Vec<Suppression>, StoreError> {
    let mut left_out = Vec::new();
    let Content::Email { email, .. } = &mut message.content else { return Ok(left_out) };
    let Addressing { to, cc, bcc, .. } = &mut *email.addressing;
    // The first of `to` is the recipient: without that one there is no mail.
    for (list, kept) in [(to, 1), (cc, 0), (bcc, 0)] {
        let kept = kept.min(list.len());
        for address in list.split_off(kept) {
            match tables.get(TableId::Suppressions, address_key(&address).as_bytes())? {
                Some(suppression) => left_out.push(suppression),
                None => list.push(address),
            }
        }
    }
    Ok(left_out)
}

/// Lists the address that an attempt found not to be there.
pub fn bounced(tables: &mut Tables<'_>, end: &EndAttempt) -> Result<(), StoreError> {
    let message: Option<Message> = tables.get(TableId::Messages, end.message.as_bytes())?;
    match message.map(|message| message.content) {
        Some(Content::Email { to, .. }) => add(tables, &Suppression::bounced(&to, &end.attempt.reply, end.attempt.at)),
        Some(Content::InApp { .. }) | None => Ok(()),
    }
}

impl Reader {
    /// Why `address` gets no mail, if it gets none.
    pub fn suppression(&self, address: &str) -> Result<Option<Suppression>, StoreError> {
        self.get(TableId::Suppressions, address_key(address).as_bytes())
    }

    /// A page of the list, by address.
    pub fn suppressions(&self, request: &PageRequest) -> Result<Page<Suppression>, StoreError> {
        self.page(TableId::Suppressions, &[], request, |_, suppression| Ok(Some(suppression)))
    }
}
