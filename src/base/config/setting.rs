//! How each type of setting is read from a value.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use uuid::Uuid;

use super::fault::Wrong;
use super::secret::Secret;
use super::span;
use super::tree::Value;
use crate::base::ids::ChannelId;

/// A type that a setting can have. What `read` answers must not quote a value that may be a secret.
pub(super) trait Setting: Sized {
    fn read(value: &Value) -> Result<Self, Wrong>;
}

impl Setting for bool {
    fn read(value: &Value) -> Result<Self, Wrong> {
        match *value.typed() {
            Value::Bool(yes) => Ok(yes),
            _ => Err(value.is_not("true or false")),
        }
    }
}

fn integer<T: TryFrom<i64>>(value: &Value, expected: &str) -> Result<T, Wrong> {
    match *value.typed() {
        Value::Integer(number) => T::try_from(number)
            .map_err(|_| Wrong::new(format!("{number} is out of range"), format!("Expected {expected}."))),
        _ => Err(value.is_not(expected)),
    }
}

impl Setting for usize {
    fn read(value: &Value) -> Result<Self, Wrong> {
        integer(value, "a whole number, 0 or more")
    }
}

impl Setting for u16 {
    fn read(value: &Value) -> Result<Self, Wrong> {
        integer(value, "a whole number from 0 to 65535")
    }
}

impl Setting for String {
    fn read(value: &Value) -> Result<Self, Wrong> {
        value.text("a string").map(str::to_owned)
    }
}

impl Setting for Secret {
    fn read(value: &Value) -> Result<Self, Wrong> {
        value.text("a string").map(Self::new)
    }
}

impl Setting for PathBuf {
    fn read(value: &Value) -> Result<Self, Wrong> {
        match value.text("a path")? {
            "" => Err(Wrong::new("empty", "Expected a path.")),
            text => Ok(Self::from(text)),
        }
    }
}

impl Setting for SocketAddr {
    fn read(value: &Value) -> Result<Self, Wrong> {
        let text = value.text("an IP address and a port, such as \"127.0.0.1:8650\"")?;
        text.parse().map_err(|_| {
            Wrong::new(
                format!("`{}` is not an IP address and a port", text.escape_debug()),
                "Write for example \"127.0.0.1:8650\"; \"0.0.0.0:8650\" listens on all interfaces.",
            )
        })
    }
}

impl Setting for Duration {
    fn read(value: &Value) -> Result<Self, Wrong> {
        let text = value.text("a duration such as \"30s\"")?;
        span::parse(text).ok_or_else(|| {
            Wrong::new(
                format!("`{}` is not a duration", text.escape_debug()),
                "Write a whole number and ms, s, m, h or d, such as \"500ms\", \"30s\" or \"5m\".",
            )
        })
    }
}

impl Setting for ChannelId {
    fn read(value: &Value) -> Result<Self, Wrong> {
        let text = value.text("a UUID")?;
        // Only the hyphenated form: clients compare channel ids as text.
        match Uuid::try_parse(text) {
            Ok(id) if !id.is_nil() && text.len() == 36 => Ok(Self(id)),
            _ => Err(Wrong::new(
                format!("`{}` is not a UUID", text.escape_debug()),
                "Make one with `uuidgen` and keep it: clients subscribe by it.",
            )),
        }
    }
}

impl<T: Setting> Setting for Vec<T> {
    /// A TOML array; an environment variable may also be a list with commas.
    fn read(value: &Value) -> Result<Self, Wrong> {
        let typed = value.typed();
        let items: Vec<Value> = match (value, &*typed) {
            (_, Value::Array(items)) => items.iter().map(|item| item.value.clone()).collect(),
            (Value::Raw(list), _) => list
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .map(|item| Value::Raw(item.to_owned()))
                .collect(),
            _ => return Err(value.is_not("an array, such as [\"a\", \"b\"]")),
        };
        let read = |(index, item): (usize, &Value)| {
            T::read(item).map_err(|wrong| Wrong::new(format!("entry {}: {}", index + 1, wrong.problem), wrong.fix))
        };
        items.iter().enumerate().map(read).collect()
    }
}
