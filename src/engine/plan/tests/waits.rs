//! What a run does at a step that waits for an event, and behind it.

use super::*;
use crate::model::awaited::{Awaited, MessageHappening};
use crate::model::condition::Judged;
use crate::model::engagement::Action;
use crate::store::op::Registering;

/// An item, a wait for it to be seen, and an email; the wait is set by `settings` beside what it needs.
fn waiting(settings: Value) -> World {
    let mut world = World::new(&[Kind::InApp, Kind::Email, Kind::Email], TriggerSettings::default(), true);
    let mut all = json!({
        "event": {"event_type": "message", "event_key": "seen", "source_key": "w"},
        "match_conditions": [{"operator": "and", "conditions": [
            {"variable": "event.data.button", "operator": "equal_to", "argument": "data.wanted"},
        ]}],
        "expires_after": {"unit": "minutes", "value": 15},
    });
    all.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    let step = json!({"ref": "wait_1", "type": "wait_for_event", "settings": all});
    let (workflow, _) =
        parse_source("w", json!({"name": "W", "steps": [step]}), &BTreeMap::new(), Engine::Handlebars).unwrap();
    world.workflow.steps[1].kind = workflow.steps[0].kind.clone();
    world.run.phase = Phase::Ready { step: 1 };
    world.facts = json!({"data": {"wanted": "buy"}});
    world
}

fn registered(plan: &Plan) -> Registering {
    match plan.write.as_ref().and_then(|write| write.gate.clone()) {
        Some(Gate::Wait(registering)) => *registering,
        other => panic!("{other:?}"),
    }
}

const QUARTER: Span = Span::from_secs(15 * 60);

#[test]
fn a_run_waits_and_what_it_compares_the_event_with_is_of_that_time() {
    let world = waiting(json!({}));
    let plan = world.next(Event::Enter);
    let due = START.plus(QUARTER);
    let write = plan.write.as_ref().unwrap();
    assert_eq!(write.to, Next::Phase(Phase::Awaiting { step: 1, due }));
    assert_eq!(plan.then, [Effect::Sleep(due)]);
    let what = "message.seen of w".to_owned();
    assert_eq!(write.events.last().unwrap().kind, RunEventKind::WaitRegistered { what, until: due });
    let Registering { wait, step, looks_back } = registered(&plan);
    assert_eq!((step, looks_back, wait.step_ref.as_str()), (1, false, "step_1"));
    let event = MessageHappening::Did(Action::Seen);
    assert_eq!(wait.awaited, Awaited::Message { event, workflow: "w".into() });
    assert!(wait.judge(&json!({"data": {"button": "later"}}), START).is_none());
    let (_, judged) = wait.judge(&json!({"data": {"button": "buy"}}), START).unwrap();
    let [Judged { argument, wanted, .. }] = &judged[..] else { panic!("{judged:?}") };
    assert_eq!((argument.as_str(), wanted.as_deref()), ("data.wanted", Some("\"buy\"")));
}

#[test]
fn what_is_missing_when_the_wait_begins_is_missing_when_the_event_comes() {
    let mut world = waiting(json!({}));
    world.facts = json!({"data": {}});
    let wait = registered(&world.next(Event::Enter)).wait;
    assert!(wait.judge(&json!({"data": {"button": ""}}), START).is_some());
    assert!(wait.judge(&json!({"data": {"button": "buy"}}), START).is_none());
}

#[test]
fn messages_tell_by_whom_they_are_sent() {
    let world = waiting(json!({"match_conditions": [{"conditions": [
        {"variable": "event.channel_provider", "operator": "equal_to", "argument": "in_app_feed"},
    ]}]}));
    let wait = registered(&world.next(Event::Enter)).wait;
    let by = |key: &str| {
        let channel = world.channels.iter().find(|channel| channel.key == key).unwrap();
        wait.judge(&json!({"channel_id": channel.id}), START).is_some()
    };
    assert!(by("in-app") && !by("email"));
}

/// By what the step says: where a run goes that meets its event, and one that does not.
#[test]
fn a_match_and_a_timeout_each_go_on_or_end_the_run() {
    let on = Next::Phase(Phase::Ready { step: 2 });
    let ends = |halt| Next::End(Outcome::Halted(halt));
    for (settings, matched, expired) in [
        (json!({}), on.clone(), ends(Halt::WaitExpired)),
        (json!({"on_timeout": "continue"}), on.clone(), on.clone()),
        (json!({"on_match": "halt"}), ends(Halt::WaitMatched), ends(Halt::WaitExpired)),
        (json!({"on_match": "halt", "on_timeout": "continue"}), ends(Halt::WaitMatched), on.clone()),
    ] {
        let mut world = waiting(settings.clone());
        world.run.phase = Phase::Matched { step: 1 };
        assert_eq!(world.next(Event::Enter).write.unwrap().to, matched, "{settings}");
        let due = START.plus(QUARTER);
        world.run.phase = Phase::Awaiting { step: 1, due };
        assert_eq!(world.next(Event::Enter).then, [Effect::Sleep(due)], "{settings}");
        world.now = due;
        let write = world.next(Event::Enter).write.unwrap();
        assert_eq!(write.to, expired, "{settings}");
        let what = "message.seen of w".to_owned();
        assert_eq!(write.events[0].kind, RunEventKind::WaitExpired { what });
    }
}

#[test]
fn a_delay_behind_a_wait_begins_with_the_match() {
    let mut world = waiting(json!({}));
    world.workflow.steps[2].kind = StepKind::Delay(Moment::After(Duration { unit: Unit::Hours, value: 1 }));
    world.run.phase = Phase::Matched { step: 1 };
    let due = START.plus(Span::from_secs(3_600));
    assert_eq!(world.next(Event::Enter).write.unwrap().to, Next::Phase(Phase::Waiting { step: 2, due }));
}

#[test]
fn a_wait_is_left_out_by_its_conditions_and_not_by_a_trigger_that_skips_delays() {
    let mut world = waiting(json!({}));
    world.trigger.settings = TriggerSettings { skip_delay: true, sandbox_mode: true };
    registered(&world.next(Event::Enter));
    world.workflow.steps[1].conditions = {
        let condition = json!([{"variable": "data.wanted", "operator": "equal_to", "argument": "sell"}]);
        Conditions::from_json("", &condition, STEP_SCOPES, &mut Vec::new())
    };
    let write = world.next(Event::Enter).write.unwrap();
    assert_eq!((write.to, write.gate), (Next::Phase(Phase::Ready { step: 2 }), None));
}

#[test]
fn a_run_whose_event_came_ends_with_its_recipient_or_its_workflow() {
    let mut world = waiting(json!({}));
    world.run.phase = Phase::Matched { step: 1 };
    world.deleted = true;
    assert_eq!(world.next(Event::Enter).write.unwrap().to, Next::End(Outcome::RecipientDeleted));
}
