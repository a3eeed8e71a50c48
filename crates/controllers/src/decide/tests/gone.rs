//! What is deleted although others need it says whom it leaves behind.

use super::*;

/// What the end of an object tells in `world`, and a second look at it.
fn told(world: &mut World, kind: &'static str, namespace: &str, name: &str) -> Vec<String> {
    let key = Key::new(kind, namespace, name);
    let object = world.stored.remove(&key).unwrap();
    let woken = world.index.apply(Change::deleted(&object).unwrap());
    assert!(woken.contains(&key), "{woken:?}");
    let decision = crate::decide::decide(&world.index, &key, Timestamp::UNIX_EPOCH);
    world.index.remember(&key, &decision, Timestamp::UNIX_EPOCH);
    let events = decision.events.into_iter();
    events
        .map(|event| format!("{}: {}", event.reason, event.message))
        .collect()
}

#[track_caller]
fn check(yaml: &str, (kind, namespace, name): (&'static str, &str, &str), users: &str) {
    let mut world = World::new(yaml);
    assert_eq!(
        told(&mut world, kind, namespace, name),
        [format!(
            "DeletedInUse: {kind} \"{name}\" is deleted although {users} named it: what runs goes on, \
             but nothing is released or rendered anew with it until it is there again"
        )]
    );
    // It is told once.
    for mut user in documents(yaml)
        .into_iter()
        .filter(|one| one["kind"] != kind)
    {
        user["metadata"]["labels"] = json!({ "a": "b" });
        let woken = world.put(user);
        assert!(
            !woken.contains(&Key::new(kind, namespace, name)),
            "{woken:?}"
        );
    }
}

/// What the component of the next test uses.
const USED: &str = r"
---
apiVersion: openchoreo.dev/v1alpha1
kind: Trait
metadata: { name: sidecar, namespace: default }
---
apiVersion: openchoreo.dev/v1alpha1
kind: Workflow
metadata: { name: docker, namespace: default }
spec: { runTemplate: {} }
---
apiVersion: openchoreo.dev/v1alpha1
kind: SecretReference
metadata: { name: keys, namespace: default }
spec: { template: {}, data: [{ secretKey: a, remoteRef: { key: a } }] }
---
apiVersion: openchoreo.dev/v1alpha1
kind: SecretReference
metadata: { name: account, namespace: default }
spec: { template: {}, data: [{ secretKey: a, remoteRef: { key: a } }] }
---
apiVersion: openchoreo.dev/v1alpha1
kind: ConfigurationGroup
metadata: { name: mail, namespace: default }
spec:
  configurations: [{ key: k, valueFrom: { secretKeyRef: { name: account, key: a } } }]
";

#[test]
fn types_traits_workflows_and_secrets_name_who_uses_them() {
    let used = format!(
        "{}{}",
        shop()
            .replace(
                "autoDeploy: true",
                "autoDeploy: true
  traits: [{ kind: Trait, name: sidecar, instanceName: a }]
  workflow: { kind: Workflow, name: docker }",
            )
            .replace(
                "image: example.org/web:1",
                "image: example.org/web:1, env: [{ key: A, valueFrom: { secretKeyRef: { name: keys, \
                 key: a } } }], envFrom: [{ configurationGroupRef: { name: mail } }]",
            ),
        USED
    );
    let component = "Component \"web\"";
    let foreign = "Component \"web\" of namespace \"default\"";
    check(&used, ("ClusterComponentType", "", "service"), foreign);
    check(
        &used,
        ("ClusterProjectType", "", "default"),
        "Project \"shop\" of namespace \"default\"",
    );
    check(&used, ("Trait", "default", "sidecar"), component);
    check(&used, ("Workflow", "default", "docker"), component);
    check(
        &used,
        ("SecretReference", "default", "keys"),
        "Workload \"web\"",
    );
    check(
        &used,
        ("ConfigurationGroup", "default", "mail"),
        "Workload \"web\"",
    );
    check(
        &used,
        ("SecretReference", "default", "account"),
        "ConfigurationGroup \"mail\"",
    );
    check(
        &resource::database(),
        ("ResourceType", "default", "database"),
        "Resource \"db\"",
    );
}

#[test]
fn what_nobody_needs_goes_silently() {
    let mut world = World::new("");
    assert_eq!(
        told(&mut world, "ClusterComponentType", "", "service"),
        [""; 0]
    );
    let leaving = COMPONENT.replace(
        "namespace: default",
        "namespace: default, deletionTimestamp: \"2026-01-01T00:00:00Z\"",
    );
    let mut world = World::new(&leaving);
    assert_eq!(
        told(&mut world, "ClusterComponentType", "", "service"),
        [""; 0]
    );
}
