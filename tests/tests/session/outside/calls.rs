//! Calls of a component to the outside: what is declared passes, and what is not is refused, and told with what would
//! allow it.

use serde_json::{Value, json};

use super::{HOST, comes};
use crate::{
    choreo::{Choreo, waits},
    http::Request,
};

/// The hosts that are called over TLS.
pub(super) const SECURED: [&str; 3] = ["rates.example", "cards.example", "sandbox.example"];

/// Names that carry data out, if a name server asks others for them: long ones, and those of records that hold much.
const TUNNELS: [&str; 3] = [
    "dns://c2VjcmV0LW9mLXRoZS1zaG9w.tunnel.example/TXT",
    "dns://bW9yZS1vZi10aGUtc2VjcmV0.tunnel.example/NULL",
    "dns://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\
     bbbbbbbbbbbbbbbbbbbb.ccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc.tunnel.example/A",
];

/// Plays all of it.
pub(super) fn play(choreo: &Choreo) {
    apply(choreo, &json!([]));
    choreo.waits_for(HOST, "/caller-http/x");
    says_what_would_allow_a_call(choreo);
    speaks_for_the_component(choreo);
    refuses_other_ways(choreo);
    lets_no_name_carry_data(choreo);
    calls_another_host_where_a_binding_says_so(choreo);
}

/// The suggestion for what was refused is applied as it is, and the call passes.
fn says_what_would_allow_a_call(choreo: &Choreo) {
    let url = "https://cards.example/x";
    let refused = called(choreo, url);
    assert!(refused.starts_with("no answer"), "{refused}");
    let told = || refused_to(choreo, "name cards.example");
    waits(|| told().is_some(), || status(choreo).to_string());
    let suggestion = told().unwrap()["suggestion"].clone();
    assert_eq!(
        suggestion["advice"],
        "to call cards.example, add this to Workload caller"
    );
    let text = choreo.run(&["status", "shop"]).ok();
    text.has("Refused:").has("host: cards.example");
    apply(
        choreo,
        &suggestion["declaration"]["spec"]["dependencies"]["external"],
    );
    // The component speaks TLS with the host itself, and checks its certificate.
    passes(choreo, url, "200 GET over TLS host=cards.example path=/x ");
}

/// The gateway speaks TLS, in time, and tries again; the component calls by the address it is given or by the name.
fn speaks_for_the_component(choreo: &Choreo) {
    apply(
        choreo,
        &json!([
            {
                "name": "rates", "host": "rates.example", "port": 443, "protocol": "HTTPS",
                "tls": {"mode": "Originate"}, "timeouts": {"request": "2s"},
                "retries": {"attempts": 2, "codes": [503]}, "envBindings": {"url": "RATES"},
            },
            {
                "name": "cards", "host": "cards.example", "port": 443, "protocol": "HTTPS",
                "envBindings": {"address": "CARDS"},
            },
        ]),
    );
    let told = "200 GET over TLS host=rates.example";
    passes(choreo, "$RATES/x", told);
    passes(choreo, "http://rates.example/x", told);
    passes(choreo, "$CARDS/x", "200 GET over TLS host=cards.example");
    // The policy may reach the gateway a moment after the route.
    passes(choreo, "$RATES/flaky", told);
    // Every other request fails there, and none here.
    for _ in 0..4 {
        let answer = called(choreo, "$RATES/flaky");
        assert!(answer.starts_with(told), "{answer}");
    }
    let answer = called(choreo, "$RATES/slow");
    assert!(answer.starts_with("504 "), "{answer}");
}

/// A name leads to the gateway, and that to the port and protocol that is declared.
fn refuses_other_ways(choreo: &Choreo) {
    for url in ["udp://rates.example:443", "tcp://rates.example:8443"] {
        let answer = called(choreo, url);
        assert!(answer.starts_with("no answer"), "{url}: {answer}");
    }
    for (to, advice) in [
        ("on UDP port 443", "only TCP leaves"),
        (
            "the way out on TCP port 8443",
            "no host is declared with port 8443",
        ),
    ] {
        let told = || refused_to(choreo, to);
        waits(|| told().is_some(), || status(choreo).to_string());
        let suggestion = told().unwrap()["suggestion"]["advice"].clone();
        assert!(
            suggestion.as_str().unwrap().starts_with(advice),
            "{suggestion}"
        );
    }
}

fn lets_no_name_carry_data(choreo: &Choreo) {
    // Of a host that may be called there is nothing to learn but its address.
    for record in ["TXT", "NULL"] {
        let answer = called(choreo, &format!("dns://rates.example/{record}"));
        assert_eq!(answer, "code 0, 0 answers\n");
    }
    for url in TUNNELS {
        assert_eq!(called(choreo, url), "code 5, 0 answers\n", "{url}");
        let name = url.trim_start_matches("dns://");
        let (name, _) = name.rsplit_once('/').unwrap();
        let told = || refused_to(choreo, &format!("name {}", name.to_lowercase()));
        waits(|| told().is_some(), || status(choreo).to_string());
    }
}

fn calls_another_host_where_a_binding_says_so(choreo: &Choreo) {
    let binding = choreo
        .run(&["get", "binding", "caller-development", "-o", "json"])
        .ok()
        .json();
    let spec = json!({
        "owner": binding["spec"]["owner"], "environment": "development",
        "workloadOverrides": {"dependencies": {"external": [{
            "name": "cards", "host": "sandbox.example", "port": 443, "protocol": "HTTPS",
            "envBindings": {"address": "CARDS"},
        }]}},
    });
    let binding = json!({
        "apiVersion": binding["apiVersion"], "kind": "ReleaseBinding",
        "metadata": {"name": "caller-development", "namespace": "default"}, "spec": spec,
    });
    choreo.apply(&binding.to_string()).ok();
    passes(choreo, "$CARDS/x", "200 GET over TLS host=sandbox.example");
    let refused = called(choreo, "https://cards.example/x");
    assert!(refused.starts_with("no answer"), "{refused}");
}

/// The component that calls, with these external connections.
fn apply(choreo: &Choreo, external: &Value) {
    let component = json!({
        "apiVersion": "openchoreo.dev/v1alpha1", "kind": "Component",
        "metadata": {"name": "caller", "namespace": "default"},
        "spec": {
            "owner": {"projectName": "shop"}, "autoDeploy": true,
            "componentType": {"kind": "ClusterComponentType", "name": "deployment/service"},
        },
    });
    let workload = json!({
        "apiVersion": "openchoreo.dev/v1alpha1", "kind": "Workload",
        "metadata": {"name": "caller", "namespace": "default"},
        "spec": {
            "owner": {"projectName": "shop", "componentName": "caller"},
            "container": {"image": "answers:1"},
            "endpoints": {"http": {"type": "HTTP", "port": 8080, "visibility": ["external"]}},
            "dependencies": {"external": external},
        },
    });
    choreo
        .apply(&format!("{component}\n---\n{workload}\n"))
        .ok();
}

/// What came of a call of the component.
pub(super) fn called(choreo: &Choreo, url: &str) -> String {
    let headers = [("X-Call", url)];
    comes(choreo, "/caller-http/call", &headers, 200).body
}

/// A call that comes to be answered so.
pub(super) fn passes(choreo: &Choreo, url: &str, told: &str) {
    let request = Request {
        method: "GET",
        host: HOST,
        path: "/caller-http/call",
        headers: &[("X-Call", url)],
        body: "",
    };
    waits(
        || choreo.ask(&request).body.starts_with(told),
        || format!("{url}: {:?}\n{}", choreo.ask(&request), status(choreo)),
    );
}

pub(super) fn status(choreo: &Choreo) -> Value {
    choreo
        .run(&["status", "shop", "--output", "json"])
        .ok()
        .json()
}

/// What is told of an attempt, by the end of what it was.
pub(super) fn refused_to(choreo: &Choreo, end: &str) -> Option<Value> {
    refused(&status(choreo)).find(|one| one["to"].as_str().is_some_and(|to| to.ends_with(end)))
}

/// All that was refused in a tree.
fn refused(tree: &Value) -> Box<dyn Iterator<Item = Value> + '_> {
    let below = tree.as_array().or_else(|| tree["children"].as_array());
    let below = below.into_iter().flatten().flat_map(refused);
    let own = tree["refused"].as_array().into_iter().flatten().cloned();
    Box::new(own.chain(below))
}
