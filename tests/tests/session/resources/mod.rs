//! A managed resource keeps its data: through another rendering, the end of its pod, the end of the
//! platform and the deletion of its project, until somebody lets it go. Then nothing is left.

use std::{fs, path::Path};

use serde_json::Value;

use crate::{
    choreo::{Choreo, Outcome, waits},
    machine,
};

/// A project with a store and a component that uses it.
const ESTATE: &str = include_str!("estate.yaml");

/// The binding of the store.
const BINDING: &str = "
apiVersion: openchoreo.dev/v1alpha1
kind: ResourceReleaseBinding
metadata: {name: pages-development, namespace: default}
spec:
  owner: {projectName: diary, resourceName: pages}
  environment: development
";

/// Folders of the node in which pods and claims keep files.
const KEPT: [&str; 3] = ["claims", "volumes", "pods"];

/// Plays all of it.
pub(crate) fn play(choreo: &Choreo) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/session/resources");
    let add = |file: &str, to: &str| format!("--add={}:{to}", here.join(file).display());
    let files = [add("start", "/start"), add("rows", "/www/cgi-bin/rows")];
    if choreo.pack_tools(&files).is_none() {
        return;
    }
    if choreo.up_bare_or_skip().is_none() {
        return;
    }
    choreo.apply(ESTATE).ok();
    writes(choreo, "one");
    let token = token(choreo);
    rendered_again(choreo);
    reads(choreo, "one");
    let first = pod(choreo);
    choreo
        .run(&["delete", "pod", &name(&first), "-n", &cell(&first)])
        .ok();
    replaced(choreo, &first);
    writes(choreo, "two");
    choreo.down();
    let pid = choreo.up_again();
    writes(choreo, "three");
    machine::kill(pid);
    choreo.up_again();
    reads(choreo, "one two three");
    assert_eq!(self::token(choreo), token, "the credentials are others");
    retained(choreo, "one\ntwo\nthree\n");
    let_go(choreo);
    choreo.down();
}

/// Asks the store, as its user does.
fn asks(choreo: &Choreo, row: &str) -> Outcome {
    let ask = format!("wget -q -O - \"http://$HOST/cgi-bin/rows?$TOKEN{row}\"");
    choreo.run(&["exec", "writer", "--", "/bin/sh", "-c", &ask])
}

/// Writes a row as soon as the store is served, and reads it.
fn writes(choreo: &Choreo, row: &str) {
    let add = format!("&{row}");
    waits(
        || asks(choreo, &add).out.contains(row),
        || format!("{} {:#}", asks(choreo, ""), bindings(choreo)),
    );
}

fn reads(choreo: &Choreo, rows: &str) {
    let has_all = |outcome: &Outcome| outcome.out.split_whitespace().eq(rows.split(' '));
    waits(
        || has_all(&asks(choreo, "")),
        || format!("not {rows}: {}", asks(choreo, "")),
    );
}

/// What the component was given.
fn token(choreo: &Choreo) -> String {
    let show = ["exec", "writer", "--", "/bin/sh", "-c", "echo $TOKEN"];
    let token = choreo.run(&show).ok().out;
    assert!(token.trim().len() == 24, "{token}");
    token
}

fn bindings(choreo: &Choreo) -> Value {
    choreo
        .run(&["get", "resourcereleasebindings", "-o", "json"])
        .ok()
        .json()
}

/// The pods of the store.
fn pods(choreo: &Choreo) -> Vec<Value> {
    let of_store = "openchoreo.dev/resource=pages";
    let words = ["get", "pods", "-A", "-o", "json", "-l", of_store];
    let listed = choreo.run(&words).ok().json();
    listed["items"].as_array().unwrap().clone()
}

/// The one pod of the store.
fn pod(choreo: &Choreo) -> Value {
    let mut pods = pods(choreo);
    assert_eq!(pods.len(), 1, "{pods:?}");
    pods.remove(0)
}

fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap().to_owned()
}

fn cell(object: &Value) -> String {
    object["metadata"]["namespace"].as_str().unwrap().to_owned()
}

/// Waits until another pod serves the store.
fn replaced(choreo: &Choreo, before: &Value) {
    let is_ready = |pod: &Value| {
        let conditions = pod["status"]["conditions"].as_array();
        let ready = |one: &Value| one["type"] == "Ready" && one["status"] == "True";
        conditions.into_iter().flatten().any(ready)
    };
    let is_other = |pod: &Value| pod["metadata"]["uid"] != before["metadata"]["uid"];
    waits(
        || {
            let pods = pods(choreo);
            pods.len() == 1 && pods.iter().all(|pod| is_other(pod) && is_ready(pod))
        },
        || format!("{:#?}", pods(choreo)),
    );
}

/// What the type makes of the resource changes, so that its pod is replaced.
fn rendered_again(choreo: &Choreo) {
    let before = pod(choreo);
    let changed = format!("{BINDING}  resourceTypeEnvironmentConfigs: {{note: second}}\n");
    choreo.apply(&changed).ok();
    replaced(choreo, &before);
}

/// The project is deleted, and its data stays, served and on the disk.
fn retained(choreo: &Choreo, rows: &str) {
    choreo
        .apply(&format!("{BINDING}  retainPolicy: Retain\n"))
        .ok();
    choreo.run(&["delete", "project/diary", "--no-wait"]).ok();
    let project = || choreo.run(&["get", "project", "diary", "-o", "json"]).ok();
    waits(
        || project().out.contains("RetainHold"),
        || project().to_string(),
    );
    let components = || choreo.run(&["get", "components", "-o", "name"]).ok();
    waits(|| components().out.is_empty(), || components().to_string());
    let why = choreo.run(&["why", "project/diary"]).ok();
    why.has("pages-development").has("Delete");
    // Not even then does it go with its pod or with the platform.
    let before = pod(choreo);
    choreo
        .run(&["delete", "pod", &name(&before), "-n", &cell(&before)])
        .ok();
    replaced(choreo, &before);
    choreo.down();
    choreo.up_again();
    assert_eq!(fs::read_to_string(kept_rows(choreo)).unwrap(), rows);
}

/// The file with the rows.
fn kept_rows(choreo: &Choreo) -> std::path::PathBuf {
    let claims: Vec<_> = files(choreo, "claims");
    assert_eq!(claims.len(), 1, "{claims:?}");
    claims[0].join("rows")
}

/// Everything goes once nobody wants it kept.
fn let_go(choreo: &Choreo) {
    choreo
        .apply(&format!("{BINDING}  retainPolicy: Delete\n"))
        .ok();
    let left = || {
        let kinds = "projects,resources,resourcereleases,resourcereleasebindings,\
                     renderedreleases,projectreleasebindings";
        choreo.run(&["get", kinds, "-o", "name"]).ok().out
    };
    waits(|| left().is_empty(), left);
    // The certificate of the gateway stays: it belongs to no cell.
    let kinds = "persistentvolumeclaims,secrets,pods";
    let all = choreo.run(&["get", kinds, "-A", "-o", "name"]).ok().out;
    let left = all
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.ends_with("secret/gateway-default-tls"));
    let left: Vec<_> = left.collect();
    assert!(left.is_empty(), "{left:#?}");
    let on_disk = || KEPT.map(|folder| files(choreo, folder)).concat();
    waits(
        || on_disk().is_empty(),
        || format!("left on the disk: {:?}", on_disk()),
    );
}

/// What is in a folder of the node.
fn files(choreo: &Choreo, folder: &str) -> Vec<std::path::PathBuf> {
    let folder = choreo.data().join("node").join(folder);
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}
