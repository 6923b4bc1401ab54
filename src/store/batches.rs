//! Batches: a record each, and a table of items that is only ever added to. Whether a run opens a batch or joins one, and
//! when one closes, is decided here, in the transaction that moves the run: an item is in exactly one batch, however
//! joins, closes, cancels and crashes follow each other.
//!
//! The run that opened a batch waits for its end. One that joins ends with the same commit that adds its item. So
//! 10,000 items are 10,000 appends, and a close reads the record alone: items are read where they are rendered.

use std::ops::Bound;

use serde::{Deserialize, Serialize};

use super::cohort::Stored;
use super::op::{Closing, Diverted, Entering, Hastened, Next};
use super::tables::{TableId, Tables, instant_key, numbered, owned, pair};
use super::{Reader, StoreError, trim};
use crate::base::clock::Timestamp;
use crate::base::ids::RunId;
use crate::model::batch::{Batch, BatchId, Closed, Item, State};
use crate::model::batch_step::Mode;
use crate::model::recipient::RecipientRef;
use crate::model::run::{EndedRun, Halt, Outcome, Phase, Run, RunEvent, RunEventKind};
use crate::model::trigger::CancelHash;

/// How many windows that have ended an opened one clears: more than one, so that the table shrinks under any load.
const TRIMMED_PER_WINDOW: usize = 4;

/// Items that one write forgets: 4 ms of the writer.
const FORGOTTEN_PER_WRITE: usize = 250;

/// What collects runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Open {
    Batch(BatchId),
    /// The run that opened it went on at once, and none has come since.
    Leading {
        opened_at: Timestamp,
        closes_at: Timestamp,
        latest: Option<Timestamp>,
    },
}

/// Where the item of a run with a cancellation key lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    batch: BatchId,
    number: u32,
}

/// The key of a batch's record, and the prefix of its items and actors.
pub fn batch_key(id: BatchId) -> [u8; 20] {
    numbered(id.run.as_bytes(), id.number)
}

/// The key of an item.
pub fn item_key(id: BatchId, number: u32) -> Vec<u8> {
    [batch_key(id).as_slice(), &number.to_be_bytes()].concat()
}

fn actor_key(id: BatchId, actor: &RecipientRef) -> Vec<u8> {
    [batch_key(id).as_slice(), &actor.key()].concat()
}

fn cancel_key(cancel: CancelHash, run: RunId) -> [u8; 32] {
    pair(&cancel.0, run.as_bytes())
}

/// The batch that the key of a record names.
pub fn batch_of(key: &[u8]) -> Option<BatchId> {
    let (run, number) = key.split_first_chunk::<16>()?;
    Some(BatchId { run: RunId::from(*run), number: u32::from_be_bytes(number.try_into().ok()?) })
}

/// The last batch that `run` opened.
fn latest_of(tables: &mut Tables<'_>, run: RunId) -> Result<Option<(BatchId, Batch)>, StoreError> {
    let found = tables.last_with_prefix::<Batch>(TableId::Batches, run.as_bytes())?;
    Ok(found.and_then(|(key, batch)| Some((batch_of(&key)?, batch))))
}

/// Lets `run` come to a batch step: it opens a batch, or leads one and goes on, as it was to; or it joins and is
/// diverted. `run` is as it was read, and its new revision is still to be counted.
pub fn enter(
    tables: &mut Tables<'_>,
    run: &Run,
    entering: &Entering,
    at: Timestamp,
    told: &mut Vec<RunEvent>,
) -> Result<Option<Diverted>, StoreError> {
    let key = owned(&run.recipient, &entering.key);
    let mut tell = |kind| told.push(RunEvent { kind, step_ref: entering.step_ref.clone(), message: None, at });
    let opened = |until| RunEventKind::BatchOpened { key: entering.shown_key.clone(), until };
    let id = BatchId { run: run.id, number: run.revision };
    match tables.get::<Open>(TableId::OpenBatches, &key)? {
        Some(Open::Batch(into)) => {
            let batch: Option<Batch> = tables.get(TableId::Batches, &batch_key(into))?;
            if let Some(batch) = batch.filter(|batch| batch.state == State::Open && batch.closes_at > at) {
                let (batch, hastened) = join(tables, into, batch, run, entering, at)?;
                let key = entering.shown_key.clone();
                tell(RunEventKind::BatchJoined { key, into: into.run, items: batch.items, until: batch.closes_at });
                return Ok(Some(Diverted { to: Next::End(Outcome::Batched(into.run)), hastened }));
            }
        }
        Some(Open::Leading { opened_at, closes_at, latest }) if closes_at > at => {
            let closes_at = latest.map_or(closes_at, |latest| entering.until.min(latest));
            let batch = fresh(key, opened_at, closes_at, latest);
            open(tables, id, batch, run, entering, at)?;
            tell(opened(closes_at));
            let due = Phase::Batching { step: entering.step, due: closes_at };
            return Ok(Some(Diverted { to: Next::Phase(due), hastened: None }));
        }
        _ => {}
    }
    tell(opened(entering.until));
    match entering.mode {
        Mode::Accumulate => {
            let batch = fresh(key, at, entering.until, entering.latest);
            open(tables, id, batch, run, entering, at)?;
        }
        Mode::FlushLeading => {
            let leading = Open::Leading { opened_at: at, closes_at: entering.until, latest: entering.latest };
            tables.put(TableId::OpenBatches, &key, &leading)?;
            tables.put(TableId::LeadingEnds, &end_key(entering.until, &key), &())?;
            trim_leading(tables, at)?;
        }
    }
    Ok(None)
}

fn fresh(key: Vec<u8>, opened_at: Timestamp, closes_at: Timestamp, latest: Option<Timestamp>) -> Batch {
    Batch { key, opened_at, closes_at, latest, added: 0, items: 0, actors: 0, state: State::Open }
}

fn open(
    tables: &mut Tables<'_>,
    id: BatchId,
    mut batch: Batch,
    run: &Run,
    entering: &Entering,
    at: Timestamp,
) -> Result<(), StoreError> {
    add(tables, id, &mut batch, run, entering, at)?;
    tables.put(TableId::OpenBatches, &batch.key, &Open::Batch(id))?;
    tables.put(TableId::Batches, &batch_key(id), &batch)
}

/// Adds the item of `run` to an open batch. When the batch ends before its run would wake, the run is told of.
fn join(
    tables: &mut Tables<'_>,
    id: BatchId,
    mut batch: Batch,
    run: &Run,
    entering: &Entering,
    at: Timestamp,
) -> Result<(Batch, Option<Hastened>), StoreError> {
    add(tables, id, &mut batch, run, entering, at)?;
    let before = batch.closes_at;
    if let Some(latest) = batch.latest {
        batch.closes_at = entering.until.min(latest).max(at);
    }
    if entering.max_items.is_some_and(|most| batch.items >= most) {
        batch.closes_at = at;
    }
    tables.put(TableId::Batches, &batch_key(id), &batch)?;
    let hastened = if batch.closes_at < before { hasten(tables, id.run, batch.closes_at)? } else { None };
    Ok((batch, hastened))
}

/// Lets the run of a batch wake at `to`, if it was to wake later. It keeps its revision: what it is about to write
/// is not made stale by this.
fn hasten(tables: &mut Tables<'_>, run: RunId, to: Timestamp) -> Result<Option<Hastened>, StoreError> {
    let Some(mut stored) = Stored::load(tables, run)? else { return Ok(None) };
    match stored.run.phase {
        Phase::Batching { step, due: from } if to < from => {
            stored.run.phase = Phase::Batching { step, due: to };
            stored.put(tables)?;
            Ok(Some(Hastened { run, from, to }))
        }
        _ => Ok(None),
    }
}

fn add(
    tables: &mut Tables<'_>,
    id: BatchId,
    batch: &mut Batch,
    run: &Run,
    entering: &Entering,
    at: Timestamp,
) -> Result<(), StoreError> {
    let number = batch.added;
    let Run { cancel, trigger, .. } = *run;
    let item =
        Item { run: run.id, trigger, data: run.data.clone(), actor: entering.actor.clone(), cancel, added_at: at };
    tables.put(TableId::BatchItems, &item_key(id, number), &item)?;
    if let Some(cancel) = cancel.filter(|_| run.id != id.run) {
        tables.put(TableId::BatchCancels, &cancel_key(cancel, run.id), &Place { batch: id, number })?;
    }
    if let Some(actor) = &entering.actor {
        let key = actor_key(id, actor);
        let items: u32 = tables.get(TableId::BatchActors, &key)?.unwrap_or(0);
        batch.actors += u32::from(items == 0);
        tables.put(TableId::BatchActors, &key, &(items + 1))?;
    }
    batch.added += 1;
    batch.items += 1;
    // The trigger of a run that was long under way may be older than the run that shows it.
    trim::note_gap(tables, id.run.made_at().since(trigger.made_at()))
}

/// Takes an item out of an open batch; answers whether it was there.
fn take_out(tables: &mut Tables<'_>, id: BatchId, batch: &mut Batch, number: u32) -> Result<bool, StoreError> {
    let key = item_key(id, number);
    let Some(item) = tables.get::<Item>(TableId::BatchItems, &key)? else { return Ok(false) };
    tables.remove(TableId::BatchItems, &key)?;
    if let Some(actor) = &item.actor {
        let key = actor_key(id, actor);
        let items: u32 = tables.get(TableId::BatchActors, &key)?.unwrap_or(1);
        if items > 1 {
            tables.put(TableId::BatchActors, &key, &(items - 1))?;
        } else {
            tables.remove(TableId::BatchActors, &key)?;
            batch.actors -= 1;
        }
    }
    batch.items -= 1;
    tables.put(TableId::Batches, &batch_key(id), batch)?;
    Ok(true)
}

/// Ends the time in which runs join the batch of `run`, which goes on as it was to; or it is diverted, when the end was
/// put off, or when nothing is left.
pub fn close(
    tables: &mut Tables<'_>,
    run: &mut Run,
    closing: &Closing,
    at: Timestamp,
    told: &mut Vec<RunEvent>,
) -> Result<Option<Diverted>, StoreError> {
    let diverted = |to| Ok(Some(Diverted { to, hastened: None }));
    let (Phase::Batching { step, .. }, Some((id, mut batch))) = (run.phase, latest_of(tables, run.id)?) else {
        return diverted(Next::End(Outcome::Failed("its batch is not stored".into())));
    };
    if batch.closes_at > at {
        return diverted(Next::Phase(Phase::Batching { step, due: batch.closes_at }));
    }
    let Closing { order, rendered, version, .. } = *closing;
    batch.state = State::Closed(Closed { order, rendered, version });
    leave(tables, id, &batch)?;
    tables.put(TableId::Batches, &batch_key(id), &batch)?;
    let kind = RunEventKind::BatchClosed { items: batch.items, actors: batch.actors };
    told.push(RunEvent { kind, step_ref: closing.step_ref.clone(), message: None, at });
    if batch.items == 0 {
        return diverted(Next::End(Outcome::Halted(Halt::EmptyBatch)));
    }
    // It is the data of its item from now on.
    run.data = None;
    Ok(None)
}

/// Nobody joins the batch any more. Another one may be open in its place, if it closes late.
fn leave(tables: &mut Tables<'_>, id: BatchId, batch: &Batch) -> Result<(), StoreError> {
    if tables.get(TableId::OpenBatches, &batch.key)? == Some(Open::Batch(id)) {
        tables.remove(TableId::OpenBatches, &batch.key)?;
    }
    Ok(())
}

/// The run of a batch ends while it waits: the next one that comes opens another batch.
pub fn abandon(tables: &mut Tables<'_>, run: RunId) -> Result<(), StoreError> {
    let Some((id, mut batch)) = latest_of(tables, run)? else { return Ok(()) };
    if batch.state == State::Open {
        leave(tables, id, &batch)?;
        batch.state = State::Dropped;
        tables.put(TableId::Batches, &batch_key(id), &batch)?;
    }
    Ok(())
}

/// Takes the item of a run that waits for its batch's end out of it: the run waits on for the others. Answers whether
/// there was one.
pub fn cancel_first(tables: &mut Tables<'_>, run: RunId) -> Result<bool, StoreError> {
    match latest_of(tables, run)? {
        Some((id, mut batch)) if batch.state == State::Open => take_out(tables, id, &mut batch, 0),
        _ => Ok(false),
    }
}

/// Takes the items of ended runs of a cancellation key out of the batches that are open, as far as `named` says so of
/// trigger and recipient; answers these runs.
pub fn cancel_joined(
    tables: &mut Tables<'_>,
    cancel: CancelHash,
    named: impl Fn(&Item, &RecipientRef) -> bool,
) -> Result<Vec<RunId>, StoreError> {
    let mut cancelled = Vec::new();
    for (key, place) in tables.with_prefix::<Place>(TableId::BatchCancels, &cancel.0)? {
        let Place { batch: id, number } = place;
        let batch: Option<Batch> = tables.get(TableId::Batches, &batch_key(id))?;
        let item: Option<Item> = tables.get(TableId::BatchItems, &item_key(id, number))?;
        let open = batch.filter(|batch| batch.state == State::Open).zip(item);
        if let Some((mut batch, item)) = open {
            let recipient = batch.key.len().checked_sub(17).and_then(|end| RecipientRef::from_key(&batch.key[..end]));
            if !recipient.is_some_and(|recipient| named(&item, &recipient)) {
                continue;
            }
            if take_out(tables, id, &mut batch, number)? {
                cancelled.push(item.run);
            }
        }
        // What is closed or gone is not cancelled by a later call either.
        tables.remove(TableId::BatchCancels, &key)?;
    }
    Ok(cancelled)
}

/// An item's run, which had ended as batched, ended as cancelled. Answers the run's revision, for what is told of it.
pub fn end_as_cancelled(tables: &mut Tables<'_>, run: RunId, at: Timestamp) -> Result<Option<u32>, StoreError> {
    let ended: Option<EndedRun> = tables.get(TableId::EndedRuns, run.as_bytes())?;
    let Some(mut ended) = ended else { return Ok(None) };
    let revision = ended.run.revision;
    ended.run.revision += 1;
    ended.outcome = Outcome::Cancelled;
    ended.ended_at = at;
    tables.put(TableId::EndedRuns, run.as_bytes(), &ended)?;
    Ok(Some(revision))
}

/// Forgets the batches of a run, a portion of each in one write; answers whether nothing is left.
pub fn forget(tables: &mut Tables<'_>, run: RunId) -> Result<bool, StoreError> {
    let prefix = run.as_bytes();
    let items = tables.some_with_prefix::<Item>(TableId::BatchItems, prefix, prefix, FORGOTTEN_PER_WRITE)?;
    for (key, item) in &items {
        tables.remove(TableId::BatchItems, key)?;
        if let Some(cancel) = item.cancel {
            tables.remove(TableId::BatchCancels, &cancel_key(cancel, item.run))?;
        }
        if let (Some(actor), Some(id)) = (&item.actor, batch_of(&key[..20])) {
            tables.remove(TableId::BatchActors, &actor_key(id, actor))?;
        }
    }
    if items.len() == FORGOTTEN_PER_WRITE {
        return Ok(false);
    }
    tables.remove_with_prefix(TableId::Batches, prefix)?;
    Ok(true)
}

impl Reader {
    /// Whether there are, or were, items of a cancellation key that a batch holds.
    pub fn has_batched(&self, cancel: CancelHash) -> Result<bool, StoreError> {
        let mut found = false;
        self.walk(TableId::BatchCancels, Bound::Included(&cancel.0), |key, _| {
            found = key.starts_with(&cancel.0);
            Ok(false)
        })?;
        Ok(found)
    }
}

fn end_key(until: Timestamp, key: &[u8]) -> Vec<u8> {
    [instant_key(until).as_slice(), key].concat()
}

/// Clears windows that ended without a batch.
fn trim_leading(tables: &mut Tables<'_>, now: Timestamp) -> Result<(), StoreError> {
    for _ in 0..TRIMMED_PER_WINDOW {
        let Some(oldest) = tables.first_key(TableId::LeadingEnds)? else { return Ok(()) };
        let (until, key) = oldest.split_at(8);
        if until > instant_key(now).as_slice() {
            return Ok(());
        }
        // There may be a batch in its place, or a younger window: those stay.
        let open: Option<Open> = tables.get(TableId::OpenBatches, key)?;
        if matches!(open, Some(Open::Leading { closes_at, .. }) if closes_at <= now) {
            tables.remove(TableId::OpenBatches, key)?;
        }
        tables.remove(TableId::LeadingEnds, &oldest)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
