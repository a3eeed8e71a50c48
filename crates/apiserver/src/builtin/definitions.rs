//! The definitions of the built-in kinds, from the derivations of k8s-openapi
//! to the form Kubernetes publishes and we compile.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::merge;
use crate::schema::{Compiler, Structure};

/// Registers a type with a generator and returns the name of its definition.
pub(crate) type Register = fn(&mut SchemaGenerator) -> String;

/// Compiled definitions are shared by the kinds that use them (a pod template
/// is in eight of them) and kept as long as the process lives.
static COMPILER: LazyLock<Mutex<Compiler>> = LazyLock::new(Mutex::default);

/// Registers `T`.
pub(super) fn register<T: JsonSchema>(generator: &mut SchemaGenerator) -> String {
    generator.subschema_for::<T>();
    T::schema_name().into_owned()
}

/// The compiled form of a kind.
pub(super) fn structure(register: Register) -> Arc<Structure> {
    let (names, definitions) = definitions(&[register]);
    let name = names.first().map_or("", String::as_str);
    let mut compiler = COMPILER.lock().unwrap_or_else(PoisonError::into_inner);
    compiler.definition(name, definitions)
}

/// The definitions that kinds need, by name, and the names of the kinds.
pub(crate) fn definitions(kinds: &[Register]) -> (Vec<String>, Map<String, Value>) {
    let mut generator = SchemaSettings::openapi3()
        .with(|settings| settings.transforms.clear())
        .into_generator();
    let names = kinds
        .iter()
        .map(|register| register(&mut generator))
        .collect();
    let mut definitions = generator.take_definitions(false);
    let merges = merge::by_definition();
    for (name, definition) in &mut definitions {
        normalise(name, definition, &merges);
    }
    (names, definitions)
}

fn normalise(name: &str, definition: &mut Value, merges: &BTreeMap<&str, Vec<&merge::Merge>>) {
    let short = name.rsplit('.').next().unwrap_or(name);
    let Some(members) = definition.as_object_mut() else {
        return;
    };
    if let Some(special) = special(short) {
        members.retain(|key, _| key == "description");
        members.extend(special);
        return;
    }
    if let Some(Value::Array(required)) = members.get_mut("required") {
        // Observed state is written piece by piece.
        let observed = is_observed(short);
        required.retain(|field| field != "metadata" && !observed);
        if required.is_empty() {
            members.remove("required");
        }
    }
    if merge::is_atomic(name) {
        members.insert("x-kubernetes-map-type".to_owned(), Value::from("atomic"));
    }
    let free = members.get("type") == Some(&json!("object"))
        && !members.contains_key("properties")
        && !members.contains_key("additionalProperties");
    if free {
        members.insert(
            "x-kubernetes-preserve-unknown-fields".to_owned(),
            Value::Bool(true),
        );
    }
    let Some(properties) = members.get_mut("properties").and_then(Value::as_object_mut) else {
        return;
    };
    for merge in merges.get(name).into_iter().flatten() {
        if let Some(property) = properties
            .get_mut(merge.field)
            .and_then(Value::as_object_mut)
        {
            property.extend(merge.extensions());
        }
    }
}

/// Definitions whose derived form is not what Kubernetes publishes.
fn special(name: &str) -> Option<Map<String, Value>> {
    let form = match name {
        "Quantity" => json!({"oneOf": [{"type": "string"}, {"type": "number"}]}),
        "IntOrString" => json!({
            "format": "int-or-string",
            "oneOf": [{"type": "integer"}, {"type": "string"}],
        }),
        "JSON"
        | "JSONSchemaPropsOrArray"
        | "JSONSchemaPropsOrBool"
        | "JSONSchemaPropsOrStringArray" => json!({}),
        _ => return None,
    };
    form.as_object().cloned()
}

fn is_observed(name: &str) -> bool {
    const OTHERS: [&str; 9] = [
        "ContainerStateRunning",
        "ContainerStateTerminated",
        "ContainerStateWaiting",
        "NodeSystemInfo",
        "NodeAddress",
        "PodIP",
        "HostIP",
        "LoadBalancerIngress",
        "ContainerImage",
    ];
    name.ends_with("Status") || name.ends_with("Condition") || OTHERS.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};

    #[test]
    fn definitions_are_those_of_kubernetes() {
        let (names, definitions) = definitions(&[register::<Pod>]);
        assert_eq!(names, ["io.k8s.api.core.v1.Pod"]);
        let spec = &definitions["io.k8s.api.core.v1.PodSpec"];
        let containers = &spec["properties"]["containers"];
        assert_eq!(containers["x-kubernetes-list-type"], "map");
        assert_eq!(containers["x-kubernetes-patch-merge-key"], "name");
        assert_eq!(
            containers["items"]["$ref"],
            "#/components/schemas/io.k8s.api.core.v1.Container"
        );
        assert_eq!(spec["required"], json!(["containers"]));
        let pod = &definitions["io.k8s.api.core.v1.Pod"];
        assert_eq!(pod.get("required"), None);
    }

    #[test]
    fn kinds_share_what_they_have_in_common() {
        let pod = structure(register::<Pod>);
        let deployment = structure(register::<Deployment>);
        let again = structure(register::<Pod>);
        assert!(Arc::ptr_eq(&pod, &again));
        assert!(!Arc::ptr_eq(&pod, &deployment));
    }
}
