//! The workflows and recipients of every world, and what each run is expected to do.

use std::collections::BTreeMap;
use std::time::Duration;

use belfry::base::config::ProviderName;
use belfry::base::ids::ChannelId;
use belfry::engine::Channel;
use belfry::model::channel::ChannelType;
use belfry::model::recipient::RecipientRef;
use belfry::model::tracking::Tracking;
use belfry::model::workflow_file::WorkflowFiles;
use serde_json::{Value, json};

use crate::wait::ASKED;

/// The email channel.
pub fn email() -> ChannelId {
    ChannelId::from([1; 16])
}

/// The feed channel.
pub fn feed() -> ChannelId {
    ChannelId::from([2; 16])
}

pub fn channels() -> Vec<Channel> {
    vec![
        Channel {
            key: "email".into(),
            id: email(),
            kind: ChannelType::Email,
            provider: ProviderName::Mailbox,
            from: None,
            addressing: Default::default(),
            tracking: Tracking::default(),
        },
        Channel {
            key: "in-app".into(),
            id: feed(),
            kind: ChannelType::InAppFeed,
            provider: ProviderName::InAppFeed,
            from: None,
            addressing: Default::default(),
            tracking: Tracking::default(),
        },
    ]
}

/// A step as the checker knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Email(&'static str),
    /// An email that cannot be rendered for a recipient whose `divisor` is 0.
    Fragile(&'static str),
    Feed(&'static str),
    /// An email that a recipient whose `divisor` is 0 does not get, by its conditions.
    Guarded(&'static str),
    /// One email for recipients whose `divisor` is 0, another one for the others.
    Either(&'static str, &'static str),
    /// An email by an experiment, whose other cohort has no share.
    Drawn(&'static str),
    /// Keeps what names the call, in the run's data.
    Keep,
    /// An email that names the call by what was kept.
    Kept(&'static str),
    /// Seconds.
    Delay(u64),
    /// Seconds in which a recipient's runs become one.
    Batch(u64),
    /// An email that tells of how many.
    Told(&'static str),
    /// Seconds in which the item is to be seen; otherwise the run ends.
    Wait(u64),
    /// Asks another server, and goes on without its answer when that does not come.
    Fetch,
    /// An email that says behind a bar what was fetched.
    Fetched(&'static str),
    /// Triggers `CHILD`.
    Nest,
    /// An email that names the call of the run whose step triggered its own.
    OfParent(&'static str),
    /// Lets one run of a recipient pass in so many seconds.
    Throttle(u64),
    /// Keeps what names the call with the recipient.
    Note,
    /// An email, and an item, that wait for the day: from six to six.
    Daytime(&'static str),
    DaytimeFeed(&'static str),
}

use Part::{
    Batch, Daytime, DaytimeFeed, Delay, Drawn, Either, Email, Feed, Fetch, Fetched, Fragile, Guarded, Keep, Kept, Nest,
    Note, OfParent, Throttle, Told, Wait,
};

/// The hours of `Daytime`.
pub const DAYTIME: std::ops::Range<i64> = 6..18;

/// A workflow that the simulation triggers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Play {
    pub key: &'static str,
    pub parts: &'static [Part],
    pub actor: Actor,
}

/// What happens to the actors of a workflow's runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    Healthy,
    /// Panics once or twice at some writes, then goes on.
    Stumbles,
    /// Panics whenever it is about to write the step.
    Dies(&'static str),
}

const DAY: u64 = 86_400;

pub const PLAYS: [Play; 17] = [
    Play { key: "invite", parts: &[Email("email_1"), Delay(3 * DAY), Email("email_2")], actor: Actor::Healthy },
    Play {
        key: "doze",
        parts: &[Email("email_1"), Delay(5), Email("email_2"), Delay(5), Feed("feed_1")],
        actor: Actor::Healthy,
    },
    Play { key: "feed", parts: &[Feed("feed_1")], actor: Actor::Healthy },
    Play {
        key: "mixed",
        parts: &[Feed("feed_1"), Email("email_1"), Delay(600), Feed("feed_2"), Email("email_2")],
        actor: Actor::Healthy,
    },
    Play {
        key: "fragile",
        parts: &[Email("email_1"), Delay(2), Fragile("email_2"), Delay(40), Feed("feed_1")],
        actor: Actor::Healthy,
    },
    Play {
        key: "stumbles",
        parts: &[Email("email_1"), Delay(5), Feed("feed_1"), Email("email_2")],
        actor: Actor::Stumbles,
    },
    Play { key: "dies", parts: &[Email("email_1"), Delay(5), Email("email_2")], actor: Actor::Dies("email_2") },
    Play {
        key: "guarded",
        parts: &[Guarded("email_1"), Delay(5), Guarded("email_2"), Delay(40), Feed("feed_1")],
        actor: Actor::Stumbles,
    },
    Play {
        key: "branches",
        parts: &[Feed("feed_1"), Delay(5), Either("email_1", "email_2"), Delay(40), Email("email_3")],
        actor: Actor::Stumbles,
    },
    Play {
        key: "functions",
        parts: &[Keep, Delay(5), Drawn("email_1"), Delay(40), Kept("email_2")],
        actor: Actor::Stumbles,
    },
    Play { key: "digest", parts: &[Batch(20), Told("email_1")], actor: Actor::Healthy },
    Play {
        key: "asks",
        parts: &[Feed(ASKED), Wait(100), Email("email_1"), Delay(5), Feed("feed_2")],
        actor: Actor::Stumbles,
    },
    Play { key: "fetches", parts: &[Fetch, Fetched("email_1"), Delay(5), Email("email_2")], actor: Actor::Healthy },
    Play { key: "nests", parts: &[Nest, Delay(40), Email("email_1")], actor: Actor::Stumbles },
    Play { key: "throttled", parts: &[Delay(2), Throttle(60), Note, Email("email_1")], actor: Actor::Stumbles },
    Play {
        key: "daytime",
        parts: &[Daytime("email_1"), Delay(5), DaytimeFeed("feed_1"), Email("email_2")],
        actor: Actor::Healthy,
    },
    Play { key: "waits", parts: &[Delay(1), Delay(31), Email("email_1"), Delay(7_200)], actor: Actor::Healthy },
];

/// What only steps trigger.
pub const CHILD: Play = Play { key: "child", parts: &[OfParent("child_1")], actor: Actor::Healthy };

impl Play {
    pub fn all() -> impl Iterator<Item = Self> {
        PLAYS.into_iter().chain([CHILD])
    }

    pub fn of(key: &str) -> Self {
        Self::all().find(|play| play.key == key).unwrap()
    }

    pub fn has(&self, is: impl Fn(&Part) -> bool) -> bool {
        self.parts.iter().any(is)
    }

    /// Whether its runs become one. Nothing of it is cancelled: the store's own model knows batches and cancels.
    pub fn batches(&self) -> bool {
        self.has(|part| matches!(part, Batch(_)))
    }

    /// The steps before the one that waits for an event, if there is one.
    pub fn before_wait(&self) -> Option<Vec<&'static str>> {
        let wait = self.parts.iter().position(|part| matches!(part, Wait(_)))?;
        let names = self.parts[..wait].iter().filter_map(|part| match part {
            Email(name) | Feed(name) => Some(*name),
            _ => None,
        });
        Some(names.collect())
    }

    /// The workflow's directory. Another `revision` is another content.
    pub fn files(&self, revision: u64) -> WorkflowFiles {
        let steps: Vec<Value> =
            self.parts.iter().enumerate().map(|(index, part)| step(index, *part, revision)).collect();
        let document = json!({"name": self.key, "steps": steps});
        WorkflowFiles {
            key: self.key.into(),
            files: BTreeMap::from([("workflow.json".to_owned(), document.to_string())]),
        }
    }
}

fn step(index: usize, part: Part, revision: u64) -> Value {
    let email = |name: &str, more: &str| {
        json!({
            "ref": name, "type": "channel", "channel_key": "email",
            "template": {
                "subject": format!("{{{{call}}}} {name} r{revision}{more}"),
                "html_body": "<p>{{recipient.id}}</p>",
                "text_body": "{{recipient.id}}",
                "settings": {"layout_key": null}
            }
        })
    };
    match part {
        Email(name) => email(name, ""),
        Fragile(name) => email(name, " {{divide 6 divisor}}"),
        Guarded(name) => {
            let mut step = email(name, "");
            step["conditions"] = json!([{"variable": "data.divisor", "operator": "not_equal_to", "argument": "0"}]);
            step
        }
        Either(zero, other) => json!({
            "ref": format!("branch_{index}"), "type": "branch",
            "branches": [
                {
                    "name": "Zero", "steps": [email(zero, "")],
                    "conditions": {"all": [{"variable": "data.divisor", "operator": "equal_to", "argument": "0"}]},
                },
                {"name": "Other", "steps": [email(other, "")]},
            ],
        }),
        Drawn(name) => json!({
            "ref": format!("experiment_{index}"), "type": "random_cohort",
            "cohort_branches": [
                {"name": "All", "percentage": 100, "steps": [email(name, "")]},
                {"name": "None", "percentage": 0, "steps": [], "terminates": true},
            ],
        }),
        Keep => json!({
            "ref": format!("update_{index}"), "type": "update_data", "settings": {"data": {"kept": "{{call}}"}}
        }),
        Kept(name) => {
            let mut step = email(name, "");
            step["template"]["subject"] = json!(format!("{{{{kept}}}} {name} r{revision}"));
            step
        }
        Feed(name) => json!({
            "ref": name, "type": "channel", "channel_key": "in-app",
            "template": {"markdown_body": format!("{{{{call}}}} {name} r{revision}")}
        }),
        Told(name) => {
            let mut step = email(name, "");
            step["template"]["subject"] = json!(format!("{{{{total_activities}}}} told r{revision}"));
            step
        }
        Fetch => json!({
            "ref": format!("fetch_{index}"), "type": "http_fetch",
            "settings": {
                "method": "get", "url": "https://sim.test/{{call}}/{{recipient.id}}", "response_path": "fetched",
                "on_error": "continue",
            }
        }),
        Fetched(name) => email(name, "|{{fetched.call}}"),
        Nest => json!({
            "ref": format!("trigger_{index}"), "type": "trigger_workflow",
            "settings": {"workflow_key": CHILD.key, "data": {"parent": "{{call}}"}}
        }),
        OfParent(name) => {
            let mut step = email(name, "");
            step["template"]["subject"] = json!(format!("{{{{parent}}}} {name} r{revision}"));
            step
        }
        Throttle(seconds) => json!({
            "ref": format!("throttle_{index}"), "type": "throttle",
            "settings": {"throttle_window": {"unit": "seconds", "value": seconds}}
        }),
        Note => json!({
            "ref": format!("update_{index}"), "type": "update_user",
            "settings": {"recipient_mode": "current", "update_properties": {"noted": "{{call}}"}}
        }),
        Daytime(name) => by_day(email(name, "")),
        DaytimeFeed(name) => by_day(step(index, Feed(name), revision)),
        Batch(seconds) => json!({
            "ref": format!("batch_{index}"), "type": "batch",
            "settings": {"batch_window": {"unit": "seconds", "value": seconds}}
        }),
        Wait(seconds) => json!({
            "ref": format!("wait_{index}"), "type": "wait_for_event",
            "settings": {
                "event": {"event_type": "message", "event_key": "seen", "source_key": "asks"},
                "match_conditions": [{"operator": "and", "conditions": [
                    {"variable": "event.step_ref", "operator": "equal_to", "argument": ASKED},
                ]}],
                "expires_after": {"unit": "seconds", "value": seconds},
            }
        }),
        Delay(seconds) => json!({
            "ref": format!("delay_{index}"), "type": "delay",
            "settings": {"delay_for": {"unit": "seconds", "value": seconds}}
        }),
    }
}

fn by_day(mut step: Value) -> Value {
    let days = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
    let [from, until] = [DAYTIME.start, DAYTIME.end].map(|hour| format!("{hour:02}:00:00"));
    step["send_windows"] = days.map(|day| json!({"day": day, "type": "send", "from": from, "until": until})).into();
    step
}

/// Someone to notify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Who(pub u64);

/// How many there are: most have an address, the last users have none, and two are objects.
pub const PEOPLE: u64 = 9;

impl Who {
    pub fn reference(self) -> RecipientRef {
        if self.is_user() {
            RecipientRef::user(format!("u{}", self.0))
        } else {
            RecipientRef { collection: "rooms".into(), id: format!("r{}", self.0) }
        }
    }

    pub fn is_user(self) -> bool {
        self.0 < PEOPLE - 2
    }

    pub fn has_email(self) -> bool {
        self.0 < PEOPLE - 4 || self.0 == PEOPLE - 1
    }

    /// What they say they do not want: each time that they are named, so that it holds for every run. It is decided when
    /// a step is executed.
    fn preferences(self) -> Value {
        match self.0 {
            1 => json!({"workflows": {"doze": {"channel_types": {"email": false}}}}),
            2 => json!({"channel_types": {"in_app_feed": false}, "workflows": {"invite": false}}),
            _ => json!({}),
        }
    }

    /// Whether they want what a workflow sends them.
    fn wants(self, workflow: &str, in_app: bool) -> bool {
        match self.0 {
            1 => workflow != "doze" || in_app,
            2 => workflow != "invite" && !in_app,
            _ => true,
        }
    }

    /// As the trigger's body names them; `divisor` is data of their own.
    pub fn to_json(self, divisor: u64) -> Value {
        let reference = self.reference();
        let mut body = json!({"id": reference.id, "name": "Someone", "$trigger_data": {"divisor": divisor}});
        if !self.is_user() {
            body["collection"] = json!(reference.collection);
        }
        if self.has_email() {
            body["email"] = json!(format!("{}@x.test", reference.id));
        }
        body["preferences"] = json!({"default": self.preferences()});
        body
    }
}

/// A message that a run makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    pub step: &'static str,
    pub in_app: bool,
    /// The delays before it, all together.
    pub after: Duration,
}

/// What one run does when nobody cancels it: its messages in order, and the text that its failure contains.
pub fn expected(play: &Play, who: Who, divisor: u64, skip_delay: bool) -> (Vec<Expected>, Option<&'static str>) {
    let mut messages = Vec::new();
    let mut after = Duration::ZERO;
    for part in play.parts {
        let (step, in_app) = match *part {
            Delay(seconds) => {
                if !skip_delay {
                    after += Duration::from_secs(seconds);
                }
                continue;
            }
            Keep | Fetch | Nest | Throttle(_) | Note | Wait(_) => continue,
            Batch(seconds) => {
                after += Duration::from_secs(seconds);
                continue;
            }
            Email(name) | Fragile(name) | Guarded(name) | Drawn(name) | Kept(name) | Told(name) | Fetched(name)
            | OfParent(name) | Daytime(name) => (name, false),
            Either(zero, other) => (if divisor == 0 { zero } else { other }, false),
            Feed(name) | DaytimeFeed(name) => (name, true),
        };
        if play.actor == Actor::Dies(step) {
            return (messages, Some("panicked 3 times"));
        }
        if in_app && !who.is_user() || !in_app && !who.has_email() || !who.wants(play.key, in_app) {
            continue;
        }
        if matches!(part, Guarded(_)) && divisor == 0 {
            continue;
        }
        if matches!(part, Fragile(_)) && divisor == 0 {
            return (messages, Some("divide"));
        }
        messages.push(Expected { step, in_app, after });
    }
    (messages, None)
}
