//! The entries of `metadata.managedFields`.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry as Slot};

use serde_json::{Map, Value};

use super::{fields::Set, managed::Manager};
use crate::object::{metadata, metadata_mut};

/// Managers of plain updates that are kept apart.
const MANAGERS: usize = 10;
/// Who stands for the oldest of them, once there are more.
const ANCIENT: &str = "ancient-changes";

/// Who wrote last to some fields, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) manager: String,
    pub(super) apply: bool,
    pub(super) api_version: String,
    subresource: String,
    pub(super) time: String,
    /// In the form of that version.
    pub(super) fields: Set,
}

impl Entry {
    pub(super) fn new(manager: Manager<'_>, apply: bool, fields: Set) -> Self {
        Self {
            manager: manager.name.to_owned(),
            apply,
            api_version: manager.api_version.to_owned(),
            subresource: manager.subresource.to_owned(),
            time: manager.time(),
            fields,
        }
    }

    fn read(value: &Value) -> Option<Self> {
        let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
        let fields = Set::read(value.get("fieldsV1")?);
        Some(Self {
            manager: text("manager").to_owned(),
            apply: text("operation") == "Apply",
            api_version: text("apiVersion").to_owned(),
            subresource: text("subresource").to_owned(),
            time: text("time").to_owned(),
            fields,
        })
    }

    fn write(self) -> Value {
        let operation = if self.apply { "Apply" } else { "Update" };
        let mut entry = Map::new();
        entry.insert("manager".into(), self.manager.into());
        entry.insert("operation".into(), operation.into());
        entry.insert("apiVersion".into(), self.api_version.into());
        entry.insert("fieldsType".into(), "FieldsV1".into());
        entry.insert("fieldsV1".into(), self.fields.write());
        for (key, value) in [("time", self.time), ("subresource", self.subresource)] {
            if !value.is_empty() {
                entry.insert(key.into(), value.into());
            }
        }
        entry.into()
    }

    pub(super) fn is(&self, manager: Manager<'_>, apply: bool) -> bool {
        self.apply == apply
            && self.manager == manager.name
            && self.subresource == manager.subresource
            && (apply || self.api_version == manager.api_version)
    }

    /// What entries are sorted by.
    fn rank(&self) -> (bool, &str, &str) {
        (!self.apply, &self.time, &self.manager)
    }

    /// How errors name the manager.
    pub(super) fn describe(&self) -> String {
        let mut text = format!("{:?}", self.manager);
        if !self.subresource.is_empty() {
            text = format!("{text} with subresource {:?}", self.subresource);
        }
        if self.apply {
            text
        } else {
            format!("{text} using {}", self.api_version)
        }
    }
}

/// The entries of an object.
pub(super) fn read(object: &Value) -> Vec<Entry> {
    let list = metadata(object)
        .get("managedFields")
        .and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Entry::read).collect()
}

/// Writes the entries down in an object.
pub(super) fn write(object: &mut Value, mut entries: Vec<Entry>) {
    entries.retain(|entry| !entry.fields.is_empty());
    limit(&mut entries);
    entries.sort_by(|a, b| a.rank().cmp(&b.rank()));
    let metadata = metadata_mut(object);
    if entries.is_empty() {
        metadata.remove("managedFields");
    } else {
        let list = entries.into_iter().map(Entry::write).collect();
        metadata.insert("managedFields".into(), list);
    }
}

/// Merges the oldest plain updates of each version of the API, as their number would grow without end.
fn limit(entries: &mut Vec<Entry>) {
    let mut updates: Vec<usize> = (0..entries.len())
        .filter(|index| !entries[*index].apply)
        .collect();
    updates.sort_by_key(|index| {
        let entry = &entries[*index];
        (entry.time.clone(), entry.manager.clone())
    });
    let mut spare = updates.len().saturating_sub(MANAGERS);
    let mut oldest: BTreeMap<String, usize> = BTreeMap::new();
    let mut merged = BTreeSet::new();
    for index in updates {
        if spare == 0 {
            break;
        }
        let entry = entries[index].clone();
        match oldest.entry(entry.api_version.clone()) {
            Slot::Vacant(slot) => {
                slot.insert(index);
            }
            Slot::Occupied(slot) => {
                let bucket = &mut entries[*slot.get()];
                bucket.fields.extend(&entry.fields);
                bucket.manager = ANCIENT.into();
                bucket.subresource.clear();
                bucket.time = entry.time;
                merged.insert(index);
                spare -= 1;
            }
        }
    }
    let mut index = 0..;
    entries.retain(|_| !index.next().is_some_and(|index| merged.contains(&index)));
}
