//! What a message, or a run that goes on, tells of: the trigger that it came of, or those of a batch.

use std::ops::Bound;

use serde_json::{Map, Value};

use super::StoreError;
use super::batches::{batch_key, batch_of, item_key};
use super::codec::decode;
use super::read::{Order, Reader};
use super::tables::TableId;
use crate::base::ids::{RunId, VersionId};
use crate::model::batch::{Activities, Activity, Batch, BatchId, Closed, Item, State};
use crate::model::batch_step::Order as Shown;
use crate::model::message::Message;
use crate::model::page::{Page, PageRequest};
use crate::model::trigger::Trigger;

/// The trigger of a message's run, and what the message tells of.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    pub trigger: Trigger,
    /// The version of the workflow that made the message.
    pub version: VersionId,
    pub activities: Activities,
}

impl Reader {
    /// What `message` tells of; `None`: it is forgotten.
    pub fn told(&self, message: &Message) -> Result<Option<Told>, StoreError> {
        let Some(trigger) = self.trigger(message.trigger)? else { return Ok(None) };
        let id = message.batch.map(|number| BatchId { run: message.run, number });
        if let Some(id) = id
            && let Some(batch) = self.batch(id)?
            && let State::Closed(closed) = &batch.state
        {
            let mut activities = self.activities(id, &batch, closed)?;
            activities.data.extend(self.own_data(message.run)?);
            return Ok(Some(Told { version: closed.version.unwrap_or(trigger.version), trigger, activities }));
        }
        let mut data = trigger.data.clone();
        data.extend(self.own_data(message.run)?);
        let activity = Activity { id: trigger.id, actor: trigger.actor.clone(), data, at: trigger.inserted_at };
        Ok(Some(Told { version: trigger.version, trigger, activities: Activities::of_one(activity) }))
    }

    /// What lies over the data of a run's trigger or batch.
    fn own_data(&self, id: RunId) -> Result<Map<String, Value>, StoreError> {
        let run = match self.ended_run(id)? {
            Some(ended) => Some(ended.run),
            None => self.run(id)?,
        };
        Ok(run.and_then(|run| run.data).unwrap_or_default())
    }

    /// The last batch that `run` opened.
    pub fn last_batch(&self, run: RunId) -> Result<Option<(BatchId, Batch)>, StoreError> {
        let end = run.0.as_u128().saturating_add(1).to_be_bytes();
        let span = (Bound::Included(run.as_bytes().as_slice()), Bound::Excluded(end.as_slice()));
        let mut found = None;
        self.walk_within(TableId::Batches, span, Order::NewestFirst, |key, batch| {
            found = batch_of(key).zip(Some(decode(batch)?));
            Ok(false)
        })?;
        Ok(found)
    }

    /// A batch.
    pub fn batch(&self, id: BatchId) -> Result<Option<Batch>, StoreError> {
        self.get(TableId::Batches, &batch_key(id))
    }

    /// What a closed batch came to. As many of its items are read as are rendered, and one or two more: the first one,
    /// whose actor counts and by which preferences are judged, and the last one, whose data does.
    pub fn activities(&self, id: BatchId, batch: &Batch, closed: &Closed) -> Result<Activities, StoreError> {
        let most = usize::try_from(closed.rendered).unwrap_or(usize::MAX);
        let shows_first = closed.order == Shown::First;
        let mut first = self.items(id, 0, Order::OldestFirst, if shows_first { most } else { 1 })?;
        let mut last = self.items(id, 0, Order::NewestFirst, if shows_first { 1 } else { most })?;
        last.reverse();
        let (opener, newest) = (first.first().map(|(_, item)| item.clone()), last.last().cloned());
        let actor = opener.as_ref().and_then(|item| item.actor.clone());
        let shown = if shows_first { &mut first } else { &mut last };
        let shown = shown.drain(..).map(|(_, item)| self.activity(item)).collect::<Result<Vec<_>, _>>()?;
        let mut data = Map::new();
        shown.iter().for_each(|activity| data.extend(activity.data.clone()));
        if let Some((_, item)) = newest {
            data.extend(self.activity(item)?.data);
        }
        let first = opener.map(|item| self.activity(item)).transpose()?.map(|activity| activity.data);
        let first = first.unwrap_or_default();
        Ok(Activities { shown, total: batch.items, total_actors: batch.actors, data, first, actor })
    }

    /// The first `most` items of a batch from number `from` on, or the last ones.
    pub fn items(&self, id: BatchId, from: u32, order: Order, most: usize) -> Result<Vec<(u32, Item)>, StoreError> {
        let (first, last) = (item_key(id, from), item_key(id, u32::MAX));
        let span = (Bound::Included(first.as_slice()), Bound::Included(last.as_slice()));
        let mut items = Vec::new();
        self.walk_within(TableId::BatchItems, span, order, |key, item| {
            let number = key.last_chunk().map_or(0, |number| u32::from_be_bytes(*number));
            items.push((number, decode(item)?));
            Ok(items.len() < most)
        })?;
        Ok(items)
    }

    /// A page of all that `message` tells of, oldest first, as `keep` shapes what it keeps; a cursor is a number.
    pub fn activities_page<U>(
        &self,
        message: &Message,
        request: &PageRequest,
        mut keep: impl FnMut(&[u8], Activity) -> Result<Option<U>, StoreError>,
    ) -> Result<Page<U>, StoreError> {
        if let Some(number) = message.batch {
            // Numbers begin with a NUL: no batch has 16 million items.
            let prefix = batch_key(BatchId { run: message.run, number });
            return self
                .page(TableId::BatchItems, &prefix, request, |cursor, item: Item| keep(cursor, self.activity(item)?));
        }
        let told = self.told(message)?.map(|told| told.activities.shown).unwrap_or_default();
        let mut rows = Vec::new();
        for (number, activity) in (0u32..).zip(told) {
            let cursor = number.to_be_bytes().to_vec();
            rows.extend(keep(&cursor, activity)?.map(|row| (cursor, row)));
        }
        Ok(Page::within(rows, request))
    }

    /// What an item tells of.
    pub fn activity(&self, item: Item) -> Result<Activity, StoreError> {
        let trigger = self.trigger(item.trigger)?;
        let at = trigger.as_ref().map_or(item.added_at, |trigger| trigger.inserted_at);
        let mut data = trigger.map(|trigger| trigger.data).unwrap_or_default();
        data.extend(item.data.unwrap_or_default());
        Ok(Activity { id: item.trigger, actor: item.actor, data, at })
    }
}
