//! Disks that are full, limited, read-only or damaged: what was answered is there, and the server says what it cannot do.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use futures_util::StreamExt;
use reqwest::Method;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::server::{DEADLINE, FEED, SECRET, Setup, TestServer, run};

/// Make room or repair it, and start again.
const TRY_LATER: i32 = 75;
/// How far the file may grow.
const ROOM: u64 = 6 << 20;
/// Another start will not help.
const DAMAGED: i32 = 65;

/// A small disk of its own, where this process may mount one.
struct Volume(TempDir);

impl Volume {
    async fn mount(options: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        let mounted = quietly("mount", &["-t", "tmpfs", "-o", options, "belfry-test", path]).await;
        mounted.then(|| Self(folder))
    }

    async fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        assert!(quietly("mount", &["-o", &options, self.0.path().to_str().unwrap()]).await);
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // Lazily: a server that a failed test left behind may still have a file open.
        drop(std::process::Command::new("umount").arg("-l").arg(self.0.path()).status());
    }
}

async fn quietly(program: &str, arguments: &[&str]) -> bool {
    let output = Command::new(program).args(arguments).output().await;
    output.is_ok_and(|output| output.status.success())
}

fn on(folder: &Path) -> Setup {
    Setup::new().set("server.data_dir", folder.join("data").to_str().unwrap())
}

fn file(folder: &Path) -> PathBuf {
    folder.join("data/belfry.redb")
}

/// Triggers with much data until the disk has had enough; answers who was accepted.
async fn fill(server: &mut TestServer) -> Vec<String> {
    let body = |to: &str| json!({"recipients": [to], "data": {"text": "x".repeat(60_000)}}).to_string();
    let path = "/v1/workflows/both/trigger";
    let calls = futures_util::stream::iter(0..4_000).map(|number| format!("u{number}@x.test")).map(async |to| {
        let reply = server.send(Method::POST, path, SECRET, &[], Some(body(&to))).await;
        reply.is_ok_and(|reply| reply.status == 200).then_some(to)
    });
    // Ends with the first that was not accepted; what was sent beside it is in doubt.
    let accepted = calls.buffered(4).take_while(|to| futures_util::future::ready(to.is_some()));
    let accepted: Vec<String> = accepted.filter_map(futures_util::future::ready).collect().await;
    let code = server.process.exit().await.code();
    let said = server.process.stderr();
    assert_eq!(code, Some(TRY_LATER), "{said}");
    assert!(said.contains("belfry: the disk failed: ") && said.contains("Make room"), "{said}");
    accepted
}

async fn check(server: &TestServer, accepted: &[String]) {
    server.settle().await;
    for user in accepted {
        assert_eq!(server.feed(user).await["meta"]["total_count"], 1, "the item of {user}");
    }
}

/// Starts it, and answers whether it gave up by itself, saying that there is no room.
async fn gives_up(setup: &Setup) -> bool {
    let Ok(output) = tokio::time::timeout(Duration::from_secs(3), setup.command().output()).await else { return false };
    let output = output.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(TRY_LATER), "{said}");
    assert!(said.contains("No space left on device"), "{said}");
    true
}

pub async fn a_full_disk_ends_it_cleanly_and_the_file_opens_when_there_is_room() {
    let Some(volume) = Volume::mount("size=6m").await else {
        return println!("skipped: nobody but root may mount a small disk; the next test limits the file instead");
    };
    let mut server = on(volume.0.path()).start().await;
    let accepted = fill(&mut server).await;
    println!("{} triggers were accepted before the disk was full", accepted.len());
    assert!(accepted.len() > 5, "it was full too soon");
    let gave_up = gives_up(&server.setup).await;
    println!("while it is full, it {}", if gave_up { "says so and ends" } else { "starts" });
    volume.remount("size=200m").await;
    server.restart().await;
    check(&server, &accepted).await;
}

pub async fn a_file_that_may_not_grow_ends_it_cleanly_and_opens_when_it_may() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = on(folder.path()).start().await;
    let limit = format!("--fsize={}", fs::metadata(file(folder.path())).unwrap().len() + ROOM);
    assert!(quietly("prlimit", &["--pid", &server.process.id(), &limit]).await, "prlimit is part of util-linux");
    let accepted = fill(&mut server).await;
    assert!(!accepted.is_empty());
    server.restart().await;
    check(&server, &accepted).await;
}

/// Checks that it does not start, and says of `path` what it must.
async fn is_refused(setup: &Setup, code: i32, path: &Path, text: &str) {
    let (found, _, said) = run(setup.command()).await;
    let last = said.lines().last().unwrap_or_default();
    assert_eq!(found, code, "{said}");
    assert!(last.starts_with("belfry: ") && last.contains(path.to_str().unwrap()) && last.contains(text), "{said}");
}

pub async fn a_data_folder_that_cannot_be_written_is_refused_and_works_when_it_can() {
    let Some(volume) = Volume::mount("size=60m").await else {
        return println!("skipped: only root may mount a disk that is read-only");
    };
    let data = volume.0.path().join("data");
    volume.remount("ro").await;
    let empty = on(volume.0.path());
    is_refused(&empty, TRY_LATER, &data, "cannot be written").await;
    volume.remount("rw").await;
    let mut server = on(volume.0.path()).start().await;
    server.trigger("both", json!({"recipients": ["a@x.test"]})).await;
    server.process.signal("-TERM").await;
    assert_eq!(server.process.exit().await.code(), Some(0));
    volume.remount("ro").await;
    is_refused(&server.setup, TRY_LATER, &data, "cannot be written").await;
    volume.remount("rw").await;
    server.restart().await;
    check(&server, &["a@x.test".to_owned()]).await;
}

pub async fn a_first_start_that_is_killed_leaves_a_folder_that_opens() {
    for pause in (0..60).step_by(10) {
        let folder = tempfile::tempdir().unwrap();
        let setup = on(folder.path());
        let mut child = setup.command().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        belfry::base::clock::sleep(Duration::from_millis(pause)).await;
        child.kill().await.unwrap();
        let server = tokio::time::timeout(DEADLINE, setup.start()).await.unwrap();
        server.trigger("both", json!({"recipients": ["a@x.test"]})).await;
        check(&server, &["a@x.test".to_owned()]).await;
    }
}

/// Wherever a copy of a recipient's id lies in the file, a letter of it is changed: nobody may be told or sent that.
pub async fn a_damaged_record_is_named_and_never_read_as_another() {
    const WHO: &str = "ann-of-the-seven@x.test";
    const OTHER: &str = "ann-of-the-eeven@x.test";
    let mut server = Setup::new().start().await;
    for workflow in ["later", "both"] {
        server.trigger(workflow, json!({"recipients": [WHO]})).await;
    }
    server.settle().await;
    server.process.signal("-TERM").await;
    assert_eq!(server.process.exit().await.code(), Some(0));
    let path = server.setup.path("data/belfry.redb");
    let whole = fs::read(&path).unwrap();
    let places: Vec<usize> =
        whole.windows(WHO.len()).enumerate().filter(|(_, text)| *text == WHO.as_bytes()).map(|(at, _)| at).collect();
    assert!(places.len() > 5, "{places:?}");
    let (mut at_start, mut later) = (0, 0);
    for at in places {
        let mut bytes = whole.clone();
        bytes[at..at + OTHER.len()].copy_from_slice(OTHER.as_bytes());
        fs::write(&path, &bytes).unwrap();
        let log = server.setup.path("damaged.log");
        let said = fs::File::create(&log).unwrap();
        let mut child = server.setup.command().stdout(Stdio::piped()).stderr(said).spawn().unwrap();
        let first = BufReader::new(child.stdout.take().unwrap()).lines().next_line().await.unwrap();
        let starts = first.is_some();
        if let Some(line) = first {
            server.url = line.strip_prefix("Belfry listens on ").unwrap().to_owned();
            let feed = format!("/v1/users/{WHO}/feeds/{FEED}");
            for path in ["/v1/users", &format!("/v1/users/{WHO}"), &feed, "/v1/messages", "/admin/runs"] {
                let reply = server.send(Method::GET, path, SECRET, &[], None).await;
                assert!(reply.is_ok_and(|reply| !reply.text.contains(OTHER)), "{path} with damage at {at}");
            }
            // The run goes on, if it can be read.
            let body = Some(json!({"by": "25h"}).to_string());
            drop(server.send(Method::POST, "/dev/clock/advance", SECRET, &[], body).await);
            match server.send(Method::GET, "/dev/mailbox", SECRET, &[], None).await {
                Ok(reply) => assert!(!reply.text.contains(OTHER), "mail for somebody else with damage at {at}"),
                Err(_) => later += 1,
            }
            drop(child.start_kill());
        }
        let code = child.wait().await.unwrap().code();
        let said = fs::read_to_string(&log).unwrap();
        if !starts || code == Some(DAMAGED) {
            assert_eq!(code, Some(DAMAGED), "{said}");
            let last = said.lines().last().unwrap_or_default();
            for part in ["belfry: ", "table ", "key ", "checksum", "belfry doctor", "belfry restore"] {
                assert!(last.contains(part), "{part} is not in {said}");
            }
            at_start += usize::from(!starts);
        }
    }
    println!("{at_start} damaged records kept it from starting, {later} ended it when they were read");
    assert!(at_start > 0 && later > 0);
}

pub async fn a_damaged_file_is_refused_and_left_as_it_is() {
    let mut server = Setup::new().start().await;
    let everyone: Vec<String> = (0..20).map(|number| format!("u{number}@x.test")).collect();
    server.trigger("both", json!({"recipients": everyone})).await;
    server.trigger("later", json!({"recipients": everyone})).await;
    server.settle().await;
    server.process.signal("-TERM").await;
    assert_eq!(server.process.exit().await.code(), Some(0));
    let path = server.setup.path("data/belfry.redb");
    let whole = fs::read(&path).unwrap();
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x40;
        bytes
    };
    let used = whole.chunks(4_096).enumerate().filter(|(_, page)| page.iter().any(|byte| *byte != 0));
    let pages: Vec<usize> = used.map(|(number, _)| number * 4_096).collect();
    // The magic, the layout, a commit slot, and pages from everywhere; then files that end too early.
    let flips = [0, 13, 20, 70].into_iter().chain(pages.iter().step_by(pages.len() / 12 + 1).map(|page| page + 3));
    let cuts = [whole.len() - 1, whole.len() / 2, 100, 0].map(|len| whole[..len].to_vec());
    let (mut refused, mut tried) = (0, 0);
    for bytes in flips.map(flipped).chain(cuts) {
        fs::write(&path, &bytes).unwrap();
        tried += 1;
        let log = server.setup.path("damaged.log");
        let said = fs::File::create(&log).unwrap();
        let mut child = server.setup.command().stdout(Stdio::piped()).stderr(said).spawn().unwrap();
        let mut printed = BufReader::new(child.stdout.take().unwrap()).lines();
        if let Some(line) = printed.next_line().await.unwrap() {
            // What was damaged is not read at the start. Whoever reads it is told; to nobody it looks empty.
            server.url = line.strip_prefix("Belfry listens on ").unwrap().to_owned();
            assert_eq!(server.metric("belfry_runs_parked", "").await, 20);
            for user in &everyone {
                let path = format!("/v1/users/{user}/feeds/{FEED}");
                let reply = server.send(Method::GET, &path, SECRET, &[], None).await;
                let feed = reply.ok().filter(|reply| reply.status == 200);
                assert!(feed.is_none_or(|reply| reply.json()["meta"]["total_count"] == 1), "the feed of {user}");
            }
            child.kill().await.unwrap();
        } else {
            let code = child.wait().await.unwrap().code();
            let said = fs::read_to_string(&log).unwrap();
            assert_eq!(code, Some(DAMAGED), "{said}");
            let last = said.lines().last().unwrap_or_default();
            assert!(last.starts_with("belfry: ") && last.contains("restore a backup"), "{said}");
            // Opening marks the file as open, in its head; what it holds stays.
            let left = fs::read(&path).unwrap();
            assert!(
                left.len() == bytes.len() && left.iter().skip(4_096).eq(bytes.iter().skip(4_096)),
                "it was changed"
            );
            refused += 1;
        }
    }
    println!("{refused} of {tried} damaged files were refused; the others miss nothing");
    assert!(refused >= 7);
    fs::write(&path, &whole).unwrap();
    server.restart().await;
    check(&server, &everyone).await;
}
