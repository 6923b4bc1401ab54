//! Which web pages may call: the API's answers to browsers that ask on behalf of a page of another origin. Credentials
//! are never allowed: a caller is known by the key and token that it sends itself, not by a cookie.

use std::net::IpAddr;
use std::sync::Arc;

use actix_cors::Cors;
use actix_web::http::Uri;
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::http::uri::Authority;

use super::State;

/// How long a browser remembers the answer to a preflight. Chromium's own limit is two hours, Firefox's a day.
const MAX_AGE_SECONDS: usize = 86_400;

/// What a browser may call with.
const METHODS: [&str; 5] = ["GET", "POST", "PUT", "DELETE", "OPTIONS"];

/// What a page may read besides the body.
const EXPOSED: [&str; 5] =
    ["retry-after", "x-request-id", "x-ratelimited-message_ids", "idempotent-replayed", "original-x-request-id"];

/// The origins of pages that may call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedOrigins {
    /// Every page's.
    Any,
    /// These, as browsers write them.
    Listed(Arc<[String]>),
}

impl AllowedOrigins {
    /// What `http.allowed_origins` says.
    pub fn new(configured: &[String]) -> Self {
        if configured.iter().any(|origin| origin == "*") { Self::Any } else { Self::Listed(configured.into()) }
    }

    /// Compared as a whole: a prefix, a suffix, another port or `null` is another origin.
    fn allow(&self, origin: &HeaderValue) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(origins) => origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes()),
        }
    }
}

/// Whether a socket may be opened with these headers. Who sends no Origin is no browser.
pub fn origin_allowed(headers: &HeaderMap, state: &State) -> bool {
    own_page(headers) || headers.get_all(header::ORIGIN).all(|origin| state.allowed_origins.allow(origin))
}

/// Whether a request comes from a page of this very host and port, or from no page: a command line, or an address that
/// somebody opened. The scheme is left out, since a proxy that speaks TLS may stand before this server.
pub fn own_page(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).map(HeaderValue::as_bytes);
    headers.get_all(header::ORIGIN).all(|origin| {
        let authority =
            ["http://", "https://"].iter().find_map(|scheme| origin.as_bytes().strip_prefix(scheme.as_bytes()));
        authority.is_some() && authority == host
    })
}

/// Whether `host`, with or without a port, is a name that no page of somebody else's can go by: an address, a name on
/// this machine or network, or the one of `public_url`. A page can give its own name this machine's address, and is then
/// of one origin with it; the system of public names has none without a dot.
pub fn is_own_host(host: &HeaderValue, public_url: &str) -> bool {
    let Some(host) = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok()) else { return false };
    let name = host.host().trim_end_matches('.').to_ascii_lowercase();
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(&name);
    let public = public_url.parse::<Uri>().ok().and_then(|url| url.host().map(str::to_ascii_lowercase));
    !name.contains('.')
        || name.ends_with(".localhost")
        || address.parse::<IpAddr>().is_ok()
        || public.is_some_and(|public| public == name)
}

/// The middleware; it answers preflights before any route is looked for.
pub fn cors(origins: &AllowedOrigins) -> Cors {
    let cors = match origins {
        AllowedOrigins::Any => Cors::default().allow_any_origin().send_wildcard(),
        AllowedOrigins::Listed(_) => {
            let origins = origins.clone();
            Cors::default().allowed_origin_fn(move |origin, _| origins.allow(origin))
        }
    };
    // Any request header: without credentials none can do harm, and tracing tools add their own.
    cors.allowed_methods(METHODS).allow_any_header().expose_headers(EXPOSED).max_age(MAX_AGE_SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::error::ApiError;
    use actix_web::test::{TestRequest, call_service, init_service};
    use actix_web::{App, HttpResponse, web};

    #[actix_web::test]
    async fn an_answer_that_asks_to_come_back_may_be_read_too() {
        async fn full() -> Result<HttpResponse, ApiError> {
            Err(ApiError::unavailable("full"))
        }
        let app = App::new().wrap(cors(&AllowedOrigins::Any)).default_service(web::to(full));
        let app = init_service(app).await;
        let request = TestRequest::get().insert_header((header::ORIGIN, "https://app.example")).to_request();
        let response = call_service(&app, request).await;
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers().get(header::ACCESS_CONTROL_ALLOW_ORIGIN).unwrap(), "*");
    }

    #[test]
    fn a_listed_origin_is_allowed_and_no_trick_on_it() {
        let origins = AllowedOrigins::new(&["https://app.example".into(), "http://localhost:3000".into()]);
        let allow = |text: &str| origins.allow(&HeaderValue::from_str(text).unwrap());
        assert!(allow("https://app.example") && allow("http://localhost:3000"));
        for trick in [
            "",
            "null",
            "*",
            "http://app.example",
            "https://app.example:443",
            "https://app.example:8443",
            "https://app.example.evil.test",
            "https://evilapp.example",
            "https://app.example/",
            "https://app.example@evil.test",
            "https://app.example https://evil.test",
            "http://localhost:30000",
            "http://localhost",
        ] {
            assert!(!allow(trick), "{trick}");
        }
    }

    #[test]
    fn a_servers_own_page_is_known_by_host_and_port() {
        let own = |origin: &str| {
            let named = |name, value| (name, HeaderValue::from_str(value).unwrap());
            let headers = [named(header::HOST, "belfry.test:8650"), named(header::ORIGIN, origin)];
            own_page(&headers.into_iter().collect())
        };
        assert!(own("http://belfry.test:8650") && own("https://belfry.test:8650") && own_page(&HeaderMap::new()));
        for other in
            ["null", "", "belfry.test:8650", "http://belfry.test", "http://belfry.test:86500", "ftp://belfry.test:8650"]
        {
            assert!(!own(other), "{other}");
        }
    }

    #[test]
    fn a_name_that_anybody_can_register_is_not_this_servers() {
        let own = |host: &str| is_own_host(&HeaderValue::from_str(host).unwrap(), "https://Belfry.example:8650/x");
        for host in
            ["localhost", "localhost:8650", "127.0.0.1:8650", "[::1]:8650", "10.1.2.3", "belfry:8650", "a.localhost"]
        {
            assert!(own(host), "{host}");
        }
        assert!(own("belfry.example") && own("BELFRY.example.:80"));
        for host in ["evil.test:8650", "127.0.0.1.evil.test", "belfry.example.evil.test", "localhost.evil.test", ""] {
            assert!(!own(host), "{host}");
        }
    }

    #[test]
    fn one_star_means_everybody_and_an_empty_list_nobody() {
        let anybody = HeaderValue::from_static("https://anybody.test");
        assert!(AllowedOrigins::new(&["https://app.example".into(), "*".into()]).allow(&anybody));
        assert!(!AllowedOrigins::new(&[]).allow(&anybody));
    }
}
