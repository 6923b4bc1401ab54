//! What is checked in a template's source before the parser sees it: the parser recurses into nesting and is quadratic
//! in it, so its input is bounded by one linear scan that reads tags, strings and comments as the grammar does.

use super::budget::{SOURCE_BYTES, SOURCE_DEPTH, SOURCE_TAGS, TAG_PARTS};
use super::error::{Complaint, Position};

/// Refuses a source whose parsing or rendering could not be bounded. Answers what its tags lack, if they seem to lack
/// something: should the parser refuse them, it would name the rules of its grammar.
pub(super) fn check(source: &str) -> Result<Option<Complaint>, Complaint> {
    if source.len() > SOURCE_BYTES {
        let problem = format!("the template has {} bytes, more than {SOURCE_BYTES}", source.len());
        return Err(Complaint::new(None, problem, "Move what is data out of the template."));
    }
    Scan { source, blocks: Vec::new(), depth: 0, tags: 0, lack: None }.run()
}

struct Scan<'s> {
    source: &'s str,
    blocks: Vec<Open<'s>>,
    depth: usize,
    tags: usize,
    /// The first thing that is missing.
    lack: Option<Complaint>,
}

/// A block that was not closed yet.
struct Open<'s> {
    at: usize,
    /// None of what only looks like one.
    name: Option<&'s str>,
    /// What it adds to the depth: one, and one for each `else if`.
    added: usize,
}

impl<'s> Scan<'s> {
    fn run(mut self) -> Result<Option<Complaint>, Complaint> {
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
                    Some(end) => {
                        if !self.source[open..end].ends_with("}}") {
                            self.miss(open, |tag| format!("the comment `{tag}` is not closed"), "Write }} behind it.");
                        }
                        end
                    }
                    None => self.tag(open, open + braces.min(3))?,
                },
            };
        }
        if let Some((at, name)) = self.blocks.iter().find_map(|block| Some((block.at, block.name?))) {
            self.miss(
                at,
                |tag| format!("`{tag}` is never closed"),
                &format!("Write {{{{/{name}}}}} where it shall end."),
            );
        }
        Ok(self.lack)
    }

    /// Notes what the tag at `open` lacks, or does wrong, unless something was noted before.
    fn miss(&mut self, open: usize, problem: impl FnOnce(&str) -> String, fix: &str) {
        if self.lack.is_none() {
            self.lack = Some(self.complaint(open, problem(tag_at(self.source, open)), fix));
        }
    }

    /// Reads the tag whose content begins at `start` and gives the offset after it.
    fn tag(&mut self, open: usize, start: usize) -> Result<usize, Complaint> {
        let content = self.source[start..].trim_start_matches(['~', ' ', '\t', '\n', '\r']);
        let begin = self.source.len() - content.len();
        let end = self.tag_end(open, begin)?;
        let braces = start - open;
        if !self.source[end..].starts_with(&"}}}"[..braces]) {
            let is_text = tag_at(self.source, open).matches(['"', '\'']).count() % 2 == 1;
            let quote = if is_text { "End its text with a quote, and write" } else { "Write" };
            let fix = format!("{quote} {} behind it.", &"}}}"[..braces]);
            self.miss(open, |tag| format!("`{tag}` is not closed"), &fix);
        }
        let content = self.source[begin..end].trim_end_matches(['~', ' ', '\t', '\n', '\r']);
        if self.blocks.is_empty() && matches!(content.split([' ', '\t', '\n', '\r']).next(), Some("else" | "^")) {
            self.miss(
                open,
                |tag| format!("`{tag}` stands outside of a block"),
                "Put it behind {{#if ..}}, or remove it.",
            );
        }
        match content.as_bytes().first() {
            Some(b'#') => self.deepen(open, Some(name(content)))?,
            Some(b'/') => self.close(open, name(content)),
            Some(b'^') if content.len() > 1 => self.deepen(open, None)?,
            _ if content.len() > 4 && content.starts_with("else") => self.deepen(open, None)?,
            _ => {}
        }
        Ok((end + 2).min(self.source.len()))
    }

    fn close(&mut self, open: usize, name: &str) {
        let is_open = |block: &Open<'_>| block.name == Some(name);
        match self.blocks.last() {
            None => {
                let fix = format!("Begin the block with {{{{#{name} ..}}}}, or remove it.");
                self.miss(open, |tag| format!("`{tag}` closes nothing"), &fix);
            }
            Some(Open { at, name: Some(inner), .. }) if *inner != name && self.blocks.iter().any(is_open) => {
                let fix = format!("Write {{{{/{inner}}}}} before {{{{/{name}}}}}.");
                self.miss(*at, |tag| format!("`{tag}` is never closed"), &fix);
            }
            Some(_) => {}
        }
        self.depth -= self.blocks.pop().map_or(0, |block| block.added);
    }

    /// Counts a block of this name, or a branch of the block that is open.
    fn deepen(&mut self, open: usize, name: Option<&'s str>) -> Result<(), Complaint> {
        match self.blocks.last_mut() {
            Some(block) if name.is_none() => block.added += 1,
            _ => self.blocks.push(Open { at: open, name, added: 1 }),
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
                b'{' if bytes.get(at + 1) == Some(&b'{') => {
                    let problem = format!("`{}` is not closed before another tag begins", tag_at(self.source, open));
                    return Err(self.complaint(open, problem, "Write }} behind it."));
                }
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

/// The name of the block that a tag of this content opens or closes.
fn name(content: &str) -> &str {
    let name = content[1..].trim_start_matches(['~', ' ', '\t', '\n', '\r', '>', '*', '/']);
    name.split(|letter: char| letter.is_whitespace() || letter == '~').next().unwrap_or(name)
}

/// The tag at `open`, for a complaint: the rest of its line at most, and not much of it.
fn tag_at(source: &str, open: usize) -> &str {
    const SHOWN: usize = 40;
    let rest = &source[open..];
    let shown = rest.char_indices().nth(SHOWN).map_or(rest, |(end, _)| &rest[..end]);
    let line = shown.lines().next().unwrap_or_default();
    let next = line[2..].find("{{").map_or(line.len(), |at| at + 2);
    line[..line.find("}}").map_or(next, |at| next.min(at + 2))].trim_end()
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
        for source in
            ["{{elsewhere}}", "{{#if a}}{{else}}{{#each b}}{{/each}}{{/if}}", "{{{a}}}}", "{{!a}}{{#a/b}}{{/a/b}}"]
        {
            assert_eq!(check(source), Ok(None), "{source}");
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
    fn what_tags_lack_is_told_where_they_begin() {
        let outside = "stands outside of a block. Put it behind {{#if ..}}, or remove it.";
        let cases = [
            ("a\n{{#if x}}b", "line 2, column 1: `{{#if x}}` is never closed. Write {{/if}} where it shall end."),
            (
                "{{~ #each x ~}}{{#if y}}{{/if}}",
                "line 1, column 1: `{{~ #each x ~}}` is never closed. Write {{/each}} where it shall end.",
            ),
            (
                "{{#if x}}{{#each y}}{{/if}}",
                "line 1, column 10: `{{#each y}}` is never closed. Write {{/each}} before {{/if}}.",
            ),
            ("a {{/if}}", "line 1, column 3: `{{/if}}` closes nothing. Begin the block with {{#if ..}}, or remove it."),
            ("a {{name b", "line 1, column 3: `{{name b` is not closed. Write }} behind it."),
            ("{{{name}}", "line 1, column 1: `{{{name}}` is not closed. Write }}} behind it."),
            (
                "{{a 'x}}",
                "line 1, column 1: `{{a 'x}}` is not closed. End its text with a quote, and write }} behind it.",
            ),
            ("{{!-- x", "line 1, column 1: the comment `{{!-- x` is not closed. Write }} behind it."),
            ("{{else}}", &format!("line 1, column 1: `{{{{else}}}}` {outside}")),
            ("{{else if x}}", &format!("line 1, column 1: `{{{{else if x}}}}` {outside}")),
        ];
        for (source, expected) in cases {
            let lack = check(source).unwrap().unwrap();
            assert_eq!(format!("{}: {}. {}", lack.at.unwrap(), lack.problem, lack.fix), expected);
        }
        let open = check("{{name} b {{c}}").unwrap_err();
        assert_eq!(open.problem, "`{{name} b` is not closed before another tag begins");
    }

    #[test]
    fn a_complaint_names_line_and_column() {
        let complaint = check("é\nab{{{{x}}}}").unwrap_err();
        assert_eq!(complaint.at, Some(Position { line: 2, column: 3 }));
    }
}
