//! Whether the fields that a definition offers to selectors can be selected by.

use serde_json::Value;

use super::{Cause, compile::text};

/// How many fields a version may offer.
const MOST: u64 = 8;

/// Adds what is wrong with the selectable fields of a version, found at `path`.
pub(super) fn check(version: &Value, schema: &Value, path: &str, causes: &mut Vec<Cause>) {
    let listed = version.get("selectableFields").and_then(Value::as_array);
    let listed = listed.map_or(&[][..], Vec::as_slice);
    if listed.len() as u64 > MOST {
        let at = format!("{path}.selectableFields");
        causes.push(Cause::too_many(&at, listed.len(), MOST));
    }
    for (position, field) in listed.iter().enumerate() {
        let at = format!("{path}.selectableFields[{position}].jsonPath");
        let found = field.get("jsonPath").unwrap_or(&Value::Null);
        let before = listed[..position].iter();
        match text(field, "jsonPath") {
            None | Some("") => causes.push(Cause::required(&at, "")),
            Some(json_path) => {
                if let Some(why) = problem(schema, json_path) {
                    causes.push(Cause::invalid(&at, found, why));
                }
                if before
                    .filter_map(|one| one.get("jsonPath"))
                    .any(|one| one == found)
                {
                    causes.push(Cause::duplicate(&at, found));
                }
            }
        }
    }
}

fn problem(schema: &Value, json_path: &str) -> Option<&'static str> {
    let Some(names) = json_path.strip_prefix('.') else {
        return Some("must be a simple json path starting with .");
    };
    if names == "metadata" || names.starts_with("metadata.") {
        return Some("must not point to fields in metadata");
    }
    let mut names = names.split('.');
    let field = names.try_fold(schema, |place, name| place.get("properties")?.get(name));
    let Some(field) = field else {
        return Some("is an invalid path: does not refer to a valid field");
    };
    let selectable = matches!(text(field, "type"), Some("string" | "boolean" | "integer"));
    (!selectable).then_some("must point to a field of type string, boolean or integer")
}
