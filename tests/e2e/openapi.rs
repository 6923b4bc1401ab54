//! The description of the API: all of it, and a page to read it.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::Value;

use crate::routes::routes;
use crate::server::{PUBLIC, Setup, TestServer};

/// What is no call of the API: pages, the developer's endpoints, and the socket, which is no exchange of one request and
/// one answer.
fn is_apart(pattern: &str) -> bool {
    ["/dev/", "/demo", "/docs", "/ws/", "/v1/openapi", "/hosted/", "/unsubscribe/", "/p/", "/t/"]
        .iter()
        .any(|apart| pattern.starts_with(apart))
}

async fn document(server: &TestServer) -> Value {
    server.get("/v1/openapi").await.json()
}

fn operations(document: &Value) -> Vec<(String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    let all = paths.iter().flat_map(|(path, item)| item.as_object().unwrap().iter().map(move |method| (path, method)));
    all.map(|(path, (method, operation))| (format!("{} {path}", method.to_uppercase()), operation)).collect()
}

#[tokio::test]
async fn every_route_is_described_and_nothing_that_is_no_route() {
    let server = Setup::new().start().await;
    let document = document(&server).await;
    let described: BTreeSet<String> = operations(&document).into_iter().map(|(name, _)| name).collect();
    let routes = routes().into_iter().filter(|(_, pattern)| !is_apart(pattern));
    let routes: BTreeSet<String> = routes.map(|(method, pattern)| format!("{method} {pattern}")).collect();
    assert!(routes.len() > 90, "{routes:?}");
    assert_eq!(described, routes);
}

/// Every reference in `value`.
fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get("$ref").and_then(Value::as_str));
            map.values().for_each(|value| references(value, found));
        }
        Value::Array(list) => list.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[tokio::test]
async fn the_description_is_whole() {
    let server = Setup::new().start().await;
    let document = document(&server).await;
    let (mut ids, mut refs) = (BTreeSet::new(), BTreeSet::new());
    references(&document, &mut refs);
    for reference in refs {
        let found = document.pointer(reference.strip_prefix('#').unwrap());
        assert!(found.is_some_and(|schema| schema["description"].is_string()), "{reference} is not described");
    }
    for (name, operation) in operations(&document) {
        assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{name} has the id of another");
        assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{name} has no summary");
        for answer in operation["responses"].as_object().unwrap().values() {
            assert!(answer["description"].is_string(), "{name}: {answer}");
        }
        let parameters: Vec<&str> =
            operation["parameters"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
        let once: BTreeSet<&str> = parameters.iter().copied().collect();
        assert_eq!(once.len(), parameters.len(), "{name}: {parameters:?}");
    }
}

#[tokio::test]
async fn the_description_and_its_page_need_no_key_and_load_nothing_from_elsewhere() {
    let server = Setup::new().start().await;
    for path in ["/v1/openapi", "/v1/openapi.json"] {
        let reply = server.send(Method::GET, path, "", &[], None).await.unwrap();
        assert_eq!((reply.status, reply.json()["openapi"].as_str()), (200, Some("3.1.0")), "{path}");
    }
    let page = server.send(Method::GET, "/docs", "", &[], None).await.unwrap();
    assert_eq!(page.status, 200);
    let loaded: Vec<&str> =
        page.text.split(['"', '\'']).filter(|text| text.ends_with(".js") || text.ends_with(".css")).collect();
    assert_eq!(loaded.len(), 2, "{loaded:?}");
    for file in loaded {
        let reply = server.send(Method::GET, file, "", &[], None).await.unwrap();
        assert_eq!(reply.status, 200, "{file}");
        assert!(!reply.text.contains("http://") && !reply.text.contains("https://"), "{file} names another host");
    }
    server
        .send(Method::GET, "/docs/nothing.js", PUBLIC, &[], None)
        .await
        .unwrap()
        .assert_error(404, "resource_missing");
}
