//! What is refused, and in which words.

use serde_json::{Value, json};

/// Asserts that an object of `kind` with the specification `spec` violates exactly `expected`.
fn check(kind: &str, spec: Value, expected: &[&str]) {
    check_change(kind, None, spec, expected);
}

/// The same, for a change of `old` into `spec`.
fn check_change(kind: &str, old: Option<Value>, spec: Value, expected: &[&str]) {
    let row = crate::find(kind).unwrap();
    let object = |spec: Value| {
        let namespace = (row.scope == crate::Scope::Namespaced).then_some("default");
        json!({
            "apiVersion": row.api_version(),
            "kind": row.kind,
            "metadata": { "name": "it", "namespace": namespace },
            "spec": spec,
        })
    };
    let old = old.map(object);
    let found: Vec<String> = (row.check)(&object(spec), old.as_ref())
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(found, expected);
}

fn component() -> Value {
    json!({
        "owner": { "projectName": "shop" },
        "componentType": { "name": "deployment/service" },
    })
}

fn with(mut value: Value, pointer: &str, new: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    value.pointer_mut(parent).unwrap()[key] = new;
    value
}

#[test]
fn components() {
    check("component", component(), &[]);
    check(
        "component",
        with(component(), "/componentType/name", json!("service")),
        &["spec.componentType.name: \"service\" must match \
           ^(deployment|statefulset|cronjob|job|proxy)/[a-z0-9]([-a-z0-9]*[a-z0-9])?$"],
    );
    let twice = json!([
        { "name": "a", "instanceName": "one" },
        { "kind": "ClusterTrait", "name": "b", "instanceName": "one" },
    ]);
    check(
        "component",
        with(component(), "/traits", twice),
        &["spec.traits[1].instanceName: \"one\" is used twice"],
    );
    let mut moved = with(component(), "/owner/projectName", json!("other"));
    moved["componentType"]["kind"] = json!("ClusterComponentType");
    check_change(
        "component",
        Some(component()),
        moved,
        &[
            "spec.owner: is immutable",
            "spec.componentType: is immutable",
        ],
    );
}

#[test]
fn workloads() {
    let spec = json!({
        "owner": { "projectName": "shop", "componentName": "web" },
        "container": {
            "image": "",
            "env": [
                { "key": "A", "value": "1" },
                { "key": "B" },
                { "key": "C", "value": "1", "valueFrom": { "secretKeyRef": { "name": "s", "key": "k" } } },
            ],
            "files": [{ "key": "f", "mountPath": "/etc", "valueFrom": {} }],
        },
        "endpoints": { "http": { "type": "HTTP", "port": 0 } },
    });
    check(
        "workload",
        spec,
        &[
            "spec.container.image: must not be empty",
            "spec.container.env[1]: needs value or valueFrom",
            "spec.container.env[2]: value and valueFrom are mutually exclusive",
            "spec.container.files[0].valueFrom: needs either secretKeyRef or configurationGroupRef",
            "spec.endpoints[http].port: must be between 1 and 65535",
        ],
    );
}

fn component_type() -> Value {
    json!({
        "workloadType": "deployment",
        "resources": [{
            "id": "deployment",
            "template": {
                "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "${metadata.name}" },
            },
        }],
    })
}

#[test]
fn component_types() {
    check("cct", component_type(), &[]);
    let kind = json!("deployment");
    check(
        "cct",
        with(component_type(), "/resources/0/template/kind", kind),
        &[],
    );
    let rule = json!([{ "rule": "${true}", "message": "never" }]);
    let mut both = with(component_type(), "/validations", rule.clone());
    both["preRenderValidations"] = rule;
    check(
        "ct",
        both,
        &[
            "spec.validations: and preRenderValidations are mutually exclusive; use \
           preRenderValidations",
        ],
    );
    let mut wrong = component_type();
    wrong["resources"][0]["template"]["kind"] = json!("StatefulSet");
    wrong["resources"][0]["template"]["metadata"] = json!({ "namespace": "elsewhere" });
    wrong["resources"][0]["forEach"] = json!("${workload.endpoints}");
    check(
        "ct",
        wrong,
        &[
            "spec.resources[0].var: is required when forEach is set",
            "spec.resources[0].template.metadata.name: is required",
            "spec.resources[0].template.metadata.namespace: must be ${metadata.namespace}",
            "spec.resources: must contain exactly one Deployment, the workloadType; found 0",
            "spec.resources[0].template.kind: StatefulSet is not allowed in a type of workloadType \
             deployment",
        ],
    );
}

#[test]
fn traits() {
    let spec = json!({
        "creates": [{
            "template": { "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": "x" } },
        }],
        "patches": [{
            "target": { "version": "v1", "kind": "Service" },
            "operations": [
                { "op": "remove", "path": "/a", "value": 1 },
                { "op": "add", "path": "/a" },
            ],
        }],
        "removes": [{ "target": { "group": "apps", "version": "v1", "kind": "Deployment" } }],
    });
    check(
        "trait",
        spec,
        &[
            "spec.creates[0].template.kind: a trait may not create a Job; patch the one of the \
             type instead",
            "spec.patches[0].operations[0].value: must not be set when op is remove",
            "spec.patches[0].operations[1].value: is required when op is add or replace",
            "spec.removes[0].target.kind: a trait may not remove a Deployment",
        ],
    );
}

#[test]
fn planes_need_an_identity() {
    let spec = json!({ "clusterAgent": { "clientCA": { "value": "x" } } });
    check("dataplane", spec.clone(), &[]);
    check("clusterdataplane", spec, &["spec.planeID: is required"]);
}

#[test]
fn pipelines_start_somewhere() {
    let path = |from: &str, to: &str| {
        json!({
            "sourceEnvironmentRef": { "name": from }, "targetEnvironmentRefs": [{ "name": to }],
        })
    };
    check(
        "pipeline",
        json!({ "promotionPaths": [path("a", "b"), path("b", "c")] }),
        &[],
    );
    check(
        "pipeline",
        json!({ "promotionPaths": [path("a", "b"), path("b", "a")] }),
        &["spec.promotionPaths: form a circle: no environment is the first of the pipeline"],
    );
}

#[test]
fn releases_never_change() {
    let release = json!({
        "owner": { "projectName": "shop" },
        "projectType": {
            "kind": "ClusterProjectType",
            "name": "default",
            "spec": {
                "resources": [{
                    "id": "cell",
                    "template": { "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "n" } },
                }],
            },
        },
    });
    let changed = with(release.clone(), "/parameters", json!({ "a": 1 }));
    check_change(
        "projectrelease",
        Some(release.clone()),
        release.clone(),
        &[],
    );
    check_change(
        "projectrelease",
        Some(release),
        changed,
        &["spec: is immutable"],
    );
}

#[test]
fn an_environment_keeps_the_plane_it_was_given() {
    let plane = |name: &str| json!({ "dataPlaneRef": { "kind": "DataPlane", "name": name } });
    check_change("environment", Some(json!({})), plane("a"), &[]);
    check_change(
        "environment",
        Some(plane("a")),
        plane("b"),
        &["spec.dataPlaneRef: is immutable"],
    );
}

/// A manifest may leave its namespace to whoever applies it.
#[test]
fn a_kind_is_of_its_scope_without_a_namespace_too() {
    let plane = json!({
        "apiVersion": "openchoreo.dev/v1alpha1",
        "kind": "DataPlane",
        "metadata": { "name": "it" },
        "spec": { "clusterAgent": { "clientCA": { "value": "PEM" } } },
    });
    assert_eq!((crate::find("dp").unwrap().check)(&plane, None), []);
}
