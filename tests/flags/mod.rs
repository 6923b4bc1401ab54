//! Arguments that a suite takes beside those of every test program.

use std::str::FromStr;

/// Takes `name` and the value behind it out of `arguments`.
pub fn take<T: FromStr>(arguments: &mut Vec<String>, name: &str) -> Option<T> {
    let at = arguments.iter().position(|argument| argument == name)?;
    let taken: Vec<String> = arguments.drain(at..(at + 2).min(arguments.len())).collect();
    let value = taken.get(1).and_then(|text| text.parse().ok());
    Some(value.unwrap_or_else(|| panic!("{name} wants a value, not {:?}", taken.get(1))))
}
