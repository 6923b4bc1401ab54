//! Panics inside run actors, without a hook in the engine: each write of a run is logged on the actor's own stack, and
//! the subscriber of a world panics there.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Mutex, Once};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::cast::{Actor, Play};
use crate::ledger::Ledger;
use crate::rng::Rng;

/// Panics of the simulation begin with this, so that the hook can tell them from a bug's.
pub const STAGED: &str = "staged: ";

/// Keeps staged panics off the screen; others are shown.
pub fn hide_staged_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let show = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !info.payload_as_str().is_some_and(|text| text.contains(STAGED)) {
                show(info);
            }
        }));
    });
}

/// The subscriber of one life.
pub struct Saboteur {
    seed: u64,
    ledger: Ledger,
    stumbles: Mutex<HashMap<String, u64>>,
}

impl Saboteur {
    pub fn new(seed: u64, ledger: Ledger) -> Self {
        Self { seed, ledger, stumbles: Mutex::default() }
    }

    fn strikes(&self, seen: &Seen) -> bool {
        let Some(play) = crate::cast::PLAYS.iter().find(|play| play.key == seen.workflow) else { return false };
        match play.actor {
            Actor::Healthy => false,
            Actor::Dies(step) => seen.step == step,
            Actor::Stumbles => self.stumble(play, &seen.run),
        }
    }

    /// At most twice a run: the third crash would end it.
    fn stumble(&self, play: &Play, run: &str) -> bool {
        let mut stumbles = self.stumbles.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let seen = stumbles.entry(run.to_owned()).or_default();
        let number = run.bytes().fold(self.seed, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
        let strikes = *seen < 2 && Rng::of(number, play.key, *seen).percent(60);
        *seen += 1;
        strikes
    }
}

#[derive(Default)]
struct Seen {
    run: String,
    workflow: String,
    step: String,
}

impl Visit for Seen {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "run" => self.run = format!("{value:?}"),
            "workflow" => self.workflow = format!("{value:?}").trim_matches('"').to_owned(),
            "step" => self.step = format!("{value:?}").trim_matches('"').to_owned(),
            _ => {}
        }
    }
}

impl Subscriber for Saboteur {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "belfry::engine::run" && *metadata.level() == tracing::Level::DEBUG
    }

    fn event(&self, event: &Event<'_>) {
        let mut seen = Seen::default();
        event.record(&mut seen);
        if self.strikes(&seen) {
            self.ledger.open().trace(format!("panic {} {}", seen.workflow, seen.run));
            panic!("{STAGED}the actor of {}", seen.run);
        }
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}
