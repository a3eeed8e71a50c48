//! What managed resources are made of, written by platform engineers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::application::NoStatus;
use crate::check::{Check, Checker};
use crate::object::{Object, Spec};
use crate::schema;
use crate::shared::{KeyRef, SchemaSection};

/// What resources are made of, in one namespace.
pub type ResourceType = Object<ResourceTypeSpec>;
/// What resources are made of, in every namespace.
pub type ClusterResourceType = Object<ResourceTypeSpec>;

/// What a resource type makes of a resource, and what it offers to components.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceTypeSpec {
    /// Values a resource chooses once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<SchemaSection>,
    /// Values chosen per environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment_configs: Option<SchemaSection>,
    /// What becomes of the objects when a binding is deleted, unless the binding says otherwise.
    #[serde(default)]
    pub retain_policy: RetainPolicy,
    /// What components can use of the resource.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub outputs: Vec<ResourceOutput>,
    /// The objects a resource becomes.
    #[schemars(length(min = 1))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["id"]))]
    pub resources: Vec<ResourceManifest>,
}

/// What becomes of a resource's objects when its binding is deleted.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum RetainPolicy {
    /// They are deleted.
    #[default]
    Delete,
    /// They stay, and hold the binding back, until a person changes the policy.
    Retain,
}

/// One thing components can use of a resource: a value, or where the value is kept. In a type every
/// text may contain `${...}`, which also sees `applied.<id>.status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = schema::rules(&[(
    "(has(self.value) ? 1 : 0) + (has(self.secretKeyRef) ? 1 : 0) \
     + (has(self.configMapKeyRef) ? 1 : 0) == 1",
    ONE_SOURCE,
)])))]
pub struct ResourceOutput {
    /// The name by which workloads ask for it.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The value itself; for what is no secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The secret of the cell it is kept in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<KeyRef>,
    /// The config map of the cell it is kept in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<KeyRef>,
}

/// A template of one object of a resource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceManifest {
    /// Names the template within its type, and its live object in `applied.<id>`.
    #[schemars(length(min = 1))]
    pub id: String,
    /// A `${...}` condition; the template is left out when it is false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = schema::EXPRESSION))]
    pub include_when: Option<String>,
    /// The object, with `${...}` anywhere in it.
    #[schemars(schema_with = "schema::free_form")]
    pub template: Value,
    /// A `${...}` condition over `applied.<id>.status`; says when the live object is ready, in
    /// place of what is known of its kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = schema::EXPRESSION))]
    pub ready_when: Option<String>,
}

const ONE_SOURCE: &str = "exactly one of value, secretKeyRef and configMapKeyRef must be set";

impl Spec for ResourceTypeSpec {
    type Status = NoStatus;
    const KIND: &'static str = "ResourceType";
    const CLUSTER_KIND: Option<&'static str> = Some("ClusterResourceType");
}

impl Check for ResourceTypeSpec {
    fn check(&self, _old: Option<&Self>, out: &mut Checker) {
        out.unique("outputs", "name", self.outputs.iter().map(|one| &one.name));
        for (index, output) in self.outputs.iter().enumerate() {
            output.check(&format!("outputs[{index}]"), out);
        }
        out.filled_list("resources", &self.resources);
        out.unique("resources", "id", self.resources.iter().map(|one| &one.id));
        for (index, one) in self.resources.iter().enumerate() {
            let field = format!("resources[{index}]");
            out.filled(&format!("{field}.id"), &one.id);
            out.condition(&format!("{field}.includeWhen"), one.include_when.as_ref());
            out.template(&format!("{field}.template"), &one.template);
            out.condition(&format!("{field}.readyWhen"), one.ready_when.as_ref());
        }
    }
}

impl ResourceOutput {
    fn check(&self, field: &str, out: &mut Checker) {
        out.filled(&format!("{field}.name"), &self.name);
        let sources = [
            self.value.is_some(),
            self.secret_key_ref.is_some(),
            self.config_map_key_ref.is_some(),
        ];
        if sources.into_iter().filter(|there| *there).count() != 1 {
            out.add(field, ONE_SOURCE);
        }
        for (name, reference) in [
            ("secretKeyRef", &self.secret_key_ref),
            ("configMapKeyRef", &self.config_map_key_ref),
        ] {
            if let Some(reference) = reference {
                out.filled(&format!("{field}.{name}.name"), &reference.name);
                out.filled(&format!("{field}.{name}.key"), &reference.key);
            }
        }
    }
}
