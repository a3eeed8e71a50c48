//! What the compiler has to say about its input, in words a person can act on.

use choreo_template::Fault;
use std::fmt::{self, Write as _};
use std::ops::Range;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing is rendered.
    Error,
    /// Rendered, but probably not what was meant.
    Warning,
}

/// What kind of problem it is; stable, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Code {
    /// A type's schema cannot be used.
    Schema,
    /// Parameters or environment configs do not satisfy their schema.
    Parameters,
    /// An expression does not parse or fails.
    Expression,
    /// A validation rule of a type or trait says no.
    Validation,
    /// A patch does not fit what it is applied to.
    Patch,
    /// A rendered object is no Kubernetes object.
    Object,
    /// An object that another one names is missing, or may not be used there.
    Reference,
    /// A manifest does not have the form of its kind.
    Manifest,
    /// A connection will not carry traffic.
    Connection,
    /// A trait is used that the release does not hold.
    Trait,
    /// A secret reference, or a key of one, is missing.
    SecretReference,
    /// A project's type makes no namespace for its cell.
    NamespaceMissing,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What kind of problem it is.
    pub code: Code,
    /// What is wrong.
    pub message: String,
    /// The object that has to change, as `Kind/name`.
    pub object: String,
    /// The field of that object, as in `spec.resources[2].template.metadata.name`.
    pub field: String,
    /// Bytes of the field's text the finding is about, for expressions.
    pub range: Option<Range<usize>>,
    /// What could be done about it.
    pub hint: Option<String>,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.object)?;
        if !self.field.is_empty() {
            write!(f, " {}", self.field)?;
        }
        write!(f, ": {}", self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl Diagnostic {
    /// An error about `field` of `object`.
    pub fn error(
        code: Code,
        object: impl Into<String>,
        field: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Error,
            code,
            message: message.into(),
            object: object.into(),
            field: field.into(),
            range: None,
            hint: None,
        }
    }

    /// The same as a warning.
    #[must_use]
    pub fn into_warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// The same with a hint.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A failed expression of `object`.
    pub(crate) fn of_fault(object: &str, fault: Fault) -> Self {
        Self {
            severity: Severity::Error,
            code: Code::Expression,
            message: format!("{} in ${{{}}}", fault.message, fault.expression),
            object: object.to_owned(),
            field: dotted(&fault.path),
            range: Some(fault.range),
            hint: fault.hint,
        }
    }
}

/// The errors among `diagnostics`, for a condition.
pub fn summary(diagnostics: &[Diagnostic]) -> String {
    let errors = diagnostics
        .iter()
        .filter(|one| one.severity == Severity::Error);
    let messages: Vec<String> = errors.map(ToString::to_string).collect();
    messages.join("; ")
}

/// A JSON pointer the way people write field paths.
pub fn dotted(pointer: &str) -> String {
    // Writing to a string cannot fail.
    let mut path = String::new();
    for segment in pointer.split('/').skip(1) {
        let segment = segment.replace("~1", "/").replace("~0", "~");
        if !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit()) {
            let _ = write!(path, "[{segment}]");
        } else if segment.contains(['.', '/', '$', ' ']) {
            let _ = write!(path, "[{segment:?}]");
        } else {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(&segment);
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_read_as_fields() {
        assert_eq!(
            dotted("/spec/resources/2/template"),
            "spec.resources[2].template"
        );
        assert_eq!(
            dotted("/metadata/labels/a.b~1c"),
            "metadata.labels[\"a.b/c\"]"
        );
        assert_eq!(dotted(""), "");
    }
}
