//! Who may do what: roles, and whom they are granted to.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::application::NoStatus;
use crate::check::{Check, Checker};
use crate::object::{Object, Spec};
use crate::reference::RoleRef;
use crate::schema;

/// Actions that are granted together, in one namespace.
pub type AuthzRole = Object<AuthzRoleSpec>;
/// Actions that are granted together, in every namespace.
pub type ClusterAuthzRole = Object<AuthzRoleSpec>;
/// Roles that people with an entitlement have in one namespace.
pub type AuthzRoleBinding = Object<AuthzRoleBindingSpec>;
/// Roles that people with an entitlement have in every namespace.
pub type ClusterAuthzRoleBinding = Object<ClusterAuthzRoleBindingSpec>;

/// What a role allows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuthzRoleSpec {
    /// The actions, as in `component:create` or `component:*`.
    #[schemars(length(min = 1))]
    pub actions: Vec<String>,
    /// What the role is for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}

impl Spec for AuthzRoleSpec {
    type Status = NoStatus;
    const KIND: &'static str = "AuthzRole";
    const CLUSTER_KIND: Option<&'static str> = Some("ClusterAuthzRole");
    const HAS_STATUS: bool = false;
}

impl Check for AuthzRoleSpec {
    fn check(&self, _old: Option<&Self>, out: &mut Checker) {
        check_actions("actions", &self.actions, out);
    }
}

fn check_actions(field: &str, actions: &[String], out: &mut Checker) {
    out.filled_list(field, actions);
    for (index, action) in actions.iter().enumerate() {
        out.filled(&format!("{field}[{index}]"), action);
    }
}

/// Whom roles are granted to, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[serde(bound(deserialize = "S: Deserialize<'de> + Default"))]
#[schemars(bound = "S: JsonSchema + Default + Serialize")]
pub struct RoleBindingSpec<S> {
    /// Who has the roles.
    pub entitlement: EntitlementClaim,
    /// The roles, and where they hold.
    #[schemars(length(min = 1))]
    pub role_mappings: Vec<RoleMapping<S>>,
    /// Whether the actions of the roles are allowed or denied.
    #[serde(default)]
    pub effect: Effect,
}

/// Roles within one namespace.
pub type AuthzRoleBindingSpec = RoleBindingSpec<Scope>;
/// Roles in every namespace.
pub type ClusterAuthzRoleBindingSpec = RoleBindingSpec<ClusterScope>;

/// A claim of a token, and the value it must have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EntitlementClaim {
    /// The claim, as in `groups`.
    #[schemars(length(min = 1))]
    pub claim: String,
    /// The value.
    #[schemars(length(min = 1))]
    pub value: String,
}

/// Whether a binding gives or takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// The actions are allowed.
    #[default]
    Allow,
    /// The actions are denied, whatever else allows them.
    Deny,
}

/// A role, and where it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[serde(bound(deserialize = "S: Deserialize<'de> + Default"))]
#[schemars(bound = "S: JsonSchema + Default + Serialize")]
pub struct RoleMapping<S> {
    /// The role.
    pub role_ref: RoleRef,
    /// Where it holds; everywhere the binding reaches, when left out.
    #[serde(default)]
    pub scope: S,
    /// What must hold besides; any of those that name the action suffices.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<AuthzCondition>,
}

/// A condition on some actions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuthzCondition {
    /// The actions.
    #[schemars(length(min = 1))]
    pub actions: Vec<String>,
    /// An expression over `resource` that must be true, without `${}`.
    #[schemars(length(min = 1))]
    pub expression: String,
}

/// Where a role holds within a namespace. What is left out means all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("x-kubernetes-validations" = schema::rules(&SCOPE_RULES)))]
pub struct Scope {
    /// The project.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// The component of the project.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    /// The managed resource of the project.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
}

/// Where a role holds. What is left out means all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("x-kubernetes-validations" = schema::rules(&CLUSTER_SCOPE_RULES)))]
pub struct ClusterScope {
    /// The namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The place in the namespace.
    #[serde(flatten)]
    pub within: Scope,
}

const COMPONENT_RULE: (&str, &str) = (
    "!has(self.component) || has(self.project)",
    "component needs project",
);
const RESOURCE_RULE: (&str, &str) = (
    "!has(self.resource) || has(self.project)",
    "resource needs project",
);
const EXCLUSIVE_RULE: (&str, &str) = (
    "!(has(self.component) && has(self.resource))",
    "component and resource are mutually exclusive",
);
const NAMESPACE_RULE: (&str, &str) = (
    "!has(self.project) || has(self.namespace)",
    "project needs namespace",
);
const SCOPE_RULES: [(&str, &str); 3] = [COMPONENT_RULE, RESOURCE_RULE, EXCLUSIVE_RULE];
const CLUSTER_SCOPE_RULES: [(&str, &str); 4] = [
    NAMESPACE_RULE,
    COMPONENT_RULE,
    RESOURCE_RULE,
    EXCLUSIVE_RULE,
];

/// What kinds of bindings differ in: where their roles may hold.
pub trait Reach: Serialize + DeserializeOwned + JsonSchema + Default + Clone + PartialEq {
    /// The kind of binding that reaches so far.
    const KIND: &'static str;
    /// Whether it reaches beyond a namespace.
    const IS_CLUSTER: bool;

    /// The namespace, project, component and resource it names.
    fn parts(&self) -> [Option<&str>; 4];
}

impl Reach for Scope {
    const KIND: &'static str = "AuthzRoleBinding";
    const IS_CLUSTER: bool = false;

    fn parts(&self) -> [Option<&str>; 4] {
        [
            None,
            self.project.as_deref(),
            self.component.as_deref(),
            self.resource.as_deref(),
        ]
    }
}

impl Reach for ClusterScope {
    const KIND: &'static str = "ClusterAuthzRoleBinding";
    const IS_CLUSTER: bool = true;

    fn parts(&self) -> [Option<&str>; 4] {
        let [_, project, component, resource] = self.within.parts();
        [self.namespace.as_deref(), project, component, resource]
    }
}

impl<S: Reach> Spec for RoleBindingSpec<S> {
    type Status = NoStatus;
    const KIND: &'static str = S::KIND;
    const HAS_STATUS: bool = false;
}

impl<S: Reach> Check for RoleBindingSpec<S> {
    fn check(&self, _old: Option<&Self>, out: &mut Checker) {
        out.filled("entitlement.claim", &self.entitlement.claim);
        out.filled("entitlement.value", &self.entitlement.value);
        out.filled_list("roleMappings", &self.role_mappings);
        for (index, mapping) in self.role_mappings.iter().enumerate() {
            let field = format!("roleMappings[{index}]");
            out.filled(&format!("{field}.roleRef.name"), &mapping.role_ref.name);
            check_scope(&format!("{field}.scope"), &mapping.scope, out);
            for (place, condition) in mapping.conditions.iter().enumerate() {
                let field = format!("{field}.conditions[{place}]");
                check_actions(&format!("{field}.actions"), &condition.actions, out);
                out.filled(&format!("{field}.expression"), &condition.expression);
            }
        }
    }
}

fn check_scope<S: Reach>(field: &str, scope: &S, out: &mut Checker) {
    let [namespace, project, component, resource] = scope.parts();
    if S::IS_CLUSTER && project.is_some() && namespace.is_none() {
        out.add(format!("{field}.project"), NAMESPACE_RULE.1);
    }
    if component.is_some() && project.is_none() {
        out.add(format!("{field}.component"), COMPONENT_RULE.1);
    }
    if resource.is_some() && project.is_none() {
        out.add(format!("{field}.resource"), RESOURCE_RULE.1);
    }
    if component.is_some() && resource.is_some() {
        out.add(field, EXCLUSIVE_RULE.1);
    }
}
