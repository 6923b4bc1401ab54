//! Structured logs, to standard error: people read them in colour, machines as JSON.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::base::config::Config;

/// Starts logging. `RUST_LOG` wins over the configuration, for a closer look at one module.
pub fn start(config: &Config) {
    let level = config.log.level;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(format!("warn,belfry={level}")));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // It would say on standard error that standard error cannot be written, and panic.
    let lines = lines.log_internal_errors(false);
    // A second server in one process goes on with the first one's log.
    let _ = if config.log.format.is_json(config.server.dev) {
        lines.json().flatten_event(true).try_init()
    } else {
        lines.with_target(false).with_ansi(std::io::stderr().is_terminal()).try_init()
    };
}
