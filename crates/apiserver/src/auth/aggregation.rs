//! Roles that are made of others: a `ClusterRole` with an aggregation rule has the
//! rules of every cluster role it selects, and whoever adds a kind adds to them.

use std::sync::{Arc, LazyLock};

use serde_json::{Value, json};

use super::rbac;
use crate::{
    bootstrap::apply_as, core::Core, object::Stored, registry::collection, selector::Selector,
    status::Result, store::Collection,
};

/// Who writes the rules of roles that are made of others.
const MANAGER: &str = "clusterrole-aggregation-controller";

/// Where cluster roles are kept.
pub(crate) fn cluster_roles() -> Collection {
    static KNOWN: LazyLock<Collection> = LazyLock::new(|| collection(rbac::GROUP, "clusterroles"));
    Arc::clone(&KNOWN)
}

/// Gives every role that is made of others its rules, so that a new server has them
/// before its first request.
pub(crate) async fn settle(core: &Core) -> Result<()> {
    let all = core.cache.shelf(&cluster_roles());
    // What is gathered may be gathered again; each round goes one role further.
    for _ in 0..all.len() {
        let mut settled = true;
        for role in all.now("", 0).objects {
            settled &= !aggregate(core, &role).await?;
        }
        if settled {
            break;
        }
    }
    Ok(())
}

/// Gives a role that is made of others their rules; says whether it had others before.
pub(crate) async fn aggregate(core: &Core, role: &Stored) -> Result<bool> {
    let all = core.cache.shelf(&cluster_roles()).now("", 0).objects;
    let Some(rules) = gathered(role, &all) else {
        return Ok(false);
    };
    let wanted = json!({
        "apiVersion": format!("{}/v1", rbac::GROUP), "kind": "ClusterRole",
        "metadata": {"name": &*role.name().name}, "rules": rules,
    });
    apply_as(core, MANAGER, wanted).await.map(|()| true)
}

/// The rules that `role` is to have, if it is made of others and has other rules now.
/// `all` are the cluster roles, in the order of their names.
fn gathered(role: &Stored, all: &[Arc<Stored>]) -> Option<Vec<Value>> {
    let tree = role.value().ok()?;
    let selectors = tree.pointer("/aggregationRule/clusterRoleSelectors")?;
    let mut rules = Vec::new();
    for selector in selectors.as_array()?.iter().filter_map(Selector::of_labels) {
        let chosen = all.iter().filter(|other| {
            other.name() != role.name() && matches!(selector.labels_match(other), Ok(true))
        });
        for other in chosen {
            add(&mut rules, other);
        }
    }
    let current = tree.get("rules").and_then(Value::as_array);
    (current.map_or(&[][..], Vec::as_slice) != rules).then_some(rules)
}

/// Adds what is not there yet.
fn add(rules: &mut Vec<Value>, role: &Stored) {
    let Ok(mut tree) = role.value() else {
        return;
    };
    if let Some(Value::Array(more)) = tree.get_mut("rules").map(Value::take) {
        for rule in more {
            if !rules.contains(&rule) {
                rules.push(rule);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn role(name: &str, label: &str, verbs: &[&str]) -> Value {
        json!({
            "metadata": {"name": name, "uid": name, "labels": {label: "true"}},
            "rules": verbs.iter().map(|verb| json!({"verbs": [verb]})).collect::<Vec<_>>(),
        })
    }

    fn stored(role: &Value) -> Arc<Stored> {
        Arc::new(Stored::parse(1, role.to_string().into()).unwrap())
    }

    #[test]
    fn a_role_has_the_rules_of_those_it_selects() {
        let mut whole = role("all", "to-b", &["old"]);
        whole["aggregationRule"] = json!({"clusterRoleSelectors": [
            {"matchLabels": {"to-a": "true"}},
            {"matchExpressions": [{"key": "to-b", "operator": "Exists"}]},
        ]});
        let others = [
            role("b", "to-a", &["get", "list"]),
            role("c", "to-b", &["list", "watch"]),
            role("d", "to-c", &["delete"]),
        ];
        let mut all: Vec<_> = others.iter().map(stored).collect();
        all.insert(0, stored(&whole));
        let found = gathered(&all[0], &all).unwrap();
        let wanted = ["get", "list", "watch"].map(|verb| json!({"verbs": [verb]}));
        assert_eq!(found, wanted);
        whole["rules"] = json!(wanted);
        assert_eq!(gathered(&stored(&whole), &all), None);
        assert_eq!(gathered(&all[1], &all), None);
    }
}
