//! The filters, in one table: functions over values, pure but for those that look up what is stored.

mod digest;
mod list;
mod number;
mod record;
mod text;
mod time;

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde_json::Value;

use super::value::{ITEM_BYTES, Val, items};
use crate::template::author_tags::AuthorTags;
use crate::template::budget::{BoundedText, Budget, EMAIL_BYTES, Limit};
use crate::template::locale::{self, Length};
use crate::template::{markdown, wording};

pub(super) use self::number::number;

/// A filter that templates can use.
pub(super) struct Filter {
    pub(super) name: &'static str,
    /// How it is written, for faults.
    pub(super) usage: &'static str,
    /// How many values it takes besides the one before it.
    pub(super) takes: RangeInclusive<usize>,
    /// The values that it takes by name.
    pub(super) options: &'static [&'static str],
    pub(super) run: Run,
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// What a filter is called with.
pub(super) struct Call<'c, 's> {
    pub(super) input: Val<'s>,
    pub(super) args: &'c [Val<'s>],
    pub(super) named: &'c [(&'s str, Val<'s>)],
    pub(super) budget: &'c Budget,
    /// The time of the rendering.
    pub(super) now: Val<'s>,
}

/// Why a filter has no result.
#[derive(Debug)]
pub(super) enum Refusal {
    Limit(Limit),
    /// What is wrong with what it was given.
    Because(String),
}

impl From<Limit> for Refusal {
    fn from(limit: Limit) -> Self {
        Self::Limit(limit)
    }
}

impl From<String> for Refusal {
    fn from(problem: String) -> Self {
        Self::Because(problem)
    }
}

type Answer<'s> = Result<Val<'s>, Refusal>;
type Run = for<'c, 's> fn(&Call<'c, 's>) -> Answer<'s>;

const fn filter(name: &'static str, usage: &'static str, least: usize, most: usize, run: Run) -> Filter {
    Filter { name, usage, takes: least..=most, options: &[], run }
}

/// The filter that translates.
pub(super) const TRANSLATION: &str = "t";
/// The options of a filter that takes values by any name.
pub(super) const ANY: &[&str] = &["*"];

/// Every filter.
pub(super) static ALL: &[Filter] = &[
    // Any value.
    Filter {
        name: "default",
        usage: "{{ name | default: \"there\" }}",
        takes: 1..=1,
        options: &["allow_false"],
        run: |call| {
            let kept = matches!(call.input, Val::Bool(false)) && call.option("allow_false").truthy();
            let missing = !call.input.truthy() || call.input.is_empty();
            Ok(if missing && !kept { call.arg(0) } else { call.input.clone() })
        },
    },
    filter("json", "{{ data | json }}", 0, 0, |call| {
        let mut out = BoundedText::up_to(EMAIL_BYTES, call.budget);
        call.input.write_json(&mut out, call.budget)?;
        call.made(out.into_text())
    }),
    filter("from_json", "{% assign object = text | from_json %}", 0, 0, |call| {
        match serde_json::from_str::<Value>(&call.text()?) {
            Ok(value) => Ok(Val::owned(value, call.budget)?),
            Err(_) => Err("the text is not JSON".to_owned().into()),
        }
    }),
    filter("equals", "{{ plan | equals: \"pro\" }}", 1, 1, |call| {
        Ok(Val::Bool(call.input.equals(&call.arg(0), call.budget)?))
    }),
    filter("size", "{{ items | size }}", 0, 0, |call| Ok(number::whole(call.input.size().unwrap_or(0)))),
    Filter {
        name: TRANSLATION,
        usage: "{{ \"greeting\" | t: name: recipient.name }}",
        takes: 0..=0,
        options: ANY,
        // The interpreter renders translations: they are templates.
        run: |_| Ok(Val::Nil),
    },
    // Texts.
    filter("append", "{{ name | append: \"!\" }}", 1, 1, |call| {
        call.made(call.text()?.into_owned() + &call.arg_text(0)?)
    }),
    filter("prepend", "{{ name | prepend: \"@\" }}", 1, 1, |call| {
        call.made(call.arg_text(0)?.into_owned() + &call.text()?)
    }),
    filter("upcase", "{{ code | upcase }}", 0, 0, |call| call.made(call.text()?.to_uppercase())),
    filter("downcase", "{{ code | downcase }}", 0, 0, |call| call.made(call.text()?.to_lowercase())),
    filter("capitalize", "{{ name | capitalize }}", 0, 0, |call| {
        call.made(wording::capitalize(&call.text()?.to_lowercase()))
    }),
    filter("titlecase", "{{ name | titlecase }}", 0, 0, |call| call.made(wording::titlecase(&call.text()?))),
    filter("strip", "{{ name | strip }}", 0, 0, |call| call.made(call.text()?.trim().to_owned())),
    filter("lstrip", "{{ name | lstrip }}", 0, 0, |call| call.made(call.text()?.trim_start().to_owned())),
    filter("rstrip", "{{ name | rstrip }}", 0, 0, |call| call.made(call.text()?.trim_end().to_owned())),
    filter("strip_newlines", "{{ text | strip_newlines }}", 0, 0, |call| {
        call.made(call.text()?.replace(['\r', '\n'], ""))
    }),
    filter("strip_html", "{{ html | strip_html }}", 0, 0, |call| call.made(text::strip_html(&call.text()?))),
    filter("newline_to_br", "{{ text | newline_to_br }}", 0, 0, |call| {
        call.made(wording::replace(&call.text()?.replace("\r\n", "\n"), "\n", "<br />\n")?)
    }),
    filter("escape", "{{ name | escape }}", 0, 0, |call| call.made(wording::escape_html(&call.text()?))),
    filter("escape_once", "{{ name | escape_once }}", 0, 0, |call| call.made(text::escape_once(&call.text()?))),
    filter("url_encode", "{{ email | url_encode }}", 0, 0, |call| {
        call.made(wording::url_encode(&call.text()?).replace("%20", "+"))
    }),
    filter("url_decode", "{{ text | url_decode }}", 0, 0, |call| call.made(text::url_decode(&call.text()?))),
    filter("base64_encode", "{{ text | base64_encode }}", 0, 0, |call| call.made(STANDARD.encode(&*call.text()?))),
    filter("base64_decode", "{{ text | base64_decode }}", 0, 0, |call| {
        call.made(digest::from_base64(&STANDARD, &call.text()?)?)
    }),
    filter("base64_url_safe_encode", "{{ text | base64_url_safe_encode }}", 0, 0, |call| {
        call.made(URL_SAFE.encode(&*call.text()?))
    }),
    filter("base64_url_safe_decode", "{{ text | base64_url_safe_decode }}", 0, 0, |call| {
        call.made(digest::from_base64(&URL_SAFE, &call.text()?)?)
    }),
    filter("md5", "{{ email | md5 }}", 0, 0, |call| call.made(digest::md5(&call.text()?))),
    filter("sha256", "{{ email | sha256 }}", 0, 0, |call| call.made(digest::sha256(&call.text()?))),
    filter("hmac_sha256", "{{ recipient.id | hmac_sha256: vars.secret }}", 1, 1, |call| {
        call.made(digest::hmac_sha256(&call.arg_text(0)?, &call.text()?))
    }),
    filter("from_markdown", "{{ text | from_markdown }}", 0, 0, |call| {
        call.made(markdown::to_html(&call.text()?, &AuthorTags::default()).map_err(Refusal::Limit)?)
    }),
    filter("remove", "{{ name | remove: \"x\" }}", 1, 1, |call| {
        call.made(wording::replace(&call.text()?, &call.arg_text(0)?, "")?)
    }),
    filter("remove_first", "{{ name | remove_first: \"x\" }}", 1, 1, |call| {
        call.made(text::replace_first(&call.text()?, &call.arg_text(0)?, ""))
    }),
    filter("remove_last", "{{ name | remove_last: \"x\" }}", 1, 1, |call| {
        call.made(text::replace_last(&call.text()?, &call.arg_text(0)?, ""))
    }),
    filter("replace", "{{ name | replace: \"_\", \" \" }}", 1, 2, |call| {
        call.made(wording::replace(&call.text()?, &call.arg_text(0)?, &call.arg_text(1)?)?)
    }),
    filter("replace_first", "{{ name | replace_first: \"_\", \" \" }}", 1, 2, |call| {
        call.made(text::replace_first(&call.text()?, &call.arg_text(0)?, &call.arg_text(1)?))
    }),
    filter("replace_last", "{{ name | replace_last: \"_\", \" \" }}", 1, 2, |call| {
        call.made(text::replace_last(&call.text()?, &call.arg_text(0)?, &call.arg_text(1)?))
    }),
    filter("truncate", "{{ title | truncate: 40 }}", 0, 2, |call| {
        call.made(wording::truncate(&call.text()?, call.count_or(0, 50)?, &call.text_or(1, "...")?))
    }),
    filter("truncatewords", "{{ title | truncatewords: 8 }}", 0, 2, |call| {
        call.made(wording::truncate_words(&call.text()?, call.count_or(0, 15)?, &call.text_or(1, "...")?))
    }),
    filter("split", "{{ name | split: \" \" | first }}", 1, 1, text::split),
    filter("slice", "{{ code | slice: 0, 3 }}", 1, 2, text::slice),
    filter("pluralize", "{{ total | pluralize: \"item\", \"items\" }}", 2, 2, |call| {
        Ok(call.arg(if number(&call.input)? == 1.0 { 0 } else { 1 }))
    }),
    filter("compare_versions", "{% if version | compare_versions: \"2.0.0\" %}", 1, 1, |call| {
        Ok(Val::Int(text::compare_versions(&call.text()?, &call.arg_text(0)?) as i64))
    }),
    // Numbers.
    filter("plus", "{{ total | plus: 1 }}", 1, 1, |call| call.arithmetic(i64::checked_add, |a, b| a + b)),
    filter("minus", "{{ total | minus: 1 }}", 1, 1, |call| call.arithmetic(i64::checked_sub, |a, b| a - b)),
    filter("times", "{{ price | times: 2 }}", 1, 1, |call| call.arithmetic(i64::checked_mul, |a, b| a * b)),
    filter("divided_by", "{{ cents | divided_by: 100.0 }}", 1, 1, |call| {
        call.refuse_zero()?;
        call.arithmetic(number::floor_div, |a, b| a / b)
    }),
    filter("modulo", "{{ index | modulo: 2 }}", 1, 1, |call| {
        call.refuse_zero()?;
        call.arithmetic(number::floor_mod, |a, b| a - b * (a / b).floor())
    }),
    filter("at_least", "{{ total | at_least: 1 }}", 1, 1, |call| number::pick(call, |input, bound| input < bound)),
    filter("at_most", "{{ total | at_most: 99 }}", 1, 1, |call| number::pick(call, |input, bound| input > bound)),
    filter("abs", "{{ change | abs }}", 0, 0, |call| match number::exact(&call.input)? {
        Val::Int(number) => Ok(Val::Int(number.saturating_abs())),
        number => number::float(self::number(&number)?.abs()),
    }),
    filter("ceil", "{{ rate | ceil }}", 0, 0, |call| number::integer(number(&call.input)?.ceil())),
    filter("floor", "{{ rate | floor }}", 0, 0, |call| number::integer(number(&call.input)?.floor())),
    filter("round", "{{ rate | round: 2 }}", 0, 1, number::round),
    filter("format_number", "{{ total | format_number: \"de\" }}", 0, 1, |call| {
        call.made(locale::number(number(&call.input)?, &call.arg_text(0)?)?)
    }),
    filter("currency", "{{ price | currency: \"EUR\", \"de\" }}", 0, 2, |call| {
        call.made(locale::currency(number(&call.input)?, &call.arg_text(0)?, &call.arg_text(1)?, false)?)
    }),
    filter("rounded_currency", "{{ price | rounded_currency: \"EUR\", \"de\" }}", 0, 2, |call| {
        call.made(locale::currency(number(&call.input)?, &call.arg_text(0)?, &call.arg_text(1)?, true)?)
    }),
    // Lists.
    filter("first", "{{ items | first }}", 0, 0, |call| Ok(list::end(&call.input, true))),
    filter("last", "{{ items | last }}", 0, 0, |call| Ok(list::end(&call.input, false))),
    filter("join", "{{ tags | join: \", \" }}", 0, 1, list::join),
    filter("concat", "{{ items | concat: others }}", 1, 1, |call| {
        let others = call.list_arg(0)?;
        call.list(call.items()?.into_iter().chain(others))
    }),
    filter("reverse", "{{ items | reverse }}", 0, 0, |call| call.list(call.items()?.into_iter().rev())),
    filter("sort", "{{ items | sort: \"name\" }}", 0, 1, |call| list::sort(call, |text| text.to_owned())),
    filter("sort_natural", "{{ items | sort_natural: \"name\" }}", 0, 1, |call| list::sort(call, str::to_lowercase)),
    filter("uniq", "{{ tags | uniq }}", 0, 1, list::uniq),
    filter("map", "{{ items | map: \"name\" | join: \", \" }}", 1, 1, |call| {
        let path = call.arg_text(0)?;
        call.list(call.items()?.iter().map(|item| list::at(item, &path)))
    }),
    filter("compact", "{{ items | compact }}", 0, 1, |call| {
        let path = call.text_or(0, "")?;
        call.list(call.items()?.into_iter().filter(|item| !matches!(list::at(item, &path), Val::Nil)))
    }),
    filter("where", "{{ items | where: \"done\", true | size }}", 1, 2, |call| {
        call.list(list::matching(call)?.into_iter().filter(|(_, meets)| *meets).map(|(item, _)| item))
    }),
    filter("reject", "{{ items | reject: \"done\", true | size }}", 1, 2, |call| {
        call.list(list::matching(call)?.into_iter().filter(|(_, meets)| !*meets).map(|(item, _)| item))
    }),
    filter("find", "{{ items | find: \"id\", id | json }}", 1, 2, |call| {
        Ok(list::matching(call)?.into_iter().find(|(_, meets)| *meets).map_or(Val::Nil, |(item, _)| item))
    }),
    filter("find_index", "{{ items | find_index: \"id\", id }}", 1, 2, |call| {
        Ok(list::matching(call)?.iter().position(|(_, meets)| *meets).map_or(Val::Nil, number::whole))
    }),
    filter("has", "{{ items | has: \"done\", true }}", 1, 2, |call| {
        Ok(Val::Bool(list::matching(call)?.iter().any(|(_, meets)| *meets)))
    }),
    filter("group_by", "{% assign groups = items | group_by: \"kind\" %}", 1, 1, list::group_by),
    filter("sum", "{{ items | sum: \"price\" }}", 0, 1, list::sum),
    filter("push", "{% assign all = items | push: item %}", 1, 1, |call| {
        call.list(call.items()?.into_iter().chain([call.arg(0)]))
    }),
    filter("unshift", "{% assign all = items | unshift: item %}", 1, 1, |call| {
        call.list([call.arg(0)].into_iter().chain(call.items()?))
    }),
    filter("intersect", "{{ tags | intersect: others | size }}", 1, 1, list::intersect),
    // What is stored.
    filter("user", "{% assign owner = data.owner_id | user %}", 0, 0, record::user),
    filter("object", "{% assign project = data.project_id | object: \"projects\" %}", 1, 1, record::object),
    filter("tenant", "{% assign company = data.company_id | tenant %}", 0, 0, record::tenant),
    filter("subscriptions", "{% assign all = recipient.id | subscriptions %}", 0, 0, record::subscriptions),
    // Times.
    filter("date", "{{ due | date: \"%b %-d, %Y\", \"Europe/Berlin\" }}", 0, 2, time::date),
    filter("timezone", "{{ timestamp | timezone: \"Europe/Berlin\" | date: \"%H:%M\" }}", 1, 1, time::timezone),
    filter("format_date_in_locale", "{{ due | format_date_in_locale: \"fr\", \"long\" }}", 0, 2, |call| {
        time::in_locale(call, |at| Ok(locale::date(at, &call.arg_text(0)?, Length::of(&call.arg_text(1)?)?)?))
    }),
    filter(
        "format_datetime_in_locale",
        "{{ due | format_datetime_in_locale: \"fr\", \"long\", \"short\" }}",
        0,
        3,
        |call| {
            time::in_locale(call, |at| {
                let time = Length::of(&call.text_or(2, "short")?)?;
                Ok(locale::datetime(at, &call.arg_text(0)?, Length::of(&call.arg_text(1)?)?, time)?)
            })
        },
    ),
];

/// The filter of this name.
pub(super) fn find(name: &str) -> Option<&'static Filter> {
    ALL.iter().find(|filter| filter.name == name)
}

/// What `filter` will refuse of the values that it is given, whatever stands in for those that only a rendering knows,
/// which are none here: it is run with nothing in their place, and with a number.
pub(super) fn foresee(filter: &Filter, args: &[Option<Val<'_>>]) -> Option<String> {
    let refusal = |other: Val<'_>| {
        let args: Vec<_> = args.iter().map(|arg| arg.clone().unwrap_or(other.clone())).collect();
        let budget = Budget::new(EMAIL_BYTES);
        // One is a number, a text, a list of one and a time.
        let call = Call { input: Val::Int(1), args: &args, named: &[], budget: &budget, now: Val::Nil };
        match (filter.run)(&call) {
            Err(Refusal::Because(problem)) => Some(problem),
            _ => None,
        }
    };
    if args.iter().all(Option::is_none) { None } else { refusal(Val::Nil).and(refusal(Val::Int(1))) }
}

impl<'s> Call<'_, 's> {
    /// An argument; nil when it is not there.
    fn arg(&self, index: usize) -> Val<'s> {
        self.args.get(index).cloned().unwrap_or(Val::Nil)
    }

    /// An argument that is given by name.
    fn option(&self, name: &str) -> Val<'s> {
        self.named.iter().find(|(known, _)| *known == name).map_or(Val::Nil, |(_, value)| value.clone())
    }

    fn text(&self) -> Result<Cow<'_, str>, Refusal> {
        self.read(&self.input)
    }

    fn arg_text(&self, index: usize) -> Result<Cow<'_, str>, Refusal> {
        self.text_or(index, "")
    }

    fn text_or(&self, index: usize, other: &'static str) -> Result<Cow<'_, str>, Refusal> {
        self.args.get(index).map_or(Ok(Cow::Borrowed(other)), |value| self.read(value))
    }

    fn read<'v>(&self, value: &'v Val<'s>) -> Result<Cow<'v, str>, Refusal> {
        let text = value.to_text(self.budget)?;
        self.budget.take_reading(text.len())?;
        Ok(text)
    }

    /// An argument that counts something. A negative one counts nothing.
    fn count_or(&self, index: usize, other: usize) -> Result<usize, Refusal> {
        self.args.get(index).map_or(Ok(other), |value| Ok(number(value)? as usize))
    }

    /// The items of the input. What is no list is one item, and nothing is none.
    fn items(&self) -> Result<Vec<Val<'s>>, Refusal> {
        match &self.input {
            Val::Nil => Ok(Vec::new()),
            list if list.count().is_some() => Ok(items(list, 0, self.budget).collect::<Result<_, _>>()?),
            value => Ok(vec![value.clone()]),
        }
    }

    fn list_arg(&self, index: usize) -> Result<Vec<Val<'s>>, Refusal> {
        match self.arg(index) {
            Val::Nil => Ok(Vec::new()),
            list if list.count().is_some() => Ok(items(&list, 0, self.budget).collect::<Result<_, _>>()?),
            value => Err(format!("{} is not a list", value.kind()).into()),
        }
    }

    /// A text that the filter made.
    fn made(&self, text: String) -> Answer<'s> {
        Ok(Val::text(Rc::<str>::from(text), self.budget)?)
    }

    /// A list that the filter made. Paid for before it is as long as it will be.
    fn list(&self, parts: impl Iterator<Item = Val<'s>>) -> Answer<'s> {
        const PORTION: usize = 1024 / ITEM_BYTES;
        let mut list = Vec::new();
        for part in parts {
            if list.len() % PORTION == 0 {
                self.budget.take(1)?;
            }
            list.push(part);
        }
        Ok(Val::list(list, self.budget)?)
    }

    fn arithmetic(&self, whole: fn(i64, i64) -> Option<i64>, real: fn(f64, f64) -> f64) -> Answer<'s> {
        number::combine(&self.input, &self.arg(0), whole, real)
    }

    fn refuse_zero(&self) -> Result<(), Refusal> {
        if number(&self.arg(0))? == 0.0 { Err("cannot divide by zero".to_owned().into()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
