//! Rendered releases: what stands between objects and their plane.

use super::*;

const RENDERED: &str = r"
apiVersion: openchoreo.dev/v1alpha1
kind: RenderedRelease
metadata: { name: one, namespace: default }
spec:
  owner: { projectName: shop }
  environmentName: development
  resources:
    - id: rights
      object:
        apiVersion: rbac.authorization.k8s.io/v1
        kind: ClusterRole
        metadata: { name: rights }
";

fn key() -> Key {
    Key::new("RenderedRelease", "default", "one")
}

#[test]
fn objects_are_applied() {
    let mut world = World::new(RENDERED);
    let decision = world.decide("RenderedRelease", "one");
    let writes: Vec<String> = decision.writes.iter().map(words).collect();
    assert_eq!(
        writes,
        [
            "finalizers one [\"openchoreo.dev/dataplane-cleanup\"]",
            "apply ClusterRole rights",
        ]
    );
    let status = decision.status.unwrap();
    assert_eq!(status["resources"][0]["healthStatus"], "Unknown");
    assert_eq!(
        world.status("RenderedRelease", "one"),
        ["ResourcesApplied True ApplySucceeded: 1 resources applied"]
    );
}

#[test]
fn a_plane_that_refuses_says_why() {
    let mut world = World::new(RENDERED);
    world
        .index
        .fail(&key(), "ClusterRole \"rights\": forbidden".to_owned());
    let decision = world.decide("RenderedRelease", "one");
    let told = decision
        .events
        .iter()
        .find(|event| event.reason == "ApplyFailed");
    assert_eq!(told.unwrap().type_, crate::decision::EventType::Warning);
    assert_eq!(
        world.status("RenderedRelease", "one"),
        ["ResourcesApplied False ApplyFailed: ClusterRole \"rights\": forbidden"]
    );
}

#[test]
fn what_cannot_be_placed_says_why() {
    check(
        &RENDERED.replace("environmentName: development", "environmentName: absent"),
        "RenderedRelease",
        "one",
        &["ResourcesApplied False ApplyFailed: Environment \"absent\" not found"],
    );
}

#[test]
fn a_cleanup_that_fails_says_why() {
    let leaving = RENDERED.replace(
        "namespace: default",
        "namespace: default, deletionTimestamp: \"2026-01-01T00:00:00Z\", finalizers: \
         [openchoreo.dev/dataplane-cleanup]",
    );
    let mut world = World::new(&leaving);
    assert_eq!(
        world.status("RenderedRelease", "one"),
        ["Finalizing True CleanupInProgress: waiting for the list of every ClusterRole to be gone"]
    );
    world
        .index
        .fail(&key(), "the plane does not answer".to_owned());
    assert_eq!(
        world.status("RenderedRelease", "one"),
        ["Finalizing True CleanupFailed: the plane does not answer"]
    );
}
