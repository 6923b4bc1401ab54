//! `belfry backup`, `belfry restore` and `belfry compact`.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use tempfile::NamedTempFile;

use super::console::say_line;
use super::place::{Folder, Place, Reached};
use crate::base::clock::Clock;
use crate::store::backup::{self, require_room};
use crate::store::check::Contents;
use crate::store::file;

#[derive(Args)]
pub struct Backup {
    /// The file to write
    file: PathBuf,
    /// Overwrite the file if there is one
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Args)]
pub struct Restore {
    /// The file that `belfry backup` wrote
    file: PathBuf,
    /// Restore also where there is a data file; that one is kept beside it
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    folder: Folder,
}

/// Writes a backup. The file is there when it is whole, synced and read again, and not before.
pub async fn back_up(args: Backup) -> Result<()> {
    let path = &args.file;
    ensure!(args.force || !path.exists(), "{} exists already; --force overwrites it", path.display());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let config = args.place.folder.load()?;
    let reached = args.place.reach(&config)?;
    let cannot = || format!("{} cannot be written", path.display());
    let mut part = NamedTempFile::new_in(folder).with_context(cannot)?;
    match reached {
        Reached::Served(client) => client.download("/admin/backup", part.as_file_mut()).await?,
        Reached::Folder(store) => {
            let copied = require_room(&config.server.data_dir, folder)
                .and_then(|()| Ok(part.as_file().try_clone()?))
                .and_then(|file| store.back_up(file));
            store.close();
            copied?;
        }
    }
    let contents = backup::verify(part.path()).map_err(|problem| {
        anyhow::anyhow!("what came is not a whole backup ({problem}); nothing was written. Try again")
    })?;
    part.as_file().sync_all().with_context(cannot)?;
    let written = if args.force { part.persist(path) } else { part.persist_noclobber(path) };
    written.with_context(cannot)?;
    File::open(folder).and_then(|folder| folder.sync_all()).with_context(cannot)?;
    say_line!("{}: {}", path.display(), told(&contents));
    Ok(())
}

/// Restores a backup into a data folder that no server uses.
pub fn restore(args: Restore) -> Result<()> {
    let config = args.folder.load()?;
    let folder = &config.server.data_dir;
    let restored = backup::restore(&args.file, folder, args.force, Clock::system().now())?;
    say_line!("{}: {}", folder.join(file::FILE).display(), told(&restored.contents));
    if let Some(kept) = restored.kept {
        say_line!("What was there is now {}", kept.display());
    }
    Ok(())
}

/// Makes the data file as small as it can be.
pub fn compact(folder: &Folder) -> Result<()> {
    let config = folder.load()?;
    let folder = &config.server.data_dir;
    ensure!(
        folder.join(file::FILE).exists(),
        "there is no data file in {}. Name the folder with --data-dir or --config",
        folder.display()
    );
    let (before, after) = file::compact(folder)?;
    say_line!("{before} bytes before, {after} after");
    Ok(())
}

fn told(contents: &Contents) -> String {
    let Contents { records, pending_runs, ended_runs, messages } = contents;
    format!("{records} records; {pending_runs} runs that wait, {ended_runs} that have ended, {messages} messages")
}
