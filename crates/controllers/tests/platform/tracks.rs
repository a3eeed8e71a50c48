//! Tracks on the real API: side by side with the main line, past a gate, and gone without a trace.

use choreo_model::names;
use kube::ResourceExt;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::harness::Platform;
use crate::lifecycle::{COMPONENT, PROJECT, WORKLOAD};

/// The default pipeline, with an approval before staging.
const PIPELINE: &str = r"
apiVersion: openchoreo.dev/v1alpha1
kind: DeploymentPipeline
metadata: { name: default, namespace: default }
spec:
  promotionPaths:
  - sourceEnvironmentRef: { name: development }
    targetEnvironmentRefs: [{ name: staging }]
    approvals: { users: [bob] }
";

/// A track of the component, and what it runs.
fn track(name: &str) -> String {
    format!(
        r"
apiVersion: openchoreo.dev/v1alpha1
kind: DeploymentTrack
metadata: {{ name: web--{name}, namespace: default }}
spec:
  owner: {{ projectName: shop, componentName: web }}
  branch: {name}
---
apiVersion: openchoreo.dev/v1alpha1
kind: Workload
metadata: {{ name: web--{name}, namespace: default }}
spec:
  owner: {{ projectName: shop, componentName: web, trackName: {name} }}
  container: {{ image: example.org/web:{name}, env: [{{ key: MODE, value: fast }}] }}
  endpoints:
    http: {{ type: HTTP, port: 8080, visibility: [external] }}
"
    )
}

/// Waits until the objects of a line are in its cell, and returns what was rendered.
async fn applied(platform: &Platform, line: &str, environment: &str) -> Value {
    let rendered = platform.platform("renderedrelease", "default");
    let applied = |object: &Value| {
        let status = &object["status"];
        let conditions = status["conditions"].as_array().into_iter().flatten();
        let applied = conditions.filter(|one| one["reason"] == "ApplySucceeded");
        status["observedGeneration"] == object["metadata"]["generation"] && applied.count() == 1
    };
    let name = format!("{line}-{environment}");
    platform.wait(rendered, &name, applied).await
}

/// The names of everything in the cell of an environment, of these kinds.
async fn names_in(platform: &Platform, environment: &str) -> Vec<String> {
    let cell = names::cell_namespace("default", "shop", environment);
    let mut found = Vec::new();
    for (version, kind, plural) in [
        ("apps/v1", "Deployment", "deployments"),
        ("v1", "Service", "services"),
        ("v1", "ConfigMap", "configmaps"),
        ("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies"),
        ("gateway.networking.k8s.io/v1", "HTTPRoute", "httproutes"),
    ] {
        let api = platform.api(version, kind, plural, &cell);
        let all = api.list(&ListParams::default()).await.unwrap();
        let names = all.items.into_iter().map(|one| one.name_any());
        found.extend(names.map(|name| format!("{kind}/{name}")));
    }
    found.sort();
    found
}

/// Plays the node: every deployment of a cell runs.
async fn run_all(platform: &Platform, environment: &str) {
    let cell = names::cell_namespace("default", "shop", environment);
    let deployments = platform.api("apps/v1", "Deployment", "deployments", &cell);
    let all = deployments.list(&ListParams::default()).await.unwrap();
    for one in all {
        let status = json!({ "status": {
            "observedGeneration": one.metadata.generation,
            "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1,
        }});
        let (name, params) = (one.name_any(), PatchParams::default());
        let status = Patch::Merge(&status);
        deployments
            .patch_status(&name, &params, &status)
            .await
            .unwrap();
    }
}

/// Asks for a promotion of what a track runs in development, and returns its release.
async fn ask(platform: &Platform, name: &str) -> String {
    let bindings = platform.platform("binding", "default");
    let source = format!("web--{name}-development");
    let runs = |object: &Value| object["status"]["release"].is_string();
    let source = platform.wait(bindings, &source, runs).await;
    let release = source["status"]["release"].as_str().unwrap().to_owned();
    let promotion = json!({
        "apiVersion": "openchoreo.dev/v1alpha1", "kind": "Promotion",
        "metadata": { "name": name, "namespace": "default" },
        "spec": {
            "owner": { "projectName": "shop", "componentName": "web", "trackName": name },
            "sourceEnvironment": "development", "targetEnvironment": "staging",
            "releases": { "web": release }, "requestedBy": "ann",
        },
    });
    platform.apply_all(&[promotion]).await;
    release
}

/// Brings track one to staging, past its approval.
async fn promote_one(platform: &Platform) {
    run_all(platform, "development").await;
    let release = ask(platform, "one").await;
    let waits = ["Approved", "False", "AwaitingApproval"];
    let planned = platform.wait_for("promotion", "one", waits).await;
    let digest = &planned["status"]["planDigest"];
    let change = json!({ "spec": { "approvals": [{ "by": "bob", "planDigest": digest }] } });
    platform
        .platform("promotion", "default")
        .patch("one", &PatchParams::default(), &Patch::Merge(&change))
        .await
        .unwrap();
    applied(platform, "web--one", "staging").await;
    run_all(platform, "staging").await;
    let promotions = platform.platform("promotion", "default");
    let succeeded = |object: &Value| object["status"]["phase"] == "Succeeded";
    platform.wait(promotions, "one", succeeded).await;
    let bindings = platform.platform("binding", "default");
    let staging = bindings.get("web--one-staging").await.unwrap();
    assert_eq!(staging.data["spec"]["releaseName"], *release);
    assert!(bindings.get_opt("web-staging").await.unwrap().is_none());
}

/// Nothing of any track is there.
async fn nothing_is_left(platform: &Platform) {
    for kind in [
        "binding",
        "componentrelease",
        "workload",
        "renderedrelease",
        "promotion",
    ] {
        let all = platform.platform(kind, "default");
        let all = all.list(&ListParams::default()).await.unwrap();
        let left = all.items.into_iter().map(|one| one.name_any());
        // Only tracks were promoted.
        let of_track = |name: &String| kind == "promotion" || name.contains("--");
        let left: Vec<String> = left.filter(of_track).collect();
        assert!(left.is_empty(), "{kind}: {left:?}");
    }
}

#[tokio::test]
async fn tracks_live_beside_the_main_line_and_leave_it_as_it_was() {
    let platform = Platform::start().await;
    for manifest in [PIPELINE, PROJECT, WORKLOAD, COMPONENT] {
        platform.apply(manifest).await;
    }
    let main = applied(&platform, "web", "development").await;
    let alone = names_in(&platform, "development").await;
    for name in ["one", "two"] {
        platform.apply(&track(name)).await;
        applied(&platform, &format!("web--{name}"), "development").await;
    }
    // Three of everything, and the main line is what it was.
    let beside = names_in(&platform, "development").await;
    assert_eq!(beside.len(), 3 * alone.len(), "{beside:?}");
    assert!(alone.iter().all(|name| beside.contains(name)));
    let now = applied(&platform, "web", "development").await;
    assert_eq!(now["spec"], main["spec"]);
    assert_eq!(
        now["metadata"]["generation"],
        main["metadata"]["generation"]
    );

    promote_one(&platform).await;
    assert_eq!(names_in(&platform, "staging").await.len(), alone.len());

    for name in ["one", "two"] {
        platform
            .delete("deploymenttrack", &format!("web--{name}"))
            .await;
    }
    for name in ["one", "two"] {
        let tracks = platform.platform("deploymenttrack", "default");
        platform
            .wait_until_gone(tracks, &format!("web--{name}"))
            .await;
    }
    assert_eq!(names_in(&platform, "development").await, alone);
    assert!(names_in(&platform, "staging").await.is_empty());
    nothing_is_left(&platform).await;
    let now = applied(&platform, "web", "development").await;
    assert_eq!(now["metadata"]["uid"], main["metadata"]["uid"]);
    assert_eq!(
        now["metadata"]["generation"],
        main["metadata"]["generation"]
    );
    platform.stop().await;
}
