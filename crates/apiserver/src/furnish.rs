//! What programs expect to find without having made it: in every namespace the
//! `default` service account and the certificate authority, in `default` the service
//! by which this server is known.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{
    auth::Identity,
    bootstrap::{apply, make},
    cache::Place,
    core::{Core, namespaces},
    object::Name,
    registry::collection,
    status::Result,
    store::Written,
};

/// The service account of pods that name none.
pub(crate) const ACCOUNT: &str = "default";
/// The config map with the certificate authority.
pub(crate) const AUTHORITY: &str = "kube-root-ca.crt";
/// Where services have their addresses; the first is this server's.
const SERVICE_ADDRESS: &str = "10.96.0.1";

/// The namespace whose furniture a write was about.
pub(crate) fn concerned(written: &Written) -> Option<Place> {
    let (collection_name, name) = (&written.collection, written.object.name());
    if *collection_name == namespaces() {
        let fresh = written.previous.is_none() && !written.deleted;
        return fresh.then(|| (Arc::clone(collection_name), name.clone()));
    }
    let ours = match &*name.name {
        ACCOUNT => *collection_name == collection("", "serviceaccounts") && written.deleted,
        AUTHORITY => *collection_name == collection("", "configmaps"),
        _ => false,
    };
    ours.then(|| (namespaces(), Name::new("", &name.namespace)))
}

/// Brings a namespace what it lacks.
pub(crate) async fn furnish(core: &Core, namespace: &str) -> Result<()> {
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": ACCOUNT, "namespace": namespace},
    });
    make(core, account).await?;
    let Some(identity) = core.identity.get() else {
        return Ok(());
    };
    let authority = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": AUTHORITY, "namespace": namespace},
        "data": {"ca.crt": identity.authority},
    });
    apply(core, authority).await
}

/// Tells every namespace, and whoever looks for the service, who the server is.
pub(crate) async fn announce(core: &Core, identity: &Identity) -> Result<()> {
    for object in service(identity) {
        apply(core, object).await?;
    }
    for namespace in core.cache.shelf(&namespaces()).now("", 0).objects {
        if !namespace.head.deleting {
            furnish(core, &namespace.name().name).await?;
        }
    }
    Ok(())
}

/// The service `kubernetes`, and where it leads. A server on a loopback address is
/// reached from this machine only, so nothing stands behind the service then.
fn service(identity: &Identity) -> [Value; 2] {
    let (ip, port) = (identity.address.ip(), identity.address.port());
    let endpoints: Vec<Value> = Some(ip)
        .filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
        .map(|ip| json!({"addresses": [ip.to_string()], "conditions": {"ready": true}}))
        .into_iter()
        .collect();
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {
            "name": "kubernetes", "namespace": "default",
            "labels": {"component": "apiserver", "provider": "kubernetes"},
        },
        "spec": {
            "type": "ClusterIP", "sessionAffinity": "None",
            "clusterIP": SERVICE_ADDRESS, "clusterIPs": [SERVICE_ADDRESS],
            "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
            "ports": [{"name": "https", "protocol": "TCP", "port": 443, "targetPort": port}],
        },
    });
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": "kubernetes", "namespace": "default",
            "labels": {"kubernetes.io/service-name": "kubernetes"},
        },
        "addressType": if ip.is_ipv6() { "IPv6" } else { "IPv4" },
        "endpoints": endpoints,
        "ports": [{"name": "https", "protocol": "TCP", "port": port}],
    });
    [service, slice]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{auth::token::Issuer, object::meta_str};

    #[test]
    fn nothing_stands_behind_a_loopback_address() {
        for (address, count) in [("127.0.0.1:6443", 0), ("192.0.2.1:6443", 1)] {
            let identity = Identity {
                authority: String::new(),
                address: address.parse().unwrap(),
                tokens: Issuer::random(),
            };
            let [service, slice] = service(&identity);
            assert_eq!(meta_str(&service, "name"), "kubernetes");
            assert_eq!(
                slice["endpoints"].as_array().unwrap().len(),
                count,
                "{address}"
            );
        }
    }
}
