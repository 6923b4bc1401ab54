//! Publishing what lies in the directories of workflows, layouts, partials and translations: all that is valid becomes
//! current at once, and what is faulty, or names what is faulty, stays as it was. Runs go on with the version with which
//! they began, its layouts and partials included.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Engine;
use super::catalog::{Catalog, Checked, Published};
use super::shelf::Shelf;
use crate::base::deps::Panicked;
use crate::base::ids::VersionId;
use crate::model::fault::Fault;
use crate::model::library::LibraryFiles;
use crate::model::notice::Remark;
use crate::model::workflow_file::WorkflowFiles;
use crate::store::{Store, StoreError};

/// What lies in the directories.
#[derive(Debug, Default)]
pub struct Found {
    pub workflows: Vec<WorkflowFiles>,
    /// What is wrong with workflows that could not be read.
    pub unread: Vec<Fault>,
    pub library: LibraryFiles,
}

/// Reads the directories as they are now.
pub type Directory = Box<dyn Fn() -> Found + Send + Sync>;

/// What a publishing did.
#[derive(Debug, Default)]
pub struct Publication {
    /// What became current, by key.
    pub published: Vec<(String, VersionId)>,
    /// What was current already.
    pub unchanged: Vec<String>,
    /// What has gone from the directory: it takes no triggers any more.
    pub removed: Vec<String>,
    pub faults: Vec<Fault>,
}

/// Why nothing was published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the workflows could not be read: it {0}")]
    Panicked(#[from] Panicked),
}

/// Reads the directory again and publishes it. One at a time.
pub async fn reload(engine: &Arc<Engine>) -> Result<Publication, PublishError> {
    let _turn = engine.reloading.lock().await;
    let reader = Arc::clone(engine);
    let read = move || Reading::of(&reader.catalog, (reader.directory)());
    let reading = engine.deps.offload.run(read).await?;
    let publication = publish(&engine.catalog, &engine.store, reading).await?;
    publication.log();
    Ok(publication)
}

/// A workflow directory by its key, and what came of checking it.
type CheckedDirectory = (String, Result<Checked, Vec<Fault>>);

/// What came of reading and checking all that was found.
pub struct Reading {
    shelf: Shelf,
    checked: Vec<CheckedDirectory>,
    unread: Vec<Fault>,
    /// What is wrong with layouts, partials and translations.
    faults: Vec<Fault>,
    remarks: Vec<Remark>,
}

impl Reading {
    /// Checks all. May take milliseconds a workflow.
    pub fn of(catalog: &Catalog, found: Found) -> Self {
        let (shelf, remarks, faults) = Shelf::read(&found.library, &catalog.shelf());
        let check = |files: &WorkflowFiles| (files.key.clone(), catalog.check_with(&shelf, files));
        let checked = found.workflows.iter().map(check).collect();
        Self { shelf, checked, unread: found.unread, faults, remarks }
    }
}

/// Makes what was read current, all at once, when it is durable. What is faulty, or could not be read, stays as it was: at
/// the start as it was published last.
pub async fn publish(catalog: &Catalog, store: &Store, reading: Reading) -> Result<Publication, StoreError> {
    let Reading { shelf, checked, unread, faults, remarks } = reading;
    remarks.iter().for_each(|remark| tracing::warn!("{remark}"));
    let mut done = Publication { faults, ..Publication::default() };
    let mut next: BTreeMap<String, Arc<Published>> = BTreeMap::new();
    let none_found = checked.is_empty();
    let mut faulty = Vec::new();
    for (key, checked) in checked {
        let checked = match checked {
            Ok(checked) => checked,
            Err(faults) => {
                done.faults.extend(faults);
                faulty.push(key);
                continue;
            }
        };
        for remark in &checked.remarks {
            tracing::warn!(workflow = key, "{remark}");
        }
        let version = checked.published.version;
        let is_known = catalog.current(&key).is_some_and(|current| current.version == version);
        next.insert(key.clone(), catalog.keep(store, checked.published).await?);
        if is_known { done.unchanged.push(key) } else { done.published.push((key, version)) }
    }
    // A directory that cannot be read as a whole says nothing of what was in it.
    let lost = if none_found && !unread.is_empty() { catalog.keys() } else { Vec::new() };
    let unreadable = lost.into_iter().chain(unread.iter().map(|fault| fault.file.clone()));
    let unreadable: Vec<String> = unreadable.filter(|key| catalog.current(key).is_some()).collect();
    done.faults.extend(unread);
    catalog.shelve(shelf, &next);
    // By now what stays as it was says what the new translations do.
    for key in faulty.into_iter().chain(unreadable) {
        let stays = match catalog.current(&key) {
            Some(current) => Some(catalog.version(store, current.version)),
            None => catalog.published_last(store, &key).transpose(),
        };
        match stays {
            Some(Ok(kept)) => {
                tracing::error!(workflow = key, "it is faulty: its last good version stays in force");
                next.insert(key, kept);
            }
            Some(Err(why)) => tracing::error!(workflow = key, %why, "it is faulty, and so is its last good version"),
            None => tracing::error!(workflow = key, "it is faulty and not published"),
        }
    }
    done.removed = catalog.replace(next);
    Ok(done)
}

impl Publication {
    /// Tells the log.
    pub fn log(&self) {
        for fault in &self.faults {
            tracing::error!("{fault}");
        }
        for (key, version) in &self.published {
            tracing::info!(workflow = key, %version, "published");
        }
        for key in &self.removed {
            tracing::warn!(workflow = key, "its directory has gone: it takes no triggers any more");
        }
    }
}
