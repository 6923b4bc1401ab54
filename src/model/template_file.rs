//! The `template` of a channel step: what the message says.

use super::json_reader::{Reader, shown_text};
use super::workflow::{ActionButton, EmailTemplate, Engine, InAppTemplate};
use crate::base::nearest::{did_you_mean, nearest, quoted_list};

/// The layout of an email that names none.
const DEFAULT_LAYOUT: &str = "default";

/// Where Knock looks for attachments in a trigger's data unless told otherwise: writing it asks for nothing.
const DEFAULT_ATTACHMENT_KEY: &str = "attachments";

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

/// An email's template. None after a fault.
pub fn read_email(template: &Reader<'_>) -> Option<EmailTemplate> {
    template.expect_keys(&[
        "template_engine",
        "subject",
        "html_body",
        "text_body",
        "visual_blocks",
        "is_mjml",
        "settings",
    ]);
    refuse_mjml(template);
    let subject = template.field("subject").required_text("Write the subject line.");
    let html_body = read_html_body(template);
    let text_body = template.field("text_body").text().filter(|text| !text.trim().is_empty());
    let layout = read_email_settings(&template.field("settings"));
    Some(EmailTemplate {
        // A subject in a file of its own ends with a line break.
        subject: subject?.trim().to_owned(),
        html_body: html_body?.to_owned(),
        text_body: text_body.map(str::to_owned),
        layout,
    })
}

fn read_html_body<'a>(template: &Reader<'a>) -> Option<&'a str> {
    let blocks = template.field("visual_blocks");
    if !blocks.is_blank() {
        blocks.field_fault(
            "visual blocks are not supported by this version",
            "Remove them and write html_body, or html_body@ with the path of an HTML file.",
        );
        return template.field("html_body").text();
    }
    template.field("html_body").required_text("Write the HTML, or html_body@ with the path of an HTML file.")
}

fn refuse_mjml(template: &Reader<'_>) {
    let is_mjml = template.field("is_mjml");
    if is_mjml.flag() {
        is_mjml.field_fault("MJML is not supported by this version", "Write HTML and remove this, or set it to false.");
    }
}

/// The layout's key. Reports what else is set and would be missed in the mail.
fn read_email_settings(settings: &Reader<'_>) -> Option<String> {
    if settings.object().is_none() {
        return Some(DEFAULT_LAYOUT.to_owned());
    }
    settings.expect_keys(&["layout_key", "attachment_key", "pre_content"]);
    let attachments = settings.field("attachment_key");
    if attachments.text().is_some_and(|key| !key.trim().is_empty() && key != DEFAULT_ATTACHMENT_KEY) {
        attachments.field_fault("attachments are not supported by this version", "Remove this and link to the files.");
    }
    let pre_content = settings.field("pre_content");
    if pre_content.text().is_some_and(|text| !text.trim().is_empty()) {
        pre_content
            .notice("is kept, but not sent by this version", "Begin html_body with what an inbox should preview.");
    }
    let layout = settings.field("layout_key");
    if layout.is_null() {
        return None;
    }
    match layout.value() {
        Some(_) => layout.required_name("Write the key of a layout, or null for none.").map(str::to_owned),
        None => Some(DEFAULT_LAYOUT.to_owned()),
    }
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
    use super::super::workflow::{StepKind, Template, Workflow};
    use super::super::workflow_sample::*;
    use super::*;
    use serde_json::{Value, json};

    fn template(workflow: &Workflow, step: usize) -> &Template {
        match &workflow.steps[step].kind {
            StepKind::Channel(step) => &step.template,
            other => panic!("{other:?} has no template"),
        }
    }

    fn email(document: &Value) -> EmailTemplate {
        match template(&workflow(document), 0) {
            Template::Email(email) => email.clone(),
            Template::InAppFeed(_) => panic!("not an email"),
        }
    }

    fn in_app(document: &Value) -> InAppTemplate {
        match template(&workflow(document), 2) {
            Template::InAppFeed(item) => item.clone(),
            Template::Email(_) => panic!("not a feed item"),
        }
    }

    #[test]
    fn an_email_has_a_subject_and_html() {
        let read = email(&with("/steps/0/template/subject", json!("Hi {{x}}\n")));
        assert_eq!((read.subject.as_str(), read.html_body.as_str(), read.text_body), ("Hi {{x}}", "<p>Hi</p>", None));
        assert!(
            fault(&with("/steps/0/template/subject", json!(""))).starts_with("steps[0].template.subject: is empty")
        );
        assert!(fault(&without("/steps/0/template/html_body")).starts_with("steps[0].template.html_body: is missing"));
        assert_eq!(email(&with("/steps/0/template/text_body", json!("Hi"))).text_body.as_deref(), Some("Hi"));
    }

    #[test]
    fn visual_blocks_and_mjml_are_not_supported() {
        let blocks = json!([{"type": "markdown", "content": "Hi"}]);
        let text = fault(&with("/steps/0/template/visual_blocks", blocks.clone()));
        assert!(text.contains("visual blocks are not supported"), "{text}");
        let mut only_blocks = without("/steps/0/template/html_body");
        only_blocks["steps"][0]["template"]["visual_blocks"] = blocks;
        assert!(fault(&only_blocks).contains("write html_body"));
        assert!(fault(&with("/steps/0/template/is_mjml", json!(true))).contains("MJML is not supported"));
        assert!(read(&with("/steps/0/template/is_mjml", json!(false))).unwrap().1.is_empty());
    }

    #[test]
    fn the_layout_is_the_default_unless_it_is_named_or_null() {
        let settings = |settings| with("/steps/0/template/settings", settings);
        assert_eq!(email(&document()).layout.as_deref(), Some("default"));
        assert_eq!(email(&settings(json!({}))).layout.as_deref(), Some("default"));
        assert_eq!(email(&settings(json!({"layout_key": null}))).layout, None);
        assert_eq!(email(&settings(json!({"layout_key": "plain"}))).layout.as_deref(), Some("plain"));
        assert!(fault(&settings(json!({"layout_key": ""}))).contains("layout_key: is empty"));
    }

    #[test]
    fn attachments_are_refused_unless_they_are_knocks_default() {
        let settings = |settings| with("/steps/0/template/settings", settings);
        assert!(read(&settings(json!({"attachment_key": "attachments"}))).unwrap().1.is_empty());
        assert!(fault(&settings(json!({"attachment_key": "invoices"}))).contains("attachments are not supported"));
        assert!(notice(&settings(json!({"pre_content": "Psst"}))).contains("is kept, but not sent"));
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
