//! Preview environments: what they are made of, how long they last, how they go.

use serde_json::{Value, json};

use super::*;

const CALLER: &str = r"
apiVersion: openchoreo.dev/v1alpha1
kind: Component
metadata: { name: shopfront, namespace: default }
spec:
  owner: { projectName: shop }
  componentType: { kind: ClusterComponentType, name: deployment/service }
  autoDeploy: true
---
apiVersion: openchoreo.dev/v1alpha1
kind: Workload
metadata: { name: shopfront, namespace: default }
spec:
  owner: { projectName: shop, componentName: shopfront }
  container: { image: example.org/shopfront:1 }
  endpoints: { http: { type: HTTP, port: 8080, visibility: [external] } }
  dependencies:
    endpoints:
      - component: web
        name: http
        visibility: project
        envBindings: { address: WEB }
";

const PREVIEW: &str = r#"
apiVersion: openchoreo.dev/v1alpha1
kind: PreviewEnvironment
metadata:
  name: pr-1
  namespace: default
  creationTimestamp: "1970-01-01T00:00:00Z"
  finalizers: [openchoreo.dev/previewenvironment-cleanup]
spec:
  projectName: shop
  from: development
  components: [{ name: shopfront, image: "example.org/shopfront:pr" }]
  ttl: 1h
"#;

const KEYS: [(&str, &str); 12] = [
    ("Project", "shop"),
    ("Component", "web"),
    ("Component", "shopfront"),
    ("ProjectReleaseBinding", "shop-development"),
    ("ReleaseBinding", "web-development"),
    ("ReleaseBinding", "shopfront-development"),
    ("PreviewEnvironment", "pr-1"),
    ("Environment", "pr-1"),
    ("ProjectReleaseBinding", "shop-pr-1"),
    ("ReleaseBinding", "web-pr-1"),
    ("ReleaseBinding", "shopfront-pr-1"),
    ("RenderedRelease", "shopfront-pr-1"),
];

fn world(preview: &str) -> World {
    let mut world = World::new(&shop());
    world.add(CALLER);
    world.live(&KEYS);
    world.add(preview);
    world.live(&KEYS);
    world
}

fn rendered(world: &World, release: &str) -> Vec<Value> {
    let key = Key::new("RenderedRelease", "default", release);
    let resources = world.stored[&key]["spec"]["resources"].as_array().unwrap();
    resources.iter().map(|one| one["object"].clone()).collect()
}

fn kinds(world: &World, environment: &str) -> Vec<String> {
    let stored = world.stored.iter();
    stored
        .filter(|(key, object)| {
            key.kind == "ReleaseBinding" && object["spec"]["environment"] == environment
        })
        .map(|(key, _)| key.name.clone())
        .collect()
}

#[test]
fn what_a_preview_has_not_itself_it_shares() {
    let world = world(PREVIEW);
    assert_eq!(kinds(&world, "pr-1"), ["shopfront-pr-1"]);
    let objects = rendered(&world, "shopfront-pr-1");
    let find = |kind: &str, holds: &dyn Fn(&Value) -> bool| -> Value {
        let mut found = objects.iter().filter(|one| one["kind"] == kind);
        found.find(|one| holds(one)).cloned().unwrap_or_default()
    };
    let container = &find("Deployment", &|_| true)["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["image"], "example.org/shopfront:pr");
    let base = choreo_model::names::cell_namespace("default", "shop", "development");
    let address = format!("http://web.{base}.svc.cluster.local:8080");
    assert_eq!(container["env"], json!([{"name": "WEB", "value": address}]));
    // What is called lets the preview in, and only that component of it, on that port.
    let admission = find("NetworkPolicy", &|one| one["metadata"]["namespace"] == base);
    let rule = &admission["spec"]["ingress"][0];
    assert_eq!(
        admission["spec"]["podSelector"]["matchLabels"]["openchoreo.dev/component"],
        "web"
    );
    assert_eq!(rule["ports"], json!([{"port": 8080, "protocol": "TCP"}]));
    let from = &rule["from"][0];
    let cell = &from["namespaceSelector"]["matchLabels"];
    assert_eq!(cell["openchoreo.dev/environment"], "pr-1");
    assert_eq!(
        from["podSelector"]["matchLabels"],
        json!({"openchoreo.dev/component": "shopfront"})
    );
    let egress = find("NetworkPolicy", &|one| !one["spec"]["egress"].is_null());
    let peer = &egress["spec"]["egress"][1]["to"][0]["namespaceSelector"]["matchLabels"];
    assert_eq!(peer["openchoreo.dev/environment"], "development");
    // Nothing that was there before is any different.
    let before = rendered(&world, "web-development");
    assert!(!json!(before).to_string().contains("pr-1"));
}

#[test]
fn the_rest_is_copied_when_asked_for() {
    let world = world(&PREVIEW.replace("ttl: 1h", "rest: copied"));
    assert_eq!(kinds(&world, "pr-1"), ["shopfront-pr-1", "web-pr-1"]);
    let objects = rendered(&world, "shopfront-pr-1");
    let base = choreo_model::names::cell_namespace("default", "shop", "development");
    assert!(!json!(objects).to_string().contains(&base));
}

#[test]
fn what_was_copied_stays_as_it_was() {
    let mut world = world(PREVIEW);
    let release = |world: &World| {
        let key = Key::new("ReleaseBinding", "default", "shopfront-pr-1");
        world.stored[&key]["spec"]["releaseName"].clone()
    };
    let before = release(&world);
    let newer = CALLER.replace("shopfront:1", "shopfront:2");
    world.add(&newer.replace("port: 8080", "port: 8081"));
    world.live(&KEYS);
    assert_eq!(release(&world), before);
    world.add(&PREVIEW.replace("shopfront:pr", "shopfront:pr-again"));
    world.live(&KEYS);
    assert_ne!(release(&world), before);
}

fn at(world: &mut World, seconds: i64) -> Decision {
    let key = Key::new("PreviewEnvironment", "default", "pr-1");
    let now = Timestamp::from_second(seconds).unwrap();
    super::super::decide(&world.index, &key, now)
}

#[test]
fn a_lease_ends_or_is_renewed() {
    let mut world = world(PREVIEW);
    let decision = at(&mut world, 3599);
    assert!(decision.writes.is_empty(), "{:?}", decision.writes);
    assert_eq!(
        decision.look_again,
        Some(Timestamp::from_second(3600).unwrap())
    );
    let decision = at(&mut world, 3600);
    let writes: Vec<String> = decision.writes.iter().map(words).collect();
    assert_eq!(writes, ["delete ReleaseBinding shopfront-pr-1"]);
    let status = decision.status.unwrap();
    assert_eq!(status["phase"], "Removing");
    let report = status["report"].as_array().unwrap();
    let kinds: Vec<&str> = report
        .iter()
        .map(|one| one["kind"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "ComponentRelease",
            "Environment",
            "Namespace",
            "ProjectReleaseBinding",
            "ReleaseBinding"
        ]
    );
    world.add(&PREVIEW.replace("ttl: 1h", "ttl: 1h\n  renewTime: \"1970-01-01T00:30:00Z\""));
    let decision = at(&mut world, 3600);
    assert_eq!(
        decision.look_again,
        Some(Timestamp::from_second(5400).unwrap())
    );
}

#[test]
fn a_deployment_into_a_preview_extends_its_lease_if_that_is_asked_for() {
    let mut world = world(&PREVIEW.replace("ttl: 1h", "ttl: 1h\n  extendOnUse: true"));
    let key = Key::new("ReleaseBinding", "default", "shopfront-pr-1");
    let mut binding = world.stored[&key].clone();
    binding["status"]["lastSpecUpdateTime"] = json!("1970-01-01T00:59:00Z");
    world.put(binding);
    let decision = at(&mut world, 3600);
    assert_eq!(
        decision.look_again,
        Some(Timestamp::from_second(7140).unwrap())
    );
}

#[test]
fn what_stands_in_the_way_is_told() {
    let environment = r"
---
apiVersion: openchoreo.dev/v1alpha1
kind: Environment
metadata: { name: pr-1, namespace: default }
spec: {}
";
    for (preview, reason, told) in [
        (
            PREVIEW.replace("projectName: shop", "projectName: none"),
            "ProjectNotFound",
            "Project \"none\" not found",
        ),
        (
            PREVIEW.replace("from: development", "from: nowhere"),
            "EnvironmentNotFound",
            "Environment \"nowhere\" not found",
        ),
        (
            PREVIEW.replace("name: shopfront", "name: none"),
            "ComponentNotFound",
            "Component \"none\" not found",
        ),
        (
            format!("{PREVIEW}{environment}"),
            "EnvironmentTaken",
            "there is an Environment \"pr-1\" already; give the preview another name",
        ),
    ] {
        let world = world(&preview);
        let found = world.condition("PreviewEnvironment", "pr-1", "Ready");
        assert_eq!(found, format!("Ready False {reason}: {told}"));
    }
}

#[test]
fn what_is_said_of_an_earlier_wish_makes_no_preview_ready() {
    let mut world = world(PREVIEW);
    let say = |world: &mut World, kind: &'static str, name: &str, generation: i64| {
        let mut object = world.stored[&Key::new(kind, "default", name)].clone();
        object["metadata"]["generation"] = json!(generation);
        object["status"]["conditions"] = json!([{
            "type": "Ready", "status": "True", "reason": "Ready", "message": "",
            "observedGeneration": 1, "lastTransitionTime": "1970-01-01T00:00:00Z",
        }]);
        world.put(object);
    };
    let phase = |world: &mut World| at(world, 0).status.unwrap()["phase"].clone();
    say(&mut world, "Environment", "pr-1", 1);
    say(&mut world, "ProjectReleaseBinding", "shop-pr-1", 1);
    say(&mut world, "ReleaseBinding", "shopfront-pr-1", 1);
    assert_eq!(phase(&mut world), "Ready");
    say(&mut world, "ReleaseBinding", "shopfront-pr-1", 2);
    let condition = at(&mut world, 0)
        .status
        .map(|status| status["phase"].clone());
    assert_ne!(condition, Some(json!("Ready")));
}
