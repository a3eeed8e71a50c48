//! Plays folders of input and expected output: our own, and the reference's when they are there.
//!
//! A case is `input.yaml`, what is applied, and `expected.yaml`, what was rendered. Objects are
//! compared as structures. Where we decided to differ from the reference, [`reference::deviate`] says so.

mod reference;

use choreo_compiler::fleet::{Fleet, RenderedBinding};
use choreo_compiler::{Compiled, Diagnostic, Severity, Tree};
use choreo_model::shared::TargetPlane;
use reference::{
    addresses, cases, deviate, differences, documents, expectations, incomplete, is_addition, list,
    neutral, reference,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

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

fn compare_releases(
    case: &str,
    rendered: &[RenderedBinding],
    input: &[Value],
    expected: &Value,
) -> Vec<String> {
    let mut problems = Vec::new();
    // What these wait for there, they have here.
    let served = incomplete(expected, &["ResourceDependenciesPending"]);
    let mut found: BTreeMap<&str, &RenderedBinding> = rendered
        .iter()
        .filter(|rendered| !rendered.compiled.objects.is_empty())
        // Our resources give their bindings a release.
        .filter(|rendered| rendered.resource.is_none())
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
        if served.contains(name) {
            continue;
        }
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
    for (field, ours) in [
        ("endpoints", addresses(json!(compiled.endpoints))),
        ("resolvedConnections", json!(compiled.resolved_connections)),
        ("pendingConnections", json!(compiled.pending_connections)),
        (
            "secretReferenceNames",
            json!(compiled.secret_reference_names),
        ),
    ] {
        let theirs = expected.get(field).cloned().unwrap_or_else(|| json!([]));
        problems.extend(differences(&theirs, &ours, field));
    }
    problems
}

/// Our own cases; `UPDATE_GOLDENS=1` writes down what is rendered now, to be read before it is
/// committed.
#[test]
fn ours() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens");
    assert!(play_ours(&folder, &documents(&folder.join("platform.yaml"))) > 3);
}

/// The traits a new platform starts with, on components of the types it starts with.
#[test]
fn default_traits() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/default-traits");
    let mut base = documents(&folder.join("base.yaml"));
    for default in choreo_model::defaults() {
        let documents: Vec<Value> = serde_saphyr::from_multiple(default.yaml).expect("YAML");
        base.extend(documents);
    }
    assert!(play_ours(&folder, &base) > 2);
}

/// Plays the cases of a folder of ours, and returns how many there are.
fn play_ours(folder: &Path, base: &[Value]) -> usize {
    let mut played = 0;
    for case in cases(folder) {
        let input = documents(&case.join("input.yaml"));
        let mut fleet = Fleet::read(base.iter().chain(&input).cloned());
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
    played
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
                .filter(|one| !is_open_way_out(&one.object))
                .map(|one| json!({"id": one.id, "plane": one.target_plane, "object": one.object}))
                .collect();
            let mut described = json!({
                "name": rendered.name,
                "release": rendered.release,
                "endpoints": addresses(json!(compiled.endpoints)),
                "resolved": compiled.resolved_connections,
                "pending": compiled.pending_connections,
                "secrets": compiled.secret_reference_names,
                "diagnostics": texts(&compiled.diagnostics),
                "objects": objects,
            });
            // Few have them.
            let external = json!({
                "has": compiled.external_connections,
                "lacks": compiled.pending_external_connections,
            });
            if external != json!({"has": [], "lacks": []}) {
                described["external"] = external;
            }
            described
        })
        .collect();
    json!({"diagnostics": texts(fleet.diagnostics()), "bindings": bindings})
}

/// Whether an object is a policy that lets out to the internet. All of them say so alike, which the tests of
/// policies hold.
fn is_open_way_out(object: &Tree) -> bool {
    let object = Value::from(object);
    let mut rules = list(&object["spec"], "egress");
    rules.any(|rule| list(rule, "to").any(|to| to.get("ipBlock").is_some()))
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
