//! The courier: takes messages from the outbox to their providers, and those that were held into their feeds; a lane for
//! each channel.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, Recipient as Destination, WrapFuture};
use futures_util::FutureExt;
use serde_json::Value;

use super::lane::{Lane, Queued};
use super::{EmailProvider, Mail, RefusedCopy, Sent, retry};
use crate::base::alarm::Alarm;
use crate::base::clock::Timestamp;
use crate::base::deps::{Deps, panic_text};
use crate::base::ids::{ChannelId, MessageId, RunId};
use crate::base::mail::tell_recipient;
use crate::base::work::WorkGuard;
use crate::engine::{Deliver, Publish};
use crate::model::attachment::{self, Attachment};
use crate::model::message::{Attempt, AttemptResult, Content, EmailContent, Message as StoredMessage, Pending};
use crate::model::suppression::Suppression;
use crate::store::op::{BeginAttempt, EndAttempt, Release};
use crate::store::{Refused, Store, StoreError};

/// The longest text kept of what a server said, in bytes.
const MAX_REPLY: usize = 1_024;

/// The courier.
pub struct Courier {
    deps: Arc<Deps>,
    store: Store,
    lanes: HashMap<ChannelId, (Lane, Way)>,
    /// Held while a message is due and not on the wire.
    backlog: Option<WorkGuard>,
    alarm: Alarm,
    draining: bool,
}

/// Where a channel's messages go.
#[derive(Clone)]
pub enum Way {
    Email(Arc<dyn EmailProvider>),
    /// Into feeds, of which this is told. Only what was held for its window comes this way.
    Feed(Destination<Publish>),
}

impl Courier {
    /// A courier for these channels, each with at most `concurrency` attempts on the wire. It begins with what the
    /// outbox holds.
    pub fn new(
        deps: Arc<Deps>,
        store: Store,
        ways: impl IntoIterator<Item = (ChannelId, Way)>,
        concurrency: usize,
    ) -> Self {
        let lanes = ways.into_iter().map(|(id, way)| (id, (Lane::new(concurrency), way))).collect();
        Self { deps, store, lanes, backlog: None, alarm: Alarm::default(), draining: false }
    }

    /// Queues what the outbox holds. An attempt that the last process left on the wire is made again at once.
    fn refill(&mut self) {
        let now = self.deps.clock.now();
        let mut strange = 0_u32;
        let lanes = &mut self.lanes;
        let read = self.store.read().and_then(|reader| {
            reader.each_pending(|pending| {
                match lanes.get_mut(&pending.channel) {
                    Some((lane, _)) => {
                        let due = if pending.in_flight { pending.due.min(now) } else { pending.due };
                        let Pending { message, run, flow, .. } = pending;
                        lane.push(due, Queued { message, run, flow });
                    }
                    None => strange += 1,
                }
                true
            })
        });
        if let Err(error) = read {
            self.store.report(&error);
            tracing::error!(%error, "the outbox cannot be read");
        }
        metrics::gauge!("belfry_mail_stranded").set(f64::from(strange));
        if strange > 0 {
            tracing::warn!(messages = strange, "messages wait for channels that are not configured any more");
        }
    }

    fn pump(&mut self, ctx: &mut Context<Self>) {
        let now = self.deps.clock.now();
        if self.lanes.values_mut().any(|(lane, _)| lane.wants_refill()) {
            self.refill();
        }
        let mut taken = Vec::new();
        for (channel, (lane, way)) in &mut self.lanes {
            while !self.draining
                && let Some(queued) = lane.take(now)
            {
                taken.push((*channel, way.clone(), queued));
            }
        }
        for (channel, way, queued) in taken {
            self.attempt(channel, way, queued, ctx);
        }
        let next = self.next_due();
        if self.draining {
            self.backlog = None;
        } else if next.is_some_and(|due| due <= now) {
            // Room comes with the next attempt that ends, which pumps again.
            self.backlog.get_or_insert_with(|| self.deps.work.begin());
        } else {
            self.backlog = None;
            self.alarm.set(next, &self.deps.clock, ctx, Self::ring);
        }
    }

    fn next_due(&self) -> Option<Timestamp> {
        self.lanes.values().filter_map(|(lane, _)| lane.next_due()).min()
    }

    fn ring(&mut self, ctx: &mut Context<Self>) {
        self.alarm.rang();
        self.pump(ctx);
    }

    fn attempt(&mut self, channel: ChannelId, way: Way, queued: Queued, ctx: &mut Context<Self>) {
        let work = self.deps.work.begin();
        let Queued { run, message, .. } = queued;
        let (deps, store) = (Arc::clone(&self.deps), self.store.clone());
        let attempt = async move {
            match way {
                Way::Email(provider) => self::attempt(deps, store, provider, run, message).await,
                Way::Feed(publish) => {
                    let release = Release { run, message, at: deps.clock.now() };
                    self::release(store, release, channel, &publish).await;
                    None
                }
            }
        };
        ctx.spawn(attempt.into_actor(self).map(move |retry_at, courier, ctx| {
            if let Some((lane, _)) = courier.lanes.get_mut(&channel) {
                lane.settle(queued, retry_at);
            }
            courier.pump(ctx);
            drop(work);
        }));
    }
}

/// Makes one attempt; answers when the next one is due. An attempt is written before it is made, and its outcome after.
async fn attempt(
    deps: Arc<Deps>,
    store: Store,
    provider: Arc<dyn EmailProvider>,
    run: RunId,
    message: MessageId,
) -> Option<Timestamp> {
    let begun = match store.begin_attempt(BeginAttempt { run, message, at: deps.clock.now() }).await {
        Ok(Some(begun)) => begun,
        Ok(None) => return None,
        Err(error) => return lost(&store, message, &error),
    };
    let number = begun.attempt;
    let left_out: Vec<String> = begun.left_out.iter().map(|one| format!("left out: {one}")).collect();
    let sent = match attachments(&store, run, &begun.message) {
        Ok(attachments) => hand_over(provider, begun.message, attachments).await,
        Err((result, reply)) => Sent::new(result, reply),
    };
    let at = deps.clock.now();
    let retry_at = match sent.result {
        AttemptResult::Transient => retry::next_attempt(message, number, at),
        AttemptResult::Accepted | AttemptResult::Permanent | AttemptResult::Bounced => None,
    };
    let reply = clean(&sent.reply);
    for note in &sent.notes {
        tracing::warn!(message_id = %message, note, "a mail is not as it should be");
    }
    log(message, number, sent.result, &reply, retry_at);
    let (refused, gone) = without(&sent.refused, at);
    let notes = [left_out, refused, sent.notes].concat();
    let attempt = Attempt { number, at, result: sent.result, reply, notes };
    match store.end_attempt(EndAttempt { run, message, attempt, retry_at, gone, captured: sent.captured }).await {
        Ok(()) => retry_at,
        Err(StoreError::Refused(Refused::Gone)) => None,
        Err(error) => lost(&store, message, &error),
    }
}

/// What the delivery log says of those whom the server refused, and whom of them the suppression list takes.
fn without(refused: &[RefusedCopy], at: Timestamp) -> (Vec<String>, Vec<Suppression>) {
    let said: Vec<String> = refused.iter().map(|one| clean(&one.said)).collect();
    let all = || refused.iter().zip(&said);
    let notes = all().map(|(one, said)| format!("left out: {}: {said}", one.address)).collect();
    let gone = all().filter(|(one, _)| one.is_gone);
    (notes, gone.map(|(one, said)| Suppression::bounced(&one.address, said, at)).collect())
}

/// Puts a message into its recipient's feed, and tells of that.
async fn release(store: Store, release: Release, channel: ChannelId, publish: &Destination<Publish>) {
    match store.release(release).await {
        Ok(Some(user)) => tell_recipient(publish, Publish { channel, user }),
        Ok(None) => {}
        Err(error) => drop(lost(&store, release.message, &error)),
    }
}

/// The files that go with a message. They lie in its trigger's data, once for all of its recipients.
fn attachments(store: &Store, run: RunId, message: &StoredMessage) -> Result<Vec<Attachment>, (AttemptResult, String)> {
    let Content::Email { email: EmailContent { attachment_key: Some(key), .. }, .. } = &message.content else {
        return Ok(Vec::new());
    };
    let find = || -> Result<Option<Value>, StoreError> {
        let reader = store.read()?;
        let own = match reader.run(run)? {
            Some(run) => run.data,
            None => reader.ended_run(run)?.and_then(|ended| ended.run.data),
        };
        let data = reader.trigger(message.trigger)?.map(|trigger| trigger.data);
        Ok(own.and_then(|own| own.get(key).cloned()).or_else(|| data.and_then(|data| data.get(key).cloned())))
    };
    let found = find().inspect_err(|error| store.report(error));
    let found = found.map_err(|error| (AttemptResult::Transient, error.to_string()))?;
    let found = found.ok_or_else(|| (AttemptResult::Permanent, "its attachments are not kept any more".to_owned()))?;
    attachment::read(&found).map_err(|problem| (AttemptResult::Permanent, format!("its attachment {problem}")))
}

async fn hand_over(provider: Arc<dyn EmailProvider>, message: StoredMessage, attachments: Vec<Attachment>) -> Sent {
    let Content::Email { to, email } = message.content else {
        return Sent::new(AttemptResult::Permanent, "the message is not an email");
    };
    let mail = Mail {
        message: message.id,
        to,
        content: email,
        attachments,
        workflow: message.workflow,
        step_ref: message.step_ref,
        at: message.inserted_at,
    };
    // A provider that panics costs its own message an attempt, and nobody else anything.
    let sent = AssertUnwindSafe(provider.send(&mail)).catch_unwind().await;
    sent.unwrap_or_else(|panic| Sent::new(AttemptResult::Transient, panic_text(panic.as_ref())))
}

/// The store has failed: the process is ending, and the next start finds the message in the outbox.
fn lost(store: &Store, message: MessageId, error: &StoreError) -> Option<Timestamp> {
    store.report(error);
    tracing::error!(message_id = %message, %error, "a message rests in the outbox until the next start");
    None
}

fn log(message: MessageId, attempt: u32, result: AttemptResult, reply: &str, retry_at: Option<Timestamp>) {
    let outcome = match (result, retry_at) {
        (AttemptResult::Accepted, _) => "accepted",
        (AttemptResult::Bounced, _) => "bounced",
        (_, Some(_)) => "retry",
        (_, None) => "undelivered",
    };
    metrics::counter!("belfry_attempts_total", "outcome" => outcome).increment(1);
    match outcome {
        "accepted" => tracing::info!(message_id = %message, attempt, reply, "sent"),
        "retry" => {
            tracing::warn!(message_id = %message, attempt, reply, retry_at = ?retry_at, "not sent, will be tried again")
        }
        _ => tracing::error!(message_id = %message, attempt, reply, "undelivered"),
    }
}

/// A server's words as one printable line of bounded length.
fn clean(reply: &str) -> String {
    let mut text: String = reply.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let end = text.floor_char_boundary(MAX_REPLY);
    text.truncate(end);
    text.trim().to_owned()
}

impl Actor for Courier {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.refill();
        self.pump(ctx);
    }
}

impl Handler<Deliver> for Courier {
    type Result = ();

    fn handle(&mut self, deliver: Deliver, ctx: &mut Self::Context) {
        let Deliver { run, message, channel, flow, not_before, work } = deliver;
        if let Some((lane, _)) = self.lanes.get_mut(&channel) {
            lane.push(not_before.unwrap_or_else(|| self.deps.clock.now()), Queued { message, run, flow });
        }
        self.pump(ctx);
        drop(work);
    }
}

/// When the next queued attempt is due.
#[derive(Message)]
#[rtype(result = "Option<Timestamp>")]
pub struct NextAttempt;

impl Handler<NextAttempt> for Courier {
    type Result = Option<Timestamp>;

    fn handle(&mut self, _: NextAttempt, _: &mut Self::Context) -> Self::Result {
        self.next_due()
    }
}

/// How each channel's lane stands, and what in it was due by `by` and is not on the wire.
#[derive(Message)]
#[rtype(result = "Vec<Standing>")]
pub struct LookAtLanes {
    pub by: Timestamp,
}

/// How a lane stands.
#[derive(Debug, PartialEq, Eq)]
pub struct Standing {
    pub channel: ChannelId,
    pub queued: usize,
    pub in_flight: usize,
    pub overdue: usize,
    /// The overdue messages that wait longest, and since when each is due.
    pub oldest: Vec<(MessageId, Timestamp)>,
    /// When the first queued one is due.
    pub first: Option<Timestamp>,
}

/// Overdue messages of a lane that are named.
const NAMED: usize = 16;

impl Handler<LookAtLanes> for Courier {
    type Result = Vec<Standing>;

    fn handle(&mut self, LookAtLanes { by }: LookAtLanes, _: &mut Self::Context) -> Self::Result {
        let standing = |(channel, (lane, _)): (&ChannelId, &(Lane, _))| {
            let (queued, in_flight) = lane.depth();
            let mut oldest = lane.overdue(by);
            let (overdue, first) = (oldest.len(), oldest.first().map(|(_, due)| *due));
            oldest.truncate(NAMED);
            Standing { channel: *channel, queued, in_flight, overdue, oldest, first: first.or_else(|| lane.next_due()) }
        };
        self.lanes.iter().map(standing).collect()
    }
}

/// The clock was moved: begins all attempts that are due by it. When this is answered, that work is counted.
#[derive(Message)]
#[rtype(result = "()")]
pub struct SweepOutbox;

impl Handler<SweepOutbox> for Courier {
    type Result = ();

    fn handle(&mut self, _: SweepOutbox, ctx: &mut Self::Context) {
        self.pump(ctx);
    }
}

/// Begins no further attempt; those on the wire end by themselves.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Drain;

impl Handler<Drain> for Courier {
    type Result = ();

    fn handle(&mut self, _: Drain, _: &mut Self::Context) {
        self.draining = true;
        self.backlog = None;
    }
}
