//! Tracking in a finished email: its links lead through this server, and a picture tells that it was opened. Everything
//! else stays byte for byte as it was.

use std::ops::Range;

use crate::base::ids::MessageId;
use crate::model::link::Links;
use crate::model::tracking::Tracking;

/// The attribute by which an author keeps a link as it is.
const OPT_OUT: &str = "data-knock-no-track";
/// Longer targets are left as they are: mail clients cut longer links.
const LONGEST_TARGET: usize = 1_500;
/// Elements whose text holds no tags.
const RAW: [&str; 4] = ["style", "script", "title", "textarea"];

/// `html`, the whole of `message`, with what is tracked of it.
pub fn track(html: String, message: MessageId, links: &Links, tracking: Tracking) -> String {
    let linked = if tracking.links || html.contains(OPT_OUT) {
        rewrite(&html, |target| {
            let tracked = tracking.links && is_trackable(target) && !links.is_own(target);
            tracked.then(|| links.click(message, target))
        })
    } else {
        html
    };
    if tracking.opens { with_picture(linked, &links.open(message)) } else { linked }
}

/// Only what a browser opens, and what fits into a header of the answer that leads there.
fn is_trackable(target: &str) -> bool {
    let (scheme, rest) = target.split_at_checked("https://".len()).unwrap_or_default();
    scheme.eq_ignore_ascii_case("https://")
        && !rest.is_empty()
        && target.len() <= LONGEST_TARGET
        && !target.contains(|c: char| c.is_whitespace() || c.is_control())
}

/// Puts a picture of one pixel at the end of the body.
fn with_picture(html: String, url: &str) -> String {
    let end = html.to_ascii_lowercase().rfind("</body").unwrap_or(html.len());
    let (before, after) = html.split_at(end);
    let url = escape(url);
    format!(
        "{before}<img src=\"{url}\" width=\"1\" height=\"1\" alt=\"\" style=\"border:0;width:1px;height:1px\">{after}"
    )
}

/// Replaces the target of each link as `change` says, and takes out the marks that keep one as it is.
fn rewrite(html: &str, change: impl Fn(&str) -> Option<String>) -> String {
    let mut written = String::with_capacity(html.len() * 2);
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        written.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = if !rest.as_bytes().get(1).is_some_and(u8::is_ascii_alphabetic) {
            if rest.starts_with("<!--") { rest.find("-->").map_or(rest.len(), |end| end + 3) } else { 1 }
        } else if let Some(tag) = Tag::read(rest) {
            if tag.name.eq_ignore_ascii_case("a") {
                tag.write_anchor(rest, &mut written, &change);
                rest = &rest[tag.end..];
                continue;
            }
            match RAW.iter().find(|raw| tag.name.eq_ignore_ascii_case(raw)) {
                Some(raw) => tag.end + end_of_raw(&rest[tag.end..], raw),
                None => tag.end,
            }
        } else {
            // All the rest is in a tag that nothing ends.
            rest.len()
        };
        written.push_str(&rest[..end]);
        rest = &rest[end..];
    }
    written.push_str(rest);
    written
}

/// Where the text of a raw element ends.
fn end_of_raw(text: &str, name: &str) -> usize {
    let ends = |at: &usize| {
        text.as_bytes()[at + 2..].get(..name.len()).is_some_and(|is| is.eq_ignore_ascii_case(name.as_bytes()))
    };
    text.match_indices("</").map(|(at, _)| at).find(ends).unwrap_or(text.len())
}

/// A start tag at the beginning of some text.
struct Tag<'a> {
    name: &'a str,
    attributes: Vec<Attribute>,
    /// Behind its `>`.
    end: usize,
}

/// Where an attribute stands in its tag's text.
struct Attribute {
    name: Range<usize>,
    /// Without quotes; empty at the name's end where there is none.
    value: Range<usize>,
    /// With its value's quotes.
    whole: Range<usize>,
}

impl<'a> Tag<'a> {
    /// Reads a start tag as browsers do; `None` if nothing ends it.
    fn read(text: &'a str) -> Option<Self> {
        let bytes = text.as_bytes();
        let skip = |from: usize, while_is: &dyn Fn(u8) -> bool| {
            bytes[from..].iter().position(|byte| !while_is(*byte)).map(|count| from + count)
        };
        let is_space = |byte: u8| byte.is_ascii_whitespace();
        let mut at = skip(1, &|byte| !is_space(byte) && byte != b'/' && byte != b'>')?;
        let name = &text[1..at];
        let mut attributes = Vec::new();
        loop {
            at = skip(at, &|byte| is_space(byte) || byte == b'/')?;
            if bytes[at] == b'>' {
                return Some(Self { name, attributes, end: at + 1 });
            }
            // A name may begin with a `=`, which no name goes on with.
            let begin = at;
            at = skip(at + 1, &|byte| !is_space(byte) && !matches!(byte, b'/' | b'>' | b'='))?;
            let name = begin..at;
            let next = skip(at, &is_space)?;
            if bytes[next] != b'=' {
                attributes.push(Attribute { value: at..at, whole: name.clone(), name });
                continue;
            }
            let from = skip(next + 1, &is_space)?;
            let value = match bytes[from] {
                quote @ (b'"' | b'\'') => {
                    let end = skip(from + 1, &|byte| byte != quote)?;
                    at = end + 1;
                    from + 1..end
                }
                _ => {
                    at = skip(from, &|byte| !is_space(byte) && byte != b'>')?;
                    from..at
                }
            };
            attributes.push(Attribute { name, value, whole: begin..at });
        }
    }

    fn attribute(&self, text: &str, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|one| text[one.name.clone()].eq_ignore_ascii_case(name))
    }

    fn write_anchor(&self, text: &str, written: &mut String, change: &impl Fn(&str) -> Option<String>) {
        if let Some(mark) = self.attribute(text, OPT_OUT) {
            written.push_str(text[..mark.whole.start].trim_end());
            written.push_str(&text[mark.whole.end..self.end]);
            return;
        }
        let href = self.attribute(text, "href");
        let changed = href.and_then(|href| change(decode(text[href.value.clone()].trim())?.as_str()).zip(Some(href)));
        match changed {
            Some((target, href)) => {
                written.push_str(&text[..href.whole.start]);
                written.push_str(&format!("href=\"{}\"", escape(&target)));
                written.push_str(&text[href.whole.end..self.end]);
            }
            None => written.push_str(&text[..self.end]),
        }
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;")
}

/// The text that an attribute's source stands for. `None`: it names a character by one of the two thousand names that are
/// not known here, and would be changed.
fn decode(source: &str) -> Option<String> {
    let mut text = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.find('&') {
        text.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '#').unwrap_or(rest.len());
        // Without a semicolon it is the `&` of a query.
        if end == 0 || !rest[end..].starts_with(';') {
            text.push('&');
            continue;
        }
        text.push(character(&rest[..end])?);
        rest = &rest[end + 1..];
    }
    text.push_str(rest);
    Some(text)
}

fn character(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        name => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => number.parse(),
            };
            char::from_u32(code.ok()?).filter(|c| *c != '\0')
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::link::Holder;
    use crate::model::recipient::RecipientRef;
    use proptest::prelude::*;

    const MESSAGE: [u8; 16] = [7; 16];

    fn links() -> Links {
        Links::new("https://belfry.test", &[1; 32])
    }

    fn tracked(html: &str) -> String {
        track(html.to_owned(), MessageId::from(MESSAGE), &links(), Tracking { opens: false, links: true })
    }

    /// Where the links of `html` lead in the end, in order; those that are not tracked as they are.
    fn targets(html: &str) -> Vec<String> {
        let mut found = Vec::new();
        for part in html.split("href=\"").skip(1) {
            let url = decode(part.split('"').next().unwrap()).unwrap();
            let token = url.strip_prefix("https://belfry.test/t/c/");
            found.push(token.map_or(url.clone(), |token| format!("-> {}", links().clicked(token).unwrap().1)));
        }
        found
    }

    #[test]
    fn links_of_the_web_lead_through_here_to_where_they_led() {
        let html = "<p><A class=b HREF='https://a.test/?x=1&amp;y=&#50;'>1</a> <a href=https://b.test/é>2</a>\n\
                    <a\thref = \"https://c.test/?a=1&b=2\" rel=nofollow>3</a></p>";
        let html = tracked(html);
        assert_eq!(targets(&html), ["-> https://a.test/?x=1&y=2", "-> https://b.test/é", "-> https://c.test/?a=1&b=2"]);
        assert!(html.contains("<A class=b href=\"") && html.contains(" rel=nofollow>3</a></p>"), "{html}");
    }

    #[test]
    fn what_is_no_link_of_the_web_or_is_our_own_or_is_marked_stays_as_it_is() {
        let own = links().unsubscribe(&Holder::new(RecipientRef::user("ann")));
        for html in [
            "<a href=\"mailto:a@b.test\">x</a>",
            "<a href=\"tel:+1\">x</a>",
            "<a href=\"#top\">x</a>",
            "<a href=\"javascript:alert(1)\">x</a>",
            "<a href=\"//c.test\">x</a>",
            "<a href=\"http://plain.test\">x</a>",
            "<a name=\"https://a.test\">x</a>",
            "<a href=\"https://a.test/&section;2\">x</a>",
            "<a href=\"https://a.test/a b\">x</a>",
            "<img alt='<a href=\"https://a.test\">'>",
            "<!-- <a href=\"https://a.test\"> -->",
            "<style>a[href^=\"https://a.test\"]::before{content:'<a href=\"https://a.test\">'}</style>",
            "<a href=\"https://a.test",
            "<article href=\"https://a.test\">",
            "a < b",
            &format!("<a href=\"{own}\">x</a>"),
        ] {
            assert_eq!(tracked(html), html);
        }
        let marked = "<a data-knock-no-track href=\"https://a.test\">x</a><a href=\"https://b.test\" data-knock-no-track=\"true\">";
        assert_eq!(tracked(marked), "<a href=\"https://a.test\">x</a><a href=\"https://b.test\">");
        let untracked = track(marked.into(), MessageId::from(MESSAGE), &links(), Tracking::default());
        assert_eq!(untracked, tracked(marked), "the mark is ours, and nobody else's to see");
    }

    #[test]
    fn the_picture_stands_at_the_end_of_the_body() {
        let opens = Tracking { opens: true, links: false };
        let picture = |html: &str| track(html.into(), MessageId::from(MESSAGE), &links(), opens);
        assert!(picture("<html><body><p>x</p></BODY></html>").ends_with("height:1px\"></BODY></html>"));
        let html = picture("<p>x</p>");
        assert!(html.starts_with("<p>x</p><img src=\"https://belfry.test/t/o/"), "{html}");
    }

    #[test]
    fn hostile_html_is_tracked_at_once() {
        for (piece, count) in [
            ("<a b=c ", 140_000),
            ("<a b='", 170_000),
            ("<a href=https://a.test", 45_000),
            ("<style></style>", 70_000),
            ("<style>", 140_000),
            ("<title></", 110_000),
            ("<!--", 250_000),
            ("<", 1_000_000),
        ] {
            let html = piece.repeat(count);
            assert_eq!(tracked(&html).len(), html.len(), "{piece}");
        }
    }

    proptest! {
        #[test]
        fn nothing_but_targets_changes_whatever_the_html(html in "([a-z\"'<>=/ &;!é-]|<a |href=|https://a\\.test|<!--|-->|<style>|</style>|<b ){0,60}") {
            let written = tracked(&html);
            let found = links();
            let mut rest = html.as_str();
            // Between the links that were made all is as it was.
            for (number, part) in written.split("href=\"https://belfry.test/t/c/").enumerate() {
                let kept = if number == 0 { part } else {
                    let (token, kept) = part.split_once('"').unwrap();
                    let (_, target) = found.clicked(token).unwrap();
                    prop_assert!(target.starts_with("https://"));
                    kept
                };
                let at = rest.find(kept);
                prop_assert!(at.is_some(), "{written} of {html}");
                rest = &rest[at.unwrap() + kept.len()..];
            }
        }
    }
}
