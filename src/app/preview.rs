//! `belfry workflow preview`: what a workflow's messages say to somebody, without a server and without sending them.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Map, Value, json};

use super::{channels, server, workflow_dir};
use crate::base::clock::{Clock, Timestamp};
use crate::base::config::Config;
use crate::base::ids::{MessageId, TriggerId};
use crate::base::nearest::{did_you_mean, nearest, quoted_list};
use crate::engine::catalog::{Checked, Published};
use crate::model::batch::{Activities, Activity};
use crate::model::fault::Fault;
use crate::model::library::Library;
use crate::model::link::{Holder, Links};
use crate::model::message::Block;
use crate::model::notice::Remark;
use crate::model::recipient::{Recipient, RecipientRef};
use crate::model::workflow::{StepKind, Template};
use crate::template::Scope;
use crate::template::records::{self, Records};

/// The flag whose record lies among the tenants.
const TENANT: &str = "--tenant";

/// Who and what the messages are about.
pub struct Occasion {
    pub recipient: Value,
    pub actor: Option<Value>,
    pub tenant: Option<Value>,
    pub data: Map<String, Value>,
}

/// What was rendered.
pub struct Preview {
    /// One field a step.
    pub messages: Value,
    pub findings: Findings,
}

/// What there is to say of the workflow, and of what it shares with others.
pub struct Findings {
    pub remarks: Vec<Remark>,
    /// They keep nothing of the workflow from being rendered, as those of translations.
    pub faults: Vec<Fault>,
}

/// Renders the messages of the workflow `key`, or only that of `step`. With `open` the first is shown by the program that
/// this machine shows HTML with.
pub fn preview(config: &Config, key: &str, step: Option<&str>, occasion: Occasion, open: bool) -> Result<Preview> {
    let (published, findings) = published(config, key)?;
    let channels = channels::as_engine_sees(config)?;
    let now = Clock::system().now();
    let (scope, present) = scope(config, &published, occasion, now)?;
    let _found = records::open(present);
    let mut messages = Map::new();
    let mut page = None;
    for channel_step in &published.workflow.steps {
        let StepKind::Channel(channel) = &channel_step.kind else { continue };
        let name = &channel_step.reference;
        if step.is_some_and(|step| step != name) {
            continue;
        }
        let (message, html) = match &channel.template {
            Template::Email(_) => {
                let known = channels.iter().find(|known| known.key == channel.channel_key);
                let addressing = known.map(|known| Arc::clone(&known.addressing)).unwrap_or_default();
                let email = published.templates.email_on(&addressing, name, scope.clone())?;
                let mut message = json!({"subject": email.subject, "html": email.html, "text": email.text});
                if !email.addressing.is_empty() {
                    message["addressing"] = json!(email.addressing);
                }
                (message, email.html)
            }
            Template::InAppFeed(_) => {
                let blocks = published.templates.in_app(name, scope.clone())?;
                (json!({ "blocks": blocks }), blocks.iter().map(shown).collect())
            }
        };
        page.get_or_insert(html);
        messages.insert(name.clone(), message);
    }
    let Some(page) = page else { bail!("{}", no_message(&published, step)) };
    if open {
        show(&page)?;
    }
    Ok(Preview { messages: Value::Object(messages), findings })
}

/// The workflow as its directory says now; one of the starters where there is no such directory, as `belfry dev` has them.
fn published(config: &Config, key: &str) -> Result<(Published, Findings)> {
    let (found, faults) = workflow_dir::read(&config.workflows.dir);
    let starters = if config.workflows.dir.exists() { Vec::new() } else { workflow_dir::starters() };
    let Some(files) = found.iter().chain(&starters).find(|files| files.key == key) else {
        let fault = faults.iter().find(|fault| found.is_empty() || fault.file == key);
        let keys: Vec<&str> = found.iter().map(|files| files.key.as_str()).collect();
        let all = match keys.as_slice() {
            [] => format!("The folder has no workflows. {}.", workflow_dir::how_to_begin(&config.workflows.dir)),
            keys => format!("There are {}.", quoted_list(keys)),
        };
        let fix = did_you_mean(nearest(key, keys.iter().copied()), &all);
        return Err(match fault {
            Some(fault) => anyhow!("{fault}"),
            None => anyhow!("there is no workflow `{key}` under {}. {fix}", config.workflows.dir.display()),
        });
    };
    let (catalog, told, shared) = server::catalog(config);
    let faults = match catalog.check(files) {
        Ok(Checked { published, mut remarks }) => {
            let named = catalog.shelf().library.named_in(&published.workflow.source);
            remarks.extend(told.into_iter().filter(|remark| concerns(remark.said(), &named)));
            let faults = shared.into_iter().filter(|fault| concerns(fault, &named)).collect();
            return Ok((published, Findings { remarks, faults }));
        }
        Err(faults) => [shared, faults].concat(),
    };
    Err(anyhow!("{}", faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))
}

/// Whether what was found in what workflows share concerns one that names these: any translation may be one of its own.
fn concerns(fault: &Fault, named: &Library) -> bool {
    match fault.file.split('/').collect::<Vec<_>>()[..] {
        ["translations", ..] => true,
        ["layouts", key, _, ..] => named.layouts.contains_key(key),
        ["partials", key, _, ..] => named.partials.contains_key(key),
        _ => false,
    }
}

/// Whom templates find when they look up who is stored: those that were named, and nobody else.
struct Present(Vec<(RecipientRef, Value)>);

impl Records for Present {
    fn recipient(&self, reference: &RecipientRef) -> Result<Option<Value>, String> {
        Ok(self.0.iter().find(|(known, _)| known == reference).map(|(_, value)| value.clone()))
    }

    fn subscriptions(&self, _: &RecipientRef) -> Result<Vec<Value>, String> {
        Ok(Vec::new())
    }
}

fn scope(config: &Config, published: &Published, occasion: Occasion, now: Timestamp) -> Result<(Value, Present)> {
    let person = |flag: &str, value: Value| -> Result<Recipient> {
        let mut reference = RecipientRef::from_json(&value).map_err(|why| anyhow!("{flag}: {why}"))?;
        if flag == TENANT {
            reference = RecipientRef::tenant(reference.id);
        }
        let mut recipient = Recipient::stub(reference, now);
        if let Value::Object(properties) = &value {
            recipient.merge(properties, now);
        }
        Ok(recipient)
    };
    let recipient = person("--to", occasion.recipient)?;
    let actor = occasion.actor.map(|actor| person("--actor", actor)).transpose()?;
    let tenant = occasion.tenant.map(|tenant| person(TENANT, tenant)).transpose()?;
    // Signed by no server's key: the links of a preview look right and do nothing.
    let links = Links::new(config.server.public_url(config.server.listen), &[0; 32]);
    let vars =
        links.vars(&config.vars, &Holder::new(recipient.reference.clone()), published.workflow.settings.is_commercial);
    let acted = actor.as_ref().map(|actor| actor.reference.clone());
    let activity = Activity { id: TriggerId::from([0; 16]), actor: acted, data: occasion.data, at: now };
    let activities = Activities::of_one(activity);
    let seen = |person: &Recipient| (person.reference.clone(), person.to_scope());
    let scope = Scope {
        recipient: &recipient.to_scope(),
        actor: actor.as_ref().map(Recipient::to_scope).as_ref(),
        tenant: tenant.as_ref().map(Recipient::to_scope).as_ref(),
        activities: &activities,
        actors: &actor.iter().map(seen).collect(),
        vars: &vars,
        workflow: &published.workflow,
        version: published.version,
        cancellation_key: None,
        message: MessageId::from([0; 16]),
        at: now,
    }
    .to_value();
    Ok((scope, Present([Some(&recipient), actor.as_ref(), tenant.as_ref()].into_iter().flatten().map(seen).collect())))
}

fn no_message(published: &Published, step: Option<&str>) -> String {
    let steps: Vec<&str> = published
        .workflow
        .steps
        .iter()
        .filter(|step| matches!(step.kind, StepKind::Channel(_)))
        .map(|step| step.reference.as_str())
        .collect();
    let mute = published.workflow.steps.iter().find(|known| Some(known.reference.as_str()) == step);
    if let Some(StepKind::Mute(kind)) = mute.map(|step| &step.kind) {
        return format!(
            "step `{}` sends nothing: this version has no channels of type {kind}",
            step.unwrap_or_default()
        );
    }
    match step {
        Some(step) => {
            let right = format!("Steps with a message are {}.", quoted_list(&steps));
            format!("no step `{step}` sends a message. {}", did_you_mean(nearest(step, steps.iter().copied()), &right))
        }
        None => "the workflow has no step that sends a message".to_owned(),
    }
}

/// A block of a feed item as HTML; its text is the author's and the data's, so only what was sanitised is taken as it is.
fn shown(block: &Block) -> String {
    match block {
        Block::Markdown { rendered, .. } => rendered.clone(),
        Block::Text { .. } | Block::ButtonSet { .. } => String::new(),
    }
}

fn show(page: &str) -> Result<()> {
    const SHOWS: &str = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let mut file = tempfile::Builder::new().prefix("belfry-preview-").suffix(".html").tempfile()?;
    file.write_all(page.as_bytes())?;
    let (_, path) = file.keep().context("the page could not be kept")?;
    let shown =
        Command::new(SHOWS).arg(&path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    match shown {
        Ok(status) if status.success() => Ok(()),
        _ => bail!("`{SHOWS}` could not show the page; open {} yourself", path.display()),
    }
}
