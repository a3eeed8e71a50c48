//! Conditions: what an object reports about itself, in words a person can act on.
//!
//! A status is computed whole each time; [`merged`] keeps the time of those that did not change.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// Declares constants whose value is their own name.
macro_rules! words {
    ($($(#[$doc:meta])* $NAME:ident = $word:literal;)*) => {
        $($(#[$doc])* pub const $NAME: &str = $word;)*
    };
}

/// The types of conditions.
pub mod types {
    words! {
        /// The object was accepted.
        CREATED = "Created";
        /// Everything the object asks for is there.
        READY = "Ready";
        /// The object is being deleted.
        FINALIZING = "Finalizing";
        /// The pipeline can be used.
        AVAILABLE = "Available";
        /// An organisation has no more than it may have.
        WITHIN_QUOTA = "WithinQuota";
        /// The release of a component is rendered.
        RELEASE_SYNCED = "ReleaseSynced";
        /// The release of a project is rendered.
        SYNCED = "Synced";
        /// The addresses of all dependencies are known.
        CONNECTIONS_RESOLVED = "ConnectionsResolved";
        /// All managed resources are ready.
        RESOURCE_DEPENDENCIES_READY = "ResourceDependenciesReady";
        /// The objects are as wanted.
        RESOURCES_READY = "ResourcesReady";
        /// The namespace of the cell is there.
        NAMESPACE_READY = "NamespaceReady";
        /// The objects were sent to their plane.
        RESOURCES_APPLIED = "ResourcesApplied";
        /// What components can use of a managed resource is known.
        OUTPUTS_RESOLVED = "OutputsResolved";
        /// What a promotion would do is known.
        PLANNED = "Planned";
        /// Everybody who must approve has.
        APPROVED = "Approved";
        /// No freeze window is open.
        OUTSIDE_FREEZE = "OutsideFreeze";
        /// Every check succeeded.
        CHECKS_PASSED = "ChecksPassed";
        /// Every release of a promotion is where it was promoted to, and ready.
        DEPLOYED = "Deployed";
        /// The run of a workflow is under way.
        WORKFLOW_RUNNING = "WorkflowRunning";
        /// The run of a workflow ended well.
        WORKFLOW_SUCCEEDED = "WorkflowSucceeded";
        /// The run of a workflow ended badly.
        WORKFLOW_FAILED = "WorkflowFailed";
        /// The run of a workflow ended.
        WORKFLOW_COMPLETED = "WorkflowCompleted";
    }
}

/// The reasons of conditions; each is its own word.
pub mod reasons {
    /// Declares reasons.
    macro_rules! reasons {
        ($($NAME:ident $word:ident),* $(,)?) => {
            $(
                #[doc = concat!("`", stringify!($word), "`")]
                pub const $NAME: &str = stringify!($word);
            )*
        };
    }
    reasons! {
        PROJECT_CREATED ProjectCreated,
        NAMESPACE_TAKEN NamespaceTaken,
        NOT_EMPTY NotEmpty,
        QUOTA_EXCEEDED QuotaExceeded,
        WITHIN_QUOTA WithinQuota,
        PROJECT_FINALIZING ProjectFinalizing,
        PROJECT_TYPE_NOT_FOUND ProjectTypeNotFound,
        RECONCILED Reconciled,
        COMPONENT_RELEASE_READY ComponentReleaseReady,
        COMPONENT_FINALIZING ComponentFinalizing,
        DEPLOYMENT_TRACK_FINALIZING DeploymentTrackFinalizing,
        NAME_TAKEN NameTaken,
        API_FINALIZING APIFinalizing,
        PATH_TAKEN PathTaken,
        ENDPOINTS_PENDING EndpointsPending,
        NOT_DEPLOYED NotDeployed,
        WORKLOAD_NOT_FOUND WorkloadNotFound,
        COMPONENT_TYPE_NOT_FOUND ComponentTypeNotFound,
        TRAIT_NOT_FOUND TraitNotFound,
        PROJECT_NOT_FOUND ProjectNotFound,
        DEPLOYMENT_PIPELINE_NOT_FOUND DeploymentPipelineNotFound,
        INVALID_CONFIGURATION InvalidConfiguration,
        WORKFLOW_NOT_ALLOWED WorkflowNotAllowed,
        WORKFLOW_NOT_FOUND WorkflowNotFound,
        AUTO_DEPLOY_FAILED AutoDeployFailed,
        COMPONENT_RELEASE_NOT_SET ComponentReleaseNotSet,
        COMPONENT_RELEASE_NOT_FOUND ComponentReleaseNotFound,
        COMPONENT_NOT_FOUND ComponentNotFound,
        ENVIRONMENT_NOT_FOUND EnvironmentNotFound,
        DATA_PLANE_NOT_FOUND DataPlaneNotFound,
        INVALID_RELEASE_CONFIGURATION InvalidReleaseConfiguration,
        RENDERING_FAILED RenderingFailed,
        RELEASE_CREATED ReleaseCreated,
        RELEASE_SYNCED ReleaseSynced,
        RELEASE_OWNERSHIP_CONFLICT ReleaseOwnershipConflict,
        RELEASE_UPDATE_FAILED ReleaseUpdateFailed,
        RELEASE_DELETION_FAILED ReleaseDeletionFailed,
        RESOURCES_UNDEPLOYED ResourcesUndeployed,
        RESOURCES_READY ResourcesReady,
        READY_WITH_SUSPENDED_RESOURCES ReadyWithSuspendedResources,
        RESOURCES_NOT_READY ResourcesNotReady,
        RESOURCES_PROGRESSING ResourcesProgressing,
        RESOURCES_DEGRADED ResourcesDegraded,
        RESOURCES_UNKNOWN ResourcesUnknown,
        RESOURCE_APPLY_FAILED ResourceApplyFailed,
        CRON_JOB_SCHEDULED CronJobScheduled,
        CRON_JOB_SUSPENDED CronJobSuspended,
        JOB_COMPLETED JobCompleted,
        JOB_RUNNING JobRunning,
        JOB_FAILED JobFailed,
        READY Ready,
        ALL_CONNECTIONS_RESOLVED AllConnectionsResolved,
        CONNECTIONS_PENDING ConnectionsPending,
        NO_CONNECTIONS NoConnections,
        EXTERNAL_CONNECTIONS_NOT_APPROVED ExternalConnectionsNotApproved,
        ALL_RESOURCE_DEPENDENCIES_READY AllResourceDependenciesReady,
        RESOURCE_DEPENDENCIES_PENDING ResourceDependenciesPending,
        NO_RESOURCE_DEPENDENCIES NoResourceDependencies,
        PROJECT_RELEASE_NOT_SET ProjectReleaseNotSet,
        PROJECT_RELEASE_NOT_FOUND ProjectReleaseNotFound,
        NAMESPACE_MISSING NamespaceMissing,
        NAMESPACE_READY NamespaceReady,
        NAMESPACE_PROGRESSING NamespaceProgressing,
        NAMESPACE_DEGRADED NamespaceDegraded,
        SYNCED_NOT_READY SyncedNotReady,
        APPLY_SUCCEEDED ApplySucceeded,
        APPLY_PENDING ApplyPending,
        APPLY_FAILED ApplyFailed,
        CLEANUP_IN_PROGRESS CleanupInProgress,
        CLEANUP_FAILED CleanupFailed,
        ENVIRONMENT_READY EnvironmentReady,
        ENVIRONMENT_FINALIZING EnvironmentFinalizing,
        DELETION_BLOCKED DeletionBlocked,
        RELEASE_BINDINGS_PENDING ReleaseBindingsPending,
        DEPLOYMENT_PIPELINE_AVAILABLE DeploymentPipelineAvailable,
        PREVIEW_READY PreviewReady,
        PREVIEW_PREPARING PreviewPreparing,
        PREVIEW_FAILED PreviewFailed,
        PREVIEW_EXPIRED PreviewExpired,
        PREVIEW_REMOVING PreviewRemoving,
        PREVIEW_REMOVED PreviewRemoved,
        ENVIRONMENT_TAKEN EnvironmentTaken,
        DATA_PLANE_CREATED DataPlaneCreated,
        DATA_PLANE_FINALIZING DataplaneFinalizing,
        FINALIZING Finalizing,
        RESOURCE_TYPE_NOT_FOUND ResourceTypeNotFound,
        RESOURCE_FINALIZING ResourceFinalizing,
        RESOURCE_NOT_FOUND ResourceNotFound,
        RESOURCE_RELEASE_NOT_SET ResourceReleaseNotSet,
        RESOURCE_RELEASE_NOT_FOUND ResourceReleaseNotFound,
        OUTPUTS_RESOLVED OutputsResolved,
        OUTPUT_RESOLUTION_FAILED OutputResolutionFailed,
        RETAIN_HOLD RetainHold,
        WORKFLOW_PENDING WorkflowPending,
        WORKFLOW_RUNNING WorkflowRunning,
        WORKFLOW_SUCCEEDED WorkflowSucceeded,
        WORKFLOW_FAILED WorkflowFailed,
        WORKFLOW_RESOLUTION_FAILED WorkflowResolutionFailed,
        WORKFLOW_PLANE_NOT_FOUND WorkflowPlaneNotFound,
        WORKFLOW_PLANE_RESOLUTION_FAILED WorkflowPlaneResolutionFailed,
        COMPONENT_VALIDATION_FAILED ComponentValidationFailed,
        WORKFLOW_PLANE_CREATED WorkflowPlaneCreated,
        OBSERVABILITY_PLANE_CREATED ObservabilityPlaneCreated,
        SYNC_SUCCEEDED SyncSucceeded,
        SYNC_NOT_SYNCED SyncNotSynced,
        SYNC_FAILED SyncFailed,
        PROMOTION_REQUIRED PromotionRequired,
        PROMOTION_PATH_NOT_FOUND PromotionPathNotFound,
        PROMOTION_NOT_ALLOWED PromotionNotAllowed,
        PROMOTION_IN_PROGRESS PromotionInProgress,
        PROMOTION_FINALIZING PromotionFinalizing,
        NOT_IN_SOURCE NotInSource,
        PLAN_MADE PlanMade,
        NO_APPROVAL_NEEDED NoApprovalNeeded,
        AWAITING_APPROVAL AwaitingApproval,
        APPROVED Approved,
        REJECTED Rejected,
        BREAK_GLASS BreakGlass,
        NO_FREEZE NoFreeze,
        FROZEN Frozen,
        NO_CHECKS NoChecks,
        CHECKS_WAITING ChecksWaiting,
        CHECKS_RUNNING ChecksRunning,
        CHECKS_PASSED ChecksPassed,
        CHECK_FAILED CheckFailed,
        WAITING_TO_DEPLOY WaitingToDeploy,
        DEPLOYING Deploying,
        DEPLOYED Deployed,
        DEPLOYMENT_FAILED DeploymentFailed,
        ROLLING_BACK RollingBack,
        ROLLED_BACK RolledBack,
        SUPERSEDED Superseded,
    }
}

/// A condition that says `True`.
pub fn yes(type_: &str, reason: &str, message: impl Into<String>) -> Condition {
    condition(type_, "True", reason, message.into())
}

/// A condition that says `False`.
pub fn no(type_: &str, reason: &str, message: impl Into<String>) -> Condition {
    condition(type_, "False", reason, message.into())
}

/// A condition that says `Unknown`.
pub fn unknown(type_: &str, reason: &str, message: impl Into<String>) -> Condition {
    condition(type_, "Unknown", reason, message.into())
}

fn condition(type_: &str, status: &str, reason: &str, message: String) -> Condition {
    Condition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message,
        observed_generation: None,
        // `merged` writes the real time; nothing is stored without it.
        last_transition_time: Time(jiff::Timestamp::UNIX_EPOCH),
    }
}

/// The condition of a type.
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// Whether the condition of a type says `True`.
pub fn is_true(conditions: &[Condition], type_: &str) -> bool {
    find(conditions, type_).is_some_and(|condition| condition.status == "True")
}

/// The conditions `new`, about `generation`. One whose status is that of `old` keeps its time.
pub fn merged(
    old: &[Condition],
    new: Vec<Condition>,
    generation: i64,
    now: &Time,
) -> Vec<Condition> {
    new.into_iter()
        .map(|mut condition| {
            condition.observed_generation = Some(generation);
            condition.last_transition_time = find(old, &condition.type_)
                .filter(|old| old.status == condition.status)
                .map_or_else(|| now.clone(), |old| old.last_transition_time.clone());
            condition
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Time {
        Time(jiff::Timestamp::from_second(second).unwrap())
    }

    #[test]
    fn a_time_is_kept_until_the_status_changes() {
        let first = merged(&[], vec![no("Ready", "Waiting", "for a")], 1, &at(10));
        assert_eq!(first[0].last_transition_time, at(10));
        let second = merged(&first, vec![no("Ready", "Waiting", "for b")], 2, &at(20));
        assert_eq!(second[0].last_transition_time, at(10));
        assert_eq!(second[0].observed_generation, Some(2));
        let third = merged(&second, vec![yes("Ready", "Ready", "")], 2, &at(30));
        assert_eq!(third[0].last_transition_time, at(30));
        assert!(is_true(&third, "Ready"));
    }
}
