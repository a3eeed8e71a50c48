//! The pipeline of a component: one binding of one release to one environment.

use crate::bench::{Bench, Draft, Ledger, Recipe, Site};
use crate::configurations;
use crate::connections::{self, Connections, Dependencies};
use crate::context::{self, Known, Variables};
use crate::diagnostic::{Code, Diagnostic};
use crate::egress_gateway::{self, WayOut};
use crate::external::{self, Externals};
use crate::groups::Groups;
use crate::network_policy::{self, Subject};
use crate::origin::{Cause, Origin, Trail};
use crate::parameters::{self, Section};
use crate::programs::Programs;
use crate::release::embedded_reference;
use crate::result::Compiled;
use crate::settings::Finder;
use crate::snapshot::{ComponentSnapshot, Provider};
use crate::uses::Use;
use crate::{endpoints, finish, groups, resource_dependencies, upstream, uses, validations};
use choreo_model::application::{Container, WorkloadTemplate};
use choreo_model::reference::TraitRef;
use choreo_model::release::{BindingState, FrozenComponentType};
use choreo_model::shared::TargetPlane;
use choreo_model::{labels, names};
use choreo_template::{Context, Members, Recorder, Silent, Tree};
use serde_json::Value;
use std::collections::BTreeSet;

/// Renders one binding of a component.
pub fn compile_component(snapshot: &ComponentSnapshot<'_>, programs: &Programs) -> Compiled {
    compile::<Silent>(snapshot, programs)
}

/// The same, with where every field came from.
pub fn explain_component(snapshot: &ComponentSnapshot<'_>, programs: &Programs) -> Compiled {
    compile::<Recorder>(snapshot, programs)
}

fn compile<L: Ledger>(snapshot: &ComponentSnapshot<'_>, programs: &Programs) -> Compiled {
    let overrides = snapshot.binding.spec.workload_overrides.as_ref();
    let container = configurations::merged(&snapshot.release.workload.container, overrides);
    let mut compiled = Compiled {
        namespace: names::cell_namespace(
            snapshot.binding.namespace(),
            snapshot.project.name(),
            snapshot.environment.name(),
        ),
        ..Compiled::default()
    };
    if snapshot.binding.spec.state == BindingState::Undeploy {
        return compiled;
    }
    let secrets = groups::secrets(
        snapshot.release,
        &snapshot.binding.spec,
        &snapshot.configuration_groups,
        snapshot.environment,
    );
    compiled.secret_reference_names = secrets.into_iter().collect();
    let externals = leave(snapshot, &mut compiled);
    let mut connections = connect(snapshot, &mut compiled);
    let line = snapshot.binding.spec.owner.line();
    connections.external = externals.items(&line, &compiled.namespace);
    let pipeline = Pipeline {
        snapshot,
        programs,
        labels: context::component_labels(snapshot),
        bench: bench::<L>(snapshot, programs),
        live: Vec::new(),
        live_names: BTreeSet::new(),
    };
    pipeline.run(&container, &connections, &externals, &mut compiled);
    compiled
}

/// A bench with everything that was parsed before of the type and the traits.
fn bench<L: Ledger>(snapshot: &ComponentSnapshot<'_>, programs: &Programs) -> Bench<L> {
    let mut bench = Bench::default();
    let frozen = &snapshot.release.component_type;
    bench.open(programs, &type_object(frozen), frozen);
    for one in &snapshot.release.traits {
        bench.open(programs, &format!("{}/{}", one.kind, one.name), one);
    }
    bench
}

fn type_object(frozen: &FrozenComponentType) -> String {
    let name = frozen.name.rsplit('/').next().unwrap_or(&frozen.name);
    format!("{}/{name}", frozen.kind)
}

/// What the component calls outside.
fn leave<'a>(snapshot: &ComponentSnapshot<'a>, compiled: &mut Compiled) -> Externals<'a> {
    if !snapshot.release.component_type.spec.workload_type.runs() {
        // Nothing calls from there.
        return Externals::default();
    }
    let mut externals = external::resolve(snapshot);
    compiled.diagnostics.append(&mut externals.diagnostics);
    compiled.external_connections = externals.bound();
    compiled
        .pending_external_connections
        .clone_from(&externals.pending);
    externals
}

fn connect(snapshot: &ComponentSnapshot<'_>, compiled: &mut Compiled) -> Connections {
    let namespace = snapshot.binding.namespace();
    let (binding, workload) = (&snapshot.binding.spec, &snapshot.release.workload);
    let base = snapshot.environment.label(labels::PREVIEW_OF);
    let mut targets = connections::targets(namespace, binding, workload);
    connections::share(&mut targets, base, |target| {
        let mut providers = snapshot.providers.iter();
        providers.any(|binding| connections::provides(&Provider::from(*binding), target))
    });
    compiled.connection_targets = targets;
    compiled.resource_dependency_targets =
        connections::resource_targets(namespace, binding, workload);
    compiled
        .diagnostics
        .extend(connections::shut(binding, workload));
    let project = &binding.owner.project_name;
    let mut connections = connections::resolve(project, &compiled.connection_targets, |target| {
        snapshot
            .providers
            .iter()
            .map(|binding| Provider::from(*binding))
            .filter(|provider| connections::provides(provider, target))
            .collect()
    });
    connections.resources = resource_dependencies::resolve(
        workload,
        &compiled.resource_dependency_targets,
        &snapshot.resources,
    );
    compiled
        .pending_resource_dependencies
        .clone_from(&connections.resources.pending);
    compiled
        .resolved_connections
        .clone_from(&connections.resolved);
    compiled
        .pending_connections
        .clone_from(&connections.pending);
    connections
}

struct Pipeline<'a, L> {
    snapshot: &'a ComponentSnapshot<'a>,
    programs: &'a Programs,
    /// What all objects of the component are labelled with here.
    labels: Members,
    bench: Bench<L>,
    /// Objects of configuration that changes without a restart, made by the platform.
    live: Vec<Tree>,
    /// The names of all objects of such configuration.
    live_names: BTreeSet<String>,
}

impl<'a, L: Ledger> Pipeline<'a, L> {
    fn run(
        mut self,
        container: &Container,
        connections: &Connections,
        externals: &Externals<'_>,
        compiled: &mut Compiled,
    ) {
        let variables = self.variables(container, connections, &compiled.namespace);
        self.bench.keep(&variables);
        let mut context = Context::within(self.bench.budget.clone());
        variables.bind(&mut context);
        let object = self.type_object();
        let spec = &self.snapshot.release.component_type.spec;
        // With room for two policies.
        let mut drafts = Vec::with_capacity(spec.resources.len() + 2);
        let rules = match spec.pre_render_validations.as_slice() {
            [] => ("validations", spec.validations.as_slice()),
            rules => ("preRenderValidations", rules),
        };
        validations::before(&mut self.bench, &object, rules, &context);
        // Rules say in the author's words what would fail below in ours.
        let sound = self.bench.diagnostics.is_empty();
        let mut uses = if sound {
            self.embedded(&context)
        } else {
            Vec::new()
        };
        uses.extend(self.own());
        if sound && self.bench.diagnostics.is_empty() {
            self.base(&object, &context, &mut drafts);
            uses::apply(&mut self.bench, &mut uses, &context, &mut drafts);
            let rules = &spec.post_render_validations;
            validations::after(&mut self.bench, &object, rules, &context, &drafts);
            uses::validate(&mut self.bench, &uses, &context, &drafts);
            drafts.extend(
                self.live
                    .drain(..)
                    .map(|object| Self::own_draft(object, Cause::Configuration)),
            );
            finish::label(&mut drafts, &self.labels);
            finish::check(&mut self.bench, &object, &drafts);
            if !spec.workload_type.runs() {
                self.hold(&mut drafts, compiled);
            }
        }
        compiled.diagnostics.append(&mut self.bench.diagnostics);
        if !compiled.has_errors() {
            compiled.provenance.seen = std::mem::take(&mut self.bench.seen);
            self.finish(drafts, externals, compiled);
        }
    }

    /// Lets a component that runs nothing lead where it may.
    fn hold(&mut self, drafts: &mut Vec<Draft>, compiled: &mut Compiled) {
        let mut upstreams = upstream::hold(self.snapshot, drafts);
        self.bench.diagnostics.append(&mut upstreams.diagnostics);
        compiled.external_connections = upstreams.bound;
        compiled.pending_external_connections = upstreams.pending;
    }

    fn type_object(&self) -> String {
        type_object(&self.snapshot.release.component_type)
    }

    fn binding_object(&self) -> String {
        format!("ReleaseBinding/{}", self.snapshot.binding.name())
    }

    fn variables(
        &mut self,
        container: &Container,
        connections: &Connections,
        cell: &str,
    ) -> Variables {
        let snapshot = self.snapshot;
        let line = snapshot.binding.spec.owner.line();
        let object = self.binding_object();
        let finder = Finder {
            groups: Groups::of(&snapshot.configuration_groups, snapshot.environment),
            references: &snapshot.secret_references,
            object: &object,
            diagnostics: &mut self.bench.diagnostics,
        };
        let prefix = names::component_binding(&line, snapshot.environment.name());
        let configurations = configurations::configurations(container, finder, &prefix);
        self.live = configurations.live_objects(cell);
        self.live_names = configurations.live_names();
        let dependencies = Dependencies::of(&snapshot.release.workload, connections);
        let mut variables = context::component(
            &self.bench,
            snapshot,
            &Known {
                cell,
                labels: &self.labels,
                container,
                configurations: &configurations,
                dependencies: &dependencies,
            },
        );
        context::set_places(
            &mut variables,
            snapshot.environment,
            snapshot.data_plane,
            snapshot.notification_channel,
            self.programs,
        );
        self.set_parameters(&mut variables);
        variables
    }

    /// What is given for the type, `parameters` and `environmentConfigs`.
    fn set_parameters(&mut self, variables: &mut Variables) {
        let snapshot = self.snapshot;
        let spec = &snapshot.release.component_type.spec;
        let (declared, binding) = (self.type_object(), self.binding_object());
        let given = format!("Component/{}", snapshot.component.name());
        let profile = snapshot.release.component_profile.as_ref();
        let parameters = parameters::checked(
            &mut self.bench,
            spec.parameters.as_ref(),
            profile.and_then(|profile| profile.parameters.as_ref()),
            Section {
                declared: &declared,
                schema_field: "spec.parameters",
                given: &given,
                field: "spec.parameters",
            },
        );
        let configs = parameters::checked(
            &mut self.bench,
            spec.environment_configs.as_ref(),
            snapshot
                .binding
                .spec
                .component_type_environment_configs
                .as_ref(),
            Section {
                declared: &declared,
                schema_field: "spec.environmentConfigs",
                given: &binding,
                field: "spec.componentTypeEnvironmentConfigs",
            },
        );
        variables.set("parameters", parameters);
        variables.set("environmentConfigs", configs);
    }

    fn base(&mut self, object: &str, context: &Context<'_, '_>, drafts: &mut Vec<Draft>) {
        let resources = &self.snapshot.release.component_type.spec.resources;
        for (index, resource) in resources.iter().enumerate() {
            let pointer = format!("/spec/resources/{index}");
            let site = Site {
                object,
                pointer: &pointer,
            };
            self.bench
                .make(site, Recipe::from(resource), context, drafts);
        }
    }

    /// The traits of the type; what it gives them may be templates.
    fn embedded(&mut self, context: &Context<'_, '_>) -> Vec<Use<'a>> {
        let frozen = &self.snapshot.release.component_type;
        let object = self.type_object();
        let mut uses = Vec::new();
        for (index, embedded) in frozen.spec.traits.iter().enumerate() {
            let mut render = |field: &str, value: Option<&Value>| {
                let pointer = format!("/spec/traits/{index}/{field}");
                let site = Site {
                    object: &object,
                    pointer: &pointer,
                };
                let made = self.bench.eval(site, value?, context).flatten();
                made.map(|made| Value::from(&made))
            };
            let parameters = render("parameters", embedded.parameters.as_ref());
            let configs = render("environmentConfigs", embedded.environment_configs.as_ref());
            let field = format!("spec.traits[{index}]");
            let sites = [
                (object.clone(), format!("{field}.parameters")),
                (object.clone(), format!("{field}.environmentConfigs")),
            ];
            let reference = embedded_reference(&embedded.reference, frozen.kind.is_cluster());
            let values = (parameters.as_ref(), configs.as_ref());
            uses.extend(self.use_of(&reference, &embedded.instance_name, values, &sites));
        }
        uses
    }

    /// The traits of the component.
    fn own(&mut self) -> Vec<Use<'a>> {
        let snapshot = self.snapshot;
        let component = format!("Component/{}", snapshot.component.name());
        let profile = snapshot.release.component_profile.as_ref();
        let mut uses = Vec::new();
        for (index, own) in profile
            .iter()
            .flat_map(|profile| &profile.traits)
            .enumerate()
        {
            let configs = &snapshot.binding.spec.trait_environment_configs;
            let sites = [
                (
                    component.clone(),
                    format!("spec.traits[{index}].parameters"),
                ),
                (
                    self.binding_object(),
                    format!("spec.traitEnvironmentConfigs.{}", own.instance_name),
                ),
            ];
            let values = (own.parameters.as_ref(), configs.get(&own.instance_name));
            uses.extend(self.use_of(&own.reference, &own.instance_name, values, &sites));
        }
        uses
    }

    fn use_of(
        &mut self,
        reference: &TraitRef,
        instance: &str,
        (parameters, configs): (Option<&Value>, Option<&Value>),
        sites: &[(String, String); 2],
    ) -> Option<Use<'a>> {
        let traits = &self.snapshot.release.traits;
        let site = Site {
            object: &sites[0].0,
            pointer: "",
        };
        let looking = self.bench.budget.step(traits.len());
        self.bench.paid(site, looking)?;
        let found = traits
            .iter()
            .find(|frozen| frozen.kind == reference.kind && frozen.name == reference.name);
        let Some(frozen) = found else {
            let object = format!("{}/{}", reference.kind, reference.name);
            let (given, field) = &sites[0];
            let message = format!("{object} is not part of the release");
            let error = Diagnostic::error(Code::Trait, given.as_str(), field.as_str(), message);
            self.bench.note(error);
            return None;
        };
        let values = (parameters, configs);
        Some(Use::new(
            &mut self.bench,
            (reference, &frozen.spec),
            instance,
            values,
            sites,
        ))
    }

    fn finish(&self, mut drafts: Vec<Draft>, externals: &Externals<'_>, compiled: &mut Compiled) {
        let snapshot = self.snapshot;
        let workload = &snapshot.release.workload;
        let workload_type = snapshot.release.component_type.spec.workload_type;
        finish::hash_pods(&mut drafts, workload_type, &self.live_names);
        finish::sort(&mut drafts);
        compiled.endpoints = endpoints::endpoints(
            &workload.endpoints,
            workload_type,
            &drafts,
            (snapshot.environment, snapshot.data_plane),
        );
        let line = snapshot.binding.spec.owner.line();
        let way = WayOut {
            line: &line,
            cell: &compiled.namespace,
            labels: &self.labels,
            externals,
        };
        // Without a Workload there are no pods to keep apart.
        let has_workload = **workload != WorkloadTemplate::default();
        let policies = network_policy::policies(&Subject {
            line: &line,
            cell: &compiled.namespace,
            labels: &self.labels,
            workload,
            calls: &compiled.connection_targets,
            lent: &snapshot.lent,
            egress: external::egress(snapshot),
            proxies: egress_gateway::proxies(&way),
            provider: snapshot
                .data_plane
                .annotation(labels::NETWORK_POLICY_PROVIDER),
        });
        let policies = policies.into_iter().filter(|_| has_workload);
        drafts.extend(policies.map(|policy| Self::own_draft(policy, Cause::Policy)));
        let ways = egress_gateway::objects(&way).into_iter();
        drafts.extend(ways.map(|object| Self::own_draft(object, Cause::Egress)));
        finish::identify(&mut drafts);
        finish::hand_over(drafts, compiled);
    }

    /// An object that the platform makes, and no template.
    fn own_draft(object: Tree, cause: Cause) -> Draft {
        Draft {
            id: String::new(),
            plane: TargetPlane::DataPlane,
            trail: L::ENABLED.then(|| Trail::whole(&object, Origin::platform(cause))),
            object,
        }
    }
}
