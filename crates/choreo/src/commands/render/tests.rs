use std::{fs, path::Path, time::Duration};

use choreo_model::rendered::RenderedReleaseSpec;

use super::*;
use crate::{cli, store, testing::Api};

const SHOP: &str = "
apiVersion: openchoreo.dev/v1alpha1
kind: Project
metadata: {name: shop}
spec:
  deploymentPipelineRef: {name: default}
  type: {kind: ClusterProjectType, name: default}
---
apiVersion: openchoreo.dev/v1alpha1
kind: Component
metadata: {name: web}
spec:
  owner: {projectName: shop}
  autoDeploy: true
  componentType: {kind: ClusterComponentType, name: deployment/service}
---
apiVersion: openchoreo.dev/v1alpha1
kind: Workload
metadata: {name: web}
spec:
  owner: {projectName: shop, componentName: web}
  container: {image: 'web:1', env: [{key: MODE, value: fast}]}
  endpoints:
    http: {type: HTTP, port: 8080, visibility: [external]}
";

fn arguments(folder: &Path, env: Option<&str>) -> Render {
    Render {
        paths: vec![folder.to_owned()],
        env: env.map(str::to_owned),
        namespace: cli::Namespace {
            namespace: "default".to_owned(),
        },
        standalone: false,
        output: None,
    }
}

fn rendered(env: Option<&str>) -> Vec<RenderedBinding> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("shop.yaml"), SHOP).unwrap();
    let args = arguments(folder.path(), env);
    let files = Files::read(&args.paths, "default").unwrap();
    render(&files, &args).unwrap()
}

/// Identifiers are what only a platform can give.
fn without_identifiers(text: &str) -> String {
    let kept = text.lines().filter(|line| !line.contains("-uid: "));
    let kept = kept.filter(|line| !line.contains("dp-resource-hash"));
    kept.collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_rendered_is_what_runs() {
    let api = Api::with_controllers().await;
    api.apply(SHOP).await.unwrap();
    api.until("renderedrelease", "web-development", |_| Some(()))
        .await;
    let running: Vec<Value> = async {
        let found = store::get::<RenderedReleaseSpec>(&api.client, "default", "web-development");
        let resources = found.await.unwrap().spec.resources;
        resources.into_iter().map(|one| one.object).collect()
    }
    .await;
    let fleet = tokio::time::timeout(Duration::from_secs(20), fleet::running(&api.client));
    let ours = fleet.await.unwrap().unwrap().render();
    let ours = ours
        .iter()
        .find(|one| one.release == "web-development")
        .unwrap();
    let bytes = |objects: &[&Value]| {
        let documents = objects.iter().map(|object| yaml(object).unwrap());
        documents.collect::<Vec<_>>().join("---\n")
    };
    let theirs = bytes(&running.iter().collect::<Vec<_>>());
    assert_eq!(bytes(&objects(ours).collect::<Vec<_>>()), theirs);
    let offline = rendered(None);
    let offline = offline
        .iter()
        .find(|one| one.release == "web-development")
        .unwrap();
    assert_eq!(
        without_identifiers(&bytes(&objects(offline).collect::<Vec<_>>())),
        without_identifiers(&theirs)
    );
    api.stop().await;
}

#[test]
fn any_environment_can_be_rendered() {
    let environments = |env| {
        let all = rendered(env);
        let found = all.iter().map(|one| one.environment.clone());
        found.collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(
        environments(Some("production")),
        ["production".to_owned()].into()
    );
    let staged = rendered(Some("staging"));
    assert!(staged.iter().any(|one| one.component.is_some()));
    let deployed = rendered(None);
    let of_components = deployed.iter().filter(|one| one.component.is_some());
    assert_eq!(of_components.count(), 1);
}

#[test]
fn trees_are_for_kustomize_and_leave_others_alone() {
    let folder = tempfile::tempdir().unwrap();
    let all = rendered(Some("staging"));
    let count = tree::write(folder.path(), &all).unwrap();
    let list = fs::read_to_string(folder.path().join("staging/kustomization.yaml")).unwrap();
    let list: Value = serde_saphyr::from_str(&list).unwrap();
    let names = list["resources"].as_array().unwrap();
    assert_eq!(names.len(), count);
    for name in names {
        let path = folder.path().join("staging").join(name.as_str().unwrap());
        let object: Value = serde_saphyr::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        assert!(object["kind"].is_string(), "{name}");
    }
    assert_eq!(tree::write(folder.path(), &all).unwrap(), count);
    let cells: Vec<RenderedBinding> = all
        .iter()
        .filter(|one| one.component.is_none())
        .cloned()
        .collect();
    tree::write(folder.path(), &cells).unwrap();
    assert!(
        !folder
            .path()
            .join("staging/shop/web")
            .read_dir()
            .unwrap()
            .any(|_| true)
    );
    let foreign = folder.path().join("staging/kustomization.yaml");
    fs::write(&foreign, "mine: true\n").unwrap();
    let refused = tree::write(folder.path(), &all).unwrap_err();
    assert_eq!(refused.exit(), Exit::Conflict);
    assert_eq!(fs::read_to_string(foreign).unwrap(), "mine: true\n");
}
