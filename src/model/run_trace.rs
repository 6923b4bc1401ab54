//! How what happened to a run is told: to machines by a name and data, to people by a sentence and the lines under it.
//! A new kind of event is told here and nowhere else: the API's runs, `belfry runs show` and `belfry explain` follow.

use std::fmt;

use serde_json::{Value, json};

use super::audience::AudienceChange;
use super::condition::Judged;
use super::consent::Setting;
use super::run::{BranchJudged, Halt, Outcome, RunEventKind};

impl RunEventKind {
    /// Its name on the wire.
    pub fn name(&self) -> &'static str {
        match self {
            Self::MessageEnqueued => "message_enqueued",
            Self::StepSkipped(_) => "step_skipped",
            Self::DelayStarted(_) => "delay_started",
            Self::StepErrored(_) => "step_errored",
            Self::Cancelled => "run_cancelled",
            Self::PreferencesEvaluated(_) => "preferences_evaluated",
            Self::ConditionsEvaluated { .. } => "conditions_evaluated",
            Self::Throttled { .. } => "throttle_evaluated",
            Self::BranchTaken(_) => "branch_taken",
            Self::BatchOpened { .. } => "batch_opened",
            Self::BatchJoined { .. } => "batch_joined",
            Self::BatchClosed { .. } => "batch_closed",
            Self::BatchItemCancelled => "batch_item_cancelled",
            Self::MessageHeld { .. } => "message_held",
            Self::CohortDrawn { .. } => "cohort_drawn",
            Self::Updated { .. } => "updated",
            Self::AudienceChanged { .. } => "audience_changed",
            Self::Triggered { .. } => "workflow_triggered",
            Self::FetchStarted { .. } => "fetch_started",
            Self::Fetched { .. } => "fetched",
            Self::FetchFailed { .. } => "fetch_failed",
            Self::WaitRegistered { .. } => "wait_registered",
            Self::WaitMatched { .. } => "wait_matched",
            Self::WaitExpired { .. } => "wait_expired",
        }
    }

    /// Whether it counts as an error of its run.
    pub fn is_error(&self) -> bool {
        matches!(self, Self::StepErrored(_))
    }

    /// Which attempt of its step it tells of.
    pub fn attempt(&self) -> u32 {
        match self {
            Self::FetchStarted { attempt, .. } => u32::from(*attempt),
            _ => 1,
        }
    }

    /// What its name does not say: an object, or `null`.
    pub fn data(&self) -> Value {
        match self {
            Self::MessageEnqueued | Self::Cancelled | Self::BatchItemCancelled => Value::Null,
            Self::StepSkipped(why) | Self::StepErrored(why) => json!({"reason": why}),
            Self::DelayStarted(until) => json!({"until": until}),
            Self::PreferencesEvaluated(settings) => json!({"settings": settings}),
            Self::ConditionsEvaluated { hold, conditions } => json!({"hold": hold, "conditions": conditions}),
            Self::Throttled { passes, passed, limit, until } => {
                json!({"passes": passes, "passed": passed, "limit": limit, "until": until})
            }
            Self::BranchTaken(branches) => {
                json!({"branch": branches.last().map(|branch| &branch.name), "looked_at": branches})
            }
            Self::BatchOpened { key, until } => json!({"key": key, "until": until}),
            Self::BatchJoined { key, into, items, until } => {
                json!({"key": key, "into": into, "total_activities": items, "until": until})
            }
            Self::BatchClosed { items, actors } => json!({"total_activities": items, "total_actors": actors}),
            Self::MessageHeld { until } => json!({"until": until}),
            Self::CohortDrawn { name, key } => json!({"cohort": name, "key": key}),
            Self::Updated { of, change } => json!({"recipient": of, "change": change}),
            Self::AudienceChanged { key, change } => json!({"audience": key, "action": change}),
            Self::Triggered { workflow, trigger } => json!({"workflow": workflow, "workflow_run_id": trigger}),
            Self::FetchStarted { attempt, method, url } => json!({"attempt": attempt, "method": method, "url": url}),
            Self::Fetched { status } => json!({"status": status}),
            Self::FetchFailed { why, retry_at } => json!({"reason": why, "retry_at": retry_at}),
            Self::WaitRegistered { what, until } => json!({"waits_for": what, "until": until}),
            Self::WaitMatched { what, event, conditions } => {
                json!({"waits_for": what, "event": event, "conditions": conditions})
            }
            Self::WaitExpired { what } => json!({"waits_for": what}),
        }
    }

    /// The lines that stand under its sentence: one for each thing that was looked at.
    pub fn details(&self) -> Vec<String> {
        match self {
            Self::PreferencesEvaluated(settings) => settings.iter().flat_map(setting_lines).collect(),
            Self::ConditionsEvaluated { conditions, .. } => conditions.iter().map(condition_line).collect(),
            Self::WaitMatched { event, conditions, .. } => {
                conditions.iter().map(condition_line).chain([format!("event: {event}")]).collect()
            }
            Self::BranchTaken(branches) => branches.iter().flat_map(branch_lines).collect(),
            _ => Vec::new(),
        }
    }
}

impl fmt::Display for RunEventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MessageEnqueued => f.write_str("a message is made and handed to its channel"),
            Self::StepSkipped(why) => write!(f, "skipped: {why}"),
            Self::DelayStarted(until) => write!(f, "waits until {until}"),
            Self::StepErrored(why) => write!(f, "failed: {why}"),
            Self::Cancelled => f.write_str("a cancel call ends the run"),
            Self::PreferencesEvaluated(settings) => match settings.last() {
                Some(last) if !last.allows => f.write_str("preferences: not wanted"),
                _ => f.write_str("preferences: wanted"),
            },
            Self::ConditionsEvaluated { hold: true, .. } => f.write_str("conditions: they hold"),
            Self::ConditionsEvaluated { hold: false, .. } => f.write_str("conditions: they do not hold"),
            Self::Throttled { passes, passed, limit, until } => {
                let how = if *passes { "lets the run pass" } else { "ends the run" };
                write!(f, "the throttle {how}: {passed} of {limit} passed in the window that ends at {until}")
            }
            Self::BranchTaken(branches) => match branches.last() {
                Some(branch) => write!(f, "takes the branch \"{}\"", branch.name),
                None => f.write_str("has no branch to take"),
            },
            Self::BatchOpened { key, until } => write!(f, "opens {}, which collects until {until}", batch(key)),
            Self::BatchJoined { key, into, items, until } => {
                let batch = batch(key);
                write!(f, "joins {batch}: run {into} goes on at {until} for all that it has then, now {items}")
            }
            Self::BatchClosed { items, actors } => {
                let activities = if *items == 1 { "activity" } else { "activities" };
                let of = if *actors == 1 { "actor" } else { "actors" };
                write!(f, "the batch is closed with {items} {activities} of {actors} {of}")
            }
            Self::MessageHeld { until } => write!(f, "the message waits for its send window, which opens at {until}"),
            Self::CohortDrawn { name, key } => write!(f, "drawn into the cohort \"{name}\" by {key}"),
            Self::Updated { of: None, change } => write!(f, "changes the run's data: {change}"),
            Self::Updated { of: Some(of), change } => write!(f, "changes the properties of {of}: {change}"),
            Self::AudienceChanged { key, change: AudienceChange::Add } => {
                write!(f, "adds the recipient to the audience {key}")
            }
            Self::AudienceChanged { key, change: AudienceChange::Remove } => {
                write!(f, "takes the recipient out of the audience {key}")
            }
            Self::Triggered { workflow, trigger } => write!(f, "triggers the workflow {workflow}, as {trigger}"),
            Self::FetchStarted { attempt, method, url } => write!(f, "asks {method} {url}, attempt {attempt}"),
            Self::Fetched { status } => write!(f, "is answered with {status}"),
            Self::FetchFailed { why, retry_at } => write!(f, "is not answered: {why}; asks again at {retry_at}"),
            Self::WaitRegistered { what, until } => write!(f, "waits for {what}, until {until}"),
            Self::WaitMatched { what, .. } => write!(f, "{what} has come"),
            Self::WaitExpired { what } => write!(f, "{what} has not come in time"),
            Self::BatchItemCancelled => f.write_str("a cancel call takes the run's own activity out of its batch"),
        }
    }
}

/// A batch by its key, which is empty where the step names none.
fn batch(key: &str) -> String {
    if key.is_empty() { "a batch".to_owned() } else { format!("a batch of key \"{key}\"") }
}

fn condition_line(judged: &Judged) -> String {
    let result = match judged.holds {
        Some(true) => "yes",
        Some(false) => "no",
        None => "not looked at",
    };
    match judged.holds {
        Some(_) => format!("{result}: {judged}"),
        None => format!("{result}: {} {} {}", judged.variable, judged.operator, judged.argument),
    }
}

fn setting_lines(setting: &Setting) -> Vec<String> {
    let result = if setting.allows { "yes" } else { "no" };
    let others = setting.others.iter().map(|other| format!("; {} say {}", other.layer, other.says));
    let mut lines = vec![format!("{result}: {setting}{}", others.collect::<String>())];
    lines.extend(setting.conditions.iter().map(|judged| format!("  {}", condition_line(judged))));
    lines
}

fn branch_lines(branch: &BranchJudged) -> Vec<String> {
    let mut lines =
        vec![format!("\"{}\"{}", branch.name, if branch.conditions.is_empty() { ": no conditions" } else { "" })];
    lines.extend(branch.conditions.iter().map(|judged| format!("  {}", condition_line(judged))));
    lines
}

impl Outcome {
    /// Its name on the wire.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Cancelled => "cancelled",
            Self::Failed(_) => "failed",
            Self::RecipientDeleted => "recipient_deleted",
            Self::Halted(Halt::Conditions) => "halted_by_trigger_conditions",
            Self::Halted(Halt::Branch) => "halted_by_branch",
            Self::Halted(Halt::Frequency) => "halted_by_frequency",
            Self::Halted(Halt::Throttle) => "halted_by_throttle",
            Self::Halted(Halt::EmptyBatch) => "empty_batch",
            Self::Halted(Halt::Inactive) => "workflow_inactive",
            Self::Halted(Halt::WaitMatched) => "halted_by_event",
            Self::Halted(Halt::WaitExpired) => "halted_by_timeout",
            Self::Batched(_) => "merged_into_batch",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finished => f.write_str("the run has come to its end"),
            Self::Cancelled => f.write_str("the run was cancelled"),
            Self::Failed(why) => write!(f, "the run failed: {why}"),
            Self::RecipientDeleted => f.write_str("the run ended, since its recipient was deleted"),
            Self::Halted(Halt::Conditions) => f.write_str("the run ended, since the trigger's conditions do not hold"),
            Self::Halted(Halt::Branch) => f.write_str("the run ended with a branch that terminates"),
            Self::Halted(Halt::Frequency) => {
                f.write_str("the run ended, since the recipient had one and the workflow runs once")
            }
            Self::Halted(Halt::Throttle) => f.write_str("the run ended at a throttle, which let enough others pass"),
            Self::Halted(Halt::EmptyBatch) => f.write_str("the run ended, since all of its batch was cancelled"),
            Self::Halted(Halt::Inactive) => f.write_str("the run ended, since its workflow was switched off"),
            Self::Halted(Halt::WaitMatched) => {
                f.write_str("the run ended, since the event for which it waited has come, and the step says so")
            }
            Self::Halted(Halt::WaitExpired) => {
                f.write_str("the run ended, since the event for which it waited has not come in time")
            }
            Self::Batched(into) => write!(f, "the run is part of a batch, for which run {into} goes on"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::comparison::Operator;
    use super::super::consent::{Layer, Said};
    use super::*;

    fn judged(holds: Option<bool>) -> Judged {
        Judged {
            variable: "recipient.plan".into(),
            operator: Operator::named("equal_to").unwrap(),
            argument: "data.plan".into(),
            actual: holds.map(|_| "\"free\"".into()),
            wanted: holds.map(|_| "\"pro\"".into()),
            holds,
        }
    }

    #[test]
    fn each_condition_is_told_with_both_values_and_its_result() {
        let conditions = vec![judged(Some(false)), judged(None)];
        let told = RunEventKind::ConditionsEvaluated { hold: false, conditions };
        assert_eq!(told.to_string(), "conditions: they do not hold");
        assert_eq!(
            told.details(),
            [
                "no: recipient.plan is \"free\", asked is equal_to data.plan, which is \"pro\"",
                "not looked at: recipient.plan equal_to data.plan"
            ]
        );
        assert_eq!(told.data()["conditions"][0]["operator"], "equal_to");
    }

    #[test]
    fn a_setting_is_told_with_the_layer_that_won_and_those_that_did_not() {
        let others = vec![Said { layer: Layer::Environment, says: "false".into() }];
        let setting = Setting {
            path: "channel_types.email".into(),
            layer: Layer::RecipientDefault,
            allows: true,
            conditions: Vec::new(),
            others,
        };
        assert_eq!(
            RunEventKind::PreferencesEvaluated(vec![setting]).details(),
            [
                "yes: channel_types.email in the recipient's default preferences; the environment's preferences say false"
            ]
        );
    }
}
