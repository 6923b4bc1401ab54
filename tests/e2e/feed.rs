//! The feed over HTTP: what is asked for is what is answered, and the counts beside it are those of the items.

use std::collections::BTreeSet;

use futures_util::future::{join_all, join3};
use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{FEED, PUBLIC, Reply, SECRET, Setup, TestServer, in_app};

fn setup() -> Setup {
    let docs = json!({"name": "Docs", "categories": ["docs", "work"],
                      "steps": [{"ref": "item", "type": "channel", "channel_type": "in_app_feed",
                                 "channel_key": "in-app", "template": {"markdown_body": "Doc {{n}}"}}]});
    Setup::new().workflow("item", &[in_app("Item {{n}}")]).workflow_text("docs", &docs.to_string())
}

impl TestServer {
    /// Puts one item into the feed of `user`.
    async fn item(&self, user: &str, workflow: &str, tenant: Option<&str>, data: Value) {
        self.trigger(workflow, json!({"recipients": [user], "tenant": tenant, "data": data})).await;
        self.settle().await;
    }

    /// Puts `count` items into the feed of `user`, numbered from 1.
    async fn items(&self, user: &str, count: usize) {
        for n in 1..=count {
            self.trigger("item", json!({"recipients": [user], "data": {"n": n}})).await;
            self.settle().await;
        }
    }

    async fn page(&self, user: &str, query: &str) -> Value {
        let reply = self.get(&format!("/v1/users/{user}/feeds/{FEED}?{query}")).await;
        assert_eq!(reply.status, 200, "{query}: {reply:?}");
        reply.json()
    }

    /// Every item of a feed, archived ones too, newest first.
    async fn all_items(&self, user: &str) -> Vec<Value> {
        let (mut items, mut after) = (Vec::new(), String::new());
        loop {
            let page = self.page(user, &format!("archived=include&after={after}")).await;
            items.extend(page["entries"].as_array().unwrap().iter().cloned());
            match page["page_info"]["after"].as_str() {
                Some(cursor) => after = cursor.to_owned(),
                None => return items,
            }
        }
    }

    async fn delete(&self, path: &str) -> Reply {
        self.send(Method::DELETE, path, SECRET, &[], None).await.unwrap()
    }

    async fn batch(&self, status: &str, body: Value) -> Vec<Value> {
        let reply = self.post(&format!("/v1/messages/batch/{status}"), body).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json().as_array().unwrap().clone()
    }

    /// How many items a bulk call changed.
    async fn bulk(&self, action: &str, body: Value) -> u64 {
        let reply = self.post(&format!("/v1/channels/{FEED}/messages/bulk/{action}"), body).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let operation = reply.json();
        assert_eq!((&operation["__typename"], &operation["status"]), (&json!("BulkOperation"), &json!("completed")));
        let path = operation["progress_path"].as_str().unwrap().strip_prefix(&self.url).unwrap();
        assert_eq!(self.get(path).await.json(), operation);
        operation["success_count"].as_u64().unwrap()
    }

    async fn counts(&self, user: &str) -> [u64; 3] {
        counts(&self.page(user, "").await)
    }

    /// Counts the items of a feed one by one, and checks that the stored counts agree.
    async fn recount(&self, user: &str) {
        let items = self.all_items(user).await;
        let shown: Vec<_> = items.iter().filter(|item| item["archived_at"].is_null()).collect();
        let unset = |stamp: &str| shown.iter().filter(|item| item[stamp].is_null()).count() as u64;
        let counted = [shown.len() as u64, unset("read_at"), unset("seen_at")];
        assert_eq!(self.counts(user).await, counted, "the feed of {user}");
    }
}

fn counts(page: &Value) -> [u64; 3] {
    ["total_count", "unread_count", "unseen_count"].map(|name| page["meta"][name].as_u64().unwrap())
}

/// The numbers that the items of a page were triggered with.
fn numbers(page: &Value) -> Vec<u64> {
    page["entries"].as_array().unwrap().iter().map(|item| item["data"]["n"].as_u64().unwrap()).collect()
}

fn ids(items: &[Value]) -> Vec<String> {
    items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn every_filter_and_dialect_finds_what_it_names_and_counts_it() {
    let server = setup().start().await;
    server.item("u", "item", None, json!({"n": 1, "kind": "a", "ok": true})).await;
    server.item("u", "item", Some("t1"), json!({"n": 2, "kind": "b", "ok": null})).await;
    server.item("u", "docs", Some("t2"), json!({"n": 3, "kind": "a", "nested": {"kind": "b"}})).await;
    server.item("u", "docs", None, json!({"n": 4, "kind": "c"})).await;
    server.item("u", "item", Some("t1"), json!({"n": 5, "kind": "a"})).await;
    let all = server.page("u", "").await;
    let instant = |index: usize| all["entries"][index]["inserted_at"].as_str().unwrap().to_owned();
    let id = |index: usize| all["entries"][index]["id"].as_str().unwrap().to_owned();
    // 5 is seen, 4 is read, 2 is archived.
    server.batch("seen", json!({"message_ids": [id(0)]})).await;
    server.batch("read", json!({"message_ids": [id(1)]})).await;
    server.batch("archived", json!({"message_ids": [id(3)]})).await;
    let (third, fourth) = (instant(2), instant(1));
    let cases: Vec<(String, Vec<u64>, [u64; 3])> = [
        ("", vec![5, 4, 3, 1], [4, 3, 3]),
        ("status=all&mode=compact&archived=exclude", vec![5, 4, 3, 1], [4, 3, 3]),
        ("status=unread", vec![5, 3, 1], [3, 3, 3]),
        ("status=read", vec![4], [1, 3, 3]),
        ("status=unseen", vec![4, 3, 1], [3, 3, 3]),
        ("status=seen", vec![5], [1, 3, 3]),
        ("archived=include", vec![5, 4, 3, 2, 1], [5, 4, 4]),
        ("archived=only", vec![2], [1, 1, 1]),
        ("archived=include&status=seen", vec![5], [1, 4, 4]),
        ("tenant=t1", vec![5, 4, 1], [3, 2, 2]),
        ("tenant=t1&has_tenant=true", vec![5], [1, 1, 0]),
        ("tenant=t1&has_tenant=false", vec![4, 1], [2, 1, 2]),
        ("has_tenant=true", vec![5, 3], [2, 2, 1]),
        ("has_tenant=false", vec![4, 1], [2, 1, 2]),
        ("tenant=t9", vec![4, 1], [2, 1, 2]),
        ("source=docs", vec![4, 3], [2, 1, 2]),
        ("source=unknown", vec![], [0, 0, 0]),
        ("workflow_categories[]=docs&workflow_categories[]=other", vec![4, 3], [2, 1, 2]),
        ("workflow_categories%5B%5D=other", vec![], [0, 0, 0]),
        ("workflow_categories[0]=work", vec![4, 3], [2, 1, 2]),
        ("trigger_data=%7B%22kind%22%3A%22a%22%7D", vec![5, 3, 1], [3, 3, 2]),
        ("trigger_data={\"kind\":\"a\",\"n\":3.0}", vec![3], [1, 1, 1]),
        ("trigger_data={\"ok\":true}", vec![1], [1, 1, 1]),
        ("trigger_data={\"ok\":null}&archived=only", vec![2], [1, 1, 1]),
        ("trigger_data={\"n\":\"3\"}", vec![], [0, 0, 0]),
        ("trigger_data[n]=3", vec![3], [1, 1, 1]),
        ("trigger_data={}", vec![5, 4, 3, 1], [4, 3, 3]),
        ("inserted_at.gte=FOURTH", vec![5, 4], [2, 1, 1]),
        ("inserted_at[gt]=FOURTH", vec![5], [1, 1, 0]),
        ("inserted_at%5Blte%5D=FOURTH&inserted_at.gt=THIRD", vec![4], [1, 0, 1]),
        ("inserted_at.lt=THIRD", vec![1], [1, 1, 1]),
        ("inserted_at.gt=FOURTH&inserted_at.lt=THIRD", vec![], [0, 0, 0]),
        (
            "status=&archived=&tenant=&has_tenant=&locale=en-US&auto_manage_socket_connection=true",
            vec![5, 4, 3, 1],
            [4, 3, 3],
        ),
        ("page_size=2", vec![5, 4], [4, 3, 3]),
        ("page_size=2&status=unread&tenant=t1", vec![5, 1], [2, 2, 2]),
    ]
    .map(|(query, items, counts)| (query.replace("FOURTH", &fourth).replace("THIRD", &third), items, counts))
    .into();
    for (query, items, expected) in cases {
        let page = server.page("u", &query).await;
        assert_eq!((numbers(&page), counts(&page)), (items, expected), "{query}");
        assert_eq!(page["page_info"]["total_count"], page["meta"]["total_count"]);
    }
    assert_eq!(server.counts("nobody").await, [0, 0, 0]);
    assert_eq!(server.counts("v").await, [0, 0, 0]);
}

#[tokio::test]
async fn modes_exclusions_variables_and_settings_shape_the_answer() {
    let server = setup().start().await;
    server.put("/v1/users/ann", json!({"name": "Ann", "avatar": "https://x.test/a.png"})).await;
    let recipients = json!([{"id": "u", "$trigger_data": {"own": 7}}]);
    let data = json!({"n": 1, "list": [1], "map": {"a": 1}});
    server.trigger("item", json!({"actor": "ann", "recipients": recipients, "data": data})).await;
    server.settle().await;
    let rich = server.page("u", "").await;
    let item = &rich["entries"][0];
    assert_eq!(item["data"], json!({"n": 1, "list": [1], "map": {"a": 1}, "own": 7}));
    assert_eq!((&item["actors"][0]["name"], &item["total_actors"]), (&json!("Ann"), &json!(1)));
    assert_eq!((&item["activities"][0]["data"], &item["total_activities"]), (&item["data"], &json!(1)));
    for stamp in ["seen_at", "read_at", "interacted_at", "link_clicked_at", "clicked_at", "archived_at", "tenant"] {
        assert!(item.as_object().unwrap().get(stamp).is_some_and(Value::is_null), "{stamp} of {item}");
    }
    assert_eq!(rich["vars"], json!({"app_url": "https://app.example"}));
    let compact = server.page("u", "mode=compact").await;
    assert_eq!(compact["entries"][0]["data"], json!({"n": 1, "own": 7}));
    assert!(
        compact["entries"][0].get("activities").is_none() && compact["entries"][0].get("total_activities").is_none()
    );
    assert_eq!(numbers(&server.page("u", "trigger_data={\"own\":7}").await), [1]);
    let less = server.page("u", "exclude=entries.archived_at,meta.total_count,entries.source.key,vars,no.such").await;
    assert!(less.get("vars").is_none() && less["meta"].get("total_count").is_none(), "{less}");
    assert!(less["entries"][0].get("archived_at").is_none() && less["entries"][0]["source"].get("key").is_none());
    assert_eq!(less["entries"][0]["id"], item["id"]);
    let settings = server.send(Method::GET, &format!("/v1/users/u/feeds/{FEED}/settings"), PUBLIC, &[], None).await;
    assert_eq!(settings.unwrap().json(), json!({"features": {"branding_required": false}}));
}

#[tokio::test]
async fn pages_neither_miss_nor_repeat_an_item_while_the_feed_changes() {
    let server = setup().start().await;
    server.items("u", 60).await;
    let first = server.page("u", "page_size=10").await;
    assert_eq!(first["page_info"]["before"], Value::Null);
    let mut seen = numbers(&first);
    let mut page = first.clone();
    let mut round = 0;
    while let Some(after) = page["page_info"]["after"].as_str().map(str::to_owned) {
        // The item that the cursor stands on is archived or deleted, an older one is read, a new one comes.
        let last = page["entries"].as_array().unwrap().last().unwrap()["id"].as_str().unwrap().to_owned();
        server.batch(if round % 2 == 0 { "archived" } else { "seen" }, json!({"message_ids": [last]})).await;
        if round % 3 == 2 {
            let instant = page["entries"][9]["inserted_at"].as_str().unwrap();
            let later = page["entries"][8]["inserted_at"].as_str().unwrap();
            let body = json!({"user_ids": ["u"], "older_than": later, "newer_than": instant});
            assert_eq!(server.bulk("delete", body).await, 0, "nothing lies between two neighbours");
            let deleted =
                json!({"user_ids": ["u"], "older_than": later, "trigger_data": {"n": page["entries"][9]["data"]["n"]}});
            assert_eq!(server.bulk("delete", deleted).await, 1);
        }
        server.item("u", "item", None, json!({"n": 100 + round})).await;
        page = server.page("u", &format!("page_size=10&after={after}")).await;
        seen.extend(numbers(&page));
        assert!(page["page_info"]["before"].is_string());
        round += 1;
    }
    assert_eq!(seen, (1..=60).rev().collect::<Vec<u64>>());
    // What came meanwhile lies before the first page, next to it.
    let before = first["entries"][0]["__cursor"].as_str().unwrap();
    let news = server.page("u", &format!("page_size=2&before={before}")).await;
    assert_eq!(numbers(&news), [101, 100]);
    let more = news["page_info"]["before"].as_str().unwrap();
    let rest = server.page("u", &format!("before={more}")).await;
    assert_eq!(numbers(&rest), (102..100 + round).rev().collect::<Vec<u64>>());
    assert_eq!(rest["page_info"]["before"], Value::Null);
    server.recount("u").await;
}

#[tokio::test]
async fn a_message_is_marked_and_unmarked_one_status_at_a_time() {
    let server = setup().start().await;
    server.item("u", "item", Some("t1"), json!({"n": 1})).await;
    let id = server.feed("u").await["entries"][0]["id"].as_str().unwrap().to_owned();
    let path = |status: &str| format!("/v1/messages/{id}/{status}");
    let message = server.get(&format!("/v1/messages/{id}")).await.json();
    assert_eq!(message["__typename"], "Message");
    assert_eq!(
        (&message["recipient"], &message["tenant"], &message["status"]),
        (&json!("u"), &json!("t1"), &json!("delivered"))
    );
    assert_eq!(message["channel"]["id"], FEED);
    assert_eq!(message["channel"]["provider"], "in_app_feed");
    assert_eq!((&message["source"]["step_ref"], &message["source"]["type"]), (&json!("step_0"), &json!("workflow")));
    assert_eq!((&message["data"], &message["engagement_statuses"]), (&json!({"n": 1}), &json!([])));
    for stamp in ["seen_at", "read_at", "interacted_at", "clicked_at", "link_clicked_at", "archived_at", "scheduled_at"]
    {
        assert!(message.as_object().unwrap().get(stamp).is_some_and(Value::is_null), "{stamp} of {message}");
    }
    // Each step: method, status, the statuses after it, and the feed's counts.
    let steps: [(Method, &str, &[&str], [u64; 3]); 15] = [
        (Method::PUT, "seen", &["seen"], [1, 1, 0]),
        (Method::DELETE, "unseen", &[], [1, 1, 1]),
        (Method::PUT, "seen", &["seen"], [1, 1, 0]),
        (Method::PUT, "seen", &["seen"], [1, 1, 0]),
        (Method::PUT, "interacted", &["seen", "read", "interacted"], [1, 0, 0]),
        (Method::DELETE, "unread", &["seen", "interacted"], [1, 1, 0]),
        (Method::PUT, "read", &["seen", "read", "interacted"], [1, 0, 0]),
        (Method::PUT, "archived", &["seen", "read", "interacted", "archived"], [0, 0, 0]),
        (Method::DELETE, "seen", &["read", "interacted", "archived"], [0, 0, 0]),
        (Method::DELETE, "archived", &["read", "interacted"], [1, 0, 1]),
        (Method::DELETE, "archived", &["read", "interacted"], [1, 0, 1]),
        (Method::DELETE, "interacted", &["read"], [1, 0, 1]),
        (Method::DELETE, "read", &[], [1, 1, 1]),
        (Method::PUT, "archived", &["archived"], [0, 0, 0]),
        (Method::DELETE, "unarchived", &[], [1, 1, 1]),
    ];
    for (method, status, statuses, counts) in steps {
        let body = (method == Method::DELETE).then(|| "{}".to_owned());
        let reply = server.send(method.clone(), &path(status), PUBLIC, &[], body).await.unwrap();
        assert_eq!(reply.status, 200, "{method} {status}: {reply:?}");
        let answer = reply.json();
        assert_eq!(answer["engagement_statuses"], json!(statuses), "{method} {status}");
        assert_eq!(server.get(&format!("/v1/messages/{id}")).await.json(), answer);
        assert_eq!(server.counts("u").await, counts, "{method} {status}");
        for (name, stamp) in [("seen", "seen_at"), ("read", "read_at"), ("archived", "archived_at")] {
            assert_eq!(answer[stamp].is_string(), statuses.contains(&name), "{stamp} after {method} {status}");
        }
        assert!(answer["updated_at"].as_str() > message["updated_at"].as_str());
    }
    let first = server.put(&path("seen"), json!({})).await.json();
    let again = server.put(&path("seen"), json!({})).await.json();
    assert!(first["seen_at"].as_str() < again["seen_at"].as_str(), "each call stamps anew");
    server.recount("u").await;
}

#[tokio::test]
async fn an_email_is_marked_without_touching_any_feed() {
    let server = setup().start().await;
    server.trigger("note", json!({"recipients": ["u@x.test"]})).await;
    server.settle().await;
    let id = server.mailbox().await[0]["message"].as_str().unwrap().to_owned();
    let answer = server.put(&format!("/v1/messages/{id}/read"), json!({})).await.json();
    assert_eq!((&answer["engagement_statuses"], &answer["status"]), (&json!(["read"]), &json!("sent")));
    assert_eq!(answer["recipient_snapshot"], json!({"email": "u@x.test"}));
    assert_eq!(server.get(&format!("/v1/messages/{id}")).await.json(), answer);
    assert_eq!(server.counts("u@x.test").await, [0, 0, 0]);
}

#[tokio::test]
async fn a_batch_marks_what_it_finds_and_answers_it_in_order() {
    let server = setup().start().await;
    server.items("u", 3).await;
    server.items("v", 1).await;
    let mine = ids(server.feed("u").await["entries"].as_array().unwrap());
    let unknown = "01890a5d-ac96-774b-bcce-b302099a8057";
    let named = json!([mine[2], unknown, mine[0], "2YmFaQ8EGs2p1T4usnQW5TzTQlA", mine[2], ""]);
    let marked = server.batch("read", json!({"message_ids": named})).await;
    assert_eq!(ids(&marked), [mine[2].clone(), mine[0].clone()]);
    assert!(marked.iter().all(|message| message["read_at"].is_string() && message["seen_at"].is_null()));
    assert_eq!((server.counts("u").await, server.counts("v").await), ([3, 1, 3], [1, 1, 1]));
    let metadata = json!({"type": "button_click", "name": "primary", "label": "Open", "action": "https://x.test"});
    let marked = server.batch("interacted", json!({"message_ids": [mine[1]], "metadata": metadata.clone()})).await;
    assert_eq!(marked[0]["engagement_statuses"], json!(["read", "interacted"]));
    let events = server.get(&format!("/v1/messages/{}/events?page_size=2", mine[1])).await.json();
    let event = &events["items"][0];
    assert_eq!((&event["type"], &event["recipient"]), (&json!("message.interacted"), &json!("u")));
    assert_eq!((&event["data"], &events["items"][1]["type"]), (&metadata, &json!("message.delivered")));
    assert_eq!(server.counts("u").await, [3, 0, 3]);
    for (status, counts) in [
        ("archived", [0, 0, 0]),
        ("unread", [0, 0, 0]),
        ("seen", [0, 0, 0]),
        ("unarchived", [3, 3, 0]),
        ("unseen", [3, 3, 3]),
    ] {
        assert_eq!(server.batch(status, json!({"message_ids": mine})).await.len(), 3);
        assert_eq!(server.counts("u").await, counts, "{status}");
    }
    assert_eq!(server.batch("seen", json!({"message_ids": []})).await, Vec::<Value>::new());
    server.recount("u").await;
}

#[tokio::test]
async fn a_bulk_call_is_done_when_it_is_answered() {
    let server = setup().start().await;
    server.items("u", 4).await;
    server.items("v", 2).await;
    server.item("u", "docs", Some("t1"), json!({"n": 5})).await;
    server.item("u", "docs", Some("t2"), json!({"n": 6})).await;
    assert_eq!(server.bulk("seen", json!({"user_ids": ["u"], "archived": "exclude"})).await, 6);
    assert_eq!((server.counts("u").await, server.counts("v").await), ([6, 6, 0], [2, 2, 2]));
    let stamped = server.all_items("u").await;
    assert_eq!(server.bulk("seen", json!({"user_ids": ["u"]})).await, 0, "what is seen keeps its stamp");
    assert_eq!(server.all_items("u").await, stamped);
    // As the browser's client sends it from a feed that is scoped to a tenant.
    let scoped = json!({"user_ids": ["u"], "engagement_status": "unread", "archived": "exclude", "tenants": ["t1"]});
    assert_eq!(server.bulk("read", scoped).await, 5);
    assert_eq!(counts(&server.page("u", "tenant=t1").await), [5, 0, 0]);
    assert_eq!(server.counts("u").await, [6, 1, 0]);
    let exact = json!({"recipient_ids": ["u"], "tenants": ["t1"], "has_tenant": true, "workflows": ["docs"]});
    assert_eq!(server.bulk("archive", exact).await, 1);
    assert_eq!(server.bulk("unarchive", json!({"recipient_ids": ["u"], "archived": "only"})).await, 1);
    let swift = json!({"user_ids": ["v"], "engagement_status": "", "tenants": "", "has_tenant": "", "trigger_data": "{\"n\":2}"});
    assert_eq!(server.bulk("archived", swift).await, 1);
    assert_eq!(server.counts("v").await, [1, 1, 1]);
    assert_eq!(server.bulk("interacted", json!({"user_ids": ["v", "nobody"], "archived": "exclude"})).await, 1);
    assert_eq!(server.counts("v").await, [1, 0, 1]);
    assert_eq!(server.bulk("read", json!({"user_ids": []})).await, 0, "an empty list is nobody");
    assert_eq!(server.bulk("unread", json!({"engagement_status": "read"})).await, 6, "nobody named is everybody");
    for user in ["u", "v"] {
        server.recount(user).await;
    }
    let gone = ids(&server.all_items("v").await);
    assert_eq!(server.bulk("delete", json!({"user_ids": ["v"]})).await, 2);
    assert_eq!((server.all_items("v").await, server.counts("v").await), (Vec::new(), [0, 0, 0]));
    // The message is no item any more, and can still be read and marked.
    assert_eq!(server.batch("unseen", json!({"message_ids": gone})).await.len(), 2);
    assert_eq!(server.counts("v").await, [0, 0, 0]);
    server.items("v", 1).await;
    server.recount("v").await;
    assert_eq!(server.counts("v").await, [1, 1, 1]);
}

#[tokio::test]
async fn a_bulk_call_over_many_portions_marks_every_item() {
    let server = setup().start().await;
    let everybody: Vec<String> = (0..400).map(|n| format!("u{n}")).collect();
    for _ in 0..3 {
        server.trigger("item", json!({"recipients": everybody, "data": {"n": 1}})).await;
    }
    server.settle().await;
    assert_eq!(server.bulk("read", json!({})).await, 1_200);
    for user in ["u0", "u166", "u399"] {
        assert_eq!(server.counts(user).await, [3, 0, 3]);
        server.recount(user).await;
    }
}

#[tokio::test]
async fn what_cannot_be_marked_or_listed_is_named() {
    let server = setup().start().await;
    server.items("u", 1).await;
    let feed = server.feed("u").await;
    let id = feed["entries"][0]["id"].as_str().unwrap();
    let many: Vec<String> = (0..51).map(|n| n.to_string()).collect();
    let bulk = |action: &str| format!("/v1/channels/{FEED}/messages/bulk/{action}");
    let flat = json!({"a": 1, "b": 2, "c": 3, "d": 4, "e": 5, "f": 6});
    let cases = [
        ("/v1/messages/batch/seen".to_owned(), json!({}), vec!["message_ids"]),
        ("/v1/messages/batch/seen".to_owned(), json!({"message_ids": many}), vec!["message_ids"]),
        ("/v1/messages/batch/seen".to_owned(), json!({"message_ids": "x"}), vec!["message_ids"]),
        ("/v1/messages/batch/seen".to_owned(), json!({"message_ids": ["x", 1]}), vec!["message_ids[1]"]),
        ("/v1/messages/batch/seen".to_owned(), json!([]), vec!["message_ids"]),
        ("/v1/messages/batch/interacted".to_owned(), json!({"message_ids": [id], "metadata": flat}), vec!["metadata"]),
        (
            "/v1/messages/batch/interacted".to_owned(),
            json!({"message_ids": [id], "metadata": {"a": []}}),
            vec!["metadata"],
        ),
        (bulk("explode"), json!({}), vec!["action"]),
        (bulk("seen"), json!([]), vec![""]),
        (bulk("seen"), json!({"archived": "maybe", "has_tenant": "maybe"}), vec!["archived", "has_tenant"]),
        (bulk("seen"), json!({"trigger_data": "{\"a\":{}}"}), vec!["trigger_data"]),
        (bulk("seen"), json!({"older_than": "yesterday"}), vec!["older_than"]),
    ];
    let named = |reply: &Value| -> Vec<String> {
        reply["errors"].as_array().unwrap().iter().map(|e| e["field"].as_str().unwrap().to_owned()).collect()
    };
    for (path, body, fields) in cases {
        let reply = server.post(&path, body.clone()).await.assert_error(422, "invalid_params");
        assert_eq!(named(&reply), fields, "{path} {body}");
    }
    for (query, fields) in [
        ("trigger_data={\"a\":{\"b\":1}}", vec!["trigger_data"]),
        ("trigger_data=[1]", vec!["trigger_data"]),
        ("status=archived", vec!["status"]),
        ("mode=loud&archived=1&has_tenant=yes", vec!["archived", "has_tenant", "mode"]),
        ("inserted_at.gt=x&inserted_at[lte]=y", vec!["inserted_at.gt", "inserted_at.lte"]),
        ("after=x&before=y&page_size=z", vec!["page_size", "before", "after"]),
        ("exclude=a.b.c.d", vec!["exclude"]),
    ] {
        let reply = server.get(&format!("/v1/users/u/feeds/{FEED}?{query}")).await;
        assert_eq!(named(&reply.assert_error(422, "invalid_params")), fields, "{query}");
    }
    server.get(&format!("/v1/users/a%00/feeds/{FEED}")).await.assert_error(422, "invalid_params");
    let unknown = "01890a5d-ac96-774b-bcce-b302099a8057";
    for path in
        [format!("/v1/messages/{unknown}/seen"), "/v1/messages/x/seen".into(), format!("/v1/messages/{id}/loud")]
    {
        server.put(&path, json!({})).await.assert_error(404, "resource_missing");
        server.delete(&path).await.assert_error(404, "resource_missing");
    }
    for path in ["/v1/messages/x", "/v1/bulk_operations/x", &format!("/v1/bulk_operations/{unknown}")] {
        server.get(path).await.assert_error(404, "resource_missing");
    }
    server.put(&format!("/v1/messages/{id}/unseen"), json!({})).await.assert_error(404, "resource_missing");
    server.post("/v1/messages/batch/loud", json!({"message_ids": []})).await.assert_error(404, "resource_missing");
    server.post("/v1/channels/email/messages/bulk/seen", json!({})).await.assert_error(404, "channel_invalid");
    assert_eq!(server.feed("u").await, feed, "nothing of it changed anything");
}

#[tokio::test]
async fn a_kill_between_a_mark_and_its_answer_leaves_counts_that_are_those_of_the_items() {
    let mut server = setup().start().await;
    let users: Vec<String> = (0..40).map(|n| format!("u{n}")).collect();
    for n in 0..4 {
        server.trigger("item", json!({"recipients": users, "data": {"n": n}})).await;
    }
    server.settle().await;
    let mut items = Vec::new();
    for user in &users {
        items.extend(ids(&server.all_items(user).await));
    }
    let mut acknowledged = BTreeSet::new();
    for round in 0..6 {
        let marks = items.chunks(7).map(async |some| {
            let status = ["read", "archived", "unread", "seen", "unarchived", "interacted"][round];
            let body = json!({"message_ids": some}).to_string();
            let path = format!("/v1/messages/batch/{status}");
            let reply = server.send(Method::POST, &path, SECRET, &[], Some(body)).await;
            reply.is_ok_and(|reply| reply.status == 200).then(|| (status, some[0].clone()))
        });
        let all = async {
            let path = format!("/v1/channels/{FEED}/messages/bulk/seen");
            drop(server.send(Method::POST, &path, SECRET, &[], Some("{}".into())).await);
        };
        let kill = async {
            // As soon as the first of them is on disk, while the others are on their way.
            while server.metric("belfry_marks_total", "").await == 0 {}
            server.process.signal("-KILL").await;
        };
        let (done, (), ()) = join3(join_all(marks), all, kill).await;
        server.process.exit().await;
        server.restart().await;
        for user in &users {
            server.recount(user).await;
        }
        for (status, id) in done.into_iter().flatten() {
            acknowledged.insert(status);
            let message = server.get(&format!("/v1/messages/{id}")).await.json();
            let (name, set) = status.strip_prefix("un").map_or((status, true), |name| (name, false));
            let statuses = message["engagement_statuses"].as_array().unwrap();
            assert_eq!(statuses.contains(&json!(name)), set, "{status} was acknowledged: {message}");
        }
    }
    assert!(!acknowledged.is_empty(), "every round was killed before any answer");
}
