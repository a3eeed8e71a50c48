//! Managed resources become objects of their cell, reach the components that use them, and what
//! they retain outlives everything but a person's word.

use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::harness::Platform;
use crate::lifecycle::{COMPONENT, PROJECT, WORKLOAD};

pub(crate) const DATABASE: &str = r"
apiVersion: openchoreo.dev/v1alpha1
kind: ResourceType
metadata: { name: database, namespace: default }
spec:
  outputs:
    - { name: host, value: '${metadata.name}.${metadata.namespace}' }
    - { name: replicas, value: '${string(applied.server.status.readyReplicas)}' }
  resources:
    - id: server
      readyWhen: ${has(applied.server.status.readyReplicas) && applied.server.status.readyReplicas == 1}
      template:
        apiVersion: apps/v1
        kind: Deployment
        metadata: { name: database, namespace: '${metadata.namespace}', labels: '${metadata.labels}' }
        spec:
          selector: { matchLabels: { app: database } }
          template:
            metadata: { labels: { app: database } }
            spec: { containers: [{ name: main, image: example.org/database:1 }] }
---
apiVersion: openchoreo.dev/v1alpha1
kind: Resource
metadata: { name: db, namespace: default }
spec:
  owner: { projectName: shop }
  type: { name: database }
";

const DEPENDENCY: &str = "  dependencies:
    resources: [{ ref: db, envBindings: { host: DB_HOST, replicas: DB_REPLICAS } }]
";

/// Says of the database what a node would say.
async fn run_database(platform: &Platform, cell: &str) {
    let deployments = platform.api("apps/v1", "Deployment", "deployments", cell);
    platform
        .wait(deployments.clone(), "database", |_| true)
        .await;
    let status = json!({ "status": { "readyReplicas": 1 } });
    deployments
        .patch_status("database", &PatchParams::default(), &Patch::Merge(&status))
        .await
        .unwrap();
}

fn says(object: &Value, reason: &str) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .any(|one| one["reason"] == reason)
}

#[tokio::test]
async fn a_resource_serves_a_component_and_retains_its_data() {
    let platform = Platform::start().await;
    // The resource comes before its project, the component before the resource is ready.
    platform.apply(DATABASE).await;
    platform
        .wait_for("resource", "db", ["Ready", "False", "ProjectNotFound"])
        .await;
    for yaml in [PROJECT, COMPONENT] {
        platform.apply(yaml).await;
    }
    platform.apply(&format!("{WORKLOAD}{DEPENDENCY}")).await;
    platform
        .wait_for(
            "binding",
            "web-development",
            ["ReleaseSynced", "False", "ResourceDependenciesPending"],
        )
        .await;
    let rrb = "resourcereleasebinding";
    platform
        .wait_for(
            rrb,
            "db-development",
            ["ResourcesReady", "False", "ResourcesProgressing"],
        )
        .await;
    platform
        .wait_for(
            "projectreleasebinding",
            "shop-development",
            ["Ready", "True", "Ready"],
        )
        .await;
    let cell = platform.cell().await;
    run_database(&platform, &cell).await;
    platform
        .wait_for(rrb, "db-development", ["Ready", "True", "Ready"])
        .await;
    let rendered = platform
        .wait_for(
            "rendered",
            "web-development",
            ["ResourcesApplied", "True", "ApplySucceeded"],
        )
        .await;
    let rendered = rendered.to_string();
    assert!(rendered.contains(&format!(".{cell}\"")), "{rendered}");
    retain(&platform, &cell).await;
    platform.stop().await;
}

async fn set_policy(platform: &Platform, policy: &str) {
    let policy = json!({ "spec": { "retainPolicy": policy } });
    platform
        .platform("resourcereleasebinding", "default")
        .patch(
            "db-development",
            &PatchParams::default(),
            &Patch::Merge(&policy),
        )
        .await
        .unwrap();
}

/// Deletes the project: all of it goes but the database, until its policy is changed.
async fn retain(platform: &Platform, cell: &str) {
    let rrb = "resourcereleasebinding";
    set_policy(platform, "Retain").await;
    platform.delete("project", "shop").await;
    platform
        .wait(platform.platform("project", "default"), "shop", |project| {
            says(project, "RetainHold")
        })
        .await;
    only_the_database_is_left(platform, cell).await;
    // Nor does it go with its binding.
    platform.delete(rrb, "db-development").await;
    platform
        .wait_for(rrb, "db-development", ["Finalizing", "True", "RetainHold"])
        .await;
    only_the_database_is_left(platform, cell).await;
    set_policy(platform, "Delete").await;
    let projects = platform.platform("project", "default");
    platform.wait_until_gone(projects, "shop").await;
    let namespaces = platform.api("v1", "Namespace", "namespaces", "");
    platform.wait_until_gone(namespaces, cell).await;
    nothing_is_left(platform).await;
}

async fn only_the_database_is_left(platform: &Platform, cell: &str) {
    let staging = platform.platform("projectreleasebinding", "default");
    platform.wait_until_gone(staging, "shop-staging").await;
    let components = platform.platform("component", "default");
    platform.wait_until_gone(components, "web").await;
    let deployments = platform.api("apps/v1", "Deployment", "deployments", cell);
    let left = deployments.list(&ListParams::default()).await.unwrap();
    assert_eq!(left.items.len(), 1, "{left:?}");
    assert!(deployments.get("database").await.is_ok());
}

async fn nothing_is_left(platform: &Platform) {
    for kind in ["resource", "resourcerelease", "resourcereleasebinding"] {
        let left = platform.platform(kind, "default");
        let left = left.list(&ListParams::default()).await.unwrap();
        assert!(left.items.is_empty(), "{kind}: {left:?}");
    }
}
