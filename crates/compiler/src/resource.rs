//! The pipeline of a managed resource: one binding of one release to one environment.
//!
//! Its objects are rendered like those of a project. What it offers to components, and whether it
//! is ready, is read from the status of its live objects, which templates see as `applied`.

use crate::bench::{Bench, Ledger};
use crate::context::{self, Variables};
use crate::finish;
use crate::manifests;
use crate::parameters::{self, Section};
use crate::programs::Programs;
use crate::resource_outputs::{self, Readiness, UnresolvedOutput};
use crate::result::Compiled;
use crate::snapshot::ResourceSnapshot;
use choreo_model::resource_type::{ResourceOutput, RetainPolicy};
use choreo_model::{labels, names};
use choreo_template::{Context, Recorder, Silent, Tree, tree};

/// Everything there is to know about one binding of a managed resource.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CompiledResource {
    /// Its objects, by the ids of their templates, and what is wrong with them.
    pub compiled: Compiled,
    /// What components can use of it, as far as it is known.
    pub outputs: Vec<ResourceOutput>,
    /// What components will be able to use of it, and why it is not known.
    pub unresolved: Vec<UnresolvedOutput>,
    /// How each of its live objects is.
    pub readiness: Vec<Readiness>,
    /// What becomes of its objects when the binding is deleted.
    pub retain_policy: RetainPolicy,
}

impl CompiledResource {
    /// Whether all its live objects are ready.
    pub fn is_ready(&self) -> bool {
        !self.compiled.has_errors() && self.readiness.iter().all(Readiness::is_ready)
    }
}

/// Renders one binding of a managed resource.
pub fn compile_resource(snapshot: &ResourceSnapshot<'_>, programs: &Programs) -> CompiledResource {
    compile::<Silent>(snapshot, programs)
}

/// The same, with where every field came from.
pub fn explain_resource(snapshot: &ResourceSnapshot<'_>, programs: &Programs) -> CompiledResource {
    compile::<Recorder>(snapshot, programs)
}

fn compile<L: Ledger>(snapshot: &ResourceSnapshot<'_>, programs: &Programs) -> CompiledResource {
    let mut compiled = Compiled {
        namespace: names::cell_namespace(
            snapshot.binding.namespace(),
            snapshot.project.name(),
            snapshot.environment.name(),
        ),
        ..Compiled::default()
    };
    let object = type_object(snapshot);
    let mut bench = Bench::<L>::default();
    bench.open(programs, &object, &snapshot.release.resource_type);
    let variables = variables(snapshot, &object, &mut bench, programs);
    bench.keep(&variables);
    let mut context = Context::within(bench.budget.clone());
    variables.bind(&mut context);
    let spec = &snapshot.release.resource_type.spec;
    let drafts = manifests::make(&mut bench, &object, &spec.resources, &context);
    finish::check(&mut bench, &object, &drafts);
    let binding = &snapshot.binding.spec;
    let mut result = CompiledResource {
        retain_policy: binding.effective_retain_policy(Some(snapshot.release)),
        ..CompiledResource::default()
    };
    compiled.diagnostics.append(&mut bench.diagnostics);
    if !compiled.has_errors() {
        let applied = resource_outputs::applied(snapshot.observed);
        context.bind_tree("applied", &applied);
        let ids: Vec<&str> = drafts.iter().map(|draft| draft.id.as_str()).collect();
        let live = (ids.as_slice(), snapshot.observed);
        result.readiness = resource_outputs::readiness(&mut bench, &object, spec, &context, live);
        (result.outputs, result.unresolved) =
            resource_outputs::outputs(&mut bench, &object, &spec.outputs, &context);
        compiled.provenance.seen = bench.seen;
        finish::hand_over(drafts, &mut compiled);
    }
    result.compiled = compiled;
    result
}

fn type_object(snapshot: &ResourceSnapshot<'_>) -> String {
    let frozen = &snapshot.release.resource_type;
    format!("{}/{}", frozen.kind, frozen.name)
}

fn variables<L: Ledger>(
    snapshot: &ResourceSnapshot<'_>,
    object: &str,
    bench: &mut Bench<L>,
    programs: &Programs,
) -> Variables {
    let spec = &snapshot.release.resource_type.spec;
    let binding = &snapshot.binding;
    let mut variables = Variables::default();
    variables.set("metadata", metadata(snapshot));
    let (environment, plane) = (snapshot.environment, snapshot.data_plane);
    context::set_places(&mut variables, environment, plane, None, programs);
    let parameters = Section {
        declared: object,
        schema_field: "spec.parameters",
        given: &format!("Resource/{}", snapshot.resource.name()),
        field: "spec.parameters",
    };
    let given = snapshot.release.parameters.as_ref();
    let filled = parameters::filled(bench, spec.parameters.as_ref(), given, parameters);
    variables.set("parameters", filled);
    let configs = Section {
        declared: object,
        schema_field: "spec.environmentConfigs",
        given: &format!("ResourceReleaseBinding/{}", binding.name()),
        field: "spec.resourceTypeEnvironmentConfigs",
    };
    let given = binding.spec.resource_type_environment_configs.as_ref();
    let filled = parameters::filled(bench, spec.environment_configs.as_ref(), given, configs);
    variables.set("environmentConfigs", filled);
    variables
}

fn metadata(snapshot: &ResourceSnapshot<'_>) -> Tree {
    let namespace = snapshot.binding.namespace();
    let (resource, project) = (snapshot.resource, snapshot.project);
    let (environment, plane) = (snapshot.environment, snapshot.data_plane);
    let mut labels =
        context::project_labels(namespace, (project.name(), project.uid()), environment);
    labels.insert(labels::RESOURCE, resource.name());
    labels.insert(labels::RESOURCE_UID, resource.uid());
    let annotations = snapshot.binding.metadata.annotations.as_ref();
    tree!({
        "name": names::resource_name(resource.name(), environment.name()),
        "namespace": names::cell_namespace(namespace, project.name(), environment.name()),
        "resourceNamespace": namespace,
        "resourceName": resource.name(),
        "resourceUID": resource.uid(),
        "projectName": project.name(),
        "projectUID": project.uid(),
        "environmentName": environment.name(),
        "environmentUID": environment.uid(),
        "dataPlaneName": plane.name(),
        "dataPlaneUID": plane.uid(),
        "labels": labels,
        "annotations": &annotations.cloned().unwrap_or_default(),
    })
}
