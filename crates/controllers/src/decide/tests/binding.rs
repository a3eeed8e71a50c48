//! Bindings: rendered, and put on a plane.

use super::*;

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
fn a_release_is_not_ready_because_the_one_before_it_was() {
    let mut world = World::new(&shop());
    world.settle(&ALL);
    let key = Key::new("RenderedRelease", "default", "web-development");
    let mut rendered = world.stored[&key].clone();
    rendered["status"] = json!({"observedGeneration": 1, "resources": [{
        "id": "deployment-web", "group": "apps", "version": "v1", "kind": "Deployment",
        "name": "web", "namespace": "cell", "healthStatus": "Healthy",
    }]});
    world.put(rendered);
    let ready = |world: &mut World| world.status("ReleaseBinding", "web-development").pop();
    assert!(ready(&mut world).unwrap().starts_with("Ready True"));
    world.add(&WORKLOAD.replace("web:1", "web:2"));
    for write in world.decide("Component", "web").writes {
        world.act(&write);
    }
    let said = ready(&mut world).unwrap();
    assert!(
        said.starts_with("Ready False ResourcesProgressing"),
        "{said}"
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
    let is_placed = |write: &&Write| matches!(write, Write::Place { key, .. } if key.home == 0);
    let applied = decision.writes.iter().filter(is_placed);
    assert_eq!(applied.count(), 4, "Deployment, Service, two policies");
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

const BINDING: &str = r"
---
apiVersion: openchoreo.dev/v1alpha1
kind: ReleaseBinding
metadata: { name: web-development, namespace: default }
spec:
  owner: { projectName: shop, componentName: web }
  environment: development
  releaseName: web-1
";

const RELEASE: &str = r"
---
apiVersion: openchoreo.dev/v1alpha1
kind: ComponentRelease
metadata: { name: web-1, namespace: default }
spec:
  owner: { projectName: shop, componentName: web }
  componentType:
    kind: ComponentType
    name: deployment/plain
    spec:
      workloadType: deployment
      resources:
        - id: deployment
          template:
            apiVersion: apps/v1
            kind: Deployment
            metadata: { name: '${metadata.name}', namespace: '${metadata.namespace}' }
            spec: {}
  workload: { container: { image: example.org/web:1 } }
";

#[test]
fn a_binding_says_what_it_lacks() {
    let check = |yaml: &str, expected: &str| {
        let said = World::new(yaml).status("ReleaseBinding", "web-development");
        assert_eq!(
            said,
            [
                format!("ReleaseSynced False {expected}"),
                format!("Ready False {expected}"),
            ]
        );
    };
    check(
        &BINDING.replace("releaseName: web-1", "releaseName: ''"),
        "ComponentReleaseNotSet: spec.releaseName is unset; name a ComponentRelease to deploy this \
         binding",
    );
    check(
        BINDING,
        "ComponentReleaseNotFound: ComponentRelease \"web-1\" not found",
    );
    let foreign = RELEASE.replace("componentName: web ", "componentName: api ");
    check(
        &format!("{BINDING}{foreign}"),
        "InvalidReleaseConfiguration: ComponentRelease \"web-1\" is of component \"shop/api\", this \
         binding of \"shop/web\"",
    );
    let bound = format!("{BINDING}{RELEASE}");
    check(
        &bound.replace("environment: development", "environment: absent"),
        "EnvironmentNotFound: Environment \"absent\" not found",
    );
    let plane = r"
---
apiVersion: openchoreo.dev/v1alpha1
kind: Environment
metadata: { name: development, namespace: default }
spec: { dataPlaneRef: { kind: DataPlane, name: absent } }
";
    check(
        &format!("{bound}{plane}"),
        "DataPlaneNotFound: DataPlane \"absent\" not found",
    );
    check(&bound, "ComponentNotFound: Component \"web\" not found");
    check(
        &format!("{COMPONENT}{bound}"),
        "ProjectNotFound: Project \"shop\" not found",
    );
}

#[test]
fn a_binding_that_cannot_be_rendered_says_why() {
    let said = |yaml: &str| {
        let mut world = World::new(yaml);
        world.status("ReleaseBinding", "web-development").remove(0)
    };
    let all = format!("{COMPONENT}{BINDING}{RELEASE}{PROJECT}");
    let fine = said(&all);
    assert!(
        fine.starts_with("ReleaseSynced True ReleaseSynced"),
        "{fine}"
    );
    let broken = said(&all.replace("'${metadata.name}'", "'${metadata.absent}'"));
    assert!(
        broken.starts_with("ReleaseSynced False RenderingFailed"),
        "{broken}"
    );
    let foreign = r"
---
apiVersion: openchoreo.dev/v1alpha1
kind: RenderedRelease
metadata: { name: web-development, namespace: default }
spec:
  owner: { projectName: shop, componentName: web }
  environmentName: development
";
    let taken = said(&format!("{all}{foreign}"));
    assert!(
        taken.starts_with("ReleaseSynced False ReleaseOwnershipConflict"),
        "{taken}"
    );
}

#[test]
fn what_cannot_be_written_is_told() {
    let mut world = World::new(&shop());
    world.settle(&ALL);
    let key = Key::new("ReleaseBinding", "default", "web-development");
    world.index.fail(&key, "forbidden".to_owned());
    let said = |world: &mut World| world.status("ReleaseBinding", "web-development");
    assert_eq!(
        said(&mut world)[0],
        "ReleaseSynced False ReleaseUpdateFailed: forbidden"
    );
    let mut binding = world.stored[&key].clone();
    binding["spec"]["state"] = json!("Undeploy");
    world.put(binding);
    assert_eq!(
        said(&mut world),
        [
            "ReleaseSynced False ReleaseDeletionFailed: forbidden",
            "Ready False ReleaseDeletionFailed: forbidden",
        ]
    );
    world.index.succeed(&key);
    let undeployed = "ResourcesUndeployed: Resources are being undeployed";
    assert_eq!(
        said(&mut world),
        [
            format!("ReleaseSynced False {undeployed}"),
            format!("ResourcesReady False {undeployed}"),
            format!("Ready False {undeployed}"),
        ]
    );
    let component = Key::new("Component", "default", "web");
    world.index.fail(&component, "forbidden".to_owned());
    assert_eq!(
        world.status("Component", "web"),
        ["Ready False AutoDeployFailed: forbidden"]
    );
}
