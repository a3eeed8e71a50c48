//! Datagrams to the outside: a matter of `egress: open`, and not of what is declared.

use std::{
    net::{SocketAddr, UdpSocket},
    thread,
};

use serde_json::json;

use super::calls::{called, passes, refused_to, status};
use crate::choreo::{Choreo, waits};

/// A host outside: an address that is everybody's. One of its ports is that of name servers, which carry out
/// whatever one asks them for.
pub(super) const TARGETS: [&str; 2] = ["11.22.33.44:4433", "11.22.33.44:53"];
/// What comes back.
const ECHO: &str = "14 bytes";

/// Answers with what it hears, until the test ends.
pub(super) fn start() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut heard = [0; 1500];
        while let Ok((length, from)) = socket.recv_from(&mut heard) {
            let _gone = socket.send_to(&heard[..length], from);
        }
    });
    address
}

/// Plays all of it, with the component that calls; `words` are those that the platform was started with.
pub(super) fn play(choreo: &Choreo, words: &[&str]) {
    refused(choreo);
    set_egress(choreo, "open");
    for target in TARGETS {
        passes(choreo, &format!("udp://{target}"), ECHO);
    }
    let answer = called(choreo, "udp://169.254.169.254:80");
    assert!(answer.starts_with("no answer"), "{answer}");
    choreo.down();
    choreo.up_with_or_skip(words).unwrap();
    for target in TARGETS {
        passes(choreo, &format!("udp://{target}"), ECHO);
    }
    set_egress(choreo, "closed");
    passes(choreo, &format!("udp://{}", TARGETS[0]), "no answer");
    refused(choreo);
}

fn refused(choreo: &Choreo) {
    for target in TARGETS {
        let answer = called(choreo, &format!("udp://{target}"));
        assert!(answer.starts_with("no answer"), "{target}: {answer}");
        let (_, port) = target.split_once(':').unwrap();
        let told = || refused_to(choreo, &format!("11.22.33.44 on UDP port {port}"));
        waits(|| told().is_some(), || status(choreo).to_string());
        let advice = told().unwrap()["suggestion"]["advice"].clone();
        let advice = advice.as_str().unwrap();
        assert!(advice.contains("`egress: open`"), "{advice}");
    }
}

/// What components of the environment may call besides what they declare.
fn set_egress(choreo: &Choreo, egress: &str) {
    let environment = choreo.run(&["get", "environment", "development", "-o", "json"]);
    let mut spec = environment.ok().json()["spec"].clone();
    spec["egress"] = json!(egress);
    let environment = json!({
        "apiVersion": "openchoreo.dev/v1alpha1", "kind": "Environment",
        "metadata": {"name": "development", "namespace": "default"}, "spec": spec,
    });
    choreo.apply(&environment.to_string()).ok();
}
