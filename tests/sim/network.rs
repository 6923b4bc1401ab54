//! Another server, which fetch steps ask: it answers what its path says, late, or not at all.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use belfry::base::clock::sleep;
use belfry::engine::fetch::{Answer, Failure, Fetcher, Request};
use serde_json::json;

use crate::ledger::{Fetch, Ledger};
use crate::rng::Rng;

pub struct Network {
    pub seed: u64,
    /// How many requests fail, in percent.
    pub failing: u64,
    pub ledger: Ledger,
}

impl Fetcher for Network {
    fn fetch(&self, request: Request) -> Pin<Box<dyn Future<Output = Result<Answer, Failure>> + Send>> {
        let (ledger, failing) = (self.ledger.clone(), self.failing);
        let (index, mut rng) = {
            let mut ledger = ledger.open();
            let number = ledger.fetches.iter().filter(|one| one.url == request.url).count() as u64;
            let at = ledger.now();
            ledger.fetches.push(Fetch { url: request.url.clone(), at, answered: false });
            (ledger.fetches.len() - 1, Rng::of(self.seed, &request.url, number))
        };
        Box::pin(async move {
            sleep(Duration::from_millis(rng.pick(&[0, 1, 40, 300, 9_000]))).await;
            if rng.percent(failing) {
                ledger.open().trace(format!("fetched nothing from {}", request.url));
                return Err(Failure::Passing("the server answered 503".into()));
            }
            let call = request.url.split('/').nth(3).unwrap().to_owned();
            {
                let mut ledger = ledger.open();
                ledger.fetches[index].answered = true;
                ledger.trace(format!("fetched {call}"));
            }
            // The answer travels; a crash now leaves the run without it.
            sleep(Duration::from_millis(rng.pick(&[0, 2, 30]))).await;
            Ok(Answer { status: 200, body: json!({"call": call}).to_string().into_bytes() })
        })
    }
}
