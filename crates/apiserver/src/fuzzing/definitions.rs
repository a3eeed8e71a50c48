//! What definitions of custom kinds bring along: schemas and rules in CEL.

use serde_json::{Value, json};

use super::shown;
use crate::{builtin::from_crd, schema::Schema};

/// The documents of a text; none if it is no YAML.
pub(super) fn documents(data: &[u8]) -> Vec<Value> {
    let text = str::from_utf8(data).unwrap_or_default();
    serde_saphyr::from_multiple(text).unwrap_or_default()
}

/// A `CustomResourceDefinition`, and objects of its kind.
pub(super) fn definition(data: &[u8]) {
    let mut objects = documents(data);
    if objects.is_empty() {
        return;
    }
    let definition = objects.remove(0);
    // A server also meets schemas that were never checked: from a store of an earlier version.
    let unchecked = definition.pointer("/spec/versions/0/schema/openAPIV3Schema");
    let unchecked = Schema::from_openapi(unchecked.unwrap_or(&definition));
    objects.push(json!({}));
    for object in &objects {
        let _ = unchecked.validate(object, None);
        let _ = unchecked.check(object, None);
    }
    let Ok(kinds) = from_crd(&definition) else {
        return;
    };
    for kind in kinds {
        for object in &objects {
            let object = written(&kind.schema, object.clone());
            shown(&kind, &object);
        }
    }
}

/// The object as a write leaves it; writing it again changes nothing.
fn written(schema: &Schema, mut object: Value) -> Value {
    if !object.is_object() {
        return object;
    }
    schema.prune(&mut object);
    schema.default(&mut object);
    let mut again = object.clone();
    schema.prune(&mut again);
    schema.default(&mut again);
    assert_eq!(object, again, "written twice");
    assert_eq!(
        schema.validate(&object, None),
        schema.validate(&again, None)
    );
    object
}

/// A rule of a schema: the first line of a document is the rule, the rest of it (YAML) an object
/// and, in a document of its own, the object before.
pub(super) fn rule(data: &[u8]) {
    let text = str::from_utf8(data).unwrap_or_default();
    let (source, rest) = text.split_once('\n').unwrap_or((text, ""));
    let objects = documents(rest.as_bytes());
    let object = objects.first().cloned().unwrap_or_else(|| json!({}));
    let rules = json!([
        {"rule": source, "messageExpression": source},
        {"rule": source, "optionalOldSelf": true, "message": "m", "fieldPath": ".spec"},
    ]);
    let string = json!({"type": "string"});
    let schema = json!({
        "type": "object", "x-kubernetes-validations": rules,
        "properties": {"spec": {
            "type": "object", "x-kubernetes-validations": rules,
            "properties": {
                "replicas": {"type": "integer"},
                "ratio": {"type": "number"},
                "at": {"type": "string", "format": "date-time"},
                "either": {"x-kubernetes-int-or-string": true},
                "tags": {"type": "array", "items": string, "x-kubernetes-validations": rules},
                "map": {"type": "object", "additionalProperties": string},
                "ports": {
                    "type": "array", "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["name"],
                    "items": {"type": "object", "required": ["name"], "properties": {
                        "name": string, "port": {"type": "integer"}}},
                },
            },
        }},
    });
    let definition = json!({
        "metadata": {"name": "things.example.org"},
        "spec": {
            "group": "example.org", "scope": "Namespaced",
            "names": {"kind": "Thing", "plural": "things"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": schema}}],
        },
    });
    let _ = from_crd(&definition);
    let schema = Schema::from_openapi(&schema);
    if schema.validate(&object, None).is_empty() {
        let broken = schema.check(&object, objects.get(1));
        assert_eq!(broken, schema.check(&object, objects.get(1)));
    }
}
