//! Applies ops to the tables of one transaction. An op decides whether it is refused before its first write, since it
//! shares the transaction with innocent ones.

use std::time::Duration;

use super::bundle::Fresh;
use super::cohort::Stored;
use super::marks::{self, Feed};
use super::op::{
    Accepted, Accepting, Advance, BeginAttempt, Begun, Cancel, Cancelled, Diverted, Done, EVENTS_PER_REVISION,
    EndAttempt, Gate, Idempotent, NewMessage, Next, Op, Release, pending,
};
use super::tables::{TableId, Tables, instant_key, numbered, outbox_key, owned};
use super::{
    Refused, StoreError, audiences, batches, gate, profiles, removal, schedules, subscriptions, suppressions, trim,
    waits,
};
use crate::base::clock::Timestamp;
use crate::base::ids::{MessageId, RunId, TriggerId};
use crate::model::awaited::MessageHappening;
use crate::model::batch::Item;
use crate::model::engagement::Engagement;
use crate::model::feed::FeedEntry;
use crate::model::message::{Attempt, AttemptResult, Message, Pending, Status};
use crate::model::recipient::RecipientRef;
use crate::model::run::{EndedRun, Outcome, Phase, Run, RunEvent, RunEventKind};
use crate::model::trigger_data::TriggerData;

/// How long an idempotency key is remembered.
pub const IDEMPOTENCY_WINDOW: Duration = Duration::from_secs(24 * 3_600);

/// How many expired idempotency keys an accepted trigger clears: more than one, so that the table shrinks under any
/// load that fills it.
const TRIMMED_PER_ACCEPT: usize = 4;

/// Captured mail is a developer's tool: the oldest goes when there is more than this.
const MAILBOX_CAPACITY: u64 = 1_000;

/// How many bulk operations can be looked up: 2 MB. Every "mark all as read" is one, and nobody asks for it an hour later.
const BULK_OPERATIONS: u64 = 10_000;

/// Applies `op`; what it accepts is added to `fresh`. An error other than `Refused` means that the transaction must not be committed.
pub fn apply(tables: &mut Tables<'_>, fresh: &mut Fresh, op: Op) -> Result<Done, StoreError> {
    match op {
        Op::Accept(accept) => self::accept(tables, fresh, *accept),
        Op::Advance(advance) => self::advance(tables, *advance),
        Op::AdvanceAccepting(advance, accept) => {
            at_its_revision(tables, &advance)?;
            let done = self::accept(tables, fresh, *accept)?;
            self::advance(tables, *advance)?;
            Ok(done)
        }
        Op::Cancel(cancel) => self::cancel(tables, &cancel),
        Op::BeginAttempt(begin) => begin_attempt(tables, begin),
        Op::EndAttempt(end) => end_attempt(tables, *end),
        Op::Release(release) => self::release(tables, release),
        Op::Mark(mark) => marks::mark(tables, &mark),
        Op::MarkFeeds(mark) => marks::mark_feeds(tables, &mark),
        Op::KeepBulkOperation(operation) => {
            tables.put(TableId::BulkOperations, operation.id.as_bytes(), &operation)?;
            cap(tables, TableId::BulkOperations, BULK_OPERATIONS)?;
            Ok(Done::Written)
        }
        Op::Trim(trim) => trim::trim(tables, trim),
        Op::Identify(identify) => {
            let merged = profiles::merged(tables, &identify.people, identify.at)?;
            profiles::keep(tables, merged).map(Done::Identified)
        }
        Op::PublishVersion(publish) => {
            tables.put(TableId::Versions, publish.version.as_bytes(), &publish.stored)?;
            tables.put(TableId::Published, publish.stored.key.as_bytes(), &publish.version)?;
            Ok(Done::Written)
        }
        Op::SwitchWorkflow(key, active) => {
            tables.put(TableId::Switches, key.as_bytes(), &active)?;
            Ok(Done::Written)
        }
        Op::AddKey(add) => {
            tables.put(TableId::Keys, &add.hash, &add.key)?;
            Ok(Done::Written)
        }
        Op::RemoveKey(hash) => {
            tables.remove(TableId::Keys, &hash)?;
            Ok(Done::Written)
        }
        Op::KeepSecret(name, secret) => {
            tables.put(TableId::Secrets, name.as_bytes(), &secret)?;
            Ok(Done::Written)
        }
        Op::Suppress(suppression) => {
            suppressions::add(tables, &suppression)?;
            Ok(Done::Written)
        }
        Op::Unsuppress(address) => {
            suppressions::remove(tables, &address)?;
            Ok(Done::Written)
        }
        Op::ClearMailbox => {
            while let Some(key) = tables.first_key(TableId::Mailbox)? {
                tables.remove(TableId::Mailbox, &key)?;
            }
            Ok(Done::Written)
        }
        Op::Remove(remove) => removal::remove(tables, &remove),
        Op::MergeUsers(merge) => removal::merge_users(tables, &merge),
        Op::RemovePortion(portion) => removal::remove_portion(tables, &portion),
        Op::Subscribe(subscribe) => subscriptions::subscribe(tables, &subscribe),
        Op::Unsubscribe(unsubscribe) => subscriptions::unsubscribe(tables, &unsubscribe),
        Op::Spread(spread) => subscriptions::spread(tables, *spread),
        Op::ClearFanOut(trigger) => subscriptions::clear(tables, trigger),
        Op::ChangeSchedules(change) => schedules::change(tables, *change),
        Op::AcceptOccurrence(accept, occurrence) => {
            let schedule = schedules::due(tables, &occurrence)?;
            let done = self::accept(tables, fresh, *accept)?;
            schedules::pass(tables, schedule, &occurrence, true)?;
            Ok(done)
        }
        Op::ChangeAudience(change) => audiences::change(tables, &change),
        Op::MissOccurrence(occurrence) => {
            let schedule = schedules::due(tables, &occurrence)?;
            schedules::pass(tables, schedule, &occurrence, false)?;
            Ok(Done::Written)
        }
    }
}

fn accept(tables: &mut Tables<'_>, fresh: &mut Fresh, accept: Accepting) -> Result<Done, StoreError> {
    let now = accept.at;
    if let Some(idempotency) = &accept.idempotency {
        let known: Option<Idempotent> = tables.get(TableId::Idempotency, &idempotency.key)?;
        if let Some(known) = known.filter(|known| remembered(known, now)) {
            return if known.fingerprint == idempotency.fingerprint {
                Ok(Done::Accepted(Accepted::Replayed(known)))
            } else {
                Err(Refused::IdempotencyMismatch.into())
            };
        }
    }
    let people = profiles::merged(tables, &accept.identify, now)?;
    if let Some(idempotency) = &accept.idempotency {
        let record = Idempotent {
            fingerprint: idempotency.fingerprint,
            request_id: idempotency.request_id.clone(),
            trigger: accept.id,
            at: now,
        };
        tables.put(TableId::Idempotency, &idempotency.key, &record)?;
        tables.put(TableId::IdempotencyAge, &age_key(now, &idempotency.key), &())?;
        trim_idempotency(tables, now)?;
    }
    profiles::keep(tables, people)?;
    if let Some((fan_out, recipients)) = &accept.fan_out {
        subscriptions::begin(tables, fan_out, recipients)?;
    }
    let runs = accept.runs.alone.last().into_iter().chain(accept.runs.cohorts.last());
    if let Some(last) = runs.map(|(id, _)| id.made_at()).max() {
        trim::note_gap(tables, last.since(accept.id.made_at()))?;
    }
    waits::runs_accepted(tables, &accept.trigger, &accept.runs, now)?;
    fresh.triggers.push((accept.id, accept.trigger));
    fresh.runs.alone.extend(accept.runs.alone);
    fresh.runs.cohorts.extend(accept.runs.cohorts);
    Ok(Done::Accepted(Accepted::New))
}

/// Whether a stored answer still stands at `now`.
pub fn remembered(known: &Idempotent, now: Timestamp) -> bool {
    now.since(known.at) < IDEMPOTENCY_WINDOW
}

fn age_key(at: Timestamp, key: &[u8; 32]) -> Vec<u8> {
    [instant_key(at).as_slice(), key].concat()
}

fn trim_idempotency(tables: &mut Tables<'_>, now: Timestamp) -> Result<(), StoreError> {
    for _ in 0..TRIMMED_PER_ACCEPT {
        let Some(oldest) = tables.first_key(TableId::IdempotencyAge)? else { return Ok(()) };
        let (at, key) = oldest.split_at(8);
        if at >= instant_key(now.minus(IDEMPOTENCY_WINDOW)).as_slice() {
            return Ok(());
        }
        // The key may have been used again since: then its record is younger than this entry, and stays.
        let record: Option<Idempotent> = tables.get(TableId::Idempotency, key)?;
        if record.is_some_and(|record| !remembered(&record, now)) {
            tables.remove(TableId::Idempotency, key)?;
        }
        tables.remove(TableId::IdempotencyAge, &oldest)?;
    }
    Ok(())
}

/// The run that `advance` moves on, unless someone else did.
fn at_its_revision(tables: &mut Tables<'_>, advance: &Advance) -> Result<Stored, StoreError> {
    let stored = Stored::load(tables, advance.run)?;
    Ok(stored.filter(|stored| stored.run.revision == advance.expect).ok_or(Refused::Stale)?)
}

fn advance(tables: &mut Tables<'_>, mut advance: Advance) -> Result<Done, StoreError> {
    let mut stored = at_its_revision(tables, &advance)?;
    let people = profiles::merged(tables, &advance.changes.people, advance.at)?;
    stored.run.revision += 1;
    // Deleted since the step was decided: neither the message nor what is said of people must exist, nobody is to be
    // batched, and the run ends.
    let changes = &advance.changes;
    let tells = advance.message.is_some() || !changes.people.is_empty() || changes.audience.is_some();
    let counts = tells || matches!(advance.gate, Some(Gate::Batch(_) | Gate::Close(_) | Gate::Wait(_)));
    let deleted = counts && removal::is_deleted(tables, &stored.run)?;
    let (at, told) = (advance.at, &mut advance.events);
    let ends = |outcome| Diverted { to: Next::End(outcome), hastened: None };
    let diverted = match &advance.gate {
        _ if deleted => Some(ends(Outcome::RecipientDeleted)),
        Some(Gate::Batch(entering)) => {
            let entered = Run { revision: advance.expect, ..stored.run.clone() };
            batches::enter(tables, &entered, entering, at, told)?
        }
        Some(Gate::Close(closing)) => batches::close(tables, &mut stored.run, closing, at, told)?,
        Some(Gate::Wait(registering)) => waits::register(tables, &stored.run, registering, at, told)?,
        Some(gate) => {
            gate::pass(tables, gate, &stored.run.recipient, at, told)?.map(|halt| ends(Outcome::Halted(halt)))
        }
        None => None,
    };
    let (to, message) = match &diverted {
        Some(diverted) => (diverted.to.clone(), None),
        None => (advance.to, advance.message),
    };
    if diverted.is_none() {
        profiles::keep(tables, people)?;
        if let Some(change) = &advance.changes.audience {
            audiences::change(tables, change)?;
        }
    }
    match to {
        Next::Phase(phase) => {
            if let Phase::Awaiting { .. } = stored.run.phase {
                waits::forget(tables, &stored.run)?;
            }
            stored.run.phase = phase;
            if !advance.changes.data.is_empty() {
                stored.run.data.get_or_insert_default().extend(advance.changes.data);
            }
            stored.put(tables)?;
        }
        Next::End(outcome) => end_run(tables, stored, outcome, advance.at)?,
    }
    put_events(tables, advance.run, advance.expect, &advance.events)?;
    match message {
        None => {}
        Some(NewMessage::Send(message, not_before)) => {
            tables.put(TableId::Outbox, &outbox_key(message.run, message.id), &pending(&message, not_before))?;
            keep_new(tables, &message)?;
        }
        Some(NewMessage::Feed(message, data)) => {
            let message = publish(tables, message, data, Engagement::default())?;
            waits::message_made(tables, &message)?;
        }
        Some(NewMessage::Hold(message, data, until)) => {
            let pending = Pending { item: Some(data), ..pending(&message, Some(until)) };
            tables.put(TableId::Outbox, &outbox_key(message.run, message.id), &pending)?;
            keep_new(tables, &message)?;
        }
        Some(NewMessage::Keep(message)) => keep_new(tables, &message)?,
    }
    Ok(diverted.map_or(Done::Written, Done::Diverted))
}

/// Writes what is told of a run by the write over `revision`.
pub fn put_events(tables: &mut Tables<'_>, run: RunId, revision: u32, events: &[RunEvent]) -> Result<(), StoreError> {
    for (number, event) in (revision.saturating_mul(EVENTS_PER_REVISION)..).zip(events) {
        tables.put(TableId::RunEvents, &numbered(run.as_bytes(), number), event)?;
    }
    Ok(())
}

fn end_run(tables: &mut Tables<'_>, stored: Stored, outcome: Outcome, at: Timestamp) -> Result<(), StoreError> {
    let run = stored.remove(tables)?;
    match run.phase {
        Phase::Batching { .. } => batches::abandon(tables, run.id)?,
        Phase::Awaiting { .. } => waits::forget(tables, &run)?,
        _ => {}
    }
    if outcome.is_completed() {
        waits::run_completed(tables, &run, at)?;
    }
    let id = run.id;
    tables.put(TableId::EndedRuns, id.as_bytes(), &EndedRun { run, outcome, ended_at: at })
}

/// Puts a message into its recipient's feed; answers it as it lies there.
fn publish(
    tables: &mut Tables<'_>,
    mut message: Message,
    data: TriggerData,
    engagement: Engagement,
) -> Result<Message, StoreError> {
    let mut feed = Feed::open(tables, message.channel, &message.recipient)?;
    // Feed order is commit order, and no two items of a feed share a millisecond, whatever the clock does.
    message.inserted_at = message.inserted_at.max(feed.counts.last_at.plus(Duration::from_millis(1)));
    message.updated_at = message.updated_at.max(message.inserted_at);
    feed.counts.last_at = message.inserted_at;
    let entry = FeedEntry {
        message: message.id,
        workflow: message.workflow.clone(),
        categories: message.categories.clone(),
        tenant: message.tenant.clone(),
        data,
        inserted_at: message.inserted_at,
        engagement,
    };
    feed.add(tables, &entry)?;
    feed.close(tables)?;
    keep_message(tables, &message)?;
    Ok(message)
}

fn keep_new(tables: &mut Tables<'_>, message: &Message) -> Result<(), StoreError> {
    keep_message(tables, message)?;
    waits::message_made(tables, message)
}

/// Writes a message of a recipient who did not have it.
pub fn keep_message(tables: &mut Tables<'_>, message: &Message) -> Result<(), StoreError> {
    tables.put(TableId::HistoryOf, &owned(&message.recipient, message.id.as_bytes()), &())?;
    tables.put(TableId::Messages, message.id.as_bytes(), message)
}

fn cancel(tables: &mut Tables<'_>, cancel: &Cancel) -> Result<Done, StoreError> {
    let mut cancelled = Vec::new();
    subscriptions::spare(tables, &cancel.spreading, cancel.recipients.as_deref())?;
    let means = |trigger: TriggerId, recipient: &RecipientRef| {
        cancel.of.as_ref().is_none_or(|triggers| triggers.contains(&trigger))
            && cancel.recipients.as_ref().is_none_or(|named| named.contains(recipient))
    };
    for id in &cancel.runs {
        let Some(mut stored) = Stored::load(tables, *id)? else { continue };
        if stored.run.cancel != Some(cancel.key) || !means(stored.run.trigger, &stored.run.recipient) {
            continue;
        }
        let (phase, flow) = (stored.run.phase, stored.run.flow);
        let revision = stored.run.revision;
        stored.run.revision += 1;
        if let Phase::Batching { .. } = phase {
            if batches::cancel_first(tables, *id)? {
                stored.put(tables)?;
                let in_flight = tell_cancelled(tables, *id, revision, RunEventKind::BatchItemCancelled, cancel.at)?;
                cancelled.push(Cancelled { run: *id, stood: None, in_flight });
            }
            continue;
        }
        end_run(tables, stored, Outcome::Cancelled, cancel.at)?;
        let in_flight = tell_cancelled(tables, *id, revision, RunEventKind::Cancelled, cancel.at)?;
        cancelled.push(Cancelled { run: *id, stood: Some((phase, flow)), in_flight });
    }
    let named = |item: &Item, recipient: &RecipientRef| means(item.trigger, recipient);
    for run in batches::cancel_joined(tables, cancel.key, named)? {
        let Some(revision) = batches::end_as_cancelled(tables, run, cancel.at)? else { continue };
        let in_flight = tell_cancelled(tables, run, revision, RunEventKind::Cancelled, cancel.at)?;
        cancelled.push(Cancelled { run, stood: None, in_flight });
    }
    Ok(Done::Cancelled(cancelled))
}

/// Tells of a cancelled run, and stops its messages.
fn tell_cancelled(
    tables: &mut Tables<'_>,
    run: RunId,
    revision: u32,
    kind: RunEventKind,
    at: Timestamp,
) -> Result<u32, StoreError> {
    put_events(tables, run, revision, &[RunEvent::of_run(kind, at)])?;
    cancel_queued(tables, run, at)
}

/// Stops the messages of a cancelled run that wait for their next attempt; answers how many attempts are on the wire.
fn cancel_queued(tables: &mut Tables<'_>, run: RunId, at: Timestamp) -> Result<u32, StoreError> {
    let mut in_flight = 0;
    for (key, mut pending) in tables.with_prefix::<Pending>(TableId::Outbox, run.as_bytes())? {
        if pending.in_flight {
            in_flight += 1;
            pending.cancelled = true;
            tables.put(TableId::Outbox, &key, &pending)?;
        } else {
            tables.remove(TableId::Outbox, &key)?;
            set_status(tables, pending.message, Status::NotSent, at)?;
        }
    }
    Ok(in_flight)
}

fn set_status(tables: &mut Tables<'_>, message: MessageId, status: Status, at: Timestamp) -> Result<(), StoreError> {
    let stored: Option<Message> = tables.get(TableId::Messages, message.as_bytes())?;
    let Some(mut stored) = stored else { return Ok(()) };
    stored.status = status;
    stored.updated_at = stored.updated_at.max(at);
    tables.put(TableId::Messages, message.as_bytes(), &stored)?;
    waits::message_changed(tables, &stored, MessageHappening::Became(status), None, at)
}

fn begin_attempt(tables: &mut Tables<'_>, begin: BeginAttempt) -> Result<Done, StoreError> {
    let key = outbox_key(begin.run, begin.message);
    let pending: Option<Pending> = tables.get(TableId::Outbox, &key)?;
    let message: Option<Message> = tables.get(TableId::Messages, begin.message.as_bytes())?;
    let (Some(mut pending), Some(mut message)) = (pending, message) else { return Ok(Done::Begun(None)) };
    if pending.cancelled {
        // It was on the wire when the process ended, and a cancel had come: whether it arrived is not known.
        tables.remove(TableId::Outbox, &key)?;
        set_status(tables, begin.message, Status::NotSent, begin.at)?;
        return Ok(Done::Begun(None));
    }
    pending.attempts += 1;
    if let Some(suppression) = suppressions::of_message(tables, &message)? {
        let attempt = Attempt::suppressed(pending.attempts, begin.at, &suppression);
        tables.put(TableId::Attempts, &numbered(begin.message.as_bytes(), attempt.number), &attempt)?;
        tables.remove(TableId::Outbox, &key)?;
        set_status(tables, begin.message, Status::Undelivered, begin.at)?;
        return Ok(Done::Begun(None));
    }
    pending.in_flight = true;
    tables.put(TableId::Outbox, &key, &pending)?;
    let left_out = suppressions::leave_out(tables, &mut message)?;
    Ok(Done::Begun(Some(Box::new(Begun { message, attempt: pending.attempts, left_out }))))
}

fn release(tables: &mut Tables<'_>, release: Release) -> Result<Done, StoreError> {
    let (key, id) = (outbox_key(release.run, release.message), release.message);
    let pending: Option<Pending> = tables.get(TableId::Outbox, &key)?;
    let message: Option<Message> = tables.get(TableId::Messages, id.as_bytes())?;
    let item = pending.and_then(|pending| pending.item);
    let (Some(data), Some(mut message)) = (item, message) else { return Ok(Done::Released(None)) };
    tables.remove(TableId::Outbox, &key)?;
    // What was done with it while it was held stands beside it from now on.
    let engagement = tables.get(TableId::Engagements, id.as_bytes())?.unwrap_or_default();
    tables.remove(TableId::Engagements, id.as_bytes())?;
    message.status = Status::Delivered;
    message.inserted_at = message.inserted_at.max(release.at);
    let whose = message.recipient.clone();
    let message = publish(tables, message, data, engagement)?;
    waits::message_changed(tables, &message, MessageHappening::Became(message.status), None, message.inserted_at)?;
    Ok(Done::Released(Some(whose)))
}

fn end_attempt(tables: &mut Tables<'_>, end: EndAttempt) -> Result<Done, StoreError> {
    let key = outbox_key(end.run, end.message);
    let pending: Option<Pending> = tables.get(TableId::Outbox, &key)?;
    let mut pending = pending.filter(|pending| pending.in_flight).ok_or(Refused::Gone)?;
    let at = end.attempt.at;
    tables.put(TableId::Attempts, &numbered(end.message.as_bytes(), end.attempt.number), &end.attempt)?;
    end.gone.iter().try_for_each(|gone| suppressions::add(tables, gone))?;
    let status = match (end.attempt.result, end.retry_at) {
        (AttemptResult::Accepted, _) => Status::Sent,
        (_, Some(_)) if pending.cancelled => Status::NotSent,
        (_, Some(due)) => {
            pending.in_flight = false;
            pending.due = due;
            tables.put(TableId::Outbox, &key, &pending)?;
            set_status(tables, end.message, Status::DeliveryAttempted, at)?;
            return Ok(Done::Written);
        }
        (AttemptResult::Bounced, None) => Status::Bounced,
        (AttemptResult::Transient | AttemptResult::Permanent, None) => Status::Undelivered,
    };
    if status == Status::Bounced {
        suppressions::bounced(tables, &end)?;
    }
    tables.remove(TableId::Outbox, &key)?;
    set_status(tables, end.message, status, at)?;
    if let Some(captured) = &end.captured {
        tables.put(TableId::Mailbox, captured.message.as_bytes(), captured)?;
        cap(tables, TableId::Mailbox, MAILBOX_CAPACITY)?;
    }
    Ok(Done::Written)
}

/// Removes the oldest record of `table` when one more than `capacity` was put in.
fn cap(tables: &mut Tables<'_>, table: TableId, capacity: u64) -> Result<(), StoreError> {
    if tables.len(table)? > capacity
        && let Some(oldest) = tables.first_key(table)?
    {
        tables.remove(table, &oldest)?;
    }
    Ok(())
}
