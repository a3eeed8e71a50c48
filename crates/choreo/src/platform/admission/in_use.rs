//! Deletions of what others name: not refused, since what is released goes on, but warned of.

use choreo_apiserver::{AdmissionRequest, Operation, Reader};
use choreo_controllers::{Key, left_behind, names, users};
use choreo_model::{GROUP, find};
use serde_json::Value;

use super::Write;

/// What whoever deletes a type, trait, workflow or secret reference should know.
pub(super) fn warning(write: &Write<'_>, request: &AdmissionRequest<'_>) -> Option<String> {
    if write.operation != Operation::Delete || write.leaving {
        return None;
    }
    let gone = key(write.kind, &request.object)?;
    left_behind(&gone, &left(&gone, request.reader))
}

/// Who names `gone` and does not go itself.
fn left(gone: &Key, reader: &dyn Reader) -> Vec<Key> {
    let mut left = Vec::new();
    for kind in users(gone.kind) {
        for user in reader.list(GROUP, kind, &gone.namespace) {
            let stays = user.pointer("/metadata/deletionTimestamp").is_none();
            let found = key(kind, &user).filter(|_| stays);
            left.extend(found.filter(|_| names(&user, gone)));
        }
    }
    left
}

fn key(kind: &str, object: &Value) -> Option<Key> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let namespace = text("/metadata/namespace").unwrap_or_default();
    Some(Key::new(
        find(kind)?.kind,
        namespace,
        text("/metadata/name")?,
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What is stored.
    #[derive(Debug)]
    struct Shelf(Vec<Value>);

    impl Reader for Shelf {
        fn get(&self, _: &str, _: &str, _: &str, _: &str) -> Option<Value> {
            None
        }

        fn list(&self, _: &str, kind: &str, namespace: &str) -> Vec<Value> {
            let of = |one: &&Value| {
                let place = &one["metadata"]["namespace"];
                one["kind"] == kind && (namespace.is_empty() || place == namespace)
            };
            self.0.iter().filter(of).cloned().collect()
        }

        fn each_name(&self, _: &str, _: &str, _: &str, _: &mut dyn FnMut(&str)) {}
    }

    fn component(name: &str, namespace: &str, type_: &str) -> Value {
        json!({
            "apiVersion": "openchoreo.dev/v1alpha1", "kind": "Component",
            "metadata": { "name": name, "namespace": namespace },
            "spec": {
                "owner": { "projectName": "shop" },
                "componentType": { "kind": type_, "name": "deployment/service" },
            },
        })
    }

    #[track_caller]
    fn check(gone: (&str, &str), users: &[&str]) {
        let mut leaving = component("leaving", "default", gone.0);
        leaving["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        let shelf = Shelf(vec![
            component("web", "default", "ComponentType"),
            component("api", "default", "ClusterComponentType"),
            component("elsewhere", "other", "ComponentType"),
            leaving,
        ]);
        let (kind, namespace) = gone;
        let key = Key::new(find(kind).unwrap().kind, namespace, "service");
        let found = left_behind(&key, &left(&key, &shelf)).unwrap_or_default();
        let named: Vec<&str> = ["web", "api", "elsewhere", "leaving"]
            .into_iter()
            .filter(|name| found.contains(&format!("\"{name}\"")))
            .collect();
        assert_eq!(named, users, "{found}");
    }

    #[test]
    fn who_is_left_behind_is_named() {
        check(("ComponentType", "default"), &["web"]);
        check(("ClusterComponentType", ""), &["api"]);
        check(("ComponentType", "unused"), &[]);
        check(("Project", "default"), &[]);
    }
}
