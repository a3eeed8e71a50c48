//! What roles allow: nothing is allowed that no rule names.

use std::sync::Arc;

use serde_json::{Value, json};

use super::User;
use crate::{
    cache::Cache,
    object::{Name, Stored},
    registry::collection,
};

/// The group of roles and bindings.
pub(crate) const GROUP: &str = "rbac.authorization.k8s.io";

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wish<'a> {
    /// Something about objects.
    Objects {
        verb: &'a str,
        group: &'a str,
        resource: &'a str,
        subresource: &'a str,
        /// Empty for cluster-wide kinds and for all namespaces.
        namespace: &'a str,
        /// Empty for collections.
        name: &'a str,
    },
    /// A document of the server.
    Path { verb: &'a str, path: &'a str },
}

impl Wish<'_> {
    fn namespace(&self) -> &str {
        match self {
            Self::Objects { namespace, .. } => namespace,
            Self::Path { .. } => "",
        }
    }
}

/// Why somebody may, or nothing if they may not.
pub(crate) fn allowed(cache: &Cache, user: &User, wish: &Wish<'_>) -> Option<String> {
    if user.is_master() {
        return Some("the administrator may do everything".to_owned());
    }
    for grant in grants(cache, user, wish.namespace()) {
        if grant.rules.iter().any(|rule| permits(rule, wish)) {
            return Some(format!("RBAC: allowed by {}", grant.why));
        }
    }
    None
}

/// Every rule that holds for somebody in a namespace.
pub(crate) fn rules(cache: &Cache, user: &User, namespace: &str) -> Vec<Value> {
    if user.is_master() {
        return everything().to_vec();
    }
    let grants = grants(cache, user, namespace);
    grants.into_iter().flat_map(|grant| grant.rules).collect()
}

/// The rules that allow whatever there is.
pub(crate) fn everything() -> [Value; 2] {
    [
        json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}),
        json!({"verbs": ["*"], "nonResourceURLs": ["*"]}),
    ]
}

struct Grant {
    rules: Vec<Value>,
    /// The binding and its role.
    why: String,
}

fn grants(cache: &Cache, user: &User, namespace: &str) -> Vec<Grant> {
    let mut found = bound(cache, user, "clusterrolebindings", "");
    if !namespace.is_empty() {
        found.extend(bound(cache, user, "rolebindings", namespace));
    }
    found
}

/// What the bindings of a namespace give.
fn bound(cache: &Cache, user: &User, bindings: &str, namespace: &str) -> Vec<Grant> {
    let shelf = cache.shelf(&collection(GROUP, bindings));
    let all = shelf.now(namespace, 0).objects;
    all.iter()
        .filter_map(|binding| grant(cache, user, binding))
        .collect()
}

fn grant(cache: &Cache, user: &User, binding: &Arc<Stored>) -> Option<Grant> {
    let tree = binding.kept().ok()?;
    let subjects = tree.get("subjects")?.as_array()?;
    let namespace = &*binding.name().namespace;
    let subject = subjects
        .iter()
        .find(|subject| names(subject, user, namespace))?;
    let reference = tree.get("roleRef")?;
    let rules = role_rules(cache, reference, namespace)?;
    let home = match namespace {
        "" => String::new(),
        namespace => format!("/{namespace}"),
    };
    let why = format!(
        "{} \"{}{home}\" of {} {:?} to {}",
        text(tree, "kind"),
        binding.name().name,
        text(reference, "kind"),
        text(reference, "name"),
        described(subject, namespace),
    );
    Some(Grant { rules, why })
}

/// The rules of the role a binding of this namespace names, if there is such a role.
pub(crate) fn role_rules(cache: &Cache, reference: &Value, namespace: &str) -> Option<Vec<Value>> {
    let (plural, home) = match text(reference, "kind") {
        "ClusterRole" => ("clusterroles", ""),
        "Role" => ("roles", namespace),
        _ => return None,
    };
    let role = cache
        .shelf(&collection(GROUP, plural))
        .get(&Name::new(home, text(reference, "name")))?;
    match role.kept().ok()?.get("rules") {
        Some(Value::Array(rules)) => Some(rules.clone()),
        _ => Some(Vec::new()),
    }
}

fn described(subject: &Value, namespace: &str) -> String {
    let (kind, name) = (text(subject, "kind"), text(subject, "name"));
    if kind == "ServiceAccount" {
        let home = match text(subject, "namespace") {
            "" => namespace,
            home => home,
        };
        return format!("{kind} \"{name}/{home}\"");
    }
    format!("{kind} {name:?}")
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Whether a subject of a binding is this user.
fn names(subject: &Value, user: &User, namespace: &str) -> bool {
    let name = text(subject, "name");
    match text(subject, "kind") {
        "User" => name == user.name,
        "Group" => user.groups.iter().any(|group| group == name),
        "ServiceAccount" => {
            let home = match text(subject, "namespace") {
                "" => namespace,
                home => home,
            };
            user.name == User::account(home, name, "").name
        }
        _ => false,
    }
}

/// Whether one rule permits what is asked for.
fn permits(rule: &Value, wish: &Wish<'_>) -> bool {
    let any = |key: &str, fits: &dyn Fn(&str) -> bool| {
        let listed = rule.get(key).and_then(Value::as_array);
        listed
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .any(fits)
    };
    match *wish {
        Wish::Path { verb, path } => {
            any("verbs", &|one| one == "*" || one == verb)
                && any("nonResourceURLs", &|one| match one.strip_suffix('*') {
                    Some(prefix) => path.starts_with(prefix),
                    None => one == path,
                })
        }
        Wish::Objects {
            verb,
            group,
            resource,
            subresource,
            name,
            ..
        } => {
            let whole = if subresource.is_empty() {
                resource.to_owned()
            } else {
                format!("{resource}/{subresource}")
            };
            let of_any =
                |one: &str| !subresource.is_empty() && one.strip_prefix("*/") == Some(subresource);
            let everywhere = rule
                .get("resourceNames")
                .and_then(Value::as_array)
                .is_none_or(Vec::is_empty);
            any("verbs", &|one| one == "*" || one == verb)
                && any("apiGroups", &|one| one == "*" || one == group)
                && any("resources", &|one| {
                    one == "*" || one == whole || of_any(one)
                })
                && (everywhere || any("resourceNames", &|one| one == name && !name.is_empty()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish<'a>(verb: &'a str, group: &'a str, path: [&'a str; 3]) -> Wish<'a> {
        let [resource, subresource, name] = path;
        Wish::Objects {
            verb,
            group,
            resource,
            subresource,
            namespace: "n",
            name,
        }
    }

    #[test]
    fn rules_permit_what_they_name() {
        let rule =
            json!({"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods", "*/scale"]});
        assert!(permits(&rule, &wish("get", "", ["pods", "", "p"])));
        assert!(permits(&rule, &wish("get", "", ["things", "scale", "p"])));
        assert!(!permits(&rule, &wish("get", "", ["pods", "log", "p"])));
        assert!(!permits(&rule, &wish("delete", "", ["pods", "", "p"])));
        assert!(!permits(&rule, &wish("get", "apps", ["pods", "", "p"])));
        assert!(!permits(
            &rule,
            &Wish::Path {
                verb: "get",
                path: "/version"
            }
        ));
    }

    #[test]
    fn names_limit_rules() {
        let rule =
            json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "resourceNames": ["p"]});
        assert!(permits(&rule, &wish("get", "x", ["pods", "", "p"])));
        assert!(!permits(&rule, &wish("get", "x", ["pods", "", "q"])));
        assert!(!permits(&rule, &wish("list", "x", ["pods", "", ""])));
    }

    #[test]
    fn paths_may_end_in_a_star() {
        let rule = json!({"verbs": ["get"], "nonResourceURLs": ["/healthz", "/openapi/*"]});
        let get = |path| Wish::Path { verb: "get", path };
        assert!(permits(&rule, &get("/healthz")));
        assert!(permits(&rule, &get("/openapi/v3")));
        assert!(!permits(&rule, &get("/healthz/x")));
    }

    #[test]
    fn subjects_are_users_groups_and_accounts() {
        let user = User::account("n", "a", "");
        for (subject, expected) in [
            (
                json!({"kind": "ServiceAccount", "name": "a", "namespace": "n"}),
                true,
            ),
            (json!({"kind": "ServiceAccount", "name": "a"}), true),
            (
                json!({"kind": "ServiceAccount", "name": "a", "namespace": "m"}),
                false,
            ),
            (
                json!({"kind": "Group", "name": "system:serviceaccounts:n"}),
                true,
            ),
            (
                json!({"kind": "User", "name": "system:serviceaccount:n:a"}),
                true,
            ),
            (json!({"kind": "User", "name": "a"}), false),
        ] {
            assert_eq!(names(&subject, &user, "n"), expected, "{subject}");
        }
    }
}
