//! Component schemas of a document: the shared definitions of built-in kinds,
//! and one component per custom kind.

use serde_json::{Map, Value, json};

use crate::{builtin, resource::Resource, schema::metadata_openapi};

/// Where custom kinds find the metadata that all objects have.
const METADATA: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// Components of a document, and the name of each kind's component.
pub(super) struct Schemas {
    pub(super) components: Map<String, Value>,
    pub(super) kinds: Vec<String>,
}

/// The schemas of these kinds in the form of OpenAPI 3.0.
pub(super) fn schemas(resources: &[&Resource]) -> Schemas {
    assembled(resources, publish)
}

/// The schemas of these kinds, in which things may stand beside a reference.
pub(super) fn bare(resources: &[&Resource]) -> Schemas {
    assembled(resources, |_| {})
}

fn assembled(resources: &[&Resource], publish: fn(&mut Value)) -> Schemas {
    let registers: Vec<_> = resources
        .iter()
        .filter_map(|one| builtin::register(one))
        .collect();
    let (names, mut components) = builtin::definitions(&registers);
    components.values_mut().for_each(publish);
    let mut names = names.into_iter();
    let mut kinds = Vec::with_capacity(resources.len());
    for resource in resources {
        let known = if resource.builtin { names.next() } else { None };
        let name = known.unwrap_or_else(|| custom(resource, &mut components));
        if let Some(component) = components.get_mut(&name).and_then(Value::as_object_mut) {
            component.insert(
                "x-kubernetes-group-version-kind".to_owned(),
                json!([identity(resource)]),
            );
        }
        kinds.push(name);
    }
    Schemas { components, kinds }
}

fn identity(resource: &Resource) -> Value {
    json!({"group": resource.group, "version": resource.version, "kind": resource.kind})
}

/// Adds the component of a custom kind and returns its name
/// (`com.example.v1.Widget`).
fn custom(resource: &Resource, components: &mut Map<String, Value>) -> String {
    components.entry(METADATA).or_insert_with(metadata_openapi);
    let mut schema = resource
        .schema
        .openapi()
        .unwrap_or_else(|| json!({"type": "object"}));
    if let Some(members) = schema.as_object_mut() {
        let properties = members.entry("properties").or_insert_with(|| json!({}));
        properties["apiVersion"] = json!({"type": "string", "description": API_VERSION});
        properties["kind"] = json!({"type": "string", "description": KIND});
        properties["metadata"] =
            reference(&format!("#/components/schemas/{METADATA}"), METADATA_WORDS);
    }
    let group: Vec<&str> = resource.group.rsplit('.').collect();
    let name = format!("{}.{}.{}", group.join("."), resource.version, resource.kind);
    components.insert(name.clone(), schema);
    name
}

const API_VERSION: &str = "Group and version of the schema that this object follows.";
const KIND: &str = "Kind of this object.";
const METADATA_WORDS: &str = "Standard object's metadata.";

/// Brings a definition into the form of OpenAPI 3.0, in which nothing may
/// stand beside a reference.
fn publish(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            let referred = members
                .get("$ref")
                .and_then(Value::as_str)
                .map(str::to_owned);
            if let (Some(target), true) = (referred, members.len() > 1) {
                let words = members
                    .get("description")
                    .and_then(Value::as_str)
                    .unwrap_or_default();
                let mut replaced = reference(&target, words);
                members.remove("$ref");
                if let Value::Object(wrapped) = &mut replaced {
                    members.append(wrapped);
                }
                return;
            }
            members.values_mut().for_each(publish);
        }
        Value::Array(items) => items.iter_mut().for_each(publish),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn reference(target: &str, description: &str) -> Value {
    json!({"allOf": [{"$ref": target}], "description": description})
}
