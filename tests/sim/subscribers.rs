//! Who subscribes to whom in a world, and whom a trigger reaches by that: the reference model of a fan-out.

use std::collections::BTreeSet;

use belfry::base::clock::Timestamp;
use belfry::engine::trigger::identified;
use belfry::model::trigger::TriggerRequest;
use belfry::store::op::{Identify, Subscribe, Wanted};
use belfry::store::{Store, StoreError};
use serde_json::json;

use crate::cast::{PEOPLE, Who};
use crate::rng::Rng;

/// Pairs of an object and its subscriber. They are there before the world begins, and stay.
#[derive(Clone, Debug, Default)]
pub struct Subscribers(BTreeSet<(Who, Who)>);

/// The data that a trigger says to everybody whom it does not name.
pub const DIVISOR: u64 = 1;

impl Subscribers {
    /// In every second world the two objects have some, and may subscribe to each other.
    pub fn of(seed: u64) -> Self {
        let mut rng = Rng::of(seed, "subscribers", 0);
        if rng.percent(50) {
            return Self::default();
        }
        let objects = (0..PEOPLE).map(Who).filter(|who| !who.is_user());
        let pairs = objects.flat_map(|object| (0..PEOPLE).map(move |who| (object, Who(who))));
        Self(pairs.filter(|(object, who)| object != who && rng.percent(60)).collect())
    }

    fn of_object(&self, object: Who) -> impl Iterator<Item = Who> {
        self.0.iter().filter(move |(of, _)| *of == object).map(|(_, who)| *who)
    }

    /// Whether a trigger for `named` spreads.
    pub fn spreads(&self, named: &[(Who, u64)]) -> bool {
        named.iter().any(|(who, _)| self.of_object(*who).next().is_some())
    }

    /// Who is reached by subscriptions alone, to depth 2: neither those that are named, nor the actor.
    pub fn reached(&self, named: &[(Who, u64)], actor: Option<Who>) -> BTreeSet<Who> {
        let first: BTreeSet<Who> = named.iter().flat_map(|(who, _)| self.of_object(*who)).collect();
        let second = first.iter().flat_map(|who| self.of_object(*who));
        let mut all: BTreeSet<Who> = first.iter().copied().chain(second).collect();
        all.retain(|who| Some(*who) != actor && named.iter().all(|(other, _)| other != who));
        all
    }

    /// Writes them down, with everybody as triggers name them.
    pub async fn keep(&self, store: &Store, at: Timestamp) -> Result<(), StoreError> {
        let everybody: Vec<_> = (0..PEOPLE).map(|who| Who(who).to_json(DIVISOR)).collect();
        let request = TriggerRequest::from_json(&json!({"recipients": everybody})).unwrap();
        store.identify(Identify { people: identified(&request), at, bytes: 0 }).await?;
        let pair = |(object, who): &(Who, Who)| Wanted {
            object: object.reference(),
            recipient: who.reference(),
            properties: None,
        };
        let wanted = self.0.iter().map(pair).collect();
        store.subscribe(Subscribe { wanted, people: Vec::new(), at, bytes: 0 }).await.map(drop)
    }
}
