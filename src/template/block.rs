//! The blocks `if`, `unless`, `each` and `with`. They do what handlebars' own do and pay for each turn: its own cannot be
//! stopped, and a loop over nothing visible never meets the limit of the output.

use handlebars::{
    BlockContext, BlockParams, Context, Handlebars, Helper, HelperResult, JsonTruthy, Output, PathAndJson,
    RenderContext, Renderable, Template,
};
use serde_json::{Value, json};

use super::budget::{Budget, weight};
use super::handlebars::stop;

/// A block helper.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Block {
    If,
    Unless,
    Each,
    With,
}

/// What every helper is called with.
pub(super) struct Call<'a, 'h, 'reg: 'rc, 'rc> {
    pub(super) helper: &'h Helper<'rc>,
    pub(super) registry: &'reg Handlebars<'reg>,
    pub(super) context: &'rc Context,
    pub(super) render: &'a mut RenderContext<'reg, 'rc>,
    pub(super) out: &'a mut dyn Output,
    pub(super) budget: &'a Budget,
}

impl<'reg: 'rc, 'rc> Call<'_, '_, 'reg, 'rc> {
    pub(super) fn block(&mut self, block: Block) -> HelperResult {
        let Some(param) = self.helper.param(0) else { return Ok(()) };
        match block {
            Block::If => self.branch(self.truth(param.value())),
            Block::Unless => self.branch(!self.truth(param.value())),
            Block::With if param.value().is_truthy(false) => self.with(param),
            Block::With => self.branch(false),
            Block::Each => self.each(param),
        }
    }

    /// Renders the block's body or what stands after its `else`.
    pub(super) fn branch(&mut self, condition: bool) -> HelperResult {
        match if condition { self.helper.template() } else { self.helper.inverse() } {
            Some(body) => self.body(body),
            None => Ok(()),
        }
    }

    fn truth(&self, value: &Value) -> bool {
        value.is_truthy(self.helper.hash_get("includeZero").is_some_and(|option| option.value() == &Value::Bool(true)))
    }

    fn body(&mut self, body: &'rc Template) -> HelperResult {
        self.budget.take(1 + body.elements.len() as u64).map_err(stop)?;
        self.budget.descend().map_err(stop)?;
        let result = body.render(self.registry, self.context, self.render, self.out);
        self.budget.ascend();
        result
    }

    fn with(&mut self, param: &PathAndJson<'rc>) -> HelperResult {
        let mut block = BlockContext::new();
        if let Some(outer) = self.render.block() {
            block.local_variables_mut().clone_from(outer.local_variables());
        }
        let Some(body) = self.helper.template() else { return Ok(()) };
        let path = param.context_path().cloned();
        self.inside(block, path, param.value(), None, body)
    }

    fn each(&mut self, param: &PathAndJson<'rc>) -> HelperResult {
        let Some(body) = self.helper.template() else { return Ok(()) };
        let entries: Vec<(Option<&String>, &Value)> = match param.value() {
            Value::Array(items) if !items.is_empty() => items.iter().map(|item| (None, item)).collect(),
            Value::Object(fields) if !fields.is_empty() => fields.iter().map(|(key, item)| (Some(key), item)).collect(),
            _ => return self.branch(false),
        };
        let count = entries.len();
        for (index, (key, item)) in entries.into_iter().enumerate() {
            let mut block = BlockContext::new();
            block.set_local_var("first", json!(index == 0));
            block.set_local_var("last", json!(index + 1 == count));
            block.set_local_var("index", json!(index));
            if let Some(key) = key {
                block.set_local_var("key", json!(key));
            }
            let segment = key.cloned().unwrap_or_else(|| index.to_string());
            let path = param.context_path().map(|path| path.iter().cloned().chain([segment]).collect());
            self.inside(block, path, item, Some(key.map_or_else(|| json!(index), |key| json!(key))), body)?;
        }
        Ok(())
    }

    /// Renders `body` where `this` is `value`. Names inside copy their path, and a value that has none is copied whole
    /// each time, so steps inside cost by the size of both.
    fn inside(
        &mut self,
        mut block: BlockContext<'rc>,
        path: Option<Vec<String>>,
        value: &Value,
        key: Option<Value>,
        body: &'rc Template,
    ) -> HelperResult {
        let mut params = BlockParams::new();
        let (name, key_name) = match self.helper.block_param_pair() {
            Some((name, key_name)) => (Some(name), Some(key_name)),
            None => (self.helper.block_param(), None),
        };
        if let Some(name) = name {
            match &path {
                Some(_) => params.add_path(name, Vec::new())?,
                None => params.add_value(name, value.clone())?,
            }
        }
        if let (Some(name), Some(key)) = (key_name, key) {
            params.add_value(name, key)?;
        }
        block.set_block_params(params);
        let copied = match path {
            Some(path) => {
                let bytes = path.iter().map(String::len).sum();
                *block.base_path_mut() = path;
                bytes
            }
            None => {
                block.set_base_value(value.clone());
                weight(value)
            }
        };
        let raise = self.budget.raise(copied);
        self.render.push_block(block);
        let result = self.body(body);
        self.render.pop_block();
        self.budget.lower(raise);
        result
    }
}
