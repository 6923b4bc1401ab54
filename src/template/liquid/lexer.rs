//! From source to pieces: text, outputs `{{ }}` and tags `{% %}`. One linear scan; what stands in `raw` is text, what
//! stands in `comment` is nothing, and each line of `liquid` is a tag.

use std::ops::Range;

use crate::template::budget::{SOURCE_BYTES, SOURCE_TAGS};
use crate::template::error::{Complaint, Position};
use crate::template::tags::{never_closed, output_end};

/// A piece of a template. All ranges are of the source's bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Text(Range<usize>),
    /// What stands between the braces.
    Output(Range<usize>),
    /// Its name and what follows it.
    Tag {
        name: Range<usize>,
        rest: Range<usize>,
    },
}

/// Cuts `source` into pieces.
pub(super) fn pieces(source: &str) -> Result<Vec<Piece>, Complaint> {
    if source.len() > SOURCE_BYTES {
        let problem = format!("the template has {} bytes, more than {SOURCE_BYTES}", source.len());
        return Err(Complaint::new(None, problem, "Move what is data out of the template."));
    }
    let mut lexer = Lexer { source, pieces: Vec::new(), tags: 0, trims: false };
    lexer.run()?;
    Ok(lexer.pieces)
}

struct Lexer<'t> {
    source: &'t str,
    pieces: Vec<Piece>,
    tags: usize,
    /// The tag before ended with a dash: blanks that follow it are not text.
    trims: bool,
}

/// A tag as it lies in the source.
struct Tag {
    /// What stands inside, without dashes and blanks.
    content: Range<usize>,
    trims_before: bool,
    trims_after: bool,
    /// Where the source goes on.
    end: usize,
}

impl Lexer<'_> {
    fn run(&mut self) -> Result<(), Complaint> {
        let mut from = 0;
        while let Some((open, is_output)) = self.next_open(from) {
            let tag = if is_output { self.read_output(open)? } else { self.read_tag(open)? };
            self.push_text(from..open, tag.trims_before);
            self.trims = tag.trims_after;
            from = if is_output {
                self.count(open)?;
                self.pieces.push(Piece::Output(tag.content));
                tag.end
            } else {
                self.push_tag(open, tag)?
            };
        }
        self.push_text(from..self.source.len(), false);
        Ok(())
    }

    /// The next `{{` or `{%`, and whether it is the former.
    fn next_open(&self, from: usize) -> Option<(usize, bool)> {
        let bytes = self.source.as_bytes();
        let opens = |at: &usize| bytes[*at] == b'{' && matches!(bytes.get(at + 1), Some(b'{' | b'%'));
        let at = (from..bytes.len()).find(opens)?;
        Some((at, bytes[at + 1] == b'{'))
    }

    /// An output ends at the first `}}` outside of quotes.
    fn read_output(&self, open: usize) -> Result<Tag, Complaint> {
        match output_end(self.source, open + 2) {
            Some(end) => Ok(self.tag(open, end - 2)),
            None => Err(never_closed(self.source, open)),
        }
    }

    /// A tag ends at the first `%}`.
    fn read_tag(&self, open: usize) -> Result<Tag, Complaint> {
        match self.source[open + 2..].find("%}") {
            Some(length) => Ok(self.tag(open, open + 2 + length)),
            None => Err(never_closed(self.source, open)),
        }
    }

    fn tag(&self, open: usize, close: usize) -> Tag {
        let inside = &self.source[open + 2..close];
        let trims_before = inside.starts_with('-');
        let inside = if trims_before { &inside[1..] } else { inside };
        let trims_after = inside.ends_with('-');
        let inside = if trims_after { &inside[..inside.len() - 1] } else { inside };
        let start = open + 2 + usize::from(trims_before) + (inside.len() - inside.trim_start().len());
        Tag { content: start..start + inside.trim().len(), trims_before, trims_after, end: close + 2 }
    }

    fn push_text(&mut self, range: Range<usize>, trims_end: bool) {
        let text = &self.source[range.clone()];
        let start = if self.trims { range.end - text.trim_start().len() } else { range.start };
        let end = if trims_end { range.start + text.trim_end().len() } else { range.end };
        if start < end {
            self.pieces.push(Piece::Text(start..end));
        }
    }

    /// Takes a tag that begins at `open` and answers where the source goes on.
    fn push_tag(&mut self, open: usize, tag: Tag) -> Result<usize, Complaint> {
        let (name, rest) = self.split(tag.content);
        match &self.source[name.clone()] {
            "raw" => {
                let end = self.find_end(open, tag.end, "endraw")?;
                self.push_text(tag.end..end.0, end.1.trims_before);
                self.trims = end.1.trims_after;
                return Ok(end.1.end);
            }
            "comment" => {
                let (_, end) = self.find_end(open, tag.end, "endcomment")?;
                self.trims = end.trims_after;
                return Ok(end.end);
            }
            "liquid" => self.push_lines(rest)?,
            comment if comment.starts_with('#') => {}
            _ => {
                self.count(open)?;
                self.pieces.push(Piece::Tag { name, rest });
            }
        }
        Ok(tag.end)
    }

    /// The tag `end`, and where it begins, at or after `from`.
    fn find_end(&self, open: usize, mut from: usize, end: &str) -> Result<(usize, Tag), Complaint> {
        while let Some(at) = self.source[from..].find("{%").map(|at| from + at) {
            from = at + 2;
            let inside = self.source[from..].trim_start_matches('-').trim_start();
            if !inside.starts_with(end) {
                continue;
            }
            let Some(length) = self.source[from..].find("%}") else { break };
            let tag = self.tag(at, from + length);
            if &self.source[tag.content.clone()] == end {
                return Ok((at, tag));
            }
            from = tag.end;
        }
        let name = &end["end".len()..];
        Err(self.complaint(open, format!("`{{% {name} %}}` is never closed"), &format!("Close it with {{% {end} %}}.")))
    }

    /// The lines inside `{% liquid %}`, each a tag.
    fn push_lines(&mut self, lines: Range<usize>) -> Result<(), Complaint> {
        let source = self.source;
        let (mut at, mut comment) = (lines.start, false);
        for line in source[lines].split('\n') {
            let start = at + (line.len() - line.trim_start().len());
            at += line.len() + 1;
            let (name, rest) = self.split(start..start + line.trim().len());
            match &source[name.clone()] {
                "comment" => comment = true,
                "endcomment" => comment = false,
                word if comment || word.is_empty() || word.starts_with('#') => {}
                _ => {
                    self.count(name.start)?;
                    self.pieces.push(Piece::Tag { name, rest });
                }
            }
        }
        Ok(())
    }

    /// A tag's name and what follows it.
    fn split(&self, content: Range<usize>) -> (Range<usize>, Range<usize>) {
        let text = &self.source[content.clone()];
        let length = match text.starts_with('#') {
            true => 1,
            false => text.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(text.len()),
        };
        let rest = content.end - text[length..].trim_start().len();
        (content.start..content.start + length, rest..content.end)
    }

    fn count(&mut self, at: usize) -> Result<(), Complaint> {
        self.tags += 1;
        if self.tags <= SOURCE_TAGS {
            return Ok(());
        }
        let problem = format!("the template has more than {SOURCE_TAGS} tags");
        Err(self.complaint(at, problem, "Loop over a list instead of naming each value."))
    }

    fn complaint(&self, offset: usize, problem: impl Into<String>, fix: &str) -> Complaint {
        Complaint::new(Some(Position::of(self.source, offset)), problem, fix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pieces as text, each in brackets of its kind.
    fn cut(source: &str) -> String {
        let shown = |piece: &Piece| match piece {
            Piece::Text(text) => source[text.clone()].to_owned(),
            Piece::Output(content) => format!("<{}>", &source[content.clone()]),
            Piece::Tag { name, rest } => format!("[{}|{}]", &source[name.clone()], &source[rest.clone()]),
        };
        pieces(source).unwrap().iter().map(shown).collect()
    }

    #[test]
    fn text_outputs_and_tags_are_told_apart() {
        let table = [
            ("", ""),
            ("a { b } %} }} c", "a { b } %} }} c"),
            ("a{{ b | c }}d", "a<b | c>d"),
            ("{{\"}}\"}}{{ 'it\\'s }}' }}", "<\"}}\"><'it\\'s }}'>"),
            ("{%if a>1%}x{%endif%}", "[if|a>1]x[endif|]"),
            ("a \n{{- b -}}\n c {%- if d -%} e {%- endif %} f", "a<b>c[if|d]e[endif|] f"),
            ("{{-}}{{--}}", "<><>"),
            ("{% # it's a note %}x{% comment %}{{ {% if %}{% endcomment %}y", "xy"),
            ("{% raw %}{{ a }}{% if %}{% endraw %}b", "{{ a }}{% if %}b"),
            ("{%- raw -%} {{ a {%- endraw -%} b", "{{ ab"),
            ("{% comment -%} x {%- endcomment -%} y", "y"),
            (
                "{% liquid\n assign a = 1\n\n # no\n comment\n if\n endcomment\n  echo a | b\n%}",
                "[assign|a = 1][echo|a | b]",
            ),
            ("é{{ü}}", "é<ü>"),
        ];
        for (source, expected) in table {
            assert_eq!(cut(source), expected, "{source}");
        }
    }

    #[test]
    fn what_is_not_closed_is_a_complaint_at_its_opening() {
        let table = [
            ("a\n {{ b", "`{{` is never closed"),
            ("a\n {{ \"b }}", "`{{` is never closed"),
            ("a\n {% if", "`{%` is never closed"),
            ("a\n {% raw %} {% endraw", "`{% raw %}` is never closed"),
            ("a\n {% comment %} {% endcomments %}", "`{% comment %}` is never closed"),
        ];
        for (source, expected) in table {
            let complaint = pieces(source).unwrap_err();
            assert_eq!(complaint.problem, expected);
            assert_eq!(complaint.at, Some(Position { line: 2, column: 2 }), "{source}");
        }
        assert!(pieces(&"{{a}}".repeat(2_001)).unwrap_err().problem.contains("more than 2000 tags"));
        assert!(pieces(&"a".repeat(SOURCE_BYTES + 1)).is_err());
    }
}
