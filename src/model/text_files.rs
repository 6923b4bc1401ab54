//! Which file each part of a directory was written in: the document at its top, or one that a pointer leads to.

use std::collections::BTreeMap;

use super::json_path;

/// The files of a directory that pointers lead to, by the paths at which their contents stand in the document. Without
/// any, as when the document was stored, all stands in the document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextFiles(BTreeMap<String, String>);

impl TextFiles {
    /// What stands at `path` is the content of `file`.
    pub fn add(&mut self, path: &str, file: &str) {
        self.0.insert(path.to_owned(), file.to_owned());
    }

    /// The file in which `path` stands and the path inside of it, when the directory's top file is `document`.
    pub fn place(&self, directory: &str, document: &str, path: &str) -> (String, String) {
        self.place_in(directory, document, path, json_path::ancestors(path))
    }

    /// The same for that there is such a field, or none: it stands in the file that holds it, whatever it holds.
    pub fn field_place(&self, directory: &str, document: &str, path: &str) -> (String, String) {
        self.place_in(directory, document, path, json_path::ancestors(path).skip(1))
    }

    fn place_in<'p>(
        &self,
        directory: &str,
        document: &str,
        path: &str,
        mut ancestors: impl Iterator<Item = (&'p str, &'p str)>,
    ) -> (String, String) {
        let found = ancestors.find_map(|(outer, inner)| self.0.get(outer).map(|file| (file.as_str(), inner)));
        let (file, path) = found.unwrap_or((document, path));
        (full(directory, file), path.trim_start_matches('.').to_owned())
    }
}

/// `file` of `directory`. Names of files are anyone's: a control character in one must not reach a terminal.
pub fn full(directory: &str, file: &str) -> String {
    format!("{directory}/{file}").replace(char::is_control, "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_stands_in_the_innermost_file_around_it_and_its_field_in_the_one_around_that() {
        let mut files = TextFiles::default();
        files.add("steps[0].template.visual_blocks", "email_1/visual_blocks.json");
        files.add("steps[0].template.visual_blocks[1].content", "email_1/1.md");
        let shown = |(file, path): (String, String)| format!("{file} {path}");
        let place = |path: &str| shown(files.place("invite", "workflow.json", path));
        let field = |path: &str| shown(files.field_place("invite", "workflow.json", path));
        let content = "steps[0].template.visual_blocks[1].content";
        assert_eq!(place(content), "invite/email_1/1.md ");
        assert_eq!(field(content), "invite/email_1/visual_blocks.json [1].content");
        assert_eq!(place("steps[0].template.visual_blocks[2].a"), "invite/email_1/visual_blocks.json [2].a");
        assert_eq!(field("steps[0].template.visual_blocks"), "invite/workflow.json steps[0].template.visual_blocks");
        assert_eq!(place("name"), "invite/workflow.json name");
        assert_eq!(TextFiles::default().place("a\n", "b", "c"), ("a\u{fffd}/b".to_owned(), "c".to_owned()));
    }
}
