//! Labels and annotations of the platform.

/// Declares constants under the platform's prefix.
macro_rules! keys {
    ($($(#[$doc:meta])* $NAME:ident = $key:literal;)*) => {
        $($(#[$doc])* pub const $NAME: &str = concat!("openchoreo.dev/", $key);)*
    };
}

keys! {
    /// The control-plane namespace.
    NAMESPACE = "namespace";
    /// The project.
    PROJECT = "project";
    /// The component.
    COMPONENT = "component";
    /// The deployment track of the component.
    TRACK = "track";
    /// The managed resource.
    RESOURCE = "resource";
    /// The API.
    API = "api";
    /// The environment.
    ENVIRONMENT = "environment";
    /// The environment that a preview environment was made after.
    PREVIEW_OF = "preview-of";
    /// The preview environment that something was made for.
    PREVIEW = "preview";
    /// The data plane.
    DATA_PLANE = "dataplane";
    /// The workflow plane.
    WORKFLOW_PLANE = "workflow-plane";
    /// The name of the object itself.
    NAME = "name";
    /// Marks a namespace that holds objects of the platform.
    CONTROL_PLANE = "control-plane";
    /// The identifier of the component.
    COMPONENT_UID = "component-uid";
    /// The identifier of the project.
    PROJECT_UID = "project-uid";
    /// The identifier of the environment.
    ENVIRONMENT_UID = "environment-uid";
    /// The identifier of the managed resource.
    RESOURCE_UID = "resource-uid";
    /// Who keeps the object.
    MANAGED_BY = "managed-by";
    /// Who made the object.
    CREATED_BY = "created-by";
    /// The rendered release a live object belongs to.
    RENDERED_RELEASE_NAME = "rendered-release-name";
    /// The namespace of that rendered release.
    RENDERED_RELEASE_NAMESPACE = "rendered-release-namespace";
    /// The identifier of that rendered release.
    RENDERED_RELEASE_UID = "rendered-release-uid";
    /// The id of a live object within its rendered release.
    RENDERED_RELEASE_RESOURCE_ID = "rendered-release-resource-id";
    /// The identifier of the promotion that a live object checks.
    PROMOTION_UID = "promotion-uid";
    /// The endpoint a route is for.
    ENDPOINT_NAME = "endpoint-name";
    /// `external` or `internal`: the gateway a route is on.
    ENDPOINT_VISIBILITY = "endpoint-visibility";
    /// Marks pods of the platform itself, such as gateways.
    SYSTEM_COMPONENT = "system-component";
    /// Annotation: the path under which a route serves an endpoint.
    ENDPOINT_BASE_PATH = "endpoint-base-path";
    /// Annotation: a name for people.
    DISPLAY_NAME = "display-name";
    /// Annotation: a description for people.
    DESCRIPTION = "description";
    /// Annotation: who last changed what is wanted, as the API knows them.
    CHANGED_BY = "changed-by";
    /// Annotation: why, in their words.
    CHANGE_REASON = "change-reason";
    /// Annotation: what they did, as an action of a deployment record; without it, what changed tells.
    CHANGE_ACTION = "change-action";
    /// Annotation of a write by the controllers: in whose name it is made. [`CHANGED_BY`] keeps it.
    ON_BEHALF_OF = "on-behalf-of";
    /// Annotation of a write: what it is, as an action of a deployment record. [`CHANGE_ACTION`] keeps
    /// it.
    ACTION = "action";
    /// Annotation: when a person last asked for a restart.
    RESTARTED_AT = "restartedAt";
    /// Annotation: the hash of everything a pod depends on.
    RESOURCE_HASH = "dp-resource-hash";
    /// `component`: marks workflows that build components.
    WORKFLOW_TYPE = "workflow-type";
    /// The run of a workflow that an object of its plane belongs to.
    WORKFLOW_RUN = "workflowrun";
    /// The namespace of that run.
    WORKFLOW_RUN_NAMESPACE = "workflowrun-namespace";
    /// The notification channel an object of the observability plane belongs to.
    NOTIFICATION_CHANNEL_NAME = "notification-channel-name";
    /// Annotation of a run: the workload it built, as JSON.
    WORKLOAD = "workload";
    /// Annotation of a run: whether that workload is described in the source.
    WORKLOAD_FROM_SOURCE = "workload-from-source";
    /// Annotation of a data plane: `cilium` changes the network policies.
    NETWORK_POLICY_PROVIDER = "networkpolicyprovider";
}

/// How far a `Backend` may lead on the embedded home: `public`, to public addresses whatever its names lead to, or
/// `any`, to those of private networks too.
pub const ADDRESSES: &str = "node.choreo.dev/addresses";
/// Annotation of a write: why it is made. [`CHANGE_REASON`] keeps it.
pub const CHANGE_CAUSE: &str = "kubernetes.io/change-cause";

/// What [`MANAGED_BY`] says on every live object.
pub const RENDERED_RELEASE_CONTROLLER: &str = "renderedrelease-controller";
/// What [`MANAGED_BY`] says on the jobs that check a promotion.
pub const PROMOTION_CONTROLLER: &str = "promotion-controller";
/// What [`MANAGED_BY`] says on every object of a workflow's run.
pub const WORKFLOW_RUN_CONTROLLER: &str = "workflowrun-controller";
