//! A workflow directory, `workflow.json` and the files that it points to: read, checked in full, and made a `Workflow`.

use std::collections::BTreeMap;

use serde_json::Value;

use super::channel::ChannelType;
use super::condition::STANDING_SCOPES;
use super::fault::Fault;
use super::findings::Findings;
use super::json_reader::{LONGEST_NAME, Reader, shown_text};
use super::notice::Remark;
use super::pointer;
use super::step_file::{read_conditions, read_steps};
use super::template_file::read_engine;
use super::workflow::{Engine, Frequency, Settings, Workflow};
use crate::base::nearest::{did_you_mean, nearest, quoted_list};

/// The directory of a workflow, or of a layout or partial that workflows share, already read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkflowFiles {
    /// The directory's name.
    pub key: String,
    /// Contents by path; paths are relative to the directory, with `/`.
    pub files: BTreeMap<String, String>,
}

/// What `workflow.json` may have at its top.
const KEYS: [&str; 10] = [
    "name",
    "description",
    "steps",
    "categories",
    "tags",
    "conditions",
    "settings",
    "trigger_frequency",
    "trigger_data_json_schema",
    "goal_attachment",
];

/// What Knock's API writes there and ignores when it is sent back.
const READ_ONLY_KEYS: [&str; 10] = [
    "key",
    "active",
    "valid",
    "environment",
    "sha",
    "created_at",
    "updated_at",
    "deleted_at",
    "created_by",
    "updated_by",
];

const FREQUENCIES: [(&str, Frequency); 3] = [
    ("every_trigger", Frequency::EveryTrigger),
    ("once_per_recipient", Frequency::OncePerRecipient),
    ("once_per_recipient_per_tenant", Frequency::OncePerRecipientPerTenant),
];

/// Reads the workflow in `files`, or says everything that is wrong with it. `channels` are the configured ones by key;
/// `default_engine` is the language of templates where the file names none. A notice is about something that is kept
/// but has no effect; nothing is passed over that would send what should not be sent.
pub fn parse(
    files: &WorkflowFiles,
    channels: &BTreeMap<String, ChannelType>,
    default_engine: Engine,
) -> Result<(Workflow, Vec<Remark>), Vec<Fault>> {
    let findings = Findings::new(&files.key);
    let workflow = pointer::resolve(files, &findings)
        .and_then(|document| read_workflow(&files.key, document, channels, default_engine, &findings));
    findings.conclude(workflow)
}

/// Reads a workflow from its `source`, as `parse` made it: the way back from what is stored.
pub fn parse_source(
    key: &str,
    source: Value,
    channels: &BTreeMap<String, ChannelType>,
    default_engine: Engine,
) -> Result<(Workflow, Vec<Remark>), Vec<Fault>> {
    let findings = Findings::new(key);
    let workflow = read_workflow(key, source, channels, default_engine, &findings);
    findings.conclude(workflow)
}

fn read_workflow(
    key: &str,
    document: Value,
    channels: &BTreeMap<String, ChannelType>,
    default_engine: Engine,
    findings: &Findings,
) -> Option<Workflow> {
    check_key(key, findings);
    let top = Reader::new(&document, findings);
    if top.value().is_none() {
        top.missing("Write an object with a name and steps.");
        return None;
    }
    top.object()?;
    top.expect_keys(&[KEYS, READ_ONLY_KEYS].concat());
    let frequency = read_frequency(&top.field("trigger_frequency"));
    notice_what_has_no_effect(&top, key);
    let name = top.field("name").required_name("Write the workflow's name, as people shall see it.");
    let categories = read_categories(&top.field("categories"));
    let settings = read_settings(&top.field("settings"), default_engine);
    let conditions = read_conditions(&top.field("conditions"), STANDING_SCOPES);
    let steps = read_steps(&top.field("steps"), key, channels);
    Some(Workflow {
        key: key.to_owned(),
        name: name?.trim().to_owned(),
        categories: categories?,
        settings,
        steps: steps?,
        frequency,
        conditions,
        source: document,
        files: findings.files(),
    })
}

fn check_key(key: &str, findings: &Findings) {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    if !key.is_empty() && key.len() <= LONGEST_NAME && key.chars().all(allowed) {
        return;
    }
    let problem = format!("the directory's name, {}, is not a workflow key", shown_text(key));
    let suggestion: String =
        key.chars().map(|c| c.to_ascii_lowercase()).map(|c| if allowed(c) { c } else { '-' }).collect();
    let suggestion: String = suggestion.trim_matches('-').chars().take(LONGEST_NAME).collect();
    let example = if suggestion.is_empty() { "account-invite" } else { &suggestion };
    let fix = format!("Use a to z, 0 to 9, - and _, at most {LONGEST_NAME}: {}.", shown_text(example));
    findings.value_fault("", problem, fix);
}

fn read_frequency(field: &Reader<'_>) -> Frequency {
    let Some(name) = field.text() else { return Frequency::default() };
    if let Some((_, frequency)) = FREQUENCIES.iter().find(|(known, _)| *known == name) {
        return *frequency;
    }
    let names = FREQUENCIES.map(|(known, _)| known);
    let fix = did_you_mean(nearest(name, names), &format!("Write one of {}.", quoted_list(&names)));
    field.fault(format!("{} is not a trigger frequency", shown_text(name)), fix);
    Frequency::default()
}

fn notice_what_has_no_effect(top: &Reader<'_>, directory: &str) {
    let goal = top.field("goal_attachment");
    if !goal.is_blank() {
        goal.unsupported("is kept, but this version does not measure goals", "It can be removed.");
    }
    let key = top.field("key");
    if key.value().and_then(Value::as_str).is_some_and(|key| key != directory) {
        key.notice("has no effect: the directory's name is the key", format!("Write {}.", shown_text(directory)));
    }
    top.field("active").flag();
}

fn read_categories(field: &Reader<'_>) -> Option<Vec<String>> {
    if field.value().is_none() {
        return Some(Vec::new());
    }
    let read = |item: &Reader<'_>| item.required_name("Write a category, in double quotes.").map(str::to_owned);
    // Each is read before the first failure ends the collecting.
    let categories: Vec<_> = field.items()?.iter().map(read).collect();
    categories.into_iter().collect()
}

fn read_settings(field: &Reader<'_>, default_engine: Engine) -> Settings {
    if field.object().is_some() {
        field.expect_keys(&["is_commercial", "override_preferences", "template_engine"]);
    }
    Settings {
        is_commercial: field.field("is_commercial").flag(),
        override_preferences: field.field("override_preferences").flag(),
        engine: read_engine(&field.field("template_engine")).unwrap_or(default_engine),
    }
}

#[cfg(test)]
mod tests {
    use super::super::workflow::StepKind;
    use super::super::workflow_sample::*;
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Map, json};
    use std::path::Path;

    #[test]
    fn a_whole_document_becomes_a_workflow() {
        let workflow = workflow(&document());
        assert_eq!((workflow.key.as_str(), workflow.name.as_str()), ("invite", "Invite"));
        assert_eq!(workflow.categories, ["invites", "Team news"]);
        assert!(workflow.settings.is_commercial && !workflow.settings.override_preferences);
        assert_eq!(workflow.steps.iter().map(|step| step.reference.as_str()).collect::<Vec<_>>().len(), 3);
        assert_eq!(workflow.source, document());
    }

    #[test]
    fn the_template_engine_is_the_default_unless_the_file_names_one() {
        assert_eq!(workflow(&document()).settings.engine, Engine::Handlebars);
        let liquid = with("/settings/template_engine", json!("liquid"));
        assert_eq!(workflow(&liquid).settings.engine, Engine::Liquid);
        let engine = |document: &Value| match &workflow(document).steps[0].kind {
            StepKind::Channel(step) => step.engine,
            _ => panic!("it has no template"),
        };
        assert_eq!(engine(&document()), None);
        assert_eq!(engine(&with("/steps/0/template/template_engine", json!("liquid"))), Some(Engine::Liquid));
        let text = fault(&with("/steps/0/template/template_engine", json!("mustache")));
        assert!(text.contains("steps[0].template.template_engine: \"mustache\" is not a template engine"), "{text}");
        let text = fault(&with("/settings/template_engine", json!("handelbars")));
        assert!(text.contains("Did you mean \"handlebars\"?"), "{text}");
    }

    #[test]
    fn every_fault_is_found_at_once() {
        let document = json!({
            "nme": "x",
            "categories": ["ok", 7],
            "settings": {"is_commercial": "yes"},
            "steps": [
                {"ref": "a", "type": "channel", "chanel_key": "email", "channel_type": "email", "template": {}},
                {"ref": "a", "type": "dealy"}
            ]
        });
        let faults = faults(&document);
        for part in [
            "name: is missing. Write the workflow's name, as people shall see it. Was \"nme\" meant to be it?",
            "categories[1]: 7 is not a string",
            "settings.is_commercial: \"yes\" is not true or false",
            "steps[0].channel_key: is missing",
            "Was \"chanel_key\" meant to be it?",
            "steps[0].template.subject: is missing",
            "steps[0].template.html_body: is missing",
            "steps[1].ref: \"a\" is the ref of steps[0] too",
            "steps[1].type: \"dealy\" is not a type of step. Did you mean \"delay\"?",
        ] {
            assert!(faults.iter().any(|fault| fault.contains(part)), "{part} not in {faults:#?}");
        }
        assert_eq!(faults.len(), 8, "{faults:#?}");
    }

    #[test]
    fn a_key_that_is_none_gets_a_suggestion() {
        let files = WorkflowFiles { key: "Account Invite".to_owned(), ..files(&document()) };
        let faults = parse(&files, &channels(), Engine::Handlebars).unwrap_err();
        assert!(faults[0].problem.contains("\"Account Invite\", is not a workflow key"));
        assert!(faults[0].fix.ends_with("\"account-invite\"."), "{}", faults[0]);
        for key in ["", "é", "a/b", "--É--", &"k".repeat(256)] {
            let files = WorkflowFiles { key: key.to_owned(), ..files.clone() };
            assert_eq!(parse(&files, &channels(), Engine::Handlebars).unwrap_err().len(), 1, "{key}");
        }
    }

    #[test]
    fn a_name_is_required_and_bounded() {
        assert!(fault(&without("/name")).starts_with("name: is missing"));
        assert!(fault(&with("/name", json!(null))).starts_with("name: is null, but required"));
        assert!(fault(&with("/name", json!(" "))).starts_with("name: is empty"));
        assert!(fault(&with("/name", json!("x".repeat(256)))).contains("has 256 characters. Use at most 255."));
        assert_eq!(workflow(&with("/name", json!("é".repeat(255)))).name.chars().count(), 255);
    }

    #[test]
    fn a_document_that_is_no_object_says_so() {
        for other in [json!([]), json!("x"), json!(null), json!(7)] {
            assert_eq!(read(&other).unwrap_err().len(), 1, "{other}");
        }
    }

    #[test]
    fn conditions_of_the_trigger_and_of_steps_are_read_and_each_fault_is_named_by_its_place() {
        let held = |pointer: &str, value| workflow(&with(pointer, value)).conditions().any(|one| !one.is_empty());
        for none in [json!({}), json!(null), json!([]), json!({"all": []})] {
            assert!(!held("/conditions", none.clone()) && !held("/steps/1/conditions", none));
        }
        let conditions = |variable: &str, argument: &str| json!({"any": [{"all": [{"variable": variable, "operator": "equal_to", "argument": argument}]}]});
        for pointer in ["/conditions", "/steps/1/conditions"] {
            assert!(held(pointer, conditions("data.x", "1")));
        }
        let text = fault(&with("/conditions", conditions("refs.email_1.status", "$message.seen")));
        assert!(
            text.starts_with("conditions.any[0].all[0].variable: is `refs.email_1.status`, and `refs` cannot"),
            "{text}"
        );
        let text = fault(&with("/steps/1/conditions", conditions("date.x", "1")));
        assert!(text.starts_with("steps[1].conditions.any[0].all[0].variable: is `date.x`"), "{text}");
        let text = fault(&with("/steps/1/conditions", conditions("data.x", "$message.sean")));
        assert!(text.contains("argument: is `$message.sean`, which is no status"), "{text}");
        assert!(fault(&with("/conditions", json!([1]))).starts_with("conditions[0]: must be a condition"));
    }

    #[test]
    fn an_unknown_key_is_kept_and_noticed_with_the_nearest_known_one() {
        let document = with("/categores", json!(["x"]));
        assert_eq!(notice(&document), "categores: is not known here and has no effect. Did you mean \"categories\"?");
        assert_eq!(workflow(&document).source, document);
    }

    #[test]
    fn a_document_of_nothing_but_unknown_keys_gets_few_notices() {
        let mut document = document();
        let fields = document.as_object_mut().unwrap();
        fields.extend((0..1_000).map(|n| (format!("field_{n}"), Value::Null)));
        let (_, notices) = read(&Value::Object(fields.clone())).unwrap();
        assert_eq!(notices.len(), 21);
        assert_eq!(notices[20].said().problem, "has 980 more keys that are not known here and have no effect");
    }

    #[test]
    fn what_would_send_too_much_is_a_fault_and_what_would_not_is_a_notice() {
        assert!(read(&with("/trigger_frequency", json!("every_trigger"))).unwrap().1.is_empty());
        let once = workflow(&with("/trigger_frequency", json!("once_per_recipient")));
        assert_eq!(once.frequency, Frequency::OncePerRecipient);
        assert!(fault(&with("/trigger_frequency", json!("every_triger"))).contains("Did you mean \"every_trigger\"?"));
        assert!(notice(&with("/goal_attachment", json!({"goal_key": "g"}))).contains("does not measure goals"));
        assert!(notice(&with("/key", json!("other"))).contains("the directory's name is the key"));
        assert!(read(&with("/active", json!(false))).unwrap().1.is_empty());
        assert!(fault(&with("/active", json!("no"))).starts_with("active: \"no\" is not true or false"));
    }

    #[test]
    fn what_knocks_tools_write_for_themselves_is_no_part_of_the_workflow() {
        let mut document = with("/__readonly", json!({"active": false, "x@": "nowhere"}));
        document["$schema"] = json!("https://schemas.knock.app/cli/workflow.json");
        let (workflow, notices) = read(&document).unwrap();
        assert!(notices.is_empty());
        assert_eq!(workflow.source, super::super::workflow_sample::document());
    }

    #[test]
    fn a_fault_in_a_referenced_file_names_that_file() {
        let mut document = without("/steps/0/template/html_body");
        document["steps"][0]["template"]["html_body@"] = json!("email_1/html_body.html");
        let mut files = files(&document);
        let faults = parse(&files, &channels(), Engine::Handlebars).unwrap_err();
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert_eq!(faults[0].path, "steps[0].template.html_body@");
        files.files.insert("email_1/html_body.html".to_owned(), " \n".to_owned());
        let faults = parse(&files, &channels(), Engine::Handlebars).unwrap_err();
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].to_string().starts_with("invite/email_1/html_body.html: is empty"), "{}", faults[0]);
    }

    fn directory(path: &Path) -> WorkflowFiles {
        fn collect(folder: &Path, prefix: &str, files: &mut BTreeMap<String, String>) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap();
                let name = format!("{prefix}{}", entry.file_name().into_string().unwrap());
                if entry.file_type().unwrap().is_dir() {
                    collect(&entry.path(), &format!("{name}/"), files);
                } else {
                    files.insert(name, std::fs::read_to_string(entry.path()).unwrap());
                }
            }
        }
        let mut files = BTreeMap::new();
        collect(path, "", &mut files);
        WorkflowFiles { key: path.file_name().unwrap().to_str().unwrap().to_owned(), files }
    }

    #[test]
    fn the_starter_workflows_have_neither_faults_nor_notices() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/workflows");
        for (key, references) in [
            ("account-invite", ["email_1", "delay_1", "email_2"].as_slice()),
            ("account-invite-accepted", &["in_app_feed_1"]),
            ("welcome-to-knock", &["email_1", "in_app_feed_1"]),
        ] {
            let files = directory(&root.join(key));
            let (workflow, notices) = parse(&files, &channels(), Engine::Liquid).unwrap();
            assert_eq!(notices, [], "{key}");
            assert_eq!(workflow.settings.engine, Engine::Handlebars, "{key}");
            assert_eq!(workflow.steps.iter().map(|step| step.reference.as_str()).collect::<Vec<_>>(), references);
            assert_eq!(
                files.files.len(),
                1 + files.files["workflow.json"].matches("@\":").count(),
                "unused file: {key}"
            );
            let again = parse_source(key, workflow.source.clone(), &channels(), Engine::Liquid).unwrap();
            assert_eq!(again, (Workflow { files: Default::default(), ..workflow }, Vec::new()), "{key}");
        }
    }

    /// Any JSON, made of the words that mean something here.
    fn any_json() -> impl Strategy<Value = Value> {
        let words = prop::sample::select(vec![
            "name",
            "steps",
            "type",
            "channel",
            "delay",
            "ref",
            "email",
            "channel_key",
            "channel_type",
            "template",
            "subject",
            "html_body",
            "html_body@",
            "visual_blocks@",
            "visual_blocks.json",
            "x",
            "../x",
            "settings",
            "delay_for",
            "unit",
            "days",
            "value",
            "conditions",
            "action_buttons",
            "label",
            "layout_key",
            "",
            "@",
            "é\n",
        ]);
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            words.clone().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 64, 8, move |inner| {
            let key = words.clone().prop_map(str::to_owned);
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(key, inner, 0..8)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>())),
            ]
        })
    }

    /// Every place in `value`, as JSON pointers.
    fn places(value: &Value, at: &str, all: &mut Vec<String>) {
        all.push(at.to_owned());
        match value {
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(i, item)| places(item, &format!("{at}/{i}"), all))
            }
            Value::Object(fields) => fields.iter().for_each(|(key, item)| places(item, &format!("{at}/{key}"), all)),
            _ => {}
        }
    }

    fn holds_together(files: &WorkflowFiles) -> Result<(), TestCaseError> {
        match parse(files, &channels(), Engine::Handlebars) {
            Err(faults) => {
                prop_assert!(!faults.is_empty());
                for fault in faults {
                    prop_assert!(!fault.problem.is_empty() && !fault.fix.is_empty() && fault.fix.ends_with(['.', '?']));
                    prop_assert!(!fault.to_string().contains(char::is_control), "{}", fault);
                }
            }
            Ok((workflow, _)) => {
                let key = workflow.key.clone();
                let again = parse_source(&key, workflow.source.clone(), &channels(), Engine::Handlebars);
                prop_assert_eq!(again.map(|(workflow, _)| workflow), Ok(workflow));
            }
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn any_json_is_read_or_refused_with_reasons(document in any_json(), blocks in any_json()) {
            let mut files = files(&document);
            files.files.insert("visual_blocks.json".to_owned(), blocks.to_string());
            files.files.insert("x".to_owned(), "text".to_owned());
            holds_together(&files)?;
        }

        #[test]
        fn any_text_is_read_or_refused_with_reasons(key in ".{0,12}", text in ".{0,60}") {
            let files = BTreeMap::from([("workflow.json".to_owned(), text)]);
            holds_together(&WorkflowFiles { key, files })?;
        }

        #[test]
        fn a_mutated_document_is_read_or_refused_with_reasons(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any_json()), 1..4),
        ) {
            let mut document = document();
            for (place, value) in changes {
                let mut all = Vec::new();
                places(&document, "", &mut all);
                // A key with a slash would be another place: then nothing changes.
                if let Some(target) = document.pointer_mut(&all[place.index(all.len())]) {
                    *target = value;
                }
            }
            holds_together(&files(&document))?;
        }

        #[test]
        fn a_document_that_lost_characters_is_read_or_refused_with_reasons(
            start in any::<prop::sample::Index>(), length in 1usize..20,
        ) {
            let text: Vec<char> = document().to_string().chars().collect();
            let start = start.index(text.len());
            let text = text.iter().enumerate().filter(|(i, _)| !(start..start + length).contains(i)).map(|(_, c)| c).collect();
            let files = BTreeMap::from([("workflow.json".to_owned(), text)]);
            holds_together(&WorkflowFiles { key: "invite".to_owned(), files })?;
        }
    }
}
