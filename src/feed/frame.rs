//! Frames of Phoenix's channel protocol, version 2.0.0: `[join_ref, ref, topic, event, payload]` (`knock-api.md`
//! section 4.2).

use bytestring::ByteString;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A frame from a client.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    /// Echoed as it came: the client drops what carries another.
    pub join_ref: Option<String>,
    pub reference: Option<String>,
    pub topic: String,
    pub event: String,
    pub payload: Value,
}

impl Frame {
    /// Reads a frame. The error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Five(Option<String>, Option<String>, String, String, Value);
        let Five(join_ref, reference, topic, event, payload) = serde_json::from_str(text)
            .map_err(|error| format!("not [join_ref, ref, topic, event, payload]: {error}"))?;
        Ok(Self { join_ref, reference, topic, event, payload })
    }

    /// The answer that its request was carried out.
    pub fn ok(&self) -> ByteString {
        self.reply("ok", json!({}))
    }

    /// The answer that it was not, and why.
    pub fn refused(&self, reason: &str) -> ByteString {
        self.reply("error", json!({"reason": reason}))
    }

    fn reply(&self, status: &str, response: Value) -> ByteString {
        let payload = json!({"status": status, "response": response});
        encode(self.join_ref.as_deref(), self.reference.as_deref(), &self.topic, "phx_reply", &payload)
    }
}

/// An event of a topic. It names no join, so that one frame serves all who joined it.
pub fn event(topic: &str, event: &str, payload: &impl Serialize) -> ByteString {
    encode(None, None, topic, event, payload)
}

fn encode(
    join_ref: Option<&str>,
    reference: Option<&str>,
    topic: &str,
    event: &str,
    payload: &impl Serialize,
) -> ByteString {
    // Strings, numbers and maps with text for keys always have a JSON form.
    serde_json::to_string(&(join_ref, reference, topic, event, payload)).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_echoes_both_references_as_they_came() {
        let frame = Frame::parse(r#"["7","9","feeds:c:u","phx_join",{"archived":"exclude"}]"#).unwrap();
        assert_eq!(frame.payload, json!({"archived": "exclude"}));
        assert_eq!(frame.ok(), r#"["7","9","feeds:c:u","phx_reply",{"response":{},"status":"ok"}]"#);
        let heartbeat = Frame::parse(r#"[null,"8","phoenix","heartbeat",{}]"#).unwrap();
        assert_eq!(heartbeat.ok(), r#"[null,"8","phoenix","phx_reply",{"response":{},"status":"ok"}]"#);
    }

    #[test]
    fn what_is_no_frame_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "EOF"),
            ("{}", "invalid type: map"),
            ("[1,\"2\",\"t\",\"e\",{}]", "invalid type: integer `1`"),
            ("[null,\"2\",\"t\",\"e\"]", "invalid length 4"),
            ("[null,\"2\",\"t\",\"e\",{},1]", "trailing characters"),
            ("[null,\"2\",null,\"e\",{}]", "invalid type: null"),
        ] {
            let why = Frame::parse(text).unwrap_err();
            assert!(why.contains(reason), "{text}: {why}");
        }
        assert!(Frame::parse(&format!("[null,null,\"t\",\"e\",{}", "[".repeat(10_000))).is_err());
    }
}
