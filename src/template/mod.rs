//! Rendering: a workflow's templates, parsed once, and what they become for one recipient. Pure: no I/O, no clock; what a
//! template looks up is answered by the `records` that it is given. It may name `base` and `model`, and only here are the
//! template, Markdown and HTML crates named. It does not know where data comes from, nor what becomes of a message.
//!
//! Data is never read as a template, and no template can make a rendering panic, hang or grow without end: see `budget`.

mod addressing;
mod author_tags;
mod block;
pub mod branding;
pub mod budget;
mod date;
mod email;
mod email_markdown;
pub mod error;
mod feed;
mod handlebars;
mod helper;
mod inline;
mod language;
mod layout;
mod line;
mod liquid;
mod locale;
mod markdown;
mod mjml;
pub mod page;
mod partial;
mod parts;
mod patchwork;
mod phrases;
mod plain;
pub mod records;
pub mod scope;
mod settings;
mod source;
mod speech;
mod tags;
pub mod tracking;
mod untranslated;
mod visual;
mod wording;
pub mod words;
mod wrap;

use std::collections::HashMap;
use std::sync::Arc;

use ::handlebars::Context;
use serde_json::{Map, Value};

use crate::model::fault::Fault;
use crate::model::message::{Block, EmailContent};
use crate::model::workflow::{StepKind, Template, Workflow};

use self::email::Email;
use self::error::{Cause, Complaint};
use self::feed::InApp;

pub use self::addressing::ChannelAddressing;
pub use self::error::RenderError;
pub use self::parts::Parts;
pub use self::phrases::Phrases;
pub use self::scope::Scope;
pub use self::untranslated::untranslated;

/// Every template of one workflow, parsed.
#[derive(Debug)]
pub struct Compiled {
    emails: HashMap<String, Email>,
    in_apps: HashMap<String, InApp>,
    settings: HashMap<String, settings::Parsed>,
    phrases: Arc<Phrases>,
}

impl Compiled {
    /// Parses all templates of `workflow`, which name `parts`, and finds all that is wrong with them.
    pub fn new(workflow: &Workflow, parts: &Parts) -> Result<Self, Vec<Fault>> {
        let file = format!("{}/workflow.json", workflow.key);
        let mut compiled =
            Self { emails: HashMap::new(), in_apps: HashMap::new(), settings: HashMap::new(), phrases: Arc::default() };
        let mut faults = Vec::new();
        for step in &workflow.steps {
            let mut complain = |field: &str, complaint: Complaint| {
                faults.push(complaint.into_fault(file.clone(), format!("{}.{field}", step.path)));
            };
            // An experiment's key stands beside its settings, not among them.
            let place = if matches!(step.kind, StepKind::RandomCohort(_)) { "" } else { "settings." };
            if let Some(settings) = step.kind.settings() {
                let parsed = settings::Parsed::new(
                    settings,
                    workflow.settings.engine,
                    &parts.in_text,
                    &mut |field, complaint| {
                        complain(&format!("{place}{field}"), complaint);
                    },
                );
                compiled.settings.insert(step.reference.clone(), parsed);
            }
            let StepKind::Channel(channel) = &step.kind else { continue };
            let engine = channel.engine.unwrap_or(workflow.settings.engine);
            match &channel.template {
                Template::Email(template) => {
                    let email = Email::parse(template, engine, parts, &mut complain);
                    compiled.emails.extend(email.map(|email| (step.reference.clone(), email)));
                }
                Template::InAppFeed(template) => {
                    let in_app = InApp::parse(template, engine, &parts.in_text, &mut |field, complaint| {
                        complain(&format!("template.{field}"), complaint);
                    });
                    compiled.in_apps.extend(in_app.map(|in_app| (step.reference.clone(), in_app)));
                }
            }
        }
        if faults.is_empty() { Ok(compiled) } else { Err(faults) }
    }

    /// The same, with what its templates can say in other languages.
    pub fn speaking(self, phrases: Arc<Phrases>) -> Self {
        Self { phrases, ..self }
    }

    /// Renders the email of a step with a scope (see `Scope::to_value`), as if its channel said nothing of its own.
    pub fn email(&self, step_ref: &str, scope: Value) -> Result<EmailContent, RenderError> {
        self.email_on(&ChannelAddressing::default(), step_ref, scope)
    }

    /// The same on a channel.
    pub fn email_on(
        &self,
        channel: &ChannelAddressing,
        step_ref: &str,
        scope: Value,
    ) -> Result<EmailContent, RenderError> {
        let _spoken = speech::to(&self.phrases, &scope);
        let name = format!("steps.{step_ref}");
        match self.emails.get(step_ref) {
            Some(email) => email.render(&name, channel, scope),
            None => Err(RenderError::new(&name, Cause::UnknownStep { channel: "email" })),
        }
    }

    /// Renders the settings of a step with a scope (see `Scope::to_value`); none if it has none.
    pub fn settings(&self, step_ref: &str, scope: &Value) -> Result<Map<String, Value>, RenderError> {
        let _spoken = speech::to(&self.phrases, scope);
        match self.settings.get(step_ref) {
            Some(settings) => settings.render(&format!("steps.{step_ref}"), &Context::from(scope.clone())),
            None => Ok(Map::new()),
        }
    }

    /// Renders the feed item of a step with a scope (see `Scope::to_value`).
    pub fn in_app(&self, step_ref: &str, mut scope: Value) -> Result<Vec<Block>, RenderError> {
        let _spoken = speech::to(&self.phrases, &scope);
        let name = format!("steps.{step_ref}");
        match self.in_apps.get(step_ref) {
            Some(in_app) => {
                branding::apply(&mut scope, &Map::new());
                in_app.render(&name, &Context::from(scope))
            }
            None => Err(RenderError::new(&name, Cause::UnknownStep { channel: "in-app feed" })),
        }
    }
}

#[cfg(test)]
mod tests;
