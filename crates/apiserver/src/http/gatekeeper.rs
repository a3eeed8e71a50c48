//! What a request asks for, and whether whoever asks may have it.

use http::{HeaderMap, Method, request::Parts};

use super::{
    path::{Objects, Route},
    query::Query,
};
use crate::{
    auth::{
        User,
        rbac::{self, Wish},
    },
    core::Core,
    status::{Failure, Result},
};

/// Whoever asks. Requests that did not come through the listener are the program's own.
pub(super) fn user(core: &Core, parts: &Parts) -> Result<User> {
    let user = parts
        .extensions
        .get::<User>()
        .cloned()
        .unwrap_or_else(User::admin);
    let Some(name) = header(&parts.headers, "impersonate-user") else {
        return Ok(user);
    };
    let groups = parts.headers.get_all("impersonate-group").iter();
    let groups: Vec<String> = groups
        .filter_map(|group| group.to_str().ok().map(str::to_owned))
        .collect();
    let wishes = std::iter::once(("users", name))
        .chain(groups.iter().map(|group| ("groups", group.as_str())));
    for (resource, name) in wishes {
        let wish = Wish::Objects {
            verb: "impersonate",
            group: "",
            resource,
            subresource: "",
            namespace: "",
            name,
        };
        check(core, &user, &wish)?;
    }
    Ok(User::other(name, groups))
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
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
    check(core, user, &wish(&parts.method, query, objects))
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

fn wish<'a>(method: &Method, query: &Query, objects: &'a Objects) -> Wish<'a> {
    let verb = verb(method, query, objects);
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
        name: &objects.name,
    }
}

fn check(core: &Core, user: &User, wish: &Wish<'_>) -> Result<()> {
    match rbac::allowed(&core.cache, user, wish) {
        Some(_) => Ok(()),
        None => Err(refusal(core, user, wish)),
    }
}

fn refusal(core: &Core, user: &User, wish: &Wish<'_>) -> Failure {
    let who = format!("User {:?} cannot", user.name);
    let (verb, group, resource, subresource, namespace, name) = match *wish {
        Wish::Path { verb, path } => {
            return denied(format!("forbidden: {who} {verb} path {path:?}"));
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
    let why = format!("{who} {verb} resource {what}");
    let catalog = core.catalog();
    let known = catalog
        .all()
        .find(|kind| kind.group == group && kind.plural == resource);
    let Some(kind) = known else {
        return denied(format!("{resource} is forbidden: {why}"));
    };
    let mut failure = Failure::forbidden(kind, name, &why);
    if name.is_empty() {
        failure.message = format!("{} is forbidden: {why}", kind.qualified());
    }
    failure
}

fn denied(message: String) -> Failure {
    let mut failure = Failure::bad_request(message);
    (failure.code, failure.reason) = (403, "Forbidden");
    failure
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: &Method, query: &str, path: &str, verb: &str, namespace: &str) {
        let Route::Objects(objects) = Route::parse(path) else {
            panic!("{path}");
        };
        let query = Query::parse(query).unwrap();
        let Wish::Objects {
            verb: found,
            namespace: home,
            ..
        } = wish(method, &query, &objects)
        else {
            panic!("{path}");
        };
        assert_eq!(
            (found, home),
            (verb, namespace),
            "{method} {path}?{query:?}"
        );
    }

    #[test]
    fn requests_are_wishes() {
        check(&Method::GET, "", "/api/v1/namespaces/n/pods", "list", "n");
        check(&Method::GET, "watch=1", "/api/v1/pods", "watch", "");
        check(&Method::GET, "", "/api/v1/namespaces/n/pods/p", "get", "n");
        check(
            &Method::DELETE,
            "",
            "/api/v1/namespaces/n/pods",
            "deletecollection",
            "n",
        );
        check(
            &Method::POST,
            "",
            "/api/v1/namespaces/n/pods",
            "create",
            "n",
        );
        check(&Method::GET, "", "/api/v1/namespaces/n", "get", "n");
    }
}
