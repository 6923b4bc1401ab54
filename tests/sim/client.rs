//! What clients ask of one process, and what they hear: triggers, cancels, and the developer's hand on the clock.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::Addr;
use belfry::base::clock::{Clock, sleep};
use belfry::base::ids::TriggerId;
use belfry::base::mail::tell;
use belfry::delivery::courier::Courier;
use belfry::engine::publishing::{Found, Reading, publish};
use belfry::engine::trigger::{Intake, TriggerError, Triggered as Accepted};
use belfry::feed::bulk;
use belfry::feed::hub::{FeedMarked, Hub};
use belfry::http::advance::advance;
use belfry::model::engagement::Action as Engage;
use belfry::model::run::Run;
use belfry::model::trigger::{CancelHash, CancelRequest, TriggerRequest};
use belfry::store::op::{Accept, Admission, Change, Idempotency, Mark};
use belfry::store::{Refused, Store, StoreError};
use serde_json::json;
use tokio::sync::Notify;

use crate::audience::Audience;
use crate::cast::{self, Play, Who};
use crate::ledger::{Answer, Call, Cancel, Instant, Marking, Step, Triggered};
use crate::rng::Rng;
use crate::script::{Action, Trigger, When};
use crate::snapshot::Snapshot;
use crate::subscribers::DIVISOR;
use crate::world::{Flaw, World};

/// One process.
pub struct Life {
    pub world: Rc<World>,
    pub intake: Intake,
    pub courier: Addr<Courier>,
    pub hub: Addr<Hub>,
    /// Ends the process.
    pub death: Arc<Notify>,
    pub clock: Clock,
    pub store: Store,
    pub audience: Audience,
}

impl Life {
    pub async fn perform(self: Rc<Self>, action: Action) {
        match action {
            Action::Trigger(trigger) => self.trigger(trigger).await,
            Action::Cancel { workflow, key, recipients } => self.cancel(workflow, key, recipients).await,
            Action::Mark { reader, action, newest } => self.mark(reader, action, newest).await,
            Action::Step(by) => {
                self.world.ledger.open().step(by);
                self.clock.shift(by);
            }
            Action::Reload => self.reload().await,
            Action::Advance(by) => self.advance(by).await,
        }
    }

    async fn reload(&self) {
        let _turn = self.intake.engine.reloading.lock().await;
        let revision = self.world.revision.get() + 1;
        let workflows = Play::all().map(|play| play.files(revision)).collect();
        let catalog = &self.intake.engine.catalog;
        let reading = Reading::of(catalog, Found { workflows, ..Found::default() });
        let Ok(done) = publish(catalog, &self.store, reading).await else { return };
        // Nobody was let in between: what is triggered from now on is of this revision, and all of it.
        self.world.revision.set(revision);
        let mut ledger = self.world.ledger.open();
        ledger.trace(format!("reloaded r{revision}"));
        if !done.faults.is_empty() || done.published.len() != Play::all().count() {
            ledger.wrong(format!("P14 a reload published {done:?}"));
        }
    }

    async fn advance(&self, by: u64) {
        {
            let mut ledger = self.world.ledger.open();
            let from = ledger.now();
            ledger.steps.push(Step { by: by as i64, from, until: Instant::MAX });
            ledger.trace(format!("advance {by}"));
        }
        let deps = &self.intake.engine.deps;
        let done = advance(deps, &self.intake.registry, &self.courier, None, Duration::from_micros(by)).await;
        if done.is_ok() {
            let mut ledger = self.world.ledger.open();
            ledger.settle(self.clock.now());
            ledger.trace("advanced".into());
        }
    }

    async fn trigger(&self, trigger: Trigger) {
        let recipients: Vec<_> = trigger.recipients.iter().map(|(who, divisor)| who.to_json(*divisor)).collect();
        let body = json!({
            "recipients": recipients,
            "actor": trigger.actor.map(|who| who.reference()),
            "data": {"call": format!("c{}", trigger.content), "divisor": DIVISOR},
            "cancellation_key": trigger.key,
            "settings": {"skip_delay": trigger.skip_delay, "sandbox_mode": trigger.sandbox},
        });
        let request = TriggerRequest::from_json(&body).unwrap();
        let text = body.to_string();
        let idempotency = trigger.idempotency.map(|key| Idempotency {
            key: *blake3::hash(&key.to_le_bytes()).as_bytes(),
            fingerprint: *blake3::hash(text.as_bytes()).as_bytes(),
            request_id: "r".into(),
        });
        let index = self.begin_call(&trigger);
        if self.world.flaw == Some(Flaw::AnsweredEarly) && trigger.content.is_multiple_of(4) {
            let id = TriggerId(self.intake.engine.deps.ids.next(self.clock.now()));
            return self.answer_call(index, Triggered::New(id));
        }
        let answer = self.intake.trigger(trigger.workflow, request, idempotency, text.len());
        let answer = match trigger.patience {
            None => answer.await,
            Some(patience) => {
                tokio::select! {
                    biased;
                    answer = answer => answer,
                    () = sleep(patience) => {
                        self.world.ledger.open().trace("the client went away".into());
                        return;
                    }
                }
            }
        };
        match answer {
            Ok(Accepted::New(id)) => self.answer_call(index, Triggered::New(id)),
            Ok(Accepted::Replayed(known)) => self.answer_call(index, Triggered::Replayed(known.trigger)),
            Err(TriggerError::Store(StoreError::Refused(Refused::IdempotencyMismatch))) => {
                self.answer_call(index, Triggered::Mismatch);
                return;
            }
            Err(TriggerError::Store(_)) => return,
            Err(error) => {
                self.world.ledger.open().wrong(format!("a trigger was refused: {error}"));
                return;
            }
        }
        self.aim(&trigger).await;
    }

    fn begin_call(&self, trigger: &Trigger) -> usize {
        let mut ledger = self.world.ledger.open();
        let call = Call {
            content: trigger.content,
            workflow: trigger.workflow,
            recipients: trigger.recipients.clone(),
            reached: self.world.reached(trigger),
            key: trigger.key.clone(),
            idempotency: trigger.idempotency,
            skip_delay: trigger.skip_delay,
            sandbox: trigger.sandbox,
            revision: self.world.revision.get(),
            at: ledger.now(),
            answer: Answer::InDoubt,
        };
        ledger.trace(format!("trigger c{} {}", call.content, call.workflow));
        ledger.calls.push(call);
        ledger.calls.len() - 1
    }

    fn answer_call(&self, index: usize, what: Triggered) {
        let mut ledger = self.world.ledger.open();
        let (at, seq) = (ledger.now(), ledger.next_seq());
        ledger.calls[index].answer = Answer::Given { at, seq, what };
        let content = ledger.calls[index].content;
        ledger.trace(format!("answer c{content} {what:?}"));
    }

    /// Puts the trigger's own cancels onto the agenda.
    async fn aim(&self, trigger: &Trigger) {
        let Some(key) = &trigger.key else { return };
        for aim in &trigger.aims {
            let action =
                Action::Cancel { workflow: trigger.workflow, key: key.clone(), recipients: aim.recipients.clone() };
            let at = match aim.when {
                When::After(0) => {
                    self.perform_now(action).await;
                    continue;
                }
                When::After(pause) => Some(self.world.ledger.open().now() + pause),
                When::Due(offset) => self.first_due(trigger).await.map(|due| due.saturating_add_signed(offset)),
            };
            if let Some(at) = at {
                self.world.later(at, action);
            }
        }
    }

    async fn perform_now(&self, action: Action) {
        if let Action::Cancel { workflow, key, recipients } = action {
            self.cancel(workflow, key, recipients).await;
        }
    }

    /// When a run of the trigger's key is due, as soon as one waits.
    async fn first_due(&self, trigger: &Trigger) -> Option<Instant> {
        let hash = CancelHash::of(trigger.workflow, trigger.key.as_ref()?);
        for _ in 0..20 {
            let mut due = None;
            self.store
                .read()
                .ok()?
                .each_run(|run| {
                    if run.cancel == Some(hash) {
                        due = run.phase.due().or(due);
                    }
                })
                .ok()?;
            if let Some(due) = due {
                let ledger = self.world.ledger.open();
                return Some(ledger.now() + due.since(ledger.wall()).as_micros() as u64);
            }
            sleep(Duration::from_millis(11)).await;
        }
        None
    }

    async fn mark(&self, reader: Who, action: Engage, newest: Option<usize>) {
        let user = reader.reference();
        let Ok(found) = Snapshot::read(&self.store) else { return };
        let feed = found.feeds.into_iter().find(|feed| feed.of == user);
        let entries = feed.map(|feed| feed.entries).unwrap_or_default();
        let messages: Vec<_> = entries.iter().map(|entry| entry.message).take(newest.unwrap_or(usize::MAX)).collect();
        if messages.is_empty() {
            return;
        }
        let index = {
            let mut ledger = self.world.ledger.open();
            let (at, seq) = (ledger.now(), ledger.next_seq());
            ledger.trace(format!("mark {user} {action:?} {messages:?}"));
            let (messages, bulk) = (messages.clone(), newest.is_none());
            ledger.marks.push(Marking { messages, action, bulk, at, seq, answer: Answer::InDoubt });
            ledger.marks.len() - 1
        };
        let (channel, at) = (cast::feed(), self.clock.now());
        let written = match newest {
            _ if self.world.flaw == Some(Flaw::MarkForgotten) => Ok(()),
            Some(_) => self.store.mark(Mark { messages, action, data: None, at }).await.map(drop),
            None => {
                let items = entries.iter().map(|entry| entry.inserted_at).collect();
                bulk::change(&self.store, channel, vec![(user.clone(), items)], Change::Take(action), at)
                    .await
                    .map(drop)
            }
        };
        if written.is_err() {
            return;
        }
        let mut ledger = self.world.ledger.open();
        let (at, seq) = (ledger.now(), ledger.next_seq());
        ledger.marks[index].answer = Answer::Given { at, seq, what: () };
        ledger.trace(if newest.is_some() { "marked".into() } else { "marked in bulk".into() });
        if self.world.flaw != Some(Flaw::DeafHub) {
            tell(&self.hub, FeedMarked { user, channel });
        }
    }

    fn pending(&self) -> Vec<Run> {
        let mut pending = Vec::new();
        // A process that is ending has none.
        let _ = self.store.read().and_then(|reader| reader.each_run(|run| pending.push(run)));
        pending
    }

    /// Puts a run back that a cancel has ended.
    async fn revive(&self, run: Run) {
        let Ok(Some(trigger)) = self.store.read().and_then(|reader| reader.trigger(run.trigger)) else { return };
        let work = self.intake.engine.deps.work.begin();
        let admission = Admission {
            runs: vec![run.id],
            due: run.phase.due(),
            cancel: run.cancel,
            flow: run.flow,
            fan_out: None,
            work,
        };
        let accept =
            Accept { trigger, runs: vec![run], identify: Vec::new(), idempotency: None, fan_out: None, bytes: 0 };
        drop(self.store.accept(accept, admission).await);
    }

    async fn cancel(&self, workflow: &'static str, key: String, recipients: Option<Vec<Who>>) {
        let recipients = recipients.map(|all| all.into_iter().map(Who::reference).collect::<Vec<_>>());
        let (index, seq) = {
            let mut ledger = self.world.ledger.open();
            let cancel = Cancel {
                workflow,
                key: key.clone(),
                recipients: recipients.clone(),
                at: ledger.now(),
                answer: Answer::InDoubt,
                lost_at: None,
                frozen: Vec::new(),
            };
            ledger.trace(format!("cancel {workflow} {key} {recipients:?}"));
            ledger.cancels.push(cancel);
            (ledger.cancels.len() - 1, ledger.next_seq())
        };
        if self.store.read().and_then(|reader| reader.fan_outs()).is_ok_and(|spreading| !spreading.is_empty()) {
            self.world.ledger.open().trace("cancel while it spreads".into());
        }
        let request = CancelRequest { cancellation_key: key, recipients };
        let before = self.pending();
        let answer = match self.world.flaw {
            Some(Flaw::CancelForgotten) => Ok(Vec::new()),
            _ => self.intake.cancel(workflow, request.clone()).await,
        };
        let Ok(cancelled) = answer else { return };
        let Ok(found) = Snapshot::read(&self.store) else { return };
        let cancelled: Vec<_> = cancelled.into_iter().map(|one| (one.run, one.in_flight)).collect();
        {
            let mut ledger = self.world.ledger.open();
            let (at, answered) = (ledger.now(), ledger.next_seq());
            let in_flight = if cancelled.iter().any(|(_, in_flight)| *in_flight > 0) { " in flight" } else { "" };
            ledger.trace(format!("cancelled {cancelled:?}{in_flight}"));
            ledger.cancels[index].answer = Answer::Given { at, seq: answered, what: cancelled.clone() };
            let (frozen, wrong) = crate::check::at_cancel(&ledger, &ledger.cancels[index], seq, &found);
            ledger.cancels[index].frozen = frozen;
            wrong.into_iter().for_each(|wrong| ledger.wrong(wrong));
            // The hardest instant for a cancel: its run's attempt is on the wire, and nobody will hear the reply.
            if !in_flight.is_empty() && Rng::of(self.world.seed, "spite", seq).percent(50) {
                ledger.trace("spite".into());
                self.death.notify_one();
            }
        }
        if self.world.flaw == Some(Flaw::CancelIgnored) {
            let taken = before.into_iter().filter(|run| cancelled.iter().any(|(id, _)| *id == run.id));
            for run in taken {
                self.revive(run).await;
            }
        }
        if self.world.flaw == Some(Flaw::CancelLingers) {
            sleep(Duration::from_secs(20)).await;
            drop(self.intake.cancel(workflow, request).await);
        }
    }
}
