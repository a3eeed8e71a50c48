//! What is there before the first request: Kubernetes' own namespaces, priorities
//! and roles, and the definitions the server was opened with.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    auth::{AUTHENTICATED, MASTERS},
    core::Core,
    object::meta_str,
    rest::{Call, Edit, Options, Part, Unknown, update},
    status::{Failure, Result},
};

/// The version of roles and bindings.
const RBAC: &str = "rbac.authorization.k8s.io/v1";

/// Applies Kubernetes' own objects and `definitions`; what is there already
/// and the same is not written again.
pub(crate) async fn bootstrap(core: &Core, definitions: Vec<Value>) -> Result<()> {
    let own = own().into_iter().map(|object| make(core, object));
    futures::future::try_join_all(own).await?;
    let definitions = definitions.into_iter().map(|object| apply(core, object));
    futures::future::try_join_all(definitions).await.map(drop)
}

/// Kubernetes' own objects.
fn own() -> Vec<Value> {
    let mut objects: Vec<Value> = ["default", "kube-node-lease", "kube-public", "kube-system"]
        .into_iter()
        .map(|name| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}))
        .collect();
    for (name, value, description) in [
        (
            "system-cluster-critical",
            2_000_000_000,
            "system critical pods that must run in the cluster, but can be moved to another node if necessary.",
        ),
        (
            "system-node-critical",
            2_000_001_000,
            "system critical pods that must not be moved from their current node.",
        ),
    ] {
        objects.push(json!({
            "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass",
            "metadata": {"name": name},
            "value": value, "preemptionPolicy": "PreemptLowerPriority",
            "description": format!("Used for {description}"),
        }));
    }
    objects.extend(roles());
    objects
}

/// The roles everybody relies on, each bound to the group of the same purpose.
fn roles() -> Vec<Value> {
    let path = |paths: &[&str]| json!({"nonResourceURLs": paths, "verbs": ["get"]});
    let review = |group, resources: &[&str]| json!({"apiGroups": [group], "resources": resources, "verbs": ["create"]});
    let health = ["/healthz", "/livez", "/readyz", "/version", "/version/"];
    let documents = [
        "/api",
        "/api/*",
        "/apis",
        "/apis/*",
        "/openapi",
        "/openapi/*",
    ];
    let everything = json!({"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]});
    let roles = [
        (
            "cluster-admin",
            MASTERS,
            vec![
                everything,
                json!({"nonResourceURLs": ["*"], "verbs": ["*"]}),
            ],
        ),
        (
            "system:basic-user",
            AUTHENTICATED,
            vec![
                review(
                    "authorization.k8s.io",
                    &["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
                ),
                review("authentication.k8s.io", &["selfsubjectreviews"]),
            ],
        ),
        (
            "system:discovery",
            AUTHENTICATED,
            vec![path(&documents), path(&health)],
        ),
        (
            "system:public-info-viewer",
            AUTHENTICATED,
            vec![path(&health)],
        ),
    ];
    let objects = roles.into_iter().flat_map(|(name, group, rules)| {
        let metadata = json!({
            "name": name,
            "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
        });
        let role = json!({
            "apiVersion": RBAC, "kind": "ClusterRole", "metadata": metadata, "rules": rules,
        });
        let binding = json!({
            "apiVersion": RBAC, "kind": "ClusterRoleBinding", "metadata": metadata,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group}],
        });
        [role, binding]
    });
    objects.collect()
}

fn split(object: &Value) -> (&str, &str, &str) {
    let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
    let api_version = text("apiVersion");
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    (group, version, text("kind"))
}

/// Makes the object if there is none.
pub(crate) async fn make(core: &Core, object: Value) -> Result<()> {
    write(core, object, false).await
}

/// Makes the object what is given.
pub(crate) async fn apply(core: &Core, object: Value) -> Result<()> {
    write(core, object, true).await
}

async fn write(core: &Core, object: Value, renew: bool) -> Result<()> {
    let (group, version, kind) = split(&object);
    let catalog = core.catalog();
    let served = catalog
        .of(group, version)
        .into_iter()
        .find(|served| served.kind == kind);
    let Some(served) = served.map(Arc::clone) else {
        return Err(Failure::bad_request(format!(
            "{kind} of {group}/{version} is not served"
        )));
    };
    let name = meta_str(&object, "name").to_owned();
    let namespace = meta_str(&object, "namespace").to_owned();
    if !renew && core.get(&served, &namespace, &name).is_ok() {
        return Ok(());
    }
    let options = Options {
        dry_run: false,
        manager: "apiserver".into(),
        unknown: Unknown::Ignore,
        force: true,
    };
    let mut call = Call {
        core,
        kind: &served,
        namespace: &namespace,
        name: &name,
        part: Part::Main,
        options: &options,
        now: Timestamp::now(),
        warnings: Vec::new(),
    };
    update(&mut call, Edit::Apply(object)).await.map(drop)
}
