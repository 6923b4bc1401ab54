//! In which language a message speaks, and what it can say in it.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::liquid::Template;
use super::phrases::Phrases;

/// The language of one message's templates, partials and layouts included.
#[derive(Debug)]
pub(super) struct Speech {
    phrases: Arc<Phrases>,
    locale: String,
    tenant: Option<String>,
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
    };
    Spoken(CURRENT.replace(Some(Rc::new(speech))))
}

/// That of the message which is rendered.
pub(super) fn current() -> Rc<Speech> {
    let none =
        || Speech { phrases: Arc::default(), locale: Phrases::default().default_locale().to_owned(), tenant: None };
    CURRENT.with_borrow(Option::clone).unwrap_or_else(|| Rc::new(none()))
}

impl Speech {
    /// The locale of the recipient, else of the environment.
    pub(super) fn locale(&self) -> &str {
        &self.locale
    }

    /// What `key` says, of so many things.
    pub(super) fn find(&self, key: &str, count: Option<f64>) -> Option<&Template> {
        self.phrases.find(key, count, self.tenant.as_deref(), &self.locale).map(|(_, phrase)| phrase)
    }
}

/// The number of things that a translation is given as `count`.
pub(super) fn count(given: &Map<String, Value>) -> Option<f64> {
    match given.get("count")? {
        Value::String(text) => text.trim().parse().ok(),
        count => count.as_f64(),
    }
}
