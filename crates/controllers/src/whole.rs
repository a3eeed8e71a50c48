//! Objects as watches bring them: the whole text as one value, read once.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::api::ApiResource;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

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
        let mut value = Value::deserialize(deserializer)?;
        let mut metadata = ObjectMeta::default();
        if let Some(fields) = value.get_mut("metadata").and_then(Value::as_object_mut) {
            // Who wrote which field is no concern of a decision, and takes more room than the fields.
            fields.remove("managedFields");
            let text = |name: &str| fields.get(name)?.as_str().map(str::to_owned);
            metadata.name = text("name");
            metadata.namespace = text("namespace");
            metadata.resource_version = text("resourceVersion");
        }
        Ok(Self { metadata, value })
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
    fn nothing_is_lost_but_who_wrote_what() {
        let whole: Whole = serde_json::from_value(json!({
            "metadata": {
                "name": "web", "namespace": "default", "resourceVersion": "7", "uid": "u",
                "managedFields": [{}],
            },
            "spec": {"a": [1, {"b": null}]}, "other": true,
        }))
        .unwrap();
        assert_eq!(whole.metadata.resource_version.as_deref(), Some("7"));
        let resource = crate::act::platform_resource("Component").unwrap();
        let expected = json!({
            "apiVersion": "openchoreo.dev/v1alpha1", "kind": "Component",
            "metadata": {"name": "web", "namespace": "default", "resourceVersion": "7", "uid": "u"},
            "spec": {"a": [1, {"b": null}]}, "other": true,
        });
        assert_eq!(whole.into_value(&resource), expected);
    }
}
