//! The admission policies that the platform brings for API servers that are not its own, evaluated by a
//! real kube-apiserver where `CHOREO_ORACLE` names its kubeconfig:
//! `tests/oracle/oracle run cargo test -p choreo-controllers --test policies`.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says why it is skipped"
)]

use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

const PROMOTIONS: &str = "/apis/openchoreo.dev/v1alpha1/namespaces/default/promotions";
/// How long a policy may take to be heard of.
const PATIENCE: Duration = Duration::from_mins(1);

struct Oracle(Client);

impl Oracle {
    async fn new() -> Option<Self> {
        let path = std::env::var_os("CHOREO_ORACLE")?;
        let kubeconfig = Kubeconfig::read_from(path).unwrap();
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
        Some(Self(Client::try_from(config.unwrap()).unwrap()))
    }

    /// A request by `user`, who may do everything that roles allow or, if `may_all` is not said, what
    /// the role of promoters allows. Answers with the refusal.
    async fn ask(
        &self,
        user: &str,
        method: &str,
        path: &str,
        body: &Value,
    ) -> Result<Value, String> {
        let kind = match method {
            "PATCH" => "application/merge-patch+json",
            _ => "application/json",
        };
        let mut request = http::Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::CONTENT_TYPE, kind);
        if !user.is_empty() {
            request = request
                .header("impersonate-user", user)
                .header("impersonate-group", "promoters");
        }
        let request = request.body(body.to_string().into_bytes()).unwrap();
        let answer = self.0.request(request).await;
        answer.map_err(|error| error.to_string())
    }

    async fn make(&self, path: &str, object: &Value) {
        match self.ask("", "POST", path, object).await {
            Ok(_) => {}
            Err(why) if why.contains("already exists") => {}
            Err(why) => panic!("{path}: {why}"),
        }
    }

    /// Makes what a cluster needs: the kind, the policies, and people who may write promotions.
    async fn furnish(&self) {
        let definition = choreo_model::find("Promotion").unwrap().crd();

        self.make(
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
            &definition,
        )
        .await;
        let policies = serde_saphyr::from_multiple::<Value>(choreo_model::POLICIES).unwrap();
        for policy in &policies {
            let plural = match policy["kind"].as_str().unwrap() {
                "ValidatingAdmissionPolicy" => "validatingadmissionpolicies",
                _ => "validatingadmissionpolicybindings",
            };
            let path = format!("/apis/admissionregistration.k8s.io/v1/{plural}");
            self.make(&path, policy).await;
        }
        let rbac = "/apis/rbac.authorization.k8s.io/v1";
        let role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": { "name": "promoters" },
            "rules": [{
                "apiGroups": ["openchoreo.dev"], "resources": ["promotions"], "verbs": ["*"],
            }],
        });
        self.make(&format!("{rbac}/clusterroles"), &role).await;
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": { "name": "promoters" },
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "promoters",
            },
            "subjects": [{
                "apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "promoters",
            }],
        });
        self.make(&format!("{rbac}/clusterrolebindings"), &binding)
            .await;
        self.until_policies_hold().await;
    }

    /// Waits until what the policies forbid is refused: they are heard of a moment after they are made.
    async fn until_policies_hold(&self) {
        let deadline = Instant::now() + PATIENCE;
        let path = format!("{PROMOTIONS}?dryRun=All");
        loop {
            let refused = self
                .ask("eve", "POST", &path, &promotion("probe", "ann"))
                .await;
            if refused
                .as_ref()
                .is_err_and(|why| why.contains("spec.requestedBy must be eve"))
            {
                return;
            }
            assert!(Instant::now() < deadline, "{refused:?}");
            sleep(Duration::from_millis(200)).await;
        }
    }
}

fn promotion(name: &str, by: &str) -> Value {
    json!({
        "apiVersion": "openchoreo.dev/v1alpha1", "kind": "Promotion",
        "metadata": { "name": name },
        "spec": {
            "owner": { "projectName": "shop", "componentName": "web" },
            "sourceEnvironment": "staging", "targetEnvironment": "production",
            "releases": { "web": "web-1" }, "requestedBy": by,
        },
    })
}

fn approval(by: &str) -> Value {
    json!({ "by": by, "planDigest": "one" })
}

/// Somebody's decision, written behind those that are there.
async fn decides(oracle: &Oracle, user: &str, all: &[Value]) -> Result<Value, String> {
    let change = json!({ "spec": { "approvals": all } });
    let path = format!("{PROMOTIONS}/policies");
    oracle.ask(user, "PATCH", &path, &change).await
}

#[track_caller]
fn refused(outcome: Result<Value, String>, why: &str) {
    let said = outcome.unwrap_err();
    assert!(said.contains(why), "{said}");
}

#[tokio::test]
async fn nobody_says_of_a_promotion_what_is_not_theirs() {
    let Some(oracle) = Oracle::new().await else {
        eprintln!("skipped: CHOREO_ORACLE names no kubeconfig of a kube-apiserver");
        return;
    };
    oracle.furnish().await;
    let path = format!("{PROMOTIONS}/policies");
    let _ = oracle.ask("", "DELETE", &path, &json!({})).await;
    asked_for(&oracle).await;
    approved(&oracle).await;
    broken(&oracle).await;
    oracle.ask("", "DELETE", &path, &json!({})).await.unwrap();
}

/// Who asks for it is whoever asks.
async fn asked_for(oracle: &Oracle) {
    let make = |by| promotion("policies", by);
    let theirs = "spec.requestedBy must be ann";
    for by in ["bob", "system:choreo:pipeline", ""] {
        refused(
            oracle.ask("ann", "POST", PROMOTIONS, &make(by)).await,
            theirs,
        );
    }
    let mut decided = make("ann");
    decided["spec"]["approvals"] = json!([approval("ann")]);
    let early = "spec.approvals must be empty";
    refused(oracle.ask("ann", "POST", PROMOTIONS, &decided).await, early);
    oracle
        .ask("ann", "POST", PROMOTIONS, &make("ann"))
        .await
        .unwrap();
    // The controllers, who may write statuses, ask for the pipeline.
    let path = format!("{PROMOTIONS}?dryRun=All");
    let pipeline = promotion("automatic", "system:choreo:pipeline");
    oracle.ask("", "POST", &path, &pipeline).await.unwrap();
    let other = json!({ "spec": { "requestedBy": "bob" } });
    let path = format!("{PROMOTIONS}/policies");
    refused(
        oracle.ask("bob", "PATCH", &path, &other).await,
        "requestedBy",
    );
}

/// Whoever approves is whoever says so, did not ask, and leaves what others decided.
async fn approved(oracle: &Oracle) {
    let [ann, bob, eve] = ["ann", "bob", "eve"].map(approval);
    let own = "ann asked for it, and nobody approves their own";
    refused(
        decides(oracle, "ann", std::slice::from_ref(&ann)).await,
        own,
    );
    let theirs = "spec.approvals[].by must be eve";
    refused(
        decides(oracle, "eve", std::slice::from_ref(&bob)).await,
        theirs,
    );
    let unnamed = json!({ "planDigest": "one" });
    refused(decides(oracle, "eve", &[unnamed]).await, theirs);
    let mut grouped = eve.clone();
    grouped["groups"] = json!(["managers"]);
    let groups = "spec.approvals[].groups must be groups that eve is in";
    refused(decides(oracle, "eve", &[grouped]).await, groups);
    let mut bob = bob;
    bob["groups"] = json!(["promoters"]);
    decides(oracle, "bob", std::slice::from_ref(&bob))
        .await
        .unwrap();
    let stays = "what was decided stays";
    refused(decides(oracle, "eve", &[]).await, stays);
    refused(
        decides(oracle, "eve", std::slice::from_ref(&eve)).await,
        stays,
    );
    let mut changed = bob.clone();
    changed["comment"] = json!("never mind");
    refused(
        decides(oracle, "bob", std::slice::from_ref(&changed)).await,
        stays,
    );
    refused(decides(oracle, "eve", &[changed, eve.clone()]).await, stays);
    refused(
        decides(oracle, "eve", &[bob.clone(), eve.clone(), eve.clone()]).await,
        stays,
    );
    decides(oracle, "eve", &[bob.clone(), eve.clone()])
        .await
        .unwrap();
    // Whoever asked may take it back.
    let withdrawn = json!({ "by": "ann", "planDigest": "none", "decision": "reject" });
    decides(oracle, "ann", &[bob, eve, withdrawn])
        .await
        .unwrap();
}

/// Whoever breaks the glass says so of themselves.
async fn broken(oracle: &Oracle) {
    let path = format!("{PROMOTIONS}/policies");
    let glass = |by: &str| json!({ "spec": { "breakGlass": { "by": by, "reason": "outage" } } });
    let theirs = "spec.breakGlass.by must be eve";
    refused(
        oracle.ask("eve", "PATCH", &path, &glass("bob")).await,
        theirs,
    );
    oracle
        .ask("bob", "PATCH", &path, &glass("bob"))
        .await
        .unwrap();
    refused(
        oracle.ask("eve", "PATCH", &path, &glass("eve")).await,
        "immutable",
    );
}
