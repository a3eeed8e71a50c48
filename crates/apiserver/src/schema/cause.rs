//! Broken rules in Kubernetes' words: clients match on reasons, people read
//! messages, both know them from real clusters.

use serde_json::Value;

/// One broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// `FieldValueInvalid`, `FieldValueRequired`, ...
    pub reason: String,
    /// Dotted path of the field.
    pub field: String,
    /// What is wrong, without the path.
    pub message: String,
}

impl Cause {
    fn new(reason: &str, field: &str, message: String) -> Self {
        Self {
            reason: reason.to_owned(),
            field: field.to_owned(),
            message,
        }
    }

    /// Whether a value is so far from its shape that rules in CEL are not asked about it.
    pub(crate) fn bars_expressions(&self) -> bool {
        matches!(
            self.reason.as_str(),
            "FieldValueRequired"
                | "FieldValueTypeInvalid"
                | "FieldValueTooLong"
                | "FieldValueTooMany"
        )
    }

    /// A field that must be set.
    pub fn required(field: &str, detail: &str) -> Self {
        Self::new(
            "FieldValueRequired",
            field,
            detailed("Required value", detail),
        )
    }

    /// A value that breaks a rule.
    pub fn invalid(field: &str, value: &Value, detail: &str) -> Self {
        let message = detailed(&format!("Invalid value: {}", show(value)), detail);
        Self::new("FieldValueInvalid", field, message)
    }

    /// A value of the wrong type.
    pub fn wrong_type(field: &str, value: &Value, detail: &str) -> Self {
        let message = detailed(&format!("Invalid value: {}", show(value)), detail);
        Self::new("FieldValueTypeInvalid", field, message)
    }

    /// A value outside an enumeration.
    pub fn unsupported<'a>(
        field: &str,
        value: &Value,
        supported: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let supported: Vec<String> = supported
            .into_iter()
            .map(|text| format!("\"{text}\""))
            .collect();
        let head = format!("Unsupported value: {}", show(value));
        let message = format!("{head}: supported values: {}", supported.join(", "));
        Self::new("FieldValueNotSupported", field, message)
    }

    /// A value that was there before.
    pub fn duplicate(field: &str, value: &Value) -> Self {
        Self::new(
            "FieldValueDuplicate",
            field,
            format!("Duplicate value: {}", show(value)),
        )
    }

    /// A name that names nothing.
    pub fn not_found(field: &str, value: &Value) -> Self {
        Self::new(
            "FieldValueNotFound",
            field,
            format!("Not found: {}", show(value)),
        )
    }

    /// A field that must not be set.
    pub fn forbidden(field: &str, detail: &str) -> Self {
        Self::new("FieldValueForbidden", field, detailed("Forbidden", detail))
    }

    /// A text longer than `most` bytes.
    pub fn too_long(field: &str, most: u64) -> Self {
        let unit = if most == 1 { "byte" } else { "bytes" };
        let message = format!("Too long: may not be more than {most} {unit}");
        Self::new("FieldValueTooLong", field, message)
    }

    /// A list or map with more than `most` entries.
    pub fn too_many(field: &str, found: usize, most: u64) -> Self {
        let unit = if most == 1 { "item" } else { "items" };
        let message = format!("Too many: {found}: must have at most {most} {unit}");
        Self::new("FieldValueTooMany", field, message)
    }
}

fn detailed(head: &str, detail: &str) -> String {
    if detail.is_empty() {
        head.to_owned()
    } else {
        format!("{head}: {detail}")
    }
}

/// A value as messages show it.
pub(super) fn show(value: &Value) -> String {
    value.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn messages_are_those_of_kubernetes() {
        assert_eq!(Cause::required("spec.x", "").message, "Required value");
        assert_eq!(
            Cause::unsupported("spec.x", &json!("c"), ["a", "b"]).message,
            "Unsupported value: \"c\": supported values: \"a\", \"b\""
        );
        assert_eq!(
            Cause::invalid("spec.x", &json!(5), "must be less than 3").message,
            "Invalid value: 5: must be less than 3"
        );
        assert_eq!(
            Cause::too_long("x", 63).message,
            "Too long: may not be more than 63 bytes"
        );
    }
}
