//! The envelope every kind shares: metadata, specification, status.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, IgnoredAny, IntoDeserializer, MapAccess, Visitor,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::check::Check;

/// The API group of every kind.
pub const GROUP: &str = "openchoreo.dev";
/// The version of every kind.
pub const VERSION: &str = "v1alpha1";
/// `GROUP/VERSION`, as written in manifests.
pub const API_VERSION: &str = "openchoreo.dev/v1alpha1";

/// The specification of a kind, or of a kind and its cluster-scoped twin.
pub trait Spec: Serialize + DeserializeOwned + JsonSchema + Check + Clone + PartialEq {
    /// What a controller reports about an object of this kind.
    type Status: Serialize + DeserializeOwned + JsonSchema + Default + Clone + PartialEq;
    /// The kind, as written in manifests.
    const KIND: &'static str;
    /// The cluster-scoped kind with the same specification, if there is one.
    const CLUSTER_KIND: Option<&'static str> = None;
    /// Whether anything is ever reported about an object of this kind.
    const HAS_STATUS: bool = true;
    /// The fields by which objects can be selected, as JSON paths.
    const SELECTABLE: &'static [&'static str] = &[];
}

/// An object of a kind, as stored by an API.
#[derive(Clone, Debug, PartialEq)]
pub struct Object<T: Spec> {
    /// Name, namespace, labels and the rest that all kinds have.
    pub metadata: ObjectMeta,
    /// What is wanted.
    pub spec: T,
    /// What was observed.
    pub status: T::Status,
}

impl<T: Spec> Object<T> {
    /// A new object of the kind, without a status.
    pub fn new(namespace: Option<&str>, name: &str, spec: T) -> Self {
        let metadata = ObjectMeta {
            name: Some(name.to_owned()),
            namespace: namespace.map(str::to_owned),
            ..ObjectMeta::default()
        };
        Self {
            metadata,
            spec,
            status: T::Status::default(),
        }
    }

    /// The kind of this object: the cluster-scoped twin when it has no namespace.
    pub fn kind(&self) -> &'static str {
        match T::CLUSTER_KIND {
            Some(kind) if self.metadata.namespace.is_none() => kind,
            _ => T::KIND,
        }
    }

    /// The name; empty while the object has none.
    pub fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    /// The namespace; empty for cluster-scoped objects.
    pub fn namespace(&self) -> &str {
        self.metadata.namespace.as_deref().unwrap_or_default()
    }

    /// The identifier the API gave to the object; empty before it is stored.
    pub fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    /// The generation of the specification; 0 before the object is stored.
    pub fn generation(&self) -> i64 {
        self.metadata.generation.unwrap_or_default()
    }

    /// Whether deletion was asked for and waits for finalizers.
    pub fn is_deleting(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    /// Whether the object holds a finalizer.
    pub fn has_finalizer(&self, finalizer: &str) -> bool {
        self.metadata
            .finalizers
            .iter()
            .flatten()
            .any(|held| held == finalizer)
    }

    /// The value of a label.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.metadata.labels.as_ref()?.get(key).map(String::as_str)
    }

    /// The value of an annotation.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.metadata
            .annotations
            .as_ref()?
            .get(key)
            .map(String::as_str)
    }
}

impl<T: Spec> Serialize for Object<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Written<'a, T: Spec> {
            api_version: &'static str,
            kind: &'static str,
            metadata: &'a ObjectMeta,
            spec: &'a T,
            #[serde(skip_serializing_if = "Option::is_none")]
            status: Option<&'a T::Status>,
        }
        let status = (self.status != T::Status::default()).then_some(&self.status);
        Written {
            api_version: API_VERSION,
            kind: self.kind(),
            metadata: &self.metadata,
            spec: &self.spec,
            status,
        }
        .serialize(serializer)
    }
}

impl<'de, T: Spec> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(bound = "")]
        struct Read<T: Spec> {
            #[serde(default)]
            kind: Option<String>,
            #[serde(default)]
            metadata: Unmanaged,
            #[serde(default = "none")]
            spec: Option<T>,
            #[serde(default = "none")]
            status: Option<T::Status>,
        }
        let read = Read::<T>::deserialize(deserializer)?;
        if let Some(kind) = read.kind.as_deref()
            && kind != T::KIND
            && Some(kind) != T::CLUSTER_KIND
        {
            return Err(serde::de::Error::custom(format!(
                "kind is {kind}, expected {}",
                T::KIND
            )));
        }
        let spec = match read.spec {
            Some(spec) => spec,
            // Kinds whose fields are all optional may leave the specification out.
            None => serde_json::from_value(serde_json::json!({}))
                .map_err(|error| serde::de::Error::custom(format!("spec: {error}")))?,
        };
        Ok(Self {
            metadata: read.metadata.0,
            spec,
            status: read.status.unwrap_or_default(),
        })
    }
}

/// Metadata but for who wrote which field, which takes more room than the fields and is left unread.
#[derive(Default)]
struct Unmanaged(ObjectMeta);

impl<'de> Deserialize<'de> for Unmanaged {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = ObjectMeta;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("the metadata of an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<ObjectMeta, A::Error> {
                ObjectMeta::deserialize(MapAccessDeserializer::new(WithoutManagers(fields)))
            }
        }
        deserializer.deserialize_map(Reader).map(Self)
    }
}

/// The fields of metadata but for `managedFields`.
struct WithoutManagers<A>(A);

impl<'de, A: MapAccess<'de>> MapAccess<'de> for WithoutManagers<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        while let Some(name) = self.0.next_key::<String>()? {
            if name != "managedFields" {
                return seed.deserialize(name.into_deserializer()).map(Some);
            }
            self.0.next_value::<IgnoredAny>()?;
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.0.next_value_seed(seed)
    }
}

fn none<T>() -> Option<T> {
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::project::ProjectSpec;

    #[test]
    fn metadata_are_read_but_for_who_wrote_what() {
        let object = json!({
            "apiVersion": API_VERSION, "kind": "Project",
            "metadata": {
                "name": "shop", "namespace": "default", "uid": "u", "generation": 3,
                "labels": {"a": "b"}, "annotations": {"managedFields": "kept"},
                "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}],
                "finalizers": ["f"], "resourceVersion": "7",
            },
            "spec": {"deploymentPipelineRef": {"name": "default"}, "type": {"name": "default"}},
        });
        let mut expected: ObjectMeta = serde_json::from_value(object["metadata"].clone()).unwrap();
        assert!(expected.managed_fields.take().is_some());
        let of_tree: Object<ProjectSpec> = serde_json::from_value(object.clone()).unwrap();
        let of_text: Object<ProjectSpec> = serde_json::from_str(&object.to_string()).unwrap();
        assert_eq!(of_tree.metadata, expected);
        assert_eq!(of_text, of_tree);
    }

    #[test]
    fn what_is_wrong_with_metadata_is_told() {
        let object = json!({"metadata": {"name": 7}, "spec": {}});
        let error = serde_json::from_value::<Object<ProjectSpec>>(object).unwrap_err();
        assert!(error.to_string().contains("integer `7`"), "{error}");
    }
}
