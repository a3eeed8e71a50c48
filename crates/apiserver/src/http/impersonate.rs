//! Asking in the name of somebody else, as `kubectl --as` does. Each thing that is said
//! of them needs leave of its own.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use http::HeaderMap;

use super::{gatekeeper::check, query::decode_path};
use crate::{
    auth::{User, account_of, rbac::Wish},
    core::Core,
    status::{Failure, Result},
};

const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";
const UID: &str = "impersonate-uid";
const EXTRA: &str = "impersonate-extra-";
/// The API group of what is said beside name and groups.
const AUTHENTICATION: &str = "authentication.k8s.io";

/// Whoever is to be taken for the one who asks.
pub(super) fn impersonated(core: &Core, user: Arc<User>, headers: &HeaderMap) -> Result<Arc<User>> {
    let claim = Claim::read(headers)?;
    if claim == Claim::default() {
        return Ok(user);
    }
    if claim.user.is_empty() {
        let why = "a request cannot say groups, uid or extras of somebody else without impersonating a user";
        return Err(Failure::bad_request(why));
    }
    for wish in claim.wishes() {
        check(core, &user, &wish)?;
    }
    let mut other = User::other(&claim.user, claim.groups);
    if other.part().is_some() {
        let why = "a part of the server is impersonated by nobody";
        return Err(Failure::denied(format!("{}: {why}", other.name)));
    }
    (other.uid, other.extra) = (claim.uid, claim.extra);
    Ok(Arc::new(other))
}

/// What the headers say of somebody else.
#[derive(Debug, Default, PartialEq, Eq)]
struct Claim {
    user: String,
    groups: Vec<String>,
    uid: String,
    extra: BTreeMap<String, Vec<String>>,
}

impl Claim {
    fn read(headers: &HeaderMap) -> Result<Self> {
        let mut claim = Self::default();
        for (name, value) in headers {
            let name = name.as_str();
            if !name.starts_with("impersonate-") {
                continue;
            }
            let Ok(value) = value.to_str().map(str::to_owned) else {
                return Err(Failure::bad_request(format!("header {name} is not text")));
            };
            match name {
                USER => claim.user = value,
                GROUP => claim.groups.push(value),
                UID => claim.uid = value,
                _ => {
                    if let Some(key) = name.strip_prefix(EXTRA) {
                        let key = decode_path(key).map_or_else(|| key.to_owned(), Cow::into_owned);
                        claim.extra.entry(key).or_default().push(value);
                    }
                }
            }
        }
        Ok(claim)
    }

    /// What whoever asks must be allowed.
    fn wishes(&self) -> Vec<Wish<'_>> {
        let mut wishes = vec![match account_of(&self.user) {
            Some((namespace, name)) => impersonate("", ["serviceaccounts", "", namespace], name),
            None => impersonate("", ["users", "", ""], &self.user),
        }];
        let groups = self.groups.iter();
        wishes.extend(groups.map(|group| impersonate("", ["groups", "", ""], group)));
        for (key, values) in &self.extra {
            let place = ["userextras", key.as_str(), ""];
            wishes.extend(
                values
                    .iter()
                    .map(|one| impersonate(AUTHENTICATION, place, one)),
            );
        }
        if !self.uid.is_empty() {
            wishes.push(impersonate(AUTHENTICATION, ["uids", "", ""], &self.uid));
        }
        wishes
    }
}

fn impersonate<'a>(group: &'a str, place: [&'a str; 3], name: &'a str) -> Wish<'a> {
    let [resource, subresource, namespace] = place;
    Wish::Objects {
        verb: "impersonate",
        group,
        resource,
        subresource,
        namespace,
        name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(headers: &[(&'static str, &'static str)]) -> Claim {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        Claim::read(&headers.collect()).unwrap()
    }

    #[test]
    fn everything_that_is_said_needs_leave() {
        let claim = claim(&[
            ("Impersonate-User", "system:serviceaccount:n:a"),
            ("Impersonate-Group", "g"),
            ("Impersonate-Extra-Scopes%2Fx", "y"),
            ("Impersonate-Uid", "u"),
        ]);
        let wishes: Vec<String> = claim
            .wishes()
            .iter()
            .map(|wish| match wish {
                Wish::Objects {
                    resource,
                    subresource,
                    namespace,
                    name,
                    ..
                } => format!("{resource} {subresource} {namespace} {name}"),
                Wish::Path { .. } => String::new(),
            })
            .collect();
        let expected = [
            "serviceaccounts  n a",
            "groups   g",
            "userextras scopes/x  y",
            "uids   u",
        ];
        assert_eq!(wishes, expected);
    }
}
