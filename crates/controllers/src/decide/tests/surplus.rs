//! Releases: kept while something names them, and some beyond that.

use super::*;

/// Puts releases of `kind` numbered `1..=count`, the last of them the youngest.
fn releases(world: &mut World, kind: &'static str, owner: &Value, count: usize) {
    let known = world.stored.keys().find(|key| key.kind == kind).unwrap();
    let template = world.stored[known].clone();
    for number in 1..=count {
        let mut release = template.clone();
        release["metadata"]["name"] = json!(format!("old-{number}"));
        release["metadata"]["creationTimestamp"] = json!(format!("2026-01-{number:02}T00:00:00Z"));
        release["spec"]["owner"] = owner.clone();
        world.put(release);
    }
}

fn deleted(world: &mut World, kind: &'static str, name: &str) -> Vec<String> {
    let decision = world.decide(kind, name);
    let writes = decision.writes.iter().map(words);
    writes
        .filter_map(|one| one.strip_prefix("delete ").map(str::to_owned))
        .collect()
}

#[test]
fn the_newest_releases_that_nothing_names_are_kept() {
    let mut world = World::new(&shop());
    world.live(&ALL);
    let owner = json!({ "projectName": "shop", "componentName": "web" });
    releases(&mut world, "ComponentRelease", &owner, 10);
    assert_eq!(deleted(&mut world, "Component", "web"), [""; 0]);
    releases(&mut world, "ComponentRelease", &owner, 13);
    assert_eq!(
        deleted(&mut world, "Component", "web"),
        [
            "ComponentRelease old-1",
            "ComponentRelease old-2",
            "ComponentRelease old-3"
        ]
    );
    // What an environment runs stays, however old it is.
    world.add(
        "
apiVersion: openchoreo.dev/v1alpha1
kind: ReleaseBinding
metadata: { name: web-production, namespace: default }
spec:
  owner: { projectName: shop, componentName: web }
  environment: production
  releaseName: old-1
",
    );
    assert_eq!(
        deleted(&mut world, "Component", "web"),
        ["ComponentRelease old-2", "ComponentRelease old-3"]
    );
    let decision = world.decide("Component", "web");
    let told = decision
        .events
        .iter()
        .find(|event| event.reason == "Deleting");
    assert_eq!(
        told.unwrap().message,
        "ComponentRelease \"old-2\", \"old-3\""
    );
    // Releases of others are none of its business.
    releases(
        &mut world,
        "ComponentRelease",
        &json!({ "projectName": "shop", "componentName": "api" }),
        13,
    );
    assert_eq!(deleted(&mut world, "Component", "web"), [""; 0]);
}

#[test]
fn a_component_that_lacks_something_keeps_its_releases() {
    let mut world = World::new(&shop());
    world.live(&ALL);
    let owner = json!({ "projectName": "shop", "componentName": "web" });
    releases(&mut world, "ComponentRelease", &owner, 13);
    let key = Key::new("Workload", "default", "web");
    let workload = world.stored.remove(&key).unwrap();
    world.index.apply(Change::deleted(&workload).unwrap());
    assert_eq!(deleted(&mut world, "Component", "web"), [""; 0]);
}

#[test]
fn everything_that_is_released_says_how_many_are_kept() {
    let yaml = resource::database()
        .replace(
            "parameters: { size",
            "releaseHistoryLimit: 2\n  parameters: { size",
        )
        .replace("type: { kind", "releaseHistoryLimit: 3\n  type: { kind");
    let mut world = World::new(&yaml);
    world.live(&resource::EVERYTHING);
    let owner = json!({ "projectName": "shop", "resourceName": "db" });
    releases(&mut world, "ResourceRelease", &owner, 3);
    assert_eq!(
        deleted(&mut world, "Resource", "db"),
        ["ResourceRelease old-1"]
    );
    let owner = json!({ "projectName": "shop" });
    releases(&mut world, "ProjectRelease", &owner, 4);
    assert_eq!(
        deleted(&mut world, "Project", "shop"),
        ["ProjectRelease old-1"]
    );
}

#[test]
fn what_an_environment_can_go_back_to_is_kept() {
    let mut world = World::new(&shop());
    world.live(&ALL);
    let key = Key::new("ReleaseBinding", "default", "web-development");
    let mut deployed = Vec::new();
    for image in 1..=13 {
        world.add(&WORKLOAD.replace("web:1", &format!("web:{image}")));
        world.live(&ALL);
        let release = world.stored[&key]["spec"]["releaseName"].clone();
        deployed.insert(0, release);
    }
    let head = &world.stored[&key]["status"]["history"];
    assert_eq!(head["release"], deployed[0]);
    assert_eq!(head["earlier"], json!(deployed[1..=10]));
    // However many others were made since that were not deployed here.
    let owner = json!({ "projectName": "shop", "componentName": "web" });
    releases(&mut world, "ComponentRelease", &owner, 13);
    let deleted = deleted(&mut world, "Component", "web");
    assert_eq!(deleted.len(), 13 + 2 - 10, "{deleted:?}");
    let kept = |release: &Value| {
        let title = format!("ComponentRelease {}", release.as_str().unwrap());
        !deleted.contains(&title)
    };
    assert!(deployed[..=10].iter().all(kept), "{deleted:?}");
}
