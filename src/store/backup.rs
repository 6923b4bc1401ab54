//! A copy of the store as it was at one commit, made while it is written; and its way back.

use std::fs::{self, File};
use std::io;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};

use redb::Database;
use redb::backends::FileBackend;
use rustix::fs::statvfs;

use super::check::{self, Contents};
use super::file::{self, FILE, OpenError};
use super::read::Reader;
use super::tables::{TableId, Tables, storage};
use super::upgrade::{LADDER, schema};
use super::{Store, StoreError};
use crate::base::clock::Timestamp;
use crate::base::deps::panic_text;

/// What stays free on a disk that a copy is written to: a server whose disk is full stops.
const RESERVE: u64 = 256 << 20;

const PART: &str = "belfry.redb.restore";

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the copy cannot be written: {0}")]
    Io(#[from] io::Error),
    #[error(
        "the copy may take {needed} MB, and {folder} has {free} MB free, of which {} stay free for the server. Make room, or \
         stop the server and back up to another disk", RESERVE >> 20, folder = .folder.display()
    )]
    NoRoom { folder: PathBuf, needed: u64, free: u64 },
}

/// Why nothing was restored; what was there is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(
        "there is a data file {path} already. With --force it is kept beside the restored one; or name another folder with \
         --data-dir", path = .0.display()
    )]
    Exists(PathBuf),
    #[error("{path} cannot be copied: {error}", path = .0.display(), error = .1)]
    Copy(PathBuf, #[source] io::Error),
    #[error("{path} is not a backup that can be restored: {problem}. Use another one", path = .0.display(), problem = .1)]
    Damaged(PathBuf, String),
}

/// What was restored.
#[derive(Debug)]
pub struct Restored {
    pub contents: Contents,
    /// Where the data file that was there is now.
    pub kept: Option<PathBuf>,
}

impl Store {
    /// Writes what is committed now into `file`, as a data file of its own, and syncs it. What is written meanwhile is
    /// not in it.
    pub fn back_up(&self, file: File) -> Result<(), BackupError> {
        let synced = file.try_clone()?;
        copy(&self.read()?, file)?;
        Ok(synced.sync_all()?)
    }
}

fn copy(reader: &Reader, file: File) -> Result<(), StoreError> {
    let backend = FileBackend::new(file).map_err(storage)?;
    let database = Database::builder().create_with_backend(backend).map_err(storage)?;
    let mut txn = database.begin_write().map_err(storage)?;
    txn.set_quick_repair(true);
    {
        let mut tables = Tables::new(&txn);
        tables.open_all()?;
        for &table in TableId::ALL {
            reader.walk(table, std::ops::Bound::Unbounded, |key, value| {
                tables.put_encoded(table, key, value).map(|()| true)
            })?;
        }
    }
    txn.commit().map_err(storage)
}

/// Whether the disk of `folder` has room for a copy of the data file in `dir`.
pub fn require_room(dir: &Path, folder: &Path) -> Result<(), BackupError> {
    let (needed, free) = (fs::metadata(dir.join(FILE))?.len(), free_bytes(folder)?);
    if free < needed + RESERVE {
        return Err(BackupError::NoRoom { folder: folder.to_owned(), needed: needed >> 20, free: free >> 20 });
    }
    Ok(())
}

/// The bytes that are free on the disk of `folder`.
pub fn free_bytes(folder: &Path) -> io::Result<u64> {
    let disk = statvfs(folder)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Reads the whole of a data file that nobody else has open: its checksums, and every record.
pub fn verify(path: &Path) -> Result<Contents, String> {
    let read = || {
        let database = Database::builder().set_check_integrity_on_open(true).open(path).map_err(storage)?;
        match schema(&database)? {
            Some(found) if found == LADDER.top() => check::check(&Reader::begin(&database)?),
            // Its records are read when it is upgraded, at the first start.
            Some(found) if LADDER.reaches(found) => Ok(Contents::default()),
            Some(found) if found > LADDER.top() => {
                Err(StoreError::Failed(format!("it was written by a newer Belfry (schema {found})")))
            }
            _ => Err(StoreError::Failed("it is not a Belfry data file".into())),
        }
    };
    // redb panics on some damage.
    let read = std::panic::catch_unwind(AssertUnwindSafe(read));
    match read {
        Ok(Ok(contents)) => Ok(contents),
        Ok(Err(StoreError::Failed(problem))) => Err(problem),
        Ok(Err(error)) => Err(error.to_string()),
        Err(panic) => Err(panic_text(panic.as_ref())),
    }
}

/// Makes the backup `from` the data file of the folder `dir`. With `replace`, one that is there is kept beside it.
pub fn restore(from: &Path, dir: &Path, replace: bool, now: Timestamp) -> Result<Restored, RestoreError> {
    let _lock = file::lock(dir)?;
    let (path, part) = (dir.join(FILE), dir.join(PART));
    let not_writable = |error| OpenError::NotWritable(dir.to_owned(), error);
    let exists = path.try_exists().map_err(not_writable)?;
    if exists && !replace {
        return Err(RestoreError::Exists(path));
    }
    fs::copy(from, &part).map_err(|error| RestoreError::Copy(from.to_owned(), error))?;
    let contents = verify(&part).map_err(|problem| {
        let _ = fs::remove_file(&part);
        RestoreError::Damaged(from.to_owned(), problem)
    })?;
    let sync = |path: &Path| File::open(path)?.sync_all();
    let put_in_place = || {
        sync(&part)?;
        let seconds = now.as_millis() / 1_000;
        let kept = exists.then(|| dir.join(format!("{FILE}.replaced-{seconds}")));
        if let Some(kept) = &kept {
            fs::rename(&path, kept)?;
        }
        fs::rename(&part, &path)?;
        sync(dir).map(|()| kept)
    };
    Ok(Restored { contents, kept: put_in_place().map_err(not_writable)? })
}
