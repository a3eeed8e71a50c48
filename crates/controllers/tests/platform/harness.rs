//! A platform in this process, and what its users do.

use std::sync::Arc;
use std::time::Duration;

use choreo_apiserver::{Admission, AllowAll, NoPods, Server};
use choreo_controllers::{Controllers, Planes};
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::runtime::wait::await_condition;
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const CELL: &str = "dp-default-shop-development-";

/// A platform with its defaults, and the folder it lives in.
pub(crate) struct Platform {
    pub(crate) client: Client,
    controllers: Controllers,
    server: Server,
    _folder: tempfile::TempDir,
}

impl Platform {
    pub(crate) async fn start() -> Self {
        Self::guarded(Arc::new(AllowAll)).await
    }

    /// A platform with rules of its own at the door of its API.
    pub(crate) async fn guarded(rules: Arc<dyn Admission>) -> Self {
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
        let server = Server::open(folder.path(), definitions, rules, Arc::new(NoPods)).unwrap();
        let client = server.client();
        let cluster = server.cluster_as("controllers");
        let controllers = Controllers::start(cluster.clone(), Planes::all(cluster));
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

    pub(crate) async fn stop(self) {
        self.controllers.stop().await;
        self.server.close().await;
    }

    pub(crate) fn api(
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

    pub(crate) fn platform(&self, kind: &str, namespace: &str) -> Api<DynamicObject> {
        let row = choreo_model::find(kind).unwrap();
        self.api(&row.api_version(), row.kind, row.plural, namespace)
    }

    pub(crate) async fn apply(&self, yaml: &str) {
        self.apply_all(&serde_saphyr::from_multiple::<Value>(yaml).unwrap())
            .await;
    }

    pub(crate) async fn apply_all(&self, manifests: &[Value]) {
        for manifest in manifests {
            let metadata = &manifest["metadata"];
            let namespace = metadata["namespace"].as_str().unwrap_or_default();
            let api = self.platform(manifest["kind"].as_str().unwrap(), namespace);
            let params = PatchParams::apply("test").force();
            let name = metadata["name"].as_str().unwrap();
            api.patch(name, &params, &Patch::Apply(manifest))
                .await
                .unwrap();
        }
    }

    pub(crate) async fn make_namespace(&self, name: &str) {
        let namespace = json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": { "name": name, "labels": { "openchoreo.dev/control-plane": "true" } },
        });
        self.api("v1", "Namespace", "namespaces", "")
            .patch(name, &PatchParams::apply("test"), &Patch::Apply(&namespace))
            .await
            .unwrap();
    }

    /// Waits until `holds` of the object, and returns it.
    pub(crate) async fn wait(
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
    pub(crate) async fn wait_for(&self, kind: &str, name: &str, condition: [&str; 3]) -> Value {
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

    pub(crate) async fn wait_until_gone(&self, api: Api<DynamicObject>, name: &str) {
        let gone = await_condition(api.clone(), name, |object: Option<&DynamicObject>| {
            object.is_none()
        });
        let ended = tokio::time::timeout(PATIENCE, gone).await;
        let left = match ended {
            Ok(_) => None,
            Err(_) => api.get_opt(name).await.unwrap(),
        };
        assert!(left.is_none(), "still there: {left:#?}");
    }

    /// Deletes an object, if it did not go with another already.
    pub(crate) async fn delete(&self, kind: &str, name: &str) {
        let api = self.platform(kind, "default");
        match api.delete(name, &DeleteParams::default()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            other => drop(other.unwrap()),
        }
    }

    pub(crate) async fn cell(&self) -> String {
        let namespaces = self.api("v1", "Namespace", "namespaces", "");
        let all = namespaces.list(&ListParams::default()).await.unwrap();
        all.iter()
            .map(ResourceExt::name_any)
            .find(|name| name.starts_with(CELL))
            .unwrap()
    }

    /// Says of the component's deployment what a node would say.
    pub(crate) async fn run_deployment(&self, cell: &str) {
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

pub(crate) fn definition(group: &str, version: &str, kind: &str, plural: &str) -> Value {
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
