//! An API with the platform's kinds, its defaults and its controllers, and no node.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use choreo_apiserver::{AllowAll, NoPods, Server};
use choreo_controllers::{Controllers, Planes};
use choreo_model::{Scope, labels};
use choreo_writer::Cluster;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::GroupVersionKind;
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::essence;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long nothing changes until a home is at rest.
const QUIET: Duration = Duration::from_millis(1500);
/// The same while something is being deleted: a real API takes its time to empty a namespace.
const LEAVING: Duration = Duration::from_secs(20);

/// Kinds of plane objects that the story has: apiVersion, kind, plural.
const LIVE: [(&str, &str, &str); 6] = [
    ("v1", "Namespace", "namespaces"),
    ("v1", "ConfigMap", "configmaps"),
    ("v1", "Service", "services"),
    ("apps/v1", "Deployment", "deployments"),
    ("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies"),
    ("gateway.networking.k8s.io/v1", "HTTPRoute", "httproutes"),
];

/// Objects by kind, namespace and name.
pub(crate) type Objects = BTreeMap<String, Value>;

/// One of the two.
pub(crate) struct Home {
    client: Client,
    controllers: Controllers,
    server: Option<(Server, tempfile::TempDir)>,
}

impl Home {
    /// The embedded API.
    pub(crate) async fn embedded() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::open(
            folder.path(),
            definitions(),
            Arc::new(AllowAll),
            Arc::new(NoPods),
        );
        let server = server.unwrap();
        let cluster = server.cluster_as("controllers");
        Self::furnished(cluster, Some((server, folder))).await
    }

    /// A real kube-apiserver, if there is one.
    pub(crate) async fn oracle() -> Option<Self> {
        let path = std::env::var_os("CHOREO_ORACLE")?;
        let kubeconfig = Kubeconfig::read_from(path).unwrap();
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .unwrap();
        let client = Client::try_from(config).unwrap();
        let type_ = ("apiextensions.k8s.io/v1", "CustomResourceDefinition");
        let api = api(&client, type_, "customresourcedefinitions", "");
        for definition in definitions() {
            let name = definition["metadata"]["name"].as_str().unwrap().to_owned();
            let params = PatchParams::apply("test").force();
            api.patch(&name, &params, &Patch::Apply(definition))
                .await
                .unwrap();
            established(&api, &name).await;
        }
        Some(Self::furnished(client.into(), None).await)
    }

    /// With the controllers, which hand over what they write where they can.
    async fn furnished(cluster: Cluster, server: Option<(Server, tempfile::TempDir)>) -> Self {
        let controllers = Controllers::start(cluster.clone(), Planes::all(cluster.clone()));
        let home = Self {
            client: cluster.client,
            controllers,
            server,
        };
        for default in choreo_model::defaults() {
            home.apply(&super::story::documents(default.yaml)).await;
        }
        home.rest().await;
        home
    }

    pub(crate) async fn stop(self) {
        self.controllers.stop().await;
        if let Some((server, _folder)) = self.server {
            server.close().await;
        }
    }

    pub(crate) async fn apply(&self, objects: &[Value]) {
        for object in objects {
            let metadata = &object["metadata"];
            let (api, name) = self.place(object["kind"].as_str().unwrap(), metadata);
            let params = PatchParams::apply("somebody").force();
            let applied = api.patch(&name, &params, &Patch::Apply(object)).await;
            applied.unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }

    /// Says of everything deployed that it runs, as a plane would.
    pub(crate) async fn run(&self) {
        let (key, value) = (labels::MANAGED_BY, labels::RENDERED_RELEASE_CONTROLLER);
        let managed = ListParams::default().labels(&format!("{key}={value}"));
        let type_ = ("apps/v1", "Deployment");
        let everywhere = api(&self.client, type_, "deployments", "");
        for deployment in everywhere.list(&managed).await.unwrap() {
            let replicas = deployment.data["spec"]["replicas"].as_i64().unwrap_or(1);
            let status = json!({ "status": {
                "observedGeneration": deployment.metadata.generation,
                "replicas": replicas, "updatedReplicas": replicas,
                "readyReplicas": replicas, "availableReplicas": replicas,
            }});
            let namespace = deployment.metadata.namespace.unwrap_or_default();
            let name = deployment.metadata.name.unwrap_or_default();
            api(&self.client, type_, "deployments", &namespace)
                .patch_status(&name, &PatchParams::default(), &Patch::Merge(&status))
                .await
                .unwrap();
        }
    }

    pub(crate) async fn delete(&self, kind: &str, name: &str) {
        let row = choreo_model::find(kind).unwrap();
        let namespace = match row.scope {
            Scope::Cluster => "",
            Scope::Namespaced => "default",
        };
        let (api, name) = self.place(kind, &json!({"name": name, "namespace": namespace}));
        api.delete(&name, &DeleteParams::background())
            .await
            .unwrap();
    }

    fn place(&self, kind: &str, metadata: &Value) -> (Api<DynamicObject>, String) {
        let row = choreo_model::find(kind).unwrap();
        let namespace = metadata["namespace"].as_str().unwrap_or_default();
        let type_ = (&*row.api_version(), row.kind);
        let api = api(&self.client, type_, row.plural, namespace);
        (api, metadata["name"].as_str().unwrap().to_owned())
    }

    /// Waits until nothing changes any more, and returns what is there, in essence.
    pub(crate) async fn rest(&self) -> Objects {
        let deadline = Instant::now() + PATIENCE;
        let (mut last, mut since) = (Objects::new(), Instant::now());
        loop {
            let now = self.objects().await;
            if now != last {
                (last, since) = (now, Instant::now());
            } else if since.elapsed() > quiet(&last) {
                return essence::of(last);
            }
            assert!(Instant::now() < deadline, "nothing comes to rest");
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Every object of the platform, and those its controllers put on planes.
    pub(crate) async fn objects(&self) -> Objects {
        let mut objects = Objects::new();
        for row in choreo_model::registry() {
            let type_ = (&*row.api_version(), row.kind);
            let all = api(&self.client, type_, row.plural, "");
            collect(&mut objects, type_, &all, &ListParams::default()).await;
        }
        let (key, value) = (labels::MANAGED_BY, labels::RENDERED_RELEASE_CONTROLLER);
        let managed = ListParams::default().labels(&format!("{key}={value}"));
        for (api_version, kind, plural) in LIVE {
            let all = api(&self.client, (api_version, kind), plural, "");
            collect(&mut objects, (api_version, kind), &all, &managed).await;
        }
        objects
    }
}

fn quiet(objects: &Objects) -> Duration {
    let is_leaving = |object: &Value| object["metadata"].get("deletionTimestamp").is_some();
    if objects.values().any(is_leaving) {
        LEAVING
    } else {
        QUIET
    }
}

async fn collect(
    objects: &mut Objects,
    (api_version, kind): (&str, &str),
    api: &Api<DynamicObject>,
    params: &ListParams,
) {
    for item in api.list(params).await.unwrap() {
        let mut object = serde_json::to_value(item).unwrap();
        object["apiVersion"] = json!(api_version);
        object["kind"] = json!(kind);
        object["metadata"]["managedFields"] = Value::Null;
        let metadata = &object["metadata"];
        let namespace = metadata["namespace"].as_str().unwrap_or_default();
        let title = format!("{kind} {namespace}/{}", metadata["name"].as_str().unwrap());
        objects.insert(title, object);
    }
}

fn api(
    client: &Client,
    (api_version, kind): (&str, &str),
    plural: &str,
    namespace: &str,
) -> Api<DynamicObject> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let gvk = GroupVersionKind::gvk(group, version, kind);
    let resource = ApiResource::from_gvk_with_plural(&gvk, plural);
    match namespace {
        "" => Api::all_with(client.clone(), &resource),
        namespace => Api::namespaced_with(client.clone(), namespace, &resource),
    }
}

/// Waits until the API serves a new kind.
async fn established(api: &Api<DynamicObject>, name: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let definition = api.get(name).await.unwrap();
        let conditions = definition.data["status"]["conditions"].as_array();
        let is_served = |one: &Value| one["type"] == "Established" && one["status"] == "True";
        if conditions.into_iter().flatten().any(is_served) {
            return;
        }
        assert!(Instant::now() < deadline, "{name} is not served");
        sleep(Duration::from_millis(20)).await;
    }
}

fn definitions() -> Vec<Value> {
    let mut definitions: Vec<Value> = choreo_model::registry()
        .iter()
        .map(choreo_model::Kind::crd)
        .collect();
    for (group, version, kind, plural) in [
        ("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes"),
        (
            "external-secrets.io",
            "v1",
            "ExternalSecret",
            "externalsecrets",
        ),
    ] {
        definitions.push(json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {
                "name": format!("{plural}.{group}"),
                // Groups of the community ask for it.
                "annotations": { "api-approved.kubernetes.io": "unapproved, for a test" },
            },
            "spec": {
                "group": group, "scope": "Namespaced",
                "names": {
                    "kind": kind, "listKind": format!("{kind}List"), "plural": plural,
                    "singular": kind.to_lowercase(),
                },
                "versions": [{
                    "name": version, "served": true, "storage": true, "subresources": { "status": {} },
                    "schema": { "openAPIV3Schema": {
                        "type": "object", "x-kubernetes-preserve-unknown-fields": true,
                    }},
                }],
            },
        }));
    }
    definitions
}
