//! Whole files of manifests: every finding with the line it is about.

use super::object;
use crate::diagnostic::{Code, Diagnostic, underlined};
use choreo_template::source::{self, Place, Source, Unreadable};
use serde_json::Value;
use std::fmt::Write as _;

/// Something wrong in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What is wrong.
    pub diagnostic: Diagnostic,
    /// Where; the object as a whole when the field is not there.
    pub place: Option<Place>,
}

/// Everything wrong with the manifests in `text`, which is YAML of one or more documents.
pub fn file(text: &str) -> Result<Vec<Finding>, Unreadable> {
    let documents: Vec<Value> = source::documents(text)?;
    let source = Source::read(text)?;
    let mut findings = Vec::new();
    for (index, document) in documents.iter().enumerate() {
        findings.extend(all(document).into_iter().map(|diagnostic| Finding {
            place: place(&source, index, &diagnostic),
            diagnostic,
        }));
    }
    findings.sort_by_key(|finding| finding.place.as_ref().map(|place| place.bytes.start));
    Ok(findings)
}

/// What the kind's own check and the language have against `document`.
fn all(document: &Value) -> Vec<Diagnostic> {
    let text = |pointer: &str| document.pointer(pointer).and_then(Value::as_str);
    let kind = text("/kind").unwrap_or_default();
    let ours = choreo_model::registry()
        .iter()
        .find(|known| known.kind == kind);
    let name = format!("{kind}/{}", text("/metadata/name").unwrap_or_default());
    let mut found: Vec<Diagnostic> = ours
        .map(|known| (known.check)(document, None))
        .unwrap_or_default()
        .into_iter()
        .map(|one| Diagnostic::error(Code::Manifest, name.as_str(), one.field, one.message))
        .collect();
    found.extend(object(document, None));
    found
}

/// The place of the field, or of the nearest thing around it that is there.
fn place(source: &Source, document: usize, diagnostic: &Diagnostic) -> Option<Place> {
    let mut pointer = diagnostic.pointer();
    if let Some(excerpt) = &diagnostic.excerpt {
        let found = source.expression(document, &pointer, &excerpt.expression, &excerpt.part);
        if found.is_some() {
            return found;
        }
    }
    loop {
        if let Some(found) = source.place(document, &pointer) {
            return Some(found);
        }
        pointer.truncate(pointer.rfind('/')?);
    }
}

impl Finding {
    /// The finding as people read it: `name` is the file's, `text` what it holds.
    pub fn explained(&self, name: &str, text: &str) -> String {
        let severity = if self.diagnostic.is_error() {
            "error"
        } else {
            "warning"
        };
        let mut told = name.to_owned();
        // Writing to a string cannot fail.
        if let Some(place) = &self.place {
            let _ = write!(told, ":{}:{}", place.line, place.column);
        }
        let _ = write!(told, ": {severity}: {}", self.diagnostic.message);
        if let Some(hint) = &self.diagnostic.hint {
            let _ = write!(told, " ({hint})");
        }
        let about = format!("{} {}", self.diagnostic.object, self.diagnostic.field);
        if !about.trim().is_empty() {
            let _ = write!(told, "\n  in {}", about.trim());
        }
        if let Some(place) = &self.place {
            let margin = place.line.to_string();
            for (index, line) in underlined(text, place.bytes.clone()).lines().enumerate() {
                let margin = if index == 0 {
                    margin.clone()
                } else {
                    " ".repeat(margin.len())
                };
                let _ = write!(told, "\n  {margin} | {line}");
            }
        }
        told
    }
}
