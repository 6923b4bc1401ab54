//! A channel step: which channel it sends on, and what.

use std::cmp::Reverse;

use super::channel::ChannelType;
use super::email_file::read_email;
use super::json_reader::{Reader, shown_text};
use super::send_windows::SendWindows;
use super::step_file::{COMMON_KEYS, Channels};
use super::template_file::{read_engine, read_in_app};
use super::tracking::TrackingOverride;
use super::workflow::{ChannelStep, StepKind, Template};
use crate::base::nearest::{did_you_mean, nearest, quoted_list, sort_by_likeness};

/// Every `channel_type` of a channel step; only the first two are supported.
pub const CHANNEL_TYPES: [&str; 7] = ["email", "in_app_feed", "sms", "push", "chat", "http", "in_app_guide"];

/// What `channel_overrides` of every channel may hold: it changes what is counted, not what is sent.
const TRACKING_OVERRIDES: [&str; 3] = ["open_tracking", "link_tracking", "token_deregistration"];

const SUPPORTED_CHANNELS: &str = "Supported are \"email\" and \"in_app_feed\".";

/// The channel step at `step`. None after a fault.
pub fn read_channel_step(step: &Reader<'_>, channels: &Channels) -> Option<StepKind> {
    if let Some(mute) = read_mute(step, channels) {
        return Some(StepKind::Mute(mute));
    }
    let own = ["channel_key", "channel_group_key", "channel_type", "channel_overrides", "send_windows", "template"];
    step.expect_keys(&[COMMON_KEYS.as_slice(), &own].concat());
    let send_windows = SendWindows::read(&step.field("send_windows")).map(Box::new);
    let tracking = read_tracking(&step.field("channel_overrides"));
    let declared = read_channel_type(&step.field("channel_type"));
    let channel_key = read_channel_key(step, declared, channels);
    let configured = channel_key.and_then(|key| channels.get(key)).map(|kind| kind.as_str());
    if let (Some(declared), Some(configured), Some(key)) = (declared, configured, channel_key)
        && declared != configured
    {
        let problem = format!("{declared:?} is not the type of channel {}", shown_text(key));
        step.field("channel_type").fault(problem, format!("Write {configured:?}, or name another channel."));
    }
    if tracking.opens.is_some() && declared.or(configured).is_some_and(|kind| kind != "email") {
        let opens = step.field("channel_overrides").field("open_tracking");
        opens.notice("has no effect: only the opening of emails is tracked", "It can be removed.");
    }
    let kind = declared.or(configured)?;
    let template = read_template(step, kind);
    let engine = read_engine(&step.field("template").field("template_engine"));
    let channel_key = channel_key?.to_owned();
    Some(StepKind::Channel(ChannelStep { channel_key, send_windows, engine, template: template?, tracking }))
}

/// The type of a step that this version has no channels for. It is left out of runs, as one whose conditions do not
/// hold: nothing is sent that should not be, and a workflow that sends on other channels too still does. What the step
/// says besides is not read.
fn read_mute(step: &Reader<'_>, channels: &Channels) -> Option<ChannelType> {
    let name = |key| step.field(key).value().and_then(serde_json::Value::as_str);
    let configured = || name("channel_key").and_then(|key| channels.get(key)).copied();
    let declared = |name| ChannelType::ALL.into_iter().find(|kind| kind.as_str() == name);
    let kind = name("channel_type").map_or_else(configured, declared)?;
    if matches!(kind, ChannelType::Email | ChannelType::InAppFeed) {
        return None;
    }
    let culprit = step.field(if name("channel_type").is_some() { "channel_type" } else { "channel_key" });
    let problem = format!("channels of type \"{kind}\" are not supported by this version, so the step sends nothing");
    culprit.unsupported(problem, SUPPORTED_CHANNELS);
    Some(kind)
}

/// What the step says about tracking. The other overrides depend on the type of channel.
fn read_tracking(overrides: &Reader<'_>) -> TrackingOverride {
    let flag = |key| Some(overrides.field(key)).filter(|field| !field.is_blank()).map(|field| field.flag());
    let push = overrides.field("token_deregistration");
    if !push.is_blank() {
        push.unsupported("is kept, but has no effect: this version sends no push messages", "It can be removed.");
    }
    TrackingOverride { opens: flag("open_tracking"), links: flag("link_tracking") }
}

/// An override changes what is sent, or to whom: one without effect cannot be passed over.
fn refuse_overrides(overrides: &Reader<'_>) {
    let Some(fields) = overrides.object() else { return };
    for key in fields.keys().filter(|key| !TRACKING_OVERRIDES.contains(&key.as_str())) {
        let field = overrides.field(key);
        if !field.is_blank() {
            field.field_fault("is not an override of an in-app feed", "Remove it, or set it to null.");
        }
    }
}

/// The declared type, if it is one.
fn read_channel_type<'a>(field: &Reader<'a>) -> Option<&'a str> {
    let name = field.text()?;
    if CHANNEL_TYPES.contains(&name) {
        return Some(name);
    }
    let problem = format!("{} is not a type of channel", shown_text(name));
    field.fault(problem, did_you_mean(nearest(name, CHANNEL_TYPES), SUPPORTED_CHANNELS));
    None
}

/// The channel's key, also when it is not configured: that is a fault already.
fn read_channel_key<'a>(step: &Reader<'a>, declared: Option<&str>, channels: &Channels) -> Option<&'a str> {
    let (field, group) = (step.field("channel_key"), step.field("channel_group_key"));
    if !group.is_blank() {
        let problem = "channel groups are not supported by this version";
        group.field_fault(problem, format!("Write channel_key instead. {}", configured(channels, declared, "")));
        return field.text();
    }
    if field.is_blank() {
        field.required_text(&format!("Name a channel. {}", configured(channels, declared, "")));
        return None;
    }
    let key = field.text()?;
    if !channels.contains_key(key) {
        let problem = format!("{} is not a configured channel", shown_text(key));
        field.fault(problem, configured(channels, declared, key));
    }
    Some(key)
}

/// The configured channels: those of the declared type first, and among them the likest to `key`.
fn configured(channels: &Channels, declared: Option<&str>, key: &str) -> String {
    if channels.is_empty() {
        return "No channel is configured.".to_owned();
    }
    let mut names: Vec<&str> = channels.keys().map(String::as_str).collect();
    sort_by_likeness(key, &mut names);
    names.sort_by_key(|name| Reverse(declared.is_some() && channels.get(*name).map(|kind| kind.as_str()) == declared));
    format!("Configured are {}.", quoted_list(&names))
}

fn read_template(step: &Reader<'_>, channel_type: &str) -> Option<Template> {
    if channel_type != ChannelType::Email.as_str() && channel_type != ChannelType::InAppFeed.as_str() {
        let declared = step.field("channel_type");
        let culprit = if declared.is_blank() { step.field("channel_key") } else { declared };
        culprit
            .fault(format!("channels of type {channel_type:?} are not supported by this version"), SUPPORTED_CHANNELS);
        return None;
    }
    let template = step.field("template");
    if template.value().is_none() {
        template.missing("Write an object with what the message says.");
        return None;
    }
    template.object()?;
    let overrides = step.field("channel_overrides");
    if channel_type == ChannelType::Email.as_str() {
        read_email(&template, &overrides).map(Template::Email)
    } else {
        refuse_overrides(&overrides);
        read_in_app(&template).map(Template::InAppFeed)
    }
}

#[cfg(test)]
mod tests {
    use super::super::channel::ChannelType;
    use super::super::tracking::TrackingOverride;
    use super::super::workflow::{Engine, StepKind};
    use super::super::workflow_file::parse;
    use super::super::workflow_sample::*;
    use serde_json::json;

    #[test]
    fn a_channel_must_be_configured() {
        let text = fault(&with("/steps/0/channel_key", json!("emial")));
        let expected = "steps[0].channel_key: \"emial\" is not a configured channel. \
                        Configured are \"email\", \"postmark\", \"in-app\", \"twilio\".";
        assert_eq!(text, expected);
        let faults = parse(&files(&document()), &Default::default(), Engine::Handlebars).unwrap_err();
        assert!(faults.iter().all(|fault| fault.fix == "No channel is configured."), "{faults:?}");
    }

    #[test]
    fn the_declared_type_of_channel_agrees_with_the_configured_one() {
        let text = fault(&with("/steps/0/channel_key", json!("in-app")));
        let expected = "steps[0].channel_type: \"email\" is not the type of channel \"in-app\". \
                        Write \"in_app_feed\", or name another channel.";
        assert_eq!(text, expected);
        let text = fault(&with("/steps/2/channel_type", json!("in_app")));
        assert!(text.starts_with("steps[2].channel_type: \"in_app\" is not a type of channel"), "{text}");
    }

    #[test]
    fn a_step_on_a_channel_that_is_not_supported_sends_nothing_and_says_so() {
        let mut document = with("/steps/2/channel_key", json!("twilio"));
        let problem = "channels of type \"sms\" are not supported by this version, so the step sends nothing. \
                       Supported are \"email\" and \"in_app_feed\".";
        assert_eq!(notice(&document), format!("steps[2].channel_key: {problem}"));
        assert_eq!(workflow(&document).steps[2].kind, StepKind::Mute(ChannelType::Sms));
        document["steps"][2]["channel_type"] = json!("sms");
        document["steps"][2]["channel_key"] = json!("not-configured");
        document["steps"][2]["template"] = json!({"settings": {}, "text_body": "Hi"});
        assert_eq!(notice(&document), format!("steps[2].channel_type: {problem}"));
        let faults = faults(&with("/steps/2/channel_type", json!("in_app_guide")));
        assert!(faults.iter().any(|text| text.contains("\"in_app_guide\" are not supported by this version")));
    }

    #[test]
    fn a_step_names_one_channel_and_no_group() {
        assert!(
            fault(&without("/steps/0/channel_key")).starts_with("steps[0].channel_key: is missing. Name a channel.")
        );
        let text = fault(&with("/steps/0/channel_group_key", json!("all")));
        assert!(text.starts_with("steps[0].channel_group_key: channel groups are not supported"), "{text}");
        assert_eq!(workflow(&with("/steps/0/channel_group_key", json!(null))), {
            let mut expected = workflow(&document());
            expected.source["steps"][0]["channel_group_key"] = json!(null);
            expected
        });
    }

    #[test]
    fn what_changes_to_whom_is_sent_cannot_be_passed_over() {
        let text = fault(&with("/steps/2/channel_overrides", json!({"to_address": "x@y.z", "cc_address": null})));
        assert!(text.starts_with("steps[2].channel_overrides.to_address: is not an override"), "{text}");
        let overrides = json!({"open_tracking": true, "link_tracking": null, "token_deregistration": true});
        let document = with("/steps/0/channel_overrides", overrides);
        assert!(notice(&document).contains("no push messages"));
        let StepKind::Channel(step) = &workflow(&document).steps[0].kind else { panic!("{document}") };
        assert_eq!(step.tracking, TrackingOverride { opens: Some(true), links: None });
        let document = with("/steps/2/channel_overrides", json!({"open_tracking": true, "link_tracking": true}));
        assert!(notice(&document).starts_with("steps[2].channel_overrides.open_tracking: has no effect"));
        let text = fault(&with("/steps/0/channel_overrides", json!({"link_tracking": "yes"})));
        assert!(text.starts_with("steps[0].channel_overrides.link_tracking: "), "{text}");
        assert!(read(&with("/steps/0/channel_overrides", json!(null))).unwrap().1.is_empty());
    }

    #[test]
    fn a_template_is_required_and_checked_also_when_the_channel_is_not_configured() {
        assert!(fault(&without("/steps/0/template")).starts_with("steps[0].template: is missing"));
        let mut document = without("/steps/0/template/subject");
        document["steps"][0]["channel_key"] = json!("smtp");
        assert_eq!(faults(&document).len(), 2);
    }

    #[test]
    fn every_channel_step_can_have_send_windows() {
        let day = |day: &str| json!({"day": day, "type": "send"});
        let week = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"].map(day);
        for step in [0, 2] {
            let workflow = workflow(&with(&format!("/steps/{step}/send_windows"), json!(week)));
            let StepKind::Channel(channel) = &workflow.steps[step].kind else { panic!("{workflow:?}") };
            assert!(channel.send_windows.is_some());
        }
    }

    #[test]
    fn a_channel_step_keeps_its_channel() {
        let workflow = workflow(&document());
        let StepKind::Channel(step) = &workflow.steps[2].kind else { panic!("{workflow:?}") };
        assert_eq!(step.channel_key, "in-app");
    }
}
