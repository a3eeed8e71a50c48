//! What is handed over inside the process becomes what it would become as a request, refusals included.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[expect(dead_code, reason = "each test file uses its part")]
mod common;

use std::path::Path;

use choreo_apiserver::Server;
use choreo_writer::{Cluster, Edition, Place};
use common::open;
use kube::{
    Error,
    api::{Api, ApiResource, DynamicObject},
    core::GroupVersionKind,
};
use serde_json::{Value, json};

/// What is done with an object.
#[derive(Clone, Copy, Debug)]
enum Verb {
    Apply,
    Status,
    Create,
}
use Verb::{Apply, Create, Status};

fn resource(object: &Value) -> ApiResource {
    let text = |key: &str| object[key].as_str().unwrap();
    let (group, version) = text("apiVersion")
        .split_once('/')
        .unwrap_or_else(|| ("", text("apiVersion")));
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, text("kind")))
}

fn place(object: &Value) -> Place {
    Place {
        resource: resource(object),
        namespace: object["metadata"]["namespace"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
    }
}

/// Does it; what came of it in words.
async fn play(cluster: &Cluster, verb: Verb, manager: &'static str, object: &Value) -> String {
    let (writer, place, object) = (&cluster.writer, place(object), object.clone());
    let done = match verb {
        Apply => {
            let edition = writer.apply(place, manager, object).await;
            edition.map(|edition| match edition {
                Edition::Generation(generation) => format!("generation {generation}"),
                // The server writes things of its own in between.
                Edition::Version(_) => "a version".to_owned(),
            })
        }
        Status => writer
            .apply_status(place, manager, object)
            .await
            .map(|()| "told".to_owned()),
        Create => writer
            .create(place, manager, object)
            .await
            .map(|()| "made".to_owned()),
    };
    match done {
        Ok(done) => done,
        Err(Error::Api(status)) => serde_json::to_string(&status).unwrap(),
        Err(error) => panic!("{error}"),
    }
}

/// The object as it is now, but for what no two objects have alike.
async fn now(cluster: &Cluster, object: &Value) -> Value {
    let Place {
        resource,
        namespace,
    } = place(object);
    let api: Api<DynamicObject> = match namespace.as_str() {
        "" => Api::all_with(cluster.client.clone(), &resource),
        namespace => Api::namespaced_with(cluster.client.clone(), namespace, &resource),
    };
    let name = object["metadata"]["name"].as_str().unwrap();
    let Ok(found) = api.get(name).await else {
        return Value::Null;
    };
    let mut found = serde_json::to_value(found).unwrap();
    let metadata = found["metadata"].as_object_mut().unwrap();
    for own in ["uid", "creationTimestamp", "resourceVersion"] {
        metadata.remove(own);
    }
    if let Some(Value::Array(entries)) = metadata.get_mut("managedFields") {
        for entry in &mut *entries {
            entry.as_object_mut().unwrap().remove("time");
        }
        // They are in the order of their times.
        entries.sort_by_key(Value::to_string);
    }
    found
}

fn widget(body: &Value) -> Value {
    let mut widget = json!({
        "apiVersion": "example.com/v1", "kind": "Widget",
        "metadata": {"name": "w", "namespace": "default"},
    });
    let fields = body.as_object().unwrap().clone();
    widget.as_object_mut().unwrap().extend(fields);
    widget
}

fn event(name: &str) -> Value {
    json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event",
        "metadata": {"name": name, "namespace": "default"},
        "type": "Normal", "reason": "Made", "action": "Make", "note": "It was made",
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingController": "test", "reportingInstance": "test",
        "regarding": {"kind": "Widget", "name": "w", "namespace": "default"},
    })
}

type Step = (Verb, &'static str, Value);

fn steps() -> Vec<Step> {
    [on_a_custom_kind(), refused(), elsewhere()].concat()
}

fn on_a_custom_kind() -> Vec<Step> {
    let parts = json!({"parts": [{"name": "a", "value": "1"}], "replicas": 2});
    let small = widget(&json!({"spec": {"size": "small", "parts": [{"name": "a"}]}}));
    let large = widget(&json!({"spec": {"size": "large"}, "status": {"phase": "no"}}));
    let both = json!({"status": {"phase": "two"}, "spec": {"size": "small"}});
    vec![
        (
            Status,
            "one",
            widget(&json!({"status": {"phase": "early"}})),
        ),
        (Apply, "one", small.clone()),
        // The same again, and something else.
        (Apply, "one", small),
        (Apply, "one", large),
        (Apply, "two", widget(&json!({"spec": {"size": "small"}}))),
        (Apply, "two", widget(&json!({ "spec": parts }))),
        (
            Status,
            "one",
            widget(&json!({"status": {"phase": "one", "replicas": 1}})),
        ),
        (Status, "two", widget(&both)),
        (Status, "one", widget(&json!({"status": {"replicas": 1}}))),
    ]
}

fn refused() -> Vec<Step> {
    vec![
        (
            Status,
            "one",
            widget(&json!({"status": {"replicas": "many"}})),
        ),
        (
            Status,
            "one",
            widget(&json!({"status": {"colour": "blue"}})),
        ),
        (Apply, "one", widget(&json!({"spec": {"size": "huge"}}))),
        (Apply, "one", widget(&json!({"spec": {"colour": "blue"}}))),
        (Create, "one", widget(&json!({}))),
    ]
}

fn elsewhere() -> Vec<Step> {
    let map = |namespace: &str| {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "c", "namespace": namespace}, "data": {"a": "1"},
        })
    };
    let of_none = |kind: &str| json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "n"}});
    vec![
        (Apply, "one", map("default")),
        (Apply, "one", map("nowhere")),
        (Status, "one", map("default")),
        (Apply, "one", map("")),
        (Apply, "one", of_none("Namespace")),
        (Apply, "one", of_none("Unknown")),
        (Create, "one", event("e")),
        (Create, "one", event("e")),
    ]
}

async fn played(folder: &Path, cluster: impl Fn(&Server) -> Cluster) -> Vec<(String, Value)> {
    let server = open(folder);
    let cluster = cluster(&server);
    let mut seen = Vec::new();
    for (verb, manager, object) in steps() {
        let said = play(&cluster, verb, manager, &object).await;
        seen.push((said, now(&cluster, &object).await));
    }
    server.close().await;
    seen
}

#[tokio::test]
async fn it_is_as_if_it_were_a_request() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let asked = played(folders[0].path(), |server| server.client_as("test").into()).await;
    let handed = played(folders[1].path(), |server| server.cluster_as("test")).await;
    for (step, (asked, handed)) in steps().iter().zip(asked.iter().zip(&handed)) {
        assert_eq!(asked, handed, "{step:?}");
    }
    let refused = asked
        .iter()
        .filter(|(said, _)| said.contains("\"Failure\""));
    assert_eq!(refused.count(), 11, "{asked:#?}");
}

#[tokio::test]
async fn nobody_hands_over_what_is_too_large() {
    let folder = tempfile::tempdir().unwrap();
    let server = open(folder.path());
    let parts =
        |size: usize| json!({"spec": {"parts": [{"name": "a", "value": "x".repeat(size)}]}});
    for (size, expected) in [
        (5 << 20, "generation 1"),
        (6 << 20, "Request entity too large"),
    ] {
        let cluster = server.cluster_as("test");
        let said = play(&cluster, Apply, "one", &widget(&parts(size))).await;
        assert!(said.contains(expected), "{said}");
    }
    server.close().await;
}

#[tokio::test]
async fn it_is_counted_with_the_requests() {
    let folder = tempfile::tempdir().unwrap();
    let server = open(folder.path());
    let cluster = server.cluster_as("test");
    for _ in 0..2 {
        play(&cluster, Create, "one", &event("e")).await;
    }
    let request = http::Request::get("/metrics").body(Vec::new()).unwrap();
    let text = cluster.client.request_text(request).await.unwrap();
    for code in [201, 409] {
        let line = format!("verb=\"create\",resource=\"events.events.k8s.io\",code=\"{code}\"}} 1");
        assert!(text.contains(&line), "{text}");
    }
    server.close().await;
}

/// Many apply the same object, which is not there, at the same time. What came of it.
async fn raced(cluster: &Cluster, name: &str) -> Vec<Result<Edition, Error>> {
    let object = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "default"}, "data": {"a": "1"},
    });
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (writer, place, object) = (cluster.writer.clone(), place(&object), object.clone());
        tasks.spawn(async move { writer.apply(place, "one", object).await });
    }
    tasks.join_all().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_applies_what_others_create_applies_it_to_that() {
    let folder = tempfile::tempdir().unwrap();
    let server = open(folder.path());
    let (asked, handed) = (server.client_as("test").into(), server.cluster_as("test"));
    for round in 0..20 {
        for done in raced(&asked, &format!("asked-{round}")).await {
            done.unwrap();
        }
        let done = raced(&handed, &format!("handed-{round}")).await;
        assert!(done.iter().any(Result::is_ok));
        for error in done.into_iter().filter_map(Result::err) {
            // What was handed over is used up, so whoever wants it has to hand it over again.
            assert!(error.to_string().contains("already exists"), "{error}");
        }
    }
    server.close().await;
}
