//! Managed resources: released, bound, rendered, and handed to the components that use them.

use super::*;

pub(super) const TYPE: &str = r"
---
apiVersion: openchoreo.dev/v1alpha1
kind: ResourceType
metadata: { name: database, namespace: default }
spec:
  outputs:
    - { name: host, value: '${metadata.name}' }
    - { name: address, value: '${applied.server.status.address}' }
    - { name: password, secretKeyRef: { name: '${metadata.name}', key: password } }
  resources:
    - id: settings
      template:
        apiVersion: v1
        kind: ConfigMap
        metadata: { name: '${metadata.name}', namespace: '${metadata.namespace}' }
    - id: server
      readyWhen: ${applied.server.status.phase == 'Running'}
      template:
        apiVersion: example.org/v1
        kind: Database
        metadata: { name: '${metadata.name}', namespace: '${metadata.namespace}' }
        spec: { size: '${parameters.size}' }
";

pub(super) const RESOURCE: &str = r"
---
apiVersion: openchoreo.dev/v1alpha1
kind: Resource
metadata: { name: db, namespace: default, finalizers: [openchoreo.dev/resource-cleanup] }
spec:
  owner: { projectName: shop }
  type: { name: database }
  parameters: { size: small }
";

pub(super) const EVERYTHING: [(&str, &str); 4] = [
    ("Project", "shop"),
    ("Resource", "db"),
    ("ResourceReleaseBinding", "db-development"),
    ("ReleaseBinding", "web-development"),
];

const RRB: &str = "ResourceReleaseBinding";

pub(super) fn database() -> String {
    format!("{TYPE}{RESOURCE}{PROJECT}")
}

/// What the binding of development says.
fn says(yaml: &str, expected: &str) {
    let mut world = World::new(yaml);
    let said = world.status(RRB, "db-development");
    let [reason, ..] = expected.split(':').collect::<Vec<_>>()[..] else {
        panic!("no reason")
    };
    assert_eq!(
        said,
        [
            format!("Synced False {expected}"),
            "ResourcesReady Unknown SyncedNotReady: The release is not rendered".to_owned(),
            "OutputsResolved Unknown SyncedNotReady: The release is not rendered".to_owned(),
            format!("Ready False {expected}"),
        ],
        "{reason}"
    );
}

fn binding(release: &str) -> String {
    format!(
        "
---
apiVersion: openchoreo.dev/v1alpha1
kind: ResourceReleaseBinding
metadata: {{ name: db-development, namespace: default }}
spec:
  owner: {{ projectName: shop, resourceName: db }}
  environment: development
  resourceRelease: {release}
"
    )
}

/// A release that somebody made.
const RELEASE: &str = r"
---
apiVersion: openchoreo.dev/v1alpha1
kind: ResourceRelease
metadata: { name: db-1, namespace: default }
spec:
  owner: { projectName: shop, resourceName: db }
  resourceType:
    kind: ResourceType
    name: database
    spec:
      resources:
        - id: settings
          template:
            apiVersion: v1
            kind: ConfigMap
            metadata: { name: '${metadata.name}', namespace: '${metadata.namespace}' }
";

/// Lets the objects of the resource be as `server` says.
pub(super) fn observe(world: &mut World, server: &Value) {
    let name = choreo_model::names::resource_name("db", "development");
    let key = Key::new("RenderedRelease", "default", &name);
    let mut rendered = world.stored[&key].clone();
    let one = |id: &str, kind: &str| {
        json!({
            "id": id, "version": "v1", "kind": kind, "name": id, "namespace": "cell",
            "healthStatus": "Healthy",
        })
    };
    let mut database = one("server", "Database");
    database["status"] = server.clone();
    rendered["status"] = json!({
        "observedGeneration": rendered["metadata"]["generation"],
        "resources": [one("settings", "ConfigMap"), database],
    });
    world.put(rendered);
    world.live(&EVERYTHING);
}

#[test]
fn a_resource_says_what_it_lacks() {
    let check = |yaml: &str, expected: &str| {
        let said = World::new(yaml).status("Resource", "db");
        assert_eq!(said, [format!("Ready False {expected}")]);
    };
    check(
        RESOURCE,
        "ResourceTypeNotFound: ResourceType \"database\" not found",
    );
    check(
        &format!("{TYPE}{RESOURCE}"),
        "ProjectNotFound: Project \"shop\" not found",
    );
    check(
        &database().replace("name: default }\n  type", "name: absent }\n  type"),
        "DeploymentPipelineNotFound: DeploymentPipeline \"absent\" not found",
    );
}

#[test]
fn a_resource_is_released_and_bound_in_every_environment() {
    let mut world = World::new(&database());
    let decision = world.decide("Resource", "db");
    let writes: Vec<String> = decision.writes.iter().map(words).collect();
    assert!(writes[0].starts_with("apply ResourceRelease db-"));
    assert_eq!(
        writes[1..],
        [
            "apply ResourceReleaseBinding db-development",
            "apply ResourceReleaseBinding db-staging",
            "apply ResourceReleaseBinding db-production",
        ]
    );
    assert!(decision.status.unwrap()["latestRelease"].is_null());
    world.live(&[("Resource", "db")]);
    let resource = &world.stored[&Key::new("Resource", "default", "db")];
    let name = resource["status"]["latestRelease"]["name"]
        .as_str()
        .unwrap();
    assert_eq!(format!("apply ResourceRelease {name}"), writes[0]);
    assert!(
        world
            .condition("Resource", "db", "Ready")
            .starts_with("Ready True Reconciled")
    );
}

#[test]
fn the_first_environment_follows_and_the_others_wait_for_promotion() {
    let mut world = World::new(&database());
    world.live(&[("Resource", "db")]);
    let bound = |world: &World| {
        ["development", "staging"].map(|environment| {
            let name = format!("db-{environment}");
            let binding = &world.stored[&Key::new(RRB, "default", &name)];
            let release = &binding["spec"]["resourceRelease"];
            release.as_str().unwrap().to_owned()
        })
    };
    let [first, other] = bound(&world);
    assert_eq!(first, other);
    world.add(&RESOURCE.replace("size: small", "size: large"));
    world.live(&[("Resource", "db")]);
    let [moved, stays] = bound(&world);
    assert_ne!(moved, first);
    assert_eq!(stays, first);
    // Who moves the first binding by hand is obeyed until there is another release.
    world.add(&binding(&first));
    world.live(&[("Resource", "db")]);
    assert_eq!(bound(&world)[0], first);
}

#[test]
fn a_binding_that_names_no_release_is_given_one_once() {
    let yaml = format!(
        "{}{}",
        database(),
        binding("''").replace("development", "staging")
    );
    let mut world = World::new(&yaml);
    world.live(&[("Resource", "db")]);
    let name = |world: &World| {
        let binding = &world.stored[&Key::new(RRB, "default", "db-staging")];
        binding["spec"]["resourceRelease"]
            .as_str()
            .map(str::to_owned)
    };
    let filled = name(&world).unwrap();
    assert!(filled.starts_with("db-"), "{filled}");
    world.add(&RESOURCE.replace("size: small", "size: large"));
    world.live(&[("Resource", "db")]);
    assert_eq!(name(&world).unwrap(), filled);
}

#[test]
fn a_binding_says_what_it_lacks() {
    let resource = RESOURCE.replace("---", "");
    says(
        &binding("''"),
        "ResourceReleaseNotSet: spec.resourceRelease is unset; it is filled as soon as the Resource \
         has a release",
    );
    says(
        &binding("db-1"),
        "ResourceReleaseNotFound: ResourceRelease \"db-1\" not found",
    );
    let foreign = RELEASE.replace("resourceName: db ", "resourceName: other ");
    says(
        &format!("{}{foreign}", binding("db-1")),
        "InvalidReleaseConfiguration: ResourceRelease \"db-1\" is of resource \"shop/other\", this \
         binding of \"shop/db\"",
    );
    let bound = format!("{}{RELEASE}", binding("db-1"));
    says(
        &bound.replace("environment: development", "environment: absent"),
        "EnvironmentNotFound: Environment \"absent\" not found",
    );
    says(&bound, "ResourceNotFound: Resource \"db\" not found");
    says(
        &format!("{bound}---{resource}"),
        "ProjectNotFound: Project \"shop\" not found",
    );
    let broken = bound.replace("'${metadata.name}'", "'${metadata.absent}'");
    let mut world = World::new(&format!("{broken}---{resource}{PROJECT}"));
    let said = world.status(RRB, "db-development");
    assert!(
        said[0].starts_with("Synced False RenderingFailed: Failed to render resources:"),
        "{said:?}"
    );
    let rendered = r"
---
apiVersion: openchoreo.dev/v1alpha1
kind: RenderedRelease
metadata: { name: r-db-development-b8a8f1d9, namespace: default }
spec: { owner: { projectName: shop, resourceName: db }, environmentName: development }
"
    .replace(
        "r-db-development-b8a8f1d9",
        &choreo_model::names::resource_name("db", "development"),
    );
    let mut world = World::new(&format!("{bound}---{resource}{PROJECT}{rendered}"));
    let said = world.status(RRB, "db-development");
    assert!(
        said[0].starts_with("Synced False ReleaseOwnershipConflict"),
        "{said:?}"
    );
}

#[test]
fn an_environment_without_a_plane_is_told() {
    let bound = format!("{}{RELEASE}", binding("db-1"));
    let mut world = World::new(&bound);
    world.add(
        r"
apiVersion: openchoreo.dev/v1alpha1
kind: Environment
metadata: { name: development, namespace: default }
spec: { dataPlaneRef: { kind: DataPlane, name: absent } }
",
    );
    let said = world.status(RRB, "db-development");
    assert_eq!(
        said[0],
        "Synced False DataPlaneNotFound: DataPlane \"absent\" not found"
    );
}

#[test]
fn a_binding_is_ready_when_its_objects_are_and_its_outputs_are_known() {
    let mut world = World::new(&database());
    world.live(&EVERYTHING);
    let conditions = |world: &World| {
        ["Synced", "ResourcesReady", "OutputsResolved", "Ready"]
            .map(|type_| world.condition(RRB, "db-development", type_))
    };
    let said = conditions(&world);
    assert!(said[0].starts_with("Synced True ReleaseSynced"), "{said:?}");
    assert!(said[1].starts_with("ResourcesReady False ResourcesProgressing"));
    assert!(said[2].starts_with("OutputsResolved Unknown ResourcesProgressing"));
    let outputs = |world: &World| {
        let binding = &world.stored[&Key::new(RRB, "default", "db-development")];
        binding["status"]["outputs"].clone()
    };
    let name = choreo_model::names::resource_name("db", "development");
    let secret = json!({ "name": name, "key": "password" });
    assert_eq!(
        outputs(&world),
        json!([
            { "name": "host", "value": name },
            { "name": "password", "secretKeyRef": secret },
        ])
    );
    observe(&mut world, &json!({ "phase": "Starting" }));
    let said = conditions(&world);
    assert!(
        said[3].starts_with(
            "Ready False ResourcesProgressing: Database \"server\" is Progressing: readyWhen does \
             not hold"
        ),
        "{said:?}"
    );
    observe(&mut world, &json!({ "phase": "Running" }));
    let said = conditions(&world);
    assert!(said[1].starts_with("ResourcesReady True ResourcesReady"));
    assert!(
        said[3].starts_with("Ready False OutputResolutionFailed: output \"address\":"),
        "{said:?}"
    );
    observe(
        &mut world,
        &json!({ "phase": "Running", "address": "10.0.0.1" }),
    );
    let said = conditions(&world);
    assert_eq!(
        said[2..],
        [
            "OutputsResolved True OutputsResolved: All 3 outputs are known",
            "Ready True Ready: Everything is ready",
        ]
    );
    assert_eq!(outputs(&world)[1]["value"], "10.0.0.1");
}

/// The workload with a dependency on the database.
fn consumer() -> String {
    format!(
        "{COMPONENT}{}
  dependencies:
    resources:
      - {{ ref: db, envBindings: {{ password: DB_PASSWORD, address: DB_ADDRESS }} }}
",
        WORKLOAD.trim_end()
    )
}

#[test]
fn a_component_waits_for_the_resource_it_uses() {
    let mut world = World::new(&format!("{}{PROJECT}", consumer()));
    let mut all = vec![("Component", "web")];
    all.extend(EVERYTHING);
    let all = all.as_slice();
    let rendered = Key::new("RenderedRelease", "default", "web-development");
    let synced =
        |world: &World| world.condition("ReleaseBinding", "web-development", "ReleaseSynced");
    world.live(&all[..2]);
    world.live(&all[4..]);
    assert_eq!(
        synced(&world),
        "ReleaseSynced False ResourceDependenciesPending: waiting for resource db \
         (ResourceReleaseBinding not found for resource \"db\"); nothing is deployed until then"
    );
    assert_eq!(world.stored.get(&rendered), None);

    world.add(&format!("{TYPE}{RESOURCE}"));
    world.live(all);
    let said = synced(&world);
    assert!(
        said.starts_with(
            "ReleaseSynced False ResourceDependenciesPending: waiting for resource db \
             (ResourceReleaseBinding \"db-development\" is not ready: "
        ),
        "{said}"
    );
    observe(
        &mut world,
        &json!({ "phase": "Running", "address": "10.0.0.1" }),
    );
    let release = world.stored[&rendered].to_string();
    assert!(release.contains("10.0.0.1"), "{release}");
    assert_eq!(
        world.condition(
            "ReleaseBinding",
            "web-development",
            "ResourceDependenciesReady"
        ),
        "ResourceDependenciesReady True AllResourceDependenciesReady: All 1 resource dependencies \
         ready"
    );

    // What runs stays while the resource is not ready.
    observe(&mut world, &json!({ "phase": "Failed" }));
    assert_eq!(world.stored[&rendered].to_string(), release);
    let said = synced(&world);
    assert!(
        said.ends_with("what runs stays as it is until then"),
        "{said}"
    );
}

#[test]
fn a_failing_container_is_the_reason_of_its_resource() {
    let mut world = World::new(&database());
    world.live(&EVERYTHING);
    let name = choreo_model::names::resource_name("db", "development");
    let key = Key::new("RenderedRelease", "default", &name);
    let mut rendered = world.stored[&key].clone();
    rendered["spec"]["resources"][1]["object"]["kind"] = json!("StatefulSet");
    rendered["metadata"]["generation"] = json!(2);
    world.put(rendered);
    let status = |world: &mut World| {
        let key = Key::new("RenderedRelease", "default", &name);
        let decision = crate::decide::decide(&world.index, &key, Timestamp::UNIX_EPOCH);
        world.index.remember(&key, &decision, Timestamp::UNIX_EPOCH);
        decision.status.unwrap()["resources"][1]["message"].clone()
    };
    assert_eq!(status(&mut world), Value::Null);
    let woken = world.put(json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": "db-1", "namespace": "cell", "labels": {
            "openchoreo.dev/namespace": "default", "openchoreo.dev/project": "shop",
            "openchoreo.dev/resource": "db", "openchoreo.dev/environment": "development",
        }},
        "status": { "containerStatuses": [{ "name": "main", "state": { "waiting": {
            "reason": "ImagePullBackOff", "message": "no such image",
        }}}]},
    }));
    assert!(woken.contains(&key));
    assert_eq!(
        status(&mut world),
        "container \"main\": ImagePullBackOff: no such image"
    );
}
