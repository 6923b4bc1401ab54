//! A template that is sewn together from several texts, as the body of an email from its blocks. It knows where each of
//! its tags was written, so that an error names the author's line and not one of ours.

use std::ops::Range;

use super::error::{Complaint, Position};

/// The source so far.
#[derive(Debug, Default)]
pub(super) struct Patchwork {
    source: String,
    origins: Origins,
}

/// Where the tags of a source come from.
#[derive(Debug, Default)]
pub(super) struct Origins {
    texts: Vec<(String, String)>,
    /// In the order of the source.
    patches: Vec<Patch>,
}

#[derive(Debug)]
struct Patch {
    /// Where it begins in the source.
    at: usize,
    /// The text that it was taken from, and where it begins there.
    text: usize,
    from: usize,
    length: usize,
}

impl Patchwork {
    /// Takes note of a text that patches come from: the field that holds it, and what it says.
    pub(super) fn text(&mut self, field: String, text: &str) -> usize {
        self.origins.texts.push((field, text.to_owned()));
        self.origins.texts.len() - 1
    }

    /// Adds what is nobody's tag.
    pub(super) fn write(&mut self, markup: &str) {
        self.source.push_str(markup);
    }

    /// Adds a range of a text that was noted.
    pub(super) fn patch(&mut self, text: usize, range: Range<usize>) {
        let Some((_, content)) = self.origins.texts.get(text) else { return };
        let patch = Patch { at: self.source.len(), text, from: range.start, length: range.len() };
        self.source.push_str(&content[range]);
        self.origins.patches.push(patch);
    }

    /// The source, and where its tags come from.
    pub(super) fn finish(self) -> (String, Origins) {
        (self.source, self.origins)
    }
}

impl Origins {
    /// The field and the place in it of what stands at `position` of `source`: of the tag there, else of the one before.
    pub(super) fn of(&self, source: &str, position: Position) -> Option<(&str, Position)> {
        let at = position.offset(source);
        let index = self.patches.partition_point(|patch| patch.at <= at).saturating_sub(1);
        let patch = self.patches.get(index)?;
        let (field, text) = self.texts.get(patch.text)?;
        let offset = patch.from + at.saturating_sub(patch.at).min(patch.length);
        Some((field, Position::of(text, text.floor_char_boundary(offset))))
    }

    /// Gives a complaint about `source` the places in the author's text, and answers the field that holds that.
    pub(super) fn trace(&self, source: &str, complaint: &mut Complaint) -> Option<&str> {
        let (field, at) = self.of(source, complaint.at?)?;
        complaint.at = Some(at);
        // A line of another text would be taken for one of this.
        let begun = complaint.begun.and_then(|begun| self.of(source, begun));
        complaint.begun = begun.filter(|(other, _)| *other == field).map(|(_, begun)| begun);
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_the_whole_is_traced_to_the_text_that_it_was_taken_from() {
        let mut patchwork = Patchwork::default();
        let (one, two) = ("é\n  {{ a }}", "{{ b }}");
        let first = patchwork.text("blocks[0]".into(), one);
        let second = patchwork.text("blocks[1]".into(), two);
        patchwork.write("<p>\n");
        patchwork.patch(first, 5..12);
        patchwork.write("</p>");
        patchwork.patch(second, 0..7);
        let (source, origins) = patchwork.finish();
        assert_eq!(source, "<p>\n{{ a }}</p>{{ b }}");
        let place = |line, column| origins.of(&source, Position { line, column }).unwrap();
        assert_eq!(place(2, 4), ("blocks[0]", Position { line: 2, column: 6 }));
        assert_eq!(place(2, 12), ("blocks[1]", Position { line: 1, column: 1 }));
        assert_eq!(place(1, 1), ("blocks[0]", Position { line: 2, column: 3 }));
        assert_eq!(place(9, 9), ("blocks[1]", Position { line: 1, column: 8 }));
    }
}
