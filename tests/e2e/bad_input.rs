//! Whatever is sent to it, the answer is one that clients can read, and everybody else's work goes on.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::server::{FEED, SECRET, Setup, TestServer, email};
use crate::smtp::SmtpServer;

const TRIGGER: &str = "/v1/workflows/note/trigger";
const CANCEL: &str = "/v1/workflows/note/cancel";

async fn works(server: &TestServer) {
    let before = server.mailbox().await.len();
    server.trigger("note", json!({"recipients": ["fine@x.test"]})).await;
    server.settle().await;
    assert_eq!(server.mailbox().await.len(), before + 1);
}

#[tokio::test]
async fn requests_that_make_no_sense_are_answered_with_what_is_wrong_and_where() {
    let server = Setup::new().start().await;
    let many: Vec<String> = (0..1_001).map(|n| format!("u{n}")).collect();
    let long = "x".repeat(257);
    // Path, body, and the fields that are named.
    let cases: Vec<(&str, Value, Vec<&str>)> = vec![
        (TRIGGER, json!([]), vec![""]),
        (TRIGGER, json!("x"), vec![""]),
        (TRIGGER, json!(null), vec![""]),
        (TRIGGER, json!({}), vec!["recipients"]),
        (TRIGGER, json!({"recipients": null}), vec!["recipients"]),
        (TRIGGER, json!({"recipients": []}), vec!["recipients"]),
        (TRIGGER, json!({"recipients": "u"}), vec!["recipients"]),
        (TRIGGER, json!({"recipients": many}), vec!["recipients"]),
        (
            TRIGGER,
            json!({"recipients": ["u", 7, {"id": 1}, {}]}),
            vec!["recipients[1]", "recipients[2]", "recipients[3]"],
        ),
        (TRIGGER, json!({"recipients": [""]}), vec!["recipients[0]"]),
        (TRIGGER, json!({"recipients": [long]}), vec!["recipients[0]"]),
        (TRIGGER, json!({"recipients": ["a\r\nb"]}), vec!["recipients[0]"]),
        (TRIGGER, json!({"recipients": ["a\u{0}b"]}), vec!["recipients[0]"]),
        (TRIGGER, json!({"recipients": [{"id": "u", "collection": "a\nb"}]}), vec!["recipients[0]"]),
        (TRIGGER, json!({"recipients": [{"id": "u", "email": ["x"]}]}), vec!["recipients[0].email"]),
        (TRIGGER, json!({"recipients": [{"id": "u", "$trigger_data": 1}]}), vec!["recipients[0].$trigger_data"]),
        (TRIGGER, json!({"recipients": ["u"], "actor": 1}), vec!["actor"]),
        (TRIGGER, json!({"recipients": ["u"], "tenant": []}), vec!["tenant"]),
        (TRIGGER, json!({"recipients": ["u"], "data": []}), vec!["data"]),
        (TRIGGER, json!({"recipients": ["u"], "cancellation_key": 1}), vec!["cancellation_key"]),
        (TRIGGER, json!({"recipients": ["u"], "cancellation_key": "x".repeat(1_025)}), vec!["cancellation_key"]),
        (CANCEL, json!({}), vec!["cancellation_key"]),
        (CANCEL, json!({"cancellation_key": ""}), vec!["cancellation_key"]),
        (CANCEL, json!({"cancellation_key": "k", "recipients": "u"}), vec!["recipients"]),
        (CANCEL, json!({"cancellation_key": "k", "recipients": [1]}), vec!["recipients[0]"]),
        ("/dev/clock/advance", json!({}), vec!["by"]),
        ("/dev/clock/advance", json!({"by": "soon"}), vec!["by"]),
        ("/dev/clock/advance", json!({"by": "-1d"}), vec!["by"]),
    ];
    for (path, body, fields) in cases {
        let reply = server.post(path, body).await.assert_error(422, "invalid_params");
        let named: Vec<&str> =
            reply["errors"].as_array().unwrap().iter().map(|e| e["field"].as_str().unwrap()).collect();
        assert_eq!(named, fields, "{reply}");
    }
    let big = json!({"name": "x".repeat(300_000)});
    server.put("/v1/users/u", big).await.assert_error(422, "invalid_params");
    server.put("/v1/users/u", json!([1])).await.assert_error(422, "invalid_params");
    server.put("/v1/users/a%2Fb", json!({})).await.assert_error(422, "invalid_params");
    server.put("/v1/users/a%0D%0Ab", json!({})).await.assert_error(422, "invalid_params");
    let unknown = server.post(TRIGGER, json!({"recipients": ["u"], "actor": "nobody"})).await;
    unknown.assert_error(422, "actor_missing");
    assert!(server.mailbox().await.is_empty());
    works(&server).await;
}

#[tokio::test]
async fn bodies_that_are_no_json_are_answered_with_where_it_ends() {
    let server = Setup::new().start().await;
    let deep = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    let bodies = [
        "{".to_owned(),
        "{\"recipients\": [\"u\"],}".to_owned(),
        "recipients=u".to_owned(),
        "\u{feff}{}".to_owned(),
        "{} {}".to_owned(),
        "NaN".to_owned(),
        "{\"a\": 1e999}".to_owned(),
        "\"\\ud800\"".to_owned(),
        deep(500),
        deep(100_000),
        format!("{{\"data\": {}}}", "{\"a\":".repeat(50_000)),
    ];
    for path in [TRIGGER, CANCEL] {
        for body in &bodies {
            let reply = server.send(Method::POST, path, SECRET, &[], Some(body.clone())).await.unwrap();
            let told = reply.assert_error(400, "bad_request");
            assert!(told["message"].as_str().unwrap().starts_with("the body is not valid JSON: "), "{told}");
        }
    }
    let mut invalid = server.http.post(format!("{}{TRIGGER}", server.url)).bearer_auth(SECRET);
    invalid = invalid.body(b"{\"recipients\": [\"\xff\"]}".to_vec());
    assert_eq!(invalid.send().await.unwrap().status(), 400);
    works(&server).await;
}

#[tokio::test]
async fn data_that_is_a_hundred_levels_deep_is_kept_or_refused_but_harms_nothing() {
    let server = Setup::new().workflow("dump", &[email("{{json data}}")]).start().await;
    let nested = |levels: usize| (0..levels).fold(json!("bottom"), |inner, _| json!({"a": inner}));
    for levels in [60, 100, 120] {
        for workflow in ["note", "dump"] {
            let path = format!("/v1/workflows/{workflow}/trigger");
            let body = json!({"recipients": [{"id": "deep", "email": "deep@x.test", "p": nested(levels)}],
                              "data": {"data": nested(levels)}});
            let reply = server.post(&path, body).await;
            assert!(matches!(reply.status, 200 | 400 | 422), "{levels} levels: {reply:?}");
        }
    }
    server.settle().await;
    assert_eq!(server.get("/v1/users/deep").await.status, 200);
    works(&server).await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_whether_or_not_its_length_is_told() {
    let server = Setup::new().set("http.max_body_bytes", 10_000).start().await;
    let body = json!({"recipients": ["u@x.test"], "data": {"text": "x".repeat(10_000)}}).to_string();
    for path in [TRIGGER, CANCEL] {
        let reply = server.send(Method::POST, path, SECRET, &[], Some(body.clone())).await.unwrap();
        let told = reply.assert_error(413, "payload_too_large");
        let expected = format!("the body has {} bytes; http.max_body_bytes allows at most 10000", body.len());
        assert_eq!(told["message"], expected);
    }
    let address = server.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST {TRIGGER} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {SECRET}\r\nTransfer-Encoding: chunked\r\n\
         Connection: close\r\n\r\n2800\r\n{}\r\n0\r\n\r\n",
        "x".repeat(0x2800)
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    works(&server).await;
}

#[tokio::test]
async fn unknown_paths_methods_workflows_and_channels_are_answered_in_the_same_form() {
    let server = Setup::new().start().await;
    let cases = [
        (Method::GET, "/", "resource_missing"),
        (Method::GET, "/v1/nothing", "resource_missing"),
        (Method::GET, "/v1/users/%FF%FE", "resource_missing"),
        (Method::GET, "/v1/users/nobody", "resource_missing"),
        (Method::GET, "/v1/../../etc/passwd", "resource_missing"),
        (Method::GET, "/v1/users/..%2f..%2fetc%2fpasswd", "resource_missing"),
        (Method::GET, TRIGGER, "resource_missing"),
        (Method::PATCH, "/v1/users/u", "resource_missing"),
        (Method::PATCH, "/healthz", "resource_missing"),
        (Method::POST, "/v1/workflows/unknown/trigger", "workflow_missing"),
        (Method::POST, "/v1/workflows/a%0Ab/trigger", "workflow_missing"),
        (Method::GET, "/v1/users/u/feeds/unknown", "channel_invalid"),
        (Method::GET, "/v1/users/u/feeds/0b9a7e52-1c55-4a7e-8b0a-5d2f3e6c7b22", "channel_invalid"),
        (Method::GET, "/dev/mailbox/unknown", "resource_missing"),
    ];
    for (method, path, code) in cases {
        let body = Some(json!({"recipients": ["u"]}).to_string()).filter(|_| method == Method::POST);
        server.send(method, path, SECRET, &[], body).await.unwrap().assert_error(404, code);
    }
    let feed = format!("/v1/users/u/feeds/{FEED}");
    for query in ["?page_size=x", "?after=%FF", "?after=garbage", "?page_size=%FF", "?status=loud", "?archived=maybe"] {
        let reply = server.get(&format!("{feed}{query}")).await;
        if reply.status != 200 {
            reply.assert_error(422, "invalid_params");
        }
    }
    for query in ["?", "?&&", "?unknown=1", "?page_size=1&page_size=2", "?%", "?a=%"] {
        assert_eq!(server.get(&format!("{feed}{query}")).await.status, 200, "{query}");
    }
    assert_eq!(server.send(Method::HEAD, "/v1/users/u", SECRET, &[], None).await.unwrap().status, 404);
    works(&server).await;
}

#[tokio::test]
async fn requests_that_are_no_http_are_refused_and_others_go_on() {
    let server = Setup::new().start().await;
    let address = server.url.strip_prefix("http://").unwrap();
    let huge = "x".repeat(300_000);
    let body = json!({"recipients": ["evil@x.test"]}).to_string();
    let smuggled = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let requests = [
        "nonsense\r\n\r\n".to_owned(),
        format!("GET /healthz HTTP/1.1\r\nHost: x\r\nX-Huge: {huge}\r\n\r\n"),
        format!("GET /{huge} HTTP/1.1\r\nHost: x\r\n\r\n"),
        "GET /healthz HTTP/1.1\r\nHost: x\r\nBad\0Name: 1\r\n\r\n".to_owned(),
        format!(
            "POST {TRIGGER} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {SECRET}\r\nContent-Length: 4\r\n\
             Content-Length: 5\r\nConnection: close\r\n\r\n{body}"
        ),
        format!(
            "POST {TRIGGER} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {SECRET}\r\nContent-Length: 4\r\n\
             Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n{smuggled}"
        ),
    ];
    for request in requests {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // The server may close before it has read all of it.
        let _ = stream.write_all(request.as_bytes()).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{}: {answer}",
            &request[..request.len().min(80)]
        );
    }
    server.settle().await;
    assert!(server.mailbox().await.is_empty(), "a request with two lengths was taken");
    works(&server).await;
}

#[tokio::test]
async fn no_name_or_data_adds_a_header_to_a_mail() {
    let smtp = SmtpServer::start();
    let setup = Setup::new().smtp(&smtp).workflow("shout", &[email("{{actor.name}}: {{{text}}} {{recipient.name}}")]);
    let server = setup.start().await;
    let evil = [
        "x\r\nBcc: evil@x.test",
        "x\nBcc: evil@x.test",
        "x\rBcc: evil@x.test",
        "x\r\n\r\nbody",
        "x\u{0}\u{7}\u{1b}[31m\u{85}\u{2028}\u{2029}Bcc: evil@x.test",
        "=?utf-8?q?x=0D=0ABcc:_evil@x.test?=",
        "ü\r\nBcc: evil@x.test 🎉",
    ];
    for text in evil {
        let body = json!({"actor": {"id": "a", "name": text}, "recipients": [{"id": "u", "email": "u@x.test", "name": text}],
                          "data": {"text": text}});
        server.trigger("shout", body).await;
        server.settle().await;
    }
    let mails = smtp.mails();
    assert_eq!(mails.len(), evil.len());
    for mail in mails {
        let mut names: Vec<String> = mail.headers().into_iter().map(|(name, _)| name).collect();
        names.sort();
        let expected = "Auto-Submitted Content-Type Date Feedback-ID From MIME-Version Message-ID Subject To";
        assert_eq!(names.join(" "), expected, "{:?}", String::from_utf8_lossy(&mail.bytes));
        let head = String::from_utf8_lossy(&mail.bytes).split("\r\n\r\n").next().unwrap().replace("\r\n", "");
        assert!(!head.contains(char::is_control), "{head:?}");
    }
    assert_eq!(smtp.attempts("evil@x.test"), 0);
}

#[tokio::test]
async fn data_is_never_a_template_and_html_in_it_is_text() {
    let server = Setup::new().workflow("hello", &[email("Hi {{recipient.name}}")]).start().await;
    let name = "{{vars.app_url}} <script>alert(1)</script>";
    let text = "<img src=x onerror=alert(1)> {{#each recipient}}{{this}}{{/each}}";
    let body = json!({"recipients": [{"id": "u", "email": "u@x.test", "name": name}], "data": {"text": text}});
    server.trigger("hello", body).await;
    server.settle().await;
    let mail = &server.mailbox().await[0];
    assert_eq!(mail["subject"], format!("Hi {name}"));
    assert!(mail["text"].as_str().unwrap().starts_with(&format!("{text}\n")), "{mail}");
    let html = mail["html"].as_str().unwrap();
    assert!(html.contains("&lt;img src") && !html.contains("<img src=x"), "{html}");
}

#[tokio::test]
async fn a_template_that_fails_on_its_data_ends_its_own_run_and_no_other() {
    let server = Setup::new()
        .workflow("dated", &[email("On {{date when \"%Y\"}}")])
        .workflow("bomb", &[email("{{#each list}}{{#each ../list}}{{#each ../../list}}x{{/each}}{{/each}}{{/each}}")])
        .start()
        .await;
    let list: Vec<u32> = (0..1_000).collect();
    for n in 0..3 {
        server.trigger("dated", json!({"recipients": ["bad@x.test"], "data": {"when": "garbage"}})).await;
        server.trigger("bomb", json!({"recipients": ["bad@x.test"], "data": {"list": list}})).await;
        server.trigger("dated", json!({"recipients": [format!("ok{n}@x.test")], "data": {"when": "2026-01-31"}})).await;
    }
    // One trigger, two recipients, each with data of its own.
    let both = json!([
        {"id": "bad@x.test", "$trigger_data": {"when": "garbage"}},
        {"id": "ok3@x.test", "$trigger_data": {"when": "2026-01-31"}},
    ]);
    server.trigger("dated", json!({"recipients": both})).await;
    server.settle().await;
    let mut got: Vec<String> = server.mailbox().await.iter().map(|mail| mail["to"].to_string()).collect();
    got.sort();
    assert_eq!(got, ["\"ok0@x.test\"", "\"ok1@x.test\"", "\"ok2@x.test\"", "\"ok3@x.test\""]);
    let log = server.process.stderr();
    assert!(log.contains("steps[0].template.subject"), "the log says which template:\n{log}");
    works(&server).await;
}
