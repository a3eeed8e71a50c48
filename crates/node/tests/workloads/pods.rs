//! The lives of pods on the real API: hooks, order of the end, last words.

use std::time::Duration;

use k8s_openapi::api::{
    apps::v1::ReplicaSet,
    batch::v1::Job,
    core::v1::{Event, Pod},
};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::{World, has, job};

fn pod(spec: &Value) -> Value {
    json!({"metadata": {"name": "p"}, "spec": spec})
}

fn ready(all: &[Value]) -> bool {
    all.first().is_some_and(|pod| has(pod, "Ready", "True"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hooks_run_and_sidecars_end_last() {
    let world = World::start().await;
    let sidecar = |name: &str| json!({"name": name, "image": "run", "restartPolicy": "Always"});
    let hooks = json!({
        "postStart": {"exec": {"command": ["hello"]}}, "preStop": {"exec": {"command": ["bye"]}},
    });
    let spec = json!({
        "initContainers": [sidecar("first"), sidecar("second")],
        "containers": [{"name": "main", "image": "run", "lifecycle": hooks}],
    });
    world.create::<Pod>(pod(&spec)).await;
    world.until::<Pod>("ready", ready).await;
    let api = world.api::<Pod>();
    api.delete("p", &DeleteParams::default()).await.unwrap();
    world.until::<Pod>("gone", <[Value]>::is_empty).await;
    let done = world.machine.done.lock().unwrap().clone();
    let done: Vec<_> = done
        .iter()
        .filter(|one| !one.starts_with("remove"))
        .collect();
    assert_eq!(
        done,
        [
            "exec hello",
            "exec bye",
            "stop main",
            "stop second",
            "stop first"
        ]
    );
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hook_that_fails_ends_its_container() {
    let world = World::start().await;
    let hooks = json!({"postStart": {"exec": {"command": ["false"]}}});
    let spec = json!({"restartPolicy": "Never",
        "containers": [{"name": "main", "image": "run", "lifecycle": hooks}]});
    world.create::<Pod>(pod(&spec)).await;
    world
        .until::<Pod>("failed", |all| {
            let ended = &all[0]["status"]["containerStatuses"][0]["state"]["terminated"];
            let message = ended["message"].as_str().unwrap_or_default();
            all[0]["status"]["phase"] == "Failed" && message.contains("postStart")
        })
        .await;
    world
        .until::<Event>("told", |all| {
            all.iter()
                .any(|event| event["reason"] == "FailedPostStartHook")
        })
        .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn last_words_are_told_and_remains_removed() {
    let world = World::start().await;
    let spec =
        json!({"restartPolicy": "Never", "containers": [{"name": "main", "image": "tells"}]});
    world.create::<Pod>(pod(&spec)).await;
    world
        .until::<Pod>("told", |all| {
            let ended = &all[0]["status"]["containerStatuses"][0]["state"]["terminated"];
            ended["message"] == "told" && ended["exitCode"] == 3
        })
        .await;
    world
        .settled("removed", |machine| {
            machine
                .done
                .lock()
                .unwrap()
                .iter()
                .any(|one| one == "remove main")
        })
        .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volume_that_outgrows_its_limit_ends_its_pod() {
    let world = World::start().await;
    let spec = json!({
        "volumes": [{"name": "cache", "emptyDir": {"sizeLimit": "1Ki"}}],
        "containers": [{"name": "main", "image": "fills",
            "volumeMounts": [{"name": "cache", "mountPath": "/cache"}]}],
    });
    world.create::<Pod>(pod(&spec)).await;
    world
        .until::<Pod>("evicted", |all| {
            let message = all[0]["status"]["message"].as_str().unwrap_or_default();
            all[0]["status"]["reason"] == "Evicted" && message.contains("\"cache\" exceeds")
        })
        .await;
    world
        .settled("ended", |machine| machine.containers().is_empty())
        .await;
    world.end().await;
}

/// Whoever owns the pod makes another, which has to be one that stores less to stay.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_that_stores_too_much_is_evicted_and_replaced() {
    let world = World::start().await;
    let limits = json!({"limits": {"ephemeral-storage": "1Ki"}});
    let template = json!({
        "metadata": {"labels": {"app": "greedy"}},
        "spec": {"containers": [{"name": "main", "image": "run", "args": ["2000"], "resources": limits}]},
    });
    world
        .create::<ReplicaSet>(json!({
            "metadata": {"name": "greedy"},
            "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "greedy"}}, "template": template},
        }))
        .await;
    let is_evicted = |pod: &Value| {
        let status = &pod["status"];
        let message =
            "Pod ephemeral local storage usage exceeds the total limit of containers 1Ki.";
        status["phase"] == "Failed"
            && status["reason"] == "Evicted"
            && status["message"] == message
            && has(pod, "DisruptionTarget", "True")
    };
    world
        .until::<Pod>("evicted and replaced", |all| {
            all.iter().any(is_evicted) && all.len() > 1
        })
        .await;
    world
        .until::<Event>("told", |all| {
            all.iter().any(|event| event["reason"] == "Evicted")
        })
        .await;
    world.end().await;
}

/// What somebody adds to a pod that runs begins among the processes of its target, once, and nothing waits for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ephemeral_containers_are_added_to_what_runs() {
    let world = World::start().await;
    world
        .create::<Pod>(pod(
            &json!({"containers": [{"name": "main", "image": "run"}]}),
        ))
        .await;
    world.until::<Pod>("ready", ready).await;
    let api = world.api::<Pod>();
    let debug =
        json!({"name": "debug", "image": "run", "targetContainerName": "main", "stdin": true});
    let patch = Patch::Strategic(json!({"spec": {"ephemeralContainers": [debug]}}));
    let refused = api.patch("p", &PatchParams::default(), &patch).await;
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("may not change fields"), "{refused}");
    let (part, params) = ("ephemeralcontainers", PatchParams::default());
    let added = api.patch_subresource(part, "p", &params, &patch);
    added.await.unwrap();
    let status = |all: &[Value]| all[0]["status"]["ephemeralContainerStatuses"][0].clone();
    world
        .until::<Pod>("running", |all| status(all)["state"]["running"].is_object())
        .await;
    let containers = world.machine.containers();
    let id = |name: &str| {
        let found = containers.iter().find(|one| one.id.contains(name));
        found.unwrap().id.clone()
    };
    let found = containers.iter().find(|one| one.id == id("debug")).unwrap();
    assert_eq!(found.among, Some(id("main")));
    world.machine.end(&id("debug"), 1);
    let all = world
        .until::<Pod>("ended", |all| {
            status(all)["state"]["terminated"]["exitCode"] == 1
        })
        .await;
    assert!(
        ready(&all) && all[0]["status"]["phase"] == "Running",
        "{all:?}"
    );
    assert_eq!(status(&all)["restartCount"], 0);
    // What this node gives to nobody, it gives to none of them.
    let greedy = json!({"name": "greedy", "image": "run", "securityContext": {"privileged": true}});
    let patch = Patch::Strategic(json!({"spec": {"ephemeralContainers": [greedy]}}));
    let added = api.patch_subresource(part, "p", &params, &patch);
    added.await.unwrap();
    world
        .until::<Pod>("refused", |all| {
            let all = &all[0]["status"]["ephemeralContainerStatuses"];
            let waits = &all[1]["state"]["waiting"];
            let message = waits["message"].as_str().unwrap_or_default();
            all[0]["state"]["terminated"]["exitCode"] == 1 && message.contains("privileged")
        })
        .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gates_hold_a_pod_until_others_open_them() {
    let world = World::start().await;
    let listed = "example.com/listed";
    let spec = json!({
        "schedulerName": "mine",
        "schedulingGates": [{"name": "example.com/quota"}],
        "readinessGates": [{"conditionType": listed}],
        "containers": [{"name": "main", "image": "run"}],
    });
    world.create::<Pod>(pod(&spec)).await;
    let held = |all: &[Value]| {
        has(&all[0], "PodScheduled", "False") && all[0]["spec"]["nodeName"].is_null()
    };
    world.until::<Pod>("held", held).await;
    let (api, params) = (world.api::<Pod>(), PatchParams::default());
    let open = Patch::Merge(json!({"spec": {"schedulingGates": []}}));
    api.patch("p", &params, &open).await.unwrap();
    let runs = |all: &[Value]| has(&all[0], "ContainersReady", "True");
    let all = world.until::<Pod>("runs", runs).await;
    assert!(has(&all[0], "Ready", "False"), "{all:?}");
    let says = json!({"status": {"conditions": [{"type": listed, "status": "True"}]}});
    api.patch_status("p", &params, &Patch::Strategic(says))
        .await
        .unwrap();
    let all = world.until::<Pod>("ready", ready).await;
    assert!(
        has(&all[0], listed, "True"),
        "what others say stays: {all:?}"
    );
    let unheeded = |event: &Value| {
        let message = event["message"].as_str().unwrap_or_default();
        event["reason"] == "Unheeded" && message.contains("spec.schedulerName")
    };
    world
        .until::<Event>("told", |all| all.iter().any(unheeded))
        .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_counts_pods_that_somebody_deletes() {
    let world = World::start().await;
    let mut task = job("ok", "Never", 6);
    task["spec"]["completions"] = json!(3);
    world.create::<Job>(task).await;
    let (pods, jobs) = (world.api::<Pod>(), world.api::<Job>());
    for _ in 0..400 {
        for pod in pods.list(&ListParams::default()).await.unwrap() {
            let status = pod.status.unwrap_or_default();
            if status.phase.as_deref() == Some("Succeeded") {
                // It may be going already.
                let name = pod.metadata.name.unwrap();
                let _gone = pods.delete(&name, &DeleteParams::default()).await;
            }
        }
        let job = serde_json::to_value(jobs.get("task").await.unwrap()).unwrap();
        if has(&job, "Complete", "True") {
            assert_eq!(job["status"]["succeeded"], 3, "{job}");
            return world.end().await;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("the job is never complete");
}
