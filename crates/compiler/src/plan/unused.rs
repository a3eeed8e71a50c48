//! New objects that make no difference, because nothing that is rendered is made of them.

use crate::explain::type_object;
use crate::fleet::{Fleet, Name, ObjectName, Snapshot};
use crate::groups;
use crate::snapshot::ComponentSnapshot;
use choreo_model::project::ProjectReleaseSpec;
use choreo_model::release::ComponentReleaseSpec;
use choreo_model::resource::ResourceReleaseSpec;
use choreo_model::{Object, Spec};
use std::collections::BTreeSet;

/// The objects that only `after` has and that none of its bindings, called `names`, is made of. New
/// releases are told of elsewhere.
pub(super) fn unused(before: &Fleet, after: &Fleet, names: &[Name]) -> Vec<ObjectName> {
    let known = before.object_names();
    let mut new: BTreeSet<ObjectName> = after.object_names();
    let releases = [
        ComponentReleaseSpec::KIND,
        ProjectReleaseSpec::KIND,
        ResourceReleaseSpec::KIND,
    ];
    new.retain(|one| !known.contains(one) && !releases.contains(&one.kind.as_str()));
    for name in names {
        if new.is_empty() {
            break;
        }
        for used in made_of(after, name) {
            new.remove(&used);
        }
    }
    new.into_iter().collect()
}

/// What the binding `name` is, and what it is made of.
fn made_of(fleet: &Fleet, name: &Name) -> Vec<ObjectName> {
    let namespace = &name.namespace;
    let mut found = fleet.around(name);
    let pipelines = found.iter().filter_map(|one| fleet.pipeline_of(one));
    let pipelines: Vec<ObjectName> = pipelines.map(of).collect();
    found.extend(pipelines);
    found.push(named(name.of.binding_kind(), namespace, &name.name));
    let Some(Ok(snapshot)) = fleet.snapshot(name) else {
        return found;
    };
    found.extend(snapshot.places().map(|(_, _, plane)| of(plane)));
    match snapshot {
        Snapshot::Component(one) => of_component(fleet, &one, &mut found),
        Snapshot::Project(one) => {
            let type_ = &one.release.project_type;
            found.push(named(&type_.kind.to_string(), namespace, &type_.name));
        }
        Snapshot::Resource(one) => {
            let type_ = &one.release.resource_type;
            found.push(named(&type_.kind.to_string(), namespace, &type_.name));
        }
        Snapshot::Api(one) => {
            found.extend(one.traits.iter().flatten().map(|one| of(*one)));
            found.extend(one.secret_references.iter().map(|one| of(*one)));
        }
        Snapshot::Run(one) => {
            found.extend([of(one.workflow), of(one.plane)]);
            found.extend(one.secret_references.iter().map(|one| of(*one)));
        }
    }
    found
}

fn of_component(fleet: &Fleet, snapshot: &ComponentSnapshot<'_>, found: &mut Vec<ObjectName>) {
    let binding = snapshot.binding;
    let (namespace, owner) = (binding.namespace(), &binding.spec.owner);
    if let Some((kind, name)) = type_object(snapshot).split_once('/') {
        found.push(named(kind, namespace, name));
    }
    let traits = snapshot.release.traits.iter();
    found.extend(traits.map(|one| named(&one.kind.to_string(), namespace, &one.name)));
    let workloads = fleet.workloads_of(namespace, owner);
    found.extend(workloads.into_iter().map(of));
    let workload = &snapshot.release.workload;
    let groups = groups::used(workload, &binding.spec);
    let groups = groups.iter();
    found.extend(groups.map(|name| named("ConfigurationGroup", namespace, name)));
    let secrets = groups::secrets(
        snapshot.release,
        &binding.spec,
        &snapshot.configuration_groups,
        snapshot.environment,
    );
    let secrets = secrets.iter();
    found.extend(secrets.map(|name| named("SecretReference", namespace, name)));
}

fn of<T: Spec>(object: &Object<T>) -> ObjectName {
    named(object.kind(), object.namespace(), object.name())
}

/// The object called `name`, in `namespace` unless its kind is in none.
fn named(kind: &str, namespace: &str, name: &str) -> ObjectName {
    let in_none = kind.starts_with("Cluster");
    ObjectName {
        kind: kind.to_owned(),
        namespace: if in_none { "" } else { namespace }.to_owned(),
        name: name.to_owned(),
    }
}
