//! Backups of a server that runs, and what comes of them elsewhere.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Mutex;

use futures_util::future::join_all;
use serde_json::json;

use crate::server::{PUBLIC, SECRET, Setup, TestServer, belfry, run};
use crate::smtp::SmtpServer;

/// Runs a command in the server's folder, with its address and key.
async fn command(server: &TestServer, arguments: &[&str]) -> Result<String, String> {
    let mut command = belfry(&server.setup.path(""), arguments);
    command.env("BELFRY_URL", &server.url).env("BELFRY_API_KEY", SECRET);
    let (code, stdout, stderr) = run(command).await;
    if code == 0 { Ok(stdout) } else { Err(stderr) }
}

/// The same in a folder whose server does not run.
async fn at_rest(setup: &Setup, arguments: &[&str]) -> Result<String, String> {
    let (code, stdout, stderr) = run(belfry(&setup.path(""), arguments)).await;
    if code == 0 { Ok(stdout) } else { Err(stderr) }
}

#[tokio::test]
async fn a_backup_under_load_has_every_run_that_was_acknowledged_before_it_and_they_go_on() {
    let smtp = SmtpServer::start();
    let mut server = Setup::new().smtp(&smtp).start().await;
    let acknowledged = Mutex::new(BTreeSet::new());
    server.trigger("later", json!({"recipients": ["cancelled@x.test"], "cancellation_key": "k"})).await;
    server.cancel("later", json!({"cancellation_key": "k"})).await;
    let load = join_all((0..6).map(|client| {
        let (server, acknowledged) = (&server, &acknowledged);
        async move {
            for number in 0.. {
                let to = format!("u{client}-{number}@x.test");
                server.trigger("later", json!({"recipients": [to], "data": {"text": "x".repeat(500)}})).await;
                acknowledged.lock().unwrap().insert(to);
            }
        }
    }));
    let back_up = async {
        while acknowledged.lock().unwrap().len() < 200 {
            tokio::task::yield_now().await;
        }
        let before = acknowledged.lock().unwrap().clone();
        let said = command(&server, &["backup", "belfry.backup"]).await.unwrap();
        (before, said)
    };
    let (before, said) = tokio::select! {
        done = back_up => done,
        _ = load => unreachable!("the load never ends"),
    };
    assert!(said.starts_with("belfry.backup: ") && said.contains("runs that wait"), "{said}");
    assert!(acknowledged.lock().unwrap().len() > before.len(), "nothing was written meanwhile");
    server.kill_9().await;
    // Only the owner reads what is in it, and beside the data nothing is left.
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(fs::metadata(server.setup.path("belfry.backup")).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(files(&server.setup, "data"), ["belfry.lock", "belfry.redb"]);

    at_rest(&server.setup, &["restore", "belfry.backup", "--data-dir", "elsewhere"]).await.unwrap();
    server.setup = server.setup.set("server.data_dir", "elsewhere");
    server.restart().await;
    server.advance("1d1m").await;
    let got: BTreeSet<String> = smtp.mails().into_iter().map(|mail| mail.to).collect();
    let lost: Vec<_> = before.difference(&got).collect();
    assert!(lost.is_empty(), "{} are lost: {lost:?}", lost.len());
    assert!(!got.contains("cancelled@x.test"));
    assert_eq!(got.len(), smtp.mails().len(), "each goes on once");
}

fn files(setup: &Setup, folder: &str) -> Vec<String> {
    let entries = fs::read_dir(setup.path(folder)).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = entries.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn nothing_is_overwritten_unasked_and_nothing_is_restored_under_a_server() {
    let mut server = Setup::new().start().await;
    server.trigger("later", json!({"recipients": ["first@x.test"]})).await;
    command(&server, &["backup", "b"]).await.unwrap();
    let refused = command(&server, &["backup", "b"]).await.unwrap_err();
    assert!(refused.contains("b exists already") && refused.contains("--force"), "{refused}");
    server.trigger("later", json!({"recipients": ["second@x.test"]})).await;
    command(&server, &["backup", "b", "--force"]).await.unwrap();
    let in_use = command(&server, &["restore", "b", "--force"]).await.unwrap_err();
    assert!(in_use.contains("is in use by another Belfry"), "{in_use}");
    let reply = server.send(reqwest::Method::GET, "/admin/backup", PUBLIC, &[], None).await.unwrap();
    reply.assert_error(403, "incorrect_token_type");

    server.trigger("later", json!({"recipients": ["third@x.test"]})).await;
    server.process.signal("-TERM").await;
    assert!(server.process.exit().await.success());
    let exists = at_rest(&server.setup, &["restore", "b"]).await.unwrap_err();
    assert!(exists.contains("there is a data file") && exists.contains("--force"), "{exists}");
    let said = at_rest(&server.setup, &["restore", "b", "--force"]).await.unwrap();
    assert!(said.contains("2 runs that wait") && said.contains("What was there is now data/belfry.redb.replaced-"));
    let kept = files(&server.setup, "data").into_iter().find(|name| name.contains("replaced")).unwrap();
    server.restart().await;
    server.advance("1d1m").await;
    assert_eq!(server.mailbox().await.len(), 2, "the third was triggered after the backup");
    server.process.signal("-TERM").await;
    assert!(server.process.exit().await.success());
    // What was put aside is whole: it can be restored too.
    let kept = format!("data/{kept}");
    let said = at_rest(&server.setup, &["restore", &kept, "--data-dir", "third"]).await.unwrap();
    assert!(said.contains("3 runs that wait"), "{said}");
}

#[tokio::test]
async fn a_damaged_backup_is_refused_and_leaves_what_is_there_as_it_is() {
    let mut server = Setup::new().start().await;
    let everyone: Vec<String> = (0..300).map(|n| format!("u{n}@x.test")).collect();
    server.trigger("later", json!({"recipients": everyone, "data": {"text": "x".repeat(5_000)}})).await;
    server.process.signal("-TERM").await;
    assert!(server.process.exit().await.success());
    let setup = &server.setup;
    at_rest(setup, &["backup", "whole"]).await.unwrap();
    let whole = fs::read(setup.path("whole")).unwrap();
    let data = fs::read(setup.path("data/belfry.redb")).unwrap();
    let at = whole.windows(9).position(|bytes| bytes == b"@x.test\0\0" || bytes.starts_with(b"u150@x.te")).unwrap();
    let mut flipped = whole.clone();
    flipped[at] ^= 0x20;
    for (damage, bytes) in [
        ("truncated", &whole[..whole.len() / 2]),
        ("empty", &[]),
        ("another file", b"PK\x03\x04 this is an archive"),
        ("one flipped byte", &flipped),
    ] {
        fs::write(setup.path("damaged"), bytes).unwrap();
        let refused = at_rest(setup, &["restore", "damaged", "--force"]).await.unwrap_err();
        assert!(refused.contains("damaged is not a backup that can be restored"), "{damage}: {refused}");
        assert!(!refused.contains("RUST_BACKTRACE"), "{damage}: {refused}");
        assert!(fs::read(setup.path("data/belfry.redb")).unwrap() == data, "{damage}: the data file changed");
        assert_eq!(files(setup, "data"), ["belfry.lock", "belfry.redb"], "{damage}");
        assert!(fs::read(setup.path("damaged")).unwrap() == bytes, "{damage}: the backup changed");
    }
    let missing = at_rest(setup, &["restore", "nowhere", "--force"]).await.unwrap_err();
    assert!(missing.contains("nowhere cannot be copied"), "{missing}");
}

#[tokio::test]
async fn a_compacted_file_is_no_larger_and_holds_the_same() {
    let mut server = Setup::new().start().await;
    let everyone: Vec<String> = (0..500).map(|n| format!("u{n}@x.test")).collect();
    server.trigger("later", json!({"recipients": everyone})).await;
    let in_use = command(&server, &["compact"]).await.unwrap_err();
    assert!(in_use.contains("is in use by another Belfry"), "{in_use}");
    server.process.signal("-TERM").await;
    assert!(server.process.exit().await.success());
    let size = || fs::metadata(server.setup.path("data/belfry.redb")).unwrap().len();
    let before = size();
    let said = at_rest(&server.setup, &["compact"]).await.unwrap();
    assert!(said.starts_with(&format!("{before} bytes before, {} after", size())) && size() <= before, "{said}");
    server.restart().await;
    server.advance("1d1m").await;
    assert_eq!(server.mailbox().await.len(), 500);
    let nowhere = at_rest(&server.setup, &["compact", "--data-dir", "nowhere"]).await.unwrap_err();
    assert!(
        nowhere.contains("there is no data file in nowhere") && !server.setup.path("nowhere").exists(),
        "{nowhere}"
    );
}
