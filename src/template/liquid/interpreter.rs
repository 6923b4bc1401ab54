//! From a tree and a scope to text.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use serde_json::{Map, Value};

use super::expression::{Call, Comparison, Expression, Join, Operand, Part, Root, Test};
use super::filter::{self, Refusal};
use super::names::Names;
use super::node::{Arm, Loop, Node, Offset};
use super::value::{Turn, Val};
use super::{Content, Placed, Template};
use crate::template::budget::{BoundedText, Budget, EMAIL_BYTES, Limit};
use crate::template::error::{Cause, Position, RenderError};
use crate::template::partial::Partial;
use crate::template::speech;

/// The namespace of texts that templates hold themselves, between `t` and `endt`.
const SYSTEM: &str = "system";

/// One rendering.
pub(super) struct Interpreter<'s, 'b> {
    names: Names<'s>,
    budget: &'b Rc<Budget>,
    out: BoundedText<'b>,
    /// The template whose tree is walked, and its name for errors.
    template: &'s Template,
    label: &'s str,
    /// Where in its source the interpreter is, for errors.
    at: usize,
    /// What is rendered before the template.
    before: Option<Content<'s>>,
    /// What a layout puts in place of `{{ content }}`, until it has done so.
    content: Option<Content<'s>>,
    /// Where the content lies in the output.
    placed: Range<usize>,
    /// Where the last loop over each list ended.
    ends: HashMap<&'s str, usize>,
    cycles: HashMap<String, usize>,
    /// A translation is rendered: what it says is not translated again.
    is_translation: bool,
}

/// Whether a block ran to its end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    Break,
    Continue,
}

impl<'s, 'b> Interpreter<'s, 'b> {
    pub(super) fn new(template: &'s Template, label: &'s str, scope: &'s Value, budget: &'b Rc<Budget>) -> Self {
        Self {
            names: Names::new(scope),
            budget,
            out: BoundedText::new(budget),
            template,
            label,
            at: 0,
            before: None,
            content: None,
            placed: 0..0,
            ends: HashMap::new(),
            cycles: HashMap::new(),
            is_translation: false,
        }
    }

    /// Adds names that those of the scope win over.
    pub(super) fn know(&mut self, names: &'s Map<String, Value>) {
        self.names.know(names);
    }

    /// Puts `before` before the template and `content` in the place of its `{{ content }}`. What they assign is known
    /// from there on.
    pub(super) fn place(&mut self, before: Option<Content<'s>>, content: Content<'s>) {
        self.before = before;
        self.content = Some(content);
        if let Content::Text(text) = content {
            self.names.assign("content", Val::Str(text));
        }
    }

    /// Renders the template. Answers what came out, and where in it the content lies.
    pub(super) fn run(mut self) -> Result<Placed, RenderError> {
        if let Some(before) = self.before.take() {
            self.put(before)?;
            // Most often it only assigns, and nothing may stand before a document.
            if self.out.text().trim().is_empty() {
                self.out = BoundedText::new(self.budget);
            }
        }
        // A `break` outside of loops ends the template.
        self.block(&self.template.tree)?;
        Ok(Placed { text: self.out.into_text(), content: self.placed })
    }

    fn block(&mut self, nodes: &'s [Node]) -> Result<Flow, RenderError> {
        self.pay(Budget::descend)?;
        let flow = self.nodes(nodes);
        self.budget.ascend();
        flow
    }

    fn nodes(&mut self, nodes: &'s [Node]) -> Result<Flow, RenderError> {
        for node in nodes {
            self.pay(|budget| budget.take(1))?;
            let flow = self.node(node)?;
            if flow != Flow::On {
                return Ok(flow);
            }
        }
        Ok(Flow::On)
    }

    fn node(&mut self, node: &'s Node) -> Result<Flow, RenderError> {
        match node {
            Node::Text(range) => {
                self.at = range.start;
                self.write(&self.template.source[range.clone()])?;
            }
            Node::Output(expression) => self.output(expression)?,
            Node::Assign { name, value } => {
                let value = self.expression(value)?;
                self.names.assign(name, value);
            }
            Node::Capture { name, body } => {
                let outer = std::mem::replace(&mut self.out, BoundedText::new(self.budget));
                let flow = self.block(body)?;
                let text = std::mem::replace(&mut self.out, outer).into_text();
                let text = self.pay(|budget| Val::text(text, budget))?;
                self.names.assign(name, text);
                return Ok(flow);
            }
            Node::If { arms, otherwise } => {
                for Arm { negated, condition, body } in arms {
                    if self.expression(condition)?.truthy() != *negated {
                        return self.block(body);
                    }
                }
                return self.block(otherwise);
            }
            Node::Case { value, arms, otherwise } => {
                let value = self.expression(value)?;
                let mut met = false;
                for arm in arms {
                    let mut meets = false;
                    for other in &arm.values {
                        let other = self.operand(other);
                        meets =
                            meets || self.pay(|budget| budget.take(1).and_then(|()| value.equals(&other, budget)))?;
                    }
                    if meets {
                        met = true;
                        let flow = self.block(&arm.body)?;
                        if flow != Flow::On {
                            return Ok(flow);
                        }
                    }
                }
                return if met { Ok(Flow::On) } else { self.block(otherwise) };
            }
            Node::For(repeat) => return self.repeat(repeat),
            Node::Render { partial, given, at } => {
                self.at = *at;
                self.partial(partial, given)?;
            }
            Node::Translated { key, given, body, at } => {
                self.at = *at;
                return self.translated(key, given, body);
            }
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
            Node::Cycle { group, values, text } => {
                let key = match group {
                    Some(group) => {
                        let group = self.operand(group);
                        self.pay(|budget| group.to_text(budget).map(Cow::into_owned))?
                    }
                    None => text.clone(),
                };
                let turn = self.cycles.entry(key).or_insert(0);
                let value = &values[*turn % values.len()];
                *turn += 1;
                let value = self.operand(value);
                self.print(&value)?;
            }
            Node::Count { name, by, prints_before } => {
                let (before, after) = self.names.count(name, *by);
                self.print(&Val::Int(if *prints_before { before } else { after }))?;
            }
        }
        Ok(Flow::On)
    }

    fn output(&mut self, expression: &'s Expression) -> Result<(), RenderError> {
        if self.content.is_some() && expression.as_name() == Some("content") {
            return self.put_content();
        }
        let value = self.expression(expression)?;
        self.print(&value)
    }

    fn put_content(&mut self) -> Result<(), RenderError> {
        let start = self.out.text().len();
        if let Some(content) = self.content.take() {
            self.put(content)?;
        }
        self.placed = start..self.out.text().len();
        let text = self.pay(|budget| Val::text(&self.out.text()[start..], budget))?;
        self.names.assign("content", text);
        Ok(())
    }

    fn put(&mut self, content: Content<'s>) -> Result<(), RenderError> {
        match content {
            Content::Text(text) => self.write(text),
            Content::Template(content, label) => {
                let outer = (self.template, self.label, self.at);
                (self.template, self.label, self.at) = (content, label, 0);
                self.block(&content.tree)?;
                (self.template, self.label, self.at) = outer;
                Ok(())
            }
        }
    }

    /// Renders a partial, which knows nothing of the names around it.
    fn partial(&mut self, partial: &Partial, given: &'s [(String, Operand)]) -> Result<(), RenderError> {
        let mut inputs = Map::new();
        for (name, operand) in given {
            let value = self.operand(operand);
            let keeps = partial.keeps(name, value.count().is_some() || value.fields().is_some());
            let value = self.pay(|budget| if keeps { json(&value, budget) } else { text(&value, budget) })?;
            inputs.insert(name.clone(), value);
        }
        let now = self.names.get("timestamp").as_str().map(|now| Value::String(now.to_owned()));
        self.pay(|budget| budget.descend())?;
        let rendered = partial.render(inputs, now, self.budget);
        self.budget.ascend();
        self.write(&rendered?)
    }

    fn repeat(&mut self, repeat: &'s Loop) -> Result<Flow, RenderError> {
        self.at = repeat.at;
        let list = self.operand(&repeat.list);
        let list = self.pay(|budget| as_list(list, budget))?;
        let count = list.count().unwrap_or(0);
        let offset = match &repeat.offset {
            Some(Offset::Continue) => self.ends.get(repeat.text.as_str()).copied().unwrap_or(0),
            Some(Offset::At(offset)) => self.number_of(offset)?.unwrap_or(0),
            None => 0,
        };
        let limit = match &repeat.limit {
            Some(limit) => self.number_of(limit)?.unwrap_or(count),
            None => count,
        };
        let length = count.saturating_sub(offset).min(limit);
        self.ends.insert(&repeat.text, offset.saturating_add(length));
        if length == 0 && repeat.table.is_none() {
            return self.block(&repeat.otherwise);
        }
        let columns = match repeat.table.as_ref().map(|table| &table.columns) {
            Some(Some(columns)) => Some(self.number_of(columns)?.filter(|columns| *columns > 0)),
            Some(None) => Some(None),
            None => None,
        };
        let columns = columns.map(|columns| columns.unwrap_or(length));
        let outer = match self.names.get("forloop") {
            Val::Loop(turn) => Some(turn),
            _ => None,
        };
        for index in 0..length {
            let place = if repeat.reversed { offset + length - 1 - index } else { offset + index };
            let Some(item) = list.item(place) else { break };
            self.pay(|budget| budget.take(1))?;
            let turn = Rc::new(Turn { index, length, columns, outer: outer.clone() });
            self.names.enter(if columns.is_some() { "tablerowloop" } else { "forloop" }, Val::Loop(turn));
            self.names.enter(&repeat.name, item);
            let flow = match columns {
                Some(columns) => self.cell(repeat, index, columns, length),
                None => self.block(&repeat.body),
            };
            self.names.leave();
            self.names.leave();
            if flow? == Flow::Break {
                break;
            }
        }
        Ok(Flow::On)
    }

    fn cell(&mut self, repeat: &'s Loop, index: usize, columns: usize, length: usize) -> Result<Flow, RenderError> {
        let (row, column) = (index / columns + 1, index % columns + 1);
        if column == 1 {
            self.write(&format!("<tr class=\"row{row}\">"))?;
        }
        self.write(&format!("<td class=\"col{column}\">"))?;
        let flow = self.block(&repeat.body)?;
        let ends_table = index + 1 == length || flow == Flow::Break;
        self.write(if column == columns || ends_table { "</td></tr>" } else { "</td>" })?;
        Ok(flow)
    }

    /// A count; none for nothing.
    fn number_of(&self, operand: &'s Operand) -> Result<Option<usize>, RenderError> {
        match self.operand(operand) {
            Val::Nil => Ok(None),
            value => match filter::number(&value) {
                // A negative count is none.
                Ok(number) => Ok(Some(number as usize)),
                Err(refusal) => Err(self.refuse("for", refusal)),
            },
        }
    }

    /// A text in the words of its translation, with all names that are known here and what it is given.
    fn translated(&mut self, key: &str, given: &'s [(String, Operand)], body: &'s [Node]) -> Result<Flow, RenderError> {
        for (name, value) in given {
            let value = self.operand(value);
            self.names.enter(name, value);
        }
        let speech = speech::current();
        let count = given.iter().find(|(name, _)| name == "count").map(|(_, count)| self.operand(count));
        let found = speech.find(&format!("{SYSTEM}:{key}"), count.and_then(|count| filter::number(&count).ok()));
        let flow = match found.filter(|_| !self.is_translation) {
            Some(phrase) => {
                let text = self.phrase(phrase, self.names.clone())?;
                self.write(&text).map(|()| Flow::On)
            }
            None => self.block(body),
        };
        given.iter().for_each(|_| self.names.leave());
        flow
    }

    /// What a key says in the language of the message, with what it is given; nil if nothing.
    fn translation(&self, key: &Val<'s>, given: &[(&'s str, Val<'s>)]) -> Result<Val<'s>, RenderError> {
        if self.is_translation {
            return Ok(Val::Nil);
        }
        let key = self.pay(|budget| key.to_text(budget).map(Cow::into_owned))?;
        let count = given.iter().find(|(name, _)| *name == "count").and_then(|(_, count)| filter::number(count).ok());
        let speech = speech::current();
        let Some(phrase) = speech.find(&key, count) else { return Ok(Val::Nil) };
        let mut names = Names::new(&Value::Null);
        given.iter().for_each(|(name, value)| names.assign(name, value.clone()));
        let text = self.phrase(phrase, names)?;
        self.pay(|budget| Val::text(text, budget))
    }

    /// Renders a translation where the interpreter is.
    fn phrase<'p>(&self, phrase: &'p Template, names: Names<'p>) -> Result<String, RenderError>
    where
        's: 'p,
    {
        let inner = Interpreter::new(phrase, self.label, &Value::Null, self.budget);
        Ok(Interpreter { names, is_translation: true, ..inner }.run()?.text)
    }

    fn expression(&mut self, expression: &'s Expression) -> Result<Val<'s>, RenderError> {
        self.at = expression.at;
        self.pay(|budget| budget.take(expression.cost))?;
        let mut value = self.joined(expression)?;
        for (index, call) in expression.filters.iter().enumerate() {
            let is_last = index + 1 == expression.filters.len();
            value = match self.call(call, value.clone())? {
                // A key that nobody translated stands for itself, unless something else is said to.
                Val::Nil if is_last && call.filter.name == filter::TRANSLATION => value,
                value => value,
            };
        }
        Ok(value)
    }

    /// From right to left: what the first one decides, the rest cannot change.
    fn joined(&self, expression: &'s Expression) -> Result<Val<'s>, RenderError> {
        if expression.joined.is_empty() {
            return self.comparison(&expression.first);
        }
        let mut truth = self.comparison(&expression.first)?.truthy();
        for (join, next) in &expression.joined {
            if truth == (*join == Join::Or) {
                break;
            }
            truth = self.comparison(next)?.truthy();
        }
        Ok(Val::Bool(truth))
    }

    fn comparison(&self, comparison: &'s Comparison) -> Result<Val<'s>, RenderError> {
        let left = self.operand(&comparison.left);
        let Some((test, right)) = &comparison.right else {
            return Ok(if comparison.negated { Val::Bool(!left.truthy()) } else { left });
        };
        let right = self.operand(right);
        let order = || left.compare(&right);
        let truth = match test {
            Test::Equal => self.pay(|budget| left.equals(&right, budget))?,
            Test::NotEqual => !self.pay(|budget| left.equals(&right, budget))?,
            Test::Contains => self.pay(|budget| left.contains(&right, budget))?,
            Test::Less => order().is_some_and(|order| order.is_lt()),
            Test::LessOrEqual => order().is_some_and(|order| order.is_le()),
            Test::Greater => order().is_some_and(|order| order.is_gt()),
            Test::GreaterOrEqual => order().is_some_and(|order| order.is_ge()),
        };
        Ok(Val::Bool(truth != comparison.negated))
    }

    fn operand(&self, operand: &'s Operand) -> Val<'s> {
        match operand {
            Operand::Literal(literal) => literal.value(),
            Operand::Path(root, parts) => {
                let mut value = match &**root {
                    Root::Name(name) => self.names.get(name),
                    Root::Computed(name) => self.operand(name).as_str().map_or(Val::Nil, |name| self.names.get(name)),
                };
                for part in parts {
                    value = match part {
                        Part::Name(name) => value.field(name),
                        Part::Index(index) => value.index(&self.operand(index)),
                    };
                }
                value
            }
            Operand::Range(ends) => {
                let end = |operand| filter::number(&self.operand(operand)).map_or(0, |number| number as i64);
                Val::Range(end(&ends.0), end(&ends.1))
            }
        }
    }

    fn call(&mut self, call: &'s Call, input: Val<'s>) -> Result<Val<'s>, RenderError> {
        self.at = call.at;
        self.pay(|budget| budget.take(call.cost))?;
        let args: Vec<_> = call.args.iter().map(|arg| self.operand(arg)).collect();
        let named: Vec<_> = call.named.iter().map(|(name, arg)| (name.as_str(), self.operand(arg))).collect();
        if call.filter.name == filter::TRANSLATION {
            return self.translation(&input, &named);
        }
        let now = self.names.get("timestamp");
        let input = filter::Call { input, args: &args, named: &named, budget: self.budget, now };
        (call.filter.run)(&input).map_err(|refusal| self.refuse(call.filter.name, refusal))
    }

    fn print(&mut self, value: &Val<'s>) -> Result<(), RenderError> {
        value.write(&mut self.out, self.budget).map_err(|limit| self.fail(limit.into()))
    }

    fn write(&mut self, text: &str) -> Result<(), RenderError> {
        self.out.push(text).map_err(|limit| self.fail(limit.into()))
    }

    fn pay<T>(&self, work: impl FnOnce(&Budget) -> Result<T, Limit>) -> Result<T, RenderError> {
        work(self.budget).map_err(|limit| self.fail(limit.into()))
    }

    fn refuse(&self, name: &str, refusal: Refusal) -> RenderError {
        self.fail(match refusal {
            Refusal::Limit(limit) => limit.into(),
            Refusal::Because(problem) => Cause::Template(format!("`{name}`: {problem}")),
        })
    }

    fn fail(&self, cause: Cause) -> RenderError {
        let at = Some(Position::of(&self.template.source, self.at));
        RenderError { template: self.label.to_owned(), at, cause }
    }
}

/// A value as JSON.
fn json(value: &Val<'_>, budget: &Budget) -> Result<Value, Limit> {
    let mut out = BoundedText::up_to(EMAIL_BYTES, budget);
    value.write_json(&mut out, budget)?;
    Ok(serde_json::from_str(&out.into_text()).unwrap_or_default())
}

/// A value as text; nothing stays nothing.
fn text(value: &Val<'_>, budget: &Budget) -> Result<Value, Limit> {
    if matches!(value, Val::Nil) {
        return Ok(Value::Null);
    }
    let text = value.to_text(budget)?.into_owned();
    budget.take_making(text.len())?;
    Ok(Value::String(text))
}

/// What a loop goes over: the items of a list, the pairs of an object, a text as one item.
fn as_list<'s>(value: Val<'s>, budget: &Budget) -> Result<Val<'s>, Limit> {
    if value.count().is_some() {
        return Ok(value);
    }
    if let Some(fields) = value.fields() {
        let pair = |(key, value): (&str, Val<'s>)| Val::list(vec![Val::text(key, budget)?, value], budget);
        return Val::list(fields.into_iter().map(pair).collect::<Result<_, _>>()?, budget);
    }
    let items = if value.as_str().is_some_and(|text| !text.is_empty()) { vec![value] } else { Vec::new() };
    Val::list(items, budget)
}
