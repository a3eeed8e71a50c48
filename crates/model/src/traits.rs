//! Traits: additions and patches that a platform engineer writes once and components share.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::application::NoStatus;
use crate::check::{Check, Checker, is_workload};
use crate::object::{Object, Spec};
use crate::schema;
use crate::shared::{SchemaSection, TargetPlane, ValidationRule, rules_before};

/// A trait of one namespace.
pub type Trait = Object<TraitSpec>;
/// A trait of every namespace.
pub type ClusterTrait = Object<TraitSpec>;

/// What a trait does to a component.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = schema::rules(&[schema::ONE_NAME])))]
pub struct TraitSpec {
    /// Values a component chooses once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters: Option<SchemaSection>,
    /// Values chosen per environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment_configs: Option<SchemaSection>,
    /// The older name of `preRenderValidations`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub validations: Vec<ValidationRule>,
    /// Rules that must hold before rendering.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pre_render_validations: Vec<ValidationRule>,
    /// Objects the trait adds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub creates: Vec<TraitCreate>,
    /// Changes to objects that exist.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub patches: Vec<TraitPatch>,
    /// Objects the trait takes away.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub removes: Vec<TraitRemove>,
    /// Rules that must hold for what was rendered.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub post_render_validations: Vec<PostRenderValidation>,
}

/// An object a trait adds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = schema::rules(&[schema::LOOP])))]
pub struct TraitCreate {
    /// Where the objects go.
    #[serde(default)]
    pub target_plane: TargetPlane,
    /// A `${...}` condition; the template is left out when it is false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = schema::EXPRESSION))]
    pub include_when: Option<String>,
    /// A `${...}` list or map; the template is rendered once per element.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = schema::EXPRESSION))]
    pub for_each: Option<String>,
    /// The name of the element in the template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = schema::VARIABLE))]
    pub var: Option<String>,
    /// The object, with `${...}` anywhere in it.
    #[schemars(schema_with = "schema::free_form")]
    pub template: Value,
}

/// Changes to every object that matches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = schema::rules(&[schema::LOOP])))]
pub struct TraitPatch {
    /// A `${...}` list or map; the patch is made once per element.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = schema::EXPRESSION))]
    pub for_each: Option<String>,
    /// The name of the element.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = schema::VARIABLE))]
    pub var: Option<String>,
    /// Which objects.
    pub target: PatchTarget,
    /// Where the objects go.
    #[serde(default)]
    pub target_plane: TargetPlane,
    /// What to change in them.
    #[schemars(length(min = 1))]
    pub operations: Vec<PatchOperation>,
}

/// Which objects a patch or removal is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PatchTarget {
    /// The API group; empty matches any.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// The version within the group.
    #[schemars(length(min = 1))]
    pub version: String,
    /// The kind.
    #[schemars(length(min = 1))]
    pub kind: String,
    /// A `${...}` condition over `resource`.
    #[serde(rename = "where", default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = schema::EXPRESSION))]
    pub where_: Option<String>,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PatchOperation {
    /// What to do.
    pub op: PatchOp,
    /// Where, as a JSON pointer whose segments may be filters.
    #[schemars(length(min = 1))]
    pub path: String,
    /// The value to put there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::any")]
    pub value: Option<Value>,
}

/// What a change does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PatchOp {
    /// Sets or inserts.
    Add,
    /// Sets what must exist.
    Replace,
    /// Removes.
    Remove,
}

/// Removal of every object that matches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = schema::rules(&[schema::LOOP])))]
pub struct TraitRemove {
    /// A `${...}` list or map; the removal is made once per element.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = schema::EXPRESSION))]
    pub for_each: Option<String>,
    /// The name of the element.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = schema::VARIABLE))]
    pub var: Option<String>,
    /// Which objects.
    pub target: PatchTarget,
    /// Where the objects go.
    #[serde(default)]
    pub target_plane: TargetPlane,
}

/// A rule that must hold for objects that were rendered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = schema::rules(&[schema::LOOP])))]
pub struct PostRenderValidation {
    /// A `${...}` condition; the rule is skipped when it is false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = schema::EXPRESSION))]
    pub when: Option<String>,
    /// A `${...}` list or map; the rule is tried once per element.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = schema::EXPRESSION))]
    pub for_each: Option<String>,
    /// The name of the element.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = schema::VARIABLE))]
    pub var: Option<String>,
    /// Which objects.
    pub target: ValidationTarget,
    /// Where the objects go.
    #[serde(default)]
    pub target_plane: TargetPlane,
    /// A `${...}` expression over `resource` that must be true.
    #[schemars(regex(pattern = schema::EXPRESSION))]
    pub rule: String,
    /// What to say when it is not.
    #[schemars(length(min = 1))]
    pub message: String,
}

/// Which objects a rule is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ValidationTarget {
    /// Group, version, kind and condition.
    #[serde(flatten)]
    pub object: PatchTarget,
    /// Whether it is a failure when nothing matches.
    #[serde(default = "schema::yes")]
    pub must_match: bool,
}

impl TraitSpec {
    /// The rules that must hold before rendering, under whichever name they were written.
    pub fn rules_before(&self) -> &[ValidationRule] {
        rules_before(&self.validations, &self.pre_render_validations)
    }
}

impl Spec for TraitSpec {
    type Status = NoStatus;
    const KIND: &'static str = "Trait";
    const CLUSTER_KIND: Option<&'static str> = Some("ClusterTrait");
}

impl Check for TraitSpec {
    fn check(&self, _old: Option<&Self>, out: &mut Checker) {
        out.rules_before(&self.validations, &self.pre_render_validations);
        self.check_creates(out);
        self.check_patches(out);
        self.check_removes(out);
        check_rules_after(&self.post_render_validations, out);
    }
}

/// Rules about what was rendered.
pub(crate) fn check_rules_after(rules: &[PostRenderValidation], out: &mut Checker) {
    for (index, rule) in rules.iter().enumerate() {
        let field = format!("postRenderValidations[{index}]");
        out.loop_variable(&field, rule.for_each.as_ref(), rule.var.as_ref());
        out.condition(&format!("{field}.when"), rule.when.as_ref());
        out.condition(&format!("{field}.rule"), Some(&rule.rule));
        let target = &rule.target.object;
        out.condition(&format!("{field}.target.where"), target.where_.as_ref());
        out.filled(&format!("{field}.message"), &rule.message);
    }
}

impl TraitSpec {
    fn check_creates(&self, out: &mut Checker) {
        for (index, create) in self.creates.iter().enumerate() {
            let field = format!("creates[{index}]");
            out.template(&format!("{field}.template"), &create.template);
            out.loop_variable(&field, create.for_each.as_ref(), create.var.as_ref());
            out.condition(
                &format!("{field}.includeWhen"),
                create.include_when.as_ref(),
            );
            let kind = create
                .template
                .get("kind")
                .and_then(Value::as_str)
                .unwrap_or_default();
            if is_workload(kind) {
                out.add(
                    format!("{field}.template.kind"),
                    &format!("a trait may not create a {kind}; patch the one of the type instead"),
                );
            }
        }
    }

    fn check_patches(&self, out: &mut Checker) {
        for (index, patch) in self.patches.iter().enumerate() {
            let field = format!("patches[{index}]");
            out.loop_variable(&field, patch.for_each.as_ref(), patch.var.as_ref());
            out.condition(
                &format!("{field}.target.where"),
                patch.target.where_.as_ref(),
            );
            if patch.operations.is_empty() {
                out.add(format!("patches[{index}].operations"), "must not be empty");
            }
            for (place, operation) in patch.operations.iter().enumerate() {
                let field = format!("patches[{index}].operations[{place}]");
                out.filled(&format!("{field}.path"), &operation.path);
                match (operation.op, &operation.value) {
                    (PatchOp::Remove, Some(_)) => {
                        out.add(
                            format!("{field}.value"),
                            "must not be set when op is remove",
                        );
                    }
                    (PatchOp::Add | PatchOp::Replace, None) => {
                        out.add(
                            format!("{field}.value"),
                            "is required when op is add or replace",
                        );
                    }
                    (PatchOp::Remove, None) | (PatchOp::Add | PatchOp::Replace, Some(_)) => {}
                }
            }
        }
    }

    fn check_removes(&self, out: &mut Checker) {
        for (index, remove) in self.removes.iter().enumerate() {
            let field = format!("removes[{index}]");
            out.loop_variable(&field, remove.for_each.as_ref(), remove.var.as_ref());
            out.condition(
                &format!("{field}.target.where"),
                remove.target.where_.as_ref(),
            );
            let target = &remove.target;
            // No group means any.
            if matches!(target.group.as_str(), "" | "apps" | "batch") && is_workload(&target.kind) {
                out.add(
                    format!("{field}.target.kind"),
                    &format!("a trait may not remove a {}", target.kind),
                );
            }
        }
    }
}
