//! Arms: the ways of which a run takes one, each with steps of its own, and how all steps of a workflow are numbered.

use super::json_reader::Reader;
use super::step_file::{Node, References, Steps};
use super::workflow::{Onward, Step};

/// The most arms of a step.
pub const MAX_ARMS: usize = 10;
/// How deep steps with arms may lie in each other's.
const MAX_DEPTH: usize = 5;

/// The steps of an arm before they are numbered.
pub struct Arm {
    steps: Vec<Node>,
    /// The run ends behind it.
    terminates: bool,
}

impl Arm {
    /// How many steps it is.
    pub fn size(&self) -> usize {
        self.steps.iter().map(Node::size).sum()
    }
}

/// The arms at `items`, which stand at `field`, each with what `read` reads of it before its steps. None after a fault.
pub fn read_arms<T>(
    field: &Reader<'_>,
    items: &[Reader<'_>],
    reading: &mut Steps<'_>,
    depth: usize,
    read: impl Fn(&Reader<'_>, &References) -> Option<T>,
) -> Option<(Vec<T>, Vec<Arm>)> {
    if depth >= MAX_DEPTH {
        field.fault(format!("lies in {depth} other branches"), format!("Branches go at most {MAX_DEPTH} deep."));
        return None;
    }
    let mut hidden = Vec::new();
    let mut read = |item: &Reader<'_>| {
        let arm = read_arm(item, reading, depth, &read);
        hidden.push((reading.references.hide_those_of(item), arm.as_ref().is_some_and(|(_, arm)| arm.terminates)));
        arm
    };
    // Each is read before the first failure ends the collecting.
    let arms: Vec<_> = items.iter().map(&mut read).collect();
    for (of_arm, _) in hidden.iter().filter(|(_, terminates)| !terminates) {
        reading.references.show(of_arm);
    }
    arms.into_iter().collect::<Option<Vec<_>>>().map(|arms| arms.into_iter().unzip())
}

fn read_arm<T>(
    item: &Reader<'_>,
    reading: &mut Steps<'_>,
    depth: usize,
    read: impl Fn(&Reader<'_>, &References) -> Option<T>,
) -> Option<(T, Arm)> {
    if item.value().is_none() {
        item.missing("Write a branch, or remove this.");
        return None;
    }
    item.object()?;
    let head = read(item, &reading.references);
    let steps = item.field("steps");
    let steps = if steps.is_blank() { Some(Vec::new()) } else { reading.read(&steps, depth + 1) };
    let terminates = item.field("terminates").flag();
    Some((head?, Arm { steps: steps?, terminates }))
}

/// Numbers steps through: those of an arm stand behind its step, and each knows what follows it. Answers the first.
pub fn number(nodes: Vec<Node>, after: Onward, numbered: &mut Vec<Step>) -> Onward {
    let first = if nodes.is_empty() { after } else { Onward::to(numbered.len()) };
    let mut nodes = nodes.into_iter().peekable();
    while let Some(node) = nodes.next() {
        let index = numbered.len();
        let next = if nodes.peek().is_some() { Onward::to(index + node.size()) } else { after };
        numbered.push(Step { next, ..node.step });
        let firsts = node.arms.into_iter().map(|arm| {
            let after = if arm.terminates { Onward::Terminate } else { next };
            number(arm.steps, after, numbered)
        });
        let firsts: Vec<Onward> = firsts.collect();
        numbered[index].kind.lead_to(&firsts);
    }
    first
}
