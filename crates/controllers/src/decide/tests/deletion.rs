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
fn the_runs_of_a_component_go_with_it() {
    let leaving = COMPONENT.replace(
        "namespace: default",
        "namespace: default, deletionTimestamp: \"2026-01-01T00:00:00Z\", finalizers: \
         [openchoreo.dev/component-cleanup]",
    );
    let run = r"
---
apiVersion: openchoreo.dev/v1alpha1
kind: WorkflowRun
metadata:
  name: build-1
  namespace: default
  labels: { openchoreo.dev/project: shop, openchoreo.dev/component: web }
spec: { workflow: { name: docker } }
";
    check_writes(
        &format!("{leaving}{run}"),
        "Component",
        "web",
        &["delete WorkflowRun build-1"],
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
fn an_environment_in_use_stays() {
    let mut world = World::new(
        r#"
apiVersion: openchoreo.dev/v1alpha1
kind: Environment
metadata:
  name: staging
  namespace: default
  finalizers: [openchoreo.dev/environment-cleanup]
  deletionTimestamp: "2026-01-01T00:00:00Z"
"#,
    );
    assert_eq!(
        world.status("Environment", "staging"),
        ["Ready False DeletionBlocked: still named by DeploymentPipeline \"default\""]
    );
}

#[test]
fn who_is_held_from_the_beginning_need_not_be_held_again() {
    for kind in choreo_model::registry() {
        let mut object =
            json!({ "metadata": { "name": "one", "finalizers": ["example.org/keep"] } });
        super::super::hold_from_the_beginning(kind.kind, &mut object);
        super::super::hold_from_the_beginning(kind.kind, &mut object);
        let finalizers = object["metadata"]["finalizers"].as_array().unwrap();
        let own = kind.finalizer.filter(|_| finalizers.len() == 2);
        assert_eq!(
            finalizers.get(1).and_then(Value::as_str),
            own,
            "{}",
            kind.kind
        );
    }
    let mut world = World::new(PROJECT);
    let mut component = documents(COMPONENT).remove(0);
    super::super::hold_from_the_beginning("Component", &mut component);
    world.put(component);
    assert_eq!(world.decide("Component", "web").writes, []);
}
