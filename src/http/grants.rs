//! What a user token lets its bearer do with the user's own resources, from its claims alone (`knock-api.md` section
//! 1.5); pure. Grants name resources by URI; only the path counts, since SDKs write Knock's own host whatever the server.

use std::collections::{BTreeMap, BTreeSet};

use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::model::access::Access;
use crate::model::recipient::{RecipientRef, TENANTS};

/// What a caller wants to do on behalf of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    UserRead,
    UserWrite,
    FeedRead,
    FeedWrite,
    PreferencesRead,
    PreferencesWrite,
    ChannelDataRead,
    ChannelDataWrite,
    GuideRead,
    GuideWrite,
}

impl Right {
    /// The grants that give it; Knock's documentation has three names for those of feeds.
    fn grants(self) -> &'static [&'static str] {
        match self {
            Self::UserRead => &["user/read"],
            Self::UserWrite => &["user/write"],
            Self::FeedRead => &["user/feed_read", "user_feed/read", "feed/read"],
            Self::FeedWrite => &["user/feed_write", "user_feed/write", "feed/write"],
            Self::PreferencesRead => &["preferences/read"],
            Self::PreferencesWrite => &["preferences/write"],
            Self::ChannelDataRead => &["channel_data/read"],
            Self::ChannelDataWrite => &["channel_data/write"],
            Self::GuideRead => &["user/guide_read"],
            Self::GuideWrite => &["user/guide_write"],
        }
    }

    /// The name that Knock's SDKs have for it.
    pub fn name(self) -> &'static str {
        self.grants()[0]
    }

    /// Whether tenants can limit it.
    fn has_tenants(self) -> bool {
        LIMITED.contains(&self)
    }
}

/// What a grant on one tenant limits to the tenants that have one.
const LIMITED: [Right; 4] = [Right::FeedRead, Right::FeedWrite, Right::PreferencesRead, Right::PreferencesWrite];

/// The claim `grants`: entity URI, grant, and a value that is an array whatever it holds.
pub type Claim = BTreeMap<String, BTreeMap<String, Value>>;

/// The grants of one token, on its own user and on tenants and objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grants {
    /// Only what is granted is allowed; else the user may do everything with what is the user's own.
    explicit: bool,
    /// On the user.
    user: BTreeSet<String>,
    tenants: BTreeMap<String, BTreeSet<String>>,
    objects: BTreeMap<RecipientRef, BTreeSet<String>>,
}

impl Grants {
    /// The grants that `claim` gives to `user`.
    pub fn new(user: &str, explicit: bool, claim: Claim) -> Self {
        let (user_grants, tenants, objects) = (BTreeSet::new(), BTreeMap::new(), BTreeMap::new());
        let mut grants = Self { explicit, user: user_grants, tenants, objects };
        for (uri, granted) in claim {
            let names = granted.into_iter().filter(|(_, value)| value.is_array()).map(|(name, _)| name);
            match Entity::of(&uri) {
                Some(Entity::User(id)) if id == user => grants.user.extend(names),
                Some(Entity::Tenant(id)) => grants.tenants.entry(id).or_default().extend(names),
                Some(Entity::Object(object)) => grants.objects.entry(object).or_default().extend(names),
                Some(Entity::User(_)) | None => {}
            }
        }
        grants
    }

    /// What `right` reaches; `None` when it was not granted.
    pub fn access(&self, right: Right) -> Option<Access> {
        let gives = |granted: &BTreeSet<String>| right.grants().iter().any(|name| granted.contains(*name));
        if !(right.has_tenants() && self.tenants.values().any(limits)) {
            return (!self.explicit || gives(&self.user)).then_some(Access::Everything);
        }
        // Without explicit grants the tenants limit where the user may act, not what the user may do there.
        let reaches = |granted: &BTreeSet<String>| if self.explicit { gives(granted) } else { limits(granted) };
        let tenants = self.tenants.iter().filter(|(_, granted)| reaches(granted));
        let tenants: BTreeSet<String> = tenants.map(|(id, _)| id.clone()).collect();
        let tenantless = reaches(&self.user);
        (tenantless || !tenants.is_empty()).then_some(Access::Tenants { tenants, tenantless })
    }

    /// Whether `right` was granted on an object or a tenant: nothing of them is the user's own.
    pub fn reach(&self, object: &RecipientRef, right: Right) -> bool {
        let granted = match object.collection.as_str() {
            TENANTS => self.tenants.get(&object.id),
            _ => self.objects.get(object),
        };
        granted.is_some_and(|granted| right.grants().iter().any(|name| granted.contains(*name)))
    }
}

/// Whether these grants of a tenant are of the kinds that limit feeds and preferences to tenants that have one.
fn limits(granted: &BTreeSet<String>) -> bool {
    LIMITED.into_iter().flat_map(Right::grants).any(|name| granted.contains(*name))
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8().map_or_else(|_| text.to_owned(), |text| text.into_owned())
}

/// What a grant is on.
enum Entity {
    User(String),
    Tenant(String),
    Object(RecipientRef),
}

impl Entity {
    /// The entity of a URI, of any host. SDKs put ids into it as they are, so everything behind the prefix is the id.
    fn of(uri: &str) -> Option<Self> {
        let path = match uri.split_once("://") {
            Some((_, rest)) => &rest[rest.find('/')?..],
            None => uri,
        };
        let after = |prefixes: &[&str]| {
            let id = prefixes.iter().find_map(|prefix| path.strip_prefix(prefix)).filter(|id| !id.is_empty())?;
            Some(decoded(id))
        };
        let tenant = || after(&["/v1/objects/$tenants/", "/v1/objects/%24tenants/", "/v1/tenants/"]);
        let object = || {
            let (collection, id) = path.strip_prefix("/v1/objects/")?.split_once('/')?;
            let [collection, id] = [collection, id].map(decoded);
            (!collection.is_empty() && !id.is_empty()).then_some(Self::Object(RecipientRef { collection, id }))
        };
        after(&["/v1/users/"]).map(Self::User).or_else(|| tenant().map(Self::Tenant)).or_else(object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const RIGHTS: [Right; 4] = [Right::UserRead, Right::UserWrite, Right::FeedRead, Right::FeedWrite];
    const ME: &str = "https://api.knock.app/v1/users/ada";
    const ACME: &str = "https://api.knock.app/v1/objects/$tenants/acme";
    const BETA: &str = "https://api.knock.app/v1/tenants/beta";

    fn grants(explicit: bool, claim: Value) -> Grants {
        Grants::new("ada", explicit, serde_json::from_value(claim).unwrap())
    }

    /// What each right reaches, in the order of `RIGHTS`: `-` nothing, `*` everything, else the letters of acme and
    /// beta, and `0` for what has no tenant.
    fn reach(grants: &Grants) -> String {
        let of = |right| match grants.access(right) {
            None => "-".to_owned(),
            Some(Access::Everything) => "*".to_owned(),
            Some(access) => [("a", Some("acme")), ("b", Some("beta")), ("0", None)]
                .into_iter()
                .filter(|(_, tenant)| access.covers(*tenant))
                .map(|(letter, _)| letter)
                .collect(),
        };
        RIGHTS.map(of).join(" ")
    }

    #[test]
    fn every_grant_gives_its_rights_on_its_tenants_and_no_other() {
        let table = [
            // A token without grants may do everything with what is the user's own, unless it says that it lists all.
            (false, json!({}), "* * * *"),
            (true, json!({}), "- - - -"),
            (false, json!({ME: {"user/feed_read": []}}), "* * * *"),
            // The names of grants, and both forms of their values.
            (true, json!({ME: {"user/read": []}}), "* - - -"),
            (true, json!({ME: {"user/write": []}}), "- * - -"),
            (true, json!({ME: {"user/feed_read": [{}]}}), "- - * -"),
            (true, json!({ME: {"user_feed/read": []}}), "- - * -"),
            (true, json!({ME: {"feed/read": []}}), "- - * -"),
            (true, json!({ME: {"user/feed_write": []}}), "- - - *"),
            (true, json!({ME: {"user_feed/write": [{}]}}), "- - - *"),
            (true, json!({ME: {"feed/write": []}}), "- - - *"),
            (true, json!({ME: {"user/read": [], "user/feed_read": [], "user/feed_write": []}}), "* - * *"),
            // What is no grant of these, or not in the form of one.
            (true, json!({ME: {"user/feed_read": null, "user/read": false, "user/write": {}}}), "- - - -"),
            (true, json!({ME: {"preferences/read": [], "channel_data/read": [], "USER/READ": []}}), "- - - -"),
            // Entities: any host or none; other users, objects and paths give nothing.
            (true, json!({"http://127.0.0.1:8650/v1/users/ada": {"feed/read": []}}), "- - * -"),
            (true, json!({"/v1/users/%61da": {"feed/read": []}}), "- - * -"),
            (true, json!({"https://api.knock.app/v1/users/bob": {"feed/read": []}}), "- - - -"),
            (true, json!({"https://api.knock.app/v1/users/ada/": {"feed/read": []}}), "- - - -"),
            (true, json!({"https://api.knock.app/v1/objects/users/ada": {"feed/read": []}}), "- - - -"),
            (true, json!({"ada": {"feed/read": []}, "/v1/users/": {"feed/read": []}}), "- - - -"),
            (true, json!({"https:///v1/users/ada": {"user/read": []}, "https://x": {"user/write": []}}), "* - - -"),
            // One tenant with a grant limits feeds to the tenants that have one; what has no tenant needs the user's.
            (false, json!({ACME: {"user/feed_read": []}}), "* * a a"),
            (false, json!({ACME: {"preferences/read": []}}), "* * a a"),
            (false, json!({ACME: {"slack/channels_read": []}}), "* * * *"),
            (false, json!({ACME: {"user/feed_read": []}, BETA: {"feed/write": []}}), "* * ab ab"),
            (false, json!({ACME: {"user/feed_read": []}, ME: {"user/feed_read": []}}), "* * a0 a0"),
            (false, json!({ACME: {"user/feed_read": []}, ME: {"user/read": []}}), "* * a a"),
            // With explicit grants each right needs its own, on the tenant too.
            (true, json!({ACME: {"user/feed_read": []}}), "- - a -"),
            (true, json!({ACME: {"user/feed_read": []}, BETA: {"user/feed_write": []}}), "- - a b"),
            (true, json!({ACME: {"user/feed_read": []}, ME: {"user/feed_write": []}}), "- - a 0"),
            (true, json!({ACME: {"preferences/read": []}, ME: {"feed/read": []}}), "- - 0 -"),
            (true, json!({ACME: {"user/read": []}}), "- - - -"),
            (true, json!({"/v1/tenants/acme": {"feed/read": []}, ACME: {"feed/write": []}}), "- - a a"),
            (true, json!({"/v1/objects/%24tenants/ac%6De": {"feed/read": []}}), "- - a -"),
        ];
        for (explicit, claim, expected) in table {
            assert_eq!(reach(&grants(explicit, claim.clone())), expected, "explicit: {explicit}, {claim}");
        }
    }

    #[test]
    fn objects_and_tenants_are_reached_only_where_a_grant_names_them() {
        let claim =
            json!({ACME: {"channel_data/read": []}, "https://x/v1/objects/pro%6Aects/p": {"channel_data/write": [{}]}});
        let may = |collection: &str, id: &str, right| {
            let object = RecipientRef { collection: collection.into(), id: id.into() };
            [false, true].map(|explicit| grants(explicit, claim.clone()).reach(&object, right))
        };
        assert_eq!(may("$tenants", "acme", Right::ChannelDataRead), [true; 2]);
        assert_eq!(may("$tenants", "acme", Right::ChannelDataWrite), [false; 2]);
        assert_eq!(may("$tenants", "beta", Right::ChannelDataRead), [false; 2]);
        assert_eq!(may("projects", "p", Right::ChannelDataWrite), [true; 2]);
        assert_eq!(may("projects", "q", Right::ChannelDataWrite), [false; 2]);
    }

    #[test]
    fn an_id_that_is_written_as_it_is_means_itself() {
        for id in ["u 1", "u:1+x@y.z", "a/b", "50%", "ü"] {
            let claim = Claim::from([(format!("https://api.knock.app/v1/users/{id}"), granted("feed/read"))]);
            assert!(Grants::new(id, true, claim).access(Right::FeedRead).is_some(), "{id}");
        }
    }

    fn granted(name: &str) -> BTreeMap<String, Value> {
        [(name.to_owned(), json!([]))].into()
    }

    proptest! {
        #[test]
        fn explicit_grants_never_give_more_than_the_same_ones_without(
            names in prop::collection::vec((0usize..3, 0usize..9), 0..8)
        ) {
            const NAMES: [&str; 9] = ["user/read", "user/write", "user/feed_read", "user/feed_write", "feed/read",
                "user_feed/write", "preferences/read", "slack/channels_read", "other"];
            let mut claim = Claim::new();
            for (entity, name) in names {
                claim.entry([ME, ACME, BETA][entity].to_owned()).or_default().insert(NAMES[name].to_owned(), json!([]));
            }
            let (strict, open) = (Grants::new("ada", true, claim.clone()), Grants::new("ada", false, claim));
            for right in RIGHTS {
                for tenant in [Some("acme"), Some("beta"), Some("gamma"), None] {
                    let may = |grants: &Grants| grants.access(right).is_some_and(|access| access.covers(tenant));
                    prop_assert!(!may(&strict) || may(&open), "{right:?} {tenant:?}");
                }
            }
        }
    }
}
