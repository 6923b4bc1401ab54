//! A disk in memory that keeps apart what was written and what was synced. A power cut keeps any mixture of the
//! unsynced sectors; a killed process loses nothing that it wrote.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use redb::StorageBackend;
use tokio::sync::Notify;

use crate::rng::Rng;

const SECTOR: usize = 512;

/// What a disk does not write any more after its process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The process ends; the machine goes on and keeps every byte that was written.
    Kill,
    /// The machine ends: of what was not synced, each sector holds any of its versions.
    PowerCut,
}

/// The disk, which outlives the processes that use it.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    state: Arc<Mutex<State>>,
    /// Told when the disk stops by its countdown.
    pub stopped: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    /// As the running process reads it.
    written: Vec<u8>,
    /// What a power cut cannot take.
    synced: Vec<u8>,
    /// The versions of each sector since the last sync.
    unsynced: BTreeMap<usize, Vec<[u8; SECTOR]>>,
    /// Counts the processes; a backend of an earlier one reaches nothing.
    process: u64,
    /// Operations until the disk stops by itself.
    countdown: Option<u64>,
    stopped: bool,
    /// A flaw for the checker to find: syncs are answered and not done.
    deaf: bool,
}

impl Disk {
    pub fn new(deaf: bool) -> Self {
        let disk = Self::default();
        disk.lock().deaf = deaf;
        disk
    }

    /// The storage of the next process.
    pub fn plug(&self) -> Backend {
        let mut state = self.lock();
        state.process += 1;
        state.stopped = false;
        Backend { disk: self.clone(), process: state.process }
    }

    /// Stops the disk after `operations` more writes and syncs, in the middle of whatever they are part of.
    pub fn stop_after(&self, operations: Option<u64>) {
        self.lock().countdown = operations;
    }

    pub fn has_stopped(&self) -> bool {
        self.lock().stopped
    }

    /// Ends the running process. What it still tries to write goes nowhere.
    pub fn crash(&self, crash: Crash, seed: u64) {
        let mut state = self.lock();
        state.process += 1;
        state.countdown = None;
        // After a kill the machine still holds what was written and not synced; a later power cut may take it.
        if crash == Crash::PowerCut {
            state.cut(seed);
            state.synced = state.written.clone();
            state.unsynced.clear();
        }
    }

    /// Takes what was written so far as synced: the way that the data file comes into being is not simulated.
    pub fn settle(&self) {
        let mut state = self.lock();
        state.synced = state.written.clone();
        state.unsynced.clear();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl State {
    fn cut(&mut self, seed: u64) {
        let mut mode = Rng::of(seed, "cut", 0);
        let (all, none) = (mode.percent(10), mode.percent(20));
        let mut image = self.synced.clone();
        if all || !none && mode.percent(50) {
            image.resize(self.written.len(), 0);
        }
        for (sector, versions) in &self.unsynced {
            // By sector and not by order: the order of writes within a flush is the library's own affair.
            let mut rng = Rng::of(seed, "sector", *sector as u64);
            let kept = match (all, none) {
                (true, _) => versions.len(),
                (_, true) => 0,
                _ => rng.below(versions.len() as u64 + 1) as usize,
            };
            if let Some(bytes) = kept.checked_sub(1).map(|index| versions[index]) {
                let start = sector * SECTOR;
                if image.len() < start + SECTOR {
                    image.resize(start + SECTOR, 0);
                }
                image[start..start + SECTOR].copy_from_slice(&bytes);
            }
        }
        self.written = image;
    }

    fn note(&mut self, from: usize, to: usize) {
        for sector in from / SECTOR..to.div_ceil(SECTOR) {
            let start = sector * SECTOR;
            let end = (start + SECTOR).min(self.written.len());
            let mut bytes = [0; SECTOR];
            bytes[..end - start].copy_from_slice(&self.written[start..end]);
            self.unsynced.entry(sector).or_default().push(bytes);
        }
    }
}

/// The disk as one process has it open.
#[derive(Debug)]
pub struct Backend {
    disk: Disk,
    process: u64,
}

impl Backend {
    fn open(&self) -> Result<MutexGuard<'_, State>, io::Error> {
        let state = self.disk.lock();
        if state.process != self.process || state.stopped {
            return Err(io::Error::other("staged: the disk is gone"));
        }
        Ok(state)
    }

    /// For an operation that changes the disk.
    fn change(&self) -> Result<MutexGuard<'_, State>, io::Error> {
        let mut state = self.open()?;
        if let Some(left) = &mut state.countdown {
            if *left == 0 {
                state.stopped = true;
                self.disk.stopped.notify_one();
                return Err(io::Error::other("staged: the disk stopped"));
            }
            *left -= 1;
        }
        Ok(state)
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.open()?.written.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let state = self.open()?;
        let start = offset as usize;
        let found = state.written.get(start..start + out.len());
        out.copy_from_slice(found.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.change()?.written.resize(len as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        let mut state = self.change()?;
        let State { written, synced, unsynced, deaf, .. } = &mut *state;
        if !*deaf {
            synced.resize(written.len(), 0);
            for (sector, _) in std::mem::take(unsynced) {
                let start = (sector * SECTOR).min(written.len());
                let end = (sector * SECTOR + SECTOR).min(written.len());
                synced[start..end].copy_from_slice(&written[start..end]);
            }
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        let mut state = self.change()?;
        let start = offset as usize;
        let end = start + data.len();
        if state.written.len() < end {
            state.written.resize(end, 0);
        }
        state.written[start..end].copy_from_slice(data);
        state.note(start, end);
        Ok(())
    }
}
