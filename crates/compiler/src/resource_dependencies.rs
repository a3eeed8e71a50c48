//! What a workload gets of the managed resources it depends on: variables, files, and what it
//! still waits for.

use choreo_model::application::{ResourceDependency, WorkloadTemplate};
use choreo_model::conditions::{self, types};
use choreo_model::names;
use choreo_model::release::{PendingResourceDependency, ResourceDependencyTarget};
use choreo_model::resource::ResourceReleaseBindingSpec;
use choreo_model::resource_type::ResourceOutput;
use choreo_model::shared::KeyRef;
use choreo_model::{Object, ResourceReleaseBinding};
use choreo_template::{Members, Tree, tree};
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
    pub(crate) variables: Vec<Tree>,
    pub(crate) mounts: Vec<Tree>,
    pub(crate) volumes: Vec<Tree>,
}

impl Item {
    /// The item as templates see it.
    pub(crate) fn value(&self) -> Tree {
        tree!({
            "envVars": self.variables.clone(),
            "ref": &self.reference,
            "volumeMounts": self.mounts.clone(),
            "volumes": self.volumes.clone(),
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
            "ResourceReleaseBinding {:?} is not ready: {}",
            binding.name(),
            why_not_ready(binding)
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

fn why_not_ready(binding: &ResourceReleaseBinding) -> &str {
    let told = &binding.status.conditions;
    let told = [types::READY, types::FINALIZING]
        .iter()
        .find_map(|type_| conditions::find(told, type_));
    match told {
        Some(told) if told.type_ == types::FINALIZING => "it is being deleted",
        Some(told) if told.status != "True" => &told.message,
        Some(_) | None => "it has not been looked at since it was changed",
    }
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
            .push(tree!({"mountPath": path, "name": &volume, "subPath": &reference.key}));
        volumes.insert(
            (kind.name(), reference.name.clone()),
            kind.volume(&volume, reference),
        );
    }
    item.volumes = volumes.into_values().collect();
    Ok(item)
}

fn env_variable(name: &str, output: &ResourceOutput) -> Tree {
    let mut variable = Members::default();
    variable.insert("name", name);
    if output.value.as_deref() == Some("") {
        return Tree::Object(variable);
    }
    let reference = |field: &'static str, reference: &KeyRef| {
        let key = tree!({"key": &reference.key, "name": &reference.name});
        ("valueFrom", tree!({ field: key }))
    };
    let (field, value) = match (&output.secret_key_ref, &output.config_map_key_ref) {
        (Some(secret), _) => reference("secretKeyRef", secret),
        (None, Some(config)) => reference("configMapKeyRef", config),
        (None, None) => {
            let value = output.value.clone().unwrap_or_default();
            ("value", Tree::from(value))
        }
    };
    variable.insert(field, value);
    Tree::Object(variable)
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

    fn volume(self, name: &str, reference: &KeyRef) -> Tree {
        match self {
            Self::Secret => tree!({"name": name, "secret": {"secretName": &reference.name}}),
            Self::ConfigMap => tree!({"name": name, "configMap": {"name": &reference.name}}),
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const NAMESPACE: &str = "acme";

    fn binding(name: &str, status: &Value) -> ResourceReleaseBinding {
        let binding = json!({
            "metadata": {"name": name, "namespace": NAMESPACE, "generation": 2},
            "spec": {
                "owner": {"projectName": "shop", "resourceName": "db"},
                "environment": "development",
            },
            "status": status,
        });
        serde_json::from_value(binding).expect("a binding")
    }

    fn ready(about: i64, says: &str) -> Value {
        json!({
            "conditions": [{
                "type": "Ready", "status": says, "reason": "Ready", "message": "",
                "observedGeneration": about, "lastTransitionTime": "2026-01-01T00:00:00Z",
            }],
            "outputs": [
                {"name": "host", "value": "db.cell"},
                {"name": "password", "secretKeyRef": {"name": "db-creds", "key": "password"}},
                {"name": "ca", "secretKeyRef": {"name": "db-creds", "key": "ca.crt"}},
                {"name": "database", "configMapKeyRef": {"name": "db-config", "key": "database"}},
            ],
        })
    }

    fn resolved(dependency: &Value, bindings: &[ResourceReleaseBinding]) -> Resources {
        let workload = json!({
            "container": {"image": "i"},
            "dependencies": {"resources": [dependency]},
        });
        let workload = serde_json::from_value(workload).expect("a workload");
        let target = ResourceDependencyTarget {
            namespace: NAMESPACE.to_owned(),
            project: "shop".to_owned(),
            resource: "db".to_owned(),
            environment: "development".to_owned(),
        };
        resolve(&workload, &[target], &bindings.iter().collect::<Vec<_>>())
    }

    #[test]
    fn a_workload_gets_variables_and_files() {
        let dependency = json!({
            "ref": "db",
            "envBindings": {"host": "DB_HOST", "password": "DB_PASSWORD", "database": "DB_NAME"},
            "fileBindings": {
                "ca": "/etc/db/ca.crt", "password": "/etc/db/password", "database": "/etc/db/name",
            },
        });
        let found = resolved(&dependency, &[binding("db-development", &ready(2, "True"))]);
        assert_eq!(found.pending, []);
        let [item] = found.items.as_slice() else {
            panic!("{found:?}")
        };
        let secret = |key: &str| json!({"secretKeyRef": {"name": "db-creds", "key": key}});
        let config = json!({"configMapKeyRef": {"name": "db-config", "key": "database"}});
        let mount = |volume: &str, path: &str, key: &str| json!({"name": volume, "mountPath": path, "subPath": key});
        assert_eq!(
            item.value(),
            json!({
                "ref": "db",
                "envVars": [
                    {"name": "DB_NAME", "valueFrom": config},
                    {"name": "DB_HOST", "value": "db.cell"},
                    {"name": "DB_PASSWORD", "valueFrom": secret("password")},
                ],
                "volumeMounts": [
                    mount("r-a3243279", "/etc/db/ca.crt", "ca.crt"),
                    mount("r-02264abc", "/etc/db/name", "database"),
                    mount("r-a3243279", "/etc/db/password", "password"),
                ],
                "volumes": [
                    {"name": "r-02264abc", "configMap": {"name": "db-config"}},
                    {"name": "r-a3243279", "secret": {"secretName": "db-creds"}},
                ],
            })
        );
    }

    #[track_caller]
    fn check_pending(dependency: &Value, bindings: &[ResourceReleaseBinding], reason: &str) {
        let found = resolved(dependency, bindings);
        assert_eq!(found.items, []);
        let reasons: Vec<&str> = found
            .pending
            .iter()
            .map(|one| one.reason.as_str())
            .collect();
        assert_eq!(reasons, [reason]);
    }

    #[test]
    fn what_is_waited_for_is_told() {
        let host = json!({"ref": "db", "envBindings": {"host": "DB_HOST"}});
        let there = binding("db-development", &ready(2, "True"));
        check_pending(
            &host,
            &[],
            "ResourceReleaseBinding not found for resource \"db\"",
        );
        check_pending(
            &host,
            &[there.clone(), binding("other", &ready(2, "True"))],
            "multiple ResourceReleaseBindings found for resource \"db\"",
        );
        let stale = "it has not been looked at since it was changed";
        let mut starting = ready(2, "False");
        starting["conditions"][0]["message"] = json!("it starts");
        let mut leaving = ready(2, "True");
        leaving["conditions"][0]["type"] = json!("Finalizing");
        for (status, why) in [
            (json!({}), stale),
            (ready(1, "True"), stale),
            (starting, "it starts"),
            (leaving, "it is being deleted"),
        ] {
            check_pending(
                &host,
                &[binding("db-development", &status)],
                &format!("ResourceReleaseBinding \"db-development\" is not ready: {why}"),
            );
        }
        check_pending(
            &json!({"ref": "db", "envBindings": {"port": "DB_PORT"}}),
            std::slice::from_ref(&there),
            "output \"port\" is not resolved; there are [host, password, ca, database]",
        );
        check_pending(
            &json!({"ref": "db", "fileBindings": {"host": "/etc/host"}}),
            std::slice::from_ref(&there),
            "output \"host\" is a plain value, which no file can come of: use envBindings",
        );
    }
}
