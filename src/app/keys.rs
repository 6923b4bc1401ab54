//! API keys: the configured ones, or a pair that is made at the first start, shown once and stored hashed.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::base::clock::Timestamp;
use crate::base::config::Config;
use crate::http::auth::{KeyHash, Keys, hash};
use crate::store::Store;
use crate::store::op::{AddKey, Op, StoredKey};

/// The keys of a developer's server, which are no secret: kept beside its data, so that they can be shown again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DevKeys {
    pub secret: String,
    pub public: String,
}

impl DevKeys {
    fn path(data_dir: &Path) -> PathBuf {
        data_dir.join("dev-keys.toml")
    }

    /// Those of the data folder, made when there are none.
    pub fn load_or_create(data_dir: &Path) -> Result<Self> {
        match Self::load(data_dir)? {
            Some(keys) => Ok(keys),
            None => {
                let keys = Self { secret: generate("sk_test_")?, public: generate("pk_test_")? };
                fs::create_dir_all(data_dir)?;
                let mut file =
                    OpenOptions::new().create_new(true).write(true).mode(0o600).open(Self::path(data_dir))?;
                file.write_all(toml::to_string(&keys)?.as_bytes())?;
                Ok(keys)
            }
        }
    }

    /// Those of the data folder, if it is a developer's.
    pub fn load(data_dir: &Path) -> Result<Option<Self>> {
        let path = Self::path(data_dir);
        match fs::read_to_string(&path) {
            Ok(text) => {
                let keys = toml::from_str(&text);
                keys.map(Some).with_context(|| format!("{} is damaged; delete it to get new keys", path.display()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
        }
    }
}

/// A key that was made just now and is never shown again.
#[derive(Clone, Debug)]
pub struct Shown {
    pub secret: Option<String>,
    pub public: Option<String>,
}

/// The keys that the server accepts. Of each kind the configured ones count; else the stored one; else one is made.
pub async fn accepted(config: &Config, store: &Store, now: Timestamp) -> Result<(Keys, Shown)> {
    let secret = config.auth.secret_keys.iter().map(|key| hash(key.expose())).collect();
    let public = config.auth.public_keys.iter().map(|key| hash(key)).collect();
    let (secret, shown_secret) = of_kind(true, secret, store, now).await?;
    let (public, shown_public) = of_kind(false, public, store, now).await?;
    Ok((Keys { secret, public }, Shown { secret: shown_secret, public: shown_public }))
}

/// The keys of one kind, and the one that was made because there was none.
async fn of_kind(
    secret: bool,
    configured: Vec<KeyHash>,
    store: &Store,
    now: Timestamp,
) -> Result<(Vec<KeyHash>, Option<String>)> {
    if !configured.is_empty() {
        return Ok((configured, None));
    }
    let stored = store.read()?.keys()?.into_iter().filter(|(_, key)| key.secret == secret);
    let stored: Vec<KeyHash> = stored.map(|(hash, _)| hash).collect();
    if !stored.is_empty() {
        return Ok((stored, None));
    }
    let key = generate(if secret { "sk_test_" } else { "pk_test_" })?;
    let last4 = key[key.len() - 4..].to_owned();
    let record = StoredKey { secret, last4, created_at: now };
    store.submit(Op::AddKey(AddKey { hash: hash(&key), key: record })).await?;
    Ok((vec![hash(&key)], Some(key)))
}

/// 256 random bits behind `prefix`.
fn generate(prefix: &str) -> Result<String> {
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes).context("the operating system gave no random bytes for a key")?;
    Ok(bytes.iter().fold(prefix.to_owned(), |key, byte| format!("{key}{byte:02x}")))
}
