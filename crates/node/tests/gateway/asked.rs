//! Requests that an authorizer is asked about.

use serde_json::Value;

use crate::{
    guarded::{GATEWAY, policy},
    home::{Home, expect, send},
    provider::authorizer,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authorizer_says_who_passes() {
    let Some(home) = Home::start(24).await else {
        return;
    };
    home.apply(GATEWAY).await;
    home.backend("one").await;
    home.service("guard", authorizer().await).await;
    let gateway = home.at(1, 8080);
    expect(gateway, "GET http://a.test/", 200).await;
    home.apply(&policy(
        "SecurityPolicy",
        "asked",
        "
extAuth:
  http: {backendRefs: [{name: guard, port: 80}], path: /check, headersToBackend: [X-Known-As, x-told]}
  headersToExtAuth: [X-User]",
    ))
    .await;
    let reply = expect(gateway, "GET http://a.test/", 403).await;
    assert_eq!(reply.body, "not you");
    let ann = "GET http://a.test/page?x=1\nx-user: ann\nx-known-as: somebody";
    let reply = expect(gateway, ann, 200).await;
    assert!(reply.body.contains("\nx-known-as: Ann"), "{reply:?}");
    assert!(reply.body.contains("\nx-told: /check/page:0"), "{reply:?}");
    assert!(!reply.body.contains("somebody"), "{reply:?}");
    assert!(!reply.body.contains("x-other"), "{reply:?}");
    assert_eq!(home.count("one", "/page"), 1);

    // The same by gRPC, which is told all headers.
    home.apply(&policy(
        "SecurityPolicy",
        "asked",
        "
extAuth: {http: null, headersToExtAuth: null, grpc: {backendRefs: [{name: guard, port: 81}]}}",
    ))
    .await;
    let api = home.api(
        "gateway.envoyproxy.io/v1alpha1",
        "SecurityPolicy",
        Some("cell"),
    );
    let kept = api.get("asked").await.unwrap().data;
    assert!(kept["spec"]["extAuth"]["http"].is_null(), "{kept}");
    let reply = crate::home::until(gateway, ann, |reply| {
        reply.status == 200 && !reply.body.contains("x-told")
    })
    .await;
    assert!(reply.body.contains("\nx-known-as: Ann"), "{reply:?}");
    let bob = "GET http://a.test/page\nx-user: bob";
    assert_eq!(send(gateway, bob).await.unwrap().status, 403);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_authorizer_nobody_passes_unless_it_is_said() {
    let Some(home) = Home::start(25).await else {
        return;
    };
    home.apply(GATEWAY).await;
    home.backend("one").await;
    let gateway = home.at(1, 8080);
    expect(gateway, "GET http://a.test/", 200).await;
    let asked = |more: &str| {
        let spec = format!(
            "
extAuth: {{http: {{backendRefs: [{{name: guard, port: 80}}]}}{more}}}"
        );
        policy("SecurityPolicy", "asked", &spec)
    };
    // There is no such Service: the policy cannot be obeyed, whatever it says of failures.
    home.apply(&asked(", failOpen: true")).await;
    expect(gateway, "GET http://a.test/", 500).await;
    let kind = ("gateway.envoyproxy.io/v1alpha1", "SecurityPolicy");
    let told = |status: &Value| {
        let condition = &status["ancestors"][0]["conditions"][0];
        let message = condition["message"].to_string();
        condition["reason"] == "Invalid" && message.contains("Service cell/guard does not exist")
    };
    home.status(kind, ("cell", "asked"), told).await;
    // There is one, and nobody answers.
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = gone.local_addr().unwrap();
    drop(gone);
    home.service("guard", address).await;
    expect(gateway, "GET http://a.test/", 200).await;
    home.apply(&asked("")).await;
    expect(gateway, "GET http://a.test/", 403).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authorizer_is_asked_beside_other_guards() {
    let Some(home) = Home::start(26).await else {
        return;
    };
    home.apply(GATEWAY).await;
    home.backend("one").await;
    home.service("guard", authorizer().await).await;
    home.apply("apiVersion: v1\nkind: Secret\nmetadata: {namespace: cell, name: keys}\ndata: {bakery: azE=}\n")
        .await;
    let gateway = home.at(1, 8080);
    home.apply(&policy(
        "SecurityPolicy",
        "all",
        "
cors: {allowOrigins: ['https://a.test'], allowMethods: [PUT]}
extAuth: {http: {backendRefs: [{name: guard, port: 80}]}, headersToExtAuth: [x-user]}
apiKeyAuth: {credentialRefs: [{name: keys}], extractFrom: [{headers: [x-key]}]}
authorization: {defaultAction: Allow, rules: [{action: Deny, operation: {methods: [DELETE]}, principal: {clientCIDRs: [0.0.0.0/0]}}]}",
    ))
    .await;
    // Whoever is asked first says no first.
    let reply = expect(gateway, "GET http://a.test/", 403).await;
    assert_eq!(reply.body, "not you");
    for (request, status) in [
        ("GET http://a.test/\nx-key: k1", 403),
        ("GET http://a.test/\nx-user: ann", 401),
        ("GET http://a.test/\nx-user: ann\nx-key: k1", 200),
        ("DELETE http://a.test/\nx-user: ann\nx-key: k1", 403),
        (
            "OPTIONS http://a.test/\norigin: https://a.test\naccess-control-request-method: PUT",
            200,
        ),
    ] {
        let reply = send(gateway, request).await.unwrap();
        assert_eq!(reply.status, status, "{request}: {reply:?}");
    }
    // A rule of the route with nothing to ask is not asked about.
    let open = policy(
        "SecurityPolicy",
        "open",
        "\ncors: {allowOrigins: ['https://a.test']}",
    );
    home.apply(&open.replace("name: web}", "name: web, sectionName: inner}"))
        .await;
    expect(gateway, "GET http://a.test/inner", 200).await;
}
