//! Where the values of `parameters` and `environmentConfigs` are given.

use super::{Explained, Role, Step};
use crate::api::ApiSnapshot;
use crate::diagnostic::dotted;
use crate::fleet::Snapshot;
use crate::origin::join;
use crate::release::embedded_reference;
use crate::snapshot::{ComponentSnapshot, ResourceSnapshot, WorkflowSnapshot};
use choreo_model::shared::SchemaSection;
use serde_json::Value;

/// One section of values: what is given, where, and the schema it satisfies.
#[derive(Debug)]
pub(super) struct Section<'a> {
    value: Option<&'a Value>,
    /// The object and the field (as JSON pointer) that give the values.
    given: (String, String),
    schema: Option<&'a SchemaSection>,
    /// The object that declares the schema.
    declared: String,
    /// The name of the section: `parameters` or `environmentConfigs`.
    name: &'a str,
    /// Whether the values may be templates: those a type gives to its own traits.
    pub(super) is_template: bool,
}

impl Explained<'_> {
    /// The section called `name` as the type sees it, or the trait's `instance`.
    pub(super) fn section<'a>(
        &'a self,
        name: &'a str,
        instance: Option<&str>,
    ) -> Option<Section<'a>> {
        match (&self.snapshot, instance) {
            (Snapshot::Component(snapshot), None) => Some(of_type(snapshot, name)),
            (Snapshot::Component(snapshot), Some(instance)) => {
                embedded(snapshot, name, instance).or_else(|| own(snapshot, name, instance))
            }
            (Snapshot::Project(snapshot), _) => {
                let frozen = &snapshot.release.project_type;
                let (value, schema, object) = if name == "parameters" {
                    let object = format!("Project/{}", snapshot.project.name());
                    (
                        &snapshot.release.parameters,
                        &frozen.spec.parameters,
                        object,
                    )
                } else {
                    let object = format!("ProjectReleaseBinding/{}", snapshot.binding.name());
                    let value = &snapshot.binding.spec.environment_configs;
                    (value, &frozen.spec.environment_configs, object)
                };
                Some(Section {
                    value: value.as_ref(),
                    given: (object, format!("/spec/{name}")),
                    schema: schema.as_ref(),
                    declared: format!("{}/{}", frozen.kind, frozen.name),
                    name,
                    is_template: false,
                })
            }
            (Snapshot::Resource(snapshot), _) => Some(of_resource(snapshot, name)),
            (Snapshot::Run(snapshot), _) => Some(of_run(snapshot, name)),
            (Snapshot::Api(snapshot), instance) => of_api(snapshot, name, instance?),
        }
    }
}

fn of_resource<'a>(snapshot: &ResourceSnapshot<'a>, name: &'a str) -> Section<'a> {
    let frozen = &snapshot.release.resource_type;
    let (value, schema, given) = if name == "parameters" {
        let object = format!("Resource/{}", snapshot.resource.name());
        let value = &snapshot.release.parameters;
        (value, &frozen.spec.parameters, (object, "/spec/parameters"))
    } else {
        let object = format!("ResourceReleaseBinding/{}", snapshot.binding.name());
        let value = &snapshot.binding.spec.resource_type_environment_configs;
        let given = (object, "/spec/resourceTypeEnvironmentConfigs");
        (value, &frozen.spec.environment_configs, given)
    };
    Section {
        value: value.as_ref(),
        given: (given.0, given.1.to_owned()),
        schema: schema.as_ref(),
        declared: format!("{}/{}", frozen.kind, frozen.name),
        name,
        is_template: false,
    }
}

/// What an API gives to a trait that it chose.
fn of_api<'a>(snapshot: &ApiSnapshot<'a>, name: &'a str, instance: &str) -> Option<Section<'a>> {
    let spec = &snapshot.api.spec;
    let index = spec
        .traits
        .iter()
        .position(|one| one.instance_name == instance)?;
    let one = &spec.traits[index];
    let declared = &snapshot.traits.get(index).copied().flatten()?.spec;
    let (value, schema, field) = if name == "parameters" {
        let field = format!("/spec/traits/{index}/parameters");
        (one.parameters.as_ref(), &declared.parameters, field)
    } else {
        let environment = snapshot.environment.name();
        let configs = spec.trait_environment_configs.get(environment);
        let field = join("/spec/traitEnvironmentConfigs", environment);
        (
            configs.and_then(|configs| configs.get(instance)),
            &declared.environment_configs,
            join(&field, instance),
        )
    };
    Some(Section {
        value,
        given: (format!("API/{}", snapshot.api.name()), field),
        schema: schema.as_ref(),
        declared: format!("{}/{}", one.reference.kind, one.reference.name),
        name,
        is_template: false,
    })
}

/// A run has parameters only.
fn of_run<'a>(snapshot: &WorkflowSnapshot<'a>, name: &'a str) -> Section<'a> {
    let (workflow, run) = (snapshot.workflow, snapshot.run);
    Section {
        value: run.spec.workflow.parameters.as_ref(),
        given: (
            format!("{}/{}", run.kind(), run.name()),
            "/spec/workflow/parameters".to_owned(),
        ),
        schema: workflow.spec.parameters.as_ref(),
        declared: format!("{}/{}", workflow.kind(), workflow.name()),
        name,
        is_template: false,
    }
}

/// The name of the type of a component, as `Kind/name`.
pub(crate) fn type_object(snapshot: &ComponentSnapshot<'_>) -> String {
    let frozen = &snapshot.release.component_type;
    let name = frozen.name.rsplit('/').next().unwrap_or(&frozen.name);
    format!("{}/{name}", frozen.kind)
}

fn of_type<'a>(snapshot: &ComponentSnapshot<'a>, name: &'a str) -> Section<'a> {
    let spec = &snapshot.release.component_type.spec;
    let profile = snapshot.release.component_profile.as_ref();
    let (value, schema, given) = if name == "parameters" {
        let value = profile.and_then(|profile| profile.parameters.as_ref());
        let object = format!("Component/{}", snapshot.component.name());
        (value, &spec.parameters, (object, "/spec/parameters"))
    } else {
        let value = &snapshot.binding.spec.component_type_environment_configs;
        let object = format!("ReleaseBinding/{}", snapshot.binding.name());
        let given = (object, "/spec/componentTypeEnvironmentConfigs");
        (value.as_ref(), &spec.environment_configs, given)
    };
    Section {
        value,
        given: (given.0, given.1.to_owned()),
        schema: schema.as_ref(),
        declared: type_object(snapshot),
        name,
        is_template: false,
    }
}

/// What the type gives to a trait of its own.
fn embedded<'a>(
    snapshot: &ComponentSnapshot<'a>,
    name: &'a str,
    instance: &str,
) -> Option<Section<'a>> {
    let frozen = &snapshot.release.component_type;
    let index = frozen
        .spec
        .traits
        .iter()
        .position(|one| one.instance_name == instance)?;
    let one = &frozen.spec.traits[index];
    let reference = embedded_reference(&one.reference, frozen.kind.is_cluster());
    let value = if name == "parameters" {
        &one.parameters
    } else {
        &one.environment_configs
    };
    let found = snapshot
        .release
        .traits
        .iter()
        .find(|frozen| frozen.kind == reference.kind && frozen.name == reference.name)?;
    Some(Section {
        value: value.as_ref(),
        given: (
            type_object(snapshot),
            format!("/spec/traits/{index}/{name}"),
        ),
        schema: schema_of(found, name),
        declared: format!("{}/{}", reference.kind, reference.name),
        name,
        is_template: true,
    })
}

/// What a component gives to a trait that it chose.
fn own<'a>(snapshot: &ComponentSnapshot<'a>, name: &'a str, instance: &str) -> Option<Section<'a>> {
    let profile = snapshot.release.component_profile.as_ref()?;
    let index = profile
        .traits
        .iter()
        .position(|one| one.instance_name == instance)?;
    let one = &profile.traits[index];
    let found =
        snapshot.release.traits.iter().find(|frozen| {
            frozen.kind == one.reference.kind && frozen.name == one.reference.name
        })?;
    let (value, given) = if name == "parameters" {
        let object = format!("Component/{}", snapshot.component.name());
        let field = format!("/spec/traits/{index}/parameters");
        (one.parameters.as_ref(), (object, field))
    } else {
        let object = format!("ReleaseBinding/{}", snapshot.binding.name());
        let configs = &snapshot.binding.spec.trait_environment_configs;
        let field = join("/spec/traitEnvironmentConfigs", instance);
        (configs.get(instance), (object, field))
    };
    Some(Section {
        value,
        given,
        schema: schema_of(found, name),
        declared: format!("{}/{}", found.kind, found.name),
        name,
        is_template: false,
    })
}

fn schema_of<'a>(
    found: &'a choreo_model::release::FrozenTrait,
    name: &str,
) -> Option<&'a SchemaSection> {
    if name == "parameters" {
        found.spec.parameters.as_ref()
    } else {
        found.spec.environment_configs.as_ref()
    }
}

impl Section<'_> {
    /// Where the value at `path` comes from; and, when that may be a template, its text and what is
    /// left of the path below it.
    pub(super) fn source<'p>(&self, path: &'p [String]) -> (Step, Option<(&str, &'p [String])>) {
        if let Some((pointer, value)) = self.value.and_then(|value| reach(value, path)) {
            let step = Step {
                role: Role::Given,
                object: self.given.0.clone(),
                field: dotted(&format!("{}{pointer}", self.given.1)),
                expression: None,
            };
            let text = value.as_str().filter(|_| self.is_template);
            let depth = pointer.matches('/').count();
            return (step, text.map(|text| (text, &path[depth..])));
        }
        let root = self.schema.and_then(|one| one.open_api_v3_schema.as_ref());
        let step = match root.and_then(|root| default(root, path)) {
            Some(pointer) => Step {
                role: Role::Default,
                object: self.declared.clone(),
                field: dotted(&format!("/spec/{}/openAPIV3Schema{pointer}", self.name)),
                expression: None,
            },
            None => Step {
                role: Role::Unset,
                object: self.given.0.clone(),
                field: dotted(
                    &path
                        .iter()
                        .fold(self.given.1.clone(), |at, part| join(&at, part)),
                ),
                expression: None,
            },
        };
        (step, None)
    }
}

/// The value at `path`, or the text on the way that stands for it.
fn reach<'v>(value: &'v Value, path: &[String]) -> Option<(String, &'v Value)> {
    let (mut value, mut pointer) = (value, String::new());
    for part in path {
        let inner = match value {
            Value::Object(fields) => fields.get(part)?,
            Value::Array(items) => items.get(part.parse::<usize>().ok()?)?,
            Value::String(_) => return Some((pointer, value)),
            Value::Null | Value::Bool(_) | Value::Number(_) => return None,
        };
        value = inner;
        pointer = join(&pointer, part);
    }
    (!value.is_null()).then_some((pointer, value))
}

/// Where in the schema `root` the default of the value at `path` is: its own, or one around it
/// that holds it.
fn default(root: &Value, path: &[String]) -> Option<String> {
    let mut found = None;
    let mut pointer = followed(root, String::new());
    for depth in 0..=path.len() {
        let schema = root.pointer(&pointer)?;
        let rest = &path[depth..];
        if let Some(default) = schema.get("default")
            && reach(default, rest).is_some()
        {
            found = Some(format!("{pointer}/default"));
        }
        let Some(part) = rest.first() else { break };
        let inside = [
            join(&format!("{pointer}/properties"), part),
            format!("{pointer}/additionalProperties"),
            format!("{pointer}/items"),
        ];
        let Some(next) = inside
            .into_iter()
            .find(|pointer| root.pointer(pointer).is_some_and(Value::is_object))
        else {
            break;
        };
        pointer = followed(root, next);
    }
    found
}

/// Where `pointer` leads when the schema there is a reference to another part.
fn followed(root: &Value, pointer: String) -> String {
    let reference = root
        .pointer(&pointer)
        .and_then(|schema| schema.get("$ref")?.as_str()?.strip_prefix('#'));
    match reference {
        Some(target) if root.pointer(target).is_some() => target.to_owned(),
        _ => pointer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(path: &str, expected: Option<&str>) {
        let schema = json!({
            "$defs": {"Size": {"type": "object", "default": {}, "properties": {
                "cpu": {"type": "string", "default": "1"},
            }}},
            "properties": {
                "size": {"$ref": "#/$defs/Size"},
                "whole": {"type": "object", "default": {"a": {"b": 1}}},
                "free": {"type": "string"},
            },
        });
        let path: Vec<String> = path.split('.').map(str::to_owned).collect();
        assert_eq!(default(&schema, &path).as_deref(), expected);
    }

    #[test]
    fn defaults_are_found_through_references() {
        check("size.cpu", Some("/$defs/Size/properties/cpu/default"));
        check("size", Some("/$defs/Size/default"));
        check("whole.a.b", Some("/properties/whole/default"));
        check("free", None);
        check("none.at.all", None);
    }
}
