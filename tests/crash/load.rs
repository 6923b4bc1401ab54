//! Clients that go on while their server is killed and started again: they trigger, cancel around the due instant, read
//! feeds, mark items, and write down what they were told.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use belfry::base::clock::{Stopwatch, sleep};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use reqwest::Method;
use serde_json::json;
use tokio::sync::watch;

use crate::ledger::{Arrival, Call, Cancel, DELAY, Fate, Instant, Item, Ledger, Mark};
use crate::server::{FEED, Reply, SECRET, TestServer};
use crate::smtp::{Answer, SmtpServer, Step};

/// Clients that trigger at once.
const CLIENTS: usize = 6;

/// Random numbers, from a seed that is printed.
pub struct Dice(u64);

impl Dice {
    pub fn new() -> Self {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).unwrap();
        Self(u64::from_le_bytes(bytes) | 1)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// Something that a client means to do later, whichever process is there then.
#[derive(Clone, Copy, Debug)]
enum Plan {
    Cancel,
    Read,
    /// The request was not answered, and is made again under its idempotency key.
    Again,
}

pub struct Load {
    watch: Stopwatch,
    ledger: RefCell<Ledger>,
    arrivals: Arc<Mutex<Vec<Arrival>>>,
    dice: RefCell<Dice>,
    /// By when, and a number of its own; the other number is the call's.
    agenda: RefCell<BTreeMap<(Instant, usize), (usize, Plan)>>,
    planned: RefCell<usize>,
    /// How many triggers were answered so far.
    pub answered: watch::Sender<usize>,
    pub smtp: SmtpServer,
}

impl Load {
    /// With a mail server that takes everything, some of it slowly.
    pub fn new(concurrency: usize) -> Self {
        let (watch, arrivals) = (Stopwatch::start(), Arc::<Mutex<Vec<Arrival>>>::default());
        let book = Arc::clone(&arrivals);
        let smtp = SmtpServer::scripted(move |step| {
            let Step::Message(mail) = step else { return Answer::Accept };
            let mut book = book.lock().unwrap();
            book.push(Arrival {
                at: watch.elapsed(),
                to: mail.to.clone(),
                subject: mail.subject(),
                message_id: mail.message_id(),
                digest: *blake3::hash(&mail.bytes).as_bytes(),
            });
            if book.len() % 3 == 0 { Answer::AcceptAfter(Duration::from_millis(4)) } else { Answer::Accept }
        });
        Self {
            watch,
            ledger: RefCell::new(Ledger { concurrency, ..Ledger::default() }),
            arrivals,
            dice: RefCell::new(Dice::new()),
            agenda: RefCell::default(),
            planned: RefCell::default(),
            answered: watch::Sender::new(0),
            smtp,
        }
    }

    pub fn now(&self) -> Instant {
        self.watch.elapsed()
    }

    pub fn below(&self, bound: u64) -> u64 {
        self.dice.borrow_mut().below(bound)
    }

    /// What was written down, with what the mail server took.
    pub fn ledger(&self) -> std::cell::RefMut<'_, Ledger> {
        let mut ledger = self.ledger.borrow_mut();
        ledger.arrivals.clone_from(&self.arrivals.lock().unwrap());
        ledger
    }

    /// Works on `server` until `stop` says so and all that is under way has been answered, or has failed.
    pub async fn run(&self, server: &TestServer, stop: &watch::Sender<bool>) {
        let clients = futures_util::future::join_all((0..CLIENTS).map(|_| self.trigger_again_and_again(server, stop)));
        tokio::join!(clients, self.follow_the_agenda(server, stop));
    }

    async fn trigger_again_and_again(&self, server: &TestServer, stop: &watch::Sender<bool>) {
        let mut stop = stop.subscribe();
        while !*stop.borrow_and_update() {
            let number = self.write_down_call();
            self.trigger(server, number).await;
            let pause = Duration::from_millis(self.below(150));
            tokio::select! {
                () = sleep(pause) => {}
                _ = stop.changed() => {}
            }
        }
    }

    async fn follow_the_agenda(&self, server: &TestServer, stop: &watch::Sender<bool>) {
        let mut stop = stop.subscribe();
        let mut under_way = FuturesUnordered::new();
        while !*stop.borrow_and_update() {
            let next = self.agenda.borrow().first_key_value().map(|((at, _), _)| *at);
            let pause = next.map_or(Duration::from_millis(50), |at| at.saturating_sub(self.now()));
            if pause.is_zero() {
                let (_, (number, plan)) = self.agenda.borrow_mut().pop_first().unwrap();
                under_way.push(self.perform(server, number, plan));
                continue;
            }
            tokio::select! {
                // A trigger may plan something earlier meanwhile.
                () = sleep(pause.min(Duration::from_millis(5))) => {}
                Some(()) = under_way.next() => {}
                _ = stop.changed() => {}
            }
        }
        while under_way.next().await.is_some() {}
    }

    fn write_down_call(&self) -> usize {
        let mut ledger = self.ledger.borrow_mut();
        let number = ledger.calls.len();
        let everyone = if number.is_multiple_of(3) { 3 } else { 1 };
        ledger.calls.push(Call {
            recipients: (0..everyone).map(|n| format!("u{number}-{n}@x.test")).collect(),
            asked: self.now(),
            fate: Fate::InDoubt,
            cancel: None,
            item: None,
            mark: Mark::None,
        });
        number
    }

    fn plan(&self, at: Instant, number: usize, plan: Plan) {
        let mut planned = self.planned.borrow_mut();
        *planned += 1;
        self.agenda.borrow_mut().insert((at, *planned), (number, plan));
    }

    async fn trigger(&self, server: &TestServer, number: usize) {
        let recipients = self.ledger.borrow().calls[number].recipients.clone();
        let body = json!({"recipients": recipients, "cancellation_key": format!("k{number}")}).to_string();
        let key = format!("call-{number}");
        let keyed = number.is_multiple_of(4);
        let headers: &[(&str, &str)] = if keyed { &[("idempotency-key", &key)] } else { &[] };
        let reply = server.send(Method::POST, "/v1/workflows/chain/trigger", SECRET, headers, Some(body)).await;
        let now = self.now();
        let fate = match reply {
            Ok(Reply { status: 200, .. }) => Fate::Accepted(now),
            // One that was not answered before may have been accepted then.
            Ok(_) if !keyed => Fate::Refused,
            Ok(_) | Err(_) => Fate::InDoubt,
        };
        self.ledger.borrow_mut().calls[number].fate = fate;
        match fate {
            Fate::Accepted(_) => {
                self.answered.send_modify(|count| *count += 1);
                self.plan_on(now, number, recipients.len());
            }
            Fate::InDoubt if keyed => self.plan(now, number, Plan::Again),
            _ => {}
        }
    }

    /// What the client will do with a trigger that was accepted.
    fn plan_on(&self, now: Instant, number: usize, everyone: usize) {
        self.plan(now + Duration::from_millis(self.below(900)), number, Plan::Read);
        if everyone > 1 {
            return;
        }
        let due = now + DELAY;
        match self.below(8) {
            0 => self.plan(now, number, Plan::Cancel),
            1 => self.plan(now + Duration::from_millis(self.below(900)), number, Plan::Cancel),
            2..=4 => {
                self.plan(due + Duration::from_millis(self.below(60)) - Duration::from_millis(45), number, Plan::Cancel)
            }
            _ => {}
        }
    }

    async fn perform(&self, server: &TestServer, number: usize, plan: Plan) {
        match plan {
            Plan::Cancel => self.cancel(server, number).await,
            Plan::Read => self.read(server, number).await,
            Plan::Again => self.trigger(server, number).await,
        }
    }

    async fn cancel(&self, server: &TestServer, number: usize) {
        self.ledger.borrow_mut().calls[number].cancel = Some(Cancel { answer: None });
        let body = json!({"cancellation_key": format!("k{number}")}).to_string();
        let reply = server.send(Method::POST, "/v1/workflows/chain/cancel", SECRET, &[], Some(body)).await;
        let Some(outcome) = reply.ok().filter(|reply| reply.status == 204) else { return };
        let outcome = outcome.header("x-cancel-outcome").unwrap().to_owned();
        let (taken, in_flight) = outcome.strip_prefix("cancelled=").unwrap().split_once(", in_flight=").unwrap();
        let answer = Some((self.now(), taken == "1", in_flight.parse().unwrap()));
        self.ledger.borrow_mut().calls[number].cancel = Some(Cancel { answer });
    }

    async fn read(&self, server: &TestServer, number: usize) {
        let reader = self.ledger.borrow().calls[number].recipients[0].clone();
        let path = format!("/v1/users/{reader}/feeds/{FEED}");
        let reply = server.send(Method::GET, &path, SECRET, &[], None).await;
        let Some(feed) = reply.ok().filter(|reply| reply.status == 200) else { return };
        let feed = feed.json();
        let Some(id) = feed["entries"][0]["id"].as_str() else { return };
        {
            let call = &mut self.ledger.borrow_mut().calls[number];
            call.item = Some(id.to_owned());
            call.mark = Mark::Asked;
        }
        let reply = server.send(Method::PUT, &format!("/v1/messages/{id}/seen"), SECRET, &[], None).await;
        if reply.is_ok_and(|reply| reply.status == 200) {
            self.ledger.borrow_mut().calls[number].mark = Mark::Answered;
        }
    }

    /// Repeats what was not answered, and lets everything come to rest.
    pub async fn come_to_rest(&self, server: &TestServer) {
        let plans = std::mem::take(&mut *self.agenda.borrow_mut());
        for (number, plan) in plans.into_values() {
            if matches!(plan, Plan::Again) {
                self.trigger(server, number).await;
            }
        }
        self.agenda.borrow_mut().clear();
        let runs = async |which| server.metric(which, "").await;
        while runs("belfry_runs_parked").await + runs("belfry_runs_live").await + runs("belfry_runs_ready").await > 0 {
            sleep(Duration::from_millis(20)).await;
        }
        server.settle().await;
    }

    /// Reads what lies in all feeds.
    pub async fn read_feeds(&self, server: &TestServer) {
        let everyone: Vec<String> =
            self.ledger.borrow().calls.iter().flat_map(|call| call.recipients.iter().cloned()).collect();
        let feeds = futures_util::stream::iter(everyone).map(async |reader| {
            let feed = server.feed(&reader).await;
            let entries = feed["entries"].as_array().unwrap().iter();
            let items = entries
                .map(|entry| Item { id: entry["id"].as_str().unwrap().to_owned(), seen: !entry["seen_at"].is_null() });
            (reader, items.collect())
        });
        let feeds = feeds.buffer_unordered(8).collect().await;
        self.ledger.borrow_mut().feeds = feeds;
    }
}
