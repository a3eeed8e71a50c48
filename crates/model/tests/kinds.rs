//! Every kind of the registry: what it takes, and what it refuses in which words.
//!
//! A document of `kinds/` is an object, the kinds it is an example of, and changes of it with what
//! is said of each. Structure is judged by the schema that an API serves, the rest by the checks.

use std::collections::BTreeSet;
use std::path::Path;

use choreo_model::{Kind, Scope, json_schema, registry};
use serde::Deserialize;
use serde_json::{Map, Value, json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Example {
    kinds: Vec<String>,
    /// The name of the object, for kinds that ask something of it.
    #[serde(default = "any_name")]
    name: String,
    spec: Value,
    #[serde(default)]
    status: Option<Value>,
    #[serde(default)]
    refusals: Vec<Refusal>,
}

fn any_name() -> String {
    "it".to_owned()
}

/// A change of an example that is refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refusal {
    /// What is set in the specification, by JSON pointer; `null` takes away.
    set: Map<String, Value>,
    /// Whether an object that exists is changed; otherwise the object is a new one.
    #[serde(default)]
    update: bool,
    /// The kinds this is about; all of the example's, when left out.
    #[serde(default)]
    only: Vec<String>,
    says: Vec<String>,
}

fn examples() -> Vec<Example> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kinds");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    files
        .iter()
        .flat_map(|file| {
            let name = file.to_string_lossy();
            let text = std::fs::read_to_string(file).expect(&name);
            serde_saphyr::from_multiple::<Example>(&text).expect(&name)
        })
        .collect()
}

/// Calls `visit` with every example of every kind.
fn each(mut visit: impl FnMut(&'static Kind, &Example)) {
    for example in examples() {
        for name in &example.kinds {
            let kind = registry()
                .iter()
                .find(|kind| kind.kind == name)
                .expect(name);
            visit(kind, &example);
        }
    }
}

fn object(kind: &Kind, example: &Example, spec: &Value) -> Value {
    let mut object = json!({
        "apiVersion": kind.api_version(),
        "kind": kind.kind,
        "metadata": { "name": example.name },
        "spec": spec,
    });
    if kind.scope == Scope::Namespaced {
        object["metadata"]["namespace"] = json!("default");
    }
    if let Some(status) = &example.status {
        object["status"] = status.clone();
    }
    object
}

/// Everything wrong with `new`, as a new object or as a change of `old`.
fn refusals(kind: &Kind, new: &Value, old: Option<&Value>) -> Vec<String> {
    let mut found = Vec::new();
    structure("", &(kind.schema)(), new, &mut found);
    if found.is_empty() {
        let violations = (kind.check)(new, old);
        found.extend(violations.iter().map(ToString::to_string));
    }
    found
}

/// What an API server says of the structure of `value`.
fn structure(at: &str, schema: &Value, value: &Value, found: &mut Vec<String>) {
    let type_ = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    if let Some(wanted) = schema["type"].as_str()
        && wanted != type_
    {
        found.push(format!("{at}: must be of type {wanted}, found {type_}"));
        return;
    }
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        found.push(format!("{at}: must be one of {}", schema["enum"]));
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        structure(&format!("{at}[{index}]"), &schema["items"], item, found);
    }
    let Some(fields) = value.as_object() else {
        return;
    };
    for name in schema["required"].as_array().into_iter().flatten() {
        let name = name.as_str().expect("a name");
        if !fields.contains_key(name) {
            found.push(format!("{}: is required", join(at, name)));
        }
    }
    let is_metadata = at == "metadata";
    for (name, inner) in fields {
        let at = join(at, name);
        let named = &schema["properties"][name.as_str()];
        let other = &schema["additionalProperties"];
        let is_free = schema["x-kubernetes-preserve-unknown-fields"] == true;
        match (named.is_object(), other.is_object()) {
            (true, _) => structure(&at, named, inner, found),
            (false, true) => structure(&at, other, inner, found),
            (false, false) if is_free || is_metadata => {}
            (false, false) => found.push(format!("{at}: unknown field")),
        }
    }
}

fn join(at: &str, name: &str) -> String {
    match at {
        "" => name.to_owned(),
        at => format!("{at}.{name}"),
    }
}

fn set(spec: &mut Value, pointer: &str, value: &Value) {
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
    let parent = spec.pointer_mut(parent).expect(parent);
    match (parent, value) {
        (Value::Object(fields), Value::Null) => {
            fields.remove(key).expect(pointer);
        }
        (Value::Array(items), Value::Null) => {
            items.remove(key.parse().expect(pointer));
        }
        (Value::Array(items), value) if key == "-" => items.push(value.clone()),
        (parent @ Value::Array(_), value) => {
            parent[key.parse::<usize>().expect(pointer)] = value.clone();
        }
        (parent, value) => parent[key] = value.clone(),
    }
}

#[test]
fn every_kind_has_an_example() {
    let mut shown = BTreeSet::new();
    each(|kind, _| {
        shown.insert(kind.kind);
    });
    let all: BTreeSet<_> = registry().iter().map(|kind| kind.kind).collect();
    assert_eq!(shown, all);
}

#[test]
fn examples_are_taken() {
    each(|kind, example| {
        let object = object(kind, example, &example.spec);
        let found = refusals(kind, &object, Some(&object));
        assert!(found.is_empty(), "{}: {found:?}", kind.kind);
    });
}

#[test]
fn unknown_fields_are_refused() {
    each(|kind, example| {
        let mut object = object(kind, example, &example.spec);
        object["spec"]["unheardOf"] = json!(1);
        let found = refusals(kind, &object, None);
        assert_eq!(found, ["spec.unheardOf: unknown field"], "{}", kind.kind);
    });
}

#[test]
fn mistakes_are_refused_where_they_are() {
    each(|kind, example| {
        for refusal in &example.refusals {
            if !refusal.only.is_empty() && !refusal.only.iter().any(|only| only == kind.kind) {
                continue;
            }
            let old = object(kind, example, &example.spec);
            let mut spec = example.spec.clone();
            for (pointer, value) in &refusal.set {
                set(&mut spec, pointer, value);
            }
            let new = object(kind, example, &spec);
            let found = refusals(kind, &new, refusal.update.then_some(&old));
            assert_eq!(found, refusal.says, "{} {:?}", kind.kind, refusal.set);
        }
    });
}

/// What an editor says follows from the same rows.
#[test]
fn editors_know_what_the_api_knows() {
    each(|kind, example| {
        let mut found = Vec::new();
        let object = object(kind, example, &example.spec);
        structure("", &json_schema(kind), &object, &mut found);
        // Free-form values are open in JSON Schema where nothing is said of them.
        found.retain(|one| !one.ends_with("unknown field"));
        assert!(found.is_empty(), "{}: {found:?}", kind.kind);
    });
}

#[test]
fn scopes_of_roles_carry_their_rules() {
    for (name, count) in [("AuthzRoleBinding", 3), ("ClusterAuthzRoleBinding", 4)] {
        let schema = (choreo_model::find(name).expect(name).schema)();
        let scope = "/properties/spec/properties/roleMappings/items/properties/scope";
        let rules = schema.pointer(&format!("{scope}/x-kubernetes-validations"));
        let rules = rules.and_then(Value::as_array).map(Vec::len);
        assert_eq!(rules, Some(count), "{name}");
    }
}

#[test]
fn definitions_follow_from_rows() {
    for kind in registry() {
        let crd = kind.crd();
        let version = &crd["spec"]["versions"][0];
        let has_status = version["subresources"]["status"].is_object();
        assert_eq!(has_status, kind.has_status, "{}", kind.kind);
        let schema = &version["schema"]["openAPIV3Schema"]["properties"];
        assert_eq!(schema["status"].is_object(), has_status, "{}", kind.kind);
        let columns = version["additionalPrinterColumns"].as_array();
        assert_eq!(columns.map_or(0, Vec::len), kind.columns.len());
        for name in [kind.plural, kind.singular, kind.kind] {
            assert_eq!(choreo_model::find(name).unwrap().kind, kind.kind);
        }
        if let Some(finalizer) = kind.finalizer {
            assert!(finalizer.starts_with("openchoreo.dev/"));
        }
    }
}
