//! What happens in a world, drawn from its seed before it begins.

use std::time::Duration;

use belfry::model::engagement::Action as Engage;

use crate::cast::{PEOPLE, PLAYS, Part, Who};
use crate::disk::Crash;
use crate::ledger::Instant;
use crate::provider::Mood;
use crate::rng::Rng;
use crate::subscribers::Subscribers;

const MILLI: u64 = 1_000;
const SECOND: u64 = 1_000 * MILLI;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// A world.
#[derive(Clone, Debug)]
pub struct Script {
    pub actions: Vec<(Instant, Action)>,
    /// In order; after the last one the world runs until it is quiet.
    pub crashes: Vec<Planned>,
    /// The longest commit, in milliseconds.
    pub latency: u64,
    pub mood: Mood,
    pub concurrency: usize,
    pub max_active: usize,
    pub park_after: Duration,
    pub subscribers: Subscribers,
    pub spread_at_once: usize,
}

#[derive(Clone, Debug)]
pub enum Action {
    Trigger(Trigger),
    Cancel {
        workflow: &'static str,
        key: String,
        recipients: Option<Vec<Who>>,
    },
    /// A reader does something with the newest items of the feed, or with all of them in bulk.
    Mark {
        reader: Who,
        action: Engage,
        newest: Option<usize>,
    },
    /// Sets the wall clock by that many microseconds.
    Step(i64),
    /// Publishes another revision of every workflow.
    Reload,
    /// Advances the clock by that many microseconds as `belfry dev` does: from one due time to the next.
    Advance(u64),
}

#[derive(Clone, Debug)]
pub struct Trigger {
    pub content: u64,
    pub workflow: &'static str,
    pub recipients: Vec<(Who, u64)>,
    pub actor: Option<Who>,
    pub key: Option<String>,
    pub idempotency: Option<u64>,
    pub skip_delay: bool,
    pub sandbox: bool,
    /// The client goes away after this, whether or not it was answered.
    pub patience: Option<Duration>,
    pub aims: Vec<Aim>,
}

/// A cancel of the trigger's own key, sent once it was answered.
#[derive(Clone, Debug)]
pub struct Aim {
    pub when: When,
    pub recipients: Option<Vec<Who>>,
}

#[derive(Clone, Copy, Debug)]
pub enum When {
    /// That many microseconds after the answer.
    After(u64),
    /// That many microseconds after (negative: before) the run's first delay ends.
    Due(i64),
}

/// The end of a process.
#[derive(Clone, Copy, Debug)]
pub struct Planned {
    pub at: Instant,
    /// It is asked to stop, and killed only when it has not done so in time.
    pub asked: bool,
    pub crash: Crash,
    /// The disk stops in the middle of a commit: after that many of its operations.
    pub inside: Option<u64>,
    /// Until the next process starts, in microseconds.
    pub pause: u64,
    /// How the wall clock was set meanwhile.
    pub step: i64,
    /// The next process is killed too, after that many operations of its recovery.
    pub again: Option<u64>,
}

impl Script {
    pub fn of(seed: u64) -> Self {
        let mut rng = Rng::of(seed, "script", 0);
        let rng = &mut rng;
        let keys: Vec<String> = (0..rng.range(1, 4)).map(|key| format!("k{key}")).collect();
        let busy = rng.pick(&[2 * SECOND, 20 * SECOND, 2 * MINUTE]);
        let horizon = rng.pick(&[MINUTE, 3 * HOUR, 80 * HOUR]);
        let steps = rng.percent(35);
        let advance = (steps && rng.percent(40)).then(|| rng.pick(&[SECOND, MINUTE, 3 * HOUR, 73 * HOUR]));
        let mut actions = Vec::new();
        actions.extend(advance.map(|by| (rng.below(2 * busy), Action::Advance(by))));
        let mut dues = Vec::new();
        for content in 0..rng.range(3, 14) {
            let at = if rng.percent(75) { rng.below(busy) } else { rng.below(horizon) };
            let mut trigger = trigger(content, &keys, rng);
            if advance > Some(HOUR) {
                // Idempotency keys are forgotten after a day, and this world's days are short.
                trigger.idempotency = None;
            }
            let play = crate::cast::Play::of(trigger.workflow);
            let mut due = at;
            for part in play.parts {
                match part {
                    Part::Delay(seconds) | Part::Batch(seconds) => {
                        due += seconds * SECOND;
                        dues.push(due);
                    }
                    Part::Wait(seconds) => dues.push(due + seconds * SECOND),
                    _ => {}
                }
            }
            repeat(&trigger, at, &mut actions, rng);
            actions.push((at, Action::Trigger(trigger)));
        }
        for _ in 0..rng.below(6) {
            let near = dues.is_empty() || rng.percent(50);
            let at = if near { rng.below(horizon) } else { around(rng.pick(&dues), rng) };
            let action = Action::Cancel {
                workflow: PLAYS[rng.below(PLAYS.len() as u64) as usize].key,
                key: keys[rng.below(keys.len() as u64) as usize].clone(),
                recipients: subset(rng),
            };
            actions.push((at, action));
        }
        if steps {
            for _ in 0..rng.range(1, 4) {
                actions.push((rng.below(horizon), Action::Step(step(rng))));
            }
        }
        actions.extend(marks(seed, busy, horizon));
        actions.extend(glances(seed, &actions));
        actions.extend(reloads(seed, busy, horizon));
        let mut crashes = crashes(busy, horizon, &dues, steps, rng);
        let mut spread = Rng::of(seed, "spread", 0);
        let subscribers = Subscribers::of(seed);
        spreading(&subscribers, &mut actions, &mut crashes, &mut spread);
        let gentle = rng.percent(50);
        let mut rate = |most: u64| if gentle { 0 } else { rng.below(most + 1) };
        let mood =
            Mood { transient: rate(40), permanent: rate(10), panics: rate(10), hangs: rate(10), deadly: rate(6) };
        Self {
            actions,
            crashes,
            latency: rng.pick(&[1, 5, 30]),
            mood,
            concurrency: rng.pick(&[1, 2, 16]),
            max_active: rng.pick(&[1, 3, 1_000]),
            park_after: Duration::from_millis(rng.pick(&[0, 3_000, 30_000])),
            spread_at_once: spread.pick(&[1, 2, 500]),
            subscribers,
        }
    }
}

/// Gives some triggers an actor, and ends some processes while a trigger spreads, by choices of their own.
fn spreading(to: &Subscribers, actions: &mut [(Instant, Action)], crashes: &mut Vec<Planned>, rng: &mut Rng) {
    let mut last = Instant::MAX;
    for (at, action) in actions {
        let Action::Trigger(trigger) = action else { continue };
        // A repetition is the same request.
        let of_content = Who(trigger.content % PEOPLE);
        trigger.actor = (trigger.content.is_multiple_of(3) && of_content.is_user()).then_some(of_content);
        if to.spreads(&trigger.recipients) && rng.percent(15) && *at < last {
            last = *at;
        }
    }
    if last < Instant::MAX {
        let at = last + rng.below(80 * MILLI);
        let (crash, pause) = (rng.pick(&[Crash::Kill, Crash::PowerCut]), 10 * MILLI);
        crashes.push(Planned { at, asked: false, crash, inside: None, pause, step: 0, again: None });
        crashes.sort_by_key(|planned| planned.at);
    }
}

/// What readers do, by choices of their own.
fn marks(seed: u64, busy: u64, horizon: u64) -> Vec<(Instant, Action)> {
    let mut rng = Rng::of(seed, "marks", 0);
    let actions = [Engage::Seen, Engage::Unseen, Engage::Read, Engage::Unread, Engage::Archived, Engage::Unarchived];
    (0..rng.below(12))
        .map(|_| {
            let span = if rng.percent(50) { 2 * busy } else { horizon };
            let at = rng.below(span);
            let newest = rng.percent(60).then(|| rng.range(1, 3) as usize);
            (at, Action::Mark { reader: Who(rng.below(PEOPLE)), action: rng.pick(&actions), newest })
        })
        .collect()
}

/// What readers see of items that runs wait to see seen: soon, or about when the wait ends.
fn glances(seed: u64, actions: &[(Instant, Action)]) -> Vec<(Instant, Action)> {
    let mut rng = Rng::of(seed, "glances", 0);
    let mut glances = Vec::new();
    for (at, action) in actions {
        let Action::Trigger(Trigger { workflow, recipients, .. }) = action else { continue };
        let wait = crate::cast::Play::of(workflow).parts.iter().find_map(|part| match part {
            Part::Wait(seconds) => Some(seconds * SECOND),
            _ => None,
        });
        for (reader, _) in recipients.iter().filter(|_| wait.is_some()) {
            let after = match rng.below(4) {
                0 => continue,
                1 => rng.below(300 * MILLI),
                2 => rng.below(wait.unwrap_or_default()),
                _ => around(wait.unwrap_or_default(), &mut rng),
            };
            let newest = rng.percent(80).then(|| rng.range(1, 3) as usize);
            glances.push((at + after, Action::Mark { reader: *reader, action: Engage::Seen, newest }));
        }
    }
    glances
}

/// When workflows are published anew, by choices of their own.
fn reloads(seed: u64, busy: u64, horizon: u64) -> Vec<(Instant, Action)> {
    let mut rng = Rng::of(seed, "reloads", 0);
    let count = rng.pick(&[0, 0, 1, 3]);
    (0..count)
        .map(|_| {
            let span = if rng.percent(60) { busy } else { horizon };
            (rng.below(span), Action::Reload)
        })
        .collect()
}

fn trigger(content: u64, keys: &[String], rng: &mut Rng) -> Trigger {
    let mut recipients: Vec<(Who, u64)> =
        (0..rng.range(1, 4)).map(|_| (Who(rng.below(PEOPLE)), rng.pick(&[0, 1, 2]))).collect();
    recipients.sort();
    recipients.dedup_by_key(|(who, _)| *who);
    let key = rng.percent(70).then(|| keys[rng.below(keys.len() as u64) as usize].clone());
    let mut aims = Vec::new();
    while key.is_some() && rng.percent(35) {
        let when = match rng.below(4) {
            0 => When::After(0),
            1 => When::After(rng.below(80 * MILLI)),
            2 => When::Due(rng.below(80 * MILLI) as i64 - 60 * MILLI as i64),
            _ => When::Due(rng.pick(&[-1, 0, 1]) * (rng.below(3 * MILLI) as i64)),
        };
        aims.push(Aim { when, recipients: subset(rng) });
    }
    let play = PLAYS[rng.below(PLAYS.len() as u64) as usize];
    let (key, aims) = if play.batches() { (None, Vec::new()) } else { (key, aims) };
    Trigger {
        content,
        workflow: play.key,
        recipients,
        actor: None,
        key,
        idempotency: rng.percent(30).then_some(content),
        skip_delay: rng.percent(6),
        sandbox: rng.percent(6),
        patience: rng.percent(10).then(|| Duration::from_millis(rng.below(40))),
        aims,
    }
}

/// The same request again, and another one under the same idempotency key.
fn repeat(first: &Trigger, at: Instant, actions: &mut Vec<(Instant, Action)>, rng: &mut Rng) {
    if first.idempotency.is_none() {
        return;
    }
    for _ in 0..rng.below(3) {
        let later = at + rng.pick(&[0, MILLI, 20 * MILLI, SECOND, 10 * SECOND, 5 * MINUTE]);
        let mut again = Trigger { aims: Vec::new(), ..first.clone() };
        if rng.percent(30) {
            again.content += 1_000 + actions.len() as u64;
        }
        actions.push((later, Action::Trigger(again)));
    }
}

fn subset(rng: &mut Rng) -> Option<Vec<Who>> {
    rng.percent(40).then(|| (0..rng.range(1, 3)).map(|_| Who(rng.below(PEOPLE))).collect())
}

fn step(rng: &mut Rng) -> i64 {
    let size = rng.pick(&[SECOND, MINUTE, 9 * MINUTE, 2 * HOUR]) as i64;
    if rng.percent(50) { size } else { -size }
}

fn around(due: Instant, rng: &mut Rng) -> Instant {
    (due + rng.below(400 * MILLI)).saturating_sub(20 * MILLI)
}

fn crashes(busy: u64, horizon: u64, dues: &[Instant], steps: bool, rng: &mut Rng) -> Vec<Planned> {
    let count = rng.pick(&[0, 1, 1, 2, 3, 6]);
    let mut crashes: Vec<Planned> = (0..count)
        .map(|_| Planned {
            at: match rng.below(10) {
                0..4 => rng.below(busy),
                4..8 if !dues.is_empty() => around(rng.pick(dues), rng),
                _ => rng.below(horizon),
            },
            asked: rng.percent(15),
            crash: rng.pick(&[Crash::Kill, Crash::PowerCut, Crash::PowerCut]),
            inside: rng.percent(40).then(|| rng.below(40)),
            pause: rng.pick(&[0, 10 * MILLI, 3 * SECOND, 3 * SECOND, MINUTE, 2 * HOUR]),
            step: if steps && rng.percent(30) { step(rng) } else { 0 },
            again: rng.percent(15).then(|| rng.below(30)),
        })
        .collect();
    crashes.sort_by_key(|planned| planned.at);
    crashes
}
