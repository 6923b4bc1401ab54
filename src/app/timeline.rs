//! A run as a readable timeline that answers why there was, or was not, a message. Made of what the API says of it.

use serde_json::Value;

/// What stands before a line that has no time of its own.
const INDENT: &str = "                      ";

/// The timeline of a run with its events.
pub fn timeline(run: &Value) -> String {
    let mut lines = head(run);
    lines.push(String::new());
    let mut shown = None;
    for event in list(&run["events"]) {
        let step = event["step_ref"].as_str();
        let at = time(&event["inserted_at"]);
        let place = Some((step, at.clone()));
        if shown != place {
            lines.push(format!("{at}  {}", step.map_or("the run".into(), |step| title(run, step))));
            shown = place;
        }
        lines.push(format!("{INDENT}  {}", text(&event["summary"])));
        lines.extend(list(&event["details"]).iter().map(|line| format!("{INDENT}    {}", text(line))));
        let id = event["data"]["message_id"].as_str();
        let made = id.and_then(|id| list(&run["messages"]).iter().find(|message| message["id"] == id));
        lines.extend(made.into_iter().flat_map(message).map(|line| format!("{INDENT}    {line}")));
    }
    lines.push(match run["outcome_reason"].as_str() {
        Some(reason) => format!("{}  {reason}", time(&run["updated_at"])),
        None => format!("{INDENT}{}", standing(run)),
    });
    lines.push(String::new());
    lines.extend(verdict(run));
    let lines: Vec<&str> = lines.iter().map(|line| line.trim_end()).collect();
    lines.join("\n") + "\n"
}

/// Who and what it is about.
fn head(run: &Value) -> Vec<String> {
    let source = &run["trigger_source"];
    let by = match (source["schedule_id"].as_str(), source["workflow_recipient_run_id"].as_str()) {
        (Some(schedule), _) => format!("schedule {schedule}"),
        (_, Some(run)) => format!("a step of run {run}"),
        _ => text(&source["type"]).to_owned(),
    };
    let id = run["id"].as_str();
    let first = match run["workflow_run_id"].as_str() {
        Some(trigger) => ("triggered", format!("{} by {by}, as {trigger}", time(&run["inserted_at"]).trim_end())),
        None => {
            ("dry run", "nothing is stored or sent; delays pass at once, and what is queued counts as sent".to_owned())
        }
    };
    let mut facts = vec![first, ("version", text(&run["workflow_version"]).to_owned())];
    let mut known = |name, value: Option<String>| facts.extend(value.map(|value| (name, value)));
    let present = |value: &Value| (!value.is_null()).then(|| person(value));
    known("actor", present(&run["actor"]));
    known("tenant", present(&run["tenant"]));
    known("via", present(&run["via"]).map(|object| format!("a subscription to {object}")));
    known("cancel key", source["cancellation_key"].as_str().map(str::to_owned));
    let set = run["settings"].as_object().into_iter().flatten().filter(|(_, on)| **on == Value::Bool(true));
    let set: Vec<&str> = set.map(|(name, _)| name.as_str()).collect();
    known("settings", (!set.is_empty()).then(|| set.join(", ")));
    known("data", run["data"].as_object().filter(|data| !data.is_empty()).map(|_| run["data"].to_string()));
    known("status", id.and(run["status"].as_str()).map(str::to_owned));
    let title = match id {
        Some(id) => format!("Run {id} of {} for {}", text(&run["workflow"]), person(&run["recipient"])),
        None => format!("{} for {}", text(&run["workflow"]), person(&run["recipient"])),
    };
    let facts = facts.into_iter().map(|(name, value)| format!("  {name:<10}  {value}"));
    std::iter::once(title).chain(facts).collect()
}

/// A step, with its kind and name.
fn title(run: &Value, reference: &str) -> String {
    let step = list(&run["steps"]).iter().find(|step| step["ref"] == reference);
    let Some(step) = step else { return reference.to_owned() };
    let name = step["name"].as_str().map(|name| format!(" \"{name}\"")).unwrap_or_default();
    format!("{reference} ({}){name}", text(&step["type"]))
}

/// A message, and what was tried to send it.
fn message(message: &Value) -> Vec<String> {
    let mut lines = vec![format!("{} {}: {}", addressed(message), text(&message["id"]), text(&message["status"]))];
    lines.extend(message["subject"].as_str().map(|subject| format!("subject: {subject}")));
    let content = &message["content"];
    let blocks = list(&content["blocks"]).iter().filter_map(|block| block["content"].as_str());
    let said = content["text_body"].as_str().into_iter().chain(blocks);
    lines.extend(said.flat_map(str::lines).map(|line| format!("| {line}")));
    for attempt in list(&message["attempts"]) {
        let (number, at) = (&attempt["number"], time(&attempt["at"]));
        let (result, reply) = (text(&attempt["result"]), text(&attempt["reply"]));
        lines.push(format!("attempt {number} at {} {result}: {reply}", at.trim_end()));
        lines.extend(list(&attempt["notes"]).iter().map(|note| format!("  {}", text(note))));
    }
    lines
}

/// `email to ann@x.test`.
fn addressed(message: &Value) -> String {
    let to = message["to"].as_str().map(|to| format!(" to {to}")).unwrap_or_default();
    format!("{}{to}", text(&message["channel_type"]))
}

/// What a run that has not ended does now.
fn standing(run: &Value) -> String {
    let event = run["waits_for"].as_str().map(|event| format!(" for {event}")).unwrap_or_default();
    match (run["waits_at"].as_str(), run["due_at"].as_str()) {
        (Some(step), Some(_)) => format!("waits at {step}{event} until {}", time(&run["due_at"]).trim_end()),
        (Some(step), None) => format!("is at {step}"),
        _ => "has not begun".to_owned(),
    }
}

/// For each step that makes a message: what it made, or why it made none.
fn verdict(run: &Value) -> Vec<String> {
    let steps: Vec<&Value> = list(&run["steps"]).iter().filter(|step| step["type"] == "channel").collect();
    let width = steps.iter().map(|step| text(&step["ref"]).chars().count()).max().unwrap_or_default();
    let about = |step: &Value| {
        let made = list(&run["messages"]).iter().find(|message| message["step_ref"] == step["ref"]);
        if let Some(message) = made {
            return format!("message: {}, {}", addressed(message), text(&message["status"]));
        }
        let last = list(&run["events"]).iter().rfind(|event| event["step_ref"] == step["ref"]);
        match (step["state"].as_str(), last, run["outcome_reason"].as_str()) {
            (Some("skipped" | "failed"), Some(event), _) => format!("no message: {}", text(&event["summary"])),
            (_, _, Some(reason)) => format!("no message: not reached; {reason}"),
            (_, _, None) => format!("no message yet: the run {}", standing(run)),
        }
    };
    steps.into_iter().map(|step| format!("{:<width$}  {}", text(&step["ref"]), about(step))).collect()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}

/// To the second; the rest is for machines.
fn time(value: &Value) -> String {
    let second = text(value).get(..19).map(|second| format!("{second}Z"));
    format!("{:<20}", second.unwrap_or_else(|| text(value).to_owned()))
}

/// A user's id, or the collection and id of an object.
pub fn person(value: &Value) -> String {
    match value {
        Value::String(id) => id.clone(),
        object => format!("{}/{}", text(&object["collection"]), text(&object["id"])),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_timeline_says_for_each_channel_step_why_there_was_or_was_not_a_message() {
        let event = |step: &str, summary: &str, details: Value, data: Value| {
            json!({"step_ref": step, "summary": summary, "details": details, "data": data,
                "inserted_at": "2026-01-31T17:12:59.958652Z"})
        };
        let channel = |reference: &str, state: &str| json!({"ref": reference, "type": "channel", "state": state});
        let run = json!({
            "id": "r1", "workflow": "invite", "workflow_run_id": "t1", "workflow_version": "v1", "status": "completed",
            "recipient": {"collection": "teams", "id": "red"}, "actor": "bob", "tenant": null, "via": null,
            "trigger_source": {"type": "api", "cancellation_key": "k"}, "data": {"a": 1},
            "settings": {"sandbox_mode": false, "skip_delay": true}, "inserted_at": "2026-01-31T17:12:59.000000Z",
            "events": [
                event("one", "conditions: they hold", json!(["yes: data.a is 1, asked is equal_to 1"]), Value::Null),
                event("one", "a message is made and handed to its channel", json!([]), json!({"message_id": "m1"})),
                event("two", "skipped: the recipient has no email address", json!([]), Value::Null),
            ],
            "messages": [{"id": "m1", "step_ref": "one", "channel_type": "email", "to": "r@x.test", "subject": "Hi",
                "status": "sent", "attempts": [{"number": 1, "at": "2026-01-31T17:13:00.000000Z", "result": "accepted",
                "reply": "250 OK", "notes": ["left out: b@x.test"]}]}],
            "steps": [channel("one", "executed"), channel("two", "skipped"), channel("three", "not_reached")],
            "outcome_reason": "the run was cancelled", "updated_at": "2026-01-31T17:14:00.000000Z",
        });
        assert_eq!(
            timeline(&run),
            "\
Run r1 of invite for teams/red
  triggered   2026-01-31T17:12:59Z by api, as t1
  version     v1
  actor       bob
  cancel key  k
  settings    skip_delay
  data        {\"a\":1}
  status      completed

2026-01-31T17:12:59Z  one (channel)
                        conditions: they hold
                          yes: data.a is 1, asked is equal_to 1
                        a message is made and handed to its channel
                          email to r@x.test m1: sent
                          subject: Hi
                          attempt 1 at 2026-01-31T17:13:00Z accepted: 250 OK
                            left out: b@x.test
2026-01-31T17:12:59Z  two (channel)
                        skipped: the recipient has no email address
2026-01-31T17:14:00Z  the run was cancelled

one    message: email to r@x.test, sent
two    no message: skipped: the recipient has no email address
three  no message: not reached; the run was cancelled
"
        );
        let waiting = json!({"status": "paused", "waits_at": "wait", "due_at": "2026-02-01T00:00:00.000000Z",
            "steps": [channel("one", "not_reached")]});
        let told = timeline(&waiting);
        assert!(told.ends_with("one  no message yet: the run waits at wait until 2026-02-01T00:00:00Z\n"), "{told}");
    }
}
