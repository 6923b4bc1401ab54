//! Markdown of an email, which is compiled before it is rendered: what data says is never read as Markdown. Tags are put
//! aside, so that Markdown neither escapes nor wraps them, and come back into the HTML as they were.

use std::fmt::Write;
use std::ops::Range;

use pulldown_cmark::Tag as MarkdownTag;
use pulldown_cmark::{Event, Options, Parser, TagEnd, html};

use super::budget::{HTML_DEPTH, SOURCE_BYTES};
use super::error::Complaint;
use super::patchwork::Patchwork;
use super::tags::{Tag, TagKind, closed_tags};
use crate::model::workflow::Engine;

/// Punctuation around a tag that prints nothing, so that emphasis begins and ends beside it as beside the tag itself.
const CONTROL: (&str, &str) = ("\u{2e28}", "\u{2e29}");

/// What may stand around the name of a tag in the HTML, and goes with it.
const WRAPPINGS: [(&str, &str); 3] = [("<!--", "-->"), ("&lt;!--", "--&gt;"), CONTROL];

/// Adds the HTML of `markdown`, whose errors are those of `field`.
pub(super) fn compile(
    markdown: &str,
    engine: Engine,
    field: String,
    patchwork: &mut Patchwork,
) -> Result<(), Complaint> {
    if markdown.len() > SOURCE_BYTES {
        let problem = format!("the text has {} bytes, more than {SOURCE_BYTES}", markdown.len());
        return Err(Complaint::new(None, problem, "Move what is data out of the template."));
    }
    let tags = closed_tags(markdown, engine)?;
    let names = Names::for_text(markdown);
    let html = to_html(&stand_ins(markdown, &tags, &names), &names, &tags)?;
    let text = patchwork.text(field, markdown);
    restore(&html, &names, &tags, text, patchwork);
    Ok(())
}

/// The names that stand in for tags: letters and digits, which Markdown leaves alone wherever they are.
struct Names {
    prefix: String,
}

impl Names {
    /// Such as do not occur in `text`.
    fn for_text(text: &str) -> Self {
        let prefix = (0_usize..).map(|number| format!("qx{number}t")).find(|prefix| !text.contains(prefix));
        Self { prefix: prefix.unwrap_or_default() }
    }

    fn of(&self, index: usize) -> String {
        format!("{}{index}z", self.prefix)
    }

    /// The index of the tag whose name `text` begins with, and the length of that name.
    fn read(&self, text: &str) -> Option<(usize, usize)> {
        let rest = text.strip_prefix(&self.prefix)?;
        let digits = rest.find(|letter: char| !letter.is_ascii_digit())?;
        rest[digits..].starts_with('z').then_some(())?;
        Some((rest[..digits].parse().ok()?, self.prefix.len() + digits + 1))
    }
}

/// A line of the Markdown, with names for tags.
struct Line {
    text: String,
    /// The tags of a line that has nothing else.
    alone: Option<Range<usize>>,
}

/// The Markdown with names for tags. A line of tags that print nothing becomes a line of HTML comments: a block of its
/// own, in no paragraph.
fn stand_ins(markdown: &str, tags: &[Tag], names: &Names) -> String {
    let mut lines = lines(markdown, tags, names);
    dedent(&mut lines, tags);
    let mut text = String::with_capacity(markdown.len() + tags.len() * 16);
    for line in lines {
        match line.alone {
            Some(alone) => {
                let indent = indent(&line.text);
                text.push_str(&line.text[..indent]);
                alone.for_each(|index| {
                    let _ = write!(text, "<!--{}-->", names.of(index));
                });
            }
            None => text.push_str(&line.text),
        }
        text.push('\n');
    }
    text
}

fn lines(markdown: &str, tags: &[Tag], names: &Names) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut place = Place::default();
    let (mut line, mut first, mut plain, mut at) = (String::new(), 0, false, 0);
    for (index, tag) in tags.iter().map(Some).chain([None]).enumerate() {
        let until = tag.map_or(markdown.len(), |tag| tag.range.start);
        let mut text = markdown[at..until].split('\n');
        let mut piece = text.next().unwrap_or_default();
        loop {
            place.read(piece);
            plain = plain || !piece.trim().is_empty();
            line.push_str(piece);
            let Some(next) = text.next() else { break };
            let alone = (!plain && index > first).then_some(first..index);
            lines.push(Line { text: std::mem::take(&mut line), alone });
            place.read("\n");
            (piece, first, plain) = (next, index, false);
        }
        let Some(tag) = tag else { break };
        at = tag.range.end;
        plain = plain || !tag.kind.is_control();
        let name = names.of(index);
        let _ = match (tag.kind.is_control(), place) {
            (false, _) | (_, Place::Link | Place::Quoted(_)) => write!(line, "{name}"),
            (true, Place::Tag) => write!(line, " {name} "),
            (true, Place::Text) => write!(line, "{}{name}{}", CONTROL.0, CONTROL.1),
        };
    }
    let alone = (!plain && tags.len() > first).then_some(first..tags.len());
    lines.push(Line { text: line, alone });
    lines
}

/// Where in a line of Markdown a tag stands.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Text,
    /// In the target of a link.
    Link,
    /// In a tag of HTML, outside of quotes.
    Tag,
    /// In a value there.
    Quoted(char),
}

impl Place {
    fn read(&mut self, text: &str) {
        for (at, letter) in text.char_indices() {
            let next = text[at + letter.len_utf8()..].chars().next();
            *self = match (*self, letter) {
                (Self::Text, '<') if next.is_some_and(|next| next.is_ascii_alphabetic() || next == '/') => Self::Tag,
                (Self::Text, ']') if next == Some('(') => Self::Link,
                (Self::Link, ')' | '\n') | (Self::Tag, '>') => Self::Text,
                (Self::Tag, '"' | '\'') => Self::Quoted(letter),
                (Self::Quoted(quote), letter) if letter == quote => Self::Tag,
                (same, _) => same,
            };
        }
    }
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start_matches([' ', '\t']).len()
}

/// Takes away what authors indent the bodies of blocks by: four blanks would make them code.
fn dedent(lines: &mut [Line], tags: &[Tag]) {
    let mut open: Vec<usize> = Vec::new();
    for at in 0..lines.len() {
        let Some(alone) = lines[at].alone.clone() else { continue };
        for tag in &tags[alone] {
            if matches!(tag.kind, TagKind::Divide | TagKind::Close)
                && let Some(start) = open.pop()
            {
                shift(&mut lines[start..at]);
            }
            if matches!(tag.kind, TagKind::Divide | TagKind::Open { .. }) {
                open.push(at);
            }
        }
    }
}

/// Moves the lines behind the first so far to the left that the least indented of them stands below it.
fn shift(lines: &mut [Line]) {
    let Some((head, body)) = lines.split_first_mut() else { return };
    let least = body.iter().filter(|line| !line.text.trim().is_empty() || line.alone.is_some());
    let Some(least) = least.map(|line| indent(&line.text)).min() else { return };
    let by = least.saturating_sub(indent(&head.text));
    for line in body {
        line.text.drain(..by.min(indent(&line.text)));
    }
}

fn to_html(markdown: &str, names: &Names, tags: &[Tag]) -> Result<String, Complaint> {
    let mut depth = 0usize;
    let mut events = Vec::new();
    for event in Parser::new_ext(markdown, Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TABLES) {
        match event {
            Event::Start(_) => depth += 1,
            Event::End(_) => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > HTML_DEPTH {
            let problem = format!("the Markdown nests deeper than {HTML_DEPTH} levels");
            return Err(Complaint::new(None, problem, "Flatten it."));
        }
        events.push(event);
    }
    hoist_lists(&mut events, names, tags);
    let mut rendered = String::with_capacity(markdown.len() * 2);
    html::push_html(&mut rendered, events.into_iter());
    Ok(rendered)
}

/// Puts a loop whose body is one list into that list: a list for each item would stand apart from the next.
fn hoist_lists(events: &mut [Event<'_>], names: &Names, tags: &[Tag]) {
    // The three events of an HTML block that is one comment.
    let comment = |events: &[Event<'_>], at: usize| match events.get(at..at + 3) {
        Some([Event::Start(MarkdownTag::HtmlBlock), Event::Html(text), Event::End(TagEnd::HtmlBlock)]) => {
            let name = text.trim().strip_prefix("<!--")?.strip_suffix("-->")?;
            let (index, length) = names.read(name)?;
            (length == name.len()).then(|| tags.get(index).map(|tag| tag.kind))?
        }
        _ => None,
    };
    let mut at = 0;
    while at + 3 < events.len() {
        let opens = comment(events, at) == Some(TagKind::Open { is_loop: true });
        if opens
            && matches!(events[at + 3], Event::Start(MarkdownTag::List(_)))
            && let Some(end) = list_end(events, at + 3)
            && comment(events, end + 1) == Some(TagKind::Close)
        {
            events[at..at + 4].rotate_right(1);
            events[end..end + 4].rotate_left(1);
        }
        at += 1;
    }
}

/// Where the list that begins at `start` ends.
fn list_end(events: &[Event<'_>], start: usize) -> Option<usize> {
    let mut depth = 0usize;
    events.iter().enumerate().skip(start).find_map(|(at, event)| {
        match event {
            Event::Start(_) => depth += 1,
            Event::End(_) => depth = depth.saturating_sub(1),
            _ => {}
        }
        (depth == 0).then_some(at)
    })
}

/// Adds the HTML with the tags in the places of their names.
fn restore(html: &str, names: &Names, tags: &[Tag], text: usize, patchwork: &mut Patchwork) {
    let mut rest = html;
    while let Some(at) = rest.find(&names.prefix) {
        let (before, after) = rest.split_at(at);
        let Some((tag, length)) = names.read(after).and_then(|(index, length)| Some((tags.get(index)?, length))) else {
            patchwork.write(&rest[..at + names.prefix.len()]);
            rest = &after[names.prefix.len()..];
            continue;
        };
        let after = &after[length..];
        let wrapping = WRAPPINGS.iter().find(|(start, end)| before.ends_with(start) && after.starts_with(end));
        let (start, end) = wrapping.map_or((0, 0), |(start, end)| (start.len(), end.len()));
        patchwork.write(&before[..before.len() - start]);
        patchwork.patch(text, tag.range.clone());
        rest = &after[end..];
    }
    patchwork.write(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compiled(markdown: &str, engine: Engine) -> String {
        let mut patchwork = Patchwork::default();
        compile(markdown, engine, "content".into(), &mut patchwork).unwrap();
        patchwork.finish().0.trim_end().to_owned()
    }

    #[test]
    fn tags_are_not_read_as_markdown() {
        for (markdown, html) in [
            (
                "**{{ actor.name}}** left {{ n | pluralize: \"a_b_\", '*c*' }}",
                "<p><strong>{{ actor.name}}</strong> left {{ n | pluralize: \"a_b_\", '*c*' }}</p>",
            ),
            ("{{ url }}", "<p>{{ url }}</p>"),
            ("[Open]({{ vars.app_url }}/p/{{ id }})", "<p><a href=\"{{ vars.app_url }}/p/{{ id }}\">Open</a></p>"),
            ("<a href=\"{{ x | default: \"y\" }}\">z</a>", "<p><a href=\"{{ x | default: \"y\" }}\">z</a></p>"),
            ("a {% if b > 1 %}_c_{% endif %} d", "<p>a {% if b > 1 %}<em>c</em>{% endif %} d</p>"),
            ("{% if b %}**c**{% endif %}", "<p>{% if b %}<strong>c</strong>{% endif %}</p>"),
            ("<a {% if b %}href=\"c\"{% endif %}>d</a>", "<p><a  {% if b %} href=\"c\" {% endif %} >d</a></p>"),
            ("`{{ code }}` & <b>x</b>", "<p><code>{{ code }}</code> &amp; <b>x</b></p>"),
            ("# {{ a }} — \"b\"", "<h1>{{ a }} — \"b\"</h1>"),
        ] {
            assert_eq!(compiled(markdown, Engine::Liquid), html, "{markdown}");
        }
    }

    #[test]
    fn a_tag_alone_on_its_line_is_in_no_paragraph() {
        let markdown =
            "Hi\n{% if a > 1 %} \n **b** c\n{% elsif  d %}\n  e\n\n  > {{ f }}\n{% else %}\ng\n{% endif %}\nend";
        let html = "<p>Hi</p>\n{% if a > 1 %}\n<p><strong>b</strong> c</p>\n{% elsif  d %}\n<p>e</p>\n<blockquote>\n\
                    <p>{{ f }}</p>\n</blockquote>\n{% else %}\n<p>g</p>\n{% endif %}\n<p>end</p>";
        assert_eq!(compiled(markdown, Engine::Liquid), html);
        let markdown = "{{#if a}}\n> {{b}}\n{{else}}\n{{> card}}\n{{/if}}";
        let html = "{{#if a}}\n<blockquote>\n<p>{{b}}</p>\n</blockquote>\n{{else}}\n{{> card}}\n{{/if}}";
        assert_eq!(compiled(markdown, Engine::Handlebars), html);
    }

    #[test]
    fn indented_bodies_are_no_code() {
        let markdown =
            "{% if a %}\n    {% for b in c %}\n        **{{ b }}**\n    {% endfor %}\n{% endif %}\n\n    code";
        let html = "{% if a %}\n{% for b in c %}\n<p><strong>{{ b }}</strong></p>\n{% endfor %}\n{% endif %}\n\
                    <pre><code>code\n</code></pre>";
        assert_eq!(compiled(markdown, Engine::Liquid), html);
    }

    #[test]
    fn a_loop_over_items_of_a_list_is_one_list() {
        let markdown = "{% for b in c %}\n- {{ b }}\n{% endfor %}";
        let html = "<ul>\n{% for b in c %}\n<li>{{ b }}</li>\n{% endfor %}\n</ul>";
        assert_eq!(compiled(markdown, Engine::Liquid), html);
        let markdown = "- a\n  {% if b %}\n  more\n  {% endif %}\n- c";
        let html = "<ul>\n<li>a{% if b %}\nmore{% endif %}\n</li>\n<li>c</li>\n</ul>";
        assert_eq!(compiled(markdown, Engine::Liquid), html);
    }

    #[test]
    fn html_of_the_author_stays_and_names_in_the_text_do_not_collide() {
        let markdown = "<blockquote>\n{{ a }} — qx0t0z\n</blockquote>";
        assert_eq!(compiled(markdown, Engine::Liquid), markdown);
        assert_eq!(
            compiled("{% raw %}{{ *a* }}{% endraw %} *b*", Engine::Liquid),
            "<p>{% raw %}{{ *a* }}{% endraw %} <em>b</em></p>"
        );
    }
}
