//! Objects taken into their tables, and what of that concerns whom.

use std::sync::Arc;

use choreo_model::application::{ComponentSpec, WorkloadSpec};
use choreo_model::{Object, Spec, labels};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::aspects::Aspects;
use crate::key::{Group, Key};
use crate::readers::Seen;
use crate::tables::{Kept, Tables};

/// What a change of an object touched.
pub(crate) struct Touched {
    pub(crate) key: Arc<Key>,
    pub(crate) groups: Vec<Group>,
    /// Whether the object is to be decided about: more than its status is different.
    pub(crate) own: bool,
    /// What others see of it, if anything.
    pub(crate) seen: Option<Seen>,
    /// The groups the object has left and joined.
    pub(crate) left: Vec<Group>,
    pub(crate) joined: Vec<Group>,
}

/// Keeps the object with this text and tells what that touches.
pub(crate) fn keep<T: Kept>(tables: &mut Tables, text: &str) -> serde_json::Result<Touched> {
    let mut object: Object<T> = serde_json::from_str(text)?;
    let is_wanted = [ComponentSpec::KIND, WorkloadSpec::KIND].contains(&T::KIND);
    if is_wanted && object.annotation(labels::CHANGED_BY).is_none() {
        note_writer(&mut object.metadata, text)?;
    }
    let joined = T::groups(&object);
    let differs = T::put_aside(&mut object, &mut tables.aside);
    let (key, old) = T::table_mut(tables).put(object);
    let left = old.as_deref().map(T::groups).unwrap_or_default();
    let (mut own, mut seen) = (true, Some(Seen::Content));
    if let Some((old, new)) = old.as_deref().zip(T::table(tables).get(&key)) {
        own = differs || !same_but_for_status(old, new);
        seen = seen_of(old, new, own);
    } else if T::table(tables).get(&key).is_some_and(T::is_untold) {
        seen = None;
    }
    // A first list may bring many before anything is decided.
    T::table_mut(tables).tidy();
    let mut groups = left.clone();
    groups.extend(joined.iter().filter(|group| !left.contains(group)).cloned());
    Ok(Touched {
        key,
        groups,
        own,
        seen,
        left,
        joined,
    })
}

/// What others see of a change; `own` says whether more than the status is different.
fn seen_of<T: Kept>(old: &Object<T>, new: &Object<T>, own: bool) -> Option<Seen> {
    if T::is_untold(new) {
        return None;
    }
    // What it was before, nobody has seen.
    if own || T::is_untold(old) {
        return Some(Seen::Content);
    }
    let differing = T::differing(&old.status, &new.status);
    (differing != Aspects::NONE).then_some(Seen::Status(differing))
}

/// Notes of what a component is made of the manager of the last change: where the API does not note who made
/// it, nothing else tells.
fn note_writer(metadata: &mut ObjectMeta, text: &str) -> serde_json::Result<()> {
    let Written { metadata: written } = serde_json::from_str(text)?;
    let wrote = |entry: &&Entry| entry.subresource.is_empty() && entry.fields.spec.is_some();
    let last = written.managed_fields.iter().filter(wrote);
    if let Some(last) = last.max_by_key(|entry| entry.time) {
        let annotations = metadata.annotations.get_or_insert_default();
        annotations.insert(
            labels::CHANGED_BY.to_owned(),
            format!("manager:{}", last.manager),
        );
    }
    Ok(())
}

/// Who wrote which fields of an object, which is read of no other.
#[derive(Deserialize)]
struct Written {
    metadata: Managed,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Managed {
    #[serde(default)]
    managed_fields: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    manager: String,
    #[serde(default)]
    subresource: String,
    time: Option<Timestamp>,
    #[serde(default, rename = "fieldsV1")]
    fields: Fields,
}

#[derive(Default, Deserialize)]
struct Fields {
    #[serde(rename = "f:spec")]
    spec: Option<IgnoredAny>,
}

/// Forgets an object and tells what that touches.
pub(crate) fn forget<T: Kept>(tables: &mut Tables, key: &Key) -> Option<Touched> {
    let (key, old) = T::table_mut(tables).take(key)?;
    tables.aside.forget(&key);
    let left = T::groups(&old);
    Some(Touched {
        key,
        groups: left.clone(),
        own: true,
        seen: Some(Seen::Content),
        left,
        joined: Vec::new(),
    })
}

fn same_but_for_status<T: Spec>(old: &Object<T>, new: &Object<T>) -> bool {
    let (old_metadata, new_metadata) = (&old.metadata, &new.metadata);
    old.spec == new.spec
        && old_metadata.uid == new_metadata.uid
        && old_metadata.labels == new_metadata.labels
        && old_metadata.annotations == new_metadata.annotations
        && old_metadata.finalizers == new_metadata.finalizers
        && old_metadata.owner_references == new_metadata.owner_references
        && old_metadata.deletion_timestamp == new_metadata.deletion_timestamp
}
