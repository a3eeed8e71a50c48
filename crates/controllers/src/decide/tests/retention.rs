//! Resources that retain their objects survive everything but a person's word.

use super::resource::{EVERYTHING, database};
use super::*;

const RRB: &str = "ResourceReleaseBinding";
const HELD: &str = "ResourceReleaseBinding \"db-development\" (it retains its objects; to delete \
                    them too, set its spec.retainPolicy to Delete)";

/// A world in which the database of development retains its objects.
fn retaining() -> World {
    let mut world = World::new(&database());
    world.live(&EVERYTHING);
    world.live(&[("ProjectReleaseBinding", "shop-development")]);
    change(&mut world, RRB, "db-development", |binding| {
        binding["spec"]["retainPolicy"] = json!("Retain");
    });
    world.live(&EVERYTHING);
    world
}

fn change(world: &mut World, kind: &'static str, name: &str, change: impl FnOnce(&mut Value)) {
    let mut object = world.stored[&Key::new(kind, "default", name)].clone();
    change(&mut object);
    world.put(object);
}

/// Asks for the deletion of an object that `finalizer` holds.
fn leave(world: &mut World, kind: &'static str, name: &str, finalizer: &str) {
    change(world, kind, name, |object| {
        object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        object["metadata"]["finalizers"] = json!([format!("openchoreo.dev/{finalizer}")]);
    });
}

fn writes(world: &mut World, kind: &'static str, name: &str) -> Vec<String> {
    let decision = world.decide(kind, name);
    decision.writes.iter().map(words).collect()
}

/// The objects that the world's API forgets.
fn forget(world: &mut World, kind: &'static str, names: &[&str]) {
    for name in names {
        let object = world
            .stored
            .remove(&Key::new(kind, "default", name))
            .unwrap();
        world.index.apply(Change::deleted(&object).unwrap());
    }
}

fn rendered() -> String {
    choreo_model::names::resource_name("db", "development")
}

#[test]
fn a_binding_goes_with_its_objects() {
    let mut world = World::new(&database());
    world.live(&EVERYTHING);
    leave(
        &mut world,
        RRB,
        "db-development",
        "resourcereleasebinding-cleanup",
    );
    assert_eq!(
        writes(&mut world, RRB, "db-development"),
        [format!("delete RenderedRelease {}", rendered())]
    );
    let said = world.status(RRB, "db-development");
    assert!(said[0].starts_with("Finalizing True Finalizing: waiting for RenderedRelease"));
    forget(&mut world, "RenderedRelease", &[&rendered()]);
    // Its history ends first.
    let status = world.decide(RRB, "db-development").status.unwrap();
    change(&mut world, RRB, "db-development", |binding| {
        binding["status"] = status;
    });
    let last = writes(&mut world, RRB, "db-development");
    assert_eq!(last.last().unwrap(), "finalizers db-development []");
}

#[test]
fn a_binding_that_retains_stays_until_its_policy_is_changed() {
    let mut world = retaining();
    leave(
        &mut world,
        RRB,
        "db-development",
        "resourcereleasebinding-cleanup",
    );
    assert_eq!(writes(&mut world, RRB, "db-development"), [""; 0]);
    assert_eq!(
        world.status(RRB, "db-development"),
        [
            "Finalizing True RetainHold: The objects are retained, and the binding with them; to \
             delete both, set spec.retainPolicy to Delete"
        ]
    );
    // Nor do the objects go when somebody deletes the list of them.
    leave(
        &mut world,
        "RenderedRelease",
        &rendered(),
        "dataplane-cleanup",
    );
    assert_eq!(writes(&mut world, "RenderedRelease", &rendered()), [""; 0]);
    change(&mut world, RRB, "db-development", |binding| {
        binding["spec"]["retainPolicy"] = json!("Delete");
    });
    let said = world.status("RenderedRelease", &rendered());
    assert!(said[0].starts_with("Finalizing True CleanupInProgress"));
    let said = world.status(RRB, "db-development");
    assert!(
        said[0].starts_with("Finalizing True Finalizing: waiting for RenderedRelease"),
        "{said:?}"
    );
}

#[test]
fn the_policy_of_the_type_holds_even_when_the_release_is_gone() {
    let mut world =
        World::new(&database().replace("  outputs:", "  retainPolicy: Retain\n  outputs:"));
    world.live(&EVERYTHING);
    let releases: Vec<String> = world
        .stored
        .keys()
        .filter(|key| key.kind == "ResourceRelease")
        .map(|key| key.name.clone())
        .collect();
    forget(&mut world, "ResourceRelease", &[&releases[0]]);
    leave(
        &mut world,
        RRB,
        "db-development",
        "resourcereleasebinding-cleanup",
    );
    assert_eq!(writes(&mut world, RRB, "db-development"), [""; 0]);
}

#[test]
fn what_was_never_rendered_is_not_retained() {
    let mut world = World::new(
        r"
apiVersion: openchoreo.dev/v1alpha1
kind: ResourceReleaseBinding
metadata:
  name: db-development
  namespace: default
  deletionTimestamp: 2026-01-01T00:00:00Z
  finalizers: [openchoreo.dev/resourcereleasebinding-cleanup]
spec:
  owner: { projectName: shop, resourceName: db }
  environment: development
  retainPolicy: Retain
",
    );
    assert_eq!(
        writes(&mut world, RRB, "db-development"),
        ["finalizers db-development []"]
    );
}

#[test]
fn a_resource_goes_binding_by_binding() {
    let mut world = retaining();
    leave(&mut world, "Resource", "db", "resource-cleanup");
    assert_eq!(
        writes(&mut world, "Resource", "db"),
        [
            "delete ResourceReleaseBinding db-production",
            "delete ResourceReleaseBinding db-staging",
        ]
    );
    assert_eq!(
        world.status("Resource", "db"),
        [format!(
            "Finalizing True RetainHold: waiting for {HELD}, ResourceReleaseBinding \
             \"db-production\", ResourceReleaseBinding \"db-staging\" to be deleted"
        )]
    );
    forget(&mut world, RRB, &["db-production", "db-staging"]);
    assert_eq!(writes(&mut world, "Resource", "db"), [""; 0]);
    change(&mut world, RRB, "db-development", |binding| {
        binding["spec"]["retainPolicy"] = json!("Delete");
    });
    assert_eq!(
        writes(&mut world, "Resource", "db"),
        ["delete ResourceReleaseBinding db-development"]
    );
    forget(&mut world, RRB, &["db-development"]);
    let last = writes(&mut world, "Resource", "db");
    assert!(
        last[0].starts_with("delete ResourceRelease db-"),
        "{last:?}"
    );
}

#[test]
fn a_cell_in_which_something_is_retained_survives_its_project() {
    let mut world = retaining();
    leave(&mut world, "Project", "shop", "project-cleanup");
    assert_eq!(
        writes(&mut world, "Project", "shop"),
        ["delete Resource db"]
    );
    forget(&mut world, RRB, &["db-production", "db-staging"]);
    // Cells in which nothing is left do go.
    assert_eq!(
        writes(&mut world, "Project", "shop"),
        [
            "delete Resource db",
            "delete ProjectReleaseBinding shop-production",
            "delete ProjectReleaseBinding shop-staging",
        ]
    );
    let said = world.status("Project", "shop");
    assert!(
        said[0].starts_with(&format!("Finalizing True RetainHold: waiting for {HELD}")),
        "{said:?}"
    );
    // The same holds for who deletes the cell itself, or what it was rendered to.
    leave(
        &mut world,
        "ProjectReleaseBinding",
        "shop-development",
        "projectreleasebinding-cleanup",
    );
    assert_eq!(
        writes(&mut world, "ProjectReleaseBinding", "shop-development"),
        [""; 0]
    );
    assert_eq!(
        world.status("ProjectReleaseBinding", "shop-development"),
        [format!(
            "Finalizing True RetainHold: waiting for {HELD} to be deleted"
        )]
    );
    let cell = choreo_model::names::project_rendered_release("shop", "development");
    leave(&mut world, "RenderedRelease", &cell, "dataplane-cleanup");
    assert_eq!(
        world.status("RenderedRelease", &cell),
        [format!(
            "Finalizing True RetainHold: waiting for {HELD} to be deleted"
        )]
    );
    forget(&mut world, RRB, &["db-development"]);
    let said = world.status("RenderedRelease", &cell);
    assert!(said[0].starts_with("Finalizing True CleanupInProgress"));
}

#[test]
fn an_environment_waits_for_its_resources() {
    let mut world = retaining();
    forget(&mut world, "DeploymentPipeline", &["default"]);
    leave(&mut world, "Environment", "staging", "environment-cleanup");
    assert_eq!(
        writes(&mut world, "Environment", "staging"),
        [
            "delete ResourceReleaseBinding db-staging",
            "delete ProjectReleaseBinding shop-staging"
        ]
    );
    leave(
        &mut world,
        "Environment",
        "development",
        "environment-cleanup",
    );
    let decision = writes(&mut world, "Environment", "development");
    assert!(!decision.contains(&"delete ResourceReleaseBinding db-development".to_owned()));
    let said = world.status("Environment", "development");
    assert!(
        said[0].starts_with(&format!(
            "Ready False ReleaseBindingsPending: waiting for {HELD}"
        )),
        "{said:?}"
    );
}
