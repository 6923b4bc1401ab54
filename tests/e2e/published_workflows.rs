//! Six of Knock's published workflows, from the files as they were published, each run from its trigger to what its
//! recipients read.

use std::path::Path;

use jiff::Timestamp;
use mail_parser::MessageParser;
use serde_json::{Value, json};

use crate::server::{SECRET, Setup, TestServer, belfry, run};
use crate::smtp::{Mail, SmtpServer};

/// The in-app channels that the workflows name.
const KNOCK_FEED: &str = "3c0ffb2e-6d0c-4c39-8a63-0a4b7d9e1f01";
const IN_APP_FEED: &str = "3c0ffb2e-6d0c-4c39-8a63-0a4b7d9e1f02";

/// A server on the published files, with the channels that they name; one that they name for push is not among them.
async fn start(smtp: &SmtpServer) -> TestServer {
    let published = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/knock-workflows");
    Setup::new()
        .smtp(smtp)
        .channel("knock-email", "email", "3c0ffb2e-6d0c-4c39-8a63-0a4b7d9e1f03")
        .channel("sendgrid", "email", "3c0ffb2e-6d0c-4c39-8a63-0a4b7d9e1f04")
        .channel("postmark", "email", "3c0ffb2e-6d0c-4c39-8a63-0a4b7d9e1f05")
        .channel("knock-feed", "in-app", KNOCK_FEED)
        .channel("in-app-feed", "in-app", IN_APP_FEED)
        .set("workflows.dir", published.to_str().unwrap())
        .set("workflows.template_engine", "liquid")
        .start()
        .await
}

fn lena() -> Value {
    json!({"id": "lena", "name": "Lena Berg", "email": "lena@acme.test"})
}

/// A mail as another parser reads it.
struct Read {
    to: String,
    subject: String,
    html: String,
    text: String,
}

fn read(mail: &Mail) -> Read {
    let parsed = MessageParser::default().parse(&mail.bytes).unwrap();
    let to = parsed.to().and_then(|to| to.first()).and_then(|to| to.address()).unwrap().to_owned();
    let [html, text] = [parsed.body_html(0), parsed.body_text(0)].map(|part| part.unwrap().replace("\r\n", "\n"));
    assert!(!html.contains("{{") && !html.contains("{%") && !text.contains("{{"), "{html}\n{text}");
    Read { to, subject: parsed.subject().unwrap().to_owned(), html, text }
}

/// What came since `before` mails had come, in the order of its recipients and subjects.
fn since(smtp: &SmtpServer, before: usize) -> Vec<Read> {
    let mut mails: Vec<Read> = smtp.mails()[before..].iter().map(read).collect();
    mails.sort_by(|one, other| (&one.to, &one.subject, &one.text).cmp(&(&other.to, &other.subject, &other.text)));
    mails
}

fn assert_contains(text: &str, parts: &[&str]) {
    let lines = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in parts {
        assert!(lines.contains(part), "{part:?} is not in\n{text}");
    }
}

/// The items of somebody's feed, newest first: their text as HTML, and where they lead.
async fn items(server: &TestServer, user: &str, feed: &str) -> Vec<(String, Option<String>)> {
    let page = server.get(&format!("/v1/users/{user}/feeds/{feed}")).await.json();
    let block = |item: &Value, name: &str| {
        let blocks = item["blocks"].as_array().unwrap();
        let found = blocks.iter().find(|block| block["name"] == name)?;
        Some(found["rendered"].as_str().unwrap().to_owned())
    };
    let entries = page["entries"].as_array().unwrap();
    entries.iter().map(|item| (block(item, "body").unwrap(), block(item, "action_url"))).collect()
}

#[tokio::test]
async fn welcome_messages_greet_in_the_feed_and_by_mail_at_once() {
    let smtp = SmtpServer::start();
    let server = start(&smtp).await;
    server.trigger("welcome-messages", json!({"recipients": [lena()]})).await;
    server.settle().await;
    let mails = since(&smtp, 0);
    assert_eq!(
        (mails.len(), mails[0].to.as_str(), mails[0].subject.as_str()),
        (1, "lena@acme.test", "Welcome to Knock! 🎉")
    );
    assert_contains(&mails[0].text, &["- 📹 Watch this demo", "support@knock.app", "Knock on 🖖"]);
    assert_contains(&mails[0].html, &["href=\"https://docs.knock.app\"", "href=\"mailto:support@knock.app\""]);
    let feed = items(&server, "lena", IN_APP_FEED).await;
    assert_eq!(feed.len(), 1);
    assert_contains(&feed[0].0, &["Welcome to Knock 🎉", "<strong>reading our documentation</strong>"]);
    let leads = "https://docs.knock.app?utm_source=in-app-feed&utm_campaign=welcome-message&utm_medium=in-app-feed";
    assert_eq!(feed[0].1.as_deref(), Some(leads));
}

#[tokio::test]
async fn an_invite_is_followed_by_its_reminder_unless_it_is_called_off() {
    let smtp = SmtpServer::start();
    let server = start(&smtp).await;
    let invite = |to: &str, message: Value, key: &str| {
        json!({
            "recipients": [{"id": to, "email": format!("{to}@acme.test")}], "cancellation_key": key,
            "actor": {"id": "hammond", "name": "John Hammond"},
            "data": {"account_name": "InGen", "invite_message": message, "invite_token": "t-81",
                     "invite_token_url": "https://app.example/invites/account/t-81"},
        })
    };
    server.trigger("invite-with-reminder", invite("ellie", json!("Come and see *the park*."), "i1")).await;
    server.trigger("invite-with-reminder", invite("ian", json!(null), "i2")).await;
    server.settle().await;
    let mails = since(&smtp, 0);
    assert_eq!(mails.len(), 2);
    for mail in &mails {
        assert_eq!(mail.subject, "John invited you to join InGen on Knock");
        assert_contains(&mail.text, &["You've been invited by John to join InGen on Knock.", "What is Knock?"]);
        assert_contains(&mail.html, &["href=\"https://app.example/invites/account/t-81\"", ">Accept invite</a>"]);
    }
    assert_contains(&mails[0].text, &["> Come and see *the park*."]);
    assert!(mails[0].html.contains("<blockquote") && !mails[1].html.contains("<blockquote"));
    assert_eq!(
        server.cancel("invite-with-reminder", json!({"cancellation_key": "i2"})).await,
        "cancelled=1, in_flight=0"
    );
    server.advance("71h").await;
    assert_eq!(smtp.mails().len(), 2, "the three days are not over");
    server.advance("1h").await;
    let reminders = since(&smtp, 2);
    assert_eq!(reminders.len(), 1);
    assert_eq!(reminders[0].to, "ellie@acme.test");
    assert_eq!(reminders[0].subject, "Reminder: You've been invited to join InGen on Knock");
    assert_contains(&reminders[0].text, &["> Come and see *the park*."]);
}

#[tokio::test]
async fn an_onboarding_nudge_is_followed_by_mail_after_a_day_unless_it_is_done_by_then() {
    let smtp = SmtpServer::start();
    let server = start(&smtp).await;
    let nudge = |user: Value, key: &str| {
        let data =
            json!({"onboarding_step": "billing", "onboarding_url": "https://app.example/start?step=billing&a=1"});
        json!({"recipients": [user], "cancellation_key": key, "data": data})
    };
    server.trigger("onboarding-incomplete-reminder", nudge(lena(), "o1")).await;
    let nameless = json!({"id": "bo", "email": "bo@acme.test"});
    server.trigger("onboarding-incomplete-reminder", nudge(nameless, "o2")).await;
    let done = json!({"id": "cy", "email": "cy@acme.test"});
    server.trigger("onboarding-incomplete-reminder", nudge(done, "o3")).await;
    server.advance("23h").await;
    for user in ["lena", "bo", "cy"] {
        let feed = items(&server, user, KNOCK_FEED).await;
        assert_eq!(feed.len(), 1);
        assert_contains(&feed[0].0, &["Complete <strong>billing</strong> to finish setting up"]);
        assert_eq!(feed[0].1.as_deref(), Some("https://app.example/start?step=billing&a=1"));
    }
    assert!(smtp.mails().is_empty());
    server.cancel("onboarding-incomplete-reminder", json!({"cancellation_key": "o3"})).await;
    server.advance("1h").await;
    let mails = since(&smtp, 0);
    let greetings = [("bo@acme.test", "Hi there,"), ("lena@acme.test", "Hi Lena Berg,")];
    assert_eq!(mails.iter().map(|mail| mail.to.as_str()).collect::<Vec<_>>(), greetings.map(|(to, _)| to));
    for (mail, (_, greeting)) in mails.iter().zip(greetings) {
        assert_eq!(mail.subject, "Finish setting up your Knock account");
        assert_contains(&mail.text, &[greeting, "haven't completed billing yet"]);
        assert_contains(&mail.html, &["href=\"https://app.example/start?step=billing&amp;a=1\""]);
    }
}

#[tokio::test]
async fn a_trial_is_reminded_of_three_times_until_an_upgrade_calls_it_off() {
    let smtp = SmtpServer::start();
    let server = start(&smtp).await;
    let ending = |user: Value, key: &str| {
        let data =
            json!({"plan_name": "Pro", "trial_end_date": "March 1", "upgrade_url": "https://app.example/upgrade"});
        json!({"recipients": [user], "cancellation_key": key, "data": data})
    };
    server.trigger("trial-ending", ending(lena(), "t1")).await;
    server.trigger("trial-ending", ending(json!({"id": "bo@acme.test"}), "t2")).await;
    let mut told = 0;
    for (wait, to, subject, text) in [
        (
            "0s",
            &["bo@acme.test", "lena@acme.test"][..],
            "Your Knock trial ends in 7 days",
            "Your free trial of Pro ends on March 1.",
        ),
        (
            "4d",
            &["bo@acme.test", "lena@acme.test"],
            "Your Knock trial ends in 3 days",
            "your Pro trial ends on March 1",
        ),
        ("2d", &["lena@acme.test"], "Last day of your Knock trial", "last day of your Pro trial"),
        ("30d", &[], "", ""),
    ] {
        server.advance(wait).await;
        let mails = since(&smtp, told);
        assert_eq!(mails.iter().map(|mail| mail.to.as_str()).collect::<Vec<_>>(), to, "{wait}");
        for mail in &mails {
            assert_eq!(mail.subject, subject);
            assert_contains(&mail.text, &[text, "Upgrade now (https://app.example/upgrade)"]);
        }
        told += mails.len();
        if told == 4 {
            server.cancel("trial-ending", json!({"cancellation_key": "t2"})).await;
        }
    }
}

#[tokio::test]
async fn an_alert_digest_tells_a_day_s_alerts_as_one_without_those_that_were_called_off() {
    let smtp = SmtpServer::start();
    let server = start(&smtp).await;
    let alert = |digest: &str, alert: Value, key: &str| {
        let data = json!({"digest_key": digest, "digest": {"period": "daily"}, "alert": alert});
        json!({"recipients": [lena()], "cancellation_key": key, "data": data})
    };
    let now = || async { server.get("/dev/clock").await.json()["now"].as_str().unwrap().parse::<Timestamp>().unwrap() };
    let from = now().await;
    server.trigger("alert-digest", alert("ops", json!({"title": "Disk at 91 %"}), "a1")).await;
    let until = now().await;
    server.advance("6h").await;
    server.trigger("alert-digest", alert("ops", json!({"title": "CPU & memory"}), "a2")).await;
    server.trigger("alert-digest", alert("ops", json!({"title": "False alarm"}), "a3")).await;
    server.trigger("alert-digest", alert("db", json!({}), "a4")).await;
    server.cancel("alert-digest", json!({"cancellation_key": "a3"})).await;
    server.advance("17h").await;
    assert!(smtp.mails().is_empty() && items(&server, "lena", KNOCK_FEED).await.is_empty());
    server.advance("1h").await;
    let mails = since(&smtp, 0);
    assert_eq!((mails.len(), mails[0].subject.as_str()), (1, "Your daily alert digest"));
    let text = &mails[0].text;
    assert_contains(text, &["You had 2 alerts in your daily digest:", "> Disk at 91 % —", "> CPU & memory —"]);
    assert!(!text.contains("False alarm"), "{text}");
    let shown = |at: Timestamp| at.strftime("> Disk at 91 %% — %b %-d, %-I:%M %p").to_string();
    assert!(text.contains(&shown(from)) || text.contains(&shown(until)), "{text}\n{}", shown(from));
    assert_contains(&mails[0].html, &["href=\"https://app.example/alerts\""]);
    server.advance("6h").await;
    assert_contains(&since(&smtp, 1)[0].text, &["You had 1 alert in your daily digest:"]);
    let feed = items(&server, "lena", KNOCK_FEED).await;
    assert_contains(&feed[1].0, &["<strong>2</strong> alerts in your daily digest."]);
    assert_contains(&feed[0].0, &["<strong>1</strong> alert in your daily digest."]);
    assert_eq!(feed[0].1, None, "an empty link is none");
}

#[tokio::test]
async fn comments_are_told_as_one_and_by_mail_to_whom_has_not_seen_them() {
    let smtp = SmtpServer::start();
    let server = start(&smtp).await;
    let log = server.process.stderr();
    assert!(
        log.contains("steps[4].channel_type: channels of type \"push\" are not supported by this version"),
        "{log}"
    );
    let comment = |to: &[&str], page: &str, actor: &str, key: &str| {
        let recipient = |id: &&str| json!({"id": id, "email": format!("{id}@acme.test")});
        json!({
            "recipients": to.iter().map(recipient).collect::<Vec<_>>(), "cancellation_key": key,
            "actor": {"id": actor, "name": format!("{actor} Doe")},
            "data": {"page_id": page, "page_name": format!("Page {page}"), "comment_body": "Looks good."},
        })
    };
    // By several people, by one person twice, one alone; and one that is called off.
    let opener = server.trigger("comments", comment(&["eager", "idle"], "one", "Ann", "c1")).await;
    for (actor, key) in [("Bo", "c2"), ("Cy", "c3")] {
        server.trigger("comments", comment(&["eager", "idle"], "one", actor, key)).await;
    }
    for (page, key) in [("two", "c4"), ("two", "c5"), ("three", "c6"), ("four", "c7")] {
        server.trigger("comments", comment(&["idle"], page, "Ann", key)).await;
    }
    server.cancel("comments", json!({"cancellation_key": "c7"})).await;
    server.advance("15m").await;
    let mut idle = items(&server, "idle", IN_APP_FEED).await;
    idle.sort();
    assert_eq!(idle.len(), 3, "{idle:?}");
    assert_contains(&idle[0].0, &["<strong>Ann Doe</strong> left 2 comments on Page two"]);
    assert_contains(
        &idle[1].0,
        &["<strong>Ann Doe</strong> left a comment on <strong>Page three</strong>", "Looks good."],
    );
    assert_contains(&idle[2].0, &["Ann Doe, Bo Doe, and 1 others commented on your page."]);
    assert_eq!(idle[1].1.as_deref(), Some("https://app.example/pages/three"));
    let page = server.get(&format!("/v1/users/eager/feeds/{IN_APP_FEED}")).await.json();
    let item = page["entries"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(server.put(&format!("/v1/messages/{item}/seen"), json!({})).await.status, 200);
    assert!(smtp.mails().is_empty());
    server.advance("60m").await;
    let mails = since(&smtp, 0);
    let told: Vec<_> = mails.iter().map(|mail| (mail.to.as_str(), mail.subject.as_str())).collect();
    let subjects = ["New activity on Page one", "New activity on Page three", "New activity on Page two"];
    assert_eq!(told, subjects.map(|subject| ("idle@acme.test", subject)));
    assert_contains(&mails[0].text, &["Ann Doe, Bo Doe, and 1 others commented", "View comments ("]);
    assert_contains(&mails[1].text, &["Ann Doe left a comment on Page three. > Looks good. View comment ("]);
    assert_contains(&mails[2].text, &["Ann Doe left 2 comments on Page two."]);
    assert_contains(&mails[1].html, &["<blockquote", "href=\"https://app.example/pages/three\""]);

    // What became of the email to who has seen them, and of the pushes, is told where one looks for it.
    let mut command = belfry(&server.setup.path(""), &["runs", "show", &opener]);
    command.env("BELFRY_URL", &server.url).env("BELFRY_API_KEY", SECRET);
    let (code, shown, stderr) = run(command).await;
    assert_eq!(code, 0, "{stderr}");
    let no_push = "push_1         no message: skipped: this version has no channels of type push";
    assert_eq!(shown.matches(no_push).count(), 2, "{shown}");
    assert_eq!(shown.matches("email_1        no message: skipped:").count(), 1, "{shown}");
    assert!(
        shown.contains("no: refs.in_app_feed_1.status is \"seen\", asked is less_than \"$message.seen\""),
        "{shown}"
    );
}
