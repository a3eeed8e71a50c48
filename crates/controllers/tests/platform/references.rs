//! The reference's cases on a running platform: what its controllers made of an input, ours make.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use kube::api::ListParams;
use kube::{Resource as _, ResourceExt as _};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::harness::{PATIENCE, Platform};
use crate::reference::{
    addresses, cases, deviate, differences, documents, expectations, incomplete, is_addition, list,
    neutral, reference,
};

/// The bindings' lists.
const LISTS: [&str; 4] = [
    "endpoints",
    "resolvedConnections",
    "pendingConnections",
    "secretReferenceNames",
];

#[tokio::test]
async fn references_on_a_running_platform() {
    let Some(folder) = reference() else { return };
    let platform = Platform::start().await;
    for file in ["platform.yaml", "dataplane.yaml"] {
        platform.apply_all(&documents(&folder.join(file))).await;
    }
    let mut problems = Vec::new();
    for case in cases(&folder) {
        problems.extend(play(&platform, &case).await);
    }
    platform.stop().await;
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// Applies a case, waits until everything is as expected, and returns what is not in the end.
async fn play(platform: &Platform, case: &Path) -> Vec<String> {
    let name = case.file_name().unwrap().to_string_lossy().into_owned();
    let input = documents(&case.join("input.yaml"));
    let expected = expectations(&case.join("expected.yaml"));
    platform.make_namespace(&name).await;
    platform.apply_all(&input).await;
    let late = Instant::now() + PATIENCE;
    loop {
        let problems = compare(platform, &name, &input, &expected).await;
        if problems.is_empty() || Instant::now() > late {
            return problems
                .into_iter()
                .map(|one| format!("{name}: {one}"))
                .collect();
        }
        sleep(Duration::from_millis(20)).await;
    }
}

async fn compare(
    platform: &Platform,
    case: &str,
    input: &[Value],
    expected: &Value,
) -> Vec<String> {
    let mut problems = compare_releases(platform, case, input, expected).await;
    for (field, kind) in [
        ("components", "component"),
        ("releaseBindings", "binding"),
        ("projectReleaseBindings", "projectreleasebinding"),
    ] {
        let found = listed(platform, kind, case).await;
        for wanted in list(expected, field) {
            let name = wanted["name"].as_str().unwrap();
            match found.get(name) {
                Some(found) => problems.extend(compare_status(name, &found["status"], wanted)),
                None => problems.push(format!("{kind} {name} is missing")),
            }
        }
    }
    problems
}

async fn listed(platform: &Platform, kind: &str, namespace: &str) -> BTreeMap<String, Value> {
    let api = platform.platform(kind, namespace);
    let all = api.list(&ListParams::default()).await.unwrap();
    all.into_iter()
        .map(|one| (one.name_any(), serde_json::to_value(one).unwrap()))
        .collect()
}

fn compare_status(name: &str, status: &Value, wanted: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    for condition in list(wanted, "conditions") {
        let told = |one: &Value| json!([one["type"], one["status"], one["reason"]]);
        let found = list(status, "conditions").find(|one| one["type"] == condition["type"]);
        if found.map(told) != Some(told(condition)) {
            problems.push(format!("{name}: wanted {condition}, found {found:?}"));
        }
    }
    for field in LISTS {
        let of = |value: &Value| value.get(field).cloned().unwrap_or_else(|| json!([]));
        let found = match field {
            "endpoints" => addresses(of(status)),
            _ => of(status),
        };
        problems.extend(differences(&of(wanted), &found, &format!("{name}/{field}")));
    }
    problems
}

async fn compare_releases(
    platform: &Platform,
    case: &str,
    input: &[Value],
    expected: &Value,
) -> Vec<String> {
    let mut problems = Vec::new();
    let uids = uids(platform, case).await;
    let mut found = listed(platform, "renderedrelease", case).await;
    let reasons = ["ConnectionsPending", "ResourceDependenciesPending"];
    let waiting = incomplete(expected, &reasons);
    for wanted in list(expected, "renderedReleases") {
        let name = wanted["name"].as_str().unwrap();
        if waiting.contains(name) {
            continue;
        }
        let Some(ours) = found.remove(name) else {
            problems.push(format!("RenderedRelease {name} is missing"));
            continue;
        };
        let spec = &ours["spec"];
        let objects: Vec<Value> = list(spec, "resources")
            .filter(|one| !is_addition(one["id"].as_str().unwrap_or_default()))
            .map(|one| neutral(known(one.clone(), &uids)))
            .collect();
        let theirs: Vec<Value> = list(wanted, "resources")
            .map(|one| deviate(case, neutral(one.clone()), input))
            .collect();
        for (theirs, ours, field) in [
            (
                &wanted["environment"],
                &spec["environmentName"],
                "environment",
            ),
            (&wanted["owner"], &spec["owner"], "owner"),
            (&json!(theirs), &json!(objects), "resources"),
        ] {
            problems.extend(differences(theirs, ours, &format!("{name}/{field}")));
        }
    }
    // Our projects make the bindings nobody wrote down, so there are more cells.
    found.retain(|_, one| one["spec"]["owner"].get("componentName").is_some());
    problems.extend(
        found
            .keys()
            .map(|name| format!("RenderedRelease {name} is too much")),
    );
    problems
}

/// What the cases call the objects whose uids are rendered.
async fn uids(platform: &Platform, namespace: &str) -> BTreeMap<String, String> {
    let mut uids = BTreeMap::new();
    for kind in [
        "project",
        "component",
        "environment",
        "resource",
        "dataplane",
    ] {
        let row = choreo_model::find(kind).unwrap();
        let api = platform.platform(kind, namespace);
        for one in api.list(&ListParams::default()).await.unwrap() {
            let uid = one.meta().uid.clone().unwrap_or_default();
            uids.insert(uid, format!("uid:{}/{}", row.kind, one.name_any()));
        }
    }
    uids
}

fn known(value: Value, uids: &BTreeMap<String, String>) -> Value {
    match value {
        Value::String(text) => Value::String(uids.get(&text).cloned().unwrap_or(text)),
        Value::Array(items) => items.into_iter().map(|one| known(one, uids)).collect(),
        Value::Object(map) => map
            .into_iter()
            .map(|(key, value)| (key, known(value, uids)))
            .collect(),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_)) => other,
    }
}
