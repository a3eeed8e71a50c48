//! Removing what a schema does not know, and saying what it was.

use serde_json::{Map, Value};

use super::{
    path::Path,
    structure::{Rest, Structure},
};

/// Prunes `object` and returns the paths that were unknown.
pub(super) fn prune(structure: &Structure, object: &mut Value) -> Vec<String> {
    let mut walk = Walk {
        path: Path::default(),
        unknown: Vec::new(),
    };
    walk.value(structure, object);
    walk.unknown
}

struct Walk {
    path: Path,
    unknown: Vec<String>,
}

impl Walk {
    fn value(&mut self, structure: &Structure, value: &mut Value) {
        match value {
            Value::Object(members) => self.map(structure, members),
            Value::Array(items) => {
                let Some(typed) = &structure.items else {
                    return;
                };
                for (position, item) in items.iter_mut().enumerate() {
                    let mark = self.path.index(position);
                    self.value(typed, item);
                    self.path.back(&mark);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn map(&mut self, structure: &Structure, members: &mut Map<String, Value>) {
        members.retain(|name, member| {
            let known = structure.properties.get(name.as_str());
            let typed = match (known, &structure.rest) {
                (Some(typed), _) | (None, Rest::Typed(typed)) => typed,
                (None, Rest::Keep) => return true,
                (None, Rest::Unknown) => {
                    self.unknown.push(self.path.child(name));
                    return false;
                }
            };
            let mark = self.path.key(name);
            self.value(typed, member);
            self.path.back(&mark);
            true
        });
    }
}

#[cfg(test)]
mod tests {
    use crate::schema::Schema;
    use serde_json::{Value, json};

    fn check(schema: &Value, mut object: Value, unknown: &[&str], left: &Value) {
        let found = Schema::from_openapi(schema).prune(&mut object);
        assert_eq!(found, unknown);
        assert_eq!(&object, left);
    }

    #[test]
    fn unknown_fields_go_and_are_named() {
        let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
            "list": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string"}}}},
            "map": {"type": "object", "additionalProperties": {
                "type": "object", "properties": {"a": {"type": "string"}}}},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true,
                "properties": {"known": {"type": "object", "properties": {}}}},
        }}}});
        check(
            &schema,
            json!({"apiVersion": "v1", "kind": "K", "metadata": {"name": "x", "color": "red"},
                "spec": {"list": [{"a": "1", "b": "2"}], "map": {"k": {"z": 1}},
                    "free": {"x": {"y": 1}, "known": {"z": 1}}, "foo": 1}}),
            &[
                "metadata.color",
                "spec.foo",
                "spec.free.known.z",
                "spec.list[0].b",
                "spec.map.k.z",
            ],
            &json!({"apiVersion": "v1", "kind": "K", "metadata": {"name": "x"},
                "spec": {"list": [{"a": "1"}], "map": {"k": {}},
                    "free": {"x": {"y": 1}, "known": {}}}}),
        );
    }

    #[test]
    fn embedded_objects_keep_their_metadata() {
        let schema = json!({"type": "object", "properties": {"template": {
            "type": "object", "x-kubernetes-embedded-resource": true,
            "properties": {"spec": {"type": "object", "properties": {}}}}}});
        let object = json!({"template": {"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "x"}, "spec": {}}});
        check(&schema, object.clone(), &[], &object);
    }
}
