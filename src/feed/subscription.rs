//! What one socket hears of a feed: the options of its join (`knock-api.md` section 4.3).

use std::sync::Arc;

use serde_json::{Map, Value};

use super::query::FeedFilter;
use crate::model::access::Access;
use crate::model::query::pairs;

/// The most feed instances of one join. A page has one or two; each costs a count under its filters with every push.
const MAX_REFERENCES: usize = 20;
/// The longest name of an instance, in bytes: Knock's have 28.
const MAX_REFERENCE_BYTES: usize = 64;

/// Who is to be told what.
#[derive(Clone, Debug, PartialEq)]
pub enum Subscription {
    /// A client that knows one feed a socket: its options lie flat in the join.
    Flat(Arc<FeedFilter>),
    /// A client that has several, each under a name of its own.
    Keyed(Vec<(String, Arc<FeedFilter>)>),
}

impl Subscription {
    /// Reads the payload of a join. The error says which option is wrong.
    pub fn from_payload(payload: &Value) -> Result<Self, String> {
        let empty = Map::new();
        let options = match payload {
            Value::Object(options) => options,
            Value::Null => &empty,
            _ => return Err("the join's payload must be an object of feed options".into()),
        };
        let keyed = |(key, value): (&String, &Value)| key.starts_with("client_") && value.is_object();
        if options.is_empty() || !options.iter().all(keyed) {
            return filter(options).map(Arc::new).map(Self::Flat);
        }
        if options.len() > MAX_REFERENCES {
            return Err(format!("the join names {} feeds; at most {MAX_REFERENCES} are allowed", options.len()));
        }
        let mut filters = Vec::with_capacity(options.len());
        for (reference, options) in options {
            if reference.len() > MAX_REFERENCE_BYTES {
                return Err(format!("a feed's name has more than {MAX_REFERENCE_BYTES} bytes"));
            }
            let filter = filter(options.as_object().unwrap_or(&empty)).map_err(|why| format!("{reference}: {why}"))?;
            filters.push((reference.clone(), Arc::new(filter)));
        }
        Ok(Self::Keyed(filters))
    }

    /// Only what the listener may see.
    pub fn limited(self, access: &Access) -> Self {
        self.map(|filter| Arc::new(FeedFilter { access: access.clone(), ..(*filter).clone() }))
    }

    /// The feed instances, by name if they have one.
    pub fn feeds(&self) -> impl Iterator<Item = (Option<&str>, &Arc<FeedFilter>)> {
        let (flat, keyed) = match self {
            Self::Flat(filter) => (Some((None, filter)), [].as_slice()),
            Self::Keyed(filters) => (None, filters.as_slice()),
        };
        flat.into_iter().chain(keyed.iter().map(|(reference, filter)| (Some(reference.as_str()), filter)))
    }

    /// Takes its filters from `known` where that has equal ones, and adds the others: what is counted under one filter
    /// is counted once for all who have it.
    pub fn intern(self, known: &mut Vec<Arc<FeedFilter>>) -> Self {
        self.map(|filter| match known.iter().find(|one| **one == filter) {
            Some(one) => Arc::clone(one),
            None => {
                known.push(Arc::clone(&filter));
                filter
            }
        })
    }

    fn map(self, mut change: impl FnMut(Arc<FeedFilter>) -> Arc<FeedFilter>) -> Self {
        match self {
            Self::Flat(filter) => Self::Flat(change(filter)),
            Self::Keyed(filters) => {
                Self::Keyed(filters.into_iter().map(|(reference, filter)| (reference, change(filter))).collect())
            }
        }
    }
}

/// The filter of an instance's options, which are those of the feed's query with JSON's own types.
fn filter(options: &Map<String, Value>) -> Result<FeedFilter, String> {
    FeedFilter::from_pairs(&pairs(options)).map_err(|errors| {
        let texts: Vec<String> = errors.iter().map(|error| format!("`{}` {}", error.field, error.message)).collect();
        texts.join("; ")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn both_generations_of_clients_are_understood() {
        let keyed = json!({
            "client_a": {"archived": "exclude", "tenant": "t1", "has_tenant": true, "trigger_data": {"a": 1}},
            "client_b": {"workflow_categories": ["c1", "c2"], "__experimentalCrossBrowserUpdates": true},
        });
        let Ok(Subscription::Keyed(filters)) = Subscription::from_payload(&keyed) else { panic!("it is keyed") };
        assert_eq!(filters[0].1.tenants, ["t1"]);
        assert_eq!(filters[0].1.has_tenant, Some(true));
        assert_ne!(filters[0].1, filters[1].1);
        for flat in [json!({}), json!(null), json!({"archived": "exclude", "tenant": "t1"})] {
            assert!(matches!(Subscription::from_payload(&flat), Ok(Subscription::Flat(_))), "{flat}");
        }
    }

    #[test]
    fn a_join_that_cannot_be_understood_says_why() {
        for (payload, reason) in [
            (json!([1]), "must be an object"),
            (json!({"status": "odd"}), "`status`"),
            (json!({"client_a": {"archived": "odd"}}), "client_a: `archived`"),
            (json!({format!("client_{}", "x".repeat(99)): {}}), "more than 64 bytes"),
        ] {
            let why = Subscription::from_payload(&payload).unwrap_err();
            assert!(why.contains(reason), "{payload}: {why}");
        }
        let many: Map<String, Value> = (0..21).map(|n| (format!("client_{n}"), json!({}))).collect();
        assert!(Subscription::from_payload(&many.into()).unwrap_err().contains("at most 20"));
    }
}
