//! What publishes workflows again while the server runs: a signal, or, on a developer's machine, a file that changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use tokio::signal::unix::Signal;

use super::console::say_line;
use crate::base::clock::sleep;
use crate::engine::Engine;
use crate::engine::publishing::{self, Publication};

/// How often the directory is looked at: soon enough for who saves a file and turns to the browser.
const LOOK: Duration = Duration::from_millis(500);
/// Deeper than any workflow's folder.
const MAX_DEPTH: usize = 10;

/// Publishes upon each of `hangups`.
pub fn upon_hangup(engine: Arc<Engine>, mut hangups: Signal) {
    actix_web::rt::spawn(async move {
        while hangups.recv().await.is_some() {
            reload(&engine).await;
        }
    });
}

/// Publishes when a file under one of `dirs` has changed, and tells whoever watches the terminal.
pub fn upon_change(engine: Arc<Engine>, dirs: Vec<PathBuf>) {
    actix_web::rt::spawn(async move {
        // What changed between the start's reading and the first look is published too: all is published once more.
        let (mut published, mut seen) = (None, None);
        loop {
            sleep(LOOK).await;
            let now = look(&engine, &dirs).await;
            // Two looks alike: whoever writes several files has ended.
            if now == seen
                && now != published
                && let Some(publication) = reload(&engine).await
            {
                published = now;
                tell(&publication);
            }
            seen = now;
        }
    });
}

async fn reload(engine: &Arc<Engine>) -> Option<Publication> {
    let done = publishing::reload(engine).await;
    done.inspect_err(|error| tracing::error!(%error, "the workflows could not be published")).ok()
}

fn tell(publication: &Publication) {
    for (key, _) in &publication.published {
        say_line!("Published {key}");
    }
    for key in &publication.removed {
        say_line!("Removed {key}");
    }
    for fault in &publication.faults {
        say_line!("Not published: {fault}");
    }
}

/// What tells one state of the directories from another; `None`: it could not be looked at.
async fn look(engine: &Engine, dirs: &[PathBuf]) -> Option<blake3::Hash> {
    let dirs = dirs.to_owned();
    let looked = engine.deps.offload.run(move || {
        let mut hasher = blake3::Hasher::new();
        dirs.iter().for_each(|dir| add(dir, 0, &mut hasher));
        hasher.finalize()
    });
    looked.await.ok()
}

/// Names, sizes and times of change; what cannot be read counts as its name.
fn add(folder: &Path, depth: usize, hasher: &mut blake3::Hasher) {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|one| one.path()).collect();
    entries.sort();
    for path in entries {
        let Ok(about) = fs::metadata(&path) else { continue };
        hasher.update(path.as_os_str().as_encoded_bytes());
        let changed = about.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        hasher.update(&changed.as_nanos().to_le_bytes());
        hasher.update(&about.len().to_le_bytes());
        if about.is_dir() && depth < MAX_DEPTH {
            add(&path, depth + 1, hasher);
        }
    }
}
