//! Markdown to HTML that is safe to put into a page.

use std::collections::HashSet;
use std::sync::LazyLock;

use ammonia::Builder;
use pulldown_cmark::{Event, Options, Parser, html};

use super::author_tags::AuthorTags;
use super::budget::{FEED_BYTES, FEED_DEPTH, Limit};
use super::plain;

/// Two walls, since readers' pages inject the result as it is: HTML in the Markdown becomes text, but for tags that the
/// template's author wrote, and all that there is then is sanitised.
static SANITIZER: LazyLock<Builder<'static>> = LazyLock::new(|| {
    let mut builder = Builder::default();
    builder
        .url_schemes(HashSet::from(["http", "https", "mailto"]))
        .rm_tags(["svg", "math", "style"])
        .link_rel(Some("noopener noreferrer nofollow"));
    builder
});

/// Renders `markdown`, into which its author wrote the tags `own`. Refuses what nests too deep or is too long, before the
/// sanitiser sees it.
pub(super) fn to_html(markdown: &str, own: &AuthorTags) -> Result<String, Limit> {
    if markdown.len() > FEED_BYTES {
        return Err(Limit::Output(FEED_BYTES));
    }
    let mut depth = 0usize;
    let mut events = Vec::new();
    for event in Parser::new_ext(markdown, Options::ENABLE_STRIKETHROUGH) {
        match event {
            Event::Start(_) => depth += 1,
            Event::End(_) => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > FEED_DEPTH {
            return Err(Limit::Depth(FEED_DEPTH));
        }
        events.push(match event {
            Event::Html(text) | Event::InlineHtml(text) if own.is_empty() => Event::Text(text),
            Event::Html(text) => Event::Html(own.keep(&text).into()),
            Event::InlineHtml(text) => Event::InlineHtml(own.keep(&text).into()),
            event => event,
        });
    }
    let mut rendered = String::with_capacity(markdown.len() * 2);
    html::push_html(&mut rendered, events.into_iter());
    if rendered.len() > FEED_BYTES {
        return Err(Limit::Output(FEED_BYTES));
    }
    if !own.is_empty() {
        plain::bound(&rendered).map_err(|_| Limit::Depth(FEED_DEPTH))?;
    }
    Ok(SANITIZER.clean(&rendered).to_string().trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_becomes_html() {
        let cases = [
            ("**Ann** edited ~~plan~~ *it*", "<p><strong>Ann</strong> edited <del>plan</del> <em>it</em></p>"),
            (
                "[a](https://x.y/?a=1&b=2)",
                "<p><a href=\"https://x.y/?a=1&amp;b=2\" rel=\"noopener noreferrer nofollow\">a</a></p>",
            ),
            ("[a](/p/1)", "<p><a href=\"/p/1\" rel=\"noopener noreferrer nofollow\">a</a></p>"),
            ("- a\n- b", "<ul>\n<li>a</li>\n<li>b</li>\n</ul>"),
            ("", ""),
        ];
        for (markdown, expected) in cases {
            assert_eq!(to_html(markdown, &AuthorTags::default()).unwrap(), expected);
        }
    }

    #[test]
    fn tags_that_the_author_wrote_stay_and_those_that_came_with_data_are_text() {
        let cases = [
            ("<blockquote>\n{{ a }}\n</blockquote>", "<blockquote>\nVec<u8> & <B>x\n</blockquote>", {
                "<blockquote>\nVec&lt;u8&gt; &amp; &lt;B&gt;x\n</blockquote>"
            }),
            ("**{{ a }}**<br/>{{ b }}", "**x**<br/><i>y</i>", "<p><strong>x</strong><br>&lt;i&gt;y&lt;/i&gt;</p>"),
            ("<a href=\"{{ a }}\">b</a>", "<a href=\"javascript:x\" onclick=\"y\">b</a>", {
                "<p><a rel=\"noopener noreferrer nofollow\">b</a></p>"
            }),
            ("<!-- for Ann -->\nHi", "<!-- for Ann -->\nHi", "<p>Hi</p>"),
            ("{{ a | from_markdown }}", "<p><em>x</em><b>y</b></p>", "<p><em>x</em>&lt;b&gt;y&lt;/b&gt;</p>"),
            ("<script>x</script>", "<script>x</script>", "&lt;script&gt;x&lt;/script&gt;"),
        ];
        for (template, markdown, expected) in cases {
            assert_eq!(to_html(markdown, &AuthorTags::of(template)).unwrap(), expected);
        }
    }

    #[test]
    fn nothing_active_comes_out_of_hostile_markdown() {
        let corpus = [
            "<script>alert(1)</script>",
            "<ScRiPt src=//x.y></sCrIpT>",
            "<img src=x onerror=alert(1)>",
            "<svg><script>alert(1)</script></svg>",
            "<svg/onload=alert(1)>",
            "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
            "<noscript><p title=\"</noscript><img src=x onerror=alert(1)>\">",
            "<style>@import 'javascript:alert(1)'</style>",
            "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
            "<a href=\"javascript:alert(1)\">x</a>",
            "[x](javascript:alert(1))",
            "[x](JaVaScRiPt:alert(1))",
            "[x](java&#x0A;script:alert(1))",
            "[x](&#106;avascript:alert(1))",
            "[x](<java\tscript:alert(1)>)",
            "[x](data:text/html;base64,PHNjcmlwdD4=)",
            "[x](vbscript:msgbox(1))",
            "![x](javascript:alert(1))",
            "![x\"onerror=alert(1)](https://x.y)",
            "![x](https://x.y \"\\\" onerror=alert(1)\")",
            "<javascript:alert(1)>",
            "[x]: javascript:alert(1)\n\n[x]",
            "```\"><script>alert(1)</script>\nx\n```",
            "`<script>alert(1)</script>`",
            "<div style=\"background:url(javascript:alert(1))\">x</div>",
            "<form action=javascript:alert(1)><button>x</button></form>",
            "<!--><script>alert(1)</script>-->",
            "<![CDATA[<script>alert(1)</script>]]>",
            "<?xml ?><script>alert(1)</script>",
            "</p><script>alert(1)</script>",
            "\u{0}<script\u{0}>alert(1)</script>",
            "<details open ontoggle=alert(1)>",
        ];
        let every =
            AuthorTags::of("<!-- <a> <b> <blockquote> <br> <div> <img> <p> <span> <table> <tr> <td> <style> <script>");
        for (markdown, own) in corpus.iter().flat_map(|one| [(one, AuthorTags::default()), (one, every.clone())]) {
            let html = to_html(markdown, &own).unwrap();
            // Whatever is left as text has its angle brackets and quotes escaped, so only real tags begin with `<`.
            for tag in html.split('<').skip(1).map(|rest| rest.split('>').next().unwrap().to_ascii_lowercase()) {
                let name: String =
                    tag.trim_start_matches('/').chars().take_while(|letter| letter.is_alphanumeric()).collect();
                assert!(
                    ["p", "a", "img", "code", "pre", "div", "table"].contains(&name.as_str()),
                    "{markdown} gave {html}"
                );
                let attributes: String = tag.split('"').step_by(2).collect();
                assert!(!attributes.contains(" on"), "{markdown} gave {html}");
                assert!(!attributes.contains("style"), "{markdown} gave {html}");
                for bad in ["=\"javascript", "=\"data", "=\"vbscript"] {
                    assert!(!tag.contains(bad), "{markdown} gave {html}");
                }
            }
        }
    }

    #[test]
    fn hostile_nesting_is_answered_at_once() {
        let cases = [
            "> ".repeat(32_000),
            ">".repeat(65_000),
            "- ".repeat(32_000),
            "1. ".repeat(20_000),
            (0..300).map(|depth| format!("{}- a\n", "  ".repeat(depth.min(100)))).collect(),
            "<div>".repeat(13_000),
            "<b>".repeat(20_000),
            "[".repeat(65_000),
            "![".repeat(32_000),
            "[a](".repeat(16_000),
            "*a **a ".repeat(9_000),
            "_".repeat(65_000),
            "`a``".repeat(16_000),
            "<".repeat(65_000),
            "&".repeat(65_000),
            "[a]: b\n".repeat(9_000),
            "\\".repeat(65_000),
            "<!--".repeat(16_000),
            "~~a".repeat(20_000),
        ];
        let (none, own) = (AuthorTags::default(), AuthorTags::of("<b><div><!--"));
        for case in cases {
            let _ = to_html(&case, &none);
            let _ = to_html(&case, &own);
        }
        assert_eq!(to_html(&"> ".repeat(100), &none), Err(Limit::Depth(FEED_DEPTH)));
        assert_eq!(to_html(&"<div>".repeat(200), &own), Err(Limit::Depth(FEED_DEPTH)));
        assert_eq!(to_html(&"a".repeat(FEED_BYTES + 1), &none), Err(Limit::Output(FEED_BYTES)));
    }
}
