//! Promotions: releases on their way from one environment to another, and what holds them back.

mod status;

use std::borrow::Cow;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::brakes::Approvals;
use crate::check::{Check, Checker};
use crate::object::{Object, Spec};
use crate::{names, schema};

pub use self::status::{
    ApprovalStatus, CheckState, CheckStatus, PlannedComponent, Progress, PromotionPhase,
    PromotionStatus,
};

/// Who asks for the promotions that a pipeline makes by itself.
pub const PIPELINE: &str = "system:choreo:pipeline";

/// A request to bring releases from one environment to another.
pub type Promotion = Object<PromotionSpec>;

/// What is to be promoted. Nothing of it changes later, but for approvals and break-glass, to which
/// each may be added.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PromotionSpec {
    /// The project, and the component or managed resource if it is one alone.
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
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("x-kubernetes-validations" = schema::immutable()))]
    pub releases: BTreeMap<String, String>,
    /// And the release of each managed resource. Resources go before the components that use them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("x-kubernetes-validations" = schema::immutable()))]
    pub resources: BTreeMap<String, String>,
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
#[expect(
    clippy::struct_field_names,
    reason = "the fields are those of every owner"
)]
pub struct PromotionOwner {
    /// The name of the project.
    #[schemars(length(min = 1))]
    pub project_name: String,
    /// The name of the component, if it is one alone; managed resources that it uses may come along.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component_name: Option<String>,
    /// The deployment track of the component; left out, it is its main line. A project goes with the
    /// main lines of its components.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub track_name: Option<String>,
    /// The name of the managed resource, if it is one alone. Where neither is named, the promotion is
    /// of the project, whose components and resources go one after the other in the order of their
    /// dependencies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_name: Option<String>,
}

impl PromotionOwner {
    /// What the line of the component is called, or the resource, or else the project.
    pub fn name(&self) -> Cow<'_, str> {
        match (&self.component_name, &self.resource_name) {
            (Some(component), _) => names::line(component, self.track_name.as_deref()),
            (None, Some(resource)) => Cow::Borrowed(resource),
            (None, None) => Cow::Borrowed(&self.project_name),
        }
    }

    /// Whether the promotion is of the project as a whole.
    pub const fn is_whole(&self) -> bool {
        self.component_name.is_none() && self.resource_name.is_none()
    }
}

/// What a promotion brings on: each has a release and a binding of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part<'a> {
    /// The main line of a component.
    Component(&'a str),
    /// A line beside it: the component, and its deployment track.
    Track(&'a str, &'a str),
    /// A managed resource.
    Resource(&'a str),
}

impl<'a> Part<'a> {
    /// The main line of a component, or a track.
    pub fn line(component: &'a str, track: Option<&'a str>) -> Self {
        track.map_or(Self::Component(component), |track| {
            Self::Track(component, track)
        })
    }
}

impl fmt::Display for Part<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Component(name) => f.write_str(name),
            Self::Track(component, track) => write!(f, "{component}/{track}"),
            Self::Resource(name) => write!(f, "resource {name}"),
        }
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
    /// Everything that is promoted, with its release.
    pub fn parts(&self) -> impl Iterator<Item = (Part<'_>, &str)> {
        let track = self.owner.track_name.as_deref();
        let components = self.releases.iter();
        let components = components.map(move |(name, release)| (Part::line(name, track), release));
        let resources = self.resources.iter();
        let resources = resources.map(|(name, release)| (Part::Resource(name), release));
        components
            .chain(resources)
            .map(|(part, release)| (part, release.as_str()))
    }

    /// The release of a part.
    pub fn release_of(&self, part: Part<'_>) -> Option<&str> {
        let track = self.owner.track_name.as_deref();
        let found = match part {
            Part::Component(name) => self.releases.get(name).filter(|_| track.is_none()),
            Part::Track(name, of) => self.releases.get(name).filter(|_| track == Some(of)),
            Part::Resource(name) => self.resources.get(name),
        };
        found.map(String::as_str)
    }

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
        if self.owner.track_name.is_some() && self.owner.component_name.is_none() {
            out.add("owner.trackName", "needs owner.componentName");
        }
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
        out.unchanged("resources", &self.resources, &old.resources);
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
        let owner = &self.owner;
        if self.parts().next().is_none() {
            out.add("releases", "must name the release of each component");
        }
        for (component, release) in &self.releases {
            out.filled(&format!("releases.{component}"), release);
        }
        for (resource, release) in &self.resources {
            out.filled(&format!("resources.{resource}"), release);
        }
        if owner.component_name.is_some() && owner.resource_name.is_some() {
            out.add(
                "owner",
                "names a component and a resource; name one of them",
            );
        }
        let others =
            |named: &BTreeMap<String, String>, own: &String| named.keys().any(|name| name != own);
        if let Some(component) = &owner.component_name
            && others(&self.releases, component)
        {
            let message = format!(
                "names other components than \"{component}\"; leave owner.componentName out to \
                 promote the project"
            );
            out.add("releases", &message);
        }
        if owner.resource_name.is_some() && !self.releases.is_empty() {
            let message = "names components; leave owner.resourceName out to promote the project";
            out.add("releases", message);
        }
        if let Some(resource) = &owner.resource_name
            && others(&self.resources, resource)
        {
            let message = format!(
                "names other resources than \"{resource}\"; leave owner.resourceName out to \
                 promote the project"
            );
            out.add("resources", &message);
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
    fn what_is_promoted_is_what_the_owner_says() {
        let check = |owner: serde_json::Value, parts: serde_json::Value| {
            let mut spec = json!({
                "owner": owner, "sourceEnvironment": "staging", "targetEnvironment": "production",
            });
            spec["releases"] = parts["components"].clone();
            spec["resources"] = parts["resources"].clone();
            for field in ["releases", "resources"] {
                if spec[field].is_null() {
                    spec[field] = json!({});
                }
            }
            let object =
                json!({ "metadata": { "name": "p", "namespace": "default" }, "spec": spec });
            let violations = crate::check::object::<PromotionSpec>(&object, None);
            violations
                .into_iter()
                .map(|one| one.field)
                .collect::<Vec<_>>()
        };
        let web = json!({ "components": { "web": "web-1" } });
        let db = json!({ "resources": { "db": "db-1" } });
        let both = json!({ "components": { "web": "web-1" }, "resources": { "db": "db-1" } });
        let project = json!({ "projectName": "shop" });
        let of_web = json!({ "projectName": "shop", "componentName": "web" });
        let of_db = json!({ "projectName": "shop", "resourceName": "db" });
        let of_both =
            json!({ "projectName": "shop", "componentName": "web", "resourceName": "db" });
        let none: [&str; 0] = [];
        for (owner, parts) in [
            (&project, &both),
            (&of_web, &web),
            (&of_web, &both),
            (&of_db, &db),
        ] {
            assert_eq!(check(owner.clone(), parts.clone()), none, "{owner} {parts}");
        }
        assert_eq!(check(project, json!({})), ["spec.releases"]);
        assert_eq!(check(of_db.clone(), both.clone()), ["spec.releases"]);
        assert_eq!(check(of_both, both), ["spec.owner", "spec.releases"]);
        assert_eq!(
            check(of_web, json!({ "components": { "api": "api-1" } })),
            ["spec.releases"]
        );
        assert_eq!(
            check(of_db, json!({ "resources": { "queue": "queue-1" } })),
            ["spec.resources"]
        );
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
