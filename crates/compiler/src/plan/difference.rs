//! Differences of objects, down to fields.

use super::effect::{self, Effect};
use super::inputs::InputChange;
use crate::diagnostic::dotted;
use crate::finish::text;
use crate::origin::join;
use crate::result::Rendered;
use choreo_model::shared::TargetPlane;
use choreo_template::Tree;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// The length of the hash at the end of generated names.
const HASH: usize = 8;

/// What happens to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// It is made.
    Add,
    /// It is changed.
    Change,
    /// It is taken away.
    Remove,
}

/// What happens to one object.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectChange {
    /// What happens to it.
    pub action: Action,
    /// What that does to what runs.
    pub effect: Effect,
    /// The kind of the object.
    pub kind: String,
    /// Its API version.
    pub api_version: String,
    /// Its namespace on the data plane.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The fields that change; none when it is made or taken away.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldChange>,
    /// What tells it apart from others.
    #[serde(skip)]
    pub(crate) identity: [String; 5],
    /// The object as it will be, or was when it is taken away.
    #[serde(skip)]
    pub(crate) object: Tree,
}

/// What happens to one field.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FieldChange {
    /// The field.
    pub field: String,
    /// What it was, if it was there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Tree>,
    /// What it will be, if it will be there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Tree>,
    /// What that does to what runs.
    pub effect: Effect,
    /// What was changed for it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<InputChange>,
    /// The field as JSON pointer.
    #[serde(skip)]
    pub(crate) pointer: String,
}

/// What happens from the objects `before` to those `after`.
pub(super) fn objects(before: &[Rendered], after: &[Rendered]) -> Vec<ObjectChange> {
    let (mut old, new) = (by_identity(before), by_identity(after));
    let mut changes = Vec::new();
    for (identity, one) in new {
        match old.remove(&identity) {
            None => changes.push(change(Action::Add, one, Vec::new())),
            Some(was) if was.object == one.object => {}
            Some(was) => {
                let mut fields = Vec::new();
                differences(
                    &was.object,
                    &one.object,
                    String::new(),
                    &mut |pointer, a, b| {
                        fields.push(field(&one.object, pointer, a, b));
                    },
                );
                changes.push(change(Action::Change, one, fields));
            }
        }
    }
    let gone = old.into_values();
    changes.extend(gone.map(|one| change(Action::Remove, one, Vec::new())));
    renamed(&mut changes);
    changes
}

/// An object whose name carries a hash of its content is not lost when one of another content takes
/// its place.
fn renamed(changes: &mut [ObjectChange]) {
    let added = changes.iter().filter(|one| one.action == Action::Add);
    let places: BTreeSet<[String; 5]> = added.filter_map(place).collect();
    for one in changes.iter_mut() {
        let data = one.effect == Effect::DeletesData;
        if one.action == Action::Remove
            && !data
            && place(one).is_some_and(|place| places.contains(&place))
        {
            one.effect = Effect::None;
        }
    }
}

/// The identity of an object, without the hash that its name ends with; nothing without one.
fn place(one: &ObjectChange) -> Option<[String; 5]> {
    let mut place = one.identity.clone();
    let (stem, hash) = one.name.rsplit_once('-')?;
    let is_hash = hash.len() == HASH && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    place[3] = is_hash.then(|| stem.to_owned())?;
    Some(place)
}

/// Objects by what tells them apart. Of one that was rendered twice the last is what is applied.
fn by_identity(objects: &[Rendered]) -> BTreeMap<[&str; 5], &Rendered> {
    objects.iter().map(|one| (identity(one), one)).collect()
}

/// Kind, group, namespace, name and plane.
pub(super) fn identity(one: &Rendered) -> [&str; 5] {
    let api_version = text(&one.object, &["apiVersion"]);
    let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
    let plane = match one.target_plane {
        TargetPlane::DataPlane => "data",
        TargetPlane::ObservabilityPlane => "observability",
    };
    [
        text(&one.object, &["kind"]),
        group,
        text(&one.object, &["metadata", "namespace"]),
        text(&one.object, &["metadata", "name"]),
        plane,
    ]
}

fn change(action: Action, one: &Rendered, fields: Vec<FieldChange>) -> ObjectChange {
    let object = &one.object;
    let of_fields = fields.iter().map(|field| field.effect).max();
    let string = |path: &[&str]| text(object, path).to_owned();
    ObjectChange {
        action,
        effect: match action {
            Action::Add => Effect::None,
            Action::Change => of_fields.unwrap_or(Effect::None),
            Action::Remove => effect::of_removal(object),
        },
        kind: string(&["kind"]),
        api_version: string(&["apiVersion"]),
        namespace: string(&["metadata", "namespace"]),
        name: string(&["metadata", "name"]),
        fields,
        identity: identity(one).map(str::to_owned),
        object: object.clone(),
    }
}

fn field(
    object: &Tree,
    pointer: String,
    before: Option<&Tree>,
    after: Option<&Tree>,
) -> FieldChange {
    FieldChange {
        field: dotted(&pointer),
        before: before.cloned(),
        after: after.cloned(),
        effect: effect::of_field(object, &pointer),
        reasons: Vec::new(),
        pointer,
    }
}

/// Calls `tell` with every place where `before` and `after` differ, and what stands there. Lists
/// of named things are compared by name.
pub(super) fn differences(
    before: &Tree,
    after: &Tree,
    at: String,
    tell: &mut impl FnMut(String, Option<&Tree>, Option<&Tree>),
) {
    match (before, after) {
        (a, b) if a == b => {}
        (Tree::Object(old), Tree::Object(new)) => {
            for (key, value) in new.iter() {
                let at = join(&at, key);
                match old.get(key) {
                    Some(was) => differences(was, value, at, tell),
                    None => tell(at, None, Some(value)),
                }
            }
            for (key, value) in old.iter().filter(|(key, _)| !new.contains_key(key)) {
                tell(join(&at, key), Some(value), None);
            }
        }
        (Tree::Array(old), Tree::Array(new)) => {
            for (index, pair) in pairs(old, new).into_iter().enumerate() {
                match pair {
                    (Some(was), Some(value)) => {
                        differences(was, value, format!("{at}/{index}"), tell);
                    }
                    (was, value) => tell(format!("{at}/{index}"), was, value),
                }
            }
        }
        (a, b) => tell(at, Some(a), Some(b)),
    }
}

/// The items of two lists side by side: those that are named by name, others by their place. What
/// is only in `old` comes last.
fn pairs<'v>(old: &'v [Tree], new: &'v [Tree]) -> Vec<(Option<&'v Tree>, Option<&'v Tree>)> {
    let named = |items: &[Tree]| {
        items
            .iter()
            .all(|item| item.get("name").and_then(Tree::as_str).is_some())
    };
    if !(named(old) && named(new)) {
        let count = old.len().max(new.len());
        return (0..count)
            .map(|index| (old.get(index), new.get(index)))
            .collect();
    }
    let was = |wanted: &Tree| old.iter().find(|item| item["name"] == wanted["name"]);
    let is = |wanted: &Tree| new.iter().any(|item| item["name"] == wanted["name"]);
    let came = new.iter().map(|item| (was(item), Some(item)));
    let gone = old.iter().filter(|item| !is(item));
    came.chain(gone.map(|item| (Some(item), None))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use choreo_template::tree;

    /// The effect of taking `old` away and making `new`.
    #[track_caller]
    fn check(kind: &str, (old, new): (&str, &str), expected: Effect) {
        let rendered = |name: &str| Rendered {
            id: name.to_owned(),
            target_plane: TargetPlane::DataPlane,
            object: tree!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}}),
        };
        let changes = objects(&[rendered(old)], &[rendered(new)]);
        let gone = changes.iter().find(|one| one.action == Action::Remove);
        assert_eq!(gone.expect("a removal").effect, expected, "{old} {new}");
    }

    #[test]
    fn what_is_named_by_its_content_is_replaced_and_not_lost() {
        let names = ("web-env-1b805fd0", "web-env-ec704fac");
        check("ConfigMap", names, Effect::None);
        check("PersistentVolumeClaim", names, Effect::DeletesData);
        check(
            "ConfigMap",
            ("web-env-1b805fd0", "web-files-ec704fac"),
            Effect::Deletes,
        );
        check("ConfigMap", ("web-one", "web-two"), Effect::Deletes);
    }
}
