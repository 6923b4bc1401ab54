//! `belfry doctor`: looks at everything that a server needs, and says of each what to do.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use reqwest::Method;
use serde::Serialize;
use tempfile::NamedTempFile;

use super::client::Client;
use super::console::say_line;
use super::place::Folder;
use super::server::CheckedWorkflows;
use super::{dkim, open_files, server};
use crate::base::clock::{Clock, Stopwatch, Timestamp, sleep};
use crate::base::config::{Channel, Config, Provider, SmtpSettings, Tls};
use crate::delivery::dkim::Signers;
use crate::delivery::smtp::{Limits, Smtp};
use crate::engine::catalog::Checked;
use crate::store::backup::{self, require_room};
use crate::store::{OpenError, file};

/// Below these a disk is nearly full.
const LITTLE_ROOM: u64 = 1 << 30;
const NO_ROOM: u64 = 64 << 20;
/// No clock that is right shows an earlier time: 2025-01-01.
const EARLIEST: Timestamp = Timestamp::from_millis(1_735_689_600_000);
/// Nor a later one: 2100-01-01.
const LATEST: Timestamp = Timestamp::from_millis(4_102_444_800_000);
/// How long the two clocks are compared, and by how much they may differ: a clock that is being set jumps by more.
const COMPARED: Duration = Duration::from_millis(300);
const DRIFT: Duration = Duration::from_millis(50);
/// How long a server may take to say how it is.
const HEALTH: Duration = Duration::from_secs(5);

#[derive(Args)]
pub struct Doctor {
    #[command(flatten)]
    folder: Folder,
    /// Do not connect to mail servers
    #[arg(long)]
    no_network: bool,
    /// Print the findings as JSON, one a line
    #[arg(long)]
    json: bool,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Ok,
    Warn,
    Fail,
}

/// What one look found.
#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    level: Level,
    found: String,
    /// What to do; empty when all is well.
    fix: String,
}

fn ok(check: &'static str, found: impl Into<String>) -> Finding {
    Finding { check, level: Level::Ok, found: found.into(), fix: String::new() }
}

fn warn(check: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Finding {
    Finding { check, level: Level::Warn, found: found.into(), fix: fix.into() }
}

fn fail(check: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Finding {
    Finding { check, level: Level::Fail, found: found.into(), fix: fix.into() }
}

/// Examines, prints, and fails when something would keep a server from its work.
pub async fn examine(args: Doctor) -> Result<()> {
    let findings = match args.folder.load() {
        Ok(config) => all(&config, args.no_network).await,
        // An error of the configuration says itself what to do.
        Err(error) => format!("{error:#}").lines().map(|line| fail("config", line, "")).collect(),
    };
    for finding in &findings {
        if args.json {
            say_line!("{}", serde_json::to_string(finding)?);
        } else {
            say_line!("{}", line(finding));
        }
    }
    match findings.iter().filter(|finding| finding.level == Level::Fail).count() {
        0 => Ok(()),
        1 => bail!("1 check failed"),
        count => bail!("{count} checks failed"),
    }
}

fn line(finding: &Finding) -> String {
    let level = match finding.level {
        Level::Ok => "ok",
        Level::Warn => "warn",
        Level::Fail => "FAIL",
    };
    let line = format!("{level:<5} {:<12} {}", finding.check, finding.found);
    if finding.fix.is_empty() { line } else { format!("{line}\n{:<18} {}", "", finding.fix) }
}

async fn all(config: &Config, no_network: bool) -> Vec<Finding> {
    let mut findings = vec![ok("config", "it is valid")];
    findings.extend(keys(config));
    findings.extend(folder(&config.server.data_dir));
    let (held, data) = data(config).await;
    findings.push(data);
    findings.push(port(config.server.listen, held).await);
    findings.push(addresses(config));
    findings.push(clock().await);
    findings.push(open_file_limit(config.http.max_sockets));
    let checked = server::check_workflows(config);
    findings.extend(workflows(config, &checked));
    for channel in &config.channels {
        findings.extend(signing(channel, &checked.valid));
        if let Provider::Smtp(settings) = &channel.provider {
            findings.push(mail_server(&channel.key, settings, config, no_network).await);
        }
    }
    findings
}

/// What browsers and backends get in with.
fn keys(config: &Config) -> Vec<Finding> {
    let tokens = match server::user_tokens(config) {
        Err(error) => {
            fail("keys", format!("{error:#}"), "Name the public half that `belfry keys generate-signing-key` made.")
        }
        Ok(None) if config.auth.enhanced_security => warn(
            "keys",
            "enhanced security is on, and there is no auth.signing_public_key: browsers are refused",
            "`belfry keys generate-signing-key` makes a key pair.",
        ),
        Ok(_) => ok("keys", "user tokens are checked as configured"),
    };
    let dev = config.server.dev && !config.server.listen.ip().is_loopback();
    let dev = dev.then(|| {
        fail(
            "dev",
            format!("server.dev is on and {} can be reached from elsewhere", config.server.listen),
            "Whoever reaches it reads mail and moves its clock: set server.dev = false, or listen on 127.0.0.1.",
        )
    });
    std::iter::once(tokens).chain(dev).collect()
}

/// Whether the data folder can be written, and what room its disk has.
fn folder(dir: &Path) -> Vec<Finding> {
    let shown = dir.display();
    if !dir.exists() {
        return vec![ok("data folder", format!("{shown} is not there yet; the first start makes it"))];
    }
    let written = match tempfile::tempfile_in(dir) {
        Ok(_) => ok("data folder", format!("{shown} can be written")),
        Err(error) => fail(
            "data folder",
            format!("{shown} cannot be written: {error}"),
            "Give it to the user that runs Belfry, or choose another with server.data_dir.",
        ),
    };
    let make_room = "Make room: a server whose disk is full stops. Shorter [retention] and `belfry compact` help.";
    let room = match backup::free_bytes(dir) {
        Err(error) => warn("disk", format!("its free room is not known: {error}"), "Look with `df`."),
        Ok(free) if free < NO_ROOM => fail("disk", format!("{} MB are free", free >> 20), make_room),
        Ok(free) if free < LITTLE_ROOM => warn("disk", format!("{} MB are free", free >> 20), make_room),
        Ok(free) => ok("disk", format!("{} GB are free", free >> 30)),
    };
    vec![written, room]
}

/// The data file, read whole as a copy; or the health of the server that holds it. Answers whether one does.
async fn data(config: &Config) -> (bool, Finding) {
    let dir = &config.server.data_dir;
    let path = dir.join(file::FILE);
    if !path.exists() {
        return (false, ok("data", "there is no data file yet; the first start makes it"));
    }
    // Held while the file is copied, so that no server begins to write it.
    let _lock = match file::lock(dir) {
        Ok(lock) => lock,
        Err(OpenError::InUse(_)) => return (true, served(config.server.listen).await),
        Err(error) => return (false, fail("data", error.to_string(), "")),
    };
    if let Err(error) = require_room(dir, dir) {
        return (
            false,
            warn("data", format!("the file was not read: {error}"), "It is read as a copy, beside itself."),
        );
    }
    let read = NamedTempFile::new_in(dir).and_then(|copy| std::fs::copy(&path, copy.path()).map(|_| copy));
    let finding = match read.map(|copy| backup::verify(copy.path())) {
        Ok(Ok(contents)) => {
            ok("data", format!("{} records can be read, {} runs wait", contents.records, contents.pending_runs))
        }
        Ok(Err(problem)) => fail(
            "data",
            format!("{}: {problem}", path.display()),
            "Restore a backup: belfry restore FILE --force keeps this file beside it.",
        ),
        Err(error) => fail("data", format!("{} cannot be copied: {error}", path.display()), "Look at the disk."),
    };
    (false, finding)
}

/// How the server that holds the data folder is.
async fn served(listen: SocketAddr) -> Finding {
    match health(listen).await {
        Ok(()) => ok("data", "a server holds the folder, and is well"),
        Err(error) => warn(
            "data",
            format!("a server holds the folder, and at {listen} it does not say that it is well: {error:#}"),
            "Look at its log. If it listens elsewhere, set server.listen as it has it.",
        ),
    }
}

async fn health(listen: SocketAddr) -> Result<()> {
    let local = if listen.ip().is_unspecified() { SocketAddr::from(([127, 0, 0, 1], listen.port())) } else { listen };
    let client = Client::new(&format!("http://{local}"), "")?;
    let answer = tokio::time::timeout(HEALTH, client.call(Method::GET, "/healthz", None)).await;
    let answer = answer.with_context(|| format!("no answer within {HEALTH:?}"))??;
    if answer["status"] == "ok" { Ok(()) } else { bail!("it answers {answer}") }
}

/// Whether the address can be listened on, or is; `held`: a server has the data folder.
async fn port(listen: SocketAddr, held: bool) -> Finding {
    let choose = "Stop that program, or choose another address with server.listen.";
    match TcpListener::bind(listen) {
        Ok(_) if held => warn(
            "port",
            format!("{listen} is free, though a server holds the data folder"),
            "It listens elsewhere: look at its --listen and its environment.",
        ),
        Ok(_) => ok("port", format!("{listen} is free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => match (health(listen).await, held) {
            (Ok(()), true) => ok("port", format!("the server listens on {listen}")),
            (Ok(()), false) => fail("port", format!("a Belfry with another data folder listens on {listen}"), choose),
            (Err(_), _) => fail("port", format!("{listen} is taken by another program"), choose),
        },
        Err(error) => fail(
            "port",
            format!("{listen} cannot be listened on: {error}"),
            "Choose an address of this machine with server.listen; ports below 1024 need a privilege.",
        ),
    }
}

/// Where links lead.
fn addresses(config: &Config) -> Finding {
    let (listen, url) = (config.server.listen, config.server.public_url(config.server.listen));
    match &config.server.public_url {
        None if !listen.ip().is_loopback() => warn(
            "public url",
            format!("links in mail lead to {url}, which is not where recipients reach this server"),
            "Set server.public_url to the address under which others reach it.",
        ),
        Some(url) if url.starts_with("http://") && !listen.ip().is_loopback() => warn(
            "public url",
            format!("{url} is not encrypted: keys and tokens can be read on the way"),
            "Put a proxy with TLS in front, and set server.public_url to its https:// address.",
        ),
        _ => ok("public url", format!("links lead to {url}")),
    }
}

async fn clock() -> Finding {
    let clock = Clock::system();
    let (wall, watch) = (clock.now(), Stopwatch::start());
    sleep(COMPARED).await;
    let (walked, passed) = (clock.now().since(wall), watch.elapsed());
    let synchronise = "Synchronise it, with chrony or systemd-timesyncd.";
    if !(EARLIEST..LATEST).contains(&wall) {
        return fail("clock", format!("it shows {wall}, which cannot be"), synchronise);
    }
    let drift = walked.abs_diff(passed);
    if drift > DRIFT {
        return warn("clock", format!("it moved by {walked:?} while {passed:?} passed: it is being set"), synchronise);
    }
    ok("clock", format!("it shows {wall}"))
}

fn open_file_limit(sockets: usize) -> Finding {
    match open_files::room_if_too_few(sockets) {
        None => ok("open files", format!("the limit leaves room for {sockets} sockets (http.max_sockets)")),
        Some(room) => warn(
            "open files",
            format!("the limit leaves room for {room} sockets, and http.max_sockets is {sockets}"),
            "Raise the hard limit (LimitNOFILE= of systemd, --ulimit nofile= of Docker), or lower http.max_sockets.",
        ),
    }
}

fn workflows(config: &Config, checked: &CheckedWorkflows) -> Vec<Finding> {
    let faults = checked.faults.iter().map(|fault| fail("workflows", fault.to_string(), ""));
    let valid = match checked.valid.len() {
        0 if checked.faults.is_empty() => Some(warn(
            "workflows",
            format!("there is none under {}", config.workflows.dir.display()),
            "Each is a folder with a workflow.json; workflows.dir names another directory.",
        )),
        0 => None,
        count => Some(ok("workflows", format!("{count} are valid"))),
    };
    valid.into_iter().chain(faults).collect()
}

/// Whether the mail of an email channel can be signed. Whether the records are in DNS is not looked at.
fn signing(channel: &Channel, workflows: &[Checked]) -> Vec<Finding> {
    let signers = match dkim::signers(channel) {
        Ok(signers) => signers,
        Err(error) => {
            let fix = "Name a readable private key; `openssl genrsa 2048` makes one.";
            return vec![fail("dkim", format!("{error:#}"), fix)];
        }
    };
    let names: Vec<String> = signers.iter().map(|signer| signer.record().0).collect();
    let signs = format!("channel `{}` signs with the key of {}", channel.key, names.join(", "));
    let signs = (!names.is_empty()).then(|| ok("dkim", signs));
    let unsigned = dkim::unsigned(channel, &signers, workflows);
    signs.into_iter().chain(unsigned.iter().map(|notice| warn("dkim", notice.to_string(), ""))).collect()
}

/// Whether the mail server lets us in. Nothing is sent.
async fn mail_server(key: &str, settings: &SmtpSettings, config: &Config, no_network: bool) -> Finding {
    let server = format!("channel `{key}`: {}:{}", settings.host, settings.port);
    if no_network {
        return ok("mail", format!("{server} was not tried"));
    }
    let limits = Limits { connect_timeout: config.delivery.connect_timeout, timeout: config.delivery.timeout };
    let entered = match Smtp::new(settings, Signers::default(), limits) {
        Ok(smtp) => smtp.try_login().await,
        Err(problem) => Err(problem),
    };
    let login = settings.credentials.as_ref().map(|login| format!(" as {}", login.username)).unwrap_or_default();
    match entered {
        Ok(()) if settings.tls == Tls::None && settings.credentials.is_some() => warn(
            "mail",
            format!("{server} lets us in{login}, and the password goes in the clear"),
            "Set tls = \"starttls\" or \"tls\" if the server has it.",
        ),
        Ok(()) => ok("mail", format!("{server} lets us in{login}")),
        Err(problem) => fail(
            "mail",
            format!("{server} does not let us in{login}: {problem}"),
            "Check host, port, tls, username and password of the channel, and that this machine may connect there.",
        ),
    }
}
