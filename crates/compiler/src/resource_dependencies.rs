//! What a workload gets of the managed resources it depends on: variables, files, and what it
//! still waits for.

use choreo_model::application::{ResourceDependency, WorkloadTemplate};
use choreo_model::conditions::{self, types};
use choreo_model::names;
use choreo_model::release::{PendingResourceDependency, ResourceDependencyTarget};
use choreo_model::resource::{ResourceOutput, ResourceReleaseBindingSpec};
use choreo_model::shared::KeyRef;
use choreo_model::{Object, ResourceReleaseBinding};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The managed resources of one component, with what it gets of them as far as it is known.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Resources {
    /// Those whose outputs are known.
    pub(crate) items: Vec<Item>,
    /// Those that are waited for, and why.
    pub(crate) pending: Vec<PendingResourceDependency>,
}

/// What a workload gets of one resource.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Item {
    reference: String,
    pub(crate) variables: Vec<Value>,
    pub(crate) mounts: Vec<Value>,
    pub(crate) volumes: Vec<Value>,
}

impl Item {
    /// The item as templates see it.
    pub(crate) fn value(&self) -> Value {
        json!({
            "ref": self.reference,
            "envVars": self.variables,
            "volumeMounts": self.mounts,
            "volumes": self.volumes,
        })
    }
}

/// Whether `binding` puts the resource `target` names into its environment.
pub fn serves(
    binding: &Object<ResourceReleaseBindingSpec>,
    target: &ResourceDependencyTarget,
) -> bool {
    let spec = &binding.spec;
    binding.namespace() == target.namespace
        && spec.owner.project_name == target.project
        && spec.owner.resource_name == target.resource
        && spec.environment == target.environment
}

/// Looks every dependency up among `bindings`. `targets` are those of the workload, in its order.
pub(crate) fn resolve(
    workload: &WorkloadTemplate,
    targets: &[ResourceDependencyTarget],
    bindings: &[&ResourceReleaseBinding],
) -> Resources {
    let dependencies = workload.dependencies.iter().flat_map(|all| &all.resources);
    let mut resources = Resources::default();
    for (dependency, target) in dependencies.zip(targets) {
        let outputs = outputs(target, bindings);
        match outputs.and_then(|outputs| item(dependency, outputs)) {
            Ok(item) => resources.items.push(item),
            Err(reason) => resources.pending.push(PendingResourceDependency {
                namespace: target.namespace.clone(),
                project: target.project.clone(),
                resource: target.resource.clone(),
                reason,
            }),
        }
    }
    resources
}

fn outputs<'b>(
    target: &ResourceDependencyTarget,
    bindings: &[&'b ResourceReleaseBinding],
) -> Result<&'b [ResourceOutput], String> {
    let serving: Vec<_> = bindings
        .iter()
        .filter(|binding| serves(binding, target))
        .collect();
    let resource = &target.resource;
    match serving.as_slice() {
        [] => Err(format!(
            "ResourceReleaseBinding not found for resource {resource:?}"
        )),
        [binding] if is_ready(binding) => Ok(&binding.status.outputs),
        [binding] => Err(format!(
            "ResourceReleaseBinding {:?} is not ready",
            binding.name()
        )),
        _ => Err(format!(
            "multiple ResourceReleaseBindings found for resource {resource:?}"
        )),
    }
}

/// Whether the resource is ready as it is wanted now, not as it was wanted before.
fn is_ready(binding: &ResourceReleaseBinding) -> bool {
    let ready = conditions::find(&binding.status.conditions, types::READY);
    ready.is_some_and(|ready| {
        let about = ready.observed_generation.unwrap_or_default();
        ready.status == "True" && about >= binding.generation()
    })
}

fn item(dependency: &ResourceDependency, outputs: &[ResourceOutput]) -> Result<Item, String> {
    let find = |name: &String| {
        let found = outputs.iter().find(|output| output.name == *name);
        found.ok_or_else(|| {
            let names: Vec<&str> = outputs.iter().map(|one| one.name.as_str()).collect();
            format!(
                "output {name:?} is not resolved; there are [{}]",
                names.join(", ")
            )
        })
    };
    let mut item = Item {
        reference: dependency.reference.clone(),
        ..Item::default()
    };
    for (name, variable) in &dependency.env_bindings {
        item.variables.push(env_variable(variable, find(name)?));
    }
    // One volume per secret or config map, however many files come of it.
    let mut volumes = BTreeMap::new();
    for (name, path) in &dependency.file_bindings {
        let (kind, reference) = mountable(name, find(name)?)?;
        let volume = volume_name(&dependency.reference, kind, &reference.name);
        item.mounts
            .push(json!({"name": volume, "mountPath": path, "subPath": reference.key}));
        volumes.insert(
            (kind.name(), reference.name.clone()),
            kind.volume(&volume, reference),
        );
    }
    item.volumes = volumes.into_values().collect();
    Ok(item)
}

fn env_variable(name: &str, output: &ResourceOutput) -> Value {
    let mut variable = Map::new();
    variable.insert("name".to_owned(), Value::from(name));
    let reference = |field: &str, reference: &KeyRef| {
        let key = json!({"name": reference.name, "key": reference.key});
        ("valueFrom".to_owned(), json!({ field: key }))
    };
    let (field, value) = match (&output.secret_key_ref, &output.config_map_key_ref) {
        (Some(secret), _) => reference("secretKeyRef", secret),
        (None, Some(config)) => reference("configMapKeyRef", config),
        (None, None) => {
            let value = output.value.clone().unwrap_or_default();
            ("value".to_owned(), Value::from(value))
        }
    };
    variable.insert(field, value);
    Value::Object(variable)
}

/// What a file can come of.
#[derive(Debug, Clone, Copy)]
enum Source {
    Secret,
    ConfigMap,
}

impl Source {
    const fn name(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::ConfigMap => "configmap",
        }
    }

    fn volume(self, name: &str, reference: &KeyRef) -> Value {
        match self {
            Self::Secret => json!({"name": name, "secret": {"secretName": reference.name}}),
            Self::ConfigMap => json!({"name": name, "configMap": {"name": reference.name}}),
        }
    }
}

fn mountable<'o>(name: &str, output: &'o ResourceOutput) -> Result<(Source, &'o KeyRef), String> {
    match (&output.secret_key_ref, &output.config_map_key_ref) {
        (Some(secret), _) => Ok((Source::Secret, secret)),
        (None, Some(config)) => Ok((Source::ConfigMap, config)),
        (None, None) => Err(format!(
            "output {name:?} is a plain value, which no file can come of: use envBindings"
        )),
    }
}

fn volume_name(reference: &str, source: Source, name: &str) -> String {
    let key = format!("{reference}:{}:{name}", source.name());
    format!("r-{}", names::fnv1a(&key))
}
