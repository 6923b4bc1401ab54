//! Who an email is from and to, where a step says so over its channel's settings.

use serde_json::{Map, Value};

use super::budget::EMAIL_BYTES;
use super::error::{Cause, Complaint, RenderError};
use super::handlebars::Escape;
use super::language::Source;
use super::line;
use super::partial::Partials;
use crate::base::config::AddressingSettings;
use crate::base::nearest::{did_you_mean, nearest, quoted_list};
use crate::model::message::Addressing;
use crate::model::workflow::{EmailOverrides, Engine};

use handlebars::Context;

/// What `json_overrides` may hold: a mail has no payload of a provider's but its headers.
const PAYLOAD: [&str; 7] = ["from", "to", "cc", "bcc", "reply_to", "subject", "headers"];

/// The most addresses of one kind, and headers.
const MOST: usize = 50;

/// Headers that say what the others of this message do: nobody writes them twice.
const OURS: [&str; 18] = [
    "from",
    "to",
    "cc",
    "bcc",
    "reply-to",
    "sender",
    "subject",
    "date",
    "message-id",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
    "dkim-signature",
    "return-path",
    "list-unsubscribe",
    "list-unsubscribe-post",
    "feedback-id",
    "auto-submitted",
];

/// The overrides, parsed.
#[derive(Debug, Default)]
pub(super) struct Overrides {
    from_address: Option<Source>,
    from_name: Option<Source>,
    to: Option<Source>,
    cc: Option<Source>,
    bcc: Option<Source>,
    reply_to: Option<Source>,
    json: Option<Source>,
}

/// What a channel says of all its mail where a step does not say otherwise, parsed.
#[derive(Debug, Default)]
pub struct ChannelAddressing {
    to: Option<Source>,
    cc: Option<Source>,
    bcc: Option<Source>,
    reply_to: Option<Source>,
    headers: Vec<(String, Source)>,
}

impl ChannelAddressing {
    /// Parses the settings. The error names the one at fault.
    pub fn parse(settings: &AddressingSettings) -> Result<Self, String> {
        let parse = |name: &str, text: &str| {
            let parsed = Source::parse(text, Engine::Liquid, Escape::None, &Partials::default());
            parsed.map_err(|complaints| {
                let complaints =
                    complaints.into_iter().map(|complaint| complaint.into_fault(name.to_owned(), String::new()));
                complaints.map(|fault| fault.to_string()).collect::<Vec<_>>().join("; ")
            })
        };
        let one = |name: &str, text: &Option<String>| text.as_deref().map(|text| parse(name, text)).transpose();
        let header = |(name, text): (&String, &String)| {
            check_header(name).map_err(|problem| format!("headers: {problem}"))?;
            Ok((name.clone(), parse(&format!("headers.{name}"), text)?))
        };
        if let Some(to) = &settings.to
            && !to.contains('{')
            && addresses(to).len() > 1
        {
            return Err(format!("to: has {} addresses. Write one, and the others as `cc`.", addresses(to).len()));
        }
        Ok(Self {
            to: one("to", &settings.to)?,
            cc: one("cc", &settings.cc)?,
            bcc: one("bcc", &settings.bcc)?,
            reply_to: one("reply_to", &settings.reply_to)?,
            headers: settings.headers.iter().map(header).collect::<Result<_, String>>()?,
        })
    }

    /// Whether mail may go elsewhere than to its recipient.
    pub fn has_to(&self) -> bool {
        self.to.is_some()
    }
}

impl Overrides {
    /// Parses all of them; `complain` takes each complaint and the field that it is about.
    pub(super) fn parse(
        written: &EmailOverrides,
        engine: Engine,
        partials: &Partials,
        complain: &mut dyn FnMut(&str, Complaint),
    ) -> Option<Self> {
        let mut sound = true;
        let mut parse = |field: &str, text: &Option<String>| {
            let mut complain = |complaint| complain(field, complaint);
            let parsed = Source::read(text.as_deref()?, engine, Escape::None, partials, &mut complain);
            sound = sound && parsed.is_some();
            parsed
        };
        let overrides = Self {
            from_address: parse("from_address", &written.from_address),
            from_name: parse("from_name", &written.from_name),
            to: parse("to_address", &written.to),
            cc: parse("cc_address", &written.cc),
            bcc: parse("bcc_address", &written.bcc),
            reply_to: parse("reply_to_address", &written.reply_to),
            json: parse("json_overrides", &written.json),
        };
        sound.then_some(overrides)
    }

    /// Renders them over those of the channel; `name` is the step's. What renders to nothing overrides nothing. Answers
    /// another subject too, if there is one.
    pub(super) fn render(
        &self,
        name: &str,
        context: &Context,
        channel: &ChannelAddressing,
    ) -> Result<(Addressing, Option<String>), RenderError> {
        let one = |label: &str, source: &Option<Source>| -> Result<Option<String>, RenderError> {
            let Some(source) = source else { return Ok(None) };
            let text = source.render(label, context, EMAIL_BYTES)?;
            Ok(Some(line::one(&text)).filter(|text| !text.is_empty()))
        };
        let text = |field: &str, source: &Option<Source>| one(&label(name, field), source);
        let first = |field: &str, own: &Option<Source>, channels: &Option<Source>| match text(field, own)? {
            Some(own) => Ok(Some(own)),
            None => one(&channel_label(field), channels),
        };
        let list = |field: &str, own: &Option<Source>, channels: &Option<Source>| -> Result<Vec<String>, RenderError> {
            Ok(first(field, own, channels)?.map(|text| addresses(&text)).unwrap_or_default())
        };
        let header = |(header, source): &(String, Source)| {
            let value = source.render(&channel_label(header), context, EMAIL_BYTES)?;
            Ok((header.clone(), line::one(&value)))
        };
        let mut addressing = Addressing {
            from_address: text("from_address", &self.from_address)?,
            from_name: text("from_name", &self.from_name)?,
            // One: a comma in what a recipient may have written does not add another.
            to: first("to_address", &self.to, &channel.to)?.into_iter().collect(),
            cc: list("cc_address", &self.cc, &channel.cc)?,
            bcc: list("bcc_address", &self.bcc, &channel.bcc)?,
            reply_to: list("reply_to_address", &self.reply_to, &channel.reply_to)?,
            headers: channel.headers.iter().map(header).collect::<Result<_, _>>()?,
        };
        let mut subject = None;
        if let Some(source) = &self.json {
            let label = label(name, "json_overrides");
            let text = source.render(&label, context, EMAIL_BYTES)?;
            subject =
                merge(&mut addressing, &text).map_err(|problem| RenderError::new(&label, Cause::Template(problem)))?;
        }
        for (kind, list) in [("to", &addressing.to), ("cc", &addressing.cc), ("bcc", &addressing.bcc)] {
            if list.len() > MOST {
                let problem = format!("{} addresses; at most {MOST} are allowed", list.len());
                return Err(RenderError::new(&label(name, &format!("{kind}_address")), Cause::Template(problem)));
            }
        }
        Ok((addressing, subject))
    }
}

fn label(name: &str, field: &str) -> String {
    format!("{name}.channel_overrides.{field}")
}

fn channel_label(field: &str) -> String {
    format!("the channel's {}", field.trim_end_matches("_address"))
}

/// The addresses of a list with commas, each `a@b.c` or `Name <a@b.c>`; a comma in quotes separates nothing.
fn addresses(text: &str) -> Vec<String> {
    let mut quoted = false;
    let parts = text.split(|letter: char| {
        quoted ^= letter == '"';
        letter == ',' && !quoted
    });
    parts.map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// Takes over what rendered `json_overrides` say. Answers the subject, if they name one.
fn merge(addressing: &mut Addressing, json: &str) -> Result<Option<String>, String> {
    if json.trim().is_empty() {
        return Ok(None);
    }
    let fields: Map<String, Value> =
        serde_json::from_str(json).map_err(|error| format!("is no JSON object: {error}"))?;
    let mut subject = None;
    for (key, value) in fields.into_iter().filter(|(_, value)| !value.is_null()) {
        match key.as_str() {
            "from" => addressing.from_address = Some(line::one(&text(&key, value)?)),
            "to" => addressing.to = list(&key, value)?,
            "cc" => addressing.cc = list(&key, value)?,
            "bcc" => addressing.bcc = list(&key, value)?,
            "reply_to" => addressing.reply_to = list(&key, value)?,
            "subject" => subject = Some(line::one(&text(&key, value)?)),
            "headers" => addressing.headers = headers(value)?,
            _ => {
                let fix = format!("An email takes {}.", quoted_list(&PAYLOAD));
                return Err(format!("`{key}` is not known here. {}", did_you_mean(nearest(&key, PAYLOAD), &fix)));
            }
        }
    }
    Ok(subject)
}

fn text(key: &str, value: Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        _ => Err(format!("`{key}` is not a text")),
    }
}

fn list(key: &str, value: Value) -> Result<Vec<String>, String> {
    match value {
        Value::String(text) => Ok(addresses(&line::one(&text))),
        Value::Array(items) => items.into_iter().map(|item| Ok(line::one(&text(key, item)?))).collect(),
        _ => Err(format!("`{key}` is neither an address nor a list of them")),
    }
}

fn headers(value: Value) -> Result<Vec<(String, String)>, String> {
    let Value::Object(fields) = value else { return Err("`headers` is not an object".to_owned()) };
    if fields.len() > MOST {
        return Err(format!("`headers` has {} fields; at most {MOST} are allowed", fields.len()));
    }
    let header = |(name, value): (String, Value)| {
        check_header(&name)?;
        let value = line::one(&text(&name, value)?);
        Ok((name, value))
    };
    fields.into_iter().map(header).collect()
}

/// Refuses names that are none, and those of headers that nobody but this server writes.
fn check_header(name: &str) -> Result<(), String> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if name.is_empty() || name.len() > 76 || !name.bytes().all(token) {
        return Err("a name in `headers` is none: use letters, digits and -".to_owned());
    }
    if OURS.contains(&name.to_ascii_lowercase().as_str()) {
        return Err(format!("the header `{name}` is not for templates to write"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_list_of_addresses_is_cut_at_commas_outside_of_quotes() {
        assert_eq!(
            addresses("a@x.test, \"B, C\" <b@x.test> ,,"),
            ["a@x.test".to_owned(), "\"B, C\" <b@x.test>".to_owned()]
        );
    }

    #[test]
    fn json_overrides_change_what_they_name_and_nothing_else() {
        let mut addressing = Addressing { cc: vec!["c@x.test".into()], ..Addressing::default() };
        let json = json!({"to": ["a@x.test", "b@x.test"], "subject": "Hi\r\nBcc: x", "headers": {"X-Tag": "a\nb"}, "bcc": null});
        let subject = merge(&mut addressing, &json.to_string()).unwrap();
        assert_eq!(subject.as_deref(), Some("Hi Bcc: x"));
        assert_eq!(addressing.to, ["a@x.test", "b@x.test"]);
        assert_eq!(addressing.cc, ["c@x.test"]);
        assert_eq!(addressing.headers, [("X-Tag".to_owned(), "a b".to_owned())]);
    }

    #[test]
    fn what_json_overrides_cannot_say_is_named() {
        let problem = |json: Value| merge(&mut Addressing::default(), &json.to_string()).unwrap_err();
        assert!(
            problem(json!({"replyto": "x"})).starts_with("`replyto` is not known here. Did you mean \"reply_to\"?")
        );
        assert_eq!(problem(json!({"headers": {"Bcc": "x"}})), "the header `Bcc` is not for templates to write");
        assert!(problem(json!({"headers": {"X:": "x"}})).starts_with("a name in `headers` is none"));
        assert_eq!(problem(json!({"to": 1})), "`to` is neither an address nor a list of them");
        assert!(problem(json!([1])).starts_with("is no JSON object"));
    }
}
