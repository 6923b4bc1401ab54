//! Around every request: its id, a log line, its metrics. Query strings are never logged, since browsers' sockets carry
//! keys and tokens in them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpRequest, web};
use metrics::Histogram;

use super::{State, hosted};
use crate::base::clock::Stopwatch;
use crate::base::ids::RequestId;

/// The id of `request`, which its answer carries as `x-request-id`.
pub fn request_id(request: &HttpRequest) -> String {
    request.extensions().get::<RequestId>().map(RequestId::to_string).unwrap_or_default()
}

/// The middleware.
pub async fn observe(
    state: web::Data<State>,
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let deps = &state.intake.engine.deps;
    let id = RequestId(deps.ids.next(deps.clock.now()));
    request.extensions_mut().insert(id);
    let watch = Stopwatch::start();
    let mut response = next.call(request).await?;
    let (status, elapsed) = (response.status().as_u16(), watch.elapsed());
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        response.headers_mut().insert(HeaderName::from_static("x-request-id"), value);
    }
    // The pattern, not the path: recipients' ids are no label. Asked for here, where the router has found it.
    let route = response.request().match_pattern().unwrap_or_else(|| "none".into());
    let (method, path) = (response.request().method().as_str(), response.request().path());
    // The path of a signed link is a right, and nobody else's than its recipient's.
    let path = if hosted::is_hosted(path) { route.as_str() } else { path };
    let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
    if status >= 500 {
        tracing::error!(request = %id, method, path, status, micros, "http");
    } else {
        tracing::debug!(request = %id, method, path, status, micros, "http");
    }
    record(route, status, elapsed);
    Ok(response)
}

/// Counts a request of `route`. The histograms are kept by each thread: to find one among all metrics takes as long as
/// matching a route.
fn record(route: String, status: u16, elapsed: Duration) {
    thread_local!(static SECONDS: RefCell<HashMap<(String, u16), Histogram>> = RefCell::default());
    SECONDS.with_borrow_mut(|known| {
        let seconds = known.entry((route, status)).or_insert_with_key(|(route, status)| {
            metrics::histogram!("belfry_http_seconds", "route" => route.clone(), "status" => status.to_string())
        });
        seconds.record(elapsed);
    });
}
