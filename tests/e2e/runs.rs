//! `belfry runs list` and `show`, and the API behind them: what waits for what until when, and what became of it.

use serde_json::{Value, json};

use crate::server::{PUBLIC, SECRET, Setup, TestServer, belfry, run};

/// `belfry runs list --pending` in the server's folder; what it printed, and what it said of the rest.
async fn list(server: &TestServer, arguments: &[&str]) -> (String, String) {
    let mut command = belfry(&server.setup.path(""), &[&["runs", "list", "--pending"], arguments].concat());
    command.env("BELFRY_URL", &server.url).env("BELFRY_API_KEY", SECRET);
    let (code, stdout, stderr) = run(command).await;
    assert_eq!(code, 0, "{stderr}");
    (stdout, stderr)
}

fn recipients(json_lines: &str) -> Vec<String> {
    let entry = |line: &str| serde_json::from_str::<Value>(line).unwrap()["recipient"].to_string();
    json_lines.lines().map(entry).collect()
}

#[tokio::test]
async fn what_waits_is_listed_with_its_delay_its_due_time_and_the_step_that_follows() {
    let mut server = Setup::new().start().await;
    let team = json!({"collection": "teams", "id": "red"});
    let body = json!({"recipients": ["ann@x.test", team], "tenant": "acme", "cancellation_key": "k"});
    let trigger = server.trigger("reminder", body).await;
    server.trigger("later", json!({"recipients": ["bob@x.test"]})).await;
    server.trigger("note", json!({"recipients": ["done@x.test"]})).await;
    server.advance("1d").await;
    let page = server.get("/admin/runs").await.json();
    let entries = page["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 2, "those of `later` and `note` have ended: {page}");
    let ann = &entries[0];
    assert_eq!((&ann["workflow_run_id"], &ann["workflow"]), (&json!(trigger), &json!("reminder")));
    assert_eq!((&ann["recipient"], &ann["tenant"]), (&json!("ann@x.test"), &json!("acme")));
    assert_eq!((&ann["waits_at"], &ann["next_step"]), (&json!("step_1"), &json!("step_2")));
    assert_eq!(ann["cancellation_key"], "k");
    let left = ann["seconds_left"].as_i64().unwrap();
    assert!((2 * 86_400 - 60..=2 * 86_400).contains(&left), "by the server's clock, two days are left: {ann}");

    let (table, said) = list(&server, &[]).await;
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("RUN") && lines.len() == 3, "{table}");
    assert!(lines[1].contains("ann@x.test") && lines[1].contains("1d 23h") && lines[1].ends_with("step_2"), "{table}");
    assert!(lines[2].contains("teams/red"), "{table}");
    assert_eq!(said, "");
    for (only, found) in [
        (["--recipient", "teams/red"], 1),
        (["--recipient", "nobody"], 0),
        (["--workflow", "reminder"], 2),
        (["--workflow", "later"], 0),
        (["--tenant", "acme"], 2),
        (["--tenant", "other"], 0),
    ] {
        let (json_lines, _) = list(&server, &[&only[..], &["--json"]].concat()).await;
        assert_eq!(json_lines.lines().count(), found, "{only:?}");
    }

    // At rest the same is read from the folder.
    server.process.signal("-TERM").await;
    assert!(server.process.exit().await.success());
    let (code, stdout, stderr) = run(belfry(&server.setup.path(""), &["runs", "list", "--pending"])).await;
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("ann@x.test") && stdout.contains("2d 23h") && stdout.contains("step_2"), "{stdout}");
    // The steps are those of the stored workflow, whatever channels there are now.
    let elsewhere = tempfile::tempdir().unwrap();
    let folder = server.setup.path("data").display().to_string();
    let (code, again, stderr) =
        run(belfry(elsewhere.path(), &["runs", "list", "--pending", "--data-dir", &folder])).await;
    assert_eq!((code, again.lines().count()), (0, 3), "{stderr}");
    assert!(again.contains("step_1") && again.contains("step_2"), "{again}");
}

#[tokio::test]
async fn pages_follow_each_other_without_gap_or_repeat() {
    let server = Setup::new().start().await;
    let everyone: Vec<String> = (0..120).map(|n| format!("u{n}@x.test")).collect();
    server.trigger("later", json!({"recipients": everyone})).await;
    server.settle().await;
    let (mut found, mut after): (_, Option<String>) = (Vec::new(), None);
    loop {
        let mut arguments = vec!["--json", "--limit", "55"];
        arguments.extend(after.iter().flat_map(|run| ["--after", run.as_str()]));
        let (json_lines, said) = list(&server, &arguments).await;
        found.extend(recipients(&json_lines));
        after = said.trim().rsplit_once(' ').map(|(_, run)| run.to_owned());
        if after.is_none() {
            break;
        }
    }
    let expected: Vec<String> = everyone.iter().map(|user| json!(user).to_string()).collect();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn runs_are_for_secret_keys_and_a_wrong_cursor_is_named() {
    let server = Setup::new().start().await;
    let get = async |path: &str, key: &str| server.send(reqwest::Method::GET, path, key, &[], None).await.unwrap();
    get("/admin/runs", "").await.assert_error(401, "authentication_required");
    get("/admin/runs", PUBLIC).await.assert_error(403, "incorrect_token_type");
    let body = get("/admin/runs?after=x&page_size=y", SECRET).await.assert_error(422, "invalid_params");
    assert_eq!(body["errors"].as_array().unwrap().len(), 2, "{body}");
}

/// `belfry runs show` in the server's folder, through the server.
async fn show(server: &TestServer, arguments: &[&str]) -> String {
    let mut command = belfry(&server.setup.path(""), &[&["runs", "show"], arguments].concat());
    command.env("BELFRY_URL", &server.url).env("BELFRY_API_KEY", SECRET);
    let (code, stdout, stderr) = run(command).await;
    assert_eq!(code, 0, "{stderr}");
    stdout
}

#[tokio::test]
async fn a_run_is_shown_with_what_it_sent_what_it_waits_for_and_why_it_sent_nothing() {
    let mut server = Setup::new().start().await;
    let body =
        json!({"recipients": ["ann@x.test", "nobody"], "tenant": "acme", "cancellation_key": "k", "data": {"n": 7}});
    let trigger = server.trigger("reminder", body).await;
    server.settle().await;
    let both = show(&server, &[&trigger]).await;
    let runs: Vec<&str> = both.split("\nRun ").collect();
    assert!(runs.len() == 2 && runs[0].contains(" of reminder for ann@x.test"), "{both}");
    for expected in [
        "cancel key  k",
        "tenant      acme",
        "data        {\"n\":7}",
        "status      paused",
        "subject: First 7",
        "attempt 1 at ",
        "step_1 (delay)",
        "step_0  message: email to ann@x.test, sent",
        "step_2  no message yet: the run waits at step_1 until ",
    ] {
        assert!(runs[0].contains(expected), "{expected}: {both}");
    }
    assert!(runs[1].contains("step_0  no message: skipped: the recipient has no email address"), "{both}");

    server.cancel("reminder", json!({"cancellation_key": "k"})).await;
    let id = runs[1].split(' ').next().unwrap();
    let alone = show(&server, &[id]).await;
    assert!(alone.contains("a cancel call ends the run") && alone.contains("status      cancelled"), "{alone}");
    assert!(alone.contains("step_2  no message: not reached; the run was cancelled"), "{alone}");
    let json_lines = show(&server, &[&trigger, "--json"]).await;
    assert_eq!(json_lines.lines().count(), 2);

    server.process.signal("-TERM").await;
    assert!(server.process.exit().await.success());
    // At rest the same is read from the folder.
    let (code, stdout, stderr) = show_at_rest(&server, id).await;
    assert_eq!((code, stdout), (0, alone), "{stderr}");
    let (code, stdout, stderr) = show_at_rest(&server, &trigger).await;
    assert_eq!((code, stdout.matches("status      cancelled").count()), (0, 2), "{stderr}");
    let (code, _, stderr) = show_at_rest(&server, "00000000-0000-7000-8000-000000000000").await;
    assert!(code != 0 && stderr.contains("no run and no trigger with runs has the id"), "{stderr}");
}

async fn show_at_rest(server: &TestServer, id: &str) -> (i32, String, String) {
    run(belfry(&server.setup.path(""), &["runs", "show", id])).await
}

#[tokio::test]
async fn all_runs_are_listed_with_how_they_ended() {
    let mut server = Setup::new().start().await;
    for (workflow, user) in [("note", "ann@x.test"), ("later", "bob@x.test"), ("note", "cy@x.test")] {
        server.trigger(workflow, json!({"recipients": [user]})).await;
    }
    server.settle().await;
    let listed = async |server: &TestServer, arguments: &[&str], url: bool| {
        let mut command = belfry(&server.setup.path(""), &[&["runs", "list"], arguments].concat());
        if url {
            command.env("BELFRY_URL", &server.url).env("BELFRY_API_KEY", SECRET);
        }
        let (code, stdout, stderr) = run(command).await;
        assert_eq!(code, 0, "{stderr}");
        (stdout, stderr)
    };
    let (table, _) = listed(&server, &[], true).await;
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("RUN") && lines[0].ends_with("ERRORS") && lines.len() == 4, "{table}");
    assert!(lines[1].contains("cy@x.test") && lines[1].contains("completed  finished"), "{table}");
    assert!(lines[2].contains("bob@x.test") && lines[2].contains("paused"), "{table}");
    let (errors, _) = listed(&server, &["--errors"], true).await;
    assert_eq!(errors.lines().count(), 1, "{errors}");
    let (first, said) = listed(&server, &["--limit", "2", "--json"], true).await;
    let after = said.trim().rsplit_once(' ').unwrap().1.to_owned();
    let (rest, said) = listed(&server, &["--after", &after, "--json"], true).await;
    let all = [recipients(&first), recipients(&rest)].concat();
    assert_eq!(
        (all, said.as_str()),
        (["cy@x.test", "bob@x.test", "ann@x.test"].map(|user| json!(user).to_string()).into(), "")
    );

    server.process.signal("-TERM").await;
    assert!(server.process.exit().await.success());
    let (at_rest, _) = listed(&server, &["--workflow", "note"], false).await;
    assert_eq!(at_rest.lines().count(), 3, "{at_rest}");
}
