//! Random objects: whatever they say, Envoy takes what they become. Always the same ones.

use std::collections::BTreeMap;

use choreo_node::gateway::{
    Input,
    objects::{Resource, grpc},
    translate,
};
use serde_json::{Value, json};

use crate::{
    envoy,
    translation::{base, complaint, object},
};

/// How many sets of objects are tried, and what most of each there are in one.
const ROUNDS: u64 = 24;
const MOST: usize = 12;

/// Numbers that look random and are the same every time (`SplitMix64`).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) >> 33).unwrap() % bound
    }

    /// One of some YAML values.
    fn one(&mut self, of: &[&str]) -> Value {
        let text = of[self.below(of.len())];
        serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    /// Some of some YAML values.
    fn some(&mut self, of: &[&str], most: usize) -> Vec<Value> {
        (0..self.below(most + 1)).map(|_| self.one(of)).collect()
    }
}

const PATHS: &[&str] = &[
    "{value: /}",
    "{value: /a/}",
    "{type: Exact, value: /a%20b}",
    "{type: PathPrefix, value: /a/b}",
    "{type: RegularExpression, value: '/v[0-9]+(/.*)?'}",
    "{type: RegularExpression, value: '('}",
    "{type: Exact, value: 'no path'}",
];
const CONDITIONS: &[&str] = &[
    "{name: x-a, value: '1'}",
    "{name: X-A, value: '2'}",
    "{name: x-b, type: RegularExpression, value: 'b{1,9}'}",
    "{name: x-b, type: RegularExpression, value: 'b**'}",
    "{name: 'a b', value: c}",
    "{name: q, value: ''}",
];
const FILTERS: &[&str] = &[
    "{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: a, value: '%DYNAMIC%'}], remove: [b]}}",
    "{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: host, value: a}]}}",
    "{type: ResponseHeaderModifier, responseHeaderModifier: {add: [{name: a, value: \"b\\nc\"}]}}",
    "{type: ResponseHeaderModifier, responseHeaderModifier: {add: [{name: a, value: ''}]}}",
    "{type: URLRewrite, urlRewrite: {hostname: a.test, path: {type: ReplacePrefixMatch, replacePrefixMatch: /x}}}",
    "{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: '/\\1'}}}",
    "{type: RequestRedirect, requestRedirect: {scheme: https, port: 1, statusCode: 307, path: {type: ReplacePrefixMatch, replacePrefixMatch: ''}}}",
    "{type: RequestRedirect, requestRedirect: {scheme: ftp}}",
    "{type: RequestMirror, requestMirror: {backendRef: {name: web, port: 80}, fraction: {numerator: 5, denominator: 0}}}",
    "{type: CORS, cors: {allowOrigins: ['*'], allowMethods: ['*'], allowCredentials: true}}",
    "{type: ExtensionRef, extensionRef: {group: a, kind: B, name: c}}",
];
const BACKENDS: &[&str] = &[
    "{name: web, port: 80}",
    "{name: web, port: 81, weight: 0}",
    "{name: web, port: 81, weight: 1000000}",
    "{name: web, port: 80, weight: 7, filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {remove: [a]}}]}",
    "{name: gone, port: 80}",
    "{name: api, group: gateway.envoyproxy.io, kind: Backend}",
    "{name: web, namespace: other, port: 80}",
];
const HOSTS: &[&str] = &["a.test", "'*.test'", "'*.a.test'", "A.TEST", "b.a.test"];
const RETRIES: &[&str] = &[
    "{codes: [500, 503], attempts: 3, backoff: 10ms}",
    "{codes: [200]}",
    "{attempts: 4294967295, backoff: 1us}",
];
const TIMES: &[&str] = &[
    "{request: 1s}",
    "{backendRequest: 0s, request: 1h}",
    "{request: soon}",
];
const LIMITS: &[&str] = &[
    "{limit: {requests: 1, unit: Second}}",
    "{clientSelectors: [{headers: [{name: a, type: Distinct}, {name: b, value: c, invert: true}]}], limit: {requests: 5, unit: Year}}",
    "{clientSelectors: [{methods: [{value: GET}, {value: POST}], path: {type: Exact, value: /a}}], limit: {requests: 4294967295, unit: Hour}}",
    "{clientSelectors: [{sourceCIDR: {value: 'fd00::1/9', type: Distinct}}], limit: {requests: 5, unit: Minute}}",
    "{clientSelectors: [{headers: [{name: a, type: RegularExpression, value: '('}]}], limit: {requests: 5, unit: Minute}}",
];
const TRAFFIC: &[&str] = &[
    "{retry: {numRetries: 0, retryOn: {triggers: [reset, 5xx], httpStatusCodes: [418]}, perRetry: {timeout: 1ms, backOff: {baseInterval: 1s, maxInterval: 1ms}}}}",
    "{timeout: {tcp: {connectTimeout: 1ms}, http: {requestTimeout: 0s, connectionIdleTimeout: 1ms, maxConnectionDuration: 1h, maxStreamDuration: 1ms, streamIdleTimeout: 1s}}}",
    "{circuitBreaker: {maxConnections: 0, maxPendingRequests: 1, maxParallelRequests: 4294967295, maxParallelRetries: 0, maxRequestsPerConnection: 1, perEndpoint: {maxConnections: 1}}}",
    "{loadBalancer: {type: RoundRobin, slowStart: {window: 10s}}}",
    "{loadBalancer: {type: ConsistentHash, consistentHash: {type: SourceIP, tableSize: 11}}}",
    "{loadBalancer: {type: ConsistentHash, consistentHash: {type: Headers, headers: [{name: a}, {name: b}]}}}",
    "{loadBalancer: {type: ConsistentHash, consistentHash: {type: Cookie, cookie: {name: a, ttl: 0s}}}}",
    "{requestBuffer: {limit: 4294967295}, tcpKeepalive: {probes: 0, idleTime: 0s, interval: 1s}}",
];
const SECURITY: &[&str] = &[
    "{cors: {allowOrigins: ['https://*.a.test:*'], allowHeaders: [x-a], maxAge: 1ms}}",
    "{authorization: {defaultAction: Allow}}",
    "{authorization: {rules: [{action: Deny, principal: {clientCIDRs: [10.0.0.0/8, '::/0']}}, {name: '', action: Allow, operation: {methods: [GET, PUT], path: {type: PathPrefix, value: '/a(', invert: true}}, principal: {headers: [{name: a, values: [b, c]}]}}]}}",
    "{jwt: {optional: true, providers: [{name: a.b, localJWKS: {inline: '{\"keys\": [{\"kty\": \"oct\", \"k\": \"c2VjcmV0\"}]}'}}, {name: c, remoteJWKS: {uri: 'http://192.0.2.1:8080/k', cacheDuration: 1ms}, extractFrom: {headers: [{name: a}], params: [b], cookies: [c]}}]}, authorization: {rules: [{action: Allow, principal: {jwt: {provider: a.b, claims: [{name: a.b.c, values: [d]}], scopes: [e, f]}}}]}}",
    "{jwt: {providers: [{name: a, localJWKS: {inline: '{\"keys\": [1]}'}}]}}",
    "{oidc: {provider: {issuer: a, authorizationEndpoint: 'https://a.test/x', tokenEndpoint: 'https://a.test/y'}, clientID: a, clientSecret: {name: client}}, jwt: {providers: [{name: a, localJWKS: {inline: '{\"keys\": [{\"kty\": \"oct\", \"k\": \"c2VjcmV0\"}]}'}}]}}",
    "{oidc: {provider: {issuer: a, authorizationEndpoint: 'http://a.test/x', tokenEndpoint: 'http://a.test/y', endSessionEndpoint: 'https://a.test/z', backendRefs: [{name: web, port: 80}]}, clientIDRef: {name: client}, clientSecret: {name: client}, cookieNames: {idToken: a}, cookieConfig: {sameSite: Strict}, cookieDomain: a.test, scopes: [b], resources: ['https://a.test/r'], redirectURL: 'https://%REQ(:authority)%/b', denyRedirect: {headers: [{name: a, value: b}, {name: c, type: Prefix, value: d}, {name: e, type: RegularExpression, value: 'f|g'}]}, logoutPath: /x, forwardAccessToken: true, defaultTokenTTL: 1h, refreshToken: false, defaultRefreshTokenTTL: 24h, passThroughAuthHeader: true}, jwt: {providers: [{name: a, localJWKS: {inline: '{\"keys\": [{\"kty\": \"oct\", \"k\": \"c2VjcmV0\"}]}'}}]}}",
    "{oidc: {provider: {issuer: 'https://nobody.test'}, clientID: a, clientSecret: {name: client}}}",
    "{extAuth: {http: {backendRefs: [{name: web, port: 80}], path: /check, headersToBackend: [x-a]}, headersToExtAuth: [a, B], bodyToExtAuth: {maxRequestBytes: 1}, failOpen: true, recomputeRoute: true}}",
    "{extAuth: {grpc: {backendRef: {name: web, port: 80}}}, cors: {allowOrigins: ['*']}}",
    "{extAuth: {grpc: {backendRefs: [{name: api, group: gateway.envoyproxy.io, kind: Backend}]}}}",
    "{extAuth: {http: {backendRefs: [{name: gone, port: 80}]}}}",
    "{apiKeyAuth: {credentialRefs: [], extractFrom: [{headers: [a], params: [b], cookies: [c]}], sanitize: true}}",
];

fn rule(dice: &mut Dice, grpc: bool) -> Value {
    let mut rule = json!({
        "name": dice.one(&["one", "two"]),
        "filters": dice.some(FILTERS, 2),
        "backendRefs": dice.some(BACKENDS, 3),
    });
    if !grpc {
        let wanted = (0..dice.below(3)).map(|_| {
            json!({
                "path": dice.one(PATHS),
                "headers": dice.some(CONDITIONS, 2),
                "queryParams": dice.some(CONDITIONS, 2),
                "method": dice.one(&["GET", "OPTIONS", "~"]),
            })
        });
        rule["matches"] = wanted.collect();
        rule["timeouts"] = dice.one(TIMES);
        if dice.below(2) == 0 {
            rule["retry"] = dice.one(RETRIES);
        }
    }
    rule
}

fn policy(dice: &mut Dice, number: usize, spec: &Value) -> Value {
    let mut policy =
        json!({"metadata": {"namespace": "cell", "name": format!("p-{number}")}, "spec": spec});
    let target = json!({
        "group": "gateway.networking.k8s.io", "kind": "HTTPRoute",
        "name": format!("r-{}", dice.below(MOST)),
        "sectionName": dice.one(&["one", "~"]),
    });
    policy["spec"]["targetRefs"] = json!([target]);
    policy
}

fn input(dice: &mut Dice) -> Input {
    let mut input = base();
    input.backends.extend(Resource::read(&object(&json!({
        "metadata": {"namespace": "cell", "name": "api"},
        "spec": dice.one(&[
            "{endpoints: [{fqdn: {hostname: a.example.com, port: 443}}], tls: {wellKnownCACertificates: System}}",
            "{endpoints: [{ip: {address: '::1', port: 1}}, {fqdn: {hostname: b.test, port: 1}}], tls: {insecureSkipVerify: true}}",
        ]),
    }))));
    let client = json!({
        "metadata": {"namespace": "cell", "name": "client"},
        "data": {"client-id": "YQ==", "client-secret": "Yg=="},
    });
    let key = ("cell".to_owned(), "client".to_owned());
    input.found.secrets.insert(key, object(&client));
    for number in 0..=dice.below(MOST) {
        let is_grpc = dice.below(4) == 0;
        let rules: Vec<Value> = (0..=dice.below(3)).map(|_| rule(dice, is_grpc)).collect();
        let route = object(&json!({
            "metadata": {"namespace": "cell", "name": format!("r-{number}")},
            "spec": {
                "parentRefs": [{"name": "g", "namespace": "plane"}],
                "hostnames": dice.some(HOSTS, 2),
                "rules": rules,
            },
        }));
        if is_grpc {
            input.grpc_routes.extend(grpc(&route));
        } else {
            input.http_routes.extend(Resource::read(&route));
        }
    }
    for number in 0..dice.below(MOST) {
        let spec = dice.one(SECURITY);
        let security = policy(dice, number, &spec);
        input
            .security_policies
            .extend(Resource::read(&object(&security)));
        let mut spec = dice.one(TRAFFIC);
        spec["rateLimit"] = json!({"local": {"rules": dice.some(LIMITS, 3)}});
        let traffic = policy(dice, number, &spec);
        input
            .traffic_policies
            .extend(Resource::read(&object(&traffic)));
    }
    input
}

#[test]
fn envoy_takes_whatever_objects_say() {
    let Some(envoy) = envoy() else { return };
    let mut seen: BTreeMap<bool, usize> = BTreeMap::new();
    for round in 0..ROUNDS {
        let translation = translate(&input(&mut Dice(round)));
        for status in &translation.statuses {
            let text = status.value.to_string();
            *seen.entry(text.contains("\"False\"")).or_default() += 1;
        }
        if let Some(complaint) = complaint(&envoy, &format!("round {round}"), &translation) {
            panic!("{complaint}");
        }
    }
    // Some of them are good, and some are not.
    assert!(seen[&true] > 50 && seen[&false] > 50, "{seen:?}");
}
