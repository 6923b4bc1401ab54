//! The keys that channels sign their mail with, and the DNS records that go with them.

use std::fs;

use anyhow::{Context, Result, anyhow};

use crate::base::config::{Channel, Config, DkimSettings};
use crate::delivery::dkim::{Signer, Signers};

/// What signs the mail of `channel`, if anything does.
pub fn signers(channel: &Channel) -> Result<Signers> {
    let Some(email) = channel.provider.email() else { return Ok(Signers::default()) };
    let own = email.dkim.iter().map(|dkim| ("dkim_private_key", dkim));
    let all = own.chain(email.dkim_others.iter().map(|dkim| ("dkim_others", dkim)));
    all.map(|(key, dkim)| signer(channel, key, dkim)).collect::<Result<_>>().map(Signers::new)
}

/// The signer of a setting called `key`.
fn signer(channel: &Channel, key: &str, dkim: &DkimSettings) -> Result<Signer> {
    let place = || format!("channel `{}`: {key}: {}", channel.key, dkim.private_key.display());
    let pem = fs::read_to_string(&dkim.private_key).with_context(|| format!("{} cannot be read", place()))?;
    let signer = Signer::new(dkim.domain.clone(), dkim.selector.clone(), &pem);
    signer.map_err(|why| anyhow!("{} {why}", place()))
}

/// The records to publish for all channels, as comments of a TOML file.
pub fn records(config: &Config) -> Result<String> {
    let mut text = String::new();
    for channel in &config.channels {
        for signer in signers(channel)?.iter() {
            let (name, strings) = signer.record();
            text.push_str(&format!(
                "\n# Publish this record in DNS for channel `{}`:\n# {name}. IN TXT {strings}\n",
                channel.key
            ));
        }
    }
    Ok(text)
}
