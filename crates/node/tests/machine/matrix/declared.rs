//! What is declared: components, their endpoints and connections; the objects that a cluster gets of
//! that, as the platform's compiler writes them; and, in a few lines, who may therefore reach whom.

use std::net::Ipv4Addr;

use choreo_node::{
    index::{Index, Kept},
    service::network::Proxies,
};
use k8s_openapi::api::{
    core::v1::{Namespace, Pod, Service},
    networking::v1::NetworkPolicy,
};
use serde_json::{Value, json};

/// The ports that every pod listens on, whatever it declares.
pub(crate) const PORTS: [&str; 5] = ["tcp:8080", "tcp:8081", "udp:8080", "tcp:9999", "udp:9999"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Visibility {
    Project,
    Namespace,
    Internal,
    External,
}
use Visibility::{External, Internal, Namespace as Everybody, Project};

#[derive(Debug)]
pub(crate) struct Component {
    organisation: &'static str,
    project: &'static str,
    environment: &'static str,
    name: &'static str,
    endpoints: &'static [(&'static str, Visibility)],
    calls: &'static [&'static str],
    /// Whether its environment lets everything out.
    open: bool,
}

const fn component(
    [organisation, project, environment, name]: [&'static str; 4],
    endpoints: &'static [(&'static str, Visibility)],
    calls: &'static [&'static str],
    open: bool,
) -> Component {
    Component {
        organisation,
        project,
        environment,
        name,
        endpoints,
        calls,
        open,
    }
}

/// Two organisations, three projects, two environments.
pub(crate) const DECLARED: [Component; 9] = [
    component(
        ["acme", "shop", "dev", "web"],
        &[("tcp:8080", External)],
        &["acme-shop-dev-cart", "acme-bank-dev-ledger"],
        false,
    ),
    component(
        ["acme", "shop", "dev", "cart"],
        &[("tcp:8080", Everybody), ("udp:8080", Project)],
        &[],
        false,
    ),
    component(["acme", "shop", "dev", "jobs"], &[], &[], true),
    component(
        ["acme", "shop", "prod", "web"],
        &[("tcp:8080", External)],
        &["acme-shop-prod-cart"],
        false,
    ),
    component(
        ["acme", "shop", "prod", "cart"],
        &[("tcp:8080", Everybody)],
        &[],
        false,
    ),
    component(
        ["acme", "bank", "dev", "ledger"],
        &[("tcp:8080", Everybody), ("tcp:8081", Internal)],
        &["acme-shop-dev-cart"],
        false,
    ),
    component(
        ["acme", "bank", "dev", "vault"],
        &[("tcp:8081", Project)],
        &["acme-shop-prod-cart", "other-web-dev-site"],
        false,
    ),
    component(
        ["other", "web", "dev", "site"],
        &[("tcp:8080", Everybody), ("tcp:8081", External)],
        &["acme-bank-dev-ledger", "acme-shop-dev-cart"],
        false,
    ),
    component(["other", "web", "dev", "spy"], &[], &[], true),
];

/// Whether a component may reach a port of another one.
pub(crate) fn may(from: &Component, to: &Component, port: &str) -> bool {
    let called = from.open || from.calls.contains(&to.uid().as_str());
    let visible = to.endpoints.iter().any(|(declared, visibility)| {
        let shared = *visibility == Everybody && from.tenancy() == to.tenancy();
        *declared == port && (from.cell() == to.cell() || shared)
    });
    from.uid() == to.uid() || called && visible
}

/// Whether the gateways may reach a port of a component.
pub(crate) fn is_routed(to: &Component, port: &str) -> bool {
    let mut endpoints = to.endpoints.iter();
    endpoints.any(|(declared, of)| *declared == port && matches!(of, Internal | External))
}

impl Component {
    pub(crate) fn uid(&self) -> String {
        [self.organisation, self.project, self.environment, self.name].join("-")
    }

    /// The namespace that is its cell.
    pub(crate) fn cell(&self) -> String {
        ["dp", self.organisation, self.project, self.environment].join("-")
    }

    fn tenancy(&self) -> [&str; 2] {
        [self.organisation, self.environment]
    }

    pub(crate) fn service_name(&self) -> String {
        format!("{}.{}.svc.cluster.local", self.name, self.cell())
    }

    fn cell_labels(&self) -> Value {
        json!({"org": self.organisation, "project": self.project, "env": self.environment})
    }

    fn labels(&self) -> Value {
        let mut labels = self.cell_labels();
        labels["component"] = json!(self.name);
        labels
    }

    fn ingress(&self) -> Value {
        let ports = |wanted: &[Visibility]| -> Vec<Value> {
            let endpoints = self.endpoints.iter();
            let endpoints = endpoints.filter(|(_, of)| wanted.is_empty() || wanted.contains(of));
            let port = |port: &str| {
                let (protocol, number) = port.split_once(':').unwrap();
                let number: u16 = number.parse().unwrap();
                json!({"protocol": protocol.to_uppercase(), "port": number})
            };
            endpoints.map(|(name, _)| port(name)).collect()
        };
        let tenancy = json!({"org": self.organisation, "env": self.environment});
        let gateways = json!({"namespaceSelector": {}, "podSelector": {"matchExpressions": [
            {"key": "system-component", "operator": "Exists"}]}});
        let rules = [
            (json!({"podSelector": {}}), ports(&[])),
            (
                json!({"namespaceSelector": {"matchLabels": tenancy}}),
                ports(&[Everybody]),
            ),
            (gateways, ports(&[Internal, External])),
        ];
        let rules = rules.into_iter().filter(|(_, ports)| !ports.is_empty());
        rules
            .map(|(peer, ports)| json!({"from": [peer], "ports": ports}))
            .collect()
    }

    fn egress(&self) -> Value {
        let servers = json!({
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
            "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
        });
        let names = json!({"to": [servers],
            "ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]});
        let called = DECLARED.iter();
        let called = called.filter(|other| self.calls.contains(&other.uid().as_str()));
        let peers = called.map(|other| {
            json!({"to": [{
                "podSelector": {"matchLabels": other.labels()},
                "namespaceSelector": {"matchLabels": other.cell_labels()},
            }]})
        });
        [names].into_iter().chain(peers).collect()
    }
}

/// The addresses of Services.
pub(crate) fn service(component: &Component) -> Ipv4Addr {
    let number = DECLARED.iter().position(|one| one.uid() == component.uid());
    Ipv4Addr::new(10, 96, 0, u8::try_from(number.unwrap()).unwrap() + 1)
}

/// What the gateways are in policies.
pub(crate) fn proxies() -> Proxies {
    Proxies {
        namespace: "gateways".to_owned(),
        labels: [("system-component".to_owned(), "gateway".to_owned())].into(),
    }
}

pub(crate) fn put<K: Kept>(index: &mut Index, object: Value) {
    index.apply(serde_json::from_value::<K>(object).unwrap());
}

/// Everything as a cluster has it.
pub(crate) fn index() -> Index {
    let mut index = Index::default();
    for component in &DECLARED {
        apply(&mut index, component);
    }
    index
}

fn apply(index: &mut Index, component: &Component) {
    let (cell, uid) = (component.cell(), component.uid());
    let namespace =
        json!({"metadata": {"name": cell, "uid": cell, "labels": component.cell_labels()}});
    put::<Namespace>(index, namespace);
    let number = DECLARED.iter().position(|one| one.uid() == uid).unwrap();
    put::<Pod>(index, running(&cell, &uid, &component.labels(), number));
    put::<Service>(
        index,
        json!({
            "metadata": {"name": component.name, "namespace": cell},
            "spec": {"clusterIP": service(component).to_string(),
                "selector": {"component": component.name},
                "ports": [{"name": "t", "port": 80, "targetPort": 8080},
                    {"name": "u", "port": 80, "targetPort": 8080, "protocol": "UDP"}]},
        }),
    );
    let mut policies = vec![(
        "openchoreo",
        "Ingress",
        json!({"ingress": component.ingress()}),
    )];
    if !component.open {
        policies.push((
            "egress-openchoreo",
            "Egress",
            json!({"egress": component.egress()}),
        ));
    }
    for (prefix, kind, mut spec) in policies {
        spec["podSelector"] = json!({"matchLabels": component.labels()});
        spec["policyTypes"] = json!([kind]);
        let name = format!("{prefix}-{}", component.name);
        put::<NetworkPolicy>(
            index,
            json!({"metadata": {"name": name, "namespace": cell, "uid": name}, "spec": spec}),
        );
    }
}

/// A pod that runs and is ready.
pub(crate) fn running(namespace: &str, uid: &str, labels: &Value, number: usize) -> Value {
    // Addresses are given by namespace and in order; statuses have to say the same.
    let address = address(namespace, number);
    json!({
        "metadata": {"name": uid, "namespace": namespace, "uid": uid, "labels": labels},
        "spec": {"containers": [{"name": "main", "ports": [
            {"name": "web", "containerPort": 8080}]}]},
        "status": {"phase": "Running", "podIP": address,
            "conditions": [{"type": "Ready", "status": "True"}]},
    })
}

/// The address that a pod had before, which it gets again.
fn address(namespace: &str, number: usize) -> String {
    let cells: std::collections::BTreeSet<String> = DECLARED.iter().map(Component::cell).collect();
    let cell = cells.iter().position(|cell| cell == namespace).unwrap_or(0) + 1;
    format!("10.128.{cell}.{}", number + 2)
}

/// The same without what lets anybody reach a component.
pub(crate) fn without_policies_of(mut index: Index, component: &Component) -> Index {
    let name = format!("openchoreo-{}", component.name);
    let closed = json!({
        "metadata": {"name": name, "namespace": component.cell(), "uid": name, "resourceVersion": "9"},
        "spec": {"podSelector": {"matchLabels": component.labels()}, "policyTypes": ["Ingress"]},
    });
    put::<NetworkPolicy>(&mut index, closed);
    index
}
