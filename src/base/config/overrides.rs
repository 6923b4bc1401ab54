//! The layer of command-line flags, the topmost one.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::fault::{ConfigError, Origin, Wrong};
use super::sections::LogLevel;
use super::tree::{Node, Table, Value};

/// What flags set; `None` leaves the layers below as they are.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--listen`
    pub listen: Option<SocketAddr>,
    /// `--public-url`
    pub public_url: Option<String>,
    /// `--data-dir`
    pub data_dir: Option<PathBuf>,
    /// `--dev`
    pub dev: Option<bool>,
    /// `--workflows`
    pub workflows_dir: Option<PathBuf>,
    /// `--log-level`
    pub log_level: Option<LogLevel>,
}

impl Overrides {
    /// Lays the flags over `root`.
    pub(super) fn apply(&self, root: &mut Table, errors: &mut Vec<ConfigError>) {
        let mut path = |flag: &'static str, key: &str, path: &Option<PathBuf>| {
            let text = path.as_deref().map(Path::to_str);
            if text == Some(None) {
                let wrong = Wrong::new("not UTF-8", "Choose a path that is.");
                errors.push(ConfigError::new(Origin::Flag(flag), key, wrong));
            }
            text.flatten().map(|text| Value::Text(text.to_owned()))
        };
        let text = |text: String| Value::Text(text);
        for (flag, section, key, value) in [
            ("--listen", "server", "listen", self.listen.map(|listen| text(listen.to_string()))),
            ("--public-url", "server", "public_url", self.public_url.clone().map(text)),
            ("--data-dir", "server", "data_dir", path("--data-dir", "server.data_dir", &self.data_dir)),
            ("--dev", "server", "dev", self.dev.map(Value::Bool)),
            ("--workflows", "workflows", "dir", path("--workflows", "workflows.dir", &self.workflows_dir)),
            ("--log-level", "log", "level", self.log_level.map(|level| text(level.to_string()))),
        ] {
            let Some(value) = value else { continue };
            let origin = Origin::Flag(flag);
            let fresh = Node { origin: origin.clone(), value: Value::Table(Table::new()) };
            // Where the file has no section, that is reported when it is read.
            if let Value::Table(table) = &mut root.entry(section.to_owned()).or_insert(fresh).value {
                table.insert(key.to_owned(), Node { origin, value });
            }
        }
    }
}
