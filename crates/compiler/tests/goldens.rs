//! Plays folders of input and expected output: our own, and the reference's when they are there.
//!
//! A case is `input.yaml`, what is applied, and `expected.yaml`, what was rendered. Objects are
//! compared as structures. Where we decided to differ from the reference, [`deviate`] says so.

use choreo_compiler::fleet::{Fleet, RenderedBinding};
use choreo_compiler::{Compiled, Diagnostic, Severity};
use choreo_model::shared::TargetPlane;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Manifests, as Kubernetes tools read them.
fn documents(path: &Path) -> Vec<Value> {
    let name = path.to_string_lossy();
    serde_saphyr::from_multiple(&text(path)).expect(&name)
}

/// Expectations, in which only `true` and `false` are booleans.
fn expectations(path: &Path) -> Value {
    let options = serde_saphyr::options! { strict_booleans: true };
    let name = path.to_string_lossy();
    serde_saphyr::from_str_with_options(&text(path), options).expect(&name)
}

fn text(path: &Path) -> String {
    let name = path.to_string_lossy();
    std::fs::read_to_string(path).expect(&name)
}

fn cases(folder: &Path) -> Vec<PathBuf> {
    let mut cases: Vec<PathBuf> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.join("input.yaml").exists())
        .collect();
    cases.sort();
    cases
}

/// Plays every case of `folder` after `base`, and returns what differed.
fn play(folder: &Path, base: &[Value]) -> (usize, Vec<String>) {
    let cases = cases(folder);
    let mut problems = Vec::new();
    for case in &cases {
        let name = case
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let input = documents(&case.join("input.yaml"));
        let mut fleet = Fleet::read(base.iter().chain(&input).cloned());
        fleet.settle();
        let expected = expectations(&case.join("expected.yaml"));
        for problem in compare(&name, &fleet, &input, &expected) {
            problems.push(format!("{name}: {problem}"));
        }
    }
    (cases.len(), problems)
}

fn compare(case: &str, fleet: &Fleet, input: &[Value], expected: &Value) -> Vec<String> {
    let rendered = fleet.render();
    let mut problems = compare_releases(case, &rendered, input, expected);
    for binding in list(expected, "releaseBindings") {
        let name = binding["name"].as_str().expect("a name");
        let found = rendered
            .iter()
            .find(|rendered| rendered.component.is_some() && rendered.name == name);
        match found {
            Some(found) => problems.extend(compare_binding(&found.compiled, binding)),
            None => problems.push(format!("ReleaseBinding {name} was not rendered")),
        }
    }
    for component in list(expected, "components") {
        let wanted = component["conditions"][0]["status"] == "True";
        let object = format!("Component/{}", component["name"].as_str().expect("a name"));
        let failed = fleet.diagnostics().iter().any(|one| one.object == object);
        if wanted == failed {
            problems.push(format!("{object}: {:?}", fleet.diagnostics()));
        }
    }
    problems
}

fn list<'v>(value: &'v Value, field: &str) -> impl Iterator<Item = &'v Value> {
    value
        .get(field)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

fn compare_releases(
    case: &str,
    rendered: &[RenderedBinding],
    input: &[Value],
    expected: &Value,
) -> Vec<String> {
    let mut problems = Vec::new();
    let mut found: BTreeMap<&str, &RenderedBinding> = rendered
        .iter()
        .filter(|rendered| !rendered.compiled.objects.is_empty())
        .map(|rendered| (rendered.release.as_str(), rendered))
        .collect();
    for release in list(expected, "renderedReleases") {
        let name = release["name"].as_str().expect("a name");
        let Some(rendered) = found.remove(name) else {
            problems.push(format!(
                "RenderedRelease {name} is missing: {}",
                errors(rendered)
            ));
            continue;
        };
        let objects = rendered.compiled.objects_for(TargetPlane::DataPlane);
        let ours: Vec<Value> = objects
            .filter(|one| !is_addition(&one.id))
            .map(|one| json!({"id": one.id, "object": one.object}))
            .map(neutral)
            .collect();
        let theirs: Vec<Value> = list(release, "resources")
            .map(|one| deviate(case, neutral(one.clone()), input))
            .collect();
        if release["environment"] != rendered.environment.as_str() {
            problems.push(format!("{name} is for {}", rendered.environment));
        }
        problems.extend(differences(&json!(theirs), &json!(ours), name));
    }
    problems.extend(
        found
            .keys()
            .map(|name| format!("RenderedRelease {name} is too much")),
    );
    problems
}

fn errors(rendered: &[RenderedBinding]) -> String {
    let lines = rendered
        .iter()
        .flat_map(|rendered| &rendered.compiled.diagnostics);
    lines
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n  ")
}

fn compare_binding(compiled: &Compiled, expected: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    let synced = list(expected, "conditions").find(|one| one["type"] == "ReleaseSynced");
    let failed = synced.is_some_and(|one| one["reason"] == "RenderingFailed");
    let errors = compiled
        .diagnostics
        .iter()
        .filter(|one| one.severity == Severity::Error);
    if failed != (errors.count() > 0) {
        problems.push(format!("diagnostics {:?}", compiled.diagnostics));
    }
    for (field, ours, keys) in [
        ("endpoints", json!(compiled.endpoints), &["name"][..]),
        (
            "resolvedConnections",
            json!(compiled.resolved_connections),
            &["component", "endpoint"],
        ),
        (
            "pendingConnections",
            json!(compiled.pending_connections),
            &["component", "endpoint"],
        ),
        (
            "secretReferenceNames",
            json!(compiled.secret_reference_names),
            &[],
        ),
    ] {
        let theirs = sorted(
            expected.get(field).cloned().unwrap_or_else(|| json!([])),
            keys,
        );
        problems.extend(differences(&theirs, &sorted(ours, keys), field));
    }
    problems
}

fn sorted(mut value: Value, keys: &[&str]) -> Value {
    if let Some(items) = value.as_array_mut() {
        items.sort_by_key(|item| {
            keys.iter()
                .map(|key| item[*key].to_string())
                .collect::<Vec<_>>()
        });
    }
    value
}

/// Hashes that depend on the reference's own encodings, blanked on both sides.
fn neutral(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(neutral_text(text)),
        Value::Array(items) => items.into_iter().map(neutral).collect(),
        Value::Object(map) => Value::Object(
            map.into_iter()
                .map(|(key, value)| match key.as_str() {
                    "openchoreo.dev/dp-resource-hash" => (key, json!("<hash>")),
                    _ => (key, neutral(value)),
                })
                .collect::<Map<_, _>>(),
        ),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_)) => other,
    }
}

/// Names of secrets end in a hash of where their values come from.
fn neutral_text(text: String) -> String {
    let secret = text.contains("-env-secrets-") || text.contains("-secret-");
    match text.rsplit_once('-') {
        Some((stem, hash)) if secret && hash.len() == 8 => format!("{stem}-<hash>"),
        _ => text,
    }
}

/// Whether the object `id` is of a kind that the reference has none of: policies for what goes out.
fn is_addition(id: &str) -> bool {
    ["networkpolicy", "ciliumnetworkpolicy"]
        .into_iter()
        .any(|kind| id.starts_with(&format!("{kind}-egress-openchoreo-")))
}

/// What we decided to do differently, applied to what the reference rendered.
fn deviate(case: &str, mut resource: Value, input: &[Value]) -> Value {
    let object = &mut resource["object"];
    if case == "interpolation" && object["kind"] == "ConfigMap" {
        // Numbers are written in full.
        object["data"]["big"] = json!("n=1000000");
    }
    if object["kind"] == "NetworkPolicy" {
        // Policies name the pod's port, each once.
        let ports = target_ports(input);
        let rules = object["spec"]
            .get_mut("ingress")
            .and_then(Value::as_array_mut);
        for rule in rules.into_iter().flatten() {
            let mut seen: Vec<Value> = Vec::new();
            for port in rule["ports"].as_array().into_iter().flatten() {
                let mut port = port.clone();
                if let Some(target) = port["port"].as_u64().and_then(|port| ports.get(&port)) {
                    port["port"] = json!(target);
                }
                if !seen.contains(&port) {
                    seen.push(port);
                }
            }
            rule["ports"] = Value::Array(seen);
        }
    }
    resource
}

fn target_ports(input: &[Value]) -> BTreeMap<u64, u64> {
    let endpoints = input
        .iter()
        .filter_map(|object| object.pointer("/spec/endpoints")?.as_object());
    endpoints
        .flat_map(|endpoints| endpoints.values())
        .filter_map(|one| Some((one["port"].as_u64()?, one["targetPort"].as_u64()?)))
        .collect()
}

fn differences(wanted: &Value, found: &Value, at: &str) -> Vec<String> {
    match (wanted, found) {
        (Value::Object(wanted), Value::Object(found)) => {
            let keys: std::collections::BTreeSet<_> = wanted.keys().chain(found.keys()).collect();
            keys.into_iter()
                .flat_map(|key| {
                    let at = format!("{at}/{key}");
                    match (wanted.get(key), found.get(key)) {
                        (Some(wanted), Some(found)) => differences(wanted, found, &at),
                        (Some(wanted), None) => vec![format!("{at}: missing {wanted}")],
                        (None, Some(found)) => vec![format!("{at}: too much {found}")],
                        (None, None) => Vec::new(),
                    }
                })
                .collect()
        }
        (Value::Array(wanted), Value::Array(found)) if wanted.len() == found.len() => wanted
            .iter()
            .zip(found)
            .enumerate()
            .flat_map(|(index, (wanted, found))| {
                differences(wanted, found, &format!("{at}/{index}"))
            })
            .collect(),
        (wanted, found) if wanted == found => Vec::new(),
        (wanted, found) => vec![format!("{at}: wanted {wanted}, found {found}")],
    }
}

/// Our own cases; `UPDATE_GOLDENS=1` writes down what is rendered now, to be read before it is
/// committed.
#[test]
fn ours() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens");
    let platform = documents(&folder.join("platform.yaml"));
    let mut played = 0;
    for case in cases(&folder) {
        let input = documents(&case.join("input.yaml"));
        let mut fleet = Fleet::read(platform.iter().chain(&input).cloned());
        fleet.settle();
        let found = describe(&fleet);
        let path = case.join("expected.yaml");
        if std::env::var_os("UPDATE_GOLDENS").is_some() {
            let text = serde_saphyr::to_string(&found).expect("YAML");
            std::fs::write(&path, text).expect("written");
        }
        let problems = differences(&expectations(&path), &found, "");
        assert!(
            problems.is_empty(),
            "{}\n{}",
            case.display(),
            problems.join("\n")
        );
        played += 1;
    }
    assert!(played > 3);
}

fn describe(fleet: &Fleet) -> Value {
    let texts = |diagnostics: &[Diagnostic]| -> Vec<String> {
        diagnostics.iter().map(ToString::to_string).collect()
    };
    let bindings: Vec<Value> = fleet
        .render()
        .into_iter()
        .map(|rendered| {
            let compiled = &rendered.compiled;
            let objects: Vec<Value> = compiled
                .objects
                .iter()
                .map(|one| json!({"id": one.id, "plane": one.target_plane, "object": one.object}))
                .collect();
            json!({
                "name": rendered.name,
                "release": rendered.release,
                "endpoints": compiled.endpoints,
                "resolved": compiled.resolved_connections,
                "pending": compiled.pending_connections,
                "secrets": compiled.secret_reference_names,
                "diagnostics": texts(&compiled.diagnostics),
                "objects": objects,
            })
        })
        .collect();
    json!({"diagnostics": texts(fleet.diagnostics()), "bindings": bindings})
}

/// The reference's renderings are kept outside the repository; without them there is nothing to do.
fn reference() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/goldens");
    folder.exists().then_some(folder)
}

#[test]
fn references() {
    let Some(folder) = reference() else { return };
    let base = ["platform.yaml", "dataplane.yaml"]
        .map(|file| documents(&folder.join(file)))
        .concat();
    let (played, problems) = play(&folder, &base);
    assert!(
        problems.is_empty(),
        "{played} cases\n{}",
        problems.join("\n")
    );
}

/// The types a new platform starts with render what the reference's do.
#[test]
fn defaults_render_like_the_reference() {
    let Some(folder) = reference() else { return };
    let mut base = documents(&folder.join("dataplane.yaml"));
    for default in choreo_model::defaults() {
        let documents: Vec<Value> = serde_saphyr::from_multiple(default.yaml).expect("YAML");
        base.extend(documents.into_iter().filter(|document| {
            document["kind"]
                .as_str()
                .is_some_and(|kind| kind.ends_with("Type"))
        }));
    }
    let (played, problems) = play(&folder, &base);
    assert!(
        problems.is_empty(),
        "{played} cases\n{}",
        problems.join("\n")
    );
}
