//! Secrets from `ExternalSecret`s on the real API, in one process.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use choreo_apiserver::{AllowAll, NoPods, Server};
use k8s_openapi::{
    ByteString,
    api::core::v1::{Namespace, Secret},
};
use kube::{
    Api, Client,
    api::{
        ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams,
        PostParams,
    },
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

struct World {
    _folder: tempfile::TempDir,
    _server: Server,
    client: Client,
    controller: JoinHandle<()>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.controller.abort();
    }
}

impl World {
    /// The API with a store, the source `source` and the controller.
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::open(
            folder.path(),
            choreo_node::definitions(),
            Arc::new(AllowAll),
            Arc::new(NoPods),
        )
        .unwrap();
        let client = server.client();
        let namespaces: Api<Namespace> = Api::all(client.clone());
        for name in ["cell", "openchoreo-secrets"] {
            let object = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
            namespaces
                .create(&PostParams::default(), &object)
                .await
                .unwrap();
        }
        let run = choreo_node::secret::run(client.clone());
        let controller =
            tokio::spawn(async move { panic!("the controller ended: {:?}", run.await) });
        let world = Self {
            _folder: folder,
            _server: server,
            client,
            controller,
        };
        let store = json!({"provider": {"kubernetes": {"remoteNamespace": "openchoreo-secrets"}}});
        world.create("ClusterSecretStore", "default", &store).await;
        world.source(&json!({"password": "one"})).await;
        world
    }

    fn secrets(&self, namespace: &str) -> Api<Secret> {
        Api::namespaced(self.client.clone(), namespace)
    }

    fn dynamic(&self, kind: &str) -> Api<DynamicObject> {
        let gvk = GroupVersionKind::gvk("external-secrets.io", "v1", kind);
        let plural = format!("{}s", kind.to_lowercase());
        let resource = ApiResource::from_gvk_with_plural(&gvk, &plural);
        if kind.starts_with("Cluster") {
            Api::all_with(self.client.clone(), &resource)
        } else {
            Api::namespaced_with(self.client.clone(), "cell", &resource)
        }
    }

    async fn create(&self, kind: &str, name: &str, spec: &Value) {
        let object = serde_json::from_value(json!({
            "apiVersion": "external-secrets.io/v1", "kind": kind,
            "metadata": {"name": name}, "spec": spec,
        }));
        self.dynamic(kind)
            .create(&PostParams::default(), &object.unwrap())
            .await
            .unwrap();
    }

    /// Makes the source Secret hold exactly these values.
    async fn source(&self, values: &Value) {
        let object = json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "source"}, "stringData": values,
        });
        let api = self.secrets("openchoreo-secrets");
        let _ = api.delete("source", &DeleteParams::default()).await;
        api.create(
            &PostParams::default(),
            &serde_json::from_value(object).unwrap(),
        )
        .await
        .unwrap();
    }

    /// An `ExternalSecret` `web` of one key of the source.
    async fn want(&self, property: &str) {
        let spec = json!({
            "secretStoreRef": {"kind": "ClusterSecretStore", "name": "default"},
            "target": {"name": "web-secrets"},
            "data": [{"secretKey": "PASSWORD", "remoteRef": {"key": "source", "property": property}}],
        });
        self.create("ExternalSecret", "web", &spec).await;
    }

    async fn values(&self) -> Option<BTreeMap<String, String>> {
        let secret = self.secrets("cell").get_opt("web-secrets").await.unwrap()?;
        let text = |bytes: ByteString| String::from_utf8(bytes.0).unwrap();
        let data = secret.data.unwrap_or_default();
        Some(data.into_iter().map(|(k, v)| (k, text(v))).collect())
    }

    async fn ready(&self, kind: &str, name: &str) -> Value {
        let object = self.dynamic(kind).get(name).await.unwrap();
        let conditions = object.data["status"]["conditions"].as_array().cloned();
        let ready = |c: &Value| c["type"] == "Ready";
        let mut conditions = conditions.unwrap_or_default().into_iter();
        conditions.find(ready).unwrap_or_default()
    }

    async fn until_value(&self, expected: Option<&str>) {
        let expected = expected.map(|v| BTreeMap::from([("PASSWORD".to_owned(), v.to_owned())]));
        until(&format!("the Secret is {expected:?}"), async || {
            self.values().await == expected
        })
        .await;
    }

    async fn until_ready(&self, kind: &str, name: &str, status: &str) -> Value {
        until(&format!("{kind} {name} is ready: {status}"), async || {
            self.ready(kind, name).await["status"] == status
        })
        .await;
        self.ready(kind, name).await
    }
}

/// Asks until it is so.
async fn until(what: &str, so: impl AsyncFn() -> bool) {
    let wait = async {
        while !so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"));
}

#[tokio::test]
async fn a_secret_follows_its_source() {
    let world = World::start().await;
    world.want("password").await;
    world.until_value(Some("one")).await;
    let ready = world.until_ready("ExternalSecret", "web", "True").await;
    assert_eq!(ready["reason"], "SecretSynced", "{ready}");
    world
        .until_ready("ClusterSecretStore", "default", "True")
        .await;
    world
        .source(&json!({"password": "two", "other": "kept back"}))
        .await;
    world.until_value(Some("two")).await;
    // What somebody else changed or deleted comes back.
    let changed = json!({"stringData": {"PASSWORD": "three"}});
    let api = world.secrets("cell");
    api.patch(
        "web-secrets",
        &PatchParams::default(),
        &Patch::Merge(changed),
    )
    .await
    .unwrap();
    world.until_value(Some("two")).await;
    api.delete("web-secrets", &DeleteParams::default())
        .await
        .unwrap();
    world.until_value(Some("two")).await;
}

#[tokio::test]
async fn a_missing_key_is_told_and_found_later() {
    let world = World::start().await;
    world.want("missing").await;
    let ready = world.until_ready("ExternalSecret", "web", "False").await;
    let message = ready["message"].as_str().unwrap();
    assert!(message.contains("\"missing\""), "{ready}");
    assert!(!message.contains("one"), "{ready}");
    assert_eq!(world.values().await, None);
    world.source(&json!({"missing": "here"})).await;
    world.until_value(Some("here")).await;
    world.until_ready("ExternalSecret", "web", "True").await;
}

#[tokio::test]
async fn a_deleted_external_secret_takes_its_secret_along() {
    let world = World::start().await;
    world.want("password").await;
    world.until_value(Some("one")).await;
    world
        .dynamic("ExternalSecret")
        .delete("web", &DeleteParams::default())
        .await
        .unwrap();
    world.until_value(None).await;
}

#[tokio::test]
async fn a_quiet_world_is_not_written_to() {
    let world = World::start().await;
    world.want("password").await;
    world.until_ready("ExternalSecret", "web", "True").await;
    world.until_value(Some("one")).await;
    let version = async |name: &str| {
        let secret = world.secrets("cell").get_opt(name).await.unwrap();
        secret.and_then(|s| s.metadata.resource_version)
    };
    let before = version("web-secrets").await;
    // Another source is a reason to look, and the status of another object tells that it was looked.
    let spec =
        json!({"secretStoreRef": {"kind": "ClusterSecretStore", "name": "none"}, "data": []});
    world.create("ExternalSecret", "other", &spec).await;
    world.until_ready("ExternalSecret", "other", "False").await;
    assert_eq!(version("web-secrets").await, before);
}

#[tokio::test]
async fn a_generated_password_survives_its_secret_and_goes_with_its_external_secret() {
    let world = World::start().await;
    let gvk = GroupVersionKind::gvk("generators.external-secrets.io", "v1alpha1", "Password");
    let resource = ApiResource::from_gvk_with_plural(&gvk, "passwords");
    let generators: Api<DynamicObject> =
        Api::namespaced_with(world.client.clone(), "cell", &resource);
    let generator = json!({
        "apiVersion": "generators.external-secrets.io/v1alpha1", "kind": "Password",
        "metadata": {"name": "pg"},
        "spec": {"length": 32, "digits": 8, "symbols": 0, "noUpper": false, "allowRepeat": true},
    });
    let spec = json!({
        "refreshInterval": "0",
        "target": {"name": "web-secrets", "creationPolicy": "Owner", "template": {"data": {
            "PASSWORD": "{{ .password }}",
        }}},
        "dataFrom": [{"sourceRef": {"generatorRef": {
            "apiVersion": "generators.external-secrets.io/v1alpha1", "kind": "Password", "name": "pg",
        }}}],
    });
    world.create("ExternalSecret", "web", &spec).await;
    world.until_ready("ExternalSecret", "web", "False").await;
    generators
        .create(
            &PostParams::default(),
            &serde_json::from_value(generator).unwrap(),
        )
        .await
        .unwrap();
    world.until_ready("ExternalSecret", "web", "True").await;
    let made = world.values().await.unwrap();
    assert_eq!(made["PASSWORD"].len(), 32);
    world
        .secrets("cell")
        .delete("web-secrets", &DeleteParams::default())
        .await
        .unwrap();
    world.until_value(Some(&made["PASSWORD"])).await;
    world
        .dynamic("ExternalSecret")
        .delete("web", &DeleteParams::default())
        .await
        .unwrap();
    until("no secret is left", async || {
        let left = world.secrets("cell").list(&ListParams::default()).await;
        left.unwrap().items.is_empty()
    })
    .await;
}
