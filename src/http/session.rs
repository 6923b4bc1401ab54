//! What a browser's socket says and what is answered: the protocol without the socket (`knock-api.md` sections 4.1 to
//! 4.3). Pure but for the time, which it is told.

use std::time::Duration;

use bytestring::ByteString;

use crate::base::clock::Stopwatch;
use crate::base::ids::ChannelId;
use crate::feed::frame::Frame;
use crate::feed::subscription::Subscription;
use crate::feed::topic::Topic;
use crate::model::recipient::RecipientRef;

/// The largest frame of a client, in bytes. A join with the most feeds, each with all its options, has about 20,000.
pub const MAX_FRAME_BYTES: usize = 64 << 10;
/// The most topics of one socket. A page has a handful of feeds.
const MAX_TOPICS: usize = 100;
/// The most frames in a second: a page that opens joins its feeds at once, and says little after that.
const MAX_FRAMES: u32 = 100;
const FRAMES_PER: Duration = Duration::from_secs(1);

/// Why a socket is closed. Never with 1000: Knock's client would not come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Goodbye {
    pub code: u16,
    /// At most 123 bytes, as RFC 6455 (section 5.5) has it.
    pub reason: String,
}

impl Goodbye {
    /// A close with `code`, its reason cut to what a close frame can hold.
    pub fn new(code: u16, reason: impl Into<String>) -> Self {
        let mut reason = reason.into();
        reason.truncate(reason.floor_char_boundary(123));
        Self { code, reason }
    }

    /// The server, or what the session listens to, begins anew.
    pub fn restart() -> Self {
        Self::new(1012, "the server restarts: come back")
    }

    /// The session did not read what it was sent.
    pub fn slow() -> Self {
        Self::new(4408, "too slow: come back and read the feed again")
    }

    /// Nothing was heard for too long.
    pub fn silent() -> Self {
        Self::new(4409, "nothing was heard for too long: send heartbeats")
    }

    /// The user token has expired.
    pub fn expired() -> Self {
        Self::new(4401, "the user token has expired: come back with a new one")
    }

    /// The key that the socket was opened with does not get in any more.
    pub fn revoked() -> Self {
        Self::new(4401, "the API key was revoked")
    }

    fn malformed(why: String) -> Self {
        Self::new(1008, why)
    }
}

/// What is to be done about a frame.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    Send(ByteString),
    /// Answered by the feed once it listens.
    Join {
        user: RecipientRef,
        channel: ChannelId,
        subscription: Subscription,
        request: Frame,
    },
    Leave {
        user: RecipientRef,
        channel: ChannelId,
    },
    Close(Goodbye),
}

/// A feed that was asked for: who may join it is for the caller to say, with the reason if not.
pub struct Wanted<'a> {
    pub channel: &'a str,
    pub user: &'a str,
    pub subscription: Subscription,
}

/// What a session has joined, and how much it has said.
pub struct Session {
    /// Most sockets have one, for which a map would take a kilobyte.
    topics: Vec<(String, Option<(RecipientRef, ChannelId)>)>,
    window: Stopwatch,
    frames: u32,
}

impl Session {
    /// A session that has joined nothing.
    pub fn new() -> Self {
        Self { topics: Vec::new(), window: Stopwatch::start(), frames: 0 }
    }

    /// What a text frame leads to. `admit` decides on a feed, and may narrow what is heard of it.
    pub fn on_text(
        &mut self,
        text: &str,
        admit: impl FnOnce(Wanted<'_>) -> Result<(ChannelId, Subscription), String>,
    ) -> Vec<Act> {
        if let Some(goodbye) = self.too_many() {
            return vec![Act::Close(goodbye)];
        }
        let frame = match Frame::parse(text) {
            Ok(frame) => frame,
            Err(why) => return vec![Act::Close(Goodbye::malformed(why))],
        };
        match (Topic::parse(&frame.topic), frame.event.as_str()) {
            (Some(Topic::Socket), "heartbeat") => vec![Act::Send(frame.ok())],
            (Some(Topic::Feed { .. } | Topic::Guides), "phx_join") => self.join(frame, admit),
            (_, "phx_leave") => {
                let left = self.leave(&frame.topic);
                let left = left.map(|(user, channel)| Act::Leave { user, channel });
                left.into_iter().chain([Act::Send(frame.ok())]).collect()
            }
            // What Phoenix answers to whatever comes for a topic that nobody takes.
            _ => vec![Act::Send(frame.refused("unmatched topic"))],
        }
    }

    fn join(
        &mut self,
        frame: Frame,
        admit: impl FnOnce(Wanted<'_>) -> Result<(ChannelId, Subscription), String>,
    ) -> Vec<Act> {
        // A newer join of a topic replaces the older one.
        let old = self.leave(&frame.topic);
        let mut acts: Vec<Act> = old.map(|(user, channel)| Act::Leave { user, channel }).into_iter().collect();
        if self.topics.len() >= MAX_TOPICS {
            let reason = format!("this socket has joined {MAX_TOPICS} topics, the most that one may");
            acts.push(Act::Send(frame.refused(&reason)));
            return acts;
        }
        let Some(Topic::Feed { channel, user }) = Topic::parse(&frame.topic) else {
            acts.push(Act::Send(frame.ok()));
            self.enter(frame.topic, None);
            return acts;
        };
        let wanted = Subscription::from_payload(&frame.payload)
            .and_then(|subscription| admit(Wanted { channel, user, subscription }));
        match wanted {
            Ok((channel, subscription)) => {
                let user = RecipientRef::user(user);
                let joined = self.topics.iter().find(|(_, feed)| feed.as_ref() == Some(&(user.clone(), channel)));
                if let Some((name, _)) = joined {
                    // A channel has an id and a key; what is told to the feed's listeners names one of them.
                    acts.push(Act::Send(frame.refused(&format!("this socket has joined the feed as `{name}`"))));
                    return acts;
                }
                self.enter(frame.topic.clone(), Some((user.clone(), channel)));
                acts.push(Act::Join { user, channel, subscription, request: frame });
            }
            Err(reason) => acts.push(Act::Send(frame.refused(&reason))),
        }
        acts
    }

    fn enter(&mut self, topic: String, feed: Option<(RecipientRef, ChannelId)>) {
        self.topics.reserve_exact(1);
        self.topics.push((topic, feed));
    }

    fn leave(&mut self, topic: &str) -> Option<(RecipientRef, ChannelId)> {
        let at = self.topics.iter().position(|(joined, _)| joined == topic)?;
        self.topics.swap_remove(at).1
    }

    /// Counts a frame, of whatever kind.
    pub fn too_many(&mut self) -> Option<Goodbye> {
        if self.window.elapsed() >= FRAMES_PER {
            (self.window, self.frames) = (Stopwatch::start(), 0);
        }
        self.frames += 1;
        (self.frames > MAX_FRAMES).then(|| Goodbye::new(4429, format!("more than {MAX_FRAMES} frames in a second")))
    }

    /// The feeds that were joined, each with its user.
    pub fn joined(&self) -> impl Iterator<Item = (RecipientRef, ChannelId)> {
        self.topics.iter().filter_map(|(_, feed)| feed.clone())
    }
}

impl Default for Session {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    const CHANNEL: [u8; 16] = [7; 16];

    fn admit(wanted: Wanted<'_>) -> Result<(ChannelId, Subscription), String> {
        if wanted.user == "stranger" {
            return Err("unauthorized".into());
        }
        Ok((ChannelId::from(CHANNEL), wanted.subscription))
    }

    fn say(session: &mut Session, frame: Value) -> Vec<Act> {
        session.on_text(&frame.to_string(), admit)
    }

    fn answer(acts: &[Act]) -> Value {
        let Some(Act::Send(text)) = acts.last() else { panic!("{acts:?}") };
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn heartbeats_and_leaves_of_anything_are_answered() {
        let mut session = Session::new();
        let ok = |topic: &str| json!([null, "3", topic, "phx_reply", {"status": "ok", "response": {}}]);
        assert_eq!(answer(&say(&mut session, json!([null, "3", "phoenix", "heartbeat", {}]))), ok("phoenix"));
        assert_eq!(answer(&say(&mut session, json!([null, "3", "feeds:c:u", "phx_leave", {}]))), ok("feeds:c:u"));
        assert_eq!(answer(&say(&mut session, json!([null, "3", "guides:c", "phx_join", {}]))), ok("guides:c"));
    }

    #[test]
    fn a_foreign_topic_is_refused_and_the_socket_lives_on() {
        let mut session = Session::new();
        let refused = answer(&say(&mut session, json!(["1", "1", "feeds:c:stranger", "phx_join", {}])));
        assert_eq!(refused[4], json!({"status": "error", "response": {"reason": "unauthorized"}}));
        assert!(matches!(say(&mut session, json!(["2", "2", "feeds:c:u", "phx_join", {}]))[..], [Act::Join { .. }]));
        let strange = answer(&say(&mut session, json!(["3", "3", "rooms:c", "phx_join", {}])));
        assert_eq!(strange[4]["response"]["reason"], "unmatched topic");
    }

    #[test]
    fn a_newer_join_of_a_topic_replaces_the_older_one() {
        let mut session = Session::new();
        let join = |reference: &str| json!([reference, reference, "feeds:c:u:1", "phx_join", {}]);
        say(&mut session, join("1"));
        let acts = say(&mut session, join("2"));
        assert!(matches!(&acts[..], [Act::Leave { user, .. }, Act::Join { .. }] if user.id == "u:1"), "{acts:?}");
        assert_eq!(session.joined().count(), 1);
        say(&mut session, json!(["2", "3", "feeds:c:u:1", "phx_leave", {}]));
        assert_eq!(session.joined().count(), 0);
    }

    #[test]
    fn a_feed_is_joined_under_one_of_its_names_at_a_time() {
        let mut session = Session::new();
        let join = |channel: &str| json!(["1", "1", format!("feeds:{channel}:u"), "phx_join", {}]);
        assert!(matches!(say(&mut session, join("id"))[..], [Act::Join { .. }]));
        let refused = answer(&say(&mut session, join("key")));
        assert_eq!(refused[4]["response"]["reason"], "this socket has joined the feed as `feeds:id:u`");
        say(&mut session, json!(["1", "2", "feeds:id:u", "phx_leave", {}]));
        assert!(matches!(say(&mut session, join("key"))[..], [Act::Join { .. }]));
    }

    #[test]
    fn ten_thousand_joins_end_the_session() {
        let mut session = Session::new();
        for n in 0..MAX_FRAMES {
            say(&mut session, json!(["1", "1", format!("feeds:c:u{n}"), "phx_join", {}]));
        }
        assert_eq!(session.joined().count(), MAX_TOPICS);
        let Act::Close(goodbye) = &say(&mut session, json!(["1", "1", "feeds:c:u", "phx_join", {}]))[0] else {
            panic!()
        };
        assert_eq!(goodbye.code, 4429);
    }

    proptest! {
        #[test]
        fn whatever_is_said_is_answered_or_ends_the_session(text in ".{0,200}", topic in "[a-z:]{0,12}", event in "[a-z_]{0,12}") {
            let mut session = Session::new();
            prop_assert!(!session.on_text(&text, admit).is_empty());
            let acts = say(&mut session, json!(["1", "2", topic, event, {}]));
            prop_assert!(!acts.is_empty());
        }

        #[test]
        fn a_reason_always_fits_a_close_frame(reason in "\\PC{0,300}") {
            prop_assert!(Goodbye::new(1008, reason).reason.len() <= 123);
        }
    }
}
