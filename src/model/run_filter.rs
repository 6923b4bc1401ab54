//! Which runs a list is asked for (`GET /v1/workflow_recipient_runs`).

use std::time::Duration;

use super::flow::Flow;
use super::query::{Query, choice, choices};
use super::recipient::RecipientRef;
use super::run::{KnownRun, RunStatus};
use super::span;
use super::trigger::{FieldError, Trigger};
use crate::base::clock::Timestamp;
use crate::base::ids::TriggerId;

const STATUSES: [(&str, RunStatus); 5] = [
    ("queued", RunStatus::Queued),
    ("processing", RunStatus::Processing),
    ("paused", RunStatus::Paused),
    ("completed", RunStatus::Completed),
    ("cancelled", RunStatus::Cancelled),
];

/// Which runs. Empty lists and `None` ask for all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunFilter {
    workflow: Option<String>,
    statuses: Vec<RunStatus>,
    tenant: Option<String>,
    /// For whom they are.
    pub recipient: Option<RecipientRef>,
    /// What they came of.
    pub trigger: Option<TriggerId>,
    /// Whether anything of them failed.
    pub has_errors: Option<bool>,
    starting_at: Option<Timestamp>,
    ending_at: Option<Timestamp>,
}

impl RunFilter {
    /// Reads a query; unknown names are ignored. A recipient is a user's id, `collection/id`, or
    /// `recipient[collection]=..&recipient[id]=..`. `workflow_run_id`, the runs of one trigger, is our own.
    pub fn from_query(query: Query<'_>, errors: &mut Vec<FieldError>) -> Self {
        let text = |name| query.text(name).map(str::to_owned);
        let mut at = |name: &str| query.text(name).and_then(|text| span::instant(name, text, errors));
        let (starting_at, ending_at) = (at("starting_at"), at("ending_at"));
        let trigger = query.text("workflow_run_id").and_then(|text| {
            let message = || format!("is `{text}`, which is no id: that is a UUID");
            text.parse().map_err(|_| errors.push(FieldError::new("workflow_run_id", message()))).ok()
        });
        Self {
            workflow: text("workflow"),
            statuses: choices(query, "status", &STATUSES, errors),
            tenant: text("tenant"),
            recipient: recipient(query, errors),
            trigger,
            has_errors: choice(query, "has_errors", &[("true", true), ("false", false)], errors),
            starting_at,
            ending_at,
        }
    }

    /// When the ids of all these runs were made, both ends included, where none was made longer than `gap` after its
    /// trigger.
    pub fn made(&self, gap: Duration) -> (Timestamp, Timestamp) {
        let triggered = self.trigger.map(|id| id.made_at());
        let first = [self.starting_at, triggered].into_iter().flatten().max().unwrap_or_default();
        let spread = triggered.map(|at| at.plus(gap));
        (first, [self.ending_at, spread].into_iter().flatten().min().unwrap_or(Timestamp::MAX))
    }

    /// Whether only runs that have ended are asked for, or only those that have not.
    pub fn has_ended(&self) -> Option<bool> {
        let ends = |status: &RunStatus| matches!(status, RunStatus::Completed | RunStatus::Cancelled);
        let first = self.statuses.first().map(ends);
        first.filter(|first| self.statuses.iter().all(|status| ends(status) == *first))
    }

    /// Whether `known` may be asked for: all that it says without its trigger and its events.
    pub fn covers_run(&self, known: &KnownRun) -> bool {
        let run = known.run();
        // The flow names both by a hash, so that most triggers of others need not be read.
        let flow = self.workflow.as_ref().zip(self.tenant.as_ref()).map(|(key, tenant)| Flow::of(key, Some(tenant)));
        self.recipient.as_ref().is_none_or(|recipient| *recipient == run.recipient)
            && self.trigger.is_none_or(|trigger| trigger == run.trigger)
            && (self.statuses.is_empty() || self.statuses.contains(&known.status()))
            && flow.is_none_or(|flow| flow == run.flow || run.flow == Flow::default())
    }

    /// Whether runs of `trigger` may be asked for.
    pub fn covers_trigger(&self, trigger: &Trigger) -> bool {
        self.workflow.as_ref().is_none_or(|key| *key == trigger.workflow)
            && self.tenant.as_ref().is_none_or(|tenant| Some(tenant) == trigger.tenant.as_ref())
    }
}

fn recipient(query: Query<'_>, errors: &mut Vec<FieldError>) -> Option<RecipientRef> {
    if let Some(text) = query.text("recipient") {
        return Some(RecipientRef::from_text(text));
    }
    let (collection, id) = (query.field("recipient", "collection"), query.field("recipient", "id"));
    match (collection, id) {
        (None, None) => None,
        (collection, Some(id)) => {
            let user = RecipientRef::user(id);
            Some(collection.map_or(user, |collection| RecipientRef { collection: collection.into(), id: id.into() }))
        }
        (Some(_), None) => {
            errors.push(FieldError::new("recipient.id", "is required beside `recipient.collection`"));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::RunId;
    use crate::model::run::{EndedRun, Outcome, Phase, Run};

    fn read(pairs: &[(&str, &str)]) -> (RunFilter, Vec<String>) {
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut errors = Vec::new();
        let filter = RunFilter::from_query(Query::new(&pairs), &mut errors);
        (filter, errors.into_iter().map(|error| error.field).collect())
    }

    fn run(recipient: RecipientRef) -> Run {
        Run {
            id: RunId::from([2; 16]),
            trigger: TriggerId::from([1; 16]),
            flow: Flow::of("w", Some("t")),
            recipient,
            data: None,
            via: None,
            cancel: None,
            revision: 0,
            phase: Phase::Ready { step: 0 },
            begun: None,
        }
    }

    #[test]
    fn every_fault_of_a_query_is_named() {
        let (_, faults) = read(&[
            ("status[]", "failed"),
            ("has_errors", "yes"),
            ("starting_at", "today"),
            ("workflow_run_id", "x"),
            ("recipient[collection]", "teams"),
        ]);
        assert_eq!(faults, ["starting_at", "workflow_run_id", "status", "recipient.id", "has_errors"]);
    }

    #[test]
    fn a_run_is_covered_by_who_it_is_for_and_where_it_stands() {
        let team = RecipientRef { collection: "teams".into(), id: "red".into() };
        let pending = |recipient: &RecipientRef| KnownRun::Pending(run(recipient.clone()));
        for query in
            [&[("recipient", "teams/red")][..], &[("recipient[id]", "red"), ("recipient[collection]", "teams")]]
        {
            let (filter, faults) = read(query);
            assert_eq!(faults, [""; 0]);
            assert!(filter.covers_run(&pending(&team)) && !filter.covers_run(&pending(&RecipientRef::user("red"))));
        }
        let (filter, _) =
            read(&[("status[]", "queued"), ("status[]", "cancelled"), ("workflow", "w"), ("tenant", "t")]);
        assert!(filter.covers_run(&pending(&team)));
        let ended = |outcome| KnownRun::Ended(EndedRun { run: run(team.clone()), outcome, ended_at: Timestamp::MAX });
        assert!(filter.covers_run(&ended(Outcome::Cancelled)) && !filter.covers_run(&ended(Outcome::Finished)));
        let (other, _) = read(&[("workflow", "w"), ("tenant", "u")]);
        assert!(!other.covers_run(&pending(&team)), "another flow");
    }
}
