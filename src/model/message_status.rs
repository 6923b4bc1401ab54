//! Statuses of a message as conditions compare them: one ladder from "no message" to "archived" (`knock-engine.md`
//! section 4.6).

use serde_json::{Value, json};

use super::engagement::Engagement;
use super::message::Status;

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

/// Tokens that stand for no status of their own: what was done, and what was not.
const COMPOUND: [&str; 2] = ["seen_not_read", "read_not_link_clicked"];

/// Whether an argument looks like a status and is none.
pub fn is_unknown_token(argument: &str) -> bool {
    let name = argument.strip_prefix(TOKEN);
    name.is_some_and(|name| rank(name).is_none() && !COMPOUND.contains(&name))
}

/// Every argument that names a status, for people.
pub fn token_names() -> String {
    let names = LADDER.iter().map(|(name, _)| *name).chain(COMPOUND);
    names.map(|name| format!("{TOKEN}{name}")).collect::<Vec<_>>().join(", ")
}

/// What conditions find of a step's message; `status` is the highest of both kinds.
pub fn facts(delivery: Status, engagement: &Engagement) -> Value {
    let delivery = json!(delivery);
    let engaged: Vec<&str> = engagement.statuses().collect();
    let all = engaged.iter().copied().chain(delivery.as_str());
    let highest = all.max_by_key(|status| rank(status));
    json!({"status": highest, "delivery_status": delivery, "engagement_status": engaged})
}

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

#[cfg(test)]
mod tests {
    use super::super::condition::{Conditions, Facts, STEP_SCOPES};
    use super::super::engagement::Action;
    use super::*;
    use crate::base::clock::Timestamp;

    /// Whether the three ways to ask of an earlier step hold: sent at most, not seen, and neither by one status.
    fn asked(refs: &Value) -> [bool; 3] {
        [
            ("refs.a.delivery_status", "less_than", "$message.sent"),
            ("refs.a.engagement_status", "not_contains", "$message.seen"),
            ("refs.a.status", "less_than", "$message.seen"),
        ]
        .map(|(variable, operator, argument)| {
            let condition = json!([{"variable": variable, "operator": operator, "argument": argument}]);
            let mut errors = Vec::new();
            let conditions = Conditions::from_json("", &condition, STEP_SCOPES, &mut errors);
            assert_eq!(errors, []);
            conditions.judge(&Facts { scope: &json!({"refs": refs}), now: Timestamp::default(), audiences: &[] }).0
        })
    }

    #[test]
    fn a_step_asks_what_became_of_an_earlier_one() {
        assert_eq!(asked(&json!({})), [true, true, true], "skipped");
        let done = |actions: &[Action]| {
            let mut engagement = Engagement::default();
            actions.iter().for_each(|action| engagement.take(*action, Timestamp::from_millis(1)));
            engagement
        };
        for (delivery, actions, expected) in [
            (Status::Queued, &[][..], [true, true, true]),
            (Status::NotSent, &[], [true, true, true]),
            (Status::Sent, &[], [false, true, true]),
            (Status::Delivered, &[], [false, true, true]),
            (Status::Delivered, &[Action::Seen], [false, false, false]),
            (Status::Delivered, &[Action::Seen, Action::Unseen], [false, true, true]),
            (Status::Delivered, &[Action::Read], [false, false, false]),
            (Status::Undelivered, &[], [true, true, true]),
            (Status::Bounced, &[], [true, true, true]),
        ] {
            let refs = json!({"a": facts(delivery, &done(actions))});
            assert_eq!(asked(&refs), expected, "{delivery:?} {actions:?}");
        }
    }

    #[test]
    fn a_token_is_one_of_a_closed_set() {
        assert!(is_unknown_token("$message.sean") && is_unknown_token("$message."));
        assert!(!is_unknown_token("$message.seen_not_read") && !is_unknown_token("sean"));
        token_names().split(", ").for_each(|name| assert!(!is_unknown_token(name), "{name}"));
    }
}
