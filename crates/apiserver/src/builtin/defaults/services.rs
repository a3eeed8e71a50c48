//! Defaults of what leads traffic.

use serde_json::{Value, json};

use super::super::read::{at, existing, fill, fill_text, has, int, items_mut, list, map_at, text};

pub(in crate::builtin) fn service(object: &mut Value, old: Option<&Value>) {
    if map_at(object, "status").is_some() {
        fill(&mut object["status"], "loadBalancer", json!({}));
    }
    let Some(spec) = existing(object, "spec") else {
        return;
    };
    fill_text(spec, "type", "ClusterIP");
    fill_text(spec, "sessionAffinity", "None");
    if text(spec, "sessionAffinity") == "ClientIP"
        && map_at(spec, "sessionAffinityConfig.clientIP").is_some()
    {
        fill(
            &mut spec["sessionAffinityConfig"]["clientIP"],
            "timeoutSeconds",
            10_800,
        );
    }
    for port in items_mut(spec, "ports") {
        fill_text(port, "protocol", "TCP");
        let same = port.get("port").cloned().unwrap_or_default();
        if int(port, "targetPort") == 0 && text(port, "targetPort").is_empty() {
            port["targetPort"] = same;
        }
    }
    if let Some(old) = old {
        keep_allocated(spec, at(old, "spec"));
    }
    let kind = text(spec, "type").to_owned();
    if kind == "ExternalName" {
        return;
    }
    fill_text(spec, "internalTrafficPolicy", "Cluster");
    fill(spec, "ipFamilyPolicy", "SingleStack");
    fill(spec, "ipFamilies", json!(["IPv4"]));
    let address = text(spec, "clusterIP").to_owned();
    if !address.is_empty() {
        fill(spec, "clusterIPs", json!([address]));
    }
    if ["NodePort", "LoadBalancer"].contains(&kind.as_str()) {
        fill_text(spec, "externalTrafficPolicy", "Cluster");
    }
    if kind == "LoadBalancer" {
        fill(spec, "allocateLoadBalancerNodePorts", true);
    }
}

/// What was allocated stays when a writer leaves it out.
fn keep_allocated(spec: &mut Value, old: &Value) {
    let external = |spec: &Value| text(spec, "type") == "ExternalName";
    if external(spec) || external(old) {
        return;
    }
    for key in ["clusterIP", "clusterIPs"] {
        if !has(spec, key) && has(old, key) {
            fill(spec, key, old[key].clone());
        }
    }
    if text(spec, "type") == "ClusterIP" {
        return;
    }
    for port in items_mut(spec, "ports") {
        let same = |other: &&Value| {
            int(other, "port") == int(port, "port")
                && text(other, "protocol") == text(port, "protocol")
        };
        let node_port = list(old, "ports")
            .iter()
            .find(same)
            .map_or(0, |port| int(port, "nodePort"));
        if node_port != 0 {
            fill(port, "nodePort", node_port);
        }
    }
}

pub(in crate::builtin) fn endpoint_slice(object: &mut Value, _: Option<&Value>) {
    fill(object, "endpoints", json!([]));
    for port in items_mut(object, "ports") {
        fill(port, "name", "");
        fill_text(port, "protocol", "TCP");
    }
}

pub(in crate::builtin) fn network_policy(object: &mut Value, _: Option<&Value>) {
    // Without a specification it selects every pod, as one that says nothing.
    fill(object, "spec", json!({}));
    let Some(spec) = existing(object, "spec") else {
        return;
    };
    fill(spec, "podSelector", json!({}));
    for direction in ["ingress", "egress"] {
        for rule in items_mut(spec, direction) {
            for port in items_mut(rule, "ports") {
                fill_text(port, "protocol", "TCP");
            }
        }
    }
    if list(spec, "policyTypes").is_empty() {
        let both = !list(spec, "egress").is_empty();
        spec["policyTypes"] = if both {
            json!(["Ingress", "Egress"])
        } else {
            json!(["Ingress"])
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_fill_in_and_keep_addresses() {
        let mut object = json!({"spec": {"ports": [{"port": 80}]}});
        let old = json!({"spec": {"type": "ClusterIP", "clusterIP": "10.0.0.1"}});
        service(&mut object, Some(&old));
        assert_eq!(
            object["spec"],
            json!({
            "type": "ClusterIP", "sessionAffinity": "None", "clusterIP": "10.0.0.1",
            "clusterIPs": ["10.0.0.1"], "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
            "internalTrafficPolicy": "Cluster",
            "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}]})
        );
    }

    #[test]
    fn policies_say_which_directions_they_mean() {
        let mut object = json!({"spec": {"egress": [{"ports": [{"port": 53}]}]}});
        network_policy(&mut object, None);
        assert_eq!(object["spec"]["policyTypes"], json!(["Ingress", "Egress"]));
        assert_eq!(object["spec"]["egress"][0]["ports"][0]["protocol"], "TCP");
        let mut deny = json!({"spec": {"podSelector": {}}});
        network_policy(&mut deny, None);
        assert_eq!(deny["spec"]["policyTypes"], json!(["Ingress"]));
        let mut bare = json!({});
        network_policy(&mut bare, None);
        assert_eq!(bare, deny);
    }
}
