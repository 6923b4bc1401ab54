//! What the headers of an email say beside who it is for: text that cannot end its header, and what mailbox providers
//! look for.

use crate::delivery::Mail;

/// The longest line of a header (RFC 5322, section 2.1.1).
const LONGEST_LINE: usize = 998;

/// Header text as one line: control characters and line separators would end the header, and lettre panics on some.
pub fn one_line(text: &str) -> String {
    let spaced: String =
        text.chars().map(|c| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c }).collect();
    spaced.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `Feedback-ID`: by what Google's postmaster tools count complaints: workflow, step, whether it is commercial, and a name
/// of the sender's domain.
pub fn feedback_id(mail: &Mail, domain: &str) -> String {
    let kind = if mail.content.unsubscribe.is_some() { "commercial" } else { "transactional" };
    let domain = blake3::hash(domain.to_ascii_lowercase().as_bytes()).to_hex();
    format!("{}:{}:{kind}:belfry-{}", word(&mail.workflow), word(&mail.step_ref), &domain[..8])
}

/// A part of a `Feedback-ID`, which colons separate.
fn word(text: &str) -> String {
    let word = text.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' });
    word.take(64).collect()
}

/// `List-Unsubscribe` and `List-Unsubscribe-Post` of RFC 8058. None where nothing is offered, or the link does not fit into
/// a header, as with an id of 256 characters in another script.
pub fn list_unsubscribe(mail: &Mail) -> Option<[(&'static str, String); 2]> {
    let url = mail.content.unsubscribe.as_ref().filter(|url| url.bytes().all(|b| b.is_ascii_graphic() && b != b'>'))?;
    let fits = "List-Unsubscribe: <>".len() + url.len() <= LONGEST_LINE;
    fits.then(|| {
        [("List-Unsubscribe", format!("<{url}>")), ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click".to_owned())]
    })
}
