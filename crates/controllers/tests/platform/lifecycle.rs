//! What is applied becomes objects of a data plane, and what is deleted leaves nothing behind.

use std::sync::Arc;

use choreo_apiserver::{Admission, AdmissionRequest, Admitted, AllowAll, Denied, Violation};
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::harness::Platform;
use crate::resources::DATABASE;

pub(crate) const PROJECT: &str = r"
apiVersion: openchoreo.dev/v1alpha1
kind: Project
metadata: { name: shop, namespace: default }
spec:
  deploymentPipelineRef: { name: default }
  type: { kind: ClusterProjectType, name: default }
";

pub(crate) const COMPONENT: &str = r"
apiVersion: openchoreo.dev/v1alpha1
kind: Component
metadata: { name: web, namespace: default }
spec:
  owner: { projectName: shop }
  componentType: { kind: ClusterComponentType, name: deployment/service }
  autoDeploy: true
";

pub(crate) const WORKLOAD: &str = r"
apiVersion: openchoreo.dev/v1alpha1
kind: Workload
metadata: { name: web, namespace: default }
spec:
  owner: { projectName: shop, componentName: web }
  container: { image: example.org/web:1, env: [{ key: MODE, value: fast }] }
  endpoints:
    http: { type: HTTP, port: 8080, visibility: [external] }
";

/// Rules that no release of a component satisfies.
struct NoReleases;

impl Admission for NoReleases {
    fn admit(&self, request: AdmissionRequest<'_>) -> Result<Admitted, Denied> {
        if request.resource.kind == "ComponentRelease" {
            let field = "spec".to_owned();
            let message = "is refused".to_owned();
            let causes = vec![Violation { field, message }];
            return Err(Denied { causes });
        }
        AllowAll.admit(request)
    }
}

#[tokio::test]
async fn a_release_that_is_refused_is_bound_nowhere() {
    let platform = Platform::guarded(Arc::new(NoReleases)).await;
    for manifest in [PROJECT, WORKLOAD, COMPONENT] {
        platform.apply(manifest).await;
    }
    let failed = ["Ready", "False", "AutoDeployFailed"];
    let component = platform.wait_for("component", "web", failed).await;
    assert!(
        component["status"]["latestRelease"].is_null(),
        "{component}"
    );
    let bindings = platform.platform("binding", "default");
    let bindings = bindings.list(&ListParams::default()).await.unwrap();
    assert!(bindings.items.is_empty(), "{bindings:?}");
    platform.stop().await;
}

#[tokio::test]
async fn a_component_becomes_ready_and_leaves_nothing_behind() {
    let platform = Platform::start().await;
    // The component comes first, so everything it needs is missing, one thing after the other.
    platform.apply(COMPONENT).await;
    platform
        .wait_for("component", "web", ["Ready", "False", "WorkloadNotFound"])
        .await;
    platform.apply(WORKLOAD).await;
    platform
        .wait_for("component", "web", ["Ready", "False", "ProjectNotFound"])
        .await;
    platform.apply(PROJECT).await;
    platform
        .wait_for(
            "component",
            "web",
            ["Ready", "True", "ComponentReleaseReady"],
        )
        .await;

    let rendered = platform
        .wait_for(
            "rendered",
            "web-development",
            ["ResourcesApplied", "True", "ApplySucceeded"],
        )
        .await;
    let kinds: Vec<&str> = rendered["spec"]["resources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["object"]["kind"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "ConfigMap",
            "Deployment",
            "HTTPRoute",
            "Service",
            "NetworkPolicy",
            "NetworkPolicy",
        ]
    );

    let cell = platform.cell().await;
    platform.run_deployment(&cell).await;
    let binding = platform
        .wait_for("binding", "web-development", ["Ready", "True", "Ready"])
        .await;
    let url = &binding["status"]["endpoints"][0]["externalURLs"]["http"];
    assert_eq!(url["host"], "development-default.openchoreo.localhost");
    assert_eq!(url["port"], 19080);

    delete_all(&platform, &cell).await;
    platform.stop().await;
}

#[tokio::test]
async fn a_change_is_released_and_a_removed_object_comes_back() {
    let platform = Platform::start().await;
    for yaml in [PROJECT, WORKLOAD, COMPONENT] {
        platform.apply(yaml).await;
    }
    platform
        .wait_for(
            "rendered",
            "web-development",
            ["ResourcesApplied", "True", "ApplySucceeded"],
        )
        .await;
    let cell = platform.cell().await;

    let services = platform.api("v1", "Service", "services", &cell);
    let uid = services.get("web").await.unwrap().uid().unwrap();
    services
        .delete("web", &DeleteParams::default())
        .await
        .unwrap();
    platform
        .wait(services, "web", |service| {
            service["metadata"]["uid"] != uid.as_str()
        })
        .await;

    platform.apply(&WORKLOAD.replace("web:1", "web:2")).await;
    let deployments = platform.api("apps/v1", "Deployment", "deployments", &cell);
    let name = deployments
        .list(&ListParams::default())
        .await
        .unwrap()
        .items[0]
        .name_any();
    platform
        .wait(deployments, &name, |deployment| {
            deployment["spec"]["template"]["spec"]["containers"][0]["image"] == "example.org/web:2"
        })
        .await;
    let releases = platform.platform("release", "default");
    assert_eq!(
        releases
            .list(&ListParams::default())
            .await
            .unwrap()
            .iter()
            .count(),
        2
    );

    undeploy(&platform, &cell, &name).await;
    delete_in_disorder(&platform).await;
    platform.stop().await;
}

/// Deletes the component, then the project; nothing of either is left.
async fn delete_all(platform: &Platform, cell: &str) {
    platform.delete("component", "web").await;
    platform
        .wait_until_gone(platform.platform("component", "default"), "web")
        .await;
    for kind in ["workload", "release", "binding"] {
        let left = platform
            .platform(kind, "default")
            .list(&ListParams::default())
            .await
            .unwrap();
        assert_eq!(left.iter().count(), 0, "{kind}");
    }
    let deployments = platform.api("apps/v1", "Deployment", "deployments", cell);
    assert_eq!(
        deployments
            .list(&ListParams::default())
            .await
            .unwrap()
            .iter()
            .count(),
        0
    );

    platform.delete("project", "shop").await;
    platform
        .wait_until_gone(platform.platform("project", "default"), "shop")
        .await;
    platform
        .wait_until_gone(platform.api("v1", "Namespace", "namespaces", ""), cell)
        .await;
}

/// Undeploys the component: its deployment goes, its binding stays and says so.
async fn undeploy(platform: &Platform, cell: &str, deployment: &str) {
    let undeploy = json!({ "spec": { "state": "Undeploy" } });
    platform
        .platform("binding", "default")
        .patch(
            "web-development",
            &PatchParams::default(),
            &Patch::Merge(&undeploy),
        )
        .await
        .unwrap();
    platform
        .wait_for(
            "binding",
            "web-development",
            ["Ready", "False", "ResourcesUndeployed"],
        )
        .await;
    let deployments = platform.api("apps/v1", "Deployment", "deployments", cell);
    platform.wait_until_gone(deployments, deployment).await;
}

/// Deletes everything at once, in the wrong order; all of it goes.
async fn delete_in_disorder(platform: &Platform) {
    for (kind, name) in [
        ("pipeline", "default"),
        ("environment", "development"),
        ("project", "shop"),
        ("component", "web"),
    ] {
        platform.delete(kind, name).await;
    }
    for (kind, name) in [("pipeline", "default"), ("environment", "development")] {
        platform
            .wait_until_gone(platform.platform(kind, "default"), name)
            .await;
    }
}

#[tokio::test]
async fn a_namespace_goes_with_everything_in_it() {
    let platform = Platform::start().await;
    platform.make_namespace("acme").await;
    let defaults = choreo_model::defaults().iter();
    let mut manifests: Vec<Value> = defaults
        .filter(|default| ["environments", "data plane"].contains(&default.name))
        .flat_map(|default| serde_saphyr::from_multiple::<Value>(default.yaml).unwrap())
        .collect();
    for yaml in [PROJECT, WORKLOAD, COMPONENT, DATABASE] {
        manifests.extend(serde_saphyr::from_multiple::<Value>(yaml).unwrap());
    }
    for manifest in &mut manifests {
        if manifest["metadata"]["namespace"] == "default" {
            manifest["metadata"]["namespace"] = json!("acme");
        }
    }
    platform.apply_all(&manifests).await;
    let bindings = platform.platform("binding", "acme");
    platform
        .wait(bindings, "web-development", |binding| {
            !binding["status"].is_null()
        })
        .await;
    let cells = platform.platform("projectreleasebinding", "acme");
    platform
        .wait(cells, "shop-staging", |cell| !cell["status"].is_null())
        .await;
    let namespaces = platform.api("v1", "Namespace", "namespaces", "");
    namespaces
        .delete("acme", &DeleteParams::default())
        .await
        .unwrap();
    platform.wait_until_gone(namespaces.clone(), "acme").await;
    let left = namespaces.list(&ListParams::default()).await.unwrap();
    let left: Vec<String> = left.iter().map(ResourceExt::name_any).collect();
    assert!(
        !left.iter().any(|name| name.starts_with("dp-acme")),
        "{left:?}"
    );
    platform.stop().await;
}
