//! Every field of pods, of what makes them and of their claims is decided about: `fields.txt` says what
//! becomes of it, and what is refused or told there is refused or told by the node.

use std::collections::{BTreeMap, BTreeSet};

use choreo_node::{
    claim,
    index::Index,
    pod::{admit, ephemeral, state::Runtime, unheeded},
};
use k8s_openapi::api::{
    apps::v1::{DaemonSetSpec, DeploymentSpec, ReplicaSetSpec, StatefulSetSpec},
    batch::v1::{CronJobSpec, JobSpec},
    core::v1::{PersistentVolumeClaim, PersistentVolumeClaimSpec, Pod, PodSpec},
};
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Value, from_value, json};

const TABLE: &str = include_str!("fields.txt");

/// Where an object of a type is in the specification of a pod, and what it has to say besides.
const PLACES: [(&str, &str, &str); 17] = [
    ("PodSpec", "@", r#"{"containers": [{"name": "main"}]}"#),
    ("Container", r#"{"containers": [@]}"#, r#"{"name": "main"}"#),
    (
        "EphemeralContainer",
        r#"{"containers": [], "ephemeralContainers": [@]}"#,
        r#"{"name": "debug"}"#,
    ),
    (
        "PodSecurityContext",
        r#"{"containers": [], "securityContext": @}"#,
        "{}",
    ),
    (
        "SecurityContext",
        r#"{"containers": [{"name": "main", "securityContext": @}]}"#,
        "{}",
    ),
    (
        "SeccompProfile",
        r#"{"containers": [{"name": "main", "securityContext": {"seccompProfile": @}}]}"#,
        r#"{"type": "RuntimeDefault"}"#,
    ),
    (
        "Capabilities",
        r#"{"containers": [{"name": "main", "securityContext": {"capabilities": @}}]}"#,
        "{}",
    ),
    (
        "ResourceRequirements",
        r#"{"containers": [{"name": "main", "resources": @}]}"#,
        "{}",
    ),
    (
        "ContainerPort",
        r#"{"containers": [{"name": "main", "ports": [@]}]}"#,
        r#"{"containerPort": 80}"#,
    ),
    (
        "ContainerRestartRule",
        r#"{"containers": [{"name": "main", "restartPolicyRules": [@]}]}"#,
        r#"{"action": "Restart"}"#,
    ),
    (
        "VolumeMount",
        r#"{"containers": [{"name": "main", "volumeMounts": [@]}]}"#,
        r#"{"name": "v", "mountPath": "/v"}"#,
    ),
    (
        "LifecycleHandler",
        r#"{"containers": [{"name": "main", "lifecycle": {"preStop": @}}]}"#,
        "{}",
    ),
    (
        "HTTPGetAction",
        r#"{"containers": [{"name": "main", "readinessProbe": {"httpGet": @}}]}"#,
        r#"{"port": 80}"#,
    ),
    (
        "TCPSocketAction",
        r#"{"containers": [{"name": "main", "livenessProbe": {"tcpSocket": @}}]}"#,
        r#"{"port": 80}"#,
    ),
    (
        "EnvVarSource",
        r#"{"containers": [{"name": "main", "env": [{"name": "V", "valueFrom": @}]}]}"#,
        "{}",
    ),
    (
        "Volume",
        r#"{"containers": [], "volumes": [@]}"#,
        r#"{"name": "v"}"#,
    ),
    (
        "VolumeProjection",
        r#"{"containers": [], "volumes": [{"name": "v", "projected": {"sources": [@]}}]}"#,
        "{}",
    ),
];

struct Line<'a> {
    kind: &'a str,
    field: &'a str,
    decision: &'a str,
    rest: &'a str,
}

fn table() -> Vec<Line<'static>> {
    let lines = TABLE
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let lines = lines.map(|line| {
        let (place, decided) = line.split_once(' ').unwrap();
        let (kind, field) = place.split_once('.').unwrap();
        let (decision, rest) = decided.split_once(' ').unwrap_or((decided, ""));
        Line {
            kind,
            field,
            decision,
            rest,
        }
    });
    lines.collect()
}

/// The fields of each type that is reached, and the types in them.
type Fields = BTreeMap<String, BTreeMap<String, Option<String>>>;

fn fields<T: JsonSchema>(all: &mut Fields) -> String {
    let schema = SchemaGenerator::default()
        .into_root_schema_for::<T>()
        .to_value();
    let name = T::schema_name();
    let name = name.rsplit('.').next().unwrap().to_owned();
    all.insert(name.clone(), properties(&schema));
    for (name, schema) in schema["$defs"].as_object().into_iter().flatten() {
        let name = name.rsplit('.').next().unwrap();
        all.insert(name.to_owned(), properties(schema));
    }
    name
}

fn properties(schema: &Value) -> BTreeMap<String, Option<String>> {
    let properties = schema["properties"].as_object().into_iter().flatten();
    let properties = properties.map(|(field, schema)| (field.clone(), referenced(schema)));
    properties.collect()
}

/// The type that a schema is of, or its items.
fn referenced(schema: &Value) -> Option<String> {
    let text = schema.to_string();
    let at = text.find("#/$defs/")?;
    let name = text[at..].split('"').next()?;
    Some(name.rsplit(['/', '.']).next()?.to_owned())
}

#[test]
fn every_field_is_decided_about() {
    let mut all = Fields::new();
    let mut open = vec![
        fields::<PodSpec>(&mut all),
        fields::<DeploymentSpec>(&mut all),
        fields::<ReplicaSetSpec>(&mut all),
        fields::<StatefulSetSpec>(&mut all),
        fields::<DaemonSetSpec>(&mut all),
        fields::<JobSpec>(&mut all),
        fields::<CronJobSpec>(&mut all),
        fields::<PersistentVolumeClaimSpec>(&mut all),
    ];
    let table = table();
    let (mut seen, mut undecided) = (BTreeSet::new(), Vec::new());
    while let Some(kind) = open.pop() {
        if !seen.insert(kind.clone()) {
            continue;
        }
        for (field, of) in &all[&kind] {
            let mut lines = table
                .iter()
                .filter(|line| line.kind == kind && line.field == field);
            let decided = lines.clone().next().is_some();
            if !decided {
                undecided.push(format!("{kind}.{field}"));
            }
            let obeyed = lines.any(|line| line.decision == "obeyed");
            open.extend(
                of.clone()
                    .filter(|of| obeyed && !OPAQUE.contains(&of.as_str())),
            );
        }
    }
    assert_eq!(undecided, Vec::<String>::new(), "not in fields.txt");
    let known = |line: &Line<'_>| {
        all.get(line.kind)
            .is_some_and(|one| one.contains_key(line.field))
    };
    for line in &table {
        let place = format!("{}.{}", line.kind, line.field);
        assert!(
            known(line) && seen.contains(line.kind),
            "{place}: there is no such field"
        );
        let needs = line.decision != "obeyed";
        assert_eq!(
            !line.rest.is_empty(),
            needs,
            "{place}: an example, or a reason"
        );
    }
}

/// Types that are one value, or metadata, which is the API's.
const OPAQUE: [&str; 4] = ["Quantity", "IntOrString", "ObjectMeta", "Time"];

/// What the node says of a pod: why it is refused, and what is not heeded.
fn said(spec: &Value) -> (Option<String>, Vec<String>) {
    let pod = json!({"metadata": {"namespace": "ns", "name": "p"}, "spec": spec});
    let pod: Pod = from_value(pod).unwrap();
    let refused = admit::refuse(&Index::default(), &pod).map(|(_, message)| message);
    let added = ephemeral::problems(&Index::default(), &pod, &Runtime::default());
    let unheeded = [unheeded::of(&pod), unheeded::of_added(&pod)];
    let refused = refused.or_else(|| added.into_values().next());
    (refused, unheeded.concat())
}

fn placed(kind: &str, field: Option<(&str, Value)>) -> Value {
    let (_, place, object) = PLACES.iter().find(|(name, ..)| *name == kind).unwrap();
    let mut object: Value = serde_json::from_str(object).unwrap();
    if let Some((field, value)) = field {
        object[field] = value;
    }
    serde_json::from_str(&place.replace('@', &object.to_string())).unwrap()
}

#[test]
fn what_is_refused_or_told_names_the_field() {
    let mut unnamed = Vec::new();
    for Line {
        kind,
        field,
        decision,
        rest,
    } in table()
    {
        if !["refused", "told"].contains(&decision) {
            assert!(
                ["obeyed", "nothing"].contains(&decision),
                "{kind}.{field} {decision}"
            );
            continue;
        }
        let example: Value = serde_json::from_str(rest).unwrap();
        if kind == "PersistentVolumeClaimSpec" {
            let claim = json!({"metadata": {}, "spec": {field: example}});
            let claim: PersistentVolumeClaim = from_value(claim).unwrap();
            let named = field.trim_end_matches("Ref");
            assert!(claim::refused(&claim).unwrap().contains(named), "{field}");
            continue;
        }
        let (refused, told) = said(&placed(kind, Some((field, example))));
        let heard = match (decision, refused) {
            ("refused", refused) => refused.unwrap_or_default(),
            (_, Some(refused)) => panic!("{kind}.{field}: {refused}"),
            (_, None) => told.join("; "),
        };
        if !heard.contains(field) {
            unnamed.push(format!("{kind}.{field}: {heard:?}"));
        }
    }
    assert_eq!(unnamed, Vec::<String>::new());
}

#[test]
fn nothing_is_said_of_what_asks_for_nothing() {
    for (kind, ..) in PLACES
        .iter()
        .filter(|(kind, ..)| !["Volume", "EnvVarSource"].contains(kind))
    {
        assert_eq!(said(&placed(kind, None)), (None, Vec::new()), "{kind}");
    }
}
