//! Objects as watches bring them. Of those of the platform the text is kept, since it is read once it is known
//! what they are; those of planes are trees.

use std::borrow::Cow;
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::api::ApiResource;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::health;

/// An object of any type.
#[derive(Clone, Debug)]
pub(crate) struct Watched<T> {
    /// What a watch has to know of it: its name, namespace and version.
    metadata: ObjectMeta,
    pub(crate) object: T,
}

impl Watched<Value> {
    /// The object. Objects in a list do not say what they are, so that is put in.
    pub(crate) fn into_value(mut self, resource: &ApiResource) -> Value {
        self.object["apiVersion"] = Value::from(resource.api_version.as_str());
        self.object["kind"] = Value::from(resource.kind.as_str());
        self.object
    }
}

impl<'de> Deserialize<'de> for Watched<Value> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = deserializer.deserialize_map(Part::Object)?;
        let mut metadata = ObjectMeta::default();
        if let Some(fields) = fields.get("metadata").and_then(Value::as_object) {
            let text = |name: &str| fields.get(name)?.as_str().map(str::to_owned);
            metadata.name = text("name");
            metadata.namespace = text("namespace");
            metadata.resource_version = text("resourceVersion");
        }
        let object = Value::Object(fields);
        Ok(Self { metadata, object })
    }
}

impl<'de> Deserialize<'de> for Watched<Box<RawValue>> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let object = Box::<RawValue>::deserialize(deserializer)?;
        let Head { metadata } = serde_json::from_str(object.get()).map_err(D::Error::custom)?;
        let metadata = ObjectMeta {
            name: metadata.name,
            namespace: metadata.namespace,
            resource_version: metadata.resource_version,
            ..ObjectMeta::default()
        };
        Ok(Self { metadata, object })
    }
}

/// What is read of every text.
#[derive(Deserialize)]
struct Head {
    metadata: Names,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Names {
    name: Option<String>,
    namespace: Option<String>,
    resource_version: Option<String>,
}

/// The part of an object that is read. Who wrote which field is no concern of a decision, and takes more room than
/// the fields, so that is passed over unread; and so is what `ConfigMaps` and Secrets hold, and of what is wanted
/// all that does not tell how an object is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Object,
    Metadata,
    Spec,
}

impl Part {
    fn is_unread(self, name: &str) -> bool {
        match self {
            Self::Object => matches!(name, "data" | "binaryData"),
            Self::Metadata => name == "managedFields",
            Self::Spec => !health::WANTED.contains(&name),
        }
    }

    /// The part of this name.
    fn of(self, name: &str) -> Option<Self> {
        match (self, name) {
            (Self::Object, "metadata") => Some(Self::Metadata),
            (Self::Object, "spec") => Some(Self::Spec),
            _ => None,
        }
    }
}

impl<'de> Visitor<'de> for Part {
    type Value = Map<String, Value>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut fields = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            if self.is_unread(&name) {
                entries.next_value::<IgnoredAny>()?;
                continue;
            }
            let value = match self.of(&name) {
                Some(part) => Value::Object(entries.next_value_seed(part)?),
                None => entries.next_value()?,
            };
            fields.insert(name, value);
        }
        Ok(fields)
    }

    /// Not all kinds are like those of Kubernetes: what is wanted may be anything.
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Map::new())
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Map::new())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Map::new())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Map::new())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Map::new())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Map::new())
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(Map::new())
    }
}

impl<'de> DeserializeSeed<'de> for Part {
    type Value = Map<String, Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<T> Resource for Watched<T> {
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
    use kube::api::WatchEvent;
    use serde_json::json;

    use super::*;

    fn check(object: Value, expected: &Value) {
        let watched: Watched<Value> = serde_json::from_value(object).unwrap();
        assert_eq!(watched.metadata.resource_version.as_deref(), Some("7"));
        let resource = crate::act::platform_resource("Component").unwrap();
        assert_eq!(&watched.into_value(&resource), expected);
    }

    #[test]
    fn of_what_is_on_a_plane_only_what_tells_how_it_is_is_read() {
        let metadata =
            json!({"name": "web", "namespace": "default", "resourceVersion": "7", "uid": "u"});
        let mut managed = metadata.clone();
        managed["managedFields"] = json!([{}]);
        check(
            json!({
                "metadata": managed, "status": {"data": [1, {"spec": null}]}, "other": true,
                "spec": {"replicas": 2, "template": {}, "suspend": true}, "data": {"password": "aQ=="},
            }),
            &json!({
                "apiVersion": "openchoreo.dev/v1alpha1", "kind": "Component", "metadata": metadata,
                "status": {"data": [1, {"spec": null}]}, "other": true,
                "spec": {"replicas": 2, "suspend": true},
            }),
        );
        for odd in [
            json!(null),
            json!([1]),
            json!("x"),
            json!(-1),
            json!(1.5),
            json!(true),
        ] {
            check(
                json!({"metadata": metadata, "spec": odd}),
                &json!({
                    "apiVersion": "openchoreo.dev/v1alpha1", "kind": "Component",
                    "metadata": metadata, "spec": {},
                }),
            );
        }
    }

    #[test]
    fn a_text_is_kept_as_it_is() {
        let text = r#"{"spec": 1.0, "metadata": {"name": "web", "resourceVersion": "7", "managedFields": []}}"#;
        let event = format!(r#"{{"type": "ADDED", "object": {text}}}"#);
        let event: WatchEvent<Watched<Box<RawValue>>> = serde_json::from_str(&event).unwrap();
        let WatchEvent::Added(watched) = event else {
            panic!("{event:?}");
        };
        assert_eq!(watched.object.get(), text);
        let names = (watched.metadata.name, watched.metadata.resource_version);
        assert_eq!(names, (Some("web".to_owned()), Some("7".to_owned())));
        assert_eq!(watched.metadata.namespace, None);
    }
}
