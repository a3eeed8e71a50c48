//! Everything one compilation may look at, borrowed from wherever it is kept.

use choreo_model::application::WorkloadTemplate;
use choreo_model::project::ProjectReleaseSpec;
use choreo_model::release::{ComponentReleaseSpec, ReleaseBindingSpec, ReleaseBindingStatus};
use choreo_model::rendered::ResourceStatus;
use choreo_model::resource::ResourceReleaseSpec;
use choreo_model::shared::Egress;
use choreo_model::{
    Component, ConfigurationGroup, DataPlane, Environment, ExternalConnection, Object, Project,
    ProjectReleaseBinding, Resource, ResourceReleaseBinding, SecretReference, Workflow,
    WorkflowPlane, WorkflowRun,
};

/// A binding of a component to an environment.
pub type ReleaseBinding = Object<ReleaseBindingSpec>;

/// What rendering one [`ReleaseBinding`] needs.
#[derive(Debug, Clone, PartialEq)]
pub struct ComponentSnapshot<'a> {
    /// The frozen release the binding names.
    pub release: &'a ComponentReleaseSpec,
    /// The binding.
    pub binding: &'a ReleaseBinding,
    /// The component of the release.
    pub component: &'a Component,
    /// The project of the component.
    pub project: &'a Project,
    /// The environment of the binding.
    pub environment: &'a Environment,
    /// The data plane of the environment; the cluster-scoped kind has the same type.
    pub data_plane: &'a DataPlane,
    /// The secret references of the namespace; those not used do no harm.
    pub secret_references: Vec<&'a SecretReference>,
    /// The configuration groups of the namespace; those not used do no harm.
    pub configuration_groups: Vec<&'a ConfigurationGroup>,
    /// The external connections that it is given, by name; [`is_given`](crate::external::is_given)
    /// says which those are.
    pub external_connections: Vec<&'a ExternalConnection>,
    /// Bindings that may provide what [`connections::targets`](crate::connections::targets) lists;
    /// those of other components or environments do no harm.
    pub providers: Vec<&'a ReleaseBinding>,
    /// For a preview: the components of the environment it was made after that it may call. They
    /// let it in.
    pub lent: Vec<Lent<'a>>,
    /// Bindings that may serve what
    /// [`connections::resource_targets`](crate::connections::resource_targets) lists; those of
    /// other resources or environments do no harm.
    pub resources: Vec<&'a ResourceReleaseBinding>,
    /// What the type of the project says of calls that no connection asks for.
    pub project_egress: Option<Egress>,
    /// The environment's default notification channel.
    pub notification_channel: Option<&'a str>,
}

/// A component that is called from another environment than its own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lent<'a> {
    /// Its binding.
    pub binding: &'a ReleaseBinding,
    /// Its workload, as released there.
    pub workload: &'a WorkloadTemplate,
}

/// What rendering one [`ProjectReleaseBinding`] needs.
#[derive(Debug, Clone, PartialEq)]
pub struct ProjectSnapshot<'a> {
    /// The frozen release the binding names.
    pub release: &'a ProjectReleaseSpec,
    /// The binding.
    pub binding: &'a ProjectReleaseBinding,
    /// The project.
    pub project: &'a Project,
    /// The environment of the binding.
    pub environment: &'a Environment,
    /// The data plane of the environment.
    pub data_plane: &'a DataPlane,
}

/// What rendering one [`ResourceReleaseBinding`] needs.
#[derive(Debug, Clone, PartialEq)]
pub struct ResourceSnapshot<'a> {
    /// The frozen release the binding names.
    pub release: &'a ResourceReleaseSpec,
    /// The binding.
    pub binding: &'a ResourceReleaseBinding,
    /// The resource.
    pub resource: &'a Resource,
    /// The project of the resource.
    pub project: &'a Project,
    /// The environment of the binding.
    pub environment: &'a Environment,
    /// The data plane of the environment.
    pub data_plane: &'a DataPlane,
    /// What was observed of the live objects, by the ids of their templates.
    pub observed: &'a [ResourceStatus],
}

/// What rendering one [`WorkflowRun`] needs.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkflowSnapshot<'a> {
    /// The workflow the run names; the cluster-scoped kind has the same type.
    pub workflow: &'a Workflow,
    /// The run.
    pub run: &'a WorkflowRun,
    /// The plane of the workflow.
    pub plane: &'a WorkflowPlane,
    /// The secret references of the run's namespace; those not used do no harm.
    pub secret_references: Vec<&'a SecretReference>,
}

/// What a provider offers: the part of a binding that connections look at.
#[derive(Debug, Clone, Copy)]
pub struct Provider<'a> {
    /// The binding's specification.
    pub spec: &'a ReleaseBindingSpec,
    /// The binding's status, with its endpoints.
    pub status: &'a ReleaseBindingStatus,
}

impl<'a> From<&'a ReleaseBinding> for Provider<'a> {
    fn from(binding: &'a ReleaseBinding) -> Self {
        Self {
            spec: &binding.spec,
            status: &binding.status,
        }
    }
}
