//! The words inside a tag: names, texts, numbers, marks.

use std::ops::Range;

use crate::template::error::{Complaint, Position};

/// A word, and where it begins.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Word<'t> {
    Name(&'t str),
    Text(String),
    Int(i64),
    Float(f64),
    Mark(&'static str),
}

/// The most words in a tag. Bounds what one tag can cost.
const TAG_WORDS: usize = 256;

/// Every mark; one that begins another comes after it.
const MARKS: [&str; 17] = ["..", "==", "!=", "<>", "<=", ">=", ".", "[", "]", "(", ")", "|", ":", ",", "<", ">", "="];

/// Reads the words of a tag one after the other.
pub(super) struct Words<'t> {
    source: &'t str,
    words: Vec<(usize, Word<'t>)>,
    at: usize,
    end: usize,
}

impl<'t> Words<'t> {
    /// The words in `range` of `source`.
    pub(super) fn new(source: &'t str, range: Range<usize>) -> Result<Self, Complaint> {
        let mut words = Vec::new();
        let mut at = range.start;
        while let Some(letter) = source[at..range.end].chars().next() {
            if letter.is_whitespace() {
                at += letter.len_utf8();
                continue;
            }
            if words.len() == TAG_WORDS {
                let problem = format!("a tag has more than {TAG_WORDS} words");
                return Err(Complaint::new(
                    Some(Position::of(source, range.start)),
                    problem,
                    "Split it with `assign`.",
                ));
            }
            let (word, length) = read(source, at, range.end)?;
            words.push((at, word));
            at += length;
        }
        Ok(Self { source, words, at: 0, end: range.end })
    }

    pub(super) fn peek(&self) -> Option<&Word<'t>> {
        self.words.get(self.at).map(|(_, word)| word)
    }

    pub(super) fn next(&mut self) -> Option<Word<'t>> {
        let word = self.peek().cloned();
        self.at += 1;
        word
    }

    /// Takes the mark if it comes next.
    pub(super) fn take(&mut self, mark: &str) -> bool {
        let found = matches!(self.peek(), Some(Word::Mark(next)) if *next == mark);
        self.at += usize::from(found);
        found
    }

    /// Takes the name if it comes next.
    pub(super) fn take_name(&mut self, name: &str) -> bool {
        let found = matches!(self.peek(), Some(Word::Name(next)) if *next == name);
        self.at += usize::from(found);
        found
    }

    /// Takes a name and the mark behind it, if they come next.
    pub(super) fn take_label(&mut self, mark: &str) -> Option<&'t str> {
        match (self.words.get(self.at), self.words.get(self.at + 1)) {
            (Some((_, Word::Name(name))), Some((_, Word::Mark(next)))) if *next == mark => {
                let name = *name;
                self.at += 2;
                Some(name)
            }
            _ => None,
        }
    }

    /// The offset of the word that comes next, else of the end.
    pub(super) fn offset(&self) -> usize {
        self.words.get(self.at).map_or(self.end, |(offset, _)| *offset)
    }

    /// How many words were taken.
    pub(super) fn taken(&self) -> usize {
        self.at
    }

    /// The source from `offset` to the word that comes next.
    pub(super) fn text_since(&self, offset: usize) -> &'t str {
        self.source[offset..self.offset().max(offset)].trim()
    }

    /// A complaint about what comes next.
    pub(super) fn complaint(&self, problem: impl Into<String>, fix: impl Into<String>) -> Complaint {
        self.complaint_at(self.offset(), problem, fix)
    }

    /// A complaint about what stands at `offset`.
    pub(super) fn complaint_at(&self, offset: usize, problem: impl Into<String>, fix: impl Into<String>) -> Complaint {
        Complaint::new(Some(Position::of(self.source, offset)), problem, fix)
    }

    /// A complaint that something else than `expected` comes next.
    pub(super) fn unexpected(&self, expected: &str, fix: impl Into<String>) -> Complaint {
        let found = match self.peek() {
            None => "the tag ends".to_owned(),
            Some(Word::Name(name)) => format!("`{name}` stands"),
            Some(Word::Mark(mark)) => format!("`{mark}` stands"),
            Some(Word::Text(_)) => "a text stands".to_owned(),
            Some(Word::Int(_) | Word::Float(_)) => "a number stands".to_owned(),
        };
        self.complaint(format!("{found} where {expected} should"), fix)
    }

    /// Refuses what is left over.
    pub(super) fn end(&self, fix: impl Into<String>) -> Result<(), Complaint> {
        if self.peek().is_none() { Ok(()) } else { Err(self.unexpected("the tag's end", fix)) }
    }
}

/// The word at `at`, and its length.
fn read(source: &str, at: usize, end: usize) -> Result<(Word<'_>, usize), Complaint> {
    let rest = &source[at..end];
    let complaint = |problem: String, fix: &str| Err(Complaint::new(Some(Position::of(source, at)), problem, fix));
    let digit = |text: &str| text.starts_with(|letter: char| letter.is_ascii_digit());
    let Some(first) = rest.chars().next() else { return complaint("the tag ends too early".into(), "Complete it.") };
    if first == '"' || first == '\'' {
        return match read_text(&rest[1..], first) {
            Some((text, length)) => Ok((Word::Text(text), length + 1)),
            None => complaint("a text is not closed".into(), &format!("End it with {first}.")),
        };
    }
    if digit(rest) || first == '-' && digit(&rest[1..]) {
        return Ok(read_number(rest));
    }
    if first.is_alphabetic() || first == '_' {
        let inside = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '-');
        let length = rest.find(|letter: char| !inside(letter)).unwrap_or(rest.len());
        let length = length + usize::from(rest[length..].starts_with('?'));
        return Ok((Word::Name(&rest[..length]), length));
    }
    if let Some(mark) = MARKS.iter().find(|mark| rest.starts_with(**mark)) {
        return Ok((Word::Mark(mark), mark.len()));
    }
    match first {
        '&' => complaint("`&` is no operator".into(), "Write `and`."),
        '!' => complaint("`!` is no operator".into(), "Write `not`, or != to compare."),
        '{' | '}' => complaint(
            format!("`{first}` cannot stand inside a tag"),
            "Write values as {{ name }}, without more braces.",
        ),
        _ => complaint(
            format!("`{}` means nothing here", first.escape_default()),
            "Write names, numbers, or texts in quotes.",
        ),
    }
}

/// The text up to `quote`, and its length with that.
fn read_text(rest: &str, quote: char) -> Option<(String, usize)> {
    let mut text = String::new();
    let mut letters = rest.char_indices();
    while let Some((at, letter)) = letters.next() {
        if letter == quote {
            return Some((text, at + 1));
        }
        if letter != '\\' {
            text.push(letter);
            continue;
        }
        match letters.next()?.1 {
            'n' => text.push('\n'),
            't' => text.push('\t'),
            'r' => text.push('\r'),
            'u' => {
                let code = rest.get(at + 2..at + 6).and_then(|digits| u32::from_str_radix(digits, 16).ok());
                match code.and_then(char::from_u32) {
                    Some(letter) => {
                        text.push(letter);
                        letters.nth(3);
                    }
                    None => text.push('u'),
                }
            }
            letter => text.push(letter),
        }
    }
    None
}

fn read_number(rest: &str) -> (Word<'static>, usize) {
    let digits = |from: usize| rest[from..].bytes().take_while(u8::is_ascii_digit).count();
    let sign = usize::from(rest.starts_with('-'));
    let whole = sign + digits(sign);
    let fraction = if rest[whole..].starts_with('.') { digits(whole + 1) } else { 0 };
    let length = if fraction > 0 { whole + 1 + fraction } else { whole };
    let word = match rest[..length].parse() {
        Ok(number) => Word::Int(number),
        // Digits alone can be too many, never wrong.
        Err(_) => {
            Word::Float(rest[..length].parse().ok().filter(|number: &f64| number.is_finite()).unwrap_or(f64::MAX))
        }
    };
    (word, length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_names_texts_numbers_and_marks() {
        let source = "a.b-c? [0] | f: \"x\\n\\\"\\u00e9\", 'y' (-1..2.5) 1..3 >= <> é_1 99999999999999999999";
        let mut words = Words::new(source, 0..source.len()).unwrap();
        let mut read = Vec::new();
        while let Some(word) = words.next() {
            read.push(match word {
                Word::Name(name) => name.to_owned(),
                Word::Text(text) => format!("{text:?}"),
                Word::Int(number) => format!("#{number}"),
                Word::Float(number) => format!("#{number:?}"),
                Word::Mark(mark) => mark.to_owned(),
            });
        }
        assert_eq!(
            read.join(" "),
            "a . b-c? [ #0 ] | f : \"x\\n\\\"é\" , \"y\" ( #-1 .. #2.5 ) #1 .. #3 >= <> é_1 #1e20"
        );
    }

    #[test]
    fn what_is_no_word_is_a_complaint_that_says_what_is_meant() {
        for (source, expected) in [
            ("a && b", "Write `and`."),
            ("!a", "Write `not`, or != to compare."),
            ("'it", "End it with '."),
            ("{a}", "Write values as {{ name }}, without more braces."),
            ("a \u{0}", "Write names, numbers, or texts in quotes."),
        ] {
            let complaint = Words::new(source, 0..source.len()).err().unwrap();
            assert_eq!(complaint.fix, expected, "{source}");
        }
    }
}
