//! Discovery: which kinds are served, in the three shapes clients know.

use std::{collections::BTreeMap, sync::Arc};

use http::HeaderMap;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{
    negotiate::accepted,
    reviews::{self, REVIEWS, Review},
};
use crate::{
    builtin,
    registry::{Catalog, Served},
    resource::Resource,
};

/// A shape of discovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `APIGroupDiscoveryList` of this version.
    Aggregated(&'static str),
    /// One document per group and version.
    Legacy,
}

impl Shape {
    /// What the client prefers of `/api` and `/apis`.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        for entry in accepted(headers) {
            let aggregated = entry.parameter("as") == "APIGroupDiscoveryList"
                && entry.parameter("g") == "apidiscovery.k8s.io";
            match entry.parameter("v") {
                "v2" if aggregated => return Self::Aggregated("v2"),
                "v2beta1" if aggregated => return Self::Aggregated("v2beta1"),
                _ if entry.parameter("as").is_empty() => return Self::Legacy,
                _ => {}
            }
        }
        Self::Legacy
    }

    /// Clients tell the shapes apart by the parameters of the content type.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Aggregated("v2") => {
                "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
            }
            Self::Aggregated(_) => {
                "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"
            }
            Self::Legacy => "application/json",
        }
    }
}

/// Changes whenever these kinds or their schemas do, and with this program, which knows the schemas of
/// those that are built in.
pub(crate) fn hash<'a>(kinds: impl IntoIterator<Item = &'a Arc<Served>>) -> String {
    let mut hasher = Sha256::new();
    hasher.update(env!("CARGO_PKG_VERSION"));
    for kind in kinds {
        let resource: &Resource = kind;
        hasher.update(entry(resource).to_string());
        hasher.update(resource.schema.text().unwrap_or_default());
    }
    let digest = hasher.finalize();
    let half = digest.iter().take(16);
    half.fold(0_u128, |number, byte| number << 8 | u128::from(*byte))
        .to_string()
}

/// `/api` or `/apis`, aggregated.
pub(crate) fn aggregated(catalog: &Catalog, version: &str, core: bool) -> Value {
    let groups = all_groups(catalog)
        .into_iter()
        .filter(|(group, _)| group.is_empty() == core);
    let items: Vec<Value> = groups
        .map(|(group, versions)| {
            let versions: Vec<Value> = versions
                .iter()
                .map(|version| {
                    let kinds = catalog.of(group, version).into_iter();
                    let kinds = kinds.map(|kind| entry(kind));
                    let resources: Vec<Value> = kinds
                        .chain(reviews_of(group, version).map(review_entry))
                        .collect();
                    json!({"version": version, "freshness": "Current", "resources": resources})
                })
                .collect();
            let metadata = if core {
                json!({})
            } else {
                json!({"name": group})
            };
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": format!("apidiscovery.k8s.io/{version}"),
        "metadata": {}, "items": items,
    })
}

/// The groups of kinds, and of reviews, which are no kinds as nothing of them is kept.
fn all_groups(catalog: &Catalog) -> BTreeMap<&str, Vec<&str>> {
    let mut groups = catalog.groups();
    for review in REVIEWS {
        let versions = groups.entry(review.group).or_default();
        if !versions.contains(&reviews::VERSION) {
            versions.push(reviews::VERSION);
        }
    }
    groups
}

fn reviews_of(group: &str, version: &str) -> impl Iterator<Item = &'static Review> {
    let served = version == reviews::VERSION;
    REVIEWS
        .iter()
        .filter(move |review| served && review.group == group)
}

fn review_entry(review: &Review) -> Value {
    json!({
        "resource": review.plural,
        "responseKind": {"group": "", "version": "", "kind": review.kind},
        "scope": if review.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": review.kind.to_lowercase(),
        "verbs": ["create"],
    })
}

fn legacy_review(review: &Review) -> Value {
    json!({
        "name": review.plural, "singularName": review.kind.to_lowercase(),
        "namespaced": review.namespaced, "kind": review.kind, "verbs": ["create"],
    })
}

fn entry(kind: &Resource) -> Value {
    let mut entry = json!({
        "resource": kind.plural,
        "responseKind": response_kind(kind, &kind.group, &kind.version, &kind.kind),
        "scope": if kind.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": kind.singular,
        "verbs": verbs(kind),
    });
    if !kind.short_names.is_empty() {
        entry["shortNames"] = json!(kind.short_names);
    }
    if !kind.categories.is_empty() {
        entry["categories"] = json!(kind.categories);
    }
    let subresources: Vec<Value> = subresources(kind)
        .into_iter()
        .map(|sub| {
            json!({
                "subresource": sub.name,
                "responseKind": response_kind(kind, sub.group, sub.version, sub.kind),
                "verbs": sub.verbs,
            })
        })
        .collect();
    if !subresources.is_empty() {
        entry["subresources"] = json!(subresources);
    }
    entry
}

/// What a route answers with. Built-in kinds leave out a group that is their own.
fn response_kind(of: &Resource, group: &str, version: &str, kind: &str) -> Value {
    if of.builtin && group == of.group {
        return json!({"group": "", "version": "", "kind": kind});
    }
    json!({"group": group, "version": version, "kind": kind})
}

const CUSTOM_VERBS: [&str; 8] = [
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "create",
    "update",
    "watch",
];

const VERBS: [&str; 8] = [
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];

/// What may be done to a kind. Kubernetes has an order for each sort of kinds;
/// namespaces are only deleted one by one.
fn verbs(kind: &Resource) -> Vec<&'static str> {
    if !kind.builtin {
        return CUSTOM_VERBS.to_vec();
    }
    let single = kind.group.is_empty() && kind.plural == "namespaces";
    let verbs = VERBS.into_iter();
    verbs
        .filter(|verb| !single || *verb != "deletecollection")
        .collect()
}

/// Tells clients when the stored form of a kind changes.
fn storage_hash(kind: &Resource) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let own = kind.api_version();
    let kept = builtin::kept(&own, &kind.kind).map_or(own.as_str(), |kept| kept.as_of);
    let (group, version) = match kept.split_once('/').unwrap_or(("", kept)) {
        // Definitions kept the mark of their first version.
        (group @ "apiextensions.k8s.io", _) => (group, "v1beta1"),
        other => other,
    };
    let digest = Sha256::digest(format!("{group}/{version}/{}", kind.kind));
    STANDARD.encode(&digest[..8])
}

/// What is only created, of a kind of another group.
fn made(name: &'static str, group: &'static str, kind: &'static str) -> Subresource<'static> {
    Subresource {
        name,
        group,
        version: "v1",
        kind,
        verbs: &["create"],
    }
}

struct Subresource<'a> {
    name: &'a str,
    group: &'a str,
    version: &'a str,
    kind: &'a str,
    verbs: &'static [&'static str],
}

fn subresources(kind: &Resource) -> Vec<Subresource<'_>> {
    let own = |name, verbs| Subresource {
        name,
        group: &kind.group,
        version: &kind.version,
        kind: &kind.kind,
        verbs,
    };
    let mut found = Vec::new();
    if kind.subresources.status {
        found.push(own("status", &["get", "patch", "update"]));
    }
    if kind.subresources.scale.is_some() {
        found.push(Subresource {
            name: "scale",
            group: "autoscaling",
            version: "v1",
            kind: "Scale",
            verbs: &["get", "patch", "update"],
        });
    }
    match (kind.group.as_str(), kind.plural.as_str()) {
        ("", "pods") => {
            let talks = [
                ("attach", "PodAttachOptions"),
                ("exec", "PodExecOptions"),
                ("portforward", "PodPortForwardOptions"),
            ];
            found.extend(talks.map(|(name, kind)| Subresource {
                kind,
                ..own(name, &["create", "get"])
            }));
            found.push(own("ephemeralcontainers", &["get", "patch", "update"]));
            found.push(own("log", &["get"]));
            found.push(made("eviction", "policy", "Eviction"));
        }
        ("", "serviceaccounts") => {
            found.push(made("token", "authentication.k8s.io", "TokenRequest"));
        }
        ("", "namespaces") => found.push(own("finalize", &["update"])),
        _ => {}
    }
    found.sort_by_key(|sub| sub.name);
    found
}

/// `/apis` in the old shape.
pub(crate) fn groups(catalog: &Catalog) -> Value {
    let groups: Vec<Value> = all_groups(catalog)
        .into_iter()
        .filter(|(group, _)| !group.is_empty())
        .map(|(group, versions)| group_of(group, &versions))
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/GROUP`.
pub(crate) fn group(catalog: &Catalog, name: &str) -> Option<Value> {
    let versions = all_groups(catalog).remove(name)?;
    let mut group = group_of(name, &versions);
    group["kind"] = json!("APIGroup");
    group["apiVersion"] = json!("v1");
    Some(group)
}

fn group_of(group: &str, versions: &[&str]) -> Value {
    let versions: Vec<Value> = versions
        .iter()
        .map(|version| json!({"groupVersion": format!("{group}/{version}"), "version": version}))
        .collect();
    json!({"name": group, "versions": versions, "preferredVersion": versions.first()})
}

/// `/api` in the old shape.
pub(crate) fn core_versions() -> Value {
    json!({
        "kind": "APIVersions", "versions": ["v1"],
        "serverAddressByClientCIDRs": [],
    })
}

/// `/api/v1` or `/apis/GROUP/VERSION`.
pub(crate) fn resources(catalog: &Catalog, group: &str, version: &str) -> Option<Value> {
    let kinds = catalog.of(group, version);
    let kinds = kinds.iter().flat_map(|kind| legacy(kind));
    let resources: Vec<Value> = kinds
        .chain(reviews_of(group, version).map(legacy_review))
        .collect();
    if resources.is_empty() {
        return None;
    }
    let group_version = match group {
        "" => version.to_owned(),
        group => format!("{group}/{version}"),
    };
    let mut list = json!({
        "kind": "APIResourceList", "groupVersion": group_version, "resources": resources,
    });
    if !group.is_empty() {
        list["apiVersion"] = json!("v1");
    }
    Some(list)
}

fn legacy(kind: &Served) -> Vec<Value> {
    let mut main = json!({
        "name": kind.plural, "singularName": kind.singular, "namespaced": kind.namespaced,
        "kind": kind.kind, "verbs": verbs(kind), "storageVersionHash": storage_hash(kind),
    });
    if !kind.short_names.is_empty() {
        main["shortNames"] = json!(kind.short_names);
    }
    if !kind.categories.is_empty() {
        main["categories"] = json!(kind.categories);
    }
    let subresources = subresources(kind).into_iter().map(|sub| {
        let mut entry = json!({
            "name": format!("{}/{}", kind.plural, sub.name), "singularName": "",
            "namespaced": kind.namespaced, "kind": sub.kind, "verbs": sub.verbs,
        });
        if sub.group != kind.group {
            entry["group"] = json!(sub.group);
            entry["version"] = json!(sub.version);
        }
        entry
    });
    std::iter::once(main).chain(subresources).collect()
}
