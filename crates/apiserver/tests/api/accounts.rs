//! The service accounts of pods.

use k8s_openapi::api::core::v1::{Namespace, Pod, ServiceAccount};
use kube::{Api, Client, ResourceExt as _, api::PostParams};
use serde_json::{Value, json};

use super::{common::refused, fixture};

const MOUNTED: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

fn of<K: serde::de::DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap()
}

/// Makes a pod whose specification says this besides.
async fn pod(client: &Client, namespace: &str, name: &str, said: Value) -> kube::Result<Pod> {
    let mut pod = json!({"metadata": {"name": name}, "spec": said});
    pod["spec"]["containers"] = json!([{"name": "main", "image": "a"}]);
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    pods.create(&PostParams::default(), &of(pod)).await
}

#[tokio::test]
async fn the_account_of_a_pod_exists() {
    let fixture = fixture();
    let client = &fixture.client;
    let said = json!({"serviceAccountName": "nobody"});
    let (code, reason, message) = refused(pod(client, "default", "p", said).await);
    assert_eq!((code, &*reason), (403, "Forbidden"));
    let why = "pods \"p\" is forbidden: error looking up service account default/nobody: \
               serviceaccount \"nobody\" not found";
    assert_eq!(message, why);
    // That of every namespace is there for its first pod, however early it comes.
    for round in 0..10 {
        let name = format!("n{round}");
        let namespace: Namespace = of(json!({"metadata": {"name": name}}));
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let post = PostParams::default();
        namespaces.create(&post, &namespace).await.unwrap();
        let made = pod(client, &name, "p", json!({})).await.unwrap();
        let account = made.spec.unwrap().service_account_name;
        assert_eq!(account.as_deref(), Some("default"));
    }
    fixture.server.close().await;
}

#[tokio::test]
async fn credentials_are_mounted_where_they_are_asked_for() {
    let fixture = fixture();
    let client = &fixture.client;
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "default");
    for (name, says) in [
        ("default", None),
        ("gives", Some(true)),
        ("keeps", Some(false)),
    ] {
        let account = json!({"metadata": {"name": name}, "automountServiceAccountToken": says});
        let post = PostParams::default();
        if name != "default" {
            accounts.create(&post, &of(account)).await.unwrap();
        }
        for (asks, expected) in [
            (None, says == Some(true)),
            (Some(true), true),
            (Some(false), false),
        ] {
            let mut said = json!({"automountServiceAccountToken": asks});
            if name != "default" {
                said["serviceAccountName"] = json!(name);
            }
            let title = format!("{name}-{asks:?}")
                .to_lowercase()
                .replace(['(', ')'], "");
            let made = pod(client, "default", &title, said).await.unwrap();
            let spec = made.spec.clone().unwrap();
            let mounts = spec.containers[0].volume_mounts.clone().unwrap_or_default();
            let mounted: Vec<_> = mounts.iter().map(|one| &*one.mount_path).collect();
            let wanted: &[&str] = if expected { &[MOUNTED] } else { &[] };
            assert_eq!(mounted, wanted, "{title}");
            let volumes = spec.volumes.unwrap_or_default();
            assert_eq!(volumes.len(), wanted.len(), "{title}");
            for volume in volumes {
                assert!(volume.name.starts_with("kube-api-access-"));
                let sources = volume.projected.unwrap().sources.unwrap();
                let token = sources[0].service_account_token.as_ref().unwrap();
                assert_eq!(
                    (&*token.path, token.expiration_seconds),
                    ("token", Some(3607))
                );
                // Nobody has said so, so nobody owns it.
                let owned = serde_json::to_string(made.managed_fields()).unwrap();
                assert!(!owned.contains("kube-api-access"), "{owned}");
            }
        }
    }
    fixture.server.close().await;
}
