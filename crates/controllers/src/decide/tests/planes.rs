//! Planes: registered, and kept as long as something is on them.

use super::*;

/// A plane of `kind` called `default` that is being deleted.
fn leaving(kind: &str, finalizer: &str) -> Value {
    let mut metadata = json!({
        "name": "default", "deletionTimestamp": "2026-01-01T00:00:00Z",
        "finalizers": [format!("openchoreo.dev/{finalizer}-cleanup")],
    });
    if !kind.starts_with("Cluster") {
        metadata["namespace"] = json!("default");
    }
    let agent = json!({ "clientCA": { "value": "x" } });
    json!({
        "apiVersion": "openchoreo.dev/v1alpha1", "kind": kind, "metadata": metadata,
        "spec": { "planeID": "x", "clusterAgent": agent, "observerURL": "http://observer" },
    })
}

/// An object that uses a plane.
fn user(kind: &str, field: &str, plane: &str) -> Value {
    let mut object = leaving(kind, "x");
    object["metadata"] = json!({ "name": "user", "namespace": "default" });
    object["spec"]["runTemplate"] = json!({});
    object["spec"][field] = json!({ "kind": plane, "name": "default" });
    object
}

const KINDS: [(&str, &str); 6] = [
    ("DataPlane", "dataplane"),
    ("ClusterDataPlane", "clusterdataplane"),
    ("WorkflowPlane", "workflowplane"),
    ("ClusterWorkflowPlane", "clusterworkflowplane"),
    ("ObservabilityPlane", "observabilityplane"),
    ("ClusterObservabilityPlane", "clusterobservabilityplane"),
];

#[test]
fn a_plane_is_accepted_and_held() {
    for (kind, finalizer) in KINDS {
        let mut plane = leaving(kind, finalizer);
        let metadata = plane["metadata"].as_object_mut().unwrap();
        metadata.remove("deletionTimestamp");
        metadata.remove("finalizers");
        let mut world = World::new("");
        world.put(plane);
        let decision = world.decide(kind, "default");
        let writes: Vec<String> = decision.writes.iter().map(words).collect();
        assert_eq!(
            writes,
            [format!(
                "finalizers default [\"openchoreo.dev/{finalizer}-cleanup\"]"
            )]
        );
        let created = world.status(kind, "default");
        let family = kind.trim_start_matches("Cluster");
        assert_eq!(
            created,
            [format!("Created True {family}Created: Plane was accepted")]
        );
    }
}

/// What uses each of the kinds.
fn users(kind: &str) -> Vec<Value> {
    match kind.trim_start_matches("Cluster") {
        "DataPlane" => vec![user("Environment", "dataPlaneRef", kind)],
        "WorkflowPlane" => vec![user("Workflow", "workflowPlaneRef", kind)],
        _ => vec![
            user("DataPlane", "observabilityPlaneRef", kind),
            user("WorkflowPlane", "observabilityPlaneRef", kind),
        ],
    }
}

#[test]
fn a_plane_in_use_stays_until_nothing_uses_it() {
    for (kind, finalizer) in KINDS {
        let users = users(kind);
        let mut world = World::new("");
        for default in ["development", "staging", "production"] {
            let key = Key::new("Environment", "default", default);
            let object = world.stored.remove(&key).unwrap();
            world.index.apply(Change::deleted(&object).unwrap());
        }
        world.put(leaving(kind, finalizer));
        for user in &users {
            world.put(user.clone());
        }
        let names: Vec<String> = users
            .iter()
            .map(|user| format!("{} \"user\"", user["kind"].as_str().unwrap()))
            .collect();
        assert_eq!(
            world.status(kind, "default")[1],
            format!(
                "Finalizing False DeletionBlocked: still used by {}",
                names.join(", ")
            )
        );
        let mut woken = BTreeSet::new();
        for user in &users {
            woken = world.index.apply(Change::deleted(user).unwrap());
        }
        assert!(woken.iter().any(|key| key.kind == kind), "{woken:?}");
        let decision = world.decide(kind, "default");
        let writes: Vec<String> = decision.writes.iter().map(words).collect();
        assert_eq!(writes, ["finalizers default []"], "{kind}");
    }
}

#[test]
fn environments_that_name_no_plane_are_on_the_default_one() {
    let mut world = World::new("");
    for environment in ["development", "staging", "production"] {
        let key = Key::new("Environment", "default", environment);
        let mut object = world.stored[&key].clone();
        object["spec"]
            .as_object_mut()
            .unwrap()
            .remove("dataPlaneRef");
        world.put(object);
    }
    world.put(leaving("ClusterDataPlane", "clusterdataplane"));
    let said = world.status("ClusterDataPlane", "default");
    assert!(said[1].starts_with("Finalizing False DeletionBlocked: still used by"));
    // One of their own namespace comes first.
    world.put(leaving("DataPlane", "dataplane"));
    assert_eq!(world.status("ClusterDataPlane", "default"), [""; 0]);
    let said = world.status("DataPlane", "default");
    assert!(said[1].starts_with("Finalizing False DeletionBlocked: still used by"));
}
