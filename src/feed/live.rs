//! The actor of one connected user's feeds: tells that user's sessions what has changed. It exists while someone
//! listens; what it knows is read from the store, so that its end loses nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, Recipient, SpawnHandle, WrapFuture};
use bytestring::ByteString;

use super::ToSession;
use super::push::{self, Listener, Push};
use super::query::FeedFilter;
use super::subscription::Subscription;
use crate::base::clock::sleep;
use crate::base::deps::Deps;
use crate::base::ids::{ChannelId, SessionId};
use crate::base::mail::{offer, tell_recipient};
use crate::model::recipient::RecipientRef;
use crate::store::Store;

/// The least time between two pushes of a feed: a client fetches after each, and ignores those that come while it does.
/// The last of a burst is always sent, so that the final counts are right.
const PAUSE: Duration = Duration::from_millis(100);

/// How long a client may take to read its feed, on a slow network too. What it is told meanwhile it ignores, and what it
/// reads may be older than that: whoever may have been reading is told once more after so long without a change.
const SETTLE: Duration = Duration::from_secs(2);

/// A page reads its feed and joins it at about the same time, and one whose connection was lost joins again without
/// reading: items this young when a session joins may have been missed, and are announced to it.
const MAYBE_MISSED: Duration = Duration::from_secs(30);

/// The feeds of one user.
pub struct UserFeeds {
    deps: Arc<Deps>,
    store: Store,
    user: RecipientRef,
    /// A server has one or two in-app channels.
    feeds: Vec<Feed>,
}

struct Feed {
    channel: ChannelId,
    sessions: Vec<Session>,
    /// The filters of all sessions, equal ones once.
    filters: Vec<Arc<FeedFilter>>,
    pace: Pace,
}

impl Feed {
    /// Most users listen once, and every feed has its memory for as long as somebody does.
    fn new(channel: ChannelId) -> Self {
        Self { channel, sessions: Vec::with_capacity(1), filters: Vec::with_capacity(1), pace: Pace::Idle }
    }
}

/// Where a feed stands between two pushes. `again`: it has changed since what is being sent was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    Idle,
    Reading {
        again: bool,
    },
    Pausing {
        again: bool,
    },
    /// Clients may still be reading what they were told of, until the timer ends.
    Settling(SpawnHandle),
}

struct Session {
    listener: Listener,
    line: Line,
    /// It was told something while its client may have been reading.
    unsure: bool,
}

/// The way to a session. When it is dropped with its actor, which only a panic does, the session is closed: its client
/// comes back and listens to a new actor.
struct Line {
    /// The one address that is kept: its mailbox is the bound on what a session that does not read may cost.
    to: Recipient<ToSession>,
    cut: bool,
}

impl Drop for Line {
    fn drop(&mut self) {
        if !self.cut {
            tell_recipient(&self.to, ToSession::Restart);
        }
    }
}

impl UserFeeds {
    /// The feeds of `user`, to which nobody listens yet.
    pub fn new(deps: Arc<Deps>, store: Store, user: RecipientRef) -> Self {
        Self { deps, store, user, feeds: Vec::with_capacity(1) }
    }

    fn feed(&mut self, channel: ChannelId) -> Option<&mut Feed> {
        self.feeds.iter_mut().find(|feed| feed.channel == channel)
    }

    fn changed(&mut self, channel: ChannelId, ctx: &mut Context<Self>) {
        let Some(feed) = self.feed(channel) else { return };
        match &mut feed.pace {
            Pace::Reading { again } | Pace::Pausing { again } => *again = true,
            Pace::Settling(timer) => {
                ctx.cancel_future(*timer);
                self.read_meanwhile(channel, ctx);
            }
            Pace::Idle => self.read(channel, ctx),
        }
    }

    /// Reads what has changed while clients may be reading what they were told before.
    fn read_meanwhile(&mut self, channel: ChannelId, ctx: &mut Context<Self>) {
        if let Some(feed) = self.feed(channel) {
            feed.sessions.iter_mut().for_each(|session| session.unsure = true);
        }
        self.read(channel, ctx);
    }

    /// Reads what has changed, off this thread: a count under a filter walks the whole feed.
    fn read(&mut self, channel: ChannelId, ctx: &mut Context<Self>) {
        let Some(feed) = self.feed(channel) else { return };
        feed.pace = Pace::Reading { again: false };
        let listeners: Vec<Listener> = feed.sessions.iter().map(|session| session.listener.clone()).collect();
        feed.sessions.iter_mut().for_each(|session| session.listener.marked = false);
        let (store, user) = (self.store.clone(), self.user.clone());
        let offload = self.deps.offload;
        let read = async move {
            let compose = move || push::compose(&store.read()?, channel, &user, &listeners);
            offload.run(compose).await
        };
        ctx.spawn(read.into_actor(self).map(move |read, actor, ctx| {
            match read {
                Ok(Ok(push)) => actor.send(channel, push),
                Ok(Err(error)) => tracing::error!(%error, "a feed's change could not be read"),
                Err(panic) => tracing::error!(%panic, "a feed's change could not be told"),
            }
            let again = actor.feed(channel).is_some_and(|feed| feed.pace == Pace::Reading { again: true });
            actor.pause(channel, again, ctx);
        }));
    }

    fn send(&mut self, channel: ChannelId, push: Push) {
        let Some(feed) = self.feed(channel) else { return };
        let mut frames: HashMap<SessionId, Option<ByteString>> = push.frames.into_iter().collect();
        feed.sessions.retain_mut(|session| {
            let id = session.listener.session;
            // Whoever joined while it was read hears of it with the next push.
            let Some(frame) = frames.remove(&id) else { return true };
            session.listener.since = session.listener.since.max(push.until);
            let Some(frame) = frame else { return true };
            let taken = offer(&session.line.to, ToSession::Frame(frame));
            if !taken {
                metrics::counter!("belfry_sessions_dropped_total").increment(1);
                tracing::debug!(session = %id, "a session does not read what it is sent: dropped");
                session.line.cut = true;
                tell_recipient(&session.line.to, ToSession::Slow);
            }
            taken
        });
    }

    /// Lets some time pass, and reads the feed if it is known to have changed or changes meanwhile.
    fn pause(&mut self, channel: ChannelId, again: bool, ctx: &mut Context<Self>) {
        let Some(feed) = self.feed(channel) else { return };
        feed.pace = Pace::Pausing { again };
        ctx.spawn(sleep(PAUSE).into_actor(self).map(move |(), actor, ctx| {
            let Some(feed) = actor.feed(channel) else { return };
            match feed.pace {
                Pace::Pausing { again: true } => actor.read_meanwhile(channel, ctx),
                Pace::Pausing { again: false } => actor.settle(channel, ctx),
                // A feed that all left and someone joined anew meanwhile has a pace of its own.
                Pace::Reading { .. } | Pace::Settling(_) | Pace::Idle => {}
            }
        }));
    }

    /// Lets clients finish reading, from now on, and tells those once more who may have ignored what they were told.
    fn settle(&mut self, channel: ChannelId, ctx: &mut Context<Self>) {
        if let Some(Feed { pace: Pace::Settling(timer), .. }) = self.feed(channel) {
            ctx.cancel_future(*timer);
        }
        let settled = sleep(SETTLE).into_actor(self).map(move |(), actor, ctx| {
            let Some(feed) = actor.feed(channel) else { return };
            feed.pace = Pace::Idle;
            let mut any = false;
            for session in &mut feed.sessions {
                let unsure = std::mem::take(&mut session.unsure);
                session.listener.marked |= unsure;
                any |= unsure;
            }
            if any {
                actor.read(channel, ctx);
            }
        });
        let timer = ctx.spawn(settled);
        if let Some(feed) = self.feed(channel) {
            feed.pace = Pace::Settling(timer);
        }
    }
}

impl Actor for UserFeeds {
    type Context = Context<Self>;
}

/// A session listens to one of the user's feeds. Answered with `reply` through the session's own line, before anything
/// else that it hears.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Listen {
    pub session: SessionId,
    pub channel: ChannelId,
    pub topic: String,
    pub subscription: Subscription,
    pub to: Recipient<ToSession>,
    pub reply: ByteString,
}

impl Handler<Listen> for UserFeeds {
    type Result = ();

    fn handle(&mut self, listen: Listen, ctx: &mut Self::Context) {
        let newest = self.store.read().and_then(|reader| reader.feed_counts(listen.channel, &self.user));
        let newest = newest.map(|counts| counts.last_at).unwrap_or_default();
        let young = self.deps.clock.now().minus(MAYBE_MISSED);
        let missed = newest > young;
        // Never past the newest item: a clock that is set back makes later ones with an earlier time than now.
        let since = young.min(newest);
        let at = self.feeds.iter().position(|feed| feed.channel == listen.channel).unwrap_or(self.feeds.len());
        if at == self.feeds.len() {
            self.feeds.push(Feed::new(listen.channel));
        }
        let feed = &mut self.feeds[at];
        let known = feed.sessions.iter().map(|session| &session.listener.topic).find(|topic| ***topic == *listen.topic);
        let topic = known.cloned().unwrap_or_else(|| listen.topic.into());
        let subscription = Arc::new(listen.subscription.intern(&mut feed.filters));
        let listener = Listener { session: listen.session, topic, subscription, since, marked: false };
        let line = Line { to: listen.to, cut: false };
        if offer(&line.to, ToSession::Frame(listen.reply)) {
            // The client is reading its feed just now, and would ignore what came at once.
            feed.sessions.push(Session { listener, line, unsure: missed });
        }
        match feed.pace {
            Pace::Reading { .. } | Pace::Pausing { .. } => {}
            Pace::Settling(_) | Pace::Idle => self.settle(listen.channel, ctx),
        }
    }
}

/// A session listens no more.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Unlisten {
    pub session: SessionId,
    pub channel: ChannelId,
}

impl Handler<Unlisten> for UserFeeds {
    type Result = ();

    fn handle(&mut self, gone: Unlisten, _: &mut Self::Context) {
        let Some(feed) = self.feed(gone.channel) else { return };
        if let Some(at) = feed.sessions.iter().position(|session| session.listener.session == gone.session) {
            feed.sessions.swap_remove(at).line.cut = true;
        }
        feed.filters.retain(|filter| Arc::strong_count(filter) > 1);
        if feed.sessions.is_empty() {
            self.feeds.retain(|feed| feed.channel != gone.channel);
        }
    }
}

/// One of the user's feeds has changed: it has a new item, or items of it were marked.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Changed {
    pub channel: ChannelId,
    pub marked: bool,
}

impl Handler<Changed> for UserFeeds {
    type Result = ();

    fn handle(&mut self, changed: Changed, ctx: &mut Self::Context) {
        if changed.marked
            && let Some(feed) = self.feed(changed.channel)
        {
            feed.sessions.iter_mut().for_each(|session| session.listener.marked = true);
        }
        self.changed(changed.channel, ctx);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use actix::{Addr, System};

    use super::*;
    use crate::base::clock::{Clock, Timestamp};
    use crate::base::deps::Offload;
    use crate::base::ids::{Entropy, IdSource};
    use crate::base::mail::tell;
    use crate::base::work::Work;
    use crate::store::Settings;

    const CHANNEL: [u8; 16] = [9; 16];

    /// A session that takes what it is sent once it is allowed to.
    struct Reader {
        heard: Sender<ToSession>,
        held_up: Option<Duration>,
    }

    impl Actor for Reader {
        type Context = Context<Self>;

        fn started(&mut self, ctx: &mut Self::Context) {
            if let Some(span) = self.held_up {
                ctx.wait(sleep(span).into_actor(self));
            }
        }
    }

    impl Handler<ToSession> for Reader {
        type Result = ();

        fn handle(&mut self, message: ToSession, _: &mut Self::Context) {
            self.heard.send(message).unwrap();
        }
    }

    fn listen(feeds: &Addr<UserFeeds>, number: u8, held_up: Option<Duration>) -> Receiver<ToSession> {
        let (heard, receiver) = channel();
        let listen = Listen {
            session: SessionId::from([number; 16]),
            channel: ChannelId::from(CHANNEL),
            topic: "feeds:c:u".into(),
            subscription: Subscription::from_payload(&serde_json::Value::Null).unwrap(),
            to: Reader { heard, held_up }.start().recipient(),
            reply: "welcome".into(),
        };
        tell(feeds, listen);
        receiver
    }

    /// Plays under a paused clock, over an empty store.
    fn play<F: Future<Output = ()>>(story: impl FnOnce(Addr<UserFeeds>) -> F) {
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        System::with_tokio_rt(runtime).block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::open(folder.path(), Settings::default()).unwrap();
            let clock = Clock::simulated(Timestamp::from_millis(1_700_000_000_000));
            let ids = IdSource::new(Entropy::Seeded(1));
            let deps = Arc::new(Deps { clock, ids, work: Work::default(), offload: Offload::Inline });
            story(UserFeeds::new(deps, store.clone(), RecipientRef::user("u")).start()).await;
            store.close();
        });
    }

    async fn mark(feeds: &Addr<UserFeeds>, times: usize) {
        for _ in 0..times {
            tell(feeds, Changed { channel: ChannelId::from(CHANNEL), marked: true });
            sleep(PAUSE * 2).await;
        }
    }

    fn frames(heard: &Receiver<ToSession>) -> usize {
        heard.try_iter().filter(|message| matches!(message, ToSession::Frame(_))).count()
    }

    #[test]
    fn who_does_not_read_is_dropped_and_told_so_and_the_others_hear_everything() {
        play(|feeds| async move {
            let hour = Duration::from_secs(3_600);
            let (deaf, healthy) = (listen(&feeds, 1, Some(hour)), listen(&feeds, 2, None));
            mark(&feeds, 200).await;
            assert_eq!(frames(&healthy), 201, "the welcome and every change");
            sleep(hour).await;
            let heard: Vec<ToSession> = deaf.try_iter().collect();
            assert!(heard.len() < 40, "{} messages waited for one who does not read", heard.len());
            assert_eq!(heard.last(), Some(&ToSession::Slow));
        });
    }

    #[test]
    fn a_burst_is_two_pushes_the_second_after_its_end() {
        play(|feeds| async move {
            let heard = listen(&feeds, 1, None);
            for _ in 0..1_000 {
                tell(&feeds, Changed { channel: ChannelId::from(CHANNEL), marked: true });
            }
            sleep(PAUSE * 3).await;
            assert_eq!(frames(&heard), 3, "the welcome, the first change and the last");
            sleep(SETTLE).await;
            assert_eq!(frames(&heard), 1, "once more, for a client that was reading when the last one came");
            sleep(SETTLE * 3).await;
            assert_eq!(frames(&heard), 0);
        });
    }

    #[test]
    fn a_change_by_itself_is_told_once() {
        play(|feeds| async move {
            let heard = listen(&feeds, 1, None);
            for _ in 0..3 {
                sleep(SETTLE * 2).await;
                assert!(frames(&heard) <= 1);
                tell(&feeds, Changed { channel: ChannelId::from(CHANNEL), marked: true });
            }
            sleep(SETTLE * 2).await;
            assert_eq!(frames(&heard), 1);
        });
    }

    #[test]
    fn sessions_come_back_when_their_actor_is_gone() {
        play(|feeds| async move {
            let heard = listen(&feeds, 1, None);
            mark(&feeds, 1).await;
            drop(feeds);
            // Its timers end first.
            sleep(SETTLE * 4).await;
            assert_eq!(heard.try_iter().last(), Some(ToSession::Restart));
        });
    }
}
