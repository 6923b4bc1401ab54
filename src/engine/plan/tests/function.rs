//! What steps do by their settings: updates and nested triggers.

use super::*;
use crate::model::audience::AudienceChange;
use crate::model::trigger::Parent;

/// A world whose first step is of this type and has these settings, before an email.
fn with_function(kind: &str, settings: &Value) -> World {
    let mut world = World::new(&[Kind::Email, Kind::Email], TriggerSettings::default(), true);
    let step = json!({"ref": "step_0", "type": kind, "settings": settings});
    let document = json!({"name": "W", "steps": [step]});
    let read = parse_source("w", document, &BTreeMap::new(), Engine::Handlebars).unwrap().0;
    world.workflow.steps[0].kind = read.steps[0].kind.clone();
    world
}

/// What a function step does by these settings, which need no rendering.
fn function(world: &World, settings: &Value) -> Plan {
    assert_eq!(world.next(Event::Enter).then, [Effect::Prepare { step: 0 }]);
    world.next(Event::Prepared { step: 0, settings: Ok(settings.as_object().unwrap().clone()) })
}

#[test]
fn a_nested_trigger_has_what_its_step_says_and_else_what_the_run_has() {
    let ada = json!("u@x.test");
    let said = |more: Value| {
        let mut settings = json!({"workflow_key": "other"});
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        settings
    };
    for (settings, recipients, actor, tenant, key, data) in [
        (said(json!({})), json!([ada]), Some("projects/p"), Some("acme"), Some("k"), json!({"n": 1})),
        (
            said(json!({"recipients": " bob ", "actor": "", "tenant": "", "cancellation_key": "", "data": ""})),
            json!(["bob"]),
            None,
            None,
            None,
            json!({}),
        ),
        (
            said(json!({"recipients": "[\"a\", {\"collection\": \"p\", \"id\": \"1\"}]", "data": "{\"x\": [1]}"})),
            json!(["a", {"collection": "p", "id": "1"}]),
            Some("projects/p"),
            Some("acme"),
            Some("k"),
            json!({"x": [1]}),
        ),
        // The id of an object is all that a template says of it.
        (
            said(
                json!({"recipients": "p", "actor": "u@x.test", "data": {"y": 2}, "tenant": "b", "cancellation_key": "c"}),
            ),
            json!([{"collection": "projects", "id": "p"}]),
            Some("u@x.test"),
            Some("b"),
            Some("c"),
            json!({"y": 2}),
        ),
    ] {
        let mut world = with_function("trigger_workflow", &settings);
        world.trigger.actor = Some(RecipientRef { collection: "projects".into(), id: "p".into() });
        world.trigger.tenant = Some("acme".into());
        world.trigger.cancellation_key = Some("k".into());
        world.trigger.data = json!({"n": 1}).as_object().unwrap().clone();
        world.trigger.settings.sandbox_mode = true;
        let plan = function(&world, &settings);
        let nested = *plan.trigger.unwrap();
        let request = nested.request;
        assert_eq!((nested.workflow.as_str(), nested.step_ref.as_str()), ("other", "step_0"));
        let named: Vec<Value> = request.recipients.iter().map(|named| named.reference.to_json()).collect();
        assert_eq!(json!(named), recipients, "{settings}");
        assert_eq!(request.actor.map(|actor| actor.reference.to_string()).as_deref(), actor, "{settings}");
        assert_eq!(request.tenant.map(|tenant| tenant.reference.id).as_deref(), tenant, "{settings}");
        assert_eq!(request.cancellation_key.as_deref(), key, "{settings}");
        assert_eq!(Value::Object(request.data), data, "{settings}");
        assert!(request.settings.sandbox_mode, "what sends nothing sends nothing by another workflow");
        assert_eq!(plan.write.unwrap().to, Next::Phase(Phase::Ready { step: 1 }));
    }
}

#[test]
fn a_nested_trigger_that_cannot_be_made_ends_the_run_and_one_without_a_workflow_is_left_out() {
    for (settings, problem) in [
        (json!({"workflow_key": " "}), "`workflow_key`"),
        (json!({"workflow_key": "w", "recipients": ""}), "`recipients`"),
        (json!({"workflow_key": "w", "recipients": "[1"}), "`recipients` is no JSON"),
        (json!({"workflow_key": "w", "data": "[]"}), "`data` is no JSON object"),
    ] {
        let world = with_function("trigger_workflow", &json!({"workflow_key": "w"}));
        let plan = function(&world, &settings);
        let Next::End(Outcome::Failed(why)) = &plan.write.unwrap().to else { panic!("{settings} is taken") };
        assert!(why.contains(problem) && plan.trigger.is_none(), "{why}");
    }
    let settings = json!({"workflow_key": "w"});
    let mut world = with_function("trigger_workflow", &settings);
    let why = NotTriggered::NoWorkflow("there is none".into());
    let plan = world.next(Event::NotTriggered { step: 0, why });
    assert_eq!(plan.write.unwrap().to, Next::Phase(Phase::Ready { step: 1 }));
    world.trigger.parent = Some(Parent { run: RunId::from([9; 16]), depth: 5 });
    let plan = function(&world, &settings);
    assert!(matches!(plan.write.unwrap().to, Next::End(Outcome::Failed(why)) if why.contains("5 workflows deep")));
}

#[test]
fn an_update_changes_data_or_people_and_nothing_when_it_cannot() {
    let data = json!({"data": {"a": 1}});
    let change = function(&with_function("update_data", &data), &json!({"data": " {\"b\": {\"c\": 2}} "}));
    let write = change.write.unwrap();
    assert_eq!(json!(write.changes.data), json!({"b": {"c": 2}}));
    assert_eq!(write.to, Next::Phase(Phase::Ready { step: 1 }));
    let user = json!({"recipient_mode": "current", "update_properties": {"plan": "pro"}});
    let write = function(&with_function("update_user", &user), &user).write.unwrap();
    let [(who, profile)] = write.changes.people.as_slice() else { panic!("{write:?}") };
    assert_eq!((who, json!(profile.properties)), (&RecipientRef::user("u@x.test"), json!({"plan": "pro"})));

    let vip = json!({"audience_key": " vip ", "action": "add"});
    let mut member = with_function("update_audience", &vip);
    member.trigger.tenant = Some("acme".into());
    let write = function(&member, &vip).write.unwrap();
    let change = write.changes.audience.unwrap();
    assert_eq!((change.key.as_str(), change.change), ("vip", AudienceChange::Add));
    assert_eq!(change.members, [(RecipientRef::user("u@x.test"), Some("acme".to_owned()))]);

    let mut object = with_function("update_user", &user);
    object.recipient.reference.collection = "projects".into();
    let left_out = [
        function(&object, &user),
        {
            let tenant = json!({"recipient_mode": "current", "update_properties": {}});
            function(&with_function("update_tenant", &tenant), &tenant)
        },
        {
            member.recipient.reference.collection = "projects".into();
            function(&member, &vip)
        },
    ];
    for plan in left_out {
        let write = plan.write.unwrap();
        assert_eq!((&write.changes, &write.to), (&Changes::default(), &Next::Phase(Phase::Ready { step: 1 })));
        assert!(matches!(write.events[0].kind, RunEventKind::StepSkipped(_)));
    }
    let gid = |gid: &str| json!({"recipient_gid": gid, "update_properties": "{}"});
    for (kind, settings, rendered, problem) in [
        ("update_data", data.clone(), json!({"data": "[]"}), "`data` is no JSON object"),
        ("update_data", data, json!({"data": {"x": "y".repeat(1 << 20)}}), "the run's own data would take"),
        ("update_user", user.clone(), json!({"update_properties": {"channel_data": {}}}), "cannot change channel data"),
        ("update_user", user, json!({"update_properties": {"email": 7}}), "`update_properties.email` must be a string"),
        ("update_object", gid("gid://Object/p/1"), gid("gid://Object/$users/1"), "`recipient_gid`: "),
        ("update_object", gid("gid://Object/p/1"), gid("gid://Object/p/"), "`recipient_gid`: "),
        ("update_audience", vip.clone(), json!({"audience_key": "a/b"}), "`audience_key`: "),
        ("update_audience", vip, json!({"audience_key": ""}), "`audience_key`: "),
    ] {
        let write = function(&with_function(kind, &settings), &rendered).write.unwrap();
        let Next::End(Outcome::Failed(why)) = &write.to else { panic!("{rendered} is taken") };
        assert!(why.contains(problem) && write.changes == Changes::default(), "{why}");
    }
}
