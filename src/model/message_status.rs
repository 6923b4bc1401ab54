//! Statuses of a message as conditions compare them: one ladder from "no message" to "archived" (`knock-engine.md`
//! section 4.6).

use serde_json::Value;

/// What an argument that names a status begins with.
const TOKEN: &str = "$message.";

/// From the lowest: a step that made no message, how far it was delivered, and what its reader did.
const LADDER: [(&str, u8); 13] = [
    ("skipped", 0),
    ("undelivered", 1),
    ("bounced", 2),
    ("delivery_attempted", 3),
    ("queued", 4),
    ("not_sent", 5),
    ("sent", 6),
    ("delivered", 7),
    ("seen", 8),
    ("read", 9),
    ("interacted", 10),
    ("link_clicked", 10),
    ("archived", 11),
];

/// How high the status is that an argument names; `None`: it names none.
pub fn token_rank(argument: &str) -> Option<u8> {
    argument.strip_prefix(TOKEN).and_then(rank)
}

/// How high a status is.
pub fn rank(status: &str) -> Option<u8> {
    LADDER.iter().find(|(known, _)| *known == status).map(|(_, rank)| *rank)
}

/// Whether a list of engagements has what `token` asks for; `None` when it is no such token. Who read it saw it.
pub fn engaged(done: Option<&Value>, token: &str) -> Option<bool> {
    let name = token.strip_prefix(TOKEN)?;
    let has = |status: &str| match done {
        Some(Value::Array(list)) => list.iter().any(|one| one == status),
        Some(Value::String(one)) => one == status,
        _ => false,
    };
    let any = |statuses: &[&str]| statuses.iter().any(|status| has(status));
    Some(match name {
        "seen" => any(&["seen", "read", "interacted"]),
        "seen_not_read" => has("seen") && !any(&["read", "interacted"]),
        "read_not_link_clicked" => has("read") && !has("link_clicked"),
        other => has(other),
    })
}
