//! The wiring: every floor into one running server, in the order in which each needs the other, and back again.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix::{Actor, Addr, Arbiter};
use actix_http::HttpService;
use actix_service::map_config;
use actix_web::dev::{AppConfig, Server, ServerHandle};
use actix_web::middleware::{NormalizePath, TrailingSlash, from_fn};
use actix_web::rt::net::TcpStream;
use actix_web::{App, web};
use anyhow::{Context, Result, bail};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::sync::Semaphore;

use super::console::say_line;
use super::housekeeping::keep_trimming;
use super::keys::{self, Shown};
use super::watchdog::Watchdog;
use super::{channels, dkim, link_key, open_files, vars, workflow_dir};
use crate::base::clock::{Clock, sleep};
use crate::base::config::{Config, Provider, TemplateEngine};
use crate::base::deps::{Deps, Offload};
use crate::base::ids::{ChannelId, Entropy, IdSource};
use crate::base::mail::tell;
use crate::base::work::Work;
use crate::delivery::courier::{Courier, Drain, Way};
use crate::delivery::fetcher::HttpFetcher;
use crate::delivery::mailbox::Mailbox;
use crate::delivery::smtp::{Limits, Smtp};
use crate::engine::catalog::{Catalog, Checked};
use crate::engine::publishing::{self, Directory, Found, Reading};
use crate::engine::registry::{DrainRuns, Recovered, Registry};
use crate::engine::scheduler::{DrainSchedules, Scheduler};
use crate::engine::shelf::Shelf;
use crate::engine::trigger::Intake;
use crate::engine::{Engine, fan_out};
use crate::feed::hub::{DismissAll, Hub};
use crate::http::cors::AllowedOrigins;
use crate::http::user_token::Verifier;
use crate::http::{self, State, access_log, socket, upgrade};
use crate::model::fault::Fault;
use crate::model::library::LibraryFiles;
use crate::model::link::Links;
use crate::model::notice::{Notice, Remark};
use crate::model::preferences::PreferenceSet;
use crate::model::workflow::Engine as TemplateLanguage;
use crate::store::{self, OpenError, Store, StoreError};

/// How long a shutdown waits for requests, steps and sends that are under way.
const DRAIN: Duration = Duration::from_secs(10);
/// How often histograms are folded, whether or not anybody reads them.
const UPKEEP: Duration = Duration::from_secs(5);
/// How often the central actors are looked after.
const CHECKUP: Duration = Duration::from_secs(1);

/// Where workflows come from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Workflows {
    /// `workflows.dir` of the configuration.
    Directory,
    /// The starters inside the binary.
    Starters,
}

/// A server that runs.
pub struct Running {
    /// Where it listens.
    pub url: String,
    /// Keys that were made just now.
    pub shown: Shown,
    /// The published workflows.
    pub workflows: Vec<String>,
    /// Runs that a last process left waiting.
    pub recovered: usize,
    pub store: Store,
    state: web::Data<State>,
    registry: Addr<Registry>,
    courier: Addr<Courier>,
    deps: Arc<Deps>,
    http: ServerHandle,
    arbiters: Vec<Arbiter>,
}

/// Starts a server. Must be called inside an actix system. A data file of which a start reads something damaged is
/// refused.
pub async fn start(config: &Config, workflows: Workflows) -> Result<Running> {
    let started = start_from(config, workflows).await;
    started.map_err(|error| match error.downcast_ref() {
        Some(StoreError::Damaged { .. }) => {
            let problem = error.root_cause().to_string();
            OpenError::Unreadable(config.server.data_dir.join(store::file::FILE), problem).into()
        }
        _ => error,
    })
}

async fn start_from(config: &Config, workflows: Workflows) -> Result<Running> {
    open_files::raise(config.http.max_sockets);
    // Before any actor: what it counts as it starts would be lost.
    let metrics = metrics_recorder();
    // The port first: a second server on it must fail before it touches anything.
    let listener = bind(config.server.listen)?;
    let address = listener.local_addr()?;
    let store = Store::open(&config.server.data_dir, store::Settings::default())?;
    let clock = if config.server.dev { Clock::virtual_clock() } else { Clock::system() };
    let deps = Arc::new(Deps { clock, ids: IdSource::new(Entropy::Os), work: Work::default(), offload: Offload::Pool });
    let (keys, shown) = keys::accepted(config, &store, deps.clock.now()).await?;
    let catalog = bare_catalog(config);
    catalog.load_switches(&store)?;
    let directory = directory(config, workflows);
    let publication = publishing::publish(&catalog, &store, Reading::of(&catalog, directory())).await;
    publication.context("a workflow could not be stored")?.log();
    let recovered = Recovered::scan(&store)?;
    let waiting = recovered.len();

    let arbiters = vec![Arbiter::new(), Arbiter::new(), Arbiter::new(), Arbiter::new()];
    let hub = {
        let (deps, store, most) = (Arc::clone(&deps), store.clone(), config.http.max_feeds_per_user);
        Hub::start_in_arbiter(&arbiters[2].handle(), move |_| Hub::new(deps, store, most))
    };
    let ways = ways(config, &hub)?;
    let courier = {
        let (deps, store, concurrency) = (Arc::clone(&deps), store.clone(), config.delivery.concurrency);
        Courier::start_in_arbiter(&arbiters[0].handle(), move |_| Courier::new(deps, store, ways, concurrency))
    };
    let engine = Arc::new(Engine {
        deps: Arc::clone(&deps),
        store: store.clone(),
        catalog,
        channels: channels::as_engine_sees(config)?,
        vars: config.vars.clone(),
        links: Links::new(config.server.public_url(address), &link_key::of(&store).await?),
        preferences: preferences(config)?,
        park_after: config.engine.park_after,
        missed_after: config.engine.missed_after,
        max_active: config.engine.max_active_runs,
        spread_at_once: fan_out::PORTION,
        deliver: courier.clone().recipient(),
        publish: hub.clone().recipient(),
        zone: config.engine.timezone.zone(),
        directory,
        reloading: tokio::sync::Mutex::default(),
        fetcher: Arc::new(HttpFetcher::new(&config.fetch).context("fetches cannot use TLS")?),
    });
    let registry = {
        let engine = Arc::clone(&engine);
        Registry::start_in_arbiter(&arbiters[1].handle(), move |_| Registry::new(engine, recovered))
    };
    let published = engine.catalog.keys();
    let intake = Intake::new(engine, registry.clone());
    let scheduler = {
        let intake = intake.clone();
        Scheduler::start_in_arbiter(&arbiters[1].handle(), move |_| Scheduler::new(intake))
    };
    let state = web::Data::new(State {
        intake,
        scheduler,
        courier: courier.clone(),
        hub,
        sockets: Arc::new(Semaphore::new(config.http.max_sockets)),
        keys,
        user_tokens: user_tokens(config)?,
        enhanced_security: config.auth.enhanced_security,
        allowed_origins: AllowedOrigins::new(&config.http.allowed_origins),
        max_body_bytes: config.http.max_body_bytes,
        data_dir: config.server.data_dir.clone(),
        backups: Arc::new(Semaphore::new(1)),
        dev: config.server.dev,
        demo_key: config.auth.public_keys.first().or(shown.public.as_ref()).cloned(),
        metrics,
        accepting: true.into(),
    });
    let watchdog = Watchdog::new(&state.intake, courier.clone(), config.engine.overdue_warning);
    arbiters[3].spawn(watchdog.watch());
    arbiters[3].spawn(keep_trimming(store.clone(), deps.clock.clone(), config.retention.clone()));
    finish_removals(&store);
    let http = serve(config, listener, &state)?;
    Ok(Running {
        url: format!("http://{address}"),
        shown,
        workflows: published,
        recovered: waiting,
        store,
        state,
        registry,
        courier,
        deps,
        http,
        arbiters,
    })
}

impl Running {
    /// What its actors share.
    pub fn engine(&self) -> Arc<Engine> {
        Arc::clone(&self.state.intake.engine)
    }

    /// Resolves when an actor that all runs depend on is gone, which only a panic of its own can cause. The process
    /// must end then: it would take triggers and do nothing with them.
    pub async fn crippled(&self) -> &'static str {
        loop {
            if !self.registry.connected() {
                return "registry";
            }
            if !self.courier.connected() {
                return "courier";
            }
            if !self.state.scheduler.connected() {
                return "scheduler";
            }
            if !self.state.hub.connected() {
                return "hub";
            }
            sleep(CHECKUP).await;
        }
    }

    /// Stops in the order that loses nothing and waits for little: take no more work, send sockets away, let requests
    /// end, let runs and sends that are under way end, close the store.
    pub async fn stop(self) {
        self.state.accepting.store(false, Ordering::SeqCst);
        tell(&self.state.hub, DismissAll);
        tell(&self.state.scheduler, DrainSchedules);
        tell(&self.registry, DrainRuns);
        tell(&self.courier, Drain);
        self.http.stop(true).await;
        if tokio::time::timeout(DRAIN, self.deps.work.settled()).await.is_err() {
            tracing::warn!("some sends did not end in time; they are made again at the next start");
        }
        let (store, arbiters) = (self.store.clone(), self.arbiters);
        // Blocks while the last group commits, and until the actors' threads have ended.
        let closed = web::block(move || {
            store.close();
            for arbiter in arbiters {
                arbiter.stop();
                // An arbiter that panicked was reported by its actor's end.
                let _ = arbiter.join();
            }
        });
        let _ = closed.await;
    }
}

/// Goes on with deletions that the last process did not finish.
fn finish_removals(store: &Store) {
    let store = store.clone();
    actix_web::rt::spawn(async move {
        if let Err(error) = store.finish_removals().await {
            store.report(&error);
            tracing::error!(%error, "what deleted recipients left rests until the next start");
        }
    });
}

/// The preferences of those who did not say otherwise.
fn preferences(config: &Config) -> Result<PreferenceSet> {
    let mut faults = Vec::new();
    let set = PreferenceSet::from_json("preferences", &config.preferences.clone().into(), &mut faults);
    let faults: Vec<String> = faults.iter().map(|fault| format!("{}: {}", fault.field, fault.message)).collect();
    if faults.is_empty() { Ok(set) } else { bail!("{}", faults.join("\n")) }
}

/// What user tokens are checked with.
pub fn user_tokens(config: &Config) -> Result<Option<Verifier>> {
    let Some(path) = &config.auth.signing_public_key else { return Ok(None) };
    let wrong = || format!("auth.signing_public_key: {}", path.display());
    let pem = std::fs::read_to_string(path).with_context(wrong)?;
    Verifier::new(&pem).with_context(wrong).map(Some)
}

fn bind(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => anyhow::anyhow!(
            "{address} is taken by another program. Stop it, or choose another address with --listen or server.listen"
        ),
        _ => anyhow::anyhow!(
            "cannot listen on {address}: {error}. Choose another address with --listen or server.listen"
        ),
    })
}

fn serve(config: &Config, listener: TcpListener, state: &web::Data<State>) -> Result<ServerHandle> {
    let app_state = state.clone();
    let app = move || {
        let state = app_state.clone();
        let app = App::new()
            .app_data(state.clone())
            .wrap(from_fn(access_log::observe))
            // A host that was configured with a slash at its end makes paths begin with two.
            .wrap(NormalizePath::new(TrailingSlash::MergeOnly))
            .configure(|config| http::routes(config, &state.allowed_origins));
        map_config(app, |()| AppConfig::default())
    };
    let mut server = Server::build().disable_signals().shutdown_timeout(DRAIN.as_secs());
    if config.http.workers > 0 {
        server = server.workers(config.http.workers);
    }
    let stopping = server.graceful_shutdown_signal();
    // What actix-web's own server does, which has no place for `upgrade`.
    let server = server.listen("http", listener, move || {
        let stopping = stopping.clone();
        HttpService::build()
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
            .client_disconnect_timeout(upgrade::LINGER)
            .on_connect_ext(|stream, _| end_when_unread(stream))
            .upgrade(upgrade::service(app()))
            .finish(app())
            .tcp()
    })?;
    let server = server.run();
    let handle = server.handle();
    let metrics = state.metrics.clone();
    actix_web::rt::spawn(server);
    actix_web::rt::spawn(async move {
        loop {
            sleep(UPKEEP).await;
            metrics.run_upkeep();
        }
    });
    Ok(handle)
}

/// A peer that reads nothing of what it was sent loses its connection: nothing else ends a socket whose client is alive
/// and does not read, since its session does not run while it has something to write.
fn end_when_unread(connection: &TcpStream) {
    if let Err(error) = socket2::SockRef::from(connection).set_tcp_user_timeout(Some(socket::UNREAD)) {
        tracing::debug!(%error, "a connection has no limit on how long it may be left unread");
    }
}

/// The process's metrics; a second server in one process has its own, empty ones.
fn metrics_recorder() -> PrometheusHandle {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    if metrics::set_global_recorder(recorder).is_err() {
        tracing::debug!("metrics are counted by the first server of this process");
    }
    handle
}

/// The language of templates that do not say theirs.
pub fn language(config: &Config) -> TemplateLanguage {
    match config.workflows.template_engine {
        TemplateEngine::Handlebars => TemplateLanguage::Handlebars,
        TemplateEngine::Liquid => TemplateLanguage::Liquid,
    }
}

fn ways(config: &Config, hub: &Addr<Hub>) -> Result<Vec<(ChannelId, Way)>> {
    let limits = Limits { connect_timeout: config.delivery.connect_timeout, timeout: config.delivery.timeout };
    let mut ways = Vec::new();
    for channel in &config.channels {
        let signers = dkim::signers(channel)?;
        let way = match &channel.provider {
            Provider::Smtp(settings) => Way::Email(Arc::new(
                Smtp::new(settings, signers, limits)
                    .map_err(|why| anyhow::anyhow!("channel `{}` cannot use TLS: {why}", channel.key))?,
            )),
            Provider::Mailbox(email) => Way::Email(Arc::new(Mailbox { from: email.from.clone(), signers })),
            Provider::InAppFeed(_) => Way::Feed(hub.clone().recipient()),
        };
        ways.push((channel.id, way));
    }
    Ok(ways)
}

/// A catalog without workflows, and without what they share.
fn bare_catalog(config: &Config) -> Catalog {
    let catalog = Catalog::new(channels::types(config), language(config));
    catalog.shelve(Shelf::bare(&config.workflows.default_locale), &BTreeMap::new());
    catalog
}

/// A catalog without workflows, which knows the layouts, partials and translations on disk; and what is told of these.
pub fn catalog(config: &Config) -> (Catalog, Vec<Remark>, Vec<Fault>) {
    let catalog = bare_catalog(config);
    let (shelf, remarks, faults) = Shelf::read(&workflow_dir::read_library(&config.workflows), &catalog.shelf());
    catalog.shelve(shelf, &BTreeMap::new());
    (catalog, remarks, faults)
}

/// What is read when workflows are published.
fn directory(config: &Config, workflows: Workflows) -> Directory {
    match workflows {
        Workflows::Starters => Box::new(|| Found { workflows: workflow_dir::starters(), ..Found::default() }),
        Workflows::Directory => {
            let dirs = config.workflows.clone();
            Box::new(move || {
                let (workflows, unread) = workflow_dir::read(&dirs.dir);
                Found { workflows, unread, library: workflow_dir::read_library(&dirs) }
            })
        }
    }
}

/// What came of checking the workflows of a directory.
pub struct CheckedWorkflows {
    pub valid: Vec<Checked>,
    /// Of the layouts and partials that they share.
    pub remarks: Vec<Remark>,
    pub faults: Vec<Fault>,
}

/// Checks the workflows under `config.workflows.dir` without a server.
pub fn check_workflows(config: &Config) -> CheckedWorkflows {
    let (catalog, remarks, mut faults) = catalog(config);
    let (found, faulty) = workflow_dir::read(&config.workflows.dir);
    faults.extend(faulty);
    let mut checked = CheckedWorkflows { valid: Vec::new(), remarks, faults };
    for files in &found {
        match catalog.check(files) {
            Ok(valid) => checked.valid.push(valid),
            Err(faults) => checked.faults.extend(faults),
        }
    }
    checked
}

/// Checks the same and prints what it finds; fails on faults. Where the vars are those of a developer's server, which are
/// examples, nothing is said of them.
pub fn validate(config: &Config, has_own_vars: bool) -> Result<()> {
    let CheckedWorkflows { valid, mut remarks, faults } = check_workflows(config);
    if has_own_vars {
        remarks.extend(unset_vars(config).into_iter().map(Remark::from));
    }
    if valid.is_empty() && faults.is_empty() {
        let dir = &config.workflows.dir;
        bail!("there is no workflow under {}. {}", dir.display(), workflow_dir::how_to_begin(dir));
    }
    for Checked { published, remarks } in &valid {
        let steps = published.workflow.steps.len();
        let plural = if steps == 1 { "" } else { "s" };
        say_line!("{}: valid, {steps} step{plural}", published.workflow.key);
        remarks.iter().for_each(|remark| say_line!("  note: {remark}"));
    }
    remarks.iter().for_each(|remark| say_line!("note: {remark}"));
    faults.iter().for_each(|fault| say_line!("fault: {fault}"));
    match faults.len() {
        0 => Ok(()),
        1 => bail!("1 fault in {}", config.workflows.dir.display()),
        count => bail!("{count} faults in {}", config.workflows.dir.display()),
    }
}

/// A notice for each var that something in the directories names and the configuration does not set.
fn unset_vars(config: &Config) -> Vec<Notice> {
    let (workflows, _) = workflow_dir::read(&config.workflows.dir);
    let LibraryFiles { layouts, partials, translations, .. } = workflow_dir::read_library(&config.workflows);
    let kinds = [("", workflows), ("layouts/", layouts), ("partials/", partials), ("translations/", translations)];
    let files = kinds.iter().flat_map(|(prefix, folders)| folders.iter().map(move |folder| (prefix, folder)));
    let texts = files.flat_map(|(prefix, folder)| {
        folder.files.iter().map(move |(name, text)| (format!("{prefix}{}/{name}", folder.key), text.as_str()))
    });
    vars::notices(texts, |name| config.vars.contains_key(name))
}
