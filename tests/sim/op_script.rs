//! Ops for the store alone, drawn from a seed: of every kind, some refused, in bursts that share a commit, some so
//! large that the file grows, and restarts between them.

use std::time::Duration;

use belfry::base::clock::Timestamp;
use belfry::base::ids::{ChannelId, MessageId, RunId, TriggerId, VersionId};
use belfry::model::awaited::{Awaited, MessageHappening, RunHappening, Wait};
use belfry::model::condition::Conditions;
use belfry::model::engagement::Action;
use belfry::model::flow::Flow;
use belfry::model::message::{Attempt, AttemptResult, Content, EmailContent, Message, Status};
use belfry::model::profile::Profile;
use belfry::model::recipient::RecipientRef;
use belfry::model::run::{Outcome, Phase, Run, RunEvent, RunEventKind};
use belfry::model::trigger::{CancelHash, Trigger, TriggerSettings};
use belfry::model::trigger_data::TriggerData;
use belfry::store::op::{
    Accept, AddKey, Advance, BeginAttempt, Cancel, Change, Changes, EndAttempt, Gate, Idempotency, Identify, Mark,
    MarkFeeds, MergeUsers, NewMessage, Next, Op, Place, PublishVersion, Registering, Remove, RemovePortion, StoredKey,
    StoredVersion,
};
use serde_json::json;
use uuid::Uuid;

use crate::rng::Rng;

const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const FEED: [u8; 16] = [9; 16];
/// Ops of one script.
const OPS: usize = 40;

/// What is asked of the store.
pub struct OpScript {
    pub ops: Vec<Op>,
    pub turns: Vec<Turn>,
    /// The triggers that it accepts.
    pub triggers: Vec<TriggerId>,
}

/// Ops that are sent at once.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// The first op after it.
    pub end: usize,
    /// The store is closed and opened again after it.
    pub restart: bool,
}

impl OpScript {
    pub fn of(seed: u64) -> Self {
        let mut author = Author {
            rng: Rng::of(seed, "ops", 0),
            triggers: Vec::new(),
            runs: Vec::new(),
            fresh: Vec::new(),
            items: Vec::new(),
            at: START,
        };
        let mut ops: Vec<Op> = (0..2).map(|_| author.accept()).collect();
        let mut turns = vec![Turn { end: ops.len(), restart: false }];
        while ops.len() < OPS {
            author.runs.append(&mut author.fresh);
            let burst = author.rng.pick(&[1, 1, 2, 5]);
            ops.extend((0..burst).map(|_| author.op()));
            turns.push(Turn { end: ops.len(), restart: author.rng.percent(6) });
        }
        Self { ops, turns, triggers: author.triggers }
    }
}

/// Who writes a script, and what was written about so far.
struct Author {
    rng: Rng,
    triggers: Vec<TriggerId>,
    /// Each run with the revision that it has if nothing was refused.
    runs: Vec<(RunId, u32)>,
    /// Those of this burst: nobody knows of them before they were answered.
    fresh: Vec<(RunId, u32)>,
    /// The messages, and whose they are.
    items: Vec<(MessageId, RunId)>,
    at: Timestamp,
}

impl Author {
    fn op(&mut self) -> Op {
        self.at = self.at.plus(Duration::from_millis(self.rng.range(1, 9)));
        match self.rng.below(20) {
            0..=4 => self.accept(),
            5..=9 => self.advance(),
            10 | 11 => self.cancel(),
            12 | 13 => self.begin_attempt(),
            14 => self.end_attempt(),
            15 => self.mark(),
            16 => self.mark_feed(),
            17 => self.identify(),
            18 => self.remove(),
            _ if self.rng.percent(50) => self.publish_version(),
            _ => self.key(),
        }
    }

    fn id(&mut self) -> [u8; 16] {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.at.as_micros().to_be_bytes());
        id[8..].copy_from_slice(&self.rng.next().to_be_bytes());
        id
    }

    fn user(&mut self) -> RecipientRef {
        RecipientRef::user(format!("u{}", self.rng.below(4)))
    }

    fn run(&mut self) -> (RunId, u32) {
        self.rng.pick(&self.runs)
    }

    fn item(&mut self) -> (MessageId, RunId) {
        let none = (MessageId::from([1; 16]), RunId::from([1; 16]));
        if self.items.is_empty() { none } else { self.rng.pick(&self.items) }
    }

    fn accept(&mut self) -> Op {
        let id = TriggerId::from(self.id());
        let size = self.rng.pick(&[20, 20, 3_000, 150_000]) as usize;
        let trigger = Trigger {
            id,
            workflow: "w".into(),
            version: VersionId::from([1; 16]),
            data: json!({"text": "x".repeat(size)}).as_object().cloned().unwrap_or_default(),
            actor: None,
            tenant: None,
            cancellation_key: Some("key".into()),
            settings: TriggerSettings::default(),
            schedule: None,
            parent: None,
            inserted_at: self.at,
        };
        let count = self.rng.pick(&[1, 3, 40]) as u16;
        let block = Uuid::from_u128(u128::from_be_bytes(self.id()) << 10);
        let runs: Vec<Run> = (0..count)
            .map(|number| Run {
                id: RunId::in_block(block, number),
                trigger: id,
                flow: Flow::default(),
                recipient: self.user(),
                data: None,
                via: None,
                cancel: Some(CancelHash::of("w", "key")),
                revision: 0,
                phase: Phase::Ready { step: 0 },
                begun: None,
            })
            .collect();
        self.triggers.push(id);
        self.fresh.extend(runs.iter().take(3).map(|run| (run.id, 0)));
        let identify = vec![(self.user(), profile(self.rng.below(9)))];
        let key = self.rng.below(3) as u8;
        let idempotency = self.rng.percent(40).then(|| Idempotency {
            key: [key; 32],
            fingerprint: [self.rng.below(2) as u8; 32],
            request_id: format!("r{key}"),
        });
        let accept = Accept { trigger, runs, identify, idempotency, fan_out: None, bytes: size };
        Op::Accept(Box::new(accept.prepare().unwrap()))
    }

    fn advance(&mut self) -> Op {
        let index = self.rng.below(self.runs.len() as u64) as usize;
        let (run, expect) = self.runs[index];
        self.runs[index].1 += u32::from(self.rng.percent(90));
        let gate = self.rng.percent(20).then(|| self.wait());
        let to = if gate.is_some() {
            Next::Phase(Phase::Awaiting { step: 1, due: self.at.plus(Duration::from_secs(5)) })
        } else if self.rng.percent(70) {
            Next::Phase(Phase::Waiting { step: 1, due: self.at.plus(Duration::from_secs(5)) })
        } else {
            Next::End(Outcome::Finished)
        };
        let message = match self.rng.below(4) {
            0 => None,
            1 => Some(NewMessage::Keep(self.message(run))),
            2 => Some(NewMessage::Send(self.message(run), None)),
            _ => Some(NewMessage::Feed(self.message(run), TriggerData::default())),
        };
        let events =
            vec![RunEvent { kind: RunEventKind::MessageEnqueued, step_ref: "s".into(), message: None, at: self.at }];
        Op::Advance(Box::new(Advance {
            run,
            expect,
            to,
            gate,
            changes: Changes::default(),
            message,
            events,
            at: self.at,
        }))
    }

    /// For what other ops of the script may bring about.
    fn wait(&mut self) -> Gate {
        let workflow = "w".to_owned();
        let awaited = match self.rng.below(4) {
            0 => Awaited::RecipientUpdated,
            1 => Awaited::Workflow { event: self.rng.pick(&RunHappening::ALL).1, workflow },
            _ => Awaited::Message { event: self.rng.pick(&MessageHappening::ALL).1, workflow },
        };
        let (conditions, audiences, providers) = (Conditions::default(), Vec::new(), Vec::new());
        let wait = Wait { step_ref: "wait_1".into(), awaited, conditions, audiences, providers };
        Gate::Wait(Box::new(Registering { wait, step: 1, looks_back: self.rng.percent(20) }))
    }

    fn message(&mut self, run: RunId) -> Message {
        let id = MessageId::from(self.id());
        self.items.push((id, run));
        Message {
            id,
            run,
            batch: None,
            trigger: TriggerId::from([1; 16]),
            workflow: "w".into(),
            categories: Vec::new(),
            step_ref: "s".into(),
            channel: ChannelId::from(FEED),
            recipient: self.user(),
            tenant: None,
            content: Content::Email {
                to: "u@x.test".into(),
                email: EmailContent {
                    subject: "s".into(),
                    html: "h".repeat(500),
                    text: String::new(),
                    ..EmailContent::default()
                },
            },
            status: Status::Queued,
            inserted_at: self.at,
            updated_at: self.at,
        }
    }

    fn cancel(&mut self) -> Op {
        let runs = (0..self.rng.range(1, 4)).map(|_| self.run().0).collect();
        let recipients = self.rng.percent(30).then(|| vec![self.user()]);
        Op::Cancel(Cancel {
            key: CancelHash::of("w", "key"),
            runs,
            recipients,
            of: None,
            spreading: Vec::new(),
            at: self.at,
        })
    }

    fn begin_attempt(&mut self) -> Op {
        let (message, run) = self.item();
        Op::BeginAttempt(BeginAttempt { run, message, at: self.at })
    }

    fn end_attempt(&mut self) -> Op {
        let (message, run) = self.item();
        let result = self.rng.pick(&[AttemptResult::Accepted, AttemptResult::Transient, AttemptResult::Permanent]);
        let attempt = Attempt { number: 1, at: self.at, result, reply: "said".into(), notes: Vec::new() };
        let retry_at = (result == AttemptResult::Transient).then(|| self.at.plus(Duration::from_secs(14)));
        Op::EndAttempt(Box::new(EndAttempt { run, message, attempt, retry_at, gone: Vec::new(), captured: None }))
    }

    fn mark(&mut self) -> Op {
        let messages = (0..self.rng.range(1, 4)).map(|_| self.item().0).collect();
        Op::Mark(Mark { messages, action: self.rng.pick(&Action::ALL), data: None, at: self.at })
    }

    fn mark_feed(&mut self) -> Op {
        // Items are inserted at the millisecond of their op.
        let instants = (0..60).map(|back| self.at.minus(Duration::from_millis(back))).collect();
        let change = if self.rng.percent(50) { Change::Delete } else { Change::Take(Action::Read) };
        let items = vec![(self.user(), instants)];
        Op::MarkFeeds(MarkFeeds { channel: ChannelId::from(FEED), items, change, at: self.at })
    }

    fn identify(&mut self) -> Op {
        let people = vec![(self.user(), profile(self.rng.below(9)))];
        Op::Identify(Identify { people, at: self.at, bytes: 0 })
    }

    fn remove(&mut self) -> Op {
        let (recipient, into, at) = (self.user(), self.user(), self.at);
        match self.rng.below(3) {
            0 => Op::Remove(Remove { recipients: vec![recipient], at }),
            1 => Op::MergeUsers(MergeUsers { into, from: recipient, at }),
            _ => Op::RemovePortion(RemovePortion { recipient, from: Place::default() }),
        }
    }

    fn publish_version(&mut self) -> Op {
        let document = json!({"steps": [self.rng.below(9)]});
        let version = VersionId::of(document.to_string().as_bytes());
        Op::PublishVersion(PublishVersion {
            version,
            stored: StoredVersion { key: "w".into(), document, engine: None, library: Default::default() },
        })
    }

    fn key(&mut self) -> Op {
        let hash = [self.rng.below(3) as u8; 32];
        let key = StoredKey { secret: true, last4: "abcd".into(), name: None, created_at: self.at };
        if self.rng.percent(50) { Op::AddKey(AddKey { hash, key }) } else { Op::RemoveKey(hash) }
    }
}

fn profile(number: u64) -> Profile {
    let properties = json!({"name": format!("n{number}"), "nested": {format!("k{number}"): number}});
    Profile { properties: properties.as_object().cloned().unwrap_or_default(), ..Profile::default() }
}
