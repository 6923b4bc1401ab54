//! In which language a message speaks, and what it can say in it.

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::liquid::Template;
use super::phrases::Phrases;
use super::words::NAMESPACE;

/// The language of one message's templates, partials and layouts included.
#[derive(Debug)]
pub(super) struct Speech {
    phrases: Arc<Phrases>,
    locale: String,
    tenant: Option<String>,
    /// The locale of the first text that was found for a template.
    said: OnceCell<String>,
}

thread_local! {
    /// That of the message which is rendered on this thread: the engines hand it neither to filters nor to helpers.
    static CURRENT: RefCell<Option<Rc<Speech>>> = const { RefCell::new(None) };
}

/// While it lives, a message is rendered; then, also after a panic, the former one is again.
pub(super) struct Spoken(Option<Rc<Speech>>);

impl Drop for Spoken {
    fn drop(&mut self) {
        CURRENT.replace(self.0.take());
    }
}

/// What is rendered from now on speaks to the recipient, and for the tenant, of `scope`.
#[must_use]
pub(super) fn to(phrases: &Arc<Phrases>, scope: &Value) -> Spoken {
    let text = |owner: &str, name: &str| scope[owner][name].as_str().filter(|text| !text.trim().is_empty());
    let speech = Speech {
        phrases: Arc::clone(phrases),
        locale: text("recipient", "locale").unwrap_or(phrases.default_locale()).to_owned(),
        tenant: text("tenant", "id").map(str::to_owned),
        said: OnceCell::new(),
    };
    Spoken(CURRENT.replace(Some(Rc::new(speech))))
}

/// That of the message which is rendered.
pub(super) fn current() -> Rc<Speech> {
    let none = || Speech {
        phrases: Arc::default(),
        locale: Phrases::default().default_locale().to_owned(),
        tenant: None,
        said: OnceCell::new(),
    };
    CURRENT.with_borrow(Option::clone).unwrap_or_else(|| Rc::new(none()))
}

impl Speech {
    /// The locale of the recipient, else of the environment.
    pub(super) fn locale(&self) -> &str {
        &self.locale
    }

    /// What `key` says, of so many things.
    pub(super) fn find(&self, key: &str, count: Option<f64>) -> Option<&Template> {
        let (locale, phrase) = self.phrases.find(key, count, self.tenant.as_deref(), &self.locale)?;
        // Belfry's own words stand around what a mail says.
        if !key.starts_with(NAMESPACE) {
            self.said.get_or_init(|| locale.to_owned());
        }
        Some(phrase)
    }

    /// The locale that the message has said a text in; none if it has said none so far.
    pub(super) fn said(&self) -> Option<&str> {
        self.said.get().map(String::as_str)
    }

    /// Whether the message may speak another language than the environment.
    pub(super) fn may_differ(&self) -> bool {
        self.phrases.have_another(self.tenant.as_deref(), &self.locale)
    }

    /// The locale of what is not translated.
    pub(super) fn default_locale(&self) -> &str {
        self.phrases.default_locale()
    }
}

/// The number of things that a translation is given as `count`.
pub(super) fn count(given: &Map<String, Value>) -> Option<f64> {
    match given.get("count")? {
        Value::String(text) => text.trim().parse().ok(),
        count => count.as_f64(),
    }
}
