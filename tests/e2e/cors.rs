//! Browsers' pages of other origins: preflights and answers, errors included.

use reqwest::Method;

use crate::server::{FEED, PUBLIC, Reply, Setup, TestServer};

const PAGE: &str = "https://app.example";

async fn preflight(server: &TestServer, path: &str, method: &str, origin: &str) -> Reply {
    let headers = [
        ("origin", origin),
        ("access-control-request-method", method),
        ("access-control-request-headers", "authorization,content-type,x-knock-client,x-knock-user-token"),
    ];
    server.send(Method::OPTIONS, path, "", &headers, None).await.unwrap()
}

fn allowed_origin(reply: &Reply) -> Option<&str> {
    assert_eq!(reply.header("access-control-allow-credentials"), None, "{reply:?}");
    reply.header("access-control-allow-origin")
}

#[tokio::test]
async fn every_preflight_is_answered_also_of_routes_that_do_not_exist() {
    let server = Setup::new().start().await;
    for (method, path) in [
        ("GET", format!("/v1/users/u/feeds/{FEED}")),
        ("GET", format!("//v1/users/u/feeds/{FEED}")),
        ("PUT", "/v1/users/u".into()),
        ("POST", "/v1/workflows/note/trigger".into()),
        ("DELETE", "/v1/messages/x/seen".into()),
        ("GET", "/nothing/here".into()),
    ] {
        let reply = preflight(&server, &path, method, PAGE).await;
        assert_eq!((reply.status, allowed_origin(&reply)), (200, Some("*")), "{reply:?}");
        assert!(reply.header("access-control-allow-methods").unwrap().contains(method), "{reply:?}");
        let headers = reply.header("access-control-allow-headers").unwrap();
        assert!(headers.contains("authorization") && headers.contains("x-knock-user-token"), "{reply:?}");
        assert!(reply.header("access-control-max-age").unwrap().parse::<u32>().unwrap() >= 7_200);
        assert!(reply.header("x-request-id").is_some());
    }
}

#[tokio::test]
async fn a_page_may_read_every_answer_whatever_its_status() {
    let server = Setup::new().start().await;
    let feed = format!("/v1/users/u/feeds/{FEED}");
    let call = async |method: Method, path: &str, key: &str, body: Option<&str>| {
        let reply = server.send(method, path, key, &[("origin", PAGE)], body.map(Into::into)).await.unwrap();
        assert_eq!(allowed_origin(&reply), Some("*"), "{reply:?}");
        let exposed = reply.header("access-control-expose-headers").unwrap();
        assert!(exposed.contains("retry-after") && exposed.contains("x-request-id"), "{reply:?}");
        reply
    };
    assert_eq!(call(Method::GET, &feed, PUBLIC, None).await.status, 200);
    call(Method::GET, &feed, "", None).await.assert_error(401, "authentication_required");
    call(Method::GET, &feed, "pk_wrong", None).await.assert_error(401, "api_key_missing");
    let trigger = "/v1/workflows/note/trigger";
    call(Method::POST, trigger, PUBLIC, Some("{}")).await.assert_error(403, "incorrect_token_type");
    call(Method::GET, "/v1/users/nobody", PUBLIC, None).await.assert_error(404, "resource_missing");
    call(Method::GET, "/v1/nothing", PUBLIC, None).await.assert_error(404, "resource_missing");
    call(Method::PUT, "/v1/users/u", PUBLIC, Some("{")).await.assert_error(400, "bad_request");
    call(Method::PUT, "/v1/users/u", PUBLIC, Some("7")).await.assert_error(422, "invalid_params");
}

#[tokio::test]
async fn with_a_list_no_other_page_is_answered_whatever_its_trick() {
    let server = Setup::new().set("http.allowed_origins", vec![PAGE.to_owned()]).start().await;
    let path = format!("/v1/users/u/feeds/{FEED}");
    let get = async |origin: &str| server.send(Method::GET, &path, PUBLIC, &[("origin", origin)], None).await.unwrap();
    let reply = preflight(&server, &path, "GET", PAGE).await;
    assert_eq!((reply.status, allowed_origin(&reply)), (200, Some(PAGE)), "{reply:?}");
    let reply = get(PAGE).await;
    assert_eq!((reply.status, allowed_origin(&reply)), (200, Some(PAGE)), "{reply:?}");
    assert!(reply.header("vary").unwrap().to_ascii_lowercase().contains("origin"), "a cache would mix pages up");
    for trick in [
        "null",
        "http://app.example",
        "https://app.example:8443",
        "https://app.example.evil.test",
        "https://evilapp.example",
        "https://app.example@evil.test",
        "https://evil.test",
    ] {
        let reply = preflight(&server, &path, "GET", trick).await;
        assert_eq!((reply.status, allowed_origin(&reply)), (400, None), "{trick}: {reply:?}");
        assert_eq!(allowed_origin(&get(trick).await), None, "{trick}");
    }
    let backend = server.get("/v1/users/nobody").await;
    assert_eq!((backend.status, allowed_origin(&backend)), (404, None), "who sends no Origin is no page");
}
