//! Attachments of an email: what a trigger's data says, and the files that it means.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::json_reader::shown;

/// A file that goes with an email.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    pub name: String,
    /// A media type such as `application/pdf`.
    pub content_type: String,
    pub content: Vec<u8>,
    /// By which the HTML shows it: `<img src="cid:logo">`.
    pub content_id: Option<String>,
    /// Shown in the message rather than listed with it.
    pub inline: bool,
}

/// Where an attachment's content stands.
const CONTENT: &str = "content";

/// The most attachments of an email.
const MOST: usize = 50;

/// The most that the attachments of an email come to, in bytes. In base64 they are a third longer, and the largest mail
/// that big providers take has 25 MB.
const MOST_BYTES: usize = 18 * 1024 * 1024;

/// Reads one attachment, or a list of them: `{name, content_type, content}` with the content in base64, and optionally
/// `content_id` and `disposition`. The error says which one is wrong, and never what is in it.
pub fn read(value: &Value) -> Result<Vec<Attachment>, String> {
    let with_content = |item: &Value| {
        let text = text(item, CONTENT).ok_or("has no `content`")?;
        let stripped: String;
        let text = if text.contains(|letter: char| letter.is_ascii_whitespace()) {
            stripped = text.split_ascii_whitespace().collect();
            &stripped
        } else {
            text
        };
        let content = STANDARD.decode(text).map_err(|_| "has a `content` that is not base64")?;
        Ok(Attachment { content, ..read_head(item)? })
    };
    let attachments = each(value, with_content)?;
    let bytes: usize = attachments.iter().map(|file| file.content.len()).sum();
    if bytes > MOST_BYTES {
        return Err(format!("come to {bytes} bytes; at most {MOST_BYTES} fit into a mail that servers take"));
    }
    Ok(attachments)
}

/// How many attachments `value` holds. Reads all of them but their contents, which may be gone.
pub fn count(value: &Value) -> Result<usize, String> {
    each(value, read_head).map(|heads| heads.len())
}

/// `data` without the contents of the attachments under `keys`: what templates see. A message's data is copied many times
/// while it is rendered, and contents may be all of its 10 MB.
pub fn without_contents(data: &Map<String, Value>, keys: &[String]) -> Map<String, Value> {
    let field = |(key, value): (&String, &Value)| {
        (key.clone(), if keys.contains(key) { without_content(value) } else { value.clone() })
    };
    data.iter().map(field).collect()
}

/// One attachment, or a list of them, without contents.
pub fn without_content(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(without_content).collect(),
        Value::Object(fields) => {
            let rest = fields.iter().filter(|(name, _)| *name != CONTENT);
            Value::Object(rest.map(|(name, value)| (name.clone(), value.clone())).collect())
        }
        other => other.clone(),
    }
}

fn each<T>(value: &Value, read: impl Fn(&Value) -> Result<T, String>) -> Result<Vec<T>, String> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Object(_) => Ok(vec![read(value)?]),
        Value::Array(items) if items.len() > MOST => {
            Err(format!("has {} attachments; at most {MOST} are allowed", items.len()))
        }
        Value::Array(items) => {
            let numbered = |(index, item)| read(item).map_err(|problem| format!("[{index}] {problem}"));
            items.iter().enumerate().map(numbered).collect()
        }
        other => Err(format!("is {}; write an object with name, content_type and content", shown(other))),
    }
}

fn text<'a>(item: &'a Value, key: &str) -> Option<&'a str> {
    item.get(key).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty())
}

/// All of an attachment but its content.
fn read_head(item: &Value) -> Result<Attachment, String> {
    let required = |key: &str| text(item, key).ok_or_else(|| format!("has no `{key}`"));
    let content_type = required("content_type")?;
    let plain =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_graphic() && !b";,\"<>()".contains(&b));
    if !content_type
        .split(';')
        .next()
        .and_then(|kind| kind.trim().split_once('/'))
        .is_some_and(|(a, b)| plain(a) && plain(b))
    {
        return Err("has a `content_type` that is none, such as \"application/pdf\"".to_owned());
    }
    let content_id = text(item, "content_id").map(|id| id.trim_matches(['<', '>']).to_owned());
    if content_id.as_deref().is_some_and(|id| !plain(id)) {
        return Err("has a `content_id` with blanks or marks in it".to_owned());
    }
    let inline = match text(item, "disposition") {
        None => content_id.is_some(),
        Some("inline") => true,
        Some("attachment") => false,
        Some(_) => return Err("has a `disposition` that is neither \"inline\" nor \"attachment\"".to_owned()),
    };
    Ok(Attachment {
        name: required("name")?.to_owned(),
        content_type: content_type.to_owned(),
        content: Vec::new(),
        content_id,
        inline,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn one_or_many_are_read() {
        let file = json!({"name": "a.txt", "content_type": "text/plain", "content": "SGk="});
        let read_file = Attachment {
            name: "a.txt".into(),
            content_type: "text/plain".into(),
            content: b"Hi".to_vec(),
            content_id: None,
            inline: false,
        };
        assert_eq!(read(&file).unwrap(), std::slice::from_ref(&read_file));
        assert_eq!(read(&json!([file, file])).unwrap().len(), 2);
        assert_eq!(read(&json!(null)).unwrap(), []);
        let mut shown = file.clone();
        shown["content_id"] = json!("<logo>");
        let shown = read(&shown).unwrap().remove(0);
        assert_eq!((shown.content_id.as_deref(), shown.inline), (Some("logo"), true));
    }

    #[test]
    fn templates_see_all_but_the_contents_of_what_is_attached() {
        let file = json!({"name": "a.txt", "content_type": "text/plain", "content": "SGk="});
        let data = json!({"files": [file, 1], "one": file, "other": file, "content": "kept"});
        let light = without_contents(data.as_object().unwrap(), &["files", "one", "absent"].map(String::from));
        let head = json!({"name": "a.txt", "content_type": "text/plain"});
        assert_eq!(Value::Object(light), json!({"files": [head, 1], "one": head, "other": file, "content": "kept"}));
        assert_eq!((count(&json!([head, head])), count(&json!(null))), (Ok(2), Ok(0)));
        assert_eq!(read(&head), Err("has no `content`".to_owned()));
    }

    #[test]
    fn more_than_a_mail_can_carry_is_refused() {
        let content = STANDARD.encode(vec![0; MOST_BYTES / 2]);
        let file = json!({"name": "a", "content_type": "a/b", "content": content});
        assert_eq!(read(&json!([file, file])).map(|files| files.len()), Ok(2));
        let small = json!({"name": "a", "content_type": "a/b", "content": "SGk="});
        let problem = read(&json!([file, file, small])).unwrap_err();
        assert!(problem.starts_with("come to 18874370 bytes; at most 18874368"), "{problem}");
    }

    #[test]
    fn what_cannot_be_sent_is_named() {
        let problem = |key: &str, value: Value| {
            let mut file = json!({"name": "a", "content_type": "text/plain", "content": "SGk="});
            file[key] = value;
            read(&json!([file])).unwrap_err()
        };
        assert_eq!(problem("content", json!("*")), "[0] has a `content` that is not base64");
        assert_eq!(problem("name", json!("")), "[0] has no `name`");
        assert!(problem("content_type", json!("text")).contains("`content_type` that is none"));
        assert!(problem("content_type", json!("a/b\r\nX: y")).contains("`content_type` that is none"));
        assert!(problem("disposition", json!("x")).contains("neither"));
        assert!(read(&json!("x")).unwrap_err().starts_with("is \"x\""));
    }
}
