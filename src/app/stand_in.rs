//! Channels that workflows send on and nobody configured: a developer's server makes them up, and an import says how to
//! configure them.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::Value;

use crate::base::config::{Channel, Config, EmailSettings, FeedSettings, Provider, Sender};
use crate::base::ids::ChannelId;
use crate::base::nearest::nearest;
use crate::model::channel::ChannelType;
use crate::model::workflow_file::WorkflowFiles;

/// The sender of mail that no configuration names one for.
const SENDER: &str = "Acme <no-reply@acme.test>";

/// The channels that `workflows` name and `config` does not have: by key, of the two types that there are.
pub fn missing(config: &Config, workflows: &[WorkflowFiles]) -> BTreeMap<String, ChannelType> {
    let mut named = BTreeMap::new();
    let documents = workflows.iter().filter_map(|files| files.files.get("workflow.json"));
    for document in documents.filter_map(|text| serde_json::from_str::<Value>(text).ok()) {
        collect(&document["steps"], &mut named);
    }
    // A key that no channel can have is a fault of the workflow.
    let possible = |key: &str| key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b));
    // So is one that is a slip of the pen for a channel that there is.
    let known: Vec<&str> = config.channels.iter().map(|channel| channel.key.as_str()).collect();
    let meant = |key: &str| known.contains(&key) || nearest(key, known.iter().copied()).is_some();
    named.retain(|key, _| !key.is_empty() && possible(key) && !meant(key));
    named
}

/// Channels of steps; those that branches hold too.
fn collect(steps: &Value, named: &mut BTreeMap<String, ChannelType>) {
    for step in steps.as_array().into_iter().flatten() {
        let kind = step["channel_type"].as_str().map_or_else(|| guess(&step["template"]), known);
        if let (Some(key), Some(kind)) = (step["channel_key"].as_str(), kind) {
            named.insert(key.to_owned(), kind);
        }
        for branches in ["branches", "cohort_branches"] {
            step[branches].as_array().into_iter().flatten().for_each(|branch| collect(&branch["steps"], named));
        }
    }
}

fn known(name: &str) -> Option<ChannelType> {
    [ChannelType::Email, ChannelType::InAppFeed].into_iter().find(|kind| kind.as_str() == name)
}

/// The type of the channel that a template is for, where an old file does not say it.
fn guess(template: &Value) -> Option<ChannelType> {
    let has = |key: &str| template.get(key).or_else(|| template.get(format!("{key}@"))).is_some();
    if has("subject") {
        return Some(ChannelType::Email);
    }
    // The text of a chat message is Markdown too, but it leads nowhere.
    (has("markdown_body") && (has("action_url") || has("action_buttons"))).then_some(ChannelType::InAppFeed)
}

/// Makes up what is missing: mail is captured, as from the sender of the first channel that captures it.
pub fn make_up(config: &mut Config, workflows: &[WorkflowFiles]) {
    let configured = config.channels.iter().find_map(|channel| match &channel.provider {
        Provider::Mailbox(email) => Some(email.from.clone()),
        _ => None,
    });
    let Some(from) = configured.or_else(|| Sender::parse(SENDER).ok()) else { return };
    for (key, kind) in missing(config, workflows) {
        let provider = match kind {
            ChannelType::InAppFeed => Provider::InAppFeed(FeedSettings::default()),
            _ => Provider::Mailbox(EmailSettings::plain(from.clone())),
        };
        config.channels.push(Channel { id: ChannelId::of_key(&key), key, provider });
    }
}

/// What `missing` is in the configuration file: feeds as they will be, mail still captured.
pub fn to_toml(missing: &BTreeMap<String, ChannelType>) -> String {
    let mut text = String::new();
    for (key, kind) in missing {
        let id = ChannelId::of_key(key);
        let provider = match kind {
            ChannelType::InAppFeed => "provider = \"in_app_feed\"\n".to_owned(),
            _ => format!("provider = \"mailbox\"\nfrom = {SENDER:?}\n"),
        };
        // Writing to a string cannot fail.
        let _ = write!(text, "[[channels]]\nkey = {key:?}\nid = \"{id}\"\ntype = \"{kind}\"\n{provider}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::config::Overrides;

    fn workflows(steps: &str) -> Vec<WorkflowFiles> {
        let files = BTreeMap::from([("workflow.json".to_owned(), format!("{{\"steps\": {steps}}}"))]);
        vec![WorkflowFiles { key: "w".into(), files }]
    }

    #[test]
    fn channels_are_found_in_branches_and_by_what_their_templates_say() {
        let config = Config::from_layers(Some(Config::DEV), [], &Overrides::default()).unwrap();
        let found = missing(
            &config,
            &workflows(
                r#"[{"channel_key": "postmark", "template": {"subject@": "s.txt"}},
                    {"channel_key": "email", "channel_type": "email"},
                    {"channel_key": "slack", "template": {"markdown_body": "x"}},
                    {"channel_key": "apns", "channel_type": "push"},
                    {"branches": [{"steps": [{"channel_key": "feed", "channel_type": "in_app_feed"}]}]}]"#,
            ),
        );
        let expected = [("feed".to_owned(), ChannelType::InAppFeed), ("postmark".to_owned(), ChannelType::Email)];
        assert_eq!(found, BTreeMap::from(expected));
    }

    #[test]
    fn what_is_made_up_is_what_the_file_would_say() {
        let named = workflows(
            r#"[{"channel_key": "a", "channel_type": "email"}, {"channel_key": "b", "channel_type": "in_app_feed"}]"#,
        );
        let mut made = Config::from_layers(None, [], &Overrides::default()).unwrap();
        let text = to_toml(&missing(&made, &named));
        make_up(&mut made, &named);
        let written = Config::from_layers(Some(("x", &text)), [], &Overrides::default()).unwrap();
        assert_eq!(made.channels, written.channels);
    }
}
