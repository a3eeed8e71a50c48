//! Watches: what an API holds, as changes for the index.

use choreo_model::Spec as _;
use choreo_model::history::DeploymentRecordSpec;
use futures::{Stream, StreamExt, pin_mut};
use kube::ResourceExt as _;
use kube::api::{Api, ApiResource};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch};
use kube::{Client, Error};
use std::time::Duration;
use tokio::sync::mpsc::Sender;

use crate::act;
use crate::index::{Change, live_selector};
use crate::key::Key;
use crate::live::LiveKey;
use crate::watched::Watched;

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
    let mut config = watch::Config::default();
    if let Source::Live { kind, .. } = source
        && let Some(selector) = live_selector(kind)
    {
        config = config.labels(&selector);
    }
    if *source == Source::Platform(DeploymentRecordSpec::KIND) {
        config = config.fields(UNFINISHED);
    }
    match source {
        Source::Platform(kind) => {
            let api = Api::all_with(client.clone(), resource);
            let change = |seen| match seen {
                Seen::There(Watched { object, .. }) => Change::Applied(kind, object),
                Seen::Gone(gone) => Change::Deleted(key(kind, &gone)),
            };
            pass(watch(api, config), source, changes, change).await
        }
        Source::Live { home, .. } => {
            let api = Api::all_with(client.clone(), resource);
            let change = |seen| match seen {
                Seen::There(there) => Change::LiveApplied(*home, there.into_value(resource)),
                Seen::Gone(gone) => Change::LiveDeleted(*home, gone.into_value(resource)),
            };
            pass(watch(api, config), source, changes, change).await
        }
    }
}

/// What an event says of an object.
enum Seen<T> {
    There(Watched<T>),
    Gone(Watched<T>),
}

fn key<T>(kind: &'static str, object: &Watched<T>) -> Key {
    let namespace = object.namespace().unwrap_or_default();
    Key::new(kind, &namespace, &object.name_any())
}

/// Passes the events of a watch on, each as the change it is.
async fn pass<T: Clone>(
    events: impl Stream<Item = Result<Event<Watched<T>>, watcher::Error>>,
    source: &Source,
    changes: &Sender<Change>,
    change: impl Fn(Seen<T>) -> Change,
) -> Option<()> {
    let events = events.default_backoff();
    pin_mut!(events);
    // What is listed is kept by namespace and name until the list is complete: only then it is known what
    // is gone.
    let mut listed: Vec<(String, String)> = Vec::new();
    while let Some(event) = events.next().await {
        let seen = match event {
            Ok(Event::Init) => {
                listed.clear();
                continue;
            }
            Ok(Event::InitApply(object)) => {
                let namespace = object.namespace().unwrap_or_default();
                listed.push((namespace, object.name_any()));
                change(Seen::There(object))
            }
            Ok(Event::InitDone) => source.listed(std::mem::take(&mut listed)),
            Ok(Event::Apply(object)) => change(Seen::There(object)),
            Ok(Event::Delete(object)) => change(Seen::Gone(object)),
            Err(error) if is_unserved(&error) => {
                changes.send(source.listed(Vec::new())).await.ok()?;
                return Some(());
            }
            Err(error) => {
                source.say("a watch was interrupted", &error);
                continue;
            }
        };
        changes.send(seen).await.ok()?;
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
