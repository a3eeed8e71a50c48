//! The environment of a container, from all the places it can come from.

use std::borrow::Cow;
use std::collections::BTreeMap;

use choreo_model::quantity;
use k8s_openapi::api::core::v1::{
    Container, EnvFromSource, EnvVarSource, ObjectFieldSelector, Pod, ResourceFieldSelector,
};

use super::links;
use crate::{index::Index, node::Capacity};

/// What a pod is told about itself that its object does not say.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// Its address.
    pub address: String,
    /// Its node.
    pub node: String,
    /// What its node has: the limit of what has none.
    pub capacity: Capacity,
}

type Env = BTreeMap<String, String>;

/// The environment of a container, or the first thing that is missing.
pub fn resolve(index: &Index, pod: &Pod, container: &Container, own: &Told) -> Result<Env, String> {
    let mut env = links::of(index, pod);
    for source in container.env_from.iter().flatten() {
        include(index, pod, source, &mut env)?;
    }
    for variable in container.env.iter().flatten() {
        let value = match &variable.value_from {
            None => Some(expand(variable.value.as_deref().unwrap_or_default(), &env)),
            Some(source) => referenced(index, pod, container, source, own)?,
        };
        if let Some(value) = value {
            env.insert(variable.name.clone(), value);
        }
    }
    Ok(env)
}

fn include(index: &Index, pod: &Pod, source: &EnvFromSource, env: &mut Env) -> Result<(), String> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let prefix = source.prefix.as_deref().unwrap_or_default();
    if let Some(wanted) = &source.config_map_ref {
        match index.config_maps.find(namespace, &wanted.name) {
            Some(found) => {
                let data = found.data.iter().flatten();
                env.extend(data.map(|(key, value)| (format!("{prefix}{key}"), value.clone())));
            }
            None if wanted.optional == Some(true) => {}
            None => return Err(format!("configmap {:?} not found", wanted.name)),
        }
    }
    if let Some(wanted) = &source.secret_ref {
        match index.secrets.find(namespace, &wanted.name) {
            Some(found) => {
                let data = found.data.iter().flatten();
                env.extend(data.map(|(key, value)| (format!("{prefix}{key}"), text(&value.0))));
            }
            None if wanted.optional == Some(true) => {}
            None => return Err(format!("secret {:?} not found", wanted.name)),
        }
    }
    Ok(())
}

fn referenced(
    index: &Index,
    pod: &Pod,
    container: &Container,
    source: &EnvVarSource,
    own: &Told,
) -> Result<Option<String>, String> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    if let Some(wanted) = &source.config_map_key_ref {
        let found = index.config_maps.find(namespace, &wanted.name);
        let value = found
            .as_ref()
            .and_then(|map| map.data.as_ref()?.get(&wanted.key).cloned());
        let optional = wanted.optional == Some(true);
        return present(
            "configmap",
            &wanted.name,
            &wanted.key,
            (found.is_some(), optional),
            value,
        );
    }
    if let Some(wanted) = &source.secret_key_ref {
        let found = index.secrets.find(namespace, &wanted.name);
        let value = found
            .as_ref()
            .and_then(|s| s.data.as_ref()?.get(&wanted.key))
            .map(|v| text(&v.0));
        let optional = wanted.optional == Some(true);
        return present(
            "secret",
            &wanted.name,
            &wanted.key,
            (found.is_some(), optional),
            value,
        );
    }
    if let Some(field) = &source.field_ref {
        return field_of(pod, field, own).map(Some);
    }
    if let Some(field) = &source.resource_field_ref {
        return resource_of(pod, container, field, own.capacity).map(Some);
    }
    Err("an environment variable has no source this node knows".to_owned())
}

/// A value that has to be there unless it is optional.
fn present(
    kind: &str,
    name: &str,
    key: &str,
    (found, optional): (bool, bool),
    value: Option<String>,
) -> Result<Option<String>, String> {
    match value {
        Some(value) => Ok(Some(value)),
        None if optional => Ok(None),
        None if found => Err(format!("couldn't find key {key} in {kind} {name:?}")),
        None => Err(format!("{kind} {name:?} not found")),
    }
}

/// A field of the pod, as text.
pub fn field_of(pod: &Pod, field: &ObjectFieldSelector, own: &Told) -> Result<String, String> {
    let meta = &pod.metadata;
    let spec = pod.spec.as_ref();
    let path = field.field_path.as_str();
    let value = match path {
        "metadata.name" => meta.name.clone(),
        "metadata.namespace" => meta.namespace.clone(),
        "metadata.uid" => meta.uid.clone(),
        "metadata.labels" => Some(lines(meta.labels.as_ref())),
        "metadata.annotations" => Some(lines(meta.annotations.as_ref())),
        "spec.nodeName" => Some(own.node.clone()),
        "spec.serviceAccountName" => spec.and_then(|spec| spec.service_account_name.clone()),
        "status.podIP" | "status.podIPs" | "status.hostIP" | "status.hostIPs" => {
            Some(own.address.clone())
        }
        _ => {
            let key = |map: &str| Some(path.strip_prefix(map)?.strip_suffix("']")?.to_owned());
            if let Some(key) = key("metadata.labels['") {
                Some(
                    meta.labels
                        .as_ref()
                        .and_then(|all| all.get(&key).cloned())
                        .unwrap_or_default(),
                )
            } else if let Some(key) = key("metadata.annotations['") {
                let all = meta.annotations.as_ref();
                Some(
                    all.and_then(|all| all.get(&key).cloned())
                        .unwrap_or_default(),
                )
            } else {
                return Err(format!("fieldPath {path:?} is not supported"));
            }
        }
    };
    Ok(value.unwrap_or_default())
}

fn lines(map: Option<&BTreeMap<String, String>>) -> String {
    let lines = map
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={value:?}\n"));
    lines.collect()
}

/// A request or limit of a container, as a number. What has no limit may have the whole node.
pub fn resource_of(
    pod: &Pod,
    container: &Container,
    field: &ResourceFieldSelector,
    capacity: Capacity,
) -> Result<String, String> {
    let named = field
        .container_name
        .as_deref()
        .filter(|name| !name.is_empty());
    let spec = match named {
        Some(name) => {
            super::spec_of(pod, name).ok_or_else(|| format!("container {name:?} not found"))?
        }
        None => Cow::Borrowed(container),
    };
    let resources = spec.resources.clone().unwrap_or_default();
    let (kind, resource) = field
        .resource
        .split_once('.')
        .ok_or_else(|| format!("bad resource {:?}", field.resource))?;
    let list = if kind == "limits" {
        resources.limits
    } else {
        resources.requests
    };
    let amount = list.and_then(|list| list.get(resource).cloned());
    let divisor = field
        .divisor
        .as_ref()
        .and_then(|divisor| quantity::milli(&divisor.0))
        .filter(|d| *d > 0);
    let divisor = divisor.unwrap_or(1000);
    let whole = match (kind, resource) {
        ("limits", "cpu") => capacity.cpu_millis,
        ("limits", "memory") => capacity.memory.saturating_mul(1000),
        _ => 0,
    };
    let value = amount
        .as_ref()
        .and_then(|amount| quantity::milli(&amount.0))
        .unwrap_or(whole);
    Ok(value.div_ceil(divisor).to_string())
}

/// Replaces `$(NAME)` by what is known; `$$` stands for a dollar.
pub fn expand(text: &str, env: &Env) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(position) = rest.find('$') {
        out.push_str(&rest[..position]);
        rest = &rest[position + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = rest
            .strip_prefix('(')
            .and_then(|inner| inner.split_once(')'))
            && let Some(value) = env.get(name)
        {
            out.push_str(value);
            rest = after;
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    out
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{ConfigMap, Secret};
    use serde_json::{Value, from_value, json};

    use super::*;

    fn check(container: &Value, expected: Result<&[(&str, &str)], &str>) {
        let mut index = Index::default();
        let meta = |name: &str| json!({"name": name, "namespace": "ns"});
        let map = json!({"metadata": meta("conf"), "data": {"a": "1", "b": "2"}});
        index.apply(from_value::<ConfigMap>(map).unwrap());
        let secret = json!({"metadata": meta("safe"), "data": {"token": "c2Vj"}});
        index.apply(from_value::<Secret>(secret).unwrap());
        let pod: Pod = from_value(json!({
            "metadata": {"name": "p", "namespace": "ns", "labels": {"app": "web"}},
            "spec": {"containers": [container]},
        }))
        .unwrap();
        let spec = &pod.spec.as_ref().unwrap().containers[0];
        let own = Told {
            address: "10.128.1.2".into(),
            node: "choreo".into(),
            capacity: Capacity {
                cpu_millis: 2000,
                memory: 1 << 30,
            },
        };
        let expected = expected.map_err(str::to_owned).map(|all| {
            all.iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect::<Env>()
        });
        assert_eq!(resolve(&index, &pod, spec, &own), expected);
    }

    #[test]
    fn every_source_is_read() {
        let from = json!({"name": "main",
            "envFrom": [{"prefix": "C_", "configMapRef": {"name": "conf"}},
                        {"secretRef": {"name": "none", "optional": true}}],
            "env": [{"name": "T", "valueFrom": {"secretKeyRef": {"name": "safe", "key": "token"}}},
                    {"name": "U", "value": "x-$(T)-$(NO)-$$(T)"},
                    {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                    {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
                    {"name": "CPUS", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
                    {"name": "MEM", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}}],
            "resources": {"limits": {"memory": "64Mi"}}});
        let expected = [
            ("APP", "web"),
            ("C_a", "1"),
            ("CPUS", "2"),
            ("C_b", "2"),
            ("IP", "10.128.1.2"),
            ("MEM", "64"),
            ("T", "sec"),
            ("U", "x-sec-$(NO)-$(T)"),
        ];
        check(&from, Ok(&expected));
    }

    #[test]
    fn what_is_missing_is_named() {
        let from =
            |source: Value| json!({"name": "main", "env": [{"name": "X", "valueFrom": source}]});
        let missing = from(json!({"configMapKeyRef": {"name": "nope", "key": "a"}}));
        check(&missing, Err("configmap \"nope\" not found"));
        let missing = from(json!({"secretKeyRef": {"name": "safe", "key": "z"}}));
        check(&missing, Err("couldn't find key z in secret \"safe\""));
        let optional =
            from(json!({"configMapKeyRef": {"name": "nope", "key": "a", "optional": true}}));
        check(&optional, Ok(&[]));
    }
}
