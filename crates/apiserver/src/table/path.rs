//! The JSON paths of columns: members, indices, wildcards and equality filters.

use serde_json::Value;

/// One step of a path.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    /// `.name` or `['name']`.
    Key(String),
    /// `[2]`, or from the end `[-1]`.
    Index(i64),
    /// `[*]` or `.*`.
    All,
    /// `[?(@.type=="Ready")]`.
    Filter {
        path: Vec<Self>,
        equal: bool,
        value: Option<Value>,
    },
}

/// A parsed path.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Path {
    steps: Vec<Step>,
}

impl Path {
    /// Parses `.spec.list[*].name`; nothing if it is not such a path.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text
            .strip_prefix('{')
            .and_then(|text| text.strip_suffix('}'))
            .unwrap_or(text);
        let text = text.strip_prefix('$').unwrap_or(text);
        steps(text).map(|steps| Self { steps })
    }

    /// Every value of `object` at this path.
    pub(crate) fn find<'a>(&self, object: &'a Value) -> Vec<&'a Value> {
        walk(&self.steps, object)
    }
}

fn walk<'a>(steps: &[Step], start: &'a Value) -> Vec<&'a Value> {
    let mut found = vec![start];
    for step in steps {
        found = found
            .into_iter()
            .flat_map(|value| take(step, value))
            .collect();
    }
    found
}

fn take<'a>(step: &Step, value: &'a Value) -> Vec<&'a Value> {
    match (step, value) {
        (Step::Key(key), Value::Object(members)) => members.get(key).into_iter().collect(),
        (Step::Index(index), Value::Array(items)) => {
            let from_end = items
                .len()
                .checked_sub(index.unsigned_abs().try_into().unwrap_or(usize::MAX));
            let position = usize::try_from(*index).ok().or(from_end);
            position
                .and_then(|position| items.get(position))
                .into_iter()
                .collect()
        }
        (Step::All, Value::Array(items)) => items.iter().collect(),
        (Step::All, Value::Object(members)) => members.values().collect(),
        (
            Step::Filter {
                path,
                equal,
                value: wanted,
            },
            Value::Array(items),
        ) => items
            .iter()
            .filter(|item| holds(path, *equal, wanted.as_ref(), item))
            .collect(),
        _ => Vec::new(),
    }
}

fn holds(path: &[Step], equal: bool, wanted: Option<&Value>, item: &Value) -> bool {
    let found = walk(path, item);
    match wanted {
        None => !found.is_empty(),
        Some(wanted) => found
            .first()
            .is_some_and(|found| (*found == wanted) == equal),
    }
}

fn steps(mut text: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    while !text.is_empty() {
        if let Some(rest) = text.strip_prefix('[') {
            let end = closing(rest)?;
            steps.push(bracket(&rest[..end])?);
            text = &rest[end + 1..];
            continue;
        }
        let rest = text.strip_prefix('.')?;
        if rest.starts_with('[') || rest.is_empty() {
            text = rest;
            continue;
        }
        let (name, left) = name(rest);
        if name.is_empty() {
            return None;
        }
        steps.push(if name == "*" {
            Step::All
        } else {
            Step::Key(name)
        });
        text = left;
    }
    Some(steps)
}

/// A member's name, in which `\.` is a dot.
fn name(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut escaped = false;
    for (position, character) in text.char_indices() {
        match character {
            '\\' if !escaped => escaped = true,
            '.' | '[' if !escaped => return (name, &text[position..]),
            other => {
                name.push(other);
                escaped = false;
            }
        }
    }
    (name, "")
}

/// Where the bracket that is open closes, quotes respected.
fn closing(text: &str) -> Option<usize> {
    let mut quote = None;
    let mut depth = 0_usize;
    for (position, character) in text.char_indices() {
        match (quote, character) {
            (Some(open), found) if open == found => quote = None,
            (None, '\'' | '"') => quote = Some(character),
            (None, '[') => depth += 1,
            (None, ']') if depth == 0 => return Some(position),
            (None, ']') => depth -= 1,
            (None | Some(_), _) => {}
        }
    }
    None
}

fn bracket(text: &str) -> Option<Step> {
    let text = text.trim();
    if text == "*" {
        return Some(Step::All);
    }
    if let Some(name) = quoted(text) {
        return Some(Step::Key(name.to_owned()));
    }
    if let Some(filter) = text
        .strip_prefix("?(")
        .and_then(|text| text.strip_suffix(')'))
    {
        return self::filter(filter.trim());
    }
    text.parse().ok().map(Step::Index)
}

fn filter(text: &str) -> Option<Step> {
    let text = text.strip_prefix('@')?;
    for (operator, equal) in [("==", true), ("!=", false)] {
        if let Some((path, value)) = text.split_once(operator) {
            let value = value.trim();
            let value = match quoted(value) {
                Some(text) => Value::from(text),
                None => serde_json::from_str(value).ok()?,
            };
            return Some(Step::Filter {
                path: steps(path.trim())?,
                equal,
                value: Some(value),
            });
        }
    }
    Some(Step::Filter {
        path: steps(text.trim())?,
        equal: true,
        value: None,
    })
}

fn quoted(text: &str) -> Option<&str> {
    ['\'', '"']
        .iter()
        .find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn check(path: &str, wanted: &[Value]) {
        let object = json!({
            "metadata": {"labels": {"app.example/name": "x", "a": "b"}},
            "spec": {"list": [{"n": 1, "t": "A"}, {"n": 2, "t": "B"}]},
            "status": {"conditions": [
                {"type": "Ready", "status": "True"}, {"type": "Done", "status": "False"}]},
        });
        let found = Path::parse(path).unwrap();
        let found: Vec<Value> = found.find(&object).into_iter().cloned().collect();
        assert_eq!(found, wanted, "{path}");
    }

    #[test]
    fn paths_find_values() {
        check(".spec.list[0].n", &[json!(1)]);
        check(".spec.list[-1].n", &[json!(2)]);
        check(".spec.list[9].n", &[]);
        check("{.spec.list[*].n}", &[json!(1), json!(2)]);
        check(".metadata.labels['app.example/name']", &[json!("x")]);
        check(".metadata.labels.app\\.example/name", &[json!("x")]);
        check(
            ".status.conditions[?(@.type==\"Ready\")].status",
            &[json!("True")],
        );
        check(
            ".status.conditions[?(@.type=='Done')].status",
            &[json!("False")],
        );
        check(".spec.list[?(@.n!=1)].t", &[json!("B")]);
        check(".spec.list[?(@.n)].t", &[json!("A"), json!("B")]);
        check(".spec.missing.n", &[]);
    }

    #[test]
    fn other_texts_are_no_paths() {
        for text in ["spec", ".a[", ".a[x]", ".a..b", ".a[?(b)]"] {
            assert_eq!(Path::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_fails_badly(text in "[.a\\[\\]?(@)='\"\\\\*0-9-]{0,20}") {
            if let Some(path) = Path::parse(&text) {
                path.find(&json!({"a": [{"a": 1}]}));
            }
        }
    }
}
