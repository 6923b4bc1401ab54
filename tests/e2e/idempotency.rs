//! One Idempotency-Key, one run: at once, later, and over a crash.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;

use crate::server::{Reply, SECRET, Setup, TestServer};
use crate::smtp::SmtpServer;

async fn note(server: &TestServer, key: &str, to: &str) -> Reply {
    let body = json!({"recipients": [to], "data": {"n": 1}}).to_string();
    server
        .send(Method::POST, "/v1/workflows/note/trigger", SECRET, &[("idempotency-key", key)], Some(body))
        .await
        .unwrap()
}

#[tokio::test]
async fn fifty_equal_requests_at_once_are_one_run() {
    let smtp = SmtpServer::start();
    let server = Setup::new().smtp(&smtp).start().await;
    let replies = join_all((0..50).map(|_| note(&server, "key", "a@x.test"))).await;
    assert!(replies.iter().all(|reply| reply.status == 200), "{replies:?}");
    let (replays, first): (Vec<_>, Vec<_>) =
        replies.iter().partition(|reply| reply.header("idempotent-replayed") == Some("true"));
    assert_eq!((first.len(), replays.len()), (1, 49));
    for replay in replays {
        assert_eq!(replay.json(), first[0].json());
        assert_eq!(replay.header("original-x-request-id"), first[0].header("x-request-id"));
        assert_ne!(replay.header("x-request-id"), first[0].header("x-request-id"));
    }
    server.settle().await;
    assert_eq!(smtp.mails().len(), 1);
}

#[tokio::test]
async fn a_key_is_remembered_over_a_kill_and_forgotten_after_a_day() {
    let smtp = SmtpServer::start();
    let mut server = Setup::new().smtp(&smtp).start().await;
    let first = note(&server, "key", "a@x.test").await;
    server.kill_9().await;
    server.restart().await;
    let replay = note(&server, "key", "a@x.test").await;
    assert_eq!(replay.header("idempotent-replayed"), Some("true"));
    assert_eq!(replay.json(), first.json());
    server.advance("23h59m").await;
    assert_eq!(note(&server, "key", "a@x.test").await.json(), first.json());
    server.advance("2m").await;
    let fresh = note(&server, "key", "a@x.test").await;
    assert_eq!(fresh.header("idempotent-replayed"), None);
    assert_ne!(fresh.json(), first.json());
    server.settle().await;
    assert_eq!(smtp.mails().len(), 2);
}

#[tokio::test]
async fn a_key_that_comes_with_another_request_is_refused() {
    let server = Setup::new().start().await;
    note(&server, "key", "a@x.test").await;
    let reply = note(&server, "key", "b@x.test").await;
    let body = reply.assert_error(400, "idempotency_key_reused");
    assert_eq!(body["error"], body["message"], "Knock's own field is there too");
    // Spelled otherwise it is the same request.
    let spelled = r#"{ "data": {"n":1},   "recipients":["a@x.test"] }"#.to_owned();
    let headers = [("idempotency-key", "key"), ("user-agent", "another")];
    let path = "/v1/workflows/note/trigger";
    let reply = server.send(Method::POST, path, SECRET, &headers, Some(spelled)).await.unwrap();
    assert_eq!(reply.header("idempotent-replayed"), Some("true"), "{reply:?}");
    // Another workflow is another request.
    let body = json!({"recipients": ["a@x.test"], "data": {"n": 1}}).to_string();
    let reply = server.send(Method::POST, "/v1/workflows/both/trigger", SECRET, &headers, Some(body)).await.unwrap();
    assert_eq!((reply.status, reply.header("idempotent-replayed")), (200, None));
    server.settle().await;
    assert_eq!(server.mailbox().await.len(), 2);
}

#[tokio::test]
async fn a_refused_request_leaves_its_key_free() {
    let server = Setup::new().start().await;
    let headers = [("idempotency-key", "key")];
    let (path, bad) = ("/v1/workflows/note/trigger", json!({"recipients": []}).to_string());
    let reply = server.send(Method::POST, path, SECRET, &headers, Some(bad)).await.unwrap();
    reply.assert_error(422, "invalid_params");
    assert_eq!(note(&server, "key", "a@x.test").await.header("idempotent-replayed"), None);
}

#[tokio::test]
async fn keys_of_255_characters_are_taken_and_longer_ones_refused() {
    let server = Setup::new().start().await;
    assert_eq!(note(&server, &"k".repeat(255), "a@x.test").await.status, 200);
    note(&server, &"k".repeat(256), "a@x.test").await.assert_error(400, "bad_request");
}

#[tokio::test]
async fn requests_without_a_key_are_each_their_own() {
    let server = Setup::new().start().await;
    let first = server.trigger("note", json!({"recipients": ["a@x.test"]})).await;
    assert_ne!(first, server.trigger("note", json!({"recipients": ["a@x.test"]})).await);
    server.settle().await;
    assert_eq!(server.mailbox().await.len(), 2);
}
