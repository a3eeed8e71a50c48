//! The last steps over all objects of a component: platform labels, the hash that restarts pods,
//! ids and order.

use crate::bench::{Bench, Draft, Ledger, Site};
use crate::canonical::Lines;
use crate::diagnostic::Code;
use crate::origin::{Cause, Origin};
use crate::result::{Compiled, Rendered};
use choreo_model::component_type::WorkloadType;
use choreo_model::labels;
use choreo_model::names::manifest_id;
use choreo_model::shared::TargetPlane;
use choreo_template::{Members, Tree};
use serde::{Serialize, Serializer};
use std::collections::BTreeSet;

/// The string that `path`, of names and numbers, leads to, or nothing.
pub(crate) fn text<'v>(object: &'v Tree, path: &[&str]) -> &'v str {
    let found = path
        .iter()
        .try_fold(object, |value, segment| value.step(segment));
    found.and_then(Tree::as_str).unwrap_or_default()
}

/// Merges `labels` onto every object; the platform's win.
pub(crate) fn label(drafts: &mut [Draft], labels: &Members) {
    let has_them = |draft: &Draft| {
        let own = draft.object["metadata"]["labels"].as_object();
        own.is_some_and(|own| own.is_shared_with(labels))
    };
    for draft in drafts.iter_mut().filter(|draft| !has_them(draft)) {
        draft.change(
            || Origin::platform(Cause::Label),
            None,
            |object| {
                let Some(metadata) = field(object, "metadata") else {
                    return;
                };
                if metadata.get("labels").is_none_or(Tree::is_null) {
                    metadata.insert("labels", labels.clone());
                    return;
                }
                let Some(map) = map_field(metadata, "labels") else {
                    return;
                };
                for (key, value) in labels.iter() {
                    // Most templates have put them there already.
                    if map.get(key) != Some(value) {
                        map.insert(key.clone(), value);
                    }
                }
            },
        );
    }
}

/// Groups whose objects tell gateways what to do with requests on their way to pods. Pods never see them.
const GATEWAY_GROUPS: [&str; 2] = ["gateway.networking.k8s.io", "gateway.envoyproxy.io"];

/// Puts a hash of all other data plane objects on the pods of the workload, if it keeps pods
/// running, so that a change of their configuration replaces them; that of objects called `live`, and of
/// what only gateways read, does not.
pub(crate) fn hash_pods(drafts: &mut [Draft], workload: WorkloadType, live: &BTreeSet<String>) {
    let kind = match workload {
        WorkloadType::Deployment | WorkloadType::StatefulSet => workload.object_kind(),
        WorkloadType::CronJob | WorkloadType::Job | WorkloadType::Proxy => None,
    };
    let Some(kind) = kind else { return };
    let others = drafts
        .iter()
        .filter(|draft| text(&draft.object, &["kind"]) != kind)
        .filter(|draft| !live.contains(text(&draft.object, &["metadata", "name"])))
        .filter(|draft| !is_for_gateways(text(&draft.object, &["apiVersion"])));
    let contents: Lines = others.filter_map(content).collect();
    if contents.is_empty() {
        return;
    }
    let hash = contents.hash();
    let mut drafts = drafts.iter_mut();
    if let Some(draft) = drafts.find(|draft| text(&draft.object, &["kind"]) == kind) {
        draft.change(
            || Origin::platform(Cause::Hash),
            None,
            |object| {
                let annotations = field(object, "spec")
                    .and_then(|spec| map_field(spec, "template"))
                    .and_then(|template| map_field(template, "metadata"))
                    .and_then(|metadata| map_field(metadata, "annotations"));
                if let Some(annotations) = annotations {
                    annotations.insert(labels::RESOURCE_HASH, hash);
                }
            },
        );
    }
}

fn is_for_gateways(api_version: &str) -> bool {
    let group = api_version.split_once('/').map(|(group, _)| group);
    group.is_some_and(|group| GATEWAY_GROUPS.contains(&group))
}

/// An object without its metadata.
struct Content<'o>(&'o Members);

impl Serialize for Content<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = self.0.iter().map(|(name, value)| (name.as_ref(), value));
        serializer.collect_map(fields.filter(|(name, _)| *name != "metadata"))
    }
}

/// The content of a data plane object.
fn content(draft: &Draft) -> Option<Content<'_>> {
    if draft.plane != TargetPlane::DataPlane {
        return None;
    }
    Some(Content(draft.object.as_object()?))
}

/// Refuses what is no Kubernetes object.
pub(crate) fn check<L: Ledger>(bench: &mut Bench<L>, source: &str, drafts: &[Draft]) {
    for draft in drafts {
        let wanted: [&[&str]; 3] = [&["apiVersion"], &["kind"], &["metadata", "name"]];
        for path in wanted {
            if text(&draft.object, path).is_empty() {
                let message = format!(
                    "resource {:?} renders an object without {}",
                    draft.id,
                    path.join(".")
                );
                let site = Site {
                    object: source,
                    pointer: "",
                };
                bench.fail(Code::Object, site, message);
            }
        }
    }
}

/// Sorts by kind, version, namespace and name.
pub(crate) fn sort(drafts: &mut [Draft]) {
    drafts.sort_by_cached_key(|draft| {
        let Tree::Object(object) = &draft.object else {
            return [const { None }; 4];
        };
        let metadata = object.get("metadata").and_then(Tree::as_object);
        let metadata = |name| metadata.and_then(|metadata| metadata.get(name)?.shared());
        let own = |name| object.get(name).and_then(Tree::shared);
        [
            own("kind"),
            own("apiVersion"),
            metadata("namespace"),
            metadata("name"),
        ]
    });
}

/// Names every object after its kind and name.
pub(crate) fn identify(drafts: &mut [Draft]) {
    for draft in drafts {
        draft.id = manifest_id(
            text(&draft.object, &["kind"]),
            text(&draft.object, &["metadata", "name"]),
        );
    }
}

/// Hands the objects over.
pub(crate) fn hand_over(drafts: Vec<Draft>, compiled: &mut Compiled) {
    compiled.objects.reserve_exact(drafts.len());
    for draft in drafts {
        compiled.provenance.trails.extend(draft.trail);
        compiled.objects.push(Rendered {
            id: draft.id,
            target_plane: draft.plane,
            object: draft.object,
        });
    }
}

fn field<'v>(object: &'v mut Tree, name: &'static str) -> Option<&'v mut Members> {
    map_field(object.as_object_mut()?, name)
}

/// The map under `name`, made when it is missing.
fn map_field<'v>(object: &'v mut Members, name: &'static str) -> Option<&'v mut Members> {
    let empty = || Tree::from(Members::default());
    let value = object.entry(name, empty);
    if value.is_null() {
        *value = empty();
    }
    value.as_object_mut()
}

#[cfg(test)]
mod tests {
    use super::*;
    use choreo_template::tree;

    /// The hash that pods get beside an object.
    fn hash_beside(object: Tree) -> String {
        let draft = |object| Draft {
            id: String::new(),
            plane: TargetPlane::DataPlane,
            object,
            trail: None,
        };
        let workload = tree!({"apiVersion": "apps/v1", "kind": "Deployment"});
        let service = tree!({"apiVersion": "v1", "kind": "Service", "spec": {"type": "ClusterIP"}});
        let mut drafts = [workload, service, object].map(draft);
        hash_pods(&mut drafts, WorkloadType::Deployment, &BTreeSet::new());
        let path = [
            "spec",
            "template",
            "metadata",
            "annotations",
            labels::RESOURCE_HASH,
        ];
        text(&drafts[0].object, &path).to_owned()
    }

    #[test]
    fn pods_are_replaced_by_what_they_see_and_not_by_what_gateways_do() {
        let given =
            |value: &str| tree!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": value}});
        assert_ne!(hash_beside(given("1")), hash_beside(given("2")));
        let guarded = |version: &str, limit: i64| tree!({"apiVersion": version, "kind": "BackendTrafficPolicy", "spec": {"limit": limit}});
        for version in [
            "gateway.envoyproxy.io/v1alpha1",
            "gateway.networking.k8s.io/v1",
        ] {
            assert_eq!(
                hash_beside(guarded(version, 1)),
                hash_beside(guarded(version, 2))
            );
        }
    }
}
