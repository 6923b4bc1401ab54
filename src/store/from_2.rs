//! From schema 2 to 3: a recipient's runs are found by whose they are, as messages were, and tenants by their names; feeds
//! count each kind of item apart.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::tables::{TableId, Tables, owned, run_of, tenant_name_key};
use super::{StoreError, trim};
use crate::base::clock::Timestamp;
use crate::model::feed::{FeedCounts, FeedEntry};
use crate::model::message::Message;
use crate::model::recipient::{Recipient, TENANTS};
use crate::model::run::{EndedRun, Run};

/// Records that are read at once: 10 MB, if each has 10 KB.
const PORTION: usize = 1_000;
/// Bytes of an instant at the end of a feed item's key.
const INSTANT: usize = 8;

/// What is kept of the counts.
#[derive(Deserialize)]
struct Earlier {
    last_at: Timestamp,
}

/// Makes what lists look things up in.
pub fn climb(tables: &mut Tables<'_>) -> Result<(), StoreError> {
    each(tables, TableId::Messages, &[], |tables, id, message: Message| {
        tables.put(TableId::HistoryOf, &owned(&message.recipient, id), &())
    })?;
    each(tables, TableId::EndedRuns, &[], |tables, _, EndedRun { run, .. }| {
        tables.put(TableId::HistoryOf, &run_of(&run.recipient, run.id), &())
    })?;
    each(tables, TableId::Runs, &[], |tables, _, run: Run| match run.revision {
        0 => Ok(()),
        _ => tables.put(TableId::HistoryOf, &run_of(&run.recipient, run.id), &()),
    })?;
    let of_tenants = [TENANTS.as_bytes(), &[0]].concat();
    each(tables, TableId::Recipients, &of_tenants, |tables, _, tenant: Recipient| match tenant_name_key(&tenant) {
        None => Ok(()),
        Some(key) => tables.put(TableId::TenantNames, &key, &()),
    })?;
    each(tables, TableId::FeedCounts, &[], |tables, feed, Earlier { last_at }| {
        tables.put(TableId::FeedCounts, feed, &FeedCounts { last_at, ..FeedCounts::default() })
    })?;
    count_feeds(tables)?;
    trim::note_earlier_gaps(tables)
}

fn count_feeds(tables: &mut Tables<'_>) -> Result<(), StoreError> {
    let mut counted: Option<(Vec<u8>, FeedCounts)> = None;
    each(tables, TableId::Feed, &[], |tables, key, entry: FeedEntry| {
        let feed = &key[..key.len().saturating_sub(INSTANT)];
        let (of, mut counts) = match counted.take() {
            Some((of, counts)) if of == feed => (of, counts),
            earlier => {
                put(tables, earlier)?;
                (feed.to_vec(), tables.get(TableId::FeedCounts, feed)?.unwrap_or_default())
            }
        };
        counts.add(&entry);
        counts.last_at = counts.last_at.max(entry.inserted_at);
        counted = Some((of, counts));
        Ok(())
    })?;
    put(tables, counted)
}

fn put(tables: &mut Tables<'_>, counted: Option<(Vec<u8>, FeedCounts)>) -> Result<(), StoreError> {
    counted.map_or(Ok(()), |(feed, counts)| tables.put(TableId::FeedCounts, &feed, &counts))
}

/// Hands each record under `prefix` to `take`, with its key.
fn each<'txn, T: DeserializeOwned>(
    tables: &mut Tables<'txn>,
    table: TableId,
    prefix: &[u8],
    mut take: impl FnMut(&mut Tables<'txn>, &[u8], T) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut from = Vec::new();
    loop {
        let portion = tables.some_with_prefix::<T>(table, prefix, &from, PORTION)?;
        let Some((last, _)) = portion.last() else { return Ok(()) };
        from = [last.as_slice(), &[0]].concat();
        portion.into_iter().try_for_each(|(key, record)| take(tables, &key, record))?;
    }
}

#[cfg(test)]
mod tests {
    use redb::Database;
    use serde::Serialize;
    use serde_json::json;

    use super::super::file::{self, FILE};
    use super::super::newest::Which;
    use super::super::read::Reader;
    use super::super::tables::{feed_key, item_key};
    use super::super::tests::{START, message, run};
    use super::super::upgrade::{self, LADDER};
    use super::*;
    use crate::base::ids::{ChannelId, MessageId, RunId};
    use crate::model::engagement::{Action, Engagement};
    use crate::model::feed::Tally;
    use crate::model::page::{From, PageRequest};
    use crate::model::recipient::RecipientRef;
    use crate::model::run::Outcome;
    use crate::model::trigger_data::TriggerData;

    /// The counts as schema 2 had them.
    #[derive(Serialize)]
    struct EarlierCounts {
        total: u64,
        unread: u64,
        unseen: u64,
        last_at: Timestamp,
    }

    #[test]
    fn what_an_older_version_wrote_is_found_by_whose_it_is_and_counted_by_kind() {
        let folder = tempfile::tempdir().unwrap();
        drop(file::open(folder.path(), file::CACHE_BYTES, LADDER).unwrap());
        let (ann, channel) = (RecipientRef::user("ann"), ChannelId::from([9; 16]));
        let feed = feed_key(channel, &ann);
        let database = Database::open(folder.path().join(FILE)).unwrap();
        let txn = database.begin_write().unwrap();
        let mut tables = Tables::new(&txn);
        for number in 1..=5u8 {
            let revision = u32::from(number % 3);
            let run = Run { recipient: ann.clone(), revision, ..run(number) };
            let id = run.id;
            if number % 2 == 0 {
                let ended = EndedRun { run, outcome: Outcome::Finished, ended_at: START };
                tables.put(TableId::EndedRuns, id.as_bytes(), &ended).unwrap();
            } else {
                tables.put(TableId::Runs, id.as_bytes(), &run).unwrap();
            }
            let at = Timestamp::from_millis(START.as_millis() + i64::from(number));
            let mut engagement = Engagement::default();
            if number == 5 {
                engagement.take(Action::Archived, at);
            }
            let (message_id, tenant) = (MessageId::from([number; 16]), (number < 3).then(|| "t".into()));
            let (workflow, categories, data) = ("w".into(), Vec::new(), TriggerData::default());
            let message = Message { recipient: ann.clone(), ..message(number, number, at) };
            tables.put(TableId::Messages, message_id.as_bytes(), &message).unwrap();
            let entry =
                FeedEntry { message: message_id, workflow, categories, tenant, data, inserted_at: at, engagement };
            tables.put(TableId::Feed, &item_key(&feed, at), &entry).unwrap();
        }
        let last_at = START.plus(std::time::Duration::from_secs(60));
        let counts = EarlierCounts { total: 4, unread: 4, unseen: 4, last_at };
        tables.put(TableId::FeedCounts, &feed, &counts).unwrap();
        let tenant = |id: &str, name: &str| Recipient {
            properties: json!({"name": name}).as_object().unwrap().clone(),
            ..Recipient::stub(RecipientRef::tenant(id), START)
        };
        for tenant in [tenant("t1", "Acme"), tenant("t2", "Bolt")] {
            tables.put(TableId::Recipients, &tenant.reference.key(), &tenant).unwrap();
        }
        upgrade::mark(&mut tables, 2).unwrap();
        drop(tables);
        txn.commit().unwrap();
        drop(database);
        let opened = file::open(folder.path(), file::CACHE_BYTES, LADDER).unwrap();
        let reader = Reader::begin(&opened.database).unwrap();
        let all = PageRequest { from: From::Start, size: 9 };
        let ever = (Timestamp::default(), Timestamp::MAX);
        let which = Which { made: ever, of: Some(&ann), trigger: None, has_ended: None };
        let runs = reader.runs_page(&which, &all, |known| Ok(Some(known.run().id))).unwrap().entries;
        assert_eq!(runs, [5, 4, 3, 2, 1].map(|number| RunId::from([number; 16])));
        let messages = reader.messages_page(Some(&ann), ever, &all, |message| Ok(Some(message.id))).unwrap().entries;
        assert_eq!(messages.len(), 5);
        assert_eq!(reader.tenants_named("Acme", &all).unwrap().entries, [tenant("t1", "Acme")]);
        let counts = reader.feed_counts(channel, &ann).unwrap();
        let tally = |total| Tally { total, unread: total, unseen: total };
        let kinds: Vec<_> =
            counts.kinds.iter().flatten().map(|one| (one.kind.tenant.as_deref(), one.shown, one.archived)).collect();
        assert_eq!(kinds, [(None, tally(2), tally(1)), (Some("t"), tally(2), tally(0))]);
        assert_eq!((counts.shown, counts.last_at), (tally(4), last_at));
        assert_eq!(reader.widest_gap().unwrap().as_secs(), 3_601);
    }
}
