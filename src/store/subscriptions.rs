//! Applies subscriptions, and the portions in which a trigger spreads to them.

use super::cohort::Records;
use super::op::{Done, Spread, Subscribe, Unsubscribe, Wanted};
use super::removal::is_before;
use super::tables::{TableId, Tables, owned};
use super::{Refused, StoreError, profiles, trim, waits};
use crate::base::clock::Timestamp;
use crate::base::ids::{RunId, TriggerId};
use crate::model::recipient::RecipientRef;
use crate::model::run::Run;
use crate::model::subscription::{FanOut, Spared, Subscription};

/// Rows that the end of a fan-out clears with one write: 5 ms.
const CLEARED: usize = 1_000;

fn key(object: &RecipientRef, recipient: &RecipientRef) -> Vec<u8> {
    owned(object, &recipient.key())
}

/// Subscribes recipients, or changes the properties of those who are.
pub fn subscribe(tables: &mut Tables<'_>, subscribe: &Subscribe) -> Result<Done, StoreError> {
    let people = profiles::merged(tables, &subscribe.people, subscribe.at)?;
    profiles::keep(tables, people)?;
    let mut subscribed = Vec::with_capacity(subscribe.wanted.len());
    for Wanted { object, recipient, properties } in &subscribe.wanted {
        let known: Option<Subscription> = tables.get(TableId::Subscriptions, &key(object, recipient))?;
        let subscription = Subscription {
            object: object.clone(),
            recipient: recipient.clone(),
            properties: properties.clone().or(known.as_ref().and_then(|known| known.properties.clone())),
            inserted_at: known.map_or(subscribe.at, |known| known.inserted_at),
            updated_at: subscribe.at,
        };
        put(tables, &subscription)?;
        subscribed.push(subscription);
    }
    Ok(Done::Subscriptions(subscribed))
}

fn put(tables: &mut Tables<'_>, subscription: &Subscription) -> Result<(), StoreError> {
    let Subscription { object, recipient, .. } = subscription;
    tables.put(TableId::Subscriptions, &key(object, recipient), subscription)?;
    tables.put(TableId::SubscribedTo, &key(recipient, object), &())
}

fn remove(tables: &mut Tables<'_>, object: &RecipientRef, recipient: &RecipientRef) -> Result<(), StoreError> {
    tables.remove(TableId::Subscriptions, &key(object, recipient))?;
    tables.remove(TableId::SubscribedTo, &key(recipient, object))
}

/// Unsubscribes recipients; answers the subscriptions that there were.
pub fn unsubscribe(tables: &mut Tables<'_>, unsubscribe: &Unsubscribe) -> Result<Done, StoreError> {
    let mut gone = Vec::new();
    for (object, recipient) in &unsubscribe.pairs {
        let known: Option<Subscription> = tables.get(TableId::Subscriptions, &key(object, recipient))?;
        if let Some(known) = known {
            remove(tables, object, recipient)?;
            gone.push(known);
        }
    }
    Ok(Done::Subscriptions(gone))
}

/// Ends a subscription of a recipient or object that was deleted at `deleted`, unless it is younger. An heir gets it who
/// has none of the kind.
pub fn end(
    tables: &mut Tables<'_>,
    object: &RecipientRef,
    recipient: &RecipientRef,
    deleted: Timestamp,
    heir: Option<&RecipientRef>,
) -> Result<(), StoreError> {
    let known: Option<Subscription> = tables.get(TableId::Subscriptions, &key(object, recipient))?;
    let Some(known) = known else { return remove(tables, object, recipient) };
    if known.inserted_at > deleted {
        return Ok(());
    }
    remove(tables, object, recipient)?;
    let Some(heir) = heir else { return Ok(()) };
    match tables.get::<Subscription>(TableId::Subscriptions, &key(object, heir))? {
        Some(_) => Ok(()),
        None => put(tables, &Subscription { recipient: heir.clone(), ..known }),
    }
}

fn reached(trigger: TriggerId, recipient: &RecipientRef) -> Vec<u8> {
    [trigger.as_bytes().as_slice(), &recipient.key()].concat()
}

/// Begins a fan-out whose trigger has runs for `recipients` already.
pub fn begin(tables: &mut Tables<'_>, fan_out: &FanOut, recipients: &[RecipientRef]) -> Result<(), StoreError> {
    for recipient in recipients {
        tables.put(TableId::Reached, &reached(fan_out.trigger, recipient), &())?;
    }
    tables.put(TableId::FanOuts, fan_out.trigger.as_bytes(), fan_out)
}

/// Makes runs of a portion of subscribers, each once whatever ways lead to it, and notes how far the fan-out has come.
pub fn spread(tables: &mut Tables<'_>, spread: Spread) -> Result<Done, StoreError> {
    let id = spread.fan_out.trigger;
    let stored: Option<FanOut> = tables.get(TableId::FanOuts, id.as_bytes())?;
    let stored = stored.filter(|stored| stored.revision == spread.fan_out.revision).ok_or(Refused::Stale)?;
    let mut runs: Vec<Run> = Vec::with_capacity(spread.to.len());
    for (recipient, object) in spread.to {
        let key = reached(id, &recipient);
        let deleted: Option<Timestamp> = tables.get(TableId::Deleted, &recipient.key())?;
        if stored.cancelled.covers(&recipient)
            || deleted.is_some_and(|deleted| is_before(id, deleted))
            || tables.get::<()>(TableId::Reached, &key)?.is_some()
        {
            continue;
        }
        tables.put(TableId::Reached, &key, &())?;
        let number = u16::try_from(runs.len()).unwrap_or(u16::MAX);
        let id = RunId::in_block(spread.block, number);
        runs.push(Run { id, recipient, via: Some(object), ..spread.like.clone() });
    }
    if let Some(run) = runs.first() {
        trim::note_gap(tables, run.id.made_at().since(id.made_at()))?;
    }
    waits::runs_spread(tables, &runs)?;
    let records = Records::of(&runs)?;
    for (key, record) in records.cohorts {
        tables.put_encoded(TableId::Cohorts, key.as_bytes(), &record)?;
    }
    for (key, record) in records.alone {
        tables.put_encoded(TableId::Runs, key.as_bytes(), &record)?;
    }
    let mut next = FanOut { cancelled: stored.cancelled, revision: stored.revision + 1, ..spread.fan_out };
    if next.cancelled == Spared::Everybody {
        next.objects.clear();
    }
    tables.put(TableId::FanOuts, id.as_bytes(), &next)?;
    Ok(Done::Spread(runs.into_iter().map(|run| run.id).collect(), next))
}

/// Clears what a fan-out that has reached everybody left, and then forgets it.
pub fn clear(tables: &mut Tables<'_>, trigger: TriggerId) -> Result<Done, StoreError> {
    let rows = tables.some_with_prefix::<()>(TableId::Reached, trigger.as_bytes(), trigger.as_bytes(), CLEARED)?;
    for (key, ()) in &rows {
        tables.remove(TableId::Reached, key)?;
    }
    let is_clear = rows.len() < CLEARED;
    if is_clear {
        tables.remove(TableId::FanOuts, trigger.as_bytes())?;
    }
    Ok(Done::Cleared(is_clear))
}

/// A cancel spares whom it names in fan-outs that are going on.
pub fn spare(
    tables: &mut Tables<'_>,
    triggers: &[TriggerId],
    named: Option<&[RecipientRef]>,
) -> Result<(), StoreError> {
    for id in triggers {
        let fan_out: Option<FanOut> = tables.get(TableId::FanOuts, id.as_bytes())?;
        if let Some(mut fan_out) = fan_out {
            fan_out.cancelled.add(named);
            tables.put(TableId::FanOuts, id.as_bytes(), &fan_out)?;
        }
    }
    Ok(())
}
