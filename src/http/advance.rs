//! Advancing the developer's clock: from one due time to the next, and each time until all that became due has settled,
//! so that a chain of delays runs through as it would in real time.

use std::time::Duration;

use actix::Addr;

use crate::base::clock::Timestamp;
use crate::base::deps::Deps;
use crate::base::mail::{Gone, call};
use crate::delivery::courier::{Courier, NextAttempt, SweepOutbox};
use crate::engine::registry::{NextDue, Registry, Sweep};
use crate::engine::scheduler::{LookAgain, NextOccurrence, Scheduler};

/// Advances the clock by `by`; answers the time when everything due by then has fired and settled.
pub async fn advance(
    deps: &Deps,
    registry: &Addr<Registry>,
    courier: &Addr<Courier>,
    scheduler: Option<&Addr<Scheduler>>,
    by: Duration,
) -> Result<Timestamp, Gone> {
    // What was triggered before this call begins its delays first, so that advancing by a delay's length ends it.
    deps.work.settled().await;
    let target = deps.clock.now().plus(by);
    loop {
        // Asked after it settled: the actors have heard of all that waits.
        let occurrence = match scheduler {
            Some(scheduler) => call(scheduler, NextOccurrence).await?,
            None => None,
        };
        let dues = [occurrence, call(registry, NextDue).await?, call(courier, NextAttempt).await?];
        // What woke by itself before they were asked is not among their answers: by a clock that jumped now it would be late.
        if !deps.work.is_settled() {
            deps.work.settled().await;
            continue;
        }
        let next = dues.into_iter().flatten().min().filter(|due| *due <= target);
        let to = next.unwrap_or(target);
        let ahead = to.as_micros().saturating_sub(deps.clock.now().as_micros());
        if ahead > 0 {
            deps.clock.shift(ahead);
        }
        if let Some(scheduler) = scheduler {
            call(scheduler, LookAgain).await?;
        }
        call(registry, Sweep).await?;
        call(courier, SweepOutbox).await?;
        deps.work.settled().await;
        if next.is_none() {
            return Ok(deps.clock.now());
        }
    }
}
