//! What is wrong with a configuration, and where.

use std::fmt;

use crate::base::nearest::nearest;

/// The prefix of the environment variables that configure Belfry.
pub(super) const PREFIX: &str = "BELFRY__";

/// Where a value was set. The order is the order of reports, and of the layers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// A line of a file; line 0 stands for the file as a whole.
    File {
        /// The file's name, as it was given.
        name: String,
        /// Counted from 1.
        line: usize,
    },
    /// An environment variable, spelled as it was found.
    Environment(String),
    /// A command-line flag.
    Flag(&'static str),
}

impl Origin {
    /// How `key` of `path` would be written here, where that differs from the key itself.
    pub(super) fn spell(&self, path: &str, key: &str) -> Option<String> {
        let Self::Environment(_) = self else { return None };
        let parts: Vec<&str> = path.split('.').filter(|part| !part.is_empty()).chain([key]).collect();
        Some(format!("{PREFIX}{}", parts.join("__").replace('-', "_").to_uppercase()))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { name, line: 0 } => f.write_str(name),
            Self::File { name, line } => write!(f, "{name}:{line}"),
            Self::Environment(name) => f.write_str(name),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// What is wrong with a value, and what would be right. Never contains a value that may be secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}. {fix}")]
pub struct Wrong {
    /// A few words, without a full stop.
    pub problem: String,
    /// A sentence.
    pub fix: String,
}

impl Wrong {
    pub(super) fn new(problem: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { problem: problem.into(), fix: fix.into() }
    }

    /// `word` is none of `known`.
    pub(super) fn unknown(what: &str, word: &str, known: &[&str]) -> Self {
        let fix = match nearest(word, known.iter().copied()) {
            Some(near) => format!("Did you mean `{near}`? Known: {}.", known.join(", ")),
            None => format!("Known: {}.", known.join(", ")),
        };
        Self::new(format!("unknown {what} `{}`", word.escape_debug()), fix)
    }
}

/// One fault of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConfigError {
    /// Where it was written.
    pub origin: Origin,
    /// The dotted key, such as `server.listen` or `channels.email.port`; empty for a file as a whole.
    pub key: String,
    /// What is wrong.
    pub problem: String,
    /// What would be right.
    pub fix: String,
}

impl ConfigError {
    pub(super) fn new(origin: Origin, key: impl Into<String>, wrong: Wrong) -> Self {
        Self { origin, key: key.into(), problem: wrong.problem, fix: wrong.fix }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.origin)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}. {}", self.problem, self.fix)
    }
}

/// All faults of a configuration, at least one, in the order of the layers and lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    pub(super) fn new(mut errors: Vec<ConfigError>) -> Self {
        errors.sort();
        Self(errors)
    }

    /// The faults.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.0.iter()
    }
}

impl fmt::Display for ConfigErrors {
    /// One line a fault.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
