//! Types, traits and files that mean harm: small to write down, endless to work out. Each has to be
//! refused with a word of why, before it costs much time or memory.
//!
//! `main.rs` beside them holds that they are refused; `choreo-bench` tells what that takes.

mod declared;
mod written;

pub(crate) use declared::{objects, references, schemas, traits, values};
pub(crate) use written::{expressions, files, memory, mistakes, patterns, texts};

use serde_json::{Map, Value, json};

/// Something that means harm.
pub(crate) struct Hostile {
    /// What it is called, in words joined by dashes.
    pub(crate) name: &'static str,
    /// What is applied.
    pub(crate) given: Given,
    /// What the refusal says, among other things.
    pub(crate) refusal: &'static str,
}

/// What is applied.
pub(crate) enum Given {
    /// A file, as it is read.
    Text(String),
    /// Objects, which are checked and rendered.
    Objects(Vec<Value>),
}

fn hostile(name: &'static str, given: Given, refusal: &'static str) -> Hostile {
    Hostile {
        name,
        given,
        refusal,
    }
}

/// `body` where `x` was `seed` and then, again and again, `next` of what it was.
fn doubled(seed: &str, times: usize, next: &str, body: &str) -> String {
    let inner = (0..times).fold(body.to_owned(), |inner, _| {
        format!("cel.bind(x, {next}, {inner})")
    });
    format!("cel.bind(x, {seed}, {inner})")
}

/// `body` where `x` is a megabyte of text.
fn megabyte(body: &str) -> String {
    doubled("'xxxxxxxxxxxxxxxx'", 16, "x + x", body)
}

/// `body` again and again, where `x` is a megabyte of text.
fn again(body: &str) -> String {
    megabyte(&format!("lists.range(50000).all(i, {body})"))
}

/// Types with one expression each.
fn of_expressions<const N: usize>(
    cases: [(&'static str, String, &'static str); N],
) -> Vec<Hostile> {
    let cases = cases.into_iter();
    cases
        .map(|(name, expression, refusal)| hostile(name, data(&expression), refusal))
        .collect()
}

/// A type with one expression.
fn data(expression: &str) -> Given {
    template(&json!({"x": format!("${{{expression}}}")}))
}

/// A type with one object that holds `data`.
fn template(data: &Value) -> Given {
    component(json!({"workloadType": "deployment", "resources": [config_map(data)]}))
}

fn config_map(data: &Value) -> Value {
    json!({
        "id": "deployment",
        "template": {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "${metadata.name}", "namespace": "${metadata.namespace}"},
            "data": data,
        },
    })
}

fn defaults(count: usize) -> Map<String, Value> {
    (0..count)
        .map(|index| {
            (
                format!("p{index}"),
                json!({"type": "string", "default": "x"}),
            )
        })
        .collect()
}

/// A component of a type whose parameters have a schema.
fn parameters(schema: &Value, given: Value) -> Given {
    let mut objects = of_type(json!({
        "workloadType": "deployment",
        "parameters": {"openAPIV3Schema": schema},
        "resources": [config_map(&json!({}))],
    }));
    objects[1]["spec"]["parameters"] = given;
    Given::Objects(objects)
}

/// A component of a type.
fn component(spec: Value) -> Given {
    Given::Objects(of_type(spec))
}

/// A component with a trait.
fn with_trait(spec: &Value) -> Given {
    let mut objects = of_type(json!({
        "workloadType": "deployment",
        "allowedTraits": [{"kind": "ClusterTrait", "name": "hostile"}],
        "resources": [config_map(&json!({"list": [0]}))],
    }));
    objects[1]["spec"]["traits"] =
        json!([{"kind": "ClusterTrait", "name": "hostile", "instanceName": "hostile"}]);
    objects.push(json!({
        "apiVersion": "openchoreo.dev/v1alpha1",
        "kind": "ClusterTrait",
        "metadata": {"name": "hostile"},
        "spec": spec,
    }));
    Given::Objects(objects)
}

/// A type that has one trait very many times.
fn many_traits() -> Given {
    let uses: Vec<Value> = (0..10_000)
        .map(|index| json!({"kind": "ClusterTrait", "name": "hostile", "instanceName": format!("a{index}")}))
        .collect();
    let mut objects = of_type(json!({
        "workloadType": "deployment",
        "traits": uses,
        "resources": [config_map(&json!({}))],
    }));
    let schema = json!({"type": "object", "properties": defaults(1_000)});
    objects.push(json!({
        "apiVersion": "openchoreo.dev/v1alpha1",
        "kind": "ClusterTrait",
        "metadata": {"name": "hostile"},
        "spec": {"parameters": {"openAPIV3Schema": schema}},
    }));
    Given::Objects(objects)
}

/// A type, its component, and what else a component needs beside the default platform.
fn of_type(spec: Value) -> Vec<Value> {
    let object = |kind: &str, name: &str, spec: Value| {
        json!({
            "apiVersion": "openchoreo.dev/v1alpha1",
            "kind": kind,
            "metadata": {"name": name, "namespace": "default"},
            "spec": spec,
        })
    };
    let mut type_ = object("ClusterComponentType", "hostile", spec);
    if let Some(metadata) = type_["metadata"].as_object_mut() {
        metadata.remove("namespace");
    }
    let component = json!({
        "owner": {"projectName": "hostile"},
        "autoDeploy": true,
        "componentType": {"kind": "ClusterComponentType", "name": "deployment/hostile"},
    });
    let workload = json!({
        "owner": {"projectName": "hostile", "componentName": "hostile"},
        "container": {"image": "example.org/hostile:1"},
    });
    let project = json!({
        "deploymentPipelineRef": {"name": "default"},
        "type": {"kind": "ClusterProjectType", "name": "default"},
    });
    vec![
        type_,
        object("Component", "hostile", component),
        object("Workload", "hostile", workload),
        object("Project", "hostile", project),
    ]
}
