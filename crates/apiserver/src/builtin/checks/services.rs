//! Rules of what leads traffic.

use std::{collections::BTreeSet, net::IpAddr};

use serde_json::{Value, json};

use super::{
    super::read::{at, has, int, list, text},
    broken, names, one_of, port, port_or_name,
};
use crate::schema::Cause;
use choreo_template::format::is_cidr;

const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];

pub(in crate::builtin) fn service(object: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    let kind = text(object, "spec.type");
    let kinds = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
    one_of(&mut causes, "spec.type", kind, &kinds);
    let affinity = "spec.sessionAffinity";
    one_of(
        &mut causes,
        affinity,
        text(object, affinity),
        &["ClientIP", "None"],
    );
    let address = text(object, "spec.clusterIP");
    if kind == "ExternalName" {
        let name = text(object, "spec.externalName");
        if name.is_empty() {
            causes.push(Cause::required("spec.externalName", ""));
        } else {
            let name = name.trim_end_matches('.').to_lowercase();
            broken(
                &mut causes,
                "spec.externalName",
                &name,
                names::subdomain(&name),
            );
        }
    } else if list(object, "spec.ports").is_empty() && address != "None" {
        causes.push(Cause::required("spec.ports", ""));
    }
    if !["", "None"].contains(&address) && address.parse::<IpAddr>().is_err() {
        let words = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
        causes.push(Cause::invalid(
            "spec.clusterIPs[0]",
            &Value::from(address),
            words,
        ));
    }
    ports(&mut causes, object);
    if let Some(old) = old {
        let before = text(old, "spec.clusterIP");
        let both = [kind, text(old, "spec.type")]
            .iter()
            .all(|kind| *kind != "ExternalName");
        if both && !before.is_empty() && before != address {
            let words = "may not change once set";
            causes.push(Cause::invalid(
                "spec.clusterIPs[0]",
                &Value::from(address),
                words,
            ));
        }
    }
    causes
}

fn ports(causes: &mut Vec<Cause>, object: &Value) {
    let ports = list(object, "spec.ports");
    let mut seen_names = BTreeSet::new();
    let mut seen = BTreeSet::new();
    for (position, one) in ports.iter().enumerate() {
        let field = format!("spec.ports[{position}]");
        let name = text(one, "name");
        if name.is_empty() {
            if ports.len() > 1 {
                causes.push(Cause::required(&format!("{field}.name"), ""));
            }
        } else {
            broken(causes, &format!("{field}.name"), name, names::label(name));
            if !seen_names.insert(name) {
                causes.push(Cause::duplicate(
                    &format!("{field}.name"),
                    &Value::from(name),
                ));
            }
        }
        port(causes, &format!("{field}.port"), at(one, "port"));
        port_or_name(
            causes,
            &format!("{field}.targetPort"),
            at(one, "targetPort"),
        );
        let protocol = text(one, "protocol");
        one_of(causes, &format!("{field}.protocol"), protocol, &PROTOCOLS);
        if !seen.insert((int(one, "port"), protocol)) {
            let identity = json!({"port": int(one, "port"), "protocol": protocol});
            causes.push(Cause::duplicate(&field, &identity));
        }
    }
}

pub(in crate::builtin) fn endpoint_slice(object: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    let kind = text(object, "addressType");
    one_of(&mut causes, "addressType", kind, &["FQDN", "IPv4", "IPv6"]);
    super::immutable(&mut causes, object, old, "addressType");
    for (position, endpoint) in list(object, "endpoints").iter().enumerate() {
        for (index, address) in list(endpoint, "addresses").iter().enumerate() {
            let text = address.as_str().unwrap_or_default();
            if kind != "FQDN" && text.parse::<IpAddr>().is_err() {
                let field = format!("endpoints[{position}].addresses[{index}]");
                let words = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
                causes.push(Cause::invalid(&field, address, words));
            }
        }
    }
    causes
}

pub(in crate::builtin) fn network_policy(object: &Value, _: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    for (position, kind) in list(object, "spec.policyTypes").iter().enumerate() {
        let field = format!("spec.policyTypes[{position}]");
        let kind = kind.as_str().unwrap_or_default();
        one_of(&mut causes, &field, kind, &["Egress", "Ingress"]);
    }
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        for (position, rule) in list(object, &format!("spec.{direction}"))
            .iter()
            .enumerate()
        {
            let path = format!("spec.{direction}[{position}]");
            policy_ports(&mut causes, rule, &path);
            for (index, peer) in list(rule, peers).iter().enumerate() {
                policy_peer(&mut causes, peer, &format!("{path}.{peers}[{index}]"));
            }
        }
    }
    causes
}

fn policy_ports(causes: &mut Vec<Cause>, rule: &Value, path: &str) {
    for (position, one) in list(rule, "ports").iter().enumerate() {
        let field = format!("{path}.ports[{position}]");
        one_of(
            causes,
            &format!("{field}.protocol"),
            text(one, "protocol"),
            &PROTOCOLS,
        );
        port_or_name(causes, &format!("{field}.port"), at(one, "port"));
        if has(one, "endPort") {
            port(causes, &format!("{field}.endPort"), at(one, "endPort"));
            if int(one, "endPort") < int(one, "port") {
                let words = "must be greater than or equal to `port`";
                causes.push(Cause::invalid(
                    &format!("{field}.endPort"),
                    at(one, "endPort"),
                    words,
                ));
            }
        }
    }
}

fn policy_peer(causes: &mut Vec<Cause>, peer: &Value, path: &str) {
    const WORDS: &str = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
    let block = has(peer, "ipBlock");
    let selects = has(peer, "podSelector") || has(peer, "namespaceSelector");
    if !block && !selects {
        causes.push(Cause::required(path, "must specify a peer"));
    }
    if block && selects {
        causes.push(Cause::forbidden(
            path,
            "may not specify both ipBlock and another peer",
        ));
    }
    let cidr = text(peer, "ipBlock.cidr");
    if block && !is_cidr(cidr) {
        causes.push(Cause::invalid(
            &format!("{path}.ipBlock.cidr"),
            &Value::from(cidr),
            WORDS,
        ));
    }
    for (position, except) in list(peer, "ipBlock.except").iter().enumerate() {
        if !is_cidr(except.as_str().unwrap_or_default()) {
            causes.push(Cause::invalid(
                &format!("{path}.ipBlock.except[{position}]"),
                except,
                WORDS,
            ));
        }
    }
}

pub(in crate::builtin) fn ingress(object: &Value, _: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    if list(object, "spec.rules").is_empty() && !has(object, "spec.defaultBackend") {
        let words = "either `defaultBackend` or `rules` must be specified";
        causes.push(Cause::invalid("spec", at(object, "spec"), words));
    }
    for (position, rule) in list(object, "spec.rules").iter().enumerate() {
        for (index, path) in list(rule, "http.paths").iter().enumerate() {
            let field = format!("spec.rules[{position}].http.paths[{index}]");
            let kinds = ["Exact", "ImplementationSpecific", "Prefix"];
            one_of(
                &mut causes,
                &format!("{field}.pathType"),
                text(path, "pathType"),
                &kinds,
            );
            let given = text(path, "path");
            let needed = ["Exact", "Prefix"].contains(&text(path, "pathType"));
            if needed && !given.starts_with('/') {
                let words = "must be an absolute path";
                causes.push(Cause::invalid(
                    &format!("{field}.path"),
                    &Value::from(given),
                    words,
                ));
            }
        }
    }
    causes
}

#[cfg(test)]
mod tests {
    use super::*;

    type Check = fn(&Value, Option<&Value>) -> Vec<Cause>;

    fn check(rule: Check, spec: &Value, old: Option<&Value>, wanted: &[(&str, &str)]) {
        let causes = rule(&json!({"spec": spec}), old);
        let found: Vec<_> = causes
            .iter()
            .map(|cause| (cause.field.as_str(), cause.message.as_str()))
            .collect();
        assert_eq!(found, wanted, "{spec}");
    }

    #[test]
    fn services_have_sound_ports() {
        check(
            service,
            &json!({"type": "ClusterIP", "ports": [{"port": 80, "targetPort": "http"}]}),
            None,
            &[],
        );
        check(
            service,
            &json!({"type": "ClusterIP"}),
            None,
            &[("spec.ports", "Required value")],
        );
        check(
            service,
            &json!({"type": "ClusterIP", "clusterIP": "None"}),
            None,
            &[],
        );
        check(
            service,
            &json!({"type": "ClusterIP", "ports": [{"port": 0}]}),
            None,
            &[(
                "spec.ports[0].port",
                "Invalid value: 0: must be between 1 and 65535, inclusive",
            )],
        );
        check(
            service,
            &json!({"ports": [{"port": 80, "name": "a"}, {"port": 80, "name": "b"}]}),
            None,
            &[(
                "spec.ports[1]",
                "Duplicate value: {\"port\":80,\"protocol\":\"\"}",
            )],
        );
        check(
            service,
            &json!({"ports": [{"port": 80}, {"port": 81, "name": "b"}]}),
            None,
            &[("spec.ports[0].name", "Required value")],
        );
        check(
            service,
            &json!({"clusterIP": "10.0.0.2", "ports": [{"port": 80}]}),
            Some(&json!({"spec": {"clusterIP": "10.0.0.1"}})),
            &[(
                "spec.clusterIPs[0]",
                "Invalid value: \"10.0.0.2\": may not change once set",
            )],
        );
    }

    #[test]
    fn policies_name_real_networks() {
        let rule = |peer: Value| json!({"ingress": [{"from": [peer]}]});
        check(network_policy, &rule(json!({"podSelector": {}})), None, &[]);
        check(
            network_policy,
            &rule(json!({})),
            None,
            &[(
                "spec.ingress[0].from[0]",
                "Required value: must specify a peer",
            )],
        );
        check(
            network_policy,
            &rule(json!({"ipBlock": {"cidr": "10.0.0.0"}})),
            None,
            &[(
                "spec.ingress[0].from[0].ipBlock.cidr",
                "Invalid value: \"10.0.0.0\": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
            )],
        );
    }
}
