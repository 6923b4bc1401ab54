//! Filters of texts.

use std::cmp::Ordering;

use percent_encoding::percent_decode_str;

use super::{Answer, Call, ITEM_BYTES, Val, number};
use crate::template::wording::escape_html;

/// The pieces between separators. A blank parts words however many blanks there are; nothing parts letters; what is
/// empty at the end is left out.
pub(super) fn split<'s>(call: &Call<'_, 's>) -> Answer<'s> {
    let (text, separator) = (call.text()?, call.arg_text(0)?);
    let parts: Vec<&str> = match &*separator {
        "" => letters(&text).collect(),
        " " => text.split_whitespace().collect(),
        separator => text.split(separator).collect(),
    };
    let kept = parts.iter().rposition(|part| !part.is_empty()).map_or(0, |last| last + 1);
    call.budget.take_making(kept.saturating_mul(ITEM_BYTES))?;
    let texts = parts[..kept].iter().map(|part| Val::Text((*part).into()));
    call.list(texts)
}

fn letters(text: &str) -> impl Iterator<Item = &str> {
    text.split("").filter(|letter| !letter.is_empty())
}

/// A part of a text or a list, from a place on that may be counted from the end.
pub(super) fn slice<'s>(call: &Call<'_, 's>) -> Answer<'s> {
    let is_list = call.input.count().is_some();
    let text = if is_list { Default::default() } else { call.text()? };
    let count = call.input.count().unwrap_or_else(|| text.chars().count());
    let from = number(&call.arg(0))?;
    let from = if from < 0.0 { count as f64 + from } else { from };
    if from < 0.0 {
        return if is_list { call.list([].into_iter()) } else { Ok(Val::Str("")) };
    }
    let (from, length) = (from as usize, call.count_or(1, 1)?);
    if is_list {
        return call.list(call.items()?.into_iter().skip(from).take(length));
    }
    call.made(text.chars().skip(from).take(length).collect())
}

pub(super) fn replace_first(text: &str, from: &str, to: &str) -> String {
    text.replacen(from, to, 1)
}

pub(super) fn replace_last(text: &str, from: &str, to: &str) -> String {
    match text.rsplit_once(from) {
        Some((before, after)) => [before, to, after].concat(),
        None => text.to_owned(),
    }
}

/// The text without tags, comments, scripts and styles.
pub(super) fn strip_html(html: &str) -> String {
    const WHOLE: [(&str, &str); 3] = [("<script", "</script>"), ("<style", "</style>"), ("<!--", "-->")];
    let mut kept = String::with_capacity(html.len());
    // Ends that were sought in vain are not sought again: each search may go through all that is left.
    let mut absent = Vec::new();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        kept.push_str(&rest[..at]);
        rest = &rest[at..];
        let begins = |start: &str| rest.get(..start.len()).is_some_and(|tag| tag.eq_ignore_ascii_case(start));
        let whole = WHOLE.iter().find(|(start, _)| begins(start)).map(|(_, end)| *end);
        let end = [whole, Some(">")].into_iter().flatten().find_map(|end| {
            let found = if absent.contains(&end) { None } else { rest.find(end) };
            if found.is_none() {
                absent.push(end);
            }
            Some(found? + end.len())
        });
        match end {
            Some(end) => rest = &rest[end..],
            None => break,
        }
    }
    kept.push_str(rest);
    kept
}

/// Escapes for HTML, but leaves what is escaped already.
pub(super) fn escape_once(text: &str) -> String {
    let is_entity = |rest: &str| {
        let Some(name) = rest.split_once(';').map(|(name, _)| name) else { return false };
        let letters = name.strip_prefix('#').unwrap_or(name);
        (1..=8).contains(&letters.len()) && letters.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    let mut parts = text.split('&');
    let mut escaped = escape_html(parts.next().unwrap_or_default());
    for part in parts {
        // An entity's name is short; a longer look would go through all that is left.
        let near = part.char_indices().nth(10).map_or(part, |(end, _)| &part[..end]);
        escaped.push_str(if is_entity(near) { "&" } else { "&amp;" });
        escaped.push_str(&escape_html(part));
    }
    escaped
}

pub(super) fn url_decode(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

/// Which of two versions is older: numbers by value, and a pre-release before its release.
pub(super) fn compare_versions(one: &str, other: &str) -> Ordering {
    let parts = |text: &str| {
        let text = text.trim().trim_start_matches(['v', 'V']).split('+').next().unwrap_or_default().to_owned();
        let (release, pre) = text.split_once('-').map_or((text.as_str(), None), |(release, pre)| (release, Some(pre)));
        let mut numbers: Vec<u64> = release.split('.').map(|number| number.parse().unwrap_or(0)).collect();
        while numbers.last() == Some(&0) {
            numbers.pop();
        }
        (numbers, pre.is_none(), pre.unwrap_or_default().to_owned())
    };
    parts(one).cmp(&parts(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_go_and_text_stays() {
        for (html, expected) in [
            ("a<b>b</b>c", "abc"),
            ("<SCRIPT src=x>alert(1)</script>a<style>b{}</style>c<!-- > -->d", "acd"),
            ("a < b", "a < b"),
            ("<script>never closed", "never closed"),
            ("<p", "<p"),
        ] {
            assert_eq!(strip_html(html), expected, "{html}");
        }
        strip_html(&"<script".repeat(100_000));
    }

    #[test]
    fn what_is_escaped_stays_as_it_is() {
        assert_eq!(
            escape_once("1 < 2 &amp; 3 & &#39; &nosuchentity; &"),
            "1 &lt; 2 &amp; 3 &amp; &#39; &amp;nosuchentity; &amp;"
        );
        escape_once(&"&".repeat(200_000));
    }

    #[test]
    fn versions_are_compared_by_their_numbers() {
        use Ordering::{Equal, Greater, Less};
        for (one, other, order) in [
            ("1.10.0", "1.9.0", Greater),
            ("1.0", "1.0.0", Equal),
            ("v2.0.0-beta", "2.0.0", Less),
            ("2.0.0-alpha", "2.0.0-beta", Less),
            ("1.0.0+build", "1.0.0", Equal),
            ("", "0.0.1", Less),
        ] {
            assert_eq!(compare_versions(one, other), order, "{one} {other}");
        }
    }
}
