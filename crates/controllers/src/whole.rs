//! Objects as watches bring them: the whole text as one value, read once.

use std::borrow::Cow;
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::api::ApiResource;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// An object of any type.
#[derive(Clone, Debug)]
pub(crate) struct Whole {
    /// What a watch has to know of it: its name, namespace and version.
    metadata: ObjectMeta,
    value: Value,
}

impl Whole {
    /// The object. Objects in a list do not say what they are, so that is put in.
    pub(crate) fn into_value(mut self, resource: &ApiResource) -> Value {
        self.value["apiVersion"] = Value::from(resource.api_version.as_str());
        self.value["kind"] = Value::from(resource.kind.as_str());
        self.value
    }
}

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Fields(fields) = Fields::deserialize(deserializer)?;
        let mut metadata = ObjectMeta::default();
        if let Some(fields) = fields.get("metadata").and_then(Value::as_object) {
            let text = |name: &str| fields.get(name)?.as_str().map(str::to_owned);
            metadata.name = text("name");
            metadata.namespace = text("namespace");
            metadata.resource_version = text("resourceVersion");
        }
        let value = Value::Object(fields);
        Ok(Self { metadata, value })
    }
}

/// The fields of an object. Who wrote which of them is no concern of a decision, and takes more room
/// than the fields, so that is passed over unread; and so is what `ConfigMaps` and Secrets hold.
struct Fields(Map<String, Value>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_map(Reader { metadata: false })
            .map(Self)
    }
}

/// Reads the fields of an object, or those of its metadata.
struct Reader {
    metadata: bool,
}

impl Reader {
    fn is_unread(&self, name: &str) -> bool {
        if self.metadata {
            name == "managedFields"
        } else {
            matches!(name, "data" | "binaryData")
        }
    }
}

impl<'de> Visitor<'de> for Reader {
    type Value = Map<String, Value>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut fields = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            let value = match name.as_str() {
                name if self.is_unread(name) => {
                    entries.next_value::<IgnoredAny>()?;
                    continue;
                }
                "metadata" if !self.metadata => Value::Object(entries.next_value_seed(Metadata)?),
                _ => entries.next_value()?,
            };
            fields.insert(name, value);
        }
        Ok(fields)
    }
}

struct Metadata;

impl<'de> DeserializeSeed<'de> for Metadata {
    type Value = Map<String, Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(Reader { metadata: true })
    }
}

impl Resource for Whole {
    type DynamicType = ApiResource;
    type Scope = kube::core::DynamicResourceScope;

    fn kind(of: &ApiResource) -> Cow<'_, str> {
        of.kind.as_str().into()
    }

    fn group(of: &ApiResource) -> Cow<'_, str> {
        of.group.as_str().into()
    }

    fn version(of: &ApiResource) -> Cow<'_, str> {
        of.version.as_str().into()
    }

    fn api_version(of: &ApiResource) -> Cow<'_, str> {
        of.api_version.as_str().into()
    }

    fn plural(of: &ApiResource) -> Cow<'_, str> {
        of.plural.as_str().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_is_lost_but_who_wrote_what_and_what_is_secret() {
        let whole: Whole = serde_json::from_value(json!({
            "metadata": {
                "name": "web", "namespace": "default", "resourceVersion": "7", "uid": "u",
                "managedFields": [{}],
            },
            "spec": {"a": [1, {"b": null}], "data": 1}, "other": true, "data": {"password": "aQ=="},
        }))
        .unwrap();
        assert_eq!(whole.metadata.resource_version.as_deref(), Some("7"));
        let resource = crate::act::platform_resource("Component").unwrap();
        let expected = json!({
            "apiVersion": "openchoreo.dev/v1alpha1", "kind": "Component",
            "metadata": {"name": "web", "namespace": "default", "resourceVersion": "7", "uid": "u"},
            "spec": {"a": [1, {"b": null}], "data": 1}, "other": true,
        });
        assert_eq!(whole.into_value(&resource), expected);
    }
}
