use std::fs;

use choreo_model::Kind;

use super::*;
use crate::testing::Api;

const BROKEN: &str = "\
apiVersion: openchoreo.dev/v1alpha1
kind: ComponentType
metadata: {name: web}
spec:
  workloadType: deployment
  resources:
  - id: deployment
    template:
      apiVersion: apps/v1
      kind: Deployment
      metadata: {name: '${metadata.nam}'}
---
apiVersion: openchoreo.dev/v1alpha1
kind: Component
metadata: {name: shop}
spec:
  owner: {projectName: nowhere}
  autoDeply: true
  componentType: {kind: ClusterComponentType, name: deployment/service}
";

fn examined(text: &str) -> Vec<Found> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a b.yaml");
    fs::write(&file, text).unwrap();
    let mut found = examine(&[file], "default").unwrap();
    for one in &mut found {
        let name = one.file.as_mut().unwrap();
        *name = name.rsplit('/').next().unwrap().to_owned();
    }
    found
}

fn lines(found: &[Found]) -> Vec<String> {
    let line = |one: &Found| {
        let place = one.finding.place.as_ref().unwrap();
        let message = &one.finding.diagnostic.message;
        format!("{}:{} {message}", place.line, place.column)
    };
    found.iter().map(line).collect()
}

#[test]
fn what_cannot_be_read_is_told_once_where_it_is_wrong() {
    let found = examined(&BROKEN.replace("autoDeply: true", "autoDeploy: yess"));
    let lines = lines(&found);
    let wrong = "18:15 spec.autoDeploy must be true or false, this is text".to_owned();
    assert!(lines.contains(&wrong), "{lines:?}");
    assert!(
        !lines.iter().any(|one| one.contains("invalid type")),
        "{lines:?}"
    );
}

#[test]
fn all_mistakes_are_told_at_once_where_they_stand() {
    let found = examined(BROKEN);
    assert_eq!(
        lines(&found),
        [
            "11:36 there is no field \"nam\"",
            "13:1 there must be one Workload for the component, found 0",
            "17:24 Project \"nowhere\" not found",
            "18:3 unknown field `autoDeply` in spec",
        ]
    );
    let text = text(&found);
    assert!(text.contains("a b.yaml:11:36: error:"), "{text}");
    assert!(text.contains("did you mean"), "{text}");
    assert!(text.contains("^^^"), "{text}");
    assert!(text.ends_with("4 errors\n"), "{text}");
}

#[test]
fn what_the_platform_brings_along_is_there() {
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../../samples/storefront");
    let found = examine(&[sample.into()], "default").unwrap();
    assert_eq!(lines(&found), <[String; 0]>::default());
}

#[test]
fn scripts_get_the_same() {
    let found = json(&examined(BROKEN));
    assert_eq!(found[0]["line"], 11);
    assert_eq!(found[0]["severity"], "error");
    assert_eq!(
        found[0]["field"],
        "spec.resources[0].template.metadata.name"
    );
}

/// An object that could not be read is told of field by field, each mistake once.
#[test]
fn an_object_without_the_form_of_its_kind_is_told_of_field_by_field() {
    let found = examined(
        "\
apiVersion: v1
kind: List
items:
- apiVersion: openchoreo.dev/v1alpha1
  kind: Workload
  metadata: {name: web}
  spec:
    owner: {projectName: ''}
    container: {}
    endpoints:
      http: {type: REST, port: 0}
    dependencies:
- apiVersion: argoproj.io/v1alpha1
  kind: Workflow
  metadata: {name: errand}
",
    );
    assert_eq!(
        lines(&found),
        [
            "8:12 is required",
            "8:26 must not be empty",
            "9:16 is required",
            "11:20 `REST` is no value of spec.endpoints.http.type",
            "11:32 0 is below 1",
        ]
    );
}

#[test]
fn a_workflow_that_may_not_build_a_component_is_told() {
    let found = examined(
        "\
apiVersion: openchoreo.dev/v1alpha1
kind: Component
metadata: {name: shop}
spec:
  owner: {projectName: nowhere}
  componentType: {kind: ClusterComponentType, name: deployment/worker}
  workflow: {name: docker}
",
    );
    let told = lines(&found);
    assert!(
        told[2].starts_with("7:20 ClusterWorkflow:docker is not among the workflows"),
        "{told:?}"
    );
}

/// What the schema of SARIF requires, and what code hosts need to show a finding.
#[test]
fn logs_are_sarif() {
    let log = sarif::log(&examined(BROKEN));
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    let driver = &run["tool"]["driver"];
    assert_eq!(driver["name"], "choreo");
    let rules: Vec<&Value> = driver["rules"].as_array().unwrap().iter().collect();
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), 4);
    for result in results {
        assert!(rules.iter().any(|rule| rule["id"] == result["ruleId"]));
        assert!(matches!(
            result["level"].as_str(),
            Some("error" | "warning")
        ));
        assert!(
            result["message"]["text"]
                .as_str()
                .is_some_and(|text| !text.is_empty())
        );
        let physical = &result["locations"][0]["physicalLocation"];
        assert_eq!(physical["artifactLocation"]["uri"], "a%20b.yaml");
        let region = &physical["region"];
        assert!(region["startLine"].as_u64() >= Some(1));
        assert!(region["startColumn"].as_u64() >= Some(1));
    }
}

/// The examples of every kind, each as it is and with each of its mistakes; and whether it is sound.
fn manifests() -> Vec<(Value, bool)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../model/tests/kinds");
    let mut manifests = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        for example in serde_saphyr::from_multiple::<Value>(&text).unwrap() {
            for name in list(&example["kinds"]) {
                let kind = choreo_model::find(name.as_str().unwrap()).unwrap();
                let mut specs = vec![(example["spec"].clone(), true)];
                specs.extend(mistakes(kind, &example));
                manifests.extend(specs.into_iter().map(|(spec, is_sound)| {
                    let manifest = json!({
                        "apiVersion": kind.api_version(),
                        "kind": kind.kind,
                        "metadata": {"name": example["name"].as_str().unwrap_or("it")},
                        "spec": spec,
                    });
                    (manifest, is_sound)
                }));
            }
        }
    }
    manifests
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The example's specification with each change of which a new object of the kind is told
/// something, and whether that is nothing.
fn mistakes(kind: &Kind, example: &Value) -> Vec<(Value, bool)> {
    let of_kind = |one: &&Value| {
        let only = list(&one["only"]);
        one["update"] != true && (only.is_empty() || only.iter().any(|name| name == kind.kind))
    };
    let refusals = list(&example["refusals"]).iter().filter(of_kind);
    refusals
        .map(|refusal| {
            let mut spec = example["spec"].clone();
            for (pointer, value) in refusal["set"].as_object().unwrap() {
                put(&mut spec, pointer, value);
            }
            (spec, list(&refusal["says"]).is_empty())
        })
        .collect()
}

fn put(spec: &mut Value, pointer: &str, value: &Value) {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match (spec.pointer_mut(parent).unwrap(), value) {
        (Value::Array(items), value) if key == "-" => items.push(value.clone()),
        (Value::Object(fields), Value::Null) => drop(fields.remove(key)),
        (parent @ Value::Array(_), value) => {
            parent[key.parse::<usize>().unwrap()] = value.clone();
        }
        (parent, value) => parent[key] = value.clone(),
    }
}

/// What is wrong with a manifest itself, whatever else there is.
fn offline(manifest: &Value) -> Vec<String> {
    let text: Arc<str> = manifest.to_string().into();
    let (_, problems) = manifest::examine(&[("it.json".to_owned(), Arc::clone(&text))]);
    let findings = check::file(&text).unwrap();
    let findings = findings.iter().map(|one| &one.diagnostic);
    let errors = findings.filter(|one| one.is_error());
    let problems = problems.iter().map(ToString::to_string);
    problems.chain(errors.map(ToString::to_string)).collect()
}

/// What is refused offline is refused by the API, and the other way round.
#[tokio::test]
async fn files_are_held_to_what_the_api_demands() {
    let api = Api::start().await;
    let mut differences = Vec::new();
    let mut all = manifests();
    // Who writes them matters, and no file says that: records are the controllers', and a promotion
    // is asked for and approved by whoever the API knows.
    let by_whom = ["DeploymentRecord", "Promotion"];
    all.retain(|(manifest, _)| !by_whom.iter().any(|kind| manifest["kind"] == *kind));
    for (manifest, is_sound) in &all {
        let offline = offline(manifest);
        let online = api.refusal(manifest).await;
        if offline.is_empty() != *is_sound || online.is_none() != *is_sound {
            differences.push(format!("{manifest}\n  {offline:?}\n  {online:?}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(all.len() > 150, "{}", all.len());
    api.stop().await;
}
