//! Whole files of manifests: every finding with the line it is about.

use super::object;
use crate::diagnostic::{Code, Diagnostic, underlined};
use crate::manifest::{Forms, kind_of, unpacked};
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
    let mut forms = Forms::default();
    let mut findings = Vec::new();
    for (index, document) in documents.into_iter().enumerate() {
        for (root, mut object) in unpacked(document) {
            let found = all(&mut forms, &mut object);
            findings.extend(found.into_iter().map(|diagnostic| Finding {
                place: place(&source, (index, &root), &diagnostic),
                diagnostic,
            }));
        }
    }
    findings.sort_by_key(|finding| finding.place.as_ref().map(|place| place.bytes.start));
    Ok(findings)
}

/// What the form of its kind, the kind's own check and the language have against `manifest`.
fn all(forms: &mut Forms, manifest: &mut Value) -> Vec<Diagnostic> {
    let Some(kind) = kind_of(manifest) else {
        return Vec::new();
    };
    if let Some(fields) = manifest.as_object_mut() {
        // What is observed is not for people to write: an API takes none of it.
        fields.remove("status");
    }
    let malformed = forms.complete(manifest);
    let name = manifest.pointer("/metadata/name").and_then(Value::as_str);
    let name = format!("{}/{}", kind.kind, name.unwrap_or_default());
    let error = |field: String, message: String| {
        Diagnostic::error(Code::Manifest, name.as_str(), field, message)
    };
    let left = if malformed.is_empty() {
        Vec::new()
    } else {
        forms.mend(manifest)
    };
    let own = (kind.check)(manifest, None).into_iter();
    let mut found: Vec<Diagnostic> = own.map(|one| error(one.field, one.message)).collect();
    found.extend(object(manifest, None));
    for one in malformed {
        let is_mended = !left.contains(&one);
        let one = error(one.field, one.message);
        let at = one.pointer();
        if is_mended {
            // What was put there is nobody's mistake.
            found.retain(|other| !is_within(&other.pointer(), &at));
        }
        if found.iter().all(|other| other.pointer() != at) {
            found.push(one);
        }
    }
    found
}

/// Whether `pointer` leads to what `outer` leads to, or into it.
fn is_within(pointer: &str, outer: &str) -> bool {
    let rest = pointer.strip_prefix(outer);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The place of the field, or of the nearest thing around it that is there. The object is at `root`
/// of its document.
fn place(
    source: &Source,
    (document, root): (usize, &str),
    diagnostic: &Diagnostic,
) -> Option<Place> {
    let mut pointer = format!("{root}{}", diagnostic.pointer());
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
