//! The keys that channels sign their mail with, and the DNS records that go with them.

use std::fs;

use anyhow::{Context, Result, anyhow};

use crate::base::config::{Channel, Config, DkimSettings};
use crate::delivery::dkim::{Signer, Signers};
use crate::delivery::email::sender_domain;
use crate::engine::catalog::Checked;
use crate::model::fault::Fault;
use crate::model::notice::Notice;
use crate::model::workflow::{ChannelStep, Step, StepKind, Template, Workflow};

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

/// The steps of `workflows` that say, in so many words, that their mail on `channel` is from a domain for which it has no
/// key, while it has some. What is rendered is known only when it is sent.
pub fn unsigned(channel: &Channel, signers: &Signers, workflows: &[Checked]) -> Vec<Notice> {
    let workflows = workflows.iter().map(|checked| &checked.published.workflow);
    let steps = workflows.flat_map(|workflow| workflow.steps.iter().map(move |step| (workflow, step)));
    let notice = |(workflow, step): (&Workflow, &Step)| {
        let StepKind::Channel(ChannelStep { channel_key, template: Template::Email(email), .. }) = &step.kind else {
            return None;
        };
        let from = email.overrides.from_address.as_deref().filter(|_| *channel_key == channel.key)?;
        let domain = sender_domain(from).filter(|_| !from.contains("{{") && !from.contains("{%"))?;
        signers.of(&domain).is_none().then(|| {
            let (file, path) = workflow.place(&format!("{}.channel_overrides.from_address", step.path));
            Notice(Fault {
                file,
                path,
                problem: format!(
                    "channel `{}` has no DKIM key for mail from {domain}, so it goes out unsigned",
                    channel.key
                ),
                fix: "Add one to `dkim_others` of the channel, or leave the address to the channel.".to_owned(),
            })
        })
    };
    steps.filter_map(notice).collect()
}

/// The records to publish for all channels, and what of `workflows` goes out unsigned, as comments of a TOML file.
pub fn records(config: &Config, workflows: &[Checked]) -> Result<String> {
    let mut text = String::new();
    for channel in &config.channels {
        let signers = signers(channel)?;
        for notice in unsigned(channel, &signers, workflows) {
            text.push_str(&format!("\n# {notice}\n"));
        }
        for signer in signers.iter() {
            let (name, strings) = signer.record();
            text.push_str(&format!(
                "\n# Publish this record in DNS for channel `{}`:\n# {name}. IN TXT {strings}\n",
                channel.key
            ));
        }
    }
    Ok(text)
}
