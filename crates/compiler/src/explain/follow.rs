//! From the variables of an expression to the objects they were made of.

use super::given::type_object;
use super::{Explained, Role, Step};
use crate::diagnostic::dotted;
use crate::dialect::DIALECT;
use crate::fleet::{Bound, Snapshot};
use crate::origin::{Origin, join};
use choreo_model::plane::DataPlaneSpec;
use choreo_model::{Environment, Object};
use choreo_template::{Reference, references};
use serde_json::json;

/// How many templates may lead to each other: a trait's parameter to one of its type.
const DEEP: usize = 4;

/// Who sees an expression, and what it is looked at for.
#[derive(Debug, Clone, Copy)]
struct Sight<'o> {
    origin: &'o Origin,
    instance: Option<&'o str>,
    depth: usize,
}

impl Explained<'_> {
    /// What the expression `source` of `origin` was made of; of its value only the part at the JSON
    /// pointer `below` counts.
    pub(super) fn follow(&self, source: &str, below: &str, origin: &Origin) -> Vec<Step> {
        let sight = Sight {
            origin,
            instance: origin.instance.as_deref(),
            depth: 0,
        };
        self.sources(source, below, sight)
    }

    fn sources(&self, source: &str, below: &str, sight: Sight<'_>) -> Vec<Step> {
        let found = references(&DIALECT, source);
        // Only of a plain reference it is known what a part of its value is a part of.
        let plain = found.len() == 1 && is_plain(source);
        found
            .into_iter()
            .flat_map(|mut reference| {
                if plain {
                    reference.path.extend(parts(below));
                }
                self.source(&reference, sight)
            })
            .collect()
    }

    fn source(&self, reference: &Reference, sight: Sight<'_>) -> Vec<Step> {
        if let Some(looped) = sight.origin.looped.as_ref()
            && looped.variable == reference.variable
            && sight.depth == 0
        {
            let below = reference
                .path
                .iter()
                .fold(format!("/{}", looped.index), |at, part| join(&at, part));
            let mut steps = vec![Step {
                role: Role::Loop,
                object: sight.origin.source.clone(),
                field: loop_field(&sight.origin.field),
                expression: Some(looped.expression.clone()),
            }];
            let inner = Sight { depth: 1, ..sight };
            steps.extend(self.sources(&looped.expression, &below, inner));
            return steps;
        }
        match reference.variable.as_str() {
            "parameters" | "environmentConfigs" => self.value(reference, sight),
            _ => self.surroundings(reference, sight),
        }
    }

    fn value(&self, reference: &Reference, sight: Sight<'_>) -> Vec<Step> {
        let Some(section) = self.section(&reference.variable, sight.instance) else {
            return Vec::new();
        };
        let (mut step, text) = section.source(&reference.path);
        let inner: Vec<String> = text.map(expressions).unwrap_or_default();
        if inner.is_empty() || sight.depth >= DEEP {
            return vec![step];
        }
        step.role = Role::Template;
        step.expression = Some(inner.join(", "));
        let sight = Sight {
            instance: None,
            depth: sight.depth + 1,
            ..sight
        };
        let deeper = inner
            .iter()
            .flat_map(|source| self.sources(source, "", sight));
        std::iter::once(step).chain(deeper).collect()
    }

    fn surroundings(&self, reference: &Reference, sight: Sight<'_>) -> Vec<Step> {
        let path = reference.path.as_slice();
        let Some((_, environment, plane)) = self.snapshot.places() else {
            return self.around_run(&reference.variable, path);
        };
        match reference.variable.as_str() {
            "metadata" => self.names(path.first().map_or("", String::as_str)),
            "workload" => self.workload(reference),
            "configurations" => self.configurations(reference.helper.as_deref()),
            "dependencies" => self.dependencies(),
            "gateway" => vec![gateway(path, environment, plane)],
            "environment" if path.first().is_some_and(|part| part == "gateway") => {
                vec![gateway(&path[1..], environment, plane)]
            }
            "environment" => vec![given(environment, "/spec")],
            "dataplane" => vec![data_plane(path, plane)],
            "trait" => self.instance(sight.instance),
            _ => Vec::new(),
        }
    }

    /// What a run sees beside its parameters.
    fn around_run(&self, variable: &str, path: &[String]) -> Vec<Step> {
        let Snapshot::Run(snapshot) = &self.snapshot else {
            return Vec::new();
        };
        let first = path.first().map_or("", String::as_str);
        match (variable, first) {
            ("metadata", "labels") => {
                let pointer = path
                    .iter()
                    .fold("/metadata".to_owned(), |at, part| join(&at, part));
                vec![given(snapshot.run, &pointer)]
            }
            ("metadata", "workflowRunName") => vec![named(snapshot.run, "/metadata/name")],
            ("metadata", _) => vec![named(snapshot.run, "/metadata/namespace")],
            ("workflowplane", _) => vec![given(snapshot.plane, "/spec/secretStoreRef/name")],
            ("externalRefs", id) => {
                let references = &snapshot.workflow.spec.external_refs;
                let at = references.iter().position(|one| one.id == id);
                let field = at.map_or_else(
                    || "/spec/externalRefs".to_owned(),
                    |index| format!("/spec/externalRefs/{index}/name"),
                );
                vec![given(snapshot.workflow, &field)]
            }
            _ => Vec::new(),
        }
    }

    /// What the name `name` of `metadata` is made of.
    pub(super) fn names(&self, name: &str) -> Vec<Step> {
        let Some((project, environment, plane)) = self.snapshot.places() else {
            return self.around_run("metadata", &["workflowRunName".to_owned()]);
        };
        let (bound, subject, _) = self.snapshot.subject();
        let object = |kind: &str, name: &str| format!("{kind}/{name}");
        let of_subject = (bound != Bound::Project).then(|| object(bound.kind(), subject));
        let of_project = object("Project", project.name());
        let of_environment = object("Environment", environment.name());
        let objects: Vec<String> = match name {
            "componentName" | "componentUID" | "resourceName" | "resourceUID" => {
                of_subject.into_iter().collect()
            }
            "projectName" | "projectUID" => vec![of_project],
            "environmentName" | "environmentUID" => vec![of_environment],
            "dataPlaneName" | "dataPlaneUID" => vec![object(plane.kind(), plane.name())],
            "name" => of_subject.into_iter().chain([of_environment]).collect(),
            "namespace" => vec![of_project, of_environment],
            _ => of_subject
                .into_iter()
                .chain([of_project, of_environment])
                .collect(),
        };
        objects
            .into_iter()
            .map(|object| Step {
                role: Role::Name,
                object,
                field: "metadata".to_owned(),
                expression: None,
            })
            .collect()
    }

    fn workload(&self, reference: &Reference) -> Vec<Step> {
        let field = match (&reference.helper, reference.path.as_slice()) {
            (Some(_), _) => "/spec/endpoints".to_owned(),
            (None, path) => path
                .iter()
                .fold("/spec".to_owned(), |at, part| join(&at, part)),
        };
        vec![self.of_workload(&field)]
    }

    pub(super) fn of_workload(&self, pointer: &str) -> Step {
        let Snapshot::Component(snapshot) = &self.snapshot else {
            return step(Role::Given, String::new(), pointer);
        };
        let (project, component) = (snapshot.project.name(), snapshot.component.name());
        let namespace = snapshot.binding.namespace();
        let workloads = self.fleet.workloads_of(namespace, project, component);
        let name = workloads.first().map_or(component, |one| one.name());
        step(Role::Given, format!("Workload/{name}"), pointer)
    }

    /// Variables and files: of the workload, then of the binding, with secrets. The name of the
    /// helper tells which of these it looks at; without one they are all looked at.
    fn configurations(&self, helper: Option<&str>) -> Vec<Step> {
        let Snapshot::Component(snapshot) = &self.snapshot else {
            return Vec::new();
        };
        let looks = |words: &[&str]| {
            helper.is_none_or(|helper| words.iter().any(|word| helper.contains(word)))
        };
        let container = &snapshot.release.workload.container;
        let mut steps = Vec::new();
        if !container.env.is_empty() && looks(&["Env"]) {
            steps.push(self.of_workload("/spec/container/env"));
        }
        if !container.files.is_empty() && looks(&["File", "Volume"]) {
            steps.push(self.of_workload("/spec/container/files"));
        }
        if snapshot.binding.spec.workload_overrides.is_some() {
            steps.push(given(snapshot.binding, "/spec/workloadOverrides"));
        }
        if !helper.is_some_and(|helper| helper.contains("Config")) {
            let references = snapshot.secret_references.iter();
            steps.extend(references.map(|reference| given(*reference, "/spec/data")));
        }
        steps
    }

    fn dependencies(&self) -> Vec<Step> {
        let Snapshot::Component(snapshot) = &self.snapshot else {
            return Vec::new();
        };
        if snapshot.release.workload.dependencies.is_none() {
            return vec![step_unset(self.of_workload("/spec/dependencies"))];
        }
        let providers = snapshot.providers.iter();
        let resources = snapshot.resources.iter();
        std::iter::once(self.of_workload("/spec/dependencies"))
            .chain(providers.map(|provider| given(*provider, "/status/endpoints")))
            .chain(resources.map(|resource| given(*resource, "/status/outputs")))
            .collect()
    }

    /// Where a trait's instance is declared.
    fn instance(&self, instance: Option<&str>) -> Vec<Step> {
        let (Snapshot::Component(snapshot), Some(instance)) = (&self.snapshot, instance) else {
            return Vec::new();
        };
        let embedded = &snapshot.release.component_type.spec.traits;
        let at = embedded
            .iter()
            .position(|one| one.instance_name == instance);
        let profile = snapshot.release.component_profile.iter();
        let own = profile
            .flat_map(|profile| &profile.traits)
            .position(|one| one.instance_name == instance);
        let (object, index) = match (at, own) {
            (Some(index), _) => (type_object(snapshot), index),
            (None, Some(index)) => (format!("Component/{}", snapshot.component.name()), index),
            (None, None) => return Vec::new(),
        };
        let pointer = format!("/spec/traits/{index}/instanceName");
        vec![step(Role::Given, object, &pointer)]
    }
}

/// Where the loop is declared that makes what is at `field` of a type or trait.
fn loop_field(field: &str) -> String {
    let ends = [".template", ".operations", ".forEach"];
    let end = ends.iter().filter_map(|end| field.find(end)).min();
    let within = end.map_or(field, |end| &field[..end]);
    format!("{within}.forEach")
}

fn step(role: Role, object: String, pointer: &str) -> Step {
    Step {
        role,
        object,
        field: dotted(pointer),
        expression: None,
    }
}

fn step_unset(step: Step) -> Step {
    Step {
        role: Role::Unset,
        ..step
    }
}

fn given<T: choreo_model::Spec>(object: &Object<T>, pointer: &str) -> Step {
    let title = format!("{}/{}", object.kind(), object.name());
    step(Role::Given, title, pointer)
}

fn named<T: choreo_model::Spec>(object: &Object<T>, pointer: &str) -> Step {
    Step {
        role: Role::Name,
        ..given(object, pointer)
    }
}

/// An environment's own entry of a gateway holds over the data plane's.
fn gateway(path: &[String], environment: &Environment, plane: &Object<DataPlaneSpec>) -> Step {
    let pointer = path
        .iter()
        .fold("/spec/gateway".to_owned(), |at, part| join(&at, part));
    let own = json!({"spec": {"gateway": environment.spec.gateway}});
    if own.pointer(&pointer).is_some_and(|found| !found.is_null()) {
        given(environment, &pointer)
    } else {
        given(plane, &pointer)
    }
}

fn data_plane(path: &[String], plane: &Object<DataPlaneSpec>) -> Step {
    let below = |root: &str, path: &[String]| {
        path.iter()
            .fold(root.to_owned(), |at, part| join(&at, part))
    };
    let pointer = match path {
        [first, rest @ ..] if first == "annotations" => below("/metadata/annotations", rest),
        [first, ..] if first == "secretStore" => "/spec/secretStoreRef/name".to_owned(),
        path => below("/spec", path),
    };
    given(plane, &pointer)
}

/// The parts of a JSON pointer.
fn parts(pointer: &str) -> impl Iterator<Item = String> {
    pointer
        .split('/')
        .skip(1)
        .map(|part| part.replace("~1", "/").replace("~0", "~"))
}

/// Whether an expression is nothing but names and dots.
fn is_plain(source: &str) -> bool {
    source
        .chars()
        .all(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | ' '))
}

/// The expressions in `text`.
fn expressions(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, behind)) = rest.split_once("${") {
        let Some(end) = behind.rfind('}').filter(|_| !behind.contains("${")) else {
            let Some((inner, after)) = behind.split_once('}') else {
                break;
            };
            found.push(inner.trim().to_owned());
            rest = after;
            continue;
        };
        found.push(behind[..end].trim().to_owned());
        break;
    }
    found
}
