//! How long something is kept.

use std::time::Duration;

use serde::{Serialize, Serializer};

use super::fault::Wrong;
use super::setting::Setting;
use super::span;
use super::tree::Value;
use crate::base::clock::Timestamp;

/// The word for no end.
const FOREVER: &str = "forever";

/// How long something is kept; longer is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Keep {
    For(Duration),
    Forever,
}

impl Keep {
    /// What is older than this at `now` is past its time; `None`: nothing is.
    pub fn cutoff(self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::For(span) => Some(now.minus(span)),
            Self::Forever => None,
        }
    }
}

impl Setting for Keep {
    fn read(value: &Value) -> Result<Self, Wrong> {
        let wrong =
            |problem: String| Wrong::new(problem, "Write \"forever\", or a span of a minute or more, such as \"90d\".");
        let text = value.text("a span of time such as \"90d\", or \"forever\"")?;
        if text == FOREVER {
            return Ok(Self::Forever);
        }
        let span =
            span::parse(text).ok_or_else(|| wrong(format!("`{}` is not a span of time", text.escape_debug())))?;
        if span < Duration::from_secs(60) {
            return Err(wrong(format!("`{}` is too short to be of use", text.escape_debug())));
        }
        Ok(Self::For(span))
    }
}

impl Serialize for Keep {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::For(span) => span::serialize(span, serializer),
            Self::Forever => serializer.serialize_str(FOREVER),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forever_is_longer_than_any_span_and_has_no_cutoff() {
        let days = |days: u64| Keep::For(Duration::from_secs(days * 86_400));
        assert!(days(1) < days(2) && days(100_000) < Keep::Forever);
        let now = Timestamp::from_millis(86_400_000);
        assert_eq!((days(1).cutoff(now), Keep::Forever.cutoff(now)), (Some(Timestamp::default()), None));
    }

    #[test]
    fn what_is_written_reads_back_and_what_is_no_span_is_refused() {
        for text in ["forever", "90d", "1m"] {
            let keep = Keep::read(&Value::Text(text.into())).unwrap();
            assert_eq!(serde_json::to_value(keep).unwrap(), text);
        }
        for text in ["", "never", "59s", "0s", "1 year"] {
            assert!(Keep::read(&Value::Text(text.into())).is_err(), "{text}");
        }
    }
}
