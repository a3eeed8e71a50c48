//! What a change of a configuration group changes, with the types that every platform has.

use choreo_compiler::fleet::Fleet;
use serde_json::{Value, json};

const PLATFORM: &str = "
apiVersion: openchoreo.dev/v1alpha1
kind: DeploymentPipeline
metadata: {name: usual, namespace: default}
spec:
  promotionPaths:
  - {sourceEnvironmentRef: {name: development}, targetEnvironmentRefs: []}
---
apiVersion: openchoreo.dev/v1alpha1
kind: Project
metadata: {name: shop, namespace: default}
spec:
  deploymentPipelineRef: {name: usual}
  type: {kind: ClusterProjectType, name: default}
---
apiVersion: openchoreo.dev/v1alpha1
kind: Component
metadata: {name: web, namespace: default}
spec:
  owner: {projectName: shop}
  autoDeploy: true
  componentType: {kind: ClusterComponentType, name: deployment/worker}
---
apiVersion: openchoreo.dev/v1alpha1
kind: SecretReference
metadata: {name: mail, namespace: default}
spec:
  template: {}
  data:
  - {secretKey: password, remoteRef: {key: mail, property: password}}
";

/// The platform with a container and the configurations of the group `mail`.
fn fleet_of(container: &Value, configurations: &Value) -> Fleet {
    let of = |kind: &str, name: &str, spec: Value| {
        json!({
            "apiVersion": "openchoreo.dev/v1alpha1", "kind": kind,
            "metadata": {"name": name, "namespace": "default"}, "spec": spec,
        })
    };
    let mut container = container.clone();
    container["image"] = json!("web:1");
    let mut manifests: Vec<Value> = choreo_model::defaults()
        .iter()
        .map(|one| one.yaml)
        .chain([PLATFORM])
        .flat_map(|yaml| serde_saphyr::from_multiple::<Value>(yaml).expect("YAML"))
        .collect();
    let owner = json!({"projectName": "shop", "componentName": "web"});
    manifests.push(of(
        "Workload",
        "web",
        json!({"owner": owner, "container": container}),
    ));
    manifests.push(of(
        "ConfigurationGroup",
        "mail",
        json!({"configurations": configurations}),
    ));
    let mut fleet = Fleet::read(manifests);
    fleet.bind_cells();
    fleet.settle();
    fleet
}

/// The same, when nothing is wrong with it.
fn fleet(container: &Value, configurations: &Value) -> Fleet {
    let fleet = fleet_of(container, configurations);
    assert!(fleet.problems().is_empty(), "{:?}", fleet.problems());
    fleet
}

/// The objects of the component, by kind and name.
fn rendered(container: &Value, configurations: &Value) -> Vec<(String, Value)> {
    let fleet = fleet(container, configurations);
    let bindings = fleet.render();
    let web = bindings.iter().find(|one| one.name == "web-development");
    let compiled = &web.expect("a binding").compiled;
    assert!(
        compiled.diagnostics.is_empty(),
        "{:?}",
        compiled.diagnostics
    );
    let objects = compiled.objects.iter();
    objects
        .map(|one| (one.id.clone(), Value::from(&one.object)))
        .collect()
}

/// The kinds of the objects that differ when the value of a key changes from one to the other.
fn changed(container: &Value, before: &Value, after: &Value) -> Vec<String> {
    let one = |value: &Value| {
        let mut one = value.clone();
        one["key"] = json!("HOST");
        rendered(container, &json!([one, {"key": "PORT", "value": "25"}]))
    };
    let (before, after) = (one(before), one(after));
    let names = |all: &[(String, Value)]| all.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>();
    assert_eq!(names(&before), names(&after));
    let pairs = before.iter().zip(&after);
    pairs
        .filter(|(before, after)| before != after)
        .map(|((_, object), _)| object["kind"].as_str().expect("a kind").to_owned())
        .collect()
}

fn plain(value: &str) -> Value {
    json!({"value": value})
}

#[test]
fn a_change_replaces_pods_only_where_it_was_asked_for() {
    for (restart, expected) in [
        (false, ["ConfigMap"].as_slice()),
        (true, &["ConfigMap", "Deployment"]),
    ] {
        let group = json!({"name": "mail", "restartOnChange": restart});
        let key = json!({"name": "mail", "key": "HOST", "restartOnChange": restart});
        for container in [
            json!({"envFrom": [{"configurationGroupRef": group}]}),
            json!({"filesFrom": [{"mountPath": "/etc/mail", "configurationGroupRef": group}]}),
            json!({"env": [{"key": "A", "valueFrom": {"configurationGroupRef": key}}]}),
            json!({"files": [{
                "key": "a", "mountPath": "/etc/mail", "valueFrom": {"configurationGroupRef": key},
            }]}),
        ] {
            let found = changed(&container, &plain("one"), &plain("two"));
            assert_eq!(found, expected, "{container}");
        }
    }
}

#[test]
fn secret_values_are_named_and_never_held() {
    let one = json!({
        "key": "PASSWORD",
        "valueFrom": {"secretKeyRef": {"name": "mail", "key": "password"}},
    });
    let container = json!({
        "envFrom": [{"configurationGroupRef": {"name": "mail"}, "prefix": "MAIL_"}],
        "filesFrom": [{"mountPath": "/etc/mail/", "configurationGroupRef": {"name": "mail"}}],
    });
    let objects = rendered(
        &container,
        &json!([one, {"key": "HOST", "value": "mail.test"}]),
    );
    let of = |kind: &str| -> Vec<&Value> {
        let all = objects.iter().map(|(_, object)| object);
        all.filter(|object| object["kind"] == kind).collect()
    };
    let keys: Vec<&str> = of("ExternalSecret")
        .iter()
        .map(|one| one["spec"]["data"][0]["secretKey"].as_str().expect("a key"))
        .collect();
    assert_eq!(keys, ["MAIL_PASSWORD", "PASSWORD"]);
    let pods = &of("Deployment")[0]["spec"]["template"]["spec"];
    let from = pods["containers"][0]["envFrom"].as_array().expect("a list");
    assert_eq!(from.len(), 2, "{from:?}");
    let sources = &pods["volumes"][0]["projected"]["sources"];
    assert_eq!(sources.as_array().map(Vec::len), Some(2), "{sources}");
    assert_eq!(
        pods["containers"][0]["volumeMounts"][0]["mountPath"],
        "/etc/mail"
    );
}

#[test]
fn the_way_of_a_value_leads_to_the_group() {
    let container = json!({
        "env": [{"key": "A", "valueFrom": {"configurationGroupRef": {"name": "mail", "key": "HOST"}}}],
        "filesFrom": [{"mountPath": "/etc/mail", "configurationGroupRef": {"name": "mail"}}],
    });
    let fleet = fleet(&container, &json!([{"key": "HOST", "value": "mail.test"}]));
    let bindings = fleet.render();
    let web = bindings.iter().find(|one| one.name == "web-development");
    let explained = fleet.explain(web.expect("a binding")).expect("a binding");
    let mut told = Vec::new();
    for (index, object) in explained.objects().iter().enumerate() {
        if object.object["kind"] == "ConfigMap" {
            let leaves = explained.leaves(index, "/data");
            told.extend(leaves.iter().map(ToString::to_string));
        }
    }
    told.sort();
    assert_eq!(
        told,
        [
            "data.A is \"mail.test\": set by Workload/web in \
             spec.container.env[0].valueFrom.configurationGroupRef, and set by \
             ConfigurationGroup/mail in spec.configurations[0].value",
            "data.HOST is \"mail.test\": part of the object in which the platform keeps files of \
             configuration groups, and set by Workload/web in \
             spec.container.filesFrom[0].configurationGroupRef, and set by \
             ConfigurationGroup/mail in spec.configurations[0].value",
        ]
    );
}

#[test]
fn what_is_missing_is_found_in_files() {
    let container = json!({
        "env": [{"key": "A", "valueFrom": {"configurationGroupRef": {"name": "mail", "key": "HSOT"}}}],
        "envFrom": [{"configurationGroupRef": {"name": "mial"}}],
    });
    let fleet = fleet_of(
        &container,
        &json!([{"key": "HOST", "value": "", "values": [
            {"environment": "developmnt", "value": "x"},
        ]}]),
    );
    let problems = fleet.problems().into_iter();
    let told: Vec<String> = problems.map(|(_, one)| one.to_string()).collect();
    assert_eq!(
        told,
        [
            "Workload/web spec.container.env[0].valueFrom.configurationGroupRef: \
             ConfigurationGroup \"mail\" has no key \"HSOT\", which it uses (did you mean \
             \"HOST\"?)",
            "Workload/web spec.container.envFrom[0].configurationGroupRef.name: \
             ConfigurationGroup \"mial\", which it uses, is not there (did you mean \"mail\"?)",
            "ConfigurationGroup/mail spec.configurations[0].values[0].environment: Environment \
             \"developmnt\" not found (did you mean \"development\"?)",
        ]
    );
}

#[test]
fn what_the_container_names_itself_counts_more_and_later_groups_count_more() {
    let configurations = json!([
        {"key": "HOST", "value": "of the group"}, {"key": "PORT", "value": "25"},
    ]);
    let container = json!({
        "env": [{"key": "PORT", "value": "own"}],
        "envFrom": [
            {"configurationGroupRef": {"name": "mail"}},
            {"configurationGroupRef": {"name": "mail", "restartOnChange": true}},
        ],
    });
    let objects = rendered(&container, &configurations);
    let maps: Vec<&Value> = objects
        .iter()
        .filter(|(_, object)| object["kind"] == "ConfigMap")
        .map(|(_, object)| &object["data"])
        .collect();
    assert_eq!(maps, [&json!({"HOST": "of the group", "PORT": "own"})]);
}
