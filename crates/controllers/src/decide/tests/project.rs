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

#[test]
fn a_project_says_what_it_lacks() {
    let check = |yaml: &str, expected: &str| {
        let created = "Created True ProjectCreated: Project was accepted";
        assert_eq!(
            World::new(yaml).status("Project", "shop"),
            [created, expected]
        );
    };
    check(
        &PROJECT.replace(
            "ClusterProjectType, name: default",
            "ProjectType, name: absent",
        ),
        "Ready False ProjectTypeNotFound: ProjectType \"absent\" not found",
    );
    check(
        &PROJECT.replace(
            "deploymentPipelineRef: { name: default }",
            "deploymentPipelineRef: { name: absent }",
        ),
        "Ready False DeploymentPipelineNotFound: DeploymentPipeline \"absent\" not found",
    );
    check(
        PROJECT,
        "Ready True Reconciled: Project is released and bound to every environment of its pipeline",
    );
    let mut world = World::new(PROJECT);
    world.index.fail(
        &Key::new("Project", "default", "shop"),
        "forbidden".to_owned(),
    );
    assert_eq!(
        world.status("Project", "shop")[1],
        "Ready False ReleaseUpdateFailed: forbidden"
    );
}

#[test]
fn a_project_goes_after_all_that_is_in_it() {
    let leaving = PROJECT.replace(
        "namespace: default",
        "namespace: default, deletionTimestamp: \"2026-01-01T00:00:00Z\"",
    );
    check(
        &format!("{COMPONENT}{leaving}"),
        "Project",
        "shop",
        &["Finalizing True ProjectFinalizing: waiting for Component \"web\" to be deleted"],
    );
    check_writes(
        &format!("{COMPONENT}{leaving}"),
        "Project",
        "shop",
        &["delete Component web"],
    );
    check_writes(&leaving, "Project", "shop", &["finalizers shop []"]);
}

#[test]
fn environments_and_pipelines_are_accepted() {
    check(
        "",
        "Environment",
        "development",
        &["Ready True EnvironmentReady: Environment is ready"],
    );
    check(
        "",
        "DeploymentPipeline",
        "default",
        &["Available True DeploymentPipelineAvailable: Pipeline can be used"],
    );
}

#[test]
fn a_pipeline_in_use_stays() {
    let mut world = World::new(PROJECT);
    let key = Key::new("DeploymentPipeline", "default", "default");
    let mut pipeline = world.stored[&key].clone();
    pipeline["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    pipeline["metadata"]["finalizers"] = json!(["openchoreo.dev/deployment-pipeline-cleanup"]);
    world.put(pipeline);
    assert_eq!(
        world.status("DeploymentPipeline", "default"),
        ["Available False DeletionBlocked: still used by Project \"shop\""]
    );
}
