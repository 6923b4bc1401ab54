//! The `steps` of `workflow.json`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::arm::{Arm, number};
use super::batch_step::read_batch;
use super::branch_step::read_branches;
use super::channel::ChannelType;
use super::channel_step::{CHANNEL_TYPES, read_channel_step};
use super::condition::{Conditions, REFS, STEP_SCOPES};
use super::delay_step::read_delay;
use super::experiment_step::read_experiment;
use super::fetch_step::read_fetch;
use super::json_reader::{Reader, shown_text};
use super::throttle_step::read_throttle;
use super::trigger_workflow_step::read_trigger_workflow;
use super::update_step::{self, read_update, read_update_audience, read_update_data};
use super::wait_step::read_wait;
use super::workflow::{Onward, Step, StepKind};
use crate::base::nearest::{did_you_mean, nearest, quoted_list};

/// The most steps of a workflow.
const MAX_STEPS: usize = 100;

const SUPPORTED_TYPES: [&str; 14] = [
    "channel",
    "delay",
    "batch",
    "branch",
    "random_cohort",
    "throttle",
    "http_fetch",
    "trigger_workflow",
    "update_data",
    "update_user",
    "update_object",
    "update_tenant",
    "update_audience",
    "wait_for_event",
];

/// The step types that Knock has and this version does not.
const UNSUPPORTED_TYPES: [&str; 1] = ["ai_agent"];

/// What every step may have.
pub const COMMON_KEYS: [&str; 5] = ["type", "ref", "name", "description", "conditions"];

/// Where a step has arms.
pub const ARMS: [&str; 2] = ["branches", "cohort_branches"];

/// What a condition can ask of a step with a message.
const MESSAGE_FACTS: [&str; 3] = ["delivery_status", "engagement_status", "status"];

/// What a condition can ask of a step that waits for an event: whether it came, and what it told.
const WAIT_FACTS: [&str; 2] = ["matched", "signal_variables"];

/// The configured channels, by key.
pub type Channels = BTreeMap<String, ChannelType>;

/// The steps of `workflow` at `field`, and those of their branches. None after a fault.
pub fn read_steps(field: &Reader<'_>, workflow: &str, channels: &Channels) -> Option<Vec<Step>> {
    if field.value().is_none() {
        field.missing("Write an array with at least one step.");
        return None;
    }
    let references = References::of(field);
    let nodes = Steps { workflow, channels, references }.read(field, 0)?;
    let count: usize = nodes.iter().map(Node::size).sum();
    if count > MAX_STEPS {
        let problem = format!("has {count} steps, those of branches included");
        field.fault(problem, format!("Use at most {MAX_STEPS}."));
        return None;
    }
    let mut steps = Vec::with_capacity(count);
    number(nodes, Onward::Finish, &mut steps);
    Some(steps)
}

/// A step, and the branches that begin there.
pub struct Node {
    pub step: Step,
    pub arms: Vec<Arm>,
}

impl Node {
    /// How many steps it is.
    pub fn size(&self) -> usize {
        1 + self.arms.iter().map(Arm::size).sum::<usize>()
    }
}

/// What the reading of all steps of a workflow shares.
pub struct Steps<'a> {
    /// The workflow's key.
    pub workflow: &'a str,
    channels: &'a Channels,
    pub references: References,
}

impl Steps<'_> {
    /// The steps at `field`, which lies in `depth` branches. None after a fault.
    pub fn read(&mut self, field: &Reader<'_>, depth: usize) -> Option<Vec<Node>> {
        let items = field.items()?;
        if items.is_empty() {
            field.fault("has no step", "Write at least one step, such as one of type \"channel\".");
            return None;
        }
        if items.len() > MAX_STEPS {
            field.fault(format!("has {} steps", items.len()), format!("Use at most {MAX_STEPS}."));
            return None;
        }
        // Each is read before the first failure ends the collecting.
        let nodes: Vec<_> = items.iter().map(|item| self.read_step(item, depth)).collect();
        notice_second_batches(&items);
        nodes.into_iter().collect()
    }

    fn read_step(&mut self, step: &Reader<'_>, depth: usize) -> Option<Node> {
        if step.value().is_none() {
            step.missing("Write a step, or remove this.");
            return None;
        }
        step.object()?;
        let reference = self.references.read(step, self.channels);
        let name = step.field("name").optional_name().map(str::to_owned);
        let conditions = self.references.read_conditions(&step.field("conditions"));
        let (kind, arms) = self.read_kind(step, depth)?;
        let path = step.path().to_owned();
        let step = Step { reference: reference?, name, conditions, kind, next: Onward::Finish, path };
        Some(Node { step, arms })
    }

    fn read_kind(&mut self, step: &Reader<'_>, depth: usize) -> Option<(StepKind, Vec<Arm>)> {
        let field = step.field("type");
        let supported = format!("Supported are {}.", quoted_list(&SUPPORTED_TYPES));
        let kind = field.required_text(&supported)?;
        let alone = |kind| (kind, Vec::new());
        match kind {
            "channel" => read_channel_step(step, self.channels).map(alone),
            "delay" => read_delay(step).map(StepKind::Delay).map(alone),
            "batch" => read_batch(step).map(StepKind::Batch).map(alone),
            "throttle" => read_throttle(step).map(StepKind::Throttle).map(alone),
            "http_fetch" => read_fetch(step).map(StepKind::Fetch).map(alone),
            "trigger_workflow" => read_trigger_workflow(step).map(StepKind::TriggerWorkflow).map(alone),
            "update_data" => read_update_data(step).map(StepKind::Update).map(alone),
            "update_user" => read_update(step, update_step::Kind::User).map(StepKind::Update).map(alone),
            "update_object" => read_update(step, update_step::Kind::Object).map(StepKind::Update).map(alone),
            "update_tenant" => read_update(step, update_step::Kind::Tenant).map(StepKind::Update).map(alone),
            "update_audience" => read_update_audience(step).map(StepKind::Update).map(alone),
            "wait_for_event" => read_wait(step, self).map(|wait| alone(StepKind::WaitForEvent(Box::new(wait)))),
            "branch" => read_branches(step, self, depth).map(|(branches, arms)| (StepKind::Branch(branches), arms)),
            "random_cohort" => {
                read_experiment(step, self, depth).map(|(experiment, arms)| (StepKind::RandomCohort(experiment), arms))
            }
            known if UNSUPPORTED_TYPES.contains(&known) => {
                field.fault(format!("{} is not supported by this version", shown_text(known)), supported);
                None
            }
            other => {
                let meant = nearest(other, SUPPORTED_TYPES.into_iter().chain(UNSUPPORTED_TYPES));
                field.fault(format!("{} is not a type of step", shown_text(other)), did_you_mean(meant, &supported));
                None
            }
        }
    }
}

fn notice_second_batches(steps: &[Reader<'_>]) {
    let is_batch = |step: &&Reader<'_>| step.field("type").value().and_then(Value::as_str) == Some("batch");
    for step in steps.iter().filter(is_batch).skip(1) {
        let problem = "comes behind another batch, and counts what that made one as one activity";
        step.notice(problem, "Keep one of them, unless this is meant.");
    }
}

/// The settings of `step`, which are an object with `keys` and are required; `form` says how they are written. None after
/// a fault.
pub fn read_settings<'a>(step: &Reader<'a>, form: &str, keys: &[&'static str]) -> Option<Reader<'a>> {
    step.expect_keys(&[COMMON_KEYS.as_slice(), &["settings"]].concat());
    let settings = step.field("settings");
    if settings.value().is_none() {
        settings.missing(form);
        return None;
    }
    settings.object()?;
    settings.expect_keys(keys);
    Some(settings)
}

/// The conditions at `field`, on these scopes. After a fault they are not all of them.
pub fn read_conditions(field: &Reader<'_>, scopes: &[&str]) -> Conditions {
    const FORM: &str =
        r#"Write conditions as {"all": [{"variable": "data.plan", "operator": "equal_to", "argument": "pro"}]}."#;
    let Some(value) = field.value() else { return Conditions::default() };
    let mut errors = Vec::new();
    let conditions = Conditions::from_json(field.path(), value, scopes, &mut errors);
    for error in errors {
        field.fault_at(&error.field, error.message, FORM);
    }
    conditions
}

/// The `ref`s of a workflow. Each one names its step in faults, in messages and in later steps: it must be unique.
pub struct References {
    /// All that are written or were suggested.
    taken: BTreeSet<String>,
    /// By ref: the step that has it, of those read so far.
    seen: BTreeMap<String, Seen>,
    /// Those of them that are never executed before the one that is read now: they belong to another branch.
    hidden: BTreeSet<String>,
}

struct Seen {
    path: String,
    /// What can be asked of it.
    facts: &'static [&'static str],
}

impl Seen {
    fn has_message(&self) -> bool {
        self.facts == MESSAGE_FACTS
    }
}

impl References {
    fn of(steps: &Reader<'_>) -> Self {
        let mut taken = BTreeSet::new();
        collect_references(steps.value(), &mut taken);
        Self { taken, seen: BTreeMap::new(), hidden: BTreeSet::new() }
    }

    /// The steps of the branch at `branch` are not executed before those that are read from now on. Answers them.
    pub fn hide_those_of(&mut self, branch: &Reader<'_>) -> Vec<String> {
        let here = |(reference, seen): &(&String, &Seen)| {
            !self.hidden.contains(*reference)
                && seen.path.strip_prefix(branch.path()).is_some_and(|rest| rest.starts_with('.'))
        };
        let found: Vec<String> = self.seen.iter().filter(here).map(|(reference, _)| reference.clone()).collect();
        self.hidden.extend(found.iter().cloned());
        found
    }

    /// These steps may have been executed before those that are read from now on.
    pub fn show(&mut self, references: &[String]) {
        self.hidden.retain(|reference| !references.contains(reference));
    }

    fn read(&mut self, step: &Reader<'_>, channels: &Channels) -> Option<String> {
        let field = step.field("ref");
        if field.is_blank() {
            let free = self.free(base_name(step, channels));
            field.required_text(&format!("Name the step, for instance {free:?}."));
            return None;
        }
        let reference = field.optional_name()?;
        if let Some(other) = self.seen.get(reference) {
            let problem = format!("{} is the ref of {} too", shown_text(reference), other.path);
            let stem = reference.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('_').to_owned();
            let free = self.free(if stem.is_empty() { "step" } else { &stem });
            field.fault(problem, format!("A ref is unique in its workflow; {} is free.", shown_text(&free)));
            return None;
        }
        let facts: &[&str] = match step.field("type").value().and_then(Value::as_str) {
            Some("channel") => &MESSAGE_FACTS,
            Some("wait_for_event") => &WAIT_FACTS,
            _ => &[],
        };
        self.seen.insert(reference.to_owned(), Seen { path: step.path().to_owned(), facts });
        Some(reference.to_owned())
    }

    /// The conditions at `field`, which may ask what became of the steps before this one.
    pub fn read_conditions(&self, field: &Reader<'_>) -> Conditions {
        let conditions = read_conditions(field, STEP_SCOPES);
        for path in conditions.paths_in(REFS) {
            let (reference, what) = path.split_once('.').unwrap_or((path, ""));
            let problem = match self.earlier(reference, field) {
                Err(wrong) => format!("asks {wrong}"),
                Ok(Seen { facts: [], .. }) => "asks a step that makes no message".to_owned(),
                Ok(Seen { facts, .. }) if has(facts, what) => continue,
                Ok(Seen { facts, .. }) => format!("asks for something else than {}", quoted_list(facts)),
            };
            let (fix, known) = self.with_messages_before(field);
            field.fault(format!("`{REFS}.{path}` {problem}"), did_you_mean(nearest(reference, known), &fix));
        }
        conditions
    }

    /// A fault at `field` unless the step `reference` makes a message and comes before the one there.
    pub fn expect_earlier_message(&self, field: &Reader<'_>, reference: &str) {
        let wrong = match self.earlier(reference, field) {
            Ok(seen) if seen.has_message() => return,
            Ok(_) => "a step that makes no message",
            Err(wrong) => wrong,
        };
        let (fix, known) = self.with_messages_before(field);
        let problem = format!("{} waits for {wrong}", shown_text(reference));
        field.fault(problem, did_you_mean(nearest(reference, known), &fix));
    }

    /// The step `reference`, if it comes before the one at `field`; or what it is instead.
    fn earlier(&self, reference: &str, field: &Reader<'_>) -> Result<&Seen, &'static str> {
        match self.seen.get(reference) {
            Some(seen) if is_within(field, seen) => Err("the step itself"),
            Some(_) if self.hidden.contains(reference) => Err("a step that is never executed before this one"),
            Some(seen) => Ok(seen),
            None if self.taken.contains(reference) => Err("a step that comes later"),
            None => Err("a step that there is not"),
        }
    }

    /// The steps with messages that come before the one at `field`, for people and by their names.
    fn with_messages_before(&self, field: &Reader<'_>) -> (String, Vec<&str>) {
        let before = |(name, seen): &(&String, &Seen)| {
            seen.has_message() && !is_within(field, seen) && !self.hidden.contains(*name)
        };
        let known: Vec<&str> = self.seen.iter().filter(before).map(|(name, _)| name.as_str()).collect();
        let told = match known.is_empty() {
            true => "No step before this one makes a message.".to_owned(),
            false => format!("Steps with messages before this one are {}.", quoted_list(&known)),
        };
        (told, known)
    }

    /// The first of `email_1`, `email_2` and so on that no step has; from then on taken.
    fn free(&mut self, base: &str) -> String {
        let mut number = 1;
        loop {
            let candidate = format!("{base}_{number}");
            if self.taken.insert(candidate.clone()) {
                return candidate;
            }
            number += 1;
        }
    }
}

fn collect_references(steps: Option<&Value>, taken: &mut BTreeSet<String>) {
    let list = |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
    for step in list(steps) {
        taken.extend(step.get("ref").and_then(Value::as_str).map(str::to_owned));
        let arms = ARMS.iter().flat_map(|key| list(step.get(key)));
        arms.for_each(|arm| collect_references(arm.get("steps"), taken));
    }
}

/// Whether one of `facts` is asked for. Those of a message are plain; what an event told has parts.
fn has(facts: &[&str], what: &str) -> bool {
    let first = what.split(['.', '[']).next().unwrap_or_default();
    facts.contains(&what) || first == WAIT_FACTS[1] && facts.contains(&first)
}

/// Whether `field` belongs to the step.
fn is_within(field: &Reader<'_>, step: &Seen) -> bool {
    field.path().strip_prefix(&step.path).is_some_and(|rest| rest.starts_with('.'))
}

/// What the ref of a step begins with by custom: its type of channel, or its type.
fn base_name<'a>(step: &Reader<'a>, channels: &Channels) -> &'a str {
    let text = |key| step.field(key).value().and_then(Value::as_str);
    let known = |name: Option<&'a str>, names: &[&str]| name.filter(|name| names.contains(name));
    let configured = || text("channel_key").and_then(|key| channels.get(key)).map(|kind| kind.as_str());
    match known(text("type"), &SUPPORTED_TYPES).or(known(text("type"), &UNSUPPORTED_TYPES)) {
        Some("channel") => known(text("channel_type"), &CHANNEL_TYPES).or_else(configured).unwrap_or("channel"),
        Some(other) => other,
        None => "step",
    }
}

#[cfg(test)]
mod tests {
    use super::super::workflow_sample::*;
    use serde_json::{Value, json};

    #[test]
    fn steps_are_required_and_bounded() {
        assert!(fault(&without("/steps")).starts_with("steps: is missing"));
        assert!(fault(&with("/steps", json!([]))).starts_with("steps: has no step"));
        assert!(fault(&with("/steps", json!({}))).starts_with("steps: an object is not an array"));
        assert!(fault(&with("/steps/1", json!(null))).starts_with("steps[1]: is null"));
        assert!(fault(&with("/steps/1", json!("delay"))).starts_with("steps[1]: \"delay\" is not an object"));
        let delay =
            |n| json!({"ref": format!("d{n}"), "type": "delay", "settings": document()["steps"][1]["settings"]});
        let delays = |count| Value::from((0..count).map(delay).collect::<Vec<_>>());
        assert_eq!(workflow(&with("/steps", delays(100))).steps.len(), 100);
        assert!(fault(&with("/steps", delays(101))).contains("has 101 steps. Use at most 100."));
    }

    #[test]
    fn a_step_of_knocks_that_is_not_supported_is_named_as_such() {
        let text = fault(&with("/steps/1/type", json!("ai_agent")));
        let expected = "steps[1].type: \"ai_agent\" is not supported by this version. Supported are \"channel\", ";
        assert!(text.starts_with(expected), "{text}");
        assert!(fault(&with("/steps/1/type", json!("chanel"))).contains("Did you mean \"channel\"?"));
        assert!(fault(&without("/steps/1/type")).starts_with("steps[1].type: is missing. Supported are"));
    }

    #[test]
    fn a_missing_ref_comes_with_a_free_one() {
        assert!(fault(&without("/steps/2/ref")).contains("for instance \"in_app_feed_1\""));
        let mut document = without("/steps/1/ref");
        document["steps"][0]["ref"] = json!("delay_1");
        assert!(fault(&document).contains("for instance \"delay_2\""), "{}", fault(&document));
        assert!(fault(&with("/steps/1/ref", json!(7))).contains("7 is not a string"));
        assert!(fault(&with("/steps/1/ref", json!("r".repeat(256)))).contains("Use at most 255."));
    }

    #[test]
    fn a_ref_that_is_taken_comes_with_the_next_free_one() {
        let text = fault(&with("/steps/2/ref", json!("email_1")));
        let expected = "steps[2].ref: \"email_1\" is the ref of steps[0] too. \
                        A ref is unique in its workflow; \"email_2\" is free.";
        assert_eq!(text, expected);
    }

    #[test]
    fn conditions_ask_of_earlier_steps_that_make_messages() {
        let asks = |step: usize, variable: &str| {
            let condition = json!({"variable": variable, "operator": "less_than", "argument": "$message.seen"});
            with(&format!("/steps/{step}/conditions"), json!({"all": [condition]}))
        };
        assert!(!workflow(&asks(2, "refs.email_1.status")).steps[2].conditions.is_empty());
        for (step, variable, problem) in [
            (2, "refs.emial_1.status", "asks a step that there is not. Did you mean \"email_1\"?"),
            (2, "refs.delay_1.status", "asks a step that makes no message. Steps with messages before"),
            (2, "refs.email_1.stat", "asks for something else than \"delivery_status\", "),
            (2, "refs.email_1", "asks for something else than"),
            (2, "refs.in_app_feed_1.status", "asks the step itself"),
            (1, "refs.in_app_feed_1.status", "asks a step that comes later"),
            (0, "refs.delay_1.status", "asks a step that comes later. No step before this one makes a message."),
        ] {
            let text = fault(&asks(step, variable));
            let place = format!("steps[{step}].conditions: `{variable}` {problem}");
            assert!(text.starts_with(&place), "{text}");
        }
    }

    #[test]
    fn names_of_steps_are_optional() {
        assert_eq!(workflow(&document()).steps[0].name, None);
        assert_eq!(workflow(&with("/steps/0/name", json!("Invite"))).steps[0].name.as_deref(), Some("Invite"));
    }
}
