//! Knows who is connected: a feed actor for each user to whom somebody listens, and which sessions those are. What
//! changed is passed on to it; for everybody else it is read when they come.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use actix::{Actor, Addr, Context, Handler, Message, Recipient};
use bytestring::ByteString;

use super::ToSession;
use super::frame::Frame;
use super::live::{Changed, Listen, Unlisten, UserFeeds};
use super::subscription::Subscription;
use crate::base::deps::Deps;
use crate::base::ids::{ChannelId, SessionId};
use crate::base::mail::{offer, tell, tell_recipient};
use crate::engine::Publish;
use crate::model::recipient::RecipientRef;
use crate::store::Store;

/// The hub.
pub struct Hub {
    deps: Arc<Deps>,
    store: Store,
    /// Every open socket, whether or not it has joined a feed.
    sessions: HashMap<SessionId, Recipient<ToSession>>,
    users: HashMap<RecipientRef, Connected>,
    /// Feeds that one user may have joined at once, over all sessions.
    max_per_user: usize,
}

struct Connected {
    feeds: Addr<UserFeeds>,
    joined: HashSet<(SessionId, ChannelId)>,
}

impl Hub {
    /// A hub to which nobody is connected.
    pub fn new(deps: Arc<Deps>, store: Store, max_per_user: usize) -> Self {
        Self { deps, store, sessions: HashMap::new(), users: HashMap::new(), max_per_user }
    }

    fn changed(&self, user: &RecipientRef, channel: ChannelId, marked: bool) {
        if let Some(connected) = self.users.get(user) {
            tell(&connected.feeds, Changed { channel, marked });
        }
    }
}

impl Actor for Hub {
    type Context = Context<Self>;
}

/// A socket was opened.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Open {
    pub session: SessionId,
    pub to: Recipient<ToSession>,
}

impl Handler<Open> for Hub {
    type Result = ();

    fn handle(&mut self, open: Open, _: &mut Self::Context) {
        self.sessions.insert(open.session, open.to);
        metrics::gauge!("belfry_sessions").set(self.sessions.len() as f64);
    }
}

/// A socket was closed; it has left its feeds before.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Closed(pub SessionId);

impl Handler<Closed> for Hub {
    type Result = ();

    fn handle(&mut self, Closed(session): Closed, _: &mut Self::Context) {
        self.sessions.remove(&session);
        metrics::gauge!("belfry_sessions").set(self.sessions.len() as f64);
    }
}

/// A session joins a feed.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Join {
    pub session: SessionId,
    pub user: RecipientRef,
    pub channel: ChannelId,
    pub subscription: Subscription,
    /// What the client asked for, to be answered.
    pub request: Frame,
    pub to: Recipient<ToSession>,
}

impl Handler<Join> for Hub {
    type Result = ();

    fn handle(&mut self, join: Join, _: &mut Self::Context) {
        let Self { deps, store, users, max_per_user, .. } = self;
        let fresh = || {
            let feeds = UserFeeds::new(Arc::clone(deps), store.clone(), join.user.clone()).start();
            Connected { feeds, joined: HashSet::new() }
        };
        let connected = users.entry(join.user.clone()).or_insert_with(fresh);
        if !connected.feeds.connected() {
            // It panicked, and its sessions were told to come back.
            *connected = fresh();
        }
        if connected.joined.len() >= *max_per_user {
            let reason = format!("this user has {max_per_user} open feeds, which http.max_feeds_per_user allows");
            // A session whose mailbox is full before it has joined anything is told by its client's next try.
            let _ = offer(&join.to, ToSession::Frame(join.request.refused(&reason)));
            return;
        }
        connected.joined.insert((join.session, join.channel));
        let reply: ByteString = join.request.ok();
        let (session, channel) = (join.session, join.channel);
        let listen =
            Listen { session, channel, topic: join.request.topic, subscription: join.subscription, to: join.to, reply };
        tell(&connected.feeds, listen);
        metrics::gauge!("belfry_users_connected").set(users.len() as f64);
    }
}

/// A session leaves a feed, or has ended.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Leave {
    pub session: SessionId,
    pub user: RecipientRef,
    pub channel: ChannelId,
}

impl Handler<Leave> for Hub {
    type Result = ();

    fn handle(&mut self, leave: Leave, _: &mut Self::Context) {
        let Some(connected) = self.users.get_mut(&leave.user) else { return };
        if connected.joined.remove(&(leave.session, leave.channel)) {
            tell(&connected.feeds, Unlisten { session: leave.session, channel: leave.channel });
        }
        if connected.joined.is_empty() {
            // Its last address: the actor ends once it has heard all that was told.
            self.users.remove(&leave.user);
        }
        metrics::gauge!("belfry_users_connected").set(self.users.len() as f64);
    }
}

impl Handler<Publish> for Hub {
    type Result = ();

    fn handle(&mut self, publish: Publish, _: &mut Self::Context) {
        self.changed(&publish.user, publish.channel, false);
    }
}

/// Items of a feed were marked: the user's sessions show other counts now.
#[derive(Message)]
#[rtype(result = "()")]
pub struct FeedMarked {
    pub user: RecipientRef,
    pub channel: ChannelId,
}

impl Handler<FeedMarked> for Hub {
    type Result = ();

    fn handle(&mut self, marked: FeedMarked, _: &mut Self::Context) {
        self.changed(&marked.user, marked.channel, true);
    }
}

/// The server shuts down: every socket is closed in a way that brings its client back.
#[derive(Message)]
#[rtype(result = "()")]
pub struct DismissAll;

impl Handler<DismissAll> for Hub {
    type Result = ();

    fn handle(&mut self, _: DismissAll, _: &mut Self::Context) {
        for to in self.sessions.values() {
            tell_recipient(to, ToSession::Restart);
        }
    }
}
