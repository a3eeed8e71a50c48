//! What a deletion takes along, and what holds it back.

use super::*;

#[tokio::test]
async fn finalizers_hold_back_deletion() {
    let fixture = fixture();
    let api: Api<ConfigMap> = Api::default_namespaced(fixture.client.clone());
    let mut object = config("a", &json!({}));
    object.finalizers_mut().push("example.com/hold".into());
    api.create(&PostParams::default(), &object).await.unwrap();
    let marked = api
        .delete("a", &DeleteParams::default())
        .await
        .unwrap()
        .left()
        .unwrap();
    assert!(marked.meta().deletion_timestamp.is_some());
    let more =
        Patch::Merge(json!({"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}}));
    assert_eq!(
        refused(api.patch("a", &PatchParams::default(), &more).await).0,
        422
    );
    let none = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    api.patch("a", &PatchParams::default(), &none)
        .await
        .unwrap();
    assert!(api.get_opt("a").await.unwrap().is_none());
}

async fn owned(api: &Api<ConfigMap>, name: &str, owner: &ConfigMap, block: bool) {
    let mut object = config(name, &json!({}));
    object.owner_references_mut().push(
        serde_json::from_value(json!({"apiVersion": "v1", "kind": "ConfigMap",
            "name": owner.name_any(), "uid": owner.uid().unwrap(), "blockOwnerDeletion": block}))
        .unwrap(),
    );
    api.create(&PostParams::default(), &object).await.unwrap();
}

#[tokio::test]
async fn owned_objects_follow_their_owner() {
    let fixture = fixture();
    let api: Api<ConfigMap> = Api::default_namespaced(fixture.client.clone());
    let owner = made(&api, "owner").await;
    owned(&api, "child", &owner, false).await;
    api.delete("owner", &DeleteParams::default()).await.unwrap();
    gone(&api, "child").await;
}

#[tokio::test]
async fn foreground_deletion_waits_for_dependents() {
    let fixture = fixture();
    let api: Api<ConfigMap> = Api::default_namespaced(fixture.client.clone());
    let owner = made(&api, "owner").await;
    owned(&api, "child", &owner, true).await;
    let version = api.get("child").await.unwrap().resource_version().unwrap();
    api.delete("owner", &DeleteParams::foreground())
        .await
        .unwrap();
    gone(&api, "owner").await;
    let told = events(&api, &version, 3).await;
    let deletions: Vec<_> = told
        .iter()
        .filter(|event| event.starts_with("DELETED"))
        .collect();
    assert_eq!(deletions, ["DELETED child", "DELETED owner"]);
}

#[tokio::test]
async fn orphans_stay() {
    let fixture = fixture();
    let api: Api<ConfigMap> = Api::default_namespaced(fixture.client.clone());
    let owner = made(&api, "owner").await;
    owned(&api, "child", &owner, true).await;
    let orphan = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Orphan),
        ..DeleteParams::default()
    };
    api.delete("owner", &orphan).await.unwrap();
    gone(&api, "owner").await;
    assert!(
        api.get("child")
            .await
            .unwrap()
            .owner_references()
            .is_empty()
    );
}

#[tokio::test]
async fn namespaces_are_emptied() {
    let fixture = fixture();
    let namespaces: Api<Namespace> = Api::all(fixture.client.clone());
    let namespace = serde_json::from_value(json!({"metadata": {"name": "n"}})).unwrap();
    let made = namespaces
        .create(&PostParams::default(), &namespace)
        .await
        .unwrap();
    assert_eq!(made.status.unwrap().phase.unwrap(), "Active");
    let api: Api<ConfigMap> = Api::namespaced(fixture.client.clone(), "n");
    let mut held = config("held", &json!({}));
    held.finalizers_mut().push("example.com/hold".into());
    api.create(&PostParams::default(), &held).await.unwrap();
    let custom = widgets(&fixture.client, "n");
    custom
        .create(&PostParams::default(), &widget("w", &json!({})))
        .await
        .unwrap();
    let going = namespaces
        .delete("n", &DeleteParams::default())
        .await
        .unwrap()
        .left()
        .unwrap();
    assert_eq!(going.status.unwrap().phase.unwrap(), "Terminating");
    gone(&custom, "w").await;
    let (code, _, message) = refused(
        api.create(&PostParams::default(), &config("late", &json!({})))
            .await,
    );
    assert_eq!(code, 403);
    assert!(
        message.contains("because it is being terminated"),
        "{message}"
    );
    let none = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    api.patch("held", &PatchParams::default(), &none)
        .await
        .unwrap();
    gone(&namespaces, "n").await;
}
