//! The last steps over all objects of a component: platform labels, the hash that restarts pods,
//! ids and order.

use crate::bench::{Bench, Draft, Ledger, Site};
use crate::canonical;
use crate::diagnostic::Code;
use crate::origin::{Cause, Origin};
use crate::result::{Compiled, Rendered};
use choreo_model::component_type::WorkloadType;
use choreo_model::labels;
use choreo_model::names::manifest_id;
use choreo_model::shared::TargetPlane;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The string at `pointer`, whose segments are plain names or numbers, or nothing.
pub(crate) fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    let mut segments = pointer.split('/').skip(1);
    let found = segments.try_fold(object, |value, key| match value {
        Value::Array(items) => items.get(key.parse::<usize>().ok()?),
        other @ (Value::Object(_)
        | Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)) => other.get(key),
    });
    found.and_then(Value::as_str).unwrap_or_default()
}

/// Merges `labels` onto every object; the platform's win.
pub(crate) fn label(drafts: &mut [Draft], labels: &BTreeMap<&'static str, String>) {
    for draft in drafts {
        draft.change(
            || Origin::platform(Cause::Label),
            None,
            |object| {
                let map =
                    field(object, "metadata").and_then(|metadata| map_field(metadata, "labels"));
                let Some(map) = map else { return };
                for (key, value) in labels {
                    // Most templates have put them there already.
                    if map.get(*key).and_then(Value::as_str) != Some(value) {
                        map.insert((*key).to_owned(), Value::from(value.as_str()));
                    }
                }
            },
        );
    }
}

/// Puts a hash of all other data plane objects on the pods of the workload, if it keeps pods
/// running, so that a change of their configuration replaces them.
pub(crate) fn hash_pods(drafts: &mut [Draft], workload: WorkloadType) {
    let kind = match workload {
        WorkloadType::Deployment | WorkloadType::StatefulSet => workload.object_kind(),
        WorkloadType::CronJob | WorkloadType::Job | WorkloadType::Proxy => None,
    };
    let Some(kind) = kind else { return };
    let others = drafts
        .iter()
        .filter(|draft| text(&draft.object, "/kind") != kind);
    let mut contents: Vec<String> = others.filter_map(content).collect();
    if contents.is_empty() {
        return;
    }
    contents.sort_unstable();
    let hash = canonical::hash(&contents.join("\n"));
    let mut drafts = drafts.iter_mut();
    if let Some(draft) = drafts.find(|draft| text(&draft.object, "/kind") == kind) {
        draft.change(
            || Origin::platform(Cause::Hash),
            None,
            |object| {
                let annotations = field(object, "spec")
                    .and_then(|spec| map_field(spec, "template"))
                    .and_then(|template| map_field(template, "metadata"))
                    .and_then(|metadata| map_field(metadata, "annotations"));
                if let Some(annotations) = annotations {
                    annotations.insert(labels::RESOURCE_HASH.to_owned(), Value::from(hash));
                }
            },
        );
    }
}

/// A data plane object without its metadata.
fn content(draft: &Draft) -> Option<String> {
    if draft.plane != TargetPlane::DataPlane {
        return None;
    }
    let mut text = String::new();
    canonical::write_object(draft.object.as_object()?, "metadata", &mut text);
    Some(text)
}

/// Refuses what is no Kubernetes object.
pub(crate) fn check<L: Ledger>(bench: &mut Bench<L>, source: &str, drafts: &[Draft]) {
    for draft in drafts {
        for field in ["/apiVersion", "/kind", "/metadata/name"] {
            if text(&draft.object, field).is_empty() {
                let message = format!(
                    "resource {:?} renders an object without {}",
                    draft.id,
                    crate::diagnostic::dotted(field)
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
    drafts.sort_by(|left, right| key(left).cmp(&key(right)));
}

fn key(draft: &Draft) -> [&str; 4] {
    [
        "/kind",
        "/apiVersion",
        "/metadata/namespace",
        "/metadata/name",
    ]
    .map(|pointer| text(&draft.object, pointer))
}

/// Names every object after its kind and name.
pub(crate) fn identify(drafts: &mut [Draft]) {
    for draft in drafts {
        draft.id = manifest_id(
            text(&draft.object, "/kind"),
            text(&draft.object, "/metadata/name"),
        );
    }
}

/// Hands the objects over.
pub(crate) fn hand_over(drafts: Vec<Draft>, compiled: &mut Compiled) {
    for draft in drafts {
        compiled.provenance.trails.extend(draft.trail);
        compiled.objects.push(Rendered {
            id: draft.id,
            target_plane: draft.plane,
            object: draft.object,
        });
    }
}

fn field<'v>(object: &'v mut Value, name: &str) -> Option<&'v mut Map<String, Value>> {
    map_field(object.as_object_mut()?, name)
}

/// The map under `name`, made when it is missing.
fn map_field<'v>(
    object: &'v mut Map<String, Value>,
    name: &str,
) -> Option<&'v mut Map<String, Value>> {
    let value = object
        .entry(name.to_owned())
        .or_insert_with(|| Value::Object(Map::new()));
    if value.is_null() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut()
}
