//! What is there before the first request: Kubernetes' own namespaces and
//! role, and the definitions the server was opened with.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    core::Core,
    object::meta_str,
    rest::{Call, Edit, Options, Part, Unknown, update},
    status::{Failure, Result},
};

/// Applies Kubernetes' own objects and `definitions`; what is there already
/// and the same is not written again.
pub(crate) async fn bootstrap(core: &Core, definitions: Vec<Value>) -> Result<()> {
    let own = own().into_iter().map(|object| apply(core, object, false));
    futures::future::try_join_all(own).await?;
    let definitions = definitions
        .into_iter()
        .map(|object| apply(core, object, true));
    futures::future::try_join_all(definitions).await.map(drop)
}

/// Kubernetes' own objects.
fn own() -> Vec<Value> {
    let mut objects: Vec<Value> = ["default", "kube-node-lease", "kube-public", "kube-system"]
        .into_iter()
        .map(|name| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}))
        .collect();
    objects.push(json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {
            "name": "cluster-admin",
            "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
        },
        "rules": [
            {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
            {"nonResourceURLs": ["*"], "verbs": ["*"]},
        ],
    }));
    objects
}

fn split(object: &Value) -> (&str, &str, &str) {
    let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
    let api_version = text("apiVersion");
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    (group, version, text("kind"))
}

/// Makes the object what is given; without `renew` only if there is none.
async fn apply(core: &Core, object: Value, renew: bool) -> Result<()> {
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
    if !renew && core.get(&served, "", &name).is_ok() {
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
        namespace: "",
        name: &name,
        part: Part::Main,
        options: &options,
        now: Timestamp::now(),
        warnings: Vec::new(),
    };
    update(&mut call, Edit::Apply(object)).await.map(drop)
}
