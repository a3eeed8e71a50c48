//! What a request asks for, and whether whoever asks may have it.

use std::sync::Arc;

use http::{Method, request::Parts};

use super::{
    impersonate::impersonated,
    path::{Objects, Route},
    query::Query,
};
use crate::{
    auth::{
        User,
        rbac::{self, Wish},
    },
    core::Core,
    selector::Selector,
    status::{Failure, Result},
};

/// Whoever asks. Requests that neither came through the listener nor from a part of the program are
/// the administrator's.
pub(super) fn user(core: &Core, parts: &Parts) -> Result<Arc<User>> {
    let user = parts.extensions.get::<Arc<User>>().cloned();
    impersonated(core, user.unwrap_or_else(User::admin), &parts.headers)
}

/// Refuses what whoever asks may not have.
pub(super) fn authorize(
    core: &Core,
    user: &User,
    parts: &Parts,
    query: &Query,
    route: &Route,
) -> Result<()> {
    let Route::Objects(objects) = route else {
        let verb = parts.method.as_str().to_lowercase();
        return check(
            core,
            user,
            &Wish::Path {
                verb: &verb,
                path: parts.uri.path(),
            },
        );
    };
    allow(core, user, &parts.method, query, objects)
}

/// Refuses what whoever asks may not do to objects.
pub(super) fn allow(
    core: &Core,
    user: &User,
    method: &Method,
    query: &Query,
    objects: &Objects,
) -> Result<()> {
    check(core, user, &wish(method, query, objects))
}

/// What a request about objects does, as roles name it.
pub(super) fn verb(method: &Method, query: &Query, objects: &Objects) -> &'static str {
    let one = !objects.name.is_empty();
    match *method {
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE if one => "delete",
        Method::DELETE => "deletecollection",
        _ if objects.watch || (!one && query.flag("watch")) => "watch",
        _ if !one => "list",
        _ => "get",
    }
}

fn wish<'a>(method: &Method, query: &'a Query, objects: &'a Objects) -> Wish<'a> {
    let verb = verb(method, query, objects);
    // Who reads a collection for one name reads one object.
    let name = match verb {
        "list" | "watch" if objects.name.is_empty() => {
            Selector::name_in(query.get("fieldSelector")).unwrap_or_default()
        }
        _ => &objects.name,
    };
    // A namespace is where its own objects are.
    let is_namespace = objects.group.is_empty() && objects.plural == "namespaces";
    Wish::Objects {
        verb,
        group: &objects.group,
        resource: &objects.plural,
        subresource: &objects.subresource,
        namespace: if is_namespace {
            &objects.name
        } else {
            &objects.namespace
        },
        name,
    }
}

pub(super) fn check(core: &Core, user: &User, wish: &Wish<'_>) -> Result<()> {
    match rbac::allowed(&core.cache, user, wish) {
        Some(_) => Ok(()),
        None => Err(refusal(user, wish)),
    }
}

fn refusal(user: &User, wish: &Wish<'_>) -> Failure {
    let who = format!("User {:?} cannot", user.name);
    let (verb, group, resource, subresource, namespace, name) = match *wish {
        Wish::Path { verb, path } => {
            return Failure::denied(format!("forbidden: {who} {verb} path {path:?}"));
        }
        Wish::Objects {
            verb,
            group,
            resource,
            subresource,
            namespace,
            name,
        } => (verb, group, resource, subresource, namespace, name),
    };
    let place = if namespace.is_empty() {
        " at the cluster scope".to_owned()
    } else {
        format!(" in the namespace {namespace:?}")
    };
    let slash = if subresource.is_empty() { "" } else { "/" };
    let what = format!("\"{resource}{slash}{subresource}\" in API group {group:?}{place}");
    Failure::refused(
        group,
        resource,
        name,
        &format!("{who} {verb} resource {what}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: &Method, query: &str, path: &str, expected: [&str; 3]) {
        let Route::Objects(objects) = Route::parse(path) else {
            panic!("{path}");
        };
        let query = Query::parse(query).unwrap();
        let Wish::Objects {
            verb,
            namespace,
            name,
            ..
        } = wish(method, &query, &objects)
        else {
            panic!("{path}");
        };
        assert_eq!(
            [verb, namespace, name],
            expected,
            "{method} {path}?{query:?}"
        );
    }

    #[test]
    fn requests_are_wishes() {
        let pods = "/api/v1/namespaces/n/pods";
        check(&Method::GET, "", pods, ["list", "n", ""]);
        check(&Method::GET, "watch=1", "/api/v1/pods", ["watch", "", ""]);
        let one = "/api/v1/namespaces/n/pods/p";
        check(&Method::GET, "", one, ["get", "n", "p"]);
        check(&Method::DELETE, "", pods, ["deletecollection", "n", ""]);
        check(&Method::POST, "", pods, ["create", "n", ""]);
        check(&Method::GET, "", "/api/v1/namespaces/n", ["get", "n", "n"]);
    }

    #[test]
    fn a_collection_read_for_one_name_is_one_object() {
        let pods = "/api/v1/namespaces/n/pods";
        let one = "fieldSelector=status.phase%3DRunning,metadata.name%3Dp";
        check(&Method::GET, one, pods, ["list", "n", "p"]);
        let watch = format!("{one}&watch=true");
        check(&Method::GET, &watch, pods, ["watch", "n", "p"]);
        check(&Method::DELETE, one, pods, ["deletecollection", "n", ""]);
        let others = "fieldSelector=metadata.name!%3Dp";
        check(&Method::GET, others, pods, ["list", "n", ""]);
    }
}
