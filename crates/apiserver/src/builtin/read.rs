//! Reading objects whose shape the schema has already held.

use serde_json::{Map, Value};

static NULL: Value = Value::Null;

/// The value at a dotted path, or null.
pub(super) fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    path.split('.')
        .try_fold(value, |here, key| here.get(key))
        .unwrap_or(&NULL)
}

/// The text at a dotted path, or nothing.
pub(super) fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    at(value, path).as_str().unwrap_or_default()
}

/// The integer at a dotted path, or zero.
pub(super) fn int(value: &Value, path: &str) -> i64 {
    at(value, path).as_i64().unwrap_or_default()
}

/// The flag at a dotted path, or false.
pub(super) fn flag(value: &Value, path: &str) -> bool {
    at(value, path).as_bool().unwrap_or_default()
}

/// The list at a dotted path, or an empty one.
pub(super) fn list<'a>(value: &'a Value, path: &str) -> &'a [Value] {
    at(value, path).as_array().map_or(&[], Vec::as_slice)
}

/// The members of the map at a dotted path.
pub(super) fn members<'a>(
    value: &'a Value,
    path: &str,
) -> impl Iterator<Item = (&'a str, &'a Value)> {
    at(value, path)
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.as_str(), value))
}

/// Whether something other than null is at a dotted path.
pub(super) fn has(value: &Value, path: &str) -> bool {
    !at(value, path).is_null()
}

/// The map at a dotted path, made where it is missing; nothing if something
/// else is in the way.
pub(super) fn map_at<'a>(value: &'a mut Value, path: &str) -> Option<&'a mut Map<String, Value>> {
    let mut here = value.as_object_mut()?;
    for key in path.split('.') {
        let next = here.entry(key).or_insert_with(|| Value::Object(Map::new()));
        if next.is_null() {
            *next = Value::Object(Map::new());
        }
        here = next.as_object_mut()?;
    }
    Some(here)
}

/// The map at a dotted path, if it is there.
pub(super) fn existing<'a>(value: &'a mut Value, path: &str) -> Option<&'a mut Value> {
    path.split('.')
        .try_fold(value, |here, key| here.get_mut(key))
        .filter(|found| found.is_object())
}

/// The items of the list at a dotted path, to be changed.
pub(super) fn items_mut<'a>(
    value: &'a mut Value,
    path: &str,
) -> impl Iterator<Item = &'a mut Value> {
    let found = path
        .split('.')
        .try_fold(value, |here, key| here.get_mut(key));
    found.and_then(Value::as_array_mut).into_iter().flatten()
}

/// Sets a member that is not set.
pub(super) fn fill(value: &mut Value, key: &str, default: impl Into<Value>) {
    let Some(members) = value.as_object_mut() else {
        return;
    };
    if members.get(key).is_none_or(Value::is_null) {
        members.insert(key.to_owned(), default.into());
    }
}

/// Sets a text member that is not set or empty.
pub(super) fn fill_text(value: &mut Value, key: &str, default: &str) {
    let unset = match value.get(key) {
        None => true,
        Some(found) => found.is_null() || found == "",
    };
    if let Some(members) = value.as_object_mut().filter(|_| unset) {
        members.insert(key.to_owned(), Value::from(default));
    }
}
