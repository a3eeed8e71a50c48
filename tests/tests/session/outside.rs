//! What leaves the machine, tried with requests to a host of the test's own, for which `--stand-in` names others:
//! proxies, calls of components to the outside, and what becomes of both when approvals come and go.

mod calls;
mod datagrams;
mod host;

use self::host::Host;
use crate::{
    choreo::{Choreo, waits},
    estate::project,
    http::{Answer, Request, grpc},
};

const HOST: &str = "development-default.openchoreo.localhost";

/// An API of a partner that is on two hosts.
const PARTNER: &str = "
apiVersion: openchoreo.dev/v1alpha1
kind: Component
metadata: {name: partner, namespace: default}
spec:
  owner: {projectName: shop}
  autoDeploy: true
  componentType: {kind: ClusterComponentType, name: proxy/proxy}
  parameters:
    upstreams: ['http://api.partner.example/v2', 'http://other.partner.example/v2']
    hostHeader: public.partner.example
  traits:
  - {kind: ClusterTrait, name: headers, instanceName: marked, parameters: {request: {set: [{name: X-Shop, value: one}]}}}
";

/// One endpoint of the partner, under a path of an API.
const PARTNERS: &str = "
apiVersion: openchoreo.dev/v1alpha1
kind: API
metadata: {name: partners, namespace: default}
spec:
  owner: {projectName: shop}
  context: partners
  version: v1
  endpoints: {items: {component: partner, endpoint: http, path: /items, rewrite: /v2/items}}
  apiKeys: {}
";

/// A host of a private network.
const INSIDE: &str = "
apiVersion: openchoreo.dev/v1alpha1
kind: Component
metadata: {name: ledger, namespace: default}
spec:
  owner: {projectName: shop}
  autoDeploy: true
  componentType: {kind: ClusterComponentType, name: proxy/proxy}
  parameters: {upstreams: ['http://ledger.corp.internal:8000']}
";

const GIVEN: &str = "
apiVersion: openchoreo.dev/v1alpha1
kind: ExternalConnection
metadata: {name: ledger, namespace: default}
spec:
  projects: [shop]
  connection: {name: ledger, host: ledger.corp.internal, port: 8000, protocol: HTTP}
";

/// An endpoint that speaks gRPC, offered by the service of its description.
const ORDERS: &str = "
apiVersion: openchoreo.dev/v1alpha1
kind: Component
metadata: {name: orders, namespace: default}
spec:
  owner: {projectName: shop}
  autoDeploy: true
  componentType: {kind: ClusterComponentType, name: deployment/service}
---
apiVersion: openchoreo.dev/v1alpha1
kind: Workload
metadata: {name: orders, namespace: default}
spec:
  owner: {projectName: shop, componentName: orders}
  container: {image: 'answers:1'}
  endpoints:
    calls:
      type: gRPC
      port: 8080
      schema: {content: 'package shop.v1; service Orders { rpc List(Query) returns (Page); }'}
---
apiVersion: openchoreo.dev/v1alpha1
kind: API
metadata: {name: orders, namespace: default}
spec:
  owner: {projectName: shop}
  context: orders
  version: v1
  endpoints: {calls: {component: orders, endpoint: calls}}
  apiKeys: {}
";

/// Plays all of it.
pub(crate) fn play(choreo: &Choreo) {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::start(folder.path(), &calls::SECURED);
    choreo.trusts(&host.authority);
    let plain = [
        "api.partner.example:80",
        "other.partner.example:80",
        "ledger.corp.internal:8000",
    ];
    let secured = calls::SECURED.map(|name| format!("{name}:443"));
    let plain = plain.iter().map(|name| (*name, host.plain));
    let secured = secured.iter().map(|name| (name.as_str(), host.secured));
    let echo = datagrams::start();
    let datagrams = datagrams::TARGETS.map(|name| (name, echo));
    let words: Vec<String> = plain
        .chain(secured)
        .chain(datagrams)
        .map(|(name, address)| format!("--stand-in={name}={address}"))
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if choreo.up_with_or_skip(&words).is_none() {
        return;
    }
    choreo.pack_answers();
    choreo.apply(&project("shop")).ok();
    offers_what_runs_elsewhere(choreo);
    offers_calls(choreo);
    opens_what_is_given(choreo);
    calls::play(choreo);
    datagrams::play(choreo, &words);
    choreo.run(&["delete", "project/shop"]).ok();
    choreo.down();
}

fn offers_what_runs_elsewhere(choreo: &Choreo) {
    choreo.apply(PARTNER).ok();
    choreo.waits_for(HOST, "/partner-http/items");
    let answer = choreo.get(HOST, "/partner-http/items?n=1");
    let told = "GET over plain text host=public.partner.example path=/v2/items?n=1 ";
    assert!(answer.body.starts_with(told), "{answer:?}");
    assert!(answer.body.contains(" shop=one "), "{answer:?}");
    let status = choreo.run(&["status", "shop"]).ok();
    status.has("/partner-http").has("Ready");
    choreo.apply(PARTNERS).ok();
    comes(choreo, "/partners/v1/items/7", &[], 401);
    let key = key(choreo, "partners");
    let answer = comes(choreo, "/partners/v1/items/7", &[("X-API-Key", &key)], 200);
    let told = "GET over plain text host=public.partner.example path=/v2/items/7 consumer=bakery ";
    assert!(answer.body.starts_with(told), "{answer:?}");
    assert!(answer.body.ends_with(" shop= key=\n"), "{answer:?}");
}

/// Calls by gRPC, by those who have a key.
fn offers_calls(choreo: &Choreo) {
    choreo.apply(ORDERS).ok();
    let call = |path: &str, key: &str| grpc(choreo.port(), HOST, path, &[("x-api-key", key)]);
    let (listed, guessed) = ("/shop.v1.Orders/List", "guessed");
    let refused = || call(listed, guessed).status;
    let told = || choreo.run(&["status", "shop"]);
    // UNAUTHENTICATED, as Envoy says 401 to who speaks gRPC.
    waits(
        || refused() == Some(16),
        || format!("{:?}\n{}", refused(), told()),
    );
    let key = key(choreo, "orders");
    waits(
        || call(listed, &key).status == Some(0),
        || format!("{:?}\n{}", call(listed, &key), told()),
    );
    let answer = call(listed, &key);
    assert!(
        answer.message.contains("POST over plain text host=")
            && answer
                .message
                .contains("path=/shop.v1.Orders/List consumer=bakery "),
        "{answer:?}"
    );
    // UNIMPLEMENTED: a service that the description does not name.
    let answer = call("/shop.v1.Accounts/List", &key);
    assert_eq!(answer.status, Some(12), "{answer:?}");
}

/// A host of a private network is for the platform team to open.
fn opens_what_is_given(choreo: &Choreo) {
    choreo.apply(INSIDE).ok();
    let told = || choreo.run(&["status", "shop"]);
    waits(
        || told().out.contains("ExternalConnection"),
        || told().to_string(),
    );
    assert_eq!(choreo.get(HOST, "/ledger-http/x").status, 404);
    choreo.apply(GIVEN).ok();
    choreo.waits_for(HOST, "/ledger-http/x");
    // What is taken away is closed at once.
    choreo.run(&["delete", "externalconnection/ledger"]).ok();
    comes(choreo, "/ledger-http/x", &[], 500);
}

/// Makes a key for an API.
fn key(choreo: &Choreo, api: &str) -> String {
    let words = ["api", "key", "create", api, "--consumer", "bakery"];
    choreo.run(&words).ok().out.trim().to_owned()
}

/// A request that comes to be answered so.
fn comes(choreo: &Choreo, path: &str, headers: &[(&str, &str)], status: u16) -> Answer {
    let asked = || {
        choreo.ask(&Request {
            method: "GET",
            host: HOST,
            path,
            headers,
            body: "",
        })
    };
    let state = || format!("{path}: {:?}\n{}", asked(), choreo.run(&["status", "shop"]));
    waits(|| asked().status == status, state);
    asked()
}
