//! The scale subresource: a view of an object that shows only its numbers.

use serde_json::{Value, json};

use super::{Call, Edit, Outcome, Part, update};
use crate::{
    convert::in_version,
    object::{at, meta_str, metadata},
    patch::Patch,
    resource::Scale,
    selector,
    status::{Failure, Result},
};

/// The scale of an object.
pub(crate) fn get_scale(call: &Call<'_>) -> Result<Value> {
    let stored = call.core.get(call.kind, call.namespace, call.name)?;
    let object = in_version(call.kind, &stored)?;
    Ok(view(paths(call)?, &object))
}

fn paths<'a>(call: &Call<'a>) -> Result<&'a Scale> {
    call.kind
        .subresources
        .scale
        .as_ref()
        .ok_or_else(Failure::no_route)
}

fn view(scale: &Scale, object: &Value) -> Value {
    let number = |path: &str| at(object, path).and_then(Value::as_i64).unwrap_or(0);
    let mut metadata_view = json!({});
    for name in [
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "creationTimestamp",
    ] {
        if let Some(value) = metadata(object).get(name) {
            metadata_view[name] = value.clone();
        }
    }
    let mut status = json!({"replicas": number(&scale.status_replicas)});
    if let Some(selector) = scale.selector.as_ref().and_then(|path| at(object, path)) {
        status["selector"] = json!(selector::text(selector));
    }
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata_view,
        "spec": {"replicas": number(&scale.spec_replicas)}, "status": status,
    })
}

/// Changes the desired number.
pub(crate) async fn update_scale(call: &mut Call<'_>, edit: Edit) -> Result<Value> {
    let scale = paths(call)?.clone();
    let current = get_scale(call)?;
    let wanted = match edit {
        Edit::Replace(wanted) => wanted,
        Edit::Patch(patch) => patch.apply(call.kind.schema.root(), &current)?,
        Edit::Apply(config) => {
            let replicas = config.pointer("/spec/replicas").cloned();
            return apply_scale(call, &scale, replicas.unwrap_or_default()).await;
        }
    };
    let replicas = wanted
        .pointer("/spec/replicas")
        .and_then(Value::as_i64)
        .filter(|replicas| *replicas >= 0)
        .ok_or_else(|| {
            let given = wanted
                .pointer("/spec/replicas")
                .cloned()
                .unwrap_or_default();
            Failure::invalid_scale(call.name, &given)
        })?;
    let mut patch = nest(&scale.spec_replicas, json!(replicas));
    let version = meta_str(&wanted, "resourceVersion");
    if !version.is_empty() && version != meta_str(&current, "resourceVersion") {
        patch["metadata"] = json!({"resourceVersion": version});
    }
    call.part = Part::Scale;
    changed(call, &scale, Edit::Patch(Patch::Merge(patch))).await
}

/// Applies a number: who applies it comes to own it, as part of the whole object.
async fn apply_scale(call: &mut Call<'_>, scale: &Scale, replicas: Value) -> Result<Value> {
    let mut config = nest(&scale.spec_replicas, replicas);
    config["apiVersion"] = json!(**call.kind.api_version());
    config["kind"] = json!(call.kind.kind);
    call.part = Part::Scale;
    changed(call, scale, Edit::Apply(config)).await
}

async fn changed(call: &mut Call<'_>, scale: &Scale, edit: Edit) -> Result<Value> {
    let (outcome, _) = Box::pin(update(call, edit)).await?;
    let object = match outcome {
        Outcome::Stored(stored) => in_version(call.kind, &stored)?,
        Outcome::Tree(object) => object,
    };
    Ok(view(scale, &object))
}

/// `.spec.replicas` and 3 make `{"spec": {"replicas": 3}}`.
fn nest(path: &str, value: Value) -> Value {
    path.trim_start_matches('.')
        .rsplit('.')
        .fold(value, |value, key| json!({ key: value }))
}
