//! Fetches. An attempt is written before it is made, so that one with which the process ended counts too; what passes is
//! tried again later, and the rest ends the run, or leaves the step out if it says so.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::function::{Unfit, text};
use super::update::merged_data;
use super::{Effect, Env, Plan, error, event, go_on, skip, write};
use crate::engine::fetch::{Answer, Failure, Request};
use crate::model::fetch_step::{BODY, Fetch, HEADERS, MAX_ATTEMPTS, QUERY_PARAMS, SIGNING_KEY, URL};
use crate::model::run::{Phase, Run, RunEvent, RunEventKind};
use crate::model::workflow::StepKind;
use crate::store::op::{Changes, Next};

/// How long after an attempt that failed the next one is made.
const PAUSES: [Duration; 2] = [Duration::from_secs(30), Duration::from_secs(60)];

/// Makes the next attempt of `fetch` at `step`, by its rendered settings.
pub fn attempt(
    run: &Run,
    step: u16,
    fetch: &Fetch,
    settings: &Map<String, Value>,
    env: &Env<'_>,
    mut events: Vec<RunEvent>,
) -> Plan {
    let made = match run.phase {
        Phase::Fetching { attempts, .. } => attempts,
        _ => 0,
    };
    if made >= MAX_ATTEMPTS {
        return give_up(
            run,
            step,
            fetch,
            format!("the process ended during attempt {made}, the last one"),
            env,
            events,
        );
    }
    let request = match request(fetch, settings, env) {
        Ok(request) => request,
        Err(Unfit::Failed(why) | Unfit::Skipped(why)) => return give_up(run, step, fetch, why, env, events),
    };
    let attempts = made + 1;
    let url = without_secrets(&request.url);
    events.push(event(
        env,
        step,
        RunEventKind::FetchStarted { attempt: attempts, method: fetch.method.as_str().into(), url },
    ));
    let claim = Next::Phase(Phase::Fetching { step, attempts, retry_at: None });
    write(run, env, claim, None, events, Effect::Fetch { step, request: Box::new(request) })
}

/// What comes of an attempt.
pub fn answered(run: &Run, step: u16, answer: Result<Answer, Failure>, env: &Env<'_>) -> Plan {
    let current = env.workflow.steps.get(usize::from(step));
    let Some((current, StepKind::Fetch(fetch))) = current.map(|step| (step, &step.kind)) else {
        return Plan::only(Effect::Continue);
    };
    let attempts = match run.phase {
        Phase::Fetching { attempts, .. } => attempts,
        _ => MAX_ATTEMPTS,
    };
    let read = answer.and_then(|answer| read(fetch, &answer));
    let fitting = read.and_then(|(status, data)| match merged_data(run, data) {
        Ok(data) => Ok((status, data)),
        Err(Unfit::Failed(why) | Unfit::Skipped(why)) => Err(Failure::Lasting(why)),
    });
    match fitting {
        Ok((status, data)) => {
            let told = event(env, step, RunEventKind::Fetched { status });
            go_on(run, current.next, env, None, vec![told]).changing(Changes { data, ..Changes::default() })
        }
        Err(Failure::Passing(why)) if attempts < MAX_ATTEMPTS => {
            let pause = PAUSES[usize::from(attempts.saturating_sub(1)).min(PAUSES.len() - 1)];
            let due = env.now.plus(pause);
            let told = event(env, step, RunEventKind::FetchFailed { why, retry_at: due });
            let to = Next::Phase(Phase::Fetching { step, attempts, retry_at: Some(due) });
            write(run, env, to, None, vec![told], Effect::Sleep(due))
        }
        Err(Failure::Passing(why) | Failure::Lasting(why)) => give_up(run, step, fetch, why, env, Vec::new()),
    }
}

/// Ends the run, or goes on without the answer.
pub fn give_up(run: &Run, step: u16, fetch: &Fetch, why: String, env: &Env<'_>, events: Vec<RunEvent>) -> Plan {
    if fetch.goes_on { skip(run, step, why, env, events) } else { error(run, step, why, env, events) }
}

fn request(fetch: &Fetch, settings: &Map<String, Value>, env: &Env<'_>) -> Result<Request, Unfit> {
    let url = text(settings, URL).unwrap_or_default();
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return Err(Unfit::Failed(format!("`{URL}` comes to {url:?}, which is no URL")));
    }
    let body = match settings.get(BODY) {
        None => None,
        Some(Value::String(text)) if text.trim().is_empty() => None,
        Some(Value::String(text)) => {
            let fits = serde_json::from_str::<Value>(text);
            fits.map_err(|error| Unfit::Failed(format!("`{BODY}` is no JSON: {error}")))?;
            Some(text.clone())
        }
        Some(json) => Some(json.to_string()),
    };
    Ok(Request {
        method: fetch.method,
        url: url.to_owned(),
        query: pairs(settings, QUERY_PARAMS)?,
        headers: pairs(settings, HEADERS)?,
        body,
        signing_key: text(settings, SIGNING_KEY).map(str::to_owned),
        at: env.now,
    })
}

/// Keys and values: `[{"key", "value"}]`, an object, or the text of one of the two.
fn pairs(settings: &Map<String, Value>, name: &str) -> Result<Vec<(String, String)>, Unfit> {
    let wrong = || Unfit::Failed(format!("`{name}` is neither an object nor a list of {{\"key\", \"value\"}}"));
    let parsed;
    let value = match settings.get(name) {
        None => return Ok(Vec::new()),
        Some(Value::String(text)) if text.trim().is_empty() => return Ok(Vec::new()),
        Some(Value::String(text)) => {
            parsed = serde_json::from_str::<Value>(text).map_err(|_| wrong())?;
            &parsed
        }
        Some(value) => value,
    };
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match value {
        Value::Object(fields) => Ok(fields.iter().map(|(key, value)| (key.clone(), plain(value))).collect()),
        Value::Array(items) => {
            let pair = |item: &Value| Some((item.get("key")?.as_str()?.to_owned(), plain(item.get("value")?)));
            items.iter().map(|item| pair(item).ok_or_else(wrong)).collect()
        }
        _ => Err(wrong()),
    }
}

/// The status of an answer that counts, and what it lays over the run's data.
fn read(fetch: &Fetch, answer: &Answer) -> Result<(u16, Map<String, Value>), Failure> {
    let status = answer.status;
    match status {
        200 | 201 | 204 => {}
        429 | 500..=599 => return Err(Failure::Passing(format!("the server answered {status}"))),
        _ => return Err(Failure::Lasting(format!("the server answered {status}; 200, 201 and 204 count"))),
    }
    if answer.body.iter().all(u8::is_ascii_whitespace) {
        return Ok((status, Map::new()));
    }
    let value: Value = serde_json::from_slice(&answer.body).map_err(|error| {
        let start: String = String::from_utf8_lossy(&answer.body).trim_start().chars().take(40).collect();
        Failure::Lasting(format!("the answer is no JSON, {error}; it begins with {start:?}"))
    })?;
    match (fetch.response_path.split_first(), value) {
        (Some((first, rest)), value) => {
            let nested = rest.iter().rev().fold(value, |inner, key| json!({ key: inner }));
            Ok((status, Map::from_iter([(first.clone(), nested)])))
        }
        (None, Value::Object(fields)) => Ok((status, fields)),
        (None, _) => Err(Failure::Lasting(
            "the answer is no object, so it has no place in the data; name one with response_path".into(),
        )),
    }
}

/// A URL as it may be told: keys stand in queries, and passwords before the host.
fn without_secrets(url: &str) -> String {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let (scheme, rest) = url[..end].split_once("://").unwrap_or(("", &url[..end]));
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fetch_step::Method;
    use crate::model::settings::Settings;

    fn fetch(path: &[&str]) -> Fetch {
        let response_path = path.iter().map(|part| (*part).to_owned()).collect();
        Fetch { method: Method::Get, response_path, goes_on: false, settings: Settings::default() }
    }

    fn data(path: &[&str], status: u16, body: &str) -> Result<Value, Failure> {
        read(&fetch(path), &Answer { status, body: body.into() }).map(|(_, data)| Value::Object(data))
    }

    #[test]
    fn an_answer_is_laid_over_the_data_or_put_at_its_path() {
        assert_eq!(data(&[], 200, r#"{"a": 1}"#), Ok(json!({"a": 1})));
        assert_eq!(data(&["x", "y"], 201, "[1]"), Ok(json!({"x": {"y": [1]}})));
        assert_eq!(data(&["x"], 204, " "), Ok(json!({})));
        for (status, body, problem) in [
            (200, "[1]", "name one with response_path"),
            (200, "<!doctype html><p>Hi", "it begins with \"<!doctype html>"),
            (404, "{}", "the server answered 404"),
            (302, "", "the server answered 302"),
        ] {
            let Err(Failure::Lasting(why)) = data(&[], status, body) else { panic!("{body} is taken") };
            assert!(why.contains(problem), "{why}");
        }
        for status in [429, 500, 503] {
            assert!(matches!(data(&[], status, "{}"), Err(Failure::Passing(_))));
        }
    }

    #[test]
    fn headers_and_queries_are_pairs_however_they_are_written() {
        let pairs = |value: Value| pairs(&Map::from_iter([("headers".to_owned(), value)]), "headers");
        let expected = vec![("a".to_owned(), "b".to_owned()), ("n".to_owned(), "1".to_owned())];
        assert_eq!(pairs(json!({"a": "b", "n": 1})), Ok(expected.clone()));
        assert_eq!(pairs(json!([{"key": "a", "value": "b"}, {"key": "n", "value": 1}])), Ok(expected.clone()));
        assert_eq!(pairs(json!(r#"{"a": "b", "n": 1}"#)), Ok(expected));
        assert!(pairs(json!("a: b")).is_err() && pairs(json!([{"a": "b"}])).is_err());
    }

    #[test]
    fn what_is_told_of_a_url_has_no_keys() {
        assert_eq!(without_secrets("https://u:p@x.test/a/b?key=s#f"), "https://x.test/a/b");
        assert_eq!(without_secrets("http://x.test"), "http://x.test");
    }
}
