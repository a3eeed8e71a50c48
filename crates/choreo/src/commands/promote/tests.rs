use choreo_model::promotion::PromotionSpec;
use clap::Parser;
use serde_json::{Value, json};

use super::*;
use crate::{
    cli::{Approve, Command},
    commands::approve,
    testing::{Api, SHOP, TRACK},
};

/// The default pipeline, with a gate at its first step.
const GATED: &str = "
apiVersion: openchoreo.dev/v1alpha1
kind: DeploymentPipeline
metadata: {name: default}
spec:
  promotionPaths:
  - sourceEnvironmentRef: {name: development}
    targetEnvironmentRefs: [{name: staging}]
    approvals: {users: [bob]}
  - sourceEnvironmentRef: {name: staging}
    targetEnvironmentRefs: [{name: production}]
";

/// The command that somebody types.
fn typed(words: &str) -> Command {
    let words = words.split(' ');
    crate::cli::Cli::try_parse_from(words).unwrap().command
}

fn to_staging() -> Promote {
    let Command::Promote(args) =
        typed("choreo promote web --to staging --force --no-wait --reason hotfix")
    else {
        panic!("another command");
    };
    args
}

fn approval() -> Approve {
    let Command::Approve(args) = typed("choreo approve web-staging-1") else {
        panic!("another command");
    };
    args
}

fn told() -> Told {
    Told::new(crate::cli::Format::Json, "promote", "default")
}

/// Promotes the component; returns what was told of it.
async fn promoted(api: &Api) -> Value {
    let mut told = told();
    one(&api.client, &to_staging(), "web", &mut told)
        .await
        .unwrap();
    serde_json::to_value(&told.summary).unwrap()
}

/// The shop in development, and a gate before staging.
async fn shop() -> Api {
    let api = Api::with_controllers().await;
    api.apply(&format!("{SHOP}---{GATED}")).await.unwrap();
    api.until("ReleaseBinding", "web-development", |binding| {
        binding["status"]["release"].as_str().map(drop)
    })
    .await;
    api
}

/// What somebody whom the API knows adds to the promotion.
async fn decides(api: &Api, user: &str, approval: Value) -> kube::Result<Value> {
    let path = "/apis/openchoreo.dev/v1alpha1/namespaces/default/promotions/web-staging-1";
    let change = json!({ "spec": { "approvals": [approval] } });
    let request = http::Request::patch(path)
        .header(http::header::CONTENT_TYPE, "application/merge-patch+json")
        .header("impersonate-user", user)
        .header("impersonate-group", "system:masters")
        .body(change.to_string().into_bytes())
        .unwrap();
    api.client.request(request).await
}

#[tokio::test]
async fn a_gated_path_is_taken_by_a_promotion_that_somebody_else_approves() {
    let api = shop().await;
    let first = promoted(&api).await;
    assert_eq!(first["promotion"], "web-staging-1");
    assert_eq!(first["outcome"], "AwaitingApproval");
    // The same is asked for once.
    assert_eq!(promoted(&api).await, first);
    let all = store::list::<PromotionSpec>(&api.client, "default")
        .await
        .unwrap();
    let [promotion] = all.as_slice() else {
        panic!("{all:?}");
    };
    assert_eq!(promotion.name(), "web-staging-1");
    assert_eq!(promotion.spec.requested_by, "admin");
    let own = approve::add(&api.client, &approval(), &mut told()).await;
    let own = own.unwrap_err();
    assert_eq!(own.exit(), Exit::Invalid);
    let said = own.with_causes();
    assert!(said.contains("nobody approves their own"), "{said}");
    let digest = api
        .until("Promotion", "web-staging-1", |promotion| {
            promotion["status"]["planDigest"]
                .as_str()
                .map(str::to_owned)
        })
        .await;
    let stranger = decides(&api, "eve", json!({ "planDigest": digest })).await;
    let said = stranger.unwrap_err().to_string();
    assert!(said.contains("eve may not decide here"), "{said}");
    let forged = json!({ "planDigest": digest, "by": "bob" });
    let said = decides(&api, "eve", forged).await.unwrap_err().to_string();
    assert!(said.contains("is somebody else"), "{said}");
    let approved = decides(&api, "bob", json!({ "planDigest": digest }))
        .await
        .unwrap();
    assert_eq!(approved["spec"]["approvals"][0]["by"], "bob");
    let release = promotion.spec.releases["web"].clone();
    api.until("ReleaseBinding", "web-staging", |binding| {
        (binding["status"]["release"] == *release).then_some(())
    })
    .await;
    let binding = store::get::<ReleaseBindingSpec>(&api.client, "default", "web-staging");
    let binding = binding.await.unwrap();
    let noted = |key: &str| binding.annotation(key).map(str::to_owned);
    assert_eq!(
        noted(choreo_model::labels::CHANGED_BY).as_deref(),
        Some("admin")
    );
    let why = noted(choreo_model::labels::CHANGE_REASON);
    assert_eq!(why.as_deref(), Some("Promotion web-staging-1: hotfix"));
    api.stop().await;
}

/// A managed resource that the component uses.
const DATABASE: &str = "
apiVersion: openchoreo.dev/v1alpha1
kind: ResourceType
metadata: {name: settings}
spec:
  outputs: [{name: name, value: '${metadata.name}'}]
  resources:
  - id: settings
    template:
      apiVersion: v1
      kind: ConfigMap
      metadata: {name: '${metadata.name}', namespace: '${metadata.namespace}'}
---
apiVersion: openchoreo.dev/v1alpha1
kind: Resource
metadata: {name: db}
spec:
  owner: {projectName: shop}
  type: {kind: ResourceType, name: settings}
";

#[tokio::test]
async fn a_component_takes_along_the_resources_it_uses() {
    let api = Api::with_controllers().await;
    let uses = "  dependencies: {resources: [{ref: db, envBindings: {name: DB}}]}\n";
    let all = format!("{SHOP}{uses}---{GATED}---{DATABASE}");
    api.apply(&all).await.unwrap();
    for (kind, name) in [
        ("ReleaseBinding", "web-development"),
        ("ResourceReleaseBinding", "db-development"),
    ] {
        api.until(kind, name, |binding| {
            binding["status"]["release"].as_str().map(drop)
        })
        .await;
    }
    let held = api.until("ResourceReleaseBinding", "db-staging", |binding| {
        let conditions = binding["status"]["conditions"].as_array()?;
        let synced = conditions.iter().find(|one| one["type"] == "Synced")?;
        Some(synced["reason"].clone())
    });
    assert_eq!(held.await, "PromotionRequired");
    let told = promoted(&api).await;
    assert!(told["resources"]["db"].is_string(), "{told}");
    let digest = api.until("Promotion", "web-staging-1", |promotion| {
        let digest = promotion["status"]["planDigest"].as_str();
        digest.map(str::to_owned)
    });
    let digest = digest.await;
    decides(&api, "bob", json!({ "planDigest": digest }))
        .await
        .unwrap();
    api.until("ResourceReleaseBinding", "db-staging", |binding| {
        (binding["status"]["release"] == told["resources"]["db"]).then_some(())
    })
    .await;
    // By itself it is asked for too; it is there already.
    let Command::Promote(alone) =
        typed("choreo promote --resource db --to staging --force --no-wait")
    else {
        panic!("another command");
    };
    let mut told = self::told();
    resources::one(&api.client, &alone, "db", &mut told)
        .await
        .unwrap();
    assert_eq!(told.summary.promotion.as_deref(), Some("db-staging-1"));
    assert_eq!(told.summary.resource.as_deref(), Some("db"));
    api.stop().await;
}

#[tokio::test]
async fn the_gate_holds_whoever_writes_the_binding() {
    let api = shop().await;
    let line = rollout::line(&api.client, "default", ("web", None))
        .await
        .unwrap();
    let bindings = rollout::bindings_of(&api.client, &line).await.unwrap();
    let release = rollout::release_in(&bindings, "development").unwrap();
    let place = ("staging", release);
    let said = Said {
        manager: manager::DEPLOY,
        action: Action::Deploy,
        reason: None,
    };
    rollout::bind(&api.client, &line, &bindings, place, &said)
        .await
        .unwrap();
    let held = api.until("ReleaseBinding", "web-staging", |binding| {
        let conditions = binding["status"]["conditions"].as_array()?;
        let synced = conditions
            .iter()
            .find(|one| one["type"] == "ReleaseSynced")?;
        Some(synced["reason"].clone())
    });
    assert_eq!(held.await, "PromotionRequired");
    api.stop().await;
}

/// The gate is that of the main line; what is asked for is of the track alone.
#[tokio::test]
async fn a_track_is_promoted_by_itself() {
    let api = Api::with_controllers().await;
    api.apply(&format!("{SHOP}{TRACK}---{GATED}"))
        .await
        .unwrap();
    let released = |binding: &Value| {
        let release = binding["status"]["release"].as_str()?;
        Some(release.to_owned())
    };
    api.until("ReleaseBinding", "web-development", released)
        .await;
    let release = api
        .until("ReleaseBinding", "web--v2-development", released)
        .await;
    let Command::Promote(args) =
        typed("choreo promote web --track v2 --to staging --force --no-wait")
    else {
        panic!("another command");
    };
    let mut told = told();
    one(&api.client, &args, "web", &mut told).await.unwrap();
    assert_eq!(told.summary.track.as_deref(), Some("v2"));
    let name = told.summary.promotion.clone().unwrap();
    assert!(name.starts_with("web--v2-staging"), "{name}");
    let promotion = store::get::<PromotionSpec>(&api.client, "default", &name).await;
    let promotion = promotion.unwrap();
    assert_eq!(promotion.spec.owner.track_name.as_deref(), Some("v2"));
    assert_eq!(
        promotion.spec.releases,
        BTreeMap::from([("web".to_owned(), release)])
    );
    let snapshot = tree::collect(&api.client, "default").await.unwrap();
    let shown = tree::find(&snapshot, "web").remove(0);
    let track = shown.children.iter().find(|one| one.kind == "track");
    let track = track.unwrap();
    assert_eq!(track.name, "web--v2");
    assert_eq!(track.children[0].name, "development");
    api.stop().await;
}
