//! Where the tags of a template's source lie, in the eyes of what compiles the text around them: Markdown, and markup that
//! is made for visual blocks. What is wrong with a tag is its parser's to say.

use std::ops::Range;

use super::error::{Complaint, Position};
use crate::model::workflow::Engine;

/// A tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    /// Its bytes in the source, braces included.
    pub(super) range: Range<usize>,
    pub(super) kind: TagKind,
    /// Whether its braces are.
    closed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TagKind {
    /// It stands for text.
    Output,
    /// It begins a block.
    Open { is_loop: bool },
    /// It divides the block that it stands in.
    Divide,
    /// It ends a block.
    Close,
    /// It does something in its place: an assignment, a comment, a partial.
    Other,
}

impl TagKind {
    /// Whether the tag prints no text of its own in a line.
    pub(super) fn is_control(self) -> bool {
        self != Self::Output
    }
}

/// The tags of `source`, which ends all of them itself: in a template that is sewn together, one that is not would swallow
/// what comes behind it, and the fault be told of that.
pub(super) fn closed_tags(source: &str, engine: Engine) -> Result<Vec<Tag>, Complaint> {
    let tags = tags(source, engine);
    match tags.last() {
        Some(Tag { range, closed: false, .. }) => Err(never_closed(source, range.start)),
        _ => Ok(tags),
    }
}

/// The complaint about the tag that begins at `open`.
pub(super) fn never_closed(source: &str, open: usize) -> Complaint {
    let (problem, fix) = if source[open..].starts_with("{%") {
        ("`{%` is never closed", "Check that each {% has its %}.")
    } else {
        ("`{{` is never closed", "Check that each {{ has its }}, and each text both of its quotes.")
    };
    Complaint::new(Some(Position::of(source, open)), problem, fix)
}

/// The tags of `source`, in order. One that is never closed reaches to the end.
pub(super) fn tags(source: &str, engine: Engine) -> Vec<Tag> {
    let mut tags = Vec::new();
    let mut from = 0;
    while let Some(open) = source[from..].find("{").map(|at| from + at) {
        let found = match engine {
            Engine::Liquid => liquid(source, open),
            Engine::Handlebars => handlebars(source, open),
        };
        match found {
            Some(tag) => {
                from = tag.range.end;
                tags.push(tag);
            }
            None => from = open + 1,
        }
    }
    tags
}

fn liquid(source: &str, open: usize) -> Option<Tag> {
    let rest = &source[open..];
    if rest.starts_with("{{") {
        let end = output_end(source, open + 2);
        let range = open..end.unwrap_or(source.len());
        return Some(Tag { range, kind: TagKind::Output, closed: end.is_some() });
    }
    let inside = rest.strip_prefix("{%")?;
    let closing = inside.find("%}");
    let end = closing.map_or(source.len(), |at| open + 2 + at + 2);
    let content = inside.trim_start_matches('-').trim_start();
    let length = content.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(content.len());
    let name = &content[..length];
    let tag = |end, kind| Some(Tag { range: open..end, kind, closed: closing.is_some() });
    match name {
        // What stands inside is no template.
        "raw" | "comment" => tag(close_of(source, end, name), TagKind::Other),
        "if" | "unless" | "case" | "capture" | "t" => tag(end, TagKind::Open { is_loop: false }),
        "for" | "tablerow" => tag(end, TagKind::Open { is_loop: true }),
        "else" | "elsif" | "when" => tag(end, TagKind::Divide),
        "echo" => tag(end, TagKind::Output),
        name if name.starts_with("end") => tag(end, TagKind::Close),
        _ => tag(end, TagKind::Other),
    }
}

/// Where the output that begins before `at` ends: at the first `}}` outside of quotes, if there is one.
pub(super) fn output_end(source: &str, mut at: usize) -> Option<usize> {
    let bytes = source.as_bytes();
    let mut quote = None;
    while let Some(&byte) = bytes.get(at) {
        match (quote, byte) {
            (Some(_), b'\\') => at += 1,
            (Some(open), byte) if byte == open => quote = None,
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b'}') if bytes.get(at + 1) == Some(&b'}') => return Some(at + 2),
            _ => {}
        }
        at += 1;
    }
    None
}

/// Where `{% endNAME %}` ends.
fn close_of(source: &str, from: usize, name: &str) -> usize {
    let mut at = from;
    while let Some(open) = source[at..].find("{%").map(|offset| at + offset) {
        let inside = source[open + 2..].trim_start_matches('-').trim_start();
        at = source[open..].find("%}").map_or(source.len(), |offset| open + offset + 2);
        if inside.strip_prefix("end").is_some_and(|rest| rest.starts_with(name)) {
            return at;
        }
    }
    source.len()
}

fn handlebars(source: &str, open: usize) -> Option<Tag> {
    let rest = &source[open..];
    if !rest.starts_with("{{") {
        return None;
    }
    // Escaped: only the braces are kept from being read as Markdown.
    if source[..open].ends_with('\\') && !source[..open].ends_with("\\\\") {
        return Some(Tag { range: open..open + 2, kind: TagKind::Output, closed: true });
    }
    let braces = rest.bytes().take_while(|byte| *byte == b'{').count().min(3);
    let content = rest[braces..].trim_start_matches('~').trim_start();
    let kind = match content.as_bytes().first() {
        Some(b'#') => {
            let name = content[1..].trim_start();
            TagKind::Open { is_loop: name.starts_with("each") }
        }
        Some(b'/') => TagKind::Close,
        Some(b'^') => TagKind::Divide,
        Some(b'!' | b'>' | b'*') => TagKind::Other,
        _ if is_else(content) => TagKind::Divide,
        _ => TagKind::Output,
    };
    let end = match content.strip_prefix("!--") {
        Some(comment) => comment.find("--}}").map(|at| source.len() - comment.len() + at + 4),
        // And the third brace of `{{{name}}}`.
        None => output_end(source, open + braces)
            .map(|end| if braces == 3 && source[end..].starts_with('}') { end + 1 } else { end }),
    };
    Some(Tag { range: open..end.unwrap_or(source.len()), kind, closed: end.is_some() })
}

fn is_else(content: &str) -> bool {
    content.strip_prefix("else").is_some_and(|rest| rest.starts_with(['}', ' ', '~', '\t', '\n', '\r']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(source: &str, engine: Engine) -> Vec<(&str, TagKind)> {
        tags(source, engine).into_iter().map(|tag| (&source[tag.range], tag.kind)).collect()
    }

    #[test]
    fn liquid_tags_are_found_with_what_they_do() {
        use TagKind::*;
        let source = "a {{ x | default: '}}' }}{%- if a > 1 -%}{% else %}{% endif %}{% for i in l %}{% raw %}{{ y }}{% endraw %}{% assign a = 1 %}{";
        assert_eq!(
            found(source, Engine::Liquid),
            [
                ("{{ x | default: '}}' }}", Output),
                ("{%- if a > 1 -%}", Open { is_loop: false }),
                ("{% else %}", Divide),
                ("{% endif %}", Close),
                ("{% for i in l %}", Open { is_loop: true }),
                ("{% raw %}{{ y }}{% endraw %}", Other),
                ("{% assign a = 1 %}", Other),
            ]
        );
    }

    #[test]
    fn handlebars_tags_are_found_with_what_they_do() {
        use TagKind::*;
        let source = r#"{{name}} {{{html}}} {{#if a}}{{else}}{{/if}}{{#each l}}{{!-- {{x}} --}}{{> card}} \{{no}} {{elsewhere}}"#;
        assert_eq!(
            found(source, Engine::Handlebars),
            [
                ("{{name}}", Output),
                ("{{{html}}}", Output),
                ("{{#if a}}", Open { is_loop: false }),
                ("{{else}}", Divide),
                ("{{/if}}", Close),
                ("{{#each l}}", Open { is_loop: true }),
                ("{{!-- {{x}} --}}", Other),
                ("{{> card}}", Other),
                ("{{", Output),
                ("{{elsewhere}}", Output),
            ]
        );
    }

    #[test]
    fn what_is_never_closed_reaches_to_the_end() {
        for engine in [Engine::Liquid, Engine::Handlebars] {
            assert_eq!(tags("a {{ x", engine)[0].range, 2..6);
            assert_eq!(tags("é{{ 'x }}é", engine)[0].range, 2..12);
        }
        assert_eq!(tags("{% raw %}{{", Engine::Liquid)[0].range, 0..11);
        assert_eq!(tags("{{!-- x", Engine::Handlebars)[0].range, 0..7);
    }
}
