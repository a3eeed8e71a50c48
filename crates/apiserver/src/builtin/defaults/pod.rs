//! Defaults of pods and of what is inside pod templates.

use serde_json::{Value, json};

use super::super::read::{
    existing, fill, fill_text, flag, has, int, items_mut, list, map_at, text,
};

/// Defaults of a pod.
pub(in crate::builtin) fn pod(object: &mut Value, _: Option<&Value>) {
    let Some(spec) = existing(object, "spec") else {
        return;
    };
    pod_spec(spec);
    fill(spec, "enableServiceLinks", true);
    for path in ["containers", "initContainers"] {
        items_mut(spec, path).for_each(requests_from_limits);
    }
}

/// What the server decides of a pod: its account, its importance, how it begins.
pub(in crate::builtin) fn prepare_pod(object: &mut Value, old: Option<&Value>) {
    let Some(spec) = existing(object, "spec") else {
        return;
    };
    fill_text(spec, "serviceAccountName", "default");
    let account = text(spec, "serviceAccountName").to_owned();
    fill_text(spec, "serviceAccount", &account);
    fill(spec, "preemptionPolicy", "PreemptLowerPriority");
    fill(spec, "priority", 0);
    let class = quality(spec);
    if old.is_none() && map_at(object, "status").is_some() {
        fill_text(&mut object["status"], "phase", "Pending");
        fill_text(&mut object["status"], "qosClass", class);
    }
}

/// Defaults of a pod template's pod.
pub(super) fn template(object: &mut Value, path: &str) {
    if let Some(spec) = existing(object, &format!("{path}.spec")) {
        pod_spec(spec);
    }
}

fn pod_spec(spec: &mut Value) {
    fill_text(spec, "restartPolicy", "Always");
    fill_text(spec, "dnsPolicy", "ClusterFirst");
    fill_text(spec, "schedulerName", "default-scheduler");
    fill(spec, "terminationGracePeriodSeconds", 30);
    fill(spec, "securityContext", json!({}));
    let host_network = flag(spec, "hostNetwork");
    for path in ["initContainers", "containers", "ephemeralContainers"] {
        items_mut(spec, path).for_each(|one| container(one, host_network));
    }
    items_mut(spec, "volumes").for_each(volume);
}

fn container(container: &mut Value, host_network: bool) {
    let policy = pull_policy(text(container, "image"));
    fill_text(container, "imagePullPolicy", policy);
    fill_text(container, "terminationMessagePath", "/dev/termination-log");
    fill_text(container, "terminationMessagePolicy", "File");
    fill(container, "resources", json!({}));
    for port in items_mut(container, "ports") {
        fill_text(port, "protocol", "TCP");
        if host_network && int(port, "hostPort") == 0 {
            port["hostPort"] = port.get("containerPort").cloned().unwrap_or_default();
        }
    }
    for variable in items_mut(container, "env") {
        if let Some(reference) = existing(variable, "valueFrom.fieldRef") {
            fill_text(reference, "apiVersion", "v1");
        }
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = existing(container, name) {
            fill_number(probe, "timeoutSeconds", 1);
            fill_number(probe, "periodSeconds", 10);
            fill_number(probe, "successThreshold", 1);
            fill_number(probe, "failureThreshold", 3);
            handler(probe);
        }
    }
    for name in ["lifecycle.postStart", "lifecycle.preStop"] {
        if let Some(hook) = existing(container, name) {
            handler(hook);
        }
    }
}

/// Kubernetes takes zero for unset here.
fn fill_number(value: &mut Value, key: &str, default: i64) {
    if int(value, key) == 0
        && value
            .get(key)
            .is_none_or(|found| found.is_null() || found.is_i64() || found.is_u64())
    {
        value[key] = Value::from(default);
    }
}

fn handler(value: &mut Value) {
    if let Some(get) = existing(value, "httpGet") {
        fill_text(get, "path", "/");
        fill_text(get, "scheme", "HTTP");
    }
    if let Some(grpc) = existing(value, "grpc") {
        fill(grpc, "service", "");
    }
}

/// `latest`, said or meant, is looked for anew at every start.
fn pull_policy(image: &str) -> &'static str {
    let name = image.rsplit('/').next().unwrap_or(image);
    if name.contains('@') {
        return "IfNotPresent";
    }
    match name.split_once(':') {
        None | Some((_, "latest")) => "Always",
        Some(_) => "IfNotPresent",
    }
}

fn volume(volume: &mut Value) {
    let sources = volume.as_object().map_or(0, |members| {
        members.keys().filter(|key| *key != "name").count()
    });
    if sources == 0 {
        fill(volume, "emptyDir", json!({}));
    }
    for source in ["secret", "configMap", "downwardAPI", "projected"] {
        if let Some(source) = existing(volume, source) {
            fill(source, "defaultMode", 0o644);
        }
    }
    if let Some(path) = existing(volume, "hostPath") {
        fill(path, "type", "");
    }
    for source in items_mut(volume, "projected.sources") {
        if let Some(token) = existing(source, "serviceAccountToken") {
            fill_number(token, "expirationSeconds", 3600);
        }
        field_versions(source, "downwardAPI.items");
    }
    field_versions(volume, "downwardAPI.items");
    if let Some(claim) = existing(volume, "ephemeral.volumeClaimTemplate.spec") {
        fill_text(claim, "volumeMode", "Filesystem");
    }
}

fn field_versions(value: &mut Value, path: &str) {
    for item in items_mut(value, path) {
        if let Some(reference) = existing(item, "fieldRef") {
            fill_text(reference, "apiVersion", "v1");
        }
    }
}

/// A limit without a request asks for the limit.
fn requests_from_limits(container: &mut Value) {
    let Some(limits) = container.pointer("/resources/limits").cloned() else {
        return;
    };
    let Some(limits) = limits.as_object().filter(|limits| !limits.is_empty()) else {
        return;
    };
    let Some(requests) = map_at(container, "resources.requests") else {
        return;
    };
    for (name, limit) in limits {
        requests
            .entry(name.clone())
            .or_insert_with(|| limit.clone());
    }
}

/// The quality-of-service class.
fn quality(spec: &Value) -> &'static str {
    const COUNTED: [&str; 2] = ["cpu", "memory"];
    let containers = list(spec, "containers")
        .iter()
        .chain(list(spec, "initContainers"));
    let (mut any, mut guaranteed) = (false, true);
    for container in containers {
        for name in COUNTED {
            let limit = text(container, &format!("resources.limits.{name}"));
            let request = text(container, &format!("resources.requests.{name}"));
            any |= has(container, &format!("resources.requests.{name}")) || !limit.is_empty();
            guaranteed &= !limit.is_empty() && limit == request;
        }
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_without_a_fixed_tag_are_pulled_always() {
        let cases = [
            ("nginx", "Always"),
            ("nginx:latest", "Always"),
            ("nginx:1", "IfNotPresent"),
            ("host:5000/nginx", "Always"),
            ("host:5000/nginx:1", "IfNotPresent"),
            ("nginx@sha256:00", "IfNotPresent"),
        ];
        for (image, policy) in cases {
            assert_eq!(pull_policy(image), policy, "{image}");
        }
    }

    #[test]
    fn a_bare_pod_becomes_a_whole_one() {
        let mut object = json!({"metadata": {"name": "p"}, "spec": {
            "containers": [{"name": "a", "image": "a:1", "ports": [{"containerPort": 80}],
                "resources": {"limits": {"cpu": "1", "memory": "1Gi"}},
                "readinessProbe": {"httpGet": {"port": 80}, "periodSeconds": 5}}],
            "volumes": [{"name": "v"}, {"name": "c", "configMap": {"name": "c"}}]}});
        pod(&mut object, None);
        prepare_pod(&mut object, None);
        let spec = &object["spec"];
        assert_eq!(spec["restartPolicy"], "Always");
        assert_eq!(spec["terminationGracePeriodSeconds"], 30);
        assert_eq!(spec["volumes"][0]["emptyDir"], json!({}));
        assert_eq!(spec["volumes"][1]["configMap"]["defaultMode"], 420);
        let container = &spec["containers"][0];
        assert_eq!(container["imagePullPolicy"], "IfNotPresent");
        assert_eq!(container["ports"][0]["protocol"], "TCP");
        assert_eq!(
            container["readinessProbe"],
            json!({
            "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"}, "periodSeconds": 5,
            "timeoutSeconds": 1, "successThreshold": 1, "failureThreshold": 3})
        );
        assert_eq!(container["resources"]["requests"]["cpu"], "1");
        assert_eq!(
            object["status"],
            json!({"phase": "Pending", "qosClass": "Guaranteed"})
        );
        let once = object.clone();
        pod(&mut object, None);
        assert_eq!(object, once);
    }
}
