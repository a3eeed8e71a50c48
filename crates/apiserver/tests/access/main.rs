//! Who may do what, asked over the TLS listener the way programs in a cluster ask.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[expect(dead_code, reason = "each test file uses its part")]
#[path = "../common/mod.rs"]
mod common;
mod tokens;

use std::time::Duration;

use choreo_apiserver::{Credentials, Server};
use common::{open, refused};
use jiff::Timestamp;
use k8s_openapi::api::{
    authentication::v1::{SelfSubjectReview, TokenRequest, TokenReview},
    authorization::v1::SelfSubjectAccessReview,
    core::v1::{ConfigMap, Namespace, Secret, Service, ServiceAccount},
    discovery::v1::EndpointSlice,
    rbac::v1::{Role, RoleBinding},
};
use kube::{
    Api, Client, Config, ResourceExt as _,
    api::{DeleteParams, ListParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

struct Served {
    server: Server,
    credentials: Credentials,
    url: String,
    kubeconfig: String,
    stop: CancellationToken,
    serving: tokio::task::JoinHandle<()>,
    _folder: tempfile::TempDir,
}

async fn serve() -> Served {
    let folder = tempfile::tempdir().unwrap();
    let server = open(&folder.path().join("data"));
    let credentials = Credentials::open(folder.path(), Timestamp::now()).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let kubeconfig = credentials.kubeconfig(&url);
    let stop = CancellationToken::new();
    let serving = {
        let (server, stop, credentials) = (server.clone(), stop.clone(), credentials.clone());
        tokio::spawn(async move { server.serve(listener, &credentials, stop).await.unwrap() })
    };
    Served {
        server,
        credentials,
        url,
        kubeconfig,
        stop,
        serving,
        _folder: folder,
    }
}

impl Served {
    /// A client with the administrator's token, or another.
    async fn client(&self, token: Option<&str>) -> Client {
        let mut config = Kubeconfig::from_yaml(&self.kubeconfig).unwrap();
        if let (Some(token), Some(user)) = (token, config.auth_infos[0].auth_info.as_mut()) {
            user.token = Some(token.to_owned().into());
        }
        by(config).await
    }

    /// A client with a certificate.
    async fn certified(&self, user: &str, groups: &[&str]) -> Client {
        let groups: Vec<String> = groups.iter().map(|group| (*group).to_owned()).collect();
        let (certificate, key) = self
            .credentials
            .certify(user, &groups, Timestamp::now(), 1)
            .unwrap();
        let config = self
            .credentials
            .kubeconfig_by(&self.url, user, &certificate, &key);
        by(Kubeconfig::from_yaml(&config).unwrap()).await
    }

    async fn end(self) {
        self.stop.cancel();
        self.serving.await.unwrap();
        self.server.close().await;
    }
}

async fn by(config: Kubeconfig) -> Client {
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(config, &options).await;
    Client::try_from(config.unwrap()).unwrap()
}

fn of<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// Waits until an object is there.
async fn there<K>(api: &Api<K>, name: &str) -> K
where
    K: Clone + std::fmt::Debug + DeserializeOwned,
{
    let wait = async {
        loop {
            if let Some(found) = api.get_opt(name).await.unwrap() {
                return found;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_fresh_cluster_has_what_clients_expect() {
    let served = serve().await;
    let client = served.client(None).await;
    let post = PostParams::default();
    let namespaces: Api<Namespace> = Api::all(client.clone());
    namespaces
        .create(&post, &of(json!({"metadata": {"name": "fresh"}})))
        .await
        .unwrap();
    for namespace in [
        "default",
        "fresh",
        "kube-public",
        "kube-node-lease",
        "kube-system",
    ] {
        there::<ServiceAccount>(&Api::namespaced(client.clone(), namespace), "default").await;
        let configs: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
        let authority = there(&configs, "kube-root-ca.crt").await.data.unwrap();
        assert!(authority["ca.crt"].starts_with("-----BEGIN CERTIFICATE"));
    }
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "fresh");
    let before = accounts.get("default").await.unwrap().uid();
    accounts
        .delete("default", &DeleteParams::default())
        .await
        .unwrap();
    assert_ne!(there(&accounts, "default").await.uid(), before);
    let services: Api<Service> = Api::namespaced(client.clone(), "default");
    there(&services, "kubernetes").await;
    let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), "default");
    there(&slices, "kubernetes").await;
    served.end().await;
}

async fn token(client: &Client, namespace: &str, account: &str) -> String {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    there(&accounts, account).await;
    let (post, request) = (PostParams::default(), TokenRequest::default());
    let made = accounts
        .create_token_request(account, &post, &request)
        .await;
    let answer = serde_json::to_value(made.unwrap()).unwrap();
    answer["status"]["token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn service_accounts_may_what_roles_allow() {
    let served = serve().await;
    let admin = served.client(None).await;
    let post = PostParams::default();
    let token = token(&admin, "default", "default").await;
    let client = served.client(Some(&token)).await;
    let own: Api<SelfSubjectReview> = Api::all(client.clone());
    let who = own
        .create(&post, &SelfSubjectReview::default())
        .await
        .unwrap();
    let who = who.status.unwrap().user_info.unwrap().username.unwrap();
    assert_eq!(who, "system:serviceaccount:default:default");

    let configs: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
    let (code, reason, message) = refused(configs.list(&ListParams::default()).await);
    assert_eq!((code, reason.as_str()), (403, "Forbidden"));
    assert_eq!(
        message,
        "configmaps is forbidden: User \"system:serviceaccount:default:default\" cannot list \
         resource \"configmaps\" in API group \"\" in the namespace \"default\""
    );
    let roles: Api<Role> = Api::namespaced(admin.clone(), "default");
    roles
        .create(&post, &of(json!({"metadata": {"name": "reader"},
            "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"]}]})))
        .await
        .unwrap();
    let bindings: Api<RoleBinding> = Api::namespaced(admin.clone(), "default");
    bindings
        .create(
            &post,
            &of(json!({"metadata": {"name": "reader"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
            "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": "default"}]})),
        )
        .await
        .unwrap();
    configs.list(&ListParams::default()).await.unwrap();
    refused(
        configs
            .delete("kube-root-ca.crt", &DeleteParams::default())
            .await,
    );
    let elsewhere: Api<ConfigMap> = Api::namespaced(client.clone(), "kube-system");
    refused(elsewhere.list(&ListParams::default()).await);
    refused(
        Api::<Secret>::namespaced(client.clone(), "default")
            .list(&ListParams::default())
            .await,
    );
    for (verb, expected) in [("list", true), ("delete", false)] {
        let review: SelfSubjectAccessReview = of(json!({"spec": {"resourceAttributes":
            {"verb": verb, "resource": "configmaps", "namespace": "default"}}}));
        let api: Api<SelfSubjectAccessReview> = Api::all(client.clone());
        let answer = api.create(&post, &review).await.unwrap().status.unwrap();
        assert_eq!(answer.allowed, expected, "{verb}");
    }
    served.end().await;
}

#[tokio::test]
async fn certificates_name_users_and_groups() {
    let served = serve().await;
    let (admin, post) = (served.client(None).await, PostParams::default());
    let jane = served.certified("jane", &["devs", "on-call"]).await;
    let own: Api<SelfSubjectReview> = Api::all(jane.clone());
    let who = own.create(&post, &SelfSubjectReview::default()).await;
    let who = who.unwrap().status.unwrap().user_info.unwrap();
    assert_eq!(who.username.as_deref(), Some("jane"));
    assert_eq!(
        who.groups.unwrap(),
        ["devs", "on-call", "system:authenticated"]
    );

    let configs: Api<ConfigMap> = Api::namespaced(jane, "default");
    let (code, _, message) = refused(configs.list(&ListParams::default()).await);
    assert_eq!(code, 403);
    assert!(message.contains("User \"jane\" cannot list"), "{message}");
    let bindings: Api<RoleBinding> = Api::namespaced(admin, "default");
    // The second of two groups counts like the first.
    let binding = of(json!({"metadata": {"name": "viewers"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "Group", "name": "on-call", "apiGroup": "rbac.authorization.k8s.io"}]}));
    bindings.create(&post, &binding).await.unwrap();
    configs.list(&ListParams::default()).await.unwrap();

    let master = served.certified("root", &["system:masters"]).await;
    let secrets: Api<Secret> = Api::all(master);
    secrets.list(&ListParams::default()).await.unwrap();
    served.end().await;
}

#[tokio::test]
async fn others_certificates_are_refused() {
    let (served, other) = (serve().await, serve().await);
    let (certificate, key) = other
        .credentials
        .certify("root", &["system:masters".to_owned()], Timestamp::now(), 1)
        .unwrap();
    let config = served
        .credentials
        .kubeconfig_by(&served.url, "root", &certificate, &key);
    let client = by(Kubeconfig::from_yaml(&config).unwrap()).await;
    assert!(client.apiserver_version().await.is_err());
    served.end().await;
    other.end().await;
}

#[tokio::test]
async fn tokens_end_with_their_account() {
    let served = serve().await;
    let admin = served.client(None).await;
    let post = PostParams::default();
    let accounts: Api<ServiceAccount> = Api::namespaced(admin.clone(), "default");
    accounts
        .create(&post, &of(json!({"metadata": {"name": "robot"}})))
        .await
        .unwrap();
    let token = token(&admin, "default", "robot").await;
    let review = |token: &str| of::<TokenReview>(json!({"spec": {"token": token}}));
    let reviews: Api<TokenReview> = Api::all(admin.clone());
    let holds = reviews
        .create(&post, &review(&token))
        .await
        .unwrap()
        .status
        .unwrap();
    assert_eq!(holds.authenticated, Some(true));
    accounts
        .delete("robot", &DeleteParams::default())
        .await
        .unwrap();
    let holds = reviews
        .create(&post, &review(&token))
        .await
        .unwrap()
        .status
        .unwrap();
    assert_ne!(holds.authenticated, Some(true));
    let client = served.client(Some(&token)).await;
    let (code, _, _) = refused(client.apiserver_version().await);
    assert_eq!(code, 401);
    served.end().await;
}

#[tokio::test]
async fn the_server_tells_how_it_is() {
    let served = serve().await;
    let client = served.client(None).await;
    let get = |path: &str| {
        let request = ::http::Request::get(path).body(Vec::new()).unwrap();
        client.request_text(request)
    };
    assert_eq!(get("/livez").await.unwrap(), "ok");
    assert!(
        get("/readyz?verbose")
            .await
            .unwrap()
            .ends_with("readyz check passed\n")
    );
    get("/api/v1/namespaces/default/pods").await.unwrap();
    let metrics = get("/metrics").await.unwrap();
    let counted = "apiserver_request_total{verb=\"list\",resource=\"pods\",code=\"200\"} 1";
    assert!(metrics.lines().any(|line| line == counted), "{metrics}");
    assert!(metrics.contains("apiserver_storage_objects{resource=\"namespaces\"} 4"));
    served.end().await;
}
