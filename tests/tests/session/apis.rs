//! What traits and APIs say of requests, tried with requests: each trait on an endpoint of its own, several on one,
//! and APIs with keys that are made, replaced and taken away.

use std::thread;

use crate::{
    choreo::{Choreo, Outcome, waits},
    estate::project,
    http::{Answer, Request},
};

const HOST: &str = "development-default.openchoreo.localhost";

/// What keys and passwords are read from.
const SECRETS: &str = "
apiVersion: openchoreo.dev/v1alpha1
kind: SecretReference
metadata: {name: partners, namespace: default}
spec:
  template: {type: Opaque}
  data:
  - {secretKey: bakery, remoteRef: {key: partners, property: bakery}}
  - {secretKey: users, remoteRef: {key: partners, property: users}}
";

/// Keys of an issuer, and tokens that were signed with them: they expire in 2100, or did in 2000.
const JWKS: &str = r#"{"keys":[{"kty":"oct","kid":"a","alg":"HS256","k":"YSBrZXkgb2YgdGhpcnR5LXR3byBieXRlcywgb3Igc28"}]}"#;
const READER: &str = "Bearer eyJhbGciOiJIUzI1NiIsImtpZCI6ImEiLCJ0eXAiOiJKV1QifQ.eyJpc3MiOiJodHRwczovL2lkLnRlc3QiLCJzdWIiOiJhbm4iLCJhdWQiOiJzaG9wIiwiZXhwIjo0MTAyNDQ0ODAwLCJzY29wZSI6Iml0ZW1zOnJlYWQgb3RoZXIifQ.kghd1dhZvQfIpusF03NUadt6ioQOpmhvG0KylXA7a-Y";
const STRANGER: &str = "Bearer eyJhbGciOiJIUzI1NiIsImtpZCI6ImEiLCJ0eXAiOiJKV1QifQ.eyJpc3MiOiJodHRwczovL2lkLnRlc3QiLCJzdWIiOiJib2IiLCJhdWQiOiJzaG9wIiwiZXhwIjo0MTAyNDQ0ODAwLCJzY29wZSI6Im90aGVyIn0.Im0ytEU6gFYWs5hMy72XwlqhWp_Hh4TXPLET_FQNXw8";
const EXPIRED: &str = "Bearer eyJhbGciOiJIUzI1NiIsImtpZCI6ImEiLCJ0eXAiOiJKV1QifQ.eyJpc3MiOiJodHRwczovL2lkLnRlc3QiLCJzdWIiOiJhbm4iLCJhdWQiOiJzaG9wIiwiZXhwIjo5NDY2ODQ4MDAsInNjb3BlIjoiaXRlbXM6cmVhZCJ9.b0NM36joJq0k4urFOuGvC8Fwg47tSCkn_tnJfp_cwi4";

/// Traits by the endpoints they are for.
fn alone() -> Vec<(&'static str, &'static str, String)> {
    let trait_ = |endpoint, name, parameters: &str| (endpoint, name, parameters.to_owned());
    vec![
        (
            "tokens",
            "jwt-authentication",
            format!(
                "issuer: 'https://id.test', audiences: [shop], jwks: '{JWKS}', \
                 operations: [{{methods: [GET], path: '/items/{{id}}', scopes: ['items:read']}}]"
            ),
        ),
        trait_(
            "keys",
            "api-key-authentication",
            "consumers: [{name: bakery, secretKeyRef: {name: partners, key: bakery}}]",
        ),
        trait_(
            "passwords",
            "basic-authentication",
            "users: {secretKeyRef: {name: partners, key: users}}",
        ),
        trait_(
            "asked",
            "external-authorization",
            "component: guard, port: 8080, path: /guard, requestHeaders: [X-User], answerHeaders: [X-Consumer-Id]",
        ),
        trait_(
            "people",
            "sign-in",
            "issuer: 'https://id.test', clientId: shop, clientSecret: {secretKeyRef: {name: partners, key: bakery}}, \
             authorizationEndpoint: 'https://id.test/authorize', tokenEndpoint: 'https://id.test/token', \
             programs: [{header: X-Program, value: 'yes'}]",
        ),
        trait_("addresses", "ip-filter", "deny: [127.0.0.0/8]"),
        trait_("origins", "cors", "allowOrigins: ['https://shop.test']"),
        trait_(
            "headers",
            "headers",
            "request: {set: [{name: X-Shop, value: one}]}, response: {set: [{name: X-Served-By, value: shop}]}",
        ),
        trait_(
            "limited",
            "rate-limit",
            "requests: 2, unit: Hour, per: Address",
        ),
        trait_("slow", "timeouts", "request: 1s"),
        trait_("flaky", "retries", "statusCodes: [503]"),
        trait_(
            "busy",
            "circuit-breaker",
            "maxParallelRequests: 1, maxPendingRequests: 1",
        ),
        trait_(
            "sticky",
            "load-balancing",
            "policy: ConsistentHash, hash: {on: Cookie, name: choice, ttl: 1h}",
        ),
        trait_("small", "request-size", "limit: 1k"),
    ]
}

/// Plays all of it.
pub(crate) fn play(choreo: &Choreo) {
    if choreo.up_bare_or_skip().is_none() {
        return;
    }
    choreo.pack_answers();
    choreo.apply(&project("shop")).ok();
    choreo.apply(SECRETS).ok();
    store(choreo, "bakery", "first-key");
    store(choreo, "users", "ann:{SHA}nU4eI71bcnBGqeO0t9tXvY1u5oQ=");
    choreo.apply(&each_alone()).ok();
    choreo.apply(&together()).ok();
    choreo
        .apply(&component(
            "hidden",
            "{http: {type: HTTP, port: 8080, basePath: /base}}",
            "",
        ))
        .ok();
    // Who is asked has an endpoint for its project only.
    choreo
        .apply(&component("guard", "{http: {type: HTTP, port: 8080}}", ""))
        .ok();
    comes(choreo, "/web-plain/x", &[], 200);
    asks_for_credentials(choreo);
    asks_others(choreo);
    looks_at_requests(choreo);
    says_how_the_component_is_called(choreo);
    holds_together(choreo);
    offers_an_api(choreo);
    offers_what_is_described(choreo);
    choreo.run(&["delete", "project/shop"]).ok();
    choreo.run(&["get", "apis", "-o", "name"]).ok().is("");
    choreo.down();
}

fn asks_for_credentials(choreo: &Choreo) {
    let token = |token| [("Authorization", token)];
    comes(choreo, "/web-tokens/items/1", &token(READER), 200).has("subject=ann");
    is(choreo, "/web-tokens/items/1", &[], 401);
    is(choreo, "/web-tokens/items/1", &token(EXPIRED), 401);
    is(choreo, "/web-tokens/items/1", &token(STRANGER), 403);
    is(choreo, "/web-tokens/others", &token(STRANGER), 200);
    let key = |key| [("X-API-Key", key)];
    comes(choreo, "/web-keys/x", &key("first-key"), 200)
        .has("consumer=bakery subject= shop= key=\n");
    is(choreo, "/web-keys/x", &[], 401);
    is(choreo, "/web-keys/x", &key("second-key"), 401);
    store(choreo, "bakery", "second-key");
    comes(choreo, "/web-keys/x", &key("second-key"), 200);
    is(choreo, "/web-keys/x", &key("first-key"), 401);
    comes(
        choreo,
        "/web-passwords/x",
        &token("Basic YW5uOnBhc3M="),
        200,
    );
    is(
        choreo,
        "/web-passwords/x",
        &token("Basic YW5uOndyb25n"),
        401,
    );
}

/// A component of the project, and a provider where people sign in.
fn asks_others(choreo: &Choreo) {
    let ann = ("X-User", "ann");
    comes(choreo, "/web-asked/x", &[ann], 200).has("path=/x consumer=ann ");
    is(choreo, "/web-asked/x", &[], 403).has("not you");
    is(choreo, "/web-asked/x", &[("X-Consumer-Id", "ann")], 403);
    let sent = comes(choreo, "/web-people/x", &[], 302);
    for part in [
        "location: https://id.test/authorize?client_id=shop&",
        "%2fweb-people%2foauth2%2fcallback&",
        "samesite=lax",
    ] {
        assert!(sent.head.contains(part), "{part}: {sent:?}");
    }
    is(choreo, "/web-people/x", &[("X-Program", "yes")], 401);
    is(
        choreo,
        "/web-people/oauth2/callback?code=a&state=b",
        &[],
        401,
    );
}

fn looks_at_requests(choreo: &Choreo) {
    is(choreo, "/web-addresses/x", &[], 403);
    let from = |origin| {
        let headers = [("Origin", origin), ("Access-Control-Request-Method", "GET")];
        choreo.ask(&Request {
            method: "OPTIONS",
            headers: &headers,
            ..get("/web-origins/x")
        })
    };
    let allowed = "access-control-allow-origin: https://shop.test";
    assert!(from("https://shop.test").head.contains(allowed));
    assert!(!from("https://other.test").head.contains("allow-origin"));
    let answer = is(choreo, "/web-headers/x", &[("X-Shop", "mine")], 200);
    answer.has("shop=one");
    assert!(answer.head.contains("x-served-by: shop"), "{answer:?}");
    for status in [200, 200, 429] {
        is(choreo, "/web-limited/x", &[], status);
    }
    let sent = |body: &str| {
        choreo.ask(&Request {
            method: "POST",
            body,
            ..get("/web-small/x")
        })
    };
    assert_eq!(sent(&"x".repeat(500)).status, 200);
    assert_eq!(sent(&"x".repeat(5000)).status, 413);
}

fn says_how_the_component_is_called(choreo: &Choreo) {
    is(choreo, "/web-slow/slow", &[], 504);
    is(choreo, "/web-slow/x", &[], 200);
    assert_eq!(choreo.ask(&get("/web-plain/flaky")).status, 503);
    assert_eq!(choreo.ask(&get("/web-plain/flaky")).status, 200);
    is(choreo, "/web-flaky/flaky", &[], 200);
    let statuses: Vec<u16> = thread::scope(|scope| {
        let asked: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| choreo.ask(&get("/web-busy/slow")).status))
            .collect();
        asked.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(
        statuses.contains(&200) && statuses.contains(&503),
        "{statuses:?}"
    );
    let sticky = is(choreo, "/web-sticky/x", &[], 200);
    assert!(sticky.head.contains("set-cookie: choice="), "{sticky:?}");
}

/// Tokens, keys, addresses, origins, headers and limits on one route.
fn holds_together(choreo: &Choreo) {
    let (token, key) = (("Authorization", READER), ("X-API-Key", "second-key"));
    is(choreo, "/all-http/x", &[], 401);
    is(choreo, "/all-http/x", &[token], 401);
    is(choreo, "/all-http/x", &[key], 401);
    is(
        choreo,
        "/all-http/items/1",
        &[key, ("Authorization", STRANGER)],
        403,
    );
    for status in [200, 200, 200, 429] {
        let answer = is(choreo, "/all-http/items/1", &[key, token], status);
        assert_eq!(
            answer.body.contains("shop=one"),
            status == 200,
            "{answer:?}"
        );
    }
}

/// An endpoint that no gateway reaches otherwise, with keys of consumers.
fn offers_an_api(choreo: &Choreo) {
    let api = "
apiVersion: openchoreo.dev/v1alpha1
kind: API
metadata: {name: orders, namespace: default}
spec:
  owner: {projectName: shop}
  context: orders
  version: v1
  endpoints: {orders: {component: hidden, endpoint: http}}
  apiKeys: {}
";
    choreo.apply(api).ok();
    comes(choreo, "/orders/v1/list", &[], 401);
    let made = key(choreo, &["create"]);
    called(choreo, &made, 200).has("path=/list consumer=bakery ");
    called(choreo, "guessed", 401);
    choreo
        .run(&["api", "key", "create", "orders", "--consumer", "bakery"])
        .fails(7);
    let second = key(choreo, &["rotate", "--overlap", "1h"]);
    called(choreo, &second, 200).has("consumer=bakery ");
    called(choreo, &made, 200).has("consumer=bakery ");
    // What files say does not touch the keys.
    choreo.apply(api).ok();
    let third = key(choreo, &["rotate"]);
    called(choreo, &third, 200).has("consumer=bakery ");
    for old in [&made, &second] {
        called(choreo, old, 401);
    }
    let listed = choreo.run(&["api", "key", "list", "orders"]).ok();
    listed.has("bakery").has("never");
    let shown = choreo.run(&["get", "api", "orders", "-o", "json"]).ok();
    for value in [&made, &second, &third] {
        assert!(!listed.out.contains(value.as_str()) && !shown.out.contains(value.as_str()));
    }
    let urls = &shown.json()["status"]["environments"][0]["externalURLs"]["http"];
    assert_eq!(urls["path"], "/orders/v1", "{shown}");
    choreo
        .run(&["api", "key", "revoke", "orders", "--consumer", "bakery"])
        .ok();
    called(choreo, &third, 401);
    choreo
        .run(&["api", "key", "revoke", "orders", "--consumer", "bakery"])
        .fails(3);
}

/// Only the operations that the description names, with their scopes.
fn offers_what_is_described(choreo: &Choreo) {
    let api = format!(
        "
apiVersion: openchoreo.dev/v1alpha1
kind: API
metadata: {{name: items, namespace: default}}
spec:
  owner: {{projectName: shop}}
  context: items
  version: v2
  operations: FromSchema
  endpoints: {{items: {{component: hidden, endpoint: http}}}}
  schema:
    type: OpenAPI
    content: |
      openapi: 3.1.0
      paths:
        /open: {{get: {{}}}}
        /items/{{id}}: {{get: {{security: [{{id: ['items:read']}}]}}}}
  traits:
  - {{kind: ClusterTrait, name: jwt-authentication, instanceName: tokens, parameters: {{jwks: '{JWKS}'}}}}
"
    );
    choreo.apply(&api).ok();
    let token = |token| [("Authorization", token)];
    comes(choreo, "/items/v2/items/7", &token(READER), 200).has("path=/items/7");
    is(choreo, "/items/v2/items/7", &token(STRANGER), 403);
    is(choreo, "/items/v2/open", &token(STRANGER), 200);
    is(choreo, "/items/v2/closed", &token(READER), 403);
    is(choreo, "/items/v2/open", &[], 401);
    choreo.run(&["delete", "api/items"]).ok();
    comes(choreo, "/items/v2/open", &token(READER), 404);
}

/// Makes a key of the bakery.
fn key(choreo: &Choreo, words: &[&str]) -> String {
    let (verb, options) = words.split_first().unwrap();
    let mut all = vec!["api", "key", verb, "orders", "--consumer", "bakery"];
    all.extend(options);
    choreo.run(&all).ok().out.trim().to_owned()
}

/// What the command has waited for, Envoy hears of within milliseconds.
fn called(choreo: &Choreo, key: &str, status: u16) -> Answer {
    comes(choreo, "/orders/v1/list", &[("X-API-Key", key)], status)
}

fn store(choreo: &Choreo, key: &str, value: &str) -> Outcome {
    choreo.tell(&["secret", "set", "partners", key], value).ok()
}

fn get(path: &str) -> Request<'_> {
    Request {
        method: "GET",
        host: HOST,
        path,
        headers: &[],
        body: "",
    }
}

/// A request that is answered so.
fn is(choreo: &Choreo, path: &str, headers: &[(&str, &str)], status: u16) -> Answer {
    let answer = choreo.ask(&Request {
        headers,
        ..get(path)
    });
    assert_eq!(answer.status, status, "{path} {headers:?}: {answer:?}");
    answer
}

/// A request that comes to be answered so.
fn comes(choreo: &Choreo, path: &str, headers: &[(&str, &str)], status: u16) -> Answer {
    let asked = || {
        choreo.ask(&Request {
            headers,
            ..get(path)
        })
    };
    let state = || {
        let told = choreo.run(&["status", "shop"]);
        format!("{path} is not {status}: {:?}\n{told}", asked())
    };
    waits(|| asked().status == status, state);
    is(choreo, path, headers, status)
}

impl Answer {
    /// Its body must have this.
    fn has(&self, text: &str) -> &Self {
        assert!(self.body.contains(text), "`{text}` is not in {self:?}");
        self
    }
}

/// A component with an endpoint for each of the traits, and one without.
fn each_alone() -> String {
    let all = alone();
    let endpoints = all.iter().map(|(endpoint, ..)| *endpoint).chain(["plain"]);
    let endpoints: Vec<String> = endpoints
        .map(|name| {
            format!("{name}: {{type: HTTP, port: 8080, basePath: /base, visibility: [external]}}")
        })
        .collect();
    let traits: Vec<String> = all
        .iter()
        .map(|(endpoint, name, parameters)| {
            format!(
                "{{kind: ClusterTrait, name: {name}, instanceName: {endpoint}, \
                 parameters: {{endpoints: [{endpoint}], {parameters}}}}}"
            )
        })
        .collect();
    component(
        "web",
        &format!("{{{}}}", endpoints.join(", ")),
        &traits.join(", "),
    )
}

/// A component with many traits on its one endpoint.
fn together() -> String {
    let wanted = [
        "tokens", "keys", "origins", "headers", "slow", "flaky", "sticky", "small",
    ];
    let mut traits: Vec<String> = alone()
        .into_iter()
        .filter(|(endpoint, ..)| wanted.contains(endpoint))
        .map(|(endpoint, name, parameters)| {
            format!("{{kind: ClusterTrait, name: {name}, instanceName: {endpoint}, parameters: {{{parameters}}}}}")
        })
        .collect();
    traits.push(
        "{kind: ClusterTrait, name: ip-filter, instanceName: near, parameters: {allow: [127.0.0.0/8]}}"
            .to_owned(),
    );
    traits.push(
        "{kind: ClusterTrait, name: rate-limit, instanceName: fair, \
         parameters: {requests: 3, unit: Hour, per: Consumer}}"
            .to_owned(),
    );
    let endpoint = "{http: {type: HTTP, port: 8080, basePath: /base, visibility: [external]}}";
    component("all", endpoint, &traits.join(", "))
}

fn component(name: &str, endpoints: &str, traits: &str) -> String {
    format!(
        "
apiVersion: openchoreo.dev/v1alpha1
kind: Component
metadata: {{name: {name}, namespace: default}}
spec:
  owner: {{projectName: shop}}
  autoDeploy: true
  componentType: {{kind: ClusterComponentType, name: deployment/service}}
  traits: [{traits}]
---
apiVersion: openchoreo.dev/v1alpha1
kind: Workload
metadata: {{name: {name}, namespace: default}}
spec:
  owner: {{projectName: shop, componentName: {name}}}
  endpoints: {endpoints}
  container: {{image: 'answers:1'}}
"
    )
}
