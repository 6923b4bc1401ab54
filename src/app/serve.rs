//! `belfry serve` and `belfry dev`: a server until a signal or a failing disk ends it.

use std::path::PathBuf;

use anyhow::Result;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::console::{remark, say_line};
use super::exit_code;
use super::keys::DevKeys;
use super::server::{self, Running, Workflows};
use super::{signing_key, stand_in, workflow_dir, workflow_watch};
use crate::base::config::{Config, Secret};
use crate::store::StoreError;

/// Serves until SIGTERM or SIGINT.
pub async fn serve(config: Config) -> Result<()> {
    let signals = Signals::new()?;
    let hangups = signal(SignalKind::hangup())?;
    let running = server::start(&config, Workflows::Directory).await?;
    say_line!("Belfry listens on {}", running.url);
    if let Some(key) = &running.shown.secret {
        say_line!("Secret key, for backends: {key}");
        say_line!("  It is shown this once and stored hashed; auth.secret_keys sets your own.");
    }
    if let Some(key) = &running.shown.public {
        say_line!("Public key, for browsers: {key}");
    }
    say_line!("{}", security(&config));
    tracing::info!(
        url = running.url,
        workflows = running.workflows.len(),
        recovered = running.recovered,
        data_dir = %config.server.data_dir.display(),
        "listening"
    );
    if config.server.dev {
        tracing::warn!(
            "server.dev is on: whoever reaches this server triggers workflows, reads mail and moves its clock"
        );
    }
    workflow_watch::upon_hangup(running.engine(), hangups);
    until_ended(running, signals).await
}

/// What browsers need besides a public key, and why.
fn security(config: &Config) -> &'static str {
    match (config.auth.enhanced_security, &config.auth.signing_public_key) {
        (true, Some(_)) => "Enhanced security is on: browsers need a user token besides a public key",
        (true, None) => {
            "Enhanced security is on, and there is no auth.signing_public_key: public keys are refused, secret keys work.\n  \
             `belfry keys generate-signing-key` makes a key pair; auth.enhanced_security = false lets public keys in alone."
        }
        (false, _) => {
            "Enhanced security is off (auth.enhanced_security = false): with a public key, who knows a user's id reads and \
             marks that user's feed"
        }
    }
}

/// Serves with all defaults: captured mail, a clock that can be advanced, keys that are shown at every start.
pub async fn dev(mut config: Config) -> Result<()> {
    let signals = Signals::new()?;
    let hangups = signal(SignalKind::hangup())?;
    let keys = DevKeys::load_or_create(&config.server.data_dir)?;
    if config.auth.secret_keys.is_empty() {
        config.auth.secret_keys.push(Secret::new(keys.secret.clone()));
    }
    if config.auth.public_keys.is_empty() {
        config.auth.public_keys.push(keys.public.clone());
    }
    if config.auth.signing_public_key.is_none() {
        config.auth.signing_public_key = Some(signing_key::of_developer(&config.server.data_dir)?);
    }
    let directory = config.workflows.dir.clone();
    let (workflows, from) = if directory.is_dir() {
        let from = directory.display().to_string();
        let (workflows, _) = workflow_dir::read(&directory);
        stand_in::make_up(&mut config, &workflows);
        (Workflows::Directory, from)
    } else {
        (Workflows::Starters, "the starters inside the binary".into())
    };
    let watched = matches!(workflows, Workflows::Directory);
    let running = server::start(&config, workflows).await?;
    workflow_watch::upon_hangup(running.engine(), hangups);
    if watched {
        let dirs = &config.workflows;
        let shared = [&dirs.layouts_dir, &dirs.partials_dir, &dirs.translations_dir].map(PathBuf::clone);
        workflow_watch::upon_change(running.engine(), [&[directory], shared.as_slice()].concat());
    }
    let program = std::env::args().next().unwrap_or_else(|| "belfry".into());
    say_line!("Belfry listens on {}  (developer's server: mail is captured, the clock can be advanced)", running.url);
    say_line!();
    say_line!("  Secret key   {}", config.auth.secret_keys[0].expose());
    say_line!("  Public key   {}", config.auth.public_keys[0]);
    say_line!("  User token   {program} keys sign-user USER --data-dir {}", config.server.data_dir.display());
    say_line!("  Data folder  {}", config.server.data_dir.display());
    say_line!("  Workflows    {} (from {from})", running.workflows.join(", "));
    say_line!();
    say_line!("See it live: {}/demo", running.url);
    say_line!();
    say_line!("Try, in another terminal:");
    say_line!();
    let starter = "account-invite";
    let (example, data) = match running.workflows.first() {
        Some(first) if !running.workflows.iter().any(|key| key == starter) => (first.as_str(), ""),
        _ => (starter, " --data '{\"inviteToken\": \"abc\"}'"),
    };
    say_line!("  {program} trigger {example} --to dr@grant.test{data} \\");
    say_line!("    --url {} --api-key {}", running.url, config.auth.secret_keys[0].expose());
    say_line!("  curl {}/dev/mailbox", running.url);
    say_line!("  curl -X POST {}/dev/clock/advance -d '{{\"by\": \"3d\"}}'", running.url);
    say_line!();
    until_ended(running, signals).await
}

/// What ends a server. Listened for before it says that it runs: whoever reads that may end it at once.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self> {
        // Once somebody has listened for it, a file that may not grow is an error of its write, not the process's end.
        drop(signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?);
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn recv(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

async fn until_ended(running: Running, mut signals: Signals) -> Result<()> {
    tokio::select! {
        error = running.store.failed() => {
            tracing::error!(%error, "the disk failed: the process ends");
            if let StoreError::Damaged { .. } = error {
                remark!("belfry: the data file is damaged: {error}. Another start will not help: `belfry doctor` reads \
                    all of it, `belfry restore` puts a backup in its place");
                std::process::exit(exit_code::UNREADABLE.into());
            }
            remark!("belfry: the disk failed: {error}. Make room or repair it, then start Belfry again");
            std::process::exit(exit_code::DISK_FAILED.into());
        }
        who = running.crippled() => {
            tracing::error!(who, "a central actor panicked: the process ends, and the next start goes on");
            remark!("belfry: the {who} panicked, which is a fault of Belfry's. Start it again; nothing accepted is lost");
            std::process::exit(exit_code::PANICKED.into());
        }
        () = signals.recv() => {}
    }
    tracing::info!("shutting down");
    tokio::select! {
        () = running.stop() => tracing::info!("stopped"),
        // Safe at any instant: what is acknowledged is on disk.
        () = signals.recv() => tracing::warn!("a second signal: ended at once"),
    }
    Ok(())
}
