//! Deletions: each says what it waits for, and ends.

use super::*;

#[test]
fn deletion_says_what_it_waits_for_and_ends() {
    let deleting = |yaml: &str| {
        yaml.replace(
            "namespace: default",
            "namespace: default, deletionTimestamp: \"2026-01-01T00:00:00Z\", finalizers: \
             [openchoreo.dev/component-cleanup, other]",
        )
    };
    let yaml = format!("{}{WORKLOAD}", deleting(COMPONENT));
    check(
        &yaml,
        "Component",
        "web",
        &["Finalizing True ComponentFinalizing: waiting for Workload \"web\" to be deleted"],
    );
    check_writes(&yaml, "Component", "web", &["delete Workload web"]);
    check_writes(
        &deleting(COMPONENT),
        "Component",
        "web",
        &["finalizers web [\"other\"]"],
    );
}

#[test]
fn a_rendered_release_goes_without_its_environment() {
    let rendered = r#"
apiVersion: openchoreo.dev/v1alpha1
kind: RenderedRelease
metadata:
  name: lost
  namespace: default
  deletionTimestamp: "2026-01-01T00:00:00Z"
  finalizers: [openchoreo.dev/dataplane-cleanup]
spec: { owner: { projectName: shop }, environmentName: vanished, resources: [] }
"#;
    let live = r"
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: left
  namespace: cell
  labels:
    openchoreo.dev/managed-by: renderedrelease-controller
    openchoreo.dev/rendered-release-uid: uid-RenderedRelease-lost
";
    check_writes(
        &format!("{rendered}{live}"),
        "RenderedRelease",
        "lost",
        &["delete ConfigMap left"],
    );
    check_writes(rendered, "RenderedRelease", "lost", &["finalizers lost []"]);
}

#[test]
fn environments_and_planes_in_use_stay() {
    let mut world = World::new("");
    let deleted = |kind: &str, name: &str, namespace: Value, finalizer: &str, spec: Value| {
        json!({
            "apiVersion": "openchoreo.dev/v1alpha1",
            "kind": kind,
            "metadata": {
                "name": name, "namespace": namespace, "finalizers": [finalizer],
                "deletionTimestamp": "2026-01-01T00:00:00Z",
            },
            "spec": spec,
        })
    };
    world.put(deleted(
        "Environment",
        "staging",
        json!("default"),
        "openchoreo.dev/environment-cleanup",
        json!({}),
    ));
    assert_eq!(
        world.status("Environment", "staging"),
        ["Ready False DeletionBlocked: still named by DeploymentPipeline \"default\""]
    );
    let spec = json!({ "planeID": "x", "clusterAgent": { "clientCA": { "value": "x" } } });
    world.put(deleted(
        "ClusterDataPlane",
        "default",
        Value::Null,
        "openchoreo.dev/clusterdataplane-cleanup",
        spec,
    ));
    let said = world.status("ClusterDataPlane", "default");
    assert!(
        said[1].starts_with("Finalizing False DeletionBlocked: still used by"),
        "{said:?}"
    );
}
