//! Releases that would be made, and bindings that would go to them.

use crate::fleet::Fleet;
use serde::Serialize;

/// A release that would be made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewRelease {
    /// `ComponentRelease` or `ProjectRelease`.
    pub kind: &'static str,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// A binding that would be made, or would go to another release.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Move {
    /// `ReleaseBinding` or `ProjectReleaseBinding`.
    pub kind: &'static str,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its environment.
    pub environment: String,
    /// The release it is at, if it is there and at one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The release it would go to.
    pub to: String,
}

pub(super) fn releases(before: &Fleet, after: &Fleet) -> Vec<NewRelease> {
    let known = before.release_names();
    let new = after
        .release_names()
        .into_iter()
        .filter(|name| !known.contains(name));
    new.map(|(kind, namespace, name)| NewRelease {
        kind,
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    })
    .collect()
}

pub(super) fn moves(before: &Fleet, after: &Fleet) -> Vec<Move> {
    let (old, new) = (before.bound_releases(), after.bound_releases());
    new.iter()
        .filter(|(place, to)| old.get(*place) != Some(to) && !to.release.is_empty())
        .map(|(place, to)| Move {
            kind: place.0,
            namespace: place.1.to_owned(),
            name: place.2.to_owned(),
            environment: to.environment.to_owned(),
            from: old
                .get(place)
                .filter(|from| !from.release.is_empty())
                .map(|from| from.release.to_owned()),
            to: to.release.to_owned(),
        })
        .collect()
}
