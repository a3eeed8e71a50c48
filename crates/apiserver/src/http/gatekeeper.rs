//! What a request asks for, and whether whoever asks may have it.

use http::{HeaderMap, Method, request::Parts};

use super::{path::Objects, path::Route, query::Query};
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
    let user = parts.extensions.get::<User>().cloned().unwrap_or_else(User::admin);
    let Some(name) = header(&parts.headers, "impersonate-user") else {
        return Ok(user);
    };
    let groups = parts.headers.get_all("impersonate-group").iter();
    let groups: Vec<String> = groups.filter_map(|group| group.to_str().ok().map(str::to_owned)).collect();
    let wishes = std::iter::once(("users", name)).chain(groups.iter().map(|group| ("groups", group.as_str())));
    for (resource, name) in wishes {
        let wish = Wish::Objects { verb: "impersonate", group: "", resource, subresource: "", namespace: "", name };
        check(core, &user, &wish)?;
    }
    Ok(User::other(name, groups))
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Refuses what whoever asks may not have.
pub(super) fn authorize(core: &Core, user: &User, parts: &Parts, query: &Query, route: &Route) -> Result<()> {
    let Route::Objects(objects) = route else {
        let verb = parts.method.as_str().to_lowercase();
        return check(core, user, &Wish::Path { verb: &verb, path: parts.uri.path() });
    };
    check(core, user, &wish(&parts.method, query, objects))
}

fn wish<'a>(method: &Method, query: &Query, objects: &'a Objects) -> Wish<'a> {
    let one = !objects.name.is_empty();
    let verb = match *method {
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE if one => "delete",
        Method::DELETE => "deletecollection",
        _ if !one && query.flag("watch") => "watch",
        _ if !one => "list",
        _ => "get",
    };
    // A namespace is where its own objects are.
    let is_namespace = objects.group.is_empty() && objects.plural == "namespaces";
    Wish::Objects {
        verb,
        group: &objects.group,
        resource: &objects.plural,
        subresource: &objects.subresource,
        namespace: if is_namespace { &objects.name } else { &objects.namespace },
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
    match *wish {
        Wish::Path { verb, path } => Failure {
            message: format!("forbidden: User {:?} cannot {verb} path {path:?}", user.name),
            ..Failure::denied()
        },
        Wish::Objects { verb, group, resource, subresource, namespace, name } => {
            let slash = if subresource.is_empty() { "" } else { "/" };
            let place = if namespace.is_empty() {
                " at the cluster scope".to_owned()
            } else {
                format!(" in the namespace {namespace:?}")
            };
            let why = format!(
                "User {:?} cannot {verb} resource \"{resource}{slash}{subresource}\" in API group {group:?}{place}",
                user.name
            );
            let catalog = core.catalog();
            let known = catalog.all().find(|kind| kind.group == group && kind.plural == resource);
            match known {
                Some(kind) => Failure::may_not(kind, name, &why),
                None => Failure {
                    message: format!("{resource} is forbidden: {why}"),
                    ..Failure::denied()
                },
            }
        }
    }
}
