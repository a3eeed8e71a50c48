//! Configuration groups, as bindings use them.

use serde_json::{Value, json};

use super::*;

const USER: &str = r"
---
apiVersion: openchoreo.dev/v1alpha1
kind: Workload
metadata: { name: web, namespace: default }
spec:
  owner: { projectName: shop, componentName: web }
  container:
    image: example.org/web:1
    filesFrom:
      - { mountPath: /etc/mail, configurationGroupRef: { name: mail } }
  endpoints: { http: { type: HTTP, port: 8080 } }
";

fn group(host: &str) -> Value {
    json!({
        "apiVersion": "openchoreo.dev/v1alpha1", "kind": "ConfigurationGroup",
        "metadata": {"name": "mail", "namespace": "default"},
        "spec": {"configurations": [{"key": "HOST", "value": host}]},
    })
}

/// What the files of the group hold, as they are rendered.
fn rendered(world: &World) -> Vec<Value> {
    let key = Key::new("RenderedRelease", "default", "web-development");
    let resources = world.stored[&key]["spec"]["resources"].as_array().unwrap();
    let objects = resources.iter().map(|one| &one["object"]);
    let maps = objects.filter(|object| object["kind"] == "ConfigMap");
    maps.map(|map| map["data"].clone()).collect()
}

#[test]
fn a_group_is_waited_for_and_followed() {
    let mut world = World::new(&format!("{COMPONENT}{USER}{PROJECT}"));
    world.live(&ALL);
    let told = world.condition("ReleaseBinding", "web-development", "ReleaseSynced");
    assert_eq!(
        told,
        "ReleaseSynced False RenderingFailed: Failed to render resources: \
         ReleaseBinding/web-development: ConfigurationGroup \"mail\", which container.filesFrom \
         uses, is not there"
    );
    let binding = Key::new("ReleaseBinding", "default", "web-development");
    let woken = world.put(group("one"));
    assert!(woken.contains(&binding), "{woken:?}");
    world.live(&ALL);
    assert_eq!(rendered(&world), [json!({"HOST": "one"})]);
    let woken = world.put(group("two"));
    assert!(woken.contains(&binding), "{woken:?}");
    world.live(&ALL);
    assert_eq!(rendered(&world), [json!({"HOST": "two"})]);
}

#[test]
fn the_group_that_was_meant_is_named() {
    let mut world = World::new(&format!("{COMPONENT}{USER}{PROJECT}"));
    let mut other = group("one");
    other["metadata"]["name"] = json!("mails");
    world.put(other);
    world.live(&ALL);
    let told = world.condition("ReleaseBinding", "web-development", "ReleaseSynced");
    assert!(told.ends_with("(did you mean \"mails\"?)"), "{told}");
}
