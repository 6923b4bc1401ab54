//! The API keys that this server accepts: those of the configuration, and those in the store, which come and go while it
//! runs. Only hashes are kept; a key is shown once, to whoever made it.

use std::sync::{PoisonError, RwLock};

use serde::{Deserialize, Serialize};
use subtle::{Choice, ConstantTimeEq};

use crate::base::clock::Timestamp;
use crate::store::op::{AddKey, Op, StoredKey};
use crate::store::{Store, StoreError};

/// Keys in the store. Every request is compared with each: 256 are 8 kB and a few microseconds.
const MAX_STORED: usize = 256;
/// The longest name of a key, in characters.
const MAX_NAME: usize = 100;

/// A key's hash: what is stored and compared, never the key.
pub type KeyHash = [u8; 32];

/// The hash of a key.
pub fn hash(key: &str) -> KeyHash {
    blake3::derive_key("belfry api key v1", key.as_bytes())
}

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyKind {
    /// Backends: everything.
    Secret,
    /// Browsers.
    Public,
}

impl KeyKind {
    /// How its keys begin.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Secret => "sk_",
            Self::Public => "pk_",
        }
    }
}

/// What may be told of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyInfo {
    /// A part of its hash.
    pub id: String,
    pub kind: KeyKind,
    pub last4: String,
    pub name: Option<String>,
    /// `None`: it stands in the configuration.
    pub created_at: Option<Timestamp>,
}

/// A key that was made just now.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewKey {
    /// Shown this once.
    pub key: String,
    #[serde(flatten)]
    pub info: KeyInfo,
}

/// Why a key was not made or revoked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("there are {MAX_STORED} keys already, as many as are kept; revoke one first")]
    Full,
    #[error("the key's name has {0} characters; at most {MAX_NAME} are allowed, on one line")]
    Name(usize),
    #[error("no key has the id or the last four characters `{0}`; `belfry keys list` shows them")]
    Unknown(String),
    #[error("several keys end with `{0}`; name one by its id: {1}")]
    Ambiguous(String, String),
    #[error("the key stands in the configuration; take it out of [auth] there and restart the server")]
    Configured,
    #[error("the operating system gave no random bytes for a key")]
    NoEntropy,
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(Clone)]
struct Known {
    hash: KeyHash,
    info: KeyInfo,
}

impl Known {
    fn configured(kind: KeyKind, key: &str) -> Self {
        Self::new(hash(key), kind, last4(key), None, None)
    }

    fn stored(hash: KeyHash, key: StoredKey) -> Self {
        let kind = if key.secret { KeyKind::Secret } else { KeyKind::Public };
        Self::new(hash, kind, key.last4, key.name, Some(key.created_at))
    }

    fn new(hash: KeyHash, kind: KeyKind, last4: String, name: Option<String>, created_at: Option<Timestamp>) -> Self {
        let id = hash[..6].iter().fold("key_".to_owned(), |id, byte| format!("{id}{byte:02x}"));
        Self { hash, info: KeyInfo { id, kind, last4, name, created_at } }
    }
}

/// Of a key of fewer than eight characters nothing is told.
fn last4(key: &str) -> String {
    let from = key.len().checked_sub(4).filter(|from| *from >= 4);
    from.and_then(|from| key.get(from..)).unwrap_or("****").to_owned()
}

/// The keys that are accepted.
pub struct KeyRing(RwLock<Vec<Known>>);

impl KeyRing {
    /// The configured keys, and those in the store.
    pub fn load<'a>(
        configured: impl IntoIterator<Item = (KeyKind, &'a str)>,
        store: &Store,
    ) -> Result<Self, StoreError> {
        let configured = configured.into_iter().map(|(kind, key)| Known::configured(kind, key));
        let stored = store.read()?.keys()?.into_iter().map(|(hash, key)| Known::stored(hash, key));
        Ok(Self(RwLock::new(configured.chain(stored).collect())))
    }

    /// What `key` is for, if it is known. Every known key is compared in full, so that time tells nothing.
    pub fn kind(&self, key: &str) -> Option<KeyKind> {
        let hash = hash(key);
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let among = |kind: KeyKind| {
            let of_kind = known.iter().filter(|known| known.info.kind == kind);
            bool::from(of_kind.fold(Choice::from(0), |found, known| found | known.hash.ct_eq(&hash)))
        };
        let (secret, public) = (among(KeyKind::Secret), among(KeyKind::Public));
        if secret { Some(KeyKind::Secret) } else { public.then_some(KeyKind::Public) }
    }

    /// Whether the key with this hash still gets in.
    pub fn holds(&self, hash: &KeyHash) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).iter().any(|known| known.hash == *hash)
    }

    /// All of them, the configured ones first.
    pub fn list(&self) -> Vec<KeyInfo> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).iter().map(|known| known.info.clone()).collect()
    }

    /// Makes a key and stores its hash.
    pub async fn create(
        &self,
        store: &Store,
        kind: KeyKind,
        name: Option<String>,
        now: Timestamp,
    ) -> Result<NewKey, KeyError> {
        let length = name.as_ref().map_or(0, |name| name.chars().count());
        if length > MAX_NAME || name.as_ref().is_some_and(|name| name.contains(char::is_control)) {
            return Err(KeyError::Name(length));
        }
        if self.list().iter().filter(|key| key.created_at.is_some()).count() >= MAX_STORED {
            return Err(KeyError::Full);
        }
        let key = generate(kind)?;
        let stored = StoredKey { secret: kind == KeyKind::Secret, last4: last4(&key), name, created_at: now };
        let known = Known::stored(hash(&key), stored.clone());
        store.submit(Op::AddKey(AddKey { hash: known.hash, key: stored })).await?;
        let info = known.info.clone();
        self.0.write().unwrap_or_else(PoisonError::into_inner).push(known);
        Ok(NewKey { key, info })
    }

    /// Ends the key that `which` names by its id or its last four characters. Once this returns nobody gets in with it.
    pub async fn revoke(&self, store: &Store, which: &str) -> Result<KeyInfo, KeyError> {
        let known = self.find(which)?;
        if known.info.created_at.is_none() {
            return Err(KeyError::Configured);
        }
        store.submit(Op::RemoveKey(known.hash)).await?;
        self.0.write().unwrap_or_else(PoisonError::into_inner).retain(|other| other.hash != known.hash);
        Ok(known.info)
    }

    fn find(&self, which: &str) -> Result<Known, KeyError> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut named = known.iter().filter(|known| known.info.id == which || known.info.last4 == which);
        match (named.next(), named.next()) {
            (Some(one), None) => Ok(one.clone()),
            (None, _) => Err(KeyError::Unknown(which.to_owned())),
            (Some(first), Some(second)) => {
                let ids: Vec<&str> = [first, second].into_iter().chain(named).map(|one| one.info.id.as_str()).collect();
                Err(KeyError::Ambiguous(which.to_owned(), ids.join(", ")))
            }
        }
    }
}

/// 256 random bits behind a prefix.
pub fn generate(kind: KeyKind) -> Result<String, KeyError> {
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes).map_err(|_| KeyError::NoEntropy)?;
    Ok(bytes.iter().fold(format!("{}test_", kind.prefix()), |key, byte| format!("{key}{byte:02x}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Settings;

    #[actix_web::test]
    async fn a_key_works_from_its_making_to_its_end_and_no_longer() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), Settings::default()).unwrap();
        let ring = KeyRing::load([(KeyKind::Secret, "sk_configured"), (KeyKind::Public, "pk_7")], &store).unwrap();
        let now = Timestamp::from_millis(7);
        let backend = ring.create(&store, KeyKind::Secret, Some("ci".into()), now).await.unwrap();
        let browser = ring.create(&store, KeyKind::Public, None, now).await.unwrap();
        assert!(backend.key.starts_with("sk_") && browser.key.starts_with("pk_"));
        let known = |ring: &KeyRing| ["sk_configured", "pk_7", &backend.key, &browser.key].map(|key| ring.kind(key));
        let (secret, public) = (Some(KeyKind::Secret), Some(KeyKind::Public));
        assert_eq!(known(&ring), [secret, public, secret, public]);
        assert_eq!(ring.list().iter().filter(|key| key.name.as_deref() == Some("ci")).count(), 1);
        assert!(ring.list().iter().any(|key| key.last4 == "****"), "too short to tell anything of it");

        let ended = ring.revoke(&store, &backend.key[backend.key.len() - 4..]).await.unwrap();
        assert_eq!(ended, backend.info);
        assert_eq!(known(&ring), [secret, public, None, public]);
        let again = KeyRing::load([(KeyKind::Secret, "sk_configured")], &store).unwrap();
        assert_eq!(known(&again), [secret, None, None, public]);
        assert_eq!(ring.revoke(&store, &backend.info.id).await, Err(KeyError::Unknown(backend.info.id.clone())));
        assert_eq!(ring.revoke(&store, "ured").await, Err(KeyError::Configured));
        assert!(matches!(ring.create(&store, KeyKind::Public, Some("a\nb".into()), now).await, Err(KeyError::Name(3))));
    }

    #[actix_web::test]
    async fn keys_that_end_alike_are_told_apart_by_id_and_there_is_an_end_to_how_many_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), Settings::default()).unwrap();
        for number in 0..MAX_STORED {
            let key = StoredKey { secret: true, last4: "beef".into(), name: None, created_at: Timestamp::default() };
            store.submit(Op::AddKey(AddKey { hash: hash(&number.to_string()), key })).await.unwrap();
        }
        let ring = KeyRing::load([], &store).unwrap();
        assert!(matches!(ring.revoke(&store, "beef").await, Err(KeyError::Ambiguous(_, ids)) if ids.contains("key_")));
        assert!(matches!(ring.create(&store, KeyKind::Secret, None, Timestamp::default()).await, Err(KeyError::Full)));
        let one = ring.list()[7].id.clone();
        assert_eq!(ring.revoke(&store, &one).await.unwrap().id, one);
        assert!(ring.create(&store, KeyKind::Secret, None, Timestamp::default()).await.is_ok());
    }
}
