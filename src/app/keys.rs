//! API keys: the configured ones, those that were made, and a pair that is made at the first start; a made key is shown
//! once and stored hashed.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::base::clock::Timestamp;
use crate::base::config::Config;
use crate::http::key_ring::{KeyKind, KeyRing, generate};
use crate::store::Store;

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
                let keys = Self { secret: generate(KeyKind::Secret)?, public: generate(KeyKind::Public)? };
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

/// The keys that were made just now because there was none of their kind.
#[derive(Default)]
pub struct Shown {
    pub secret: Option<String>,
    pub public: Option<String>,
}

/// The keys that the server accepts; of a kind of which there is none, one is made.
pub async fn accepted(config: &Config, store: &Store, now: Timestamp) -> Result<(KeyRing, Shown)> {
    let ring = KeyRing::load(configured(config), store)?;
    let mut shown = Shown::default();
    for (kind, shown) in [(KeyKind::Secret, &mut shown.secret), (KeyKind::Public, &mut shown.public)] {
        if !ring.list().iter().any(|key| key.kind == kind) {
            *shown = Some(ring.create(store, kind, Some("first start".into()), now).await?.key);
        }
    }
    Ok((ring, shown))
}

/// The keys of the configuration.
pub fn configured(config: &Config) -> impl Iterator<Item = (KeyKind, &str)> {
    let secret = config.auth.secret_keys.iter().map(|key| (KeyKind::Secret, key.expose()));
    secret.chain(config.auth.public_keys.iter().map(|key| (KeyKind::Public, key.as_str())))
}
