//! Texts of one line: subjects, labels and links.

/// Schemes that run code or show foreign content in the reader's page.
const UNSAFE: [&str; 3] = ["javascript", "data", "vbscript"];

/// `text` without control characters, on one line, with single spaces.
pub(super) fn one(text: &str) -> String {
    let spaced: String = text
        .chars()
        .map(|letter| if letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}') { ' ' } else { letter })
        .collect();
    spaced.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `text` as a browser reads a link: it ignores control characters, wherever they are.
pub(super) fn url(text: &str) -> String {
    let kept: String =
        text.chars().filter(|letter| !letter.is_control() && !matches!(letter, '\u{2028}' | '\u{2029}')).collect();
    kept.trim().to_owned()
}

/// The scheme of `url` when no link may have it.
pub(super) fn unsafe_scheme(url: &str) -> Option<String> {
    let scheme = url.split_once([':', '/', '?', '#'])?.0;
    let scheme = if url[scheme.len()..].starts_with(':') { scheme.to_ascii_lowercase() } else { return None };
    UNSAFE.contains(&scheme.as_str()).then_some(scheme)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_one_line_whatever_it_was() {
        assert_eq!(one(" a\r\nBcc: x@y.z\u{2028}b\u{85}\u{0}c\t d "), "a Bcc: x@y.z b c d");
    }

    #[test]
    fn links_that_run_code_are_found_however_they_are_written() {
        let hidden = ["javascript:x", " JavaScript:x", "java\nscript:x", "\u{1}javascript:x", "data:text/html,x"];
        for link in hidden {
            assert!(unsafe_scheme(&url(link)).is_some(), "{link}");
        }
        for link in ["/a:b", "https://x.y", "mailto:a@b.c", "app://x", "?q=javascript:x", "#data:x", "", "a"] {
            assert_eq!(unsafe_scheme(&url(link)), None, "{link}");
        }
    }
}
