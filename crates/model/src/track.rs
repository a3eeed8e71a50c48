//! Deployment tracks: parallel lines of a component, which live beside its main line and beside each
//! other in an environment.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::application::LatestComponentRelease;
use crate::check::{Check, Checker};
use crate::object::{Object, Spec};
use crate::shared::ComponentOwner;
use crate::{names, schema};

/// A line of a component beside its main line. Its name is `COMPONENT--TRACK`, and so is whatever the
/// component would have its own name for.
pub type DeploymentTrack = Object<DeploymentTrackSpec>;

/// What a track is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = schema::rules(&[(
    "has(self.branch) != has(self.apiVersion)",
    "a track is of either a branch or an apiVersion",
)])))]
pub struct DeploymentTrackSpec {
    /// The component the track is of.
    #[schemars(extend("x-kubernetes-validations" = schema::immutable()))]
    pub owner: TrackOwner,
    /// The branch that is deployed on the track.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub branch: Option<String>,
    /// The version of the component's API that is deployed on the track.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub api_version: Option<String>,
    /// Whether every change is released and deployed to the first environment; left out, what the
    /// component says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_deploy: Option<bool>,
}

/// The component that a track is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrackOwner {
    /// The name of the component's project.
    #[schemars(length(min = 1))]
    pub project_name: String,
    /// The name of the component.
    #[schemars(length(min = 1))]
    pub component_name: String,
}

/// What was observed of a track.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DeploymentTrackStatus {
    /// The generation this status is about.
    #[serde(skip_serializing_if = "schema::is_zero")]
    pub observed_generation: i64,
    /// `Ready` and, while being deleted, `Finalizing`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The release made last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latest_release: Option<LatestComponentRelease>,
    /// Where the track is deployed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub environments: Vec<TrackEnvironment>,
}

/// An environment that a track is deployed to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct TrackEnvironment {
    /// The environment.
    pub name: String,
    /// The release that is rendered there, once one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
}

impl Spec for DeploymentTrackSpec {
    type Status = DeploymentTrackStatus;
    const KIND: &'static str = "DeploymentTrack";
}

impl Check for DeploymentTrackSpec {
    fn check(&self, old: Option<&Self>, out: &mut Checker) {
        if let Some(old) = old {
            out.unchanged("owner", &self.owner, &old.owner);
        }
        out.filled("owner.projectName", &self.owner.project_name);
        out.filled("owner.componentName", &self.owner.component_name);
        for (field, value) in [("branch", &self.branch), ("apiVersion", &self.api_version)] {
            if let Some(value) = value {
                out.filled(field, value);
            }
        }
        if self.branch.is_some() == self.api_version.is_some() {
            out.add("", "needs either branch or apiVersion");
        }
    }

    fn check_name(&self, name: &str, out: &mut Checker) {
        if let Err(message) = self.named(name) {
            out.add_name(message);
        }
    }
}

impl DeploymentTrackSpec {
    /// The line of the component that a track called `name` is, or what is wrong with the name: it is
    /// that of services, hence no longer than theirs.
    pub fn named(&self, name: &str) -> Result<ComponentOwner, String> {
        let component = &self.owner.component_name;
        let Some(track) = names::track_of(component, name) else {
            let wanted = names::line(component, Some("TRACK"));
            return Err(format!(
                "\"{name}\" must be the component and the track, as in {wanted}"
            ));
        };
        if name.len() > names::LABEL_LIMIT || name.contains('.') {
            let limit = names::LABEL_LIMIT;
            return Err(format!(
                "\"{name}\" must be at most {limit} characters, and have no dots"
            ));
        }
        let project = &self.owner.project_name;
        Ok(ComponentOwner::new(project, component, Some(track)))
    }
}
