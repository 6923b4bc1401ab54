//! What the outside saw while the server was killed again and again, and what is wrong with it. It knows nothing of what
//! is stored.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Since the first start.
pub type Instant = Duration;

/// How long each run waits between its two emails.
pub const DELAY: Duration = Duration::from_secs(1);

/// A trigger: each recipient is to get an item and an email, and after the delay another email.
#[derive(Clone, Debug)]
pub struct Call {
    /// Nobody else's.
    pub recipients: Vec<String>,
    pub asked: Instant,
    pub fate: Fate,
    pub cancel: Option<Cancel>,
    /// The id of the first recipient's item, once somebody read it.
    pub item: Option<String>,
    pub mark: Mark,
}

/// What the client knows of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    InDoubt,
    Accepted(Instant),
    /// Answered, and not with a success.
    Refused,
}

/// A cancel of a trigger that has one recipient.
#[derive(Clone, Copy, Debug)]
pub struct Cancel {
    /// When it was answered, and whether it took the run, and how many emails were on the wire then.
    pub answer: Option<(Instant, bool, usize)>,
}

/// What a reader did with the item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    None,
    Asked,
    Answered,
}

/// An email that the mail server took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    pub at: Instant,
    pub to: String,
    pub subject: String,
    pub message_id: String,
    pub digest: [u8; 32],
}

/// The end of a process, and the start of the next.
#[derive(Clone, Copy, Debug)]
pub struct End {
    pub how: How,
    pub at: Instant,
    pub up: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// `kill -9`.
    Killed,
    /// SIGTERM.
    Asked,
    /// SIGTERM, and another one while it was still stopping.
    AskedTwice,
}

/// An item as it lies in a feed in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    pub id: String,
    pub seen: bool,
}

#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// Sends that may be on the wire at once.
    pub concurrency: usize,
    pub calls: Vec<Call>,
    pub arrivals: Vec<Arrival>,
    pub ends: Vec<End>,
    /// By recipient.
    pub feeds: BTreeMap<String, Vec<Item>>,
}

impl Call {
    pub fn is_accepted(&self) -> bool {
        matches!(self.fate, Fate::Accepted(_))
    }

    pub fn cancel_answer(&self) -> Option<(Instant, bool, usize)> {
        self.cancel.and_then(|cancel| cancel.answer)
    }
}

impl Ledger {
    /// Everything that is wrong, when all has come to rest.
    pub fn faults(&self) -> Vec<String> {
        let mut mails: BTreeMap<(&str, &str), Vec<&Arrival>> = BTreeMap::new();
        for one in &self.arrivals {
            mails.entry((&one.to, &one.subject)).or_default().push(one);
        }
        let mut faults = Vec::new();
        let mut known = BTreeSet::new();
        for call in &self.calls {
            let of = |subject| call.recipients.iter().map(move |to| (to.as_str(), subject));
            known.extend(of("First").chain(of("Second")));
            let sends = |subject| of(subject).map(|key| mails.get(&key).map_or(&[][..], Vec::as_slice)).collect();
            self.call(call, sends("First"), sends("Second"), &mut faults);
        }
        for (key, copies) in &mails {
            if !known.contains(key) {
                faults.push(format!("unknown: {key:?} was sent and never triggered"));
            }
            self.copies(copies, &mut faults);
        }
        let abrupt = self.ends.iter().filter(|end| end.how != How::Asked).count();
        let (repeats, bound) = (self.repeats(), abrupt * self.concurrency);
        if repeats > bound {
            faults.push(format!("repeated: {repeats} emails in {abrupt} abrupt ends, at most {bound} may be"));
        }
        faults
    }

    fn call(&self, call: &Call, first: Vec<&[&Arrival]>, second: Vec<&[&Arrival]>, faults: &mut Vec<String>) {
        let items: Vec<&[Item]> =
            call.recipients.iter().map(|to| self.feeds.get(to).map_or(&[][..], Vec::as_slice)).collect();
        let mut expect = |holds: bool, fault: &str| {
            if !holds {
                faults.push(format!("{fault}: {call:?} got items {items:?}, {first:?} and {second:?}"));
            }
        };
        let everyone = call.recipients.len();
        let got = [
            items.iter().filter(|of| !of.is_empty()).count(),
            first.iter().filter(|of| !of.is_empty()).count(),
            second.iter().filter(|of| !of.is_empty()).count(),
        ];
        expect(items.iter().all(|of| of.len() <= 1), "an item came twice");
        let early = second.iter().any(|of| of.iter().any(|one| one.at < call.asked + DELAY));
        expect(!early, "early");
        match (call.fate, call.cancel) {
            (Fate::Refused, _) => expect(got == [0; 3], "refused and done"),
            (Fate::InDoubt, _) => expect(got == [0; 3] || got == [everyone; 3], "half done"),
            (Fate::Accepted(_), None) => expect(got == [everyone; 3], "lost"),
            (Fate::Accepted(_), Some(cancel)) => {
                if let Some((at, taken, in_flight)) = cancel.answer {
                    let after = first.iter().chain(&second).flat_map(|of| of.iter()).filter(|one| one.at > at).count();
                    expect(!taken || after <= in_flight, "sent after its cancel was answered");
                    expect(taken || got == [everyone; 3], "lost");
                    let before_due = at < call.asked + DELAY;
                    expect(
                        !before_due || second.iter().all(|of| of.is_empty()),
                        "a step began after its cancel was answered",
                    );
                }
            }
        }
        let item = items.first().and_then(|of| of.first());
        expect(call.item.is_none() || item.map(|item| &item.id) == call.item.as_ref(), "an item was read and is gone");
        let seen = item.is_some_and(|item| item.seen);
        expect(call.mark != Mark::Answered || seen, "a mark was answered and is lost");
        expect(call.mark != Mark::None || !seen, "marked by nobody");
    }

    fn copies(&self, copies: &[&Arrival], faults: &mut Vec<String>) {
        for pair in copies.windows(2) {
            let (before, again) = (pair[0], pair[1]);
            if (&before.message_id, before.digest) != (&again.message_id, again.digest) {
                faults.push(format!("changed: {before:?} and {again:?}"));
            }
            let cut = |end: &End| end.how != How::Asked && end.at <= again.at && before.at <= end.up;
            if !self.ends.iter().any(cut) {
                faults.push(format!("repeated without a crash: {before:?} and {again:?}"));
            }
        }
    }

    /// Emails that came more than once, each further copy counted.
    pub fn repeats(&self) -> usize {
        let unique: BTreeSet<_> = self.arrivals.iter().map(|one| (&one.to, &one.subject)).collect();
        self.arrivals.len() - unique.len()
    }

    /// How much later than its delay after the request each second email came, among those that no end of a process
    /// touched. It includes the request and the steps before the delay.
    pub fn lateness(&self) -> Vec<Duration> {
        let mut late = Vec::new();
        for call in self.calls.iter().filter(|call| call.is_accepted()) {
            for one in self.arrivals.iter().filter(|one| one.subject == "Second" && call.recipients.contains(&one.to)) {
                if !self.ends.iter().any(|end| call.asked <= end.up && end.at <= one.at) {
                    late.push(one.at.saturating_sub(call.asked + DELAY));
                }
            }
        }
        late.sort();
        late
    }
}

/// A server that keeps its promises over a kill, as the ledger shows it.
fn honest() -> Ledger {
    let at = Duration::from_millis;
    let call = |to: &[&str], fate| Call {
        recipients: to.iter().map(ToString::to_string).collect(),
        asked: at(100),
        fate,
        cancel: None,
        item: None,
        mark: Mark::None,
    };
    let accepted = Fate::Accepted(at(110));
    let arrival = |millis, to: &str, subject: &str| Arrival {
        at: at(millis),
        to: to.into(),
        subject: subject.into(),
        message_id: format!("<{to}{subject}>"),
        digest: [0; 32],
    };
    let item = |id: &str, seen| vec![Item { id: id.into(), seen }];
    let cancel = |answered, taken| Some(Cancel { answer: Some((at(answered), taken, 0)) });
    Ledger {
        concurrency: 1,
        calls: vec![
            Call { item: Some("i".into()), mark: Mark::Answered, ..call(&["a", "b"], accepted) },
            Call { cancel: cancel(1_060, true), ..call(&["c"], accepted) },
            call(&["d", "e"], Fate::InDoubt),
            call(&["f"], Fate::Refused),
            Call { cancel: cancel(2_060, false), ..call(&["g"], accepted) },
        ],
        arrivals: [("a", 130), ("b", 131), ("a", 400), ("c", 140), ("g", 150)]
            .map(|(to, millis)| arrival(millis, to, "First"))
            .into_iter()
            .chain([("a", 1_110), ("b", 1_111), ("g", 1_112)].map(|(to, millis)| arrival(millis, to, "Second")))
            .collect(),
        ends: vec![End { how: How::Killed, at: at(200), up: at(300) }],
        feeds: [("a", item("i", true)), ("b", item("j", false)), ("c", item("k", false)), ("g", item("l", false))]
            .map(|(to, items)| (to.to_owned(), items))
            .into(),
    }
}

/// Every broken promise must be found in a ledger that shows it, and nothing in one that shows none.
pub fn broken_promises_are_found() {
    assert_eq!(honest().faults(), Vec::<String>::new());
    type Doctor = fn(&mut Ledger);
    let doctored: [(&str, Doctor); 15] = [
        ("lost", |ledger| ledger.arrivals.retain(|one| (one.to.as_str(), one.subject.as_str()) != ("b", "Second"))),
        ("lost", |ledger| drop(ledger.feeds.remove("b"))),
        ("lost", |ledger| ledger.arrivals.retain(|one| one.to != "g")),
        ("an item came twice", |ledger| ledger.feeds.values_mut().for_each(|items| items.push(items[0].clone()))),
        ("an item was read and is gone", |ledger| ledger.calls[0].item = Some("x".into())),
        ("early", |ledger| ledger.arrivals.iter_mut().for_each(|one| one.at -= Duration::from_millis(20))),
        ("sent after its cancel", |ledger| ledger.arrivals[3].at = Duration::from_millis(1_061)),
        ("a step began after its cancel", |ledger| ledger.arrivals[5].to = "c".into()),
        ("half done", |ledger| drop(ledger.feeds.insert("d".into(), vec![Item { id: "m".into(), seen: false }]))),
        ("refused and done", |ledger| ledger.arrivals[0].to = "f".into()),
        ("unknown", |ledger| ledger.arrivals[0].to = "z".into()),
        ("changed", |ledger| ledger.arrivals[2].digest = [1; 32]),
        ("repeated without a crash", |ledger| ledger.ends[0].how = How::Asked),
        ("repeated: ", |ledger| ledger.concurrency = 0),
        ("a mark was answered", |ledger| ledger.feeds.values_mut().for_each(|items| items[0].seen = false)),
    ];
    for (fault, doctor) in doctored {
        let mut ledger = honest();
        doctor(&mut ledger);
        let faults = ledger.faults();
        assert!(faults.iter().any(|found| found.starts_with(fault)), "`{fault}` was not found, only {faults:#?}");
    }
}
