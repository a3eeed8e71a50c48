//! Definitions of schemas that become parts of one: a reference leads from the root of a document,
//! so what a type calls `#/$defs/Size` has to be there, under a name that no other type uses.

use serde_json::{Map, Value};

/// Where references begin that lead to definitions.
const ROOT: &str = "#/$defs/";

/// The definitions of one document.
#[derive(Debug, Default)]
pub(super) struct Shelf(Map<String, Value>);

impl Shelf {
    /// `schema` as a part of the document, with its definitions put here in the name of `owner`.
    pub(super) fn take(&mut self, owner: &str, mut schema: Value) -> Value {
        let Some(fields) = schema.as_object_mut() else {
            return schema;
        };
        // The document says which dialect all of it is in.
        fields.remove("$schema");
        if let Some(Value::Object(definitions)) = fields.remove("$defs") {
            for (name, mut definition) in definitions {
                rename(&mut definition, owner);
                self.0.insert(format!("{owner}.{name}"), definition);
            }
        }
        rename(&mut schema, owner);
        schema
    }

    /// Puts the definitions into `document`.
    pub(super) fn give(self, document: &mut Value) {
        if !self.0.is_empty() {
            document["$defs"] = Value::Object(self.0);
        }
    }
}

/// Lets every reference lead to the definitions of `owner`.
fn rename(schema: &mut Value, owner: &str) {
    match schema {
        Value::Object(fields) => {
            for (keyword, value) in fields {
                let name = value.as_str().and_then(|target| target.strip_prefix(ROOT));
                if keyword == "$ref"
                    && let Some(name) = name
                {
                    *value = Value::from(format!("{ROOT}{owner}.{name}"));
                } else {
                    rename(value, owner);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, owner)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn definitions_of_two_types_stay_apart() {
        let schema = |of: &str| {
            json!({
                "$defs": {"Size": {"type": of}, "Both": {"items": {"$ref": "#/$defs/Size"}}},
                "properties": {"a": {"$ref": "#/$defs/Both"}},
            })
        };
        let mut shelf = Shelf::default();
        let parts = [
            shelf.take("one", schema("string")),
            shelf.take("two", schema("integer")),
        ];
        assert_eq!(
            parts[1],
            json!({"properties": {"a": {"$ref": "#/$defs/two.Both"}}})
        );
        let mut document = json!({"allOf": parts});
        shelf.give(&mut document);
        assert_eq!(
            document["$defs"],
            json!({
                "one.Size": {"type": "string"},
                "one.Both": {"items": {"$ref": "#/$defs/one.Size"}},
                "two.Size": {"type": "integer"},
                "two.Both": {"items": {"$ref": "#/$defs/two.Size"}},
            })
        );
    }
}
