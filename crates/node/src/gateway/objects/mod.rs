//! Gateway API objects as far as the gateways read them. Own types rather than generated ones: there,
//! the same filter is four different types, and one value outside an enumeration fails a whole watch.

mod gateway;
mod policy;
mod route;

use std::collections::BTreeMap;

use kube::api::DynamicObject;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

pub use self::{gateway::*, policy::*, route::*};

/// An object of the Gateway API: who it is, how old, and what it asks for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Resource<S> {
    /// Its namespace; empty for cluster-wide kinds.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its labels, by which policies may choose it.
    pub labels: BTreeMap<String, String>,
    /// `metadata.generation`, repeated in statuses.
    pub generation: i64,
    /// `metadata.creationTimestamp`: older routes win.
    pub created: Option<jiff::Timestamp>,
    /// Its specification.
    pub spec: S,
}

impl<S> Resource<S> {
    /// What sorts objects by age: the older wins, of equally old ones the first by name.
    pub fn seniority(&self) -> (Option<jiff::Timestamp>, &str, &str) {
        (self.created, &self.namespace, &self.name)
    }
}

impl<S: DeserializeOwned> Resource<S> {
    /// Reads an object; `None` (and a line in the log) if its specification has another shape.
    pub fn read(object: &DynamicObject) -> Option<Self> {
        let meta = &object.metadata;
        let mut spec = object.data.get("spec").cloned().unwrap_or_default();
        drop_nulls(&mut spec);
        let name = meta.name.clone().unwrap_or_default();
        match serde_json::from_value(spec) {
            Ok(spec) => Some(Self {
                namespace: meta.namespace.clone().unwrap_or_default(),
                name,
                labels: meta.labels.clone().unwrap_or_default(),
                generation: meta.generation.unwrap_or_default(),
                created: meta.creation_timestamp.as_ref().map(|t| t.0),
                spec,
            }),
            Err(error) => {
                tracing::warn!(name, %error, "an object cannot be read by the gateway");
                None
            }
        }
    }
}

/// Takes out fields that are null: a field that is said to be nothing is one that is not said. Clients in Go
/// write empty lists so, and the API takes it out only where its schema names the field.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A label selector.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Selector {
    /// Labels that must be equal.
    pub match_labels: BTreeMap<String, String>,
    /// Further conditions.
    pub match_expressions: Vec<Expression>,
}

/// A condition of a label selector.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Expression {
    /// The label.
    pub key: String,
    /// `In`, `NotIn`, `Exists`, `DoesNotExist`.
    pub operator: String,
    /// The values of `In` and `NotIn`.
    pub values: Vec<String>,
}

impl Selector {
    /// Whether labels satisfy it.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let equal = self
            .match_labels
            .iter()
            .all(|(k, v)| labels.get(k) == Some(v));
        equal
            && self.match_expressions.iter().all(|e| {
                let value = labels.get(&e.key);
                let within = value.is_some_and(|v| e.values.contains(v));
                match e.operator.as_str() {
                    "In" => within,
                    "NotIn" => !within,
                    "Exists" => value.is_some(),
                    "DoesNotExist" => value.is_none(),
                    _ => false,
                }
            })
    }
}

/// A `ReferenceGrant`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Grant {
    /// Who may refer.
    pub from: Vec<GrantFrom>,
    /// To what.
    pub to: Vec<GrantTo>,
}

/// Who may refer.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct GrantFrom {
    /// Group of the referring kind.
    pub group: String,
    /// The referring kind.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
}

/// What may be referred to.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct GrantTo {
    /// Its group.
    pub group: String,
    /// Its kind.
    pub kind: String,
    /// Its name; `None`: all.
    pub name: Option<String>,
}
