//! Releases: what is frozen of a component or a project, and what the release is called.
//!
//! The name carries a hash of the content, so the same content always has the same name, in
//! whatever order traits or keys come.

use crate::Programs;
use crate::canonical;
use crate::freezer::Freezer;
use choreo_model::application::WorkloadSpec;
use choreo_model::component_type::ComponentTypeSpec;
use choreo_model::names::release_hash;
use choreo_model::project::{FrozenProjectType, ProjectReleaseSpec};
use choreo_model::reference::{TraitKind, TraitRef};
use choreo_model::release::{
    ComponentProfile, ComponentReleaseSpec, FrozenComponentType, FrozenTrait,
};
use choreo_model::resource::{FrozenResourceType, ResourceReleaseSpec};
use choreo_model::shared::{ComponentOwner, ProjectOwner, ResourceOwner};
use choreo_model::traits::TraitSpec;
use choreo_model::{
    Component, ComponentType, Object, Project, ProjectType, Resource, ResourceType, Workload,
};
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// A trait, namespaced or not.
pub type AnyTrait = Object<TraitSpec>;

/// Why no release can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A trait the component or its type uses is not there.
    #[error("{0} {1:?} not found")]
    TraitNotFound(String, String),
    /// The component's type does not allow a trait.
    #[error("{object}: traits [{found}] are not in the allowed list [{allowed}]")]
    TraitNotAllowed {
        /// The type, as `Kind "name"`.
        object: String,
        /// The traits that are not allowed.
        found: String,
        /// Those that are.
        allowed: String,
    },
    /// Two traits of the component or its type have the same instance name.
    #[error("instance name {0:?} is used by more than one trait")]
    InstanceNameTwice(String),
    /// The type makes another kind of workload than the component says.
    #[error("{0:?} does not name a type for {1} workloads")]
    WorkloadType(String, String),
    /// A part of the release cannot be written as JSON.
    #[error("the release cannot be written as JSON: {0}")]
    Json(String),
}

impl From<serde_json::Error> for Refusal {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(error.to_string())
    }
}

/// Every trait the release of a component of `type_` holds: embedded ones first.
///
/// A cluster-scoped type can only embed cluster-scoped traits, so there the kind is not asked.
pub fn trait_references(component: &Component, type_: &ComponentType) -> Vec<TraitRef> {
    let embedded = embedded_references(type_);
    let own = component
        .spec
        .traits
        .iter()
        .map(|own| own.reference.clone());
    let mut references: Vec<TraitRef> = embedded.chain(own).collect();
    references.sort();
    references.dedup();
    references
}

/// Every trait that `type_` embeds.
pub fn embedded_references(type_: &ComponentType) -> impl Iterator<Item = TraitRef> {
    let cluster = type_.metadata.namespace.is_none();
    let embedded = type_.spec.traits.iter();
    embedded.map(move |embedded| embedded_reference(&embedded.reference, cluster))
}

/// The reference to a trait that a type means.
pub(crate) fn embedded_reference(reference: &TraitRef, cluster: bool) -> TraitRef {
    let mut reference = reference.clone();
    if cluster {
        reference.kind = TraitKind::ClusterTrait;
    }
    reference
}

/// What stands for the Workload of the line `owner`, of a type that runs nothing.
pub fn no_workload(component: &Component, owner: &ComponentOwner) -> Workload {
    let spec = WorkloadSpec {
        owner: owner.clone(),
        template: Arc::default(),
    };
    Object::new(Some(component.namespace()), &owner.line(), spec)
}

/// Freezes the line of a component that `workload` is of. `traits` must hold the objects of
/// [`trait_references`].
pub fn component_release(
    component: &Component,
    type_: &ComponentType,
    traits: &[&AnyTrait],
    workload: &Workload,
    programs: &Programs,
) -> Result<(String, ComponentReleaseSpec), Refusal> {
    let mut freezer = programs.freezer();
    frozen_release((component, workload), type_, traits, &mut freezer)
}

/// The same, with what `freezer` has of the type and the traits.
pub(crate) fn frozen_release(
    (component, workload): (&Component, &Workload),
    type_: &ComponentType,
    traits: &[&AnyTrait],
    freezer: &mut Freezer,
) -> Result<(String, ComponentReleaseSpec), Refusal> {
    check(component, type_)?;
    let reference = &component.spec.component_type;
    let frozen_type = freezer.type_(&reference.name, &type_.spec)?;
    let mut texts = Vec::new();
    let mut frozen_traits = Vec::new();
    for reference in trait_references(component, type_) {
        let spec = &found(&reference, traits)?.spec;
        let frozen = freezer.trait_(&reference.name, spec)?;
        texts.push(frozen.text);
        frozen_traits.push(FrozenTrait {
            kind: reference.kind,
            name: reference.name,
            spec: frozen.spec,
        });
    }
    let profile = ComponentProfile {
        parameters: component.spec.parameters.clone(),
        traits: component.spec.traits.clone(),
    };
    let used = profile.parameters.is_some() || !profile.traits.is_empty();
    let spec = ComponentReleaseSpec {
        owner: ComponentOwner {
            project_name: component.spec.owner.project_name.clone(),
            component_name: component.name().to_owned(),
            track_name: workload.spec.owner.track_name.clone(),
        },
        component_type: FrozenComponentType {
            kind: reference.kind,
            name: reference.name.clone(),
            spec: frozen_type.spec,
        },
        traits: frozen_traits,
        component_profile: used.then_some(profile),
        workload: workload.spec.template.clone(),
    };
    let content = content(&spec, &frozen_type.text, &texts)?;
    let name = name(&spec.owner.line(), &content);
    Ok((name, spec))
}

/// The release with another image, and the name that it then has.
pub fn with_image(
    release: &ComponentReleaseSpec,
    image: &str,
) -> Result<(String, ComponentReleaseSpec), Refusal> {
    let mut spec = release.clone();
    image.clone_into(&mut Arc::make_mut(&mut spec.workload).container.image);
    let type_ = canonical::text(&value(spec.component_type.spec.as_ref())?);
    let mut traits: Vec<Arc<str>> = Vec::with_capacity(spec.traits.len());
    for one in &spec.traits {
        traits.push(canonical::text(&value(one.spec.as_ref())?).into());
    }
    let content = content(&spec, &type_, &traits)?;
    let name = name(&spec.owner.line(), &content);
    Ok((name, spec))
}

/// Freezes a project.
pub fn project_release(
    project: &Project,
    type_: &ProjectType,
) -> Result<(String, ProjectReleaseSpec), Refusal> {
    let spec = ProjectReleaseSpec {
        owner: ProjectOwner {
            project_name: project.name().to_owned(),
        },
        project_type: FrozenProjectType {
            kind: project.spec.type_.kind,
            name: project.spec.type_.name.clone(),
            spec: type_.spec.clone(),
        },
        parameters: project.spec.parameters.clone(),
    };
    let content = json!({
        "projectType": value(&spec.project_type)?,
        "parameters": spec.parameters,
    });
    Ok((name(project.name(), &canonical::text(&content)), spec))
}

/// Freezes a managed resource.
pub fn resource_release(
    resource: &Resource,
    type_: &ResourceType,
) -> Result<(String, ResourceReleaseSpec), Refusal> {
    let spec = ResourceReleaseSpec {
        owner: ResourceOwner {
            project_name: resource.spec.owner.project_name.clone(),
            resource_name: resource.name().to_owned(),
        },
        resource_type: FrozenResourceType {
            kind: resource.spec.type_.kind,
            name: resource.spec.type_.name.clone(),
            spec: type_.spec.clone(),
        },
        parameters: resource.spec.parameters.clone(),
    };
    let content = json!({
        "resourceType": value(&spec.resource_type)?,
        "parameters": spec.parameters,
    });
    Ok((name(resource.name(), &canonical::text(&content)), spec))
}

/// The hash at the end of a release's name.
pub fn hash_of(release: &str) -> &str {
    release.rsplit_once('-').map_or(release, |(_, hash)| hash)
}

/// Whether the component names its type with the kind of workload that the type makes.
pub fn check_workload_type(component: &Component, type_: &ComponentType) -> Result<(), Refusal> {
    let reference = &component.spec.component_type;
    let made = type_.spec.workload_type.as_str();
    if reference.workload_type() == made {
        return Ok(());
    }
    let (named, made) = (reference.name.clone(), made.to_owned());
    Err(Refusal::WorkloadType(named, made))
}

fn check(component: &Component, type_: &ComponentType) -> Result<(), Refusal> {
    check_workload_type(component, type_)?;
    check_allowed(component, &type_.spec, type_)?;
    let embedded = type_
        .spec
        .traits
        .iter()
        .map(|embedded| &embedded.instance_name);
    let own = component.spec.traits.iter().map(|own| &own.instance_name);
    let mut names: Vec<&String> = embedded.chain(own).collect();
    names.sort();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Refusal::InstanceNameTwice(pair[0].clone())),
        None => Ok(()),
    }
}

fn check_allowed(
    component: &Component,
    spec: &ComponentTypeSpec,
    type_: &ComponentType,
) -> Result<(), Refusal> {
    let cluster = type_.metadata.namespace.is_none();
    let allowed: Vec<TraitRef> = spec
        .allowed_traits
        .iter()
        .map(|allowed| embedded_reference(allowed, cluster))
        .collect();
    let found: Vec<String> = component
        .spec
        .traits
        .iter()
        .filter(|own| !allowed.contains(&own.reference))
        .map(|own| own.reference.to_string())
        .collect();
    if found.is_empty() {
        return Ok(());
    }
    let allowed: Vec<String> = allowed.iter().map(ToString::to_string).collect();
    Err(Refusal::TraitNotAllowed {
        object: format!("{} {:?}", type_.kind(), type_.name()),
        found: found.join(", "),
        allowed: allowed.join(", "),
    })
}

fn found<'t>(reference: &TraitRef, traits: &[&'t AnyTrait]) -> Result<&'t AnyTrait, Refusal> {
    let found = traits.iter().find(|candidate| {
        candidate.name() == reference.name
            && candidate.metadata.namespace.is_none() == reference.kind.is_cluster()
    });
    found
        .copied()
        .ok_or_else(|| Refusal::TraitNotFound(reference.kind.to_string(), reference.name.clone()))
}

/// What the name of a component's release hashes: the canonical text of everything but the owner.
/// That of the type and of each trait is known.
fn content(
    spec: &ComponentReleaseSpec,
    type_: &str,
    traits: &[Arc<str>],
) -> Result<String, Refusal> {
    let text = |value: Value| canonical::text(&value);
    let frozen = |kind: Value, name: &str, spec: &str| {
        let (kind, name) = (text(kind), text(Value::from(name)));
        format!(r#"{{"kind":{kind},"name":{name},"spec":{spec}}}"#)
    };
    let profile = text(value(&spec.component_profile)?);
    let component_type = &spec.component_type;
    let type_ = frozen(value(&component_type.kind)?, &component_type.name, type_);
    let mut all = Vec::new();
    for (one, text) in spec.traits.iter().zip(traits) {
        all.push(frozen(value(&one.kind)?, &one.name, text));
    }
    let traits = all.join(",");
    let workload = text(value(spec.workload.as_ref())?);
    Ok(format!(
        r#"{{"componentProfile":{profile},"componentType":{type_},"traits":[{traits}],"workload":{workload}}}"#
    ))
}

fn value<T: Serialize>(part: &T) -> Result<Value, Refusal> {
    Ok(serde_json::to_value(part)?)
}

fn name(owner: &str, content: &str) -> String {
    format!("{owner}-{}", release_hash(content.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_canonical() {
        let release = json!({
            "owner": {"projectName": "p", "componentName": "c"},
            "componentType": {"kind": "ClusterComponentType", "name": "deployment/a\"b", "spec": {
                "workloadType": "deployment", "resources": [],
            }},
            "traits": [
                {"kind": "ClusterTrait", "name": "x", "spec": {"creates": []}},
                {"kind": "Trait", "name": "y", "spec": {}},
            ],
            "workload": {"container": {"image": "i"}},
        });
        let spec: ComponentReleaseSpec = serde_json::from_value(release).expect("a release");
        let text =
            |part: &dyn Fn() -> Result<Value, Refusal>| canonical::text(&part().expect("a value"));
        let type_ = text(&|| value(spec.component_type.spec.as_ref()));
        let traits = spec.traits.iter();
        let traits: Vec<Arc<str>> = traits
            .map(|one| text(&|| value(one.spec.as_ref())).into())
            .collect();
        let mut whole = value(&spec).expect("a value");
        let fields = whole.as_object_mut().expect("an object");
        fields.remove("owner");
        fields.entry("componentProfile").or_insert(Value::Null);
        let found = content(&spec, &type_, &traits).expect("a text");
        assert_eq!(found, canonical::text(&whole));
        // The same content has the same name, however it came about.
        let own = name("c", &found);
        let (named, same) = with_image(&spec, "i").expect("a release");
        assert_eq!((named.as_str(), &same), (own.as_str(), &spec));
        let (named, other) = with_image(&spec, "j").expect("a release");
        assert_ne!(named, own);
        assert_eq!(other.workload.container.image, "j");
    }
}
