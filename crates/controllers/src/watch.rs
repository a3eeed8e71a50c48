//! Watches: what an API holds, as changes for the index.

use choreo_model::Spec as _;
use choreo_model::history::DeploymentRecordSpec;
use futures::{StreamExt, pin_mut};
use kube::ResourceExt as _;
use kube::api::{Api, ApiResource};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch};
use kube::{Client, Error};
use serde_json::Value;
use std::time::Duration;
use tokio::sync::mpsc::Sender;

use crate::act;
use crate::index::{Change, live_selector};
use crate::key::Key;
use crate::live::LiveKey;
use crate::whole::Whole;

/// What is watched.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// A kind of the platform.
    Platform(&'static str),
    /// A type of live objects on a plane.
    Live {
        home: usize,
        api_version: String,
        kind: String,
    },
}

/// Types that live objects commonly have: apiVersion, kind, plural.
pub(crate) const LIVE_TYPES: [(&str, &str, &str); 22] = [
    ("v1", "Namespace", "namespaces"),
    ("v1", "Pod", "pods"),
    ("v1", "Service", "services"),
    ("v1", "ConfigMap", "configmaps"),
    ("v1", "Secret", "secrets"),
    ("v1", "ServiceAccount", "serviceaccounts"),
    ("v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
    ("apps/v1", "Deployment", "deployments"),
    ("apps/v1", "StatefulSet", "statefulsets"),
    ("batch/v1", "Job", "jobs"),
    ("batch/v1", "CronJob", "cronjobs"),
    (
        "autoscaling/v2",
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
    ),
    ("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets"),
    ("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies"),
    ("networking.k8s.io/v1", "Ingress", "ingresses"),
    ("rbac.authorization.k8s.io/v1", "Role", "roles"),
    (
        "rbac.authorization.k8s.io/v1",
        "RoleBinding",
        "rolebindings",
    ),
    (
        "rbac.authorization.k8s.io/v1",
        "ClusterRole",
        "clusterroles",
    ),
    (
        "rbac.authorization.k8s.io/v1",
        "ClusterRoleBinding",
        "clusterrolebindings",
    ),
    ("gateway.networking.k8s.io/v1", "HTTPRoute", "httproutes"),
    ("gateway.networking.k8s.io/v1", "Gateway", "gateways"),
    (
        "external-secrets.io/v1",
        "ExternalSecret",
        "externalsecrets",
    ),
];

/// Of deployment records only those that have no outcome are watched: the others are history.
const UNFINISHED: &str = "status.outcome=";

/// How long to wait before asking again for a type that is not served.
const UNSERVED: Duration = Duration::from_secs(15);

/// The type of live objects, if it is a common one.
pub(crate) fn known_type(api_version: &str, kind: &str) -> Option<ApiResource> {
    let (_, _, plural) = LIVE_TYPES
        .iter()
        .find(|(known, known_kind, _)| *known == api_version && *known_kind == kind)?;
    Some(ApiResource::from_gvk_with_plural(
        &act::gvk(api_version, kind),
        plural,
    ))
}

/// Watches `source` for ever; ends when nobody listens any more.
pub(crate) async fn run(client: Client, source: Source, changes: Sender<Change>) {
    loop {
        match find(&client, &source).await {
            Ok(Some(resource)) => {
                let Some(()) = follow(&client, &source, &resource, &changes).await else {
                    return;
                };
            }
            Ok(None) => {
                // A type that is not served has no objects.
                let Ok(()) = changes.send(source.listed(Vec::new())).await else {
                    return;
                };
            }
            Err(error) => source.say("a type was not found", &error),
        }
        tokio::time::sleep(UNSERVED).await;
    }
}

/// The type to ask for; none when the API does not serve it.
async fn find(client: &Client, source: &Source) -> Result<Option<ApiResource>, Error> {
    let (api_version, kind) = match source {
        Source::Platform(kind) => return Ok(act::platform_resource(kind)),
        Source::Live {
            api_version, kind, ..
        } => (api_version, kind),
    };
    if let Some(known) = known_type(api_version, kind) {
        return Ok(Some(known));
    }
    match kube::discovery::pinned_kind(client, &act::gvk(api_version, kind)).await {
        Ok((resource, _)) => Ok(Some(resource)),
        Err(Error::Discovery(_)) => Ok(None),
        Err(error) if act::is(&error, 404) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Passes changes on. `Some` when the type turns out not to be served, `None` when nobody listens.
async fn follow(
    client: &Client,
    source: &Source,
    resource: &ApiResource,
    changes: &Sender<Change>,
) -> Option<()> {
    let api: Api<Whole> = Api::all_with(client.clone(), resource);
    let mut config = watch::Config::default();
    if let Source::Live { kind, .. } = source
        && let Some(selector) = live_selector(kind)
    {
        config = config.labels(&selector);
    }
    if *source == Source::Platform(DeploymentRecordSpec::KIND) {
        config = config.fields(UNFINISHED);
    }
    let events = watch(api, config).default_backoff();
    pin_mut!(events);
    let mut listed: Vec<(String, String)> = Vec::new();
    while let Some(event) = events.next().await {
        if event.as_ref().is_err_and(is_unserved) {
            changes.send(source.listed(Vec::new())).await.ok()?;
            return Some(());
        }
        if let Some(change) = source.change(event, resource, &mut listed) {
            changes.send(change).await.ok()?;
        }
    }
    Some(())
}

fn is_unserved(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error) => {
            act::is(error, 404)
        }
        watcher::Error::WatchError(_)
        | watcher::Error::WatchFailed(_)
        | watcher::Error::NoResourceVersion => false,
    }
}

impl Source {
    fn say(&self, what: &str, error: &(dyn std::error::Error + 'static)) {
        tracing::warn!(source = ?self, error, "{what}; it is tried again");
    }

    /// What an event means for the index. What is `listed` is kept by namespace and name until the list
    /// is complete: only then it is known what is gone.
    fn change(
        &self,
        event: Result<Event<Whole>, watcher::Error>,
        resource: &ApiResource,
        listed: &mut Vec<(String, String)>,
    ) -> Option<Change> {
        match event {
            Ok(Event::Init) => {
                listed.clear();
                None
            }
            Ok(Event::InitApply(object)) => {
                let namespace = object.namespace().unwrap_or_default();
                listed.push((namespace, object.name_any()));
                Some(self.applied(object.into_value(resource)))
            }
            Ok(Event::InitDone) => Some(self.listed(std::mem::take(listed))),
            Ok(Event::Apply(object)) => Some(self.applied(object.into_value(resource))),
            Ok(Event::Delete(object)) => Some(self.deleted(object.into_value(resource))),
            Err(error) => {
                self.say("a watch was interrupted", &error);
                None
            }
        }
    }

    fn applied(&self, object: Value) -> Change {
        match self {
            Self::Platform(_) => Change::Applied(object),
            Self::Live { home, .. } => Change::LiveApplied(*home, object),
        }
    }

    fn deleted(&self, object: Value) -> Change {
        match self {
            Self::Platform(_) => Change::Deleted(object),
            Self::Live { home, .. } => Change::LiveDeleted(*home, object),
        }
    }

    fn listed(&self, names: Vec<(String, String)>) -> Change {
        let names = names.into_iter();
        match self {
            Self::Platform(kind) => {
                let key = |(namespace, name): (String, String)| Key::new(kind, &namespace, &name);
                Change::Listed(kind, names.map(key).collect())
            }
            Self::Live {
                home,
                api_version,
                kind,
            } => {
                let key = |(namespace, name): (String, String)| {
                    LiveKey::new(*home, (api_version, kind), (&namespace, &name))
                };
                Change::LiveListed {
                    home: *home,
                    api_version: api_version.clone(),
                    kind: kind.clone(),
                    listed: names.map(key).collect(),
                }
            }
        }
    }
}
