//! Conditions: when something holds, in Knock's JSON form, and why it did or did not (`knock-engine.md` section 4).

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::comparison::{Operand, Operator};
use super::message_status::{is_unknown_token, token_names};
use super::profile::at;
use super::recipient::kind;
use super::trigger::FieldError;
use crate::base::clock::Timestamp;

/// How deep groups may lie in each other: Knock's own go two levels.
const MAX_DEPTH: usize = 8;
/// The most conditions of one group, nested ones included: an evaluation looks at each.
const MAX_CONDITIONS: usize = 50;
/// Longer values are cut where an evaluation is told, in bytes of JSON: a trace is written with each step.
const MAX_TOLD_BYTES: usize = 256;

/// What a variable, or an argument that is looked up, begins with.
const SCOPES: [&str; 9] = ["data", "recipient", "actor", "tenant", "vars", "workflow", "run", REFS, EVENT];
/// Those of them that there are before and beside all steps: what preferences can ask.
pub const STANDING_SCOPES: &[&str] = &["data", "recipient", "actor", "tenant", "vars", "workflow", "run"];
/// What a step can ask: also what became of the steps before it.
pub const STEP_SCOPES: &[&str] = &["data", "recipient", "actor", "tenant", "vars", "workflow", "run", REFS];
/// The scope of the steps before a step, by `ref`.
pub const REFS: &str = "refs";
/// What a wait can ask: also what the event tells.
pub const MATCH_SCOPES: &[&str] = &["data", "recipient", "actor", "tenant", "vars", "workflow", "run", EVENT];
/// The scope of the event that is waited for.
pub const EVENT: &str = "event";

/// One comparison.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    variable: Term,
    operator: Operator,
    argument: Term,
}

/// A side of a comparison.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Term {
    /// What lies at this path of the facts.
    Path(String),
    Literal(Value),
    /// What lay at the path when it was looked up, if anything did.
    Found {
        path: String,
        value: Option<Value>,
    },
}

/// Conditions that hold together, or of which one must hold. Empty ones hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Conditions {
    One(Condition),
    All(Vec<Conditions>),
    Any(Vec<Conditions>),
}

impl Default for Conditions {
    fn default() -> Self {
        Self::All(Vec::new())
    }
}

/// What conditions are judged by.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// An object with a key for each scope that there is.
    pub scope: &'a Value,
    pub now: Timestamp,
    /// The audiences that the recipient is in.
    pub audiences: &'a [String],
}

/// What came of one condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    pub variable: String,
    pub operator: Operator,
    pub argument: String,
    /// What was found of both sides, as JSON, cut; `None`: nothing.
    pub actual: Option<String>,
    pub wanted: Option<String>,
    /// `None`: not looked at, since the others decided.
    pub holds: Option<bool>,
}

impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let actual = self.actual.as_deref().unwrap_or("nothing");
        write!(f, "{} is {actual}, asked is {} {}", self.variable, self.operator, self.argument)?;
        match &self.wanted {
            Some(wanted) if *wanted != self.argument => write!(f, ", which is {wanted}"),
            _ => Ok(()),
        }
    }
}

impl Conditions {
    /// Reads a group (`{"all": [...]}`, `{"any": [...]}`, nested), a list, whose conditions must all hold, or a single
    /// condition, on these scopes. `null` and `{}` hold always.
    pub fn from_json(field: &str, value: &Value, scopes: &[&str], errors: &mut Vec<FieldError>) -> Self {
        let mut reader = Reader { scopes, errors, count: 0 };
        let read = reader.conditions(field, value, 0);
        if reader.count > MAX_CONDITIONS {
            let message = format!("holds {} conditions; at most {MAX_CONDITIONS} are allowed", reader.count);
            errors.push(FieldError::new(field, message));
        }
        read
    }

    /// Whether they always hold, since there are none.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::One(_) => false,
            Self::All(members) | Self::Any(members) => members.is_empty(),
        }
    }

    /// The paths that are looked up under `scope`, each without it, on both sides.
    pub fn paths_in<'a>(&'a self, scope: &str) -> Vec<&'a str> {
        match self {
            Self::One(Condition { variable, argument, .. }) => {
                [variable, argument].into_iter().filter_map(|term| term.path_in(scope)).collect()
            }
            Self::All(members) | Self::Any(members) => members.iter().flat_map(|one| one.paths_in(scope)).collect(),
        }
    }

    /// The texts that what lies at `path` must be equal to.
    pub fn asked_to_equal(&self, path: &str) -> Vec<&str> {
        match self {
            Self::One(Condition { variable: Term::Path(asked), operator: Operator::EqualTo, argument })
                if asked == path =>
            {
                argument.literal().and_then(Value::as_str).into_iter().collect()
            }
            Self::One(_) => Vec::new(),
            Self::All(members) | Self::Any(members) => {
                members.iter().flat_map(|one| one.asked_to_equal(path)).collect()
            }
        }
    }

    /// The same, with what lies at their paths now, but for those under `later`.
    pub fn looked_up(&self, scope: &Value, later: &str) -> Self {
        let all = |members: &[Self]| members.iter().map(|one| one.looked_up(scope, later)).collect();
        match self {
            Self::One(Condition { variable, operator, argument }) => Self::One(Condition {
                variable: variable.looked_up(scope, later),
                operator: *operator,
                argument: argument.looked_up(scope, later),
            }),
            Self::All(members) => Self::All(all(members)),
            Self::Any(members) => Self::Any(all(members)),
        }
    }

    /// Whether they hold, and what came of each.
    pub fn judge(&self, facts: &Facts<'_>) -> (bool, Vec<Judged>) {
        let mut trace = Vec::new();
        let holds = self.evaluate(Some(facts), &mut trace);
        (holds, trace)
    }

    /// Without facts, only what was not looked at is told.
    fn evaluate(&self, facts: Option<&Facts<'_>>, trace: &mut Vec<Judged>) -> bool {
        let (members, decisive) = match self {
            Self::One(condition) => {
                let judged = condition.judge(facts);
                let holds = judged.holds == Some(true);
                trace.push(judged);
                return holds;
            }
            Self::All(members) => (members, false),
            Self::Any(members) => (members, true),
        };
        let mut facts = facts;
        let mut decided = None;
        for member in members {
            let holds = member.evaluate(facts, trace);
            if facts.is_some() && holds == decisive {
                decided = Some(decisive);
                facts = None;
            }
        }
        decided.unwrap_or(!decisive || members.is_empty())
    }
}

impl Condition {
    fn judge(&self, facts: Option<&Facts<'_>>) -> Judged {
        let told = |operand: Option<Operand<'_>>| operand.flatten().map(tell);
        let (actual, wanted) = match facts {
            Some(facts) => (Some(self.variable.find(facts.scope)), Some(self.argument.find(facts.scope))),
            None => (None, None),
        };
        let holds = match (facts, actual, wanted) {
            (Some(facts), Some(actual), Some(wanted)) => Some(self.operator.holds(actual, wanted, facts)),
            _ => None,
        };
        Judged {
            variable: self.variable.to_string(),
            operator: self.operator,
            argument: self.argument.to_string(),
            actual: told(actual),
            wanted: told(wanted),
            holds,
        }
    }
}

fn tell(value: &Value) -> String {
    let mut text = value.to_string();
    if text.len() > MAX_TOLD_BYTES {
        let end = (0..=MAX_TOLD_BYTES).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push_str("...");
    }
    text
}

impl Term {
    fn find<'a>(&'a self, scope: &'a Value) -> Operand<'a> {
        match self {
            Self::Literal(value) => Some(value),
            Self::Path(path) => find(scope, path),
            Self::Found { value, .. } => value.as_ref(),
        }
    }

    fn looked_up(&self, scope: &Value, later: &str) -> Self {
        match self {
            Self::Path(path) if first(path) != later => {
                Self::Found { path: path.clone(), value: find(scope, path).cloned() }
            }
            known => known.clone(),
        }
    }

    fn path_in(&self, scope: &str) -> Option<&str> {
        match self {
            Self::Path(path) => path.strip_prefix(scope)?.strip_prefix('.'),
            Self::Literal(_) | Self::Found { .. } => None,
        }
    }

    fn literal(&self) -> Operand<'_> {
        match self {
            Self::Literal(value) => Some(value),
            Self::Path(_) | Self::Found { .. } => None,
        }
    }

    /// What is compared: a path, or JSON.
    fn variable(value: &Value, scopes: &[&str]) -> Result<Self, String> {
        let Value::String(text) = value else { return Ok(Self::Literal(value.clone())) };
        if SCOPES.contains(&first(text)) {
            return Self::path(text, scopes);
        }
        serde_json::from_str(text).map(Self::Literal).map_err(|_| {
            format!("is `{text}`, which begins with none of {}, such as `recipient.plan`", scopes.join(", "))
        })
    }

    /// What it is compared with: a path, JSON, or else text as it stands.
    fn argument(value: &Value, scopes: &[&str]) -> Result<Self, String> {
        match value {
            Value::String(text) if text.contains("{{") || text.contains("{%") => {
                Err("is a template; name a path instead, such as `data.until`".into())
            }
            Value::String(text) if SCOPES.contains(&first(text)) && first(text) != text => Self::path(text, scopes),
            Value::String(text) if is_unknown_token(text) => {
                Err(format!("is `{text}`, which is no status; known: {}", token_names()))
            }
            Value::String(text) => Ok(Self::Literal(serde_json::from_str(text).unwrap_or_else(|_| value.clone()))),
            other => Ok(Self::Literal(other.clone())),
        }
    }

    fn path(text: &str, scopes: &[&str]) -> Result<Self, String> {
        if scopes.contains(&first(text)) {
            return Ok(Self::Path(text.to_owned()));
        }
        Err(format!("is `{text}`, and `{}` cannot be named here; known: {}", first(text), scopes.join(", ")))
    }
}

/// What a path begins with.
fn first(path: &str) -> &str {
    path.split(['.', '[']).next().unwrap_or_default()
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) | Self::Found { path, .. } => f.write_str(path),
            Self::Literal(value) => f.write_str(&tell(value)),
        }
    }
}

/// What lies at `path`, such as `data.items[0].id` or `data.items.0.id`.
pub fn find<'a>(scope: &'a Value, path: &str) -> Operand<'a> {
    let parts = path.split(['.', '[']).map(|part| part.strip_suffix(']').unwrap_or(part));
    parts.filter(|part| !part.is_empty()).try_fold(scope, |value, part| match value {
        Value::Object(map) => map.get(part),
        Value::Array(list) => list.get(part.parse::<usize>().ok()?),
        _ => None,
    })
}

struct Reader<'a> {
    scopes: &'a [&'a str],
    errors: &'a mut Vec<FieldError>,
    count: usize,
}

impl Reader<'_> {
    fn conditions(&mut self, field: &str, value: &Value, depth: usize) -> Conditions {
        match value {
            _ if depth > MAX_DEPTH => {
                self.wrong(field, format!("lies more than {MAX_DEPTH} groups deep"));
                Conditions::default()
            }
            Value::Null => Conditions::default(),
            Value::Array(list) => Conditions::All(self.list(field, list, depth)),
            Value::Object(map) if map.is_empty() => Conditions::default(),
            Value::Object(map) => match (map.get("all"), map.get("any"), map.len()) {
                (Some(all), None, 1) => Conditions::All(self.members(&at(field, "all"), all, depth)),
                (None, Some(any), 1) => Conditions::Any(self.members(&at(field, "any"), any, depth)),
                (None, None, _) => self.condition(field, map),
                _ => {
                    self.wrong(
                        field,
                        "holds more than one of `all`, `any` and a condition; put one into the other".into(),
                    );
                    Conditions::default()
                }
            },
            other => {
                self.wrong(field, format!("must be a condition or a group of them, not {}", kind(other)));
                Conditions::default()
            }
        }
    }

    fn members(&mut self, field: &str, value: &Value, depth: usize) -> Vec<Conditions> {
        match value {
            Value::Array(list) => self.list(field, list, depth),
            other => {
                self.wrong(field, format!("must be an array of conditions, not {}", kind(other)));
                Vec::new()
            }
        }
    }

    fn list(&mut self, field: &str, list: &[Value], depth: usize) -> Vec<Conditions> {
        let member = |(index, value)| self.conditions(&format!("{field}[{index}]"), value, depth + 1);
        list.iter().enumerate().map(member).collect()
    }

    fn condition(&mut self, field: &str, map: &Map<String, Value>) -> Conditions {
        self.count += 1;
        let operator = match map.get("operator") {
            Some(Value::String(name)) => Operator::named(name),
            _ => Err(format!("is required, as one of {}", Operator::names())),
        };
        let variable = match map.get("variable") {
            Some(value) => Term::variable(value, self.scopes),
            None => Err("is required: what is looked at, such as `recipient.plan`".to_owned()),
        };
        let argument = Term::argument(map.get("argument").unwrap_or(&Value::Null), self.scopes);
        let argument = argument.and_then(|argument| match &operator {
            Ok(operator) => operator.accepts(argument.literal()).map(|()| argument),
            Err(_) => Ok(argument),
        });
        let mut part = |name, message| self.wrong(&at(field, name), message);
        match (variable, operator, argument) {
            (Ok(variable), Ok(operator), Ok(argument)) => Conditions::One(Condition { variable, operator, argument }),
            (variable, operator, argument) => {
                let _ = variable.map_err(|message| part("variable", message));
                let _ = operator.map_err(|message| part("operator", message));
                let _ = argument.map_err(|message| part("argument", message));
                Conditions::default()
            }
        }
    }

    fn wrong(&mut self, field: &str, message: String) {
        self.errors.push(FieldError::new(field, message));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::comparison::parse_instant;
    use super::*;

    fn read(value: &Value) -> Result<Conditions, Vec<(String, String)>> {
        let mut errors = Vec::new();
        let read = Conditions::from_json("conditions", value, STANDING_SCOPES, &mut errors);
        let errors: Vec<_> = errors.into_iter().map(|error| (error.field, error.message)).collect();
        if errors.is_empty() { Ok(read) } else { Err(errors) }
    }

    fn fields(value: Value) -> Vec<String> {
        read(&value).unwrap_err().into_iter().map(|(field, _)| field).collect()
    }

    fn scope() -> Value {
        json!({"data": {"plan": "pro", "dino": "trex", "items": [{"n": 3}], "set": true},
               "recipient": {"id": "ada", "muted": ["trex"]}, "actor": null})
    }

    fn judge(value: Value) -> (bool, Vec<Judged>) {
        let scope = scope();
        read(&value).unwrap().judge(&Facts { scope: &scope, now: Timestamp::default(), audiences: &[] })
    }

    fn condition(variable: &str, operator: &str, argument: &str) -> Value {
        json!({"variable": variable, "operator": operator, "argument": argument})
    }

    #[test]
    fn arguments_are_json_paths_or_text_and_variables_lie_at_any_depth() {
        for (variable, operator, argument, expected) in [
            ("data.plan", "equal_to", "pro", true),
            ("data.plan", "equal_to", "\"pro\"", true),
            ("data.set", "equal_to", "true", true),
            ("data.set", "equal_to", "\"true\"", false),
            ("data.items[0].n", "greater_than", "2", true),
            ("data.items.0.n", "is_between", "[3, 4]", true),
            ("data.items[1].n", "equal_to", "null", true),
            ("recipient.muted", "not_contains", "data.dino", false),
            ("recipient.muted", "contains", "[\"a\", \"trex\"]", true),
            ("actor.id", "empty", "", true),
            ("recipient.id", "not_equal_to", "actor.id", true),
            ("true", "equal_to", "data.set", true),
        ] {
            assert_eq!(
                judge(json!([condition(variable, operator, argument)])).0,
                expected,
                "{variable} {operator} {argument}"
            );
        }
    }

    /// Section 13.1 of the engine's reference: value, operator, argument as a file has it.
    #[test]
    fn the_golden_vectors() {
        let missing = None;
        let now = "2026-03-06T15:00:00Z";
        for (value, operator, argument, expected) in [
            (Some(json!("pro")), "equal_to", "pro", true),
            (Some(json!(true)), "equal_to", "true", true),
            (Some(json!("true")), "equal_to", "true", false),
            (Some(json!(2)), "greater_than", "1", true),
            (Some(json!("2")), "greater_than", "1", false),
            (missing.clone(), "equal_to", "null", true),
            (missing.clone(), "equal_to", "\"\"", true),
            (missing.clone(), "not_contains", "x", true),
            (missing.clone(), "less_than", "5", false),
            (Some(json!("")), "empty", "", true),
            (Some(Value::Null), "empty", "", true),
            (Some(json!([])), "empty", "", true),
            (missing, "empty", "", true),
            (Some(json!("")), "exists", "", true),
            (Some(Value::Null), "exists", "", false),
            (Some(json!("senior engineer")), "contains", "engineer", true),
            (Some(json!(["vip", "beta"])), "contains", "vip", true),
            (Some(json!(["a", "b"])), "contains", "[\"b\", \"c\"]", true),
            (Some(json!(["admin"])), "contains_all", "[\"admin\", \"editor\"]", false),
            (Some(json!(["admin"])), "not_contains_all", "[\"admin\", \"editor\"]", true),
            (Some(json!(["trex"])), "not_contains", "data.dino", false),
            (Some(json!("vip")), "contains", "[\"vip\"]", true),
            (Some(json!("2026-03-11T15:00:00Z")), "is_timestamp_before", "7_days_from_now", true),
            (Some(json!("2026-01-05T15:00:00Z")), "is_timestamp_on_or_after", "30_days_ago", false),
        ] {
            let mut scope = json!({"data": {"dino": "trex"}});
            if let Some(value) = &value {
                scope["data"]["value"] = value.clone();
            }
            let facts = Facts { scope: &scope, now: parse_instant(now).unwrap(), audiences: &[] };
            let read = read(&json!([condition("data.value", operator, argument)])).unwrap();
            assert_eq!(read.judge(&facts).0, expected, "{value:?} {operator} {argument}");
        }
        let [holds, fails] = ["pro", "free"].map(|plan| condition("data.plan", "equal_to", plan));
        assert!(judge(json!({"any": [{"all": [fails, holds]}, {"all": [holds]}]})).0);
    }

    /// Each scope that there is for steps is looked up where it lies, on both sides.
    #[test]
    fn every_scope_is_looked_up() {
        let scope: Value = STEP_SCOPES.iter().map(|name| ((*name).to_owned(), json!({"a": {"x": name}}))).collect();
        let facts = Facts { scope: &scope, now: Timestamp::default(), audiences: &[] };
        for name in STEP_SCOPES {
            let path = format!("{name}.a.x");
            let both = json!([condition(&path, "equal_to", name), condition(&path, "equal_to", &path)]);
            let mut errors = Vec::new();
            let read = Conditions::from_json("conditions", &both, STEP_SCOPES, &mut errors);
            assert!(errors.is_empty() && read.judge(&facts).0, "{name}");
        }
    }

    #[test]
    fn a_judgement_tells_both_sides_and_what_was_not_looked_at() {
        let group = json!({"all": [
            condition("recipient.muted", "not_contains", "data.dino"), condition("data.plan", "equal_to", "pro")]});
        let (holds, trace) = judge(group);
        assert!(!holds);
        let [decided, other] = trace.try_into().unwrap();
        assert_eq!((decided.actual.as_deref(), decided.wanted.as_deref()), (Some("[\"trex\"]"), Some("\"trex\"")));
        assert_eq!((decided.variable.as_str(), decided.argument.as_str()), ("recipient.muted", "data.dino"));
        assert_eq!((decided.holds, other.holds, other.actual), (Some(false), None, None));
    }

    #[test]
    fn every_fault_is_named_by_its_place() {
        let fine = || condition("data.a", "exists", "");
        assert_eq!(fields(json!("x")), ["conditions"]);
        assert_eq!(fields(json!({"all": 1})), ["conditions.all"]);
        assert_eq!(fields(json!({"all": [], "any": []})), ["conditions"]);
        assert_eq!(
            fields(
                json!({"any": [fine(), {"all": [{"variable": "date.x", "operator": "equal", "argument": "{{x}}"}]}]})
            ),
            [
                "conditions.any[1].all[0].variable",
                "conditions.any[1].all[0].operator",
                "conditions.any[1].all[0].argument"
            ]
        );
        assert_eq!(fields(json!([condition("refs.a.status", "exists", ""), fine()])), ["conditions[0].variable"]);
        assert_eq!(fields(json!([condition("data.a", "equal_to", "event.x"), {}])), ["conditions[0].argument"]);
        assert_eq!(fields(json!([condition("data.a", "is_between", "3")])), ["conditions[0].argument"]);
        assert_eq!(fields(json!(vec![fine(); MAX_CONDITIONS + 1])), ["conditions"]);
        let deep = (0..20).fold(fine(), |inner, _| json!({"all": [inner]}));
        assert_eq!(read(&deep).unwrap_err().len(), 1);
    }

    /// Groups of conditions that hold or do not, and whether they hold together.
    fn group() -> impl Strategy<Value = (Value, bool)> {
        let leaf = any::<bool>().prop_map(|holds| (condition("data.set", "equal_to", &holds.to_string()), holds));
        leaf.prop_recursive(3, 30, 4, |inner| {
            (any::<bool>(), prop::collection::vec(inner, 0..4)).prop_map(|(all, members)| {
                let holds = if all {
                    members.iter().all(|(_, holds)| *holds)
                } else {
                    members.is_empty() || members.iter().any(|(_, holds)| *holds)
                };
                let values: Vec<Value> = members.into_iter().map(|(value, _)| value).collect();
                (if all { json!({"all": values}) } else { json!({"any": values}) }, holds)
            })
        })
    }

    proptest! {
        #[test]
        fn groups_hold_as_their_members_say_and_each_condition_is_told_once((value, expected) in group()) {
            let (holds, trace) = judge(value.clone());
            prop_assert_eq!(holds, expected);
            prop_assert_eq!(trace.len(), value.to_string().matches("variable").count());
        }
    }
}
