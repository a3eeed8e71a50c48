use std::{fs, path::PathBuf};

use super::*;
use crate::testing::Api;

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
  container: {image: 'web:1'}
  endpoints:
    http: {type: HTTP, port: 8080}
";

fn arguments(files: Vec<PathBuf>, base: Option<PathBuf>) -> cli::Plan {
    cli::Plan {
        filenames: files,
        offline: base.is_none(),
        base,
        namespace: cli::Namespace {
            namespace: "default".to_owned(),
        },
        output: Format::Text,
    }
}

#[test]
fn folders_are_compared_without_a_platform() {
    let folder = tempfile::tempdir().unwrap();
    let (base, file) = (folder.path().join("base"), folder.path().join("web.yaml"));
    fs::create_dir(&base).unwrap();
    fs::write(base.join("shop.yaml"), SHOP).unwrap();
    fs::write(&file, SHOP).unwrap();
    let same = offline(&arguments(vec![file.clone()], Some(base.clone()))).unwrap();
    assert_eq!(exit(&same), Exit::Ok, "{same:?}");
    fs::write(&file, SHOP.replace("web:1", "web:2")).unwrap();
    let args = arguments(vec![file.clone()], Some(base));
    let changed = offline(&args).unwrap();
    assert_eq!(exit(&changed), Exit::Changes);
    let told = text::plan(&changed);
    let wanted = "\"web:1\" -> \"web:2\"  (Workload/web spec.container.image)";
    assert!(
        told.starts_with("rolls pods: web in development\n"),
        "{told}"
    );
    assert!(told.contains(wanted), "{told}");
    assert!(
        told.contains("1 of 6 bindings change; at most: rolls pods"),
        "{told}"
    );
    assert_eq!(changed.digest(), offline(&args).unwrap().digest());
    fs::write(
        &file,
        SHOP.replace("name: deployment/service", "name: deployment/nope"),
    )
    .unwrap();
    assert_eq!(exit(&offline(&args).unwrap()), Exit::Invalid);
    let new = offline(&arguments(vec![file], None)).unwrap();
    assert_eq!(new.moves.len(), 3, "{new:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_platform_says_what_it_would_make_of_files() {
    let api = Api::with_controllers().await;
    api.apply(SHOP).await.unwrap();
    api.until("renderedrelease", "web-development", |_| Some(()))
        .await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("web.yaml");
    fs::write(&file, SHOP).unwrap();
    let args = arguments(vec![file.clone()], None);
    let same = online(&api.client, &args).await.unwrap();
    assert_eq!(exit(&same), Exit::Ok, "{same:?}");
    fs::write(&file, SHOP.replace("web:1", "web:2")).unwrap();
    let changed = online(&api.client, &args).await.unwrap();
    assert_eq!(
        (changed.changed, changed.releases.len()),
        (1, 1),
        "{changed:?}"
    );
    let again = online(&api.client, &args).await.unwrap();
    assert_eq!(changed.digest(), again.digest());
    api.stop().await;
}
