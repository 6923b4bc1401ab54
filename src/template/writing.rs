//! In which language an email is written, and from which side: what a style says of sides must be said of the other ones
//! where people read from right to left. Few mail programs know `inline-start`.

use serde_json::{Value, json};

use super::locale::is_right_to_left;

/// The var that has it.
pub const WRITING: &str = "writing";

/// Sets `vars.writing` of a scope to what fits `language`.
pub(super) fn apply(scope: &mut Value, language: &str) {
    let (direction, start, end) =
        if is_right_to_left(language) { ("rtl", "right", "left") } else { ("ltr", "left", "right") };
    if let Some(Value::Object(vars)) = scope.get_mut("vars") {
        let writing = json!({"language": language, "direction": direction, "start": start, "end": end});
        vars.insert(WRITING.to_owned(), writing);
    }
}
