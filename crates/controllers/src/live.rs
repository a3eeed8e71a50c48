//! Live objects of data planes, reduced to what decisions need of them.

use choreo_model::labels;
use choreo_model::rendered::Health;
use serde_json::Value;

use crate::health;

/// What a live object is called, on which plane.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LiveKey {
    /// The plane.
    pub home: usize,
    /// `group/version`, or the version alone for the core group.
    pub api_version: String,
    /// The kind.
    pub kind: String,
    /// The namespace; empty for cluster-scoped kinds.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl LiveKey {
    /// What `object` is called on the plane `home`.
    pub fn of(home: usize, object: &Value) -> Self {
        let text = |pointer: &str| {
            object
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        Self {
            home,
            api_version: text("/apiVersion"),
            kind: text("/kind"),
            namespace: text("/metadata/namespace"),
            name: text("/metadata/name"),
        }
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
        match self.namespace.as_str() {
            "" => format!("{} \"{}\"", self.kind, self.name),
            namespace => format!(
                "{} \"{}\" in namespace \"{namespace}\"",
                self.kind, self.name
            ),
        }
    }
}

/// A live object of a rendered release.
#[derive(Clone, Debug, PartialEq)]
pub struct Live {
    /// What it is called.
    pub key: LiveKey,
    /// Its identifier.
    pub uid: String,
    /// Changes whenever what is wanted of it changes: the generation, or without one the version.
    pub version: String,
    /// Whether its deletion was asked for.
    pub deleting: bool,
    /// The rendered release it belongs to.
    pub release: String,
    /// Its status.
    pub status: Option<Value>,
    /// How it is.
    pub health: Health,
    /// Why, when something is wrong.
    pub message: Option<String>,
}

impl Live {
    /// Reduces `object`, if it belongs to a rendered release.
    pub fn of(home: usize, object: &Value) -> Option<Self> {
        let labels = object.pointer("/metadata/labels")?;
        let label = |key: &str| labels.get(key).and_then(Value::as_str);
        if label(labels::MANAGED_BY) != Some(labels::RENDERED_RELEASE_CONTROLLER) {
            return None;
        }
        let (health, message) = health::of(object);
        Some(Self {
            key: LiveKey::of(home, object),
            uid: object.pointer("/metadata/uid")?.as_str()?.to_owned(),
            version: version(object),
            deleting: object.pointer("/metadata/deletionTimestamp").is_some(),
            release: label(labels::RENDERED_RELEASE_UID)?.to_owned(),
            status: object
                .get("status")
                .filter(|status| !status.is_null())
                .cloned(),
            health,
            message,
        })
    }
}

/// Whose pod `object` is, as `namespace/project/component/environment`.
pub(crate) fn owner_of_pod(object: &Value) -> Option<String> {
    let labels = object.pointer("/metadata/labels")?;
    let owner = [
        labels::NAMESPACE,
        labels::PROJECT,
        labels::COMPONENT,
        labels::ENVIRONMENT,
    ];
    let names: Option<Vec<&str>> = owner.iter().map(|key| labels.get(key)?.as_str()).collect();
    Some(names?.join("/"))
}

/// What changes when what is wanted of `object` changes.
pub(crate) fn version(object: &Value) -> String {
    let metadata = &object["metadata"];
    match metadata.get("generation").and_then(Value::as_i64) {
        Some(generation) => format!("g{generation}"),
        None => metadata["resourceVersion"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
    }
}
