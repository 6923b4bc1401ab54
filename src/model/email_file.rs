//! The `template` and the `channel_overrides` of an email step.

use serde_json::Value;

use super::json_reader::{Reader, shown};
use super::visual_block::read_blocks;
use super::workflow::{EmailBody, EmailOverrides, EmailTemplate};
use crate::base::nearest::{did_you_mean, nearest, quoted_list};

/// The layout of an email that names none.
const DEFAULT_LAYOUT: &str = "default";

/// Where in a trigger's data attachments lie unless the step says otherwise.
const DEFAULT_ATTACHMENT_KEY: &str = "attachments";

/// What `channel_overrides` of an email may hold.
const OVERRIDES: [&str; 10] = [
    "from_address",
    "from_name",
    "to_address",
    "cc_address",
    "bcc_address",
    "reply_to_address",
    "json_overrides",
    "open_tracking",
    "link_tracking",
    "token_deregistration",
];

/// An email's template. None after a fault.
pub fn read_email(template: &Reader<'_>, overrides: &Reader<'_>) -> Option<EmailTemplate> {
    template.expect_keys(&[
        "template_engine",
        "subject",
        "html_body",
        "text_body",
        "visual_blocks",
        "is_mjml",
        "settings",
    ]);
    let subject = template.field("subject").required_text("Write the subject line.");
    let body = read_body(template);
    let text_body = template.field("text_body").text().filter(|text| !text.trim().is_empty());
    let settings = template.field("settings");
    if settings.object().is_some() {
        settings.expect_keys(&["layout_key", "attachment_key", "pre_content"]);
    }
    let pre_content = settings.field("pre_content").text().filter(|text| !text.trim().is_empty());
    let attachment_key = settings.field("attachment_key").optional_name().unwrap_or(DEFAULT_ATTACHMENT_KEY);
    Some(EmailTemplate {
        // A subject in a file of its own ends with a line break.
        subject: subject?.trim().to_owned(),
        body: body?,
        text_body: text_body.map(str::to_owned),
        layout: read_layout_key(&settings.field("layout_key")),
        pre_content: pre_content.map(str::to_owned),
        is_mjml: template.field("is_mjml").flag(),
        attachment_key: attachment_key.to_owned(),
        overrides: Box::new(read_overrides(overrides)),
    })
}

fn read_body(template: &Reader<'_>) -> Option<EmailBody> {
    let (html, blocks) = (template.field("html_body"), template.field("visual_blocks"));
    match (html.is_blank(), blocks.is_blank()) {
        (true, false) => read_blocks(&blocks).map(EmailBody::Blocks),
        (false, false) => {
            blocks.field_fault("stands beside html_body", "Remove one of the two: an email has one body.");
            None
        }
        _ => {
            let fix = "Write the HTML, or html_body@ with the path of an HTML file, or visual_blocks.";
            html.required_text(fix).map(|html| EmailBody::Html(html.to_owned()))
        }
    }
}

/// The key of the layout; null means none.
fn read_layout_key(field: &Reader<'_>) -> Option<String> {
    if field.is_null() {
        return None;
    }
    match field.value() {
        Some(_) => field.required_name("Write the key of a layout, or null for none.").map(str::to_owned),
        None => Some(DEFAULT_LAYOUT.to_owned()),
    }
}

fn read_overrides(overrides: &Reader<'_>) -> EmailOverrides {
    let Some(fields) = overrides.object() else { return EmailOverrides::default() };
    // An override that is not known could change to whom something is sent: it cannot be passed over.
    for key in fields.keys().filter(|key| !OVERRIDES.contains(&key.as_str())) {
        let field = overrides.field(key);
        if !field.is_blank() {
            let fix = format!("Known are {}.", quoted_list(&OVERRIDES));
            field.field_fault("is not an override of an email", did_you_mean(nearest(key, OVERRIDES), &fix));
        }
    }
    let text =
        |key: &str| overrides.field(key).text().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
    EmailOverrides {
        from_address: text("from_address"),
        from_name: text("from_name"),
        to: text("to_address"),
        cc: text("cc_address"),
        bcc: text("bcc_address"),
        reply_to: text("reply_to_address"),
        json: read_json(&overrides.field("json_overrides")),
    }
}

/// A template of JSON, or the JSON itself.
fn read_json(field: &Reader<'_>) -> Option<String> {
    match field.value() {
        None => None,
        Some(Value::String(text)) => (!text.trim().is_empty()).then(|| text.clone()),
        Some(Value::Object(fields)) => (!fields.is_empty()).then(|| Value::Object(fields.clone()).to_string()),
        Some(other) => {
            field.fault(format!("{} is not an object", shown(other)), "Write JSON in a string, or an object.");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::workflow::{StepKind, Template};
    use super::super::workflow_sample::*;
    use super::*;
    use serde_json::json;

    fn email(document: &Value) -> EmailTemplate {
        let workflow = workflow(document);
        let StepKind::Channel(step) = &workflow.steps[0].kind else { panic!("no channel") };
        match &step.template {
            Template::Email(email) => email.clone(),
            Template::InAppFeed(_) => panic!("not an email"),
        }
    }

    #[test]
    fn an_email_has_a_subject_and_one_body() {
        let read = email(&with("/steps/0/template/subject", json!("Hi {{x}}\n")));
        assert_eq!((read.subject.as_str(), read.text_body), ("Hi {{x}}", None));
        assert_eq!(read.body, EmailBody::Html("<p>Hi</p>".into()));
        assert!(
            fault(&with("/steps/0/template/subject", json!(""))).starts_with("steps[0].template.subject: is empty")
        );
        assert!(fault(&without("/steps/0/template/html_body")).starts_with("steps[0].template.html_body: is missing"));
        assert_eq!(email(&with("/steps/0/template/text_body", json!("Hi"))).text_body.as_deref(), Some("Hi"));
        let both = with("/steps/0/template/visual_blocks", json!([{"type": "divider"}]));
        assert!(fault(&both).starts_with("steps[0].template.visual_blocks: stands beside html_body"));
        assert!(email(&with("/steps/0/template/is_mjml", json!(true))).is_mjml);
    }

    #[test]
    fn the_layout_is_the_default_unless_it_is_named_or_null() {
        let settings = |settings| with("/steps/0/template/settings", settings);
        assert_eq!(email(&document()).layout.as_deref(), Some("default"));
        assert_eq!(email(&settings(json!({}))).layout.as_deref(), Some("default"));
        assert_eq!(email(&settings(json!({"layout_key": null}))).layout, None);
        assert_eq!(email(&settings(json!({"layout_key": "plain"}))).layout.as_deref(), Some("plain"));
        assert!(fault(&settings(json!({"layout_key": ""}))).contains("layout_key: is empty"));
        let read = email(&settings(json!({"attachment_key": "invoices", "pre_content": "{% assign a = 1 %}"})));
        assert_eq!(
            (read.attachment_key.as_str(), read.pre_content.as_deref()),
            ("invoices", Some("{% assign a = 1 %}"))
        );
        assert_eq!(email(&document()).attachment_key, "attachments");
    }

    #[test]
    fn overrides_are_read_and_an_unknown_one_is_a_fault() {
        let overrides = |value| with("/steps/0/channel_overrides", value);
        let read = email(&overrides(json!({
            "cc_address": "a@x.test, {{ data.cc }}", "to_address": null, "json_overrides": {"headers": {"X-A": "1"}}
        })));
        assert_eq!(read.overrides.cc.as_deref(), Some("a@x.test, {{ data.cc }}"));
        assert_eq!(read.overrides.to, None);
        assert_eq!(read.overrides.json.as_deref(), Some(r#"{"headers":{"X-A":"1"}}"#));
        let text = fault(&overrides(json!({"cc_adress": "x@y.z"})));
        let expected =
            "steps[0].channel_overrides.cc_adress: is not an override of an email. Did you mean \"cc_address\"?";
        assert!(text.starts_with(expected), "{text}");
        assert!(fault(&overrides(json!({"json_overrides": [1]}))).contains("an array is not an object"));
    }
}
