//! From schema 1 to 2: triggers lie in bundles, where each had a record under its own id.

use super::StoreError;
use super::bundle;
use super::codec::encode;
use super::tables::{TableId, Tables};
use crate::model::trigger::Trigger;

/// Triggers that are read at once: 10 MB, if each has 10 KB.
const PORTION: usize = 1_000;

/// Makes a bundle of each trigger. Its key stays: a bundle's is its last id.
pub fn climb(tables: &mut Tables<'_>) -> Result<(), StoreError> {
    let mut from = Vec::new();
    loop {
        let portion = tables.some_with_prefix::<Trigger>(TableId::Triggers, &[], &from, PORTION)?;
        let Some((last, _)) = portion.last() else { return Ok(()) };
        from = [last.as_slice(), &[0]].concat();
        for (_, trigger) in &portion {
            bundle::put_bundle(tables, false, &[(trigger.id, encode(trigger)?)])?;
        }
    }
}

#[cfg(test)]
mod tests {
    use redb::Database;

    use super::super::file::{self, FILE};
    use super::super::read::Reader;
    use super::super::upgrade::{self, LADDER};
    use super::*;
    use crate::base::clock::Timestamp;
    use crate::base::ids::{TriggerId, VersionId};
    use crate::model::trigger::TriggerSettings;

    #[test]
    fn triggers_that_an_older_version_wrote_are_found_and_so_are_those_that_follow() {
        let folder = tempfile::tempdir().unwrap();
        drop(file::open(folder.path(), file::CACHE_BYTES, LADDER).unwrap());
        let trigger = |number: u16| Trigger {
            id: TriggerId::from(u128::from(number).to_be_bytes()),
            workflow: format!("w{number}"),
            version: VersionId::from([0; 16]),
            data: serde_json::Map::new(),
            actor: None,
            tenant: None,
            cancellation_key: None,
            settings: TriggerSettings::default(),
            schedule: None,
            parent: None,
            inserted_at: Timestamp::default(),
        };
        let database = Database::open(folder.path().join(FILE)).unwrap();
        let txn = database.begin_write().unwrap();
        let mut tables = Tables::new(&txn);
        for number in (0..2_500).map(|number| number * 2) {
            let trigger = trigger(number);
            tables.put(TableId::Triggers, trigger.id.as_bytes(), &trigger).unwrap();
        }
        upgrade::mark(&mut tables, 1).unwrap();
        drop(tables);
        txn.commit().unwrap();
        drop(database);
        let opened = file::open(folder.path(), file::CACHE_BYTES, LADDER).unwrap();
        let reader = Reader::begin(&opened.database).unwrap();
        for number in 0..5_000 {
            let expected = Some(trigger(number)).filter(|_| number.is_multiple_of(2));
            assert_eq!(reader.trigger(TriggerId::from(u128::from(number).to_be_bytes())).unwrap(), expected);
        }
    }
}
