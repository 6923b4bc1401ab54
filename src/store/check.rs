//! Reads every record of a store, and looks whether what must agree does.

use std::collections::BTreeMap;
use std::ops::Bound;

use serde::de::DeserializeOwned;

use super::batches::{Open, Place};
use super::codec::decode;
use super::cohort::Cohort;
use super::gate::Window;
use super::op::{Idempotent, StoredKey, StoredVersion};
use super::read::Reader;
use super::removal::Removal;
use super::tables::{TableId, run_of, tenant_name_key};
use super::{StoreError, bundle};
use crate::base::clock::Timestamp;
use crate::base::ids::{RunId, VersionId};
use crate::model::audience::Member;
use crate::model::awaited::Wait;
use crate::model::batch::{Batch, Item};
use crate::model::bulk_operation::BulkOperation;
use crate::model::channel_data::ChannelData;
use crate::model::engagement::{Engagement, MessageEvent};
use crate::model::feed::{FeedCounts, FeedEntry};
use crate::model::message::{Attempt, Captured, Message, Pending};
use crate::model::preferences::PreferenceSet;
use crate::model::recipient::{Recipient, TENANTS};
use crate::model::run::{EndedRun, Phase, Run, RunEvent};
use crate::model::schedule::Schedule;
use crate::model::subscription::{FanOut, Subscription};
use crate::model::suppression::Suppression;
use crate::model::trigger::Trigger;

/// Bytes of an instant at the end of a feed item's key.
const INSTANT: usize = 8;

/// How much a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    pub records: u64,
    pub pending_runs: u64,
    pub ended_runs: u64,
    pub messages: u64,
}

/// Reads everything; the error names the first record that cannot be read or contradicts another.
pub fn check(reader: &Reader) -> Result<Contents, StoreError> {
    let mut contents = Contents::default();
    for &table in TableId::ALL {
        let mut records = 0;
        reader.walk(table, Bound::Unbounded, |_, value| {
            records += 1;
            readable(table, value)?;
            Ok(true)
        })?;
        contents.records += records;
        match table {
            TableId::EndedRuns => contents.ended_runs = records,
            TableId::Messages => contents.messages = records,
            _ => {}
        }
    }
    contents.pending_runs = pending_runs_have_triggers(reader)?;
    queued_messages_exist(reader)?;
    feeds_are_counted(reader)?;
    what_is_looked_up_is_there(reader)?;
    waits_are_found(reader)?;
    Ok(contents)
}

fn readable(table: TableId, value: &[u8]) -> Result<(), StoreError> {
    match table {
        TableId::Meta => is::<u32>(value),
        TableId::Triggers => bundle::each::<Trigger>(value, drop),
        TableId::Runs => is::<Run>(value),
        TableId::EndedRuns => is::<EndedRun>(value),
        TableId::RunEvents => is::<RunEvent>(value),
        TableId::Recipients => is::<Recipient>(value),
        TableId::Messages => is::<Message>(value),
        TableId::Attempts => is::<Attempt>(value),
        TableId::Outbox => is::<Pending>(value),
        TableId::Feed => is::<FeedEntry>(value),
        TableId::FeedCounts => is::<FeedCounts>(value),
        TableId::Engagements => is::<Engagement>(value),
        TableId::MessageEvents => is::<MessageEvent>(value),
        TableId::BulkOperations => is::<BulkOperation>(value),
        TableId::Idempotency => is::<Idempotent>(value),
        TableId::IdempotencyAge => is::<()>(value),
        TableId::Versions => is::<StoredVersion>(value),
        TableId::Published => is::<VersionId>(value),
        TableId::Switches => is::<bool>(value),
        TableId::Keys => is::<StoredKey>(value),
        TableId::Secrets => is::<[u8; 32]>(value),
        TableId::Suppressions => is::<Suppression>(value),
        TableId::Mailbox => is::<Captured>(value),
        TableId::Cohorts => decode::<Cohort>(value)?.runs().try_for_each(|run| run.map(drop)),
        TableId::HistoryOf | TableId::TenantNames => is::<()>(value),
        TableId::Deleted => is::<Timestamp>(value),
        TableId::Removals => is::<Removal>(value),
        TableId::Preferences => is::<PreferenceSet>(value),
        TableId::ChannelData => is::<ChannelData>(value),
        TableId::Subscriptions => is::<Subscription>(value),
        TableId::SubscribedTo => is::<()>(value),
        TableId::FanOuts => is::<FanOut>(value),
        TableId::Reached => is::<()>(value),
        TableId::Begun => is::<()>(value),
        TableId::Throttles => is::<Window>(value),
        TableId::ThrottleEnds | TableId::LeadingEnds => is::<()>(value),
        TableId::OpenBatches => is::<Open>(value),
        TableId::Batches => is::<Batch>(value),
        TableId::BatchItems => is::<Item>(value),
        TableId::BatchActors => is::<u32>(value),
        TableId::BatchCancels => is::<Place>(value),
        TableId::Waits => is::<Wait>(value),
        TableId::Awaited => is::<()>(value),
        TableId::Schedules => is::<Schedule>(value),
        TableId::SchedulesOf | TableId::SchedulesBy | TableId::SchedulesDue | TableId::AudiencesOf => is::<()>(value),
        TableId::Audiences => is::<Timestamp>(value),
        TableId::Members => is::<Member>(value),
    }
}

fn is<T: DeserializeOwned>(value: &[u8]) -> Result<(), StoreError> {
    decode::<T>(value).map(drop)
}

/// Counts them.
fn pending_runs_have_triggers(reader: &Reader) -> Result<u64, StoreError> {
    // The runs of one trigger lie beside each other.
    let (mut count, mut known, mut wrong) = (0, None, None);
    reader.each_run_after(None, |run| {
        count += 1;
        if known != Some(run.trigger) {
            wrong = match reader.trigger(run.trigger) {
                Ok(Some(_)) => None,
                Ok(None) => {
                    Some(StoreError::damaged(format!("the trigger {} of run {} is not there", run.trigger, run.id)))
                }
                Err(error) => Some(error),
            };
        }
        known = Some(run.trigger);
        wrong.is_none()
    })?;
    wrong.map_or(Ok(count), Err)
}

fn queued_messages_exist(reader: &Reader) -> Result<(), StoreError> {
    reader.walk(TableId::Outbox, Bound::Unbounded, |_, value| {
        let pending: Pending = decode(value)?;
        match reader.message(pending.message)? {
            Some(_) => Ok(true),
            None => Err(StoreError::damaged("its message is not there")),
        }
    })
}

/// What lists look things up in leads to everything that they are to find, and to nothing else.
fn what_is_looked_up_is_there(reader: &Reader) -> Result<(), StoreError> {
    reader.walk(TableId::EndedRuns, Bound::Unbounded, |_, value| {
        let EndedRun { run, .. } = decode(value)?;
        let found: Option<()> = reader.get(TableId::HistoryOf, &run_of(&run.recipient, run.id))?;
        found.map(|()| true).ok_or_else(|| StoreError::damaged("it is not found by its recipient"))
    })?;
    reader.walk(TableId::HistoryOf, Bound::Unbounded, |key, _| {
        let run = key.split_last_chunk::<16>().filter(|(owner, _)| owner.last() == Some(&u8::MAX)).map(|(_, id)| *id);
        match run.map(|id| reader.known_run(RunId::from(id))).transpose()? {
            Some(None) => Err(StoreError::damaged("its run is not there")),
            _ => Ok(true),
        }
    })?;
    let (mut tenants, mut names) = (0, 0);
    reader.walk(TableId::Recipients, Bound::Included(TENANTS.as_bytes()), |key, value| {
        if !key.starts_with(TENANTS.as_bytes()) {
            return Ok(false);
        }
        let tenant: Recipient = decode(value)?;
        let name = tenant_name_key(&tenant);
        tenants += u64::from(name.is_some());
        match name.map(|name| reader.get::<()>(TableId::TenantNames, &name)).transpose()? {
            Some(None) => Err(StoreError::damaged("the tenant is not found by its name")),
            _ => Ok(true),
        }
    })?;
    reader.walk(TableId::TenantNames, Bound::Unbounded, |_, _| {
        names += 1;
        Ok(true)
    })?;
    if tenants == names { Ok(()) } else { Err(StoreError::damaged(format!("{tenants} tenants have {names} names"))) }
}

/// Whoever waits for an event is found by it, and nobody else.
fn waits_are_found(reader: &Reader) -> Result<(), StoreError> {
    let mut waits = 0_u64;
    reader.walk(TableId::Waits, Bound::Unbounded, |key, _| {
        waits += 1;
        let run = <[u8; 16]>::try_from(key).ok().map(|id| reader.run(RunId::from(id))).transpose()?.flatten();
        match run {
            Some(Run { phase: Phase::Awaiting { .. }, .. }) => Ok(true),
            _ => Err(StoreError::damaged("its run does not wait")),
        }
    })?;
    reader.each_key(TableId::Awaited, &[], |_| waits = waits.wrapping_sub(1))?;
    match waits {
        0 => Ok(()),
        _ => Err(StoreError::damaged("there are not as many waits as runs that are found by their events")),
    }
}

fn feeds_are_counted(reader: &Reader) -> Result<(), StoreError> {
    let mut counted: BTreeMap<Vec<u8>, FeedCounts> = BTreeMap::new();
    reader.walk(TableId::Feed, Bound::Unbounded, |key, value| {
        let feed = &key[..key.len().saturating_sub(INSTANT)];
        counted.entry(feed.to_vec()).or_default().add(&decode::<FeedEntry>(value)?);
        Ok(true)
    })?;
    reader.walk(TableId::FeedCounts, Bound::Unbounded, |key, value| {
        let stored: FeedCounts = decode(value)?;
        let found = counted.remove(key).unwrap_or_default();
        if stored.agrees(&found) {
            Ok(true)
        } else {
            Err(StoreError::damaged("the feed's counts are not those of its items"))
        }
    })?;
    match counted.into_keys().next() {
        None => Ok(()),
        Some(feed) => Err(StoreError::damaged("the feed has no counts").at(TableId::Feed, &feed)),
    }
}
