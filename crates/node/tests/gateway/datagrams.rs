//! Datagrams: what clients send to a Gateway reaches the backend that is chosen for them, and comes back.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use serde_json::Value;
use tokio::net::UdpSocket;

use crate::home::{Home, expect};

const GATEWAY: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {namespace: plane, name: g}
spec:
  gatewayClassName: choreo
  addresses: [{value: NET.1}]
  listeners:
    - {name: udp, port: 5300, protocol: UDP, allowedRoutes: &all {namespaces: {from: All}}}
    - {name: taken, port: 5301, protocol: UDP, allowedRoutes: *all}
    # A port of UDP is another than that of TCP.
    - {name: http, port: 5300, protocol: HTTP, allowedRoutes: *all}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {namespace: cell, name: web}
spec: {parentRefs: [{name: g, namespace: plane}], rules: [{backendRefs: [{name: web, port: 80}]}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: UDPRoute
metadata: {namespace: cell, name: echo}
spec:
  parentRefs: [{name: g, namespace: plane}]
  rules: [{backendRefs: [{name: one, port: 53}, {name: two, port: 53, weight: 0}]}]
";

/// A Service with a backend that answers with its name and what it was sent.
async fn backend(home: &Home, name: &'static str) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = vec![0; 1 << 16];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let answer = [name.as_bytes(), b" ", &buffer[..length]].concat();
            let _sent = socket.send_to(&answer, from).await;
        }
    });
    home.apply(&format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{namespace: cell, name: {name}}}\nspec: {{ports: [{{name: \
         dns, port: 53, protocol: UDP}}]}}\n---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
         addressType: IPv4\nmetadata: {{namespace: cell, name: {name}-1, labels: \
         {{kubernetes.io/service-name: {name}}}}}\nports: [{{name: dns, protocol: UDP, port: {}}}]\n\
         endpoints: [{{addresses: [{}], conditions: {{ready: true}}}}]\n",
        address.port(),
        address.ip(),
    ))
    .await;
}

/// What comes back for a datagram, from the Gateway itself; it may get lost, and is then sent again.
async fn ask(client: &UdpSocket, gateway: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let mut buffer = vec![0; 1 << 16];
    for _ in 0..100 {
        client.send_to(payload, gateway).await.unwrap();
        let received = client.recv_from(&mut buffer);
        let received = tokio::time::timeout(Duration::from_millis(200), received).await;
        if let Ok(Ok((length, from))) = received {
            assert_eq!(from, gateway);
            return buffer[..length].to_vec();
        }
    }
    panic!("{gateway} never answered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn datagrams_are_carried_there_and_back() {
    let Some(home) = Home::start(20).await else {
        return;
    };
    home.backend("web").await;
    backend(&home, "one").await;
    backend(&home, "two").await;
    // Somebody else's port is told of, and had once it is free.
    let taken = UdpSocket::bind(home.at(1, 5301)).await.unwrap();
    home.apply(GATEWAY).await;
    let gateway = home.at(1, 5300);
    let mut answers = BTreeSet::new();
    for number in 0..20 {
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let payload = format!("hello {number}");
        let answer = ask(&client, gateway, payload.as_bytes()).await;
        assert_eq!(answer, format!("one {payload}").as_bytes());
        answers.insert(answer);
    }
    assert_eq!(answers.len(), 20);
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for length in [0, 1, 62, 63, 1200, 1400] {
        let payload = vec![b'x'; length];
        let answer = ask(&client, gateway, &payload).await;
        assert_eq!(answer, [b"one ", payload.as_slice()].concat());
    }
    expect(gateway, "GET http://a.test/", 200).await;

    let programmed = |status: &Value, wanted: &str| {
        let listeners = status["listeners"].as_array();
        let mut listeners = listeners.into_iter().flatten();
        let taken = listeners.find(|listener| listener["name"] == "taken");
        taken.is_some_and(|listener| {
            let mut conditions = listener["conditions"].as_array().into_iter().flatten();
            conditions.any(|c| c["type"] == "Programmed" && c["status"] == wanted)
        })
    };
    let kind = ("gateway.networking.k8s.io/v1", "Gateway");
    home.status(kind, ("plane", "g"), |status| programmed(status, "False"))
        .await;
    drop(taken);
    home.status(kind, ("plane", "g"), |status| programmed(status, "True"))
        .await;
    assert_eq!(ask(&client, home.at(1, 5301), b"hi").await, b"one hi");
}
