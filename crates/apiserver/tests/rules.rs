//! Rules in CEL, from the definition to the refusal.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[expect(dead_code, reason = "each test file uses its part")]
mod common;

use common::{open, refused};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client,
    api::{DynamicObject, Patch, PatchParams, PostParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::{Value, json};

fn definition(rule: &Value) -> CustomResourceDefinition {
    serde_json::from_value(json!({
        "metadata": {"name": "boxes.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "boxes", "singular": "box", "kind": "Box"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {
                    "type": "object", "required": ["size"],
                    "x-kubernetes-validations": [rule],
                    "properties": {"size": {"type": "integer"}}}}}}}],
        },
    }))
    .unwrap()
}

fn boxes(client: &Client) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("example.com", "v1", "Box");
    Api::default_namespaced_with(
        client.clone(),
        &ApiResource::from_gvk_with_plural(&kind, "boxes"),
    )
}

fn of(size: i64) -> DynamicObject {
    serde_json::from_value(json!({"apiVersion": "example.com/v1", "kind": "Box",
        "metadata": {"name": "b"}, "spec": {"size": size}}))
    .unwrap()
}

#[tokio::test]
async fn objects_keep_the_rules_of_their_definition() {
    let folder = tempfile::tempdir().unwrap();
    let server = open(folder.path());
    let client = server.client();
    let post = PostParams::default();
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let broken = definition(&json!({"rule": "self.weight > 0"}));
    let (code, _, message) = refused(definitions.create(&post, &broken).await);
    assert_eq!(code, 422);
    assert!(
        message.contains("x-kubernetes-validations[0].rule") && message.contains("weight"),
        "{message}"
    );
    let grows = json!({"rule": "self.size >= oldSelf.size", "messageExpression":
        "'it had ' + string(oldSelf.size)", "fieldPath": ".size"});
    definitions
        .create(&post, &definition(&grows))
        .await
        .unwrap();
    let api = boxes(&client);
    api.create(&post, &of(2)).await.unwrap();
    let larger = Patch::Merge(json!({"spec": {"size": 3}}));
    api.patch("b", &PatchParams::default(), &larger)
        .await
        .unwrap();
    let smaller = Patch::Merge(json!({"spec": {"size": 1}}));
    let (code, reason, message) = refused(api.patch("b", &PatchParams::default(), &smaller).await);
    assert_eq!((code, reason.as_str()), (422, "Invalid"));
    assert_eq!(
        message,
        "Box.example.com \"b\" is invalid: spec.size: Invalid value: \"object\": it had 3"
    );
    server.close().await;
}
