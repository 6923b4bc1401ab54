//! "Did you mean": the known word that a mistyped one is nearest to.

use std::cmp::Reverse;

/// More edits than this are another word, however long it is.
const MOST_EDITS: usize = 2;

/// What so many edits change in length: a character has at most four bytes.
const MOST_BYTES: usize = 4 * MOST_EDITS;

/// The word of `known` that `word` may be a slip of, if any is near enough. Letter case is a slip too.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .filter_map(|candidate| slip(word, candidate).map(|edits| (edits, candidate)))
        .min()
        .map(|(_, candidate)| candidate)
}

/// Asks whether `meant` was, if there is one, and says what is right anyway.
pub fn did_you_mean(meant: Option<&str>, right: &str) -> String {
    meant.map_or_else(|| right.to_owned(), |meant| format!("Did you mean {meant:?}? {right}"))
}

/// How many edits apart two words are, if few for their length. Words whose lengths differ too much are not compared:
/// the comparison is quadratic.
fn slip(word: &str, candidate: &str) -> Option<usize> {
    let longer = word.len().max(candidate.len());
    if longer - word.len().min(candidate.len()) > MOST_BYTES {
        return None;
    }
    let limit = longer.div_ceil(3).min(MOST_EDITS);
    let edits = strsim::damerau_levenshtein(&word.to_lowercase(), &candidate.to_lowercase());
    (edits <= limit && edits < longer).then_some(edits)
}

/// Sorts `names` by likeness to `word`, the likest first.
pub fn sort_by_likeness(word: &str, names: &mut [&str]) {
    let word: String = word.chars().take(255).collect::<String>().to_lowercase();
    names.sort_by_cached_key(|name| {
        let likeness = strsim::jaro_winkler(&word, &name.to_lowercase());
        (Reverse((likeness * 1_000.0) as u32), (*name).to_owned())
    });
}

/// `"email", "in-app" and 3 more`: at most ten names, quoted.
pub fn quoted_list(names: &[&str]) -> String {
    const SHOWN: usize = 10;
    let list = names.iter().take(SHOWN).map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => list,
        more => format!("{list} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_the_word_that_was_meant() {
        let units = ["seconds", "minutes", "hours", "days", "weeks", "months"];
        assert_eq!(nearest("dayz", units), Some("days"));
        assert_eq!(nearest("HOURS", units), Some("hours"));
        assert_eq!(nearest("chanel_key", ["channel_type", "channel_key"]), Some("channel_key"));
        let keys = ["listen", "public_url", "data_dir", "dev"];
        assert_eq!(nearest("listn", keys), Some("listen"));
        assert_eq!(nearest("Data-Dir", keys), Some("data_dir"));
    }

    #[test]
    fn another_word_is_not_taken_for_a_slip() {
        assert_eq!(nearest("colour", ["listen", "public_url", "data_dir", "dev"]), None);
        assert_eq!(nearest("fortnights", ["days", "weeks"]), None);
        assert_eq!(nearest("channel_key", ["channel_type", "channel_group_key"]), None);
        assert_eq!(nearest("html_body", ["text_body", "markdown_body"]), None);
        assert_eq!(nearest("a", ["b"]), None);
        assert_eq!(nearest("", ["a"]), None);
    }

    #[test]
    fn names_are_listed_likest_first_and_not_endlessly() {
        let mut names = ["in-app", "email", "sms"];
        sort_by_likeness("emial", &mut names);
        assert_eq!(names[0], "email");
        assert_eq!(quoted_list(&names[..1]), "\"email\"");
        assert!(quoted_list(&["x"; 12]).ends_with("\"x\" and 2 more"));
    }
}
