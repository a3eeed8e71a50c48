//! Bindings of projects: their cells.

use super::*;

const PRB: &str = "ProjectReleaseBinding";
const NAME: &str = "shop-development";
const KEYS: [(&str, &str); 2] = [("Project", "shop"), (PRB, NAME)];

fn binding(release: &str) -> String {
    format!(
        "
---
apiVersion: openchoreo.dev/v1alpha1
kind: ProjectReleaseBinding
metadata: {{ name: shop-development, namespace: default }}
spec: {{ owner: {{ projectName: shop }}, environment: development, projectRelease: {release} }}
"
    )
}

const RELEASE: &str = r"
---
apiVersion: openchoreo.dev/v1alpha1
kind: ProjectRelease
metadata: { name: shop-1, namespace: default }
spec:
  owner: { projectName: shop }
  projectType:
    kind: ProjectType
    name: default
    spec:
      resources:
        - id: settings
          template:
            apiVersion: v1
            kind: ConfigMap
            metadata: { name: settings, namespace: '${metadata.namespace}' }
";

/// What the binding says, in a world of the defaults and `yaml`.
fn said(yaml: &str) -> Vec<String> {
    World::new(yaml).status(PRB, NAME)
}

#[test]
fn a_binding_says_what_it_lacks() {
    let check = |yaml: &str, expected: &str| {
        let unknown = "Unknown SyncedNotReady: The release is not rendered";
        assert_eq!(
            said(yaml),
            [
                format!("Synced False {expected}"),
                format!("NamespaceReady {unknown}"),
                format!("ResourcesReady {unknown}"),
                format!("Ready False {expected}"),
            ]
        );
    };
    check(
        &binding("''"),
        "ProjectReleaseNotSet: spec.projectRelease is unset; it is filled as soon as the Project \
         has a release",
    );
    check(
        &binding("shop-1"),
        "ProjectReleaseNotFound: ProjectRelease \"shop-1\" not found",
    );
    let bound = format!("{}{RELEASE}", binding("shop-1"));
    let foreign = RELEASE.replace("projectName: shop", "projectName: other");
    check(
        &format!("{}{foreign}", binding("shop-1")),
        "InvalidReleaseConfiguration: ProjectRelease \"shop-1\" is of project \"other\", this \
         binding of \"shop\"",
    );
    check(
        &bound.replace("environment: development", "environment: absent"),
        "EnvironmentNotFound: Environment \"absent\" not found",
    );
    check(&bound, "ProjectNotFound: Project \"shop\" not found");
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
    let said_by = |yaml: &str| said(&format!("{yaml}{PROJECT}")).remove(0);
    let missing = said_by(&bound);
    assert!(
        missing.starts_with("Synced False NamespaceMissing"),
        "{missing}"
    );
    let broken = said_by(&bound.replace("name: settings", "name: '${metadata.absent}'"));
    assert!(
        broken.starts_with("Synced False RenderingFailed"),
        "{broken}"
    );
}

#[test]
fn a_release_of_another_is_not_taken_over() {
    let mut world = World::new(PROJECT);
    let name = choreo_model::names::project_rendered_release("shop", "development");
    world.add(&format!(
        "
apiVersion: openchoreo.dev/v1alpha1
kind: RenderedRelease
metadata: {{ name: {name}, namespace: default }}
spec: {{ owner: {{ projectName: shop }}, environmentName: development }}
"
    ));
    world.live(&KEYS);
    let said = world.condition(PRB, NAME, "Synced");
    assert!(
        said.starts_with("Synced False ReleaseOwnershipConflict"),
        "{said}"
    );
}

/// What the binding says when the objects of its cell are so, and what became of applying them.
fn says(world: &mut World, health: &str, applied: Option<&str>) -> [String; 3] {
    let name = choreo_model::names::project_rendered_release("shop", "development");
    let mut rendered = world.stored[&Key::new("RenderedRelease", "default", &name)].clone();
    let condition = applied.map(|reason| {
        json!({
            "type": "ResourcesApplied", "status": "False", "reason": reason, "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        })
    });
    rendered["status"] = json!({
        "observedGeneration": 1,
        "conditions": condition.into_iter().collect::<Vec<_>>(),
        "resources": [{
            "id": "namespace", "version": "v1", "kind": "Namespace", "name": "cell",
            "healthStatus": health,
        }],
    });
    world.put(rendered);
    world.live(&KEYS);
    ["NamespaceReady", "ResourcesReady", "Ready"].map(|type_| {
        let said = world.condition(PRB, NAME, type_);
        let told = said.split(':').next().unwrap_or_default();
        told.trim_start_matches(type_).trim().to_owned()
    })
}

#[test]
fn a_cell_is_as_ready_as_its_namespace() {
    let mut world = World::new(PROJECT);
    world.live(&[("Project", "shop")]);
    let created = world.status(PRB, NAME);
    assert!(created[0].starts_with("Synced True ReleaseCreated"));
    assert!(created[1].starts_with("NamespaceReady False NamespaceProgressing"));
    world.live(&KEYS);
    let mut check = |health: &str, applied: Option<&str>, namespace: &str, resources: &str| {
        let ready = match namespace {
            "True NamespaceReady" => "True Ready",
            other => other,
        };
        assert_eq!(
            says(&mut world, health, applied),
            [namespace, resources, ready]
        );
    };
    let progressing = "False NamespaceProgressing";
    let still = "False ResourcesProgressing";
    let refused = "False ResourceApplyFailed";
    check(
        "Healthy",
        None,
        "True NamespaceReady",
        "True ResourcesReady",
    );
    check("Progressing", None, progressing, still);
    check("Unknown", None, progressing, "False ResourcesUnknown");
    let broken = "False NamespaceDegraded";
    check("Degraded", None, broken, "False ResourcesDegraded");
    check("Healthy", Some("ApplyPending"), progressing, still);
    check("Healthy", Some("ApplyFailed"), refused, refused);
}

#[test]
fn a_failing_write_is_told() {
    let mut world = World::new(PROJECT);
    world.live(&KEYS);
    world
        .index
        .fail(&Key::new(PRB, "default", NAME), "forbidden".to_owned());
    assert_eq!(
        world.status(PRB, NAME)[0],
        "Synced False ReleaseUpdateFailed: forbidden"
    );
}
