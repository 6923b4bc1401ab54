//! Fires the schedules that are due. Which ones, stands in the store, in the order of their times; this actor only wakes
//! for the first of them, so that a restart has nothing to rebuild.

use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, MessageResult, WrapFuture};
use futures_util::future::join_all;

use super::trigger::{Intake, TriggerError};
use crate::base::alarm::Alarm;
use crate::base::clock::Timestamp;
use crate::model::schedule::Schedule;
use crate::store::op::Occurrence;
use crate::store::{Refused, StoreError};

/// Schedules that are fired together: one commit takes them all.
const TOGETHER: usize = 256;
/// How often the store is looked at when nothing is due: for schedules that come earlier than was known.
const LOOK: Duration = Duration::from_secs(30);
/// How long after a failure the store is asked again.
const RETRY: Duration = Duration::from_secs(1);

/// The scheduler.
pub struct Scheduler {
    intake: Intake,
    alarm: Alarm,
    firing: bool,
    draining: bool,
}

impl Scheduler {
    /// One whose triggers go through `intake`.
    pub fn new(intake: Intake) -> Self {
        Self { intake, alarm: Alarm::default(), firing: false, draining: false }
    }

    fn next_due(&self) -> Option<Timestamp> {
        let store = &self.intake.engine.store;
        store.read().and_then(|reader| reader.first_due()).unwrap_or_else(|error| {
            store.report(&error);
            tracing::error!(%error, "the schedules could not be read");
            None
        })
    }

    /// Fires what is due, or sets the alarm.
    fn pump(&mut self, ctx: &mut Context<Self>) {
        if self.firing || self.draining {
            return;
        }
        let now = self.intake.engine.deps.clock.now();
        let next = self.next_due();
        if next.is_none_or(|next| next > now) {
            return self.wake_at(next.unwrap_or(Timestamp::MAX).min(now.plus(LOOK)), ctx);
        }
        self.firing = true;
        let (intake, work) = (self.intake.clone(), self.intake.engine.deps.work.begin());
        let fired = async move { fire_all(&intake, now).await };
        ctx.spawn(fired.into_actor(self).map(move |fired, scheduler, ctx| {
            scheduler.firing = false;
            match fired {
                Ok(()) => scheduler.pump(ctx),
                Err(error) => {
                    scheduler.intake.engine.store.report(&error);
                    tracing::warn!(%error, "schedules could not be fired; trying again shortly");
                    scheduler.wake_at(now.plus(RETRY), ctx);
                }
            }
            // What is due by now is counted before this is not any more.
            drop(work);
        }));
    }

    fn wake_at(&mut self, at: Timestamp, ctx: &mut Context<Self>) {
        self.alarm.set(Some(at), &self.intake.engine.deps.clock, ctx, |scheduler, ctx| {
            scheduler.alarm.rang();
            scheduler.pump(ctx);
        });
    }
}

async fn fire_all(intake: &Intake, now: Timestamp) -> Result<(), StoreError> {
    let due = intake.engine.store.read()?.due_schedules(now, TOGETHER)?;
    join_all(due.iter().map(|schedule| fire(intake, schedule, now))).await.into_iter().collect()
}

/// Triggers the workflow of a schedule, or lets the occurrence go by.
async fn fire(intake: &Intake, schedule: &Schedule, now: Timestamp) -> Result<(), StoreError> {
    let Some(due) = schedule.next_at else { return Ok(()) };
    let zone = intake.engine.zone.clone();
    let occurrence = Occurrence { schedule: schedule.id, due, at: now, zone };
    let why = if now.since(due) > intake.engine.missed_after {
        "the server did not run at that time".to_owned()
    } else {
        match intake.trigger_scheduled(schedule, occurrence.clone()).await {
            Ok(()) => {
                metrics::counter!("belfry_schedules_fired_total").increment(1);
                return Ok(());
            }
            // Changed or deleted meanwhile.
            Err(TriggerError::Store(StoreError::Refused(Refused::Stale))) => return Ok(()),
            Err(TriggerError::Store(error)) => return Err(error),
            Err(error) => error.to_string(),
        }
    };
    tracing::warn!(schedule = %schedule.id, %due, why, "a schedule's occurrence triggers nothing");
    match intake.engine.store.miss(occurrence).await {
        Err(StoreError::Refused(Refused::Stale)) => Ok(()),
        done => done,
    }
}

impl Actor for Scheduler {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.pump(ctx);
    }
}

/// Schedules were changed, or the clock was moved. When this is answered, what is due by now is counted as work.
#[derive(Message)]
#[rtype(result = "()")]
pub struct LookAgain;

impl Handler<LookAgain> for Scheduler {
    type Result = ();

    fn handle(&mut self, _: LookAgain, ctx: &mut Self::Context) {
        self.pump(ctx);
    }
}

/// When the first schedule comes.
#[derive(Message)]
#[rtype(result = "Option<Timestamp>")]
pub struct NextOccurrence;

impl Handler<NextOccurrence> for Scheduler {
    type Result = MessageResult<NextOccurrence>;

    fn handle(&mut self, _: NextOccurrence, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.next_due())
    }
}

/// Fires nothing more.
#[derive(Message)]
#[rtype(result = "()")]
pub struct DrainSchedules;

impl Handler<DrainSchedules> for Scheduler {
    type Result = ();

    fn handle(&mut self, _: DrainSchedules, _: &mut Self::Context) {
        self.draining = true;
    }
}
