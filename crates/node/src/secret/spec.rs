//! What an `ExternalSecret` says, as far as the embedded home serves it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Spec {
    pub(super) secret_store_ref: StoreRef,
    pub(super) target: Target,
    pub(super) data: Vec<Data>,
    pub(super) data_from: Vec<DataFrom>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct StoreRef {
    pub(super) name: String,
    pub(super) kind: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Target {
    pub(super) name: Option<String>,
    pub(super) creation_policy: Option<String>,
    pub(super) template: Template,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Template {
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) metadata: TemplateMetadata,
    pub(super) data: BTreeMap<String, String>,
    pub(super) merge_policy: Option<String>,
    #[serde(rename = "templateFrom")]
    pub(super) others: Vec<Value>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct TemplateMetadata {
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Data {
    pub(super) secret_key: String,
    pub(super) remote_ref: RemoteRef,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct DataFrom {
    pub(super) extract: Option<RemoteRef>,
    pub(super) source_ref: SourceRef,
    pub(super) find: Option<Value>,
    pub(super) rewrite: Vec<Value>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct SourceRef {
    pub(super) store_ref: Option<StoreRef>,
    pub(super) generator_ref: Option<GeneratorRef>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct GeneratorRef {
    pub(super) kind: String,
    pub(super) name: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct RemoteRef {
    pub(super) key: String,
    pub(super) property: Option<String>,
}

impl Spec {
    /// The name of the Secret to make, of an object of this name.
    pub(super) fn target_name(&self, own: String) -> String {
        self.target.name.clone().unwrap_or(own)
    }

    pub(super) fn policy(&self) -> &str {
        self.target.creation_policy.as_deref().unwrap_or("Owner")
    }

    /// The first part that the embedded home does not serve.
    pub(super) fn unserved(&self) -> Option<&'static str> {
        if !self.target.template.others.is_empty() {
            return Some("target.template.templateFrom");
        }
        self.data_from.iter().find_map(|from| {
            if from.find.is_some() {
                Some("dataFrom.find")
            } else if !from.rewrite.is_empty() {
                Some("dataFrom.rewrite")
            } else {
                None
            }
        })
    }
}
