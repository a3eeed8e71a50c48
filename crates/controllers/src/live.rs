//! Live objects of data planes, reduced to what decisions need of them.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use choreo_model::labels;
use choreo_model::rendered::Health;
use choreo_packed::{Packed, Uid, shared};
use choreo_writer::Edition;
use serde::Deserialize;
use serde_json::Value;

use crate::{health, manifests};

/// What a live object is called, on which plane. There are many keys, in several places each, so copies of
/// one are one, and keys that say the same share their texts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LiveKey(Arc<LiveName>);

/// The parts of a live object's key.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LiveName {
    /// The plane.
    pub home: usize,
    /// `group/version`, or the version alone for the core group.
    pub api_version: Arc<str>,
    /// The kind.
    pub kind: Arc<str>,
    /// The namespace; empty for cluster-scoped kinds.
    pub namespace: Arc<str>,
    /// The name.
    pub name: Arc<str>,
}

impl Deref for LiveKey {
    type Target = LiveName;

    fn deref(&self) -> &LiveName {
        &self.0
    }
}

impl LiveKey {
    /// The key of an object of a type (apiVersion and kind) at a place (namespace and name).
    pub fn new(
        home: usize,
        (api_version, kind): (&str, &str),
        (namespace, name): (&str, &str),
    ) -> Self {
        Self(Arc::new(LiveName {
            home,
            api_version: shared(api_version),
            kind: shared(kind),
            namespace: shared(namespace),
            name: shared(name),
        }))
    }

    /// Whether they are one copy.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// What `object` is called on the plane `home`.
    pub fn of(home: usize, object: &Value) -> Self {
        let metadata = &object["metadata"];
        let texts = [
            &object["apiVersion"],
            &object["kind"],
            &metadata["namespace"],
            &metadata["name"],
        ];
        let [api_version, kind, namespace, name] =
            texts.map(|text| text.as_str().unwrap_or_default());
        Self::new(home, (api_version, kind), (namespace, name))
    }

    /// The same on the plane `home`.
    pub(crate) fn on(&self, home: usize) -> Self {
        if self.home == home {
            return self.clone();
        }
        let type_ = (&*self.api_version, &*self.kind);
        Self::new(home, type_, (&self.namespace, &self.name))
    }

    /// `apiVersion/Kind`.
    pub fn type_(&self) -> String {
        format!("{}/{}", self.api_version, self.kind)
    }

    /// The group and the version.
    pub fn group_version(&self) -> (&str, &str) {
        self.api_version
            .split_once('/')
            .unwrap_or(("", &self.api_version))
    }

    /// Kind, namespace and name, for a person.
    pub fn title(&self) -> String {
        title(&self.kind, (&self.namespace, &self.name))
    }
}

/// What an object of a kind at a place (namespace and name) is called, for a person.
pub(crate) fn title(kind: &str, (namespace, name): (&str, &str)) -> String {
    match namespace {
        "" => format!("{kind} \"{name}\""),
        namespace => format!("{kind} \"{name}\" in namespace \"{namespace}\""),
    }
}

/// A live object of a rendered release, or of a promotion.
#[derive(Clone, Debug, PartialEq)]
pub struct Live {
    /// What it is called.
    pub key: LiveKey,
    /// Its identifier.
    pub(crate) uid: Uid,
    /// Changes whenever what is wanted of it changes.
    pub(crate) edition: Edition,
    /// Whether its deletion was asked for.
    pub deleting: bool,
    /// The identifier of the rendered release or promotion it belongs to.
    pub release: Arc<str>,
    /// Its status.
    pub(crate) status: Option<LiveStatus>,
    /// How it is.
    pub health: Health,
    /// Why, when something is wrong.
    pub message: Option<Box<str>>,
}

/// The status of a live object, packed: it is told as it is, and nothing else is done with it.
#[derive(Clone, Debug)]
pub(crate) struct LiveStatus {
    hash: u64,
    text: Arc<Packed>,
}

impl LiveStatus {
    fn of(object: &Value) -> Option<Self> {
        let status = object.get("status").filter(|status| !status.is_null())?;
        let kind = object["kind"].as_str().unwrap_or_default();
        let text = serde_json::to_vec(status).ok()?;
        Some(Self {
            hash: manifests::hash(status),
            text: Arc::new(Packed::new(&format!("{kind}/status"), &text)),
        })
    }

    /// What it says.
    pub(crate) fn value(&self) -> Option<Value> {
        serde_json::from_slice(&self.text.text()).ok()
    }
}

impl PartialEq for LiveStatus {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}

impl Live {
    /// Reduces `object`, which is called `key`, if it belongs to a rendered release or to a promotion.
    pub fn of(key: LiveKey, object: &Value) -> Option<Self> {
        let labels = object.pointer("/metadata/labels")?;
        let label = |key: &str| labels.get(key).and_then(Value::as_str);
        let owner = match label(labels::MANAGED_BY)? {
            labels::RENDERED_RELEASE_CONTROLLER => labels::RENDERED_RELEASE_UID,
            labels::PROMOTION_CONTROLLER => labels::PROMOTION_UID,
            _ => return None,
        };
        let (health, message) = health::of(object);
        Some(Self {
            key,
            uid: Uid::new(object.pointer("/metadata/uid")?.as_str()?),
            edition: Edition::deserialize(object.get("metadata")?).ok()?,
            deleting: object.pointer("/metadata/deletionTimestamp").is_some(),
            release: shared(label(owner)?),
            status: LiveStatus::of(object),
            health,
            message: message.map(String::into_boxed_str),
        })
    }
}

/// Whose pods fail: a component or a managed resource in an environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PodOwner<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) project: &'a str,
    pub(crate) part: Part<'a>,
    pub(crate) environment: &'a str,
}

/// What of a project pods can belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part<'a> {
    Component(&'a str),
    Resource(&'a str),
}

impl<'a> Part<'a> {
    /// The part with one of these names.
    pub(crate) fn of(component: Option<&'a str>, resource: Option<&'a str>) -> Option<Self> {
        let resource = resource.map(Self::Resource);
        component.map(Self::Component).or(resource)
    }
}

impl<'a> PodOwner<'a> {
    /// Whose pod `object` is.
    pub(crate) fn of(object: &'a Value) -> Option<Self> {
        let labels = object.pointer("/metadata/labels")?;
        let label = |key: &str| labels.get(key)?.as_str();
        Some(Self {
            namespace: label(labels::NAMESPACE)?,
            project: label(labels::PROJECT)?,
            part: Part::of(label(labels::COMPONENT), label(labels::RESOURCE))?,
            environment: label(labels::ENVIRONMENT)?,
        })
    }
}

impl fmt::Display for PodOwner<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, name) = match self.part {
            Part::Component(name) => ("component", name),
            Part::Resource(name) => ("resource", name),
        };
        let Self {
            namespace,
            project,
            environment,
            ..
        } = self;
        write!(
            formatter,
            "{namespace}/{project}/{kind}/{name}/{environment}"
        )
    }
}
