//! Query strings: one reader for the dialects in which clients write them (`knock-api.md` section 1.12).

use serde_json::{Map, Value};

use super::trigger::FieldError;

/// The decoded pairs of a query string. Empty values count as absent, since clients send options that are unset.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a>(&'a [(String, String)]);

impl<'a> Query<'a> {
    /// Over decoded pairs.
    pub fn new(pairs: &'a [(String, String)]) -> Self {
        Self(pairs)
    }

    fn pairs(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str())).filter(|(_, value)| !value.is_empty())
    }

    /// `name=x`; the first, when it is repeated.
    pub fn text(self, name: &str) -> Option<&'a str> {
        self.pairs().find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// `name[]=x&name[]=y`, also numbered or without brackets.
    pub fn list(self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let is_index = |key: &str| key.bytes().all(|byte| byte.is_ascii_digit());
        let element = move |key: &'a str| key == name || bracketed(key, name).is_some_and(is_index);
        self.pairs().filter(move |(key, _)| element(key)).map(|(_, value)| value)
    }

    /// `name[key]=x` and `name.key=x`, as keys and values.
    pub fn fields(self, name: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let dotted = move |key: &'a str| key.strip_prefix(name)?.strip_prefix('.');
        self.pairs().filter_map(move |(key, value)| Some((bracketed(key, name).or_else(|| dotted(key))?, value)))
    }

    /// The field `key` of `name`.
    pub fn field(self, name: &'a str, key: &str) -> Option<&'a str> {
        self.fields(name).find(|(found, _)| *found == key).map(|(_, value)| value)
    }
}

impl<'a> Query<'a> {
    /// The elements of a list that may hold objects: `name[0][key]=x`, `name[][key]=x` and `name[]=x`, in any mixture and
    /// in their order. Without numbers an object ends where one of its keys comes again, or where a text comes.
    pub fn objects(self, name: &'a str) -> Vec<Value> {
        let (mut found, mut numbered): (Vec<Value>, Vec<(&str, usize)>) = (Vec::new(), Vec::new());
        for (key, text) in self.pairs() {
            let Some(rest) = key.strip_prefix(name) else { continue };
            let mut parts = rest.split('[').skip(1).map(|part| part.strip_suffix(']').unwrap_or(part));
            match (rest.starts_with('['), parts.next(), parts.next()) {
                (false, _, _) if !rest.is_empty() => {}
                (_, None | Some(_), None) => found.push(text.into()),
                (_, Some(number), Some(key)) => {
                    let known = numbered.iter().find(|(known, _)| *known == number).map(|(_, place)| *place);
                    let open = match known {
                        Some(place) if !number.is_empty() => Some(place),
                        // The last element, if it is an object that lacks the key.
                        _ => found.len().checked_sub(1).filter(|_| number.is_empty()),
                    };
                    match open.map(|place| &mut found[place]) {
                        Some(Value::Object(object)) if !object.contains_key(key) => {
                            object.insert(key.to_owned(), text.into());
                        }
                        _ => {
                            numbered.push((number, found.len()));
                            found.push(Value::Object(Map::from_iter([(key.to_owned(), text.into())])));
                        }
                    }
                }
                (_, None, Some(_)) => {}
            }
        }
        found
    }
}

/// A JSON body in the form of a query string, where both say the same: lists become repeated names, objects their JSON,
/// and `null` is absent.
pub fn pairs(body: &Map<String, Value>) -> Vec<(String, String)> {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let pairs = body.iter().flat_map(|(key, value)| match value {
        Value::Null => Vec::new(),
        Value::Array(list) => list.iter().map(|element| (key.clone(), text(element))).collect(),
        other => vec![(key.clone(), text(other))],
    });
    pairs.collect()
}

/// The value of `name` among `known`; `None` when it is absent, or wrong.
pub fn choice<T: Copy>(query: Query<'_>, name: &str, known: &[(&str, T)], errors: &mut Vec<FieldError>) -> Option<T> {
    known_value(name, query.text(name)?, known, errors)
}

/// The values of the list `name` among `known`; the faults of the others are told.
pub fn choices<T: Copy>(query: Query<'_>, name: &str, known: &[(&str, T)], errors: &mut Vec<FieldError>) -> Vec<T> {
    query.list(name).filter_map(|text| known_value(name, text, known, errors)).collect()
}

fn known_value<T: Copy>(name: &str, text: &str, known: &[(&str, T)], errors: &mut Vec<FieldError>) -> Option<T> {
    let found = known.iter().find(|(key, _)| *key == text).map(|(_, value)| *value);
    if found.is_none() {
        let known: Vec<&str> = known.iter().map(|(key, _)| *key).collect();
        errors.push(FieldError::new(name, format!("is `{text}`, which is none of {}", known.join(", "))));
    }
    found
}

/// What stands in the brackets of `name[...]`.
fn bracketed<'a>(key: &'a str, name: &str) -> Option<&'a str> {
    key.strip_prefix(name)?.strip_prefix('[')?.strip_suffix(']')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_of_objects_and_texts_are_read_in_every_dialect() {
        let read = |query: &str| {
            let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            let pairs: Vec<_> = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
            Query::new(&pairs).objects("r")
        };
        let team = || json!({"collection": "teams", "id": "t1"});
        assert_eq!(read("r[0][collection]=teams&r[0][id]=t1&r[1]=u1"), [team(), json!("u1")]);
        assert_eq!(read("r[]=u1&r[][collection]=teams&r[][id]=t1"), [json!("u1"), team()]);
        assert_eq!(read("r[][id]=t1&r[][collection]=teams&r[][id]=t2&r[]=u&r[][id]=t3").len(), 4);
        assert_eq!(
            read("r[1][id]=b&r[0][id]=a&r[1][collection]=c"),
            [json!({"id": "b", "collection": "c"}), json!({"id": "a"})]
        );
        assert_eq!(read("r=u1&rest[]=x&r[]=&q[][id]=y"), [json!("u1")]);
    }

    #[test]
    fn every_dialect_says_the_same() {
        let pairs: Vec<_> = [
            ("status", ""),
            ("status", "unread"),
            ("status", "read"),
            ("c[]", "1"),
            ("c[7]", "2"),
            ("c", "3"),
            ("c[x]", "no"),
            ("at[gte]", "4"),
            ("at.lte", "5"),
            ("attic.gte", "no"),
            ("at[gt", "no"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        let query = Query::new(&pairs);
        assert_eq!(query.text("status"), Some("unread"));
        assert_eq!(query.list("c").collect::<Vec<_>>(), ["1", "2", "3"]);
        assert_eq!(
            (query.field("at", "gte"), query.field("at", "lte"), query.field("at", "gt")),
            (Some("4"), Some("5"), None)
        );
        assert_eq!(query.fields("at").count(), 2);
    }
}
