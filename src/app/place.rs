//! Where a command finds what it works on: behind a running server, or in a data folder that is at rest.

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use clap::Args;

use super::cli::file_or_default;
use super::client::Client;
use super::keys::DevKeys;
use crate::base::config::{Config, Overrides};
use crate::store::{OpenError, Settings, Store};

/// The flags that name a data folder.
#[derive(Args)]
pub struct Folder {
    /// The configuration file, for the data folder and the server [default: belfry.toml, if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The data folder [default: server.data_dir]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

/// The flags that name a data folder, or the server that holds it.
#[derive(Args)]
pub struct Place {
    #[command(flatten)]
    pub folder: Folder,
    /// A running server [default: at server.listen]
    #[arg(long, value_name = "URL", env = "BELFRY_URL")]
    url: Option<String>,
    /// A secret key of the running server; without one, that of a developer's server in the data folder
    #[arg(long, value_name = "KEY", env = "BELFRY_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
}

/// What was found there.
pub enum Reached {
    /// The server that holds the data folder.
    Served(Client),
    /// The data folder itself, which no server holds.
    Folder(Store),
}

impl Folder {
    /// Its configuration.
    pub fn load(&self) -> Result<Config> {
        let overrides = Overrides { data_dir: self.data_dir.clone(), ..Overrides::default() };
        Ok(Config::load(file_or_default(self.config.clone()).as_deref(), &overrides)?)
    }
}

impl Place {
    /// Goes there: to the server if one is named or holds the folder, else to the folder.
    pub fn reach(&self, config: &Config) -> Result<Reached> {
        let folder = &config.server.data_dir;
        if self.api_key.is_some() || self.url.is_some() {
            return Ok(Reached::Served(self.served(config, false)?));
        }
        ensure!(
            folder.is_dir(),
            "there is no data folder {}. Name it with --data-dir or --config, or a running server with --url and --api-key",
            folder.display()
        );
        match Store::open(folder, Settings::default()) {
            Ok(store) => Ok(Reached::Folder(store)),
            Err(OpenError::InUse(_)) => Ok(Reached::Served(self.served(config, true)?)),
            Err(error) => Err(error.into()),
        }
    }

    /// Goes to the running server, for what only one can do. Where the flags say all, no configuration is read.
    pub fn server(&self) -> Result<Client> {
        match (&self.url, &self.api_key) {
            (Some(url), Some(key)) => Client::new(url, key),
            _ => self.served(&self.folder.load()?, false),
        }
    }

    fn served(&self, config: &Config, in_use: bool) -> Result<Client> {
        let folder = &config.server.data_dir;
        let key = match &self.api_key {
            Some(key) => Some(key.clone()),
            None => DevKeys::load(folder)?.map(|keys| keys.secret),
        };
        let url = self.url.clone().unwrap_or_else(|| format!("http://{}", config.server.listen));
        match key {
            Some(key) => Client::new(&url, &key),
            None if in_use => bail!(
                "a running Belfry holds the data folder {}. Go through it with one of its secret keys (of auth.secret_keys, or \
                 one that it made) in --api-key or BELFRY_API_KEY, and its --url; or stop it",
                folder.display()
            ),
            None => bail!("name a secret key of {url} with --api-key or BELFRY_API_KEY: `belfry dev` prints one"),
        }
    }
}
