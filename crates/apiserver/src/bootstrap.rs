//! What is there before the first request: Kubernetes' own namespaces, priorities
//! and roles, and the definitions the server was opened with.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    auth::{self, User, policy},
    core::Core,
    object::{Name, meta_str},
    registry::Served,
    rest::{Call, Edit, Options, Part, Unknown, amend, update_anew},
    status::{Failure, Result},
};

/// Applies Kubernetes' own objects and `definitions`; what is there already
/// and the same is not written again.
pub(crate) async fn bootstrap(core: &Core, definitions: Vec<Value>) -> Result<()> {
    let own = own().into_iter().map(|object| make(core, object));
    futures::future::try_join_all(own).await?;
    let policy = policy::objects().map_err(Failure::internal)?;
    let policy = policy.into_iter().map(|object| complete(core, object));
    futures::future::try_join_all(policy).await?;
    auth::settle(core).await?;
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
    objects
}

fn split(object: &Value) -> (&str, &str, &str) {
    let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
    let api_version = text("apiVersion");
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    (group, version, text("kind"))
}

/// Makes a role or binding, or gives the one that is there what it lacks.
async fn complete(core: &Core, object: Value) -> Result<()> {
    let kind = served(core, &object)?;
    let name = Name::new(meta_str(&object, "namespace"), meta_str(&object, "name"));
    let place = (Arc::clone(&kind.collection), name);
    if core.cache.get(&place).is_none() {
        return make(core, object).await;
    }
    amend(core, &kind, &place, |known| {
        policy::complete(known, &object)
    })
    .await
}

/// Makes the object if there is none.
pub(crate) async fn make(core: &Core, object: Value) -> Result<()> {
    let kind = served(core, &object)?;
    let (namespace, name) = (meta_str(&object, "namespace"), meta_str(&object, "name"));
    if core.get(&kind, namespace, name).is_ok() {
        return Ok(());
    }
    apply(core, object).await
}

fn served(core: &Core, object: &Value) -> Result<Arc<Served>> {
    let (group, version, kind) = split(object);
    let catalog = core.catalog();
    let kinds = catalog.of(group, version).into_iter();
    let found = kinds.map(Arc::clone).find(|served| served.kind == kind);
    found.ok_or_else(|| Failure::bad_request(format!("{kind} of {group}/{version} is not served")))
}

/// Makes the object what is given.
pub(crate) async fn apply(core: &Core, object: Value) -> Result<()> {
    apply_as(core, "apiserver", object).await
}

/// Makes the object what is given, in the name of one of the server's parts.
pub(crate) async fn apply_as(core: &Core, manager: &str, object: Value) -> Result<()> {
    let served = served(core, &object)?;
    let name = meta_str(&object, "name").to_owned();
    let namespace = meta_str(&object, "namespace").to_owned();
    let options = Options {
        dry_run: false,
        manager: manager.into(),
        unknown: Unknown::Ignore,
        force: true,
        own: true,
    };
    let mut call = Call {
        core,
        user: &User::of_part("apiserver"),
        kind: &served,
        namespace: &namespace,
        name: &name,
        part: Part::Main,
        options: &options,
        now: Timestamp::now(),
        warnings: Vec::new(),
    };
    let edit = |_: &mut Call<'_>| Ok(Edit::Apply(object.clone()));
    update_anew(&mut call, edit).await.map(drop)
}
