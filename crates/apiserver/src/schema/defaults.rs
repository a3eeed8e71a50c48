//! Whether the defaults of a definition's schema are values of it: they are filled in unasked, so
//! a wrong one would spoil whatever is written.

use serde_json::{Value, json};

use super::{Cause, Schema};

/// What is wrong with the defaults below `schema`, which is found at `path`.
pub(super) fn check(schema: &Value, path: &str) -> Vec<Cause> {
    let mut causes = Vec::new();
    place(schema, path, &mut causes);
    causes
}

fn place(schema: &Value, path: &str, causes: &mut Vec<Cause>) {
    if let Some(default) = schema.get("default").filter(|default| !default.is_null()) {
        value(schema, default, &format!("{path}.default"), causes);
    }
    let properties = schema.get("properties").and_then(Value::as_object);
    for (name, property) in properties.into_iter().flatten() {
        place(property, &format!("{path}.properties[{name}]"), causes);
    }
    for key in ["additionalProperties", "items"] {
        if let Some(inner) = schema.get(key).filter(|inner| inner.is_object()) {
            place(inner, &format!("{path}.{key}"), causes);
        }
    }
}

fn value(schema: &Value, default: &Value, path: &str, causes: &mut Vec<Cause>) {
    let whole = Schema::from_openapi(&json!({"type": "object", "properties": {FIELD: schema}}));
    let mut object = json!({ FIELD: default });
    if !whole.prune(&mut object).is_empty() {
        causes.push(Cause::invalid(
            path,
            default,
            "must not have unknown fields",
        ));
        return;
    }
    // What is below has defaults of its own.
    whole.default(&mut object);
    let broken = whole.validate(&object, None);
    let rules = if broken.is_empty() {
        whole.check(&object, None).broken
    } else {
        Vec::new()
    };
    causes.extend(broken.into_iter().chain(rules).map(|mut cause| {
        let below = cause.field.strip_prefix(FIELD).unwrap_or_default();
        cause.field = format!("{path}{below}");
        cause
    }));
}

/// The field in which a value is looked at: schemas are those of whole objects.
const FIELD: &str = "value";
