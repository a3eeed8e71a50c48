//! Alerts of components: through a channel, to the observability plane.

use super::*;

const CHANNELS: &str = r"
---
apiVersion: openchoreo.dev/v1alpha1
kind: ObservabilityAlertsNotificationChannel
metadata: { name: another, namespace: default }
spec: { environment: development, type: webhook, webhookConfig: { url: 'http://a' } }
---
apiVersion: openchoreo.dev/v1alpha1
kind: ObservabilityAlertsNotificationChannel
metadata: { name: everybody, namespace: default }
spec: { environment: development, isEnvDefault: true, type: webhook, webhookConfig: { url: 'http://a' } }
";

const PLANE: &str = r"
---
apiVersion: openchoreo.dev/v1alpha1
kind: ClusterObservabilityPlane
metadata: { name: watching }
spec: { planeID: x, clusterAgent: { clientCA: { value: x } }, observerURL: 'http://observer' }
";

/// The shop, whose component raises an alert.
fn alerting() -> String {
    shop().replace(
        "autoDeploy: true",
        "autoDeploy: true
  traits:
    - kind: ClusterTrait
      name: observability-alert-rule
      instanceName: errors
      parameters: { description: many errors, source: { type: log, query: error }, condition: {} }",
    )
}

/// Lets the data plane send to the observability plane.
fn observe(world: &mut World) {
    let key = Key::new("ClusterDataPlane", "", "default");
    let mut plane = world.stored[&key].clone();
    plane["spec"]["observabilityPlaneRef"] =
        json!({ "kind": "ClusterObservabilityPlane", "name": "watching" });
    world.put(plane);
}

fn rules(world: &World) -> Option<&Value> {
    let name = "web-development-observability";
    world
        .stored
        .get(&Key::new("RenderedRelease", "default", name))
}

#[test]
fn an_alert_needs_somebody_who_hears_of_it() {
    let mut world = World::new(&alerting());
    world.live(&ALL);
    let said = world.condition("ReleaseBinding", "web-development", "ReleaseSynced");
    assert!(
        said.starts_with("ReleaseSynced False RenderingFailed"),
        "{said}"
    );
    let woken = world.add(CHANNELS);
    assert!(woken.contains(&Key::new("ReleaseBinding", "default", "web-development")));
    world.live(&ALL);
    let said = world.condition("ReleaseBinding", "web-development", "ReleaseSynced");
    assert!(said.starts_with("ReleaseSynced True"), "{said}");
}

#[test]
fn rules_go_to_the_observability_plane_with_their_component() {
    let mut world = World::new(&format!("{}{CHANNELS}", alerting()));
    observe(&mut world);
    world.live(&ALL);
    assert_eq!(rules(&world), None, "there is no such plane");
    world.add(PLANE);
    world.live(&ALL);
    let release = rules(&world).unwrap();
    assert_eq!(release["spec"]["targetPlane"], "observabilityplane");
    let resources = release["spec"]["resources"].as_array().unwrap();
    assert_eq!(resources.len(), 1, "{resources:#?}");
    let rule = &resources[0]["object"];
    assert_eq!(
        rule["spec"]["actions"]["notifications"]["channels"],
        json!(["everybody"])
    );
    // Nobody else makes its namespace there.
    let name = "web-development-observability";
    let writes: Vec<String> = world
        .decide("RenderedRelease", name)
        .writes
        .iter()
        .map(words)
        .collect();
    let cell = choreo_model::names::cell_namespace("default", "shop", "development");
    assert_eq!(writes, [format!("apply Namespace {cell}")]);
    world.put(json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": cell },
    }));
    let decision = world.decide("RenderedRelease", name);
    let applied = decision.writes.iter().map(words);
    assert!(
        applied
            .into_iter()
            .any(|one| one.starts_with("apply ObservabilityAlertRule"))
    );

    // They go when nothing is rendered for the plane any more.
    world.add(&shop());
    world.live(&[("Component", "web")]);
    let writes = world.decide("ReleaseBinding", "web-development").writes;
    let writes: Vec<String> = writes.iter().map(words).collect();
    assert!(
        writes.contains(&format!("delete RenderedRelease {name}")),
        "{writes:?}"
    );
}

#[test]
fn what_watches_nobody_says_so() {
    let mut world = World::new(&format!("{}{CHANNELS}{PLANE}", alerting()));
    observe(&mut world);
    world.live(&ALL);
    let plane = world
        .stored
        .remove(&Key::new("ClusterObservabilityPlane", "", "watching"))
        .unwrap();
    world.index.apply(Change::deleted(&plane).unwrap());
    let said = world.status("RenderedRelease", "web-development-observability");
    assert_eq!(
        said,
        [
            "ResourcesApplied False ApplyFailed: ClusterDataPlane \"default\" has no observability \
             plane, and none is called \"default\""
        ]
    );
}
