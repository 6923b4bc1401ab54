//! Runs that wait for events. Whether an event is what a run waits for is decided here, in the transaction that writes the
//! event: one that was answered has met all that waited for it, whatever ends the process then, and a run meets one
//! event at most, whichever of event, end of the wait and cancel comes first.
//!
//! A wait lies under its run, and under its topic and recipient in an index, so that an event for which nobody waits
//! costs a lookup.

use serde::Deserialize;
use serde_json::Value;

use super::StoreError;
use super::apply::put_events;
use super::bundle;
use super::codec::decode;
use super::cohort::{Records, Stored};
use super::marks;
use super::op::{Diverted, Hastened, Next, Registering};
use super::read::Reader;
use super::tables::{TableId, Tables, owned_prefix};
use crate::base::clock::Timestamp;
use crate::base::ids::{MessageId, RunId};
use crate::model::awaited::{
    Awaited, Crossing, MessageHappening, RunHappening, Wait, audience_event, message_event, recipient_event, run_event,
};
use crate::model::engagement::MessageEvent;
use crate::model::message::Message;
use crate::model::preferences::PreferenceSet;
use crate::model::recipient::{Recipient, RecipientRef};
use crate::model::run::{Phase, Run, RunEvent, RunEventKind};
use crate::model::trigger::{Trigger, TriggerSettings};

/// Under which the waits of a recipient for an event lie.
fn prefix(awaited: &Awaited, recipient: &RecipientRef) -> Vec<u8> {
    [awaited.topic().as_bytes(), &owned_prefix(recipient)].concat()
}

fn key(awaited: &Awaited, run: &Run) -> Vec<u8> {
    [prefix(awaited, &run.recipient).as_slice(), run.id.as_bytes()].concat()
}

/// Lets `run` begin to wait, as it was to; or it is diverted, since what it waits for has happened to a message of its own.
pub fn register(
    tables: &mut Tables<'_>,
    run: &Run,
    registering: &Registering,
    at: Timestamp,
    told: &mut Vec<RunEvent>,
) -> Result<Option<Diverted>, StoreError> {
    let Registering { wait, step, looks_back } = registering;
    if *looks_back && let Some(matched) = look_back(tables, run, wait, at)? {
        told.push(RunEvent::of_step(matched, wait.step_ref.clone(), at));
        return Ok(Some(Diverted { to: Next::Phase(Phase::Matched { step: *step }), hastened: None }));
    }
    tables.put(TableId::Waits, run.id.as_bytes(), wait)?;
    tables.put(TableId::Awaited, &key(&wait.awaited, run), &())?;
    Ok(None)
}

/// What of the run's own messages, as they stand, is what it waits for.
fn look_back(
    tables: &mut Tables<'_>,
    run: &Run,
    wait: &Wait,
    at: Timestamp,
) -> Result<Option<RunEventKind>, StoreError> {
    let Awaited::Message { event, workflow } = &wait.awaited else { return Ok(None) };
    let events: Vec<(Vec<u8>, RunEvent)> = tables.with_prefix(TableId::RunEvents, run.id.as_bytes())?;
    for id in events.into_iter().filter_map(|(_, event)| event.message) {
        let Some(message) = tables.get::<Message>(TableId::Messages, id.as_bytes())? else { continue };
        let done = marks::engagement(tables, &message)?;
        if message.workflow != *workflow || !event.has_happened(message.status, &done) {
            continue;
        }
        let marks: Vec<(Vec<u8>, MessageEvent)> = tables.with_prefix(TableId::MessageEvents, id.as_bytes())?;
        let said = marks.iter().rev().find(|(_, mark)| *event == MessageHappening::Did(mark.action));
        let data = said.and_then(|(_, mark)| mark.data.as_ref());
        let told = message_event(&message, *event, data, is_sandboxed(tables, &message)?, at);
        if let Some((event, conditions)) = wait.judge(&told, at) {
            return Ok(Some(RunEventKind::WaitMatched { what: wait.awaited.to_string(), event, conditions }));
        }
    }
    Ok(None)
}

/// The run waits no longer.
pub fn forget(tables: &mut Tables<'_>, run: &Run) -> Result<(), StoreError> {
    let wait: Option<Wait> = tables.get(TableId::Waits, run.id.as_bytes())?;
    let Some(wait) = wait else { return Ok(()) };
    tables.remove(TableId::Awaited, &key(&wait.awaited, run))?;
    tables.remove(TableId::Waits, run.id.as_bytes())
}

/// Whether anybody waits for what begins so.
fn is_awaited(tables: &mut Tables<'_>, prefix: &[u8]) -> Result<bool, StoreError> {
    if tables.is_empty(TableId::Awaited)? {
        return Ok(false);
    }
    Ok(!tables.some_keys_with_prefix(TableId::Awaited, prefix, prefix, 1)?.is_empty())
}

/// What was awaited has happened to `recipient`: the runs that it matches go on, each with what `tell` says of it.
fn happened(
    tables: &mut Tables<'_>,
    awaited: &Awaited,
    recipient: &RecipientRef,
    at: Timestamp,
    tell: impl FnOnce(&mut Tables<'_>) -> Result<Value, StoreError>,
) -> Result<(), StoreError> {
    let prefix = prefix(awaited, recipient);
    let waiting = tables.some_keys_with_prefix(TableId::Awaited, &prefix, &prefix, usize::MAX)?;
    if waiting.is_empty() {
        return Ok(());
    }
    let event = tell(tables)?;
    for key in waiting {
        let run = key.last_chunk::<16>().map(|id| RunId::from(*id));
        if let Some(run) = run {
            meet(tables, run, &event, at)?;
        }
    }
    Ok(())
}

/// Lets a run that waits go on, if `event` is what it waits for and comes in time.
fn meet(tables: &mut Tables<'_>, id: RunId, event: &Value, at: Timestamp) -> Result<(), StoreError> {
    let wait: Option<Wait> = tables.get(TableId::Waits, id.as_bytes())?;
    let (Some(mut stored), Some(wait)) = (Stored::load(tables, id)?, wait) else { return Ok(()) };
    let Phase::Awaiting { step, due } = stored.run.phase else { return Ok(()) };
    let Some((event, conditions)) = wait.judge(event, at).filter(|_| at <= due) else { return Ok(()) };
    forget(tables, &stored.run)?;
    let kind = RunEventKind::WaitMatched { what: wait.awaited.to_string(), event, conditions };
    put_events(tables, id, stored.run.revision, &[RunEvent::of_step(kind, wait.step_ref, at)])?;
    stored.run.revision += 1;
    stored.run.phase = Phase::Matched { step };
    stored.put(tables)?;
    tables.woken.push(Hastened { run: id, from: due, to: at });
    Ok(())
}

/// Something happened to a message; `mark` is what a reader did.
pub fn message_changed(
    tables: &mut Tables<'_>,
    message: &Message,
    event: MessageHappening,
    mark: Option<&MessageEvent>,
    at: Timestamp,
) -> Result<(), StoreError> {
    if tables.is_empty(TableId::Awaited)? {
        return Ok(());
    }
    let awaited = Awaited::Message { event, workflow: message.workflow.clone() };
    happened(tables, &awaited, &message.recipient, at, |tables| {
        let data = mark.and_then(|mark| mark.data.as_ref());
        Ok(message_event(message, event, data, is_sandboxed(tables, message)?, at))
    })
}

/// A message was made.
pub fn message_made(tables: &mut Tables<'_>, message: &Message) -> Result<(), StoreError> {
    let at = message.inserted_at;
    message_changed(tables, message, MessageHappening::Created, None, at)?;
    message_changed(tables, message, MessageHappening::Became(message.status), None, at)
}

/// A reader did something with a message.
pub fn message_marked(tables: &mut Tables<'_>, id: MessageId, mark: &MessageEvent) -> Result<(), StoreError> {
    if tables.is_empty(TableId::Awaited)? {
        return Ok(());
    }
    match tables.get::<Message>(TableId::Messages, id.as_bytes())? {
        Some(message) => message_changed(tables, &message, MessageHappening::Did(mark.action), Some(mark), mark.at),
        None => Ok(()),
    }
}

/// What waits ask of a trigger, read without its data.
#[derive(Deserialize)]
struct Outline {
    workflow: String,
    settings: TriggerSettings,
}

fn is_sandboxed(tables: &mut Tables<'_>, message: &Message) -> Result<bool, StoreError> {
    let trigger: Option<Outline> = bundle::load(tables, message.trigger)?;
    Ok(trigger.is_some_and(|trigger| trigger.settings.sandbox_mode))
}

/// The runs of a trigger, which is still to be written, were accepted.
pub fn runs_accepted(tables: &mut Tables<'_>, trigger: &[u8], runs: &Records, at: Timestamp) -> Result<(), StoreError> {
    if !is_awaited(tables, RunHappening::Started.topics().as_bytes())? {
        return Ok(());
    }
    let Outline { workflow, .. } = decode(trigger)?;
    if !is_awaited(tables, Awaited::Workflow { event: RunHappening::Started, workflow }.topic().as_bytes())? {
        return Ok(());
    }
    let trigger: Trigger = decode(trigger)?;
    runs.decoded()?.iter().try_for_each(|run| run_changed(tables, run, &trigger, RunHappening::Started, at))
}

/// Runs of a trigger were made for subscribers.
pub fn runs_spread(tables: &mut Tables<'_>, runs: &[Run]) -> Result<(), StoreError> {
    let Some(first) = runs.first() else { return Ok(()) };
    if !is_awaited(tables, RunHappening::Started.topics().as_bytes())? {
        return Ok(());
    }
    let Some(trigger) = bundle::load::<Trigger>(tables, first.trigger)? else { return Ok(()) };
    let at = first.id.made_at();
    runs.iter().try_for_each(|run| run_changed(tables, run, &trigger, RunHappening::Started, at))
}

/// A run has ended and counts as completed.
pub fn run_completed(tables: &mut Tables<'_>, run: &Run, at: Timestamp) -> Result<(), StoreError> {
    if !is_awaited(tables, RunHappening::Completed.topics().as_bytes())? {
        return Ok(());
    }
    let Some(Outline { workflow, .. }) = bundle::load(tables, run.trigger)? else { return Ok(()) };
    if !is_awaited(tables, &prefix(&Awaited::Workflow { event: RunHappening::Completed, workflow }, &run.recipient))? {
        return Ok(());
    }
    match bundle::load::<Trigger>(tables, run.trigger)? {
        Some(trigger) => run_changed(tables, run, &trigger, RunHappening::Completed, at),
        None => Ok(()),
    }
}

fn run_changed(
    tables: &mut Tables<'_>,
    run: &Run,
    trigger: &Trigger,
    event: RunHappening,
    at: Timestamp,
) -> Result<(), StoreError> {
    let awaited = Awaited::Workflow { event, workflow: trigger.workflow.clone() };
    happened(tables, &awaited, &run.recipient, at, |_| Ok(run_event(run, trigger, event, at)))
}

/// A user entered or left an audience.
pub fn audience_crossed(
    tables: &mut Tables<'_>,
    audience: &str,
    user: &RecipientRef,
    tenant: Option<&str>,
    event: Crossing,
    at: Timestamp,
) -> Result<(), StoreError> {
    if tables.is_empty(TableId::Awaited)? {
        return Ok(());
    }
    let awaited = Awaited::Audience { event, audience: audience.to_owned() };
    happened(tables, &awaited, user, at, |_| Ok(audience_event(audience, user, tenant, event, at)))
}

/// Whether anybody waits for `recipient` to become another one.
pub fn is_watched(tables: &mut Tables<'_>, recipient: &RecipientRef) -> Result<bool, StoreError> {
    is_awaited(tables, &prefix(&Awaited::RecipientUpdated, recipient))
}

/// The properties, preferences or channel data of a recipient are others than before.
pub fn recipient_updated(tables: &mut Tables<'_>, recipient: &Recipient, at: Timestamp) -> Result<(), StoreError> {
    happened(tables, &Awaited::RecipientUpdated, &recipient.reference, at, |tables| {
        let prefix = owned_prefix(&recipient.reference);
        let sets: Vec<(Vec<u8>, PreferenceSet)> = tables.with_prefix(TableId::Preferences, &prefix)?;
        let named = sets.iter().map(|(key, set)| {
            let id = String::from_utf8_lossy(&key[prefix.len()..]).into_owned();
            let json = set.to_json(&id);
            (id, json)
        });
        Ok(recipient_event(recipient, named.collect(), at))
    })
}

impl Reader {
    /// What a run waits for; `None`: for no event.
    pub fn wait(&self, run: RunId) -> Result<Option<Wait>, StoreError> {
        self.get(TableId::Waits, run.as_bytes())
    }
}

#[cfg(test)]
mod tests;
