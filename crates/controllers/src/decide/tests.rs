//! Decisions on small worlds written as YAML, without a runtime.

use std::collections::BTreeSet;

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use crate::decision::{Decision, Home, Write};
use crate::index::{Change, Index};
use crate::key::Key;

/// A world: an index and a clock that stands still.
struct World {
    index: Index,
    made: u32,
}

impl World {
    /// The defaults of a platform and the documents of `yaml`.
    fn new(yaml: &str) -> Self {
        let mut world = Self {
            index: Index::default(),
            made: 0,
        };
        for default in choreo_model::defaults() {
            world.add(default.yaml);
        }
        world.add(yaml);
        world
    }

    fn add(&mut self, yaml: &str) -> BTreeSet<Key> {
        documents(yaml)
            .into_iter()
            .flat_map(|one| self.put(one))
            .collect()
    }

    /// Stores an object as an API would: with an identifier, a version and a generation.
    fn put(&mut self, mut object: Value) -> BTreeSet<Key> {
        self.made += 1;
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let uid = format!("uid-{}-{name}", object["kind"].as_str().unwrap());
        object["metadata"]["uid"] = json!(uid);
        object["metadata"]["resourceVersion"] = json!(self.made.to_string());
        if object["metadata"]["generation"].is_null() {
            object["metadata"]["generation"] = json!(1);
        }
        if choreo_model::find(object["kind"].as_str().unwrap()).is_some() {
            self.index.apply(Change::Applied(object))
        } else {
            self.index.apply(Change::LiveApplied(0, object))
        }
    }

    fn decide(&mut self, kind: &'static str, name: &str) -> Decision {
        let namespace = if kind.starts_with("Cluster") {
            ""
        } else {
            "default"
        };
        let key = Key::new(kind, namespace, name);
        let decision = super::decide(&self.index, &key, Timestamp::UNIX_EPOCH);
        self.index.remember(&key, &decision);
        decision
    }

    /// Does what decisions ask for, until none of them asks for anything.
    fn settle(&mut self, keys: &[(&'static str, &str)]) {
        for _ in 0..20 {
            let mut quiet = true;
            for (kind, name) in keys {
                let decision = self.decide(kind, name);
                for write in &decision.writes {
                    quiet &= !self.act(write);
                }
            }
            if quiet {
                return;
            }
        }
        panic!("the world does not come to rest");
    }

    /// Carries a write out; says whether it changed anything.
    fn act(&mut self, write: &Write) -> bool {
        match write {
            Write::Apply {
                home: Home::Control,
                object,
            } => {
                self.put(object.clone());
                true
            }
            Write::Apply {
                home: Home::Plane(_),
                ..
            }
            | Write::Delete { .. }
            | Write::Finalizers { .. } => false,
        }
    }

    fn status(&mut self, kind: &'static str, name: &str) -> Vec<String> {
        let decision = self.decide(kind, name);
        let status = decision.status.unwrap_or_default();
        let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        conditions
            .iter()
            .map(|one| {
                format!(
                    "{} {} {}: {}",
                    text(&one["type"]),
                    text(&one["status"]),
                    text(&one["reason"]),
                    text(&one["message"])
                )
            })
            .collect()
    }
}

/// The objects of a YAML text.
fn documents(yaml: &str) -> Vec<Value> {
    let mut documents = serde_saphyr::from_multiple::<Value>(yaml).unwrap();
    documents.retain(|one| !one.is_null());
    documents
}

/// A write in a few words.
fn words(write: &Write) -> String {
    let title = |object: &Value| {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap();
        format!("{} {}", text("/kind"), text("/metadata/name"))
    };
    match write {
        Write::Apply { object, .. } => format!("apply {}", title(object)),
        Write::Delete { object, .. } => format!("delete {}", title(object)),
        Write::Finalizers {
            key, finalizers, ..
        } => {
            format!("finalizers {} {finalizers:?}", key.name)
        }
    }
}

/// Asserts the conditions that a decision reports, in a world of the defaults and `yaml`.
fn check(yaml: &str, kind: &'static str, name: &str, expected: &[&str]) {
    assert_eq!(World::new(yaml).status(kind, name), expected);
}

/// Asserts the writes that a decision asks for, in a world of the defaults and `yaml`.
fn check_writes(yaml: &str, kind: &'static str, name: &str, expected: &[&str]) {
    let decision = World::new(yaml).decide(kind, name);
    let writes: Vec<String> = decision.writes.iter().map(words).collect();
    assert_eq!(writes, expected);
}

const COMPONENT: &str = r"
apiVersion: openchoreo.dev/v1alpha1
kind: Component
metadata: { name: web, namespace: default }
spec:
  owner: { projectName: shop }
  componentType: { kind: ClusterComponentType, name: deployment/service }
  autoDeploy: true
";

const WORKLOAD: &str = r"
---
apiVersion: openchoreo.dev/v1alpha1
kind: Workload
metadata: { name: web, namespace: default }
spec:
  owner: { projectName: shop, componentName: web }
  container: { image: example.org/web:1 }
  endpoints: { http: { type: HTTP, port: 8080 } }
";

const PROJECT: &str = r"
---
apiVersion: openchoreo.dev/v1alpha1
kind: Project
metadata: { name: shop, namespace: default, finalizers: [openchoreo.dev/project-cleanup] }
spec:
  deploymentPipelineRef: { name: default }
  type: { kind: ClusterProjectType, name: default }
";

fn shop() -> String {
    format!("{COMPONENT}{WORKLOAD}{PROJECT}")
}

const ALL: [(&str, &str); 4] = [
    ("Project", "shop"),
    ("Component", "web"),
    ("ReleaseBinding", "web-development"),
    ("ProjectReleaseBinding", "shop-development"),
];

#[test]
fn a_component_says_what_it_lacks() {
    check(
        COMPONENT,
        "Component",
        "web",
        &[
            "Ready False WorkloadNotFound: Workload for component \"web\" not found, waiting for \
         workload to be created",
        ],
    );
    check(
        &format!("{COMPONENT}{WORKLOAD}"),
        "Component",
        "web",
        &["Ready False ProjectNotFound: Project \"shop\" not found"],
    );
    check(
        &COMPONENT.replace("service", "absent"),
        "Component",
        "web",
        &["Ready False ComponentTypeNotFound: ClusterComponentType \"absent\" not found"],
    );
    let mut manual = World::new(&shop().replace("autoDeploy: true", "autoDeploy: false"));
    assert!(manual.status("Component", "web")[0].starts_with("Ready True Reconciled"));
}

#[test]
fn a_component_is_released_and_bound_once() {
    let mut world = World::new(&shop());
    let writes: Vec<String> = world
        .decide("Component", "web")
        .writes
        .iter()
        .map(words)
        .collect();
    assert_eq!(writes.len(), 3, "{writes:?}");
    assert_eq!(
        writes[0],
        "finalizers web [\"openchoreo.dev/component-cleanup\"]"
    );
    assert!(writes[1].starts_with("apply ComponentRelease web-"));
    assert_eq!(writes[2], "apply ReleaseBinding web-development");
    world.settle(&[("Component", "web")]);
    let again = world.decide("Component", "web");
    assert!(
        again
            .writes
            .iter()
            .all(|write| matches!(write, Write::Finalizers { .. }))
    );
}

#[test]
fn a_binding_moved_by_hand_stays_until_the_next_release() {
    let mut world = World::new(&shop());
    let first = world.decide("Component", "web");
    assert!(first.status.unwrap()["latestRelease"].is_null());
    world.settle(&[("Component", "web")]);
    let status = world.decide("Component", "web").status.unwrap();
    let mut component = documents(COMPONENT).remove(0);
    component["status"] = status;
    world.put(component);
    let moves = |world: &mut World| {
        let decision = world.decide("Component", "web");
        let binding = |write: &&Write| words(write).starts_with("apply ReleaseBinding");
        decision.writes.iter().filter(binding).count()
    };
    world.add(
        "apiVersion: openchoreo.dev/v1alpha1
kind: ReleaseBinding
metadata: {name: web-development, namespace: default}
spec:
  owner: {projectName: shop, componentName: web}
  environment: development
  releaseName: web-older
",
    );
    assert_eq!(moves(&mut world), 0, "a rollback is obeyed");
    world.add(&WORKLOAD.replace("image: ", "image: newer/"));
    assert_eq!(moves(&mut world), 1, "a new release is bound");
}

#[test]
fn a_project_gets_a_cell_in_every_environment() {
    let mut world = World::new(PROJECT);
    let writes: Vec<String> = world
        .decide("Project", "shop")
        .writes
        .iter()
        .map(words)
        .collect();
    assert!(writes[0].starts_with("apply ProjectRelease shop-"));
    assert_eq!(
        writes[1..],
        [
            "apply ProjectReleaseBinding shop-development",
            "apply ProjectReleaseBinding shop-staging",
            "apply ProjectReleaseBinding shop-production",
        ]
    );
    assert_eq!(
        world.decide("Project", "shop").events[0].reason,
        "ReconcileComplete"
    );
}

#[test]
fn a_release_once_pinned_is_never_moved() {
    let binding = |release: &str| {
        format!(
            "{PROJECT}
---
apiVersion: openchoreo.dev/v1alpha1
kind: ProjectReleaseBinding
metadata: {{ name: mine, namespace: default }}
spec: {{ owner: {{ projectName: shop }}, environment: development{release} }}
"
        )
    };
    let writes = |yaml: &str| -> Vec<String> {
        World::new(yaml)
            .decide("Project", "shop")
            .writes
            .iter()
            .map(words)
            .collect()
    };
    assert_eq!(writes(&binding(""))[1], "apply ProjectReleaseBinding mine");
    let pinned = writes(&binding(", projectRelease: shop-old"));
    assert_eq!(pinned[1], "apply ProjectReleaseBinding shop-staging");
}

#[test]
fn a_binding_becomes_a_rendered_release() {
    let mut world = World::new(&shop());
    world.settle(&ALL);
    let conditions = world.status("ReleaseBinding", "web-development");
    assert_eq!(
        conditions,
        [
            "ReleaseSynced True ReleaseSynced: RenderedRelease \"web-development\" is up to date",
            "ConnectionsResolved True NoConnections: No connections to resolve",
            "ResourceDependenciesReady True NoResourceDependencies: No resource dependencies to \
             resolve",
            "ResourcesReady False ResourcesProgressing: RenderedRelease \"web-development\" is \
             not applied yet",
            "Ready False ResourcesProgressing: RenderedRelease \"web-development\" is not \
             applied yet",
        ]
    );
}

#[test]
fn objects_wait_for_their_namespace_and_continue() {
    let mut world = World::new(&shop());
    world.settle(&ALL);
    let waiting = world.status("RenderedRelease", "web-development");
    assert!(waiting[0].starts_with("ResourcesApplied False ApplyPending: waiting for namespace"));

    let cell = choreo_model::names::cell_namespace("default", "shop", "development");
    let woken = world.put(json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": cell },
    }));
    assert!(woken.contains(&Key::new("RenderedRelease", "default", "web-development")));
    let decision = world.decide("RenderedRelease", "web-development");
    let applied = decision.writes.iter().filter(|write| {
        matches!(
            write,
            Write::Apply {
                home: Home::Plane(0),
                ..
            }
        )
    });
    assert_eq!(applied.count(), 3, "Deployment, Service, NetworkPolicy");
}

#[test]
fn an_edit_wakes_only_whom_it_concerns() {
    let mut world = World::new(&shop());
    world.add(&format!("{COMPONENT}{WORKLOAD}").replace("web", "api"));
    world.settle(&[
        ("Component", "web"),
        ("Component", "api"),
        ("Project", "shop"),
    ]);
    let woken = world.add(&WORKLOAD.replace("web:1", "web:2"));
    assert!(woken.contains(&Key::new("Component", "default", "web")));
    assert!(!woken.contains(&Key::new("Component", "default", "api")));
    // The same again is no change.
    assert_eq!(
        world.add(&WORKLOAD.replace("web:1", "web:2")),
        BTreeSet::new()
    );
}

#[test]
fn deletion_says_what_it_waits_for_and_ends() {
    let deleting = |yaml: &str| {
        yaml.replace(
            "namespace: default",
            "namespace: default, deletionTimestamp: \"2026-01-01T00:00:00Z\", finalizers: \
             [openchoreo.dev/component-cleanup, other]",
        )
    };
    let yaml = format!("{}{WORKLOAD}", deleting(COMPONENT));
    check(
        &yaml,
        "Component",
        "web",
        &["Finalizing True ComponentFinalizing: waiting for Workload \"web\" to be deleted"],
    );
    check_writes(&yaml, "Component", "web", &["delete Workload web"]);
    check_writes(
        &deleting(COMPONENT),
        "Component",
        "web",
        &["finalizers web [\"other\"]"],
    );
}

#[test]
fn a_rendered_release_goes_without_its_environment() {
    let rendered = r#"
apiVersion: openchoreo.dev/v1alpha1
kind: RenderedRelease
metadata:
  name: lost
  namespace: default
  deletionTimestamp: "2026-01-01T00:00:00Z"
  finalizers: [openchoreo.dev/dataplane-cleanup]
spec: { owner: { projectName: shop }, environmentName: vanished, resources: [] }
"#;
    let live = r"
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: left
  namespace: cell
  labels:
    openchoreo.dev/managed-by: renderedrelease-controller
    openchoreo.dev/rendered-release-uid: uid-RenderedRelease-lost
";
    check_writes(
        &format!("{rendered}{live}"),
        "RenderedRelease",
        "lost",
        &["delete ConfigMap left"],
    );
    check_writes(rendered, "RenderedRelease", "lost", &["finalizers lost []"]);
}

#[test]
fn environments_and_planes_in_use_stay() {
    let mut world = World::new("");
    let deleted = |kind: &str, name: &str, namespace: Value, finalizer: &str, spec: Value| {
        json!({
            "apiVersion": "openchoreo.dev/v1alpha1",
            "kind": kind,
            "metadata": {
                "name": name, "namespace": namespace, "finalizers": [finalizer],
                "deletionTimestamp": "2026-01-01T00:00:00Z",
            },
            "spec": spec,
        })
    };
    world.put(deleted(
        "Environment",
        "staging",
        json!("default"),
        "openchoreo.dev/environment-cleanup",
        json!({}),
    ));
    assert_eq!(
        world.status("Environment", "staging"),
        ["Ready False DeletionBlocked: still named by DeploymentPipeline \"default\""]
    );
    let spec = json!({ "planeID": "x", "clusterAgent": { "clientCA": { "value": "x" } } });
    world.put(deleted(
        "ClusterDataPlane",
        "default",
        Value::Null,
        "openchoreo.dev/clusterdataplane-cleanup",
        spec,
    ));
    let said = world.status("ClusterDataPlane", "default");
    assert!(
        said[1].starts_with("Finalizing False DeletionBlocked: still used by"),
        "{said:?}"
    );
}

#[test]
fn a_failing_container_is_the_reason_of_its_component() {
    let mut world = World::new(&shop());
    world.settle(&ALL);
    world.decide("RenderedRelease", "web-development");
    let woken = world.put(json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": "web-1", "namespace": "cell", "labels": {
            "openchoreo.dev/namespace": "default", "openchoreo.dev/project": "shop",
            "openchoreo.dev/component": "web", "openchoreo.dev/environment": "development",
        }},
        "status": { "containerStatuses": [{ "name": "main", "state": { "waiting": {
            "reason": "ImagePullBackOff", "message": "no such image",
        }}}]},
    }));
    assert!(woken.contains(&Key::new("RenderedRelease", "default", "web-development")));
    let status = world
        .decide("RenderedRelease", "web-development")
        .status
        .unwrap();
    let resources = status["resources"].as_array().unwrap();
    let deployment = resources
        .iter()
        .find(|one| one["kind"] == "Deployment")
        .unwrap();
    assert_eq!(deployment["healthStatus"], "Degraded");
    assert_eq!(
        deployment["message"],
        "container \"main\": ImagePullBackOff: no such image"
    );
}
