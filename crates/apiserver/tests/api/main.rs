//! The API as kube's client sees it, inside the process.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod accounts;
#[expect(dead_code, reason = "each test file uses its part")]
#[path = "../common/mod.rs"]
mod common;
mod deletion;
mod reading;

use common::{events, gone, open, refused, widget, widget_definition, widgets};
use k8s_openapi::{
    api::core::v1::{ConfigMap, Event, Namespace, Secret},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Resource as _, ResourceExt,
    api::{
        DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, PropagationPolicy,
    },
    discovery,
};
use serde_json::{Value, json};

fn config(name: &str, data: &Value) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name}, "data": data})).unwrap()
}

async fn made(api: &Api<ConfigMap>, name: &str) -> ConfigMap {
    let object = config(name, &json!({}));
    api.create(&PostParams::default(), &object).await.unwrap()
}

/// Makes `a` and `b`, changes `a` and deletes `b`; returns `a` as it was made.
async fn history(api: &Api<ConfigMap>) -> ConfigMap {
    let first = made(api, "a").await;
    made(api, "b").await;
    api.patch(
        "a",
        &PatchParams::default(),
        &Patch::Merge(json!({"data": {"x": "1"}})),
    )
    .await
    .unwrap();
    api.delete("b", &DeleteParams::default()).await.unwrap();
    first
}

struct Fixture {
    server: choreo_apiserver::Server,
    client: kube::Client,
    _folder: tempfile::TempDir,
}

fn fixture() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let server = open(folder.path());
    Fixture {
        client: server.client(),
        server,
        _folder: folder,
    }
}

#[tokio::test]
async fn objects_are_created_changed_and_deleted() {
    let fixture = fixture();
    let api: Api<ConfigMap> = Api::default_namespaced(fixture.client.clone());
    let made = api
        .create(&PostParams::default(), &config("a", &json!({"k": "1"})))
        .await
        .unwrap();
    assert!(made.uid().is_some() && made.creation_timestamp().is_some());
    let (code, reason, message) = refused(
        api.create(&PostParams::default(), &config("a", &json!({})))
            .await,
    );
    assert_eq!((code, reason.as_str()), (409, "AlreadyExists"));
    assert_eq!(message, "configmaps \"a\" already exists");

    let patch = Patch::Merge(json!({"data": {"k": "2"}}));
    let patched = api
        .patch("a", &PatchParams::default(), &patch)
        .await
        .unwrap();
    assert_eq!(patched.data.as_ref().unwrap()["k"], "2");
    let same = api
        .patch("a", &PatchParams::default(), &patch)
        .await
        .unwrap();
    assert_eq!(
        same.resource_version(),
        patched.resource_version(),
        "nothing changed"
    );

    let (code, reason, message) = refused(api.replace("a", &PostParams::default(), &made).await);
    assert_eq!((code, reason.as_str()), (409, "Conflict"));
    assert!(
        message.contains("the object has been modified"),
        "{message}"
    );

    let deleted = api.delete("a", &DeleteParams::default()).await.unwrap();
    assert_eq!(
        deleted.right().unwrap().details.unwrap().uid,
        made.uid().unwrap()
    );
    let (code, _, message) = refused(api.get("a").await);
    assert_eq!(
        (code, message.as_str()),
        (404, "configmaps \"a\" not found")
    );
}

#[tokio::test]
async fn names_can_be_generated() {
    let fixture = fixture();
    let api: Api<ConfigMap> = Api::default_namespaced(fixture.client.clone());
    let wanted: ConfigMap =
        serde_json::from_value(json!({"metadata": {"generateName": "x-"}})).unwrap();
    let made = api.create(&PostParams::default(), &wanted).await.unwrap();
    assert_eq!(made.name_any().len(), "x-".len() + 5);
}

#[tokio::test]
async fn dry_runs_change_nothing() {
    let fixture = fixture();
    let api: Api<ConfigMap> = Api::default_namespaced(fixture.client.clone());
    let dry = PostParams {
        dry_run: true,
        field_manager: None,
    };
    api.create(&dry, &config("a", &json!({}))).await.unwrap();
    assert!(api.get_opt("a").await.unwrap().is_none());
}

#[tokio::test]
async fn namespaces_must_exist() {
    let fixture = fixture();
    let api: Api<ConfigMap> = Api::namespaced(fixture.client.clone(), "nowhere");
    let (code, _, message) = refused(
        api.create(&PostParams::default(), &config("a", &json!({})))
            .await,
    );
    assert_eq!(
        (code, message.as_str()),
        (404, "namespaces \"nowhere\" not found")
    );
}

#[tokio::test]
async fn apply_owns_fields() {
    let fixture = fixture();
    let api = widgets(&fixture.client, "default");
    let first = Patch::Apply(json!({"apiVersion": "example.com/v1", "kind": "Widget",
        "spec": {"size": "large", "replicas": 1, "parts": [{"name": "a"}, {"name": "b"}]}}));
    let made = api
        .patch("w", &PatchParams::apply("one"), &first)
        .await
        .unwrap();
    let again = api
        .patch("w", &PatchParams::apply("one"), &first)
        .await
        .unwrap();
    assert_eq!(made.resource_version(), again.resource_version());
    let other = Patch::Apply(json!({"apiVersion": "example.com/v1", "kind": "Widget",
        "spec": {"replicas": 2, "parts": [{"name": "c"}]}}));
    let (code, reason, message) = refused(api.patch("w", &PatchParams::apply("two"), &other).await);
    assert_eq!((code, reason.as_str()), (409, "Conflict"));
    assert_eq!(
        message,
        "Apply failed with 1 conflict: conflict with \"one\": .spec.replicas"
    );
    let forced = api
        .patch("w", &PatchParams::apply("two").force(), &other)
        .await
        .unwrap();
    assert_eq!(forced.data["spec"]["replicas"], 2);
    let less = Patch::Apply(json!({"apiVersion": "example.com/v1", "kind": "Widget",
        "spec": {"parts": [{"name": "b"}]}}));
    let left = api
        .patch("w", &PatchParams::apply("one"), &less)
        .await
        .unwrap();
    assert_eq!(
        left.data["spec"]["parts"],
        json!([{"name": "b"}, {"name": "c"}])
    );
    assert_eq!(
        left.data["spec"]["size"], "small",
        "no longer applied, so the default again"
    );
    assert_eq!(left.data["spec"]["replicas"], 2);
}

#[tokio::test]
async fn status_is_apart() {
    let fixture = fixture();
    let api = widgets(&fixture.client, "default");
    let mut object = widget("w", &json!({"replicas": 1}));
    object.data["status"] = json!({"phase": "lie"});
    let made = api.create(&PostParams::default(), &object).await.unwrap();
    assert!(made.data.get("status").is_none());
    assert_eq!(made.metadata.generation, Some(1));
    let patch = Patch::Merge(json!({"spec": {"replicas": 9}, "status": {"phase": "Ready"}}));
    let status = api
        .patch_status("w", &PatchParams::default(), &patch)
        .await
        .unwrap();
    assert_eq!(status.data["status"]["phase"], "Ready");
    assert_eq!(status.data["spec"]["replicas"], 1);
    assert_eq!(status.metadata.generation, Some(1));
    let main = api
        .patch("w", &PatchParams::default(), &patch)
        .await
        .unwrap();
    assert_eq!(main.metadata.generation, Some(2));
    let scale = api
        .patch_scale(
            "w",
            &PatchParams::default(),
            &Patch::Merge(json!({"spec": {"replicas": 4}})),
        )
        .await
        .unwrap();
    assert_eq!(scale.spec.unwrap().replicas, Some(4));
    assert_eq!(api.get("w").await.unwrap().data["spec"]["replicas"], 4);
}

#[tokio::test]
async fn schemas_hold() {
    let fixture = fixture();
    let api = widgets(&fixture.client, "default");
    let (code, reason, message) = refused(
        api.create(
            &PostParams::default(),
            &widget("w", &json!({"size": "huge"})),
        )
        .await,
    );
    assert_eq!((code, reason.as_str()), (422, "Invalid"));
    assert!(
        message.starts_with("Widget.example.com \"w\" is invalid: spec.size: Unsupported value"),
        "{message}"
    );
    let pruned = api
        .create(&PostParams::default(), &widget("w", &json!({"other": 1})))
        .await
        .unwrap();
    assert_eq!(pruned.data["spec"], json!({"size": "small"}));
    let body = serde_json::to_vec(&widget("x", &json!({"other": 1}))).unwrap();
    let request = http::Request::post(
        "/apis/example.com/v1/namespaces/default/widgets?fieldValidation=Strict",
    );
    let strict = fixture
        .client
        .request_text(request.body(body).unwrap())
        .await;
    let (code, _, message) = refused(strict);
    assert_eq!(code, 400);
    assert!(
        message.contains("strict decoding error: unknown field \"spec.other\""),
        "{message}"
    );
}

#[tokio::test]
async fn definitions_are_served_at_once_and_cleaned_up() {
    let fixture = fixture();
    let definitions: Api<CustomResourceDefinition> = Api::all(fixture.client.clone());
    let mut text = widget_definition();
    text["metadata"]["name"] = json!("gadgets.example.com");
    text["spec"]["names"] = json!({"plural": "gadgets", "kind": "Gadget"});
    let definition = serde_json::from_value(text).unwrap();
    let made = definitions
        .create(&PostParams::default(), &definition)
        .await
        .unwrap();
    let conditions = made.status.unwrap().conditions.unwrap();
    assert!(
        conditions
            .iter()
            .any(|one| one.type_ == "Established" && one.status == "True")
    );
    let group = discovery::group(&fixture.client, "example.com")
        .await
        .unwrap();
    let (kind, _) = group.recommended_kind("Gadget").unwrap();
    let api: Api<DynamicObject> = Api::default_namespaced_with(fixture.client.clone(), &kind);
    let gadget = DynamicObject::new("g", &kind).data(json!({"spec": {}}));
    api.create(&PostParams::default(), &gadget).await.unwrap();
    definitions
        .delete("gadgets.example.com", &DeleteParams::default())
        .await
        .unwrap();
    gone(&definitions, "gadgets.example.com").await;
    assert_eq!(refused(api.list(&ListParams::default()).await).0, 404);
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let server = open(folder.path());
    let api: Api<ConfigMap> = Api::default_namespaced(server.client());
    let first = history(&api).await;
    let before = api.list(&ListParams::default()).await.unwrap();
    server.close().await;
    drop(api);
    drop(server);
    let server = open(folder.path());
    let api: Api<ConfigMap> = Api::default_namespaced(server.client());
    let after = api.list(&ListParams::default()).await.unwrap();
    assert_eq!(
        serde_json::to_value(&before.items).unwrap(),
        serde_json::to_value(&after.items).unwrap()
    );
    assert_eq!(
        before.metadata.resource_version, after.metadata.resource_version,
        "nothing written by opening"
    );
    let version = first.resource_version().unwrap();
    assert_eq!(
        events(&api, &version, 3).await,
        ["ADDED b", "MODIFIED a", "DELETED b"]
    );
}

#[tokio::test]
async fn events_are_one_store_under_two_groups() {
    let fixture = fixture();
    let grouped: Api<k8s_openapi::api::events::v1::Event> =
        Api::default_namespaced(fixture.client.clone());
    let event = serde_json::from_value(json!({
        "metadata": {"name": "e"}, "eventTime": "2030-01-01T00:00:00.000000Z", "note": "hello",
        "regarding": {"kind": "Pod", "name": "p", "namespace": "default"}, "reason": "R",
        "type": "Normal", "action": "A", "reportingController": "c", "reportingInstance": "i",
    }))
    .unwrap();
    grouped
        .create(&PostParams::default(), &event)
        .await
        .unwrap();
    let core: Api<Event> = Api::default_namespaced(fixture.client.clone());
    let found = core
        .list(&ListParams::default().fields("involvedObject.name=p"))
        .await
        .unwrap();
    assert_eq!(found.items[0].message.as_deref(), Some("hello"));
}

#[tokio::test]
async fn unknown_media_types_are_refused() {
    let fixture = fixture();
    let post = |media: &str| {
        http::Request::post("/api/v1/namespaces/default/secrets")
            .header("content-type", media)
            .body(b"k8s\0".to_vec())
            .unwrap()
    };
    let protobuf = fixture
        .client
        .request_text(post("application/vnd.kubernetes.protobuf"))
        .await;
    assert_eq!(refused(protobuf).0, 415);
    let secrets: Api<Secret> = Api::default_namespaced(fixture.client.clone());
    assert!(
        secrets
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
            .is_empty()
    );
    let request = http::Request::get("/api/v1/secrets").header("accept", "text/html");
    let html = fixture
        .client
        .request_text(request.body(Vec::new()).unwrap())
        .await;
    assert_eq!(refused(html).0, 406);
    fixture.server.close().await;
    let (code, reason, _) = refused(
        secrets
            .create(
                &PostParams::default(),
                &Secret {
                    metadata: kube::core::ObjectMeta {
                        name: Some("x".into()),
                        ..Default::default()
                    },
                    ..Default::default()
                },
            )
            .await,
    );
    assert_eq!((code, reason.as_str()), (503, "ServiceUnavailable"));
}
