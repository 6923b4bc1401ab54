//! When a delay is over.

use super::*;

#[test]
fn a_delay_until_a_time_in_the_data_waits_for_it_and_is_left_out_when_there_is_none() {
    let mut world = World::new(&[Kind::Email, Kind::Delay(1), Kind::Email], TriggerSettings::default(), true);
    let source = json!({"name": "W", "steps": [
        {"ref": "delay_1", "type": "delay", "settings": {"delay_until_field_path": "due"}},
    ]});
    let (workflow, _) = parse_source("w", source, &BTreeMap::new(), Engine::Handlebars).unwrap();
    world.workflow.steps[1].kind = workflow.steps[0].kind.clone();
    world.run.phase = Phase::Ready { step: 1 };
    let due = START.plus(Span::from_secs(90));
    world.facts = json!({"data": {"due": due.to_string()}});
    assert_eq!(world.next(Event::Enter).then, [Effect::Sleep(due)]);
    world.facts = json!({"data": {"due": START.to_string()}});
    let write = world.next(Event::Enter).write.unwrap();
    assert!(matches!(&write.events[0].kind, RunEventKind::StepSkipped(why) if why.contains("which is past")));
    assert_eq!(write.to, Next::Phase(Phase::Ready { step: 2 }));
    world.trigger.settings.skip_delay = true;
    let write = world.next(Event::Enter).write.unwrap();
    assert!(
        matches!(&write.events[0].kind, RunEventKind::StepSkipped(why) if why.contains("skip delays")),
        "{write:?}"
    );
}

#[test]
fn a_month_is_the_recipients_month() {
    let mut world = World::new(&[Kind::Delay(1)], TriggerSettings::default(), true);
    world.workflow.steps[0].kind = StepKind::Delay(Moment::After(Duration { unit: Unit::Months, value: 1 }));
    world.run.phase = begin(&world.workflow, TriggerSettings::default(), START).phase;
    assert_eq!(world.run.phase, Phase::Ready { step: 0 }, "whose month it is, is not known yet");
    world.recipient.properties.insert("timezone".into(), json!("America/New_York"));
    // 2026-02-28 23:30 in New York; a month later its clocks have changed.
    world.now = "2026-03-01T04:30:00Z".parse::<jiff::Timestamp>().map(Timestamp::from_jiff).unwrap();
    let Next::Phase(phase) = world.next(Event::Enter).write.unwrap().to else { panic!("it waits") };
    assert_eq!(phase.due().unwrap().to_string(), "2026-03-29T03:30:00.000000Z");
}
