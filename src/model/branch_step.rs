//! The branches of a branch step: the first whose conditions hold is taken, the last one when no other is.

use super::arm::{Arm, MAX_ARMS, read_arms};
use super::json_reader::Reader;
use super::step_file::{COMMON_KEYS, References, Steps};
use super::workflow::{Branch, Onward};

/// The branches of the step at `step`, and their steps. None after a fault.
pub fn read_branches(step: &Reader<'_>, reading: &mut Steps<'_>, depth: usize) -> Option<(Vec<Branch>, Vec<Arm>)> {
    step.expect_keys(&[COMMON_KEYS.as_slice(), &["branches"]].concat());
    let field = step.field("branches");
    if field.is_blank() {
        field.missing("Write an array of branches; the last one, without conditions, is taken when no other is.");
        return None;
    }
    let branches = field.items()?;
    if branches.len() > MAX_ARMS {
        let problem = format!("has {} branches", branches.len());
        field.fault(problem, format!("Use at most {MAX_ARMS}, the default one included."));
        return None;
    }
    let read = |branch: &Reader<'_>, references: &References| {
        branch.expect_keys(&["name", "conditions", "steps", "terminates"]);
        let name = branch.field("name").required_name("Name the branch, as people shall see it.");
        let conditions = references.read_conditions(&branch.field("conditions"));
        Some(Branch { name: name?.trim().to_owned(), conditions, first: Onward::Finish })
    };
    let arms = read_arms(&field, &branches, reading, depth, read);
    let (default, others) = branches.split_last()?;
    check_conditions(default, others);
    arms
}

fn check_conditions(default: &Reader<'_>, others: &[Reader<'_>]) {
    let conditions = default.field("conditions");
    if !conditions.is_blank() {
        let problem = "the last branch is taken when no other is, and has no conditions";
        conditions.field_fault(problem, "Remove them, or add a branch without conditions behind it.");
    }
    for branch in others.iter().filter(|branch| branch.field("conditions").is_blank()) {
        branch.notice("has no conditions, so no branch behind it is ever taken", "Add conditions.");
    }
}

#[cfg(test)]
mod tests {
    use super::super::workflow::{Onward, StepKind, Workflow};
    use super::super::workflow_sample::*;
    use serde_json::{Value, json};

    fn email(reference: &str) -> Value {
        let mut email = document()["steps"][0].clone();
        email["ref"] = json!(reference);
        email
    }

    fn branches(branches: Value) -> Value {
        json!({"ref": "branch_1", "type": "branch", "branches": branches})
    }

    fn holds(variable: &str) -> Value {
        json!({"all": [{"variable": variable, "operator": "not_empty"}]})
    }

    /// The sample with a branch step in place of its delay.
    fn branching(value: Value) -> Value {
        with("/steps/1", branches(value))
    }

    fn layout(workflow: &Workflow) -> Vec<(&str, &str, Onward)> {
        workflow.steps.iter().map(|step| (step.reference.as_str(), step.path.as_str(), step.next)).collect()
    }

    #[test]
    fn the_steps_of_branches_stand_behind_theirs_and_go_on_behind_it() {
        let inner = json!({"ref": "branch_2", "type": "branch", "branches": [{"name": "Only", "steps": [email("c")]}]});
        let workflow = workflow(&branching(json!([
            {"name": "First", "conditions": holds("data.x"), "steps": [email("a"), email("b")]},
            {"name": "Second", "conditions": holds("data.y"), "steps": [inner], "terminates": true},
            {"name": "Default", "conditions": null, "steps": []}
        ])));
        let end = Onward::to(6);
        assert_eq!(
            layout(&workflow),
            [
                ("email_1", "steps[0]", Onward::to(1)),
                ("branch_1", "steps[1]", end),
                ("a", "steps[1].branches[0].steps[0]", Onward::to(3)),
                ("b", "steps[1].branches[0].steps[1]", end),
                ("branch_2", "steps[1].branches[1].steps[0]", Onward::Terminate),
                ("c", "steps[1].branches[1].steps[0].branches[0].steps[0]", Onward::Terminate),
                ("in_app_feed_1", "steps[2]", Onward::Finish),
            ]
        );
        let StepKind::Branch(branches) = &workflow.steps[1].kind else { panic!("{workflow:?}") };
        let firsts: Vec<_> = branches.iter().map(|branch| (branch.name.as_str(), branch.first)).collect();
        assert_eq!(firsts, [("First", Onward::to(2)), ("Second", Onward::to(4)), ("Default", end)]);
    }

    #[test]
    fn branches_are_checked_and_bounded() {
        assert!(fault(&branching(json!([]))).starts_with("steps[1].branches: is missing. Write an array of branches"));
        let many = vec![json!({"name": "B", "conditions": holds("data.x")}); 11];
        assert!(fault(&branching(json!(many))).contains("has 11 branches. Use at most 10"));
        let text = fault(&branching(json!([{"name": "B", "conditions": holds("data.x")}])));
        assert!(text.starts_with("steps[1].branches[0].conditions: the last branch is taken when no other"), "{text}");
        let text = notice(&branching(json!([{"name": "A"}, {"name": "B"}])));
        assert!(text.starts_with("steps[1].branches[0]: has no conditions, so no branch behind it"), "{text}");
        let text = fault(&branching(json!([{"steps": [email("a")]}])));
        assert!(text.starts_with("steps[1].branches[0].name: is missing"), "{text}");
        let text = fault(&branching(json!([{"name": "B", "steps": [{"ref": "a", "type": "chanel"}]}])));
        assert!(text.starts_with("steps[1].branches[0].steps[0].type: \"chanel\" is not a type of step"), "{text}");
        let text = fault(&branching(json!([{"name": "B", "steps": [email("email_1")]}])));
        assert!(text.contains("\"email_1\" is the ref of steps[0] too"), "{text}");
        let deep = |depth: usize| {
            (0..depth).fold(json!([email("a")]), |steps, level| {
            json!([{"ref": format!("b{level}"), "type": "branch", "branches": [{"name": "B", "steps": steps}]}])
        })
        };
        assert_eq!(workflow(&with("/steps", deep(5))).steps.len(), 6);
        assert!(fault(&with("/steps", deep(6))).contains("lies in 5 other branches. Branches go at most 5 deep."));
        let emails: Vec<Value> = (0..60).map(|n| email(&format!("e{n}"))).collect();
        let others: Vec<Value> = (60..120).map(|n| email(&format!("e{n}"))).collect();
        let twice =
            json!([{"name": "A", "conditions": holds("data.x"), "steps": emails}, {"name": "B", "steps": others}]);
        assert!(fault(&branching(twice)).starts_with("steps: has 123 steps, those of branches included"));
    }

    #[test]
    fn a_condition_asks_only_of_steps_that_can_have_been_executed() {
        let late = |terminates: bool, in_sibling: &str, behind: &str| {
            let ask = |reference: &str| json!([{"variable": format!("refs.{reference}.status"), "operator": "exists"}]);
            let mut sibling = email("b");
            sibling["conditions"] = ask(in_sibling);
            let mut document = branching(json!([
                {"name": "A", "conditions": ask("email_1"), "steps": [email("a")], "terminates": terminates},
                {"name": "B", "steps": [sibling]}
            ]));
            document["steps"][2]["conditions"] = ask(behind);
            document
        };
        assert_eq!(workflow(&late(false, "email_1", "a")).steps.len(), 5);
        let text = fault(&late(false, "a", "a"));
        assert!(text.contains("`refs.a.status` asks a step that is never executed before this one"), "{text}");
        let text = fault(&late(true, "email_1", "a"));
        assert!(text.starts_with("steps[2].conditions: `refs.a.status` asks a step that is never executed"), "{text}");
        assert_eq!(workflow(&late(true, "email_1", "b")).steps.len(), 5);
    }
}
