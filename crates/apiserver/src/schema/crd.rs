//! From a `CustomResourceDefinition` to the resources it describes.

use std::sync::Arc;

use serde_json::Value;

use super::{
    Cause, Schema,
    compile::{flag, strings, text},
    conversion, defaults, program, selectable, structural,
};
use crate::resource::{Availability, Column, Resource, Scale, Subresources};

/// The versions that a `CustomResourceDefinition` describes, or what is wrong with it.
pub fn from_crd(definition: &Value) -> Result<Vec<Resource>, Vec<Cause>> {
    let causes = check(definition);
    if causes.is_empty() {
        Ok(versions(definition))
    } else {
        Err(causes)
    }
}

/// The versions of a definition that was found to be good when it was written.
pub(crate) fn versions(definition: &Value) -> Vec<Resource> {
    let spec = definition.get("spec").unwrap_or(&Value::Null);
    let versions = spec
        .get("versions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    versions.map(|version| resource(spec, version)).collect()
}

/// Which rules of a definition are too expensive, where it does not have them already.
pub(crate) fn too_expensive(definition: &Value, old: Option<&Value>) -> Vec<Cause> {
    let schemas = |definition: &Value| -> Vec<Value> {
        let versions = definition.pointer("/spec/versions");
        let versions = versions.and_then(Value::as_array).into_iter().flatten();
        let schema = |version: &Value| version.pointer("/schema/openAPIV3Schema").cloned();
        versions
            .map(|version| schema(version).unwrap_or_default())
            .collect()
    };
    let known = old.map(schemas).unwrap_or_default();
    let mut causes = Vec::new();
    for (position, schema) in schemas(definition).iter().enumerate() {
        if !known.contains(schema) {
            let at = format!("spec.versions[{position}].schema.openAPIV3Schema");
            causes.extend(program::check_cost(schema, &at));
        }
    }
    causes
}

fn resource(spec: &Value, version: &Value) -> Resource {
    let names = spec.get("names").unwrap_or(&Value::Null);
    let owned = |value: &Value, key| text(value, key).unwrap_or_default().to_owned();
    let kind = owned(names, "kind");
    let or = |key, otherwise: String| text(names, key).map_or(otherwise, str::to_owned);
    let empty = Value::Null;
    let schema = version.pointer("/schema/openAPIV3Schema").unwrap_or(&empty);
    let selectable = version.get("selectableFields").and_then(Value::as_array);
    Resource {
        group: owned(spec, "group"),
        version: owned(version, "name"),
        list_kind: or("listKind", format!("{kind}List")),
        singular: or("singular", kind.to_lowercase()),
        kind,
        plural: owned(names, "plural"),
        short_names: strings(names, "shortNames").map(str::to_owned).collect(),
        categories: strings(names, "categories").map(str::to_owned).collect(),
        namespaced: text(spec, "scope") == Some("Namespaced"),
        subresources: subresources(version),
        columns: columns(version),
        selectable: selectable
            .into_iter()
            .flatten()
            .filter_map(|field| text(field, "jsonPath"))
            .map(|path| path.trim_start_matches('.').to_owned())
            .collect(),
        schema: Arc::new(Schema::from_openapi(schema)),
        builtin: false,
        availability: if flag(version, "served") {
            Availability::Served
        } else {
            Availability::Unserved
        },
        storage: flag(version, "storage"),
        deprecation: deprecation(spec, version),
    }
}

fn deprecation(spec: &Value, version: &Value) -> Option<String> {
    if !flag(version, "deprecated") {
        return None;
    }
    let group = text(spec, "group").unwrap_or_default();
    let name = text(version, "name").unwrap_or_default();
    let kind = spec
        .pointer("/names/kind")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if let Some(warning) = text(version, "deprecationWarning") {
        return Some(warning.to_owned());
    }
    let versions = spec.get("versions").and_then(Value::as_array);
    let mut better = versions
        .into_iter()
        .flatten()
        .filter(|version| flag(version, "served") && !flag(version, "deprecated"));
    let advice = better
        .next()
        .and_then(|version| text(version, "name"))
        .map(|better| format!("; use {group}/{better} {kind}"));
    let advice = advice.unwrap_or_default();
    Some(format!("{group}/{name} {kind} is deprecated{advice}"))
}

fn subresources(version: &Value) -> Subresources {
    let Some(listed) = version.get("subresources") else {
        return Subresources::default();
    };
    let scale = listed
        .get("scale")
        .filter(|scale| !scale.is_null())
        .map(|scale| {
            let path = |key| text(scale, key).map(str::to_owned);
            Scale {
                spec_replicas: path("specReplicasPath").unwrap_or_default(),
                status_replicas: path("statusReplicasPath").unwrap_or_default(),
                selector: path("labelSelectorPath"),
            }
        });
    Subresources {
        status: listed.get("status").is_some_and(Value::is_object),
        scale,
    }
}

/// The declared columns; without any, the age.
fn columns(version: &Value) -> Vec<Column> {
    let declared = version
        .get("additionalPrinterColumns")
        .and_then(Value::as_array);
    let Some(declared) = declared.filter(|list| !list.is_empty()) else {
        return vec![Column {
            name: "Age".to_owned(),
            kind: "date".to_owned(),
            format: String::new(),
            priority: 0,
            json_path: ".metadata.creationTimestamp".to_owned(),
            description: AGE.to_owned(),
        }];
    };
    let owned = |column: &Value, key| text(column, key).unwrap_or_default().to_owned();
    let columns = declared.iter().map(|column| Column {
        name: owned(column, "name"),
        kind: owned(column, "type"),
        format: owned(column, "format"),
        priority: column
            .get("priority")
            .and_then(Value::as_i64)
            .and_then(|priority| i32::try_from(priority).ok())
            .unwrap_or(0),
        json_path: owned(column, "jsonPath"),
        description: owned(column, "description"),
    });
    columns.collect()
}

/// What the column of ages means.
pub(crate) const AGE: &str = "Time since the object was created.";

/// What is wrong with a definition.
pub(crate) fn check(definition: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let spec = definition.get("spec").unwrap_or(&Value::Null);
    required(spec, "spec", &["group", "scope"], &mut causes);
    let names = spec.get("names").unwrap_or(&Value::Null);
    required(names, "spec.names", &["kind", "plural"], &mut causes);
    let scopes = ["Cluster", "Namespaced"];
    if let Some(scope) = text(spec, "scope").filter(|scope| !scopes.contains(scope)) {
        causes.push(Cause::unsupported(
            "spec.scope",
            &Value::from(scope),
            scopes,
        ));
    }
    check_name(definition, spec, &mut causes);
    check_names(names, &mut causes);
    if flag(spec, "preserveUnknownFields") {
        causes.push(Cause::invalid(
            "spec.preserveUnknownFields",
            &Value::from(true),
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead",
        ));
    }
    conversion::check(spec, &mut causes);
    check_versions(spec, &mut causes);
    causes
}

fn required(value: &Value, path: &str, keys: &[&str], causes: &mut Vec<Cause>) {
    for key in keys {
        if text(value, key).is_none_or(str::is_empty) {
            causes.push(Cause::required(&format!("{path}.{key}"), ""));
        }
    }
}

/// A definition is named after its plural and group.
fn check_name(definition: &Value, spec: &Value, causes: &mut Vec<Cause>) {
    let plural = spec
        .pointer("/names/plural")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let group = text(spec, "group").unwrap_or_default();
    let name = definition
        .pointer("/metadata/name")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if name != format!("{plural}.{group}") {
        let words = "must be spec.names.plural+\".\"+spec.group";
        causes.push(Cause::invalid("metadata.name", &Value::from(name), words));
    }
    if !group.is_empty() && !group.contains('.') {
        let words = "should be a domain with at least one dot";
        causes.push(Cause::invalid("spec.group", &Value::from(group), words));
    }
}

const WORDS: &str =
    "a lowercase RFC 1035 label must consist of lower case alphanumeric characters or '-'";

/// A label of DNS, as in RFC 1035.
fn is_label(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    name.len() <= 63
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && !name.ends_with('-')
        && name.bytes().all(inner)
}

fn check_names(names: &Value, causes: &mut Vec<Cause>) {
    for key in ["kind", "listKind"] {
        let lower = text(names, key).unwrap_or_default().to_lowercase();
        if !lower.is_empty() && !is_label(&lower) {
            let words = format!("may have mixed case, but should otherwise match: {WORDS}");
            let found = names.get(key).unwrap_or(&Value::Null);
            causes.push(Cause::invalid(&format!("spec.names.{key}"), found, &words));
        }
    }
    if let Some(kind) = text(names, "kind").filter(|kind| text(names, "listKind") == Some(*kind)) {
        causes.push(Cause::invalid(
            "spec.names.listKind",
            &Value::from(kind),
            "kind and listKind may not be the same",
        ));
    }
    for key in ["plural", "singular"] {
        if let Some(name) = text(names, key).filter(|name| !name.is_empty() && !is_label(name)) {
            causes.push(Cause::invalid(
                &format!("spec.names.{key}"),
                &Value::from(name),
                WORDS,
            ));
        }
    }
    for (position, name) in strings(names, "shortNames").enumerate() {
        if !is_label(name) {
            let path = format!("spec.names.shortNames[{position}]");
            causes.push(Cause::invalid(&path, &Value::from(name), WORDS));
        }
    }
}

fn check_versions(spec: &Value, causes: &mut Vec<Cause>) {
    let versions = spec
        .get("versions")
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    if versions.is_empty() {
        causes.push(Cause::required(
            "spec.versions",
            "must have at least one version",
        ));
        return;
    }
    let stored = versions
        .iter()
        .filter(|version| flag(version, "storage"))
        .count();
    if stored != 1 {
        causes.push(Cause::invalid(
            "spec.versions",
            &Value::from(stored),
            "must have exactly one version marked as storage version",
        ));
    }
    let names: Vec<_> = versions
        .iter()
        .map(|version| text(version, "name"))
        .collect();
    for (position, version) in versions.iter().enumerate() {
        let path = format!("spec.versions[{position}]");
        match text(version, "name") {
            None | Some("") => causes.push(Cause::required(&format!("{path}.name"), "")),
            Some(name) if !is_label(name) => {
                let found = Value::from(name);
                causes.push(Cause::invalid(&format!("{path}.name"), &found, WORDS));
            }
            Some(name) if names[..position].contains(&Some(name)) => {
                causes.push(Cause::duplicate(
                    &format!("{path}.name"),
                    &Value::from(name),
                ));
            }
            Some(_) => {}
        }
        check_version(version, &path, causes);
    }
}

fn check_version(version: &Value, path: &str, causes: &mut Vec<Cause>) {
    let at = format!("{path}.schema.openAPIV3Schema");
    match version.pointer("/schema/openAPIV3Schema") {
        None | Some(Value::Null) => causes.push(Cause::required(&at, "")),
        Some(schema) => {
            causes.extend(structural::check(schema, &at));
            if version.pointer("/subresources/status").is_some() {
                causes.extend(structural::check_beside_status(schema, &at));
            }
            causes.extend(program::check(schema, &at));
            causes.extend(defaults::check(schema, &at));
            selectable::check(version, schema, path, causes);
        }
    }
    let columns = version
        .get("additionalPrinterColumns")
        .and_then(Value::as_array);
    for (position, column) in columns.into_iter().flatten().enumerate() {
        let at = format!("{path}.additionalPrinterColumns[{position}]");
        required(column, &at, &["name", "type", "jsonPath"], causes);
        let kinds = ["boolean", "date", "integer", "number", "string"];
        if let Some(kind) = text(column, "type").filter(|kind| !kinds.contains(kind)) {
            causes.push(Cause::unsupported(
                &format!("{at}.type"),
                &Value::from(kind),
                kinds,
            ));
        }
        if let Some(found) = text(column, "jsonPath").filter(|found| !found.starts_with('.')) {
            let words = "must be a simple json path starting with .";
            causes.push(Cause::invalid(
                &format!("{at}.jsonPath"),
                &Value::from(found),
                words,
            ));
        }
    }
    if let Some(scale) = version
        .pointer("/subresources/scale")
        .filter(|scale| scale.is_object())
    {
        let at = format!("{path}.subresources.scale");
        required(
            scale,
            &at,
            &["specReplicasPath", "statusReplicasPath"],
            causes,
        );
        let selector = text(scale, "labelSelectorPath").filter(|path| !path.is_empty());
        let told = |path: &str| path.starts_with(".spec.") || path.starts_with(".status.");
        if let Some(found) = selector.filter(|path| !told(path)) {
            causes.push(Cause::invalid(
                &format!("{at}.labelSelectorPath"),
                &Value::from(found),
                "should be a json path under .spec or .status",
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn definition() -> Value {
        json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": "widgets.example.com"},
            "spec": {
                "group": "example.com",
                "scope": "Namespaced",
                "names": {"kind": "Widget", "plural": "widgets", "shortNames": ["wd"], "categories": ["all"]},
                "versions": [
                    {"name": "v1", "served": true, "storage": true,
                     "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                        "spec": {"type": "object", "properties": {"size": {"type": "integer"}}}}}},
                     "subresources": {"status": {}, "scale": {
                        "specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"}},
                     "selectableFields": [{"jsonPath": ".spec.size"}],
                     "additionalPrinterColumns": [
                        {"name": "Size", "type": "integer", "jsonPath": ".spec.size", "priority": 1}]},
                    {"name": "v1alpha1", "served": false, "storage": false,
                     "schema": {"openAPIV3Schema": {"type": "object"}}}
                ]
            }
        })
    }

    #[test]
    fn versions_become_resources() {
        let resources = from_crd(&definition()).unwrap();
        let found: Vec<_> = resources.iter().map(|one| one.availability).collect();
        assert_eq!(found, [Availability::Served, Availability::Unserved]);
        let widget = &resources[0];
        assert_eq!(
            (widget.api_version().as_str(), widget.kind.as_str()),
            ("example.com/v1", "Widget")
        );
        assert_eq!(
            (widget.singular.as_str(), widget.list_kind.as_str()),
            ("widget", "WidgetList")
        );
        assert!(widget.namespaced && widget.storage && widget.subresources.status);
        assert_eq!(
            widget.subresources.scale.as_ref().unwrap().spec_replicas,
            ".spec.size"
        );
        assert_eq!(widget.selectable, ["spec.size"]);
        assert_eq!(widget.columns[0].priority, 1);
        assert_eq!(widget.short_names, ["wd"]);
    }

    /// Puts `value` at `pointer` of a good definition and compares the fields blamed.
    fn check_broken(pointer: &str, value: Value, fields: &[&str]) {
        let mut broken = definition();
        *broken.pointer_mut(pointer).unwrap() = value;
        let causes = from_crd(&broken).unwrap_err();
        let found: Vec<_> = causes.iter().map(|cause| cause.field.as_str()).collect();
        assert_eq!(found, fields, "{pointer}");
    }

    #[test]
    fn broken_definitions_are_refused() {
        check_broken("/metadata/name", json!("widget"), &["metadata.name"]);
        check_broken("/spec/scope", json!("Global"), &["spec.scope"]);
        check_broken("/spec/names/kind", json!(""), &["spec.names.kind"]);
        check_broken("/spec/versions", json!([]), &["spec.versions"]);
        check_broken("/spec/versions/1/storage", json!(true), &["spec.versions"]);
        check_broken(
            "/spec/versions/1/name",
            json!("v1"),
            &["spec.versions[1].name"],
        );
        check_broken(
            "/spec/versions/0/schema/openAPIV3Schema/properties/spec",
            json!({}),
            &[
                "spec.versions[0].schema.openAPIV3Schema.properties[spec].type",
                "spec.versions[0].selectableFields[0].jsonPath",
            ],
        );
        check_broken(
            "/spec/versions/0/additionalPrinterColumns/0/type",
            json!("text"),
            &["spec.versions[0].additionalPrinterColumns[0].type"],
        );
        check_broken(
            "/spec/names/shortNames",
            json!(["A B"]),
            &["spec.names.shortNames[0]"],
        );
    }

    #[test]
    fn without_columns_there_is_the_age() {
        let mut plain = definition();
        plain
            .pointer_mut("/spec/versions/0")
            .unwrap()
            .as_object_mut()
            .unwrap()
            .remove("additionalPrinterColumns");
        assert_eq!(from_crd(&plain).unwrap()[0].columns[0].name, "Age");
    }
}
