//! Texts made of texts: what the helpers of one engine and the filters of the other do alike.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::budget::EMAIL_BYTES;

/// All but RFC 3986's unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Escapes what ends text or an attribute in HTML. Not `=` and backticks, as handlebars' own does:
/// that makes links in the source of an email hard to read.
pub(super) fn escape_html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + text.len() / 8);
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            letter => escaped.push(letter),
        }
    }
    escaped
}

/// `text` with `to` in place of each `from`.
pub(super) fn replace(text: &str, from: &str, to: &str) -> Result<String, String> {
    if from.is_empty() {
        return Ok(text.to_owned());
    }
    bounded(text.matches(from).count().saturating_mul(to.len()))?;
    Ok(text.replace(from, to))
}

/// Refuses what a few bytes of input would multiply beyond what any message can hold.
pub(super) fn bounded(bytes: usize) -> Result<(), String> {
    if bytes > EMAIL_BYTES { Err("the result is longer than 1024 KiB".into()) } else { Ok(()) }
}

/// At most `most` characters, `end` included if something was cut.
pub(super) fn truncate(text: &str, most: usize, end: &str) -> String {
    if text.chars().nth(most).is_none() {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(end.chars().count())).collect();
    kept + end
}

/// At most `most` words, and `end` behind them if something was cut.
pub(super) fn truncate_words(text: &str, most: usize, end: &str) -> String {
    let mut words = text.split_whitespace();
    let kept: Vec<&str> = words.by_ref().take(most.max(1)).collect();
    if words.next().is_none() { text.to_owned() } else { kept.join(" ") + end }
}

/// With the first letter in upper case.
pub(super) fn capitalize(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// With the first letter of each word in upper case.
pub(super) fn titlecase(text: &str) -> String {
    text.split_inclusive(char::is_whitespace).map(capitalize).collect()
}

/// As a part of a URL.
pub(super) fn url_encode(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}
