//! The configured channels, as workflows and the engine see them.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Result, anyhow};

use crate::base::config::{Channel, ChannelKind, Config, Provider, SmtpSettings};
use crate::engine;
use crate::model::channel::ChannelType;
use crate::model::tracking::Tracking;
use crate::template::ChannelAddressing;

/// The channels by key, as workflows are checked against them.
pub fn types(config: &Config) -> BTreeMap<String, ChannelType> {
    config.channels.iter().map(|channel| (channel.key.clone(), channel_type(channel.kind()))).collect()
}

/// The channels as steps refer to them. The error names the setting at fault.
pub fn as_engine_sees(config: &Config) -> Result<Vec<engine::Channel>> {
    config.channels.iter().map(one).collect()
}

fn one(channel: &Channel) -> Result<engine::Channel> {
    let email = channel.provider.email();
    let addressing =
        email.map_or_else(|| Ok(ChannelAddressing::default()), |email| ChannelAddressing::parse(&email.addressing));
    let addressing = addressing.map_err(|problem| anyhow!("channel `{}`: {problem}", channel.key))?;
    let tracking = match &channel.provider {
        Provider::InAppFeed(feed) => Tracking { opens: false, links: feed.link_tracking },
        Provider::Smtp(SmtpSettings { email, .. }) | Provider::Mailbox(email) => {
            Tracking { opens: email.tracking.opens, links: email.tracking.links }
        }
    };
    Ok(engine::Channel {
        key: channel.key.clone(),
        id: channel.id,
        kind: channel_type(channel.kind()),
        provider: channel.provider.name(),
        from: email.map(|email| email.from.to_string()),
        addressing: Arc::new(addressing),
        tracking,
    })
}

fn channel_type(kind: ChannelKind) -> ChannelType {
    match kind {
        ChannelKind::Email => ChannelType::Email,
        ChannelKind::InAppFeed => ChannelType::InAppFeed,
        ChannelKind::Sms => ChannelType::Sms,
        ChannelKind::Push => ChannelType::Push,
        ChannelKind::Chat => ChannelType::Chat,
        ChannelKind::Http => ChannelType::Http,
    }
}
