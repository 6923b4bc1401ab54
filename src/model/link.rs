//! Signed links: what whoever holds a message may ask of this server without a key. A link says all that it can do, so
//! that nothing is stored for it; none expires, and none does more than one thing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use subtle::ConstantTimeEq;

use super::recipient::RecipientRef;
use crate::base::ids::MessageId;

/// The vars with links that a message can show.
pub const UNSUBSCRIBE_VAR: &str = "commercial_unsubscribe_url";
pub const PREFERENCES_VAR: &str = "manage_preferences_url";

/// Where one-click unsubscribes go.
pub const UNSUBSCRIBE: &str = "/unsubscribe/";
/// The preference center.
pub const PREFERENCES: &str = "/p/";
/// The picture that says that a message was opened.
pub const OPEN: &str = "/t/o/";
/// The way to a link of a message.
pub const CLICK: &str = "/t/c/";

/// Bytes of a signature: 128 bits, that nobody guesses.
const SIGNATURE: usize = 16;

/// Makes links and reads them.
#[derive(Clone)]
pub struct Links {
    base: String,
    key: [u8; 32],
}

/// Whom a link was given to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pub recipient: RecipientRef,
    /// For which tenant they were written to: whose brand and words they see.
    pub tenant: Option<String>,
}

impl Holder {
    /// Somebody who was written to for no tenant.
    pub fn new(recipient: RecipientRef) -> Self {
        Self { recipient, tenant: None }
    }

    /// No id holds a NUL.
    fn key(&self) -> Vec<u8> {
        let mut key = self.recipient.key();
        if let Some(tenant) = &self.tenant {
            key.push(0);
            key.extend(tenant.as_bytes());
        }
        key
    }

    fn from_key(key: &[u8]) -> Option<Self> {
        let RecipientRef { collection, id } = RecipientRef::from_key(key)?;
        let (id, tenant) = match id.split_once('\0') {
            Some((id, tenant)) => (id.to_owned(), Some(tenant.to_owned())),
            None => (id, None),
        };
        Some(Self { recipient: RecipientRef { collection, id }, tenant })
    }
}

impl Links {
    /// Links under `base`, the public URL without a slash at its end, signed by `key`.
    pub fn new(base: impl Into<String>, key: &[u8; 32]) -> Self {
        Self { base: base.into(), key: blake3::derive_key("belfry links v1", key) }
    }

    /// The public URL, without a slash at its end.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Ends commercial messages to a recipient.
    pub fn unsubscribe(&self, holder: &Holder) -> String {
        self.url(UNSUBSCRIBE, &holder.key())
    }

    /// Who an unsubscribe token is of.
    pub fn unsubscriber(&self, token: &str) -> Option<Holder> {
        Holder::from_key(&self.read(UNSUBSCRIBE, token)?)
    }

    /// Shows and changes the preferences of a user.
    pub fn preferences(&self, holder: &Holder) -> String {
        self.url(PREFERENCES, &holder.key())
    }

    /// The same link's token alone.
    pub fn preferences_token(&self, holder: &Holder) -> String {
        self.token(PREFERENCES, &holder.key())
    }

    /// Whose preferences a token shows.
    pub fn preferrer(&self, token: &str) -> Option<Holder> {
        Holder::from_key(&self.read(PREFERENCES, token)?)
    }

    /// The picture that is fetched when `message` is opened.
    pub fn open(&self, message: MessageId) -> String {
        self.url(OPEN, message.as_bytes())
    }

    /// Which message was opened.
    pub fn opened(&self, token: &str) -> Option<MessageId> {
        let id: [u8; 16] = self.read(OPEN, token)?.try_into().ok()?;
        Some(MessageId::from(id))
    }

    /// Leads to `target`, which stands in `message`.
    pub fn click(&self, message: MessageId, target: &str) -> String {
        self.url(CLICK, &[message.as_bytes(), target.as_bytes()].concat())
    }

    /// Which link of which message was followed.
    pub fn clicked(&self, token: &str) -> Option<(MessageId, String)> {
        let payload = self.read(CLICK, token)?;
        let (id, target) = payload.split_first_chunk::<16>()?;
        Some((MessageId::from(*id), String::from_utf8(target.to_vec()).ok()?))
    }

    /// Whether `url` is one of these links.
    pub fn is_own(&self, url: &str) -> bool {
        let path = url.strip_prefix(&self.base);
        path.is_some_and(|path| [UNSUBSCRIBE, PREFERENCES, OPEN, CLICK].iter().any(|way| path.starts_with(way)))
    }

    /// `vars` with the links that a message to `holder` can show (`knock-engine.md` section 5.5).
    pub fn vars(&self, vars: &Map<String, Value>, holder: &Holder, is_commercial: bool) -> Map<String, Value> {
        let mut vars = vars.clone();
        if is_commercial {
            vars.insert(UNSUBSCRIBE_VAR.into(), self.unsubscribe(holder).into());
        }
        if holder.recipient.is_user() {
            vars.insert(PREFERENCES_VAR.into(), self.preferences(holder).into());
        }
        vars
    }

    fn url(&self, way: &str, payload: &[u8]) -> String {
        format!("{}{way}{}", self.base, self.token(way, payload))
    }

    fn token(&self, way: &str, payload: &[u8]) -> String {
        URL_SAFE_NO_PAD.encode([self.sign(way, payload).as_slice(), payload].concat())
    }

    /// What `token` was made of, if it was made here for this way.
    fn read(&self, way: &str, token: &str) -> Option<Vec<u8>> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (signature, payload) = bytes.split_first_chunk::<SIGNATURE>()?;
        let right = bool::from(self.sign(way, payload).ct_eq(signature));
        right.then(|| payload.to_vec())
    }

    fn sign(&self, way: &str, payload: &[u8]) -> [u8; SIGNATURE] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(way.as_bytes());
        hasher.update(&[0]);
        hasher.update(payload);
        let mut signature = [0; SIGNATURE];
        hasher.finalize_xof().fill(&mut signature);
        signature
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn links(key: u8) -> Links {
        Links::new("https://belfry.test", &[key; 32])
    }

    fn token<'a>(url: &'a str, way: &str) -> &'a str {
        url.strip_prefix("https://belfry.test").unwrap().strip_prefix(way).unwrap()
    }

    proptest! {
        #[test]
        fn a_link_does_what_it_was_made_for_and_nothing_else(id: [u8; 16], target in "\\PC{0,60}", user in "[a-z0-9@.]{1,20}", tenant in prop::option::of("[a-z]{1,9}")) {
            let message = MessageId::from(id);
            let user = Holder { recipient: RecipientRef::user(user), tenant };
            let ours = links(1);
            let (click, open) = (ours.click(message, &target), ours.open(message));
            let (unsubscribe, preferences) = (ours.unsubscribe(&user), ours.preferences(&user));
            let [click, open] = [token(&click, CLICK), token(&open, OPEN)];
            let [unsubscribe, preferences] = [token(&unsubscribe, UNSUBSCRIBE), token(&preferences, PREFERENCES)];
            prop_assert_eq!(ours.clicked(click), Some((message, target)));
            prop_assert_eq!(ours.opened(open), Some(message));
            prop_assert_eq!(ours.unsubscriber(unsubscribe), Some(user.clone()));
            prop_assert_eq!(ours.preferrer(preferences), Some(user));
            for token in [click, open, unsubscribe, preferences] {
                let done = [
                    ours.clicked(token).is_some(),
                    ours.opened(token).is_some(),
                    ours.unsubscriber(token).is_some(),
                    ours.preferrer(token).is_some(),
                ];
                prop_assert_eq!(done.iter().filter(|done| **done).count(), 1);
                let theirs = links(2);
                prop_assert!(theirs.clicked(token).is_none() && theirs.opened(token).is_none());
                prop_assert!(theirs.unsubscriber(token).is_none() && theirs.preferrer(token).is_none());
            }
        }

        #[test]
        fn no_altered_link_is_followed(at in 0usize..200, with in "[A-Za-z0-9_=.%-]", cut in 0usize..60) {
            let ours = links(1);
            let url = ours.click(MessageId::from([7; 16]), "https://app.example/a?b=c");
            let made = token(&url, CLICK);
            let mut altered: Vec<char> = made.chars().collect();
            let at = at % altered.len();
            altered[at] = with.chars().next().unwrap();
            let altered: String = altered.into_iter().collect();
            prop_assert_eq!(ours.clicked(&altered).is_some(), altered == made);
            prop_assert_eq!(ours.clicked(&made[..made.len() - cut]).is_some(), cut == 0);
            let longer = format!("{made}{with}");
            prop_assert!(ours.clicked(&longer).is_none());
        }
    }

    #[test]
    fn only_commercial_messages_offer_an_end_and_only_users_have_preferences_to_manage() {
        let names = |recipient: &RecipientRef, is_commercial| {
            links(1)
                .vars(&Map::new(), &Holder::new(recipient.clone()), is_commercial)
                .into_iter()
                .map(|(name, _)| name)
                .collect::<Vec<_>>()
        };
        let object = RecipientRef { collection: "projects".into(), id: "p1".into() };
        assert_eq!(names(&RecipientRef::user("ann"), true), ["commercial_unsubscribe_url", "manage_preferences_url"]);
        assert_eq!(names(&RecipientRef::user("ann"), false), ["manage_preferences_url"]);
        assert_eq!(names(&object, true), ["commercial_unsubscribe_url"]);
    }

    #[test]
    fn its_own_links_are_known_from_others_of_the_same_host() {
        let ours = links(1);
        assert!(ours.is_own(&ours.unsubscribe(&Holder::new(RecipientRef::user("ann")))));
        assert!(!ours.is_own("https://belfry.test/docs") && !ours.is_own("https://elsewhere.test/unsubscribe/x"));
    }
}
