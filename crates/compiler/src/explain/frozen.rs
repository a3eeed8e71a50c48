//! Where the releases keep what steps name: what runs was made of a release, and the object that
//! the release was cut of may say something else by now.

use super::given::type_object;
use super::{Explained, Step};
use crate::fleet::Snapshot;
use crate::snapshot::ComponentSnapshot;
use choreo_model::Spec;
use choreo_model::project::ProjectReleaseSpec;
use choreo_model::release::ComponentReleaseSpec;
use choreo_model::resource::ResourceReleaseSpec;
use serde::Serialize;

/// A field of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Frozen {
    /// The release, as `Kind/name`.
    pub object: String,
    /// Its field.
    pub field: String,
}

impl Explained<'_> {
    /// Where the release of the binding keeps what `step` names; nothing when that is not frozen.
    pub fn frozen(&self, step: &Step) -> Option<Frozen> {
        let (kind, release, field) = match &self.snapshot {
            Snapshot::Component(one) => (
                ComponentReleaseSpec::KIND,
                &one.binding.spec.release_name,
                of_component(one, step)?,
            ),
            Snapshot::Project(one) => {
                let frozen = &one.release.project_type;
                let type_ = format!("{}/{}", frozen.kind, frozen.name);
                let project = format!("Project/{}", one.project.name());
                (
                    ProjectReleaseSpec::KIND,
                    &one.binding.spec.project_release,
                    of_type_or_owner(step, (&type_, "projectType"), &project)?,
                )
            }
            Snapshot::Resource(one) => {
                let frozen = &one.release.resource_type;
                let type_ = format!("{}/{}", frozen.kind, frozen.name);
                let resource = format!("Resource/{}", one.resource.name());
                (
                    ResourceReleaseSpec::KIND,
                    &one.binding.spec.resource_release,
                    of_type_or_owner(step, (&type_, "resourceType"), &resource)?,
                )
            }
            Snapshot::Run(_) | Snapshot::Api(_) => return None,
        };
        Some(Frozen {
            object: format!("{kind}/{release}"),
            field,
        })
    }
}

fn of_component(snapshot: &ComponentSnapshot<'_>, step: &Step) -> Option<String> {
    let (kind, name) = step.object.split_once('/')?;
    let field = step.field.as_str();
    if step.object == type_object(snapshot) {
        return Some(format!("spec.componentType.{field}"));
    }
    match kind {
        "Trait" | "ClusterTrait" => {
            let traits = &snapshot.release.traits;
            let is_it = |one: &choreo_model::release::FrozenTrait| {
                one.name == name && one.kind.to_string() == kind
            };
            let index = traits.iter().position(is_it)?;
            Some(format!("spec.traits[{index}].{field}"))
        }
        "Workload" => inside(field, "spec.workload"),
        "Component" if name == snapshot.component.name() => inside(field, "spec.componentProfile"),
        _ => None,
    }
}

/// A release of a project or a resource: the type, and the parameters.
fn of_type_or_owner(step: &Step, (type_, at): (&str, &str), owner: &str) -> Option<String> {
    if step.object == type_ {
        return Some(format!("spec.{at}.{}", step.field));
    }
    let is_parameter = step.object == owner && step.field.starts_with("spec.parameters");
    is_parameter.then(|| step.field.clone())
}

/// The field of a specification, with the specification at `root`.
fn inside(field: &str, root: &str) -> Option<String> {
    let rest = field.strip_prefix("spec.")?;
    Some(format!("{root}.{rest}"))
}
