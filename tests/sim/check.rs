//! The reference model: what a world may have come to, given what the outside saw. Names of promises are those of the
//! design.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use belfry::base::clock::Timestamp;
use belfry::base::ids::{MessageId, RunId, TriggerId};
use belfry::model::engagement::Action;
use belfry::model::feed::FeedEntry;
use belfry::model::message::{Block, Content, Message, Status};
use belfry::model::recipient::RecipientRef;
use belfry::model::run::{EndedRun, Halt, Outcome, Run, RunEventKind};
use belfry::model::trigger::Trigger;

use crate::cast::{Expected, Part, Play, Who, expected};
use crate::ledger::{Answer, Attempt, Call, Cancel, Fate, Instant, Marking, Record, Triggered};
use crate::script::Script;
use crate::snapshot::Snapshot;

/// The shortest pause before a retry is 0.8 times 14 s.
const SHORTEST_RETRY: u64 = 11_200_000;
const MAX_ATTEMPTS: usize = 8;

/// How late a step may begin, after it was due and a process was there.
const LATEST: Duration = Duration::from_secs(10);

/// What each run of the key had made when the cancel was answered, and what is wrong with that. `seq` is when the
/// cancel was asked for.
pub fn at_cancel(
    ledger: &Record,
    cancel: &Cancel,
    seq: u64,
    found: &Snapshot,
) -> (Vec<(RunId, Vec<MessageId>)>, Vec<String>) {
    let accepted: BTreeSet<TriggerId> = ledger
        .calls
        .iter()
        .filter_map(|call| match call.answer {
            Answer::Given { seq: given, what: Triggered::New(id) | Triggered::Replayed(id), .. } if given < seq => {
                Some(id)
            }
            _ => None,
        })
        .collect();
    let is_meant = |run: &Run| {
        let trigger = found.triggers.get(&run.trigger);
        trigger
            .is_some_and(|trigger| cancel.names(&trigger.workflow, trigger.cancellation_key.as_deref(), &run.recipient))
    };
    let wrong = found
        .pending
        .iter()
        .filter(|run| is_meant(run) && accepted.contains(&run.trigger))
        .map(|run| format!("P7 run {} goes on after its cancel was answered", run.id));
    let ended = found.ended.iter().map(|ended| &ended.run).filter(|run| is_meant(run));
    let frozen = ended.map(|run| (run.id, found.messages_of(run.id).map(|message| message.id).collect()));
    (frozen.collect(), wrong.collect())
}

/// Everything that is wrong with a world that has become quiet.
pub fn check(ledger: &Record, found: &Snapshot, script: &Script) -> Vec<String> {
    let mut check = Check { ledger, found, script, wrong: Vec::new() };
    check.requests();
    check.runs();
    check.throttles();
    check.windows();
    check.attempts();
    check.cancels();
    check.feeds();
    check.wrong
}

pub struct Check<'a> {
    pub ledger: &'a Record,
    pub found: &'a Snapshot,
    script: &'a Script,
    pub wrong: Vec<String>,
}

impl<'a> Check<'a> {
    pub fn expect(&mut self, holds: bool, wrong: impl FnOnce() -> String) {
        if !holds {
            self.wrong.push(wrong());
        }
    }

    /// The requests that had the same content: one, or one and its repetitions.
    fn calls_of(&self, content: u64) -> impl Iterator<Item = &'a Call> + use<'a> {
        self.ledger.calls.iter().filter(move |call| call.content == content)
    }

    fn triggers_of(&self, content: u64) -> Vec<&'a Trigger> {
        let text = format!("c{content}");
        self.found.triggers.values().filter(|trigger| trigger.data.get("call") == Some(&text.clone().into())).collect()
    }

    pub fn calls_of_run(&self, run: &Run) -> Vec<&'a Call> {
        let content = self.found.triggers.get(&run.trigger).and_then(|trigger| trigger.data.get("call")?.as_str());
        let content = content.and_then(|text| text.strip_prefix('c')?.parse().ok()).unwrap_or(u64::MAX);
        self.calls_of(content).collect()
    }

    /// P1, P2, P3, P10: what was accepted is there, once, and as a whole.
    fn requests(&mut self) {
        let contents: BTreeSet<u64> = self.ledger.calls.iter().map(|call| call.content).collect();
        for content in contents {
            let triggers = self.triggers_of(content);
            self.expect(triggers.len() <= 1, || format!("P10 c{content} was accepted {} times", triggers.len()));
            for call in self.calls_of(content) {
                let Answer::Given { what, .. } = call.answer else { continue };
                match what {
                    Triggered::New(id) | Triggered::Replayed(id) => {
                        let kept = triggers.iter().any(|trigger| trigger.id == id);
                        self.expect(kept, || format!("P1 c{content} was answered {id} and is lost"));
                    }
                    Triggered::Mismatch => {
                        let other = self.ledger.calls.iter().any(|other| {
                            other.idempotency == call.idempotency
                                && other.content != content
                                && !self.triggers_of(other.content).is_empty()
                        });
                        self.expect(other, || format!("P10 c{content} was refused for a request that is not there"));
                    }
                }
            }
            for trigger in triggers {
                self.whole(content, trigger);
            }
        }
        let keys: BTreeSet<u64> = self.ledger.calls.iter().filter_map(|call| call.idempotency).collect();
        for key in keys {
            let users = self.ledger.calls.iter().filter(|call| call.idempotency == Some(key));
            let contents: BTreeSet<u64> = users.map(|call| call.content).collect();
            let accepted = contents.iter().filter(|content| !self.triggers_of(**content).is_empty()).count();
            self.expect(accepted <= 1, || format!("P10 the idempotency key {key} was used by {accepted} requests"));
        }
    }

    /// Everybody has one run: who is named, and who is reached by subscriptions, unless a cancel came first.
    fn whole(&mut self, content: u64, trigger: &Trigger) {
        let calls: Vec<&Call> = self.calls_of(content).collect();
        let Some(call) = calls.first() else { return };
        let runs = self.found.ended.iter().filter(|ended| ended.run.trigger == trigger.id);
        let mut to: Vec<RecipientRef> = runs.map(|ended| ended.run.recipient.clone()).collect();
        let named = call.recipients.iter().map(|(who, _)| who.reference());
        let reached = call.reached.iter().map(|who| who.reference());
        let spared = |who: &RecipientRef| {
            !to.contains(who) && self.ledger.cancels.iter().any(|cancel| could_touch(cancel, &calls, who))
        };
        let mut meant: Vec<RecipientRef> = named.chain(reached.filter(|who| !spared(who))).collect();
        to.sort();
        meant.sort();
        self.expect(to == meant, || format!("P3 c{content} is for {meant:?} and ran for {to:?}"));
    }

    fn runs(&mut self) {
        for ended in &self.found.ended {
            match self.found.triggers.get(&ended.run.trigger).and_then(|trigger| trigger.parent) {
                Some(parent) => self.child(ended, parent.run),
                None => self.run(ended),
            }
            self.nested(&ended.run);
            self.times(ended);
        }
    }

    /// Each run did what it should, up to where a cancel that could touch it did.
    fn run(&mut self, ended: &'a EndedRun) {
        let run = &ended.run;
        let calls = self.calls_of_run(run);
        let Some(call) = calls.first() else {
            return self.wrong.push(format!("P3 run {} was never asked for", run.id));
        };
        let Some((who, divisor)) = call.part_of(&run.recipient) else { return };
        let (plan, failure) = expected(&Play::of(call.workflow), who, divisor, call.skip_delay);
        let mut messages: Vec<&Message> = self.found.messages_of(run.id).collect();
        // By step, since ids follow a wall clock that may be set back.
        messages.sort_by_key(|message| plan.iter().position(|one| one.step == message.step_ref));
        let made: Vec<&str> = messages.iter().map(|message| message.step_ref.as_str()).collect();
        let meant: Vec<&str> = plan.iter().map(|one| one.step).collect();
        if Play::of(call.workflow).batches() {
            let is_told = self.batched(ended, &messages);
            let meant = if is_told { meant } else { Vec::new() };
            self.expect(meant == made, || format!("P11 run {} made {made:?} instead of {meant:?}", run.id));
            for message in messages {
                let one = plan.iter().find(|one| one.step == message.step_ref);
                self.message(message, one, &calls, who, &ended.outcome);
            }
            return;
        }
        let before = Play::of(call.workflow).before_wait();
        if before.is_some() {
            self.wrong.extend(crate::wait::wrong(self.ledger, self.found, ended));
        }
        if Play::of(call.workflow).has(|part| *part == Part::Fetch) {
            let told = messages.iter().copied().find(|message| message.step_ref == "email_1");
            self.fetched(run, call.content, told);
        }
        match &ended.outcome {
            Outcome::Halted(Halt::WaitExpired) if before.is_some() => {
                let meant: Vec<_> =
                    meant.iter().filter(|step| before.iter().flatten().any(|one| one == *step)).collect();
                let same = made.iter().eq(meant.iter().copied());
                self.expect(same, || format!("P2 run {} made {made:?} before its wait instead of {meant:?}", run.id));
            }
            // What it says of that is looked at where all throttles are.
            Outcome::Halted(Halt::Throttle) => {
                self.expect(made.is_empty(), || format!("P11 run {} was held back and made {made:?}", run.id));
            }
            Outcome::Cancelled => {
                self.expect(meant.starts_with(&made), || format!("P7 run {} made {made:?} of {meant:?}", run.id));
                let touched = self.ledger.cancels.iter().any(|cancel| could_touch(cancel, &calls, &run.recipient));
                self.expect(touched, || format!("P7 run {} was cancelled by nobody who could", run.id));
            }
            outcome => {
                self.expect(meant == made, || format!("P2 run {} made {made:?} instead of {meant:?}", run.id));
                let ok = match (outcome, failure) {
                    (Outcome::Finished, None) => true,
                    (Outcome::Failed(why), Some(text)) => why.contains(text),
                    _ => false,
                };
                self.expect(ok, || format!("P12 run {} ended {outcome:?}, not {failure:?}", run.id));
            }
        }
        if ended.outcome == Outcome::Finished {
            self.told(run, call, messages.len());
        }
        let revisions: BTreeSet<u64> = calls.iter().map(|call| call.revision).collect();
        let follows = |revision: &u64| {
            messages.iter().all(|message| says(message, &format!("c{} {} r{revision}", call.content, message.step_ref)))
        };
        self.expect(revisions.iter().any(follows), || format!("P14 run {} mixes contents: {messages:?}", run.id));
        for message in messages {
            let one = plan.iter().find(|one| one.step == message.step_ref);
            self.message(message, one, &calls, who, &ended.outcome);
        }
    }

    /// P11: a run goes on for those that joined it, and for no others; or it is one of those. Answers whether it goes on.
    fn batched(&mut self, ended: &EndedRun, messages: &[&Message]) -> bool {
        let id = ended.run.id;
        match ended.outcome {
            Outcome::Finished => {
                let joined = self.found.ended.iter().filter(|other| other.outcome == Outcome::Batched(id)).count();
                let told = messages.iter().all(|message| says(message, &format!("{} told", joined + 1)));
                self.expect(told, || format!("P11 run {id} went on for {joined} others and says {messages:?}"));
                true
            }
            Outcome::Batched(into) => {
                let goes_on = self.found.ended.iter().find(|other| other.run.id == into);
                let for_it = goes_on.is_some_and(|other| {
                    other.outcome == Outcome::Finished && other.run.recipient == ended.run.recipient
                });
                self.expect(for_it, || format!("P11 run {id} was batched into {into}, which is {goes_on:?}"));
                false
            }
            _ => {
                self.wrong.push(format!("P12 run {id} ended {:?}", ended.outcome));
                false
            }
        }
    }

    /// The stored trace of a run that went to its end tells each delay and each message.
    fn told(&mut self, run: &Run, call: &Call, messages: usize) {
        let events = self.found.events.get(&run.id).map_or(&[][..], Vec::as_slice);
        let count = |is: fn(&RunEventKind) -> bool| events.iter().filter(|event| is(&event.kind)).count();
        let told = (
            count(|kind| matches!(kind, RunEventKind::DelayStarted(_))),
            count(|kind| *kind == RunEventKind::MessageEnqueued),
        );
        let delays = Play::of(call.workflow).parts.iter().filter(|part| matches!(part, Part::Delay(_))).count();
        let happened = (if call.skip_delay { 0 } else { delays }, messages);
        self.expect(told == happened, || {
            format!("P9 run {} tells (delays, messages) {told:?} of {happened:?}", run.id)
        });
    }

    pub fn message(
        &mut self,
        message: &Message,
        plan: Option<&Expected>,
        calls: &[&Call],
        who: Who,
        outcome: &Outcome,
    ) {
        let Some(plan) = plan else {
            return self.wrong.push(format!("P12 {message:?} should not be"));
        };
        let id = message.id;
        let sends: Vec<&Attempt> = self.ledger.attempts.iter().filter(|one| one.message == id).collect();
        let sandbox = calls.iter().any(|call| call.sandbox);
        let last = sends.last().and_then(|one| one.fate);
        let ok = match (message.status, plan.in_app) {
            (Status::NotSent, _) if sandbox => sends.is_empty(),
            (Status::Delivered, true) => true,
            (Status::Sent, false) => last == Some(Fate::Accepted),
            (Status::Undelivered, false) => last == Some(Fate::Permanent) || sends.len() >= MAX_ATTEMPTS,
            (Status::NotSent, _) => *outcome == Outcome::Cancelled,
            _ => false,
        };
        self.expect(ok, || format!("P2 message {id} is {:?} after {:?}", message.status, fates(&sends)));
        let to = format!("{}@x.test", who.reference().id);
        self.expect(sends.iter().all(|one| one.to == to), || format!("P12 message {id} went to others than {to}"));
        // P8, by the outside's own clock: no earlier than its delays after the request.
        let asked = calls.iter().map(|call| call.at).min().unwrap_or(0);
        for one in sends {
            let passed = one.at - asked + self.ledger.hastened(asked, one.at);
            self.expect(passed >= micros(plan.after), || {
                format!("P8 message {id} was sent {passed} µs after the request")
            });
        }
    }

    /// P8 by the stored trace: nothing before its due time, and not long after it or after the start that followed it.
    fn times(&mut self, ended: &EndedRun) {
        let mut due = Timestamp::default();
        for event in self.found.events.get(&ended.run.id).into_iter().flatten() {
            if event.kind == RunEventKind::Cancelled {
                continue;
            }
            if let RunEventKind::WaitMatched { .. } = event.kind {
                // Its own time is the reader's; the run goes on then, unless the clock was set back since.
                due = self.ledger.shown(0).map_or(Timestamp::default(), |_| event.at);
                continue;
            }
            self.expect(event.at >= due, || format!("P8 run {} did {event:?} before {due}", ended.run.id));
            let first = due == Timestamp::default();
            let latest = self.ledger.latest(due, LATEST).filter(|latest| !first && event.at > *latest);
            self.expect(latest.is_none(), || {
                format!("P8 run {} did {event:?}, due at {due}, after {latest:?}", ended.run.id)
            });
            due = match event.kind {
                RunEventKind::DelayStarted(until)
                | RunEventKind::BatchOpened { until, .. }
                | RunEventKind::WaitRegistered { until, .. } => until,
                RunEventKind::FetchFailed { retry_at, .. } => retry_at,
                _ => Timestamp::default(),
            };
        }
    }

    /// P4, P5: the same content each time, and a repetition only after a crash or a refusal.
    fn attempts(&mut self) {
        let mut by_message: BTreeMap<MessageId, Vec<&Attempt>> = BTreeMap::new();
        for one in &self.ledger.attempts {
            by_message.entry(one.message).or_default().push(one);
        }
        let mut repeated = 0;
        for (id, sends) in by_message {
            let stored = self.found.messages.iter().any(|message| message.id == id);
            self.expect(stored, || format!("P3 message {id} was sent and is not stored"));
            let same = sends.iter().all(|one| one.digest == sends[0].digest);
            self.expect(same, || format!("P4 message {id} was sent with different contents"));
            for pair in sends.windows(2) {
                let (before, again) = (pair[0], pair[1]);
                let crashed = self.ledger.crashes.iter().any(|at| (before.at..=again.at).contains(at));
                let pause = again.at - before.at + self.ledger.hastened(before.at, again.at);
                let retried = matches!(before.fate, Some(Fate::Transient | Fate::Panicked)) && pause >= SHORTEST_RETRY;
                self.expect(crashed || retried, || format!("P5 message {id} was sent again: {before:?} {again:?}"));
                repeated += usize::from(before.fate == Some(Fate::Accepted));
            }
        }
        let bound = self.script.concurrency * self.ledger.crashes.len();
        self.expect(repeated <= bound, || format!("P5 {repeated} messages were repeated, at most {bound} may be"));
        let pairs: Vec<_> = self.found.messages.iter().map(|message| (message.run, &message.step_ref)).collect();
        let unique: BTreeSet<_> = pairs.iter().collect();
        self.expect(unique.len() == pairs.len(), || "P4 a step made two messages".into());
    }

    /// P7: after an answered cancel nothing begins.
    fn cancels(&mut self) {
        for cancel in &self.ledger.cancels {
            let Answer::Given { at, seq, what } = &cancel.answer else { continue };
            for (run, before) in &cancel.frozen {
                let now: Vec<_> = self.found.messages_of(*run).map(|message| message.id).collect();
                self.expect(now == *before, || format!("P7 run {run} made messages after its cancel was answered"));
            }
            for (run, in_flight) in what {
                let ended = self.found.ended.iter().find(|ended| ended.run.id == *run);
                let held = ended.is_some_and(|ended| ended.outcome == Outcome::Cancelled);
                self.expect(held, || format!("P1 run {run} was answered as cancelled and ended {ended:?}"));
                let named = ended.is_some_and(|ended| self.is_meant(cancel, &ended.run));
                self.expect(named, || format!("P7 the cancel of {} took run {run}", cancel.key));
                let ids: BTreeSet<_> = self.found.messages_of(*run).map(|message| message.id).collect();
                let later: Vec<_> =
                    self.ledger.attempts.iter().filter(|one| one.seq > *seq && ids.contains(&one.message)).collect();
                // An attempt that was claimed in the same commit is handed over at the same instant.
                let claimed = later.len() <= *in_flight as usize && later.iter().all(|one| one.at == *at);
                self.expect(claimed, || format!("P7 run {run} sent after its cancel was answered at {at}: {later:?}"));
            }
            self.prevented(cancel, *at);
        }
    }

    fn is_meant(&self, cancel: &Cancel, run: &Run) -> bool {
        let trigger = self.found.triggers.get(&run.trigger);
        trigger
            .is_some_and(|trigger| cancel.names(&trigger.workflow, trigger.cancellation_key.as_deref(), &run.recipient))
    }

    /// P7 by the outside's own clock: what could not be due yet when the cancel was answered never comes.
    fn prevented(&mut self, cancel: &Cancel, answered: Instant) {
        for ended in &self.found.ended {
            let calls = self.calls_of_run(&ended.run);
            let accepted = calls.iter().any(|call| matches!(call.answer, Answer::Given { at, .. } if at < cancel.at));
            let (Some(call), true, true) = (calls.first(), accepted, self.is_meant(cancel, &ended.run)) else {
                continue;
            };
            let asked = calls.iter().map(|call| call.at).min().unwrap_or(0);
            let passed = Duration::from_micros(answered - asked + self.ledger.hastened(asked, answered));
            let run = ended.run.id;
            let existed = cancel.frozen.iter().any(|(frozen, _)| *frozen == run);
            self.expect(existed, || format!("P7 run {run} was made after its cancel was answered"));
            let Some((who, divisor)) = call.part_of(&ended.run.recipient) else { continue };
            let (plan, _) = expected(&Play::of(call.workflow), who, divisor, call.skip_delay);
            for one in plan.iter().filter(|one| one.after > passed) {
                let made = self.found.messages_of(ended.run.id).any(|message| message.step_ref == one.step);
                self.expect(!made, || format!("P7 run {run} made {} although its cancel came first", one.step));
            }
        }
    }

    /// P6: each item once, in the order of its commits, and the counts are right.
    /// P1: what was answered of an item's marks is there, and nobody else marked it.
    fn engagement(&mut self, entry: &FeedEntry) {
        let done = &entry.engagement;
        for (which, found) in [done.seen_at, done.read_at, done.archived_at].into_iter().enumerate() {
            let about: Vec<_> = self
                .ledger
                .marks
                .iter()
                .filter(|mark| mark.messages.contains(&entry.message) && stamp(mark.action).0 == which)
                .collect();
            let Some((last, earlier)) = about.split_last() else {
                self.expect(found.is_none(), || format!("P1 {} was marked by nobody: {done:?}", entry.message));
                continue;
            };
            let answered_before =
                |seq: u64, mark: &&Marking| matches!(mark.answer, Answer::Given { seq: given, .. } if given < seq);
            let certain = answered_before(u64::MAX, last) && earlier.iter().all(|mark| answered_before(last.seq, mark));
            self.expect(!certain || found.is_some() == stamp(last.action).1, || {
                format!("P1 {} was marked {:?}, and is {done:?}", entry.message, last.action)
            });
        }
    }

    fn feeds(&mut self) {
        for feed in &self.found.feeds {
            let millis: Vec<i64> = feed.entries.iter().map(|entry| entry.inserted_at.as_millis()).collect();
            let ordered = millis.windows(2).all(|pair| pair[0] > pair[1]);
            self.expect(ordered, || format!("P6 the feed of {} is not in order: {millis:?}", feed.of));
            let shown: Vec<_> =
                feed.entries.iter().map(|entry| entry.engagement).filter(|done| done.archived_at.is_none()).collect();
            let unread = shown.iter().filter(|done| done.read_at.is_none()).count();
            let unseen = shown.iter().filter(|done| done.seen_at.is_none()).count();
            let counted = [shown.len(), unread, unseen].map(|count| count as u64);
            let counts = [feed.counts.shown.total, feed.counts.shown.unread, feed.counts.shown.unseen];
            self.expect(counts == counted, || {
                format!("P6 the feed of {} has {counted:?} items and counts {counts:?}", feed.of)
            });
            feed.entries.iter().for_each(|entry| self.engagement(entry));
            let mut listed: Vec<MessageId> = feed.entries.iter().map(|entry| entry.message).collect();
            let mut made: Vec<MessageId> = self
                .found
                .messages
                .iter()
                .filter(|message| message.recipient == feed.of && message.status == Status::Delivered)
                .map(|message| message.id)
                .collect();
            listed.sort();
            made.sort();
            self.expect(listed == made, || format!("P6 the feed of {} lists {listed:?} instead of {made:?}", feed.of));
        }
    }
}

/// The stamp that an action is about, and whether it sets it.
fn stamp(action: Action) -> (usize, bool) {
    match action {
        Action::Seen => (0, true),
        Action::Unseen => (0, false),
        Action::Read => (1, true),
        Action::Unread => (1, false),
        Action::Archived => (2, true),
        Action::Unarchived => (2, false),
        Action::Interacted | Action::LinkClicked | Action::Uninteracted => unreachable!("no script interacts"),
    }
}

/// Whether a cancel may have ended a run of these calls: it names it, and was not over before the first of them.
fn could_touch(cancel: &Cancel, calls: &[&Call], to: &RecipientRef) -> bool {
    let over = match cancel.answer {
        Answer::Given { at, .. } => at,
        Answer::InDoubt => cancel.lost_at.unwrap_or(Instant::MAX),
    };
    calls.iter().any(|call| cancel.names(call.workflow, call.key.as_deref(), to) && call.at <= over)
}

pub fn says(message: &Message, text: &str) -> bool {
    match &message.content {
        Content::Email { email, .. } => email.subject.starts_with(text),
        Content::InApp { blocks } => blocks.iter().any(|block| match block {
            Block::Markdown { rendered, .. } => rendered.contains(text),
            _ => false,
        }),
    }
}

fn fates(sends: &[&Attempt]) -> Vec<Option<Fate>> {
    sends.iter().map(|one| one.fate).collect()
}

fn micros(span: Duration) -> u64 {
    span.as_micros() as u64
}
