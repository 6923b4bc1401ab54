//! Schedules over restarts; what else they do, the SDKs' tests ask.

use std::time::Duration;

use belfry::base::clock::{Clock, sleep};
use serde_json::json;

use crate::server::{Setup, TestServer, in_app};

/// Makes a schedule that happens in a moment, which is long enough for the kill before it; answers once that has passed
/// by so much, on a server that is dead.
async fn due_while_dead(server: &mut TestServer, late: Duration) {
    let due = Clock::system().now().plus(Duration::from_secs(2));
    let schedule = json!({"workflow": "item", "recipients": ["u"], "scheduled_at": due.to_string()});
    let made = server.post("/v1/schedules", schedule).await;
    assert_eq!(made.status, 200, "{made:?}");
    server.kill_9().await;
    while Clock::system().now() <= due.plus(late) {
        sleep(Duration::from_millis(20)).await;
    }
    server.restart().await;
}

#[tokio::test]
async fn an_occurrence_that_the_server_slept_through_happens_at_its_start() {
    let mut server = Setup::new().workflow("item", &[in_app("Now")]).start().await;
    due_while_dead(&mut server, Duration::from_secs(1)).await;
    server.advance("1s").await;
    assert_eq!(server.feed("u").await["meta"]["total_count"], 1);
}

#[tokio::test]
async fn an_occurrence_that_is_later_than_missed_after_triggers_nothing() {
    let mut server = Setup::new().workflow("item", &[in_app("Now")]).set("engine.missed_after", "1s").start().await;
    due_while_dead(&mut server, Duration::from_secs(1)).await;
    server.advance("1s").await;
    assert_eq!(server.feed("u").await["meta"]["total_count"], 0);
    let schedules = server.get("/v1/users/u/schedules").await.json();
    assert_eq!(schedules["entries"][0]["next_occurrence_at"], json!(null), "{schedules}");
}
