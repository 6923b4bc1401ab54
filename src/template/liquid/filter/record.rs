//! Filters that look up what is stored.

use serde_json::Value;

use super::{Answer, Call, Val};
use crate::model::recipient::RecipientRef;
use crate::template::records;

/// What a look-up costs of a rendering's steps: it reads from the disk.
const STEPS: u64 = 100;

pub(super) fn user<'s>(call: &Call<'_, 's>) -> Answer<'s> {
    look_up(call, RecipientRef::user, records::recipient)
}

pub(super) fn tenant<'s>(call: &Call<'_, 's>) -> Answer<'s> {
    look_up(call, RecipientRef::tenant, records::recipient)
}

pub(super) fn object<'s>(call: &Call<'_, 's>) -> Answer<'s> {
    let collection = call.arg_text(0)?.into_owned();
    look_up(call, |id| RecipientRef { collection, id }, records::recipient)
}

pub(super) fn subscriptions<'s>(call: &Call<'_, 's>) -> Answer<'s> {
    look_up(call, RecipientRef::user, records::subscriptions)
}

fn look_up<'s>(
    call: &Call<'_, 's>,
    reference: impl FnOnce(String) -> RecipientRef,
    find: fn(&RecipientRef) -> Result<Value, String>,
) -> Answer<'s> {
    call.budget.take(STEPS)?;
    let id = call.text()?.into_owned();
    Ok(Val::owned(find(&reference(id))?, call.budget)?)
}
