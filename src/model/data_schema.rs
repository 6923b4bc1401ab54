//! The JSON Schema that a workflow's trigger data must fit (`trigger_data_json_schema`).

use jsonschema::{PatternOptions, Validator};
use serde_json::{Map, Value};

use super::profile::at;
use super::trigger::FieldError;

/// The most faults of one request that are told.
const MAX_TOLD: usize = 20;

/// A schema that was read.
#[derive(Debug)]
pub struct DataSchema(Validator);

impl DataSchema {
    /// Reads a schema; the error says what is wrong with it. Nothing is fetched: a reference leads into the schema itself.
    pub fn new(schema: &Value) -> Result<Self, String> {
        // The engine without look-around: no pattern can take long.
        let options = jsonschema::options().with_pattern_options(PatternOptions::regex());
        options.build(schema).map(Self).map_err(|error| match error.schema_path().to_string().as_str() {
            "" => error.to_string(),
            path => format!("{error} (at {path})"),
        })
    }

    /// What of `data` does not fit, each by its path in the request.
    pub fn faults(&self, data: &Map<String, Value>) -> Vec<FieldError> {
        let data = Value::Object(data.clone());
        let fault = |error: jsonschema::ValidationError<'_>| {
            let path = error.instance_path().to_string();
            FieldError::new(
                path.split('/').skip(1).fold("data".to_owned(), |path, part| at(&path, part)),
                error.to_string(),
            )
        };
        self.0.iter_errors(&data).take(MAX_TOLD).map(fault).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn faults(schema: Value, data: Value) -> Vec<(String, String)> {
        let faults = DataSchema::new(&schema).unwrap().faults(data.as_object().unwrap());
        faults.into_iter().map(|fault| (fault.field, fault.message)).collect()
    }

    #[test]
    fn each_fault_is_told_by_its_path() {
        let schema = json!({
            "type": "object", "required": ["page_id"],
            "properties": {"page_id": {"type": "string"}, "items": {"items": {"$ref": "#/$defs/item"}}},
            "$defs": {"item": {"properties": {"n": {"minimum": 1}}}},
        });
        assert_eq!(faults(schema.clone(), json!({"page_id": "x", "items": [{"n": 1}]})), []);
        let found = faults(schema, json!({"items": [{"n": 1}, {"n": 0}]}));
        let fields: Vec<&str> = found.iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(fields.len(), 2, "{found:?}");
        assert!(fields.contains(&"data.items.1.n") && fields.contains(&"data"), "{found:?}");
        assert!(found.iter().any(|(_, message)| message.contains("page_id")), "{found:?}");
    }

    #[test]
    fn a_schema_that_is_none_or_leads_elsewhere_is_refused() {
        for schema in [json!({"type": "strin"}), json!({"$ref": "https://x.test/schema.json"}), json!({"pattern": "("})]
        {
            assert!(DataSchema::new(&schema).is_err(), "{schema}");
        }
        let many = json!({"additionalProperties": {"type": "string"}});
        let data: Map<String, Value> = (0..100).map(|n| (n.to_string(), json!(n))).collect();
        assert_eq!(DataSchema::new(&many).unwrap().faults(&data).len(), MAX_TOLD);
    }
}
