//! Many components: what keeping them in memory takes, planning a change of the type that all of
//! them have, and rendering them all.

use std::time::Instant;

use choreo_compiler::{fleet::Fleet, plan};
use serde_json::{Value, json};

use super::{Trouble, defaults, settled};
use crate::{allocation, figure::Figure};

/// How many components share a project.
const PROJECT: usize = 20;
/// The type that all components have.
const TYPE: &str = "service";
/// How many bindings are planned, one for each component.
const PLANNED: usize = 10_000;
/// How many components are rendered, in every environment of the default pipeline.
const RENDERED: usize = 1_000;

/// Times and memory of fleets.
pub(super) fn measure() -> Result<Vec<Figure>, Trouble> {
    let fleet = settled("fleet", manifests(PLANNED)?)?;
    // A copy allocates what keeping it takes.
    let (copy, allocated) = allocation::of(|| fleet.clone());
    drop(copy);
    let plan = plan(&fleet)?;
    drop(fleet);
    let render = render()?;
    let memory = allocated.map(|allocated| {
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let each = allocated.total / 1e3 / PLANNED as f64;
        Figure::new("snapshot-memory-per-binding", each, "kB").at_most(8.0)
    });
    let times = [
        Figure::new("plan-10000-bindings", plan, "s").at_most(5.0),
        Figure::new("render-1000-components-in-3-environments", render, "s"),
    ];
    Ok(memory.into_iter().chain(times).collect())
}

/// Seconds that planning another version of the type takes, all bindings told.
fn plan(before: &Fleet) -> Result<f64, Trouble> {
    let changed = changed_type()?;
    let start = Instant::now();
    let mut after = before.clone();
    after.apply([changed]);
    after.settle();
    let plan = plan::plan(before, &after);
    let taken = start.elapsed().as_secs_f64();
    if plan.changed == PLANNED {
        Ok(taken)
    } else {
        let message = format!("the plan changes {} bindings", plan.changed);
        Err(Trouble::Input("plan".to_owned(), message))
    }
}

/// Seconds that rendering all components in all environments takes.
fn render() -> Result<f64, Trouble> {
    let mut fleet = settled("fleet", manifests(RENDERED)?)?;
    fleet.bind_everywhere();
    fleet.settle();
    let start = Instant::now();
    let rendered = fleet.render();
    let taken = start.elapsed().as_secs_f64();
    let failed = rendered.iter().find(|one| one.compiled.has_errors());
    match failed {
        None => Ok(taken),
        Some(one) => Err(Trouble::Input(
            one.name.clone(),
            format!("{:?}", one.compiled.diagnostics),
        )),
    }
}

/// A platform with `count` services, most of which call another one of their project.
pub(crate) fn manifests(count: usize) -> Result<impl Iterator<Item = Value>, Trouble> {
    let projects = (0..count.div_ceil(PROJECT)).map(project);
    let components = (0..count).flat_map(|index| [component(index), workload(index)]);
    Ok(defaults()?.into_iter().chain(projects).chain(components))
}

fn project(index: usize) -> Value {
    manifest(
        "Project",
        &format!("project-{index}"),
        &json!({
            "deploymentPipelineRef": {"name": "default"},
            "type": {"kind": "ClusterProjectType", "name": "default"},
        }),
    )
}

fn component(index: usize) -> Value {
    manifest(
        "Component",
        &named(index),
        &json!({
            "owner": {"projectName": format!("project-{}", index / PROJECT)},
            "autoDeploy": true,
            "componentType": {
                "kind": "ClusterComponentType",
                "name": format!("deployment/{TYPE}"),
            },
        }),
    )
}

fn workload(index: usize) -> Value {
    let name = named(index);
    let mut spec = json!({
        "owner": {
            "projectName": format!("project-{}", index / PROJECT),
            "componentName": name,
        },
        "container": {
            "image": format!("example.org/{name}:1"),
            "env": [{"key": "GREETING", "value": format!("hello from {name}")}],
        },
        "endpoints": {"http": {"type": "HTTP", "port": 8080, "visibility": ["external"]}},
    });
    if !index.is_multiple_of(PROJECT) {
        spec["dependencies"] = json!({"endpoints": [{
            "component": named(index - 1),
            "name": "http",
            "visibility": "project",
            "envBindings": {"address": "UPSTREAM_URL"},
        }]});
    }
    manifest("Workload", &name, &spec)
}

/// The name of a component; its workload has it too.
pub(crate) fn named(index: usize) -> String {
    format!("service-{index}")
}

fn manifest(kind: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "openchoreo.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "default"},
        "spec": spec,
    })
}

/// The type of all components with another field in its Deployment.
pub(crate) fn changed_type() -> Result<Value, Trouble> {
    let mut manifests = defaults()?.into_iter();
    let mut type_ = manifests
        .find(|one| one["kind"] == "ClusterComponentType" && one["metadata"]["name"] == TYPE)
        .ok_or_else(|| Trouble::Input(TYPE.to_owned(), "no such type".to_owned()))?;
    type_["spec"]["resources"][0]["template"]["spec"]["revisionHistoryLimit"] = json!(5);
    Ok(type_)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fleets_settle_and_render() {
        let fleet = settled("fleet", manifests(PROJECT + 1).unwrap()).unwrap();
        assert_eq!(fleet.bindings().count(), PROJECT + 1);
        let rendered = fleet.render();
        assert!(rendered.iter().all(|one| !one.compiled.has_errors()));
        assert!(
            rendered
                .iter()
                .all(|one| one.compiled.pending_connections.is_empty())
        );
    }
}
