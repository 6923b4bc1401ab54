//! The main job, over real SMTP.

use serde_json::json;

use crate::server::Setup;
use crate::smtp::SmtpServer;

#[tokio::test]
async fn an_invite_is_followed_by_its_reminder_after_three_days_unless_it_was_accepted() {
    let smtp = SmtpServer::start();
    let server = Setup::new().smtp(&smtp).start().await;
    server.put("/v1/users/hammond", json!({"name": "John Hammond", "email": "john@ingen.test"})).await;
    for (invited, key) in [("dr@grant.test", "invite-1"), ("dr@malcolm.test", "invite-2")] {
        let data = json!({"inviteToken": format!("token-of-{key}")});
        let body = json!({"actor": "hammond", "recipients": [invited], "cancellation_key": key, "data": data});
        server.trigger("account-invite", body).await;
    }
    let invites = smtp.wait_for(|mails| mails.len() == 2).await;
    for mail in &invites {
        assert_eq!(mail.subject(), "John invited you to join the team");
        assert_eq!(mail.from, "no-reply@acme.test");
        assert_eq!(mail.header("To"), mail.to);
        assert_eq!(mail.header("Auto-Submitted"), "auto-generated");
    }
    assert_ne!(invites[0].message_id(), invites[1].message_id());

    server.advance("1d").await;
    let outcome = server.cancel("account-invite", json!({"cancellation_key": "invite-2"})).await;
    assert_eq!(outcome, "cancelled=1, in_flight=0");
    let accepted = json!({"actor": {"id": "dr@malcolm.test", "name": "Ian Malcolm"}, "recipients": ["hammond"]});
    server.trigger("account-invite-accepted", accepted).await;
    server.settle().await;
    let feed = server.feed("hammond").await;
    assert_eq!(feed["meta"]["unread_count"], 1);
    let item = feed["entries"][0]["blocks"][0]["rendered"].as_str().unwrap();
    assert!(item.contains("<strong>Ian Malcolm</strong> accepted your invite"), "{item}");

    server.advance("1d23h59m").await;
    assert_eq!(smtp.mails().len(), 2, "nothing comes before its time");
    server.advance("2m").await;
    let reminders = smtp.mails().split_off(2);
    assert_eq!(reminders.len(), 1);
    assert_eq!(reminders[0].to, "dr@grant.test");
    assert_eq!(reminders[0].subject(), "Reminder: John is waiting for you to join");
    assert!(reminders[0].body().contains("https://app.example/invite/token-of-invite-1"), "{}", reminders[0].body());
    server.advance("30d").await;
    assert_eq!(smtp.mails().len(), 3);
}

#[tokio::test]
async fn a_cancel_for_some_recipients_spares_the_others() {
    let smtp = SmtpServer::start();
    let server = Setup::new().smtp(&smtp).start().await;
    let everyone = ["a@x.test", "b@x.test", "c@x.test"];
    server.trigger("later", json!({"recipients": everyone, "cancellation_key": "k"})).await;
    server.trigger("later", json!({"recipients": ["a@x.test"], "cancellation_key": "other"})).await;
    server.trigger("reminder", json!({"recipients": ["a@x.test"], "cancellation_key": "k"})).await;
    let outcome =
        server.cancel("later", json!({"cancellation_key": "k", "recipients": ["a@x.test", "c@x.test"]})).await;
    assert_eq!(outcome, "cancelled=2, in_flight=0");
    server.advance("4d").await;
    let mut got: Vec<String> = smtp.mails().iter().map(|mail| format!("{} {}", mail.to, mail.subject())).collect();
    got.sort();
    // The same key of another workflow and another key of the same workflow are others.
    assert_eq!(got, ["a@x.test First", "a@x.test Later", "a@x.test Second", "b@x.test Later"]);
}

#[tokio::test]
async fn a_cancel_that_finds_nothing_says_so_and_touches_no_later_run() {
    let smtp = SmtpServer::start();
    let server = Setup::new().smtp(&smtp).start().await;
    assert_eq!(server.cancel("later", json!({"cancellation_key": "k"})).await, "cancelled=0, in_flight=0");
    server.trigger("later", json!({"recipients": ["a@x.test"], "cancellation_key": "k"})).await;
    server.advance("1d").await;
    assert_eq!(smtp.mails().len(), 1);
    assert_eq!(server.cancel("later", json!({"cancellation_key": "k"})).await, "cancelled=0, in_flight=0");
}

#[tokio::test]
async fn a_cancel_right_after_its_trigger_always_holds() {
    let smtp = SmtpServer::start();
    let server = Setup::new().smtp(&smtp).start().await;
    for n in 0..30 {
        let to = format!("u{n}@x.test");
        server.trigger("later", json!({"recipients": [to], "cancellation_key": to})).await;
        assert_eq!(server.cancel("later", json!({"cancellation_key": to})).await, "cancelled=1, in_flight=0");
    }
    server.advance("2d").await;
    assert_eq!(smtp.mails(), []);
}

#[tokio::test]
async fn advancing_by_a_delay_right_after_the_trigger_ends_that_delay() {
    let server = Setup::new().start().await;
    let everyone: Vec<String> = (0..50).map(|n| format!("u{n}@x.test")).collect();
    for round in 1..=3 {
        server.trigger("reminder", json!({"recipients": everyone})).await;
        server.advance("3d").await;
        assert_eq!(server.mailbox().await.len(), round * 100);
    }
}
