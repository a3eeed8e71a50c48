//! The same controllers on two APIs: the embedded one, and a real kube-apiserver where `CHOREO_ORACLE`
//! names its kubeconfig (`tests/oracle/oracle run cargo test -p choreo-controllers --test homes`). After
//! every step of a story all objects and conditions must be equal, but for what no two runs have in
//! common: times, versions, identifiers and addresses.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says why it is skipped"
)]

mod essence;
mod home;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use self::home::Home;

/// A project with two components, one of which calls the other, and a resource type of its own.
const ESTATE: &str = include_str!("estate.yaml");

/// What happens: each is a step after which both homes are at rest.
enum Step {
    /// Somebody applies documents.
    Apply(&'static str, Vec<Value>),
    /// Somebody deletes an object.
    Delete(&'static str, &'static str),
}

impl Step {
    fn title(&self) -> String {
        match self {
            Self::Apply(title, _) => (*title).to_owned(),
            Self::Delete(kind, name) => format!("deletion of {kind} {name}"),
        }
    }
}

fn documents(yaml: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(yaml).unwrap()
}

fn binding(component: &str, environment: &str, spec: &Value) -> Value {
    let mut binding = json!({
        "apiVersion": "openchoreo.dev/v1alpha1", "kind": "ReleaseBinding",
        "metadata": { "name": format!("{component}-{environment}"), "namespace": "default" },
        "spec": {
            "owner": { "projectName": "shop", "componentName": component },
            "environment": environment,
        },
    });
    for (name, value) in spec.as_object().into_iter().flatten() {
        binding["spec"][name] = value.clone();
    }
    binding
}

fn workload(component: &str, image: &str) -> Value {
    let mut all = documents(ESTATE).into_iter();
    let found = all.find(|one| one["kind"] == "Workload" && one["metadata"]["name"] == component);
    let mut workload = found.unwrap();
    workload["spec"]["container"]["image"] = json!(image);
    workload
}

/// A component's life, with the things that go wrong in one.
fn story() -> Vec<Step> {
    let mut estate = documents(ESTATE);
    estate.reverse();
    vec![
        Step::Apply("everything in the wrong order", estate),
        Step::Apply("another image", vec![workload("web", "web:2")]),
        Step::Apply(
            "more replicas where it runs",
            vec![binding(
                "web",
                "development",
                &json!({"componentTypeEnvironmentConfigs": {"replicas": 3}}),
            )],
        ),
        Step::Apply(
            "a release that is not there, in staging",
            vec![binding(
                "web",
                "staging",
                &json!({"releaseName": "web-none"}),
            )],
        ),
        Step::Apply(
            "an undeployment of what another calls",
            vec![binding("api", "development", &json!({"state": "Undeploy"}))],
        ),
        Step::Delete("Workload", "web"),
        Step::Delete("Component", "web"),
        Step::Delete("Resource", "store"),
        Step::Delete("Project", "shop"),
    ]
}

/// Where the homes differ once they are at rest. On a busy machine one may only seem to be, so that they
/// are given some time to become equal.
async fn in_the_end(embedded: &Home, oracle: &Home) -> Vec<String> {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let (found, wanted) = tokio::join!(embedded.rest(), oracle.rest());
        let differences = essence::differences(&found, &wanted);
        if differences.is_empty() || Instant::now() > deadline {
            return differences;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_story_is_the_same_on_both() {
    let Some(oracle) = Home::oracle().await else {
        eprintln!("skipped: CHOREO_ORACLE names no kubeconfig of a kube-apiserver");
        return;
    };
    let embedded = Home::embedded().await;
    for step in story() {
        let title = step.title();
        for home in [&embedded, &oracle] {
            match &step {
                Step::Apply(_, objects) => home.apply(objects).await,
                Step::Delete(kind, name) => home.delete(kind, name).await,
            }
        }
        let differences = in_the_end(&embedded, &oracle).await;
        assert!(
            differences.is_empty(),
            "after {title} the homes differ:\n{}",
            differences.join("\n")
        );
    }
    embedded.stop().await;
    oracle.stop().await;
}
