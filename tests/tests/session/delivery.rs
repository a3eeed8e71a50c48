//! Delivery as people see it: an approval, a refusal, a bad image that goes back by itself, a preview
//! with its proof, the history of all that, and deletion in several orders.

use std::fs;

use crate::choreo::{Choreo, Outcome, waits};

/// Staging goes back by itself, production wants somebody's word.
const PIPELINE: &str = "
apiVersion: openchoreo.dev/v1alpha1
kind: DeploymentPipeline
metadata: {name: default, namespace: default}
spec:
  promotionPaths:
  - sourceEnvironmentRef: {name: development}
    targetEnvironmentRefs: [{name: staging}]
    rollback: {deadline: 8s}
  - sourceEnvironmentRef: {name: staging}
    targetEnvironmentRefs: [{name: production}]
    requiresApproval: true
";

/// What somebody who approves has to be allowed.
const ROLES: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: approver}
rules:
- {apiGroups: [openchoreo.dev], resources: [promotions], verbs: [get, list, watch, update, patch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: approver}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: approver}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: bob}]
";

/// Kinds whose objects are deleted one after the other, in orders that people come up with.
const ORDERS: [&[&str]; 5] = [
    &["project/storefront"],
    &["component/web", "component/catalog", "project/storefront"],
    &[
        "workload/catalog",
        "binding/web-development",
        "project/storefront",
    ],
    &[
        "projectreleasebinding/storefront-development",
        "component/recommendations",
        "project/storefront",
    ],
    &[
        "project/storefront",
        "component/restock",
        "workload/web",
        "secretreference/supplier",
    ],
];

/// Plays all of it.
pub(crate) fn play(choreo: &Choreo) {
    choreo.up();
    choreo.apply(PIPELINE).ok();
    choreo.apply(ROLES).ok();
    let bob = bob(choreo);
    approved(choreo, &bob);
    rejected(choreo, &bob);
    goes_back(choreo);
    previewed(choreo);
    remembered(choreo);
    for order in ORDERS {
        leaves_nothing(choreo, order);
        choreo.run(&["apply", "-f", &choreo.sample()]).ok();
        serves(choreo, "development");
    }
    choreo.down();
}

/// A kubeconfig of somebody who may approve.
fn bob(choreo: &Choreo) -> String {
    let made = choreo.run(&["kubeconfig", "--user", "bob"]).ok();
    let file = choreo.data().with_file_name("bob.yaml");
    fs::write(&file, made.out).unwrap();
    file.display().to_string()
}

fn serves(choreo: &Choreo, environment: &str) {
    let host = format!("{environment}-default.openchoreo.localhost");
    choreo.waits_for(&host, "/catalog-http/items");
}

/// Asks for a promotion without waiting for it; its name.
fn asked(choreo: &Choreo, component: &str, reason: &str) -> String {
    let words = [
        "promote",
        component,
        "--to",
        "production",
        "--no-wait",
        "--reason",
        reason,
    ];
    let asked = choreo.run(&words).ok();
    let prefix = format!("{component}-production-");
    let mut words = asked
        .out
        .split(|c: char| c.is_whitespace() || c == ':' || c == '`');
    let name = words.find(|word| word.starts_with(&prefix));
    name.unwrap_or_else(|| panic!("no promotion is named: {asked}"))
        .to_owned()
}

fn promotion(choreo: &Choreo, name: &str) -> serde_json::Value {
    choreo
        .run(&["get", "promotion", name, "-o", "json"])
        .ok()
        .json()
}

/// Waits until a promotion has come to a phase.
fn comes_to(choreo: &Choreo, name: &str, phase: &str) {
    waits(
        || promotion(choreo, name)["status"]["phase"] == phase,
        || {
            format!(
                "{name} is not {phase}: {:#}",
                promotion(choreo, name)["status"]
            )
        },
    );
}

fn release(choreo: &Choreo, binding: &str) -> Option<String> {
    let bindings = choreo.run(&["get", "bindings", "-o", "json"]).ok().json();
    let mut all = bindings["items"].as_array()?.iter();
    let found = all.find(|one| one["metadata"]["name"] == binding)?;
    found["spec"]["releaseName"].as_str().map(str::to_owned)
}

/// Three environments, the last of which wants the word of somebody else.
fn approved(choreo: &Choreo, bob: &str) {
    choreo.run(&["promote", "catalog", "--to", "staging"]).ok();
    let name = asked(choreo, "catalog", "a new banner");
    assert_eq!(
        release(choreo, "catalog-production"),
        None,
        "nothing goes before it is approved"
    );
    let own = choreo.run(&["approve", &name]);
    assert_ne!(own.code, 0, "nobody approves what they asked for: {own}");
    choreo.run(&["approve", &name, "--kubeconfig", bob]).ok();
    comes_to(choreo, &name, "Succeeded");
    serves(choreo, "production");
}

fn rejected(choreo: &Choreo, bob: &str) {
    choreo
        .run(&["promote", "recommendations", "--to", "staging"])
        .ok();
    let name = asked(choreo, "recommendations", "on a Friday");
    choreo
        .run(&[
            "reject",
            &name,
            "--reason",
            "not on a Friday",
            "--kubeconfig",
            bob,
        ])
        .ok();
    comes_to(choreo, &name, "Rejected");
    assert_eq!(release(choreo, "recommendations-production"), None);
}

/// An image that is not there: the release before comes back by itself.
fn goes_back(choreo: &Choreo) {
    let good = release(choreo, "catalog-staging").unwrap();
    choreo
        .run(&[
            "deploy",
            "catalog",
            "--image",
            "storefront/none:1",
            "--no-wait",
        ])
        .ok();
    let bad: Outcome = choreo.run(&[
        "promote",
        "catalog",
        "--to",
        "staging",
        "--force",
        "--timeout",
        "1m",
    ]);
    assert_ne!(bad.code, 0, "{bad}");
    waits(
        || release(choreo, "catalog-staging").as_deref() == Some(&*good),
        || {
            format!(
                "staging has {:?}, not {good}",
                release(choreo, "catalog-staging")
            )
        },
    );
    serves(choreo, "staging");
    let why = choreo.run(&["why", "catalog", "--env", "development"]).ok();
    why.has("storefront/none:1").has("What to do:");
    choreo
        .run(&["deploy", "catalog", "--image", "storefront/catalog:1"])
        .ok();
    serves(choreo, "development");
}

fn previewed(choreo: &Choreo) {
    let image = "storefront/catalog:1";
    let words = [
        "preview",
        "create",
        "--component",
        "catalog",
        "--image",
        image,
        "--ttl",
        "1h",
        "--name",
        "try",
    ];
    choreo
        .run(&words)
        .ok()
        .has("http://try-default.openchoreo.localhost");
    serves(choreo, "try");
    choreo
        .run(&["preview", "delete", "try"])
        .ok()
        .has("nothing is left");
    let namespaces = choreo.run(&["get", "namespaces", "-o", "name"]).ok();
    assert!(!namespaces.out.contains("-try-"), "{}", namespaces.out);
}

fn remembered(choreo: &Choreo) {
    let history = choreo.run(&["history", "catalog", "--env", "staging"]).ok();
    history.has("Succeeded");
    let production = choreo
        .run(&["history", "catalog", "--env", "production"])
        .ok();
    production.has("a new banner");
    choreo.run(&["audit", "verify"]).ok();
}

fn leaves_nothing(choreo: &Choreo, order: &[&str]) {
    for target in order {
        // What went with something that was deleted before is gone already.
        let deleted = choreo.run(&["delete", target, "--no-wait"]);
        assert!([0, 3].contains(&deleted.code), "{deleted}");
    }
    let left = || {
        let kinds =
            "projects,components,workloads,bindings,renderedreleases,projectreleasebindings";
        choreo.run(&["get", kinds, "-o", "name"]).ok().out
    };
    // A workload without its component is somebody's file, not an orphan.
    let orphans = || {
        left()
            .lines()
            .filter(|line| !line.contains("workload."))
            .count()
    };
    waits(
        || orphans() == 0,
        || format!("after {order:?} there is left: {}", left()),
    );
    choreo.run(&["get", "pods", "-A", "-o", "name"]).ok().is("");
    let namespaces = choreo.run(&["get", "namespaces", "-o", "name"]).ok();
    assert!(!namespaces.out.contains("/dp-"), "{}", namespaces.out);
}
