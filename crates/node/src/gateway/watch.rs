//! The objects the gateways depend on, kept current by watches.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use k8s_openapi::api::{
    core::v1::{ConfigMap, Namespace, Secret, Service},
    discovery::v1::EndpointSlice,
};
use kube::{
    Api, Client, Resource as _,
    api::{ApiResource, DynamicObject, GroupVersionKind},
    runtime::{
        reflector::{self, Store, store::WriterDropped},
        watcher,
    },
};
use serde::de::DeserializeOwned;
use tokio::{sync::Notify, task::JoinSet};

use super::{
    ENVOY_GROUP, Found, GROUP, Input, Wanted,
    issuer::Asker,
    objects::{self, Resource},
};
use crate::{outside::Reach, watch};

/// The kinds that are watched, with group, version and plural.
const KINDS: [(&str, &str, &str, &str); 14] = [
    ("GatewayClass", GROUP, "v1", "gatewayclasses"),
    ("Gateway", GROUP, "v1", "gateways"),
    ("HTTPRoute", GROUP, "v1", "httproutes"),
    ("GRPCRoute", GROUP, "v1", "grpcroutes"),
    ("TLSRoute", GROUP, "v1", "tlsroutes"),
    ("TCPRoute", GROUP, "v1", "tcproutes"),
    ("UDPRoute", GROUP, "v1", "udproutes"),
    ("ListenerSet", GROUP, "v1", "listenersets"),
    ("ReferenceGrant", GROUP, "v1", "referencegrants"),
    ("BackendTLSPolicy", GROUP, "v1", "backendtlspolicies"),
    (
        "SecurityPolicy",
        ENVOY_GROUP,
        "v1alpha1",
        "securitypolicies",
    ),
    (
        "BackendTrafficPolicy",
        ENVOY_GROUP,
        "v1alpha1",
        "backendtrafficpolicies",
    ),
    (
        "ClientTrafficPolicy",
        ENVOY_GROUP,
        "v1alpha1",
        "clienttrafficpolicies",
    ),
    ("Backend", ENVOY_GROUP, "v1alpha1", "backends"),
];

/// All stores.
pub(super) struct Watches {
    client: Client,
    objects: BTreeMap<&'static str, Store<DynamicObject>>,
    namespaces: Store<Namespace>,
    services: Store<Service>,
    slices: Store<EndpointSlice>,
    secrets: Singles<Secret>,
    config_maps: Singles<ConfigMap>,
    issuers: Asker,
    changed: Arc<Notify>,
    tasks: JoinSet<()>,
}

/// Objects that are watched one by one.
type Singles<K> = BTreeMap<(String, String), Single<K>>;

struct Single<K: kube::Resource<DynamicType = ()> + 'static> {
    store: Store<K>,
    /// Ends with it.
    _tasks: JoinSet<()>,
}

/// The API resource of a kind that is watched.
pub(super) fn resource(kind: &str) -> ApiResource {
    let known = KINDS.iter().find(|(known, ..)| *known == kind);
    let (kind, group, version, plural) = known.copied().unwrap_or(KINDS[2]);
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
}

impl Watches {
    /// Starts all watches; they end when this is dropped. Issuers are reached within `reach`, and certified by
    /// `authorities`.
    pub(super) fn start(client: &Client, reach: Reach, authorities: Option<&str>) -> Self {
        let mut tasks = JoinSet::new();
        let changed = Arc::new(Notify::new());
        let mut objects = BTreeMap::new();
        for (kind, ..) in KINDS {
            let resource = resource(kind);
            let api = Api::all_with(client.clone(), &resource);
            let store = watch::store(api, resource, &changed, &mut tasks);
            objects.insert(kind, store);
        }
        let namespaces = Api::all(client.clone());
        let services = Api::all(client.clone());
        let slices = Api::all(client.clone());
        Self {
            client: client.clone(),
            objects,
            namespaces: watch::store(namespaces, (), &changed, &mut tasks),
            services: watch::store(services, (), &changed, &mut tasks),
            slices: watch::store(slices, (), &changed, &mut tasks),
            secrets: Singles::new(),
            config_maps: Singles::new(),
            issuers: Asker::new(reach, authorities, Arc::clone(&changed)),
            changed,
            tasks,
        }
    }

    /// Waits until every store has been filled once.
    pub(super) async fn ready(&self) -> Result<(), WriterDropped> {
        for store in self.objects.values() {
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

    /// Watches exactly the objects that are wanted; whether some of them are seen for the first time.
    pub(super) async fn follow(
        &mut self,
        wanted: &BTreeSet<Wanted>,
    ) -> Result<bool, WriterDropped> {
        let (mut secrets, mut maps) = (BTreeSet::new(), BTreeSet::new());
        let mut issuers = BTreeSet::new();
        for wanted in wanted {
            match wanted {
                Wanted::Secret(namespace, name) => secrets.insert((namespace, name)),
                Wanted::ConfigMap(namespace, name) => maps.insert((namespace, name)),
                Wanted::Issuer(issuer) => issuers.insert(issuer),
            };
        }
        // Nobody waits for what they say.
        self.issuers.follow(&issuers);
        let (client, changed) = (&self.client, &self.changed);
        let secrets = follow(&mut self.secrets, &secrets, client, changed).await?;
        let maps = follow(&mut self.config_maps, &maps, client, changed).await?;
        Ok(secrets || maps)
    }

    /// The last seen status of an object.
    pub(super) fn status(
        &self,
        kind: &str,
        namespace: &str,
        name: &str,
    ) -> Option<serde_json::Value> {
        let store = self.objects.get(kind)?;
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
            classes: self.read("GatewayClass", Resource::read),
            gateways: self.read("Gateway", Resource::read),
            listener_sets: self.read("ListenerSet", Resource::read),
            http_routes: self.read("HTTPRoute", Resource::read),
            grpc_routes: self.read("GRPCRoute", objects::grpc),
            tls_routes: self.read("TLSRoute", Resource::read),
            tcp_routes: self.read("TCPRoute", Resource::read),
            udp_routes: self.read("UDPRoute", Resource::read),
            grants: self.read("ReferenceGrant", Resource::read),
            backend_tls: self.read("BackendTLSPolicy", Resource::read),
            security_policies: self.read("SecurityPolicy", Resource::read),
            traffic_policies: self.read("BackendTrafficPolicy", Resource::read),
            client_policies: self.read("ClientTrafficPolicy", Resource::read),
            backends: self.read("Backend", Resource::read),
            namespaces: self.namespaces.state().into_iter().map(labels).collect(),
            services: plain(&self.services),
            slices: plain(&self.slices),
            found: Found {
                secrets: present(&self.secrets),
                config_maps: present(&self.config_maps),
                issuers: self.issuers.known(),
            },
            ..Input::default()
        }
    }

    /// Objects by age and name: a store has no order, and a translation must have one.
    fn read<S>(
        &self,
        kind: &str,
        read: impl Fn(&DynamicObject) -> Option<Resource<S>>,
    ) -> Vec<Resource<S>> {
        let state = self.objects.get(kind).map(Store::state).unwrap_or_default();
        let mut found: Vec<Resource<S>> = state.iter().filter_map(|o| read(o)).collect();
        found.sort_by(|a, b| a.seniority().cmp(&b.seniority()));
        found
    }
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

/// What there is of objects that are watched one by one.
fn present<K>(singles: &Singles<K>) -> BTreeMap<(String, String), K>
where
    K: kube::Resource<DynamicType = ()> + Clone + 'static,
{
    let found = singles.iter().filter_map(|(key, single)| {
        let object = single.store.state().into_iter().next()?;
        Some((key.clone(), K::clone(&object)))
    });
    found.collect()
}

/// Watches exactly some objects of a kind, and waits until the new ones were looked for; whether there
/// were new ones.
async fn follow<K>(
    singles: &mut Singles<K>,
    wanted: &BTreeSet<(&String, &String)>,
    client: &Client,
    changed: &Arc<Notify>,
) -> Result<bool, WriterDropped>
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug
        + Send
        + Sync
        + 'static,
{
    singles.retain(|(namespace, name), _| wanted.contains(&(namespace, name)));
    let mut news = false;
    for (namespace, name) in wanted {
        let key = ((*namespace).clone(), (*name).clone());
        if singles.contains_key(&key) {
            continue;
        }
        let mut tasks = JoinSet::new();
        let api = Api::namespaced(client.clone(), namespace);
        let only = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let store = watch::chosen(api, (), only, changed, &mut tasks);
        store.wait_until_ready().await?;
        singles.insert(
            key,
            Single {
                store,
                _tasks: tasks,
            },
        );
        news = true;
    }
    Ok(news)
}
