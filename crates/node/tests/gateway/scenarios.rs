//! Features of the Gateway API with real requests through a real Envoy.

use std::time::{Duration, Instant};

use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpStream;

use crate::home::{Home, expect, over, send, until};

const GATEWAY: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {namespace: plane, name: g}
spec:
  gatewayClassName: choreo
  addresses: [{value: NET.1}]
  listeners:
    - {name: http, port: 8080, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}
    - {name: wild, hostname: '*.wild.test', port: 8080, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}
";

/// A route of the Gateway: its name, hostname and rules.
fn route(name: &str, host: &str, rules: &str) -> String {
    let rules = rules.replace('\n', "\n    ");
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{namespace: cell, name: \
         {name}}}\nspec:\n  parentRefs: [{{name: g, namespace: plane}}]\n  hostnames: ['{host}']\n  \
         rules:{rules}\n"
    )
}

const MATCHES: &str = "
- {matches: [{path: {type: Exact, value: /exact}}], backendRefs: [&one {name: one, port: 80}]}
- {matches: [{path: {type: PathPrefix, value: /pre}}], backendRefs: [*one]}
- {matches: [{path: {type: PathPrefix, value: /pre/longer}}], backendRefs: [&two {name: two, port: 80}]}
- {matches: [{path: {type: RegularExpression, value: '/r[0-9]+'}}], backendRefs: [*one]}
- {matches: [{path: {value: /h}, headers: [{name: x-a, value: '1'}, {name: x-b, type: RegularExpression, value: 'b+'}]}], backendRefs: [*one]}
- {matches: [{path: {value: /q}, queryParams: [{name: q, value: '1'}]}], backendRefs: [*one]}
- {matches: [{path: {value: /m}, method: POST}], backendRefs: [*two]}
- {matches: [{path: {value: /m}}], backendRefs: [*one]}
- {matches: [{path: {value: /gone}}], backendRefs: [{name: gone, port: 80}]}
- {matches: [{path: {value: /nobody}}]}";

const CHANGES: &str = "
- matches: [{path: {value: /headers}}]
  filters:
    - {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-set, value: '100%'}], add: [{name: x-add, value: b}], remove: [x-gone]}}
    - {type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: x-back, value: c}]}}
  backendRefs: [&one {name: one, port: 80}]
- matches: [{path: {value: /rewrite}}]
  filters: [{type: URLRewrite, urlRewrite: {hostname: new.test, path: {type: ReplacePrefixMatch, replacePrefixMatch: /to}}}]
  backendRefs: [*one]
- matches: [{path: {value: /full}}]
  filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: /whole}}}]
  backendRefs: [*one]
- matches: [{path: {value: /moved}}]
  filters: [{type: RequestRedirect, requestRedirect: {hostname: new.test, statusCode: 308, path: {type: ReplacePrefixMatch, replacePrefixMatch: /there}}}]
- matches: [{path: {value: /secure}}]
  filters: [{type: RequestRedirect, requestRedirect: {scheme: https, hostname: new.test}}]
- matches: [{path: {value: /mirror}}]
  filters: [{type: RequestMirror, requestMirror: {backendRef: {name: two, port: 80}}}]
  backendRefs: [*one]
- matches: [{path: {value: /shares}}]
  backendRefs:
    - {name: one, port: 80, weight: 1, filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: x-share, value: one}]}}]}
    - {name: two, port: 80, weight: 0}
- matches: [{path: {value: /half}}]
  backendRefs: [*one, {name: gone, port: 80}]
- matches: [{path: {value: /cors}, method: GET}]
  filters: [{type: CORS, cors: {allowOrigins: ['https://*.shop.test'], allowMethods: [GET], maxAge: 9}}]
  backendRefs: [*one]
- matches: [{path: {value: /any}}]
  filters: [{type: CORS, cors: {allowOrigins: ['*'], allowMethods: ['*'], allowHeaders: ['*'], allowCredentials: true}}]
  backendRefs: [*one]";

/// A gateway with routes to two backends.
async fn two_backends(number: u8, name: &str, host: &str, rules: &str) -> Option<Home> {
    let home = Home::start(number).await?;
    home.apply(GATEWAY).await;
    home.backend("one").await;
    home.backend("two").await;
    home.apply(&route(name, host, rules)).await;
    Some(home)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_matched() {
    let Some(home) = two_backends(1, "matches", "a.test", MATCHES).await else {
        return;
    };
    let gateway = home.at(1, 8080);
    for (request, status, body) in [
        ("GET http://a.test/exact", 200, "one GET /exact"),
        ("GET http://a.test/exact/x", 404, ""),
        ("GET http://a.test/pre/x", 200, "one GET"),
        ("GET http://a.test/prefix", 404, ""),
        ("GET http://a.test/pre/longer/x", 200, "two GET"),
        ("GET http://a.test/r12", 200, "one GET"),
        ("GET http://a.test/h\nx-a: 1\nx-b: bbb", 200, "one GET"),
        ("GET http://a.test/h\nx-a: 1\nx-b: c", 404, ""),
        ("GET http://a.test/q?q=1", 200, "one GET /q?q=1"),
        ("GET http://a.test/q?q=2", 404, ""),
        ("POST http://a.test/m", 200, "two POST"),
        ("GET http://a.test/m", 200, "one GET"),
        ("GET http://a.test/gone", 500, ""),
        ("GET http://a.test/nobody", 500, ""),
        ("GET http://c.test/", 404, ""),
    ] {
        let reply = expect(gateway, request, status).await;
        assert!(reply.body.starts_with(body), "{request}: {reply:?}");
    }
    let kind = ("gateway.networking.k8s.io/v1", "HTTPRoute");
    let told = |status: &serde_json::Value| status["parents"][0]["conditions"].is_array();
    let status = home.status(kind, ("cell", "matches"), told).await;
    let conditions = &status["parents"][0]["conditions"];
    assert_eq!(conditions[0]["status"], "True", "{conditions}");
    assert_eq!(conditions[1]["reason"], "BackendNotFound", "{conditions}");
    let kind = ("gateway.networking.k8s.io/v1", "Gateway");
    let both = |status: &serde_json::Value| status["listeners"][0]["attachedRoutes"] == 1;
    let status = home.status(kind, ("plane", "g"), both).await;
    assert_eq!(
        status["addresses"][0]["value"],
        home.at(1, 0).ip().to_string()
    );
    let metrics = choreo_node::gateway::metrics(&home.folder).await.unwrap();
    let metrics = String::from_utf8(metrics).unwrap();
    assert!(
        metrics.contains("envoy_cluster_upstream_rq_total"),
        "{}",
        metrics.len()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_and_answers_are_changed_and_traced() {
    let Some(home) = two_backends(6, "changes", "b.test", CHANGES).await else {
        return;
    };
    let gateway = home.at(1, 8080);
    let reply = expect(
        gateway,
        "GET http://b.test/headers\nx-gone: 1\nx-add: a",
        200,
    )
    .await;
    assert!(reply.body.contains("x-set: 100%"), "{reply:?}");
    assert!(reply.body.contains("x-add: a\nx-add: b"), "{reply:?}");
    assert!(!reply.body.contains("x-gone"), "{reply:?}");
    assert_eq!(reply.header("x-back"), "c");
    assert!(reply.body.contains("x-request-id: "), "{reply:?}");
    assert!(!reply.body.contains("x-choreo"), "{reply:?}");
    let made = traceparent(&reply.body);
    let parts: Vec<&str> = made.split('-').collect();
    let digits = |part: &str| part.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'));
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    assert_eq!(lengths, [2, 32, 16, 2], "{made}");
    assert!(parts.iter().all(|part| digits(part)), "{made}");
    assert!(made.starts_with("00-") && made.ends_with("-00"), "{made}");
    let other = expect(gateway, "GET http://b.test/headers", 200).await;
    assert_ne!(traceparent(&other.body), made);
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    // Nobody's parent is the gateway, which records nothing.
    let request = format!("GET http://b.test/headers\ntraceparent: {parent}");
    let reply = expect(gateway, &request, 200).await;
    assert_eq!(traceparent(&reply.body), parent);
    assert!(!reply.body.contains("tracestate"), "{reply:?}");
}

/// The only one that a backend got.
fn traceparent(headers: &str) -> String {
    let lines = headers.lines();
    let mut all = lines.filter_map(|line| line.strip_prefix("traceparent: "));
    let first = all.next().unwrap_or_else(|| panic!("{headers}"));
    assert_eq!(all.next(), None, "{headers}");
    first.to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_led_elsewhere() {
    let Some(home) = two_backends(7, "changes", "b.test", CHANGES).await else {
        return;
    };
    let gateway = home.at(1, 8080);
    let reply = expect(gateway, "GET http://b.test/rewrite/x", 200).await;
    assert!(reply.body.starts_with("one GET /to/x"), "{reply:?}");
    assert!(reply.body.contains("host: new.test"), "{reply:?}");
    let reply = expect(gateway, "GET http://b.test/full/x", 200).await;
    assert!(reply.body.starts_with("one GET /whole"), "{reply:?}");
    let reply = expect(gateway, "GET http://b.test:8080/moved/x", 308).await;
    assert_eq!(reply.header("location"), "http://new.test:8080/there/x");
    let reply = expect(gateway, "GET http://b.test:8080/secure", 302).await;
    assert_eq!(reply.header("location"), "https://new.test/secure");
    expect(gateway, "GET http://b.test/mirror", 200).await;
    let copied = async {
        while home.count("two", "/mirror") == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), copied)
        .await
        .unwrap();
    for _ in 0..10 {
        let reply = expect(gateway, "GET http://b.test/shares", 200).await;
        assert_eq!(reply.header("x-share"), "one");
    }
    expect(gateway, "GET http://b.test/half", 200).await;
    expect(gateway, "GET http://b.test/half", 500).await;
    let preflight = "OPTIONS http://b.test/cors\norigin: https://www.shop.test\naccess-control-request-method: GET";
    let reply = expect(gateway, preflight, 200).await;
    assert_eq!(
        reply.header("access-control-allow-origin"),
        "https://www.shop.test"
    );
    assert_eq!(reply.header("access-control-max-age"), "9");
    // With credentials a browser takes no star.
    let preflight = "OPTIONS http://b.test/any\norigin: https://www.shop.test\naccess-control-request-method: PUT\naccess-control-request-headers: x-a";
    let reply = expect(gateway, preflight, 200).await;
    for (name, value) in [
        ("access-control-allow-origin", "https://www.shop.test"),
        ("access-control-allow-methods", "PUT"),
        ("access-control-allow-headers", "x-a"),
        ("access-control-allow-credentials", "true"),
    ] {
        assert_eq!(reply.header(name), value, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn time_and_tries_are_bounded() {
    let Some(home) = Home::start(2).await else {
        return;
    };
    home.apply(GATEWAY).await;
    home.backend("one").await;
    home.apply(&route("slow", "a.test", "
- {matches: [{path: {value: /slow/request}}], timeouts: {request: 100ms}, backendRefs: [&one {name: one, port: 80}]}
- {matches: [{path: {value: /slow/backend}}], timeouts: {request: 5s, backendRequest: 100ms}, backendRefs: [*one]}
- {matches: [{path: {value: /slow/none}}], timeouts: {request: 0s}, backendRefs: [*one]}
- {matches: [{path: {value: /flaky}}], retry: {codes: [503], attempts: 3, backoff: 10ms}, backendRefs: [*one]}
- {matches: [{path: {value: /slow/again}}], retry: {attempts: 2}, timeouts: {request: 5s, backendRequest: 100ms}, backendRefs: [*one]}")).await;
    let gateway = home.at(1, 8080);
    expect(gateway, "GET http://a.test/slow/none", 200).await;
    let begun = Instant::now();
    expect(gateway, "GET http://a.test/slow/request", 504).await;
    expect(gateway, "GET http://a.test/slow/backend", 504).await;
    assert!(begun.elapsed() < Duration::from_secs(2));
    expect(gateway, "GET http://a.test/flaky/2", 200).await;
    assert_eq!(home.count("one", "/flaky/2"), 3);
    let reply = send(gateway, "GET http://a.test/flaky/9").await.unwrap();
    assert_eq!(reply.status, 503);
    assert_eq!(home.count("one", "/flaky/9"), 4);
    expect(gateway, "GET http://a.test/slow/again", 504).await;
    assert_eq!(home.count("one", "/slow/again"), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_matched_by_method_and_speak_http2() {
    let Some(home) = Home::start(3).await else {
        return;
    };
    home.apply(GATEWAY).await;
    home.backend("one").await;
    home.backend("two").await;
    home.apply("
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {namespace: cell, name: calls}
spec:
  parentRefs: [{name: g, namespace: plane}]
  hostnames: [grpc.test]
  rules:
    - {matches: [{method: {service: shop.Cart, method: Add}}], backendRefs: [{name: one, port: 80}]}
    - {matches: [{method: {service: shop.Cart}, headers: [{name: x-two, value: '1'}]}], backendRefs: [{name: two, port: 80}]}
    - {matches: [{method: {type: RegularExpression, service: 'shop\\..*', method: 'Get.*'}}], backendRefs: [{name: two, port: 80}]}
").await;
    home.apply(&route(
        "h2c",
        "h2c.test",
        "\n- {backendRefs: [{name: one, port: 81}]}",
    ))
    .await;
    let gateway = home.at(1, 8080);
    expect(gateway, "POST http://h2c.test/x", 200).await;
    for (path, body) in [
        ("/shop.Cart/Add", Some("one")),
        ("/shop.Cart/Other", None),
        ("/shop.Cart/Other\nx-two: 1", Some("two")),
        ("/shop.Stock/GetAll", Some("two")),
    ] {
        let stream = TcpStream::connect(gateway).await.unwrap();
        let request = format!("POST http://grpc.test{path}\ncontent-type: application/grpc");
        let reply = over(TokioIo::new(stream), &request, true).await.unwrap();
        match body {
            Some(body) => assert!(reply.body.starts_with(body), "{path}: {reply:?}"),
            // A call that nobody serves.
            None => assert_eq!(reply.header("grpc-status"), "12", "{path}: {reply:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_are_served_at_once_and_drop_nothing() {
    let Some(home) = Home::start(4).await else {
        return;
    };
    home.apply(GATEWAY).await;
    home.backend("one").await;
    home.apply(&route(
        "steady",
        "steady.test",
        "\n- {backendRefs: [{name: one, port: 80}]}",
    ))
    .await;
    let gateway = home.at(1, 8080);
    expect(gateway, "GET http://steady.test/", 200).await;
    let steady = tokio::spawn(async move {
        let (mut sent, mut slow) = (0, Vec::new());
        let until = Instant::now() + Duration::from_secs(4);
        while Instant::now() < until {
            if sent % 20 == 0 {
                slow.push(tokio::spawn(send(gateway, "GET http://steady.test/slow")));
            }
            let reply = send(gateway, "GET http://steady.test/").await.unwrap();
            assert_eq!(reply.status, 200);
            sent += 1;
        }
        for reply in slow {
            assert_eq!(reply.await.unwrap().unwrap().status, 200);
        }
        sent
    });
    // Routes, backends, policies and listeners come and go beside it.
    let mut longest = Duration::ZERO;
    for number in 0..12 {
        home.backend(&format!("more-{number}")).await;
        let rules = format!("\n- {{backendRefs: [{{name: more-{number}, port: 80}}]}}");
        let begun = Instant::now();
        home.apply(&route("changing", "changing.test", &rules))
            .await;
        let served =
            |reply: &crate::home::Reply| reply.body.starts_with(&format!("more-{number} "));
        until(gateway, "GET http://changing.test/", served).await;
        longest = longest.max(begun.elapsed());
        if number % 4 == 1 {
            home.apply(&GATEWAY.replace("*.wild.test", &format!("*.wild-{number}.test")))
                .await;
        }
        // A bad one beside it changes nothing.
        let bad = "\n- {matches: [{path: {type: RegularExpression, value: '('}}], backendRefs: [{name: one, port: 80}]}";
        home.apply(&route("bad", "bad.test", bad)).await;
    }
    assert!(steady.await.unwrap() > 50);
    assert!(longest < Duration::from_secs(1), "{longest:?}");
    crate::note(&format!(
        "the slowest of 12 changes was served after {longest:?}"
    ));
    // Killed, it comes back with what it had.
    let pid = home.pid.lock().unwrap().take().unwrap();
    let killed = std::process::Command::new("kill")
        .args(["-9", &pid.to_string()])
        .status();
    assert!(killed.unwrap().success());
    expect(gateway, "GET http://steady.test/", 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_is_taken_is_told_and_tried_again() {
    let Some(home) = Home::start(5).await else {
        return;
    };
    let taken = std::net::TcpListener::bind(home.at(1, 8080)).unwrap();
    home.apply(GATEWAY).await;
    let kind = ("gateway.networking.k8s.io/v1", "Gateway");
    let programmed = |status: &serde_json::Value| status["conditions"][1]["status"].clone();
    let refused = |status: &serde_json::Value| programmed(status) == json!("False");
    let status = home.status(kind, ("plane", "g"), refused).await;
    let message = status["conditions"][1]["message"].as_str().unwrap();
    assert!(message.contains("8080"), "{message}");
    drop(taken);
    let good = |status: &serde_json::Value| programmed(status) == json!("True");
    home.status(kind, ("plane", "g"), good).await;
    expect(home.at(1, 8080), "GET http://a.test/", 404).await;
}
