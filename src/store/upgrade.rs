//! Brings a data file of an older schema up to the one that this version writes: step by step, all in one commit, after
//! the file as it was has been put aside.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use redb::Database;

use super::StoreError;
use super::from_1;
use super::from_2;
use super::read::Reader;
use super::tables::{TableId, Tables, storage};

/// Leads from one schema to the next.
pub type Step = fn(&mut Tables<'_>) -> Result<(), StoreError>;

/// The schemas that can be read: the oldest, and one more for each step.
#[derive(Clone, Copy)]
pub struct Ladder {
    pub oldest: u32,
    pub steps: &'static [Step],
}

/// This version's. A step is added when a stored shape changes in a way that an older binary would misread.
pub const LADDER: Ladder = Ladder { oldest: 1, steps: &[from_1::climb, from_2::climb] };

const SCHEMA: &[u8] = b"schema";

impl Ladder {
    /// The schema that is written.
    pub const fn top(&self) -> u32 {
        self.oldest + self.steps.len() as u32
    }

    /// The steps that lead from `found` to the top; `None`: there is no such schema here.
    fn steps_from(&self, found: u32) -> Option<&'static [Step]> {
        self.steps.get(usize::try_from(found.checked_sub(self.oldest)?).ok()?..)
    }

    /// Whether a file of the schema `found` can be brought to the top.
    pub fn reaches(&self, found: u32) -> bool {
        self.steps_from(found).is_some()
    }

    /// Brings the database from the schema `found` to the top.
    pub fn climb(&self, database: &Database, found: u32) -> Result<(), StoreError> {
        let steps = self
            .steps_from(found)
            .ok_or_else(|| StoreError::Failed(format!("nothing leads on from schema {found}")))?;
        let txn = database.begin_write().map_err(storage)?;
        {
            let mut tables = Tables::new(&txn);
            tables.open_all()?;
            steps.iter().try_for_each(|step| step(&mut tables))?;
            mark(&mut tables, self.top())?;
        }
        txn.commit().map_err(storage)
    }
}

/// The schema that a database has; `None`: it is not Belfry's.
pub fn schema(database: &Database) -> Result<Option<u32>, StoreError> {
    Reader::begin(database)?.get(TableId::Meta, SCHEMA)
}

/// Writes the schema down.
pub fn mark(tables: &mut Tables<'_>, schema: u32) -> Result<(), StoreError> {
    tables.put(TableId::Meta, SCHEMA, &schema)
}

/// Puts a copy of the data file, which nobody has open, beside it; answers where.
pub fn keep_aside(path: &Path, schema: u32) -> io::Result<PathBuf> {
    let kept = path.with_extension(format!("redb.schema-{schema}"));
    let part = path.with_extension("redb.schema-part");
    fs::copy(path, &part)?;
    File::open(&part)?.sync_all()?;
    fs::rename(&part, &kept)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())?;
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::super::file::{self, FILE, OpenError};
    use super::super::op::StoredKey;
    use super::*;
    use crate::base::clock::Timestamp;

    /// A key as the schema before the first one had it.
    #[derive(serde::Serialize, serde::Deserialize)]
    struct EarlierKey {
        last_four: String,
    }

    /// That schema, one step below the first.
    const FROM_BEFORE: Ladder = Ladder { oldest: 0, steps: &[name_keys_anew] };

    fn name_keys_anew(tables: &mut Tables<'_>) -> Result<(), StoreError> {
        for (key, earlier) in tables.with_prefix::<EarlierKey>(TableId::Keys, &[])? {
            let now =
                StoredKey { secret: true, last4: earlier.last_four, name: None, created_at: Timestamp::default() };
            tables.put(TableId::Keys, &key, &now)?;
        }
        Ok(())
    }

    /// A data folder with one key, of the schema `schema`.
    fn folder(schema: u32) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        drop(file::open(folder.path(), file::CACHE_BYTES, LADDER).unwrap());
        let database = Database::open(folder.path().join(FILE)).unwrap();
        let txn = database.begin_write().unwrap();
        let mut tables = Tables::new(&txn);
        tables.put(TableId::Keys, &[7; 32], &EarlierKey { last_four: "abcd".into() }).unwrap();
        mark(&mut tables, schema).unwrap();
        drop(tables);
        txn.commit().unwrap();
        folder
    }

    fn keys(database: &Database) -> Vec<String> {
        let keys = Reader::begin(database).unwrap().keys().unwrap();
        keys.into_iter().map(|(_, key)| key.last4).collect()
    }

    #[test]
    fn a_file_of_an_older_schema_is_upgraded_once_and_kept_as_it_was() {
        let folder = folder(0);
        let kept = folder.path().join("belfry.redb.schema-0");
        for _ in 0..2 {
            let opened = file::open(folder.path(), file::CACHE_BYTES, FROM_BEFORE).unwrap();
            assert_eq!(schema(&opened.database).unwrap(), Some(1));
            assert_eq!(keys(&opened.database), ["abcd"]);
        }
        let earlier = Database::open(&kept).unwrap();
        assert_eq!(schema(&earlier).unwrap(), Some(0));
        assert!(Reader::begin(&earlier).unwrap().keys().is_err(), "its records are as they were");
    }

    #[test]
    fn an_upgrade_that_is_cut_short_or_fails_leaves_the_older_file() {
        fn fail(_: &mut Tables<'_>) -> Result<(), StoreError> {
            Err(StoreError::Failed("no".into()))
        }
        let folder = folder(0);
        let failing = Ladder { oldest: 0, steps: &[name_keys_anew, fail] };
        assert!(matches!(file::open(folder.path(), file::CACHE_BYTES, failing), Err(OpenError::Unreadable(..))));
        // A copy that a crash left half written is no obstacle.
        std::fs::write(folder.path().join("belfry.redb.schema-part"), "half").unwrap();
        let opened = file::open(folder.path(), file::CACHE_BYTES, FROM_BEFORE).unwrap();
        assert_eq!(keys(&opened.database), ["abcd"]);
    }

    #[test]
    fn a_schema_that_no_step_leads_on_from_is_refused() {
        let folder = folder(0);
        let refused = file::open(folder.path(), file::CACHE_BYTES, LADDER).err().unwrap();
        assert!(matches!(&refused, OpenError::Unreadable(_, why) if why.contains("schema 0 is older")), "{refused}");
        let folder = self::folder(LADDER.top() + 1);
        assert!(matches!(file::open(folder.path(), file::CACHE_BYTES, LADDER), Err(OpenError::Newer(_, 4))));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is put aside");
    }
}
