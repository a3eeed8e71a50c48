//! What the rendering of a component in an environment brings together.

use std::borrow::Cow;
use std::collections::BTreeSet;

use choreo_compiler::{
    Compiled, ComponentSnapshot, Lent, compile_component, connections, external, groups,
};
use choreo_model::application::ComponentSpec;
use choreo_model::conditions::reasons;
use choreo_model::configuration::ConfigurationGroupSpec;
use choreo_model::external::ExternalConnectionSpec;
use choreo_model::project::{ProjectReleaseBindingSpec, ProjectReleaseSpec, ProjectSpec};
use choreo_model::release::{ComponentReleaseSpec, ReleaseBindingSpec};
use choreo_model::secret::SecretReferenceSpec;
use choreo_model::shared::{ComponentOwner, Egress};
use choreo_model::{
    Component, ConfigurationGroup, DataPlane, Environment, ExternalConnection, Project,
    ReleaseBinding, SecretReference, labels,
};

use super::rendering::{self, Pin};
use super::{Context, Obstacle, consumed, observability};
use crate::aspects::Aspects;
use crate::key::By;

/// The objects a binding brings together.
pub(super) struct Input<'a> {
    pub(super) release: &'a ComponentReleaseSpec,
    environment: &'a Environment,
    pub(super) data_plane: &'a DataPlane,
    component: &'a Component,
    project: &'a Project,
}

/// Finds them, or tells what is missing.
pub(super) fn gather<'a>(
    context: &Context<'a>,
    binding: &ReleaseBinding,
) -> Result<Input<'a>, Obstacle> {
    let namespace = context.namespace();
    let owner = &binding.spec.owner;
    let release = release(context, binding)?;
    let environment = rendering::environment(context, &binding.spec.environment)?;
    let data_plane = rendering::data_plane(context, environment)?;
    let component = context.find::<ComponentSpec>(
        namespace,
        &owner.component_name,
        reasons::COMPONENT_NOT_FOUND,
    )?;
    let project =
        context.find::<ProjectSpec>(namespace, &owner.project_name, reasons::PROJECT_NOT_FOUND)?;
    Ok(Input {
        release,
        environment,
        data_plane,
        component,
        project,
    })
}

fn release<'a>(
    context: &Context<'a>,
    binding: &ReleaseBinding,
) -> Result<&'a ComponentReleaseSpec, Obstacle> {
    let owner = |of: &ComponentOwner| format!("{}/{}", of.project_name, of.line_id());
    let pin = Pin {
        name: &binding.spec.release_name,
        unset: (
            reasons::COMPONENT_RELEASE_NOT_SET,
            "spec.releaseName is unset; name a ComponentRelease to deploy this binding",
        ),
        missing: reasons::COMPONENT_RELEASE_NOT_FOUND,
        of: "component",
        owner: owner(&binding.spec.owner),
    };
    pin.find(context, |release: &ComponentReleaseSpec| {
        owner(&release.owner)
    })
}

/// Renders a binding of them.
pub(super) fn compile(
    context: &Context<'_>,
    binding: &ReleaseBinding,
    input: &Input<'_>,
) -> Compiled {
    let groups = configuration_groups(context, binding, input.release);
    let providers = providers(context, binding, input);
    let snapshot = ComponentSnapshot {
        release: input.release,
        binding,
        component: input.component,
        project: input.project,
        environment: input.environment,
        data_plane: input.data_plane,
        secret_references: secret_references(context, binding, input, &groups),
        configuration_groups: groups,
        external_connections: external_connections(context, binding, input.environment),
        lent: lent(context, input.environment, &providers),
        providers,
        resources: consumed::providers(context, binding, input.release),
        project_egress: project_egress(context, binding),
        notification_channel: observability::channel(context, &binding.spec.environment),
    };
    compile_component(&snapshot, context.view.programs())
}

/// The external connections that the component is given, by name.
fn external_connections<'a>(
    context: &Context<'a>,
    binding: &ReleaseBinding,
    environment: &Environment,
) -> Vec<&'a ExternalConnection> {
    let owner = &binding.spec.owner;
    let of = [context.namespace(), owner.project_name.as_str()];
    let mut given = context
        .view
        .members::<ExternalConnectionSpec>(By::Project, &of);
    given.retain(|one| !one.is_deleting() && external::is_given(one, owner, environment));
    given.sort_by_key(|one| one.name());
    given
}

/// The configuration groups that the workload or its overrides name. When one is not there, all of
/// the namespace, so that the one that was meant can be named.
fn configuration_groups<'a>(
    context: &Context<'a>,
    binding: &ReleaseBinding,
    release: &ComponentReleaseSpec,
) -> Vec<&'a ConfigurationGroup> {
    let namespace = context.namespace();
    let names = groups::used(&release.workload, &binding.spec);
    let find = |name: &String| context.view.get::<ConfigurationGroupSpec>(namespace, name);
    let found: Vec<_> = names.iter().filter_map(find).collect();
    if found.len() == names.len() {
        return found;
    }
    context.view.members(By::Namespace, &[namespace])
}

/// The secret references that the release or its binding name, or what they use of `groups`.
fn secret_references<'a>(
    context: &Context<'a>,
    binding: &ReleaseBinding,
    input: &Input<'_>,
    groups: &[&ConfigurationGroup],
) -> Vec<&'a SecretReference> {
    groups::secrets(input.release, &binding.spec, groups, input.environment)
        .iter()
        .filter_map(|name| {
            let namespace = context.namespace();
            context.view.get::<SecretReferenceSpec>(namespace, name)
        })
        .collect()
}

/// The bindings of the components that this one calls: in the same environment, and for a preview
/// in the one it was made after.
fn providers<'a>(
    context: &Context<'a>,
    binding: &ReleaseBinding,
    input: &Input<'_>,
) -> Vec<&'a ReleaseBinding> {
    let workload = &input.release.workload;
    let targets = connections::targets(context.namespace(), &binding.spec, workload);
    let targets = connections::reach(targets, input.environment.label(labels::PREVIEW_OF));
    let places: BTreeSet<(&str, Cow<'_, str>, &str)> = targets
        .iter()
        .map(|target| {
            let project = target.project.as_str();
            (project, target.line_id(), target.environment.as_str())
        })
        .collect();
    places
        .into_iter()
        .flat_map(|(project, line, environment)| {
            let of = [context.namespace(), project, &line, environment];
            context.view.members_with::<ReleaseBindingSpec>(
                By::ComponentEnvironment,
                &of,
                Aspects::ENDPOINTS,
            )
        })
        .collect()
}

/// Those of `providers` that a preview, `environment`, shares with the one it was made after.
fn lent<'a>(
    context: &Context<'a>,
    environment: &Environment,
    providers: &[&'a ReleaseBinding],
) -> Vec<Lent<'a>> {
    let Some(base) = environment.label(labels::PREVIEW_OF) else {
        return Vec::new();
    };
    let shared = providers
        .iter()
        .filter(|binding| binding.spec.environment == base);
    shared
        .filter_map(|binding| {
            let (namespace, name) = (context.namespace(), &binding.spec.release_name);
            let release = context.view.get::<ComponentReleaseSpec>(namespace, name)?;
            let workload = &release.spec.workload;
            Some(Lent { binding, workload })
        })
        .collect()
}

/// What the project's type, as its cell has it, says of calls that no connection asks for.
fn project_egress(context: &Context<'_>, binding: &ReleaseBinding) -> Option<Egress> {
    let project = &binding.spec.owner.project_name;
    let of = [context.namespace(), project];
    let cells = context
        .view
        .members::<ProjectReleaseBindingSpec>(By::Project, &of);
    let cell = cells
        .into_iter()
        .find(|cell| cell.spec.environment == binding.spec.environment)?;
    let name = &cell.spec.project_release;
    let release = context
        .view
        .get::<ProjectReleaseSpec>(context.namespace(), name)?;
    release.spec.project_type.spec.egress
}
