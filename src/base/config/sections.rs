//! The sections with fixed keys: their settings, defaults and limits. `config/default.toml` says what each is for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;
use serde::Serialize;

use super::choice::choice;
use super::fault::Wrong;
use super::keep::Keep;
use super::secret::Secret;
use super::section::Section;
use super::setting::Setting;
use super::span;

/// `[server]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Server {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// What `Server::public_url` answers, if it was configured; without a slash at its end.
    pub public_url: Option<String>,
    /// Where the store and the generated keys are.
    pub data_dir: PathBuf,
    /// Whether the dev endpoints (mailbox and clock) exist.
    pub dev: bool,
}

impl Server {
    /// The base of links that recipients follow. `bound` is the address that the server listens on, which only the
    /// socket knows when the configured port is 0.
    pub fn public_url(&self, bound: SocketAddr) -> String {
        if let Some(url) = &self.public_url {
            return url.clone();
        }
        // The unspecified address is for listening; nobody can connect to it everywhere.
        let ip = match bound.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            ip => ip,
        };
        format!("http://{}", SocketAddr::new(ip, bound.port()))
    }

    pub(super) fn read(section: &mut Section<'_>) -> Self {
        Self {
            listen: section.get_or("listen", SocketAddr::from(([127, 0, 0, 1], 8650))),
            public_url: section.get("public_url").map(|BaseUrl(url)| url),
            data_dir: section.get_or("data_dir", PathBuf::from("belfry-data")),
            dev: section.get_or("dev", false),
        }
    }
}

/// An absolute URL to which paths can be appended.
struct BaseUrl(String);

impl Setting for BaseUrl {
    fn read(value: &super::tree::Value) -> Result<Self, Wrong> {
        let text = value.text("a URL")?;
        let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")).unwrap_or("");
        let strange = |c: char| !c.is_ascii_graphic() || "?#\"<>\\".contains(c);
        if host.is_empty() || host.starts_with('/') || host.contains(strange) {
            let problem = format!("`{}` is not the base of URLs", text.escape_debug());
            return Err(Wrong::new(problem, "Write for example \"https://belfry.example\", without a query."));
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }
}

/// `[auth]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Auth {
    /// Keys of backends, each `sk_...`; they count besides those in the store.
    pub secret_keys: Vec<Secret>,
    /// Keys of browsers, each `pk_...`; they count besides those in the store.
    pub public_keys: Vec<String>,
    /// The PEM file with the public key that user tokens are checked with.
    pub signing_public_key: Option<PathBuf>,
    /// Whether a public key needs a user token. Without a signing key no public key is let in then.
    pub enhanced_security: bool,
}

impl Auth {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let auth = Self {
            secret_keys: section.get_or("secret_keys", Vec::new()),
            public_keys: section.get_or("public_keys", Vec::new()),
            signing_public_key: section.get("signing_public_key"),
            enhanced_security: section.get_or("enhanced_security", true),
        };
        // A secret key under `public_keys` would be served to browsers.
        let strangers = auth.secret_keys.iter().filter(|key| !is_key(key.expose(), "sk_")).count();
        section.check("secret_keys", strangers == 0, || not_keys(strangers, "sk_"));
        let strangers = auth.public_keys.iter().filter(|key| !is_key(key, "pk_")).count();
        section.check("public_keys", strangers == 0, || not_keys(strangers, "pk_"));
        auth
    }
}

fn is_key(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty()) && text.bytes().all(|b| b.is_ascii_graphic())
}

/// The report names no key: it may be a secret in the wrong place.
fn not_keys(count: usize, prefix: &str) -> Wrong {
    let problem = format!("{count} of the keys do not begin with `{prefix}`");
    Wrong::new(problem, format!("Each key is `{prefix}` and visible ASCII characters."))
}

choice! {
    /// The language of workflow templates.
    TemplateEngine("template engine") {
        /// Handlebars.
        Handlebars = "handlebars",
        /// Liquid, as Knock's own.
        Liquid = "liquid",
    }
}

/// `[workflows]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Workflows {
    /// The directory with `<key>/workflow.json`.
    pub dir: PathBuf,
    /// The directory with `<key>/layout.json`.
    pub layouts_dir: PathBuf,
    /// The directory with `<key>/partial.json`.
    pub partials_dir: PathBuf,
    /// The directory with `<locale>/<locale>.json`.
    pub translations_dir: PathBuf,
    /// The locale of those who say nothing.
    pub default_locale: String,
    /// The language of templates that do not name one.
    pub template_engine: TemplateEngine,
}

impl Workflows {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let dir = section.get_or("dir", PathBuf::from("config/workflows"));
        Self {
            layouts_dir: section.get_or("layouts_dir", dir.with_file_name("layouts")),
            partials_dir: section.get_or("partials_dir", dir.with_file_name("partials")),
            translations_dir: section.get_or("translations_dir", dir.with_file_name("translations")),
            dir,
            default_locale: section.get_or("default_locale", "en".to_owned()),
            template_engine: section.get_or("template_engine", TemplateEngine::Handlebars),
        }
    }
}

/// `[http]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Http {
    /// The largest request body, in bytes.
    pub max_body_bytes: usize,
    /// Worker threads; 0: one a core.
    pub workers: usize,
    /// Sockets that may be open at once.
    pub max_sockets: usize,
    /// Feeds that one user may have joined at once, over all of the user's sockets.
    pub max_feeds_per_user: usize,
    /// The origins of web pages that may call; `*` means all.
    pub allowed_origins: Vec<String>,
}

impl Http {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let http = Self {
            max_body_bytes: section.get_or("max_body_bytes", 10 * 1024 * 1024),
            workers: section.get_or("workers", 0),
            max_sockets: section.get_or("max_sockets", 10_000),
            max_feeds_per_user: section.get_or("max_feeds_per_user", 100),
            allowed_origins: match section.get::<Vec<WebOrigin>>("allowed_origins") {
                None => vec!["*".to_owned()],
                Some(origins) => origins.into_iter().map(|WebOrigin(origin)| origin).collect(),
            },
        };
        within(section, "max_body_bytes", http.max_body_bytes, 1_024, 1 << 30);
        within(section, "workers", http.workers, 0, 1_024);
        within(section, "max_sockets", http.max_sockets, 0, 10_000_000);
        within(section, "max_feeds_per_user", http.max_feeds_per_user, 1, 10_000_000);
        http
    }
}

/// The origin of a web page as browsers write it, or `*`.
struct WebOrigin(String);

impl Setting for WebOrigin {
    fn read(value: &super::tree::Value) -> Result<Self, Wrong> {
        let text = value.text("a web page's origin")?.to_ascii_lowercase();
        let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")).unwrap_or("");
        let strange = |c: char| !c.is_ascii_graphic() || "/?#@*\"<>\\".contains(c);
        if text == "*" || (!host.is_empty() && !host.contains(strange)) {
            return Ok(Self(text));
        }
        let problem = format!("`{}` is not the origin of web pages", text.escape_debug());
        Err(Wrong::new(problem, "Write scheme, host and port only, such as \"https://app.example\", or \"*\" for all."))
    }
}

/// `[engine]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Engine {
    /// A run that will sleep longer than this gives up its actor until it is due.
    #[serde(serialize_with = "span::serialize")]
    pub park_after: Duration,
    /// Run actors alive at the same time.
    pub max_active_runs: usize,
    /// How late a run or a message may be before the log names it.
    #[serde(serialize_with = "span::serialize")]
    pub overdue_warning: Duration,
    /// An occurrence of a schedule that is later than this is missed: nothing is triggered, and the schedule goes on with
    /// the next one.
    #[serde(serialize_with = "span::serialize")]
    pub missed_after: Duration,
    /// Of recipients who have none, and whose tenant has none.
    pub timezone: ZoneName,
}

/// The name of a time zone that is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ZoneName(String);

impl ZoneName {
    /// The zone of that name.
    pub fn zone(&self) -> TimeZone {
        TimeZone::get(&self.0).unwrap_or(TimeZone::UTC)
    }
}

impl Setting for ZoneName {
    fn read(value: &super::tree::Value) -> Result<Self, Wrong> {
        let name = value.text("the name of a time zone")?;
        TimeZone::get(name).map(|_| Self(name.to_owned())).map_err(|_| {
            let problem = format!("`{}` is not the name of a time zone", name.escape_debug());
            Wrong::new(problem, "Write for example \"Europe/Berlin\".")
        })
    }
}

impl Engine {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let engine = Self {
            park_after: section.get_or("park_after", Duration::from_secs(30)),
            max_active_runs: section.get_or("max_active_runs", 4_096),
            overdue_warning: section.get_or("overdue_warning", Duration::from_secs(10)),
            missed_after: section.get_or("missed_after", Duration::from_secs(3_600)),
            timezone: section.get_or("timezone", ZoneName("Etc/UTC".to_owned())),
        };
        section.check("overdue_warning", !engine.overdue_warning.is_zero(), || {
            Wrong::new("no time at all: every run would be named", "Write for example \"10s\".")
        });
        section.check("missed_after", !engine.missed_after.is_zero(), || {
            Wrong::new("no time at all: every occurrence would be missed", "Write for example \"1h\".")
        });
        within(section, "max_active_runs", engine.max_active_runs, 1, 1_000_000);
        engine
    }
}

/// `[delivery]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Delivery {
    /// Deliveries at the same time on one channel: also the most duplicates that a crash can cause on it.
    pub concurrency: usize,
    /// How long a provider may take to accept a connection.
    #[serde(serialize_with = "span::serialize")]
    pub connect_timeout: Duration,
    /// How long one delivery may take as a whole.
    #[serde(serialize_with = "span::serialize")]
    pub timeout: Duration,
}

impl Delivery {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let delivery = Self {
            concurrency: section.get_or("concurrency", 16),
            connect_timeout: section.get_or("connect_timeout", Duration::from_secs(5)),
            timeout: section.get_or("timeout", Duration::from_secs(30)),
        };
        within(section, "concurrency", delivery.concurrency, 1, 1_024);
        for (key, span) in [("connect_timeout", delivery.connect_timeout), ("timeout", delivery.timeout)] {
            section.check(key, !span.is_zero(), || {
                Wrong::new("no time at all: every delivery would fail", "Write for example \"30s\".")
            });
        }
        delivery
    }
}

/// `[fetch]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fetch {
    /// Whether fetches may go to addresses that only this machine or its network reaches.
    pub allow_private_addresses: bool,
    /// How long one request may take as a whole.
    #[serde(serialize_with = "span::serialize")]
    pub timeout: Duration,
    /// The largest answer, in bytes.
    pub max_response_bytes: usize,
    /// Requests at the same time.
    pub concurrency: usize,
}

impl Fetch {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let fetch = Self {
            allow_private_addresses: section.get_or("allow_private_addresses", false),
            timeout: section.get_or("timeout", Duration::from_secs(15)),
            max_response_bytes: section.get_or("max_response_bytes", 1 << 20),
            concurrency: section.get_or("concurrency", 256),
        };
        section.check("timeout", !fetch.timeout.is_zero(), || {
            Wrong::new("no time at all: every fetch would fail", "Write for example \"15s\".")
        });
        within(section, "max_response_bytes", fetch.max_response_bytes, 1, 1 << 20);
        within(section, "concurrency", fetch.concurrency, 1, 10_000);
        fetch
    }
}

/// `[retention]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Retention {
    /// Runs that have ended, from their end on, and what happened to them.
    pub runs: Keep,
    /// Messages, their attempts, what was done with them, and their places in feeds.
    pub messages: Keep,
    /// Captured mail.
    pub captured_mail: Keep,
    /// What bulk operations came to.
    pub bulk_operations: Keep,
}

impl Retention {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let days = |days: u64| Keep::For(Duration::from_secs(days * 86_400));
        let retention = Self {
            runs: section.get_or("runs", days(90)),
            messages: section.get_or("messages", days(90)),
            captured_mail: section.get_or("captured_mail", Keep::Forever),
            bulk_operations: section.get_or("bulk_operations", days(1)),
        };
        section.check("runs", retention.runs >= retention.messages, || {
            Wrong::new(
                "shorter than retention.messages: messages are shown with the data of their runs",
                "Keep runs at least as long as messages.",
            )
        });
        retention
    }
}

choice! {
    /// The least severe events that are logged.
    LogLevel("log level") {
        /// Failures that need someone.
        Error = "error",
        /// And what may become one.
        Warn = "warn",
        /// And what happens.
        Info = "info",
        /// And why it happens.
        Debug = "debug",
        /// And every step.
        Trace = "trace",
    }
}

choice! {
    /// The form of log lines.
    LogFormat("log format") {
        /// Pretty with `server.dev`, JSON otherwise.
        Auto = "auto",
        /// For people.
        Pretty = "pretty",
        /// For machines: one object a line.
        Json = "json",
    }
}

impl LogFormat {
    /// Whether to log JSON; `dev` is `server.dev`.
    pub fn is_json(self, dev: bool) -> bool {
        match self {
            Self::Auto => !dev,
            Self::Pretty => false,
            Self::Json => true,
        }
    }
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Log {
    /// What is logged.
    pub level: LogLevel,
    /// In which form.
    pub format: LogFormat,
}

impl Log {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        Self { level: section.get_or("level", LogLevel::Info), format: section.get_or("format", LogFormat::Auto) }
    }
}

fn within(section: &mut Section<'_>, key: &'static str, value: usize, least: usize, most: usize) {
    section.check(key, (least..=most).contains(&value), || {
        Wrong::new(format!("{value} is out of range"), format!("Choose from {least} to {most}."))
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_without_a_public_url_lead_to_the_address_that_was_bound() {
        let mut server = Server {
            listen: SocketAddr::from(([0, 0, 0, 0], 0)),
            public_url: None,
            data_dir: PathBuf::new(),
            dev: false,
        };
        assert_eq!(server.public_url(SocketAddr::from(([0, 0, 0, 0], 4321))), "http://127.0.0.1:4321");
        assert_eq!(server.public_url("[::]:4321".parse().unwrap()), "http://[::1]:4321");
        server.public_url = Some("https://belfry.example".into());
        assert_eq!(server.public_url(SocketAddr::from(([0, 0, 0, 0], 4321))), "https://belfry.example");
    }

    #[test]
    fn auto_logs_json_unless_in_dev() {
        assert!(LogFormat::Auto.is_json(false));
        assert!(!LogFormat::Auto.is_json(true));
        assert!(LogFormat::Json.is_json(true));
    }
}
