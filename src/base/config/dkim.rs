//! The keys that sign the mail of a channel.

use std::path::PathBuf;

use serde::Serialize;

use super::fault::Wrong;
use super::setting::Setting;
use super::tree::Value;

/// A key that signs mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DkimSettings {
    /// The domain that answers for the mail.
    pub domain: String,
    /// Under which name the public key is published.
    pub selector: String,
    /// The PEM file with the private key, RSA or Ed25519.
    pub private_key: PathBuf,
}

impl Setting for DkimSettings {
    /// A table of a key for another domain than the channel's.
    fn read(value: &Value) -> Result<Self, Wrong> {
        const EXAMPLE: &str = "Write { domain = \"acme.test\", selector = \"belfry\", private_key = \"acme.pem\" }.";
        let Value::Table(table) = value else { return Err(value.is_not("a table")) };
        if let Some(key) = table.keys().find(|key| !["domain", "selector", "private_key"].contains(&key.as_str())) {
            return Err(Wrong::new(format!("unknown key `{}`", key.escape_debug()), EXAMPLE));
        }
        let find = |key: &str| table.get(key).ok_or_else(|| Wrong::new(format!("no `{key}`"), EXAMPLE));
        let name = |key: &str| {
            let name = String::read(&find(key)?.value)?;
            if is_name(&name) { Ok(name) } else { Err(Wrong::new(format!("`{key}` is no name in DNS"), EXAMPLE)) }
        };
        let private_key = PathBuf::read(&find("private_key")?.value)?;
        Ok(Self { domain: name("domain")?, selector: name("selector")?, private_key })
    }
}

/// Whether `text` is a name in DNS, in ASCII.
pub(super) fn is_name(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    text.len() <= 200 && text.split('.').all(is_label)
}

/// Whether a signature of `domain` counts for mail from `own`: relaxed alignment of DMARC, but for the list of public
/// suffixes.
pub fn is_aligned(domain: &str, own: &str) -> bool {
    let (domain, own) = (domain.to_ascii_lowercase(), own.to_ascii_lowercase());
    let below = |lower: &str, upper: &str| lower.strip_suffix(upper).is_some_and(|rest| rest.ends_with('.'));
    domain == own || below(&domain, &own) || below(&own, &domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_counts_for_its_domain_and_those_above_and_below() {
        assert!(is_aligned("acme.test", "mail.ACME.test") && is_aligned("mail.acme.test", "acme.test"));
        assert!(is_aligned("acme.test", "acme.test"));
        assert!(!is_aligned("acme.test", "evilacme.test") && !is_aligned("a.test", "b.test"));
    }
}
