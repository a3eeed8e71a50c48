//! What becomes of fields that a manager applied before and does not apply now.

use serde_json::{Map, Value};

use super::{
    entry::Entry,
    fields::Set,
    typed::{Walk, item_step, items, member_step, members, set_of},
    versions::Versions,
};
use crate::schema::Node;

/// The merged object, in the version of `wanted`, without what `last` set and `wanted` does not, as
/// far as none of `others` owns it too.
pub(super) fn release(
    merged: Value,
    last: &Entry,
    wanted: &Entry,
    others: &[Entry],
    versions: &dyn Versions,
) -> Value {
    if last.api_version == wanted.api_version {
        let mut gone = last.fields.clone();
        gone.subtract(&wanted.fields);
        if gone.is_empty() {
            return merged;
        }
    }
    let Some(node) = versions.node(&last.api_version) else {
        return merged;
    };
    let whole = Form {
        object: merged,
        api_version: &wanted.api_version,
    };
    let whole = whole.read(&last.api_version, versions);
    let last_named = with_named(node, &last.fields);
    let mut left = Form {
        object: remove(node, &whole.object, &last_named),
        api_version: &last.api_version,
    };
    // What goes with a parent that is removed comes back if it is owned,
    for (api_version, owned) in owned(&last.api_version, wanted, others) {
        left = with_owned(&whole, left, api_version, &owned, versions);
    }
    // and also if this manager never had it.
    let left = left.read(&last.api_version, versions);
    let gone = missing(node, &whole.object, &left.object).intersection(&last_named);
    let object = remove(node, &whole.object, &gone);
    let api_version = &last.api_version;
    let left = Form {
        object,
        api_version,
    };
    left.read(&wanted.api_version, versions).object
}

/// An object in a version.
struct Form<'a> {
    object: Value,
    api_version: &'a str,
}

impl Form<'_> {
    /// The same object in another version.
    fn read<'b>(&self, api_version: &'b str, versions: &dyn Versions) -> Form<'b> {
        let object = if self.api_version == api_version {
            self.object.clone()
        } else {
            versions.convert(&self.object, api_version)
        };
        Form {
            object,
            api_version,
        }
    }
}

/// What is owned in each version, `first` first: what is missing there might not be converted.
fn owned<'a>(first: &'a str, wanted: &'a Entry, others: &'a [Entry]) -> Vec<(&'a str, Set)> {
    let mut all: Vec<(&str, Set)> = Vec::new();
    for entry in others.iter().chain([wanted]) {
        match all
            .iter_mut()
            .find(|(known, _)| *known == entry.api_version)
        {
            Some((_, fields)) => {
                fields.extend(&entry.fields);
            }
            None => all.push((&entry.api_version, entry.fields.clone())),
        }
    }
    all.sort_by_key(|(api_version, _)| (*api_version != first, *api_version));
    all
}

/// `left` of `whole`, and with it what is owned in a version.
fn with_owned<'a>(
    whole: &Form<'_>,
    left: Form<'a>,
    api_version: &'a str,
    owned: &Set,
    versions: &dyn Versions,
) -> Form<'a> {
    let Some(node) = versions.node(api_version) else {
        return left;
    };
    let whole = whole.read(api_version, versions);
    let left = left.read(api_version, versions);
    let mut gone = missing(node, &whole.object, &left.object);
    gone.subtract(&with_named(node, owned));
    Form {
        object: remove(node, &whole.object, &gone),
        api_version,
    }
}

/// What `whole` has and `left` has not.
fn missing(node: Node<'_>, whole: &Value, left: &Value) -> Set {
    let mut missing = with_named(node, &set_of(node, whole));
    missing.subtract(&with_named(node, &set_of(node, left)));
    missing
}

/// The set, with the declared members on the way to its members.
fn with_named(node: Node<'_>, set: &Set) -> Set {
    let mut out = Set::default();
    out.member = set.member;
    for (step, below) in set.children() {
        let (next, named) = match step.strip_prefix("f:") {
            Some(name) => (node.field(name), node.declares(name)),
            None => (node.items(), false),
        };
        let mut child = with_named(next, below);
        child.member |= named && !below.is_leaf();
        out.put(step.clone(), child);
    }
    out
}

/// The value without the members of `gone`. A list or map of which nothing is left is null,
/// and so is one that is owned as a whole but of which parts are gone.
fn remove(node: Node<'_>, value: &Value, gone: &Set) -> Value {
    match Walk::of(node, value) {
        Walk::Leaf if value.is_array() || value.is_object() => Value::Null,
        Walk::Leaf => value.clone(),
        Walk::Members => {
            let members = members(Some(value)).into_iter().flatten();
            let left: Map<_, _> = members
                .filter_map(|(name, value)| {
                    let value = left(node.field(name), value, gone.child(&member_step(name)))?;
                    Some((name.clone(), value))
                })
                .collect();
            if left.is_empty() {
                Value::Null
            } else {
                Value::Object(left)
            }
        }
        Walk::Items => {
            let items = items(Some(value)).iter();
            let left: Vec<_> = items
                .filter_map(|item| left(node.items(), item, gone.child(&item_step(node, item))))
                .collect();
            if left.is_empty() {
                Value::Null
            } else {
                Value::Array(left)
            }
        }
    }
}

/// What is left of a member or item.
fn left(node: Node<'_>, value: &Value, gone: Option<&Set>) -> Option<Value> {
    match gone {
        None => Some(value.clone()),
        Some(gone) if gone.member => None,
        Some(gone) => Some(remove(node, value, gone)),
    }
}
