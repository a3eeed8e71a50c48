//! Label and field selectors of lists and watches.

use std::borrow::Cow;

use serde_json::Value;

use crate::{
    head::LabelValue,
    object::{Stored, at, metadata},
    resource::Resource,
    status::{Failure, Result},
};

/// Which objects a list or watch is about.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selector {
    labels: Vec<Label>,
    fields: Vec<Field>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Label {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Absent(String),
    Greater(String, i64),
    Less(String, i64),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Field {
    path: String,
    value: String,
    equal: bool,
}

/// Events are kept in the form of the core group, whatever group they are asked in.
fn stored_name<'a>(resource: &Resource, text: &'a str) -> Cow<'a, str> {
    let renamed = [
        ("regarding.", "involvedObject."),
        ("reportingController", "reportingComponent"),
    ];
    let mut renamed = renamed.into_iter().filter_map(|(theirs, ours)| {
        let rest = text.strip_prefix(theirs)?;
        Some(format!("{ours}{rest}"))
    });
    match renamed.next() {
        Some(kept) if resource.group == "events.k8s.io" => Cow::Owned(kept),
        _ => Cow::Borrowed(text),
    }
}

impl Selector {
    /// A selector of labels as objects hold it; nothing if it cannot be read.
    pub(crate) fn of_labels(selector: &Value) -> Option<Self> {
        let text = text(selector);
        let labels = split(&text).into_iter().map(|one| label(one.trim()));
        Some(Self {
            labels: labels.collect::<Option<_>>()?,
            fields: Vec::new(),
        })
    }

    /// The name that objects must have, if this selects by name alone.
    pub(crate) fn name_in(fields: &str) -> Option<&str> {
        fields.split(',').find_map(|one| {
            let value = one.strip_prefix("metadata.name=")?;
            Some(value.strip_prefix('=').unwrap_or(value))
        })
    }

    /// Reads the query parameters.
    pub(crate) fn parse(resource: &Resource, labels: &str, fields: &str) -> Result<Self> {
        let labels = split(labels)
            .into_iter()
            .map(|text| label(text.trim()))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| {
                Failure::bad_request(format!(
                    "unable to parse requirement: {labels:?} is not a label selector"
                ))
            })?;
        let fields = fields
            .split(',')
            .filter(|text| !text.is_empty())
            .map(|text| field(resource, &stored_name(resource, text)))
            .collect::<Result<_>>()?;
        Ok(Self { labels, fields })
    }

    /// Whether everything matches.
    pub(crate) fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// Whether the object matches.
    pub(crate) fn matches(&self, object: &Stored) -> Result<bool> {
        Ok(self.labels_match(object)? && self.fields_match(object)?)
    }

    /// Whether the labels of an object are those asked for.
    pub(crate) fn labels_match(&self, object: &Stored) -> Result<bool> {
        for label in &self.labels {
            if !label.matches(object)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn fields_match(&self, object: &Stored) -> Result<bool> {
        let (deep, plain): (Vec<_>, Vec<_>) = self
            .fields
            .iter()
            .partition(|field| field.plain(object).is_none());
        let plain_match = plain.iter().all(|field| {
            field
                .plain(object)
                .is_some_and(|found| (found == field.value) == field.equal)
        });
        if !plain_match || deep.is_empty() {
            return Ok(plain_match);
        }
        // Only these need the tree.
        let tree = object.value()?;
        let mut deep = deep.iter();
        Ok(deep.all(|field| (text_at(&tree, &field.path) == field.value) == field.equal))
    }
}

impl Field {
    fn plain<'a>(&self, object: &'a Stored) -> Option<&'a str> {
        match self.path.as_str() {
            "metadata.name" => Some(&object.name().name),
            "metadata.namespace" => Some(&object.name().namespace),
            _ => None,
        }
    }
}

fn text_at(tree: &Value, path: &str) -> String {
    match at(tree, path) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Bool(flag)) => flag.to_string(),
        // The source of an event is the program that reports it.
        Some(Value::Object(_)) | None if path == "source" => {
            let text = |path| at(tree, path).and_then(Value::as_str).unwrap_or_default();
            let old = text("source.component");
            let told = if old.is_empty() {
                text("reportingComponent")
            } else {
                old
            };
            told.to_owned()
        }
        // A boolean that is left out means false (`spec.unschedulable=false`).
        Some(Value::Null) | None if path == "spec.unschedulable" => "false".into(),
        _ => String::new(),
    }
}

impl Label {
    fn matches(&self, object: &Stored) -> Result<bool> {
        let get = |key: &str| object.head.label(key);
        let is = |found: LabelValue, value: &String| found == LabelValue::new(value);
        Ok(match self {
            Self::In(key, values) => {
                get(key).is_some_and(|found| values.iter().any(|value| is(found, value)))
            }
            Self::NotIn(key, values) => {
                get(key).is_none_or(|found| !values.iter().any(|value| is(found, value)))
            }
            Self::Exists(key) => get(key).is_some(),
            Self::Absent(key) => get(key).is_none(),
            Self::Greater(key, bound) => number(object, key)?.is_some_and(|found| found > *bound),
            Self::Less(key, bound) => number(object, key)?.is_some_and(|found| found < *bound),
        })
    }
}

/// The value of a label as a number, for which the text is read.
fn number(object: &Stored, key: &str) -> Result<Option<i64>> {
    if object.head.label(key).is_none() {
        return Ok(None);
    }
    let tree = object.value()?;
    let value = metadata(&tree)
        .get("labels")
        .and_then(|all| all.get(key)?.as_str());
    Ok(value.and_then(|value| value.parse().ok()))
}

/// A selector as text, whether it is kept as text, as labels or as a label selector.
pub(crate) fn text(selector: &Value) -> String {
    if let Value::String(text) = selector {
        return text.clone();
    }
    let labels = selector.get("matchLabels").unwrap_or(selector).as_object();
    let pairs = labels.into_iter().flatten();
    let pairs = pairs.filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?)));
    let expressions = selector.get("matchExpressions").and_then(Value::as_array);
    let expressions = expressions.into_iter().flatten().map(expression_text);
    pairs.chain(expressions).collect::<Vec<_>>().join(",")
}

fn expression_text(expression: &Value) -> String {
    let text = |key: &str| expression[key].as_str().unwrap_or_default();
    let values = expression["values"].as_array().into_iter().flatten();
    let mut values: Vec<&str> = values.filter_map(Value::as_str).collect();
    values.sort_unstable();
    let (key, values) = (text("key"), values.join(","));
    match text("operator") {
        "In" => format!("{key} in ({values})"),
        "NotIn" => format!("{key} notin ({values})"),
        "DoesNotExist" => format!("!{key}"),
        _ => key.to_owned(),
    }
}

/// Splits at commas outside parentheses.
fn split(text: &str) -> Vec<&str> {
    let mut depth = 0_i32;
    text.split(|c| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == ',' && depth == 0
    })
    .filter(|part| !part.trim().is_empty())
    .collect()
}

fn label(text: &str) -> Option<Label> {
    if let Some(key) = text.strip_prefix('!') {
        return key_name(key).map(Label::Absent);
    }
    for (sign, make) in [
        ("!=", Label::NotIn as fn(String, Vec<String>) -> Label),
        ("==", Label::In),
        ("=", Label::In),
    ] {
        if let Some((key, value)) = text.split_once(sign) {
            return Some(make(key_name(key)?, vec![label_value(value)?]));
        }
    }
    if let Some((key, bound)) = text.split_once('>') {
        return Some(Label::Greater(key_name(key)?, bound.trim().parse().ok()?));
    }
    if let Some((key, bound)) = text.split_once('<') {
        return Some(Label::Less(key_name(key)?, bound.trim().parse().ok()?));
    }
    set(text)
}

/// `key in (a, b)`, `key notin (a)` or just `key`.
fn set(text: &str) -> Option<Label> {
    let Some((before, rest)) = text.split_once('(') else {
        return key_name(text).map(Label::Exists);
    };
    let values: Option<Vec<_>> = rest
        .strip_suffix(')')?
        .split(',')
        .map(label_value)
        .collect();
    let (key, word) = before.trim().rsplit_once(char::is_whitespace)?;
    match word {
        "in" => Some(Label::In(key_name(key)?, values?)),
        "notin" => Some(Label::NotIn(key_name(key)?, values?)),
        _ => None,
    }
}

fn key_name(text: &str) -> Option<String> {
    let text = text.trim();
    let good = !text.is_empty() && text.chars().all(|c| plain(c) || c == '/');
    good.then(|| text.to_owned())
}

fn label_value(text: &str) -> Option<String> {
    let text = text.trim();
    text.chars().all(plain).then(|| text.to_owned())
}

fn plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

fn field(resource: &Resource, text: &str) -> Result<Field> {
    let (path, value, equal) = if let Some((path, value)) = text.split_once("!=") {
        (path, value, false)
    } else if let Some((path, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        (path, value, true)
    } else {
        let why = format!("invalid selector: '{text}'; can't understand '{text}'");
        return Err(Failure::bad_request(why));
    };
    let known = matches!(path, "metadata.name" | "metadata.namespace")
        || resource
            .selectable
            .iter()
            .any(|known| known.trim_start_matches('.') == path);
    if !known {
        return Err(Failure::bad_request(format!(
            "field label not supported: {path}"
        )));
    }
    Ok(Field {
        path: path.to_owned(),
        value: unescape(value),
        equal,
    })
}

/// Field selectors escape `\`, `,` and `=` with a backslash.
fn unescape(value: &str) -> String {
    let mut escaped = false;
    value
        .chars()
        .filter(|&c| {
            let keep = escaped || c != '\\';
            escaped = !keep;
            keep
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn labels_are_selected_by_key_and_value() {
        let labels = json!({"app": "web", "tier": "front", "weight": "7"});
        let object = json!({"apiVersion": "v1", "metadata": {"name": "a", "labels": labels}});
        let object = Stored::parse(1, object.to_string().into()).unwrap();
        let chosen = |text: &str| {
            let selector = Selector::of_labels(&json!(text)).unwrap();
            selector.labels_match(&object).unwrap()
        };
        let matching = [
            "app=web",
            "app==web,tier",
            "app!=api",
            "app in (api, web)",
            "app notin (api)",
            "other notin (web)",
            "other!=web",
            "!other",
            "weight>6",
            "weight<8",
            "",
        ];
        let different = [
            "app=api",
            "app=web,!tier",
            "app!=web",
            "app in (api)",
            "app notin (api, web)",
            "other",
            "other=web",
            "weight>7",
            "weight<7",
            "app>1",
            "other<1",
        ];
        assert_eq!(matching.into_iter().find(|text| !chosen(text)), None);
        assert_eq!(different.into_iter().find(|text| chosen(text)), None);
    }
}
