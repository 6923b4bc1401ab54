//! A message: one notification for one recipient on one channel.

use serde::{Deserialize, Serialize};

use super::channel::ChannelType;
use super::flow::Flow;
use super::recipient::RecipientRef;
use super::suppression::Suppression;
use super::trigger_data::TriggerData;
use crate::base::clock::Timestamp;
use crate::base::ids::{ChannelId, MessageId, RunId, TriggerId};

/// A stored message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    pub id: MessageId,
    pub run: RunId,
    /// Which of the run's batches it tells of; `None`: of its trigger alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<u32>,
    pub trigger: TriggerId,
    pub workflow: String,
    pub categories: Vec<String>,
    pub step_ref: String,
    pub channel: ChannelId,
    pub recipient: RecipientRef,
    pub tenant: Option<String>,
    pub content: Content,
    pub status: Status,
    /// Unique within its feed to the millisecond, and ascending in the order of commits.
    pub inserted_at: Timestamp,
    pub updated_at: Timestamp,
}

/// What the message says, rendered once: every attempt sends the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    Email { to: String, email: EmailContent },
    InApp { blocks: Vec<Block> },
}

impl Content {
    /// The type of the channels that carry it.
    pub fn channel_type(&self) -> ChannelType {
        match self {
            Self::Email { .. } => ChannelType::Email,
            Self::InApp { .. } => ChannelType::InAppFeed,
        }
    }
}

/// The delivery status of `knock-engine.md` section 7.2. In-app is delivered at once; SMTP never gets above sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Queued,
    DeliveryAttempted,
    Sent,
    Delivered,
    Undelivered,
    /// There is no such address.
    Bounced,
    NotSent,
}

/// A message that is still to be sent, and what was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    pub message: MessageId,
    pub run: RunId,
    #[serde(default)]
    pub flow: Flow,
    pub channel: ChannelId,
    /// Attempts begun, the one on the wire included.
    pub attempts: u32,
    /// When the next attempt may begin.
    pub due: Timestamp,
    /// An attempt is on the wire. Found so after a crash, it may have been accepted, and is made again.
    pub in_flight: bool,
    /// A cancel came while the attempt was on the wire: no other will follow.
    pub cancelled: bool,
    /// What it is found by in its recipient's feed, where it goes instead of onto the wire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<TriggerData>,
}

/// One attempt to send a message, and what the server said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    pub number: u32,
    pub at: Timestamp,
    pub result: AttemptResult,
    /// The server's own words, or what went wrong before it could speak; cleaned and at most 1 KiB.
    pub reply: String,
    /// What was done to the mail before it was handed over, such as an address that it went without.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Attempt {
    /// One that was not made: the address is on the suppression list.
    pub fn suppressed(number: u32, at: Timestamp, why: &Suppression) -> Self {
        Self { number, at, result: AttemptResult::Permanent, reply: why.to_string(), notes: Vec::new() }
    }
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptResult {
    Accepted,
    /// May succeed later: a 4xx reply, a timeout, a network fault.
    Transient,
    /// Will never succeed: a 5xx reply, an impossible address.
    Permanent,
    /// The server says that there is no such address: no other message will succeed either.
    Bounced,
}

/// What an email says, rendered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmailContent {
    pub subject: String,
    pub html: String,
    pub text: String,
    /// Where one click ends such messages; only of commercial ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsubscribe: Option<String>,
    #[serde(default, skip_serializing_if = "Addressing::is_empty")]
    pub addressing: Box<Addressing>,
    /// Where in the trigger's data its attachments lie, if it has any: they are kept there once and not in each message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attachment_key: Option<String>,
}

/// Who an email is from and to, where its step says so. Empty means what the channel and the recipient say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Addressing {
    pub from_address: Option<String>,
    pub from_name: Option<String>,
    /// Each `a@b.c` or `Name <a@b.c>`, here and in what follows.
    pub to: Vec<String>,
    pub cc: Vec<String>,
    pub bcc: Vec<String>,
    pub reply_to: Vec<String>,
    /// Further headers: names of letters, digits and `-`, values of one line.
    pub headers: Vec<(String, String)>,
}

impl Addressing {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// One block of a feed item, in the shape that Knock's client reads (`knock-api.md` section 3.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Block {
    /// `rendered` is sanitised HTML: React injects it as it is.
    Markdown {
        name: String,
        content: String,
        rendered: String,
    },
    Text {
        name: String,
        content: String,
        rendered: String,
    },
    ButtonSet {
        name: String,
        buttons: Vec<Button>,
    },
}

/// A rendered button of a `button_set` block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Button {
    pub name: String,
    pub label: String,
    pub action: String,
}

/// A captured email, as `GET /dev/mailbox` shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Captured {
    pub message: MessageId,
    pub from: String,
    pub to: String,
    pub subject: String,
    pub text: String,
    pub html: String,
    /// The whole message as it would have gone over the wire.
    pub raw: String,
    pub workflow: String,
    pub step_ref: String,
    pub at: Timestamp,
}
