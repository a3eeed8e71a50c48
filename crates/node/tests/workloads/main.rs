//! The node on the real API, in one process, with a machine that only remembers.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod fake;
mod fields;
mod network;
mod pods;
mod stateful;
mod tokens;

use std::{sync::Arc, time::Duration};

use choreo_apiserver::{AllowAll, NoPods, Server};
use choreo_node::{
    Ended, LogOptions, Node, Settings,
    machine::{Event, Machine},
};
use futures::StreamExt as _;
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::{Deployment, ReplicaSet},
        batch::v1::{CronJob, Job},
        core::v1::{ConfigMap, Namespace, Pod, Secret, Service},
        discovery::v1::EndpointSlice,
    },
};
use kube::{
    Api, Client, Resource,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use self::fake::{Fake, Names};

const NS: &str = "cell";

/// A platform in a folder.
struct World {
    folder: tempfile::TempDir,
    server: Server,
    client: Client,
    machine: Arc<Fake>,
    node: Node,
}

impl World {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::open(
            folder.path(),
            Vec::new(),
            Arc::new(AllowAll),
            Arc::new(NoPods),
        )
        .unwrap();
        let client = server.client();
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let namespace = serde_json::from_value(json!({"metadata": {"name": NS}})).unwrap();
        namespaces
            .create(&PostParams::default(), &namespace)
            .await
            .unwrap();
        let (machine, node) = boot(&client, &folder);
        Self {
            folder,
            server,
            client,
            machine,
            node,
        }
    }

    /// The platform ends and comes back with an empty machine.
    async fn restart(mut self) -> Self {
        self.node.shutdown().await;
        (self.machine, self.node) = boot(&self.client, &self.folder);
        self
    }

    async fn end(self) {
        self.node.shutdown().await;
        self.server.close().await;
    }

    fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), NS)
    }

    async fn create<K>(&self, object: Value)
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + DeserializeOwned
            + Serialize
            + Clone
            + std::fmt::Debug,
    {
        let object: K = serde_json::from_value(object).unwrap();
        self.api::<K>()
            .create(&PostParams::default(), &object)
            .await
            .unwrap();
    }

    /// Waits until the objects of a kind are as wished.
    async fn until<K>(&self, what: &str, wished: impl Fn(&[Value]) -> bool) -> Vec<Value>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + DeserializeOwned
            + Serialize
            + Clone
            + std::fmt::Debug,
    {
        let mut seen = Vec::new();
        for _ in 0..400 {
            let list = self.api::<K>().list(&ListParams::default()).await.unwrap();
            seen = list
                .items
                .iter()
                .map(|item| serde_json::to_value(item).unwrap())
                .collect();
            if wished(&seen) {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!(
            "never {what}: {}",
            serde_json::to_string_pretty(&seen).unwrap()
        );
    }

    async fn settled(&self, what: &str, wished: impl Fn(&Fake) -> bool) {
        for _ in 0..400 {
            if wished(&self.machine) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("never {what}: {:?}", self.machine.containers());
    }
}

fn boot(client: &Client, folder: &tempfile::TempDir) -> (Arc<Fake>, Node) {
    let machine = Fake::new();
    let settings = Settings::new(folder.path().join("node"));
    let shared: Arc<dyn Machine> = Arc::<Fake>::clone(&machine);
    let node = Node::start_with(client.clone(), shared, Arc::new(Names), settings);
    (machine, node)
}

fn template(image: &str) -> Value {
    json!({"metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "main", "image": image}]}})
}

fn deployment(image: &str, replicas: i32) -> Value {
    json!({"metadata": {"name": "web"}, "spec": {"replicas": replicas,
        "selector": {"matchLabels": {"app": "web"}}, "template": template(image)}})
}

fn job(image: &str, policy: &str, limit: i32) -> Value {
    let mut template = template(image);
    template["spec"]["restartPolicy"] = json!(policy);
    json!({"metadata": {"name": "task"}, "spec": {"backoffLimit": limit, "template": template}})
}

fn has(object: &Value, kind: &str, status: &str) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    conditions.is_some_and(|all| {
        all.iter()
            .any(|c| c["type"] == kind && c["status"] == status)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_runs_rolls_and_goes() {
    let world = World::start().await;
    world
        .create::<Service>(json!({"metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}}))
        .await;
    world.create::<Deployment>(deployment("run", 2)).await;
    world
        .until::<Deployment>("available", |all| {
            all[0]["status"]["availableReplicas"] == 2 && has(&all[0], "Available", "True")
        })
        .await;
    world
        .until::<EndpointSlice>("two endpoints", |all| {
            all.first()
                .is_some_and(|slice| slice["endpoints"].as_array().map(Vec::len) == Some(2))
        })
        .await;
    world
        .settled("two backends", |machine| {
            let network = machine.network.lock().unwrap();
            network
                .services
                .iter()
                .any(|service| service.backends.len() == 2)
                && network.cells[NS]
                    .names
                    .addresses
                    .contains_key("web.cell.svc.cluster.local")
        })
        .await;
    let patch = json!({"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "run2"}]}}}});
    let params = PatchParams::default();
    world
        .api::<Deployment>()
        .patch("web", &params, &Patch::Merge(patch))
        .await
        .unwrap();
    world
        .settled("rolled", |machine| {
            let running = machine.containers();
            running.len() == 2 && running.iter().all(|container| container.argv == ["run2"])
        })
        .await;
    world
        .until::<ReplicaSet>("two revisions", |all| {
            all.len() == 2 && all.iter().any(|set| set["spec"]["replicas"] == 0)
        })
        .await;
    world
        .api::<Deployment>()
        .delete("web", &DeleteParams::background())
        .await
        .unwrap();
    world.until::<Pod>("gone", <[Value]>::is_empty).await;
    world
        .settled("empty", |machine| {
            machine.containers().is_empty() && machine.pods.lock().unwrap().is_empty()
        })
        .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_backs_off_and_its_output_can_be_read() {
    let world = World::start().await;
    world.create::<Deployment>(deployment("crash", 1)).await;
    let pods = world
        .until::<Pod>("crash loop", |all| {
            all.first().is_some_and(|pod| {
                let status = &pod["status"]["containerStatuses"][0];
                status["state"]["waiting"]["reason"] == "CrashLoopBackOff"
                    && status["restartCount"] == 1
                    && status["lastState"]["terminated"]["exitCode"] == 1
            })
        })
        .await;
    let name = pods[0]["metadata"]["name"].as_str().unwrap();
    for previous in [false, true] {
        let options = LogOptions {
            previous,
            ..LogOptions::default()
        };
        let output: Vec<_> = world
            .node
            .logs(NS, name, options)
            .await
            .unwrap()
            .collect()
            .await;
        assert_eq!(output[0].as_ref().unwrap().as_ref(), b"hello\n");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_complete_or_fail() {
    let world = World::start().await;
    world.create::<Job>(job("ok", "Never", 0)).await;
    let mut bad = job("crash", "Never", 0);
    bad["metadata"]["name"] = json!("bad");
    world.create::<Job>(bad).await;
    world
        .until::<Job>("ended", |all| {
            all.len() == 2 && has(&all[0], "Failed", "True") && has(&all[1], "Complete", "True")
        })
        .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cron_job_that_is_due_runs() {
    let world = World::start().await;
    let mut template = template("ok");
    template["spec"]["restartPolicy"] = json!("Never");
    let cron = json!({"metadata": {"name": "tick"}, "spec": {
        "schedule": "* * * * *", "jobTemplate": {"spec": {"template": template}}}});
    world.create::<CronJob>(cron).await;
    let minutes_ago = jiff::Timestamp::now() - jiff::SignedDuration::from_mins(2);
    let minutes_ago = jiff::Timestamp::from_second(minutes_ago.as_second()).unwrap();
    let patch = json!({"status": {"lastScheduleTime": minutes_ago.to_string()}});
    let params = PatchParams::default();
    world
        .api::<CronJob>()
        .patch_status("tick", &params, &Patch::Merge(patch))
        .await
        .unwrap();
    world
        .until::<CronJob>("succeeded", |all| {
            !all[0]["status"]["lastSuccessfulTime"].is_null()
        })
        .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn configuration_that_is_missing_is_named_and_changes_arrive() {
    let world = World::start().await;
    let pod = json!({"metadata": {"name": "p"}, "spec": {
    "volumes": [
        {"name": "v", "configMap": {"name": "conf"}},
        {"name": "both", "projected": {"sources": [
            {"configMap": {"name": "conf"}}, {"secret": {"name": "safe"}},
        ]}},
    ],
    "containers": [{"name": "main", "image": "run",
        "env": [{"name": "T", "valueFrom": {"secretKeyRef": {"name": "safe", "key": "t"}}}],
        "volumeMounts": [
            {"name": "v", "mountPath": "/conf"}, {"name": "both", "mountPath": "/both"},
        ]}]}});
    world.create::<Pod>(pod).await;
    world
        .until::<Pod>("told", |all| {
            let waiting = &all[0]["status"]["containerStatuses"][0]["state"]["waiting"];
            waiting["reason"] == "CreateContainerConfigError"
                && waiting["message"] == "secret \"safe\" not found"
        })
        .await;
    world
        .create::<Secret>(json!({"metadata": {"name": "safe"}, "data": {"t": "eA=="}}))
        .await;
    let map = json!({"metadata": {"name": "conf"}, "data": {"a": "1"}});
    world.create::<ConfigMap>(map).await;
    world
        .until::<Pod>("running", |all| has(&all[0], "Ready", "True"))
        .await;
    let container = world.machine.containers().remove(0);
    assert_eq!(container.env["T"], "x");
    let file = container.mounts[0].source.join("a");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "1");
    let patch = Patch::Merge(json!({"data": {"a": "2"}}));
    world
        .api::<ConfigMap>()
        .patch("conf", &PatchParams::default(), &patch)
        .await
        .unwrap();
    world
        .settled("updated", |_| {
            std::fs::read_to_string(&file).unwrap() == "2"
        })
        .await;
    let secret = Patch::Merge(json!({"data": {"t": "eQ==", "new": "eg=="}}));
    world
        .api::<Secret>()
        .patch("safe", &PatchParams::default(), &secret)
        .await
        .unwrap();
    let both = container.mounts[1].source.clone();
    let read = |name: &str| std::fs::read_to_string(both.join(name)).unwrap_or_default();
    world
        .settled("secrets too, beside the others", |_| {
            [read("a"), read("t"), read("new")] == ["2", "y", "z"]
        })
        .await;
    // Nothing was started again for it.
    assert_eq!(world.machine.containers().len(), 1);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_run_says_why() {
    let world = World::start().await;
    let spec = |image: &str| json!([{"name": "main", "image": image}]);
    let pod = |name: &str, spec: Value| json!({"metadata": {"name": name}, "spec": spec});
    let host = json!({"hostNetwork": true, "containers": spec("run")});
    world.create::<Pod>(pod("a-host", host)).await;
    world
        .create::<Pod>(pod("b-missing", json!({"containers": spec("missing")})))
        .await;
    world
        .until::<Pod>("told", |all| {
            let waiting = |pod: &Value| {
                pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"].clone()
            };
            all.len() == 2
                && all[0]["status"]["phase"] == "Failed"
                && all[0]["status"]["reason"] == "NotSupported"
                && waiting(&all[1]) == "ErrImagePull"
        })
        .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restart_pods_run_again_with_their_address() {
    let world = World::start().await;
    world.create::<Deployment>(deployment("run", 1)).await;
    let ready = |all: &[Value]| all.len() == 1 && has(&all[0], "Ready", "True");
    let before = world.until::<Pod>("ready", ready).await;
    let world = world.restart().await;
    let after = world
        .until::<Pod>("ready again", |all| {
            ready(all) && all[0]["status"]["containerStatuses"][0]["restartCount"] == 1
        })
        .await;
    assert_eq!(before[0]["metadata"]["uid"], after[0]["metadata"]["uid"]);
    assert_eq!(before[0]["status"]["podIP"], after[0]["status"]["podIP"]);
    let last = &after[0]["status"]["containerStatuses"][0]["lastState"]["terminated"];
    assert_eq!(last["reason"], "NodeRestarted");
    let ended = world.node.ended();
    world.machine.events.send(Event::Lost).unwrap();
    assert_eq!(ended.await, Ended::MachineLost);
    world.end().await;
}
