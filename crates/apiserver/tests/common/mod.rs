//! A server in a temporary folder, and what tests ask of it.

use std::{path::Path, sync::Arc, time::Duration};

use choreo_apiserver::{AllowAll, Credentials, NoPods, Server, store::Place};
use futures::StreamExt as _;
use jiff::Timestamp;
use kube::{
    Api, Client, ResourceExt as _,
    api::{DynamicObject, WatchEvent, WatchParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

pub(crate) fn open(folder: &Path) -> Server {
    open_at(folder.into())
}

pub(crate) fn open_at(place: Place) -> Server {
    Server::open(
        place,
        vec![widget_definition()],
        Arc::new(AllowAll),
        Arc::new(NoPods),
    )
    .unwrap()
}

/// Serves at a port of loopback while `session` uses the configuration it is given; the client is
/// that of the server itself.
pub(crate) async fn serving(session: impl FnOnce(Client, &Path) + Send + 'static) {
    let folder = tempfile::tempdir().unwrap();
    let server = open(&folder.path().join("data"));
    let credentials = Credentials::open(folder.path(), Timestamp::now()).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let config = folder.path().join("kubeconfig");
    std::fs::write(&config, credentials.kubeconfig(&url)).unwrap();
    let stop = CancellationToken::new();
    let listening = {
        let (server, stop) = (server.clone(), stop.clone());
        tokio::spawn(async move { server.serve(listener, &credentials, stop).await })
    };
    let client = server.client();
    tokio::task::spawn_blocking(move || session(client, &config))
        .await
        .unwrap();
    stop.cancel();
    listening.await.unwrap().unwrap();
    server.close().await;
}

/// Why a folder is not opened.
pub(crate) fn refusal(folder: &Path) -> String {
    refusal_at(folder.into())
}

pub(crate) fn refusal_at(place: Place) -> String {
    let opened = Server::open(place, Vec::new(), Arc::new(AllowAll), Arc::new(NoPods));
    opened.err().expect("must be refused").to_string()
}

/// A definition with a status, a scale, defaults, lists and rules.
pub(crate) fn widget_definition() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget",
                "listKind": "WidgetList", "shortNames": ["wd"]},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "subresources": {
                    "status": {},
                    "scale": {"specReplicasPath": ".spec.replicas",
                        "statusReplicasPath": ".status.replicas"},
                },
                "additionalPrinterColumns": [
                    {"name": "Size", "type": "string", "jsonPath": ".spec.size"}],
                "schema": {"openAPIV3Schema": {
                    "type": "object",
                    "properties": {
                        "spec": {
                            "type": "object",
                            "properties": {
                                "size": {"type": "string", "enum": ["small", "large"],
                                    "default": "small"},
                                "replicas": {"type": "integer", "minimum": 0},
                                "parts": {"type": "array", "x-kubernetes-list-type": "map",
                                    "x-kubernetes-list-map-keys": ["name"],
                                    "items": {"type": "object", "required": ["name"],
                                        "properties": {"name": {"type": "string"},
                                            "value": {"type": "string"}}}},
                            },
                        },
                        "status": {"type": "object", "properties": {
                            "replicas": {"type": "integer"},
                            "phase": {"type": "string"}}},
                    },
                }},
            }],
        },
    })
}

pub(crate) fn widgets(client: &Client, namespace: &str) -> Api<DynamicObject> {
    let kind = ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk("example.com", "v1", "Widget"),
        "widgets",
    );
    Api::namespaced_with(client.clone(), namespace, &kind)
}

pub(crate) fn widget(name: &str, spec: &Value) -> DynamicObject {
    serde_json::from_value(json!({
        "apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}, "spec": spec,
    }))
    .unwrap()
}

/// The next `count` events after `version`, as `TYPE name`.
pub(crate) async fn events<K>(api: &Api<K>, version: &str, count: usize) -> Vec<String>
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned + kube::Resource,
{
    let stream = api
        .watch(&WatchParams::default().timeout(20), version)
        .await
        .unwrap();
    let told = stream.map(|event| match event.unwrap() {
        WatchEvent::Added(object) => format!("ADDED {}", object.name_any()),
        WatchEvent::Modified(object) => format!("MODIFIED {}", object.name_any()),
        WatchEvent::Deleted(object) => format!("DELETED {}", object.name_any()),
        WatchEvent::Bookmark(_) => "BOOKMARK".to_owned(),
        WatchEvent::Error(status) => format!("ERROR {}", status.code),
    });
    told.take(count).collect().await
}

/// Waits until nothing of this name is there, following the watch.
pub(crate) async fn gone<K>(api: &Api<K>, name: &str)
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned + kube::Resource,
{
    let wait = async {
        let params = WatchParams::default()
            .fields(&format!("metadata.name={name}"))
            .timeout(20);
        let mut stream = api.watch(&params, "0").await.unwrap().boxed();
        while api.get_opt(name).await.unwrap().is_some() {
            stream.next().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait)
        .await
        .unwrap();
}

/// The code and reason of a refusal.
pub(crate) fn refused<T: std::fmt::Debug>(result: Result<T, kube::Error>) -> (u16, String, String) {
    let error = result.unwrap_err();
    let kube::Error::Api(status) = error else {
        panic!("{error:?}")
    };
    (status.code, status.reason, status.message)
}
