//! What became of each resource: taken, adapted, or not supported, and where.

use std::collections::BTreeSet;
use std::fmt;

use super::pulled::{Kind, Pulled, Resource};
use crate::app::server::CheckedWorkflows;
use crate::model::fault::Fault;
use crate::model::json_place;
use crate::model::notice::{Notice, Remark};

/// The report of one import, in the order of the resources.
pub struct Report {
    lines: Vec<Line>,
    runs: usize,
    rests: Vec<String>,
}

struct Line {
    verdict: Verdict,
    text: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Taken,
    Adapted,
    Unsupported,
    /// It is taken, and hardly meant as it is.
    Noticed,
    /// It is not copied.
    Left,
}

impl Report {
    /// What became of `found`, which was `taken` over and then read.
    pub fn of(found: &Pulled, taken: &[Resource], checked: &CheckedWorkflows) -> Self {
        let mut report = Self { lines: Vec::new(), runs: 0, rests: Vec::new() };
        for (resource, taken) in found.resources.iter().zip(taken) {
            match resource.kind {
                Kind::Workflow => report.workflow(resource, taken, checked),
                Kind::Layout | Kind::Partial | Kind::Translation => report.shared(resource, checked),
                kind => report.add(
                    Verdict::Unsupported,
                    format!("{}: {} are kept, but have no effect in this version", resource.place(), kind.folder()),
                ),
            }
        }
        for stray in &found.strays {
            report.add(Verdict::Left, format!("{stray}: belongs to nothing that Knock writes, and is not copied"));
        }
        report
    }

    /// How much is not supported.
    pub fn unsupported(&self) -> usize {
        self.lines.iter().filter(|line| line.verdict == Verdict::Unsupported).count()
    }

    fn add(&mut self, verdict: Verdict, text: String) {
        self.lines.push(Line { verdict, text });
    }

    /// What workflows share: it is taken unless something is wrong with it.
    fn shared(&mut self, resource: &Resource, checked: &CheckedWorkflows) {
        let place = resource.place();
        let of_it = |fault: &&Fault| is_of(fault, &place);
        let faults: Vec<&Fault> = checked.faults.iter().filter(of_it).collect();
        let remarks = checked.remarks.iter().filter(|remark| of_it(&remark.said()));
        if faults.is_empty() {
            self.add(Verdict::Taken, place.clone());
        }
        self.findings(resource, &faults, remarks);
    }

    fn workflow(&mut self, resource: &Resource, taken: &Resource, checked: &CheckedWorkflows) {
        let faults: Vec<&Fault> = checked.faults.iter().filter(|fault| is_of(fault, &resource.key)).collect();
        let valid = checked.valid.iter().find(|valid| valid.published.workflow.key == resource.key);
        let remarks = valid.iter().flat_map(|valid| &valid.remarks);
        match valid {
            Some(valid) => {
                self.runs += 1;
                let steps = valid.published.workflow.steps.len();
                let plural = if steps == 1 { "step" } else { "steps" };
                self.add(Verdict::Taken, format!("{}: {steps} {plural}", resource.place()));
            }
            None => self.rests.push(resource.key.clone()),
        }
        for name in changed(resource, taken) {
            let line = resource.text(name).map_or(1, |text| json_place::line(text, "settings"));
            let place = format!("{}/{name}:{line}", resource.place());
            self.add(Verdict::Adapted, format!("{place}: its templates are recorded as Liquid, in settings"));
        }
        self.findings(resource, &faults, remarks);
    }

    /// Each finding once.
    fn findings<'f>(&mut self, resource: &Resource, faults: &[&'f Fault], remarks: impl Iterator<Item = &'f Remark>) {
        let remarks = remarks.map(|remark| match remark {
            Remark::Unsupported(said) => (Verdict::Unsupported, said),
            Remark::Noticed(Notice(said)) => (Verdict::Noticed, said),
        });
        let mut said = BTreeSet::new();
        for (verdict, finding) in faults.iter().map(|fault| (Verdict::Unsupported, *fault)).chain(remarks) {
            let text = located(resource, finding);
            if said.insert(text.clone()) {
                self.add(verdict, text);
            }
        }
    }
}

/// The files of `taken` that are not as they were found.
fn changed<'r>(found: &'r Resource, taken: &'r Resource) -> impl Iterator<Item = &'r str> {
    let differs = |(name, bytes): &(&String, &Vec<u8>)| taken.files.get(*name) != Some(bytes);
    found.files.iter().filter(differs).map(|(name, _)| name.as_str())
}

fn is_of(fault: &Fault, key: &str) -> bool {
    fault.file.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A finding with its file and line: `workflows/invite/email_1/body.md:3: there is no filter `x`. Did you mean ..`.
fn located(resource: &Resource, fault: &Fault) -> String {
    let inside = fault.file.strip_prefix(&format!("{}/", resource.kind.folder())).unwrap_or(&fault.file);
    let file = inside.strip_prefix(&resource.key).and_then(|file| file.strip_prefix('/')).unwrap_or("");
    let Fault { path, problem, fix, .. } = fault;
    let in_document =
        || resource.text(file).filter(|_| file.ends_with(".json")).map(|text| json_place::line(text, path));
    let line = line_inside(file, problem).or_else(in_document).unwrap_or(1);
    let path = if path.is_empty() { String::new() } else { format!(" {path}:") };
    format!("{}/{file}:{line}:{path} {problem}. {fix}", resource.place())
}

/// The line of `file` that a finding tells itself: one inside a template that is a file, or of JSON that cannot be read.
fn line_inside(file: &str, problem: &str) -> Option<usize> {
    let told = match file.ends_with(".json") {
        false => problem.strip_prefix("line ")?,
        true => problem.strip_prefix("is not valid JSON")?.rsplit_once(" at line ")?.1,
    };
    told.split([',', ' ', ':']).next()?.parse().ok()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Line { verdict, text } in &self.lines {
            let word = match verdict {
                Verdict::Taken => "taken",
                Verdict::Adapted => "adapted",
                Verdict::Unsupported => "unsupported",
                Verdict::Noticed => "note",
                Verdict::Left => "left",
            };
            writeln!(f, "{word:<11}  {text}")?;
        }
        match (self.runs, self.rests.as_slice()) {
            (1, []) => writeln!(f, "\n1 workflow runs."),
            (runs, []) => writeln!(f, "\n{runs} workflows run."),
            (runs, rests) => writeln!(f, "\nWorkflows that run: {runs}. That do not: {}.", rests.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn resource(files: &[(&str, &str)]) -> Resource {
        let files: BTreeMap<_, _> =
            files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect();
        Resource { kind: Kind::Workflow, key: "w".into(), files }
    }

    #[test]
    fn a_finding_has_the_line_of_its_path_or_the_one_that_it_tells_itself() {
        let resource = resource(&[
            ("workflow.json", "{\n\"steps\": [\n{\"template\": {\n\"visual_blocks@\": \"e/visual_blocks.json\"}}]}"),
            ("e/visual_blocks.json", "[\n{},\n{\"content@\": \"visual_blocks/2.content.md\",\n\"x\": 1}]"),
            ("e/visual_blocks/2.content.md", "a\nb"),
        ]);
        let line = |file: &str, path: &str, problem: &str| {
            let fault =
                Fault { file: format!("w/{file}"), path: path.into(), problem: problem.into(), fix: "F.".into() };
            let located = located(&resource, &fault);
            let rest = located.strip_prefix(&format!("workflows/w/{file}:")).unwrap();
            rest.split(':').next().unwrap().parse::<usize>().unwrap()
        };
        assert_eq!(line("workflow.json", "steps[0].missing", "is missing"), 3);
        assert_eq!(line("workflow.json", "", "is not valid JSON: x at line 2 column 1"), 2);
        assert_eq!(line("e/visual_blocks.json", "[1].x", "is no text"), 4);
        assert_eq!(line("e/visual_blocks/2.content.md", "", "line 2, column 1: there is no tag `x`"), 2);
        assert_eq!(line("none.md", "", "is missing"), 1);
    }
}
