//! Tokens of service accounts in the volumes of pods, by the API that makes them.

use std::{fs, path::PathBuf};

use choreo_apiserver::Credentials;
use jiff::Timestamp;
use k8s_openapi::api::{
    authentication::v1::{TokenReview, UserInfo},
    core::v1::{Event, Pod, ServiceAccount},
};
use kube::{
    Api,
    api::{DeleteParams, PostParams},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{World, has};

impl World {
    /// Tokens are for whoever talks to the server, so there are none before it listens.
    async fn listen(&self) -> CancellationToken {
        let credentials = Credentials::open(self.folder.path(), Timestamp::now()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (server, stop) = (self.server.clone(), CancellationToken::new());
        let ending = stop.clone();
        tokio::spawn(async move { server.serve(listener, &credentials, ending).await });
        stop
    }

    async fn runs(&self) -> Value {
        let ready = |all: &[Value]| all.first().is_some_and(|pod| has(pod, "Ready", "True"));
        self.until::<Pod>("ready", ready).await.remove(0)
    }

    fn mounted(&self, target: &str) -> PathBuf {
        let running = self.machine.containers();
        let mut mounts = running[0].mounts.iter();
        let found = mounts.find(|mount| mount.target.to_str() == Some(target));
        found
            .unwrap_or_else(|| panic!("{running:?}"))
            .source
            .clone()
    }

    async fn review(&self, token: &str, audience: &str) -> Result<UserInfo, String> {
        let reviews: Api<TokenReview> = Api::all(self.client.clone());
        let review = json!({"spec": {"token": token, "audiences": [audience]}});
        let review = serde_json::from_value(review).unwrap();
        let answer = reviews.create(&PostParams::default(), &review).await;
        let status = answer.unwrap().status.unwrap();
        status
            .user
            .filter(|user| user.username.is_some())
            .ok_or_else(|| status.error.unwrap())
    }
}

fn pod(context: &Value) -> Value {
    let token = json!({"serviceAccountToken": {"path": "token", "audience": "vault"}});
    json!({"metadata": {"name": "p"}, "spec": {
        "securityContext": context,
        "containers": [{"name": "main", "image": "run",
            "volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
        "volumes": [{"name": "v", "projected": {"sources": [token]}}],
    }})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_has_a_token_as_long_as_it_is_there() {
    let world = World::start().await;
    let stop = world.listen().await;
    world.create::<Pod>(pod(&json!({"runAsUser": 0}))).await;
    let uid = world.runs().await["metadata"]["uid"].clone();
    let token = fs::read_to_string(world.mounted("/v").join("token")).unwrap();
    let user = world.review(&token, "vault").await.unwrap();
    let name = user.username.as_deref();
    assert_eq!(name, Some("system:serviceaccount:cell:default"));
    let extra = json!(user.extra.unwrap());
    assert_eq!(extra["authentication.kubernetes.io/pod-uid"], json!([uid]));
    assert_eq!(
        extra["authentication.kubernetes.io/node-name"],
        json!(["choreo"])
    );
    world.review(&token, "else").await.unwrap_err();
    let done = world.machine.done.lock().unwrap().clone();
    assert_eq!(done, ["give token to 0"], "before anybody sees it");

    // A platform that comes back asks for another one.
    let world = world.restart().await;
    world
        .settled("running again", |machine| !machine.containers().is_empty())
        .await;
    let newer = fs::read_to_string(world.mounted("/v").join("token")).unwrap();
    assert_ne!(newer, token);
    world.review(&newer, "vault").await.unwrap();

    world
        .api::<Pod>()
        .delete("p", &DeleteParams::default())
        .await
        .unwrap();
    world.until::<Pod>("gone", <[Value]>::is_empty).await;
    for token in [token, newer] {
        let why = world.review(&token, "vault").await.unwrap_err();
        assert!(
            why.contains("service account token has been invalidated"),
            "{why}"
        );
    }
    stop.cancel();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_for_the_api_are_where_programs_look() {
    let world = World::start().await;
    let stop = world.listen().await;
    let mut asks = pod(&json!({}));
    asks["spec"]["automountServiceAccountToken"] = json!(true);
    world.create::<Pod>(asks).await;
    world.runs().await;
    let folder = world.mounted("/var/run/secrets/kubernetes.io/serviceaccount");
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let api = "https://kubernetes.default.svc.cluster.local";
    world.review(&read("token"), api).await.unwrap();
    assert!(read("ca.crt").starts_with("-----BEGIN CERTIFICATE"));
    assert_eq!(read("namespace"), "cell");
    stop.cancel();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_without_its_account_waits_and_says_why() {
    let world = World::start().await;
    let stop = world.listen().await;
    world
        .create::<ServiceAccount>(json!({"metadata": {"name": "robot"}}))
        .await;
    // The pod is held back until its account is gone.
    let mut pod = pod(&json!({}));
    pod["spec"]["serviceAccountName"] = json!("robot");
    pod["spec"]["schedulingGates"] = json!([{"name": "example.com/wait"}]);
    world.create::<Pod>(pod).await;
    world
        .api::<ServiceAccount>()
        .delete("robot", &DeleteParams::default())
        .await
        .unwrap();
    let patch = kube::api::Patch::Merge(json!({"spec": {"schedulingGates": null}}));
    let params = kube::api::PatchParams::default();
    world
        .api::<Pod>()
        .patch("p", &params, &patch)
        .await
        .unwrap();
    let why = "serviceaccounts \"robot\" not found";
    world
        .until::<Pod>("waiting", |all| {
            let state = &all[0]["status"]["containerStatuses"][0]["state"]["waiting"];
            let message = state["message"].as_str().unwrap_or_default();
            state["reason"] == "ContainerCreating" && message.contains(why)
        })
        .await;
    world
        .until::<Event>("told", |all| {
            all.iter().any(|event| {
                let message = event["message"].as_str().unwrap_or_default();
                event["reason"] == "FailedMount" && message.contains(why)
            })
        })
        .await;
    world
        .create::<ServiceAccount>(json!({"metadata": {"name": "robot"}}))
        .await;
    world.runs().await;
    stop.cancel();
    world.end().await;
}
