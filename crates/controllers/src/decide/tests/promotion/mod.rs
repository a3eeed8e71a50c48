//! Promotions: what holds them back, what they do, and how they end.

mod automatic;
mod explored;
mod gate;
mod resources;
mod rollout;
mod stage;
mod track;

use super::*;
use crate::decide::decide as decide_at;
use stage::{Reach, Stage};

/// A component that runs web-1 in production and web-2 in staging; the path between has the brakes
/// of `$BRAKES`.
const WORLD: &str = r"
apiVersion: openchoreo.dev/v1alpha1
kind: DataPlane
metadata: { name: default }
spec: { clusterAgent: { clientCA: { value: PEM } } }
---
apiVersion: openchoreo.dev/v1alpha1
kind: Environment
metadata: { name: staging }
---
apiVersion: openchoreo.dev/v1alpha1
kind: Environment
metadata: { name: production }
---
apiVersion: openchoreo.dev/v1alpha1
kind: DeploymentPipeline
metadata: { name: default }
spec:
  promotionPaths:
  - sourceEnvironmentRef: { name: staging }
    targetEnvironmentRefs: [{ name: production }]
    $BRAKES
---
apiVersion: openchoreo.dev/v1alpha1
kind: Project
metadata: { name: shop }
spec:
  deploymentPipelineRef: { name: default }
  type: { name: default }
";

const COMPONENT_WORLD: &str = r"
---
apiVersion: openchoreo.dev/v1alpha1
kind: Component
metadata: { name: $NAME }
spec:
  owner: { projectName: shop }
  componentType: { name: deployment/small }
---
apiVersion: openchoreo.dev/v1alpha1
kind: ReleaseBinding
metadata: { name: $NAME-staging, finalizers: [openchoreo.dev/releasebinding-cleanup] }
spec:
  owner: { projectName: shop, componentName: $NAME }
  environment: staging
  releaseName: $NAME-2
status:
  release: $NAME-2
  releaseUid: ComponentRelease-$NAME-2
  provenReleases: { $NAME-1: ComponentRelease-$NAME-1, $NAME-2: ComponentRelease-$NAME-2 }
---
apiVersion: openchoreo.dev/v1alpha1
kind: ReleaseBinding
metadata: { name: $NAME-production, finalizers: [openchoreo.dev/releasebinding-cleanup] }
spec:
  owner: { projectName: shop, componentName: $NAME }
  environment: production
  releaseName: $NAME-1
status:
  release: $NAME-1
  releaseUid: ComponentRelease-$NAME-1
  provenReleases: { $NAME-1: ComponentRelease-$NAME-1 }
";

const RELEASE_WORLD: &str = r"
---
apiVersion: openchoreo.dev/v1alpha1
kind: ComponentRelease
metadata: { name: $NAME-$NUMBER }
spec:
  owner: { projectName: shop, componentName: $NAME }
  componentType:
    name: deployment/small
    spec:
      workloadType: deployment
      environmentConfigs:
        openAPIV3Schema: { type: object, properties: { level: { type: string, default: low } } }
      resources:
      - id: deployment
        template:
          apiVersion: apps/v1
          kind: Deployment
          metadata: { name: web, namespace: '${metadata.namespace}' }
          spec:
            template:
              metadata: { annotations: { level: '${environmentConfigs.level}' } }
              spec: { containers: [{ name: main, image: '${workload.container.image}' }] }
  workload:
    container: { image: '$NAME:$NUMBER' }
    dependencies: { endpoints: [$CALLS] }
";

/// A component of the world, which calls others.
fn component(name: &str, calls: &str) -> String {
    let mut yaml = COMPONENT_WORLD.replace("$NAME", name);
    for number in ["1", "2"] {
        let release = RELEASE_WORLD.replace("$NAME", name);
        let release = release.replace("$NUMBER", number);
        yaml.push_str(&release.replace("$CALLS", calls));
    }
    yaml
}

const NOON: &str = "2026-11-23T12:00:00Z";

/// The world with one component, at noon of a Monday, where web-1 runs in production.
fn shop_with(brakes: &str) -> Stage {
    let world = WORLD.replace("$BRAKES", brakes);
    let mut stage = Stage::new(&format!("{world}{}", component("web", "")), NOON);
    stage.step("ReleaseBinding", "web-production");
    let said = stage.says("ReleaseBinding", "web-production", "ReleaseSynced");
    assert!(said.starts_with("ReleaseSynced True"), "{said}");
    stage.run("web-production", "Healthy");
    stage.step("ReleaseBinding", "web-production");
    assert_eq!(stage.image("web-production"), Some("web:1"));
    stage
}

const PROMOTION_WEB: &str = r"
apiVersion: openchoreo.dev/v1alpha1
kind: Promotion
metadata: { name: web, finalizers: [openchoreo.dev/promotion-cleanup] }
spec:
  owner: { projectName: shop, componentName: web }
  sourceEnvironment: staging
  targetEnvironment: production
  releases: { web: web-2 }
  requestedBy: ann
";

impl Stage {
    /// Adds what somebody decided about the plan `digest`.
    fn decided(&mut self, by: &str, digest: &Value, decision: &str) {
        let spec = &mut self.edit("Promotion", "web")["spec"];
        if spec["approvals"].is_null() {
            spec["approvals"] = json!([]);
        }
        let one = json!({ "by": by, "planDigest": digest, "decision": decision });
        spec["approvals"].as_array_mut().unwrap().push(one);
    }

    fn approve(&mut self, by: &str) {
        let digest = self.get("Promotion", "web")["status"]["planDigest"].clone();
        self.decided(by, &digest, "approve");
    }

    /// Condition, status, reason and message.
    fn says(&self, kind: &str, name: &str, type_: &str) -> String {
        let all = self.get(kind, name)["status"]["conditions"].as_array();
        let found = all.into_iter().flatten().find(|one| one["type"] == type_);
        found.map_or_else(String::new, condition)
    }

    /// Lets promotion, binding and node go on until none of them changes anything.
    fn settle(&mut self) {
        for _ in 0..30 {
            let before = self.objects.clone();
            self.step("Promotion", "web");
            self.step("ReleaseBinding", "web-production");
            self.run("web-production", "Healthy");
            self.step("ReleaseBinding", "web-production");
            if self.objects == before {
                return;
            }
        }
        panic!("the world does not come to rest");
    }
}
