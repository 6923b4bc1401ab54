//! The one writer. It takes all ops that are queued, applies them in order, commits once, and answers all: while one
//! fsync runs, the next group forms, so no timer delays anybody.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use redb::{Database, Durability, StorageBackend};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use super::StoreError;
use super::apply::apply;
use super::bundle::Fresh;
use super::file::{self, OpenError, Opened};
use super::op::{
    Accept, Accepted, Admission, Advance, BeginAttempt, Begun, Cancel, Cancelled, Diverted, Done, EndAttempt, Hastened,
    Mark, MarkFeeds, Marked, Occurrence, Op, PublishVersion, Release, Trim,
};
use super::read::Reader;
use super::tables::{Tables, storage};
use super::upgrade::LADDER;
use crate::base::clock::Stopwatch;
use crate::model::bulk_operation::BulkOperation;
use crate::model::recipient::RecipientRef;

/// Ops that may be queued. At the measured 25,000 ops a second a full queue is a third of a second of work; at 1 KiB an
/// op it is 8 MiB, and requests bring their own bound on bytes.
const QUEUE: usize = 8_192;
/// The most ops of one commit: past this, the commit's own cost is below a hundredth of the whole.
const GROUP_OPS: usize = 1_024;
/// The most bytes of one commit: bounds the memory of dirty pages and how long the next group waits.
const GROUP_BYTES: usize = 16 << 20;
/// With nothing to do for this long, the writer leaves the file in the state that reopens fastest.
const IDLE: Duration = Duration::from_secs(1);
/// From this size on every commit keeps the file quick to reopen: 2.1 GB reopened in 9 ms instead of 12 s.
const ALWAYS_QUICK_REPAIR_BYTES: u64 = 512 << 20;
/// How many commits pass between two looks at the file's size.
const COMMITS_PER_LOOK: u32 = 64;

/// How the store is opened.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// redb's page cache.
    pub cache_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { cache_bytes: file::CACHE_BYTES }
    }
}

/// The store: cheap to clone, closed by `close`.
#[derive(Clone)]
pub struct Store(Arc<Shared>);

struct Shared {
    /// `None` once closed: new reads are refused, and the file is released.
    database: RwLock<Option<Arc<Database>>>,
    queue: Queue,
    room: Arc<Semaphore>,
    admit: Arc<OnceLock<Admit>>,
    failure: watch::Sender<Option<StoreError>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Takes the runs that one commit accepted, and those whose events it wrote.
type Admit = Box<dyn Fn(Vec<Admission>, Vec<Hastened>) + Send + Sync>;

/// Where ops go. The simulation drives the writer itself, on its own virtual time.
struct Queue(Mutex<Option<Sender<Request>>>);

type Answer = oneshot::Receiver<Result<Done, StoreError>>;

/// An op and who waits for it.
pub struct Request {
    op: Op,
    admission: Option<Admission>,
    reply: oneshot::Sender<Result<Done, StoreError>>,
    /// Room in the queue, given back when the op is answered.
    _room: OwnedSemaphorePermit,
}

impl Store {
    /// Opens the data folder `dir` and starts the writer's thread.
    pub fn open(dir: &Path, settings: Settings) -> Result<Self, OpenError> {
        Self::serve(file::open(dir, settings.cache_bytes, LADDER)?, dir)
    }

    /// The same on storage of the caller's: a disk that fails.
    pub fn serve_on(backend: impl StorageBackend) -> Result<Self, OpenError> {
        Self::serve(file::open_on(backend)?, Path::new(file::IN_MEMORY))
    }

    fn serve(opened: Opened, place: &Path) -> Result<Self, OpenError> {
        let (store, mut committer, queue) = Self::assemble(opened);
        let failure = store.0.failure.clone();
        let spawned = std::thread::Builder::new().name("belfry-writer".into()).spawn(move || {
            if let Err(error) = committer.serve(&queue) {
                failure.send_replace(Some(error.clone()));
                // Whoever is still queued is answered, so that no call hangs until the process has ended.
                while let Ok(request) = queue.try_recv() {
                    let _ = request.reply.send(Err(StoreError::Failed(error.to_string())));
                }
            }
        });
        let thread = spawned.map_err(|error| OpenError::NotWritable(place.to_owned(), error))?;
        *lock(&store.0.thread) = Some(thread);
        Ok(store)
    }

    /// Opens a store on storage of the caller's, without a thread: the caller drives the committer.
    pub fn open_on(backend: impl StorageBackend) -> Result<(Self, Committer, Receiver<Request>), OpenError> {
        Ok(Self::assemble(file::open_on(backend)?))
    }

    fn assemble(opened: Opened) -> (Self, Committer, Receiver<Request>) {
        let (sender, receiver) = channel();
        let database = Arc::new(opened.database);
        let admit = Arc::default();
        let committer = Committer {
            database: Arc::clone(&database),
            admit: Arc::clone(&admit),
            path: opened.path,
            _lock: opened.lock,
            commits: 0,
            quick: true,
            large: false,
        };
        let store = Self(Arc::new(Shared {
            database: RwLock::new(Some(database)),
            queue: Queue(Mutex::new(Some(sender))),
            room: Arc::new(Semaphore::new(QUEUE)),
            admit,
            failure: watch::Sender::new(None),
            thread: Mutex::new(None),
        }));
        (store, committer, receiver)
    }

    /// Hands the runs of every trigger to `admit`, and those whose events came, after the commit and before the answer:
    /// whoever cancels upon the answer is heard after this, and a client that goes away leaves no run behind that nobody
    /// starts. Set once, before the first trigger.
    pub fn admit_with(&self, admit: impl Fn(Vec<Admission>, Vec<Hastened>) + Send + Sync + 'static) {
        let _ = self.0.admit.set(Box::new(admit));
    }

    /// Writes `op`, waiting for room in the queue: for actors, whose work is already accepted.
    pub async fn submit(&self, op: Op) -> Result<Done, StoreError> {
        let room = Arc::clone(&self.0.room).acquire_owned().await.map_err(|_| StoreError::Closed)?;
        self.enqueue(op, None, room)?.await.map_err(|_| StoreError::Closed)?
    }

    /// Writes `op` if there is room in the queue now: for requests, which can be told to come back.
    pub async fn try_submit(&self, op: Op) -> Result<Done, StoreError> {
        self.try_enqueue(op, None)?.await.map_err(|_| StoreError::Closed)?
    }

    /// Writes `op`, waiting for room in the queue, and admits the runs that it makes.
    pub(super) async fn submit_admitting(&self, op: Op, admission: Admission) -> Result<Done, StoreError> {
        let room = Arc::clone(&self.0.room).acquire_owned().await.map_err(|_| StoreError::Closed)?;
        self.enqueue(op, Some(admission), room)?.await.map_err(|_| StoreError::Closed)?
    }

    fn try_enqueue(&self, op: Op, admission: Option<Admission>) -> Result<Answer, StoreError> {
        let room = Arc::clone(&self.0.room).try_acquire_owned().map_err(|_| StoreError::Overloaded)?;
        self.enqueue(op, admission, room)
    }

    fn enqueue(&self, op: Op, admission: Option<Admission>, room: OwnedSemaphorePermit) -> Result<Answer, StoreError> {
        if let Some(failure) = self.0.failure.borrow().clone() {
            return Err(StoreError::Failed(failure.to_string()));
        }
        let (reply, answer) = oneshot::channel();
        let request = Request { op, admission, reply, _room: room };
        let queue = lock(&self.0.queue.0);
        queue.as_ref().ok_or(StoreError::Closed)?.send(request).map_err(|_| StoreError::Closed)?;
        Ok(answer)
    }

    /// A snapshot of what is committed.
    pub fn read(&self) -> Result<Reader, StoreError> {
        let database = self.0.database.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        Reader::begin(database.as_ref().ok_or(StoreError::Closed)?)
    }

    /// Ops that are queued or being committed.
    pub fn queued(&self) -> usize {
        QUEUE - self.0.room.available_permits()
    }

    /// Whether the disk has failed, or holds what the server cannot work with.
    pub fn failure(&self) -> Option<StoreError> {
        self.0.failure.borrow().clone()
    }

    /// What the server needs for its own work could not be read. If it is damaged the process must end: nobody else
    /// would hear of it. Any other error is the writer's to tell.
    pub fn report(&self, error: &StoreError) {
        if matches!(error, StoreError::Damaged { .. }) {
            self.0.failure.send_if_modified(|failure| failure.is_none() && failure.insert(error.clone()) == error);
        }
    }

    /// Resolves when the disk fails, with what it said. The process must end then: what the disk holds is only known
    /// by reading it again.
    pub async fn failed(&self) -> StoreError {
        let mut failure = self.0.failure.subscribe();
        loop {
            if let Some(error) = failure.borrow_and_update().clone() {
                return error;
            }
            if failure.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Lets queued ops finish, leaves the file quick to reopen, and releases it. Blocks; later calls do nothing.
    pub fn close(&self) {
        drop(lock(&self.0.queue.0).take());
        if let Some(thread) = lock(&self.0.thread).take() {
            // A panic of the writer has been reported as a failure already.
            let _ = thread.join();
        }
        drop(self.0.database.write().unwrap_or_else(|poisoned| poisoned.into_inner()).take());
    }

    /// Accepts a trigger, whose runs are then admitted.
    pub async fn accept(&self, accept: Accept, admission: Admission) -> Result<Accepted, StoreError> {
        self.accept_by(Op::Accept(Box::new(accept.prepare()?)), admission).await
    }

    /// Accepts what an occurrence of a schedule triggers, if that is still to come; the next one is found by the same
    /// commit.
    pub async fn accept_occurrence(
        &self,
        accept: Accept,
        occurrence: Occurrence,
        admission: Admission,
    ) -> Result<Accepted, StoreError> {
        self.accept_by(Op::AcceptOccurrence(Box::new(accept.prepare()?), occurrence), admission).await
    }

    async fn accept_by(&self, op: Op, admission: Admission) -> Result<Accepted, StoreError> {
        match self.try_enqueue(op, Some(admission))?.await.map_err(|_| StoreError::Closed)?? {
            Done::Accepted(accepted) => Ok(accepted),
            other => Err(unexpected(&other)),
        }
    }

    /// Moves a run on; answers where it went instead, if its gate did not let it pass.
    pub async fn advance(&self, advance: Advance) -> Result<Option<Diverted>, StoreError> {
        match self.submit(Op::Advance(Box::new(advance))).await? {
            Done::Diverted(diverted) => Ok(Some(diverted)),
            _ => Ok(None),
        }
    }

    /// Moves a run on and accepts what its step triggers, in one commit. Waits for room: the run is accepted work.
    pub async fn advance_accepting(
        &self,
        advance: Advance,
        accept: Accept,
        admission: Admission,
    ) -> Result<Accepted, StoreError> {
        let op = Op::AdvanceAccepting(Box::new(advance), Box::new(accept.prepare()?));
        match self.submit_admitting(op, admission).await? {
            Done::Accepted(accepted) => Ok(accepted),
            other => Err(unexpected(&other)),
        }
    }

    /// Switches a workflow off or on.
    pub async fn switch_workflow(&self, key: &str, active: bool) -> Result<(), StoreError> {
        self.submit(Op::SwitchWorkflow(key.to_owned(), active)).await.map(drop)
    }

    /// Ends runs.
    pub async fn cancel(&self, cancel: Cancel) -> Result<Vec<Cancelled>, StoreError> {
        match self.submit(Op::Cancel(cancel)).await? {
            Done::Cancelled(cancelled) => Ok(cancelled),
            other => Err(unexpected(&other)),
        }
    }

    /// Begins an attempt; `None`: it is not to be made.
    pub async fn begin_attempt(&self, begin: BeginAttempt) -> Result<Option<Box<Begun>>, StoreError> {
        match self.submit(Op::BeginAttempt(begin)).await? {
            Done::Begun(begun) => Ok(begun),
            other => Err(unexpected(&other)),
        }
    }

    /// Ends an attempt.
    pub async fn end_attempt(&self, end: EndAttempt) -> Result<(), StoreError> {
        self.submit(Op::EndAttempt(Box::new(end))).await.map(drop)
    }

    /// Puts a held message into its recipient's feed; answers whose that is. `None`: it does not go there any more.
    pub async fn release(&self, release: Release) -> Result<Option<RecipientRef>, StoreError> {
        match self.submit(Op::Release(release)).await? {
            Done::Released(whose) => Ok(whose),
            other => Err(unexpected(&other)),
        }
    }

    /// Takes an action on messages; answers those that were found.
    pub async fn mark(&self, mark: Mark) -> Result<Vec<Marked>, StoreError> {
        match self.try_submit(Op::Mark(mark)).await? {
            Done::Marked(marked) => Ok(marked),
            other => Err(unexpected(&other)),
        }
    }

    /// Changes items of feeds; answers how many.
    pub async fn mark_feeds(&self, mark: MarkFeeds) -> Result<u64, StoreError> {
        match self.submit(Op::MarkFeeds(mark)).await? {
            Done::Changed(changed) => Ok(changed),
            other => Err(unexpected(&other)),
        }
    }

    /// Keeps what a bulk operation came to.
    pub async fn keep_bulk_operation(&self, operation: BulkOperation) -> Result<(), StoreError> {
        self.submit(Op::KeepBulkOperation(operation)).await.map(drop)
    }

    /// Forgets some of what is past its time; answers how much.
    pub async fn trim(&self, trim: Trim) -> Result<u64, StoreError> {
        match self.submit(Op::Trim(trim)).await? {
            Done::Changed(count) => Ok(count),
            other => Err(unexpected(&other)),
        }
    }

    /// Keeps a workflow's document.
    pub async fn publish_version(&self, publish: PublishVersion) -> Result<(), StoreError> {
        self.submit(Op::PublishVersion(publish)).await.map(drop)
    }
}

pub(super) fn unexpected(done: &Done) -> StoreError {
    StoreError::Failed(format!("an op was answered with {done:?}"))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// The answers of a group, and the runs whose events it wrote.
type Written = (Vec<Result<Done, StoreError>>, Vec<Hastened>);

/// Owns all write transactions.
pub struct Committer {
    database: Arc<Database>,
    admit: Arc<OnceLock<Admit>>,
    path: Option<PathBuf>,
    _lock: Option<fs::File>,
    commits: u32,
    /// The last commit left the file quick to reopen.
    quick: bool,
    /// The file has passed the size from which every commit does.
    large: bool,
}

impl Committer {
    /// Serves the queue until it is closed, or until the disk fails.
    fn serve(&mut self, queue: &Receiver<Request>) -> Result<(), StoreError> {
        loop {
            let first = match queue.recv_timeout(IDLE) {
                Ok(request) => request,
                Err(RecvTimeoutError::Timeout) => {
                    self.settle()?;
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return self.settle(),
            };
            // Whoever is about to queue, and is kept from it by this thread, comes along: fewer commits on a busy machine,
            // and no wait on an idle one.
            std::thread::yield_now();
            let group = gather(first, queue);
            self.commit(group)?;
        }
    }

    /// Applies and commits one group, then answers its callers. An error means that nothing of it is known to be on
    /// disk; the callers have been told.
    pub fn commit(&mut self, group: Vec<Request>) -> Result<(), StoreError> {
        let watch = Stopwatch::start();
        let (ops, callers): (Vec<_>, Vec<_>) =
            group.into_iter().map(|request| (request.op, (request.admission, request.reply, request._room))).unzip();
        let size = ops.len();
        let quick = self.wants_quick_repair();
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.write(ops, quick)))
            .unwrap_or_else(|panic| Err(StoreError::Failed(crate::base::deps::panic_text(panic.as_ref()))));
        metrics::histogram!("belfry_commit_seconds").record(watch.elapsed());
        metrics::histogram!("belfry_commit_ops").record(size as f64);
        match done {
            Ok((done, woken)) => {
                self.quick = quick;
                let (admissions, replies): (Vec<_>, Vec<_>) = callers
                    .into_iter()
                    .zip(done)
                    .map(|((admission, reply, room), done)| {
                        let admitted = match &done {
                            Ok(Done::Accepted(Accepted::New)) => admission,
                            Ok(Done::Spread(runs, _)) => {
                                admission.map(|admission| Admission { runs: runs.clone(), ..admission })
                            }
                            _ => None,
                        };
                        (admitted, (reply, room, done))
                    })
                    .unzip();
                self.admit(admissions.into_iter().flatten().collect(), woken);
                for (reply, _room, done) in replies {
                    // A caller that went away is not owed an answer.
                    let _ = reply.send(done);
                }
                Ok(())
            }
            Err(error) => {
                // Whose op it was that met what is damaged is not known.
                for (_, reply, _room) in callers {
                    let _ = reply.send(Err(StoreError::Failed(error.to_string())));
                }
                Err(error)
            }
        }
    }

    fn admit(&self, admissions: Vec<Admission>, woken: Vec<Hastened>) {
        if let Some(admit) = self.admit.get().filter(|_| !admissions.is_empty() || !woken.is_empty()) {
            admit(admissions, woken);
        }
    }

    fn write(&self, ops: Vec<Op>, quick: bool) -> Result<Written, StoreError> {
        let mut txn = self.database.begin_write().map_err(storage)?;
        txn.set_durability(Durability::Immediate).map_err(|error| StoreError::Failed(error.to_string()))?;
        txn.set_quick_repair(quick);
        let mut done = Vec::with_capacity(ops.len());
        let woken = {
            let mut tables = Tables::new(&txn);
            let mut fresh = Fresh::default();
            for op in ops {
                done.push(match apply(&mut tables, &mut fresh, op) {
                    Err(error @ StoreError::Refused(_)) => Err(error),
                    Err(error) => return Err(error),
                    Ok(answer) => Ok(answer),
                });
            }
            fresh.put(&mut tables)?;
            std::mem::take(&mut tables.woken)
        };
        txn.commit().map_err(storage)?;
        Ok((done, woken))
    }

    fn wants_quick_repair(&mut self) -> bool {
        if self.commits.is_multiple_of(COMMITS_PER_LOOK) && !self.large {
            let length = self.path.as_ref().and_then(|path| fs::metadata(path).ok()).map_or(0, |file| file.len());
            self.large = length >= ALWAYS_QUICK_REPAIR_BYTES;
        }
        self.commits = self.commits.wrapping_add(1);
        self.large
    }

    /// An empty commit that leaves the file quick to reopen, unless the last one did.
    fn settle(&mut self) -> Result<(), StoreError> {
        if !self.quick {
            self.write(Vec::new(), true)?;
            self.quick = true;
        }
        Ok(())
    }
}

/// What is queued now, up to the bounds of a group.
pub fn gather(first: Request, queue: &Receiver<Request>) -> Vec<Request> {
    let mut bytes = first.op.weight();
    let mut group = vec![first];
    while group.len() < GROUP_OPS && bytes < GROUP_BYTES {
        let Ok(request) = queue.try_recv() else { break };
        bytes += request.op.weight();
        group.push(request);
    }
    group
}
