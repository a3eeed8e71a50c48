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
    /// A configuration group, a key of one or its value is missing, or its files cannot be put where
    /// they are wanted.
    ConfigurationGroup,
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
    /// The expression the finding is about.
    pub excerpt: Option<Excerpt>,
    /// What could be done about it.
    pub hint: Option<String>,
}

/// An expression, and the part of it that a finding is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    /// The expression, without `${` and `}`.
    pub expression: String,
    /// Bytes of the expression.
    pub part: Range<usize>,
}

impl Excerpt {
    /// The line of the expression that the part starts in, with the part underlined.
    pub fn underlined(&self) -> String {
        let text = format!("${{{}}}", self.expression);
        underlined(&text, self.part.start + 2..self.part.end + 2)
    }
}

/// The line of `text` that `part` starts in, and a line that underlines it.
pub(crate) fn underlined(text: &str, part: Range<usize>) -> String {
    let start = part.start.min(text.len());
    let before = text.get(..start).unwrap_or_default();
    let from = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = text
        .get(from..)
        .and_then(|rest| rest.lines().next())
        .unwrap_or_default();
    let indent = text.get(from..start).unwrap_or_default().chars().count();
    let end = part.end.min(from + line.len());
    let width = text
        .get(start..end)
        .map_or(1, |marked| marked.chars().count());
    format!("{line}\n{}{}", " ".repeat(indent), "^".repeat(width.max(1)))
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.object)?;
        if !self.field.is_empty() {
            write!(f, " {}", self.field)?;
        }
        write!(f, ": {}", self.message)?;
        if let Some(excerpt) = &self.excerpt {
            write!(f, " in ${{{}}}", excerpt.expression)?;
        }
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
            excerpt: None,
            hint: None,
        }
    }

    /// Whether nothing can be rendered because of it.
    pub const fn is_error(&self) -> bool {
        matches!(self.severity, Severity::Error)
    }

    /// What is wrong and what to do, without the place; the expression, if it is about one, on
    /// lines of its own.
    pub fn explained(&self) -> String {
        let mut text = self.message.clone();
        if let Some(hint) = &self.hint {
            // Writing to a string cannot fail.
            let _ = write!(text, " ({hint})");
        }
        for line in self.excerpt.iter().flat_map(|excerpt| {
            excerpt
                .underlined()
                .lines()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        }) {
            let _ = write!(text, "\n    {line}");
        }
        text
    }

    /// The field as a JSON pointer.
    pub fn pointer(&self) -> String {
        pointer(&self.field)
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
        let severity = if fault.certain {
            Severity::Error
        } else {
            Severity::Warning
        };
        Self {
            severity,
            code: Code::Expression,
            message: fault.message,
            object: object.to_owned(),
            field: dotted(&fault.path),
            range: Some(fault.range),
            excerpt: (!fault.expression.is_empty()).then_some(Excerpt {
                expression: fault.expression,
                part: fault.part,
            }),
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

/// The JSON pointer that [`dotted`] writes as `path`.
pub fn pointer(path: &str) -> String {
    let mut pointer = String::new();
    let mut put = |segment: &str| {
        if !segment.is_empty() {
            pointer.push('/');
            pointer.push_str(&segment.replace('~', "~0").replace('/', "~1"));
        }
    };
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix("[\"") {
            let end = inner.find("\"]").unwrap_or(inner.len());
            put(&inner[..end]);
            rest = inner.get(end + 2..).unwrap_or_default();
        } else {
            let end = rest.find(['.', '[', ']']).unwrap_or(rest.len());
            put(&rest[..end]);
            rest = &rest[end..];
            rest = rest.strip_prefix(['.', ']']).unwrap_or(rest);
            rest = match rest.strip_prefix('[') {
                Some(inner) if !inner.starts_with('"') => inner,
                _ => rest,
            };
        }
    }
    pointer
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

    #[test]
    fn fields_lead_back_to_pointers() {
        for written in [
            "/spec/resources/2/template",
            "/spec/a/0/1/b",
            "/metadata/labels/a.b~1c",
            "/spec/a.b/0/c d",
            "",
        ] {
            assert_eq!(pointer(&dotted(written)), written);
        }
    }

    #[test]
    fn parts_of_expressions_are_underlined() {
        let excerpt = Excerpt {
            expression: "a +\n  é + bcd".to_owned(),
            part: 11..14,
        };
        assert_eq!(excerpt.underlined(), "  é + bcd}\n      ^^^");
    }
}
