//! `metadata.managedFields`: kept up to date by every write, consulted by apply.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{
    conflict::take_over,
    entry::{self, Entry},
    merge::merge,
    reconcile::reconcile,
    release::release,
    typed::{self, set_of},
    versions::{Comparisons, Versions, strip},
};
use crate::{
    object::{metadata, metadata_mut},
    schema::Node,
    status::{Failure, Result},
};

/// Who writes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manager<'a> {
    pub(crate) name: &'a str,
    pub(crate) api_version: &'a str,
    /// `status` or empty.
    pub(crate) subresource: &'a str,
    /// The versions in which others may have written.
    pub(crate) versions: &'a dyn Versions,
    pub(crate) now: Timestamp,
}

impl Manager<'_> {
    /// The time of a change. Kubernetes keeps none for changes of the scale.
    pub(super) fn time(&self) -> String {
        if self.subresource == "scale" {
            String::new()
        } else {
            seconds(self.now)
        }
    }
}

/// A time as object metadata writes it.
fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The entries of an object, in the form that their schemas give them now. What was written in a
/// version that there is no more is owned by nobody.
fn entries(object: &Value, manager: Manager<'_>) -> Vec<Entry> {
    let mut entries = entry::read(object);
    entries.retain_mut(|entry| {
        let Some(node) = manager.versions.node(&entry.api_version) else {
            return false;
        };
        reconcile(node, &mut entry.fields);
        true
    });
    entries
}

fn without_managed(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    object
}

/// What a plain write starts from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Before<'a> {
    /// Nothing but what objects of the kind always have.
    Empty(Option<&'a Value>),
    /// The stored object.
    Stored(&'a Value),
}

/// Records what a plain write changes in `new`, the object to store.
pub(crate) fn track(before: Before<'_>, new: &mut Value, manager: Manager<'_>) {
    let given = metadata(new).get("managedFields").and_then(Value::as_array);
    // Nothing, or a single empty entry, is how clients ask to forget all managers.
    let forget = given.is_some_and(|list| match list.as_slice() {
        [] => true,
        [one] => one.as_object().is_some_and(Map::is_empty),
        _ => false,
    });
    if forget {
        metadata_mut(new).remove("managedFields");
        return;
    }
    let nothing = Value::Object(Map::new());
    let (old, stored) = match before {
        Before::Empty(empty) => (empty.unwrap_or(&nothing), Vec::new()),
        Before::Stored(old) => (old, entries(old, manager)),
    };
    let mut kept = match given {
        Some(_) => entries(new, manager),
        // What nobody owns stays so until somebody applies.
        None if stored.is_empty() && matches!(before, Before::Stored(_)) => {
            metadata_mut(new).remove("managedFields");
            return;
        }
        None => stored,
    };
    record(&mut kept, &mut Comparisons::new(old, new, manager), manager);
    entry::write(new, kept);
}

fn record(entries: &mut Vec<Entry>, comparisons: &mut Comparisons<'_>, manager: Manager<'_>) {
    if comparisons.of(manager.api_version).is_empty() {
        return;
    }
    for entry in entries.iter_mut() {
        let difference = comparisons.of(&entry.api_version);
        if entry.is(manager, false) {
            // Only what loses fields can have others and still be as before.
            let before = (!difference.removed.is_empty()).then(|| entry.fields.clone());
            entry.fields.subtract(&difference.removed);
            let grown = entry.fields.extend(&difference.changed);
            if before.map_or(grown, |before| entry.fields != before) {
                entry.time = manager.time();
            }
        } else {
            entry.fields.subtract(&difference.removed);
            entry.fields.subtract(&difference.changed);
        }
    }
    if !entries.iter().any(|entry| entry.is(manager, false)) {
        let changed = comparisons.take_changed(manager.api_version);
        entries.push(Entry::new(manager, false, changed));
    }
}

/// The object to create where a configuration is applied to none.
pub(crate) fn create(node: Node<'_>, config: Value, manager: Manager<'_>) -> Result<Value> {
    check(&config)?;
    let entry = Entry::new(manager, true, strip(set_of(node, &config)));
    let mut object = config;
    if !object.is_object() {
        object = Value::Object(Map::new());
    }
    entry::write(&mut object, vec![entry]);
    Ok(object)
}

/// Who writes what is for the server to say.
fn check(config: &Value) -> Result<()> {
    match metadata(config).get("managedFields") {
        None | Some(Value::Null) => Ok(()),
        Some(_) => Err(Failure::bad_request("metadata.managedFields must be nil")),
    }
}

/// Applies a configuration to the live object.
pub(crate) fn apply(
    node: Node<'_>,
    live: &Value,
    config: &Value,
    manager: Manager<'_>,
    force: bool,
) -> Result<Value> {
    check(config)?;
    let mut entries = entries(live, manager);
    let before = without_managed(live);
    if entry::read(live).is_empty() {
        let fields = strip(set_of(node, &before));
        let ancient = Manager {
            name: "before-first-apply",
            subresource: "",
            ..manager
        };
        entries.push(Entry::new(ancient, false, fields));
    }
    let own = entries.iter().position(|entry| entry.is(manager, true));
    let last = own.map(|index| entries.remove(index));
    let mut entry = Entry::new(manager, true, strip(set_of(node, config)));
    let mut merged = merge(node, Some(&before), Some(config)).unwrap_or_default();
    if let Some(last) = &last {
        merged = release(merged, last, &entry, &entries, manager.versions);
    }
    if !merged.is_object() {
        merged = Value::Object(Map::new());
    }
    let mut comparisons = Comparisons::new(&before, &merged, manager);
    take_over(&mut entries, &mut comparisons, force)?;
    for entry in &mut entries {
        entry
            .fields
            .subtract(&comparisons.of(&entry.api_version).removed);
    }
    if before == merged {
        // Nothing but ownership changes, and that has no time.
        entry.time = last.map(|last| last.time).unwrap_or_default();
    }
    entries.push(entry);
    entry::write(&mut merged, entries);
    Ok(merged)
}

/// Two items of the configuration that cannot be told apart, where there are such: a path and what
/// is wrong there.
pub(crate) fn ambiguous(node: Node<'_>, config: &Value) -> Option<String> {
    typed::ambiguous(node, config)
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use serde_json::json;

    use super::*;
    use crate::{apply::Same, schema::Schema};

    static SCHEMA: LazyLock<Schema> = LazyLock::new(schema);
    static SAME: LazyLock<Same<'static>> = LazyLock::new(|| Same(SCHEMA.root()));

    fn manager(name: &str) -> Manager<'_> {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        Manager {
            name,
            api_version: "v1",
            subresource: "",
            versions: &*SAME,
            now,
        }
    }

    fn schema() -> Schema {
        Schema::from_openapi(&json!({"type": "object", "properties": {
            "data": {"type": "object", "additionalProperties": {"type": "string"}},
            "list": {"type": "array", "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
                "items": {"type": "object", "properties": {
                    "name": {"type": "string"}, "value": {"type": "string"}}}},
        }}))
    }

    fn do_apply(live: Option<&Value>, config: &Value, name: &str, force: bool) -> Result<Value> {
        match live {
            Some(live) => apply(SCHEMA.root(), live, config, manager(name), force),
            None => create(SCHEMA.root(), config.clone(), manager(name)),
        }
    }

    #[test]
    fn fields_no_longer_applied_vanish_unless_shared() {
        let first = json!({"metadata": {"name": "x"}, "data": {"a": "1", "b": "2"},
            "list": [{"name": "p", "value": "1"}, {"name": "q"}]});
        let live = do_apply(None, &first, "one", false).unwrap();
        let live = do_apply(Some(&live), &json!({"data": {"b": "2"}}), "two", false).unwrap();
        let less = json!({"metadata": {"name": "x"}, "list": [{"name": "q"}]});
        let live = do_apply(Some(&live), &less, "one", false).unwrap();
        assert_eq!(live["data"], json!({"b": "2"}));
        assert_eq!(live["list"], json!([{"name": "q"}]));
    }

    #[test]
    fn conflicts_name_the_owner_and_force_takes_over() {
        let live = do_apply(None, &json!({"data": {"a": "1"}}), "one", false).unwrap();
        let other = json!({"data": {"a": "2"}});
        let failure = do_apply(Some(&live), &other, "two", false).unwrap_err();
        assert_eq!(
            failure.message,
            "Apply failed with 1 conflict: conflict with \"one\": .data.a"
        );
        let live = do_apply(Some(&live), &other, "two", true).unwrap();
        assert_eq!(live["data"]["a"], "2");
        assert_eq!(entries(&live, manager("")).len(), 1);
    }

    #[test]
    fn applying_the_same_again_changes_nothing() {
        let config = json!({"metadata": {"name": "x"}, "data": {"a": "1"}});
        let live = do_apply(None, &config, "one", false).unwrap();
        let later = Manager {
            now: Timestamp::from_second(1_800_000_000).unwrap(),
            ..manager("one")
        };
        let again = apply(SCHEMA.root(), &live, &config, later, false).unwrap();
        assert_eq!(again, live);
    }

    #[test]
    fn plain_updates_are_tracked() {
        let mut created = json!({"metadata": {"name": "x"}, "data": {"a": "1", "b": "1"}});
        track(Before::Empty(None), &mut created, manager("one"));
        let mut updated = created.clone();
        updated["data"]["a"] = json!("2");
        track(Before::Stored(&created), &mut updated, manager("two"));
        let owners: Vec<_> = entries(&updated, manager(""))
            .into_iter()
            .map(|entry| (entry.manager, entry.fields.paths()))
            .collect();
        assert_eq!(
            owners,
            [
                (
                    "one".to_owned(),
                    vec![".data".to_owned(), ".data.b".to_owned()]
                ),
                ("two".to_owned(), vec![".data.a".to_owned()]),
            ]
        );
    }
}
