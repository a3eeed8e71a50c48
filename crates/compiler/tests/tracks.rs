//! Lines of one component share nothing: no object's name, no pod, no address.

use choreo_compiler::fleet::Fleet;
use choreo_model::{labels, names};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const NAMESPACE: &str = "acme";

/// The types of a new platform that can have endpoints, or files.
const TYPES: [&str; 4] = [
    "deployment/service",
    "deployment/web-application",
    "deployment/worker",
    "cronjob/scheduled-task",
];

fn object(kind: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": choreo_model::API_VERSION,
        "kind": kind,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": spec,
    })
}

fn workload(component: &str, track: Option<&str>, endpoints: &BTreeSet<String>) -> Value {
    let line = names::line(component, track);
    let numbered = endpoints.iter().zip(8080_u16..);
    let endpoints: BTreeMap<&String, Value> = numbered
        .map(|(name, port)| {
            let visibility = ["external", "internal"];
            let endpoint = json!({"type": "HTTP", "port": port, "visibility": visibility});
            (name, endpoint)
        })
        .collect();
    let mut spec = json!({
        "owner": {"projectName": "shop", "componentName": component},
        "container": {
            "image": format!("{line}:1"),
            "env": [{"key": "A", "value": "a"}],
            "files": [{"key": "b", "mountPath": "/etc/b", "value": "b"}],
        },
        "endpoints": endpoints,
    });
    if let Some(track) = track {
        spec["owner"]["trackName"] = json!(track);
    }
    object("Workload", &line, &spec)
}

/// What a component of this type and its tracks render to, by what the line is called.
fn rendered(
    type_: &str,
    component: &str,
    tracks: &BTreeSet<String>,
    endpoints: &BTreeSet<String>,
) -> BTreeMap<String, Vec<Value>> {
    let defaults = choreo_model::defaults().iter();
    let mut manifests: Vec<Value> = defaults
        .flat_map(|one| serde_saphyr::from_multiple::<Value>(one.yaml).expect(one.name))
        .collect();
    for one in &mut manifests {
        if one
            .pointer("/metadata/namespace")
            .is_some_and(|it| it == "default")
        {
            one["metadata"]["namespace"] = json!(NAMESPACE);
        }
    }
    manifests.push(object(
        "Project",
        "shop",
        &json!({
            "deploymentPipelineRef": {"name": "default"},
            "type": {"kind": "ClusterProjectType", "name": "default"},
        }),
    ));
    let spec = json!({
        "owner": {"projectName": "shop"},
        "autoDeploy": true,
        "componentType": {"kind": "ClusterComponentType", "name": type_},
    });
    manifests.push(object("Component", component, &spec));
    manifests.push(workload(component, None, endpoints));
    for track in tracks {
        let owner = json!({"projectName": "shop", "componentName": component});
        let spec = json!({"owner": owner, "branch": track});
        let line = names::line(component, Some(track));
        manifests.push(object("DeploymentTrack", &line, &spec));
        manifests.push(workload(component, Some(track), endpoints));
    }
    let mut fleet = Fleet::read(manifests);
    fleet.settle();
    assert_eq!(fleet.diagnostics(), []);
    let mut lines = BTreeMap::new();
    for one in fleet
        .render()
        .into_iter()
        .filter(|one| one.component.is_some())
    {
        assert_eq!(one.compiled.diagnostics, [], "{}", one.name);
        let line = names::line(component, one.track.as_deref()).into_owned();
        let objects = one
            .compiled
            .objects
            .iter()
            .map(|one| Value::from(&one.object));
        lines.insert(line, objects.collect());
    }
    assert_eq!(lines.len(), tracks.len() + 1);
    lines
}

/// Kind, namespace and name.
fn identity(object: &Value) -> [String; 3] {
    ["/kind", "/metadata/namespace", "/metadata/name"].map(|pointer| {
        let text = object.pointer(pointer).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    })
}

/// The labels of the pods of a line.
fn pods(objects: &[Value]) -> Vec<&Value> {
    let labels = [
        "/spec/template/metadata/labels",
        "/spec/jobTemplate/spec/template/metadata/labels",
    ];
    let all = objects.iter();
    all.filter_map(|one| labels.iter().find_map(|at| one.pointer(at)))
        .collect()
}

/// What a line selects its own pods by.
fn selectors(objects: &[Value]) -> Vec<&Value> {
    let found = objects.iter().filter_map(|one| {
        let at = match one["kind"].as_str()? {
            "Service" => "/spec/selector",
            "NetworkPolicy" => "/spec/podSelector/matchLabels",
            "Deployment" | "StatefulSet" => "/spec/selector/matchLabels",
            _ => return None,
        };
        one.pointer(at)
    });
    found.collect()
}

fn selects(selector: &Value, pod: &Value) -> bool {
    let wanted = selector.as_object().expect("labels");
    wanted
        .iter()
        .all(|(key, value)| pod.get(key) == Some(value))
}

/// Host and path of every route, which are longest-prefix matches.
fn addresses(objects: &[Value]) -> Vec<(String, String)> {
    let routes = objects.iter().filter(|one| one["kind"] == "HTTPRoute");
    routes
        .flat_map(|route| {
            let parents = route["spec"]["parentRefs"].to_string();
            let hosts = route["spec"]["hostnames"].as_array().cloned();
            let rules = route["spec"]["rules"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            let matches = rules.into_iter().filter_map(|rule| {
                let path = rule.pointer("/matches/0/path/value").cloned();
                path.and_then(|path| path.as_str().map(str::to_owned))
            });
            let hosts = hosts.unwrap_or_default();
            matches
                .flat_map(move |path| {
                    let parents = parents.clone();
                    hosts
                        .clone()
                        .into_iter()
                        .map(move |host| (format!("{parents} {host}"), path.clone()))
                })
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Names that are easily taken for each other once they are put together.
fn name() -> impl Strategy<Value = String> {
    "[ab](-{0,2}[ab]){0,2}"
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn lines_share_nothing(
        type_ in prop::sample::select(TYPES.to_vec()),
        component in name(),
        tracks in prop::collection::btree_set(name(), 1..4),
        endpoints in prop::collection::btree_set(name(), 0..3),
    ) {
        let served = type_ == TYPES[0] || type_ == TYPES[1];
        let none = BTreeSet::new();
        let endpoints = if served { &endpoints } else { &none };
        prop_assume!(!served || !endpoints.is_empty());
        let lines = rendered(type_, &component, &tracks, endpoints);
        let mut taken: BTreeMap<[String; 3], &String> = BTreeMap::new();
        let mut addressed: BTreeMap<(String, String), &String> = BTreeMap::new();
        for (line, objects) in &lines {
            for one in objects {
                let other = taken.insert(identity(one), line);
                prop_assert!(other.is_none(), "{:?} is of {line} and {other:?}", identity(one));
            }
            for address in addresses(objects) {
                let other = addressed.insert(address.clone(), line);
                prop_assert!(other.is_none(), "{address:?} is of {line} and {other:?}");
            }
            let own = pods(objects);
            prop_assert!(!own.is_empty());
            for (other, theirs) in &lines {
                for selector in selectors(theirs) {
                    let found = own.iter().any(|pod| selects(selector, pod));
                    prop_assert_eq!(found, line == other, "{} selects {}", other, line);
                }
            }
        }
    }
}

#[test]
fn a_track_says_which_it_is() {
    let tracks = BTreeSet::from(["v2".to_owned()]);
    let endpoints = BTreeSet::from(["http".to_owned()]);
    let lines = rendered(TYPES[0], "web", &tracks, &endpoints);
    let label = |line: &str, key: &str| {
        let pods = pods(&lines[line]);
        pods[0].get(key).and_then(Value::as_str).map(str::to_owned)
    };
    assert_eq!(label("web", labels::TRACK), None);
    assert_eq!(label("web--v2", labels::TRACK).as_deref(), Some("v2"));
    assert_eq!(
        label("web--v2", labels::COMPONENT).as_deref(),
        Some("web--v2")
    );
    let paths: BTreeSet<String> = addresses(&lines["web--v2"])
        .into_iter()
        .map(|(_, path)| path)
        .collect();
    assert_eq!(paths, BTreeSet::from(["/web--v2-http".to_owned()]));
}

#[test]
fn a_track_that_is_not_there_is_told() {
    let text = include_str!("goldens/tracks/input.yaml");
    let platform = include_str!("goldens/platform.yaml");
    let read = |text: &str| serde_saphyr::from_multiple::<Value>(text).expect("YAML");
    let fleet = Fleet::read(read(platform).into_iter().chain(read(text)));
    let missing: Vec<String> = fleet
        .missing()
        .iter()
        .map(|(_, one)| one.to_string())
        .collect();
    let wanted = "Workload/caller spec.dependencies.endpoints[2]: component shop/search has no track \
                  \"v3\"";
    assert!(missing.iter().any(|one| one == wanted), "{missing:#?}");
    let without = text.replace("trackName: v2", "trackName: v9");
    let fleet = Fleet::read(read(platform).into_iter().chain(read(&without)));
    let missing: Vec<String> = fleet
        .missing()
        .iter()
        .map(|(_, one)| one.to_string())
        .collect();
    let wanted = "DeploymentTrack/search--v2: there must be one Workload for track \"v2\" of the \
                  component, found 0";
    assert!(
        missing.iter().any(|one| one.starts_with(wanted)),
        "{missing:#?}"
    );
}
