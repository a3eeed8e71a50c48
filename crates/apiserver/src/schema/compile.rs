//! From OpenAPI text to the compiled form. Equal leaves and named definitions
//! are shared, so that a kind costs kilobytes where its document costs hundreds.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use choreo_template::format::Format;
use serde_json::{Map, Value};

use super::{
    meta, program,
    structure::{Bound, List, Merge, Pattern, Range, Rest, Rules, Structure, Type},
};

/// Definitions whose published form cannot be compiled as written.
const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";
const INT_OR_STRING: &str = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";

/// Makes compiled schemas and remembers what can be shared.
#[derive(Debug, Default)]
pub(crate) struct Compiler {
    named: BTreeMap<String, Arc<Structure>>,
    leaves: BTreeMap<String, Arc<Structure>>,
    definitions: Map<String, Value>,
    open: BTreeSet<String>,
}

impl Compiler {
    /// Compiles the schema of a whole custom object.
    pub(crate) fn object(&mut self, schema: &Value) -> Arc<Structure> {
        let mut root = self.build(schema);
        root.kind = Type::Object;
        self.embed(&mut root, schema);
        Arc::new(root)
    }

    /// Compiles a named definition out of a set of definitions that refer to
    /// each other. What an earlier set compiled under the same name is reused.
    pub(crate) fn definition(
        &mut self,
        name: &str,
        definitions: Map<String, Value>,
    ) -> Arc<Structure> {
        self.definitions = definitions;
        let compiled = self.named(name);
        self.definitions = Map::new();
        compiled
    }

    fn named(&mut self, name: &str) -> Arc<Structure> {
        if let Some(found) = self.named.get(name) {
            return found.clone();
        }
        let structure = match name {
            QUANTITY => Structure {
                kind: Type::Quantity,
                ..Structure::default()
            },
            INT_OR_STRING => Structure {
                kind: Type::IntOrString,
                ..Structure::default()
            },
            _ if is_json(name) => anything(),
            _ if !self.open.insert(name.to_owned()) => return Arc::new(anything()),
            _ => {
                let schema = self.definitions.get(name).cloned().unwrap_or_default();
                let built = self.build(&schema);
                self.open.remove(name);
                built
            }
        };
        let structure = Arc::new(structure);
        self.named.insert(name.to_owned(), structure.clone());
        structure
    }

    fn node(&mut self, schema: &Value) -> Arc<Structure> {
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            let name = reference.rsplit('/').next().unwrap_or(reference).to_owned();
            return self.named(&name);
        }
        let Some(key) = leaf_key(schema) else {
            return Arc::new(self.build(schema));
        };
        if let Some(found) = self.leaves.get(&key) {
            return found.clone();
        }
        let built = Arc::new(self.build(schema));
        self.leaves.insert(key, built.clone());
        built
    }

    fn build(&mut self, schema: &Value) -> Structure {
        let kind = type_of(schema);
        let properties = schema.get("properties").and_then(Value::as_object);
        let mut structure = Structure {
            kind,
            nullable: flag(schema, "nullable"),
            embedded: false,
            properties: properties.map_or_else(BTreeMap::new, |members| {
                members
                    .iter()
                    .map(|(name, member)| (name.as_str().into(), self.node(member)))
                    .collect()
            }),
            rest: self.rest(schema),
            items: schema.get("items").map(|items| self.node(items)),
            list: list_of(schema),
            merge: match text(schema, "x-kubernetes-map-type") {
                Some("atomic") => Merge::Whole,
                _ if self.definitions.is_empty() => Merge::Distinct,
                _ => Merge::Granular,
            },
            merge_key: text(schema, "x-kubernetes-patch-merge-key").map(Into::into),
            default: schema
                .get("default")
                .filter(|value| !value.is_null())
                .cloned(),
            rules: self.rules(schema).map(Box::new),
            programs: program::compile(schema),
        };
        if kind == Type::Any
            && structure.properties.is_empty()
            && schema.get("additionalProperties").is_none()
        {
            structure.rest = Rest::Keep;
        }
        if flag(schema, "x-kubernetes-embedded-resource") {
            self.embed(&mut structure, schema);
        }
        structure
    }

    /// Gives a place the fields that every object has. What the schema itself
    /// says of `metadata` (a pattern of names) stays as a rule.
    fn embed(&mut self, structure: &mut Structure, schema: &Value) {
        structure.embedded = true;
        if let Some(restrictions) = schema.pointer("/properties/metadata/properties") {
            let rule =
                serde_json::json!({"properties": {"metadata": {"properties": restrictions}}});
            let rule = self.node(&rule);
            structure.rules.get_or_insert_default().all_of.push(rule);
        }
        let string = self.node(&serde_json::json!({"type": "string"}));
        structure
            .properties
            .insert("apiVersion".into(), string.clone());
        structure.properties.insert("kind".into(), string);
        structure
            .properties
            .insert("metadata".into(), meta::structure());
    }

    fn rest(&mut self, schema: &Value) -> Rest {
        let keep = flag(schema, "x-kubernetes-preserve-unknown-fields");
        match schema.get("additionalProperties") {
            Some(typed) if typed.is_object() => Rest::Typed(self.node(typed)),
            Some(Value::Bool(true)) => Rest::Keep,
            _ if keep => Rest::Keep,
            _ => Rest::Unknown,
        }
    }

    fn rules(&mut self, schema: &Value) -> Option<Rules> {
        let members = schema.as_object()?;
        if !members.keys().any(|key| is_rule(key)) {
            return None;
        }
        Some(Rules {
            required: strings(schema, "required").map(Into::into).collect(),
            allowed: schema
                .get("enum")
                .and_then(Value::as_array)
                .cloned()
                .unwrap_or_default(),
            pattern: text(schema, "pattern").map(Pattern::new),
            format: text(schema, "format").and_then(Format::parse),
            minimum: bound(schema, "minimum", "exclusiveMinimum"),
            maximum: bound(schema, "maximum", "exclusiveMaximum"),
            multiple_of: schema.get("multipleOf").and_then(Value::as_f64),
            length: range(schema, "minLength", "maxLength"),
            items: range(schema, "minItems", "maxItems"),
            properties: range(schema, "minProperties", "maxProperties"),
            unique: flag(schema, "uniqueItems"),
            all_of: self.alternatives(schema, "allOf"),
            any_of: self.alternatives(schema, "anyOf"),
            one_of: self.alternatives(schema, "oneOf"),
            not: schema.get("not").map(|not| self.node(not)),
        })
    }

    fn alternatives(&mut self, schema: &Value, key: &str) -> Vec<Arc<Structure>> {
        let listed = schema.get(key).and_then(Value::as_array);
        listed.map_or_else(Vec::new, |list| {
            list.iter().map(|one| self.node(one)).collect()
        })
    }
}

/// Whether a definition stands for any JSON: a schema is checked by its own
/// rules, not by a schema of schemas.
fn is_json(name: &str) -> bool {
    let short = name.rsplit('.').next().unwrap_or(name);
    short == "JSON" || short.starts_with("JSONSchemaProps")
}

fn anything() -> Structure {
    Structure {
        nullable: true,
        rest: Rest::Keep,
        ..Structure::default()
    }
}

fn is_rule(key: &str) -> bool {
    const RULES: [&str; 19] = [
        "required",
        "enum",
        "pattern",
        "format",
        "minimum",
        "maximum",
        "multipleOf",
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
        "minProperties",
        "maxProperties",
        "uniqueItems",
        "allOf",
        "anyOf",
        "oneOf",
        "not",
        "exclusiveMinimum",
    ];
    RULES.contains(&key)
}

/// What tells a childless schema from others; nothing for schemas with children.
fn leaf_key(schema: &Value) -> Option<String> {
    const CHILDREN: [&str; 7] = [
        "properties",
        "items",
        "additionalProperties",
        "allOf",
        "anyOf",
        "oneOf",
        "not",
    ];
    let members = schema.as_object()?;
    if CHILDREN.iter().any(|child| members.contains_key(*child)) {
        return None;
    }
    let mut key = String::new();
    for (name, value) in members.iter().filter(|(name, _)| *name != "description") {
        key.push_str(name);
        key.push_str(&value.to_string());
        key.push('\n');
    }
    Some(key)
}

fn type_of(schema: &Value) -> Type {
    if flag(schema, "x-kubernetes-int-or-string") {
        return Type::IntOrString;
    }
    match text(schema, "type") {
        Some("object") => Type::Object,
        Some("array") => Type::Array,
        Some("string") => Type::String,
        Some("integer") => Type::Integer,
        Some("number") => Type::Number,
        Some("boolean") => Type::Boolean,
        _ => Type::Any,
    }
}

fn list_of(schema: &Value) -> List {
    match text(schema, "x-kubernetes-list-type") {
        Some("set") => List::Set,
        Some("map") => List::Map(
            strings(schema, "x-kubernetes-list-map-keys")
                .map(str::to_owned)
                .collect(),
        ),
        _ => List::Atomic,
    }
}

fn bound(schema: &Value, key: &str, exclusive: &str) -> Option<Bound> {
    let value = schema.get(key).and_then(Value::as_f64)?;
    Some(Bound {
        value,
        exclusive: flag(schema, exclusive),
    })
}

fn range(schema: &Value, least: &str, most: &str) -> Range {
    let read = |key| schema.get(key).and_then(Value::as_u64);
    Range {
        least: read(least),
        most: read(most),
    }
}

pub(super) fn flag(schema: &Value, key: &str) -> bool {
    schema.get(key).and_then(Value::as_bool).unwrap_or(false)
}

pub(crate) fn text<'a>(schema: &'a Value, key: &str) -> Option<&'a str> {
    schema.get(key).and_then(Value::as_str)
}

pub(crate) fn strings<'a>(schema: &'a Value, key: &str) -> impl Iterator<Item = &'a str> {
    let listed = schema.get(key).and_then(Value::as_array);
    listed.into_iter().flatten().filter_map(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn equal_leaves_are_shared() {
        let mut compiler = Compiler::default();
        let structure = compiler.object(&json!({"type": "object", "properties": {
            "a": {"type": "string", "description": "one"},
            "b": {"type": "string", "description": "two"},
            "c": {"type": "string", "maxLength": 3},
        }}));
        assert!(Arc::ptr_eq(
            &structure.properties["a"],
            &structure.properties["b"]
        ));
        assert!(!Arc::ptr_eq(
            &structure.properties["a"],
            &structure.properties["c"]
        ));
    }

    #[test]
    fn definitions_that_refer_to_themselves_end() {
        let definitions = json!({"Tree": {"type": "object", "properties": {
            "children": {"type": "array", "items": {"$ref": "#/components/schemas/Tree"}}}}});
        let Value::Object(definitions) = definitions else {
            unreachable!()
        };
        let tree = Compiler::default().definition("Tree", definitions);
        let inner = tree.properties["children"].items.clone().unwrap();
        assert!(matches!(inner.rest, Rest::Keep));
    }
}
