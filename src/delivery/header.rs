//! What the headers of an email say beside who it is for: text that cannot end its header, and what mailbox providers
//! look for.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::delivery::Mail;

/// The longest line of a header (RFC 5322, section 2.1.1).
const LONGEST_LINE: usize = 998;

/// The longest name of an address, in characters, and the longest word that is left as it is, in bytes.
const LONGEST_NAME: usize = 200;
const LONGEST_WORD: usize = 200;
/// Bytes in an encoded word, which is at most 75 characters long.
const ENCODED_BYTES: usize = 39;

/// Header text as one line: control characters and line separators would end the header, and lettre panics on some.
pub fn one_line(text: &str) -> String {
    let spaced: String =
        text.chars().map(|c| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c }).collect();
    spaced.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A name that is shown for an address, as one line that is not too long.
pub fn name(text: &str) -> String {
    one_line(text).chars().take(LONGEST_NAME).collect()
}

/// One line of text as encoded words (RFC 2047), where it cannot stand as it is: a word that is too long cannot be folded,
/// and what looks like an encoded word would be taken for one. None where it can.
pub fn encoded(line: &str) -> Option<String> {
    let stands = !line.contains("=?") && line.split(' ').all(|word| word.len() <= LONGEST_WORD);
    if stands {
        return None;
    }
    let (mut words, mut rest) = (Vec::new(), line);
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.floor_char_boundary(ENCODED_BYTES));
        words.push(format!("=?utf-8?b?{}?=", STANDARD.encode(piece)));
        rest = after;
    }
    Some(words.join("\r\n "))
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
