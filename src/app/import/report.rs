//! What became of each resource: taken, adapted, or not supported, and where.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

use super::pulled::{Kind, Pulled, Resource};
use crate::app::server::CheckedWorkflows;
use crate::model::fault::Fault;
use crate::model::{json_path, json_place};

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
        let notices = checked.notices.iter().map(|notice| &notice.0).filter(of_it);
        let findings: Vec<String> = faults.iter().copied().chain(notices).map(|one| located(resource, one)).collect();
        if faults.is_empty() {
            self.add(Verdict::Taken, place);
        }
        findings.into_iter().for_each(|finding| self.add(Verdict::Unsupported, finding));
    }

    fn workflow(&mut self, resource: &Resource, taken: &Resource, checked: &CheckedWorkflows) {
        let faults: Vec<&Fault> = checked.faults.iter().filter(|fault| is_of(fault, &resource.key)).collect();
        let valid = checked.valid.iter().find(|valid| valid.published.workflow.key == resource.key);
        let notices = valid.iter().flat_map(|valid| &valid.notices).map(|notice| &notice.0);
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
        let mut said = BTreeSet::new();
        for fault in faults.into_iter().chain(notices) {
            let text = located(resource, fault);
            if said.insert(text.clone()) {
                self.add(Verdict::Unsupported, text);
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
    let (file, line) = place(resource, file, path);
    let line = line_inside(&file, problem).unwrap_or(line);
    let path = if path.is_empty() { String::new() } else { format!(" {path}:") };
    format!("{}/{file}:{line}:{path} {problem}. {fix}", resource.place())
}

/// The line of `file` that a finding tells itself: one inside a template that is a file, or of JSON that cannot be read.
fn line_inside(file: &str, problem: &str) -> Option<usize> {
    let told = match file.ends_with(".json") {
        false => problem.strip_prefix("line ")?,
        true => problem.strip_prefix("is not valid JSON")?.rsplit_once(" at line ")?.1,
    };
    told.split([',', ' ']).next()?.parse().ok()
}

/// The file in which the value at `path` of `file` stands, and its line there. Where a `field@` leads to another file,
/// it stands in that.
fn place(resource: &Resource, file: &str, path: &str) -> (String, usize) {
    let Some(text) = resource.text(file) else { return (file.to_owned(), 1) };
    let is_json = file.ends_with(".json");
    let pointer =
        json_path::ancestors(path).filter(|(path, _)| is_json && !path.is_empty()).find_map(|(path, rest)| {
            let span = json_place::span(text, &format!("{path}@"))?;
            let target: Value = serde_json::from_str(text.get(span)?).ok()?;
            Some((target.as_str()?.to_owned(), rest))
        });
    match pointer {
        Some((target, rest)) => {
            let folder = file.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
            let target = format!("{folder}{}", target.trim_start_matches("./"));
            if target == file || !resource.files.contains_key(&target) {
                return (file.to_owned(), json_place::line(text, path));
            }
            place(resource, &target, rest.trim_start_matches('.'))
        }
        None if is_json => (file.to_owned(), json_place::line(text, path)),
        None => (file.to_owned(), 1),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Line { verdict, text } in &self.lines {
            let word = match verdict {
                Verdict::Taken => "taken",
                Verdict::Adapted => "adapted",
                Verdict::Unsupported => "unsupported",
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
    fn a_finding_is_located_through_pointers_of_pointers() {
        let resource = resource(&[
            ("workflow.json", "{\n\"steps\": [\n{\"template\": {\n\"visual_blocks@\": \"e/visual_blocks.json\"}}]}"),
            ("e/visual_blocks.json", "[\n{},\n{\"content@\": \"visual_blocks/2.content.md\",\n\"x\": 1}]"),
            ("e/visual_blocks/2.content.md", "a\nb"),
        ]);
        let place = |file: &str, path: &str| place(&resource, file, path);
        let blocks = "steps[0].template.visual_blocks";
        assert_eq!(place("workflow.json", blocks), ("e/visual_blocks.json".into(), 1));
        assert_eq!(place("workflow.json", &format!("{blocks}[1].x")), ("e/visual_blocks.json".into(), 4));
        let text = format!("{blocks}[1].content");
        assert_eq!(place("workflow.json", &text), ("e/visual_blocks/2.content.md".into(), 1));
        assert_eq!(place("e/visual_blocks.json", "[1].x"), ("e/visual_blocks.json".into(), 4));
        assert_eq!(place("workflow.json", "steps[0].missing"), ("workflow.json".into(), 3));
        let fault = Fault {
            file: "w/workflow.json".into(),
            path: text,
            problem: "line 2, column 1: there is no tag `x`".into(),
            fix: "Remove it.".into(),
        };
        assert!(located(&resource, &fault).starts_with("workflows/w/e/visual_blocks/2.content.md:2: steps[0]"));
    }

    #[test]
    fn pointers_that_lead_in_a_circle_or_nowhere_end() {
        let resource = resource(&[("workflow.json", "{\"a@\": \"workflow.json\", \"b@\": \"none\"}")]);
        for path in ["a", "a.a", "b.c"] {
            assert_eq!(place(&resource, "workflow.json", path), ("workflow.json".into(), 1), "{path}");
        }
    }
}
