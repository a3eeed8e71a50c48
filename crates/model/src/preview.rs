//! Preview environments: a leased copy of some components of a project, beside the environment it
//! was made after.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::check::{Check, Checker};
use crate::object::{Object, Spec};
use crate::schema;

/// A leased copy of some components.
pub type PreviewEnvironment = Object<PreviewEnvironmentSpec>;

/// The longest lease, in seconds: 30 days.
const LONGEST_LEASE: i64 = 30 * 24 * 3600;

/// What is copied, from where, and for how long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PreviewEnvironmentSpec {
    /// The project.
    #[schemars(length(min = 1))]
    #[schemars(extend("x-kubernetes-validations" = schema::immutable()))]
    pub project_name: String,
    /// The environment to copy.
    #[schemars(length(min = 1))]
    #[schemars(extend("x-kubernetes-validations" = schema::immutable()))]
    pub from: String,
    /// The components to look at. Each is as in the environment it is copied from, but for what is
    /// said here.
    #[schemars(length(min = 1, max = 100))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub components: Vec<PreviewComponent>,
    /// What becomes of the project's other components.
    #[serde(default)]
    #[schemars(extend("x-kubernetes-validations" = schema::immutable()))]
    pub rest: Rest,
    /// How long the lease is, as in `4h`, `90m` or `2d`; at most 30 days.
    #[serde(default = "four_hours")]
    #[schemars(regex(pattern = schema::LEASE))]
    pub ttl: String,
    /// When the lease was last extended; it runs from then. Left out, it runs from the creation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renew_time: Option<Time>,
    /// Whether every deployment into the preview begins the lease anew.
    #[serde(default, skip_serializing_if = "schema::is_false")]
    pub extend_on_use: bool,
}

/// A component of a preview.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PreviewComponent {
    /// The component.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The image to run instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub image: Option<String>,
    /// The release to run instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub release: Option<String>,
}

/// What becomes of the components that a preview is not about.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Rest {
    /// The preview calls those of the environment it was made after.
    #[default]
    Shared,
    /// The preview has copies of them.
    Copied,
}

impl PreviewEnvironmentSpec {
    /// How long the lease is, in seconds; nothing when it is not written as a lease is.
    pub fn lease_seconds(&self) -> Option<i64> {
        let (mut total, mut number) = (0_i64, String::new());
        for letter in self.ttl.chars() {
            let unit = match letter {
                '0'..='9' => {
                    number.push(letter);
                    continue;
                }
                'm' => 60,
                'h' => 3600,
                'd' => 24 * 3600,
                _ => return None,
            };
            let count: i64 = number.parse().ok()?;
            total = total.checked_add(count.checked_mul(unit)?)?;
            number.clear();
        }
        (number.is_empty() && (1..=LONGEST_LEASE).contains(&total)).then_some(total)
    }
}

/// Where a preview is in its life.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum Phase {
    /// It is being made.
    #[default]
    Preparing,
    /// It can be used.
    Ready,
    /// It is being taken away.
    Removing,
    /// Nothing of it is left.
    Removed,
}

/// What was observed of a preview.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PreviewEnvironmentStatus {
    /// The generation this status is about.
    #[serde(skip_serializing_if = "schema::is_zero")]
    pub observed_generation: i64,
    /// Where it is in its life.
    pub phase: Phase,
    /// The environment that was made for it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub environment: String,
    /// Where its components are reached from outside.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<PreviewUrl>,
    /// When the lease ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// When the last of it was gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removed_at: Option<Time>,
    /// Everything that was made for it, and whether it is gone: the proof that nothing is left.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub report: Vec<PreviewObject>,
    /// `Ready`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// The address of an endpoint of a preview.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PreviewUrl {
    /// The component.
    pub component: String,
    /// Its endpoint.
    pub endpoint: String,
    /// The address.
    pub url: String,
}

/// Something that was made for a preview.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct PreviewObject {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Whether it is gone.
    pub gone: bool,
}

impl Spec for PreviewEnvironmentSpec {
    type Status = PreviewEnvironmentStatus;
    const KIND: &'static str = "PreviewEnvironment";
}

impl Check for PreviewEnvironmentSpec {
    fn check(&self, old: Option<&Self>, out: &mut Checker) {
        if let Some(old) = old {
            out.unchanged("projectName", &self.project_name, &old.project_name);
            out.unchanged("from", &self.from, &old.from);
            out.unchanged("rest", &self.rest, &old.rest);
        }
        out.filled("projectName", &self.project_name);
        out.filled("from", &self.from);
        out.filled_list("components", &self.components);
        out.at_most("components", self.components.len(), 100);
        let names = self.components.iter().map(|one| &one.name);
        out.unique("components", "name", names);
        for (index, one) in self.components.iter().enumerate() {
            let field = format!("components[{index}]");
            out.filled(&format!("{field}.name"), &one.name);
            if one.image.is_some() && one.release.is_some() {
                out.add(field, "image and release are mutually exclusive");
            }
        }
        if self.lease_seconds().is_none() {
            let message = format!(
                "\"{}\" must be a time as in 4h, 90m or 2d, of at most 30 days",
                self.ttl
            );
            out.add("ttl", &message);
        }
    }
}

fn four_hours() -> String {
    "4h".to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_lease_is_a_sum_of_times() {
        let seconds = |ttl: &str| {
            let spec = json!({
                "projectName": "shop", "from": "development", "ttl": ttl,
                "components": [{"name": "web"}],
            });
            let spec: PreviewEnvironmentSpec = serde_json::from_value(spec).unwrap();
            spec.lease_seconds()
        };
        assert_eq!(seconds("4h"), Some(14_400));
        assert_eq!(seconds("1d2h30m"), Some(95_400));
        for bad in [
            "",
            "0h",
            "4",
            "h",
            "4s",
            "31d",
            "-1h",
            "99999999999999999999d",
        ] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }
}
