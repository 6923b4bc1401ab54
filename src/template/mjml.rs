//! MJML to HTML.

use std::ops::Range;
use std::panic::catch_unwind;

use mrml::prelude::render::RenderOptions;

use super::budget::{EMAIL_BYTES, HTML_DEPTH, Limit};
use super::error::Cause;

/// The HTML of `mjml`. It includes nothing from elsewhere.
pub(super) fn to_html(mjml: &str) -> Result<String, Cause> {
    bound(mjml)?;
    let compile = || {
        let parsed = mrml::parse(mjml).map_err(|error| error.to_string())?;
        parsed.element.render(&RenderOptions::default()).map_err(|error| error.to_string())
    };
    // A template that its compiler stumbles over is that template's fault and must not end its run.
    let html = catch_unwind(compile).unwrap_or_else(|_| Err("its compiler gave up; simplify it".to_owned()));
    let html = html.map_err(|problem| Cause::Template(format!("the MJML cannot be compiled: {problem}")))?;
    if html.len() > EMAIL_BYTES { Err(Cause::Budget(Limit::Output(EMAIL_BYTES))) } else { Ok(html) }
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
    let html = to_html(&[before, &place, after].concat())?;
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
        let error = to_html("<p>Hi</p>").unwrap_err().to_string();
        assert!(error.starts_with("the MJML cannot be compiled"), "{error}");
        let include = "<mjml><mj-body><mj-include path=\"/etc/passwd\" /></mj-body></mjml>";
        assert!(!to_html(include).is_ok_and(|html| html.contains("root")));
        assert_eq!(to_html(&"<mj-section>".repeat(500)), Err(Cause::Budget(Limit::Depth(HTML_DEPTH))));
    }
}
