//! Makes the requests of fetch steps: over HTTP, bounded in time, size and number, and only to public addresses unless
//! the operator allows others.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Client, Response, Url, redirect};
use tokio::sync::Semaphore;

use super::public_address::{Private, PublicOnly, is_public};
use crate::base::config::Fetch as Settings;
use crate::engine::fetch::{Answer, Failure, Fetcher, Request};

/// How long a server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// Fetches over HTTP. Redirects are not followed: no answer but 200, 201 and 204 counts.
#[derive(Clone)]
pub struct HttpFetcher {
    client: Client,
    max_bytes: usize,
    allows_private: bool,
    /// Bounds the memory that answers take.
    places: Arc<Semaphore>,
}

impl HttpFetcher {
    /// A fetcher by `settings`; the error is that of the TLS library.
    pub fn new(settings: &Settings) -> Result<Self, reqwest::Error> {
        // A proxy would resolve names by itself.
        let client = Client::builder()
            .timeout(settings.timeout)
            .connect_timeout(CONNECT)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .user_agent("Belfry");
        let client = if settings.allow_private_addresses { client } else { client.dns_resolver(PublicOnly) };
        Ok(Self {
            client: client.build()?,
            max_bytes: settings.max_response_bytes,
            allows_private: settings.allow_private_addresses,
            places: Arc::new(Semaphore::new(settings.concurrency)),
        })
    }

    async fn make(self, request: Request) -> Result<Answer, Failure> {
        let _place = self.places.acquire().await.map_err(|error| Failure::Passing(error.to_string()))?;
        let mut url =
            Url::parse(&request.url).map_err(|error| Failure::Lasting(format!("the URL is none: {error}")))?;
        // A name is looked at when it is resolved; an address is not resolved.
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        if !self.allows_private && host.parse::<IpAddr>().is_ok_and(|address| !is_public(address)) {
            return Err(Failure::Lasting(format!("{host}: {Private}")));
        }
        if !request.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&request.query);
        }
        let method = request.method.as_str().parse().map_err(|_| Failure::Lasting("the method is none".into()))?;
        let mut call = self.client.request(method, url).header("accept", "application/json");
        if let Some(key) = &request.signing_key {
            let text = request.body.as_deref().unwrap_or_default();
            call = call.header("x-knock-signature", signature(key, request.at.as_millis(), text));
        }
        for (name, value) in &request.headers {
            call = call.header(name, value);
        }
        if let Some(body) = request.body {
            if !request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
                call = call.header("content-type", "application/json");
            }
            call = call.body(body);
        }
        let response = call.send().await.map_err(|error| failure(&error))?;
        let status = response.status().as_u16();
        // What counts for nothing is not read.
        let body = if matches!(status, 200 | 201) { self.read(response).await? } else { Vec::new() };
        Ok(Answer { status, body })
    }

    async fn read(&self, mut response: Response) -> Result<Vec<u8>, Failure> {
        let too_large = || Failure::Lasting(format!("the answer is longer than {} bytes", self.max_bytes));
        let declared = response.content_length().unwrap_or_default();
        if usize::try_from(declared).map_or(true, |bytes| bytes > self.max_bytes) {
            return Err(too_large());
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| failure(&error))? {
            if body.len() + chunk.len() > self.max_bytes {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

impl Fetcher for HttpFetcher {
    fn fetch(&self, request: Request) -> Pin<Box<dyn Future<Output = Result<Answer, Failure>> + Send>> {
        Box::pin(self.clone().make(request))
    }
}

/// What reqwest says, without the URL: keys stand in its query. What its builder refuses is refused again, and so is a
/// private address.
fn failure(error: &reqwest::Error) -> Failure {
    let mut causes = Vec::new();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        if inner.is::<Private>() {
            return Failure::Lasting(inner.to_string());
        }
        causes.push(inner.to_string());
        cause = inner.source();
    }
    let what = match () {
        () if error.is_builder() => "the request cannot be made",
        () if error.is_timeout() => "the server did not answer in time",
        () if error.is_connect() => "the server cannot be reached",
        () => "the connection broke off",
    };
    let why = causes.pop().map_or_else(|| what.to_owned(), |last| format!("{what}: {last}"));
    if error.is_builder() { Failure::Lasting(why) } else { Failure::Passing(why) }
}

/// The signature of a body at a time in milliseconds, as receivers of Knock check it.
fn signature(key: &str, at: i64, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    let tag = hmac::sign(&key, format!("{at}.{body}").as_bytes());
    format!("t={at},s={}", STANDARD.encode(tag.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_the_one_that_receivers_expect() {
        let expected = "t=1700000000000,s=ZJnSWNoKaDCwlgtksKUX2alSfOXbfBE6hOqAGFhRwXk=";
        assert_eq!(signature("some-secret", 1_700_000_000_000, r#"{"a":1}"#), expected);
    }
}
