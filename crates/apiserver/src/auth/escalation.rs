//! Nobody can give away what they do not have: who writes a role, or binds one, must
//! hold every permission in it, or be allowed to `escalate` or to `bind`.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::rbac::v1::PolicyRule;
use serde_json::{Value, json};

use super::{
    User,
    rbac::{self, GROUP, Wish},
};
use crate::{
    core::Core,
    object::meta_str,
    resource::Resource,
    status::{Failure, Result},
};

/// A write of a role or binding.
pub(crate) struct Grant<'a> {
    pub(crate) core: &'a Core,
    pub(crate) user: &'a User,
    pub(crate) kind: &'a Resource,
    /// Namespace of the request.
    pub(crate) namespace: &'a str,
    /// Name in the path of the request; empty for creation.
    pub(crate) name: &'a str,
}

impl Grant<'_> {
    /// Refuses to write `object` if that would give away more than the user has.
    pub(crate) fn check(&self, object: &Value, old: Option<&Value>) -> Result<()> {
        if self.kind.group != GROUP || self.user.is_master() {
            return Ok(());
        }
        if old.is_some_and(|old| without_ties(old) == without_ties(object)) {
            return Ok(());
        }
        match self.kind.plural.as_str() {
            "roles" | "clusterroles" => self.check_role(object, old),
            "rolebindings" | "clusterrolebindings" => self.check_binding(object),
            _ => Ok(()),
        }
    }

    fn check_role(&self, object: &Value, old: Option<&Value>) -> Result<()> {
        if self.may("escalate", &self.kind.plural, self.name) {
            return Ok(());
        }
        let wanted = object.get("rules").and_then(Value::as_array);
        self.confirm(object, wanted.map_or(&[], Vec::as_slice))?;
        if gathers(object) || old.is_some_and(gathers) {
            // Whatever else is labelled so would come to it: that takes every right.
            let why = "must have cluster-admin privileges to use the aggregationRule";
            self.confirm(object, &rbac::everything())
                .map_err(|_| Failure::forbidden(self.kind, meta_str(object, "name"), why))?;
        }
        Ok(())
    }

    fn check_binding(&self, object: &Value) -> Result<()> {
        let reference = object.get("roleRef").unwrap_or(&Value::Null);
        let text = |key: &str| {
            reference
                .get(key)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let plural = match text("kind") {
            "ClusterRole" => "clusterroles",
            "Role" => "roles",
            // The checks of bindings tell what is wrong.
            _ => return Ok(()),
        };
        if self.may("bind", plural, text("name")) {
            return Ok(());
        }
        let rules = rbac::role_rules(&self.core.cache, reference, self.namespace);
        // Kubernetes says the name of the role, but the kind of the binding.
        let rules = rules.ok_or_else(|| Failure::not_found(self.kind, text("name")))?;
        self.confirm(object, &rules)
    }

    fn may(&self, verb: &str, resource: &str, name: &str) -> bool {
        let wish = Wish::Objects {
            verb,
            group: GROUP,
            resource,
            subresource: "",
            namespace: self.namespace,
            name,
        };
        rbac::allowed(&self.core.cache, self.user, &wish).is_some()
    }

    fn confirm(&self, object: &Value, wanted: &[Value]) -> Result<()> {
        let held = rbac::rules(&self.core.cache, self.user, self.namespace);
        let missing = missing(&held, wanted);
        if missing.is_empty() {
            return Ok(());
        }
        let lines: Vec<String> = described(missing).into_iter().collect();
        let why = format!(
            "user {:?} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
            self.user.name,
            quoted(&self.user.groups),
            lines.join("\n")
        );
        Err(Failure::forbidden(
            self.kind,
            meta_str(object, "name"),
            &why,
        ))
    }
}

/// The object without what the clean-up of others changes in it.
fn without_ties(object: &Value) -> Value {
    let mut copy = object.clone();
    if let Some(metadata) = copy.get_mut("metadata").and_then(Value::as_object_mut) {
        for name in ["ownerReferences", "finalizers", "managedFields"] {
            metadata.remove(name);
        }
    }
    copy
}

fn gathers(role: &Value) -> bool {
    let selectors = role.pointer("/aggregationRule/clusterRoleSelectors");
    selectors
        .and_then(Value::as_array)
        .is_some_and(|selectors| !selectors.is_empty())
}

/// The single permissions of `wanted` that no rule of `held` covers.
pub(crate) fn missing(held: &[Value], wanted: &[Value]) -> Vec<PolicyRule> {
    let held: Vec<PolicyRule> = held.iter().filter_map(typed).collect();
    let wanted = wanted.iter().filter_map(typed);
    wanted
        .flat_map(|rule| single(&rule))
        .filter(|one| !held.iter().any(|rule| covers(rule, one)))
        .collect()
}

fn typed(rule: &Value) -> Option<PolicyRule> {
    serde_json::from_value(json!(rule)).ok()
}

fn list(texts: Option<&Vec<String>>) -> &[String] {
    texts.map_or(&[], Vec::as_slice)
}

/// One rule per verb, resource and name.
fn single(rule: &PolicyRule) -> Vec<PolicyRule> {
    let one = |text: &String| Some(vec![text.clone()]);
    let names: Vec<Option<Vec<String>>> = match list(rule.resource_names.as_ref()) {
        [] => vec![None],
        names => names.iter().map(one).collect(),
    };
    let mut found = Vec::new();
    for group in list(rule.api_groups.as_ref()) {
        for resource in list(rule.resources.as_ref()) {
            for verb in &rule.verbs {
                found.extend(names.iter().map(|name| PolicyRule {
                    api_groups: one(group),
                    resources: one(resource),
                    resource_names: name.clone(),
                    verbs: vec![verb.clone()],
                    non_resource_urls: None,
                }));
            }
        }
    }
    for path in list(rule.non_resource_urls.as_ref()) {
        found.extend(rule.verbs.iter().map(|verb| PolicyRule {
            non_resource_urls: one(path),
            verbs: vec![verb.clone()],
            ..PolicyRule::default()
        }));
    }
    found
}

/// Whether a rule gives a single permission.
fn covers(held: &PolicyRule, one: &PolicyRule) -> bool {
    let any = |held: &[String], text: &String| held.iter().any(|own| own == "*" || own == text);
    let groups = list(held.api_groups.as_ref());
    let resources = list(held.resources.as_ref());
    let paths = list(held.non_resource_urls.as_ref());
    let names = list(held.resource_names.as_ref());
    let resource = |wanted: &String| {
        let of_any = wanted.split_once('/').map(|(_, sub)| format!("*/{sub}"));
        any(resources, wanted) || of_any.is_some_and(|of_any| resources.contains(&of_any))
    };
    let path = |wanted: &String| {
        paths.iter().any(|own| match own.strip_suffix('*') {
            Some(prefix) => wanted.starts_with(prefix),
            None => own == wanted,
        })
    };
    let wanted_names = list(one.resource_names.as_ref());
    one.verbs.iter().all(|verb| any(&held.verbs, verb))
        && list(one.api_groups.as_ref())
            .iter()
            .all(|group| any(groups, group))
        && list(one.resources.as_ref()).iter().all(resource)
        && list(one.non_resource_urls.as_ref()).iter().all(path)
        && (names.is_empty()
            || (!wanted_names.is_empty() && wanted_names.iter().all(|name| names.contains(name))))
}

/// What is missing, in lines as Kubernetes writes them: the verbs of one resource together.
fn described(missing: Vec<PolicyRule>) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    let mut together: BTreeMap<String, PolicyRule> = BTreeMap::new();
    for rule in missing {
        if rule.resources.is_none() {
            lines.insert(line(&rule));
            continue;
        }
        let bare = PolicyRule {
            verbs: Vec::new(),
            ..rule.clone()
        };
        together
            .entry(line(&bare))
            .and_modify(|known| known.verbs.extend(rule.verbs.clone()))
            .or_insert(rule);
    }
    lines.extend(together.values().map(line));
    lines
}

fn line(rule: &PolicyRule) -> String {
    let parts = [
        ("APIGroups", list(rule.api_groups.as_ref())),
        ("Resources", list(rule.resources.as_ref())),
        ("NonResourceURLs", list(rule.non_resource_urls.as_ref())),
        ("ResourceNames", list(rule.resource_names.as_ref())),
        ("Verbs", &rule.verbs),
    ];
    let parts = parts.iter().filter(|(_, texts)| !texts.is_empty());
    let parts: Vec<String> = parts
        .map(|(name, texts)| format!("{name}:{}", quoted(texts)))
        .collect();
    format!("{{{}}}", parts.join(", "))
}

fn quoted(texts: &[String]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| format!("{text:?}")).collect();
    format!("[{}]", texts.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(held: &Value, wanted: &Value, lines: &[&str]) {
        let one = std::slice::from_ref::<Value>;
        let found: Vec<String> = described(missing(one(held), one(wanted)))
            .into_iter()
            .collect();
        assert_eq!(found, lines, "{held} against {wanted}");
    }

    #[test]
    fn what_is_missing_is_told() {
        let pods =
            json!({"apiGroups": [""], "resources": ["pods", "*/scale"], "verbs": ["get", "list"]});
        check(&pods, &pods, &[]);
        check(
            &pods,
            &json!({"apiGroups": [""], "resources": ["pods", "things/scale"], "verbs": ["list"], "resourceNames": ["a"]}),
            &[],
        );
        check(
            &pods,
            &json!({"apiGroups": [""], "resources": ["pods"], "verbs": ["delete", "get", "watch"]}),
            &[r#"{APIGroups:[""], Resources:["pods"], Verbs:["delete" "watch"]}"#],
        );
        check(
            &json!({"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"], "resourceNames": ["a"]}),
            &json!({"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}),
            &[r#"{APIGroups:[""], Resources:["pods"], Verbs:["get"]}"#],
        );
    }

    #[test]
    fn paths_are_permissions_too() {
        let held = json!({"nonResourceURLs": ["/healthz/*", "/version"], "verbs": ["get"]});
        check(
            &held,
            &json!({"nonResourceURLs": ["/healthz/ping", "/version"], "verbs": ["get"]}),
            &[],
        );
        check(
            &held,
            &json!({"nonResourceURLs": ["/metrics"], "verbs": ["get", "post"]}),
            &[
                r#"{NonResourceURLs:["/metrics"], Verbs:["get"]}"#,
                r#"{NonResourceURLs:["/metrics"], Verbs:["post"]}"#,
            ],
        );
    }
}
