//! What the links in emails lead to: unsubscribing, the preference center, tracked links and opens.

use std::fs;
use std::time::Duration;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::redirect::Policy;
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::server::{Reply, Setup, TestServer};
use crate::smtp::{Mail, SmtpServer};

const PERSON: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

/// A commercial workflow whose mail links to `links`, with `overrides` of its channel.
fn news(links: &str, overrides: Value) -> String {
    let html = format!("<p>News. {links} <a href=\"{{{{vars.commercial_unsubscribe_url}}}}\">Leave</a></p>");
    json!({
        "name": "News", "categories": ["news"], "settings": {"is_commercial": true},
        "steps": [{
            "ref": "email_1", "type": "channel", "channel_type": "email", "channel_key": "email",
            "channel_overrides": overrides,
            "template": {"settings": {"layout_key": null}, "subject": "News", "html_body": html,
                         "text_body": "News: {{vars.manage_preferences_url}}"},
        }],
    })
    .to_string()
}

/// Calls without a key, as a browser or a mail program does, and follows no redirect.
async fn visit(server: &TestServer, method: Method, url: &str, agent: &str, form: Option<&str>) -> Reply {
    let http = Client::builder().redirect(Policy::none()).timeout(Duration::from_secs(30)).build().unwrap();
    let path = url.strip_prefix("https://mail.acme.test").unwrap_or(url);
    let mut request = http.request(method, format!("{}{path}", server.url)).header("user-agent", agent);
    if let Some(form) = form {
        request = request.header("content-type", "application/x-www-form-urlencoded").body(form.to_owned());
    }
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Reply { status, headers, text: response.text().await.unwrap() }
}

async fn send(server: &TestServer, smtp: &SmtpServer, to: &str) -> Mail {
    let before = smtp.mails().len();
    server.trigger("news", json!({"recipients": [{"id": to, "email": format!("{to}@x.test")}]})).await;
    server.settle().await;
    assert_eq!(smtp.mails().len(), before + 1);
    smtp.mails().pop().unwrap()
}

/// What stands between `begin` and `end`, each time.
fn between<'a>(text: &'a str, begin: &'a str, end: char) -> Vec<&'a str> {
    text.split(begin).skip(1).map(|rest| rest.split(end).next().unwrap()).collect()
}

/// What is told of the only message to `user`.
async fn told(server: &TestServer, user: &str) -> (Value, Vec<String>) {
    server.settle().await;
    let message = server.get(&format!("/v1/users/{user}/messages")).await.json()["items"][0].clone();
    let path = format!("/v1/messages/{}/events", message["id"].as_str().unwrap());
    let events = server.get(&path).await.json()["items"].as_array().unwrap().clone();
    (message, events.iter().rev().map(|event| event["type"].as_str().unwrap().to_owned()).collect())
}

async fn setup(smtp: &SmtpServer, links: &str, overrides: Value) -> TestServer {
    let setup = Setup::new().smtp(smtp).set("server.public_url", "https://mail.acme.test");
    setup.workflow_text("news", &news(links, overrides)).start().await
}

#[tokio::test]
async fn one_click_ends_commercial_mail_and_opening_the_link_does_not() {
    let smtp = SmtpServer::start();
    let mut server = setup(&smtp, "", Value::Null).await;
    let mail = send(&server, &smtp, "ann").await;
    assert_eq!(mail.header("List-Unsubscribe-Post"), "List-Unsubscribe=One-Click");
    let url = mail.header("List-Unsubscribe").trim_matches(['<', '>']).to_owned();
    assert!(url.starts_with("https://mail.acme.test/unsubscribe/"), "{url}");
    assert!(mail.body().contains(&format!("<a href=\"{url}\">Leave</a>")), "{}", mail.body());

    let page = visit(&server, Method::GET, &url, PERSON, None).await;
    assert!(page.status == 200 && page.text.contains("ann@x.test"), "{page:?}");
    assert!(!page.text.contains("/p/"), "who may unsubscribe may do nothing else: {page:?}");
    for (name, value) in
        [("x-frame-options", "DENY"), ("referrer-policy", "no-referrer"), ("cache-control", "no-store")]
    {
        assert_eq!(page.header(name), Some(value));
    }
    assert!(page.header("content-security-policy").unwrap().contains("frame-ancestors 'none'"));
    send(&server, &smtp, "ann").await;

    // The link outlives a kill; RFC 8058's request has no cookie, no key, and is answered without a redirect.
    server.kill_9().await;
    server.restart().await;
    for _ in 0..2 {
        let reply = visit(&server, Method::POST, &url, "", Some("List-Unsubscribe=One-Click")).await;
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    let before = smtp.mails().len();
    for user in ["ann", "bob"] {
        server.trigger("news", json!({"recipients": [{"id": user, "email": format!("{user}@x.test")}]})).await;
    }
    server.settle().await;
    let to: Vec<String> = smtp.mails()[before..].iter().map(|mail| mail.to.clone()).collect();
    assert_eq!(to, ["bob@x.test"], "one person's link is nobody else's");
    server.trigger("note", json!({"recipients": ["ann"]})).await;
    server.settle().await;
    assert_eq!(smtp.mails().pop().unwrap().to, "ann@x.test", "what is not commercial still comes");
}

#[tokio::test]
async fn no_altered_link_does_anything_and_all_are_refused_alike() {
    let smtp = SmtpServer::start();
    let server =
        setup(&smtp, "<a href=\"https://a.test\">a</a>", json!({"open_tracking": true, "link_tracking": true})).await;
    let mail = send(&server, &smtp, "ann").await;
    let body = mail.body();
    let click = between(&body, "https://mail.acme.test/t/c/", '"')[0];
    let unsubscribe = between(&body, "https://mail.acme.test/unsubscribe/", '"')[0];
    let altered = |token: &str| format!("{}{}", if token.starts_with('A') { 'B' } else { 'A' }, &token[1..]);
    let mut refusals = Vec::new();
    for path in [
        format!("/unsubscribe/{}", altered(unsubscribe)),
        format!("/unsubscribe/{click}"),
        format!("/p/{unsubscribe}"),
        format!("/t/c/{}", altered(click)),
        format!("/t/c/{unsubscribe}"),
        "/t/c/x".to_owned(),
        "/unsubscribe/%0d%0aX-Evil:1".to_owned(),
    ] {
        for method in [Method::GET, Method::POST] {
            let reply = visit(&server, method.clone(), &path, PERSON, Some("x=1")).await;
            assert!(reply.status == 404 && reply.header("location").is_none(), "{method} {path}: {reply:?}");
            if !reply.text.starts_with('{') {
                refusals.push(reply.text);
            }
        }
    }
    refusals.dedup();
    assert_eq!(refusals.len(), 1, "{refusals:#?}");
    assert_eq!(told(&server, "ann").await.1, ["message.created", "message.sent"]);
    assert_eq!(send(&server, &smtp, "ann").await.to, "ann@x.test");
}

#[tokio::test]
async fn opens_and_clicks_of_people_are_events_and_those_of_machines_are_not() {
    let smtp = SmtpServer::start();
    let links = "<a href=\"https://a.test/?x=1&amp;y=ü\">a</a> <a href=\"mailto:b@x.test\">b</a> <a href=\"#c\">c</a>";
    let server = setup(&smtp, links, json!({"open_tracking": true, "link_tracking": true})).await;
    let mail = send(&server, &smtp, "ann").await;
    let body = mail.body();
    assert!(
        body.contains("mailto:b@x.test") && body.contains("href=\"#c\"") && !body.contains("https://a.test"),
        "{body}"
    );
    assert!(body.contains("News: https://mail.acme.test/p/"), "the text part is as it was: {body}");
    let click = format!("/t/c/{}", between(&body, "https://mail.acme.test/t/c/", '"')[0]);
    let open = format!("/t/o/{}", between(&body, "https://mail.acme.test/t/o/", '"')[0]);

    for (method, agent) in
        [(Method::HEAD, PERSON), (Method::GET, ""), (Method::GET, "Barracuda/1.0"), (Method::GET, "curl/8")]
    {
        let reply = visit(&server, method.clone(), &click, agent, None).await;
        assert_eq!((reply.status, reply.header("location")), (302, Some("https://a.test/?x=1&y=%C3%BC")), "{reply:?}");
        assert_eq!(visit(&server, method, &open, agent, None).await.status, 200);
    }
    let (message, events) = told(&server, "ann").await;
    assert_eq!(events, ["message.created", "message.sent"]);
    assert_eq!((&message["read_at"], &message["link_clicked_at"]), (&Value::Null, &Value::Null));

    let picture = visit(&server, Method::GET, &open, PERSON, None).await;
    assert_eq!((picture.header("content-type"), picture.status), (Some("image/png"), 200));
    assert_eq!(told(&server, "ann").await.1.last().unwrap(), "message.read");
    visit(&server, Method::GET, &click, PERSON, None).await;
    let (message, events) = told(&server, "ann").await;
    assert_eq!(events, ["message.created", "message.sent", "message.read", "message.link_clicked"]);
    assert_eq!(message["engagement_statuses"], json!(["read", "link_clicked"]));
    assert!(message["link_clicked_at"].is_string() && message["clicked_at"] == message["link_clicked_at"], "{message}");
    let path = format!("/v1/messages/{}/events", message["id"].as_str().unwrap());
    assert_eq!(server.get(&path).await.json()["items"][0]["data"], json!({"url": "https://a.test/?x=1&y=ü"}));
    let id = message["id"].clone();
    server
        .post("/v1/messages/batch/link_clicked", json!({"message_ids": [id]}))
        .await
        .assert_error(404, "resource_missing");
}

#[tokio::test]
async fn tracking_is_off_unless_the_channel_or_the_step_says_so() {
    let smtp = SmtpServer::start();
    let link = "<a href=\"https://a.test\">a</a>";
    let server = setup(&smtp, link, Value::Null).await;
    let body = send(&server, &smtp, "ann").await.body();
    assert!(body.contains(link) && !body.contains("/t/"), "{body}");
    let setup = Setup::new().smtp(&smtp).set_email("open_tracking", true).set_email("link_tracking", true);
    let server = setup.workflow_text("news", &news(link, json!({"link_tracking": false}))).start().await;
    let body = send(&server, &smtp, "ann").await.body();
    assert!(body.contains(link) && body.contains(&format!("{}/t/o/", server.url)), "{body}");
}

#[tokio::test]
async fn a_person_manages_preferences_without_a_key_and_only_what_was_touched_is_written() {
    let smtp = SmtpServer::start();
    let server = setup(&smtp, "", Value::Null).await;
    server.put("/v1/users/ann", json!({"email": "ann@x.test"})).await;
    server.put("/v1/users/ann/preferences/default", json!({"categories": {"other": false}})).await;
    let link = server.post("/v1/users/ann/preference_center/signed_url", json!({})).await.json();
    let (url, token) = (link["url"].as_str().unwrap(), link["token"].as_str().unwrap());
    assert_eq!(url, format!("https://mail.acme.test/p/{token}"));
    let page = visit(&server, Method::GET, url, PERSON, None).await;
    assert!(page.status == 200 && page.text.contains("ann@x.test") && !page.text.contains("<script"), "{page:?}");
    assert!(page.text.contains("value=\"categories/news/email\" checked"), "{}", page.text);
    let style = visit(&server, Method::GET, "/hosted/style.css", PERSON, None).await;
    assert_eq!(style.header("content-type"), Some("text/css; charset=utf-8"));

    // As a browser sends the form with the switch of news turned off.
    let form = |on: &str| {
        let shown = between(&page.text, "name=\"shown\" value=\"", '"');
        let shown = shown.iter().map(|value| format!("shown={}", value.replace('/', "%2F")));
        shown.chain(Some(on.to_owned())).collect::<Vec<_>>().join("&")
    };
    let others: Vec<String> = between(&page.text, "name=\"on\" value=\"", '"')
        .iter()
        .filter(|id| **id != "categories/news/email")
        .map(|id| format!("on={}", id.replace('/', "%2F")))
        .collect();
    let reply = visit(&server, Method::POST, url, PERSON, Some(&form(&others.join("&")))).await;
    assert_eq!((reply.status, reply.header("location")), (303, Some(format!("{token}?saved").as_str())), "{reply:?}");
    let set = server.get("/v1/users/ann/preferences/default").await.json();
    assert_eq!(set["categories"], json!({"news": {"channel_types": {"email": false}}, "other": false}));
    assert_eq!((&set["workflows"], &set["commercial_subscribed"]), (&Value::Null, &Value::Null));
    server.trigger("news", json!({"recipients": ["ann"]})).await;
    server.settle().await;
    assert_eq!(smtp.mails(), []);

    let config = server.get("/v1/users/ann/preference_center/config").await.json();
    let rows = config["config"]["rows"].as_array().unwrap();
    let row = json!({"type": "category", "name": "News", "description": null, "identifier": "news", "channel_types": ["email"]});
    assert!(config["enabled"] == true && rows.contains(&row), "{config}");
    assert_eq!(rows.last().unwrap()["type"], "commercial_subscribed");
    assert!(!server.process.stderr().contains(token), "a link is a right: it stands in no log");
    // Who was deleted is not shown, and not made again.
    server.send(Method::DELETE, "/v1/users/ann", crate::server::SECRET, &[], None).await.unwrap();
    assert_eq!(visit(&server, Method::GET, url, PERSON, None).await.status, 404);
    assert_eq!(visit(&server, Method::POST, url, PERSON, Some(&form(""))).await.status, 404);
    assert_eq!(server.get("/v1/users/ann").await.status, 404);
}

#[tokio::test]
async fn pages_speak_their_readers_language_and_show_the_brand_of_whom_the_mail_was_for() {
    let smtp = SmtpServer::start();
    let setup = Setup::new().smtp(&smtp).set("server.public_url", "https://mail.acme.test");
    let setup = setup.set("vars.app_name", "Acme").workflow_text("news", &news("", Value::Null));
    let words = json!({
        "unsubscribe": {"title": "إلغاء الاشتراك من {{ sender }}؟"},
        "preferences": {"title": "إشعاراتك"},
        "channel_types": {"email": "بريد"},
        "categories": {"news": {"name": "أخبار"}},
        "footer": {"text": "مساعدة", "url": "https://help.t1.test/?to={{ email }}"},
    });
    fs::create_dir_all(setup.path("translations/ar")).unwrap();
    fs::write(setup.path("translations/ar/belfry.ar.json"), words.to_string()).unwrap();
    let server = setup.start().await;
    let branding = json!({
        "logo_url": "https://cdn.t1.test/logo.png?a=1&b=2", "dark_logo_url": "javascript:x",
        "primary_color": "#ff8800", "primary_color_contrast": "#000000", "dark_primary_color": "red;}x{",
    });
    server.put("/v1/tenants/t1", json!({"name": "Tenant <1>", "settings": {"branding": branding}})).await;
    for tenant in [json!("t1"), Value::Null] {
        let ann = json!({"id": "ann", "email": "ann@x.test", "locale": "ar-EG"});
        server.trigger("news", json!({"recipients": [ann], "tenant": tenant})).await;
        server.settle().await;
    }
    let [branded, plain] = smtp.mails().try_into().unwrap();
    let unsubscribe = |mail: &Mail| mail.header("List-Unsubscribe").trim_matches(['<', '>']).to_owned();

    let page = visit(&server, Method::GET, &unsubscribe(&branded), PERSON, None).await;
    for shown in [
        "<html lang=\"ar\" dir=\"rtl\">",
        "<h1>إلغاء الاشتراك من Tenant &lt;1&gt;؟</h1>",
        "<button type=\"submit\">Unsubscribe</button>",
        "<img src=\"https://cdn.t1.test/logo.png?a&#x3D;1&amp;b&#x3D;2\" alt=\"Tenant &lt;1&gt;\"",
        "--accent:#ff8800;--on-accent:#000000",
        "<a href=\"https://help.t1.test/?to&#x3D;ann@x.test\" rel=\"noreferrer\">مساعدة</a>",
    ] {
        assert!(page.text.contains(shown), "{shown} in {}", page.text);
    }
    assert!(!page.text.contains("javascript:") && !page.text.contains("red;"), "{}", page.text);
    let policy = page.header("content-security-policy").unwrap();
    let style = between(&page.text, "<style>", '<')[0];
    let hash = STANDARD.encode(digest::digest(&digest::SHA256, style.as_bytes()));
    assert!(policy.contains(&format!("style-src 'self' 'sha256-{hash}'; img-src https://cdn.t1.test;")), "{policy}");

    let preferences = format!("/p/{}", between(&branded.body(), "https://mail.acme.test/p/", '\r')[0]);
    let page = visit(&server, Method::GET, &preferences, PERSON, None).await;
    assert!(page.text.contains("إشعاراتك") && page.text.contains("> بريد</label>"), "{}", page.text);
    assert!(page.text.contains("<legend class=\"what\">أخبار</legend>"), "{}", page.text);

    let page = visit(&server, Method::GET, &unsubscribe(&plain), PERSON, None).await;
    assert!(page.text.contains("من Acme؟") && !page.text.contains("<img") && !page.text.contains("<style"), "{page:?}");
    assert!(page.header("content-security-policy").unwrap().contains("style-src 'self'; img-src 'none';"));
    let page = visit(&server, Method::GET, "/unsubscribe/x", PERSON, None).await;
    assert!(page.status == 404 && page.text.contains("<html lang=\"en\">"), "{page:?}");
}
