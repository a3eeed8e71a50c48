//! One object of a file, with its place.

use std::{ops::Range, sync::Arc};

use serde_json::Value;

use super::{
    problem::Problem,
    yaml::{Data, Node},
};

/// One object of a file.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    /// Name of the file, as the user said it.
    pub(crate) file: String,
    text: Arc<str>,
    root: Node,
}

impl Document {
    /// An object at `root` of a file's text.
    pub(crate) fn new(file: &str, text: &Arc<str>, root: Node) -> Self {
        Self {
            file: file.to_owned(),
            text: Arc::clone(text),
            root,
        }
    }

    /// The tree with positions.
    pub(crate) fn root(&self) -> &Node {
        &self.root
    }

    /// `apiVersion`.
    pub(crate) fn api_version(&self) -> &str {
        self.root.text("apiVersion").unwrap_or_default()
    }

    /// `kind`.
    pub(crate) fn kind(&self) -> &str {
        self.root.text("kind").unwrap_or_default()
    }

    /// `metadata.name`.
    pub(crate) fn name(&self) -> &str {
        self.metadata("name").unwrap_or_default()
    }

    /// `metadata.namespace`.
    pub(crate) fn namespace(&self) -> Option<&str> {
        self.metadata("namespace")
    }

    fn metadata(&self, name: &str) -> Option<&str> {
        self.root.field("metadata")?.value.text(name)
    }

    /// The object as JSON.
    pub(crate) fn object(&self) -> Value {
        self.root.to_json()
    }

    /// What stands at a span.
    pub(crate) fn excerpt(&self, span: Range<usize>) -> &str {
        self.text.get(span).unwrap_or_default()
    }

    /// A problem at a place of this document.
    pub(crate) fn problem(&self, span: Range<usize>, message: impl Into<String>) -> Problem {
        Problem::new(&self.file, &self.text, span, message)
    }

    /// A problem the API named by field, as `spec.endpoints[http].port`: shown at the deepest part of
    /// the path that the file has.
    pub(crate) fn problem_at(&self, field: &str, message: impl Into<String>) -> Problem {
        let span = find(&self.root, field).unwrap_or_else(|| self.start());
        self.problem(span, message).label(if field.is_empty() {
            "this object"
        } else {
            field
        })
    }

    /// Where the object begins: its kind if it has one.
    pub(crate) fn start(&self) -> Range<usize> {
        let fields = if let Data::Map(fields) = &self.root.data {
            &fields[..]
        } else {
            &[]
        };
        let first = fields.first().map(|field| field.span.clone());
        self.root
            .field("kind")
            .map(|field| field.value.span.clone())
            .or(first)
            .unwrap_or_else(|| self.root.span.clone())
    }
}

/// The span of the deepest part of `path` that exists.
fn find(root: &Node, path: &str) -> Option<Range<usize>> {
    let mut node = root;
    let mut span = None;
    for part in path
        .split(['.', '[', ']', '/'])
        .filter(|part| !part.is_empty())
    {
        let part = part.trim_matches(['"', '\'']);
        match &node.data {
            Data::Map(_) => {
                let Some(field) = node.field(part) else { break };
                span = Some(field.span.clone());
                node = &field.value;
            }
            Data::List(items) => {
                let Some(item) = part.parse().ok().and_then(|at: usize| items.get(at)) else {
                    break;
                };
                span = Some(item.span.clone());
                node = item;
            }
            Data::Null | Data::Bool(_) | Data::Number(_) | Data::Text(_) => break,
        }
    }
    span
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::yaml;

    #[test]
    fn fields_named_by_the_api_are_found() {
        let text: Arc<str> = "kind: Workload\nspec:\n  env:\n  - key: A\n  - key: B\n  endpoints:\n    http: {port: 0}\n".into();
        let root = yaml::read(&text).unwrap().remove(0);
        let document = Document::new("w.yaml", &text, root);
        assert_eq!(
            document.problem_at("spec.env[1].key", "").place(),
            "w.yaml:5"
        );
        assert_eq!(
            document.problem_at("spec.endpoints[http].port", "").place(),
            "w.yaml:7"
        );
        assert_eq!(
            document.problem_at("spec.container.image", "").place(),
            "w.yaml:2"
        );
        assert_eq!(document.problem_at("", "").place(), "w.yaml:1");
    }
}
