//! A platform with the sample, and objects of the measurement's own on it.

use std::{fmt::Debug, net::IpAddr, time::Duration};

use k8s_openapi::api::core::v1::{Namespace, Pod, Service};
use kube::{
    Api, Client, Resource,
    api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, PostParams},
    runtime::wait::{Condition, await_condition, conditions},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::{runtime::Runtime, time::timeout};

use crate::{
    platform::{Bench, folder},
    process,
    run::{Platform, Trouble},
};

/// Where the objects of the measurement are.
pub(super) const NAMESPACE: &str = "bench";
/// An image that the sample brings: it answers `GET /items`, and ends when it is asked to.
const IMAGE: &str = "storefront/catalog:1";
/// The port it listens on.
pub(super) const PORT: u16 = 8080;
/// What it is asked for.
pub(super) const PATH: &str = "/items";
/// The pod that serves, and the host it serves at.
pub(super) const SERVER: &str = "server";
pub(super) const HOST: &str = "bench.openchoreo.localhost";
/// How long anything may take before the measurement is given up.
pub(super) const PATIENCE: Duration = Duration::from_mins(5);

/// A platform that runs.
pub(super) struct Home {
    platform: Platform,
    /// The platform's process.
    pub(super) pid: u32,
    pub(super) client: Client,
    pub(super) folder: tempfile::TempDir,
}

impl Home {
    /// Starts a platform with the sample.
    pub(super) fn start(runtime: &Runtime) -> Result<Self, Trouble> {
        let bench = Bench::prepare()?;
        let folder = folder()?;
        let platform = Platform::new(&bench.launcher, &folder.path().join("data"))?;
        let pid = Platform::ready(platform.start(&[&bench.sample])?)?;
        let client = runtime.block_on(platform.client())?;
        let home = Self {
            platform,
            pid,
            client,
            folder,
        };
        runtime.block_on(home.make_namespace(NAMESPACE))?;
        Ok(home)
    }

    /// Makes a namespace.
    pub(super) async fn make_namespace(&self, name: &str) -> Result<(), Trouble> {
        let all: Api<Namespace> = Api::all(self.client.clone());
        create(&all, json!({ "metadata": { "name": name } })).await
    }

    /// Kills the platform, and starts it again on what is left.
    pub(super) fn kill_and_start(&mut self) -> Result<(), Trouble> {
        process::kill(self.pid).map_err(Trouble::io("killing the platform"))?;
        self.pid = Platform::ready(self.platform.start(&[])?)?;
        Ok(())
    }

    /// Stops it.
    pub(super) fn stop(self) -> Result<(), Trouble> {
        self.platform.stop()
    }

    /// Where the external gateway is.
    pub(super) fn gateway(&self) -> String {
        self.platform.gateway()
    }

    /// Objects of a kind that Kubernetes has itself.
    pub(super) fn api<T>(&self) -> Api<T>
    where
        T: Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        T::DynamicType: Default,
    {
        self.of(NAMESPACE)
    }

    /// The same of a namespace.
    pub(super) fn of<T>(&self, namespace: &str) -> Api<T>
    where
        T: Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        T::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Routes.
    pub(super) fn routes(&self) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", "HTTPRoute");
        let resource = ApiResource::from_gvk_with_plural(&kind, "httproutes");
        Api::namespaced_with(self.client.clone(), NAMESPACE, &resource)
    }

    /// Starts a pod that serves behind the gateway; returns its address.
    pub(super) async fn serve(&self) -> Result<IpAddr, Trouble> {
        let pods: Api<Pod> = self.api();
        create(&pods, pod(SERVER)).await?;
        let services: Api<Service> = self.api();
        let service = json!({
            "metadata": { "name": SERVER },
            "spec": { "selector": { "app": SERVER }, "ports": [{ "port": PORT }] },
        });
        create(&services, service).await?;
        create(&self.routes(), route(SERVER, HOST)).await?;
        wait(&pods, SERVER, conditions::is_pod_running()).await?;
        let found = pods.get(SERVER).await.map_err(Trouble::api(SERVER))?;
        let address = found.status.and_then(|status| status.pod_ip?.parse().ok());
        address
            .ok_or_else(|| Trouble::Output(format!("pod {SERVER}"), "it has no address".to_owned()))
    }
}

/// A pod that serves.
pub(super) fn pod(name: &str) -> Value {
    json!({
        "metadata": { "name": name, "labels": { "app": name } },
        "spec": { "containers": [{ "name": "main", "image": IMAGE }] },
    })
}

/// A route of the external gateway to the pod that serves.
pub(super) fn route(name: &str, host: &str) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": { "name": name },
        "spec": {
            "parentRefs": [{ "name": "gateway-default", "namespace": "openchoreo-data-plane" }],
            "hostnames": [host],
            "rules": [{ "backendRefs": [{ "name": SERVER, "port": PORT }] }],
        },
    })
}

/// Makes an object.
pub(super) async fn create<T>(api: &Api<T>, object: Value) -> Result<(), Trouble>
where
    T: Clone + DeserializeOwned + Serialize + Debug,
{
    let doing = format!("making {}", object["metadata"]["name"]);
    let object = serde_json::from_value(object).map_err(Trouble::api(doing.clone()))?;
    let made = api.create(&PostParams::default(), &object).await;
    made.map(drop).map_err(Trouble::api(doing))
}

/// Deletes an object.
pub(super) async fn delete<T>(api: &Api<T>, name: &str) -> Result<(), Trouble>
where
    T: Clone + DeserializeOwned + Debug,
{
    let deleted = api.delete(name, &DeleteParams::default()).await;
    deleted
        .map(drop)
        .map_err(Trouble::api(format!("deleting {name}")))
}

/// Waits until something holds of an object.
pub(super) async fn wait<T>(
    api: &Api<T>,
    name: &str,
    condition: impl Condition<T>,
) -> Result<(), Trouble>
where
    T: Clone + DeserializeOwned + Debug + Send + Resource + 'static,
    T::DynamicType: Default,
{
    let condition = await_condition(api.clone(), name, condition);
    if let Ok(held) = timeout(PATIENCE, condition).await {
        return held.map(drop).map_err(Trouble::api(name));
    }
    let why = format!("it is not as it should be after {PATIENCE:?}");
    Err(Trouble::Output(name.to_owned(), why))
}
