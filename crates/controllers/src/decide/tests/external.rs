//! External connections: approved, withdrawn, given and changed.

use super::*;

/// A component that calls two hosts outside.
const CALLER: &str = r"
  dependencies:
    external:
      - { name: cards, host: api.cards.example, port: 443, protocol: HTTPS, envBindings: { address: CARDS } }
";

const APPROVED: &str = r"
---
apiVersion: openchoreo.dev/v1alpha1
kind: Environment
metadata: { name: development, namespace: default }
spec: { egress: approved }
";

fn calling(egress: &str) -> World {
    let workload = WORKLOAD.trim_end();
    let mut world = World::new(&format!("{COMPONENT}{workload}{CALLER}{PROJECT}"));
    world.add(egress);
    world.live(&ALL);
    world
}

fn connection(host: &str) -> Value {
    json!({
        "apiVersion": "openchoreo.dev/v1alpha1", "kind": "ExternalConnection",
        "metadata": {"name": "cards", "namespace": "default"},
        "spec": {
            "projects": ["shop"],
            "connection": {"name": "cards", "host": host, "port": 443, "protocol": "HTTPS"},
        },
    })
}

const BINDING: &str = "web-development";

fn synced(world: &World) -> String {
    world.condition("ReleaseBinding", BINDING, "ReleaseSynced")
}

/// The hosts that the rendered gateway leads to; nothing when nothing is rendered.
fn hosts(world: &World) -> Option<Vec<String>> {
    let release = world
        .stored
        .get(&Key::new("RenderedRelease", "default", BINDING))?;
    let resources = release["spec"]["resources"].as_array()?.iter();
    let routes = resources.filter(|one| one["object"]["kind"] == "TLSRoute");
    let hosts = routes.map(|one| one["object"]["spec"]["hostnames"][0].as_str());
    Some(hosts.flatten().map(str::to_owned).collect())
}

fn of_connection(world: &mut World) -> Value {
    world.live(&[("ExternalConnection", "cards")]);
    let key = Key::new("ExternalConnection", "default", "cards");
    world.stored[&key]["status"].clone()
}

fn delete(world: &mut World) -> BTreeSet<Key> {
    let key = Key::new("ExternalConnection", "default", "cards");
    let object = world.stored.remove(&key).unwrap();
    world.index.apply(Change::deleted(&object).unwrap())
}

#[test]
fn what_is_declared_is_deployed_where_no_approval_is_asked_for() {
    let world = calling("");
    assert_eq!(hosts(&world).unwrap(), ["api.cards.example"]);
    let told = world.condition("ReleaseBinding", BINDING, "ConnectionsResolved");
    assert!(told.starts_with("ConnectionsResolved True"), "{told}");
}

#[test]
fn what_is_not_approved_is_not_deployed() {
    let mut world = calling(APPROVED);
    assert_eq!(hosts(&world), None);
    assert_eq!(
        synced(&world),
        "ReleaseSynced False ExternalConnectionsNotApproved: waiting for external connection cards (not approved: \
         environment \"development\" allows only what an ExternalConnection of the platform team covers, and none \
         for project \"shop\" covers api.cards.example:443 with protocol HTTPS); nothing is deployed until then"
    );
    // One for something else changes nothing.
    world.put(connection("other.example"));
    world.live(&ALL);
    assert_eq!(hosts(&world), None);
    let woken = world.put(connection("*.cards.example"));
    let binding = Key::new("ReleaseBinding", "default", BINDING);
    assert!(woken.contains(&binding), "{woken:?}");
    world.live(&ALL);
    assert_eq!(
        hosts(&world).unwrap(),
        ["api.cards.example", "*.cards.example"]
    );
    let status = of_connection(&mut world);
    assert_eq!(
        (&status["users"], &status["usedBy"]),
        (&json!(1), &json!([BINDING]))
    );
}

#[test]
fn a_withdrawn_approval_closes_the_way_and_what_runs_goes_on() {
    let mut world = calling(APPROVED);
    world.put(connection("*.cards.example"));
    world.live(&ALL);
    let pods = |world: &World| {
        let key = Key::new("RenderedRelease", "default", BINDING);
        let resources = world.stored[&key]["spec"]["resources"].as_array().unwrap();
        let mut found = resources.iter().map(|one| &one["object"]);
        found.find(|one| one["kind"] == "Deployment").cloned()
    };
    let before = pods(&world);
    let woken = delete(&mut world);
    assert!(woken.contains(&Key::new("ReleaseBinding", "default", BINDING)));
    world.live(&ALL);
    assert_eq!(hosts(&world).unwrap(), [""; 0]);
    assert_eq!(pods(&world), before, "nothing restarts");
    let told = world.condition("ReleaseBinding", BINDING, "ConnectionsResolved");
    assert!(
        told.starts_with(
            "ConnectionsResolved False ExternalConnectionsNotApproved: closed until it is approved: external \
             connection cards"
        ),
        "{told}"
    );
    // Another release waits.
    let workload = WORKLOAD.trim_end().replace("web:1", "web:2");
    world.add(&format!("{workload}{CALLER}"));
    world.live(&ALL);
    assert!(synced(&world).contains("what runs stays as it is until then"));
    assert_eq!(pods(&world), before);
}

#[test]
fn a_change_of_what_is_given_is_rendered() {
    let mut world = World::new(&shop());
    world.put(connection("first.example"));
    world.live(&ALL);
    assert_eq!(hosts(&world).unwrap(), ["first.example"]);
    let woken = world.put(connection("second.example"));
    assert!(woken.contains(&Key::new("ReleaseBinding", "default", BINDING)));
    world.live(&ALL);
    assert_eq!(hosts(&world).unwrap(), ["second.example"]);
    let mut elsewhere = connection("second.example");
    elsewhere["spec"]["environments"] = json!(["staging"]);
    world.put(elsewhere);
    world.live(&ALL);
    assert_eq!(hosts(&world).unwrap(), [""; 0]);
}

#[test]
fn it_says_whom_it_is_given_to_and_who_loses_it() {
    let mut world = World::new(COMPONENT);
    world.put(connection("first.example"));
    of_connection(&mut world);
    let ready = |world: &World| world.condition("ExternalConnection", "cards", "Ready");
    assert_eq!(
        ready(&world),
        "Ready False ProjectNotFound: Project \"shop\" not found"
    );
    let woken = world.add(&shop());
    assert!(woken.contains(&Key::new("ExternalConnection", "default", "cards")));
    world.live(&ALL);
    let status = of_connection(&mut world);
    assert_eq!(
        ready(&world),
        "Ready True Ready: It is given to its projects"
    );
    assert_eq!(status["usedBy"], json!([BINDING]));
    delete(&mut world);
    let told = world.decide("ExternalConnection", "cards").events;
    let told: Vec<String> = told.into_iter().map(|event| event.message).collect();
    assert_eq!(
        told,
        [
            "ExternalConnection \"cards\" is deleted although ReleaseBinding \"web-development\" had it: the way is \
          closed there"
        ]
    );
}

#[test]
fn a_withdrawn_approval_closes_the_way_of_what_runs_while_another_release_is_held() {
    let mut world = calling(APPROVED);
    world.put(connection("*.cards.example"));
    world.live(&ALL);
    assert_eq!(
        hosts(&world).unwrap(),
        ["api.cards.example", "*.cards.example"]
    );
    let runs = image(&world);
    // Another release wants more, which nobody allows.
    let more = "- { name: rates, host: rates.example, port: 443, protocol: HTTPS }";
    let workload = WORKLOAD.trim_end().replace(&runs, "web:held");
    world.add(&format!("{workload}{CALLER}      {more}\n"));
    world.live(&ALL);
    assert!(synced(&world).contains("rates"), "{}", synced(&world));
    assert_eq!(
        hosts(&world).unwrap(),
        ["api.cards.example", "*.cards.example"]
    );
    delete(&mut world);
    world.live(&ALL);
    assert_eq!(hosts(&world).unwrap(), [""; 0]);
    assert_eq!(image(&world), runs);
}

/// The image that is rendered.
fn image(world: &World) -> String {
    let key = Key::new("RenderedRelease", "default", BINDING);
    let resources = world.stored[&key]["spec"]["resources"].as_array().unwrap();
    let mut found = resources.iter().map(|one| &one["object"]);
    let found = found.find(|one| one["kind"] == "Deployment").unwrap();
    let image = &found["spec"]["template"]["spec"]["containers"][0]["image"];
    image.as_str().unwrap().to_owned()
}
