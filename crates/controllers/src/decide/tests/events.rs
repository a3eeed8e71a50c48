//! Events: what changed is told, once.

use super::*;
use crate::decision::{Event, EventType};

fn told(decision: &Decision) -> Vec<String> {
    let told = |event: &Event| {
        let type_ = match event.type_ {
            EventType::Normal => "Normal",
            EventType::Warning => "Warning",
        };
        format!("{type_} {}", event.reason)
    };
    decision.events.iter().map(told).collect()
}

#[test]
fn what_a_condition_tells_is_told_once() {
    let mut world = World::new(&format!("{COMPONENT}{PROJECT}"));
    let mut heard = Vec::new();
    let mut listen = |world: &mut World| {
        let decision = world.decide("Component", "web");
        assert!(
            decision.uid.is_some(),
            "clients look for events by identifier"
        );
        heard.push(told(&decision));
        world.live(&[("Component", "web")]);
    };
    listen(&mut world);
    listen(&mut world);
    world.add(WORKLOAD);
    listen(&mut world);
    listen(&mut world);
    assert_eq!(heard[0], ["Warning WorkloadNotFound"]);
    assert_eq!(heard[1], [""; 0], "nothing has changed");
    assert_eq!(heard[2], ["Normal Released", "Normal Bound"]);
    assert_eq!(heard[3], [""; 0], "nothing has changed");
}

#[test]
fn what_is_under_way_is_not_told_before_it_has_ended() {
    let mut world = World::new(&shop());
    world.live(&ALL);
    let key = Key::new("RenderedRelease", "default", "web-development");
    let mut seen = |health: &str| {
        let mut rendered = world.stored[&key].clone();
        rendered["status"] = json!({"observedGeneration": 1, "resources": [{
            "id": "deployment-web", "group": "apps", "version": "v1", "kind": "Deployment",
            "name": "web", "namespace": "cell", "healthStatus": health,
        }]});
        world.put(rendered);
        let told = told(&world.decide("ReleaseBinding", "web-development"));
        world.live(&ALL);
        told
    };
    assert_eq!(seen("Progressing"), [""; 0]);
    assert_eq!(seen("Healthy"), ["Normal Ready"]);
    assert_eq!(seen("Healthy"), [""; 0]);
    assert_eq!(seen("Degraded"), ["Warning ResourcesDegraded"]);
}

#[test]
fn a_deletion_says_what_it_waits_for() {
    let deleting = COMPONENT.replace(
        "namespace: default",
        "namespace: default, deletionTimestamp: \"2026-01-01T00:00:00Z\", finalizers: \
         [openchoreo.dev/component-cleanup]",
    );
    let mut world = World::new(&format!("{deleting}{WORKLOAD}"));
    let decision = world.decide("Component", "web");
    assert_eq!(
        told(&decision),
        ["Normal Deleting", "Normal ComponentFinalizing"]
    );
}
