//! `belfry demo`: the main job, played against a fresh server in a folder of its own, three days in a moment.

use anyhow::{Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};

use super::client::{Client, segment};
use super::console::say_line;
use super::server::{self, Workflows};
use crate::base::clock::Timestamp;
use crate::base::config::{Config, Secret};

const INVITED: &str = "dr@grant.test";
const CANCELLED: &str = "dr@malcolm.test";
const MEMBERS: [&str; 2] = ["hammond", "dr@sattler.test"];

/// Plays the story and prints its timeline; fails when anything went otherwise than it should.
pub async fn demo(mut config: Config) -> Result<()> {
    let folder = tempfile::tempdir()?;
    config.server.data_dir = folder.path().join("data");
    config.server.listen = ([127, 0, 0, 1], 0).into();
    config.auth.secret_keys = vec![Secret::new("sk_test_demo")];
    config.auth.public_keys = vec!["pk_test_demo".into()];
    let feed = config.channels.iter().find(|channel| channel.key == "in-app").map(|channel| channel.id);
    let running = server::start(&config, Workflows::Starters).await?;
    let client = Client::new(&running.url, "sk_test_demo")?;
    say_line!("A fresh server in a folder of its own. Mail is captured, and its clock can be advanced.\n");
    let feed = feed.map(|id| id.to_string()).unwrap_or_default();
    let played = play(&client, &feed).await;
    running.stop().await;
    played
}

/// One line of the timeline.
struct Line {
    at: Timestamp,
    what: &'static str,
    who: String,
    text: String,
}

async fn play(client: &Client, feed: &str) -> Result<()> {
    let start = now(client).await?;
    client
        .call(Method::PUT, "/v1/users/hammond", Some(&json!({"name": "John Hammond", "email": "john@ingen.test"})))
        .await?;
    client.call(Method::PUT, "/v1/users/dr@sattler.test", Some(&json!({"name": "Ellie Sattler"}))).await?;
    let mut lines = Vec::new();

    for (invited, key) in [(INVITED, "invite-grant"), (CANCELLED, "invite-malcolm")] {
        let body = json!({
            "actor": "hammond",
            "recipients": [invited],
            "cancellation_key": key,
            "data": {"inviteToken": format!("token-{key}")},
        });
        client.trigger("account-invite", &body).await?;
        lines.push(Line { at: start, what: "triggered", who: invited.into(), text: "account-invite".into() });
    }
    advance(client, "1d").await?;

    // One accepts on the second day: the reminder is called off, and the members hear of it.
    let outcome = client.cancel("account-invite", &json!({"cancellation_key": "invite-malcolm"})).await?;
    ensure!(outcome.contains("cancelled=1"), "the cancel should have ended one run, and answered {outcome}");
    let at = now(client).await?;
    lines.push(Line {
        at,
        what: "cancelled",
        who: CANCELLED.into(),
        text: "the reminder that was due on day 3".into(),
    });
    let accepted = json!({"actor": {"id": CANCELLED, "name": "Ian Malcolm"}, "recipients": MEMBERS});
    client.trigger("account-invite-accepted", &accepted).await?;
    client.trigger("welcome-to-knock", &json!({"recipients": [CANCELLED]})).await?;
    advance(client, "2d").await?;

    let mailbox = client.call(Method::GET, "/dev/mailbox", None).await?;
    let mails: Vec<&Value> = mailbox["entries"].as_array().map(|all| all.iter().collect()).unwrap_or_default();
    for mail in &mails {
        let text = |key: &str| mail[key].as_str().unwrap_or_default().to_owned();
        lines.push(Line { at: instant(&mail["at"])?, what: "email", who: text("to"), text: text("subject") });
    }
    for user in MEMBERS.iter().chain([&CANCELLED]) {
        let path = format!("/v1/users/{}/feeds/{feed}", segment(user));
        let page = client.call(Method::GET, &path, None).await?;
        let unread = page["meta"]["unread_count"].as_u64().unwrap_or_default();
        ensure!(unread == 1, "the feed of {user} should have one unread item, and has {unread}");
        for item in page["entries"].as_array().into_iter().flatten() {
            let at = instant(&item["inserted_at"])?;
            let text = plain(item["blocks"][0]["rendered"].as_str().unwrap_or_default());
            lines.push(Line { at, what: "in-app", who: (*user).to_owned(), text: format!("{text} (badge: {unread})") });
        }
    }
    print(start, &mut lines);
    check(&mails, start)
}

/// What must be true at the end, or the demo has failed.
fn check(mails: &[&Value], start: Timestamp) -> Result<()> {
    let to = |who: &str, step: &str| {
        let found = mails.iter().filter(|mail| mail["to"] == who && mail["step_ref"] == step);
        found.filter(|mail| mail["workflow"] == "account-invite").collect::<Vec<_>>()
    };
    ensure!(to(INVITED, "email_1").len() == 1, "{INVITED} should have been invited once");
    let reminders = to(INVITED, "email_2");
    ensure!(reminders.len() == 1, "{INVITED} should have been reminded once, and was {} times", reminders.len());
    let at = instant(&reminders[0]["at"])?;
    let days = at.since(start).as_secs_f64() / 86_400.0;
    ensure!((3.0..3.01).contains(&days), "the reminder should have come after three days, and came after {days:.3}");
    ensure!(
        reminders[0]["text"].as_str().is_some_and(|text| text.contains("token-invite-grant")),
        "the reminder should carry the invitation's token"
    );
    ensure!(to(CANCELLED, "email_1").len() == 1, "{CANCELLED} should have been invited once");
    ensure!(to(CANCELLED, "email_2").is_empty(), "{CANCELLED} should not have been reminded after the cancel");
    say_line!("\nAs it should be: one reminder after three days, none after the cancel, every badge exact.");
    say_line!("Start your own with `belfry dev`.");
    Ok(())
}

async fn now(client: &Client) -> Result<Timestamp> {
    let clock = client.call(Method::GET, "/dev/clock", None).await?;
    instant(&clock["now"])
}

async fn advance(client: &Client, by: &str) -> Result<()> {
    // What was just triggered happens before the clock moves.
    client.call(Method::POST, "/dev/clock/advance", Some(&json!({"by": by}))).await?;
    Ok(())
}

fn print(start: Timestamp, lines: &mut [Line]) {
    lines.sort_by_key(|line| line.at);
    let width = lines.iter().map(|line| line.who.len()).max().unwrap_or_default();
    for line in lines {
        let minutes = line.at.since(start).as_secs() / 60;
        let (day, hour, minute) = (minutes / 1_440, minutes / 60 % 24, minutes % 60);
        say_line!("day {day}  {hour:02}:{minute:02}  {:<10} {:<width$}  {}", line.what, line.who, line.text);
    }
}

/// HTML as the words in it.
fn plain(html: &str) -> String {
    let mut text = String::new();
    let mut in_tag = false;
    for c in html.chars() {
        match c {
            '<' => in_tag = true,
            '>' => in_tag = false,
            '\n' => text.push(' '),
            c if !in_tag => text.push(c),
            _ => {}
        }
    }
    text.trim().to_owned()
}

fn instant(value: &Value) -> Result<Timestamp> {
    Ok(serde_json::from_value(value.clone())?)
}
