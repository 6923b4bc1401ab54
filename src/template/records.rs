//! What templates look up while they are rendered: users, objects and tenants as they are stored. A template names them by
//! ids that it computes, so no scope can hold them beforehand.

use std::cell::RefCell;
use std::rc::Rc;

use serde_json::Value;

use crate::model::recipient::RecipientRef;

/// The most subscriptions that a template is given (`knock-engine.md` section 6.3).
pub const SUBSCRIPTIONS: usize = 25;

/// Answers what is stored. An error is for people.
pub trait Records {
    /// A user, object or tenant as templates see it; none if there is no such one.
    fn recipient(&self, reference: &RecipientRef) -> Result<Option<Value>, String>;

    /// What it subscribes to, at most `SUBSCRIPTIONS`: each with its `object` and `properties`.
    fn subscriptions(&self, reference: &RecipientRef) -> Result<Vec<Value>, String>;
}

thread_local! {
    /// Those of the message which is rendered on this thread: the engines hand nothing to filters.
    static CURRENT: RefCell<Option<Rc<dyn Records>>> = const { RefCell::new(None) };
}

/// While it lives, templates find its records; then, also after a panic, the former ones.
pub struct Open(Option<Rc<dyn Records>>);

impl Drop for Open {
    fn drop(&mut self) {
        CURRENT.replace(self.0.take());
    }
}

/// What is rendered on this thread from now on finds these. Without them nothing is stored.
#[must_use]
pub fn open(records: impl Records + 'static) -> Open {
    Open(CURRENT.replace(Some(Rc::new(records))))
}

/// A user, object or tenant; null if there is no such one.
pub(super) fn recipient(reference: &RecipientRef) -> Result<Value, String> {
    match CURRENT.with_borrow(Option::clone) {
        Some(records) => Ok(records.recipient(reference)?.unwrap_or_default()),
        None => Ok(Value::Null),
    }
}

/// What a user subscribes to; null if there is no such one.
pub(super) fn subscriptions(reference: &RecipientRef) -> Result<Value, String> {
    match CURRENT.with_borrow(Option::clone) {
        Some(records) if records.recipient(reference)?.is_some() => Ok(records.subscriptions(reference)?.into()),
        _ => Ok(Value::Null),
    }
}
