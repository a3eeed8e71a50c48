use std::fs;

use super::*;

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
