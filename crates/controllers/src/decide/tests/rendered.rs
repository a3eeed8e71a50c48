//! Rendered releases: what stands between objects and their plane.

use choreo_writer::Edition;

use super::*;
use crate::act::Written;
use crate::live::LiveKey;

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
    // Nothing is told of what nobody has seen.
    assert_eq!(decision.status, None);
}

#[test]
fn what_was_written_is_told_when_it_was_seen_or_should_have_been() {
    let mut world = World::new(RENDERED);
    let Some(Write::Place { object, hash, .. }) =
        world.decide("RenderedRelease", "one").writes.pop()
    else {
        panic!("nothing is placed");
    };
    let written = |edition: i64| Written {
        key: LiveKey::of(0, &object),
        hash,
        edition: Edition::Generation(edition),
    };
    let live = |world: &mut World, generation: i64| {
        let mut seen = object.clone();
        seen["metadata"]["generation"] = json!(generation);
        world.put(seen);
    };
    let told = |world: &World, second: i64| {
        let now = Timestamp::from_second(second).unwrap();
        let decision = crate::decide(&world.index, &key(), now);
        let places = decision
            .writes
            .iter()
            .any(|write| matches!(write, Write::Place { .. }));
        (
            places,
            decision.status.is_some(),
            decision.look_again.is_some(),
        )
    };
    live(&mut world, 1);
    assert_eq!(
        told(&world, 0),
        (true, false, false),
        "it is not known to be as wanted"
    );
    assert!(world.index.wrote(written(2), Timestamp::UNIX_EPOCH));
    assert_eq!(
        told(&world, 0),
        (false, false, true),
        "what is seen was there before"
    );
    assert_eq!(told(&world, 60), (true, true, false), "no watch brings it");
    assert!(
        !world
            .index
            .wrote(written(2), Timestamp::from_second(60).unwrap())
    );
    assert_eq!(
        told(&world, 60),
        (true, true, false),
        "which is not asked again and again"
    );
    live(&mut world, 2);
    assert_eq!(told(&world, 60), (false, true, false), "it is seen");
    live(&mut world, 3);
    assert_eq!(
        told(&world, 60),
        (true, false, false),
        "somebody has changed it"
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

#[test]
fn of_two_of_one_name_the_last_counts() {
    let twice = format!(
        "{RENDERED}
    - id: rights
      object:
        apiVersion: rbac.authorization.k8s.io/v1
        kind: ClusterRole
        metadata: {{ name: rights, annotations: {{ which: second }} }}
"
    );
    let mut world = World::new(&twice);
    let mut writes = world.decide("RenderedRelease", "one").writes;
    let Some(Write::Place { key, object, hash }) = writes.pop() else {
        panic!("nothing is placed");
    };
    assert_eq!(object["metadata"]["annotations"]["which"], "second");
    let placed = writes
        .iter()
        .any(|write| matches!(write, Write::Place { .. }));
    assert!(!placed, "it is placed once");
    let edition = Edition::Generation(1);
    let mut seen = object;
    seen["metadata"]["generation"] = json!(1);
    world.put(seen);
    world
        .index
        .wrote(Written { key, hash, edition }, Timestamp::UNIX_EPOCH);
    let decision = world.decide("RenderedRelease", "one");
    let placed = decision
        .writes
        .iter()
        .any(|write| matches!(write, Write::Place { .. }));
    assert!(!placed && decision.status.is_some(), "and told");
}
