//! A provider of email in memory: it accepts, refuses, is slow, hangs, panics, and takes a message just as the process
//! that sent it dies.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use belfry::base::clock::sleep;
use belfry::base::config::Sender;
use belfry::delivery::email::compose;
use belfry::delivery::{EmailProvider, Mail, Sent};
use belfry::model::message::AttemptResult;
use tokio::sync::Notify;

use crate::ledger::{Attempt, Fate, Ledger};
use crate::panics::STAGED;
use crate::rng::Rng;
use crate::world::Flaw;

/// How often the provider does what, in percent.
#[derive(Clone, Copy, Debug)]
pub struct Mood {
    pub transient: u64,
    pub permanent: u64,
    pub panics: u64,
    /// Answers after the timeout that a real one has.
    pub hangs: u64,
    /// The process dies right after the message was accepted.
    pub deadly: u64,
}

pub struct Provider {
    pub seed: u64,
    pub mood: Mood,
    pub ledger: Ledger,
    /// Ends the process.
    pub death: Arc<Notify>,
    pub flaw: Option<Flaw>,
    /// Attempts that have not ended.
    pub on_the_wire: AtomicUsize,
    /// The most that may be.
    pub most: usize,
}

/// Ends with its attempt, however that ends.
struct OnTheWire<'a>(&'a AtomicUsize);

impl Drop for OnTheWire<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Provider {
    async fn attempt(&self, mail: &Mail) -> Sent {
        let others = self.on_the_wire.fetch_add(1, Ordering::SeqCst);
        let _until_it_ends = OnTheWire(&self.on_the_wire);
        if others >= self.most {
            self.ledger.open().wrong(format!("P5 {} attempts at once, at most {} may be", others + 1, self.most));
        }
        let sender = Sender { name: Some("Acme".into()), address: "no-reply@acme.test".into() };
        let digest = match compose(&sender, mail) {
            Ok(composed) => *blake3::hash(&composed.bytes).as_bytes(),
            Err(error) => return Sent::new(AttemptResult::Permanent, error.to_string()),
        };
        let (index, number) = self.record(mail, digest);
        let mut rng = Rng::of(self.seed, &format!("{} {}", mail.to, mail.content.subject), number);
        sleep(Duration::from_millis(rng.pick(&[0, 0, 1, 7, 40, 300]))).await;
        if rng.percent(self.mood.hangs) {
            sleep(Duration::from_secs(30)).await;
        }
        let roll = rng.below(100);
        let mood = self.mood;
        let fate = if roll < mood.transient {
            Fate::Transient
        } else if roll < mood.transient + mood.permanent {
            Fate::Permanent
        } else if roll < mood.transient + mood.permanent + mood.panics {
            Fate::Panicked
        } else {
            Fate::Accepted
        };
        if fate != Fate::Accepted || self.flaw != Some(Flaw::AcceptedInSilence) {
            self.ledger.open().attempts[index].fate = Some(fate);
        }
        self.ledger.open().trace(format!("fate {} {fate:?}", mail.message));
        if fate == Fate::Accepted && rng.percent(mood.deadly) {
            self.death.notify_one();
            std::future::pending::<()>().await;
        }
        // The reply travels; a crash now leaves the sender in doubt.
        sleep(Duration::from_millis(rng.pick(&[0, 2, 30]))).await;
        match fate {
            Fate::Accepted => Sent::new(AttemptResult::Accepted, "250 ok"),
            Fate::Transient => Sent::new(AttemptResult::Transient, "451 later"),
            Fate::Permanent => Sent::new(AttemptResult::Permanent, "550 no"),
            Fate::Panicked => panic!("{STAGED}the provider"),
        }
    }

    /// Where the attempt stands in the ledger, and how many there were of the same content before.
    fn record(&self, mail: &Mail, mut digest: [u8; 32]) -> (usize, u64) {
        let mut ledger = self.ledger.open();
        let number = ledger.attempts.iter().filter(|one| one.message == mail.message).count() as u64;
        if self.flaw == Some(Flaw::RenderedAgain) && number > 0 {
            digest[0] ^= 1;
        }
        let (at, seq, wall) = (ledger.now(), ledger.next_seq(), ledger.wall());
        let attempt = Attempt { message: mail.message, at, seq, wall, digest, to: mail.to.clone(), fate: None };
        let before = ledger.attempts.iter().rev().find(|one| one.message == mail.message).map(|one| one.fate);
        let again = match before {
            None => "",
            Some(None) => " again after a crash",
            Some(Some(Fate::Accepted)) => " again after it was accepted",
            Some(Some(_)) => " again",
        };
        ledger.trace(format!("send {} {} {}{again}", mail.message, mail.to, mail.content.subject));
        if self.flaw == Some(Flaw::SentTwice) && number == 0 {
            ledger.attempts.push(Attempt { fate: Some(Fate::Accepted), ..attempt.clone() });
        }
        ledger.attempts.push(attempt);
        (ledger.attempts.len() - 1, number)
    }
}

impl EmailProvider for Provider {
    fn send<'a>(&'a self, mail: &'a Mail) -> Pin<Box<dyn Future<Output = Sent> + Send + 'a>> {
        Box::pin(self.attempt(mail))
    }
}
