//! A fault in something a person wrote: which file, where in it, what is wrong, what would be right.

use std::fmt;

/// One fault. Validation collects all of them instead of stopping at the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file, relative to the workflow directory: `account-invite/workflow.json`.
    pub file: String,
    /// The JSON path inside it, such as `steps[0].template.subject`; empty for the file as a whole.
    pub path: String,
    /// What is wrong, in a few words, with the offending value.
    pub problem: String,
    /// What would be right.
    pub fix: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if !self.path.is_empty() {
            write!(f, " {}", self.path)?;
        }
        write!(f, ": {}. {}", self.problem, self.fix)
    }
}
