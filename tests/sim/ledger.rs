//! What the outside saw: requests and their answers, what reached the provider, crashes and clock steps. It outlives
//! every process of its world and knows nothing of what is stored.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use belfry::base::clock::{Stopwatch, Timestamp};
use belfry::base::ids::{MessageId, RunId, TriggerId};
use belfry::model::engagement::Action;
use belfry::model::recipient::RecipientRef;

use crate::cast::Who;
use crate::subscribers::DIVISOR;

/// Microseconds of true time since the world began. It never steps.
pub type Instant = u64;

/// A trigger request.
#[derive(Clone, Debug)]
pub struct Call {
    /// What the content of its messages names. A repeated request has the same.
    pub content: u64,
    pub workflow: &'static str,
    /// With the divisor of each.
    pub recipients: Vec<(Who, u64)>,
    /// Who is told because of subscriptions alone.
    pub reached: BTreeSet<Who>,
    pub key: Option<String>,
    pub idempotency: Option<u64>,
    pub skip_delay: bool,
    pub sandbox: bool,
    /// The workflow's content when the request was made.
    pub revision: u64,
    pub at: Instant,
    pub answer: Answer<Triggered>,
}

impl Call {
    /// Who `recipient` is to this call, and the divisor of its run.
    pub fn part_of(&self, recipient: &RecipientRef) -> Option<(Who, u64)> {
        let reached = self.reached.iter().map(|who| (*who, DIVISOR));
        self.recipients.iter().copied().chain(reached).find(|(who, _)| who.reference() == *recipient)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Triggered {
    New(TriggerId),
    Replayed(TriggerId),
    /// The idempotency key belongs to another request.
    Mismatch,
}

/// What the client of a request knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer<T> {
    /// None yet; or none ever, when its process ended or the client went away.
    InDoubt,
    Given {
        at: Instant,
        seq: u64,
        what: T,
    },
}

/// A cancel request.
#[derive(Clone, Debug)]
pub struct Cancel {
    pub workflow: &'static str,
    pub key: String,
    pub recipients: Option<Vec<RecipientRef>>,
    pub at: Instant,
    pub answer: Answer<Vec<(RunId, u32)>>,
    /// When nobody waited for the answer any more.
    pub lost_at: Option<Instant>,
    /// What each run of the key had made when the answer came.
    pub frozen: Vec<(RunId, Vec<MessageId>)>,
}

impl Cancel {
    pub fn names(&self, workflow: &str, key: Option<&str>, who: &RecipientRef) -> bool {
        self.workflow == workflow
            && key == Some(self.key.as_str())
            && self.recipients.as_ref().is_none_or(|named| named.contains(who))
    }
}

/// What a reader did with some items.
#[derive(Clone, Debug)]
pub struct Marking {
    pub messages: Vec<MessageId>,
    pub action: Action,
    /// Of all items: those of which it is true already are left out.
    pub bulk: bool,
    /// When it was asked for.
    pub at: Instant,
    pub seq: u64,
    pub answer: Answer<()>,
}

/// An attempt that reached the provider.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub message: MessageId,
    pub at: Instant,
    pub seq: u64,
    /// By the wall clock.
    pub wall: Timestamp,
    /// Of the whole email as bytes.
    pub digest: [u8; 32],
    pub to: String,
    /// What the provider did, whether or not the sender heard of it.
    pub fate: Option<Fate>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Accepted,
    Transient,
    Permanent,
    Panicked,
}

/// The wall clock was set, by that many microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    pub by: i64,
    pub from: Instant,
    /// When it was done; an advance takes many small steps.
    pub until: Instant,
}

/// A request of a fetch step that reached the network.
#[derive(Clone, Debug)]
pub struct Fetch {
    pub url: String,
    pub at: Instant,
    pub answered: bool,
}

#[derive(Debug)]
pub struct Record {
    pub calls: Vec<Call>,
    pub cancels: Vec<Cancel>,
    pub marks: Vec<Marking>,
    pub attempts: Vec<Attempt>,
    pub fetches: Vec<Fetch>,
    pub crashes: Vec<Instant>,
    /// From when until when a process was there and meant to work.
    pub lives: Vec<(Instant, Instant)>,
    pub steps: Vec<Step>,
    /// What was seen to be wrong while the world ran.
    pub violations: Vec<String>,
    pub trace: Vec<String>,
    epoch: Timestamp,
    /// When the running process began, and its stopwatch.
    began: Instant,
    watch: Option<Stopwatch>,
    seq: u64,
}

/// Shared by all that record.
#[derive(Clone, Debug)]
pub struct Ledger(Arc<Mutex<Record>>);

impl Ledger {
    pub fn new(epoch: Timestamp) -> Self {
        Self(Arc::new(Mutex::new(Record {
            calls: Vec::new(),
            cancels: Vec::new(),
            marks: Vec::new(),
            attempts: Vec::new(),
            fetches: Vec::new(),
            crashes: Vec::new(),
            lives: Vec::new(),
            steps: Vec::new(),
            violations: Vec::new(),
            trace: Vec::new(),
            epoch,
            began: 0,
            watch: None,
            seq: 0,
        })))
    }

    pub fn open(&self) -> MutexGuard<'_, Record> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Record {
    /// A process starts, on the runtime of the caller.
    pub fn begin(&mut self) {
        self.watch = Some(Stopwatch::start());
        self.lives.push((self.now(), Instant::MAX));
    }

    /// The process begins nothing new from now on.
    pub fn rest(&mut self) {
        let now = self.now();
        self.lives.iter_mut().for_each(|(_, until)| *until = now.min(*until));
    }

    /// The process is over. Called on its runtime: outside, its clock cannot be read.
    pub fn end(&mut self) {
        self.rest();
        self.began = self.now();
        self.watch = None;
    }

    /// Nobody runs for that many microseconds.
    pub fn pause(&mut self, pause: u64) {
        self.began += pause;
    }

    /// Until when at the latest a process must have done what is due at `due`, if each may take `patience` for it: the
    /// first that lived that long after it was there and the time had come. `None`: no process had to, or the clock was
    /// set and does not say.
    pub fn latest(&self, due: Timestamp, patience: Duration) -> Option<Timestamp> {
        let (due, patience) = (due.since(self.epoch).as_micros() as Instant, patience.as_micros() as Instant);
        let mut ends = self.lives.iter().map(|(from, until)| (due.max(*from) + patience, *until));
        let (latest, _) = ends.find(|(latest, until)| self.steps.is_empty() && latest < until)?;
        Some(self.epoch.plus(Duration::from_micros(latest)))
    }

    pub fn now(&self) -> Instant {
        self.began + self.watch.map_or(0, |watch| watch.elapsed().as_micros() as u64)
    }

    /// The wall clock, as the machine shows it.
    pub fn wall(&self) -> Timestamp {
        let steps: i64 = self.steps.iter().map(|step| step.by).sum();
        Timestamp::from_micros(self.epoch.as_micros() + self.now() as i64 + steps)
    }

    /// What the wall clock showed then; `None`: it was set, and nobody knows.
    pub fn shown(&self, at: Instant) -> Option<Timestamp> {
        self.steps.is_empty().then(|| self.epoch.plus(Duration::from_micros(at)))
    }

    /// How far the wall clock was set forward, at most, between the two instants, both included.
    pub fn hastened(&self, from: Instant, to: Instant) -> u64 {
        let forward = self.steps.iter().filter(|step| step.by > 0 && step.from <= to && from <= step.until);
        forward.map(|step| step.by.unsigned_abs()).sum()
    }

    /// The advance that is under way, if there is one, ended with the server's clock at `wall`: time also passed by
    /// itself meanwhile, and that is not part of the step.
    pub fn settle(&mut self, wall: Timestamp) {
        let (now, shown) = (self.now(), self.wall());
        if let Some(step) = self.steps.iter_mut().find(|step| step.until == Instant::MAX) {
            step.by += wall.as_micros() - shown.as_micros();
            step.until = now;
        }
    }

    /// Records a step that is done at once.
    pub fn step(&mut self, by: i64) {
        let now = self.now();
        self.steps.push(Step { by, from: now, until: now });
        self.trace(format!("step {by}"));
    }

    pub fn next_seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    pub fn trace(&mut self, text: String) {
        let now = self.now();
        self.trace.push(format!("{now} {text}"));
    }

    pub fn wrong(&mut self, text: String) {
        self.trace(format!("WRONG {text}"));
        self.violations.push(text);
    }
}
