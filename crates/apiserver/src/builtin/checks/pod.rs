//! Rules of pods and of what is inside pod templates.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    super::read::{at, has, int, list, members, text},
    broken, labels, names, one_of, port, port_or_name,
    projected::projected,
};
use crate::schema::{Cause, quantity_value};

pub(in crate::builtin) fn pod(object: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    spec(&mut causes, at(object, "spec"), "spec");
    let new = at(object, "spec");
    if old.is_none() && !list(new, "ephemeralContainers").is_empty() {
        let words = "cannot be set on create";
        causes.push(Cause::forbidden("spec.ephemeralContainers", words));
    }
    if old
        .map(|old| at(old, "spec"))
        .is_some_and(|old| frozen(new, old) != *old)
    {
        causes.push(Cause::forbidden("spec", CHANGES));
    }
    causes
}

pub(super) const CHANGES: &str = "pod updates may not change fields other than `spec.containers[*].image`,\
    `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions \
    to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it \
    was previously negative)";

/// The new spec with what may change put back to what it was.
fn frozen(new: &Value, old: &Value) -> Value {
    let mut frozen = new.clone();
    for path in ["containers", "initContainers"] {
        let before = list(old, path);
        let after = frozen
            .get_mut(path)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten();
        for (container, before) in after.zip(before) {
            container["image"] = before.get("image").cloned().unwrap_or_default();
        }
    }
    let Some(fields) = frozen.as_object_mut() else {
        return frozen;
    };
    let mut free = vec![
        "activeDeadlineSeconds",
        "tolerations",
        "terminationGracePeriodSeconds",
        // Their own rules say how they change.
        "ephemeralContainers",
        "schedulingGates",
    ];
    if text(old, "nodeName").is_empty() {
        free.push("nodeName");
    }
    for key in free {
        match old.get(key) {
            Some(before) => fields.insert(key.to_owned(), before.clone()),
            None => fields.remove(key),
        };
    }
    frozen
}

/// Rules of a pod template.
pub(super) fn template(causes: &mut Vec<Cause>, object: &Value, path: &str) {
    let template = at(object, path);
    labels(
        causes,
        at(template, "metadata.labels"),
        &format!("{path}.metadata.labels"),
    );
    spec(causes, at(template, "spec"), &format!("{path}.spec"));
    if !list(at(template, "spec"), "ephemeralContainers").is_empty() {
        let field = format!("{path}.spec.ephemeralContainers");
        let words = "ephemeral containers not allowed in pod template";
        causes.push(Cause::forbidden(&field, words));
    }
}

fn spec(causes: &mut Vec<Cause>, spec: &Value, path: &str) {
    let containers = list(spec, "containers");
    if containers.is_empty() && spec.is_object() && has(spec, "containers") {
        causes.push(Cause::required(&format!("{path}.containers"), ""));
    }
    let policies = ["Always", "OnFailure", "Never"];
    one_of(
        causes,
        &format!("{path}.restartPolicy"),
        text(spec, "restartPolicy"),
        &policies,
    );
    let policies = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
    one_of(
        causes,
        &format!("{path}.dnsPolicy"),
        text(spec, "dnsPolicy"),
        &policies,
    );
    if int(spec, "terminationGracePeriodSeconds") < 0 {
        let field = format!("{path}.terminationGracePeriodSeconds");
        let words = "must be greater than or equal to 0";
        causes.push(Cause::invalid(
            &field,
            at(spec, "terminationGracePeriodSeconds"),
            words,
        ));
    }
    let volumes = volumes(causes, spec, path);
    let mut seen = BTreeSet::new();
    for kind in ["initContainers", "containers"] {
        for (position, one) in list(spec, kind).iter().enumerate() {
            let field = format!("{path}.{kind}[{position}]");
            name(causes, &mut seen, one, &field);
            container(causes, one, &field, &volumes);
        }
    }
}

/// A name that is a label and unique.
pub(super) fn name<'a>(
    causes: &mut Vec<Cause>,
    seen: &mut BTreeSet<&'a str>,
    one: &'a Value,
    path: &str,
) {
    let field = format!("{path}.name");
    let name = text(one, "name");
    if name.is_empty() {
        if has(one, "name") {
            causes.push(Cause::required(&field, ""));
        }
        return;
    }
    broken(causes, &field, name, names::label(name));
    if !seen.insert(name) {
        causes.push(Cause::duplicate(&field, &Value::from(name)));
    }
}

pub(super) fn volumes<'a>(
    causes: &mut Vec<Cause>,
    spec: &'a Value,
    path: &str,
) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    for (position, volume) in list(spec, "volumes").iter().enumerate() {
        let field = format!("{path}.volumes[{position}]");
        name(causes, &mut seen, volume, &field);
        let keys = volume.as_object().into_iter().flatten().map(|(key, _)| key);
        for extra in keys.filter(|key| *key != "name").skip(1) {
            let field = format!("{field}.{extra}");
            causes.push(Cause::forbidden(
                &field,
                "may not specify more than 1 volume type",
            ));
        }
        projected(
            causes,
            at(volume, "projected"),
            &format!("{field}.projected"),
        );
        if has(volume, "persistentVolumeClaim")
            && text(volume, "persistentVolumeClaim.claimName").is_empty()
        {
            causes.push(Cause::required(
                &format!("{field}.persistentVolumeClaim.claimName"),
                "",
            ));
        }
    }
    seen
}

pub(super) fn container(
    causes: &mut Vec<Cause>,
    one: &Value,
    path: &str,
    volumes: &BTreeSet<&str>,
) {
    let image = text(one, "image");
    if image.is_empty() {
        causes.push(Cause::required(&format!("{path}.image"), ""));
    } else if image.trim() != image {
        let words = "must not have leading or trailing whitespace";
        causes.push(Cause::invalid(
            &format!("{path}.image"),
            &Value::from(image),
            words,
        ));
    }
    let policies = ["Always", "IfNotPresent", "Never"];
    one_of(
        causes,
        &format!("{path}.imagePullPolicy"),
        text(one, "imagePullPolicy"),
        &policies,
    );
    ports(causes, one, path);
    environment(causes, one, path);
    mounts(causes, one, path, volumes);
    resources(causes, one, path);
    for kind in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if has(one, kind) {
            probe(
                causes,
                at(one, kind),
                &format!("{path}.{kind}"),
                kind != "readinessProbe",
            );
        }
    }
}

fn ports(causes: &mut Vec<Cause>, container: &Value, path: &str) {
    let mut seen = BTreeSet::new();
    for (position, one) in list(container, "ports").iter().enumerate() {
        let field = format!("{path}.ports[{position}]");
        let name = text(one, "name");
        if !name.is_empty() {
            broken(
                causes,
                &format!("{field}.name"),
                name,
                names::port_name(name),
            );
            if !seen.insert(name) {
                causes.push(Cause::duplicate(
                    &format!("{field}.name"),
                    &Value::from(name),
                ));
            }
        }
        port(
            causes,
            &format!("{field}.containerPort"),
            at(one, "containerPort"),
        );
        if int(one, "hostPort") != 0 {
            port(causes, &format!("{field}.hostPort"), at(one, "hostPort"));
        }
        let protocols = ["SCTP", "TCP", "UDP"];
        one_of(
            causes,
            &format!("{field}.protocol"),
            text(one, "protocol"),
            &protocols,
        );
    }
}

fn environment(causes: &mut Vec<Cause>, container: &Value, path: &str) {
    for (position, variable) in list(container, "env").iter().enumerate() {
        let field = format!("{path}.env[{position}]");
        let name = text(variable, "name");
        if name.is_empty() && has(variable, "name") {
            causes.push(Cause::required(&format!("{field}.name"), ""));
        }
        broken(
            causes,
            &format!("{field}.name"),
            name,
            names::variable(name),
        );
        if !has(variable, "valueFrom") {
            continue;
        }
        let from = format!("{field}.valueFrom");
        let value = at(variable, "valueFrom");
        if !text(variable, "value").is_empty() {
            let words = "may not be specified when `value` is not empty";
            causes.push(Cause::invalid(&from, &Value::from(""), words));
        }
        if value.as_object().is_none_or(|sources| sources.len() != 1) {
            let words = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`";
            causes.push(Cause::invalid(&from, &Value::from(""), words));
        }
    }
}

fn mounts(causes: &mut Vec<Cause>, container: &Value, path: &str, volumes: &BTreeSet<&str>) {
    let mut seen = BTreeSet::new();
    for (position, mount) in list(container, "volumeMounts").iter().enumerate() {
        let field = format!("{path}.volumeMounts[{position}]");
        let name = text(mount, "name");
        if !volumes.contains(name) {
            causes.push(Cause::not_found(
                &format!("{field}.name"),
                &Value::from(name),
            ));
        }
        let at = text(mount, "mountPath");
        if !seen.insert(at) {
            let words = "must be unique";
            causes.push(Cause::invalid(
                &format!("{field}.mountPath"),
                &Value::from(at),
                words,
            ));
        }
        if text(mount, "subPath").split('/').any(|part| part == "..") {
            let sub = Value::from(text(mount, "subPath"));
            causes.push(Cause::invalid(
                &format!("{field}.subPath"),
                &sub,
                "must not contain '..'",
            ));
        }
    }
}

fn resources(causes: &mut Vec<Cause>, container: &Value, path: &str) {
    for (name, request) in members(container, "resources.requests") {
        let limit = container
            .pointer("/resources/limits")
            .and_then(|limits| limits.get(name));
        let (Some(request), Some(limit)) = (request.as_str(), limit.and_then(Value::as_str)) else {
            continue;
        };
        if quantity_value(request) > quantity_value(limit) {
            let words = format!("must be less than or equal to {name} limit of {limit}");
            let field = format!("{path}.resources.requests");
            causes.push(Cause::invalid(&field, &Value::from(request), &words));
        }
    }
}

fn probe(causes: &mut Vec<Cause>, probe: &Value, path: &str, once: bool) {
    let handlers = ["exec", "grpc", "httpGet", "tcpSocket"];
    let given: Vec<&str> = handlers
        .into_iter()
        .filter(|handler| has(probe, handler))
        .collect();
    if given.is_empty() {
        causes.push(Cause::required(path, "must specify a handler type"));
    }
    for extra in given.iter().skip(1) {
        let words = "may not specify more than 1 handler type";
        causes.push(Cause::forbidden(&format!("{path}.{extra}"), words));
    }
    for handler in ["httpGet", "tcpSocket", "grpc"] {
        if let Some(target) = at(probe, handler).get("port") {
            port_or_name(causes, &format!("{path}.{handler}.port"), target);
        }
    }
    let scheme = text(probe, "httpGet.scheme");
    one_of(
        causes,
        &format!("{path}.httpGet.scheme"),
        scheme,
        &["HTTP", "HTTPS"],
    );
    for key in [
        "initialDelaySeconds",
        "timeoutSeconds",
        "periodSeconds",
        "successThreshold",
        "failureThreshold",
    ] {
        if int(probe, key) < 0 {
            let words = "must be greater than or equal to 0";
            causes.push(Cause::invalid(
                &format!("{path}.{key}"),
                at(probe, key),
                words,
            ));
        }
    }
    if once && int(probe, "successThreshold") > 1 {
        let field = format!("{path}.successThreshold");
        causes.push(Cause::invalid(
            &field,
            at(probe, "successThreshold"),
            "must be 1",
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(spec: &Value, wanted: &[(&str, &str)]) {
        let causes = pod(&json!({"spec": spec}), None);
        let found: Vec<_> = causes
            .iter()
            .map(|cause| (cause.field.as_str(), cause.message.as_str()))
            .collect();
        assert_eq!(found, wanted, "{spec}");
    }

    #[test]
    fn what_a_user_meets_first() {
        check(&json!({"containers": [{"name": "a", "image": "i"}]}), &[]);
        check(
            &json!({"containers": [{"name": "a"}]}),
            &[("spec.containers[0].image", "Required value")],
        );
        check(
            &json!({"containers": [{"name": "a", "image": "i"}, {"name": "a", "image": "i"}]}),
            &[("spec.containers[1].name", "Duplicate value: \"a\"")],
        );
        check(
            &json!({"containers": [{"name": "a", "image": "i", "ports": [{"containerPort": 70_000}]}]}),
            &[(
                "spec.containers[0].ports[0].containerPort",
                "Invalid value: 70000: must be between 1 and 65535, inclusive",
            )],
        );
        check(
            &json!({"containers": [{"name": "a", "image": "i", "volumeMounts": [{"name": "v", "mountPath": "/"}]}]}),
            &[(
                "spec.containers[0].volumeMounts[0].name",
                "Not found: \"v\"",
            )],
        );
        check(
            &json!({"containers": [{"name": "a", "image": "i", "resources": {
                "requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}}]}),
            &[(
                "spec.containers[0].resources.requests",
                "Invalid value: \"2Gi\": must be less than or equal to memory limit of 1Gi",
            )],
        );
        check(
            &json!({"containers": [{"name": "a", "image": "i", "livenessProbe": {"periodSeconds": 1}}]}),
            &[(
                "spec.containers[0].livenessProbe",
                "Required value: must specify a handler type",
            )],
        );
        check(
            &json!({"containers": [{"name": "a", "image": "i"}], "restartPolicy": "Sometimes"}),
            &[(
                "spec.restartPolicy",
                "Unsupported value: \"Sometimes\": supported values: \"Always\", \"OnFailure\", \"Never\"",
            )],
        );
        check(
            &json!({"containers": [{"name": "a", "image": "i"}],
                "volumes": [{"name": "v", "emptyDir": {}, "secret": {}}]}),
            &[(
                "spec.volumes[0].secret",
                "Forbidden: may not specify more than 1 volume type",
            )],
        );
    }

    #[test]
    fn a_running_pod_stays_what_it_is() {
        let old = json!({"spec": {"containers": [{"name": "a", "image": "i"}]}});
        let mut new = old.clone();
        new["spec"]["containers"][0]["image"] = json!("j");
        new["spec"]["nodeName"] = json!("n");
        assert!(pod(&new, Some(&old)).is_empty());
        new["spec"]["containers"][0]["command"] = json!(["x"]);
        assert_eq!(pod(&new, Some(&old))[0].field, "spec");
    }
}
