//! Connections: what is declared to be called is known before anything that calls it is deployed.

use k8s_openapi::jiff::SignedDuration;

use super::*;

/// A component `name` that calls `other`.
fn caller(name: &str, other: &str) -> String {
    let workload = WORKLOAD.trim_end().replace("web", name);
    let component = COMPONENT.replace("web", name);
    format!(
        "{component}{workload}
  dependencies:
    endpoints:
      - {{ component: {other}, name: http, visibility: project, envBindings: {{ address: URL }} }}
"
    )
}

fn keys(names: &[&'static str]) -> Vec<(&'static str, String)> {
    let of = |name: &'static str| {
        let binding = format!("{name}-development");
        [("Component", name.to_owned()), ("ReleaseBinding", binding)]
    };
    let project = [("Project", "shop".to_owned())];
    project
        .into_iter()
        .chain(names.iter().copied().flat_map(of))
        .collect()
}

fn live(world: &mut World, names: &[&'static str]) {
    let keys = keys(names);
    let keys: Vec<_> = keys
        .iter()
        .map(|(kind, name)| (*kind, name.as_str()))
        .collect();
    world.live(&keys);
}

fn rendered(world: &World, name: &str) -> Option<Value> {
    let key = Key::new("RenderedRelease", "default", &format!("{name}-development"));
    world.stored.get(&key).cloned()
}

#[test]
fn a_component_waits_for_the_address_it_declares() {
    let mut world = World::new(&format!("{}{PROJECT}", caller("web", "api")));
    live(&mut world, &["web"]);
    assert_eq!(
        rendered(&world, "web"),
        None,
        "nothing half-made is deployed"
    );
    let told = world.condition("ReleaseBinding", "web-development", "Ready");
    assert_eq!(told, "", "mostly what it waits for is there a moment later");
    world.now += SignedDuration::from_secs(1);
    live(&mut world, &["web"]);
    let why = "ConnectionsPending: waiting for shop/api http (ReleaseBinding not found for \
               component shop/api); nothing is deployed until then";
    for type_ in ["ReleaseSynced", "Ready"] {
        let said = world.condition("ReleaseBinding", "web-development", type_);
        assert_eq!(said, format!("{type_} False {why}"));
    }

    world.add(&format!("{COMPONENT}{WORKLOAD}").replace("web", "api"));
    live(&mut world, &["web", "api"]);
    let release = rendered(&world, "web").unwrap();
    assert!(release.to_string().contains("http://api."), "{release:#}");
}

#[test]
fn what_is_decided_is_waited_for_by_nobody() {
    let callee = format!("{COMPONENT}{WORKLOAD}").replace("web", "api");
    let mut world = World::new(&format!("{}{PROJECT}", caller("web", "api")));
    world.add(&callee);
    let components = [("Component", "web"), ("Component", "api")];
    world.settle(&components);
    let callee = world.decide("ReleaseBinding", "api-development");
    assert_eq!(callee.status, None, "where it is reached is told later");
    let writes = world.decide("ReleaseBinding", "web-development").writes;
    assert!(
        writes
            .iter()
            .any(|write| words(write) == "apply RenderedRelease web-development"),
        "{writes:#?}"
    );
    // It is told all the same, although it is known.
    for write in &callee.writes {
        world.act(write);
    }
    let told = world
        .decide("ReleaseBinding", "api-development")
        .status
        .unwrap();
    assert_eq!(told["endpoints"][0]["name"], "http", "{told:#}");
}

#[test]
fn what_runs_stays_while_a_new_connection_is_pending() {
    let mut world = World::new(&shop());
    live(&mut world, &["web"]);
    let before = rendered(&world, "web").unwrap();
    world.add(&caller("web", "api"));
    live(&mut world, &["web"]);
    assert_eq!(rendered(&world, "web").unwrap(), before);
    let said = world.condition("ReleaseBinding", "web-development", "Ready");
    assert!(
        said.ends_with("what runs stays as it is until then"),
        "{said}"
    );
    let endpoints = &world.stored[&Key::new("ReleaseBinding", "default", "web-development")]["status"]
        ["endpoints"];
    assert_eq!(endpoints[0]["name"], "http", "others may still call it");
}

#[test]
fn components_that_call_each_other_both_go_on() {
    let mut world = World::new(&format!(
        "{}---{}{PROJECT}",
        caller("web", "api"),
        caller("api", "web")
    ));
    live(&mut world, &["web", "api"]);
    for (name, other) in [("web", "api"), ("api", "web")] {
        let release = rendered(&world, name).unwrap().to_string();
        assert!(release.contains(&format!("http://{other}.")), "{release}");
        let resolved = world.condition(
            "ReleaseBinding",
            &format!("{name}-development"),
            "ConnectionsResolved",
        );
        assert!(
            resolved.starts_with("ConnectionsResolved True AllConnectionsResolved"),
            "{resolved}"
        );
    }
}
