//! Fields that files take back from whoever had set them otherwise since, as the API's own conflict
//! tells them.

use std::fmt;

use kube::{api::DynamicObject, core::Status};
use serde::Serialize;
use serde_json::Value;

use crate::manager;

/// How the API calls a field that belongs to somebody else.
const REASON: &str = "FieldManagerConflict";
/// How much of a value is shown.
const SHOWN: usize = 60;

/// A field taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Taken {
    /// The field, as `spec.container.image`.
    pub(crate) field: String,
    /// What it was; nothing when it is a secret, or not to be found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) from: Option<Value>,
    /// What the file says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) to: Option<Value>,
    /// The field manager who had set it.
    pub(crate) manager: String,
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.field)?;
        if let (Some(from), Some(to)) = (&self.from, &self.to) {
            write!(f, "{} -> {}", short(from), short(to))?;
        } else {
            f.write_str("taken back")?;
        }
        write!(f, ", which {} had set", manager::in_words(&self.manager))
    }
}

/// A value in one line.
fn short(value: &Value) -> String {
    let text = value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned);
    let mut line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if let Some((end, _)) = line.char_indices().nth(SHOWN) {
        line.truncate(end);
        line.push('…');
    }
    line
}

/// Whether the API refused because fields belong to others.
pub(super) fn is_conflict(status: &Status) -> bool {
    let mut causes = status.details.iter().flat_map(|details| &details.causes);
    status.code == 409 && causes.any(|cause| cause.reason == REASON)
}

/// The fields `status` tells of, with what they were and what `wanted` says.
pub(super) fn of(status: &Status, before: Option<&DynamicObject>, wanted: &Value) -> Vec<Taken> {
    let before = before.and_then(|object| serde_json::to_value(object).ok());
    // Values of secrets are never shown.
    let secret = wanted["kind"] == "Secret" && wanted["apiVersion"] == "v1";
    let value = |object: &Value, path: &str| at(object, path).filter(|_| !secret).cloned();
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes
        .filter(|cause| cause.reason == REASON)
        .map(|cause| Taken {
            field: cause.field.trim_start_matches('.').to_owned(),
            from: before
                .as_ref()
                .and_then(|before| value(before, &cause.field)),
            to: value(wanted, &cause.field),
            manager: cause
                .message
                .split('"')
                .nth(1)
                .unwrap_or(&cause.message)
                .to_owned(),
        })
        .collect()
}

/// What stands at a path as the API writes it: `.a.b[0]`, `.list[key="x"].value`, `.set[="x"]`. Names
/// may have dots in them, so the longest name that is there counts.
fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    if path.is_empty() {
        return Some(value);
    }
    if let Some(rest) = path.strip_prefix('[') {
        let (selector, rest) = rest.split_once(']')?;
        let items = value.as_array()?;
        let item = match selector.parse::<usize>() {
            Ok(index) => items.get(index),
            Err(_) => items.iter().find(|item| selects(selector, item)),
        };
        return at(item?, rest);
    }
    let rest = path.strip_prefix('.').unwrap_or(path);
    let map = value.as_object()?;
    let mut ends: Vec<usize> = rest.match_indices(['.', '[']).map(|(end, _)| end).collect();
    ends.push(rest.len());
    ends.into_iter()
        .rev()
        .find_map(|end| at(map.get(&rest[..end])?, &rest[end..]))
}

/// Whether `key="x",other=1` is true of an item, or `="x"` the item itself.
fn selects(selector: &str, item: &Value) -> bool {
    selector.split(',').all(|part| {
        let Some((key, text)) = part.split_once('=') else {
            return false;
        };
        let wanted: Option<Value> = serde_json::from_str(text).ok();
        let found = if key.is_empty() {
            Some(item)
        } else {
            item.get(key)
        };
        wanted.is_some() && wanted.as_ref() == found
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_of_the_api_are_found() {
        let object = json!({
            "metadata": {"annotations": {"a.example.org/b": "c"}},
            "spec": {"env": [{"key": "A", "value": 1}, {"key": "B", "value": 2}], "set": ["x"]},
        });
        let check = |path: &str| at(&object, path).cloned().unwrap_or_default();
        assert_eq!(check(".metadata.annotations.a.example.org/b"), "c");
        assert_eq!(check(r#".spec.env[key="B"].value"#), 2);
        assert_eq!(check(".spec.env[0].key"), "A");
        assert_eq!(check(r#".spec.set[="x"]"#), "x");
        assert_eq!(check(".spec.none"), Value::Null);
    }

    #[test]
    fn values_of_secrets_are_not_shown() {
        let status: Status = serde_json::from_value(json!({
            "code": 409, "message": "", "reason": "Conflict", "status": "Failure",
            "details": {"causes": [{
                "reason": REASON, "field": ".data.token", "message": "conflict with \"x\" using v1",
            }]},
        }))
        .unwrap();
        let wanted = json!({"apiVersion": "v1", "kind": "Secret", "data": {"token": "aGVsbG8="}});
        let taken = of(&status, None, &wanted);
        assert_eq!(
            taken[0].to_string(),
            "data.token: taken back, which x had set"
        );
        assert!(is_conflict(&status));
    }
}
