//! What a run does next: a pure function from the run, what happened, and what surrounds it, to what is written and
//! what is done once that is durable. No I/O, no clock, no actors.

use jiff::tz::TimeZone;

use super::Channel;
use crate::base::clock::Timestamp;
use crate::base::ids::{ChannelId, MessageId};
use crate::model::condition::Facts;
use crate::model::consent::{Consent, Preferences, Subject};
use crate::model::duration::Unit;
use crate::model::message::{Content, Message, Status};
use crate::model::recipient::Recipient;
use crate::model::run::{Outcome, Phase, Run, RunEvent, RunEventKind};
use crate::model::trigger::{Trigger, TriggerSettings};
use crate::model::trigger_data::TriggerData;
use crate::model::workflow::{ChannelStep, Step, StepKind, Template, Workflow};
use crate::store::op::{Advance, NewMessage, Next};

/// What surrounds the run at `now`.
pub struct Env<'a> {
    pub now: Timestamp,
    pub trigger: &'a Trigger,
    pub workflow: &'a Workflow,
    pub recipient: &'a Recipient,
    /// The recipient was deleted since the run was triggered.
    pub deleted: bool,
    pub preferences: &'a Preferences,
    pub facts: Facts<'a>,
    pub channels: &'a [Channel],
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// The run was started, woken, or brought back: look where it stands.
    Enter,
    /// The step's content was rendered, or could not be.
    Rendered { draft: Draft, content: Result<Content, String> },
}

/// A message whose content is being rendered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draft {
    pub id: MessageId,
    pub step: u16,
    pub at: Timestamp,
}

/// The beginning that all runs of a trigger share.
#[derive(Clone, Debug, PartialEq)]
pub struct Beginning {
    pub phase: Phase,
    pub begun: Option<RunEvent>,
}

/// What to write, and what to do after it is durable.
#[derive(Clone, Debug)]
pub struct Plan {
    pub write: Option<Advance>,
    pub then: Vec<Effect>,
}

/// What is done; never before the plan's write is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Render the step's content and come back with `Event::Rendered`. Touches nothing outside.
    Render(Draft),
    /// Hand the message to its channel.
    Deliver { message: MessageId, channel: ChannelId },
    /// Tell those who watch the recipient's feed on the channel.
    Publish { channel: ChannelId },
    /// Execute the next step.
    Continue,
    /// Wait until then, and enter again.
    Sleep(Timestamp),
    /// The run has ended.
    Stop,
}

/// Where new runs of a trigger begin. A delay before everything else begins with the runs: what accepts them puts them
/// to sleep, and no actor is started only to write that. A delay in months is left to the run, since the months are
/// those of its recipient's zone.
pub fn begin(workflow: &Workflow, settings: TriggerSettings, now: Timestamp) -> Beginning {
    match workflow.steps.first() {
        Some(Step { reference, kind: StepKind::Delay(delay), .. })
            if delay.unit != Unit::Months && !settings.skip_delay =>
        {
            let due = delay.after(now, &TimeZone::UTC);
            let event = RunEvent { kind: RunEventKind::DelayStarted(due), step_ref: reference.clone(), at: now };
            Beginning { phase: Phase::Waiting { step: 0, due }, begun: Some(event) }
        }
        _ => Beginning { phase: Phase::Ready { step: 0 }, begun: None },
    }
}

/// What `run` does on `event`.
pub fn next(run: &Run, event: Event, env: &Env<'_>) -> Plan {
    match event {
        Event::Enter => match run.phase {
            Phase::Waiting { due, .. } if due > env.now => Plan { write: None, then: vec![Effect::Sleep(due)] },
            Phase::Waiting { step, .. } => enter(run, step.saturating_add(1), env),
            Phase::Ready { step } => enter(run, step, env),
        },
        Event::Rendered { draft, content } => rendered(run, draft, content, env),
    }
}

/// Ends a run that cannot go on: its surroundings are gone, or its actor died too often.
pub fn fail(run: &Run, now: Timestamp, why: String) -> Advance {
    let event = RunEvent { kind: RunEventKind::StepErrored(why.clone()), step_ref: String::new(), at: now };
    let to = Next::End(Outcome::Failed(why));
    Advance { run: run.id, expect: run.revision, to, message: None, events: vec![event], at: now }
}

/// Executes `step`. A step that needs no rendering is decided here, and so are those that follow it at once.
fn enter(run: &Run, step: u16, env: &Env<'_>) -> Plan {
    if env.deleted {
        return write(run, env, Next::End(Outcome::RecipientDeleted), None, Vec::new(), Effect::Stop);
    }
    match env.workflow.steps.get(usize::from(step)).map(|found| &found.kind) {
        Some(StepKind::Channel(channel)) => match reach(channel, env) {
            Err(why) => skip(run, step, env, why),
            Ok(channel) => match consent(channel, env) {
                Consent { given: true, .. } => {
                    let id = MessageId::derive(env.now, run.id, &env.workflow.steps[usize::from(step)].reference);
                    Plan { write: None, then: vec![Effect::Render(Draft { id, step, at: env.now })] }
                }
                refused => opt_out(run, step, env, refused),
            },
        },
        Some(StepKind::Delay(_)) | None => go_on(run, step, env, None, Vec::new()),
    }
}

/// The channel on which a channel step reaches its recipient, or why it cannot.
fn reach<'a>(step: &ChannelStep, env: &Env<'a>) -> Result<&'a Channel, String> {
    let Some(channel) = env.channels.iter().find(|channel| channel.key == step.channel_key) else {
        return Err(format!("channel `{}` is not configured", step.channel_key));
    };
    if channel.kind != step.template.channel_type() {
        return Err(format!(
            "channel `{}` is now of type {}, the step is for {}",
            channel.key,
            channel.kind,
            step.template.channel_type()
        ));
    }
    match step.template {
        Template::Email(_) if env.recipient.email().is_none() => Err("the recipient has no email address".into()),
        Template::InAppFeed(_) if !env.recipient.reference.is_user() => {
            Err("only users have an in-app feed, and the recipient is an object".into())
        }
        _ => Ok(channel),
    }
}

/// Whether the recipient wants the workflow's messages on `channel`.
fn consent(channel: &Channel, env: &Env<'_>) -> Consent {
    let settings = env.workflow.settings;
    let subject = Subject {
        workflow: &env.workflow.key,
        categories: &env.workflow.categories,
        channel_type: channel.kind,
        channel: channel.id,
        is_commercial: settings.is_commercial,
        overrides: settings.override_preferences,
    };
    env.preferences.consent(&subject, &env.facts)
}

/// Leaves a step out, since the recipient does not want its message.
fn opt_out(run: &Run, step: u16, env: &Env<'_>, refused: Consent) -> Plan {
    let by = refused.settings.last().map_or_else(String::new, |setting| format!(": {setting}"));
    let evaluated = event(env, step, RunEventKind::PreferencesEvaluated(refused.settings));
    let skipped = event(env, step, RunEventKind::StepSkipped(format!("the recipient's preferences{by}")));
    go_on(run, step.saturating_add(1), env, None, vec![evaluated, skipped])
}

/// Leaves a step out.
fn skip(run: &Run, step: u16, env: &Env<'_>, why: String) -> Plan {
    go_on(run, step.saturating_add(1), env, None, vec![event(env, step, RunEventKind::StepSkipped(why))])
}

fn rendered(run: &Run, draft: Draft, content: Result<Content, String>, env: &Env<'_>) -> Plan {
    let content = match content {
        Ok(content) => content,
        Err(why) => {
            // Rendering is a function of what is stored: trying again would fail again.
            let errored = event(env, draft.step, RunEventKind::StepErrored(why.clone()));
            return write(run, env, Next::End(Outcome::Failed(why)), None, vec![errored], Effect::Stop);
        }
    };
    let Some((step, channel)) = env.workflow.steps.get(usize::from(draft.step)).and_then(|step| match &step.kind {
        StepKind::Channel(channel) => Some((step, env.channels.iter().find(|one| one.key == channel.channel_key)?)),
        StepKind::Delay(_) => None,
    }) else {
        // The channel was there when rendering began; the step is looked at again.
        return Plan { write: None, then: vec![Effect::Continue] };
    };
    // Asked again: it may have changed while the content was rendered.
    let consent = consent(channel, env);
    if !consent.given {
        return opt_out(run, draft.step, env, consent);
    }
    let in_app = matches!(content, Content::InApp { .. });
    let sandbox = env.trigger.settings.sandbox_mode;
    let message = Message {
        id: draft.id,
        run: run.id,
        trigger: run.trigger,
        workflow: env.workflow.key.clone(),
        categories: env.workflow.categories.clone(),
        step_ref: step.reference.clone(),
        channel: channel.id,
        recipient: run.recipient.clone(),
        tenant: env.trigger.tenant.clone(),
        content,
        status: match (sandbox, in_app) {
            (true, _) => Status::NotSent,
            (false, true) => Status::Delivered,
            (false, false) => Status::Queued,
        },
        inserted_at: draft.at,
        updated_at: draft.at,
    };
    let (effect, message) = match (sandbox, in_app) {
        (true, _) => (None, NewMessage::Keep(message)),
        (false, true) => (
            Some(Effect::Publish { channel: channel.id }),
            NewMessage::Feed(message, TriggerData::of(&env.trigger.data)),
        ),
        (false, false) => {
            (Some(Effect::Deliver { message: message.id, channel: channel.id }), NewMessage::Send(message))
        }
    };
    let mut events = Vec::new();
    if !consent.settings.is_empty() {
        events.push(event(env, draft.step, RunEventKind::PreferencesEvaluated(consent.settings)));
    }
    events.push(event(env, draft.step, RunEventKind::MessageEnqueued));
    let mut plan = go_on(run, draft.step.saturating_add(1), env, Some(message), events);
    plan.then.splice(0..0, effect);
    plan
}

/// Writes what was done so far and moves to `step`: a delay there begins now, and past the last step the run ends.
fn go_on(run: &Run, mut step: u16, env: &Env<'_>, message: Option<NewMessage>, mut events: Vec<RunEvent>) -> Plan {
    loop {
        let (to, then) = match env.workflow.steps.get(usize::from(step)).map(|step| &step.kind) {
            None => (Next::End(Outcome::Finished), Effect::Stop),
            Some(StepKind::Channel(_)) => (Next::Phase(Phase::Ready { step }), Effect::Continue),
            Some(StepKind::Delay(_)) if env.trigger.settings.skip_delay => {
                step = step.saturating_add(1);
                continue;
            }
            Some(StepKind::Delay(delay)) => {
                let due = delay.after(env.now, &zone(env.recipient));
                events.push(event(env, step, RunEventKind::DelayStarted(due)));
                (Next::Phase(Phase::Waiting { step, due }), Effect::Sleep(due))
            }
        };
        return write(run, env, to, message, events, then);
    }
}

fn write(run: &Run, env: &Env<'_>, to: Next, message: Option<NewMessage>, events: Vec<RunEvent>, then: Effect) -> Plan {
    let advance = Advance { run: run.id, expect: run.revision, to, message, events, at: env.now };
    Plan { write: Some(advance), then: vec![then] }
}

fn event(env: &Env<'_>, step: u16, kind: RunEventKind) -> RunEvent {
    let step_ref = env.workflow.steps.get(usize::from(step)).map_or_else(String::new, |step| step.reference.clone());
    RunEvent { kind, step_ref, at: env.now }
}

/// The recipient's time zone; UTC when it has none that is known.
fn zone(recipient: &Recipient) -> TimeZone {
    recipient
        .properties
        .get("timezone")
        .and_then(serde_json::Value::as_str)
        .and_then(|name| TimeZone::get(name).ok())
        .unwrap_or(TimeZone::UTC)
}

#[cfg(test)]
mod tests {
    use std::time::Duration as Span;

    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::*;
    use crate::base::config::ProviderName;
    use crate::base::ids::{RunId, TriggerId, VersionId};
    use crate::model::channel::ChannelType;
    use crate::model::consent::Sets;
    use crate::model::duration::{Duration, Unit};
    use crate::model::flow::Flow;
    use crate::model::message::EmailContent;
    use crate::model::preferences::PreferenceSet;
    use crate::model::recipient::RecipientRef;
    use crate::model::trigger::TriggerSettings;
    use crate::model::workflow::{EmailTemplate, InAppTemplate, Settings, Step};

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
                inserted_at: START,
            };
            let steps = kinds.iter().enumerate().map(|(index, kind)| Step {
                reference: format!("step_{index}"),
                name: None,
                conditions: None,
                kind: match kind {
                    Kind::Delay(value) => StepKind::Delay(Duration { unit: Unit::Hours, value: *value }),
                    Kind::Email => channel(
                        "email",
                        Template::Email(EmailTemplate {
                            subject: "s".into(),
                            html_body: "h".into(),
                            text_body: None,
                            layout: None,
                        }),
                    ),
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
                conditions: None,
                source: Value::Null,
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
                Channel { key: key.into(), id, kind, provider, from: None }
            })
            .to_vec();
            let recipient = Recipient::stub(reference, START);
            let preferences = Preferences::default();
            Self { trigger, workflow, recipient, channels, run, now: START, deleted: false, preferences }
        }

        fn next(&self, event: Event) -> Plan {
            let env = Env {
                now: self.now,
                trigger: &self.trigger,
                workflow: &self.workflow,
                recipient: &self.recipient,
                deleted: self.deleted,
                preferences: &self.preferences,
                facts: Facts { scope: &Value::Null, now: self.now, audiences: &[] },
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
                    if let Some(NewMessage::Send(message) | NewMessage::Feed(message, _) | NewMessage::Keep(message)) =
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
                            event = Event::Rendered { draft, content: Ok(self.content(draft)) };
                        }
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
                    email: EmailContent { subject: String::new(), html: String::new(), text: String::new() },
                },
            }
        }
    }

    fn channel(key: &str, template: Template) -> StepKind {
        StepKind::Channel(ChannelStep { channel_key: key.into(), engine: None, template })
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
        let write = world.next(Event::Rendered { draft, content: Ok(world.content(draft)) }).write.unwrap();
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
    fn a_month_is_the_recipients_month() {
        let mut world = World::new(&[Kind::Delay(1)], TriggerSettings::default(), true);
        world.workflow.steps[0].kind = StepKind::Delay(Duration { unit: Unit::Months, value: 1 });
        world.run.phase = begin(&world.workflow, TriggerSettings::default(), START).phase;
        assert_eq!(world.run.phase, Phase::Ready { step: 0 }, "whose month it is, is not known yet");
        world.recipient.properties.insert("timezone".into(), json!("America/New_York"));
        // 2026-02-28 23:30 in New York; a month later its clocks have changed.
        world.now = "2026-03-01T04:30:00Z".parse::<jiff::Timestamp>().map(Timestamp::from_jiff).unwrap();
        let Next::Phase(phase) = world.next(Event::Enter).write.unwrap().to else { panic!("it waits") };
        assert_eq!(phase.due().unwrap().to_string(), "2026-03-29T03:30:00.000000Z");
    }
}
