//! From the variables of an expression to the objects they were made of.

use super::given::type_object;
use super::{Explained, NAMESPACE, Role, Step, UID, labelled};
use crate::diagnostic::dotted;
use crate::fleet::{Bound, Snapshot};
use crate::origin::{Looped, Origin, join};
use crate::snapshot::WorkflowSnapshot;
use choreo_model::plane::DataPlaneSpec;
use choreo_model::{Environment, Object};
use choreo_template::{Budget, Reference, Tree};
use serde_json::json;

/// How many templates may lead to each other: a trait's parameter to one of its type.
const DEEP: usize = 4;

/// Who sees an expression.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sight<'o> {
    origin: &'o Origin,
    /// The trait's instance, when it is a trait that sees it.
    pub(super) instance: Option<&'o str>,
    /// The loop around it.
    pub(super) looped: Option<&'o Looped>,
    /// What following it takes from.
    pub(super) budget: &'o Budget,
    depth: usize,
}

impl Explained<'_> {
    /// What the expression `source` of `origin` was made of; of its value only the part at the JSON
    /// pointer `below` counts.
    pub(super) fn follow(&self, source: &str, below: &str, origin: &Origin) -> Vec<Step> {
        let sight = Sight {
            origin,
            instance: origin.instance.as_deref(),
            looped: origin.looped.as_ref(),
            budget: &self.budget,
            depth: 0,
        };
        let part: Vec<String> = parts(below).collect();
        self.sources(source, &part, sight)
    }

    fn sources(&self, source: &str, part: &[String], sight: Sight<'_>) -> Vec<Step> {
        let found = self.compiled.provenance.seen.sources(source, part, sight);
        found
            .iter()
            .flat_map(|reference| self.source(reference, sight))
            .collect()
    }

    fn source(&self, reference: &Reference, sight: Sight<'_>) -> Vec<Step> {
        if let Some(looped) = sight.looped
            && looped.variable == reference.variable
        {
            return self.round(looped, &reference.path, sight);
        }
        match reference.variable.as_str() {
            "parameters" | "environmentConfigs" => self.value(reference, sight),
            _ => self.surroundings(reference, sight),
        }
    }

    /// What the part at `path` of the item of a loop is made of.
    fn round(&self, looped: &Looped, path: &[String], sight: Sight<'_>) -> Vec<Step> {
        let step = Step {
            role: Role::Loop,
            object: sight.origin.source.clone(),
            field: loop_field(&sight.origin.field),
            expression: Some(looped.expression.clone()),
        };
        let outer = Sight {
            looped: None,
            ..sight
        };
        let part = self.compiled.provenance.seen.behind(looped, path, outer);
        let sources = self.sources(&looped.expression, &part, outer);
        std::iter::once(step).chain(sources).collect()
    }

    fn value(&self, reference: &Reference, sight: Sight<'_>) -> Vec<Step> {
        let Some(section) = self.section(&reference.variable, sight.instance) else {
            return Vec::new();
        };
        let (mut step, text) = section.source(&reference.path);
        let (text, rest) = text.unwrap_or_default();
        let inner = expressions(text);
        if inner.is_empty() || sight.depth >= DEEP {
            return vec![step];
        }
        step.role = Role::Template;
        step.expression = Some(inner.join(", "));
        let sight = Sight {
            instance: None,
            looped: None,
            depth: sight.depth + 1,
            ..sight
        };
        // Of several in one text each makes a part of the text, not a part of a value.
        let part = if inner.len() == 1 { rest } else { &[] };
        let deeper = inner
            .iter()
            .flat_map(|source| self.sources(source, part, sight));
        std::iter::once(step).chain(deeper).collect()
    }

    fn surroundings(&self, reference: &Reference, sight: Sight<'_>) -> Vec<Step> {
        let path = reference.path.as_slice();
        let Some((_, environment, plane)) = self.snapshot.places() else {
            return self.around_run(&reference.variable, path);
        };
        match reference.variable.as_str() {
            "metadata" => match path {
                [labels, label, ..] if matches!(labels.as_str(), "labels" | "podSelectors") => {
                    self.names(labelled(label))
                }
                path => self.names(path.first().map_or("", String::as_str)),
            },
            "workload" => self.workload(reference),
            "configurations" => self.configurations(reference),
            "dependencies" => self.dependencies(reference),
            "gateway" => vec![gateway(path, environment, plane)],
            "environment" if path.first().is_some_and(|part| part == "gateway") => {
                vec![gateway(&path[1..], environment, plane)]
            }
            "environment" => vec![given(environment, "/spec")],
            "dataplane" => vec![data_plane(path, plane)],
            "trait" => self.instance(path, sight.instance),
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
                let named = given(snapshot.workflow, &field);
                std::iter::once(named)
                    .chain(self.referred(snapshot, path))
                    .collect()
            }
            _ => Vec::new(),
        }
    }

    /// The field of a secret reference behind the part at `path` of `externalRefs`.
    fn referred(&self, snapshot: &WorkflowSnapshot<'_>, path: &[String]) -> Option<Step> {
        let (id, rest) = path.split_first()?;
        let seen = &self.compiled.provenance.seen.variable("externalRefs")[id.as_str()];
        let mut references = snapshot.secret_references.iter();
        let reference = references.find(|one| *seen == json!({"spec": one.spec}))?;
        let pointer = rest.iter().fold(String::new(), |at, part| join(&at, part));
        Some(given(*reference, &pointer))
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
            "componentName" | "componentUID" | "trackName" | "resourceName" | "resourceUID" => {
                of_subject.into_iter().collect()
            }
            "projectName" | "projectUID" => vec![of_project],
            "environmentName" | "environmentUID" => vec![of_environment],
            "dataPlaneName" | "dataPlaneUID" => vec![object(plane.kind(), plane.name())],
            "name" => of_subject.into_iter().chain([of_environment]).collect(),
            "namespace" => vec![of_project, of_environment],
            "componentNamespace" | "projectNamespace" | "resourceNamespace" => {
                vec![of_subject.unwrap_or(of_project)]
            }
            _ => of_subject
                .into_iter()
                .chain([of_project, of_environment])
                .collect(),
        };
        let field = match name {
            name if name.ends_with("Namespace") => NAMESPACE,
            name if name.ends_with("UID") => UID,
            _ => "metadata",
        };
        objects
            .into_iter()
            .map(|object| Step {
                role: Role::Name,
                object,
                field: field.to_owned(),
                expression: None,
            })
            .collect()
    }

    /// What the field at `pointer` of a network policy comes from, if it is not the same in all.
    pub(super) fn policy(&self, object: &Tree, pointer: &str) -> Vec<Step> {
        let segments: Vec<&str> = pointer.split('/').skip(1).collect();
        match segments.as_slice() {
            ["metadata", "name"] => self.names("componentName"),
            ["metadata", "namespace"] => self.names("namespace"),
            ["metadata", "labels", label]
            | ["spec", "podSelector" | "endpointSelector", .., label] => {
                self.names(labelled(label))
            }
            // Name servers, which all may ask.
            ["spec", "egress", "0", ..] => Vec::new(),
            ["spec", "egress", index, ..] => {
                let rule = object["spec"]["egress"].step(index);
                let called = rule.and_then(|rule| self.called_gateway(rule));
                called.unwrap_or_else(|| vec![self.of_workload("/spec/dependencies")])
            }
            ["spec", ..] if object["spec"].get("egress").is_none() => {
                vec![self.of_workload("/spec/endpoints")]
            }
            _ => Vec::new(),
        }
    }

    /// Where a trait's instance is declared, or the part at `path` of what it is told of itself.
    fn instance(&self, path: &[String], instance: Option<&str>) -> Vec<Step> {
        let Some(instance) = instance else {
            return Vec::new();
        };
        if let Snapshot::Api(snapshot) = &self.snapshot {
            let mut traits = snapshot.api.spec.traits.iter();
            let index = traits.position(|one| one.instance_name == instance);
            let pointer = index.map(|index| format!("/spec/traits/{index}"));
            let steps = pointer.map(|root| path.iter().fold(root, |at, part| join(&at, part)));
            return steps.iter().map(|at| given(snapshot.api, at)).collect();
        }
        let Snapshot::Component(snapshot) = &self.snapshot else {
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
        let root = format!("/spec/traits/{index}");
        let pointer = path.iter().fold(root, |at, part| join(&at, part));
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

pub(super) fn step(role: Role, object: String, pointer: &str) -> Step {
    Step {
        role,
        object,
        field: dotted(pointer),
        expression: None,
    }
}

pub(super) fn given<T: choreo_model::Spec>(object: &Object<T>, pointer: &str) -> Step {
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

/// What is at `path` of `value`; null, where nothing is.
pub(super) fn at<'v>(value: &'v Tree, path: &[&str]) -> &'v Tree {
    let found = path.iter().try_fold(value, |value, part| value.step(part));
    found.unwrap_or(&Tree::Null)
}

/// The parts of a JSON pointer.
fn parts(pointer: &str) -> impl Iterator<Item = String> {
    pointer
        .split('/')
        .skip(1)
        .map(|part| part.replace("~1", "/").replace("~0", "~"))
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
