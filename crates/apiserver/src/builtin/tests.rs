//! The built-in kinds as the server sees them.

use std::collections::BTreeSet;

use serde_json::json;

use super::*;
use crate::schema::Shape;

fn kind(name: &str) -> Resource {
    by_kind()
        .remove(name)
        .unwrap_or_else(|| panic!("no kind {name}"))
}

/// What a request makes of an object: pruned paths, the object, broken rules.
fn admit(name: &str, mut object: Value) -> (Vec<String>, Value, Vec<String>) {
    let resource = kind(name);
    let unknown = resource.schema.prune(&mut object);
    resource.schema.default(&mut object);
    default(&resource, &mut object, None);
    let mut causes = resource.schema.validate(&object, None);
    causes.extend(validate(&resource, &object, None));
    let broken = causes
        .into_iter()
        .map(|cause| format!("{}: {}", cause.field, cause.message));
    (unknown, object, broken.collect())
}

#[test]
fn rows_are_consistent() {
    let mut seen = BTreeSet::new();
    for resource in resources() {
        let path = format!("{}/{}", resource.api_version(), resource.plural);
        assert!(seen.insert(path.clone()), "{path} twice");
        assert!(!resource.columns.is_empty(), "{path} has no columns");
        assert_eq!(resource.schema.root().shape(), Shape::Map, "{path}");
        let metadata = resource.schema.root().field("metadata");
        assert_eq!(metadata.field("finalizers").shape(), Shape::Set, "{path}");
    }
    assert!(seen.len() >= 37, "{}", seen.len());
}

#[test]
fn scopes_and_names_are_those_of_kubernetes() {
    let pod = kind("v1/Pod");
    assert!(pod.namespaced && pod.subresources.status);
    assert_eq!(
        (pod.plural.as_str(), pod.categories.as_slice()),
        ("pods", &["all".to_owned()][..])
    );
    assert!(!kind("v1/Node").namespaced);
    assert!(kind("apps/v1/Deployment").subresources.scale.is_some());
    assert_eq!(
        kind("networking.k8s.io/v1/NetworkPolicy").plural,
        "networkpolicies"
    );
    assert_eq!(kind("v1/Endpoints").singular, "endpoints");
}

#[test]
fn lists_merge_by_their_keys() {
    let spec = kind("apps/v1/Deployment");
    let spec = spec.schema.root().field("spec");
    assert_eq!(spec.field("selector").shape(), Shape::Atomic);
    let pod = spec.field("template").field("spec");
    let containers = pod.field("containers");
    assert_eq!(containers.shape(), Shape::ListMap(&["name".to_owned()]));
    let container = containers.items();
    let keys = ["containerPort".to_owned(), "protocol".to_owned()];
    assert_eq!(container.field("ports").shape(), Shape::ListMap(&keys));
    assert_eq!(
        container
            .field("ports")
            .items()
            .field("protocol")
            .default_value(),
        Some(&json!("TCP"))
    );
    assert_eq!(container.field("env").patch_merge_key(), Some("name"));
    assert_eq!(container.field("args").shape(), Shape::Atomic);
    assert_eq!(
        container.field("resources").field("limits").shape(),
        Shape::Map
    );
}

#[test]
fn a_deployment_passes_and_is_whole() {
    let (unknown, object, broken) = admit(
        "apps/v1/Deployment",
        json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "creationTimestamp": null, "labels": {"app": "web"}},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": {
            "metadata": {"creationTimestamp": null, "labels": {"app": "web"}},
            "spec": {"containers": [{"name": "web", "image": "web:1", "replicas": 1,
                "env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}],
                "resources": {"limits": {"cpu": 0.5, "memory": "64Mi"}}}]}}},
        "status": {}}),
    );
    assert_eq!(unknown, ["spec.template.spec.containers[0].replicas"]);
    assert_eq!(broken, Vec::<String>::new());
    assert_eq!(object["spec"]["replicas"], 1);
    let container = &object["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["resources"]["limits"]["cpu"], "500m");
    assert_eq!(
        object["metadata"],
        json!({"name": "web", "labels": {"app": "web"}})
    );
}

#[test]
fn what_typed_readers_could_not_read_is_refused() {
    let (_, _, broken) = admit(
        "v1/Pod",
        json!({"metadata": {"name": "p"}, "spec": {
        "containers": [{"name": "a", "image": "i", "ports": [{"containerPort": "80"}]}]}}),
    );
    assert_eq!(
        broken,
        [
            "spec.containers[0].ports[0].containerPort: Invalid value: \"string\": \
         spec.containers[0].ports[0].containerPort in body must be of type integer: \"string\""
        ]
    );
    let (_, _, broken) = admit(
        "v1/Secret",
        json!({"metadata": {"name": "s"}, "data": {"a": "%"}}),
    );
    assert_eq!(broken.len(), 1, "{broken:?}");
    let (_, _, broken) = admit("v1/Pod", json!({"metadata": {"name": "p"}, "spec": {}}));
    assert_eq!(broken, ["spec.containers: Required value"]);
    let (_, _, broken) = admit(
        "v1/Pod",
        json!({"metadata": {"name": "p"}, "spec": {"containers": [
        {"name": "a", "image": "i", "resources": {"limits": {"cpu": "much"}}}]}}),
    );
    assert_eq!(broken.len(), 2, "{broken:?}");
}

#[test]
fn free_form_fields_stay() {
    let crd = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced",
            "names": {"kind": "Widget", "plural": "widgets"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {
                "openAPIV3Schema": {"type": "object", "properties": {"spec": {
                    "type": "object", "x-kubernetes-preserve-unknown-fields": true,
                    "default": {"a": null}}}}}}]}});
    let (unknown, object, broken) = admit(
        "apiextensions.k8s.io/v1/CustomResourceDefinition",
        crd.clone(),
    );
    assert_eq!((unknown, broken), (Vec::new(), Vec::new()));
    assert_eq!(object["spec"]["versions"], crd["spec"]["versions"]);
    assert_eq!(object["spec"]["names"]["singular"], "widget");
    let revision = json!({"metadata": {"name": "r"}, "revision": 1, "data": {"spec": {"x": [1]}}});
    let (unknown, _, broken) = admit("apps/v1/ControllerRevision", revision);
    assert_eq!((unknown, broken), (Vec::new(), Vec::new()));
}

/// Objects as they are read back from a real cluster pass unchanged.
#[test]
fn statuses_may_be_partial() {
    for (name, status) in [
        (
            "apps/v1/Deployment",
            json!({"conditions": [{"type": "Available"}], "replicas": 1}),
        ),
        (
            "v1/Pod",
            json!({"phase": "Running", "containerStatuses": [{"name": "a", "ready": true,
            "state": {"terminated": {"reason": "Error"}}}]}),
        ),
    ] {
        let resource = kind(name);
        let causes = resource
            .schema
            .validate(&json!({"metadata": {"name": "a"}, "status": status}), None);
        assert_eq!(causes, Vec::new(), "{name}");
    }
}
