//! Workflows: what is run to build a component or for any other errand, and the runs themselves.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::application::{NoStatus, WorkflowInstance};
use crate::check::{Check, Checker};
use crate::object::{Object, Spec};
use crate::reference::{WorkflowPlaneKind, WorkflowPlaneRef};
use crate::schema;
use crate::shared::SchemaSection;

/// A workflow of one namespace.
pub type Workflow = Object<WorkflowSpec>;
/// A workflow of every namespace.
pub type ClusterWorkflow = Object<WorkflowSpec>;
/// One run of a workflow.
pub type WorkflowRun = Object<WorkflowRunSpec>;

/// What a workflow does, as templates of objects of its plane.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowSpec {
    /// The plane it runs on.
    #[serde(default = "default_plane")]
    #[schemars(default = "default_plane")]
    #[schemars(extend("x-kubernetes-validations" = schema::immutable()))]
    pub workflow_plane_ref: WorkflowPlaneRef,
    /// Values a run chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<SchemaSection>,
    /// The object that does the work, with `${...}` anywhere in it.
    #[schemars(schema_with = "schema::free_form")]
    pub run_template: Value,
    /// Objects the work needs beside it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<WorkflowResource>,
    /// Objects of the platform that templates may look at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["id"]))]
    pub external_refs: Vec<ExternalRef>,
    /// How long a run is kept after its end, as in `1d12h`; forever when left out.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(regex(pattern = TIME_TO_LIVE))]
    pub ttl_after_completion: String,
}

/// A template of one object beside the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowResource {
    /// Names the template within its workflow.
    #[schemars(length(min = 1))]
    pub id: String,
    /// A `${...}` condition; the template is left out when it is false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = schema::EXPRESSION))]
    pub include_when: Option<String>,
    /// The object, with `${...}` anywhere in it.
    #[schemars(schema_with = "schema::free_form")]
    pub template: Value,
}

/// An object of the platform that templates see as `externalRefs['<id>'].spec`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExternalRef {
    /// The name templates use.
    #[schemars(length(min = 2, max = 63), regex(pattern = EXTERNAL_ID))]
    pub id: String,
    /// The API version of the object.
    #[schemars(length(min = 1))]
    pub api_version: String,
    /// The kind of the object.
    pub kind: ExternalKind,
    /// The name of the object; may contain `${...}`. The reference is skipped when it is empty.
    #[schemars(length(min = 1))]
    pub name: String,
}

/// The one kind an external reference may name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ExternalKind {
    /// A secret reference in the namespace of the run.
    #[default]
    SecretReference,
}

/// The form of an [`ExternalRef`]'s id.
const EXTERNAL_ID: &str = "^[a-z][a-z0-9-]*[a-z0-9]$";
/// The form of a time to live.
const TIME_TO_LIVE: &str = "^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$";

fn default_plane() -> WorkflowPlaneRef {
    WorkflowPlaneRef {
        kind: WorkflowPlaneKind::ClusterWorkflowPlane,
        name: "default".to_owned(),
    }
}

/// The seconds of a time to live such as `1d12h`; `None` for an empty text, which means forever,
/// for what is no time to live, and for what is longer than can be counted.
pub fn time_to_live(text: &str) -> Option<u64> {
    let mut total: Option<u64> = None;
    let mut rest = text;
    for (unit, seconds) in [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)] {
        if let Some((number, after)) = rest.split_once(unit) {
            // `parse` would also take a sign.
            let digits = number.bytes().all(|byte| byte.is_ascii_digit());
            let number: u64 = number.parse().ok().filter(|_| digits)?;
            let length = number.checked_mul(seconds)?;
            total = Some(total.unwrap_or_default().checked_add(length)?);
            rest = after;
        }
    }
    total.filter(|_| rest.is_empty())
}

impl Spec for WorkflowSpec {
    type Status = NoStatus;
    const KIND: &'static str = "Workflow";
    const CLUSTER_KIND: Option<&'static str> = Some("ClusterWorkflow");
}

impl Check for WorkflowSpec {
    fn check(&self, old: Option<&Self>, out: &mut Checker) {
        if let Some(old) = old {
            let (new, old) = (&self.workflow_plane_ref, &old.workflow_plane_ref);
            out.unchanged("workflowPlaneRef", new, old);
        }
        let plane = &self.workflow_plane_ref.name;
        out.filled("workflowPlaneRef.name", plane);
        out.no_longer("workflowPlaneRef.name", plane, 63);
        out.namespaced_template("runTemplate", &self.run_template);
        out.unique("resources", "id", self.resources.iter().map(|one| &one.id));
        for (index, one) in self.resources.iter().enumerate() {
            let field = format!("resources[{index}]");
            out.filled(&format!("{field}.id"), &one.id);
            out.condition(&format!("{field}.includeWhen"), one.include_when.as_ref());
            out.namespaced_template(&format!("{field}.template"), &one.template);
        }
        let ids = self.external_refs.iter().map(|one| &one.id);
        out.unique("externalRefs", "id", ids);
        for (index, one) in self.external_refs.iter().enumerate() {
            let field = format!("externalRefs[{index}]");
            out.matches(&format!("{field}.id"), &one.id, EXTERNAL_ID);
            out.no_longer(&format!("{field}.id"), &one.id, 63);
            out.filled(&format!("{field}.apiVersion"), &one.api_version);
            out.filled(&format!("{field}.name"), &one.name);
        }
        check_time_to_live(&self.ttl_after_completion, out);
    }
}

fn check_time_to_live(value: &str, out: &mut Checker) {
    let field = "ttlAfterCompletion";
    out.matches(field, value, TIME_TO_LIVE);
}

/// What to run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = schema::rules(&[
    ("self.workflow.kind == oldSelf.workflow.kind", "workflow.kind is immutable"),
    ("self.workflow.name == oldSelf.workflow.name", "workflow.name is immutable"),
])))]
pub struct WorkflowRunSpec {
    /// The workflow and the values it is run with.
    pub workflow: WorkflowInstance,
    /// How long the run is kept after its end; left out, what the workflow says.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(regex(pattern = TIME_TO_LIVE))]
    pub ttl_after_completion: String,
}

/// What was observed of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkflowRunStatus {
    /// `WorkflowRunning`, `WorkflowSucceeded`, `WorkflowFailed`, `WorkflowCompleted` and
    /// `Finalizing`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The object on the plane that does the work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_reference: Option<PlaneObjectRef>,
    /// The objects on the plane beside it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<PlaneObjectRef>,
    /// The steps of the work, in their order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<WorkflowTask>,
    /// When the work began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When the work ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Time>,
}

/// An object on a plane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlaneObjectRef {
    /// The API version.
    pub api_version: String,
    /// The kind.
    pub kind: String,
    /// The name.
    pub name: String,
    /// The namespace.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
}

/// One step of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowTask {
    /// The name of the step.
    pub name: String,
    /// How far it is.
    #[serde(default)]
    pub phase: TaskPhase,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Time>,
    /// What a person should know.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// How far a step is.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum TaskPhase {
    /// Not begun.
    #[default]
    Pending,
    /// Under way.
    Running,
    /// Ended well.
    Succeeded,
    /// Ended badly.
    Failed,
    /// Left out.
    Skipped,
    /// Could not be tried.
    Error,
}

impl Spec for WorkflowRunSpec {
    type Status = WorkflowRunStatus;
    const KIND: &'static str = "WorkflowRun";
}

impl Check for WorkflowRunSpec {
    fn check(&self, old: Option<&Self>, out: &mut Checker) {
        let new = &self.workflow.reference;
        if let Some(old) = old.map(|old| &old.workflow.reference) {
            out.unchanged("workflow.kind", &new.kind, &old.kind);
            out.unchanged("workflow.name", &new.name, &old.name);
        }
        out.filled("workflow.name", &new.name);
        check_time_to_live(&self.ttl_after_completion, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<u64>) {
        assert_eq!(time_to_live(text), expected, "{text:?}");
    }

    #[test]
    fn times_to_live_are_counted_in_seconds() {
        check("90d", Some(7_776_000));
        check("1d12h30m15s", Some(131_415));
        check("1h30m", Some(5_400));
        check("0s", Some(0));
        check("", None);
        check("5", None);
        check("1m1h", None);
        check("1.5h", None);
        check("-1h", None);
        check("+1h", None);
        check("99999999999999999999d", None);
    }
}
