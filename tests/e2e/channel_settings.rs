//! What a channel says of all its messages, and steps that say otherwise.

use serde_json::{Value, json};

use crate::server::{Setup, belfry, email, in_app, run};
use crate::smtp::{Mail, SmtpServer};

fn headers(text: &str) -> toml::Value {
    toml::from_str::<toml::Table>(&format!("x = {text}")).unwrap()["x"].clone()
}

#[tokio::test]
async fn a_channels_copies_replies_and_headers_are_those_of_its_mail_unless_the_step_says_otherwise() {
    let smtp = SmtpServer::start();
    let mut other = email("Other");
    other["channel_overrides"] = json!({
        "cc_address": "step@x.test", "reply_to_address": "{{nothing}}",
        "json_overrides": "{\"headers\": {\"X-Step\": \"1\"}}",
    });
    let server = Setup::new()
        .smtp(&smtp)
        .set_email("cc", "{% if tenant.boss %}The Boss <{{ tenant.boss }}>, {% endif %}all@x.test")
        .set_email("bcc", "archive@x.test")
        .set_email("reply_to", "Help <help@x.test>")
        .set_email("headers", headers("{ \"X-Tenant\" = \"{{ tenant.id }}\", \"X-Env\" = \"test\" }"))
        .workflow("other", &[other])
        .start()
        .await;
    server.put("/v1/tenants/acme", json!({"boss": "boss@x.test\r\nBcc: evil@x.test"})).await;
    let send = async |workflow: &str, body: Value| -> Mail {
        server.trigger(workflow, body).await;
        server.settle().await;
        smtp.mails().pop().unwrap()
    };
    let mail = send("note", json!({"recipients": ["ann@x.test"]})).await;
    assert_eq!([mail.header("Cc"), mail.header("Reply-To")], ["all@x.test", "Help <help@x.test>"]);
    assert_eq!([mail.header("X-Tenant"), mail.header("X-Env")], ["", "test"]);
    assert_eq!(["all@x.test", "archive@x.test"].map(|copy| smtp.attempts(copy)), [1, 1]);
    assert!(!mail.headers().iter().any(|(name, _)| name == "Bcc"), "{:?}", mail.headers());
    let message = server.get("/v1/messages").await.json()["items"][0]["id"].clone();
    let content =
        server.get(&format!("/v1/messages/{}/content", message.as_str().unwrap())).await.json()["data"].clone();
    let shown = json!(["Acme <no-reply@acme.test>", "all@x.test", "archive@x.test", "Help <help@x.test>"]);
    assert_eq!(json!([content["from"], content["cc"], content["bcc"], content["reply_to"]]), shown);

    let mail = send("other", json!({"recipients": ["ann@x.test"], "tenant": "acme"})).await;
    assert_eq!([mail.header("Cc"), mail.header("Reply-To")], ["step@x.test", "Help <help@x.test>"]);
    assert_eq!(mail.header("X-Step"), "1");
    assert!(!mail.headers().iter().any(|(name, _)| name == "X-Env"), "a step's headers are all: {:?}", mail.headers());
    let run = server.trigger("note", json!({"recipients": ["ann@x.test"], "tenant": "acme"})).await;
    server.settle().await;
    let message = server.get(&format!("/v1/messages?workflow_run_id={run}")).await.json()["items"][0].clone();
    assert_eq!(message["status"], "undelivered", "what a tenant says is one address, or none: {message}");
    assert_eq!(smtp.attempts("evil@x.test"), 0);
}

#[tokio::test]
async fn all_mail_of_a_channel_with_a_to_goes_there_unless_the_step_says_otherwise() {
    let smtp = SmtpServer::start();
    let to = |address: &str| {
        let mut step = email("Other");
        step["channel_overrides"] = json!({ "to_address": address });
        step
    };
    let server = Setup::new()
        .smtp(&smtp)
        .set_email("to", "{% unless data.own %}Staging <staging@x.test>{% endunless %}")
        .workflow("other", &[to("step@x.test")])
        .workflow("empty", &[to("{{nothing}}"), in_app("Item")])
        .start()
        .await;
    let send = async |workflow: &str, recipient: &str, data: Value| {
        let run = server.trigger(workflow, json!({"recipients": [recipient], "data": data})).await;
        server.settle().await;
        let message = server.get(&format!("/v1/messages?workflow_run_id={run}")).await.json()["items"][0].clone();
        (message["status"].clone(), smtp.mails().pop().map(|mail| mail.header("To").to_owned()).unwrap_or_default())
    };
    let (sent, own) = (json!("sent"), json!({"own": true}));
    assert_eq!(send("note", "ann@x.test", json!({})).await, (sent.clone(), "Staging <staging@x.test>".to_owned()));
    assert_eq!(smtp.attempts("ann@x.test"), 0);
    assert_eq!(send("note", "ann@x.test", own.clone()).await, (sent.clone(), "ann@x.test".to_owned()));
    assert_eq!(send("other", "ann@x.test", json!({})).await, (sent.clone(), "step@x.test".to_owned()));
    // A recipient without an address is written to at that of the channel, and passed over where nobody has one.
    assert_eq!(send("empty", "nobody", json!({})).await.1, "Staging <staging@x.test>");
    assert_eq!(server.feed("nobody").await["meta"]["total_count"], 1);
    send("empty", "nobody", own).await;
    assert_eq!(server.feed("nobody").await["meta"]["total_count"], 2, "the run goes on behind the step");
    assert_eq!(smtp.mails().len(), 4);

    // Who is listed is looked up by the address that is written to.
    server.post("/admin/suppressions", json!({"address": "ann@x.test"})).await;
    assert_eq!(send("note", "ann@x.test", json!({})).await.0, sent);
    server.post("/admin/suppressions", json!({"address": "staging@x.test"})).await;
    assert_eq!(send("note", "bob@x.test", json!({})).await.0, "undelivered");
    assert_eq!(smtp.mails().len(), 5);

    let arguments = ["workflow", "preview", "note", "--config", "belfry.toml", "--to", "nobody"];
    let (code, shown, complaint) = run(belfry(&server.setup.path(""), &arguments)).await;
    assert!(code == 0 && shown.contains("\"Staging <staging@x.test>\""), "{shown} {complaint}");
}

#[tokio::test]
async fn a_channels_setting_that_cannot_work_is_named_before_anything_starts() {
    for (key, value, problem) in [
        ("cc", "{{ tenant.boss".into(), "channel `email`: cc: "),
        (
            "headers",
            headers("{ \"Bcc\" = \"x@x.test\" }"),
            "channel `email`: headers: the header `Bcc` is not for templates",
        ),
        ("headers", headers("{ \"X Y\" = \"x\" }"), "channel `email`: headers: a name in `headers` is none"),
        ("headers", "x".into(), "channels.email.headers: found a string"),
        ("to", "a@x.test, b@x.test".into(), "channel `email`: to: has 2 addresses"),
    ] {
        let setup = Setup::new().set_email(key, value);
        drop(setup.command());
        for arguments in [&["config", "check"][..], &["serve"]] {
            let (code, _, complaint) = run(belfry(&setup.path(""), arguments)).await;
            assert!(code == 1 && complaint.contains(problem), "{arguments:?}: {complaint}");
        }
    }
}

#[tokio::test]
async fn links_in_the_text_of_items_are_tracked_where_the_channel_or_the_step_says_so() {
    let item = |overrides: Value| {
        let mut item = in_app("See [it](https://a.test/?b=1&c=2), [here](/local)");
        item["template"]["action_url"] = json!("https://a.test/action");
        item["channel_overrides"] = overrides;
        item
    };
    let server = Setup::new()
        .set("server.public_url", "https://mail.acme.test")
        .workflow("plain", &[item(Value::Null)])
        .workflow("tracked", &[item(json!({"link_tracking": true}))])
        .start()
        .await;
    for workflow in ["plain", "tracked"] {
        server.trigger(workflow, json!({"recipients": ["ann"]})).await;
        server.settle().await;
    }
    let feed = server.feed("ann").await;
    let body = |index: usize| feed["entries"][index]["blocks"][0]["rendered"].as_str().unwrap().to_owned();
    assert!(body(1).contains("href=\"https://a.test/?b=1&amp;c=2\"") && !body(1).contains("/t/c/"), "{feed}");
    assert!(body(0).contains("href=\"/local\"") && !body(0).contains("https://a.test"), "{feed}");
    assert_eq!(feed["entries"][0]["blocks"][1]["rendered"], "https://a.test/action");

    let token = body(0).split_once("https://mail.acme.test").unwrap().1.split('"').next().unwrap().to_owned();
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let reply = client.get(format!("{}{token}", server.url)).header("user-agent", "Firefox").send().await.unwrap();
    assert_eq!(
        (reply.status().as_u16(), &reply.headers()["location"]),
        (302, &"https://a.test/?b=1&c=2".parse().unwrap())
    );
    server.settle().await;
    let item = server.feed("ann").await["entries"][0].clone();
    assert!(item["link_clicked_at"].is_string() && item["read_at"].is_null(), "{item}");
}
