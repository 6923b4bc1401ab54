//! Files that go with an email.

use serde_json::json;

use crate::server::{Setup, email};
use crate::smtp::SmtpServer;

#[tokio::test]
async fn files_of_the_data_arrive_and_templates_see_their_names_alone() {
    let smtp = SmtpServer::start();
    let mut step = email("{{data.attachments.[0].name}} [{{data.attachments.[0].content}}] {{files.content}}");
    step["template"]["text_body"] = json!("{{attachments.[0].content_type}}");
    let mut other = email("Other {{attachments.content}}");
    other["template"]["settings"] = json!({"attachment_key": "files"});
    let setup = Setup::new().smtp(&smtp).workflow("attached", &[step]).workflow("other", &[other]);
    let server = setup.start().await;
    let file = |name: &str, content: &str| json!({"name": name, "content_type": "text/csv", "content": content});
    let data = json!({"attachments": [file("a.csv", "YSxi\nLGM=")], "files": {"content": "kept"}});
    server.trigger("attached", json!({"recipients": ["ann@x.test"], "data": data})).await;
    server.settle().await;
    let mail = smtp.mails().pop().unwrap();
    assert_eq!(mail.subject(), "a.csv [] kept");
    let body = mail.body();
    assert!(body.contains("text/csv") && body.contains("filename=\"a.csv\"") && body.contains("YSxiLGM"), "{body}");

    let data = json!({"files": file("b.csv", "Yg=="), "attachments": {"content": "kept"}});
    server.trigger("other", json!({"recipients": ["ann@x.test"], "data": data})).await;
    server.settle().await;
    let mail = smtp.mails().pop().unwrap();
    assert!(mail.subject() == "Other kept" && mail.body().contains("filename=\"b.csv\""), "{mail:?}");

    let data = json!({"attachments": file("a.csv", "*")});
    let run = server.trigger("attached", json!({"recipients": ["ann@x.test"], "data": data})).await;
    server.settle().await;
    assert_eq!(smtp.mails().len(), 2);
    let runs = server.get(&format!("/v1/workflow_recipient_runs?workflow_run_id={run}")).await.json();
    let id = runs["items"][0]["id"].as_str().unwrap();
    let told = server.get(&format!("/v1/workflow_recipient_runs/{id}")).await.text;
    assert!(told.contains("a `content` that is not base64"), "{told}");
}
