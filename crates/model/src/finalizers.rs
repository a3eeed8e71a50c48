//! Finalizers: what keeps an object until everything that depends on it is gone.

/// Of components.
pub const COMPONENT: &str = "openchoreo.dev/component-cleanup";
/// Of APIs.
pub const API: &str = "openchoreo.dev/api-cleanup";
/// Of deployment tracks.
pub const DEPLOYMENT_TRACK: &str = "openchoreo.dev/deploymenttrack-cleanup";
/// Of projects.
pub const PROJECT: &str = "openchoreo.dev/project-cleanup";
/// Of release bindings.
pub const RELEASE_BINDING: &str = "openchoreo.dev/releasebinding-cleanup";
/// Of project release bindings.
pub const PROJECT_RELEASE_BINDING: &str = "openchoreo.dev/projectreleasebinding-cleanup";
/// Of rendered releases, and of data planes of one namespace.
pub const DATA_PLANE: &str = "openchoreo.dev/dataplane-cleanup";
/// Of rendered releases for the observability plane.
pub const OBSERVABILITY_PLANE: &str = "openchoreo.dev/obsplane-cleanup";
/// Of data planes of every namespace.
pub const CLUSTER_DATA_PLANE: &str = "openchoreo.dev/clusterdataplane-cleanup";
/// Of environments.
pub const ENVIRONMENT: &str = "openchoreo.dev/environment-cleanup";
/// Of preview environments.
pub const PREVIEW_ENVIRONMENT: &str = "openchoreo.dev/previewenvironment-cleanup";
/// Of organisations.
pub const ORGANIZATION: &str = "openchoreo.dev/organization-cleanup";
/// Of deployment pipelines.
pub const DEPLOYMENT_PIPELINE: &str = "openchoreo.dev/deployment-pipeline-cleanup";
/// Of promotions.
pub const PROMOTION: &str = "openchoreo.dev/promotion-cleanup";
/// Of managed resources.
pub const RESOURCE: &str = "openchoreo.dev/resource-cleanup";
/// Of resource release bindings.
pub const RESOURCE_RELEASE_BINDING: &str = "openchoreo.dev/resourcereleasebinding-cleanup";
/// Of workflow runs.
pub const WORKFLOW_RUN: &str = "openchoreo.dev/workflowrun-cleanup";
/// Of workflow planes of one namespace.
pub const WORKFLOW_PLANE: &str = "openchoreo.dev/workflowplane-cleanup";
/// Of workflow planes of every namespace.
pub const CLUSTER_WORKFLOW_PLANE: &str = "openchoreo.dev/clusterworkflowplane-cleanup";
/// Of observability planes of one namespace.
pub const OBSERVABILITY_PLANE_OBJECT: &str = "openchoreo.dev/observabilityplane-cleanup";
/// Of observability planes of every namespace.
pub const CLUSTER_OBSERVABILITY_PLANE: &str = "openchoreo.dev/clusterobservabilityplane-cleanup";
/// Of alert rules.
pub const ALERT_RULE: &str = "openchoreo.dev/alertrule-cleanup";
/// Of notification channels.
pub const NOTIFICATION_CHANNEL: &str = "openchoreo.dev/notification-channel-cleanup";
