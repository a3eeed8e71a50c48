//! Addresses of services, cells and pods: each given once, kept as long as its object.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use k8s_openapi::api::core::v1::{Namespace, Pod, Service};
use serde_json::json;

use crate::{
    index::{Index, Key},
    notice::Notice,
    write::{Decision, Write},
};

/// The annotation of a namespace that remembers its cell.
pub const CELL: &str = "node.choreo.dev/cell";

/// Prefix length of a cell's range.
pub const CELL_PREFIX: u8 = 24;

/// Services live in 10.96.0.0/12.
const SERVICES: u32 = 0x0a60_0000;
const SERVICE_COUNT: u32 = 1 << 20;

/// Cells live in 10.128.0.0/9: `index` numbers its /24.
const CELLS: u32 = 0x0a80_0000;
const CELL_COUNT: u16 = 1 << 15;

/// Gives a service that needs one its address.
pub fn decide(index: &Index, key: &Key) -> Decision {
    let mut decision = Decision::default();
    let Some(service) = index.services.get(key) else {
        return decision;
    };
    if !wants_address(service) {
        return decision;
    }
    let used: BTreeSet<Ipv4Addr> = index
        .services
        .iter()
        .filter_map(|service| address(service))
        .collect();
    if let Some(address) = free(&used, key) {
        let text = address.to_string();
        let patch = json!({"spec": {
            "clusterIP": text, "clusterIPs": [text],
            "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
        }});
        decision.writes.push(Write::merge(&**service, patch));
    } else {
        let message = "every service address is taken: delete services";
        let notice = Notice::warning(&**service, "FailedAllocateClusterIP", message);
        decision.writes.push(Write::Notice(notice));
    }
    decision
}

fn wants_address(service: &Service) -> bool {
    let Some(spec) = &service.spec else {
        return false;
    };
    let kind = spec.type_.as_deref().unwrap_or("ClusterIP");
    service.metadata.deletion_timestamp.is_none()
        && kind != "ExternalName"
        && spec.cluster_ip.as_deref().unwrap_or_default().is_empty()
}

/// The virtual address of a service that has one.
pub fn address(service: &Service) -> Option<Ipv4Addr> {
    service.spec.as_ref()?.cluster_ip.as_ref()?.parse().ok()
}

/// Whether a service is names of pods only.
pub fn is_headless(service: &Service) -> bool {
    service
        .spec
        .as_ref()
        .and_then(|spec| spec.cluster_ip.as_deref())
        == Some("None")
}

/// A free address, spread by name so that a service made again tends to get its old one.
fn free(used: &BTreeSet<Ipv4Addr>, key: &Key) -> Option<Ipv4Addr> {
    let seed = crate::workload::fnv(key.to_string().as_bytes()) % SERVICE_COUNT;
    (0..SERVICE_COUNT)
        .map(|step| (seed + step) % SERVICE_COUNT)
        .filter(|offset| !matches!(offset & 0xff, 0 | 255))
        .map(|offset| Ipv4Addr::from(SERVICES + offset))
        .find(|address| !used.contains(address))
}

/// The range of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// Number of the cell.
    pub index: u16,
}

impl Range {
    fn base(self) -> u32 {
        CELLS + (u32::from(self.index) << 8)
    }

    /// The first and the last address.
    pub fn bounds(self) -> (Ipv4Addr, Ipv4Addr) {
        (self.base().into(), (self.base() | 0xff).into())
    }

    /// Address of the bridge.
    pub fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::from(self.base() + 1)
    }

    /// Addresses of pods.
    fn pods(self) -> impl Iterator<Item = Ipv4Addr> {
        (2..255).map(move |host| Ipv4Addr::from(self.base() + host))
    }

    fn holds(self, address: Ipv4Addr) -> bool {
        u32::from(address) & !0xff == self.base()
    }
}

/// The cell that a namespace remembers.
pub fn cell(namespace: &Namespace) -> Option<Range> {
    let annotation = namespace.metadata.annotations.as_ref()?.get(CELL)?;
    annotation
        .parse()
        .ok()
        .filter(|index| *index < CELL_COUNT)
        .map(|index| Range { index })
}

/// Addresses given to pods and cells given to namespaces, ahead of what the API has recorded.
#[derive(Debug, Default)]
pub struct Ledger {
    cells: BTreeMap<String, Range>,
    pods: BTreeMap<String, (String, Ipv4Addr)>,
}

impl Ledger {
    /// The cell of a namespace: the recorded one, unless another namespace claims it too.
    pub fn cell(&mut self, index: &Index, namespace: &str) -> Option<Range> {
        if let Some(range) = self.cells.get(namespace) {
            return Some(*range);
        }
        self.cells
            .retain(|name, _| index.namespaces.find("", name).is_some());
        let mut taken: BTreeSet<u16> = self.cells.values().map(|range| range.index).collect();
        let recorded = index
            .namespaces
            .find("", namespace)
            .and_then(|found| cell(found));
        let free = recorded.filter(|range| !taken.contains(&range.index));
        let range = if let Some(range) = free {
            range
        } else {
            taken.extend(
                index
                    .namespaces
                    .iter()
                    .filter_map(|found| cell(found))
                    .map(|r| r.index),
            );
            Range {
                index: (1..CELL_COUNT).find(|number| !taken.contains(number))?,
            }
        };
        self.cells.insert(namespace.to_owned(), range);
        Some(range)
    }

    /// The address of a pod: the one it had, or a free one of its cell.
    pub fn pod(&mut self, index: &Index, pod: &Pod) -> Option<Ipv4Addr> {
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        if let Some((_, address)) = self.pods.get(&uid) {
            return Some(*address);
        }
        let namespace = pod.metadata.namespace.clone().unwrap_or_default();
        let range = self.cell(index, &namespace)?;
        let mut used: BTreeSet<Ipv4Addr> =
            self.pods.values().map(|(_, address)| *address).collect();
        let had =
            pod_address(pod).filter(|address| range.holds(*address) && !used.contains(address));
        let address = if let Some(address) = had {
            address
        } else {
            used.extend(
                index
                    .pods
                    .within(&namespace)
                    .filter_map(|other| pod_address(other)),
            );
            range.pods().find(|address| !used.contains(address))?
        };
        self.pods.insert(uid, (namespace, address));
        Some(address)
    }

    /// Frees the address of a pod that is gone.
    pub fn release(&mut self, uid: &str) {
        self.pods.remove(uid);
    }

    /// The cells in use: those of namespaces that exist.
    pub fn cells<'a>(&'a self, index: &'a Index) -> impl Iterator<Item = (&'a String, Range)> + 'a {
        self.cells
            .iter()
            .filter(|(name, _)| index.namespaces.find("", name).is_some())
            .map(|(name, range)| (name, *range))
    }

    /// The address of a pod by its uid.
    pub fn address(&self, uid: &str) -> Option<Ipv4Addr> {
        self.pods.get(uid).map(|(_, address)| *address)
    }
}

/// The address that a pod's status records, while the pod has not ended.
pub fn pod_address(pod: &Pod) -> Option<Ipv4Addr> {
    let status = pod.status.as_ref()?;
    let ended = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
    status.pod_ip.as_ref().filter(|_| !ended)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{
        api::core::v1::{PodStatus, ServiceSpec},
        apimachinery::pkg::apis::meta::v1::ObjectMeta,
    };

    use super::*;

    fn meta(namespace: &str, name: &str) -> ObjectMeta {
        ObjectMeta {
            name: Some(name.into()),
            namespace: Some(namespace.into()),
            uid: Some(format!("{namespace}-{name}")),
            ..ObjectMeta::default()
        }
    }

    fn service(name: &str, address: Option<&str>) -> Service {
        Service {
            metadata: meta("ns", name),
            spec: Some(ServiceSpec {
                cluster_ip: address.map(Into::into),
                ..ServiceSpec::default()
            }),
            status: None,
        }
    }

    fn given(index: &Index, name: &str) -> Option<String> {
        match decide(index, &Key::new("ns", name)).writes.first() {
            Some(Write::Merge(_, patch)) => patch["spec"]["clusterIP"].as_str().map(Into::into),
            _ => None,
        }
    }

    #[test]
    fn an_address_is_given_once_and_never_twice() {
        let mut index = Index::default();
        index.apply(service("a", None));
        let first = given(&index, "a").unwrap();
        assert_eq!(given(&index, "a").as_ref(), Some(&first), "stable");
        index.apply(service("b", Some(&first)));
        assert_ne!(given(&index, "a").unwrap(), first, "taken");
        index.apply(service("none", Some("None")));
        assert_eq!(given(&index, "none"), None, "headless");
        assert_eq!(given(&index, "b"), None, "kept");
    }

    #[test]
    fn cells_and_pods_keep_what_they_had() {
        let mut index = Index::default();
        for (name, cell) in [("one", Some("7")), ("two", None), ("three", Some("7"))] {
            let mut metadata = meta("", name);
            metadata.namespace = None;
            metadata.annotations = cell.map(|cell| [(CELL.to_owned(), cell.to_owned())].into());
            index.apply(Namespace {
                metadata,
                ..Namespace::default()
            });
        }
        let mut ledger = Ledger::default();
        assert_eq!(ledger.cell(&index, "one"), Some(Range { index: 7 }));
        assert_eq!(ledger.cell(&index, "two"), Some(Range { index: 1 }));
        assert_eq!(
            ledger.cell(&index, "three"),
            Some(Range { index: 2 }),
            "claimed twice"
        );
        let had = Pod {
            metadata: meta("one", "had"),
            status: Some(PodStatus {
                pod_ip: Some("10.128.7.2".into()),
                ..PodStatus::default()
            }),
            ..Pod::default()
        };
        index.apply(had.clone());
        let fresh = Pod {
            metadata: meta("one", "fresh"),
            ..Pod::default()
        };
        assert_eq!(
            ledger.pod(&index, &fresh),
            Some(Ipv4Addr::new(10, 128, 7, 3))
        );
        assert_eq!(ledger.pod(&index, &had), Some(Ipv4Addr::new(10, 128, 7, 2)));
        assert_eq!(
            ledger.pod(&index, &fresh),
            Some(Ipv4Addr::new(10, 128, 7, 3))
        );
    }
}
