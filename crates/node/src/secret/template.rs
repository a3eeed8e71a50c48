//! The part of Go's templates that templates of Secrets are written in: `{{ .key }}`,
//! `{{ index . "a-key" }}`, and functions after a `|`. Anything else is refused by name, so that no
//! Secret holds half of what was meant.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use k8s_openapi::ByteString;

/// Fills in a template. Messages name keys, never values.
pub(super) fn fill(text: &str, values: &BTreeMap<String, ByteString>) -> Result<String, String> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (action, after) = after
            .split_once("}}")
            .ok_or("a `{{` is not closed by `}}`")?;
        let (before, action) = match action.strip_prefix("- ") {
            Some(action) => (before.trim_end(), action),
            None => (before, action),
        };
        let (action, after) = match action.strip_suffix(" -") {
            Some(action) => (action, after.trim_start()),
            None => (action, after),
        };
        filled.push_str(before);
        filled.push_str(&evaluate(action, values)?);
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

fn evaluate(action: &str, values: &BTreeMap<String, ByteString>) -> Result<String, String> {
    let mut steps = action.split('|').map(str::trim);
    let first = steps.next().unwrap_or_default();
    let mut value = look_up(first, values)?;
    for function in steps {
        value = apply(function, &value)?;
    }
    Ok(value)
}

fn look_up(operand: &str, values: &BTreeMap<String, ByteString>) -> Result<String, String> {
    let key = key(operand).ok_or_else(|| {
        format!("`{operand}` is not understood, only `.key` and `index . \"key\"` are")
    })?;
    let value = values
        .get(key)
        .ok_or_else(|| format!("there is no value {key:?}"))?;
    let text = std::str::from_utf8(&value.0).map_err(|_| format!("value {key:?} is not text"))?;
    Ok(text.to_owned())
}

fn key(operand: &str) -> Option<&str> {
    let named = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if let Some(quoted) = operand.strip_prefix("index . ") {
        return quoted.trim().strip_prefix('"')?.strip_suffix('"');
    }
    operand
        .strip_prefix('.')
        .filter(|key| !key.is_empty() && key.chars().all(named))
}

fn apply(function: &str, value: &str) -> Result<String, String> {
    Ok(match function {
        "b64enc" => STANDARD.encode(value),
        "b64dec" => STANDARD
            .decode(value)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or("b64dec: the value is not text in base64")?,
        "quote" => serde_json::Value::from(value).to_string(),
        "toString" => value.to_owned(),
        "trim" => value.trim().to_owned(),
        "upper" => value.to_uppercase(),
        "lower" => value.to_lowercase(),
        other => {
            return Err(format!(
                "the function `{other}` is not served by the embedded home"
            ));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<String, String> {
        let values = [("password", "geheim"), ("a-b", "c")];
        let values = values.map(|(k, v)| (k.to_owned(), ByteString(v.as_bytes().to_vec())));
        fill(text, &BTreeMap::from(values))
    }

    #[test]
    fn values_stand_where_the_template_names_them() {
        for (text, expected) in [
            ("plain", "plain"),
            ("{{ .password }}", "geheim"),
            ("{{.password}}", "geheim"),
            (
                "u:{{ .password }}@h {{ .password | b64enc }}",
                "u:geheim@h Z2VoZWlt",
            ),
            ("{{ index . \"a-b\" | upper }}", "C"),
            ("a {{- .password -}} b", "ageheimb"),
        ] {
            assert_eq!(check(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_not_understood_is_named_without_a_value() {
        for (text, named) in [
            ("{{ .other }}", "\"other\""),
            ("{{ .password", "not closed"),
            ("{{ .password | sha256sum }}", "sha256sum"),
            ("{{ range . }}", "range"),
            ("{{ .password | b64dec }}", "b64dec"),
        ] {
            let message = check(text).unwrap_err();
            assert!(message.contains(named), "{message}");
            assert!(!message.contains("geheim"), "{message}");
        }
    }
}
