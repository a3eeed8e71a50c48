//! What the machine refused, as events of the pods it concerns: sentences for people, and annotations
//! from which a declaration can be made that would allow it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    sync::Arc,
};

use k8s_openapi::api::core::v1::Pod;
use tokio::sync::broadcast::{Receiver, error::RecvError};

use super::policy;
use crate::{
    index::{Index, Shared},
    machine::{Attempt, Event, Flow, Protocol, Refused, Uncarried},
    network::Network,
    notice::Notice,
    write::Executor,
};

/// The reason of a flow that no policy lets through.
pub const FLOW: &str = "FlowDenied";
/// The reason of a name that is not looked up.
pub const NAME: &str = "NameDenied";
/// The reason of packets with somebody else's address.
pub const FORGED: &str = "ForgedSource";
/// The reason of datagrams that policies let out, and that are lost all the same.
pub const UNCARRIED: &str = "DatagramsLost";
/// What begins the names of annotations.
const PREFIX: &str = "node.choreo.dev/";
/// Different things that are told of one pod.
const MOST: usize = 64;

/// Tells what the machine refuses, until it is gone. What gateways that lead out refuse comes from `gateways`,
/// of which there may be none.
pub async fn tell(
    mut events: Receiver<Event>,
    mut gateways: Receiver<Vec<Refused>>,
    index: Shared,
    network: Arc<Network>,
    executor: Executor,
) {
    let mut told = Told::default();
    let mut led = true;
    loop {
        let heard = tokio::select! {
            event = events.recv() => event,
            refused = gateways.recv(), if led => match refused {
                Err(RecvError::Closed) => {
                    led = false;
                    continue;
                }
                refused => refused.map(Event::Refused),
            },
        };
        let refused = match heard {
            Ok(Event::Refused(refused)) => refused,
            Ok(Event::Lost) | Err(RecvError::Closed) => return,
            // What was missed is told when it happens again.
            Ok(Event::ContainerExited { .. } | Event::ProcessExited { .. })
            | Err(RecvError::Lagged(_)) => continue,
        };
        let notices = {
            let index = index.read();
            let pods = network.pods(&index);
            told.retain(&pods);
            let all = refused.iter().flat_map(|one| notices(&pods, one));
            all.collect::<Vec<_>>()
        };
        for notice in notices {
            if let Some(notice) = told.admit(notice) {
                executor.notice(&notice);
            }
        }
    }
}

/// Pods by their addresses.
pub type Pods = BTreeMap<Ipv4Addr, Arc<Pod>>;

/// What was told of each pod: whoever tries everything does not fill the API.
#[derive(Debug, Default)]
struct Told {
    by_pod: BTreeMap<String, BTreeSet<String>>,
}

impl Told {
    /// Forgets pods that are gone.
    fn retain(&mut self, pods: &Pods) {
        let known: BTreeSet<_> = pods
            .values()
            .filter_map(|pod| pod.metadata.uid.as_deref())
            .collect();
        self.by_pod.retain(|uid, _| known.contains(uid.as_str()));
    }

    /// A notice as it is told: word by word, or once more that there is more.
    fn admit(&mut self, notice: Notice) -> Option<Notice> {
        let uid = notice.object.uid.clone()?;
        let told = self.by_pod.entry(uid).or_default();
        if told.contains(&notice.message) {
            return Some(notice);
        }
        if told.len() < MOST {
            told.insert(notice.message.clone());
            return Some(notice);
        }
        Some(Notice {
            message: "more was refused than is told one by one".to_owned(),
            annotations: BTreeMap::new(),
            ..notice
        })
    }
}

/// What is told of something that was refused: of the pod that tried, and of one that did not let it in.
fn notices(pods: &Pods, refused: &Refused) -> Vec<Notice> {
    let pod = pods.get(&refused.pod);
    let of = |reason, message: String, details: Vec<(&str, String)>| {
        let notice = Notice::warning(&**pod?, reason, message);
        Some(with(notice, refused, details))
    };
    let notice = match &refused.attempt {
        Attempt::Egress(flow) => {
            let to = target(pods, flow);
            let message =
                format!("egress to {to} is denied: no network policy of this pod allows it");
            of(FLOW, message, details(pods, flow, "egress"))
        }
        Attempt::Ingress(flow) => return ingress(pods, refused, flow),
        Attempt::Forged { source } => {
            let message =
                format!("packets from {source}, which is not the address of this pod, are dropped");
            of(
                FORGED,
                message,
                vec![("source-address", source.to_string())],
            )
        }
        Attempt::Host { host, port } => {
            let asked = match host.as_str() {
                "" => "a host that is not named".to_owned(),
                host => format!("host {host:?}"),
            };
            let message = format!(
                "egress to {asked} on TCP port {port} is denied: the gateway that was called leads to no \
                 such host"
            );
            let details = [
                ("direction", "egress".to_owned()),
                ("host", host.clone()),
                ("protocol", policy::word(Protocol::Tcp).to_owned()),
                ("port", port.to_string()),
            ];
            of(FLOW, message, details.into())
        }
        Attempt::Name { name } => {
            let message = format!(
                "the name {name:?} is not looked up: nothing that is declared lets this pod out to it"
            );
            of(NAME, message, vec![("name", name.clone())])
        }
        Attempt::Uncarried(why) => {
            let message = format!("datagrams to addresses outside are lost: {}", cause(why));
            of(UNCARRIED, message, Vec::new())
        }
    };
    notice.into_iter().collect()
}

/// Something that a pod did not let in.
fn ingress(pods: &Pods, refused: &Refused, flow: &Flow) -> Vec<Notice> {
    let own = pods.get(&refused.pod).map(|pod| {
        let from = peer(pods, flow.peer);
        let port = port(flow);
        let message = format!(
            "ingress from {from} to {port} is denied: no network policy of this pod allows it"
        );
        let notice = Notice::warning(&**pod, FLOW, message);
        with(notice, refused, details(pods, flow, "ingress"))
    });
    let caller = pods.get(&flow.peer).map(|caller| {
        let called = Flow {
            peer: refused.pod,
            ..flow.clone()
        };
        let to = target(pods, &called);
        let message = format!("egress to {to} is denied: no network policy over there allows it");
        let notice = Notice::warning(&**caller, FLOW, message);
        let mut details = details(pods, &called, "egress");
        details.push(("denied-by", "peer".to_owned()));
        with(notice, refused, details)
    });
    [own, caller].into_iter().flatten().collect()
}

fn cause(why: &Uncarried) -> String {
    match why {
        Uncarried::Flows => "this pod speaks with as many others at once as one may".to_owned(),
        Uncarried::AllFlows => {
            "the pods of this machine speak with as many others at once as they may".to_owned()
        }
        Uncarried::Waiting => "they are sent faster than they are carried".to_owned(),
        Uncarried::Unreached(flow) => format!(
            "{} on {} is not reached from this host, or is one of its own addresses",
            flow.peer,
            port(flow)
        ),
    }
}

fn with(notice: Notice, refused: &Refused, details: Vec<(&str, String)>) -> Notice {
    let details = details.into_iter();
    Notice {
        annotations: details
            .map(|(key, value)| (format!("{PREFIX}{key}"), value))
            .collect(),
        times: i32::try_from(refused.count).unwrap_or(i32::MAX),
        ..notice
    }
}

/// What a program needs to know of a flow.
fn details(pods: &Pods, flow: &Flow, direction: &str) -> Vec<(&'static str, String)> {
    let mut details = vec![
        ("direction", direction.to_owned()),
        ("peer-address", flow.peer.to_string()),
    ];
    if let Some(protocol) = flow.protocol {
        details.push(("protocol", policy::word(protocol).to_owned()));
        details.push(("port", flow.port.to_string()));
    }
    if let Some(pod) = pods.get(&flow.peer) {
        let metadata = &pod.metadata;
        details.extend(
            metadata
                .namespace
                .clone()
                .map(|name| ("peer-namespace", name)),
        );
        details.extend(metadata.name.clone().map(|name| ("peer-pod", name)));
    }
    details
}

fn target(pods: &Pods, flow: &Flow) -> String {
    format!("{} on {}", peer(pods, flow.peer), port(flow))
}

fn port(flow: &Flow) -> String {
    flow.protocol.map_or_else(
        || "no port".to_owned(),
        |protocol| format!("{} port {}", policy::word(protocol), flow.port),
    )
}

fn peer(pods: &Pods, address: Ipv4Addr) -> String {
    let pod = pods.get(&address).map(|pod| &pod.metadata);
    let name = pod.and_then(|pod| Some((pod.namespace.as_ref()?, pod.name.as_ref()?)));
    name.map_or_else(
        || address.to_string(),
        |(namespace, name)| format!("pod {namespace}/{name} ({address})"),
    )
}

impl Network {
    /// The pods that have addresses.
    pub fn pods(&self, index: &Index) -> Pods {
        let pods = index.pods.iter().filter_map(|pod| {
            let address = self.address(pod.metadata.uid.as_deref()?)?;
            Some((address, Arc::clone(pod)))
        });
        pods.collect()
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

    use super::*;

    const WEB: Ipv4Addr = Ipv4Addr::new(10, 128, 1, 2);
    const API: Ipv4Addr = Ipv4Addr::new(10, 128, 2, 2);

    fn pods() -> Pods {
        let pod = |namespace: &str, name: &str| {
            Arc::new(Pod {
                metadata: ObjectMeta {
                    name: Some(name.into()),
                    namespace: Some(namespace.into()),
                    uid: Some(name.into()),
                    ..ObjectMeta::default()
                },
                ..Pod::default()
            })
        };
        [(WEB, pod("shop", "web")), (API, pod("bank", "api"))].into()
    }

    fn check(pod: Ipv4Addr, attempt: Attempt, expected: &[&str]) -> Vec<Notice> {
        let refused = Refused {
            pod,
            attempt,
            count: 3,
        };
        let told = notices(&pods(), &refused);
        let said: Vec<_> = told
            .iter()
            .map(|notice| {
                let name = notice.object.name.as_deref().unwrap_or_default();
                assert_eq!(notice.times, 3);
                format!("{name} {}: {}", notice.reason, notice.message)
            })
            .collect();
        assert_eq!(said, expected);
        told
    }

    fn flow(peer: Ipv4Addr) -> Flow {
        Flow {
            peer,
            protocol: Some(Protocol::Tcp),
            port: 5432,
        }
    }

    #[test]
    fn both_ends_are_told_what_was_tried() {
        let outside = Ipv4Addr::new(203, 0, 113, 9);
        let told = check(
            WEB,
            Attempt::Egress(flow(outside)),
            &[
                "web FlowDenied: egress to 203.0.113.9 on TCP port 5432 is denied: no network policy of this pod allows it",
            ],
        );
        let details: Vec<_> = told[0].annotations.iter().collect();
        let details: Vec<_> = details
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let expected = [
            "direction=egress",
            "peer-address=203.0.113.9",
            "port=5432",
            "protocol=TCP",
        ];
        assert_eq!(details, expected.map(|detail| format!("{PREFIX}{detail}")));
        let told = check(
            API,
            Attempt::Ingress(flow(WEB)),
            &[
                "api FlowDenied: ingress from pod shop/web (10.128.1.2) to TCP port 5432 is denied: no network policy of this pod allows it",
                "web FlowDenied: egress to pod bank/api (10.128.2.2) on TCP port 5432 is denied: no network policy over there allows it",
            ],
        );
        assert_eq!(told[1].annotations["node.choreo.dev/peer-pod"], "api");
        let nobody = Ipv4Addr::new(10, 128, 9, 9);
        check(nobody, Attempt::Egress(flow(outside)), &[]);
    }

    #[test]
    fn hosts_that_a_gateway_does_not_lead_to_are_told() {
        let host = |host: &str| Attempt::Host {
            host: host.to_owned(),
            port: 443,
        };
        let told = check(
            WEB,
            host("evil.test"),
            &[
                "web FlowDenied: egress to host \"evil.test\" on TCP port 443 is denied: the gateway that was called leads to no such host",
            ],
        );
        assert_eq!(told[0].annotations["node.choreo.dev/host"], "evil.test");
        check(
            WEB,
            host(""),
            &[
                "web FlowDenied: egress to a host that is not named on TCP port 443 is denied: the gateway that was called leads to no such host",
            ],
        );
        // A port that a gateway does not have.
        check(
            Ipv4Addr::new(10, 112, 0, 1),
            Attempt::Ingress(flow(WEB)),
            &[
                "web FlowDenied: egress to 10.112.0.1 on TCP port 5432 is denied: no network policy over there allows it",
            ],
        );
    }

    #[test]
    fn names_and_forged_packets_are_told() {
        let name = "example.com".to_owned();
        check(
            WEB,
            Attempt::Name { name },
            &[
                "web NameDenied: the name \"example.com\" is not looked up: nothing that is declared lets this pod out to it",
            ],
        );
        check(
            WEB,
            Attempt::Forged { source: API },
            &[
                "web ForgedSource: packets from 10.128.2.2, which is not the address of this pod, are dropped",
            ],
        );
    }

    #[test]
    fn datagrams_that_are_lost_are_told() {
        let host = Flow {
            protocol: Some(Protocol::Udp),
            port: 53,
            ..flow(Ipv4Addr::new(8, 8, 8, 8))
        };
        for (why, expected) in [
            (
                Uncarried::Flows,
                "this pod speaks with as many others at once as one may",
            ),
            (
                Uncarried::Unreached(host),
                "8.8.8.8 on UDP port 53 is not reached from this host, or is one of its own addresses",
            ),
        ] {
            let expected =
                format!("web DatagramsLost: datagrams to addresses outside are lost: {expected}");
            check(WEB, Attempt::Uncarried(why), &[&expected]);
        }
    }

    #[test]
    fn a_pod_that_tries_everything_is_told_in_the_end_in_one_sentence() {
        let mut told = Told::default();
        for port in 0..200 {
            let flow = Flow { port, ..flow(API) };
            let refused = Refused::once(WEB, Attempt::Egress(flow));
            for notice in notices(&pods(), &refused) {
                let notice = told.admit(notice).unwrap();
                let more = notice.message.starts_with("more was refused");
                assert_eq!(more, usize::from(port) >= MOST);
            }
        }
        told.retain(&Pods::new());
        assert!(told.by_pod.is_empty());
    }
}
