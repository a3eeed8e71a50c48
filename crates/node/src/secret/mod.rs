//! Secrets from `ExternalSecret`s: what the External Secrets Operator does on a cluster, with Secrets of
//! one namespace as the store. The embedded home keeps all secret values there, and a component gets
//! only those keys its `ExternalSecret` names.
//!
//! Values that nobody has yet are made by a `Password` generator, once.
//!
//! Values are never logged, and no message holds one.

mod generator;
mod kept;
mod plan;
mod spec;
mod template;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client, ResourceExt as _,
    api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams},
    runtime::{reflector, reflector::Store},
};
use serde_json::{Value, json};
use tokio::{sync::Notify, task::JoinSet};

use self::plan::{Outcome, Sources, plan};
use crate::watch;

const GROUP: &str = "external-secrets.io";
const GENERATORS_GROUP: &str = "generators.external-secrets.io";
const MANAGER: &str = "choreo-secrets";
/// A burst of changes is one pass.
const DEBOUNCE: Duration = Duration::from_millis(15);

/// Why the controller ended.
#[derive(Debug, thiserror::Error)]
#[error("the watch of secrets ended")]
pub struct Ended;

/// Keeps the Secrets of `ExternalSecret`s as their sources are, until it is dropped.
pub async fn run(client: Client) -> Result<(), Ended> {
    let mut controller = Controller::start(client);
    controller.ready().await.map_err(|_| Ended)?;
    loop {
        controller.pass().await;
        tokio::select! {
            () = controller.changed.notified() => {}
            _ = controller.tasks.join_next() => return Err(Ended),
        }
        tokio::time::sleep(DEBOUNCE).await;
    }
}

struct Controller {
    client: Client,
    wanted: Store<DynamicObject>,
    cluster_stores: Store<DynamicObject>,
    stores: Store<DynamicObject>,
    passwords: Store<DynamicObject>,
    secrets: Store<Secret>,
    changed: Arc<Notify>,
    tasks: JoinSet<()>,
}

impl Controller {
    fn start(client: Client) -> Self {
        let changed = Arc::new(Notify::new());
        let mut tasks = JoinSet::new();
        let mut dynamic = |kind: &str| {
            let resource = resource(kind);
            let api = Api::all_with(client.clone(), &resource);
            watch::store(api, resource, &changed, &mut tasks)
        };
        let wanted = dynamic("ExternalSecret");
        let cluster_stores = dynamic("ClusterSecretStore");
        let stores = dynamic("SecretStore");
        let passwords = dynamic("Password");
        Self {
            wanted,
            cluster_stores,
            stores,
            passwords,
            secrets: watch::store(Api::all(client.clone()), (), &changed, &mut tasks),
            client,
            changed,
            tasks,
        }
    }

    async fn ready(&self) -> Result<(), reflector::store::WriterDropped> {
        for store in [
            &self.wanted,
            &self.cluster_stores,
            &self.stores,
            &self.passwords,
        ] {
            store.wait_until_ready().await?;
        }
        self.secrets.wait_until_ready().await
    }

    /// Compares everything with everything: a pass over unchanged objects writes nothing.
    async fn pass(&self) {
        let (cluster_stores, stores) = (self.cluster_stores.state(), self.stores.state());
        let (secrets, passwords) = (self.secrets.state(), self.passwords.state());
        let sources = Sources::new(&cluster_stores, &stores, &secrets, &passwords);
        for object in self.wanted.state() {
            if object.metadata.deletion_timestamp.is_none() {
                let outcome = plan(&object, &sources);
                self.carry_out(&object, outcome).await;
            }
        }
        self.report("ClusterSecretStore", &cluster_stores).await;
        self.report("SecretStore", &stores).await;
    }

    /// Writes the statuses of stores.
    async fn report(&self, kind: &str, stores: &[Arc<DynamicObject>]) {
        for store in stores {
            let state = plan::store_state(store);
            self.write_status(kind, store, state).await;
        }
    }

    async fn carry_out(&self, object: &DynamicObject, outcome: Outcome) {
        let state = match outcome {
            // The Secret follows when the watch tells that they are kept.
            Outcome::Generate(missing) => match missing.keep(&self.client).await {
                Ok(()) => return,
                Err(problem) => Err(problem),
            },
            Outcome::Settle { write: None, state } => state,
            Outcome::Settle {
                write: Some(secret),
                state,
            } => match self.apply(object, &secret).await {
                Ok(()) => state,
                Err(error) => Err(format!("the Secret cannot be written: {error}")),
            },
        };
        self.write_status("ExternalSecret", object, state).await;
    }

    async fn apply(&self, object: &DynamicObject, secret: &Value) -> kube::Result<()> {
        let namespace = object.namespace().unwrap_or_default();
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &namespace);
        let name = secret["metadata"]["name"].as_str().unwrap_or_default();
        let parameters = PatchParams::apply(MANAGER).force();
        api.patch(name, &parameters, &Patch::Apply(secret))
            .await
            .map(drop)
    }

    async fn write_status(
        &self,
        kind: &str,
        object: &DynamicObject,
        state: Result<&'static str, String>,
    ) {
        let old = &object.data["status"];
        let new = plan::status(kind, object, &state, old, jiff::Timestamp::now());
        if new == *old {
            return;
        }
        let resource = resource(kind);
        let api: Api<DynamicObject> = match object.namespace() {
            Some(namespace) => Api::namespaced_with(self.client.clone(), &namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        };
        let patch = Patch::Merge(json!({"status": new}));
        let name = object.name_any();
        let written = api
            .patch_status(&name, &PatchParams::default(), &patch)
            .await;
        let deleted = matches!(&written, Err(kube::Error::Api(answer)) if answer.code == 404);
        if let (Err(error), false) = (written, deleted) {
            tracing::warn!(kind, name, %error, "a status cannot be written");
        }
    }
}

fn resource(kind: &str) -> ApiResource {
    let plural = format!("{}s", kind.to_lowercase());
    let kind = match kind {
        "Password" => GroupVersionKind::gvk(GENERATORS_GROUP, "v1alpha1", kind),
        kind => GroupVersionKind::gvk(GROUP, "v1", kind),
    };
    ApiResource::from_gvk_with_plural(&kind, &plural)
}

/// Objects by namespace and name.
type ByName<'a, T> = BTreeMap<(String, String), &'a T>;
