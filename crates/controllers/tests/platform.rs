//! The controllers on the real API, in one process: what is applied becomes objects of a data
//! plane, and what is deleted leaves nothing behind. There is no node: the test plays its part.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::sync::Arc;
use std::time::Duration;

use choreo_apiserver::{AllowAll, NoPods, Server};
use choreo_controllers::{Controllers, Planes};
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::runtime::wait::await_condition;
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(20);
const CELL: &str = "dp-default-shop-development-";

/// A platform with its defaults, and the folder it lives in.
struct Platform {
    client: Client,
    controllers: Controllers,
    server: Server,
    _folder: tempfile::TempDir,
}

impl Platform {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut definitions: Vec<Value> = choreo_model::registry()
            .iter()
            .map(choreo_model::Kind::crd)
            .collect();
        definitions.push(definition(
            "gateway.networking.k8s.io",
            "v1",
            "HTTPRoute",
            "httproutes",
        ));
        definitions.push(definition(
            "external-secrets.io",
            "v1",
            "ExternalSecret",
            "externalsecrets",
        ));
        let server = Server::open(
            folder.path(),
            definitions,
            Arc::new(AllowAll),
            Arc::new(NoPods),
        )
        .unwrap();
        let client = server.client();
        let controllers = Controllers::start(client.clone(), Planes::all(client.clone()));
        let platform = Self {
            client,
            controllers,
            server,
            _folder: folder,
        };
        for default in choreo_model::defaults() {
            platform.apply(default.yaml).await;
        }
        platform
    }

    async fn stop(self) {
        self.controllers.stop().await;
        self.server.close().await;
    }

    fn api(
        &self,
        api_version: &str,
        kind: &str,
        plural: &str,
        namespace: &str,
    ) -> Api<DynamicObject> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let gvk = GroupVersionKind::gvk(group, version, kind);
        let resource = ApiResource::from_gvk_with_plural(&gvk, plural);
        match namespace {
            "" => Api::all_with(self.client.clone(), &resource),
            namespace => Api::namespaced_with(self.client.clone(), namespace, &resource),
        }
    }

    fn platform(&self, kind: &str, namespace: &str) -> Api<DynamicObject> {
        let row = choreo_model::find(kind).unwrap();
        self.api(&row.api_version(), row.kind, row.plural, namespace)
    }

    async fn apply(&self, yaml: &str) {
        for document in serde_saphyr::from_multiple::<Value>(yaml).unwrap() {
            let metadata = &document["metadata"];
            let namespace = metadata["namespace"].as_str().unwrap_or_default();
            let api = self.platform(document["kind"].as_str().unwrap(), namespace);
            let params = PatchParams::apply("test").force();
            let name = metadata["name"].as_str().unwrap();
            api.patch(name, &params, &Patch::Apply(&document))
                .await
                .unwrap();
        }
    }

    /// Waits until `holds` of the object, and returns it.
    async fn wait(
        &self,
        api: Api<DynamicObject>,
        name: &str,
        holds: impl Fn(&Value) -> bool + Send,
    ) -> Value {
        let condition = |object: Option<&DynamicObject>| {
            object.is_some_and(|object| holds(&serde_json::to_value(object).unwrap()))
        };
        let waiting = await_condition(api.clone(), name, condition);
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(found) => serde_json::to_value(found.unwrap()).unwrap(),
            Err(late) => panic!("{name}: {late}: {:#?}", api.get_opt(name).await.unwrap()),
        }
    }

    /// Waits until an object of the platform has a condition with this status and reason.
    async fn wait_for(&self, kind: &str, name: &str, condition: [&str; 3]) -> Value {
        let [type_, status, reason] = condition;
        let says = |object: &Value| {
            object["status"]["conditions"]
                .as_array()
                .into_iter()
                .flatten()
                .any(|condition| {
                    condition["type"] == type_
                        && condition["status"] == status
                        && condition["reason"] == reason
                })
        };
        self.wait(self.platform(kind, "default"), name, says).await
    }

    async fn wait_until_gone(&self, api: Api<DynamicObject>, name: &str) {
        let gone = await_condition(api.clone(), name, |object: Option<&DynamicObject>| {
            object.is_none()
        });
        let ended = tokio::time::timeout(PATIENCE, gone).await;
        assert!(ended.is_ok(), "{name} is still there");
    }

    async fn delete(&self, kind: &str, name: &str) {
        self.platform(kind, "default")
            .delete(name, &DeleteParams::default())
            .await
            .unwrap();
    }

    async fn cell(&self) -> String {
        let namespaces = self.api("v1", "Namespace", "namespaces", "");
        let all = namespaces.list(&ListParams::default()).await.unwrap();
        all.iter()
            .map(ResourceExt::name_any)
            .find(|name| name.starts_with(CELL))
            .unwrap()
    }

    /// Says of the component's deployment what a node would say.
    async fn run_deployment(&self, cell: &str) {
        let deployments = self.api("apps/v1", "Deployment", "deployments", cell);
        let all = deployments.list(&ListParams::default()).await.unwrap();
        let deployment = &all.items[0];
        let status = json!({ "status": {
            "observedGeneration": deployment.metadata.generation,
            "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1,
        }});
        deployments
            .patch_status(
                &deployment.name_any(),
                &PatchParams::default(),
                &Patch::Merge(&status),
            )
            .await
            .unwrap();
    }
}

fn definition(group: &str, version: &str, kind: &str, plural: &str) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{plural}.{group}") },
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {
                "kind": kind, "listKind": format!("{kind}List"), "plural": plural,
                "singular": kind.to_lowercase(),
            },
            "versions": [{
                "name": version, "served": true, "storage": true,
                "subresources": { "status": {} },
                "schema": { "openAPIV3Schema": {
                    "type": "object", "x-kubernetes-preserve-unknown-fields": true,
                }},
            }],
        },
    })
}

const PROJECT: &str = r"
apiVersion: openchoreo.dev/v1alpha1
kind: Project
metadata: { name: shop, namespace: default }
spec:
  deploymentPipelineRef: { name: default }
  type: { kind: ClusterProjectType, name: default }
";

const COMPONENT: &str = r"
apiVersion: openchoreo.dev/v1alpha1
kind: Component
metadata: { name: web, namespace: default }
spec:
  owner: { projectName: shop }
  componentType: { kind: ClusterComponentType, name: deployment/service }
  autoDeploy: true
";

const WORKLOAD: &str = r"
apiVersion: openchoreo.dev/v1alpha1
kind: Workload
metadata: { name: web, namespace: default }
spec:
  owner: { projectName: shop, componentName: web }
  container: { image: example.org/web:1, env: [{ key: MODE, value: fast }] }
  endpoints:
    http: { type: HTTP, port: 8080, visibility: [external] }
";

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
