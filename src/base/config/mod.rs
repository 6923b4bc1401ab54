//! The configuration: defaults < file < environment < flags, typed, with every fault reported at once.
//!
//! The layers are laid over each other as untyped tables that remember their origin (`tree`), and then read once into
//! types (`section`, `setting`). What is not text, such as whether a directory exists, is left to those who use it.

mod channel;
mod choice;
mod dkim;
mod email;
mod environment;
mod fault;
mod keep;
mod overrides;
mod secret;
mod section;
mod sections;
mod sender;
mod setting;
mod span;
mod tree;

use std::ffi::OsString;
use std::path::Path;

use serde::Serialize;

pub use channel::{Channel, ChannelKind, Credentials, FeedSettings, Provider, ProviderName, SmtpSettings, Tls};
pub use dkim::{DkimSettings, is_aligned};
pub use email::{AddressingSettings, EmailSettings, TrackingSettings};
pub use fault::{ConfigError, ConfigErrors, Origin, Wrong};
pub use keep::Keep;
pub use overrides::Overrides;
pub use secret::Secret;
pub use sections::{
    Auth, Delivery, Engine, Fetch, Http, Log, LogFormat, LogLevel, Retention, Server, TemplateEngine, Workflows,
};
pub use sender::Sender;

use section::Section;
use tree::{Table, Value};

/// The whole configuration.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Config {
    /// `[server]`
    pub server: Server,
    /// `[auth]`
    pub auth: Auth,
    /// `[workflows]`
    pub workflows: Workflows,
    /// `[http]`
    pub http: Http,
    /// `[engine]`
    pub engine: Engine,
    /// `[delivery]`
    pub delivery: Delivery,
    /// `[fetch]`
    pub fetch: Fetch,
    /// `[retention]`
    pub retention: Retention,
    /// `[log]`
    pub log: Log,
    /// `[vars]`: what templates see as `vars`.
    pub vars: serde_json::Map<String, serde_json::Value>,
    /// `[preferences]`: what recipients prefer who did not say otherwise, in Knock's form. Whether it is one is seen
    /// where it is used.
    pub preferences: serde_json::Map<String, serde_json::Value>,
    /// `[[channels]]`, in the order of the file; their keys and ids are unique.
    pub channels: Vec<Channel>,
}

impl Config {
    /// The file layer of `belfry dev`: its name and text, for `from_layers`.
    pub const DEV: (&'static str, &'static str) = ("belfry dev", include_str!("dev.toml"));

    /// `config/default.toml`: every key with its default and what it is for, and two example channels.
    pub fn default_toml() -> &'static str {
        include_str!("../../../config/default.toml")
    }

    /// The configuration of `file`, this process's environment and `overrides`.
    pub fn load(file: Option<&Path>, overrides: &Overrides) -> Result<Self, ConfigErrors> {
        let environment = process_environment()?;
        let Some(path) = file else { return Self::from_layers(None, environment, overrides) };
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| {
            let wrong = Wrong::new(format!("cannot be read: {error}"), "Name a readable TOML file.");
            let origin = Origin::File { name: name.clone(), line: 0 };
            ConfigErrors::new(vec![ConfigError::new(origin, "", wrong)])
        })?;
        Self::from_layers(Some((&name, &text)), environment, overrides)
    }

    /// The configuration of `belfry dev`: dev endpoints on, mail captured, the channel ids of `config/default.toml`.
    pub fn load_dev(overrides: &Overrides) -> Result<Self, ConfigErrors> {
        Self::from_layers(Some(Self::DEV), process_environment()?, overrides)
    }

    /// Lays the layers over each other: `file` is a name for reports and a text. Variables without the prefix
    /// `BELFRY__` are ignored.
    pub fn from_layers(
        file: Option<(&str, &str)>,
        environment: impl IntoIterator<Item = (String, String)>,
        overrides: &Overrides,
    ) -> Result<Self, ConfigErrors> {
        let (name, text) = file.unwrap_or(("", ""));
        let mut root = tree::from_toml(name, text).map_err(ConfigErrors::new)?;
        let mut errors = Vec::new();
        environment::apply(&mut root, environment.into_iter(), &mut errors);
        overrides.apply(&mut root, &mut errors);
        let origin = Origin::File { name: name.to_owned(), line: 0 };
        let mut root = Section::new("", origin, root, &mut errors);
        let config = Self::read(&mut root);
        root.finish();
        if errors.is_empty() { Ok(config) } else { Err(ConfigErrors::new(errors)) }
    }

    fn read(root: &mut Section<'_>) -> Self {
        Self {
            server: root.section("server", Server::read),
            auth: root.section("auth", Auth::read),
            workflows: root.section("workflows", Workflows::read),
            http: root.section("http", Http::read),
            engine: root.section("engine", Engine::read),
            delivery: root.section("delivery", Delivery::read),
            fetch: root.section("fetch", Fetch::read),
            retention: root.section("retention", Retention::read),
            log: root.section("log", Log::read),
            vars: root.section("vars", read_vars),
            preferences: root.section("preferences", |section| json_object(&section.take_all())),
            channels: channel::read_all(root),
        }
    }

    /// The effective configuration as a file would write it, with secrets as `***`.
    pub fn to_redacted_toml(&self) -> String {
        let mut effective = self.clone();
        effective.server.public_url = Some(self.server.public_url(self.server.listen));
        // What was read from TOML can be written as TOML; a caller that built something else is told so.
        toml::to_string(&effective).unwrap_or_else(|error| format!("# not expressible in TOML: {error}\n"))
    }
}

/// The variables of this process. Those that are not UTF-8 are a fault only if they are ours.
fn process_environment() -> Result<Vec<(String, String)>, ConfigErrors> {
    let (mut variables, mut errors) = (Vec::new(), Vec::new());
    for (name, value) in std::env::vars_os() {
        match (name.into_string(), value.into_string()) {
            (Ok(name), Ok(value)) => variables.push((name, value)),
            (name, _) => {
                let name = name.unwrap_or_else(|name: OsString| name.to_string_lossy().into_owned());
                if environment::is_ours(&name) {
                    let wrong = Wrong::new("not UTF-8", "Names and values are UTF-8 text.");
                    errors.push(ConfigError::new(Origin::Environment(name), "", wrong));
                }
            }
        }
    }
    if errors.is_empty() { Ok(variables) } else { Err(ConfigErrors::new(errors)) }
}

/// The vars that messages set themselves: what a configuration said of them would not be seen.
pub const OWN_VARS: [&str; 3] = ["commercial_unsubscribe_url", "manage_preferences_url", "writing"];

fn read_vars(section: &mut Section<'_>) -> serde_json::Map<String, serde_json::Value> {
    for name in OWN_VARS {
        let is_free = section.take(name).is_none();
        section.check(name, is_free, || {
            let problem = "Belfry sets this var for each message, over what is said here";
            Wrong::new(problem, "Give yours another name, here and in the templates that mean it.")
        });
    }
    json_object(&section.take_all())
}

fn json_object(table: &Table) -> serde_json::Map<String, serde_json::Value> {
    table.iter().map(|(key, node)| (key.clone(), json(&node.value))).collect()
}

/// JSON has no dates, infinities and NaN: they become strings.
fn json(value: &Value) -> serde_json::Value {
    match value {
        Value::Raw(text) => match &*value.typed() {
            // As it was written: a date in TOML's own form would surprise a template.
            Value::Datetime(_) | Value::Raw(_) => text.as_str().into(),
            typed => json(typed),
        },
        Value::Text(text) | Value::Datetime(text) => text.as_str().into(),
        Value::Integer(number) => (*number).into(),
        Value::Float(number) => {
            serde_json::Number::from_f64(*number).map_or_else(|| number.to_string().into(), Into::into)
        }
        Value::Bool(yes) => (*yes).into(),
        Value::Array(items) => items.iter().map(|item| json(&item.value)).collect(),
        Value::Table(table) => json_object(table).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::time::Duration;

    fn layers(text: &str, environment: &[(&str, &str)], overrides: &Overrides) -> Result<Config, ConfigErrors> {
        let environment = environment.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        Config::from_layers(Some(("belfry.toml", text)), environment, overrides)
    }

    fn file(text: &str) -> Config {
        layers(text, &[], &Overrides::default()).unwrap()
    }

    fn faults(text: &str, environment: &[(&str, &str)]) -> Vec<String> {
        let errors = layers(text, environment, &Overrides::default()).unwrap_err();
        errors.to_string().lines().map(str::to_owned).collect()
    }

    /// `config/default.toml` with its optional keys in force.
    fn uncommented() -> String {
        let is_key = |line: &str| {
            let name = line.split_once(" = ").map_or("", |(name, _)| name);
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
        };
        let line = |line: &'static str| line.strip_prefix("# ").filter(|rest| is_key(rest)).unwrap_or(line);
        let text = Config::default_toml().lines().map(line).collect::<Vec<_>>().join("\n");
        text.replace("username = \"\"", "username = \"u\"").replace("password = \"\"", "password = \"p\"")
    }

    /// The dotted keys of settings; those of all channels together, those of the open sections not at all.
    fn keys(value: &serde_json::Value) -> BTreeSet<String> {
        let mut keys = BTreeSet::new();
        for (section, value) in
            value.as_object().unwrap().iter().filter(|(section, _)| !matches!(section.as_str(), "vars" | "preferences"))
        {
            let tables = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
            for table in &tables {
                keys.extend(table.as_object().unwrap().keys().map(|key| format!("{section}.{key}")));
            }
        }
        keys
    }

    #[test]
    fn the_default_file_has_every_key_and_no_other() {
        let written: serde_json::Value = toml::from_str(&uncommented()).unwrap();
        let known = serde_json::to_value(file(&uncommented())).unwrap();
        assert_eq!(keys(&written), keys(&known));
    }

    #[test]
    fn the_default_file_sets_the_defaults() {
        let shipped = file(Config::default_toml());
        let mut defaults = file("");
        assert!(defaults.channels.is_empty() && defaults.vars.is_empty());
        defaults.channels = shipped.channels.clone();
        defaults.vars = shipped.vars.clone();
        assert_eq!(shipped, defaults);
        assert_eq!(
            file(&uncommented()).server.public_url.unwrap(),
            defaults.server.public_url(defaults.server.listen),
            "the commented public_url is what it defaults to"
        );
    }

    #[test]
    fn optional_settings_of_a_channel_default_to_what_the_default_file_says() {
        let optional = ["port = ", "tls = ", "username = ", "password = "];
        let bare: Vec<&str> =
            Config::default_toml().lines().filter(|line| !optional.iter().any(|key| line.starts_with(key))).collect();
        assert_eq!(file(&bare.join("\n")), file(Config::default_toml()));
    }

    #[test]
    fn dev_differs_from_the_default_file_in_mail_dev_endpoints_and_enhanced_security_only() {
        let dev = Config::from_layers(Some(Config::DEV), [], &Overrides::default()).unwrap();
        let mut shipped = file(Config::default_toml());
        assert!(dev.server.dev);
        assert!(
            matches!(&dev.channels[0].provider, Provider::Mailbox(email) if email.from.address == "no-reply@acme.test")
        );
        shipped.server.dev = true;
        shipped.auth.enhanced_security = false;
        shipped.channels[0].provider = dev.channels[0].provider.clone();
        assert_eq!(dev, shipped);
    }

    #[test]
    fn environment_beats_file_and_flag_beats_environment() {
        let text = "[server]\nlisten = \"127.0.0.1:1\"\ndata_dir = \"file\"\n[log]\nlevel = \"error\"";
        let environment = [("BELFRY__SERVER__LISTEN", "127.0.0.1:2"), ("BELFRY__SERVER__DATA_DIR", "environment")];
        let overrides = Overrides { listen: Some(([127, 0, 0, 1], 3).into()), ..Overrides::default() };
        let config = layers(text, &environment, &overrides).unwrap();
        assert_eq!(config.server.listen.port(), 3);
        assert_eq!(config.server.data_dir, Path::new("environment"));
        assert_eq!(config.log.level, LogLevel::Error);
        assert_eq!(config.workflows.dir, Path::new("config/workflows"));
    }

    #[test]
    fn every_flag_reaches_its_setting() {
        let overrides = Overrides {
            listen: Some(([0, 0, 0, 0], 9).into()),
            public_url: Some("https://belfry.example/".into()),
            data_dir: Some("d".into()),
            dev: Some(true),
            workflows_dir: Some("w".into()),
            log_level: Some(LogLevel::Debug),
        };
        let config = layers("", &[], &overrides).unwrap();
        assert_eq!(config.server.listen, ([0, 0, 0, 0], 9).into());
        assert_eq!(config.server.public_url.as_deref(), Some("https://belfry.example"));
        assert_eq!(config.server.data_dir, Path::new("d"));
        assert!(config.server.dev);
        assert_eq!(config.workflows.dir, Path::new("w"));
        assert_eq!(config.log.level, LogLevel::Debug);
    }

    #[test]
    fn a_faulty_flag_is_named() {
        let overrides = Overrides { public_url: Some("belfry.example".into()), ..Overrides::default() };
        let error = layers("", &[], &overrides).unwrap_err().to_string();
        assert!(
            error.starts_with("--public-url: server.public_url: `belfry.example` is not the base of URLs"),
            "{error}"
        );
    }

    #[test]
    fn an_unknown_key_names_its_line_and_the_nearest_known_key() {
        assert_eq!(
            faults("[server]\n\nlistn = \"127.0.0.1:1\"", &[]),
            ["belfry.toml:3: server.listn: unknown key `listn`. Did you mean `listen`? \
              Known: data_dir, dev, listen, public_url."]
        );
        let fault = &faults("[sever]\nlisten = 1", &[])[0];
        assert!(fault.starts_with("belfry.toml:1: sever: unknown section `sever`. Did you mean `server`?"), "{fault}");
    }

    #[test]
    fn several_faults_are_reported_at_once_in_the_order_of_layers_and_lines() {
        let text = "[log]\nlevel = \"loud\"\n[server]\ndev = \"yes\"\nport = 1\n[http]\nworkers = -1";
        let faults = faults(text, &[("BELFRY__DELIVERY__TIMEOUT", "soon")]);
        let places: Vec<&str> = faults.iter().map(|fault| fault.split(": ").next().unwrap()).collect();
        assert_eq!(
            places,
            ["belfry.toml:2", "belfry.toml:4", "belfry.toml:5", "belfry.toml:7", "BELFRY__DELIVERY__TIMEOUT"]
        );
        assert_eq!(faults[1], "belfry.toml:4: server.dev: found a string. Expected true or false.");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let error = Config::load(Some(Path::new("no/such/belfry.toml")), &Overrides::default()).unwrap_err();
        assert!(error.to_string().starts_with("no/such/belfry.toml: cannot be read: "), "{error}");
    }

    #[test]
    fn every_syntax_error_names_its_line() {
        let faults = faults("[server]\nlisten = \nport = = 1\n[auth]\nsecret_keys = hunter2", &[]);
        assert!(!faults.concat().contains("hunter2"), "{faults:?}");
        assert!(faults[0].starts_with("belfry.toml:2: "), "{faults:?}");
        assert!(faults.iter().any(|fault| fault.starts_with("belfry.toml:3: ")), "{faults:?}");
    }

    #[test]
    fn a_scalar_where_a_section_belongs_is_reported_and_hides_no_other_fault() {
        let faults = faults("server = 1\nvars = 2\nchannels = 3\n[log]\nlevel = 4", &[("BELFRY__SERVER__DEV", "1")]);
        assert_eq!(faults.len(), 4, "{faults:?}");
        assert_eq!(faults[0], "belfry.toml:1: server: found an integer. Expected a section, written [server].");
    }

    #[test]
    fn values_out_of_range_are_refused() {
        for text in [
            "[delivery]\nconcurrency = 0",
            "[delivery]\ntimeout = \"0s\"",
            "[engine]\nmax_active_runs = 99999999999999999999",
            "[http]\nmax_body_bytes = 1",
            "[server]\npublic_url = \"https://x?y\"",
            "[http]\nallowed_origins = [\"https://app.example/\"]",
            "[http]\nallowed_origins = [\"https://*.example\"]",
            "[http]\nallowed_origins = [\"null\"]",
            "[workflows]\ndir = \"\"",
        ] {
            let faults = faults(text, &[]);
            assert!(faults.len() == 1 && faults[0].starts_with("belfry.toml:2: "), "{text}: {faults:?}");
        }
        assert_eq!(file("[engine]\npark_after = \"2h\"").engine.park_after, Duration::from_secs(7_200));
    }

    #[test]
    fn a_key_in_the_wrong_list_is_refused_and_never_shown() {
        let faults = faults("[auth]\npublic_keys = [\"sk_live_abcdef\"]\nsecret_keys = [\"hunter2\"]", &[]);
        assert_eq!(faults.len(), 2);
        assert!(!faults.concat().contains("abcdef") && !faults.concat().contains("hunter2"), "{faults:?}");
    }

    #[test]
    fn enhanced_security_is_on_unless_it_is_switched_off() {
        assert!(file("").auth.enhanced_security);
        assert!(!file("[auth]\nenhanced_security = false").auth.enhanced_security);
        let dev = Config::from_layers(Some(Config::DEV), [], &Overrides::default()).unwrap();
        assert!(!dev.auth.enhanced_security);
        let environment = [("BELFRY__AUTH__ENHANCED_SECURITY".to_owned(), "true".to_owned())];
        let dev = Config::from_layers(Some(Config::DEV), environment, &Overrides::default()).unwrap();
        assert!(dev.auth.enhanced_security);
    }

    #[test]
    fn vars_keep_their_types_and_environment_text_becomes_a_value_where_it_is_one() {
        let text = "[vars]\nurl = \"https://a\"\ndeep = { n = 1, at = 2026-01-02 }\nappName = \"Acme\"\nodd = nan";
        let environment = [
            ("BELFRY__VARS__COUNT", "5"),
            ("BELFRY__VARS__APPNAME", "Bell Co"),
            ("BELFRY__VARS__DAY", "2026-01-02"),
            ("BELFRY__VARS__VERSION", "\"1.10\""),
        ];
        let config = layers(text, &environment, &Overrides::default()).unwrap();
        let expected = serde_json::json!({
            "url": "https://a", "deep": {"n": 1, "at": "2026-01-02"}, "appName": "Bell Co", "odd": "NaN",
            "count": 5, "day": "2026-01-02", "version": "1.10",
        });
        assert_eq!(serde_json::Value::Object(config.vars), expected);
    }

    #[test]
    fn a_var_that_messages_set_themselves_is_refused_and_a_brand_is_not() {
        let text =
            "[vars]\nmanage_preferences_url = \"https://a\"\nwriting = 1\nbranding = { logo_url = \"https://a\" }";
        let faults = faults(text, &[("BELFRY__VARS__COMMERCIAL_UNSUBSCRIBE_URL", "https://a")]);
        let told = "Belfry sets this var for each message, over what is said here. Give yours another name, here and in \
                    the templates that mean it.";
        assert_eq!(
            faults,
            [
                format!("belfry.toml:2: vars.manage_preferences_url: {told}"),
                format!("belfry.toml:3: vars.writing: {told}"),
                format!("BELFRY__VARS__COMMERCIAL_UNSUBSCRIBE_URL: vars.commercial_unsubscribe_url: {told}"),
            ]
        );
    }

    #[test]
    fn secrets_never_appear_in_debug_or_in_the_printed_configuration() {
        let text =
            uncommented().replace("\"p\"", "\"hunter2\"").replace("secret_keys = []", "secret_keys = [\"sk_abcdef\"]");
        let config = file(&text);
        let shown = format!("{config:?}{}", config.to_redacted_toml());
        assert!(!shown.contains("hunter2") && !shown.contains("abcdef"), "{shown}");
        assert!(config.to_redacted_toml().contains("password = \"***\""));
    }

    #[test]
    fn the_printed_configuration_reads_back_as_it_was() {
        let config = file(Config::default_toml());
        let mut again = file(&config.to_redacted_toml());
        assert_eq!(again.server.public_url.take().as_deref(), Some("http://127.0.0.1:8650"));
        assert_eq!(again, config);
    }
}
