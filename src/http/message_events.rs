//! The history of a message: how it was made and sent, and what readers did with it (`knock-engine.md` section 7.4).

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Map, Value, json};

use super::State;
use super::auth::{Reach, require_secret};
use super::error::ApiError;
use super::feeds::blocking;
use super::messages::find;
use super::wire::{message, page};
use crate::base::clock::Timestamp;
use crate::model::engagement::MessageEvent;
use crate::model::message::{Attempt, AttemptResult, Content, Message, Status};
use crate::model::page::page_size;
use crate::model::query::Query;
use crate::model::trigger::FieldError;

/// One thing that happened.
#[derive(Debug, PartialEq)]
struct Event {
    kind: &'static str,
    at: Timestamp,
    data: Option<Map<String, Value>>,
    /// A reader did it.
    mark: bool,
}

/// List what happened to a message.
///
/// Newest first.
#[utoipa::path(
    get, path = "/v1/messages/{id}/events",
    params(page::Paging),
    responses((status = 200, body = page::Items<message::MessageEvent>)),
)]
pub async fn list(
    state: web::Data<State>,
    request: HttpRequest,
    id: web::Path<String>,
    query: web::Query<Vec<(String, String)>>,
) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    let message = find(&state, &id, &Reach::EVERYTHING)?;
    let answer = blocking(&state, move |state| {
        let reader = state.intake.engine.store.read()?;
        let (attempts, marks) = (reader.attempts(message.id)?, reader.message_events(message.id)?);
        page(&message, &history(&message, &attempts, &marks), Query::new(&query)).map_err(ApiError::invalid)
    });
    Ok(HttpResponse::Ok().json(answer.await?))
}

/// What happened to `message`: its way to the reader, and then what the reader did.
fn history(message: &Message, attempts: &[Attempt], marks: &[MessageEvent]) -> Vec<Event> {
    let event = |kind, at| Event { kind, at, data: None, mark: false };
    let mut events = vec![event("created", message.inserted_at)];
    match message.content {
        Content::InApp { .. } if message.status == Status::Delivered => {
            events.push(event("delivered", message.inserted_at));
        }
        Content::InApp { .. } => events.push(event("not_sent", message.inserted_at)),
        Content::Email { .. } => {
            events.extend(attempts.iter().map(|attempt| event(outcome(attempt.result), attempt.at)));
            // What gave up or was stopped says so after its last attempt.
            let last = attempts.last().map_or("queued", |attempt| outcome(attempt.result));
            match message.status {
                Status::Undelivered if last != "undelivered" => {
                    events.push(event("undelivered", message.updated_at));
                }
                Status::NotSent => events.push(event("not_sent", message.updated_at)),
                _ => {}
            }
        }
    }
    events.extend(marks.iter().map(|mark| Event {
        kind: mark.action.as_str(),
        at: mark.at,
        data: mark.data.clone(),
        mark: true,
    }));
    events
}

fn outcome(result: AttemptResult) -> &'static str {
    match result {
        AttemptResult::Accepted => "sent",
        AttemptResult::Transient => "delivery_attempted",
        AttemptResult::Permanent => "undelivered",
        AttemptResult::Bounced => "bounced",
    }
}

/// What an event is called among those of its message: by its place among the deliveries or among the marks, since an
/// email that was marked may be tried again.
fn names(history: &[Event]) -> Vec<String> {
    let deliveries = history.iter().filter(|event| !event.mark).count();
    (0..deliveries)
        .map(|n| format!("d{n}"))
        .chain((deliveries..history.len()).map(|n| format!("m{}", n - deliveries)))
        .collect()
}

/// A page of the history. A cursor is the name of its event.
fn page(message: &Message, history: &[Event], query: Query<'_>) -> Result<Value, Vec<FieldError>> {
    let (names, mut errors) = (names(history), Vec::new());
    let size = page_size(query, &mut errors);
    let mut number = |name: &str| {
        let text = query.text(name)?;
        let found = names.iter().position(|name| name == text);
        if found.is_none() {
            errors.push(FieldError::new(name, format!("`{text}` is not a cursor; use `page_info`")));
        }
        found
    };
    // Events before `end` are the page, the last of them first.
    let (start, end) = match (number("before"), number("after")) {
        (Some(before), _) => (before + 1, (before + 1 + size).min(history.len())),
        (None, Some(after)) => (after.saturating_sub(size), after),
        (None, None) => (history.len().saturating_sub(size), history.len()),
    };
    if !errors.is_empty() {
        return Err(errors);
    }
    let items = (start..end).rev().map(|number| {
        let event = &history[number];
        json!({
            "__typename": "MessageEvent",
            "__cursor": names[number],
            "id": format!("{}-{}", message.id, names[number]),
            "type": format!("message.{}", event.kind),
            "recipient": message.recipient.to_json(),
            "data": event.data,
            "inserted_at": event.at,
        })
    });
    let any = start < end;
    Ok(json!({
        "items": items.collect::<Vec<_>>(),
        "page_info": {
            "__typename": "PageInfo",
            "after": (any && start > 0).then(|| &names[start]),
            "before": (any && end < history.len()).then(|| &names[end - 1]),
            "page_size": size,
        },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{ChannelId, MessageId, RunId, TriggerId};
    use crate::model::engagement::Action;
    use crate::model::message::EmailContent;
    use crate::model::recipient::RecipientRef;

    const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn email(status: Status) -> Message {
        Message {
            id: MessageId::from([1; 16]),
            run: RunId::from([2; 16]),
            batch: None,
            trigger: TriggerId::from([3; 16]),
            workflow: "w".into(),
            categories: Vec::new(),
            step_ref: "s".into(),
            channel: ChannelId::from([4; 16]),
            recipient: RecipientRef::user("u"),
            tenant: None,
            content: Content::Email {
                to: "u@x.test".into(),
                email: EmailContent {
                    subject: String::new(),
                    html: String::new(),
                    text: String::new(),
                    ..EmailContent::default()
                },
            },
            status,
            inserted_at: START,
            updated_at: START,
        }
    }

    fn attempts(results: &[AttemptResult]) -> Vec<Attempt> {
        let attempt = |(number, result): (u32, &AttemptResult)| Attempt {
            number,
            at: START,
            result: *result,
            reply: String::new(),
            notes: Vec::new(),
        };
        (1..).zip(results).map(attempt).collect()
    }

    fn marks(actions: &[Action]) -> Vec<MessageEvent> {
        actions.iter().map(|action| MessageEvent { action: *action, at: START, data: None }).collect()
    }

    #[test]
    fn every_way_of_an_email_is_told_to_its_end() {
        use AttemptResult::{Accepted, Permanent, Transient};
        for (status, results, told) in [
            (Status::Queued, vec![], vec!["created"]),
            (Status::Sent, vec![Transient, Accepted], vec!["created", "delivery_attempted", "sent"]),
            (Status::Undelivered, vec![Permanent], vec!["created", "undelivered"]),
            (Status::Undelivered, vec![Transient], vec!["created", "delivery_attempted", "undelivered"]),
            (Status::NotSent, vec![], vec!["created", "not_sent"]),
            (Status::NotSent, vec![Transient], vec!["created", "delivery_attempted", "not_sent"]),
        ] {
            let history = history(&email(status), &attempts(&results), &[]);
            assert_eq!(history.iter().map(|event| event.kind).collect::<Vec<_>>(), told);
        }
    }

    #[test]
    fn pages_of_every_size_hold_each_event_once_and_lead_back() {
        let message = email(Status::Sent);
        let marks = marks(&[Action::Seen, Action::Read, Action::Unread, Action::Read, Action::Archived]);
        let history = history(&message, &attempts(&[AttemptResult::Accepted]), &marks);
        let ask = |pairs: &[(&str, String)]| {
            let pairs: Vec<_> = pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
            page(&message, &history, Query::new(&pairs)).unwrap()
        };
        let kinds = |page: &Value| -> Vec<String> {
            page["items"].as_array().unwrap().iter().map(|item| item["type"].as_str().unwrap().to_owned()).collect()
        };
        let all = kinds(&ask(&[]));
        assert_eq!(all.len(), 7);
        assert_eq!((all[0].as_str(), all[6].as_str()), ("message.archived", "message.created"));
        for size in 1..=8 {
            let size = size.to_string();
            let mut page = ask(&[("page_size", size.clone())]);
            assert!(page["page_info"]["before"].is_null());
            let (mut found, mut back) = (kinds(&page), page.clone());
            while let Some(after) = page["page_info"]["after"].as_str().map(str::to_owned) {
                let next = ask(&[("page_size", size.clone()), ("after", after)]);
                let before = next["page_info"]["before"].as_str().unwrap().to_owned();
                back = ask(&[("page_size", size.clone()), ("before", before)]);
                assert_eq!(back["items"], page["items"]);
                page = next;
                found.extend(kinds(&page));
            }
            assert_eq!(found, all, "{back}");
        }
        let pairs = [("after".to_owned(), "m9".to_owned())];
        assert!(page(&message, &history, Query::new(&pairs)).is_err());
    }
}
