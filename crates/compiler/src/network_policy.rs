//! Who may call a component and whom it may call: the network policies that every component gets.
//!
//! What comes in and what goes out are objects of their own. Ports are those the pods listen on,
//! since that is what a policy is matched against; the port of the Service in front may differ.

use crate::context::protocol;
use crate::egress_gateway::Proxies;
use crate::snapshot::Lent;
use choreo_model::application::{EndpointType, Visibility, WorkloadEndpoint, WorkloadTemplate};
use choreo_model::labels;
use choreo_model::names::{OBJECT_LIMIT, cell_namespace, kubernetes_name};
use choreo_model::release::ConnectionTarget;
use choreo_model::shared::Egress;
use choreo_template::{Members, Tree, tree};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::LazyLock;

const POD_NAMESPACE: &str = "k8s:io.kubernetes.pod.namespace";
/// What cluster name servers are labelled with, and where they run.
const NAME_SERVER: (&str, &str) = ("k8s-app", "kube-dns");
const NAME_SERVER_NAMESPACE: &str = "kube-system";
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// What all policies of Kubernetes say alike.
struct Alike {
    /// Callers of the same cell.
    cell: Tree,
    /// The gateways.
    gateways: Tree,
    /// That the policy is of what comes in, and that it is of what goes out.
    ingress: Tree,
    egress: Tree,
    /// That name servers may be asked.
    name_servers: Tree,
    /// That the internet and the own cell may be called, as Kubernetes and as Cilium have it.
    outside: Tree,
    cilium_outside: [Tree; 2],
}

/// What is no address of the internet (RFC 6890): private, shared and local networks, multicast, and what
/// is reserved. Hosts, other cells and the metadata of clouds are there.
const NOT_OUTSIDE: [(&str, &[&str]); 2] = [
    (
        "0.0.0.0/0",
        &[
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.168.0.0/16",
            "224.0.0.0/4",
            "240.0.0.0/4",
        ],
    ),
    ("::/0", &["::/127", "fc00::/7", "fe80::/10", "ff00::/8"]),
];

/// The addresses of the internet.
fn outside() -> Vec<Tree> {
    let blocks = NOT_OUTSIDE.into_iter();
    blocks
        .map(|(all, except)| {
            let except: Tree = except.iter().copied().collect();
            tree!({"cidr": all, "except": except})
        })
        .collect()
}

static ALIKE: LazyLock<Alike> = LazyLock::new(|| {
    let (key, value) = NAME_SERVER;
    Alike {
        cell: tree!([{"podSelector": {}}]),
        gateways: tree!([{
            "namespaceSelector": {},
            "podSelector": {"matchExpressions": [exists(labels::SYSTEM_COMPONENT)]},
        }]),
        ingress: tree!(["Ingress"]),
        egress: tree!(["Egress"]),
        name_servers: tree!({
            "to": [{
                "namespaceSelector": {"matchLabels": {NAMESPACE_NAME: NAME_SERVER_NAMESPACE}},
                "podSelector": {"matchLabels": {key: value}},
            }],
            "ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}],
        }),
        outside: {
            let blocks = outside().into_iter();
            let cell = tree!({"podSelector": {}});
            let to: Tree = std::iter::once(cell)
                .chain(blocks.map(|block| tree!({"ipBlock": block})))
                .collect();
            tree!({"to": to})
        },
        cilium_outside: [
            tree!({"toEndpoints": [{}]}),
            tree!({"toCIDRSet": outside()}),
        ],
    }
});

/// What policies are made of.
#[derive(Debug, Clone)]
pub(crate) struct Subject<'a> {
    /// What the line of the component is called.
    pub(crate) line: &'a str,
    pub(crate) cell: &'a str,
    pub(crate) labels: &'a Members,
    pub(crate) workload: &'a WorkloadTemplate,
    /// The endpoints of others that the component asks for, whether their addresses are known or
    /// not.
    pub(crate) calls: &'a [ConnectionTarget],
    /// Components of another environment that it may call.
    pub(crate) lent: &'a [Lent<'a>],
    pub(crate) egress: Egress,
    /// The gateway that its external connections go through.
    pub(crate) proxies: Option<Proxies>,
    /// What enforces policies on the data plane, if it says so.
    pub(crate) provider: Option<&'a str>,
}

/// Makes a policy for the pods that a selector selects.
type Policy = fn(&Subject<'_>, &Tree) -> Tree;

/// The policies of a component: who may call it; whom it may call; and for each component of another
/// environment that it calls one beside that, which lets it in.
pub(crate) fn policies(subject: &Subject<'_>) -> Vec<Tree> {
    let pods = tree!({"matchLabels": subject.labels.clone()});
    let (ingress, egress): (Policy, Policy) = match subject.provider {
        Some("cilium") => (cilium, cilium_egress),
        _ => (kubernetes, kubernetes_egress),
    };
    let own = [ingress, egress].map(|policy| policy(subject, &pods));
    own.into_iter().chain(subject.admissions()).collect()
}

/// The policy as Kubernetes has it.
fn kubernetes(subject: &Subject<'_>, pods: &Tree) -> Tree {
    let mut ingress = Vec::new();
    for (who, endpoints) in subject.rules() {
        let from = match who {
            Who::Cell => ALIKE.cell.clone(),
            Who::Namespace => tree!([{"namespaceSelector": matching(subject.tenancy())}]),
            Who::Gateways => ALIKE.gateways.clone(),
        };
        ingress.push(tree!({"from": from, "ports": kubernetes_ports(&endpoints)}));
    }
    let mut spec = Members::with_capacity(3);
    spec.insert("podSelector", pods);
    spec.insert("policyTypes", &ALIKE.ingress);
    if !ingress.is_empty() {
        spec.insert("ingress", ingress);
    }
    subject.object(KUBERNETES, "openchoreo", spec.into())
}

/// Whom the component may call, as Kubernetes has it: name servers, what it asks for, the gateway of its external
/// connections, and where the way out is open, its own cell and the internet. Which ports of components it reaches is for their own
/// policies to say.
fn kubernetes_egress(subject: &Subject<'_>, pods: &Tree) -> Tree {
    let mut egress = vec![ALIKE.name_servers.clone()];
    let peers = subject.peers().into_iter().map(|peer| {
        let mut to = Members::default();
        to.insert("podSelector", matching(peer.labels()));
        if !subject.is_own(&peer) {
            to.insert("namespaceSelector", matching(peer.cell()));
        }
        tree!({"to": [to]})
    });
    egress.extend(peers);
    if subject.uses_resources() {
        let selector = tree!({"matchExpressions": [is_no_component()]});
        egress.push(tree!({"to": [{"podSelector": selector}]}));
    }
    if let Some(proxies) = &subject.proxies {
        let ports = proxies.ports.iter();
        let ports = ports.map(|port| tree!({"port": *port, "protocol": "TCP"}));
        let to = tree!({"namespaceSelector": {}, "podSelector": matching(proxies.labels())});
        egress.push(tree!({"to": [to], "ports": ports.collect::<Tree>()}));
    }
    if subject.egress == Egress::Open {
        egress.push(ALIKE.outside.clone());
    }
    let spec = tree!({
        "podSelector": pods,
        "policyTypes": &ALIKE.egress,
        "egress": egress,
    });
    subject.object(KUBERNETES, "egress-openchoreo", spec)
}

/// The policy as Cilium has it, which also shows the requests of HTTP endpoints.
fn cilium(subject: &Subject<'_>, pods: &Tree) -> Tree {
    let mut ingress = Vec::new();
    for (who, endpoints) in subject.rules() {
        let from = match who {
            Who::Cell => tree!({}),
            Who::Namespace => tree!({
                "matchLabels": texts(subject.tenancy()),
                "matchExpressions": [exists(POD_NAMESPACE)],
            }),
            Who::Gateways => tree!({
                "matchExpressions": [exists(labels::SYSTEM_COMPONENT), exists(POD_NAMESPACE)],
            }),
        };
        ingress.push(tree!({"fromEndpoints": [from], "toPorts": cilium_ports(&endpoints)}));
    }
    let mut spec = Members::with_capacity(3);
    spec.insert("endpointSelector", pods);
    spec.insert("ingress", ingress);
    if subject.workload.endpoints.is_empty() {
        // An empty list alone does not make Cilium deny; this does.
        spec.insert("enableDefaultDeny", tree!({"ingress": true}));
    }
    subject.object(CILIUM, "openchoreo", spec.into())
}

/// Whom the component may call, as Cilium has it, which also shows the names that are asked for.
fn cilium_egress(subject: &Subject<'_>, pods: &Tree) -> Tree {
    let (key, value) = NAME_SERVER;
    let key = format!("k8s:{key}");
    let mut egress = vec![tree!({
        "toEndpoints": [{"matchLabels": {POD_NAMESPACE: NAME_SERVER_NAMESPACE, key: value}}],
        "toPorts": [{
            "ports": [{"port": "53", "protocol": "ANY"}],
            "rules": {"dns": [{"matchPattern": "*"}]},
        }],
    })];
    let peers = subject.peers().into_iter().map(|peer| {
        let mut to = Members::default();
        to.insert("matchLabels", texts(peer.labels()));
        if !subject.is_own(&peer) {
            to.insert("matchExpressions", tree!([exists(POD_NAMESPACE)]));
        }
        tree!({"toEndpoints": [to]})
    });
    egress.extend(peers);
    if subject.uses_resources() {
        egress.push(tree!({"toEndpoints": [{"matchExpressions": [is_no_component()]}]}));
    }
    if let Some(proxies) = &subject.proxies {
        let ports = proxies.ports.iter();
        let ports = ports.map(|port| tree!({"port": port.to_string(), "protocol": "TCP"}));
        let to = tree!({
            "matchLabels": texts(proxies.labels()),
            "matchExpressions": [exists(POD_NAMESPACE)],
        });
        let ports = tree!([{"ports": ports.collect::<Tree>()}]);
        egress.push(tree!({"toEndpoints": [to], "toPorts": ports}));
    }
    if subject.egress == Egress::Open {
        egress.extend(ALIKE.cilium_outside.clone());
    }
    let spec = tree!({"endpointSelector": pods, "egress": egress});
    subject.object(CILIUM, "egress-openchoreo", spec)
}

const KUBERNETES: (&str, &str) = ("networking.k8s.io/v1", "NetworkPolicy");
const CILIUM: (&str, &str) = ("cilium.io/v2", "CiliumNetworkPolicy");

/// A line of a component that is called.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Peer<'a> {
    namespace: &'a str,
    project: &'a str,
    line: Cow<'a, str>,
    environment: &'a str,
}

impl Peer<'_> {
    /// What its pods are labelled with.
    fn labels(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.cell().chain([(labels::COMPONENT, &*self.line)])
    }

    /// What its cell is labelled with.
    fn cell(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            (labels::NAMESPACE, self.namespace),
            (labels::PROJECT, self.project),
            (labels::ENVIRONMENT, self.environment),
        ]
        .into_iter()
    }
}

impl Proxies {
    fn labels(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let labels = self.labels.iter();
        labels.map(|(key, value)| (*key, value.as_str()))
    }
}

/// Who calls.
#[derive(Debug, Clone, Copy)]
enum Who {
    Cell,
    Namespace,
    Gateways,
}

impl<'a> Subject<'a> {
    /// Callers, and the endpoints they may call; callers of nothing are left out.
    fn rules(&self) -> Vec<(Who, Vec<&'a WorkloadEndpoint>)> {
        let with = |wanted: &[Visibility]| -> Vec<&'a WorkloadEndpoint> {
            self.workload
                .endpoints
                .values()
                .filter(|endpoint| endpoint.visibility.iter().any(|one| wanted.contains(one)))
                .collect()
        };
        let rules = [
            (Who::Cell, self.workload.endpoints.values().collect()),
            (Who::Namespace, with(&[Visibility::Namespace])),
            (
                Who::Gateways,
                with(&[Visibility::Internal, Visibility::External]),
            ),
        ];
        rules
            .into_iter()
            .filter(|(_, endpoints)| !endpoints.is_empty())
            .collect()
    }

    /// The labels that cells of the same namespace and environment share.
    fn tenancy(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [labels::NAMESPACE, labels::ENVIRONMENT]
            .into_iter()
            .filter_map(|key| Some((key, self.labels.get(key)?.as_str()?)))
    }

    /// The lines of components that are called, each once.
    fn peers(&self) -> BTreeSet<Peer<'a>> {
        let calls = self.calls.iter();
        calls
            .map(|call| Peer {
                namespace: &call.namespace,
                project: &call.project,
                line: call.line(),
                environment: &call.environment,
            })
            .collect()
    }

    /// Whether `peer` is of the same cell.
    fn is_own(&self, peer: &Peer<'_>) -> bool {
        let own = |key, value| self.labels.get(key).is_some_and(|own| *own == value);
        own(labels::PROJECT, peer.project) && own(labels::ENVIRONMENT, peer.environment)
    }

    /// What lets the component in where it calls others of another environment, whose own policies
    /// know nothing of it. It goes when the component goes.
    fn admissions(&self) -> Vec<Tree> {
        let peers = self.peers().into_iter();
        peers
            .filter_map(|peer| {
                let endpoints = self.lent_endpoints(&peer);
                (!endpoints.is_empty()).then(|| self.admission(&peer, &endpoints))
            })
            .collect()
    }

    /// The endpoints of a component of another environment that the component calls.
    fn lent_endpoints(&self, peer: &Peer<'_>) -> Vec<&'a WorkloadEndpoint> {
        let is_elsewhere = self
            .labels
            .get(labels::ENVIRONMENT)
            .is_some_and(|own| *own != peer.environment);
        let is_peer = |lent: &&Lent<'_>| {
            let spec = &lent.binding.spec;
            spec.owner.project_name == peer.project
                && spec.owner.line() == peer.line
                && spec.environment == peer.environment
        };
        let Some(lent) = self.lent.iter().find(is_peer).filter(|_| is_elsewhere) else {
            return Vec::new();
        };
        let called = |name: &str| {
            let mut calls = self.calls.iter();
            calls.any(|call| call.line() == peer.line && call.endpoint == name)
        };
        let endpoints = lent.workload.endpoints.iter();
        let endpoints = endpoints.filter(|(name, _)| called(name));
        endpoints.map(|(_, endpoint)| endpoint).collect()
    }

    fn admission(&self, peer: &Peer<'_>, endpoints: &[&WorkloadEndpoint]) -> Tree {
        let cell = [labels::NAMESPACE, labels::PROJECT, labels::ENVIRONMENT];
        let of = |keys: &[&'static str]| -> Vec<(&'static str, &str)> {
            let keys = keys.iter();
            keys.filter_map(|key| Some((*key, self.labels.get(key)?.as_str()?)))
                .collect()
        };
        let (cell, own) = (of(&cell), of(&[labels::COMPONENT]));
        let ((api_version, kind), spec) = if self.provider == Some("cilium") {
            let caller = tree!({
                "matchLabels": texts(cell.into_iter().chain(own)),
                "matchExpressions": [exists(POD_NAMESPACE)],
            });
            let ports = cilium_ports(endpoints);
            let spec = tree!({
                "endpointSelector": {"matchLabels": texts(peer.labels())},
                "ingress": [{"fromEndpoints": [caller], "toPorts": ports}],
            });
            (CILIUM, spec)
        } else {
            let caller = tree!({
                "namespaceSelector": matching(cell.into_iter()),
                "podSelector": matching(own.into_iter()),
            });
            let spec = tree!({
                "podSelector": matching(peer.labels()),
                "policyTypes": &ALIKE.ingress,
                "ingress": [{"from": [caller], "ports": kubernetes_ports(endpoints)}],
            });
            (KUBERNETES, spec)
        };
        let name = ["preview", self.cell, self.line, &*peer.line];
        tree!({
            "apiVersion": api_version,
            "kind": kind,
            "metadata": {
                "name": kubernetes_name(OBJECT_LIMIT, &name),
                "namespace": cell_namespace(peer.namespace, peer.project, peer.environment),
            },
            "spec": spec,
        })
    }

    fn uses_resources(&self) -> bool {
        let dependencies = self.workload.dependencies.as_ref();
        dependencies.is_some_and(|dependencies| !dependencies.resources.is_empty())
    }

    /// A policy whose name begins with `prefix`. One prefix never begins with another and a `-`,
    /// so that no two components have policies of one name.
    fn object(&self, (api_version, kind): (&str, &str), prefix: &str, spec: Tree) -> Tree {
        let name = format!("{prefix}-{}", self.line);
        let name = if name.len() > OBJECT_LIMIT {
            kubernetes_name(OBJECT_LIMIT, &[prefix, self.line])
        } else {
            name
        };
        tree!({
            "apiVersion": api_version,
            "kind": kind,
            "metadata": {"name": name, "namespace": self.cell},
            "spec": spec,
        })
    }
}

/// An object of texts.
fn texts<'a>(texts: impl Iterator<Item = (&'static str, &'a str)>) -> Tree {
    Tree::Object(texts.collect())
}

/// Selects what has these labels.
fn matching<'a>(labels: impl Iterator<Item = (&'static str, &'a str)>) -> Tree {
    tree!({"matchLabels": texts(labels)})
}

/// What pods of managed resources have in common: they are of the cell, and of no component.
fn is_no_component() -> Tree {
    tree!({"key": labels::COMPONENT, "operator": "DoesNotExist"})
}

fn exists(key: &str) -> Tree {
    tree!({"key": key, "operator": "Exists"})
}

/// The port a pod listens on for `endpoint`, and its protocol.
fn pod_port(endpoint: &WorkloadEndpoint) -> (u16, &'static str) {
    (
        endpoint.target_port.unwrap_or(endpoint.port),
        protocol(endpoint),
    )
}

/// Ports in the order of endpoints, each once.
fn distinct(endpoints: &[&WorkloadEndpoint]) -> Vec<(u16, &'static str)> {
    let mut seen = BTreeSet::new();
    let is_only = endpoints.len() == 1;
    endpoints
        .iter()
        .map(|endpoint| pod_port(endpoint))
        .filter(|port| is_only || seen.insert(*port))
        .collect()
}

fn kubernetes_ports(endpoints: &[&WorkloadEndpoint]) -> Tree {
    let ports = distinct(endpoints).into_iter();
    ports
        .map(|(port, protocol)| tree!({"port": port, "protocol": protocol}))
        .collect()
}

/// HTTP-like ports with request rules, then plain ones; each sorted as text, as Cilium keeps them.
fn cilium_ports(endpoints: &[&WorkloadEndpoint]) -> Vec<Tree> {
    let (plain, http): (Vec<&WorkloadEndpoint>, Vec<&WorkloadEndpoint>) = endpoints
        .iter()
        .partition(|endpoint| matches!(endpoint.type_, EndpointType::Tcp | EndpointType::Udp));
    let sorted = |endpoints: &[&WorkloadEndpoint]| -> Vec<Tree> {
        let ports: BTreeSet<(String, &str)> = endpoints
            .iter()
            .map(|endpoint| pod_port(endpoint))
            .map(|(port, protocol)| (port.to_string(), protocol))
            .collect();
        ports
            .into_iter()
            .map(|(port, protocol)| tree!({"port": port, "protocol": protocol}))
            .collect()
    };
    let mut rules = Vec::new();
    if !http.is_empty() {
        rules.push(tree!({"ports": sorted(&http), "rules": {"http": [{}]}}));
    }
    if !plain.is_empty() {
        rules.push(tree!({"ports": sorted(&plain)}));
    }
    rules
}

#[cfg(test)]
mod tests;
