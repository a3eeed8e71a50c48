//! A mistake in a file, with the place and what to do.

use std::{ops::Range, sync::Arc};

use miette::{Diagnostic, NamedSource};

/// The label of a place where the message says all.
const HERE: &str = "here";

/// A mistake in a file.
#[derive(Debug, Clone, thiserror::Error, Diagnostic)]
#[error("{message}")]
pub(crate) struct Problem {
    message: String,
    label: String,
    #[source_code]
    source_code: NamedSource<Arc<str>>,
    #[label("{label}")]
    span: miette::SourceSpan,
    #[help]
    hint: Option<String>,
}

impl Problem {
    /// A mistake at `span` of a file.
    pub(crate) fn new(
        file: &str,
        text: &Arc<str>,
        span: Range<usize>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            message: message.into(),
            label: HERE.to_owned(),
            source_code: NamedSource::new(file, Arc::clone(text)).with_language("yaml"),
            span: clamp(text, span).into(),
            hint: None,
        }
    }

    /// What stands at the place.
    #[must_use]
    pub(crate) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// What to do.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The message, with what stands at the place if that says more.
    pub(crate) fn told(&self) -> String {
        if self.label == HERE {
            self.message.clone()
        } else {
            format!("{}: {}", self.message, self.label)
        }
    }

    /// The name of the file.
    pub(crate) fn file(&self) -> &str {
        self.source_code.name()
    }

    /// The bytes of the file.
    pub(crate) fn bytes(&self) -> Range<usize> {
        self.span.offset()..self.span.offset() + self.span.len()
    }

    /// What to do about it.
    pub(crate) fn help(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// File and line, as editors jump to them.
    #[cfg(test)]
    pub(crate) fn place(&self) -> String {
        let text = self.source_code.inner();
        let line = text[..self.span.offset()].matches('\n').count() + 1;
        format!("{}:{line}", self.source_code.name())
    }
}

/// Keeps a span inside the text and on one line: excerpts stay short.
fn clamp(text: &str, span: Range<usize>) -> Range<usize> {
    let start = text.floor_char_boundary(span.start.min(text.len()));
    let end = text.floor_char_boundary(span.end.clamp(start, text.len()));
    let line_end = text[start..end].find('\n').map_or(end, |at| start + at);
    start..line_end
}
