//! What a store holds, all of it.

use std::collections::BTreeMap;

use belfry::base::ids::{RunId, TriggerId};
use belfry::model::feed::{FeedCounts, FeedEntry};
use belfry::model::message::{Message, Pending};
use belfry::model::recipient::RecipientRef;
use belfry::model::run::{EndedRun, Run, RunEvent, RunEventKind};
use belfry::model::subscription::FanOut;
use belfry::model::trigger::Trigger;
use belfry::store::read::Order;
use belfry::store::{Store, StoreError};

use crate::cast::{self, PEOPLE, Who};
use crate::ledger::Record;

pub struct Snapshot {
    pub pending: Vec<Run>,
    pub ended: Vec<EndedRun>,
    pub triggers: BTreeMap<TriggerId, Trigger>,
    pub messages: Vec<Message>,
    pub outbox: Vec<Pending>,
    pub spreading: Vec<FanOut>,
    pub events: BTreeMap<RunId, Vec<RunEvent>>,
    pub feeds: Vec<Feed>,
}

pub struct Feed {
    pub of: RecipientRef,
    pub counts: FeedCounts,
    /// Newest first.
    pub entries: Vec<FeedEntry>,
}

impl Snapshot {
    pub fn read(store: &Store) -> Result<Self, StoreError> {
        let reader = store.read()?;
        let mut pending = Vec::new();
        reader.each_run(|run| pending.push(run))?;
        let ended = reader.ended_runs()?;
        let (mut triggers, mut events) = (BTreeMap::new(), BTreeMap::new());
        for run in pending.iter().chain(ended.iter().map(|ended| &ended.run)) {
            if let Some(trigger) = reader.trigger(run.trigger)? {
                triggers.insert(run.trigger, trigger);
            }
            events.insert(run.id, reader.run_events(run.id)?);
        }
        let mut outbox = Vec::new();
        reader.each_pending(|one| {
            outbox.push(one);
            true
        })?;
        let mut feeds = Vec::new();
        for of in (0..PEOPLE).map(|who| Who(who).reference()) {
            let mut entries = Vec::new();
            reader.each_feed_entry(cast::feed(), &of, .., Order::NewestFirst, |entry| {
                entries.push(entry);
                true
            })?;
            feeds.push(Feed { counts: reader.feed_counts(cast::feed(), &of)?, of, entries });
        }
        let (messages, spreading) = (reader.messages()?, reader.fan_outs()?);
        Ok(Self { pending, ended, triggers, messages, outbox, spreading, events, feeds })
    }

    /// Loses one feed item.
    pub fn spoil(mut self) -> Self {
        if let Some(feed) = self.feeds.iter_mut().find(|feed| !feed.entries.is_empty()) {
            feed.entries.pop();
        }
        self
    }

    pub fn messages_of(&self, run: RunId) -> impl Iterator<Item = &Message> {
        self.messages.iter().filter(move |message| message.run == run)
    }

    /// Adds what the world came to to its trace.
    pub fn trace(&self, ledger: &mut Record) {
        for ended in &self.ended {
            ledger.trace(format!("run {} {:?}", ended.run.id, ended.outcome));
            let events = self.events.get(&ended.run.id).into_iter().flatten();
            let met = events.filter(|event| matches!(event.kind, RunEventKind::WaitMatched { .. }));
            met.for_each(|event| ledger.trace(format!("met by run {} at {}", ended.run.id, event.at)));
        }
        for (run, events) in &self.events {
            let held = events.iter().filter(|event| matches!(event.kind, RunEventKind::MessageHeld { .. }));
            held.for_each(|event| ledger.trace(format!("a message of run {run} is held until {:?}", event.kind)));
        }
        for message in &self.messages {
            let Message { id, step_ref, status, inserted_at, .. } = message;
            ledger.trace(format!("message {id} {step_ref} {status:?} {inserted_at}"));
        }
    }
}
