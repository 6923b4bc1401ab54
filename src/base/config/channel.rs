//! `[[channels]]`: the ways to reach a recipient. A provider's settings exist only with that provider, and a provider
//! only with the type of channel that it serves.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::choice::choice;
use super::email::EmailSettings;
use super::fault::{Origin, Wrong};
use super::secret::Secret;
use super::section::Section;
use super::tree::{Node, Table, Value};
use crate::base::ids::ChannelId;
use crate::base::nearest::nearest;

choice! {
    /// The types of channel of Knock's API.
    ChannelKind("type of channel") {
        /// Email.
        Email = "email",
        /// The live feed in the application.
        InAppFeed = "in_app_feed",
        /// Text messages.
        Sms = "sms",
        /// Notifications of a phone or desktop.
        Push = "push",
        /// Chat applications.
        Chat = "chat",
        /// Webhooks.
        Http = "http",
    }
}

choice! {
    /// How the connection to an SMTP server is protected.
    Tls("kind of TLS") {
        /// Not at all.
        None = "none",
        /// Upgraded by STARTTLS, or not used.
        Starttls = "starttls",
        /// From the first byte.
        Tls = "tls",
    }
}

choice! {
    /// The providers by name.
    ProviderName("provider") {
        /// An SMTP server.
        Smtp = "smtp",
        /// Captures mail instead of sending it.
        Mailbox = "mailbox",
        /// Belfry's own feed.
        InAppFeed = "in_app_feed",
    }
}

impl ProviderName {
    fn kind(self) -> ChannelKind {
        match self {
            Self::Smtp | Self::Mailbox => ChannelKind::Email,
            Self::InAppFeed => ChannelKind::InAppFeed,
        }
    }
}

/// A configured channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// What workflows call it; unique.
    pub key: String,
    /// What clients call it; unique.
    pub id: ChannelId,
    /// What delivers on it.
    pub provider: Provider,
}

impl Channel {
    /// The channel's type.
    pub fn kind(&self) -> ChannelKind {
        self.provider.name().kind()
    }
}

/// What delivers, with its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Provider {
    /// An SMTP server.
    Smtp(SmtpSettings),
    /// Captures mail instead of sending it, for development.
    Mailbox(EmailSettings),
    /// Belfry's own feed.
    InAppFeed(FeedSettings),
}

/// The settings of a feed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FeedSettings {
    /// Whether links in its items lead through this server, where a step does not say otherwise.
    pub link_tracking: bool,
}

impl Provider {
    /// The provider's name.
    pub fn name(&self) -> ProviderName {
        match self {
            Self::Smtp(_) => ProviderName::Smtp,
            Self::Mailbox(_) => ProviderName::Mailbox,
            Self::InAppFeed(_) => ProviderName::InAppFeed,
        }
    }

    /// The settings of an email channel.
    pub fn email(&self) -> Option<&EmailSettings> {
        match self {
            Self::Smtp(smtp) => Some(&smtp.email),
            Self::Mailbox(email) => Some(email),
            Self::InAppFeed(_) => None,
        }
    }
}

/// An SMTP server and how to use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmtpSettings {
    /// What all email channels have.
    pub email: EmailSettings,
    /// The server's name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub tls: Tls,
    /// The login, if the server wants one.
    pub credentials: Option<Credentials>,
}

/// A login: never a name without a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The name.
    pub username: String,
    /// The password.
    pub password: Secret,
}

impl Serialize for Channel {
    /// As the file writes it, the password masked.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("key", &self.key)?;
        map.serialize_entry("id", &self.id)?;
        map.serialize_entry("type", &self.kind())?;
        map.serialize_entry("provider", &self.provider.name())?;
        if let Some(email) = self.provider.email() {
            email.serialize(&mut map)?;
        }
        match &self.provider {
            Provider::Smtp(smtp) => {
                map.serialize_entry("host", &smtp.host)?;
                map.serialize_entry("port", &smtp.port)?;
                map.serialize_entry("tls", &smtp.tls)?;
                if let Some(Credentials { username, password }) = &smtp.credentials {
                    map.serialize_entry("username", username)?;
                    map.serialize_entry("password", password)?;
                }
            }
            Provider::InAppFeed(feed) => map.serialize_entry("link_tracking", &feed.link_tracking)?,
            Provider::Mailbox(_) => {}
        }
        map.end()
    }
}

/// Reads all channels of `root`; the faulty ones are reported and left out.
pub(super) fn read_all(root: &mut Section<'_>) -> Vec<Channel> {
    let items = match root.take("channels") {
        None => Vec::new(),
        Some(Node { value: Value::Array(items), .. }) => items,
        Some(node) => {
            root.report("channels", node.value.is_not("an array of tables, each written [[channels]]"));
            Vec::new()
        }
    };
    let mut seen = Vec::new();
    let mut channels = Vec::new();
    for (index, Node { origin, value }) in items.into_iter().enumerate() {
        let Value::Table(table) = value else {
            root.report("channels", value.is_not("tables, each written [[channels]]"));
            continue;
        };
        let path = format!("channels.{}", key_text(&table).unwrap_or_else(|| index.to_string()));
        let channel = root.nested(path, origin.clone(), table, |section| read(section, &origin, &mut seen));
        channels.extend(channel);
    }
    channels
}

fn key_text(table: &Table) -> Option<String> {
    match table.get("key").map(|node| &node.value) {
        Some(Value::Text(key)) if is_key(key) => Some(key.clone()),
        _ => None,
    }
}

fn is_key(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
}

/// The names of a channel read earlier, for the check that they are unique.
struct Seen {
    key: Option<String>,
    id: Option<ChannelId>,
    origin: Origin,
}

fn read(section: &mut Section<'_>, origin: &Origin, seen: &mut Vec<Seen>) -> Option<Channel> {
    let key: Option<String> = section.require("key", "email");
    let id: Option<ChannelId> = section.require("id", "0b9a7e52-1c55-4a7e-8b0a-5d2f3e6c7b22");
    let kind: Option<ChannelKind> = section.require("type", "email");
    let name: Option<String> = section.require("provider", "smtp");
    if let Some(key) = &key {
        section.check("key", is_key(key), || {
            let problem = format!("`{}` is not a key", key.escape_debug());
            Wrong::new(problem, "Use lower-case letters, digits, `-` and `_`.")
        });
    }
    check_unique(section, key.as_deref(), id, seen);
    seen.push(Seen { key: key.clone(), id, origin: origin.clone() });
    let name = kind
        .zip(name)
        .and_then(|(kind, name)| provider_of(kind, &name).map_err(|(at, wrong)| section.report(at, wrong)).ok());
    let Some(name) = name else {
        section.forgive_unknown_keys();
        return None;
    };
    let provider = read_provider(section, name);
    Some(Channel { key: key?, id: id?, provider: provider? })
}

fn check_unique(section: &mut Section<'_>, key: Option<&str>, id: Option<ChannelId>, seen: &[Seen]) {
    if let Some(other) = seen.iter().find(|other| key.is_some() && other.key.as_deref() == key) {
        let problem = format!("`{}` is also the key of the channel at {}", key.unwrap_or(""), other.origin);
        section.report("key", Wrong::new(problem, "Give each channel its own key."));
    }
    if let Some(other) = seen.iter().find(|other| id.is_some() && other.id == id) {
        let name = other.key.as_deref().unwrap_or("?");
        let problem = format!("also the id of channel `{name}` at {}", other.origin);
        section.report("id", Wrong::new(problem, "Give each channel its own id."));
    }
}

/// The provider that `name` stands for on a channel of type `kind`; otherwise the key at fault and why.
fn provider_of(kind: ChannelKind, name: &str) -> Result<ProviderName, (&'static str, Wrong)> {
    let known: Vec<&str> =
        ProviderName::ALL.iter().filter(|provider| provider.kind() == kind).map(|provider| provider.as_str()).collect();
    if known.is_empty() {
        let problem = format!("{kind} channels are not supported by this version");
        return Err(("type", Wrong::new(problem, "Use `email` or `in_app_feed`.")));
    }
    match name.parse::<ProviderName>() {
        Ok(provider) if provider.kind() == kind => Ok(provider),
        Ok(provider) => {
            let problem =
                format!("`{name}` serves channels of type {}, and this one is of type {kind}", provider.kind());
            Err(("provider", Wrong::new(problem, format!("Known for {kind}: {}.", known.join(", ")))))
        }
        Err(_) => {
            let hint =
                nearest(name, known.iter().copied()).map(|near| format!("Did you mean `{near}`? ")).unwrap_or_default();
            let problem = format!("unknown provider `{}`", name.escape_debug());
            Err(("provider", Wrong::new(problem, format!("{hint}Known for {kind}: {}.", known.join(", ")))))
        }
    }
}

fn read_provider(section: &mut Section<'_>, name: ProviderName) -> Option<Provider> {
    match name {
        ProviderName::InAppFeed => {
            Some(Provider::InAppFeed(FeedSettings { link_tracking: section.get_or("link_tracking", false) }))
        }
        ProviderName::Mailbox => EmailSettings::read(section).map(Provider::Mailbox),
        ProviderName::Smtp => {
            // All are read before the first `?`, so that all their faults are reported.
            let email = EmailSettings::read(section);
            let host: Option<String> = section.require("host", "127.0.0.1");
            let port = section.get_or("port", 587);
            let tls = section.get_or("tls", Tls::Starttls);
            let credentials = read_credentials(section);
            section.check("port", port != 0, || Wrong::new("0 is out of range", "Choose from 1 to 65535."));
            if let Some(host) = &host {
                let plain =
                    !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || c.is_control() || c == '/');
                section.check("host", plain, || {
                    Wrong::new("not the name or address of a server", "Write it alone, such as \"smtp.acme.test\".")
                });
            }
            Some(Provider::Smtp(SmtpSettings { email: email?, host: host?, port, tls, credentials }))
        }
    }
}

/// Empty counts as absent.
fn read_credentials(section: &mut Section<'_>) -> Option<Credentials> {
    let username = section.get_or("username", String::new());
    let password = section.get_or("password", Secret::new(""));
    match (username.is_empty(), password.expose().is_empty()) {
        (true, true) => None,
        (false, false) => Some(Credentials { username, password }),
        (false, true) => {
            section.report("username", Wrong::new("a username without a password", "Set both or neither."));
            None
        }
        (true, false) => {
            section.report("password", Wrong::new("a password without a username", "Set both or neither."));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::config::{Config, Overrides};

    const EMAIL: &str = "[[channels]]\nkey = \"email\"\nid = \"0b9a7e52-1c55-4a7e-8b0a-5d2f3e6c7b22\"\n\
                         type = \"email\"\nprovider = \"smtp\"\nfrom = \"a@acme.test\"\nhost = \"localhost\"\n";
    const FEED: &str = "[[channels]]\nkey = \"in-app\"\nid = \"6f1c2a94-3d7b-4e58-9a06-c41be8d3f715\"\n\
                        type = \"in_app_feed\"\nprovider = \"in_app_feed\"\n";

    fn read(text: &str) -> Result<Vec<Channel>, String> {
        let config = Config::from_layers(Some(("b.toml", text)), [], &Overrides::default());
        config.map(|config| config.channels).map_err(|errors| errors.to_string())
    }

    fn fault(text: &str) -> String {
        let faults = read(text).unwrap_err();
        assert_eq!(faults.lines().count(), 1, "{faults}");
        faults
    }

    #[test]
    fn a_channel_has_the_kind_of_its_provider() {
        let channels = read(&format!("{EMAIL}{FEED}")).unwrap();
        assert_eq!(
            channels.iter().map(Channel::kind).collect::<Vec<_>>(),
            [ChannelKind::Email, ChannelKind::InAppFeed]
        );
    }

    #[test]
    fn a_duplicate_key_or_id_names_both_channels() {
        let twin = FEED.replace("6f1c2a94-3d7b-4e58-9a06-c41be8d3f715", "0b9a7e52-1c55-4a7e-8b0a-5d2f3e6c7b22");
        assert_eq!(
            fault(&format!("{EMAIL}{twin}")),
            "b.toml:10: channels.in-app.id: also the id of channel `email` at b.toml:1. Give each channel its own id."
        );
        let twin = FEED.replace("in-app", "email");
        assert!(fault(&format!("{EMAIL}{twin}")).contains("`email` is also the key of the channel at b.toml:1"));
    }

    #[test]
    fn a_provider_must_be_known_and_fit_the_type() {
        let fault_of = |from: &str, to: &str| fault(&EMAIL.replace(from, to));
        assert_eq!(
            fault_of("\"smtp\"", "\"smpt\""),
            "b.toml:5: channels.email.provider: unknown provider `smpt`. Did you mean `smtp`? \
             Known for email: smtp, mailbox."
        );
        assert!(fault_of("\"smtp\"", "\"in_app_feed\"").contains("serves channels of type in_app_feed"));
        assert!(
            fault_of("type = \"email\"", "type = \"sms\"").contains("sms channels are not supported by this version")
        );
        assert!(fault_of("type = \"email\"", "type = \"emial\"").contains("Did you mean `email`?"));
    }

    #[test]
    fn a_setting_of_another_provider_is_unknown() {
        assert!(fault(&EMAIL.replace("smtp", "mailbox")).contains("channels.email.host: unknown key"));
        assert!(fault(&format!("{FEED}from = \"a@acme.test\"")).contains("channels.in-app.from: unknown key"));
    }

    #[test]
    fn what_is_missing_is_named_at_the_channel_with_an_example() {
        let faults = read("\n[[channels]]\ntype = \"email\"\nprovider = \"smtp\"").unwrap_err();
        let keys: Vec<&str> = faults.lines().filter_map(|line| line.split(": ").nth(1)).collect();
        assert_eq!(keys, ["channels.0.from", "channels.0.host", "channels.0.id", "channels.0.key"]);
        assert!(faults.lines().all(|line| line.starts_with("b.toml:2: ")), "{faults}");
    }

    #[test]
    fn a_username_and_a_password_come_together_and_empty_is_absent() {
        assert!(fault(&format!("{EMAIL}username = \"u\"")).contains("a username without a password"));
        assert!(fault(&format!("{EMAIL}password = \"p\"")).contains("a password without a username"));
        let channels = read(&format!("{EMAIL}username = \"\"\npassword = \"\"")).unwrap();
        assert!(matches!(&channels[0].provider, Provider::Smtp(smtp) if smtp.credentials.is_none()));
    }

    #[test]
    fn settings_that_cannot_work_are_refused() {
        for (from, to) in [
            ("a@acme.test", "a@acme.test, b@acme.test"),
            ("localhost", "smtp://localhost"),
            ("key = \"email\"", "key = \"E Mail\""),
            ("0b9a7e52-1c55-4a7e-8b0a-5d2f3e6c7b22", "email"),
            ("host = ", "port = 0\nhost = "),
            ("host = ", "port = 70000\nhost = "),
            ("host = ", "tls = \"ssl\"\nhost = "),
        ] {
            fault(&EMAIL.replace(from, to));
        }
    }
}
