//! Checks an object against the schema of its kind before it is sent. Only what a person gets wrong
//! while typing is checked here (kinds, names, fields, types); values are the API's business, whose
//! answer is shown at the same places.

use serde_json::{Value, json};

use super::{
    document::Document,
    problem::Problem,
    yaml::{Data, Field, Node},
};

const PLATFORM_GROUP: &str = "openchoreo.dev";

/// Everything wrong with a document.
pub(crate) fn document(document: &Document) -> Vec<Problem> {
    let mut checker = Checker {
        document,
        problems: Vec::new(),
    };
    checker.object();
    checker.problems
}

struct Checker<'a> {
    document: &'a Document,
    problems: Vec<Problem>,
}

impl Checker<'_> {
    fn object(&mut self) {
        let document = self.document;
        let root = document.root();
        if !matches!(root.data, Data::Map(_)) {
            let message = format!("an object is expected, this is {}", root.kind());
            return self
                .problems
                .push(document.problem(root.span.clone(), message));
        }
        for required in ["apiVersion", "kind"] {
            if root.text(required).is_none_or(str::is_empty) {
                let message = format!("`{required}` is missing");
                self.problems.push(
                    document
                        .problem(document.start(), message)
                        .label("this object"),
                );
            }
        }
        let generated = root
            .field("metadata")
            .and_then(|field| field.value.text("generateName"));
        if document.name().is_empty() && generated.is_none() {
            let span = root
                .field("metadata")
                .map_or_else(|| document.start(), |field| field.span.clone());
            self.problems
                .push(document.problem(span, "`metadata.name` is missing"));
        }
        if let Some(metadata) = root.field("metadata") {
            self.value(&metadata.value, &metadata_schema(), "metadata");
        }
        if document.api_version().split('/').next() == Some(PLATFORM_GROUP) {
            self.platform_object();
        }
    }

    fn platform_object(&mut self) {
        let document = self.document;
        let Some(kind) = choreo_model::registry()
            .iter()
            .find(|kind| kind.kind == document.kind())
        else {
            return self.unknown_kind();
        };
        let version = document.api_version();
        if version != format!("{}/{}", kind.group, kind.version) {
            let span = document
                .root()
                .field("apiVersion")
                .map_or(0..0, |field| field.value.span.clone());
            let problem = document.problem(span, format!("there is no `{version}`"));
            self.problems
                .push(problem.hint(format!("write `{}/{}`", kind.group, kind.version)));
        }
        self.metadata();
        let schema = (kind.schema)();
        let Data::Map(fields) = &document.root().data else {
            return;
        };
        for field in fields {
            match field.name.as_str() {
                "apiVersion" | "kind" | "metadata" | "status" => {}
                name => match schema.pointer(&format!("/properties/{}", escape(name))) {
                    Some(inner) => self.value(&field.value, inner, name),
                    None => self.unknown_field(field, &schema, document.kind()),
                },
            }
        }
    }

    /// Names, labels and the like have a form of their own. That a name is missing was told.
    fn metadata(&mut self) {
        let document = self.document;
        for cause in choreo_apiserver::builtin::metadata(&document.object()) {
            if !cause.message.starts_with("Required") {
                let message = format!("{}: {}", cause.field, cause.message);
                self.problems
                    .push(document.problem_at(&cause.field, message));
            }
        }
    }

    fn unknown_kind(&mut self) {
        let document = self.document;
        let kinds = choreo_model::registry().iter().map(|kind| kind.kind);
        let problem = document.problem(
            document.start(),
            format!("unknown kind `{}`", document.kind()),
        );
        self.problems.push(match nearest(document.kind(), kinds) {
            Some(near) => problem.hint(format!("did you mean `{near}`?")),
            None => problem.hint("`choreo get` knows the kinds of the platform"),
        });
    }

    fn value(&mut self, node: &Node, schema: &Value, path: &str) {
        if node.data == Data::Null || schema["x-kubernetes-int-or-string"] == json!(true) {
            return;
        }
        match (schema["type"].as_str(), &node.data) {
            (Some("object"), Data::Map(fields)) => self.fields(fields, schema, path),
            (Some("array"), Data::List(items)) => {
                for (at, item) in items.iter().enumerate() {
                    self.value(item, &schema["items"], &format!("{path}[{at}]"));
                }
            }
            (Some("string"), Data::Text(text)) => self.choice(node, text, schema, path),
            (Some("boolean"), Data::Bool(_)) | (Some("number"), Data::Number(_)) | (None, _) => {}
            (Some("integer"), Data::Number(number)) if !number.is_f64() => {}
            (Some(wanted), _) => self.wrong_type(node, wanted, path),
        }
    }

    fn fields(&mut self, fields: &[Field], schema: &Value, path: &str) {
        let open = schema["x-kubernetes-preserve-unknown-fields"] == json!(true)
            || (schema["properties"].is_null() && schema["additionalProperties"].is_null());
        for field in fields {
            let inner = format!("{path}.{}", field.name);
            let known = schema.pointer(&format!("/properties/{}", escape(&field.name)));
            match known.or_else(|| schema.get("additionalProperties")) {
                Some(of @ Value::Object(_)) => self.value(&field.value, of, &inner),
                Some(Value::Bool(true)) => {}
                _ if open => {}
                _ => self.unknown_field(field, schema, path),
            }
        }
    }

    fn unknown_field(&mut self, field: &Field, schema: &Value, path: &str) {
        let names: Vec<&str> = schema["properties"]
            .as_object()
            .map(|properties| properties.keys().map(String::as_str).collect())
            .unwrap_or_default();
        let message = format!("unknown field `{}` in {path}", field.name);
        let problem = self.document.problem(field.span.clone(), message);
        self.problems
            .push(match nearest(&field.name, names.iter().copied()) {
                Some(near) => problem.hint(format!("did you mean `{near}`?")),
                None => problem.hint(format!("{path} has: {}", names.join(", "))),
            });
    }

    fn choice(&mut self, node: &Node, text: &str, schema: &Value, path: &str) {
        let Some(choices) = schema["enum"].as_array() else {
            return;
        };
        let choices: Vec<&str> = choices.iter().filter_map(Value::as_str).collect();
        if choices.contains(&text) {
            return;
        }
        let message = format!("`{text}` is no value of {path}");
        let problem = self.document.problem(node.span.clone(), message);
        self.problems
            .push(problem.hint(format!("one of: {}", choices.join(", "))));
    }

    fn wrong_type(&mut self, node: &Node, wanted: &str, path: &str) {
        let written = self.document.excerpt(node.span.clone()).trim();
        let message = format!("{path} must be {}, this is {}", words(wanted), node.kind());
        let problem = self.document.problem(node.span.clone(), message);
        self.problems.push(match &node.data {
            Data::Bool(_) if wanted == "string" && is_word_boolean(written) => problem.hint(format!(
                "YAML reads an unquoted {written} as true or false; write \"{written}\" in quotes"
            )),
            Data::Bool(_) | Data::Number(_) if wanted == "string" => {
                problem.hint(format!("write \"{written}\" in quotes"))
            }
            Data::Text(text) if wanted == "integer" && text.parse::<i64>().is_ok() => {
                problem.hint(format!("write {text} without quotes"))
            }
            Data::Null | Data::Bool(_) | Data::Number(_) | Data::Text(_) | Data::List(_) | Data::Map(_) => problem,
        });
    }
}

/// The words YAML 1.1 takes for booleans, and a person seldom means so.
fn is_word_boolean(written: &str) -> bool {
    matches!(
        written.to_ascii_lowercase().as_str(),
        "y" | "n" | "yes" | "no" | "on" | "off"
    )
}

fn words(kind: &str) -> &str {
    match kind {
        "string" => "text",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        "array" => "a list",
        _ => "an object",
    }
}

/// A name as part of a JSON pointer.
fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// What every object's metadata may say in a file.
fn metadata_schema() -> Value {
    let text = json!({"type": "string"});
    let texts = json!({"type": "object", "additionalProperties": text});
    json!({"type": "object", "properties": {
        "name": text, "generateName": text, "namespace": text, "labels": texts, "annotations": texts,
        "finalizers": {"type": "array", "items": text}, "ownerReferences": {"type": "array", "items": {}},
        "uid": text, "resourceVersion": text, "selfLink": text, "creationTimestamp": {},
        "generation": {"type": "integer"}, "managedFields": {},
        "deletionTimestamp": {}, "deletionGracePeriodSeconds": {"type": "integer"},
    }})
}

/// The closest of some names, if one is close enough to be meant.
pub(crate) fn nearest<'a>(written: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let written = written.to_ascii_lowercase();
    names
        .map(|name| (distance(&written, &name.to_ascii_lowercase()), name))
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// How many letters differ (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::manifest::yaml;

    fn check(text: &str) -> Vec<String> {
        let text: Arc<str> = text.into();
        yaml::read(&text)
            .unwrap()
            .into_iter()
            .flat_map(|root| document(&Document::new("f", &text, root)))
            .map(|problem| {
                let hint = miette::Diagnostic::help(&problem).map(|hint| format!(" ({hint})"));
                format!("{} {problem}{}", problem.place(), hint.unwrap_or_default())
            })
            .collect()
    }

    const HEAD: &str = "apiVersion: openchoreo.dev/v1alpha1\nkind: Component\nmetadata: {name: a}\nspec:\n  owner: {projectName: p}\n  componentType: {name: deployment/service}\n";

    #[test]
    fn good_objects_pass() {
        assert_eq!(check(HEAD), [""; 0]);
        assert_eq!(
            check("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\nanything: [1]\n"),
            [""; 0]
        );
    }

    #[test]
    fn unknown_kind_is_named_with_the_nearest() {
        let found =
            check("apiVersion: openchoreo.dev/v1alpha1\nkind: Componet\nmetadata: {name: a}\n");
        assert_eq!(
            found,
            ["f:2 unknown kind `Componet` (did you mean `Component`?)"]
        );
    }

    #[test]
    fn unknown_field_is_named_with_the_nearest() {
        let found = check(&format!("{HEAD}  autoDeplyo: true\n"));
        assert_eq!(
            found,
            ["f:7 unknown field `autoDeplyo` in spec (did you mean `autoDeploy`?)"]
        );
    }

    #[test]
    fn wrong_type_is_named() {
        let found = check(&format!("{HEAD}  autoDeploy: sometimes\n"));
        assert_eq!(
            found,
            ["f:7 spec.autoDeploy must be true or false, this is text"]
        );
    }

    #[test]
    fn unquoted_yes_and_no_are_explained() {
        let found =
            check("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, labels: {x: on}}\n");
        assert_eq!(
            found,
            [
                "f:3 metadata.labels.x must be text, this is a boolean (YAML reads an unquoted on as true or false; write \"on\" in quotes)"
            ]
        );
    }

    #[test]
    fn names_and_labels_have_a_form() {
        let head = HEAD.replace("{name: a}", "{name: My_Shop, labels: {a b: x}}");
        let found = check(&head);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("f:3 metadata.name: Invalid value: \"My_Shop\": a lowercase"));
        assert!(found[1].starts_with("f:3 metadata.labels: Invalid value: \"a b\""));
    }

    #[test]
    fn missing_identity_is_named() {
        let found = check("kind: Project\n");
        assert_eq!(
            found,
            [
                "f:1 `apiVersion` is missing",
                "f:1 `metadata.name` is missing"
            ]
        );
    }

    #[test]
    fn distances() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(
            nearest("componets", ["components", "projects"].into_iter()),
            Some("components")
        );
        assert_eq!(nearest("pods", ["components"].into_iter()), None);
    }
}
