//! Objects as they are kept: serialised once, with the few fields that lists,
//! watches and the garbage collector ask for beside the bytes.

use std::{
    collections::BTreeMap,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::status::{Failure, Result};

/// Where an object is within its kind. The namespace of cluster-wide objects is empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Name {
    pub(crate) namespace: Box<str>,
    pub(crate) name: Box<str>,
}

impl Name {
    pub(crate) fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

/// What is read of an object without parsing it whole each time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Head {
    pub(crate) uid: Box<str>,
    pub(crate) labels: BTreeMap<Box<str>, Box<str>>,
    /// UIDs of the owners.
    pub(crate) owners: Box<[Box<str>]>,
    pub(crate) deleting: bool,
    pub(crate) finalizers: Box<[Box<str>]>,
}

/// An object at one version.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) name: Name,
    pub(crate) version: u64,
    pub(crate) head: Head,
    pub(crate) json: Bytes,
    /// The tree, of objects that are read with every request.
    tree: OnceLock<Box<Value>>,
    /// The schema that would leave it as it is; 0 if none is known.
    fits: AtomicU64,
}

impl Stored {
    /// Reads an object as the store keeps it.
    pub(crate) fn parse(version: u64, json: Bytes) -> serde_json::Result<Self> {
        let whole: Whole = serde_json::from_slice(&json)?;
        let metadata = whole.metadata;
        let name = Name {
            namespace: metadata.namespace,
            name: metadata.name,
        };
        let head = Head {
            uid: metadata.uid,
            labels: metadata.labels.unwrap_or_default(),
            owners: metadata
                .owner_references
                .into_iter()
                .map(|owner| owner.uid)
                .collect(),
            deleting: metadata.deletion_timestamp.is_some(),
            finalizers: metadata.finalizers.into(),
        };
        Ok(Self {
            name,
            version,
            head,
            json,
            tree: OnceLock::new(),
            fits: AtomicU64::new(0),
        })
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
        let rest = self.json.strip_prefix(b"{\"apiVersion\":\"");
        let rest = rest.and_then(|rest| rest.strip_prefix(api_version.as_bytes()));
        rest.is_some_and(|rest| rest.starts_with(b"\""))
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
        serde_json::from_slice(&self.json).map_err(Failure::internal)
    }
}

#[derive(Deserialize)]
struct Whole {
    metadata: Metadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: Box<str>,
    #[serde(default)]
    namespace: Box<str>,
    #[serde(default)]
    uid: Box<str>,
    #[serde(default)]
    labels: Option<BTreeMap<Box<str>, Box<str>>>,
    #[serde(default)]
    owner_references: Vec<Owner>,
    #[serde(default)]
    deletion_timestamp: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    finalizers: Vec<Box<str>>,
}

#[derive(Deserialize)]
struct Owner {
    uid: Box<str>,
}

/// An object on its way to the store: serialised around the hole that its
/// resource version will fill, so the writer thread does not serialise.
#[derive(Debug)]
pub(crate) struct Draft {
    name: Name,
    head: Head,
    before: Vec<u8>,
    after: Vec<u8>,
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
        let mut before = vec![b'{'];
        let mut after = Vec::new();
        let metadata = object["metadata"].as_object();
        // The version comes first, so that `Stored::speaks` need not parse.
        for key in ["apiVersion", "kind"] {
            member(&mut before, key, fields.get(key).unwrap_or(&Value::Null))?;
            before.push(b',');
        }
        for (key, value) in fields {
            if !matches!(key.as_str(), "metadata" | "apiVersion" | "kind") {
                member(&mut before, key, value)?;
                before.push(b',');
            }
        }
        before.extend_from_slice(b"\"metadata\":{");
        for (key, value) in metadata.into_iter().flatten() {
            if key != "resourceVersion" {
                member(&mut before, key, value)?;
                before.push(b',');
            }
        }
        before.extend_from_slice(b"\"resourceVersion\":\"");
        after.extend_from_slice(b"\"}}");
        let metadata = whole.metadata;
        Ok(Self {
            name: Name {
                namespace: metadata.namespace,
                name: metadata.name,
            },
            head: Head {
                uid: metadata.uid,
                labels: metadata.labels.unwrap_or_default(),
                owners: metadata
                    .owner_references
                    .into_iter()
                    .map(|owner| owner.uid)
                    .collect(),
                deleting: metadata.deletion_timestamp.is_some(),
                finalizers: metadata.finalizers.into(),
            },
            before,
            after,
            fits: 0,
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
        &self.name
    }

    /// The object at its version.
    pub(crate) fn seal(&self, version: u64) -> Stored {
        let number = version.to_string();
        let mut json = Vec::with_capacity(self.before.len() + self.after.len() + number.len());
        json.extend_from_slice(&self.before);
        json.extend_from_slice(number.as_bytes());
        json.extend_from_slice(&self.after);
        Stored {
            name: self.name.clone(),
            version,
            head: self.head.clone(),
            json: Bytes::from(json),
            tree: OnceLock::new(),
            fits: AtomicU64::new(self.fits),
        }
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
