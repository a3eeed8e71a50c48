//! The history of environments: a record of every deployment, each bound to the one before by a hash.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::check::{Check, Checker};
use crate::object::{Object, Spec};
use crate::rendered::RenderedOwner;
use crate::schema;

/// One deployment to an environment.
pub type DeploymentRecord = Object<DeploymentRecordSpec>;

/// What was deployed, by whom and why. Nothing of it ever changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = schema::immutable()))]
pub struct DeploymentRecordSpec {
    /// What was deployed: a component, a resource, or the cell of a project.
    pub owner: RenderedOwner,
    /// The environment.
    pub environment: String,
    /// The binding through which it was deployed.
    pub binding: RecordedBinding,
    /// Its place in the history of the binding, beginning with 1.
    pub sequence: i64,
    /// What was done.
    pub action: Action,
    /// The release that was deployed; empty when there is none any more.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub release: String,
    /// The release that was deployed before.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub previous_release: String,
    /// Whatever else the binding said: overrides, environment configuration, state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::free_form")]
    pub configuration: Option<Value>,
    /// Who asked for it, as the API knew them.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub changed_by: String,
    /// Why, in their words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// A digest of all objects that were rendered: the same objects have the same.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub plan_digest: String,
    /// When it began.
    #[schemars(extend("format" = "date-time"))]
    pub started_at: String,
    /// Up to where the history is pruned: the first record that is kept follows this one. Left out
    /// while all are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pruned: Option<Checkpoint>,
    /// The hash of the record before, its outcome included; empty for the first.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub previous_hash: String,
    /// The hash of all of the above, and of the record's name and namespace.
    pub hash: String,
}

/// A place in a history.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Checkpoint {
    /// The number of a record.
    pub sequence: i64,
    /// The hash of that record, its outcome included.
    pub hash: String,
}

/// A binding as a record names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecordedBinding {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its identifier: a binding made later under the same name has a history of its own.
    pub uid: String,
}

/// What was done to an environment.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum Action {
    /// A release was deployed.
    Deploy,
    /// A release was brought on from another environment.
    Promote,
    /// An earlier deployment was brought back.
    Rollback,
    /// The release stayed, and was configured otherwise.
    Configure,
    /// Neither release nor configuration changed, but something else that is rendered with them.
    Refresh,
    /// It was taken away; the binding stayed.
    Undeploy,
    /// The binding was deleted. Nothing follows.
    Delete,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 7] = [
        Self::Deploy,
        Self::Promote,
        Self::Rollback,
        Self::Configure,
        Self::Refresh,
        Self::Undeploy,
        Self::Delete,
    ];

    /// The action that `word` names, in any case.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|action| action.as_str().eq_ignore_ascii_case(word))
    }

    /// The action as a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deploy => "Deploy",
            Self::Promote => "Promote",
            Self::Rollback => "Rollback",
            Self::Configure => "Configure",
            Self::Refresh => "Refresh",
            Self::Undeploy => "Undeploy",
            Self::Delete => "Delete",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// What came of a deployment. Written once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DeploymentRecordStatus {
    /// How it ended; unset while it goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// When it ended.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(extend("format" = "date-time"))]
    pub finished_at: String,
    /// More about how it ended, for a person.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The hash of the record with its outcome: what the next record has as the hash before.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hash: String,
}

/// How a deployment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Outcome {
    /// Everything became ready.
    Succeeded,
    /// It was not ready in time, or was broken when something else was deployed in its place.
    Failed,
    /// An earlier deployment was brought back before it was ready.
    RolledBack,
    /// Something else was deployed in its place before it was ready.
    Superseded,
}

impl Outcome {
    /// The outcome as a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::RolledBack => "RolledBack",
            Self::Superseded => "Superseded",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// Where the history of a binding has come to: its last record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HistoryHead {
    /// The record's place.
    pub sequence: i64,
    /// The record's hash; once it has an outcome, that with the outcome.
    pub hash: String,
    /// The release it deployed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub release: String,
    /// The releases deployed before it, the latest first, each once: the last ten, which are kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<String>,
    /// The generation of the binding that it is about.
    pub generation: i64,
    /// The generation of the rendered release that it is about; 0 when there is none.
    #[serde(default, skip_serializing_if = "schema::is_zero")]
    pub rendered: i64,
    /// When it began.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(extend("format" = "date-time"))]
    pub started_at: String,
    /// How it ended; unset while it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(extend("format" = "date-time"))]
    pub finished_at: String,
    /// More about how it ended.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Up to where the history is pruned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pruned: Option<Checkpoint>,
    /// Up to where it is pruned next, once enough has followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_checkpoint: Option<Checkpoint>,
}

impl Spec for DeploymentRecordSpec {
    type Status = DeploymentRecordStatus;
    const KIND: &'static str = "DeploymentRecord";
    const SELECTABLE: &'static [&'static str] = &[".status.outcome"];
}

impl Check for DeploymentRecordSpec {
    fn check(&self, old: Option<&Self>, out: &mut Checker) {
        if let Some(old) = old {
            out.unchanged("", self, old);
        }
        out.filled("environment", &self.environment);
        out.filled("binding.uid", &self.binding.uid);
        out.filled("hash", &self.hash);
    }
}
