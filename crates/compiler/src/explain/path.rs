//! Field paths the way people write them.

use crate::diagnostic::dotted;
use crate::origin::join;
use choreo_template::Tree;

/// Where a path that leads nowhere ends.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no {wanted} in {within}; there is: {there}")]
pub struct Missing {
    /// The part that is not there.
    pub wanted: String,
    /// The last part that is.
    pub within: String,
    /// What that holds.
    pub there: String,
    /// The fields whose last part is the part that is not there: what may be meant.
    pub elsewhere: Vec<String>,
}

/// The JSON pointer into `object` that `path` means: `.spec.containers[0].image`,
/// `containers[name=main]`, `labels["a.b/c"]`, and keys with dots without quotes too.
pub fn locate(object: &Tree, path: &str) -> Result<String, Missing> {
    let mut segments = segments(path).into_iter().peekable();
    let (mut value, mut pointer) = (object, String::new());
    while let Some(mut segment) = segments.next() {
        loop {
            if let Some((name, inner)) = child(value, &segment) {
                pointer = join(&pointer, &name);
                value = inner;
                break;
            }
            // A key may have dots of its own.
            match segments.peek() {
                Some(next) if value.is_object() => segment = format!("{segment}.{next}"),
                _ => return Err(missing(object, (value, &pointer), &segment)),
            }
            segments.next();
        }
    }
    Ok(pointer)
}

fn child<'v>(value: &'v Tree, segment: &str) -> Option<(String, &'v Tree)> {
    match value {
        Tree::Object(fields) => Some((segment.to_owned(), fields.get(segment)?)),
        Tree::Array(items) => {
            let index = match segment.split_once('=') {
                Some((key, wanted)) => items
                    .iter()
                    .position(|item| item.get(key).is_some_and(|found| is(found, wanted)))?,
                None => segment.parse().ok()?,
            };
            Some((index.to_string(), items.get(index)?))
        }
        Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::String(_) => None,
    }
}

fn is(found: &Tree, wanted: &str) -> bool {
    found.as_str().map_or_else(
        || found.to_string().as_str() == wanted,
        |text| text == wanted,
    )
}

fn missing(object: &Tree, (value, pointer): (&Tree, &str), segment: &str) -> Missing {
    let there = match value {
        Tree::Object(fields) => fields.keys().collect::<Vec<_>>().join(", "),
        Tree::Array(items) => format!("a list of {}", items.len()),
        Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::String(_) => value.to_string(),
    };
    let within = dotted(pointer);
    let mut elsewhere = Vec::new();
    called(object, segment, "", &mut elsewhere);
    Missing {
        wanted: segment.to_owned(),
        within: if within.is_empty() {
            "the object".to_owned()
        } else {
            within
        },
        there,
        elsewhere: elsewhere.iter().map(|pointer| dotted(pointer)).collect(),
    }
}

/// The pointers to every field below `pointer` that is called `wanted`.
fn called(value: &Tree, wanted: &str, pointer: &str, found: &mut Vec<String>) {
    match value {
        Tree::Object(fields) => {
            for (name, inner) in fields.iter() {
                let pointer = join(pointer, name);
                if name.as_ref() == wanted {
                    found.push(pointer.clone());
                }
                called(inner, wanted, &pointer, found);
            }
        }
        Tree::Array(items) => {
            for (index, inner) in items.iter().enumerate() {
                called(inner, wanted, &format!("{pointer}/{index}"), found);
            }
        }
        Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::String(_) => {}
    }
}

/// The parts of a path: dots and brackets separate them, quotes keep them together.
fn segments(path: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut segment = String::new();
    let mut quote = None;
    let mut inside = false;
    for character in path.chars() {
        match (quote, character) {
            (Some(open), _) if character == open => quote = None,
            (None, '"' | '\'') => quote = Some(character),
            (None, '[') => {
                found.push(std::mem::take(&mut segment));
                inside = true;
            }
            (None, ']') => {
                found.push(std::mem::take(&mut segment));
                inside = false;
            }
            (None, '.') if !inside => found.push(std::mem::take(&mut segment)),
            (Some(_) | None, _) => segment.push(character),
        }
    }
    found.push(segment);
    found.retain(|segment| !segment.is_empty());
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use choreo_template::tree;

    #[track_caller]
    fn check(path: &str, expected: &str) {
        let object = tree!({
            "metadata": {"labels": {"a.b/c": "x"}},
            "spec": {"containers": [{"name": "main"}, {"name": "other", "image": "i"}]},
        });
        let found = locate(&object, path).unwrap_or_else(|missing| missing.to_string());
        assert_eq!(found, expected);
    }

    #[test]
    fn paths_lead_where_people_mean() {
        check(".spec.containers[1].image", "/spec/containers/1/image");
        check("spec.containers.1.image", "/spec/containers/1/image");
        check(
            "spec.containers[name=other].image",
            "/spec/containers/1/image",
        );
        check("metadata.labels[\"a.b/c\"]", "/metadata/labels/a.b~1c");
        check("metadata.labels['a.b/c']", "/metadata/labels/a.b~1c");
        check("metadata.labels.a.b/c", "/metadata/labels/a.b~1c");
        check(".", "");
    }

    #[test]
    fn fields_of_that_name_elsewhere_are_told() {
        let object = tree!({"spec": {"template": {"containers": [{"image": "i"}]}}});
        let missing = locate(&object, "spec.image").expect_err("a wrong path");
        assert_eq!(missing.elsewhere, ["spec.template.containers[0].image"]);
    }

    #[test]
    fn what_is_there_instead_is_told() {
        check(
            ".spec.replicas",
            "there is no replicas in spec; there is: containers",
        );
        check(
            "spec.containers[7]",
            "there is no 7 in spec.containers; there is: a list of 2",
        );
    }
}
