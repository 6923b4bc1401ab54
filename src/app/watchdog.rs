//! Looks for what is late: a due run that nobody has taken, a message that no lane takes. It tells the log once, and the
//! metrics each time.

use std::collections::BTreeSet;
use std::time::Duration;

use actix::Addr;

use crate::base::clock::Timestamp;
use crate::base::ids::{MessageId, RunId};
use crate::base::mail::{Gone, call};
use crate::delivery::courier::{Courier, LookAtLanes, Standing};
use crate::engine::pending;
use crate::engine::places::SHARE;
use crate::engine::registry::{Backlog, LookAtBacklog};
use crate::engine::trigger::Intake;
use crate::store::StoreError;

/// The pause between two looks; a shorter limit is looked after as often as it is long.
const PAUSE: Duration = Duration::from_secs(2);

/// The watchdog.
pub struct Watchdog {
    intake: Intake,
    courier: Addr<Courier>,
    /// How late something may be.
    limit: Duration,
    /// What became due while no server ran is late only by the time since then.
    since: Timestamp,
    runs: BTreeSet<RunId>,
    messages: BTreeSet<MessageId>,
}

impl Watchdog {
    /// One that warns of what is late by more than `limit`.
    pub fn new(intake: &Intake, courier: Addr<Courier>, limit: Duration) -> Self {
        let since = intake.engine.deps.clock.now();
        Self { intake: intake.clone(), courier, limit, since, runs: BTreeSet::new(), messages: BTreeSet::new() }
    }

    /// Looks again and again, until the server ends.
    pub async fn watch(mut self) {
        loop {
            let clock = &self.intake.engine.deps.clock;
            clock.pause(clock.now(), self.limit.min(PAUSE)).await;
            // An actor that does not answer within the limit is itself late.
            match tokio::time::timeout(self.limit.max(PAUSE), self.look()).await {
                Ok(Ok(())) => {}
                Ok(Err(Late::Gone(_))) => return,
                Ok(Err(Late::Store(error))) => {
                    self.intake.engine.store.report(&error);
                    tracing::error!(%error, "what is overdue cannot be read");
                }
                Err(_) => tracing::warn!("the registry or the courier is too busy to say what is overdue"),
            }
        }
    }

    async fn look(&mut self) -> Result<(), Late> {
        let now = self.intake.engine.deps.clock.now();
        let by = now.minus(self.limit);
        let backlog = call(&self.intake.registry, LookAtBacklog { by }).await?;
        let lanes = call(&self.courier, LookAtLanes { by }).await?;
        self.measure(now, &backlog, &lanes)?;
        if by >= self.since {
            self.warn_of_runs(&backlog)?;
            self.warn_of_messages(&lanes)?;
        }
        Ok(())
    }

    fn measure(&self, now: Timestamp, backlog: &Backlog, lanes: &[Standing]) -> Result<(), StoreError> {
        let engine = &self.intake.engine;
        let age = |since: Option<Timestamp>| since.map_or(0.0, |since| now.since(since).as_secs_f64());
        metrics::gauge!("belfry_runs_overdue").set(backlog.overdue as f64);
        metrics::gauge!("belfry_runs_oldest_overdue_seconds").set(age(backlog.oldest.first().map(|(_, due)| *due)));
        let reader = engine.store.read()?;
        let oldest = reader.oldest_run()?.map(|id| id.made_at());
        metrics::gauge!("belfry_runs_oldest_pending_seconds").set(age(oldest));
        metrics::gauge!("belfry_outbox_messages").set(reader.outbox_len()? as f64);
        for lane in lanes {
            let channel = engine.channels.iter().find(|channel| channel.id == lane.channel);
            let channel = channel.map_or_else(|| lane.channel.to_string(), |channel| channel.key.clone());
            metrics::gauge!("belfry_mail_queued", "channel" => channel.clone()).set(lane.queued as f64);
            metrics::gauge!("belfry_mail_in_flight", "channel" => channel.clone()).set(lane.in_flight as f64);
            metrics::gauge!("belfry_mail_overdue", "channel" => channel.clone()).set(lane.overdue as f64);
            metrics::gauge!("belfry_mail_oldest_due_seconds", "channel" => channel).set(age(lane.first));
        }
        Ok(())
    }

    /// A run is named once for as long as it stays overdue.
    fn warn_of_runs(&mut self, backlog: &Backlog) -> Result<(), StoreError> {
        let engine = &self.intake.engine;
        for (id, due) in backlog.oldest.iter().filter(|(id, _)| !self.runs.contains(id)) {
            // It may have been taken since the look.
            let Some(pending) = pending::describe(&engine.store.read()?, *id)? else { continue };
            tracing::warn!(
                run = %id,
                workflow = pending.workflow,
                step = pending.next.as_deref().unwrap_or("the end"),
                since = %due,
                overdue = backlog.overdue,
                "a run is overdue: {} runs work at once (engine.max_active_runs), {SHARE} of one workflow and tenant while \
                 others have some, and it waits for its turn",
                engine.max_active
            );
        }
        self.runs = backlog.oldest.iter().map(|(id, _)| *id).collect();
        Ok(())
    }

    fn warn_of_messages(&mut self, lanes: &[Standing]) -> Result<(), StoreError> {
        let reader = self.intake.engine.store.read()?;
        let oldest = || lanes.iter().flat_map(|lane| lane.oldest.iter().map(move |message| (lane, message)));
        for (lane, (id, due)) in oldest().filter(|(_, (id, _))| !self.messages.contains(id)) {
            let Some(message) = reader.message(*id)? else { continue };
            tracing::warn!(
                mail = %id,
                run = %message.run,
                workflow = message.workflow,
                step = message.step_ref,
                since = %due,
                overdue = lane.overdue,
                "a message is overdue: {} deliveries of its channel are under way (delivery.concurrency), and it waits \
                 for its turn",
                lane.in_flight
            );
        }
        self.messages = oldest().map(|(_, (id, _))| *id).collect();
        Ok(())
    }
}

/// Why there was no look.
#[derive(Debug, thiserror::Error)]
enum Late {
    #[error(transparent)]
    Gone(#[from] Gone),
    #[error(transparent)]
    Store(#[from] StoreError),
}
