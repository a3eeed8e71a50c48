//! Promotions on the real API: past an approval, and back when what came does not run.

use choreo_model::names;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::harness::Platform;
use crate::lifecycle::{COMPONENT, PROJECT, WORKLOAD};

/// The default pipeline, with brakes before staging.
const PIPELINE: &str = r"
apiVersion: openchoreo.dev/v1alpha1
kind: DeploymentPipeline
metadata: { name: default, namespace: default }
spec:
  promotionPaths:
  - sourceEnvironmentRef: { name: development }
    targetEnvironmentRefs: [{ name: staging }]
    approvals: { users: [bob] }
    rollback: { deadline: 4s }
";

/// Asks for a promotion of what runs in development, and approves it as bob.
async fn promote(platform: &Platform, name: &str) -> String {
    // A binding tells of a release a moment after its objects were applied.
    let bindings = platform.platform("binding", "default");
    let told = |binding: &Value| binding["status"]["release"] == binding["spec"]["releaseName"];
    let source = platform.wait(bindings, "web-development", told).await;
    let release = source["status"]["release"].as_str().unwrap().to_owned();
    let promotion = json!({
        "apiVersion": "openchoreo.dev/v1alpha1", "kind": "Promotion",
        "metadata": { "name": name, "namespace": "default" },
        "spec": {
            "owner": { "projectName": "shop", "componentName": "web" },
            "sourceEnvironment": "development", "targetEnvironment": "staging",
            "releases": { "web": release }, "requestedBy": "ann",
        },
    });
    platform.apply_all(&[promotion]).await;
    let waits = ["Approved", "False", "AwaitingApproval"];
    let planned = platform.wait_for("promotion", name, waits).await;
    let digest = &planned["status"]["planDigest"];
    let change = json!({ "spec": { "approvals": [{ "by": "bob", "planDigest": digest }] } });
    platform
        .platform("promotion", "default")
        .patch(name, &PatchParams::default(), &Patch::Merge(&change))
        .await
        .unwrap();
    release
}

/// Waits until the component's deployment in an environment has this image.
async fn deployed(platform: &Platform, environment: &str, image: &str) -> String {
    let rendered = platform.platform("renderedrelease", "default");
    let name = format!("web-{environment}");
    let applied = |object: &Value| {
        let text = object["spec"]["resources"].to_string();
        let status = &object["status"];
        let seen = status["observedGeneration"] == object["metadata"]["generation"];
        let conditions = status["conditions"].as_array();
        let applied = conditions.into_iter().flatten();
        let applied = applied.filter(|one| one["reason"] == "ApplySucceeded");
        text.contains(image) && seen && applied.count() == 1
    };
    platform.wait(rendered, &name, applied).await;
    names::cell_namespace("default", "shop", environment)
}

async fn phase(platform: &Platform, name: &str, phase: &str) -> Value {
    let promotions = platform.platform("promotion", "default");
    let is = |object: &Value| object["status"]["phase"] == phase;
    platform.wait(promotions, name, is).await
}

#[tokio::test]
async fn a_release_goes_on_when_it_is_approved_and_back_when_it_does_not_run() {
    let platform = Platform::start().await;
    for manifest in [PIPELINE, PROJECT, WORKLOAD, COMPONENT] {
        platform.apply(manifest).await;
    }
    deployed(&platform, "development", "web:1").await;
    let first = promote(&platform, "first").await;
    let cell = deployed(&platform, "staging", "web:1").await;
    platform.run_deployment(&cell).await;
    let ended = phase(&platform, "first", "Succeeded").await;
    assert_eq!(ended["status"]["plan"][0]["progress"], "Ready");

    platform.apply(&WORKLOAD.replace("web:1", "web:2")).await;
    deployed(&platform, "development", "web:2").await;
    let second = promote(&platform, "second").await;
    assert_ne!(first, second);
    deployed(&platform, "staging", "web:2").await;
    let ended = phase(&platform, "second", "RolledBack").await;
    assert_eq!(ended["status"]["plan"][0]["from"], *first);
    deployed(&platform, "staging", "web:1").await;
    let bindings = platform.platform("binding", "default");
    let binding = bindings.get("web-staging").await.unwrap();
    assert_eq!(binding.data["spec"]["releaseName"], *first);
    platform.stop().await;
}
