//! How far a promotion has come, as it tells of itself.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Part;
use crate::schema;

/// How far a promotion has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PromotionPhase {
    /// There is no plan yet, or another promotion is under way.
    #[default]
    Pending,
    /// People have to approve the plan.
    AwaitingApproval,
    /// A freeze window is open.
    Frozen,
    /// Checks run.
    Checking,
    /// The releases are being put into the environment, one after the other.
    Deploying,
    /// They are being taken back.
    RollingBack,
    /// They run.
    Succeeded,
    /// Somebody said no.
    Rejected,
    /// A check failed, or a release did not become ready.
    Failed,
    /// A release did not become ready in time, and what was there before is there again.
    RolledBack,
    /// A later promotion, or somebody by hand, put other releases there.
    Superseded,
}

impl PromotionPhase {
    /// The phase, as manifests write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::AwaitingApproval => "AwaitingApproval",
            Self::Frozen => "Frozen",
            Self::Checking => "Checking",
            Self::Deploying => "Deploying",
            Self::RollingBack => "RollingBack",
            Self::Succeeded => "Succeeded",
            Self::Rejected => "Rejected",
            Self::Failed => "Failed",
            Self::RolledBack => "RolledBack",
            Self::Superseded => "Superseded",
        }
    }

    /// Whether nothing follows.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Succeeded
            | Self::Rejected
            | Self::Failed
            | Self::RolledBack
            | Self::Superseded => true,
            Self::Pending
            | Self::AwaitingApproval
            | Self::Frozen
            | Self::Checking
            | Self::Deploying
            | Self::RollingBack => false,
        }
    }
}

/// What was observed of a promotion.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PromotionStatus {
    /// The generation this status is about.
    #[serde(skip_serializing_if = "schema::is_zero")]
    pub observed_generation: i64,
    /// How far it has come.
    pub phase: PromotionPhase,
    /// What tells the plan apart from every other: the releases, and every object that would be
    /// rendered of them. This is what people approve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan_digest: Option<String>,
    /// What happens to each component and managed resource.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub plan: Vec<PlannedComponent>,
    /// Whose approval is needed, and who gave it; nothing where none is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalStatus>,
    /// What came of the checks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<CheckStatus>,
    /// `Planned`, `Approved`, `OutsideFreeze`, `ChecksPassed`, `Deployed`, `Ready` and `Finalizing`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// When the first release was put into the environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// How it ended, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
}

/// What a promotion does to one component or managed resource.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PlannedComponent {
    /// The component; nothing where it is a managed resource.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub component: String,
    /// The deployment track of the component; nothing for its main line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub track: Option<String>,
    /// The managed resource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// The release the environment has; nothing where it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The release it gets.
    pub to: String,
    /// The identifier of that release.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// The objects that are added (`+`), changed (`~`) and taken away (`-`), the first of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<String>,
    /// When it is its turn: after everything of lower numbers is ready.
    pub wave: u32,
    /// How far it has come.
    pub progress: Progress,
    /// When it was its turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
}

impl PlannedComponent {
    /// What this is about.
    pub fn part(&self) -> Part<'_> {
        match &self.resource {
            Some(resource) => Part::Resource(resource),
            None => Part::line(&self.component, self.track.as_deref()),
        }
    }
}

/// How far a part of a promotion has come.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum Progress {
    /// It is not its turn.
    #[default]
    Waiting,
    /// Its binding is being moved.
    Starting,
    /// The new release has been seen to be rendered.
    RollingOut,
    /// It was ready with the new release.
    Ready,
}

/// Whose approval a promotion needs, and who gave it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ApprovalStatus {
    /// How many must approve.
    pub needed: u32,
    /// Who may.
    pub from: String,
    /// Who approved the plan as it is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub given: Vec<String>,
    /// Who approved a plan that has changed since.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stale: Vec<String>,
}

/// What came of a check.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CheckStatus {
    /// The check.
    pub name: String,
    /// What came of it.
    pub state: CheckState,
    /// The plan it was made for.
    pub plan_digest: String,
    /// What there is to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
}

/// What came of a check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CheckState {
    /// Nothing yet.
    #[default]
    Running,
    /// It succeeded.
    Passed,
    /// It did not.
    Failed,
}
