//! Services and the network between pods: addresses, endpoints, names, and who may reach whom.

pub mod address;
pub mod egress;
pub mod names;
pub mod network;
pub mod policy;
pub mod refused;
pub mod slice;

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// The domain under which names are answered.
pub const DOMAIN: &str = "cluster.local";

type Labels = Option<BTreeMap<String, String>>;

/// Whether labels are the ones a selector of equalities wants.
pub fn matches_all(wanted: &BTreeMap<String, String>, labels: &Labels) -> bool {
    wanted
        .iter()
        .all(|(key, value)| label(labels, key) == Some(value))
}

fn label<'a>(labels: &'a Labels, key: &str) -> Option<&'a String> {
    labels.as_ref().and_then(|labels| labels.get(key))
}

/// Whether a label selector takes an object with these labels. An empty one takes all.
pub fn selects(selector: &LabelSelector, labels: &Labels) -> bool {
    let equal = selector
        .match_labels
        .iter()
        .all(|wanted| matches_all(wanted, labels));
    equal
        && selector.match_expressions.iter().flatten().all(|wanted| {
            let value = label(labels, &wanted.key);
            let listed =
                value.is_some_and(|value| wanted.values.iter().flatten().any(|v| v == value));
            match wanted.operator.as_str() {
                "In" => listed,
                "NotIn" => !listed,
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        })
}
