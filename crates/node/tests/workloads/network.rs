//! The network of pods on the real API: policies come first, and what is refused is told.

use std::net::Ipv4Addr;

use choreo_node::machine::{Attempt, Event as MachineEvent, Flow, Protocol, Refused};
use k8s_openapi::api::{
    core::v1::{Event, Pod},
    networking::v1::NetworkPolicy,
};
use serde_json::json;

use crate::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policies_hold_before_pods_are_made() {
    let world = World::start().await;
    for round in 0..8 {
        let name = format!("p{round}");
        let selector = json!({"matchLabels": {"round": name}});
        let policy = json!({"metadata": {"name": name},
            "spec": {"podSelector": selector, "policyTypes": ["Ingress", "Egress"]}});
        world.create::<NetworkPolicy>(policy).await;
        let pod = json!({"metadata": {"name": name, "labels": {"round": name}},
            "spec": {"containers": [{"name": "main", "image": "run"}]}});
        world.create::<Pod>(pod).await;
    }
    world
        .settled("made", |machine| machine.pods.lock().unwrap().len() == 8)
        .await;
    let rules = world.machine.pods.lock().unwrap().clone();
    for rules in rules.values() {
        let names = [&rules.ingress, &rules.egress].map(|names| names.as_ref().map(Vec::len));
        assert_eq!(names, [Some(1), Some(1)], "{rules:?}");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_is_told_of_the_pod() {
    let world = World::start().await;
    let pod = json!({"metadata": {"name": "p"},
        "spec": {"containers": [{"name": "main", "image": "run"}]}});
    world.create::<Pod>(pod).await;
    let running = world
        .until::<Pod>("address", |all| {
            all.first()
                .is_some_and(|pod| pod["status"]["podIP"].is_string())
        })
        .await;
    let address: Ipv4Addr = running[0]["status"]["podIP"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let flow = Flow {
        peer: Ipv4Addr::new(203, 0, 113, 9),
        protocol: Some(Protocol::Tcp),
        port: 443,
    };
    for count in [2, 3] {
        let refused = Refused {
            pod: address,
            attempt: Attempt::Egress(flow.clone()),
            count,
        };
        let told = MachineEvent::Refused(vec![refused]);
        world.machine.events.send(told).unwrap();
    }
    let denied = |event: &&serde_json::Value| event["reason"] == "FlowDenied";
    let events = world
        .until::<Event>("told", |all| {
            all.iter()
                .find(denied)
                .is_some_and(|event| event["count"] == 5)
        })
        .await;
    let events: Vec<_> = events.iter().filter(denied).collect();
    assert_eq!(events.len(), 1, "{events:?}");
    let details = &events[0]["metadata"]["annotations"];
    assert_eq!(details["node.choreo.dev/peer-address"], "203.0.113.9");
    assert_eq!(details["node.choreo.dev/port"], "443");
    assert_eq!(events[0]["involvedObject"]["name"], "p");
    world.end().await;
}
