//! The engine: handlebars' parser and renderer, with our helpers and bounds. It has no partials, decorators or raw
//! blocks, so a template can neither include another nor call itself.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::LazyLock;

use handlebars::template::{HelperTemplate, Parameter, TemplateElement};
use handlebars::{
    Context, Handlebars, Helper, HelperDef, HelperResult, Output, Path, RenderContext, RenderErrorReason, Renderable,
    ScopedJson, Template, TemplateErrorReason,
};
use serde_json::Value;

use super::block::Call;
use super::budget::{BoundedText, Budget, Limit};
use super::error::{Cause, Complaint, Position, RenderError};
use super::helper::{self, Kind, Spec, Work};
use super::source;
use super::wording::escape_html;

/// Whether `{{name}}` is made safe for HTML.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Escape {
    /// For HTML bodies.
    Html,
    /// For subjects, text, Markdown and links.
    None,
}

/// A parsed template.
#[derive(Debug)]
pub(super) struct Source {
    text: String,
    template: Template,
    escape: Escape,
}

static HTML: LazyLock<Handlebars<'static>> = LazyLock::new(|| registry(escape_html));
static PLAIN: LazyLock<Handlebars<'static>> = LazyLock::new(|| registry(str::to_owned));

/// With all helpers, once: registering them takes longer than most renderings.
fn registry(escape: fn(&str) -> String) -> Handlebars<'static> {
    let mut registry = Handlebars::new();
    registry.register_escape_fn(escape);
    for spec in helper::ALL {
        registry.register_helper(spec.name, Box::new(Metered { spec }));
    }
    registry
}

thread_local! {
    /// What the rendering on this thread works with, which the engine does not hand to helpers. The innermost is the last.
    static RENDERINGS: RefCell<Vec<Rc<Budget>>> = const { RefCell::new(Vec::new()) };
}

/// The rendering that a helper is called by.
fn current() -> Result<Rc<Budget>, handlebars::RenderError> {
    let last = RENDERINGS.with_borrow(|renderings| renderings.last().cloned());
    last.ok_or_else(|| RenderErrorReason::Other("a helper is called outside of a rendering".to_owned()).into())
}

/// Makes a rendering the current one, until it is dropped; also when it panics.
struct Entered;

impl Entered {
    fn new(budget: &Rc<Budget>) -> Self {
        RENDERINGS.with_borrow_mut(|renderings| renderings.push(Rc::clone(budget)));
        Self
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        RENDERINGS.with_borrow_mut(Vec::pop);
    }
}

impl Source {
    /// Parses `text`, and finds all uses of what does not exist.
    pub(super) fn parse(text: &str, escape: Escape) -> Result<Self, Vec<Complaint>> {
        source::check(text).map_err(|complaint| vec![complaint])?;
        // The parser asserts what its grammar should ensure; a template that proves it wrong is a fault in that
        // template, not the end of the process.
        let template = catch_unwind(|| Template::compile(text))
            .map_err(|_| vec![Complaint::new(None, "handlebars cannot read the template", "Simplify its tags.")])?
            .map_err(|error| vec![parse_complaint(&error)])?;
        let mut complaints = Vec::new();
        check_template(&template, &mut complaints);
        if complaints.is_empty() { Ok(Self { text: text.to_owned(), template, escape }) } else { Err(complaints) }
    }

    /// The source as it was written.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Renders to at most `limit` bytes; `name` is for the error.
    pub(super) fn render(&self, name: &str, context: &Context, limit: usize) -> Result<String, RenderError> {
        let budget = Rc::new(Budget::new(limit));
        let mut out = BoundedText::new(&budget);
        let result = catch_unwind(AssertUnwindSafe(|| {
            let _entered = Entered::new(&budget);
            let mut render = RenderContext::new(None);
            let registry = if self.escape == Escape::Html { &*HTML } else { &*PLAIN };
            self.template.render(registry, context, &mut render, &mut out)
        }));
        let Ok(result) = result else {
            return Err(RenderError::new(name, Cause::Template("handlebars gave up; simplify the template".into())));
        };
        result.map_err(|error| {
            let at = error.line_no.zip(error.column_no).map(|(line, column)| Position { line, column });
            let cause = match budget.exceeded() {
                Some(limit) => Cause::Budget(limit),
                None => Cause::Template(plain_reason(error.reason())),
            };
            RenderError { template: name.to_owned(), at, cause }
        })?;
        Ok(out.into_text())
    }
}

/// Ends a rendering that met a limit.
pub(super) fn stop(limit: Limit) -> handlebars::RenderError {
    RenderErrorReason::Other(limit.to_string()).into()
}

/// A helper that pays for what it does.
struct Metered {
    spec: &'static Spec,
}

impl HelperDef for Metered {
    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        registry: &'reg Handlebars<'reg>,
        context: &'rc Context,
        render: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        if let Kind::Block(block) = self.spec.kind {
            return Call { helper, registry, context, render, out, budget: &*current()? }.block(block);
        }
        let value = self.call_inner(helper, registry, context, render)?;
        if helper.is_block() {
            let truth = helper::truthy(value.as_json());
            return Call { helper, registry, context, render, out, budget: &*current()? }.branch(truth);
        }
        let text = value.render();
        let text = if render.is_disable_escape() { text } else { registry.get_escape_fn()(&text) };
        Ok(out.write(&text)?)
    }

    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        context: &'rc Context,
        render: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, handlebars::RenderError> {
        let Kind::Value(run, work) = self.spec.kind else { return Ok(ScopedJson::Missing) };
        // `{{date}}` alone is the variable of that name.
        if helper.params().is_empty() {
            return render.evaluate(context, self.spec.name);
        }
        let budget = current()?;
        budget.take(1).map_err(stop)?;
        if work == Work::All {
            for param in helper.params() {
                budget.take_value(param.value()).map_err(stop)?;
            }
        }
        let values: Vec<&Value> = helper.params().iter().map(|param| param.value()).collect();
        let option = self.spec.option.and_then(|name| helper.hash_get(name)).map(|option| option.value());
        let value = run(&values, option)
            .map_err(|problem| RenderErrorReason::Other(format!("`{}`: {problem}", self.spec.name)))?;
        budget.take_value(&value).map_err(stop)?;
        Ok(ScopedJson::Derived(value))
    }
}

fn plain_reason(reason: &RenderErrorReason) -> String {
    match reason {
        RenderErrorReason::InvalidJsonIndex(name) => {
            format!("a list has no `{name}`; use `each`, `first`, or a number in brackets as in `items.[0]`")
        }
        reason => reason.to_string(),
    }
}

fn parse_complaint(error: &handlebars::TemplateError) -> Complaint {
    let at = error.pos().map(|(line, column)| Position { line, column });
    match error.reason() {
        TemplateErrorReason::MismatchingClosedHelper(opened, closed) => Complaint::new(
            at,
            format!("`{{{{#{}}}}}` is closed by `{{{{/{}}}}}`", bare(opened), bare(closed)),
            "Close blocks in the reverse order of their opening.",
        ),
        TemplateErrorReason::InvalidSyntax(message) => Complaint::new(
            at,
            format!("handlebars stops reading here: {}", message.trim()),
            "Check that each {{ has its }}, each {{#block}} its {{/block}}, and texts have quotes.",
        ),
        reason => Complaint::new(at, reason.to_string(), "See https://handlebarsjs.com/guide/expressions.html."),
    }
}

/// The name inside what the parser shows of a path: `Path(Relative(([Named("if")], "if")))`.
fn bare(debug: &str) -> &str {
    debug.rsplit('"').nth(1).unwrap_or(debug)
}

fn check_template(template: &Template, complaints: &mut Vec<Complaint>) {
    for (index, element) in template.elements.iter().enumerate() {
        let at = template.mapping.get(index).map(|mapping| Position { line: mapping.0, column: mapping.1 });
        match element {
            TemplateElement::Expression(tag) | TemplateElement::HtmlExpression(tag) => check_tag(tag, at, complaints),
            TemplateElement::HelperBlock(tag) => {
                check_tag(tag, at, complaints);
                for body in [&tag.template, &tag.inverse].into_iter().flatten() {
                    check_template(body, complaints);
                }
            }
            TemplateElement::PartialExpression(_) | TemplateElement::PartialBlock(_) => complaints
                .push(Complaint::new(at, "partials `{{> name}}` are not supported", "Write the text here instead.")),
            TemplateElement::DecoratorExpression(_) | TemplateElement::DecoratorBlock(_) => {
                complaints.push(Complaint::new(at, "decorators `{{* name}}` are not supported", "Remove it."));
            }
            _ => {}
        }
    }
}

fn check_tag(tag: &HelperTemplate, at: Option<Position>, complaints: &mut Vec<Complaint>) {
    let is_call = tag.block || !tag.params.is_empty() || !tag.hash.is_empty();
    if is_call {
        check_call(tag, at, false, complaints);
    } else if let Parameter::Subexpression(_) = tag.name {
        check_parameter(&tag.name, at, complaints);
    }
}

fn check_call(tag: &HelperTemplate, at: Option<Position>, inside_tag: bool, complaints: &mut Vec<Complaint>) {
    for parameter in tag.params.iter().chain(tag.hash.values()) {
        check_parameter(parameter, at, complaints);
    }
    let name = match &tag.name {
        Parameter::Name(name) | Parameter::Path(Path::Relative((_, name)) | Path::Local((_, _, name))) => name,
        _ => return complaints.push(Complaint::new(at, "the name of a helper is computed", "Write its name.")),
    };
    let Some(spec) = helper::find(name) else {
        let fix = match helper::nearest(name) {
            Some(near) => format!("Did you mean `{}`? Use it as {}.", near.name, near.usage),
            None if tag.block => format!("For a list write {{{{#each {name}}}}}, for a condition {{{{#if {name}}}}}."),
            None => "Write variables without a space, as in {{recipient.name}}.".to_owned(),
        };
        return complaints.push(Complaint::new(at, format!("there is no helper `{name}`"), fix));
    };
    let usage = format!("Use it as {}.", spec.usage);
    let is_block_helper = matches!(spec.kind, Kind::Block(_));
    if is_block_helper && !tag.block {
        let place = if inside_tag { "inside another tag" } else { "without `#`" };
        complaints.push(Complaint::new(at, format!("`{name}` cannot be used {place}"), usage));
    } else if !spec.takes.contains(&tag.params.len()) {
        let problem = format!("`{name}` does not take {} values", tag.params.len());
        complaints.push(Complaint::new(at, problem, usage));
    } else if let Some(option) = tag.hash.keys().find(|option| Some(option.as_str()) != spec.option) {
        complaints.push(Complaint::new(at, format!("`{name}` has no option `{option}=`"), usage));
    }
}

fn check_parameter(parameter: &Parameter, at: Option<Position>, complaints: &mut Vec<Complaint>) {
    if let Parameter::Subexpression(inner) = parameter
        && let TemplateElement::Expression(tag) = inner.as_element()
    {
        check_call(tag, at, true, complaints);
    }
}
