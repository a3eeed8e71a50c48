//! Which objects may be the cause of another's state.

use choreo_model::{API_VERSION, names};
use serde_json::Value;

use super::text;

/// Objects to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) api_version: String,
    pub(super) kind: String,
    /// Empty for all namespaces, and for kinds without.
    pub(super) namespace: String,
    which: Which,
}

/// Which objects of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Which {
    Named(String),
    /// Those that an object with this identifier owns.
    OwnedBy(String),
    /// Those that have all these texts at these places.
    With(Vec<(&'static str, String)>),
}

impl Ask {
    /// Whether an object is one of those.
    pub(super) fn wants(&self, object: &Value) -> bool {
        match &self.which {
            Which::Named(name) => text(object, "/metadata/name") == name,
            Which::OwnedBy(uid) => object["metadata"]["ownerReferences"]
                .as_array()
                .into_iter()
                .flatten()
                .any(|owner| owner["uid"] == **uid),
            Which::With(texts) => texts
                .iter()
                .all(|(pointer, wanted)| text(object, pointer) == wanted),
        }
    }
}

/// Kinds whose conditions tell nothing of what was made of them.
pub(super) fn speaks_for_itself_only(kind: &str) -> bool {
    matches!(
        kind,
        "Project" | "Component" | "DeploymentTrack" | "Resource" | "RenderedRelease"
    )
}

const PROJECT: &str = "/spec/owner/projectName";
const COMPONENT: &str = "/spec/owner/componentName";
const TRACK: &str = "/spec/owner/trackName";
const RESOURCE: &str = "/spec/owner/resourceName";
const ENVIRONMENT: &str = "/spec/environment";

/// The objects that `object`, which says `reason`, may be as it is because of.
pub(super) fn of(object: &Value, reason: &str) -> Vec<Ask> {
    let name = || text(object, "/metadata/name").to_owned();
    let own = |pointer: &str| text(object, pointer).to_owned();
    let with =
        |kind: &str, texts: Vec<(&'static str, String)>| platform(object, kind, Which::With(texts));
    match text(object, "/kind") {
        "Project" => vec![
            with("ProjectReleaseBinding", vec![(PROJECT, name())]),
            with("Resource", vec![(PROJECT, name())]),
            with("Component", vec![(PROJECT, name())]),
        ],
        "Component" => vec![
            with(
                "ReleaseBinding",
                vec![
                    (PROJECT, own(PROJECT)),
                    (COMPONENT, name()),
                    (TRACK, String::new()),
                ],
            ),
            with(
                "DeploymentTrack",
                vec![(PROJECT, own(PROJECT)), (COMPONENT, name())],
            ),
        ],
        "API" => vec![owned(object, API_VERSION, "RenderedRelease")],
        "DeploymentTrack" => {
            let (component, line) = (own(COMPONENT), name());
            let track = names::track_of(&component, &line).unwrap_or_default();
            let track = (TRACK, track.to_owned());
            vec![with(
                "ReleaseBinding",
                vec![(PROJECT, own(PROJECT)), (COMPONENT, component), track],
            )]
        }
        "Resource" => vec![with(
            "ResourceReleaseBinding",
            vec![(PROJECT, own(PROJECT)), (RESOURCE, name())],
        )],
        "ReleaseBinding" => of_binding(object, reason),
        "ProjectReleaseBinding" => {
            let rendered = names::project_rendered_release(&own(PROJECT), &own(ENVIRONMENT));
            vec![platform(object, "RenderedRelease", Which::Named(rendered))]
        }
        "ResourceReleaseBinding" => {
            let rendered = names::resource_name(&own(RESOURCE), &own(ENVIRONMENT));
            vec![
                platform(object, "RenderedRelease", Which::Named(rendered)),
                cell(object, &own(ENVIRONMENT)),
            ]
        }
        "RenderedRelease" => of_rendered(object),
        "Promotion" => of_promotion(object),
        "Deployment" => vec![owned(object, "apps/v1", "ReplicaSet")],
        "ReplicaSet" | "StatefulSet" | "DaemonSet" | "Job" => vec![owned(object, "v1", "Pod")],
        "CronJob" => vec![owned(object, "batch/v1", "Job")],
        "Pod" => claims(object),
        _ => Vec::new(),
    }
}

/// A component in an environment: what it calls, what it uses, and what it is rendered to.
fn of_binding(binding: &Value, reason: &str) -> Vec<Ask> {
    let environment = || text(binding, ENVIRONMENT).to_owned();
    let mut asks = Vec::new();
    for pending in list(binding, "/status/pendingConnections") {
        let provider = Which::With(vec![
            (PROJECT, text(pending, "/project").to_owned()),
            (COMPONENT, text(pending, "/component").to_owned()),
            (TRACK, text(pending, "/track").to_owned()),
            (ENVIRONMENT, environment()),
        ]);
        asks.push(platform(binding, "ReleaseBinding", provider));
    }
    for pending in list(binding, "/status/pendingResourceDependencies") {
        let provider = Which::With(vec![
            (PROJECT, text(binding, PROJECT).to_owned()),
            (RESOURCE, text(pending, "/ref").to_owned()),
            (ENVIRONMENT, environment()),
        ]);
        asks.push(platform(binding, "ResourceReleaseBinding", provider));
    }
    if reason.starts_with("Promotion") || reason.starts_with("Approval") {
        asks.push(platform(
            binding,
            "Promotion",
            Which::With(vec![
                (PROJECT, text(binding, PROJECT).to_owned()),
                (TRACK, text(binding, TRACK).to_owned()),
                ("/spec/targetEnvironment", environment()),
            ]),
        ));
    }
    let track = Some(text(binding, TRACK)).filter(|track| !track.is_empty());
    let line = names::line(text(binding, COMPONENT), track);
    let rendered = names::component_binding(&line, &environment());
    asks.push(platform(binding, "RenderedRelease", Which::Named(rendered)));
    asks
}

/// What was sent to a plane: the objects that are not as wanted, and the cell they are in.
fn of_rendered(rendered: &Value) -> Vec<Ask> {
    let unwell = list(rendered, "/status/resources")
        .filter(|one| !matches!(text(one, "/healthStatus"), "Healthy" | "Suspended"));
    let mut asks: Vec<Ask> = unwell
        .map(|one| Ask {
            api_version: match text(one, "/group") {
                "" => text(one, "/version").to_owned(),
                group => format!("{group}/{}", text(one, "/version")),
            },
            kind: text(one, "/kind").to_owned(),
            namespace: text(one, "/namespace").to_owned(),
            which: Which::Named(text(one, "/name").to_owned()),
        })
        .collect();
    let is_of_cell = text(rendered, COMPONENT).is_empty() && text(rendered, RESOURCE).is_empty();
    if !is_of_cell {
        asks.push(cell(rendered, text(rendered, "/spec/environmentName")));
    }
    asks
}

/// A promotion waits for people, or for what it has set going in its target.
fn of_promotion(promotion: &Value) -> Vec<Ask> {
    let mut wanted = vec![
        (PROJECT, text(promotion, PROJECT).to_owned()),
        (
            ENVIRONMENT,
            text(promotion, "/spec/targetEnvironment").to_owned(),
        ),
    ];
    wanted.push((TRACK, text(promotion, TRACK).to_owned()));
    let component = text(promotion, COMPONENT);
    if !component.is_empty() {
        wanted.push((COMPONENT, component.to_owned()));
    }
    vec![platform(promotion, "ReleaseBinding", Which::With(wanted))]
}

/// The cell of an object's project in an environment.
fn cell(object: &Value, environment: &str) -> Ask {
    let wanted = Which::With(vec![
        (PROJECT, text(object, PROJECT).to_owned()),
        (ENVIRONMENT, environment.to_owned()),
    ]);
    platform(object, "ProjectReleaseBinding", wanted)
}

/// The volumes a pod may wait for.
fn claims(pod: &Value) -> Vec<Ask> {
    list(pod, "/spec/volumes")
        .filter_map(|volume| volume.pointer("/persistentVolumeClaim/claimName")?.as_str())
        .map(|claim| Ask {
            api_version: "v1".to_owned(),
            kind: "PersistentVolumeClaim".to_owned(),
            namespace: text(pod, "/metadata/namespace").to_owned(),
            which: Which::Named(claim.to_owned()),
        })
        .collect()
}

fn owned(object: &Value, api_version: &str, kind: &str) -> Ask {
    Ask {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        namespace: text(object, "/metadata/namespace").to_owned(),
        which: Which::OwnedBy(text(object, "/metadata/uid").to_owned()),
    }
}

/// Objects of a kind of the platform beside `object`.
fn platform(object: &Value, kind: &str, which: Which) -> Ask {
    Ask {
        api_version: API_VERSION.to_owned(),
        kind: kind.to_owned(),
        namespace: text(object, "/metadata/namespace").to_owned(),
        which,
    }
}

fn list<'a>(object: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    let list = object.pointer(pointer).and_then(Value::as_array);
    list.into_iter().flatten()
}
