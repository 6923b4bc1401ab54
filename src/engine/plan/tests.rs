//! What runs do, from their start to their end.

use std::collections::BTreeMap;
use std::time::Duration as Span;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::base::config::ProviderName;
use crate::base::ids::{RunId, TriggerId, VersionId};
use crate::model::channel::ChannelType;
use crate::model::condition::{Conditions, STEP_SCOPES};
use crate::model::consent::Sets;
use crate::model::duration::{Duration, Unit};
use crate::model::flow::Flow;
use crate::model::message::EmailContent;
use crate::model::moment::Moment;
use crate::model::preferences::PreferenceSet;
use crate::model::recipient::RecipientRef;
use crate::model::trigger::TriggerSettings;
use crate::model::workflow::{ChannelStep, EmailTemplate, Engine, Frequency, InAppTemplate, Settings, Template};
use crate::model::workflow_file::parse_source;

mod delays;
mod function;
mod keys;
mod waits;

const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

struct World {
    trigger: Trigger,
    workflow: Workflow,
    recipient: Recipient,
    channels: Vec<Channel>,
    run: Run,
    now: Timestamp,
    deleted: bool,
    preferences: Preferences,
    facts: Value,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Email,
    InApp,
    Delay(i64),
}

impl World {
    fn new(kinds: &[Kind], settings: TriggerSettings, reachable: bool) -> Self {
        let reference = RecipientRef::user(if reachable { "u@x.test" } else { "u" });
        let trigger = Trigger {
            id: TriggerId::from([1; 16]),
            workflow: "w".into(),
            version: VersionId::from([1; 16]),
            data: Map::new(),
            actor: None,
            tenant: None,
            cancellation_key: None,
            settings,
            schedule: None,
            parent: None,
            inserted_at: START,
        };
        let steps = kinds.iter().enumerate().map(|(index, kind)| Step {
            next: if index + 1 < kinds.len() { Onward::to(index + 1) } else { Onward::Finish },
            path: format!("steps[{index}]"),
            reference: format!("step_{index}"),
            name: None,
            conditions: Conditions::default(),
            kind: match kind {
                Kind::Delay(value) => StepKind::Delay(Moment::After(Duration { unit: Unit::Hours, value: *value })),
                Kind::Email => channel("email", Template::Email(EmailTemplate::plain("s", "h"))),
                Kind::InApp => channel(
                    "in-app",
                    Template::InAppFeed(InAppTemplate {
                        markdown_body: "m".into(),
                        action_url: None,
                        action_buttons: Vec::new(),
                    }),
                ),
            },
        });
        let workflow = Workflow {
            key: "w".into(),
            name: "W".into(),
            categories: Vec::new(),
            settings: Settings::default(),
            steps: steps.collect(),
            frequency: Frequency::default(),
            conditions: Conditions::default(),
            source: Value::Null,
            files: Default::default(),
        };
        let run = Run {
            id: RunId::from([2; 16]),
            trigger: trigger.id,
            flow: Flow::default(),
            recipient: reference.clone(),
            data: None,
            via: None,
            cancel: None,
            revision: 0,
            phase: begin(&workflow, settings, START).phase,
            begun: None,
        };
        let channels = [
            ("email", ChannelType::Email, ProviderName::Mailbox),
            ("in-app", ChannelType::InAppFeed, ProviderName::InAppFeed),
        ]
        .map(|(key, kind, provider)| {
            let id = ChannelId::from([key.len() as u8; 16]);
            Channel {
                key: key.into(),
                id,
                kind,
                provider,
                from: None,
                addressing: Default::default(),
                tracking: Default::default(),
            }
        })
        .to_vec();
        let recipient = Recipient::stub(reference, START);
        let preferences = Preferences::default();
        Self {
            trigger,
            workflow,
            recipient,
            channels,
            run,
            now: START,
            deleted: false,
            preferences,
            facts: Value::Null,
        }
    }

    fn next(&self, event: Event) -> Plan {
        let env = Env {
            now: self.now,
            trigger: &self.trigger,
            workflow: &self.workflow,
            version: self.trigger.version,
            data: &self.trigger.data,
            zone: &self.recipient.own_zone().unwrap_or(TimeZone::UTC),
            active: true,
            batch: None,
            moved: None,
            recipient: &self.recipient,
            deleted: self.deleted,
            preferences: &self.preferences,
            facts: Facts { scope: &self.facts, now: self.now, audiences: &[] },
            preference_facts: Facts { scope: &self.facts, now: self.now, audiences: &[] },
            channels: &self.channels,
        };
        next(&self.run, event, &env)
    }

    /// Plays the run to its end; answers its messages' steps and when each was made.
    fn play(&mut self) -> Vec<(String, Timestamp)> {
        let mut made = Vec::new();
        let mut event = Event::Enter;
        for _ in 0..=4 * self.workflow.steps.len() + 4 {
            let plan = self.next(event);
            event = Event::Enter;
            if let Some(write) = &plan.write {
                assert_eq!((write.run, write.expect), (self.run.id, self.run.revision));
                // Beside those of a gate and of a nested trigger.
                assert!(write.events.len() + 3 <= EVENTS_PER_REVISION as usize, "{write:?}");
                if let Some(NewMessage::Send(message, _) | NewMessage::Feed(message, _) | NewMessage::Keep(message)) =
                    &write.message
                {
                    made.push((message.step_ref.clone(), message.inserted_at));
                }
                self.run.revision += 1;
                match write.to {
                    Next::Phase(phase) => self.run.phase = phase,
                    Next::End(_) => {
                        assert_eq!(plan.then.last(), Some(&Effect::Stop));
                        return made;
                    }
                }
            }
            for effect in plan.then {
                match effect {
                    Effect::Sleep(due) => {
                        assert!(due > self.now, "it sleeps into the past");
                        self.now = due;
                    }
                    Effect::Render(draft) => {
                        assert!(plan.write.is_none());
                        event = Event::Rendered { draft, content: Ok(Some(self.content(draft))) };
                    }
                    Effect::Prepare { .. } | Effect::Fetch { .. } => panic!("no step of these has settings"),
                    Effect::Deliver { .. } | Effect::Publish { .. } => {
                        assert!(plan.write.is_some(), "nothing is sent before it is written");
                    }
                    Effect::Continue => {}
                    Effect::Stop => panic!("it stops without having ended"),
                }
            }
        }
        panic!("the run does not end");
    }

    fn content(&self, draft: Draft) -> Content {
        match &self.workflow.steps[usize::from(draft.step)].kind {
            StepKind::Channel(ChannelStep { template: Template::InAppFeed(_), .. }) => {
                Content::InApp { blocks: Vec::new() }
            }
            _ => Content::Email {
                to: "u@x.test".into(),
                email: EmailContent {
                    subject: String::new(),
                    html: String::new(),
                    text: String::new(),
                    ..EmailContent::default()
                },
            },
        }
    }
}

fn channel(key: &str, template: Template) -> StepKind {
    StepKind::Channel(ChannelStep {
        channel_key: key.into(),
        send_windows: None,
        engine: None,
        template,
        tracking: Default::default(),
    })
}

fn kinds() -> impl Strategy<Value = Vec<Kind>> {
    let kind = prop_oneof![Just(Kind::Email), Just(Kind::InApp), (1i64..100).prop_map(Kind::Delay)];
    prop::collection::vec(kind, 1..12)
}

proptest! {
    #[test]
    fn every_run_ends_with_each_message_once_and_after_its_delays(
        kinds in kinds(), skip_delay: bool, sandbox_mode: bool, reachable: bool
    ) {
        let mut world = World::new(&kinds, TriggerSettings { skip_delay, sandbox_mode }, reachable);
        let made = world.play();
        let mut expected = Vec::new();
        let mut at = START;
        for (index, kind) in kinds.iter().enumerate() {
            match kind {
                Kind::Delay(_) if skip_delay => {}
                Kind::Delay(hours) => at = at.plus(Span::from_secs(*hours as u64 * 3_600)),
                Kind::Email if !reachable => {}
                Kind::Email | Kind::InApp => expected.push((format!("step_{index}"), at)),
            }
        }
        prop_assert_eq!(made, expected);
    }

    #[test]
    fn a_run_that_is_not_due_does_nothing(kinds in kinds(), step in 0u16..12, early in 1i64..1_000_000_000) {
        let mut world = World::new(&kinds, TriggerSettings::default(), true);
        let due = Timestamp::from_micros(START.as_micros() + early);
        world.run.phase = Phase::Waiting { step, due };
        let plan = world.next(Event::Enter);
        prop_assert!(plan.write.is_none());
        prop_assert_eq!(plan.then, vec![Effect::Sleep(due)]);
    }
}

/// That `data.go` lies at `index` of the facts' list.
fn asks(index: usize) -> Conditions {
    let condition = json!({"variable": format!("data.go[{index}]"), "operator": "equal_to", "argument": "true"});
    Conditions::from_json("", &condition, STEP_SCOPES, &mut Vec::new())
}

proptest! {
    #[test]
    fn what_its_conditions_hold_back_does_not_happen_and_the_rest_does(
        kinds in kinds(), go in prop::collection::vec(any::<bool>(), 12), begins: bool
    ) {
        let mut world = World::new(&kinds, TriggerSettings::default(), true);
        world.facts = json!({"data": {"go": go, "begins": begins}});
        world.workflow.steps.iter_mut().enumerate().for_each(|(index, step)| step.conditions = asks(index));
        let trigger = json!({"variable": "data.begins", "operator": "equal_to", "argument": "true"});
        world.workflow.conditions = Conditions::from_json("", &trigger, STEP_SCOPES, &mut Vec::new());
        world.run.phase = begin(&world.workflow, TriggerSettings::default(), START).phase;
        let made = world.play();
        let mut expected = Vec::new();
        let mut at = START;
        for (index, kind) in kinds.iter().enumerate().filter(|(index, _)| begins && go[*index]) {
            match kind {
                Kind::Delay(hours) => at = at.plus(Span::from_secs(*hours as u64 * 3_600)),
                Kind::Email | Kind::InApp => expected.push((format!("step_{index}"), at)),
            }
        }
        prop_assert_eq!(made, expected);
    }
}

/// A part of a workflow as it is written: what it does is known without numbering its steps.
#[derive(Clone, Debug)]
enum Part {
    Email,
    /// Hours.
    Delay(i64),
    /// Whether its conditions hold, what lies in it and whether it terminates, branch by branch; the last is taken
    /// when no other is.
    Branch(Vec<(bool, Vec<Part>, bool)>),
}

fn parts() -> impl Strategy<Value = Vec<Part>> {
    let leaf = prop_oneof![Just(Part::Email), (1i64..100).prop_map(Part::Delay)];
    let part = leaf.prop_recursive(3, 24, 4, |inner| {
        let arm = (any::<bool>(), prop::collection::vec(inner, 0..4), prop::bool::weighted(0.2));
        prop::collection::vec(arm, 1..4).prop_map(Part::Branch)
    });
    prop::collection::vec(part, 1..5)
}

fn documents(parts: &[Part], count: &mut usize) -> Vec<Value> {
    let document = |part: &Part| {
        *count += 1;
        let reference = format!("step_{count}");
        match part {
            Part::Email => json!({
                "ref": reference, "type": "channel", "channel_key": "email",
                "template": {"subject": "s", "html_body": "h"},
            }),
            Part::Delay(hours) => json!({
                "ref": reference, "type": "delay", "settings": {"delay_for": {"unit": "hours", "value": hours}},
            }),
            Part::Branch(arms) => {
                let arm = |(index, (holds, parts, terminates)): (usize, &(bool, Vec<Part>, bool))| {
                    let condition = json!({"variable": "true", "operator": "equal_to", "argument": holds});
                    let conditions = if index + 1 < arms.len() { json!([condition]) } else { Value::Null };
                    json!({"name": "b", "conditions": conditions, "steps": documents(parts, count), "terminates": terminates})
                };
                let branches: Vec<Value> = arms.iter().enumerate().map(arm).collect();
                json!({"ref": reference, "type": "branch", "branches": branches})
            }
        }
    };
    parts.iter().map(document).collect()
}

/// What the parts do from `at` on; answers whether a branch ended the run. `count` numbers all, those of branches
/// that are not taken too.
fn walk(
    parts: &[Part],
    count: &mut usize,
    at: &mut Timestamp,
    made: &mut Vec<(String, Timestamp)>,
    live: bool,
) -> bool {
    let mut ended = false;
    for part in parts {
        *count += 1;
        let live = live && !ended;
        match part {
            Part::Email if live => made.push((format!("step_{count}"), *at)),
            Part::Delay(hours) if live => *at = at.plus(Span::from_secs(*hours as u64 * 3_600)),
            Part::Branch(arms) => {
                let taken = arms[..arms.len() - 1].iter().position(|(holds, ..)| *holds).unwrap_or(arms.len() - 1);
                for (index, (_, parts, terminates)) in arms.iter().enumerate() {
                    let live = live && index == taken;
                    ended |= walk(parts, count, at, made, live) || live && *terminates;
                }
            }
            _ => {}
        }
    }
    ended
}

proptest! {
    #[test]
    fn a_run_takes_the_branches_that_hold_and_goes_on_behind_them(parts in parts()) {
        let mut world = World::new(&[Kind::Email], TriggerSettings::default(), true);
        let document = json!({"name": "W", "steps": documents(&parts, &mut 0)});
        let channels = [("email".to_owned(), ChannelType::Email)].into();
        let (workflow, _) = parse_source("w", document, &channels, Engine::Handlebars).unwrap();
        world.workflow = workflow;
        world.run.phase = begin(&world.workflow, TriggerSettings::default(), START).phase;
        let (mut at, mut expected) = (START, Vec::new());
        walk(&parts, &mut 0, &mut at, &mut expected, true);
        prop_assert_eq!(world.play(), expected);
    }
}

#[test]
fn a_branch_tells_what_it_looked_at_and_a_terminating_one_ends_the_run() {
    let mut world = World::new(&[Kind::Email, Kind::Email], TriggerSettings::default(), true);
    let branch = |name: &str, conditions, first| Branch { name: name.into(), conditions, first };
    world.workflow.steps[0].kind = StepKind::Branch(vec![
        branch("asked", asks(0), Onward::to(1)),
        branch("default", Conditions::default(), Onward::Terminate),
    ]);
    let write = world.next(Event::Enter).write.unwrap();
    assert_eq!(write.to, Next::End(Outcome::Halted(Halt::Branch)));
    let RunEventKind::BranchTaken(judged) = &write.events[0].kind else { panic!("{write:?}") };
    let told: Vec<_> = judged.iter().map(|one| (one.name.as_str(), one.conditions.len())).collect();
    assert_eq!(told, [("asked", 1), ("default", 0)]);
    world.facts = json!({"data": {"go": [true]}});
    assert_eq!(world.next(Event::Enter).write.unwrap().to, Next::Phase(Phase::Ready { step: 1 }));
    world.workflow.steps[0].conditions = asks(1);
    let write = world.next(Event::Enter).write.unwrap();
    assert_eq!(write.to, Next::Phase(Phase::Ready { step: 1 }), "left out, the run goes on behind it");
    assert!(matches!(write.events[1].kind, RunEventKind::StepSkipped(_)), "{write:?}");
}

#[test]
fn what_runs_once_is_counted_only_when_its_conditions_hold() {
    let mut world = World::new(&[Kind::Delay(1)], TriggerSettings::default(), true);
    world.workflow.frequency = Frequency::OncePerRecipientPerTenant;
    world.workflow.conditions = asks(0);
    world.run.phase = begin(&world.workflow, TriggerSettings::default(), START).phase;
    assert_eq!(world.next(Event::Enter).write.unwrap().gate, None);
    world.facts = json!({"data": {"go": [true]}});
    let without = world.next(Event::Enter).write.unwrap();
    assert!(without.gate.is_some() && without.to == Next::Phase(Phase::Ready { step: 0 }));
    world.trigger.tenant = Some(String::new());
    assert_ne!(world.next(Event::Enter).write.unwrap().gate, without.gate, "no tenant is not a tenant without name");
}

#[test]
fn a_run_whose_trigger_conditions_do_not_hold_ends_and_tells_why() {
    let mut world = World::new(&[Kind::Delay(1), Kind::Email], TriggerSettings::default(), true);
    world.workflow.conditions = asks(0);
    world.run.phase = begin(&world.workflow, TriggerSettings::default(), START).phase;
    assert_eq!(world.run.phase, Phase::Ready { step: 0 }, "no delay begins before they are judged");
    let write = world.next(Event::Enter).write.unwrap();
    assert_eq!(write.to, Next::End(Outcome::Halted(Halt::Conditions)));
    let RunEventKind::ConditionsEvaluated { hold: false, conditions } = &write.events[0].kind else {
        panic!("{write:?}")
    };
    assert_eq!((conditions[0].actual.as_deref(), conditions[0].holds), (None, Some(false)));
    world.run.revision = 1;
    let write = world.next(Event::Enter).write.unwrap();
    assert!(matches!(write.to, Next::Phase(Phase::Waiting { .. })), "they are judged once: {write:?}");
}

#[test]
fn a_step_that_is_left_out_by_its_conditions_says_by_which() {
    let mut world = World::new(&[Kind::Email, Kind::InApp], TriggerSettings::default(), true);
    world.workflow.steps[0].conditions = asks(0);
    world.facts = json!({"data": {"go": ["yes"]}});
    let write = world.next(Event::Enter).write.unwrap();
    let why = "its conditions: data.go[0] is \"yes\", asked is equal_to true";
    assert_eq!(write.events[1].kind, RunEventKind::StepSkipped(why.into()));
    assert_eq!(write.to, Next::Phase(Phase::Ready { step: 1 }));
}

#[test]
fn conditions_that_change_while_the_content_is_rendered_count() {
    let mut world = World::new(&[Kind::Email], TriggerSettings::default(), true);
    world.workflow.steps[0].conditions = asks(0);
    world.facts = json!({"data": {"go": [true]}});
    let [Effect::Render(draft)] = world.next(Event::Enter).then[..] else { panic!("it renders") };
    world.facts = Value::Null;
    let write = world.next(Event::Rendered { draft, content: Ok(Some(world.content(draft))) }).write.unwrap();
    assert!(write.message.is_none() && write.to == Next::End(Outcome::Finished), "{write:?}");
}

fn without(channel_type: &str) -> Preferences {
    let set = json!({"channel_types": {channel_type: false}});
    let recipient_default = Some(PreferenceSet::from_json("", &set, &mut Vec::new()));
    Preferences::new(Sets { recipient_default, ..Sets::default() })
}

#[test]
fn what_the_recipient_opted_out_of_is_left_out_with_the_reason_and_the_rest_is_made() {
    let mut world = World::new(&[Kind::Email, Kind::InApp], TriggerSettings::default(), true);
    world.preferences = without("email");
    let write = world.next(Event::Enter).write.unwrap();
    let why = "the recipient's preferences: channel_types.email in the recipient's default preferences";
    assert_eq!(write.events[1].kind, RunEventKind::StepSkipped(why.into()));
    let RunEventKind::PreferencesEvaluated(settings) = &write.events[0].kind else { panic!("it says by what") };
    assert!(!settings[0].allows);
    assert_eq!(world.play(), [("step_1".to_owned(), START)]);
}

#[test]
fn an_opt_out_that_comes_while_the_content_is_rendered_counts() {
    let mut world = World::new(&[Kind::Email], TriggerSettings::default(), true);
    let [Effect::Render(draft)] = world.next(Event::Enter).then[..] else { panic!("it renders") };
    world.preferences = without("email");
    let write = world.next(Event::Rendered { draft, content: Ok(Some(world.content(draft))) }).write.unwrap();
    assert!(write.message.is_none());
    assert_eq!(write.to, Next::End(Outcome::Finished));
}

#[test]
fn a_run_whose_recipient_was_deleted_ends_at_its_next_step() {
    let mut world = World::new(&[Kind::Delay(1), Kind::Email], TriggerSettings::default(), true);
    world.deleted = true;
    world.now = world.run.phase.due().unwrap();
    let plan = world.next(Event::Enter);
    let write = plan.write.unwrap();
    assert_eq!((write.to, write.message.is_none()), (Next::End(Outcome::RecipientDeleted), true));
    assert_eq!(plan.then, [Effect::Stop]);
}

#[test]
fn a_step_that_is_executed_again_after_a_crash_makes_the_same_message() {
    let world = World::new(&[Kind::Email], TriggerSettings::default(), true);
    assert_eq!(world.next(Event::Enter).then, world.next(Event::Enter).then);
}

#[test]
fn content_that_cannot_be_rendered_ends_the_run_and_says_why() {
    let world = World::new(&[Kind::Email, Kind::InApp], TriggerSettings::default(), true);
    let [Effect::Render(draft)] = world.next(Event::Enter).then[..] else { panic!("it renders") };
    let plan = world.next(Event::Rendered { draft, content: Err("no such date".into()) });
    let write = plan.write.unwrap();
    assert_eq!(write.to, Next::End(Outcome::Failed("no such date".into())));
    assert!(write.message.is_none());
}

#[test]
fn a_channel_that_is_gone_is_skipped_with_the_reason() {
    let mut world = World::new(&[Kind::Email, Kind::InApp], TriggerSettings::default(), true);
    world.channels.remove(0);
    let write = world.next(Event::Enter).write.unwrap();
    assert_eq!(write.to, Next::Phase(Phase::Ready { step: 1 }));
    assert_eq!(write.events[0].kind, RunEventKind::StepSkipped("channel `email` is not configured".into()));
}

#[test]
fn a_step_on_a_channel_that_there_is_not_is_left_out_with_the_reason() {
    let mut world = World::new(&[Kind::Email, Kind::InApp], TriggerSettings::default(), true);
    world.workflow.steps[0].kind = StepKind::Mute(ChannelType::Push);
    let write = world.next(Event::Enter).write.unwrap();
    assert_eq!(write.to, Next::Phase(Phase::Ready { step: 1 }));
    assert!(write.message.is_none());
    assert_eq!(write.events[0].kind, RunEventKind::StepSkipped("this version has no channels of type push".into()));
}
