//! Ops: all that can be written. Each is validated and applied as a whole, and answered after the commit.

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::StoreError;
use super::codec::encode_sized;
use super::cohort::Records;
use super::trim::BATCH;
use crate::base::clock::Timestamp;
use crate::base::ids::{ChannelId, MessageId, RunId, ScheduleId, TriggerId, VersionId};
use crate::base::work::WorkGuard;
use crate::model::audience::AudienceChange;
use crate::model::awaited::Wait;
use crate::model::batch_step::{Mode, Order};
use crate::model::bulk_operation::BulkOperation;
use crate::model::engagement::{Action, Engagement};
use crate::model::flow::Flow;
use crate::model::library::Library;
use crate::model::message::{Attempt, Captured, Message, Pending};
use crate::model::profile::{Profile, json_size};
use crate::model::recipient::{Recipient, RecipientRef};
use crate::model::run::{Outcome, Phase, Run, RunEvent};
use crate::model::schedule::{PlanChange, Schedule};
use crate::model::schedule_request::NewSchedule;
use crate::model::subscription::{FanOut, Subscription};
use crate::model::suppression::Suppression;
use crate::model::trigger::{CancelHash, Trigger};
use crate::model::trigger_data::TriggerData;
use crate::model::workflow::Engine;

/// A write.
#[derive(Clone, Debug)]
pub enum Op {
    Accept(Box<Accepting>),
    Advance(Box<Advance>),
    /// `Accept` of what a step of a run triggers, and the run's `Advance`, if it is not stale.
    AdvanceAccepting(Box<Advance>, Box<Accepting>),
    Cancel(Cancel),
    BeginAttempt(BeginAttempt),
    EndAttempt(Box<EndAttempt>),
    Release(Release),
    Mark(Mark),
    MarkFeeds(MarkFeeds),
    KeepBulkOperation(BulkOperation),
    Trim(Trim),
    Identify(Identify),
    PublishVersion(PublishVersion),
    /// Whether the workflow of this key is active from now on.
    SwitchWorkflow(String, bool),
    AddKey(AddKey),
    /// Forgets the API key with this hash.
    RemoveKey([u8; 32]),
    /// Keeps random bytes under a name.
    KeepSecret(&'static str, [u8; 32]),
    Suppress(Suppression),
    /// Takes an address off the suppression list.
    Unsuppress(String),
    ClearMailbox,
    Remove(Remove),
    MergeUsers(MergeUsers),
    RemovePortion(RemovePortion),
    Subscribe(Subscribe),
    Unsubscribe(Unsubscribe),
    Spread(Box<Spread>),
    /// Clears a portion of what the fan-out of this trigger left.
    ClearFanOut(TriggerId),
    ChangeSchedules(Box<ChangeSchedules>),
    /// `Accept` of what an occurrence of a schedule triggers.
    AcceptOccurrence(Box<Accepting>, Occurrence),
    /// An occurrence goes by and triggers nothing.
    MissOccurrence(Occurrence),
    ChangeAudience(ChangeAudience),
}

/// What an applied op answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Done {
    Accepted(Accepted),
    Cancelled(Vec<Cancelled>),
    /// The run went elsewhere.
    Diverted(Diverted),
    /// `None`: the attempt is not to be made; the message was cancelled or is settled.
    Begun(Option<Box<Begun>>),
    /// Whose feed it lies in now; `None`: the message was cancelled or is settled.
    Released(Option<RecipientRef>),
    /// The messages that were found, in the order in which they were named.
    Marked(Vec<Marked>),
    /// How many items were changed.
    Changed(u64),
    /// Each once, in the order in which they were first named.
    Identified(Vec<Recipient>),
    /// Where the next portion begins; `None`: nothing is left.
    Portion(Option<Place>),
    Subscriptions(Vec<Subscription>),
    /// The runs that were made, and the fan-out as it is now.
    Spread(Vec<RunId>, FanOut),
    /// Whether nothing is left.
    Cleared(bool),
    /// Those that were found, as they are now or were last.
    Schedules(Vec<Schedule>),
    Written,
}

/// A whole trigger request: recipients to store, the trigger, its runs.
#[derive(Clone, Debug)]
pub struct Accept {
    pub trigger: Trigger,
    pub runs: Vec<Run>,
    pub identify: Vec<(RecipientRef, Profile)>,
    pub idempotency: Option<Idempotency>,
    /// The spreading to those who subscribe to its recipients.
    pub fan_out: Option<FanOut>,
    /// The size of the request, for the bound on a group's bytes.
    pub bytes: usize,
}

/// `Accept` as it is queued. Its records are encoded by whoever asks: the one writer has only to insert them, and what
/// cannot be encoded fails nobody else's op.
#[derive(Clone, Debug)]
pub struct Accepting {
    pub id: TriggerId,
    pub at: Timestamp,
    pub trigger: Vec<u8>,
    pub runs: Records,
    pub identify: Vec<(RecipientRef, Profile)>,
    pub idempotency: Option<Idempotency>,
    pub fan_out: Option<(FanOut, Vec<RecipientRef>)>,
    pub bytes: usize,
}

impl Accept {
    /// Encodes the records.
    pub fn prepare(self) -> Result<Accepting, StoreError> {
        Ok(Accepting {
            id: self.trigger.id,
            at: self.trigger.inserted_at,
            trigger: encode_sized(&self.trigger, self.bytes)?,
            runs: Records::of(&self.runs)?,
            identify: self.identify,
            fan_out: self.fan_out.map(|fan_out| (fan_out, self.runs.iter().map(|run| run.recipient.clone()).collect())),
            idempotency: self.idempotency,
            bytes: self.bytes,
        })
    }
}

/// The runs of an accepted trigger, for whoever starts them.
pub struct Admission {
    pub runs: Vec<RunId>,
    /// When they go on; `None`: now.
    pub due: Option<Timestamp>,
    pub cancel: Option<CancelHash>,
    pub flow: Flow,
    /// It spreads to those who subscribe to its recipients.
    pub fan_out: Option<TriggerId>,
    /// Counts from the request until the runs have begun.
    pub work: WorkGuard,
}

/// What makes two requests the same one.
#[derive(Clone, Debug)]
pub struct Idempotency {
    /// Hash of method, path and the client's key.
    pub key: [u8; 32],
    /// Hash of the request; another one under the same key is refused.
    pub fingerprint: [u8; 32],
    pub request_id: String,
}

/// The stored answer to a request that had an idempotency key. Kept for a day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Idempotent {
    pub fingerprint: [u8; 32],
    pub request_id: String,
    pub trigger: TriggerId,
    pub at: Timestamp,
}

/// The answer to `Accept`.
#[derive(Clone, Debug, PartialEq)]
pub enum Accepted {
    New,
    /// The same request was accepted before; nothing was written.
    Replayed(Idempotent),
}

/// The next state of a run, valid only over revision `expect`.
#[derive(Clone, Debug)]
pub struct Advance {
    pub run: RunId,
    pub expect: u32,
    pub to: Next,
    /// What must let the run pass; otherwise it is diverted, and what the write says of it does not happen.
    pub gate: Option<Gate>,
    /// What later steps find.
    pub changes: Changes,
    pub message: Option<NewMessage>,
    pub events: Vec<RunEvent>,
    pub at: Timestamp,
}

/// What a step changes for those after it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// Laid over the run's data.
    pub data: Map<String, Value>,
    pub people: Vec<(RecipientRef, Profile)>,
    pub audience: Option<Box<ChangeAudience>>,
}

/// What is decided where a run is written, by what others did before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gate {
    /// One of each recipient and key, ever.
    Once { key: [u8; 16] },
    /// Up to `limit` of a key in a window, which ends at `until` if it opens now.
    Throttle { key: [u8; 16], until: Timestamp, limit: u32, step_ref: String },
    /// It opens a batch, or joins one and ends.
    Batch(Box<Entering>),
    /// It goes on for a batch, whose time is over.
    Close(Closing),
    /// It waits for an event.
    Wait(Box<Registering>),
}

/// A run that begins to wait for an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registering {
    pub wait: Wait,
    pub step: u16,
    /// What has happened to its own messages counts too.
    pub looks_back: bool,
}

/// A run that comes to a batch step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entering {
    /// Names, beside the recipient, what the items of a batch share.
    pub key: [u8; 16],
    /// The part of it that the step's settings name, for people.
    pub shown_key: String,
    pub step: u16,
    pub step_ref: String,
    pub mode: Mode,
    /// When the batch ends if this run opens it, or puts its end off.
    pub until: Timestamp,
    /// To when its end can be put off at most if this run opens it; `None`: the window is fixed.
    pub latest: Option<Timestamp>,
    pub max_items: Option<u32>,
    pub actor: Option<RecipientRef>,
}

/// How a batch is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closing {
    pub step_ref: String,
    pub order: Order,
    pub rendered: u32,
    /// The version that the run goes on with, if that is not its own.
    pub version: Option<VersionId>,
}

/// Where a run went instead.
#[derive(Clone, Debug, PartialEq)]
pub struct Diverted {
    pub to: Next,
    pub hastened: Option<Hastened>,
}

/// Another run that waits is to go on earlier than it knew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hastened {
    pub run: RunId,
    pub from: Timestamp,
    pub to: Timestamp,
}

/// The most events of one `Advance`, those of its gate and of what it triggers included: they are numbered under its
/// revision, and one more would take the number of the next one's.
pub const EVENTS_PER_REVISION: u32 = 16;

/// Where a run goes.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    Phase(Phase),
    End(Outcome),
}

/// A message that a step made.
#[derive(Clone, Debug)]
pub enum NewMessage {
    /// Goes into the outbox, and out of it not before then.
    Send(Message, Option<Timestamp>),
    /// Goes into its recipient's feed, where it is found by the data.
    Feed(Message, TriggerData),
    /// The same, but not before then.
    Hold(Message, TriggerData, Timestamp),
    /// Goes nowhere: the sandbox.
    Keep(Message),
}

impl NewMessage {
    /// The message.
    pub fn into_message(self) -> Message {
        match self {
            Self::Send(message, _) | Self::Feed(message, _) | Self::Hold(message, ..) | Self::Keep(message) => message,
        }
    }
}

/// Ends those of `runs` that have not ended and whose recipient is named.
#[derive(Clone, Debug)]
pub struct Cancel {
    pub key: CancelHash,
    /// Runs, among them all of the key. What lies of it in batches that are open is found by the key.
    pub runs: Vec<RunId>,
    pub recipients: Option<Vec<RecipientRef>>,
    /// Only runs of these triggers.
    pub of: Option<Vec<TriggerId>>,
    /// Triggers that are spreading, whose later runs are to be ended too.
    pub spreading: Vec<TriggerId>,
    pub at: Timestamp,
}

/// A run that a cancel took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancelled {
    pub run: RunId,
    /// Where it stood, and whose turn it waited for; `None`: it was an item of a batch, and what waits for the batch's
    /// end waits on.
    pub stood: Option<(Phase, Flow)>,
    /// Attempts that were on the wire and may still arrive.
    pub in_flight: u32,
}

/// Begins an attempt to send: written before the attempt is made.
#[derive(Clone, Copy, Debug)]
pub struct BeginAttempt {
    pub run: RunId,
    pub message: MessageId,
    pub at: Timestamp,
}

/// What to send.
#[derive(Clone, Debug, PartialEq)]
pub struct Begun {
    /// Without the addresses that are on the suppression list.
    pub message: Message,
    pub attempt: u32,
    /// Which those are, and why they are listed.
    pub left_out: Vec<Suppression>,
}

/// What came of an attempt.
#[derive(Clone, Debug)]
pub struct EndAttempt {
    pub run: RunId,
    pub message: MessageId,
    pub attempt: Attempt,
    /// When to try again; `None`: the attempt's result is final.
    pub retry_at: Option<Timestamp>,
    /// Whom of those that get a copy the attempt found not to be there.
    pub gone: Vec<Suppression>,
    pub captured: Option<Captured>,
}

/// Puts a message into its recipient's feed that was held until now.
#[derive(Clone, Copy, Debug)]
pub struct Release {
    pub run: RunId,
    pub message: MessageId,
    pub at: Timestamp,
}

/// Takes an action on messages. Ids that no message has are left out.
#[derive(Clone, Debug)]
pub struct Mark {
    pub messages: Vec<MessageId>,
    pub action: Action,
    /// What the client says of it.
    pub data: Option<Map<String, Value>>,
    pub at: Timestamp,
}

/// A message after an action.
#[derive(Clone, Debug, PartialEq)]
pub struct Marked {
    pub message: Message,
    pub engagement: Engagement,
}

/// Changes items of a channel's feeds, each named by its recipient and when it was inserted.
#[derive(Clone, Debug)]
pub struct MarkFeeds {
    pub channel: ChannelId,
    pub items: Vec<(RecipientRef, Vec<Timestamp>)>,
    pub change: Change,
    pub at: Timestamp,
}

/// What happens to an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Take(Action),
    /// It leaves its feed; the message stays.
    Delete,
}

/// Forgets what is past its time, at most `trim::BATCH` records of it.
#[derive(Clone, Debug)]
pub enum Trim {
    /// Ended runs, with what happened to them.
    Runs(Vec<RunId>),
    /// Messages that are not to be sent any more, with their attempts, their place in a feed and what was done with them.
    Messages(Vec<MessageId>),
    /// Triggers of before then, as far as no run needs them that is pending or kept.
    Triggers(Timestamp),
    /// That those were deleted, by the keys of recipients, if it was before then and no pending run was triggered earlier.
    Deleted(Timestamp, Vec<Vec<u8>>),
    /// Captured mail of before then.
    Mailbox(Timestamp),
    /// Bulk operations of before then.
    BulkOperations(Timestamp),
    /// Versions of workflows that no trigger names; what is published stays.
    Versions(Vec<VersionId>),
}

/// Creates or deep-merges recipients.
#[derive(Clone, Debug)]
pub struct Identify {
    pub people: Vec<(RecipientRef, Profile)>,
    pub at: Timestamp,
    /// The size of what is said of them, for the bound on a group's bytes.
    pub bytes: usize,
}

/// Deletes recipients; what belonged to them goes in portions.
#[derive(Clone, Debug)]
pub struct Remove {
    pub recipients: Vec<RecipientRef>,
    pub at: Timestamp,
}

/// Merges the user `from` into the user `into`, and deletes it.
#[derive(Clone, Debug)]
pub struct MergeUsers {
    pub into: RecipientRef,
    pub from: RecipientRef,
    pub at: Timestamp,
}

/// Removes a portion of what belonged to a deleted recipient.
#[derive(Clone, Debug)]
pub struct RemovePortion {
    pub recipient: RecipientRef,
    pub from: Place,
}

/// Where a removal stands: in which of the tables that it empties, and the key that it goes on from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    pub table: usize,
    pub from: Vec<u8>,
}

/// Subscribes recipients to objects; those given inline are stored first.
#[derive(Clone, Debug)]
pub struct Subscribe {
    pub wanted: Vec<Wanted>,
    pub people: Vec<(RecipientRef, Profile)>,
    pub at: Timestamp,
    pub bytes: usize,
}

/// A subscription that is to be.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub object: RecipientRef,
    pub recipient: RecipientRef,
    /// `None`: those that it has stay.
    pub properties: Option<Map<String, Value>>,
}

/// Ends subscriptions, each named by object and recipient.
#[derive(Clone, Debug)]
pub struct Unsubscribe {
    pub pairs: Vec<(RecipientRef, RecipientRef)>,
}

/// Makes runs for a portion of subscribers.
#[derive(Clone, Debug)]
pub struct Spread {
    /// As it will be.
    pub fan_out: FanOut,
    /// Who is reached, each by its subscription to an object.
    pub to: Vec<(RecipientRef, RecipientRef)>,
    /// What the runs have in common.
    pub like: Run,
    /// The block of ids that they are given.
    pub block: uuid::Uuid,
}

/// Makes, changes or deletes schedules, of which ids that none has are left out.
#[derive(Clone, Debug)]
pub struct ChangeSchedules {
    pub change: ScheduleChange,
    /// What is said of the people in them.
    pub people: Vec<(RecipientRef, Profile)>,
    pub at: Timestamp,
    /// By whose clocks those repeat whose recipient has no zone, and whose tenant has none.
    pub zone: TimeZone,
    pub bytes: usize,
}

/// What becomes of schedules.
#[derive(Clone, Debug)]
pub enum ScheduleChange {
    Make(Vec<(ScheduleId, NewSchedule)>),
    Update(Vec<ScheduleId>, PlanChange),
    Delete(Vec<ScheduleId>),
}

/// The occurrence of a schedule that was to come at `due`; valid only while it does.
#[derive(Clone, Debug)]
pub struct Occurrence {
    pub schedule: ScheduleId,
    pub due: Timestamp,
    /// When it came.
    pub at: Timestamp,
    /// As that of `ChangeSchedules`.
    pub zone: TimeZone,
}

/// Adds members to an audience, which it makes, or removes them.
#[derive(Clone, Debug, PartialEq)]
pub struct ChangeAudience {
    pub key: String,
    pub change: AudienceChange,
    pub members: Vec<(RecipientRef, Option<String>)>,
    /// What is said of the users, which is stored before.
    pub people: Vec<(RecipientRef, Profile)>,
    pub at: Timestamp,
}

/// Keeps a workflow's document for the runs that will follow it, and as the version to fall back to.
#[derive(Clone, Debug)]
pub struct PublishVersion {
    pub version: VersionId,
    pub stored: StoredVersion,
}

/// A workflow's document as it was when runs started on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredVersion {
    pub key: String,
    pub document: Value,
    /// The language of the templates that name none, as it was configured then. Not known of what was stored before this
    /// was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<Engine>,
    /// The layouts and partials that the document names.
    #[serde(default, skip_serializing_if = "Library::is_empty")]
    pub library: Library,
}

/// Keeps the hash of an API key.
#[derive(Clone, Debug)]
pub struct AddKey {
    pub hash: [u8; 32],
    pub key: StoredKey,
}

/// An API key at rest: never the key itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredKey {
    pub secret: bool,
    pub last4: String,
    /// What it is for, in its maker's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub created_at: Timestamp,
}

impl Op {
    /// About how many bytes the op writes.
    pub fn weight(&self) -> usize {
        const RECORD: usize = 512;
        match self {
            Self::Accept(accept) | Self::AcceptOccurrence(accept, _) | Self::AdvanceAccepting(_, accept) => {
                accept.bytes + RECORD + accept.runs.bytes()
            }
            Self::Advance(advance) => 4 * RECORD + json_size(&advance.changes.data),
            Self::EndAttempt(end) => {
                let captured = end.captured.as_ref().map_or(0, |captured| captured.raw.len() * 2);
                (1 + end.gone.len()) * RECORD + captured
            }
            Self::PublishVersion(_) => 64 * RECORD,
            Self::Trim(_) => BATCH * 2 * RECORD,
            Self::Mark(mark) => mark.messages.len() * 2 * RECORD,
            Self::Identify(identify) => identify.bytes + identify.people.len() * RECORD,
            Self::ChangeAudience(change) => change.members.len() * RECORD,
            Self::ChangeSchedules(change) => change.bytes + 256 * RECORD,
            Self::RemovePortion(_) => 256 * RECORD,
            Self::Subscribe(subscribe) => subscribe.bytes + subscribe.wanted.len() * RECORD,
            Self::Unsubscribe(unsubscribe) => unsubscribe.pairs.len() * RECORD,
            Self::Spread(spread) => spread.to.len() * RECORD,
            Self::ClearFanOut(_) => 128 * RECORD,
            Self::Remove(remove) => remove.recipients.len() * RECORD,
            Self::MarkFeeds(mark) => mark.items.iter().map(|(_, items)| (items.len() + 1) * RECORD).sum(),
            _ => 4 * RECORD,
        }
    }
}

/// The outbox record of a new message.
pub fn pending(message: &Message, not_before: Option<Timestamp>) -> Pending {
    Pending {
        message: message.id,
        run: message.run,
        flow: Flow::of(&message.workflow, message.tenant.as_deref()),
        channel: message.channel,
        attempts: 0,
        due: not_before.unwrap_or(message.inserted_at),
        in_flight: false,
        cancelled: false,
        item: None,
    }
}
