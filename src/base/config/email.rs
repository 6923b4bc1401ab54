//! What every email channel has, whatever takes its mail: who it is from, whether it is signed, and what is tracked.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;
use serde::ser::SerializeMap;

use super::dkim::{DkimSettings, is_aligned, is_name};
use super::fault::Wrong;
use super::section::Section;
use super::sender::Sender;
use super::setting::Setting;
use super::tree::Value;

/// The settings of an email channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmailSettings {
    /// The sender of every mail.
    pub from: Sender,
    /// Who gets it, and what else it says.
    pub addressing: AddressingSettings,
    /// How mail is signed, if it is.
    pub dkim: Option<DkimSettings>,
    /// How mail from other domains than that of `from` is, which steps may send.
    pub dkim_others: Vec<DkimSettings>,
    /// What is told of its readers, where a step does not say otherwise.
    pub tracking: TrackingSettings,
}

/// Who gets every mail in place of its recipient and besides, and what headers it has, where a step does not say otherwise.
/// Templates in Liquid, each for a list with commas, but for `to`, which is one address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressingSettings {
    pub to: Option<String>,
    pub cc: Option<String>,
    pub bcc: Option<String>,
    pub reply_to: Option<String>,
    pub headers: Headers,
}

/// Headers by name.
pub type Headers = BTreeMap<String, String>;

impl Setting for Headers {
    fn read(value: &Value) -> Result<Self, Wrong> {
        let Value::Table(table) = &*value.typed() else {
            return Err(value.is_not("a table, such as { \"X-Environment\" = \"production\" }"));
        };
        table.iter().map(|(name, node)| Ok((name.clone(), node.value.text("a string")?.to_owned()))).collect()
    }
}

/// What is told of readers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrackingSettings {
    /// That they opened a mail.
    pub opens: bool,
    /// That they followed a link.
    pub links: bool,
}

impl EmailSettings {
    /// Neither signed nor tracked.
    pub fn plain(from: Sender) -> Self {
        Self {
            from,
            addressing: AddressingSettings::default(),
            dkim: None,
            dkim_others: Vec::new(),
            tracking: TrackingSettings::default(),
        }
    }

    /// Reads all of them before it gives up, so that all faults are reported.
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let from: Option<Sender> = section.require("from", "Acme <no-reply@acme.test>");
        let tracking = TrackingSettings {
            opens: section.get_or("open_tracking", false),
            links: section.get_or("link_tracking", false),
        };
        let addressing = AddressingSettings {
            to: section.get("to"),
            cc: section.get("cc"),
            bcc: section.get("bcc"),
            reply_to: section.get("reply_to"),
            headers: section.get_or("headers", Headers::new()),
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
        let dkim_others = section.get_or("dkim_others", Vec::new());
        Some(Self { from: from?, addressing, dkim, dkim_others, tracking })
    }

    /// As the file writes them.
    pub(super) fn serialize<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        fn entry<M: SerializeMap>(map: &mut M, key: &str, value: &impl Serialize) -> Result<(), M::Error> {
            map.serialize_entry(key, value)
        }
        entry(map, "from", &self.from)?;
        entry(map, "open_tracking", &self.tracking.opens)?;
        entry(map, "link_tracking", &self.tracking.links)?;
        let AddressingSettings { to, cc, bcc, reply_to, headers } = &self.addressing;
        for (key, value) in [("to", to), ("cc", cc), ("bcc", bcc), ("reply_to", reply_to)] {
            value.iter().try_for_each(|value| entry(map, key, value))?;
        }
        if !headers.is_empty() {
            entry(map, "headers", headers)?;
        }
        if let Some(DkimSettings { domain, selector, private_key }) = &self.dkim {
            entry(map, "dkim_domain", domain)?;
            entry(map, "dkim_selector", selector)?;
            entry(map, "dkim_private_key", private_key)?;
        }
        if !self.dkim_others.is_empty() {
            entry(map, "dkim_others", &self.dkim_others)?;
        }
        Ok(())
    }
}
