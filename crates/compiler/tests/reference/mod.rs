//! The reference's cases: what was applied, what it rendered, and where we decided to differ.
//!
//! Two test programs play them: the compiler's, on files alone, and the controllers', on a running API.

use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Manifests, as Kubernetes tools read them.
pub(crate) fn documents(path: &Path) -> Vec<Value> {
    let name = path.to_string_lossy();
    serde_saphyr::from_multiple(&text(path)).expect(&name)
}

/// Expectations, in which only `true` and `false` are booleans.
pub(crate) fn expectations(path: &Path) -> Value {
    let options = serde_saphyr::options! { strict_booleans: true };
    let name = path.to_string_lossy();
    serde_saphyr::from_str_with_options(&text(path), options).expect(&name)
}

pub(crate) fn text(path: &Path) -> String {
    let name = path.to_string_lossy();
    std::fs::read_to_string(path).expect(&name)
}

pub(crate) fn cases(folder: &Path) -> Vec<PathBuf> {
    let mut cases: Vec<PathBuf> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.join("input.yaml").exists())
        .collect();
    cases.sort();
    cases
}

pub(crate) fn list<'v>(value: &'v Value, field: &str) -> impl Iterator<Item = &'v Value> {
    value
        .get(field)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

/// The hash that depends on the reference's own encoding, blanked on both sides.
pub(crate) fn neutral(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(neutral).collect(),
        Value::Object(map) => Value::Object(
            map.into_iter()
                .map(|(key, value)| match key.as_str() {
                    "openchoreo.dev/dp-resource-hash" => (key, json!("<hash>")),
                    _ => (key, neutral(value)),
                })
                .collect::<Map<_, _>>(),
        ),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => other,
    }
}

/// Whether the object `id` is of a kind that the reference has none of: policies for what goes out.
pub(crate) fn is_addition(id: &str) -> bool {
    ["networkpolicy", "ciliumnetworkpolicy"]
        .into_iter()
        .any(|kind| id.starts_with(&format!("{kind}-egress-openchoreo-")))
}

/// The addresses of endpoints without whom they are offered to, which the reference does not say.
pub(crate) fn addresses(mut endpoints: Value) -> Value {
    for endpoint in endpoints.as_array_mut().into_iter().flatten() {
        if let Some(fields) = endpoint.as_object_mut() {
            fields.remove("visibility");
        }
    }
    endpoints
}

/// What we decided to do differently, applied to what the reference rendered.
pub(crate) fn deviate(case: &str, mut resource: Value, input: &[Value]) -> Value {
    let object = &mut resource["object"];
    if case == "interpolation" && object["kind"] == "ConfigMap" {
        // Numbers are written in full.
        object["data"]["big"] = json!("n=1000000");
    }
    if object["kind"] == "NetworkPolicy" {
        // Policies name the pod's port, each once.
        let ports = target_ports(input);
        let rules = object["spec"]
            .get_mut("ingress")
            .and_then(Value::as_array_mut);
        for rule in rules.into_iter().flatten() {
            let mut seen: Vec<Value> = Vec::new();
            for port in rule["ports"].as_array().into_iter().flatten() {
                let mut port = port.clone();
                if let Some(target) = port["port"].as_u64().and_then(|port| ports.get(&port)) {
                    port["port"] = json!(target);
                }
                if !seen.contains(&port) {
                    seen.push(port);
                }
            }
            rule["ports"] = Value::Array(seen);
        }
    }
    resource
}

pub(crate) fn target_ports(input: &[Value]) -> BTreeMap<u64, u64> {
    let endpoints = input
        .iter()
        .filter_map(|object| object.pointer("/spec/endpoints")?.as_object());
    endpoints
        .flat_map(|endpoints| endpoints.values())
        .filter_map(|one| Some((one["port"].as_u64()?, one["targetPort"].as_u64()?)))
        .collect()
}

pub(crate) fn differences(wanted: &Value, found: &Value, at: &str) -> Vec<String> {
    match (wanted, found) {
        (Value::Object(wanted), Value::Object(found)) => {
            let keys: BTreeSet<_> = wanted.keys().chain(found.keys()).collect();
            keys.into_iter()
                .flat_map(|key| {
                    let at = format!("{at}/{key}");
                    match (wanted.get(key), found.get(key)) {
                        (Some(wanted), Some(found)) => differences(wanted, found, &at),
                        (Some(wanted), None) => vec![format!("{at}: missing {wanted}")],
                        (None, Some(found)) => vec![format!("{at}: too much {found}")],
                        (None, None) => Vec::new(),
                    }
                })
                .collect()
        }
        (Value::Array(wanted), Value::Array(found)) if wanted.len() == found.len() => wanted
            .iter()
            .zip(found)
            .enumerate()
            .flat_map(|(index, (wanted, found))| {
                differences(wanted, found, &format!("{at}/{index}"))
            })
            .collect(),
        (wanted, found) if wanted == found => Vec::new(),
        (wanted, found) => vec![format!("{at}: wanted {wanted}, found {found}")],
    }
}

/// The bindings that the reference deploys without what they declare of others, for one of these
/// reasons. Ours wait for it, and a binding's `RenderedRelease` has its name.
pub(crate) fn incomplete<'v>(expected: &'v Value, reasons: &[&str]) -> BTreeSet<&'v str> {
    let waits = |binding: &&Value| {
        let mut told = list(binding, "conditions");
        told.any(|one| reasons.iter().any(|reason| one["reason"] == *reason))
    };
    let waiting = list(expected, "releaseBindings").filter(waits);
    waiting
        .filter_map(|binding| binding["name"].as_str())
        .collect()
}

/// The reference's renderings are kept outside the repository; without them there is nothing to do.
pub(crate) fn reference() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/goldens");
    folder.exists().then_some(folder)
}
