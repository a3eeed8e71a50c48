//! The files that objects were read from, so that whatever is said about an object can name its
//! line.

use crate::canonical;
use crate::diagnostic::Excerpt;
use crate::manifest::{Forms, kind_of, unpacked};
use choreo_template::source::{self, Place, Source, Unreadable};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

/// Files of manifests.
#[derive(Debug, Clone, Default)]
pub struct Library {
    files: Vec<File>,
    /// Where the objects called `Kind/name` are written.
    shelf: BTreeMap<String, Vec<Volume>>,
    forms: Forms,
}

#[derive(Debug, Clone)]
struct File {
    name: String,
    text: Arc<str>,
    /// Read when a place is asked for first.
    source: OnceLock<Option<Arc<Source>>>,
}

impl File {
    fn source(&self) -> Option<&Source> {
        let read = || Source::read(Arc::clone(&self.text)).ok().map(Arc::new);
        self.source.get_or_init(read).as_deref()
    }
}

#[derive(Debug, Clone)]
struct Volume {
    /// None for objects without a namespace.
    namespace: Option<String>,
    file: usize,
    document: usize,
    /// JSON pointer to the object inside its document.
    root: String,
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spot {
    /// The name of the file.
    pub file: String,
    /// The place.
    pub place: Place,
}

impl Library {
    /// Reads a file. Objects without a namespace, of kinds that have one, are given `namespace`;
    /// the items of a `List` stand for themselves.
    pub fn read(
        &mut self,
        name: &str,
        text: Arc<str>,
        namespace: &str,
    ) -> Result<Vec<Value>, Unreadable> {
        let documents: Vec<Value> = source::documents(&text)?;
        let file = self.files.len();
        let mut objects = Vec::new();
        for (document, value) in documents.into_iter().enumerate() {
            for (root, mut object) in unpacked(value) {
                settle(&mut object, namespace);
                // What has not the form of its kind is told when it is checked.
                self.forms.complete(&mut object);
                let volume = Volume {
                    namespace: object["metadata"]["namespace"].as_str().map(str::to_owned),
                    file,
                    document,
                    root,
                };
                self.shelf.entry(title(&object)).or_default().push(volume);
                objects.push(object);
            }
        }
        self.files.push(File {
            name: name.to_owned(),
            text,
            source: OnceLock::new(),
        });
        Ok(objects)
    }

    /// `object` as it would be read from a file: for what an API showed but does not keep.
    pub fn adopt(mut object: Value, namespace: &str) -> Value {
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("uid");
        }
        settle(&mut object, namespace);
        object
    }

    /// The text of the file called `name`.
    pub fn text(&self, name: &str) -> Option<&str> {
        let found = self.files.iter().find(|file| file.name == name);
        found.map(|file| file.text.as_ref())
    }

    /// Where `pointer` of `object`, called `Kind/name`, is written; the nearest thing around it
    /// that is, when it is not; the part of its expression, when that can be found. Of several
    /// objects with that name it is the one in `namespace`, or the one without.
    pub fn spot(
        &self,
        (namespace, object): (&str, &str),
        pointer: &str,
        excerpt: Option<&Excerpt>,
    ) -> Option<Spot> {
        let volume = self.volume(namespace, object)?;
        let file = self.files.get(volume.file)?;
        let source = file.source()?;
        let within = format!("{}{pointer}", volume.root);
        let part = excerpt.and_then(|one| {
            source.expression(volume.document, &within, &one.expression, &one.part)
        });
        let place = match part {
            Some(place) => place,
            None => nearest(source, volume, within)?,
        };
        Some(Spot {
            file: file.name.clone(),
            place,
        })
    }

    fn volume(&self, namespace: &str, object: &str) -> Option<&Volume> {
        let all = self.shelf.get(object)?;
        // What was read last holds.
        let of = |wanted: Option<&str>| {
            let mut found = all.iter().rev();
            found.find(|one| one.namespace.as_deref() == wanted)
        };
        of(Some(namespace)).or_else(|| of(None))
    }
}

fn nearest(source: &Source, volume: &Volume, mut pointer: String) -> Option<Place> {
    loop {
        if let Some(found) = source.place(volume.document, &pointer) {
            return Some(found);
        }
        if pointer.len() <= volume.root.len() {
            return None;
        }
        pointer.truncate(pointer.rfind('/')?);
    }
}

/// `Kind/name`.
fn title(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    format!(
        "{}/{}",
        text(&object["kind"]),
        text(&object["metadata"]["name"])
    )
}

/// Gives an object of the platform the namespace it has when it names none, and an identifier that
/// is always the same when no API gave it one.
fn settle(object: &mut Value, namespace: &str) {
    let title = title(object);
    let known = kind_of(object);
    let namespaced = known.is_some_and(|row| row.scope == choreo_model::Scope::Namespaced);
    if namespaced && let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut)
    {
        metadata
            .entry("namespace")
            .or_insert_with(|| json!(namespace));
    }
    if known.is_some()
        && let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut)
    {
        let place = metadata.get("namespace").and_then(Value::as_str);
        let uid = stand_in(&format!("{}/{title}", place.unwrap_or_default()));
        metadata.entry("uid").or_insert_with(|| json!(uid));
    }
}

/// An identifier of the usual form, made of a name.
fn stand_in(name: &str) -> String {
    let digest = canonical::digest(name);
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| &digest[part]);
    parts.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "kind: Project\nmetadata: {name: a}\nspec:\n  x: ${ y }\n---\napiVersion: v1\nkind: List\nitems:\n- kind: Trait\n  metadata: {name: b, namespace: acme}\n";

    fn spot(object: (&str, &str), pointer: &str) -> Option<(usize, usize)> {
        let mut library = Library::default();
        library
            .read("a.yaml", TEXT.into(), "default")
            .expect("YAML");
        let spot = library.spot(object, pointer, None)?;
        Some((spot.place.line, spot.place.column))
    }

    #[test]
    fn fields_are_found_where_they_are_written() {
        assert_eq!(spot(("default", "Project/a"), "/spec/x"), Some((4, 6)));
        assert_eq!(spot(("default", "Project/a"), "/spec/z/1"), Some((4, 3)));
        assert_eq!(spot(("acme", "Trait/b"), "/metadata/name"), Some((10, 20)));
        assert_eq!(spot(("other", "Trait/b"), ""), None);
    }
}
