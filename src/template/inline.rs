//! CSS into `style` attributes: many mail programs read no other.

use std::panic::catch_unwind;

use css_inline::{CSSInliner, InlineOptions};

use super::budget::{EMAIL_BYTES, Limit};
use super::error::Cause;
use super::plain;

/// The most of elements times rules: each rule is held against each element. An email with more keeps its style sheet,
/// which every program that can show so much of it reads.
const MOST_WORK: usize = 2_000_000;

/// `html` with the rules of its style sheets in its elements. The sheets stay, for what an attribute cannot say: narrow
/// and dark screens. Nothing is read from elsewhere.
pub(super) fn css(html: String) -> Result<String, Cause> {
    let rules = styles(&html).map(|sheet| sheet.matches('{').count()).sum::<usize>();
    if rules == 0 || rules.saturating_mul(html.matches('<').count()) > MOST_WORK {
        return Ok(html);
    }
    plain::bound(&html)?;
    let inline = || {
        let options = InlineOptions::default();
        let options = InlineOptions { load_remote_stylesheets: false, keep_style_tags: true, ..options };
        CSSInliner::new(options).inline(&html).map_err(|error| error.to_string())
    };
    // The style sheet is the author's, and what its parser stumbles over must not end the run.
    let inlined = catch_unwind(inline).unwrap_or_else(|_| Err("the inliner gave up; simplify it".to_owned()));
    let html = inlined.map_err(|problem| Cause::Template(format!("the style sheet cannot be inlined: {problem}")))?;
    if html.len() > EMAIL_BYTES { Err(Cause::Budget(Limit::Output(EMAIL_BYTES))) } else { Ok(html) }
}

/// The contents of the style elements.
fn styles(html: &str) -> impl Iterator<Item = &str> {
    html.split("<style").skip(1).map(|rest| rest.split("</style").next().unwrap_or(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_become_attributes_and_conditions_stay_rules() {
        let html = "<html><head><style>p { color: red } @media (max-width: 9px) { p { color: blue !important } }</style>\
                    <!--[if mso]><style>p { color: green }</style><![endif]--></head><body><p>a</p></body></html>";
        let inlined = css(html.to_owned()).unwrap();
        assert!(inlined.contains("<p style=\"color: red;\">a</p>"), "{inlined}");
        assert!(inlined.contains("@media (max-width: 9px)"), "{inlined}");
        assert!(inlined.contains("<!--[if mso]><style>p { color: green }</style><![endif]-->"), "{inlined}");
    }

    #[test]
    fn html_without_styles_stays_as_it_is_and_a_huge_one_keeps_its_sheet() {
        assert_eq!(css("<p>a".to_owned()).unwrap(), "<p>a");
        let huge = format!("<style>{}</style>{}", "p{color:red}".repeat(2_000), "<p>a</p>".repeat(2_000));
        assert_eq!(css(huge.clone()).unwrap(), huge);
    }

    #[test]
    fn nothing_is_fetched_and_deep_html_is_refused() {
        let linked = "<link rel=\"stylesheet\" href=\"http://127.0.0.1:1/x.css\"><style>p{color:red}</style><p>a</p>";
        assert!(css(linked.to_owned()).unwrap().contains("color: red"));
        let deep = format!("<style>p{{color:red}}</style>{}", "<div>".repeat(500));
        assert!(css(deep).is_err());
    }
}
