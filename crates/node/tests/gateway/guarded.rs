//! Envoy Gateway's policies with real requests.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::home::{Home, expect, send};

pub(crate) const GATEWAY: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {namespace: plane, name: g}
spec:
  gatewayClassName: choreo
  addresses: [{value: NET.1}]
  listeners:
    - {name: http, port: 8080, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {namespace: cell, name: web}
spec:
  parentRefs: [{name: g, namespace: plane}]
  rules:
    - {backendRefs: [{name: one, port: 80}]}
    - {name: inner, matches: [{path: {value: /inner}}], backendRefs: [{name: one, port: 80}]}
";

/// A policy about the route, with this specification.
pub(crate) fn policy(kind: &str, name: &str, spec: &str) -> String {
    let spec = spec.replace('\n', "\n  ");
    format!(
        "apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: {kind}\nmetadata: {{namespace: cell, name: \
         {name}}}\nspec:\n  targetRefs: [{{group: gateway.networking.k8s.io, kind: HTTPRoute, name: \
         web}}]{spec}\n"
    )
}

const KEY: &[u8] = b"a key that is as long as it has to be";

/// A token with these claims, signed with [`KEY`].
fn token(claims: &Value) -> String {
    let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let head = encode(br#"{"alg":"HS256","kid":"k","typ":"JWT"}"#);
    let signed = format!("{head}.{}", encode(claims.to_string().as_bytes()));
    // HMAC (RFC 2104) over SHA-256: one use is not worth a dependency.
    let mut block = [0_u8; 64];
    block[..KEY.len()].copy_from_slice(KEY);
    let inner = Sha256::new_with_prefix(block.map(|byte| byte ^ 0x36)).chain_update(&signed);
    let outer =
        Sha256::new_with_prefix(block.map(|byte| byte ^ 0x5c)).chain_update(inner.finalize());
    format!("{signed}.{}", encode(&outer.finalize()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_are_asked_for_and_their_claims_looked_at() {
    let Some(home) = Home::start(12).await else {
        return;
    };
    home.apply(GATEWAY).await;
    home.backend("one").await;
    let gateway = home.at(1, 8080);
    expect(gateway, "GET http://a.test/", 200).await;
    let keys = json!({"keys": [{"kty": "oct", "alg": "HS256", "kid": "k", "k": BASE64_URL_SAFE_NO_PAD.encode(KEY)}]});
    home.apply(&policy("SecurityPolicy", "tokens", &format!("
jwt:
  providers:
    - name: idp
      issuer: https://idp.test
      audiences: [shop]
      localJWKS: {{type: Inline, inline: '{keys}'}}
      claimToHeaders: [{{header: x-sub, claim: sub}}]
authorization:
  defaultAction: Deny
  rules:
    - {{action: Allow, operation: {{methods: [GET]}}, principal: {{jwt: {{provider: idp, scopes: [read]}}}}}}
    - {{action: Allow, principal: {{jwt: {{provider: idp, claims: [{{name: roles, valueType: StringArray, values: [admin]}}]}}}}}}"))).await;
    expect(gateway, "GET http://a.test/", 401).await;
    let base =
        json!({"iss": "https://idp.test", "aud": "shop", "sub": "me", "exp": 4_000_000_000_u64});
    let with = |more: Value| {
        let mut claims = base.clone();
        claims
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        token(&claims)
    };
    for (method, claims, status) in [
        ("GET", json!({"scope": "write read"}), 200),
        ("POST", json!({"scope": "write read"}), 403),
        ("POST", json!({"roles": ["admin", "user"]}), 200),
        ("GET", json!({}), 403),
        ("GET", json!({"scope": "read", "aud": "bank"}), 403),
        (
            "GET",
            json!({"scope": "read", "iss": "https://other.test"}),
            401,
        ),
        ("GET", json!({"scope": "read", "exp": 1_000_000_000}), 401),
    ] {
        let request = format!(
            "{method} http://a.test/\nauthorization: Bearer {}",
            with(claims.clone())
        );
        let reply = send(gateway, &request).await.unwrap();
        assert_eq!(reply.status, status, "{method} {claims}: {reply:?}");
        assert!(
            status != 200 || reply.body.contains("x-sub: me"),
            "{reply:?}"
        );
    }
    let told = |status: &Value| status["ancestors"][0]["conditions"][0]["status"] == "True";
    let kind = ("gateway.envoyproxy.io/v1alpha1", "SecurityPolicy");
    let status = home.status(kind, ("cell", "tokens"), told).await;
    assert_eq!(status["ancestors"][0]["ancestorRef"]["name"], "g");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_fetched_from_where_a_policy_says() {
    let Some(home) = Home::start(13).await else {
        return;
    };
    home.apply(GATEWAY).await;
    home.backend("one").await;
    let gateway = home.at(1, 8080);
    let keys = json!({"keys": [{"kty": "oct", "alg": "HS256", "kid": "k", "k": BASE64_URL_SAFE_NO_PAD.encode(KEY)}]});
    let provider = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = provider.local_addr().unwrap().port();
    let app = axum::Router::new().route(
        "/keys",
        axum::routing::get(move || async move { keys.to_string() }),
    );
    tokio::spawn(async move { axum::serve(provider, app).await });
    home.apply(&policy(
        "SecurityPolicy",
        "tokens",
        &format!(
            "
jwt: {{providers: [{{name: idp, remoteJWKS: {{uri: 'http://127.0.0.1:{port}/keys'}}}}]}}"
        ),
    ))
    .await;
    expect(gateway, "GET http://a.test/", 401).await;
    let good = token(&json!({"sub": "me", "exp": 4_000_000_000_u64}));
    expect(
        gateway,
        &format!("GET http://a.test/\nauthorization: Bearer {good}"),
        200,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_and_passwords_are_revoked_at_once() {
    let Some(home) = Home::start(14).await else {
        return;
    };
    home.apply(GATEWAY).await;
    home.backend("one").await;
    let gateway = home.at(1, 8080);
    let secret = |data: &str| {
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{namespace: cell, name: keys}}\ndata: {data}\n"
        )
    };
    home.apply(&secret("{alice: azE=, bob: azI=}")).await;
    home.apply(&policy("SecurityPolicy", "keys", "
apiKeyAuth: {credentialRefs: [{name: keys}], extractFrom: [{headers: [x-key]}, {params: [key]}], forwardClientIDHeader: X-Client, sanitize: true}")).await;
    expect(gateway, "GET http://a.test/", 401).await;
    let reply = expect(gateway, "GET http://a.test/\nx-key: k1", 200).await;
    assert!(reply.body.contains("x-client: alice"), "{reply:?}");
    assert!(!reply.body.contains("x-key"), "{reply:?}");
    expect(gateway, "GET http://a.test/?key=k2", 200).await;
    expect(gateway, "GET http://a.test/\nx-key: k3", 401).await;
    // Rotated: the old key is not good any more, a new one is.
    home.apply(&secret("{alice: azM=, bob: azI=}")).await;
    expect(gateway, "GET http://a.test/\nx-key: k3", 200).await;
    expect(gateway, "GET http://a.test/\nx-key: k1", 401).await;

    // Passwords for a rule of the route; the rest goes on with keys.
    home.apply("apiVersion: v1\nkind: Secret\nmetadata: {namespace: cell, name: users}\nstringData: {.htpasswd: 'a:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M='}\n").await;
    let basic = policy(
        "SecurityPolicy",
        "basic",
        "\nbasicAuth: {users: {name: users}}",
    );
    home.apply(&basic.replace("name: web}", "name: web, sectionName: inner}"))
        .await;
    expect(
        gateway,
        "GET http://a.test/inner\nauthorization: Basic YTp0ZXN0",
        200,
    )
    .await;
    expect(
        gateway,
        "GET http://a.test/inner\nauthorization: Basic YTp3cm9uZw==",
        401,
    )
    .await;
    expect(gateway, "GET http://a.test/inner\nx-key: k3", 401).await;
    expect(gateway, "GET http://a.test/\nx-key: k3", 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_guarded_is_not_served() {
    let Some(home) = Home::start(15).await else {
        return;
    };
    home.apply(GATEWAY).await;
    home.backend("one").await;
    let gateway = home.at(1, 8080);
    home.apply(&policy(
        "SecurityPolicy",
        "outside",
        "\nextAuth: {http: {}}",
    ))
    .await;
    expect(gateway, "GET http://a.test/", 500).await;
    let told = |status: &Value| status["ancestors"][0]["conditions"][0]["reason"] == "Invalid";
    let kind = ("gateway.envoyproxy.io/v1alpha1", "SecurityPolicy");
    let status = home.status(kind, ("cell", "outside"), told).await;
    let message = status["ancestors"][0]["conditions"][0]["message"]
        .as_str()
        .unwrap();
    assert!(message.contains("extAuth"), "{message}");

    // Addresses and origins instead.
    home.apply(&policy("SecurityPolicy", "outside", "
cors: {allowOrigins: ['https://a.test'], allowMethods: [PUT]}
authorization: {defaultAction: Allow, rules: [{action: Deny, principal: {clientCIDRs: [127.0.0.1/32]}}]}")).await;
    // The field is still the first manager's: it is taken away by name.
    let api = home.api(kind.0, kind.1, Some("cell"));
    let patch = json!({"spec": {"extAuth": null}});
    api.patch(
        "outside",
        &kube::api::PatchParams::default(),
        &kube::api::Patch::Merge(patch),
    )
    .await
    .unwrap();
    expect(gateway, "GET http://a.test/", 403).await;
    let preflight =
        "OPTIONS http://a.test/\norigin: https://a.test\naccess-control-request-method: PUT";
    let reply = expect(gateway, preflight, 200).await;
    assert_eq!(reply.header("access-control-allow-methods"), "PUT");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traffic_is_limited_and_tried_again() {
    let Some(home) = Home::start(16).await else {
        return;
    };
    home.apply(GATEWAY).await;
    home.backend("one").await;
    let gateway = home.at(1, 8080);
    home.apply(&policy("BackendTrafficPolicy", "traffic", "
retry: {numRetries: 3, retryOn: {httpStatusCodes: [503]}}
timeout: {http: {requestTimeout: 300ms}}
requestBuffer: {limit: 1Ki}
circuitBreaker: {maxConnections: 100}
loadBalancer: {type: ConsistentHash, consistentHash: {type: Header, header: {name: x-user}}}
rateLimit:
  type: Local
  local:
    rules:
      - {clientSelectors: [{headers: [{name: x-user, type: Distinct}]}], limit: {requests: 2, unit: Hour}}
      - {clientSelectors: [{path: {type: PathPrefix, value: /few}}], limit: {requests: 1, unit: Hour}}")).await;
    expect(gateway, "GET http://a.test/slow", 504).await;
    expect(gateway, "GET http://a.test/flaky/2", 200).await;
    assert_eq!(home.count("one", "/flaky/2"), 3);
    for user in ["a", "b"] {
        let request = format!("GET http://a.test/\nx-user: {user}");
        for status in [200, 200, 429] {
            assert_eq!(
                send(gateway, &request).await.unwrap().status,
                status,
                "{user}"
            );
        }
    }
    for status in [200, 429] {
        assert_eq!(
            send(gateway, "GET http://a.test/few").await.unwrap().status,
            status
        );
    }
    for _ in 0..5 {
        assert_eq!(
            send(gateway, "GET http://a.test/").await.unwrap().status,
            200
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn apis_elsewhere_are_reached_through_the_platform() {
    let Some(home) = Home::start(17).await else {
        return;
    };
    home.apply(GATEWAY).await;
    let far = home.backend("far").await;
    home.apply(&format!(
        "
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: Backend
metadata: {{namespace: cell, name: api}}
spec: {{endpoints: [{{ip: {{address: {}, port: {}}}}}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{namespace: cell, name: web}}
spec:
  parentRefs: [{{name: g, namespace: plane}}]
  rules: [{{backendRefs: [{{group: gateway.envoyproxy.io, kind: Backend, name: api}}]}}]
",
        far.ip(),
        far.port()
    ))
    .await;
    let reply = expect(home.at(1, 8080), "GET http://a.test/x", 200).await;
    assert!(reply.body.starts_with("far GET /x"), "{reply:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_are_served_as_a_policy_says() {
    let Some(home) = Home::start(18).await else {
        return;
    };
    home.apply(GATEWAY).await;
    home.backend("one").await;
    let gateway = home.at(1, 8080);
    let reply = expect(gateway, "GET http://a.test/a//b", 200).await;
    assert!(reply.body.starts_with("one GET /a/b"), "{reply:?}");
    home.apply(
        "
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: ClientTrafficPolicy
metadata: {namespace: plane, name: clients}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: g}]
  path: {disableMergeSlashes: true}
  headers: {withUnderscoresAction: RejectRequest, preserveXRequestID: true}
",
    )
    .await;
    let kept = |reply: &crate::home::Reply| reply.body.starts_with("one GET /a//b");
    crate::home::until(gateway, "GET http://a.test/a//b", kept).await;
    expect(gateway, "GET http://a.test/\na_b: 1", 400).await;
    let reply = expect(gateway, "GET http://a.test/\nx-request-id: mine", 200).await;
    assert!(reply.body.contains("x-request-id: mine"), "{reply:?}");
}
