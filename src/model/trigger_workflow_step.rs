//! The settings of a step that triggers another workflow.

use super::json_reader::{Reader, shown};
use super::settings::Settings;
use super::step_file::read_settings;
use serde_json::Value;

/// How many workflows' steps may have led to a trigger: a workflow that triggers itself comes to an end.
pub const MAX_DEPTH: u8 = 5;

/// Which workflow is triggered; what is not said is as the run has it.
pub const WORKFLOW_KEY: &str = "workflow_key";
pub const RECIPIENTS: &str = "recipients";
pub const ACTOR: &str = "actor";
pub const TENANT: &str = "tenant";
pub const DATA: &str = "data";
pub const CANCELLATION_KEY: &str = "cancellation_key";

/// What the step at `step` triggers. None after a fault.
pub fn read_trigger_workflow(step: &Reader<'_>) -> Option<Settings> {
    const FORM: &str = r#"Write {"workflow_key": "..."} with the key of a workflow."#;
    const KEYS: [&str; 6] = [WORKFLOW_KEY, RECIPIENTS, ACTOR, TENANT, DATA, CANCELLATION_KEY];
    let settings = read_settings(step, FORM, &KEYS)?;
    let key = settings.field(WORKFLOW_KEY);
    key.required_text("Write the key of a workflow.")?;
    let mut read = Settings::default().with(WORKFLOW_KEY, key.value()?.clone());
    for name in [RECIPIENTS, ACTOR, TENANT, DATA, CANCELLATION_KEY] {
        let field = settings.field(name);
        match field.value() {
            None => {}
            Some(value @ (Value::String(_) | Value::Object(_) | Value::Array(_))) => {
                read = read.with(name, value.clone());
            }
            Some(other) => field.fault(format!("{} is no template", shown(other)), "Write a text or JSON."),
        }
    }
    Some(read)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::workflow::StepKind;
    use super::super::workflow_sample::*;

    fn step(settings: Value) -> Value {
        with("/steps/1", json!({"ref": "trigger_1", "type": "trigger_workflow", "settings": settings}))
    }

    #[test]
    fn a_trigger_keeps_what_the_file_says_and_needs_a_key() {
        let read = workflow(&step(json!({"workflow_key": "other", "recipients": ["a", "{{b}}"], "actor": null})));
        let StepKind::TriggerWorkflow(settings) = &read.steps[1].kind else { panic!("{read:?}") };
        let (names, values): (Vec<_>, Vec<_>) = settings.iter().unzip();
        assert_eq!(
            (names, values),
            (vec!["workflow_key", "recipients"], vec![&json!("other"), &json!(["a", "{{b}}"])])
        );
        for (settings, problem) in [
            (json!(null), "settings: is null, but required"),
            (json!({}), "settings.workflow_key: is missing"),
            (json!({"workflow_key": "other", "data": 7}), "settings.data: 7 is no template"),
        ] {
            let text = fault(&step(settings));
            assert!(text.contains(problem), "{text}");
        }
    }
}
