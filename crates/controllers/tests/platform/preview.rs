//! A preview environment from its creation to the proof that nothing of it is left.

use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::Value;

use crate::harness::Platform;
use crate::lifecycle::{COMPONENT, PROJECT, WORKLOAD};

const PREVIEW: &str = r"
apiVersion: openchoreo.dev/v1alpha1
kind: PreviewEnvironment
metadata: { name: pr-7, namespace: default }
spec:
  projectName: shop
  from: development
  components: [{ name: web, image: 'example.org/web:pr-7' }]
  ttl: 2h
";

#[tokio::test]
async fn a_preview_is_used_and_leaves_nothing_behind() {
    let platform = Platform::start().await;
    for manifest in [PROJECT, WORKLOAD, COMPONENT] {
        platform.apply(manifest).await;
    }
    let synced = ["ReleaseSynced", "True", "ReleaseSynced"];
    platform
        .wait_for("binding", "web-development", synced)
        .await;
    let releases = platform.platform("release", "default");
    let before = releases
        .list(&ListParams::default())
        .await
        .unwrap()
        .items
        .len();

    platform.apply(PREVIEW).await;
    platform.wait_for("binding", "web-pr-7", synced).await;
    let cell = choreo_model::names::cell_namespace("default", "shop", "pr-7");
    let deployments = platform.api("apps/v1", "Deployment", "deployments", &cell);
    let name = choreo_model::names::component_name("web", "pr-7");
    platform
        .wait(deployments, &name, |one| {
            let container = &one["spec"]["template"]["spec"]["containers"][0];
            container["image"] == "example.org/web:pr-7"
        })
        .await;
    platform.run_deployment(&cell).await;
    let ready = ["Ready", "True", "PreviewReady"];
    let preview = platform.wait_for("preview", "pr-7", ready).await;
    let status = &preview["status"];
    assert_eq!(status["phase"], "Ready");
    let url = status["urls"][0]["url"].as_str().unwrap();
    assert!(url.starts_with("http://pr-7-default."), "{status}");
    assert!(status["expiresAt"].is_string(), "{status}");

    platform.delete("preview", "pr-7").await;
    let previews = platform.platform("preview", "default");
    platform.wait_until_gone(previews, "pr-7").await;
    let after = releases.list(&ListParams::default()).await.unwrap();
    assert_eq!(after.items.len(), before);
    nothing_is_left(&platform, &cell).await;
    platform.stop().await;
}

async fn nothing_is_left(platform: &Platform, cell: &str) {
    for kind in ["environment", "binding", "cell", "rendered"] {
        let left = platform.platform(kind, "default");
        let left = left.list(&ListParams::default()).await.unwrap();
        let names: Vec<String> = left.iter().map(ResourceExt::name_any).collect();
        assert!(
            !names.iter().any(|name| name.contains("pr-7")),
            "{kind}: {names:?}"
        );
    }
    let namespaces = platform.api("v1", "Namespace", "namespaces", "");
    assert!(namespaces.get_opt(cell).await.unwrap().is_none());
    // The event tells it when the object is gone.
    let events = platform.api("v1", "Event", "events", "default");
    let events = events.list(&ListParams::default()).await.unwrap();
    let told = events.iter().any(|event| {
        let event: &Value = &event.data;
        let message = event["message"].as_str().unwrap_or_default();
        event["reason"] == "PreviewRemoved" && message.starts_with("Nothing is left of ")
    });
    assert!(told, "{events:?}");
}
