//! A workflow: what a trigger starts, one run a recipient.

use serde_json::Value;

use super::batch_step::Batch;
use super::channel::ChannelType;
use super::condition::Conditions;
use super::experiment_step::Experiment;
use super::fetch_step::Fetch;
use super::moment::Moment;
use super::send_windows::SendWindows;
use super::settings::Settings as StepSettings;
use super::text_files::TextFiles;
use super::throttle_step::Throttle;
use super::tracking::TrackingOverride;
use super::update_step::Update;
use super::visual_block::VisualBlock;
use super::wait_step::WaitForEvent;

/// The file at the top of a workflow's directory.
pub const DOCUMENT: &str = "workflow.json";

/// A validated workflow. It says what to do; nothing in it can be wrong any more.
#[derive(Clone, Debug, PartialEq)]
pub struct Workflow {
    /// The directory's name: `^[a-z0-9_-]+$`, at most 255 characters.
    pub key: String,
    pub name: String,
    /// Case-sensitive, used by preferences and feed filters.
    pub categories: Vec<String>,
    pub settings: Settings,
    /// Those of branches stand behind the step that they branch from.
    pub steps: Vec<Step>,
    pub frequency: Frequency,
    /// When a run goes on at all. Empty ones always hold.
    pub conditions: Conditions,
    /// The whole document with its `field@` pointers resolved: what is stored for runs that outlive an edit.
    pub source: Value,
    /// Which files its parts were read from.
    pub files: TextFiles,
}

impl Workflow {
    /// The file in which the value at `path` of the document was written, and the path in that file.
    pub fn place(&self, path: &str) -> (String, String) {
        self.files.place(&self.key, DOCUMENT, path)
    }

    /// The conditions of the trigger, of all steps and of their branches.
    pub fn conditions<'a>(&'a self) -> impl Iterator<Item = &'a Conditions> {
        let of_step = |step: &'a Step| {
            let branches = match &step.kind {
                StepKind::Branch(branches) => branches.as_slice(),
                _ => &[],
            };
            std::iter::once(&step.conditions).chain(branches.iter().map(|branch| &branch.conditions))
        };
        std::iter::once(&self.conditions).chain(self.steps.iter().flat_map(of_step))
    }
}

impl StepKind {
    /// Whether what it does depends on more than its conditions: on paths that it looks up.
    pub fn looks_up(&self) -> bool {
        match self {
            Self::Delay(moment) => moment.fixed().is_none(),
            Self::Throttle(throttle) => throttle.window.fixed().is_none() || throttle.key.is_some(),
            Self::Batch(batch) => batch.window.fixed().is_none() || batch.key.is_some(),
            Self::RandomCohort(experiment) => experiment.key.is_some(),
            Self::WaitForEvent(wait) => !wait.conditions.is_empty(),
            Self::Channel(_)
            | Self::Mute(_)
            | Self::Branch(_)
            | Self::Update(_)
            | Self::TriggerWorkflow(_)
            | Self::Fetch(_) => false,
        }
    }

    /// What is rendered before the step acts, unless that is a message.
    pub fn settings(&self) -> Option<&StepSettings> {
        match self {
            Self::Update(update) => Some(&update.settings),
            Self::TriggerWorkflow(settings) => Some(settings),
            Self::Fetch(fetch) => Some(&fetch.settings),
            Self::Batch(Batch { key: Some(key), .. })
            | Self::Throttle(Throttle { key: Some(key), .. })
            | Self::RandomCohort(Experiment { key: Some(key), .. }) => key.settings(),
            _ => None,
        }
    }

    /// Where each of its arms leads, in their order.
    pub fn lead_to(&mut self, firsts: &[Onward]) {
        match self {
            Self::Branch(branches) => branches.iter_mut().zip(firsts).for_each(|(branch, to)| branch.first = *to),
            Self::RandomCohort(experiment) => {
                experiment.cohorts.iter_mut().zip(firsts).for_each(|(cohort, to)| cohort.first = *to);
            }
            _ => {}
        }
    }
}

/// `trigger_frequency`: which runs begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Frequency {
    #[default]
    EveryTrigger,
    /// The first one of a recipient, ever, whose conditions hold.
    OncePerRecipient,
    /// The first one of a recipient for each tenant, and for none.
    OncePerRecipientPerTenant,
}

/// `settings` of `workflow.json`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    pub is_commercial: bool,
    pub override_preferences: bool,
    pub engine: Engine,
}

/// The language of a template.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    #[default]
    Handlebars,
    Liquid,
}

/// One step. `reference` (`ref` in the file) is unique in its workflow.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub reference: String,
    pub name: Option<String>,
    /// When the step is executed; otherwise the run goes on behind it. Empty ones always hold.
    pub conditions: Conditions,
    pub kind: StepKind,
    /// Where a run goes on that has executed it, or left it out.
    pub next: Onward,
    /// Where it stands in the document: `steps[2].branches[0].steps[1]`.
    pub path: String,
}

/// Where a run goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Onward {
    /// An index into the workflow's steps.
    Step(u16),
    /// Nothing follows.
    Finish,
    /// A branch ends the run.
    Terminate,
}

impl Onward {
    /// To the step at `index`; no workflow has as many as the type has numbers.
    pub fn to(index: usize) -> Self {
        u16::try_from(index).map_or(Self::Finish, Self::Step)
    }
}

/// What a step does.
#[derive(Clone, Debug, PartialEq)]
pub enum StepKind {
    Channel(ChannelStep),
    /// Sends nothing: this version has no channels of the type. Runs leave it out.
    Mute(ChannelType),
    /// Waits before the next step.
    Delay(Moment),
    /// Ends the run when too many have passed.
    Throttle(Throttle),
    /// Waits for other runs of the recipient, which go on as one.
    Batch(Batch),
    /// Goes on with the first branch whose conditions hold.
    Branch(Vec<Branch>),
    /// Goes on with the cohort that its key is drawn into.
    RandomCohort(Experiment),
    /// Changes what later steps find.
    Update(Update),
    /// Triggers another workflow.
    TriggerWorkflow(StepSettings),
    /// Asks another server, and keeps what it answers.
    Fetch(Fetch),
    /// Waits for something that happens to the recipient.
    WaitForEvent(Box<WaitForEvent>),
}

/// A way that a run can take.
#[derive(Clone, Debug, PartialEq)]
pub struct Branch {
    pub name: String,
    /// Empty ones always hold: those of the last branch are.
    pub conditions: Conditions,
    pub first: Onward,
}

/// Sends one message on one channel.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelStep {
    pub channel_key: String,
    /// When its messages may go out; `None`: always.
    pub send_windows: Option<Box<SendWindows>>,
    /// The language of the template, where it is not that of the workflow.
    pub engine: Option<Engine>,
    pub template: Template,
    pub tracking: TrackingOverride,
}

/// The content of a channel step, by type of channel.
#[derive(Clone, Debug, PartialEq)]
pub enum Template {
    Email(EmailTemplate),
    InAppFeed(InAppTemplate),
}

impl Template {
    /// The type of channel that this content is for.
    pub fn channel_type(&self) -> ChannelType {
        match self {
            Self::Email(_) => ChannelType::Email,
            Self::InAppFeed(_) => ChannelType::InAppFeed,
        }
    }
}

/// An email's sources, unrendered.
#[derive(Clone, Debug, PartialEq)]
pub struct EmailTemplate {
    pub subject: String,
    pub body: EmailBody,
    /// Made from the HTML when absent.
    pub text_body: Option<String>,
    /// `default`, or none at all when the file says `"layout_key": null`.
    pub layout: Option<String>,
    /// Rendered before the layout, which knows what it assigns.
    pub pre_content: Option<String>,
    /// The HTML is MJML.
    pub is_mjml: bool,
    /// Where in the trigger's data attachments lie.
    pub attachment_key: String,
    pub overrides: Box<EmailOverrides>,
}

impl EmailTemplate {
    /// An email that says nothing but this, in no layout.
    pub fn plain(subject: &str, html: &str) -> Self {
        Self {
            subject: subject.to_owned(),
            body: EmailBody::Html(html.to_owned()),
            text_body: None,
            layout: None,
            pre_content: None,
            is_mjml: false,
            attachment_key: "attachments".to_owned(),
            overrides: Box::default(),
        }
    }
}

/// The body of an email.
#[derive(Clone, Debug, PartialEq)]
pub enum EmailBody {
    Html(String),
    Blocks(Vec<VisualBlock>),
}

/// What a step changes of its channel's settings; all are templates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EmailOverrides {
    pub from_address: Option<String>,
    pub from_name: Option<String>,
    /// Instead of the recipient's own address.
    pub to: Option<String>,
    pub cc: Option<String>,
    pub bcc: Option<String>,
    pub reply_to: Option<String>,
    /// A JSON object that wins over all of these.
    pub json: Option<String>,
}

impl EmailOverrides {
    /// Whether a mail may go elsewhere than to its recipient.
    pub fn may_name_recipient(&self) -> bool {
        self.to.is_some() || self.json.is_some()
    }
}

/// A feed item's sources, unrendered.
#[derive(Clone, Debug, PartialEq)]
pub struct InAppTemplate {
    pub markdown_body: String,
    /// Where a click on the item leads; empty in the file means none.
    pub action_url: Option<String>,
    /// None, one (`primary`) or two (`primary`, `secondary`).
    pub action_buttons: Vec<ActionButton>,
}

/// A button of a feed item; both fields are templates.
#[derive(Clone, Debug, PartialEq)]
pub struct ActionButton {
    pub label: String,
    pub action: String,
}
