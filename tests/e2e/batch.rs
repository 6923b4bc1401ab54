//! Batches: what is collected, until when, and how it is told.

use belfry::base::clock::Clock;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::server::{FEED, Setup, TestServer, email, in_app};

/// Seconds.
const M: i64 = 60;
const H: i64 = 3_600;

fn seconds(value: i64) -> Value {
    json!({"unit": "seconds", "value": value})
}

fn fixed(window: i64) -> Value {
    json!({"batch_window": seconds(window)})
}

fn sliding(window: i64, limit: i64) -> Value {
    json!({
        "batch_window": seconds(window), "batch_window_type": "sliding", "batch_window_extension_limit": seconds(limit),
    })
}

fn and(mut settings: Value, name: &str, value: impl Into<Value>) -> Value {
    settings[name] = value.into();
    settings
}

fn batch(settings: Value) -> Value {
    json!({"type": "batch", "settings": settings})
}

async fn now(server: &TestServer) -> Timestamp {
    server.get("/dev/clock").await.json()["now"].as_str().unwrap().parse().unwrap()
}

/// Advances the clock so that it shows `at`.
async fn advance_to(server: &TestServer, at: Timestamp) {
    let millis = at.as_millisecond() - now(server).await.as_millisecond();
    // Not before: a run that is due then has gone on.
    server.advance(&format!("{}s", (millis.max(0) + 999) / 1_000)).await;
}

/// What a user was sent, by the seconds since `start`: how many activities each email told of.
async fn sent(server: &TestServer, start: Timestamp, to: &str) -> Vec<(i64, String)> {
    let mails = server.mailbox().await;
    let of = |mail: &Value| {
        let at: Timestamp = mail["at"].as_str().unwrap().parse().unwrap();
        (at.duration_since(start).as_secs(), mail["subject"].as_str().unwrap().to_owned())
    };
    mails.iter().filter(|mail| mail["to"] == to).map(of).collect()
}

/// A row of `knock-engine.md` section 13.5: settings, when triggers come, and when how many of them are told.
struct Timeline {
    name: &'static str,
    settings: Value,
    triggers: &'static [i64],
    told: &'static [(i64, u32)],
}

fn timelines() -> Vec<Timeline> {
    let row = |name, settings, triggers, told| Timeline { name, settings, triggers, told };
    let leading = || and(fixed(H), "batch_execution_mode", "flush_leading");
    vec![
        row("fixed", fixed(15 * M), &[0, 5 * M, 14 * M], &[(15 * M, 3)]),
        row("fixed-twice", fixed(15 * M), &[0, 16 * M], &[(15 * M, 1), (31 * M, 1)]),
        // An hour for the reference's minute, which may pass by itself on a busy machine.
        row("sliding", sliding(H, 5 * H), &[0, 30 * M], &[(90 * M, 2)]),
        row("capped", sliding(12 * H, 24 * H), &[0, 6 * H, 13 * H, 16 * H], &[(24 * H, 4)]),
        row("shortened", sliding(24 * H, 12 * H), &[0, 23 * H], &[(23 * H, 2)]),
        row("full", and(fixed(H), "batch_items_max_limit", 3), &[0, M, 2 * M], &[(2 * M, 3)]),
        row("full-and-over", and(fixed(H), "batch_items_max_limit", 2), &[0, M, 2 * M], &[(M, 2), (62 * M, 1)]),
        row("leading-alone", leading(), &[0], &[(0, 1)]),
        row("leading", leading(), &[0, 10 * M, 20 * M], &[(0, 1), (H, 2)]),
        row("leading-again", leading(), &[0, 70 * M], &[(0, 1), (70 * M, 1)]),
    ]
}

#[tokio::test]
async fn batches_close_at_the_times_of_the_reference() {
    let timelines = timelines();
    let setup = timelines.iter().fold(Setup::new(), |setup, row| {
        setup.workflow(row.name, &[batch(row.settings.clone()), email("{{total_activities}}")])
    });
    let server = setup.start().await;
    let (start, began) = (now(&server).await, Clock::system().now());
    let mut events: Vec<(i64, &str)> =
        timelines.iter().flat_map(|row| row.triggers.iter().map(|at| (*at, row.name))).collect();
    events.sort_unstable();
    for (at, workflow) in events {
        advance_to(&server, start + SignedDuration::from_secs(at)).await;
        server.trigger(workflow, json!({"recipients": [format!("{workflow}@x.test")]})).await;
        server.settle().await;
    }
    advance_to(&server, start + SignedDuration::from_hours(30)).await;
    // The clock also goes on by itself, so that all is late by as much as this took, and by what advancing rounds up.
    let late = i64::try_from(Clock::system().now().since(began).as_secs()).unwrap() + 3;
    for row in timelines {
        let found = sent(&server, start, &format!("{}@x.test", row.name)).await;
        let counts: Vec<String> = found.iter().map(|(_, total)| total.clone()).collect();
        let meant: Vec<String> = row.told.iter().map(|(_, total)| total.to_string()).collect();
        assert_eq!(counts, meant, "{}: {found:?}", row.name);
        let near = found.iter().zip(row.told).all(|((at, _), (meant, _))| (0..late).contains(&(at - meant)));
        assert!(near, "{}: {found:?} instead of {:?}", row.name, row.told);
    }
}

/// `knock-engine.md` section 3.3: templates see what all of them say, preferences only what the first one does.
#[tokio::test]
async fn behind_a_batch_preferences_are_judged_by_its_first_activity() {
    let steps = [
        batch(json!({"batch_window": seconds(H), "batch_order": "desc", "batch_items_render_limit": 1})),
        email("{{urgent}}"),
    ];
    let server = Setup::new().workflow("news", &steps).start().await;
    let urgent = json!([{"variable": "data.urgent", "operator": "equal_to", "argument": "true"}]);
    for (user, first, second) in [("a@x.test", true, false), ("b@x.test", false, true)] {
        let wish = json!({"channel_types": {"email": {"conditions": urgent}}});
        server.put(&format!("/v1/users/{user}/preferences/default"), wish).await;
        for urgent in [first, second] {
            server.trigger("news", json!({"recipients": [user], "data": {"urgent": urgent}})).await;
            server.settle().await;
        }
    }
    server.advance("2h").await;
    let mails = server.mailbox().await;
    let told: Vec<_> =
        mails.iter().map(|mail| (mail["to"].as_str().unwrap(), mail["subject"].as_str().unwrap())).collect();
    assert_eq!(told, [("a@x.test", "false")]);
}

#[tokio::test]
async fn what_is_batched_is_told_as_one_also_after_a_crash() {
    let steps = [
        batch(json!({"batch_window": seconds(H), "batch_key": "page", "batch_items_render_limit": 2})),
        in_app(
            "{{total_activities}} by {{total_actors}}, first {{actor.name}}:{{#each activities}} {{this.n}}/{{this.data.n}} by {{this.actor.name}}{{/each}}; last {{n}}",
        ),
    ];
    let mut server = Setup::new().workflow("comments", &steps).start().await;
    let comment = |n: u32, page: Value, actor: &str| {
        json!({
            "recipients": ["ann"], "actor": {"id": actor, "name": actor},
            "data": {"n": n, "page": page, "only": {format!("of_{n}"): true}},
        })
    };
    for (n, actor) in [(1, "bob"), (2, "cat"), (3, "bob"), (4, "dan")] {
        server.trigger("comments", comment(n, json!(7), actor)).await;
        server.settle().await;
    }
    server.trigger("comments", comment(5, json!("7"), "eve")).await;
    server.trigger("comments", comment(6, json!(8), "eve")).await;
    server.trigger("comments", json!({"recipients": ["ann"], "tenant": "acme", "data": {"page": 7}})).await;
    server.settle().await;
    assert_eq!(server.feed("ann").await["entries"], json!([]));
    server.kill_9().await;
    server.restart().await;
    server.advance("2h").await;
    let feed = server.feed("ann").await;
    let entries = feed["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 3, "another page, and another tenant, are batches of their own: {feed}");
    let item = entries.iter().find(|entry| entry["total_activities"] == 5).unwrap_or_else(|| panic!("{feed}"));
    assert_eq!(item["total_actors"], 4);
    let ids = |people: &Value| -> Vec<String> {
        people.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&item["actors"]), ["bob", "cat"]);
    let rendered = item["blocks"][0]["rendered"].as_str().unwrap();
    assert!(rendered.contains("5 by 4, first bob: 1/1 by bob 2/2 by cat; last 5"), "{rendered}");
    let shown: Vec<&Value> = item["activities"].as_array().unwrap().iter().map(|one| &one["data"]["n"]).collect();
    assert_eq!(shown, [1, 2]);
    assert_eq!(item["data"], json!({"n": 5, "page": "7", "only": {"of_5": true}}), "later values win");

    let message = item["id"].as_str().unwrap();
    let pages = server.get(&format!("/v1/messages/{message}/activities?page_size=3")).await.json();
    let of = |page: &Value| -> Vec<i64> {
        page["items"].as_array().unwrap().iter().map(|one| one["data"]["n"].as_i64().unwrap()).collect()
    };
    assert_eq!(of(&pages), [1, 2, 3]);
    let after = pages["page_info"]["after"].as_str().unwrap();
    let rest = server.get(&format!("/v1/messages/{message}/activities?page_size=3&after={after}")).await.json();
    assert_eq!((of(&rest), &rest["page_info"]["after"]), (vec![4, 5], &Value::Null));
    let found = server.get(&format!("/v1/messages/{message}/activities?trigger_data[n]=4")).await.json();
    assert_eq!(of(&found), [4]);
    let compact = server.get(&format!("/v1/users/ann/feeds/{FEED}?mode=compact")).await.json();
    let item = compact["entries"].as_array().unwrap().iter().find(|entry| entry["id"] == message).unwrap();
    assert_eq!((item.get("activities"), item.get("total_activities")), (None, None));
    assert_eq!((ids(&item["actors"]), &item["total_actors"]), (vec!["bob".to_owned()], &json!(4)));
    assert_eq!(item["data"], json!({"n": 5, "page": "7"}));
}

#[tokio::test]
async fn a_cancel_takes_its_item_alone_and_later_the_whole_batch_by_the_key_of_its_first() {
    let steps = [batch(fixed(H)), email("{{total_activities}}: {{#each activities}}{{this.n}}{{/each}}")];
    let later = [batch(fixed(H)), json!({"type": "delay", "settings": {"delay_for": seconds(H)}}), email("late")];
    let mut server = Setup::new().workflow("news", &steps).workflow("slow", &later).start().await;
    let send = async |server: &TestServer, workflow: &str, to: &str, n: u32| {
        let body = json!({"recipients": [to], "data": {"n": n}, "cancellation_key": format!("k{n}")});
        server.trigger(workflow, body).await;
        server.settle().await;
    };
    for n in 1..=4 {
        send(&server, "news", "a@x.test", n).await;
    }
    send(&server, "news", "b@x.test", 1).await;
    send(&server, "news", "b@x.test", 2).await;
    let key = |n: u32| json!({"cancellation_key": format!("k{n}")});
    server.cancel("news", key(1)).await;
    server.cancel("news", json!({"cancellation_key": "k3", "recipients": ["b@x.test"]})).await;
    server.cancel("news", json!({"cancellation_key": "k2", "recipients": ["b@x.test"]})).await;
    server.kill_9().await;
    server.restart().await;
    server.cancel("news", key(4)).await;
    server.cancel("news", key(1)).await;
    send(&server, "news", "a@x.test", 5).await;
    for n in [1, 2] {
        send(&server, "slow", "c@x.test", n).await;
        send(&server, "slow", "d@x.test", n).await;
    }
    server.advance("61m").await;
    let subjects = async |server: &TestServer| -> Vec<String> {
        let mails = server.mailbox().await;
        mails
            .iter()
            .map(|mail| format!("{} {}", mail["to"].as_str().unwrap(), mail["subject"].as_str().unwrap()))
            .collect()
    };
    assert_eq!(subjects(&server).await, ["a@x.test 3: 235"], "b had two, and both were cancelled");
    server.cancel("slow", json!({"cancellation_key": "k2", "recipients": ["c@x.test"]})).await;
    server.cancel("slow", json!({"cancellation_key": "k1", "recipients": ["d@x.test"]})).await;
    server.advance("2h").await;
    assert_eq!(subjects(&server).await, ["a@x.test 3: 235", "c@x.test late"], "after the close the first key counts");
}

#[tokio::test]
async fn the_last_items_are_told_in_the_order_in_which_they_came() {
    let steps = [
        batch(and(fixed(H), "batch_order", "desc")),
        email("{{total_activities}}:{{#each activities}} {{this.n}}{{/each}}"),
    ];
    let server = Setup::new().workflow("digest", &steps).start().await;
    for n in 1..=12 {
        server.trigger("digest", json!({"recipients": ["a@x.test"], "data": {"n": n}})).await;
        server.settle().await;
    }
    server.advance("61m").await;
    assert_eq!(server.mailbox().await[0]["subject"], "12: 3 4 5 6 7 8 9 10 11 12");
}

#[tokio::test]
async fn a_batch_goes_on_with_the_latest_version_or_collects_for_its_own() {
    let document = |mode: &str, version: u32| {
        let named = |reference: &str, mut step: Value| {
            step["ref"] = json!(reference);
            step
        };
        let step = named("batch_1", batch(and(fixed(H), "workflow_version_mode", mode)));
        let mail = named("email_1", email(&format!("{mode} v{version}: {{{{total_activities}}}}")));
        // In the second version the step is another one by its number.
        let before = named(
            "throttle_1",
            json!({"type": "throttle", "settings": {"throttle_window": seconds(1), "throttle_limit": 9}}),
        );
        let steps = if version == 1 { vec![step, mail] } else { vec![before, step, mail] };
        json!({"name": "w", "steps": steps}).to_string()
    };
    let publish = |setup: Setup, version: u32| {
        ["latest", "pinned"].iter().fold(setup, |setup, mode| setup.workflow_text(mode, &document(mode, version)))
    };
    let mut server = publish(Setup::new(), 1).start().await;
    let trigger = async |server: &TestServer| {
        for mode in ["latest", "pinned"] {
            server.trigger(mode, json!({"recipients": ["a@x.test"]})).await;
        }
        server.settle().await;
    };
    trigger(&server).await;
    for mode in ["latest", "pinned"] {
        std::fs::write(server.setup.path("workflows").join(mode).join("workflow.json"), document(mode, 2)).unwrap();
    }
    server.kill_9().await;
    server.restart().await;
    server.advance("40m").await;
    trigger(&server).await;
    server.advance("30m").await;
    assert_eq!(server.mailbox().await.len(), 2, "those that the first version opened");
    server.advance("30m").await;
    let mails = server.mailbox().await;
    let mut subjects: Vec<&str> = mails.iter().map(|mail| mail["subject"].as_str().unwrap()).collect();
    subjects.sort_unstable();
    assert_eq!(subjects, ["latest v2: 2", "pinned v1: 1", "pinned v2: 1"]);
}
