//! Filters that encode and digest.

use aws_lc_rs::{digest, hmac};
use base64::Engine;
use md5::{Digest, Md5};

pub(super) fn from_base64(alphabet: &impl Engine, text: &str) -> Result<String, String> {
    let bytes = alphabet.decode(text.trim()).map_err(|_| "the text is not base64".to_owned())?;
    String::from_utf8(bytes).map_err(|_| "what the base64 holds is not text".to_owned())
}

pub(super) fn md5(text: &str) -> String {
    hex(&Md5::digest(text))
}

pub(super) fn sha256(text: &str) -> String {
    hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
}

pub(super) fn hmac_sha256(key: &str, text: &str) -> String {
    hex(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()), text.as_bytes()).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
