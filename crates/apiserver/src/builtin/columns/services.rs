//! Columns of what leads traffic.

use serde_json::Value;

use super::{
    super::read::{at, has, int, list, text},
    AGE, Column, NAME, column, labels, none, or, selector, wide,
};

pub(in crate::builtin) const SERVICE: &[Column] = &[
    NAME,
    column("Type", |object, _| or(object, "spec.type", "")),
    column("Cluster-IP", |object, _| {
        or(object, "spec.clusterIP", "<none>")
    }),
    column("External-IP", |object, _| {
        Value::from(external_address(object))
    }),
    column("Port(s)", |object, _| Value::from(service_ports(object))),
    AGE,
    wide("Selector", |object, _| labels(at(object, "spec.selector"))),
];

pub(in crate::builtin) const INGRESS: &[Column] = &[
    NAME,
    column("Class", |object, _| {
        or(object, "spec.ingressClassName", "<none>")
    }),
    column("Hosts", |object, _| Value::from(hosts(object))),
    column("Address", |object, _| {
        Value::from(balancer_addresses(object))
    }),
    column("Ports", |object, _| {
        Value::from(if list(object, "spec.tls").is_empty() {
            "80"
        } else {
            "80, 443"
        })
    }),
    AGE,
];

pub(in crate::builtin) const ENDPOINTS: &[Column] = &[
    NAME,
    column("Endpoints", |object, _| Value::from(endpoints(object))),
    AGE,
];

pub(in crate::builtin) const ENDPOINT_SLICE: &[Column] = &[
    NAME,
    column("AddressType", |object, _| or(object, "addressType", "")),
    column("Ports", |object, _| Value::from(slice_ports(object))),
    column("Endpoints", |object, _| {
        Value::from(slice_addresses(object))
    }),
    AGE,
];

pub(in crate::builtin) const NETWORK_POLICY: &[Column] = &[
    NAME,
    column("Pod-Selector", |object, _| {
        selector(at(object, "spec.podSelector"))
    }),
    AGE,
];

fn external_address(service: &Value) -> String {
    let mut found: Vec<&str> = list(service, "spec.externalIPs")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    match text(service, "spec.type") {
        "ExternalName" => return text(service, "spec.externalName").to_owned(),
        "LoadBalancer" => {
            let balancer = balancer_addresses(service);
            if balancer.is_empty() && found.is_empty() {
                return "<pending>".to_owned();
            }
            if !balancer.is_empty() {
                found.insert(0, &balancer);
            }
            return found.join(",");
        }
        _ => {}
    }
    none(&found.join(",")).to_owned()
}

fn balancer_addresses(object: &Value) -> String {
    let ingress = list(object, "status.loadBalancer.ingress");
    let found: Vec<&str> = ingress
        .iter()
        .map(|one| {
            if text(one, "ip").is_empty() {
                text(one, "hostname")
            } else {
                text(one, "ip")
            }
        })
        .collect();
    found.join(",")
}

fn service_ports(service: &Value) -> String {
    let ports = list(service, "spec.ports").iter().map(|port| {
        let protocol = text(port, "protocol");
        match int(port, "nodePort") {
            0 => format!("{}/{protocol}", int(port, "port")),
            node => format!("{}:{node}/{protocol}", int(port, "port")),
        }
    });
    none(&ports.collect::<Vec<_>>().join(",")).to_owned()
}

fn hosts(ingress: &Value) -> String {
    let rules = list(ingress, "spec.rules")
        .iter()
        .map(|rule| text(rule, "host"));
    let named: Vec<&str> = rules.filter(|host| !host.is_empty()).collect();
    if named.is_empty() {
        "*".to_owned()
    } else {
        some(&named, 3)
    }
}

/// The first few, and how many more there are.
fn some<T: AsRef<str>>(found: &[T], most: usize) -> String {
    let first: Vec<&str> = found.iter().take(most).map(AsRef::as_ref).collect();
    let first = first.join(",");
    match found.len().saturating_sub(most) {
        0 => first,
        more => format!("{first} + {more} more..."),
    }
}

fn endpoints(object: &Value) -> String {
    let mut found = Vec::new();
    for subset in list(object, "subsets") {
        for address in list(subset, "addresses") {
            let ip = text(address, "ip");
            let ports = list(subset, "ports");
            if ports.is_empty() {
                found.push(ip.to_owned());
            }
            found.extend(
                ports
                    .iter()
                    .map(|port| format!("{ip}:{}", int(port, "port"))),
            );
        }
    }
    none(&some(&found, 3)).to_owned()
}

fn slice_ports(slice: &Value) -> String {
    let ports: Vec<String> = list(slice, "ports")
        .iter()
        .map(|port| {
            if has(port, "port") {
                int(port, "port").to_string()
            } else {
                "*".to_owned()
            }
        })
        .collect();
    if ports.is_empty() {
        "<unset>".to_owned()
    } else {
        some(&ports, 3)
    }
}

fn slice_addresses(slice: &Value) -> String {
    let endpoints = list(slice, "endpoints").iter();
    let found: Vec<&str> = endpoints
        .flat_map(|endpoint| list(endpoint, "addresses"))
        .filter_map(Value::as_str)
        .collect();
    if found.is_empty() {
        "<unset>".to_owned()
    } else {
        some(&found, 3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(columns: &[Column], object: &Value, wanted: &[&str]) {
        let now = "2026-01-01T00:05:00Z".parse().unwrap();
        let shown = columns.iter().filter(|column| column.priority == 0);
        let cells: Vec<Value> = shown.map(|column| (column.cell)(object, now)).collect();
        assert_eq!(cells, wanted);
    }

    #[test]
    fn services_show_where_they_answer() {
        let meta = json!({"name": "s", "creationTimestamp": "2026-01-01T00:00:00Z"});
        let ports = json!([{"port": 80, "protocol": "TCP"}, {"port": 53, "protocol": "UDP", "nodePort": 30053}]);
        check(
            SERVICE,
            &json!({"metadata": meta, "spec": {"type": "ClusterIP", "clusterIP": "10.0.0.1", "ports": ports}}),
            &[
                "s",
                "ClusterIP",
                "10.0.0.1",
                "<none>",
                "80/TCP,53:30053/UDP",
                "5m",
            ],
        );
        check(
            SERVICE,
            &json!({"metadata": meta, "spec": {"type": "LoadBalancer", "clusterIP": "10.0.0.1"}}),
            &["s", "LoadBalancer", "10.0.0.1", "<pending>", "<none>", "5m"],
        );
        check(
            ENDPOINT_SLICE,
            &json!({"metadata": meta, "addressType": "IPv4", "ports": [{"port": 80}],
                "endpoints": [{"addresses": ["1", "2"]}, {"addresses": ["3", "4"]}]}),
            &["s", "IPv4", "80", "1,2,3 + 1 more...", "5m"],
        );
        check(
            NETWORK_POLICY,
            &json!({"metadata": meta, "spec": {"podSelector": {}}}),
            &["s", "<none>", "5m"],
        );
    }
}
