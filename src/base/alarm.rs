//! An actor's alarm: wakes it at the earliest of many due times.

use actix::{Actor, ActorFutureExt, AsyncContext, Context, SpawnHandle};

use super::clock::{Clock, Timestamp};

/// One alarm; setting it anew replaces what was set.
#[derive(Default)]
pub struct Alarm(Option<(Timestamp, SpawnHandle)>);

impl Alarm {
    /// Rings at `due`, or not at all. `ring` must begin with `rang`.
    pub fn set<A: Actor<Context = Context<A>>>(
        &mut self,
        due: Option<Timestamp>,
        clock: &Clock,
        ctx: &mut Context<A>,
        ring: fn(&mut A, &mut Context<A>),
    ) {
        if self.0.as_ref().map(|(set, _)| *set) == due {
            return;
        }
        if let Some((_, handle)) = self.0.take() {
            ctx.cancel_future(handle);
        }
        if let Some(due) = due {
            let clock = clock.clone();
            let nap = async move { clock.sleep_until(due).await };
            let rings = actix::fut::wrap_future::<_, A>(nap).map(move |(), actor, ctx| ring(actor, ctx));
            self.0 = Some((due, ctx.spawn(rings)));
        }
    }

    /// It rang: it can be set to the same time again.
    pub fn rang(&mut self) {
        self.0 = None;
    }
}
