//! How triggers lie on disk: in bundles, each with what one commit accepted. An insert costs the writer more than the
//! bytes do, and many triggers are accepted by one commit.
//!
//! A bundle's key is its last id, so a trigger is in the first bundle whose key is not below its own id. Ids are made
//! before the commits that accept them are in order: one that comes after a greater one was bundled is late, and lies
//! alone, marked as such.

use serde::{Deserialize, Serialize};
use serde_bytes::Bytes;

use super::StoreError;
use super::codec::decode;
use super::cohort::Records;
use super::tables::{TableId, Tables};
use crate::base::ids::{RunId, TriggerId};

/// A bundle is closed when it has this many bytes: whoever looks for one trigger reads as much. With its frame it stays
/// below 32 KiB, a size that redb allocates, unless it is one larger trigger.
const BUNDLE_BYTES: usize = 31 << 10;
/// What a trigger takes in its bundle beside its own bytes: its id, and two lengths.
const FRAME_BYTES: usize = 24;

/// Triggers in ascending order of their ids, each as its record.
#[derive(Serialize, Deserialize)]
struct Bundle<'a> {
    late: bool,
    #[serde(borrow)]
    triggers: Vec<(TriggerId, &'a Bytes)>,
}

/// What the ops of one transaction accept. It is written after them in the order of its ids, which is what the tables
/// take best.
#[derive(Default)]
pub struct Fresh {
    pub triggers: Vec<(TriggerId, Vec<u8>)>,
    pub runs: Records,
}

impl Fresh {
    /// Writes all of it.
    pub fn put(mut self, tables: &mut Tables<'_>) -> Result<(), StoreError> {
        if self.triggers.is_empty() {
            return Ok(());
        }
        self.triggers.sort_unstable_by_key(|(id, _)| *id);
        let last = tables.last_key(TableId::Triggers)?.unwrap_or_default();
        let late = self.triggers.partition_point(|(id, _)| id.as_bytes().as_slice() <= last.as_slice());
        let (late, in_order) = self.triggers.split_at(late);
        for trigger in late {
            put_bundle(tables, true, std::slice::from_ref(trigger))?;
        }
        put_in_order(tables, in_order)?;
        let Records { alone, cohorts } = self.runs;
        put_all(tables, TableId::Runs, alone)?;
        put_all(tables, TableId::Cohorts, cohorts)
    }
}

fn put_all(tables: &mut Tables<'_>, table: TableId, mut records: Vec<(RunId, Vec<u8>)>) -> Result<(), StoreError> {
    records.sort_unstable_by_key(|(id, _)| *id);
    records.iter().try_for_each(|(id, record)| tables.put_encoded(table, id.as_bytes(), record))
}

fn put_in_order(tables: &mut Tables<'_>, mut triggers: &[(TriggerId, Vec<u8>)]) -> Result<(), StoreError> {
    while !triggers.is_empty() {
        let mut bytes = 0;
        let fits = triggers.iter().take_while(|(_, record)| {
            bytes += record.len() + FRAME_BYTES;
            bytes <= BUNDLE_BYTES
        });
        let (bundle, rest) = triggers.split_at(fits.count().max(1));
        put_bundle(tables, false, bundle)?;
        triggers = rest;
    }
    Ok(())
}

/// Writes `triggers`, which ascend, as one bundle.
pub fn put_bundle(tables: &mut Tables<'_>, late: bool, triggers: &[(TriggerId, Vec<u8>)]) -> Result<(), StoreError> {
    let Some((last, _)) = triggers.last() else { return Ok(()) };
    let bundle = Bundle { late, triggers: triggers.iter().map(|(id, record)| (*id, Bytes::new(record))).collect() };
    tables.put(TableId::Triggers, last.as_bytes(), &bundle)
}

/// The trigger `id`, or a part of it, if it has been written.
pub fn load<T: serde::de::DeserializeOwned>(tables: &mut Tables<'_>, id: TriggerId) -> Result<Option<T>, StoreError> {
    let mut found = None;
    tables.walk_from(TableId::Triggers, id.as_bytes(), |bundle| match find(bundle, id)? {
        Found::Here(trigger) => {
            found = Some(trigger);
            Ok(false)
        }
        Found::GoOn => Ok(true),
        Found::Nowhere => Ok(false),
    })?;
    Ok(found)
}

/// What a bundle has to do with a trigger that is looked for.
pub enum Found<T> {
    Here(T),
    /// A late trigger, which says nothing of those around it.
    GoOn,
    /// It is the one in which the trigger would be.
    Nowhere,
}

/// Looks for the trigger `id` in a stored bundle.
pub fn find<T: serde::de::DeserializeOwned>(bundle: &[u8], id: TriggerId) -> Result<Found<T>, StoreError> {
    let bundle: Bundle<'_> = decode(bundle)?;
    match bundle.triggers.binary_search_by_key(&id, |(id, _)| *id) {
        Ok(index) => decode(bundle.triggers[index].1).map(Found::Here),
        Err(_) if bundle.late => Ok(Found::GoOn),
        Err(_) => Ok(Found::Nowhere),
    }
}

/// Hands every trigger of a stored bundle to `take`.
pub fn each<T: serde::de::DeserializeOwned>(bundle: &[u8], mut take: impl FnMut(T)) -> Result<(), StoreError> {
    let bundle: Bundle<'_> = decode(bundle)?;
    bundle.triggers.iter().try_for_each(|(_, record)| decode(record).map(&mut take))
}

/// Removes the oldest bundles, `at_most` so many, whose triggers were all made before `below`; answers how many.
pub fn trim(tables: &mut Tables<'_>, below: TriggerId, at_most: usize) -> Result<u64, StoreError> {
    tables.remove_first(TableId::Triggers, below.as_bytes(), at_most)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use redb::Database;
    use redb::backends::InMemoryBackend;

    use super::super::codec::encode;
    use super::super::read::Reader;
    use super::*;
    use crate::base::clock::Timestamp;
    use crate::base::ids::VersionId;
    use crate::model::trigger::{Trigger, TriggerSettings};

    fn trigger(number: u8, bytes: usize) -> Trigger {
        Trigger {
            id: TriggerId::from([number; 16]),
            workflow: "x".repeat(bytes),
            version: VersionId::from([0; 16]),
            data: serde_json::Map::new(),
            actor: None,
            tenant: None,
            cancellation_key: None,
            settings: TriggerSettings::default(),
            schedule: None,
            parent: None,
            inserted_at: Timestamp::default(),
        }
    }

    fn commit(database: &Database, triggers: &[Trigger]) {
        let txn = database.begin_write().unwrap();
        let mut tables = Tables::new(&txn);
        tables.open_all().unwrap();
        let triggers = triggers.iter().map(|trigger| (trigger.id, encode(trigger).unwrap())).collect();
        Fresh { triggers, runs: Records::default() }.put(&mut tables).unwrap();
        drop(tables);
        txn.commit().unwrap();
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever order the ids come in, however large they are, and whichever commit takes them.
        #[test]
        fn every_trigger_is_found_and_no_other(
            ids in prop::collection::btree_map(any::<u8>(), 0usize..12_000, 0..60).prop_flat_map(|ids| {
                Just(ids.into_iter().collect::<Vec<_>>()).prop_shuffle()
            }),
            size in 1usize..20,
        ) {
            let database = Database::builder().create_with_backend(InMemoryBackend::new()).unwrap();
            commit(&database, &[]);
            let triggers: Vec<_> = ids.iter().map(|(number, bytes)| trigger(*number, *bytes)).collect();
            triggers.chunks(size).for_each(|group| commit(&database, group));
            let stored: BTreeMap<_, _> = triggers.into_iter().map(|trigger| (trigger.id, trigger)).collect();
            let reader = Reader::begin(&database).unwrap();
            for number in 0..=u8::MAX {
                let id = TriggerId::from([number; 16]);
                let found = reader.trigger(id).unwrap();
                prop_assert_eq!(found.as_ref(), stored.get(&id));
            }
        }
    }
}
