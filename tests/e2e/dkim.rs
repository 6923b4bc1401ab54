//! DKIM from outside: what is published, what is signed, and keys that are none. That a signature holds is for another's
//! verifier to say: `tests/sdk/dkim.test.js`.

use std::fs;

use serde_json::json;

use crate::server::{Setup, belfry, email, run};
use crate::smtp::SmtpServer;

/// An Ed25519 key as openssl writes it.
const KEY: &str = "-----BEGIN PRIVATE KEY-----\n\
                   MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
                   -----END PRIVATE KEY-----\n";

fn signing(setup: Setup) -> Setup {
    setup.set_email("dkim_selector", "belfry").set_email("dkim_private_key", "dkim.pem")
}

#[tokio::test]
async fn mail_is_signed_alike_over_retries_and_the_record_to_publish_is_printed() {
    let smtp = SmtpServer::start();
    let setup = signing(Setup::new().smtp(&smtp));
    fs::write(setup.path("dkim.pem"), KEY).unwrap();
    let server = setup.start().await;
    server.trigger("note", json!({"recipients": ["ann@x.test"]})).await;
    server.settle().await;
    let mail = smtp.mails().pop().unwrap();
    assert_eq!(mail.headers()[0].0, "DKIM-Signature", "it goes before all that it signs");
    let signature = mail.header("DKIM-Signature");
    assert!(signature.contains("a=ed25519-sha256; c=relaxed/relaxed; d=acme.test; s=belfry;"), "{signature}");
    let (code, printed, _) = run(belfry(&server.setup.path(""), &["config", "check"])).await;
    let record =
        "# belfry._domainkey.acme.test. IN TXT \"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\"";
    assert!(code == 0 && printed.contains(record), "{printed}");
    assert!(toml::from_str::<toml::Table>(&printed).is_ok(), "it is still a configuration");
}

#[tokio::test]
async fn a_key_that_cannot_be_used_is_named_before_anything_starts() {
    let setup = signing(Setup::new());
    drop(setup.command());
    let place = "channel `email`: dkim_private_key: dkim.pem";
    for (content, problem) in [(None, "cannot be read"), (Some("no key"), "is not a private key in PEM form")] {
        if let Some(content) = content {
            fs::write(setup.path("dkim.pem"), content).unwrap();
        }
        for arguments in [&["config", "check"][..], &["serve"], &["doctor", "--no-network"]] {
            let (code, said, complaint) = run(belfry(&setup.path(""), arguments)).await;
            assert_eq!(code, 1, "{arguments:?}: {said}{complaint}");
            let all = format!("{said}{complaint}");
            assert!(all.contains(place) && all.contains(problem), "{arguments:?}: {all}");
        }
    }
    let setup = signing(Setup::new()).set_email("dkim_domain", "elsewhere.test");
    drop(setup.command());
    let (code, _, complaint) = run(belfry(&setup.path(""), &["config", "check"])).await;
    assert!(code == 1 && complaint.contains("dkim_domain: not the domain of `from`"), "{complaint}");
}

#[tokio::test]
async fn mail_from_another_domain_is_signed_with_its_key_or_not_at_all() {
    let smtp = SmtpServer::start();
    let mut elsewhere = email("Elsewhere");
    elsewhere["channel_overrides"] = json!({"from_address": "{{sender}}"});
    let others: toml::Value = toml::from_str::<toml::Table>(
        "x = [{domain = \"other.test\", selector = \"two\", private_key = \"dkim.pem\"}]",
    )
    .unwrap()["x"]
        .clone();
    let setup = signing(Setup::new().smtp(&smtp)).set_email("dkim_others", others).workflow("elsewhere", &[elsewhere]);
    fs::write(setup.path("dkim.pem"), KEY).unwrap();
    let server = setup.start().await;
    let mut signed = Vec::new();
    for sender in ["a@other.test", "a@News.Other.test", "a@acme.test", "a@mail.acme.test", "a@third.test"] {
        let data = json!({"recipients": ["ann@x.test"], "data": {"sender": sender}});
        let run = server.trigger("elsewhere", data).await;
        server.settle().await;
        let mail = smtp.mails().pop().unwrap();
        assert_eq!(mail.header("From"), sender);
        let signature = mail.headers().into_iter().find(|(name, _)| name == "DKIM-Signature");
        let by = signature.map(|(_, value)| {
            let tags = value.split("; ").filter(|tag| tag.starts_with("d=") || tag.starts_with("s="));
            tags.collect::<Vec<_>>().join(" ")
        });
        signed.push(by.unwrap_or_default());
        let message = server.get(&format!("/v1/messages?workflow_run_id={run}")).await.json()["items"][0].clone();
        let path = format!("/v1/messages/{}/delivery_logs", message["id"].as_str().unwrap());
        let told =
            server.get(&path).await.text.contains("not signed: the channel has no DKIM key for mail from third.test");
        assert_eq!(told, sender == "a@third.test");
    }
    let [own, other] = ["d=acme.test s=belfry", "d=other.test s=two"];
    assert_eq!(signed, [other, other, own, own, ""]);
    let (code, printed, _) = run(belfry(&server.setup.path(""), &["config", "check"])).await;
    assert!(code == 0 && printed.contains("# two._domainkey.other.test. IN TXT"), "{printed}");
    let log = server.process.stderr();
    let line = log.lines().find(|line| line.contains("no DKIM key for mail from third.test")).unwrap();
    assert!(line.contains(" message_id="), "a field `message` would hide in JSON what is said: {line}");
}

#[tokio::test]
async fn a_step_that_sends_from_a_domain_without_a_key_is_named_before_it_does() {
    let steps = ["Third <a@third.test>", "a@mail.acme.test", "{{sender}}"].map(|address| {
        let mut step = email("Elsewhere");
        step["channel_overrides"] = json!({"from_address": address});
        step
    });
    let setup = signing(Setup::new()).workflow("elsewhere", &steps);
    fs::write(setup.path("dkim.pem"), KEY).unwrap();
    drop(setup.command());
    for arguments in [&["config", "check"][..], &["doctor", "--no-network"]] {
        let (_, said, _) = run(belfry(&setup.path(""), arguments)).await;
        let told: Vec<&str> = said.lines().filter(|line| line.contains("no DKIM key")).collect();
        let [line] = told[..] else { panic!("{arguments:?}: {said}") };
        let place = "elsewhere/workflow.json steps[0].channel_overrides.from_address: ";
        assert!(line.contains(place) && line.contains("mail from third.test"), "{line}");
        let is_comment = line.starts_with("# ") || line.starts_with("warn");
        assert!(is_comment, "{line}");
    }
}

#[tokio::test]
async fn a_channel_without_keys_signs_nothing_and_names_no_step() {
    let mut elsewhere = email("Elsewhere");
    elsewhere["channel_overrides"] = json!({"from_address": "a@third.test"});
    let setup = Setup::new().workflow("elsewhere", &[elsewhere]);
    drop(setup.command());
    let (code, said, _) = run(belfry(&setup.path(""), &["config", "check"])).await;
    assert!(code == 0 && !said.contains("DKIM"), "{said}");
}
