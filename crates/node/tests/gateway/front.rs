//! The host's ports are Envoy's own: it sees who comes, all its workers are reached, and ports come, go and wait.

use std::{
    collections::BTreeSet,
    io::ErrorKind,
    net::{SocketAddr, TcpListener},
    path::Path,
    time::{Duration, Instant},
};

use choreo_node::gateway::metrics;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};

use crate::home::{Home, Reply, expect, over, send};

const GATEWAY: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {namespace: plane, name: g}
spec:
  gatewayClassName: choreo
  addresses: [{value: NET.1}, {value: NET.2}]
  listeners: [{name: http, port: 8080, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {namespace: cell, name: web}
spec: {parentRefs: [{name: g, namespace: plane}], rules: [{backendRefs: [{name: one, port: 80}]}]}
";
const KIND: (&str, &str) = ("gateway.networking.k8s.io/v1", "Gateway");
const REQUEST: &str = "GET http://a.test/";

async fn start(number: u8) -> Option<Home> {
    let home = Home::start(number).await?;
    home.backend("one").await;
    home.apply(GATEWAY).await;
    expect(home.at(1, 8080), REQUEST, 200).await;
    expect(home.at(2, 8080), REQUEST, 200).await;
    Some(home)
}

/// A request from an address of the client's own.
async fn send_from(from: SocketAddr, to: SocketAddr) -> Reply {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(from).unwrap();
    let stream = socket.connect(to).await.unwrap();
    over(TokioIo::new(stream), REQUEST, false).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_are_known_by_their_address() {
    let Some(home) = start(31).await else {
        return;
    };
    let client = home.at(99, 0);
    let reply = send_from(client, home.at(1, 8080)).await;
    let told = format!("x-forwarded-for: {}", client.ip());
    assert!(reply.body.contains(&told), "{reply:?}");
    let logged = format!("\"client\":\"{}\"", client.ip());
    let log = home.folder.join("live/access.log");
    let late = Instant::now() + Duration::from_secs(10);
    while !std::fs::read_to_string(&log).unwrap().contains(&logged) {
        assert!(Instant::now() < late, "the log does not name the client");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The workers of Envoy that took connections at ports of the host.
async fn workers(folder: &Path) -> BTreeSet<String> {
    let text = String::from_utf8(metrics(folder).await.unwrap()).unwrap();
    let counted = text.lines().filter(|line| {
        line.starts_with("envoy_listener_worker_downstream_cx_total{") && !line.ends_with(" 0")
    });
    counted
        .filter(|line| line.contains("8080"))
        .map(str::to_owned)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_spread_over_all_workers() {
    let Some(home) = start(32).await else {
        return;
    };
    let mut open = Vec::new();
    for _ in 0..64 {
        open.push(TcpStream::connect(home.at(1, 8080)).await.unwrap());
        expect(home.at(1, 8080), REQUEST, 200).await;
    }
    let workers = workers(&home.folder).await;
    assert_eq!(workers.len(), 2, "{workers:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_wait_while_envoy_is_started_again() {
    let Some(home) = start(33).await else {
        return;
    };
    for _ in 0..2 {
        let pid = home.pid.lock().unwrap().unwrap();
        let target = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap());
        nix::sys::signal::kill(target, nix::sys::signal::Signal::SIGKILL).unwrap();
        while Path::new(&format!("/proc/{pid}/fd/0")).exists() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // Nobody is refused, and nobody is told to come again.
        let mut clients = tokio::task::JoinSet::new();
        for number in 0..32 {
            clients.spawn(send(home.at(1 + number % 2, 8080), REQUEST));
        }
        while let Some(reply) = clients.join_next().await {
            assert_eq!(reply.unwrap().unwrap().status, 200);
        }
        assert_ne!(home.pid.lock().unwrap().unwrap(), pid);
    }
}

fn programmed(status: &Value) -> &Value {
    &status["conditions"][1]["status"]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ports_are_given_up_and_had_again() {
    let Some(home) = start(34).await else {
        return;
    };
    let fewer = GATEWAY.replace(", {value: NET.2}", "");
    let other = home.at(2, 8080);
    for _ in 0..2 {
        home.apply(&fewer).await;
        // Nobody of the two listens there any more, so another program can.
        let late = Instant::now() + Duration::from_secs(10);
        let taken = loop {
            match TcpListener::bind(other) {
                Ok(taken) => break taken,
                Err(error) => assert_eq!(error.kind(), ErrorKind::AddrInUse),
            }
            assert!(Instant::now() < late, "{other} is not given up");
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        expect(home.at(1, 8080), REQUEST, 200).await;
        // What cannot be had is told, and keeps nothing else from being served.
        home.apply(GATEWAY).await;
        let refused = |status: &Value| *programmed(status) == json!("False");
        home.status(KIND, ("plane", "g"), refused).await;
        expect(home.at(1, 8080), REQUEST, 200).await;
        drop(taken);
        expect(other, REQUEST, 200).await;
        let good = |status: &Value| *programmed(status) == json!("True");
        home.status(KIND, ("plane", "g"), good).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_of_the_start_apologizes_for_an_envoy_that_does_not_come() {
    let started = Home::start_with(35, |settings| settings.envoy = "/bin/false".into()).await;
    let Some(home) = started else {
        return;
    };
    let reply = send(home.fixed, REQUEST).await.unwrap();
    assert_eq!(reply.status, 503);
    assert_eq!(reply.header("retry-after"), "1");
}
