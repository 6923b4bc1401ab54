//! What every email channel has, whatever takes its mail: who it is from, whether it is signed, and what is tracked.

use std::path::PathBuf;

use serde::Serialize;
use serde::ser::SerializeMap;

use super::fault::Wrong;
use super::section::Section;
use super::sender::Sender;

/// The settings of an email channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmailSettings {
    /// The sender of every mail.
    pub from: Sender,
    /// How mail is signed, if it is.
    pub dkim: Option<DkimSettings>,
    /// What is told of its readers, where a step does not say otherwise.
    pub tracking: TrackingSettings,
}

/// What is told of readers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrackingSettings {
    /// That they opened a mail.
    pub opens: bool,
    /// That they followed a link.
    pub links: bool,
}

/// How mail is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DkimSettings {
    /// The domain that answers for it.
    pub domain: String,
    /// Under which name the public key is published.
    pub selector: String,
    /// The PEM file with the private key, RSA or Ed25519.
    pub private_key: PathBuf,
}

impl EmailSettings {
    /// Neither signed nor tracked.
    pub fn plain(from: Sender) -> Self {
        Self { from, dkim: None, tracking: TrackingSettings::default() }
    }

    /// Reads all of them before it gives up, so that all faults are reported.
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let from: Option<Sender> = section.require("from", "Acme <no-reply@acme.test>");
        let tracking = TrackingSettings {
            opens: section.get_or("open_tracking", false),
            links: section.get_or("link_tracking", false),
        };
        let (domain, selector) = (section.get::<String>("dkim_domain"), section.get::<String>("dkim_selector"));
        let private_key = section.get::<PathBuf>("dkim_private_key");
        let own = from.as_ref().map_or("", Sender::domain);
        let own = idna::domain_to_ascii(own).unwrap_or_else(|_| own.to_owned());
        if let Some(domain) = &domain {
            section.check("dkim_domain", is_name(domain), || {
                Wrong::new("not the name of a domain in ASCII", "Write for example \"acme.test\".")
            });
            section.check("dkim_domain", own.is_empty() || is_aligned(domain, &own), || {
                let problem =
                    format!("not the domain of `from`, {own}, nor above or below it: receivers would not count it");
                Wrong::new(problem, "Leave it out, or send from that domain.")
            });
        }
        let domain = domain.unwrap_or(own);
        let selector_is_name = selector.as_deref().is_none_or(is_name);
        section.check("dkim_selector", selector_is_name, || {
            Wrong::new("not a name in DNS", "Use letters, digits, `-` and `.`, such as \"belfry\".")
        });
        let dkim = match (selector, private_key) {
            (None, None) => None,
            (Some(selector), Some(private_key)) => Some(DkimSettings { domain, selector, private_key }),
            (Some(_), None) => {
                section
                    .report("dkim_selector", Wrong::new("a selector without dkim_private_key", "Set both or neither."));
                None
            }
            (None, Some(_)) => {
                section.report("dkim_private_key", Wrong::new("a key without dkim_selector", "Set both or neither."));
                None
            }
        };
        Some(Self { from: from?, dkim, tracking })
    }

    /// As the file writes them.
    pub(super) fn serialize<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        fn entry<M: SerializeMap>(map: &mut M, key: &str, value: &impl Serialize) -> Result<(), M::Error> {
            map.serialize_entry(key, value)
        }
        entry(map, "from", &self.from)?;
        entry(map, "open_tracking", &self.tracking.opens)?;
        entry(map, "link_tracking", &self.tracking.links)?;
        if let Some(DkimSettings { domain, selector, private_key }) = &self.dkim {
            entry(map, "dkim_domain", domain)?;
            entry(map, "dkim_selector", selector)?;
            entry(map, "dkim_private_key", private_key)?;
        }
        Ok(())
    }
}

fn is_name(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    text.len() <= 200 && text.split('.').all(is_label)
}

/// Whether a signature of `domain` counts for mail from `own`: relaxed alignment of DMARC, but for the list of public
/// suffixes.
fn is_aligned(domain: &str, own: &str) -> bool {
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
