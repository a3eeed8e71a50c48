//! Deployment tracks: released and bound beside the main line, and taken away without it.

use super::*;

const TRACK: &str = r"
---
apiVersion: openchoreo.dev/v1alpha1
kind: DeploymentTrack
metadata: { name: web--v2, namespace: default }
spec:
  owner: { projectName: shop, componentName: web }
  apiVersion: v2
";

const TRACK_WORKLOAD: &str = r"
---
apiVersion: openchoreo.dev/v1alpha1
kind: Workload
metadata: { name: web--v2, namespace: default }
spec:
  owner: { projectName: shop, componentName: web, trackName: v2 }
  container: { image: example.org/web:2 }
  endpoints: { http: { type: HTTP, port: 8080 } }
";

fn shop_with_track() -> String {
    format!("{}{TRACK}{TRACK_WORKLOAD}", shop())
}

/// `yaml` with `finalizer` and a request to delete, where it says what it is called.
fn deleting(yaml: &str, finalizer: &str) -> String {
    yaml.replace(
        "namespace: default",
        &format!(
            "namespace: default, deletionTimestamp: \"2026-01-01T00:00:00Z\", finalizers: \
             [{finalizer}]"
        ),
    )
}

#[track_caller]
fn says(yaml: &str, expected: &str) {
    check(yaml, "DeploymentTrack", "web--v2", &[expected]);
}

#[test]
fn a_track_says_what_it_lacks() {
    says(
        TRACK,
        "Ready False ComponentNotFound: Component \"web\" not found",
    );
    says(
        &format!("{}{TRACK}", shop()),
        "Ready False WorkloadNotFound: Workload for track \"v2\" of component \"web\" not found, \
         waiting for workload to be created",
    );
    says(
        &shop_with_track().replace(
            "owner: { projectName: shop, componentName: web }\n  apiVersion",
            "owner: { projectName: other, componentName: web }\n  apiVersion",
        ),
        "Ready False InvalidConfiguration: component \"web\" is of project \"shop\"",
    );
    says(
        &shop_with_track().replace("componentName: web }\n  api", "componentName: api }\n  api"),
        "Ready False InvalidConfiguration: \"web--v2\" must be the component and the track, as in \
         api--TRACK",
    );
    let taken = COMPONENT.replace("name: web,", "name: web--v2,");
    says(
        &format!("{}---{taken}", shop_with_track()),
        "Ready False NameTaken: there is a Component \"web--v2\", whose objects have the names that \
         those of the track would have; give the track another name",
    );
}

#[test]
fn a_track_decides_for_itself_whether_it_is_deployed() {
    let off = "Ready True Reconciled: DeploymentTrack is valid; autoDeploy is off, so releases are \
               made and bound by hand";
    says(
        &shop_with_track().replace("apiVersion: v2", "apiVersion: v2\n  autoDeploy: false"),
        off,
    );
    let by_hand = shop_with_track().replace("autoDeploy: true", "autoDeploy: false");
    says(&by_hand, off);
    let own = by_hand.replace("apiVersion: v2", "apiVersion: v2\n  autoDeploy: true");
    let mut world = World::new(&own);
    world.live(&[("DeploymentTrack", "web--v2")]);
    let ready = world.condition("DeploymentTrack", "web--v2", "Ready");
    assert!(
        ready.starts_with("Ready True ComponentReleaseReady"),
        "{ready}"
    );
}

#[test]
fn a_track_is_released_and_bound_beside_the_main_line() {
    let mut world = World::new(&shop_with_track());
    world.live(&[
        ("Project", "shop"),
        ("Component", "web"),
        ("DeploymentTrack", "web--v2"),
        ("ReleaseBinding", "web-development"),
        ("ReleaseBinding", "web--v2-development"),
    ]);
    let get = |kind, name| &world.stored[&Key::new(kind, "default", name)];
    let latest = |kind, name| {
        let name = &get(kind, name)["status"]["latestRelease"]["name"];
        name.as_str().unwrap().to_owned()
    };
    let (main, track) = (
        latest("Component", "web"),
        latest("DeploymentTrack", "web--v2"),
    );
    assert!(
        main.starts_with("web-") && !main.starts_with("web--"),
        "{main}"
    );
    assert!(track.starts_with("web--v2-"), "{track}");
    let binding = get("ReleaseBinding", "web--v2-development");
    let owner = json!({"projectName": "shop", "componentName": "web", "trackName": "v2"});
    assert_eq!(binding["spec"]["owner"], owner);
    assert_eq!(binding["spec"]["releaseName"], track.as_str());
    assert_eq!(
        binding["metadata"]["labels"]["openchoreo.dev/track"], "v2",
        "what belongs to a track is found by its label"
    );
    let bound = &get("ReleaseBinding", "web-development")["spec"];
    assert_eq!(bound["releaseName"], main.as_str());
    assert_eq!(
        get("RenderedRelease", "web--v2-development")["spec"]["owner"],
        owner
    );
    assert_eq!(
        get("DeploymentTrack", "web--v2")["status"]["environments"],
        json!([{"name": "development", "release": track}])
    );
}

#[test]
fn a_track_is_nothing_to_the_main_line() {
    let keys = [("Component", "web"), ("DeploymentTrack", "web--v2")];
    let mut beside = World::new(&shop_with_track());
    beside.settle(&keys);
    let mut alone = World::new(&shop());
    alone.settle(&keys[..1]);
    let told = |world: &mut World| {
        let decision = world.decide("Component", "web");
        let writes: Vec<String> = decision.writes.iter().map(words).collect();
        (writes, decision.status)
    };
    assert_eq!(told(&mut beside), told(&mut alone));
    let decision = beside.decide("Component", "web");
    let of_track = |key: &Key| key.name.contains("--v2");
    let reads = decision.reads.keys();
    let found =
        reads.filter(|read| matches!(read, crate::key::Target::Object(key) if of_track(key)));
    assert_eq!(found.count(), 0, "and does not wake it");
}

#[test]
fn a_track_that_goes_takes_only_its_own() {
    let keys = [("Component", "web"), ("DeploymentTrack", "web--v2")];
    let mut world = World::new(&shop_with_track());
    world.settle(&keys);
    world.add(&deleting(TRACK, "openchoreo.dev/deploymenttrack-cleanup"));
    let decision = world.decide("DeploymentTrack", "web--v2");
    let writes: Vec<String> = decision.writes.iter().map(words).collect();
    assert_eq!(writes.len(), 3, "{writes:?}");
    assert_eq!(writes[0], "delete ReleaseBinding web--v2-development");
    assert!(writes[1].starts_with("delete ComponentRelease web--v2-"));
    assert_eq!(writes[2], "delete Workload web--v2");
    let waits = world.status("DeploymentTrack", "web--v2");
    assert!(
        waits[0].starts_with("Finalizing True DeploymentTrackFinalizing: waiting for"),
        "{waits:?}"
    );
    let gone = deleting(TRACK, "openchoreo.dev/deploymenttrack-cleanup");
    check_writes(
        &gone,
        "DeploymentTrack",
        "web--v2",
        &["finalizers web--v2 []"],
    );
}

#[test]
fn a_component_that_goes_takes_its_tracks() {
    let keys = [("Component", "web"), ("DeploymentTrack", "web--v2")];
    let mut world = World::new(&shop_with_track());
    world.settle(&keys);
    world.add(&deleting(COMPONENT, "openchoreo.dev/component-cleanup"));
    let decision = world.decide("Component", "web");
    let writes: BTreeSet<String> = decision.writes.iter().map(words).collect();
    for one in [
        "delete DeploymentTrack web--v2",
        "delete ReleaseBinding web-development",
        "delete ReleaseBinding web--v2-development",
        "delete Workload web",
        "delete Workload web--v2",
    ] {
        assert!(writes.contains(one), "{one} is not among {writes:?}");
    }
    assert_eq!(decision.writes.len(), 7, "each once, with both releases");
}

#[test]
fn a_binding_of_one_line_takes_no_release_of_another() {
    let mut world = World::new(&shop_with_track());
    world.settle(&[("Component", "web"), ("DeploymentTrack", "web--v2")]);
    let release = |world: &World, binding| {
        let binding = &world.stored[&Key::new("ReleaseBinding", "default", binding)];
        binding["spec"]["releaseName"].as_str().unwrap().to_owned()
    };
    let (main, track) = (
        release(&world, "web-development"),
        release(&world, "web--v2-development"),
    );
    for (binding, release, says) in [
        (
            "web-development",
            &track,
            "is of component \"shop/web/v2\", this binding of \"shop/web\"",
        ),
        (
            "web--v2-development",
            &main,
            "is of component \"shop/web\", this binding of \"shop/web/v2\"",
        ),
    ] {
        let mut moved = world.stored[&Key::new("ReleaseBinding", "default", binding)].clone();
        moved["spec"]["releaseName"] = json!(release);
        world.put(moved);
        let status = world.status("ReleaseBinding", binding);
        assert!(status[0].contains(says), "{status:?}");
    }
}

#[test]
fn releases_are_kept_line_by_line() {
    let release = |line: &str, track: &str, number: u32| {
        format!(
            r"
---
apiVersion: openchoreo.dev/v1alpha1
kind: ComponentRelease
metadata:
  name: {line}-{number}
  namespace: default
  creationTimestamp: 2026-01-0{number}T00:00:00Z
spec:
  owner: {{ projectName: shop, componentName: web{track} }}
  componentType: {{ kind: ClusterComponentType, name: deployment/service, spec: {{ workloadType: deployment, resources: [] }} }}
  workload: {{ container: {{ image: i }} }}
"
        )
    };
    let mut yaml = shop_with_track().replace("autoDeploy: true", "releaseHistoryLimit: 1");
    for number in 1..=2 {
        yaml.push_str(&release("web", "", number));
        yaml.push_str(&release("web--v2", ", trackName: v2", number));
    }
    let deleted = |kind, name| {
        let writes = World::new(&yaml).decide(kind, name).writes;
        let mut writes: Vec<String> = writes.iter().map(words).collect();
        writes.retain(|write| write.starts_with("delete"));
        writes
    };
    assert_eq!(
        deleted("Component", "web"),
        ["delete ComponentRelease web-1"]
    );
    assert_eq!(
        deleted("DeploymentTrack", "web--v2"),
        ["delete ComponentRelease web--v2-1"]
    );
}
