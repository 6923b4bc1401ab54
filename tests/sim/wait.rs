//! The reference model of waits: which runs had to meet an event, and which could not.

use std::collections::BTreeSet;
use std::time::Duration;

use belfry::base::clock::Timestamp;
use belfry::base::ids::MessageId;
use belfry::model::engagement::Action;
use belfry::model::run::{EndedRun, Halt, Outcome, RunEventKind};
use serde_json::{Value, json};

use crate::ledger::{Answer, Marking, Record};
use crate::snapshot::Snapshot;

/// From which step's message on runs wait to see it seen.
pub const ASKED: &str = "feed_1";

/// A commit and the group before it take at most so long: what is asked for so long after a run was about to wait comes
/// behind the beginning of its wait.
const SURELY_WAITS: Duration = Duration::from_secs(1);

/// What is wrong with how a run that waits ended.
pub fn wrong(ledger: &Record, found: &Snapshot, ended: &EndedRun) -> Vec<String> {
    let id = ended.run.id;
    let events = found.events.get(&id).map_or(&[][..], Vec::as_slice);
    let registered = events.iter().find_map(|event| match &event.kind {
        RunEventKind::WaitRegistered { until, .. } => Some((event.at, *until)),
        _ => None,
    });
    let matched: Vec<(Timestamp, &Value)> = events
        .iter()
        .filter_map(|event| match &event.kind {
            RunEventKind::WaitMatched { event: told, .. } => Some((event.at, told)),
            _ => None,
        })
        .collect();
    let expired = events.iter().filter(|event| matches!(event.kind, RunEventKind::WaitExpired { .. })).count();
    // What every run of the recipient was asked: an event is the recipient's.
    let asked = found.messages.iter().filter(|message| {
        message.recipient == ended.run.recipient && message.workflow == "asks" && message.step_ref == ASKED
    });
    let asked: BTreeSet<MessageId> = asked.map(|message| message.id).collect();
    let told = match ended.outcome {
        Outcome::Finished => (1, 0),
        Outcome::Halted(Halt::WaitExpired) => (0, 1),
        _ => (matched.len().min(1), 0),
    };
    let mut wrong = Vec::new();
    if (matched.len(), expired) != told {
        wrong.push(format!("P4 run {id} ended {:?} and met {matched:?}, {expired} times none", ended.outcome));
    }
    for (at, event) in &matched {
        let by = asked.iter().find(|message| json!(message) == event["message_id"]);
        let is_seen = |mark: &&Marking| mark.action == Action::Seen && by.is_some_and(|id| mark.messages.contains(id));
        if !ledger.marks.iter().any(|mark| is_seen(&mark)) {
            wrong.push(format!("P4 run {id} met {event}, which nobody did"));
        }
        if registered.is_none_or(|(_, until)| *at > until) {
            wrong.push(format!("P8 run {id} met {event} at {at}, and waited {registered:?}"));
        }
    }
    if let (Outcome::Halted(Halt::WaitExpired), Some((from, until))) = (&ended.outcome, registered) {
        let missed = ledger.marks.iter().filter(|mark| mark.action == Action::Seen && !mark.bulk);
        let missed = missed.filter(|mark| mark.messages.iter().any(|id| asked.contains(id)));
        let within = |mark: &&Marking| match (ledger.shown(mark.at), &mark.answer) {
            (Some(asked), Answer::Given { at, .. }) => {
                asked >= from.plus(SURELY_WAITS) && ledger.shown(*at).is_some_and(|answered| answered <= until)
            }
            _ => false,
        };
        wrong.extend(
            missed.filter(within).map(|mark| {
                format!("P1 run {id} ended without its event, and waited from {from} to {until}: {mark:?}")
            }),
        );
    }
    wrong
}
