//! A disk in memory that keeps apart what was written and what was synced. A power cut keeps any mixture of the
//! unsynced sectors, some of them torn; a killed process loses nothing that it wrote; any operation can fail.

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

/// What the disk does at the operation that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails, and so does every later one.
    Stops,
    /// Half of a write is done, and every later operation fails.
    Tears,
    /// It fails, and no other does.
    Once,
    /// A sync fails and forgets what was not synced, as a kernel does with pages that it could not write.
    Forgets,
    /// There is no room from now on: whatever writes or grows fails.
    Full,
}

/// What changed a disk, and what its user knew meanwhile.
#[derive(Clone, Debug)]
pub enum Entry {
    Write(u64, Vec<u8>),
    SetLen(u64),
    Sync,
    /// How many ops had been sent to the store.
    Sent(usize),
    /// How many ops had been answered.
    Answered(usize),
}

/// The disk, which outlives the processes that use it.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    state: Arc<Mutex<State>>,
    /// Told when the disk stops by its countdown.
    pub stopped: Arc<Notify>,
}

#[derive(Clone, Debug, Default)]
struct State {
    /// As the running process reads it.
    written: Vec<u8>,
    /// What a power cut cannot take.
    synced: Vec<u8>,
    /// The versions of each sector since the last sync.
    unsynced: BTreeMap<usize, Vec<[u8; SECTOR]>>,
    /// Counts the processes; a backend of an earlier one reaches nothing.
    process: u64,
    /// Operations until the disk fails by itself, and how.
    countdown: Option<(u64, Fault)>,
    stopped: bool,
    full: bool,
    /// Operations so far.
    operations: u64,
    /// Kept when it was asked for.
    tape: Option<Vec<Entry>>,
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
        state.full = false;
        Backend { disk: self.clone(), process: state.process }
    }

    /// Stops the disk after `operations` more writes and syncs, in the middle of whatever they are part of.
    pub fn stop_after(&self, operations: Option<u64>) {
        self.lock().countdown = operations.map(|operations| (operations, Fault::Stops));
    }

    /// Lets the operation after `operations` more writes and syncs fail.
    pub fn fail_after(&self, operations: u64, fault: Fault) {
        self.lock().countdown = Some((operations, fault));
    }

    /// Whether the fault that was planned has happened.
    pub fn has_failed(&self) -> bool {
        self.lock().countdown.is_none()
    }

    /// How many operations changed it so far.
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// Another disk that holds and has lost the same.
    pub fn fork(&self) -> Self {
        Self { state: Arc::new(Mutex::new(self.lock().clone())), stopped: Arc::default() }
    }

    /// Answers syncs without doing them from now on.
    pub fn deafen(&self) {
        self.lock().deaf = true;
    }

    /// Keeps what happens from now on.
    pub fn record(&self) {
        self.lock().tape = Some(Vec::new());
    }

    /// Adds to what is kept, if it is.
    pub fn note(&self, entry: Entry) {
        self.lock().tape.as_mut().into_iter().for_each(|tape| tape.push(entry.clone()));
    }

    /// What was kept.
    pub fn tape(&self) -> Vec<Entry> {
        self.lock().tape.take().unwrap_or_default()
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
                // The first bytes of a torn sector are new.
                let whole = if rng.percent(90) { SECTOR } else { rng.below(SECTOR as u64) as usize };
                image[start..start + whole].copy_from_slice(&bytes[..whole]);
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

    /// Counts an operation that changes the disk; answers the fault that strikes it.
    fn strike(&self, state: &mut State) -> Option<Fault> {
        state.operations += 1;
        let struck = match state.countdown.take() {
            Some((0, fault)) => Some(fault),
            later => {
                state.countdown = later.map(|(left, fault)| (left - 1, fault));
                None
            }
        };
        state.full |= struck == Some(Fault::Full);
        if matches!(struck, Some(Fault::Stops | Fault::Tears)) {
            state.stopped = true;
            self.disk.stopped.notify_one();
        }
        struck.filter(|fault| *fault != Fault::Full)
    }
}

fn failed() -> io::Error {
    io::Error::other("staged: the disk failed")
}

impl State {
    fn room(&self) -> Result<(), io::Error> {
        if self.full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn keep(&mut self, entry: impl FnOnce() -> Entry) {
        if let Some(tape) = &mut self.tape {
            tape.push(entry());
        }
    }

    fn put(&mut self, start: usize, data: &[u8]) {
        let end = start + data.len();
        if self.written.len() < end {
            self.written.resize(end, 0);
        }
        self.written[start..end].copy_from_slice(data);
        self.note(start, end);
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
        let mut state = self.open()?;
        if self.strike(&mut state).is_some() {
            return Err(failed());
        }
        if len as usize > state.written.len() {
            state.room()?;
        }
        state.keep(|| Entry::SetLen(len));
        state.written.resize(len as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        let mut state = self.open()?;
        if let Some(fault) = self.strike(&mut state) {
            if fault == Fault::Forgets {
                state.written = state.synced.clone();
                state.unsynced.clear();
            }
            return Err(failed());
        }
        state.keep(|| Entry::Sync);
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
        let mut state = self.open()?;
        if let Some(fault) = self.strike(&mut state) {
            if fault == Fault::Tears {
                state.put(offset as usize, &data[..data.len() / 2]);
            }
            return Err(failed());
        }
        state.room()?;
        state.keep(|| Entry::Write(offset, data.to_vec()));
        state.put(offset as usize, data);
        Ok(())
    }
}
