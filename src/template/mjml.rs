//! MJML to HTML.

use std::ops::Range;
use std::panic::catch_unwind;

use mrml::prelude::parser::Error;
use mrml::prelude::render::RenderOptions;

use super::budget::{EMAIL_BYTES, HTML_DEPTH, Limit};
use super::error::{Cause, Complaint, Position};
use super::tags::{TagKind, tags};
use crate::base::nearest::{did_you_mean, nearest};
use crate::model::workflow::Engine;

/// Every element of MJML. Its compiler hands on `mj-html-attributes` and what stands in that, which is in no mail's way.
const ELEMENTS: &str = "mj-accordion mj-accordion-element mj-accordion-text mj-accordion-title mj-all mj-attributes \
                        mj-body mj-breakpoint mj-button mj-carousel mj-carousel-image mj-class mj-column mj-divider \
                        mj-font mj-group mj-head mj-hero mj-html-attribute mj-html-attributes mj-image mj-include \
                        mj-navbar mj-navbar-link mj-preview mj-raw mj-section mj-selector mj-social mj-social-element mj-spacer mj-style mj-table mj-text mj-title \
                        mj-wrapper mjml";

/// What is wrong with a source that shall become MJML: elements that do not exist, which the compiler hands on as they
/// are, and those of a whole document that are not closed. Where tags decide or repeat, or other templates stand, nothing
/// is said of the latter: one branch may open what another closes.
pub(super) fn check(source: &str, engine: Engine) -> Vec<Complaint> {
    let tags = tags(source, engine);
    let is_whole = source.contains("<mjml") && tags.iter().all(|tag| tag.kind == TagKind::Output);
    let (mut markup, mut end) = (String::with_capacity(source.len()), 0);
    for range in tags.into_iter().map(|tag| tag.range) {
        markup.push_str(&source[end..range.start]);
        markup.extend(std::iter::repeat_n('\0', range.len()));
        end = range.end;
    }
    markup.push_str(&source[end..]);
    let complaint = |at: usize, problem: String, fix: String| {
        let complaint = Complaint::new(Some(Position::of(source, at)), problem, fix);
        Complaint { foreseen: true, ..complaint }
    };
    let mut found = Vec::new();
    let mut open: Vec<(&str, usize)> = Vec::new();
    let mut unclosed = None;
    let mut from = 0;
    while let Some(at) = markup[from..].find('<').map(|at| from + at) {
        let rest = &markup[at + 1..];
        if let Some(comment) = rest.strip_prefix("!--") {
            from = comment.find("-->").map_or(markup.len(), |end| markup.len() - comment.len() + end);
            continue;
        }
        from = at + 1;
        let (closes, rest) = rest.strip_prefix('/').map_or((false, rest), |rest| (true, rest));
        let length = rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-').unwrap_or(rest.len());
        let (name, attributes) = (&rest[..length], &rest[length..]);
        // A tag may make the rest of a name.
        if !(name == "mjml" || name.starts_with("mj-")) || attributes.starts_with('\0') {
            continue;
        }
        if !closes && ELEMENTS.split(' ').all(|known| known != name) {
            let fix = did_you_mean(nearest(name, ELEMENTS.split(' ')), "See https://documentation.mjml.io.");
            found.push(complaint(at, format!("MJML has no element `<{name}>`"), fix));
        }
        if closes {
            match open.pop() {
                Some((opened, _)) if opened == name => {}
                Some((opened, begun)) => {
                    unclosed =
                        unclosed.or(Some((begun, format!("`<{opened}>` is not closed before `</{name}>`"), opened)))
                }
                None => unclosed = unclosed.or(Some((at, format!("`</{name}>` closes nothing"), name))),
            }
        } else {
            // In what never ends there is no element.
            let Some(end) = end_of(attributes) else { break };
            if !attributes[..end].ends_with('/') {
                open.push((name, at));
            }
            from = markup.len() - attributes.len() + end;
        }
    }
    let left = open.pop().map(|(name, at)| (at, format!("`<{name}>` is never closed"), name));
    if let Some((at, problem, name)) = unclosed.or(left).filter(|_| is_whole) {
        found.push(complaint(at, problem, format!("Each `<{name}>` needs its `</{name}>`, in the reverse order.")));
    }
    found
}

/// Where the attributes end that stand at the beginning of `text`: at the first `>` outside of quotes.
fn end_of(text: &str) -> Option<usize> {
    let mut quote = None;
    for (at, letter) in text.char_indices() {
        match (quote, letter) {
            (Some(open), letter) if open == letter => quote = None,
            (None, '"' | '\'') => quote = Some(letter),
            (None, '>') => return Some(at),
            _ => {}
        }
    }
    None
}

/// Why there is no HTML, and the offset in the MJML if that is known.
pub(super) type Failure = (Option<usize>, Cause);

/// The HTML of `mjml`. It includes nothing from elsewhere.
pub(super) fn to_html(mjml: &str) -> Result<String, Failure> {
    bound(mjml).map_err(|cause| (None, cause))?;
    let compile = || {
        let parsed = mrml::parse(mjml).map_err(|error| (offset(&error), error.to_string()))?;
        parsed.element.render(&RenderOptions::default()).map_err(|error| (None, error.to_string()))
    };
    // A template that its compiler stumbles over is that template's fault and must not end its run.
    let html = catch_unwind(compile).unwrap_or_else(|_| Err((None, "its compiler gave up; simplify it".to_owned())));
    let failure = |(at, problem)| (at, Cause::Template(format!("the MJML cannot be compiled: {problem}")));
    let html = html.map_err(failure)?;
    if html.len() > EMAIL_BYTES { Err((None, Cause::Budget(Limit::Output(EMAIL_BYTES)))) } else { Ok(html) }
}

fn offset(error: &Error) -> Option<usize> {
    match error {
        Error::UnexpectedElement { position, .. }
        | Error::UnexpectedToken { position, .. }
        | Error::MissingAttribute { position, .. }
        | Error::InvalidAttribute { position, .. }
        | Error::InvalidFormat { position, .. } => Some(position.start),
        _ => None,
    }
}

/// The HTML of `mjml`, in which `content` is HTML. Its compiler never sees that: people write HTML that it refuses.
pub(super) fn around(mjml: &str, content: Range<usize>) -> Result<String, Cause> {
    let name = (0_usize..).map(|number| format!("qx{number}t")).find(|name| !mjml.contains(name)).unwrap_or_default();
    let (before, after) = (&mjml[..content.start], &mjml[content.end..]);
    let place = match enclosing(before) {
        // Its children are rows of a table.
        Some("mj-column" | "mj-hero") => format!("<mj-text padding=\"0\">{name}</mj-text>"),
        Some("mj-body" | "mj-section" | "mj-wrapper" | "mj-group") => format!("<mj-raw>{name}</mj-raw>"),
        _ => name.clone(),
    };
    let html = to_html(&[before, &place, after].concat()).map_err(|(_, cause)| cause)?;
    let html = html.replacen(&name, &mjml[content], 1);
    if html.len() > EMAIL_BYTES { Err(Cause::Budget(Limit::Output(EMAIL_BYTES))) } else { Ok(html) }
}

/// The element that is open at the end of `mjml`.
fn enclosing(mjml: &str) -> Option<&str> {
    let mut open: Vec<&str> = Vec::new();
    for (at, _) in mjml.match_indices('<') {
        let rest = &mjml[at + 1..];
        let (closes, rest) = rest.strip_prefix('/').map_or((false, rest), |rest| (true, rest));
        let name =
            &rest[..rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-').unwrap_or(rest.len())];
        if !name.starts_with("mj") {
            continue;
        }
        let end = rest.find('>').unwrap_or(rest.len());
        if closes {
            open.pop();
        } else if !rest[..end].ends_with('/') {
            open.push(name);
        }
    }
    open.pop()
}

/// Refuses what nests too deep: the compiler recurses. An element counts as open until something is closed.
fn bound(mjml: &str) -> Result<(), Cause> {
    let mut depth = 0_usize;
    for (at, _) in mjml.match_indices('<') {
        let rest = &mjml[at + 1..];
        if rest.starts_with('/') {
            depth = depth.saturating_sub(1);
        } else if rest.starts_with(|letter: char| letter.is_ascii_alphabetic()) {
            let end = rest.find('>').unwrap_or(rest.len());
            depth += usize::from(!rest[..end].ends_with('/'));
        }
        if depth > HTML_DEPTH {
            return Err(Cause::Budget(Limit::Depth(HTML_DEPTH)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_stands_in_mjml_as_it_is_wherever_the_layout_puts_it() {
        for layout in [
            "<mjml><mj-body><mj-section><mj-column><mj-text>@</mj-text></mj-column></mj-section></mj-body></mjml>",
            "<mjml><mj-body><mj-section><mj-column>@</mj-column></mj-section></mj-body></mjml>",
            "<mjml><mj-body><mj-wrapper>@</mj-wrapper></mj-body></mjml>",
            "<mjml><mj-body>@</mj-body></mjml>",
        ] {
            let content = "<p>a<br>b & c</p>";
            let at = layout.find('@').unwrap();
            let html = around(&layout.replace('@', content), at..at + content.len()).unwrap();
            assert!(html.contains(content) && !html.contains("<mj-"), "{layout}: {html}");
        }
    }

    #[test]
    fn mjml_becomes_html_and_what_is_none_is_refused() {
        let html = to_html(
            "<mjml><mj-body><mj-section><mj-column><mj-text>Hi</mj-text></mj-column></mj-section></mj-body></mjml>",
        );
        assert!(html.unwrap().contains(">Hi</div>"));
        let error = to_html("<p>Hi</p>").unwrap_err().1.to_string();
        assert!(error.starts_with("the MJML cannot be compiled"), "{error}");
        let include = "<mjml><mj-body><mj-include path=\"/etc/passwd\" /></mj-body></mjml>";
        assert!(!to_html(include).is_ok_and(|html| html.contains("root")));
        assert_eq!(to_html(&"<mj-section>".repeat(500)), Err((None, Cause::Budget(Limit::Depth(HTML_DEPTH)))));
    }

    #[test]
    fn elements_that_do_not_exist_or_are_not_closed_are_told_before_they_are_rendered() {
        let told = |source: &str| {
            let all = check(source, Engine::Liquid).into_iter();
            all.map(|one| format!("{}: {}. {}", one.at.unwrap(), one.problem, one.fix)).collect::<Vec<_>>()
        };
        assert_eq!(
            told("<mj-section>\n <mj-txt a=\"{{ b }}\">x</mj-txt>"),
            [
                "line 2, column 2: MJML has no element `<mj-txt>`. Did you mean \"mj-text\"? See https://documentation.mjml.io."
            ]
        );
        let close = |name: &str| format!("Each `<{name}>` needs its `</{name}>`, in the reverse order.");
        assert_eq!(
            told("<mjml><mj-body><mj-text>{{ a }}</mj-body></mjml>"),
            [format!("line 1, column 16: `<mj-text>` is not closed before `</mj-body>`. {}", close("mj-text"))]
        );
        assert_eq!(
            told("<mjml><mj-body></mj-body>"),
            [format!("line 1, column 1: `<mjml>` is never closed. {}", close("mjml"))]
        );
        for sound in [
            "<mjml><mj-body><mj-image src=\"a>b\" /><mj-text a=\"{{ b | append: '>' }}\">1 < 2</mj-text></mj-body></mjml>",
            "<mjml>{% if a %}<mj-body b=\"1\">{% else %}<mj-body>{% endif %}</mj-body></mjml>",
            "<!-- <mj-txt> -->{% comment %}<mj-txt>{% endcomment %}<mj-{{ kind }}></mj-{{ kind }}>",
            "</mj-column></mj-section><mj-section><mj-column>",
        ] {
            assert_eq!(told(sound), [""; 0], "{sound}");
        }
        let all = ELEMENTS.split(' ').map(|name| format!("<{name}/>")).collect::<String>();
        assert_eq!(told(&all), [""; 0]);
    }
}
