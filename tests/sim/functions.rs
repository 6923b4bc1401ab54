//! The reference model of function steps: nested triggers, throttles, send windows and fetches.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use belfry::base::clock::Timestamp;
use belfry::base::ids::{RunId, TriggerId};
use belfry::model::message::{Content, Message, Status};
use belfry::model::recipient::RecipientRef;
use belfry::model::run::{EndedRun, Halt, Outcome, Run, RunEventKind};

use crate::cast::{CHILD, DAYTIME, PEOPLE, Who, expected};
use crate::check::{Check, says};
use crate::ledger::Fetch;
use crate::subscribers::DIVISOR;

/// The window of the play that throttles.
const THROTTLED: Duration = Duration::from_secs(60);

/// Whom one window let pass, and whom it held back.
#[derive(Default)]
struct Throttling {
    passed: Vec<RunId>,
    held: Vec<RunId>,
}

impl Check<'_> {
    /// P3: a step triggers once, in the commit that tells of it.
    pub fn nested(&mut self, run: &Run) {
        let made = self.found.ended.iter().filter(|other| {
            let trigger = self.found.triggers.get(&other.run.trigger);
            trigger.and_then(|trigger| trigger.parent).is_some_and(|parent| parent.run == run.id)
        });
        let made: BTreeSet<TriggerId> = made.map(|other| other.run.trigger).collect();
        let events = self.found.events.get(&run.id).map_or(&[][..], Vec::as_slice);
        let told: BTreeSet<TriggerId> = events
            .iter()
            .filter_map(|event| match event.kind {
                RunEventKind::Triggered { trigger, .. } => Some(trigger),
                _ => None,
            })
            .collect();
        self.expect(made == told, || format!("P3 run {} triggered {made:?} and tells of {told:?}", run.id));
    }

    /// What a step triggered is for its run's own recipient, and, where that is an object, for those who subscribe to it;
    /// no cancel ends it.
    pub fn child(&mut self, ended: &EndedRun, parent: RunId) {
        let run = &ended.run;
        let parent = self.found.ended.iter().find(|other| other.run.id == parent);
        let calls = parent.map_or_else(Vec::new, |parent| self.calls_of_run(&parent.run));
        let is_own = parent.is_some_and(|parent| parent.run.recipient == run.recipient) || run.via.is_some();
        let who = (0..PEOPLE).map(Who).find(|who| who.reference() == run.recipient).filter(|_| is_own);
        let (Some(call), Some(who)) = (calls.first(), who) else {
            return self.wrong.push(format!("P3 run {} has no parent that was asked for", run.id));
        };
        let (plan, _) = expected(&CHILD, who, DIVISOR, call.skip_delay);
        let messages: Vec<&Message> = self.found.messages_of(run.id).collect();
        let as_meant = messages.len() == plan.len() && ended.outcome == Outcome::Finished;
        self.expect(as_meant, || format!("P2 child {} ended {:?} with {messages:?}", run.id, ended.outcome));
        for message in messages {
            let said = says(message, &format!("c{} {} r", call.content, message.step_ref));
            self.expect(said, || format!("P14 child {} of c{} says {message:?}", run.id, call.content));
            self.message(message, plan.first(), &calls, who, &ended.outcome);
        }
    }

    /// P11: in each window of a recipient one run passes, the first; those that it held back came within it.
    pub fn throttles(&mut self) {
        let mut windows: BTreeMap<(&RecipientRef, Timestamp), Throttling> = BTreeMap::new();
        for ended in &self.found.ended {
            for event in self.found.events.get(&ended.run.id).into_iter().flatten() {
                let RunEventKind::Throttled { passes, until, .. } = event.kind else { continue };
                let Throttling { passed, held } = windows.entry((&ended.run.recipient, until)).or_default();
                if passes { passed } else { held }.push(ended.run.id);
                let within = event.at < until;
                self.wrong.extend((!within).then(|| format!("P11 run {} came behind its window", ended.run.id)));
                let halted = ended.outcome == Outcome::Halted(Halt::Throttle);
                let fits = if passes { !halted } else { halted };
                self.wrong.extend((!fits).then(|| format!("P11 run {} ended {:?}", ended.run.id, ended.outcome)));
            }
        }
        let untils: Vec<_> = windows.keys().copied().collect();
        for pair in untils.windows(2).filter(|pair| pair[0].0 == pair[1].0 && self.ledger.steps.is_empty()) {
            let apart = pair[1].1.since(pair[0].1);
            self.expect(apart >= THROTTLED, || format!("P11 two windows of {} end {apart:?} apart", pair[0].0));
        }
        for ((who, until), Throttling { passed, held }) in windows {
            self.expect(passed.len() == 1, || {
                format!("P11 the window of {who} until {until} let {passed:?} pass and held back {held:?}")
            });
        }
    }

    /// P8: what is made at night is sent by day, the first time.
    pub fn windows(&mut self) {
        if !self.ledger.steps.is_empty() {
            return;
        }
        let by_day = |at: Timestamp| DAYTIME.contains(&(at.as_millis() / 3_600_000).rem_euclid(24));
        for run in self.found.ended.iter().map(|ended| &ended.run) {
            let events = self.found.events.get(&run.id).map_or(&[][..], Vec::as_slice);
            for held in events.iter().filter(|event| matches!(event.kind, RunEventKind::MessageHeld { .. })) {
                self.expect(!by_day(held.at), || format!("P8 run {} held a message by day, {}", run.id, held.at));
                let message = self.found.messages.iter().find(|message| Some(message.id) == held.message);
                let first = self.ledger.attempts.iter().find(|one| Some(one.message) == held.message);
                let came = match message.map(|message| message.status) {
                    Some(Status::Delivered) => message.map(|message| message.inserted_at),
                    _ => first.map(|one| one.wall),
                };
                self.expect(came.is_none_or(by_day), || format!("P8 run {} was told at night, {came:?}", run.id));
            }
        }
    }

    /// P5 for fetches: an attempt is counted before it is made, and made again after a pause or a crash.
    pub fn fetched(&mut self, run: &Run, content: u64, message: Option<&Message>) {
        let url = format!("https://sim.test/c{content}/{}", run.recipient.id);
        let made: Vec<&Fetch> = self.ledger.fetches.iter().filter(|one| one.url == url).collect();
        self.expect(made.len() <= 3, || format!("P5 run {} asked {} times", run.id, made.len()));
        for pair in made.windows(2) {
            let crashed = self.ledger.crashes.iter().any(|at| (pair[0].at..=pair[1].at).contains(at));
            let pause = pair[1].at - pair[0].at + self.ledger.hastened(pair[0].at, pair[1].at);
            self.expect(crashed || pause >= 30_000_000, || format!("P5 run {} asked again after {pause} µs", run.id));
        }
        let Some(message) = message else { return };
        if says_somewhere(message, &format!("|c{content}")) {
            self.expect(made.iter().any(|one| one.answered), || format!("P12 run {} was answered by nobody", run.id));
        } else {
            let tried = made.len() + self.ledger.crashes.len();
            self.expect(tried >= 3, || format!("P2 run {} gave up after {made:?}", run.id));
        }
    }
}

fn says_somewhere(message: &Message, text: &str) -> bool {
    matches!(&message.content, Content::Email { email, .. } if email.subject.contains(text))
}
