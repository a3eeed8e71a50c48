//! What clients of version 2 look for.

use super::*;
use crate::builtin::resources;

fn core() -> Vec<Resource> {
    let all = resources().into_iter();
    all.filter(|one| one.api_version() == "v1").collect()
}

fn document() -> Value {
    let kinds = core();
    let pieces = json(&[("api/v1".to_owned(), kinds.iter().collect())]);
    serde_json::from_slice(&pieces.concat()).unwrap()
}

#[test]
fn every_reference_leads_somewhere() {
    let document = document();
    let definitions = document["definitions"].as_object().unwrap();
    let text = document.to_string();
    assert!(!text.contains("#/components/"));
    let mut references = 0;
    for reference in text.split("\"#/definitions/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(definitions.contains_key(name), "{name}");
        references += 1;
    }
    assert!(references > 100, "{references}");
}

#[test]
fn operations_are_in_the_older_form() {
    let document = document();
    let path = &document["paths"]["/api/v1/namespaces/{namespace}/configmaps/{name}"];
    let patch = &path["patch"];
    let consumes = patch["consumes"].as_array().unwrap();
    assert!(consumes.contains(&json!("application/strategic-merge-patch+json")));
    let parameters = patch["parameters"].as_array().unwrap();
    let dry_run = parameters.iter().find(|one| one["name"] == "dryRun");
    assert_eq!(dry_run.unwrap()["type"], "string");
    let body = parameters.iter().find(|one| one["in"] == "body");
    assert_eq!(body.unwrap()["schema"]["type"], "object");
    assert_eq!(
        path["get"]["responses"]["200"]["schema"]["$ref"],
        "#/definitions/io.k8s.api.core.v1.ConfigMap"
    );
}

/// The fields of a message: number and bytes (of a varint: nothing).
fn fields(mut bytes: &[u8]) -> Vec<(u64, &[u8])> {
    fn number(bytes: &mut &[u8]) -> u64 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = bytes[0];
            *bytes = &bytes[1..];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return value;
            }
            shift += 7;
        }
    }
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = number(&mut bytes);
        let length = match key & 7 {
            0 => {
                number(&mut bytes);
                0
            }
            1 => 8,
            _ => usize::try_from(number(&mut bytes)).unwrap(),
        };
        let (value, rest) = bytes.split_at(length);
        found.push((key >> 3, value));
        bytes = rest;
    }
    found
}

#[test]
fn protobuf_holds_the_same_definitions() {
    let kinds = core();
    let bytes = protobuf(&[("api/v1".to_owned(), kinds.iter().collect())]).concat();
    let names: BTreeSet<String> = fields(&bytes)
        .into_iter()
        .filter(|(field, _)| *field == 9)
        .flat_map(|(_, definitions)| fields(definitions))
        .map(|(_, named)| String::from_utf8(fields(named)[0].1.to_vec()).unwrap())
        .collect();
    let document = document();
    let wanted: BTreeSet<String> = document["definitions"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    assert_eq!(names, wanted);
}
