//! What an `ExternalSecret` means: a pure function of it, the stores and the Secrets.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{ResourceExt as _, api::DynamicObject};
use serde::Deserialize;
use serde_json::{Value, json};

use super::ByName;

/// The namespace of secret values where a store names none.
const DEFAULT_NAMESPACE: &str = "openchoreo-secrets";
/// The field manager's record of what the Secret was made from would show nothing of value; the owner is
/// told by this label, so that people see whose it is.
const LABEL: (&str, &str) = ("reconcile.external-secrets.io/managed", "true");

/// What to do about one `ExternalSecret`.
pub(super) struct Outcome {
    /// The Secret to apply, if it is not there as it should be.
    pub(super) write: Option<Value>,
    /// Its state: the reason it is ready for, or what is missing.
    pub(super) state: Result<&'static str, String>,
}

/// Everything values may come from.
pub(super) struct Sources<'a> {
    cluster_stores: ByName<'a, DynamicObject>,
    stores: ByName<'a, DynamicObject>,
    secrets: ByName<'a, Secret>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    secret_store_ref: StoreRef,
    target: Target,
    data: Vec<Data>,
    data_from: Vec<DataFrom>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct StoreRef {
    name: String,
    kind: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Target {
    name: Option<String>,
    creation_policy: Option<String>,
    template: Template,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Template {
    #[serde(rename = "type")]
    kind: Option<String>,
    metadata: TemplateMetadata,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct TemplateMetadata {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Data {
    secret_key: String,
    remote_ref: RemoteRef,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct DataFrom {
    extract: Option<RemoteRef>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct RemoteRef {
    key: String,
    property: Option<String>,
}

impl<'a> Sources<'a> {
    pub(super) fn new(
        cluster_stores: &'a [Arc<DynamicObject>],
        stores: &'a [Arc<DynamicObject>],
        secrets: &'a [Arc<Secret>],
    ) -> Self {
        Self {
            cluster_stores: by_name(cluster_stores),
            stores: by_name(stores),
            secrets: by_name(secrets),
        }
    }

    /// The namespace whose Secrets a store gives.
    fn namespace(&self, reference: &StoreRef, own: &str) -> Result<String, String> {
        let kind = reference.kind.as_deref().unwrap_or("SecretStore");
        let name = &reference.name;
        let (store, fallback) = if kind == "ClusterSecretStore" {
            let key = (String::new(), name.clone());
            (self.cluster_stores.get(&key), DEFAULT_NAMESPACE)
        } else {
            (self.stores.get(&(own.to_owned(), name.clone())), own)
        };
        let store = store.ok_or_else(|| format!("{kind} {name:?} does not exist"))?;
        supported(store).map_err(|problem| format!("{kind} {name:?}: {problem}"))?;
        let remote = store.data["spec"]["provider"]["kubernetes"]["remoteNamespace"].as_str();
        match remote {
            // A store of one namespace must not open another.
            Some(remote) if kind != "ClusterSecretStore" && remote != own => Err(format!(
                "{kind} {name:?} may only read its own namespace, not {remote}"
            )),
            remote => Ok(remote.unwrap_or(fallback).to_owned()),
        }
    }

    fn values(&self, namespace: &str, key: &str) -> Result<&BTreeMap<String, ByteString>, String> {
        let place = (namespace.to_owned(), key.to_owned());
        self.secrets
            .get(&place)
            .map(|secret| secret.data.as_ref().unwrap_or(&NO_VALUES))
            .ok_or_else(|| format!("Secret {namespace}/{key} does not exist"))
    }
}

static NO_VALUES: BTreeMap<String, ByteString> = BTreeMap::new();

fn by_name<T: kube::Resource>(objects: &[Arc<T>]) -> ByName<'_, T> {
    let key = |o: &T| (o.namespace().unwrap_or_default(), o.name_any());
    objects.iter().map(|o| (key(o), o.as_ref())).collect()
}

fn supported(store: &DynamicObject) -> Result<(), String> {
    let provider = store.data["spec"]["provider"].as_object();
    let names: Vec<&str> = provider
        .into_iter()
        .flat_map(|p| p.keys().map(String::as_str))
        .collect();
    match names.as_slice() {
        [] | ["kubernetes"] => Ok(()),
        others => Err(format!(
            "the provider {} is not served by the embedded home, only kubernetes",
            others.join(", ")
        )),
    }
}

/// Whether a store can be used.
pub(super) fn store_state(store: &DynamicObject) -> Result<&'static str, String> {
    supported(store).map(|()| "Valid")
}

/// Decides about one `ExternalSecret`.
pub(super) fn plan(object: &DynamicObject, sources: &Sources<'_>) -> Outcome {
    match desired(object, sources) {
        Ok((write, _)) => Outcome {
            write,
            state: Ok("SecretSynced"),
        },
        Err(message) => Outcome {
            write: None,
            state: Err(message),
        },
    }
}

fn desired(
    object: &DynamicObject,
    sources: &Sources<'_>,
) -> Result<(Option<Value>, String), String> {
    let spec = object.data.get("spec").cloned().unwrap_or_default();
    let spec: Spec = serde_json::from_value(spec).map_err(|e| e.to_string())?;
    let namespace = object.namespace().unwrap_or_default();
    let name = spec
        .target
        .name
        .clone()
        .unwrap_or_else(|| object.name_any());
    let values = collect(&spec, &namespace, sources)?;
    let policy = spec.target.creation_policy.as_deref().unwrap_or("Owner");
    if policy == "None" {
        return Ok((None, name));
    }
    let existing = sources
        .secrets
        .get(&(namespace.clone(), name.clone()))
        .copied();
    let uid = object.uid().unwrap_or_default();
    let owned =
        existing.is_some_and(|secret| secret.owner_references().iter().any(|o| o.uid == uid));
    if policy == "Merge" && existing.is_none() {
        return Err(format!(
            "Secret {namespace}/{name} to merge into does not exist"
        ));
    }
    if policy == "Owner" && !owned && existing.is_some_and(|s| !s.owner_references().is_empty()) {
        return Err(format!(
            "Secret {namespace}/{name} belongs to another object"
        ));
    }
    let secret = render(object, &spec, &name, &values);
    let current = existing.is_some_and(|secret| same(secret, &spec, &values, policy))
        && (policy != "Owner" || owned);
    Ok(((!current).then_some(secret), name))
}

/// All values that are asked for, or the first that is missing.
fn collect(
    spec: &Spec,
    own: &str,
    sources: &Sources<'_>,
) -> Result<BTreeMap<String, ByteString>, String> {
    let from = sources.namespace(&spec.secret_store_ref, own)?;
    let mut found = BTreeMap::new();
    for extract in spec.data_from.iter().filter_map(|d| d.extract.as_ref()) {
        let values = sources.values(&from, &extract.key)?;
        found.extend(values.iter().map(|(k, v)| (k.clone(), v.clone())));
    }
    for data in &spec.data {
        let remote = &data.remote_ref;
        let values = sources.values(&from, &remote.key)?;
        let value = match &remote.property {
            Some(property) => values
                .get(property)
                .cloned()
                .ok_or_else(|| format!("Secret {from}/{} has no key {property:?}", remote.key))?,
            None => whole(values),
        };
        found.insert(data.secret_key.clone(), value);
    }
    Ok(found)
}

/// A Secret without a property named: all its values as one JSON object.
fn whole(values: &BTreeMap<String, ByteString>) -> ByteString {
    let text: BTreeMap<&str, String> = values
        .iter()
        .map(|(k, v)| (k.as_str(), String::from_utf8_lossy(&v.0).into_owned()))
        .collect();
    ByteString(json!(text).to_string().into_bytes())
}

fn render(
    object: &DynamicObject,
    spec: &Spec,
    name: &str,
    values: &BTreeMap<String, ByteString>,
) -> Value {
    let template = &spec.target.template;
    let mut labels = template.metadata.labels.clone();
    labels.insert(LABEL.0.to_owned(), LABEL.1.to_owned());
    let mut secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "namespace": object.namespace(),
            "labels": labels,
            "annotations": template.metadata.annotations,
        },
        "data": values,
    });
    let policy = spec.target.creation_policy.as_deref().unwrap_or("Owner");
    if policy != "Merge" {
        secret["type"] = json!(template.kind.as_deref().unwrap_or("Opaque"));
    }
    if policy == "Owner" {
        secret["metadata"]["ownerReferences"] = json!([{
            "apiVersion": "external-secrets.io/v1",
            "kind": "ExternalSecret",
            "name": object.name_any(),
            "uid": object.uid(),
            "controller": true,
            "blockOwnerDeletion": true,
        }]);
    }
    secret
}

/// Whether a Secret already is what it should be.
fn same(secret: &Secret, spec: &Spec, values: &BTreeMap<String, ByteString>, policy: &str) -> bool {
    let data = secret.data.as_ref().unwrap_or(&NO_VALUES);
    if policy == "Merge" {
        return values.iter().all(|(k, v)| data.get(k) == Some(v));
    }
    let template = &spec.target.template;
    let has = |all: &BTreeMap<String, String>, some: &BTreeMap<String, String>| {
        some.iter().all(|(k, v)| all.get(k) == Some(v))
    };
    data == values
        && secret.type_.as_deref().unwrap_or("Opaque")
            == template.kind.as_deref().unwrap_or("Opaque")
        && has(secret.labels(), &template.metadata.labels)
        && has(secret.annotations(), &template.metadata.annotations)
}

/// The whole status of an object in a state.
pub(super) fn status(
    kind: &str,
    object: &DynamicObject,
    state: &Result<&'static str, String>,
    old: &Value,
    now: jiff::Timestamp,
) -> Value {
    let now = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let of_secret = kind == "ExternalSecret";
    let (ready, reason, message) = match state {
        Ok(reason) if of_secret => ("True", *reason, "secret synced"),
        Ok(reason) => ("True", *reason, "store validated"),
        Err(message) if of_secret => ("False", "SecretSyncedError", message.as_str()),
        Err(message) => ("False", "InvalidProviderConfig", message.as_str()),
    };
    let before = &old["conditions"][0];
    let since = if before["status"] == ready && before["lastTransitionTime"].is_string() {
        before["lastTransitionTime"].clone()
    } else {
        json!(now)
    };
    let mut status = json!({"conditions": [{
        "type": "Ready",
        "status": ready,
        "reason": reason,
        "message": message,
        "lastTransitionTime": since,
    }]});
    if of_secret {
        let target = object.data["spec"]["target"]["name"].as_str();
        status["binding"] =
            json!({"name": target.map_or_else(|| object.name_any(), str::to_owned)});
        if let Some(generation) = object.metadata.generation {
            status["syncedResourceVersion"] = json!(generation.to_string());
        }
    } else {
        status["capabilities"] = json!("ReadOnly");
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object<T: serde::de::DeserializeOwned>(value: Value) -> Arc<T> {
        Arc::new(serde_json::from_value(value).unwrap())
    }

    /// Plans `spec` against one store and the Secret `db` with key `password`.
    fn check(spec: &Value, existing: Option<Value>) -> Outcome {
        let wanted: Arc<DynamicObject> = object(json!({
            "apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret",
            "metadata": {"name": "app", "namespace": "cell", "uid": "u1"}, "spec": spec,
        }));
        let stores = [object(json!({
            "apiVersion": "external-secrets.io/v1", "kind": "ClusterSecretStore",
            "metadata": {"name": "default"}, "spec": {"provider": {"kubernetes": {}}},
        }))];
        let mut secrets = vec![object(json!({
            "metadata": {"name": "db", "namespace": "openchoreo-secrets"},
            "data": {"password": "aHVudGVyMg=="},
        }))];
        secrets.extend(existing.map(object));
        plan(&wanted, &Sources::new(&stores, &[], &secrets))
    }

    fn spec(key: &str, property: &str) -> Value {
        json!({
            "secretStoreRef": {"name": "default", "kind": "ClusterSecretStore"},
            "target": {"name": "app-env", "template": {"type": "example.org/kind"}},
            "data": [{"secretKey": "PASSWORD", "remoteRef": {"key": key, "property": property}}],
        })
    }

    #[test]
    fn a_secret_is_made_and_then_left_alone() {
        let outcome = check(&spec("db", "password"), None);
        assert_eq!(outcome.state, Ok("SecretSynced"));
        let secret = outcome.write.unwrap();
        assert_eq!(secret["data"], json!({"PASSWORD": "aHVudGVyMg=="}));
        assert_eq!(secret["type"], "example.org/kind");
        assert_eq!(secret["metadata"]["ownerReferences"][0]["uid"], "u1");
        assert!(check(&spec("db", "password"), Some(secret)).write.is_none());
    }

    #[test]
    fn what_is_missing_is_named() {
        for (key, property, named) in [("db", "user", "\"user\""), ("mail", "x", "mail")] {
            let outcome = check(&spec(key, property), None);
            let message = outcome.state.unwrap_err();
            assert!(message.contains(named), "{message}");
            assert!(!message.contains("hunter2"), "{message}");
            assert!(outcome.write.is_none());
        }
        let mut other = spec("db", "password");
        other["secretStoreRef"]["name"] = json!("vault");
        assert!(check(&other, None).state.unwrap_err().contains("vault"));
    }

    #[test]
    fn a_secret_of_another_owner_is_not_taken() {
        let foreign = json!({
            "metadata": {"name": "app-env", "namespace": "cell", "ownerReferences": [
                {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u2"},
            ]},
        });
        let outcome = check(&spec("db", "password"), Some(foreign));
        assert!(outcome.state.is_err() && outcome.write.is_none());
    }

    #[test]
    fn status_keeps_its_time_while_nothing_changes() {
        let object: Arc<DynamicObject> = object(json!({
            "apiVersion": "a/v1", "kind": "ExternalSecret", "metadata": {"name": "x"}, "spec": {},
        }));
        let at = |second| jiff::Timestamp::from_second(second).unwrap();
        let state = Ok("SecretSynced");
        let first = status("ExternalSecret", &object, &state, &Value::Null, at(0));
        assert_eq!(
            status("ExternalSecret", &object, &state, &first, at(9)),
            first
        );
        let failed = Err("gone".to_owned());
        let later = status("ExternalSecret", &object, &failed, &first, at(9));
        assert_eq!(
            later["conditions"][0]["lastTransitionTime"],
            "1970-01-01T00:00:09Z"
        );
        assert_eq!(later["conditions"][0]["reason"], "SecretSyncedError");
    }
}
