//! Deletes recipients, and merges one user into another. Who is deleted is gone with one write; what belonged to them
//! goes in portions that let other writes pass, and a crash between two of them is made up for at the next start.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::apply::keep_message;
use super::marks::Feed;
use super::op::{Done, MergeUsers, Place, Remove, RemovePortion};
use super::profiles::{self, encoded};
use super::tables::{TableId, Tables, outbox_key, owned, owned_prefix, run_of};
use super::{Refused, StoreError, audiences, batches, schedules, subscriptions, waits};
use crate::base::clock::Timestamp;
use crate::base::ids::{MessageId, RunId, TriggerId};
use crate::model::feed::FeedEntry;
use crate::model::message::Message;
use crate::model::recipient::{Recipient, RecipientRef};
use crate::model::run::{EndedRun, Run};

/// Messages or subscriptions of one write. A message takes about ten writes to tables, so that a portion holds the
/// writer for 10 ms.
const PORTION: usize = 100;
/// How far back a user's messages go to the user that this one is merged into.
const INHERITED: Duration = Duration::from_secs(30 * 24 * 3_600);

/// What is still to be done of a deletion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Removal {
    pub recipient: RecipientRef,
    pub at: Timestamp,
    /// Who gets the younger messages, and of the rest what it lacks itself.
    pub heir: Option<RecipientRef>,
}

/// Whether what `trigger` began ends with a deletion at `deleted`.
pub fn is_before(trigger: TriggerId, deleted: Timestamp) -> bool {
    trigger.made_at() <= deleted
}

/// Whether the recipient of `run` was deleted since it was triggered.
pub fn is_deleted(tables: &mut Tables<'_>, run: &Run) -> Result<bool, StoreError> {
    let deleted: Option<Timestamp> = tables.get(TableId::Deleted, &run.recipient.key())?;
    Ok(deleted.is_some_and(|deleted| is_before(run.trigger, deleted)))
}

/// Deletes recipients, also those of whom no record exists: they may have messages and runs.
pub fn remove(tables: &mut Tables<'_>, remove: &Remove) -> Result<Done, StoreError> {
    for recipient in &remove.recipients {
        begin(tables, Removal { recipient: recipient.clone(), at: remove.at, heir: None })?;
    }
    Ok(Done::Written)
}

fn begin(tables: &mut Tables<'_>, removal: Removal) -> Result<(), StoreError> {
    let key = removal.recipient.key();
    profiles::forget(tables, &removal.recipient)?;
    schedules::leave(tables, &removal.recipient, removal.heir.as_ref())?;
    audiences::leave(tables, &removal.recipient, removal.heir.as_ref())?;
    tables.put(TableId::Deleted, &key, &removal.at)?;
    tables.put(TableId::Removals, &key, &removal)
}

/// Merges `from` into `into`, whose own values win, and deletes it.
pub fn merge_users(tables: &mut Tables<'_>, merge: &MergeUsers) -> Result<Done, StoreError> {
    let into: Option<Recipient> = tables.get(TableId::Recipients, &merge.into.key())?;
    let from: Option<Recipient> = tables.get(TableId::Recipients, &merge.from.key())?;
    let (Some(into), Some(from)) = (into, from) else { return Err(Refused::Unknown.into()) };
    let merged = into.inherit(from, merge.at);
    let record = encoded(&merged)?;
    tables.put_encoded(TableId::Recipients, &merge.into.key(), &record)?;
    profiles::bequeath(tables, &merge.from, &merge.into)?;
    waits::recipient_updated(tables, &merged, merge.at)?;
    begin(tables, Removal { recipient: merge.from.clone(), at: merge.at, heir: Some(merge.into.clone()) })?;
    Ok(Done::Identified(vec![merged]))
}

/// What a removal empties, in order.
const TABLES: [TableId; 3] = [TableId::HistoryOf, TableId::Subscriptions, TableId::SubscribedTo];

/// Removes a portion of what belonged to a deleted recipient, from a place on.
pub fn remove_portion(tables: &mut Tables<'_>, portion: &RemovePortion) -> Result<Done, StoreError> {
    let key = portion.recipient.key();
    let Some(removal) = tables.get::<Removal>(TableId::Removals, &key)? else { return Ok(Done::Portion(None)) };
    let Place { table, from } = &portion.from;
    let Some(&emptied) = TABLES.get(*table) else {
        tables.remove(TableId::Removals, &key)?;
        return Ok(Done::Portion(None));
    };
    let prefix = owned_prefix(&removal.recipient);
    let found = tables.some_keys_with_prefix(emptied, &prefix, from, PORTION)?;
    for key in &found {
        let rest = &key[prefix.len()..];
        let other = RecipientRef::from_key(rest);
        match (emptied, other, <[u8; 16]>::try_from(rest)) {
            (TableId::HistoryOf, _, Ok(id)) => remove_message(tables, MessageId::from(id), &removal)?,
            (TableId::HistoryOf, _, Err(_)) => remove_run(tables, rest, &removal)?,
            (TableId::Subscriptions, Some(subscriber), _) => {
                subscriptions::end(tables, &removal.recipient, &subscriber, removal.at, None)?;
            }
            (TableId::SubscribedTo, Some(object), _) => {
                let heir = heir(tables, &removal)?;
                subscriptions::end(tables, &object, &removal.recipient, removal.at, heir)?;
            }
            _ => {}
        }
    }
    Ok(Done::Portion(Some(match found.last().filter(|_| found.len() == PORTION) {
        // The key behind this one.
        Some(last) => Place { table: *table, from: [last.as_slice(), &[0]].concat() },
        None => Place { table: table + 1, from: Vec::new() },
    })))
}

/// Who takes over, if anybody does and has not been deleted since.
fn heir<'a>(tables: &mut Tables<'_>, removal: &'a Removal) -> Result<Option<&'a RecipientRef>, StoreError> {
    let Some(heir) = &removal.heir else { return Ok(None) };
    Ok(tables.get::<Recipient>(TableId::Recipients, &heir.key())?.map(|_| heir))
}

fn remove_message(tables: &mut Tables<'_>, id: MessageId, removal: &Removal) -> Result<(), StoreError> {
    let index = owned(&removal.recipient, id.as_bytes());
    let message: Option<Message> = tables.get(TableId::Messages, id.as_bytes())?;
    let Some(message) = message else { return tables.remove(TableId::HistoryOf, &index) };
    if !is_before(message.trigger, removal.at) {
        // Of the one who has the id now.
        return Ok(());
    }
    tables.remove(TableId::HistoryOf, &index)?;
    let is_young = removal.at.since(message.inserted_at) <= INHERITED;
    if let Some(heir) = heir(tables, removal)?.filter(|_| is_young) {
        return bequeath(tables, message, heir);
    }
    forget_message(tables, &message)?;
    forget_run(tables, message.run)
}

/// Forgets a run that ended without a message, and is nobody's to inherit. One that is still pending ends when it goes on.
fn remove_run(tables: &mut Tables<'_>, rest: &[u8], removal: &Removal) -> Result<(), StoreError> {
    let id = rest.get(1..).and_then(|id| <[u8; 16]>::try_from(id).ok()).map(RunId::from);
    let Some(id) = id.filter(|_| removal.heir.is_none()) else { return Ok(()) };
    match tables.get::<EndedRun>(TableId::EndedRuns, id.as_bytes())? {
        Some(ended) if is_before(ended.run.trigger, removal.at) => forget_run(tables, id),
        _ => Ok(()),
    }
}

/// Forgets a message, its place in a feed, what was tried to send it and what was done with it.
pub fn forget_message(tables: &mut Tables<'_>, message: &Message) -> Result<(), StoreError> {
    let id = message.id;
    take_from_feed(tables, message)?;
    tables.remove(TableId::HistoryOf, &owned(&message.recipient, id.as_bytes()))?;
    tables.remove(TableId::Messages, id.as_bytes())?;
    tables.remove(TableId::Engagements, id.as_bytes())?;
    tables.remove(TableId::Outbox, &outbox_key(message.run, id))?;
    for table in [TableId::Attempts, TableId::MessageEvents] {
        tables.remove_with_prefix(table, id.as_bytes())?;
    }
    Ok(())
}

/// Forgets a run that has ended, and what happened to it. One that is still pending ends when it goes on.
pub fn forget_run(tables: &mut Tables<'_>, run: RunId) -> Result<(), StoreError> {
    // A large batch goes in portions, one with each look at its run.
    let Some(ended) = tables.get::<EndedRun>(TableId::EndedRuns, run.as_bytes())? else { return Ok(()) };
    if batches::forget(tables, run)? {
        tables.remove(TableId::HistoryOf, &run_of(&ended.run.recipient, run))?;
        tables.remove(TableId::EndedRuns, run.as_bytes())?;
        tables.remove_with_prefix(TableId::RunEvents, run.as_bytes())?;
    }
    Ok(())
}

/// Moves a message, with its place in the feed, to another user.
fn bequeath(tables: &mut Tables<'_>, mut message: Message, heir: &RecipientRef) -> Result<(), StoreError> {
    let entry = take_from_feed(tables, &message)?;
    message.recipient = heir.clone();
    if let Some(mut entry) = entry {
        let mut feed = Feed::open(tables, message.channel, heir)?;
        // Two items of one feed cannot have one instant; a microsecond does not change what its reader sees.
        while feed.item(tables, entry.inserted_at)?.is_some() {
            entry.inserted_at = entry.inserted_at.plus(Duration::from_micros(1));
        }
        message.inserted_at = entry.inserted_at;
        feed.counts.last_at = feed.counts.last_at.max(entry.inserted_at);
        feed.add(tables, &entry)?;
        feed.close(tables)?;
    }
    keep_message(tables, &message)
}

/// Takes a message out of the feed that it lies in, if it does.
fn take_from_feed(tables: &mut Tables<'_>, message: &Message) -> Result<Option<FeedEntry>, StoreError> {
    let mut feed = Feed::open(tables, message.channel, &message.recipient)?;
    let entry = feed.item(tables, message.inserted_at)?.filter(|entry| entry.message == message.id);
    if let Some(entry) = &entry {
        feed.take_out(tables, entry)?;
        feed.close_or_drop(tables)?;
    }
    Ok(entry)
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use serde_json::json;

    use super::super::check::check;
    use super::super::op::{
        Advance, ChangeAudience, ChangeSchedules, Changes, Gate, Identify, NewMessage, Next, Op, ScheduleChange,
    };
    use super::super::tests::{Bench, FEED, START};
    use super::super::{Refused, StoreError};
    use super::*;
    use crate::base::ids::{ChannelId, ScheduleId};
    use crate::model::audience::{AudienceChange, Member};
    use crate::model::feed::FeedCounts;
    use crate::model::page::{From, PageRequest};
    use crate::model::profile::Profile;
    use crate::model::run::{Outcome, Phase};
    use crate::model::schedule::Schedule;
    use crate::model::schedule_request::CreateRequest;
    use crate::model::trigger_data::TriggerData;
    use crate::store::read::Order;

    const DAY: Duration = Duration::from_secs(24 * 3_600);

    async fn identify(bench: &Bench, id: &str, properties: serde_json::Value) {
        let profile = Profile { properties: properties.as_object().unwrap().clone(), ..Profile::default() };
        let identify = Identify { people: vec![(RecipientRef::user(id), profile)], at: START, bytes: 0 };
        bench.store.identify(identify).await.unwrap();
    }

    /// An item for `reader` at `at`, by a trigger of that time.
    async fn item(bench: &Bench, number: u16, reader: &str, at: Timestamp) -> MessageId {
        let run = bench.accept_at(number, reader, at).await;
        let message = Bench::item(number, &run, reader, at);
        let id = message.id;
        let feed = Some(NewMessage::Feed(message, TriggerData::default()));
        let to = Next::End(Outcome::Finished);
        bench
            .store
            .advance(Advance {
                run: run.id,
                expect: 0,
                to,
                gate: None,
                changes: Changes::default(),
                message: feed,
                events: Vec::new(),
                at,
            })
            .await
            .unwrap();
        id
    }

    /// The messages in the feed of `reader`, oldest first; its counts fit them.
    fn feed(bench: &Bench, reader: &str) -> Vec<MessageId> {
        let (store, mut found, mut recount) = (bench.store.read().unwrap(), Vec::new(), FeedCounts::default());
        let (channel, user) = (ChannelId::from(FEED), RecipientRef::user(reader));
        let take = |entry: FeedEntry| {
            recount.add(&entry);
            found.push(entry.message);
            true
        };
        store.each_feed_entry(channel, &user, .., Order::OldestFirst, take).unwrap();
        let counts = store.feed_counts(channel, &user).unwrap();
        assert!(counts.agrees(&recount), "{counts:?} are not {recount:?}");
        found
    }

    #[tokio::test]
    async fn who_is_deleted_is_gone_with_every_message_and_whoever_comes_after_keeps_theirs() {
        let bench = Bench::new();
        identify(&bench, "ann", json!({"name": "Ann"})).await;
        let count = PORTION as u16 * 2 + 1;
        for number in 0..count {
            item(&bench, number, "ann", START).await;
        }
        let other = item(&bench, count, "anna", START).await;
        let deleted = START.plus(DAY);
        // The user is back before the first portion goes.
        let gone = RecipientRef::user("ann");
        bench.store.submit(Op::Remove(Remove { recipients: vec![gone.clone()], at: deleted })).await.unwrap();
        identify(&bench, "ann", json!({"name": "Another Ann"})).await;
        let kept = item(&bench, count + 1, "ann", deleted.plus(DAY)).await;
        let bench = bench.reopen();
        bench.store.finish_removals().await.unwrap();
        assert_eq!((feed(&bench, "ann"), feed(&bench, "anna")), (vec![kept], vec![other]));
        let store = bench.store.read().unwrap();
        let left: Vec<_> = store.messages().unwrap().into_iter().map(|message| message.id).collect();
        assert_eq!(left.len(), 2);
        assert_eq!(store.ended_runs().unwrap().len(), 2);
        assert_eq!(json!(store.recipient(&gone).unwrap().unwrap().properties), json!({"name": "Another Ann"}));
        bench.store.remove(vec![gone.clone()], deleted.plus(DAY * 3)).await.unwrap();
        assert!(feed(&bench, "ann").is_empty());
        assert_eq!(
            bench.store.read().unwrap().feed_recipients(ChannelId::from(FEED)).unwrap(),
            [RecipientRef::user("anna")]
        );
    }

    #[tokio::test]
    async fn a_message_that_was_decided_before_a_deletion_and_is_written_after_it_is_not_made() {
        let bench = Bench::new();
        let run = bench.accept_at(1, "ann", START).await;
        bench.store.remove(vec![RecipientRef::user("ann")], START.plus(DAY)).await.unwrap();
        let message = Some(NewMessage::Send(Bench::item(1, &run, "ann", START), None));
        let to = Next::Phase(Phase::Ready { step: 1 });
        let advance = Advance {
            run: run.id,
            expect: 0,
            to,
            gate: None,
            changes: Changes::default(),
            message,
            events: Vec::new(),
            at: START,
        };
        bench.store.advance(advance.clone()).await.unwrap();
        let store = bench.store.read().unwrap();
        assert_eq!(store.ended_run(run.id).unwrap().unwrap().outcome, Outcome::RecipientDeleted);
        assert!(store.messages().unwrap().is_empty());
        let again = bench.store.advance(Advance { expect: 1, ..advance }).await;
        assert_eq!(again, Err(StoreError::Refused(Refused::Stale)));
    }

    #[tokio::test]
    async fn a_merge_keeps_what_the_primary_says_and_takes_over_the_rest_with_a_months_messages() {
        let bench = Bench::new();
        identify(&bench, "old", json!({"name": "Old", "plan": "pro", "deep": {"a": 1, "b": 1}})).await;
        identify(&bench, "new", json!({"name": "New", "deep": {"b": 2}})).await;
        let now = START.plus(DAY * 40);
        let stale = item(&bench, 1, "old", START).await;
        let young = item(&bench, 2, "old", START.plus(DAY * 20)).await;
        let own = item(&bench, 3, "new", START.plus(DAY * 20)).await;
        let (into, from) = (RecipientRef::user("new"), RecipientRef::user("old"));
        let merged = bench.store.merge_users(into.clone(), from.clone(), now).await.unwrap();
        assert_eq!(json!(merged.properties), json!({"name": "New", "plan": "pro", "deep": {"a": 1, "b": 2}}));
        assert_eq!((feed(&bench, "new"), feed(&bench, "old")), (vec![own, young], vec![]));
        let store = bench.store.read().unwrap();
        assert!(store.message(stale).unwrap().is_none() && store.recipient(&from).unwrap().is_none());
        assert_eq!(store.message(young).unwrap().unwrap().recipient, into);
        let again = bench.store.merge_users(into, from, now).await;
        assert_eq!(again, Err(StoreError::Refused(Refused::Unknown)));
    }

    /// A run of `user` that begins what begins once; whether it may.
    async fn begins(bench: &Bench, number: u16, user: &str) -> bool {
        let run = bench.accept_at(number, user, START).await;
        let (to, changes) = (Next::End(Outcome::Finished), Changes::default());
        let gate = Some(Gate::Once { key: [7; 16] });
        let advance =
            Advance { run: run.id, expect: 0, to, gate, changes, message: None, events: Vec::new(), at: START };
        bench.store.advance(advance).await.unwrap();
        bench.store.read().unwrap().ended_run(run.id).unwrap().unwrap().outcome == Outcome::Finished
    }

    #[tokio::test]
    async fn a_merge_takes_over_schedules_audiences_and_what_was_begun_once() {
        let bench = Bench::new();
        for id in ["old", "new"] {
            identify(&bench, id, json!({})).await;
        }
        let (into, from) = (RecipientRef::user("new"), RecipientRef::user("old"));
        let body = json!({"workflow": "w", "recipients": ["old"], "repeats": [{"frequency": "daily"}]});
        let make = CreateRequest::from_json(&body).unwrap().schedules.into_iter();
        let change = ScheduleChange::Make(make.map(|new| (ScheduleId::from([1; 16]), new)).collect());
        let change = ChangeSchedules { change, people: Vec::new(), at: START, zone: TimeZone::UTC, bytes: 0 };
        let made = bench.store.change_schedules(change).await.unwrap().remove(0);
        let join = |members: &[(&str, Option<&str>)], at| ChangeAudience {
            key: "beta".into(),
            change: AudienceChange::Add,
            members: members.iter().map(|(id, of)| (RecipientRef::user(*id), of.map(str::to_owned))).collect(),
            people: Vec::new(),
            at,
        };
        bench.store.change_audience(join(&[("new", None)], START)).await.unwrap();
        bench.store.change_audience(join(&[("old", None), ("old", Some("t"))], START.plus(DAY))).await.unwrap();
        assert!(begins(&bench, 1, "old").await);

        bench.store.merge_users(into.clone(), from.clone(), START.plus(DAY)).await.unwrap();
        let all = PageRequest { from: From::Start, size: 9 };
        let store = bench.store.read().unwrap();
        let moved = Schedule { recipient: into.clone(), ..made };
        assert_eq!(store.schedules_of(&into, &all, |_| true).unwrap().entries, [moved]);
        assert!(store.schedules_of(&from, &all, |_| true).unwrap().entries.is_empty());
        let members = store.members("beta", &all).unwrap().entries;
        let member =
            |tenant: Option<&str>, added_at| Member { user: into.clone(), tenant: tenant.map(str::to_owned), added_at };
        assert_eq!(members, [member(None, START), member(Some("t"), START.plus(DAY))]);
        assert_eq!(store.audiences_of(&into, Some("t")).unwrap(), ["beta"]);
        assert!(store.audiences_of(&from, None).unwrap().is_empty());
        assert!(!begins(&bench, 2, "new").await);
        check(&bench.store.read().unwrap()).unwrap();
    }

    #[tokio::test]
    async fn who_is_deleted_leaves_no_run_that_has_ended_also_none_that_made_no_message() {
        let bench = Bench::new();
        identify(&bench, "ann", json!({})).await;
        assert!(begins(&bench, 1, "ann").await && !begins(&bench, 2, "ann").await && begins(&bench, 3, "anna").await);
        bench.store.remove(vec![RecipientRef::user("ann")], START.plus(DAY)).await.unwrap();
        let left = bench.store.read().unwrap().ended_runs().unwrap();
        assert_eq!(left.into_iter().map(|ended| ended.run.recipient).collect::<Vec<_>>(), [RecipientRef::user("anna")]);
        check(&bench.store.read().unwrap()).unwrap();
    }
}
