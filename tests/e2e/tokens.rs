//! User tokens against someone who wants what is another's: forged and stale tokens, foreign ids, grants that do not
//! reach, keys in the wrong place. Over HTTP and over the socket.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use belfry::app::signing_key;
use belfry::base::clock::Clock;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::Method;
use serde_json::{Value, json};

use crate::phoenix::Phoenix;
use crate::routes::routes;
use crate::server::{FEED, PUBLIC, Reply, SECRET, Setup, TestServer, in_app};

/// The backend's key pair, and one of somebody else: texts, since nothing deletes the folder of a static.
static OURS: LazyLock<Pair> = LazyLock::new(pair);
static THEIRS: LazyLock<Pair> = LazyLock::new(pair);

struct Pair {
    private: String,
    public: String,
}

fn pair() -> Pair {
    let folder = tempfile::tempdir().unwrap();
    let files = signing_key::create(folder.path()).unwrap();
    let read = |path| std::fs::read_to_string(path).unwrap();
    Pair { private: read(files.private), public: read(files.public) }
}

fn setup() -> Setup {
    let setup = Setup::new().set("auth.enhanced_security", true).set("auth.signing_public_key", "public.pem");
    std::fs::write(setup.path("public.pem"), &OURS.public).unwrap();
    setup.workflow("item", &[in_app("Hello")])
}

fn now() -> i64 {
    Clock::system().now().as_millis() / 1_000
}

/// A good token of `user` with further claims.
fn token(user: &str, further: Value) -> String {
    let mut claims = json!({"sub": user, "iat": now(), "exp": now() + 600});
    claims.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
    signing_key::sign(&OURS.private, &claims).unwrap()
}

/// A call as a browser makes it.
async fn call(server: &TestServer, method: Method, path: &str, token: &str, body: Value) -> Reply {
    let headers = [("x-knock-user-token", token)];
    let body = (!body.is_null()).then(|| body.to_string());
    server.send(method, path, PUBLIC, &headers, body).await.unwrap()
}

async fn socket(server: &TestServer, token: &str) -> Result<Phoenix, u16> {
    let query = format!("?user_token={token}&api_key={PUBLIC}&&vsn=2.0.0");
    Phoenix::try_connect(server, "/ws/v1/websocket", &query).await
}

fn feed(user: &str) -> String {
    format!("/v1/users/{user}/feeds/{FEED}")
}

/// An item for `user`, of a tenant or of none; answers the message's id.
async fn item(server: &TestServer, user: &str, tenant: Option<&str>) -> String {
    server.trigger("item", json!({"recipients": [user], "tenant": tenant})).await;
    server.settle().await;
    server.feed(user).await["entries"][0]["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn with_enhanced_security_a_browser_needs_a_token_and_a_good_one_reaches_its_users_own_things() {
    let server = setup().start().await;
    let id = item(&server, "ada", None).await;
    for none in [None, Some("")] {
        let headers: Vec<_> = none.map(|token| ("x-knock-user-token", token)).into_iter().collect();
        let reply = server.send(Method::GET, &feed("ada"), PUBLIC, &headers, None).await.unwrap();
        reply.assert_error(401, "missing_user_token");
    }
    assert_eq!(socket(&server, "").await.err(), Some(403));
    let ada = token("ada", json!({}));
    let page = call(&server, Method::GET, &feed("ada"), &ada, Value::Null).await.json();
    assert_eq!(page["entries"][0]["id"], json!(id));
    let seen = call(&server, Method::PUT, &format!("/v1/messages/{id}/seen"), &ada, Value::Null).await;
    assert!(seen.json()["seen_at"].is_string());
    let read = call(&server, Method::POST, "/v1/messages/batch/read", &ada, json!({"message_ids": [id]})).await;
    assert_eq!(read.json().as_array().unwrap().len(), 1);
    let bulk = format!("/v1/channels/{FEED}/messages/bulk/archive");
    assert_eq!(call(&server, Method::POST, &bulk, &ada, json!({"user_ids": ["ada"]})).await.status, 200);
    assert_eq!(server.feed("ada").await["meta"]["total_count"], 0);
    assert_eq!(call(&server, Method::PUT, "/v1/users/ada", &ada, json!({"name": "Ada"})).await.json()["name"], "Ada");
    assert_eq!(call(&server, Method::GET, "/v1/users/ada", &ada, Value::Null).await.status, 200);
    let mut phoenix = socket(&server, &ada).await.unwrap();
    assert_eq!(phoenix.ask(&Phoenix::topic("ada"), "phx_join", json!({})).await["status"], "ok");
    // A token makes no backend of a browser.
    let trigger = call(&server, Method::POST, "/v1/workflows/item/trigger", &ada, json!({"recipients": ["ada"]})).await;
    trigger.assert_error(403, "incorrect_token_type");
    // A backend needs none, and what stands there is not looked at.
    let headers = [("x-knock-user-token", "nonsense")];
    assert_eq!(server.send(Method::GET, &feed("ada"), SECRET, &headers, None).await.unwrap().status, 200);
}

/// Tokens that nobody may get in with, each with what is wrong.
fn bad_tokens() -> Vec<(&'static str, String)> {
    let claims = json!({"sub": "ada", "exp": now() + 600});
    let sign = |claims: &Value| signing_key::sign(&OURS.private, claims).unwrap();
    let with = |header: &Header, key: &EncodingKey| jsonwebtoken::encode(header, &claims, key).unwrap();
    let ours = EncodingKey::from_rsa_pem(OURS.private.as_bytes()).unwrap();
    let public = OURS.public.as_bytes();
    let good = sign(&claims);
    let parts: Vec<&str> = good.split('.').collect();
    let none = "eyJhbGciOiJub25lIn0"; // {"alg":"none"}
    let mut critical = Header::new(Algorithm::RS256);
    critical.crit = Some(vec!["exp".into()]);
    let mut foreign = Header::new(Algorithm::RS256);
    foreign.kid = Some("../../../dev/null".into());
    foreign.jku = Some("http://127.0.0.1:1/keys.json".into());
    let theirs = EncodingKey::from_rsa_pem(THEIRS.private.as_bytes()).unwrap();
    vec![
        ("no algorithm", format!("{none}.{}.", parts[1])),
        ("no algorithm, the old signature", format!("{none}.{}.{}", parts[1], parts[2])),
        ("no signature", format!("{}.{}.", parts[0], parts[1])),
        ("HS256 with the public key", with(&Header::new(Algorithm::HS256), &EncodingKey::from_secret(public))),
        ("RS512", with(&Header::new(Algorithm::RS512), &ours)),
        ("PS256", with(&Header::new(Algorithm::PS256), &ours)),
        ("critical extensions", with(&critical, &ours)),
        ("another server's key", signing_key::sign(&THEIRS.private, &claims).unwrap()),
        ("another key, and where to find it", with(&foreign, &theirs)),
        ("expired", sign(&json!({"sub": "ada", "exp": now() - 60}))),
        ("expired long ago", sign(&json!({"sub": "ada", "exp": 0}))),
        ("without an end", sign(&json!({"sub": "ada"}))),
        ("not valid yet", sign(&json!({"sub": "ada", "exp": now() + 600, "nbf": now() + 300}))),
        ("without a user", sign(&json!({"exp": now() + 600}))),
        ("a user that is a number", sign(&json!({"sub": 7, "exp": now() + 600}))),
        (
            "other claims than were signed",
            format!(
                "{}.{}.{}",
                parts[0],
                sign(&json!({"sub": "bob", "exp": now() + 600})).split('.').nth(1).unwrap(),
                parts[2]
            ),
        ),
        ("too large", sign(&json!({"sub": "ada", "exp": now() + 600, "pad": "x".repeat(9_000)}))),
        ("no token at all", "undefined".into()),
        ("two dots", "..".into()),
    ]
}

#[tokio::test]
async fn a_forged_or_stale_token_is_worth_nothing_over_http_and_over_the_socket() {
    let server = setup().start().await;
    item(&server, "ada", None).await;
    for (what, token) in bad_tokens() {
        let reply = call(&server, Method::GET, &feed("ada"), &token, Value::Null).await;
        let told = reply.assert_error(401, "invalid_user_token");
        assert!(!token.is_empty() && !told.to_string().contains(&token), "{what}");
        let reply = call(&server, Method::PUT, "/v1/users/ada", &token, json!({"name": "stolen"})).await;
        reply.assert_error(401, "invalid_user_token");
        assert_eq!(socket(&server, &token).await.err(), Some(403), "{what}");
    }
    // More than a server reads of a request's head: whatever it says, it lets nobody in.
    let huge = "x".repeat(1 << 20);
    let reply = server.send(Method::GET, &feed("ada"), PUBLIC, &[("x-knock-user-token", &huge)], None).await;
    assert!(reply.is_err() || reply.is_ok_and(|reply| (400..500).contains(&reply.status)));
    assert!(server.get("/v1/users/ada").await.json()["name"].is_null());
    assert_eq!(call(&server, Method::GET, &feed("ada"), &token("ada", json!({})), Value::Null).await.status, 200);
}

#[tokio::test]
async fn a_token_is_checked_also_where_none_is_needed_and_cannot_be_without_a_key() {
    let server = setup().set("auth.enhanced_security", false).start().await;
    assert_eq!(server.send(Method::GET, &feed("ada"), PUBLIC, &[], None).await.unwrap().status, 200);
    call(&server, Method::GET, &feed("ada"), "nonsense", Value::Null).await.assert_error(401, "invalid_user_token");
    let bob = token("bob", json!({}));
    call(&server, Method::GET, &feed("ada"), &bob, Value::Null).await.assert_error(403, "authorization");
    let mut server = Setup::new().set("auth.enhanced_security", true).start().await;
    let reply = call(&server, Method::GET, &feed("bob"), &bob, Value::Null).await;
    assert!(reply.assert_error(401, "missing_jwt_signing_key")["message"].as_str().unwrap().contains("belfry keys"));
    let reply = server.send(Method::GET, &feed("bob"), PUBLIC, &[], None).await.unwrap();
    assert!(reply.assert_error(401, "missing_user_token")["message"].as_str().unwrap().contains("enhanced_security"));
    assert_eq!(server.get(&feed("bob")).await.status, 200, "secret keys work");
    let told = server.process.line("Enhanced security is on").await;
    assert!(told.contains("no auth.signing_public_key"), "{told}");
}

/// Everything of `bob`'s that someone else could want to change.
async fn state_of(server: &TestServer, user: &str) -> (Value, Value) {
    (server.feed(user).await, server.get(&format!("/v1/users/{user}")).await.json())
}

#[tokio::test]
async fn what_is_anothers_is_refused_as_if_it_did_not_exist_and_stays_as_it_was() {
    let server = setup().start().await;
    let mine = item(&server, "ada", None).await;
    let theirs = item(&server, "bob", None).await;
    let before = state_of(&server, "bob").await;
    let ada = token("ada", json!({}));
    let unknown = "0199f0e4-0000-7000-8000-000000000000";
    let same = async |method: Method, path: &dyn Fn(&str) -> String, [foreign, unknown]: [&str; 2], status: u16| {
        let [foreign_reply, unknown_reply] = [
            call(&server, method.clone(), &path(foreign), &ada, Value::Null).await,
            call(&server, method, &path(unknown), &ada, Value::Null).await,
        ];
        assert_eq!((foreign_reply.status, unknown_reply.status), (status, status), "{foreign_reply:?}");
        assert_eq!(foreign_reply.text.replace(foreign, "ID"), unknown_reply.text.replace(unknown, "ID"));
        let names = |reply: &Reply| reply.headers.keys().map(ToString::to_string).collect::<BTreeSet<_>>();
        assert_eq!(names(&foreign_reply), names(&unknown_reply));
    };
    let messages = [theirs.as_str(), unknown];
    same(Method::GET, &|id| format!("/v1/messages/{id}"), messages, 404).await;
    for status in ["seen", "read", "archived", "interacted"] {
        same(Method::PUT, &|id| format!("/v1/messages/{id}/{status}"), messages, 404).await;
        same(Method::DELETE, &|id| format!("/v1/messages/{id}/{status}"), messages, 404).await;
    }
    let users = ["bob", "nobody"];
    same(Method::GET, &|id| format!("/v1/users/{id}"), users, 403).await;
    same(Method::PUT, &|id| format!("/v1/users/{id}"), users, 403).await;
    same(Method::GET, &|id| feed(id), users, 403).await;
    same(Method::GET, &|id| format!("{}/settings", feed(id)), users, 403).await;
    // Ids that mean ada's only to a careless reader.
    for disguised in ["ada%2Fbob", "Ada", "ada%20", "%61da%00", "ada..%2Fbob"] {
        let reply = call(&server, Method::GET, &feed(disguised), &ada, Value::Null).await;
        reply.assert_error(403, "authorization");
    }
    for action in ["seen", "read", "archived"] {
        let ids = json!({"message_ids": [theirs, mine, unknown]});
        let answer = call(&server, Method::POST, &format!("/v1/messages/batch/{action}"), &ada, ids).await.json();
        let told: Vec<&Value> = answer.as_array().unwrap().iter().map(|message| &message["id"]).collect();
        assert_eq!(told, [&json!(mine)]);
        let bulk = format!("/v1/channels/{FEED}/messages/bulk/{action}");
        for (body, status) in [
            (json!({"user_ids": ["bob"]}), 403),
            (json!({"user_ids": ["ada", "bob"]}), 403),
            (json!({"recipient_ids": ["bob"], "user_ids": ["ada"]}), 403),
            (json!({"user_ids": []}), 200),
            (json!({}), 422),
        ] {
            assert_eq!(call(&server, Method::POST, &bulk, &ada, body.clone()).await.status, status, "{body}");
        }
    }
    assert_eq!(state_of(&server, "bob").await, before);
    let mut phoenix = socket(&server, &ada).await.unwrap();
    for topic in ["bob", "ada:bob", "Ada", ""] {
        assert_eq!(phoenix.ask(&Phoenix::topic(topic), "phx_join", json!({})).await["status"], "error", "{topic}");
    }
    item(&server, "bob", None).await;
    assert_eq!(phoenix.ask("phoenix", "heartbeat", json!({})).await["status"], "ok");
    assert!(phoenix.is_silent(), "it heard of bob's feed");
}

const ACME: &str = "https://api.knock.app/v1/objects/$tenants/acme";

/// The ids of a feed's items that `token` shows, as the letters of what they belong to.
fn letters(page: &Value) -> String {
    let tenant = |item: &Value| item["tenant"].as_str().map_or("0".to_owned(), |tenant| tenant[..1].to_owned());
    page["entries"].as_array().unwrap().iter().rev().map(tenant).collect()
}

#[tokio::test]
async fn grants_decide_what_a_token_reads_marks_and_hears() {
    let server = setup().start().await;
    let mine = "https://api.knock.app/v1/users/ada";
    server.put("/v1/users/ada", json!({})).await;
    let mut ids = Vec::new();
    for tenant in [None, Some("acme"), Some("beta")] {
        ids.push(item(&server, "ada", tenant).await);
    }
    // Grants, whether they are all; which items are read and marked, and whether the profile is read and written.
    let table = [
        (json!({}), false, "0ab", "0ab", true, true),
        (json!({}), true, "-", "-", false, false),
        (json!({mine: {"user/feed_read": []}}), true, "0ab", "-", false, false),
        (json!({mine: {"user_feed/read": [{}]}}), true, "0ab", "-", false, false),
        (json!({mine: {"feed/write": [{}], "user/read": []}}), true, "-", "0ab", true, false),
        (json!({ACME: {"user/feed_read": []}}), false, "a", "a", true, true),
        (json!({ACME: {"user/feed_read": []}, mine: {"user/feed_read": []}}), false, "0a", "0a", true, true),
        (json!({ACME: {"user/feed_read": []}, mine: {"user/feed_write": []}}), true, "a", "0", false, false),
        (json!({"/v1/tenants/gone": {"feed/read": []}}), false, "", "", true, true),
        (json!({"https://api.knock.app/v1/users/bob": {"user/feed_read": []}}), true, "-", "-", false, false),
    ];
    for (grants, explicit, reads, marks, profile, writes) in table {
        let token = token("ada", json!({"grants": grants, "explicit_grants": explicit}));
        let call = async |method, path: &str, body| call(&server, method, path, &token, body).await;
        let page = call(Method::GET, &feed("ada"), Value::Null).await;
        let settings = call(Method::GET, &format!("{}/settings", feed("ada")), Value::Null).await;
        if reads == "-" {
            page.assert_error(403, "authorization");
            settings.assert_error(403, "authorization");
        } else {
            assert_eq!(letters(&page.json()), reads, "{grants}");
            assert_eq!(page.json()["meta"]["total_count"], reads.len(), "{grants}");
            assert_eq!(settings.status, 200);
            let narrowed = call(Method::GET, &format!("{}?tenant=beta", feed("ada")), Value::Null).await;
            let expected: String = reads.chars().filter(|letter| "0b".contains(*letter)).collect();
            assert_eq!(letters(&narrowed.json()), expected, "{grants}: a filter widens nothing");
        }
        for (id, letter) in ids.iter().zip(["0", "a", "b"]) {
            let status = |reach: &str| if reach == "-" { 403 } else { 404 - 204 * u16::from(reach.contains(letter)) };
            let got = call(Method::GET, &format!("/v1/messages/{id}"), Value::Null).await.status;
            assert_eq!(got, status(reads), "{grants}: {letter}");
            for method in [Method::PUT, Method::DELETE] {
                let got = call(method, &format!("/v1/messages/{id}/read"), Value::Null).await.status;
                assert_eq!(got, status(marks), "{grants}: {letter}");
            }
        }
        let batch = call(Method::POST, "/v1/messages/batch/seen", json!({"message_ids": ids})).await;
        let bulk = format!("/v1/channels/{FEED}/messages/bulk/read");
        let bulk = call(Method::POST, &bulk, json!({"user_ids": ["ada"]})).await;
        if marks == "-" {
            batch.assert_error(403, "authorization");
            bulk.assert_error(403, "authorization");
        } else {
            assert_eq!(batch.json().as_array().unwrap().len(), marks.len(), "{grants}");
            assert_eq!(bulk.json()["estimated_total_rows"], marks.len(), "{grants}");
        }
        let items = server.feed("ada").await;
        let read = items["entries"].as_array().unwrap().iter().rev().zip(["0", "a", "b"]);
        for (item, letter) in read {
            assert_eq!(item["read_at"].is_string(), marks.contains(letter), "{grants}: {letter}");
            assert_eq!(item["seen_at"].is_string(), marks.contains(letter), "{grants}: {letter}");
        }
        server.post("/v1/messages/batch/unread", json!({"message_ids": ids})).await;
        server.post("/v1/messages/batch/unseen", json!({"message_ids": ids})).await;
        let got = call(Method::GET, "/v1/users/ada", Value::Null).await.status;
        assert_eq!(got, if profile { 200 } else { 403 }, "{grants}");
        let got = call(Method::PUT, "/v1/users/ada", json!({})).await.status;
        assert_eq!(got, if writes { 200 } else { 403 }, "{grants}");
        let mut phoenix = socket(&server, &token).await.unwrap();
        let joined = phoenix.ask(&Phoenix::topic("ada"), "phx_join", json!({})).await;
        assert_eq!(joined["status"], if reads == "-" { "error" } else { "ok" }, "{grants}");
    }
}

#[tokio::test]
async fn a_socket_of_a_tenants_token_counts_only_that_tenants_items() {
    let server = setup().start().await;
    let grants = json!({"grants": {ACME: {"user/feed_read": []}}});
    let mut phoenix = socket(&server, &token("ada", grants)).await.unwrap();
    phoenix.ask(&Phoenix::topic("ada"), "phx_join", json!({"client_a": {}, "client_b": {"tenant": "beta"}})).await;
    for tenant in [None, Some("beta"), Some("acme")] {
        item(&server, "ada", tenant).await;
    }
    let event = phoenix.event().await;
    assert_eq!(event["attn"], json!(["client_a"]));
    assert_eq!(event["data"]["client_a"]["metadata"]["total_count"], 1);
    assert!(phoenix.is_silent());
}

#[tokio::test]
async fn a_socket_ends_with_its_token() {
    let server = setup().start().await;
    let brief = signing_key::sign(&OURS.private, &json!({"sub": "ada", "exp": now() + 60})).unwrap();
    let mut phoenix = socket(&server, &brief).await.unwrap();
    phoenix.ask(&Phoenix::topic("ada"), "phx_join", json!({})).await;
    server.advance("2m").await;
    let joined = phoenix.ask(&Phoenix::topic("ada"), "phx_join", json!({})).await;
    assert_eq!(joined["status"], "error", "a join is checked at its own time");
    assert_ne!(phoenix.closed().await, 1000, "a client takes that as the wish to be left alone");
}

/// What a public key reaches; whatever is not here is for secret keys.
const BROWSER: [(&str, &str); 26] = [
    ("GET", "/v1/users/{id}/guides/{channel}"),
    ("PUT", "/v1/users/{id}/guides/messages/{status}"),
    ("PUT", "/v1/users/{id}/guides/messages/{message}/{status}"),
    ("DELETE", "/v1/users/{id}/guides/messages/archived"),
    ("PUT", "/v1/users/{id}/guides/engagements/reset"),
    ("GET", "/v1/users/{id}/preference_center/config"),
    ("GET", "/v1/users/{id}"),
    ("PUT", "/v1/users/{id}"),
    ("GET", "/v1/users/{id}/preferences"),
    ("GET", "/v1/users/{id}/preferences/{set}"),
    ("PUT", "/v1/users/{id}/preferences/{set}"),
    ("PUT", "/v1/users/{id}/preferences/{set}/{section}"),
    ("PUT", "/v1/users/{id}/preferences/{set}/{section}/{key}"),
    ("GET", "/v1/users/{id}/channel_data/{channel}"),
    ("PUT", "/v1/users/{id}/channel_data/{channel}"),
    ("DELETE", "/v1/users/{id}/channel_data/{channel}"),
    ("GET", "/v1/objects/{collection}/{id}/channel_data/{channel}"),
    ("PUT", "/v1/objects/{collection}/{id}/channel_data/{channel}"),
    ("GET", "/v1/users/{id}/feeds/{channel}"),
    ("GET", "/v1/users/{id}/feeds/{channel}/settings"),
    ("GET", "/v1/messages/{id}"),
    ("PUT", "/v1/messages/{id}/{status}"),
    ("DELETE", "/v1/messages/{id}/{status}"),
    ("POST", "/v1/messages/batch/{status}"),
    ("POST", "/v1/channels/{channel}/messages/bulk/{action}"),
    ("GET", "/ws/v1/websocket"),
];

/// What asks for no key: the process's health, what a signed link opens, and what only a developer's server has.
fn is_open(pattern: &str) -> bool {
    matches!(pattern, "/healthz" | "/readyz" | "/metrics")
        || ["/dev/", "/demo", "/docs", "/v1/openapi", "/hosted/", "/unsubscribe/", "/p/", "/t/"]
            .iter()
            .any(|own| pattern.starts_with(own))
}

#[tokio::test]
async fn a_public_key_reaches_only_what_a_browser_needs_and_no_route_is_without_a_rule() {
    let server = Setup::new().start().await;
    let mut reached = 0;
    for (method, pattern) in routes().into_iter().filter(|(_, pattern)| !is_open(pattern)) {
        let path = pattern.replace("{status}", "seen").replace("{action}", "read").replace("{channel}", FEED);
        let path = path.replace("{key}", "note").replace("{id}", "u");
        let path = path.replace("{set}", "default").replace("{section}", "workflows");
        let with = async |key: &str| {
            let body = (method != Method::GET).then(|| "{}".to_owned());
            server.send(method.clone(), &path, key, &[], body).await.unwrap()
        };
        let refusal = if pattern.starts_with("/ws/") { 403 } else { 401 };
        with("").await.assert_error(refusal, "authentication_required");
        if pattern.starts_with("/ws/") {
            reached += 1;
        } else if pattern.starts_with("/v1/providers/") {
            // Knock's kits for them call with a public key. No workspace is connected, which is a refusal of its own.
            let reply = with(PUBLIC).await;
            assert!(reply.status == 200 || reply.json()["code"] == "authorization", "{method} {pattern}: {reply:?}");
        } else if BROWSER.contains(&(method.as_str(), &pattern)) {
            let reply = with(PUBLIC).await;
            assert!(!matches!(reply.status, 401 | 403), "{method} {pattern}: {reply:?}");
            reached += 1;
        } else {
            with(PUBLIC).await.assert_error(403, "incorrect_token_type");
        }
    }
    assert_eq!(reached, BROWSER.len(), "the table names a route that is not there");
}

#[tokio::test]
async fn the_finest_log_has_neither_keys_nor_tokens() {
    let setup = setup().set("log.level", "trace").environment("RUST_LOG", "trace");
    let server = setup.start().await;
    let good = token("ada", json!({"jti": "canary"}));
    let theirs = signing_key::sign(&THEIRS.private, &json!({"sub": "ada", "exp": now() + 60})).unwrap();
    for token in [&good, &theirs] {
        call(&server, Method::GET, &feed("ada"), token, Value::Null).await;
        let query = format!("?user_token={token}&api_key={PUBLIC}&vsn=2.0.0");
        server.send(Method::GET, &format!("{}{query}", feed("ada")), PUBLIC, &[], None).await.unwrap();
        server.send(Method::GET, &format!("/nothing{query}"), "", &[], None).await.unwrap();
        if let Ok(mut phoenix) = socket(&server, token).await {
            phoenix.ask(&Phoenix::topic("ada"), "phx_join", json!({})).await;
        }
    }
    let made = server.post("/admin/keys", json!({"kind": "public"})).await.json()["key"].as_str().unwrap().to_owned();
    socket(&server, &made).await.err();
    let log = server.process.stderr();
    assert!(log.lines().count() > 20, "the log is too short to prove anything:\n{log}");
    let parts = [&good, &theirs].into_iter().flat_map(|token| token.split('.').skip(1).map(str::to_owned));
    for secret in parts.chain([SECRET[8..].to_owned(), PUBLIC[8..].to_owned(), made[8..].to_owned()]) {
        assert!(!log.contains(&secret), "`{secret}` is in the log");
    }
}

#[tokio::test]
async fn preferences_and_channel_data_have_rights_of_their_own_also_where_an_identify_says_them() {
    const APNS: &str = "0d8f7a1c-5f04-4c7e-9a0b-3f8a4f1b2c11";
    let server = setup().start().await;
    let me = "https://api.knock.app/v1/users/ada";
    let limited = |grants: Value| token("ada", json!({"explicit_grants": true, "grants": {me: grants}}));
    let set = "/v1/users/ada/preferences/default";
    let device = format!("/v1/users/ada/channel_data/{APNS}");
    let off = json!({"categories": {"c": false}});
    let data = json!({"data": {"tokens": ["t"]}});
    // The user's own token reaches all that is the user's, and nobody else's.
    let (ada, bob) = (token("ada", json!({})), token("bob", json!({})));
    for (path, body) in [(set, &off), (device.as_str(), &data)] {
        assert_eq!(call(&server, Method::PUT, path, &ada, body.clone()).await.status, 200);
        assert_eq!(call(&server, Method::GET, path, &ada, Value::Null).await.status, 200);
        for method in [Method::PUT, Method::GET] {
            let body = if method == Method::PUT { body.clone() } else { Value::Null };
            call(&server, method, path, &bob, body).await.assert_error(403, "authorization");
        }
    }
    let profile = limited(json!({"user/write": []}));
    let inline = [json!({"preferences": {"default": off}}), json!({"channel_data": {APNS: {"tokens": []}}})];
    for body in &inline {
        call(&server, Method::PUT, "/v1/users/ada", &profile, body.clone()).await.assert_error(403, "authorization");
        assert_eq!(call(&server, Method::PUT, "/v1/users/ada", &ada, body.clone()).await.status, 200);
    }
    assert_eq!(call(&server, Method::PUT, "/v1/users/ada", &profile, json!({"name": "Ada"})).await.status, 200);
    let reader = limited(json!({"preferences/read": [], "channel_data/read": []}));
    assert_eq!(call(&server, Method::GET, set, &reader, Value::Null).await.status, 200);
    call(&server, Method::PUT, set, &reader, off.clone()).await.assert_error(403, "authorization");
    call(&server, Method::PUT, &device, &reader, data.clone()).await.assert_error(403, "authorization");
    // A grant on one tenant limits preferences to it.
    let acme = "https://api.knock.app/v1/objects/$tenants/acme";
    let member = token("ada", json!({"grants": {acme: {"preferences/write": [], "channel_data/read": []}}}));
    assert_eq!(call(&server, Method::PUT, "/v1/users/ada/preferences/acme", &member, off.clone()).await.status, 200);
    call(&server, Method::PUT, set, &member, off).await.assert_error(403, "authorization");
    let listed = call(&server, Method::GET, "/v1/users/ada/preferences", &member, Value::Null).await.json();
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
    // An object's data is reached where a grant names it: 404, since there is none.
    let object = |id: &str| format!("/v1/objects/$tenants/{id}/channel_data/{APNS}");
    call(&server, Method::GET, &object("acme"), &member, Value::Null).await.assert_error(404, "resource_missing");
    call(&server, Method::GET, &object("beta"), &member, Value::Null).await.assert_error(403, "authorization");
    call(&server, Method::PUT, &object("acme"), &member, data).await.assert_error(403, "authorization");
}
