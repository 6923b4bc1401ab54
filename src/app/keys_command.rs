//! `belfry keys`: API keys of a server that runs or of a data folder that is at rest, and user tokens.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::client::{Client, segment};
use super::console::{remark, say_line};
use super::keys::configured;
use super::place::{Place, Reached};
use super::signing_key::{self, Files, VARIABLE};
use crate::base::clock::Clock;
use crate::http::key_ring::{KeyInfo, KeyKind, KeyRing, NewKey};
use crate::model::duration::parse_span;
use crate::store::Store;

/// What is done.
#[derive(Subcommand)]
pub enum KeysCommand {
    /// Make an API key; it is printed this once and stored hashed
    ///
    /// Works on the data folder, or through a running server: with --api-key, or with the developer's key beside the
    /// data of `belfry dev`. Keys in auth.secret_keys and auth.public_keys of the configuration count besides these.
    Create {
        #[command(flatten)]
        kind: Kind,
        /// What it is for
        #[arg(long, value_name = "TEXT")]
        name: Option<String>,
        #[command(flatten)]
        place: Place,
    },
    /// List the API keys: id, kind, last four characters, when made, name
    List {
        #[command(flatten)]
        place: Place,
    },
    /// End an API key at once: nobody gets in with it any more
    ///
    /// A key of the configuration is taken out there.
    Revoke {
        /// Its id, or its last four characters
        #[arg(value_name = "ID|LAST4")]
        which: String,
        #[command(flatten)]
        place: Place,
    },
    /// Sign a user token, as your backend would
    ///
    /// Example: belfry keys sign-user ada --expires-in 8h --grant user/feed_read@acme --explicit-grants
    #[command(verbatim_doc_comment)]
    SignUser(SignUser),
    /// Make the key pair of user tokens
    ///
    /// Writes signing-key.pem (the private half, PKCS#8, for your backend), signing-key.env (the same as
    /// KNOCK_SIGNING_KEY=..., as Knock's SDKs take it) and signing-key.public.pem (for auth.signing_public_key).
    GenerateSigningKey {
        /// The folder to write them to
        #[arg(long, value_name = "DIR", default_value = ".")]
        out: PathBuf,
    },
}

#[derive(Args)]
#[group(required = true, multiple = false)]
pub struct Kind {
    /// For backends: it may do everything
    #[arg(long)]
    secret: bool,
    /// For browsers
    #[arg(long)]
    public: bool,
}

#[derive(Args)]
pub struct SignUser {
    /// The user's id
    user: String,
    /// How long it is valid, such as 1h or 7d
    #[arg(long, value_name = "SPAN", default_value = "1h", value_parser = parse_span)]
    expires_in: Duration,
    /// A grant on the user, such as user/feed_read, or on a tenant: user/feed_read@acme; repeatable
    #[arg(long = "grant", value_name = "GRANT[@TENANT]")]
    grants: Vec<String>,
    /// Only what is granted is allowed
    #[arg(long)]
    explicit_grants: bool,
    /// The file with the private key [default: KNOCK_SIGNING_KEY, else signing-key.pem of the developer's server in --data-dir]
    #[arg(long, value_name = "FILE")]
    signing_key: Option<PathBuf>,
    /// The data folder of a developer's server
    #[arg(long, value_name = "DIR", default_value = "belfry-data")]
    data_dir: PathBuf,
}

/// Runs the command.
pub async fn run(command: KeysCommand) -> Result<()> {
    match command {
        KeysCommand::Create { kind, name, place } => {
            let kind = if kind.secret { KeyKind::Secret } else { KeyKind::Public };
            let new = match Keys::open(&place)? {
                Keys::Served(client) => {
                    let body = json!({"kind": kind, "name": name});
                    read::<NewKey>(client.call(Method::POST, "/admin/keys", Some(&body)).await?)?
                }
                Keys::Folder(store, ring) => {
                    let new = ring.create(&store, kind, name, Clock::system().now()).await;
                    store.close();
                    new?
                }
            };
            say_line!("{}", new.key);
            remark!("It is shown this once. Its id is {}", new.info.id);
        }
        KeysCommand::List { place } => {
            let keys = match Keys::open(&place)? {
                Keys::Served(client) => {
                    let mut answer = client.call(Method::GET, "/admin/keys", None).await?;
                    read::<Vec<KeyInfo>>(answer["entries"].take())?
                }
                Keys::Folder(store, ring) => {
                    store.close();
                    ring.list()
                }
            };
            keys.iter().for_each(|key| say_line!("{}", line(key)));
        }
        KeysCommand::Revoke { which, place } => {
            let ended = match Keys::open(&place)? {
                Keys::Served(client) => {
                    let path = format!("/admin/keys/{}", segment(&which));
                    read::<KeyInfo>(client.call(Method::DELETE, &path, None).await?)?
                }
                Keys::Folder(store, ring) => {
                    let ended = ring.revoke(&store, &which).await;
                    store.close();
                    ended?
                }
            };
            say_line!("revoked: {}", line(&ended));
        }
        KeysCommand::SignUser(args) => say_line!("{}", sign_user(&args)?),
        KeysCommand::GenerateSigningKey { out } => {
            let files = signing_key::create(&out)?;
            say_line!("{}  the private key, for your backend alone", files.private.display());
            say_line!("{}  the same for Knock's SDKs, as {VARIABLE}", files.environment.display());
            say_line!("{}  the public key, for auth.signing_public_key", files.public.display());
        }
    }
    Ok(())
}

/// How the keys are reached.
enum Keys {
    Served(Client),
    Folder(Store, KeyRing),
}

impl Keys {
    fn open(place: &Place) -> Result<Self> {
        let config = place.folder.load()?;
        Ok(match place.reach(&config)? {
            Reached::Served(client) => Self::Served(client),
            Reached::Folder(store) => {
                let ring = KeyRing::load(configured(&config), &store)?;
                Self::Folder(store, ring)
            }
        })
    }
}

fn read<T: for<'a> Deserialize<'a>>(answer: Value) -> Result<T> {
    serde_json::from_value(answer).context("the server's answer is not understood; is it a Belfry of this version?")
}

fn line(key: &KeyInfo) -> String {
    let made = key.created_at.map_or_else(|| "in the configuration".to_owned(), |at| at.to_string());
    let name = key.name.as_deref().unwrap_or_default();
    format!("{}  {}...{}  {made}  {name}", key.id, key.kind.prefix(), key.last4).trim_end().to_owned()
}

fn sign_user(args: &SignUser) -> Result<String> {
    let key = match &args.signing_key {
        Some(file) => Some(file.clone()),
        None if std::env::var_os(VARIABLE).is_some() => None,
        None => Some(Files::of(&args.data_dir).private),
    };
    let key = match key {
        Some(file) => std::fs::read_to_string(&file).with_context(|| {
            let file = file.display();
            format!(
                "{file} cannot be read: name the private key with --signing-key or {VARIABLE}; `belfry dev` makes one"
            )
        })?,
        None => std::env::var(VARIABLE).with_context(|| format!("{VARIABLE} is not text"))?,
    };
    let now = Clock::system().now();
    let seconds = now.as_millis() / 1_000;
    let expires = now.plus(args.expires_in).as_millis() / 1_000;
    let mut claims = json!({"sub": args.user, "iat": seconds, "exp": expires});
    if !args.grants.is_empty() {
        let mut grants = Map::new();
        for grant in &args.grants {
            // The host is the one that Knock's own signer writes; servers look at the path only.
            let (name, entity) = match grant.split_once('@') {
                Some((name, tenant)) => (name, format!("https://api.knock.app/v1/objects/$tenants/{tenant}")),
                None => (grant.as_str(), format!("https://api.knock.app/v1/users/{}", args.user)),
            };
            grants.entry(entity).or_insert_with(|| json!({}))[name] = json!([]);
        }
        claims["grants"] = grants.into();
    }
    if args.explicit_grants {
        claims["explicit_grants"] = json!(true);
    }
    signing_key::sign(&key, &claims)
}
