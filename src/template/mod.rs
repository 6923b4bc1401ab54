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
mod plurals;
pub mod records;
pub mod scope;
mod settings;
mod source;
mod speech;
mod strftime;
mod tags;
pub mod tracking;
mod untranslated;
mod visual;
mod wording;
pub mod words;
mod wrap;
pub mod writing;

use std::collections::HashMap;
use std::sync::Arc;

use ::handlebars::Context;
use serde_json::{Map, Value};

use crate::model::fault::Fault;
use crate::model::message::{Block, EmailContent};
use crate::model::text_files::TextFiles;
use crate::model::workflow::{DOCUMENT, Step, StepKind, Template, Workflow};

use self::email::Email;
use self::error::{Cause, Complaint, place_name};
use self::feed::InApp;

pub use self::addressing::ChannelAddressing;
pub use self::error::RenderError;
pub use self::parts::Parts;
pub use self::phrases::Phrases;
pub use self::plurals::plurals;
pub use self::scope::Scope;
pub use self::untranslated::untranslated;

/// Every template of one workflow, parsed.
#[derive(Debug)]
pub struct Compiled {
    emails: HashMap<String, Email>,
    in_apps: HashMap<String, InApp>,
    settings: HashMap<String, settings::Parsed>,
    /// Where each step stands in the document.
    paths: HashMap<String, String>,
    key: String,
    files: TextFiles,
    phrases: Arc<Phrases>,
    foreseen: Vec<Fault>,
}

impl Compiled {
    /// Parses all templates of `workflow`, which name `parts`, and finds all that is wrong with them.
    pub fn new(workflow: &Workflow, parts: &Parts) -> Result<Self, Vec<Fault>> {
        let path = |step: &Step| (step.reference.clone(), step.path.clone());
        let mut compiled = Self {
            emails: HashMap::new(),
            in_apps: HashMap::new(),
            settings: HashMap::new(),
            paths: workflow.steps.iter().map(path).collect(),
            key: workflow.key.clone(),
            files: workflow.files.clone(),
            phrases: Arc::default(),
            foreseen: Vec::new(),
        };
        let mut faults = Vec::new();
        for step in &workflow.steps {
            let mut complain = |field: &str, complaint: Complaint| {
                let (file, path) = workflow.place(&format!("{}.{field}", step.path));
                let found = if complaint.foreseen { &mut compiled.foreseen } else { &mut faults };
                found.push(complaint.into_fault(file, path));
            };
            // An experiment's key stands beside its settings, not among them.
            let place = if matches!(step.kind, StepKind::RandomCohort(_)) { "" } else { "settings." };
            if let Some(settings) = step.kind.settings() {
                let label = format!("{}.{place}", step.path);
                let engine = workflow.settings.engine;
                let parsed = settings::Parsed::new(label, settings, engine, &parts.in_text, &mut |field, complaint| {
                    complain(&format!("{place}{field}"), complaint);
                });
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
        if faults.is_empty() {
            return Ok(compiled);
        }
        faults.append(&mut compiled.foreseen);
        Err(faults)
    }

    /// What the templates say that will be refused when they are rendered, if it comes to that: a fault in what is to be
    /// published, but not in a version that runs follow already.
    pub fn foreseen(&self) -> &[Fault] {
        &self.foreseen
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
        let (path, email) = self.of(step_ref, &self.emails, "email")?;
        email.render(path, channel, scope).map_err(|error| self.located(path, error))
    }

    /// Renders the settings of a step with a scope (see `Scope::to_value`); none if it has none.
    pub fn settings(&self, step_ref: &str, scope: &Value) -> Result<Map<String, Value>, RenderError> {
        let _spoken = speech::to(&self.phrases, scope);
        let Some(settings) = self.settings.get(step_ref) else { return Ok(Map::new()) };
        let rendered = settings.render(&Context::from(scope.clone()));
        rendered.map_err(|error| self.located(self.path(step_ref), error))
    }

    /// Renders the feed item of a step with a scope (see `Scope::to_value`).
    pub fn in_app(&self, step_ref: &str, mut scope: Value) -> Result<Vec<Block>, RenderError> {
        let _spoken = speech::to(&self.phrases, &scope);
        let (path, in_app) = self.of(step_ref, &self.in_apps, "in-app feed")?;
        branding::apply(&mut scope, &Map::new());
        in_app.render(path, &Context::from(scope)).map_err(|error| self.located(path, error))
    }

    /// Where the step stands in the document, and its templates for `channel`.
    fn of<'a, T>(
        &'a self,
        step_ref: &str,
        templates: &'a HashMap<String, T>,
        channel: &'static str,
    ) -> Result<(&'a str, &'a T), RenderError> {
        let found = templates.get(step_ref).map(|one| (self.path(step_ref), one));
        found.ok_or_else(|| RenderError::new(&format!("steps.{step_ref}"), Cause::UnknownStep { channel }))
    }

    fn path(&self, step_ref: &str) -> &str {
        self.paths.get(step_ref).map(String::as_str).unwrap_or_default()
    }

    /// An error in a template of the step at `path` with the file that it was written in. What is shared knows its own.
    fn located(&self, path: &str, mut error: RenderError) -> RenderError {
        if error.template.starts_with(path) {
            error.template = place_name(self.files.place(&self.key, DOCUMENT, &error.template));
        }
        error
    }
}

#[cfg(test)]
mod tests;
