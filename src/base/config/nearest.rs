//! "Did you mean": the known word nearest to an unknown one.

/// The nearest of `known`, unless none is near enough to be meant: a third of the letters may be wrong.
pub(super) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let word = word.to_lowercase();
    let most = (word.chars().count() / 3).max(1);
    known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word, candidate), *candidate))
        .filter(|(distance, _)| *distance <= most)
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_finds_its_word_and_a_foreign_word_finds_none() {
        let known = ["listen", "public_url", "data_dir", "dev"];
        assert_eq!(nearest("listn", &known), Some("listen"));
        assert_eq!(nearest("Data-Dir", &known), Some("data_dir"));
        assert_eq!(nearest("colour", &known), None);
    }
}
