//! Those who watch their feeds while the world goes on: what they were told last must be how things stand.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use actix::{Actor, Addr, Context, Handler};
use belfry::base::ids::SessionId;
use belfry::base::mail::tell;
use belfry::engine::Publish;
use belfry::feed::ToSession;
use belfry::feed::frame::Frame;
use belfry::feed::hub::{Hub, Join};
use belfry::feed::subscription::Subscription;
use serde_json::Value;

use crate::cast::{self, PEOPLE, Who};
use crate::snapshot::Feed;

/// What each user was told last in this process: total, unread and unseen.
#[derive(Clone, Default)]
pub struct Audience(Rc<RefCell<BTreeMap<String, [u64; 3]>>>);

struct Viewer {
    user: String,
    told: Audience,
}

impl Actor for Viewer {
    type Context = Context<Self>;
}

impl Handler<ToSession> for Viewer {
    type Result = ();

    fn handle(&mut self, message: ToSession, _: &mut Self::Context) {
        let ToSession::Frame(text) = message else { return };
        let frame = Frame::parse(&text).unwrap();
        if frame.event == "new-message" {
            let count = |name: &str| frame.payload["metadata"][name].as_u64().unwrap();
            let counts = ["total_count", "unread_count", "unseen_count"].map(count);
            self.told.0.borrow_mut().insert(self.user.clone(), counts);
        }
    }
}

impl Audience {
    /// Every user begins to watch; `feeds` are their counts as they find them.
    pub fn join(&self, hub: &Addr<Hub>, feeds: &[Feed]) {
        let users = (0..PEOPLE).map(Who).filter(|who| who.is_user());
        for (number, user) in users.map(Who::reference).enumerate() {
            if let Some(found) = feeds.iter().find(|feed| feed.of == user) {
                let counts = [found.counts.shown.total, found.counts.shown.unread, found.counts.shown.unseen];
                self.0.borrow_mut().insert(user.id.clone(), counts);
            }
            let topic = format!("feeds:{}:{}", cast::feed(), user.id);
            let (join_ref, reference) = (Some("1".to_owned()), Some("1".to_owned()));
            let request = Frame { join_ref, reference, topic, event: "phx_join".into(), payload: Value::Null };
            let subscription = Subscription::from_payload(&request.payload).unwrap();
            let session = SessionId::from([number as u8; 16]);
            let to = Viewer { user: user.id.clone(), told: self.clone() }.start().recipient();
            tell(hub, Join { session, user, channel: cast::feed(), subscription, request, to });
        }
    }

    /// Who was told something else last than what stands in the store.
    pub fn misled(&self, feeds: &[Feed]) -> Vec<String> {
        let told = self.0.borrow();
        let wrong = feeds.iter().filter_map(|feed| {
            let counts = [feed.counts.shown.total, feed.counts.shown.unread, feed.counts.shown.unseen];
            let last = told.get(&feed.of.id)?;
            (*last != counts).then(|| format!("P6 {} was told {last:?} last, and has {counts:?}", feed.of))
        });
        wrong.collect()
    }
}

/// A fault between the engine and the hub: every other item is not announced.
pub struct Deaf {
    pub hub: Addr<Hub>,
    pub heard: u64,
}

impl Actor for Deaf {
    type Context = Context<Self>;
}

impl Handler<Publish> for Deaf {
    type Result = ();

    fn handle(&mut self, publish: Publish, _: &mut Self::Context) {
        self.heard += 1;
        if self.heard.is_multiple_of(2) {
            tell(&self.hub, publish);
        }
    }
}
