//! Which expression produced which part of the output, recorded only when asked.

use std::ops::Range;

/// Receives one call per evaluated expression.
pub trait Trace {
    /// Whether places are worth computing at all.
    const ENABLED: bool;
    /// An expression filled `output`, a JSON pointer into the rendered value.
    fn record(&mut self, entry: Entry);
}

/// One expression and what it filled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// JSON pointer into the rendered value.
    pub output: String,
    /// JSON pointer into the template.
    pub path: String,
    /// Bytes of the template's string.
    pub range: Range<usize>,
    /// The expression's source.
    pub expression: String,
}

/// Records nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Trace for Silent {
    const ENABLED: bool = false;

    fn record(&mut self, _entry: Entry) {}
}

/// Records everything, in the order of evaluation.
#[derive(Debug, Clone, Default)]
pub struct Recorder {
    /// What was recorded.
    pub entries: Vec<Entry>,
}

impl Trace for Recorder {
    const ENABLED: bool = true;

    fn record(&mut self, entry: Entry) {
        self.entries.push(entry);
    }
}
