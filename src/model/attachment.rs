//! Attachments of an email: what a trigger's data says, and the files that it means.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

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

/// The most attachments of an email.
const MOST: usize = 50;

/// Reads one attachment, or a list of them: `{name, content_type, content}` with the content in base64, and optionally
/// `content_id` and `disposition`. The error says which one is wrong, and never what is in it.
pub fn read(value: &Value) -> Result<Vec<Attachment>, String> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Object(_) => Ok(vec![read_one(value)?]),
        Value::Array(items) if items.len() > MOST => {
            Err(format!("has {} attachments; at most {MOST} are allowed", items.len()))
        }
        Value::Array(items) => {
            let numbered = |(index, item)| read_one(item).map_err(|problem| format!("[{index}] {problem}"));
            items.iter().enumerate().map(numbered).collect()
        }
        other => Err(format!("is {}; write an object with name, content_type and content", shown(other))),
    }
}

fn read_one(value: &Value) -> Result<Attachment, String> {
    let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty());
    let required = |key: &str| text(key).ok_or_else(|| format!("has no `{key}`"));
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
    let content: String = required("content")?.split_ascii_whitespace().collect();
    let content = STANDARD.decode(content).map_err(|_| "has a `content` that is not base64".to_owned())?;
    let content_id = text("content_id").map(|id| id.trim_matches(['<', '>']).to_owned());
    if content_id.as_deref().is_some_and(|id| !plain(id)) {
        return Err("has a `content_id` with blanks or marks in it".to_owned());
    }
    let inline = match text("disposition") {
        None => content_id.is_some(),
        Some("inline") => true,
        Some("attachment") => false,
        Some(_) => return Err("has a `disposition` that is neither \"inline\" nor \"attachment\"".to_owned()),
    };
    Ok(Attachment {
        name: required("name")?.to_owned(),
        content_type: content_type.to_owned(),
        content,
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
