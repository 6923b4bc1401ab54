//! The text of HTML, for an email whose author wrote none.

use std::borrow::Cow;
use std::panic::catch_unwind;

use html2text::render::TextDecorator;

use super::budget::{EMAIL_BYTES, HTML_DEPTH, HTML_WEIGHT, Limit};
use super::error::Cause;
use super::wrap;

/// Wider than any line: what breaks lines is `wrap`, since the renderer breaks links too, and a broken one leads nowhere.
const UNBROKEN: usize = 1 << 24;
/// Around what a link says, and behind where it leads. Private characters, which the HTML is first rid of.
const LINK: char = '\u{E000}';
const LEADS: char = '\u{E001}';
const END: char = '\u{E002}';

/// Elements without content.
const VOID: [&str; 13] =
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"];
/// Elements that the next of their kind closes.
const SELF_CLOSING: [&str; 7] = ["p", "li", "td", "th", "tr", "dt", "dd"];

/// Elements whose content is text to the last `<`.
const RAW: [&str; 8] = ["script", "style", "title", "textarea", "xmp", "iframe", "noembed", "noframes"];
/// Elements that change how what follows is read.
const UNREADABLE: [&str; 6] = ["svg", "math", "noscript", "plaintext", "template", "frameset"];

/// The text of `html`, links as `label (https://..)`.
pub(super) fn from_html(html: &str) -> Result<String, Cause> {
    bound(html)?;
    let marks = [LINK, LEADS, END];
    let html = if html.contains(marks) { Cow::Owned(html.replace(marks, "")) } else { Cow::Borrowed(html) };
    let render = || {
        html2text::config::with_decorator(Links::default())
            .allow_width_overflow()
            .no_link_wrapping()
            .raw_mode(true)
            .string_from_read(html.as_bytes(), UNBROKEN)
    };
    // The layout of text asserts on widths; what trips it is this template's fault and must not end its run.
    let text = catch_unwind(render).map_err(|_| no_text())?.map_err(|_| no_text())?;
    let text = wrap::lines(&with_targets(&text));
    if text.len() > EMAIL_BYTES { Err(Cause::Budget(Limit::Output(EMAIL_BYTES))) } else { Ok(text) }
}

/// Links as a reader sees them: a target that is what the link says already is not told again.
fn with_targets(text: &str) -> String {
    let mut told = String::with_capacity(text.len());
    // Where the label of the link that is open begins.
    let mut label = 0;
    let mut rest = text;
    while let Some(at) = rest.find([LINK, LEADS]) {
        told.push_str(&rest[..at]);
        if let Some(behind) = rest[at..].strip_prefix(LINK) {
            let is_apart = told.is_empty() || told.ends_with(char::is_whitespace);
            rest = if is_apart { behind.trim_start_matches(' ') } else { behind };
            label = told.len();
            continue;
        }
        let (target, behind) = rest[at + LEADS.len_utf8()..].split_once(END).unwrap_or_default();
        rest = behind;
        if told[label..].trim().trim_end_matches('/') != target.trim_end_matches('/') {
            told.truncate(told.trim_end_matches(' ').len());
            told.push_str(if told.is_empty() || told.ends_with('\n') { "(" } else { " (" });
            told.push_str(target);
            told.push(')');
        }
        label = told.len();
    }
    told.push_str(rest);
    told
}

/// Refuses HTML whose parsing would be quadratic. The depth that it counts is never less than the parser's: an element
/// counts as open until its own end tag comes right after its content, and what this scan could read otherwise than the
/// parser is refused.
pub(super) fn bound(html: &str) -> Result<(), Cause> {
    let mut open: Vec<&str> = Vec::new();
    let mut weight = 0;
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        if let Some(comment) = rest.strip_prefix("!--") {
            rest = &comment[comment_end(comment)..];
            continue;
        }
        let closes = rest.starts_with('/');
        let tag = &rest[usize::from(closes)..];
        if !tag.starts_with(|letter: char| letter.is_ascii_alphabetic()) {
            continue;
        }
        let name_end = tag.find(|letter: char| letter.is_ascii_whitespace() || matches!(letter, '/' | '>'));
        let (name, attributes) = tag.split_at(name_end.unwrap_or(tag.len()));
        rest = &attributes[tag_end(attributes)..];
        let is_one_of = |names: &[&str]| names.iter().any(|other| other.eq_ignore_ascii_case(name));
        let is_same = open.last().is_some_and(|last| last.eq_ignore_ascii_case(name));
        if is_one_of(&UNREADABLE) {
            return Err(no_text());
        } else if closes && is_same {
            open.pop();
        } else if !closes && is_one_of(&RAW) {
            let content = &rest[..raw_end(rest, name)];
            if content.contains("<!--") {
                return Err(no_text());
            }
            rest = &rest[content.len()..];
            open.push(name);
        } else if !closes && !is_one_of(&VOID) && (!is_same || !is_one_of(&SELF_CLOSING)) {
            open.push(name);
        }
        weight += open.len();
        if open.len() > HTML_DEPTH || weight > HTML_WEIGHT {
            return Err(Cause::Budget(Limit::Depth(HTML_DEPTH)));
        }
    }
    Ok(())
}

fn no_text() -> Cause {
    Cause::Template("no text can be made of this HTML; give the step a `text_body`".to_owned())
}

/// The offset after a comment whose text begins here.
fn comment_end(comment: &str) -> usize {
    let abrupt = [">", "->"].iter().find(|end| comment.starts_with(**end)).map(|end| end.len());
    let is_end = |at: &usize| comment[..*at].ends_with("--") || comment[..*at].ends_with("--!");
    let end = || comment.match_indices('>').map(|(at, _)| at).find(is_end).map(|at| at + 1);
    abrupt.or_else(end).unwrap_or(comment.len())
}

/// The offset of the end tag of the element `name`, in whose text there are no tags.
fn raw_end(text: &str, name: &str) -> usize {
    let is_end = |at: usize| {
        let end = text.get(at + 2..at + 2 + name.len()).is_some_and(|end| end.eq_ignore_ascii_case(name));
        end && text[at + 2 + name.len()..].starts_with(['>', '/', ' ', '\t', '\n', '\r', '\u{c}'])
    };
    text.match_indices("</").map(|(at, _)| at).find(|at| is_end(*at)).unwrap_or(text.len())
}

/// The offset of the `>` that ends a tag: a quote counts only where a value begins.
fn tag_end(attributes: &str) -> usize {
    enum In {
        Gap,
        Name,
        AfterName,
        BeforeValue,
        Value,
        Quoted(u8),
    }
    let mut state = In::Gap;
    for (at, byte) in attributes.bytes().enumerate() {
        let space = byte.is_ascii_whitespace();
        state = match (state, byte) {
            (In::Quoted(quote), byte) if byte == quote => In::Gap,
            (In::Quoted(quote), _) => In::Quoted(quote),
            (_, b'>') => return at,
            (In::BeforeValue, b'"' | b'\'') => In::Quoted(byte),
            (In::BeforeValue, _) if space => In::BeforeValue,
            (In::BeforeValue, _) => In::Value,
            (In::Value, _) => {
                if space {
                    In::Gap
                } else {
                    In::Value
                }
            }
            (In::Gap | In::Name | In::AfterName, b'/') => In::Gap,
            (In::Name | In::AfterName, b'=') => In::BeforeValue,
            (In::Name | In::AfterName, _) if space => In::AfterName,
            (In::Gap, _) if space => In::Gap,
            (In::Gap | In::Name | In::AfterName, _) => In::Name,
        };
    }
    attributes.len()
}

/// Shows where links lead, and nothing else of the HTML's looks.
#[derive(Clone, Debug, Default)]
struct Links {
    target: Option<String>,
}

impl TextDecorator for Links {
    type Annotation = ();

    fn decorate_link_start(&mut self, url: &str) -> (String, ()) {
        let shown = ["https://", "http://", "mailto:"].iter().any(|scheme| url.starts_with(scheme));
        self.target = shown.then(|| url.trim_start_matches("mailto:").to_owned());
        (self.target.as_ref().map(|_| LINK.to_string()).unwrap_or_default(), ())
    }

    fn decorate_link_end(&mut self) -> String {
        self.target.take().map(|url| format!("{LEADS}{url}{END}")).unwrap_or_default()
    }

    fn decorate_em_start(&self) -> (String, ()) {
        (String::new(), ())
    }

    fn decorate_em_end(&self) -> String {
        String::new()
    }

    fn decorate_strong_start(&self) -> (String, ()) {
        (String::new(), ())
    }

    fn decorate_strong_end(&self) -> String {
        String::new()
    }

    fn decorate_strikeout_start(&self) -> (String, ()) {
        (String::new(), ())
    }

    fn decorate_strikeout_end(&self) -> String {
        String::new()
    }

    fn decorate_code_start(&self) -> (String, ()) {
        (String::new(), ())
    }

    fn decorate_code_end(&self) -> String {
        String::new()
    }

    fn decorate_preformat_first(&self) {}

    fn decorate_preformat_cont(&self) {}

    fn decorate_image(&mut self, _: &str, title: &str) -> (String, ()) {
        (title.to_owned(), ())
    }

    fn header_prefix(&self, _: usize) -> String {
        String::new()
    }

    fn quote_prefix(&self) -> String {
        "> ".to_owned()
    }

    fn unordered_item_prefix(&self) -> String {
        "- ".to_owned()
    }

    fn ordered_item_prefix(&self, number: i64) -> String {
        format!("{number}. ")
    }

    fn make_subblock_decorator(&self) -> Self {
        Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_keeps_what_a_reader_needs() {
        let cases = [
            ("<h1>Hi</h1><p>One<br>two</p>", "Hi\n\nOne\ntwo"),
            ("<p><a href=\"https://x.y/a?b=1&amp;c=2\">Open</a> it</p>", "Open (https://x.y/a?b=1&c=2) it"),
            ("<a href=\"https://x.y/?a=1&amp;b=2\">https://x.y/?a=1&amp;b=2</a>", "https://x.y/?a=1&b=2"),
            ("<a href=\"https://x.y/\"> https://x.y </a>", "https://x.y"),
            ("Ask <a href=\"mailto:a@x.y\">a@x.y</a>.", "Ask a@x.y."),
            ("a <a href=\"https://x.y\"> b </a> c", "a b (https://x.y) c"),
            ("<a href=\"https://x.y\"><img src=\"i\" alt=\"I\"></a>", "I (https://x.y)"),
            ("<a href=\"#top\">Up</a>", "Up"),
            ("\u{E000}a\u{E001}b\u{E002}", "ab"),
            ("<ul><li>a</li><li>b</li></ul>", "- a\n- b"),
            ("<table><tr><td>a</td><td>b</td></tr></table>", "a\nb"),
            ("<style>p{color:red}</style><p>x</p><script>y</script>", "x"),
            ("", ""),
        ];
        for (html, expected) in cases {
            assert_eq!(from_html(html).unwrap(), expected, "{html}");
        }
    }

    /// Who reads the text of a mail that resets a password has no other way to follow its link.
    #[test]
    fn a_link_that_is_longer_than_a_line_is_not_broken() {
        let url = format!("https://x.y/reset?token={}", "a1-b2_".repeat(40));
        let html = format!(
            "<p>Choose a new one:</p><blockquote><p><a href=\"{url}\">{url}</a></p></blockquote>\
             <ul><li>Or <a href=\"{url}\">here</a>, then sign in</li></ul><p>As text: {url}</p>"
        );
        let text = from_html(&html).unwrap();
        let expected =
            format!("Choose a new one:\n\n> {url}\n- Or here\n  ({url}),\n  then sign in\n\nAs text:\n{url}");
        assert_eq!(text, expected);
    }

    #[test]
    fn hostile_html_is_answered_at_once() {
        let deep = "<b id=".to_owned() + &(0..60).map(|n| format!("{n}><b id=")).collect::<String>() + "x>";
        let cases = [
            "<div>".repeat(200_000),
            "<div><!--</div>-->".repeat(50_000),
            "<div></p>".repeat(50_000),
            "<b><div></b>".repeat(50_000),
            "<div a=\"</div>\">".repeat(50_000),
            "<div a = '</div>'>".repeat(50_000),
            "<div \"><div \">".repeat(50_000),
            "<div =\"><div =\">".repeat(50_000),
            format!("<div \">{}", "<div>".repeat(50_000)),
            format!("<style><!--</style>{}", "<div>".repeat(50_000)),
            format!("<!----!>{}-->", "<div>".repeat(50_000)),
            format!("<title>{}", "<div>".repeat(50_000)),
            "<svg><style>".to_owned() + &"<div>".repeat(50_000),
            "<!---->".repeat(140_000),
            "<table><tr><td>".repeat(40),
            "<blockquote>".repeat(120) + &"a ".repeat(10_000),
            "<ul><li>".repeat(60) + &"a ".repeat(10_000),
            format!("<p>{deep}</p>{}", "<p>x".repeat(100_000)),
            format!("<p>{deep}{}", "</p>x".repeat(100_000)),
            "<p>a".repeat(20_000),
            "<".repeat(1_000_000),
            "a".repeat(1_000_000),
        ];
        for case in cases {
            let _ = from_html(&case);
        }
        assert_eq!(from_html(&"<div>".repeat(129)), Err(Cause::Budget(Limit::Depth(HTML_DEPTH))));
    }
}
