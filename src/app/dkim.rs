//! The keys that channels sign their mail with, and the DNS records that go with them.

use std::fs;

use anyhow::{Context, Result, anyhow};

use crate::base::config::{Channel, Config};
use crate::delivery::dkim::Signer;

/// What signs the mail of `channel`, if anything does.
pub fn signer(channel: &Channel) -> Result<Option<Signer>> {
    let Some(dkim) = channel.provider.email().and_then(|email| email.dkim.as_ref()) else { return Ok(None) };
    let path = dkim.private_key.display();
    let place = || format!("channel `{}`: dkim_private_key: {path}", channel.key);
    let pem = fs::read_to_string(&dkim.private_key).with_context(|| format!("{} cannot be read", place()))?;
    let signer = Signer::new(dkim.domain.clone(), dkim.selector.clone(), &pem);
    signer.map(Some).map_err(|why| anyhow!("{} {why}", place()))
}

/// The records to publish for all channels, as comments of a TOML file.
pub fn records(config: &Config) -> Result<String> {
    let mut text = String::new();
    for channel in &config.channels {
        let Some(signer) = signer(channel)? else { continue };
        let (name, strings) = signer.record();
        text.push_str(&format!(
            "\n# Publish this record in DNS for channel `{}`:\n# {name}. IN TXT {strings}\n",
            channel.key
        ));
    }
    Ok(text)
}
