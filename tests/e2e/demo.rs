//! The demo page: what is served of it, to whom, and the triggers that it makes without a key.

use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{FEED, PUBLIC, Reply, SECRET, Setup, TestServer, delay, email};

/// Calls as a page of `origin` does.
async fn from_page(server: &TestServer, method: Method, path: &str, origin: &str, body: Option<Value>) -> Reply {
    let body = body.map(|body| body.to_string());
    server.send(method, path, "", &[("origin", origin)], body).await.unwrap()
}

async fn without_key(server: &TestServer, path: &str) -> Reply {
    server.send(Method::GET, path, "", &[], None).await.unwrap()
}

/// What stands in the attribute `name` of each of the page's elements that have it.
fn attributes<'a>(html: &'a str, name: &str) -> Vec<&'a str> {
    html.split(&format!(" {name}=\"")).skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

#[tokio::test]
async fn the_page_and_what_it_loads_come_from_the_binary_alone() {
    let server = Setup::new().start().await;
    let page = without_key(&server, "/demo").await;
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let loaded: Vec<&str> = [attributes(&page.text, "href"), attributes(&page.text, "src")].concat();
    let loaded: Vec<&str> = loaded.into_iter().filter(|path| path.starts_with("/demo/")).collect();
    let kinds = [("bell.svg", "image/svg+xml"), ("demo.css", "text/css"), ("demo.js", "text/javascript")];
    for (path, (name, kind)) in loaded.iter().zip(kinds) {
        assert_eq!(*path, format!("/demo/{name}"));
        let file = without_key(&server, path).await;
        assert_eq!(file.status, 200, "{path}");
        assert!(file.header("content-type").unwrap().starts_with(kind), "{file:?}");
        assert!(!file.text.contains("https:/"), "{path} names another server");
    }
    assert_eq!(loaded.len(), kinds.len(), "{loaded:?}");
    for reply in [&page, &without_key(&server, "/demo/demo.js").await] {
        let policy = reply.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'self'; connect-src 'self' ws:;"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    }
    // What the policy would keep from running.
    assert_eq!(page.text.matches("<script").count(), attributes(&page.text, "src").len());
    assert!(!page.text.contains("<style") && !page.text.contains(" style=") && !page.text.contains(" onclick="));
}

#[tokio::test]
async fn the_demo_is_not_there_unless_dev_is_switched_on() {
    let server = Setup::new().set("server.dev", false).start().await;
    for path in ["/demo", "/demo/demo.js", "/demo/config.json", "/demo/nothing"] {
        let body = server.get(path).await.assert_error(404, "resource_missing");
        assert!(body["message"].as_str().unwrap().contains("server.dev = true"), "{body}");
    }
    let trigger = json!({"recipients": ["a@x.test"]});
    server.post("/dev/trigger/note", trigger).await.assert_error(404, "resource_missing");
    assert_eq!(server.metric("belfry_triggers_total", "").await, 0);
}

#[tokio::test]
async fn only_the_pages_own_files_can_be_read() {
    let server = Setup::new().start().await;
    for path in
        ["/demo/nothing.js", "/demo/..%2f..%2fCargo.toml", "/demo/%2e%2e%2femail%2fdefault.html.hbs", "/demo/x/y"]
    {
        without_key(&server, path).await.assert_error(404, "resource_missing");
    }
}

#[tokio::test]
async fn the_page_learns_the_public_key_the_feed_and_the_workflows_and_no_secret() {
    let server = Setup::new().workflow("nudge", &[delay("hours", 2), email("Nudge")]).start().await;
    let reply = without_key(&server, "/demo/config.json").await;
    assert!(!reply.text.contains("sk_"), "{reply:?}");
    let config = reply.json();
    assert_eq!((&config["public_key"], &config["channel"]), (&json!(PUBLIC), &json!(FEED)));
    assert_eq!(config["enhanced_security"], false);
    let workflow = |key: &str| config["workflows"].as_array().unwrap().iter().find(|each| each["key"] == key).unwrap();
    assert_eq!(workflow("nudge")["steps"], json!([{"type": "delay", "for": "2 hours"}, {"type": "email"}]));
    assert_eq!(workflow("account-invite-accepted")["name"], "Account invite accepted");
    assert!(workflow("account-invite-accepted")["description"].as_str().unwrap().starts_with("Tells whoever"));
}

#[tokio::test]
async fn a_public_key_that_is_known_only_by_its_hash_is_not_told() {
    let mut server = Setup::new().without("auth").start().await;
    let public = server.process.line("Public key, for browsers: ").await;
    assert_eq!(without_key(&server, "/demo/config.json").await.json()["public_key"], public);
    server.process.signal("-TERM").await;
    assert!(server.process.exit().await.success());
    server.restart().await;
    let config = without_key(&server, "/demo/config.json").await.json();
    assert_eq!(config["public_key"], Value::Null);
    assert_eq!(config["enhanced_security"], true, "the page asks for tokens");
}

#[tokio::test]
async fn a_trigger_of_the_page_needs_no_key_and_is_otherwise_as_the_apis() {
    let server = Setup::new().start().await;
    for (workflow, body) in [
        ("nothing", json!({"recipients": ["a@x.test"]})),
        ("note", json!({})),
        ("note", json!({"recipients": []})),
        ("note", json!({"recipients": [7, {"id": ""}], "data": [], "actor": "nobody"})),
        ("note", json!({"recipients": ["a@x.test"], "actor": "nobody"})),
        ("note", json!([])),
    ] {
        let api = server.post(&format!("/v1/workflows/{workflow}/trigger"), body.clone()).await;
        let demo = from_page(&server, Method::POST, &format!("/dev/trigger/{workflow}"), &server.url, Some(body)).await;
        assert!(api.status >= 400, "{api:?}");
        assert_eq!((demo.status, demo.json()), (api.status, api.json()));
    }
    let path = "/dev/trigger/both";
    let body = json!({"recipients": [{"id": "u", "email": "u@x.test"}], "data": {"n": 1}});
    let key = [("idempotency-key", "once")];
    let first = server.send(Method::POST, path, "", &key, Some(body.to_string())).await.unwrap();
    let again = server.send(Method::POST, path, "", &key, Some(body.to_string())).await.unwrap();
    assert_eq!((first.status, again.header("idempotent-replayed")), (200, Some("true")));
    assert_eq!(first.json()["workflow_run_id"], again.json()["workflow_run_id"]);
    server.settle().await;
    assert_eq!(server.feed("u").await["meta"]["total_count"], 1);
    assert_eq!(server.mailbox().await.len(), 1);
}

#[tokio::test]
async fn a_page_of_another_origin_drives_nothing_and_reads_nothing() {
    let server = Setup::new().start().await;
    server.trigger("later", json!({"recipients": ["a@x.test"]})).await;
    server.trigger("note", json!({"recipients": ["a@x.test"]})).await;
    server.settle().await;
    let host = server.url.strip_prefix("http://").unwrap();
    let foreign = [
        "https://evil.test".to_owned(),
        "null".into(),
        String::new(),
        host.into(),
        format!("{}0", server.url),
        format!("{}.evil.test", server.url),
        format!("http://evil.test@{host}"),
        format!("ftp://{host}"),
        "http://127.0.0.1".into(),
        format!("http://localhost:{}", host.rsplit(':').next().unwrap()),
    ];
    let trigger = json!({"recipients": ["b@x.test"]});
    for origin in &foreign {
        for (method, path, body) in [
            (Method::POST, "/dev/trigger/note", Some(trigger.clone())),
            (Method::POST, "//dev/trigger/note", Some(trigger.clone())),
            (Method::POST, "/dev/clock/advance", Some(json!({"by": "3d"}))),
            (Method::POST, "/%64ev/clock/advance", Some(json!({"by": "3d"}))),
            (Method::DELETE, "/dev/mailbox", None),
            (Method::GET, "/dev/mailbox", None),
            (Method::GET, "/dev/clock", None),
            (Method::GET, "/demo/config.json", None),
            (Method::GET, "/demo", None),
            (Method::OPTIONS, "/dev/mailbox", None),
        ] {
            let reply = from_page(&server, method, path, origin, body).await;
            reply.assert_error(403, "origin_not_allowed");
            let told = reply.headers.keys().find(|name| name.as_str().starts_with("access-control-"));
            assert_eq!(told, None, "{origin}: {reply:?}");
        }
    }
    // A secret key is no pass: a page has none, and a backend sends no Origin.
    let headers = [("origin", "https://evil.test")];
    let reply = server.send(Method::GET, "/dev/clock", SECRET, &headers, None).await.unwrap();
    reply.assert_error(403, "origin_not_allowed");

    assert_eq!(server.mailbox().await.len(), 1, "the mailbox was cleared, or the clock was advanced");
    let own = from_page(&server, Method::POST, "/dev/clock/advance", &server.url, Some(json!({"by": "1d"}))).await;
    assert_eq!(own.status, 200, "{own:?}");
    assert_eq!(server.mailbox().await.len(), 2);
    let behind_tls = from_page(&server, Method::GET, "/demo", &format!("https://{host}"), None).await;
    assert_eq!(behind_tls.status, 200);
}

/// The name of a foreign page can lead here: for its browser it is of one origin with this server then.
#[tokio::test]
async fn under_the_name_of_somebody_elses_page_nothing_is_driven_and_nothing_read() {
    let server = Setup::new().set("server.public_url", "https://belfry.example").start().await;
    let port = server.url.rsplit(':').next().unwrap().to_owned();
    let call = async |host: &str, path: &str| {
        let headers = [("host", host), ("origin", &format!("http://{host}"))];
        server.send(Method::GET, path, "", &headers, None).await.unwrap()
    };
    for path in ["/dev/mailbox", "/demo", "/demo/config.json"] {
        call(&format!("evil.test:{port}"), path).await.assert_error(403, "host_not_allowed");
        for host in [format!("localhost:{port}"), format!("belfry:{port}"), "belfry.example".into()] {
            assert_eq!(call(&host, path).await.status, 200, "{host}{path}");
        }
    }
}

#[tokio::test]
async fn the_page_is_a_client_also_of_a_server_that_lists_other_pages_only() {
    let server = Setup::new().set("http.allowed_origins", vec!["https://app.example".to_owned()]).start().await;
    let call = async |method: Method, path: &str, origin: &str| {
        let body = (method == Method::PUT).then(|| "{}".into());
        server.send(method, path, PUBLIC, &[("origin", origin)], body).await.unwrap()
    };
    assert_eq!(call(Method::PUT, "/v1/users/u", &server.url).await.status, 200);
    let socket = format!("/ws/v1/websocket?api_key={PUBLIC}&vsn=2.0.0");
    call(Method::GET, &socket, "https://evil.test").await.assert_error(403, "origin_not_allowed");
    // It got past the check of origins, and is no upgrade.
    call(Method::GET, &socket, &server.url).await.assert_error(400, "bad_request");
}
