//! Configuration groups: values that components share, told apart by environment.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::application::NoStatus;
use crate::check::{Check, Checker};
use crate::object::{Object, Spec};
use crate::schema;
use crate::shared::SecretKeyRef;

/// Values that workloads refer to by the name of their group.
pub type ConfigurationGroup = Object<ConfigurationGroupSpec>;

/// The values of a group. Of several that fit an environment the one for the environment itself
/// counts, then the one for a group of environments, then the one for all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ConfigurationGroupSpec {
    /// Environments that share values, by a name that is known in this group only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub environment_groups: Vec<EnvironmentGroup>,
    /// The keys and their values.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["key"]))]
    pub configurations: Vec<Configuration>,
}

/// Environments that share values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EnvironmentGroup {
    /// What values call it.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The names of its environments.
    #[schemars(length(min = 1))]
    pub environments: Vec<String>,
}

/// One key of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = schema::value_or_reference()))]
pub struct Configuration {
    /// The key: the name of a variable or file when the whole group is taken.
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::CONFIGURATION_KEY))]
    pub key: String,
    /// The value in every environment that has none of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Where that value is kept, when it is secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<SecretFrom>,
    /// Values of single environments and of groups of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<EnvironmentValue>,
}

/// The value of a key in an environment, or in a group of environments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = schema::value_or_reference()))]
pub struct EnvironmentValue {
    /// The environment the value is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// The group of environments the value is for, one of `environmentGroups`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment_group: Option<String>,
    /// The value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Where the value is kept, when it is secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<SecretFrom>,
}

/// Where a secret value is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretFrom {
    /// A key of a `SecretReference` in the same namespace.
    pub secret_key_ref: SecretKeyRef,
}

/// What a key is in one environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A value for everybody to see.
    Plain(&'a str),
    /// A key of a `SecretReference`.
    Secret(&'a SecretKeyRef),
}

/// A value, and where in the group it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found<'a> {
    /// The value.
    pub value: Value<'a>,
    /// A JSON pointer to what says it.
    pub pointer: String,
}

impl ConfigurationGroupSpec {
    /// What `key` is in an environment of these names: that of the environment, and after it, for
    /// an environment made after another, that of the other one.
    pub fn value(&self, key: &str, environments: &[&str]) -> Option<Found<'_>> {
        let index = self.configurations.iter().position(|one| one.key == key)?;
        let found = self.configurations.get(index)?;
        let of_one = environments.iter().find_map(|environment| {
            let own = |one: &EnvironmentValue| one.environment.as_deref() == Some(environment);
            let grouped = |one: &EnvironmentValue| {
                let group = one.environment_group.as_deref();
                group.is_some_and(|group| self.holds(group, environment))
            };
            let values = &found.values;
            let own = values.iter().position(own);
            own.or_else(|| values.iter().position(grouped))
        });
        let pointer = format!("/spec/configurations/{index}");
        let Some(place) = of_one else {
            let value = value_of(found.value.as_ref(), found.value_from.as_ref())?;
            return Some(Found { value, pointer });
        };
        let one = found.values.get(place)?;
        Some(Found {
            value: value_of(one.value.as_ref(), one.value_from.as_ref())?,
            pointer: format!("{pointer}/values/{place}"),
        })
    }

    /// All keys that have a value in an environment of these names, in their order.
    pub fn values(&self, environments: &[&str]) -> Vec<(&str, Found<'_>)> {
        let keys = self.configurations.iter().map(|one| one.key.as_str());
        keys.filter_map(|key| Some((key, self.value(key, environments)?)))
            .collect()
    }

    /// The keys of secret references that are named, in any environment.
    pub fn secrets(&self) -> impl Iterator<Item = &SecretKeyRef> {
        let sources = self.configurations.iter().flat_map(|one| {
            let values = one.values.iter().map(|value| &value.value_from);
            values.chain([&one.value_from])
        });
        sources.flatten().map(|from| &from.secret_key_ref)
    }

    /// The environments that are named, each with the field that names it.
    pub fn environments(&self) -> Vec<(String, &str)> {
        let groups = self.environment_groups.iter().enumerate();
        let grouped = groups.flat_map(|(index, group)| {
            let names = group.environments.iter().enumerate();
            names.map(move |(place, name)| {
                let field = format!("spec.environmentGroups[{index}].environments[{place}]");
                (field, name.as_str())
            })
        });
        let keys = self.configurations.iter().enumerate();
        let own = keys.flat_map(|(index, one)| {
            let values = one.values.iter().enumerate();
            values.filter_map(move |(place, value)| {
                let field = format!("spec.configurations[{index}].values[{place}].environment");
                Some((field, value.environment.as_deref()?))
            })
        });
        grouped.chain(own).collect()
    }

    fn holds(&self, group: &str, environment: &str) -> bool {
        let mut named = self
            .environment_groups
            .iter()
            .filter(|one| one.name == group);
        named.any(|one| one.environments.iter().any(|name| name == environment))
    }
}

fn value_of<'a>(value: Option<&'a String>, from: Option<&'a SecretFrom>) -> Option<Value<'a>> {
    let secret = || from.map(|from| Value::Secret(&from.secret_key_ref));
    value.map(|value| Value::Plain(value)).or_else(secret)
}

impl Spec for ConfigurationGroupSpec {
    type Status = NoStatus;
    const KIND: &'static str = "ConfigurationGroup";
    const HAS_STATUS: bool = false;
}

impl Check for ConfigurationGroupSpec {
    fn check(&self, _old: Option<&Self>, out: &mut Checker) {
        let names = self.environment_groups.iter().map(|one| &one.name);
        out.unique("environmentGroups", "name", names);
        for (index, group) in self.environment_groups.iter().enumerate() {
            let field = format!("environmentGroups[{index}]");
            out.filled(&format!("{field}.name"), &group.name);
            let field = format!("{field}.environments");
            out.filled_list(&field, &group.environments);
            let mut seen = BTreeSet::new();
            if !group.environments.iter().all(|one| seen.insert(one)) {
                out.add(field, "names an environment twice");
            }
        }
        let keys = self.configurations.iter().map(|one| &one.key);
        out.unique("configurations", "key", keys);
        for (index, one) in self.configurations.iter().enumerate() {
            self.check_one(&format!("configurations[{index}]"), one, out);
        }
    }
}

impl ConfigurationGroupSpec {
    fn check_one(&self, field: &str, one: &Configuration, out: &mut Checker) {
        out.matches(&format!("{field}.key"), &one.key, schema::CONFIGURATION_KEY);
        match (one.value.is_some(), one.value_from.is_some()) {
            (true, true) => out.add(field, "value and valueFrom are mutually exclusive"),
            (false, false) if one.values.is_empty() => {
                out.add(field, "needs value, valueFrom or values");
            }
            _ => {}
        }
        // The group of environments that gave each environment its value.
        let mut given: BTreeMap<&str, &str> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for (index, value) in one.values.iter().enumerate() {
            let field = format!("{field}.values[{index}]");
            if value.value.is_some() == value.value_from.is_some() {
                out.add(&field, "needs either value or valueFrom");
            }
            match (&value.environment, &value.environment_group) {
                (Some(name), None) => out.filled(&format!("{field}.environment"), name),
                (None, Some(name)) => self.check_group(&field, name, &mut given, out),
                _ => out.add(&field, "needs either environment or environmentGroup"),
            }
            if !seen.insert((&value.environment, &value.environment_group)) {
                out.add(&field, "gives a second value for the same place");
            }
        }
    }

    /// A value for a group of environments: the group is there, and shares no environment with
    /// another that gives the key a value.
    fn check_group<'a>(
        &'a self,
        field: &str,
        name: &'a str,
        given: &mut BTreeMap<&'a str, &'a str>,
        out: &mut Checker,
    ) {
        let group = self.environment_groups.iter().find(|one| one.name == name);
        let Some(group) = group else {
            let known: Vec<&str> = self
                .environment_groups
                .iter()
                .map(|one| one.name.as_str())
                .collect();
            let message = match known.as_slice() {
                [] => format!("\"{name}\" is not declared under environmentGroups"),
                known => format!(
                    "\"{name}\" is not declared under environmentGroups, which has {}",
                    known.join(", ")
                ),
            };
            return out.add(format!("{field}.environmentGroup"), &message);
        };
        for environment in &group.environments {
            match given.insert(environment, name) {
                Some(other) if other != name => out.add(
                    format!("{field}.environmentGroup"),
                    &format!(
                        "environment \"{environment}\" is in \"{other}\" too, which gives the key \
                         a value already; give it one of its own"
                    ),
                ),
                Some(_) | None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::check::object;

    fn group(spec: serde_json::Value) -> ConfigurationGroupSpec {
        serde_json::from_value(spec).unwrap()
    }

    fn violations(spec: &serde_json::Value) -> Vec<String> {
        let all = object::<ConfigurationGroupSpec>(
            &json!({
                "apiVersion": crate::API_VERSION, "kind": "ConfigurationGroup",
                "metadata": {"name": "mail", "namespace": "default"}, "spec": spec,
            }),
            None,
        );
        let told = all.into_iter();
        told.map(|one| format!("{}: {}", one.field, one.message))
            .collect()
    }

    #[test]
    fn the_nearest_value_counts() {
        let spec = group(json!({
            "environmentGroups": [{"name": "trial", "environments": ["development", "staging"]}],
            "configurations": [
                {"key": "host", "value": "all", "values": [
                    {"environmentGroup": "trial", "value": "trial"},
                    {"environment": "staging", "value": "staging"},
                ]},
                {"key": "token", "values": [{
                    "environment": "production",
                    "valueFrom": {"secretKeyRef": {"name": "mail", "key": "token"}},
                }]},
            ],
        }));
        let host = |environments: &[&str]| spec.value("host", environments).unwrap();
        for (environments, value, pointer) in [
            (["staging"].as_slice(), "staging", "/values/1"),
            (&["development"], "trial", "/values/0"),
            (&["production"], "all", ""),
            (&["preview-1", "staging"], "staging", "/values/1"),
            (&["preview-1", "production"], "all", ""),
        ] {
            let found = host(environments);
            assert_eq!(found.value, Value::Plain(value), "{environments:?}");
            assert_eq!(found.pointer, format!("/spec/configurations/0{pointer}"));
        }
        assert_eq!(spec.value("token", &["staging"]), None);
        assert_eq!(spec.value("none", &["staging"]), None);
        let keys = |environment| -> Vec<String> {
            let values = spec.values(&[environment]);
            values.iter().map(|(key, _)| (*key).to_owned()).collect()
        };
        assert_eq!(keys("staging"), ["host"]);
        assert_eq!(keys("production"), ["host", "token"]);
    }

    #[test]
    fn what_could_be_meant_twice_is_refused() {
        let groups = json!([
            {"name": "a", "environments": ["x", "y"]},
            {"name": "b", "environments": ["y"]},
        ]);
        let of = |configurations: serde_json::Value| {
            let spec = json!({"environmentGroups": groups, "configurations": configurations});
            violations(&spec)
        };
        let both = of(json!([{"key": "k", "values": [
            {"environmentGroup": "a", "value": "1"}, {"environmentGroup": "b", "value": "2"},
        ]}]));
        assert_eq!(both.len(), 1, "{both:?}");
        assert!(both[0].contains("\"y\" is in \"a\" too"), "{both:?}");
        for (configurations, told) in [
            (json!([{"key": "k"}]), "needs value, valueFrom or values"),
            (json!([{"key": "a b", "value": ""}]), "must match"),
            (
                json!([{"key": "k", "values": [{"environmentGroup": "c", "value": ""}]}]),
                "which has a, b",
            ),
            (
                json!([{"key": "k", "values": [{"value": ""}]}]),
                "needs either environment or environmentGroup",
            ),
            (
                json!([{"key": "k", "values": [{"environment": "x"}]}]),
                "needs either value or valueFrom",
            ),
            (
                json!([{"key": "k", "values": [
                    {"environment": "x", "value": "1"}, {"environment": "x", "value": "2"},
                ]}]),
                "second value",
            ),
            (
                json!([{"key": "k", "value": ""}, {"key": "k", "value": ""}]),
                "used twice",
            ),
        ] {
            let found = of(configurations);
            assert!(
                found.iter().any(|one| one.contains(told)),
                "{told}: {found:?}"
            );
        }
    }
}
