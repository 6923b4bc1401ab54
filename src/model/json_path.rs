//! JSON paths as faults name them: `steps[2].settings.delay_for.unit`.

/// A longer key is cut where a path names it: whoever reads the path must still see its end.
const LONGEST_KEY: usize = 64;

/// The path of the field `key` of the object at `path`.
pub fn field(path: &str, key: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-$@".contains(c);
    if key.is_empty() || key.len() > LONGEST_KEY || !key.chars().all(plain) {
        let shown: String = key.chars().take(LONGEST_KEY).collect();
        return format!("{path}[{shown:?}]");
    }
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// The path of the element `index` of the array at `path`.
pub fn element(path: &str, index: usize) -> String {
    format!("{path}[{index}]")
}

/// `path` and the paths of all that contain it, innermost first, each with what follows it.
pub fn ancestors(path: &str) -> impl Iterator<Item = (&str, &str)> {
    let cuts = path.char_indices().rev().filter(|(_, c)| matches!(c, '.' | '[')).map(|(at, _)| at);
    std::iter::once(path.len()).chain(cuts).map(|at| path.split_at(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_as_one_would_write_it() {
        let path = field(&element(&field("", "steps"), 2), "html_body@");
        assert_eq!(path, "steps[2].html_body@");
    }

    #[test]
    fn an_unusual_key_is_quoted_and_cut() {
        assert_eq!(field("a", "b.c\n"), "a[\"b.c\\n\"]");
        assert_eq!(field("a", ""), "a[\"\"]");
        assert!(field("a", &"x".repeat(1_000)).len() < 80);
    }

    #[test]
    fn ancestors_go_from_the_inside_out() {
        let all: Vec<_> = ancestors("a[0].b").collect();
        assert_eq!(all, [("a[0].b", ""), ("a[0]", ".b"), ("a", "[0].b")]);
    }
}
