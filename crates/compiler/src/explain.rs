//! Why a field of a rendered object is what it is: the way from the field back to what somebody
//! wrote, in steps and in a sentence.

mod api;
mod configured;
mod connected;
mod external;
mod follow;
mod frozen;
mod given;
mod path;
mod seen;
mod workload;

pub use frozen::Frozen;
pub(crate) use given::type_object;
pub use path::{Missing, locate};
pub(crate) use seen::Seen;

use crate::diagnostic::dotted;
use crate::fleet::{Fleet, Name, RenderedBinding, Snapshot};
use crate::origin::{Cause, Made, leaves};
use crate::programs::Programs;
use crate::result::{Compiled, Rendered};
use choreo_template::{Budget, Tree};
use serde::Serialize;
use serde_json::Value;
use std::fmt;

/// The fields of an object that tell its namespace and its uid.
const NAMESPACE: &str = "metadata.namespace";
const UID: &str = "metadata.uid";

/// What a step of the way is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// A template of a type or trait.
    Template,
    /// An operation of a trait's patch.
    Patch,
    /// What a loop goes over.
    Loop,
    /// A value that somebody gave.
    Given,
    /// A default that a schema declares.
    Default,
    /// A value that nobody gave and that has no default.
    Unset,
    /// A name that the platform makes of other names.
    Name,
    /// A label that the platform puts on every object.
    Label,
    /// The hash of all other objects, which restarts pods.
    Hash,
    /// The network policy that the platform adds.
    Policy,
    /// The way out that the platform makes for external connections.
    Egress,
    /// The files of configuration groups that the platform keeps.
    Configuration,
    /// What the platform makes of an API.
    Api,
}

/// One step of the way, the nearest to the field first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// What it is.
    pub role: Role,
    /// The object it is written in, as `Kind/name`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub object: String,
    /// The field of that object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
    /// The expression that leads to the next step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
}

/// A field, and the way to it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The field of the rendered object.
    pub field: String,
    /// Its value.
    pub value: Value,
    /// The steps, the nearest to the field first.
    pub steps: Vec<Step>,
}

/// A binding, rendered so that everything about it can be explained.
#[derive(Debug)]
pub struct Explained<'a> {
    fleet: &'a Fleet,
    snapshot: Snapshot<'a>,
    compiled: Compiled,
    /// What explaining it may cost together.
    budget: Budget,
}

impl Fleet {
    /// Renders a binding again, so that it can be explained; nothing when it is not there.
    pub fn explain(&self, binding: &RenderedBinding) -> Option<Explained<'_>> {
        self.explained(&binding.binding(), &Programs::default())
    }

    pub(crate) fn explained(&self, name: &Name, programs: &Programs) -> Option<Explained<'_>> {
        let snapshot = self.snapshot(name)?.ok()?;
        let compiled = snapshot.explain(programs);
        Some(Explained {
            fleet: self,
            snapshot,
            compiled,
            budget: Budget::default(),
        })
    }
}

impl Explained<'_> {
    /// The objects of the binding.
    pub fn objects(&self) -> &[Rendered] {
        &self.compiled.objects
    }

    /// Every leaf at or below `pointer` of the object at `index`.
    pub fn leaves(&self, index: usize, pointer: &str) -> Vec<Explanation> {
        let found = self.compiled.objects.get(index);
        let value = found.and_then(|one| one.object.pointer(pointer));
        let Some(value) = value else {
            return Vec::new();
        };
        let explanation = |below: &String| {
            let leaf = format!("{pointer}{below}");
            Some(Explanation {
                field: dotted(&leaf),
                value: value.pointer(below)?.into(),
                steps: self.steps(index, &leaf)?,
            })
        };
        leaves(value).iter().filter_map(explanation).collect()
    }

    /// The way to the leaf `pointer` of the object at `index`.
    pub(crate) fn steps(&self, index: usize, pointer: &str) -> Option<Vec<Step>> {
        let made = self.compiled.provenance.trails.get(index)?.at(pointer)?;
        let object = &self.compiled.objects.get(index)?.object;
        Some(self.way(made, object, pointer))
    }

    fn way(&self, made: &Made, object: &Tree, pointer: &str) -> Vec<Step> {
        let origin = &made.origin;
        let role = match origin.cause {
            Cause::Template => Role::Template,
            Cause::Patch => Role::Patch,
            Cause::Label => Role::Label,
            Cause::Hash => Role::Hash,
            Cause::Policy => Role::Policy,
            Cause::Egress => Role::Egress,
            Cause::Configuration => Role::Configuration,
            Cause::Api => Role::Api,
        };
        let sources: Vec<&str> = origin
            .expressions
            .iter()
            .map(|one| one.source.as_str())
            .collect();
        let mut steps = vec![Step {
            role,
            object: origin.source.clone(),
            field: origin.field.clone(),
            expression: (!sources.is_empty()).then(|| sources.join(", ")),
        }];
        match origin.cause {
            Cause::Policy => steps.extend(self.policy(object, pointer)),
            Cause::Egress => steps.extend(self.way_out(object, pointer)),
            Cause::Configuration => steps.extend(self.live_files(pointer)),
            Cause::Api => steps.extend(self.offered(object, pointer)),
            Cause::Label => steps.extend(self.names(labelled(pointer))),
            Cause::Template | Cause::Patch | Cause::Hash => {
                for one in &origin.expressions {
                    steps.extend(self.follow(&one.source, &made.below, origin));
                }
            }
        }
        let mut seen = Vec::new();
        steps.retain(|step| {
            let new = !seen.contains(step);
            if new {
                seen.push(step.clone());
            }
            new
        });
        steps
    }
}

/// The name that the platform puts into a label; the label, or a JSON pointer to it.
fn labelled(label: &str) -> &'static str {
    let label = label.rsplit("~1").next().unwrap_or_default();
    let label = label.rsplit('/').next().unwrap_or_default();
    match label {
        "component" => "componentName",
        "component-uid" => "componentUID",
        "track" => "trackName",
        "resource" => "resourceName",
        "resource-uid" => "resourceUID",
        "project" => "projectName",
        "project-uid" => "projectUID",
        "environment" => "environmentName",
        "environment-uid" => "environmentUID",
        "namespace" => "componentNamespace",
        _ => "labels",
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}: ", self.field, self.value)?;
        let is_end = |step: &&Step| {
            !matches!(step.role, Role::Template | Role::Patch | Role::Loop)
                || step.expression.is_none()
        };
        let ends: Vec<String> = self
            .steps
            .iter()
            .filter(is_end)
            .map(ToString::to_string)
            .collect();
        let nearest = self.steps.iter().take(usize::from(ends.is_empty()));
        let ends: Vec<String> = ends
            .into_iter()
            .chain(nearest.map(ToString::to_string))
            .collect();
        f.write_str(&ends.join(", and "))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { object, field, .. } = self;
        match self.role {
            Role::Template => write!(f, "written in {object} at {field}"),
            Role::Patch => write!(f, "patched by {object} at {field}"),
            Role::Loop => write!(f, "repeated by {object} at {field}"),
            Role::Given => write!(f, "set by {object} in {field}"),
            Role::Default => write!(f, "the default that {object} declares in {field}"),
            Role::Unset => write!(f, "made without {field}, which {object} does not set"),
            Role::Name if field == NAMESPACE => write!(f, "the namespace of {object}"),
            Role::Name if field == UID => write!(f, "the uid of {object}"),
            Role::Name => write!(f, "made by the platform of the name of {object}"),
            Role::Label => f.write_str("a label that the platform puts on every object"),
            Role::Hash => f.write_str(
                "the platform's hash of the component's other objects, which restarts its pods \
                 when they change",
            ),
            Role::Policy => {
                f.write_str("part of the network policy that the platform makes for the component")
            }
            Role::Egress => f.write_str(
                "part of the way out that the platform makes for the component's external connections",
            ),
            Role::Configuration => f.write_str(
                "part of the object in which the platform keeps files of configuration groups",
            ),
            Role::Api => f.write_str("part of what the platform makes of the API"),
        }
    }
}
