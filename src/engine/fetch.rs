//! The requests of fetch steps, and what comes of them. Who makes them is not known here.

use std::future::Future;
use std::pin::Pin;

use crate::base::clock::Timestamp;
use crate::model::fetch_step::Method;

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub method: Method,
    pub url: String,
    /// Appended to those that the URL has.
    pub query: Vec<(String, String)>,
    pub headers: Vec<(String, String)>,
    /// JSON.
    pub body: Option<String>,
    /// What the request is signed with.
    pub signing_key: Option<String>,
    pub at: Timestamp,
}

/// What a server answered whose answer was read to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The same request may succeed later.
    #[error("{0}")]
    Passing(String),
    /// It would not.
    #[error("{0}")]
    Lasting(String),
}

/// Makes requests.
pub trait Fetcher: Send + Sync {
    /// Makes one. It must end by itself: the fetcher keeps its own timeout.
    fn fetch(&self, request: Request) -> Pin<Box<dyn Future<Output = Result<Answer, Failure>> + Send>>;
}
