//! Projects: released, and given cells.

use super::*;

#[test]
fn a_project_gets_a_cell_in_every_environment() {
    let mut world = World::new(PROJECT);
    let writes: Vec<String> = world
        .decide("Project", "shop")
        .writes
        .iter()
        .map(words)
        .collect();
    assert!(writes[0].starts_with("apply ProjectRelease shop-"));
    assert_eq!(
        writes[1..],
        [
            "apply ProjectReleaseBinding shop-development",
            "apply ProjectReleaseBinding shop-staging",
            "apply ProjectReleaseBinding shop-production",
        ]
    );
    let events = world.decide("Project", "shop").events;
    assert!(events.iter().any(|told| told.reason == "ReconcileComplete"));
}

#[test]
fn a_release_once_pinned_is_never_moved() {
    let binding = |release: &str| {
        format!(
            "{PROJECT}
---
apiVersion: openchoreo.dev/v1alpha1
kind: ProjectReleaseBinding
metadata: {{ name: mine, namespace: default }}
spec: {{ owner: {{ projectName: shop }}, environment: development{release} }}
"
        )
    };
    let writes = |yaml: &str| -> Vec<String> {
        World::new(yaml)
            .decide("Project", "shop")
            .writes
            .iter()
            .map(words)
            .collect()
    };
    assert_eq!(writes(&binding(""))[1], "apply ProjectReleaseBinding mine");
    let pinned = writes(&binding(", projectRelease: shop-old"));
    assert_eq!(pinned[1], "apply ProjectReleaseBinding shop-staging");
}
