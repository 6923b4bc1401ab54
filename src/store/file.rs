//! The data folder: one lock, one database file, created so that a crash at any instant leaves a folder that opens.

use std::any::Any;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::{Database, DatabaseError, StorageBackend};

use super::StoreError;
use super::tables::{Tables, storage};
use super::upgrade::{self, LADDER, Ladder};
use crate::base::deps::panic_text;

/// The data file.
pub const FILE: &str = "belfry.redb";
const NEW_FILE: &str = "belfry.redb.new";
const LOCK: &str = "belfry.lock";
/// What stands for the path of a store on storage of the caller's.
pub const IN_MEMORY: &str = "(in memory)";

/// redb's page cache, unless somebody says otherwise.
pub const CACHE_BYTES: usize = 32 << 20;

/// Why the data folder could not be opened, with the way out.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "the data folder {path} is in use by another Belfry. Stop that one, or give this one its own folder with \
         --data-dir or server.data_dir", path = .0.display()
    )]
    InUse(PathBuf),
    #[error(
        "the data folder {path} cannot be written: {error}. Make room in it, let the user that runs Belfry write to it, or choose \
         another with --data-dir or server.data_dir", path = .0.display(), error = .1
    )]
    NotWritable(PathBuf, #[source] io::Error),
    #[error(
        "the data file {path} was written by a newer Belfry (schema {found}, this one reads up to {}). Start the newer \
         version again", LADDER.top(), path = .0.display(), found = .1
    )]
    Newer(PathBuf, u32),
    #[error(
        "the data file {path} cannot be read: {error}. It is left as it is: `belfry doctor` says more; restore a backup in its \
         place with `belfry restore`, or move it away to start empty", path = .0.display(), error = .1
    )]
    Unreadable(PathBuf, String),
}

/// An open data folder.
pub struct Opened {
    pub database: Database,
    /// The database file, for its size; `None` in the simulation.
    pub path: Option<PathBuf>,
    /// Held as long as the database is.
    pub lock: Option<File>,
}

/// What `read` answers; redb panics at some damaged pages.
fn readable<T>(file: &Path, read: impl FnOnce() -> Result<T, OpenError>) -> Result<T, OpenError> {
    let damaged = |panic: Box<dyn Any + Send>| OpenError::Unreadable(file.to_owned(), panic_text(panic.as_ref()));
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|panic| Err(damaged(panic)))
}

/// Takes the data folder `dir`, which is created when missing, for this process alone.
pub fn lock(dir: &Path) -> Result<File, OpenError> {
    let not_writable = |error| OpenError::NotWritable(dir.to_owned(), error);
    fs::create_dir_all(dir).map_err(not_writable)?;
    let lock =
        OpenOptions::new().create(true).write(true).truncate(false).open(dir.join(LOCK)).map_err(not_writable)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(dir.to_owned())),
        Err(TryLockError::Error(error)) => Err(not_writable(error)),
    }
}

/// Opens the data folder `dir`, which is created when missing. A file of an older schema is upgraded.
pub fn open(dir: &Path, cache_bytes: usize, ladder: Ladder) -> Result<Opened, OpenError> {
    readable(&dir.join(FILE), || open_folder(dir, cache_bytes, ladder))
}

fn open_folder(dir: &Path, cache_bytes: usize, ladder: Ladder) -> Result<Opened, OpenError> {
    let lock = lock(dir)?;
    let not_writable = |error| OpenError::NotWritable(dir.to_owned(), error);
    let path = dir.join(FILE);
    if !path.try_exists().map_err(not_writable)? {
        create(dir, &path).map_err(not_writable)?;
    }
    let unreadable = |error: StoreError| OpenError::Unreadable(path.clone(), error.to_string());
    let mut database = open_file(dir, &path, cache_bytes)?;
    let found = check_schema(&database, &path, ladder)?;
    if found < ladder.top() {
        drop(database);
        let kept = upgrade::keep_aside(&path, found).map_err(not_writable)?;
        database = open_file(dir, &path, cache_bytes)?;
        ladder.climb(&database, found).map_err(unreadable)?;
        tracing::info!(from = found, to = ladder.top(), kept = %kept.display(), "the data file was upgraded");
    }
    create_missing(&database).map_err(|error| not_writable(io::Error::other(error)))?;
    Ok(Opened { database, path: Some(path), lock: Some(lock) })
}

fn open_file(dir: &Path, path: &Path, cache_bytes: usize) -> Result<Database, OpenError> {
    Database::builder().set_cache_size(cache_bytes).open(path).map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen => OpenError::InUse(dir.to_owned()),
        DatabaseError::Storage(redb::StorageError::Io(error)) if is_refusal(&error) => {
            OpenError::NotWritable(dir.to_owned(), error)
        }
        error => OpenError::Unreadable(path.to_owned(), error.to_string()),
    })
}

/// Gives the disk back what the data file of `dir` does not use any more; answers its bytes before and after.
pub fn compact(dir: &Path) -> Result<(u64, u64), OpenError> {
    let _lock = lock(dir)?;
    let path = dir.join(FILE);
    let size =
        || fs::metadata(&path).map(|file| file.len()).map_err(|error| OpenError::NotWritable(dir.to_owned(), error));
    let before = size()?;
    let mut database = open_file(dir, &path, CACHE_BYTES)?;
    let unreadable = |error: StoreError| OpenError::Unreadable(path.clone(), error.to_string());
    database.compact().map_err(|error| unreadable(storage(error)))?;
    drop(database);
    Ok((before, size()?))
}

/// Whether the system would not let us write, which says nothing against the file.
fn is_refusal(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem | StorageFull | QuotaExceeded | FileTooLarge)
}

/// Opens a database on storage of the caller's: the simulation's disk, which loses what was not synced.
pub fn open_on(backend: impl StorageBackend) -> Result<Opened, OpenError> {
    readable(Path::new(IN_MEMORY), || open_backend(backend))
}

fn open_backend(backend: impl StorageBackend) -> Result<Opened, OpenError> {
    let here = PathBuf::from(IN_MEMORY);
    let unreadable = |error: String| OpenError::Unreadable(here.clone(), error);
    let fresh = backend.len().map_err(|error| unreadable(format!("{error:?}")))? == 0;
    let database = Database::builder().create_with_backend(backend).map_err(|error| unreadable(error.to_string()))?;
    if fresh {
        initialise(&database).map_err(|error| unreadable(error.to_string()))?;
    }
    check_schema(&database, &here, LADDER)?;
    Ok(Opened { database, path: None, lock: None })
}

/// redb's own creation is not atomic under a crash: a file is made whole under another name, then renamed.
fn create(dir: &Path, path: &Path) -> io::Result<()> {
    let new = dir.join(NEW_FILE);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let database = Database::create(&new).map_err(io::Error::other)?;
    initialise(&database).map_err(io::Error::other)?;
    drop(database);
    let sync = |path: &Path| File::open(path)?.sync_all();
    sync(&new).and_then(|()| fs::rename(&new, path)).and_then(|()| sync(dir))
}

fn initialise(database: &Database) -> Result<(), StoreError> {
    let txn = database.begin_write().map_err(storage)?;
    {
        let mut tables = Tables::new(&txn);
        tables.open_all()?;
        upgrade::mark(&mut tables, LADDER.top())?;
    }
    txn.commit().map_err(storage)
}

/// Creates the tables that a file of an earlier version lacks: readers find every table.
fn create_missing(database: &Database) -> Result<(), StoreError> {
    let txn = database.begin_write().map_err(storage)?;
    Tables::new(&txn).open_all()?;
    txn.commit().map_err(storage)
}

/// The schema of a database that can be opened or upgraded.
fn check_schema(database: &Database, path: &Path, ladder: Ladder) -> Result<u32, OpenError> {
    let unreadable = |error: String| OpenError::Unreadable(path.to_owned(), error);
    match upgrade::schema(database).map_err(|error| unreadable(error.to_string()))? {
        Some(found) if ladder.reaches(found) => Ok(found),
        Some(newer) if newer > ladder.top() => Err(OpenError::Newer(path.to_owned(), newer)),
        Some(older) => Err(unreadable(format!("its schema {older} is older than what this version can upgrade"))),
        None => Err(unreadable("it is not a Belfry data file".into())),
    }
}
