//! The settings of a wait step: which event a run waits for, how long, and whether it goes on then (`knock-engine.md`
//! sections 1.4 and 3.6).

use serde_json::Value;

use super::awaited::{Awaited, Crossing, MessageHappening, RunHappening};
use super::condition::{Conditions, EVENT, MATCH_SCOPES};
use super::duration::Duration;
use super::json_reader::{Reader, shown, shown_text};
use super::moment::read_duration;
use super::step_file::{Steps, read_conditions, read_settings};
use crate::base::nearest::{did_you_mean, nearest, quoted_list};

/// The longest wait, in days.
pub const MAX_DAYS: i64 = 30;

/// The most groups of match conditions; each has as many conditions as other groups.
const MAX_GROUPS: usize = 20;

const KEYS: [&str; 6] = ["event", "match_conditions", "expires_after", "on_match", "on_timeout", "lookback"];
const FORM: &str = r#"Write {"event": {"event_type": "message", "event_key": "seen", "source_key": "..."}, "match_conditions": [...], "expires_after": {"unit": "minutes", "value": 15}}."#;
const CONDITIONS_FORM: &str = r#"Write [{"operator": "and", "conditions": [{"variable": "event.step_ref", "operator": "equal_to", "argument": "email_1"}]}]."#;
const EVENT_TYPES: [&str; 4] = ["message", "workflow", "recipient", "audience"];

/// A wait.
#[derive(Clone, Debug, PartialEq)]
pub struct WaitForEvent {
    pub awaited: Awaited,
    /// Which of these events; empty ones hold for each.
    pub conditions: Conditions,
    pub expires_after: Duration,
    /// Whether the run goes on when the event has come, and when it did not; otherwise it ends.
    pub goes_on_matched: bool,
    pub goes_on_expired: bool,
    /// What happened to the run's own messages before the wait counts too.
    pub looks_back: bool,
}

/// The wait step at `step`. None after a fault.
pub fn read_wait(step: &Reader<'_>, steps: &Steps<'_>) -> Option<WaitForEvent> {
    let settings = read_settings(step, FORM, &KEYS)?;
    let awaited = read_awaited(&settings.field("event"));
    let expires_after = settings.field("expires_after");
    if expires_after.value().is_none() {
        expires_after.missing(r#"Write how long, as in {"unit": "minutes", "value": 15}."#);
    }
    let expires_after = read_duration(&expires_after, MAX_DAYS, 1);
    let goes_on_matched = settings.field("on_match").choice(&[("continue", true), ("halt", false)]);
    let goes_on_expired = settings.field("on_timeout").choice(&[("halt", false), ("continue", true)]);
    let looks_back = settings.field("lookback").flag();
    let awaited = awaited?;
    let conditions = read_match(&settings.field("match_conditions"), &awaited, steps)?;
    if looks_back && !is_own_message(&awaited, steps) {
        let problem = "looks back at messages of the run itself, and the event is none of those";
        settings.field("lookback").fault(problem, "Remove it.");
    }
    Some(WaitForEvent {
        awaited,
        conditions,
        expires_after: expires_after?,
        goes_on_matched: goes_on_matched?,
        goes_on_expired: goes_on_expired?,
        looks_back,
    })
}

fn is_own_message(awaited: &Awaited, steps: &Steps<'_>) -> bool {
    matches!(awaited, Awaited::Message { workflow, .. } if workflow == steps.workflow)
}

/// The event at `field`. None after a fault.
fn read_awaited(field: &Reader<'_>) -> Option<Awaited> {
    const WHAT: &str = "an event of this type";
    if field.value().is_none() {
        field.missing(FORM);
        return None;
    }
    field.object()?;
    let kind = field.field("event_type");
    let known = format!("Write one of {}.", quoted_list(&EVENT_TYPES));
    let key = field.field("event_key");
    match kind.required_text(&known)? {
        "message" => {
            field.expect_keys(&["event_type", "event_key", "source_type", "source_key"]);
            let event = key.required_choice(&MessageHappening::ALL, WHAT);
            let source = read_source_type(&field.field("source_type"));
            let workflow = read_key(&field.field("source_key"), "the key of the workflow that makes the message");
            source.and(Some(Awaited::Message { event: event?, workflow: workflow? }))
        }
        "workflow" => {
            field.expect_keys(&["event_type", "event_key", "source_type", "source_key"]);
            let event = key.required_choice(&RunHappening::ALL, WHAT);
            let workflow = read_key(&field.field("source_key"), "the key of the workflow");
            Some(Awaited::Workflow { event: event?, workflow: workflow? })
        }
        "audience" => {
            field.expect_keys(&["event_type", "event_key", "audience_key"]);
            let event = key.required_choice(&Crossing::ALL, WHAT);
            let audience = read_key(&field.field("audience_key"), "the key of the audience");
            Some(Awaited::Audience { event: event?, audience: audience? })
        }
        "recipient" => {
            field.expect_keys(&["event_type", "event_key"]);
            key.required_choice(&[("updated", Awaited::RecipientUpdated)], WHAT)
        }
        "integration_source" => {
            kind.fault("\"integration_source\" is not supported: this version takes no events of other systems", known);
            None
        }
        other => {
            let problem = format!("{} is not a type of event", shown_text(other));
            kind.fault(problem, did_you_mean(nearest(other, EVENT_TYPES), &known));
            None
        }
    }
}

/// Messages are made by workflows alone.
fn read_source_type(field: &Reader<'_>) -> Option<()> {
    match field.value() {
        None => Some(()),
        Some(Value::String(text)) if text == "workflow" => Some(()),
        Some(other) => {
            let problem = format!("{} makes no messages in this version", shown(other));
            field.fault(problem, "Write \"workflow\", or remove it.");
            None
        }
    }
}

fn read_key(field: &Reader<'_>, what: &str) -> Option<String> {
    field.required_name(&format!("Write {what}.")).map(|key| key.trim().to_owned())
}

/// The groups at `field`, of which one must hold. None after a fault.
fn read_match(field: &Reader<'_>, awaited: &Awaited, steps: &Steps<'_>) -> Option<Conditions> {
    if field.is_blank() {
        if let Awaited::Message { .. } | Awaited::Workflow { .. } = awaited {
            field.missing(CONDITIONS_FORM);
            return None;
        }
        return Some(Conditions::default());
    }
    let groups = field.items()?;
    if groups.len() > MAX_GROUPS {
        field.fault(format!("has {} groups", groups.len()), format!("Use at most {MAX_GROUPS}."));
        return None;
    }
    let groups: Vec<_> = groups.iter().map(|group| read_group(group, awaited, steps)).collect();
    groups.into_iter().collect::<Option<_>>().map(Conditions::Any)
}

/// The conditions at `field`, which must all hold. None after a fault.
fn read_group(field: &Reader<'_>, awaited: &Awaited, steps: &Steps<'_>) -> Option<Conditions> {
    field.object()?;
    field.expect_keys(&["operator", "conditions"]);
    let operator = field.field("operator");
    if operator.value().is_some_and(|value| value != "and") {
        operator.fault(
            "is not \"and\": the conditions of a group must all hold",
            "Write other conditions as a group of their own.",
        );
    }
    let field = field.field("conditions");
    if field.is_blank() {
        field.missing(CONDITIONS_FORM);
        return None;
    }
    let conditions = read_conditions(&field, MATCH_SCOPES);
    let known = awaited.fields();
    for path in conditions.paths_in(EVENT) {
        let name = path.split(['.', '[']).next().unwrap_or_default();
        if !known.contains(&name) {
            let problem = format!("`{EVENT}.{path}` asks for what {awaited} does not tell");
            let fix = format!("It tells {}.", quoted_list(known));
            field.fault(problem, did_you_mean(nearest(name, known.iter().copied()), &fix));
        }
    }
    if is_own_message(awaited, steps) {
        for reference in conditions.asked_to_equal("event.step_ref") {
            steps.references.expect_earlier_message(&field, reference);
        }
    }
    Some(conditions)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::duration::Unit;
    use super::super::workflow::StepKind;
    use super::super::workflow_sample::*;
    use super::*;

    fn step(settings: Value) -> Value {
        with("/steps/1", json!({"ref": "wait_1", "type": "wait_for_event", "settings": settings}))
    }

    fn on(variable: &str, argument: &str) -> Value {
        json!([{"operator": "and", "conditions": [{"variable": variable, "operator": "equal_to", "argument": argument}]}])
    }

    /// Waits for what the sample's own message is asked for.
    fn seen() -> Value {
        json!({
            "event": {"event_type": "message", "event_key": "seen", "source_type": "workflow", "source_key": "invite"},
            "match_conditions": on("event.step_ref", "email_1"),
            "expires_after": {"unit": "minutes", "value": 15},
        })
    }

    fn changed(pointer: &str, value: Value) -> Value {
        let mut settings = seen();
        match pointer.rsplit_once('/') {
            Some((place, key)) => settings.pointer_mut(place).unwrap()[key] = value,
            None => unreachable!(),
        }
        step(settings)
    }

    fn read(document: &Value) -> WaitForEvent {
        match &workflow(document).steps[1].kind {
            StepKind::WaitForEvent(wait) => (**wait).clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_wait_goes_on_when_the_event_comes_and_ends_the_run_when_it_does_not() {
        let wait = read(&step(seen()));
        let event = MessageHappening::Did(super::super::engagement::Action::Seen);
        assert_eq!(wait.awaited, Awaited::Message { event, workflow: "invite".into() });
        assert_eq!(wait.expires_after, Duration { unit: Unit::Minutes, value: 15 });
        assert_eq!((wait.goes_on_matched, wait.goes_on_expired, wait.looks_back), (true, false, false));
        assert!(!wait.conditions.is_empty());
        let wait = read(&changed("/on_match", json!("halt")));
        assert!(!wait.goes_on_matched);
        assert!(read(&changed("/on_timeout", json!("continue"))).goes_on_expired);
        assert!(read(&changed("/lookback", json!(true))).looks_back);
    }

    #[test]
    fn every_event_is_read() {
        let event = |kind: &str, key: &str| {
            json!({
                "event": {"event_type": kind, "event_key": key, "source_key": "other", "audience_key": "vips"},
                "match_conditions": on("event.recipient", "ada"),
                "expires_after": {"unit": "days", "value": 30},
            })
        };
        for (name, happening) in MessageHappening::ALL {
            let expected = Awaited::Message { event: happening, workflow: "other".into() };
            assert_eq!(read(&step(event("message", name))).awaited, expected);
        }
        for (kind, name, told) in [
            ("workflow", "started", "workflow.started of other"),
            ("workflow", "completed", "workflow.completed of other"),
            ("audience", "enter", "audience.enter of vips"),
            ("audience", "exit", "audience.exit of vips"),
            ("recipient", "updated", "recipient.updated"),
        ] {
            assert_eq!(read(&step(event(kind, name))).awaited.to_string(), told);
        }
        let mut any = event("recipient", "updated");
        any["match_conditions"] = json!(null);
        assert!(read(&step(any)).conditions.is_empty());
    }

    #[test]
    fn groups_are_alternatives_and_their_conditions_hold_together() {
        let mut groups = on("event.step_ref", "email_1").as_array().unwrap().clone();
        groups.push(json!({"conditions": [
            {"variable": "event.tenant_id", "operator": "equal_to", "argument": "data.team"},
            {"variable": "event.data.button", "operator": "exists"},
        ]}));
        let wait = read(&changed("/match_conditions", groups.into()));
        let Conditions::Any(groups) = wait.conditions else { panic!("{wait:?}") };
        assert!(matches!(&groups[..], [_, Conditions::All(second)] if second.len() == 2), "{groups:?}");
    }

    #[test]
    fn what_can_never_be_waited_for_is_found_at_its_place() {
        let at = "steps[1].settings.";
        for (pointer, value, problem) in [
            (
                "/event/event_type",
                json!("mesage"),
                "event.event_type: \"mesage\" is not a type of event. Did you mean \"message\"?",
            ),
            (
                "/event/event_type",
                json!("integration_source"),
                "event.event_type: \"integration_source\" is not supported",
            ),
            (
                "/event/event_key",
                json!("sean"),
                "event.event_key: \"sean\" is not an event of this type. Did you mean \"seen\"?",
            ),
            ("/event/event_key", json!(null), "event.event_key: is null, but required"),
            (
                "/event/source_type",
                json!("broadcast"),
                "event.source_type: \"broadcast\" makes no messages in this version",
            ),
            ("/event/source_key", json!(" "), "event.source_key: is empty. Write the key of the workflow that makes"),
            ("/event", json!(null), "event: is null, but required"),
            (
                "/match_conditions",
                json!(null),
                "match_conditions: is null, but required. Write [{\"operator\": \"and\"",
            ),
            ("/match_conditions", json!([{}]), "match_conditions[0].conditions: is missing"),
            ("/match_conditions/0/operator", json!("or"), "match_conditions[0].operator: is not \"and\""),
            (
                "/match_conditions",
                on("event.step_rev", "x"),
                "match_conditions[0].conditions: `event.step_rev` asks for what message.seen of invite does not tell. Did you mean \"step_ref\"?",
            ),
            (
                "/match_conditions",
                on("refs.email_1.status", "x"),
                "match_conditions[0].conditions[0].variable: is `refs.email_1.status`",
            ),
            (
                "/match_conditions",
                json!(vec![on("event.data.x", "x")[0].clone(); 21]),
                "match_conditions: has 21 groups",
            ),
            ("/expires_after", json!(null), "expires_after: is null, but required"),
            (
                "/expires_after",
                json!({"unit": "days", "value": 31}),
                "expires_after.value: 31 days are longer than 30 days",
            ),
            ("/on_match", json!("go"), "on_match: \"go\" is not known. Write one of \"continue\", \"halt\"."),
            ("/on_timeout", json!(true), "on_timeout: true is not a string"),
            ("/event/source_key", json!("other"), ""),
        ] {
            let document = changed(pointer, value);
            if problem.is_empty() {
                read(&document);
                continue;
            }
            let text = fault(&document);
            assert!(text.starts_with(&format!("{at}{problem}")), "{text}");
        }
        let text = fault(&step(json!(null)));
        assert!(text.starts_with("steps[1].settings: is null, but required"), "{text}");
        let mut other = seen();
        (other["event"]["source_key"], other["lookback"]) = (json!("other"), json!(true));
        assert!(
            fault(&step(other)).starts_with("steps[1].settings.lookback: looks back at messages of the run itself")
        );
    }

    #[test]
    fn a_wait_for_a_message_of_this_workflow_names_a_step_before_it() {
        for (reference, problem) in [
            (
                "in_app_feed_1",
                "waits for a step that comes later. Steps with messages before this one are \"email_1\".",
            ),
            ("emial_1", "waits for a step that there is not. Did you mean \"email_1\"?"),
            ("wait_1", "waits for the step itself"),
        ] {
            let text = fault(&changed("/match_conditions", on("event.step_ref", reference)));
            let place = format!("steps[1].settings.match_conditions[0].conditions: {reference:?} {problem}");
            assert!(text.starts_with(&place), "{text}");
        }
    }

    #[test]
    fn later_steps_ask_whether_a_wait_was_met() {
        let asks = |variable: &str| {
            let mut document = step(seen());
            document["steps"][2]["conditions"] =
                json!([{"variable": variable, "operator": "equal_to", "argument": "true"}]);
            document
        };
        for fine in ["refs.wait_1.matched", "refs.wait_1.signal_variables.message_id"] {
            assert!(!workflow(&asks(fine)).steps[2].conditions.is_empty());
        }
        let text = fault(&asks("refs.wait_1.status"));
        assert!(text.contains("asks for something else than \"matched\", \"signal_variables\""), "{text}");
    }
}
