//! What a gate would do, judged over a snapshot and without passing it: what comes of a run until then is not known.

use super::batches::{Open, batch_key};
use super::gate::{Throttling, Window};
use super::op::{Gate, Next};
use super::tables::{TableId, owned};
use super::{Reader, StoreError};
use crate::base::clock::Timestamp;
use crate::model::batch::{Batch, State};
use crate::model::recipient::RecipientRef;
use crate::model::run::{Halt, Outcome, Phase, RunEvent, RunEventKind};

impl Reader {
    /// Where `gate` would send a run of `recipient` that has so many `actors` instead of letting it pass, if it came at
    /// `at`; `told` gets what is to be known of it.
    pub fn diverted(
        &self,
        gate: &Gate,
        recipient: &RecipientRef,
        actors: u32,
        at: Timestamp,
        told: &mut Vec<RunEvent>,
    ) -> Result<Option<Next>, StoreError> {
        match gate {
            Gate::Once { key } => {
                let begun: Option<()> = self.get(TableId::Begun, &owned(recipient, key))?;
                Ok(begun.map(|()| Next::End(Outcome::Halted(Halt::Frequency))))
            }
            Gate::Throttle { key, until, limit, step_ref } => {
                let window: Option<Window> = self.get(TableId::Throttles, key)?;
                let throttling = Throttling::of(window, *until, *limit, at);
                told.push(RunEvent::of_step(throttling.told(*limit), step_ref.clone(), at));
                Ok((!throttling.passes).then_some(Next::End(Outcome::Halted(Halt::Throttle))))
            }
            Gate::Batch(entering) => {
                let key = entering.shown_key.clone();
                let mut tell = |kind| told.push(RunEvent::of_step(kind, entering.step_ref.clone(), at));
                match self.get::<Open>(TableId::OpenBatches, &owned(recipient, &entering.key))? {
                    Some(Open::Batch(into)) => {
                        let batch: Option<Batch> = self.get(TableId::Batches, &batch_key(into))?;
                        if let Some(batch) = batch.filter(|batch| batch.state == State::Open && batch.closes_at > at) {
                            let (items, until) = (batch.items + 1, batch.closes_at);
                            tell(RunEventKind::BatchJoined { key, into: into.run, items, until });
                            return Ok(Some(Next::End(Outcome::Batched(into.run))));
                        }
                    }
                    Some(Open::Leading { closes_at, latest, .. }) if closes_at > at => {
                        let due = latest.map_or(closes_at, |latest| entering.until.min(latest));
                        tell(RunEventKind::BatchOpened { key, until: due });
                        return Ok(Some(Next::Phase(Phase::Batching { step: entering.step, due })));
                    }
                    _ => {}
                }
                tell(RunEventKind::BatchOpened { key, until: entering.until });
                Ok(None)
            }
            // A run that there is not has no messages to look back at.
            Gate::Wait(_) => Ok(None),
            // Nobody has joined the batch of a run that there is not.
            Gate::Close(closing) => {
                let kind = RunEventKind::BatchClosed { items: 1, actors };
                told.push(RunEvent::of_step(kind, closing.step_ref.clone(), at));
                Ok(None)
            }
        }
    }
}
