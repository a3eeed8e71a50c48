//! What an `ExternalSecret` means: a pure function of it, the stores and the Secrets.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{ResourceExt as _, api::DynamicObject};
use serde_json::{Value, json};

use super::{
    ByName,
    generator::Password,
    kept::{Kept, Missing},
    spec::{GeneratorRef, RemoteRef, Spec, StoreRef},
    template,
};

/// The namespace of secret values where a store names none.
const DEFAULT_NAMESPACE: &str = "openchoreo-secrets";
/// The field manager's record of what the Secret was made from would show nothing of value; the owner is
/// told by this label, so that people see whose it is.
const LABEL: (&str, &str) = ("reconcile.external-secrets.io/managed", "true");

/// What to do about one `ExternalSecret`.
pub(super) enum Outcome {
    /// Make these values first; the Secret is planned when they are kept.
    Generate(Box<Missing>),
    /// Write the Secret, if it is not there as it should be, and tell the state.
    Settle {
        /// The Secret to apply.
        write: Option<Value>,
        /// The reason it is ready for, or what is missing.
        state: Result<&'static str, String>,
    },
}

type Values = BTreeMap<String, ByteString>;

/// Everything values may come from.
pub(super) struct Sources<'a> {
    cluster_stores: ByName<'a, DynamicObject>,
    stores: ByName<'a, DynamicObject>,
    secrets: ByName<'a, Secret>,
    passwords: ByName<'a, DynamicObject>,
}

impl<'a> Sources<'a> {
    pub(super) fn new(
        cluster_stores: &'a [Arc<DynamicObject>],
        stores: &'a [Arc<DynamicObject>],
        secrets: &'a [Arc<Secret>],
        passwords: &'a [Arc<DynamicObject>],
    ) -> Self {
        Self {
            cluster_stores: by_name(cluster_stores),
            stores: by_name(stores),
            secrets: by_name(secrets),
            passwords: by_name(passwords),
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

    /// What a generator makes.
    fn password(&self, namespace: &str, reference: &GeneratorRef) -> Result<Password, String> {
        let GeneratorRef { kind, name } = reference;
        if kind != "Password" {
            return Err(format!(
                "the generator {kind} is not served by the embedded home, only Password"
            ));
        }
        let place = (namespace.to_owned(), name.clone());
        let found = self
            .passwords
            .get(&place)
            .ok_or_else(|| format!("Password {name:?} does not exist"))?;
        let spec = found.data.get("spec").cloned().unwrap_or_default();
        let password: Password = serde_json::from_value(spec)
            .map_err(|problem| format!("Password {name:?}: {problem}"))?;
        let checked = password.check();
        checked.map_err(|problem| format!("Password {name:?}: {problem}"))?;
        Ok(password)
    }

    fn values(&self, namespace: &str, key: &str) -> Result<&Values, String> {
        let place = (namespace.to_owned(), key.to_owned());
        self.secrets
            .get(&place)
            .map(|secret| secret.data.as_ref().unwrap_or(&NO_VALUES))
            .ok_or_else(|| format!("Secret {namespace}/{key} does not exist"))
    }
}

static NO_VALUES: Values = Values::new();

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
    let settle = |result: Result<Option<Value>, String>| {
        let (write, state) = match result {
            Ok(write) => (write, Ok("SecretSynced")),
            Err(message) => (None, Err(message)),
        };
        Outcome::Settle { write, state }
    };
    let spec = object.data.get("spec").cloned().unwrap_or_default();
    let spec: Spec = match serde_json::from_value(spec) {
        Ok(spec) => spec,
        Err(problem) => return settle(Err(problem.to_string())),
    };
    if let Some(part) = spec.unserved() {
        let message = format!("{part} is not served by the embedded home");
        return settle(Err(message));
    }
    let namespace = object.namespace().unwrap_or_default();
    let kept = Kept::of(object, |name| {
        sources.secrets.get(&(namespace.clone(), name)).copied()
    });
    match collect(&spec, &namespace, sources, &kept) {
        Ok((_, missing)) if !missing.is_empty() => Outcome::Generate(Box::new(kept.with(missing))),
        Ok((raw, _)) => settle(templated(&spec, raw).and_then(|values| {
            let name = spec.target_name(object.name_any());
            desired(object, &spec, sources, &name, &values)
        })),
        Err(message) => settle(Err(message)),
    }
}

/// The Secret to write, or why it may not be written.
fn desired(
    object: &DynamicObject,
    spec: &Spec,
    sources: &Sources<'_>,
    name: &str,
    values: &Values,
) -> Result<Option<Value>, String> {
    let namespace = object.namespace().unwrap_or_default();
    let policy = spec.policy();
    if policy == "None" {
        return Ok(None);
    }
    let existing = sources
        .secrets
        .get(&(namespace.clone(), name.to_owned()))
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
    let current = existing.is_some_and(|secret| same(secret, spec, values, policy))
        && (policy != "Owner" || owned);
    Ok((!current).then(|| render(object, spec, name, values)))
}

/// All values that are asked for and the generated ones that are not made yet, or the first that
/// cannot be had.
fn collect(
    spec: &Spec,
    own: &str,
    sources: &Sources<'_>,
    kept: &Kept<'_>,
) -> Result<(Values, Vec<(String, Password)>), String> {
    let (mut found, mut missing) = (Values::new(), Vec::new());
    if !spec.secret_store_ref.name.is_empty() {
        sources.namespace(&spec.secret_store_ref, own)?;
    }
    let mut uses: BTreeMap<&str, usize> = BTreeMap::new();
    for from in &spec.data_from {
        if let Some(generator) = &from.source_ref.generator_ref {
            let password = sources.password(own, generator)?;
            // The same generator named twice makes two values.
            let turn = uses.entry(&generator.name).or_default();
            for key in password.keys() {
                let place = Kept::place(&generator.name, *turn, &key);
                match kept.get(&place) {
                    Some(value) => _ = found.insert(key, value.clone()),
                    None => missing.push((place, password.clone())),
                }
            }
            *turn += 1;
        }
        if let Some(extract) = &from.extract {
            let store = from.source_ref.store_ref.as_ref();
            let namespace = sources.namespace(store.unwrap_or(&spec.secret_store_ref), own)?;
            let values = sources.values(&namespace, &extract.key)?;
            found.extend(values.iter().map(|(k, v)| (k.clone(), v.clone())));
        }
    }
    for data in &spec.data {
        let namespace = sources.namespace(&spec.secret_store_ref, own)?;
        let value = one(sources, &namespace, &data.remote_ref)?;
        found.insert(data.secret_key.clone(), value);
    }
    Ok((found, missing))
}

fn one(sources: &Sources<'_>, namespace: &str, remote: &RemoteRef) -> Result<ByteString, String> {
    let values = sources.values(namespace, &remote.key)?;
    let Some(property) = &remote.property else {
        return Ok(whole(values));
    };
    let value = values.get(property).cloned();
    value.ok_or_else(|| {
        let key = &remote.key;
        format!("Secret {namespace}/{key} has no key {property:?}")
    })
}

/// What the Secret holds: the values, or what a template makes of them.
fn templated(spec: &Spec, raw: Values) -> Result<Values, String> {
    let template = &spec.target.template;
    if template.data.is_empty() {
        return Ok(raw);
    }
    let filled = template.data.iter().map(|(key, text)| {
        let filled = template::fill(text, &raw)
            .map_err(|problem| format!("target.template.data[{key:?}]: {problem}"))?;
        Ok((key.clone(), ByteString(filled.into_bytes())))
    });
    let filled: Values = filled.collect::<Result<_, String>>()?;
    if template.merge_policy.as_deref() == Some("Merge") {
        return Ok(raw.into_iter().chain(filled).collect());
    }
    Ok(filled)
}

/// A Secret without a property named: all its values as one JSON object.
fn whole(values: &Values) -> ByteString {
    let text: BTreeMap<&str, String> = values
        .iter()
        .map(|(k, v)| (k.as_str(), String::from_utf8_lossy(&v.0).into_owned()))
        .collect();
    ByteString(json!(text).to_string().into_bytes())
}

fn render(object: &DynamicObject, spec: &Spec, name: &str, values: &Values) -> Value {
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
    let policy = spec.policy();
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
fn same(secret: &Secret, spec: &Spec, values: &Values, policy: &str) -> bool {
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
    fn check(spec: &Value, existing: Option<Value>) -> Settled {
        match outcome(spec, existing) {
            Outcome::Settle { write, state } => Settled { write, state },
            Outcome::Generate(missing) => panic!("unexpected: {missing:?}"),
        }
    }

    struct Settled {
        write: Option<Value>,
        state: Result<&'static str, String>,
    }

    fn outcome(spec: &Value, existing: impl IntoIterator<Item = Value>) -> Outcome {
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
        secrets.extend(existing.into_iter().map(object));
        let passwords = [object(json!({
            "apiVersion": "generators.external-secrets.io/v1alpha1", "kind": "Password",
            "metadata": {"name": "pg", "namespace": "cell"},
            "spec": {"symbols": 0, "secretKeys": ["password", "admin"]},
        }))];
        let sources = Sources::new(&stores, &[], &secrets, &passwords);
        plan(&wanted, &sources)
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

    fn generated(data: &Value) -> Value {
        let generator = json!({"generatorRef": {
            "apiVersion": "generators.external-secrets.io/v1alpha1", "kind": "Password", "name": "pg",
        }});
        json!({
            "refreshInterval": "0",
            "target": {"name": "pg", "template": {"data": data}},
            "dataFrom": [{"sourceRef": generator}],
        })
    }

    fn text(secret: &Value, key: &str) -> String {
        let value: ByteString = serde_json::from_value(secret["data"][key].clone()).unwrap();
        String::from_utf8(value.0).unwrap()
    }

    #[test]
    fn a_generated_value_is_made_once_and_outlives_every_edit() {
        let spec = generated(&json!({"url": "pg://{{ .password }}@one"}));
        let Outcome::Generate(missing) = outcome(&spec, None) else {
            panic!("it is to be made");
        };
        let kept = json!(missing.secret());
        let made = text(&kept, "pg_0_password");
        assert_eq!(made.len(), 24);
        assert_eq!(kept["metadata"]["ownerReferences"][0]["uid"], "u1");
        let first = check(&spec, Some(kept.clone())).write.unwrap();
        assert_eq!(text(&first, "url"), format!("pg://{made}@one"));
        // Another template, and the Secret that was made is gone.
        let spec = generated(&json!({"url": "pg://{{ .password }}@two", "admin": "{{ .admin }}"}));
        let second = check(&spec, Some(kept.clone())).write.unwrap();
        assert_eq!(text(&second, "url"), format!("pg://{made}@two"));
        assert_ne!(text(&second, "admin"), made);
        // A value that got lost is made again, and only that one.
        let mut less = kept;
        less["data"].as_object_mut().unwrap().remove("pg_0_admin");
        let Outcome::Generate(missing) = outcome(&spec, Some(less)) else {
            panic!("it is to be made");
        };
        let again = json!(missing.secret());
        assert_eq!(text(&again, "pg_0_password"), made);
        assert!(again["data"]["pg_0_admin"].is_string());
    }

    #[test]
    fn what_cannot_be_generated_is_named() {
        let mut other = generated(&json!({}));
        other["dataFrom"][0]["sourceRef"]["generatorRef"]["name"] = json!("none");
        assert!(check(&other, None).state.unwrap_err().contains("\"none\""));
        other["dataFrom"][0]["sourceRef"]["generatorRef"]["kind"] = json!("UUID");
        assert!(check(&other, None).state.unwrap_err().contains("UUID"));
        let find = json!({"dataFrom": [{"find": {"name": {"regexp": ".*"}}}]});
        let message = check(&find, None).state.unwrap_err();
        assert!(message.contains("dataFrom.find"), "{message}");
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
