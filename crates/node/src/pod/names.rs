//! The names a pod has, and those it is told.

use k8s_openapi::api::core::v1::Pod;

use crate::{machine::Names, service::DOMAIN};

/// Longest host name.
const LONGEST: usize = 63;

/// The name a pod has for itself.
pub fn hostname(pod: &Pod) -> String {
    let spec = pod.spec.as_ref();
    if let Some(name) = spec.and_then(|spec| spec.hostname_override.clone()) {
        return name;
    }
    let whole = spec.and_then(|spec| spec.set_hostname_as_fqdn) == Some(true);
    if let Some(domain) = domain(pod).filter(|_| whole) {
        return domain;
    }
    short(pod)
}

fn short(pod: &Pod) -> String {
    let wanted = pod.spec.as_ref().and_then(|spec| spec.hostname.clone());
    let name = wanted
        .or_else(|| pod.metadata.name.clone())
        .unwrap_or_default();
    let name = name.get(..LONGEST).unwrap_or(&name);
    name.trim_end_matches(['-', '.']).to_owned()
}

/// The name with its domain of a pod that is in one.
fn domain(pod: &Pod) -> Option<String> {
    let subdomain = pod.spec.as_ref()?.subdomain.as_deref()?;
    let namespace = pod.metadata.namespace.as_deref()?;
    let name = short(pod);
    (!subdomain.is_empty()).then(|| format!("{name}.{subdomain}.{namespace}.svc.{DOMAIN}"))
}

/// What the pod says about names.
pub fn of(pod: &Pod) -> Names {
    let Some(spec) = &pod.spec else {
        return Names::default();
    };
    let aliases = spec.host_aliases.iter().flatten().map(|alias| {
        let names = alias.hostnames.clone().unwrap_or_default();
        (alias.ip.clone(), names)
    });
    let config = spec.dns_config.clone().unwrap_or_default();
    let options = config.options.into_iter().flatten().filter_map(|option| {
        let name = option.name?;
        Some(match option.value {
            Some(value) => format!("{name}:{value}"),
            None => name,
        })
    });
    Names {
        domain: domain(pod),
        aliases: aliases.collect(),
        own_only: spec.dns_policy.as_deref() == Some("None"),
        servers: config.nameservers.unwrap_or_default(),
        searches: config.searches.unwrap_or_default(),
        options: options.collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json};

    use super::*;

    fn pod(spec: &Value) -> Pod {
        let metadata = json!({"name": "web-0", "namespace": "shop"});
        let mut spec = spec.clone();
        spec["containers"] = json!([]);
        from_value(json!({"metadata": metadata, "spec": spec})).unwrap()
    }

    #[test]
    fn pods_are_named_as_they_say() {
        for (spec, expected) in [
            (json!({}), "web-0"),
            (json!({"hostname": "db"}), "db"),
            (json!({"hostname": "db", "subdomain": "dbs"}), "db"),
            (
                json!({"hostname": "db", "hostnameOverride": "other.example"}),
                "other.example",
            ),
            (
                json!({"subdomain": "dbs", "setHostnameAsFQDN": true}),
                "web-0.dbs.shop.svc.cluster.local",
            ),
            (json!({"setHostnameAsFQDN": true}), "web-0"),
        ] {
            assert_eq!(hostname(&pod(&spec)), expected, "{spec}");
        }
    }

    #[test]
    fn names_are_told_as_asked() {
        let found = of(&pod(&json!({
            "subdomain": "dbs", "dnsPolicy": "None",
            "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["a"]}],
            "dnsConfig": {"nameservers": ["10.0.0.2"], "searches": ["corp"],
                "options": [{"name": "ndots", "value": "1"}, {"name": "edns0"}]},
        })));
        let expected = Names {
            domain: Some("web-0.dbs.shop.svc.cluster.local".into()),
            aliases: vec![("10.0.0.1".into(), vec!["a".into()])],
            own_only: true,
            servers: vec!["10.0.0.2".into()],
            searches: vec!["corp".into()],
            options: vec!["ndots:1".into(), "edns0".into()],
        };
        assert_eq!(found, expected);
    }
}
