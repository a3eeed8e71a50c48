//! Organisations: their namespace, what they use, and what they may not.

use serde_json::{Value, json};

use super::{ALL, World, shop, words};
use crate::index::Change;
use crate::key::Key;

const ACME: &str = r"
---
apiVersion: openchoreo.dev/v1alpha1
kind: Organization
metadata: { name: acme, finalizers: [openchoreo.dev/organization-cleanup] }
spec: { namespace: default, quotas: { replicas: 1, components: 5 } }
";

impl World {
    fn organization(&mut self) -> Value {
        let key = Key::new("Organization", "", "acme");
        let now = k8s_openapi::jiff::Timestamp::UNIX_EPOCH;
        let decision = super::super::decide(&self.index, &key, now);
        self.index.remember(&key, &decision, now);
        let mut told = json!(decision.writes.iter().map(words).collect::<Vec<_>>());
        if let Some(status) = decision.status {
            let mut object = self.stored[&key].clone();
            object["status"] = status.clone();
            self.put(object);
            told = status;
        }
        told
    }
}

#[test]
fn what_is_used_is_told_by_project() {
    let mut world = World::new(&format!("{}{ACME}", shop()));
    world.live(&ALL);
    let status = world.organization();
    let used = json!({"projects": 1, "components": 1, "environments": 3, "replicas": 1,
        "cpu": status["used"]["cpu"], "memory": status["used"]["memory"]});
    assert_eq!(status["used"], used);
    assert_eq!(status["projects"][0]["name"], "shop");
    assert_eq!(status["projects"][0]["replicas"], 1);
    assert_eq!(status["conditions"][1]["reason"], "WithinQuota");
    assert_eq!(
        world.organization(),
        json!(["apply Namespace default"]),
        "until it is there"
    );
    let namespace =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}});
    world.index.apply(Change::LiveApplied(0, namespace));
    assert_eq!(
        world.organization()["conditions"][0]["reason"],
        "NamespaceReady"
    );
    assert_eq!(world.organization(), json!([]));
}

#[test]
fn what_would_take_too_much_is_not_written_and_says_who_has_it() {
    let mut world = World::new(&format!("{}{ACME}", shop()));
    world.live(&ALL);
    let more = "
---
apiVersion: openchoreo.dev/v1alpha1
kind: Component
metadata: { name: api, namespace: default }
spec:
  owner: { projectName: shop }
  componentType: { kind: ClusterComponentType, name: deployment/worker }
  autoDeploy: true
---
apiVersion: openchoreo.dev/v1alpha1
kind: Workload
metadata: { name: api, namespace: default }
spec:
  owner: { projectName: shop, componentName: api }
  container: { image: example.org/api:1 }
";
    world.add(more);
    let keys = [("Component", "api"), ("ReleaseBinding", "api-development")];
    world.live(&keys);
    let told = world.condition("ReleaseBinding", "api-development", "ReleaseSynced");
    let why = "ReleaseSynced False QuotaExceeded: organization \"acme\" may have 1 replicas and has 1 \
               (shop 1); this needs 1";
    assert_eq!(told, why);
    let rendered = Key::new("RenderedRelease", "default", "api-development");
    assert!(!world.stored.contains_key(&rendered));
    // It goes on by itself when something is freed.
    let freed = world.stored[&Key::new("RenderedRelease", "default", "web-development")].clone();
    let woken = world.index.apply(Change::deleted(&freed).unwrap());
    assert!(woken.contains(&Key::new("ReleaseBinding", "default", "api-development")));
    world.live(&keys);
    assert!(world.stored.contains_key(&rendered));
}

#[test]
fn a_resource_that_would_take_too_much_is_held_back_and_what_runs_of_it_stays() {
    let server = "
    - id: server
      template:
        apiVersion: apps/v1
        kind: StatefulSet
        metadata: { name: '${metadata.name}', namespace: '${metadata.namespace}' }
        spec: { replicas: '${parameters.replicas}' }
";
    let database = |replicas: u32| {
        let yaml = super::resource::database();
        let (head, tail) = yaml
            .split_once("---\napiVersion: openchoreo.dev/v1alpha1\nkind: Resource\n")
            .unwrap();
        let type_ = head.split_once("  resources:").unwrap().0;
        let type_ = type_.split_once("  outputs:").unwrap().0;
        let tail = tail.replace("size: small", &format!("replicas: {replicas}"));
        format!(
            "{type_}  resources:{server}---\napiVersion: openchoreo.dev/v1alpha1\nkind: Resource\n{tail}"
        )
    };
    let keys = [
        ("Project", "shop"),
        ("Resource", "db"),
        ("ResourceReleaseBinding", "db-development"),
    ];
    let synced =
        |world: &World| world.condition("ResourceReleaseBinding", "db-development", "Synced");
    let rendered = Key::new(
        "RenderedRelease",
        "default",
        &choreo_model::names::resource_name("db", "development"),
    );
    let mut world = World::new(&format!("{}{ACME}", database(2)));
    world.live(&keys);
    let why = "Synced False QuotaExceeded: organization \"acme\" may have 1 replicas and has 0; this \
               needs 2";
    assert_eq!(synced(&world), why);
    assert!(!world.stored.contains_key(&rendered));
    world.add(&database(1));
    world.live(&keys);
    assert!(
        synced(&world).starts_with("Synced True"),
        "{}",
        synced(&world)
    );
    let before = world.stored[&rendered].clone();
    world.add(&database(3));
    world.live(&keys);
    let why = "Synced False QuotaExceeded: organization \"acme\" may have 1 replicas and has 1 (shop 1); \
               this needs 3";
    assert_eq!(synced(&world), why);
    assert_eq!(world.stored[&rendered]["spec"], before["spec"]);
}

#[test]
fn an_organisation_with_projects_is_not_deleted() {
    let going = ACME.replace(
        "finalizers",
        "deletionTimestamp: 2026-01-01T00:00:00Z, finalizers",
    );
    let mut world = World::new(&format!("{}{going}", shop()));
    let status = world.organization();
    let why = "waiting for Project \"shop\" to be deleted";
    assert_eq!(status["conditions"][0]["message"], why);
    let project = world.stored[&Key::new("Project", "default", "shop")].clone();
    world.index.apply(Change::deleted(&project).unwrap());
    assert_eq!(world.organization(), json!(["finalizers acme []"]));
}

#[test]
fn a_namespace_is_of_one_organisation() {
    let other = ACME.replace("acme", "aaa");
    let mut world = World::new(&format!("{}{ACME}{other}", shop()));
    let status = world.organization();
    assert_eq!(status["conditions"][0]["reason"], "NamespaceTaken");
    assert!(
        status["conditions"][0]["message"]
            .as_str()
            .unwrap()
            .contains("aaa")
    );
}
