//! Who names types, traits, workflows, secret references and configuration groups, and who has external
//! connections: the groups by which they are found, and what is said when one of those goes.

use std::collections::BTreeSet;

use choreo_compiler::{groups::secret_keys, release};
use choreo_model::api::ApiSpec;
use choreo_model::application::{ComponentSpec, TraitInstance, WorkloadSpec};
use choreo_model::component_type::ComponentTypeSpec;
use choreo_model::configuration::ConfigurationGroupSpec;
use choreo_model::external::ExternalConnectionSpec;
use choreo_model::project::ProjectSpec;
use choreo_model::release::ReleaseBindingSpec;
use choreo_model::resource::ResourceSpec;
use choreo_model::shared::{EnvVar, FileVar};
use choreo_model::{
    Api, Component, ComponentType, ConfigurationGroup, Project, ReleaseBinding, Resource, Spec,
    Workload,
};

use serde_json::Value;

use crate::decide::some_of;
use crate::key::{By, Group, Key, place};
use crate::tables::Tables;

/// The kinds whose objects can name one of `kind` and need it there; none of any other kind than
/// types, traits, workflows, secret references, configuration groups and external connections.
pub fn users(kind: &str) -> &'static [&'static str] {
    match kind.trim_start_matches("Cluster") {
        "ComponentType" | "Workflow" => &["Component"],
        "Trait" => &["API", "Component", "ComponentType", "ClusterComponentType"],
        "ProjectType" => &["Project"],
        "ResourceType" => &["Resource"],
        "SecretReference" => &[
            "API",
            "Component",
            "Workload",
            "ReleaseBinding",
            "ConfigurationGroup",
        ],
        "ConfigurationGroup" => &["Workload", "ReleaseBinding"],
        "ExternalConnection" => &["ReleaseBinding"],
        _ => &[],
    }
}

/// Whether `object` names the object of `key`.
pub fn names(object: &Value, key: &Key) -> bool {
    let kind = object["kind"].as_str().unwrap_or_default();
    let place = key.place();
    let kept = Tables::default().keep(kind, &object.to_string());
    kept.is_ok_and(|kept| {
        let mut groups = kept.joined.iter();
        groups.any(|group| group.by == By::Material && group.of == place)
    })
}

/// What is said when the object of `key` goes although others name it; nothing when none does.
pub fn left_behind(key: &Key, users: &[Key]) -> Option<String> {
    if users.is_empty() {
        return None;
    }
    let elsewhere = |user: &Key| !user.namespace.is_empty() && user.namespace != key.namespace;
    let users: Vec<String> = users
        .iter()
        .map(|user| match user.namespace.as_str() {
            namespace if elsewhere(user) => {
                format!(
                    "{} \"{}\" of namespace \"{namespace}\"",
                    user.kind, user.name
                )
            }
            _ => format!("{} \"{}\"", user.kind, user.name),
        })
        .collect();
    let (kind, name, users) = (key.kind, &key.name, some_of(&users));
    if kind == ExternalConnectionSpec::KIND {
        let told = "the way is closed there";
        return Some(format!(
            "{kind} \"{name}\" is deleted although {users} had it: {told}"
        ));
    }
    Some(format!(
        "{kind} \"{name}\" is deleted although {users} named it: what runs goes on, but nothing is released or \
         rendered anew with it until it is there again"
    ))
}

pub(crate) fn of_component(component: &Component) -> Vec<Group> {
    let (namespace, spec) = (component.namespace(), &component.spec);
    let type_ = &spec.component_type;
    let type_ = place(
        type_.kind.as_str(),
        type_.namespace(namespace),
        type_.type_name(),
    );
    let traits = of_traits(namespace, &spec.traits);
    let workflow = spec.workflow.iter().map(|one| {
        let reference = &one.reference;
        place(
            reference.kind.as_str(),
            reference.namespace(namespace),
            &reference.name,
        )
    });
    let given = spec.traits.iter().map(|one| &one.parameters);
    let given = given.chain([&spec.parameters]).flatten();
    let secrets = secrets(namespace, given);
    groups::<ComponentSpec>(traits.chain(workflow).chain(secrets).chain([type_]))
}

/// The traits that are named by those that have them in `namespace`.
fn of_traits(namespace: &str, traits: &[TraitInstance]) -> impl Iterator<Item = String> {
    traits.iter().map(move |one| {
        let reference = &one.reference;
        place(
            reference.kind.as_str(),
            reference.namespace(namespace),
            &reference.name,
        )
    })
}

pub(crate) fn of_api(api: &Api) -> Vec<Group> {
    let (namespace, spec) = (api.namespace(), &api.spec);
    let traits = of_traits(namespace, &spec.traits);
    groups::<ApiSpec>(traits.chain(secrets(namespace, spec.given())))
}

pub(crate) fn of_component_type(type_: &ComponentType) -> Vec<Group> {
    let traits = release::embedded_references(type_).map(|reference| {
        let namespace = reference.namespace(type_.namespace());
        place(reference.kind.as_str(), namespace, &reference.name)
    });
    groups::<ComponentTypeSpec>(traits)
}

pub(crate) fn of_project(project: &Project) -> Group {
    let type_ = &project.spec.type_;
    let namespace = type_.namespace(project.namespace());
    group::<ProjectSpec>(&place(type_.kind.as_str(), namespace, &type_.name))
}

pub(crate) fn of_resource(resource: &Resource) -> Group {
    let type_ = &resource.spec.type_;
    let namespace = type_.namespace(resource.namespace());
    group::<ResourceSpec>(&place(type_.kind.as_str(), namespace, &type_.name))
}

pub(crate) fn of_workload(workload: &Workload) -> Vec<Group> {
    let container = &workload.spec.template.container;
    let namespace = workload.namespace();
    let env = container.env_from.iter();
    let files = container.files_from.iter();
    let whole = env
        .map(|from| &from.configuration_group_ref)
        .chain(files.map(|from| &from.configuration_group_ref));
    let whole = whole.map(|group| place("ConfigurationGroup", Some(namespace), &group.name));
    let single = sources(namespace, &container.env, &container.files);
    groups::<WorkloadSpec>(single.into_iter().chain(whole))
}

pub(crate) fn of_binding(binding: &ReleaseBinding) -> Vec<Group> {
    let (namespace, spec) = (binding.namespace(), &binding.spec);
    let configs = spec.trait_environment_configs.values();
    let configs = configs.chain(&spec.component_type_environment_configs);
    let mut named = secrets(namespace, configs);
    let overrides = spec.workload_overrides.as_ref();
    if let Some(container) = overrides.and_then(|all| all.container.as_ref()) {
        named.extend(sources(namespace, &container.env, &container.files));
    }
    // What a component is given nobody names but the platform.
    let external = binding.status.external_connections.iter();
    let given = external.filter_map(|one| one.external_connection.as_ref());
    named.extend(given.map(|name| place("ExternalConnection", Some(namespace), name)));
    groups::<ReleaseBindingSpec>(named)
}

pub(crate) fn of_configuration_group(group: &ConfigurationGroup) -> Vec<Group> {
    let secrets = group.spec.secrets();
    let namespace = group.namespace();
    let secrets = secrets.map(|key| place("SecretReference", Some(namespace), &key.name));
    groups::<ConfigurationGroupSpec>(secrets)
}

/// The secret references that what is given for types and traits names.
fn secrets<'v>(namespace: &str, given: impl Iterator<Item = &'v Value>) -> Vec<String> {
    let mut found = Vec::new();
    for value in given {
        secret_keys(value, 0, &mut |name| {
            found.push(place("SecretReference", Some(namespace), name));
        });
    }
    found
}

/// The secret references and configuration groups that variables and files name.
fn sources(namespace: &str, env: &[EnvVar], files: &[FileVar]) -> Vec<String> {
    let sources = env
        .iter()
        .map(|one| &one.value_from)
        .chain(files.iter().map(|one| &one.value_from));
    let named = sources.flatten().flat_map(|from| {
        let secret = from.secret_key_ref.iter();
        let group = from.configuration_group_ref.iter();
        secret
            .map(|key| ("SecretReference", &key.name))
            .chain(group.map(|key| ("ConfigurationGroup", &key.name)))
    });
    named
        .map(|(kind, name)| place(kind, Some(namespace), name))
        .collect()
}

/// The group of objects of a kind that name what is at each of the places.
fn groups<T: Spec>(places: impl IntoIterator<Item = String>) -> Vec<Group> {
    let places: BTreeSet<String> = places.into_iter().collect();
    places.iter().map(|place| group::<T>(place)).collect()
}

fn group<T: Spec>(place: &str) -> Group {
    Group::new(T::KIND, By::Material, &[place])
}
