//! The findings of a validation: every fault and notice of one directory, of a workflow or of what workflows share, each in the file it concerns.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::fault::Fault;
use super::notice::{Notice, Remark};
use super::text_files::{TextFiles, full};
use super::workflow::DOCUMENT;

/// Collects while a document is read. Shared by all who read it, hence the interior mutability; single-threaded.
pub struct Findings {
    directory: String,
    document: &'static str,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    files: TextFiles,
    /// Paths whose pointer could not be followed. That is their one fault: a value that is missing only because of it
    /// is not a second one.
    unread: BTreeSet<String>,
    faults: Vec<Fault>,
    remarks: Vec<Remark>,
}

impl Findings {
    /// None yet, for the workflow directory `directory`.
    pub fn new(directory: &str) -> Self {
        Self::of(directory, DOCUMENT)
    }

    /// None yet, for a directory whose top file is `document`.
    pub fn of(directory: &str, document: &'static str) -> Self {
        Self { directory: directory.to_owned(), document, state: RefCell::default() }
    }

    /// The file at the top of the directory.
    pub fn document(&self) -> &'static str {
        self.document
    }

    /// From now on, faults at `path` and below it are faults of `file`.
    pub fn read_from(&self, path: &str, file: &str) {
        self.state.borrow_mut().files.add(path, file);
    }

    /// The value at `path` could not be read, for a fault that is already known.
    pub fn leave_unread(&self, path: &str) {
        self.state.borrow_mut().unread.insert(path.to_owned());
    }

    /// The value at `path` is wrong: a fault of the file that the value was read from.
    pub fn value_fault(&self, path: &str, problem: impl Into<String>, fix: impl Into<String>) {
        let place = self.state.borrow().files.place(&self.directory, self.document, path);
        self.add_fault(path, place, problem.into(), fix.into());
    }

    /// That there is a field at `path`, or none, is wrong: a fault of the file that holds the field.
    pub fn field_fault(&self, path: &str, problem: impl Into<String>, fix: impl Into<String>) {
        let place = self.field_place(path);
        self.add_fault(path, place, problem.into(), fix.into());
    }

    /// `file`, relative to the directory, is wrong as a whole.
    pub fn file_fault(&self, file: &str, problem: impl Into<String>, fix: impl Into<String>) {
        let file = full(&self.directory, file);
        let fault = Fault { file, path: String::new(), problem: problem.into(), fix: fix.into() };
        self.state.borrow_mut().faults.push(fault);
    }

    /// The field at `path` is hardly meant as it is.
    pub fn notice(&self, path: &str, problem: impl Into<String>, fix: impl Into<String>) {
        let said = self.of_field(path, problem.into(), fix.into());
        self.state.borrow_mut().remarks.push(Notice(said).into());
    }

    /// The field at `path` may well be meant, and this version does nothing with it.
    pub fn unsupported(&self, path: &str, problem: impl Into<String>, fix: impl Into<String>) {
        let said = self.of_field(path, problem.into(), fix.into());
        self.state.borrow_mut().remarks.push(Remark::Unsupported(said));
    }

    /// Which files were read so far, and where their contents stand.
    pub fn files(&self) -> TextFiles {
        self.state.borrow().files.clone()
    }

    /// What was read and noticed, or all that is wrong: it is absent only after a fault, but may be there in spite of one.
    pub fn conclude<T>(self, read: Option<T>) -> Result<(T, Vec<Remark>), Vec<Fault>> {
        let (faults, remarks) = self.into_parts();
        match read {
            Some(read) if faults.is_empty() => Ok((read, remarks)),
            _ => Err(faults),
        }
    }

    /// All that was found, in the order in which it was.
    pub fn into_parts(self) -> (Vec<Fault>, Vec<Remark>) {
        let state = self.state.into_inner();
        (state.faults, state.remarks)
    }

    fn add_fault(&self, full_path: &str, (file, path): (String, String), problem: String, fix: String) {
        let mut state = self.state.borrow_mut();
        if !state.unread.contains(full_path) {
            state.faults.push(Fault { file, path, problem, fix });
        }
    }

    fn of_field(&self, path: &str, problem: String, fix: String) -> Fault {
        let (file, path) = self.field_place(path);
        Fault { file, path, problem, fix }
    }

    fn field_place(&self, path: &str) -> (String, String) {
        self.state.borrow().files.field_place(&self.directory, self.document, path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_from_another_file_is_that_files_fault_but_its_field_is_not() {
        let findings = Findings::new("invite");
        findings.read_from("steps[0].template.visual_blocks", "email_1/visual_blocks.json");
        findings.value_fault("steps[0].template.visual_blocks[1].content", "a", "b");
        findings.field_fault("steps[0].template.visual_blocks", "c", "d");
        let (faults, _) = findings.into_parts();
        assert_eq!(faults[0].to_string(), "invite/email_1/visual_blocks.json [1].content: a. b");
        assert_eq!(faults[1].to_string(), "invite/workflow.json steps[0].template.visual_blocks: c. d");
    }

    #[test]
    fn what_could_not_be_read_has_no_second_fault() {
        let findings = Findings::new("invite");
        findings.leave_unread("name");
        findings.field_fault("name", "is missing", "Add it.");
        assert!(findings.into_parts().0.is_empty());
    }
}
