//! What clients look for in a document.

use serde_json::json;

use super::*;
use crate::builtin::{from_crd, resources};

fn apps() -> Vec<Resource> {
    resources()
        .into_iter()
        .filter(|one| one.group == "apps")
        .collect()
}

fn widget() -> Resource {
    from_crd(
        &json!({"metadata": {"name": "widgets.example.com"}, "spec": {
        "group": "example.com", "scope": "Cluster",
        "names": {"kind": "Widget", "plural": "widgets"},
        "versions": [{"name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                "spec": {"type": "object", "properties": {"size": {"type": "integer"}}}}}}}]}}),
    )
    .unwrap()
    .remove(0)
}

#[test]
fn patches_say_what_they_take() {
    let kinds = apps();
    let document = document("apis/apps/v1", &kinds.iter().collect::<Vec<_>>());
    let path = &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"];
    let patch = &path["patch"];
    assert_eq!(
        patch["x-kubernetes-group-version-kind"],
        json!({"group": "apps", "version": "v1", "kind": "Deployment"})
    );
    let types: Vec<_> = patch["requestBody"]["content"]
        .as_object()
        .unwrap()
        .keys()
        .collect();
    assert_eq!(
        types,
        [
            "application/apply-patch+yaml",
            "application/json-patch+json",
            "application/merge-patch+json",
            "application/strategic-merge-patch+json",
        ]
    );
    let names: Vec<_> = patch["parameters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].clone())
        .collect();
    assert!(names.contains(&json!("fieldValidation")) && names.contains(&json!("dryRun")));
    assert!(
        document["paths"]
            .get("/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale")
            .is_some()
    );
}

#[test]
fn every_reference_leads_somewhere() {
    let all = resources();
    let kinds: Vec<_> = all.iter().filter(|one| one.api_version() == "v1").collect();
    let document = document("api/v1", &kinds);
    let components = document["components"]["schemas"].as_object().unwrap();
    let text = document.to_string();
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(components.contains_key(name), "{name}");
    }
    let pod = &components["io.k8s.api.core.v1.Pod"];
    assert_eq!(
        pod["x-kubernetes-group-version-kind"],
        json!([{"group": "", "version": "v1", "kind": "Pod"}])
    );
    assert!(pod["properties"]["metadata"]["allOf"][0]["$ref"].is_string());
}

#[test]
fn custom_kinds_are_described() {
    let widget = widget();
    let document = document("apis/example.com/v1", &[&widget]);
    let schema = &document["components"]["schemas"]["com.example.v1.Widget"];
    assert_eq!(
        schema["properties"]["spec"]["properties"]["size"]["type"],
        "integer"
    );
    assert!(schema["properties"]["metadata"]["allOf"][0]["$ref"].is_string());
    assert!(
        document["paths"]
            .get("/apis/example.com/v1/widgets/{name}/status")
            .is_some()
    );
    let patch = &document["paths"]["/apis/example.com/v1/widgets/{name}"]["patch"];
    let types = patch["requestBody"]["content"].as_object().unwrap();
    assert_eq!(types.len(), 3, "nothing strategic");
}
