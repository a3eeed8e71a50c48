//! The service accounts of pods, as the admission plugin `ServiceAccount` of Kubernetes sees to them:
//! the one that a pod names exists, and where its credentials are asked for they are mounted.
//!
//! Kubernetes mounts them unless told otherwise. Here they are mounted only where the pod, or else its
//! service account, says `automountServiceAccountToken: true`: most pods have no use for them, and what
//! nobody has nobody can lose.

use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::{Call, create::draw};
use crate::{
    auth::token::BY_DEFAULT,
    core::Core,
    furnish::{ACCOUNT, AUTHORITY, furnish},
    object::{Name, Stored, meta_str},
    registry::collection,
    status::{Failure, Result},
};

/// Where programs in pods look for their credentials.
const MOUNTED: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const AUTOMOUNT: &str = "automountServiceAccountToken";

/// Gives a new pod what its service account is to bring it.
pub(super) async fn admit(call: &Call<'_>, object: &mut Value) -> Result<()> {
    let pod = meta_str(object, "name").to_owned();
    let is_pod = call.kind.group.is_empty() && call.kind.plural == "pods";
    let Some(spec) = object.get_mut("spec").filter(|_| is_pod) else {
        return Ok(());
    };
    let name = spec.get("serviceAccountName").and_then(Value::as_str);
    let name = name.unwrap_or(ACCOUNT).to_owned();
    let account = account(call, &pod, &name).await?;
    let own = spec.get(AUTOMOUNT).and_then(Value::as_bool);
    let wanted = match own {
        Some(wanted) => wanted,
        None => account.value()?.get(AUTOMOUNT) == Some(&json!(true)),
    };
    if wanted {
        mount(spec, &draw("kube-api-access-"));
    }
    Ok(())
}

/// The service account, which is made if it is the one that every namespace has.
async fn account(call: &Call<'_>, pod: &str, name: &str) -> Result<Arc<Stored>> {
    let find = || {
        let shelf = call.core.cache.shelf(&collection("", "serviceaccounts"));
        shelf.get(&Name::new(call.namespace, name))
    };
    if find().is_none() && name == ACCOUNT {
        furnished(call.core, call.namespace).await?;
    }
    find().ok_or_else(|| {
        let place = call.namespace;
        let why = format!(
            "error looking up service account {place}/{name}: serviceaccount {name:?} not found"
        );
        Failure::forbidden(call.kind, pod, &why)
    })
}

/// [`furnish`], which makes objects itself.
fn furnished<'a>(core: &'a Core, namespace: &'a str) -> BoxFuture<'a, Result<()>> {
    Box::pin(furnish(core, namespace))
}

/// Mounts the credentials into every container that has nothing there.
fn mount(spec: &mut Value, volume: &str) {
    let mut needed = false;
    for list in ["initContainers", "containers"] {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            needed |= mount_into(container, volume);
        }
    }
    if !needed {
        return;
    }
    let credentials = json!({"name": volume, "projected": {"defaultMode": 0o644, "sources": [
        {"serviceAccountToken": {"expirationSeconds": BY_DEFAULT, "path": "token"}},
        {"configMap": {"name": AUTHORITY, "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace",
            "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
    ]}});
    push(spec, "volumes", credentials);
}

/// Whether a container has got the mount.
fn mount_into(container: &mut Value, volume: &str) -> bool {
    let mounts = container.get("volumeMounts").and_then(Value::as_array);
    let taken = mounts
        .into_iter()
        .flatten()
        .any(|mount| mount.get("mountPath") == Some(&json!(MOUNTED)));
    if !taken && container.is_object() {
        let mount = json!({"name": volume, "readOnly": true, "mountPath": MOUNTED});
        push(container, "volumeMounts", mount);
    }
    !taken
}

/// Appends to a list that need not be there. What is no list is refused later.
fn push(object: &mut Value, list: &str, item: Value) {
    match object.get_mut(list) {
        Some(Value::Array(items)) => items.push(item),
        None | Some(Value::Null) => object[list] = json!([item]),
        Some(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_mounted_where_nothing_is() {
        let own = json!({"name": "own", "mountPath": MOUNTED});
        let mut spec = json!({
            "initContainers": [{"name": "a"}],
            "containers": [{"name": "b", "volumeMounts": [own]}, {"name": "c", "volumeMounts": []}],
        });
        mount(&mut spec, "v");
        let added = json!([{"name": "v", "readOnly": true, "mountPath": MOUNTED}]);
        assert_eq!(spec["initContainers"][0]["volumeMounts"], added);
        assert_eq!(spec["containers"][0]["volumeMounts"], json!([own]));
        assert_eq!(spec["containers"][1]["volumeMounts"], added);
        assert_eq!(spec["volumes"][0]["name"], "v");
    }

    #[test]
    fn no_volume_without_a_container_that_needs_it() {
        let own = json!({"name": "own", "mountPath": MOUNTED});
        let spec = json!({"containers": [{"name": "b", "volumeMounts": [own]}]});
        let mut mounted = spec.clone();
        mount(&mut mounted, "v");
        assert_eq!(mounted, spec);
    }
}
