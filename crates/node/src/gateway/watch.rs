//! The objects the gateways depend on, kept current by watches.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::api::{
    core::v1::{Namespace, Service},
    discovery::v1::EndpointSlice,
};
use kube::{
    Api, Client, Resource as _,
    api::{ApiResource, DynamicObject, GroupVersionKind},
    runtime::{reflector, reflector::Store},
};
use tokio::{sync::Notify, task::JoinSet};

use crate::watch;

use super::{
    GROUP, Input,
    objects::{self, Resource},
};

/// All stores.
pub(super) struct Watches {
    classes: Store<DynamicObject>,
    gateways: Store<DynamicObject>,
    http_routes: Store<DynamicObject>,
    grpc_routes: Store<DynamicObject>,
    grants: Store<DynamicObject>,
    namespaces: Store<Namespace>,
    services: Store<Service>,
    slices: Store<EndpointSlice>,
    changed: Arc<Notify>,
    tasks: JoinSet<()>,
}

/// The API resource of a kind of the Gateway API.
pub(super) fn resource(kind: &str) -> ApiResource {
    let plural = match kind {
        "GatewayClass" => "gatewayclasses",
        "Gateway" => "gateways",
        "GRPCRoute" => "grpcroutes",
        "ReferenceGrant" => "referencegrants",
        _ => "httproutes",
    };
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(GROUP, "v1", kind), plural)
}

impl Watches {
    /// Starts all watches; they end when this is dropped.
    pub(super) fn start(client: &Client) -> Self {
        let mut tasks = JoinSet::new();
        let changed = Arc::new(Notify::new());
        let mut dynamic = |kind: &str| {
            let resource = resource(kind);
            let api = Api::all_with(client.clone(), &resource);
            watch::store(api, resource, &changed, &mut tasks)
        };
        let (classes, gateways) = (dynamic("GatewayClass"), dynamic("Gateway"));
        let (http_routes, grpc_routes) = (dynamic("HTTPRoute"), dynamic("GRPCRoute"));
        let grants = dynamic("ReferenceGrant");
        Self {
            classes,
            gateways,
            http_routes,
            grpc_routes,
            grants,
            namespaces: watch::store(Api::all(client.clone()), (), &changed, &mut tasks),
            services: watch::store(Api::all(client.clone()), (), &changed, &mut tasks),
            slices: watch::store(Api::all(client.clone()), (), &changed, &mut tasks),
            changed,
            tasks,
        }
    }

    /// Waits until every store has been filled once.
    pub(super) async fn ready(&self) -> Result<(), reflector::store::WriterDropped> {
        let dynamic = [
            &self.classes,
            &self.gateways,
            &self.http_routes,
            &self.grpc_routes,
            &self.grants,
        ];
        for store in dynamic {
            store.wait_until_ready().await?;
        }
        self.namespaces.wait_until_ready().await?;
        self.services.wait_until_ready().await?;
        self.slices.wait_until_ready().await
    }

    /// Waits for a change; `false` when a watch has ended.
    pub(super) async fn changed(&mut self) -> bool {
        tokio::select! {
            () = self.changed.notified() => true,
            _ = self.tasks.join_next() => false,
        }
    }

    /// The last seen status of an object.
    pub(super) fn status(
        &self,
        kind: &str,
        namespace: &str,
        name: &str,
    ) -> Option<serde_json::Value> {
        let store = match kind {
            "GatewayClass" => &self.classes,
            "Gateway" => &self.gateways,
            "GRPCRoute" => &self.grpc_routes,
            _ => &self.http_routes,
        };
        let mut key = reflector::ObjectRef::new_with(name, resource(kind));
        if !namespace.is_empty() {
            key = key.within(namespace);
        }
        let object = store.get(&key)?;
        Some(object.data.get("status").cloned().unwrap_or_default())
    }

    /// Everything seen, as input of a translation.
    pub(super) fn input(&self) -> Input {
        let labels = |namespace: Arc<Namespace>| {
            let meta = namespace.meta();
            let name = meta.name.clone().unwrap_or_default();
            (name, meta.labels.clone().unwrap_or_default())
        };
        Input {
            classes: read(&self.classes, Resource::read),
            gateways: read(&self.gateways, Resource::read),
            http_routes: read(&self.http_routes, Resource::read),
            grpc_routes: read(&self.grpc_routes, objects::grpc),
            grants: read(&self.grants, Resource::read),
            namespaces: self
                .namespaces
                .state()
                .into_iter()
                .map(labels)
                .collect::<BTreeMap<_, _>>(),
            services: plain(&self.services),
            slices: plain(&self.slices),
            ..Input::default()
        }
    }
}

/// Objects by age and name: a store has no order, and a translation must have one.
fn read<S>(
    store: &Store<DynamicObject>,
    read: impl Fn(&DynamicObject) -> Option<Resource<S>>,
) -> Vec<Resource<S>> {
    let mut found: Vec<Resource<S>> = store.state().iter().filter_map(|o| read(o)).collect();
    found.sort_by(|a, b| {
        (a.created, &a.namespace, &a.name).cmp(&(b.created, &b.namespace, &b.name))
    });
    found
}

fn plain<K>(store: &Store<K>) -> Vec<K>
where
    K: kube::Resource<DynamicType = ()> + Clone + 'static,
{
    store
        .state()
        .iter()
        .map(|object| K::clone(object))
        .collect()
}
