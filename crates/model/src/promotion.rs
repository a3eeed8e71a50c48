//! Promotions: releases on their way from one environment to another, and what holds them back.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::brakes::Approvals;
use crate::check::{Check, Checker};
use crate::object::{Object, Spec};
use crate::schema;

/// Who asks for the promotions that a pipeline makes by itself.
pub const PIPELINE: &str = "system:choreo:pipeline";

/// A request to bring releases from one environment to another.
pub type Promotion = Object<PromotionSpec>;

/// What is to be promoted. Nothing of it changes later, but for approvals and break-glass, to which
/// each may be added.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PromotionSpec {
    /// The project, and the component if it is one alone.
    #[schemars(extend("x-kubernetes-validations" = schema::immutable()))]
    pub owner: PromotionOwner,
    /// Where the releases come from.
    #[schemars(length(min = 1))]
    #[schemars(extend("x-kubernetes-validations" = schema::immutable()))]
    pub source_environment: String,
    /// Where they go.
    #[schemars(length(min = 1))]
    #[schemars(extend("x-kubernetes-validations" = schema::immutable()))]
    pub target_environment: String,
    /// Exactly what is promoted: the release of each component.
    #[schemars(length(min = 1))]
    #[schemars(extend("x-kubernetes-validations" = schema::immutable()))]
    pub releases: BTreeMap<String, String>,
    /// Why, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = schema::immutable()))]
    pub reason: Option<String>,
    /// Who asked for it: filled in by the API with whoever makes the promotion.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(extend("x-kubernetes-validations" = schema::immutable()))]
    pub requested_by: String,
    /// What others decided about it. Each can only be added to what is there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<Approval>,
    /// Goes on at once, past approvals, checks and freeze windows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub break_glass: Option<BreakGlass>,
}

/// What a promotion is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PromotionOwner {
    /// The name of the project.
    #[schemars(length(min = 1))]
    pub project_name: String,
    /// The name of the component; left out, the promotion is of the project, whose components go one
    /// after the other in the order of their dependencies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component_name: Option<String>,
}

impl PromotionOwner {
    /// The component, or else the project.
    pub fn name(&self) -> &str {
        self.component_name.as_deref().unwrap_or(&self.project_name)
    }
}

/// What somebody decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Approval {
    /// Who: filled in by the API, which takes nobody's word for it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub by: String,
    /// The groups they are in: filled in by the API.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// What they decided.
    #[serde(default)]
    pub decision: Verdict,
    /// The plan they saw, as `status.planDigest` named it. Of another plan they approved nothing.
    #[schemars(length(min = 1))]
    pub plan_digest: String,
    /// What they say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// When: filled in by the API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Time>,
}

/// What can be decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It may go on.
    #[default]
    Approve,
    /// It ends here.
    Reject,
}

/// Why somebody does not wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BreakGlass {
    /// Why, in words.
    #[schemars(length(min = 1))]
    pub reason: String,
    /// Who: filled in by the API.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub by: String,
    /// The groups they are in: filled in by the API.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
}

/// What approvals amount to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally<'a> {
    /// Who approved the plan as it is.
    pub approved: BTreeSet<&'a str>,
    /// Who approved a plan that is no longer the plan.
    pub stale: BTreeSet<&'a str>,
    /// The rejection, by somebody who may approve or by whoever asked.
    pub rejected: Option<&'a Approval>,
}

impl PromotionSpec {
    /// What the approvals amount to for the plan `digest` where `rules` say whose count.
    pub fn tally(&self, rules: &Approvals, digest: &str) -> Tally<'_> {
        let mut tally = Tally::default();
        for one in self.approvals.iter().filter(|one| !one.by.is_empty()) {
            let own = one.by == self.requested_by;
            let may = rules.allow(&one.by, &one.groups);
            match one.decision {
                Verdict::Reject if own || may => {
                    tally.rejected.get_or_insert(one);
                }
                Verdict::Approve if may && !own && !self.requested_by.is_empty() => {
                    let same = one.plan_digest == digest;
                    let those = if same {
                        &mut tally.approved
                    } else {
                        &mut tally.stale
                    };
                    those.insert(&one.by);
                }
                Verdict::Reject | Verdict::Approve => {}
            }
        }
        tally
    }

    /// Whether the plan `digest` may go on as far as people are concerned: enough of them approved
    /// it, or somebody who may approve broke the glass.
    pub fn is_entitled(&self, rules: Option<&Approvals>, digest: &str) -> bool {
        let enough = |rules: &Approvals| {
            let tally = self.tally(rules, digest);
            tally.rejected.is_none()
                && u32::try_from(tally.approved.len()).is_ok_and(|given| given >= rules.count)
        };
        rules.is_none_or(enough) || self.is_glass_broken(rules)
    }

    /// Whether somebody who may do so broke the glass: whoever may approve, also for a promotion they
    /// asked for themselves.
    pub fn is_glass_broken(&self, rules: Option<&Approvals>) -> bool {
        let may = |glass: &BreakGlass| {
            let allowed = rules.is_none_or(|rules| rules.allow(&glass.by, &glass.groups));
            !glass.by.is_empty() && !glass.reason.trim().is_empty() && allowed
        };
        self.break_glass.as_ref().is_some_and(may)
    }
}

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
    /// What happens to each component.
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

/// What a promotion does to one component.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PlannedComponent {
    /// The component.
    pub component: String,
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
    /// When it is its turn: after all components of lower numbers are ready.
    pub wave: u32,
    /// How far it has come.
    pub progress: Progress,
    /// When it was its turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
}

/// How far a component of a promotion has come.
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

impl Spec for PromotionSpec {
    type Status = PromotionStatus;
    const KIND: &'static str = "Promotion";
}

impl Check for PromotionSpec {
    fn check(&self, old: Option<&Self>, out: &mut Checker) {
        if let Some(old) = old {
            self.check_change(old, out);
        }
        out.filled("owner.projectName", &self.owner.project_name);
        out.filled("sourceEnvironment", &self.source_environment);
        out.filled("targetEnvironment", &self.target_environment);
        if self.source_environment == self.target_environment {
            out.add("targetEnvironment", "is where the releases come from");
        }
        self.check_releases(out);
        for (index, approval) in self.approvals.iter().enumerate() {
            let field = format!("approvals[{index}].planDigest");
            out.filled(&field, &approval.plan_digest);
        }
        if let Some(glass) = &self.break_glass {
            out.filled("breakGlass.reason", glass.reason.trim());
        }
    }
}

impl PromotionSpec {
    fn check_change(&self, old: &Self, out: &mut Checker) {
        out.unchanged("owner", &self.owner, &old.owner);
        out.unchanged(
            "sourceEnvironment",
            &self.source_environment,
            &old.source_environment,
        );
        out.unchanged(
            "targetEnvironment",
            &self.target_environment,
            &old.target_environment,
        );
        out.unchanged("releases", &self.releases, &old.releases);
        out.unchanged("reason", &self.reason, &old.reason);
        out.unchanged("requestedBy", &self.requested_by, &old.requested_by);
        if !self.approvals.starts_with(&old.approvals) {
            out.add("approvals", "can only be added to; what was decided stays");
        }
        if old.break_glass.is_some() {
            out.unchanged("breakGlass", &self.break_glass, &old.break_glass);
        }
    }

    fn check_releases(&self, out: &mut Checker) {
        if self.releases.is_empty() {
            out.add("releases", "must name the release of each component");
        }
        for (component, release) in &self.releases {
            out.filled(&format!("releases.{component}"), release);
        }
        if let Some(component) = &self.owner.component_name
            && self.releases.keys().any(|named| named != component)
        {
            out.add(
                "releases",
                &format!(
                    "names other components than \"{component}\"; leave owner.componentName out to \
                     promote the project"
                ),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn promotion(approvals: &serde_json::Value) -> PromotionSpec {
        serde_json::from_value(json!({
            "owner": { "projectName": "shop", "componentName": "web" },
            "sourceEnvironment": "staging", "targetEnvironment": "production",
            "releases": { "web": "web-1" }, "requestedBy": "ann", "approvals": approvals,
        }))
        .unwrap()
    }

    fn rules(count: u32) -> Approvals {
        Approvals {
            count,
            users: vec!["bob".to_owned()],
            groups: vec!["managers".to_owned()],
        }
    }

    #[test]
    fn who_may_approve_and_did_not_ask_counts_once_for_the_plan_that_is() {
        let approvals = json!([
            { "by": "ann", "groups": ["managers"], "planDigest": "one" },
            { "by": "bob", "planDigest": "one" },
            { "by": "bob", "planDigest": "one" },
            { "by": "eve", "planDigest": "one" },
            { "by": "dan", "groups": ["managers"], "planDigest": "two" },
            { "planDigest": "one" },
        ]);
        let promotion = promotion(&approvals);
        let tally = promotion.tally(&rules(1), "one");
        assert_eq!(tally.approved, BTreeSet::from(["bob"]));
        assert_eq!(tally.stale, BTreeSet::from(["dan"]));
        assert_eq!(tally.rejected, None);
        assert!(promotion.is_entitled(Some(&rules(1)), "one"));
        assert!(!promotion.is_entitled(Some(&rules(2)), "one"));
        assert!(!promotion.is_entitled(Some(&rules(1)), "three"));
        assert!(promotion.is_entitled(None, "three"));
    }

    #[test]
    fn a_rejection_ends_it_whoever_approves() {
        let no = json!({ "by": "dan", "groups": ["managers"], "decision": "reject", "planDigest": "one" });
        let yes = json!({ "by": "bob", "planDigest": "one" });
        let both = promotion(&json!([no, yes]));
        assert!(!both.is_entitled(Some(&rules(1)), "one"));
        let withdrawn = json!({ "by": "ann", "decision": "reject", "planDigest": "one" });
        let own = promotion(&json!([withdrawn]));
        assert!(own.tally(&rules(1), "one").rejected.is_some());
        let stranger = json!({ "by": "eve", "decision": "reject", "planDigest": "one" });
        let heard = promotion(&json!([stranger]));
        assert_eq!(heard.tally(&rules(1), "one").rejected, None);
    }

    #[test]
    fn of_a_promotion_nobody_asked_for_nothing_counts() {
        let mut promotion = promotion(&json!([{ "by": "bob", "planDigest": "one" }]));
        promotion.requested_by.clear();
        assert!(!promotion.is_entitled(Some(&rules(1)), "one"));
    }

    #[test]
    fn the_glass_is_broken_by_who_may_approve() {
        let mut promotion = promotion(&json!([]));
        let mut broken = |by: &str, reason: &str| {
            promotion.break_glass = Some(BreakGlass {
                reason: reason.to_owned(),
                by: by.to_owned(),
                groups: Vec::new(),
            });
            (
                promotion.is_glass_broken(Some(&rules(2))),
                promotion.is_glass_broken(None),
            )
        };
        assert_eq!(broken("bob", "outage"), (true, true));
        assert_eq!(broken("ann", "outage"), (false, true));
        assert_eq!(broken("bob", " "), (false, false));
        assert_eq!(broken("", "outage"), (false, false));
    }
}
