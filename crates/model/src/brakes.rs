//! The brakes of promotion paths: approvals, checks, freeze windows, soak times and the way back.

use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::check::Checker;
use crate::duration::duration;
use crate::schema;

/// How long a check may take when it does not say.
const CHECK_TIMEOUT: SignedDuration = SignedDuration::from_mins(5);
/// How long a release may take to be healthy when nothing says so.
const DEADLINE: SignedDuration = SignedDuration::from_mins(15);

/// Whose approval a promotion needs, besides that of whoever asked for it.
///
/// Whoever is named by `users` or is in one of `groups` may approve; where neither is given,
/// everybody may. Nobody ever approves what they asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Approvals {
    /// How many people must approve.
    #[schemars(range(min = 1))]
    pub count: u32,
    /// Who may approve, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<String>,
    /// Who may approve, by group.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
}

impl Default for Approvals {
    fn default() -> Self {
        Self {
            count: 1,
            users: Vec::new(),
            groups: Vec::new(),
        }
    }
}

impl Approvals {
    /// Whether somebody may approve.
    pub fn allow(&self, user: &str, groups: &[String]) -> bool {
        let anybody = self.users.is_empty() && self.groups.is_empty();
        anybody
            || self.users.iter().any(|one| one == user)
            || self.groups.iter().any(|one| groups.contains(one))
    }

    /// Who may approve, in words.
    pub fn who(&self) -> String {
        let users = self.users.iter().cloned();
        let groups = self.groups.iter().map(|group| format!("group {group}"));
        let all: Vec<String> = users.chain(groups).collect();
        match all.as_slice() {
            [] => "anybody else".to_owned(),
            all => all.join(", "),
        }
    }
}

/// Something that must succeed before a release goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = schema::rules(&[ONE_FORM])))]
pub struct PromotionCheck {
    /// What the check is called.
    #[schemars(length(min = 1, max = 63), regex(pattern = schema::DNS_LABEL))]
    pub name: String,
    /// How long it may take; left out, five minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = schema::DURATION))]
    pub timeout: Option<String>,
    /// A request that must be answered as expected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpCheck>,
    /// A program that must end well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobCheck>,
}

/// A check is a request or a program.
const ONE_FORM: (&str, &str) = (
    "has(self.http) != has(self.job)",
    "needs either http or job",
);

impl PromotionCheck {
    /// How long the check may take.
    pub fn timeout(&self) -> SignedDuration {
        let said = self.timeout.as_deref().and_then(duration);
        said.unwrap_or(CHECK_TIMEOUT)
    }

    fn check(&self, field: &str, out: &mut Checker) {
        out.dns_label(&format!("{field}.name"), &self.name);
        length(&format!("{field}.timeout"), self.timeout.as_deref(), out);
        match (&self.http, &self.job) {
            (Some(http), None) => http.check(&format!("{field}.http"), out),
            (None, Some(job)) => job.check(&format!("{field}.job"), out),
            (Some(_), Some(_)) | (None, None) => out.add(field, "needs either http or job"),
        }
    }
}

/// A request that is made, again and again until the time is up, until it is answered as expected.
/// It comes from the platform itself, follows no redirect, and looks at nothing but the status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpCheck {
    /// Where to: `http` or `https`.
    #[schemars(regex(pattern = URL))]
    pub url: String,
    /// How.
    #[serde(default)]
    pub method: HttpMethod,
    /// The status of the answer that is wanted.
    #[serde(default = "ok")]
    #[schemars(range(min = 100, max = 599))]
    pub expected_status: u16,
    /// Headers to send.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// What to send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

const URL: &str = r"^https?://[^\s/?#]+([/?][^\s#]*)?$";

fn ok() -> u16 {
    200
}

impl HttpCheck {
    fn check(&self, field: &str, out: &mut Checker) {
        out.matches(&format!("{field}.url"), &self.url, URL);
        if !(100..=599).contains(&self.expected_status) {
            out.add(
                format!("{field}.expectedStatus"),
                "must be between 100 and 599",
            );
        }
    }
}

/// How a request is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the methods of HTTP")]
pub enum HttpMethod {
    #[default]
    Get,
    Head,
    Post,
    Put,
}

impl HttpMethod {
    /// The method, as requests write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
        }
    }
}

/// A program that runs once, as a Job in the cell that the release comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JobCheck {
    /// The image it runs.
    #[schemars(length(min = 1))]
    pub image: String,
    /// What to run in place of what the image runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Environment variables, besides those that tell what is promoted.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
}

impl JobCheck {
    fn check(&self, field: &str, out: &mut Checker) {
        out.filled(&format!("{field}.image"), &self.image);
    }
}

/// Promotion without anybody asking for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Automatic {
    /// How long a release must have been ready where it comes from.
    #[schemars(regex(pattern = schema::DURATION))]
    pub soak: String,
}

impl Automatic {
    /// How long a release must have been ready where it comes from.
    pub fn soak(&self) -> SignedDuration {
        // What cannot be read was refused at the door; it must never mean no time at all.
        duration(&self.soak).unwrap_or(SignedDuration::MAX)
    }
}

/// The way back for a release that does not become healthy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RollbackPolicy {
    /// How long the release may take to be ready.
    #[schemars(regex(pattern = schema::DURATION))]
    pub deadline: String,
}

/// What goes on together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PromotionStrategy {
    /// Each component by itself, or the whole project.
    #[default]
    Component,
    /// Only the whole project, in the order of its components' dependencies.
    Project,
}

/// How long a release may take to be ready: what `rollback` says, else a usual time.
pub fn deadline(rollback: Option<&RollbackPolicy>) -> SignedDuration {
    let said = rollback.and_then(|rollback| duration(&rollback.deadline));
    said.unwrap_or(DEADLINE)
}

/// The brakes of one path, whose fields are named relative to `field`.
pub(crate) struct Brakes<'a> {
    pub(crate) approvals: Option<&'a Approvals>,
    pub(crate) checks: &'a [PromotionCheck],
    pub(crate) automatic: Option<&'a Automatic>,
    pub(crate) rollback: Option<&'a RollbackPolicy>,
}

impl Brakes<'_> {
    pub(crate) fn check(&self, field: &str, out: &mut Checker) {
        if self.approvals.is_some_and(|approvals| approvals.count == 0) {
            out.add(format!("{field}.approvals.count"), "must be at least 1");
        }
        if let Some(approvals) = self.approvals
            && approvals.groups.is_empty()
            && !approvals.users.is_empty()
            && u32::try_from(approvals.users.len()).is_ok_and(|users| users < approvals.count)
        {
            out.add(
                format!("{field}.approvals.count"),
                "is more than there are users who may approve",
            );
        }
        let names = self.checks.iter().map(|check| &check.name);
        out.unique(&format!("{field}.checks"), "name", names);
        for (index, check) in self.checks.iter().enumerate() {
            check.check(&format!("{field}.checks[{index}]"), out);
        }
        let soak = self.automatic.map(|automatic| automatic.soak.as_str());
        length(&format!("{field}.automatic.soak"), soak, out);
        let deadline = self.rollback.map(|rollback| rollback.deadline.as_str());
        length(&format!("{field}.rollback.deadline"), deadline, out);
    }
}

fn length(field: &str, text: Option<&str>, out: &mut Checker) {
    if let Some(text) = text
        && duration(text).is_none()
    {
        out.add(
            field,
            &format!("\"{text}\" is no length of time, as 90s or 1h30m"),
        );
    }
}
