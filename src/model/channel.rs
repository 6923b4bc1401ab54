//! Channels: a configured way to reach a recipient.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The kinds of channel of Knock's API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChannelType {
    Email,
    InAppFeed,
    Sms,
    Push,
    Chat,
    Http,
}

impl ChannelType {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Email, Self::InAppFeed, Self::Sms, Self::Push, Self::Chat, Self::Http];

    /// The name on the wire and in `workflow.json`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::InAppFeed => "in_app_feed",
            Self::Sms => "sms",
            Self::Push => "push",
            Self::Chat => "chat",
            Self::Http => "http",
        }
    }
}

impl fmt::Display for ChannelType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
