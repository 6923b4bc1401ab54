//! The live feed over real sockets.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::process::Command;
use tokio_tungstenite::tungstenite::Message;

use belfry::base::clock::sleep;

use crate::phoenix::{Phoenix, query};
use crate::server::{DEADLINE, FEED, PUBLIC, Process, SECRET, Setup, TestServer, in_app};

fn setup() -> Setup {
    Setup::new().workflow("item", &[in_app("Item {{n}}")]).workflow("other", &[in_app("Other {{n}}")])
}

async fn item(server: &TestServer, user: &str) {
    server.trigger("item", json!({"recipients": [user]})).await;
}

#[tokio::test]
async fn who_listens_hears_of_an_item_at_once_and_with_the_counts_of_each_of_its_feeds() {
    let server = setup().start().await;
    let feeds = json!({"client_all": {"archived": "exclude"}, "client_other": {"source": "other"}});
    let mut ann = Phoenix::listening(&server, "ann:1+x@y.z", feeds).await;
    let mut old = Phoenix::listening(&server, "ann:1+x@y.z", json!({"archived": "exclude"})).await;
    let mut bob = Phoenix::listening(&server, "bob", json!({})).await;
    item(&server, "ann:1+x@y.z").await;
    let one = json!({"total_count": 1, "unread_count": 1, "unseen_count": 1});
    let event = ann.event().await;
    assert_eq!(event["attn"], json!(["client_all"]), "the other one's filter does not show it");
    assert_eq!(event["data"], json!({"client_all": {"metadata": one}}));
    assert_eq!(event["metadata"], one);
    let event = old.event().await;
    assert_eq!((&event["attn"], &event["metadata"]), (&json!([]), &one));
    server.trigger("other", json!({"recipients": ["ann:1+x@y.z"]})).await;
    let event = ann.event().await;
    assert_eq!(event["attn"], json!(["client_all", "client_other"]));
    assert_eq!(event["data"]["client_all"]["metadata"]["unread_count"], 2);
    assert_eq!(event["data"]["client_other"]["metadata"]["unread_count"], 1);
    item(&server, "bob").await;
    assert_eq!(bob.event().await["metadata"]["total_count"], 1, "nothing of ann's feed came to bob");
}

#[tokio::test]
async fn each_hears_the_feed_under_the_name_it_was_joined_by() {
    let server = setup().start().await;
    let mut by_id = Phoenix::listening(&server, "ann", json!({})).await;
    let mut by_key = Phoenix::connect(&server).await;
    by_key.ask("feeds:in-app:ann", "phx_join", json!({})).await;
    item(&server, "ann").await;
    by_id.until_total(1).await;
    by_key.until_total(1).await;
}

#[tokio::test]
async fn a_low_limit_on_open_files_is_raised_as_far_as_it_goes() {
    let setup = setup();
    let serve = setup.command();
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -S -n 64 && exec \"$@\"", "sh"]);
    limited.arg(serve.as_std().get_program()).args(serve.as_std().get_args());
    limited.current_dir(setup.path("")).kill_on_drop(true);
    let mut process = Process::spawn(limited, &setup.path("stderr.log"));
    let url = process.line("Belfry listens on ").await;
    let address = url.trim_start_matches("http://");
    let mut connections = Vec::new();
    for _ in 0..100 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: belfry\r\n\r\n").await.unwrap();
        let mut status = [0; 12];
        tokio::time::timeout(DEADLINE, stream.read_exact(&mut status)).await.unwrap().unwrap();
        assert_eq!(&status, b"HTTP/1.1 200");
        connections.push(stream);
    }
}

#[tokio::test]
async fn a_burst_is_told_in_few_events_and_the_last_has_the_final_counts() {
    let server = setup().start().await;
    let mut ann = Phoenix::listening(&server, "ann", json!({})).await;
    for _ in 0..60 {
        item(&server, "ann").await;
    }
    let events = ann.until_total(60).await;
    assert!(events < 60, "{events} events for 60 items");
}

#[tokio::test]
async fn an_item_that_came_while_the_client_reconnected_is_announced_when_it_joins_again() {
    let server = setup().start().await;
    drop(Phoenix::listening(&server, "ann", json!({})).await);
    item(&server, "ann").await;
    server.settle().await;
    let mut again = Phoenix::listening(&server, "ann", json!({"client_a": {}})).await;
    assert_eq!(again.event().await["attn"], json!(["client_a"]));
}

#[tokio::test]
async fn whoever_left_hears_no_more_and_a_newer_join_replaces_the_older() {
    let server = setup().start().await;
    let topic = Phoenix::topic("ann");
    let mut ann = Phoenix::listening(&server, "ann", json!({"client_a": {}})).await;
    ann.ask(&topic, "phx_join", json!({"client_a": {}, "client_b": {}})).await;
    item(&server, "ann").await;
    assert_eq!(ann.event().await["attn"], json!(["client_a", "client_b"]));
    ann.ask(&topic, "phx_leave", json!({})).await;
    item(&server, "ann").await;
    server.settle().await;
    // What was told of the item would be here by now, before this answer to a later question.
    let mut witness = Phoenix::listening(&server, "ann", json!({})).await;
    item(&server, "ann").await;
    witness.until_total(3).await;
    let ok = json!({"status": "ok", "response": {}});
    assert_eq!(ann.ask("phoenix", "heartbeat", json!({})).await, ok);
    assert_eq!(ann.ask(&topic, "phx_leave", json!({})).await, ok, "also of what was left");
    assert_eq!(ann.ask("guides:x", "phx_join", json!({})).await, ok);
    assert!(ann.is_silent());
}

#[tokio::test]
async fn sockets_are_told_to_come_back_when_the_server_stops() {
    let mut server = setup().start().await;
    let mut joined = Phoenix::listening(&server, "ann", json!({})).await;
    let mut idle = Phoenix::connect(&server).await;
    idle.ask("phoenix", "heartbeat", json!({})).await;
    server.process.signal("-TERM").await;
    assert_eq!((joined.closed().await, idle.closed().await), (1012, 1012), "1000 would keep Knock's client away");
    assert!(server.process.exit().await.success());
    server.restart().await;
    let mut again = Phoenix::listening(&server, "ann", json!({})).await;
    item(&server, "ann").await;
    again.until_total(1).await;
}

#[tokio::test]
async fn a_socket_without_a_good_key_is_refused_before_it_is_opened() {
    let server = setup().start().await;
    let path = "/ws/v1/websocket";
    for query in ["", "?vsn=2.0.0", "?api_key=&vsn=2.0.0", "?api_key=pk_test_wrong&vsn=2.0.0"] {
        assert_eq!(Phoenix::try_connect(&server, path, query).await.err(), Some(403), "{query}");
    }
    let old = format!("?api_key={PUBLIC}&vsn=1.0.0");
    assert_eq!(Phoenix::try_connect(&server, path, &old).await.err(), Some(400));
    // A host that was configured with a slash at its end.
    let mut doubled = Phoenix::try_connect(&server, "//ws/v1/websocket", &query(PUBLIC)).await.unwrap();
    doubled.ask("phoenix", "heartbeat", json!({})).await;
    let log = server.process.stderr();
    assert!(!log.contains(PUBLIC) && !log.contains("pk_test_wrong"), "keys in the log");
}

#[tokio::test]
async fn what_is_no_websocket_is_refused_with_the_reason() {
    let server = setup().start().await;
    let url = format!("/ws/v1/websocket{}", query(PUBLIC));
    let reply = server.get(&url).await;
    assert!(reply.assert_error(400, "bad_request")["message"].as_str().unwrap().contains("WebSocket"));
    let upgrade = |key: &'static str| {
        [
            ("connection", "upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", key),
        ]
    };
    for key in ["x", "dGhlIHNhbXBsZSBub25jZQ=", "dGhlIHNhbXBsZSBub25jZQ===", "!!hlIHNhbXBsZSBub25jZQ=="] {
        let reply = server.send(Method::GET, &url, PUBLIC, &upgrade(key), None).await.unwrap();
        let error = reply.assert_error(400, "bad_request");
        assert!(error["message"].as_str().unwrap().contains("Sec-WebSocket-Key"), "{error}");
    }
}

#[tokio::test]
async fn a_socket_may_follow_a_request_and_its_first_frame_may_come_with_the_handshake() {
    let server = setup().start().await;
    let mut stream = TcpStream::connect(server.url.trim_start_matches("http://")).await.unwrap();
    let mut said = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n".to_vec();
    said.extend(handshake(&format!("/ws/v1/websocket{}", query(PUBLIC))).as_bytes());
    said.extend(masked(br#"["1","2","phoenix","heartbeat",{}]"#));
    stream.write_all(&said).await.unwrap();
    let mut heard = Vec::new();
    let reply = br#"["1","2","phoenix","phx_reply",{"response":{},"status":"ok"}]"#;
    let answered = async {
        while !heard.ends_with(reply) {
            assert_ne!(stream.read_buf(&mut heard).await.unwrap(), 0, "{}", String::from_utf8_lossy(&heard));
        }
    };
    tokio::time::timeout(DEADLINE, answered).await.unwrap();
    let heard = String::from_utf8_lossy(&heard);
    assert!(heard.starts_with("HTTP/1.1 200") && heard.contains("HTTP/1.1 101"), "{heard}");
}

#[tokio::test]
async fn who_asks_for_a_socket_and_gets_none_is_answered_in_full_before_the_connection_ends() {
    let server = setup().start().await;
    for (path, status, end) in
        [("/healthz", "200", "}"), ("/ws/v1/websocket?vsn=2.0.0", "403", "}"), ("/x", "404", "}")]
    {
        let mut stream = TcpStream::connect(server.url.trim_start_matches("http://")).await.unwrap();
        // More than is read of it: that must not cost the answer.
        stream.write_all(format!("{}{}", handshake(path), "x".repeat(300_000)).as_bytes()).await.unwrap();
        let mut answer = String::new();
        tokio::time::timeout(DEADLINE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        assert!(answer.contains("connection: close\r\n") && answer.contains("x-request-id: "), "{answer}");
        assert!(answer.ends_with(end), "{answer}");
    }
}

#[tokio::test]
async fn bad_frames_end_their_own_socket_and_no_other() {
    let server = setup().start().await;
    let mut witness = Phoenix::listening(&server, "ann", json!({})).await;
    let huge = format!("[null,\"1\",\"phoenix\",\"heartbeat\",\"{}\"]", "x".repeat(70_000));
    for (message, code) in [
        (Message::text("{"), 1008),
        (Message::text("[]"), 1008),
        (Message::text(r#"[7,8,"phoenix","heartbeat",{}]"#), 1008),
        (Message::text("[".repeat(10_000)), 1008),
        (Message::binary(vec![0, 1, 2]), 1003),
        (Message::text(huge), 1009),
    ] {
        let mut bad = Phoenix::connect(&server).await;
        bad.say(message.clone()).await;
        assert_eq!(bad.closed().await, code, "{message:?}");
    }
    item(&server, "ann").await;
    witness.until_total(1).await;
}

#[tokio::test]
async fn foreign_and_odd_topics_are_refused_with_the_reason_and_the_socket_lives_on() {
    let server = setup().start().await;
    let mut ann = Phoenix::connect(&server).await;
    for (topic, payload, reason) in [
        ("feeds:11111111-1111-4111-8111-111111111111:ann".to_owned(), json!({}), "no in-app feed channel"),
        ("feeds:x".to_owned(), json!({}), "unmatched topic"),
        ("rooms:x".to_owned(), json!({}), "unmatched topic"),
        (Phoenix::topic("ann"), json!({"client_a": {"status": "odd"}}), "`status`"),
        (Phoenix::topic("ann"), json!(7), "must be an object"),
    ] {
        let reply = ann.ask(&topic, "phx_join", payload).await;
        assert_eq!(reply["status"], "error");
        assert!(reply["response"]["reason"].as_str().unwrap().contains(reason), "{topic}: {reply}");
    }
    assert_eq!(ann.ask(&Phoenix::topic("ann"), "phx_join", json!({})).await["status"], "ok");
}

#[tokio::test]
async fn ten_thousand_joins_end_the_socket_and_leave_nothing_behind() {
    let server = setup().start().await;
    let mut greedy = Phoenix::connect(&server).await;
    for n in 0..10_000 {
        let frame = json!([n.to_string(), n.to_string(), Phoenix::topic(&format!("u{n}")), "phx_join", {}]);
        if greedy.try_say(Message::text(frame.to_string())).await.is_err() {
            break;
        }
    }
    let code = greedy.closed().await;
    assert!([4429, 1006].contains(&code), "{code}");
    wait_for_metric(&server, "belfry_sessions", 0).await;
    wait_for_metric(&server, "belfry_users_connected", 0).await;
}

#[tokio::test]
async fn one_user_cannot_take_all_places_and_the_server_says_when_it_is_full() {
    let server = setup().set("http.max_feeds_per_user", 2).set("http.max_sockets", 4).start().await;
    let _first = Phoenix::listening(&server, "ann", json!({})).await;
    let second = Phoenix::listening(&server, "ann", json!({})).await;
    let mut third = Phoenix::connect(&server).await;
    let reply = third.ask(&Phoenix::topic("ann"), "phx_join", json!({})).await;
    assert!(reply["response"]["reason"].as_str().unwrap().contains("http.max_feeds_per_user"), "{reply}");
    assert_eq!(third.ask(&Phoenix::topic("bob"), "phx_join", json!({})).await["status"], "ok");
    let _fourth = Phoenix::connect(&server).await;
    assert_eq!(Phoenix::try_connect(&server, "/ws/v1/websocket", &query(PUBLIC)).await.err(), Some(503));
    drop(second);
    wait_for_metric(&server, "belfry_sessions", 3).await;
    assert_eq!(third.ask(&Phoenix::topic("ann"), "phx_join", json!({})).await["status"], "ok");
}

/// Reads nothing, with a window so small that this shows soon.
#[tokio::test]
async fn a_client_that_never_reads_is_cut_off_and_the_others_hear_everything() {
    let server = setup().start().await;
    let mut witness = Phoenix::listening(&server, "ann", json!({})).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(1_024).unwrap();
    let address = server.url.trim_start_matches("http://").parse().unwrap();
    let mut deaf = socket.connect(address).await.unwrap();
    deaf.write_all(handshake(&format!("/ws/v1/websocket{}", query(PUBLIC))).as_bytes()).await.unwrap();
    let mut head = [0; 12];
    deaf.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 101");
    let join = json!(["1", "1", Phoenix::topic("ann"), "phx_join", {}]).to_string();
    deaf.write_all(&masked(join.as_bytes())).await.unwrap();
    wait_for_metric(&server, "belfry_sessions", 2).await;
    // Pings whose answers nobody reads, until the window is shut and the kernel has waited long enough.
    let pings = async {
        let ping = [&[0x89, 0x80 | 125, 0, 0, 0, 0][..], &[b'x'; 125]].concat();
        while deaf.write_all(&ping).await.is_ok() {
            sleep(Duration::from_millis(15)).await;
        }
    };
    let cut_off = wait_for_metric(&server, "belfry_sessions", 1);
    tokio::select! {
        () = cut_off => {}
        () = pings => wait_for_metric(&server, "belfry_sessions", 1).await,
    }
    item(&server, "ann").await;
    witness.until_total(1).await;
}

/// What asks for a socket at `path`.
fn handshake(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

/// A text frame of a client (RFC 6455, section 5.2), its mask all zeros.
fn masked(payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    assert!(length < 126, "a longer frame has another header");
    [&[0x81, 0x80 | length, 0, 0, 0, 0][..], payload].concat()
}

async fn wait_for_metric(server: &TestServer, name: &str, value: u64) {
    let waiting = async {
        while server.metric(name, "").await != value {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, waiting).await.unwrap_or_else(|_| panic!("{name} never became {value}"));
}

#[tokio::test]
async fn a_mark_in_one_session_reaches_the_users_other_sessions() {
    let server = setup().start().await;
    let mut phone = Phoenix::listening(&server, "ann", json!({"client_a": {}})).await;
    let mut laptop = Phoenix::listening(&server, "ann", json!({"client_b": {"status": "unread"}})).await;
    item(&server, "ann").await;
    phone.until_total(1).await;
    laptop.until_total(1).await;
    let id = server.feed("ann").await["entries"][0]["id"].clone();
    let body = json!({"message_ids": [id]});
    let reply = server.post("/v1/messages/batch/read", body).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    laptop.until_total(0).await;
    let event = phone.event().await;
    assert_eq!(event["data"]["client_a"]["metadata"]["unread_count"], 0);
    let bulk = format!("/v1/channels/{FEED}/messages/bulk/archive");
    let body: Value = json!({"user_ids": ["ann"]});
    let reply = server.post(&bulk, body).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    phone.until_total(0).await;
}

#[tokio::test]
async fn a_socket_ends_when_its_key_is_revoked() {
    let server = setup().start().await;
    let made = server.post("/admin/keys", json!({"kind": "public"})).await.json();
    let path = "/ws/v1/websocket";
    let mut revoked = Phoenix::try_connect(&server, path, &query(made["key"].as_str().unwrap())).await.unwrap();
    let mut other = Phoenix::listening(&server, "ann", json!({})).await;
    let key = format!("/admin/keys/{}", made["id"].as_str().unwrap());
    assert!(server.send(Method::DELETE, &key, SECRET, &[], None).await.unwrap().status < 300);
    assert_eq!(revoked.closed().await, 4401);
    assert_eq!(other.ask("phoenix", "heartbeat", json!({})).await["status"], "ok");
}
