//! The engine: handlebars' parser and renderer, with our helpers, partials and bounds. It has no decorators or raw blocks.

use std::cell::RefCell;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::{Arc, LazyLock};

use handlebars::template::{DecoratorTemplate, HelperTemplate, Parameter, TemplateElement};
use handlebars::{
    Context, Handlebars, Helper, HelperDef, HelperResult, Output, Path, RenderContext, RenderErrorReason, Renderable,
    ScopedJson, Template, TemplateErrorReason,
};
use serde_json::{Map, Value};

use super::block::Call;
use super::budget::{BoundedText, Budget, Limit};
use super::error::{Cause, Complaint, Position, RenderError};
use super::helper::{self, Kind, Spec, Work};
use super::partial::{Partial, Partials};
use super::wording::escape_html;
use super::{source, speech};

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
    partials: Arc<HashMap<String, Arc<Partial>>>,
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
    registry.register_helper(PARTIAL, Box::new(RenderPartial));
    registry
}

thread_local! {
    /// What the rendering on this thread works with, which the engine does not hand to helpers. The innermost is the last.
    static RENDERINGS: RefCell<Vec<Rendering>> = const { RefCell::new(Vec::new()) };
}

#[derive(Clone)]
struct Rendering {
    budget: Rc<Budget>,
    partials: Arc<HashMap<String, Arc<Partial>>>,
    /// What went wrong inside of a partial, whose place is not that of its tag.
    failed: Rc<RefCell<Option<RenderError>>>,
}

/// The rendering that a helper is called by.
fn current() -> Result<Rendering, handlebars::RenderError> {
    let last = RENDERINGS.with_borrow(|renderings| renderings.last().cloned());
    last.ok_or_else(|| RenderErrorReason::Other("a helper is called outside of a rendering".to_owned()).into())
}

/// Makes a rendering the current one, until it is dropped; also when it panics.
struct Entered;

impl Entered {
    fn new(rendering: Rendering) -> Self {
        RENDERINGS.with_borrow_mut(|renderings| renderings.push(rendering));
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
    pub(super) fn parse(text: &str, escape: Escape, partials: &Partials) -> Result<Self, Vec<Complaint>> {
        let lack = source::check(text).map_err(|complaint| vec![complaint])?;
        // The parser asserts what its grammar should ensure; a template that proves it wrong is a fault in that
        // template, not the end of the process.
        let mut template = catch_unwind(|| Template::compile(text))
            .map_err(|_| vec![Complaint::new(None, "handlebars cannot read the template", "Simplify its tags.")])?
            .map_err(|error| vec![parse_complaint(&error, text, lack)])?;
        let mut check = Check { partials, used: HashMap::new(), complaints: Vec::new() };
        check.template(&mut template);
        let Check { used, complaints, .. } = check;
        if !complaints.is_empty() {
            return Err(complaints);
        }
        Ok(Self { text: text.to_owned(), template, escape, partials: Arc::new(used) })
    }

    /// The source as it was written.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// What helpers will refuse of what the source gives them.
    pub(super) fn foresee(&self) -> Vec<Complaint> {
        let mut found = Vec::new();
        foresee(&self.template, &mut found);
        found
    }

    /// Renders out of `budget`; `name` is for the error.
    pub(super) fn render(&self, name: &str, context: &Context, budget: &Rc<Budget>) -> Result<String, RenderError> {
        let mut out = BoundedText::new(budget);
        let failed = Rc::default();
        let rendering =
            Rendering { budget: Rc::clone(budget), partials: Arc::clone(&self.partials), failed: Rc::clone(&failed) };
        let result = catch_unwind(AssertUnwindSafe(|| {
            let _entered = Entered::new(rendering);
            let mut render = RenderContext::new(None);
            let registry = if self.escape == Escape::Html { &*HTML } else { &*PLAIN };
            self.template.render(registry, context, &mut render, &mut out)
        }));
        let Ok(result) = result else {
            return Err(RenderError::new(name, Cause::Template("handlebars gave up; simplify the template".into())));
        };
        result.map_err(|error| {
            if let Some(inside) = failed.take() {
                return inside;
            }
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
            return Call { helper, registry, context, render, out, budget: &current()?.budget }.block(block);
        }
        let mut value = self.call_inner(helper, registry, context, render)?;
        // A key that nobody translated stands for itself where it is printed.
        if matches!(self.spec.kind, Kind::Translation)
            && value.as_json().is_null()
            && let Some(key) = helper.param(0)
        {
            value = ScopedJson::Derived(key.value().clone());
        }
        if helper.is_block() {
            let truth = helper::truthy(value.as_json());
            return Call { helper, registry, context, render, out, budget: &current()?.budget }.branch(truth);
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
        if matches!(self.spec.kind, Kind::Translation) && !helper.params().is_empty() {
            return Self::translate(helper);
        }
        let Kind::Value(run, work) = self.spec.kind else { return Ok(ScopedJson::Missing) };
        // `{{date}}` alone is the variable of that name.
        if helper.params().is_empty() {
            return render.evaluate(context, self.spec.name);
        }
        let budget = current()?.budget;
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

/// The name of the helper that partials are rendered by. No template can write it: it is no name.
const PARTIAL: &str = " partial";

/// Renders a partial with what it is given. Handlebars' own would see all names around it, and know no Liquid.
struct RenderPartial;

impl HelperDef for RenderPartial {
    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        context: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let Rendering { budget, partials, failed } = current()?;
        let key = helper.param(0).and_then(|key| key.value().as_str()).unwrap_or_default();
        let Some(partial) = partials.get(key) else { return Ok(()) };
        budget.take(1).map_err(stop)?;
        let mut given = Map::new();
        for (name, value) in helper.hash() {
            budget.take_value(value.value()).map_err(stop)?;
            given.insert((*name).to_owned(), value.value().clone());
        }
        budget.descend().map_err(stop)?;
        let rendered = partial.render(given, context.data().get("timestamp").cloned(), &budget);
        budget.ascend();
        match rendered {
            Ok(text) => Ok(out.write(&text)?),
            Err(error) => {
                let reason = RenderErrorReason::Other(error.to_string());
                failed.replace(Some(error));
                Err(reason.into())
            }
        }
    }
}

impl Metered {
    /// What a key says in the language of the message; null if nothing.
    fn translate<'rc>(helper: &Helper<'rc>) -> Result<ScopedJson<'rc>, handlebars::RenderError> {
        let key = helper.param(0).map(|key| helper::text(key.value())).unwrap_or_default();
        let budget = current()?.budget;
        let mut given = Map::new();
        for (name, value) in helper.hash() {
            budget.take_value(value.value()).map_err(stop)?;
            given.insert((*name).to_owned(), value.value().clone());
        }
        let speech = speech::current();
        let Some(phrase) = speech.find(&key, speech::count(&given)) else {
            return Ok(ScopedJson::Derived(Value::Null));
        };
        let text = phrase.render(&format!("translation of `{key}`"), &Value::Object(given), &budget);
        let text = text.map_err(|error| RenderErrorReason::Other(error.to_string()))?;
        Ok(ScopedJson::Derived(Value::String(text)))
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

/// What the parser says of `text`, whose tags seem to `lack` something, without the rules of its grammar.
fn parse_complaint(error: &handlebars::TemplateError, text: &str, lack: Option<Complaint>) -> Complaint {
    let at = error.pos().map(|(line, column)| Position { line, column });
    match error.reason() {
        TemplateErrorReason::MismatchingClosedHelper(opened, closed) => Complaint::new(
            at,
            format!("`{{{{#{}}}}}` is closed by `{{{{/{}}}}}`", bare(opened), bare(closed)),
            "Close blocks in the reverse order of their opening.",
        ),
        TemplateErrorReason::InvalidSyntax(_) => lack.unwrap_or_else(|| {
            let offset = at.map_or(0, |at| at.offset(text));
            let tag = text[..offset].rfind("{{").unwrap_or(offset);
            let end = text[tag..].find("}}").map_or(text.len(), |end| tag + end + 2);
            let tag: String = text[tag..end].chars().take(80).collect();
            let is_in_tag = |(operator, _): &&(&str, &str)| tag.contains(operator);
            let fix = OPERATORS.iter().find(is_in_tag).and_then(|(operator, name)| {
                Some(format!("Use a helper instead of `{operator}`, as in {}.", helper::find(name)?.usage))
            });
            let right = "Check that names are parted by spaces or dots, and texts have quotes.";
            let problem = format!("handlebars stops reading inside of `{tag}`");
            Complaint::new(at, problem, fix.unwrap_or_else(|| right.to_owned()))
        }),
        reason => Complaint::new(at, reason.to_string(), "See https://handlebarsjs.com/guide/expressions.html."),
    }
}

/// What other languages have operators for, and the helper that does it here.
const OPERATORS: [(&str, &str); 9] = [
    ("==", "eq"),
    ("!=", "ne"),
    ("&&", "and"),
    ("||", "or"),
    (">=", "gte"),
    ("<=", "lte"),
    (" > ", "gt"),
    (" < ", "lt"),
    ("!", "not"),
];

/// The name inside what the parser shows of a path: `Path(Relative(([Named("if")], "if")))`.
fn bare(debug: &str) -> &str {
    debug.rsplit('"').nth(1).unwrap_or(debug)
}

/// Looks a parsed template through for what does not exist.
struct Check<'p> {
    partials: &'p Partials,
    /// The partials that the template names.
    used: HashMap<String, Arc<Partial>>,
    complaints: Vec<Complaint>,
}

impl Check<'_> {
    fn template(&mut self, template: &mut Template) {
        for (index, element) in template.elements.iter_mut().enumerate() {
            let at = template.mapping.get(index).map(|mapping| Position { line: mapping.0, column: mapping.1 });
            match element {
                TemplateElement::Expression(tag) | TemplateElement::HtmlExpression(tag) => {
                    check_tag(tag, at, &mut self.complaints);
                }
                TemplateElement::HelperBlock(tag) => {
                    check_tag(tag, at, &mut self.complaints);
                    for body in [&mut tag.template, &mut tag.inverse].into_iter().flatten() {
                        self.template(body);
                    }
                }
                TemplateElement::PartialExpression(tag) => match self.partial(tag, at) {
                    Ok(call) => *element = call,
                    Err(complaint) => self.complaints.push(complaint),
                },
                TemplateElement::PartialBlock(_) => {
                    let fix = "Write {{> name}}, and give the partial what it needs: {{> name title=\"Hi\"}}.";
                    self.complaints.push(Complaint::new(at, "blocks of partials `{{#> name}}` are not supported", fix));
                }
                TemplateElement::DecoratorExpression(_) | TemplateElement::DecoratorBlock(_) => {
                    let problem = "decorators `{{* name}}` are not supported";
                    self.complaints.push(Complaint::new(at, problem, "Remove it."));
                }
                _ => {}
            }
        }
    }

    /// A partial's tag as a call of the helper that renders it.
    fn partial(&mut self, tag: &DecoratorTemplate, at: Option<Position>) -> Result<TemplateElement, Complaint> {
        let complaint = |problem: String, fix: String| Complaint::new(at, problem, fix);
        let key = match &tag.name {
            Parameter::Name(name) | Parameter::Path(Path::Relative((_, name)) | Path::Local((_, _, name))) => name,
            Parameter::Literal(Value::String(name)) => name,
            _ => return Err(complaint("the name of a partial is computed".into(), "Write its key.".into())),
        };
        if !tag.params.is_empty() {
            let fix = format!("Name each: {{{{> {key} user=recipient}}}}.");
            return Err(complaint("a partial is given a value without a name".into(), fix));
        }
        let partial = self.partials.find(key).map_err(|(problem, fix)| complaint(problem, fix))?;
        self.used.insert(key.clone(), Arc::clone(partial));
        tag.hash.values().for_each(|value| check_parameter(value, at, &mut self.complaints));
        // Its type cannot be made elsewhere, so one that is like it is changed.
        let call = Template::compile("{{{a}}}").ok().and_then(|mut template| template.elements.pop());
        let Some(TemplateElement::HtmlExpression(mut call)) = call else {
            return Err(complaint("the partial cannot be called".into(), "Write its text here instead.".into()));
        };
        call.name = Parameter::Name(PARTIAL.to_owned());
        call.params = vec![Parameter::Literal(Value::String(key.clone()))];
        call.hash = tag.hash.clone();
        Ok(TemplateElement::HtmlExpression(call))
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
        let fix = match (tag.params.first(), helper::nearest(name)) {
            // `items[0]` is read as a call that is given a list.
            (Some(Parameter::Literal(index @ Value::Array(_))), _) => {
                format!("For an element of a list write {{{{{name}.{index}}}}}.")
            }
            (_, Some(near)) => format!("Did you mean `{}`? Use it as {}.", near.name, near.usage),
            (_, None) if tag.block => {
                format!("For a list write {{{{#each {name}}}}}, for a condition {{{{#if {name}}}}}.")
            }
            (_, None) => "Write variables without a space, as in {{recipient.name}}.".to_owned(),
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
    } else if let Some(option) = tag.hash.keys().find(|option| Some(option.as_str()) != spec.option)
        && !matches!(spec.kind, Kind::Translation)
    {
        complaints.push(Complaint::new(at, format!("`{name}` has no option `{option}=`"), usage));
    }
}

fn foresee(template: &Template, found: &mut Vec<Complaint>) {
    for (index, element) in template.elements.iter().enumerate() {
        let at = template.mapping.get(index).map(|mapping| Position { line: mapping.0, column: mapping.1 });
        match element {
            TemplateElement::Expression(tag) | TemplateElement::HtmlExpression(tag) => foresee_call(tag, at, found),
            TemplateElement::HelperBlock(tag) => {
                foresee_call(tag, at, found);
                [&tag.template, &tag.inverse].into_iter().flatten().for_each(|body| foresee(body, found));
            }
            _ => {}
        }
    }
}

fn foresee_call(tag: &HelperTemplate, at: Option<Position>, found: &mut Vec<Complaint>) {
    for parameter in tag.params.iter().chain(tag.hash.values()).chain([&tag.name]) {
        if let Parameter::Subexpression(inner) = parameter
            && let TemplateElement::Expression(tag) = inner.as_element()
        {
            foresee_call(tag, at, found);
        }
    }
    let Some(spec) = tag.name.as_name().and_then(helper::find) else { return };
    let values: Vec<_> = tag.params.iter().map(literal).collect();
    let option = spec.option.and_then(|name| tag.hash.get(name)).map(literal);
    // Alone it is the variable of that name.
    if !values.is_empty()
        && let Some(problem) = helper::foresee(spec, &values, option)
    {
        found.push(Complaint::foreseen(at, spec.name, &problem, spec.usage));
    }
}

fn literal(parameter: &Parameter) -> Option<&Value> {
    match parameter {
        Parameter::Literal(value) => Some(value),
        _ => None,
    }
}

fn check_parameter(parameter: &Parameter, at: Option<Position>, complaints: &mut Vec<Complaint>) {
    if let Parameter::Subexpression(inner) = parameter
        && let TemplateElement::Expression(tag) = inner.as_element()
    {
        check_call(tag, at, true, complaints);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_handlebars_cannot_read_is_told_without_the_rules_of_its_grammar() {
        let quotes = "Check that names are parted by spaces or dots, and texts have quotes.";
        for (text, problem, fix) in [
            ("{{#if x}}{{a,b}}", "`{{#if x}}` is never closed", "Write {{/if}} where it shall end."),
            ("{{a,b}}", "handlebars stops reading inside of `{{a,b}}`", quotes),
            (
                "x {{#if a == b}}{{/if}}",
                "handlebars stops reading inside of `{{#if a == b}}`",
                "Use a helper instead of `==`, as in {{#if (eq plan \"pro\")}}.",
            ),
        ] {
            let complaints = Source::parse(text, Escape::None, &Partials::default()).unwrap_err();
            assert_eq!((complaints[0].problem.as_str(), complaints[0].fix.as_str()), (problem, fix));
        }
        assert!(OPERATORS.iter().all(|(_, name)| helper::find(name).is_some()));
    }
}
