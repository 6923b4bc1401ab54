//! The language of a template, and the `template` of an in-app step.

use super::json_reader::{Reader, shown_text};
use super::workflow::{ActionButton, Engine, InAppTemplate};
use crate::base::nearest::{did_you_mean, nearest, quoted_list};

const ENGINES: [(&str, Engine); 2] = [("handlebars", Engine::Handlebars), ("liquid", Engine::Liquid)];

/// The most buttons of a feed item: primary and secondary.
const MAX_BUTTONS: usize = 2;

/// The language of templates that `field` names, if it names one.
pub fn read_engine(field: &Reader<'_>) -> Option<Engine> {
    let name = field.text()?;
    let engine = ENGINES.iter().find(|(known, _)| *known == name).map(|(_, engine)| *engine);
    if engine.is_none() {
        let fix = did_you_mean(nearest(name, ENGINES.map(|(known, _)| known)), "Write \"handlebars\" or \"liquid\".");
        field.fault(format!("{} is not a template engine", shown_text(name)), fix);
    }
    engine
}

/// A feed item's template. None after a fault.
pub fn read_in_app(template: &Reader<'_>) -> Option<InAppTemplate> {
    template.expect_keys(&["template_engine", "markdown_body", "action_url", "action_buttons"]);
    let body = template.field("markdown_body");
    let markdown_body = body.required_text("Write the text, or markdown_body@ with the path of a Markdown file.");
    let action_url = template.field("action_url").text().map(str::trim).filter(|url| !url.is_empty());
    let action_buttons = read_buttons(&template.field("action_buttons"));
    Some(InAppTemplate {
        markdown_body: markdown_body?.to_owned(),
        action_url: action_url.map(str::to_owned),
        action_buttons: action_buttons?,
    })
}

fn read_buttons(field: &Reader<'_>) -> Option<Vec<ActionButton>> {
    if field.value().is_none() {
        return Some(Vec::new());
    }
    let items = field.items()?;
    if items.len() > MAX_BUTTONS {
        field.fault(format!("has {} buttons", items.len()), format!("Use at most {MAX_BUTTONS}."));
        return None;
    }
    // Each is read before the first failure ends the collecting.
    let buttons: Vec<_> = items.iter().map(read_button).collect();
    buttons.into_iter().collect()
}

fn read_button(button: &Reader<'_>) -> Option<ActionButton> {
    if button.object().is_none() {
        if button.value().is_none() {
            button.missing(&format!("Write an object with {}.", quoted_list(&["label", "action"])));
        }
        return None;
    }
    button.expect_keys(&["label", "action"]);
    let label = button.field("label").required_text("Write what the button says.");
    let action = button.field("action").required_text("Write the URL that the button leads to.");
    Some(ActionButton { label: label?.trim().to_owned(), action: action?.trim().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::super::workflow::{StepKind, Template};
    use super::super::workflow_sample::*;
    use super::*;
    use serde_json::{Value, json};

    fn in_app(document: &Value) -> InAppTemplate {
        let workflow = workflow(document);
        let StepKind::Channel(step) = &workflow.steps[2].kind else { panic!("no channel") };
        match &step.template {
            Template::InAppFeed(item) => item.clone(),
            Template::Email(_) => panic!("not a feed item"),
        }
    }

    #[test]
    fn a_feed_item_has_a_body_and_may_lead_somewhere() {
        assert_eq!(in_app(&document()).action_url, None);
        for nothing in [json!(null), json!(""), json!(" \n")] {
            assert_eq!(in_app(&with("/steps/2/template/action_url", nothing)).action_url, None);
        }
        let url = with("/steps/2/template/action_url", json!("{{vars.app_url}}\n"));
        assert_eq!(in_app(&url).action_url.as_deref(), Some("{{vars.app_url}}"));
        let text = fault(&without("/steps/2/template/markdown_body"));
        assert!(text.starts_with("steps[2].template.markdown_body: is missing"), "{text}");
    }

    #[test]
    fn a_feed_item_has_at_most_two_buttons_each_with_a_label_and_an_action() {
        let buttons = |buttons| with("/steps/2/template/action_buttons", buttons);
        let button = json!({"label": "Go", "action": "/"});
        assert_eq!(in_app(&buttons(json!([]))).action_buttons, []);
        assert_eq!(in_app(&buttons(json!([button, button]))).action_buttons.len(), 2);
        assert!(fault(&buttons(json!([button, button, button]))).contains("has 3 buttons. Use at most 2."));
        assert!(fault(&buttons(json!([{"label": "Go"}]))).contains("action_buttons[0].action: is missing"));
        assert!(fault(&buttons(json!([null]))).contains("action_buttons[0]: is null"));
        assert_eq!(faults(&buttons(json!([{}, {"label": "Go"}]))).len(), 3);
    }
}
