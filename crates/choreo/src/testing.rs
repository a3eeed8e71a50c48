//! The embedded API for tests, in the process, with the platform's defaults.

use std::{path::PathBuf, sync::Arc, time::Duration};

use choreo_apiserver::{NoPods, Server};
use choreo_controllers::{Calls, Controllers, Planes};
use kube::{Client, runtime::wait::await_condition};
use serde_json::Value;

use crate::{
    commands::{self, Change},
    failure::Result,
    folder::Folder,
    kinds,
    manifest::{self, Document},
    platform,
};

/// A project with one component that deploys itself.
pub(crate) const SHOP: &str = "
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

/// A track of that component.
pub(crate) const TRACK: &str = "
---
apiVersion: openchoreo.dev/v1alpha1
kind: DeploymentTrack
metadata: {name: web--v2}
spec:
  owner: {projectName: shop, componentName: web}
  apiVersion: v2
---
apiVersion: openchoreo.dev/v1alpha1
kind: Workload
metadata: {name: web--v2}
spec:
  owner: {projectName: shop, componentName: web, trackName: v2}
  container: {image: 'web:next'}
  endpoints:
    http: {type: HTTP, port: 8080}
";

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running API.
pub(crate) struct Api {
    pub(crate) client: Client,
    server: Server,
    controllers: Option<Controllers>,
    folder: tempfile::TempDir,
}

impl Api {
    /// An API of which nobody takes notice.
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = Folder::resolve(Some(&folder.path().join("data"))).unwrap();
        let server = platform::open(&place, Arc::new(NoPods)).await.unwrap();
        let client = server.client();
        for default in choreo_model::defaults() {
            for object in serde_saphyr::from_multiple::<Value>(default.yaml).unwrap() {
                platform::apply_default(&client, object).await.unwrap();
            }
        }
        Self {
            client,
            server,
            controllers: None,
            folder,
        }
    }

    /// An API with the platform's controllers.
    pub(crate) async fn with_controllers() -> Self {
        let mut api = Self::start().await;
        let cluster = api.server.cluster_as(platform::CONTROLLERS);
        api.controllers = Some(Controllers::start(cluster.clone(), Planes::all(cluster)));
        api
    }

    /// An API with the platform's controllers, who make requests to the world outside.
    pub(crate) async fn with_calls(calls: Arc<dyn Calls>) -> Self {
        let mut api = Self::start().await;
        let cluster = api.server.cluster_as(platform::CONTROLLERS);
        let planes = Planes::all(cluster.clone());
        api.controllers = Some(Controllers::start_with(cluster, planes, calls));
        api
    }

    /// Ends it.
    pub(crate) async fn stop(self) {
        if let Some(controllers) = self.controllers {
            controllers.stop().await;
        }
        self.server.close().await;
    }

    /// What `choreo apply` does with a file.
    pub(crate) async fn apply(&self, yaml: &str) -> Result<Vec<Change>> {
        self.file(yaml, false).await
    }

    /// What `choreo apply --dry-run` does with a file.
    pub(crate) async fn rehearse(&self, yaml: &str) -> Result<Vec<Change>> {
        self.file(yaml, true).await
    }

    /// The documents of a file.
    pub(crate) fn documents(&self, yaml: &str) -> Vec<Document> {
        manifest::read(&[self.written(yaml)]).unwrap()
    }

    fn written(&self, yaml: &str) -> PathBuf {
        let file = self.folder.path().join("file.yaml");
        std::fs::write(&file, yaml).unwrap();
        file
    }

    async fn file(&self, yaml: &str, dry_run: bool) -> Result<Vec<Change>> {
        let documents = manifest::read(&[self.written(yaml)])?;
        commands::apply_all(&self.client, &documents, "default", dry_run).await
    }

    /// What the API has against a new object, which nobody looked at before.
    pub(crate) async fn refusal(&self, object: &Value) -> Option<String> {
        let resource = kinds::platform(object["kind"].as_str().unwrap()).unwrap();
        let path = resource.path(Some("default"));
        let request = http::Request::post(format!("{path}?dryRun=All&fieldValidation=Strict"))
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(object.to_string().into_bytes())
            .unwrap();
        let answer = self.client.request::<Value>(request).await;
        answer.err().map(|error| error.to_string())
    }

    /// Waits until an object tells something.
    pub(crate) async fn until<T>(
        &self,
        kind: &str,
        name: &str,
        tells: impl Fn(&Value) -> Option<T> + Send,
    ) -> T {
        let resource = kinds::platform(kind).unwrap();
        let api = commands::api(&self.client, &resource, "default");
        let told = |object: &_| tells(&serde_json::to_value(object).unwrap());
        let condition = |object: Option<&_>| object.and_then(told).is_some();
        let waiting = await_condition(api, name, condition);
        let object = tokio::time::timeout(PATIENCE, waiting)
            .await
            .unwrap()
            .unwrap();
        object.as_ref().and_then(told).unwrap()
    }
}
