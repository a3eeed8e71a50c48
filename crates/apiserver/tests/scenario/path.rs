//! Paths into answers: `/items/0/metadata`, `/items/name=web`, `/items/*/kind`.

use serde_json::Value;

/// Every value a path names. `*` is every member; `key=value` the items of a
/// list that have this member, or, in the list of a kind, this name. `~1` stands
/// for a slash, as in JSON pointers.
pub(crate) fn find<'a>(root: &'a Value, path: &str) -> Vec<&'a Value> {
    let mut found = vec![root];
    for segment in segments(path) {
        found = found
            .into_iter()
            .flat_map(|value| step(value, &segment))
            .collect();
    }
    found
}

pub(crate) fn segments(path: &str) -> Vec<String> {
    path.split('/')
        .filter(|segment| !segment.is_empty())
        .map(|segment| segment.replace("~1", "/").replace("~0", "~"))
        .collect()
}

fn step<'a>(value: &'a Value, segment: &str) -> Vec<&'a Value> {
    match (value, segment.split_once('=')) {
        (Value::Array(items), Some((key, wanted))) => {
            items.iter().filter(|item| is(item, key, wanted)).collect()
        }
        (Value::Array(items), None) if segment == "*" => items.iter().collect(),
        (Value::Array(items), None) => segment
            .parse()
            .ok()
            .and_then(|index: usize| items.get(index))
            .into_iter()
            .collect(),
        (Value::Object(members), _) if segment == "*" => members.values().collect(),
        (Value::Object(members), _) => members.get(segment).into_iter().collect(),
        _ => Vec::new(),
    }
}

fn is(item: &Value, key: &str, wanted: &str) -> bool {
    let member = item.get(key).or_else(|| item.get("metadata")?.get(key));
    member.is_some_and(|member| text(member) == wanted)
}

/// A value as a person writes it.
pub(crate) fn text(value: &Value) -> String {
    let text = value.as_str().map(str::to_owned);
    text.unwrap_or_else(|| value.to_string())
}
