//! What is checked in a template's source before the parser sees it: the parser recurses into nesting and is quadratic
//! in it, so its input is bounded by one linear scan that reads tags, strings and comments as the grammar does.

use super::budget::{SOURCE_BYTES, SOURCE_DEPTH, SOURCE_TAGS, TAG_PARTS};
use super::error::{Complaint, Position};

/// Refuses a source whose parsing or rendering could not be bounded.
pub(super) fn check(source: &str) -> Result<(), Complaint> {
    if source.len() > SOURCE_BYTES {
        let problem = format!("the template has {} bytes, more than {SOURCE_BYTES}", source.len());
        return Err(Complaint::new(None, problem, "Move what is data out of the template."));
    }
    Scan { source, blocks: Vec::new(), depth: 0, tags: 0 }.run()
}

struct Scan<'s> {
    source: &'s str,
    /// For each open block what it adds to the depth: one, and one for each `else if`.
    blocks: Vec<usize>,
    depth: usize,
    tags: usize,
}

impl Scan<'_> {
    fn run(mut self) -> Result<(), Complaint> {
        let mut from = 0;
        while let Some(open) = find(self.source, from, "{{") {
            self.tags += 1;
            if self.tags > SOURCE_TAGS {
                let problem = format!("the template has more than {SOURCE_TAGS} tags");
                return Err(self.complaint(open, problem, "Loop over a list instead of naming each value."));
            }
            let backslashes = self.source[from..open].bytes().rev().take_while(|byte| *byte == b'\\').count();
            let braces = self.source[open..].bytes().take_while(|byte| *byte == b'{').count();
            from = match (backslashes, braces) {
                // Escaped: the braces are text.
                (1, _) => open + if braces >= 4 { 4 } else { 2 },
                (_, 4..) => {
                    let fix = "Write \\{{ where two braces are meant as text.";
                    return Err(self.complaint(open, "a raw block `{{{{` is not supported", fix));
                }
                _ => match comment_end(self.source, open) {
                    Some(end) => end,
                    None => self.tag(open, open + braces.min(3))?,
                },
            };
        }
        Ok(())
    }

    /// Reads the tag whose content begins at `start` and gives the offset after it.
    fn tag(&mut self, open: usize, start: usize) -> Result<usize, Complaint> {
        let content = self.source[start..].trim_start_matches(['~', ' ', '\t', '\n', '\r']);
        let begin = self.source.len() - content.len();
        let end = self.tag_end(open, begin)?;
        let content = self.source[begin..end].trim_end_matches(['~', ' ', '\t', '\n', '\r']);
        match content.as_bytes().first() {
            Some(b'#') => self.deepen(open, true)?,
            Some(b'/') => self.depth -= self.blocks.pop().unwrap_or(0),
            Some(b'^') if content.len() > 1 => self.deepen(open, false)?,
            _ if content.len() > 4 && content.starts_with("else") => self.deepen(open, false)?,
            _ => {}
        }
        Ok((end + 2).min(self.source.len()))
    }

    fn deepen(&mut self, open: usize, block: bool) -> Result<(), Complaint> {
        match self.blocks.last_mut() {
            Some(added) if !block => *added += 1,
            _ => self.blocks.push(1),
        }
        self.depth += 1;
        if self.depth > SOURCE_DEPTH {
            let problem = format!("blocks nest deeper than {SOURCE_DEPTH} levels");
            return Err(self.complaint(open, problem, "Flatten them; each `else if` counts as a level."));
        }
        Ok(())
    }

    /// The offset of the `}}` that ends the tag. Refuses what would let this scan and the parser disagree about it.
    fn tag_end(&self, open: usize, begin: usize) -> Result<usize, Complaint> {
        let bytes = self.source.as_bytes();
        let (mut at, mut parts, mut spaced) = (begin, 0, false);
        while let Some(&byte) = bytes.get(at) {
            match byte {
                b'}' if bytes.get(at + 1) == Some(&b'}') => return Ok(at),
                b'{' => {
                    let fix = "Pass the object in the trigger's data.";
                    return Err(self.complaint(open, "an object inside a tag is not supported", fix));
                }
                b'"' | b'\'' => at = string_end(bytes, at),
                b'[' => {
                    parts += 1;
                    let end = find(self.source, at, "]").unwrap_or(bytes.len());
                    if self.source[at..end].contains(['"', '\'', '{', '}', '(']) {
                        let fix = "Use `split` to make a list of texts, and plain names inside brackets.";
                        return Err(self.complaint(open, "quotes inside [brackets] are not supported", fix));
                    }
                    parts += self.source[at + 1..end].matches('[').count();
                    at = end;
                }
                b'(' | b'.' | b'/' | b'=' => parts += 1,
                byte if byte.is_ascii_whitespace() && !spaced => parts += 1,
                _ => {}
            }
            if parts > TAG_PARTS {
                let problem = format!("a tag has more than {TAG_PARTS} parts");
                return Err(self.complaint(open, problem, "Split it, or compute the value before the trigger."));
            }
            spaced = byte.is_ascii_whitespace();
            at += 1;
        }
        Ok(bytes.len())
    }

    fn complaint(&self, offset: usize, problem: impl Into<String>, fix: &str) -> Complaint {
        Complaint::new(Some(Position::of(self.source, offset)), problem, fix)
    }
}

/// Where the comment that begins at `open` ends, if one does.
fn comment_end(source: &str, open: usize) -> Option<usize> {
    let rest = source[open..].strip_prefix("{{!")?;
    let inside = rest.trim_start_matches([' ', '\t', '\n', '\r']);
    let long = inside.strip_prefix("--").and_then(|text| Some(source.len() - text.len() + text.find("--}}")? + 4));
    Some(long.or_else(|| Some(find(source, open, "}}")? + 2)).unwrap_or(source.len()))
}

/// The offset of the quote that ends the string which begins at `start`.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 1,
            byte if byte == bytes[start] => return at,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

fn find(source: &str, from: usize, needle: &str) -> Option<usize> {
    source.get(from..)?.find(needle).map(|at| from + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(source: &str) -> Option<String> {
        check(source).err().map(|complaint| complaint.problem)
    }

    #[test]
    fn ordinary_templates_pass() {
        let sixty = "{{#if a}}x{{/if}}".repeat(60);
        for source in ["", "{{a}}", "{{{a}}}", "\\{{{{a", "{{!-- {{#if}} --}}", "{{", "{{~#if a~}}b{{~/if~}}", &sixty] {
            assert_eq!(problem(source), None, "{source}");
        }
    }

    #[test]
    fn nesting_is_counted_whatever_hides_it() {
        let nested = |open: &str, count: usize| problem(&open.repeat(count));
        assert_eq!(nested("{{#if a}}", 64), None);
        for open in [
            "{{#if a}}",
            "{{~ #if a}}",
            "{{#if a}}{{! {{/if}} }}",
            "{{#if a}}{{!-- {{/if}} --}}",
            "{{#if a}}{{f \"{{/if}}\"}}",
            "{{#if a}}{{f '\\'{{/if}}'}}",
            "{{#if a}}\\{{/if}}",
            "{{#if a}}\\\\{{#if a}}",
        ] {
            assert_eq!(nested(open, 65), Some("blocks nest deeper than 64 levels".into()), "{open}");
        }
        let chain = format!("{{{{#if a}}}}{}{{{{/if}}}}", "{{else if b}}".repeat(64));
        assert_eq!(problem(&chain), Some("blocks nest deeper than 64 levels".into()));
    }

    #[test]
    fn what_cannot_be_bounded_is_refused() {
        let cases = [
            ("{{{{raw}}}}{{{{/raw}}}}".to_owned(), "a raw block `{{{{` is not supported"),
            ("{{f {\"a\": 1}}}".to_owned(), "an object inside a tag is not supported"),
            ("{{f a.[\"] \"{{/if}}\"}}".to_owned(), "quotes inside [brackets] are not supported"),
            (format!("{{{{{}x}}}}", "(f ".repeat(65)), "a tag has more than 64 parts"),
            (format!("{{{{{}a}}}}", "a.".repeat(65)), "a tag has more than 64 parts"),
            (format!("{{{{f {}]}}}}", "[".repeat(65)), "a tag has more than 64 parts"),
            ("{{a}}".repeat(2_001), "the template has more than 2000 tags"),
            ("a".repeat(SOURCE_BYTES + 1), "the template has 262145 bytes, more than 262144"),
        ];
        for (source, expected) in cases {
            assert_eq!(problem(&source).as_deref(), Some(expected));
        }
    }

    #[test]
    fn a_complaint_names_line_and_column() {
        let complaint = check("é\nab{{{{x}}}}").unwrap_err();
        assert_eq!(complaint.at, Some(Position { line: 2, column: 3 }));
    }
}
