//! `metadata.managedFields`: kept up to date by every write, consulted by apply.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{
    fields::Set,
    merge::merge,
    reconcile::reconcile,
    release::release,
    typed::{self, compare, member_step, set_of},
};
use crate::{
    object::{metadata, metadata_mut},
    schema::{Cause, Node},
    status::{Failure, Result, cause},
};

/// Managers of plain updates that are kept apart.
const MANAGERS: usize = 10;

/// Who writes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manager<'a> {
    pub(crate) name: &'a str,
    pub(crate) api_version: &'a str,
    /// `status` or empty.
    pub(crate) subresource: &'a str,
    pub(crate) now: Timestamp,
}

impl Manager<'_> {
    /// The time of a change. Kubernetes keeps none for changes of the scale.
    fn time(&self) -> String {
        if self.subresource == "scale" {
            String::new()
        } else {
            seconds(self.now)
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    manager: String,
    apply: bool,
    api_version: String,
    subresource: String,
    time: String,
    fields: Set,
}

impl Entry {
    fn new(manager: Manager<'_>, apply: bool, fields: Set) -> Self {
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

    fn write(&self) -> Value {
        let mut entry = json!({
            "manager": self.manager,
            "operation": if self.apply { "Apply" } else { "Update" },
            "apiVersion": self.api_version,
            "fieldsType": "FieldsV1",
            "fieldsV1": self.fields.write(),
        });
        for (key, value) in [("time", &self.time), ("subresource", &self.subresource)] {
            if !value.is_empty() {
                entry[key] = json!(value);
            }
        }
        entry
    }

    fn is(&self, manager: Manager<'_>, apply: bool) -> bool {
        self.apply == apply
            && self.manager == manager.name
            && self.subresource == manager.subresource
            && (apply || self.api_version == manager.api_version)
    }

    /// How errors name the manager.
    fn describe(&self) -> String {
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

/// A time as object metadata writes it.
fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The entries of an object, in the form that its schema gives them now.
fn entries(node: Node<'_>, object: &Value) -> Vec<Entry> {
    let list = metadata(object)
        .get("managedFields")
        .and_then(Value::as_array);
    let mut entries: Vec<_> = list.into_iter().flatten().filter_map(Entry::read).collect();
    for entry in &mut entries {
        reconcile(node, &mut entry.fields);
    }
    entries
}

/// The set without what belongs to the server and to nobody else.
fn strip(mut set: Set) -> Set {
    set.member = false;
    set.cut(&["f:apiVersion"]);
    set.cut(&["f:kind"]);
    set.disown("f:metadata");
    for name in [
        "name",
        "namespace",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "selfLink",
        "uid",
        "generation",
        "managedFields",
        "resourceVersion",
    ] {
        set.cut(&["f:metadata", &member_step(name)]);
    }
    set
}

fn write(object: &mut Value, mut entries: Vec<Entry>) {
    entries.retain(|entry| !entry.fields.is_empty());
    limit(&mut entries);
    entries.sort_by(|a, b| {
        let key = |entry: &Entry| (!entry.apply, entry.time.clone(), entry.manager.clone());
        key(a).cmp(&key(b))
    });
    let metadata = metadata_mut(object);
    if entries.is_empty() {
        metadata.remove("managedFields");
    } else {
        let list = entries.iter().map(Entry::write).collect();
        metadata.insert("managedFields".into(), list);
    }
}

/// Merges the oldest plain updates, as their number would grow without end.
fn limit(entries: &mut Vec<Entry>) {
    loop {
        let mut updates: Vec<usize> = (0..entries.len())
            .filter(|index| !entries[*index].apply)
            .collect();
        if updates.len() <= MANAGERS {
            return;
        }
        updates.sort_by(|a, b| entries[*a].time.cmp(&entries[*b].time));
        let (first, second) = (updates[0], updates[1]);
        let older = entries[first].clone();
        let newer = &mut entries[second];
        newer.fields.extend(&older.fields);
        newer.manager = "ancient-changes".into();
        entries.remove(first);
    }
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
pub(crate) fn track(node: Node<'_>, before: Before<'_>, new: &mut Value, manager: Manager<'_>) {
    let given = metadata(new).get("managedFields").and_then(Value::as_array);
    // A single empty entry is how clients ask to forget all managers.
    let forget = given.is_some_and(
        |list| matches!(list.as_slice(), [one] if one.as_object().is_some_and(Map::is_empty)),
    );
    if forget {
        metadata_mut(new).remove("managedFields");
        return;
    }
    let nothing = Value::Object(Map::new());
    let (old, stored) = match before {
        Before::Empty(empty) => (empty.unwrap_or(&nothing), Vec::new()),
        Before::Stored(old) => (old, entries(node, old)),
    };
    let mut kept = match given {
        Some(list) if !list.is_empty() => entries(node, new),
        // What nobody owns stays so until somebody applies.
        _ if stored.is_empty() && matches!(before, Before::Stored(_)) => {
            metadata_mut(new).remove("managedFields");
            return;
        }
        _ => stored,
    };
    let mut difference = compare(node, old, new);
    difference.changed = strip(difference.changed);
    difference.removed = strip(difference.removed);
    if !difference.is_empty() {
        record(&mut kept, &difference.changed, &difference.removed, manager);
    }
    write(new, kept);
}

fn record(entries: &mut Vec<Entry>, changed: &Set, removed: &Set, manager: Manager<'_>) {
    for entry in entries.iter_mut() {
        let before = entry.fields.clone();
        entry.fields.subtract(removed);
        if entry.is(manager, false) {
            entry.fields.extend(changed);
        } else {
            entry.fields.subtract(changed);
        }
        if entry.fields != before && entry.is(manager, false) {
            entry.time = manager.time();
        }
    }
    if !entries.iter().any(|entry| entry.is(manager, false)) {
        entries.push(Entry::new(manager, false, changed.clone()));
    }
}

/// Applies a configuration. Without a live object the result is the object to create.
pub(crate) fn apply(
    node: Node<'_>,
    live: Option<&Value>,
    config: &Value,
    manager: Manager<'_>,
    force: bool,
) -> Result<Value> {
    if metadata(config)
        .get("managedFields")
        .is_some_and(|fields| !fields.is_null())
    {
        return Err(Failure::bad_request("metadata.managedFields must be nil"));
    }
    let mut entries = live.map(|live| entries(node, live)).unwrap_or_default();
    let before = live.map(without_managed);
    if let Some(before) = before.as_ref().filter(|_| entries.is_empty()) {
        let fields = strip(set_of(node, before));
        let ancient = Manager {
            name: "before-first-apply",
            subresource: "",
            ..manager
        };
        entries.push(Entry::new(ancient, false, fields));
    }
    let wanted = strip(set_of(node, config));
    let own = entries.iter().position(|entry| entry.is(manager, true));
    let last = own.map(|index| entries.remove(index));
    let mut merged = merge(node, before.as_ref(), Some(config)).unwrap_or_default();
    if let Some(last) = &last {
        let mut others = Set::default();
        for entry in &entries {
            others.extend(&entry.fields);
        }
        merged = release(node, merged, &last.fields, &wanted, &others);
    }
    if !merged.is_object() {
        merged = Value::Object(Map::new());
    }
    let empty = Value::Object(Map::new());
    let difference = compare(node, before.as_ref().unwrap_or(&empty), &merged);
    take_over(&mut entries, &strip(difference.changed), force)?;
    let removed = strip(difference.removed);
    for entry in &mut entries {
        entry.fields.subtract(&removed);
    }
    let mut entry = Entry::new(manager, true, wanted);
    if before.as_ref() == Some(&merged) {
        // Nothing but ownership changes, and that has no time.
        entry.time = last.map(|last| last.time).unwrap_or_default();
    }
    entries.push(entry);
    write(&mut merged, entries);
    Ok(merged)
}

/// Two items of the configuration that cannot be told apart, where there are such: a path and what
/// is wrong there.
pub(crate) fn ambiguous(node: Node<'_>, config: &Value) -> Option<String> {
    typed::ambiguous(node, config)
}

/// Takes changed fields from their owners, or says whose they are.
fn take_over(entries: &mut [Entry], changed: &Set, force: bool) -> Result<()> {
    let mut causes = Vec::new();
    let mut owners = Vec::new();
    for entry in entries {
        let contested = entry.fields.intersection(changed);
        if contested.is_empty() {
            continue;
        }
        if force {
            entry.fields.subtract(&contested);
            continue;
        }
        let owner = entry.describe();
        let paths = contested.paths();
        causes.extend(paths.iter().map(|path| {
            cause(
                "FieldManagerConflict",
                path,
                format!("conflict with {owner}"),
            )
        }));
        owners.push((owner, paths));
    }
    if causes.is_empty() {
        return Ok(());
    }
    owners.sort();
    Err(Failure::apply_conflict(
        conflict_message(&owners, &causes),
        causes,
    ))
}

fn conflict_message(owners: &[(String, Vec<String>)], causes: &[Cause]) -> String {
    if let [only] = causes {
        return format!(
            "Apply failed with 1 conflict: {}: {}",
            only.message, only.field
        );
    }
    let mut lines = Vec::new();
    for (owner, paths) in owners {
        lines.push(format!("conflicts with {owner}:"));
        lines.extend(paths.iter().map(|path| format!("- {path}")));
    }
    format!(
        "Apply failed with {} conflicts: {}",
        causes.len(),
        lines.join("\n")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Schema;

    fn manager(name: &str) -> Manager<'_> {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        Manager {
            name,
            api_version: "v1",
            subresource: "",
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
        let schema = schema();
        apply(schema.root(), live, config, manager(name), force)
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
        assert_eq!(entries(schema().root(), &live).len(), 1);
    }

    #[test]
    fn applying_the_same_again_changes_nothing() {
        let config = json!({"metadata": {"name": "x"}, "data": {"a": "1"}});
        let live = do_apply(None, &config, "one", false).unwrap();
        let later = Manager {
            now: Timestamp::from_second(1_800_000_000).unwrap(),
            ..manager("one")
        };
        let again = apply(schema().root(), Some(&live), &config, later, false).unwrap();
        assert_eq!(again, live);
    }

    #[test]
    fn plain_updates_are_tracked() {
        let schema = schema();
        let mut created = json!({"metadata": {"name": "x"}, "data": {"a": "1", "b": "1"}});
        track(
            schema.root(),
            Before::Empty(None),
            &mut created,
            manager("one"),
        );
        let mut updated = created.clone();
        updated["data"]["a"] = json!("2");
        track(
            schema.root(),
            Before::Stored(&created),
            &mut updated,
            manager("two"),
        );
        let owners: Vec<_> = entries(schema.root(), &updated)
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
