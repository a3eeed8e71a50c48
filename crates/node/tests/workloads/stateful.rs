//! Stateful sets on the real API: identities, order, claims, rollouts; and daemon sets.

use std::collections::BTreeSet;

use k8s_openapi::api::{
    apps::v1::{ControllerRevision, DaemonSet, StatefulSet},
    core::v1::{PersistentVolumeClaim, Pod, Service},
    discovery::v1::EndpointSlice,
};
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::{World, has, template};

fn set(image: &str) -> Value {
    let mut template = template(image);
    template["spec"]["containers"][0]["volumeMounts"] =
        json!([{"name": "data", "mountPath": "/data"}]);
    json!({"metadata": {"name": "web"}, "spec": {
        "replicas": 2, "serviceName": "web", "selector": {"matchLabels": {"app": "web"}},
        "template": template,
        "persistentVolumeClaimRetentionPolicy": {"whenScaled": "Delete", "whenDeleted": "Retain"},
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}],
    }})
}

async fn patch(world: &World, patch: Value) {
    let api = world.api::<StatefulSet>();
    let patch = Patch::Merge(patch);
    api.patch("web", &PatchParams::default(), &patch)
        .await
        .unwrap();
}

/// Waits until all pods are of the set's template.
async fn rolled(world: &World) {
    world
        .until::<StatefulSet>("rolled", |all| {
            let status = &all[0]["status"];
            status["observedGeneration"] == all[0]["metadata"]["generation"]
                && status["updatedReplicas"] == 2
                && status["readyReplicas"] == 2
                && status["currentRevision"] == status["updateRevision"]
        })
        .await;
}

fn names(all: &[Value]) -> Vec<&str> {
    all.iter()
        .map(|one| one["metadata"]["name"].as_str().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stateful_set_keeps_names_and_claims() {
    let world = World::start().await;
    world
        .create::<Service>(json!({"metadata": {"name": "web"}, "spec": {
            "clusterIP": "None", "selector": {"app": "web"}, "ports": [{"port": 80}]}}))
        .await;
    world.create::<StatefulSet>(set("run")).await;
    world
        .until::<StatefulSet>("both ready", |all| {
            let status = &all[0]["status"];
            status["readyReplicas"] == 2 && status["currentRevision"] == status["updateRevision"]
        })
        .await;
    let pods = world.until::<Pod>("two", |all| all.len() == 2).await;
    assert_eq!(names(&pods), ["web-0", "web-1"]);
    world
        .until::<EndpointSlice>("their names", |all| {
            let endpoints = all.first().and_then(|slice| slice["endpoints"].as_array());
            let names = endpoints
                .into_iter()
                .flatten()
                .map(|one| one["hostname"].as_str());
            names.collect::<BTreeSet<_>>() == BTreeSet::from([Some("web-0"), Some("web-1")])
        })
        .await;
    let folder = |world: &World, name: &str| {
        let mut all = world.machine.containers().into_iter();
        let found = all.find(|one| one.env["HOSTNAME"] == name).unwrap();
        found.mounts[0].source.clone()
    };
    std::fs::write(folder(&world, "web-0").join("kept"), "x").unwrap();
    patch(&world, json!({"spec": {"template": {"spec": {"containers": [{
        "name": "main", "image": "run2", "volumeMounts": [{"name": "data", "mountPath": "/data"}]}]}}}}))
    .await;
    rolled(&world).await;
    let all = world.machine.containers();
    assert!(all.iter().all(|one| one.argv == ["run2"]), "{all:?}");
    assert!(folder(&world, "web-0").join("kept").exists());
    let both = world.until::<ControllerRevision>("two", |all| all.len() == 2);
    both.await;
    patch(&world, json!({"spec": {"replicas": 1}})).await;
    world
        .until::<Pod>("one", |all| names(all) == ["web-0"])
        .await;
    world
        .until::<PersistentVolumeClaim>("its claim only", |all| names(all) == ["data-web-0"])
        .await;
    let api = world.api::<StatefulSet>();
    api.delete("web", &DeleteParams::background())
        .await
        .unwrap();
    world.until::<Pod>("gone", <[Value]>::is_empty).await;
    world
        .until::<PersistentVolumeClaim>("kept", |all| names(all) == ["data-web-0"])
        .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_left_behind_are_taken_in_again() {
    let world = World::start().await;
    world.create::<StatefulSet>(set("run")).await;
    let ready = |all: &[Value]| all.len() == 2 && all.iter().all(|pod| has(pod, "Ready", "True"));
    let before = world.until::<Pod>("ready", ready).await;
    let api = world.api::<StatefulSet>();
    let orphan = DeleteParams {
        propagation_policy: Some(kube::api::PropagationPolicy::Orphan),
        ..DeleteParams::default()
    };
    api.delete("web", &orphan).await.unwrap();
    world
        .until::<Pod>("nobody's", |all| {
            all.iter()
                .all(|pod| pod["metadata"]["ownerReferences"].is_null())
        })
        .await;
    world.create::<StatefulSet>(set("run")).await;
    let after = world
        .until::<Pod>("taken in", |all| {
            all.iter()
                .all(|pod| pod["metadata"]["ownerReferences"][0]["kind"] == "StatefulSet")
        })
        .await;
    let uids = |all: &[Value]| {
        all.iter()
            .map(|pod| pod["metadata"]["uid"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(uids(&before), uids(&after));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_set_has_its_pod_here() {
    let world = World::start().await;
    let daemon = json!({"metadata": {"name": "web"}, "spec": {
        "selector": {"matchLabels": {"app": "web"}}, "template": template("run")}});
    world.create::<DaemonSet>(daemon).await;
    world
        .until::<DaemonSet>("ready", |all| all[0]["status"]["numberAvailable"] == 1)
        .await;
    let api = world.api::<DaemonSet>();
    let next = Patch::Merge(json!({"spec": {"template": template("run2")}}));
    api.patch("web", &PatchParams::default(), &next)
        .await
        .unwrap();
    world
        .settled("rolled", |machine| {
            let all = machine.containers();
            all.len() == 1 && all[0].argv == ["run2"]
        })
        .await;
    world
        .until::<DaemonSet>("ready again", |all| {
            let status = &all[0]["status"];
            status["numberAvailable"] == 1 && status["updatedNumberScheduled"] == 1
        })
        .await;
    world.end().await;
}
