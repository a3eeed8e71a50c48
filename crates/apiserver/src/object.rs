//! Objects as they are kept: the few fields that lists, watches and the garbage collector ask for, and
//! the text, which is in memory for a while after it was written and on the disk ever after.

use std::{
    borrow::Cow,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use choreo_packed::{Uid, shared};
use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};

use crate::{
    head::{Head, Metadata},
    status::{Failure, Result},
    store::{Texts, Unread},
};

/// What comes behind the version of an object as it is serialised here.
const END: &[u8] = b"\"}}";

/// Where an object is within its kind. The namespace of cluster-wide objects is empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Name {
    pub(crate) namespace: Arc<str>,
    pub(crate) name: Arc<str>,
}

impl Name {
    pub(crate) fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

/// Which object it is, whatever its version.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) name: Name,
    pub(crate) uid: Uid,
}

/// Where the text of an object is.
#[derive(Clone, Debug)]
enum Text {
    // In a box, since most are away, and there are many.
    Here(Box<Bytes>),
    Away(Arc<Texts>),
}

/// An object at one version.
#[derive(Debug)]
pub(crate) struct Stored {
    identity: Arc<Identity>,
    pub(crate) version: u64,
    pub(crate) head: Head,
    text: Mutex<Text>,
    /// The tree, of objects that are read with every request.
    tree: OnceLock<Box<Value>>,
    /// The schema that would leave it as it is; 0 if none is known.
    fits: AtomicU64,
}

impl Stored {
    /// Reads an object as the store keeps it.
    pub(crate) fn parse(version: u64, json: Bytes) -> serde_json::Result<Self> {
        let whole: Whole<'_> = serde_json::from_slice(&json)?;
        Ok(Self {
            version,
            identity: Arc::new(identity(&whole.metadata)),
            head: Head::new(&whole.api_version, &whole.metadata),
            tree: OnceLock::new(),
            fits: AtomicU64::new(0),
            text: Mutex::new(Text::Here(Box::new(json))),
        })
    }

    fn text(&self) -> MutexGuard<'_, Text> {
        self.text.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where it is within its kind.
    pub(crate) fn name(&self) -> &Name {
        &self.identity.name
    }

    pub(crate) fn uid(&self) -> &Uid {
        &self.identity.uid
    }

    pub(crate) fn identity(&self) -> &Arc<Identity> {
        &self.identity
    }

    /// The object as JSON.
    pub(crate) fn json(&self) -> Result<Bytes> {
        let text = self.text().clone();
        match text {
            Text::Here(json) => Ok(*json),
            Text::Away(texts) => texts.read(self.version).map_err(|error| match error {
                Unread::Forgotten(version) => Failure::version_expired(version, version + 1),
                Unread::Damaged { .. } | Unread::Closed | Unread::Database { .. } => {
                    Failure::internal(error)
                }
            }),
        }
    }

    /// Leaves the text to the disk, which has it already.
    pub(crate) fn leave_to(&self, texts: &Arc<Texts>) {
        *self.text() = Text::Away(Arc::clone(texts));
    }

    /// How much memory the text takes.
    pub(crate) fn length(&self) -> usize {
        match &*self.text() {
            Text::Here(json) => json.len(),
            Text::Away(_) => 0,
        }
    }

    /// Whether the schema with this mark is known to leave the object as it is.
    pub(crate) fn fits(&self, schema: u64) -> bool {
        self.fits.load(Ordering::Relaxed) == schema
    }

    /// Remembers that this schema leaves the object as it is.
    pub(crate) fn found_to_fit(&self, schema: u64) {
        self.fits.store(schema, Ordering::Relaxed);
    }

    /// Whether the object was written in this version of its kind.
    pub(crate) fn speaks(&self, api_version: &str) -> bool {
        self.head.api_version() == api_version
    }

    /// The object as a tree that is kept as long as the object: for what is read with every request.
    pub(crate) fn kept(&self) -> Result<&Value> {
        if let Some(tree) = self.tree.get() {
            return Ok(tree);
        }
        let tree = self.value()?;
        Ok(self.tree.get_or_init(|| Box::new(tree)))
    }

    /// The object as a tree.
    pub(crate) fn value(&self) -> Result<Value> {
        serde_json::from_slice(&self.json()?).map_err(Failure::internal)
    }
}

/// The metadata of an object as they are written in its text.
pub(crate) fn metadata_text(object: &[u8]) -> serde_json::Result<&str> {
    #[derive(Deserialize)]
    struct Object<'a> {
        #[serde(borrow)]
        metadata: &'a RawValue,
    }
    serde_json::from_slice::<Object<'_>>(object).map(|object| object.metadata.get())
}

/// What is read of every object.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Whole<'a> {
    #[serde(default, borrow)]
    api_version: Cow<'a, str>,
    #[serde(borrow)]
    metadata: Metadata<'a>,
}

fn identity(metadata: &Metadata<'_>) -> Identity {
    Identity {
        name: Name {
            namespace: shared(&metadata.namespace),
            name: metadata.name.as_ref().into(),
        },
        uid: Uid::new(&metadata.uid),
    }
}

/// An object on its way to the store: serialised up to the place of its resource version, so that the
/// writer thread has little to do.
#[derive(Debug)]
pub(crate) struct Draft {
    identity: Arc<Identity>,
    head: Head,
    text: Vec<u8>,
    /// The schema it was written under; 0 if that was none.
    fits: u64,
}

impl Draft {
    pub(crate) fn new(object: &Value) -> Result<Self> {
        let fields = object
            .as_object()
            .ok_or_else(|| Failure::bad_request("not an object"))?;
        let whole = Whole::deserialize(object).map_err(|error| {
            Failure::bad_request(format!("the object's metadata cannot be read: {error}"))
        })?;
        let mut text = vec![b'{'];
        let metadata = object["metadata"].as_object();
        for key in ["apiVersion", "kind"] {
            member(&mut text, key, fields.get(key).unwrap_or(&Value::Null))?;
            text.push(b',');
        }
        for (key, value) in fields {
            if !matches!(key.as_str(), "metadata" | "apiVersion" | "kind") {
                member(&mut text, key, value)?;
                text.push(b',');
            }
        }
        text.extend_from_slice(b"\"metadata\":{");
        for (key, value) in metadata.into_iter().flatten() {
            if key != "resourceVersion" {
                member(&mut text, key, value)?;
                text.push(b',');
            }
        }
        text.extend_from_slice(b"\"resourceVersion\":\"");
        Ok(Self {
            identity: Arc::new(identity(&whole.metadata)),
            head: Head::new(&whole.api_version, &whole.metadata),
            text,
            fits: 0,
        })
    }

    /// How much memory the text takes.
    pub(crate) fn length(&self) -> usize {
        self.text.len()
    }

    /// An object as it is stored, to be written again as it is.
    pub(crate) fn again(stored: &Stored) -> Result<Self> {
        let json = stored.json()?;
        let end = json.strip_suffix(END);
        let Some(place) = end.and_then(|text| text.iter().rposition(|byte| *byte == b'"')) else {
            // It was not serialised here.
            return Self::new(&stored.value()?);
        };
        Ok(Self {
            identity: Arc::clone(&stored.identity),
            head: stored.head.clone(),
            text: json[..=place].to_vec(),
            fits: stored.fits.load(Ordering::Relaxed),
        })
    }

    /// The same object, known to be as this schema leaves it.
    pub(crate) fn fitting(self, schema: u64) -> Self {
        Self {
            fits: schema,
            ..self
        }
    }

    pub(crate) fn name(&self) -> &Name {
        &self.identity.name
    }

    /// The object at its version, which takes the place of a previous one.
    pub(crate) fn seal(&self, version: u64, previous: Option<&Stored>) -> Stored {
        let known = previous.map(Stored::identity);
        let known = known.filter(|known| **known == self.identity);
        Stored {
            identity: Arc::clone(known.unwrap_or(&self.identity)),
            version,
            head: self.head.clone(),
            text: Mutex::new(Text::Here(Box::new(self.json(version)))),
            tree: OnceLock::new(),
            fits: AtomicU64::new(self.fits),
        }
    }

    /// The object at its version, as JSON.
    fn json(&self, version: u64) -> Bytes {
        let number = version.to_string();
        Bytes::from([&self.text, number.as_bytes(), END].concat())
    }
}

fn member(out: &mut Vec<u8>, key: &str, value: &Value) -> Result<()> {
    serde_json::to_writer(&mut *out, key).map_err(Failure::internal)?;
    out.push(b':');
    serde_json::to_writer(out, value).map_err(Failure::internal)
}

/// The object's metadata; empty if there is none.
pub(crate) fn metadata(object: &Value) -> &Map<String, Value> {
    static EMPTY: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
    object
        .get("metadata")
        .and_then(Value::as_object)
        .unwrap_or(&EMPTY)
}

/// The object's metadata, made if there is none. Anything that is not an
/// object is replaced, which callers rule out before.
pub(crate) fn metadata_mut(object: &mut Value) -> &mut Map<String, Value> {
    member_mut(object, "metadata")
}

/// The member `key` of an object as a map, made if need be.
pub(crate) fn member_mut<'a>(object: &'a mut Value, key: &str) -> &'a mut Map<String, Value> {
    let fields = as_map(object);
    as_map(fields.entry(key).or_insert(Value::Null))
}

fn as_map(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    let Value::Object(map) = value else {
        unreachable!("it was made an object above")
    };
    map
}

/// A string of the object's metadata; empty if unset.
pub(crate) fn meta_str<'a>(object: &'a Value, key: &str) -> &'a str {
    metadata(object)
        .get(key)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// The object's finalizers.
pub(crate) fn finalizers(object: &Value) -> Vec<&str> {
    let list = metadata(object).get("finalizers").and_then(Value::as_array);
    list.into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

/// The value at a dotted path (a leading dot is allowed).
pub(crate) fn at<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    path.trim_start_matches('.')
        .split('.')
        .try_fold(object, |value, key| value.get(key))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_again_says_the_same() {
        let object = json!({"apiVersion": "v1", "kind": "Event", "reason": "\"",
            "metadata": {"name": "a", "uid": "u", "labels": {"b": "c"}, "resourceVersion": "1"}});
        let stored = Draft::new(&object).unwrap().seal(7, None);
        for stored in [
            &stored,
            &Stored::parse(7, object.to_string().into()).unwrap(),
        ] {
            let again = Draft::again(stored).unwrap().seal(8, None);
            let mut wanted = object.clone();
            wanted["metadata"]["resourceVersion"] = json!("8");
            assert_eq!(again.value().unwrap(), wanted);
            assert_eq!(again.identity(), stored.identity());
        }
    }
}
