//! The variables that tell a pod of the Services in its namespace, as containers were told of each other
//! before there were names.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, Service};

use crate::{index::Index, service::address};

/// The variables of all Services that have an address when a container starts.
pub fn of(index: &Index, pod: &Pod) -> BTreeMap<String, String> {
    let wanted = pod.spec.as_ref().and_then(|spec| spec.enable_service_links);
    if wanted == Some(false) {
        return BTreeMap::new();
    }
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let services = index.services.within(namespace);
    services.flat_map(|service| variables(service)).collect()
}

fn variables(service: &Service) -> Vec<(String, String)> {
    let ports = service.spec.iter();
    let ports = ports.flat_map(|spec| spec.ports.iter().flatten());
    let (Some(name), Some(address)) = (&service.metadata.name, address::address(service)) else {
        return Vec::new();
    };
    let name = upper(name);
    let mut all = vec![(format!("{name}_SERVICE_HOST"), address.to_string())];
    for (place, port) in ports.enumerate() {
        let number = port.port;
        let protocol = port.protocol.as_deref().unwrap_or("TCP").to_lowercase();
        let url = format!("{protocol}://{address}:{number}");
        if place == 0 {
            all.push((format!("{name}_SERVICE_PORT"), number.to_string()));
            all.push((format!("{name}_PORT"), url.clone()));
        }
        if let Some(own) = port.name.as_deref().filter(|own| !own.is_empty()) {
            let variable = format!("{name}_SERVICE_PORT_{}", upper(own));
            all.push((variable, number.to_string()));
        }
        let prefix = format!("{name}_PORT_{number}_{}", protocol.to_uppercase());
        all.push((format!("{prefix}_PROTO"), protocol));
        all.push((format!("{prefix}_PORT"), number.to_string()));
        all.push((format!("{prefix}_ADDR"), address.to_string()));
        all.push((prefix, url));
    }
    all
}

fn upper(name: &str) -> String {
    name.to_uppercase().replace('-', "_")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json};

    use super::*;

    fn check(service: Value, pod: &Value, expected: &[(&str, &str)]) {
        let mut index = Index::default();
        index.apply::<Service>(from_value(service).unwrap());
        let pod = json!({"metadata": {"namespace": "ns", "name": "p"}, "spec": pod});
        let found = of(&index, &from_value(pod).unwrap());
        let found: Vec<_> = found
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn services_are_told_as_kubernetes_tells_them() {
        let service = json!({
            "metadata": {"namespace": "ns", "name": "order-db"},
            "spec": {"clusterIP": "10.96.0.5", "ports": [{"port": 5432, "name": "pg"}]},
        });
        let pod = json!({"containers": []});
        let expected = [
            ("ORDER_DB_PORT", "tcp://10.96.0.5:5432"),
            ("ORDER_DB_PORT_5432_TCP", "tcp://10.96.0.5:5432"),
            ("ORDER_DB_PORT_5432_TCP_ADDR", "10.96.0.5"),
            ("ORDER_DB_PORT_5432_TCP_PORT", "5432"),
            ("ORDER_DB_PORT_5432_TCP_PROTO", "tcp"),
            ("ORDER_DB_SERVICE_HOST", "10.96.0.5"),
            ("ORDER_DB_SERVICE_PORT", "5432"),
            ("ORDER_DB_SERVICE_PORT_PG", "5432"),
        ];
        check(service.clone(), &pod, &expected);
        check(
            service.clone(),
            &json!({"containers": [], "enableServiceLinks": false}),
            &[],
        );
        let mut other = service.clone();
        other["metadata"]["namespace"] = "other".into();
        check(other, &json!({"containers": []}), &[]);
        let mut headless = service;
        headless["spec"]["clusterIP"] = "None".into();
        check(headless, &json!({"containers": []}), &[]);
    }
}
