//! What tells the runs of a throttle, an experiment or a batch apart.

use super::*;

/// A world whose first step is `step`, before an email.
fn before_an_email(step: Value) -> World {
    let mut world = World::new(&[Kind::Email, Kind::Email], TriggerSettings::default(), true);
    let mut step = step;
    step["ref"] = json!("keyed");
    let read = parse_source("w", json!({"name": "W", "steps": [step]}), &BTreeMap::new(), Engine::Handlebars).unwrap();
    world.workflow.steps[0] = Step { next: Onward::to(1), ..read.0.steps[0].clone() };
    world
}

/// What the step does whose key came to `said`.
fn prepared(world: &World, name: &str, said: &str) -> Plan {
    assert_eq!(world.next(Event::Enter).then, [Effect::Prepare { step: 0 }]);
    world.next(Event::Prepared { step: 0, settings: Ok(Map::from_iter([(name.to_owned(), json!(said))])) })
}

#[test]
fn a_throttle_is_a_gate_of_its_step_its_recipient_and_its_key() {
    let mut world = World::new(&[Kind::Email, Kind::Delay(1)], TriggerSettings::default(), true);
    let source = json!({"name": "W", "steps": [{
        "ref": "t", "type": "throttle",
        "settings": {"throttle_window": {"unit": "minutes", "value": 5}, "throttle_limit": 2, "throttle_key": "page"},
    }]});
    let (workflow, _) = parse_source("w", source, &BTreeMap::new(), Engine::Handlebars).unwrap();
    world.workflow.steps[0].kind = workflow.steps[0].kind.clone();
    let gate = |world: &World| world.next(Event::Enter).write.unwrap().gate;
    assert_eq!(gate(&world), None, "without its key it lets everything pass");
    let skipped = world.next(Event::Enter).write.unwrap().events.remove(0).kind;
    assert_eq!(skipped, RunEventKind::StepSkipped("there is nothing at `data.page`, its key".into()));
    let of_page = |world: &mut World, page: &str| {
        world.facts = json!({"data": {"page": page}});
        gate(world).unwrap()
    };
    let one = of_page(&mut world, "1");
    let Gate::Throttle { until, limit: 2, .. } = one else { panic!("{one:?}") };
    assert_eq!(until, START.plus(Span::from_secs(300)));
    assert_ne!(of_page(&mut world, "2"), one);
    assert_eq!(of_page(&mut world, "1"), one);
    world.recipient.reference = RecipientRef::user("other");
    assert_ne!(of_page(&mut world, "1"), one);
    let write = world.next(Event::Enter).write.unwrap();
    let behind = (write.to, write.events.len());
    assert_eq!(behind, (Next::Phase(Phase::Ready { step: 1 }), 0), "a halted run tells nothing of the delay behind it");
}

#[test]
fn a_throttle_whose_key_is_a_template_gates_by_what_it_says_and_lets_pass_what_says_nothing() {
    let window = json!({"unit": "minutes", "value": 5});
    let settings = json!({"throttle_window": window, "throttle_key": "{{data.page}}-{{actor.id}}"});
    let world = before_an_email(json!({"type": "throttle", "settings": settings}));
    let gate = |said: &str| prepared(&world, "throttle_key", said).write.unwrap().gate;
    assert!(gate("1-ann").is_some() && gate(" 1-ann ") == gate("1-ann"));
    assert_ne!(gate("2-ann"), gate("1-ann"));
    let failed = world.next(Event::Prepared { step: 0, settings: Err("no such helper".into()) });
    for (plan, reason) in
        [(prepared(&world, "throttle_key", " "), "its key comes to nothing"), (failed, "no such helper")]
    {
        let write = plan.write.unwrap();
        assert_eq!((write.gate, write.to), (None, Next::Phase(Phase::Ready { step: 1 })));
        assert_eq!(write.events[0].kind, RunEventKind::StepSkipped(reason.into()));
    }
}

#[test]
fn an_experiment_whose_key_is_a_template_draws_by_what_it_says_or_else_by_the_recipient() {
    let cohort = |name: &str| json!({"name": name, "percentage": 50, "steps": []});
    let step = json!({"type": "random_cohort", "cohort_branches": [cohort("A"), cohort("B")]});
    let keyed = |key: Value| {
        let mut step = step.clone();
        step["cohort_key"] = key;
        before_an_email(step)
    };
    let drawn = |plan: Plan| match plan.write.unwrap().events.remove(0).kind {
        RunEventKind::CohortDrawn { name, key } => (name, key),
        other => panic!("{other:?}"),
    };
    let template = keyed(json!("{{tenant.id}}/{{data.page}}"));
    let by_path = |key: &str| {
        let mut world = keyed(json!("page"));
        world.facts = json!({"data": {"page": key}});
        drawn(world.next(Event::Enter))
    };
    for key in ["acme/1", "acme/2", "acme/3", "acme/4"] {
        assert_eq!(drawn(prepared(&template, "cohort_key", key)), by_path(key));
    }
    let by_recipient = drawn(keyed(Value::Null).next(Event::Enter));
    assert_eq!(drawn(prepared(&template, "cohort_key", "")), by_recipient);
    assert_eq!(drawn(keyed(json!("page")).next(Event::Enter)), by_recipient);
}

#[test]
fn a_batch_whose_key_is_a_template_collects_by_what_it_says() {
    let settings = json!({
        "batch_window": {"unit": "minutes", "value": 5}, "batch_window_type": "fixed",
        "batch_key": "{{data.page}}-{{actor.id}}",
    });
    let world = before_an_email(json!({"type": "batch", "settings": settings}));
    let shown = |said: &str| match prepared(&world, "batch_key", said).write.unwrap().gate {
        Some(Gate::Batch(entering)) => (entering.shown_key, entering.key),
        other => panic!("{other:?}"),
    };
    assert_eq!(shown(" 1-ann ").0, "1-ann");
    assert_ne!(shown("1-ann").1, shown("2-ann").1);
    assert_eq!(shown("").0, "", "runs without a key are of one batch");
}
