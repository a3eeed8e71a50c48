//! What many stories begin with.

/// A project on a pipeline that ends where it begins.
pub(crate) fn project(name: &str) -> String {
    format!(
        "
apiVersion: openchoreo.dev/v1alpha1
kind: DeploymentPipeline
metadata: {{name: alone, namespace: default}}
spec:
  promotionPaths: [{{sourceEnvironmentRef: {{name: development}}, targetEnvironmentRefs: []}}]
---
apiVersion: openchoreo.dev/v1alpha1
kind: Project
metadata: {{name: {name}, namespace: default}}
spec:
  deploymentPipelineRef: {{name: alone}}
  type: {{kind: ClusterProjectType, name: default}}
"
    )
}
