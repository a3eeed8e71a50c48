//! JSON patch, merge patch and strategic merge patch.

use serde_json::{Map, Value};

use crate::{
    object::{meta_str, metadata},
    schema::{Node, Shape},
    status::{Failure, Result},
};

/// Operations of one JSON patch at most, as on any Kubernetes.
const OPERATIONS: usize = 10_000;

/// How the refusal of a JSON patch begins.
const REJECTED: &str = "the server rejected our request due to an error in our request";

/// How the body of a PATCH is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Merge,
    Strategic,
    /// Server-side apply.
    Apply,
}

/// A patch that has been read.
#[derive(Debug)]
pub(crate) enum Patch {
    Json(json_patch::Patch),
    Merge(Value),
    Strategic(Value),
}

impl Patch {
    pub(crate) fn read(format: Format, body: Value) -> Result<Self> {
        match format {
            Format::Json => {
                if !body.is_array() {
                    let why = "error decoding patch: it is not a list of operations";
                    return Err(Failure::bad_request(why));
                }
                let patch: json_patch::Patch = serde_json::from_value(body)
                    .map_err(|error| Failure::unprocessable(format!("{REJECTED}: {error}")))?;
                if patch.0.len() > OPERATIONS {
                    return Err(Failure::too_large(OPERATIONS));
                }
                Ok(Self::Json(patch))
            }
            Format::Merge | Format::Strategic | Format::Apply if !body.is_object() => Err(
                Failure::bad_request("error decoding patch: it is not an object"),
            ),
            Format::Strategic => Ok(Self::Strategic(body)),
            Format::Merge | Format::Apply => Ok(Self::Merge(body)),
        }
    }

    /// The patched object.
    pub(crate) fn apply(&self, node: Node<'_>, current: &Value) -> Result<Value> {
        let mut object = current.clone();
        match self {
            Self::Json(patch) => json_patch::patch(&mut object, patch)
                .map_err(|error| Failure::unprocessable(format!("{REJECTED}: {error}")))?,
            Self::Merge(patch) => json_patch::merge(&mut object, patch),
            Self::Strategic(patch) => object = strategic(node, Some(object), patch)?,
        }
        if object.is_object() {
            Ok(object)
        } else {
            Err(Failure::bad_request("the patch does not leave an object"))
        }
    }

    /// Whether the patch itself names the version it is meant for.
    pub(crate) fn names_version(&self) -> bool {
        match self {
            Self::Merge(patch) | Self::Strategic(patch) => {
                metadata(patch).contains_key("resourceVersion")
                    && !meta_str(patch, "resourceVersion").is_empty()
            }
            Self::Json(patch) => patch
                .iter()
                .any(|operation| operation.path().as_str() == "/metadata/resourceVersion"),
        }
    }
}

const ORDER: &str = "$setElementOrder/";
const DELETE: &str = "$deleteFromPrimitiveList/";
const RETAIN: &str = "$retainKeys";
const DIRECTIVE: &str = "$patch";

fn strategic(node: Node<'_>, current: Option<Value>, patch: &Value) -> Result<Value> {
    match (current, patch) {
        (Some(Value::Object(current)), Value::Object(patch)) => {
            strategic_map(node, current, patch).map(Value::Object)
        }
        (_, Value::Object(patch)) => strategic_map(node, Map::new(), patch).map(Value::Object),
        (Some(Value::Array(current)), Value::Array(patch)) => {
            strategic_list(node, current, patch).map(Value::Array)
        }
        (_, Value::Array(patch)) => strategic_list(node, Vec::new(), patch).map(Value::Array),
        (_, patch) => Ok(patch.clone()),
    }
}

fn strategic_map(
    node: Node<'_>,
    mut current: Map<String, Value>,
    patch: &Map<String, Value>,
) -> Result<Map<String, Value>> {
    match patch.get(DIRECTIVE).and_then(Value::as_str) {
        Some("replace") => {
            let kept = patch.iter().filter(|(key, _)| *key != DIRECTIVE);
            return Ok(kept
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect());
        }
        Some("delete") => return Ok(Map::new()),
        Some("merge") | None => {}
        Some(other) => {
            return Err(Failure::bad_request(format!(
                "Unknown patch type found: {other}"
            )));
        }
    }
    if let Some(Value::Array(keys)) = patch.get(RETAIN) {
        current.retain(|key, _| keys.iter().any(|kept| kept == key));
    }
    for (key, value) in patch.iter().filter(|(key, _)| !key.starts_with('$')) {
        if value.is_null() {
            current.remove(key);
        } else {
            let before = current.remove(key);
            current.insert(key.clone(), strategic(node.field(key), before, value)?);
        }
    }
    for (key, value) in patch {
        if let (Some(field), Value::Array(gone)) = (key.strip_prefix(DELETE), value)
            && let Some(Value::Array(items)) = current.get_mut(field)
        {
            items.retain(|item| !gone.contains(item));
        }
        if let (Some(field), Value::Array(order)) = (key.strip_prefix(ORDER), value)
            && let Some(Value::Array(items)) = current.get_mut(field)
        {
            arrange(merge_key(node.field(field)), items, order);
        }
    }
    Ok(current)
}

/// The key that tells items apart; nothing for lists of scalars and lists that
/// are replaced whole.
fn merge_key(list: Node<'_>) -> Option<&str> {
    list.patch_merge_key().or_else(|| match list.shape() {
        Shape::ListMap(keys) => keys.first().map(String::as_str),
        Shape::Atomic | Shape::Map | Shape::Set | Shape::Unknown => None,
    })
}

fn strategic_list(node: Node<'_>, mut current: Vec<Value>, patch: &[Value]) -> Result<Vec<Value>> {
    let directive = |item: &Value| {
        item.get(DIRECTIVE)
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    let replace = patch.iter().any(|item| {
        directive(item).as_deref() == Some("replace")
            && item.as_object().is_some_and(|item| item.len() == 1)
    });
    if replace {
        let kept = patch.iter().filter(|item| directive(item).is_none());
        return Ok(kept.cloned().collect());
    }
    let Some(key) = merge_key(node) else {
        if node.shape() != Shape::Set {
            return Ok(patch.to_vec());
        }
        for item in patch {
            if !current.contains(item) {
                current.push(item.clone());
            }
        }
        return Ok(current);
    };
    for item in patch {
        let Some(id) = item.get(key) else {
            let why = format!("map: {item} does not contain declared merge key: {key}");
            return Err(Failure::bad_request(why));
        };
        let place = current
            .iter()
            .position(|before| before.get(key) == Some(id));
        match (directive(item).as_deref(), place) {
            (Some("delete"), Some(_)) => current.retain(|before| before.get(key) != Some(id)),
            (Some("delete"), None) => {}
            (_, Some(index)) => {
                let before = current[index].take();
                current[index] = strategic(node.items(), Some(before), item)?;
            }
            (_, None) => current.push(strategic(node.items(), None, item)?),
        }
    }
    Ok(current)
}

/// Sorts items as the patch says; the others keep their place behind the item before them.
fn arrange(key: Option<&str>, items: &mut Vec<Value>, order: &[Value]) {
    let id = |item: &Value| match key {
        Some(key) => item.get(key).cloned(),
        None => Some(item.clone()),
    };
    let order: Vec<Option<Value>> = order.iter().map(id).collect();
    let mut rank = 0;
    let mut ranked: Vec<(usize, Value)> = std::mem::take(items)
        .into_iter()
        .map(|item| {
            let wanted = order.iter().position(|wanted| *wanted == id(&item));
            if let Some(wanted) = wanted {
                rank = wanted;
            }
            (rank, item)
        })
        .collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    *items = ranked.into_iter().map(|(_, item)| item).collect();
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::Schema;

    fn check(current: &Value, patch: Value, expected: &Value) {
        let schema = Schema::from_openapi(&json!({"type": "object", "properties": {
            "containers": {"type": "array", "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
                "items": {"type": "object", "properties": {
                    "name": {"type": "string"}, "image": {"type": "string"}}}},
            "args": {"type": "array", "items": {"type": "string"}},
            "finalizers": {"type": "array", "x-kubernetes-list-type": "set",
                "items": {"type": "string"}},
            "strategy": {"type": "object", "properties": {
                "type": {"type": "string"}, "rolling": {"type": "object"}}},
        }}));
        let patch = Patch::read(Format::Strategic, patch).unwrap();
        assert_eq!(&patch.apply(schema.root(), current).unwrap(), expected);
    }

    #[test]
    fn list_items_merge_by_key() {
        check(
            &json!({"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "1"}]}),
            json!({"$setElementOrder/containers": [{"name": "c"}, {"name": "a"}],
                "containers": [{"name": "c", "image": "3"}, {"name": "a", "image": "2"},
                    {"name": "b", "$patch": "delete"}]}),
            &json!({"containers": [{"name": "c", "image": "3"}, {"name": "a", "image": "2"}]}),
        );
    }

    #[test]
    fn plain_lists_are_replaced_and_sets_grow() {
        check(
            &json!({"args": ["a"], "finalizers": ["x", "y"]}),
            json!({"args": ["b"], "finalizers": ["z"], "$deleteFromPrimitiveList/finalizers": ["x"]}),
            &json!({"args": ["b"], "finalizers": ["y", "z"]}),
        );
    }

    #[test]
    fn retained_keys_drop_the_others() {
        check(
            &json!({"strategy": {"type": "Rolling", "rolling": {}}}),
            json!({"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}),
            &json!({"strategy": {"type": "Recreate"}}),
        );
    }
}
