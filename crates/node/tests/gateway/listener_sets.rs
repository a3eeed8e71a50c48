//! Listeners that a namespace adds to a Gateway of another.

use serde_json::Value;

use crate::home::{Home, expect};

const OBJECTS: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {namespace: plane, name: g}
spec:
  gatewayClassName: choreo
  addresses: [{value: NET.1}]
  allowedListeners: {namespaces: {from: Selector, selector: {matchLabels: {name: cell}}}}
  listeners: [{name: http, hostname: a.test, port: 8080, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: ListenerSet
metadata: {namespace: cell, name: added}
spec:
  parentRef: {name: g, namespace: plane}
  listeners:
    - {name: http, hostname: b.test, port: 8080, protocol: HTTP}
    - {name: other, port: 8081, protocol: HTTP}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {namespace: cell, name: own}
spec: {parentRefs: [{name: g, namespace: plane}], rules: [{backendRefs: [{name: one, port: 80}]}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {namespace: cell, name: added}
spec: {parentRefs: [{kind: ListenerSet, name: added}], rules: [{backendRefs: [{name: two, port: 80}]}]}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sets_add_listeners_and_take_them_away() {
    let Some(home) = Home::start(21).await else {
        return;
    };
    home.backend("one").await;
    home.backend("two").await;
    home.apply(OBJECTS).await;
    let gateway = home.at(1, 8080);
    for (address, host, backend) in [
        (gateway, "a.test", "one"),
        (gateway, "b.test", "two"),
        (home.at(1, 8081), "whoever.test", "two"),
    ] {
        let reply = expect(address, &format!("GET http://{host}/"), 200).await;
        assert!(reply.body.starts_with(backend), "{host}: {reply:?}");
    }
    let version = "gateway.networking.k8s.io/v1";
    let attached = |wanted: u64| move |status: &Value| status["attachedListenerSets"] == wanted;
    home.status((version, "Gateway"), ("plane", "g"), attached(1))
        .await;

    // The Gateway takes back what it let.
    home.apply(&OBJECTS.replace("{name: cell}", "{name: other}"))
        .await;
    expect(gateway, "GET http://b.test/", 404).await;
    expect(gateway, "GET http://a.test/", 200).await;
    home.status((version, "Gateway"), ("plane", "g"), attached(0))
        .await;
    let refused = |status: &Value| status["conditions"][0]["reason"] == "NotAllowed";
    home.status((version, "ListenerSet"), ("cell", "added"), refused)
        .await;
}
